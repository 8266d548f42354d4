"""The code of Kolmogorov and Tikhomirov: exact errors, exactly as many bits as the entropy."""

import bisect
import itertools
from fractions import Fraction

import numpy as np
import pytest

from epsnet import Box, Target
from epsnet.certify.errors import CheckError, DomainError
from epsnet.codec.lipschitz import LipschitzCode
from epsnet.learning.optimality import entropy

F = Fraction
CODE = LipschitzCode(F(0), F(1), slope=F(1), eps=F(2, 129))


def interpolate(places, values, x):
    k = min(bisect.bisect_right(places, x) - 1, len(places) - 2)
    return values[k] + (values[k + 1] - values[k]) * (x - places[k]) / (places[k + 1] - places[k])


def random_function(rng, steep):
    """Return the breakpoints of a random 1-Lipschitz function with f(0) = 0; with `steep` its slopes are 1 or -1."""
    inner = sorted(set(rng.integers(1, 997, size=int(rng.integers(0, 120))).tolist()))
    places = [F(0), *(F(k, 997) for k in inner), F(1)]
    slopes = [F(int(s)) if steep else F(int(rng.integers(-8, 9)), 8) for s in rng.choice([-1, 1], size=len(places) - 1)]
    rises = [slope * (y - x) for slope, x, y in zip(slopes, places, places[1:], strict=False)]
    return places, list(itertools.accumulate(rises, initial=F(0)))


def test_sixty_four_bits_serve_the_ball_at_one_over_64_5():
    assert CODE.bits == 64
    rng = np.random.default_rng(0)
    worst = F(0)
    for number in range(200):
        places, values = random_function(rng, steep=number % 2 == 0)
        content = CODE.encode(lambda x, f=(places, values): interpolate(*f, x))
        assert len(content) == 8
        ends, heights = CODE.decode(content)
        # The difference is piecewise linear: its maximum lies at a breakpoint of one of the two.
        every = {*places, *ends}
        errors = (abs(interpolate(places, values, x) - interpolate(ends, heights, x)) for x in every)
        worst = max(worst, *errors)
    assert F(9, 10) * CODE.eps < worst <= CODE.eps


@pytest.mark.parametrize("eps", ["2/129", "1/4", "1/3", "1", "3/10"])
def test_the_bits_are_the_entropy_that_the_checker_derives(eps):
    bounds, _ = entropy(Target("x", Box(0, 1)), F(eps))
    least = int(bounds[0].limit) if bounds else 0
    assert LipschitzCode(F(0), F(1), slope=F(1), eps=F(eps)).bits == least


def test_every_code_is_a_function_of_its_own():
    """All 2^6 codes of a small ball: each comes back from the function it stands for."""
    code = LipschitzCode(F(-1), F(2), slope=F(2), eps=F(6, 7), start=F(5))
    assert code.bits == 6
    seen = set()
    for number in range(64):
        content = (number << 2).to_bytes(1, "big")
        places, values = code.decode(content)
        assert code.encode(lambda x, f=(places, values): interpolate(*f, x)) == content
        seen.add(tuple(values))
    assert len(seen) == 64


def test_what_is_not_of_the_class_is_refused():
    with pytest.raises(DomainError, match="steeper"):
        CODE.encode(lambda x: 2 * x)
    with pytest.raises(DomainError, match="starts elsewhere"):
        CODE.encode(lambda x: F(1))
    for content in (b"", bytes(7), bytes(9)):
        with pytest.raises(CheckError, match="64 bits"):
            CODE.decode(content)
    with pytest.raises(CheckError, match="3 bits"):
        LipschitzCode(F(0), F(1), slope=F(1), eps=F(1, 4)).decode(b"\x01")
    with pytest.raises(DomainError, match="eps > 0"):
        LipschitzCode(F(0), F(1), slope=F(1), eps=F(0))
