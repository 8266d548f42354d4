"""Learning a formula: the networks of a strategy for its values, as one solution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate, Witness
from epsnet.certify.errors import HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.core.components import component, side_by_side
from epsnet.core.network import Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.learning.optimality import entropy, least_neurons
from epsnet.learning.strategies import Candidate, Request, build


def learn_formula(request: Request, method: str) -> Solution:
    """Return the solution of a method, or of the cheapest one if it is "auto".

    Raises:
        HypothesisError: the method does not cover the request.
        CertificateError: eps was not reached.
    """
    parts = request.target.components
    share = Fraction(1) if request.target.norm == "sup" else Fraction(math.sqrt(1 / len(parts)) * (1 - 2.0**-50))
    built = [build(replace(request, target=part, eps=request.eps * share), method) for part in parts]
    found = [candidate for candidate, _ in built]
    network, error = found[0].network, found[0].error
    if len(found) > 1:
        network = side_by_side([candidate.network for candidate in found])
        error = _together(request, network, found)
    optimality, bounds, witnesses = _lower_bounds(request, found)
    names = [name for name in built[0][1] if all(name in sizes for _, sizes in built)]
    compared = {name: sum(sizes[name] for _, sizes in built) for name in names}
    stats = {"method": ", ".join(dict.fromkeys(candidate.method for candidate in found)), "eps": str(request.eps)}
    more = found[0].stats if len(found) == 1 else {}
    return Solution(
        network=network,
        target=request.target,
        error=error,
        bits=8 * len(network_bytes(network)),
        certificate=Certificate.of(
            (error, *(bound for candidate in found for bound in (candidate.error, *candidate.others)), *bounds),
            [*(pair for candidate in found for pair in candidate.witnesses), *witnesses],
        ),
        optimality=optimality,
        stats={**stats, "seed": request.seed, "cost": request.cost, "weights": compared, **more},
        result=_summary(found, compared),
    )


def _lower_bounds(
    request: Request, found: Sequence[Candidate]
) -> tuple[Bound | None, tuple[Bound, ...], tuple[tuple[Bound, Witness], ...]]:
    """Return the lower bound that belongs to the cost, for one formula of one variable in the sup norm, and all others.

    For bits it is about all functions as steep as F, for a polygon about polygons, otherwise about ReLU networks.
    """
    target = request.target
    if len(found) > 1 or target.domain.dimension > 1 or target.norm != "sup":
        return None, (), ()
    codes, places = entropy(target, request.eps)
    networks, windows = (), ()
    if found[0].optimality is not None:
        networks = (found[0].optimality,)
    elif request.activation == "relu":
        networks, windows = least_neurons(target, request.eps)
    chosen = codes if request.cost == "bits" else networks
    return (chosen[-1] if chosen else None), (*codes, *networks), (*places, *windows)


def _summary(found: Sequence[Candidate], compared: Mapping[str, int]) -> str:
    if len(found) > 1:
        return f"{len(found)} outputs: " + ", ".join(candidate.summary.partition(";")[0] for candidate in found)
    others = [f"{name} takes {weights:,} weights" for name, weights in compared.items() if name != found[0].method]
    return "; ".join([found[0].summary, *others])


def _together(request: Request, network: Network, found: Sequence[Candidate]) -> Bound:
    """Return the error of the network whose outputs were learned one by one."""
    errors = tuple(candidate.error for candidate in found)
    if any(component(network, index).sha256 != bound.network for index, bound in enumerate(errors)):
        raise HypothesisError("A value of the formula is a constant, which needs no network. Leave it out.")
    if request.target.norm == "sup":
        total: Fraction | None = max(bound.limit for bound in errors)
        value = round_up(total)
    else:
        total = None
        with ball_arithmetic():
            value = round_up(ball(sum(bound.limit**2 for bound in errors)).sqrt())
    first = errors[0]
    return Bound(
        quantity="error", sense="<=", value=value, exact=total, norm=first.norm, measure=first.measure,
        domain=request.target.domain, kind=Kind.weakest(*(bound.kind for bound in errors)), arithmetic=first.arithmetic,
        theorem="components", rule="algebra", premises=errors, network=network.sha256, target=request.target.sha256,
    )  # fmt: skip
