"""The record of a study: one JSON line, whose hash depends on what was measured and not on where or how fast."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.hashing import canonical_json, sha256_json

_PACKAGES = ("epsnet", "numpy", "scipy", "python-flint", "jax", "joblib")
_OUTSIDE = ("sha256", "run")


def environment() -> dict[str, Any]:
    """Return host, processor, Python and the versions of the packages that compute."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "host": platform.node(), "machine": platform.machine(), "system": platform.system(),
        "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def make_record(content: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Return `content` with its sha256 and, outside the hash, `run`, all as it would be read from a file."""
    return json.loads(canonical_json({**content, "sha256": sha256_json(content), "run": run}))


def write_record(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record as one line of canonical JSON, in place of the one before.

    Raises:
        DomainError: the file cannot be written.
    """
    path = Path(path)
    neighbor = path.with_name(f".{path.name}.part")
    try:
        neighbor.write_bytes(canonical_json(record) + b"\n")
        neighbor.replace(path)
    except OSError as error:
        raise DomainError(f"{path} cannot be written: {error.strerror}. Choose another folder.") from None


def read_record(path: str | Path) -> dict[str, Any]:
    """Read a record back.

    Raises:
        DomainError: there is none.
        CheckError: it is malformed, or its hash is not that of its content.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise DomainError(f"{path} cannot be read: {error.strerror}. Give the record of a study.") from None
    try:
        record = json.loads(text)
        content = {name: value for name, value in record.items() if name not in _OUTSIDE}
        intact = record["sha256"] == sha256_json(content)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise CheckError(f"{path} is no record of a study. Run the study again.") from None
    if not intact:
        raise CheckError(f"{path} was changed: its hash is not that of its content. Run the study again.")
    return record
