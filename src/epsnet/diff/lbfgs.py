"""Empirical risk minimization by L-BFGS, on all examples at once and in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

from epsnet.diff import randomness
from epsnet.diff.problem import Problem
from epsnet.diff.result import EpochRecord, FitResult, TrainingInterrupted
from epsnet.diff.steps import functions
from epsnet.diff.track import Track

STATIONARY = 1e-12
_MEMORY = 30  # pairs of steps and gradient differences; they cost little beside the gradient of a whole sample


def minimize(
    problem: Problem, options: dict[str, Any], seed: int, callback: Callable[[EpochRecord], None] | None
) -> FitResult:
    """Minimize the risk on the training pairs plus (lambda/2) |theta|^2; to be called in a float64 scope.

    An epoch is an iteration: a quasi-Newton direction from the last 30 pairs, and a line search for the strong Wolfe
    conditions. The risk and its gradient are evaluated about 1.2 times in each. It ends with the status

    | status | because |
    |---|---|
    | stationary | no entry of the gradient, in normalized data, exceeds 1e-12 |
    | no decrease | the line search finds no smaller value: rounding in float64 is reached |
    | patience, finished | as in training by steps |

    Source: D. C. Liu, J. Nocedal, On the limited memory BFGS method for large scale optimization, Math. Program. 45
    (1989). The implementation is L-BFGS-B of SciPy.
    """
    risks, evaluate = functions(problem, options, 1)
    initial = randomness.initial_params(options["widths"], options["activation"], seed)
    initial = jax.tree.map(lambda leaf: leaf.astype(np.float64), initial)
    start, unravel = ravel_pytree(initial)
    pairs = jax.device_put(problem.train)
    decay = options["weight_decay"] / 2
    unit = problem.maps.target_scale**2 if options["loss"] == "square" else 1.0
    track = Track(initial)

    @jax.jit
    def gradient(theta: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.value_and_grad(lambda theta: risks(unravel(theta), x, y)[0] + decay * (theta @ theta))(theta)

    def objective(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = gradient(theta, *pairs)
        return float(value), np.asarray(slope)

    def note(intermediate_result: OptimizeResult) -> None:
        nonlocal track
        theta = intermediate_result.x.copy()
        params = jax.tree.map(np.asarray, unravel(theta))
        reached = unit * (intermediate_result.fun - decay * float(theta @ theta))
        record = EpochRecord(len(track.history) + 1, reached, np.nan, np.nan)
        if problem.validation is not None:
            stacked = jax.tree.map(lambda leaf: leaf[None], params)
            risk, error = (float(value[0]) for value in evaluate(stacked, *problem.validation))
            record = record._replace(validation_risk=unit * risk, validation_error=unit**0.5 * error)
        track = track.extended(record, params, options, problem.validation is not None)
        if callback is not None:
            callback(record)
        if track.ended is not None:
            raise StopIteration

    bounds = {"maxiter": options["epochs"], "maxfun": np.iinfo(np.int32).max}
    try:
        found = scipy_minimize(
            objective, np.asarray(start), jac=True, method="L-BFGS-B", callback=note,
            options={"maxcor": _MEMORY, "ftol": 0.0, "gtol": STATIONARY, **bounds},
        )  # fmt: skip
    except KeyboardInterrupt:
        raise TrainingInterrupted([track.result(problem)]) from None
    if track.ended is None:
        stationary = np.max(np.abs(found.jac)) <= STATIONARY
        track = track._replace(ended="stationary" if stationary else "no decrease")
    return track.result(problem)
