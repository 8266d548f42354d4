"""Progress on stderr: of a training a bar with the time left on a terminal, of a search a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

_EVERY = 5.0  # seconds


class EpochProgress:
    """A context manager whose value is called with the record of each epoch and the number of epochs.

    It writes to stderr, nothing if `quiet`.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None
        self.task: Any = None
        self.start = time.monotonic()
        self.first = 0

    def __enter__(self) -> EpochProgress:
        """Start the clock."""
        return self

    def __call__(self, record: Any, epochs: int) -> None:
        """Show one more epoch."""
        if self.quiet:
            return
        text = f"loss {record.empirical_risk:.4g}   validation error {record.validation_error:.4f}"
        if sys.stderr.isatty():
            self._advance(record.epoch, epochs, text)
            return
        self.first = self.first or record.epoch
        if record.epoch % max(epochs // 10, 1) == 0 or record.epoch == epochs:
            left = (time.monotonic() - self.start) / (record.epoch - self.first + 1) * (epochs - record.epoch)
            print(f"epoch {record.epoch}/{epochs}   {text}   {left:.0f} s left", file=sys.stderr, flush=True)

    def _advance(self, epoch: int, epochs: int, text: str) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                "epoch",
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
            )
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task(text, total=epochs)
        self.bar.update(self.task, completed=epoch, description=text)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar on the screen as it is."""
        if self.bar is not None:
            self.bar.stop()


class BracketProgress:
    """What a search calls with the number of boxes and its bracket; it writes a line every few seconds."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.last = time.monotonic()

    def __call__(self, boxes: int, lower: float, upper: float) -> None:
        """Show the bracket so far."""
        now = time.monotonic()
        if not self.quiet and now - self.last >= _EVERY:
            self.last = now
            print(f"{boxes:,} boxes   between {lower:.6g} and {upper:.6g}", file=sys.stderr, flush=True)


class StageProgress:
    """What a compression calls with each stage and facts about it; it writes a line for each network."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Show a network."""
        if not self.quiet:
            known = (
                f"{facts['weights']:,} weights" if "weights" in facts else "",
                f"{facts['bits']:,} bits" if "bits" in facts else "",
                f"error <= {facts['error']:.4g}" if "error" in facts else "",
            )
            print(f"{stage:<24} {', '.join(filter(None, known))}", file=sys.stderr, flush=True)
