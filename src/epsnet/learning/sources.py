"""Where data comes from: presets by name, files by path. The test part is opened only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from epsnet.certify.errors import DomainError
from epsnet.data import Sample, load_mnist, read_data
from epsnet.learning.data import set_aside

PRESETS = ("mnist",)


@dataclass(frozen=True, slots=True)
class Source:
    """A sample to train on and, as a function that opens it, the sample to measure the risk on."""

    train: Callable[[], Sample]
    test: Callable[[], Sample]


def open_source(name: str, *, data: str | None = None, label: str | None = None, seed: int = 0) -> Source:
    """Return a preset, whose files `data` may replace, or the data at a path.

    Without a test part of its own a fifth of the data is set aside by `seed`.

    Raises:
        DomainError: unknown preset, or the files cannot be read.
    """
    if data is None and name in PRESETS:
        if label is not None:
            raise DomainError(f"The preset {name} has its own labels. Leave --label out.")
        return Source(lambda: load_mnist("train"), lambda: load_mnist("test"))
    train, test = read_data(Path(data or name), label)
    if test is not None:
        return Source(lambda: train, lambda: test)
    kept, aside = set_aside(train, seed)
    return Source(lambda: kept, lambda: aside)
