"""Rule `vertices`: extreme values, distances and Lipschitz constants of piecewise-linear networks, exactly.

* vertex-extrema: "error", sup |F - R(Phi)| for a target network F over the domain and all outputs, or "maximum of
  output i", "minimum of output i"; from below and from above. Witness: that of rule `cells`, for an error about the
  network of the difference.
* cell-gradients: "lipschitz" in the sup norm, or for one output in the Euclidean norm. Witness: that of rule `cells`.

The network is affine on the closure of each cell of dimension d, a polytope, and these cover the domain (rule `cells`);
`core.cell_values` says what follows.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from fractions import Fraction

from flint import fmpq

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules.cells import MAX_NUMBERS, read_cells
from epsnet.core.cell_values import difference, lipschitz_power, vertex_values
from epsnet.core.cells import HYPOTHESES
from epsnet.core.complex import require_affordable
from epsnet.core.network_target import NetworkTarget

MAX_CONNECTIONS = 1_000_000

_OUTPUT = re.compile(r"(maximum|minimum) of output (0|[1-9]\d{0,6})", re.ASCII)


def check(context: Context) -> Verdict:
    """Check a claim by its theorem."""
    return {"vertex-extrema": _extremum, "cell-gradients": _lipschitz}[context.claim.theorem](context)


def _extremum(context: Context) -> Verdict:
    claim, network, target = context.claim, context.network, context.target
    context.require(claim.sense != "==", "Bounds are from above or from below. State both.")
    if claim.quantity == "error":
        context.states("error", claim.sense, norm="sup", network=True, target=True)
        if not isinstance(target, NetworkTarget) or not target.domain.contains(context.domain()):
            raise CheckError("The target is not a network on the domain of the claim. Build it anew.")
        for own in (network, target.network):  # before anything is joined: products of long rationals would not end
            require_affordable(own, context.domain(), 1)
        connections = network.size.connections + target.network.size.connections
        context.require(connections <= MAX_CONNECTIONS, "The networks are too large for rationals. Use smaller ones.")
        values = _values(replace(context, network=_difference(network, target.network)))
        value = max(abs(y) for row in values for y in row)
    else:
        context.states(claim.quantity, claim.sense, network=True)
        match = _OUTPUT.fullmatch(claim.quantity)
        if match is None or int(match[2]) >= network.outputs:
            raise CheckError("It is about no output of the network. Build it anew.")
        value = (max if match[1] == "maximum" else min)(_values(context)[int(match[2])])
    _require_side(context, claim.limit, value)
    return Verdict(Kind.VERIFIED, HYPOTHESES)


# Kept, because a certificate claims one number after the other of the same cells.
_difference = functools.lru_cache(maxsize=4)(difference)
_vertex_values = functools.lru_cache(maxsize=1)(vertex_values)
_lipschitz_power = functools.lru_cache(maxsize=2)(lipschitz_power)


def _values(context: Context) -> list[list[fmpq]]:
    cells = read_cells(context)
    few = len(cells.vertices) * context.network.outputs <= MAX_NUMBERS
    context.require(few, "There are too many outputs. Bound some of them.")
    return _vertex_values(context.network, context.domain(), cells)


def _lipschitz(context: Context) -> Verdict:
    claim, network = context.claim, context.network
    context.states("lipschitz", claim.sense, norm=claim.norm, network=True)
    context.require(claim.sense != "==" and claim.limit >= 0, "Bounds are from above or from below. State both.")
    context.require(claim.norm in ("sup", "L2"), "It names no norm. State sup or L2.")
    cells = read_cells(context)
    few = len(cells.vertices) * network.outputs <= MAX_NUMBERS
    context.require(few, "There are too many outputs. Bound some of them.")
    power = _lipschitz_power(network, context.domain(), cells, claim.norm or "")
    _require_side(context, claim.limit if claim.norm == "sup" else claim.limit**2, power)
    return Verdict(Kind.VERIFIED, HYPOTHESES)


def _require_side(context: Context, limit: Fraction, value: fmpq) -> None:
    exact = Fraction(int(value.p), int(value.q))
    holds = limit >= exact if context.claim.sense == "<=" else limit <= exact
    context.require(holds, f"The value lies on the other side of {float(limit):.6g}. State another bound.")
