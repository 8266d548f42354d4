r"""A network with universal activations on a box, in exact rationals: an affine function and a remainder.

On a box every signal is written as v + g . x + sum_i e_i xi_i with rationals v, g, e_i and unknown functions |xi_i| <=
1. Affine maps keep this form exactly, whatever the length of the weights. An activation f is replaced by its model on
the range [l, u] of the argument,

$$ f(z) \in m z + b + [-r, r], \qquad l \le z \le u, $$

which is exact (r = 0) where f is affine; otherwise r is one more e_i. A later sum in which an unknown cancels does not
see it. `MODELS` holds the models by the name of the activation; they are exact or rounded outward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from flint import arb, fmpq

from epsnet.certify.errors import HypothesisError
from epsnet.core.enclose import Cell, jet_range
from epsnet.core.evaluate import Jet, evaluate_jet
from epsnet.core.expression import Expression
from epsnet.core.functions import Function
from epsnet.core.linear_maps import Number
from epsnet.core.network import Network
from epsnet.core.realize import forward
from epsnet.core.universal_activation import UNIVERSAL
from epsnet.core.work import Work

Model = tuple[fmpq, fmpq, fmpq]
"""(m, b, r)."""

_MAX_BITS = 20_000
_BASE = 8
"""What one sum of forms costs at least."""


@dataclass(frozen=True, slots=True)
class BoxForm:
    """v + g . x + sum_i e_i xi_i, |xi_i| <= 1; `unknown` holds the e_i by the number of the unknown.

    Every sum is paid for from `work`.
    """

    value: fmpq
    slopes: tuple[fmpq, ...]
    work: Work
    unknown: Mapping[int, fmpq] = field(default_factory=dict)

    def __add__(self, other: BoxForm) -> BoxForm:
        self.work.pay(_BASE)
        self.work.spend((self.value, *self.slopes, *self.unknown.values()))
        unknown = dict(self.unknown)
        for key, part in other.unknown.items():
            unknown[key] = unknown.get(key, fmpq(0)) + part
        slopes = tuple(a + b for a, b in zip(self.slopes, other.slopes, strict=True))
        return BoxForm(self.value + other.value, slopes, self.work, unknown)

    def __rmul__(self, factor: fmpq) -> BoxForm:
        unknown = {key: factor * part for key, part in self.unknown.items()}
        return BoxForm(factor * self.value, tuple(factor * slope for slope in self.slopes), self.work, unknown)

    @property
    def remainder(self) -> fmpq:
        """Sum |e_i|."""
        return sum((abs(part) for part in self.unknown.values()), fmpq(0))

    def range(self, lower: Sequence[fmpq], upper: Sequence[fmpq]) -> tuple[fmpq, fmpq]:
        """Return ends of a range that holds the values on the box."""
        low, high = self.value - self.remainder, self.value + self.remainder
        for slope, a, b in zip(self.slopes, lower, upper, strict=True):
            low, high = low + min(slope * a, slope * b), high + max(slope * a, slope * b)
        return low, high


def euaf_model(low: fmpq, high: fmpq) -> Model:
    """Return the model of the EUAF: exact between two integers >= 0, a chord around one, else the range."""
    if low == high:
        return fmpq(0), _euaf(low), fmpq(0)
    bottom, top, start = _euaf(low), _euaf(high), low.floor()
    if low >= 0 and high <= start + 2:
        # One kink at most: there the distance to the chord is largest, and it has one sign.
        slope = (top - bottom) / (high - low)
        intercept = bottom - slope * low
        gap = _euaf(fmpq(start + 1)) - slope * (start + 1) - intercept if high > start + 1 else fmpq(0)
        return slope, intercept + gap / 2, abs(gap) / 2
    if high > 0:
        bottom, top = min(bottom, fmpq(0)), min(high, fmpq(1))
    return fmpq(0), (bottom + top) / 2, (top - bottom) / 2


def _euaf(z: fmpq) -> fmpq:
    return z / (1 - z) if z < 0 else abs(z - 2 * ((z + 1) / 2).floor())


def _identity_model(low: fmpq, high: fmpq) -> Model:
    return fmpq(1), fmpq(0), fmpq(0)


MODELS: dict[str, Callable[[fmpq, fmpq], Model]] = {"identity": _identity_model, "euaf": euaf_model}
"""For each activation its model on [low, high]."""


def box_form(
    network: Network, lower: Sequence[Fraction], upper: Sequence[Fraction], work: Work | None = None
) -> BoxForm:
    """Write the only output of a network as a form on a box.

    Args:
        network: of one output.
        lower: the lower ends of the box.
        upper: the upper ends of the box.
        work: what the evaluation is paid from; None for a budget of its own.

    Raises:
        HypothesisError: the network has more than one output or other inputs than the box, or an activation has no
            model.
        PrecisionError: a signal is too long a rational, or the budget is spent.
    """
    if network.inputs != len(lower) or network.outputs != 1:
        raise HypothesisError("The network has not the inputs and the one output of the formula. Use such a network.")
    ends = [_rational(end) for end in lower], [_rational(end) for end in upper]
    flat = (fmpq(0),) * network.inputs
    count, budget = 0, work or box_work()

    def activate(function: Function, form: BoxForm) -> BoxForm:
        nonlocal count
        count += 1
        budget.spend((form.value, *form.slopes, *form.unknown.values()))
        known = function.name == "identity" or UNIVERSAL.get(function.name) is function
        if not known or function.name not in MODELS:
            raise HypothesisError(f"{function.name} has no model on a box. Use the identity or {', '.join(MODELS)}.")
        slope, intercept, radius = MODELS[function.name](*form.range(*ends))
        return slope * form + BoxForm(intercept, flat, budget, {count: radius} if radius else {})

    def number(value: Number) -> fmpq:
        return _rational(Fraction(value))

    inputs = [BoxForm(fmpq(0), (*flat[:i], fmpq(1), *flat[i + 1 :]), budget) for i in range(network.inputs)]
    return forward(
        network, inputs, constant=lambda bias: BoxForm(number(bias), flat, budget), multiplier=number, activate=activate
    )[-1][0]


def box_work() -> Work:
    """Return a budget for the forms of some boxes."""
    return Work(_MAX_BITS)


def box_difference(
    expression: Expression,
    names: Sequence[str],
    network: Network,
    lower: Sequence[Fraction],
    upper: Sequence[Fraction],
    work: Work | None = None,
) -> tuple[arb, arb]:
    """Enclose f - R(Phi) on a box.

    Args:
        expression: f.
        names: its variables in the order of the coordinates.
        network: Phi, as for `box_form`.
        lower: the lower ends of the box.
        upper: the upper ends of the box.
        work: as for `box_form`.

    Returns:
        Balls of radius 0, (low, high): low <= f(x) - R(Phi)(x) <= high on the box; infinite where f is unknown.
    """
    form, cell = box_form(network, lower, upper, work), Cell.of(lower, upper)
    middle = sum((g * _rational((a + b) / 2) for g, a, b in zip(form.slopes, lower, upper, strict=True)), form.value)
    slopes = tuple(arb(slope) for slope in form.slopes)
    flat = ((arb(0),) * len(names),) * len(names)
    whole = arb(middle)
    for slope, radius in zip(slopes, cell.radius, strict=True):
        whole = whole + slope * radius * arb(0, 1)
    at_center = evaluate_jet(expression, names, cell.center) + -Jet(arb(middle), slopes, flat)
    on_box = evaluate_jet(expression, names, cell.interval) + -Jet(whole, slopes, flat)
    low, high = jet_range(at_center, on_box, cell.radius)
    remainder = arb(form.remainder)
    return (low - remainder).lower(), (high + remainder).upper()


def _rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)
