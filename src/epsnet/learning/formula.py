"""Learning a formula: the minimal piecewise-linear network or a squaring circuit, in the sup or the L2 norm."""

from __future__ import annotations

import math
from fractions import Fraction

from epsnet.approximation.circuits import squaring_circuit
from epsnet.approximation.piecewise_linear import piecewise_linear
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target


def learn_formula(target: Target, eps: Fraction, *, deep: bool = False, seed: int = 0) -> Solution:
    """Return the solution of a method; an L2 accuracy is reached through sup |F - Phi| <= eps / |D|^(1/2).

    The sup bound is about the float64 network. An L2 norm is an integral over real points, so that bound is about the
    network in exact arithmetic; the certificate holds the bound of the rounding beside it.

    Args:
        target: the formula.
        eps: the accuracy in the norm of the target.
        deep: take a squaring circuit instead of the polygon with the fewest pieces.
        seed: fixes the starts of the fits of a circuit.
    """
    accuracy = eps
    if target.norm == "L2":
        # Below eps / sqrt(volume) by an ulp or two, so that rounding up afterwards stays within eps.
        accuracy = Fraction(float(eps) / math.sqrt(target.domain.volume) * (1.0 - 2.0**-50))
    within = "" if target.norm == "sup" else f" within {float(accuracy):.3g} in the sup norm"
    if deep:
        circuit = squaring_circuit(target, accuracy, seed=seed)
        network, sup, witnesses = circuit.network, circuit.error, circuit.witnesses
        also, optimality = (), None
        squarings = len(circuit.circuit.stages)
        result = f"a circuit of {squarings} squaring{'s' * (squarings > 1)}{within}"
    else:
        polygon = piecewise_linear(target, accuracy)
        network, sup, witnesses = polygon.network, polygon.error, polygon.witnesses
        also = (polygon.pieces, polygon.minimal, polygon.neurons)
        # In L2 fewer pieces may do: the windows speak about the sup norm only.
        optimality = polygon.minimal if target.norm == "sup" else None
        result = _pieces(int(polygon.pieces.value), int(polygon.minimal.value), within)
    error = sup if target.norm == "sup" else _in_l2(target, sup.premises[0])
    return Solution(
        network=network,
        target=target,
        error=error,
        bits=8 * len(network_bytes(network)),
        certificate=Certificate.of((error, sup, *also), witnesses),
        optimality=optimality,
        stats={"method": "deep" if deep else "piecewise-linear", "eps": str(eps), **({"seed": seed} if deep else {})},
        result=result,
    )


def _pieces(count: int, least: int, within: str) -> str:
    if count == 1:
        return "1 linear piece"
    verdict = f"no polygon with {least - 1} pieces is that close" if count == least else f"at least {least} are needed"
    return f"{count} linear pieces{within}; {verdict}"


def _in_l2(target: Target, sup: Bound) -> Bound:
    with ball_arithmetic():
        value = round_up(ball(sup.limit) * ball(target.domain.volume).sqrt())
    return Bound(
        quantity="error", sense="<=", value=value, norm="L2", measure="Lebesgue", domain=target.domain,
        kind=Kind.VERIFIED, theorem="norm-embedding", rule="algebra",
        network=sup.network, target=sup.target, premises=(sup,),
    )  # fmt: skip
