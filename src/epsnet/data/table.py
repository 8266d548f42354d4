"""Samples in text tables: comma, semicolon or tab separated, with or without a header."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from epsnet.certify.errors import DomainError
from epsnet.data.sample import Sample

_USUAL_LABELS = ("label", "target", "class", "y")
_MOST_CLASSES = 100


def read_table(path: Path, label: str | int | None = None) -> Sample:
    """Read a table with numeric features and one column of labels.

    The first line is a header if it contains the name `label` or no number at all; without a header the columns are
    called 0, 1, 2, ... Without `label`, the column called label, target, class or y is taken.

    Labels that are not all numbers are names of classes. Labels written as integers, at most 100 different ones and
    each twice on average, are classes as well; all other numbers are targets (this rule is a convention: to ask for a
    regression on small integers write them as 1.0, 2.0, ...).

    Raises:
        DomainError: a row is ragged, a cell is empty, not a number or not finite, or the label column is missing.
    """
    lines, names = _lines(path, label)
    column = _column(path, names, label)
    features = np.empty((len(lines), len(names) - 1))
    labels: list[str] = []
    for row, (number, cells) in enumerate(lines):
        if len(cells) != len(names):
            raise DomainError(
                f"Line {number} of {path} has {len(cells)} cells, but the first line has {len(names)}. "
                "Give every line the same number of cells."
            )
        labels.append(cells.pop(column).strip())
        if not labels[-1]:
            raise DomainError(
                f"The label in line {number}, column {names[column]!r} of {path} is empty. Fill it in or drop the line."
            )
        try:
            features[row] = [float(cell) for cell in cells]
        except ValueError:
            wrong = next(index for index, cell in enumerate(cells) if not _is_number(cell))
            raise DomainError(_bad_cell(path, number, names, column, wrong, cells[wrong], "not a number")) from None
    wrong = np.argwhere(~np.isfinite(features))
    if wrong.size:
        row, index = (int(item) for item in wrong[0])
        raise DomainError(
            _bad_cell(path, lines[row][0], names, column, index, str(features[row, index]), "not a finite number")
        )
    return _sample(features, labels, path)


def _lines(path: Path, label: str | int | None) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return the numbered lines of cells without the header, and the names of the columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=first.count), skipinitialspace=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DomainError(f"{path} is no text table: {error}. Give comma-separated values in UTF-8.") from error
    if not lines:
        raise DomainError(f"{path} has no line of data. Give a table with at least one row.")
    head = [cell.strip() for cell in lines[0][1]]
    named = isinstance(label, str) and label in head and not _is_number(label)
    if named or not any(_is_number(cell) for cell in head):
        if len(lines) == 1:
            raise DomainError(f"{path} has a header but no row. Give a table with at least one row.")
        return lines[1:], head
    return lines, [str(index) for index in range(len(head))]


def _column(path: Path, names: list[str], label: str | int | None) -> int:
    columns = f"The columns of {path} are {', '.join(names)}"
    if len(names) < 2:
        raise DomainError(f"{columns}: one is not enough. Give a table with features and labels.")
    if label is None:
        usual = [index for index, name in enumerate(names) if name.lower() in _USUAL_LABELS]
        if len(usual) != 1:
            raise DomainError(f"{columns}, and none is clearly the label. Name the label column (--label COLUMN).")
        return usual[0]
    if str(label) in names:
        return names.index(str(label))
    try:
        return range(len(names))[int(label)]
    except (ValueError, IndexError):
        raise DomainError(f"{columns}; {label!r} is not one of them. Name one of these as the label column.") from None


def _sample(features: np.ndarray, labels: list[str], path: Path) -> Sample:
    if not all(_is_number(text) for text in labels):
        names, indices = np.unique(np.asarray(labels), return_inverse=True)
        return Sample(features, indices, path.name, tuple(str(name) for name in names))
    values = np.asarray([float(text) for text in labels])
    if all(text.lstrip("+-").isdecimal() for text in labels):
        levels, indices = np.unique(values, return_inverse=True)
        if len(levels) <= min(_MOST_CLASSES, max(2, len(values) // 2)):
            return Sample(features, indices, path.name, tuple(f"{level:.0f}" for level in levels))
    return Sample(features, values, path.name)


def _bad_cell(path: Path, line: int, names: list[str], column: int, index: int, cell: str, fault: str) -> str:
    name = names[index + (index >= column)]
    return f"Line {line}, column {name!r} of {path} is {cell.strip()!r}, {fault}. Correct this cell or drop the line."


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
