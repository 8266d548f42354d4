r"""Spurious local minima of two-layer ReLU networks, proved: Gaussian inputs, orthonormal teacher.

`core.student_teacher` states the loss F in closed form. Here it is minimized in float64, and critical points are proved
by interval arithmetic: Krawczyk's theorem gives existence, the eigenvalues of an interval Hessian the type. A point
with F > 0 and positive definite Hessian is a local minimum that is not global if there are at least as many students
as neurons of the teacher, which itself has F = 0.

Source: I. Safran, O. Shamir, Spurious local minima are common in two-layer ReLU neural networks, ICML 2018;
Y. Arjevani, M. Field, Analytic study of families of spurious minima in two-layer ReLU neural networks, NeurIPS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Kind, Sense
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CertificateError, DomainError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.checker.rules import student_teacher as rule
from epsnet.core.inertia import least_eigenvalue
from epsnet.core.linear_maps import frozen_floats
from epsnet.core.network import Network
from epsnet.core.student_teacher import critical_point, student_gradient, student_hessian

Floats = NDArray[np.float64]

_SYMMETRIC_6 = (0.98670, -0.05041, 0.30801, 0.22452, -0.60151)


def student_loss(weights: ArrayLike) -> tuple[float, Floats]:
    """Return F and its gradient (n, k) at the students w_i, the rows, in float64.

    The teacher is e_1, ..., e_k. At a student 0, where F has no gradient, that entry is 0.
    """
    value, slope = _losses(_students(weights)[None])
    return float(value[0]), slope[0]


def _students(weights: ArrayLike) -> Floats:
    w = frozen_floats(weights, "students")
    if w.ndim != 2 or not w.size:
        raise DomainError(f"Students of shape {w.shape} are no matrix. Give one row for each student.")
    return w


def _losses(w: Floats) -> tuple[Floats, Floats]:
    """Return F, (r,), and gradients (r, n, k) of r sets of students (r, n, k)."""
    runs, n, k = w.shape
    others = np.concatenate([w, np.broadcast_to(np.eye(k), (runs, k, k))], axis=1)
    norms = np.sqrt(np.sum(others**2, axis=2))
    units = others / np.where(norms, norms, 1)[:, :, None]
    cosine = np.clip(units[:, :n] @ units.transpose(0, 2, 1), -1, 1)
    cosine[:, np.arange(n), np.arange(n)] = 1
    sine, rest = np.sqrt(1 - cosine**2), np.pi - np.arccos(cosine)
    signs = np.r_[np.ones(n), -np.ones(k)]
    kernel = norms[:, :n, None] * norms[:, None] * (sine + rest * cosine) / (2 * np.pi)
    value = kernel @ np.r_[np.full(n, 0.5), -np.ones(k)]
    pull = np.sum(sine * (norms * signs)[:, None], axis=2)
    slope = pull[:, :, None] * units[:, :n] + (rest * signs) @ others
    return value.sum(axis=1) + k / 4 + k * (k - 1) / (4 * np.pi), slope / (2 * np.pi)


def symmetric_critical_point(k: int) -> Floats:
    """Return the critical point (k, k) of the family that Safran and Shamir found, by continuation from k = 6.

    Diagonal, off-diagonal, last column, last row and corner are five numbers: a minimum for k >= 6, a saddle for k = 5.

    Raises:
        DomainError: k is not in 5, ..., 20.
    """
    from scipy.optimize import root

    if not 5 <= k <= 20:
        raise DomainError(f"The family is followed from k = 5 to k = 20, not {k}. Choose one of these.")
    numbers = np.array(_SYMMETRIC_6)
    for size in [6, *range(7, k + 1)] if k > 5 else [6, 5]:

        def reduced(values: Floats, size: int = size) -> Floats:
            g = student_loss(_symmetric(values, size))[1]
            return np.array([g[0, 0], g[0, 1], g[0, -1], g[-1, 0], g[-1, -1]])

        numbers = root(reduced, numbers, tol=1e-14).x
    return polish(_symmetric(numbers, k))


def _symmetric(values: ArrayLike, k: int) -> Floats:
    a, b, c, d, e = np.asarray(values, dtype=float)
    w = np.full((k, k), b)
    np.fill_diagonal(w, a)
    w[:, -1], w[-1] = c, d
    w[-1, -1] = e
    return w


def polish(weights: ArrayLike, steps: int = 20) -> Floats:
    """Return the critical point near some weights, by Newton's method in 113 bits, rounded to float64.

    Raises:
        PrecisionError: two vectors are parallel, or Newton's method does not settle.
        DomainError: the weights are not a matrix of finite numbers.
    """
    w = _students(weights)
    with ball_arithmetic():
        for _ in range(steps):
            balls = [[ball(v) for v in row] for row in w.tolist()]
            hessian = np.array([[float(v.mid()) for v in row] for row in student_hessian(balls).tolist()])
            slope = np.array([float(g.mid()) for g in student_gradient(balls)])
            if not (np.isfinite(hessian).all() and np.isfinite(slope).all()):
                raise PrecisionError("Two students, or a student and the teacher, are parallel. Use another point.")
            step = np.linalg.lstsq(hessian, slope)[0].reshape(w.shape)
            w = w - step
            if np.abs(step).max() <= 1e-15:
                return w
    raise PrecisionError("Newton's method does not settle. Start nearer to a critical point that is not degenerate.")


@dataclass(frozen=True, slots=True)
class ProvedPoint:
    """A critical point of F with its bounds, all VERIFIED, and what re-derives them.

    Attributes:
        network: the student whose weights are near the critical point.
        distance: how near, in every weight.
        loss_low, loss_high: F there.
        eigenvalue_low, eigenvalue_high: the least eigenvalue of the Hessian there.
        certificate: for `checker.kernel.check_certificate(network, certificate)`.
    """

    network: Network
    distance: Bound
    loss_low: Bound
    loss_high: Bound
    eigenvalue_low: Bound
    eigenvalue_high: Bound
    certificate: Certificate

    @property
    def is_spurious_minimum(self) -> bool:
        """Tell whether the bounds prove a local minimum with F > 0, for as many students as the teacher has neurons."""
        enough = self.network.layers[0].outputs >= self.network.inputs
        return enough and self.eigenvalue_low.value > 0 and self.loss_low.value > 0

    @property
    def is_saddle(self) -> bool:
        """Tell whether the bounds prove that the critical point is no local minimum."""
        return self.eigenvalue_high.value < 0


def prove(weights: ArrayLike) -> ProvedPoint:
    """Prove that F has a critical point near some weights, its value, and the sign of the least eigenvalue there.

    Args:
        weights: the students w_i, (n, k), near a critical point; n k at most 400.

    Raises:
        CertificateError: no cube around the weights could be shown to hold a critical point.
        DomainError: the weights are not a matrix of finite numbers.

    Example:
        >>> prove(symmetric_critical_point(6)).is_spurious_minimum
        True
    """
    w = _students(weights)
    network = Network.from_layers([(w, np.zeros(len(w))), (np.ones((1, len(w))), [0.0])])
    with ball_arithmetic():
        for exponent in range(-15, -3):
            try:
                critical_point(w, 10.0**exponent)
                # Twice the radius that suffices, and eigenvalues with some room: the checker may run on another
                # machine, where the inverse and the eigenvectors that it computes differ in their last digits.
                found = critical_point(w, radius := 2 * 10.0**exponent)
                low, high = least_eigenvalue(found.hessian)
            except PrecisionError:
                continue
            room = (high - low) / 2
            break
        else:
            raise CertificateError(
                "No critical point was proved near these weights. Polish them, or use another point.",
                asked=1e-4, achieved=float("inf"),
            )  # fmt: skip
        ends: list[tuple[str, Sense, float]] = [
            (rule.DISTANCE, "<=", radius),
            (rule.LOSS, ">=", round_down(found.loss)),
            (rule.LOSS, "<=", round_up(found.loss)),
            (rule.EIGENVALUE, ">=", round_down(low - room)),
            (rule.EIGENVALUE, "<=", round_up(high + room)),
        ]
    distance, *others = [
        Bound(
            quantity=quantity, sense=sense, value=value, kind=Kind.VERIFIED, theorem="krawczyk-critical-point",
            rule="student_teacher", measure=rule.MEASURE, network=network.sha256,
            hypotheses=(rule.hypothesis(radius),),
        )
        for quantity, sense, value in ends
    ]  # fmt: skip
    witness = {"radius": np.array([radius])}
    certificate = Certificate.of([distance, *others], [(bound, witness) for bound in (distance, *others)])
    loss_low, loss_high, eigenvalue_low, eigenvalue_high = others
    return ProvedPoint(network, distance, loss_low, loss_high, eigenvalue_low, eigenvalue_high, certificate)


@dataclass(frozen=True, slots=True)
class HitRate:
    """How many runs of local training end in a spurious minimum. STATISTICAL.

    Attributes:
        runs: how many runs ended at a critical point.
        spurious: how many of them have F > 1e-4; that they are minima and no saddles is not checked.
        unfinished: runs with a gradient above 1e-5, not counted in `runs`.
        low, high: the interval of Clopper and Pearson for the probability, 95 %.
    """

    runs: int
    spurious: int
    unfinished: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share of spurious ends."""
        return self.spurious / self.runs if self.runs else float("nan")


def hit_rate(k: int, students: int | None = None, *, runs: int = 200, seed: int = 0) -> HitRate:
    """Minimize F by L-BFGS from random starts N(0, 1/k) and count where that ends.

    Args:
        k: neurons of the teacher.
        students: neurons of the student, k by default and at least; fewer cannot reach F = 0.
        runs: starts.
        seed: of the starts.

    Raises:
        DomainError: no runs, no neurons, or fewer students than neurons of the teacher.
    """
    from scipy.special import betaincinv

    n = k if students is None else students
    if min(k, runs) < 1 or n < k:
        raise DomainError(f"There are no runs, or {n} students for {k} neurons of the teacher. Give at least k.")
    generator = np.random.Generator(np.random.Philox(seed))
    values, slopes = _minimize(generator.normal(size=(runs, n, k)) / np.sqrt(k))
    finished = slopes <= 1e-5
    done, spurious = int(finished.sum()), int((finished & (values > 1e-4)).sum())
    low = float(betaincinv(spurious, done - spurious + 1, 0.025)) if spurious else 0.0
    high = float(betaincinv(spurious + 1, done - spurious, 0.975)) if spurious < done else 1.0
    return HitRate(done, spurious, runs - done, low, high)


def _minimize(w: Floats, steps: int = 2000, memory: int = 12) -> tuple[Floats, Floats]:
    """Minimize F from all starts (r, n, k) at once; return the values and the largest entries of the gradients.

    L-BFGS with backtracking (J. Nocedal, S. J. Wright, Numerical Optimization, 2nd ed., algorithm 7.4), each run with
    its own step; runs leave when their gradient is below 1e-6.
    """
    shape, theta = w.shape[1:], w.reshape(len(w), -1)
    ends, sizes = np.empty(len(w)), np.empty(len(w))
    value, slope = _losses(w)
    slope, alive, pairs = slope.reshape(theta.shape), np.arange(len(w)), []
    for _ in range(steps):
        ends[alive], sizes[alive] = value, np.abs(slope).max(axis=1)
        kept = sizes[alive] > 1e-6
        alive, theta, value, slope = alive[kept], theta[kept], value[kept], slope[kept]
        pairs = [(s[kept], y[kept], rho[kept]) for s, y, rho in pairs]
        if not len(alive):
            break
        direction = _direction(slope, pairs)
        decrease, size = np.sum(direction * slope, axis=1), np.ones(len(alive))
        while True:
            trial = theta - size[:, None] * direction
            after, steep = _losses(trial.reshape(-1, *shape))
            bad = (after > value - 1e-4 * size * decrease) & (size > 1e-9)
            if not bad.any():
                break
            size[bad] /= 2
        s, y = trial - theta, steep.reshape(theta.shape) - slope
        product = np.sum(s * y, axis=1)
        # A pair without positive curvature is left out: with rho = 0 it changes nothing.
        rho = np.where(product > 1e-12 * np.sum(y * y, axis=1), 1 / np.where(product, product, 1), 0)
        pairs = [*pairs[-memory + 1 :], (s, y, rho)]
        theta, value, slope = trial, after, steep.reshape(theta.shape)
    return ends, sizes


def _direction(slope: Floats, pairs: list[tuple[Floats, Floats, Floats]]) -> Floats:
    """Return the quasi-Newton direction of each run by the two-loop recursion."""
    direction, factors = slope.copy(), []
    for s, y, rho in reversed(pairs):
        factor = rho * np.sum(s * direction, axis=1)
        direction -= factor[:, None] * y
        factors.append(factor)
    if pairs:
        _, y, rho = pairs[-1]
        scale = np.where(rho > 0, 1 / np.maximum(rho * np.sum(y * y, axis=1), 1e-300), 1)
        direction *= scale[:, None]
    for (s, y, rho), factor in zip(pairs, reversed(factors), strict=True):
        direction += (factor - rho * np.sum(y * direction, axis=1))[:, None] * s
    return direction
