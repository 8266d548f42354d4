"""Neurons that keep to one side of their kink on a box, proved on the parts of it by the differential relaxation."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Box
from epsnet.certify.rounding import round_down, round_up
from epsnet.core.differential import Differential, Stage, beside_zero, chain
from epsnet.core.network import Network, activation
from epsnet.core.ranges import Range, argument_ranges

Array = NDArray[np.float64]


class Sides:
    """Says on which side of its kink the argument of every neuron of a network lies, box by box.

    Args:
        network: without skip connections, of float64 weights.
        domain: the box that the others are parts of.

    Raises:
        HypothesisError: the network has skip connections or weights that are no float64 numbers.
        DomainError: the box does not fit, or a bound exceeds float64.
    """

    def __init__(self, network: Network, domain: Box) -> None:
        stages = chain(network)
        self.lower = np.array([round_down(end) for end in domain.lower])
        self.upper = np.array([round_up(end) for end in domain.upper])
        self._engine = Differential(*beside_zero(stages), self.lower, self.upper)
        self._outputs = len(self._engine.levels[-1].left)
        self._kinked = np.array([kinked for stage in stages for kinked in _kinked(stage)])

    @property
    def batch(self) -> int:
        """How many boxes to ask for at once."""
        return self._engine.batch

    def on(self, lower: Array, upper: Array) -> NDArray[np.int8]:
        """Return 1 for an argument >= 0 on a box, -1 for one <= 0, 0 where that is not known or there is no kink.

        Args:
            lower: the lower ends of the boxes, (boxes, d).
            upper: the upper ends.

        Returns:
            (boxes, neurons of all layers).
        """
        functional, rows = np.eye(1, self._outputs), np.ones((len(lower), 1), dtype=bool)
        root = np.broadcast_to(self._engine.root, (len(lower), *self._engine.root.shape[1:]))
        sides = self._engine.bounds(lower, upper, root, functional, rows).sides[:, 0, : len(self._kinked)]
        return np.where(self._kinked, sides, 0).astype(np.int8)


def _kinked(stage: Stage) -> list[bool]:
    slopes = {name: activation(name).slopes for name in set(stage.names)}
    return [(pair := slopes[name]) is not None and pair[0] != pair[1] for name in stage.names]


def proved_ranges(network: Network, domain: Box, boxes: Iterable[tuple[Array, Array]]) -> list[list[Range]]:
    """Return ranges of the arguments of all neurons: those of `argument_ranges`, cut at the kink where it is not met.

    Args:
        network: as for `Sides`.
        domain: the box.
        boxes: the ends (d,) of boxes that cover it.
    """
    sides, found, waiting = Sides(network, domain), None, iter(boxes)
    while batch := list(islice(waiting, sides.batch)):
        lower, upper = (np.array(ends) for ends in zip(*batch, strict=True))
        own = sides.on(lower, upper)
        common = np.where((own == own[0]).all(axis=0), own[0], 0)
        found = common if found is None else np.where(found == common, found, 0)
    ranges, zero = argument_ranges(network, domain), Fraction(0)
    if found is None:
        return ranges
    known = iter(found.tolist())
    return [[(max(low, zero) if (side := next(known)) > 0 else low, min(high, zero) if side < 0 else high)
             for low, high in layer] for layer in ranges]  # fmt: skip
