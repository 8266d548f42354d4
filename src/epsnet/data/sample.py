"""A sample: n inputs with their labels or targets, and a hash of its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError

_HASH_ROWS = 4096  # rows converted to float64 at a time, so that hashing images needs no second copy of them


@dataclass(frozen=True, eq=False)
class Sample:
    """n pairs (x_i, y_i), i = 0, ..., n - 1, as they came: nothing is scaled, shuffled or rounded.

    Arguments:
        inputs: float64 of shape (n, d), or uint8 images of shape (n, h, w), which stand for d = h*w real inputs in
            {0, ..., 255}.
        labels: integers of shape (n,) in {0, ..., K-1} (classification), or float64 of shape (n,) or (n, m)
            (regression).
        name: what to call the sample in messages and reports.
        classes: the names of the K classes, or None for regression.

    The arrays are read-only; two samples are the same if and only if their `sha256` agree.

    Raises:
        DomainError: an array has the wrong shape or type, no row, a value that is not finite, or a label outside
            {0, ..., K-1}; or K = 1.
    """

    inputs: NDArray[Any]
    labels: NDArray[Any]
    name: str = "sample"
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        inputs, labels = _inputs(self.inputs, self.name), np.asarray(self.labels)
        labels = _targets(labels, self.name) if self.classes is None else _labels(labels, self.classes, self.name)
        if len(inputs) != len(labels):
            raise DomainError(
                f"{self.name} has {len(inputs)} inputs but {len(labels)} labels. Give one label to each input."
            )
        for field, array in (("inputs", inputs), ("labels", labels)):
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    def __len__(self) -> int:
        """Return the number n of pairs."""
        return len(self.inputs)

    def __repr__(self) -> str:
        """Say what a reader wants to know, not what the arrays hold."""
        kind = f"{len(self.classes)} classes" if self.classes is not None else f"{self.outputs} real targets"
        shape = " x ".join(str(size) for size in self.inputs.shape[1:])
        return f"Sample({self.name!r}: {len(self)} inputs of shape {shape}, {kind})"

    @property
    def dimension(self) -> int:
        """The number d of real inputs."""
        return int(np.prod(self.inputs.shape[1:]))

    @property
    def outputs(self) -> int:
        """The number of outputs of a network for this sample: K scores of classes, or m real targets."""
        if self.classes is not None:
            return len(self.classes)
        return 1 if self.labels.ndim == 1 else self.labels.shape[1]

    def matrix(self) -> NDArray[np.float64]:
        """Return the inputs as a float64 matrix (n, d), images row by row."""
        return self.inputs.reshape(len(self), -1).astype(np.float64)

    def take(self, indices: NDArray[np.int64], name: str | None = None) -> Sample:
        """Return the pairs with these indices, in this order."""
        return Sample(self.inputs[indices], self.labels[indices], name or self.name, self.classes)

    @cached_property
    def sha256(self) -> str:
        """The hash of the content, whatever its storage.

        SHA-256 of the ASCII line "n d m" with its line feed (m = 1 for class labels), the inputs as n*d little-endian
        float64 row by row, then the labels or targets as n*m little-endian float64. A zero counts as +0.
        """
        n, d = len(self), self.dimension
        digest = hashlib.sha256(f"{n} {d} {self.labels.size // n}\n".encode("ascii"))
        for array in (self.inputs.reshape(n, d), self.labels.reshape(n, -1)):
            for start in range(0, n, _HASH_ROWS):
                digest.update((array[start : start + _HASH_ROWS].astype("<f8") + 0.0).tobytes())
        return digest.hexdigest()


def _inputs(inputs: NDArray[Any], name: str) -> NDArray[Any]:
    inputs = np.asarray(inputs)
    if inputs.ndim == 3 and inputs.dtype == np.uint8:
        result = inputs
    elif inputs.ndim == 2 and inputs.dtype.kind in "fiub":
        result = inputs.astype(np.float64)
        _check_finite(result, f"The inputs of {name}")
    else:
        raise DomainError(
            f"The inputs of {name} have shape {inputs.shape} and type {inputs.dtype}. "
            "Give a real matrix (n, d) or uint8 images (n, h, w)."
        )
    if result.size == 0:
        raise DomainError(f"{name} is empty: its inputs have shape {inputs.shape}. Give at least one input.")
    return result


def _labels(labels: NDArray[Any], classes: tuple[str, ...], name: str) -> NDArray[np.int64]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DomainError(
            f"The class labels of {name} have shape {labels.shape} and type {labels.dtype}. "
            "Give one integer to each input."
        )
    if len(classes) < 2:
        raise DomainError(f"{name} has one class only. Give examples of at least two classes.")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if wrong.size:
        row = int(wrong[0])
        raise DomainError(
            f"Label {labels[row]} of {name} (row {row}, counted from 0) is out of range. "
            f"Use the labels 0 to {len(classes) - 1}."
        )
    return labels.astype(np.int64)


def _targets(targets: NDArray[Any], name: str) -> NDArray[np.float64]:
    if targets.ndim not in (1, 2) or targets.dtype.kind not in "fiu" or targets.size == 0:
        raise DomainError(
            f"The targets of {name} have shape {targets.shape} and type {targets.dtype}. "
            "Give real numbers of shape (n,) or (n, m)."
        )
    result = targets.astype(np.float64)
    _check_finite(result.reshape(len(result), -1), f"The targets of {name}")
    return result


def _check_finite(matrix: NDArray[np.float64], what: str) -> None:
    wrong = np.argwhere(~np.isfinite(matrix))
    if wrong.size:
        row, column = (int(index) for index in wrong[0])
        raise DomainError(
            f"{what} contain {matrix[row, column]} in row {row}, column {column} (counted from 0). "
            "Remove or replace this value."
        )
