r"""Lower bounds of the objective of all two-layer ReLU networks in any dimension, by semidefinite programming.

In more than four dimensions the largest violation of the dual constraint is out of reach, but quadratic functions bound
it (`relaxed_bound` of `core.two_layer`), and the bound is jointly convex in nu and all multipliers: with nu = a - b and
$e_i \ge a_i^2/\alpha_i$, $|\sigma_i| \le b_i$ the constraint is implied by

$$ \begin{pmatrix} \lambda I - \frac14 X^T \mathrm{diag}(\alpha) X & -\frac14 X^T (\nu - \sigma) \\
   \cdot & \beta - \lambda - \frac14 \sum_i e_i \end{pmatrix} \succeq 0 . $$

So the best nu of this kind, for nu and -nu at once, is the solution of one semidefinite program. The bound is true for
any result of the solver, which is scaled until it is feasible; how far it is below the optimum is not known, and the
gap that is stated contains it. This is the Lagrangian dual of the relaxation of K. Prakhya, T. Birdal, A. Yurtsever
(ICLR 2025) with both signs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import HypothesisError
from epsnet.certify.rounding import ball_arithmetic, round_up
from epsnet.core import two_layer as trusted
from epsnet.core.network import Network
from epsnet.core.solution import Statements
from epsnet.optimization.certificate import TwoLayerCertificate, gap_bound, least_bound, objective_bound, problem_arrays
from epsnet.optimization.conic import Cone, solve_cone_program
from epsnet.optimization.two_layer import TwoLayerProblem

Floats = NDArray[np.float64]

MAX_POINTS = 1000
_MARGIN = 2.0**-40
_LEAST = 1e-9
_ASCENTS = 64
_STEPS = 500


def relaxed_certificate(problem: TwoLayerProblem, network: Network, *, seed: int = 0) -> TwoLayerCertificate:
    """Bracket the global optimum by a network in any dimension; the gap includes that of the relaxation.

    Args:
        problem: the data, n <= 1000 points and d <= 200.
        network: as for `certify_network`.
        seed: of the search for the violating neuron, which is the best that local ascents find.

    Raises:
        DomainError: the network does not fit.
        HypothesisError: too many points or dimensions.
        MissingExtraError: clarabel is not installed.
    """
    primal = objective_bound(problem, network)
    dual, witness = relaxed_dual(problem)
    gap = gap_bound(primal, dual)
    certificate = Certificate.of((gap,), ((primal, problem_arrays(problem)), (dual, witness)))
    hidden, outer = trusted.two_layer_weights(network, problem.inputs)
    residual = problem.labels - problem.outputs(hidden, outer)
    (plus, first), (minus, second) = (local_maximum(problem.inputs, s * residual, seed) for s in (1, -1))
    value, neuron, sign = (plus, first, 1) if plus >= minus else (minus, second, -1)
    violation = value / problem.beta - 1
    return TwoLayerCertificate(primal, dual, gap, neuron, sign, violation, Statements(network, certificate))


def relaxed_dual(problem: TwoLayerProblem) -> tuple[Bound, dict[str, NDArray]]:
    """Return objective >= D of every network, and the witness."""
    count, dimension = problem.inputs.shape
    if count > MAX_POINTS or dimension > trusted.MAX_RELAXED:
        raise HypothesisError(
            f"{count} points in dimension {dimension} are too many for the relaxation. "
            f"Use at most {MAX_POINTS} in {trusted.MAX_RELAXED}."
        )
    scale = float(np.abs(problem.inputs).max()) or 1.0
    height = float(np.abs(problem.labels).max()) or 1.0
    point, sides = _solve(problem.inputs / scale, problem.labels / height, problem.beta / (scale * height))
    point, sides = point * height, [(alpha * (height / scale), sigma * height) for alpha, sigma in sides]
    relaxations, worst = [], 0.0
    for sign, (found, sigma) in zip((1.0, -1.0), sides, strict=True):
        alpha = np.maximum(found, _LEAST * float(found.max()) + 1e-300)
        multiplier = _multiplier(problem.inputs, sign * point, alpha, sigma)
        with ball_arithmetic():
            worst = max(worst, round_up(trusted.relaxed_bound(problem.inputs, sign * point, alpha, sigma, multiplier)))
        relaxations.append((alpha, sigma, [multiplier]))
    # All of it is homogeneous of degree 1 in nu, alpha, sigma and lambda.
    best = float(point @ problem.labels) / max(float(point @ point), 1e-300)
    factor = min(problem.beta / worst * (1 - _MARGIN), best)
    if factor > 0:
        parts = (factor * np.concatenate(pair) for pair in zip(*relaxations, strict=True))
        arrays = dict(zip(("curvatures", "slopes", "multipliers"), parts, strict=True))
    else:
        factor, zeros = 0.0, np.zeros(2 * count)
        arrays = {"curvatures": zeros, "slopes": zeros, "multipliers": np.full(2, problem.beta / 2)}
    arrays |= {"point": factor * point + 0.0, **problem_arrays(problem)}
    return least_bound(problem, arrays["point"], trusted.RELAXED, "relu-relaxation"), arrays


def local_maximum(inputs: Floats, residual: Floats, seed: int = 0) -> tuple[float, Floats]:
    """Return the best value of h(u) = sum_i r_i max(x_i . u, 0) on the unit ball that local ascents find, and u."""
    random = np.random.Generator(np.random.Philox(seed))
    u = random.normal(size=(_ASCENTS, inputs.shape[1]))
    u /= np.linalg.norm(u, axis=1)[:, None]
    best, where = 0.0, np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        values = u @ inputs.T
        heights = np.maximum(values, 0) @ residual
        top = int(np.argmax(heights))
        if heights[top] > best:
            best, where = float(heights[top]), u[top].copy()
        gradient = ((values > 0) * residual) @ inputs
        length = np.linalg.norm(gradient, axis=1)
        u = u + 0.3 * gradient / np.where(length > 0, length, 1.0)[:, None]
        u /= np.linalg.norm(u, axis=1)[:, None]
    return best, where


def _multiplier(inputs: Floats, weights: Floats, alpha: Floats, sigma: Floats) -> float:
    """Return the lambda with the least bound, by bisection in the eigenbasis of Q."""
    values, vectors = np.linalg.eigh((inputs.T * alpha) @ inputs / 4)
    g = vectors.T @ (inputs.T @ (weights - sigma)) / 2
    size = float(np.linalg.norm(g))
    low = values[-1] + 1e-9 * max(values[-1], size, 1e-100)
    high = low + size
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sum((g / (middle - values)) ** 2) > 4 else (low, middle)
    return float(high)


def _solve(inputs: Floats, labels: Floats, beta: float) -> tuple[Floats, list[tuple[Floats, Floats]]]:
    """Return nu, and alpha and sigma for nu and for -nu, from the semidefinite program; the scale is about 1."""
    from scipy import sparse

    count, dimension = inputs.shape
    block = 5 * count + 1
    size = count + 2 * block
    identity, ones = sparse.identity(count, format="csr"), np.ones((count, 1))
    parts, kinds, right = [], list[Cone](), []
    for side, sign in enumerate((1.0, -1.0)):
        place = count + side * block

        def at(matrix, number, place=place):
            """Put a matrix to the columns of a, b, alpha, sigma, e or lambda of this side; -1 for nu."""
            start = 0 if number < 0 else place + number * count
            shift = sparse.csr_matrix((matrix.shape[0], start))
            rest = sparse.csr_matrix((matrix.shape[0], size - start - matrix.shape[1]))
            return sparse.hstack([shift, matrix, rest], format="csr")

        parts.append(at(identity, 0) - at(identity, 1) - sign * at(identity, -1))
        kinds.append(("Zero", count))
        right.append(np.zeros(count))
        parts += [
            -at(identity, 0), -at(identity, 1), at(identity, 3) - at(identity, 1), -at(identity, 3) - at(identity, 1)
        ]  # fmt: skip
        kinds.append(("Nonnegative", 4 * count))
        right.append(np.zeros(4 * count))
        # |(2 a, e - alpha)| <= e + alpha, row by row.
        cones = sparse.vstack(
            [-at(identity, 4) - at(identity, 2), -2 * at(identity, 0), at(identity, 2) - at(identity, 4)]
        )
        parts.append(cones.tocsr()[np.arange(3 * count).reshape(3, count).T.ravel()])
        kinds += [("SecondOrder", 3)] * count
        right.append(np.zeros(3 * count))
        rows, constants = [], []
        for j in range(dimension + 1):
            for i in range(j + 1):
                factor = 1.0 if i == j else np.sqrt(2)
                constants.append(beta if i == dimension else 0.0)
                if i == dimension:
                    row = at(sparse.csr_matrix(0.25 * ones.T), 4) + at(sparse.csr_matrix([[1.0]]), 5)
                elif j == dimension:
                    half = sparse.csr_matrix(factor * inputs[:, i][None] / 4)
                    row = sign * at(half, -1) - at(half, 3)
                else:
                    row = at(sparse.csr_matrix(factor * (inputs[:, i] * inputs[:, j])[None] / 4), 2)
                    row = row - at(sparse.csr_matrix([[float(i == j)]]), 5)
                rows.append(row)
        parts.append(sparse.vstack(rows))
        kinds.append(("PSDTriangle", dimension + 1))
        right.append(np.array(constants))
    quadratic = sparse.diags(np.concatenate((np.ones(count), np.zeros(size - count)))).tocsc()
    linear = np.concatenate((-labels, np.zeros(size - count)))
    x = solve_cone_program(quadratic, linear, sparse.vstack(parts), np.concatenate(right), kinds)
    sides = [x[count + k * block : count + (k + 1) * block].copy() for k in range(2)]
    return x[:count], [(part[2 * count : 3 * count], part[3 * count : 4 * count]) for part in sides]
