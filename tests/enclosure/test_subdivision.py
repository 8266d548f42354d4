"""The exact subdivision against counts known by hand, by published numbers and by linear programs."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq
from scipy.optimize import linprog

from epsnet.approximation.sawtooth import sawtooth
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.checker.kernel import check_certificate
from epsnet.core.bends import exact_columns
from epsnet.core.calculus import postcompose_affine, precompose_affine
from epsnet.core.components import side_by_side
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.enclosure.subdivision import exact_cells

F = Fraction


def random_network(widths, seed):
    """Return NET(widths, seed): He-scaled normal weights, biases uniform in [-1, 1]."""
    random = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        matrix = random.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((matrix, random.uniform(-1, 1, outputs)))
    return Network.from_layers(layers)


def small_integers(widths, seed, activation="relu"):
    """Return a network of weights -1, 0, 1: full of dead, equal, parallel and concurrent neurons."""
    random = np.random.default_rng(seed)
    layers = [
        (random.integers(-1, 2, (o, i)).astype(float), random.integers(-1, 2, o) / 2)
        for i, o in itertools.pairwise(widths)
    ]
    return Network.from_layers(layers, activation)


def cube(dimension, low=-1, high=1):
    return Box([low] * dimension, [high] * dimension)


def alternating_sum(counts):
    return sum((-1) ** k * count for k, count in enumerate(counts))


@pytest.mark.parametrize(
    ("widths", "seed", "regions"),
    [
        ([2, 10, 1], 0, 26),
        ([2, 8, 8, 1], 1, 27),
        ([2, 16, 16, 1], 2, 286),
        ([3, 8, 8, 1], 3, 175),
        ([4, 6, 6, 1], 4, 238),
        ([2, 32, 32, 1], 11, 681),
        ([2, 20, 20, 20, 1], 12, 571),
    ],
)
def test_generic_networks(widths, seed, regions):
    """Counts that linear programs over all sign vectors and a float64 subdivision agree on."""
    counts = exact_cells(random_network(widths, seed), cube(widths[0])).f_vector()
    assert counts[-1] == regions
    assert alternating_sum(counts) == 1
    known = {(2, 16): (316, 601, 286), (4, 6): (629, 1990, 2350, 1226, 238)}
    assert counts == known.get((widths[0], widths[1]), counts)


def forms(network, signs):
    """Return the affine functions (a, b) of all neurons that bend, as if the signs held; weights in float64."""
    dimension = network.inputs
    y, found, place = [(np.eye(dimension), np.zeros(dimension))], [], 0
    for layer in network.layers:
        bias = np.array(layer.bias_values())
        a, b = np.zeros((len(bias), dimension)), bias
        for source, linear in layer.terms:
            matrix = linear.apply(np.eye(linear.shape[1])).T
            a, b = a + matrix @ y[source][0], b + matrix @ y[source][1]
        slopes = []
        for function, row, value in zip(layer.functions(), a, b, strict=True):
            left, right = map(float, function.slopes)
            slopes.append(right)
            if left != right:
                if place == len(signs):
                    return row, value
                slopes[-1] = right if signs[place] > 0 else left
                place += 1
                found.append((row, value))
        y.append((np.array(slopes)[:, None] * a, np.array(slopes) * b))
    return None


def counted_by_programs(network, box):
    """Return the f-vector: all sign vectors, column by column, each prefix tested by a linear program."""
    dimension = box.dimension
    low, high = (np.array(ends, dtype=float) for ends in (box.lower, box.upper))
    sides = [form for i, row in enumerate(np.eye(dimension)) for form in ((row, -low[i]), (-row, high[i]))]
    counts = [0] * (dimension + 1)

    def holds(rows, signs):
        """Tell whether a point has these signs: maximize the least |form|, at most 1."""
        cost = np.zeros(dimension + 1)
        cost[-1] = -1
        strict = [[*(-s * a), 1.0] for (a, _), s in zip(rows, signs, strict=True) if s]
        flat = [[*a, 0.0] for (a, _), s in zip(rows, signs, strict=True) if not s]
        above = [s * b for (_, b), s in zip(rows, signs, strict=True) if s]
        zero = [-b for (_, b), s in zip(rows, signs, strict=True) if not s]
        bounds = [*zip(low, high, strict=True), (0, 1)]
        found = linprog(cost, strict or None, above or None, flat or None, zero or None, bounds)
        return found.status == 0 and found.x[-1] > 1e-7

    def visit(rows, signs):
        if len(rows) < 2 * dimension:
            form, choices = sides[len(rows)], (0, 1)
        else:
            form, choices = forms(network, signs[2 * dimension :]), (-1, 0, 1)
        if form is None:
            flat = [a for (a, _), s in zip(rows, signs, strict=True) if not s]
            counts[dimension - (np.linalg.matrix_rank(np.array(flat)) if flat else 0)] += 1
            return
        for sign in choices:
            if holds([*rows, form], [*signs, sign]):
                visit([*rows, form], [*signs, sign])

    visit([], [])
    return tuple(counts)


def skipping(seed):
    random = np.random.default_rng(seed)

    def matrix(*shape):
        return Dense(random.integers(-1, 2, shape).astype(float))

    first = Layer(((0, matrix(2, 2)),), np.array([0.0, 0.5]), ("relu", "abs"))
    second = Layer(((1, matrix(2, 2)), (0, matrix(2, 2))), np.zeros(2), ("leaky_relu(0.5)", "relu"))
    return Network(2, (first, second, Layer(((2, matrix(1, 2)),), np.zeros(1), ("identity",))))


CASES = {
    "line": (small_integers([1, 4, 3, 1], 0), cube(1, -2, 2)),
    "plane-3-2": (small_integers([2, 3, 2, 1], 1), cube(2)),
    "plane-2-2-2": (small_integers([2, 2, 2, 2, 1], 5), cube(2)),
    "abs": (small_integers([2, 2, 2, 1], 7, "abs"), cube(2)),
    "leaky": (small_integers([2, 2, 2, 1], 3, "leaky_relu(0.25)"), cube(2)),
    "skip": (skipping(2), cube(2)),
    "space": (small_integers([3, 3, 1], 4), cube(3)),
    "box-at-kinks": (small_integers([2, 3, 2, 1], 6), Box([0, F(-1, 2)], [1, F(1, 2)])),
}


@pytest.mark.parametrize("name", CASES)
def test_against_linear_programs(name):
    network, box = CASES[name]
    found = certify_cells(network, box)
    assert found.found.f_vector() == counted_by_programs(network, box)
    check_certificate(network, found.certificate)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_signs_are_those_of_the_columns(dimension, seed):
    """The mean of the vertices of a cell has its signs; the cells are all different, and so are their boundaries."""
    network, box = small_integers([dimension, 5, 4, 1], 10 * dimension + seed), cube(dimension)
    cells = exact_cells(network, box, level=0)
    assert alternating_sum(cells.f_vector()) == 1
    inside = [{i} for i in range(len(cells.vertices))]
    for k, (signs, boundary) in enumerate(zip(cells.signs, cells.boundary, strict=True)):
        if k:
            inside = [set().union(*(inside[face] for face in faces)) for faces in boundary]
        assert len(set(boundary)) == len(boundary) or k == 0
        for own, members in itertools.islice(zip(signs, inside, strict=True), 0, None, 7):
            mean = [sum((cells.vertices[v][i] for v in members), fmpq(0)) / len(members) for i in range(dimension)]
            values = exact_columns(network, box, mean, F(0))
            assert own.tolist() == [(value > 0) - (value < 0) for value in values]
    assert len({row.tobytes() for part in cells.signs for row in part}) == sum(cells.f_vector())


def counts_of(weights, biases, low, high, **options):
    network = Network.from_layers([(weights, biases), (np.ones((1, len(biases))), [0.0])])
    return exact_cells(network, Box(low, high), **options).f_vector()


def test_by_hand():
    assert counts_of([[1.0]], [0.0], -1, 1) == (3, 2)
    assert counts_of([[1.0]], [0.0], 0, 1) == (2, 1)
    assert counts_of([[0.0]], [0.0], 0, 1) == (2, 1)
    assert counts_of([[1.0], [1.0], [2.0], [-1.0]], np.zeros(4), -1, 1) == (3, 2)
    square = [-1, -1], [1, 1]
    assert counts_of([[1.0, 1.0]], [0.0], *square) == (4, 5, 2)  # along the diagonal, through two corners
    assert counts_of([[1.0, 1.0]], [2.0], *square) == (4, 4, 1)  # touches a corner
    assert counts_of([[1.0, 0.0]], [1.0], *square) == (4, 4, 1)  # is a side
    star = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]]
    assert counts_of(star, np.zeros(4), *square) == (9, 16, 8)
    assert counts_of([[1.0, 0.0], [1.0, 0.0]], [0.5, -0.5], *square) == (8, 10, 3)
    assert counts_of([[1.0, 1.0, 1.0]], [0.0], [-1] * 3, [1] * 3) == (14, 24, 13, 2)  # a hexagon: 8+6, 12+6+6, 6+6+1
    assert counts_of([[1.0, 1.0, 1.0]], [1.0], [-1] * 3, [1] * 3) == (8, 15, 10, 2)  # a triangle on three corners


def test_level():
    """relu(x) + relu(y) = 1 on [-1, 2]^2 runs through (1, -1), (1, 0), (0, 1), (-1, 1)."""
    assert counts_of(np.eye(2), np.zeros(2), [-1, -1], [2, 2], level=1) == (9 + 4, 12 + 4 + 3, 4 + 3)
    assert counts_of(np.eye(2), np.zeros(2), [-1, -1], [2, 2], level=0) == (9, 12, 4)


@pytest.mark.parametrize("doublings", range(1, 13))
def test_sawtooth(doublings):
    """2^k pieces on [0, 1]; beyond it one more on each side, but for k = 1 only on the left: nothing bends at 1."""
    network = sawtooth(doublings)
    inner = certify_cells(network, Box(0, 1))
    outer = certify_cells(network, Box(F(-1, 2), F(3, 2)))
    assert inner.regions.value == inner.linear.value == 2**doublings
    assert outer.regions.value == outer.linear.value == (2**doublings + 2 if doublings > 1 else 3)


def test_a_network_and_its_float16_rounding():
    """The greatest difference is at a vertex of the joint complex."""
    network = random_network([2, 16, 16, 1], 2)
    pairs = [(layer.terms[0][1], layer.bias) for layer in network.layers]
    rounded = Network.from_layers([(np.float16(a.weight).astype(float), np.float16(b).astype(float)) for a, b in pairs])
    joint = postcompose_affine([[1, -1]], [0], side_by_side([network, rounded]))
    cells = exact_cells(joint, cube(2))
    points = [[F(int(x.p), int(x.q)) for x in vertex] for vertex in cells.vertices]
    largest = np.argsort(abs(realize(joint, np.array(points, dtype=float))[:, 0]))[-5:]
    size, point = max((abs(realize_exact(joint, points[i])[0]), points[i]) for i in largest)
    assert cells.f_vector() == (1160, 2262, 1103)
    assert float(size) == pytest.approx(0.00101776000130836, rel=1e-12)
    assert [float(x) for x in point] == pytest.approx([1.0, 0.11690064], abs=1e-8)


@pytest.mark.parametrize("doublings", [2, 3])
def test_sums_of_sawtooths(doublings):
    """2^k x 2^k squares; the level 3/2 cuts the corners of the four around each of the 4^(k-1) peaks."""
    waves = [precompose_affine(sawtooth(doublings), [[int(i == j) for j in range(2)]], [0]) for i in range(2)]
    network = postcompose_affine([[1, 1]], [0], side_by_side(waves))
    side, peaks = 2**doublings, 4 ** (doublings - 1)
    assert exact_cells(network, cube(2, 0)).f_vector() == ((side + 1) ** 2, 2 * side * (side + 1), side**2)
    counts = (side + 1) ** 2 + 4 * peaks, 2 * side * (side + 1) + 8 * peaks, side**2 + 4 * peaks
    assert exact_cells(network, cube(2, 0), level=F(3, 2)).f_vector() == counts


def test_refuses():
    network = small_integers([2, 2, 1], 0)
    with pytest.raises(DomainError, match="dimensions"):
        exact_cells(network, Box(0, 1))
    with pytest.raises(DomainError, match="level"):
        exact_cells(small_integers([2, 2, 2], 0), cube(2), level=0)
    with pytest.raises(DomainError, match="at most 8"):
        exact_cells(small_integers([9, 2, 1], 0), cube(9))
    with pytest.raises(HypothesisError, match="tanh"):
        exact_cells(small_integers([2, 2, 1], 0, "tanh"), cube(2))
