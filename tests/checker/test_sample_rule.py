"""Rule `sample`: honest claims hold, a thousand forgeries do not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.checker.kernel import check
from epsnet.checker.rules import sample
from epsnet.compression.on_sample import sample_solution
from epsnet.core.linear_maps import Convolution
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize_exact
from epsnet.core.serial import load_solution, network_bytes, save_solution
from epsnet.core.solution import Solution


def network_of(seed, scale=1.0):
    generator = np.random.default_rng(seed)
    shapes = [(6, 3), (5, 6), (3, 5)]
    return Network.from_layers([(generator.normal(size=s), generator.normal(size=s[0]) * scale) for s in shapes])


def near(network, size):
    generator = np.random.default_rng(5)
    layers = [
        (layer.terms[0][1].weight + size * generator.normal(size=layer.terms[0][1].shape), layer.bias)
        for layer in network.layers
    ]
    return Network.from_layers(layers)


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(1).normal(size=(15, 3))


@pytest.fixture(scope="module")
def found(points):
    original = network_of(0)
    return sample_solution(near(original, 0.02), original, points)


def rejected(solution):
    try:
        check(solution)
    except CheckError:
        return True
    return False


def rebuilt(found, *, network=None, target=None, points=None, **changes):
    """Return the solution with one claim changed and every hash right."""
    number = changes.pop("number", 0)
    node = found.certificate.nodes[number]
    network, target = network or found.network, target or found.target
    claim = replace(node.claim, network=network.sha256, target=target.sha256, **changes)
    witness = dict(found.certificate.witnesses[node.witness])
    if points is not None:
        witness["points"] = points
    certificate = Certificate.of((claim,), ((claim, witness),))
    return Solution(network, target, claim, 8 * len(network_bytes(network)), certificate)


def test_a_layer_that_is_large_without_weights_is_refused():
    """A convolution with much padding makes a layer of millions of neurons from one weight."""
    padded = Convolution(np.ones((1, 1, 1, 1)), (1, 1, 1), padding=520)
    middle = Convolution(np.ones((1, 1, 1, 1)), (1, 1041, 1041), stride=1041)
    network = Network(1, (Layer(((0, padded),), [0.0]), Layer(((1, middle),), [0.0], ("identity",))))
    points = np.zeros((2, 1))
    target = NetworkTarget.on_sample(network, points)
    honest = sample_solution(network_of(0), network_of(0), np.zeros((2, 3)))
    forged = rebuilt(
        honest, network=network, target=target, points=points.ravel(), quantity=target.quantity,
        hypotheses=("evaluated at 2 points",),
    )  # fmt: skip
    with pytest.raises(CheckError, match="layer is too large"):
        check(forged)


def test_blocks_change_nothing(found, points, monkeypatch):
    whole = sample.deviations(found.network, found.target.network, points)
    monkeypatch.setattr(sample, "_NUMBERS", 14)
    np.testing.assert_allclose(sample.deviations(found.network, found.target.network, points), whole, rtol=1e-9)


def test_value_is_the_exact_maximum(found, points):
    """Oracle: rational arithmetic at every point."""
    worst, same = Fraction(0), 0
    for point in points.tolist():
        one, two = (realize_exact(each, point) for each in (found.network, found.target.network))
        worst = max(worst, *(abs(a - b) for a, b in zip(one, two, strict=True)))
        same += one.index(max(one)) == two.index(max(two))
    assert worst <= found.error.limit <= worst * (1 + Fraction(1, 10**10))
    assert found.certificate.nodes[1].claim.value == same
    assert len(check(found).checked) == 2


def test_saved_and_loaded(found, tmp_path):
    save_solution(found, tmp_path)
    loaded = load_solution(tmp_path)
    assert loaded.target.sha256 == found.target.sha256 and loaded.target.points == 15
    assert check(tmp_path).error == found.error


def test_a_thousand_forgeries(found, points):
    random = np.random.default_rng(2)
    flat, value, accepted = points.ravel(), found.error.value, 0
    for number in range(1000):
        kind = number % 5
        if kind == 0:
            forged = rebuilt(found, value=value * (1 - 10.0 ** random.uniform(-9, 0)), exact=None)
        elif kind == 1:  # fewer or other points, with a small error
            changed = flat.copy()
            changed[random.integers(len(flat))] += random.normal()
            forged = rebuilt(found, points=changed if random.random() < 0.5 else flat[: -3 * random.integers(1, 15)])
        elif kind == 2:
            worse = near(found.network, random.uniform(0.1, 1))
            forged = rebuilt(found, network=worse)
        elif kind == 3:
            count = found.certificate.nodes[1].claim.value
            forged = rebuilt(found, number=1, value=count + random.integers(1, 15), exact=None)
            forged = replace(forged, error=forged.error)
        else:
            field, other = [
                ("sense", ">="), ("norm", "L2"), ("arithmetic", "float64"), ("quantity", "error"),
                ("domain", Box([-9] * 3, [9] * 3)), ("theorem", "sample-predictions"), ("hypotheses", ()),
            ][random.integers(7)]  # fmt: skip
            forged = rebuilt(found, **{field: other})
        accepted += not rejected(forged)
    assert accepted == 0
    assert not rejected(rebuilt(found))


@pytest.mark.parametrize("bad", [np.zeros(0), np.full(45, np.nan), np.zeros(44), np.zeros(45)])
def test_hostile_witnesses(found, bad):
    assert rejected(rebuilt(found, points=bad))


def test_a_sample_claims_nothing_elsewhere(found):
    """A target on a box takes no bound on a sample, and the other way round."""
    box = NetworkTarget(found.target.network, found.target.domain)
    assert rejected(rebuilt(found, target=box))
    assert rejected(rebuilt(found, quantity="error", domain=box.domain))


def test_bad_points_are_refused():
    network = network_of(0)
    for points in (np.zeros((0, 3)), np.zeros((4, 2)), np.full((2, 3), np.inf), np.zeros(3)):
        with pytest.raises(DomainError):
            NetworkTarget.on_sample(network, points)


def test_overflow_is_refused(points):
    huge = Network.from_layers([(np.full((2, 3), 1e200), np.zeros(2)), (np.full((2, 2), 1e200), np.zeros(2))])
    with pytest.raises(DomainError):
        sample_solution(huge, huge, points)
