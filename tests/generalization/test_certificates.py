"""All certificates beside each other: the ledger, the order, the checker on each, and how often they fail."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.checker.kernel import check
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.serial import load_solution, save_solution
from epsnet.data import Sample
from epsnet.features.maps import with_constant
from epsnet.generalization.certificates import NAMES, certify_risk, certify_unused
from epsnet.generalization.ledger import DeltaLedger
from epsnet.generalization.occam import certify_code, shorten_code
from epsnet.generalization.posterior import logistic_posterior
from epsnet.studies import risk_bounds

CENTERS = np.array([[2.0, 1.0], [-2.0, 1.0], [0.0, -2.0]])


def sample(seed, n=500):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    return Sample(CENTERS[labels] + random.standard_normal((n, 2)), labels, f"blobs {seed}", ("a", "b", "c"))


@pytest.fixture(scope="module")
def found():
    steps = []
    result = certify_risk(
        sample(0), logistic_posterior, features=with_constant(), unused=sample(1, 2000),
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert steps == [(key, number, 9) for number, key in enumerate(NAMES, start=1)]
    return result


def test_the_best_comes_first_and_the_vacuous_ones_last(found):
    values = [each.bound.value for each in found.certificates]
    assert values == sorted(values)
    assert {each.key for each in found.certificates} == set(NAMES)
    assert found.best is found.certificates[0]
    assert found["spectral"].vacuous
    assert not found["unused"].vacuous
    assert [each.vacuous for each in found.certificates] == [value >= 2 / 3 for value in values]
    assert "vacuous: guessing does as well" in str(found["spectral"])


def test_delta_is_divided_over_all_bounds(found):
    assert sum(each.bound.delta for each in found.certificates) == found.ledger.delta == Fraction(1, 20)
    assert {each.key: each.bound.delta for each in found.certificates} == dict(found.ledger.shares)
    assert "1/180" in str(found)


def test_each_certificate_is_checked_alone_and_from_its_files(found, tmp_path):
    for each in found.certificates:
        assert any(bound == each.bound for bound in check(each.solution).checked)
        save_solution(each.solution, tmp_path / each.key)
        data = (each.solution.target.inputs, each.solution.target.labels)
        assert check(tmp_path / each.key, data=data).error == each.solution.error
        assert load_solution(tmp_path / each.key).error == each.solution.error


def test_json(found):
    stored = found.to_json()
    assert [row["key"] for row in stored["certificates"]] == [each.key for each in found.certificates]
    assert sum(map(Fraction, stored["ledger"]["shares"].values())) == Fraction(1, 20)


def test_a_deep_network_has_no_bound_of_linear_maps():
    both = np.vstack([np.eye(2), -np.eye(2)])
    network = Network.from_layers([(both, np.zeros(4)), (CENTERS @ both.T, np.zeros(3))])
    result = certify_risk(sample(0, 200), logistic_posterior, network=network)
    assert {each.key for each in result.certificates} == set(NAMES) - {"rademacher", "unused"}
    assert result["golowich"].solution.network is network


def test_training_points_are_not_unused():
    train = sample(0)
    network = Network.from_layers([(CENTERS, np.zeros(3))])
    with pytest.raises(DomainError, match="unused in training"):
        certify_unused(train, network, train.take(np.arange(100)))
    with pytest.raises(DomainError, match="unused in training"):
        certify_risk(train, logistic_posterior, unused=train)


def test_a_ledger_never_spends_more_than_it_has():
    with pytest.raises(DomainError, match="more than delta"):
        DeltaLedger(Fraction(1, 20), (("one", Fraction(1, 25)), ("two", Fraction(1, 25))))
    with pytest.raises(DomainError, match="different names"):
        DeltaLedger.split(Fraction(1, 20), ["one", "one"])
    with pytest.raises(DomainError, match="no share"):
        DeltaLedger.split(Fraction(1, 20), ["one"])["two"]
    with pytest.raises(DomainError, match="0 < delta < 1"):
        DeltaLedger.split(Fraction(3, 2), ["one"])


def test_compression_makes_the_code_bound_smaller():
    train = sample(0, 1000)
    random = np.random.default_rng(2)
    network = Network.from_layers([(CENTERS + 0.01 * random.standard_normal((3, 2)), 0.01 * random.standard_normal(3))])
    small = shorten_code(network, train.matrix(), train.labels)
    before, after = (certify_code(train, each) for each in (network, small))
    assert after.error.value < before.error.value
    assert after.stats["bytes"] < before.stats["bytes"]


def test_true_risks_of_the_tasks_by_sampling():
    """The formulas that the validity test compares with, against 400,000 points."""
    random = np.random.default_rng(0)
    center = risk_bounds.center_of(3)
    labels = random.integers(0, 2, 400_000)
    points = random.standard_normal((400_000, 2)) + np.outer(2 * labels - 1, center)
    train, _ = risk_bounds.task(3)
    posterior = logistic_posterior(train.matrix(), train.labels, 2)
    assert risk_bounds.gibbs_risk(posterior, center) == pytest.approx(posterior.gibbs_risk(points, labels), abs=1e-3)
    network = Network.from_layers([([[0.3, -0.2], [1.0, 0.5]], [0.1, 0.4])])
    wrong = (realize(network, points).argmax(axis=1) != labels).mean()
    assert risk_bounds.network_risk(network, center) == pytest.approx(wrong, abs=3e-3)
    least = Network.from_layers([([-center, center], [0.0, 0.0])])
    assert risk_bounds.network_risk(least, center) == pytest.approx(0.1, abs=1e-12)


def test_validity_on_tasks_with_known_risk():
    """The full experiment, 200 tasks, is benchmarks/risk_validity."""
    tasks = 5
    found = [risk_bounds.measure_task(seed) for seed in range(1000, 1000 + tasks)]
    allowed = 0.1 * tasks + 3 * math.sqrt(tasks * 0.09)
    for key in NAMES:
        violations = sum(one["truths"][key] > one["bounds"][key] for one in found)
        assert violations <= allowed, key
    medians = {key: np.median([one["bounds"][key] for one in found]) for key in NAMES}
    assert all(medians[key] <= 0.2 for key in ("gibbs", "draw", "half-draw", "half-binomial", "unused"))
    assert medians["code"] <= 0.25
