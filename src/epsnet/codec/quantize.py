r"""Networks with few bits: gauge, weights on grids, errors fed back through the Gram matrices of both sides.

All functions take a plain network A_L sigma(... sigma(A_1 x + b_1)) + b_L of dense or sparse layers. Let h_l be the
activations before layer l at given points, 1 their last entry, so that the layer is W_l h_l with W_l = (A_l, b_l), and
J_l the derivative of the outputs by the values of layer l.

1. *Gauge.* relu(c z) = c relu(z) for c > 0, so a hidden ReLU neuron may be multiplied by c and the weights of its
   successors be divided by it. c is the power of two next to the root mean square of the derivative of the outputs by
   z: an error in z then costs about the same in every neuron, one step serves a layer, and nothing is rounded.
2. *Refit.* W'_l = argmin ||W' h' - W_l h_l||^2 + rho ||W' - W_l||^2 with h' the activations behind the quantized
   layers before.
3. *Rounding.* An error E of W' costs about tr(G E H E^T), H the mean of h' h'^T and G that of J^T J, as if both were
   independent; they are not, so the diagonal of G is doubled, which trusts less in errors of neurons that cancel, and
   both get a small multiple of the identity. U and V be the upper Cholesky factors of H^-1 and G^-1. Row i, column j of
   W' is rounded to q_ij, one after the other, and moves the entries (k, l), k >= i and l >= j, by
   (q_ij - w_ij) V_ik U_jl / (V_ii U_jj), which makes up for the error as well as they can. The cost grows by
   ((q_ij - w_ij)/(V_ii U_jj))^2. q_ij is the multiple of the step that makes this plus `price` times its bits the
   least, of the multiples around w_ij and 0, its bits being those of a pass before.
4. *Order.* Hidden neurons stand in descending order of their bias: which of the n! orders, no file needs to tell.

All is float64 and finds no bound: that of the result is `enclosure`'s task.

Sources: B. Hassibi, D. Stork, Optimal Brain Surgeon, NIPS 1992; E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, GPTQ,
ICLR 2023; J. Martens, R. Grosse, Kronecker-factored approximate curvature, ICML 2015 (the cost in 3.).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Convolution, frozen_floats
from epsnet.core.network import Network

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_DAMPING = 0.01
_BIAS_STEP = 1 / 4
_STEP_BITS = 8
_PASSES = 3


def fix_gauge(network: Network, points: Array) -> Network:
    """Return the same function with every hidden ReLU neuron scaled by a power of two (1.), exactly.

    Args:
        network: a plain network.
        points: float64 (count, inputs), where derivatives are taken.
    """
    weights = tables(network)
    squares = [np.diag(gram) for gram in _output_grams(weights, points)[:-1]]
    for number, square in enumerate(squares):
        scale = np.exp2(np.round(np.log2(np.where(square > 0, square, 1.0)) / 2))
        weights[number] = weights[number] * scale[:, None]
        weights[number + 1] = weights[number + 1] / np.append(scale, 1.0)
    return from_tables(weights)


def sort_neurons(network: Network) -> Network:
    """Return the same function with the hidden neurons in descending order of bias, then of their weights (4.)."""
    weights = tables(network)
    for number in range(len(weights) - 1):
        order = np.lexsort(weights[number].T)[::-1]
        weights[number] = weights[number][order]
        weights[number + 1] = weights[number + 1][:, [*order, -1]]
    return from_tables(weights)


def round_weights(network: Network, steps: Sequence[float]) -> Network:
    """Return the network with the weights of each layer rounded to the next multiples of its step, of 8 bits."""
    pairs = zip(tables(network), map(_short, steps), strict=True)
    return from_tables([np.round(table / step) * step for table, step in pairs])


def quantize(network: Network, points: Array, steps: Sequence[float], price: float = 0.05) -> Network:
    """Return a network of few bits that is close to this one at points like the given ones (1. to 4.).

    Args:
        network: a plain network.
        points: float64 (count, inputs), a sample of the inputs.
        steps: one for each layer: sqrt(12) times the error of the outputs, root mean square over the points, that
            rounding one weight causes on average.
        price: how much squared error, in steps squared, a bit is worth; 0 rounds to the nearest.

    Raises:
        DomainError: the network is not plain, or there is not one positive step for each layer.
    """
    return Quantizer(network, points).quantize(steps, price)


class Quantizer:
    """`quantize` for one network and its points, with what does not depend on the steps computed once."""

    def __init__(self, network: Network, points: Array) -> None:
        self._weights = tables(fix_gauge(network, points))
        self._targets = _layer_values(self._weights, points)
        self._hidden = _with_one(points)
        self._first = _columns(_damped_gram(self._hidden)[0])
        grams = _output_grams(self._weights, points)
        self._rows = [_rows(gram + np.diag(np.diag(gram))) for gram in grams]

    @property
    def layers(self) -> int:
        """How many steps it takes."""
        return len(self._weights)

    def quantize(self, steps: Sequence[float], price: float) -> Network:
        """Return `quantize(network, points, steps, price)`."""
        if not (len(steps) == len(self._weights) and min(steps) > 0 and price >= 0):
            raise DomainError(
                "Each layer needs a positive step, and the price must not be negative. Give such numbers."
            )
        settings = zip(steps, self._rows, strict=True)
        rounders = [partial(_round_with_feedback, rows=rows, step=step, price=price) for step, rows in settings]
        return sort_neurons(self._layer_by_layer(rounders))

    def prune(self, keep: int) -> Network:
        """Return the network with the `keep` weights of its matrices that matter most, made up for as in 3.

        A weight matters by (w_ij / (V_ii U_jj))^2 of the network before, the same scale in all layers.
        """
        losses, hidden = [], self._hidden
        for table, target, rows in zip(self._weights, self._targets, self._rows, strict=True):
            columns = _columns(_damped_gram(hidden)[0])
            loss = np.empty_like(table)
            loss[np.ix_(rows.order, columns.order)] = np.outer(rows.spread, columns.spread)
            losses.append((table / loss)[:, :-1] ** 2)
            hidden = _with_one(np.maximum(target, 0.0))
        places = np.concatenate([loss.ravel() for loss in losses])
        kept = np.zeros(len(places), dtype=bool)
        kept[np.argsort(-places, kind="stable")[:keep]] = True
        ends = np.cumsum([loss.size for loss in losses])[:-1]
        masks = [part.reshape(loss.shape) for part, loss in zip(np.split(kept, ends), losses, strict=True)]
        pairs = zip(masks, self._rows, strict=True)
        return self._layer_by_layer([partial(_prune_with_feedback, rows=rows, mask=mask) for mask, rows in pairs])

    def _layer_by_layer(self, change: Sequence[Callable[..., Array]]) -> Network:
        """Return the network with each layer changed, after a refit (2.) to the layers changed before."""
        # The first layer needs no refit: its inputs are exact.
        hidden, result = self._hidden, [change[0](self._weights[0], columns=self._first)]
        for number in range(1, len(self._weights)):
            hidden = _with_one(np.maximum(hidden @ result[-1].T, 0.0))
            gram, damping = _damped_gram(hidden)
            right = hidden.T @ self._targets[number] / len(hidden) + damping * self._weights[number].T
            result.append(change[number](np.linalg.solve(gram, right).T, columns=_columns(gram)))
        return from_tables(result)


@dataclass(frozen=True)
class _Side:
    """The rows or the columns of a table: in which order they are rounded, U / diag(U) of 3., and diag(U)."""

    order: Index
    factor: Array
    spread: Array


def _side(gram: Array, order: Index) -> _Side:
    factor = np.linalg.cholesky(np.linalg.inv(gram[np.ix_(order, order)])).T
    spread = np.diag(factor).copy()
    return _Side(order, factor / spread[:, None], np.asarray(spread, np.float64))


def _columns(gram: Array) -> _Side:
    """What weighs most in the Gram matrix comes first, the bias last."""
    return _side(gram, np.append(np.argsort(-np.diag(gram)[:-1], kind="stable"), len(gram) - 1))


def _rows(gram: Array) -> _Side:
    damped = gram + _damping(gram) * np.eye(len(gram))
    return _side(damped, np.argsort(-np.diag(damped), kind="stable"))


def _damped_gram(hidden: Array) -> tuple[Array, float]:
    gram = hidden.T @ hidden / len(hidden)
    damping = _damping(gram)
    return gram + damping * np.eye(len(gram)), damping


def _damping(gram: Array) -> float:
    """A small part of the mean of the diagonal, or 1 for the matrix 0."""
    return _DAMPING * float(gram.trace()) / len(gram) or 1.0


def _round_with_feedback(table: Array, *, rows: _Side, columns: _Side, step: float, price: float) -> Array:
    """Return the rounded table (3.), the bias with a finer step and freely."""
    spread = columns.spread[:-1]
    width = _short(step * float(np.exp(np.log(spread).mean() + np.log(rows.spread).mean())))
    widths = np.append(np.full(len(spread), width), _short(step * _BIAS_STEP))
    prices = np.zeros(table.shape)
    prices[:, :-1] = price * (step * np.outer(rows.spread, spread) / width) ** 2
    place = np.ix_(rows.order, columns.order)
    feedback = columns.factor * np.divide.outer(widths, widths)
    bits, multiples = _Bits(1.0, 4.0, 1.0), prices
    for _ in range(_PASSES):
        choose = partial(_round, bits=bits, prices=prices)
        multiples = _sweep(table[place] / widths, rows.factor, feedback, choose)
        bits = _Bits.of(np.abs(multiples[:, :-1]))
    found = np.empty_like(table)
    found[place] = multiples * widths
    return found


def _round(place: Array, row: Index, column: Index, *, bits: _Bits, prices: Array) -> Array:
    return bits.choose(place, prices[row, column])


def _prune_with_feedback(table: Array, *, rows: _Side, columns: _Side, mask: NDArray[np.bool_]) -> Array:
    """Return the table with zeros outside the mask; the weights behind make up for them, the bias is free."""
    place = np.ix_(rows.order, columns.order)
    inside = np.hstack([mask, np.ones((len(mask), 1), dtype=bool)])[place]
    found = np.empty_like(table)

    def choose(value: Array, row: Index, column: Index) -> Array:
        return np.where(inside[row, column], value, 0.0)

    found[place] = _sweep(table[place], rows.factor, columns.factor, choose)
    return found


def _sweep(places: Array, left: Array, right: Array, choose: Callable[[Array, Index, Index], Array]) -> Array:
    """Return what is chosen for all places in turn, each moved by the errors of those before it (3.).

    The error e_ij moves place (k, l) by e_ij left_ik right_jl, k >= i and l >= j. So the places with the same k + l do
    not depend on each other and are chosen together. Sums run in a fixed order, whatever the number of threads.
    """
    height, length = places.shape
    from_rows, from_columns = left.T.copy(), right.T.copy()
    chosen, errors, moved = np.zeros_like(places), np.zeros((length, height)), np.zeros_like(places)
    for wave in range(height + length - 1):
        first, last = max(0, wave - length + 1), min(wave, height - 1)
        row = np.arange(first, last + 1)
        column, descending = wave - row, slice(wave - last, wave - first + 1)
        inside = np.einsum("ki,ki->k", from_rows[first : last + 1], errors[descending][::-1])
        before = np.einsum("kj,kj->k", moved[first : last + 1], from_columns[descending][::-1])
        place = places[row, column] + inside + before
        chosen[row, column] = choose(place, row, column)
        errors[column, row] = chosen[row, column] - place
        moved[row, column] = inside + errors[column, row]
    return chosen


@dataclass(frozen=True)
class _Bits:
    """About how many bits a multiple k of the step takes: `zero` if it is 0, else first + more (|k| - 1)."""

    zero: float
    first: float
    more: float

    @classmethod
    def of(cls, multiples: Array) -> _Bits:
        """Return the bits of a two-sided geometric distribution with as many zeros and the same mean."""
        nonzero, count = float(np.count_nonzero(multiples)), float(multiples.size)
        ratio = (float(multiples.sum()) - nonzero + 1) / (float(multiples.sum()) + 2)
        share = (nonzero + 1) / (count + 2)
        return cls(-np.log2(1 - share), 1 - np.log2(share) - np.log2(1 - ratio), -np.log2(ratio))

    def choose(self, places: Array, price: Array) -> Array:
        """Return the multiples that cost least: squared distance plus price times bits; one of three for each place."""
        near = np.round(places)
        best, least = np.zeros_like(places), places**2 + price * self.zero
        for multiple in (near - np.sign(near), near):
            bits = np.where(multiple == 0, self.zero, self.first + self.more * (np.abs(multiple) - 1))
            cost = (multiple - places) ** 2 + price * bits
            best, least = np.where(cost < least, multiple, best), np.minimum(cost, least)
        return best


def _short(step: float) -> float:
    """Return a number of `_STEP_BITS` significant bits close to the step, so that its multiples are float64 numbers."""
    fraction, exponent = np.frexp(step)
    return float(np.ldexp(np.round(np.ldexp(fraction, _STEP_BITS)), exponent - _STEP_BITS))


def _with_one(values: Array) -> Array:
    return np.hstack([values, np.ones((len(values), 1))])


def _layer_values(weights: list[Array], points: Array) -> list[Array]:
    """Return what each layer gives before its activation, float64 (count, outputs)."""
    values = [frozen_floats(points, "points")]
    if values[0].ndim != 2 or values[0].shape[1] != weights[0].shape[1] - 1 or not len(values[0]):
        raise DomainError(f"Points of shape {values[0].shape} do not fit the network. Give an array (count, inputs).")
    for table in weights:
        hidden = values[-1] if len(values) == 1 else np.maximum(values[-1], 0.0)
        values.append(_with_one(hidden) @ table.T)
    return values[1:]


def _output_grams(weights: list[Array], points: Array) -> list[Array]:
    """Return for each layer the mean over the points of J^T J, J being the derivative of the outputs by its values."""
    before, outputs = _layer_values(weights, points), len(weights[-1])
    grams = [np.zeros((len(table), len(table))) for table in weights[:-1]]
    for output in range(outputs):
        gradient = np.zeros((len(points), outputs))
        gradient[:, output] = 1.0
        for number in range(len(weights) - 1, 0, -1):
            gradient = gradient @ weights[number][:, :-1] * (before[number - 1] > 0)
            grams[number - 1] += gradient.T @ gradient / len(points)
    return [*grams, np.eye(outputs)]


def tables(network: Network) -> list[Array]:
    """Return (A_l, b_l) of each layer as one matrix. DomainError unless the network is plain with ReLU inside."""
    tables = []
    for number, layer in enumerate(network.layers):
        source, linear = layer.terms[0]
        hidden = number < len(network.layers) - 1
        plain = len(layer.terms) == 1 and source == number and not isinstance(linear, Convolution)
        if not plain or set(layer.activations) != {"relu" if hidden else "identity"}:
            raise DomainError(
                f"Layer {number + 1} is not a plain {'ReLU' if hidden else 'affine'} layer. Quantize a network of ReLU "
                f"layers without skips or convolutions and with an affine output."
            )
        rows, columns, values = linear.entries()
        table = np.zeros((layer.outputs, linear.shape[1] + 1))
        table[rows, columns] = [float(value) for value in values]
        table[:, -1] = [float(value) for value in layer.bias]
        tables.append(table)
    return tables


def from_tables(weights: Sequence[Array]) -> Network:
    """Return the plain ReLU network with these matrices (A_l, b_l)."""
    return Network.from_layers([(table[:, :-1], table[:, -1]) for table in weights])
