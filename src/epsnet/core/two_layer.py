r"""Training of two-layer ReLU networks with weight decay: objective and dual function, and what bounds them rigorously.

For inputs $x_i \in R^d$, labels $y_i$ and $\beta > 0$ the objective of a network
$\Phi(x) = \sum_j a_j \max(w_j \cdot x, 0)$ of any width is

$$ P(w, a) = \frac12 \sum_i (\Phi(x_i) - y_i)^2 + \frac\beta2 \sum_j (|w_j|^2 + a_j^2). $$

**Theorem** (weak duality). Let $|\sum_i \nu_i \max(x_i \cdot u, 0)| \le \beta$ for all $|u| \le 1$. Then
$P \ge D(\nu) = \nu \cdot y - |\nu|^2/2$ for every network of every width.

*Proof.* With the residual $\rho = y - \Phi(X)$ we have $|\rho|^2/2 \ge \nu \cdot \rho - |\nu|^2/2$ and
$\nu \cdot \Phi(X) = \sum_j a_j \sum_i \nu_i \max(x_i \cdot w_j, 0) \le \beta \sum_j |a_j| |w_j|
\le \frac\beta2 \sum_j (|w_j|^2 + a_j^2)$. Add. QED.

For the optimal residual both are equal (M. Pilanci, T. Ergen, Neural networks are convex regularizers, ICML 2020), so
the difference of the two is a certificate that needs no trust in the training.
"""

from __future__ import annotations

import numpy as np
from flint import arb, arb_mat
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.hashing import sha256_arrays
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.core.arrangement import Arrangement, max_with_zero, maximum_bound
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network

Floats = NDArray[np.float64]

OBJECTIVE = "objective"
LEAST = "objective of every two-layer ReLU network"
EXCESS = "objective minus the least objective of all two-layer ReLU networks"
"""The quantities of the bounds; each is followed by the text of `problem_text`."""

RELAXED = "no neuron violates the constraint: quadratic functions bound it from both sides on the unit ball"
EVALUATED = "the objective was enclosed in balls"

MAX_PRODUCTS = 2**25
"""Points times weights of a network whose objective is enclosed: about a minute."""

MAX_RELAXED = 200
"""The most inputs of a sample whose dual constraint is bounded by quadratic functions."""


def problem_text(inputs: Floats, labels: Floats, beta: float) -> str:
    """Return what a bound says of the problem it is about."""
    digest = sha256_arrays({"inputs": inputs + 0.0, "labels": labels + 0.0})
    return f" (beta = {beta!r}, data {digest})"


def two_layer_weights(network: Network, inputs: Floats) -> tuple[Floats, Floats]:
    """Return W (width, d) and a (width,) of a network for inputs (n, d).

    Its hidden biases are the last column of W if it has one input less than d, and the last column of the inputs is 1.

    Raises:
        DomainError: it is no two-layer ReLU network with one output, no output bias and float64 weights, or it does not
            fit the inputs.
    """
    plain = (
        len(network.layers) == 2
        and network.outputs == 1
        and all(len(layer.terms) == 1 and isinstance(layer.terms[0][1], Dense) for layer in network.layers)
        and [layer.terms[0][0] for layer in network.layers] == [0, 1]
        and set(network.layers[0].activations) == {"relu"}
        and network.layers[1].activations == ("identity",)
        and not any(network.layers[1].bias_values())
        and all(isinstance(layer.bias, np.ndarray) for layer in network.layers)
    )
    if not plain:
        raise DomainError("The network is not sum_j a_j relu(w_j x + b_j). Give a two-layer ReLU network of this form.")
    hidden, outer = (np.asarray(layer.terms[0][1].weight) for layer in network.layers)  # pyright: ignore[reportAttributeAccessIssue]
    bias = np.asarray(network.layers[0].bias, dtype=np.float64)
    columns = inputs.shape[1]
    if network.inputs == columns - 1 and (inputs[:, -1] == 1).all():
        return np.column_stack((hidden, bias)), outer[0]
    if network.inputs != columns or bias.any():
        raise DomainError(
            f"A network with {network.inputs} inputs{' and biases' * bool(bias.any())} does not fit {columns} columns "
            f"of inputs. Append a column of ones for the biases."
        )
    return hidden, outer[0]


def objective(inputs: Floats, labels: Floats, beta: float, hidden: Floats, outer: Floats) -> arb:
    """Return a ball that contains P(w, a). DomainError if that would take too long."""
    if len(inputs) * max(hidden.size, 1) > MAX_PRODUCTS:
        raise DomainError("The network or the sample is too large for an exact objective. Use fewer neurons.")
    with ball_arithmetic():
        half = ball(0.5)
        directions = arb_mat(hidden.T.tolist()) if len(hidden) else None
        coefficients = [ball(value) for value in outer.tolist()]
        loss = arb(0)
        # Point by point: all products at once would take gigabytes.
        for row, label in zip(inputs.tolist(), labels.tolist(), strict=True):
            active = () if directions is None else map(max_with_zero, (arb_mat([row]) * directions).entries())
            value = sum((a * z for a, z in zip(coefficients, active, strict=True)), arb(0))
            loss += (value - ball(label)) ** 2
        squares = sum((ball(value) ** 2 for value in [*hidden.ravel().tolist(), *outer.tolist()]), arb(0))
        return half * (loss + ball(beta) * squares)


def dual_value(labels: Floats, point: Floats) -> arb:
    """Return a ball that contains D(nu) = nu . y - |nu|^2 / 2."""
    with ball_arithmetic():
        pairs = [(ball(nu), ball(y)) for nu, y in zip(point.tolist(), labels.tolist(), strict=True)]
        return sum((nu * y - nu * nu / 2 for nu, y in pairs), arb(0))


def shift_bound(inputs: Floats, rows: Floats, point: Floats) -> float:
    """Return a number that is at least sum_i |nu_i| |x_i - x_i'| for the first n rows x_i'."""
    moved = np.flatnonzero((inputs != rows[: len(inputs)]).any(axis=1))
    with ball_arithmetic():
        total = arb(0)
        for i in moved.tolist():
            pairs = zip(inputs[i].tolist(), rows[i].tolist(), strict=True)
            square = sum(((ball(old) - ball(new)) ** 2 for old, new in pairs), arb(0))
            total += abs(ball(float(point[i]))) * ball(round_up(square)).sqrt()
        return round_up(total)


def constraint_bound(arrangement: Arrangement, inputs: Floats, rows: Floats, point: Floats, floor: float) -> float:
    """Return a number that is certainly at least |sum_i nu_i max(x_i . u, 0)| for all |u| <= 1, and at least the floor.

    Args:
        arrangement: that of the rows.
        inputs: (n, d).
        rows: (m, d), m >= n, the first n in place of the inputs.
        point: (n,) nu.
        floor: the least answer; it is the answer if that can be proved to be one.
    """
    shift = ball(shift_bound(inputs, rows, point))
    with ball_arithmetic():
        rest = round_down(ball(floor) - shift)
    padded = np.concatenate((point, np.zeros(len(rows) - len(point))))
    found = max(maximum_bound(arrangement, sign * padded, rest) for sign in (1.0, -1.0))
    with ball_arithmetic():
        return floor if found == rest else round_up(ball(found) + shift)


def arrangement_hypothesis(arrangement: Arrangement) -> str:
    """Return what was checked of a dual point by the arrangement of the rows."""
    return f"no neuron violates the constraint: all faces at {len(arrangement.subsets)} pairs of rays were bounded"


def relaxed_bound(inputs: Floats, weights: Floats, curvatures: Floats, slopes: Floats, multiplier: float) -> arb:
    r"""Return a ball all of whose numbers up from its upper end bound M, the maximum of sum_i r_i max(x_i . u, 0).

    **Theorem.** Let $a_i = \max(r_i + |\sigma_i|, 0)$, $\alpha_i \ge 0$, positive where $a_i$ is, and put
    $Q = \frac14 \sum_i \alpha_i x_i x_i^T$, $g = \frac12 \sum_i (r_i - \sigma_i) x_i$. If $\lambda I - Q$ is positive
    definite, $M \le \lambda + \frac14 \sum_i a_i^2/\alpha_i + \frac14 g^T (\lambda I - Q)^{-1} g$.

    *Proof.* With z = x_i . u we have r max(z, 0) = (r z + r |z|)/2 and r = a - b with b >= |sigma|, so
    $r |z| \le a |z| - \sigma z \le \frac12 (\alpha z^2 + a^2/\alpha) - \sigma z$. Sum, and maximize
    $u^T Q u + g \cdot u + \lambda (1 - |u|^2)$ over all u. QED.

    Args:
        inputs: (n, d).
        weights: (n,) r.
        curvatures: (n,) alpha.
        slopes: (n,) sigma.
        multiplier: lambda.

    Raises:
        DomainError: an alpha is negative, or zero where it must not be, lambda I - Q is not certainly positive
            definite, or there are too many points or dimensions.
    """
    dimension = inputs.shape[1]
    if dimension > MAX_RELAXED or inputs.size * dimension > MAX_PRODUCTS:
        raise DomainError("The sample is too large for the relaxation. Use fewer points or dimensions.")
    with ball_arithmetic():
        least = arb(0)
        for r, alpha, sigma in zip(weights.tolist(), curvatures.tolist(), slopes.tolist(), strict=True):
            above = max_with_zero(ball(r) + abs(ball(sigma)))
            if alpha < 0 or (alpha == 0 and not above <= 0):
                raise DomainError("A curvature is not positive. Build the relaxation anew.")
            least += above**2 / ball(alpha) if alpha > 0 else 0
        x = arb_mat(inputs.tolist())
        scaled = arb_mat(
            [
                [ball(v) * ball(alpha) for v in row]
                for row, alpha in zip(inputs.tolist(), curvatures.tolist(), strict=True)
            ]
        )
        quarter = x.transpose() * scaled
        pairs = zip(weights.tolist(), slopes.tolist(), strict=True)
        g = x.transpose() * arb_mat([[(ball(r) - ball(sigma)) / 2] for r, sigma in pairs])
        matrix = [
            [(ball(multiplier) if i == j else arb(0)) - quarter[i, j] / 4 for j in range(dimension)]
            for i in range(dimension)
        ]
        return ball(multiplier) + least / 4 + _inverse_form(matrix, [g[i, 0] for i in range(dimension)]) / 4


def _inverse_form(matrix: list[list[arb]], vector: list[arb]) -> arb:
    """Return g . A^-1 g for a symmetric matrix, by elimination. DomainError if A is not certainly positive definite."""
    total = arb(0)
    for k in range(len(vector)):
        pivot = matrix[k][k]
        if not pivot > 0:
            raise DomainError("The relaxation is not certainly bounded. Use a larger multiplier.")
        total += vector[k] ** 2 / pivot
        for i in range(k + 1, len(vector)):
            ratio = matrix[i][k] / pivot
            vector[i] = vector[i] - ratio * vector[k]
            for j in range(k + 1, i + 1):
                matrix[i][j] = matrix[i][j] - ratio * matrix[j][k]
    return total
