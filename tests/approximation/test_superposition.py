"""Networks of steps in several variables, against an evaluation in mpmath that knows the definition only."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import arb, ctx, fmpq

from epsnet.approximation.superposition import superposition_network
from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, HypothesisError, PrecisionError
from epsnet.checker.kernel import check
from epsnet.core.realize import realize_ball
from epsnet.core.serial import network_bytes, network_from_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.core.universal_activation import delta_code, steps

F = Fraction
SQUARE = Box([0, 0], [1, 1])
CASES = [
    ("x*y", SQUARE, "1e-1"),
    ("exp(x)*sin(y)", Box([-1, "1/3"], ["1/2", 2]), "2e-1"),
    ("exp(-(x - y)^2)", SQUARE, "1e-1"),
]


def bump(s):
    return mpmath.exp(-1 / s) if s > 0 else mpmath.mpf(0)


def beta(s):
    return bump(s) / (bump(s) + bump(1 - s))


def integers(text):
    """Elias delta codes, digit by digit."""
    found, digits = [], list(text)
    while "1" in digits:
        zeros = digits.index("1")
        head, digits = digits[zeros : 2 * zeros + 1], digits[2 * zeros + 1 :]
        rest = int("".join(head), 2) - 1
        if len(head) <= zeros or len(digits) < rest:
            break
        found.append(int("1" + "".join(digits[:rest]), 2))
        digits = digits[rest:]
    return found


def sigma(x):
    """sigma_steps inside a slot, from its definition."""
    n = int(mpmath.floor(x / 2))
    t = x - 2 * n
    assert 0 <= t <= 1
    start, *codes = integers(bin(n)[3:])
    heights = [(c + 1) // 2 if c % 2 else -(c // 2) for c in (code - 1 for code in codes)]
    w, k = mpmath.mpf(2) ** -(start - 1), len(heights)
    p = mpmath.fsum(m * beta((k * t - i - 0.5) / w + 0.5) for i, m in enumerate(heights) if m)
    highest = max([1, *(abs(sum(heights[:i])) for i in range(k + 1))])
    scale = next(2**j for j in range(200) if 2**j >= highest)
    return 1 - (1 - p / (2 * scale)) / (4 * n.bit_length())


def number(value):
    value = F(value)
    return mpmath.mpf(value.numerator) / value.denominator


def evaluate(network, point):
    """The three affine maps and two activations, one after the other; also what the inner neurons are."""
    signals, hidden = [number(x) for x in point], []
    for layer in network.layers:
        matrix = [
            number(bias) + mpmath.fsum(number(weight) * signals[column] for column, weight in row)
            for bias, row in zip(layer.bias_values(), layer.terms[0][1].rows, strict=True)
        ]
        signals = [sigma(x) for x in matrix] if layer is not network.layers[-1] else matrix
        hidden.append(signals)
    return signals[0], hidden[0]


def precision(network):
    """Bits that hold the longest bias and leave enough for what is small."""
    return 300 + max(abs(F(bias).numerator).bit_length() for layer in network.layers for bias in layer.bias_values())


def points(domain, cells, generator, count):
    """Points anywhere, and points where the first coordinate is in the gap of some family."""
    for i in range(count):
        place = [F(float(u)) for u in generator.uniform(size=2)]
        if i % 2:
            family, cell = int(generator.integers(14)), int(generator.integers(cells))
            place[0] = (cell + (family + F(1, 2)) / 14 + F(float(generator.uniform(-0.3, 0.3))) / 128) / cells
        yield [a + (b - a) * u for a, b, u in zip(domain.lower, domain.upper, place, strict=True)]


@pytest.mark.parametrize(("formula", "domain", "eps"), CASES, ids=["product", "box", "gauss"])
def test_two_variables(formula, domain, eps):
    target = Target(formula, domain)
    found = superposition_network(target, F(eps))
    assert found.error.kind is Kind.VERIFIED and found.error.limit <= F(eps)
    stored = network_from_bytes(network_bytes(found.network))
    certificate = Certificate.of((found.error,), ((found.error, found.witness),))
    check(Solution(stored, target, found.error, 8 * len(network_bytes(stored)), certificate))
    # The widths of the theorem: 6d + 3 outer neurons, each of which reads at most 3d inner ones.
    assert [layer.outputs for layer in stored.layers] == [29, 15, 1]
    assert max(len(row) for row in stored.layers[1].terms[0][1].rows) <= 6
    # The steps of the first inner neuron number its cells.
    inner = steps(int(F(stored.layers[0].bias_values()[0]) // 2))
    generator = np.random.Generator(np.random.Philox(3))
    seen = moving = 0
    with mpmath.workprec(precision(stored)):
        for x, y in points(domain, len(inner.levels) - 3, generator, 40):
            value, hidden = evaluate(stored, (x, y))
            exact = {
                "x*y": lambda x, y: x * y,
                "exp(x)*sin(y)": lambda x, y: mpmath.exp(x) * mpmath.sin(y),
                "exp(-(x - y)^2)": lambda x, y: mpmath.exp(-((x - y) ** 2)),
            }[formula](number(x), number(y))
            seen = max(seen, float(abs(value - exact)))
            assert seen <= found.error.value
            # Staircases of one kind are on the plateaus of two neighboring cells, or one of them moves.
            moving += len({round(float(v), 12) for v in hidden[:-1:2]}) > 2
    assert seen >= found.error.value / 3
    assert moving >= 15


def test_balls_contain_what_mpmath_finds():
    found = superposition_network(Target("x*y", SQUARE), F(3, 10))
    bits = precision(found.network)
    previous, ctx.prec = ctx.prec, bits
    try:
        with mpmath.workprec(bits):
            for x, y in points(SQUARE, 1, np.random.Generator(np.random.Philox(4)), 20):
                value = realize_ball(
                    found.network, [arb(fmpq(*x.as_integer_ratio())), arb(fmpq(*y.as_integer_ratio()))]
                )
                expected, _ = evaluate(found.network, (x, y))
                assert abs(mpmath.mpf(value[0].mid().str(40, radius=False)) - expected) < mpmath.mpf(10) ** -20
    finally:
        ctx.prec = previous


@pytest.mark.parametrize("width", [1, 2, 64])
def test_ranges_of_steps(width):
    """The hull of many values on an interval, and no more than a hair beyond."""
    generator = np.random.Generator(np.random.Philox(width))
    heights = [int(h) for h in generator.integers(-9, 10, 12)]
    codes = [width.bit_length(), *((2 * h if h > 0 else 1 - 2 * h) for h in heights)]
    own = steps(int("1" + "".join(map(delta_code, codes)), 2))
    assert own.levels == tuple(np.cumsum([0, *heights]).tolist())

    def p(t):
        s = (12 * t[:, None] - np.arange(12) - 0.5) * width + 0.5
        inside = np.clip(s, 1e-9, 1 - 1e-9)
        return (1 / (1 + np.exp(np.clip(1 / inside - 1 / (1 - inside), -700, 700)))) @ heights

    for _ in range(60):
        low, high = sorted(F(float(u)) for u in generator.uniform(-0.05, 1.05, 2))
        if generator.random() < 0.5:
            high = low + (high - low) / 50
        least, most = (
            float(end.p) / float(end.q) for end in own.range(*(fmpq(*e.as_integer_ratio()) for e in (low, high)))
        )
        values = p(np.linspace(float(low), float(high), 20001))
        assert least <= values.min() + 1e-9 and values.max() <= most + 1e-9
        assert values.min() - least <= 0.1 and most - values.max() <= 0.1
    with pytest.raises(PrecisionError, match="narrow"):
        steps(int("1" + delta_code(100), 2))
    with pytest.raises(PrecisionError, match="high"):
        steps(int("1" + delta_code(1) + delta_code(2**70), 2))


def test_a_slot_without_digits_holds_no_step():
    for index in (1, 2, 3):
        own = steps(index)
        assert own.levels == (0,) and own.range(fmpq(0), fmpq(1)) == (0, 0)


def test_refusals():
    with pytest.raises(HypothesisError, match="several variables"):
        superposition_network(Target("exp(x)", Box(0, 1)), F(1, 10))


@pytest.mark.slow
def test_three_variables():
    found = superposition_network(Target("x*y*z", Box([0] * 3, [1] * 3)), F(1, 2))
    assert [layer.outputs for layer in found.network.layers] == [61, 21, 1]


@pytest.mark.slow
def test_one_level_does_not_reach_everything():
    with pytest.raises(CertificateError, match="larger eps"):
        superposition_network(Target("x*y", SQUARE), F(1, 100))
