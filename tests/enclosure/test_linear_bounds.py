"""Linear bounds: exact values never leave them, whatever the network; they are tight where theory says so."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linprog

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic, to_fraction
from epsnet.core.functions import ACTIVATIONS, FUNCTIONS
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network, activation
from epsnet.core.realize import forward, realize
from epsnet.core.smooth import smooth
from epsnet.enclosure import linear_bounds as module
from epsnet.enclosure.intervals import interval_bounds
from epsnet.enclosure.linear_bounds import linear_bounds, output_range, relaxation, stable_neurons

NAMES = (*ACTIVATIONS, "leaky_relu(0.1)")


def random_linear(rng, shape):
    kind = rng.integers(5)
    scale = 10.0 ** rng.choice([0, 0, 0, -2, 1])
    weight = scale * rng.normal(size=shape) / np.sqrt(shape[1])
    if kind == 0:
        weight *= rng.random(shape) < 0.5
        rows, columns = np.nonzero(weight)
        return Sparse(shape, rows, columns, weight[rows, columns])
    if kind == 1:
        return Exact(shape, {(i, j): Fraction(int(100 * w), 3 * (i + j + 11)) for (i, j), w in np.ndenumerate(weight)})
    return Dense(np.round(weight) if kind == 2 else weight)  # integers bring ties, zeros and dead neurons


def random_network(seed):
    """A network of depth 1 to 4 with any layers, and a box."""
    rng = np.random.default_rng(seed)
    names = [str(NAMES[seed % len(NAMES)])] if seed % 2 else rng.choice(NAMES, 3).tolist()
    sizes = [int(rng.integers(1, 5))]
    layers = []
    if seed % 7 == 0:
        sizes = [18]
        convolution = Convolution(rng.normal(size=(2, 2, 2, 2)), (2, 3, 3), stride=int(rng.integers(1, 3)), padding=1)
        layers.append(Layer(((0, convolution),), rng.normal(size=2), (str(rng.choice(names)),)))
        sizes.append(layers[0].outputs)
    for _ in range(int(rng.integers(0, 4)) + (not layers)):
        width = int(rng.integers(1, 9))
        terms = [(len(sizes) - 1, random_linear(rng, (width, sizes[-1])))]
        if rng.random() < 0.4:
            source = int(rng.integers(0, len(sizes)))
            terms.append((source, random_linear(rng, (width, sizes[source]))))
        bias = (
            tuple(Fraction(int(v), 7) for v in rng.integers(-9, 9, width))
            if rng.random() < 0.2
            else rng.normal(size=width)
        )
        own = tuple(rng.choice(names, width).tolist()) if rng.random() < 0.5 else (str(rng.choice(names)),)
        layers.append(Layer(tuple(terms), bias, own))
        sizes.append(width)
    center, radius = rng.normal(size=sizes[0]), 10.0 ** rng.choice([-14, -6, -2, -1, 0, 1])
    return Network(sizes[0], tuple(layers)), center - radius, center + radius


def exact_layers(network, x):
    """Return (arguments, values) of every layer at a float64 point as pairs of Fractions around the exact number."""
    smooth_network = any(function.slopes is None for layer in network.layers for function in layer.functions())
    point = [Fraction(t) for t in np.asarray(x).tolist()]
    arguments = []

    def pair(v):
        return (to_fraction(v.lower()), to_fraction(v.upper())) if smooth_network else (v, v)

    def activate(function, value):
        arguments.append(pair(value))
        return function.ball(value) if smooth_network else function.exact(value)

    with ball_arithmetic():
        embed = ball if smooth_network else Fraction
        layers = forward(network, [embed(t) for t in point], constant=embed, multiplier=embed, activate=activate)
        values = [[pair(v) for v in layer] for layer in layers]
    remaining = iter(arguments)
    return [[next(remaining) for _ in layer] for layer in values[1:]], values


def assert_contains(bounds, network, x):
    """The exact network stays between the affine functions, and every neuron in its range, at a point."""
    arguments, values = exact_layers(network, x)
    for layers, ranges in ((arguments, bounds.intervals.arguments), (values, bounds.intervals.values)):
        for layer, own in zip(layers, ranges, strict=True):
            for (low, high), lower, upper in zip(layer, own.lower.tolist(), own.upper.tolist(), strict=True):
                assert lower <= high and low <= upper
    point = [Fraction(t) for t in np.asarray(x).tolist()]
    for k, (low, high) in enumerate(values[-1]):
        below = sum(Fraction(a) * t for a, t in zip(bounds.lower_slopes[k].tolist(), point, strict=True))
        above = sum(Fraction(a) * t for a, t in zip(bounds.upper_slopes[k].tolist(), point, strict=True))
        assert below + Fraction(float(bounds.lower_offsets[k])) <= high
        assert above + Fraction(float(bounds.upper_offsets[k])) >= low
        assert bounds.lower[k] <= high and bounds.upper[k] >= low


def worst_points(network, bounds, lower, upper, rng, count=10_000):
    """Points where float64 evaluation comes closest to a bound: random ones, corners, coordinate ascent."""
    x = np.clip(rng.uniform(lower, upper, (count, len(lower))), lower, upper)
    x[: count // 4] = np.where(rng.random((count // 4, len(lower))) < 0.5, lower, upper)
    y = realize(network, x).reshape(count, -1)
    margins = np.concatenate(
        (y - x @ bounds.lower_slopes.T - bounds.lower_offsets, x @ bounds.upper_slopes.T + bounds.upper_offsets - y),
        axis=1,
    )
    found = [x[i] for i in np.unique(margins.argmin(axis=0))]
    steps = np.linspace(0, 1, 9)[:, None]
    for k in range(network.outputs):
        for sign in (1.0, -1.0):
            best = x[np.argmax(sign * y[:, k])].copy()
            for axis in [*range(len(lower))] * 2 if len(lower) < 5 else range(4):
                tries = np.repeat(best[None], 9, axis=0)
                tries[:, axis] = np.clip(
                    lower[axis] + steps[:, 0] * (upper[axis] - lower[axis]), lower[axis], upper[axis]
                )
                tries = np.concatenate((best[None], tries))
                best = tries[np.argmax(sign * realize(network, tries).reshape(10, -1)[:, k])]
            found.append(best)
    return found


@pytest.mark.parametrize("start", range(0, 200, 25))
def test_no_exact_value_leaves_the_bounds_of_200_networks(start):
    for seed in range(start, start + 25):
        network, lower, upper = random_network(seed)
        bounds = linear_bounds(network, (lower, upper))
        for x in worst_points(network, bounds, lower, upper, np.random.default_rng(seed)):
            assert_contains(bounds, network, x)


@pytest.mark.parametrize("seed", range(0, 200, 4))
def test_never_worse_than_interval_propagation(seed):
    network, lower, upper = random_network(seed)
    wide, tight = interval_bounds(network, (lower, upper)), linear_bounds(network, (lower, upper))
    for a, b in zip(wide.values + wide.arguments, tight.intervals.values + tight.intervals.arguments, strict=True):
        # ranges of later layers are evaluated anew, with their own rounding
        slack = 1e-12 * (1 + a.magnitude)
        assert (b.lower >= a.lower - slack).all() and (b.upper <= a.upper + slack).all()
    assert np.array_equal(tight.lower, output_range(network, (lower, upper))[0])


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_a_batch_agrees_with_its_boxes(seed):
    network, lower, upper = random_network(seed)
    rng = np.random.default_rng(seed)
    lows = lower + (upper - lower) * rng.random((5, len(lower))) / 2
    highs = np.maximum(lows, upper)
    together = linear_bounds(network, (lows, highs))
    for row in range(5):
        alone = linear_bounds(network, (lows[row], highs[row]))
        scale = 1e-7 * (1 + np.abs(alone.lower).max() + np.abs(alone.upper).max())
        assert np.abs(together.lower[row] - alone.lower).max() <= scale
        assert np.abs(together.upper[row] - alone.upper).max() <= scale
        for x in (lows[row], highs[row], (lows[row] + highs[row]) / 2):
            assert_contains(alone, network, x)


@pytest.mark.parametrize("exponent", [-300, -160, -100, 100, 150, 300])
@pytest.mark.parametrize("name", NAMES)
def test_extreme_scales_are_refused_or_bounded(exponent, name):
    rng = np.random.default_rng(7)
    first = Dense(rng.normal(size=(4, 2)) * 10.0**exponent)
    for second in (10.0**exponent, 10.0**-exponent, 1.0):
        layers = (
            Layer(((0, first),), np.zeros(4), (name,)),
            Layer(((1, Dense(rng.normal(size=(4, 4)) * second)),), rng.normal(size=4), ("relu",)),
            Layer(((2, Dense(rng.normal(size=(2, 4)) * second)),), np.zeros(2), ("identity",)),
        )
        network = Network(2, layers)
        for radius in (1e-300, 1.0, 1e300):
            try:
                bounds = linear_bounds(network, ([-radius, 0.0], [radius, radius]))
            except DomainError:
                continue
            for array in (bounds.lower, bounds.upper, bounds.lower_slopes, bounds.lower_offsets, bounds.upper_offsets):
                assert np.isfinite(array).all()
            if FUNCTIONS.get(name, activation(name)).slopes is not None:
                for x in ([-radius, 0.0], [radius, radius], [radius / 3, radius / 7]):
                    assert_contains(bounds, network, x)


def test_without_the_rounding_terms_the_affine_bound_misses_the_exact_value(monkeypatch):
    # Several, because it depends on the processor in which order a product is summed up.
    networks = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        # arguments nearly cancel where x = y, so that hardly anything but the errors of slopes remains
        first = rng.normal(size=(30, 1)) * np.array([[1.0, -1.0]]) * (1 + 1e-10 * rng.normal(size=(30, 2)))
        layers = [(first, np.zeros(30)), (rng.normal(size=(3, 30)), np.zeros(3))]
        networks.append(Network.from_layers(layers, "identity"))
    ends = (1.0, 1.0 + 1e-9)

    def misses(network):
        bounds = linear_bounds(network, ([ends[0]] * 2, [ends[1]] * 2))
        count = 0
        for x in [[low, high] for low in ends for high in ends]:
            values = exact_layers(network, x)[1][-1]
            for k, (value, _) in enumerate(values):
                below = sum(Fraction(a) * Fraction(t) for a, t in zip(bounds.lower_slopes[k].tolist(), x, strict=True))
                count += below + Fraction(float(bounds.lower_offsets[k])) > value
        return count

    assert not any(map(misses, networks))
    monkeypatch.setattr(module, "dot_error", lambda _: 0.0)
    assert any(map(misses, networks))


def test_without_the_rounding_terms_the_minimum_of_an_affine_bound_is_missed(monkeypatch):
    rng = np.random.default_rng(12)
    lower, upper = rng.normal(size=(1, 50)), rng.normal(size=(1, 50))
    box = module.Range(np.minimum(lower, upper), np.maximum(lower, upper))
    slopes, offsets = rng.normal(size=(2, 1, 20, 50)), rng.normal(size=(2, 1, 20))
    walk = module._Walk(Network.from_layers([(np.ones((1, 50)), [0.0])]), box)

    def misses():
        found = walk.range_of(slopes, offsets)
        count = 0
        for k in range(20):
            for side, bound in ((0, Fraction(found.lower[0, k])), (1, -Fraction(found.upper[0, k]))):
                ends = zip(slopes[side, 0, k].tolist(), box.lower[0].tolist(), box.upper[0].tolist(), strict=True)
                exact = Fraction(offsets[side, 0, k]) + sum(
                    Fraction(a) * Fraction(p if a > 0 else q) for a, p, q in ends
                )
                count += bound > exact
        return count

    assert misses() == 0
    monkeypatch.setattr(module, "dot_error", lambda _: 0.0)
    assert misses() > 0


@pytest.mark.parametrize("name", NAMES)
def test_both_lines_of_a_relaxation_hold_and_touch(name):
    rng = np.random.default_rng(9)
    center, radius = rng.normal(size=400) * rng.choice([0.3, 3, 20], 400), 10.0 ** rng.uniform(-9, 1.3, 400)
    ranges = module.Range((center - radius)[None], (center + radius)[None])
    layer = Layer(((0, Dense(np.ones((400, 1)))),), np.zeros(400), (name,))
    lines = relaxation(layer, ranges)
    z = np.clip(np.linspace(ranges.lower[0], ranges.upper[0], 801), ranges.lower[0], ranges.upper[0])
    value = activation(name).float64(z)
    noise = 1e-13 * (1 + np.abs(z).max(axis=0))
    above = lines.upper_slope * z + lines.upper_offset - value
    below = value - lines.lower_slope * z - lines.lower_offset
    assert (above >= -noise).all() and (below >= -noise).all()
    turns = (name == "sin") & (radius > 3)  # a sin that runs through a whole turn gets constants
    gap = noise + 2 * (radius / 400) ** 2 + 1e-9 * np.minimum(radius, 1)
    assert (above.min(axis=0) <= gap)[~turns].all() and (below.min(axis=0) <= gap)[~turns].all()


@pytest.mark.parametrize("name", NAMES)
def test_bounds_converge_on_small_boxes(name):
    rng = np.random.default_rng(10)
    sizes = (3, 8, 8, 2)
    network = Network.from_layers([(rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(sizes)], name)
    center, radius = rng.normal(size=3), 1e-4
    lower, upper = output_range(network, (center - radius, center + radius))
    y = realize(network, center + radius * np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]))
    spread = y.max(axis=0) - y.min(axis=0)
    assert ((upper - lower) <= 1.02 * spread).all()


def relaxed_minimum(network, box, bounds):
    """The minimum of the triangle relaxation of a network with one hidden ReLU layer, by linear programming."""
    (w, b), (v, c) = [(layer.terms[0][1].weight, layer.bias) for layer in network.layers]
    low, high = bounds.intervals.arguments[0].lower, bounds.intervals.arguments[0].upper
    slope = high / (high - low)
    n, d = w.shape
    above_line = np.hstack((w, -np.eye(n)))  # y >= w x + b
    below_chord = np.hstack((-slope[:, None] * w, np.eye(n)))  # y <= slope (w x + b - low)
    limits = [*zip(*box, strict=True), *[(0, None)] * n]
    found = linprog(
        [*np.zeros(d), *v[0]], np.vstack((above_line, below_chord)), [*-b, *(slope * (b - low))], bounds=limits
    )
    return found.fun + c[0]


def test_between_the_exact_minimum_and_the_triangle_relaxation():
    ratios = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        network = Network.from_layers(
            [(rng.normal(size=(12, 2)), 0.3 * rng.normal(size=12)), (rng.normal(size=(1, 12)), [0.0])]
        )
        box = ([-1.0, -1.0], [1.0, 1.0])
        bounds = linear_bounds(network, box)
        if not all((bounds.intervals.arguments[0].lower < 0) & (bounds.intervals.arguments[0].upper > 0)):
            continue
        best = relaxed_minimum(network, box, bounds)
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 201)] * 2), axis=-1).reshape(-1, 2)
        true = realize(network, grid).min()
        plain = interval_bounds(network, box).values[-1].lower[0]
        assert plain <= bounds.lower[0] <= best + 1e-9 <= true + 2e-9
        ratios.append((true - best) / (true - bounds.lower[0]))
    assert len(ratios) >= 3 and np.median(ratios) > 0.5


def test_decided_neurons_make_the_bounds_exact():
    network = Network.from_layers(
        [([[1.0, 2.0], [-1.0, 1.0], [1.0, 1.0]], [9.0, -9.0, 9.0]), ([[1.0, 5.0, -1.0]], [0.0])]
    )
    lower, upper = output_range(network, Box([0, 0], [1, 1]))  # (x + 2 y + 9) - (x + y + 9) = y
    assert -1e-12 <= lower[0] <= 0 and 1 <= upper[0] <= 1 + 1e-12
    (active, inactive), (positive, _) = stable_neurons(network, Box([0, 0], [1, 1]))
    assert active.tolist() == [True, False, True] and inactive.tolist() == [False, True, False]
    assert positive.shape == (1,)


def test_undecided_by_intervals_decided_by_linear_bounds():
    # y1 - y2 = relu(x) - relu(x - 1) lies in [0, 1], intervals only see [-1, 2]
    network = Network.from_layers([([[1.0], [1.0]], [1.0, 0.0]), ([[1.0, -1.0]], [-0.5]), ([[1.0]], [0.0])])
    assert interval_bounds(network, Box(0, 1)).arguments[1].lower[0] < 0
    assert stable_neurons(network, Box(0, 1))[1][0].tolist() == [True]


def test_transposed_maps_are_adjoint():
    rng = np.random.default_rng(11)
    maps = [
        Convolution(rng.normal(size=(3, 2, 3, 2)), (2, 7, 8), stride=2, padding=1),
        Convolution(rng.normal(size=(1, 2, 2, 2)), (2, 6, 5), stride=3),
        Dense(rng.normal(size=(3, 5))),
        Sparse((3, 4), [0, 2], [1, 3], [2.0, 3.0]),
        Exact((2, 3), {(0, 1): Fraction(1, 3), (1, 0): Fraction(-5)}),
    ]
    for linear in maps:
        x, y = rng.normal(size=(4, linear.shape[1])), rng.normal(size=(4, linear.shape[0]))
        assert np.allclose((linear.apply(x) * y).sum(axis=1), (x * linear.transpose_apply(y)).sum(axis=1), atol=1e-12)


def test_an_interval_of_sin_through_a_whole_turn_is_a_constant():
    sigma = smooth("sin")
    pieces, shift = sigma.pieces(np.array([[0.0, 0.0]]), np.array([[5.0, 7.0]]))
    assert np.isfinite(shift).tolist() == [[True, False]] and len(pieces) == 4
