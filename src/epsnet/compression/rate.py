r"""A family of quantized networks from few bits to many, each layer with the step that its bits are worth.

With D the mean squared error of the outputs at the points and R the bits, a smaller step of one layer is worth its bits
if it lowers R + S log2 D, where S = -dR / dlog2 D is the price of the error when all steps shrink together: at the best
steps the slopes of all layers are the same. The search is one walk from coarse to fine that nothing but the network,
the points and the number of levels decides, so "the best of the family with at most b bits" is monotone in b.

Source: Y. Shoham, A. Gersho, Efficient bit allocation for an arbitrary set of quantizers, IEEE Trans. Acoust., Speech,
Signal Process. 36 (1988) 1445-1453.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.codec.quantize import Quantizer
from epsnet.codec.tensors import grid
from epsnet.core.network import Network
from epsnet.core.realize import realize

Array = NDArray[np.float64]

_LEVEL = 2**-0.5
_MOVE = 2**0.25
_PRICE = 0.1
_PRICE_MOVE = 2**0.5


def candidates(network: Network, points: Array, levels: int) -> Iterator[Network]:
    """Yield quantized networks from coarse to fine, each with less error at the points than all before.

    Each level begins with all steps divided by sqrt(2), then each step and the price of `quantize` in turn is moved by
    a factor if that lowers R + S log2 D. R is an estimate of the length of the `.eps` file (`estimated_bits`).

    Args:
        network: a plain network, see `quantize`.
        points: float64 (count, inputs), a sample of the inputs.
        levels: how many networks to yield at most; fewer if one has no error at all.

    Raises:
        DomainError: the network is not plain, or levels is not positive.
    """
    if levels < 1:
        raise DomainError(f"{levels} levels make no family. Ask for at least one.")
    search = _Search(network, points)
    coarse = search.measure(search.coarsest())
    best = np.inf
    for _ in range(levels):
        fine = search.measure(coarse.settings * np.append(np.full(len(network.layers), _LEVEL), 1.0))
        coarse = search.improve(fine, _slope(coarse, fine))
        if coarse.error < best:
            best = coarse.error
            yield coarse.network
        if best == 0:
            return


def estimated_bits(network: Network) -> float:
    """Return about how many bits the `.eps` file of a network on grids takes, in a fraction of the time of `encode`."""
    total = 0.0
    for layer in network.layers:
        for _, linear in layer.terms:
            table = np.zeros(linear.shape)
            rows, columns, values = linear.entries()
            table[rows, columns] = [float(value) for value in values]
            total += _table_bits(table)
        total += _table_bits(np.array([[float(value) for value in layer.bias]]))
    return total


@dataclass(frozen=True)
class _Trial:
    settings: Array
    network: Network
    bits: float
    error: float

    def cost(self, slope: float) -> float:
        return self.bits + slope * _log(self.error)


class _Search:
    """Trials of one network: settings are the step of each layer and the price."""

    def __init__(self, network: Network, points: Array) -> None:
        self._quantizer, self._points, self._weights = Quantizer(network, points), points, network.size.weights
        self._values = realize(network, points)

    def coarsest(self) -> Array:
        """Return steps whose errors would be as large as the outputs, were each weight rounded by itself."""
        spread = float(np.sqrt(((self._values - self._values.mean(axis=0)) ** 2).sum(axis=1).mean()))
        step = (spread or float(np.abs(self._values).max()) or 1.0) * np.sqrt(12 / max(self._weights, 12))
        return np.append(np.full(self._quantizer.layers, step), _PRICE)

    def measure(self, settings: Array) -> _Trial:
        found = self._quantizer.quantize(settings[:-1].tolist(), float(settings[-1]))
        error = float(((realize(found, self._points) - self._values) ** 2).sum(axis=1).mean())
        return _Trial(settings, found, estimated_bits(found), error)

    def improve(self, trial: _Trial, slope: float) -> _Trial:
        """Return the best of one round over the settings, each tried larger, and smaller where larger was worse."""
        moves = [*[_MOVE] * (len(trial.settings) - 1), _PRICE_MOVE]
        for place, move in enumerate(moves):
            for factor in (move, 1 / move):
                settings = trial.settings.copy()
                settings[place] *= factor
                other = self.measure(settings)
                if other.cost(slope) < trial.cost(slope):
                    trial = other
                    break
        return trial


def _slope(coarse: _Trial, fine: _Trial) -> float:
    """Return the bits that halving the squared error takes, at least a small number."""
    gained = _log(coarse.error) - _log(fine.error)
    return max((fine.bits - coarse.bits) / gained, 1.0) if gained > 0 else 1.0


def _log(error: float) -> float:
    return float(np.log2(max(error, np.finfo(float).tiny)))


def _table_bits(table: Array) -> float:
    """Return the bits of a table: which are 0, given how many of the row and the column are; signs; magnitudes."""
    found = grid(table.ravel())
    if found is None:
        return 64.0 * np.count_nonzero(table)
    whole = np.abs(np.array(found[0], dtype=np.float64)).reshape(table.shape)
    nonzero = whole > 0
    odds = [_odds(nonzero.sum(axis=axis, keepdims=True), nonzero.size / count) for axis, count in _axes(nonzero)]
    chance = odds[0] * odds[1] / _odds(nonzero.sum(), nonzero.size)
    chance = chance / (1 + chance)
    lengths = np.frexp(whole[nonzero])[1]
    counts = np.bincount(lengths)
    counts = counts[counts > 0]
    places = -np.log2(np.where(nonzero, chance, 1 - chance)).sum()
    return float(places + len(lengths) + (lengths - 1).sum() - (counts * np.log2(counts / max(len(lengths), 1))).sum())


def _axes(table: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return [(0, table.shape[1]), (1, table.shape[0])]


def _odds(nonzero: NDArray[np.int64], count: float) -> Array:
    return (nonzero + 0.5) / (count - nonzero + 0.5)
