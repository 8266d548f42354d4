r"""Rule `steps`: the sup error of a network of sigma-steps, box by box.

Witness: a bisection tree of the domain as for rule `cover`. On every leaf `core.step_ranges` encloses the network in
exact rationals, from the definition of its activation, and the formula in balls.

Source: V. Maiorov, A. Pinkus, Neurocomputing 25 (1999) 81-91, for networks of such a kind.
"""

from __future__ import annotations

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.core.step_ranges import StepRanges, step_difference


def check(context: Context) -> Verdict:
    """Check sup |F - R(Phi)| <= value on the domain of the claim."""
    context.states("error", "<=", norm="sup", network=True, target=True)
    target, domain = context.formula(), context.domain()
    fits = context.network.inputs == domain.dimension
    context.require(fits, "The domain has another dimension than the network. Build it anew.")
    ranges, limit = StepRanges(context.network), ball(context.claim.limit)
    leaves = 0
    for lower, upper in context.leaves():
        leaves += 1
        low, high = step_difference(target, ranges, lower, upper)
        if not (high <= limit and -low <= limit):
            raise CheckError(
                f"On {Box(lower, upper)} the difference is only known to lie in [{float(low):.6g}, {float(high):.6g}]. "
                f"Refine the cover or state a larger error."
            )
    return Verdict(Kind.VERIFIED, (f"{leaves} cells cover {domain}",))
