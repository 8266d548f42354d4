r"""Rule `norm_bounds`: the risk of a plain ReLU network from its margins on the sample it was trained on, and norms.

The formulas are those of `statistics.norm_bounds`: rademacher-linear (for one layer), golowich, spectral-margin. The
feature map, the depth and the widths have weights as well, by which delta is multiplied. The theorems are about the
network in exact arithmetic, and so is the risk; the margins on the sample are those that rounding cannot take away.

Witness: `features`, the code of the feature map; `margin`, gamma > 0.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules.pac_bayes import (
    INDEPENDENCE,
    MAX_WORK,
    RAW,
    feature_map,
    measure,
    require_dimension,
    sample_of,
)
from epsnet.core.network import Network
from epsnet.features.maps import FeatureMap
from epsnet.statistics.margins import certain_margins, frobenius_norm, matrices
from epsnet.statistics.norm_bounds import (
    frobenius_complexity,
    linear_complexity,
    ramp_risk,
    risk_bound,
    spectral_complexity,
)
from epsnet.statistics.prior import grid_nats

THEOREMS = ("rademacher-linear", "golowich", "spectral-margin")

_MAX_FOUND = 2**28
"""Numbers in the features of all points, which are held at once."""
_NEURON = 2**10
"""As how many connections a neuron counts, for what bounds its rounding error."""


def fits(network: Network, features: NDArray[np.float64], labels: NDArray[np.int64]) -> bool:
    """Tell whether the sample is one for the network."""
    same = features.shape[1] == network.inputs and network.outputs >= 2
    return same and int(labels.min()) >= 0 and int(labels.max()) < network.outputs


def computed(context: Context) -> tuple[FeatureMap, NDArray[np.float64], NDArray[np.int64]]:
    """Return the feature map, the features of the sample and its classes. CheckError if there is too much to do."""
    features, (inputs, labels), network = feature_map(context), sample_of(context), context.network
    each = network.size.connections + _NEURON * (network.size.neurons + network.outputs)
    work = max(len(inputs) * max(each, network.inputs), features.work(*inputs.shape))
    small = work <= MAX_WORK and len(inputs) * network.inputs <= _MAX_FOUND
    context.require(small, "There is too much to be recomputed. Use fewer points or weights.")
    require_dimension(context, features, inputs, network.inputs)
    found = features(inputs)
    moderate = bool(np.isfinite(found).all()) and bool(np.abs(found).max() < 1e100)
    context.require(moderate, "A feature is not a moderate number. Give other data.")
    context.require(fits(network, found, labels), "The data does not fit the network. Check it with its own data.")
    return features, found, labels


def norm_bound(
    theorem: str, network: Network, features: FeatureMap, found: NDArray[np.float64], margins: NDArray[np.float64],
    margin: float, delta: Fraction,
) -> float:  # fmt: skip
    """Return the bound of one theorem for the margins of the network on the features (n, p) that were found."""
    tables, n = matrices(network), len(found)
    size = frobenius_norm(found) * (1 + features.rounding)
    if tables[0].shape[1] > network.inputs:  # the constant 1, see `matrices`
        size = float(np.hypot(size, np.sqrt(n))) * (1 + 2.0**-50)
    if theorem == "rademacher-linear":
        if len(tables) > 1:
            raise CheckError("The bound is about linear maps, the network is deeper. Use another one.")
        complexity, nats = linear_complexity(tables[0], size, margin, n)
    else:
        by_norm = frobenius_complexity if theorem == "golowich" else spectral_complexity
        complexity, nats = by_norm(tables, size, margin, n)
    # The data may have chosen the features, the depth, the widths and the number of scores. Whether there is a bias is
    # paid for by the depths below 1, which weigh more than the others.
    nats += features.nats + grid_nats(len(tables)) + sum(grid_nats(len(table)) for table in tables)
    return risk_bound(ramp_risk(margins, margin), complexity, nats, n, delta)


def check(context: Context) -> Verdict:
    """Check risk <= value with confidence 1 - delta."""
    claim, network = context.claim, context.network
    context.states(
        "risk", "<=", measure=measure(feature_map(context)), arithmetic="exact", domain=False, network=True,
        target=True,
    )  # fmt: skip
    margin = context.array("margin", "f")
    in_range = len(margin) == 1 and 1e-100 < margin[0] < 1e100 and 0 < claim.delta < 1
    context.require(in_range, "The margin or delta is out of range. Build it anew.")
    features, found, labels = computed(context)
    margins = certain_margins(network, found, labels, features.rounding)
    value = norm_bound(claim.theorem, network, features, found, margins, float(margin[0]), claim.delta)
    context.require(np.isfinite(value) and claim.limit >= Fraction(value), f"It is {value:.6g} at least. State that.")
    return Verdict(Kind.STATISTICAL, hypotheses(len(found), features), (INDEPENDENCE, RAW), claim.delta)


def hypotheses(n: int, features: FeatureMap) -> tuple[str, ...]:
    """Return what the rule checked: no number that depends on the order of summation."""
    return (f"{n:,} points; features: {features}",)
