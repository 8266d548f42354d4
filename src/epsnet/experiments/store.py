"""Finished cases of a study, kept one JSON line each as soon as they are there.

    {"study": "piece-count", "inputs": {...}, "result": {...}, "seconds": 0.5, "sha256": "..."}

The hash is over study, inputs and result. A line counts only if its hash is right: what was torn by a kill or a
full disk, or changed by hand, is measured again. Lines of other studies or other inputs never match a case.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from epsnet.certify.errors import DomainError
from epsnet.certify.hashing import canonical_json, sha256_json

JsonObject = dict[str, Any]


class CaseStore:
    """The file of the finished cases of one study.

    Args:
        path: a file of JSON lines; it need not exist.
        study: the name of the study, which tells its cases from others.
    """

    def __init__(self, path: str | Path, study: str) -> None:
        self.path = Path(path)
        self.study = study

    def key(self, inputs: JsonObject) -> str:
        """Return the hash by which a case is found again."""
        return sha256_json({"study": self.study, "inputs": inputs})

    def load(self) -> dict[str, tuple[JsonObject, float]]:
        """Return the intact results by key, each with the seconds it took.

        Raises:
            DomainError: the file cannot be read.
        """
        try:
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise DomainError(f"{self.path} cannot be read: {error.strerror}. Choose another folder.") from None
        found = {}
        for line in lines:
            try:
                kept = json.loads(line)
                content = {name: kept[name] for name in ("study", "inputs", "result")}
                intact = kept["study"] == self.study and kept["sha256"] == sha256_json(content)
                seconds = float(kept["seconds"])
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            if intact:
                found[self.key(kept["inputs"])] = (kept["result"], seconds)
        return found

    def append(self, inputs: JsonObject, result: JsonObject, seconds: float) -> None:
        """Keep one finished case.

        Raises:
            DomainError: the file cannot be written.
        """
        content = {"study": self.study, "inputs": inputs, "result": result}
        line = canonical_json({**content, "seconds": seconds, "sha256": sha256_json(content)}) + b"\n"
        try:
            with self.path.open("ab+") as file:
                if file.tell() > 0:
                    file.seek(-1, 2)
                    if file.read(1) != b"\n":  # a line torn by a kill must not spoil this one
                        line = b"\n" + line
                file.write(line)
        except OSError as error:
            raise DomainError(
                f"{self.path} cannot be written: {error.strerror}. Make room or choose another folder."
            ) from None
