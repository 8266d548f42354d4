"""Exact reductions: equal in rational arithmetic, found where they are, on hostile networks too."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import HypothesisError
from epsnet.checker.kernel import check
from epsnet.compression.exact import merge_affine, reduce_exactly
from epsnet.core.differential import chain
from epsnet.core.linear_maps import Convolution, Dense
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact
from epsnet.enclosure.exact_values import exact_distance

SQUARE = Box([0, 0], [1, 1])


def dyadic(seed, widths, shift=0.0):
    """Weights that are multiples of 1/8: sums of them are float64 numbers."""
    generator = np.random.default_rng(seed)
    return Network.from_layers([
        (generator.integers(-16, 17, size=(m, n)) / 8, generator.integers(-16, 17, size=m) / 8 + shift)
        for n, m in pairwise(widths)
    ])  # fmt: skip


def with_copies(network):
    """Double the first layer, the copies twice as large, and add a dead and a constant neuron."""
    first, second, *rest = [(stage.weight, stage.bias) for stage in chain(network)]
    zero = np.zeros((2, network.inputs))
    weight, bias = np.vstack([first[0], 2 * first[0], zero]), np.concatenate([first[1], 2 * first[1], [-1.0, 2.0]])
    ones = np.ones((len(second[1]), 2))
    return Network.from_layers([(weight, bias), (np.hstack([second[0], 3 * second[0], ones]), second[1]), *rest])


@pytest.mark.parametrize("seed", range(4))
def test_equal_at_rational_points_and_on_all_cells(seed):
    network = dyadic(seed, (2, 6, 5, 2))
    found = reduce_exactly(network, SQUARE, boxes=32)
    random = np.random.default_rng(seed)
    for _ in range(20):
        x = [Fraction(int(random.integers(0, 98)), 97) for _ in range(2)]
        assert realize_exact(found.network, x) == realize_exact(network, x)
    assert exact_distance(found.network, network, SQUARE).upper.exact == 0
    assert check(found.solution).error.limit == 0
    assert found.network.size.weights <= network.size.weights


def test_copies_and_constants_are_found():
    network = dyadic(1, (2, 5, 4, 1))
    large = with_copies(network)
    alone, found = reduce_exactly(network, SQUARE), reduce_exactly(large, SQUARE)
    assert found.network.size.weights == alone.network.size.weights
    assert found.steps["merge"] >= 1 and found.steps["constant"] >= 1
    assert exact_distance(found.network, large, SQUARE).upper.exact == 0


def test_a_bisection_finds_more():
    """relu(x - y - relu(x - y) + relu(y - x) - 1/8) is 0 on the box, which one relaxation of the box does not see."""
    network = Network.from_layers([
        ([[1.0, -1.0], [-1.0, 1.0], [1.0, 0.0]], [0.0, 0.0, 1.0]),
        ([[-1.0, 1.0, 0.0], [-1.0, -1.0, 1.0]], [-1.25, 0.0]),
        ([[1.0, 1.0]], [0.0]),
    ])  # fmt: skip
    counts = [reduce_exactly(network, SQUARE, boxes=boxes).network.size.weights for boxes in (1, 500)]
    assert counts[1] <= counts[0]


def test_kinds():
    """Without a step nothing needs to be proved of neurons."""
    hat = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
    found = reduce_exactly(hat, Box(0, 1)).solution
    assert found.error.kind in (Kind.PROVED, Kind.VERIFIED)
    check(found)


def hostile():
    one = Network.from_layers([([[1.0, 1.0]], [0.0])])
    dead = Network.from_layers([(np.ones((3, 2)), [-5.0] * 3), (np.ones((2, 3)), [1.0, 2.0])])
    constant = Network.from_layers([(np.zeros((3, 2)), [1.0] * 3), (np.ones((1, 3)), [0.0])])
    neuron = Network.from_layers([([[1.0, -1.0]], [0.0]), ([[1.0]], [0.0])])
    deep = Network.from_layers([([[1.0, 2.0]], [0.0]), ([[1.0]], [0.0]), ([[1.0]], [0.0]), ([[3.0]], [1.0])])
    skip = Network(2, (
        Layer(((0, Dense(np.eye(2))),), np.array([-0.5, -2.0])),
        Layer(((1, Dense([[1.0, 1.0]])), (0, Dense([[1.0, 0.0]]))), np.zeros(1), ("identity",)),
    ))  # fmt: skip
    smooth = Network.from_layers([(np.ones((3, 2)), np.zeros(3)), (np.ones((1, 3)), [0.0])], "tanh")
    return {"affine": one, "dead": dead, "constant": constant, "neuron": neuron, "deep": deep, "skip": skip,
            "smooth": smooth}  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_hostile_networks(name):
    network = hostile()[name]
    found = reduce_exactly(network, SQUARE, boxes=8)
    check(found.solution)
    x = np.random.default_rng(0).uniform(size=(100, 2))
    np.testing.assert_allclose(realize(found.network, x), realize(network, x), rtol=1e-14, atol=1e-14)
    expected = {"dead": 2, "constant": 1, "deep": 3, "affine": 2}.get(name)
    assert expected is None or found.network.size.weights == expected


def test_a_convolution_stays():
    kernel = Convolution(np.ones((1, 1, 2, 2)), (1, 2, 2))
    network = Network(4, (
        Layer(((0, kernel),), np.array([0.5])),
        Layer(((1, Dense([[1.0], [2.0]])),), np.array([0.0, -9.0])),
        Layer(((2, Dense([[1.0, 1.0]])),), np.zeros(1), ("identity",)),
    ))  # fmt: skip
    found = reduce_exactly(network, Box([0] * 4, [1] * 4))
    check(found.solution)
    assert isinstance(found.network.layers[0].terms[0][1], Convolution)


def test_affine_neurons_give_way_to_their_inputs():
    network = dyadic(3, (2, 12, 1), shift=5.0)
    found = reduce_exactly(network, SQUARE)
    merged = merge_affine(found)
    assert merged.size.neurons <= found.network.size.neurons
    assert exact_distance(merged, network, SQUARE).upper.value < 1e-12


def test_affine_neurons_of_networks_with_skips_are_refused():
    with pytest.raises(HypothesisError):
        merge_affine(reduce_exactly(hostile()["skip"], SQUARE))
