"""Rule `algebra`: conclusions that follow from premises by one inequality."""

from __future__ import annotations

import math

from epsnet.certify.bound import Bound, Kind
from epsnet.checker.rule import Context, Verdict
from epsnet.core.components import component
from epsnet.core.rounding_error import rounding_bound


def check(context: Context) -> Verdict:
    """Check one step of the algebra of bounds; the theorem names the step."""
    step = {
        "triangle": _triangle,
        "norm-embedding": _norm_embedding,
        "piece-count": _piece_count,
        "components": _components,
    }[context.claim.theorem]
    step(context)
    return Verdict(Kind.PROVED)


def _same_subjects(premise: Bound, claim: Bound) -> bool:
    """Tell whether a premise about a network speaks of the network of the claim on (at least) its domain."""
    return (
        premise.sense == claim.sense
        and premise.network == claim.network
        and premise.domain is not None
        and claim.domain is not None
        and premise.domain.contains(claim.domain)
    )


def _triangle(context: Context) -> None:
    """|F - fl(Phi)| <= |F - R(Phi)| + |R(Phi) - fl(Phi)| in the sup norm."""
    context.states("error", "<=", premises=2, norm="sup", arithmetic="float64", network=True, target=True)
    claim, (error, rounding) = context.claim, context.premises
    fits = (
        (error.quantity, error.norm, error.arithmetic, error.target) == ("error", "sup", "exact", claim.target)
        and (rounding.quantity, rounding.norm, rounding.arithmetic) == ("rounding", "sup", "float64")
        and _same_subjects(error, claim)
        and _same_subjects(rounding, claim)
    )
    context.require(fits, "The premises are not an error in exact arithmetic and a rounding error. Build it anew.")
    total = error.limit + rounding.limit
    context.require(claim.limit >= total, "The value is below the sum of the premises. State the sum.")


def _norm_embedding(context: Context) -> None:
    """||g||_L2(D) <= |D|^(1/2) sup_D |g|, checked as squares of rationals."""
    context.states("error", "<=", premises=1, norm="L2", measure="Lebesgue", network=True, target=True)
    claim, (error,) = context.claim, context.premises
    fits = (error.quantity, error.norm, error.arithmetic, error.target) == ("error", "sup", "exact", claim.target)
    context.require(
        fits and _same_subjects(error, claim), "The premise is not the error in the sup norm. Build it anew."
    )
    least = error.limit**2 * context.domain().volume
    context.require(error.limit >= 0 and claim.limit >= 0, "An error is negative. Build it anew.")
    context.require(claim.limit**2 >= least, "The value is below the root of the volume times the sup. State that.")


def _piece_count(context: Context) -> None:
    """N neurons with one kink, in any layers, make at most prod (n_l + 1) <= 2^N pieces of one variable."""
    context.states("neurons with one kink", ">=", premises=1, norm="sup", eps=True, target=True)
    claim, (pieces,) = context.claim, context.premises
    fits = (pieces.quantity, pieces.sense, pieces.norm, pieces.domain, pieces.eps, pieces.target) == (
        "pieces", ">=", "sup", claim.domain, claim.eps, claim.target,
    )  # fmt: skip
    context.require(fits, "The premise does not bound the pieces at the same accuracy. Build it anew.")
    # The least N with 2^N >= pieces; no float logarithm.
    least = max(math.ceil(pieces.limit) - 1, 0).bit_length()
    context.require(claim.limit <= least, f"The pieces prove {least} neurons only. State that.")


def _components(context: Context) -> None:
    """Sup |F - Phi| = max_i sup |F_i - Phi_i| and ||F - Phi||_L2^2 = sum_i ||F_i - Phi_i||_L2^2 over the outputs i."""
    count, claim = context.network.outputs, context.claim
    if claim.norm == "sup":
        context.states("error", "<=", premises=count, norm="sup", arithmetic="float64", network=True, target=True)
    else:
        context.states("error", "<=", premises=count, norm="L2", measure="Lebesgue", network=True, target=True)
    parts = context.formula().components
    context.require(len(parts) == count > 1, "The outputs are not as many as the formulas. Build it anew.")
    for index, (part, premise) in enumerate(zip(parts, context.premises, strict=True)):
        same = (premise.quantity, premise.sense, premise.norm, premise.measure, premise.arithmetic, premise.domain) == (
            "error", "<=", claim.norm, claim.measure, claim.arithmetic, claim.domain,
        )  # fmt: skip
        subjects = (premise.network, premise.target) == (component(context.network, index).sha256, part.sha256)
        context.require(same and subjects, f"Premise {index} is not about output {index}. Build it anew.")
        context.require(premise.limit >= 0, "An error is negative. Build it anew.")
    errors = [premise.limit for premise in context.premises]
    if claim.norm == "sup":
        # Neurons that no output reads belong to no part, but 0 times their overflow would be NaN.
        finite = math.isfinite(rounding_bound(context.network, context.domain()))
        context.require(finite, "A neuron that no output needs may overflow. Remove it.")
        enough = claim.limit >= max(errors)
    else:
        enough = claim.limit >= 0 and claim.limit**2 >= sum(error**2 for error in errors)
    context.require(enough, "The value is below that of the outputs together. State that.")
