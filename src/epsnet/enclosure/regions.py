r"""The activation regions of a polyhedral complex: signs, points, affine maps, neighbors, and the linear regions.

Each region has one lowest vertex v, and there it is a choice of an edge that goes up off each of the d zero sets of v.
So the regions are listed from the vertices alone. A facet between two regions is listed in the same way, with one zero
set that is kept, and its two regions are found by the sums of random numbers of `complex_cut`, which no two regions
share.

A *linear region* is a largest connected union of regions, joined through facets, on which the network is one affine
function. Two maps count as equal when they differ by at most 2^-36 of the largest entry of all maps: an estimate.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError
from epsnet.enclosure.bend_values import Floats, Integers, blocks
from epsnet.enclosure.complex import Complex, point_signs
from epsnet.enclosure.complex_cut import Signs, Words, column_codes, degenerate

_BLOCK = 1 << 22
_EQUAL = 2.0**-36


@dataclass(frozen=True, eq=False)
class Regions:
    """The activation regions of a complex, numbered by their lowest vertices.

    Attributes:
        complex: the complex.
        lowest: (R,), the lowest vertex of each region.
        sides: (R, d), on which side of the zero sets of that vertex the region lies: 1 or -1.

    Example:
        >>> from epsnet import Box, Network
        >>> from epsnet.enclosure.complex import polyhedral_complex
        >>> cross = Network.from_layers([([[1.0, 0.0], [0.0, 1.0]], [0.25, 0.5]), ([[1.0, 1.0]], [0.0])])
        >>> found = regions(polyhedral_complex(cross, Box([-1, -1], [1, 1])))
        >>> len(found), found.linear_regions()[0], found.locate([[0.9, -0.9]]) == found.locate([[0.5, -0.6]])
        (4, 4, array([ True]))
    """

    complex: Complex
    lowest: Integers
    sides: Signs

    def __len__(self) -> int:
        return len(self.lowest)

    def signs(self, numbers: Integers | None = None) -> Signs:
        """Return the signs (R, K) of the columns on the regions, or on some of them: 1 or -1."""
        numbers = np.arange(len(self)) if numbers is None else numbers
        found = self.complex.signs(self.lowest[numbers])
        np.put_along_axis(found, self.complex.vertex_zeros[self.lowest[numbers]], self.sides[numbers], axis=1)
        return found

    def points(self) -> Floats:
        """Return a point (R, d) inside each region: the mean of its lowest vertex and the next ones along its edges."""
        own = self.complex.stars[self.lowest[:, None], np.arange(self.complex.dimension), (1 - self.sides) // 2]
        ends = self.complex.edges[own]
        upper = np.where(ends[:, :, 0] == self.lowest[:, None], ends[:, :, 1], ends[:, :, 0])
        corners = np.concatenate([self.lowest[:, None], upper], axis=1)
        return self.complex.vertices[corners].mean(axis=1)

    def affine_maps(self, numbers: Integers | None = None) -> tuple[Floats, Floats]:
        """Return A (R, m, d) and b (R, m) of the network x -> A x + b on the regions, or on some of them."""
        numbers = np.arange(len(self)) if numbers is None else numbers
        d, outputs = self.complex.dimension, self.complex.network.outputs
        slope, offset = np.empty((len(numbers), outputs, d)), np.empty((len(numbers), outputs))
        for part in blocks(len(numbers), self._block):
            signs = self.signs(numbers[part])[:, 2 * d :]
            slope[part], offset[part] = self.complex.values.affine(signs, d, len(self.complex.network.layers))
        return slope, offset

    def neighbors(self) -> tuple[Integers, Integers]:
        """Return the pairs (F, 2) of regions with a common facet, and the column (F,) that is 0 on it.

        The first region of a pair lies on the negative side.
        """
        pairs, columns = [], []
        order, codes = self._order
        for q in range(self.complex.dimension):
            inner = self.complex.vertex_zeros[:, q] >= 2 * self.complex.dimension
            vertices, sides = _choices(self.complex.rising[inner], keep=q)
            vertices = np.flatnonzero(inner)[vertices]
            found = []
            for side in (-1, 1):
                sides[:, q] = side
                found.append(order[np.searchsorted(codes, self._codes(vertices, sides))])
            pairs.append(np.stack(found, axis=1))
            columns.append(self.complex.vertex_zeros[vertices, q])
        return np.concatenate(pairs), np.concatenate(columns)

    def linear_regions(self) -> tuple[int, Integers]:
        """Return the number of linear regions and the one (R,) that each activation region belongs to. ESTIMATED."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        slope, offset = self.affine_maps()
        maps = np.concatenate([slope, offset[:, :, None]], axis=2)
        pairs, _ = self.neighbors()
        scale = np.abs(maps).max()
        same = np.empty(len(pairs), dtype=bool)
        for part in blocks(len(pairs), self._block):
            a, b = pairs[part].T
            same[part] = (np.abs(maps[a] - maps[b]) <= _EQUAL * scale).all(axis=(1, 2))
        a, b = pairs[same].T
        graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(len(self), len(self)))
        count, labels = connected_components(graph, directed=False)
        return int(count), labels.astype(np.int64)

    def locate(self, points: ArrayLike) -> Integers:
        """Return the region (n,) of each point (n, d); a point on a zero set counts to the negative side.

        -1 marks points outside the domain, or so close to a vertex that rounding gives them the signs of no region.
        """
        x = np.asarray(points, dtype=np.float64)
        d = self.complex.dimension
        if x.ndim != 2 or x.shape[1] != d or np.isnan(x).any():
            raise DomainError(f"The points have the shape {x.shape}. Give one row of {d} numbers for each point.")
        box = self.complex.box
        low, high = (np.array([float(end) for end in ends]) for ends in (box.lower, box.upper))
        order, codes = self._order
        found = np.full(len(x), -1, dtype=np.int64)
        inside = np.flatnonzero((((low <= x) & (x <= high)) | self.complex.unbounded).all(axis=1))
        numbers = column_codes(self.complex.columns)[2 * d :, 1]
        for part in blocks(len(inside), self._block):
            own = inside[part]
            code = np.where(point_signs(self.complex.values, x[own]) < 0, numbers, 0).sum(axis=1, dtype=np.uint64)
            place = np.minimum(np.searchsorted(codes, code), len(codes) - 1)
            found[own] = np.where(codes[place] == code, order[place], -1)
        return found

    @property
    def _block(self) -> int:
        return max(64, _BLOCK // (self.complex.columns * (self.complex.dimension + 1)))

    @functools.cached_property
    def _order(self) -> tuple[Integers, Words]:
        """The regions by rising code, and their codes."""
        codes = self._codes(self.lowest, self.sides)
        order = np.argsort(codes)
        codes = codes[order]
        if (codes[1:] == codes[:-1]).any():
            raise degenerate("Two regions have the same signs.")
        return order, codes

    @functools.cached_property
    def _vertex_codes(self) -> Words:
        """The codes of the signs that are not 0 at each vertex."""
        numbers = column_codes(self.complex.columns)[:, 1]
        found = np.empty(len(self.complex.vertices), dtype=np.uint64)
        for part in blocks(len(found), self._block):
            signs = self.complex.signs(np.arange(part.start, part.stop))
            found[part] = np.where(signs < 0, numbers, 0).sum(axis=1, dtype=np.uint64)
        return found

    def _codes(self, vertices: Integers, sides: Signs) -> Words:
        numbers = column_codes(self.complex.columns)[self.complex.vertex_zeros[vertices], 1]
        return self._vertex_codes[vertices] + np.where(sides < 0, numbers, 0).sum(axis=1, dtype=np.uint64)


def regions(complex: Complex) -> Regions:
    """List the activation regions of a complex."""
    return Regions(complex, *_choices(complex.rising))


def _choices(rising: NDArray[np.bool_], keep: int | None = None) -> tuple[Integers, Signs]:
    """Return rows of `rising` (V, d, 2) and (n, d) sides: all choices of an edge that goes up off each zero set.

    For the zero set `keep` no edge is chosen; its side is 0.
    """
    d = rising.shape[1]
    vertices, sides = [], []
    for choice in itertools.product((0, 1), repeat=d if keep is None else d - 1):
        places = [q for q in range(d) if q != keep]
        found = np.flatnonzero(rising[:, places, list(choice)].all(axis=1))
        side = np.zeros((len(found), d), dtype=np.int8)
        side[:, places] = 1 - 2 * np.array(choice, dtype=np.int8)
        vertices.append(found)
        sides.append(side)
    return np.concatenate(vertices), np.concatenate(sides)
