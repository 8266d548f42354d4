r"""Rule `universal`: the sup error of a network whose weights are too long for floats, box by box.

Witness: a bisection tree of the domain as for rule `cover`. On every leaf `core.exact_forms` (in one variable) or
`core.box_forms` (in several) writes the network as an exact rational polynomial and a remainder, from the definitions
of its activations, and encloses F - R(Phi).
"""

from __future__ import annotations

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.core.box_forms import box_difference, box_work
from epsnet.core.exact_forms import form_difference, form_work


def check(context: Context) -> Verdict:
    """Check sup |F - R(Phi)| <= value on the domain of the claim."""
    context.states("error", "<=", norm="sup", network=True, target=True)
    target, domain = context.formula(), context.domain()
    difference, work = (form_difference, form_work()) if domain.dimension == 1 else (box_difference, box_work())
    limit = ball(context.claim.limit)
    leaves = 0
    for lower, upper in context.leaves():
        leaves += 1
        low, high = difference(target.expression, target.variables, context.network, lower, upper, work)
        if not (high <= limit and -low <= limit):
            raise CheckError(
                f"On {Box(lower, upper)} the difference is only known to lie in [{float(low):.6g}, {float(high):.6g}]. "
                f"Refine the cover or state a larger error."
            )
    return Verdict(Kind.VERIFIED, (f"{leaves} cells cover {domain}",))
