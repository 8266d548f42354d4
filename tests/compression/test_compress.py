"""compress: certified, monotone in the bits, saved and re-checked; clear errors."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.codec.format import encode
from epsnet.compression import candidates as recipes
from epsnet.compression import compress as module
from epsnet.compression.compress import compress
from epsnet.compression.on_sample import prediction_risk
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact
from epsnet.core.serial import load_solution, save_solution
from epsnet.enclosure.exact_values import exact_distance

SQUARE = Box([0, 0], [1, 1])


def network_of(seed, widths):
    generator = np.random.default_rng(seed)
    return Network.from_layers([
        (generator.normal(size=(m, n)) * np.sqrt(2 / n), generator.normal(size=m) / 2)
        for n, m in pairwise(widths)
    ])  # fmt: skip


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    """The search over a family with fewer levels and recipes is the same."""
    monkeypatch.setattr(module, "LEVELS", recipes.LEVELS[::4])
    monkeypatch.setattr(module, "RECIPES", (recipes.RECIPES[0], recipes.RECIPES[2]))


@pytest.fixture(scope="module")
def network():
    return network_of(0, (2, 8, 6, 1))


@pytest.mark.parametrize("eps", [0.1, 0.003])
def test_eps_on_a_box(network, eps, tmp_path):
    found = compress(network, SQUARE, eps=eps)
    assert found.error.value <= eps and found.error.kind is Kind.VERIFIED
    assert found.error.exact == exact_distance(found.network, network, SQUARE).upper.exact
    stages = found.stats["stages"]
    assert stages[0]["weights"] == network.size.weights and stages[-1]["bits"] == 8 * len(encode(found.network))
    assert stages[-1]["bits"] < stages[0]["bits"]
    save_solution(found, tmp_path)
    assert check(tmp_path).error == found.error and load_solution(tmp_path).target.sha256 == found.target.sha256


def test_three_inputs_by_relaxation():
    network = network_of(1, (3, 6, 1))
    found = compress(network, Box([0] * 3, [1] * 3), eps=0.05)
    assert found.error.value <= 0.05
    check(found)
    x = np.random.default_rng(0).uniform(size=(4000, 3))
    assert np.abs(realize(found.network, x) - realize(network, x)).max() <= found.error.value


def test_l2(network):
    found = compress(network, Box([0, 0], ["1/2", "1/2"]), eps=0.02, norm="L2")
    assert found.error.norm == "L2" and found.error.value <= 0.02 and found.target.norm == "L2"
    check(found)


def test_error_is_monotone_in_the_bits(network):
    errors = []
    for bits in (300, 480, 700, 1100):
        found = compress(network, SQUARE, bits=bits)
        assert 8 * len(encode(found.network)) <= bits
        errors.append(found.error.limit)
        check(found)
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0]


def test_same_result_twice(network):
    one, two = (compress(network, SQUARE, eps=0.05) for _ in range(2))
    assert one.network.sha256 == two.network.sha256 and one.error == two.error


@pytest.fixture(scope="module")
def scores():
    return network_of(2, (4, 8, 3)), np.random.default_rng(3).normal(size=(200, 4))


def test_eps_on_points(scores):
    network, points = scores
    found = compress(network, points, eps=0.05)
    worst = max(
        abs(a - b)
        for x in points.tolist()
        for a, b in zip(realize_exact(found.network, x), realize_exact(network, x), strict=True)
    )
    assert worst <= found.error.limit <= Fraction("0.05")
    assert found.error.domain is None and "200 points of the sample" in str(found.error)
    check(found)


def test_accuracy(scores, tmp_path):
    network, points = scores
    found = compress(network, points, accuracy=1)
    same = realize(found.network, points).argmax(axis=1) == realize(network, points).argmax(axis=1)
    assert same.all()
    claim = found.certificate.nodes[1].claim
    assert claim.value == 200 and claim.quantity.startswith("unchanged predictions")
    save_solution(found, tmp_path)
    assert len(check(tmp_path).checked) == 2
    loose = compress(network, points, accuracy=0.9)
    assert loose.stats["stages"][-1]["bits"] <= found.stats["stages"][-1]["bits"]


def test_predictions_elsewhere(scores):
    network, points = scores
    found = compress(network, points, accuracy=0.95)
    fresh = np.random.default_rng(4).normal(size=(300, 4))
    risk = prediction_risk(found.network, network, fresh)
    changed = (realize(found.network, fresh).argmax(axis=1) != realize(network, fresh).argmax(axis=1)).mean()
    assert risk.error.kind is Kind.STATISTICAL and changed <= risk.error.value < 0.2
    check(risk)


def test_interrupted(network):
    def stop(what, facts):
        if what == "exact reduction":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(network, SQUARE, eps=1e-2, progress=stop)


def test_interrupted_search_keeps_the_reduction(network, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module._OnBox, "certify", stop)
    found = compress(network, SQUARE, eps=1e-2)
    assert found.error.value == 0 and "interrupted" in found.stats["recipe"]
    check(found)


@pytest.mark.parametrize(
    "goal",
    [{}, {"eps": 0}, {"eps": 0.1, "bits": 9}, {"accuracy": 2}, {"accuracy": 1}, {"bits": -1}, {"eps": 1, "cost": "x"}],
    ids=["none", "zero", "two", "above one", "on a box", "negative", "cost"],
)
def test_senseless_goals(network, goal):
    with pytest.raises(DomainError):
        compress(network, SQUARE, **goal)


def test_too_few_bits(network):
    with pytest.raises(CertificateError, match="shortest") as caught:
        compress(network, SQUARE, bits=20)
    assert caught.value.best is not None


def test_hopeless_relaxation_says_what_to_do(monkeypatch):
    network, box = network_of(1, (3, 6, 1)), Box([0] * 3, [1] * 3)
    real = module.certified_distance

    def coarse(*args, **options):
        found = real(*args, **options)
        error = found.error
        return found if args[0] is args[1].network else module.replace(
            found, error=module.replace(error, value=error.value + 9, exact=None)
        )  # fmt: skip

    monkeypatch.setattr(module, "certified_distance", coarse)
    with pytest.raises(CertificateError, match="data points") as caught:
        compress(network, box, eps=0.05)
    assert caught.value.best.error.value <= 0.05
    check(caught.value.best)


def test_constant_network():
    network = Network.from_layers([(np.zeros((3, 2)), np.ones(3)), (np.ones((1, 3)), [0.25])])
    found = compress(network, SQUARE, eps=1e-6)
    assert found.size.weights <= 1 and found.error.value <= 1e-6


def test_networks_that_are_not_plain():
    skip = Network(2, (
        Layer(((0, Dense(np.eye(2))),), np.array([-0.5, -0.25])),
        Layer(((1, Dense([[1.0, 1.0]])), (0, Dense([[1.0, 0.0]]))), np.zeros(1), ("identity",)),
    ))  # fmt: skip
    with pytest.raises(HypothesisError, match="reduce_exactly"):
        compress(skip, SQUARE, eps=0.1)
