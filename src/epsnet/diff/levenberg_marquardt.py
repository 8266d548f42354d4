"""Least squares by Levenberg-Marquardt steps, on all examples at once and in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.diff.problem import Problem
from epsnet.diff.result import EpochRecord, FitResult, TrainingInterrupted
from epsnet.diff.whole_sample import STATIONARY, WholeSample

_MAX_JACOBIAN = 2**27  # entries: 1 GB
_REJECTED = 12  # steps in a row; by then mu has grown by 2^78 = 3e23


def minimize(
    problem: Problem, options: dict[str, Any], seed: int, callback: Callable[[EpochRecord], None] | None
) -> FitResult:
    """Minimize the square loss plus (lambda/2) |theta|^2 = |r(theta)|^2; to be called in a float64 scope.

    With J the Jacobian of r and s = ||J||, a step d minimizes |r + J d|^2 + mu s^2 |d|^2, by the singular value
    decomposition. With q the decrease of |r|^2 divided by the one predicted, it is taken if q > 0, and mu is multiplied
    by max(1/3, 1 - (2 q - 1)^3); otherwise mu is multiplied by 2, 4, 8, ... An epoch is a step that is tried: one
    evaluation of r and J. The status is

    | status | because |
    |---|---|
    | stationary | no entry of the gradient, in normalized data, exceeds 1e-12 |
    | no decrease | 12 steps in a row do not lower the residual |
    | diverged | r or J is not finite at the start, or J after a step |
    | patience, finished | as in training by steps |

    Source: D. W. Marquardt, An algorithm for least-squares estimation of nonlinear parameters, SIAM J. Appl. Math. 11
    (1963); H. B. Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05, DTU 1999.

    Raises:
        DomainError: the loss is not the square loss, or J is too large for memory.
    """
    if options["loss"] != "square":
        raise DomainError("Levenberg-Marquardt steps are for the square loss. Use lbfgs for the cross entropy.")
    sample = WholeSample(problem, options, seed, callback)
    theta, mu, rejected = sample.start, 1e-2, 0
    rows = problem.train[1].size + theta.size
    if rows * theta.size > _MAX_JACOBIAN:
        raise DomainError(f"A Jacobian of {rows} x {theta.size} entries is too large for memory. Use lbfgs.")

    @jax.jit
    def evaluate(theta: jax.Array, pairs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return sample.residuals(theta, pairs), jax.jacfwd(sample.residuals)(theta, pairs)

    def linearized(theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        residual, jacobian = (np.asarray(part) for part in evaluate(theta, sample.pairs))
        return residual, jacobian, float(residual @ residual)

    residual, jacobian, value = linearized(theta)
    factors = None
    try:
        while not sample.ended:
            if not (np.isfinite(value) and np.isfinite(jacobian).all()):
                sample.end("diverged")
            elif np.abs(2 * residual @ jacobian).max() <= STATIONARY:
                sample.end("stationary")
            elif rejected == _REJECTED:
                sample.end("no decrease")
            else:
                left, sizes, right = factors = factors or np.linalg.svd(jacobian, full_matrices=False)
                slope, damped = residual @ left, sizes**2 + mu * sizes[0] ** 2
                step = (sizes / damped * slope) @ right
                trial = linearized(theta - step)
                if trial[2] < value:
                    predicted = float(np.sum(slope**2 * (1 - (1 - sizes**2 / damped) ** 2)))
                    mu *= max(1 / 3, 1 - (2 * (value - trial[2]) / predicted - 1) ** 3)
                    theta, (residual, jacobian, value), factors, rejected = theta - step, trial, None, 0
                else:
                    rejected += 1
                    mu *= 2.0**rejected
                sample.note(theta, value)
    except KeyboardInterrupt:
        raise TrainingInterrupted([sample.result()]) from None
    return sample.result()
