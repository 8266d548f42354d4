"""PAC-Bayes certificates of linear heads: the Gibbs risk of a posterior, and the risk of one network drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate, Witness
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.checker.rules import pac_bayes as rule
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.data import Sample, split
from epsnet.features.maps import FeatureMap, identity
from epsnet.generalization.posterior import head
from epsnet.statistics.kl import kl_upper
from epsnet.statistics.posterior import GaussianPosterior
from epsnet.statistics.prior import prior_nats
from epsnet.statistics.scaling import fitted_scaling

Fit = Callable[[NDArray[np.float64], NDArray[np.int64], int], GaussianPosterior]
"""(features (n, p), labels (n,), number of classes) -> a posterior."""

SLACK = 1e-9
"""Added to the risk on the sample and, relatively, to KL: another order of summation changes less."""


def certify_posterior(
    train: Sample,
    posterior: GaussianPosterior,
    features: FeatureMap | None = None,
    *,
    delta: Fraction = Fraction(1, 40),
    gibbs_delta: Fraction | None = Fraction(1, 40),
) -> tuple[Solution, Bound | None]:
    """Bound the risk of one network drawn from a posterior that was trained on a sample, and the Gibbs risk.

    The sample is the one that the bound is about; the posterior may depend on it in any way. The features are computed
    here from the raw inputs, so no scaling that was fitted to the sample can enter.

    Args:
        train: the n >= 8 points, raw.
        posterior: on the weights of a linear head. Its prior has the mean 0 and a standard deviation that is 1, 2 or 5
            times a power of 10, or a mean that was made from other points.
        features: a map of `epsnet.features.maps`; by default the inputs themselves.
        delta: 1 - confidence of the bound for the network that is drawn.
        gibbs_delta: 1 - confidence of the bound of the Gibbs risk; None leaves that out.

    Returns:
        The drawn network, with the bound of its risk, and the bound of the Gibbs risk, which is part of the same
        certificate: the mean risk of heads that are drawn from the posterior for each point anew. The network is a
        linear map of the features.

    Raises:
        DomainError: the sample is no classification, was scaled by its own statistics, or does not fit the posterior.
    """
    features = features or identity()
    raw, labels = raw_sample(train)
    if len(raw) < rule.MIN_POINTS:
        raise DomainError(f"{len(raw)} points are too few for the theorem. Give {rule.MIN_POINTS} or more.")
    found = features(raw)
    if (found.shape[1], train.outputs) != (posterior.dimension, posterior.classes):
        raise DomainError(
            f"The sample has {found.shape[1]} features and {train.outputs} classes, the posterior "
            f"{posterior.dimension} and {posterior.classes}. Train it on these."
        )
    weights = posterior.draw(posterior.seed)
    target = DataTarget.from_arrays(train.name, raw, labels)
    network = head(weights)
    nats, prior = 0.0, ()
    if posterior.prior_mean is None:
        nats = prior_nats(posterior.prior_std) + features.nats
    else:
        prior = (rule.OTHER_POINTS,)
    witness = dump(posterior, features)

    def bound(drawn: bool, empirical: Fraction | float, cost: float, delta: Fraction) -> Bound:
        return Bound(
            quantity="risk" if drawn else "Gibbs risk", sense="<=", kind=Kind.STATISTICAL, delta=Fraction(delta),
            value=pac_bayes_kl(min(empirical, 1), cost * (1 + SLACK) + nats, len(train), delta),
            measure=rule.measure(features), arithmetic="float64" if drawn else "exact",
            theorem="single-draw" if drawn else "pac-bayes-kl", rule="pac_bayes",
            hypotheses=rule.hypotheses(len(train), features, posterior), assumptions=rule.assumptions(prior, drawn),
            network=network.sha256 if drawn else None, target=target.sha256,
        )  # fmt: skip

    # The rule counts with half this rounding error: its own order of summation may be another one.
    errors = rule.head_errors(weights, found, labels, 2 * features.rounding + 2.0**-40)
    cost = max(posterior.log_density_ratio(weights), 0.0) + SLACK
    drawn = bound(True, Fraction(errors, len(train)), cost, delta)
    gibbs = None
    if gibbs_delta is not None:
        risk = posterior.gibbs_risk(found, labels, features.rounding) + SLACK
        gibbs = bound(False, risk, posterior.kl(), gibbs_delta)
    bounds = (drawn,) if gibbs is None else (gibbs, drawn)
    solution = Solution(
        network=network, target=target, error=drawn, bits=8 * len(network_bytes(network)),
        certificate=Certificate.of(bounds, [(each, witness) for each in bounds]),
        stats={"method": "pac-bayes", "features": str(features), "errors": errors, "points": len(train)},
        result=f"{errors:,} errors in the {len(train):,} points of the sample that certifies it",
    )  # fmt: skip
    return solution, gibbs


def pac_bayes_kl(empirical: Fraction | float, cost: float, n: int, delta: Fraction) -> float:
    r"""Return kl^-1_+(q, (cost + ln(2 sqrt(n)/delta))/n), rounded up: Maurer's form of the PAC-Bayes bound.

    Args:
        empirical: q, the risk on the sample.
        cost: KL(Q||P) in nats, and what the choice of the prior costs.
        n: the number of points, >= 8.
        delta: 1 - confidence.

    Source: A. Maurer, A note on the PAC-Bayesian theorem, arXiv:cs/0411099 (2004), theorem 5; M. Seeger, JMLR 3 (2002).
    """
    with ball_arithmetic():
        return kl_upper(empirical, (ball(cost) + (2 * ball(n).sqrt() / ball(Fraction(delta))).log()) / n)


def halves(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """Divide a sample at random into one half to make a prior from and one that certifies."""
    first, second = split(len(sample), (0.5, 0.5), seed)
    return sample.take(first, f"{sample.name}, half 1, seed {seed}"), sample.take(
        second, f"{sample.name}, half 2, seed {seed}"
    )


def prior_from(
    half: Sample, fit: Fit, features: FeatureMap | None = None, *, prior_std: float = 1e-3
) -> GaussianPosterior:
    """Return a posterior equal to its prior N(W_0, sigma_0^2), W_0 fitted to a half of the sample: KL = 0.

    Only this half is seen here; `certify_posterior` is to be given the other one.

    Args:
        half: the points that the prior is made from.
        fit: returns a posterior whose mean weights are W_0.
        features: as for `certify_posterior`.
        prior_std: sigma_0 as a share of the root mean square of the entries of W_0.
    """
    raw, labels = raw_sample(half)
    weights = fit((features or identity())(raw), labels, half.outputs).mean_weights()
    std = prior_std * max(float(np.sqrt(np.mean(weights**2))), 1e-9)
    zeros = np.zeros_like(weights)
    return GaussianPosterior(std, zeros, np.full_like(weights, np.log(std)), None, weights)


def dump(posterior: GaussianPosterior, features: FeatureMap) -> Witness:
    """Return all that the rule `pac_bayes` needs, but for the data."""

    def flat(array: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return np.zeros(0) if array is None else array.ravel()

    return {
        "features": np.array(features.code, dtype=np.int64),
        "shape": np.array([posterior.dimension, posterior.classes, len(posterior.mean)], dtype=np.int64),
        "prior_std": np.array([posterior.prior_std]),
        "mean": flat(posterior.mean), "log_std": flat(posterior.log_std), "basis": flat(posterior.basis),
        "prior_mean": flat(posterior.prior_mean),
    }  # fmt: skip


def raw_sample(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return inputs and classes as they came. DomainError unless they are raw and labels are classes."""
    if sample.classes is None:
        raise DomainError(f"The labels of {sample.name} are real numbers. Give a classification.")
    raw = sample.matrix()
    found = fitted_scaling(raw)
    if found is not None:
        raise DomainError(f"The inputs of {sample.name} were {found}, which voids the bound. Give the raw inputs.")
    return raw, sample.labels
