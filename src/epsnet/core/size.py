"""The measures of size of a network, counted exactly."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from epsnet.certify.rounding import round_up

if TYPE_CHECKING:
    from epsnet.core.network import Network


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is.

    Attributes:
        weights: M, the nonzero entries of all stored matrices and biases; a convolution counts its kernel once.
        depth: L, the affine maps on the longest path from input to output.
        neurons: N, the units of the hidden layers.
        width: W, the units of the widest hidden layer; 0 for an affine map.
        magnitude: the largest absolute value of a weight or bias, rounded up to float64.
        connections: nonzero entries when convolutions are written as matrices, biases included.
        operations: multiply-adds of one evaluation: nonzero matrix entries, convolutions written as matrices.
    """

    weights: int
    depth: int
    neurons: int
    width: int
    magnitude: float
    connections: int
    operations: int

    def to_json(self) -> dict[str, int | float | None]:
        """Return the fields as JSON values; JSON has no infinity, so a magnitude beyond float64 is None."""
        return {**asdict(self), "magnitude": self.magnitude if math.isfinite(self.magnitude) else None}


def size_of(network: Network) -> Size:
    """Count the size of a network (definitions: `Size`)."""
    depth = [0]
    weights = operations = biases = 0
    magnitude = Fraction(0)
    for layer in network.layers:
        depth.append(1 + max(depth[source] for source, _ in layer.terms))
        stored_bias = [Fraction(value) for value in layer.bias]
        weights += sum(linear.stored_weights for _, linear in layer.terms) + sum(map(bool, stored_bias))
        operations += sum(linear.connections for _, linear in layer.terms)
        biases += sum(map(bool, layer.bias_values()))
        magnitude = max(magnitude, *(linear.magnitude for _, linear in layer.terms), *map(abs, stored_bias))
    hidden = [layer.outputs for layer in network.layers[:-1]]
    return Size(
        weights=weights,
        depth=depth[-1],
        neurons=int(np.sum(hidden, dtype=int)),
        width=max(hidden, default=0),
        magnitude=round_up(magnitude),
        connections=operations + biases,
        operations=operations,
    )
