r"""`Circuit`: a polynomial made of few squarings, and the deep ReLU network that is close to it.

A circuit hands signals from one stage to the next. At first there is one signal, t = x folded by t <- |t - c| for each
fold c. A stage takes an affine function v of its signals, with values in [0, 1], squares it, and carries some other
affine functions c_1, c_2, ... >= 0 of its signals along, of which it keeps the first few. Its new signals are

$$ f = g\, u + a_0 + a_1 v + a_2 c_1 + a_3 c_2 + \dots, \qquad u = v^2 + 2^{-2m-3} + \delta, $$

and the c_i that are kept. P is an affine function of the signals of the last stage.

The network replaces u by the chain of m layers of `core.squares`, for which |delta| <= 2^(-2m-3). The sum that a chain
carries anyway starts from the affine part of f, so f leaves the chain without a layer of its own.

Theorem. Let D be a set of x, and let for all x in D and all |delta_i| <= e_i = 2^(-2 m_i - 3) every v lie in [0, 1]
and every c_i and every sum in a chain be nonnegative (`Local`). Then R(Phi)(x) = P(x, delta) for some such delta, and
by the mean value theorem

$$ |R(\Phi)(x) - P(x, 0)| \le \sum_j e_j \sup_{|\delta| \le e} |\partial P / \partial \delta_j (x, \delta)|. $$
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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

Affine = tuple[Fraction, ...]
"""(a_0, a_1, ..., a_n): the function a_0 + a_1 y_1 + ... + a_n y_n of the signals y_i that are meant."""

MAX_LEVELS = 60
MAX_STAGES = 16
_MAX_CARRIED = 8
_MAX_COEFFICIENTS = MAX_STAGES * (_MAX_CARRIED + 2) ** 2
_MAX_BITS = 4_000
"""Longer coefficients of the composed functions are refused: checking them would take too long."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One squaring and what runs beside it.

    Attributes:
        form: v, of the signals before.
        carried: the c_i, of the signals before.
        kept: how many of them, from the front, are signals afterwards.
        gain: g.
        linear: (a_0, a_1, a_2, ...), of v and the c_i.
        levels: m.
    """

    form: Affine
    carried: tuple[Affine, ...]
    kept: int
    gain: Fraction
    linear: Affine
    levels: int

    @property
    def error(self) -> Fraction:
        """The half width e = 2^(-2m-3) of what the chain may err by."""
        return square_error(self.levels)


@dataclass(frozen=True, slots=True)
class Local:
    """What the theorem needs on one cell; lower and upper ends of balls.

    Attributes:
        squared: the least and the greatest value of every v, which must lie in [0, 1].
        nonnegative: the least values of the c_i and of the sums, stage by stage; they must be >= 0.
        effect: an upper bound of sum_j e_j |dP/d delta_j|.
    """

    squared: tuple[tuple[arb, arb], ...]
    nonnegative: tuple[arb, ...]
    effect: arb

    @property
    def holds(self) -> bool:
        """Whether the conditions of the theorem hold on the cell."""
        inside = all(low >= 0 and high <= 1 for low, high in self.squared)
        return inside and all(value >= 0 for value in self.nonnegative)


@dataclass(frozen=True, slots=True)
class _Composed:
    """The quantities of a stage as affine functions of t and of the u of the stages before."""

    v: Affine
    carried: tuple[Affine, ...]
    linear: Affine


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit.

    Attributes:
        folds: the c of the steps t <- |t - c|.
        stages: at least one.
        output: P, of the signals of the last stage.

    Raises:
        DomainError: the parts do not fit together.
    """

    folds: tuple[Fraction, ...]
    stages: tuple[Stage, ...]
    output: Affine
    _composed: tuple[_Composed, ...] = field(init=False, repr=False, compare=False)
    _polynomial: Affine = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) <= MAX_STAGES or len(self.folds) > MAX_STAGES:
            raise DomainError(f"A circuit has {len(self.stages)} stages. Give 1 to {MAX_STAGES}, and as many folds.")
        signals = 1
        for stage in self.stages:
            fits = all(len(affine) == signals + 1 for affine in (stage.form, *stage.carried))
            fits = fits and len(stage.carried) <= _MAX_CARRIED
            if not fits or len(stage.linear) != len(stage.carried) + 2 or not 0 <= stage.kept <= len(stage.carried):
                raise DomainError("The coefficients of a stage do not fit its signals. Build the circuit anew.")
            if not 1 <= stage.levels <= MAX_LEVELS:
                raise DomainError(f"A chain has {stage.levels} levels. Give 1 to {MAX_LEVELS}.")
            signals = 1 + stage.kept
        if len(self.output) != signals + 1:
            raise DomainError("The coefficients of the output do not fit its signals. Build the circuit anew.")
        # In rationals, so that what cancels between signals does not widen an enclosure.
        composed = []
        functions: list[Affine] = [(Fraction(0), Fraction(1))]
        for stage in self.stages:
            v, carried = _compose(stage.form, functions), [_compose(affine, functions) for affine in stage.carried]
            linear = _compose(stage.linear, [v, *carried])
            composed.append(_Composed(v, tuple(carried), linear))
            functions = [_plus(linear, (*(Fraction(0),) * len(v), stage.gain)), *carried[: stage.kept]]
        object.__setattr__(self, "_composed", tuple(composed))
        object.__setattr__(self, "_polynomial", _compose(self.output, functions))

    def network(self) -> Network:
        """Return the network of the circuit."""
        gates = Gates(1)
        t = gates.inputs[0]
        for center in self.folds:
            right, left = gates.relu(t - center, center - t)
            t = right + left
        signals: Sequence[Form] = [t]
        for stage in self.stages:

            def linear(waves: Sequence[Form], carried: Sequence[Form], stage: Stage = stage) -> Form:
                return _form(stage.linear, [waves[0], *carried])

            signals = squares(
                gates,
                [(_form(stage.form, signals), stage.gain)],
                stage.levels,
                linear,
                carried=[_form(affine, signals) for affine in stage.carried],
                kept=stage.kept,
            )
        return gates.network(_form(self.output, signals))

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
        basis = [(arb(1), arb(1)), (ball(lower), ball(upper))]
        gradients: list[list[arb]] = [[], []]
        squared, nonnegative = [], []
        for stage, composed in zip(self.stages, self._composed, strict=True):
            squared.append(_range(composed.v, basis))
            nonnegative += [_range(affine, basis)[0] for affine in composed.carried]
            low, high = square(squared[-1][0].max(arb(0))).lower(), square(squared[-1][1]).upper()
            gain = ball(stage.gain)
            if stage.levels > 1:
                least = (low - arb(1) / 4).max(arb(0)) if gain > 0 else high + arb(1) / 16
                nonnegative.append(_range(composed.linear, basis)[0] + gain * least)
            slopes = _gradient(composed.v, gradients)
            gradients.append([*(2 * squared[-1][0].union(squared[-1][1]) * slope for slope in slopes), arb(1)])
            basis.append((low, (high + 2 * ball(stage.error)).upper()))
        effect = arb(0)
        for slope, stage in zip(_gradient(self._polynomial, gradients), self.stages, strict=True):
            effect = effect + abs(slope).upper() * ball(stage.error)
        return Local(tuple(squared), tuple(nonnegative), effect.upper())

    def _jet(self, t: arb, slope: int) -> Jet:
        """Return the jet of x -> P(x, 0) where t is affine in x with this slope."""
        basis = [_constant(arb(1)), Jet(t, (arb(slope),), ((arb(0),),))]
        for stage, composed in zip(self.stages, self._composed, strict=True):
            v = _jet_of(composed.v, basis)
            basis.append(v.compose(square(v.value) + ball(stage.error), 2 * v.value, arb(2)))
        return _jet_of(self._polynomial, basis)

    def to_arrays(self) -> dict[str, NDArray]:
        """Return the circuit as the vectors of a witness. PrecisionError if a coefficient is no float64 number."""
        numbers = [n for s in self.stages for a in (s.form, *s.carried, (s.gain,), s.linear) for n in a]
        counts = {
            "levels": [stage.levels for stage in self.stages],
            "carried": [len(stage.carried) for stage in self.stages],
            "kept": [stage.kept for stage in self.stages],
        }
        integers = {name: np.array(values, dtype=np.int64) for name, values in counts.items()}
        return {"folds": _floats(self.folds), "coefficients": _floats([*numbers, *self.output]), **integers}

    @classmethod
    def from_arrays(
        cls,
        folds: Sequence[float],
        coefficients: Sequence[float],
        levels: Sequence[int],
        carried: Sequence[int],
        kept: Sequence[int],
    ) -> Circuit:
        """Return the circuit of `to_arrays`. DomainError if the vectors are none of a circuit."""
        few = len(levels) <= MAX_STAGES and len(folds) <= MAX_STAGES and len(coefficients) <= _MAX_COEFFICIENTS
        if not (few and len(levels) == len(carried) == len(kept) and all(0 <= n <= _MAX_CARRIED for n in carried)):
            raise DomainError("The vectors of the circuit do not fit together. Build it anew.")
        numbers = iter([Fraction(value) for value in coefficients])
        stages, signals = [], 1
        for level, count, keep in zip(levels, carried, kept, strict=True):
            form, *others = [tuple(islice(numbers, signals + 1)) for _ in range(count + 1)]
            rest = tuple(islice(numbers, count + 3))
            gain, linear = rest[0] if rest else Fraction(0), rest[1:]
            stages.append(Stage(form, tuple(others), keep, gain, linear, level))
            signals = 1 + keep
        return cls(tuple(map(Fraction, folds)), tuple(stages), tuple(numbers))


def _form(affine: Affine, signals: Sequence[Form]) -> Form:
    form = signals[0] * 0 + affine[0]
    for factor, signal in zip(affine[1:], signals, strict=True):
        if factor:
            form = form + signal * factor
    return form


def _compose(affine: Affine, signals: Sequence[Affine]) -> Affine:
    """Return an affine function of signals as one of what the signals are affine functions of."""
    total = [affine[0]] + [Fraction(0)] * (max(map(len, signals)) - 1)
    for factor, signal in zip(affine[1:], signals, strict=True):
        for index, value in enumerate(signal):
            total[index] += factor * value
    if any(max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS for value in total):
        raise PrecisionError("A coefficient of the circuit becomes too long a rational. Use fewer stages or bits.")
    return tuple(total)


def _plus(left: Affine, right: Affine) -> Affine:
    """Return the sum of two affine functions, the second one of at least as many arguments."""
    return tuple(a + b for a, b in zip((*left, *(Fraction(0),) * (len(right) - len(left))), right, strict=True))


def _range(affine: Affine, basis: Sequence[tuple[arb, arb]]) -> tuple[arb, arb]:
    """Return balls of which the lower end of the first and the upper end of the second enclose an affine function."""
    low = high = arb(0)
    for a, (lower, upper) in zip(affine, basis, strict=False):
        if a:
            first, second = (lower, upper) if a > 0 else (upper, lower)
            low, high = low + ball(a) * first, high + ball(a) * second
    return low, high


def _gradient(affine: Affine, gradients: Sequence[Sequence[arb]]) -> list[arb]:
    """Return the derivatives of an affine function with respect to the delta of the stages before."""
    result = [arb(0)] * (len(gradients) - 2)
    for a, gradient in zip(affine, gradients, strict=False):
        for i, slope in enumerate(gradient):
            result[i] = result[i] + ball(a) * slope
    return result


def _constant(value: arb) -> Jet:
    return Jet(value, (arb(0),), ((arb(0),),))


def _jet_of(affine: Affine, basis: Sequence[Jet]) -> Jet:
    total = _constant(arb(0))
    for a, jet in zip(affine, basis, strict=False):
        total = total + _constant(ball(a)) * jet
    return total


def _floats(numbers: Sequence[Fraction]) -> NDArray[np.float64]:
    if not all(map(is_float64, numbers)):
        raise PrecisionError("A coefficient of the circuit is not a float64 number. Round it first.")
    return np.array([float(number) for number in numbers], dtype=np.float64)
