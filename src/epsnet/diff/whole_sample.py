"""What optimizers that see all examples at once have in common: the objective in float64, and its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from epsnet.diff import randomness
from epsnet.diff.problem import Problem
from epsnet.diff.realize import realize
from epsnet.diff.result import EpochRecord, FitResult, Status
from epsnet.diff.steps import functions
from epsnet.diff.track import Track

STATIONARY = 1e-12
"""No entry of the gradient, in normalized data, exceeds it at a stationary point."""


class WholeSample:
    """The risk on the training pairs plus (lambda/2) |theta|^2, as a function of one vector; in a float64 scope."""

    def __init__(
        self, problem: Problem, options: dict[str, Any], seed: int, callback: Callable[[EpochRecord], None] | None
    ) -> None:
        initial = randomness.initial_params(options["widths"], options["activation"], seed)
        initial = jax.tree.map(lambda leaf: leaf.astype(np.float64), initial)
        theta, self._unravel = ravel_pytree(initial)
        self.start: NDArray[np.float64] = np.asarray(theta)
        self._problem, self._options, self._callback = problem, options, callback
        self._decay = options["weight_decay"] / 2
        self._unit = problem.maps.target_scale**2 if options["loss"] == "square" else 1.0
        self._pairs = jax.device_put(problem.train)
        self._track = Track(initial)
        risks, self._evaluate = functions(problem, options, 1)

        @jax.jit
        def gradient(theta: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
            objective = lambda theta: risks(self._unravel(theta), x, y)[0] + self._decay * (theta @ theta)  # noqa: E731
            return jax.value_and_grad(objective)(theta)

        self._gradient = gradient

    def value_and_gradient(self, theta: Any) -> tuple[float, NDArray[np.float64]]:
        """Return the objective and its gradient."""
        value, slope = self._gradient(theta, *self._pairs)
        return float(value), np.asarray(slope)

    def residuals(self, theta: jax.Array, pairs: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Return r(theta) with |r|^2 the objective, for the square loss on the pairs of `self.pairs`."""
        x, targets = pairs
        center, scale = self._problem.pixel
        x = (x.reshape(len(x), -1).astype(theta.dtype) - center) / scale
        errors = realize(self._unravel(theta), self._options["activation"], x) - targets
        return jnp.concatenate([errors.ravel() / len(x) ** 0.5, self._decay**0.5 * theta])

    @property
    def pairs(self) -> tuple[jax.Array, jax.Array]:
        """The training pairs on the device."""
        return self._pairs

    @property
    def ended(self) -> bool:
        """Whether the records end the training."""
        return self._track.ended is not None

    def note(self, theta: Any, value: float) -> None:
        """Record an iteration that ended at theta, where the objective is `value`."""
        theta = np.array(theta)
        params = jax.tree.map(np.asarray, self._unravel(theta))
        number = len(self._track.history) + 1
        record = EpochRecord(number, self._unit * (value - self._decay * float(theta @ theta)), np.nan, np.nan)
        validation = self._problem.validation
        if validation is not None:
            stacked = jax.tree.map(lambda leaf: leaf[None], params)
            risk, error = (float(found[0]) for found in self._evaluate(stacked, *validation))
            record = record._replace(validation_risk=self._unit * risk, validation_error=self._unit**0.5 * error)
        self._track = self._track.extended(record, params, self._options, validation is not None, number)
        if self._callback is not None and len(self._track.history) == number:
            self._callback(record)

    def end(self, status: Status) -> None:
        """Record why the training ends, unless a record ended it before."""
        if not self.ended:
            failed = len(self._track.history) + 1 if status == "diverged" else None
            self._track = self._track._replace(ended=status, failed=failed)

    def result(self) -> FitResult:
        """Return the network of the best iteration."""
        return self._track.result(self._problem)
