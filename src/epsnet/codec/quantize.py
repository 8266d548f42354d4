r"""Networks with few bits: gauge, weights on grids, errors fed back through the Gram matrix of the activations.

All functions take a plain network A_L sigma(... sigma(A_1 x + b_1)) + b_L of dense or sparse layers. Let h_l be the
activations before layer l at given points, 1 their last entry, so that the layer is W_l h_l with W_l = (A_l, b_l).

1. *Gauge.* relu(c z) = c relu(z) for c > 0, so a hidden ReLU neuron may be multiplied by c and the weights of its
   successors be divided by it. c is the power of two next to the root mean square of the derivative of the outputs by
   z: an error in z then costs about the same in every neuron, one step serves a layer, and nothing is rounded.
2. *Refit.* W'_l = argmin ||W' h' - W_l h_l||^2 + rho ||W' - W_l||^2 with h' the activations behind the quantized
   layers before.
3. *Rounding.* With H = h' h'^T + rho and U the upper Cholesky factor of H^-1, column j = 1, 2, ... of W' is rounded to
   q_j, and the columns behind it are moved by (q_j - w_j) U_jk / U_jj, which makes up for the error as well as they
   can. The squared error grows by ((q_j - w_j)/U_jj)^2. q_j is the multiple of the step that makes this plus `price`
   times its bits the least, of the multiples around w_j and 0, its bits being those of a pass before.
4. *Order.* Hidden neurons stand in descending order of their bias: which of the n! orders, no file needs to tell.

All is float64 and finds no bound: that of the result is `enclosure`'s task.

Sources: B. Hassibi, D. Stork, Optimal Brain Surgeon, NIPS 1992; E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, GPTQ,
ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Convolution, frozen_floats
from epsnet.core.network import Network

Array = NDArray[np.float64]

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
    weights = _weights(network)
    before = _layer_values(weights, points)
    importance = [np.zeros(len(table)) for table in weights]
    for output in range(network.outputs):
        gradient = np.zeros((len(points), network.outputs))
        gradient[:, output] = 1.0
        for number in range(len(weights) - 1, 0, -1):
            gradient = gradient @ weights[number][:, :-1] * (before[number - 1] > 0)
            importance[number - 1] += (gradient**2).mean(axis=0)
    scales = [np.exp2(np.round(np.log2(np.where(square > 0, square, 1.0)) / 2)) for square in importance]
    for number, scale in enumerate(scales[:-1]):
        weights[number] = weights[number] * scale[:, None]
        weights[number + 1] = weights[number + 1] / np.append(scale, 1.0)
    return _network(weights)


def sort_neurons(network: Network) -> Network:
    """Return the same function with the hidden neurons in descending order of bias, then of their weights (4.)."""
    weights = _weights(network)
    for number in range(len(weights) - 1):
        order = np.lexsort(weights[number].T)[::-1]
        weights[number] = weights[number][order]
        weights[number + 1] = weights[number + 1][:, [*order, -1]]
    return _network(weights)


def round_weights(network: Network, steps: Sequence[float]) -> Network:
    """Return the network with the weights of each layer rounded to the next multiples of its step, of 8 bits."""
    pairs = zip(_weights(network), map(_short, steps), strict=True)
    return _network([np.round(table / step) * step for table, step in pairs])


def quantize(network: Network, points: Array, steps: Sequence[float], price: float = 0.05) -> Network:
    """Return a network of few bits that is close to this one at points like the given ones (1. to 4.).

    Args:
        network: a plain network.
        points: float64 (count, inputs), a sample of the inputs.
        steps: one for each layer: sqrt(12) times the error of the outputs, root mean square over the points, that
            rounding one weight causes on average. What the first layers err, the refit makes up for in part, so they
            bear larger steps than the last.
        price: how much squared error, in steps squared, a bit is worth; 0 rounds to the nearest.

    Raises:
        DomainError: the network is not plain, or there is not one positive step for each layer.
    """
    if not (len(steps) == len(network.layers) and min(steps) > 0 and price >= 0):
        raise DomainError("Each layer needs a positive step, and the price must not be negative. Give such numbers.")
    weights = _weights(fix_gauge(network, points))
    targets = _layer_values(weights, points)
    hidden, result = _with_one(points), []
    for table, target, step in zip(weights, targets, steps, strict=True):
        gram = hidden.T @ hidden / len(points)
        damping = _DAMPING * np.diag(gram).mean()
        gram += damping * np.eye(len(gram))
        refit = np.linalg.solve(gram, hidden.T @ target / len(points) + damping * table.T).T
        result.append(_round_with_feedback(refit, gram, step, price))
        hidden = _with_one(np.maximum(hidden @ result[-1].T, 0.0))
    return sort_neurons(_network(result))


def _round_with_feedback(table: Array, gram: Array, step: float, price: float) -> Array:
    """Return the rounded table (3.): the columns of most weight in the Gram matrix first, the bias last and freely."""
    order = np.append(np.argsort(-np.diag(gram)[:-1], kind="stable"), len(gram) - 1)
    factor = np.linalg.cholesky(np.linalg.inv(gram[np.ix_(order, order)])).T
    spread = np.diag(factor)
    width = _short(step * float(np.exp(np.log(spread[:-1]).mean())))
    prices = price * (step * spread / width) ** 2
    bits = _Bits(1.0, 4.0, 1.0)
    found = np.zeros_like(table)
    for _ in range(_PASSES):
        rest = table[:, order].copy()
        for j in range(len(order) - 1):
            chosen = width * bits.choose(rest[:, j] / width, prices[j])
            rest[:, j + 1 :] += np.outer((chosen - rest[:, j]) / spread[j], factor[j, j + 1 :])
            rest[:, j] = chosen
        fine = _short(step * _BIAS_STEP)
        rest[:, -1] = fine * np.round(rest[:, -1] / fine)
        found[:, order] = rest
        bits = _Bits.of(np.abs(rest[:, :-1]) / width)
    return found


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

    def choose(self, places: Array, price: float) -> Array:
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


def _weights(network: Network) -> list[Array]:
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


def _network(weights: list[Array]) -> Network:
    return Network.from_layers([(table[:, :-1], table[:, -1]) for table in weights])
