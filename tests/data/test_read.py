"""Readers: what is written can be read, and bad files are refused with a sentence that says where."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.data import load_mnist, read_data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 4, 3)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2], np.uint8)


def idx(array: np.ndarray, code: int = 8) -> bytes:
    """Write an idx file independently of the reader."""
    header = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_folder(folder: Path, *, suffix: str = "", test: bool = True) -> Path:
    for name in ("train", "t10k") if test else ("train",):
        for kind, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            content = idx(array)
            (folder / f"{name}-{kind}-ubyte{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    return folder


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_folder(tmp_path: Path, suffix: str) -> None:
    train, test = read_data(write_folder(tmp_path, suffix=suffix))
    assert test is not None
    for part in (train, test):
        assert part.inputs.dtype == np.uint8
        assert np.array_equal(part.inputs, IMAGES)
        assert np.array_equal(part.labels, LABELS)
    assert train.classes == ("0", "1", "2")
    alone, none = read_data(tmp_path / f"train-images-idx3-ubyte{suffix}")
    assert none is None
    assert alone.sha256 == train.sha256


def test_idx_of_floats(tmp_path: Path) -> None:
    inputs = RNG.standard_normal((6, 5))
    (tmp_path / "images-idx2").write_bytes(idx(inputs, 0x0E))
    (tmp_path / "labels-idx2").write_bytes(idx(LABELS))
    assert np.array_equal(read_data(tmp_path)[0].inputs, inputs)


def test_mnist_survives_idx(tmp_path: Path) -> None:
    digits = load_mnist("test")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(digits.inputs))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(digits.labels.astype(np.uint8)))
    assert read_data(tmp_path)[0].sha256 == digits.sha256


@pytest.mark.parametrize("names", [("x", "y"), ("inputs", "labels"), ("x_train", "y_train")])
def test_npz(tmp_path: Path, names: tuple[str, str]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(names, (IMAGES, LABELS), strict=True)))
    train, test = read_data(tmp_path / "a.npz")
    assert test is None
    assert np.array_equal(train.inputs, IMAGES)
    assert np.array_equal(train.labels, LABELS)


def test_npz_with_a_test_part_names_and_targets(tmp_path: Path) -> None:
    names = np.array(["b", "a", "b", "c"])
    x = RNG.standard_normal((4, 2))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=names, x_test=x[:1], y_test=names[3:])
    train, test = read_data(tmp_path / "a.npz")
    assert test is not None
    assert train.classes == ("a", "b", "c")
    assert train.labels.tolist() == [1, 0, 1, 2]
    assert test.labels.tolist() == [2]
    np.savez(tmp_path / "b.npz", x=x[:, 0], y=x)
    targets, _ = read_data(tmp_path / "b.npz")
    assert (targets.classes, targets.dimension, targets.outputs) == (None, 1, 2)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv(tmp_path: Path, separator: str) -> None:
    lines = ["a,kind,b", "1,cat,-2.5", "3e2,dog,4", "0,cat,0"]
    path = text(tmp_path / "t.csv", "\n".join(lines).replace(",", separator))
    for label in ("kind", 1, "1", -2):
        sample, none = read_data(path, label)
        assert none is None
        assert sample.inputs.tolist() == [[1, -2.5], [300, 4], [0, 0]]
        assert sample.classes == ("cat", "dog")
        assert sample.labels.tolist() == [0, 1, 0]


def test_csv_labels(tmp_path: Path) -> None:
    sample, _ = read_data(text(tmp_path / "a.csv", "1,5\n2,-1\n3,5\n4,-1\n"), "1")
    assert sample.classes == ("-1", "5")
    assert sample.labels.tolist() == [1, 0, 1, 0]
    sample, _ = read_data(text(tmp_path / "b.csv", "x,target\n1,5.0\n2,-1.5\n"))
    assert sample.classes is None
    assert sample.labels.tolist() == [5.0, -1.5]


TABLES = [
    ("", None, "is empty"),
    ("a,b,label\n", None, "has a header but no row"),
    ("a,b,label\n1,2,0\n1,2\n", None, "Line 3 .* has 2 cells, but the first line has 3"),
    ("a,b,label\n1,2,0\n1,x,1\n", None, "Line 3, column 'b' .* 'x', not a number"),
    ("label,a,b\n0,1,2\n1,,1\n", None, "Line 3, column 'a' .* '', not a number"),
    ("label,a,b\n0,1,2\n1,3,nan\n", None, "Line 3, column 'b' .* 'nan', not a finite number"),
    ("a,b,label\n1,2,0\n1,inf,1\n", None, "Line 3, column 'b' .* 'inf', not a finite number"),
    ("a,b,kind\n1,2,0\n", None, "columns of .* are a, b, kind, and none is clearly the label"),
    ("a,b,kind\n1,2,0\n", "sort", "columns of .* are a, b, kind; 'sort' is not one of them"),
    ("1,2,0\n2,3,1\n", "7", "columns of .* are 0, 1, 2; '7' is not one of them"),
    ("a,label\n1,cat\n2,\n", None, "The label in line 3, column 'label' .* is empty"),
    ("a,label\n1,cat\n2,cat\n", None, "one class only"),
    ("a\n1\n", None, "one is not enough"),
]


@pytest.mark.parametrize(("content", "label", "message"), TABLES)
def test_bad_tables(tmp_path: Path, content: str, label: str | None, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        read_data(text(tmp_path / "t.csv", content), label)


ARCHIVES = [
    ({"x": IMAGES}, "holds the arrays x"),
    ({"x": IMAGES, "y": LABELS + 1}, "class 0 has no example"),
    ({"x": IMAGES, "y": np.array([0, 1, 2, 0, 1, 255])}, "Label 255 .*row 5.* out of range"),
    ({"x": IMAGES, "y": np.array([0, 1, -1, 0, 1, 2])}, "Label -1 .*row 2.* out of range"),
    ({"x": IMAGES, "y": np.zeros(6, int)}, "one class only"),
    ({"x": IMAGES, "y": LABELS[:5]}, "6 inputs but 5 labels"),
    ({"x": np.array([[1.0, np.nan]] * 6), "y": LABELS}, "row 0, column 1"),
    ({"x": np.array(["a"] * 6), "y": LABELS}, "Give real numbers"),
    ({"x": IMAGES[:0], "y": LABELS[:0]}, "Give real numbers"),
    ({"x": IMAGES, "y": np.ones((6, 2, 2))}, "Give class labels"),
    ({"x": np.array([{}] * 6), "y": LABELS}, "no readable npz archive"),
    ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1}, "Label 3 .* out of range"),
    ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :2], "y_test": LABELS}, "same columns"),
    (
        {"x_train": IMAGES, "y_train": LABELS.astype(str), "x_test": IMAGES, "y_test": np.array(["q"] * 6)},
        "no class of",
    ),
]


@pytest.mark.parametrize(("arrays", "message"), ARCHIVES)
def test_bad_archives(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DomainError, match=message):
        read_data(tmp_path / "a.npz")


def test_damaged_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=IMAGES, y=LABELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    (tmp_path / "half.npz").write_bytes(content[: len(content) // 2])
    content[content.index(IMAGES.tobytes())] ^= 1
    (tmp_path / "flipped.npz").write_bytes(content)
    for name in ("half.npz", "flipped.npz"):
        with pytest.raises(DomainError, match="npz archive"):
            read_data(tmp_path / name)


FILES = [
    (idx(IMAGES)[:-1], "truncated"),
    (idx(IMAGES)[:9], "truncated"),
    (idx(IMAGES) + b"\0", "too long"),
    (b"\0\0\x07\x03" + idx(IMAGES)[4:], "no idx file: it begins with the bytes 00 00 07 03"),
    (b"hello world", "no idx file"),
    (b"", "is empty"),
    (gzip.compress(idx(IMAGES), mtime=0)[:-20], "damaged gzip"),
    (idx(LABELS), "holds labels, not images"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_bad_idx(tmp_path: Path, content: bytes, message: str) -> None:
    write_folder(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(DomainError, match=message):
        read_data(path)


def test_missing_things(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="does not exist"):
        read_data(tmp_path / "nothing.csv")
    with pytest.raises(DomainError, match="no idx file of training images"):
        read_data(tmp_path)
    write_folder(tmp_path, test=False)
    with pytest.raises(DomainError, match="is not a table"):
        read_data(tmp_path, "label")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DomainError, match=r"labels of .* are missing"):
        read_data(tmp_path)
