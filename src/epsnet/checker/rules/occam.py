r"""Rule `occam`: the risk of a network from its errors on the sample that it was trained on and the bytes of its code.

Let a network have a code of b bytes, decoded by a function that was fixed before the sample. There are at most 256^b
of them, and sum_b 1/(b (b + 1)) = 1, so with probability at least 1 - delta, for all networks at once, with k errors,

$$ P(\mathrm{Bin}(n, R) \le k) > \delta_b = \frac{\delta\,w\,256^{-b}}{b (b + 1)}, $$

w being the weight of the feature map. The rule decodes the stream of the witness (`codec.format`), which has to give
the network of the claim, recounts the errors, and checks P(Bin(n, value) <= k) <= delta_b in ball arithmetic.

Witness: `features`, the code of the feature map; `stream`, the bytes.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from flint import arb

from epsnet.certify.bound import Kind
from epsnet.certify.rounding import ball
from epsnet.certify.tails import binomial_tail
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules.norm_bounds import computed
from epsnet.checker.rules.pac_bayes import INDEPENDENCE, RAW, feature_map, measure
from epsnet.codec.format import decode_stream
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library
from epsnet.features.maps import FeatureMap
from epsnet.statistics.margins import certain_margins

MAX_BYTES = 2**20


def level(delta: Fraction, size: int, features: FeatureMap) -> arb:
    """Return delta_b for a code of `size` bytes."""
    return ball(delta) * (-ball(features.nats)).exp() / ball(256) ** size / (size * (size + 1))


def check(context: Context) -> Verdict:
    """Check risk <= value with confidence 1 - delta."""
    claim, network = context.claim, context.network
    context.states(
        "risk", "<=", measure=measure(feature_map(context)), arithmetic="float64", domain=False, network=True,
        target=True,
    )  # fmt: skip
    in_range = 0 < claim.delta < 1 and 0 <= claim.limit <= 1
    context.require(in_range, "Risk and delta must be between 0 and 1. Build it anew.")
    stream = context.array("stream", "i")
    plain = 1 <= len(stream) <= MAX_BYTES and bool(((stream >= 0) & (stream < 256)).all())
    context.require(plain, "The code is no sequence of bytes, or too long. Build it anew.")
    features, found, labels = computed(context)
    decoded = decode_stream(stream.astype(np.uint8).tobytes())
    context.require(decoded.sha256 == network.sha256, "The code is that of another network. Build it anew.")
    errors = int(np.count_nonzero(~(certain_margins(network, found, labels, features.rounding) > 0)))
    if claim.limit < 1:
        tail = binomial_tail(errors, len(found), claim.limit)
        holds = claim.limit > 0 and bool(tail <= level(claim.delta, len(stream), features))
        context.require(holds, f"With {errors} errors and {len(stream)} bytes it may be larger. State a larger value.")
    library = (LIBRARY_ASSUMPTION,) * needs_library(network)
    said = (f"{errors:,} errors in {len(found):,} points", f"{len(stream):,} bytes; features: {features}")
    return Verdict(Kind.STATISTICAL, said, (INDEPENDENCE, RAW, *library), claim.delta)
