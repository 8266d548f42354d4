"""The theorem registry: every statement that a bound may rest on, with its hypotheses and its source."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources

from epsnet.certify.errors import CheckError


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement with its source; the text lives in theorems.toml."""

    key: str
    statement: str
    hypotheses: tuple[str, ...]
    source: str
    bibtex: str


@functools.cache
def registry() -> dict[str, Theorem]:
    """Return all theorems by key."""
    text = (resources.files("epsnet.certify") / "theorems.toml").read_text(encoding="utf-8")
    return {
        key: Theorem(key, entry["statement"], tuple(entry["hypotheses"]), entry["source"], entry["bibtex"])
        for key, entry in tomllib.loads(text).items()
    }


def theorem(key: str) -> Theorem:
    """Return one theorem; CheckError if no such key is registered."""
    try:
        return registry()[key]
    except KeyError:
        raise CheckError(
            f"No theorem is registered as {key!r}. Use a key of epsnet.certify.theorems.registry()."
        ) from None
