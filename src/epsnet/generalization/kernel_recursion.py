r"""The recursion of the kernels through the layers of a network of infinite width.

A state holds, for every pair of points (and of pixels), the covariance K = E u v of a neuron and the tangent kernel
Theta. With F, G of `dual_activations`:

* dense: K <- w^2 K + beta^2, then Theta <- w^2 Theta + K ("ntk") or w^2 Theta + n K_before + 1[beta > 0] ("standard");
* activation: K <- F(K_11, K_22, K_12), Theta <- Theta G;
* convolution: the mean of K_{p+d, q+d} over the offsets d of the window, zeros outside the image, then as dense;
* residual sum: K and Theta of the summands add up; pool: the mean over both windows; flatten: the mean over p = q;
* layer norm: K <- K/((K_11 + eps)(K_22 + eps))^(1/2), Theta likewise; dropout: K_11 <- K_11/keep, Theta_11 likewise.

Without pooling before it, flatten needs p = q only: O(P) numbers for a pair of images with P pixels, not O(P^2).

**Nearly collinear pairs** are carried beside K by sign and deficit = 1 - abs(rho) (see `dual_activations`). Any sum of
independent parts k = 1, 2, ... (bias, pixels of a window, summands) with deficits g_k of one sign has

$$ g = \sum_k e_k e'_k\, g_k + \tfrac12 \sum_k (e_k - e'_k)^2, \qquad
   e_k = \bigl(K_{11}^{(k)}/\sum_l K_{11}^{(l)}\bigr)^{1/2}, $$

e' likewise from K_22, and 2 - g_k for the parts of the other sign. All terms are >= 0, nothing cancels. Pooling and
global averages mix covariances of different pixels; there the deficit is 1 - abs(rho) as computed, and below `LOST` it
counts as 0.

Sources: A. Jacot, F. Gabriel, C. Hongler, Neural tangent kernel, NeurIPS 31 (2018); S. Arora et al., On exact
computation with an infinitely wide neural net, NeurIPS 32 (2019); R. Novak et al., Bayesian deep convolutional networks
with many channels are Gaussian processes, ICLR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.generalization.dual_activations import NEAR, Floats, HalfLines
from epsnet.generalization.kernel_windows import (
    aligned,
    all_equal,
    mix,
    places_along,
    root_minus_one,
    together,
    vector_deficits,
    weighted,
    windows,
)
from epsnet.generalization.wide_network import (
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    LayerNorm,
    Pool,
    Residual,
    WideLayer,
    WideNetwork,
)

LOST = 1e-14
"""After pooling, a deficit below this is rounding error and counts as 0."""

Step = WideLayer | Literal["split", "add"]


@dataclass(frozen=True)
class Near:
    """The pairs whose deficit is known beyond what their covariance tells.

    Attributes:
        index: places in the flattened array of pairs, increasing.
        sign, deficit: of rho.
        slope: 1 - Theta_12/(Theta_11 Theta_22)^(1/2), where the sign is +1.
        ratio, turn: (K_22/K_11)^(1/2) - 1, and the same for Theta; these and the slope in exact programs only.
    """

    index: Any
    sign: Floats
    deficit: Floats
    slope: Floats
    ratio: Floats
    turn: Floats


@dataclass(frozen=True)
class Own:
    """Variances and tangent kernels of the points with themselves, shape (n, *pixels)."""

    k: Floats
    t: Floats

    def __getitem__(self, rows: Any) -> Own:
        return Own(self.k[rows], self.t[rows])


@dataclass(frozen=True)
class Pairs:
    """Covariances and tangent kernels of pairs: shape batch + pixels, pixels twice if `crossed`.

    Attributes:
        c, t: the kernels.
        equal: pairs that depend on equal inputs in the same way, so that rho = 1 exactly.
        near: the other near pairs, if their deficits are needed.
    """

    c: Floats
    t: Floats
    equal: Any
    near: Near | None = None


class Program:
    """A network as a list of steps, residual sums being split and add.

    Attributes:
        steps: the steps.
        fans: n of each dense layer and convolution, None elsewhere.
        exact: whether the deficits of both kernels are asked for, besides the kernels.
        deficits: for each step, whether those of K are needed after it.
        crossed: whether all pairs of pixels are needed.
        half_lines: whether all activations with kinks are half-line functions, to which equal pairs are no exception.
    """

    def __init__(self, net: WideNetwork, shape: Sequence[int], exact: bool = False) -> None:
        self.net, self.shape, self.exact = net, tuple(shape), exact
        net.output_shape(shape)
        self.steps: list[Step] = list(_flat(net.layers))
        self.crossed = any(isinstance(step, Pool | GlobalAverage) for step in self.steps)
        kinked = [isinstance(step, Activation) and step.dual.kinked for step in self.steps]
        self.deficits = [exact or any(kinked[i + 1 :]) for i in range(len(self.steps))]
        self.deficits_at_input = exact or any(kinked)
        self.half_lines = all(
            isinstance(step.dual, HalfLines) for step in self.steps if isinstance(step, Activation) and step.dual.kinked
        )
        self.fans = list(self._fans())

    def _fans(self) -> Iterator[int | None]:
        channels, pixels = self.shape[-1], self.shape[:-1]
        for step in self.steps:
            yield channels * (step.size**2 if isinstance(step, Conv) else 1) if isinstance(step, Dense | Conv) else None
            match step:
                case Dense() | Conv():
                    channels = self.net.width or 1
                case Flatten():
                    channels *= math.prod(pixels)
                case _:
                    pass
            if isinstance(step, Conv | Pool):
                pixels = tuple(places_along(step, n)[0] for n in pixels)

    def affine(self, i: int, step: Dense | Conv, k: Any, t: Any) -> tuple[Any, Any]:
        """Return w^2 K + beta^2 and the tangent kernel after layer i; K and Theta are sums over the window."""
        share = step.size**-2 if isinstance(step, Conv) else 1.0
        square, bias = share * step.weight_std**2, step.bias_std**2
        new = square * k
        if bias:
            new += bias
        tangent = square * t
        if self.net.parametrization == "ntk":
            tangent += new
            return new, tangent
        return new, tangent + (self.fans[i] or 0) * share * k + float(bias > 0)


def _flat(layers: Sequence[WideLayer]) -> Iterator[Step]:
    for layer in layers:
        if isinstance(layer, Residual):
            yield "split"
            yield from _flat(layer.layers)
            yield "add"
        else:
            yield layer


def own_states(program: Program, x: Floats) -> list[Own]:
    """Return the states of the points x (n, *shape) with themselves, before the first step and after each.

    Raises:
        PrecisionError: one of them is not finite.
    """
    # What overflows is reported by name, not by a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        states = _crossed_states(program, x) if program.crossed else _plain_states(program, x)
    if not all(np.isfinite(state.k).all() and np.isfinite(state.t).all() for state in states):
        raise PrecisionError("A kernel is beyond the range of float64. Use smaller inputs or a smaller weight_std.")
    return states


def _crossed_states(program: Program, x: Floats) -> list[Own]:
    run = PairRun(program, [], [], zipped=True)
    run.columns = run.rows
    run.run(x, x)
    return run.rows


def _plain_states(program: Program, x: Floats) -> list[Own]:
    k = np.einsum("...c,...c->...", x, x) / x.shape[-1]
    states, stack = [Own(k, np.zeros_like(k))], []
    for i, step in enumerate(program.steps):
        if step == "split":
            stack.append(states[-1])
        part = stack.pop() if step == "add" else None
        states.append(_own_step(program, i, states[-1], part))
    return states


def _own_step(program: Program, i: int, state: Own, part: Own | None) -> Own:
    k, t = state.k, state.t
    match program.steps[i]:
        case (Dense() | Conv()) as step:
            if isinstance(step, Conv):
                k, t = (windows(a, [(1,), (2,)], step) for a in (k, t))
            return Own(*program.affine(i, step, k, t))
        case Activation() as step:
            f, g = step.dual.own(k)
            return Own(f, t * g)
        case Flatten():
            return Own(k.mean(axis=(1, 2)), t.mean(axis=(1, 2)))
        case LayerNorm() as step:
            scale = _normalizer(k, step)
            return Own(k / scale, t / scale)
        case Dropout() as step:
            return Own(k / step.keep, t / step.keep)
        case "add":
            assert part is not None
            return Own(k + part.k, t + part.t)
        case _:
            return state


def _normalizer(k: Floats, step: LayerNorm) -> Floats:
    if np.any(k + step.epsilon == 0):
        raise DomainError("A layer norm divides by 0, for a zero input. Remove it, or use a positive epsilon.")
    return k + step.epsilon


Deficits = tuple[Floats, Floats, Floats, Floats, Floats]
"""Sign, deficit, slope, ratio and turn (see `Near`) of some pairs."""

Renew = Callable[[Any], Deficits]
"""The deficits after a step of the pairs at some places."""

Advance = tuple[Pairs, Renew | None, bool]
"""The state after a step, its deficits if they changed, and whether other pairs may be near now."""


class PairRun:
    """The recursion for pairs of points: every x with every y, or the first with the first and so on (`zipped`).

    Attributes:
        rows, columns: the states of the points with themselves, before the first step and after each; empty
            if they are to be found, of x zipped with x.
        same: (n, m), which x is which y; None if none is.
    """

    def __init__(
        self, program: Program, rows: list[Own], columns: list[Own], zipped: bool = False, same: Any = None
    ) -> None:
        self.program, self.rows, self.columns = program, rows, columns
        self.zipped, self.same = zipped, same
        self.batch = 1 if zipped else 2
        self.found_here = not rows

    def run(self, x: Floats, y: Floats, equal: Any = None) -> Pairs:
        """Return the state of the points x (n, *shape) and y (m, *shape) after the last step.

        Args:
            x: points.
            y: points.
            equal: (n, m), which points are equal; for images it is found pixel by pixel.
        """
        program = self.program
        c = self._products(x, y)
        state = Pairs(c, np.zeros_like(c), self._equal(x, y) if equal is None else equal)
        self._record(state)
        if program.deficits_at_input and not isinstance(program.steps[0], Dense | Conv):
            state = self._near_of_vectors(state, 0, None, x, y)
        stack: list[tuple[int, Pairs]] = []
        for i, step in enumerate(program.steps):
            if step == "split":
                stack.append((i, state))
                self._record(state)
                continue
            new, renew, fresh = self._add(i, state, *stack.pop()) if step == "add" else self._advance(i, step, state)
            self._record(new)
            if i == 0 and program.deficits_at_input and isinstance(step, Dense | Conv):
                new = self._near_of_vectors(new, 1, step, x, y)
            elif program.deficits[i]:
                new = replace(new, near=self._next_near(i, state, new, renew, fresh))
            state = new
        return state

    def _next_near(self, i: int, state: Pairs, new: Pairs, renew: Renew | None, fresh: bool) -> Near | None:
        """Return the near pairs after step i: those of before, or, if `fresh`, those that are found."""
        if renew is None or state.near is None:
            return state.near
        index = self._detect(new, i + 1) if fresh else state.near.index
        sign, deficit, slope, ratio, turn = renew(index)
        if self.program.exact:
            slope = self._slopes(new, i + 1, index, slope)
        return Near(index, sign, deficit, slope, ratio, turn)

    def _slopes(self, state: Pairs, i: int, index: Any, slope: Floats) -> Floats:
        """Replace the slopes that are unknown (NaN) by what the tangent kernel tells."""
        a, b = self._variances(i, state.c.shape, index, "t")
        scale = np.sqrt(a) * np.sqrt(b)
        rough = 1 - np.divide(state.t.ravel()[index], scale, out=np.ones_like(scale), where=scale > 0)
        return np.where(np.isnan(slope), rough, slope)

    # Where a pair stands

    def _record(self, state: Pairs) -> None:
        if not self.found_here:
            return
        if state.c.ndim == 1:
            self.rows.append(Own(state.c, state.t))
        else:
            self.rows.append(Own(*(np.einsum("ahwhw->ahw", a).copy() for a in (state.c, state.t))))

    def _spread(self, row: Floats, column: Floats) -> tuple[Floats, Floats]:
        """Return arrays of the points with themselves, so that they broadcast to pairs."""
        pixels = row.ndim - 1
        ones = (1,) * pixels if self.program.crossed else ()
        if not self.zipped:
            row, column = row[:, None], column[None]
        row_shape, column_shape = (*row.shape, *ones), (*column.shape[: self.batch], *ones, *column.shape[self.batch :])
        return row.reshape(row_shape), column.reshape(column_shape)

    def _places(self, shape: tuple[int, ...], index: Any) -> tuple[Any, Any, Any, Any]:
        """Return the points and pixels, (row, p, column, q), of flattened pairs."""
        places = np.unravel_index(index, shape)
        row, column, pixels = (places[0], places[0], places[1:]) if self.zipped else (*places[:2], places[2:])
        half = len(pixels) // 2 if self.program.crossed else len(pixels)
        return row, pixels[:half], column, pixels[half:] if self.program.crossed else pixels

    def _variances(self, i: int, shape: tuple[int, ...], index: Any, name: str = "k") -> tuple[Floats, Floats]:
        row, p, column, q = self._places(shape, index)
        return getattr(self.rows[i], name)[row, *p], getattr(self.columns[i], name)[column, *q]

    def _deficits(self, i: int, state: Pairs, index: Any) -> Deficits:
        """Return what is known about pairs before step i: exactly if they are near, from the covariance otherwise."""
        a, b = self._variances(i, state.c.shape, index)
        scale = np.sqrt(a) * np.sqrt(b)
        rho = np.divide(state.c.ravel()[index], scale, out=np.ones_like(scale), where=scale > 0)
        sign, deficit = np.where(rho >= 0, 1.0, -1.0), np.maximum(1 - np.abs(rho), 0.0)
        found = (sign, deficit, np.zeros_like(deficit), *self._ratios(i, state.c.shape, index))
        near = state.near
        if near is not None and len(near.index):
            at = np.minimum(np.searchsorted(near.index, index), len(near.index) - 1)
            known = near.index[at] == index
            sources = (near.sign, near.deficit, near.slope, near.ratio, near.turn)
            for target, source in zip(found, sources if self.program.exact else sources[:2], strict=False):
                target[known] = source[at[known]]
        return found

    def _ratios(self, i: int, shape: tuple[int, ...], index: Any) -> tuple[Floats, Floats]:
        """Return ratio and turn by division, if the program is exact."""
        if not self.program.exact:
            return np.zeros(index.shape), np.zeros(index.shape)
        ratio, turn = (
            np.sqrt(np.divide(b, a, out=np.ones_like(a), where=a > 0)) - 1
            for a, b in (self._variances(i, shape, index, name) for name in "kt")
        )
        return ratio, turn

    def _detect(self, state: Pairs, i: int) -> Any:
        row, column = self._spread(np.sqrt(self.rows[i].k), np.sqrt(self.columns[i].k))
        near = np.abs(state.c) > (1 - NEAR) * row * column
        if self.program.half_lines:
            near &= ~state.equal
        return np.flatnonzero(near)

    def _is_same(self, shape: tuple[int, ...], index: Any) -> Any:
        row, p, column, q = self._places(shape, index)
        pixel = np.all([s == t for s, t in zip(p, q, strict=True)], axis=0) if p else np.full(len(index), True)
        if self.zipped:
            return pixel
        return pixel & self.same[row, column] if self.same is not None else np.full(len(index), False)

    # The input

    def _products(self, x: Floats, y: Floats) -> Floats:
        x, y = x / math.sqrt(x.shape[-1]), y / math.sqrt(x.shape[-1])
        if x.ndim == 2:
            return np.einsum("ac,ac->a", x, y) if self.zipped else x @ y.T
        letters = f"ahwc,{'a' if self.zipped else 'b'}{'ij' if self.program.crossed else 'hw'}c->"
        batch = "a" if self.zipped else "ab"
        return np.einsum(letters + batch + ("hwij" if self.program.crossed else "hw"), x, y, optimize=True)

    def _equal(self, x: Floats, y: Floats) -> Any:
        """Return which pairs of points, or pixels, have equal inputs."""
        if x.ndim == 2:
            return np.full(len(x), True) if self.zipped else (x[:, None] == y[None]).all(axis=-1)
        equal: Any = True
        for channel in range(x.shape[-1]):
            row, column = self._spread(x[..., channel], y[..., channel])
            equal = (row == column) & equal
        return equal

    def _near_of_vectors(self, state: Pairs, i: int, step: Dense | Conv | None, x: Floats, y: Floats) -> Pairs:
        """Find the near pairs of the inputs, or of the first layer, by differences of floats, which are exact."""
        index = self._detect(state, i)
        row, p, column, q = self._places(state.c.shape, index)
        if step is not None:
            (used_x, row), (used_y, column) = (np.unique(points, return_inverse=True) for points in (row, column))
            x, y = weighted(step, x[used_x]), weighted(step, y[used_y])
        sign, deficit, ratio = np.empty((3, len(index)))
        for start in range(0, len(index), 4096):
            part = slice(start, start + 4096)
            u = x[row[part], *(s[part] for s in p)]
            v = y[column[part], *(s[part] for s in q)]
            sign[part], deficit[part], ratio[part] = vector_deficits(u, v)
        # The first layer has Theta = K.
        return replace(state, near=Near(index, sign, deficit, deficit, ratio, ratio))

    # The steps

    def _advance(self, i: int, step: Step, state: Pairs) -> Advance:
        match step:
            case Dense() | Conv():
                return self._linear(i, step, state)
            case Activation():
                return self._activate(i, step, state)
            case Flatten():
                return self._flatten(i, state)
            case Pool() | GlobalAverage():
                return self._pool(i, step, state)
            case LayerNorm():
                row, column = self._spread(*(_normalizer(own[i].k, step) for own in (self.rows, self.columns)))
                scale = np.sqrt(row) * np.sqrt(column)
                new = replace(state, c=state.c / scale, t=state.t / scale)
                return new, self._norm_ratios(i, step, state) if self.program.exact else None, False
            case Dropout():
                return self._drop(i, step.keep, state)
            case _:
                raise AssertionError(step)

    def _linear(self, i: int, step: Dense | Conv, state: Pairs) -> Advance:
        c, t, equal = state.c, state.t, state.equal
        if isinstance(step, Conv):
            c, t = (windows(a, together(self.batch, a.ndim), step) for a in (c, t))
            equal = all_equal(equal, step, self.batch)
        new = Pairs(*self.program.affine(i, step, c, t), equal)

        def renew(index: Any) -> Deficits:
            row, column, sign, deficit, ratio = self._window_parts(i, step, state, new.c.shape, index)
            bias = np.full((1, len(index)), step.bias_std * getattr(step, "size", 1) / step.weight_std)
            row, column = (np.concatenate([part, bias]) for part in (row, column))
            sign, deficit = np.concatenate([sign, bias * 0 + 1]), np.concatenate([deficit, bias * 0])
            if not self.program.exact:
                return _inexact(*mix(row, column, sign, deficit)[:2])
            after, mixed, ratio = mix(row, column, sign, deficit, np.concatenate([ratio, bias * 0]))
            slope, turn = self._linear_slope(i, step, state, index, after, mixed, ratio)
            return after, mixed, slope, ratio, turn

        # Without bias a dense layer changes no angle.
        return new, renew, isinstance(step, Conv) or step.bias_std > 0

    def _linear_slope(
        self, i: int, step: Dense | Conv, state: Pairs, index: Any, sign: Floats, deficit: Floats, ratio: Floats
    ) -> tuple[Floats, Floats]:
        """Return slope and turn after a dense layer, Theta = w^2 Theta_before + K being a sum of parts as K is."""
        before, _, slope, _, turn = self._deficits(i, state, index)
        old, new = self._variances(i, state.c.shape, index, "t"), self._variances(i + 1, state.c.shape, index)
        row, column = (np.sqrt(np.stack([step.weight_std**2 * t, k])) for t, k in zip(old, new, strict=True))
        signs, deficits, ratios = (np.stack(pair) for pair in ((sign * 0 + 1, sign), (slope, deficit), (turn, ratio)))
        after, mixed, turn = mix(row, column, signs, deficits, ratios)
        return np.where((before > 0) & (after > 0), mixed, np.nan), turn

    def _norm_ratios(self, i: int, step: LayerNorm, state: Pairs) -> Renew:
        """Return what a layer norm does to ratio and turn; it changes no angle."""

        def renew(index: Any) -> Deficits:
            sign, deficit, slope, ratio, turn = self._deficits(i, state, index)
            a, b = self._variances(i, state.c.shape, index)
            square = ratio * (2 + ratio) / (b + step.epsilon)
            other = turn * (2 + turn) * (1 - a * square) - a * square
            return sign, deficit, slope, root_minus_one(step.epsilon * square), root_minus_one(other)

        return renew

    def _window_parts(
        self, i: int, step: Dense | Conv, state: Pairs, after: tuple[int, ...], index: Any
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Return the parts of `mix`: the pixels of the windows, one for each offset, weight 0 outside the image."""
        places = [place[None] for place in np.unravel_index(index, after)]
        inside = [True, True]
        if isinstance(step, Conv):
            offsets = np.indices((step.size, step.size)).reshape(2, -1, 1)
            for k in range(self.batch, len(places)):
                axis, side = (k - self.batch) % 2, (k - self.batch) // 2
                length = state.c.shape[k]
                moved = places[k] * step.stride + offsets[axis] - places_along(step, length)[1]
                inside[side] = inside[side] & (moved >= 0) & (moved < length)
                places[k] = np.clip(moved, 0, length - 1)
            if not self.program.crossed:
                inside[1] = inside[0]
        source = np.ravel_multi_index(np.broadcast_arrays(*places), state.c.shape)
        a, b = self._variances(i, state.c.shape, source)
        sign, deficit, _, ratio, _ = self._deficits(i, state, source)
        return np.sqrt(a) * inside[0], np.sqrt(b) * inside[1], sign, deficit, ratio

    def _activate(self, i: int, step: Activation, state: Pairs) -> Advance:
        dual, near = step.dual, state.near
        a, b = self._spread(self.rows[i].k, self.columns[i].k)
        exact: Any = None
        if dual.kinked and near is not None:
            places = (*self._variances(i, state.c.shape, near.index), near.sign, near.deficit)
            exact = dual.near(*places)
        if isinstance(dual, HalfLines):
            # Row by row and column by column: fewer passes over the pairs than with their products.
            rho = state.c * _inverse(np.sqrt(a))
            rho *= _inverse(np.sqrt(b))
            np.copyto(rho, 1.0, where=state.equal)
            f, g = dual.normalized(rho)
            f *= np.sqrt(a)
            f *= np.sqrt(b)
        else:
            f, g = dual.pair(a, b, state.c)
        if exact is not None:
            f.ravel()[near.index], g.ravel()[near.index] = exact  # pyright: ignore
        # In place if it can be: half-line activations own their arrays.
        new = Pairs(f, np.multiply(g, state.t, out=g if isinstance(dual, HalfLines) else None), state.equal)

        def renew(index: Any) -> Deficits:
            sign, deficit, slope, ratio, turn = self._deficits(i, state, index)
            a, b = self._variances(i, state.c.shape, index)
            after, deficit_after = dual.next_deficit(a, b, sign, deficit)
            if not self.program.exact:
                return _inexact(after, deficit_after)
            factor = dual.slope_deficit(a, b, deficit)
            slope = np.where(sign > 0, slope + factor - slope * factor, np.nan)
            if not isinstance(dual, HalfLines):
                ratio, turn = self._ratios(i + 1, state.c.shape, index)
            return after, deficit_after, slope, ratio, turn

        return new, renew, not isinstance(dual, HalfLines)

    def _flatten(self, i: int, state: Pairs) -> Advance:
        shape = state.c.shape
        equal = aligned(state.equal) if self.program.crossed else state.equal
        c, t = (aligned(a) if self.program.crossed else a for a in (state.c, state.t))
        c, t, equal = c.mean(axis=(-1, -2)), t.mean(axis=(-1, -2)), equal.all(axis=(-1, -2))

        def renew(index: Any) -> Deficits:
            points = [place[None] for place in np.unravel_index(index, c.shape)]
            pixel = list(np.indices(self.rows[i].k.shape[1:]).reshape(2, -1, 1))
            pixel = pixel * 2 if self.program.crossed else pixel
            source = np.ravel_multi_index(np.broadcast_arrays(*points, *pixel), shape)
            a, b = self._variances(i, shape, source)
            return _inexact(*mix(np.sqrt(a), np.sqrt(b), *self._deficits(i, state, source)[:2])[:2])

        return Pairs(c, t, equal), renew, True

    def _pool(self, i: int, step: Pool | GlobalAverage, state: Pairs) -> Advance:
        axes = [(axis,) for axis in range(self.batch, state.c.ndim)]
        c, t = state.c, state.t
        if isinstance(step, GlobalAverage):
            c, t = (a.mean(axis=tuple(range(self.batch, a.ndim))) for a in (c, t))
            equal = aligned(state.equal).all(axis=(-1, -2))
        else:
            equal = all_equal(state.equal, step, self.batch)
            factor = step.size**-4 if step.kind == "average" else 1.0
            c, t = (windows(a, axes, step) * factor for a in (c, t))
        new = Pairs(c, t, equal)

        def renew(index: Any) -> Deficits:
            sign, deficit = self._deficits(i + 1, new, index)[:2]
            return _inexact(sign, np.where(deficit < LOST, 0.0, deficit))

        return new, renew, True

    def _drop(self, i: int, keep: float, state: Pairs) -> Advance:
        c, t = state.c.copy(), state.t.copy()
        everything = np.arange(c.size) if self.zipped or self.same is not None else np.arange(0)
        same = everything[self._is_same(c.shape, everything)]
        c.ravel()[same] /= keep
        t.ravel()[same] /= keep

        def renew(index: Any) -> Deficits:
            here = self._is_same(c.shape, index)
            sign, deficit = self._deficits(i, state, index)[:2]
            return _inexact(sign, np.where(here, deficit, 1 - keep + keep * deficit))

        # Two copies of a point are dropped apart from each other.
        equal = np.zeros_like(state.equal)
        equal.ravel()[same] = True
        return Pairs(c, t, equal & state.equal), renew, False

    def _add(self, i: int, state: Pairs, start: int, shortcut: Pairs) -> Advance:
        parts = ((i, state), (start, shortcut))

        def roots(name: str, index: Any) -> Iterator[Floats]:
            for sides in zip(*(self._variances(at, part.c.shape, index, name) for at, part in parts), strict=True):
                yield np.sqrt(np.stack(sides))

        def renew(index: Any) -> Deficits:
            known = zip(*(self._deficits(at, part, index) for at, part in parts), strict=True)
            sign, deficit, slope, ratio, turn = map(np.stack, known)
            row, column = roots("k", index)
            if not self.program.exact:
                return _inexact(*mix(row, column, sign, deficit)[:2])
            after, mixed, ratio = mix(row, column, sign, deficit, ratio)
            row, column = roots("t", index)
            _, slope, turn = mix(row, column, np.ones_like(sign), slope, turn)
            return after, mixed, slope, ratio, turn

        return Pairs(state.c + shortcut.c, state.t + shortcut.t, state.equal & shortcut.equal), renew, True


def _inexact(sign: Floats, deficit: Floats) -> Deficits:
    """Return the deficits of a program that is not exact."""
    return sign, deficit, deficit, deficit, deficit


def _inverse(root: Floats) -> Floats:
    return np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
