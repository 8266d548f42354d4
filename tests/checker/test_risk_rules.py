"""Rules `occam` and `norm_bounds` against second computations of their bounds and against a thousand forgeries each."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binom

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check
from epsnet.codec.format import encode_stream
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.serial import network_bytes
from epsnet.data import Sample
from epsnet.generalization.norm_bounds import certify_norms
from epsnet.generalization.occam import certify_code

DELTA = Fraction(1, 20)
CENTERS = np.array([[2.0, 0.0], [0.0, 2.0], [-2.0, -1.0]])
LINEAR = Network.from_layers([(CENTERS / 2, [-0.5, -0.5, -1.25])])
DEEP = Network.from_layers(
    [([[1.0, 0.25], [-0.5, 1.0], [0.0, -1.0], [-1.0, -0.75]], [0.0, 0.0, 0.0, 0.0]),
     ([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, -0.5], [0.0, 0.0, 0.5, 1.0]], [0.0, 0.0, 0.0])],
)  # fmt: skip


def sample(seed=0, n=600):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    return Sample(CENTERS[labels] + 0.7 * random.standard_normal((n, 2)), labels, "blobs", ("a", "b", "c"))


@pytest.fixture(scope="module")
def data():
    return sample()


@pytest.fixture(scope="module")
def certificates(data):
    return {
        "occam": certify_code(data, LINEAR, delta=DELTA),
        "rademacher-linear": certify_norms(data, LINEAR, "rademacher-linear", delta=DELTA),
        "golowich": certify_norms(data, DEEP, "golowich", delta=DELTA),
        "spectral-margin": certify_norms(data, DEEP, "spectral-margin", delta=DELTA),
    }


def rebuilt(solution, *, witness=None, network=None, **changes):
    """Return the solution with its claim changed and everything that depends on it rebuilt."""
    node = solution.certificate.nodes[0]
    arrays = {**solution.certificate.witnesses[node.witness], **(witness or {})}
    network = network or solution.network
    claim = replace(solution.error, network=network.sha256, **changes)
    certificate = Certificate.of((claim,), ((claim, arrays),))
    return replace(
        solution, network=network, error=claim, bits=8 * len(network_bytes(network)), certificate=certificate
    )


def refused(solution):
    try:
        check(solution)
    except CheckError:
        return True
    return False


def test_all_hold(certificates):
    for theorem, solution in certificates.items():
        (bound,) = check(solution).checked
        assert (bound.theorem, bound.kind, bound.delta) == (theorem, Kind.STATISTICAL, DELTA)


def test_occam_by_the_binomial_distribution_of_scipy(data, certificates):
    """The value is where the logarithm of the tail falls below that of the level."""
    value = certificates["occam"].error.value
    errors = int((realize(LINEAR, data.matrix()).argmax(axis=1) != data.labels).sum())
    size = len(encode_stream(LINEAR))
    level = math.log(DELTA) - math.log(3) - size * math.log(256) - math.log(size * (size + 1))
    assert binom.logcdf(errors, len(data), value) == pytest.approx(level, abs=1e-6)
    assert errors / len(data) < value < 0.5


def forged_network(generator, network):
    """Return the network with one weight changed by a sensible amount."""
    layers = [(np.array(layer.terms[0][1].weight), np.array(layer.bias)) for layer in network.layers]
    matrix = layers[generator.integers(len(layers))][0]
    matrix[tuple(generator.integers(n) for n in matrix.shape)] += generator.normal()
    return Network.from_layers(layers)


WRONG = [
    {"delta": DELTA / 2}, {"kind": Kind.PROVED}, {"kind": Kind.VERIFIED}, {"assumptions": ()}, {"quantity": "error"},
    {"measure": "everything"}, {"hypotheses": ("0 errors in 2,000 points",)}, {"arithmetic": "float32"},
    {"sense": ">="}, {"theorem": "pac-bayes-kl"}, {"theorem": "clopper-pearson", "rule": "binomial"},
]  # fmt: skip


def test_a_thousand_forgeries_of_occam(certificates):
    generator = np.random.Generator(np.random.Philox(5))
    honest = certificates["occam"]
    stream = np.frombuffer(encode_stream(LINEAR), dtype=np.uint8).astype(np.int64)
    accepted = 0
    for number in range(1000):
        kind = number % 4
        if kind == 0:
            forged = rebuilt(honest, value=honest.error.value * (1 - 10.0 ** generator.uniform(-7, 0)))
        elif kind == 1:  # a shorter or another code
            changed = stream[: generator.integers(0, len(stream))].copy()
            if generator.random() < 0.5:
                changed = stream.copy()
                changed[generator.integers(len(stream) - 1)] += generator.integers(-300, 300) or 1
            forged = rebuilt(honest, witness={"stream": changed})
        elif kind == 2:  # another network, with the code of this one, or with its own at the old value
            network = forged_network(generator, LINEAR)
            own = np.frombuffer(encode_stream(network), dtype=np.uint8).astype(np.int64)
            forged = rebuilt(honest, network=network, witness={"stream": own} if generator.random() < 0.5 else {})
        else:
            forged = rebuilt(honest, **WRONG[generator.integers(len(WRONG))])
        accepted += not refused(forged)
    assert accepted == 0


def test_a_thousand_forgeries_of_norms(certificates):
    generator = np.random.Generator(np.random.Philox(6))
    names = ("rademacher-linear", "golowich", "spectral-margin")
    accepted = 0
    for number in range(1000):
        name = names[number % 3]
        honest, kind = certificates[name], generator.integers(4)
        value = honest.error.value
        if kind == 0:
            forged = rebuilt(honest, value=value * (1 - 10.0 ** generator.uniform(-8, 0)))
        elif kind == 1:  # a small margin, at which the complexity is large
            margin = honest.stats["margin"] / generator.uniform(10, 100)
            forged = rebuilt(honest, witness={"margin": np.array([margin])}, value=0.9 * value)
        elif kind == 2:  # larger weights, hence larger norms
            layers = [(np.array(layer.terms[0][1].weight), np.array(layer.bias)) for layer in honest.network.layers]
            matrix = layers[generator.integers(len(layers))][0]
            matrix[generator.integers(len(matrix))] *= generator.uniform(20, 100)
            forged = rebuilt(honest, network=Network.from_layers(layers))
        else:
            change = WRONG[generator.integers(len(WRONG))]
            change = {"theorem": "occam"} if change.get("hypotheses") else change
            forged = rebuilt(honest, **change)
        accepted += not refused(forged)
    assert accepted == 0


def test_theorems_of_the_same_rule_are_not_confused(certificates):
    """The bound of a linear map is not claimed for a deep network, nor the smaller bound for the larger theorem."""
    deep = certificates["golowich"]
    with pytest.raises(CheckError, match="deeper"):
        check(rebuilt(deep, theorem="rademacher-linear"))
    with pytest.raises(CheckError, match="at least"):
        check(rebuilt(deep, theorem="spectral-margin"))


@pytest.mark.parametrize(
    "witness",
    [
        {"stream": np.zeros(0, dtype=np.int64)},
        {"stream": np.full(2**20 + 1, 7)},
        {"stream": np.array([-1, 5])},
        {"stream": np.array([300])},
        {"stream": np.full(1000, 255)},
        {"stream": np.zeros(100, dtype=np.int64)},
        {"stream": np.zeros(5)},
        {"features": np.array([7])},
    ],
)
def test_hostile_codes(certificates, witness):
    with pytest.raises(CheckError):
        check(rebuilt(certificates["occam"], witness=witness, value=1.0))


@pytest.mark.parametrize("margin", [[0.0], [-1.0], [np.inf], [np.nan], [1e-300], [1.0, 2.0], []])
def test_hostile_margins(certificates, margin):
    with pytest.raises(CheckError):
        check(rebuilt(certificates["golowich"], witness={"margin": np.array(margin)}, value=1e300))


def test_networks_that_the_norm_bounds_are_not_about(data):
    smooth = Network.from_layers([(np.eye(2), [0, 0]), (CENTERS, [0, 0, 0])], activation="tanh")
    with pytest.raises(ValueError, match="plain ReLU"):
        certify_norms(data, smooth, "golowich")
