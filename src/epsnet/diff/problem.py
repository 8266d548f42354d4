"""A learning problem in the form the training loop wants: checked and normalized."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.diff.normalization import Normalization, normalization

Pairs = tuple[NDArray[Any], NDArray[Any]]


class Problem(NamedTuple):
    """Normalized data. Images stay uint8 until a batch is used; `pixel` = (center, scale) then normalizes them."""

    train: Pairs
    validation: Pairs | None
    maps: Normalization
    pixel: tuple[float, float]
    sha256: str


def pose(train: Pairs, validation: Pairs | None, widths: Sequence[int], loss: str, precision: type) -> Problem:
    """Check the data against the widths and the loss, and normalize them with the constants of the training part.

    Raises:
        DomainError: an array has the wrong shape or type, or a value that is not finite or not a label.
    """
    train = _checked(train, widths, loss, "training")
    maps = normalization(train[0], None if loss == "cross_entropy" else train[1])
    if validation is not None:
        validation = _checked(validation, widths, loss, "validation")
        if validation[0].shape[1:] != train[0].shape[1:] or validation[0].dtype != train[0].dtype:
            raise DomainError("The validation inputs do not look like the training inputs. Split one sample in two.")
    digest = hashlib.sha256()
    for array in (*train, *(validation or ())):
        digest.update(f"{array.shape} {array.dtype}".encode("ascii"))
        digest.update(np.ascontiguousarray(array).data)
    images = train[0].dtype == np.uint8
    return Problem(
        train=_normalized(train, maps, precision),
        validation=None if validation is None else _normalized(validation, maps, precision),
        maps=maps,
        pixel=(float(maps.center[0]), float(maps.scale[0])) if images else (0.0, 1.0),
        sha256=digest.hexdigest(),
    )


def _checked(pairs: Pairs, widths: Sequence[int], loss: str, part: str) -> Pairs:
    inputs, labels = np.asarray(pairs[0]), np.asarray(pairs[1])
    if not (inputs.ndim == 3 and inputs.dtype == np.uint8):
        if inputs.ndim != 2 or inputs.dtype.kind not in "fiub":
            raise DomainError(
                f"The {part} inputs have shape {inputs.shape} and type {inputs.dtype}. "
                "Give a real matrix (n, d) or uint8 images (n, h, w)."
            )
        inputs = inputs.astype(np.float64)
    size = int(np.prod(inputs.shape[1:]))
    if len(inputs) == 0 or len(inputs) != len(labels):
        raise DomainError(
            f"There are {len(inputs)} {part} inputs and {len(labels)} labels. "
            "Give as many labels as inputs, at least one."
        )
    if size != widths[0]:
        raise DomainError(
            f"The {part} inputs have {size} entries, but the first width is {widths[0]}. Make them equal."
        )
    if not np.all(np.isfinite(inputs)):
        raise DomainError(f"The {part} inputs contain NaN or infinity. Remove these rows.")
    if loss == "cross_entropy":
        if labels.dtype.kind not in "iu" or labels.ndim != 1 or labels.min() < 0 or labels.max() >= widths[-1]:
            raise DomainError(
                f"The {part} labels are not integers in 0, ..., {widths[-1] - 1}. "
                "Give class labels of shape (n,), or use the square loss."
            )
        return inputs, labels
    targets = labels.astype(np.float64).reshape(len(labels), -1)
    if targets.shape[1] != widths[-1]:
        raise DomainError(
            f"The {part} targets have {targets.shape[1]} columns, but the last width is {widths[-1]}. Make them equal."
        )
    if not np.all(np.isfinite(targets)):
        raise DomainError(f"The {part} targets contain NaN or infinity. Remove these rows.")
    return inputs, targets


def _normalized(pairs: Pairs, maps: Normalization, precision: type) -> Pairs:
    inputs, labels = pairs
    if inputs.dtype != np.uint8:
        inputs = ((inputs - maps.center) / maps.scale).astype(precision)
    if labels.dtype.kind in "iu":
        return inputs, labels.astype(np.int32)
    return inputs, ((labels - maps.target_center) / maps.target_scale).astype(precision)
