"""How many linear regions a network has, from its cells: maximal connected open sets on which it is affine."""

from __future__ import annotations

from epsnet.certify.domain import Box
from epsnet.core.cell_values import affine_maps
from epsnet.core.cells import Cells
from epsnet.core.homology import spanning_forest
from epsnet.core.network import Network


def linear_regions(network: Network, box: Box, cells: Cells) -> int:
    """Return the number of linear regions on a box: d-cells are one across (d-1)-cells where their maps agree.

    Args:
        network: piecewise linear.
        box: of dimension d.
        cells: all cells of the network on the box.
    """
    maps = affine_maps(network, box, cells)
    sides: list[list[int]] = [[] for _ in cells.boundary[-2]]
    for cell, faces in enumerate(cells.boundary[-1]):
        for face in faces:
            sides[face].append(cell)
    linked = [pair for pair in sides if len(pair) == 2 and maps[pair[0]] == maps[pair[1]]]
    return len(maps) - len(spanning_forest(len(maps), linked))
