"""Rule `exact`: closed forms, recomputed from the network alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.checker.rule import Context, Verdict
from epsnet.core.network import Network
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library, rounding_bound


def check(context: Context) -> Verdict:
    """Check a closed form; the theorem names it."""
    return {"dot-product-rounding": _rounding, "kink-count": _kinks}[context.claim.theorem](context)


def _rounding(context: Context) -> Verdict:
    context.states("rounding", "<=", norm="sup", arithmetic="float64", network=True)
    network, domain = context.network, context.domain()
    context.require(
        domain.dimension == network.inputs, "The domain has another dimension than the network. Build it anew."
    )
    value = rounding_bound(network, domain)
    holds = bool(np.isfinite(value)) and context.claim.limit >= Fraction(value)
    context.require(holds, f"The rounding error may reach {value:.3g}. State that.")
    return Verdict(Kind.PROVED, assumptions=(LIBRARY_ASSUMPTION,) if needs_library(network) else ())


def linear_pieces(network: Network, domain: Box) -> int | None:
    """Return 1 + the number of kinks -b/a of the neurons inside an interval; None beyond one hidden ReLU-like layer."""
    if network.inputs != 1 or domain.dimension != 1 or len(network.layers) != 2:
        return None
    hidden, output = network.layers
    shallow = [source for source, _ in hidden.terms] == [0] and [source for source, _ in output.terms] == [1]
    linear = all(f.slopes is not None for layer in network.layers for f in layer.functions())
    if not shallow or not linear or any(f.name != "identity" for f in output.functions()):
        return None
    kinks = set()
    for row, bias in zip(hidden.terms[0][1].rows, hidden.bias_values(), strict=True):
        slope = sum((Fraction(weight) for _, weight in row), Fraction(0))
        if slope:
            kinks.add(-Fraction(bias) / slope)
    return 1 + sum(domain.lower[0] < kink < domain.upper[0] for kink in kinks)


def _kinks(context: Context) -> Verdict:
    context.states("pieces", "<=", network=True)
    pieces = linear_pieces(context.network, context.domain())
    holds = pieces is not None and context.claim.limit >= pieces
    context.require(holds, f"The network may have {pieces or 'any number of'} pieces. State that.")
    return Verdict(Kind.PROVED)
