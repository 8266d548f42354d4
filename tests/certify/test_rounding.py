"""Outward rounding against exact rationals, and a precision that concurrent threads share."""

import math
import threading
from fractions import Fraction

import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.rounding import BALL_PRECISION, ball, ball_arithmetic, gamma, round_down, round_up, to_fraction

rationals = st.fractions(min_value=-(10**30), max_value=10**30)


@given(rationals)
def test_rounding_is_outward_and_tight(value):
    up, down = round_up(value), round_down(value)
    assert Fraction(down) <= value <= Fraction(up)
    assert up in (down, math.nextafter(down, math.inf))


@given(rationals)
def test_a_ball_contains_its_number_and_rounds_outward(value):
    with ball_arithmetic():
        enclosure = ball(value)
        assert enclosure.contains(ball(value))
        assert Fraction(round_down(enclosure)) <= value <= Fraction(round_up(enclosure))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_become_balls_exactly(value):
    with ball_arithmetic():
        assert ball(value).is_exact()
        assert to_fraction(ball(value)) == Fraction(value)
        assert round_up(ball(value)) == round_down(ball(value)) == value


def test_the_ends_of_the_range():
    tiny = Fraction(1, 2**1100)
    assert (round_up(tiny), round_down(tiny)) == (5e-324, 0.0)
    assert (round_up(-tiny), round_down(-tiny)) == (-0.0, -5e-324)
    huge = Fraction(10) ** 400
    assert (round_up(huge), round_down(huge)) == (math.inf, 1.7976931348623157e308)
    assert (round_up(arb(0, "inf")), round_down(arb(0, "inf"))) == (math.inf, -math.inf)
    assert round_up(arb.nan()) == math.inf


def test_gamma_is_the_textbook_number():
    u = Fraction(1, 2**53)
    assert gamma(10) == 10 * u / (1 - 10 * u)
    with pytest.raises(ValueError, match="undefined"):
        gamma(2**53)


def test_threads_share_the_precision_and_restore_it():
    before, seen, gate = ctx.prec, [], threading.Barrier(4)

    def work():
        for _ in range(200):
            with ball_arithmetic():
                seen.append(ctx.prec)
                with ball_arithmetic():
                    seen.append(ctx.prec)
                seen.append(ctx.prec)
        gate.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {BALL_PRECISION}
    assert ctx.prec == before
