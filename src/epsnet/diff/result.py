"""What training hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from epsnet.certify.errors import EpsnetError
from epsnet.diff.normalization import Layer

Status = Literal["finished", "patience", "interrupted", "diverged", "stationary", "no decrease"]


class EpochRecord(NamedTuple):
    """One line of the history.

    epoch counts from 1. empirical_risk is the mean loss of the batches as they were met, in the units of the data.
    On the validation sample, risk is the mean loss, and error the misclassified fraction (cross entropy) or the root
    mean square error (square loss); both are NaN without a validation sample.
    """

    epoch: int
    empirical_risk: float
    validation_risk: float
    validation_error: float


@dataclass(frozen=True)
class FitResult:
    """A trained network.

    Arguments:
        layers: the pairs (A_l, b_l) of the best epoch in float64; they take raw inputs and return logits
            or raw targets.
        history: one record per epoch.
        best_epoch: the epoch the layers come from: the least validation error, ties broken by the validation risk;
            the last epoch without a validation sample; 0 is the initialization.
        status: why training ended: all epochs done, no progress within the patience, interrupted, or diverged; for
            optimizers of the whole sample also: the gradient vanished, or no decrease was found within float64.
        diverged_at: the step, counted from 1 over all epochs, or the iteration of an optimizer of the whole sample, at
            which the loss, a weight or the validation was first not finite; None otherwise.
    """

    layers: list[Layer]
    history: list[EpochRecord]
    best_epoch: int
    status: Status
    diverged_at: int | None = None


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; `results` are the best networks so far, one for each seed, and `result` is the first."""

    def __init__(self, results: list[FitResult]) -> None:
        super().__init__("training was interrupted")
        self.results = results
        self.result = results[0]


class DivergenceError(EpsnetError):
    """The loss left the finite numbers; `result` is the best of the epochs before."""

    def __init__(self, message: str, result: FitResult) -> None:
        super().__init__(message)
        self.result = result
