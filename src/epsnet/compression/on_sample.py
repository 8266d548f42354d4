"""Errors at given points, unchanged predictions there, and how often a prediction changes elsewhere."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError
from epsnet.checker.rules.binomial import INDEPENDENCE, MEASURE, count_errors
from epsnet.checker.rules.sample import deviations, predictions_quantity, unchanged
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.statistics.binomial import clopper_pearson

Array = NDArray[np.float64]

DELTA = Fraction(1, 100)
"""1 - confidence of the bound for fresh points."""


def sample_solution(network: Network, original: Network, points: Array) -> Solution:
    """Return a network for another one on given points, with the certified largest error there.

    The certificate also says at how many points the prediction, the number of the largest output, is unchanged, if
    there are several outputs.

    Args:
        network: Phi.
        original: F, with as many inputs and outputs.
        points: float64 (n, d).

    Raises:
        DomainError: the points do not fit, or a value exceeds float64.
    """
    target = NetworkTarget.on_sample(original, points)
    value = float(deviations(network, original, points).max())
    if not np.isfinite(value):
        raise DomainError("A value at a point exceeds float64. Scale the networks or the points.")
    library = needs_library(network) or needs_library(original)
    error = Bound(
        quantity=target.quantity, sense="<=", value=value, norm="sup", kind=Kind.VERIFIED, theorem="sample-maximum",
        rule="sample", hypotheses=(f"evaluated at {len(points):,} points",),
        assumptions=(LIBRARY_ASSUMPTION,) * library, network=network.sha256, target=target.sha256,
    )  # fmt: skip
    bounds = [error]
    if network.outputs > 1:
        count = int(unchanged(network, original, points).sum())
        bounds.append(Bound(
            quantity=predictions_quantity(target), sense=">=", value=float(count), kind=Kind.VERIFIED,
            theorem="sample-predictions", rule="sample", hypotheses=error.hypotheses, assumptions=error.assumptions,
            network=network.sha256, target=target.sha256,
        ))  # fmt: skip
    witness = {"points": np.ascontiguousarray(points, dtype=np.float64).ravel()}
    certificate = Certificate.of(bounds, [(bound, witness) for bound in bounds])
    return Solution(network, target, error, 8 * len(network_bytes(network)), certificate)


def unchanged_share(network: Network, original: Network, points: Array) -> Fraction:
    """Return the share of the points at which both networks certainly predict the same."""
    return Fraction(int(unchanged(network, original, points).sum()), len(points))


def prediction_risk(network: Network, original: Network, points: Array, *, delta: Fraction = DELTA) -> Solution:
    """Bound the probability that two networks predict different classes, from points neither was fitted to.

    The predictions of the original network, evaluated in float64, are the labels; the risk of the other network on them
    is bounded by Clopper and Pearson, STATISTICAL.

    Args:
        network: Phi, with several outputs.
        original: F.
        points: (n, d) independent points from the distribution of the risk, not used in the compression.
        delta: 1 - confidence.
    """
    labels = realize(original, points).reshape(len(points), -1).argmax(axis=1)
    target = DataTarget.from_arrays(f"predictions of network {original.sha256[:12]}", points, labels)
    errors = count_errors(network, points, labels, None)
    library = (LIBRARY_ASSUMPTION,) * needs_library(network)
    risk = Bound(
        quantity="risk", sense="<=", value=clopper_pearson(errors, len(points), delta), kind=Kind.STATISTICAL,
        delta=delta, measure=MEASURE, arithmetic="float64", theorem="clopper-pearson", rule="binomial",
        hypotheses=(f"{errors} errors in {len(points)} points",), assumptions=(INDEPENDENCE, *library),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return Solution(network, target, risk, 8 * len(network_bytes(network)), Certificate.of((risk,)))
