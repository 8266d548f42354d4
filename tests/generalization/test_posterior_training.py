"""Training of posteriors: the bound that is minimized, its gradient, and what the result promises."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr
from sklearn.datasets import load_digits

from epsnet.certify.errors import DomainError
from epsnet.checker.kernel import check
from epsnet.data import Sample
from epsnet.features.maps import upright_scattering
from epsnet.generalization import posterior_training
from epsnet.generalization.pac_bayes import certify_posterior, pac_bayes_kl
from epsnet.generalization.posterior_training import train_posterior

N, P, K = 600, 12, 3


@pytest.fixture(scope="module")
def sample():
    generator = np.random.default_rng(5)
    labels = generator.integers(K, size=N)
    centers = generator.standard_normal((K, P))
    features = centers[labels] + 0.7 * generator.standard_normal((N, P))
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def bound(posterior, features, labels):
    return pac_bayes_kl(posterior.gibbs_risk(features, labels), posterior.kl(), len(labels), 0.05)


def test_the_bound_falls_and_is_the_one_that_is_certified(sample):
    found = []
    posterior = train_posterior(*sample, K, progress=lambda number, value: found.append((number, value)))
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    # both parts of the training lower the bound; the second one starts in another basis
    first, second = ([value for _, value in part] for part in (found[:10], found[10:]))
    assert first == sorted(first, reverse=True)
    assert second == sorted(second, reverse=True)
    np.testing.assert_allclose(second[-1], bound(posterior, *sample), rtol=1e-4)


def test_the_posterior_beats_the_prior_and_every_regression(sample):
    features, labels = sample
    trained = bound(train_posterior(features, labels, K), features, labels)
    gram, moments = features.T @ features, features.T @ (np.eye(K)[labels] - 1 / K)
    for noise in 2.0 ** np.arange(-6, 7):
        covariance = np.linalg.inv(np.eye(P) + gram / noise)
        mean = covariance @ moments / noise
        scores, deviations = features @ mean, np.sqrt(np.einsum("ip,pq,iq->i", features, covariance, features))
        draws = np.random.default_rng(0).standard_normal((400, N, K))
        risk = (np.argmax(scores + deviations[:, None] * draws, axis=2) != labels).mean()
        kl = (K * (np.trace(covariance) - P - np.linalg.slogdet(covariance)[1]) + (mean**2).sum()) / 2
        assert trained < pac_bayes_kl(float(risk), kl, N, 0.05)


def test_fewer_directions_leave_the_prior_outside(sample):
    features, labels = sample
    posterior = train_posterior(features, labels, K, rank=5, iterations=12)
    assert posterior.mean.shape == (5, K)
    assert posterior.basis is not None
    np.testing.assert_allclose(posterior.basis.T @ posterior.basis, np.eye(5), atol=1e-12)
    assert posterior.prior_std == 1.0


def test_the_gradient_is_that_of_the_exact_risk(sample):
    features, labels = sample
    problem = posterior_training._problem(features, labels, K, 0.05, np.ones(N), P)
    generator = np.random.default_rng(1)
    units, logs = generator.standard_normal((P, K)), generator.normal(-1.0, 0.3, (P, K))
    evaluate = posterior_training._gradients(problem)

    def exact(units, logs):
        inside = features @ problem.basis
        mean, std = inside @ units, np.sqrt(inside**2 @ np.exp(2 * logs))
        z = np.linspace(-9, 9, 721)
        right = np.ones((N, len(z)))
        rows = np.arange(N)
        for other in range(1, K):
            c = (labels + other) % K
            gap = mean[rows, labels] - mean[rows, c]
            right *= ndtr((gap[:, None] + std[rows, labels][:, None] * z) / std[rows, c][:, None])
        weights = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
        return 1 - float((right @ weights).mean())

    risk, slopes = evaluate(units, logs)
    np.testing.assert_allclose(risk, exact(units, logs), rtol=2e-5)
    for direction in generator.standard_normal((4, 2, P, K)):
        ends = [exact(*(np.stack([units, logs]) + step * direction)) for step in (1e-4, -1e-4)]
        np.testing.assert_allclose((slopes * direction).sum(), (ends[0] - ends[1]) / 2e-4, rtol=2e-3, atol=2e-6)


@pytest.mark.parametrize(("risk", "level"), [(0.0, 0.01), (0.01, 0.02), (0.3, 0.5), (0.9, 1e-6)])
def test_the_inverse_of_kl_and_its_slopes(risk, level):
    value = posterior_training._kl_inverse(risk, level)
    kl = lambda q, p: (q * np.log(q / p) if q else 0.0) + (1 - q) * np.log((1 - q) / (1 - p))  # noqa: E731
    np.testing.assert_allclose(value, brentq(lambda p: kl(risk, p) - level, risk + 1e-12, 1 - 1e-12), rtol=1e-9)
    if risk:
        by_risk, by_kl = posterior_training._slopes(risk, value, 1)
        step = 1e-6 * level
        inverse = posterior_training._kl_inverse
        np.testing.assert_allclose(
            by_kl, (inverse(risk, level + step) - inverse(risk, level - step)) / (2 * step), rtol=1e-3
        )
        step = 1e-6 * risk
        np.testing.assert_allclose(
            by_risk, (inverse(risk + step, level) - inverse(risk - step, level)) / (2 * step), rtol=1e-3
        )


def test_both_precisions_of_jax_train_the_same(sample):
    first = train_posterior(*sample, K, iterations=3)
    with jax.enable_x64(True):
        second = train_posterior(*sample, K, iterations=3)
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.log_std, second.log_std)


def test_one_point_and_zero_features():
    posterior = train_posterior(np.ones((1, 2)), np.array([1]), 2)
    assert np.isfinite(posterior.mean).all()
    features = np.vstack([np.zeros((3, 2)), np.eye(2).repeat(40, 0)])
    labels = np.array([0, 1, 0] + [0] * 40 + [1] * 40)
    posterior = train_posterior(features, labels, 2, iterations=15)
    assert bound(posterior, features, labels) < 0.3


@pytest.mark.parametrize(
    "changes",
    [
        {"features": np.ones(4)}, {"features": np.full((4, 2), np.nan)}, {"labels": np.array([0, 1, 2, 0])},
        {"labels": np.array([0, 1])}, {"labels": np.zeros(4)}, {"rank": 0}, {"iterations": 0}, {"delta": 1.0},
    ],
    ids=["vector", "nan", "label", "few", "real", "rank", "iterations", "delta"],
)  # fmt: skip
def test_bad_input_says_what_to_do(changes):
    given = {"features": np.ones((4, 2)), "labels": np.array([0, 1, 1, 0]), "classes": 2} | changes
    with pytest.raises(DomainError, match=r"(Give|Use)"):
        train_posterior(**given)


@pytest.mark.slow
def test_digits_are_certified_without_data_in_the_prior():
    data = load_digits()
    sample = Sample(data.data, data.target, "digits", tuple("0123456789"))
    features = upright_scattering()
    posterior = train_posterior(features(data.data), data.target, 10, rank=300, iterations=60)
    solution, gibbs = certify_posterior(sample, posterior, features)
    assert gibbs is not None
    assert gibbs.value <= 0.22
    assert len(check(solution).checked) == 2
