"""The record of one network in training: its history, its best epoch, and why it ended."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from epsnet.diff.normalization import fold
from epsnet.diff.problem import Problem
from epsnet.diff.result import EpochRecord, FitResult, Status


class Track(NamedTuple):
    """What one network has reached: its best parameters, and whether and why it no longer counts."""

    best: list[Any]
    best_epoch: int = 0
    history: tuple[EpochRecord, ...] = ()
    ended: Status | None = None
    failed: int | None = None

    def extended(
        self, record: EpochRecord, params: list[Any], options: dict[str, Any], validated: bool, step: int
    ) -> Track:
        """Return the track with one more epoch; where a number is not finite it ends before, and failed in `step`."""
        seen = record[1:] if validated else record[1:2]
        if not all(np.all(np.isfinite(value)) for value in (*seen, *jax.tree.leaves(params))):
            return self._replace(ended="diverged", failed=step)
        history = (*self.history, record)
        better = self.best_epoch == 0 or _score(record) <= _score(history[self.best_epoch - 1])
        best, best_epoch = (params, record.epoch) if better else (self.best, self.best_epoch)
        if record.epoch == options["epochs"]:
            return Track(best, best_epoch, history, "finished")
        patient = record.epoch - best_epoch < (options["patience"] or options["epochs"])
        return Track(best, best_epoch, history, None if patient else "patience")

    def result(self, problem: Problem) -> FitResult:
        """Return the network of the best epoch; a track that has not ended was interrupted."""
        status = self.ended or "interrupted"
        return FitResult(fold(self.best, problem.maps), list(self.history), self.best_epoch, status, self.failed)


def _score(record: EpochRecord) -> tuple[float, float]:
    """Order epochs by validation; without one every epoch scores the same, and the later of two equals wins."""
    if np.isnan(record.validation_error):
        return 0.0, 0.0
    return record.validation_error, record.validation_risk
