"""Risk bounds of trained networks by norms: true, with all constants, and in practice far above 1."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError
from epsnet.checker.rules import norm_bounds as rule
from epsnet.checker.rules.pac_bayes import INDEPENDENCE, RAW, measure
from epsnet.core.network import Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.data import Sample
from epsnet.features.maps import FeatureMap, identity
from epsnet.generalization.pac_bayes import SLACK, raw_sample
from epsnet.statistics.margins import certain_margins

_SHARES = np.linspace(0.05, 0.95, 19)
"""The margins that are tried: the quantiles of the positive ones on the sample, and twice the largest."""


def certify_norms(
    train: Sample,
    network: Network,
    theorem: str,
    features: FeatureMap | None = None,
    *,
    delta: Fraction = Fraction(1, 20),
) -> Solution:
    """Bound the risk of a plain ReLU network by its margins on the sample it was trained on and by its norms.

    Args:
        train: the points, raw; the network may depend on them in any way.
        network: of the features, with one score for each class.
        theorem: "rademacher-linear" for a linear map, "golowich" or "spectral-margin".
        features: a map of `epsnet.features.maps`; by default the inputs themselves.
        delta: 1 - confidence.

    Raises:
        DomainError: the theorem is another one, the sample is no classification, was scaled by its own statistics, or
            does not fit the network; or the network is not plain.
    """
    if theorem not in rule.THEOREMS:
        raise DomainError(f"The theorem {theorem!r} is no bound by norms. Use one of {', '.join(rule.THEOREMS)}.")
    features = features or identity()
    raw, labels = raw_sample(train)
    found = features(raw)
    if not rule.fits(network, found, labels):
        raise DomainError("The network does not fit the features and classes of the sample. Give another one.")
    margins = certain_margins(network, found, labels, features.rounding)
    positive = margins[margins > 0]
    tried = [*np.quantile(positive, _SHARES), 2 * positive.max()] if len(positive) else [1.0]
    values = [
        rule.norm_bound(theorem, network, features, found, margins, float(margin), Fraction(delta)) for margin in tried
    ]
    best = int(np.argmin(values))
    target = DataTarget.from_arrays(train.name, raw, labels)
    bound = Bound(
        quantity="risk", sense="<=", value=values[best] * (1 + SLACK), kind=Kind.STATISTICAL, delta=Fraction(delta),
        measure=measure(features), arithmetic="exact", theorem=theorem, rule="norm_bounds",
        hypotheses=rule.hypotheses(len(train), features), assumptions=(INDEPENDENCE, RAW),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    witness = {"features": np.array(features.code, dtype=np.int64), "margin": np.array([float(tried[best])])}
    return Solution(
        network=network, target=target, error=bound, bits=8 * len(network_bytes(network)),
        certificate=Certificate.of((bound,), ((bound, witness),)),
        stats={"method": theorem, "features": str(features), "margin": float(tried[best]), "points": len(train)},
        result=f"margin {tried[best]:.4g} on {len(train):,} points of the sample that it was trained on",
    )  # fmt: skip
