r"""The topology of what a piecewise-linear network says: Betti numbers of level sets and of decision regions, proved.

On the cells of the network, cut at the level too, {Phi <= t}, {Phi >= t} and {Phi = t} are unions of closed cells, and
b_k = n_k - rank d_k - rank d_{k+1} over GF(2) (`core.homology`). b_0 counts the connected components, b_1 independent
loops, b_{d-1} the holes that the set encloses. The cells are exact and all degeneracies are allowed: a level that is
attained at a vertex, on an edge or on a whole region is as good as any other.

A set is taken inside the box: a component that the box cuts in two counts as two, and a hole that opens on a side of
the box is none.

`persistence` gives the topology of all {Phi <= t} at once. The cells on which Phi <= t at all vertices are a
deformation retract of {Phi <= t}: on a polytope on which Phi is affine, what lies below t can be pushed down to the
faces below t. So entering each cell with its largest value at a vertex gives the exact persistence diagram, without any
grid.

Sources: H. Edelsbrunner, J. Harer, Computational Topology, 2010, chapters IV and VII; M. Bianchini, F. Scarselli, On
the complexity of neural network classifiers, IEEE Transactions on Neural Networks and Learning Systems 25 (2014)
1553-1565.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
from flint import fmpq, fmpz, fmpz_mat
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import round_up
from epsnet.checker.rules.betti import ahead, below, hypotheses, level_text, region_text
from epsnet.checker.rules.shallow_betti import QUANTITIES, hidden_kinks, most_vertices
from epsnet.core.bends import BendingForms
from epsnet.core.cells import Cells, witness
from epsnet.core.homology import SIGNS, Part, betti_numbers, coboundary, reduced, spanning_forest
from epsnet.core.network import Network
from epsnet.enclosure.subdivision import exact_cells

Interval = tuple[Fraction, Fraction | None]


@dataclass(frozen=True, slots=True)
class Topology:
    """The Betti numbers of a set in a box.

    Attributes:
        region: the set, as claims write it, e.g. "{Phi >= 0.5}".
        betti: b_0, ..., b_{d-1}; all others are 0.
        cells: the cells that the set consists of, among others.
        part: which of them: those on which the last sign is as `core.homology.SIGNS` says.
        certificate: for `check_certificate(network, certificate)`.
    """

    region: str
    betti: tuple[Bound, ...]
    cells: Cells
    part: Part
    certificate: Certificate

    @property
    def numbers(self) -> tuple[int, ...]:
        """The Betti numbers b_0, ..., b_{d-1}."""
        return tuple(int(bound.value) for bound in self.betti)

    def __str__(self) -> str:
        numbers = ", ".join(f"b_{k} = {number}" for k, number in enumerate(self.numbers))
        return f"{self.region} on {self.betti[0].domain}: {numbers}   {self.betti[0].kind.value}"

    def faces(self, dimension: int) -> list[NDArray[np.float64]]:
        """Return the vertices of each cell of this dimension in the set, (n, d), rounded: what pictures are made of.

        Those of polygons, the cells of dimension 2, come in cyclic order.
        """
        points = np.array([[float(x.p) / float(x.q) for x in vertex] for vertex in self.cells.vertices])
        kept = np.isin(self.cells.signs[dimension][:, -1], SIGNS[self.part])
        return [points[self._corners(dimension, number)] for number in np.flatnonzero(kept).tolist()]

    def _corners(self, dimension: int, number: int) -> list[int]:
        boundary = self.cells.boundary
        if dimension == 2:
            ends = [boundary[1][edge] for edge in boundary[2][number]]
            walk = list(ends.pop())
            while len(ends) > 1:
                place = next(i for i, pair in enumerate(ends) if walk[-1] in pair)
                a, b = ends.pop(place)
                walk.append(a if walk[-1] == b else b)
            return walk
        found = {number}
        for faces in boundary[dimension:0:-1]:
            found = {face for cell in found for face in faces[cell]}
        return sorted(found)


def topology(network: Network, domain: Box, *, level: Real = 0, part: Part = "super") -> Topology:
    """Return the Betti numbers of {Phi <= level}, {Phi >= level} or {Phi = level} in a box, PROVED.

    Args:
        network: piecewise linear, with one output; it may be degenerate in every way.
        domain: a box with a side for each input, at most 8.
        level: the level, a float meant exactly as stored.
        part: "sub", "super" or "level", in this order.

    Raises:
        DomainError: the network has several outputs, the box does not fit, or the part is none of these.
        HypothesisError: the network is not piecewise linear, or has too many cells.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> print(topology(hat, Box(-1, 2), level="1/2", part="sub"))
        {Phi <= 0.5} on [-1, 2]: b_0 = 2   PROVED
    """
    if network.outputs != 1:
        raise DomainError(f"The network has {network.outputs} outputs. Take `component` of it, or `decision_region`.")
    if part not in SIGNS:
        raise DomainError(f"The part {part!r} is unknown. Use one of {', '.join(SIGNS)}.")
    threshold = exact(level, "level")
    return _certified(network, below(network, threshold), domain, part, level_text(part, threshold))


def decision_region(network: Network, domain: Box, output: int) -> Topology:
    """Return the Betti numbers of the closed region in which a classifier decides for a class, PROVED.

    It is {Phi_j <= Phi_i for all j}, ties included.

    Args:
        network: piecewise linear, with an output for each class.
        domain: a box with a side for each input, at most 8.
        output: the class i, counted from 0.

    Raises:
        DomainError: there is no such output, or the box does not fit.
        HypothesisError: the network is not piecewise linear, or has too many cells.

    Example:
        >>> planes = Network.from_layers([([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5]], [0.0, 0.0, 0.0])])
        >>> print(decision_region(planes, Box([-1, -1], [1, 1]), 2))
        {Phi_j <= Phi_2 for all j} on [-1, 1] x [-1, 1]: b_0 = 1, b_1 = 0   PROVED
    """
    return _certified(network, ahead(network, output), domain, "super", region_text(output))


def _certified(network: Network, cut: Network, domain: Box, part: Part, region: str) -> Topology:
    cells = exact_cells(cut, domain, level=0)
    bounds = tuple(
        Bound(
            quantity=f"Betti number {k} of {region}", sense="==", value=float(number), exact=Fraction(number),
            domain=domain, kind=Kind.PROVED, theorem="cellular-homology", rule="betti", hypotheses=hypotheses(cells),
            network=network.sha256,
        )
        for k, number in enumerate(betti_numbers(cells, part))
    )  # fmt: skip
    arrays = witness(cells)
    return Topology(region, bounds, cells, part, Certificate.of(bounds, [(bound, arrays) for bound in bounds]))


def shallow_betti_bound(network: Network, domain: Box) -> Bound:
    r"""Return sum_k 2^(d-k) C(d, k) C(N, k) >= sum_k b_k({Phi >= t}) for every t, PROVED, for one hidden layer.

    The proof is in `epsnet.checker.rules.shallow_betti`; for {Phi <= t} the same is true.

    Args:
        network: one hidden layer with N neurons that bend, and one output.
        domain: a box in R^d.

    Raises:
        HypothesisError: the network is another one.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> print(shallow_betti_bound(hat, Box(-1, 2)))
        sum of Betti numbers of {Phi >= t} for every t <= 5 on [-1, 2]   PROVED (shallow-betti; exact arithmetic)
    """
    most = most_vertices(network.inputs, hidden_kinks(network))
    return Bound(
        quantity=QUANTITIES[0], sense="<=", value=round_up(Fraction(most)), exact=Fraction(most), domain=domain,
        kind=Kind.PROVED, theorem="shallow-betti", rule="shallow_betti", network=network.sha256,
    )  # fmt: skip


def persistence(network: Network, domain: Box) -> tuple[tuple[Interval, ...], ...]:
    """Return the exact persistence diagram of the sub-level sets {Phi <= t} in a box, over GF(2).

    Args:
        network: piecewise linear, with one output; it may be degenerate in every way.
        domain: a box with a side for each input, at most 8.

    Returns:
        For k = 0, ..., d - 1 the intervals [birth, death) of the k-dimensional classes, sorted; the component of the
        least value never dies: None. b_k of {Phi <= t} is the number of intervals that contain t.

    Raises:
        DomainError: the network has several outputs, or the box does not fit.
        HypothesisError: the network is not piecewise linear, or has too many cells.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> persistence(hat, Box(0, 1))
        (((Fraction(0, 1), None), (Fraction(0, 1), Fraction(1, 1))),)
    """
    if network.outputs != 1:
        raise DomainError(f"The network has {network.outputs} outputs. Take `component` of it.")
    cells = exact_cells(network, domain)
    levels, ranks = _vertex_values(network, domain, cells)
    entry = [ranks]
    for faces in cells.boundary[1:]:
        entry.append([max(entry[-1][face] for face in own) for own in faces])
    ordered, entry = _in_order(cells, entry)

    def intervals(k: int, pairs: dict[int, int]) -> list[Interval]:
        found = ((entry[k][cell], entry[k + 1][coface]) for coface, cell in pairs.items())
        return [(levels[birth], levels[death]) for birth, death in found if birth < death]

    pairs = spanning_forest(len(ordered[0]), ordered[1])
    diagram = [[(levels[entry[0][0]], None), *intervals(0, pairs)]]
    kept = [[True] * len(own) for own in ordered]
    for k in range(1, cells.dimension):
        columns = coboundary(Cells(cells.vertices, cells.signs, ordered), k, kept)
        pairs = reduced(item for item in reversed(columns.items()) if item[0] not in pairs)
        diagram.append(intervals(k, pairs))
    return tuple(tuple(sorted(own, key=lambda pair: (pair[0], pair[1] or pair[0]))) for own in diagram)


def _vertex_values(network: Network, domain: Box, cells: Cells) -> tuple[list[Fraction], list[int]]:
    """Return the different values of the network at the vertices, increasing, and the place of each vertex in them."""
    forms = BendingForms(network, domain, Fraction(0))
    columns = []
    for vertex in cells.vertices:
        weight = lcm(*(int(x.q) for x in vertex))
        columns.append([*((x * weight).p for x in vertex), fmpz(weight)])
    values = forms.values(fmpz_mat(columns).transpose())[-1]
    rationals = [fmpq(value, forms.scales[-1] * column[-1]) for value, column in zip(values, columns, strict=True)]
    places = {value: place for place, value in enumerate(sorted(set(rationals)))}
    return [Fraction(int(value.p), int(value.q)) for value in places], [places[value] for value in rationals]


def _in_order(cells: Cells, entry: list[list[int]]) -> tuple[tuple, list[list[int]]]:
    """Number the cells of each dimension in the order in which they enter."""
    orders = [sorted(range(len(own)), key=own.__getitem__) for own in entry]
    boundary: list[tuple[tuple[int, ...], ...]] = [((),) * len(orders[0])]
    for k in range(1, len(orders)):
        number = np.argsort(orders[k - 1]).tolist()
        boundary.append(tuple(tuple(number[face] for face in cells.boundary[k][cell]) for cell in orders[k]))
    return tuple(boundary), [[own[cell] for cell in order] for own, order in zip(entry, orders, strict=True)]
