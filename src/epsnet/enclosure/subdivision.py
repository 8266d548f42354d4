r"""All cells of a piecewise-linear network on a box, in exact arithmetic, however degenerate they are.

The complex starts as the faces of the box and is cut by one neuron after the other. The argument z of a neuron is
affine on every cell P of the complex of the neurons before it (of earlier layers, whose signs are fixed there, and of
its own layer, which do not change it), so its signs at the vertices of P decide:

* all >= 0, or all <= 0: P stays whole, with the sign 0 if all are 0;
* both signs: P falls into P+ = P and {z > 0}, P- and P0, which has one dimension less. The boundary of P+ consists of
  the faces of P with z >= 0, those that are cut giving their own plus part, and of P0. The boundary of P0 consists of
  the zero parts of the faces of P that are cut and of the faces Q of faces F of P with z = 0 on Q and z > 0 on F.

For the last sentence: where {z = 0} meets a face F of P in a set of dimension dim P - 2, it either cuts F or holds a
face Q of F. Then Q is in two faces of P, one with z > 0 and one with z < 0: were both on one side, {z = 0} would meet P
next to Q in nothing else. So every Q is found once.

No linear program is solved: vertices are evaluated, the rest is bookkeeping. A vertex is (p_1, ..., p_d, q), integers
that mean p / q; on an edge from a to b with z(a) > 0 > z(b) in units that both share, the new vertex is
z(a) b - z(b) a, and the other arguments of the layer are interpolated by the same combination.

The number of cells is what limits it: about a million of them a minute.
"""

from __future__ import annotations

import itertools

import numpy as np
from flint import fmpq, fmpz, fmpz_mat
from numpy.typing import NDArray

from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.bends import BendingForms
from epsnet.core.cells import Cells, Lists, cell_boundary, cell_signs, homogeneous
from epsnet.core.network import Network

MAX_DIMENSION = 8
MAX_CELLS = 2_000_000

Integers = NDArray[np.int64]
Signs = NDArray[np.int8]

_PLUS, _MINUS, _BOTH = 1, 2, 3


def exact_cells(network: Network, box: Box, *, level: Real | None = None) -> Cells:
    """Return all cells of a network on a box.

    Args:
        network: piecewise linear; neurons may be dead, equal or parallel, and arguments 0 on whole cells.
        box: with a side for each input, at most 8.
        level: cut also where the only output equals this number.

    Raises:
        DomainError: the box does not fit the network or has too many dimensions, or a level is given for several
            outputs.
        HypothesisError: the network is not piecewise linear, or has more than 2,000,000 cells.
    """
    forms = BendingForms(network, box, None if level is None else exact(level, "level"))
    if box.dimension > MAX_DIMENSION:
        raise DomainError(f"The box has {box.dimension} dimensions. Give at most {MAX_DIMENSION}, such as a slice.")
    faces = _Faces(box.dimension)
    # In the order of binary numbers, as the faces of the cube, the first coordinate counting most.
    corners = itertools.product(*zip(box.lower, box.upper, strict=True))
    points = homogeneous([[fmpq(x.numerator, x.denominator) for x in corner] for corner in corners])
    signs = _signs(forms.values(fmpz_mat(points).transpose())[: 2 * box.dimension])
    for number, (start, stop) in enumerate(itertools.pairwise([*forms.starts, len(forms.scales)]), start=1):
        if start == stop:
            continue
        depth = number if number <= len(network.layers) else None
        rows = forms.values(fmpz_mat(points).transpose(), layers=depth)[start:stop]
        # Each vertex carries the columns of this layer that are still to come, in units of its own q.
        values = [[*point, *own] for point, own in zip(points, zip(*reversed(rows), strict=True), strict=True)]
        for _ in rows:
            heights = [row.pop() for row in values]
            column = _signs([heights])[:, 0]
            high, low = faces.cut(column)
            values.extend(
                _crossing(values[a], heights[a], values[b], -heights[b], box.dimension)
                for a, b in zip(high, low, strict=True)
            )
            between = np.where(signs[high] != 0, signs[high], signs[low])
            own = np.concatenate([column, np.zeros(len(high), np.int8)])
            signs = np.column_stack([np.concatenate([signs, between]), own])
        points = values
    vertices = tuple(tuple(fmpq(p, point[-1]) for p in point[:-1]) for point in points)
    lists = faces.lists()
    return Cells(vertices, cell_signs(signs, lists), cell_boundary(len(vertices), lists))


def _signs(rows: list[list[fmpz]]) -> Signs:
    """Return the signs of K rows of n integers, as (n, K)."""
    return np.array([[(z > 0) - (z < 0) for z in row] for row in rows], dtype=np.int8).T


def _crossing(a: list[fmpz], above: fmpz, b: list[fmpz], below: fmpz, dimension: int) -> list[fmpz]:
    """Return the point between a and b, with its other values, where a function is 0 that is above > 0 > -below."""
    row = [above * y + below * x for x, y in zip(a, b, strict=True)]
    # The values are integer combinations of the d + 1 coordinates, so what divides these divides all.
    common = fmpz(0)
    for x in row[: dimension + 1]:
        common = common.gcd(x)
    return [x // common for x in row]


class _Faces:
    """Which cells lie in the boundary of which: for k = 1, ..., d pairs (k-cell, (k-1)-cell) in two arrays.

    Attributes:
        counts: the number of cells of each dimension 0, ..., d.
        pairs: the pairs for each dimension; empty for 0.
    """

    def __init__(self, dimension: int) -> None:
        """Start with the faces of a cube: words in 0, 1 and 2, where 2 stands for the whole side."""
        numbers: dict[tuple[int, ...], int] = {}
        self.counts = [0] * (dimension + 1)
        for word in itertools.product(range(3), repeat=dimension):
            free = word.count(2)
            numbers[word] = self.counts[free]
            self.counts[free] += 1
        found: list[list[tuple[int, int]]] = [[] for _ in self.counts]
        for word, number in numbers.items():
            for place in (i for i, letter in enumerate(word) if letter == 2):
                for end in (0, 1):
                    side = (*word[:place], end, *word[place + 1 :])
                    found[word.count(2)].append((number, numbers[side]))
        self.pairs = [np.array(part, dtype=np.int64).reshape(-1, 2).T for part in found]

    def cut(self, column: Signs) -> tuple[Integers, Integers]:
        """Cut all cells by a function with these signs at the vertices.

        Returns:
            The ends of the edges that are cut, those with sign 1 and those with sign -1; the new vertices on them are
            numbered behind the old ones in this order.
        """
        if not ((column > 0).any() and (column < 0).any()):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        top = len(self.counts)
        sides: list[Integers] = [np.where(column > 0, _PLUS, 0) + np.where(column < 0, _MINUS, 0)]
        for k in range(1, top):
            side = np.zeros(self.counts[k], dtype=np.int64)
            cell, face = self.pairs[k]
            for bit in (_PLUS, _MINUS):
                side[cell[(sides[k - 1][face] & bit) > 0]] |= bit
            sides.append(side)
        both = [np.flatnonzero(side == _BOTH) for side in sides]
        # The plus part keeps the number of the cell; the minus parts of k-cells and then the zero parts of (k+1)-cells
        # are new k-cells.
        minus, zero = [np.zeros(count, dtype=np.int64) for count in self.counts], [np.zeros(0, dtype=np.int64)]
        counts = list(self.counts)
        for k in range(top):
            minus[k][both[k]] = counts[k] + np.arange(len(both[k]))
            counts[k] += len(both[k])
            if k + 1 < top:
                zero.append(np.zeros(self.counts[k + 1], dtype=np.int64))
                zero[k + 1][both[k + 1]] = counts[k] + np.arange(len(both[k + 1]))
                counts[k] += len(both[k + 1])
        if sum(counts) > MAX_CELLS:
            raise HypothesisError(f"There are more than {MAX_CELLS:,} cells. Use a smaller box or a slice.")
        cell, face = self.pairs[1]
        ends = []
        for sign in (_PLUS, _MINUS):
            end = np.zeros(self.counts[1], dtype=np.int64)
            there = sides[0][face] == sign
            end[cell[there]] = face[there]
            ends.append(end[both[1]])
        self.pairs = [self.pairs[0], *(self._cut_pairs(k, sides, both, minus, zero) for k in range(1, top))]
        self.counts = counts
        return ends[0], ends[1]

    def _cut_pairs(
        self, k: int, sides: list[Integers], both: list[Integers], minus: list[Integers], zero: list[Integers]
    ) -> Integers:
        """Return the pairs of dimension k after a cut; `pairs` are still those before it."""
        cell, face = self.pairs[k]
        whole, side = sides[k][cell] != _BOTH, sides[k - 1][face]
        above, below = whole | ((side & _PLUS) > 0), ~whole & ((side & _MINUS) > 0)
        lower = np.where(side == _BOTH, minus[k - 1][face], face)[below]
        parts = [
            (cell[above], face[above]),
            (minus[k][cell[below]], lower),
            (both[k], zero[k][both[k]]),
            (minus[k][both[k]], zero[k][both[k]]),
        ]
        if k + 1 < len(sides):
            above_cell, above_face = self.pairs[k + 1]
            cut = sides[k + 1][above_cell] == _BOTH
            through = cut & (sides[k][above_face] == _BOTH)
            parts.append((zero[k + 1][above_cell[through]], zero[k][above_face[through]]))
            beside = cut & (sides[k][above_face] == _PLUS)
            on = sides[k - 1][face] == 0
            owner, ridge = _joined(above_face[beside], above_cell[beside], cell[on], face[on])
            parts.append((zero[k + 1][owner], ridge))
        return np.array([np.concatenate(column) for column in zip(*parts, strict=True)])

    def lists(self) -> list[Lists]:
        """Return the faces of the cells of dimension 1, ..., d, increasing."""
        result = []
        for count, pairs in zip(self.counts[1:], self.pairs[1:], strict=True):
            cell, face = pairs[:, np.lexsort(pairs[::-1])]
            result.append((np.bincount(cell, minlength=count), face))
        return result


def _joined(keys: Integers, values: Integers, others: Integers, results: Integers) -> tuple[Integers, Integers]:
    """Return (value, result) for each pair of an equal key and other."""
    order = np.argsort(others, kind="stable")
    others, results = others[order], results[order]
    first, last = np.searchsorted(others, keys, side="left"), np.searchsorted(others, keys, side="right")
    count = last - first
    place = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
    return np.repeat(values, count), results[place]
