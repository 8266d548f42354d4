r"""Rates from measurements: the exponent r and the constant C of y = C x^r, with Student-t confidence intervals.

With u_i the regressor, v_i the response, m measurements and v = a + b u + noise, least squares gives

$$ b = \frac{\sum_i (u_i - \bar u)\,v_i}{S}, \quad a = \bar v - b \bar u, \quad S = \sum_i (u_i - \bar u)^2, \quad
   s^2 = \frac{1}{m-2} \sum_i (v_i - a - b u_i)^2, $$

and b lies within t s / S^(1/2), a within t s (1/m + \bar u^2/S)^(1/2) of the truth with confidence 1 - delta, where t
is the 1 - delta/2 quantile of Student's distribution with m - 2 degrees of freedom. That holds if the noise is
independent and normal with one variance. Nobody checks this here, and measurements that follow from formulas are not
random at all: every interval of this module is ESTIMATED.

Source: N. R. Draper, H. Smith, Applied Regression Analysis, 3rd ed., Wiley 1998, sections 1.3 and 1.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated number with the ends of its confidence interval. ESTIMATED."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """y = constant x^exponent, with the spread of log y around it (s above) and the number of measurements."""

    exponent: Estimate
    constant: Estimate
    spread: float
    points: int


@dataclass(frozen=True, slots=True)
class Limit:
    """y = constant x^exponent + offset for a given exponent, with the spread of y around it."""

    constant: Estimate
    offset: Estimate
    spread: float
    points: int


def fit_rate(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> PowerLaw:
    """Fit y = C x^r by least squares of log y on log x.

    Args:
        x: m >= 3 positive numbers, at least two of them different.
        y: as many positive numbers.
        confidence: 1 - delta of each interval.

    Example:
        >>> round(fit_rate([1, 2, 4], [3, 12, 48]).exponent.value, 12)
        2.0

    Raises:
        DomainError: fewer than 3 measurements, or one that is not positive and finite.
    """
    u, v = _measurements(x, y)
    intercept, slope, spread = _line(np.log(u), np.log(v), confidence)
    constant = Estimate(*(math.exp(end) for end in (intercept.value, intercept.low, intercept.high)))
    return PowerLaw(slope, constant, spread, len(u))


def fit_limit(x: ArrayLike, y: ArrayLike, exponent: float, confidence: float = 0.95) -> Limit:
    r"""Fit y = C x^r + B for a known r: C estimates the limit of y x^-r where x^r grows without bound.

    A log-log fit of such y has a slope off by about B/y; here the bounded part B is separated, as in Richardson's
    extrapolation.

    Args:
        x: m >= 3 positive numbers, at least two of them different.
        y: as many positive numbers.
        exponent: r, not 0.
        confidence: 1 - delta of each interval.

    Raises:
        DomainError: as for `fit_rate`, or r = 0.
    """
    if exponent == 0:
        raise DomainError("An exponent 0 leaves nothing to fit. Give another one.")
    u, v = _measurements(x, y)
    offset, constant, spread = _line(u**exponent, v, confidence)
    return Limit(constant, offset, spread, len(u))


def _measurements(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u, v = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if u.ndim != 1 or u.shape != v.shape or len(u) < 3 or len(np.unique(u)) < 2:
        raise DomainError(
            f"A rate needs at least 3 measurements at 2 places, here are arrays of shape {u.shape} and {v.shape}. "
            "Give two lists of equal length."
        )
    if not (np.isfinite(u).all() and np.isfinite(v).all() and (u > 0).all() and (v > 0).all()):
        raise DomainError("A measurement is not positive and finite. Leave it out or mend it.")
    return u, v


def _line(u: NDArray[np.float64], v: NDArray[np.float64], confidence: float) -> tuple[Estimate, Estimate, float]:
    """Return intercept, slope and spread of v = a + b u."""
    from scipy.special import stdtrit

    if not 0 < confidence < 1:
        raise DomainError(f"The confidence {confidence} is not between 0 and 1. Give something like 0.95.")
    m, mean = len(u), u.mean()
    sum_of_squares = float(np.sum((u - mean) ** 2))
    slope = float(np.sum((u - mean) * v) / sum_of_squares)
    intercept = float(v.mean() - slope * mean)
    spread = math.sqrt(float(np.sum((v - intercept - slope * u) ** 2)) / (m - 2))
    quantile = float(stdtrit(m - 2, (1 + confidence) / 2))
    half_slope = quantile * spread / math.sqrt(sum_of_squares)
    half_intercept = quantile * spread * math.sqrt(1 / m + mean**2 / sum_of_squares)
    return (
        Estimate(intercept, intercept - half_intercept, intercept + half_intercept),
        Estimate(slope, slope - half_slope, slope + half_slope),
        spread,
    )
