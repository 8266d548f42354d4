"""The range of a difference: contains the true values, and is narrow where a smooth network is close."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import arb

from epsnet.certify.domain import Box
from epsnet.certify.rounding import ball_arithmetic
from epsnet.core import enclose
from epsnet.core.difference import difference_range
from epsnet.core.network import Network
from epsnet.core.target import Target

TRUE = {
    "tanh": mpmath.tanh, "sin": mpmath.sin, "erf": mpmath.erf, "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)), "gelu": lambda z: z * mpmath.ncdf(z),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUE)
def test_contains_the_values_in_thirty_digits(name):
    rng = np.random.default_rng(5)
    w, b, v, c, a = (rng.normal(size=shape) for shape in ((4, 1), (4,), (3, 4), (3,), (1, 3)))
    network = Network.from_layers([(w, b), (v, c), (a, np.zeros(1))], activation=name)
    target, sigma = Target("exp(x)*cos(2*x)", Box(-2, 2)), TRUE[name]
    with mpmath.workdps(30):
        for center in (-1.25, 0.0, 0.6875):
            lower, upper = Fraction(center) - Fraction(1, 64), Fraction(center) + Fraction(1, 64)
            with ball_arithmetic():
                low, high = difference_range(target.expression, target.variables, network, (lower,), (upper,))
                wide = enclose.difference_range(target.expression, target.variables, network, (lower,), (upper,))
                assert wide[0] <= low and high <= wide[1]
            for t in np.linspace(float(lower), float(upper), 9):
                hidden = [sigma(mpmath.mpf(p) * t + q) for p, q in zip(w[:, 0].tolist(), b.tolist(), strict=True)]
                hidden = [
                    sigma(sum(p * h for p, h in zip(row, hidden, strict=True)) + q)
                    for row, q in zip(v.tolist(), c.tolist(), strict=True)
                ]
                value = mpmath.exp(t) * mpmath.cos(2 * t) - sum(
                    p * h for p, h in zip(a[0].tolist(), hidden, strict=True)
                )
                with ball_arithmetic():
                    assert low <= arb(mpmath.nstr(value, 28)) + arb(0, 1e-25)
                    assert high >= arb(mpmath.nstr(value, 28)) - arb(0, 1e-25)


def test_is_narrow_where_the_network_is_close():
    # 1e-10 apart: a second-order model of either on this cell is wide by 1e-5, however close they are.
    network = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [1e-10])], activation="tanh")
    target = Target("tanh(x)", Box(0, 1))
    with ball_arithmetic():
        low, high = difference_range(target.expression, target.variables, network, (Fraction(0),), (Fraction(1, 32),))
        assert -1.1e-10 < float(low) <= -1e-10 <= float(high) < -0.9e-10


def test_kinks_leave_the_other_forms():
    network = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])])
    target = Target("abs(x)", Box(-1, 1))
    with ball_arithmetic():
        low, high = difference_range(
            target.expression, target.variables, network, (Fraction(-1, 4),), (Fraction(1, 4),)
        )
        assert low <= 0 and high >= 0.25
