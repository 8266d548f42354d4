"""What no network can beat: lower bounds of pieces, neurons and bits for a formula of one variable."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from epsnet.approximation.piecewise_linear import least_pieces
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.rounding import ball, ball_arithmetic, round_down
from epsnet.checker.rules.entropy import QUANTITY
from epsnet.core.target import Target

_MOST_PIECES = 4_000
"""Beyond, proving how many pieces are needed takes longer than it is worth beside a deep network."""

_POINTS = 4_097

Proved = tuple[tuple[Bound, ...], tuple[tuple[Bound, Witness], ...]]
"""Bounds, and what the rules of some of them need."""


def least_neurons(target: Target, eps: Fraction) -> Proved:
    """Return how many pieces, and then neurons, every ReLU network within eps needs; nothing if there are too many."""
    # Few windows tell how many there are: their number grows like eps^(-1/2).
    for tenths in (1000, 100, 10):
        if tenths * least_pieces(target, tenths**2 * eps).pieces.value > _MOST_PIECES * (2 if tenths > 10 else 1):
            return (), ()
    least = least_pieces(target, eps)
    return (least.pieces, least.neurons), ((least.pieces, least.witness),)


def entropy(target: Target, eps: Fraction) -> Proved:
    """Return how many bits a code needs that serves every function as steep as F (rule `entropy`); or nothing."""
    domain = target.domain
    low, high = float(domain.lower[0]), float(domain.upper[0])
    x = np.unique(np.clip(np.linspace(low, high, _POINTS), low, high))
    x = x[[domain.lower[0] <= Fraction(value) <= domain.upper[0] for value in x.tolist()]]
    steepest = int(np.argmax(np.abs(np.diff(target(x)) / np.diff(x))))
    places = x[steepest : steepest + 2]
    with ball_arithmetic():
        first, second = (Fraction(value) for value in places.tolist())
        slope = abs(target.at(second) - target.at(first)) / ball(second - first)
        count = math.ceil(Fraction(round_down(slope)) * (domain.upper[0] - domain.lower[0]) / eps) - 1
    if count < 1:
        return (), ()
    bound = Bound(
        quantity=QUANTITY, sense=">=", value=round_down(Fraction(count)), exact=Fraction(count), norm="sup",
        domain=domain, eps=eps, kind=Kind.VERIFIED, theorem="lipschitz-entropy", rule="entropy", target=target.sha256,
    )  # fmt: skip
    return (bound,), ((bound, {"places": places}),)
