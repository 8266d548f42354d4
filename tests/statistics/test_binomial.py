"""Clopper-Pearson against scipy, mpmath and the definition."""

from fractions import Fraction
from math import comb

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic, round_down, round_up
from epsnet.certify.tails import binomial_tail
from epsnet.statistics.binomial import clopper_pearson


@given(st.integers(1, 60), st.data(), st.fractions(Fraction(1, 100), Fraction(99, 100)))
@settings(max_examples=100, deadline=None)
def test_the_tail_is_the_sum_of_its_terms(trials, data, p):
    successes = data.draw(st.integers(0, trials))
    exact = sum(comb(trials, i) * p**i * (1 - p) ** (trials - i) for i in range(successes + 1))
    with ball_arithmetic():
        tail = binomial_tail(successes, trials, p)
        assert round_down(tail) <= exact <= round_up(tail)
        assert round_up(tail) - round_down(tail) < 1e-13


@pytest.mark.parametrize(
    ("errors", "trials"), [(0, 1), (0, 100), (1, 2), (3, 100), (250, 10_000), (9_999, 10_000), (600, 60_000)]
)
@pytest.mark.parametrize("delta", [Fraction(1, 100), Fraction(1, 20), Fraction(1, 10**9)])
def test_it_is_the_quantile_of_a_beta_distribution(errors, trials, delta):
    value = clopper_pearson(errors, trials, delta)
    assert value == pytest.approx(beta.isf(float(delta), errors + 1, trials - errors), rel=1e-9)
    with mpmath.workdps(40):
        tail = mpmath.betainc(trials - errors, errors + 1, 0, 1 - mpmath.mpf(value), regularized=True)
        assert tail <= mpmath.mpf(delta.numerator) / delta.denominator
        below = mpmath.betainc(
            trials - errors, errors + 1, 0, 1 - mpmath.mpf(value) * (1 - mpmath.mpf(2) ** -48), regularized=True
        )
        assert below > mpmath.mpf(delta.numerator) / delta.denominator


def test_all_errors_bound_nothing():
    assert clopper_pearson(7, 7, Fraction(1, 100)) == 1.0


@pytest.mark.parametrize(
    ("errors", "trials", "delta"),
    [(-1, 3, Fraction(1, 2)), (4, 3, Fraction(1, 2)), (0, 0, Fraction(1, 2)), (0, 3, Fraction(0)), (0, 3, Fraction(1))],
)
def test_impossible_counts_are_refused(errors, trials, delta):
    with pytest.raises(DomainError, match="no experiment"):
        clopper_pearson(errors, trials, delta)
