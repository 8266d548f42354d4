r"""The edge of stability: the sharpness along gradient descent on all examples.

On a quadratic loss, theta <- theta - eta grad L is stable in the direction of an eigenvalue lambda of the Hessian if
eta lambda < 2. Descent on networks does not keep away from that: the sharpness, the largest eigenvalue, rises until
eta lambda/2 is 1 and then stays there, while the loss falls on, not monotonically.

The sharpness comes from Lanczos steps on Hessian-vector products that start from the eigenvector found before; what
they find is never above the largest eigenvalue, but for rounding. ESTIMATED.

Source: J. Cohen, S. Kaur, Y. Li, J. Z. Kolter, A. Talwalkar, Gradient descent on neural networks typically occurs at
the edge of stability, ICLR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError
from epsnet.optimization.hessian import Objective, _jax, network_objective

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Gradient descent with its sharpness.

    Attributes:
        step_size: eta.
        steps: (m,) after how many steps the sharpness was measured.
        losses: (N,) L before each step; those after `diverged` are left out.
        sharpness: (m,) the largest eigenvalue of the Hessian.
        theta: (P,) the parameters at the end, or the last ones with a finite loss and gradient.
        diverged: the step, counted from 1, at which the loss or the gradient is not finite; None if there is none.
    """

    step_size: float
    steps: NDArray[np.int64]
    losses: Floats
    sharpness: Floats
    theta: Floats
    diverged: int | None

    @property
    def edge(self) -> Floats:
        """Eta lambda/2 where the sharpness was measured: 1 at the edge of stability."""
        return self.step_size * self.sharpness / 2

    def __str__(self) -> str:
        if self.diverged is not None:
            return (
                f"The loss or its gradient is not finite at step {self.diverged}; the parameters before are kept. "
                f"Descend again with a step size below {self.step_size:g}, or scale inputs and labels."
            )
        half = self.edge[len(self.edge) // 2 :]
        mean = f"eta sharpness/2 = {half.mean():.4f} on average over the last half"
        return f"{len(self.losses)} steps, loss {self.losses[-1]:.6g}, {mean}   ESTIMATED"


def descend(
    objective: Objective, theta: ArrayLike, step_size: float, steps: int, *, every: int = 100, lanczos: int = 10
) -> Descent:
    """Return gradient descent on a loss, in float64, with the sharpness measured every so many steps.

    Where a loss or a gradient is not finite it stops with the last parameters where they are.

    Args:
        objective: the loss.
        theta: (P,) the start.
        step_size: eta > 0.
        steps: how many; rounded down to a multiple of `every`.
        every: steps between two measurements of the sharpness.
        lanczos: Lanczos steps of each, at most P.

    Raises:
        DomainError: a number is not positive, or the start is not finite.
        MissingExtraError: JAX is not installed.
    """
    start = np.asarray(theta, dtype=np.float64)
    if start.ndim != 1 or not start.size or not np.isfinite(start).all():
        raise DomainError("The start is not a finite vector. Give the parameters as (P,).")
    if objective.shapes and start.size != sum(map(prod, objective.shapes)):
        raise DomainError(f"The start has {start.size} parameters, the network has others. Give one for each weight.")
    if not (0 < step_size < np.inf and 1 <= every <= steps and lanczos >= 1):
        raise DomainError("Step size, steps or Lanczos steps are not positive. Give 1 <= every <= steps.")
    jax, precise = _jax()
    with precise():
        run = _program(jax, objective, steps // every, every, min(lanczos, start.size))
        final, last, losses, sharpness = (np.asarray(value) for value in run(start, float(step_size)))
    flat = losses.ravel()
    broken = np.flatnonzero(~np.isfinite(flat))
    diverged = int(broken[0]) + 1 if len(broken) else None
    kept = len(flat) if diverged is None else diverged - 1
    measured = kept // every
    places = every * np.arange(1, measured + 1)
    kept_theta = final if diverged is None else last
    return Descent(step_size, places, flat[:kept], sharpness[:measured], kept_theta, diverged)


def _program(jax: Any, objective: Objective, blocks: int, every: int, lanczos: int) -> Any:
    """Return the compiled map from (theta, eta) to the end of the descent, losses (blocks, every), sharpness (blocks,).

    The end is the parameters after the last step, and the last ones with a finite loss. From the step at which the loss
    is not finite nothing moves, and the losses are NaN.
    """
    jnp = jax.numpy
    slope = jax.value_and_grad(objective.function)

    def step(carry: Any, _: Any) -> Any:
        theta, last, eta = carry
        value, gradient = slope(theta)
        new = theta - eta * gradient
        finite = jnp.isfinite(value) & jnp.isfinite(new).all()
        return (jnp.where(finite, new, theta), jnp.where(finite, theta, last), eta), jnp.where(finite, value, jnp.nan)

    def sharpest(theta: Any, start: Any) -> tuple[Any, Any]:
        def product(v: Any) -> Any:
            return jax.jvp(jax.grad(objective.function), (theta,), (v,))[1]

        def extend(basis: Any, number: Any) -> Any:
            v = basis[number]
            image = product(v)
            rest = image - basis.T @ (basis @ image)
            rest = rest - basis.T @ (basis @ rest)
            size = jnp.linalg.norm(rest)
            following = jnp.where(size > 1e-12 * jnp.linalg.norm(image), rest / size, jnp.zeros_like(rest))
            return basis.at[number + 1].set(following), image

        first = jnp.zeros((lanczos + 1, len(theta))).at[0].set(start)
        basis, images = jax.lax.scan(extend, first, jnp.arange(lanczos))
        small = basis[:lanczos] @ images.T
        # Directions after a breakdown are 0: what they add goes below all eigenvalues.
        unused = 1.0 * (jnp.linalg.norm(basis[:lanczos], axis=1) < 0.5)
        small = (small + small.T) / 2 - jnp.diag(unused) * (1 + 2 * jnp.linalg.norm(small))
        values, vectors = jnp.linalg.eigh(small)
        vector = vectors[:, -1] @ basis[:lanczos]
        return values[-1], vector / jnp.linalg.norm(vector)

    def block(carry: Any, _: Any) -> Any:
        state, vector = carry
        state, losses = jax.lax.scan(step, state, length=every)
        value, new = sharpest(state[0], vector)
        vector = jnp.where(jnp.isfinite(new).all(), new, vector)
        return (state, vector), (losses, value)

    def run(theta: Any, eta: Any) -> Any:
        # A start without symmetries, so that it is orthogonal to no eigenvector by accident.
        vector = jnp.sin(1 + jnp.arange(len(theta)) ** 2)
        start = ((theta, theta, eta), vector / jnp.linalg.norm(vector))
        ((final, last, _), _), (losses, values) = jax.lax.scan(block, start, length=blocks)
        return final, last, losses, values

    return jax.jit(run)


def chebyshev_regression(width: int = 100, points: int = 20, seed: int = 0) -> tuple[Objective, Floats]:
    """Return the mean square loss of tanh networks [1, width, 1] for 8 x^4 - 8 x^2 + 1, and a random start.

    The points are equally spaced in [-1, 1]; the weights are normal with variance 2/(fan-in + fan-out), the biases 0.

    Args:
        width: of the hidden layer.
        points: n.
        seed: of the weights.

    Raises:
        DomainError: no neuron or no point.
    """
    if min(width, points) < 1:
        raise DomainError(f"There are {width} neurons and {points} points. Give at least one of each.")
    generator = np.random.Generator(np.random.Philox(seed))
    x = np.linspace(-1, 1, points)[:, None]
    size = np.sqrt(2 / (1 + width))
    layers = [
        (size * generator.standard_normal((width, 1)), np.zeros(width)),
        (size * generator.standard_normal((1, width)), np.zeros(1)),
    ]
    return network_objective(layers, x, 8 * x**4 - 8 * x**2 + 1, loss="square", activation="tanh")
