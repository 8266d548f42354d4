r"""Splines of degree 1 with the least total variation of the slope: ReLU networks on the line at their global optimum.

$$ \min_f \frac12 \sum_i (f(x_i) - y_i)^2 + \beta\,\mathrm{TV}(f') $$

over all $f(x) = a + b x + \sum_j c_j \max(x - t_j, 0)$: two-layer ReLU networks of any width with weight decay whose
biases and affine part are free. The dual function $z(t) = \sum_i r_i \max(x_i - t, 0)$ of a residual r that is
orthogonal to the affine functions is affine between the points, so an optimal f has its knots at points, and all of
them are looked at in O(n). Knots are added at the local maxima of |z| above beta, and the lasso problem for those at
hand is solved exactly by its signs (H. Lee, A. Battle, R. Raina, A. Ng, Efficient sparse coding algorithms, NeurIPS
2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import round_down, round_up
from epsnet.core import total_variation as trusted
from epsnet.core import two_layer as shared
from epsnet.core.network import Network
from epsnet.core.solution import Statements
from epsnet.optimization.certificate import bracket_text, gap_bound, problem_arrays
from epsnet.optimization.two_layer import TwoLayerProblem

Floats = NDArray[np.float64]

_ROUNDS = 500
_NEW = 8
_SIGN_STEPS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class SplineOptimum:
    """The spline a + b x + sum_j c_j max(x - t_j, 0) with its certificate.

    Attributes:
        offset, slope: a and b.
        knots, coefficients: t and c.
        total_variation: sum_j |c_j|, a float.
        network: the spline as a two-layer ReLU network.
        primal: objective <= P of the spline.
        dual: objective >= D of every spline.
        gap: objective minus least objective <= P - D.
        statements: the derivation of the three, for `check`.
    """

    offset: float
    slope: float
    knots: Floats
    coefficients: Floats
    total_variation: float
    network: Network
    primal: Bound
    dual: Bound
    gap: Bound
    statements: Statements

    def __str__(self) -> str:
        return (
            f"{len(self.knots)} knots, total variation {self.total_variation:.12g}\n"
            f"{bracket_text(self.primal, self.dual, self.gap)}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """The distinct points, moved to [-1, 1], with the mean of the labels and the number of points at each."""

    t: Floats
    y: Floats
    count: Floats
    beta: float

    def values(self, places: NDArray[np.int64], weights: Floats) -> Floats:
        """Return the spline at all points."""
        order = np.argsort(places)
        knots, bends = self.t[places[order]], np.concatenate(([0.0], np.cumsum(weights[2:][order])))
        lifts = np.concatenate(([0.0], np.cumsum(weights[2:][order] * knots)))
        segment = np.searchsorted(knots, self.t)
        return weights[0] - lifts[segment] + (weights[1] + bends[segment]) * self.t

    def least_squares(self, places: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return A and b with |A c - b|^2 = sum of squares + const for splines with these knots.

        Between two knots f is affine, so that only weight, means and second moments of the points there count.
        """
        starts = np.unique(np.concatenate(([0], places)))
        segment = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(self.t))))
        total = np.add.reduceat(self.count, starts)
        x, y = (np.add.reduceat(self.count * values, starts) / total for values in (self.t, self.y))
        dx, dy = self.t - x[segment], self.y - y[segment]
        square, mixed = (np.add.reduceat(self.count * dx * values, starts) for values in (dx, dy))
        root = np.sqrt(square)
        slope = np.divide(mixed, root, out=np.zeros_like(root), where=root > 0)
        reach = x[:, None] - self.t[places]
        means = np.column_stack((np.ones_like(x), x, np.maximum(reach, 0))) * np.sqrt(total)[:, None]
        bends = np.column_stack((np.zeros_like(x), np.ones_like(x), reach >= 0)) * root[:, None]
        return np.concatenate((means, bends)), np.concatenate((np.sqrt(total) * y, slope))

    def dual_function(self, residual: Floats) -> Floats:
        """Return z at all points, from the right, in extended precision."""
        sums = np.cumsum((self.count * residual)[::-1].astype(np.longdouble))[::-1]
        return np.concatenate(
            (np.cumsum((np.diff(self.t) * sums[1:])[::-1])[::-1], [np.longdouble(0)])
        ).astype(np.float64)  # fmt: skip


def total_variation_spline(points: ArrayLike, labels: ArrayLike, beta: float, *, tol: float = 1e-11) -> SplineOptimum:
    """Fit a spline of degree 1 with the least squares plus beta times the total variation of its slope.

    Args:
        points: (n,), in any order; several may be equal.
        labels: (n,).
        beta: the weight of the penalty.
        tol: how far |z| may exceed beta, relative to beta, when the search for knots ends.

    Returns:
        The spline with certified objective, lower bound and gap.

    Raises:
        DomainError: NaN, shapes that do not fit, or beta or tol not positive.
    """
    column = np.asarray(points)
    if column.ndim != 1 or not tol > 0:
        raise DomainError(f"The points have shape {column.shape} and tol is {tol!r}. Give (n,) points and tol > 0.")
    problem = TwoLayerProblem(column[:, None], labels, beta)  # pyright: ignore[reportArgumentType]
    x, y = problem.inputs[:, 0], problem.labels
    t, place, count = np.unique(x, return_inverse=True, return_counts=True)
    middle, half = (t[0] + t[-1]) / 2, (t[-1] - t[0]) / 2 or 1.0
    mean = np.bincount(place, y) / count
    fit = _Fit((t - middle) / half, mean, count.astype(np.float64), problem.beta / half)
    if len(t) == 1:
        return _certified(problem, (float(mean[0]), 0.0, np.zeros(0), np.zeros(0)), np.zeros(0))
    places, weights, z = _search(fit, tol)
    offset, slope = weights[0] - weights[1] * middle / half, weights[1] / half
    knots, coefficients = t[places], weights[2:] / half
    z = z * half
    largest = float(np.abs(z).max(initial=0.0))
    inner = (z * min(1.0, problem.beta / largest) if largest > 0 else z)[1:-1]
    return _certified(problem, (float(offset), float(slope), knots, coefficients), np.clip(inner, -beta, beta))


def _search(fit: _Fit, tol: float) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the places of the knots, a, b and c, and z."""
    places, weights = np.zeros(0, dtype=np.int64), np.zeros(2)
    for _ in range(_ROUNDS):
        weights = _lasso(*fit.least_squares(places), fit.beta, weights)
        used = np.concatenate(([True, True], weights[2:] != 0))
        places, weights = places[used[2:]], weights[used]
        z = fit.dual_function(fit.y - fit.values(places, weights))
        size = np.abs(z)
        peaks = np.flatnonzero((size[1:-1] >= size[:-2]) & (size[1:-1] >= size[2:]) & (size[1:-1] > fit.beta)) + 1
        peaks = np.setdiff1d(peaks[size[peaks] > fit.beta * (1 + tol)], places)
        if len(peaks) == 0:
            break
        new = peaks[np.argsort(-size[peaks], kind="stable")[:_NEW]]
        places, weights = np.concatenate((places, new)), np.concatenate((weights, np.zeros(len(new))))
    order = np.argsort(places)
    return places[order], np.concatenate((weights[:2], weights[2:][order])), z  # pyright: ignore[reportPossiblyUnboundVariable]


def _lasso(matrix: Floats, labels: Floats, beta: float, start: Floats) -> Floats:
    """Minimize 1/2 |A c - y|^2 + beta sum_{j >= 2} |c_j| by feature-sign search, from a point with few nonzeros."""
    upper, target = _reduced(matrix, labels)
    penalty = np.concatenate(([0.0, 0.0], np.full(len(start) - 2, beta)))
    active = np.concatenate(([True, True], start[2:] != 0))
    c, active = _descend(upper, target, penalty, start, active, np.sign(start))
    for _ in range(_SIGN_STEPS):
        slope = upper.T @ (target - upper @ c)
        excess = np.where(active, -np.inf, np.abs(slope) - penalty)
        if active.all() or excess.max() <= 1e-12 * beta:
            return c
        new = int(np.argmax(excess))
        active[new] = True
        signs = np.where(c != 0, np.sign(c), 0.0)
        signs[new] = np.sign(slope[new])
        c, active = _descend(upper, target, penalty, c, active, signs)
    return c


def _descend(
    upper: Floats, target: Floats, penalty: Floats, c: Floats, active: NDArray[np.bool_], signs: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Move to the minimum for given signs; where a sign would change, stop there and drop the coefficient."""
    while True:
        use = np.flatnonzero(active)
        orthogonal, triangle = np.linalg.qr(upper[:, use])
        shrunk = np.linalg.solve(triangle.T, penalty[use] * signs[use])
        goal = np.zeros_like(c)
        goal[use] = np.linalg.solve(triangle, orthogonal.T @ target - shrunk)
        wrong = active & (penalty > 0) & (goal * signs <= 0)
        if not wrong.any():
            return goal, active
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(wrong, c / (c - goal), np.inf)
        reach[np.isnan(reach)] = 0.0
        first = int(np.argmin(reach))
        c = c + min(max(float(reach[first]), 0.0), 1.0) * (goal - c)
        c[first] = 0.0
        active = active.copy()
        active[first] = False


def _reduced(matrix: Floats, labels: Floats) -> tuple[Floats, Floats]:
    orthogonal, triangle = np.linalg.qr(matrix)
    return triangle, orthogonal.T @ labels


def _certified(problem: TwoLayerProblem, spline: tuple[float, float, Floats, Floats], inner: Floats) -> SplineOptimum:
    x, y, beta = problem.inputs[:, 0], problem.labels, problem.beta
    text, network = trusted.spline_text(problem.inputs, y, beta), trusted.spline_network(*spline)
    offset, slope, knots, coefficients = spline
    primal = Bound(
        quantity=shared.OBJECTIVE + text, sense="<=", value=round_up(trusted.spline_objective(x, y, beta, spline)),
        kind=Kind.VERIFIED, theorem="spline-objective", rule="two_layer", hypotheses=(shared.EVALUATED,),
        network=network.sha256,
    )  # fmt: skip
    dual = Bound(
        quantity=shared.LEAST + text, sense=">=",
        value=round_down(trusted.spline_dual_value(x, y, inner)), kind=Kind.VERIFIED, theorem="spline-duality",
        rule="two_layer", hypotheses=(trusted.FEASIBLE,),
    )  # fmt: skip
    gap, arrays = gap_bound(primal, dual), problem_arrays(problem)
    affine = {"affine": np.array([offset, slope]), "knots": knots, "coefficients": coefficients}
    certificate = Certificate.of((gap,), ((primal, arrays | affine), (dual, arrays | {"inner": inner})))
    size = float(np.abs(coefficients).sum())
    return SplineOptimum(
        offset, slope, knots, coefficients, size, network, primal, dual, gap, Statements(network, certificate)
    )
