r"""Rule `sample`: how far two networks are apart at given points, and at how many of them they predict the same.

Witness: `points`, the float64 points one after the other; their hash is part of the target. Values are evaluated in
float64, with bounds of their rounding errors (`core.rounding_error`), so that the claims are about exact arithmetic.

* sample-maximum: max |F - R(Phi)| <= value over the points and the outputs.
* sample-predictions: at least `value` of the points have the same largest output, the only one, in F and R(Phi).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.checker.rule import Context, Verdict
from epsnet.core.linear_maps import Convolution, LinearMap
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget, sample_hash
from epsnet.core.realize import realize
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, float64_error, needs_library

Array = NDArray[np.float64]

MAX_WORK = 2**40
"""Points times the products and `_COST` for each neuron: some minutes."""
MAX_WIDTH = 2**20
"""Inputs or neurons of a layer: more have no bound of their rounding errors."""
_COST = 256
_BLOCK, _NUMBERS = 2000, 2**24
"""The most points, and about the most numbers in a layer, that are evaluated at once."""


def predictions_quantity(target: NetworkTarget) -> str:
    """Return what a claim of the second theorem is called."""
    return f"unchanged predictions on the {target.points:,} points of the sample {(target.sample or '')[:12]}"


def _products(linear: LinearMap) -> int:
    """Return how many products of float64 numbers an application takes; a convolution does not skip those with 0."""
    if isinstance(linear, Convolution):
        return linear.shape[0] * math.prod(linear.kernel.shape[1:])
    return linear.connections


def _width(network: Network) -> int:
    """Return about how many numbers the widest layer of a network holds for a point."""
    windows = (
        _products(linear) // len(linear.kernel)
        for layer in network.layers
        for _, linear in layer.terms
        if isinstance(linear, Convolution)
    )
    return max(network.inputs, *(layer.outputs for layer in network.layers), *windows)


def _pairs(first: Network, second: Network, points: Array) -> Iterator[tuple[tuple[Array, Array], tuple[Array, Array]]]:
    """Yield the values of both networks at blocks of points, each with bounds of their errors, (block, outputs)."""
    block = min(_BLOCK, max(1, _NUMBERS // max(_width(first), _width(second))))
    for start in range(0, len(points), block):
        x = points[start : start + block]
        yield _values(first, x), _values(second, x)


def _values(network: Network, x: Array) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        found, doubt = realize(network, x).reshape(len(x), -1), float64_error(network, x, x)
    finite = np.isfinite(found) & np.isfinite(doubt)
    return np.where(finite, found, 0.0), np.where(finite, doubt + 2.0**-1000, np.inf)


def deviations(first: Network, second: Network, points: Array) -> Array:
    """Return an upper bound of max_i |R(first)_i - R(second)_i| at each of the points, (n,)."""
    found = []
    for (one, doubt), (two, other) in _pairs(first, second, points):
        largest = np.abs(one - two) + doubt + other
        found.append((largest * (1 + 2.0**-48) + 2.0**-1000).max(axis=1))
    return np.concatenate(found)


def unchanged(first: Network, second: Network, points: Array) -> NDArray[np.bool_]:
    """Tell at which points the largest output certainly has the same number in both, (n,)."""
    found = []
    for pair in _pairs(first, second, points):
        largest = [_certain(value, doubt) for value, doubt in pair]
        found.append((largest[0] == largest[1]) & (largest[0] >= 0))
    return np.concatenate(found)


def _certain(value: Array, doubt: Array) -> NDArray[np.int64]:
    """Return the number of the output that is certainly the only largest one, -1 where none is."""
    slack = doubt + 2.0**-50 * (doubt + np.abs(value)) + 2.0**-1000
    first, rows = value.argmax(axis=1), np.arange(len(value))
    lowest, others = (value - slack)[rows, first], value + slack
    others[rows, first] = -np.inf
    return np.where(lowest > others.max(axis=1, initial=-np.inf), first, -1)


def check(context: Context) -> Verdict:
    """Check a claim by its theorem."""
    claim, network, target = context.claim, context.network, context.target
    if not isinstance(target, NetworkTarget) or target.sample is None:
        raise CheckError("The target is not a network on a sample. Build it anew.")
    fits = (network.inputs, network.outputs) == (target.network.inputs, target.network.outputs)
    context.require(fits, "The two networks differ in inputs or outputs. Build it anew.")
    flat = context.array("points", "f")
    context.require(len(flat) == target.points * network.inputs, "The points do not fit the network. Restore them.")
    both = network, target.network
    layers = [layer for each in both for layer in each.layers]
    products = sum(_products(linear) for layer in layers for _, linear in layer.terms)
    work = target.points * (products + _COST * sum(layer.outputs for layer in layers))
    context.require(work <= MAX_WORK, "There are too many points to be checked. Use fewer.")
    small = all(layer.outputs <= MAX_WIDTH for layer in layers) and max(map(_width, both)) <= _NUMBERS
    context.require(small and network.inputs <= MAX_WIDTH, "A layer is too large to be checked. Use smaller ones.")
    points = flat.astype(np.float64).reshape(target.points, network.inputs)
    context.require(sample_hash(points) == target.sample, "These are other points: the hash differs. Restore them.")
    if claim.theorem == "sample-maximum":
        context.states(target.quantity, "<=", norm="sup", domain=False, network=True, target=True)
        value = float(deviations(network, target.network, points).max())
        holds = bool(np.isfinite(value)) and claim.limit >= Fraction(value)
        context.require(holds, f"The networks may differ by {value:.6g} at a point. State that.")
    else:
        context.states(predictions_quantity(target), ">=", domain=False, network=True, target=True)
        count = int(unchanged(network, target.network, points).sum())
        context.require(claim.limit <= count, f"Only {count} predictions are certainly unchanged. State that.")
    library = needs_library(network) or needs_library(target.network)
    return Verdict(Kind.VERIFIED, (f"evaluated at {target.points:,} points",), (LIBRARY_ASSUMPTION,) * library)
