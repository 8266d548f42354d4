r"""Rule `cells`: a list of cells is complete, so it counts the regions of a network on a box, generic or not.

The columns c_1, ..., c_K and their signs are those of `core.bends`; D is the box, of dimension d. For s in {-1, 0, 1}^K
let C(s) = {x in D: sign c_j(x) = s_j for all j}, and P(s) = {x in D: sign c_j(x) in {0, s_j} for all j}. A *cell* of
the network is a C(s) that is not empty; t <= s means that t_j is 0 or s_j for all j.

(A) P(s) is a polytope on which all columns are affine: with the signs of the neurons of the layers before restricted
to 0 or one side, which holds on a polytope by induction, the outputs of these neurons and so the arguments of the next
layer are affine there, and s restricts them to half-spaces and hyperplanes. P(s) is the disjoint union of the C(t) with
t <= s; these are its subsets with a given set of tight inequalities. So if C(s) is not empty, it is the relative
interior of P(s), and the faces of P(s) are the P(t) with t <= s and C(t) not empty. If the sign vectors of some points
have a supremum s, the points lie in P(s), and their mean, by affinity, in C(s): it is not empty.

**Theorem.** Let finitely many points of D, the *vertices*, be given, and for k = 1, ..., d a list of *k-cells*, each
with a nonempty set of (k-1)-cells, its *boundary*; the vertices are the 0-cells. V(sigma) is the set of vertices of
sigma: those of its boundary. Let

1. no column be positive at one vertex of a cell and negative at another, so that s(sigma) = sup of the sign vectors of
   V(sigma) is defined, and let these sign vectors be all different;
2. every 1-cell have two vertices, and for k >= 2 every (k-2)-cell be in an even number of cells of the boundary of
   each k-cell;
3. every k-cell with k < d be in the boundary of some (k+1)-cell;
4. there be at least one d-cell, and every (d-1)-cell in an odd number of boundaries of d-cells lie in a side of D.

Then sigma -> C(s(sigma)) is a bijection between the k-cells and the cells of the network of dimension k, for every k,
and the boundary of sigma consists of the facets of P(s(sigma)).

*Proof.* Chains are polyhedral with coefficients mod 2: sums of convex polytopes of dimension k, where subdividing
changes nothing and polytopes of lower dimension are 0. A k-chain in an affine space of dimension k is thus a
polyhedral set up to null sets, and in one of smaller dimension it is 0. The boundary of a bounded k-chain is 0 only
for the chain 0 if it lies in an affine space of dimension k >= 1. The cone p * z from a point p over a cycle z (an
even number of points for k = 0) has boundary z.

(B) For a k-cell sigma the dimension of P(s(sigma)) is at most k: this holds for k = d, and if it holds for sigma, it
does for all tau in its boundary. For V(tau) is in V(sigma), so s(tau) <= s(sigma), and by 1 some s_j(tau) is 0 where
s_j(sigma) is not; so P(s(tau)) is in {c_j = 0}, which does not hold all of P(s(sigma)), where c_j is affine.

(C) Put [v] = v for a vertex, and [sigma] = p * (sum of [tau], tau in the boundary of sigma), p in V(sigma). By 2 and
induction the sum is a cycle, and the boundary of [sigma] is sum [tau]. The chain [sigma] lies in the convex hull of
V(sigma), and that in P(s(sigma)), which is convex by (A) and holds V(sigma) by 1. And [sigma] is not 0: let this be
true for k-1. Then P(s(tau)) has dimension k-1 by (B) for all (k-1)-cells tau, so P(s(tau)) without C(s(tau)) is a null
set, and almost all of [tau] lies in C(s(tau)). These are disjoint for different tau by 1, so the sum of [tau] over the
nonempty boundary of sigma, which is the boundary of [sigma], is not 0. (For k = 1: two vertices with different signs
are two points.) So dim P(s(sigma)) = k, and almost all of [sigma] lies in C(s(sigma)).

(D) Let T be the sum of [sigma] over all d-cells. By (C) and 4 it is not 0, and its boundary lies in that of D by 4. So
T, a set up to null sets, is all of D or nothing, thus D. So the closed sets P(s(sigma)) cover D, and almost every
point of D lies in some C(s(sigma)). A cell C(t) of dimension d is no null set, so it meets one of those, and equals
it. Conversely C(s(sigma)) has dimension d by (C), and different sigma give different ones by 1. So the d-cells are
right, and [sigma] = P(s(sigma)) up to null sets.

(E) Now let the k-cells be right, with [sigma] = P(s(sigma)). Comparing boundaries, sum [tau] over the boundary of
sigma is the sum of the facets of P(s(sigma)). Almost all of [tau] lies in C(s(tau)) and in facets; so C(s(tau)) meets
a facet P(t), thus s(tau) <= t by (A), and as both have dimension k-1 by (C), s(tau) = t. As different tau give
different facets, [tau] = P(s(tau)), and every facet occurs. A cell of the network of dimension k-1 < d is in the
closure of one of dimension d (these are dense), hence a face of it, hence a facet of one of dimension k. So all cells
of dimension k-1 are listed, and by 3 every (k-1)-cell is one of them, with [tau] = P(s(tau)). QED.

**Linear regions** are the connected components of the open set U of points inside D near which the network is affine.
Without the cells of dimension <= d-2 these stay connected, so they are the classes of d-cells linked by (d-1)-cells in
U; and a (d-1)-cell between two d-cells is in U if the gradients on both sides agree, and else outside.

The signs of neurons that are 0 on a whole d-cell do not matter for the number of regions: two cells of dimension d
differ first, layer by layer, in a column that is affine around both and not 0 on either.

Witness: `points`, the text of the integers p_1, ..., p_d, q of every vertex p / q, hexadecimal; `counts`, the number
of k-cells for k = 1, ..., d; `sizes`, the number of faces of each of these cells; `faces`, their numbers, increasing.
"""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpz_mat
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.rule import Context, Verdict
from epsnet.core.bends import BendingForms
from epsnet.core.cells import HYPOTHESES, Cells, Lists, cell_boundary, cell_signs
from epsnet.core.complex import counted_dimension, require_affordable
from epsnet.core.linear_regions import linear_regions
from epsnet.core.network import Network

MAX_INCIDENCES = 20_000_000
"""The most pairs of a cell and one of its faces, faces of faces, or vertices."""

MAX_SIGNS = 2 * 10**8
"""The most signs of vertices and faces."""

MAX_TEXT = 200_000_000
"""The most characters of all coordinates."""

MAX_NUMBERS = 5_000_000
"""The most coordinates, and the most outputs at vertices."""

_CHUNK = 2**22

Integers = NDArray[np.int64]


_linear_regions = functools.lru_cache(maxsize=1)(linear_regions)


def check(context: Context) -> Verdict:
    """Check the number of cells of one dimension, of activation regions or of linear regions on a box."""
    claim, network, domain = context.claim, context.network, context.domain()
    context.states(claim.quantity, "==", network=True)
    cells = read_cells(context)
    if claim.quantity == "linear regions":
        few = len(cells.vertices) * network.outputs <= MAX_NUMBERS
        context.require(few, "There are too many outputs. Count the regions of some of them.")
        count = _linear_regions(network, domain, cells)
    else:
        count = cells.f_vector()[counted_dimension(claim.quantity, domain.dimension)]
    context.require(claim.limit == count, f"There are {count} of them. State that.")
    return Verdict(Kind.PROVED, HYPOTHESES)


def read_cells(context: Context, level: Fraction | None = None) -> Cells:
    """Return the cells of the witness: all cells of the network on the domain of the claim.

    Args:
        context: the claim, with a domain, about a network.
        level: if given, the only output minus this number is the last column.

    Raises:
        CheckError: the hypotheses of the theorem do not hold, or there is too much to check.
    """
    text, *arrays = (context.array(name, "i") for name in ("points", "counts", "sizes", "faces"))
    few = len(text) <= MAX_TEXT and int((text <= ord(" ")).sum()) < MAX_NUMBERS
    _require(text.dtype == np.int8 and few, "The points are no text, or too many.")
    content = (array.astype(np.int64).tobytes() for array in arrays)
    return _read(context.network, context.domain(), level, text.tobytes(), *content)


@functools.lru_cache(maxsize=1)
def _read(
    network: Network, box: Box, level: Fraction | None, points: bytes, counts: bytes, sizes: bytes, faces: bytes
) -> Cells:
    """Return the cells of a witness; kept, because a certificate claims one number after the other."""
    words = points.split()
    dimension = box.dimension
    vertices, rest = divmod(len(words), dimension + 1)
    _require(rest == 0, "A point does not have a coordinate for each dimension.")
    bits = require_affordable(network, box, vertices)
    _require(max(map(len, words)) <= bits // 4 + 2, "A coordinate is too long for a vertex of this network.")
    numbers = [int(word, 16) for word in words]
    rows = [numbers[start : start + dimension + 1] for start in range(0, len(numbers), dimension + 1)]
    _require(all(row[-1] > 0 for row in rows), "A denominator is not positive.")
    lists = _lists(dimension, vertices, *(np.frombuffer(part, dtype=np.int64) for part in (counts, sizes, faces)))
    forms = BendingForms(network, box, level)
    incidences = vertices + sum(len(numbers) for _, numbers in lists)
    _require(incidences * len(forms.scales) <= MAX_SIGNS, "There are too many signs.")
    signs = cell_signs(_signs(forms, rows), lists)
    _require(bool((signs[0][:, : 2 * dimension] >= 0).all()), "A vertex lies outside of the box.")
    different = {sign.tobytes() for part in signs for sign in part}
    _require(len(different) == sum(map(len, signs)), "Two cells have the same signs.")
    _require_closed(lists)
    odd = np.bincount(lists[-1][1], minlength=len(signs[-2])) % 2 == 1
    _require(bool((signs[-2][odd, : 2 * dimension] == 0).any(axis=1).all()), "The cells do not fill the box.")
    exact = tuple(tuple(fmpq(p, row[-1]) for p in row[:-1]) for row in rows)
    return Cells(exact, signs, cell_boundary(vertices, lists))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckError(f"{message} Subdivide anew.")


def _lists(dimension: int, vertices: int, counts: Integers, sizes: Integers, faces: Integers) -> list[Lists]:
    """Return the boundaries for dimension 1, ..., d: numbers of cells one dimension below, increasing, at least one."""
    _require(len(counts) == dimension and bool((counts > 0).all()), "There are no cells of some dimension.")
    small = len(faces) <= MAX_INCIDENCES and max(counts.max(), sizes.max(initial=0)) <= MAX_INCIDENCES
    _require(small and bool((sizes > 0).all()), "A number of faces is out of range.")
    _require(counts.sum() == len(sizes) and sizes.sum() == len(faces), "The faces do not fit their number.")
    own = np.split(sizes, np.cumsum(counts)[:-1])
    lists = list(zip(own, np.split(faces, np.cumsum([part.sum() for part in own])[:-1]), strict=True))
    below = vertices
    for part, numbers in lists:
        _require(bool(((numbers >= 0) & (numbers < below)).all()), "A face has a number out of range.")
        _require(bool(np.bincount(numbers, minlength=below).all()), "A cell is in no boundary.")
        first = np.zeros(len(numbers), dtype=bool)
        first[np.cumsum(part)[:-1]] = True
        _require(bool((first[1:] | (np.diff(numbers) > 0)).all()), "The faces of a cell are not increasing.")
        below = len(part)
    return lists


def _signs(forms: BendingForms, rows: list[list[int]]) -> NDArray[np.int8]:
    """Return the sign vectors of the vertices."""
    parts, step = [], 1 + _CHUNK // forms.width
    for start in range(0, len(rows), step):
        values = forms.values(fmpz_mat(rows[start : start + step]).transpose())
        parts.append(np.array([[(z > 0) - (z < 0) for z in row] for row in values], dtype=np.int8).T)
    return np.concatenate(parts)


def _below(owners: Integers, numbers: Integers, lists: Lists) -> tuple[Integers, Integers]:
    """Return (owner, face) for each face of each of the cells that the owners have."""
    sizes, faces = lists
    count = sizes[numbers]
    _require(int(count.sum()) <= MAX_INCIDENCES, "There are too many faces of faces.")
    starts = np.cumsum(sizes) - sizes
    place = np.repeat(starts[numbers] - np.cumsum(count) + count, count) + np.arange(count.sum())
    return np.repeat(owners, count), faces[place]


def _require_closed(lists: list[Lists]) -> None:
    """Require two vertices for each edge, and faces of faces to cancel mod 2."""
    _require(bool((lists[0][0] == 2).all()), "An edge does not have two ends.")
    for below, (sizes, faces) in itertools.pairwise(lists):
        owner, face = _below(np.repeat(np.arange(len(sizes)), sizes), faces, below)
        keys = np.sort(owner * MAX_INCIDENCES + face)
        closed = len(keys) % 2 == 0 and bool((keys[::2] == keys[1::2]).all())
        _require(closed, "The boundary of a cell is not closed.")
