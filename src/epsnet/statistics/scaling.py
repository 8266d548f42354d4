"""Detection of inputs that were scaled by statistics of the very sample they belong to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CLOSE = 1e-6
_LEAST, _SOME = 8, 256


def fitted_scaling(inputs: NDArray[np.float64]) -> str | None:
    """Say how inputs (n, d) were fitted to themselves: centered, standardized or scaled to a range; None if not.

    A bound for fixed features is void when the features depend on the sample. Points drawn from a distribution have
    neither the mean 0, the variance 1 nor the range [0, 1] or [-1, 1] to six digits in every column, nor both the mean
    0 and the variance 1 in one column or in all numbers together. The ends of a range and a single column only count
    if most of its values differ, for those of pixels and the mean of coins are often attained.
    """
    if len(inputs) < _LEAST:
        return None
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    varied = inputs[:, high > low]
    if varied.shape[1] == 0:
        return None
    mean, std = varied.mean(axis=0), varied.std(axis=0)
    if (np.abs(mean) <= _CLOSE * std).all():
        return "centered at their own mean"
    some = varied[:_SOME]
    many = np.array([len(np.unique(column)) > 0.8 * len(some) for column in some.T])
    for factor in (1.0, (len(varied) / (len(varied) - 1)) ** 0.5):
        if (np.abs(std * factor - 1) <= _CLOSE).all():
            return "scaled by their own standard deviation"
        if (many & _standard(mean, std * factor)).any():
            return "standardized by their own mean and deviation in some columns"
    if many.any() and _standard(inputs.mean(), inputs.std()):
        return "standardized by the mean and the deviation of all of them"
    low, high = varied.min(axis=0), varied.max(axis=0)
    for lower in (0.0, -1.0):
        if many.any() and ((np.abs(low - lower) <= _CLOSE) & (np.abs(high - 1) <= _CLOSE))[many].all():
            return "scaled to their own range"
    return None


def _standard(mean: NDArray[np.float64] | np.floating, std: NDArray[np.float64] | np.floating) -> NDArray[np.bool_]:
    return np.asarray((np.abs(mean) <= _CLOSE * std) & (np.abs(std - 1) <= _CLOSE))
