r"""Inference with kernels: the Gaussian-process posterior, and what gradient descent on a wide network predicts.

**Posterior.** For f ~ GP(0, K) and y = f(X) + noise of variance s the posterior at test points * is normal with

$$ m_* = K_{*X} (K + sI)^{-1} y, \quad C_{**} = K_{**} - K_{*X} (K + sI)^{-1} K_{X*}, $$
$$ \log p(y) = -\tfrac12 y^T (K + sI)^{-1} y - \tfrac12 \log\det(K + sI) - \tfrac n2 \log 2\pi, $$

by one Cholesky factorization. With K the NNGP kernel it is the posterior of an infinitely wide Bayesian network.

**Training.** Gradient flow on $\frac1{2n}|f - y|^2 + \frac{\rho}{2n}|w - w_0|^2$ of a network that is linear in w, with
the tangent kernel $\Theta = Q\,\mathrm{diag}(e)\,Q^T$ at the n training points, is solved by

$$ B_t = Q\,\mathrm{diag}\Bigl(\frac{1 - \exp(-(e + \rho)t/n)}{e + \rho}\Bigr) Q^T, \quad
   f_t(*) = f_0(*) + \Theta_{*X} B_t (y - f_0(X)), \quad |w_t - w_0|^2 = r^T B_t \Theta B_t r, \; r = y - f_0(X). $$

k steps of gradient descent with step size eta have $1 - (1 - \eta(e + \rho)/n)^k$ in place of the exponential, and
converge for $\eta < 2n/(e_{\max} + \rho)$. If f_0 ~ GP(0, K), the ensemble over initializations is normal with

$$ m_* = S y, \quad C_{**} = K_{**} + S K S^T - S K_{X*} - K_{*X} S^T, \quad S = \Theta_{*X} B_t. $$

The movement |w_t - w_0| is the radius of lazy training: the linearization is good for networks so wide that the Hessian
hardly changes on a ball of this radius. $\sqrt{2 y^T \Theta^{-1} y / n}$ is the leading term of the risk bound of Arora
et al. for two-layer networks trained from a small start.

All numbers are float64 without an error bound, ESTIMATED. An eigenvalue below n u e_max (u = 2^-52) cannot be told from
0; where its inverse would be needed, that is an error and not a number.

Sources: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press 2006, algorithm 2.1;
J. Lee et al., Wide neural networks of any depth evolve as linear models under gradient descent, NeurIPS 2019;
S. Arora, S. S. Du, W. Hu, Z. Li, R. Wang, Fine-grained analysis of optimization and generalization for
overparameterized two-layer neural networks, ICML 2019, theorem 5.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, PrecisionError

Floats = NDArray[np.float64]

_UNIT = float(np.finfo(np.float64).eps)
_ASYMMETRY = 1e-8
"""The largest |K - K^T| relative to |K| that is taken for rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A normal distribution at m test points. ESTIMATED.

    Attributes:
        mean: (m,) for one output, (m, k) for several.
        covariance: (m, m), the same for every output.
    """

    mean: Floats
    covariance: Floats

    @property
    def std(self) -> Floats:
        """The standard deviation at each point, (m,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """A Gaussian process conditioned on data; what `gaussian_process` returns. ESTIMATED.

    Attributes:
        factor: (n, n) lower triangular, factor factor^T = K + noise I.
        coefficients: (K + noise I)^-1 y, the shape of y.
        log_marginal_likelihood: log p(y), the sum over the outputs.
        condition: an estimate of the condition number of K + noise I in the 1-norm.
    """

    factor: Floats
    coefficients: Floats
    log_marginal_likelihood: float
    condition: float

    def predict(self, test_train: ArrayLike, test: ArrayLike) -> Prediction:
        """Return the posterior of f (not of f with noise) at m points.

        Args:
            test_train: K_*X, (m, n).
            test: K_**, (m, m).

        Raises:
            DomainError: shapes do not fit, or a value is not finite.
        """
        from scipy.linalg import solve_triangular

        cross = _cross(test_train, len(self.factor))
        prior = _kernel(test, len(cross))
        half = solve_triangular(self.factor, cross.T, lower=True)
        return Prediction(cross @ self.coefficients, prior - half.T @ half)


def gaussian_process(train: ArrayLike, targets: ArrayLike, noise: float = 0.0) -> GaussianProcess:
    """Condition the process with the covariance K on the values y at n points.

    Args:
        train: K, (n, n), symmetric.
        targets: y, (n,), or (n, k) for k independent outputs.
        noise: the variance s >= 0 of the noise in y.

    Raises:
        DomainError: shapes do not fit, a value is not finite, or equal points have different values without noise.
        PrecisionError: K + noise I is not positive definite in float64.
    """
    from scipy.linalg import LinAlgError, cholesky, get_lapack_funcs, solve_triangular

    kernel, y = _kernel(train), _targets(targets, np.shape(train)[0])
    n, shifted = len(kernel), kernel + _nonnegative(noise, "noise") * np.eye(len(kernel))
    try:
        factor = cholesky(shifted, lower=True)
        pocon: Any = get_lapack_funcs("pocon", dtype=np.float64)
        inverse_condition = float(pocon(factor, np.abs(shifted).sum(axis=0).max(), uplo="L")[0])
    except LinAlgError:
        factor, inverse_condition = np.zeros_like(kernel), 0.0
    if not inverse_condition >= n * _UNIT:
        raise _singular(kernel, y, "noise", noise)
    half = solve_triangular(factor, y, lower=True)
    determinant = 2 * float(np.log(np.diag(factor)).sum())
    outputs = 1 if y.ndim == 1 else y.shape[1]
    likelihood = -0.5 * float(np.sum(half**2)) - 0.5 * outputs * (determinant + n * math.log(2 * math.pi))
    return GaussianProcess(
        factor, solve_triangular(factor, half, lower=True, trans=1), likelihood, 1 / inverse_condition
    )


@dataclass(frozen=True, slots=True, eq=False)
class KernelTraining:
    """Training in the kernel regime, solved; what `kernel_training` returns. ESTIMATED.

    A time t is one of gradient flow, or, where a step size is given, a number of steps of gradient descent; infinity is
    the end of both. The methods raise DomainError if a shape does not fit, a time is negative, or a step size is not
    between 0 and `max_step_size`, and PrecisionError if the end of training is asked for and the kernel is singular.

    Attributes:
        kernel: Theta at the training points, (n, n).
        eigenvalues, eigenvectors: of Theta, ascending; those below 0 by rounding are 0.
        targets: y, (n,) or (n, k).
        ridge: rho.
    """

    kernel: Floats
    eigenvalues: Floats
    eigenvectors: Floats
    targets: Floats
    ridge: float

    @property
    def condition(self) -> float:
        """The condition number of Theta + rho I; infinite if it is singular."""
        low, high = self.eigenvalues[[0, -1]] + self.ridge
        return float(high / low) if low > 0 else math.inf

    @property
    def max_step_size(self) -> float:
        """2n/(e_max + rho): gradient descent converges with step sizes below it; infinite for the kernel 0."""
        largest = float(self.eigenvalues[-1]) + self.ridge
        return 2 * len(self.kernel) / largest if largest > 0 else math.inf

    def filter(self, time: float = math.inf, step_size: float | None = None) -> Floats:
        """Return the eigenvalues of B_t, (n,)."""
        shifted, n = self.eigenvalues + self.ridge, len(self.kernel)
        if not time >= 0:
            raise DomainError(f"The time {time} is negative. Give a number from 0 to infinity.")
        if step_size is not None and not 0 < step_size < self.max_step_size:
            raise DomainError(
                f"Gradient descent with step size {step_size:g} does not converge. Give one between 0 and "
                f"{self.max_step_size:g}, excluding both."
            )
        if time == math.inf:
            if not shifted[0] >= n * _UNIT * max(shifted[-1], np.finfo(np.float64).tiny):
                raise _singular(self.kernel, self.targets, "ridge", self.ridge)
            return 1 / shifted
        if step_size is None:
            done, start = -np.expm1(-shifted * (time / n)), time / n
        else:
            decay = shifted * (step_size / n)
            slow = decay < 0.5
            done, start = 1 - (1 - decay) ** time, time * step_size / n
            done[slow] = -np.expm1(time * np.log1p(-decay[slow]))
        return np.divide(done, shifted, out=np.full(n, start), where=shifted > 0)

    def _apply(self, r: Floats, time: float, step_size: float | None) -> Floats:
        """Return B_t r for columns r."""
        weights = self.filter(time, step_size)
        return self.eigenvectors @ (weights.reshape(-1, *[1] * (r.ndim - 1)) * (self.eigenvectors.T @ r))

    def _residual(self, initial: ArrayLike | None) -> Floats:
        if initial is None:
            return self.targets
        return self.targets - _targets(initial, len(self.kernel), self.targets.shape)

    def mean(
        self,
        test_train: ArrayLike,
        time: float = math.inf,
        *,
        step_size: float | None = None,
        initial_train: ArrayLike | None = None,
        initial_test: ArrayLike | None = None,
    ) -> Floats:
        """Return f_t at m points, (m,) or (m, k): the mean of the ensemble, or one linearized network.

        Args:
            test_train: Theta_*X, (m, n).
            time: t.
            step_size: eta of gradient descent; None is gradient flow.
            initial_train: f_0 at the training points, as the targets; None is 0.
            initial_test: f_0 at the test points, (m,) or (m, k); None is 0.
        """
        cross = _cross(test_train, len(self.kernel))
        change = cross @ self._apply(self._residual(initial_train), time, step_size)
        return change if initial_test is None else change + _targets(initial_test, len(cross), change.shape)

    def ensemble(
        self,
        test_train: ArrayLike,
        nngp_train: ArrayLike,
        nngp_test_train: ArrayLike,
        nngp_test: ArrayLike,
        time: float = math.inf,
        *,
        step_size: float | None = None,
    ) -> Prediction:
        """Return the law at m points of networks trained from independent initializations f_0 ~ GP(0, K).

        Args:
            test_train: Theta_*X, (m, n).
            nngp_train: K at the training points, (n, n).
            nngp_test_train: K_*X, (m, n).
            nngp_test: K_**, (m, m).
            time: t.
            step_size: eta of gradient descent; None is gradient flow.
        """
        n = len(self.kernel)
        cross = _cross(test_train, n)
        smoother = self._apply(cross.T, time, step_size).T
        prior_cross = _cross(nngp_test_train, n)
        if len(prior_cross) != len(cross):
            raise DomainError(f"The kernels are for {len(cross)} and {len(prior_cross)} test points. Make them equal.")
        mixed = smoother @ prior_cross.T
        covariance = _kernel(nngp_test, len(cross)) + smoother @ _kernel(nngp_train, n) @ smoother.T - mixed - mixed.T
        return Prediction(smoother @ self.targets, covariance)

    def movement(
        self, time: float = math.inf, *, step_size: float | None = None, initial_train: ArrayLike | None = None
    ) -> float:
        """Return |w_t - w_0|, the radius of lazy training, over all outputs together."""
        moved = self._apply(self._residual(initial_train), time, step_size)
        return math.sqrt(max(float(np.sum(moved * (self.kernel @ moved))), 0.0))

    @property
    def complexity(self) -> float:
        """(2 y^T Theta^-1 y / n)^(1/2) with Theta + rho I for Theta, over all outputs together (Arora et al. 2019)."""
        solved = self._apply(self.targets, math.inf, None)
        return math.sqrt(2 * float(np.sum(self.targets * solved)) / len(self.kernel))


def kernel_training(train: ArrayLike, targets: ArrayLike, ridge: float = 0.0) -> KernelTraining:
    """Diagonalize training with the tangent kernel Theta at n points; see the module for the formulas.

    Args:
        train: Theta, (n, n), symmetric positive semidefinite.
        targets: y, (n,), or (n, k) for k outputs with the same kernel.
        ridge: rho >= 0.

    Raises:
        DomainError: shapes do not fit, a value is not finite, or Theta is not positive semidefinite.
    """
    from scipy.linalg import eigh

    kernel, y = _kernel(train), _targets(targets, np.shape(train)[0])
    values, vectors = eigh(kernel)
    if values[0] < -_ASYMMETRY * abs(values[-1]):
        raise DomainError(
            f"The kernel has the eigenvalue {values[0]:.3g}, so it is not positive semidefinite. "
            f"Check how it was computed."
        )
    return KernelTraining(kernel, np.maximum(values, 0.0), vectors, y, _nonnegative(ridge, "ridge"))


def _kernel(values: ArrayLike, size: int | None = None) -> Floats:
    kernel = np.asarray(values, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size or size not in (None, len(kernel)):
        wanted = "a square matrix" if size is None else f"a matrix of shape {(size, size)}"
        raise DomainError(f"A kernel has the shape {kernel.shape}. Give {wanted}.")
    if not np.isfinite(kernel).all():
        raise DomainError("A kernel contains NaN or infinity. Leave out the points with missing values.")
    if np.abs(kernel - kernel.T).max() > _ASYMMETRY * np.abs(kernel).max():
        raise DomainError("A kernel is not symmetric. Give the kernel of the points with themselves.")
    return (kernel + kernel.T) / 2


def _cross(values: ArrayLike, points: int) -> Floats:
    cross = np.asarray(values, dtype=np.float64)
    if cross.ndim != 2 or cross.shape[1] != points or not np.isfinite(cross).all():
        raise DomainError(
            f"A kernel of test and training points has the shape {cross.shape} or is not finite. Give one finite row "
            f"of {points} values for each test point."
        )
    return cross


def _targets(values: ArrayLike, points: int, shape: tuple[int, ...] | None = None) -> Floats:
    y = np.asarray(values, dtype=np.float64)
    if y.ndim not in (1, 2) or len(y) != points or not y.size or shape not in (None, y.shape):
        raise DomainError(
            f"Values of shape {y.shape} do not fit. Give them as {shape or f'({points},) or ({points}, k)'}."
        )
    if not np.isfinite(y).all():
        raise DomainError("The values contain NaN or infinity. Leave out the points with missing values.")
    return y


def _nonnegative(value: float, name: str) -> float:
    if not 0 <= value < math.inf:
        raise DomainError(f"{name} = {value} is not a finite number >= 0. Give one.")
    return float(value)


def _singular(kernel: Floats, y: Floats, name: str, value: float) -> DomainError | PrecisionError:
    """Return the error for a kernel without an inverse, naming two equal points if there are any."""
    scale = np.diag(kernel)
    distances = scale[:, None] + scale - 2 * kernel
    np.fill_diagonal(distances, np.inf)
    i, j = sorted(int(k) for k in np.unravel_index(distances.argmin(), distances.shape))
    if distances[i, j] <= 64 * _UNIT * max(scale[i], scale[j]):
        if not np.array_equal(y[i], y[j]):
            return DomainError(
                f"The points {i} and {j} are the same to the kernel but have different values, so that no function "
                f"fits both. Give a larger {name} than {value:g}, or remove one of them."
            )
        return PrecisionError(
            f"The points {i} and {j} are the same to the kernel, so that it has no inverse. Remove one of them, or "
            f"give a larger {name} than {value:g}."
        )
    return PrecisionError(
        f"The smallest eigenvalue of the kernel of {len(kernel)} points cannot be told from 0 in float64. "
        f"Give a larger {name} than {value:g}."
    )
