"""Rates against numpy.linalg, scipy.stats and mpmath's Student quantile, and their coverage on random data."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from epsnet import DomainError
from epsnet.experiments import fit_limit, fit_rate


def generator(*key):
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


@pytest.mark.parametrize(("exponent", "constant"), [(-0.5, 0.3), (2.0, 7.0), (-3.0, 1e-5)])
def test_exact_power_law(exponent, constant):
    x = np.geomspace(1e-4, 10, 9)
    law = fit_rate(x, constant * x**exponent)
    assert law.points == 9
    assert law.exponent.value == pytest.approx(exponent, rel=1e-13)
    assert law.constant.value == pytest.approx(constant, rel=1e-12)
    assert law.spread < 1e-12
    assert law.exponent.low <= law.exponent.value <= law.exponent.high
    assert law.constant.low <= law.constant.value <= law.constant.high


def student(probability, freedom):
    """The quantile of Student's distribution from the incomplete beta function, by bisection in mpmath."""

    def cdf(t):
        z = freedom / (freedom + t * t)
        return 1 - mpmath.betainc(mpmath.mpf(freedom) / 2, mpmath.mpf(1) / 2, 0, z, regularized=True) / 2

    return float(mpmath.findroot(lambda t: cdf(t) - probability, (0.5, 60), solver="ridder"))


def test_against_scipy_and_mpmath():
    x = np.geomspace(1, 100, 8)
    y = 3 * x**-0.7 * np.exp(0.1 * generator(1).normal(size=8))
    law = fit_rate(x, y, confidence=0.9)
    peer = stats.linregress(np.log(x), np.log(y))
    quantile = student(0.95, 6)
    assert law.exponent.value == pytest.approx(peer.slope, rel=1e-12)
    assert law.exponent.high - law.exponent.value == pytest.approx(quantile * peer.stderr, rel=1e-9)
    assert math.log(law.constant.value) == pytest.approx(peer.intercept, rel=1e-12)
    half = math.log(law.constant.high / law.constant.value)
    assert half == pytest.approx(quantile * peer.intercept_stderr, rel=1e-9)


def test_coverage():
    """95% intervals miss the truth in about 5% of 2,000 draws; P(Bin(2000, 0.05) outside [60, 140]) < 1e-4."""
    x = np.geomspace(1, 50, 6)
    misses = [0, 0]
    for draw in range(2000):
        law = fit_rate(x, 2 * x**0.5 * np.exp(0.2 * generator(2, draw).normal(size=6)))
        misses[0] += not law.exponent.low <= 0.5 <= law.exponent.high
        misses[1] += not law.constant.low <= 2 <= law.constant.high
    assert all(60 <= count <= 140 for count in misses)


def test_limit_separates_the_bounded_part():
    x = np.geomspace(1e-5, 1e-2, 12)
    y = 0.75 * x**-0.5 + 3
    found = fit_limit(x, y, -0.5)
    assert found.constant.value == pytest.approx(0.75, rel=1e-12)
    assert found.offset.value == pytest.approx(3, rel=1e-10)
    # The plain power law is off, which is why the other fit exists.
    assert abs(fit_rate(x, y).exponent.value + 0.5) > 0.01
    matrix = np.stack([np.ones(12), x**-0.5], axis=1)
    noisy = y + generator(3).normal(size=12)
    offset, constant = np.linalg.lstsq(matrix, noisy)[0]
    found = fit_limit(x, noisy, -0.5)
    assert (found.offset.value, found.constant.value) == pytest.approx((offset, constant), rel=1e-10)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2], [1, 2]),
        ([1, 2, 3], [1, 2]),
        ([2, 2, 2], [1, 2, 3]),
        ([1, 2, 3], [1, 0, 3]),
        ([1, -2, 3], [1, 2, 3]),
        ([1, 2, math.nan], [1, 2, 3]),
        ([1, 2, 3], [1, 2, math.inf]),
        ([[1, 2, 3]], [[1, 2, 3]]),
    ],
    ids=["two", "lengths", "one place", "zero", "negative", "nan", "infinite", "matrix"],
)
def test_refused(x, y):
    with pytest.raises(DomainError, match=r"(Give|Leave) .*\.$"):
        fit_rate(x, y)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, math.nan])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(DomainError, match="Give something like"):
        fit_rate([1, 2, 3], [1, 2, 3], confidence)


def test_limit_needs_an_exponent():
    with pytest.raises(DomainError, match="Give another"):
        fit_limit([1, 2, 3], [1, 2, 3], 0)
