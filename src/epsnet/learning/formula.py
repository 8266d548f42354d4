"""Learning a formula: the minimal piecewise-linear network, in the sup or the L2 norm."""

from __future__ import annotations

import math
from fractions import Fraction

from epsnet.approximation.piecewise_linear import piecewise_linear
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target


def learn_formula(target: Target, eps: Fraction) -> Solution:
    """Return the piecewise-linear solution; an L2 accuracy is reached through sup |F - Phi| <= eps / |D|^(1/2).

    The sup bound is about the float64 network. An L2 norm is an integral over real points, so that bound is about the
    network in exact arithmetic; the certificate holds the bound of the rounding beside it.
    """
    accuracy = eps
    if target.norm == "L2":
        # Below eps / sqrt(volume) by an ulp or two, so that rounding up afterwards stays within eps.
        accuracy = Fraction(float(eps) / math.sqrt(target.domain.volume) * (1.0 - 2.0**-50))
    found = piecewise_linear(target, accuracy)
    error = found.error
    if target.norm == "L2":
        sup = error.premises[0]
        with ball_arithmetic():
            value = round_up(ball(sup.limit) * ball(target.domain.volume).sqrt())
        error = Bound(
            quantity="error", sense="<=", value=value, norm="L2", measure="Lebesgue", domain=target.domain,
            kind=Kind.VERIFIED, theorem="norm-embedding", rule="algebra",
            network=sup.network, target=sup.target, premises=(sup,),
        )  # fmt: skip
    count, least = int(found.pieces.value), int(found.minimal.value)
    verdict = f"no polygon with {least - 1} pieces is that close" if count == least else f"at least {least} are needed"
    norm = "" if target.norm == "sup" else f" within {float(accuracy):.3g} in the sup norm"
    return Solution(
        network=found.network,
        target=target,
        error=error,
        bits=8 * len(network_bytes(found.network)),
        certificate=Certificate.of((error, found.error, found.pieces, found.minimal, found.neurons), found.witnesses),
        # In L2 fewer pieces may do: the windows speak about the sup norm only.
        optimality=found.minimal if target.norm == "sup" else None,
        stats={"method": "piecewise-linear", "eps": str(eps)},
        result=f"{count} linear piece{'s' * (count > 1)}{norm}; {verdict}" if count > 1 else "1 linear piece",
    )
