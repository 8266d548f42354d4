"""Data: the risk bound is Clopper and Pearson's, from points that training never saw, and its data can be checked."""

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy.stats import beta

from epsnet import (
    CertificateError,
    CheckError,
    DomainError,
    HypothesisError,
    Kind,
    Sample,
    check,
    learn,
    load_mnist,
    load_solution,
    realize,
    save_solution,
)
from epsnet.checker.rules.binomial import INDEPENDENCE

DELTA = Fraction(1, 100)


def draw(n, seed=0):
    return np.random.Generator(np.random.Philox(seed)).uniform(-1, 1, size=(n, 2))


def disc(n, seed=0):
    """Two classes: inside and outside of a disc, one label in ten wrong."""
    x = draw(n, seed)
    noise = np.random.Generator(np.random.Philox(seed + 1)).uniform(size=n) < 0.1
    return Sample(x, ((x**2).sum(axis=1) < 0.6).astype(int) ^ noise, "disc", ("outside", "inside"))


def surface(n, seed=0, outputs=1):
    x = draw(n, seed)
    y = np.sin(2 * x[:, 0]) * x[:, 1]
    return Sample(x, y if outputs == 1 else np.stack([y, 1 - y], axis=1), "surface")


SHORT = {"hidden": (8,), "epochs": 20}


def errors_of(solution):
    """Count the errors anew, in plain float64."""
    target, outputs = solution.target, realize(solution.network, solution.target.inputs)
    if target.tolerance is None:
        return int(np.sum(outputs.argmax(axis=1) != target.labels))
    difference = np.abs(outputs.reshape(target.points, -1) - target.labels.reshape(target.points, -1))
    return int(np.sum((difference > target.tolerance).any(axis=1)))


@pytest.mark.parametrize("sample", [disc(300), surface(300), surface(300, outputs=2)], ids=["classes", "real", "pairs"])
def test_bound_is_clopper_pearson(sample):
    solution = learn(sample, **SHORT)
    error, n, k = solution.error, solution.target.points, errors_of(solution)
    assert n == 60
    assert (solution.stats["errors"], solution.stats["points"]) == (k, n)
    assert error.hypotheses == (f"{k} error{'s' * (k != 1)} in {n} points",)
    assert error.value == pytest.approx(beta.ppf(1 - float(DELTA), k + 1, n - k), rel=1e-12)
    with mpmath.workdps(40):
        p = mpmath.mpf(error.value)
        tail = [mpmath.betainc(n - k, k + 1, 0, 1 - q, regularized=True) for q in (p, p - mpmath.mpf(2) ** -50)]
    assert tail[0] <= mpmath.mpf(1) / 100 < tail[1]
    assert (error.quantity, error.sense, error.kind, error.delta) == ("risk", "<=", Kind.STATISTICAL, DELTA)
    assert (error.theorem, error.rule, error.arithmetic) == ("clopper-pearson", "binomial", "float64")
    assert error.assumptions == (INDEPENDENCE,)
    assert f"assumed   {INDEPENDENCE}" in str(solution)
    assert "confidence 0.99" in str(solution)
    assert check(solution).error == error


def test_training_learns_something():
    solution = learn(disc(2000), hidden=(16, 16), epochs=60)
    assert solution.stats["errors"] / solution.target.points < 0.16  # a tenth of the labels is wrong
    solution = learn(surface(2000), hidden=(32,), epochs=60)
    assert solution.target.tolerance < 0.2  # the values spread over [-1, 1]
    assert solution.error.value < 0.15  # the tolerance holds for 95 % of the validation part


@pytest.mark.parametrize("kind", [disc, surface])
def test_test_sample_is_opened_once_and_after_training(kind):
    events = []

    def test():
        events.append("test")
        return kind(50, seed=9)

    solution = learn(kind(200), test=test, progress=lambda record, epochs: events.append(record.epoch), **SHORT)
    assert events == [*range(1, 21), "test"]
    assert solution.target.points == 50
    # Neither the network nor the tolerance depends on what came out of it.
    other = learn(kind(200), test=kind(70, seed=5), **SHORT)
    assert other.network.sha256 == solution.network.sha256
    assert other.target.tolerance == solution.target.tolerance


def test_parts_are_disjoint():
    sample = surface(240)
    solution = learn(sample, **SHORT)
    assert (solution.stats["trained_on"], solution.stats["validated_on"], solution.target.points) == (176, 16, 48)
    rows = {tuple(row) for row in sample.inputs}
    assert {tuple(row) for row in solution.target.inputs} < rows
    assert len(rows) == 240


def test_same_seed_same_network():
    hashes = [learn(disc(200), seed=seed, **SHORT).network.sha256 for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_eps_not_reached():
    with pytest.raises(CertificateError, match="The risk is at most 0") as caught:
        learn(disc(300), "1e-3", **SHORT)
    best = caught.value.best
    assert caught.value.asked == 1e-3
    assert caught.value.achieved == best.error.value > 1e-3
    check(best)
    assert learn(disc(300), 0.9, **SHORT).error.value <= 0.9


def test_a_proof_is_refused_before_training():
    for require in (Kind.PROVED, Kind.VERIFIED):
        with pytest.raises(HypothesisError, match="STATISTICAL"):
            learn(disc(300), require=require, progress=lambda *_: pytest.fail("training has begun"))
    assert learn(disc(300), require=Kind.STATISTICAL, **SHORT).error.kind is Kind.STATISTICAL


@pytest.mark.parametrize("kind", [disc, surface])
def test_check_needs_the_data_itself(kind, tmp_path):
    solution = learn(kind(200), **SHORT)
    x, y = solution.target.inputs, solution.target.labels
    save_solution(solution, tmp_path)
    assert load_solution(tmp_path).target.inputs is None
    assert check(tmp_path, data=(x, y)).error == solution.error
    with pytest.raises(CheckError, match="cannot be recounted without the data"):
        check(tmp_path)
    for wrong in ((x + 1e-12, y), (x[::-1], y[::-1]), (x[:-1], y[:-1]), (x, np.roll(y, 1)), pair_of(kind(40))):
        with pytest.raises(CheckError, match="its hash differs"):
            check(tmp_path, data=wrong)


def pair_of(sample):
    return sample.inputs, sample.labels


def test_a_smaller_risk_or_delta_is_refused():
    solution = learn(disc(300), **SHORT)
    node = solution.certificate.nodes[0]
    changes = {"value": 0.9 * solution.error.value, "delta": DELTA / 2, "assumptions": (), "kind": Kind.VERIFIED}
    for name, value in changes.items():
        error = replace(solution.error, **{name: value})
        certificate = replace(solution.certificate, nodes=(replace(node, claim=error),))
        with pytest.raises(CheckError):
            check(replace(solution, error=error, certificate=certificate))


def test_bad_samples_and_options():
    sample = disc(200)
    with pytest.raises(DomainError, match="other inputs or classes"):
        learn(sample, test=Sample(np.ones((20, 3)), np.arange(20) % 2, classes=("outside", "inside")), **SHORT)
    with pytest.raises(DomainError, match="The training option 'depth' is unknown"):
        learn(sample, depth=3)
    with pytest.raises(DomainError, match=r"Give more examples"):
        learn(Sample(np.ones((3, 1)), np.array([0, 1, 0]), classes=("a", "b")))
    with pytest.raises(HypothesisError, match="needs a formula"):
        learn(sample, method="piecewise-linear")


@pytest.mark.slow
def test_mnist_mean_accuracy_of_five_seeds():
    """[784, 20, 20, 10] with the default options: at least 97 % on the 10,000 test images, on average."""
    train, accuracies = load_mnist("train"), []
    for seed in range(5):
        solution = learn(train, test=lambda: load_mnist("test"), seed=seed)
        assert solution.stats["widths"] == [784, 20, 20, 10]
        assert solution.target.points == 10_000
        k = solution.stats["errors"]
        assert solution.error.value == pytest.approx(beta.ppf(0.99, k + 1, 10_000 - k), rel=1e-12)
        accuracies.append(1 - k / 10_000)
    print("accuracies", accuracies, "mean", np.mean(accuracies))
    assert np.mean(accuracies) >= 0.970
