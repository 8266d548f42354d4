r"""The columns of `core.bends` in float64: values, gradients, and estimates of their rounding errors.

The estimate is statistical, not a bound: rounding errors of different operations are taken as independent. With w_l the
largest Euclidean norm of a row of A_l, s_l the steepest slope and beta_l the largest bias, an argument of layer l at a
point x is taken to be wrong by

$$ e_l(x) = s_{l-1} w_l e_{l-1}(x) + 4u (w_l \|y_{l-1}(x)\|_2 + \beta_l), \quad e_0 = 0, \quad u = 2^{-52}. $$
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.bends import bending
from epsnet.core.linear_maps import MAX_ENTRIES, Dense, LinearMap
from epsnet.core.network import Layer, Network

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

UNIT = 2.0**-52
_BLOCK = 1 << 19
"""Numbers of one layer that are held at once: 4 MiB, about what a cache holds."""


@dataclass(frozen=True, slots=True)
class _FloatLayer:
    terms: tuple[tuple[int, LinearMap], ...]
    matrices: tuple[tuple[int, Floats], ...]
    bias: Floats
    slopes: Floats
    """(2, outputs): left and right of 0."""
    relu: bool

    def activate(self, z: Floats) -> Floats:
        return np.maximum(z, 0.0) if self.relu else self.slopes_at(z) * z

    def slopes_at(self, z: Floats) -> NDArray[Any]:
        return z > 0 if self.relu else np.where(z > 0, *self.slopes[::-1])


@dataclass(frozen=True, slots=True)
class Signals:
    """What enters a layer at n points.

    Attributes:
        outputs: y_0, ..., y_{l-1}, each (n, neurons).
        arguments: of the activations of layers 1, ..., l - 1.
        errors: estimated errors e_0, ..., e_{l-1} of the outputs, (n,).
    """

    outputs: list[Floats]
    arguments: list[Floats]
    errors: list[Floats]


@dataclass(frozen=True, slots=True)
class _Local:
    """The outputs of a layer near some points.

    Attributes:
        linear: the neurons that are linear there and not 0.
        form: their rows in the basis of signals before the layer.
        others: the neurons that may bend; their outputs are the next signals of the basis.
        error: estimated error of an output.
        size: Euclidean norm of the outputs, at most.
    """

    linear: Integers
    form: Floats
    others: Integers
    error: float
    size: float


class BendValues:
    """The bending neurons of a network, and its level, in float64.

    Attributes:
        columns: (layer, neuron) of each column behind the 2d sides of a box; layers count from 1.
        layers: those of the network, and one more with a level.
        steepness: for each layer a bound on the Euclidean norm of the gradients of its arguments, from spectral norms.
        block: how many points are worth holding at once.

    Raises:
        DomainError: a level is given for several outputs, or a matrix is too large.
        HypothesisError: an activation is not linear left and right of 0.
    """

    def __init__(self, network: Network, level: Fraction | None = None) -> None:
        if level is not None and network.outputs != 1:
            raise DomainError(f"A level is for one output, not {network.outputs}. Use a network with one output.")
        layers, columns = network.layers, list(bending(network))
        if level is not None:
            layers = (*layers, Layer(((len(layers), Dense([[1.0]])),), (-level,), ("identity",)))
            columns.append((len(layers), 0))
        self.columns: Integers = np.array(columns, dtype=np.int64).reshape(-1, 2)
        self.layers = [_float_layer(layer) for layer in layers]
        widest = max(network.inputs, *(layer.outputs for layer in layers))
        self.block = max(64, _BLOCK // widest)
        self._norms = [
            [(source, float(np.sqrt((matrix**2).sum(axis=1).max()))) for source, matrix in layer.matrices]
            for layer in self.layers
        ]
        steep = [1.0]
        self.steepness: list[float] = []
        for layer, norms in zip(self.layers, self._norms, strict=True):
            self.steepness.append(sum(norm * steep[source] for source, norm in norms))
            spectral = sum(float(np.linalg.norm(matrix, 2)) * steep[source] for source, matrix in layer.matrices)
            steep.append(spectral * float(np.abs(layer.slopes).max()))

    def signals(self, points: Floats, number: int) -> Signals:
        """Return what enters layer `number` (from 1) at points (n, d)."""
        found = Signals([points], [], [np.zeros(len(points))])
        for index, layer in enumerate(self.layers[: number - 1], start=1):
            z = layer.bias + sum(linear.apply(found.outputs[source]) for source, linear in layer.terms)
            error = self.argument_errors(found, index) * np.abs(layer.slopes).max()
            found.outputs.append(layer.activate(z))
            found.arguments.append(z)
            found.errors.append(error)
        return found

    def argument_errors(self, signals: Signals, number: int) -> Floats:
        """Return e_l at the points, (n,)."""
        return self._linear_errors(signals, number) + 4 * UNIT * np.abs(self.layers[number - 1].bias).max()

    def _linear_errors(self, signals: Signals, number: int) -> Floats:
        total = np.zeros(len(signals.outputs[0]))
        for source, norm in self._norms[number - 1]:
            size = np.sqrt(np.einsum("nw,nw->n", signals.outputs[source], signals.outputs[source]))
            total += norm * (signals.errors[source] + 4 * UNIT * size)
        return total

    def near(self, points: Floats, number: int, neurons: Integers) -> tuple[Floats, float]:
        """Return z (n, m) of some neurons of layer `number` at points close to each other, and their estimated error.

        Neurons of earlier layers that keep their side of the kink on a box around the points are linear there: all
        signals are written in a basis of x, 1 and the outputs of the few others.
        """
        d = points.shape[1]
        low, high = points.min(axis=0), points.max(axis=0)
        middle, radius = np.append((low + high) / 2, 1.0), np.append((high - low) / 2, 0.0)
        basis = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        size = float(np.linalg.norm(np.maximum(abs(low), abs(high))))
        before = [_Local(np.arange(d), np.eye(d, d + 1), np.arange(0), 0.0, size)]
        for index, layer in enumerate(self.layers[: number - 1], start=1):
            z, error = self._local_arguments(before, index, np.arange(len(layer.bias)), basis.shape[1])
            left, right = layer.slopes
            center, spread = z @ middle, np.abs(z) @ radius
            slope = np.where(center > 0, right, left)
            bends = (np.abs(center) <= spread) & (left != right)
            linear, others = np.flatnonzero(~bends & (slope != 0)), np.flatnonzero(bends)
            arguments = basis @ z[others].T
            basis = np.concatenate([basis, np.where(arguments > 0, right[others], left[others]) * arguments], axis=1)
            ends = np.stack([center - spread, center + spread])
            ends = np.where(ends > 0, right, left) * ends
            top, bottom = np.maximum(ends.max(axis=0), 0.0), np.minimum(ends.min(axis=0), 0.0)
            middle = np.append(middle, (top + bottom)[others] / 2)
            radius = np.append(radius, (top - bottom)[others] / 2)
            size = float(np.linalg.norm(np.maximum(top, -bottom)))
            steepest = float(np.abs(layer.slopes).max())
            before.append(_Local(linear, slope[linear, None] * z[linear], others, error * steepest, size))
        z, error = self._local_arguments(before, number, neurons, basis.shape[1])
        return basis @ z.T, error

    def _local_arguments(
        self, before: list[_Local], number: int, neurons: Integers, width: int
    ) -> tuple[Floats, float]:
        """Return the arguments of neurons of a layer in the basis (m, width), and their estimated error."""
        layer = self.layers[number - 1]
        z = np.zeros((len(neurons), width))
        z[:, len(before[0].linear)] = layer.bias[neurons]
        error = 4 * UNIT * float(np.abs(layer.bias).max())
        for (source, matrix), (_, norm) in zip(layer.matrices, self._norms[number - 1], strict=True):
            local, rows = before[source], matrix[neurons]
            start = local.form.shape[1]
            z[:, :start] += rows[:, local.linear] @ local.form
            z[:, start : start + len(local.others)] += rows[:, local.others]
            error += norm * (local.error + 4 * UNIT * local.size)
        return z, error

    def at_pairs(self, signals: Signals, points: Integers, columns: Integers) -> tuple[Floats, Floats, Floats]:
        """Return value (k,), gradient (k, d) and estimated error (k,) of one column each at some of the points."""
        value, error = np.empty(len(points)), np.empty(len(points))
        gradient = np.empty((len(points), signals.outputs[0].shape[1]))
        layers, neurons = self.columns[columns].T
        for number in np.unique(layers):
            pairs = np.flatnonzero(layers == number)
            where, neuron = points[pairs], neurons[pairs]
            layer = self.layers[number - 1]
            total, back = layer.bias[neuron], dict[int, Floats]()
            for source, matrix in layer.matrices:
                rows = matrix[neuron]
                total = total + np.einsum("kw,kw->k", rows, signals.outputs[source][where])
                _accumulate(back, source, rows)
            value[pairs] = total
            error[pairs] = self.argument_errors(signals, number)[where]
            gradient[pairs] = self._to_input(signals, where, back, number)
        return value, gradient, error

    def _to_input(self, signals: Signals, where: Integers, back: dict[int, Floats], number: int) -> Floats:
        """Take derivatives by y_0, ..., y_{l-1} back to derivatives by x."""
        for index in range(number - 1, 0, -1):
            if index in back:
                layer = self.layers[index - 1]
                inner = back.pop(index) * layer.slopes_at(signals.arguments[index - 1][where])
                for source, linear in layer.terms:
                    _accumulate(back, source, linear.transpose_apply(inner))
        return back.get(0, np.zeros((len(where), signals.outputs[0].shape[1])))

    def derivatives(self, signals: Signals, along: Floats) -> tuple[list[Floats], list[Floats]]:
        """Return the derivatives of all arguments along vectors (n, d), layer by layer, and their estimated errors."""
        found, errors = [], []
        changes = Signals([along], [], [np.zeros(len(along))])
        for number, layer in enumerate(self.layers, start=1):
            found.append(sum(linear.apply(changes.outputs[source]) for source, linear in layer.terms))
            errors.append(self._linear_errors(changes, number))
            changes.outputs.append(found[-1] * layer.slopes_at(signals.arguments[number - 1]))
            changes.errors.append(errors[-1] * np.abs(layer.slopes).max())
        return found, errors

    def affine(self, signs: NDArray[np.int8], dimension: int, number: int) -> tuple[Floats, Floats]:
        """Return the affine maps x -> A x + b that the outputs of layer `number` are on cells.

        Args:
            signs: (n, columns), without the sides of a box; 0 counts as left of the kink.
            dimension: d.
            number: from 1.

        Returns:
            A (n, m, d) and b (n, m).
        """
        count = len(signs)
        unit = np.zeros((dimension + 1, count, dimension))
        unit[np.arange(dimension), :, np.arange(dimension)] = 1.0
        parts = [unit.reshape(-1, dimension)]
        constant = np.repeat(np.arange(dimension + 1) == dimension, count)[:, None]
        for index, layer in enumerate(self.layers[:number], start=1):
            z = constant * layer.bias + sum(linear.apply(parts[source]) for source, linear in layer.terms)
            slopes = np.broadcast_to(layer.slopes[1], (count, len(layer.bias))).copy()
            own = np.flatnonzero(self.columns[:, 0] == index)
            neurons = self.columns[own, 1]
            slopes[:, neurons] = np.where(signs[:, own] > 0, layer.slopes[1][neurons], layer.slopes[0][neurons])
            parts.append((z.reshape(dimension + 1, count, -1) * slopes).reshape(len(z), -1))
        last = parts[-1].reshape(dimension + 1, count, -1)
        return np.moveaxis(last[:-1], 0, -1), last[-1]


def _accumulate(sums: dict[int, Floats], key: int, term: Floats) -> None:
    sums[key] = sums[key] + term if key in sums else term


def _float_layer(layer: Layer) -> _FloatLayer:
    slopes = [function.slopes or (Fraction(1), Fraction(1)) for function in layer.functions()]
    return _FloatLayer(
        layer.terms,
        tuple((source, _dense(linear)) for source, linear in layer.terms),
        np.array([float(value) for value in layer.bias_values()]),
        np.array([[float(slope) for slope in pair] for pair in slopes]).T,
        set(slopes) == {(Fraction(0), Fraction(1))},
    )


def _dense(linear: LinearMap) -> Floats:
    if isinstance(linear, Dense):
        return linear.weight
    if linear.shape[0] * linear.shape[1] > MAX_ENTRIES:
        raise DomainError(f"A layer has a matrix with more than {MAX_ENTRIES:,} places. Use a smaller network.")
    return np.ascontiguousarray(linear.apply(np.eye(linear.shape[1])).T)


def clusters(points: Floats, size: int) -> Iterator[Integers]:
    """Return numbers of points in groups of at most `size` that lie close together."""
    coordinates = np.ascontiguousarray(points.T)
    waiting = [(0, np.arange(len(points)))]
    while waiting:
        along, group = waiting.pop()
        if len(group) <= size:
            yield group
            continue
        half = len(group) // 2
        order = np.argpartition(coordinates[along, group], half)
        following = (along + 1) % len(coordinates)
        waiting += [(following, group[order[:half]]), (following, group[order[half:]])]


def blocks(count: int, size: int) -> Sequence[slice]:
    """Return slices of at most `size` that cover range(count)."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
