"""Samples in NumPy archives."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.data.classes import labelled, like
from epsnet.data.sample import Sample

_PAIRS = (("x_train", "y_train"), ("inputs", "labels"), ("x", "y"))


def read_npz(path: Path) -> tuple[Sample, Sample | None]:
    """Read the arrays x, y or inputs, labels or x_train, y_train, and x_test, y_test if present. Nothing is unpickled.

    uint8 arrays (n, h, w) stay images; other arrays (n, ...) become float64 matrices (n, d).
    """
    if not zipfile.is_zipfile(path):
        raise DomainError(f"{path} is no npz archive. Write it with numpy.savez(path, x=..., y=...).")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DomainError(
            f"{path} is no readable npz archive of plain arrays: {error}. "
            "Write it with numpy.savez(path, x=..., y=...)."
        ) from error
    pair = next((pair for pair in _PAIRS if set(pair) <= arrays.keys()), None)
    if pair is None:
        raise DomainError(
            f"{path} holds the arrays {', '.join(sorted(arrays)) or '(none)'}. "
            "Name them x and y, inputs and labels, or x_train, y_train, x_test and y_test."
        )
    train = labelled(
        _rows(arrays[pair[0]], path, pair[0]), _column(arrays[pair[1]], path, pair[1]), f"{path.name} train"
    )
    if "x_test" not in arrays or "y_test" not in arrays:
        return train, None
    inputs, labels = _rows(arrays["x_test"], path, "x_test"), _column(arrays["y_test"], path, "y_test")
    return train, like(train, inputs, labels, f"{path.name} test")


def _rows(array: NDArray[Any], path: Path, key: str) -> NDArray[Any]:
    if array.ndim == 0 or array.size == 0 or array.dtype.kind not in "fiub":
        raise DomainError(
            f"The array {key} of {path} has shape {array.shape} and type {array.dtype}. "
            "Give real numbers of shape (n, d) or (n, h, w) with n >= 1."
        )
    if array.ndim == 3 and array.dtype == np.uint8:
        return array
    return array.reshape(len(array), -1)


def _column(array: NDArray[Any], path: Path, key: str) -> NDArray[Any]:
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiubU":
        raise DomainError(
            f"The array {key} of {path} has shape {array.shape} and type {array.dtype}. "
            "Give class labels (n,) or real targets (n,) or (n, m)."
        )
    return array
