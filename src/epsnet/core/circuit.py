r"""`Circuit`: a polynomial made of few squarings, and the deep ReLU network that is close to it.

With t = x folded by t <- |t - c| for each fold c, a circuit is the sequence

$$ v_j = a_{j0} + a_{j1} t + \sum_{i<j} a_{j,1+i} u_i, \qquad u_j = v_j^2, \quad j = 1, \dots, k, \qquad
   P = b_0 + b_1 t + \sum_i b_{1+i} u_i, $$

where every v_j takes values in [0, 1]. Its network replaces the squaring u_j by a chain of m_j layers
(`core.squares`), so that u_j = v_j^2 + delta_j with |delta_j| <= e_j = 2^(-2 m_j - 3). What is read later is formed at
once: the sum that a chain carries starts from the linear part of v_{j+1}, so v_{j+1} leaves the chain without a layer
of its own, and beside the chain only as many signals are carried as the later v_i and P need modulo v_{j+1}.

Theorem. Let D be a set of x, and let for all x in D and all |delta_i| <= e_i the v_j lie in [0, 1] and the signals
beside the chains and their sums be nonnegative (`Local`). Then R(Phi)(x) = P(x, delta) for some such delta,
and by the mean value theorem

$$ |R(\Phi)(x) - P(x, 0)| \le \sum_j e_j \sup_{|\delta| \le e} |\partial P / \partial \delta_j (x, \delta)|. $$
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, HypothesisError, PrecisionError
from epsnet.certify.rounding import ball
from epsnet.core.enclose import Cell, jet_range
from epsnet.core.evaluate import Jet, evaluate_jet
from epsnet.core.expression import Expression
from epsnet.core.functions import square
from epsnet.core.gates import Form, Gates
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network
from epsnet.core.squares import square_error, squares

Functional = tuple[Fraction, ...]
"""(c, a_t, a_1, ..., a_i): the affine function c + a_t t + a_1 u_1 + ... + a_i u_i."""

MAX_LEVELS = 60
MAX_GATES = 16


@dataclass(frozen=True, slots=True)
class Squaring:
    """One squaring u = v^2 of a circuit.

    Attributes:
        form: v, with values in [0, 1], as a functional of t and the u before.
        levels: m, the number of layers of the chain.
        shift: what keeps the sum of the chain nonnegative.
        carried: what keeps each of the signals beside the chain nonnegative, see `Circuit.beside`.
    """

    form: Functional
    levels: int
    shift: Fraction = Fraction(0)
    carried: tuple[Fraction, ...] = ()

    @property
    def error(self) -> Fraction:
        """2^(-2m-3)."""
        return square_error(self.levels)


@dataclass(frozen=True, slots=True)
class Beside:
    """What runs beside one chain.

    Attributes:
        following: v_{j+1}, or P behind the last chain; what the chain puts out.
        linear: what the sum of the chain starts from: `following` less the multiple of u_j that the chain adds.
        kept: signals that go through all the layers of the chain.
        first: at most one signal that only the first layer holds, to form `linear` from.
    """

    following: Functional
    linear: Functional
    kept: tuple[Functional, ...]
    first: tuple[Functional, ...]


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit with its squarings.

    Attributes:
        folds: the c of the steps t <- |t - c|.
        squarings: u_1, ..., u_k, k >= 1.
        output: P.

    Raises:
        HypothesisError: a v_{j+1} does not depend on u_j, or u_k does not enter P.
    """

    folds: tuple[Fraction, ...]
    squarings: tuple[Squaring, ...]
    output: Functional

    def __post_init__(self) -> None:
        if not 1 <= len(self.squarings) <= MAX_GATES:
            raise DomainError(f"A circuit has {len(self.squarings)} squarings. Give 1 to {MAX_GATES}.")
        for number, functional in enumerate([*(s.form for s in self.squarings), self.output]):
            if len(functional) != number + 2:
                raise DomainError(f"Functional {number} has {len(functional)} coefficients. Give {number + 2}.")
            if number and functional[-1] == 0:
                raise HypothesisError(f"Squaring {number} is not used by what follows it. Leave it out.")
        if not all(1 <= squaring.levels <= MAX_LEVELS for squaring in self.squarings):
            raise DomainError(f"A chain has no levels or too many. Give 1 to {MAX_LEVELS}.")

    def beside(self) -> list[Beside]:
        """Return for each squaring what its chain puts out and what is carried beside it."""
        functionals = [*(squaring.form for squaring in self.squarings), self.output]
        result = []
        for j, squaring in enumerate(self.squarings):
            width = j + 2
            following = functionals[j + 1]
            linear, gain = following[:width], following[width]
            # Modulo the output of the chain, u_j can be eliminated from all that is formed later. Products instead of
            # a quotient keep coefficients with few bits exact in float64.
            kept = _independent([_difference(gain, f[:width], f[width], linear) for f in functionals[j + 2 :]])
            spanned = _solve(linear, [squaring.form, *kept]) is not None
            result.append(Beside(following, linear, tuple(kept), () if spanned else (linear,)))
        return result

    def network(self) -> Network:
        """Return the network of the circuit, weights in rationals."""
        gates = Gates(1)
        t = gates.inputs[0]
        for center in self.folds:
            right, left = gates.relu(t - center, center - t)
            t = right + left
        known: list[tuple[Functional, Form]] = [((Fraction(0), Fraction(1)), t)]
        for squaring, beside in zip(self.squarings, self.beside(), strict=True):
            signals = (*beside.kept, *beside.first)
            _require_shifts(squaring, signals)
            shifted = list(zip(signals, squaring.carried, strict=True))

            def linear(
                p: Sequence[Form],
                neurons: Sequence[Form],
                own: Functional = squaring.form,
                wanted: Functional = beside.linear,
                shifted: Sequence[tuple[Functional, Fraction]] = shifted,
            ) -> Form:
                here = [(signal, neuron - shift) for (signal, shift), neuron in zip(shifted, neurons, strict=True)]
                return _express(wanted, [(own, p[0]), *here])

            following, others = squares(
                gates,
                [(_express(squaring.form, known), beside.following[-1])],
                squaring.levels,
                linear,
                shift=squaring.shift,
                carried=[_express(signal, known) + shift for signal, shift in shifted],
                kept=len(beside.kept),
            )
            known = [(beside.following, following)]
            known += [(signal, neuron - shift) for (signal, shift), neuron in zip(shifted, others, strict=False)]
        return gates.network(known[0][1])

    def enclose(self, expression: Expression, variable: str, lower: Fraction, upper: Fraction) -> tuple[arb, Local]:
        """Bound |f - R(Phi)| on an interval by |f - P(x, 0)| and the theorem, whose conditions `Local` holds.

        Raises:
            HypothesisError: a fold lies inside the interval.
        """
        start, end, slope = self.folded(lower, upper)
        x = Cell.of((lower,), (upper,))
        t = ball(start).union(ball(end))
        at_center = evaluate_jet(expression, (variable,), x.center) + -self._jet(ball((start + end) / 2), slope)
        on_interval = evaluate_jet(expression, (variable,), x.interval) + -self._jet(t, slope)
        low, high = jet_range(at_center, on_interval, x.radius)
        local = self.local(start, end)
        return high.max(-low) + local.effect, local

    def folded(self, lower: Fraction, upper: Fraction) -> tuple[Fraction, Fraction, int]:
        """Return the ends of the interval of t over an interval of x, and dt/dx = 1 or -1.

        Raises:
            HypothesisError: a fold lies inside the interval.
        """
        slope = 1
        for center in self.folds:
            if lower < center < upper:
                raise HypothesisError(f"The fold at {center} lies inside a cell. Cut the cell there.")
            lower, upper = lower - center, upper - center
            if lower < 0:
                lower, upper, slope = -upper, -lower, -slope
        return lower, upper, slope

    def local(self, lower: Fraction, upper: Fraction) -> Local:
        """Enclose what the theorem speaks about, for all t in [lower, upper] and all |delta_j| <= e_j."""
        # What depends on t alone has its range in rationals: it may end exactly at 0 or 1.
        known = [(arb(1), arb(1)), (ball(lower), ball(upper))]
        gradients: list[list[arb]] = [[], []]
        squared, nonnegative = [], []
        for squaring, beside in zip(self.squarings, self.beside(), strict=True):
            v = _range(squaring.form, known)
            squared.append(v)
            signals = (*beside.kept, *beside.first)
            _require_shifts(squaring, signals)
            nonnegative += [
                _range(signal, known)[0] + ball(shift) for signal, shift in zip(signals, squaring.carried, strict=True)
            ]
            low, high = square(v[0].max(arb(0))).lower(), square(v[1]).upper()
            if squaring.levels > 1:
                gain = ball(beside.following[-1])
                least = (low - arb(1) / 4).max(arb(0)) if gain > 0 else high + arb(1) / 16
                nonnegative.append(_range(beside.linear, known)[0] + gain * least + ball(squaring.shift))
            slopes = _gradient(squaring.form, gradients)
            gradients.append([*(2 * v[0].union(v[1]) * slope for slope in slopes), arb(1)])
            error = ball(squaring.error)
            known.append(((low - error).lower(), (high + error).upper()))
        effect = arb(0)
        for slope, squaring in zip(_gradient(self.output, gradients), self.squarings, strict=True):
            effect = effect + abs(slope).upper() * ball(squaring.error)
        return Local(tuple(squared), tuple(nonnegative), effect.upper())

    def _jet(self, t: arb, slope: int) -> Jet:
        """Return the jet of x -> P(x, 0) where t is affine in x with this slope."""
        known = [Jet(t, (arb(slope),), ((arb(0),),))]

        def at(functional: Functional) -> Jet:
            total = _constant(ball(functional[0]))
            for coefficient, value in zip(functional[1:], known, strict=True):
                total = total + _constant(ball(coefficient)) * value
            return total

        for squaring in self.squarings:
            v = at(squaring.form)
            known.append(v.compose(square(v.value), 2 * v.value, arb(2)))
        return at(self.output)

    def to_arrays(self) -> dict[str, NDArray]:
        """Return the circuit as the vectors of a witness."""
        numbers = [number for s in self.squarings for number in (*s.form, s.shift, *s.carried)]
        return {
            "folds": _floats(self.folds),
            "levels": np.array([squaring.levels for squaring in self.squarings], dtype=np.int64),
            "carried": np.array([len(squaring.carried) for squaring in self.squarings], dtype=np.int64),
            "coefficients": _floats([*numbers, *self.output]),
        }

    @classmethod
    def from_arrays(
        cls, folds: Sequence[float], levels: Sequence[int], carried: Sequence[int], coefficients: Sequence[float]
    ) -> Circuit:
        """Return the circuit of `to_arrays`. DomainError if the vectors are none of a circuit."""
        if len(levels) != len(carried) or not 1 <= len(levels) <= MAX_GATES or len(folds) > MAX_GATES:
            raise DomainError("The vectors of the circuit do not fit together. Build it anew.")
        numbers = iter([Fraction(value) for value in coefficients])
        squarings = []
        for number, (count, signals) in enumerate(zip(levels, carried, strict=True)):
            form = tuple(islice(numbers, number + 2))
            shifts = tuple(islice(numbers, 1 + max(signals, 0)))
            if len(shifts) != 1 + signals:
                raise DomainError("The coefficients of the circuit are too few. Build it anew.")
            squarings.append(Squaring(form, count, shifts[0], shifts[1:]))
        return cls(tuple(map(Fraction, folds)), tuple(squarings), tuple(numbers))


@dataclass(frozen=True, slots=True)
class Local:
    """Enclosures on one cell.

    Attributes:
        squared: the least and the greatest value of the v_j, which must lie in [0, 1].
        nonnegative: the least values of what passes through a ReLU beside the chains, and of their sums; must be >= 0.
        effect: an upper bound of sum_j e_j |dP/d delta_j|.
    """

    squared: tuple[tuple[arb, arb], ...]
    nonnegative: tuple[arb, ...]
    effect: arb

    @property
    def holds(self) -> bool:
        """Whether the conditions of the theorem hold on the cell."""
        return all(low >= 0 and high <= 1 for low, high in self.squared) and all(
            value >= 0 for value in self.nonnegative
        )


def _floats(numbers: Sequence[Fraction]) -> NDArray[np.float64]:
    if not all(map(is_float64, numbers)):
        raise PrecisionError("A coefficient of the circuit is not a float64 number. Round it first.")
    return np.array([float(number) for number in numbers], dtype=np.float64)


def _constant(value: arb) -> Jet:
    return Jet(value, (arb(0),), ((arb(0),),))


def _range(functional: Functional, known: Sequence[tuple[arb, arb]]) -> tuple[arb, arb]:
    """Return balls of which the lower end of the first and the upper end of the second enclose a functional."""
    low = high = arb(0)
    for a, (lower, upper) in zip(functional, known, strict=False):
        if a:
            first, second = (lower, upper) if a > 0 else (upper, lower)
            low, high = low + ball(a) * first, high + ball(a) * second
    return low, high


def _gradient(functional: Functional, gradients: Sequence[Sequence[arb]]) -> list[arb]:
    """Return the derivatives of a functional with respect to delta_1, ..., delta_{j-1}."""
    width = len(functional) - 2
    result = [arb(0)] * width
    for a, gradient in zip(functional, gradients, strict=True):
        for i, slope in enumerate(gradient):
            result[i] = result[i] + ball(a) * slope
    return result


def _difference(a: Fraction, left: Functional, b: Fraction, right: Functional) -> Functional:
    return tuple(a * x - b * y for x, y in zip(left, right, strict=True))


def _solve(target: Functional, rows: Sequence[Functional]) -> list[Fraction] | None:
    """Return factors with sum_i factor_i rows_i = target up to the constants, or None if there are none."""
    system = [[row[k] if k < len(row) else Fraction(0) for row in rows] + [target[k]] for k in range(1, len(target))]
    pivots: dict[int, int] = {}
    for column in range(len(rows)):
        here = len(pivots)
        row = next((i for i in range(here, len(system)) if system[i][column] != 0), None)
        if row is None:
            continue
        system[here], system[row] = system[row], system[here]
        pivot = system[here][column]
        system[here] = [value / pivot for value in system[here]]
        for i, other in enumerate(system):
            if i != here and other[column] != 0:
                system[i] = [a - other[column] * b for a, b in zip(other, system[here], strict=True)]
        pivots[column] = here
    if any(line[-1] != 0 for line in system[len(pivots) :]):
        return None
    return [system[pivots[column]][-1] if column in pivots else Fraction(0) for column in range(len(rows))]


def _independent(functionals: Sequence[Functional]) -> list[Functional]:
    """Return a maximal independent part, without constants and scaled by powers of two to coefficients below 1."""
    chosen: list[Functional] = []
    for functional in functionals:
        plain = (Fraction(0), *functional[1:])
        largest = max(map(abs, plain))
        if largest and _solve(plain, chosen) is None:
            scale = Fraction(2) ** -(largest.numerator.bit_length() - largest.denominator.bit_length() + 1)
            chosen.append(tuple(scale * value for value in plain))
    return chosen


def _express(target: Functional, known: Sequence[tuple[Functional, Form]]) -> Form:
    """Return a functional as a form, from forms of known functionals."""
    factors = _solve(target, [functional for functional, _ in known])
    if factors is None:
        raise HypothesisError("A signal of the circuit is not at hand where it is needed. Build the circuit anew.")
    form = known[0][1] * 0
    constant = target[0]
    for factor, (functional, value) in zip(factors, known, strict=True):
        if factor:
            form = form + value * factor
            constant -= factor * functional[0]
    return form + constant


def _require_shifts(squaring: Squaring, signals: Sequence[Functional]) -> None:
    if len(squaring.carried) != len(signals):
        raise DomainError(
            f"A chain has {len(signals)} signals beside it and {len(squaring.carried)} shifts for them. Give one each."
        )
