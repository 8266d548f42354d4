"""PAC-Bayes certificates: the bound of the theorem, what they refuse, and the parts of the library they rest on."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.checker.kernel import check
from epsnet.data import Sample
from epsnet.features.maps import with_constant
from epsnet.generalization.pac_bayes import certify_posterior, halves, pac_bayes_kl, prior_from
from epsnet.generalization.posterior import head, logistic_head, logistic_posterior
from epsnet.statistics.posterior import GaussianPosterior


def sample(seed=0, n=400, d=3, classes=3):
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((classes, d)) * 2
    labels = random.integers(0, classes, n)
    return Sample(centers[labels] + random.standard_normal((n, d)), labels, "blobs", tuple("abcdef"[:classes]))


def test_the_inverse_in_fifty_digits():
    with mpmath.workdps(50):
        level = (mpmath.mpf("12.5") + mpmath.log(2 * mpmath.sqrt(1000) / mpmath.mpf("0.05"))) / 1000
        value = pac_bayes_kl(0.1, 12.5, 1000, Fraction(1, 20))
        p, q = mpmath.mpf(value), mpmath.mpf(0.1)
        assert 0 <= q * mpmath.log(q / p) + (1 - q) * mpmath.log((1 - q) / (1 - p)) - level <= 1e-15


def test_the_logistic_head_is_a_critical_point():
    data = sample()
    features = with_constant()(data.matrix())
    weights = logistic_head(features, data.labels, 3)
    scores = features @ weights
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    size = (features**2).sum() / len(data)
    gradient = features.T @ (shares - np.eye(3)[data.labels]) / len(data) + 1e-4 * size * weights
    assert np.abs(gradient).max() <= 1e-4 * np.sqrt(size)


def test_a_deviation_of_least_divergence():
    """Along the line of the same Gibbs risk no other deviation has a smaller divergence."""
    data = sample()
    found = logistic_posterior(data.matrix(), data.labels, 3)
    risk = found.gibbs_risk(data.matrix(), data.labels)
    for factor in (0.9, 1.1):
        other = GaussianPosterior(1.0, factor * found.mean, found.log_std + np.log(factor))
        assert other.gibbs_risk(data.matrix(), data.labels) == pytest.approx(risk, abs=1e-9)
        assert other.kl() > found.kl()


def test_halves_are_disjoint_and_cover_the_sample():
    data = sample(n=101)
    first, second = halves(data, 7)
    rows = {row.tobytes() for row in data.matrix()}
    one, two = ({row.tobytes() for row in half.matrix()} for half in (first, second))
    assert not one & two
    assert one | two == rows


def test_a_prior_from_one_half_has_no_divergence_and_sees_no_other_points():
    data = sample()
    first, second = halves(data, 0)
    seen = []

    def fit(features, labels, classes):
        seen.append(features)
        return logistic_posterior(features, labels, classes)

    prior = prior_from(first, fit)
    assert len(seen) == 1
    assert (seen[0] == first.matrix()).all()
    assert prior.kl() <= 1e-9
    solution, gibbs = certify_posterior(second, prior, gibbs_delta=None)
    assert gibbs is None
    assert any("made without the points" in text for text in solution.error.assumptions)
    (bound,) = check(solution).checked
    errors = solution.stats["errors"]
    assert bound.value == pytest.approx(pac_bayes_kl(errors / len(second), 0.0, len(second), Fraction(1, 40)), abs=1e-6)


def test_a_posterior_has_one_draw():
    """The random numbers change with every change of the posterior, so it cannot be made to suit them."""
    data = sample()
    found = logistic_posterior(data.matrix(), data.labels, 3)
    one, two = (certify_posterior(data, found)[0] for _ in range(2))
    assert one.network.sha256 == two.network.sha256
    assert one.error.value == two.error.value
    moved = GaussianPosterior(1.0, found.mean * (1 + 1e-15), found.log_std)
    assert moved.seed != found.seed
    difference = (
        certify_posterior(data, moved)[0].network.layers[0].terms[0][1].weight
        - one.network.layers[0].terms[0][1].weight
    )
    assert np.abs(difference).max() > 1e-3


def test_refusals():
    data = sample()
    found = logistic_posterior(data.matrix(), data.labels, 3)
    raw = data.matrix()
    with pytest.raises(DomainError, match="Give the raw inputs"):
        certify_posterior(Sample((raw - raw.mean(0)) / raw.std(0), data.labels, "scaled", data.classes), found)
    with pytest.raises(DomainError, match="Train it on these"):
        certify_posterior(data, found, with_constant())
    with pytest.raises(DomainError, match="too few"):
        certify_posterior(data.take(np.arange(7)), found)
    with pytest.raises(DomainError, match="Give a classification"):
        certify_posterior(Sample(raw, raw[:, 0], "regression"), found)
    with pytest.raises(DomainError, match="power of 10"):
        certify_posterior(data, GaussianPosterior(0.3, found.mean, found.log_std))


def test_a_head_is_its_matrix():
    weights = np.arange(6.0).reshape(3, 2)
    assert (head(weights).layers[0].terms[0][1].weight == weights.T).all()
