r"""Branch and bound: the largest value of some linear functions of y - y' on a box, bracketed.

Boxes are bounded in batches by `core.differential`, the most promising first, and cut in two in the middle. A function
is followed no further on a box where it is at most the goal, (1 + gap) times the best value seen. Those values come
from samples, from a local search, from the centers of boxes and from the corners at which the affine bounds are
largest.

Which side w_i of a box to halve: the affine bound varies by |C_i| w_i along it, and exceeds the value at the corner
where it is largest by the slack s of the relaxation. The slack comes from the neurons whose side of the kink is not
decided, and the argument of such a neuron j varies by |d z_j / d x_i| w_i. So the side with the largest score

$$ |C_i|\,w_i + s\, t_i, \qquad
   t_i \propto \sum_j \frac{|\partial z_j / \partial x_i|\, w_i}{\sum_k |\partial z_j / \partial x_k|\, w_k}, \quad
   \sum_i t_i = 1, $$

is halved. The first term alone leaves the slack where it is and may never end.

The upper bound is that of the best tree: on every node its own bound or the worse of those of its halves, whichever is
less. It holds whenever the search stops. Memory: about 2 N + 50 d + 1000 bytes for each open box, N neurons.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from epsnet.core.differential import Differential, Found, Sides, Stage
from epsnet.core.network import activation
from epsnet.core.smooth import smooth

Array = NDArray[np.float64]
Progress = Callable[[int, float, float], None]
"""Called after every batch with the number of boxes so far and the bracket."""

_SLACK = 2.0**-30  # a claim exceeds what was computed by this share and by the rounding error of the engine, so that
# another machine, which rounds differently, agrees
_BATCHES = 4
"""How many batches of boxes are bounded at once."""
_SAMPLES, _STARTS, _ASCENTS = 2**15, 64, 40
_CLIMBERS, _STEPS_UP = 2, 8  # from each batch
_MAX_AXES, _RANDOM_WAYS = 32, 4
_NUMBERS = 2**23
_MAX_SIDES = 64  # with more coordinates bisection gains nothing that would be worth the derivatives
_STEPS = 2.0 ** -np.arange(0, 14, 1.5)


@dataclass(frozen=True, slots=True)
class Bracket:
    """The largest value of the functions on the domain.

    Attributes:
        lower: the best value seen, in float64 without an error bound.
        point: where, (d,).
        upper: a bound that `axis` and `split` prove: the bisection tree in prefix order, -1 and 0 for a leaf.
        boxes: how many boxes were bounded.
        complete: whether the gap was reached.
    """

    lower: float
    point: Array
    upper: float
    axis: NDArray[np.int64]
    split: Array
    boxes: int
    complete: bool


@dataclass(order=True, slots=True)
class _Open:
    """A box to be cut; a heap gives the one with the largest bound first."""

    priority: float
    node: int
    lower: Array = field(compare=False)
    upper: Array = field(compare=False)
    sides: NDArray[np.int8] = field(compare=False)
    rows: NDArray[np.bool_] = field(compare=False)
    axis: int = field(compare=False)


class Search:
    """One search; `bracket` may be asked for at any time.

    Args:
        chains: the two networks, of equal shape.
        evaluate: functional (y - y') in float64: (n, d) -> (n, rows).
        lower, upper: the ends of the domain, (d,).
        functional: (rows, outputs).
        gap: the goal is (1 + gap) lower, and never closer than rounding errors allow.
        relative_to_spread: the goal is lower + gap times the spread of the values seen at first.
    """

    def __init__(
        self,
        chains: tuple[list[Stage], list[Stage]],
        evaluate: Callable[[Array], Array],
        lower: Array,
        upper: Array,
        functional: Array,
        *,
        gap: float,
        relative_to_spread: bool = False,
        jobs: int | None = None,
    ) -> None:
        self._jobs = jobs
        self._engine = engine = Differential(*chains, lower, upper)
        self._chains, self._evaluate, self._functional = chains, evaluate, functional
        self._lower, self._upper, self._gap, self._relative = lower, upper, gap, relative_to_spread
        self._own: list[float] = []
        self._axis: list[int] = []
        self._cut: list[float] = []
        self._left: list[int] = []
        self._heap: list[_Open] = []
        self._settled, self._spread = -math.inf, 0.0
        self._generator = np.random.Generator(np.random.Philox(0))
        self.lower, self.point = -math.inf, lower / 2 + upper / 2
        self._sample()
        rows = np.ones((1, len(functional)), dtype=bool)
        point = engine.bounds(self.point[None], self.point[None], engine.root, functional, rows).upper
        noise = 4 * float((point - evaluate(self.point[None])).max())
        self._noise = noise if math.isfinite(noise) else 0.0
        self._bound(lower[None], upper[None], engine.root, rows, [-math.inf])

    def run(self, *, seconds: float, boxes: int, progress: Progress | None = None) -> None:
        """Search until the gap is reached or the budget is spent; KeyboardInterrupt stops it as well."""
        end = time.monotonic() + seconds
        try:
            while self._heap and time.monotonic() < end and len(self._own) < boxes:
                self._step()
                if progress is not None:
                    progress(len(self._own), self.lower, self._reached())
        except KeyboardInterrupt:
            pass

    def bracket(self) -> Bracket:
        """Return what is known now."""
        best = self._best()
        value = max(self._settled, best[0])
        axis: list[int] = []
        split: list[float] = []
        stack = [0]
        while stack:
            node = stack.pop()
            leaf = self._left[node] < 0 or self._own[node] <= value
            axis.append(-1 if leaf else self._axis[node])
            split.append(0.0 if leaf else self._cut[node])
            if not leaf:
                stack += [self._left[node] + 1, self._left[node]]
        upper = value + (abs(value) * _SLACK + self._noise)
        complete = value <= max(self._goal(), self.lower)
        return Bracket(
            self.lower, self.point, upper, np.array(axis, dtype=np.int64), np.array(split), len(self._own), complete
        )

    def _reached(self) -> float:
        return max(self._settled, -self._heap[0].priority if self._heap else -math.inf)

    def _best(self) -> list[float]:
        best = list(self._own)
        for node in range(len(best) - 1, -1, -1):
            if (left := self._left[node]) >= 0:
                best[node] = min(best[node], max(best[left], best[left + 1]))
        return best

    def _goal(self) -> float:
        return self.lower + max(self._gap * (self._spread if self._relative else self.lower), self._noise)

    def _step(self) -> None:
        chosen: list[_Open] = []
        cuts: list[float] = []
        while self._heap and len(chosen) < _BATCHES * self._engine.batch // 2:
            box = heapq.heappop(self._heap)
            low, high = float(box.lower[box.axis]), float(box.upper[box.axis])
            cut = low / 2 + high / 2
            if -box.priority <= self._goal() or not low < cut < high:
                self._settled = max(self._settled, -box.priority)
            else:
                chosen.append(box)
                cuts.append(cut)
        if not chosen:
            return
        twice = [box for box in chosen for _ in range(2)]
        lower, upper = np.array([box.lower for box in twice]), np.array([box.upper for box in twice])
        place = np.arange(len(chosen)), np.array([box.axis for box in chosen])
        lower[1::2][place] = upper[::2][place] = cuts
        sides, rows = np.array([box.sides for box in twice]), np.array([box.rows for box in twice])
        first = self._bound(lower, upper, sides, rows, [box.priority for box in twice])
        for number, (box, cut) in enumerate(zip(chosen, cuts, strict=True)):
            self._axis[box.node], self._cut[box.node], self._left[box.node] = box.axis, cut, first + 2 * number

    def _bound(self, lower: Array, upper: Array, sides: Sides, rows: NDArray[np.bool_], parents: list[float]) -> int:
        """Bound boxes, look for better values in them, and keep those above the goal; return the first new number."""
        found = self._bounds(lower, upper, sides, rows)
        center, corner = lower / 2 + upper / 2, np.where(found.slopes > 0, upper, lower)
        at_corner = self._try(np.concatenate((corner, center)))[: len(corner)]
        goal = self._goal()
        rows = rows & ~(found.upper <= goal)
        self._settled = max(self._settled, float(found.upper.max(initial=-math.inf, where=found.upper <= goal)))
        side = upper - lower
        slack = np.maximum(found.upper.max(axis=1) - at_corner, 0.0)[:, None]
        score = np.abs(found.slopes) * side + slack * self._shares(center, side, found.sides)
        useful = np.isfinite(score).all(axis=1) & score.any(axis=1)
        axes = np.where(useful[:, None], score, side).argmax(axis=1).tolist()
        own = found.upper.max(axis=1).tolist()
        first = len(self._own)
        self._own += own
        self._axis += [-1] * len(own)
        self._cut += [0.0] * len(own)
        self._left += [-1] * len(own)
        for number, (value, parent) in enumerate(zip(own, parents, strict=True)):
            if rows[number].any():
                box = _Open(
                    max(-value, parent), first + number, lower[number].copy(), upper[number].copy(),
                    found.sides[number].copy(), rows[number].copy(), axes[number],
                )  # fmt: skip
                heapq.heappush(self._heap, box)
        return first

    def _bounds(self, lower: Array, upper: Array, sides: Sides, rows: NDArray[np.bool_]) -> Found:
        """Bound boxes, some batches at once; the batches are the same whatever `jobs` is, and so are the bounds."""
        bounds, size = self._engine.bounds, self._engine.batch
        parts = [slice(start, start + size) for start in range(0, len(lower), size)]
        if len(parts) == 1:
            return bounds(lower, upper, sides, self._functional, rows)
        sides = np.broadcast_to(sides, (len(lower), *sides.shape[1:]))
        # NumPy lets go of the interpreter in its loops, so threads do; a joblib.parallel_config decides otherwise.
        found = cast("list[Found]", Parallel(n_jobs=self._jobs, prefer="threads")(
            delayed(bounds)(lower[part], upper[part], sides[part], self._functional, rows[part]) for part in parts
        ))  # fmt: skip
        return Found(*(np.concatenate([getattr(one, name) for one in found]) for name in ("upper", "slopes", "sides")))

    def _shares(self, center: Array, side: Array, sides: Sides) -> Array:
        """Return t of the module, (boxes, d), from the derivatives at the centers."""
        boxes, d = center.shape
        total = np.zeros((boxes, d))
        if d > _MAX_SIDES:
            return total
        open_neurons = (sides == 0).any(axis=1)
        for stages in self._chains:
            values, jacobian, start = center, np.broadcast_to(np.eye(d), (boxes, d, d)), 0
            for stage in stages:
                z, jacobian = values @ stage.weight.T + stage.bias, stage.weight @ jacobian
                spread = np.abs(jacobian) * side[:, None]
                sums = spread.sum(axis=2, keepdims=True)
                share = np.divide(spread, sums, out=np.zeros_like(spread), where=sums > 0)
                total += np.einsum("bn,bnd->bd", open_neurons[:, start : start + len(stage.bias)], share)
                values, slopes = _activate(stage, z)
                jacobian, start = slopes[:, :, None] * jacobian, start + len(stage.bias)
        sums = total.sum(axis=1, keepdims=True)
        return np.divide(total, sums, out=total, where=sums > 0)

    def _try(self, points: Array) -> Array:
        """Look at points, and climb from the best of them; return their values."""
        values = self._evaluate(points).max(axis=1)
        best = int(values.argmax())
        if values[best] > self.lower:
            self.lower, self.point = float(values[best]), points[best]
        self._ascend(points[np.argsort(-values)[:_CLIMBERS]], _STEPS_UP)
        return values

    def _sample(self) -> None:
        """Look at random points, and climb from the best of them."""
        d = len(self._lower)
        points = self._generator.uniform(self._lower, self._upper, (max(64, min(_SAMPLES, _NUMBERS // d)), d))
        values = self._try(points)
        self._spread = float(values.max() - values.min())
        self._ascend(points[np.argsort(-values)[: max(1, min(_STARTS, 2**12 // d))]], _ASCENTS)

    def _ascend(self, points: Array, steps: int) -> None:
        """Climb with steps of many lengths along gradients, by differences, their signs, the axes and at random."""
        side, d = self._upper - self._lower, len(self._lower)
        values = self._evaluate(points)
        row, best = values.argmax(axis=1), values.max(axis=1)
        fixed = np.concatenate((np.eye(d), -np.eye(d))) if d <= _MAX_AXES else np.zeros((0, d))
        for _ in range(steps):
            n = len(points)
            shift = np.where(points + side * 2.0**-20 <= self._upper, 1.0, -1.0) * side * 2.0**-20
            moved = np.repeat(points[:, None], d, axis=1)
            moved[:, np.arange(d), np.arange(d)] += shift
            change = self._evaluate(moved.reshape(-1, d)).reshape(n, d, -1)
            slope = (change[np.arange(n), :, row] - best[:, None]) * np.sign(shift)
            largest = np.abs(slope).max(axis=1, keepdims=True)
            gradient = slope / np.where(largest > 0, largest, 1.0)
            ways = [gradient[:, None], np.sign(slope)[:, None], np.broadcast_to(fixed, (n, *fixed.shape))]
            ways.append(self._generator.uniform(-1.0, 1.0, (n, _RANDOM_WAYS, d)))
            tried = points[:, None, None] + (np.concatenate(ways, axis=1) * side)[:, :, None] * _STEPS[:, None]
            tried = np.clip(tried, self._lower, self._upper).reshape(n, -1, d)
            values = self._evaluate(tried.reshape(-1, d)).reshape(n, tried.shape[1], -1)
            peak = values.max(axis=2)
            each, choice = np.arange(n), peak.argmax(axis=1)
            better = peak[each, choice] > best + 2.0**-16 * np.abs(best)
            if not better.any():
                break
            each, choice = each[better], choice[better]
            points, row, best = tried[each, choice], values[each, choice].argmax(axis=1), peak[each, choice]
            top = int(best.argmax())
            if best[top] > self.lower:
                self.lower, self.point = float(best[top]), points[top]


def _activate(stage: Stage, z: Array) -> tuple[Array, Array]:
    """Return the values and about the slopes of the activations of a layer."""
    values, slopes = z.copy(), np.ones_like(z)
    for name in set(stage.names):
        own = np.array([other == name for other in stage.names])
        function = activation(name)
        values[:, own] = function.float64(z[:, own])
        if function.slopes is None:
            slopes[:, own] = np.add(*smooth(name).values(z[:, own], derivative=True)) / 2
        else:
            slopes[:, own] = np.where(z[:, own] > 0, *(float(slope) for slope in reversed(function.slopes)))
    return values, slopes
