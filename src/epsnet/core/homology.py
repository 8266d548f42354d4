r"""Betti numbers over GF(2) of sub-, super- and level sets, from the cells of a subdivision of a box.

Let g be affine on every cell of a subdivision of a box in R^d, and the sign of g be constant on the relative interior
of each. Then {g <= 0}, {g >= 0} and {g = 0} are unions of closed cells, subcomplexes X with n_k cells of dimension k,
and with the boundary maps d_k of X over GF(2)

$$ b_k(X) = n_k - \operatorname{rank} d_k - \operatorname{rank} d_{k+1}. $$

Most of the ranks need no elimination:

* rank d_1 = n_0 - b_0, and b_0 is the number of connected components of the graph of vertices and edges;
* rank d_d = n_d, because b_d(X) = 0 for a compact set in R^d;
* rank d_{d-1} = n_{d-1} - n_d - b_{d-1}, and b_{d-1} + 1 is the number of components of the complement of X in R^d
  (Alexander duality for d >= 2), which is that of a graph: the d-cells outside of X and the outside of the box, joined
  by the (d-1)-cells that are not in X.

This is all for d <= 3. The other ranks are those of the coboundary maps, the transposes. The cells that are no pivots
of the coboundary map before span a complement of its image, which the next map takes to 0; so only their columns have
to be reduced. For the first map the pivots are the edges of a spanning forest.

Sources: A. Hatcher, Algebraic Topology, 2002, Theorem 3.44 (duality); C. Chen, M. Kerber, Persistent homology
computation with a twist, EuroCG 2011, and U. Bauer, M. Kerber, J. Reininghaus, Clear and compress, 2014 (clearing).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from epsnet.certify.errors import HypothesisError
from epsnet.core.cells import Cells

MAX_ADDITIONS = 10**9
"""The most entries that are added while columns are reduced: some minutes."""

Part = Literal["sub", "super", "level"]
SIGNS: dict[Part, tuple[int, ...]] = {"sub": (-1, 0), "super": (0, 1), "level": (0,)}
"""The signs of g on the cells of {g <= 0}, {g >= 0}, {g = 0}."""


def betti_numbers(cells: Cells, part: Part) -> tuple[int, ...]:
    """Return (b_0, ..., b_{d-1}) of one part of the box; b_d = 0.

    Args:
        cells: all cells of a subdivision of a box; the last column of their signs is that of g.
        part: "sub" for {g <= 0}, "super" for {g >= 0}, "level" for {g = 0}.
    """
    d = cells.dimension
    kept = [np.isin(signs[:, -1], SIGNS[part]).tolist() for signs in cells.signs]
    counts = [sum(inside) for inside in kept]
    edges = [ends for ends, inside in zip(cells.boundary[1], kept[1], strict=True) if inside]
    forest = spanning_forest(len(kept[0]), edges)
    ranks = [0, len(forest), *[0] * d]
    if d >= 2:
        ranks[d] = counts[d]
    if d >= 3:
        ranks[d - 1] = counts[d - 1] - counts[d] - _holes(cells, kept)
        ranks[2 : d - 1] = _coboundary_ranks(cells, kept, forest)
    return tuple(counts[k] - ranks[k] - ranks[k + 1] for k in range(d))


def spanning_forest(vertices: int, edges: Iterable[Sequence[int]]) -> dict[int, int]:
    """Return the numbers of the edges that join two components when they are taken one after the other.

    The value is the vertex that stands for one of the two and then no more: components go by their least vertex.
    """
    parent = list(range(vertices))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    forest = {}
    for number, (first, second) in enumerate(edges):
        low, high = sorted((root(first), root(second)))
        if low != high:
            parent[high] = low
            forest[number] = high
    return forest


def reduced(columns: Iterable[tuple[int, set[int]]]) -> dict[int, int]:
    """Reduce columns over GF(2) by those before them and return, for each pivot, the name of its column.

    The pivot is the least row of a column that is not 0 after reduction; there are as many as the rank.

    Raises:
        HypothesisError: it takes too long.
    """
    basis: dict[int, set[int]] = {}
    pivots: dict[int, int] = {}
    additions = 0
    for name, column in columns:
        rest = column
        while rest:
            least = min(rest)
            if least not in basis:
                basis[least], pivots[least] = rest, name
                break
            rest = rest ^ basis[least]
            additions += len(rest) + len(basis[least])
            if additions > MAX_ADDITIONS:
                raise HypothesisError("The ranks of the boundary maps take too long. Use a smaller box or network.")
    return pivots


def coboundary(cells: Cells, k: int, kept: Sequence[Sequence[bool]]) -> dict[int, set[int]]:
    """Return, for each k-cell that is kept, the (k+1)-cells that are kept and have it in their boundary."""
    columns: dict[int, set[int]] = {number: set() for number, inside in enumerate(kept[k]) if inside}
    for number, faces in enumerate(cells.boundary[k + 1]):
        if kept[k + 1][number]:
            for face in faces:
                columns[face].add(number)
    return columns


def _holes(cells: Cells, kept: Sequence[Sequence[bool]]) -> int:
    """Return the number of bounded components of the complement of the cells that are kept."""
    d = cells.dimension
    inside, walls = kept[d], kept[d - 1]
    outside = len(inside)
    sides: list[list[int]] = [[] for _ in walls]
    for number, faces in enumerate(cells.boundary[d]):
        for face in faces:
            sides[face].append(number)
    doors = (side if len(side) == 2 else [*side, outside] for side, wall in zip(sides, walls, strict=True) if not wall)
    return outside - sum(inside) - len(spanning_forest(outside + 1, doors))


def _coboundary_ranks(cells: Cells, kept: Sequence[Sequence[bool]], forest: Iterable[int]) -> list[int]:
    """Return the ranks of the coboundary maps of the k-cells that are kept, k = 1, ..., d - 3."""
    ranks = []
    edges = [number for number, inside in enumerate(kept[1]) if inside]
    pivots = {edges[number] for number in forest}
    for k in range(1, cells.dimension - 2):
        columns = coboundary(cells, k, kept)
        pivots = set(reduced(item for item in reversed(columns.items()) if item[0] not in pivots))
        ranks.append(len(pivots))
    return ranks
