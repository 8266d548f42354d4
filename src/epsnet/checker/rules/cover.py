r"""Rule `cover`: a sup error from a bisection tree of the domain and a local enclosure on every leaf.

Witness: the tree in prefix order, `axis` (int; -1 for a leaf) and `split` (float64; the place of the cut). On every
leaf
`core.enclose.difference_range` encloses F - R(Phi); the claim holds if no enclosure exceeds it. The leaves cover the
domain because every inner node cuts its own cell in two.
"""

from __future__ import annotations

from fractions import Fraction

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.core.enclose import difference_range

MAX_NODES = 4_000_000


def check(context: Context) -> Verdict:
    """Check sup |F - R(Phi)| <= value on the domain of the claim."""
    context.states("error", "<=", norm="sup", network=True, target=True)
    network, target, domain = context.network, context.formula(), context.domain()
    fits = network.outputs == 1 and network.inputs == domain.dimension
    context.require(fits, "The network has not the inputs and the one output of the formula. Build it anew.")
    axes, splits = context.array("axis", "i").tolist(), context.array("split", "f").tolist()
    context.require(len(axes) == len(splits) <= MAX_NODES, "The tree is malformed or too large. Build it anew.")
    limit = ball(context.claim.limit)
    leaves = 0
    stack: list[tuple[tuple[Fraction, ...], tuple[Fraction, ...]]] = [(domain.lower, domain.upper)]
    for axis, split in zip(axes, splits, strict=True):
        context.require(bool(stack), "The tree has nodes beyond its last leaf. Build it anew.")
        lower, upper = stack.pop()
        if axis >= 0:
            cut = Fraction(split)
            inside = axis < len(lower) and lower[axis] < cut < upper[axis]
            context.require(inside, "A cut lies outside its cell. Build it anew.")
            stack.append(((*lower[:axis], cut, *lower[axis + 1 :]), upper))
            stack.append((lower, (*upper[:axis], cut, *upper[axis + 1 :])))
            continue
        leaves += 1
        low, high = difference_range(target.expression, target.variables, network, lower, upper)
        if not (high <= limit and -low <= limit):
            raise CheckError(
                f"On {Box(lower, upper)} the difference is only known to lie in [{float(low):.6g}, {float(high):.6g}]. "
                f"Refine the cover or state a larger error."
            )
    context.require(not stack, "The tree does not cover the domain. Build it anew.")
    return Verdict(Kind.VERIFIED, (f"{leaves} cells cover {domain}",))
