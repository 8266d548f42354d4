"""EUAF networks: memorization by one weight, and networks of one size for every function and accuracy."""

from __future__ import annotations

import math
from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from flint import arb

from epsnet.approximation.euaf import SHIFT, euaf_network, memorize
from epsnet.approximation.universal import bits_of_weights
from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.checker.kernel import check
from epsnet.core.exact_forms import network_form
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.core.universal_activation import UNIVERSAL, euaf

F = Fraction


def test_the_activation_in_rationals():
    assert [euaf(F(k, 2)) for k in range(7)] == [0, F(1, 2), 1, F(1, 2), 0, F(1, 2), 1]
    assert [euaf(F(-k)) for k in (1, 3)] == [F(-1, 2), F(-3, 4)]
    for k in range(-40, 80):
        x = F(k, 7)
        assert UNIVERSAL["euaf"].ball(ball(x)).overlaps(ball(euaf(x)))


def test_thirty_two_values_in_one_weight():
    """y_k = frac(k sqrt 3), k = 1..32, to 2^-7 with at most 250 bits; counting says that 192 are needed."""
    tolerance = F(1, 2**7)
    values = [F(isqrt(3 * k * k * 10**60), 10**30) % 1 for k in range(1, 33)]
    points = [1 / (SHIFT + k) for k in range(1, 33)]
    weight = memorize(values, points, tolerance - F(1, 10**20))
    assert 32 * 6 <= weight.bit_length() <= 250
    with ball_arithmetic():
        for k, a in enumerate(points, start=1):
            y = k * arb(3).sqrt() - isqrt(3 * k * k)
            # In exact arithmetic up to the last step, the irrational y in a ball.
            assert abs(ball(euaf(weight * a)) - y) <= ball(tolerance)


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_memorize(count):
    generator = np.random.Generator(np.random.Philox(count))
    values = [F(float(y)) for y in generator.uniform(0, 1, count)]
    points = [1 / (SHIFT + k) for k in range(count)]
    weight = memorize(values, points, F(1, 50))
    for y, a in zip(values, points, strict=True):
        z = weight * a % 2
        assert abs(min(z, 2 - z) - y) <= F(1, 50)


CASES = [("exp(x)", Box(0, 1), "1e-1"), ("abs(x - 1/3)", Box(0, 1), "5e-2"), ("1/x", Box(1, 2), "4e-2"),
         ("sin(3*x)", Box(-1, 1), "3e-1"), ("2 + 0*x", Box(-3, 7), "1e-2")]  # fmt: skip


@pytest.fixture(scope="module")
def networks():
    targets = [Target(formula, box) for formula, box, _ in CASES]
    return [(target, euaf_network(target, F(eps))) for target, (_, _, eps) in zip(targets, CASES, strict=True)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case[0] for case in CASES])
def test_a_network_of_fixed_size(networks, number):
    target, found = networks[number]
    assert found.error.kind is Kind.VERIFIED and found.error.limit <= F(CASES[number][2])
    layers = found.network.layers
    assert [layer.outputs for layer in layers] == [4, 5, 3, 3, 3, 1]
    assert {name for layer in layers[:-1] for name in layer.activations} == {"euaf"}
    assert bits_of_weights(found.network) >= found.weight_bits
    bits = 8 * len(network_bytes(found.network))
    certificate = Certificate.of((found.error,), ((found.error, found.witness),))
    check(Solution(found.network, target, found.error, bits, certificate))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case[0] for case in CASES])
def test_values_by_rationals_alone(networks, number):
    """Layer by layer in Fractions, with the definition of the activation written anew."""
    target, found = networks[number]

    def activation(x):
        return x / (1 + abs(x)) if x < 0 else abs(x - 2 * math.floor((x + 1) / 2))

    low, high = target.domain.lower[0], target.domain.upper[0]
    worst = 0.0
    for k in range(401):
        x = low + (high - low) * F(k, 400)
        y = [x]
        for layer in found.network.layers:
            z = [F(b) for b in layer.bias_values()]
            for i, j, value in zip(*layer.terms[0][1].entries(), strict=True):
                z[i] += F(value) * y[j]
            y = [activation(v) if layer.activations == ("euaf",) else v for v in z]
        assert network_form(found.network, x, x).polynomial(0) == ball_free(y[0])
        worst = max(worst, abs(float(y[0]) - float(target(float(x)))))
    assert worst <= found.error.value


def ball_free(value):
    from flint import fmpq

    return fmpq(value.numerator, value.denominator)


def test_refusals():
    with pytest.raises(CertificateError, match="values in one weight"):
        euaf_network(Target("exp(x)", Box(0, 1)), F(1, 1000))
    with pytest.raises(CertificateError, match="larger eps"):
        memorize([F(1, 3)] * 200, [1 / (SHIFT + k) for k in range(200)], F(1, 100))
