"""The error family. Every message says what was wrong and ends with one sentence on what to do."""

from __future__ import annotations

from typing import Any


class EpsnetError(Exception):
    """Base class of every error that epsnet raises on purpose."""


class DomainError(EpsnetError, ValueError):
    """The input is not one the mathematics applies to: NaN, an empty domain, a pole, an unknown name, eps <= 0."""


class HypothesisError(EpsnetError):
    """A hypothesis of the theorem that was asked for does not hold, or no theorem covers the request."""


class PrecisionError(EpsnetError):
    """The arithmetic asked for cannot represent the result, e.g. tanh in exact rationals."""


class CheckError(EpsnetError):
    """The checker disagrees with a certificate: wrong hash, unknown rule, or a claim that does not follow."""


class MissingExtraError(EpsnetError):
    """An optional dependency is not installed; the message carries the pip line to type."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}'. Type: python -m pip install 'epsnet[{extra}]'")
        self.extra = extra


class CertificateError(EpsnetError):
    """The accuracy asked for was not certified; the best solution found is attached as `best`."""

    def __init__(self, message: str, *, asked: float, achieved: float, best: Any = None) -> None:
        super().__init__(message)
        self.asked = asked
        self.achieved = achieved
        self.best = best
