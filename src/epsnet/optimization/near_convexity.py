r"""How nearly convex are networks of one size: the distance of an average of two to the set of them.

With N breakpoints and a free affine part, the two-layer ReLU networks

$$ f(x) = a + b x + \sum_{j \le N} c_j \max(x - t_j, 0) $$

are on [0, 1] the continuous piecewise-linear functions with at most N breakpoints. The **defect** of two of them is the
distance of their average, which has up to 2N, to this set in the sup norm; the affine parts do not matter. `defect`
brackets it: a polygon with N + 1 pieces from above, exactly in rationals, and windows that block the tube of every
polygon with so few pieces from below (`enclosure.tube`, rule `reach`).

**Theorem.** Let V be the larger total variation sum_j |c_j| of the two slopes. The defect is at most V/(4 (N + 1)^2),
and `alternating_pair` has V/(4 (N + 1) (N + 2)). If no c_j is negative, it is at most V/(8 (N + 1)^2), which
`convex_pair` has.

The proof, that of `local_gap_bound`, and what holds in several dimensions stand in docs/near_convexity.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate, Witness
from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import CertificateError, CheckError, DomainError, HypothesisError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.checker.rule import Context
from epsnet.checker.rules import reach
from epsnet.core.expression import apply, number, variable
from epsnet.core.mesh import MAX_NEURONS
from epsnet.core.network import Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.core.total_variation import spline_network
from epsnet.enclosure.exact_values import exact_distance
from epsnet.enclosure.mesh import l2_bound
from epsnet.enclosure.tube import Path, minimal_link_path, outer_windows

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]
"""Breakpoints t and weights c of two functions, each of shape (2, N)."""

UNIT = Box(0, 1)
_TIES = 1e-9
"""Relative distance of eps to a number of pieces that changes there, below which float64 may decide wrongly."""

_PARAMETERS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Defect:
    """The distance of the average of two functions with N breakpoints to all such functions, from both sides.

    Attributes:
        neurons: N.
        lower: every continuous piecewise-linear function within eps of the average has at least N + 2 pieces; its eps
            is the lower end. None if the average has N breakpoints itself.
        upper: the error of `nearest`, a rational.
        nearest: a network with N breakpoints or fewer.
        limit: what the theorem says for this pair.
        average: the average as a formula, which `lower` is about.
        windows: the witness of `lower` for the rule `reach`, which has confirmed it.
        solution: `nearest` for the average as its target, with the certificate of `upper`, for `check`.
    """

    neurons: int
    lower: Bound | None
    upper: Bound
    nearest: Network
    limit: Fraction
    average: Target
    windows: Witness
    solution: Solution

    @property
    def bracket(self) -> tuple[Fraction, Fraction]:
        """The defect lies between these two."""
        return (Fraction(0) if self.lower is None or self.lower.eps is None else self.lower.eps), self.upper.limit

    def __str__(self) -> str:
        low, high = map(float, self.bracket)
        scale = self.neurons**2
        return (
            f"defect of two functions with {self.neurons} breakpoints in [{low:.9g}, {high:.9g}], "
            f"N^2 times that in [{scale * low:.6g}, {scale * high:.6g}]   {self.upper.kind.value}"
        )


def defect(breakpoints: ArrayLike, weights: ArrayLike, *, gap: float = 1e-6) -> Defect:
    """Bracket the distance of (f_1 + f_2)/2 to the functions with N breakpoints on [0, 1], in the sup norm.

    Args:
        breakpoints: t of shape (2, N), inside (0, 1).
        weights: c of shape (2, N); f_i(x) = sum_j c_ij max(x - t_ij, 0) up to an affine function.
        gap: the relative width of the bracket, at least 1e-8; it is wider where the search in float64 fails.

    Returns:
        Both bounds, VERIFIED: the upper one by the vertices of the difference, the lower one by windows.

    Raises:
        DomainError: the shapes differ, or a number is not finite, not positive or not inside.
        CertificateError: the defect is not zero, and too small for float64.

    Example:
        >>> found = defect([[0.25], [0.75]], [[1.0], [1.0]])
        >>> [round(float(end), 6) for end in found.bracket]
        [0.03125, 0.03125]

    Source: Imai and Iri 1986 for the least number of pieces; docs/near_convexity.md.
    """
    t, c = _checked(breakpoints, weights, gap)
    count = t.shape[1]
    own = _Average(t.ravel(), c.ravel() / 2)
    variation = max(sum((abs(Fraction(value)) for value in row.tolist()), Fraction(0)) for row in c)
    sign = 8 if bool((c >= 0).all()) or bool((c <= 0).all()) else 4
    limit = variation / (sign * (count + 1) ** 2)
    if own.bends <= count:
        return own.result(count, own.network, None, limit)
    try:
        low, high = own.bisect(count, float(limit), gap)
        nearest, lower = own.polygon(high), own.blocked(count, low, gap)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise CertificateError(
            f"The defect is beyond float64: {reason}. Scale the weights or move breakpoints apart.",
            asked=gap, achieved=math.inf,
        ) from None  # fmt: skip
    return own.result(count, nearest, lower, limit)


def _checked(breakpoints: ArrayLike, weights: ArrayLike, gap: float) -> Pair:
    t, c = np.asarray(breakpoints, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if t.ndim != 2 or len(t) != 2 or t.shape != c.shape or not t.shape[1]:
        raise DomainError(f"Breakpoints and weights have the shapes {t.shape} and {c.shape}. Give two arrays (2, N).")
    if not (np.isfinite(c).all() and bool(((t > 0) & (t < 1)).all())):
        raise DomainError("A weight is not finite, or a breakpoint is not between 0 and 1. Mend it.")
    if not 1e-8 <= gap < 1:
        raise DomainError(f"The gap {gap} is not between 1e-8 and 1. Give a relative width such as 1e-6.")
    return t, c


class _Average:
    """The function sum_j c_j max(x - t_j, 0) on [0, 1], with its polygons and windows."""

    def __init__(self, breakpoints: Floats, weights: Floats) -> None:
        self.network = spline_network(0.0, 0.0, breakpoints, weights)
        x = variable("x")
        terms = [w * apply("relu", x - number(t)) for t, w in zip(breakpoints.tolist(), weights.tolist(), strict=True)]
        self.target = Target(sum(terms, number(0)), UNIT)
        totals: dict[float, Fraction] = {}
        for t, w in zip(breakpoints.tolist(), weights.tolist(), strict=True):
            totals[t] = totals.get(t, Fraction(0)) + Fraction(w)
        self.bends = sum(total != 0 for total in totals.values())
        self.places = np.array([0.0, *sorted(totals), 1.0])
        # Exact sums, rounded once: windows leave room for the rounding of f itself only, and terms may cancel.
        values, slope = [Fraction(0)], Fraction(0)
        for left, right in pairwise(self.places.tolist()):
            slope += totals.get(left, Fraction(0))
            values.append(values[-1] + slope * (Fraction(right) - Fraction(left)))
        self.values = np.array([float(value) for value in values])

    def __call__(self, x: Floats) -> Floats:
        return np.interp(x, self.places, self.values)

    def bisect(self, count: int, limit: float, gap: float) -> tuple[float, float]:
        """Return eps at which N + 1 pieces seem too few, and one at which they do, a share of the gap apart."""
        low, high = limit / 2, limit * (1 + _TIES)
        while not self.suffice(count, high):
            high *= 1 + gap / 4
        while self.suffice(count, low):
            low, high = low / 2, low
        while high > low * (1 + gap / 4):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.suffice(count, middle) else (middle, high)
        return low, high

    def path(self, eps: float) -> Path:
        return minimal_link_path(self, 0.0, 1.0, eps, knots=self.places.tolist(), grid=1)

    def suffice(self, count: int, eps: float) -> bool:
        return self.path(eps).pieces <= count + 1

    def polygon(self, eps: float) -> Network:
        """Return a polygon with the fewest pieces within eps, up to rounding."""
        path = self.path(eps)
        slopes = path.slopes
        return spline_network(float(path.values[0]), float(slopes[0]), path.breakpoints[1:-1], np.diff(slopes))

    def blocked(self, count: int, eps: float, gap: float) -> tuple[Bound, Witness]:
        """Return the statement that N + 1 pieces do not suffice at eps or a little below, confirmed by its rule."""
        step = gap / 4
        while True:
            try:
                return self.windows(count, float(f"{eps:.10e}"))  # a short number to read
            except CheckError:
                eps, step = eps * (1 - step), min(2 * step, 0.5)

    def windows(self, count: int, eps: float) -> tuple[Bound, Witness]:
        found = outer_windows(self, 0.0, 1.0, eps, knots=self.places.tolist(), grid=1)
        claim = Bound(
            quantity="pieces", sense=">=", value=float(count + 2), norm="sup", domain=UNIT, kind=Kind.VERIFIED,
            eps=Fraction(repr(eps)), theorem="minimal-link", rule="reach", target=self.target.sha256,
            hypotheses=(f"{len(found)} windows block the tube",),
        )  # fmt: skip
        columns: dict[str, NDArray[Any]] = {
            name: np.array([getattr(w, name) for w in found]) for name in ("p", "s", "e", "slope", "value")
        }
        witness = {"side": np.array([w.side for w in found], dtype=np.int64), **columns}
        with ball_arithmetic():
            reach.check(Context(claim, (), self.network, self.target, witness))
        return claim, witness

    def result(self, count: int, nearest: Network, lower: tuple[Bound, Witness] | None, limit: Fraction) -> Defect:
        found = exact_distance(nearest, self.network, UNIT)
        bound, windows = (None, {}) if lower is None else lower
        return Defect(count, bound, found.upper, nearest, limit, self.target, windows, found.solution)


def alternating_pair(neurons: int) -> Pair:
    r"""Return two functions whose defect is V/(4 (N + 1) (N + 2)), V = 1 up to rounding.

    Their average is affine plus a wave with N + 1 equal bends of alternating sign, and no function with N breakpoints
    is closer to it than an affine one. No pair has a defect above V/(4 (N + 1)^2).

    Raises:
        DomainError: there is no neuron.

    Source: docs/near_convexity.md, theorem 1.
    """
    signs = np.where(np.arange(_positive(neurons) + 1) % 2, -1.0, 1.0)
    return _overlapping(np.arange(1, neurons + 2) / (neurons + 2), signs)


def convex_pair(neurons: int) -> Pair:
    r"""Return two functions whose defect is V/(8 (N + 1)^2), V = 1 up to rounding: no pair with c >= 0 has more.

    Their average bends by 1/(N + 1) in the middle of each of N + 1 equal intervals, so N breakpoints miss one of these.

    Raises:
        DomainError: there is no neuron.

    Source: docs/near_convexity.md, theorem 1.
    """
    return _overlapping((np.arange(_positive(neurons) + 1) + 0.5) / (neurons + 1), np.ones(neurons + 1))


def _overlapping(places: Floats, signs: Floats) -> Pair:
    """Return two functions with N breakpoints each whose average bends by +-1/(N + 1) at N + 1 places."""
    weights = np.stack((signs[:-1], signs[1:])) / len(places)
    weights[0, 0] *= 2
    weights[1, -1] *= 2
    return np.stack((places[:-1], places[1:])), weights


def interlaced_pair(neurons: int) -> Pair:
    """Return breakpoints (j + 1/4)/N and (j + 3/4)/N with all weights 1/N: a defect between 1/(32 N^2) and 1/(16 N^2).

    Raises:
        DomainError: there is no neuron.
    """
    places = np.arange(_positive(neurons))
    return np.stack(((places + 0.25) / neurons, (places + 0.75) / neurons)), np.full((2, neurons), 1 / neurons)


def random_pair(neurons: int, seed: int) -> Pair:
    """Return uniform breakpoints with normal weights, the sum of |c_j| of each function scaled to 1.

    Raises:
        DomainError: there is no neuron.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    breakpoints = generator.uniform(size=(2, _positive(neurons)))
    weights = generator.normal(size=(2, neurons))
    return breakpoints, weights / np.abs(weights).sum(axis=1, keepdims=True)


def _positive(neurons: int) -> int:
    if neurons < 1:
        raise DomainError(f"{neurons} neurons are none. Use 1 or more.")
    return neurons


def local_gap_bound(lipschitz: Real, distance: Real, radius: Real, defect: Real) -> Fraction:
    """Return 2 c D eta/rho: how much larger a loss is at a local minimum over a nearly convex set than elsewhere.

    Let L be convex with |L(u) - L(v)| <= c |u - v|, let g minimize L over the elements of S with |s - g| <= rho, and
    let f be any function with D = |f - g|. If the point at distance rho/2 from g towards f is within eta <= rho/2 of
    an element of S, then L(g) - L(f) <= 2 c D eta/rho. A neighborhood of functions is meant, not one of parameters.

    Args:
        lipschitz: c >= 0.
        distance: D >= rho/2.
        radius: rho > 0.
        defect: eta >= 0; by theorem 1, V/(4 (N + 1)^2) does for functions of N breakpoints and total variation V.

    Raises:
        HypothesisError: one of these does not hold.

    Example:
        >>> print(local_gap_bound(1, 2, "1/10", "1/1000"))
        1/25

    Source: docs/near_convexity.md, theorem 4.
    """
    c, d, rho, eta = map(exact, (lipschitz, distance, radius, defect))
    if not (c >= 0 and rho > 0 and d >= rho / 2 and 0 <= eta <= rho / 2):
        raise HypothesisError(
            "This needs c >= 0, rho > 0, D >= rho/2 and 0 <= eta <= rho/2. Take a larger network or radius; "
            "for D < rho/2 the point f itself is inside."
        )
    return 2 * c * d * eta / rho


@dataclass(frozen=True, slots=True, eq=False)
class RidgeSum:
    """The function sum_i a_i max(w_i x + b_i, 0) on [-1, 1]^d.

    Attributes:
        directions: w of shape (m, d).
        biases: b of shape (m,).
        weights: a of shape (m,).
    """

    directions: Floats
    biases: Floats
    weights: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return the values at points (n, d)."""
        return np.maximum(x @ self.directions.T + self.biases, 0.0) @ self.weights


@dataclass(frozen=True, slots=True, eq=False)
class FoundDefect:
    """The best network that a search found: an upper bound of a defect in L2, for a better network may exist.

    Attributes:
        value: the root of the mean of the squared difference on [-1, 1]^d, by quadrature: ESTIMATED.
        nearest: the neurons, to which `affine`, its slopes and its constant, is added.
        affine: (d + 1,).
        values: what every start ended with.
        difference: nearest - average as a network near the function 0, with its L2 norm on [-1, 1]^d, Lebesgue measure,
            VERIFIED, for `check`; None if d > 2 or the neurons are too many for a mesh.
    """

    value: float
    nearest: RidgeSum
    affine: Floats
    values: tuple[float, ...]
    difference: Solution | None

    @property
    def upper(self) -> Bound | None:
        """The defect in L2 of the Lebesgue measure, which is 2^(d/2) times that of the mean, is at most this."""
        return None if self.difference is None else self.difference.error


def search_defect(first: RidgeSum, second: RidgeSum, *, starts: int = 8, seed: int = 0, nodes: int = 24) -> FoundDefect:
    """Look for m neurons and an affine function near the average of two sums of m neurons: an upper bound only.

    For d <= 2 its L2 norm is VERIFIED by a mesh that follows the kinks.

    Args:
        first: m neurons in d variables.
        second: as many.
        starts: Levenberg-Marquardt starts, each from m of the 2 m neurons drawn at random.
        seed: for the draws.
        nodes: Gauss-Legendre nodes in each direction, nodes^d in all.

    Raises:
        DomainError: the shapes differ, or the problem is too large.
    """
    from scipy.optimize import least_squares

    count, dimension = first.directions.shape
    if first.directions.shape != second.directions.shape or not starts > 0 or count * (dimension + 2) > _PARAMETERS:
        raise DomainError("The two have different shapes, or there are no starts or too many neurons. Mend that.")
    if nodes**dimension > 100_000:
        raise DomainError(f"{nodes}^{dimension} nodes are too many. Use fewer.")
    line, mass = np.polynomial.legendre.leggauss(nodes)
    x = np.stack(np.meshgrid(*[line] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    root = np.sqrt(np.prod(np.stack(np.meshgrid(*[mass / 2] * dimension, indexing="ij"), axis=-1), axis=-1)).ravel()
    affine = np.column_stack((x, np.ones(len(x))))
    wanted = (first(x) + second(x)) / 2

    def split(theta: Floats) -> tuple[RidgeSum, Floats]:
        inner = theta[: count * (dimension + 1)].reshape(count, dimension + 1)
        outer = theta[count * (dimension + 1) :]
        return RidgeSum(inner[:, :-1], inner[:, -1], outer[:count]), outer[count:]

    def residual(theta: Floats) -> Floats:
        neurons, rest = split(theta)
        return root * (neurons(x) + affine @ rest - wanted)

    def jacobian(theta: Floats) -> Floats:
        neurons, _ = split(theta)
        before = x @ neurons.directions.T + neurons.biases
        inner = ((before > 0) * neurons.weights)[:, :, None] * affine[:, None, :]
        parts = (inner.reshape(len(x), -1), np.maximum(before, 0.0), affine)
        return root[:, None] * np.concatenate(parts, axis=1)

    pool = np.column_stack(
        (np.concatenate((first.directions, second.directions)), np.concatenate((first.biases, second.biases)))
    )
    generator = np.random.Generator(np.random.Philox(seed))
    best: tuple[float, Floats] | None = None
    values = []
    for _ in range(starts):
        inner = pool[np.sort(generator.choice(2 * count, count, replace=False))]
        basis = np.column_stack((np.maximum(affine @ inner.T, 0.0), affine))
        outer = np.linalg.lstsq(root[:, None] * basis, root * wanted, rcond=1e-12)[0]
        found = least_squares(
            residual, np.concatenate((inner.ravel(), outer)), jac=jacobian, x_scale="jac", max_nfev=200  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
        values.append(math.sqrt(2 * found.cost))
        if best is None or values[-1] < best[0]:
            best = values[-1], found.x
    assert best is not None
    nearest, rest = split(best[1])
    return FoundDefect(best[0], nearest, rest, tuple(values), _certified_difference(nearest, rest, (first, second)))


def _certified_difference(nearest: RidgeSum, affine: Floats, both: tuple[RidgeSum, RidgeSum]) -> Solution | None:
    """Return nearest + affine - average as a network for the target 0 with its L2 norm, where there is a mesh."""
    d = len(affine) - 1
    parts = (nearest, *both)
    # The neurons max(x_i, 0) - max(-x_i, 0) = x_i carry the affine part; halves are exact in float64.
    hidden = np.concatenate((np.eye(d), -np.eye(d), *(part.directions for part in parts)))
    biases = np.concatenate((np.zeros(2 * d), *(part.biases for part in parts)))
    outer = np.concatenate((affine[:d], -affine[:d], nearest.weights, *(-part.weights / 2 for part in both)))
    if d > 2 or len(hidden) > MAX_NEURONS:
        return None
    network = Network.from_layers([(hidden, biases), (outer[None], affine[d:])])
    target = Target(number(0), Box([-1] * d, [1] * d), "L2")
    bound, witness = l2_bound(target, network)
    certificate = Certificate.of((bound,), ((bound, witness),))
    return Solution(network, target, bound, 8 * len(network_bytes(network)), certificate)
