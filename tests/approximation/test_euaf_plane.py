"""EUAF networks of several variables: one size for every function and accuracy, values from the definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from epsnet.approximation.euaf import euaf_network
from epsnet.approximation.universal import bits_of_weights
from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target

F = Fraction
CASES = [
    ("x*y", Box([0, 0], [1, 1]), "0.3"),
    ("x^2 + y^2", Box([0, 0], [1, 1]), "0.6"),
    ("sin(3*x)*y", Box([F(-1, 3), 0], [F(1, 2), 1]), "0.3"),
    ("abs(x - 1/3) + 100*y", Box([0, 5], [1, 5.01]), "0.4"),
    ("2 + 0*x*y", Box([0, 0], [1, 1]), "0.1"),
    ("x*y*z", Box([0] * 3, [1] * 3), "0.55"),
]
WIDTHS = {2: [8, 10, 6, 6, 6, 3, 1], 3: [12, 15, 11, 11, 11, 6, 3, 1]}


@pytest.fixture(scope="module", params=CASES, ids=[case[0] for case in CASES])
def case(request):
    formula, box, eps = request.param
    target = Target(formula, box)
    return target, F(eps), euaf_network(target, F(eps))


def test_a_network_of_fixed_size(case):
    target, eps, found = case
    assert found.error.kind is Kind.VERIFIED and found.error.limit <= eps
    layers = found.network.layers
    assert [layer.outputs for layer in layers] == WIDTHS[len(target.variables)]
    assert {name for layer in layers[:-1] for name in layer.activations} == {"euaf"}
    assert bits_of_weights(found.network) >= found.weight_bits
    bits = 8 * len(network_bytes(found.network))
    certificate = Certificate.of((found.error,), ((found.error, found.witness),))
    check(Solution(found.network, target, found.error, bits, certificate))


def activation(x):
    return x / (1 + abs(x)) if x < 0 else abs(x - 2 * math.floor((x + 1) / 2))


def test_values_by_rationals_alone(case):
    """Layer by layer in Fractions with the definition of the activation, at random points: between plateaus too."""
    target, _, found = case
    layers = [
        (list(zip(*layer.terms[0][1].entries(), strict=True)), [F(b) for b in layer.bias_values()], layer.activations)
        for layer in found.network.layers
    ]
    ends = list(zip(target.domain.lower, target.domain.upper, strict=True))
    generator = np.random.Generator(np.random.Philox(4))
    corners = [[0, 0, 0], [1024, 1024, 1024], [0, 1024, 0], [1024, 0, 1024]]
    for shares in [*corners, *generator.integers(0, 1025, (400, 3)).tolist()]:
        x = [a + (b - a) * F(share, 1024) for (a, b), share in zip(ends, shares, strict=False)]
        y = x
        for entries, bias, names in layers:
            z = list(bias)
            for i, j, value in entries:
                z[i] += F(value) * y[j]
            y = [activation(v) if names == ("euaf",) else v for v in z]
        truth = float(target(np.array([[float(v) for v in x]]))[0])
        assert abs(float(y[0]) - truth) <= found.error.value * (1 + 1e-12)


def test_refusals():
    with pytest.raises(HypothesisError, match="at most 3 variables"):
        euaf_network(Target("w*x*y*z", Box([0] * 4, [1] * 4)), F(1, 2))
    with pytest.raises(CertificateError, match="values in one weight"):
        euaf_network(Target("x*y", Box([0, 0], [1, 1])), F(1, 50))
