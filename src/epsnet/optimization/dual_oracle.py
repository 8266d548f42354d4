r"""The neuron that violates the dual constraint most: the maximum of $h(u) = \sum_i r_i \max(x_i \cdot u, 0)$.

In at most four dimensions all faces of the arrangement of the planes $x_i \cdot u = 0$ are looked at, so that nothing
is missed; the signs of all points at all rays of the arrangement depend on the points only and are found once.
Points that are not in general position (duplicates, points on a line) are moved by 1e-12 of their norm for this
purpose, which changes h by no more than $\sum_i |r_i| |x_i - x_i'|$; every value is that of the points as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import HypothesisError
from epsnet.core.arrangement import MAX_DIMENSION, NEGATIVE, ON, POSITIVE, Arrangement, Critical, Faces

Floats = NDArray[np.float64]

_SHIFT = 2.0**-40
_ATTEMPTS = 3
_CRITICAL = 1e-9
_REGULAR = 1e-20
_TIE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Peak:
    """A direction in which h is critical, with the activation patterns of the cells around it.

    Attributes:
        direction: (d,) of norm 1.
        value: h there.
        patterns: (k, n), which points are active in a cell that has the direction in its closure.
    """

    direction: Floats
    value: float
    patterns: NDArray[np.bool_]


_Found = tuple[float, Floats, Faces, int]
"""Value and direction of a critical point, the faces it was found among, and its place there."""


def general_position(inputs: Floats) -> Floats:
    """Return rows close to the inputs, any d of which are independent; more rows follow if there are fewer than d."""
    random = np.random.Generator(np.random.Philox(7))
    count, dimension = inputs.shape
    norms = np.linalg.norm(inputs, axis=1)
    typical = float(norms.max()) or 1.0
    scale = np.where(norms > typical * _SHIFT, norms, typical * _SHIFT)
    noise = random.uniform(-1, 1, size=inputs.shape) / np.sqrt(dimension)
    extra = random.normal(size=(max(dimension - count, 0), dimension)) * typical
    return np.concatenate((inputs + _SHIFT * scale[:, None] * noise, extra))


class DualOracle:
    """All critical directions of h for given points and any r.

    Args:
        inputs: (n, d), d <= 4.

    Raises:
        HypothesisError: there are too many points or dimensions.
    """

    def __init__(self, inputs: Floats) -> None:
        if inputs.shape[1] > MAX_DIMENSION:
            raise HypothesisError(
                f"The exact dual oracle is for at most {MAX_DIMENSION} inputs, not {inputs.shape[1]}. "
                f"Use epsnet.optimization.high_dimension."
            )
        self.inputs = inputs
        try:
            self.arrangement = Arrangement.of(inputs)
            self.rows = inputs
        except HypothesisError:
            self.rows = general_position(inputs)
            self.arrangement = Arrangement.of(self.rows)

    def padded(self, residual: Floats) -> Floats:
        """Return the residual with zeros for the rows that are no points."""
        return np.concatenate((residual, np.zeros(len(self.rows) - len(residual))))

    def peaks(self, residual: Floats, floor: float, count: int) -> list[Peak]:
        """Return the highest local maxima of h above the floor, at most `count`, highest first.

        Where rounding hides whether a critical point is a maximum, all critical points above the floor count.
        """
        weights = self.arrangement.weights(self.padded(residual))
        for only_maxima in (True, False):
            found = list[_Found]()
            for faces in self.arrangement.faces(weights):
                critical = self.arrangement.critical(faces)
                length = np.linalg.norm(critical.point, axis=1)
                high = np.flatnonzero(length > floor * critical.factor)
                if only_maxima:
                    high = high[self._peaked(faces, weights, high)]
                found += self._attained(faces, critical, length, weights, high, floor, 4 * count)
            if found:
                break
        return list(itertools.islice(self._distinct(sorted(found, key=lambda item: -item[0])), count))

    def maximum(self, residual: Floats) -> tuple[float, Floats]:
        """Return max(M, 0) and a direction in which it is attained, up to rounding."""
        weights = self.arrangement.weights(self.padded(residual))
        best, where = 0.0, np.zeros(self.inputs.shape[1])
        for faces in self.arrangement.faces(weights):
            critical = self.arrangement.critical(faces)
            length = np.linalg.norm(critical.point, axis=1)
            high = np.flatnonzero(length > best * critical.factor)
            for value, direction, _, _ in self._attained(faces, critical, length, weights, high, best, 1):
                best, where = value, direction
        return best, where

    def _attained(
        self,
        faces: Faces,
        critical: Critical,
        length: Floats,
        weights: Floats,
        places: NDArray[np.int64],
        floor: float,
        count: int,
    ) -> list[_Found]:
        """Return the highest of the points c at some places that lie in their faces, if above the floor."""
        points = critical.point[places] / length[places, None]
        values = self.arrangement.values(weights, points)
        attained = np.flatnonzero(
            (values > floor) & (values >= (1 - _CRITICAL) * length[places] / critical.factor[places])
        )
        order = attained[np.argsort(-values[attained], kind="stable")[:count]]
        return [(float(values[k]), points[k], faces, int(places[k])) for k in order]

    def _peaked(self, faces: Faces, weights: Floats, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        r"""Tell where h does not grow from c to either side of the rows that c is orthogonal to.

        With $S = c + \sum_k t_k x_k$ over these rows, that is 0 <= t_k <= -r_k: otherwise one of the slopes t_k and
        -(t_k + r_k) to its two sides is positive.
        """
        on = [number for number, state in enumerate(faces.choice) if state == ON]
        own = self.arrangement.subsets[faces.rays[places]][:, on]
        if not on:
            return np.ones(len(places), dtype=bool)
        rows = self.arrangement.rows[own]
        gram = rows @ rows.transpose(0, 2, 1)
        regular = np.linalg.det(gram) > _REGULAR
        gram[~regular] = np.eye(len(on))
        slopes = np.linalg.solve(gram, rows @ faces.sums[places][:, :, None])[:, :, 0]
        slack = _TIE * np.abs(weights[own])
        return regular & ((slopes >= -slack) & (slopes <= slack - weights[own])).all(axis=1)

    def _distinct(self, found: list[_Found]) -> Iterator[Peak]:
        """Yield one peak for each face: a face was met once for each of its rays."""
        seen: set[bytes] = set()
        for value, direction, faces, place in found:
            patterns = self._patterns(faces, place)
            key = np.sort(np.packbits(patterns, axis=1).view(f"V{-(-patterns.shape[1] // 8)}").ravel()).tobytes()
            if key not in seen:
                seen.add(key)
                yield Peak(direction, value, patterns)

    def _patterns(self, faces: Faces, place: int) -> NDArray[np.bool_]:
        """Return the patterns of the cells around a face."""
        ray = faces.rays[place]
        own = self.arrangement.subsets[ray]
        base = self.arrangement.positive[ray] if faces.side > 0 else ~self.arrangement.positive[ray]
        sides = [(POSITIVE, NEGATIVE) if state == ON else (state,) for state in faces.choice]
        patterns = np.repeat(base[None], int(np.prod([len(side) for side in sides])), axis=0)
        for pattern, states in zip(patterns, itertools.product(*sides), strict=True):
            pattern[own] = np.array(states, dtype=int) == POSITIVE
        return patterns[:, : len(self.inputs)]
