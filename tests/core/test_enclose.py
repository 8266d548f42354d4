"""Enclosures of networks and of their distance from a formula: contain everything, and shrink at the right order."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.enclose import AffineForm, Cell, _activate, difference_range, network_forms
from epsnet.core.evaluate import evaluate_ball
from epsnet.core.expression import variable
from epsnet.core.functions import ACTIVATIONS, leaky_relu
from epsnet.core.grammar import parse
from epsnet.core.network import Network
from epsnet.core.realize import forward, realize_ball

SEEDS = st.integers(0, 2**32 - 1)
EVERY = st.sampled_from((*ACTIVATIONS, "leaky_relu(0.01)", "leaky_relu(0.7)"))
FORMULAS = {
    1: [
        "exp(-x^2)",
        "sin(3*x)",
        "sqrt(x+20)",
        "abs(x-1/3)",
        "tanh(x)*x^3",
        "1/(1+25*x^2)",
        "relu(x)^2",
        "max(x, x^2)",
        "gelu(x)",
    ],
    2: ["x*y", "exp(x-y)", "abs(x*y)", "sin(x)*cos(y)", "max(x, y)^2"],
    3: ["x*y*z", "exp(-x^2-y^2-z^2)", "sqrt(x^2+y^2+z^2+1)"],
}


def random_cell(rng, dimension, width):
    low = [Fraction(int(rng.integers(-20, 20)), 7) for _ in range(dimension)]
    return low, [a + width * Fraction(int(rng.integers(1, 9)), 8) for a in low]


def samples(rng, low, high, count=12):
    def place():
        return rng.choice([Fraction(0), Fraction(1), Fraction(1, 2), Fraction(int(rng.integers(0, 1001)), 1000)])

    return [[a + (b - a) * place() for a, b in zip(low, high, strict=True)] for _ in range(count)]


def contains(enclosure, value):
    """Tell whether no point of `value`, a tiny ball around a true value, is certainly outside."""
    return not (value < enclosure or value > enclosure)


@given(SEEDS, EVERY, st.integers(1, 3), st.booleans(), st.sampled_from(["float", "rational"]), st.integers(-3, 1))
def test_forms_contain_the_network(random_network, seed, activation, dimension, skips, style, scale):
    rng = np.random.default_rng(seed)
    mixed = ("relu", "tanh", "abs", "identity") if seed % 3 == 0 else ()
    network = random_network(rng, dimension, 2, 3, activation, style, skips=skips, mixed=mixed)
    low, high = random_cell(rng, dimension, Fraction(4) ** scale)
    with ball_arithmetic():
        cell = Cell.of(low, high)
        forms, ranges = network_forms(network, cell)
        for x in samples(rng, low, high):
            t = [ball(a - (b + c) / 2) for a, b, c in zip(x, low, high, strict=True)]
            arguments = []

            def activate(function, value, found=arguments):
                found.append(value)
                return function.ball(value)

            values = forward(network, [ball(a) for a in x], constant=ball, multiplier=ball, activate=activate)[-1]
            for form, value in zip(forms, values, strict=True):
                at_point = form.value + sum((slope * own for slope, own in zip(form.slopes, t, strict=True)), arb(0))
                assert contains(at_point, value)
                assert contains(form.range(cell), value)
            flat = [own for layer in ranges for own in layer]
            assert len(flat) == len(arguments)
            assert all(contains(own, value) for own, value in zip(flat, arguments, strict=True))


@given(SEEDS, EVERY, st.integers(1, 3), st.booleans(), st.integers(-4, 0))
def test_difference_contains_the_error(random_network, seed, activation, dimension, skips, scale):
    rng = np.random.default_rng(seed)
    network = random_network(rng, dimension, 1, 3, activation, "float", skips=skips)
    text = FORMULAS[dimension][seed % len(FORMULAS[dimension])]
    expression, names = parse(text), ("x", "y", "z")[:dimension]
    low, high = random_cell(rng, dimension, Fraction(4) ** scale)
    with ball_arithmetic():
        below, above = difference_range(expression, names, network, low, high)
        assert below.is_exact() and above.is_exact() and below <= above
        for x in samples(rng, low, high):
            point = [ball(a) for a in x]
            error = evaluate_ball(expression, dict(zip(names, point, strict=True))) - realize_ball(network, point)[0]
            assert not error < below
            assert not error > above


@pytest.mark.parametrize(
    ("text", "names", "layers", "order"),
    [
        # What is lost about f - R(Phi) in one variable is the variation of f'' only; in two the mixed terms as a whole.
        ("exp(x)", ("x",), [([[1.0]], [1.0])], 2.9),
        ("sin(x)*exp(y)", ("x", "y"), [([[1.0, 0.5]], [1.0])], 1.9),
    ],
)
def test_the_local_error_shrinks(text, names, layers, order):
    network, expression = Network.from_layers(layers), parse(text)
    widths = []
    for k in (5, 6, 7, 8):
        r = Fraction(1, 2**k)
        low, high = [Fraction(1, 3) - r] * len(names), [Fraction(1, 3) + r] * len(names)
        with ball_arithmetic():
            below, above = difference_range(expression, names, network, low, high)
            grid = np.linspace(-1, 1, 41) * float(r) + 1 / 3
            points = np.stack(np.meshgrid(*[grid] * len(names), indexing="ij"), -1).reshape(-1, len(names))
            values = [
                evaluate_ball(expression, dict(zip(names, map(ball, map(float, p)), strict=True)))
                - realize_ball(network, [ball(float(a)) for a in p])[0]
                for p in points
            ]
            top, bottom = max(float(v.mid()) for v in values), min(float(v.mid()) for v in values)
        assert float(above) >= top and float(below) <= bottom
        widths.append((float(above) - top) + (bottom - float(below)))
    rates = np.log2(np.array(widths[:-1]) / np.array(widths[1:]))
    assert rates.min() > order


@pytest.mark.parametrize("name", ["tanh", "gelu", "sin", "softplus"])
def test_forms_of_smooth_networks_shrink_quadratically(random_network, name):
    network = random_network(np.random.default_rng(1), 2, 1, 3, name, "float")
    widths = []
    for k in (4, 5, 6, 7):
        r = Fraction(1, 2**k)
        with ball_arithmetic():
            form = network_forms(network, Cell.of([-r, -r], [r, r]))[0][0]
            widths.append(float(form.value.rad()) + sum(float(s.rad()) for s in form.slopes) * float(r))
    assert np.log2(np.array(widths[:-1]) / np.array(widths[1:])).min() > 1.8


@given(st.floats(0, 0.99), st.floats(1e-300, 1e3), st.floats(1e-300, 1e3), st.sampled_from([1, 7, 29, 53]))
def test_the_gap_of_a_chord_survives_rounding(slope, left, right, power):
    """A chord slope that is rounded out of [slopes] makes one end of the gap negative: it must stay enclosed."""
    function = leaky_relu(slope)
    with ball_arithmetic():
        low, high = arb(-left) / 3 * arb(2) ** power, (arb(right) / 7).mid()
        middle, radius = ((low.mid() + high) / 2).mid(), ((high - low.mid()) / 2).mid()
        cell = Cell((middle,), (radius,), (arb(middle, radius),))
        form = AffineForm(middle, (arb(1),))
        result = _activate(function, form, cell)
        for t in (-radius, radius, -middle, arb(0)):
            if abs(t) <= radius:
                assert contains(result.value + result.slopes[0] * t, function.ball(middle + t))


def test_unknown_parts_leave_the_other_forms():
    network = Network.from_layers([([[0.0]], [0.0])])
    x = variable("x")
    for f, low, high in (
        (parse("sqrt(x)"), 0, 1),
        (parse("abs(x)"), -1, 1),
        (parse("abs(x)^3"), -1, 1),
        (x * 0 + parse("asin(x)"), -1, 1),
    ):
        with ball_arithmetic():
            below, above = difference_range(f, ("x",), network, [Fraction(low)], [Fraction(high)])
        assert below.is_finite() and above.is_finite()
    with ball_arithmetic():
        below, above = difference_range(parse("1/x"), ("x",), network, [Fraction(-1)], [Fraction(1)])
        assert not below.is_finite() and not above.is_finite()
        below, above = difference_range(parse("sin(1/x)"), ("x",), network, [Fraction(-1)], [Fraction(1)])
        assert not below.is_finite() and not above.is_finite()


def test_a_point_cell_is_exact():
    network = Network.from_layers([([[1.0], [-1.0]], [0.0, 1.0]), ([[1.0, 1.0]], [0.0])], "tanh")
    with ball_arithmetic():
        below, above = difference_range(parse("exp(x)"), ("x",), network, [Fraction(1, 4)], [Fraction(1, 4)])
        value = arb(0.25).exp() - realize_ball(network, [arb(0.25)])[0]
        assert not value < below and not value > above
        assert above - below < 1e-30
