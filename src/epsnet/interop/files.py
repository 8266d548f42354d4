"""The bytes of a file that came from elsewhere, up to a limit."""

from __future__ import annotations

import os
from pathlib import Path

from epsnet.certify.errors import DomainError

MAX_FILE_BYTES = 2**30


def content(path: Path, kind: str) -> bytes:
    """Return what a file holds. DomainError if there is none or it is larger than `MAX_FILE_BYTES`."""
    if not path.is_file():
        raise DomainError(f"There is no such file. Give the path of {kind}.")
    with path.open("rb") as file:
        found = file.read(min(os.fstat(file.fileno()).st_size, MAX_FILE_BYTES) + 1)
    if len(found) > MAX_FILE_BYTES:
        raise DomainError(f"The file is larger than {MAX_FILE_BYTES:,} bytes. Use a smaller network.")
    return found
