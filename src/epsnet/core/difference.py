r"""The range of the difference f - R(Phi) of a formula and a network on a box, by the best local model there is.

`core.enclose` has models of second order for every network. In one variable, where all activations are smooth, the
difference also has a Taylor model of order n = `core.series.ORDER`,

$$ f - R(\Phi) = \sum_{i < n} e_i h^i + e_n h^n, \qquad |h| \le r, $$

whose e_i for i < n are differences at the center: where f and R(Phi) agree to a tiny error, so do their derivatives,
and cells may be wide. Both hold, so the smaller range does.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import arb

from epsnet.core import enclose
from epsnet.core.enclose import Cell
from epsnet.core.expression import Expression
from epsnet.core.network import Network, activation
from epsnet.core.series import evaluate_series, network_series, series_at, series_range


def difference_range(
    expression: Expression, names: Sequence[str], network: Network, lower: Sequence[Fraction], upper: Sequence[Fraction]
) -> tuple[arb, arb]:
    """Enclose f - R(Phi) on a box; arguments and result as of `core.enclose.difference_range`."""
    low, high = enclose.difference_range(expression, names, network, lower, upper)
    if len(names) == 1 and _is_smooth(network):
        cell = Cell.of(lower, upper)
        models = [series_at(cell.center[0]), series_at(cell.interval[0])]
        differences = [evaluate_series(expression, x) - network_series(network, x) for x in models]
        lowest, highest = series_range(differences[0], differences[1], cell.radius[0])
        low, high = low.max(lowest), high.min(highest)
    return low, high


def _is_smooth(network: Network) -> bool:
    hidden = {name for layer in network.layers[:-1] for name in layer.activations}
    return bool(hidden) and all(activation(name).slopes is None for name in hidden)
