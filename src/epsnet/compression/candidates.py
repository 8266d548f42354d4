r"""Smaller networks close to a given one: neurons removed with a re-fit of their readers, then quantization.

*Removal.* Let H be the activations of a hidden layer at the points with a last entry 1, G = H^T H / n + rho their Gram
matrix, and W the weights of the layer that reads them. If neuron j goes and the others make up for it as well as they
can, the mean squared error of what W gives grows by |w_j|^2 / (G^-1)_jj (Optimal Brain Surgeon). The neuron of least
loss goes, W and G^-1 are brought up to date, and so on while the sum of the losses stays below a share of the variance
of what the layer gives.

*Quantization* is that of `codec.quantize`. Candidates of one recipe come from coarse to fine; nothing is random.

Source: B. Hassibi, D. Stork, Optimal Brain Surgeon, NIPS 1992.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.codec.quantize import fix_gauge, quantize, round_weights, sort_neurons
from epsnet.core.differential import chain
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.enclosure.gradients import trace

Array = NDArray[np.float64]

LEVELS = tuple(2.0 ** (-k / 4) for k in range(4, 97))
"""Steps relative to the spread of the outputs, coarse to fine: from 1/2 to 6e-8."""
LOSSES = (0.0, 1e-4, 1e-3, 1e-2)
"""The shares of the variance that the removal of neurons may cost in a layer."""
PRICES = (0.05, 0.3)
"""What a bit is worth in squared steps."""
_RATIO = 4.0
"""How much larger the step of the first layer is than that of the last: later layers make up for it in part."""
_DAMPING = 1e-6


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make candidates: the loss allowed for the removal of neurons, and the price of a bit.

    Without a price every weight is rounded to the nearest multiple of a step: more bits at the same error, but no
    weight moves far, so that relaxation bounds the error well.
    """

    loss: float
    price: float | None

    @property
    def name(self) -> str:
        """The recipe in a few words."""
        return "rounded" if self.price is None else f"loss {self.loss:g}, price {self.price:g}"


RECIPES = (*(Recipe(loss, price) for price in PRICES for loss in LOSSES), Recipe(0.0, None))


def candidates(network: Network, points: Array, levels: Sequence[float], price: float | None) -> Iterator[Network]:
    """Yield quantized networks, one for each level: the step in units of the spread of the outputs.

    Args:
        network: plain, with ReLUs.
        points: float64 (n, d), a sample of the inputs.
        levels: from coarse to fine.
        price: as for `quantize`; None for rounding to the nearest.
    """
    spread = float(np.sqrt(realize(network, points).reshape(len(points), -1).var(axis=0).sum())) or 1.0
    depth = len(network.layers)
    shares = 2.0 * _RATIO ** (-np.arange(depth) / max(depth - 1, 1))
    if price is None:
        network = fix_gauge(network, points)
        inputs = trace(network, points)[1][:-1]
        sizes = np.array([float(np.sqrt((values**2).sum(axis=1).mean() + 1.0)) for values in inputs])
        for level in levels:
            yield without_dead(sort_neurons(round_weights(network, (level * spread / sizes).tolist())))
        return
    for level in levels:
        yield without_dead(quantize(network, points, (level * spread * shares).tolist(), price))


def constant(network: Network, points: Array) -> Network:
    """Return the constant that is closest to the outputs at the points, in the sup norm, rounded to a few bits."""
    values = realize(network, points).reshape(len(points), -1)
    middle, half = (values.max(axis=0) + values.min(axis=0)) / 2, np.ptp(values, axis=0).max() / 2
    step = 2.0 ** np.floor(np.log2(half / 64)) if half > 0 else 0.0
    bias = np.round(middle / step) * step if step > 0 else middle
    return Network.from_layers([(np.zeros((network.outputs, network.inputs)), bias)])


def without_neurons(network: Network, points: Array, loss: float) -> Network:
    """Return the network without the hidden neurons that can be made up for (see the module), layer after layer."""
    tables = [np.hstack([stage.weight, stage.bias[:, None]]) for stage in chain(network)]
    hidden = _with_one(points)
    for number in range(len(tables) - 1):
        values = _with_one(np.maximum(hidden @ tables[number].T, 0.0))
        kept, tables[number + 1] = _remove(values, tables[number + 1], loss)
        tables[number] = tables[number][kept]
        hidden = np.hstack([values[:, kept], values[:, -1:]])
    return _network(tables)


def _remove(values: Array, readers: Array, loss: float) -> tuple[NDArray[np.int64], Array]:
    """Return the neurons to keep, at least one, and the weights of the layer that reads them with the bias."""
    gram: Array = values.T @ values / len(values)
    gram += _DAMPING * np.diag(gram).mean() * np.eye(len(gram))
    inverse: Array = np.linalg.inv(gram).astype(np.float64)
    budget = loss * float((values @ readers.T).var(axis=0).sum())
    alive = list(range(len(gram) - 1))
    while len(alive) > 1:
        diagonal = np.diag(inverse)[alive]
        costs = (readers[:, alive] ** 2).sum(axis=0) / diagonal
        best = int(costs.argmin())
        budget -= float(costs[best])
        if not budget >= 0:
            break
        j = alive.pop(best)
        row = inverse[j] / inverse[j, j]
        readers = readers - readers[:, j, None] * row
        inverse = inverse - inverse[:, j, None] * row
    return np.array(alive), readers[:, [*alive, -1]]


def without_dead(network: Network) -> Network:
    """Return the same function without hidden ReLUs that nobody reads or that read nothing and give 0."""
    tables = [np.hstack([stage.weight, stage.bias[:, None]]) for stage in chain(network)]
    for _ in tables:
        for number in range(len(tables) - 1):
            own, readers = tables[number], tables[number + 1]
            silent = ~own[:, :-1].any(axis=1) & (own[:, -1] <= 0)
            kept = np.flatnonzero(readers[:, :-1].any(axis=0) & ~silent)
            kept = kept if len(kept) else np.arange(1)
            tables[number], tables[number + 1] = own[kept], readers[:, [*kept, -1]]
    return _network(tables)


def _with_one(values: Array) -> Array:
    return np.hstack([values, np.ones((len(values), 1))])


def _network(tables: list[Array]) -> Network:
    return Network.from_layers([(table[:, :-1], table[:, -1]) for table in tables])
