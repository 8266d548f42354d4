r"""Polygons with bubbles: networks of order 3 for formulas of one variable, smooth or not.

F is replaced by a continuous piecewise quadratic function P that interpolates it at free breakpoints: on a cell
[u, v] of length h, with tau = (x - u)/h,

$$ P(x) = (1 - \tau) F(u) + \tau F(v) + \beta\,\tau (1 - \tau), \qquad
   \sup |F - P| = \frac{h^3 |F'''|}{72 \sqrt 3} + O(h^4) $$

for the best beta. From left to right every cell is made as long as the accuracy allows, so no derivative is needed and
kinks and infinite slopes only draw breakpoints. All bubbles come out of two squarings, one for each sign
(`core.bubble`): a cell costs 4 weights beside the 3 of a polygon, and there are O(eps^(-1/3)) cells, not O(eps^(-1/2)).

Accuracy is divided between the cells and the m levels of the squarings so that the network has the fewest weights. The
result is proved by the rule `bubble`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Witness
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import ball, round_down, round_up
from epsnet.core.bubble import MAX_FOLDS, OddFold, Polygon, QuadraticSpline
from epsnet.core.evaluate import evaluate_float
from epsnet.core.expression import Expression, postorder
from epsnet.core.functions import FUNCTIONS
from epsnet.core.network import Network
from epsnet.core.rounding_error import rounding_bound
from epsnet.core.squares import square_error
from epsnet.core.target import Target
from epsnet.enclosure.cover import bisect
from epsnet.enclosure.float64 import exact_error, power_of_two_above, rounding_of, with_rounding

Array = NDArray[np.float64]

_TAU = (1 - np.cos(np.pi * (np.arange(65) + 0.5) / 65)) / 2
_BUBBLE = _TAU * (1 - _TAU)
_HALVINGS = 60
_SECTIONS = 4
_GRID, _MOST_KINKS = 4097, 64
_LEAST_SIDE = 0.2
_SYMMETRY = 1e-13
_NARROW = 2.0**-26
"""A cell that is shorter than this share of the interval stays straight: a bubble there would magnify rounding."""
_SLACK = 0.004
"""The share of the accuracy for what lies between the points at which cells are tried, and for rounding."""
_MOST_LEVELS = 24
_LEVEL = 7  # weights
_MOST_CELLS = 1_000
_BALANCINGS = 6


@dataclass(frozen=True, slots=True)
class BubbleNetwork:
    """What `bubble_network` returns.

    Attributes:
        network: the deep network.
        spline: what it was made of.
        error: sup |F - Phi| <= eps for the float64 network.
        witnesses: what the rules need, for `Certificate.of`.
    """

    network: Network
    spline: QuadraticSpline
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def bubble_network(target: Target, eps: Fraction) -> BubbleNetwork:
    """Return the network with the fewest weights of this kind that was found and proved, with sup |F - Phi| <= eps.

    Args:
        target: a formula in one variable, smooth or not.
        eps: the accuracy in the sup norm, > 0.

    Raises:
        HypothesisError: the formula has several variables.
        CertificateError: no spline is close enough, or none could be proved to be.
    """
    if target.domain.dimension != 1:
        raise HypothesisError(
            f"Quadratic splines are for one variable, the formula has {target.domain.dimension}. Fix all but one."
        )
    best, failure = float("inf"), None
    for spline in _by_weights(target, eps):
        try:
            return _certified(target, spline, eps)
        except CertificateError as error:
            best, failure = min(best, error.achieved), error
    raise CertificateError(
        f"No quadratic spline was proved to be within {float(eps):.3g}. "
        f"Ask for a larger eps, or use the method piecewise-linear.",
        asked=float(eps), achieved=best,
    ) from failure  # fmt: skip


def _by_weights(target: Target, eps: Fraction) -> list[QuadraticSpline]:
    """Return splines that are close enough, the one whose network has the fewest weights first."""
    allowance = 0.0
    while True:
        share = float(eps) * (1 - _SLACK) - allowance
        splines: list[QuadraticSpline] = []
        best = float("inf")
        for view in sorted(_views(target), key=lambda view: -len(view.folds)):
            splines += _candidates(view, share, best)
            best = min((spline.network().size.weights for spline in splines), default=best)
        splines.sort(key=lambda spline: spline.network().size.weights)
        if not splines:
            return []
        rounding = power_of_two_above(rounding_bound(splines[0].network(), target.domain))
        if rounding <= max(allowance, float(eps) * _SLACK / 4) or rounding > float(eps) / 4:
            return splines
        allowance = 1.5 * rounding


@dataclass(frozen=True, slots=True)
class _View:
    """F as a function g of t in [low, high], where t is x after the folds; see `QuadraticSpline` for tilt and odd.

    No cell goes beyond one of the `kinks`. With folds all places are multiples of `unit`, so that what they are
    unfolded to are float64 numbers.
    """

    values: Callable[[Array], Array]
    low: float
    high: float
    kinks: Array
    unit: float
    folds: tuple[Fraction, ...] = ()
    tilt: float = 0.0
    odd: OddFold | None = None

    def rounded(self, t: Any) -> Any:
        """Return a place, or several, that unfold to float64 numbers."""
        return np.round(t / self.unit) * self.unit if any(self.folds) else t

    def folded(self, center: float) -> Iterator[_View]:
        """Yield F folded at this place too, if it is even there up to a linear function, or odd up to a constant."""
        center = float(np.round(center / self.unit) * self.unit)
        left, right = center - self.low, self.high - center
        if len(self.folds) == MAX_FOLDS or not min(left, right) > _LEAST_SIDE * (self.high - self.low):
            return
        h = np.linspace(0, 1, 65)[1:] * min(left, right)
        above, below = self.values(center + h), self.values(center - h)
        value = float(self.values(np.array([center]))[0])
        rounding = _SYMMETRY * float(np.abs([above, below]).max())
        tilt = float(np.round(((above - below) / h)[-1], 12)) if not self.folds else 0.0
        side, longer = (1, right) if right > left else (-1, left)

        def view(values: Callable[[Array], Array], tilt: float, odd: OddFold | None) -> _View:
            folded = _View(values, 0.0, longer, np.zeros(0), self.unit, (*self.folds, Fraction(center)), tilt, odd)
            return replace(folded, kinks=np.unique(folded.rounded(np.abs(self.kinks - center))))

        if np.abs(above - below - tilt * h).max() <= rounding:
            right_tilt = tilt if side > 0 else 0.0
            yield view(lambda t: self.values(center + side * t) - right_tilt * t, tilt, self.odd)
        if self.odd is None and self.tilt == 0 and np.abs(above + below - 2 * value).max() <= rounding:
            h = np.linspace(0, 1, 65)[1:] * longer
            rise = side * (self.values(center + side * h) - value)
            sign = 1 if rise.sum() > 0 else -1
            if (sign * rise >= -rounding).all():
                steepness = 2.0 ** int(np.frexp((sign * rise / h).max())[1] + 1)
                odd = OddFold(len(self.folds), Fraction(sign * steepness), Fraction(value))
                yield view(lambda t: sign * side * (self.values(center + side * t) - value), 0.0, odd)


def _views(target: Target) -> Iterator[_View]:
    """Yield F itself, and F folded at the middle or at 0, and at the middle of what that leaves, and so on."""
    low, high = round_down(target.domain.lower[0]), round_up(target.domain.upper[0])
    ends = round_up(target.domain.lower[0]), round_down(target.domain.upper[0])

    def values(x: Array) -> Array:
        return target(np.clip(x, *ends))

    unit = 2.0 ** (int(np.frexp(max(abs(low), abs(high)))[1]) - 50)
    plain = _View(values, low, high, _kinks(target, low, high), unit)
    found = [plain, *(view for center in sorted({(low + high) / 2, 0.0}) for view in plain.folded(center))]
    while found:
        view = found.pop()
        yield view
        if view.folds:
            found += view.folded((view.low + view.high) / 2)


def _kinks(target: Target, low: float, high: float) -> Array:
    """Return the places where the argument of a function with a kink changes its sign, as far as a grid shows them."""
    x = np.linspace(low, high, _GRID)
    found: set[float] = set()
    for node in postorder(target.expression):
        if node.op == "apply" and FUNCTIONS[node.value].slopes is not None:

            def sign(points: Array, argument: Expression = node.args[0]) -> Array:
                return np.sign(evaluate_float(argument, {target.variables[0]: points}))

            signs = sign(x)
            for index in np.flatnonzero(signs[:-1] * signs[1:] < 0)[:_MOST_KINKS]:
                a, b = x[index], x[index + 1]
                for _ in range(60):
                    a, b = ((a + b) / 2, b) if sign(np.array([(a + b) / 2]))[0] == signs[index] else (a, (a + b) / 2)
                found.add(float(b))
            found |= set(x[signs == 0].tolist()[:_MOST_KINKS])
    return np.array(sorted(found))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Breakpoints, and the beta of each cell between them."""

    places: Array
    bubbles: Array


def _cells(view: _View, eps: float) -> _Cells | None:
    """Return cells that are as long as eps allows, from left to right; None if they become too many or too small."""
    places, bubbles = [view.low], []
    while places[-1] < view.high:
        u = places[-1]
        end = float(min([*view.kinks[view.kinks > u], view.high]))
        length, bubble = _longest(view, u, end, eps, straight=False)
        if length < _NARROW * (view.high - view.low):
            length, bubble = _longest(view, u, end, eps, straight=True)
        v = end if u + length >= end else view.rounded(u + length)
        if not u < v or len(places) > _MOST_CELLS:
            return None
        places.append(v)
        bubbles.append(bubble)
    return _Cells(np.array(places), np.array(bubbles))


def _longest(view: _View, u: float, end: float, eps: float, *, straight: bool) -> tuple[float, float]:
    """Return the length of the longest cell in [u, end] from u on, 0 if there is none, and the beta of the cell."""
    lengths: Any = (end - u) * 2.0 ** np.arange(-_HALVINGS, 1)
    found = 0.0, 0.0
    for _ in range(_SECTIONS):
        fits, bubbles = _fit(view, u, lengths, eps, straight)
        good = int(np.argmin(np.append(fits, False)))
        if good:
            found = float(lengths[good - 1]), float(bubbles[good - 1])
        if good in (0, len(lengths)):
            break
        lengths = np.geomspace(lengths[good - 1], lengths[good], 17)
    return found


def _fit(view: _View, u: float, lengths: Array, eps: float, straight: bool) -> tuple[NDArray[np.bool_], Array]:
    """Tell for which cells [u, u + h] some beta is within eps at the points tau, and return the least such |beta|."""
    values = view.values(u + lengths[:, None] * _TAU)
    ends = view.values(np.append(u, u + lengths))
    rest = values - (ends[0] * (1 - _TAU) + ends[1:, None] * _TAU)
    low, high = ((rest - eps) / _BUBBLE).max(axis=1), ((rest + eps) / _BUBBLE).min(axis=1)
    if straight:
        return (low <= 0) & (high >= 0), 0 * low
    return low <= high, np.clip(0.0, low, np.maximum(low, high))


def _spline(view: _View, cells: _Cells, levels: int) -> QuadraticSpline | None:
    """Return the quadratic spline of cells, its numbers rounded to float64; None if nothing bends."""
    places, values = cells.places, view.values(cells.places)
    waves, gains = [], []
    # s^2 lies below its chord: a cell that bends up has a bubble < 0 and a gain > 0.
    for sign in (1, -1):
        if (sign * cells.bubbles < 0).any():
            path = _zigzag(np.sqrt(np.maximum(-sign * cells.bubbles, 0)))
            # A little more than the square of the height, so that rounding does not push s out of [0, 1].
            gain = path.max() ** 2 * (1 + 2.0**-20)
            waves.append(path / np.sqrt(gain) + 2.0**-32 * ((np.arange(len(path)) > 0) | (path[0] > 0)))
            gains.append(sign * gain)
    if not gains:
        return None
    base = values - sum(gain * wave**2 for gain, wave in zip(gains, waves, strict=True))
    tilt = view.tilt * places
    below = (
        base
        + np.minimum(tilt, 0)
        + sum(gain * (wave**2 + 1 / 16) for gain, wave in zip(gains, waves, strict=True) if gain < 0)
    )
    error = float(square_error(levels)) * sum(gains)
    # The sum may not become negative. If possible it starts at 0, or the output needs no bias: either saves a weight.
    least = float(below.min()) - 2.0**-20 * float(np.abs(base).max())
    shift = next(shift for shift in (-base[0], -error, max(-least, 0.0)) if shift >= -least)
    return QuadraticSpline(
        tuple(map(Fraction, places[:-1].tolist())),
        tuple(_polygon(places, heights) for heights in (base + shift, *waves)),
        tuple(map(Fraction, gains)),
        levels,
        Fraction(-shift - error),
        view.folds,
        Fraction(view.tilt),
        view.odd,
    )


def _polygon(places: Array, heights: Array) -> Polygon:
    """Return the polygon through these points; what rounding a bend does to it is mended by the next bends."""
    wanted = np.diff(heights) / np.diff(places)
    smallest = 2.0**-44 * float(np.abs(wanted).max())
    height, slope = Fraction(float(heights[0])), Fraction(0)
    polygon = [height]
    for (left, right), goal in zip(pairwise(map(Fraction, places.tolist())), heights[1:].tolist(), strict=True):
        bend = float((Fraction(goal) - height) / (right - left) - slope)
        polygon.append(Fraction(bend) if abs(bend) > smallest else Fraction(0))
        slope += polygon[-1]
        height += slope * (right - left)
    return tuple(polygon)


def _zigzag(steps: Array) -> Array:
    """Return a path of small height, with least value 0, that goes up or down by these steps."""
    signs = np.where(np.cumsum(steps > 0) % 2 == 1, 1, -1)
    alternating = np.concatenate([[0.0], np.cumsum(signs * steps)])
    paths = [alternating - alternating.min(), alternating.max() - alternating]
    largest = float(steps.max())
    for height in largest * np.linspace(1, 2, 65) * (1 + 2.0**-40):
        path = [0.0]
        for step in steps.tolist():
            path.append(path[-1] + step if path[-1] + step <= height else path[-1] - step)
            if path[-1] < 0:
                break
        else:
            paths.append(np.array(path))
            break
    # A path that does not start at 0 takes a bias; the weights of a level are worth a factor of 2 in height.
    return min(paths, key=lambda path: float(path.max()) * (2 ** (1 / _LEVEL) if path[0] > 0 else 1.0))


def _candidates(view: _View, eps: float, known: float) -> Iterator[QuadraticSpline]:
    """Yield the spline with the fewest cells for each number of levels, as long as that may save weights.

    Nothing, if the cells alone take more weights than are `known` to be enough.
    """
    fewest, best = _cells(view, eps), float("inf")
    if fewest is None or 4 * len(fewest.bubbles) > known:
        return
    for levels in range(1, _MOST_LEVELS + 1):
        spline = _balanced(view, fewest, eps, levels)
        if spline is None:
            continue
        weights = spline.network().size.weights
        if weights > best + 2 * _LEVEL:
            break
        best = min(best, weights)
        yield spline


def _balanced(view: _View, fewest: _Cells, eps: float, levels: int) -> QuadraticSpline | None:
    """Return the spline with the fewest cells whose error and deviation are at most eps together."""
    cells: _Cells | None = fewest
    low, share, high, best = eps / 4, eps, eps, None
    for _ in range(_BALANCINGS):
        spline = None if cells is None else _spline(view, cells, levels)
        if spline is None:
            break
        left = eps - float(spline.deviation)
        if share <= left:
            low, best = share, spline
        else:
            high = share
        if high - low < eps / 64 or left < -eps:
            break
        share = left if low < left < high else (low + high) / 2
        cells = _cells(view, share)
    return best


def _certified(target: Target, spline: QuadraticSpline, eps: Fraction) -> BubbleNetwork:
    """Prove a spline. CertificateError if that fails."""
    network, domain = spline.network(), target.domain
    rounding = rounding_of(network, domain)
    limit = Fraction(round_down(eps - rounding.limit))
    try:
        pieces = spline.pieces(domain)
    except HypothesisError as error:
        raise CertificateError(str(error), asked=float(eps), achieved=float("inf")) from error
    starts = [piece.start for piece in pieces]

    def enclose(lower: tuple[Fraction, ...], upper: tuple[Fraction, ...]) -> arb:
        piece = pieces[bisect_right(starts, lower[0]) - 1]
        return spline.enclose(target.expression, target.variables[0], piece, lower[0], upper[0]) + ball(
            spline.deviation
        )

    value, tree = bisect(domain, enclose, limit, starts[1:])
    leaves = int((tree["axis"] < 0).sum())
    found = (f"{leaves} cells cover {domain}", f"{len(pieces)} parabolas")
    exact = exact_error(target, network, value, "quadratic-spline", "bubble", found)
    error = with_rounding(exact, rounding)
    return BubbleNetwork(network, spline, error, ((exact, {**tree, **spline.to_arrays()}),))
