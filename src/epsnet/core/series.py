r"""Taylor models of a formula or a network in one variable: f(c + h) with all its coefficients in balls.

$$ f(c + h) = \sum_{i < n} f_i h^i + f_n h^n, \qquad f_i = f^{(i)}(c) / i!, \quad f_n \in f^{(n)}(X) / n!, $$

by Taylor's theorem with the remainder of Lagrange, X an interval that contains c and c + h. The coefficients come from
power series over balls: at the center for i < n, over X for i = n. Where a coefficient is not known (a kink, a pole)
it is not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flint import arb, arb_series

from epsnet.certify.rounding import ball
from epsnet.core.enclose import jet_range
from epsnet.core.evaluate import Jet, fold
from epsnet.core.expression import CONSTANTS, Expression
from epsnet.core.functions import UNKNOWN, Function
from epsnet.core.network import Network
from epsnet.core.realize import forward

ORDER = 8
"""n. python-flint computes series to at least n + 1 coefficients by default."""

Series = arb_series


def series_at(center: arb, slope: int = 1) -> Series:
    """Return center + slope h."""
    return arb_series([center, slope], ORDER + 1)


def constant(value: arb) -> Series:
    """Return a constant as a series."""
    return arb_series([value], ORDER + 1)


def _unknown() -> Series:
    return arb_series([UNKNOWN] * (ORDER + 1), ORDER + 1)


def _sigmoid(y: Series) -> Series:
    # Far left exp(-y) would leave the range of balls.
    left = y[0] < 0
    below = 1 + (y if left else -y).exp()
    if not below[0] > 0:
        return _unknown()
    return y.exp() / below if left else 1 / below


def _inverse_sine(y: Series) -> Series:
    return y.asin() if abs(y[0]) < 1 else _unknown()


def _positive(f: Callable[[Series], Series]) -> Callable[[Series], Series]:
    return lambda y: f(y) if y[0] > 0 else _unknown()


def _quotient(numerator: Callable[[Series], Series], denominator: Callable[[Series], Series]) -> Callable:
    def divided(y: Series) -> Series:
        below = denominator(y)
        return numerator(y) / below if below[0] > 0 or below[0] < 0 else _unknown()

    return divided


_MAPS: Mapping[str, Callable[[Series], Series]] = {
    "exp": lambda y: y.exp(),
    "log": _positive(lambda y: y.log()),
    "sqrt": _positive(lambda y: y.sqrt()),
    "step": lambda _: _unknown(),
    "sin": lambda y: y.sin(),
    "cos": lambda y: y.cos(),
    "tan": _quotient(lambda y: y.sin(), lambda y: y.cos()),
    "sinh": lambda y: (y.exp() - (-y).exp()) / 2,
    "cosh": lambda y: (y.exp() + (-y).exp()) / 2,
    "tanh": lambda y: 2 * _sigmoid(2 * y) - 1,
    "asin": _inverse_sine,
    "acos": lambda y: arb.pi() / 2 - _inverse_sine(y),
    "atan": lambda y: y.atan(),
    "erf": lambda y: y.erf(),
    "sigmoid": _sigmoid,
    "softplus": lambda y: (1 + y.exp()).log() if y[0] < 0 else y + (1 + (-y).exp()).log(),
    "gelu": lambda y: y * (1 + (y / arb(2).sqrt()).erf()) / 2,
    "silu": lambda y: y * _sigmoid(y),
    "reciprocal": _quotient(lambda _: constant(arb(1)), lambda y: y),
}  # fmt: skip


def _apply(function: Function, y: Series) -> Series:
    if not all(y[i].is_finite() for i in range(ORDER + 1)):
        return _unknown()
    if function.slopes is not None:
        slope = function.derivative(y[0])
        return slope * y if slope.is_exact() else _unknown()
    return _MAPS[function.name](y)


def evaluate_series(expression: Expression, variable: Series) -> Series:
    """Return the power series of a formula in one variable, at a series for that variable."""

    def leaf(node: Expression) -> Series:
        if node.op == "variable":
            return variable
        return constant(ball(node.value) if node.op == "number" else CONSTANTS[node.value]())

    def power(y: Series, k: int) -> Series:
        result = y
        for bit in bin(k)[3:]:
            result = result * result * y if bit == "1" else result * result
        return result

    return fold(expression, leaf=leaf, function=_apply, power=power)


def network_series(network: Network, variable: Series) -> Series:
    """Return the power series of the first output of a network with one input, at a series for that input."""
    values = forward(network, [variable], constant=lambda bias: constant(ball(bias)), multiplier=ball, activate=_apply)
    return values[-1][0]


def series_range(at_center: Series, on_interval: Series, radius: arb) -> tuple[arb, arb]:
    """Enclose the values of a Taylor model over |h| <= radius.

    The terms from the third on widen the curvature of the quadratic part, whose extremes are exact.

    Returns:
        Balls of radius 0, (low, high); infinite where nothing is known.
    """
    if min(at_center.prec, on_interval.prec) <= ORDER:
        return arb.neg_inf(), arb.pos_inf()
    rest = arb(0)
    for i in range(ORDER, 2, -1):
        coefficient = on_interval[i] if i == ORDER else at_center[i]
        rest = (rest + abs(coefficient).upper()) * radius
    curvature = 2 * (at_center[2] + rest * arb(0, 1))
    none = arb(0)
    center = Jet(at_center[0], (at_center[1],), ((none,),))
    return jet_range(center, Jet(UNKNOWN, (UNKNOWN,), ((curvature,),)), (radius,))
