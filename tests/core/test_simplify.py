"""The simplifier: equal on the box in exact arithmetic, never larger, and every step re-proved by the replay."""

import copy
import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.core.calculus import add, compose, identity, pad_depth, parallel, scale, sparse_compose
from epsnet.core.linear_maps import Convolution, Dense, Exact
from epsnet.core.network import Layer, Network
from epsnet.core.ranges import argument_ranges
from epsnet.core.realize import forward, realize, realize_exact
from epsnet.core.simplify import replay, simplify

LINEAR = ("relu", "leaky_relu(0.25)", "abs", "identity")
SEEDS = st.integers(0, 2**32 - 1)
STYLES = st.sampled_from(["dyadic", "float", "rational"])
HAT = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])


def random_box(rng, dimension):
    low = [Fraction(int(rng.integers(-6, 7)), 3) for _ in range(dimension)]
    return Box(low, [a + Fraction(int(rng.integers(1, 7)), 3) for a in low])


def points(rng, box, count=8):
    corners = [box.lower, box.upper, tuple((a + b) / 2 for a, b in zip(box.lower, box.upper, strict=True))]
    inside = [
        tuple(a + (b - a) * Fraction(int(rng.integers(0, 13)), 12) for a, b in zip(box.lower, box.upper, strict=True))
        for _ in range(count)
    ]
    return corners + inside


def kinks(network, box):
    """Points of a one-dimensional box at which an argument of the network changes sign, by bisection in rationals."""
    (low,), (high,) = box.lower, box.upper
    grid = [low + (high - low) * k / 64 for k in range(65)]
    values = [[argument for layer in all_arguments(network, (x,)) for argument in layer] for x in grid]
    found = []
    for (a, fa), (b, fb) in zip(zip(grid, values, strict=True), zip(grid[1:], values[1:], strict=True), strict=False):
        found += [(a + (b - a) * u / (u - v),) for u, v in zip(fa, fb, strict=True) if u * v < 0]
    return found


def all_arguments(network, x):
    arguments = []

    def activate(function, value):
        arguments.append(value)
        return function.exact(value)

    forward(network, list(x), constant=Fraction, multiplier=Fraction, activate=activate)
    rest = iter(arguments)
    return [[next(rest) for _ in range(layer.outputs)] for layer in network.layers]


def check_everything(network, box, rng):
    found = simplify(network, box)
    assert found.network.size.weights <= network.size.weights
    assert found.network.size.neurons <= network.size.neurons
    log = json.loads(json.dumps(found.log))
    assert replay(network, box, log).sha256 == found.network.sha256
    extra = kinks(network, box) if box.dimension == 1 else []
    for x in points(rng, box) + extra:
        assert realize_exact(network, x) == realize_exact(found.network, x)
    return found


@given(SEEDS, st.sampled_from(LINEAR), STYLES, st.booleans(), st.integers(1, 3), st.integers(1, 4))
def test_equal_on_the_box_and_never_larger(random_network, seed, activation, style, skips, dimension, depth):
    rng = np.random.default_rng(seed)
    network = random_network(rng, dimension, 2, depth, activation, style, skips=skips, mixed=LINEAR if seed % 2 else ())
    check_everything(network, random_box(rng, dimension), rng)


@given(SEEDS, st.sampled_from(["relu", "leaky_relu(0.25)"]), STYLES)
def test_results_of_the_calculus_become_smaller(random_network, seed, activation, style):
    rng = np.random.default_rng(seed)
    f, g = (random_network(rng, 1, 1, 2, activation, style) for _ in range(2))
    box = Box(0, 2)
    for network in (
        sparse_compose(f, g, activation),
        add(f, f),
        parallel(f, pad_depth(g, 4, activation=activation), activation=activation),
    ):
        check_everything(network, box, rng)


@given(SEEDS, st.sampled_from(["dyadic", "float"]), st.booleans(), st.integers(1, 3))
def test_ranges_contain_all_arguments(random_network, seed, style, skips, dimension):
    rng = np.random.default_rng(seed)
    network = random_network(rng, dimension, 1, 4, "relu", style, skips=skips, mixed=LINEAR)
    box = random_box(rng, dimension)
    ranges = argument_ranges(network, box)
    for x in points(rng, box):
        for own, values in zip(ranges, all_arguments(network, x), strict=True):
            assert all(low <= value <= high for (low, high), value in zip(own, values, strict=True))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "sin"])
def test_smooth_activations(random_network, name):
    rng = np.random.default_rng(11)
    f = random_network(rng, 2, 2, 3, name, "float")
    box = Box([-1, -1], [1, 1])
    x = rng.uniform(-1, 1, size=(50, 2))
    for network in (
        add(f, f),
        parallel(f, f),
        random_network(rng, 2, 1, 4, name, "dyadic", skips=True, mixed=("relu",), density=0.4),
    ):
        found = simplify(network, box)
        np.testing.assert_allclose(realize(found.network, x), realize(network, x), rtol=1e-12, atol=1e-12)
        assert replay(network, box, found.log).sha256 == found.network.sha256
    merged = simplify(parallel(f, f), box).network
    # Both copies become one, with two outputs each.
    assert merged.size.neurons == f.size.neurons or name in ("relu",)


def test_odd_activations_merge_opposite_neurons():
    network = Network.from_layers([([[2.0], [-2.0], [1.0]], [1.0, -1.0, 0.0]), ([[3.0, 5.0, 1.0]], [0.0])], "tanh")
    found = simplify(network, Box(-1, 1)).network
    assert found.size.neurons == 2
    assert found.layers[1].terms[0][1].weight.tolist() == [[-2.0, 1.0]]
    other = Network.from_layers([([[2.0], [-2.0]], [1.0, -1.0]), ([[3.0, 5.0]], [0.0])], "gelu")
    assert simplify(other, Box(-1, 1)).network is other


def test_an_inactive_and_an_active_neuron():
    network = Network.from_layers([([[1.0], [1.0], [-1.0]], [0.0, 5.0, -1.0]), ([[1.0, 2.0, 3.0]], [0.0])])
    found = simplify(network, Box(-1, 1))
    # relu(-x - 1) is inactive although its range ends at the kink; relu(x + 5) = x + 5 becomes a skip connection.
    assert {step["step"] for step in found.log} == {"inactive", "substitute"}
    assert found.network.size.neurons == 1
    assert found.network.layers[-1].bias.tolist() == [10.0]


def test_carries_vanish():
    padded = pad_depth(compose(HAT, HAT), 9)
    found = simplify(padded, Box(0, 1))
    assert found.network.size.weights <= compose(HAT, HAT).size.weights
    assert simplify(identity(2, 6), Box([-1, -1], [1, 1])).network.size.weights == 2


def test_a_layer_of_constants_disappears():
    network = Network.from_layers([([[1.0]], [-3.0]), ([[2.0], [1.0]], [0.0, 4.0]), ([[1.0, 0.5]], [1.0])])
    found = simplify(network, Box(0, 1)).network
    assert found.size.weights == 1
    assert realize_exact(found, (Fraction(1, 3),)) == (Fraction(3),)
    assert simplify(scale(0, HAT), Box(0, 1)).network.size.weights == 0


def test_rational_results_are_kept_exactly():
    network = Network(1, (
        Layer(((0, Exact((1, 1), {(0, 0): Fraction(1, 3)})),), (Fraction(1, 7),), ("relu",)),
        Layer(((1, Exact((1, 1), {(0, 0): Fraction(1, 5)})),), (Fraction(0),), ("identity",)),
    ))  # fmt: skip
    found = simplify(network, Box(0, 1)).network
    assert len(found.layers) == 1
    assert found.layers[0].terms[0][1].entries()[2] == [Fraction(1, 15)]
    assert found.layers[0].bias == (Fraction(1, 35),)


def test_convolutions_are_left_alone(convolutional_network):
    rng = np.random.default_rng(2)
    f = convolutional_network(rng, outputs=2)
    top = Network.from_layers([(np.vstack([np.eye(2), np.eye(2)]), [50.0] * 4), (np.ones((1, 4)), [0.0])])
    network = compose(top, f)
    box = Box([0] * 9, [1] * 9)
    found = check_everything(network, box, rng)
    assert sum(isinstance(linear, Convolution) for layer in found.network.layers for _, linear in layer.terms) == 2
    assert found.network.size.weights < network.size.weights


def test_nothing_to_do_returns_the_same_network(random_network):
    network = random_network(np.random.default_rng(0), 1, 1, 1)
    found = simplify(network, Box(0, 1))
    assert found.network is network
    assert found.log == ()
    assert replay(network, Box(0, 1), []) is network
    with pytest.raises(DomainError, match="dimension 2, the input 1"):
        simplify(network, Box([0, 0], [1, 1]))


BAD = [
    {"step": "inactive", "layer": 1, "neuron": 0},
    {"step": "dead", "layer": 1, "neuron": 1},
    {"step": "constant", "layer": 1, "neuron": 1},
    {"step": "merge", "layer": 1, "neuron": 1, "into": 0},
    {"step": "merge", "layer": 1, "neuron": 1, "into": 1},
    {"step": "merge", "layer": 1, "neuron": 1, "into": 99},
    {"step": "reflect", "layer": 1, "neuron": 1, "into": 0},
    {"step": "reflect", "layer": 1, "neuron": 1, "into": None},
    {"step": "substitute", "layer": 1, "neurons": [1]},
    {"step": "substitute", "layer": 1, "neurons": []},
    {"step": "substitute", "layer": 1, "neurons": [0, 0]},
    {"step": "substitute", "layer": 1, "neurons": 0},
    {"step": "dead", "layer": 2, "neuron": 0},
    {"step": "dead", "layer": 0, "neuron": 0},
    {"step": "dead", "layer": 9, "neuron": 0},
    {"step": "dead", "layer": -1, "neuron": 0},
    {"step": "dead", "layer": True, "neuron": 0},
    {"step": "dead", "layer": 1.0, "neuron": 0},
    {"step": "dead", "layer": [1], "neuron": 0},
    {"step": "dead", "layer": 1},
    {"step": "dead", "layer": 1, "neuron": 0, "more": 1},
    {"step": "unknown", "layer": 1, "neuron": 0},
    {"step": ["dead"], "layer": 1, "neuron": 0},
    {"layer": 1, "neuron": 0},
    {},
    "dead",
    None,
    3,
]


@pytest.mark.parametrize("step", BAD, ids=str)
def test_unjustified_steps_are_refused(step):
    with pytest.raises(CheckError, match="not justified"):
        replay(HAT, Box(-1, 1), [step])


def test_a_log_of_another_box_is_refused():
    network = Network.from_layers([([[1.0], [1.0]], [0.0, -1.0]), ([[1.0, 1.0]], [0.0])])
    log = simplify(network, Box(0, 1)).log
    assert replay(network, Box(Fraction(1, 3), Fraction(1, 2)), log)
    for box in (Box(0, Fraction(1001, 1000)), Box(Fraction(-1, 10**30), 1)):
        with pytest.raises(CheckError):
            replay(network, box, log)


@given(SEEDS)
def test_mutated_logs_are_refused_or_still_exact(random_network, seed):
    """A mutation either violates a condition, or is another justified way to an equal network; usually the former."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 1, 1, 4, "relu", skips=bool(seed % 2))
    network = add(network, network)
    box = Box(0, 1)
    log = [dict(step) for step in simplify(network, box).log]
    mutated = copy.deepcopy(log)
    index = int(rng.integers(len(log)))
    match int(rng.integers(5)):
        case 0:
            mutated.insert(index, mutated[index])
        case 1:
            mutated[index]["layer"] += int(rng.choice([-1, 1]))
        case 2:
            mutated[index]["step"] = str(rng.choice(["dead", "inactive", "constant"]))
        case 3:
            del mutated[index]
        case _:
            mutated[index] = {"step": "inactive", "layer": 1 + index % 3, "neuron": int(rng.integers(4))}
    try:
        result = replay(network, box, mutated)
    except CheckError:
        return
    for x in points(rng, box) + kinks(network, box):
        assert realize_exact(network, x) == realize_exact(result, x)


def test_a_repeated_step_is_refused():
    log = simplify(add(HAT, HAT), Box(0, 1)).log
    with pytest.raises(CheckError):
        replay(add(HAT, HAT), Box(0, 1), [*log, log[-1]])


def test_a_network_with_weights_that_grow_is_not_touched():
    """Substituting a full linear layer of width 1 into many readers would add weights."""
    rng = np.random.default_rng(1)
    linear = Layer(((0, Dense(rng.normal(size=(1, 6)))),), np.zeros(1), ("identity",))
    readers = Layer(((1, Dense(rng.normal(size=(6, 1)))),), np.zeros(6), ("tanh",))
    top = Layer(((2, Dense(np.ones((1, 6)))),), np.zeros(1), ("identity",))
    network = Network(6, (linear, readers, top))
    assert simplify(network, Box([-1] * 6, [1] * 6)).network is network
