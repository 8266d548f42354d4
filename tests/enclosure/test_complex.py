"""The polyhedral complex in float64: published counts, Zaslavsky, linear programs, and explicit enumeration."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from flint import fmpq, fmpq_mat

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.bends import BendingForms
from epsnet.core.linear_maps import Convolution, Dense, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize
from epsnet.enclosure.complex import polyhedral_complex
from epsnet.enclosure.regions import regions


def random_layers(widths, seed):
    generator = np.random.default_rng(seed)
    pairs = []
    for inputs, outputs in itertools.pairwise(widths):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        pairs.append((weight, generator.uniform(-1, 1, outputs)))
    return pairs


def random_network(widths, seed, activation="relu"):
    return Network.from_layers(random_layers(widths, seed), activation)


def cube(dimension, radius=1):
    return Box([-radius] * dimension, [radius] * dimension)


def skipping(seed):
    """A network of two variables with skip connections, different activations in one layer and two outputs."""
    g = np.random.default_rng(seed)
    return Network(
        2,
        (
            Layer(((0, Dense(g.standard_normal((4, 2)))),), g.uniform(-1, 1, 4), ("relu", "abs", "identity", "relu")),
            Layer(
                (
                    (1, Sparse((3, 4), [0, 1, 2, 2], [0, 1, 2, 3], g.standard_normal(4))),
                    (0, Dense([[1, 2], [0, 1], [3, 1]])),
                ),
                g.uniform(-1, 1, 3),
                ("leaky_relu(0.1)",),
            ),
            Layer(((2, Dense(g.standard_normal((2, 3)))),), g.uniform(-1, 1, 2), ("identity",)),
            Layer(((3, Dense(np.eye(2))), (1, Dense(g.standard_normal((2, 4))))), np.zeros(2), ("relu", "identity")),
        ),
    )  # fmt: skip


def convolutional():
    """Six pixels, a convolution with two channels, and a dense layer."""
    g = np.random.default_rng(5)
    kernel = Convolution(g.standard_normal((2, 1, 2, 2)), (1, 2, 3))
    return Network.from_layers(
        [(kernel, g.uniform(-0.5, 0.5, 2)), (g.standard_normal((3, 4)), g.uniform(-0.5, 0.5, 3)), ([[1, -1, 1]], [0])]
    )


@pytest.mark.parametrize(
    ("widths", "seed", "expected"),
    [
        ([2, 10, 1], 0, 26),
        ([2, 8, 8, 1], 1, 27),
        ([2, 16, 16, 1], 2, (316, 601, 286)),
        ([3, 8, 8, 1], 3, 175),
        ([4, 6, 6, 1], 4, (629, 1990, 2350, 1226, 238)),
        ([2, 32, 32, 1], 11, 681),
        ([2, 20, 20, 20, 1], 12, 571),
        ([3, 20, 20, 1], 13, 3085),
        ([4, 12, 12, 1], 14, 1665),
        ([5, 8, 8, 1], 15, 732),
        ([6, 7, 7, 1], 16, 1298),
        ([3, 64, 64, 1], 32, (121626, 358434, 352115, 115306)),
    ],
    ids=str,
)
def test_published_counts_on_the_cube(widths, seed, expected):
    found = polyhedral_complex(random_network(widths, seed), cube(widths[0]))
    counts = found.f_vector()
    assert expected in (counts, counts[-1])
    assert counts[:2] == (len(found.vertices), len(found.edges))


@pytest.mark.parametrize(
    ("widths", "seed", "expected"),
    [([2, 8, 8, 1], 1, 95), ([2, 16, 16, 1], 2, 485), ([3, 8, 8, 1], 3, 749), ([3, 12, 12, 1], 22, 2393)],
    ids=str,
)
def test_published_counts_on_the_whole_space(widths, seed, expected):
    found = polyhedral_complex(random_network(widths, seed), None)
    assert found.unbounded
    assert found.f_vector()[-1] == expected == len(regions(found))


@pytest.mark.parametrize(
    ("widths", "seed"), [([1, 7, 1], 4), ([2, 10, 1], 0), ([3, 12, 1], 1), ([4, 11, 1], 2)], ids=str
)
def test_one_layer_has_the_f_vector_of_zaslavsky(widths, seed):
    d, n = widths[:2]
    # The k-cells lie in the intersections of d - k hyperplanes, each cut by the other n - d + k.
    counts = [comb(n, d - k) * sum(comb(n - d + k, j) for j in range(k + 1)) for k in range(d + 1)]
    assert polyhedral_complex(random_network(widths, seed), None).f_vector() == tuple(counts)


NETWORKS = {
    "d1": (random_network([1, 5, 5, 1], 1), 1),
    "d2": (random_network([2, 5, 5, 1], 2), 1),
    "d2 deep": (random_network([2, 4, 4, 4, 1], 3), 1),
    "d2 wide box": (random_network([2, 5, 4, 1], 4), 50),
    "d2 whole plane": (random_network([2, 5, 4, 1], 4), None),
    "d3": (random_network([3, 4, 4, 1], 5), 1),
    "d3 whole space": (random_network([3, 4, 3, 1], 6), None),
    "d4": (random_network([4, 4, 3, 1], 7), 1),
    "abs": (random_network([2, 4, 4, 1], 8, "abs"), 1),
    "leaky": (random_network([2, 4, 4, 1], 9, "leaky_relu(0.25)"), 1),
    "skips": (skipping(10), 2),
    "skips, whole plane": (skipping(10), None),
}


def programs(network, radius):
    """Return the sign vectors of all activation regions: depth first over the neurons, two linear programs for each."""
    from scipy.optimize import linprog

    d = network.inputs
    bounds = (None, None) if radius is None else (-radius, radius)
    found = []

    def extreme(row, sides, sign):
        a = np.array([side[:d] for side in sides]) if sides else None
        b = np.array([side[d] for side in sides]) if sides else None
        solved = linprog(sign * row[:d], A_ub=a, b_ub=b, bounds=[bounds] * d, method="highs")
        return sign * np.inf * -1 if solved.status != 0 else sign * solved.fun + row[d]

    def visit(outputs, number, neuron, sides, signs):
        if number == len(network.layers):
            found.append(tuple(signs))
            return
        layer = network.layers[number]
        if neuron == layer.outputs:
            visit([*outputs, np.empty((0, d + 1))], number + 1, 0, sides, signs)
            return
        row = np.append(np.zeros(d), float(layer.bias_values()[neuron]))
        for source, linear in layer.terms:
            for column, weight in linear.rows[neuron]:
                row = row + float(weight) * outputs[source][column]
        left, right = (float(slope) for slope in layer.functions()[neuron].slopes)
        for sign, slope in ((-1, left), (1, right)):
            if left != right:
                if sign * extreme(row, sides, -sign) <= 1e-9:
                    continue
                side = [*sides, -sign * row * np.append(np.ones(d), -1)]
                step = [*signs, sign]
            elif sign > 0:
                side, step = sides, signs
            else:
                continue
            grown = [*outputs[: number + 1], np.concatenate([*outputs[number + 1 :], [slope * row]])]
            visit(grown, number, neuron + 1, side, step)

    def start():
        visit([np.eye(d, d + 1), np.empty((0, d + 1))], 0, 0, [], [])

    start()
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_linear_programs_find_the_same_regions(name):
    network, radius = NETWORKS[name]
    d = network.inputs
    found = polyhedral_complex(network, None if radius is None else cube(d, radius))
    signs = regions(found).signs()
    assert (signs[:, : 2 * d] == 1).all()
    assert sorted(map(tuple, signs[:, 2 * d :].tolist())) == sorted(programs(network, radius))


def all_cells(found):
    """Return the sign vectors of all cells: every choice of signs for the zeros of every vertex."""
    cells = {}
    for signs, zeros in zip(found.signs(), found.vertex_zeros, strict=True):
        sides = [(1,) if z < 2 * found.dimension and found.unbounded else (0, 1) for z in zeros]
        sides = [side if z < 2 * found.dimension else (-1, 0, 1) for z, side in zip(zeros, sides, strict=True)]
        for choice in itertools.product(*sides):
            cell = signs.copy()
            cell[zeros] = choice
            cells[cell.tobytes()] = cell
    return list(cells.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_cells_listed_one_by_one(name):
    network, radius = NETWORKS[name]
    d = network.inputs
    found = polyhedral_complex(network, None if radius is None else cube(d, radius))
    zeros = [cell.tolist().count(0) for cell in all_cells(found)]
    counts = tuple(zeros.count(d - k) for k in range(d + 1))
    assert found.f_vector() == counts
    assert sum((-1) ** k * f for k, f in enumerate(counts)) == ((-1) ** d if found.unbounded else 1)
    # Every vertex has one edge for each side of its d zero sets, but none leaves the box.
    degrees = np.bincount(found.edges.ravel(), minlength=len(found.vertices))
    assert (degrees == 2 * d - (found.vertex_zeros < 2 * d).sum(axis=1)).all()
    for part, zeros in ((found.vertices, found.vertex_zeros), (found.edges, found.edge_zeros)):
        assert len(part) == len(zeros)
        assert (np.diff(zeros, axis=1) > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_regions_maps_and_neighbors(name):
    network, radius = NETWORKS[name]
    d = network.inputs
    found = polyhedral_complex(network, None if radius is None else cube(d, radius))
    parts = regions(found)
    points, (slope, offset) = parts.points(), parts.affine_maps()
    values = realize(network, points).reshape(len(points), -1)
    scale = 1 + np.abs(points).max() * np.abs(slope).max() + np.abs(offset).max()
    assert np.abs(np.einsum("rmd,rd->rm", slope, points) + offset - values).max() <= 1e-12 * scale
    assert parts.locate(points).tolist() == list(range(len(parts)))
    random = np.random.default_rng(0).uniform(-1, 1, (2000, d)) * (radius or 100)
    where = parts.locate(random)
    assert where.min() >= 0
    local = np.einsum("rmd,rd->rm", slope[where], random) + offset[where]
    assert np.abs(local - realize(network, random).reshape(len(random), -1)).max() <= 1e-12 * scale
    assert (parts.locate(random + 1e9) >= 0).all() == found.unbounded
    pairs, columns = parts.neighbors()
    signs = parts.signs()
    known = {row.tobytes(): number for number, row in enumerate(signs)}
    expected = []
    for cell in all_cells(found):
        (zeros,) = np.nonzero(cell == 0)
        if len(zeros) == 1 and zeros[0] >= 2 * d:
            sides = [cell + side * (cell == 0) for side in (-1, 1)]
            expected.append((*(known[side.astype(np.int8).tobytes()] for side in sides), int(zeros[0])))
    assert sorted(zip(*pairs.T.tolist(), columns.tolist(), strict=True)) == sorted(expected)


def test_linear_regions_are_fewer_where_a_later_neuron_is_dead():
    # y = relu(1 - relu(x) - relu(-x) ... ) sees |x|; outside of the diamond |x| + |y| <= 1 it is 0 in all quadrants.
    network = Network.from_layers(
        [
            ([[1, 0], [-1, 0.001], [0, 1], [0.001, -1]], [0.01, 0.02, 0.03, 0.04]),
            ([[-1, -1, -1, -1]], [1]),
            ([[2]], [3]),
        ]
    )
    parts = regions(polyhedral_complex(network, cube(2, 4)))
    count, labels = parts.linear_regions()
    slope, offset = parts.affine_maps()
    dead = (slope == 0).all(axis=(1, 2))
    assert (offset[dead] == 3).all()
    assert len(set(labels[dead])) == 1
    assert count == 1 + (~dead).sum() < len(parts)


def test_a_sum_of_two_kinks_that_cancel_is_one_linear_region():
    # relu(z) - relu(-z) = z, with a shifted third neuron that does bend.
    w = np.array([0.3, 0.7])
    network = Network.from_layers([([w, -w * 0.5, [1, -1]], [0.1, -0.0500001, 0.2]), ([[1, -2, 1]], [0])])
    count, _ = regions(polyhedral_complex(network, cube(2))).linear_regions()
    # The strip between the two kinks is a region of its own.
    assert count == 6
    single = Network.from_layers([([[1.0, 0.0], [0.0, 1.0]], [0.1, 0.2]), ([[1.0, 0.0]], [0.0])])
    assert regions(polyhedral_complex(single, cube(2))).linear_regions()[0] == 2


def test_a_level_is_one_more_column():
    network = random_network([2, 8, 8, 1], 1)
    without = polyhedral_complex(network, cube(2))
    level = float(np.median(realize(network, without.vertices)))
    found = polyhedral_complex(network, cube(2), level=level)
    on = (found.vertex_zeros == found.columns - 1).any(axis=1)
    values = realize(network, found.vertices)[:, 0]
    assert on.any()
    assert np.abs(values[on] - level).max() <= 1e-13
    assert (np.sign(values[~on] - level) == found.signs()[~on, -1]).all()
    assert found.f_vector()[-1] > without.f_vector()[-1]
    twice = Network.from_layers(random_layers([2, 4, 2], 1))
    with pytest.raises(DomainError, match="one output"):
        polyhedral_complex(twice, cube(2), level=0)


def test_a_convolution_and_its_matrix_have_the_same_complex():
    network = convolutional()
    rows, columns, values = network.layers[0].terms[0][1].entries()
    matrix = np.zeros((4, 6))
    matrix[rows, columns] = values
    first, *rest = network.layers
    dense = Network(6, (Layer(((0, Dense(matrix)),), np.array(first.bias_values())), *rest))
    assert polyhedral_complex(network, cube(6)).f_vector() == polyhedral_complex(dense, cube(6)).f_vector()


def test_more_neurons_than_a_word_has_bits_and_points_in_many_groups():
    network = random_network([2, 70, 70, 1], 6)
    found = polyhedral_complex(network, cube(2))
    signs = found.signs()
    assert len(np.unique(signs, axis=0)) == len(signs)
    # Planar graphs: all inner vertices have four edges, so the counts follow from the number of vertices on the sides.
    outer = (found.vertex_zeros < 4).sum(axis=1)
    assert len(found.edges) == (4 * len(outer) - outer.sum()) // 2
    assert found.f_vector()[-1] == len(found.edges) - len(found.vertices) + 1


def test_positions_are_as_exact_as_their_estimated_errors():
    network = random_network([3, 8, 8, 1], 3)
    found = polyhedral_complex(network, cube(3))
    forms = BendingForms(network, cube(3))
    for number in range(0, len(found.vertices), 10):
        rows = forms.affine(found.signs(np.array([number]))[0].tolist())
        zeros = [rows[z] for z in found.vertex_zeros[number]]
        point = fmpq_mat([row[:3] for row in zeros]).solve(fmpq_mat([[-row[3]] for row in zeros]))
        off = [float(point[i, 0] - fmpq(*x.as_integer_ratio())) for i, x in enumerate(found.vertices[number])]
        assert np.linalg.norm(off) <= 4 * found.errors[number] <= 1e-11


def test_progress_reaches_the_end():
    steps = []
    polyhedral_complex(
        random_network([2, 70, 3, 1], 6), cube(2), progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(64, 73), (70, 73), (73, 73)]


def test_a_network_without_kinks_is_the_box():
    affine = Network.from_layers([([[1.0, 2.0, 3.0]], [0.5])])
    found = polyhedral_complex(affine, cube(3))
    assert found.f_vector() == (8, 12, 6, 1)
    assert regions(found).linear_regions()[0] == 1


@pytest.mark.parametrize(
    "layers",
    [
        [([[1, 0], [1, 0]], [0, 0]), ([[1, 1]], [0])],
        [([[1, 0], [0, 1], [1, 1]], [0, 0, 0]), ([[1, 1, 1]], [0])],
        [([[1, 1]], [0]), ([[1]], [0])],
        [([[0, 0]], [0]), ([[1]], [0])],
        [([[1, 0.5], [1, 0.25]], [0, 0]), ([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])],
        [([[0.1, 0.3], [0.1, 0.3 + 1e-16]], [0.05, 0.05]), ([[1, 1]], [0])],
        [([[1, 0.3], [0.2, 1], [3, 2.9]], [-0.36, -0.26, -1.48]), ([[1, 1, 1]], [0])],
    ],
    ids=[
        "twice",
        "three through a point",
        "through a corner",
        "dead",
        "zero on a region",
        "nearly twice",
        "nearly three",
    ],
)
def test_degenerate_networks_are_refused(layers):
    with pytest.raises(HypothesisError, match="exact_cells"):
        polyhedral_complex(Network.from_layers(layers), cube(2))


def test_what_does_not_fit_is_refused():
    with pytest.raises(HypothesisError, match="tanh"):
        polyhedral_complex(random_network([2, 3, 1], 1, "tanh"), cube(2))
    with pytest.raises(DomainError, match="at most 6"):
        polyhedral_complex(random_network([7, 3, 1], 1), cube(7))
    with pytest.raises(DomainError, match="one side"):
        polyhedral_complex(random_network([2, 3, 1], 1), cube(3))
    with pytest.raises(HypothesisError, match="direction"):
        polyhedral_complex(random_network([3, 2, 5, 1], 1), None)
    with pytest.raises(DomainError, match="one row"):
        regions(polyhedral_complex(random_network([2, 3, 1], 1), cube(2))).locate([1.0, 2.0])
