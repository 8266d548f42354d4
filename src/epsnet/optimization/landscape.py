r"""Loss landscapes: planes through a network, paths between two, permutations that align them, critical points.

**Filter-normalized planes** (H. Li et al. 2018). A random direction has, for each neuron, the norm of that neuron's own
weights, so that networks of different scale show comparable pictures. A neuron's weights are its row of A together with
its bias, scaled once, as one vector; a neuron of zeros stays where it is.

**Barrier** of a path theta(t) from a to b: the maximum over t of f(theta(t)) - (1 - t) f(a) - t f(b), on a grid.

**Matching** (S. K. Ainsworth, J. Hayase, S. Srinivasa, Git Re-Basin, ICLR 2023). Permuting the neurons of hidden layers
leaves a network the same function. For one hidden layer the permutation of b that is nearest to a is a linear
assignment problem, solved exactly; for several, layer after layer is matched until none improves: a local optimum.
Where inputs differ in scale the distance of weights says little, and the outputs of neurons on a sample are compared
instead.

**Critical points.** Levenberg-Marquardt on |grad f|^2: (H^2 + mu I) s = -H grad f. It finds saddles as well as minima,
and may end where H grad f = 0 but grad f is not (C. G. Frye et al. 2021); what is returned says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, EpsnetError
from epsnet.core.network import activation as activation_of
from epsnet.optimization.hessian import Objective

Floats = NDArray[np.float64]
Layers = Sequence[tuple[Any, Any]]
Direction = list[tuple[Floats, Floats]]


def filter_normalized(layers: Layers, seed: int) -> Direction:
    """Return a random direction whose rows [A_i, b_i] have the norms of those of the layers.

    Raises:
        DomainError: a weight is not finite.
    """
    generator, found = np.random.Generator(np.random.Philox(seed)), []
    for matrix, bias in layers:
        rows = np.column_stack([np.asarray(matrix, dtype=float), np.asarray(bias, dtype=float)])
        if not np.isfinite(rows).all():
            raise DomainError("A weight is not finite. Give a network that was trained without overflow.")
        step = generator.normal(size=rows.shape)
        step *= (np.linalg.norm(rows, axis=1) / np.linalg.norm(step, axis=1))[:, None]
        found.append((step[:, :-1], step[:, -1]))
    return found


@dataclass(frozen=True, slots=True)
class Plane:
    """Values of a loss on layers + s first + t second; values[i, j] belongs to t = places[i], s = places[j]."""

    places: Floats
    values: Floats
    first: Direction
    second: Direction


def loss_plane(
    loss: Callable[[Direction], float], layers: Layers, *, radius: float = 1.0, points: int = 25, seed: int = 0
) -> Plane:
    """Return the loss on a plane through a network, along two independent filter-normalized directions.

    Args:
        loss: layers -> the loss.
        layers: pairs (A, b), in the middle.
        radius: s and t run from -radius to radius.
        points: along each axis, odd so that the network itself is one of them.
        seed: of the first direction; seed + 1 is that of the second.

    Raises:
        DomainError: the radius is not positive or there are no points.
    """
    if not radius > 0 or points < 1:
        raise DomainError(f"A plane of radius {radius} with {points} points is empty. Give a radius and points.")
    first, second = filter_normalized(layers, seed), filter_normalized(layers, seed + 1)
    places = np.linspace(-radius, radius, points) if points > 1 else np.zeros(1)

    def at(s: float, t: float) -> float:
        return float(loss([
            (np.asarray(a) + s * a1 + t * a2, np.asarray(b) + s * b1 + t * b2)
            for (a, b), (a1, b1), (a2, b2) in zip(layers, first, second, strict=True)
        ]))  # fmt: skip

    return Plane(places, np.array([[at(s, t) for s in places] for t in places]), first, second)


def matched(
    reference: Layers, layers: Layers, *, inputs: ArrayLike | None = None, activation: str = "relu", seed: int = 0
) -> Direction:
    """Return `layers` with the neurons of its hidden layers permuted to be near to the reference: the same function.

    Without inputs the weights are compared: with one hidden layer it is the nearest of all permutations, with several
    the layers are matched in random order until no permutation changes. With inputs the outputs of the neurons on them
    are compared, and the permutation of each layer is the best of all; better where inputs differ in scale.

    Args:
        reference: the network that stays, pairs (A, b).
        layers: the one that is permuted, of the same shapes.
        inputs: (n, d), a sample to compare neurons on.
        activation: of the hidden layers, with inputs.
        seed: of the order of the layers, without inputs.

    Raises:
        DomainError: the shapes differ.
    """
    goal = [(np.asarray(a, dtype=float), np.asarray(b, dtype=float)) for a, b in reference]
    found = [(np.array(a, dtype=float), np.array(b, dtype=float)) for a, b in layers]
    if [(a.shape, b.shape) for a, b in goal] != [(a.shape, b.shape) for a, b in found]:
        raise DomainError("The networks have different shapes. Match networks of one architecture.")
    if inputs is not None:
        x = np.asarray(inputs, dtype=float)
        pairs = zip(_hidden(goal, x, activation), _hidden(found, x, activation), strict=True)
        for number, (own, other) in enumerate(pairs):
            _permute(found, number, own.T @ other)
        return found
    generator, changed = np.random.Generator(np.random.Philox(seed)), True
    while changed:
        changed = False
        for number in generator.permutation(len(goal) - 1).tolist():
            (a, b), (after, _) = found[number], found[number + 1]
            gain = goal[number][0] @ a.T + np.outer(goal[number][1], b) + goal[number + 1][0].T @ after
            changed |= _permute(found, number, gain)
    return found


def _hidden(layers: Direction, x: Floats, activation: str) -> list[Floats]:
    """Return the outputs of the hidden layers, (n, neurons) each."""
    rho, found = activation_of(activation).float64, []
    for matrix, bias in layers[:-1]:
        x = rho(x @ matrix.T + bias)
        found.append(x)
    return found


def _permute(layers: Direction, number: int, gain: Floats) -> bool:
    """Permute the neurons of a hidden layer so that sum gain[i, p(i)] is largest; tell whether that improves it."""
    from scipy.optimize import linear_sum_assignment

    order = linear_sum_assignment(gain, maximize=True)[1]
    # A tie must not count as an improvement, or a loop over the layers would never end.
    if gain[np.arange(len(order)), order].sum() <= np.trace(gain) + 1e-12 * np.abs(gain).sum():
        return False
    (a, b), (after, tail) = layers[number], layers[number + 1]
    layers[number], layers[number + 1] = (a[order], b[order]), (after[:, order], tail)
    return True


@dataclass(frozen=True, slots=True)
class LossPath:
    """A loss along a path; `barrier` is its largest excess over the straight line between the ends. ESTIMATED."""

    places: Floats
    values: Floats

    @property
    def barrier(self) -> float:
        """The maximum of f(t) - (1 - t) f(0) - t f(1) over the grid, at least 0."""
        line = (1 - self.places) * self.values[0] + self.places * self.values[-1]
        return float((self.values - line).max())


def loss_path(loss: Callable[[Floats], float], corners: Sequence[ArrayLike], points: int = 25) -> LossPath:
    """Return the loss along the polygon through some vectors theta, each edge taking the same part of [0, 1].

    Raises:
        DomainError: fewer than two corners, of different lengths, or fewer than two points.
    """
    chain = [np.asarray(corner, dtype=float) for corner in corners]
    if len(chain) < 2 or len({corner.shape for corner in chain}) > 1 or points < 2:
        raise DomainError("A path needs two corners of one length and two points. Give them.")
    places = np.linspace(0, 1, points)
    return LossPath(places, np.array([float(loss(_on(chain, t))) for t in places]))


def _on(chain: Sequence[Floats], t: float) -> Floats:
    edge = min(int(t * (len(chain) - 1)), len(chain) - 2)
    part = t * (len(chain) - 1) - edge
    return (1 - part) * chain[edge] + part * chain[edge + 1]


def connect(objective: Objective, a: ArrayLike, b: ArrayLike, *, points: int = 8, steps: int = 200) -> Floats:
    """Return the bend c of a polygon a, c, b of small mean loss, from the middle of a and b by L-BFGS.

    The mean is over `points` midpoints of equal parts of each edge.

    Raises:
        DomainError: a and b have different lengths.

    Source: T. Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs, NeurIPS 2018.
    """
    from scipy.optimize import minimize

    ends = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if ends[0].shape != ends[1].shape:
        raise DomainError("The ends of the path have different lengths. Connect networks of one architecture.")
    both, parts = objective.value_and_gradient(), (np.arange(points) + 0.5) / points

    def mean(c: Floats) -> tuple[float, Floats]:
        value, slope = 0.0, np.zeros_like(c)
        for end in ends:
            for part in parts:
                one, step = both((1 - part) * end + part * c)
                value, slope = value + one, slope + part * step
        return value / (2 * points), slope / (2 * points)

    return minimize(mean, (ends[0] + ends[1]) / 2, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Where a search for a critical point ended.

    Attributes:
        theta: the point.
        gradient: the norm of the gradient there.
        found: whether that is at most the tolerance; if not, theta is no critical point.
        steps: how many were tried.
    """

    theta: Floats
    gradient: float
    found: bool
    steps: int


def find_critical_point(
    gradient: Callable[[Floats], Floats],
    hessian: Callable[[Floats], Floats],
    start: ArrayLike,
    *,
    tolerance: float = 1e-11,
    steps: int = 500,
) -> SearchResult:
    """Search for a point with |grad f| <= tolerance by Levenberg-Marquardt on |grad f|^2, damping times 0.3 or 4.

    Raises:
        EpsnetError: gradient or Hessian are not finite at the start.
    """
    theta = np.array(start, dtype=float)
    slope, matrix = gradient(theta), hessian(theta)
    if not (np.isfinite(slope).all() and np.isfinite(matrix).all()):
        raise EpsnetError("Gradient or Hessian is not finite at the start. Start elsewhere.")
    damping = 1e-2 * float(np.abs(matrix).max(initial=1e-300)) ** 2
    for number in range(steps):
        norm = float(np.linalg.norm(slope))
        if norm <= tolerance:
            return SearchResult(theta, norm, True, number)
        values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        step = vectors @ (values / (values**2 + damping) * (vectors.T @ slope))
        trial = gradient(theta - step)
        if np.linalg.norm(trial) < norm:
            theta, slope, damping = theta - step, trial, 0.3 * damping
            matrix = hessian(theta)
        else:
            damping *= 4
            if damping > 1e30:
                break
    return SearchResult(theta, float(np.linalg.norm(slope)), bool(np.linalg.norm(slope) <= tolerance), steps)
