r"""Rule `composition`: the sup error of a network that was put together from the parts of a formula.

Witness: the plan (the vectors of `Plan.from_arrays`), the ends `low`, `high` of the interval and the `error` of every
fit, and for fit number k, with the names "k.", the witness of rule `circuit`, or that of rule `cover` with the polygon:
`breakpoint`, `turn` and `value` of the network value + sum_i turn_i rho(x - breakpoint_i).

The network of the claim must be the one of the plan, by hash, its weights rounded to float64, or follow from that one
by the steps of a simplification (`log`). Every fit is checked by its own rule for every function that it is used for;
ranges, errors and the conditions of the theorem in `core.composition` follow in balls. What rounding the weights
contributes is bounded like a rounding of evaluation.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules import circuit, cover
from epsnet.core.composition import MAX_MODULES, MAX_NEURONS, Fit, Plan, Univariate, rounded
from epsnet.core.formula import ARGUMENT, Formula
from epsnet.core.network import Network
from epsnet.core.rounding_error import rounding_bound
from epsnet.core.target import Target

_INTEGERS = ("size", "start", "parameter", "nodes", "held")


def check(context: Context) -> Verdict:
    """Check sup |F - R(Phi)| <= value on the domain of the claim."""
    context.states("error", "<=", norm="sup", network=True, target=True)
    target, domain = context.formula(), context.domain()
    formula = Formula(target.expression, target.variables)
    low, high, errors = (context.array(name, "f").tolist() for name in ("low", "high", "error"))
    same = len(low) == len(high) == len(errors) <= MAX_MODULES
    context.require(same, "The vectors of the fits differ in length. Build it anew.")
    parts = [_part(context, number) for number in range(len(errors))]
    fits: list[Fit] = []
    neurons = 0
    for part, a, b, e in zip(parts, low, high, errors, strict=True):
        fits.append(Fit(_network(part), (Fraction(a), Fraction(b)), Fraction(e)))
        neurons += sum(layer.outputs for layer in fits[-1].network.layers)
        context.require(neurons <= 2 * MAX_NEURONS, "The fits are too large. Build it anew.")
    integers = {name: context.array(name, "i").tolist() for name in _INTEGERS}
    floats = {name: context.array(name, "f").tolist() for name in ("numbers", "shift")}
    plan = Plan.from_arrays(formula, fits, **integers, **floats)
    deep = plan.hidden + 1 == len(context.network.layers) or "log" in context.witness
    context.require(deep, "The network has not the depth of the plan. Build it anew.")
    built = plan.network()
    network = rounded(built)
    context.require_network(network)
    error = plan.error(domain) + ball(weight_rounding(built, network, domain))
    if not error <= ball(context.claim.limit):
        raise CheckError(f"The error is only known to be at most {float(error.upper()):.6g}. State that.")
    checked: dict[tuple[int, str], int] = {}
    for module in plan.modules:
        if isinstance(module, Univariate):
            number, function = fits.index(module.fit), formula.function(module.node, module.argument)
            if (number, str(function)) not in checked:
                piece = Target(function, Box(*module.fit.interval), variables=(ARGUMENT,))
                checked[number, str(function)] = _check_fit(parts[number], module.fit, piece)
    return Verdict(Kind.VERIFIED, hypotheses(plan, sum(checked.values())))


def hypotheses(plan: Plan, cells: int) -> tuple[str, ...]:
    """Return what a check of a plan establishes."""
    count = len(plan.modules)
    return (f"{count} module{'s' * (count != 1)} for the parts of the formula", f"{cells} cells cover their intervals")


def weight_rounding(built: Network, network: Network, domain: Box) -> Fraction:
    """Bound what rounding the weights to float64 changes: the exact evaluation errs no more than one in float64."""
    return Fraction(0) if built.sha256 == network.sha256 else Fraction(rounding_bound(built, domain))


def _part(context: Context, number: int) -> Context:
    """Return the context of a fit: the vectors whose names begin with its number."""
    prefix = f"{number}."
    own: Witness = {
        name.removeprefix(prefix): array for name, array in context.witness.items() if name.startswith(prefix)
    }
    return Context(context.claim, (), context.network, context.target, own)


def polygon(breakpoints: np.ndarray, turns: np.ndarray, value: np.ndarray) -> Network:
    """Return the network of value + sum_i turn_i rho(x - breakpoint_i)."""
    return Network.from_layers([(np.ones((len(turns), 1)), -breakpoints), (turns[None, :], value)])


def _network(part: Context) -> Network:
    if "turn" not in part.witness:
        return circuit.stored_circuit(part).network()
    return polygon(part.array("breakpoint", "f"), part.array("turn", "f"), part.array("value", "f"))


def _check_fit(part: Context, fit: Fit, piece: Target) -> int:
    """Check a fit by its own rule, and return the number of cells."""
    is_polygon = "turn" in part.witness
    claim = Bound(
        quantity="error", sense="<=", value=float(fit.error), norm="sup", domain=piece.domain, kind=Kind.VERIFIED,
        theorem="taylor-cover" if is_polygon else "squaring-circuit", rule="cover" if is_polygon else "circuit",
        network=fit.network.sha256, target=piece.sha256,
    )  # fmt: skip
    (cover if is_polygon else circuit).check(Context(claim, (), fit.network, piece, part.witness))
    return int((part.array("axis", "i") < 0).sum())
