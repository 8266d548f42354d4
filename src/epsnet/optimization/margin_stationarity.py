r"""How nearly a homogeneous network is at a stationary point of the largest margin: the residual (eps, delta).

Let Phi(theta; x) be a ReLU network of L matrices without biases, so that Phi(c theta; x) = c^L Phi(theta; x) for c > 0.
Gradient flow of the logistic or the exponential loss, once it separates the data, turns towards the Karush-Kuhn-Tucker
points of

$$ \min\ |\theta|^2/2 \quad \text{subject to} \quad q_i(\theta) = y_i\,\Phi(\theta; x_i) \ge 1 \text{ for all } i: $$

every limit of theta/|theta| is the direction of one. With q_min = min_i q_i > 0 the parameters
theta~ = theta/q_min^(1/L) fulfill the constraints, and they are an (eps, delta)-approximate point of this kind if for
some multipliers lambda_i >= 0

$$ \Bigl|\tilde\theta - \sum_i \lambda_i\,\nabla q_i(\tilde\theta)\Bigr| \le \varepsilon, \qquad
   \lambda_i\,(q_i(\tilde\theta) - 1) \le \delta \text{ for all } i. $$

The multipliers here are those for which the sum of the squares of all these terms is least. For L = 1 the only point
with (0, 0) is the classifier of largest margin (`implicit_bias`); for L > 1 such a point need not even be a local
optimum.

Sources: K. Lyu, J. Li, Gradient descent maximizes the margin of homogeneous neural networks, ICLR 2020; Z. Ji,
M. Telgarsky, Directional convergence and alignment in deep learning, NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.optimization.implicit_bias import Floats, classes


@dataclass(frozen=True, slots=True, eq=False)
class MarginStationarity:
    """The residual of normalized parameters, in float64.

    Attributes:
        epsilon, delta: the two numbers.
        multipliers: (n,) lambda.
        length: |theta~|, the scale of epsilon.
        margin: q_min/|theta|^L = |theta~|^-L of the network as given.
    """

    epsilon: float
    delta: float
    multipliers: Floats
    length: float
    margin: float


def margin_stationarity(weights: Sequence[ArrayLike], inputs: ArrayLike, labels: ArrayLike) -> MarginStationarity:
    """Return the residual (eps, delta) of a bias-free ReLU network with one output.

    Args:
        weights: the matrices, first to last; the last has one row.
        inputs: (n, d).
        labels: (n,) of 1 and -1, of which both occur.

    Raises:
        DomainError: shapes that do not fit, a number that is not finite, or other labels.
        HypothesisError: the network errs on a point, so that it has no margin; or all points are of one class.

    Example:
        >>> found = margin_stationarity([[[2.0, 2.0]]], [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [1, 1, -1])
        >>> round(found.epsilon, 12), round(found.margin, 6)
        (0.0, 0.707107)
    """
    from scipy.optimize import nnls

    x, y = classes(inputs, labels)
    matrices = [np.array(matrix, dtype=np.float64) for matrix in weights]
    shapes = [matrix.shape for matrix in matrices]
    ends = [x.shape[1], *(shape[0] for shape in shapes)]
    if not matrices or ends[-1] != 1 or shapes != list(zip(ends[1:], ends[:-1], strict=True)):
        raise DomainError(f"The shapes {shapes} do not fit inputs {x.shape} and one output. Give W_1, ..., W_L.")
    theta = np.concatenate([matrix.ravel() for matrix in matrices])
    margins, gradients = _gradients(matrices, x, y)
    least = float(margins.min())
    if not np.isfinite(gradients).all() or not np.isfinite(theta).all():
        raise DomainError("A weight or a gradient is not finite. Give smaller weights.")
    if least <= 0:
        raise HypothesisError(f"The network errs on point {int(margins.argmin())}. Train it until it separates them.")
    depth = len(matrices)
    scale = least ** (-1 / depth)
    theta, gradients, slack = scale * theta, scale ** (depth - 1) * gradients, margins / least - 1
    system = np.vstack([gradients.T, np.diag(slack)])
    multipliers = nnls(system, np.append(theta, np.zeros(len(x))), maxiter=100 * len(x))[0]
    length = float(np.linalg.norm(theta))
    return MarginStationarity(
        float(np.linalg.norm(theta - multipliers @ gradients)), float((multipliers * slack).max()), multipliers, length,
        length**-depth,
    )  # fmt: skip


def _gradients(matrices: Sequence[Floats], x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return q_i and its gradient, (n, P); the derivative of a ReLU at 0 is 0."""
    values = [x]
    for matrix in matrices[:-1]:
        values.append(np.maximum(values[-1] @ matrix.T, 0))
    margins, back, parts = y * (values[-1] @ matrices[-1].T)[:, 0], y[:, None], []
    for matrix, value in zip(reversed(matrices), reversed(values), strict=True):
        parts.append((back[:, :, None] * value[:, None, :]).reshape(len(x), -1))
        back = (back @ matrix) * (value > 0)
    return margins, np.concatenate(parts[::-1], axis=1)
