"""Turn raw label arrays into class labels or regression targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.data.sample import Sample


def labelled(inputs: NDArray[Any], labels: NDArray[Any], name: str) -> Sample:
    """Form a training sample: floats are targets, integers are classes 0, ..., K-1, strings are names of classes.

    Every class must occur: nothing can be learned about one that does not, and a gap mostly is a wrong label.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "U":
        names, labels = np.unique(labels, return_inverse=True)
        return Sample(inputs, labels, name, tuple(str(item) for item in names))
    if labels.dtype.kind not in "iub" or labels.ndim != 1 or labels.size == 0:
        return Sample(inputs, labels, name)
    labels = labels.astype(np.int64)
    if labels.min() < 0:
        row = int(labels.argmin())
        raise DomainError(
            f"Label {labels[row]} of {name} (row {row}, counted from 0) is out of range. Use the labels 0, 1, 2, ..."
        )
    present = np.unique(labels)
    if present[-1] != len(present) - 1:
        missing = int(np.argmax(present != np.arange(len(present))))
        row = int(labels.argmax())
        raise DomainError(
            f"Label {labels[row]} of {name} (row {row}, counted from 0) is out of range: class {missing} has no "
            f"example. Use the labels 0 to K-1 without a gap."
        )
    return Sample(inputs, labels, name, tuple(str(item) for item in present))


def like(train: Sample, inputs: NDArray[Any], labels: NDArray[Any], name: str) -> Sample:
    """Form a test sample with the classes and the dimension of the training sample."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if train.classes is not None and labels.dtype.kind == "U":
        unknown = np.flatnonzero(~np.isin(labels, train.classes))
        if unknown.size:
            row = int(unknown[0])
            raise DomainError(
                f"Label {str(labels[row])!r} of {name} (row {row}, counted from 0) is no class of {train.name}. "
                f"Use one of {', '.join(train.classes)}."
            )
        labels = np.searchsorted(np.asarray(train.classes), labels)
    test = Sample(inputs, labels.astype(np.int64) if labels.dtype.kind == "b" else labels, name, train.classes)
    if (test.dimension, test.outputs) != (train.dimension, train.outputs):
        raise DomainError(
            f"{name} maps {test.dimension} inputs to {test.outputs} outputs, but {train.name} maps {train.dimension} "
            f"to {train.outputs}. Give both parts the same columns."
        )
    return test
