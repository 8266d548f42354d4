"""The idx format of the MNIST files.

A file is the magic number 0 0 t k (t the type of the entries, k the number of axes), k big-endian 32-bit sizes, and the
entries, big-endian, row by row; often compressed with gzip.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, "File formats".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.data.classes import labelled, like
from epsnet.data.sample import Sample

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> NDArray[Any]:
    """Return the array of one idx file, plain or gzip.

    Raises:
        DomainError: the file is no idx file, or shorter or longer than its header says.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DomainError(f"{path} is a damaged gzip file: {error}. Get the file again.") from error
    axes = content[3] if len(content) >= 4 else 0
    if content[:2] != b"\0\0" or axes == 0 or content[2] not in _TYPES:
        raise DomainError(
            f"{path} is no idx file: it begins with the bytes {content[:4].hex(' ') or '(none)'}. "
            "Give an idx file or folder, a .npz archive, or a .csv table."
        )
    start, kind = 4 + 4 * axes, np.dtype(_TYPES[content[2]])
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    expected = start + math.prod(sizes) * kind.itemsize
    if len(content) != expected:
        state = "truncated" if len(content) < max(start, expected) else "too long"
        raise DomainError(
            f"{path} is {state}: {len(content)} bytes, but its header asks for {expected}. Get the file again."
        )
    return np.frombuffer(content, dtype=kind, offset=start).reshape(sizes).astype(kind.newbyteorder("="))


def read_idx_file(path: Path) -> Sample:
    """Read one file of images together with the file of labels beside it."""
    return labelled(*_pair(path), path.name)


def read_idx_folder(folder: Path) -> tuple[Sample, Sample | None]:
    """Read the training images of a folder with their labels, and the test images ("t10k..." or "test...")."""
    images = sorted(file for file in folder.iterdir() if "images" in file.name and file.is_file())
    tests = [file for file in images if file.name.startswith(("t10k", "test"))]
    trains = [file for file in images if file not in tests]
    if not trains:
        raise DomainError(
            f"{folder} has no idx file of training images. Give a folder with train-images-idx3-ubyte and "
            "train-labels-idx1-ubyte, plain or .gz."
        )
    train = labelled(*_pair(trains[0]), f"{folder.name} train")
    return train, like(train, *_pair(tests[0]), f"{folder.name} test") if tests else None


def _pair(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    images = read_idx(path)
    if images.ndim < 2:
        raise DomainError(
            f"{path} has {images.ndim} axis, so it holds labels, not images. Give the file of images; its labels are "
            "found beside it."
        )
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for candidate in (path.with_name(name), path.with_name(name + ".gz")):
        if candidate != path and candidate.is_file():
            labels = read_idx(candidate)
            return (
                images if images.ndim == 3 and images.dtype == np.uint8 else images.reshape(len(images), -1)
            ), labels
    raise DomainError(
        f"The labels of {path} are missing: neither {name} nor {name}.gz is beside it. "
        "Put images and labels into one folder."
    )
