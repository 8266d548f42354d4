"""Interval propagation: exact values never leave the ranges, and every rounding term is needed."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.functions import ACTIVATIONS, FUNCTIONS
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import forward, realize_exact
from epsnet.core.smooth import smooth
from epsnet.enclosure import intervals
from epsnet.enclosure.intervals import interval_bounds

SMOOTH = [name for name in ACTIVATIONS if FUNCTIONS[name].slopes is None]


def points(rng, count):
    """Points at every scale: near 0, around 1, in and beyond the tails, at the nodes and between them."""
    grid = rng.integers(-720, 720, count // 8) / 16
    return np.concatenate([
        rng.uniform(-45, 45, count // 2),
        rng.normal(size=count // 4),
        grid, np.nextafter(grid + 1 / 32, rng.choice([-np.inf, np.inf], len(grid))),
        rng.choice([-1, 1], 200) * 10.0 ** rng.uniform(-320, -1, 200),
        rng.choice([-1, 1], 200) * 10.0 ** rng.uniform(1, 8, 200),
        [0.0, -0.0, 5e-324, 40.0, -40.0, 20.0, 7.0, 10.0, 2.0**20, 1e300, -1e300],
    ])  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_contain_what_arb_finds(name):
    z = points(np.random.default_rng(0), 16_000)
    function, table = FUNCTIONS[name], smooth(name)
    with ball_arithmetic():
        for derivative, enclosure in ((False, function.ball), (True, function.derivative)):
            low, high = table.values(z, derivative)
            for x, below, above in zip(z.tolist(), low.tolist(), high.tolist(), strict=True):
                value = enclosure(ball(x))
                if value.rad() <= 1e-24 * (1 + abs(x)):  # exp(1e300) overflows even in arb
                    assert value.upper() >= below and value.lower() <= above, (x, below, above, value)
            near = np.abs(z) <= 45
            scale = 1 + np.abs(low[near])
            assert ((high - low)[near] <= 4e-15 * scale).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_the_range_of_a_smooth_activation_is_sound_and_tight(name):
    rng = np.random.default_rng(1)
    center, radius = rng.uniform(-12, 12, 2000), 10.0 ** rng.uniform(-12, 1, 2000)
    lower, upper = center - radius, center + radius
    low, high = smooth(name).range(lower, upper)
    values = FUNCTIONS[name].float64(np.clip(np.linspace(lower, upper, 400), lower, upper))
    least, most = values.min(axis=0), values.max(axis=0)
    assert (low <= least + 1e-14 * (1 + abs(least))).all() and (high >= most - 1e-14 * (1 + abs(most))).all()
    # the curvature is at most 2, and samples are radius / 200 apart
    slack = (radius / 199.5) ** 2 + 1e-14 * (1 + abs(most) + abs(least))
    assert (low >= least - slack).all() and (high <= most + slack).all()


def test_minima_and_inflection_points_are_where_arb_sees_them():
    with ball_arithmetic():
        for name in ("gelu", "silu"):
            table, derivative = smooth(name), FUNCTIONS[name].derivative
            assert derivative(arb(table.valley[0])) < 0 < derivative(arb(table.valley[1]))
            assert FUNCTIONS[name].ball(arb(table.valley[0])) >= table.floor
            for point in table.inflections:
                signs = [FUNCTIONS[name].second_derivative(arb(point * (1 + k * 2.0**-52))) > 0 for k in (-2, 2)]
                assert signs[0] != signs[1]


def test_zero_stays_zero():
    network = Network.from_layers([([[1.0], [-3.0]], [0.0, 0.0]), ([[0.0, 2.0], [1.0, 1.0]], [0.0, -0.0])])
    found = interval_bounds(network, Box(0, 1))
    assert found.arguments[0].lower[0] == 0 and found.arguments[0].upper[1] == 0
    assert found.values[2].lower.tolist() == [0, 0] and found.values[2].upper[0] == 0


def test_without_the_rounding_terms_the_range_misses_the_exact_value(monkeypatch):
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(20, 40)) * 10.0 ** rng.integers(-3, 12, (20, 40))
    x = rng.normal(size=40)
    weight[:, -1] = -(weight[:, :-1] @ x[:-1]) / x[-1]  # cancels all but the rounding errors
    network = Network(40, (Layer(((0, Dense(weight)),), np.zeros(20), ("identity",)),))
    exact = realize_exact(network, x.tolist())

    def misses():
        found = interval_bounds(network, (x, x)).values[1]
        return sum(not low <= value <= high for low, value, high in zip(found.lower, exact, found.upper, strict=True))

    assert misses() == 0
    monkeypatch.setattr(intervals, "dot_error", lambda _: 0.0)
    assert misses() > 0


def test_without_the_underflow_term_the_range_misses_the_exact_value(monkeypatch):
    network = Network.from_layers([([[1e-200]], [0.0]), ([[1e-200]], [0.0]), ([[1e300]], [0.0])], "identity")
    exact = realize_exact(network, [1])[0]

    def holds():
        found = interval_bounds(network, ([1.0], [1.0])).values[-1]
        return bool(found.lower[0] <= exact <= found.upper[0])

    assert holds()
    monkeypatch.setattr(intervals, "TINY", 0.0)
    assert not holds()


def all_exact(network, x):
    """Return the exact arguments and values of every layer at a rational point."""
    arguments = []

    def activate(function, value):
        arguments.append(value)
        return function.exact(value)

    values = forward(network, x, constant=Fraction, multiplier=Fraction, activate=activate)
    remaining = iter(arguments)
    return values, [[next(remaining) for _ in layer] for layer in values[1:]]


def kinds_of_layers():
    rng = np.random.default_rng(3)
    convolution = Convolution(rng.normal(size=(2, 1, 3, 2)), (1, 4, 5), stride=2, padding=1)
    thirds = Exact((3, 12), {(i, j): Fraction(i - j, 3 + i * j) for i in range(3) for j in range(12)})
    sparse = Sparse((3, 20), [0, 1, 2, 2], [0, 7, 3, 19], [1.5, -0.1, 0.7, 1e-9])
    third = (Fraction(1, 7), Fraction(-2, 3), Fraction(10**400, 3 * 10**400))
    skips = ((2, Dense(rng.normal(size=(2, 3)))), (2, Dense(np.eye(3)[:2])), (0, Dense(rng.normal(size=(2, 20)))))
    yield Network(20, (
        Layer(((0, convolution),), rng.normal(size=2), ("leaky_relu(0.3)",)),
        Layer(((1, thirds), (0, sparse)), third, ("abs", "relu", "identity")),
        Layer(skips, np.ones(2), ("relu",)),
    ))  # fmt: skip
    tiny = Exact((2, 2), {(0, 0): Fraction(1, 10**400), (0, 1): Fraction(1, 3), (1, 0): Fraction(-1, 3 * 10**320)})
    yield Network(
        2, (Layer(((0, tiny),), np.zeros(2), ("leaky_relu(0.1)",)), Layer(((1, tiny),), np.zeros(2), ("abs",)))
    )


@pytest.mark.parametrize("network", list(kinds_of_layers()), ids=["mixed", "tiny"])
@pytest.mark.parametrize("radius", [0.0, 1e-13, 0.5])
def test_every_neuron_of_every_kind_of_layer_stays_in_its_range(network, radius):
    rng = np.random.default_rng(4)
    center = rng.normal(size=network.inputs)
    lower, upper = center - radius, center + radius
    found = interval_bounds(network, (lower, upper))
    corners = np.where(rng.random((30, network.inputs)) < 0.5, lower, upper)
    for x in [*corners, *np.clip(rng.uniform(lower, upper, (10, network.inputs)), lower, upper)]:
        values, arguments = all_exact(network, [Fraction(t) for t in x.tolist()])
        for exact, ranges in zip([*values, *arguments], [*found.values, *found.arguments], strict=True):
            for value, low, high in zip(exact, ranges.lower.tolist(), ranges.upper.tolist(), strict=True):
                assert low <= value <= high


def test_a_rational_box_is_rounded_outward():
    network = Network.from_layers([([[1.0]], [0.0])])
    box = Box("1/3", "2/3")
    found = interval_bounds(network, box).values[0]
    assert found.lower[0] < Fraction(1, 3) and Fraction(2, 3) <= Fraction(found.upper[0])
    assert found.upper[0] - found.lower[0] < Fraction(1, 3) + Fraction(1, 2**50)


@pytest.mark.parametrize("name", [*ACTIVATIONS, "leaky_relu(0.2)"])
def test_a_batch_agrees_with_its_boxes(name):
    rng = np.random.default_rng(5)
    network = Network.from_layers(
        [(rng.normal(size=(6, 3)), rng.normal(size=6)), (rng.normal(size=(2, 6)), [0.0, 1.0])], name
    )
    lower = rng.normal(size=(7, 3))
    upper = lower + rng.random((7, 3))
    together = interval_bounds(network, (lower, upper))
    for row in range(7):
        alone = interval_bounds(network, (lower[row], upper[row]))
        for a, b in zip(together.values + together.arguments, alone.values + alone.arguments, strict=True):
            assert np.allclose(a.lower[row], b.lower, rtol=1e-13, atol=1e-13)
            assert np.allclose(a.upper[row], b.upper, rtol=1e-13, atol=1e-13)


def test_refusals_say_what_to_do():
    network = Network.from_layers([([[1e200, 1.0]], [0.0]), ([[1e200]], [0.0])])
    for box in (([0.0], [1.0]), ([0.0, 1.0], [1.0, 0.0]), ([0.0, np.nan], [1.0, 1.0]), ([0.0, 0.0], [np.inf, 1.0])):
        with pytest.raises(DomainError, match="Give"):
            interval_bounds(network, box)
    with pytest.raises(DomainError, match="layer 2 exceeds"):
        interval_bounds(network, Box([0, 0], [1, 1]))
    huge = Network(1, (Layer(((0, Exact((1, 1), {(0, 0): Fraction(10) ** 400})),), np.zeros(1)),))
    with pytest.raises(DomainError, match="rational weight"):
        interval_bounds(huge, Box(0, 1))
