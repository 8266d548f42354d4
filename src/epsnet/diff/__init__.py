"""The JAX floor: realization of networks, empirical risk minimization, and the float64 scope."""

from epsnet.diff.defaults import defaults
from epsnet.diff.precision import precise
from epsnet.diff.realize import realize
from epsnet.diff.result import DivergenceError, EpochRecord, FitResult, TrainingInterrupted
from epsnet.diff.training import fit, fit_seeds

__all__ = [
    "DivergenceError",
    "EpochRecord",
    "FitResult",
    "TrainingInterrupted",
    "defaults",
    "fit",
    "fit_seeds",
    "precise",
    "realize",
]
