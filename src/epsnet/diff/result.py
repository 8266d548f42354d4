"""What training hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from epsnet.certify.errors import EpsnetError
from epsnet.diff.normalization import Layer


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
        status: why training ended: all epochs done, no progress within the patience, interrupted, or diverged.
    """

    layers: list[Layer]
    history: list[EpochRecord]
    best_epoch: int
    status: Literal["finished", "patience", "interrupted", "diverged"]


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; `result` is the best so far."""

    def __init__(self, result: FitResult) -> None:
        super().__init__("training was interrupted")
        self.result = result


class DivergenceError(EpsnetError):
    """The loss left the finite numbers; `result` is the best of the epochs before."""

    def __init__(self, message: str, result: FitResult) -> None:
        super().__init__(message)
        self.result = result
