r"""Kernel regression on more points than a kernel matrix has room for: features of M numbers, data in blocks.

A low-rank kernel $\tilde K(x, x') = a(x) \cdot a(x')$ turns kernel ridge regression into linear regression on the
features a(x) in R^M,

$$ \beta = (A^T A + \rho I)^{-1} A^T y, \qquad f(x) = a(x) \cdot \beta, \qquad A = (a(x_i))_{i \le n}, $$

for which the M x M matrix A^T A is summed over blocks of points, in float64: in float32 its small eigenvalues, which
matter, are lost. Neither the n x n kernel nor the n x M features are ever in memory.

**Nystrom.** With centers c_1, ..., c_M, L L^T = K_CC + j I and a(x) = L^-1 K_Cx the kernel $\tilde K$ is below K: the
residual

$$ r(x) = k(x, x) - |a(x)|^2 \ge 0 $$

is the variance at x that the centers leave, known for each point, and its sum over the points is the trace norm of
$K - \tilde K$, which bounds its Frobenius and its spectral norm. The jitter j is some rounding errors of K_CC.

**Conjugate gradients** (FALKON) solve the same equations in passes over the data that cost n M instead of n M^2, with
the preconditioner (n/M) L^T L + rho I, which replaces all points by the centers.

Random features, for kernels of networks, are in `random_features`.

Sources: C. Williams, M. Seeger, Using the Nystrom method to speed up kernel machines, NIPS 2000; A. Rudi, L. Carratino,
L. Rosasco, FALKON: an optimal large scale kernel method, NIPS 2017; A. Rudi, D. Calandriello, L. Carratino, L. Rosasco,
On fast leverage score sampling and optimal learning, NeurIPS 2018.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, PrecisionError

Floats = NDArray[np.float64]
Kernel = Callable[..., Floats]
"""k(x) -> (n, n) and k(x, y) -> (n, m) for float64 arrays of n and m points."""
Block = tuple[Floats, Floats]
Blocks = Callable[[], Iterable[Block]]
"""Starts one pass over the data: pairs (inputs, targets) with some rows each, the same in every pass."""

_UNIT = float(np.finfo(np.float64).eps)
_DIAGONAL_ROWS = 16


class LinearFeatures(Protocol):
    """What linear regression on features asks for: a(x), products with it, and k(x, x)."""

    @property
    def rank(self) -> int:
        """M."""
        ...

    def __call__(self, x: Floats) -> Floats:
        """Return a(x) for each row, (n, M)."""
        ...

    def combine(self, x: Floats, coefficients: Floats) -> Floats:
        """Return a(x) . beta for each row, (n,) or (n, k)."""
        ...

    def variance(self, x: Floats) -> Floats:
        """Return k(x, x) for each row, (n,)."""
        ...


def kernel_diagonal(kernel: Kernel, x: Floats) -> Floats:
    """Return k(x_i, x_i) for n points, (n,): by the method `diagonal` of the kernel, or by small blocks of it."""
    if hasattr(kernel, "diagonal"):
        return kernel.diagonal(x)  # pyright: ignore[reportFunctionMemberAccess]
    parts = [np.diag(kernel(x[i : i + _DIAGONAL_ROWS])) for i in range(0, len(x), _DIAGONAL_ROWS)]
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Nystrom:
    """The features a(x) = L^-1 K_Cx of a kernel and M centers; what `nystrom` returns.

    Attributes:
        kernel: k.
        centers: (M, ...).
        factor: L, (M, M).
        jitter: j.
    """

    kernel: Kernel
    centers: Floats
    factor: Floats
    jitter: float

    @property
    def rank(self) -> int:
        """The number of centers."""
        return len(self.centers)

    def __call__(self, x: Floats) -> Floats:
        """Return a(x) for each row, (n, M)."""
        from scipy.linalg import solve_triangular

        block = self.kernel(x, self.centers)
        return solve_triangular(self.factor, block.T, lower=True).T

    def weights(self, coefficients: Floats) -> Floats:
        """Return c with a(x) . beta = sum_j c_j k(x, c_j)."""
        from scipy.linalg import solve_triangular

        return solve_triangular(self.factor, coefficients, lower=True, trans=1)

    def combine(self, x: Floats, coefficients: Floats) -> Floats:
        """Return a(x) . beta for each row, without solving for each row."""
        return self.kernel(x, self.centers) @ self.weights(coefficients)

    def variance(self, x: Floats) -> Floats:
        """Return k(x, x) for each row, (n,)."""
        return kernel_diagonal(self.kernel, x)

    def residual(self, x: Floats) -> Floats:
        """Return k(x, x) - |a(x)|^2 for each row, at least 0: the a-posteriori error of the kernel at each point."""
        a = self(x)
        return np.maximum(self.variance(x) - np.einsum("ij,ij->i", a, a), 0.0)


def nystrom(kernel: Kernel, centers: ArrayLike) -> Nystrom:
    """Return the Nystrom features of a kernel with these centers.

    Args:
        kernel: k.
        centers: M points; see `choose_centers`.

    Raises:
        DomainError: there are no centers, or the kernel of the centers is not finite.
        PrecisionError: the kernel of the centers is far from positive semidefinite.
    """
    from scipy.linalg import LinAlgError, cholesky

    points = np.asarray(centers, dtype=np.float64)
    if points.ndim < 2 or not len(points):
        raise DomainError(f"Centers of shape {points.shape} are no points. Give at least one row.")
    matrix = kernel(points)
    if not np.isfinite(matrix).all():
        raise DomainError("The kernel of the centers contains NaN or infinity. Leave out centers with missing values.")
    scale = float(np.abs(np.diag(matrix)).mean())
    jitter = len(points) * _UNIT * scale or _UNIT
    while jitter <= max(1e-6 * scale, _UNIT):
        try:
            factor = cholesky(matrix + jitter * np.eye(len(points)), lower=True)
        except LinAlgError:
            jitter *= 10
        else:
            return Nystrom(kernel, points, factor, jitter)
    raise PrecisionError("The kernel of the centers is not positive semidefinite. Check how it was computed.")


@dataclass(frozen=True, slots=True)
class KernelError:
    """How far a low-rank kernel is from the kernel at some points, both relative to the kernel. ESTIMATED.

    Attributes:
        spectral: |K - K~| / |K| in the spectral norm.
        frobenius: the same in the Frobenius norm.
    """

    spectral: float
    frobenius: float


def kernel_error(features: LinearFeatures, kernel: Kernel, x: ArrayLike) -> KernelError:
    """Compare a(x_i) . a(x_j) with k(x_i, x_j) for n points, all pairs."""
    points = np.asarray(x, dtype=np.float64)
    exact, a = kernel(points), features(points)
    difference = exact - a @ a.T
    return KernelError(
        *(float(np.linalg.norm(difference, p) / np.linalg.norm(exact, p)) for p in (2, "fro"))  # type: ignore[arg-type]
    )


def choose_centers(kernel: Kernel, x: ArrayLike, count: int, *, ridge: float | None = None, seed: int = 0) -> Floats:
    r"""Return centers from n points, drawn without replacement.

    Without a ridge all points are equally likely. With one they are drawn in proportion to their leverage scores
    $\ell_i = (K (K + \rho I)^{-1})_{ii}$, in the approximation by a pilot of `count` uniform centers: with its features
    a and residuals r,

    $$ \ell_i \approx a_i^T (A^T A + \rho I)^{-1} a_i + r_i/\rho, $$

    at most 1. That prefers points that the others do not explain. The scores take n M numbers of memory: of very many
    points give some.

    Args:
        kernel: k.
        x: (n, ...).
        count: M, from 1 to n.
        ridge: rho > 0 of the scores, or None for uniform centers.
        seed: a nonnegative integer.

    Raises:
        DomainError: the count is not between 1 and n, or the ridge not positive.
    """
    from scipy.linalg import cho_solve, cholesky

    points = np.asarray(x, dtype=np.float64)
    if not 1 <= count <= len(points):
        raise DomainError(f"{count} centers cannot be drawn from {len(points)} points. Give 1 to {len(points)}.")
    if ridge is not None and not 0 < ridge < math.inf:
        raise DomainError(f"The ridge {ridge} of leverage scores is not positive. Give a positive number.")
    generator = np.random.default_rng(seed)
    uniform = generator.choice(len(points), count, replace=False)
    if ridge is None or count == len(points):
        return points[uniform]
    pilot = nystrom(kernel, points[uniform])
    a = pilot(points)
    inner = cholesky(a.T @ a + ridge * np.eye(count), lower=True)
    explained = np.einsum("ij,ji->i", a, cho_solve((inner, True), a.T))
    rest = np.maximum(pilot.variance(points) - np.einsum("ij,ij->i", a, a), 0.0)
    scores = np.minimum(explained + rest / ridge, 1.0)
    positive = scores > 0
    if positive.sum() < count:
        return points[uniform]
    return points[generator.choice(len(points), count, replace=False, p=scores / scores.sum())]


def blocks_of(inputs: Any, targets: Any, rows: int = 2048) -> Blocks:
    """Return the blocks of two arrays of n rows, read as they are needed: memory-mapped files stay on disk.

    Args:
        inputs: (n, ...), any numbers.
        targets: (n,) or (n, k).
        rows: points in a block.

    Raises:
        DomainError: the arrays differ in length or are empty.
    """
    if len(inputs) != len(targets) or not len(inputs) or rows < 1:
        raise DomainError(
            f"{len(inputs)} inputs, {len(targets)} targets and blocks of {rows} rows do not fit. Give as many targets "
            f"as inputs, at least one, in blocks of at least one."
        )

    def start() -> Iterator[Block]:
        for first in range(0, len(inputs), rows):
            part = slice(first, first + rows)
            yield np.asarray(inputs[part], dtype=np.float64), np.asarray(targets[part], dtype=np.float64)

    return start


@dataclass(frozen=True, slots=True, eq=False)
class NormalEquations:
    """What regression on features needs to know of n points; sums over disjoint data add up by `+`.

    Attributes:
        features: a.
        gram: A^T A, (M, M).
        moments: A^T y, (M,) or (M, k).
        points: n.
        trace: the sum of k(x_i, x_i).
    """

    features: LinearFeatures
    gram: Floats
    moments: Floats
    points: int
    trace: float

    def __add__(self, other: NormalEquations) -> NormalEquations:
        if self.features is not other.features:
            raise DomainError("The equations are for different features. Build both from the same.")
        return NormalEquations(
            self.features, self.gram + other.gram, self.moments + other.moments,
            self.points + other.points, self.trace + other.trace,
        )  # fmt: skip

    @property
    def missing(self) -> float:
        """(tr K - tr K~)/tr K. For Nystrom features |K - K~| <= this times tr K; random ones may be below 0."""
        return (self.trace - float(np.trace(self.gram))) / self.trace if self.trace else 0.0

    def solve(self, ridge: float) -> LowRankRegression:
        """Return the regression with this ridge, directly.

        Args:
            ridge: rho > 0.

        Raises:
            DomainError: the ridge is not positive.
            PrecisionError: it is so small that A^T A + rho I has no inverse in float64.
        """
        from scipy.linalg import LinAlgError, cho_solve, cholesky

        shifted = self.gram + _positive(ridge) * np.eye(len(self.gram))
        try:
            factor = cholesky(shifted, lower=True, overwrite_a=True)
        except LinAlgError:
            raise PrecisionError(f"The ridge {ridge:g} is lost in rounding. Give a larger one.") from None
        return LowRankRegression(self.features, cho_solve((factor, True), self.moments), float(ridge), factor)


@dataclass(frozen=True, slots=True, eq=False)
class LowRankRegression:
    """Ridge regression with a low-rank kernel. ESTIMATED.

    Attributes:
        features: a.
        coefficients: beta, (M,) or (M, k).
        ridge: rho.
        factor: lower triangular with factor factor^T = A^T A + rho I; None after conjugate gradients.
    """

    features: LinearFeatures
    coefficients: Floats
    ridge: float
    factor: Floats | None = None

    def predict(self, x: ArrayLike) -> Floats:
        """Return f(x) for each row, (m,) or (m, k)."""
        return self.features.combine(np.asarray(x, dtype=np.float64), self.coefficients)

    def std(self, x: ArrayLike) -> Floats:
        r"""Return the posterior standard deviation of f ~ GP(0, K) with noise of variance rho, (m,).

        It is $(r(x) + \rho\, a(x)^T (A^T A + \rho I)^{-1} a(x))^{1/2}$: the residual keeps the variance that the
        features leave (deterministic training conditional).

        Raises:
            DomainError: the regression comes from conjugate gradients, which keep no factor.
        """
        from scipy.linalg import solve_triangular

        if self.factor is None:
            raise DomainError("Conjugate gradients keep no factor for the variance. Solve directly.")
        points = np.asarray(x, dtype=np.float64)
        a = self.features(points)
        half = solve_triangular(self.factor, a.T, lower=True)
        rest = np.maximum(self.features.variance(points) - np.einsum("ij,ij->i", a, a), 0.0)
        return np.sqrt(rest + self.ridge * np.einsum("ij,ij->j", half, half))


def normal_equations(features: LinearFeatures, data: Blocks, *, jobs: int = 1) -> NormalEquations:
    """Sum A^T A and A^T y over blocks of data, in float64, the blocks one after the other.

    Args:
        features: a.
        data: one pass is made.
        jobs: blocks of features that joblib computes at a time, in the backend that is set, threads by default. The
            result does not depend on it.

    Raises:
        DomainError: there is no data, or a block or its features are not finite.
    """
    from scipy.linalg import get_blas_funcs

    add: Any = get_blas_funcs("syrk", dtype=np.float64)
    rank, gram, moments, points, trace = features.rank, None, None, 0, 0.0
    for a, y, diagonal in _in_parallel(lambda x: (features(x), features.variance(x)), data, jobs):
        gram = np.zeros((rank, rank), order="F") if gram is None else gram
        # A rank-M update in place, of the lower half.
        gram = add(1.0, np.asfortranarray(a.T), beta=1.0, c=gram, lower=1, overwrite_c=1)
        moments = a.T @ y if moments is None else moments + a.T @ y
        points, trace = points + len(a), trace + float(diagonal.sum())
    if gram is None or moments is None:
        raise DomainError("The data has no block. Give at least one point.")
    if not (np.isfinite(gram).all() and np.isfinite(moments).all() and math.isfinite(trace)):
        raise DomainError("The kernel or its features are beyond float64. Scale the points.")
    return NormalEquations(features, np.tril(gram) + np.tril(gram, -1).T, moments, points, trace)


def _in_parallel(compute: Callable[[Floats], tuple[Floats, Floats]], data: Blocks, jobs: int) -> Iterator[Any]:
    """Yield (features, targets, diagonal) of each block, in order, a few blocks ahead of the sum."""
    from joblib import Parallel, delayed

    def task(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise DomainError("The data contains NaN or infinity. Leave out points with missing values.")
        a, diagonal = compute(x)
        return a, y, diagonal

    if jobs == 1:
        yield from (task(x, y) for x, y in data())
        return
    pool = Parallel(n_jobs=jobs, prefer="threads", return_as="generator", pre_dispatch="n_jobs")
    yield from pool(delayed(task)(x, y) for x, y in data())


def conjugate_gradients(
    features: Nystrom, data: Blocks, ridge: float, *, accuracy: float = 1e-8, most: int = 100
) -> LowRankRegression:
    """Solve the equations of regression with Nystrom features by preconditioned conjugate gradients (FALKON).

    Each step is one pass over the data; the number of steps hardly depends on M and n if the ridge is not much below
    n/M times the last eigenvalue of K_CC.

    Args:
        features: a.
        data: the first pass, and one for each step.
        ridge: rho > 0.
        accuracy: the norm of the preconditioned residual, relative to the first one, at which to stop.
        most: the largest number of steps.

    Raises:
        DomainError: the ridge is not positive, or there is no data.
        PrecisionError: the accuracy is not reached.
    """
    from scipy.linalg import cholesky, solve_triangular

    rho, factor, rank = _positive(ridge), features.factor, features.rank
    points, moments, shape = 0, None, ()
    for x, y in data():
        part = features.kernel(x, features.centers).T @ y.reshape(len(y), -1)
        moments = part if moments is None else moments + part
        points, shape = points + len(y), y.shape[1:]
    if moments is None:
        raise DomainError("The data has no block. Give at least one point.")
    outer = cholesky(points / rank * (factor.T @ factor) + rho * np.eye(rank), lower=True)

    def forward(v: Floats) -> Floats:  # the preconditioned unknown -> weights of the kernel
        return solve_triangular(factor, solve_triangular(outer, v, lower=True, trans=1), lower=True, trans=1)

    def backward(v: Floats) -> Floats:
        return solve_triangular(outer, solve_triangular(factor, v, lower=True), lower=True)

    def product(v: Floats) -> Floats:
        weights, total = forward(v), np.zeros_like(v)
        for x, _ in data():
            block = features.kernel(x, features.centers)
            total += block.T @ (block @ weights)
        inner = solve_triangular(outer, v, lower=True, trans=1)
        return backward(total) + rho * solve_triangular(outer, inner, lower=True)

    residual = backward(moments)
    solution, direction = np.zeros_like(residual), residual
    square = first = np.sum(residual**2, axis=0)
    for _ in range(most):
        if np.all(square <= accuracy**2 * first):
            coefficients = solve_triangular(outer, solution, lower=True, trans=1)
            return LowRankRegression(features, coefficients.reshape(rank, *shape), rho)
        image = product(direction)
        curvature = np.sum(direction * image, axis=0)
        step = np.divide(square, curvature, out=np.zeros_like(square), where=curvature > 0)
        solution, residual = solution + step * direction, residual - step * image
        before, square = square, np.sum(residual**2, axis=0)
        direction = residual + np.divide(square, before, out=np.zeros_like(square), where=before > 0) * direction
    raise PrecisionError(
        f"{most} steps reach a residual of {math.sqrt(np.max(square / np.maximum(first, 1e-300))):.2g}, not "
        f"{accuracy:.2g}. Give a larger ridge, or solve directly."
    )


def _positive(ridge: float) -> float:
    if not 0 < ridge < math.inf:
        raise DomainError(f"The ridge {ridge} is not positive. Give a positive number.")
    return float(ridge)
