"""Laws of samples and splits."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.errors import DomainError
from epsnet.data import Sample, split

IMAGES = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
LABELS = np.array([0, 1, 1])


def test_the_hash_is_the_documented_one_and_ignores_storage() -> None:
    images = Sample(IMAGES, LABELS, classes=("a", "b"))
    header = b"3 4 1\n"
    expected = hashlib.sha256(header + np.arange(12.0).astype("<f8").tobytes() + np.array([0, 1, 1], "<f8").tobytes())
    assert images.sha256 == expected.hexdigest()
    for inputs in (images.matrix(), images.matrix().astype(np.float32), images.matrix().astype(">i2")):
        assert Sample(inputs, LABELS.astype(np.uint8), "other name", ("c", "d")).sha256 == images.sha256
    assert (
        Sample(-0.0 * images.matrix(), LABELS, classes=("a", "b")).sha256
        == Sample(0.0 * images.matrix(), LABELS, classes=("a", "b")).sha256
    )


def test_the_hash_sees_every_entry() -> None:
    base = Sample(IMAGES, LABELS, classes=("a", "b"))
    hashes = {base.sha256, Sample(IMAGES, LABELS[::-1], classes=("a", "b")).sha256}
    for index in np.ndindex(IMAGES.shape):
        changed = IMAGES.copy()
        changed[index] += 1
        hashes.add(Sample(changed, LABELS, classes=("a", "b")).sha256)
    assert len(hashes) == 2 + IMAGES.size


def test_samples_are_read_only_and_leave_the_arrays_of_the_caller_alone() -> None:
    images = IMAGES.copy()
    sample = Sample(images, LABELS, classes=("a", "b"))
    with pytest.raises(ValueError, match="read-only"):
        sample.inputs[0, 0, 0] = 9
    images[0, 0, 0] = images[0, 0, 0]


def test_shapes() -> None:
    images = Sample(IMAGES, LABELS, classes=("a", "b"))
    assert (len(images), images.dimension, images.outputs) == (3, 4, 2)
    assert images.inputs.dtype == np.uint8
    targets = Sample(np.ones((3, 2)), np.ones((3, 5)))
    assert (targets.dimension, targets.outputs) == (2, 5)
    assert images.take(np.array([2, 0])).labels.tolist() == [1, 0]
    assert "2 classes" in repr(images)


@pytest.mark.parametrize(
    ("inputs", "labels", "classes", "message"),
    [
        (np.array([[1.0, np.nan]]), [0], ("a", "b"), "row 0, column 1"),
        (np.array([[1.0], [np.inf]]), [0, 1], ("a", "b"), "row 1, column 0"),
        (np.ones((2, 3)), [0, 2], ("a", "b"), r"Label 2 .* out of range"),
        (np.ones((2, 3)), [0, -1], ("a", "b"), r"Label -1 .* out of range"),
        (np.ones((2, 3)), [0, 0], ("a",), "one class only"),
        (np.ones((2, 3)), [0], ("a", "b"), "2 inputs but 1 labels"),
        (np.ones((2, 3, 3)), [0, 1], ("a", "b"), "Give a real matrix"),
        (np.ones((0, 3)), [], ("a", "b"), "empty"),
        (np.ones((2, 3)), [0.5, 1.0], ("a", "b"), "one integer"),
        (np.ones((2, 3)), [0.5, np.nan], None, "row 1, column 0"),
    ],
)
def test_bad_samples(inputs, labels, classes, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        Sample(inputs, np.asarray(labels), classes=classes)


@given(n=st.integers(10, 500), seed=st.integers(0, 2**32))
def test_splits_are_disjoint_cover_everything_and_repeat(n: int, seed: int) -> None:
    parts = split(n, (0.7, 0.2, 0.1), seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all(abs(len(part) - share * n) <= 1 for part, share in zip(parts, (0.7, 0.2, 0.1), strict=True))
    for part, again in zip(parts, split(n, (0.7, 0.2, 0.1), seed), strict=True):
        assert np.array_equal(part, again)


def test_a_split_is_the_same_on_every_machine() -> None:
    assert [part.tolist() for part in split(8, (0.5, 0.5), 0)] == [[0, 3, 4, 6], [1, 2, 5, 7]]


@pytest.mark.parametrize("fractions", [(0.5, 0.6), (1.5, -0.5), (0.0, 1.0), ()])
def test_bad_fractions(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DomainError, match="sum 1"):
        split(10, fractions, 0)


def test_too_few_examples() -> None:
    with pytest.raises(DomainError, match="empty"):
        split(2, (0.9, 0.1), 0)
