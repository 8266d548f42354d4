r"""Where a piecewise-linear network bends: the arguments of its neurons with a kink, in exact rational arithmetic.

A neuron *bends* if its activation has different slopes left and right of 0. On a box of d dimensions the functions

* 2i: x_i - low_i, and 2i + 1: high_i - x_i, for i = 0, ..., d - 1,
* 2d + j: the argument z_j(x) of the j-th bending neuron, layer by layer,
* last, where a level is given: R(Phi)(x) - level, of a network with one output,

are the *columns*. Their signs at a point are its sign vector, in {-1, 0, 1}^K. The points with one sign vector form a
*cell*: a convex set, open in the affine space it spans, on which every column is an affine function. (Layer by layer:
with the signs of the layers before fixed, an argument is affine, and its sign cuts out a convex set.)

Points are columns (p_1, ..., p_d, q) of integers, meaning p / q with q > 0; the affine functions of a cell are what the
network makes of the unit vectors with the signs of the cell held fixed. All of it is products of integer matrices.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from flint import fmpq, fmpz, fmpz_mat

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.network import Layer, Network

Rows = list[list[fmpz]]

MAX_ENTRIES = 4_000_000
"""The most entries of all matrices, which are stored in full."""

_ZERO = fmpz(0)


def bending(network: Network) -> tuple[tuple[int, int], ...]:
    """Return (layer, neuron), from 1 and from 0, of every neuron that bends.

    Raises:
        HypothesisError: an activation is not piecewise linear with its only kink at 0.
    """
    found = []
    for number, layer in enumerate(network.layers, start=1):
        for neuron, function in enumerate(layer.functions()):
            if function.slopes is None:
                raise HypothesisError(
                    f"The activation {function.name} is not linear left and right of 0. Use relu, leaky_relu or abs."
                )
            if function.slopes[0] != function.slopes[1]:
                found.append((number, neuron))
    return tuple(found)


def matrix_entries(network: Network) -> int:
    """Return the number of entries of all matrices and biases, zeros included."""
    shapes = [linear.shape for layer in network.layers for _, linear in layer.terms]
    return sum(rows * columns for rows, columns in shapes) + sum(layer.outputs for layer in network.layers)


@dataclass(frozen=True, slots=True)
class _IntegerLayer:
    """A layer over the integers: scale times q times the arguments is sum_k A_k Y_k + b q."""

    terms: tuple[tuple[int, fmpz_mat], ...]
    bias: fmpz_mat
    scale: int
    slopes: tuple[tuple[int, int], ...]
    slope_scale: int
    bends: tuple[int, ...]


class BendingForms:
    """The columns of a network on a box, prepared for exact arithmetic.

    Attributes:
        dimension: d.
        starts: the first column of each layer that may bend, and one more: the column after the last of them.
        scales: positive integers, one for each column, that clear its denominators.
        width: how many numbers are held for one point.

    Raises:
        DomainError: the box has another dimension than the network, or a level is given for several outputs.
        HypothesisError: an activation is not linear left and right of 0, or the matrices have too many entries.
    """

    def __init__(self, network: Network, box: Box, level: Fraction | None = None) -> None:
        if box.dimension != network.inputs:
            raise DomainError(
                f"The network takes {network.inputs} inputs, the box has {box.dimension} dimensions. Give one for each."
            )
        if level is not None and network.outputs != 1:
            raise DomainError(f"A level is for one output, not {network.outputs}. Use a network with one output.")
        if matrix_entries(network) > MAX_ENTRIES:
            raise HypothesisError(f"The matrices have more than {MAX_ENTRIES:,} entries. Use a smaller network.")
        neurons = bending(network)
        self.dimension = network.inputs
        self._box = box
        self._level = level
        self._layers: list[_IntegerLayer] = []
        scales = [1]
        for number, layer in enumerate(network.layers, start=1):
            own = tuple(neuron for place, neuron in neurons if place == number)
            self._layers.append(_integers(layer, scales, own))
            scales.append(self._layers[-1].scale * self._layers[-1].slope_scale)
        self._output_scale = scales[-1]
        self.starts = [2 * self.dimension]
        for layer in self._layers:
            self.starts.append(self.starts[-1] + len(layer.bends))
        sides = [end.denominator for pair in zip(box.lower, box.upper, strict=True) for end in pair]
        inner = [layer.scale for layer in self._layers for _ in layer.bends]
        last = [] if level is None else [self._output_scale * level.denominator]
        self.scales = (*sides, *inner, *last)
        self._bent = max((number for number, _ in neurons), default=0)
        self.width = len(self.scales) + sum(len(layer.slopes) for layer in self._layers)

    def values(self, points: fmpz_mat, signs: Sequence[Sequence[int]] | None = None, layers: int | None = None) -> Rows:
        """Return the columns at points, or what the affine functions of given cells are there.

        Args:
            points: (d + 1, n), a column (p_1, ..., p_d, q) for each point p / q with q > 0, or, where signs are given,
                (p, 0) for a vector p.
            signs: None, or K rows of n signs, a cell for each point: the affine functions of the cells are taken, as if
                the point lay there. 0 counts as left of the kink.
            layers: how many layers to go through; None for all, and the level.

        Returns:
            K rows of n integers: row c is the value of column c times scales[c] q, for a vector its derivative times
            scales[c].
        """
        *coordinates, weights = points.tolist()
        rows: Rows = []
        for x, low, high in zip(coordinates, self._box.lower, self._box.upper, strict=True):
            rows.append([low.denominator * p - low.numerator * q for p, q in zip(x, weights, strict=True)])
            rows.append([high.numerator * q - high.denominator * p for p, q in zip(x, weights, strict=True)])
        outputs, weight = [fmpz_mat(coordinates)], fmpz_mat([weights])
        level = self._level if layers is None else None
        # Behind the last neuron that bends nothing is needed but the level.
        last = self._bent if level is None else len(self._layers)
        depth = last if layers is None else min(layers, last)
        for number, (layer, start) in enumerate(zip(self._layers[:depth], self.starts, strict=False), start=1):
            total = layer.bias * weight
            for source, matrix in layer.terms:
                total = total + matrix * outputs[source]
            arguments = total.tolist()
            own = [arguments[neuron] for neuron in layer.bends]
            rows.extend(own)
            if number < depth or level is not None:
                outputs.append(_activate(layer, arguments, own if signs is None else signs[start : start + len(own)]))
        if level is not None:
            a, b = level.denominator, level.numerator * self._output_scale
            rows.append([a * y - b * q for y, q in zip(outputs[-1].tolist()[0], weights, strict=True)])
        return rows

    def affine(self, signs: Sequence[int], layers: int | None = None) -> Rows:
        """Return rows (a_1, ..., a_d, b): on the cell with these signs, column c is (a x + b) / scales[c]."""
        size = self.dimension + 1
        unit = fmpz_mat([[int(i == j) for j in range(size)] for i in range(size)])
        return self.values(unit, [[sign] * size for sign in signs], layers)


def _integers(layer: Layer, scales: Sequence[int], bends: tuple[int, ...]) -> _IntegerLayer:
    """Clear the denominators of a layer; `scales` are those of the outputs before it."""
    bias = [Fraction(value) for value in layer.bias_values()]
    entries = [[(int(i), int(j), Fraction(w)) for i, j, w in zip(*a.entries(), strict=True)] for _, a in layer.terms]
    common = lcm(*(scales[source] for source, _ in layer.terms))
    clear = lcm(*(value.denominator for value in bias), *(w.denominator for part in entries for _, _, w in part))
    terms = []
    for (source, linear), part in zip(layer.terms, entries, strict=True):
        matrix = fmpz_mat(*linear.shape)
        for i, j, weight in part:
            matrix[i, j] = int(weight * clear) * (common // scales[source])
        terms.append((source, matrix))
    column = fmpz_mat([[int(value * clear) * common] for value in bias])
    pairs = [function.slopes or (Fraction(1), Fraction(1)) for function in layer.functions()]
    unit = lcm(*(slope.denominator for pair in pairs for slope in pair))
    slopes = tuple((int(left * unit), int(right * unit)) for left, right in pairs)
    return _IntegerLayer(tuple(terms), column, clear * common, slopes, unit, bends)


def _activate(layer: _IntegerLayer, arguments: Rows, signs: Sequence[Sequence[int | fmpz]]) -> fmpz_mat:
    """Multiply by the slopes, which signs decide where a neuron bends."""
    bent, outputs = dict(zip(layer.bends, signs, strict=True)), []
    for neuron, (row, (left, right)) in enumerate(zip(arguments, layer.slopes, strict=True)):
        own = bent.get(neuron)
        if (left, right) == (0, 1) and own is not None:
            outputs.append([z if s > 0 else _ZERO for s, z in zip(own, row, strict=True)])
        elif own is not None:
            outputs.append([(right if s > 0 else left) * z for s, z in zip(own, row, strict=True)])
        else:
            outputs.append([right * z for z in row])
    return fmpz_mat(outputs)


@functools.lru_cache(maxsize=4)
def _forms(network: Network, box: Box, level: Fraction | None) -> BendingForms:
    return BendingForms(network, box, level)


def exact_columns(network: Network, box: Box, point: Sequence[fmpq], level: Fraction | None = None) -> list[fmpq]:
    """Return the K columns at a rational point; errors as in `BendingForms`."""
    forms = _forms(network, box, level)
    weight = lcm(*(int(x.q) for x in point))
    column = fmpz_mat([[fmpz((x * weight).p)] for x in point] + [[weight]])
    return [fmpq(row[0], scale * weight) for row, scale in zip(forms.values(column), forms.scales, strict=True)]
