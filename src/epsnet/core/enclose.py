r"""Rigorous local models: what a formula, a network and their difference do on one box, in ball arithmetic.

On a box with center c and radii r, t = x - c:

* a network is enclosed by an affine form, R(Phi)(c + t) in v + g . t with a ball v and balls g. Through an affine map
  this is exact; a ReLU of undecided sign becomes lambda z + [0, max(-lambda l, (1 - lambda) u)] on its range [l, u], a
  smooth activation its Taylor polynomial of order 1 at the center with the second derivative over the whole range;
* a formula is enclosed three times, by its range, by the mean value form f(c) + f'(X) t and by the second-order form
  f(c) + f'(c) t + t^T f''(X) t / 2, where X is the whole box (R. E. Moore, Interval Analysis, 1966); a part that is
  unknown (a kink, an infinite slope) leaves the other forms.

These functions verify: they make no choice that a result could depend on other than by becoming wider.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import arb

from epsnet.certify.domain import Box
from epsnet.certify.rounding import ball
from epsnet.core.evaluate import Jet, evaluate_jet
from epsnet.core.expression import Expression
from epsnet.core.functions import UNKNOWN, Function, square
from epsnet.core.network import Network
from epsnet.core.realize import forward


@dataclass(frozen=True, slots=True)
class Cell:
    """A box as balls: center c, radii r, and the interval of every coordinate."""

    center: tuple[arb, ...]
    radius: tuple[arb, ...]
    interval: tuple[arb, ...]

    @classmethod
    def of(cls, lower: Sequence[Fraction], upper: Sequence[Fraction]) -> Cell:
        """Return the cell of the box with these ends."""
        ends = list(zip(lower, upper, strict=True))
        return cls(
            tuple(ball((low + high) / 2) for low, high in ends),
            tuple(ball((high - low) / 2) for low, high in ends),
            tuple(ball(low).union(ball(high)) for low, high in ends),
        )

    @classmethod
    def box(cls, box: Box) -> Cell:
        """Return the cell of a whole box."""
        return cls.of(box.lower, box.upper)


@dataclass(frozen=True, slots=True)
class AffineForm:
    """The set of functions t -> v + g . t with v and g in balls; t ranges over the cell."""

    value: arb
    slopes: tuple[arb, ...]

    def __add__(self, other: AffineForm) -> AffineForm:
        return AffineForm(
            self.value + other.value, tuple(a + b for a, b in zip(self.slopes, other.slopes, strict=True))
        )

    def __rmul__(self, factor: arb) -> AffineForm:
        return AffineForm(factor * self.value, tuple(factor * slope for slope in self.slopes))

    def range(self, cell: Cell) -> arb:
        """Enclose the values on the cell."""
        result = self.value
        for slope, radius in zip(self.slopes, cell.radius, strict=True):
            result = result + slope * radius * arb(0, 1)
        return result

    def shift(self, value: arb) -> AffineForm:
        """Add a ball to the value."""
        return AffineForm(self.value + value, self.slopes)


def _activate(function: Function, form: AffineForm, cell: Cell) -> AffineForm:
    values = form.range(cell)
    if function.slopes is not None:
        left, right = map(ball, function.slopes)
        if values >= 0:
            return right * form
        if values <= 0:
            return left * form
        if not values.is_finite():
            return AffineForm(UNKNOWN, form.slopes)
        low, high = values.lower(), values.upper()
        slope = ((right * high - left * low) / (high - low)).mid()
        # Both gaps: a slope that was rounded out of [left, right] makes one of them negative.
        return (slope * form).shift(arb(0).union((left - slope) * low).union((right - slope) * high))
    constant = AffineForm(function.ball(values), tuple(arb(0) for _ in form.slopes))
    point = form.value.mid()
    slope = function.derivative(point)
    remainder = function.second_derivative(values) * square(values - point) / 2
    if not remainder.is_finite() or not slope.is_finite() or remainder.rad() > constant.value.rad():
        return constant
    return (slope * form.shift(-point)).shift(function.ball(point) + remainder)


def network_forms(network: Network, cell: Cell) -> tuple[list[AffineForm], list[list[arb]]]:
    """Enclose a network on a cell.

    Returns:
        The affine forms of the outputs, and the ranges of the arguments of all activations, layer by layer.
    """
    flat = (arb(0),) * len(cell.center)
    inputs = [AffineForm(c, (*flat[:i], arb(1), *flat[i + 1 :])) for i, c in enumerate(cell.center)]
    arguments: list[arb] = []

    def activate(function: Function, form: AffineForm) -> AffineForm:
        arguments.append(form.range(cell))
        return _activate(function, form, cell)

    values = forward(
        network, inputs, constant=lambda bias: AffineForm(ball(bias), flat), multiplier=ball, activate=activate
    )
    remaining = iter(arguments)
    return values[-1], [[next(remaining) for _ in range(layer.outputs)] for layer in network.layers]


def difference_range(
    expression: Expression, names: Sequence[str], network: Network, lower: Sequence[Fraction], upper: Sequence[Fraction]
) -> tuple[arb, arb]:
    """Enclose f - R(Phi) on a box by the three forms of the module.

    Args:
        expression: f.
        names: its variables in the order of the coordinates.
        network: Phi with one output.
        lower: the lower ends of the box.
        upper: the upper ends of the box.

    Returns:
        Balls of radius 0, (low, high): low <= f(x) - R(Phi)(x) <= high on the box; infinite where nothing is known.
    """
    cell = Cell.of(lower, upper)
    form = network_forms(network, cell)[0][0]
    flat = ((arb(0),) * len(names),) * len(names)
    at_center = evaluate_jet(expression, names, cell.center) + -Jet(form.value, form.slopes, flat)
    on_box = evaluate_jet(expression, names, cell.interval) + -Jet(form.range(cell), form.slopes, flat)
    return jet_range(at_center, on_box, cell.radius)


def jet_range(at_center: Jet, on_box: Jet, radii: Sequence[arb]) -> tuple[arb, arb]:
    """Enclose a function by the three forms of the module, from its jets at the center of a box and over the box.

    Returns:
        Balls of radius 0, (low, high), as in `difference_range`.
    """
    linear = [radius * arb(0, 1) for radius in radii]
    enclosures = [on_box.value]
    mean_value = at_center.value
    for t, slope in zip(linear, on_box.gradient, strict=True):
        mean_value = mean_value + slope * t
    enclosures.append(mean_value)
    if len(radii) == 1:
        low, high = _quadratic_range(at_center.value, at_center.gradient[0], on_box.hessian[0][0], radii[0])
    else:
        second = at_center.value
        for i, t in enumerate(linear):
            second = second + at_center.gradient[i] * t + on_box.hessian[i][i] * square(t) / 2
            for j in range(i):
                second = second + on_box.hessian[i][j] * t * linear[j]
        low, high = second.lower(), second.upper()
    lows = [value for value in (low, *(e.lower() for e in enclosures)) if value.is_finite()]
    highs = [value for value in (high, *(e.upper() for e in enclosures)) if value.is_finite()]
    return functools.reduce(arb.max, lows, arb.neg_inf()), functools.reduce(arb.min, highs, arb.pos_inf())


def _quadratic_range(a: arb, b: arb, curvature: arb, radius: arb) -> tuple[arb, arb]:
    """Bound a + b t + h t^2 / 2 over |t| <= r and h in a ball: radius-0 balls (low, high), not finite if unknown."""
    return -_quadratic_maximum(-a, -b, -curvature, radius), _quadratic_maximum(a, b, curvature, radius)


def _quadratic_maximum(a: arb, b: arb, curvature: arb, radius: arb) -> arb:
    h = curvature.upper()
    at_ends = a + abs(b) * radius + h * square(radius) / 2
    if h < 0 and abs(b) < -h * radius:
        # The parabola has its vertex inside: its height bounds the values on the whole line.
        at_ends = a - square(b) / (2 * h)
    return at_ends.upper()
