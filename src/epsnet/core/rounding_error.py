r"""How far the float64 evaluation of a network can be from its exact realization: an a-priori bound.

For a neuron with n products, not counting those with 0, and one bias, in any order of summation and with or without
fused multiply-add,

$$ |fl(A y + b) - (A y + b)| \le \gamma_{n+2} (|A| |y| + |b|) + (n + 1) \eta, $$

where two more roundings than Higham's n + 1 pay for rational weights that are rounded to float64 and for the
activation, and eta = 2^-1074 for underflow. Errors of earlier layers pass through |A| and the Lipschitz constants of
the activations. The sizes |y| come from intervals with center c and radius r, which pass through a layer as A c + b and
|A| r: signs count, so a deep chain of ReLUs that stays in [0, 1] is seen to stay there.

Neurons rho(w y + b_i) of one layer with the same w inherit the same error of w y. A later sum of them with factors
alpha_i, sorted by falling b_i, is a function of w y with the slopes alpha_1 + ... + alpha_k, so it passes the error on
with the factor max_k |alpha_1 + ... + alpha_k| instead of sum |alpha_i|: a sawtooth of slopes 1 and -1 does not
multiply errors by 3 in every layer.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import PrecisionError
from epsnet.certify.rounding import gamma, round_down, round_up
from epsnet.core.functions import Function
from epsnet.core.linear_maps import Convolution, Dense, Exact, LinearMap, Sparse
from epsnet.core.network import Layer, Network

LIBRARY_ULPS = 16
LIBRARY_ASSUMPTION = f"NumPy and SciPy evaluate smooth activations to within {LIBRARY_ULPS} units in the last place"

# Lipschitz constants of the smooth activations, rounded up; all of them satisfy |f(y)| <= 1 + |y|.
_LIPSCHITZ = {
    "tanh": 1.0, "sigmoid": 0.25, "erf": 1.1284, "gelu": 1.13, "silu": 1.1, "softplus": 1.0, "sin": 1.0,
}  # fmt: skip

# All quantities here are sums and products of nonnegative floats: one factor covers their own rounding for up to
# _MAX_TERMS terms, one addend their underflow.
_MAX_TERMS = 2**20
_INFLATE = 1.0 + 2.0**-30
_ETA = 2.0**-1000


def float64_error(network: Network, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound |float64 evaluation - R(Phi)(x)| for all float64 points of boxes.

    Args:
        network: Phi: R^d -> R^m.
        lower: (n, d), one row for each box.
        upper: (n, d), >= lower.

    Returns:
        (n, m) upper bounds; infinite where an overflow is possible.
    """
    if not all(map(_within_bounds, network.layers)):
        return np.full((len(lower), network.outputs), np.inf)
    center = lower / 2 + upper / 2
    values = [(center, np.maximum(upper - center, center - lower) * _INFLATE + _ETA)]
    # The error of a neuron is the one it inherits, shared by neurons with the same weights, plus its own rounding.
    errors = [(np.zeros_like(center), np.zeros_like(center))]
    groups: list[_Groups | None] = [None]
    overflow = np.zeros(len(lower), dtype=bool)
    for layer in network.layers:
        bias = np.array([float(value) for value in layer.bias_values()])
        center, radius, size, error, terms = bias, np.zeros_like(bias), np.abs(bias), np.zeros_like(bias), 1
        with np.errstate(over="ignore", invalid="ignore"):
            for source, linear in layer.terms:
                absolute = linear.absolute()
                (middle, half), (inherited, own) = values[source], errors[source]
                center = center + linear.apply(middle)
                radius = radius + absolute.apply(half)
                size = size + absolute.apply(np.abs(middle) + half + inherited + own)
                error = error + absolute.apply(own) + _passed_on(linear, absolute, inherited, groups[source])
                terms += _most_products(linear)
            size = size * _INFLATE + _ETA
            error = error * _INFLATE + _ETA
            rounding = float(gamma(terms + 2)) * _INFLATE * size
            # The center was computed in float64 too: its own rounding widens the interval.
            radius = (radius + rounding) * _INFLATE + _ETA
            overflow |= (size > np.finfo(np.float64).max / 4).any(axis=1) | ~np.isfinite(size).all(axis=1)
            lower, upper = center - radius, center + radius
            lower, upper, error, rounding = _through_activations(layer, lower, upper, error, rounding)
            center = lower / 2 + upper / 2
        values.append((center, np.maximum(upper - center, center - lower) * _INFLATE + _ETA))
        errors.append((error, rounding))
        groups.append(_groups(layer, bias))
    return np.where(overflow[:, None], np.inf, (errors[-1][0] + errors[-1][1]) * _INFLATE)


def rounding_bound(network: Network, domain: Box) -> float:
    """Return sup |float64 evaluation - R(Phi)| over the float64 points of a box, all outputs."""
    lower = np.array([[round_down(end) for end in domain.lower]])
    upper = np.array([[round_up(end) for end in domain.upper]])
    return float(float64_error(network, lower, upper).max())


def _most_products(linear: LinearMap) -> int:
    """Return the most nonzero entries of a row: to multiply with 0 and to add 0 is exact."""
    if isinstance(linear, Convolution):
        return linear.shape[1]
    if isinstance(linear, Dense):
        return int(np.count_nonzero(linear.weight, axis=1).max())
    return int(np.bincount(linear.entries()[0]).max(initial=0))


@dataclass(frozen=True, slots=True)
class _Groups:
    """ReLU neurons with the same weights: their numbers by falling bias, and where each group starts."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]


def _groups(layer: Layer, bias: NDArray[np.float64]) -> _Groups | None:
    """Return the groups of a layer, or None if no two neurons share their weights or not all are ReLUs."""
    if set(layer.activations) != {"relu"} or not all(isinstance(linear, Dense | Sparse) for _, linear in layer.terms):
        return None
    shared: list[list[bytes]] = [[] for _ in range(layer.outputs)]
    for _, linear in layer.terms:
        rows, columns, values = linear.entries()
        ends = np.searchsorted(rows, np.arange(layer.outputs + 1))
        numbers = np.array(values, dtype=np.float64)
        for neuron, (start, end) in enumerate(itertools.pairwise(ends.tolist())):
            shared[neuron] += [columns[start:end].tobytes(), b"", numbers[start:end].tobytes(), b""]
    keys: dict[tuple[bytes, ...], list[int]] = {}
    for neuron, parts in enumerate(shared):
        keys.setdefault(tuple(parts), []).append(neuron)
    if len(keys) == layer.outputs:
        return None
    members = [sorted(group, key=lambda neuron: -bias[neuron]) for group in keys.values()]
    starts = np.cumsum([0, *(len(group) for group in members[:-1])])
    return _Groups(np.array([neuron for group in members for neuron in group]), starts)


def _passed_on(
    linear: LinearMap, absolute: LinearMap, inherited: NDArray[np.float64], groups: _Groups | None
) -> NDArray[np.float64]:
    """Bound the change of A y when the neurons y inherit these errors, as many rows as there are boxes."""
    if groups is None or linear.connections > _MAX_TERMS:
        return absolute.apply(inherited)
    rows, columns, entries = linear.entries()
    values = np.array([float(entry) for entry in entries])
    place = np.empty(linear.shape[1], dtype=np.int64)
    place[groups.order] = np.arange(linear.shape[1])
    owner = np.searchsorted(groups.starts, place[columns], side="right") - 1
    order = np.lexsort((place[columns], rows))
    rows, owner, values = rows[order], owner[order], values[order]
    # The entries of one row that belong to one group, by falling bias, are one segment.
    starts = np.flatnonzero((np.diff(rows, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0))
    lengths = np.diff(starts, append=len(rows))
    longest = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest], lengths[longest]
    falling = -lengths
    sums, steepest, sizes = (np.zeros(len(starts)) for _ in range(3))
    for k in range(lengths.max(initial=0)):
        longer = slice(np.searchsorted(falling, -k))
        step = values[starts[longer] + k]
        sums[longer] += step
        sizes[longer] += np.abs(step)
        np.maximum(steepest[longer], np.abs(sums[longer]), out=steepest[longer])
    # The sums are rounded: by less than this share of the sums of absolute values.
    slopes = steepest + float(gamma(2 * int(lengths.max(initial=0)) + 2)) * sizes
    largest = np.maximum.reduceat(inherited[:, groups.order], groups.starts, axis=1)
    return Sparse((linear.shape[0], len(groups.starts)), rows[starts], owner[starts], slopes).apply(largest)


def _within_bounds(layer: Layer) -> bool:
    """Tell whether the analysis covers a layer: not too many terms, rational weights in the normal range of float64."""
    rational = [value for _, linear in layer.terms if isinstance(linear, Exact) for value in linear.entries()[2]]
    biases = layer.bias if isinstance(layer.bias, tuple) else ()
    numbers = [abs(Fraction(value)) for value in (*rational, *biases)]
    normal = all(not value or Fraction(2) ** -1022 <= value <= Fraction(2) ** 1023 for value in numbers)
    return normal and sum(linear.shape[1] for _, linear in layer.terms) < _MAX_TERMS


def _through_activations(
    layer: Layer,
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
    error: NDArray[np.float64],
    rounding: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the interval behind the activations, and the inherited and the own error there."""
    functions = layer.functions()
    constants = {name: _lipschitz(function) for name, function in {own.name: own for own in functions}.items()}
    lipschitz = np.array([constants[function.name] for function in functions])
    smooth = np.array([function.slopes is None for function in functions])
    size = np.maximum(np.abs(lower), np.abs(upper)) + error + rounding
    library = np.where(smooth, LIBRARY_ULPS * 2.0**-52 * (1.0 + size), 2.0**-52 * size)
    below, above = np.where(smooth, -(1.0 + size), 0.0), np.where(smooth, 1.0 + size, 0.0)
    for side, part in enumerate((np.minimum, np.maximum)):
        # f(y) = left min(y, 0) + right max(y, 0), and both parts are monotone.
        slopes = np.array([0.0 if f.slopes is None else float(f.slopes[side]) for f in functions])
        ends = slopes * part(lower, 0.0), slopes * part(upper, 0.0)
        below, above = below + np.minimum(*ends), above + np.maximum(*ends)
    slack = 2.0**-50 * size + _ETA
    own = (lipschitz * rounding + library) * _INFLATE + _ETA
    return below - slack, above + slack, lipschitz * error * _INFLATE + _ETA, own


def _lipschitz(function: Function) -> float:
    if function.slopes is not None:
        return float(max(map(abs, function.slopes)))
    if function.name not in _LIPSCHITZ:
        raise PrecisionError(f"{function.name} has no error bound in float64. Use exact arithmetic.")
    return _LIPSCHITZ[function.name]


def needs_library(network: Network) -> bool:
    """Tell whether a float64 statement about the network rests on `LIBRARY_ASSUMPTION`."""
    return any(function.slopes is None for layer in network.layers for function in layer.functions())
