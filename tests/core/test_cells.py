"""The cells of a subdivision: signs, witness text, linear regions."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.core.cells import Cells, cell_boundary, cell_signs, witness
from epsnet.core.linear_regions import linear_regions
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize
from epsnet.enclosure.subdivision import exact_cells

TRIANGLE = [(np.array([2, 2, 2]), np.array([0, 1, 0, 2, 1, 2])), (np.array([3]), np.array([0, 1, 2]))]


def test_signs_of_cells_are_those_of_their_vertices():
    vertices = np.array([[0, 1, -1], [1, 0, -1], [0, 0, 0]], dtype=np.int8)
    _, edges, faces = cell_signs(vertices, TRIANGLE)
    assert edges.tolist() == [[1, 1, -1], [0, 1, -1], [1, 0, -1]]
    assert faces.tolist() == [[1, 1, -1]]
    assert cell_boundary(3, TRIANGLE) == (((), (), ()), ((0, 1), (0, 2), (1, 2)), ((0, 1, 2),))
    with pytest.raises(DomainError, match="changes its sign"):
        cell_signs(np.array([[1], [0], [-1]], dtype=np.int8), TRIANGLE)


def test_witness():
    boundary = cell_boundary(3, TRIANGLE)
    signs = cell_signs(np.zeros((3, 1), dtype=np.int8), TRIANGLE)
    cells = Cells(((fmpq(0), fmpq(-1, 3)), (fmpq(5, 2), fmpq(7, 6)), (fmpq(16), fmpq(0))), signs, boundary)
    arrays = witness(cells)
    assert cells.f_vector() == (3, 3, 1)
    assert cells.dimension == 2
    assert arrays["points"].tobytes() == b"0 -1 3\nf 7 6\n10 0 1"
    assert arrays["counts"].tolist() == [3, 1]
    assert arrays["sizes"].tolist() == [2, 2, 2, 3]
    assert arrays["faces"].tolist() == [0, 1, 0, 2, 1, 2, 0, 1, 2]


def count(layers, low, high):
    network, box = Network.from_layers(layers), Box(low, high)
    return linear_regions(network, box, exact_cells(network, box))


def test_linear_regions_by_hand():
    lines = [[1.0, 0.0], [0.0, 1.0]]
    # |x| + |y| has four, |x| two; relu(x) - relu(2x)/2 is 0; (relu x, relu y) four, each output alone two.
    plus_minus = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    assert count([(plus_minus, np.zeros(4)), (np.ones((1, 4)), [0.0])], [-1, -1], [1, 1]) == 4
    assert count([(plus_minus, np.zeros(4)), ([[1.0, 1.0, 0.0, 0.0]], [0.0])], [-1, -1], [1, 1]) == 2
    assert count([([[1.0], [2.0]], np.zeros(2)), ([[1.0, -0.5]], [0.0])], -1, 1) == 1
    assert count([(lines, np.zeros(2)), (np.eye(2), np.zeros(2))], [-1, -1], [1, 1]) == 4


def test_equal_maps_that_meet_in_a_point_are_two_regions():
    """relu(|x| - |y|) is 0 above and below, in regions that meet in the origin; left and right it has two each."""
    kinks = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    network = [(kinks, np.zeros(4)), ([[1.0, 1.0, -1.0, -1.0]], [0.0]), ([[1.0]], [0.0])]
    assert count(network, [-1, -1], [1, 1]) == 6


@pytest.mark.parametrize("seed", range(6))
def test_linear_regions_against_sampled_slopes(seed):
    """In one dimension: the number of different slopes in a row, between all breakpoints."""
    random = np.random.default_rng(seed)
    layers, width = [], 1
    for size in (5, 4, 1):
        layers.append((random.integers(-2, 3, (size, width)).astype(float), random.integers(-4, 5, size) / 4))
        width = size
    network, box = Network.from_layers(layers), Box(-2, 2)
    cells = exact_cells(network, box)
    points = sorted(Fraction(int(x.p), int(x.q)) for (x,) in cells.vertices)
    values = realize(network, np.array(points, dtype=float))
    slopes = np.diff(values) / np.diff(np.array(points, dtype=float))
    kinks = sum(abs(a - b) > 1e-9 for a, b in itertools.pairwise(slopes))
    assert linear_regions(network, box, cells) == kinks + 1


def test_linear_regions_with_a_last_activation():
    layers = (Layer(((0, Network.from_layers([([[1.0]], [0.0])]).layers[0].terms[0][1]),), np.zeros(1), ("relu",)),)
    network = Network(1, layers)
    assert linear_regions(network, Box(-1, 1), exact_cells(network, Box(-1, 1))) == 2
