"""The search for a cover: bisect a box until the local enclosures of F - R(Phi) are as tight as asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.core.difference import difference_range
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.target import Target

RELATIVE_SLACK = 2.0**-20
"""A cover is refined until its bound exceeds the largest sampled difference by at most this factor."""

Corner = tuple[Fraction, ...]

MAX_NODES = 1_000_000
_MIN_WIDTH = Fraction(1, 2**80)
_SAMPLES = 200_000


def cover(target: Target, network: Network, eps: Fraction) -> tuple[float, dict[str, NDArray]]:
    """Bound sup |F - R(Phi)| over the domain of the target, with the bisection tree that proves it.

    Cells are cut at the kinks of the first layer in dimension 1, otherwise in the middle of their longest side.

    Args:
        target: F, a formula with as many variables as the network has inputs.
        network: Phi with one output.
        eps: the bound that has to be reached.

    Returns:
        The bound (at most eps, and close to the true supremum), and the witness for the rule `cover`.

    Raises:
        CertificateError: F - R(Phi) exceeds eps at some point, or the cells became too many or too small.
    """
    sampled = _sampled_error(target, network)
    if sampled > eps:
        raise CertificateError(
            f"The network differs from the formula by {sampled:.6g}, more than {float(eps):.6g}. Ask for a larger eps.",
            asked=float(eps), achieved=sampled,
        )  # fmt: skip
    # A float64 number, so that rounding a bound below it up to float64 stays below it.
    limit = Fraction(round_down(min(eps, Fraction(sampled * (1.0 + RELATIVE_SLACK)) + eps / 2**40)))

    def enclose(lower: Corner, upper: Corner) -> arb:
        low, high = difference_range(target.expression, target.variables, network, lower, upper)
        return high.max(-low)

    return bisect(target.domain, enclose, limit, _kinks(network))


def bisect(
    domain: Box,
    enclose: Callable[[Corner, Corner], arb],
    limit: Fraction,
    *cuts: Sequence[Fraction],
    nodes: int = MAX_NODES,
) -> tuple[float, dict[str, NDArray]]:
    """Cut a box until an upper bound is at most `limit` on every cell.

    Args:
        domain: the box.
        enclose: returns an upper bound on a cell (lower, upper); not finite where nothing is known.
        limit: what is to be reached, a float64 number.
        cuts: for each axis, or for none, the places, sorted float64 numbers, where to cut before anything is enclosed.
        nodes: the most nodes of the tree.

    Returns:
        The largest bound of a leaf, and the tree in prefix order.

    Raises:
        CertificateError: the cells became too many or too small.
    """
    axes: list[int] = []
    splits: list[float] = []
    worst = Fraction(0)
    with ball_arithmetic():
        goal = ball(limit)
        stack = [(domain.lower, domain.upper)]
        while stack:
            lower, upper = stack.pop()
            inside = [own[bisect_right(own, lower[i]) : bisect_left(own, upper[i])] for i, own in enumerate(cuts)]
            bound = None
            if not any(inside):
                bound = enclose(lower, upper)
                if bound <= goal:
                    worst = max(worst, Fraction(round_up(bound)))
                    axes.append(-1)
                    splits.append(0.0)
                    continue
            axis = max(range(len(lower)), key=lambda i: (upper[i] - lower[i]) / (domain.upper[i] - domain.lower[i]))
            middle = (lower[axis] + upper[axis]) / 2
            if any(inside):
                axis = max(range(len(inside)), key=lambda i: len(inside[i]))
                middle = inside[axis][len(inside[axis]) // 2]
            middle = Fraction(float(middle))
            small = upper[axis] - lower[axis] < _MIN_WIDTH * (domain.upper[axis] - domain.lower[axis])
            if small or not lower[axis] < middle < upper[axis] or len(axes) >= nodes:
                achieved = float("inf") if bound is None else round_up(bound)
                raise CertificateError(
                    f"The difference to the formula could not be bounded by {float(limit):.6g} near "
                    f"{float(lower[0]):.6g}: "
                    f"the enclosure there is {achieved:.6g}. Ask for a larger eps or a smaller domain.",
                    asked=float(limit), achieved=achieved,
                )  # fmt: skip
            axes.append(axis)
            splits.append(float(middle))
            stack.append(((*lower[:axis], middle, *lower[axis + 1 :]), upper))
            stack.append((lower, (*upper[:axis], middle, *upper[axis + 1 :])))
    return float(worst), {"axis": np.array(axes, dtype=np.int64), "split": np.array(splits, dtype=np.float64)}


def _kinks(network: Network) -> list[Fraction]:
    """Return the kinks -b/a of the first layer for one input, sorted, as float64 numbers."""
    first = network.layers[0]
    if network.inputs != 1:
        return []
    rows = zip(first.terms[0][1].rows, first.bias_values(), strict=True)
    return sorted({Fraction(float(-Fraction(bias) / Fraction(row[0][1]))) for row, bias in rows if row})


def _sampled_error(target: Target, network: Network) -> float:
    """Return the largest |F - Phi| seen in float64 on a sample; only a goal for the search, never a claim."""
    dimension = target.domain.dimension
    low = np.array([float(end) for end in target.domain.lower])
    high = np.array([float(end) for end in target.domain.upper])
    if dimension == 1:
        kinks = np.array([float(k) for k in _kinks(network)])
        knots = np.unique(np.concatenate([low, high, kinks[(kinks > low[0]) & (kinks < high[0])]]))
        steps = max(16, _SAMPLES // len(knots))
        points = np.interp(np.linspace(0, len(knots) - 1, steps * (len(knots) - 1) + 1), np.arange(len(knots)), knots)[
            :, None
        ]
    else:
        points = np.random.Generator(np.random.Philox(0)).uniform(low, high, (_SAMPLES // 4, dimension))
    difference = np.abs(target(points if dimension > 1 else points[:, 0]) - realize(network, points)[:, 0])
    return float(np.nanmax(difference, initial=0.0))
