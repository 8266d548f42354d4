r"""Rule `expansion`: the error of a network that is made of copies of the networks of generators.

Witness: `log`, JSON, one integer for each byte: the generators of `core.generators` in the order of the parts of the
target. Their formulas must be those of the target, letter for letter, and the network must be the one of
`core.transfer`, by hash; what is proved is the theorem there.
"""

from __future__ import annotations

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.checker.rule import Context, Verdict
from epsnet.core.expansion_target import MAX_PARTS, ExpansionTarget
from epsnet.core.generators import Generator
from epsnet.core.transfer import expansion_error, expansion_network


def check(context: Context) -> Verdict:
    """Check sup |F - R(Phi)| <= value, or the same in L2, on the domain of the target."""
    claim = context.claim
    if claim.norm == "sup":
        context.states("error", "<=", norm="sup", network=True, target=True)
    else:
        context.states("error", "<=", norm="L2", measure="Lebesgue", network=True, target=True)
    target = expansion(context)
    parts = context.log()
    context.require(len(parts) <= MAX_PARTS, "There are too many generators. Build it anew.")
    generators = [Generator.from_json(part) for part in parts]
    same = expansion_network(target, generators).sha256 == context.network.sha256
    context.require(same, "The network is not that of the expansion: the hash differs. Build it anew.")
    found = expansion_error(target, generators)
    least = found.sup if claim.norm == "sup" else found.l2
    context.require(claim.limit >= least, f"The error may reach {float(least):.6g}. State that.")
    return Verdict(Kind.VERIFIED if least else Kind.PROVED, hypotheses(target))


def expansion(context: Context) -> ExpansionTarget:
    """Return the target of a claim about an expansion on all of its domain."""
    target = context.target
    if not isinstance(target, ExpansionTarget) or target.domain != context.domain():
        raise CheckError("The target is not an expansion on the domain of the claim. Build it anew.")
    return target


def hypotheses(target: ExpansionTarget) -> tuple[str, ...]:
    """Return what the rule checks, in words."""
    return (f"{len(target):,} atoms of {len(target.parts)} generators",)
