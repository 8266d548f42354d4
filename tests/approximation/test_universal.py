"""Universal sigmoidal activations and the one-neuron networks: laws of the definition, and an independent sample."""

from __future__ import annotations

import contextlib
import itertools
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import arb, ctx

from epsnet import inspect, save_onnx
from epsnet.approximation.universal import bits_of_weights, universal_network
from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError, PrecisionError
from epsnet.checker.kernel import check
from epsnet.core.network import Network
from epsnet.core.realize import realize, realize_ball
from epsnet.core.rounding_error import float64_error
from epsnet.core.serial import network_bytes, network_from_bytes
from epsnet.core.slopes import slope_ranges
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.core.universal_activation import UNIVERSAL, calkin_wilf, delta_code, slot

F = Fraction
SIGMOIDAL = ("sigma-codec", "sigma-calkin-wilf", "sigma-steps")


@contextlib.contextmanager
def flint_precision(bits):
    previous, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = previous


def newman():
    """The Calkin-Wilf sequence by Newman's recurrence."""
    q = F(1)
    while True:
        yield q
        q = 1 / (2 * (q.numerator // q.denominator) - q + 1)


def coefficients(enumeration, index):
    return [F(int(c.p), int(c.q)) for c in slot(enumeration, index).polynomial.coeffs()]


def test_calkin_wilf_sequence_by_the_recurrence_of_newman():
    assert [calkin_wilf(n) for n in range(1, 200)] == list(itertools.islice(newman(), 199))


def test_the_first_polynomials_of_the_paper():
    """1, t^2, t, t^2 - t, t^2 - 1, t^3, t - 1, ... in the order of Guliyev and Ismailov."""
    first = [coefficients("calkin-wilf", n) for n in range(1, 8)]
    assert first == [[1], [0, 0, 1], [0, 1], [0, -1, 1], [-1, 0, 1], [0, 0, 0, 1], [-1, 1]]
    many = [tuple(coefficients("calkin-wilf", n)) for n in range(1, 2000)]
    assert len(set(many)) == len(many)
    assert all(c[-1] == 1 for c in many)


def test_codec_polynomials_are_chebyshev_series():
    integers = [3, -1, 0, 7, -300]
    text = "1" + "".join(delta_code(2 * m if m > 0 else 1 - 2 * m) for m in integers)
    for broken in (text, text + "0", text + "001"):
        found = np.polynomial.Polynomial([float(c) for c in coefficients("codec", int(broken, 2))])
        t = np.linspace(0, 1, 50)
        wanted = np.polynomial.chebyshev.chebval(2 * t - 1, [0, *integers])
        assert np.abs(found(t) - wanted).max() <= 1e-10 * 300
    assert coefficients("codec", 1) == []


def test_delta_codes_are_those_of_elias():
    known = {1: "1", 2: "0100", 3: "0101", 4: "01100", 8: "00100000", 17: "001010001"}
    assert {n: delta_code(n) for n in known} == known


def sigma(name, x):
    return UNIVERSAL[name].ball(arb(x) if isinstance(x, int | float) else arb(x.numerator) / x.denominator)


@pytest.mark.parametrize("name", SIGMOIDAL)
def test_sigmoidal_and_nearly_increasing(name):
    """Values lie in the bands that the definition promises, and |sigma - u| <= 1/4 for an increasing u."""
    xs = [F(k, 16) for k in range(-200, 1200)]
    values = [sigma(name, x) for x in xs]
    steps = [v.mid() for v in values]
    highest = arb(0)
    for x, value in zip(xs, values, strict=True):
        assert value > 0 and value < 1
        if x >= 2:
            digits = (int(x) // 2).bit_length()
            assert abs(value - (1 - arb(1) / (4 * digits))) <= arb(3) / (8 * digits)
        highest = highest.max(value.upper())
        # An increasing u within 1/4 exists if nowhere sigma falls by more than 1/2 below an earlier value.
        assert highest - value < 0.5
    assert steps[0] < 0.06 and steps[0] < steps[100] < steps[190]
    with flint_precision(2100):
        assert abs(sigma(name, F(2**2000 + 1)) - 1) < 1e-3


@pytest.mark.parametrize("name", SIGMOIDAL)
@pytest.mark.parametrize("place", [1, 2, 3, 4, 5, 6, 7, 200, 201])
def test_smooth_glue(name, place):
    """Divided differences of every order up to 6 agree from both sides, as they must for a smooth function."""
    with flint_precision(2000):
        h = F(1, 2**40)

        def derivative(order, side):
            points = [F(place) + side * h * i for i in range(order + 1)]
            total = arb(0)
            for i, x in enumerate(points):
                product = F(1)
                for j, y in enumerate(points):
                    product *= x - y if i != j else 1
                total += sigma(name, x) * product.denominator / product.numerator
            return total

        for order in range(1, 7):
            left, right = derivative(order, -1), derivative(order, 1)
            assert abs(left - right) <= 1e-3 * (1 + abs(left))


@pytest.mark.parametrize("name", [*SIGMOIDAL, "euaf"])
def test_balls_contain_values_inside(name):
    generator = np.random.Generator(np.random.Philox(5))
    for _ in range(300):
        low = F(float(generator.uniform(-4, 40)))
        width = F(float(10.0 ** generator.uniform(-6, 1)))
        wide = arb(low.numerator) / low.denominator
        wide = wide.union(wide + float(width))
        inside = low + width * F(float(generator.uniform(0, 1)))
        assert UNIVERSAL[name].ball(wide).contains(sigma(name, inside).mid()) or UNIVERSAL[name].ball(wide).overlaps(
            sigma(name, inside)
        )


@pytest.mark.parametrize(
    ("formula", "domain", "eps", "enumeration", "bits"),
    [
        ("exp(x)", Box(0, 1), "1e-2", "codec", 45),
        ("exp(x)", Box(0, 1), "1e-6", "codec", 350),
        ("1/(1 + 25*x^2)", Box(-1, 1), "1e-2", "codec", 160),
        ("exp(x)", Box(0, 1), "1e-2", "calkin-wilf", 108),
        ("1/x", Box(1, 2), "3e-3", "calkin-wilf", 100),
    ],
    ids=["exp-2", "exp-6", "runge-2", "exp-calkin-wilf-2", "1/x-calkin-wilf-3e-3"],
)
def test_one_neuron(formula, domain, eps, enumeration, bits):
    target = Target(formula, domain)
    found = universal_network(target, F(eps), enumeration)
    assert found.network.size.neurons == 1 and found.network.size.depth == 2
    assert found.weight_bits <= bits
    assert found.error.kind is Kind.VERIFIED and found.error.limit <= F(eps)
    stored = network_from_bytes(network_bytes(found.network))
    certificate = Certificate.of((found.error,), ((found.error, found.witness),))
    check(Solution(stored, target, found.error, 8 * len(network_bytes(stored)), certificate))
    # The realization by balls of many bits against mpmath, point by point.
    with flint_precision(200 + 2 * bits_of_weights(stored)):
        worst = mpmath.mpf(0)
        for k in range(301):
            x = domain.lower[0] + (domain.upper[0] - domain.lower[0]) * F(k, 300)
            value = realize_ball(stored, [arb(x.numerator) / x.denominator])[0]
            assert value.rad() < 1e-30
            exact = {"exp(x)": mpmath.exp, "1/x": lambda v: 1 / v}.get(formula, lambda v: 1 / (1 + 25 * v * v))
            with mpmath.workdps(30):
                point = mpmath.mpf(x.numerator) / x.denominator
                worst = max(worst, abs(exact(point) - mpmath.mpf(value.mid().str(30, radius=False))))
        assert worst <= found.error.value <= float(worst) * 1.2


def test_floats_are_refused():
    network = universal_network(Target("exp(x)", Box(0, 1)), F(1, 10)).network
    with pytest.raises(PrecisionError, match="exact"):
        realize(network, 0.5)


def test_refusals():
    with pytest.raises(HypothesisError, match="one variable"):
        universal_network(Target("x*y", Box([0, 0], [1, 1])), F(1, 10))
    with pytest.raises(CertificateError, match="larger eps"):
        universal_network(Target("abs(x - 1/3)", Box(0, 1)), F(1, 10**5))
    with pytest.raises(CertificateError, match="the shortest found has"):
        universal_network(Target("exp(x)", Box(0, 1)), F(1, 10**4), "calkin-wilf")
    with pytest.raises(DomainError, match="slot"):
        slot("codec", 0)
    with pytest.raises(PrecisionError, match="degree"):
        slot("codec", 2**600 - 1)
    with pytest.raises(PrecisionError, match="bits"):
        slot("codec", 2**200_000)
    with pytest.raises(DomainError, match="unknown"):
        Network.from_layers([([[1.0]], [0.0])], output="sigma-other")


def test_what_needs_floats_says_so(tmp_path):
    network = universal_network(Target("exp(x)", Box(0, 1)), F(1, 10)).network
    for refused in (
        lambda: inspect(network),
        lambda: save_onnx(network, tmp_path / "network.onnx"),
        lambda: float64_error(network, np.zeros((1, 1)), np.ones((1, 1))),
        lambda: slope_ranges(network.layers[0], np.zeros(1), np.ones(1)),
    ):
        with pytest.raises((PrecisionError, DomainError), match="sigma-codec"):
            refused()


@pytest.mark.parametrize(
    ("formula", "domain", "eps"),
    [
        ("2 + 0*x", Box(0, 1), "1e-3"),
        ("1000*exp(x)", Box(-2, 2), "100"),
        ("cos(80*acos(x))", Box(-1, 1), "1e-2"),
        ("x", Box(5, 6), "1e-9"),
        ("x^2 - 3", Box(-1e-5, 1e-5), "1e-14"),
    ],
    ids=["constant", "large", "degree 80", "exact", "tiny"],
)
def test_extreme_scales(formula, domain, eps):
    assert universal_network(Target(formula, domain), F(eps)).error.limit <= F(eps)
