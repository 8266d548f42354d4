r"""The range of a network with the activation sigma-steps on a box, in exact arithmetic.

Every signal is enclosed by an interval with rational ends. Affine maps take intervals to intervals, whatever the length
of the weights. On the interval of its argument, which has to stay in one slot, sigma_steps is affine in the p of
`core.universal_activation`; between two plateaus p is monotone, so its least and greatest values are among those at the
ends of the interval and those of the plateaus inside. Plateaus are exact; on a step the value is rounded outward.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from flint import arb, fmpq

from epsnet.certify.errors import HypothesisError
from epsnet.core.enclose import Cell, jet_range
from epsnet.core.evaluate import evaluate_jet
from epsnet.core.linear_maps import Number
from epsnet.core.network import Network
from epsnet.core.target import Target
from epsnet.core.universal_activation import UNIVERSAL, steps
from epsnet.core.work import Work

Interval = tuple[fmpq, fmpq]

_MOST_FOUND = 4096
_MAX_BITS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Signal:
    """The range [low, high] of a neuron; of one neuron, equal names mean equal ranges."""

    name: Hashable
    low: fmpq
    high: fmpq


@dataclass(frozen=True, slots=True)
class _Neuron:
    """An affine map with rational weights, perhaps followed by sigma-steps; what it has found before is kept."""

    bias: fmpq
    terms: list[tuple[int, int, fmpq]]
    steps: bool
    work: Work
    found: dict[Hashable, _Signal] = field(default_factory=dict)
    distinct: dict[Interval, _Signal] = field(default_factory=dict)
    names: Iterator[int] = field(default_factory=itertools.count)

    def __call__(self, signals: Sequence[Sequence[_Signal]]) -> _Signal:
        if not self.steps:
            return _Signal(next(self.names), *self._argument(signals))
        self.work.pay(4 + len(self.terms))
        key = tuple([signals[source][column].name for source, column, _ in self.terms])
        if key not in self.found:
            if len(self.found) >= _MOST_FOUND:
                self.found.clear()
                self.distinct.clear()
            values = _activated(*self._argument(signals), self.work)
            if values not in self.distinct:
                self.distinct[values] = _Signal(next(self.names), *values)
            self.found[key] = self.distinct[values]
        return self.found[key]

    def _argument(self, signals: Sequence[Sequence[_Signal]]) -> Interval:
        low = high = self.bias
        for source, column, weight in self.terms:
            signal = signals[source][column]
            self.work.spend((low, high))
            ends = (signal.low, signal.high) if weight > 0 else (signal.high, signal.low)
            low += weight * ends[0]
            high += weight * ends[1]
        return low, high


class StepRanges:
    """Encloses one network on many boxes.

    Args:
        network: of one output; every activation sigma-steps or the identity.

    Raises:
        HypothesisError: the network has several outputs or another activation.
    """

    def __init__(self, network: Network) -> None:
        work = Work(_MAX_BITS)
        functions = [layer.functions() for layer in network.layers]
        known = all(f.name == "identity" or f is UNIVERSAL["sigma-steps"] for each in functions for f in each)
        if network.outputs != 1 or not known:
            raise HypothesisError("Ranges are for networks of sigma-steps with one output. Use such a network.")
        self._layers = []
        for layer, own in zip(network.layers, functions, strict=True):
            rows = [(source, linear.rows) for source, linear in layer.terms]
            self._layers.append([
                _Neuron(
                    _rational(bias),
                    [(source, column, _rational(weight)) for source, row in rows for column, weight in row[neuron]],
                    own[neuron].name != "identity",
                    work,
                )
                for neuron, bias in enumerate(layer.bias_values())
            ])  # fmt: skip

    def __call__(self, lower: Sequence[Fraction], upper: Sequence[Fraction]) -> Interval:
        """Enclose the values on a box.

        Raises:
            HypothesisError: the argument of an activation leaves its slot.
            PrecisionError: a weight stands for too many, too narrow or high steps, or all boxes so far took too long.
        """
        ends = zip(lower, upper, strict=True)
        signals = [
            [_Signal((*a.as_integer_ratio(), *b.as_integer_ratio()), _rational(a), _rational(b)) for a, b in ends]
        ]
        for layer in self._layers:
            signals.append([neuron(signals) for neuron in layer])
        return signals[-1][0].low, signals[-1][0].high


def _activated(low: fmpq, high: fmpq, work: Work) -> Interval:
    index = int((low / 2).floor())
    if index < 1 or high > 2 * index + 1:
        raise HypothesisError("The argument of a universal sigmoidal activation leaves its slot. Use another weight.")
    own = steps(index)
    start, end = low - 2 * index, high - 2 * index
    work.pay(100 + index.bit_length() // 16 + int((len(own.levels) * (end - start)).ceil()))
    least, most = own.range(start, end)
    return own.activated(least), own.activated(most)


def step_difference(
    target: Target, network: StepRanges, lower: Sequence[Fraction], upper: Sequence[Fraction]
) -> tuple[arb, arb]:
    """Enclose F - R(Phi) on a box.

    Returns:
        Balls of radius 0, (low, high): low <= F(x) - R(Phi)(x) <= high on the box; infinite where F is unknown.
    """
    cell = Cell.of(lower, upper)
    at_center, on_box = (
        evaluate_jet(target.expression, target.variables, place) for place in (cell.center, cell.interval)
    )
    low, high = jet_range(at_center, on_box, cell.radius)
    least, most = network(lower, upper)
    return (low - arb(most)).lower(), (high - arb(least)).upper()


def _rational(value: Number) -> fmpq:
    exact = Fraction(value)
    return fmpq(exact.numerator, exact.denominator)
