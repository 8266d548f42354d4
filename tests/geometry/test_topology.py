"""Betti numbers: against dense elimination, shapes everybody knows, Mayer-Vietoris, persistence and grids."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.checker.kernel import check_certificate
from epsnet.core.calculus import postcompose_affine
from epsnet.core.cells import Cells
from epsnet.core.gates import Gates
from epsnet.core.homology import betti_numbers
from epsnet.core.margin import margin
from epsnet.core.network import Network
from epsnet.core.realize import realize_exact
from epsnet.enclosure.subdivision import exact_cells
from epsnet.geometry.extremal import fold_map
from epsnet.geometry.grid_topology import grid_betti_numbers
from epsnet.geometry.topology import decision_region, persistence, topology

F = Fraction
KEPT = {"sub": (-1, 0), "super": (0, 1), "level": (0,)}


def dense_betti(cells, part):
    """Return b_0, ..., b_d by Gaussian elimination of the boundary matrices, each row one long integer."""
    d = cells.dimension
    kept = [np.isin(signs[:, -1], KEPT[part]) for signs in cells.signs]
    ranks = [0] * (d + 2)
    for k in range(1, d + 1):
        pivots = {}
        for faces, inside in zip(cells.boundary[k], kept[k], strict=True):
            row = sum(1 << face for face in faces) if inside else 0
            while row.bit_length() in pivots:
                row ^= pivots[row.bit_length()]
            if row:
                pivots[row.bit_length()] = row
        ranks[k] = len(pivots)
    return tuple(int(kept[k].sum()) - ranks[k] - ranks[k + 1] for k in range(d + 1))


def cubes(shape, cube_sign):
    """Return the cells of a grid of unit cubes with made-up signs; a cell is named by its middle in half units.

    Where cubes of different signs meet, the sign is 0: so all three parts are closed.
    """
    d = len(shape)
    places = [[] for _ in range(d + 1)]
    for place in itertools.product(*(range(2 * n + 1) for n in shape)):
        places[sum(c % 2 for c in place)].append(place)
    index = [{place: number for number, place in enumerate(own)} for own in places]

    def faces(place):
        for axis in (a for a in range(d) if place[a] % 2):
            for step in (-1, 1):
                yield (*place[:axis], place[axis] + step, *place[axis + 1 :])

    def signs(place):
        box = [s for c, n in zip(place, shape, strict=True) for s in (int(c > 0), int(c < 2 * n))]
        beside = [
            [c] if c % 2 else [e for e in (c - 1, c + 1) if 0 < e < 2 * n] for c, n in zip(place, shape, strict=True)
        ]
        around = {cube_sign[cube] for cube in itertools.product(*beside)}
        return [*box, around.pop() if len(around) == 1 else 0]

    return Cells(
        tuple(tuple(fmpq(c, 2) for c in place) for place in places[0]),
        tuple(np.array([signs(place) for place in own], dtype=np.int8) for own in places),
        tuple(
            tuple(tuple(sorted(index[k - 1][face] for face in faces(place))) for place in own)
            for k, own in enumerate(places)
        ),
    )


def require_laws(cells):
    """Compare with dense elimination; the box is contractible, so reduced Betti numbers add up (Mayer-Vietoris)."""
    found = {part: betti_numbers(cells, part) for part in KEPT}
    for part, numbers in found.items():
        assert (*numbers, 0) == dense_betti(cells, part)
    if any(found["level"]):
        sub, super_, level = (np.array(found[part]) - np.eye(cells.dimension, dtype=int)[0] for part in KEPT)
        assert (level == sub + super_).all()
    return found


@pytest.mark.parametrize("shape", [(7,), (5, 6), (4, 4, 4), (3, 2, 3, 3), (2, 2, 2, 2, 2)], ids=str)
def test_random_unions_of_cubes(shape):
    generator = np.random.Generator(np.random.Philox(1))
    for _ in range(12 if len(shape) < 4 else 3):
        chances = generator.dirichlet([1, 1, 0.3])
        cubes_of = itertools.product(*(range(1, 2 * n, 2) for n in shape))
        require_laws(cubes(shape, {cube: int(generator.choice([-1, 1, 0], p=chances)) for cube in cubes_of}))


def absolute(gates, *forms):
    """Return |form| for each form, one layer later."""
    neurons = gates.relu(*forms, *(-form for form in forms))
    return [a + b for a, b in zip(neurons[: len(forms)], neurons[len(forms) :], strict=True)]


def larger(gates, a, b):
    """Return max(a, b) of two forms, one layer later."""
    gap, plus, minus = gates.relu(a - b, b, -b)
    return gap + plus - minus


def norm_1(d):
    gates = Gates(d)
    parts = absolute(gates, *gates.inputs)
    return gates.network(sum(parts[1:], parts[0]))


def shell(d):
    """Return | |x|_1 - 3/4 |: small on a thick sphere."""
    gates = Gates(d)
    parts = absolute(gates, *gates.inputs)
    (distance,) = absolute(gates, sum(parts[1:], parts[0]) - F(3, 4))
    return gates.network(distance)


def torus():
    """Return max(| max(|x|, |y|) - 1 |, |z|): small on a solid torus, which it cuts out with a square as section."""
    gates = Gates(3)
    x, y, z = absolute(gates, *gates.inputs)
    gap, y, z = gates.relu(x - y, y, z)
    ring, z = absolute(gates, gap + y - 1, z)
    return gates.network(larger(gates, ring, z))


def saddle():
    gates = Gates(2)
    x, y = absolute(gates, *gates.inputs)
    return gates.network(x - y)


def two_disks():
    """Return min(|x - 1|, |x + 1|) + |y| - 1/2."""
    gates = Gates(2)
    left, right, y = absolute(gates, gates.inputs[0] + 1, gates.inputs[0] - 1, gates.inputs[1])
    gap, left, y = gates.relu(left - right, left, y)
    return gates.network(left - gap + y - F(1, 2))


SHAPES = {
    "disk": (norm_1(2), 2, F(1, 2), {"sub": (1, 0), "super": (1, 1), "level": (1, 1)}),
    "ball": (norm_1(3), 2, F(1, 2), {"sub": (1, 0, 0), "super": (1, 0, 1), "level": (1, 0, 1)}),
    "ball in R^4": (norm_1(4), 2, F(1, 2), {"sub": (1, 0, 0, 0), "super": (1, 0, 0, 1), "level": (1, 0, 0, 1)}),
    "point": (norm_1(3), 2, 0, {"sub": (1, 0, 0), "super": (1, 0, 0), "level": (1, 0, 0)}),
    "nothing": (norm_1(2), 2, F(-1, 2), {"sub": (0, 0), "super": (1, 0), "level": (0, 0)}),
    "annulus": (shell(2), 2, F(1, 4), {"sub": (1, 1), "super": (2, 1), "level": (2, 2)}),
    "circle": (shell(2), 2, 0, {"sub": (1, 1), "super": (1, 0), "level": (1, 1)}),
    "thick sphere": (shell(3), 2, F(1, 4), {"sub": (1, 0, 1), "super": (2, 0, 1), "level": (2, 0, 2)}),
    "torus": (torus(), 2, F(1, 2), {"sub": (1, 1, 0), "super": (1, 1, 1), "level": (1, 2, 1)}),
    "saddle": (saddle(), 1, 0, {"sub": (1, 0), "super": (1, 0), "level": (1, 0)}),
    "saddle above": (saddle(), 1, F(1, 4), {"sub": (1, 0), "super": (2, 0), "level": (2, 0)}),
    "two disks": (two_disks(), 3, 0, {"sub": (2, 0), "super": (1, 2), "level": (2, 2)}),
    "two disks that touch": (two_disks(), 3, F(1, 2), {"sub": (1, 0), "super": (1, 2), "level": (1, 2)}),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("part", KEPT)
def test_known_shapes(name, part):
    network, side, level, expected = SHAPES[name]
    found = topology(network, Box([-side] * network.inputs, [side] * network.inputs), level=level, part=part)
    assert found.numbers == expected[part]
    assert len(check_certificate(network, found.certificate)) == network.inputs
    assert all(bound.kind is Kind.PROVED for bound in found.betti)


def test_a_plateau_is_a_level_set():
    """rho(|x| - 1/2) is 0 on a whole interval: the level set there has full dimension."""
    gates = Gates(1)
    (x,) = absolute(gates, *gates.inputs)
    network = gates.network(*gates.relu(x - F(1, 2)))
    for part, numbers in (("sub", (1,)), ("super", (1,)), ("level", (1,))):
        assert topology(network, Box(-1, 1), part=part).numbers == numbers
    assert topology(network, Box(-1, 1), level="1/4", part="level").numbers == (2,)


@pytest.mark.parametrize(("m", "k"), [(2, 2), (2, 3), (2, 4), (3, 2), (4, 2)])
def test_sums_of_sawtooth_waves(m, k):
    """{sum_i T_k(x_i) >= m - 1/2} is a ball around each of the 2^((k-1)m) common peaks."""
    network = postcompose_affine([[1] * m], [0], fold_map(m, (2 * m,) * k))
    cells = exact_cells(network, Box([0] * m, [1] * m), level=F(2 * m - 1, 2))
    peaks, none = 2 ** ((k - 1) * m), (0,) * (m - 2)
    assert betti_numbers(cells, "super") == (peaks, *none, 0)
    assert betti_numbers(cells, "sub") == (1, *none, peaks)
    assert betti_numbers(cells, "level") == (peaks, *none, peaks)


def random_network(widths, seed, digits=None):
    """Return a ReLU network; with few digits its cells are degenerate in many ways."""
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        matrix = rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        bias = rng.uniform(-1, 1, outputs)
        layers.append((matrix, bias) if digits is None else (np.round(matrix, digits), np.round(bias, digits)))
    return Network.from_layers(layers)


def cube(d):
    return Box([-1] * d, [1] * d)


@pytest.mark.parametrize("digits", [None, 0])
@pytest.mark.parametrize("widths", [(1, 8, 8, 1), (2, 7, 6, 1), (3, 5, 5, 1), (4, 4, 4, 1)], ids=str)
def test_laws_on_networks(widths, digits):
    network = random_network(widths, 5, digits)
    values = [float(realize_exact(network, x)[0]) for x in np.random.default_rng(1).uniform(-1, 1, (50, widths[0]))]
    for level in np.quantile(values, [0.1, 0.5, 0.9]) if digits is None else (-1, 0, 1):
        require_laws(exact_cells(network, cube(widths[0]), level=float(level)))


def test_where_grids_are_wrong():
    """Two ordinary networks on which 140^3 points give other numbers; see benchmarks/topology."""
    for widths, seed, level, sub, super_ in (
        ((3, 12, 12, 1), 22, "-0.178", (1, 1, 0), (1, 1, 0)),
        ((3, 16, 16, 1), 23, "-0.697", (2, 0, 0), (1, 0, 0)),
    ):
        network = random_network(widths, seed)
        cells = exact_cells(network, cube(3), level=level)
        assert (betti_numbers(cells, "sub"), betti_numbers(cells, "super")) == (sub, super_)


@pytest.mark.parametrize("name", ["annulus", "torus", "two disks", "thick sphere"])
def test_gudhi_agrees_on_tame_shapes(name):
    pytest.importorskip("gudhi")
    network, side, level, expected = SHAPES[name]
    box = Box([-side] * network.inputs, [side] * network.inputs)
    for part in ("sub", "super"):
        assert grid_betti_numbers(network, box, level=level, part=part, points=33) == expected[part]


def test_a_grid_misses_what_is_thin():
    pytest.importorskip("gudhi")
    network, _, _, _ = SHAPES["two disks"]
    box = Box([-3, -3], [3, 3])
    exact = topology(network, box, level=F(-49, 100), part="sub").numbers
    assert (exact, grid_betti_numbers(network, box, level=F(-49, 100), part="sub", points=8)) == ((2, 0), (0, 0))


@pytest.mark.parametrize("outputs", [2, 3, 4, 7])
def test_margin(outputs):
    network = random_network((2, 5, outputs), outputs)
    for x in np.random.default_rng(0).uniform(-1, 1, (20, 2)).tolist():
        values = realize_exact(network, x)
        for i in range(outputs):
            rest = values[:i] + values[i + 1 :]
            assert realize_exact(margin(network, i), x) == (values[i] - max(rest),)


def test_decision_regions():
    """The nearest of points is decided in convex cells; a class in the middle of another makes it an annulus."""
    points = np.random.default_rng(3).uniform(-1, 1, (6, 3))
    nearest = Network.from_layers([(2 * points, -(points**2).sum(axis=1))])
    for i in range(6):
        assert decision_region(nearest, cube(3), i).numbers == (1, 0, 0)
    gates = Gates(2)
    x, y = absolute(gates, *gates.inputs)
    network = gates.network(x * 0, 1 - 2 * x - 2 * y, x * 0 - 1)
    for output, numbers in ((0, (1, 1)), (1, (1, 0)), (2, (0, 0))):
        found = decision_region(network, cube(2), output)
        assert found.numbers == numbers
        check_certificate(network, found.certificate)


def test_decision_regions_of_two_classes_are_sub_and_super_level_sets():
    network = random_network((2, 12, 12, 2), 8)
    difference = postcompose_affine([[1, -1]], [0], network)
    assert decision_region(network, cube(2), 0).numbers == topology(difference, cube(2), part="super").numbers
    assert decision_region(network, cube(2), 1).numbers == topology(difference, cube(2), part="sub").numbers


@pytest.mark.parametrize("digits", [None, 0])
@pytest.mark.parametrize("widths", [(1, 9, 9, 1), (2, 8, 8, 1), (3, 6, 6, 1), (4, 4, 4, 1)], ids=str)
def test_persistence_is_the_topology_of_all_levels(widths, digits):
    network = random_network(widths, 3, digits)
    diagram = persistence(network, cube(widths[0]))
    ends = sorted({end for own in diagram for pair in own for end in pair if end is not None})
    levels = [ends[0] - 1, *ends[:: len(ends) // 5 + 1], *((a + b) / 2 for a, b in itertools.pairwise(ends[:6]))]
    for level in levels:
        cells = exact_cells(network, cube(widths[0]), level=level)
        alive = tuple(sum(b <= level and (d is None or level < d) for b, d in own) for own in diagram)
        assert alive == betti_numbers(cells, "sub")


def test_persistence_of_a_grid_of_squares_is_that_of_gudhi():
    """The cells of a sum of waves of one variable each are squares, so gudhi has the same complex."""
    gudhi = pytest.importorskip("gudhi")
    network = postcompose_affine([[1, 2]], [0], fold_map(2, (6, 4)))
    diagram = persistence(network, Box([0, 0], [1, 1]))
    x = [F(i, 6) for i in range(7)]
    values = np.array([[float(realize_exact(network, (a, b))[0]) for b in x] for a in x])
    cubes_of = gudhi.CubicalComplex(vertices=values)
    cubes_of.compute_persistence(homology_coeff_field=2)
    for k in range(2):
        expected = sorted(map(tuple, cubes_of.persistence_intervals_in_dimension(k).tolist()))
        ours = sorted((float(b), np.inf if d is None else float(d)) for b, d in diagram[k])
        assert np.allclose(ours, expected)


def test_pieces_tile_the_box():
    """The areas of the polygons above and below the level add up to that of the box."""
    network = random_network((2, 10, 10, 1), 4)
    areas = []
    for part in ("sub", "super"):
        polygons = topology(network, cube(2), level=-0.1, part=part).faces(2)
        areas.append(
            sum(abs(np.sum(p[:, 0] * np.roll(p[:, 1], 1) - p[:, 1] * np.roll(p[:, 0], 1))) for p in polygons) / 2
        )
    assert min(areas) > 0.1
    assert sum(areas) == pytest.approx(4, rel=1e-12)
    contour = topology(network, cube(2), level=-0.1, part="level")
    assert all(abs(float(realize_exact(network, x)[0]) + 0.1) < 1e-14 for edge in contour.faces(1) for x in edge)
    solid = topology(SHAPES["ball"][0], cube(3), level="1/2", part="level")
    assert sorted(len(p) for p in solid.faces(2)) == [3] * 8
    assert all(np.abs(p).sum(axis=1) == pytest.approx(0.5) for p in solid.faces(2))


def test_errors():
    with pytest.raises(DomainError, match="decision_region"):
        topology(random_network((2, 3, 2), 0), cube(2))
    with pytest.raises(DomainError, match="sub, super, level"):
        topology(random_network((2, 3, 1), 0), cube(2), part="below")
    with pytest.raises(DomainError, match="Give one of 0, 1"):
        decision_region(random_network((2, 3, 2), 0), cube(2), 2)
    with pytest.raises(DomainError):
        decision_region(random_network((2, 3, 1), 0), cube(2), 0)
    with pytest.raises(DomainError):
        topology(random_network((2, 3, 1), 0), cube(3))
    with pytest.raises(DomainError, match="component"):
        persistence(random_network((2, 3, 2), 0), cube(2))
    with pytest.raises(HypothesisError):
        topology(Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])], "tanh"), Box(-1, 1))
