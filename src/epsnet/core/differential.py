r"""Bounds of the difference of two networks on boxes, by differential linear relaxation, rigorous in float64.

Two chains of equal shape, z_k = W_k h_{k-1} + b_k, h_k = sigma_k(z_k) and z'_k = V_k h'_{k-1} + c_k, h'_k =
sigma_k(z'_k), differ layer by layer by

$$ \delta z_k = V_k\, \delta h_{k-1} + (W_k - V_k)\, h_{k-1} + (b_k - c_k), \qquad \delta h_0 = 0 . $$

A linear function A dh + C h of the values of a layer is bounded from below in terms of the arguments, then of the
layer before, down to the input, where C x + offset is minimal at a corner of the box. For every neuron one of two
relaxations of dh is used, whichever leaves the smaller gap:

* *differential*: dh = s dz with a slope s of sigma between its two arguments, m <= s <= M (mean value theorem), so
  that dh lies between the chord of max(m dz, M dz) and that of min(m dz, M dz);
* *separate*: dh = h - h', with lines around h' in terms of z' = z - dz.

A neuron whose two arguments keep to the same side of its kink is exact by the first one, one whose arguments keep to
different sides by the second. The value h itself lies between the two lines of `core.relaxation`. Ranges of z and dz
are needed only where a side is not decided. A side that is decided on a box is decided on every part of it: `Sides` are
handed down when a box is cut.

**Rounding.** What is computed, the float64 coefficients, is meant exactly; that it is not the exact product is paid for
in the offset, with bounds |z|, |dz|, |h|, |dh| that hold on the whole domain. For the affine step,

$$ |(P V - A)\, \delta h| + |(P (W - V) + Q W - C)\, h| + \dots
   \le \gamma\, \bigl(|P|\,(|V||\delta h| + |W - V||h| + |b - c|) + |Q|\,(|W||h| + |b|)\bigr) + n\,\mathit{tiny} , $$

in any order of summation, with or without fused multiply-add (Higham 2002, section 3.1); W - V and b - c are rounded
once, which the spare terms of `dot_error` cover. Through an activation each coefficient is rounded at most four times:
4 u (|P| (|dz| + |z|) + |Q| |z| + |C| |h|). Sums are rounded downward by one step of `nextafter`, the error is a sum of
nonnegative numbers and is inflated by 2^-20. A number that overflows makes a bound infinite, never wrong.

References: B. Paulsen, J. Wang and C. Wang, ReluDiff: differential verification of deep neural networks, ICSE 2020;
H. Zhang, T.-W. Weng, P.-Y. Chen, C.-J. Hsieh and L. Daniel, Efficient neural network robustness certification with
general activation functions (CROWN), NeurIPS 2018; N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., SIAM 2002.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network, activation
from epsnet.core.relaxation import Line, dot_error, kinked_lines, smooth_lines
from epsnet.core.smooth import TINY, UNIT, down, smooth, up

Array = NDArray[np.float64]
Interval = tuple[Array, Array]
"""Lower and upper ends."""

Sides = NDArray[np.int8]
"""(boxes, 2, neurons of all layers): 1 where the argument of a neuron is >= 0 on a box, -1 where it is <= 0, 0 where
that is not known; first those of one network, then those of the other. Always 1 for a neuron without a kink."""

_MAX_ENTRIES = 2**26
_BLOCK = 2**13  # numbers in one array of coefficients: what stays in the cache and is not mapped anew every time
_INFLATE = 1.0 + 2.0**-20


@dataclass(frozen=True, slots=True)
class Stage:
    """sigma(W x + b): a matrix (neurons, inputs), a vector, and the names of the activations, one for each neuron."""

    weight: Array
    bias: Array
    names: tuple[str, ...]


def chain(network: Network) -> list[Stage]:
    """Return the layers of a network without skip connections. HypothesisError if it is not one of float64 weights."""
    stages = []
    for number, layer in enumerate(network.layers):
        if len(layer.terms) != 1 or layer.terms[0][0] != number:
            raise HypothesisError(f"Layer {number + 1} has a skip connection. Give a network without.")
        linear = layer.terms[0][1]
        if linear.shape[0] * linear.shape[1] > _MAX_ENTRIES:
            raise HypothesisError(f"Layer {number + 1} has more than {_MAX_ENTRIES:,} connections. Give a smaller one.")
        rows, columns, entries = linear.entries()
        if not all(type(value) is float or is_float64(Fraction(value)) for value in (*entries, *layer.bias_values())):
            raise HypothesisError(f"Layer {number + 1} has weights that are no float64 numbers. Round the network.")
        weight, bias = np.zeros(linear.shape), np.array(layer.bias_values(), dtype=np.float64)
        weight[rows, columns] = np.array(entries, dtype=np.float64)
        names = layer.activations * (layer.outputs // len(layer.activations))
        for name in set(names):
            slopes = activation(name).slopes
            if slopes is not None and not slopes[0] <= slopes[1]:
                raise HypothesisError(f"The activation {name} is not convex. Use another one.")
            if slopes is None:
                smooth(name)
        stages.append(Stage(weight, bias, names))
    return stages


def beside_zero(stages: list[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Return a chain that computes what the given one computes, and one of the same shape whose outputs are 0.

    All weights of the second one are 0. Where an activation of the last layer may differ from 0 at 0, as sigmoid and
    softplus do, both chains go on through an identity.
    """
    if any(activation(name).slopes is None for name in stages[-1].names):
        outputs = len(stages[-1].names)
        stages = [*stages, Stage(np.eye(outputs), np.zeros(outputs), ("identity",) * outputs)]
    return stages, [Stage(np.zeros(s.weight.shape), np.zeros(s.bias.shape), s.names) for s in stages]


def aligned(first: list[Stage], second: list[Stage]) -> tuple[list[Stage], list[Stage]]:
    """Return two chains of equal shape and activations that compute what the given ones compute.

    Chains of one architecture are paired neuron by neuron. Others are placed beside each other: every neuron of one has
    a neuron with weights 0 for its partner, and the shorter chain hands its values on through identities.
    """
    if [s.names for s in first] == [s.names for s in second]:
        return first, second
    outputs = len(first[-1].names)
    names, depth = ("identity",) * outputs, max(len(first), len(second))
    if {*first[-1].names, *second[-1].names} != {"identity"}:
        depth += 1
    carrier = Stage(np.eye(outputs), np.zeros(outputs), names)
    one, two = (stages + [carrier] * (depth - len(stages)) for stages in (first, second))
    found: tuple[list[Stage], list[Stage]] = ([], [])
    for number, (a, b) in enumerate(zip(one, two, strict=True), 1):
        (n, i), (m, j) = a.weight.shape, b.weight.shape
        shared, last = number == 1, number == depth
        shape = (n if last else n + m, i if shared else i + j)
        for own, stage, row, column in ((0, a, 0, 0), (1, b, 0 if last else n, 0 if shared else i)):
            weight, bias = np.zeros(shape), np.zeros(shape[0])
            rows, columns = stage.weight.shape
            weight[row : row + rows, column : column + columns] = stage.weight
            bias[row : row + rows] = stage.bias
            found[own].append(Stage(weight, bias, names if last else a.names + b.names))
    return found


class _Level:
    """One layer of both chains: its matrices, its activations, and bounds on the domain, filled in as they are found.

    Attributes:
        w, v, d, b, db: W, V, W - V, b, b - c.
        left, right: the slopes of each neuron, 0 and 1 where it is smooth.
        smooth: the smooth activations with their neurons.
        fixed: (2, n) the sides that the weights alone decide.
        weight_p, weight_q: what multiplies |P| and |Q| in the error of the affine step and the activation before.
        constant: its constant part, for what underflows.
        z, dz: ranges (lower, upper) on the domain.
        h, dh: bounds of |h| and |dh| on the domain.
        values, changes: ranges of h and dh on the domain.
    """

    def __init__(self, one: Stage, two: Stage) -> None:
        self.w, self.v, self.b = one.weight, two.weight, one.bias
        self.d, self.db = one.weight - two.weight, one.bias - two.bias
        slopes = [activation(name).slopes for name in one.names]
        self.left = np.array([0.0 if pair is None else float(pair[0]) for pair in slopes])
        self.right = np.array([1.0 if pair is None else float(pair[1]) for pair in slopes])
        kinds = sorted({name for name, pair in zip(one.names, slopes, strict=True) if pair is None})
        self.smooth = [(smooth(name), np.array([own == name for own in one.names])) for name in kinds]
        self.curved = np.array([pair is None for pair in slopes])
        self.bent = self.curved | (self.left != self.right)
        zero = np.array([~s.weight.any(axis=1) & (s.bias == 0) for s in (one, two)])
        self.fixed = np.where(~self.bent, 1, np.where(zero & ~self.curved, -1, 0)).astype(np.int8)
        self.weight_p = self.weight_q = self.h = self.dh = np.zeros(0)
        self.z = self.dz = self.values = self.changes = (np.zeros(0), np.zeros(0))
        self.constant = 0.0

    def propagate(self, values: Interval, changes: Interval) -> None:
        """Set the errors of the affine step and the ranges of z and dz from those of h and dh before it.

        An interval is a center, some float64 number in it, with a radius, rounded up: W h lies within |W| radius of
        W center, and the errors of both products are at most `factor` times |W||h| each.
        """
        h, dh = (np.maximum(np.abs(low), np.abs(high)) for low, high in (values, changes))
        terms = self.w.shape[1]
        loss = 2 * terms * TINY
        q = np.abs(self.w) @ h + np.abs(self.b) + loss
        p = np.abs(self.v) @ dh + np.abs(self.d) @ h + np.abs(self.db) + loss
        factor = dot_error(2 * terms + len(q))
        self.weight_p, self.weight_q = factor * p + loss, factor * q + loss
        self.constant = 8 * (terms + len(q)) * TINY * (1 + float(h.sum() + dh.sum()))
        (center, radius), (middle, reach) = _ball(values), _ball(changes)
        z, dz = self.w @ center + self.b, self.v @ middle + self.d @ center + self.db
        wide = (np.abs(self.w) @ radius + 4 * self.weight_q) * _INFLATE
        broad = (np.abs(self.v) @ reach + np.abs(self.d) @ radius + 4 * self.weight_p) * _INFLATE
        self.z, self.dz = (down(z - wide), up(z + wide)), (down(dz - broad), up(dz + broad))

    def settle(self, z: Interval, dz: Interval, second: Interval) -> None:
        """Keep the ranges on the domain, and derive the bounds of |h| and |dh| and the errors of the activation."""
        self.z, self.dz = z, dz
        size, change = (np.maximum(np.abs(low), np.abs(high)) for low, high in (z, dz))
        least, most = self.secants(np.minimum(z[0], second[0]), np.maximum(z[1], second[1]))
        steepest = np.maximum(np.abs(least), np.abs(most))
        at_ends = [np.where(end > 0, self.right, self.left) * end for end in z]
        low, high = np.minimum(*at_ends), np.maximum(*at_ends)
        low = np.where((z[0] < 0) & (z[1] > 0), np.minimum(low, 0.0), low)
        for sigma, own in self.smooth:
            low[own], high[own] = sigma.range(z[0][own], z[1][own])
        self.values = down(low), up(high)
        self.changes = -up(steepest * change), up(steepest * change)
        self.h, self.dh = np.maximum(np.abs(self.values[0]), np.abs(self.values[1])), self.changes[1]
        self.weight_p = self.weight_p + 4 * UNIT * (size + change) * _INFLATE
        self.weight_q = self.weight_q + 4 * UNIT * size * _INFLATE
        self.constant += 8 * len(size) * TINY * float(size.sum() + change.sum() + self.h.sum())

    def secants(self, lower: Array, upper: Array, columns: NDArray[np.int64] | None = None) -> tuple[Array, Array]:
        """Enclose the slopes of the activations on intervals, of all neurons or of those in `columns`."""
        columns = np.arange(len(self.left)) if columns is None else columns
        left, right = self.left[columns], self.right[columns]
        least, most = np.where(lower >= 0, right, left), np.where(upper <= 0, left, right)
        for sigma, neurons in self.smooth:
            own = neurons[columns]
            least[own], most[own] = sigma.slopes(lower[own], upper[own])
        return least, most

    def lines(self, lower: Array, upper: Array, columns: NDArray[np.int64]) -> tuple[Line, Line]:
        """Enclose the activations of the neurons `columns` between lines on intervals."""
        below, above = kinked_lines(self.left[columns], self.right[columns], lower, upper)
        for sigma, neurons in self.smooth:
            own = neurons[columns]
            found = smooth_lines(sigma, lower[own][None], upper[own][None])
            for line, (slopes, offsets) in zip((below, above), found, strict=True):
                line[0][own], line[1][own] = slopes[0], offsets[0]
        return below, above


@dataclass(slots=True)
class _Relaxed:
    """The relaxation of one layer on a batch of boxes; arrays (boxes, n).

    h lies above low z + low_offset and below high z + high_offset; dh lies above separate (h - p z) + p dz + r for
    (p, r) = (p_low, r_low), and below the same for (p_high, r_high).
    """

    low: Array
    low_offset: Array
    high: Array
    high_offset: Array
    p_low: Array
    r_low: Array
    p_high: Array
    r_high: Array
    separate: Array


_Form = tuple[Array | None, Array, Array, Array]
"""(A, C, offset, error): A dh + C h + offset - error, where A = None stands for 0."""


@dataclass(frozen=True, slots=True)
class Found:
    """Bounds on a batch of boxes.

    Attributes:
        upper: (boxes, rows) upper bounds of the rows of the functional; inf where nothing is known, -inf where no bound
            was asked for.
        slopes: (boxes, d): the largest of them comes from an affine function of x with these slopes.
        sides: what is now known of the sides of the arguments.
    """

    upper: Array
    slopes: Array
    sides: Sides


class Differential:
    """The differential relaxation of two chains of equal shape on a domain and its parts.

    Attributes:
        root: what is known of the sides on the domain.
        batch: how many boxes to bound at once.

    Args:
        first, second: chains as `aligned` returns them.
        lower, upper: the ends (d,) of the domain in float64, rounded outward.

    Raises:
        DomainError: the domain does not fit, or a bound exceeds float64.
    """

    def __init__(self, first: list[Stage], second: list[Stage], lower: Array, upper: Array) -> None:
        fits = lower.shape == upper.shape == (first[0].weight.shape[1],)
        if not (fits and np.isfinite(lower).all() and np.isfinite(upper).all() and (lower <= upper).all()):
            raise DomainError("The domain does not fit the inputs of the networks. Give one interval for each input.")
        self.levels = [_Level(one, two) for one, two in zip(first, second, strict=True)]
        self._starts = np.cumsum([0, *(len(level.left) for level in self.levels)])
        self._size = np.maximum(np.abs(lower), np.abs(upper))
        self._settled = 0
        size = max(int(self._starts[-1]), len(self.levels[-1].left) * len(lower) // 32)
        self.batch = max(2, min(256, 2**16 // size))
        with np.errstate(all="ignore"):
            self.root = self._sweep(lower[None], upper[None], self._fixed())[1]

    def bounds(self, lower: Array, upper: Array, sides: Sides, functional: Array, rows: NDArray[np.bool_]) -> Found:
        """Bound rows of functional (y - y') from above on boxes inside the domain.

        Args:
            lower: the lower ends, (boxes, d).
            upper: the upper ends, (boxes, d).
            sides: what is known of the sides on each box, from a box around it; `root` holds on the whole domain.
            functional: (rows, outputs).
            rows: (boxes, rows): which of them are asked for.
        """
        with np.errstate(all="ignore"):
            relaxed, sides = self._sweep(lower, upper, sides)
            owner, row = np.nonzero(rows)

            def start(part: slice) -> _Form:
                a, zero = -functional[row[part]], np.zeros(len(row[part]))
                return a, np.zeros_like(a), zero, zero

            low, slopes = self._descend(len(self.levels), start, owner, relaxed, lower, upper)
        found = np.full(rows.shape, -np.inf)
        found[owner, row] = -low
        first = np.searchsorted(owner, np.arange(len(lower)))
        asked = rows.any(axis=1)
        steepest = np.zeros_like(lower)
        steepest[asked] = slopes[first[asked] + _rank(found, rows)[asked]]
        return Found(found, -steepest, sides)

    def _fixed(self) -> Sides:
        return np.concatenate([level.fixed for level in self.levels], axis=1)[None]

    def _sweep(self, lower: Array, upper: Array, sides: Sides) -> tuple[list[_Relaxed], Sides]:
        """Relax layer after layer; the first sweep, over the domain, finds the bounds that rounding errors need."""
        sides, relaxed = sides.copy(), []
        root = self._settled < len(self.levels)
        values, changes = (lower[0], upper[0]), (np.zeros_like(self._size), np.zeros_like(self._size))
        for number, level in enumerate(self.levels):
            own = sides[:, :, self._starts[number] : self._starts[number + 1]]
            if root:
                level.propagate(values, changes)
                if not (np.isfinite(level.weight_p).all() and np.isfinite(level.weight_q).all()):
                    raise DomainError(f"The range of layer {number + 1} exceeds float64. Scale the weights.")
                need = np.ones((1, len(level.left)), dtype=bool)
            else:
                need = level.curved | ((own == 0).any(axis=1) & level.bent)
            boxes, neurons = np.nonzero(need)
            z, dz = self._ranges(number, boxes, neurons, relaxed, lower, upper)
            if root:
                level.settle(z, dz, (down(z[0] - dz[1]), up(z[1] - dz[0])))
                values, changes = level.values, level.changes
                self._settled += 1
            relaxed.append(_relax(level, own, boxes, neurons, z, dz))
        return relaxed, sides

    def _ranges(
        self,
        number: int,
        boxes: NDArray[np.int64],
        neurons: NDArray[np.int64],
        relaxed: list[_Relaxed],
        lower: Array,
        upper: Array,
    ) -> tuple[Interval, Interval]:
        """Return ranges of z and dz for some neurons of a layer, each on a box."""
        level = self.levels[number]
        owner, chosen = np.concatenate((boxes, boxes)), np.concatenate((neurons, neurons))
        sign = np.repeat([1.0, -1.0], len(boxes))

        # The products of a unit vector with the matrices are exact; the errors are those of one row.
        def value(part: slice) -> _Form:
            own, rows = chosen[part], sign[part, None]
            return None, rows * level.w[own], sign[part] * level.b[own], level.weight_q[own] + level.constant

        def change(part: slice) -> _Form:
            own, rows = chosen[part], sign[part, None]
            error = level.weight_p[own] + level.constant
            a = rows * level.v[own] if number else None
            return a, rows * level.d[own], sign[part] * level.db[own], error

        z, dz = (self._descend(number, start, owner, relaxed, lower, upper)[0] for start in (value, change))
        half = len(boxes)
        return (
            (np.maximum(z[:half], level.z[0][neurons]), np.minimum(-z[half:], level.z[1][neurons])),
            (np.maximum(dz[:half], level.dz[0][neurons]), np.minimum(-dz[half:], level.dz[1][neurons])),
        )

    def _descend(
        self,
        number: int,
        start: Callable[[slice], _Form],
        owner: NDArray[np.int64],
        relaxed: list[_Relaxed],
        lower: Array,
        upper: Array,
    ) -> tuple[Array, Array]:
        """Bound linear forms of the values after `number` layers from below, block by block.

        Returns:
            Lower bounds (rows,), -inf where the computation left float64, and the slopes (rows, d) they come from,
            those of the last layer only.
        """
        width = max(self._size.size, *(len(level.left) for level in self.levels))
        block, last = max(16, _BLOCK // width), number == len(self.levels)
        low, slopes = np.empty(len(owner)), np.empty((len(owner) if last else 0, self._size.size))
        for begin in range(0, len(owner), block):
            part = slice(begin, begin + block)
            box = owner[part]
            c, offset, error = self._substitute(number, start(part), box, relaxed)
            value = (np.maximum(c, 0.0) * lower[box] + np.minimum(c, 0.0) * upper[box]).sum(axis=1)
            terms = self._size.size + 2
            error = error + dot_error(terms) * (np.abs(c) @ self._size) + 4 * terms * TINY
            low[part] = down(down(value + offset) - error * _INFLATE)
            if last:
                slopes[part] = c
        return np.where(np.isfinite(low), low, -np.inf), slopes

    def _substitute(
        self,
        number: int,
        form: _Form,
        owner: NDArray[np.int64],
        relaxed: list[_Relaxed],
    ) -> tuple[Array, Array, Array]:
        """Return C x + offset - error below a form of the values after `number` layers."""
        a, c, offset, error = form
        for level, lines in zip(reversed(self.levels[:number]), reversed(relaxed[:number]), strict=True):
            p: Array | None = None
            shared: Array | None = None
            if a is not None:
                positive, negative = np.maximum(a, 0.0), np.minimum(a, 0.0)
                p = positive * lines.p_low[owner] + negative * lines.p_high[owner]
                gain = positive * lines.r_low[owner] + negative * lines.r_high[owner]
                offset, error = _add(gain, offset, error)
                separate = lines.separate[owner]
                c, shared = c + a * separate, p * separate
            positive, negative = np.maximum(c, 0.0), np.minimum(c, 0.0)
            q = positive * lines.low[owner] + negative * lines.high[owner]
            gain = positive * lines.low_offset[owner] + negative * lines.high_offset[owner]
            offset, error = _add(gain, offset, error)
            error = error + 4 * UNIT * (np.abs(c) @ level.h) + level.constant
            if shared is not None:
                q = q - shared
            c = q @ level.w
            offset, error = down(offset + q @ level.b), error + np.abs(q) @ level.weight_q
            a = None
            if p is not None:
                c = c + p @ level.d
                offset, error = down(offset + p @ level.db), error + np.abs(p) @ level.weight_p
                if level is not self.levels[0] and p.any():
                    a = p @ level.v
        return c, offset, error


def _ball(ends: Interval) -> Interval:
    """Return a float64 number in each interval and how far the ends are from it at most."""
    center = ends[0] / 2 + ends[1] / 2
    return center, up(np.maximum(up(ends[1] - center), up(center - ends[0])))


def _rank(found: Array, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the asked rows come before the largest one."""
    best = found.argmax(axis=1)
    return (np.cumsum(rows, axis=1) - rows)[np.arange(len(best)), best]


def _add(terms: Array, offset: Array, error: Array) -> tuple[Array, Array]:
    """Add the rows of products to the offset, and what their rounding may be to the error."""
    count = 2 * terms.shape[1]
    loss = dot_error(count) * np.abs(terms).sum(axis=1) + count * TINY
    return down(offset + terms.sum(axis=1)), error + loss


def _relax(
    level: _Level,
    sides: Sides,
    boxes: NDArray[np.int64],
    neurons: NDArray[np.int64],
    z: Interval,
    dz: Interval,
) -> _Relaxed:
    """Relax a layer, given the ranges of its neurons that are not decided; `sides` is brought up to date."""
    second = down(z[0] - dz[1]), up(z[1] - dz[0])
    place = (boxes, neurons)
    for own, (low, high) in enumerate((z, second)):
        known = sides[:, own][place]
        kinked = level.bent[neurons] & ~level.curved[neurons]
        low[kinked & (known > 0)] = np.maximum(low, 0.0)[kinked & (known > 0)]
        high[kinked & (known < 0)] = np.minimum(high, 0.0)[kinked & (known < 0)]
        found = np.where(low >= 0, 1, np.where(high <= 0, -1, 0))
        sides[:, own][place] = np.where(known != 0, known, np.where(kinked, found, 0))
    slope, other = (np.where(sides[:, own] > 0, level.right, level.left) for own in (0, 1))
    none = np.zeros(slope.shape)
    separate = (slope != other).astype(np.float64)
    result = _Relaxed(
        slope, none, slope.copy(), none.copy(), other, none.copy(), other.copy(), none.copy(), separate
    )  # fmt: skip
    if not len(boxes):
        return result
    below, above = level.lines(*z, neurons)
    for field, line in ((("low", "low_offset"), below), (("high", "high_offset"), above)):
        for name, values in zip(field, line, strict=True):
            getattr(result, name)[place] = values
    least, most = level.secants(np.minimum(z[0], second[0]), np.maximum(z[1], second[1]), neurons)
    top = kinked_lines(least, most, *dz)[1]
    bottom = kinked_lines(least, most, -dz[1], -dz[0])[1]
    own_below, own_above = level.lines(*second, neurons)
    apart = _gap(own_below, own_above, second) + _gap(below, above, z) < _gap((bottom[0], -bottom[1]), top, dz)
    result.separate[place] = apart
    result.p_low[place] = np.where(apart, own_above[0], bottom[0])
    result.r_low[place] = -np.where(apart, own_above[1], bottom[1])
    result.p_high[place] = np.where(apart, own_below[0], top[0])
    result.r_high[place] = np.where(apart, -own_below[1], top[1])
    return result


def _gap(below: Line, above: Line, ends: Interval) -> Array:
    """Return about the largest distance between two lines on an interval."""
    slope, offset = above[0] - below[0], above[1] - below[1]
    return np.maximum(slope * ends[0], slope * ends[1]) + offset
