"""The fewest affine pieces of a continuous g with |g - f| <= delta on [a, b], by Imai-Iri windows.

`minimal_link_path` returns such a g, `outer_windows` a witness that one piece less cannot reach b. Both run the same
greedy search in float64 and prove nothing by themselves: a path is verified in ball arithmetic, a witness by the rule
below, which evaluates f at three points per window and uses neither continuity of f nor the grid.

**Rule.** A window is a side t in {-1, +1}, points p < s < e and a line l(x) = value + slope (x - p), all exact float64:

    t (l(p) - f(p)) >= delta,    t (l(s) - f(s)) <= -delta,    t (l(e) - f(e)) > delta.                     (contacts)

and windows chain from a to b as the rule `reach` of the checker demands; the theorem and its proof are stated there.

**Search.** A line is pushed right while one exists above the lower constraints (active from one point) and below the
upper ones (from another). The last feasible line is unique; it touches one boundary at p, the other at s > p and leaves
through the first one at e. Then the constraints of the second boundary become active from s, those of the first from e.
Steepest lines over convex hulls cost O(1) amortized per grid point. The witness uses a tube widened by a few ulps, so
the inequalities hold strictly; the path uses a tube narrowed by as much, and leaves each line at a grid point where it
is still feasible. Grid points are added where a line could leave the tube between two of them, and at the exits.

**Limits.** Features of f between the points of the first grid (spacing (b - a) / 16384) may be missed: give them as
`knots`. A witness stays valid then; a path is refused by its verifier. Counts of path and witness agree unless the
optimum is a tie to about 1e-10 + 1e-14 max|f| / delta, relative to delta.

References: H. Imai and M. Iri, An optimal algorithm for approximating a piecewise linear function, J. Inform. Process.
9 (1986) 159-162; S. Suri, A linear time algorithm for minimum link paths inside a simple polygon, Comput. Vision
Graphics Image Process. 35 (1986) 99-110.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Path", "Window", "minimal_link_path", "outer_windows"]

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Number = TypeVar("Number", float, Array)

_START = 4096  # intervals of the first grid
_POINTS = 400_000  # the adaptive grid stops growing here
_ROUNDS = 60  # refinements of one window: each one divides a bulge by 16 to 256, or an exit interval by 2**40
_COARSE = 2.0**-10  # bulge of f over its chord, relative to delta, that the first grid leaves
_FINE = 2.0**-34  # the same next to the contacts of a line
_NUDGE = 2.0**-47  # relative widening of the outer and narrowing of the inner tube: 64 ulps of max|f| + delta


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """The continuous piecewise-linear interpolant of `values` at increasing `breakpoints`, both of shape (n + 1,)."""

    breakpoints: Array
    values: Array

    @property
    def pieces(self) -> int:
        """The number n of affine pieces."""
        return len(self.breakpoints) - 1

    @property
    def slopes(self) -> Array:
        """The slopes of the pieces, rounded to float64, of shape (n,)."""
        return np.diff(self.values) / np.diff(self.breakpoints)

    def __call__(self, x: Array) -> Array:
        """The values at x, constant outside [a, b]."""
        return np.interp(x, self.breakpoints, self.values)


@dataclass(frozen=True, slots=True)
class Window:
    """The line l(x) = value + slope (x - p) with its contacts p < s and its exit e (see the rule of this module)."""

    side: int
    p: float
    s: float
    e: float
    slope: float
    value: float


def minimal_link_path(
    f: Function, a: float, b: float, delta: float, *, knots: Sequence[float] = (), grid: int = _START
) -> Path:
    """A continuous piecewise-linear path from a to b in the tube |y - f(x)| <= delta with the fewest pieces.

    Args:
        f: vectorized float64 function, continuous and finite on [a, b]; infinite slopes and kinks are allowed.
        a: left end of the interval.
        b: right end, a < b.
        delta: half width of the tube; pass eps (1 - 1e-7) if the path is to be verified at eps.
        knots: points where f has kinks or features that a grid of 16384 intervals would miss.
        grid: the intervals of the first grid, which is refined where f bends; 1 if f is affine between the knots.

    Returns:
        The path. It lies in the tube up to about 1e-10 delta plus rounding; a verifier decides.

    Raises:
        ValueError: the interval is empty, f is not finite, or delta is too small for float64.

    Example:
        >>> minimal_link_path(np.square, 0.0, 1.0, 0.01).pieces
        4

    Source: Imai and Iri 1986; see the module docstring.
    """
    tube = _Tube(f, a, b, delta, knots, grid, inner=True)
    links = list(tube.links())
    x, y = [tube.x[0]], [links[0].at(tube.x[0])]
    for left, right in pairwise(links):
        # side (right - left) is >= 0 at left.s and <= 0 at left.stop, because the constraints at both are active
        gap = right.at(left.s) - left.at(left.s)
        turn = left.slope - right.slope
        cross = left.s + gap / turn if turn else left.stop
        x.append(min(max(cross, left.s), left.stop))
        y.append(left.at(x[-1]))
    x.append(tube.x[-1])
    y.append(links[-1].at(x[-1]))
    path = Path(np.array(x), np.array(y))
    if not np.all(np.diff(path.breakpoints) > 0):
        raise ValueError("two breakpoints coincide in float64; use a larger delta")
    return path


def outer_windows(
    f: Function, a: float, b: float, delta: float, *, knots: Sequence[float] = (), grid: int = _START
) -> list[Window]:
    """Windows that chain: a continuous g with |g - f| <= delta on [a, b] has more pieces than there are windows.

    The arguments and errors are those of `minimal_link_path`, but delta is the exact half width of the claim. The
    inequalities hold with a margin of about 48 ulps of max|f| + delta, which has to cover the rounding of f.

    Example:
        >>> len(outer_windows(np.square, 0.0, 1.0, 0.01))
        3

    Source: Imai and Iri 1986; see the module docstring for the rule and its proof.
    """
    tube = _Tube(f, a, b, delta, knots, grid, inner=False)
    push = tube.nudge / 4  # orders lines that touch at the same point, and covers the clipping in `_reach`
    return [
        Window(link.side, link.p, link.s, link.e, link.slope, link.value + link.side * push)
        for link in tube.links()
        if link.side
    ]


@dataclass(frozen=True, slots=True)
class _Link:
    """A line with contacts p < s, last feasible grid point `stop` and first infeasible one e; side 0 reaches b."""

    side: int
    p: float
    s: float
    stop: float
    e: float
    slope: float
    value: float

    def at(self, x: Number) -> Number:
        return self.value + self.slope * (x - self.p)


class _Steepest:
    """The steepest line that is above all points given to `above` and below all those given to `below`.

    It passes through a point of the first kind at p and one of the second at s > p. Its value right of s is the
    largest one of any feasible line; it is infinite while there is no such pair.

    Points may be neighbors in float64: slopes between them are noise, and hold for the hull up to the tolerance only.
    """

    __slots__ = ("hull", "p", "s", "slope", "start", "tol", "y")

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.hull: list[tuple[float, float]] = []  # concave majorant of the points to be above
        self.start = 0  # contact in the hull; the steepest line turns clockwise, so that contacts move right
        self.p = self.s = self.y = 0.0
        self.slope = math.inf

    def at(self, x: float) -> float:
        return self.y + self.slope * (x - self.p) if self.slope < math.inf else math.inf

    def below(self, x: float, y: float) -> None:
        hull, i = self.hull, self.start
        if not hull or y >= self.at(x):
            return
        u, v = hull[i]
        slope = (y - v) / (x - u)
        for j in range(i + 1, len(hull)):
            next_u, next_v = hull[j]
            next_slope = (y - next_v) / (x - next_u)
            if next_slope <= slope:
                i, u, v, slope = j, next_u, next_v, next_slope
            elif next_v < v + slope * (next_u - u) - self.tol:
                break
        self.start, self.p, self.y, self.s, self.slope = i, u, v, x, slope

    def above(self, x: float, y: float) -> None:
        hull = self.hull
        while len(hull) > 1:
            (u, v), (w, z) = hull[-2], hull[-1]
            if (z - v) * (x - w) > (y - z) * (w - u):
                break
            hull.pop()
        # a contact that is popped is collinear with its neighbors up to rounding: the left one takes over, never (x, y)
        self.start = max(min(self.start, len(hull) - 1), 0)
        hull.append((x, y))


def _reach(
    x: list[float], low: list[float], high: list[float], first_low: int, first_high: int, tol: float
) -> tuple[int, int, _Steepest, _Steepest]:
    """Sweep until no line is above low[first_low:j + 1] and below high[first_high:j + 1].

    Returns the side of the exit (0: none), j, the steepest line, and minus the least steep one (in the mirrored tube).
    A constraint that is violated by at most tol is relaxed to the extreme line.
    """
    up, down = _Steepest(tol), _Steepest(tol)
    for j, t in enumerate(x):
        top, bottom = up.at(t), -down.at(t)
        if j >= first_low and low[j] > top + tol:
            return -1, j, up, down
        if j >= first_high and high[j] < bottom - tol:
            return 1, j, up, down
        lo, hi = min(low[j], top), max(high[j], bottom)
        if j >= first_high:
            up.below(t, hi)
        if j >= first_low:
            down.below(t, -lo)
            up.above(t, lo)
        if j >= first_high:
            down.above(t, -hi)
    return 0, len(x), up, down


class _Tube:
    """A tube on an adaptive grid x with values y of f, and the greedy sequence of its extreme lines."""

    def __init__(
        self, f: Function, a: float, b: float, delta: float, knots: Sequence[float], grid: int, *, inner: bool
    ) -> None:
        if not (math.isfinite(a) and math.isfinite(b) and a < b and 0 < delta < math.inf and grid > 0):
            raise ValueError("need finite a < b, delta > 0 and a grid; check the interval and the accuracy")
        self._f, self.inner, self.delta = f, inner, delta
        extra = [float(t) for t in knots if a < t < b]
        self.x = np.unique(np.concatenate([np.linspace(a, b, grid + 1), extra]))
        self.y = self.f(self.x)
        while len(self.x) < _POINTS:
            bulge = np.max(np.abs(self.bulges(self.x, self.y)), axis=0)
            split = np.flatnonzero((bulge > _COARSE * delta) & self.divisible(self.x))
            if not len(split):
                break
            self.insert(_subdivide(self.x[split], self.x[split + 1], 4))
        scale = float(np.max(np.abs(self.y))) + delta
        self.nudge = _NUDGE * scale
        if delta < 16 * self.nudge:
            raise ValueError(f"delta={delta} is below the float64 resolution of f; use at least {32 * self.nudge:.1e}")
        self.width = delta - self.nudge if inner else delta + self.nudge

    def f(self, x: Array) -> Array:
        y = np.broadcast_to(np.asarray(self._f(x), dtype=np.float64), x.shape)
        if not np.all(np.isfinite(y)):
            raise ValueError(f"f is not finite at x={float(x[~np.isfinite(y)][0])!r}; choose an interval where it is")
        return y

    def insert(self, points: Array) -> None:
        at = np.searchsorted(self.x, points)
        at, points = at[self.x[at] != points], points[self.x[at] != points]
        self.x, self.y = np.insert(self.x, at, points), np.insert(self.y, at, self.f(points))

    def bulges(self, x: Array, y: Array) -> tuple[Array, Array]:
        """How far f rises above and falls below its chords, from three points in each interval."""
        inside = _subdivide(x[:-1], x[1:], 4).reshape(-1, 3)
        chord = y[:-1, None] + (np.diff(y) / np.diff(x))[:, None] * (inside - x[:-1, None])
        rise = self.f(inside) - chord
        return np.maximum(rise.max(axis=1), 0.0), np.maximum(-rise.min(axis=1), 0.0)

    @staticmethod
    def divisible(x: Array) -> NDArray[np.bool_]:
        return np.diff(x) > 64 * np.spacing(np.maximum(np.abs(x[:-1]), np.abs(x[1:])))

    def links(self) -> Iterator[_Link]:
        """The extreme lines of the greedy search from left to right; the last one is the mean of its feasible set."""
        last: _Link | None = None
        while last is None or last.side:
            link = self.next_link(last)
            for _ in range(_ROUNDS):
                points = self.weak_points(link, last)
                if not len(points):
                    break
                self.insert(points)
                link = self.next_link(last)
            yield link
            last = link

    def next_link(self, last: _Link | None) -> _Link:
        """The extreme line on the present grid, after the line `last`."""
        begin = entry = 0
        if last is not None:
            begin, entry = np.searchsorted(self.x, [last.s, last.stop if self.inner else last.e])
        size = 2 * (entry - begin) + 256
        while True:
            x, y = self.x[begin : begin + size], self.y[begin : begin + size]
            low, high = y - self.width, y + self.width
            first_low = first_high = 0
            if last is not None and last.side < 0:
                first_low = int(entry - begin)
                low[first_low] = max(low[first_low], last.at(x[first_low])) if self.inner else low[first_low]
            elif last is not None:
                first_high = int(entry - begin)
                high[first_high] = min(high[first_high], last.at(x[first_high])) if self.inner else high[first_high]
            side, j, up, down = _reach(x.tolist(), low.tolist(), high.tolist(), first_low, first_high, self.nudge / 8)
            if side < 0:
                return _Link(side, up.p, up.s, float(x[j - 1]), float(x[j]), up.slope, up.y)
            if side > 0:
                return _Link(side, down.p, down.s, float(x[j - 1]), float(x[j]), -down.slope, -down.y)
            if begin + size >= len(self.x):
                end = float(self.x[-1])
                if down.slope == math.inf:  # one boundary is active at b alone: there is no other extreme line
                    return _Link(0, up.p, end, end, end, up.slope, up.y)
                if up.slope == math.inf:
                    return _Link(0, down.p, end, end, end, -down.slope, -down.y)
                value = (up.y + up.slope * (down.p - up.p) - down.y) / 2
                return _Link(0, down.p, end, end, end, (up.slope - down.slope) / 2, value)
            size *= 2

    def weak_points(self, link: _Link, last: _Link | None) -> Array:
        """Points to add to the grid: where the line could leave the tube between grid points, then around its exit."""
        begin = low = high = 0
        if last is not None:
            begin, entry = np.searchsorted(self.x, [last.s, last.stop if self.inner else last.e])
            low, high = (entry - begin, 0) if last.side < 0 else (0, entry - begin)
        stop = int(np.searchsorted(self.x, link.stop))
        x, y = self.x[begin : stop + 1], self.y[begin : stop + 1]
        rise, fall = self.bulges(x, y)
        weak = np.zeros(len(rise), dtype=bool)
        for bulge, slack, active in ((rise, link.at(x) - y, low), (fall, y - link.at(x), high)):
            room = np.minimum(slack[:-1], slack[1:]) + self.width
            room[:active] = np.inf
            weak |= (bulge > _FINE * self.delta + self.nudge) & (room < 2 * bulge)
        split = np.flatnonzero(weak & self.divisible(x))
        if len(split):
            return _subdivide(x[split], x[split + 1], 16)
        return self.exit_points(link, float(x[-1] - x[0])) if link.side else np.empty(0)

    def exit_points(self, link: _Link, length: float) -> Array:
        """A tight pair of points around the place where the line leaves the tube, or nothing if there is one."""
        stop, e = link.stop, link.e
        while e - stop > max(2.0**-46 * length, 4 * math.ulp(max(abs(stop), abs(e)))):
            t = np.concatenate([[stop], _subdivide(np.array([stop]), np.array([e]), 64), [e]])
            excess = link.side * (link.at(t) - self.f(t)) - self.width
            if excess[-1] - excess[0] < self.nudge / 2:
                break
            # `_reach` has accepted the stop, though its excess may round to a little more than is allowed
            outside = excess[1:-1] > max(self.nudge / 8, float(excess[0]))
            i = int(np.argmax(outside)) if outside.any() else len(outside)
            stop, e = float(t[i]), float(t[i + 1])
        return np.array([t for t in (stop, e) if t not in (link.stop, link.e)])


def _subdivide(left: Array, right: Array, parts: int) -> Array:
    """The interior points of a division of each interval into equal parts, interval by interval."""
    t = np.arange(1, parts) / parts
    return (left[:, None] + (right - left)[:, None] * t).ravel()
