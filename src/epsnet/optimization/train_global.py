r"""Training a two-layer ReLU network to its global optimum, by adding neurons where the dual constraint is violated.

On a cell, the cone on which the points have one activation pattern D, the neurons of one sign s add up to one:
v in the cone, output s D X v, penalty beta |v|. So the problem over finitely many cells is a second-order cone program

$$ \min_{v_k \in C_k} \frac12 \Bigl|\sum_k s_k D_k X v_k - y\Bigr|^2 + \beta \sum_k |v_k| $$

(M. Pilanci, T. Ergen, ICML 2020). The residual r of its solution is optimal if |h| <= beta on the unit ball for
$h(u) = \sum_i r_i \max(x_i \cdot u, 0)$; otherwise the cells of the highest local maxima of h are added (the
conditional gradients of F. Bach, JMLR 18, 2017, with an exact step), and local training moves neurons from cell to cell
in between. Whatever the solver says is only a guess: value and gap are certified from the weights alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError
from epsnet.optimization.certificate import TwoLayerCertificate, certificate_of
from epsnet.optimization.conic import Cone, solve_cone_program
from epsnet.optimization.dual_oracle import DualOracle, Peak
from epsnet.optimization.two_layer import TwoLayerProblem, train_locally, two_layer_network, with_ones

Floats = NDArray[np.float64]

_PEAKS = 20
_ACCURACY = 1e-13
_NEGLIGIBLE = 1e-7
_FACETS = 6
_ROUNDS = 30
_LOCAL_STEPS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One round: objective and dual value in float64, the number of cells, and the seconds since the start."""

    primal: float
    dual: float
    cells: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class GlobalOptimum:
    """A network at the global optimum, with its certificate.

    Attributes:
        problem: what was solved.
        hidden, outer: the weights, balanced: |w_j| = |a_j|.
        certificate: objective, lower bound of the objective of every network, and gap, with their derivation.
        steps: the rounds.
    """

    problem: TwoLayerProblem
    hidden: Floats
    outer: Floats
    certificate: TwoLayerCertificate
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return f"{len(self.outer)} neurons after {len(self.steps)} rounds\n{self.certificate}"


@dataclass(slots=True, eq=False)
class _Cell:
    """A cone of neurons of one sign: `features` is D X, `signs` +-1 for each point, `facets` those imposed so far."""

    sign: int
    features: Floats
    signs: Floats
    neuron: Floats
    facets: set[int] = field(default_factory=set)


def train_global(
    inputs: ArrayLike, labels: ArrayLike, beta: float, *, biases: bool = False, tol: float = 1e-9, rounds: int = 100
) -> GlobalOptimum:
    """Train a two-layer ReLU network of any width to its global optimum.

    Args:
        inputs: (n, d), d <= 4, with biases d <= 3.
        labels: (n,).
        beta: the weight decay.
        biases: of the hidden neurons, penalized like every weight: a column of ones is appended to the inputs.
        tol: rounds end when objective minus dual value is at most tol times the objective.
        rounds: the most rounds.

    Returns:
        The network with certified objective, lower bound and gap. The gap is stated, not promised: it is larger than
        asked for if the rounds were spent or the accuracy of the solver was.

    Raises:
        DomainError: NaN, shapes that do not fit, beta or tol not positive.
        HypothesisError: more than 4 inputs, or too many points for them.
        MissingExtraError: clarabel is not installed.
    """
    points = with_ones(inputs) if biases else inputs
    problem = TwoLayerProblem(points, labels, beta)  # pyright: ignore[reportArgumentType]
    if not tol > 0 or rounds < 1:
        raise DomainError(f"tol = {tol!r} and rounds = {rounds!r} must be positive. Give positive ones.")
    start = time.perf_counter()
    oracle = DualOracle(problem.inputs)
    cells: dict[tuple[int, bytes], _Cell] = {}
    best_point, best_dual, steps = np.zeros_like(problem.labels), 0.0, list[Step]()
    best = (np.inf, _weights([], problem))
    for _ in range(rounds):
        cells = _solve(problem, cells)
        trained = train_locally(problem, *_weights(list(cells.values()), problem), iterations=_LOCAL_STEPS)
        if _add(cells, [(int(np.sign(a)), _around(problem, w)) for w, a in zip(*trained, strict=True)], problem):
            cells = _solve(problem, cells)
        hidden, outer = _weights(list(cells.values()), problem)
        residual = problem.labels - problem.outputs(hidden, outer)
        primal = problem.objective(hidden, outer)
        best = min(best, (primal, (hidden, outer)), key=lambda item: item[0])
        peaks = [(sign, peak) for sign in (1, -1) for peak in oracle.peaks(sign * residual, problem.beta, _PEAKS)]
        point = problem.dual_point(residual, max((peak.value for _, peak in peaks), default=problem.beta))
        dual = float(point @ problem.labels - point @ point / 2)
        if dual > best_dual:
            best_point, best_dual = point, dual
        steps.append(Step(best[0], best_dual, len(cells), time.perf_counter() - start))
        if best[0] - best_dual <= tol * best[0] or not _add(cells, peaks, problem):
            break
    hidden, outer = best[1]
    certificate = certificate_of(problem, two_layer_network(hidden, outer, biases=biases), best_point, oracle)
    return GlobalOptimum(problem, hidden, outer, certificate, tuple(steps))


def _add(cells: dict[tuple[int, bytes], _Cell], peaks: list[tuple[int, Peak]], problem: TwoLayerProblem) -> bool:
    """Add the cells around the peaks; tell whether there was a new one."""
    before = len(cells)
    for sign, peak in peaks:
        for pattern in peak.patterns:
            key = (sign, np.packbits(pattern).tobytes())
            if key not in cells:
                signs = np.where(pattern, 1.0, -1.0)
                cell = _Cell(sign, problem.inputs * pattern[:, None], signs, peak.direction)
                norms = np.linalg.norm(problem.inputs, axis=1)
                distance = np.abs(problem.inputs @ peak.direction) / np.where(norms > 0, norms, np.inf)
                nearest = np.argsort(np.where(norms > 0, distance, np.inf))[:_FACETS]
                cell.facets = {int(k) for k in nearest if norms[k] > 0}
                cells[key] = cell
    return len(cells) > before


def _weights(cells: list[_Cell], problem: TwoLayerProblem) -> tuple[Floats, Floats]:
    """Return balanced weights: w = v / sqrt|v|, a = s sqrt|v|."""
    neurons = np.array([cell.neuron for cell in cells]).reshape(-1, problem.inputs.shape[1])
    roots = np.sqrt(np.linalg.norm(neurons, axis=1))
    return neurons / roots[:, None], np.array([cell.sign for cell in cells]) * roots


def _around(problem: TwoLayerProblem, neuron: Floats) -> Peak:
    """Return the cell in which a neuron lies."""
    return Peak(neuron / np.linalg.norm(neuron), 0.0, (problem.inputs @ neuron > 0)[None])


def _solve(problem: TwoLayerProblem, cells: dict[tuple[int, bytes], _Cell]) -> dict[tuple[int, bytes], _Cell]:
    """Solve the problem over some cells, with the facets that matter only; return the cells that are used."""
    norms = np.linalg.norm(problem.inputs, axis=1)
    for _ in range(_ROUNDS if cells else 0):
        _solve_cones(problem, list(cells.values()))
        added = False
        for cell in cells.values():
            size = float(np.linalg.norm(cell.neuron))
            values = cell.signs * (problem.inputs @ cell.neuron)
            worst = np.argsort(values)[:_FACETS]
            new = {int(k) for k in worst if values[k] < -1e-11 * norms[k] * size} - cell.facets
            cell.facets |= new
            added |= bool(new)
        if not added:
            break
    sizes = {key: float(np.linalg.norm(cell.neuron)) for key, cell in cells.items()}
    least = max(sizes.values(), default=0.0) * _NEGLIGIBLE
    return {key: cell for key, cell in cells.items() if sizes[key] > least}


def _solve_cones(problem: TwoLayerProblem, cells: list[_Cell]) -> None:
    """Solve min 1/2 |sum_k s_k F_k v_k - y|^2 + beta sum |v_k| with the facets of each cell by Clarabel."""
    count, dimension = len(cells), problem.inputs.shape[1]
    scale = float(np.abs(problem.inputs).max()) or 1.0
    height = float(np.abs(problem.labels).max()) or 1.0
    features = np.hstack([cell.sign * cell.features for cell in cells]) / scale
    size = count * dimension
    quadratic = np.zeros((size + count, size + count))
    quadratic[:size, :size] = features.T @ features
    linear = np.concatenate((-features.T @ (problem.labels / height), np.full(count, problem.beta / (scale * height))))
    facets = [(k, i) for k, cell in enumerate(cells) for i in sorted(cell.facets)]
    rows = np.zeros((len(facets), size + count))
    for number, (k, i) in enumerate(facets):
        row = problem.inputs[i]
        rows[number, k * dimension : (k + 1) * dimension] = -cells[k].signs[i] * row / np.linalg.norm(row)
    cones = np.zeros((count * (dimension + 1), size + count))
    for k in range(count):
        top = k * (dimension + 1)
        cones[top, size + k] = -1
        cones[top + 1 : top + 1 + dimension, k * dimension : (k + 1) * dimension] = -np.eye(dimension)
    ball: Cone = ("SecondOrder", dimension + 1)
    kinds: list[Cone] = [("Nonnegative", len(facets)), *[ball] * count]
    matrix = np.concatenate((rows, cones))
    solution = solve_cone_program(quadratic, linear, matrix, np.zeros(len(matrix)), kinds[not facets :], _ACCURACY)
    solution = solution[:size].reshape(count, dimension) * (height / scale)
    for cell, neuron in zip(cells, solution, strict=True):
        cell.neuron = neuron
