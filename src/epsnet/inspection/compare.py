"""How far two networks are apart on a box: without a gap where they are small, else by branch and bound."""

from __future__ import annotations

import math
from pathlib import Path

from epsnet.certify.domain import Box
from epsnet.certify.errors import HypothesisError
from epsnet.core.bends import bending
from epsnet.core.network import Network
from epsnet.core.solution import Solution
from epsnet.enclosure.branch import Progress
from epsnet.enclosure.distance import Distance, distance
from epsnet.enclosure.exact_values import exact_distance
from epsnet.inspection.subject import fitted, read_network

EXACT_INPUTS, EXACT_NEURONS = 2, 100
"""Networks with so many inputs and bending neurons, together, are compared in exact arithmetic."""


def compare(
    subject: Network | Solution | str | Path,
    other: Network | Solution | str | Path,
    on: Box,
    *,
    gap: float = 0.1,
    seconds: float = math.inf,
    progress: Progress | None = None,
) -> Distance:
    """Bracket sup |R(Phi) - R(Psi)| over a box and all outputs; both sides are certified.

    Args:
        subject: Phi, or where to find it: whatever `inspect` takes.
        other: Psi.
        on: the box, or one interval for all inputs.
        gap: the goal, upper <= (1 + gap) lower. Small networks are compared exactly in any case.
        seconds: when to stop before that; Ctrl-C stops as well, and what is known then is returned.
        progress: called with the number of boxes and the bracket so far.

    Raises:
        DomainError, HypothesisError: as `epsnet.distance`.

    Example:
        >>> one = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.0]], [0.0])])
        >>> two = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.25]], [0.0])])
        >>> print(compare(one, two, Box(0, 1)).upper)
        sup |F - Phi| <= 0.125000 on [0, 1]   VERIFIED (vertex-extrema; exact arithmetic)
    """
    first, second = read_network(subject)[0], read_network(other)[0]
    box = fitted(on, first)
    if _is_small(first, second):
        return exact_distance(first, second, box)
    return distance(first, second, box, gap=gap, seconds=seconds, progress=progress)


def _is_small(*networks: Network) -> bool:
    try:
        bends = sum(len(bending(network)) for network in networks)
    except HypothesisError:
        return False
    open_ended = all(set(network.layers[-1].activations) == {"identity"} for network in networks)
    return open_ended and networks[0].inputs <= EXACT_INPUTS and bends <= EXACT_NEURONS
