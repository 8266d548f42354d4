"""The certified distance of a compressed network to its original: neuron by neuron, or exactly for few inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError, HypothesisError
from epsnet.checker.rules.reduction import HYPOTHESIS
from epsnet.compression.exact import Reduction
from epsnet.core.alignment import Integers, in_shape_of
from epsnet.core.bends import bending
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.enclosure.branch import Progress
from epsnet.enclosure.distance import distance
from epsnet.enclosure.exact_values import exact_distance
from epsnet.enclosure.gradients import trace

Array = NDArray[np.float64]

EXACT_INPUTS, EXACT_NEURONS = 2, 300
"""Networks with so many inputs and bending neurons, together, are compared in exact arithmetic."""


def matched(network: Network, template: Network, points: Array) -> tuple[list[Integers], list[Integers]]:
    """Find for every hidden neuron of a network one of a larger network that does about the same, up to a factor 2^k.

    By the assignment with the largest sum of the correlations of the arguments at the points; see `core.alignment`.

    Raises:
        HypothesisError: the networks differ in depth, or the template is too narrow.
    """
    from scipy.optimize import linear_sum_assignment

    widths = [[layer.outputs for layer in each.layers] for each in (network, template)]
    if len(widths[0]) != len(widths[1]) or any(own > wide for own, wide in zip(*widths, strict=True)):
        raise HypothesisError("The networks differ in depth, or the second is narrower. Compare them side by side.")
    places, shifts = [], []
    for own, wide in list(zip(trace(network, points)[0], trace(template, points)[0], strict=True))[:-1]:
        product = own.T @ wide
        squares, others = (own**2).sum(axis=0), (wide**2).sum(axis=0)
        norms = np.sqrt(np.outer(squares, others))
        similar = np.divide(product, norms, out=np.zeros_like(product), where=norms > 0)
        rows, place = linear_sum_assignment(similar, maximize=True)
        both, square = product[rows, place], squares[rows]
        ratio = np.divide(both, square, out=np.ones_like(both), where=(both > 0) & (square > 0))
        places.append(place.astype(np.int64))
        shifts.append(np.clip(np.round(np.log2(ratio)), -1000, 1000).astype(np.int64))
    return places, shifts


def certified_distance(
    network: Network,
    reduction: Reduction,
    points: Array,
    *,
    gap: float,
    boxes: int,
    progress: Progress | None = None,
) -> Solution:
    """Return a network for the original one of a reduction as its target, with a certified bound of the sup error.

    Args:
        network: Phi, plain and of float64 weights.
        reduction: the original network, the box, and a smaller network that equals it there.
        points: where neurons are compared to find pairs.
        gap: the goal, upper <= (1 + gap) lower.
        boxes: after how many boxes to stop.
        progress: as for `distance`.

    Raises:
        DomainError, HypothesisError: as `distance`.
    """
    original, domain = reduction.original, reduction.domain
    if domain.dimension <= EXACT_INPUTS and _bends(network) + _bends(original) <= EXACT_NEURONS:
        try:
            return exact_distance(network, original, domain).solution
        except HypothesisError:  # too many cells
            pass
    try:
        places, shifts = matched(network, reduction.network, points)
        aligned = in_shape_of(network, reduction.network, places, shifts)
    except (CheckError, HypothesisError):
        return distance(network, original, domain, gap=gap, boxes=boxes, progress=progress).solution
    found = distance(aligned, reduction.network, domain, gap=gap, boxes=boxes, progress=progress)
    about = {"network": network.sha256, "target": NetworkTarget(original, domain).sha256}
    upper = replace(
        found.upper, theorem="aligned-relaxation", rule="reduction",
        hypotheses=(HYPOTHESIS, *found.upper.hypotheses), **about,
    )  # fmt: skip
    lower = replace(found.lower, **about)
    tree = _witness(found.solution, found.upper)
    arrays = {name: np.concatenate([np.zeros(0, dtype=np.int64), *each])
              for name, each in (("place", places), ("shift", shifts))}  # fmt: skip
    certificate = Certificate.of(
        (upper, lower), ((upper, {**reduction.witness, **arrays, **tree}), (lower, {"point": found.point}))
    )
    return Solution(network, NetworkTarget(original, domain), upper, 8 * len(network_bytes(network)), certificate)


def _bends(network: Network) -> int:
    try:
        piecewise_linear = set(network.layers[-1].activations) == {"identity"}
        return len(bending(network)) if piecewise_linear else EXACT_NEURONS + 1
    except HypothesisError:
        return EXACT_NEURONS + 1


def _witness(solution: Solution, bound: Bound) -> dict[str, np.ndarray]:
    node = solution.certificate.nodes[solution.certificate.find(bound)]
    return dict(solution.certificate.witnesses[node.witness or ""])
