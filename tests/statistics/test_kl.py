"""The inverses of the binary relative entropy against printed values, mpmath and their own definition."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.statistics.binomial import clopper_pearson
from epsnet.statistics.kl import binary_kl, kl_lower, kl_upper


@pytest.mark.parametrize(
    ("q", "c", "digits"),
    [
        (0, 0.01, "0.00995016625083195"),
        (0.01, 0.001, "0.0151230456042616"),
        (0.028, 0.1, "0.167000959477871"),
        (0.3, 0.5, "0.771382328607575"),
        (1e-5, 1e-9, "1.01420880865576e-5"),
    ],
)
def test_printed_values(q, c, digits):
    assert f"{kl_upper(q, c):.15g}" == f"{float(digits):.15g}"


@pytest.mark.parametrize(
    ("errors", "points", "delta", "digits"),
    [
        (0, 1000, "1/20", "0.0029912495450953"),
        (312, 30000, "1/20", "0.011416076204615"),
        (118, 10000, "1/100", "0.014563421061768"),
    ],
)
def test_printed_values_of_clopper_and_pearson(errors, points, delta, digits):
    assert clopper_pearson(errors, points, Fraction(delta)) == pytest.approx(float(digits), rel=1e-13)


def exact_kl(q, p):
    q, p = mpmath.mpf(q), mpmath.mpf(p)
    first = q * mpmath.log(q / p) if q else mpmath.mpf(0)
    return first + ((1 - q) * mpmath.log((1 - q) / (1 - p)) if q < 1 else 0)


@settings(max_examples=60, deadline=None)
@given(
    q=st.one_of(st.just(0.0), st.just(1.0), st.floats(1e-9, 1 - 1e-9)),
    c=st.floats(1e-12, 20.0),
)
def test_against_mpmath(q, c):
    """The value is on the safe side of the root, by rounding only."""
    with mpmath.workdps(60):
        upper, lower = kl_upper(q, c), kl_lower(q, c)
        assert lower <= q <= upper <= 1
        if upper < 1:
            assert exact_kl(q, upper) >= c
            inside = mpmath.mpf(upper) - mpmath.mpf(upper) * mpmath.mpf(2) ** -51
            assert inside <= q or exact_kl(q, inside) <= c
        if lower > 0:
            assert exact_kl(q, lower) >= c
            inside = mpmath.mpf(lower) + mpmath.mpf(lower) * mpmath.mpf(2) ** -51
            assert inside >= q or exact_kl(q, inside) <= c


def test_mirror_and_ends():
    assert kl_upper(1, 0.3) == 1
    assert kl_lower(0, 0.3) == 0
    assert kl_lower(1, 0.25) == pytest.approx(1 - kl_upper(0, 0.25), rel=1e-15)
    assert kl_upper(0.2, 0) == kl_lower(0.2, 0) == 0.2
    assert kl_upper(0, 1e-300) < 1e-30
    assert kl_upper(Fraction(1, 3), 1e6) == 1
    with ball_arithmetic():
        assert binary_kl(0.5, 0.5) == 0


@pytest.mark.parametrize(("q", "c"), [(-0.1, 1), (1.1, 1), (0.5, -1), (float("nan"), 1), (0.5, float("nan"))])
def test_out_of_range(q, c):
    with pytest.raises(DomainError, match="Use 0 <= q <= 1"):
        kl_upper(q, c)
