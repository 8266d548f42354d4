"""Ranges of all activations of a network on a box, in exact rationals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic, interval, to_fraction
from epsnet.core.functions import Function
from epsnet.core.jacobian import arguments
from epsnet.core.network import Network

Range = tuple[Fraction, Fraction]

_EXACT_WORK = 2_000_000  # weights times inputs above which rationals would take minutes
_EXACT_DEEP_WORK = 10_000_000  # the same, times layers: every layer makes the rationals longer
_EXACT_BITS = 14_000  # of a rational: longer ones, of deep networks with weights of all sizes, would take hours
_HUGE = Fraction(10) ** 400  # stands for an end that float64 could not bound


def argument_ranges(network: Network, domain: Box) -> list[list[Range]]:
    r"""Enclose the arguments of all activations on a box, layer by layer, in exact rationals.

    As in `enclose.network_forms`, values are enclosed by low + g . t <= y <= high + g . t; rationals find out that a
    range ends exactly at a kink, which balls of nonzero radius cannot; a network too large or too deep for that gets
    the float64 enclosures of `core.jacobian`. An undecided kink is replaced by a chord of slope lambda, rounded to 20
    bits, plus the range of sigma(z) - lambda z: rounding costs width but no rigor.
    """
    if domain.dimension != network.inputs:
        raise DomainError(
            f"The box has dimension {domain.dimension}, the input {network.inputs}. Give one interval for each input."
        )
    work = network.size.connections * network.inputs
    if work > _EXACT_WORK or work * len(network.layers) > _EXACT_DEEP_WORK:
        return _float_ranges(network, domain)
    ends = list(zip(domain.lower, domain.upper, strict=True))
    radius = [(high - low) / 2 for low, high in ends]
    values = [[_Form((a + b) / 2, (a + b) / 2, {i: Fraction(1)}, (a, b)) for i, (a, b) in enumerate(ends)]]
    result: list[list[Range]] = []
    for layer in network.layers:
        forms = []
        for neuron, bias in enumerate(layer.bias_values()):
            terms = [(Fraction(w), values[k][j]) for k, linear in layer.terms for j, w in linear.rows[neuron]]
            forms.append(_Form.affine(Fraction(bias), terms, radius))
            if forms[-1].bits > _EXACT_BITS:
                return _float_ranges(network, domain)
        result.append([form.range for form in forms])
        values.append([form.activate(function) for form, function in zip(forms, layer.functions(), strict=True)])
    return result


def _float_ranges(network: Network, domain: Box) -> list[list[Range]]:
    return [
        [(_rational(low), _rational(high)) for low, high in zip(*map(np.ndarray.tolist, layer), strict=True)]
        for layer in arguments(network, domain)
    ]


def _rational(end: float) -> Fraction:
    return Fraction(end) if math.isfinite(end) else (_HUGE if end > 0 else -_HUGE)


@dataclass(slots=True)
class _Form:
    """The functions y with low + g . t <= y <= high + g . t and values in a range; t ranges over the centered box."""

    low: Fraction
    high: Fraction
    slopes: dict[int, Fraction]
    range: Range

    @property
    def bits(self) -> int:
        """The length of the ends, as long as any of these numbers."""
        return max(max(end.numerator.bit_length(), end.denominator.bit_length()) for end in (*self.range, self.low))

    @classmethod
    def affine(cls, bias: Fraction, terms: Sequence[tuple[Fraction, _Form]], radius: Sequence[Fraction]) -> _Form:
        low = high = bottom = top = bias
        slopes: dict[int, Fraction] = {}
        for weight, form in terms:
            first, second = (form.low, form.high) if weight > 0 else (form.high, form.low)
            low, high = low + weight * first, high + weight * second
            first, second = form.range if weight > 0 else form.range[::-1]
            bottom, top = bottom + weight * first, top + weight * second
            for i, slope in form.slopes.items():
                slopes[i] = slopes.get(i, Fraction(0)) + weight * slope
        spread = sum((abs(slope) * radius[i] for i, slope in slopes.items()), Fraction(0))
        return cls(low, high, slopes, (max(low - spread, bottom), min(high + spread, top)))

    def activate(self, function: Function) -> _Form:
        bottom, top = self.range
        if function.slopes is None:
            with ball_arithmetic():
                image = function.ball(interval(bottom, top))
                bottom, top = to_fraction(image.lower()), to_fraction(image.upper())
            return _Form(bottom, top, {}, (bottom, top))
        left, right = function.slopes
        if bottom >= 0 or top <= 0:
            chord, gaps = (right if bottom >= 0 else left), [Fraction(0)]
        else:
            chord = Fraction(round((right * top - left * bottom) / (top - bottom) * 2**20), 2**20)
            gaps = [Fraction(0), (left - chord) * bottom, (right - chord) * top]
        low, high = (chord * end for end in ((self.low, self.high) if chord >= 0 else (self.high, self.low)))
        ends = [function.exact(end) for end in (bottom, top, min(max(bottom, Fraction(0)), top))]
        slopes = {i: chord * slope for i, slope in self.slopes.items()}
        return _Form(low + min(gaps), high + max(gaps), slopes, (min(ends), max(ends)))
