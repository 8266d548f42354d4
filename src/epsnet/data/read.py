"""Read a sample from a path: idx, npz or csv."""

from __future__ import annotations

from pathlib import Path

from epsnet.certify.errors import DomainError
from epsnet.data.idx import read_idx_file, read_idx_folder
from epsnet.data.npz import read_npz
from epsnet.data.sample import Sample
from epsnet.data.table import read_table

_TABLES = (".csv", ".tsv", ".txt")


def read_data(path: str | Path, label: str | int | None = None) -> tuple[Sample, Sample | None]:
    """Read a training sample, and a test sample where the source has one.

    | path | format |
    |---|---|
    | a folder, or a file of images | idx, plain or gzip; the file of labels is found beside the images |
    | `.npz` | arrays x, y or inputs, labels or x_train, y_train, x_test, y_test |
    | `.csv`, `.tsv`, `.txt` | a table of numbers, with or without a header; the column `label` holds the labels |

    Integers in {0, ..., K-1} and strings are class labels; floats are targets of a regression.

    Arguments:
        path: the file or folder.
        label: the column of the labels, by name or by index counted from 0; tables only.

    Returns:
        The pair (train, test); test is None if the source has no test part.

    Raises:
        DomainError: the path is missing, empty or not one of these formats, or its data do not form a sample; the
            message says where.
    """
    path = Path(path)
    if not path.exists():
        raise DomainError(f"{path} does not exist. Check the path.")
    if not (path.is_file() or path.is_dir()):
        raise DomainError(f"{path} is neither a file nor a folder. Give a file with data.")
    if path.is_file() and path.stat().st_size == 0:
        raise DomainError(f"{path} is empty. Give a file with data.")
    try:
        if path.suffix.lower() in _TABLES:
            return read_table(path, label), None
        if label is not None:
            raise DomainError(f"{path} is not a table, so it has no column {label!r}. Leave the label column out.")
        if path.is_dir():
            return read_idx_folder(path)
        if path.suffix.lower() == ".npz":
            return read_npz(path)
        return read_idx_file(path), None
    except OSError as error:
        raise DomainError(f"{path} cannot be read: {error}. Check the file and its permissions.") from error
