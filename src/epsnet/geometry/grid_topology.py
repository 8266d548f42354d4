"""Betti numbers from values on a grid: what is usually done, and what it can miss. Nothing here is proved.

A grid sees the set at its points only. Where two pieces of it or two holes come closer than the grid is wide, in a thin
wedge say, the numbers are wrong, and no refinement tells. `epsnet.geometry.topology` gives the exact ones.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.network import Network
from epsnet.core.realize import realize


def grid_betti_numbers(
    network: Network, domain: Box, *, level: Real = 0, part: Literal["sub", "super"] = "super", points: int = 100
) -> tuple[int, ...]:
    """Return b_0, ..., b_{d-1} of {Phi <= level} or {Phi >= level} as a grid shows them: an estimate.

    A cube of the grid belongs to the set if its 2^d corners do. Persistent homology by gudhi, over GF(2).

    Args:
        network: with one output.
        domain: a box with a side for each input.
        level: the level.
        part: "sub" or "super".
        points: the number of points of the grid in each direction, both ends included.

    Raises:
        DomainError: the network has several outputs, or the box does not fit.
        MissingExtraError: gudhi is not installed.
    """
    try:
        from gudhi import CubicalComplex
    except ModuleNotFoundError:
        raise MissingExtraError("topology", "The topology of values on a grid") from None
    if network.outputs != 1 or network.inputs != domain.dimension:
        raise DomainError("A grid needs one output, and a side of the box for each input. Take another network or box.")
    axes = [np.linspace(float(a), float(b), points) for a, b in zip(domain.lower, domain.upper, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    sign = 1 if part == "sub" else -1
    values = sign * (realize(network, grid.reshape(-1, domain.dimension)) - float(exact(level)))
    cubes = CubicalComplex(vertices=values.reshape(grid.shape[:-1]))
    cubes.compute_persistence(homology_coeff_field=2)
    return tuple(cubes.persistent_betti_numbers(0, 0)[: domain.dimension])
