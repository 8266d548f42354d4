"""Occam certificates: the risk of a network by the length of its code, and networks that are worth their bits."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.checker.rules import occam as rule
from epsnet.checker.rules.norm_bounds import fits
from epsnet.checker.rules.pac_bayes import INDEPENDENCE, RAW, measure
from epsnet.codec.format import encode_stream
from epsnet.codec.quantize import Quantizer
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.data import Sample
from epsnet.features.maps import FeatureMap, identity
from epsnet.generalization.pac_bayes import raw_sample
from epsnet.statistics.binomial import binomial_upper
from epsnet.statistics.kl import kl_upper
from epsnet.statistics.margins import certain_margins

_PRICES = (0.1, 1.0)
_EXPONENTS = range(-2, 5)
_POINTS = 2000


def certify_code(
    train: Sample, network: Network, features: FeatureMap | None = None, *, delta: Fraction = Fraction(1, 20)
) -> Solution:
    """Bound the risk of a network by its errors on the sample it was trained on and the bytes of its code.

    Args:
        train: the points, raw; the network may depend on them in any way.
        network: of the features, with one score for each class. It is worth it to give one of few bits: `shorten_code`.
        features: a map of `epsnet.features.maps`; by default the inputs themselves.
        delta: 1 - confidence.

    Raises:
        DomainError: the sample is no classification, was scaled by its own statistics, or does not fit the network.
    """
    features = features or identity()
    raw, labels = raw_sample(train)
    found = features(raw)
    if not fits(network, found, labels):
        raise DomainError("The network does not fit the features and classes of the sample. Give another one.")
    stream, n = encode_stream(network), len(train)
    errors = int(np.count_nonzero(~(certain_margins(network, found, labels, features.rounding) > 0)))
    with ball_arithmetic():
        value = binomial_upper(errors, n, rule.level(Fraction(delta), len(stream), features))
    target = DataTarget.from_arrays(train.name, raw, labels)
    bound = Bound(
        quantity="risk", sense="<=", value=value, kind=Kind.STATISTICAL, delta=Fraction(delta),
        measure=measure(features), arithmetic="float64", theorem="occam", rule="occam",
        hypotheses=(f"{errors:,} errors in {n:,} points", f"{len(stream):,} bytes; features: {features}"),
        assumptions=(INDEPENDENCE, RAW, *(LIBRARY_ASSUMPTION,) * needs_library(network)),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    witness = {
        "features": np.array(features.code, dtype=np.int64),
        "stream": np.frombuffer(stream, dtype=np.uint8).astype(np.int64),
    }
    return Solution(
        network=network, target=target, error=bound, bits=8 * len(network_bytes(network)),
        certificate=Certificate.of((bound,), ((bound, witness),)),
        stats={"method": "occam", "features": str(features), "errors": errors, "points": n, "bytes": len(stream)},
        result=f"{errors:,} errors in the {n:,} points of the sample that it was trained on, {len(stream):,} bytes",
    )  # fmt: skip


def shorten_code(network: Network, features: NDArray[np.float64], labels: NDArray[np.int64]) -> Network:
    """Return a plain network near this one, of few bits: the one of least bound among those of a list of steps.

    The bound holds for all networks at once, so the choice costs nothing.

    Args:
        network: a plain network of the features.
        features: (n, p), the points that the bound is about.
        labels: (n,).
    """
    quantizer = Quantizer(network, features[:: max(1, len(features) // _POINTS)])
    scores = realize(network, features[:_POINTS])
    spread = float(np.std(scores - scores.mean(axis=1, keepdims=True))) / math.sqrt(max(network.size.weights, 1))
    best, least = network, math.inf
    for price in _PRICES:
        for exponent in _EXPONENTS:
            found = quantizer.quantize([2.0**exponent * spread] * quantizer.layers, price)
            wrong = float(np.mean(realize(found, features).argmax(axis=1) != labels))
            bits = 8 * len(encode_stream(found))
            value = kl_upper(wrong, (bits * math.log(2) + 2 * math.log(bits)) / len(features))
            if value < least:
                best, least = found, value
    return best
