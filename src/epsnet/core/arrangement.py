r"""The largest value of a sum of rectified linear functions on the unit ball, by the faces of an arrangement of planes.

For rows $x_k \in R^d$ and weights $r_k$ let

$$ h(u) = \sum_k r_k \max(x_k \cdot u, 0), \qquad M = \max_{|u| \le 1} h(u). $$

**Theorem.** Let d of the rows, however chosen, be linearly independent, and let there be at least d. The rays
$\pm v_I$, orthogonal to the rows of a set I of d - 1 of them, are the rays of the arrangement of the planes
$x_k \cdot u = 0$, and the faces that touch a ray v are given by a choice of "on", "positive" or "negative" for every
row of I, all other rows having the signs they have at v. On a face with the rows F on it and the positive rows P, h is
$S \cdot u$ with $S = \sum_{k \in P} r_k x_k$. Let c be the projection of S to the orthogonal complement of F. Then M
is 0, or |c| for a face that contains c, and h(c) = |c|^2 there.

*Proof.* The arrangement is essential, so every face other than {0} has a ray in its closure; a ray lies on d - 1
independent planes and on no other. A maximizer u of norm 1 with h(u) > 0 lies in the relative interior of one face, on
the span V of which it is a local maximizer of a linear function on a sphere. Hence u = c/|c|, or V is a line, u one of
its two unit vectors and c = (S \cdot u) u again. QED.

So M <= b if for every ray and every choice |c| <= b or h(c) <= b |c|. Both are evaluated in float64 with error bounds
from the analysis of rounding (N. J. Higham, Accuracy and Stability of Numerical Algorithms, SIAM 2002, section 3.1),
and in balls where these do not decide. Rows need not be generic: moving x_k by e_k changes h by |r_k| |e_k| at most.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.errors import HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up

Floats = NDArray[np.float64]

MAX_DIMENSION = 4
MAX_ENTRIES = 2**28
"""Rays times rows: 812 rows in dimension 3, 16,384 in dimension 2."""

_MAX_UNDECIDED = 20_000
"""How many signs are taken in rationals."""

_MAX_BALLS = 2**22
"""Faces times rows that are taken in balls: a minute."""

_MAX_SUSPECTS = 2**18
"""The most faces that float64 leaves undecided."""

_BLOCK = 2**22
_UNIT = 2.0**-53
_SHORT = 2.0**-46
"""The error of a polynomial after at most 128 rounded operations, relative to the sum of the sizes of its terms."""
_TINY = 2.0**-500
"""More than what underflow adds anywhere, square roots of squares included."""
_OUT = 1 + 2.0**-30
"""Covers the rounding of error bounds themselves."""
_LARGEST = 2.0**200

ON, POSITIVE, NEGATIVE = range(3)
"""Where a face lies with respect to a row."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Some faces: one for each of some rays, all with the same choice.

    Attributes:
        rays: numbers of the sets of d - 1 rows.
        side: 1 or -1, which of the two opposite rays.
        choice: ON, POSITIVE or NEGATIVE for each row of a set.
        sums: S of the module.
    """

    rays: NDArray[np.int64]
    side: int
    choice: tuple[int, ...]
    sums: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Critical:
    """The projections c of the module, in float64.

    Attributes:
        point: (s, d), c times a factor.
        factor: (s,), the product of the squared norms of the vectors that c is made orthogonal to.
        reach: at least the factor, and the norm of the map of S to the point; no cancellation made it small.
        size: reach times the sum of the sizes of the entries of S.
    """

    point: Floats
    factor: Floats
    reach: Floats
    size: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """Planes through 0 in general position, with the signs of all rows at all rays, each of which is certain.

    Attributes:
        rows: (m, d), each scaled by a power of 2 to a norm from 1/2 to 2.
        exponents: (m,), the given rows are rows * 2^exponents.
        subsets: (s, d - 1), the rows that are orthogonal to a ray.
        rays: (s, d), up to rounding.
        positive: (s, m), whether a row is positive at a ray; the others, those of the subset apart, are negative.
    """

    rows: Floats
    exponents: NDArray[np.int64]
    subsets: NDArray[np.int64]
    rays: Floats
    positive: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Floats) -> Arrangement:
        """Return the arrangement of some rows.

        Args:
            rows: (m, d) finite, 1 <= d <= 4, m >= d.

        Raises:
            HypothesisError: d rows are dependent, or there are too many rows or dimensions.
        """
        count, dimension = rows.shape
        if not 1 <= dimension <= MAX_DIMENSION:
            raise HypothesisError(f"The rows have {dimension} entries. Use at most {MAX_DIMENSION}.")
        if count < dimension or count * comb(count, dimension - 1) > MAX_ENTRIES:
            raise HypothesisError(f"{count} rows in dimension {dimension} are too few or too many. Use another number.")
        largest = np.abs(rows).max(axis=1)
        if not (np.isfinite(largest).all() and (largest > 2.0**-200).all() and (largest < _LARGEST).all()):
            raise HypothesisError("A row is zero or out of scale. Leave it out, or scale the data.")
        exponents = np.frexp(largest)[1].astype(np.int64)
        scaled = np.ldexp(rows, -exponents[:, None])
        if not np.array_equal(np.ldexp(scaled, exponents[:, None]), rows):
            raise HypothesisError("The entries of a row differ too much in size. Scale the data.")
        subsets = np.array(list(itertools.combinations(range(count), dimension - 1)), dtype=np.int64)
        subsets = subsets.reshape(comb(count, dimension - 1), dimension - 1)
        rays, spread = _normals(scaled[subsets])
        positive = np.empty((len(subsets), count), dtype=bool)
        doubtful: list[tuple[int, int]] = []
        for block in _blocks(len(subsets), count):
            values = rays[block] @ scaled.T
            doubt = _SHORT * (spread[block] @ np.abs(scaled).T) + _TINY
            own = np.zeros(values.shape, dtype=bool)
            np.put_along_axis(own, subsets[block], True, axis=1)
            positive[block] = (values > 0) & ~own
            places = np.argwhere((np.abs(values) <= doubt) & ~own)
            if len(doubtful) + len(places) > _MAX_UNDECIDED:
                raise HypothesisError("Too many rows are nearly dependent. Move them apart.")
            doubtful += [(int(ray) + block.start, int(row)) for ray, row in places]
        for ray, row in doubtful:
            positive[ray, row] = _sign(scaled[[*subsets[ray], row]]) > 0
        return cls(scaled, exponents, subsets, rays, positive)

    def weights(self, given: Floats) -> Floats:
        """Return the weights for the scaled rows that give the same h. HypothesisError if they are out of scale."""
        with np.errstate(over="ignore"):
            scaled = np.ldexp(given, self.exponents)
        if not (np.isfinite(scaled).all() and np.abs(scaled).sum() < _LARGEST):
            raise HypothesisError("The weights are out of scale. Scale the data.")
        exact = np.array_equal(np.ldexp(scaled, -self.exponents), given)
        if not exact:
            raise HypothesisError("The weights underflow. Scale the data.")
        return scaled

    def values(self, weights: Floats, directions: Floats) -> Floats:
        """Return h at some directions (s, d), up to rounding; `weights` are those of the scaled rows."""
        found = np.empty(len(directions))
        for block in _blocks(len(directions), len(self.rows)):
            found[block] = np.maximum(directions[block] @ self.rows.T, 0) @ weights
        return found

    def faces(self, weights: Floats) -> Iterator[Faces]:
        """Yield all faces; `weights` are those of the scaled rows. A face occurs once for each of its rays."""
        products = weights[:, None] * self.rows
        total = products.sum(axis=0)
        for block in _blocks(len(self.subsets), len(self.rows)):
            subsets = self.subsets[block]
            numbers = np.arange(block.start, block.stop)
            above = self.positive[block].astype(np.float64) @ products
            below = total - above - products[subsets].sum(axis=1)
            for side, base in ((1, above), (-1, below)):
                for choice in itertools.product((ON, POSITIVE, NEGATIVE), repeat=subsets.shape[1]):
                    off = [place for place, state in enumerate(choice) if state == POSITIVE]
                    yield Faces(numbers, side, choice, base + products[subsets[:, off]].sum(axis=1))

    def critical(self, faces: Faces) -> Critical:
        """Return c of the module for each face, up to a positive factor."""
        point, size = faces.sums, np.abs(faces.sums).sum(axis=1)
        factor, reach = np.ones((2, len(point)))
        for normal, spread in self._orthogonal(faces):
            square = (normal**2).sum(axis=1)
            point = square[:, None] * point - (normal * point).sum(axis=1)[:, None] * normal
            factor, reach, size = factor * square, reach * 2 * spread**2, size * 2 * spread**2
        return Critical(point, factor, reach, size)

    def _orthogonal(self, faces: Faces) -> list[tuple[Floats, Floats]]:
        """Return orthogonal vectors that span the rows of the faces, with the sums of the sizes of all terms."""
        found: list[tuple[Floats, Floats]] = []
        for place in (number for number, state in enumerate(faces.choice) if state == ON):
            row = self.rows[self.subsets[faces.rays, place]]
            size = np.abs(row).sum(axis=1)
            for normal, spread in found:
                row = (normal**2).sum(axis=1)[:, None] * row - (normal * row).sum(axis=1)[:, None] * normal
                size = 2 * spread**2 * size
            found.append((row, size))
        return found


def maximum_bound(arrangement: Arrangement, given: Floats, floor: float) -> float:
    """Return a number that is certainly at least M, and is `floor` if that can be proved to be one.

    Args:
        arrangement: the rows.
        given: (m,) the weights r.
        floor: the least answer, positive.

    Raises:
        HypothesisError: a number is out of scale, or too many faces are undecided in float64.
    """
    if not 2.0**-200 < floor < _LARGEST:
        raise HypothesisError("The bound of the maximum is out of scale. Scale the data.")
    weights = arrangement.weights(given)
    count, dimension = arrangement.rows.shape
    absolute = (np.abs(weights) @ np.abs(arrangement.rows)) * _OUT + _TINY
    summing = (count + 16) * _UNIT * _OUT
    slack = 4 * summing * absolute
    bound = floor
    undecided: list[tuple[float, int, int, tuple[int, ...]]] = []
    for faces in arrangement.faces(weights):
        if faces.choice.count(ON) == dimension - 1:
            suspects, values = _ray_values(arrangement, faces, slack, floor)
        else:
            suspects, values = _face_values(arrangement, faces, weights, absolute, slack, floor)
        undecided += [
            (value, ray, faces.side, faces.choice)
            for value, ray in zip(values.tolist(), suspects.tolist(), strict=True)
        ]
        if len(undecided) > _MAX_SUSPECTS:
            raise HypothesisError("Too many faces are undecided. State a larger bound of the maximum.")
    # The answer comes from balls alone, so that another order of summation in float64 does not change it.
    undecided.sort(key=lambda face: -face[0])
    for number, (value, ray, side, choice) in enumerate(undecided):
        if value <= bound:
            break
        if number * count > _MAX_BALLS:
            raise HypothesisError("Too many faces are undecided. State a larger bound of the maximum.")
        bound = max(bound, _ball_value(arrangement, weights, ray, side, choice, floor))
    return bound


def _ray_values(arrangement: Arrangement, faces: Faces, slack: Floats, floor: float) -> tuple[NDArray, Floats]:
    """Return the rays at which h may exceed the floor, and upper bounds of h(v)/|v| there."""
    rays, spread = _normals(arrangement.rows[arrangement.subsets[faces.rays]])
    error = _SHORT * spread + _TINY
    length = np.sqrt((rays**2).sum(axis=1)) * (1 - 2.0**-48) - error.sum(axis=1) - _TINY
    sums = np.abs(faces.sums) + slack
    value = faces.side * (faces.sums * rays).sum(axis=1)
    value = (
        value + (sums * error + slack * np.abs(rays) + _SHORT * np.abs(faces.sums * rays)).sum(axis=1) * _OUT + _TINY
    )
    return _suspects(faces.rays, value, length, floor)


def _face_values(
    arrangement: Arrangement, faces: Faces, weights: Floats, absolute: Floats, slack: Floats, floor: float
) -> tuple[NDArray, Floats]:
    """Return the faces with |c| perhaps above the floor, and upper bounds of h(c)/|c| there."""
    found = arrangement.critical(faces)
    error = (found.reach * slack.sum() + _SHORT * found.size) * _OUT + _TINY
    length = np.sqrt((found.point**2).sum(axis=1))
    least = (found.factor - _SHORT * found.reach) * (1 - 2.0**-48)
    kept = ~(length * (1 + 2.0**-48) + 2 * error <= floor * least)
    point, error = found.point[kept], error[kept]
    length = length[kept] * (1 - 2.0**-48) - 2 * error
    value = arrangement.values(weights, point)
    relative = _SHORT + (len(weights) + 16) * _UNIT
    value = value + ((error[:, None] + relative * np.abs(point)) @ absolute) * _OUT + _TINY
    return _suspects(faces.rays[kept], value, length, floor)


def _suspects(rays: NDArray[np.int64], value: Floats, length: Floats, floor: float) -> tuple[NDArray, Floats]:
    """Return where value <= floor * length is not certain, and upper bounds of value/length there."""
    kept = ~(value <= floor * length * (1 - 2.0**-48))
    value, length = value[kept], length[kept]
    quotient = np.full(len(value), np.inf)
    np.divide(value, length, out=quotient, where=length > 0)
    return rays[kept], np.where(np.isnan(quotient), np.inf, quotient * (1 + 2.0**-48))


def _ball_value(
    arrangement: Arrangement, weights: Floats, ray: int, side: int, choice: tuple[int, ...], floor: float
) -> float:
    """Return an upper bound of the value of one face, at least the floor, from balls."""
    with ball_arithmetic():
        rows = [[ball(float(entry)) for entry in row] for row in arrangement.rows]
        scale = [ball(float(weight)) for weight in weights]
        own = {int(row): state for row, state in zip(arrangement.subsets[ray], choice, strict=True)}
        inside = [
            own[k] == POSITIVE if k in own else bool(arrangement.positive[ray, k]) == (side > 0)
            for k in range(len(rows))
        ]
        axes = range(len(rows[0]))
        point = [sum((scale[k] * rows[k][i] for k in range(len(rows)) if inside[k]), arb(0)) for i in axes]
        normals: list[list[arb]] = []
        factor = arb(1)
        for k in (k for k, state in own.items() if state == ON):
            normal = functools.reduce(_reject, normals, rows[k])
            normals.append(normal)
            point, factor = _reject(point, normal), factor * _dot(normal, normal)
        length = _dot(point, point).sqrt()
        if length <= ball(floor) * factor:
            return floor
        value = sum((weight * max_with_zero(_dot(row, point)) for weight, row in zip(scale, rows, strict=True)), arb(0))
        if value <= ball(floor) * length:
            return floor
        return max(floor, round_up(value / length))


def max_with_zero(value: arb) -> arb:
    """Return a ball that contains max(x, 0) for all x of a ball."""
    if value >= 0:
        return value
    if value <= 0:
        return arb(0)
    return arb(0).union(value.upper())


def _dot(left: list[arb], right: list[arb]) -> arb:
    return sum((a * b for a, b in zip(left, right, strict=True)), arb(0))


def _reject(point: list[arb], normal: list[arb]) -> list[arb]:
    """Return |normal|^2 point - (normal . point) normal, which is orthogonal to the normal."""
    square, along = _dot(normal, normal), _dot(normal, point)
    return [square * p - along * n for p, n in zip(point, normal, strict=True)]


def _blocks(length: int, width: int) -> list[slice]:
    step = max(1, _BLOCK // max(width, 1))
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _normals(rows: Floats) -> tuple[Floats, Floats]:
    """Return the vectors of cofactors, orthogonal to d - 1 rows each, and the same sums with all terms positive."""
    dimension = rows.shape[2]
    normals, spread = np.empty((2, len(rows), dimension))
    for axis in range(dimension):
        minor = np.delete(rows, axis, axis=2)
        normals[:, axis] = (-1) ** axis * _determinant(minor, -1)
        spread[:, axis] = _determinant(np.abs(minor), 1)
    return normals, spread


def _determinant(matrix: Floats, sign: int) -> Floats:
    """Return determinants of (..., k, k) matrices, k <= 3, by the formula of Leibniz; the permanents for sign 1."""
    size = matrix.shape[-1]
    if size == 0:
        return np.ones(matrix.shape[:-2])
    total = np.zeros(matrix.shape[:-2])
    for column in range(size):
        minor = np.delete(matrix[..., 1:, :], column, axis=-1)
        total = total + sign**column * matrix[..., 0, column] * _determinant(minor, sign)
    return total


def _sign(rows: Floats) -> int:
    """Return the sign of row n . (normal of the rows before it), exactly. HypothesisError if they are dependent."""
    exact = [[Fraction(float(entry)) for entry in row] for row in rows]
    *first, last = exact

    def determinant(matrix: list[list[Fraction]]) -> Fraction:
        if not matrix:
            return Fraction(1)
        head, *rest = matrix
        return sum(
            ((-1) ** j * value * determinant([row[:j] + row[j + 1 :] for row in rest]) for j, value in enumerate(head)),
            Fraction(0),
        )

    value = sum(
        (
            (-1) ** axis * entry * determinant([row[:axis] + row[axis + 1 :] for row in first])
            for axis, entry in enumerate(last)
        ),
        Fraction(0),
    )
    if value == 0:
        raise HypothesisError("Some rows are linearly dependent. Move them apart.")
    return 1 if value > 0 else -1
