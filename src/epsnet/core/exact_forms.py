r"""A network with universal activations on an interval, in exact arithmetic: a polynomial and a remainder.

On an interval every signal is written as p(x) + sum_i e_i xi_i with a rational polynomial p, rationals e_i and unknown
functions |xi_i| <= 1. Affine maps keep this form exactly, whatever the length of the weights. An activation is

* exact where it is one polynomial on the range of its argument: sigma_E inside a slot, the EUAF between two integers
  >= 0, or of a constant;
* otherwise the EUAF becomes the affine function of `core.box_forms.euaf_model`, with its radius as a new e_i. A later
  sum in which an unknown cancels does not see it.

The formulas of the activations are those of `core.universal_activation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from flint import arb, fmpq, fmpq_poly

from epsnet.certify.errors import HypothesisError, PrecisionError
from epsnet.certify.rounding import ball
from epsnet.core.box_forms import euaf_model
from epsnet.core.enclose import jet_range
from epsnet.core.evaluate import Jet, evaluate_jet
from epsnet.core.expression import Expression
from epsnet.core.functions import Function
from epsnet.core.linear_maps import Number
from epsnet.core.network import Network
from epsnet.core.realize import forward
from epsnet.core.universal_activation import UNIVERSAL, slot
from epsnet.core.work import Work

_MAX_BITS = 1_000_000
_BASE = 16
"""What one sum of forms costs at least."""


@dataclass(frozen=True, slots=True)
class ExactForm:
    """p(x) + sum_i e_i xi_i, |xi_i| <= 1; `unknown` holds the e_i by the number of the unknown.

    Every sum is paid for from `work`.
    """

    polynomial: fmpq_poly
    work: Work
    unknown: Mapping[int, fmpq] = field(default_factory=dict)

    def pay(self) -> None:
        """Pay for one operation with each number. PrecisionError if that is too much."""
        self.work.pay(_BASE)
        self.work.spend((*self.polynomial.coeffs(), *self.unknown.values()))

    def __add__(self, other: ExactForm) -> ExactForm:
        self.pay()
        unknown = dict(self.unknown)
        for key, value in other.unknown.items():
            unknown[key] = unknown.get(key, fmpq(0)) + value
        return ExactForm(self.polynomial + other.polynomial, self.work, unknown)

    def __rmul__(self, factor: fmpq) -> ExactForm:
        unknown = {key: factor * value for key, value in self.unknown.items()}
        return ExactForm(self.polynomial * factor, self.work, unknown)

    @property
    def remainder(self) -> Fraction:
        """Sum |e_i|."""
        return sum((abs(_fraction(value)) for value in self.unknown.values()), Fraction(0))

    def range(self, lower: Fraction, upper: Fraction) -> tuple[Fraction, Fraction]:
        """Return ends of a range that holds the values on [lower, upper]; the polynomial has to be affine."""
        if self.polynomial.degree() > 1:
            raise HypothesisError("A universal activation reads a polynomial. Let it read affine functions.")
        ends = [_fraction(self.polynomial(_rational(end))) for end in (lower, upper)]
        return min(ends) - self.remainder, max(ends) + self.remainder


def form_work() -> Work:
    """Return a budget for the forms of some intervals."""
    return Work(_MAX_BITS)


def network_form(network: Network, lower: Fraction, upper: Fraction, work: Work | None = None) -> ExactForm:
    """Write the only output of a network with one input as a form on [lower, upper].

    The evaluation is paid from `work`, or from a budget of its own.

    Raises:
        HypothesisError: the network is not of one variable and one output, an activation is neither universal nor the
            identity, or sigma_E reads something that leaves a slot or is not known exactly.
        PrecisionError: a weight stands for a polynomial that is too long, or the budget is spent.
    """
    if network.inputs != 1 or network.outputs != 1:
        raise HypothesisError("Exact forms are for networks with one input and one output. Use such a network.")
    count, budget = 0, work or form_work()

    def activate(function: Function, form: ExactForm) -> ExactForm:
        nonlocal count
        count += 1
        form.pay()
        if function.name == "identity":
            return form
        if UNIVERSAL.get(function.name) is not function:
            raise HypothesisError(f"{function.name} has no exact form. Use the identity or a universal activation.")
        low, high = form.range(lower, upper)
        if function.name == "euaf":
            return _euaf(form, low, high, count)
        return _sigma(function.name.removeprefix("sigma-"), form, low, high)

    def number(value: Number) -> fmpq:
        return _rational(Fraction(value))

    return forward(
        network, [ExactForm(fmpq_poly([0, 1]), budget)],
        constant=lambda bias: ExactForm(fmpq_poly([number(bias)]), budget), multiplier=number, activate=activate,
    )[-1][0]  # fmt: skip


def _euaf(form: ExactForm, low: Fraction, high: Fraction, name: int) -> ExactForm:
    slope, intercept, radius = euaf_model(_rational(low), _rational(high))
    return slope * form + ExactForm(fmpq_poly([intercept]), form.work, {name: radius} if radius else {})


def _sigma(enumeration: str, form: ExactForm, low: Fraction, high: Fraction) -> ExactForm:
    index = low // 2
    if index < 1 or high > 2 * index + 1:
        raise HypothesisError("The argument of a universal sigmoidal activation leaves its slot. Use another weight.")
    if form.unknown:
        raise HypothesisError("A universal sigmoidal activation reads what is not known exactly. Refine the cover.")
    if enumeration == "steps":
        raise HypothesisError("Steps have no exact form. Use the rule for networks of steps.")
    own = slot(enumeration, index)
    return ExactForm(_composed(own.activated(own.polynomial), form.polynomial - 2 * index, form.work), form.work)


def _composed(outer: fmpq_poly, inner: fmpq_poly, work: Work) -> fmpq_poly:
    """Return outer(inner) for an affine inner. PrecisionError if that is too long, known before it is computed."""
    degree = max(outer.degree(), 1)
    bits = degree * sum(int(c.height_bits()) for c in inner.coeffs())
    bits += max((int(c.height_bits()) for c in outer.coeffs()), default=0)
    if bits > work.longest:
        raise PrecisionError("A signal of the network is too long a rational. Use shorter weights.")
    work.pay(degree * (degree + bits // 16))
    return outer(inner)


def form_difference(
    expression: Expression,
    names: Sequence[str],
    network: Network,
    lower: Sequence[Fraction],
    upper: Sequence[Fraction],
    work: Work | None = None,
) -> tuple[arb, arb]:
    """Enclose f - R(Phi) on an interval.

    Args:
        expression: f.
        names: its variable.
        network: Phi, as for `network_form`.
        lower: the left end.
        upper: the right end; each as the only item, as for a box.
        work: as for `network_form`.

    Returns:
        Balls of radius 0, (low, high): low <= f(x) - R(Phi)(x) <= high on the interval; infinite where f is unknown.
    """
    (name,), (start,), (end,) = names, lower, upper
    form = network_form(network, start, end, work)
    center, radius = (start + end) / 2, ball((end - start) / 2)
    # In powers of x - center, so that balls stay narrow.
    shifted = _composed(form.polynomial, fmpq_poly([_rational(center), 1]), form.work)
    steps = radius * arb(0, 1)
    at_center = _difference(expression, name, ball(center), shifted, arb(0))
    on_box = _difference(expression, name, ball(start).union(ball(end)), shifted, steps)
    low, high = jet_range(at_center, on_box, (radius,))
    remainder = ball(form.remainder)
    return (low - remainder).lower(), (high + remainder).upper()


def _difference(expression: Expression, name: str, x: arb, shifted: fmpq_poly, t: arb) -> Jet:
    value, slope, curvature = (
        _at(polynomial, t) for polynomial in (shifted, shifted.derivative(), shifted.derivative().derivative())
    )
    return evaluate_jet(expression, (name,), (x,)) + -Jet(value, (slope,), ((curvature,),))


def _at(polynomial: fmpq_poly, t: arb) -> arb:
    value = arb(0)
    for c in reversed(polynomial.coeffs()):
        value = value * t + arb(c)
    return value


def _rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))
