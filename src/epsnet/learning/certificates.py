"""What a sample proves of a network that was trained on it, beside what other models prove from the same sample."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from epsnet.certify.errors import DomainError
from epsnet.core.network import Network
from epsnet.core.solution import Solution
from epsnet.data import Sample
from epsnet.features.maps import FeatureMap, upright_scattering, with_constant
from epsnet.generalization.certificates import RiskCertificates, certify_risk
from epsnet.generalization.pac_bayes import halves
from epsnet.generalization.posterior_training import train_posterior

_SIDE = 28
_STEPS, _SHOWN = 40, 10
_PARTS = {"half-draw": "second half", "half-binomial": "second half", "unused": "test"}


def certify_training(
    train: Sample,
    network: Network,
    unused: Sample,
    *,
    delta: Fraction = Fraction(1, 20),
    seed: int = 0,
    rank: int = 800,
    progress: Callable[[str, int, int], None] | None = None,
) -> RiskCertificates:
    """Return all bounds of the risk: of the network by code, norms and unused points, of a linear head by PAC-Bayes.

    The head is on scattering features of upright images of at most 28 pixels a side, and on the inputs and a constant
    otherwise.

    Args:
        train: the sample that the network was trained on.
        network: of the inputs, with one score for each class.
        unused: points that nothing was trained on.
        delta: 1 - confidence, of all bounds together.
        seed: of the division into halves.
        rank: directions in which the posterior differs from its prior.
        progress: as in `certify_risk`; called by the training of a posterior as well.

    Raises:
        DomainError: the labels are no classes, or the samples do not fit.
        MissingExtraError: JAX is not installed.
    """
    if train.classes is None:
        raise DomainError(f"The labels of {train.name} are real numbers. The risk of a classification is certified.")

    def step(number: int, bound: float) -> None:
        if progress is not None and number % _SHOWN == 0:
            progress(f"a posterior with Gibbs risk <= {bound:.4f}", number, _STEPS)

    fit = functools.partial(train_posterior, rank=rank, iterations=_STEPS, delta=float(delta), progress=step)
    return certify_risk(
        train, fit, features=suitable_features(train), network=network, unused=unused, delta=delta, seed=seed,
        progress=progress,
    )  # fmt: skip


def suitable_features(sample: Sample) -> FeatureMap:
    """Return scattering of upright images if they are square and small, otherwise the inputs and a constant."""
    shape = sample.inputs.shape[1:]
    images = len(shape) == 2 and shape[0] == shape[1] <= _SIDE
    return upright_scattering(side=_SIDE) if images else with_constant()


def stored(found: RiskCertificates) -> dict[str, Solution]:
    """Return what `check` can re-derive from the raw sample, by key, each with the part of the sample that it is about.

    The bound of half the sample by the binomial rule is about features, and is left out.
    """
    return {
        each.key: replace(each.solution, stats={**each.solution.stats, "part": _PARTS.get(each.key, "train")})
        for each in found.certificates
        if each.key not in ("gibbs", "half-binomial")
    }


def part_of(train: Sample, test: Callable[[], Sample], part: object, seed: int) -> Sample:
    """Return the part of the data that a stored certificate is about."""
    if part == "train":
        return train
    return halves(train, seed)[1] if part == "second half" else test()
