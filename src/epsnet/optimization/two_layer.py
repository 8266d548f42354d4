r"""The problem of training a two-layer ReLU network with weight decay, in float64.

$$ \min_{w_j, a_j} \frac12 \sum_i \Bigl(\sum_j a_j \max(w_j \cdot x_i, 0) - y_i\Bigr)^2
   + \frac\beta2 \sum_j (|w_j|^2 + a_j^2) $$

over networks of any width. A bias is a last input that is 1, and is penalized like every weight. Only
$s_j = |w_j| |a_j|$ counts once |w_j| = |a_j|, so a network is the measure that puts $v_j = a_j w_j$ at w_j/|w_j|.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import frozen_floats
from epsnet.core.network import Network

Floats = NDArray[np.float64]

_LARGEST = 1e60
_DEAD = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class TwoLayerProblem:
    """The data of the problem.

    Attributes:
        inputs: (n, d), one row for each point; append a column of ones for biases.
        labels: (n,).
        beta: the weight decay, positive.

    Raises:
        DomainError: NaN or infinity, an empty sample, shapes that do not fit, a beta that is not positive, or numbers
            beyond 1e60.
    """

    inputs: Floats
    labels: Floats
    beta: float

    def __post_init__(self) -> None:
        inputs, labels = frozen_floats(self.inputs, "inputs"), frozen_floats(self.labels, "labels")
        if inputs.ndim != 2 or 0 in inputs.shape or labels.shape != (len(inputs),):
            raise DomainError(
                f"The sample has inputs of shape {inputs.shape} and labels of shape {labels.shape}. "
                f"Give (n, d) inputs and n labels, n >= 1."
            )
        decay = frozen_floats(self.beta, "values of beta")
        if decay.ndim or not decay > 0:
            raise DomainError(f"The weight decay {self.beta!r} is not positive. Give a positive number beta.")
        beta = float(decay)
        if max(np.abs(inputs).max(), np.abs(labels).max(), beta, 1 / beta) > _LARGEST:
            raise DomainError("A number of the problem is beyond 1e60. Scale the data.")
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "beta", beta)

    def outputs(self, hidden: Floats, outer: Floats) -> Floats:
        """Return the values of the network with weights W (width, d) and a (width,) at the points."""
        return np.maximum(self.inputs @ hidden.T, 0) @ outer

    def objective(self, hidden: Floats, outer: Floats) -> float:
        """Return the objective, up to rounding."""
        residual = self.labels - self.outputs(hidden, outer)
        return float(residual @ residual + self.beta * ((hidden**2).sum() + outer @ outer)) / 2

    def dual_point(self, residual: Floats, maximum: float) -> Floats:
        """Return the multiple nu of a residual that is feasible and has the largest dual value.

        Args:
            residual: (n,).
            maximum: an upper bound of |sum_i r_i max(x_i . u, 0)| over |u| <= 1.
        """
        square = float(residual @ residual)
        if square == 0:
            return np.zeros_like(residual)
        best = float(residual @ self.labels) / square
        reach = self.beta / maximum if maximum > 0 else np.inf
        return float(np.clip(best, -reach, reach)) * residual


def read_weights(hidden: ArrayLike, outer: ArrayLike, inputs: int) -> tuple[Floats, Floats]:
    """Return W (width, d) and a (width,) as float64. DomainError if they do not fit each other or the inputs."""
    w, a = frozen_floats(hidden, "hidden weights"), frozen_floats(outer, "outer weights")
    if w.ndim != 2 or w.shape[1] != inputs or a.shape != (len(w),):
        raise DomainError(
            f"The weights have shapes {w.shape} and {a.shape}. Give (width, {inputs}) hidden and width outer weights."
        )
    return w, a


def with_ones(inputs: ArrayLike) -> Floats:
    """Return points (n, d) with a last column of ones. DomainError if they are no finite matrix."""
    points = frozen_floats(inputs, "inputs")
    if points.ndim != 2:
        raise DomainError(f"The inputs have shape {points.shape}. Give one row for each point.")
    return np.column_stack((points, np.ones(len(points))))


def two_layer_network(hidden: Floats, outer: Floats, *, biases: bool = False) -> Network:
    """Return the network sum_j a_j relu(w_j x) for W (width, d) and a (width,); a dead neuron if there is none.

    With `biases` the last column of W holds them, and the network has d - 1 inputs.
    """
    if len(outer) == 0:
        hidden, outer = np.zeros((1, hidden.shape[1])), np.zeros(1)
    weights, shifts = (hidden[:, :-1], hidden[:, -1]) if biases else (hidden, np.zeros(len(hidden)))
    return Network.from_layers([(weights, shifts), (outer[None, :], np.zeros(1))])


def train_locally(
    problem: TwoLayerProblem, hidden: Floats, outer: Floats, *, iterations: int = 2000
) -> tuple[Floats, Floats]:
    """Train a network of fixed width by L-BFGS on all weights.

    Args:
        problem: the data.
        hidden: the weights W (width, d) to start from.
        outer: the weights a (width,) to start from.
        iterations: the most steps.

    Returns:
        The weights without the neurons that died: |w| |a| below 1e-4 of the largest.
    """
    from scipy.optimize import minimize

    if len(outer) == 0:
        return hidden, outer

    def both(flat: Floats) -> tuple[float, Floats]:
        w, a = flat[: hidden.size].reshape(hidden.shape), flat[hidden.size :]
        active = np.maximum(problem.inputs @ w.T, 0)
        residual = active @ a - problem.labels
        value = (residual @ residual + problem.beta * (flat @ flat)) / 2
        slope = ((active > 0) * np.outer(residual, a)).T @ problem.inputs + problem.beta * w
        return float(value), np.concatenate((slope.ravel(), active.T @ residual + problem.beta * a))

    start = np.concatenate((hidden.ravel(), outer))
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-8}
    found = minimize(both, start, jac=True, method="L-BFGS-B", options=options)
    w, a = found.x[: hidden.size].reshape(hidden.shape), found.x[hidden.size :]
    strength = np.linalg.norm(w, axis=1) * np.abs(a)
    alive = strength > strength.max() * _DEAD
    return w[alive], a[alive]
