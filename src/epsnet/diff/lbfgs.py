"""Empirical risk minimization by L-BFGS, on all examples at once and in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

from epsnet.diff.problem import Problem
from epsnet.diff.result import EpochRecord, FitResult, TrainingInterrupted
from epsnet.diff.whole_sample import STATIONARY, WholeSample

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
    | diverged | the risk is not finite, at the start or after an iteration |
    | patience, finished | as in training by steps |

    Source: D. C. Liu, J. Nocedal, On the limited memory BFGS method for large scale optimization, Math. Program. 45
    (1989). The implementation is L-BFGS-B of SciPy.
    """
    sample = WholeSample(problem, options, seed, callback)

    def note(intermediate_result: OptimizeResult) -> None:
        sample.note(intermediate_result.x, intermediate_result.fun)
        if sample.ended:
            raise StopIteration

    if not np.isfinite(sample.value_and_gradient(sample.start)[0]):
        sample.end("diverged")
        return sample.result()
    bounds = {"maxiter": options["epochs"], "maxfun": np.iinfo(np.int32).max}
    try:
        found = scipy_minimize(
            sample.value_and_gradient, sample.start, jac=True, method="L-BFGS-B", callback=note,
            options={"maxcor": _MEMORY, "ftol": 0.0, "gtol": STATIONARY, **bounds},
        )  # fmt: skip
    except KeyboardInterrupt:
        raise TrainingInterrupted([sample.result()]) from None
    sample.end("stationary" if np.max(np.abs(found.jac)) <= STATIONARY else "no decrease")
    return sample.result()
