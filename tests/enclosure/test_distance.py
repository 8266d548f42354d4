"""Distances and ranges of networks: against exact evaluation, against known values, and under rounding attacks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.core.components import side_by_side
from epsnet.core.differential import Differential, aligned, beside_zero, chain
from epsnet.core.linear_maps import Dense, Exact
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact
from epsnet.core.slopes import slope_ranges
from epsnet.core.smooth import smooth
from epsnet.enclosure.distance import distance, ranges
from epsnet.enclosure.linear_bounds import output_range

F = Fraction
SQUARE = Box([-1, -1], [1, 1])


def random_network(widths, seed, activation="relu"):
    generator = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in pairwise(widths):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((weight, generator.uniform(-1, 1, outputs)))
    return Network.from_layers(layers, activation=activation)


def mapped(network, change):
    """Return the network with `change` applied to the arrays of weights and biases."""
    layers = [
        replace(layer, terms=((source, Dense(change(linear.weight))),), bias=change(layer.bias))
        for layer in network.layers
        for source, linear in layer.terms
    ]
    return Network(network.inputs, tuple(layers))


def half(array):
    return array.astype(np.float16).astype(np.float64)


def engine_for(first, second, lower, upper):
    return Differential(*aligned(chain(first), chain(second)), lower, upper)


def bounds(first, second, lower, upper, parts):
    """Bound y - y' from above and below on boxes (boxes, d) inside [lower, upper]."""
    engine = engine_for(first, second, lower, upper)
    m = first.outputs
    functional = np.concatenate((np.eye(m), -np.eye(m)))
    low, high = parts
    sides = np.repeat(engine.root, len(low), axis=0)
    found = engine.bounds(low, high, sides, functional, np.ones((len(low), 2 * m), dtype=bool))
    again = engine.bounds(low, high, found.sides, functional, np.ones((len(low), 2 * m), dtype=bool))
    assert np.allclose(again.upper, found.upper, rtol=1e-6, atol=1e-12)
    return found.upper[:, :m], -found.upper[:, m:]


def random_parts(generator, lower, upper, count):
    center = generator.uniform(lower, upper, (count, len(lower)))
    reach = (upper - lower) * generator.choice([1.0, 0.3, 0.03, 0.0], (count, 1))
    return np.maximum(center - reach, lower), np.minimum(center + reach, upper)


@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu(0.125)", "abs", "tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "sin"]
)
def test_no_point_violates_a_bound(activation):
    generator = np.random.default_rng(3)
    for seed in range(4):
        d, depth = int(generator.integers(1, 5)), int(generator.integers(1, 4))
        widths = [d, *generator.integers(1, 9, depth).tolist(), int(generator.integers(1, 4))]
        first = random_network(widths, seed, activation)
        other = random_network([d, 3, widths[-1]], seed + 50, activation)
        noise = 10.0 ** generator.uniform(-6, 0)
        near = mapped(first, lambda a, s=noise: a + s * generator.standard_normal(a.shape))
        lower = generator.uniform(-2, 0, d)
        upper = lower + generator.uniform(0.01, 3, d)
        low, high = random_parts(generator, lower, upper, 12)
        for second in (near, other):
            top, bottom = bounds(first, second, lower, upper, (low, high))
            x = generator.uniform(low, high, (200, *low.shape))
            x = np.concatenate((x, np.where(generator.random(x.shape) < 0.5, low, high))).reshape(-1, d)
            difference = (realize(first, x) - realize(second, x)).reshape(-1, len(low), widths[-1])
            slack = 1e-12 * (1 + np.abs(difference).max())
            assert (difference <= top + slack).all() and (difference >= bottom - slack).all()


@pytest.mark.parametrize("attack", ["huge", "cancellation", "subnormal", "tiny steps", "zeros"])
def test_rounding_attacks(attack):
    """In exact rationals, at points and on thin boxes, where nothing but rounding separates bound and value."""
    generator = np.random.default_rng(5)
    for seed in range(25):
        first = random_network([2, 5, 4, 1], seed, ["relu", "abs", "leaky_relu(0.3)"][seed % 3])
        if attack == "huge":
            first = mapped(first, lambda a: a * 10.0 ** generator.integers(0, 60, a.shape))
        elif attack == "subnormal":
            first = mapped(first, lambda a: a * 10.0 ** generator.integers(-320, 0, a.shape))
        elif attack == "cancellation":
            first = mapped(first, lambda a: a + 2.0**40 * generator.choice([-1, 1], a.shape))
        elif attack == "zeros":
            first = mapped(first, lambda a: a * generator.choice([0.0, 1.0], a.shape))
        second = mapped(first, lambda a: np.nextafter(a, generator.choice([-1, 1], a.shape) * np.inf))
        if attack == "tiny steps":
            second = mapped(second, lambda a: np.where(generator.random(a.shape) < 0.5, a, 0.0))
        lower, upper = np.array([-1.0, 0.25]), np.array([1.0, 0.75])
        low = generator.uniform(lower, upper, (6, 2))
        high = np.minimum(low + generator.choice([0.0, 1e-15, 1e-3], (6, 1)), upper)
        try:
            top, bottom = bounds(first, second, lower, upper, (low, high))
        except DomainError:
            assert attack == "huge"
            continue
        for number, corner in enumerate(zip(low, high, strict=True)):
            for x in corner:
                point = [F(value) for value in x]
                value = realize_exact(first, point)[0] - realize_exact(second, point)[0]
                assert bottom[number, 0] <= value <= top[number, 0]


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "sin"])
def test_slopes_contain_those_of_balls(name):
    """Against the ball enclosures of the derivative, which are at most two ulps wide, from both sides."""
    generator = np.random.default_rng(2)
    lower = generator.uniform(-9, 9, 200)
    upper = lower + 10.0 ** generator.uniform(-6, 1, 200)
    layer = Layer(((0, Dense(np.eye(200))),), np.zeros(200), (name,))
    least, most = slope_ranges(layer, lower, upper)
    low, high = smooth(name).slopes(lower, upper)
    assert (low <= least + 2e-16).all() and (high >= most - 2e-16).all()
    assert (least - low < 1e-13).all() and (high - most < 1e-13).all()


def test_known_supremum():
    """The value was found exactly on the joint polyhedral complex of the two networks."""
    network = random_network([2, 16, 16, 1], 2)
    found = distance(network, mapped(network, half), SQUARE, gap=1e-6)
    assert found.complete and found.upper.kind is Kind.VERIFIED
    assert found.lower.value <= 0.00101776000130836 <= found.upper.value <= 1.0001 * found.lower.value
    assert len(check(found.solution).checked) == 2


def test_reads_like_the_definition():
    found = distance(random_network([2, 4, 1], 0), random_network([2, 4, 1], 1), SQUARE)
    assert str(found.upper).startswith("sup |F - Phi| <= ") and str(found.lower).startswith("sup |F - Phi| >= ")
    with np.errstate(all="ignore"):
        x = np.random.default_rng(0).uniform(-1, 1, (4000, 2))
    seen = np.abs(realize(random_network([2, 4, 1], 0), x) - realize(random_network([2, 4, 1], 1), x)).max()
    assert seen <= found.upper.value <= 1.1001 * found.lower.value


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_smooth_networks(activation):
    network = random_network([2, 8, 8, 2], 4, activation)
    rounded = mapped(network, half)
    found = distance(network, rounded, SQUARE, gap=0.2)
    x = np.random.default_rng(1).uniform(-1, 1, (20000, 2))
    seen = np.abs(realize(network, x) - realize(rounded, x)).max()
    assert found.complete and 0.9 * seen <= found.lower.value and seen <= found.upper.value
    check(found.solution)


def test_other_architectures():
    first, second = random_network([2, 6, 6, 2], 1), random_network([2, 5, 2], 2, "tanh")
    found = distance(first, second, SQUARE, gap=0.05)
    x = np.random.default_rng(1).uniform(-1, 1, (20000, 2))
    assert found.complete and np.abs(realize(first, x) - realize(second, x)).max() <= found.upper.value
    check(found.solution)
    one, two = aligned(chain(first), chain(second))
    assert [a.names for a in one] == [b.names for b in two]


def test_an_activation_at_the_end():
    layers = [([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [-0.5])]
    first = Network.from_layers(layers, output="relu")
    second = Network.from_layers([([[0.5]], [0.0])])
    found = distance(first, second, Box(-1, 1), gap=1e-3)  # max(|x| - 1/2, 0) - x / 2 is 1 at -1
    assert found.lower.value <= 1 <= found.upper.value <= 1.01


def test_identical_networks_and_chosen_outputs():
    network = random_network([3, 6, 2], 1)
    cube = Box([-1] * 3, [1] * 3)
    same = distance(network, network, cube)
    assert same.lower.value == 0 and same.upper.value < 1e-13 and same.boxes == 1
    check(same.solution)
    moved = replace(network.layers[-1], bias=network.layers[-1].bias + np.array([1.0, 0.0]))
    other = Network(3, (network.layers[0], moved))
    assert distance(network, other, cube).lower.value == pytest.approx(1)
    assert distance(network, other, cube, outputs=[1]).upper.value < 1e-13
    with pytest.raises(DomainError, match="numbers 0 to 1"):
        distance(network, other, cube, outputs=[2])


def test_stops_when_asked_and_still_holds():
    network = random_network([4, 20, 20, 1], 6)
    rounded, cube = mapped(network, half), Box([-1] * 4, [1] * 4)
    seen: list[tuple[int, float, float]] = []

    def interrupt(*state):
        seen.append(state)
        if len(seen) == 3:
            raise KeyboardInterrupt

    first = distance(network, rounded, cube, gap=1e-3, progress=interrupt)
    second = distance(network, rounded, cube, gap=1e-3, boxes=100)
    assert len(seen) == 3 and not first.complete and not second.complete and second.boxes < 700
    for found in (first, second):
        assert found.lower.value <= found.upper.value
        check(found.solution)


def test_the_difference_is_bounded_closer_than_the_two_ranges():
    network = random_network([5, 40, 40, 2], 7)
    rounded, cube = mapped(network, half), Box([-0.1] * 5, [0.1] * 5)
    found = distance(network, rounded, cube, boxes=1)
    low, high = output_range(network, cube)
    other_low, other_high = output_range(rounded, cube)
    apart = np.maximum(high - other_low, other_high - low).max()
    assert found.upper.value < apart / 100


def test_ranges_of_a_sawtooth():
    hat = ([[2.0, -4.0], [2.0, -4.0]], [0.0, -0.5])
    network = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), hat, hat, ([[2.0, -4.0]], [0.0])])
    found = ranges(network, Box(0, 1), gap=1e-3)
    assert found.minima[0].lower.value <= 0 <= found.minima[0].upper.value < 1e-3
    assert 0.999 < found.maxima[0].lower.value <= 1 <= found.maxima[0].upper.value < 1.002
    assert len(check(found.statements).checked) == 4


def test_ranges_are_those_of_the_points():
    network = random_network([2, 12, 12, 3], 9)
    found = ranges(network, SQUARE)
    x = np.random.default_rng(0).uniform(-1, 1, (50000, 2))
    y = realize(network, x)
    spread = np.ptp(y, axis=0)
    for output in range(3):
        low, high = found.minima[output], found.maxima[output]
        assert low.lower.value <= y[:, output].min() and y[:, output].max() <= high.upper.value
        assert low.upper.value - low.lower.value <= 0.011 * spread[output]
        assert high.upper.value - high.lower.value <= 0.011 * spread[output]


def test_a_network_and_the_zero_network():
    """Nothing of the second network is left in the relaxation: the bounds are those of one network."""
    network = random_network([2, 9, 9, 1], 3)
    stages = chain(network)
    engine = Differential(*beside_zero(stages), np.full(2, -1.0), np.full(2, 1.0))
    rows = np.ones((1, 2), dtype=bool)
    found = engine.bounds(np.full((1, 2), -1.0), np.ones((1, 2)), engine.root, np.array([[1.0], [-1.0]]), rows)
    low, high = output_range(network, SQUARE)
    assert found.upper[0, 0] <= high[0] + 0.05 * (high[0] - low[0])
    assert -found.upper[0, 1] >= low[0] - 0.05 * (high[0] - low[0])


def test_the_same_every_time():
    network = random_network([3, 10, 10, 1], 8)
    rounded, cube = mapped(network, half), Box([-1] * 3, [1] * 3)
    one, two = (distance(network, rounded, cube) for _ in range(2))
    assert one.upper == two.upper and one.lower == two.lower and one.boxes == two.boxes


def test_refusals():
    network = random_network([2, 3, 1], 0)
    skip = side_by_side([network, random_network([2, 3, 3, 1], 0)])
    third = Exact((1, 2), {(0, 0): F(1, 3), (0, 1): F(1)})
    rational = Network(2, (Layer(((0, third),), np.zeros(1), ("identity",)),))
    with pytest.raises(HypothesisError, match="skip connection"):
        ranges(skip, SQUARE)
    with pytest.raises(HypothesisError, match="no float64 numbers"):
        distance(network, rational, SQUARE)
    with pytest.raises(DomainError, match="differ in their inputs"):
        distance(network, random_network([3, 3, 1], 0), SQUARE)
    with pytest.raises(DomainError, match="box"):
        distance(network, network, Box(0, 1))
    with pytest.raises(DomainError, match="positive"):
        distance(network, network, SQUARE, gap=0)
