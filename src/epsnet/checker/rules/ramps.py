r"""Rule `ramps`: the L2 error of a network of ramps for a step function, in closed form.

Witness: `width` (float64), one number. The target must be an expansion in steps, the network that of `core.ramps`, by
hash, and the bound is the closed form there, compared as squares of rationals.
"""

from __future__ import annotations

from fractions import Fraction

from epsnet.certify.bound import Kind
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules.expansion import expansion
from epsnet.core.ramps import StepFunction


def check(context: Context) -> Verdict:
    """Check ||F - R(Phi)||_L2 <= value on [0, 1]."""
    context.states("error", "<=", norm="L2", measure="Lebesgue", network=True, target=True)
    steps = StepFunction.of(expansion(context))
    numbers = context.array("width", "f").tolist()
    context.require(len(numbers) == 1 and numbers[0] > 0, "The witness is no width. Build it anew.")
    width = Fraction(numbers[0])
    same = steps.network(width).sha256 == context.network.sha256
    context.require(same, "The network is not that of the ramps: the hash differs. Build it anew.")
    square = steps.squared_error(width)
    holds = context.claim.limit >= 0 and context.claim.limit**2 >= square
    context.require(holds, f"The error is {float(square) ** 0.5:.6g}. State that.")
    return Verdict(Kind.PROVED, hypotheses(steps))


def hypotheses(steps: StepFunction) -> tuple[str, ...]:
    """Return what the rule checks, in words."""
    return (f"{len(steps.jumps):,} ramps that do not meet",)
