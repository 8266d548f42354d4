r"""A network assembled operation by operation: tensors are affine functions of layers, written when a kink needs them.

A `Signal` is the tensor $t = \sum_k A_k y_k + b$ of the outputs y_k of finished layers. Moving, adding and scaling
signals is exact and writes no layer. An activation writes one. A linear map over a signal that is more than a view of
layers is merged into it only if the merge is exact, keeps float64 matrices and stores no more weights than both maps
together; otherwise the signal becomes a layer with the identity as activation, and the map reads that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import MAX_NEURONS, Convolution, Exact, LinearMap
from epsnet.core.network import Layer, Network
from epsnet.interop import exact_arrays as exact
from epsnet.interop.exact_arrays import Values

MAX_LAYERS = 20_000
MAX_WORK = 200_000_000
"""How many numbers may be moved in all, times the terms they are made of, before a file is refused."""

_MAX_PRODUCTS = 500_000
_RATIONAL = 200  # what one operation with Fractions costs, in operations with floats


@dataclass(frozen=True, eq=False)
class View:
    """The map with at most one entry in a row: coordinate i reads factors[i] y[places[i]], nothing if places[i] < 0."""

    places: NDArray[np.int64]
    factors: Values

    @classmethod
    def whole(cls, size: int) -> View:
        """Return the identity on R^size."""
        return cls(np.arange(size), np.ones(size))

    def is_identity(self, size: int) -> bool:
        """Tell whether this is the identity on R^size."""
        same = len(self.places) == size and bool((self.places == np.arange(size)).all())
        return same and bool((self.factors == 1).all())

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Values]:
        """Return rows, columns and values of the nonzero entries."""
        rows = np.flatnonzero((self.places >= 0) & (self.factors != 0))
        return rows, self.places[rows], self.factors[rows]


Map = LinearMap | View


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor of the given shape that is affine in the outputs of layers; a constant has no terms.

    Attributes:
        shape: the shape of the tensor, batch of one included.
        terms: pairs (k, A); A maps y_k to the tensor, flattened in row-major order. Every k occurs once.
        bias: the constant part, flattened; for a constant also integers.
    """

    shape: tuple[int, ...]
    terms: tuple[tuple[int, Map], ...]
    bias: Values

    @property
    def size(self) -> int:
        """The number of elements."""
        return len(self.bias)

    def positions(self) -> NDArray[np.int64]:
        """Return the flat index of each element, in the shape of the tensor."""
        return np.arange(self.size).reshape(self.shape)

    def reshaped(self, shape: tuple[int, ...]) -> Signal:
        """Return the same elements, in the same order, in another shape."""
        return Signal(shape, self.terms, self.bias)


def constant(array: NDArray[Any]) -> Signal:
    """Return a constant tensor of floats or integers."""
    return Signal(array.shape, (), array.reshape(-1))


def _is_float(linear: Map) -> bool:
    return exact.is_float(linear.factors) if isinstance(linear, View) else not isinstance(linear, Exact)


def _selected_rows(linear: LinearMap, index: NDArray[np.int64]) -> LinearMap:
    inverse = np.full(linear.shape[0], -1)
    inverse[index[index >= 0]] = np.flatnonzero(index >= 0)
    rows, columns, values = exact.triples(linear)
    keep = inverse[rows] >= 0
    return exact.matrix((len(index), linear.shape[1]), inverse[rows][keep], columns[keep], values[keep])


def _scaled(linear: Map, factors: Values) -> Map | None:
    """Return diag(factors) A, or None if it would not be a float64 map of the same storage."""
    if isinstance(linear, View):
        return View(linear.places, exact.multiply(linear.factors, factors))
    if isinstance(linear, Convolution):
        by_channel = factors.reshape(linear.output_shape[0], -1)
        if not (by_channel == by_channel[:, :1]).all():
            return None
        kernel = exact.float_product(linear.kernel, by_channel[:, 0].reshape(-1, 1, 1, 1))
        if kernel is None:
            return None
        return Convolution(kernel, linear.input_shape, linear.stride, linear.padding)
    rows, columns, values = exact.triples(linear)
    products = _products(linear, values, factors[rows])
    return None if products is None else exact.matrix(linear.shape, rows, columns, products)


def _products(linear: LinearMap, values: Values, factors: Values) -> Values | None:
    """Return the products of entries of a map and factors, None if they leave the float64 numbers of the map."""
    return exact.multiply(values, factors) if isinstance(linear, Exact) else exact.float_product(values, factors)


def _through_view(outer: LinearMap, view: View, size: int) -> LinearMap | None:
    """Return A V for a view V of R^size, or None if that is no float64 map with the weights of A."""
    if view.is_identity(size):
        return outer
    read = view.places[view.places >= 0]
    if isinstance(outer, Convolution) or len(np.unique(read)) < len(read):
        return None
    rows, columns, values = exact.triples(outer)
    keep = view.places[columns] >= 0
    products = _products(outer, values[keep], view.factors[columns[keep]])
    if products is None:
        return None
    return exact.matrix((outer.shape[0], size), rows[keep], view.places[columns[keep]], products)


def _summed(a: Map, b: Map, size: int) -> Map | None:
    """Return A + B for maps from R^size, or None if one of them is a convolution."""
    if isinstance(a, Convolution) or isinstance(b, Convolution):
        return None
    if isinstance(a, View) and isinstance(b, View) and not ((a.places >= 0) & (b.places >= 0)).any():
        first = a.places >= 0
        if exact.is_float(a.factors) == exact.is_float(b.factors):
            return View(np.where(first, a.places, b.places), np.where(first, a.factors, b.factors))
    (rows_a, columns_a, values_a), (rows_b, columns_b, values_b) = (
        each.entries() if isinstance(each, View) else exact.triples(each) for each in (a, b)
    )
    common = np.intersect1d(rows_a * size + columns_a, rows_b * size + columns_b, return_indices=True)
    both = exact.add(values_a[common[1]], values_b[common[2]])
    only_a, only_b = np.ones(len(rows_a), dtype=bool), np.ones(len(rows_b), dtype=bool)
    only_a[common[1]], only_b[common[2]] = False, False
    values = exact.join(exact.join(values_a[only_a], values_b[only_b]), both)
    rows = np.concatenate([rows_a[only_a], rows_b[only_b], rows_a[common[1]]])
    columns = np.concatenate([columns_a[only_a], columns_b[only_b], columns_a[common[1]]])
    height = len(a.places) if isinstance(a, View) else a.shape[0]
    return exact.matrix((height, size), rows, columns, values)


class Assembly:
    """The layers written so far, and the exact algebra of signals over them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.layers: list[Layer] = []
        self.sizes = [check_size(shape)]
        self.input = Signal(shape, ((0, View.whole(self.sizes[0])),), np.zeros(self.sizes[0]))
        self._work = 0

    def _charge(self, *signals: Signal, size: int = 0) -> None:
        for signal in signals:
            floats = exact.is_float(signal.bias) and all(_is_float(linear) for _, linear in signal.terms)
            size += signal.size * max(len(signal.terms), 1) * (1 if floats else _RATIONAL)
        self._work += size
        if self._work > MAX_WORK:
            raise DomainError(f"The graph takes more than {MAX_WORK:,} operations to read. Use a smaller network.")

    def write(self, signal: Signal, name: str = "identity") -> Signal:
        """Write the layer `name`(signal) and return its outputs; nothing if they are those of a layer already."""
        if not signal.terms:
            raise DomainError("An activation reads constants only. Fold constants before exporting the model.")
        if name == "identity" and self._layer(signal) is not None:
            return signal
        if len(self.layers) >= MAX_LAYERS:
            raise DomainError(f"The network has more than {MAX_LAYERS:,} layers. Use a smaller network.")
        self._charge(signal, size=signal.size)
        terms = tuple(
            (
                source,
                exact.matrix((signal.size, self.sizes[source]), *each.entries()) if isinstance(each, View) else each,
            )
            for source, each in signal.terms
        )
        bias, first = signal.bias, terms[0][1]
        if isinstance(first, Convolution):
            by_channel = bias.reshape(first.output_shape[0], -1)
            bias = by_channel[:, 0] if (by_channel == by_channel[:, :1]).all() else bias
        self.layers.append(Layer(terms, bias if exact.is_float(bias) else tuple(bias.tolist()), (name,)))
        self.sizes.append(signal.size)
        whole = View.whole(signal.size)
        return Signal(signal.shape, ((len(self.layers), whole),), np.zeros(signal.size))

    def _layer(self, signal: Signal) -> int | None:
        """Return k if the signal is y_k, flattened, with k >= 1."""
        if len(signal.terms) != 1 or signal.bias.any():
            return None
        source, linear = signal.terms[0]
        same = isinstance(linear, View) and source > 0 and linear.is_identity(self.sizes[source])
        return source if same else None

    def take(self, signal: Signal, index: NDArray[np.int64]) -> Signal:
        """Return the tensor of the shape of `index` with the elements at these flat positions, 0 where negative."""
        flat = index.reshape(-1)
        self._charge(signal, size=check_size(index.shape) * max(len(signal.terms), 1))
        if len(flat) == signal.size and (flat == np.arange(signal.size)).all():
            return signal.reshaped(index.shape)
        kept = flat[flat >= 0]
        maps = [linear for _, linear in signal.terms if isinstance(linear, LinearMap)]
        if maps and (len(np.unique(kept)) < len(kept) or any(isinstance(linear, Convolution) for linear in maps)):
            signal = self.write(signal)
        terms: list[tuple[int, Map]] = []
        for source, linear in signal.terms:
            if isinstance(linear, View):
                terms.append((source, View(np.where(flat >= 0, linear.places[flat], -1), linear.factors[flat])))
            else:
                terms.append((source, _selected_rows(linear, flat)))
        bias = signal.bias[flat]
        return Signal(index.shape, tuple(terms), bias if len(kept) == len(flat) else np.where(flat >= 0, bias, 0))

    def add(self, a: Signal, b: Signal) -> Signal:
        """Return a + b for signals of one shape."""
        self._charge(a, b)
        terms = dict(a.terms)
        for source, linear in b.terms:
            if source not in terms:
                terms[source] = linear
                continue
            joint = _summed(terms[source], linear, self.sizes[source])
            if joint is None:
                return self.add(a, self.write(b))
            terms[source] = joint
        return Signal(a.shape, tuple(terms.items()), exact.add(a.bias, b.bias))

    def scale(self, signal: Signal, factors: Values) -> Signal:
        """Return the elementwise product with a vector of constants, one for each element."""
        self._charge(signal)
        scaled = [(source, _scaled(linear, factors)) for source, linear in signal.terms]
        terms = tuple((source, linear) for source, linear in scaled if linear is not None)
        if len(terms) < len(scaled):
            return self.scale(self.write(signal), factors)
        return Signal(signal.shape, terms, exact.multiply(signal.bias, factors))

    def apply(self, outer: LinearMap, signal: Signal, shape: tuple[int, ...]) -> Signal:
        """Return the tensor of the given shape that `outer` makes of the flattened signal."""
        if not signal.terms:
            raise DomainError("A linear map reads constants only. Fold constants before exporting the model.")
        coefficients = outer.kernel.size if isinstance(outer, Convolution) else outer.stored_weights
        self._charge(signal, size=check_size(shape) + coefficients)
        merged = self._merged(outer, signal)
        if merged is None:
            written = self.write(signal)
            merged = ((written.terms[0][0], outer),), np.zeros(outer.shape[0])
        return Signal(shape, *merged)

    def _merged(self, outer: LinearMap, signal: Signal) -> tuple[tuple[tuple[int, Map], ...], Values] | None:
        """Return terms and bias of outer(signal) if one map does as well as two, None otherwise."""
        terms: list[tuple[int, Map]] = []
        stored = 0
        for source, linear in signal.terms:
            through = _through_view(outer, linear, self.sizes[source]) if isinstance(linear, View) else None
            if through is None or not isinstance(linear, View):
                return None
            stored += through.stored_weights - len(linear.entries()[0])
            terms.append((source, through))
        moved = bool(signal.bias.any())
        costly = moved and (isinstance(outer, Convolution) or outer.stored_weights > _MAX_PRODUCTS)
        if stored > outer.stored_weights or costly:
            return None
        return tuple(terms), exact.image(outer, signal.bias) if moved else np.zeros(outer.shape[0])

    def network(self, output: Signal) -> Network:
        """Return the network whose last layer is `output`, without the layers it does not depend on."""
        written = self.write(output)
        last = written.terms[0][0]
        needed = {last}
        for number in range(last, 0, -1):
            if number in needed:
                needed.update(source for source, _ in self.layers[number - 1].terms)
        order = {number: place for place, number in enumerate(sorted(needed | {0}))}
        layers = (
            Layer(tuple((order[source], linear) for source, linear in layer.terms), layer.bias, layer.activations)
            for number, layer in enumerate(self.layers, start=1)
            if number in needed
        )
        return Network(self.sizes[0], tuple(layers))


def check_size(shape: tuple[int, ...]) -> int:
    """Return the number of elements. DomainError if there are none, or too many."""
    size = math.prod(shape)
    if not 0 < size <= MAX_NEURONS:
        raise DomainError(f"A tensor of shape {shape} is empty or has more than {MAX_NEURONS:,} elements. Change it.")
    return size
