r"""Affine lower and upper bounds of a network on a box, by backward linear relaxation, with outward rounding.

On the range [l, u] of its argument every activation lies between two lines, a^- z + b^- <= sigma(z) <= a^+ z + b^+.
From a linear function Lambda y_L of the outputs the lower bound walks back to the input: an activation is replaced by
the lower line where its coefficient is positive and by the upper one where it is negative, an affine layer is
substituted,

$$ \Lambda y \ge M z + \Lambda^+ b^- + \Lambda^- b^+, \quad M = \Lambda^+ a^- + \Lambda^- a^+, \qquad
   M z = \sum_k (M A_k)\, y_k + M b . $$

The ranges [l, u] come from the same procedure, layer by layer, intersected with interval propagation.

**Rounding.** M and M A are float64 matrices; that they are not the exact products is paid for in the offset: if P is
the computed matrix then |(M A - P) y| <= gamma_N |M| (|A| |y|), and |y| is bounded by the ranges. This costs
matrix-vector products only. Every line of a relaxation is rigorous for its float64 slope, since its offset is computed
from it with outward rounding. So the affine functions that come out, with their float64 coefficients taken exactly, are
bounds of the exact network. A bound that overflows is replaced by the constant one of interval propagation.

References: H. Zhang, T.-W. Weng, P.-Y. Chen, C.-J. Hsieh and L. Daniel, Efficient neural network robustness
certification with general activation functions (CROWN), NeurIPS 2018; G. Singh, T. Gehr, M. Puschel and M. Vechev, An
abstract domain for certifying neural networks (DeepPoly), POPL 2019; N. J. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., SIAM 2002, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.core.network import Layer, Network, activation
from epsnet.core.relaxation import dot_error, kinked_lines, smooth_lines
from epsnet.core.smooth import TINY, UNIT, down, smooth
from epsnet.enclosure.intervals import (
    AffinePart,
    Intervals,
    Range,
    Region,
    activation_range,
    argument_range,
    input_range,
    is_single,
    neurons_by_activation,
)

Array = NDArray[np.float64]

_BLOCK = 2**23  # numbers in one block of coefficients: about 64 MB


@dataclass(frozen=True, slots=True)
class LinearBounds:
    """Affine functions below and above the outputs: L x + c <= y_L <= U x + d on the box, and what follows from them.

    Attributes:
        lower_slopes, upper_slopes: L and U, (outputs, d) or (batch, outputs, d); the float64 numbers are meant exactly.
        lower_offsets, upper_offsets: c and d, (outputs,) or (batch, outputs).
        lower, upper: bounds of the outputs, never worse than interval propagation.
        intervals: the ranges of all neurons that the relaxation used and found.
    """

    lower_slopes: Array
    lower_offsets: Array
    upper_slopes: Array
    upper_offsets: Array
    lower: Array
    upper: Array
    intervals: Intervals


def linear_bounds(network: Network, box: Region) -> LinearBounds:
    """Bound every output of a network by affine functions of its input, on a box or on each box of a batch.

    The range of a neuron is refined where that can matter later: its argument may have either sign, or its activation
    is smooth.

    Args:
        network: Phi: R^d -> R^m with any layers and activations.
        box: a `Box`, or float64 ends (lower, upper) of shape (d,) or (batch, d); an interval may be a point.

    Returns:
        The bounds; see `LinearBounds`.

    Raises:
        DomainError: the box does not fit, or an interval bound exceeds the range of float64.

    Example:
        >>> from epsnet.certify.domain import Box
        >>> network = Network.from_layers([([[1.0], [1.0]], [0.0, -1.0]), ([[1.0, -1.0]], [0.0])])
        >>> bounds = linear_bounds(network, Box(0, 2))
        >>> bool(bounds.lower[0] <= 0 and 1 <= bounds.upper[0] < 2)
        True

    Source: Zhang et al. 2018 (CROWN), Singh et al. 2019 (DeepPoly); see the module for the rounding.
    """
    walk = _Walk(network, input_range(network, box))
    for number, layer in enumerate(network.layers, 1):
        part = AffinePart(layer, number)
        arguments = argument_range(part, walk.values)
        walk.parts.append(part)
        walk.arguments.append(arguments)
        if number < len(network.layers) or set(layer.activations) != {"identity"}:
            walk.refine(number)
        walk.values.append(activation_range(layer, walk.arguments[-1]))
        walk.lines.append(relaxation(layer, walk.arguments[-1]))
    depth = len(network.layers)
    slopes, offsets = walk.forms(depth, np.arange(network.outputs), of_values=True)
    bounds = walk.range_of(slopes, offsets)
    walk.values[depth] = outputs = walk.values[depth].meet(bounds.lower, bounds.upper)
    if set(network.layers[-1].activations) == {"identity"}:
        walk.arguments[-1] = outputs
    lost = ~np.isfinite(offsets)
    offsets[0], offsets[1] = np.where(lost[0], outputs.lower, offsets[0]), np.where(lost[1], -outputs.upper, offsets[1])
    found = (slopes[0], offsets[0], -slopes[1], -offsets[1], outputs.lower, outputs.upper)
    intervals = Intervals(tuple(walk.values), tuple(walk.arguments))
    if not is_single(box):
        return LinearBounds(*found, intervals)
    a, b, c, d, low, high = (array[0] for array in found)
    return LinearBounds(a, b, c, d, low, high, intervals.first())


def output_range(network: Network, box: Region) -> tuple[Array, Array]:
    """Return rigorous bounds (lower, upper) of the outputs on a box: `linear_bounds` without the affine functions.

    The arguments, shapes and errors are those of `linear_bounds`.
    """
    bounds = linear_bounds(network, box)
    return bounds.lower, bounds.upper


def stable_neurons(network: Network, box: Region) -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]:
    """Return for every layer the masks (active, inactive) of neurons whose argument is >= 0, or <= 0, on the whole box.

    A neuron in neither mask is undecided: the argument may change its sign, or the bounds are too wide to tell. The
    arguments and errors are those of `linear_bounds`; masks have the shape (neurons,) or (batch, neurons).
    """
    arguments = linear_bounds(network, box).intervals.arguments
    return tuple((z.lower >= 0, z.upper <= 0) for z in arguments)


@dataclass(frozen=True, slots=True)
class Lines:
    """lower_slope z + lower_offset <= sigma(z) <= upper_slope z + upper_offset on [l, u]; arrays (batch, neurons)."""

    lower_slope: Array
    lower_offset: Array
    upper_slope: Array
    upper_offset: Array


class _Walk:
    """The ranges and relaxations found so far, and the backward substitution through them."""

    def __init__(self, network: Network, box: Range) -> None:
        self.layers = network.layers
        self.values = [box]
        self.arguments: list[Range] = []
        self.parts: list[AffinePart] = []
        self.lines: list[Lines] = []

    def refine(self, number: int) -> None:
        """Intersect the ranges of the arguments of a layer with linear bounds, where that can matter."""
        layer, ranges = self.layers[number - 1], self.arguments[number - 1]
        if len(layer.terms) == 1 and layer.terms[0][0] == 0:
            return  # an affine function of the input: interval propagation is exact up to rounding
        undecided: NDArray[np.bool_] = np.any((ranges.lower < 0) & (ranges.upper > 0), axis=0)
        for name, own in neurons_by_activation(layer):
            undecided[own] &= name != "identity"
            undecided[own] |= activation(name).slopes is None
        rows = np.flatnonzero(undecided)
        if rows.size:
            found = self.range_of(*self.forms(number, rows, of_values=False))
            better = Range(ranges.lower[:, rows], ranges.upper[:, rows]).meet(found.lower, found.upper)
            ranges.lower[:, rows], ranges.upper[:, rows] = better.lower, better.upper

    def range_of(self, slopes: Array, offsets: Array) -> Range:
        """Return the ranges on the box that follow from the affine bounds (2, batch, rows, d), (2, batch, rows)."""
        box = self.values[0]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            value = _times(np.maximum(slopes, 0.0), box.lower) + _times(np.minimum(slopes, 0.0), box.upper) + offsets
            size = _times(np.abs(slopes), box.magnitude) + np.abs(offsets)
            terms = slopes.shape[-1] + 2
            low = down(value - (dot_error(terms) * size + 2 * terms * TINY))
            low = np.where(np.isfinite(offsets) & np.isfinite(low), low, -np.inf)
        return Range(low[0], -low[1])

    def forms(self, number: int, rows: NDArray[np.int64], *, of_values: bool) -> tuple[Array, Array]:
        """Return affine lower bounds of w and of -w, for w some values or arguments of a layer.

        Returns:
            Slopes (2, batch, rows, d) and offsets (2, batch, rows); offset -inf and slopes 0 where nothing is known.
        """
        batch, width = self.values[0].lower.shape[0], max(values.lower.shape[1] for values in self.values)
        block = max(1, _BLOCK // (2 * batch * width))
        found = []
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for start in range(0, len(rows), block):
                chosen = rows[start : start + block]
                functionals = np.zeros((2, batch, len(chosen), self.layers[number - 1].outputs))
                functionals[0, :, np.arange(len(chosen)), chosen] = 1.0
                functionals[1, :, np.arange(len(chosen)), chosen] = -1.0
                found.append(self._substitute(number, functionals, of_values))
        slopes, offsets = (np.concatenate(parts, axis=2) for parts in zip(*found, strict=True))
        lost = ~(np.isfinite(slopes).all(axis=-1) & np.isfinite(offsets))
        slopes[lost], offsets[lost] = 0.0, -np.inf
        return slopes, offsets

    def _substitute(self, number: int, functionals: Array, of_values: bool) -> tuple[Array, Array]:
        pending = {number: functionals}
        offset = error = np.zeros(functionals.shape[:-1])
        for current in range(number, 0, -1):
            rows = pending.pop(current, None)
            if rows is None:
                continue
            if of_values or current < number:
                rows, gain, loss = self._through_activation(current, rows)
                offset, error = down(offset + gain), error + loss
            part = self.parts[current - 1]
            size = np.abs(rows)
            positive, negative = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
            offset = down(offset + (positive @ part.bias.lower + negative @ part.bias.upper))
            magnitudes = [values.magnitude for values in self.values[:current]]
            sources = [source for source, _ in self.layers[current - 1].terms]
            spread = np.sum([magnitudes[source].sum(axis=-1) for source in sources], axis=0)
            terms = part.terms + rows.shape[-1]
            error = error + dot_error(terms) * _times(size, part.absolute(magnitudes))
            error = error + terms * TINY * (1 + spread[:, None]) * (1 + size.sum(axis=-1))
            for source, linear in self.layers[current - 1].terms:
                moved = linear.transpose_apply(rows.reshape(-1, rows.shape[-1])).reshape(*rows.shape[:-1], -1)
                if source in pending:
                    moved = moved + pending[source]
                    error = error + 2 * UNIT * _times(np.abs(moved), magnitudes[source])
                pending[source] = moved
        return pending[0], down(offset - error * (1 + 2**-30))

    def _through_activation(self, number: int, rows: Array) -> tuple[Array, Array, Array]:
        """Return M with Lambda y >= M z + gain - loss, for Lambda = rows of shape (2, batch, rows, neurons)."""
        lines, magnitude = self.lines[number - 1], self.arguments[number - 1].magnitude
        positive, negative = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
        moved = positive * lines.lower_slope[:, None] + negative * lines.upper_slope[:, None]
        gain = _times(positive, lines.lower_offset) + _times(negative, lines.upper_offset)
        terms = rows.shape[-1] + 2
        largest = np.maximum(np.abs(lines.lower_offset), np.abs(lines.upper_offset))
        loss = dot_error(terms) * _times(np.abs(rows), largest) + 2 * UNIT * _times(np.abs(moved), magnitude)
        return moved, gain, loss + 2 * terms * TINY * (1 + magnitude.sum(axis=-1)[:, None])


def _times(matrix: Array, vector: Array) -> Array:
    """Return matrix @ vector for (2, batch, rows, n) and (batch, n)."""
    return np.matmul(matrix, vector[:, :, None])[..., 0]


def relaxation(layer: Layer, arguments: Range) -> Lines:
    """Enclose every activation of a layer between two lines on its range (batch, neurons)."""
    result = np.empty((4, *arguments.lower.shape))
    for name, own in neurons_by_activation(layer):
        lower, upper = arguments.lower[:, own], arguments.upper[:, own]
        slopes = activation(name).slopes
        with np.errstate(all="ignore"):
            if slopes is None:
                below, above = smooth_lines(smooth(name), lower, upper)
            else:
                below, above = kinked_lines(float(slopes[0]), float(slopes[1]), lower, upper)
        result[:, :, own] = np.stack((*below, *above))
    return Lines(result[0], result[1], result[2], result[3])
