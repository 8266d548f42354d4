r"""The excess risk of gradient descent on least squares in its three parts, exactly.

Let y = f + noise at n fixed points, with independent noise of mean 0 and variance sigma^2, and let H be the linear
functions of a design matrix X, or the functions of a kernel with the matrix K = X X^T at the points. The risk of values
v at the points is R(v) = |v - f|^2/n + sigma^2, the empirical risk R_n(v) = |v - y|^2/n, and R* = sigma^2. With the
left singular vectors u_i and the singular values s_i > 0 of X, and the projection P = sum u_i u_i^T onto H, t steps of
gradient descent from 0 on R_n/2 with the step size eta return

$$ v_t = \sum_i g_i\,(u_i \cdot y)\,u_i, \qquad g_i = 1 - \Bigl(1 - \frac{\eta s_i^2}n\Bigr)^t. $$

The parts are those of `risk_decomposition`, whose identity now has expectations in closed form:

$$ E\,R(v_t) - R^* = \underbrace{\frac{|f - Pf|^2}n}_{\text{approximation}: \inf_H R - R^*}
   + \underbrace{\frac{\sigma^2}n \sum_i (2 g_i - 1)}_{\text{estimation}: (R - R_n)(v_t) - (\inf_H R - \inf_H R_n)}
   + \underbrace{\frac1n \sum_i (1 - g_i)^2 \bigl((u_i \cdot f)^2 + \sigma^2\bigr)}_{\text{optimization}:
   R_n(v_t) - \inf_H R_n}. $$

Estimation is negative at first, when the network knows less than the noise could teach it, and ends at sigma^2 times
rank over n. Its sum with optimization is also bias plus variance of the filter,

$$ \frac1n \sum_i (1 - g_i)^2 (u_i \cdot f)^2 + \frac{\sigma^2}n \sum_i g_i^2. $$

**A bound for all classes of bounded norm.** Let f_w(x) = w . phi(x) with |w| <= D, E |phi(x)|^2 <= R^2, and a loss that
is G-Lipschitz in the prediction. Then the minimizer f^ of the empirical risk over n independent points, or any f^ whose
empirical risk is within e of the least one, has

$$ E\,R(\hat f) - \inf_{|w| \le D} R(f_w) \le \frac{2\,G\,R\,D}{\sqrt n} + e. $$

*Proof.* Let w* attain the infimum. R(f^) - R(w*) = (R - R_n)(f^) + (R_n(f^) - R_n(w*)) + (R_n - R)(w*). The second term
is at most e, and the third has mean 0 because w* does not depend on the sample. The first is at most sup (R - R_n),
whose mean is at most twice the Rademacher complexity of the losses (symmetrization), so at most 2 G times that of the
class (contraction), which is E sup_w w . sum_i eps_i phi(x_i)/n = D E |sum_i eps_i phi(x_i)|/n <= D R/n^(1/2) (Jensen).
The factor 4 instead of 2, which is often stated, bounds the third term by another supremum.

Sources: F. Bach, Learning Theory from First Principles, MIT Press 2024, sections 3.5, 4.5 and 5.2; L. Bottou,
O. Bousquet, The tradeoffs of large scale learning, NIPS 20 (2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, HypothesisError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ExcessRisk:
    """Expected parts of the excess risk after so many steps, each one entry per number of steps.

    Attributes:
        steps: t.
        approximation: the same for all t.
        estimation, optimization: they add up to bias + variance.
        bias, variance: of the filter.
        rank: of the design.
    """

    steps: tuple[int, ...]
    approximation: float
    estimation: Floats
    optimization: Floats
    bias: Floats
    variance: Floats
    rank: int

    @property
    def excess(self) -> Floats:
        """E R(v_t) - R*, summed without cancellation."""
        return self.approximation + self.bias + self.variance


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What least squares at fixed points depends on.

    Attributes:
        points: n.
        directions: (n, r) u_i.
        curvatures: (r,) s_i^2/n > 0, the eigenvalues of the Hessian of R_n/2.
    """

    points: int
    directions: Floats
    curvatures: Floats

    @classmethod
    def linear(cls, matrix: ArrayLike) -> Design:
        """Return that of the linear functions of the rows of a matrix (n, d), up to float64 rank."""
        x = _array(matrix, 2)
        left, sizes, _ = np.linalg.svd(x, full_matrices=False)
        kept = sizes > sizes[0] * max(x.shape) * np.finfo(float).eps
        return cls(len(x), left[:, kept], sizes[kept] ** 2 / len(x))

    @classmethod
    def kernel(cls, matrix: ArrayLike) -> Design:
        """Return that of the functions of a kernel, from its symmetric matrix (n, n) at the points.

        Raises:
            HypothesisError: the matrix is not symmetric, or it has a negative eigenvalue beyond rounding.
        """
        k = _array(matrix, 2)
        if k.shape[0] != k.shape[1] or not np.allclose(k, k.T, rtol=1e-12, atol=1e-12 * np.abs(k).max()):
            raise HypothesisError("The matrix of the kernel is not symmetric. Give k(x_i, x_j) for all i, j.")
        values, vectors = np.linalg.eigh((k + k.T) / 2)
        noise = np.abs(values).max() * len(k) * np.finfo(float).eps
        if values[0] < -noise:
            raise HypothesisError(f"The matrix has the eigenvalue {values[0]:.3g} < 0. Give a positive kernel.")
        kept = values > noise
        return cls(len(k), vectors[:, kept], values[kept] / len(k))

    @property
    def largest_step(self) -> float:
        """2/max curvature: descent converges for the step sizes below."""
        return 2 / float(self.curvatures.max(initial=0)) if len(self.curvatures) else math.inf


def excess_risk(
    design: Design, values: ArrayLike, noise: float, steps: Sequence[int], step_size: float | None = None
) -> ExcessRisk:
    """Divide the expected excess risk of gradient descent on least squares from 0.

    Args:
        design: the points, as features or as a kernel.
        values: (n,) f at the points.
        noise: sigma^2.
        steps: numbers of steps t >= 0.
        step_size: eta, by default one over the largest curvature.

    Raises:
        DomainError: shapes that do not fit, a number that is not finite, or out of its range.
        HypothesisError: the step size is not between 0 and 2 over the largest curvature.

    Example:
        >>> found = excess_risk(Design.linear([[1.0], [1.0]]), [1.0, 3.0], 0.5, [0, 1])
        >>> found.estimation.tolist(), found.optimization.round(12).tolist(), found.excess.round(12).tolist()
        ([-0.25, 0.25], [4.25, 0.0], [5.0, 1.25])
    """
    f, t = _array(values, 1), np.asarray(steps, dtype=np.int64)
    if len(f) != design.points or not 0 <= noise < math.inf or (t < 0).any():
        raise DomainError(
            f"{len(f)} values do not fit {design.points} points, or a number is negative. Give one value for each."
        )
    eta = design.largest_step / 2 if step_size is None else step_size
    if len(design.curvatures) and not 0 < eta < design.largest_step:
        raise HypothesisError(f"The step size {eta:g} is not below {design.largest_step:.6g}. Give a smaller one.")
    # Powers of what is left of each direction after one step, (steps, r).
    left = (1 - eta * design.curvatures) ** t[:, None]
    learned = _learned(eta * design.curvatures, t)
    parts = design.directions.T @ f
    missed = f - design.directions @ parts
    n, rank = len(f), len(design.curvatures)
    bias, unlearned = left**2 @ parts**2 / n, noise * (left**2).sum(axis=1) / n
    return ExcessRisk(
        tuple(t.tolist()), float(missed @ missed) / n, noise * (learned - left).sum(axis=1) / n, bias + unlearned,
        bias, noise * (learned**2).sum(axis=1) / n, rank,
    )  # fmt: skip


def _learned(rates: Floats, steps: NDArray[np.int64]) -> Floats:
    """Return 1 - (1 - rate)^t, accurate for small rates."""
    with np.errstate(divide="ignore", invalid="ignore"):
        small = -np.expm1(steps[:, None] * np.log1p(-rates))
    return np.where((rates < 0.5) & (steps[:, None] > 0), small, 1 - (1 - rates) ** steps[:, None])


def constrained_class_bound(
    points: int, *, lipschitz: float, features: float, norm: float, optimization: float = 0.0
) -> float:
    """Return 2 G R D/n^(1/2) + e, a bound of E R(f^) - inf R over the linear functions of bounded norm.

    Args:
        points: n >= 1.
        lipschitz: G, of the loss in the prediction.
        features: R, with E |phi(x)|^2 <= R^2.
        norm: D, the largest |w|.
        optimization: e, by how much the empirical risk exceeds the least one.

    Raises:
        DomainError: a number is negative, or no finite one.
    """
    if points < 1 or not all(0 <= value < math.inf for value in (lipschitz, features, norm, optimization)):
        raise DomainError("A number is negative or not finite. Give n >= 1 and nonnegative constants.")
    return 2 * lipschitz * features * norm / math.sqrt(points) + optimization


def _array(values: ArrayLike, dimensions: int) -> Floats:
    array = np.array(values, dtype=np.float64)
    if array.ndim != dimensions or not array.size or not np.isfinite(array).all():
        raise DomainError(f"An array of shape {array.shape} does not fit, or is not finite. Give a finite one.")
    return array
