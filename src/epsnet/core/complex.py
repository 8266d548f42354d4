r"""The cells of a piecewise-linear network, counted from its vertices in exact arithmetic.

The columns, sign vectors and cells are those of `core.bends`; d is the dimension, D the box. Here a list entry is a
sign vector of which exactly d signs are 0. At an entry, one of its d zeros may be moved to + or, unless its column is a
side of the box, to -; the sign vector that results is called an *edge* at the entry.

**Theorem.** Let S be a nonempty list of different entries such that (1) each is the sign vector of a point of D at
which the d affine functions of its zeros (taken left of their kinks) are linearly independent, and (2) each sign vector
that is an edge at some entry is one at exactly two of them. Then S is the list of all vertices of the complex on D.

*Proof.* (a) Let t be the sign vector of a nonempty cell T and A_j the affine functions that the columns are on it. Then
T = {x : sign A_j(x) = t_j for all j}, layer by layer: at a point x of the right-hand side the signs of the first layer
are t's, so the outputs of that layer are those of T, and so on. Hence the closure of T is the polytope P of all x with
t_j A_j(x) >= 0, and = 0 where t_j = 0. Let F be a face of P. On its relative interior every A_j vanishes everywhere or
nowhere, so it lies in one cell, with signs s_j in {0, t_j}. That cell is not larger: at a point with the signs s every
neuron with s_i = 0 < |t_i| has the output 0, as on T's side of its kink, so all columns have the values A_j there and
the point lies in F. So the faces of closed cells are closed cells: the closed cells are a polyhedral complex.

(b) Its graph of vertices and edges is connected. That of a polytope is (the simplex method walks from any vertex to a
given one along edges); any two cells of dimension d are linked by a chain of such cells in which neighbors share a
facet, for D without all cells of dimension <= d - 2 is connected; and neighbors share the vertices of their facet.

(c) Let v be a point as in (1) with zero columns Z, and choose a sign r_j in {-, 0, +} for each j in Z (not - for a side
of the box). Let A_j^r be the affine functions of Z with the neurons of Z on the sides r of their kinks and the others
on the sides that v has. To change the side of a neuron i adds multiples of A_i^r to columns of later layers only, so
the A_j^r arise from those of (1) by a triangular matrix with ones on the diagonal: they are independent too. So there
is a vector w with A_j^r(v + w) = r_j for j in Z, and for small e > 0 the point v + e w has the signs r on Z, layer by
layer, and the signs of v elsewhere. Every point of D near v has signs of this kind. So the cells around v are exactly
those of these choices, each of the dimension of its number of nonzero r_j, and the edges of the complex at v are the
edges above.

(d) Let v in S and let e be an edge at v. By (c) it is a cell of dimension 1 and by (a) its closure is a segment between
two vertices of the complex, v and w. At v no other choice gives the signs of e, so by (2) e is an edge at another entry
v' of S, which is another point and by (c) an end of e: v' = w. So S is closed under walking along edges, and by (b) it
holds all vertices. QED.

**Counting.** Order the vertices lexicographically by their coordinates; for the finitely many of them this is the order
of some linear functional, constant along no edge. So each closed cell has one lowest vertex v, and all its edges at v
go up; and a choice of cell at v all of whose edges go up has v as its lowest vertex, since a polytope lies in the cone
of its edges at v. By (c) the cells of dimension k with the lowest vertex v are counted by the elementary symmetric
polynomial e_k(u_1, ..., u_d) of the numbers u_q in {0, 1, 2} of edges that go up when v leaves its q-th zero, and

$$ f_k = \sum_{v \in S} e_k\bigl(u_1(v), \dots, u_d(v)\bigr). $$

Cells inside D have no side of the box among their zeros: in their e_k the u_q of such zeros have to be factors.

The *linear regions* are the connected components of the open set U of points inside D near which the network is affine.
Without the cells of dimension <= d - 2 these stay connected, and near a point of a cell of dimension d - 1 inside D the
network is affine on either side. So the linear regions are the classes of d-cells linked by those (d - 1)-cells inside
D on whose two sides the gradients agree; with the rays below they are as many as those of R^d.

**All of R^d.** Let S be the list of all vertices for D, suppose that some v in S lies on no side of D, and that at
every v on exactly one side the edge through v that leaves D is a ray: for all neurons j with the sign s_j at v, s_j A_j
does not decrease along it. Then the complex on R^d has, in every dimension, as many cells as there are cells inside D.

*Proof.* (a) holds on R^d, with polyhedra P. No closed cell contains a line, for else none had a vertex: in a closed
cell of dimension d a line in the direction u keeps all signs, so all its A_j are constant along u; a cell on the other
side of a facet has the same values on the hyperplane of that facet, which contains the direction u, so its A_j are
constant along u too; and so on along chains of facets. So every closed cell has a vertex, and as in (b) the graph of
vertices and bounded edges is connected (the simplex method for functionals that are bounded above). Let the vertex v
lie inside D and be linked to the vertex w by a bounded edge e on R^d. If w were not inside D, e would meet the boundary
of D at a first point y. It is a vertex of the complex on D, so in S, so it has d zeros; so it is not w, where d neurons
and a side are 0, but inside e, where d - 1 neurons are 0, and on exactly one side. From y on e is a ray along which no
other column vanishes: there is no end w. So, from the v that is given, all vertices of R^d lie inside D. Every closed
cell has one of them and the cell comes arbitrarily close to it; so it meets the inside of D, in the one cell of the
complex on D that has the same signs. QED.

Sources: A. Berzins, Polyhedral complex extraction from ReLU networks using edge subdivision, ICML 2023 (sign vectors);
M. Masden, Algorithmic determination of the combinatorial structure of the linear regions of ReLU neural networks, 2022
(c); the counting is that of simple polytopes, G. Ziegler, Lectures on Polytopes, section 8.3, cell by cell.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm

import numpy as np
from flint import fmpq, fmpz, fmpz_mat
from numpy.typing import NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.core.bends import MAX_ENTRIES, BendingForms, bending, matrix_entries
from epsnet.core.homology import spanning_forest
from epsnet.core.linear_maps import Sparse
from epsnet.core.network import Layer, Network

Signs = NDArray[np.int8]
Integers = NDArray[np.int64]

MAX_DIMENSION = 16
MAX_EXPONENT = 900
MAX_VERTICES = 1_000_000
MAX_NUMBERS = 2**26
"""The most values of neurons at all vertices together."""
MAX_KEY_BYTES = 2**29
MAX_BITS = 20_000
"""The longest integers that the layers may multiply to."""
MAX_WORK = 10**11
"""The most products of 64-bit words: some minutes."""

_CHUNK = 2**19
"""Signs that are compared at once."""
_QUANTITY = re.compile(r"cells of dimension (0|[1-9]\d?)", re.ASCII)


def counted_dimension(quantity: str, dimension: int) -> int:
    """Return k of "cells of dimension k", d for "activation regions". CheckError for other quantities."""
    found = _QUANTITY.fullmatch(quantity)
    if quantity != "activation regions" and not (found and int(found[1]) <= dimension):
        raise CheckError("It does not count cells of a dimension that there is. Build it anew.")
    return int(found[1]) if found else dimension


def hypotheses(everywhere: bool) -> tuple[str, ...]:
    """Return what `vertex_list` checks, in words."""
    closed = "every vertex lies on d zero sets, independent there, and every edge at it has two ends in the list"
    return (closed, "every edge that leaves a box with all vertices inside is a ray") if everywhere else (closed,)


def wide_box(dimension: int, exponent: int) -> Box:
    """Return [-2^e, 2^e]^d. CheckError unless 0 <= e <= `MAX_EXPONENT` and d <= `MAX_DIMENSION`."""
    _require(dimension <= MAX_DIMENSION, f"At most {MAX_DIMENSION} inputs are counted. Use fewer.")
    _require(0 <= exponent <= MAX_EXPONENT, f"The box is wider than 2^{MAX_EXPONENT}. Use a smaller one.")
    return Box([-(2**exponent)] * dimension, [2**exponent] * dimension)


@dataclass(frozen=True, slots=True, eq=False)
class VertexList:
    """All vertices of the complex of a network on a box, confirmed.

    Attributes:
        network: piecewise linear.
        box: D.
        everywhere: whether the cells of R^d are meant, which are those inside D.
        signs: (V, K).
        zeros: the zero columns, (V, d), increasing.
        rising: (V, d, 2): whether the edge goes up on which a vertex leaves its q-th zero to the side +, -.
    """

    network: Network
    box: Box
    everywhere: bool
    signs: Signs
    zeros: Integers
    rising: NDArray[np.bool_]

    def f_vector(self) -> tuple[int, ...]:
        """Return (f_0, ..., f_d): how many cells of each dimension there are."""
        count, dimension = self.zeros.shape
        up = self.rising.sum(axis=2)
        stay = ~((self.zeros < 2 * dimension) & self.everywhere)
        symmetric = [np.ones(count, dtype=np.int64)] + [np.zeros(count, dtype=np.int64) for _ in range(dimension)]
        for q in range(dimension):
            for k in range(q + 1, 0, -1):
                symmetric[k] = symmetric[k] * stay[:, q] + symmetric[k - 1] * up[:, q]
            symmetric[0] = symmetric[0] * stay[:, q]
        return tuple(int(part.sum()) for part in symmetric)

    def linear_regions(self) -> int:
        """Return the number of linear regions. CheckError if there are too many cells."""
        *_, facets, count = self.f_vector()
        small = count * self.signs.shape[1] <= MAX_NUMBERS and facets <= 4 * MAX_VERTICES
        _require(small, "There are too many cells to compare the gradients. Use a smaller box or network.")
        require_affordable(self.network, self.box, count)
        regions = np.concatenate([signs for signs, _ in self._cells()])
        gradients = _gradients(self.network, self.box, regions)
        number = {row.tobytes(): index for index, row in enumerate(regions)}
        linked = []
        for kept in range(self.zeros.shape[1]):
            for signs, columns in self._cells(kept):
                sides = []
                for sign in (1, -1):
                    signs[np.arange(len(signs)), columns] = sign
                    sides.append([number[row.tobytes()] for row in signs])
                linked += [(a, b) for a, b in zip(*sides, strict=True) if gradients[a] == gradients[b]]
        return count - len(spanning_forest(count, linked))

    def _cells(self, kept: int | None = None) -> Iterator[tuple[Signs, Integers]]:
        """Yield the signs of all d-cells, in parts.

        With a number, yield those of the (d-1)-cells inside D whose lowest vertex stays on its zero of this number, and
        the column of that zero.
        """
        dimension = self.zeros.shape[1]
        moved = [q for q in range(dimension) if q != kept]
        allowed = np.ones(len(self.zeros), dtype=bool) if kept is None else self.zeros[:, kept] >= 2 * dimension
        # Zero after zero, so that only the sides are gone through to which a vertex has edges that go up.
        waiting: list[tuple[Integers, tuple[int, ...]]] = [(np.flatnonzero(allowed), ())]
        while waiting:
            vertices, sides = waiting.pop()
            if len(vertices) and len(sides) < len(moved):
                rising = self.rising[vertices, moved[len(sides)]]
                waiting += [(vertices[rising[:, side]], (*sides, side)) for side in (1, 0)]
            elif len(vertices):
                signs = self.signs[vertices]
                for q, side in zip(moved, sides, strict=True):
                    signs[np.arange(len(signs)), self.zeros[vertices, q]] = 1 - 2 * side
                yield signs, self.zeros[vertices, kept or 0]


def _gradients(network: Network, box: Box, regions: Signs) -> list[tuple[fmpz, ...]]:
    """Return the derivatives of all outputs on each d-cell, in units that all share."""
    dimension, outputs = network.inputs, network.outputs
    # With a layer of neurons that bend behind it, the outputs of the network are columns.
    places = np.arange(outputs)
    repeat = Sparse((outputs, outputs), places, places, np.ones(outputs))
    last = Layer(((len(network.layers), repeat),), np.zeros(outputs), ("abs",))
    forms = BendingForms(Network(dimension, (*network.layers, last)), box)
    found = []
    for part in _chunks(forms, len(regions)):
        own = np.repeat(regions[part], dimension, axis=0)
        axes = [[int(i % dimension == k) for i in range(len(own))] for k in range(dimension + 1)]
        rows = forms.values(fmpz_mat(axes), own.T.tolist())[-outputs:]
        entries = list(zip(*rows, strict=True))
        found += [tuple(itertools.chain(*entries[i : i + dimension])) for i in range(0, len(own), dimension)]
    return found


def vertex_list(network: Network, box: Box, signs: Signs, *, everywhere: bool = False) -> VertexList:
    """Confirm that all vertices of the complex of a network are listed.

    Args:
        network: piecewise linear, kinks at 0.
        box: D.
        signs: the sign vectors of the vertices of the complex on D, one after another, (V K,).
        everywhere: confirm also that the cells inside D are those of R^d.

    Raises:
        CheckError: the hypotheses of the theorem do not hold, or the numbers are too many or too long.
        DomainError, HypothesisError: the box does not fit the network, or a neuron is not piecewise linear.
    """
    dimension = box.dimension
    _require(matrix_entries(network) <= MAX_ENTRIES, "The network is too large for rationals. Use a smaller one.")
    columns = 2 * network.inputs + len(bending(network))
    _require(signs.size % columns == 0, "The list ends within a vertex. Build it anew.")
    signs = signs.reshape(-1, columns)
    require_affordable(network, box, len(signs))
    forms = BendingForms(network, box)
    _require(len(signs) * forms.width <= MAX_NUMBERS, "There are too many vertices. Use a smaller box or network.")
    zeros = _zeros(signs, dimension)
    (start, end), places, sides = _edges(signs, zeros, dimension)
    points = _points(forms, signs, zeros, everywhere)
    rises = np.array([points[a] < points[b] for a, b in zip(start.tolist(), end.tolist(), strict=True)])
    rising = np.zeros((*zeros.shape, 2), dtype=bool)
    rising[start, places[0], sides[0]] = rises
    rising[end, places[1], sides[1]] = ~rises
    return VertexList(network, box, everywhere, signs, zeros, rising)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckError(message)


def require_affordable(network: Network, box: Box, count: int) -> int:
    """Return how many bits the coordinates of a vertex may have. CheckError if `count` vertices are too much work."""
    d = box.dimension
    _require(d == network.inputs <= MAX_DIMENSION, f"At most {MAX_DIMENSION} inputs are counted. Use fewer.")
    _require(0 < count <= MAX_VERTICES, f"The list does not have 1 to {MAX_VERTICES} vertices. Build it anew.")
    entries = matrix_entries(network)
    _require(entries <= MAX_ENTRIES, "The network is too large for rationals. Use a smaller one.")
    bits = max(n.bit_length() for end in (*box.lower, *box.upper) for n in (end.numerator, end.denominator))
    for layer in network.layers:
        slopes = [slope for function in set(layer.functions()) for slope in function.slopes or ()]
        weights = [w for _, linear in layer.terms for w in linear.entries()[2]]
        bits += (1 + sum(linear.shape[1] for _, linear in layer.terms)).bit_length()
        for factors in ([*weights, *layer.bias_values()], slopes):
            clear, largest = 1, 1
            for number in (Fraction(factor) for factor in factors):
                clear, largest = lcm(clear, number.denominator), max(largest, ceil(abs(number)))
                long = bits + clear.bit_length() + largest.bit_length()
                _require(long <= MAX_BITS, "The weights are too long. Round them.")
            bits += clear.bit_length() + largest.bit_length()
    short, long = bits // 64 + 1, (d + 1) * (bits + 8) // 64 + 1
    work = count * (short * long * entries + d**3 * long**2)
    _require(work <= MAX_WORK, "There are too many vertices for such a network. Use a smaller box or network.")
    return 64 * long


def _zeros(signs: Signs, dimension: int) -> Integers:
    """Return the zero columns of each vertex, (V, d)."""
    sides = signs[:, : 2 * dimension]
    _require(bool(((signs >= -1) & (signs <= 1)).all() and (sides >= 0).all()), "A sign is none. Build them anew.")
    exact = bool(((signs == 0).sum(axis=1) == dimension).all())
    _require(exact, f"A vertex does not lie on exactly {dimension} zero sets. Subdivide exactly instead.")
    return np.nonzero(signs == 0)[1].reshape(len(signs), dimension)


def _edges(signs: Signs, zeros: Integers, dimension: int) -> tuple[Integers, Integers, Integers]:
    """Return of each edge both ends, which of its d zeros each leaves, and to which side, 0 for +; all (2, E)."""
    count, columns = signs.shape
    size = -(-columns // 4)
    _require(2 * zeros.size * size <= MAX_KEY_BYTES, "There are too many vertices. Use a smaller box or network.")
    padded = np.zeros((count, 4 * size), dtype=np.uint8)
    padded[:, :columns] = signs & 3
    shifts = np.array([1, 4, 16, 64], dtype=np.uint8)
    packed = (padded.reshape(count, size, 4) * shifts).sum(axis=2, dtype=np.uint8)
    _require(len(np.unique(packed, axis=0)) == count, "A vertex is listed twice. Build the list anew.")
    vertex, place = (side.ravel() for side in np.indices(zeros.shape))
    column = zeros.ravel()
    two_sided = column >= 2 * dimension
    vertex, place, column = (np.concatenate([part, part[two_sided]]) for part in (vertex, place, column))
    side = np.arange(len(column)) // zeros.size
    keys = packed[vertex]
    keys[np.arange(len(keys)), column // 4] |= np.array([1, 3], dtype=np.uint8)[side] * shifts[column % 4]
    whole = keys.view(np.dtype((np.void, size))).ravel()
    order = np.argsort(whole, kind="stable")
    keys = keys[order]
    same = (keys[1:] == keys[:-1]).all(axis=1)
    paired = len(keys) % 2 == 0 and bool(same[::2].all()) and not same[1::2].any()
    _require(paired, "An edge does not have exactly two ends in the list. Build it anew.")
    ends = order.reshape(-1, 2).T
    return vertex[ends], place[ends], side[ends]


def _points(forms: BendingForms, signs: Signs, zeros: Integers, everywhere: bool) -> list[tuple[fmpq, ...]]:
    """Return the coordinates of the vertices, each confirmed to have just the signs of the list."""
    d = forms.dimension
    points: list[tuple[fmpq, ...]] = [()] * len(signs)
    homogeneous: list[list[fmpz]] = [[]] * len(signs)
    rays: dict[int, list[fmpz]] = {}
    sided = (zeros < 2 * d).sum(axis=1)
    for vertices, rows in _groups(forms, signs, zeros):
        for v in vertices:
            own = [rows[column] for column in zeros[v]]
            # The second right-hand side: outward from the first zero column and along the others.
            right = [[-row[d], -int(everywhere and i == 0)] for i, row in enumerate(own)]
            try:
                solution = fmpz_mat([row[:d] for row in own]).solve(fmpz_mat(right)).tolist()
            except ZeroDivisionError:
                raise CheckError("The zero sets at a vertex are not independent. Subdivide exactly instead.") from None
            points[v] = tuple(row[0] for row in solution)
            homogeneous[v] = _integers([row[0] for row in solution])
            if everywhere and sided[v] == 1:
                rays[v] = _integers([row[1] for row in solution])
    for part in _chunks(forms, len(signs)):
        values = forms.values(fmpz_mat(homogeneous[part]).transpose())
        for row, own in zip(values, signs[part].T.tolist(), strict=True):
            _require([(z > 0) - (z < 0) for z in row] == own, "A vertex has other signs. Build the list anew.")
    if everywhere:
        _require(bool((sided == 0).any()), "The complex has no vertex. Count on a box instead.")
        _require_rays(forms, signs, rays)
    return points


def _groups(forms: BendingForms, signs: Signs, zeros: Integers) -> Iterator[tuple[list[int], list[list[fmpz]]]]:
    """Yield the vertices that share the affine functions of their zero columns, and these functions."""
    starts = np.array(forms.starts)
    depths = np.searchsorted(starts, zeros.max(axis=1), side="right")
    on = signs > 0
    on[:, : starts[0]] = False
    for depth in np.unique(depths).tolist():
        vertices = np.flatnonzero(depths == depth)
        _, group = np.unique(on[vertices, : starts[max(depth - 1, 0)]], axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        cuts = np.flatnonzero(np.diff(group.ravel()[order])) + 1
        for own in np.split(vertices[order], cuts):
            yield own.tolist(), forms.affine(signs[own[0]].tolist(), depth)


def _integers(vector: list[fmpq]) -> list[fmpz]:
    """Return (p_1, ..., p_d, q), q > 0, with vector = p / q."""
    q = fmpz(1)
    for value in vector:
        q = q.lcm(value.q)
    return [*(value.p * (q // value.q) for value in vector), q]


def _require_rays(forms: BendingForms, signs: Signs, rays: dict[int, list[fmpz]]) -> None:
    """Require that along the given vectors, from the vertices on, no neuron comes closer to its kink."""
    vectors, own, neurons = [[*ray[:-1], fmpz(0)] for ray in rays.values()], signs[list(rays)], 2 * forms.dimension
    for part in _chunks(forms, len(vectors)):
        sides = own[part].T.tolist()
        slopes = forms.values(fmpz_mat(vectors[part]).transpose(), sides)
        for row, side in zip(slopes[neurons:], sides[neurons:], strict=True):
            grows = all(s * z >= 0 for z, s in zip(row, side, strict=True))
            _require(grows, "An edge that leaves the box is not seen to be a ray. Use a larger box.")


def _chunks(forms: BendingForms, count: int) -> list[slice]:
    step = 1 + _CHUNK // forms.width
    return [slice(start, start + step) for start in range(0, count, step)]
