"""The Gaussian posterior against adaptive quadrature, mpmath and many drawn heads."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from epsnet.certify.errors import DomainError
from epsnet.statistics.posterior import GaussianPosterior


def posterior(seed=0, p=20, r=6, k=5, *, prior_mean=False, spread=0.5):
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.standard_normal((p, r)))[0] if r < p else None
    mean, log_std = 2 * random.standard_normal((r, k)), spread * random.standard_normal((r, k))
    return GaussianPosterior(2.0, mean, log_std, basis, random.standard_normal((p, k)) if prior_mean else None)


def sample(seed, n, p, k):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, p)), random.integers(0, k, n)


def error_by_quadrature(mean, std, label):
    others = [c for c in range(len(mean)) if c != label]

    def integrand(z):
        return norm.pdf(z) * np.prod(norm.cdf((mean[label] - mean[others] + std[label] * z) / std[others]))

    points = sorted(
        {-(mean[label] - mean[c]) / std[label] for c in others if abs(mean[label] - mean[c]) < 9 * std[label]}
    )
    return 1 - quad(integrand, -10, 10, epsabs=1e-13, epsrel=1e-12, limit=500, points=points or None)[0]


@pytest.mark.parametrize(("r", "prior_mean", "spread"), [(6, False, 0.5), (20, False, 1.5), (6, True, 0.0)])
def test_gibbs_risk_is_above_the_exact_one_by_rounding(r, prior_mean, spread):
    found = posterior(r=r, prior_mean=prior_mean, spread=spread)
    features, labels = sample(1, 15, 20, 5)
    mean, std = found.logits(features)
    exact = np.mean([error_by_quadrature(*row) for row in zip(mean, std, labels, strict=True)])
    assert 0 <= found.gibbs_risk(features, labels) - exact <= 2e-9


def test_two_classes_in_closed_form():
    """P(error) = Phi(-(m_y - m_c)/hypot(s_y, s_c)), also for far tails and very different deviations."""
    found = GaussianPosterior(1.0, np.array([[3.0, -1.0], [0.5, 0.25]]), np.log([[1.0, 0.05], [2.0, 0.01]]))
    features, labels = sample(3, 200, 2, 2)
    mean, std = found.logits(features)
    rows = np.arange(200)
    gap = mean[rows, labels] - mean[rows, 1 - labels]
    exact = norm.cdf(-gap / np.hypot(*std.T)).mean()
    assert 0 <= found.gibbs_risk(features, labels) - exact <= 2e-9


def test_drawn_heads_agree():
    found = posterior(4, r=4)
    features, labels = sample(5, 50, 20, 5)
    heads = [found.draw(seed) for seed in range(4000)]
    wrong = np.mean([((features @ head).argmax(axis=1) != labels).mean() for head in heads])
    assert wrong == pytest.approx(found.gibbs_risk(features, labels), abs=0.006)
    scores = np.einsum("np,spk->snk", features[:3], np.array(heads))
    mean, std = found.logits(features[:3])
    assert np.abs(scores.mean(axis=0) - mean).max() <= 5 * std.max() / math.sqrt(4000)
    assert scores.std(axis=0) == pytest.approx(std, rel=0.06)
    ratios = [found.log_density_ratio(head) for head in heads]
    assert np.mean(ratios) == pytest.approx(found.kl(), abs=5 * np.std(ratios) / math.sqrt(4000))


def test_divergence_and_density_in_fifty_digits():
    found = posterior(6, r=7, prior_mean=True)
    head = found.draw(1)
    with mpmath.workdps(50):
        prior = mpmath.mpf(found.prior_std)
        total = ratio = mpmath.mpf(0)
        for j, c in np.ndindex(*found.mean.shape):
            m, log_s = mpmath.mpf(found.mean[j, c]), mpmath.mpf(found.log_std[j, c])
            s = mpmath.exp(log_s)
            total += mpmath.log(prior) - log_s + (s**2 + m**2) / (2 * prior**2) - mpmath.mpf(1) / 2
            column = zip(found.basis[:, j], head[:, c], found.prior_mean[:, c], strict=True)
            a = mpmath.fsum(mpmath.mpf(b) * (mpmath.mpf(w) - mpmath.mpf(o)) for b, w, o in column)
            ratio += mpmath.log(prior) - log_s - ((a - m) / s) ** 2 / 2 + (a / prior) ** 2 / 2
        assert 0 <= found.kl() - total <= 1e-11 * total
        assert 0 <= found.log_density_ratio(head) - ratio <= 1e-9 * (1 + abs(ratio))


def test_the_prior_itself():
    """A posterior that is the prior has KL = 0, whatever the prior."""
    weights = np.random.default_rng(0).standard_normal((5, 3))
    for prior_mean in (None, weights):
        found = GaussianPosterior(0.2, np.zeros((5, 3)), np.full((5, 3), math.log(0.2)), None, prior_mean)
        assert found.kl() <= 1e-10
        assert abs(found.log_density_ratio(found.draw(3))) <= 1e-9


def test_a_basis_that_is_slightly_off_costs_what_it_may_change():
    exact = posterior(7)
    off = GaussianPosterior(2.0, exact.mean, exact.log_std, exact.basis * (1 + 1e-8))
    features, labels = sample(8, 100, 20, 5)
    assert off.deviation >= 2e-8
    difference = off.gibbs_risk(features, labels) - exact.gibbs_risk(features, labels)
    assert 0 < difference <= 1e-4


def test_zero_features_are_errors():
    """Without a signal all scores are equal, and a tie is an error."""
    found = posterior(9)
    assert found.gibbs_risk(np.zeros((4, 20)), np.array([0, 1, 2, 3])) == 1


def test_extreme_deviations_use_the_union_bound():
    """Where the trapezoidal rule would need too many nodes the result stays an upper bound."""
    found = GaussianPosterior(1.0, np.zeros((1, 3)), np.array([[5.0, -5.0, -5.0]]))
    # The first score is +-large with probability 1/2 each, so it is right half of the time.
    value = found.gibbs_risk(np.ones((1, 1)), np.array([0]))
    assert 0.5 <= value <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.zeros((3, 2))}, "do not fit"),
        ({"mean": np.full((6, 5), np.nan)}, "moderate numbers"),
        ({"log_std": np.full((6, 5), 1e3)}, "out of range"),
        ({"prior_std": 0.0}, "out of range"),
        ({"prior_std": float("nan")}, "out of range"),
        ({"basis": np.ones((20, 6))}, "not orthonormal"),
        ({"prior_mean": np.zeros((6, 5))}, "do not fit"),
    ],
)
def test_what_is_no_posterior(change, message):
    good = posterior()
    fields = {"prior_std": 2.0, "mean": good.mean, "log_std": good.log_std, "basis": good.basis, "prior_mean": None}
    with pytest.raises(DomainError, match=message):
        GaussianPosterior(**{**fields, **change})
