r"""The polyhedral complex of a piecewise-linear network in at most six dimensions, in float64.

The zero sets of the columns (`core.bends`) cut a box D in R^d into cells, convex sets on which the sign of every column
is constant. The complex is *generic* if every vertex lies on exactly d of the zero sets and every edge on d - 1; then
every choice of signs for the zeros of a vertex is a cell next to it (without those outside the box). Cells of dimension
d are the *activation regions*.

The number f_k of cells of dimension k follows from the vertices and edges: for a direction that is constant along no
edge, every cell has one lowest vertex, and at a vertex v the cells that start there are the choices of edges that go
up. With u_q(v) in {0, 1, 2} edges going up when v leaves its q-th zero set, and e_k the elementary symmetric
polynomials,

$$ f_k = \sum_v e_k\bigl(u_1(v), \dots, u_d(v)\bigr). $$

On all of R^d the complex is taken in a box that contains every vertex and meets every cell, and the cells in the sides
of the box are not counted: v has to leave those zero sets. The box is large enough if every edge that reaches a side
goes on as a ray that meets no further zero set: were there a vertex outside, a path of edges would lead to it from one
inside. (The cells have vertices because d neurons that read the inputs alone have independent weights.) Zero sets that
rounding cannot tell from parallel ones count as parallel.

Everything is float64 with estimates of the rounding errors: a candidate for a proof, not one. A network whose complex
is not generic, or too close to it, is refused.

Source: the formula for f_k is that of simple polytopes (G. Ziegler, Lectures on Polytopes, 8.3), cell by cell; generic
networks: K. Grigsby and K. Lindsey, On transversality of bent hyperplane arrangements and the topological
expressiveness of ReLU neural networks, SIAM J. Appl. Algebra Geom. 6 (2022).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.network import Network
from epsnet.enclosure.bend_values import UNIT, BendValues, Floats, Integers, blocks
from epsnet.enclosure.complex_cut import CHUNK, SAFETY, Cutter, Signs, degenerate, frames

MAX_DIMENSION = 6
_FIRST_REACH, _FARTHEST = 2.0**12, 2.0**40
"""Half of the side of the first box for all of R^d, in sizes of one vertex, and of the last."""
_DIRECTIONS = 20
_PARALLEL = 2.0**-30


@dataclass(frozen=True, eq=False)
class Complex:
    """Vertices and edges of a generic complex.

    Attributes:
        network: the network.
        box: the domain; for all of R^d a box that holds every vertex and meets every cell.
        unbounded: whether the domain is R^d.
        level: the level whose set is the last column, or None.
        vertices: (V, d), those on the sides of the box included.
        errors: (V,), estimated distances from the exact vertices.
        vertex_zeros: (V, d), the columns that are 0 at each vertex, sorted.
        edges: (E, 2), numbers of vertices.
        edge_zeros: (E, d - 1), sorted.
        edge_sides: (E, 2), for each end the sign along the edge of the one column that is 0 at this end only.
        values: the columns in float64.
    """

    network: Network = field(repr=False)
    box: Box
    unbounded: bool
    level: Fraction | None
    vertices: Floats = field(repr=False)
    errors: Floats = field(repr=False)
    vertex_zeros: Integers = field(repr=False)
    edges: Integers = field(repr=False)
    edge_zeros: Integers = field(repr=False)
    edge_sides: Signs = field(repr=False)
    values: BendValues = field(repr=False)

    @property
    def dimension(self) -> int:
        """The number d of inputs."""
        return self.vertices.shape[1]

    @property
    def columns(self) -> int:
        """The number K of columns, 2d sides included."""
        return 2 * self.dimension + len(self.values.columns)

    def signs(self, numbers: Integers | None = None) -> Signs:
        """Return the signs (V, K) of the columns at the vertices, or at some of them."""
        numbers = np.arange(len(self.vertices)) if numbers is None else numbers
        found = np.ones((len(numbers), self.columns), dtype=np.int8)
        for part in blocks(len(numbers), self.values.block):
            found[part, 2 * self.dimension :] = point_signs(self.values, self.vertices[numbers[part]])
        np.put_along_axis(found, self.vertex_zeros[numbers], 0, axis=1)
        return found

    @functools.cached_property
    def stars(self) -> Integers:
        """(V, d, 2): the edge that leaves each vertex off its q-th zero set to the positive, negative side, or -1."""
        stars = np.full((len(self.vertices), self.dimension, 2), -1, dtype=np.int64)
        left, total = self.edge_zeros.sum(axis=1), self.vertex_zeros.sum(axis=1)
        for end in (0, 1):
            here = self.edges[:, end]
            missing = total[here] - left
            place = (self.vertex_zeros[here] == missing[:, None]).argmax(axis=1)
            stars[here, place, (1 - self.edge_sides[:, end]) // 2] = np.arange(len(self.edges))
        inner = self.vertex_zeros >= 2 * self.dimension
        if (stars[:, :, 0] < 0).any() or ((stars[:, :, 1] < 0) == inner).any():
            raise degenerate("An edge is missing at a vertex.")
        return stars

    @functools.cached_property
    def rising(self) -> NDArray[np.bool_]:
        """(V, d, 2): whether the edge of `stars` goes up, in a direction that no edge is orthogonal to."""
        a, b = self.edges.T
        margin = 4 * (self.errors[a] + self.errors[b])
        for seed in range(_DIRECTIONS):
            direction = np.random.Generator(np.random.Philox(seed)).standard_normal(self.dimension)
            rise = (self.vertices[b] - self.vertices[a]) @ (direction / np.linalg.norm(direction))
            if (np.abs(rise) > margin).all():
                break
        else:
            raise degenerate("An edge is shorter than the rounding errors of its ends.")
        upper = np.where(rise > 0, b, a)
        own = np.arange(len(self.vertices))[:, None, None]
        return (self.stars >= 0) & (upper[self.stars] != own)

    def f_vector(self) -> tuple[int, ...]:
        """Return (f_0, ..., f_d): the number of cells of each dimension; the last one counts the activation regions."""
        up = self.rising.sum(axis=2)
        stay = ~((self.vertex_zeros < 2 * self.dimension) & self.unbounded)
        symmetric = [np.ones(len(up), dtype=np.int64)] + [np.zeros(len(up), dtype=np.int64) for _ in up.T]
        for q in range(self.dimension):
            for k in range(q + 1, 0, -1):
                symmetric[k] = symmetric[k] * stay[:, q] + symmetric[k - 1] * up[:, q]
            symmetric[0] = symmetric[0] * stay[:, q]
        found = tuple(int(column.sum()) for column in symmetric)
        euler = sum((-1) ** k * count for k, count in enumerate(found))
        if euler != ((-1) ** self.dimension if self.unbounded else 1):
            raise degenerate(f"The numbers of cells {found} have the Euler characteristic {euler}.")
        return found


def point_signs(values: BendValues, points: Floats) -> Signs:
    """Return the signs (n, columns) at points in float64; 0 counts as negative."""
    found = np.empty((len(points), len(values.columns)), dtype=np.int8)
    signals = values.signals(points, len(values.layers) + 1)
    for number, z in enumerate(signals.arguments, start=1):
        own = np.flatnonzero(values.columns[:, 0] == number)
        found[:, own] = np.where(z[:, values.columns[own, 1]] > 0, 1, -1)
    return found


def polyhedral_complex(
    network: Network,
    domain: Box | None,
    *,
    level: Real | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Complex:
    """Return the complex of the bending neurons of a network.

    Args:
        network: piecewise linear, with at most six inputs; skip connections and any linear maps are welcome.
        domain: a box with as many sides, or None for all of R^d.
        level: one output only: cut by the set where the output is this number, too.
        progress: called with the number of finished columns and of all.

    Raises:
        DomainError: the box does not fit the network, there are too many inputs, or a level for several outputs.
        HypothesisError: an activation is not linear left and right of 0; the complex is not generic, or float64 cannot
            tell; or, on R^d, the network does not change along some direction, so that there is no vertex.

    Example:
        >>> from epsnet import Box, Network
        >>> cross = Network.from_layers([([[1.0, 0.0], [0.0, 1.0]], [0.25, 0.5]), ([[1.0, 1.0]], [0.0])])
        >>> polyhedral_complex(cross, Box([-1, -1], [1, 1])).f_vector()
        (9, 12, 4)
    """
    if network.inputs > MAX_DIMENSION or (domain is not None and domain.dimension != network.inputs):
        sides = "" if domain is None else f", the domain {domain.dimension} sides"
        raise DomainError(
            f"The network has {network.inputs} inputs{sides}. Give one side for each input, at most {MAX_DIMENSION}."
        )
    number = None if level is None else exact(level, "level")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = BendValues(network, number)
        if domain is not None:
            return _in_box(network, domain, values, number, progress, unbounded=False)
        return _everywhere(network, values, number, progress)


def _in_box(
    network: Network,
    box: Box,
    values: BendValues,
    level: Fraction | None,
    progress: Callable[[int, int], None] | None,
    *,
    unbounded: bool,
) -> Complex:
    cutter = Cutter(values, box)
    sides, total = 2 * box.dimension, len(values.columns)
    layers = values.columns[:, 0]
    for number in np.unique(layers):
        start, end = np.searchsorted(layers, [number, number + 1])
        for first in range(start, end, CHUNK):
            count = min(CHUNK, end - first)
            cutter.cut(sides + first, count)
            if progress is not None:
                progress(first + count, total)
    return Complex(
        network, box, unbounded, level, cutter.vertices.all, cutter.errors.all, cutter.zeros.all, cutter.edges.all,
        cutter.edge_zeros.all, cutter.sides.all, values,
    )  # fmt: skip


def _everywhere(
    network: Network, values: BendValues, level: Fraction | None, progress: Callable[[int, int], None] | None
) -> Complex:
    """Enlarge a box until no ray that leaves it meets another zero set."""
    reach = _FIRST_REACH * max(1.0, float(np.abs(_first_vertex(network, values)).max()))
    while reach < _FARTHEST:
        size = Fraction(2) ** int(np.ceil(np.log2(reach)))
        box = Box([-size] * network.inputs, [size] * network.inputs)
        found = _in_box(network, box, values, level, progress, unbounded=True)
        farthest = max(map(float, _escape(found)), default=0.0)
        if farthest == 0.0:
            return found
        reach = 2.0 * farthest
    raise degenerate(f"Zero sets meet farther away than {_FARTHEST:g}.")


def _first_vertex(network: Network, values: BendValues) -> Floats:
    """Return a point where the zero sets of d neurons that read the inputs alone meet."""
    rows, offsets = np.empty((0, network.inputs)), np.empty(0)
    for number, layer in enumerate(values.layers, start=1):
        if [source for source, _ in layer.matrices] == [0]:
            own = values.columns[values.columns[:, 0] == number, 1]
            rows = np.concatenate([rows, layer.matrices[0][1][own]])
            offsets = np.concatenate([offsets, layer.bias[own]])
    chosen: list[int] = []
    rest = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
    for _ in range(network.inputs):
        sizes = np.linalg.norm(rest, axis=1)
        if sizes.max(initial=0.0) < _PARALLEL:
            raise HypothesisError(
                "The first layer does not change along some direction, so the complex of R^d has no vertex. "
                "Give a box, or drop the direction."
            )
        chosen.append(int(sizes.argmax()))
        unit = rest[chosen[-1]] / sizes.max()
        rest = rest - np.outer(rest @ unit, unit)
    return np.asarray(np.linalg.solve(rows[chosen], -offsets[chosen]), dtype=np.float64)


def _escape(complex: Complex) -> list[float]:
    """Return how far away the rays that leave the box meet a further zero set first; nothing for those that do not.

    A ray whose angle to a zero set is not known to differ from 0 counts as parallel to it.
    """
    values, d = complex.values, complex.dimension
    bounds = np.array([float(end) for ends in zip(complex.box.lower, complex.box.upper, strict=True) for end in ends])
    leaving = np.flatnonzero((complex.vertex_zeros < 2 * d).sum(axis=1) == 1)
    found: list[float] = []
    for part in blocks(len(leaving), values.block):
        zeros = complex.vertex_zeros[leaving[part]]
        points = complex.vertices[leaving[part]]
        signals = values.signals(points, len(values.layers) + 1)
        inverse, _, _ = frames(values, bounds, signals, zeros)
        along = inverse[:, :, 0] * np.where(zeros[:, :1] % 2, 1.0, -1.0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        turned = 4 * UNIT * np.linalg.cond(inverse)
        slopes, errors = values.derivatives(signals, along)
        reach = np.full(len(points), np.inf)
        for number, (z, slope, error) in enumerate(zip(signals.arguments, slopes, errors, strict=True), start=1):
            own = np.flatnonzero(values.columns[:, 0] == number)
            neurons = values.columns[own, 1]
            speed, unknown = slope[:, neurons], SAFETY * (error + values.steepness[number - 1] * turned)
            time = np.where(np.abs(speed) > unknown[:, None], -z[:, neurons] / speed, np.inf)
            time[(time <= 0) | (zeros[:, :, None] == 2 * d + own).any(axis=1)] = np.inf
            reach = np.minimum(reach, time.min(axis=1, initial=np.inf))
        hit = np.isfinite(reach)
        found += np.abs(points[hit] + reach[hit, None] * along[hit]).max(axis=1).tolist()
    return found
