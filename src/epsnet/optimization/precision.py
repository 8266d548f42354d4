r"""Shallow networks fitted to machine precision: variable projection, Levenberg-Marquardt, and one stage after another.

$$ \Phi(x) = c_0 + \sum_{i=1}^k c_i\, \sigma(w_i \cdot x + b_i). $$

*Variable projection.* For given (w, b) the c with the least ||S c - y||^2 + n rho^2 ||c||^2 solves a linear
least-squares problem; S holds the values sigma(w_i x_j + b_i) and 1 at the n points. With rho sqrt(n) I below S, zeros
below y, and U an orthonormal basis of the range of that matrix, the residual r = (I - U U^T) (y; 0) depends on (w, b)
alone. L. Kaufman's approximation of its Jacobian,

$$ J = -(I - U U^T)\,\bigl(c_i\, \sigma'(w_i \cdot x_j + b_i)\, x_j,\; c_i\, \sigma'(w_i \cdot x_j + b_i);\; 0\bigr), $$

leaves out what is of second order in r. The steps minimize ||r + J d||^2 + mu s^2 ||d||^2 with s = ||J||; mu falls
after a step that lowers ||r|| and rises otherwise.

*Why rho.* S has singular values down to rounding. Without a penalty the coefficients grow to 10^3 and more, and
coefficients of size C leave an error of about 2^-53 C. To leave out small singular values instead makes r
discontinuous, and the steps end early.

*Stages.* A single fit stalls, and larger fits are ever worse conditioned. The next stage therefore fits the residual
divided by its largest value, with frequencies near the number of its changes of sign; the sum of the stages is again
one network with one hidden layer.

Errors found here are those at the points of the fit: ESTIMATED. `learn(..., method="precise")` proves them.

Sources: G. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432; L. Kaufman, BIT 15 (1975) 49-57; Y. Wang,
C.-Y. Lai, Multi-stage neural networks: function approximator of machine precision, J. Comput. Phys. 504 (2024) 112865.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.network import Network

Array = NDArray[np.float64]

_RIDGES = (1e-10, 1e-13)
"""rho, for values of size 1: of the first stage, whose coefficients no later stage can repair, and of a later one."""
_FIRST = (2.0, 4.0, 8.0, 16.0)
_LATER = (0.5, 1.0, 2.0)
"""Frequencies that are tried: of the first stage on [-1, 1]^d; of a later one, relative to the changes of sign."""
_TRIAL = 60
_DERIVATIVES: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "tanh": (np.tanh, lambda z, value: 1 - value**2),
    "sigmoid": (lambda z: (1 + np.tanh(z / 2)) / 2, lambda z, value: value * (1 - value)),
    "sin": (np.sin, lambda z, value: np.cos(z)),
}
ACTIVATIONS = tuple(_DERIVATIVES)
"""The activations that are fitted."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage did.

    Attributes:
        neurons: k.
        frequency: the largest |w_i| at its start, for inputs in [-1, 1]^d.
        iterations: steps taken.
        largest: the largest residual at the points after it.
        root_mean_square: of the residuals after it.
    """

    neurons: int
    frequency: float
    iterations: int
    largest: float
    root_mean_square: float


@dataclass(frozen=True, slots=True)
class PrecisionFit:
    """A network and the stages that it is the sum of."""

    network: Network
    stages: tuple[Stage, ...]


def chebyshev_points(domain: Box, count: int) -> Array:
    """Return the tensor grid of Chebyshev points of a box, about `count` in all, float64 (count, d)."""
    each = max(2, round(count ** (1 / domain.dimension)))
    line = np.cos((np.arange(each) + 0.5) * np.pi / each)
    sides = [
        float(low) + (line + 1) / 2 * float(high - low) for low, high in zip(domain.lower, domain.upper, strict=True)
    ]
    return np.stack([axis.ravel() for axis in np.meshgrid(*sides, indexing="ij")], axis=1)


def fit_in_stages(
    points: ArrayLike,
    values: ArrayLike,
    neurons: Sequence[int] = (20, 60),
    *,
    activation: str = "tanh",
    iterations: int = 200,
    seed: int = 0,
    progress: Callable[[Stage], None] | None = None,
) -> PrecisionFit:
    """Return a network with one hidden layer that fits values at points, stage by stage.

    Args:
        points: (n, d), or (n,) for one variable; five points for each neuron of a stage are enough.
        values: (n,).
        neurons: of each stage.
        activation: one of `ACTIVATIONS`.
        iterations: the most steps of a stage.
        seed: of the starts.
        progress: called after each stage.

    Raises:
        DomainError: shapes that do not fit, a value that is not finite, or fewer points than parameters.
        HypothesisError: the activation is none of `ACTIVATIONS`.
    """
    x, residual = _checked(points, values, neurons)
    if activation not in _DERIVATIVES:
        raise HypothesisError(
            f"The activation {activation} is not fitted to machine precision. Use one of {', '.join(ACTIVATIONS)}."
        )
    low, high = x.min(axis=0), x.max(axis=0)
    center, half = (low + high) / 2, np.where(high > low, (high - low) / 2, 1.0)
    weights, biases, outer, constant, stages = [], [], [], 0.0, []
    for number, count in enumerate(neurons):
        scale = float(np.abs(residual).max())
        if scale == 0.0:
            break
        problem = _Problem((x - center) / half, activation, _RIDGES[min(number, 1)])
        changes = int(np.count_nonzero(np.diff(np.sign(residual))))
        frequencies = tuple(factor * max(changes, 1) for factor in _LATER) if number else _FIRST
        fit, frequency, steps = problem.best(residual / scale, count, frequencies, iterations, (seed, number))
        residual = residual - scale * (fit.design @ fit.outer)
        weights.append(fit.inner[:, :-1] / half)
        biases.append(fit.inner[:, -1] - weights[-1] @ center)
        outer.append(scale * fit.outer[:-1])
        constant += scale * float(fit.outer[-1])
        stages.append(
            Stage(count, frequency, steps, float(np.abs(residual).max()), float(np.sqrt(np.mean(residual**2))))
        )
        if progress is not None:
            progress(stages[-1])
    if not stages:
        raise DomainError("The values are 0. There is nothing to fit.")
    layers = [(np.vstack(weights), np.concatenate(biases)), (np.concatenate(outer)[None, :], np.array([constant]))]
    return PrecisionFit(Network.from_layers(layers, activation=activation), tuple(stages))


@dataclass(frozen=True, slots=True)
class _Fit:
    """A stage: (w, b) in one matrix, w x + b, S with its last column 1, c with c_0 at its end, U, r and |r|^2."""

    inner: Array
    hidden: Array
    design: Array
    outer: Array
    basis: Array
    residual: Array
    loss: float


@dataclass(frozen=True, slots=True)
class _Problem:
    """The points in [-1, 1]^d, the activation, and rho."""

    points: Array
    activation: str
    ridge: float

    def best(
        self, values: Array, neurons: int, frequencies: Sequence[float], iterations: int, seed: Sequence[int]
    ) -> tuple[_Fit, float, int]:
        """Return the fit of the frequency that is best after a few steps, carried on; its frequency; its steps."""
        tried = []
        for number, frequency in enumerate(frequencies):
            rng = np.random.Generator(np.random.Philox([*seed, number]))
            start = self._solve(self._start(neurons, frequency, rng), values)
            fit, mu, steps = self._descend(start, values, 1e-2, min(_TRIAL, iterations))
            tried.append((fit.loss, number, fit, mu, steps))
        _, number, fit, mu, steps = min(tried, key=lambda trial: trial[:2])
        fit, _, more = self._descend(fit, values, mu, iterations - steps)
        return fit, frequencies[number], steps + more

    def _start(self, neurons: int, frequency: float, rng: np.random.Generator) -> Array:
        """Return random directions with slopes up to the frequency, whose bends lie all over the points."""
        directions = rng.standard_normal((neurons, self.points.shape[1]))
        directions *= frequency * rng.uniform(0.2, 1, (neurons, 1)) / np.linalg.norm(directions, axis=1, keepdims=True)
        if self.points.shape[1] == 1:
            centers = np.linspace(-1, 1, neurons)[:, None]
        else:
            centers = self.points[rng.choice(len(self.points), neurons, replace=False)]
        return np.hstack([directions, -(directions * centers).sum(axis=1, keepdims=True)])

    def _solve(self, inner: Array, values: Array) -> _Fit:
        evaluate, _ = _DERIVATIVES[self.activation]
        hidden = self.points @ inner[:, :-1].T + inner[:, -1]
        design = np.hstack([evaluate(hidden), np.ones((len(values), 1))])
        width = design.shape[1]
        damped = np.vstack([design, self.ridge * len(values) ** 0.5 * np.eye(width)])
        basis, sizes, right = np.linalg.svd(damped, full_matrices=False)
        outer = right.T @ ((basis[: len(values)].T @ values) / sizes)
        residual = np.concatenate([values, np.zeros(width)]) - damped @ outer
        return _Fit(inner, hidden, design, outer, basis, residual, float(residual @ residual))

    def _descend(self, fit: _Fit, values: Array, mu: float, iterations: int) -> tuple[_Fit, float, int]:
        """Return the fit after Levenberg-Marquardt steps, the last mu, and how many steps lowered the residual."""
        for step in range(iterations):
            left, sizes, right = np.linalg.svd(self._jacobian(fit), full_matrices=False)
            gradient = left.T @ fit.residual
            for _ in range(12):
                change = -right.T @ (sizes / (sizes**2 + mu * sizes[0] ** 2) * gradient)
                new = self._solve(fit.inner + change.reshape(fit.inner.shape), values)
                if new.loss < fit.loss:
                    break
                mu *= 5.0
            else:
                return fit, mu, step
            fit, mu = new, max(mu / 5, 1e-18)
        return fit, mu, iterations

    def _jacobian(self, fit: _Fit) -> Array:
        _, derivative = _DERIVATIVES[self.activation]
        slopes = derivative(fit.hidden, fit.design[:, :-1]) * fit.outer[:-1]
        columns = slopes[:, :, None] * np.hstack([self.points, np.ones((len(self.points), 1))])[:, None, :]
        columns = columns.reshape(len(self.points), -1)
        columns = np.vstack([columns, np.zeros((len(fit.residual) - len(columns), columns.shape[1]))])
        return fit.basis @ (fit.basis.T @ columns) - columns


def _checked(points: ArrayLike, values: ArrayLike, neurons: Sequence[int]) -> tuple[Array, Array]:
    try:
        x, y = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DomainError("Points and values are no numbers. Give arrays of floats.") from None
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or y.shape != (len(x),) or not len(x):
        raise DomainError(f"Points {x.shape} and values {y.shape} do not fit. Give (n, d) and (n,).")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DomainError("A point or a value is not finite. Remove it.")
    if not neurons or min(neurons) < 1:
        raise DomainError("Each stage needs at least one neuron. Give something like (20, 60).")
    if len(x) < (x.shape[1] + 2) * max(neurons) + 1:
        raise DomainError(
            f"{len(x)} points do not determine {max(neurons)} neurons. Give at least five points for each neuron."
        )
    return x, y
