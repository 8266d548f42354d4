r"""Rule `cover`: what holds on a box because a local rule holds on every leaf of a bisection tree that covers it.

Witness: the tree in prefix order, `axis` (int; -1 for a leaf) and `split` (float64; the place of the cut). The leaves
cover the domain because every inner node cuts its own cell in two.

* taylor-cover: on every leaf `core.difference.difference_range` encloses F - R(Phi); the sup error is at most the
  largest.
* interval-jacobian, layer-splitting: on every leaf `core.jacobian` or `core.splitting` bounds the Lipschitz constant.
  The one of a box is the largest of those of the leaves: the segment between two points of the box runs through
  leaves, and the lengths of its parts add up. Layer splitting needs the norms of its matrices, leaf by leaf in the
  order of `core.splitting.blocks`, as the array `norm`; each is verified. Without a domain the statement is about all
  of R^d, there is no tree, and the slopes of an activation are those on the whole line.
* norm-equivalence: a constant in the sup norm from the Euclidean one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.core.difference import difference_range
from epsnet.core.jacobian import Interval, jacobian_norm, slopes
from epsnet.core.splitting import blocks, combine


def check(context: Context) -> Verdict:
    """Check a claim by its theorem: a sup error on the domain, or a Lipschitz constant."""
    return {
        "taylor-cover": _error,
        "interval-jacobian": _jacobian,
        "layer-splitting": _splitting,
        "norm-equivalence": _norm_equivalence,
    }[context.claim.theorem](context)


def _error(context: Context) -> Verdict:
    context.states("error", "<=", norm="sup", network=True, target=True)
    network, target, domain = context.network, context.formula(), context.domain()
    fits = network.outputs == 1 and network.inputs == domain.dimension
    context.require(fits, "The network has not the inputs and the one output of the formula. Build it anew.")
    limit = ball(context.claim.limit)
    leaves = 0
    for lower, upper in context.leaves():
        leaves += 1
        low, high = difference_range(target.expression, target.variables, network, lower, upper)
        if not (high <= limit and -low <= limit):
            raise CheckError(
                f"On {Box(lower, upper)} the difference is only known to lie in [{float(low):.6g}, {float(high):.6g}]. "
                f"Refine the cover or state a larger error."
            )
    return Verdict(Kind.VERIFIED, (f"{leaves} cells cover {domain}",))


def _lipschitz(context: Context, constant: Callable[[list[Interval]], float]) -> Verdict:
    """Check |Phi(x) - Phi(y)| <= value |x - y| on the domain, or on R^d, in the norm of the claim on both sides."""
    claim, network = context.claim, context.network
    context.states("lipschitz", "<=", norm=claim.norm, domain=claim.domain is not None, network=True)
    context.require(claim.norm in ("sup", "L2"), "It names no norm. State sup or L2.")
    leaves = 0
    for box in [None] if claim.domain is None else (Box(*leaf) for leaf in context.leaves()):
        leaves += 1
        value = constant(slopes(network, box))
        if not value <= claim.limit:
            where = "R^d" if box is None else str(box)
            raise CheckError(f"On {where:.200} the constant is only known to be <= {value:.6g}. State a larger one.")
    return Verdict(Kind.VERIFIED, () if claim.domain is None else (f"{leaves} cells cover the domain",))


def _jacobian(context: Context) -> Verdict:
    return _lipschitz(context, lambda ranges: jacobian_norm(context.network, ranges, context.claim.norm or ""))


def _splitting(context: Context) -> Verdict:
    context.require(context.claim.norm == "L2", "Layer splitting is about the Euclidean norm. State L2.")
    norms: Iterator[float] = iter(context.array("norm", "f").tolist())

    def constant(ranges: list[Interval]) -> float:
        found = {}
        for block in blocks(context.network, ranges):
            limit = next(norms, -1.0)
            holds = limit >= 0 and block.norm_is_at_most(limit)
            context.require(holds, f"The norm of a matrix is not seen to be <= {limit:.6g}. State a larger one.")
            found[block.reader, block.source] = limit
        return combine(context.network, ranges, found)

    verdict = _lipschitz(context, constant)
    context.require(next(norms, None) is None, "There are norms beyond the last matrix. Build it anew.")
    return verdict


def _norm_equivalence(context: Context) -> Verdict:
    r"""Lip_inf <= sqrt(d) Lip_2, as |y|_inf <= |y|_2 and |x|_2 <= sqrt(d) |x|_inf; checked as squares of rationals."""
    claim = context.claim
    context.states("lipschitz", "<=", premises=1, norm="sup", domain=claim.domain is not None, network=True)
    (premise,) = context.premises
    given = (premise.quantity, premise.sense, premise.norm, premise.arithmetic, premise.network, premise.domain)
    same = given == ("lipschitz", "<=", "L2", "exact", claim.network, claim.domain)
    context.require(same, "The premise is not the Euclidean Lipschitz constant on the same domain. Build it anew.")
    context.require(premise.limit >= 0 and claim.limit >= 0, "A Lipschitz constant is negative. Build it anew.")
    least = premise.limit**2 * context.network.inputs
    context.require(claim.limit**2 >= least, "The value is below sqrt(d) times the premise. State that.")
    return Verdict(Kind.VERIFIED)
