r"""Greedy algorithms: networks with one hidden layer of n ReLU neurons, one neuron after the other, in L2.

The dictionary D holds the ridge functions rho(w . u - b), |w|_2 = 1, whose kinks meet the unit cube, to which the
domain is mapped. With f_0 = 0 and r = f - f_{n-1}, each step takes the g in D or -D for which <r, g> is largest, and

* orthogonal: f_n is the projection of f to the span of the n functions taken so far;
* relaxed: f_n is the closest function alpha f_{n-1} + beta g;
* frank-wolfe: f_n is the closest point on the segment from f_{n-1} to M g; it stays in the ball of variation norm M.

The variation norm (Barron or F1 norm) of a function is the least sum of |c_k| over all ways to write it as
sum_k c_k g_k, or as an integral of g against a measure. If it is finite, the orthogonal algorithm has an L2 error of
order n^{-1/2-3/(2d)}, n^-2 for d = 1 and n^{-5/4} for d = 2, with all constants in it; the other two have n^{-1/2}, the
last one (M sup |g| + |f|) n^{-1/2} if f lies in the ball of radius M (norms in L2): <r, M g - f> >= 0 makes
|r_n|^2 <= |r|^2 B^2/(|r|^2 + B^2) with B = |M g - f|, so 1/|r_n|^2 grows by 1/B^2 a step.

Inner products are Gauss quadratures with fixed nodes; <r, rho(w . u - b)> is linear in b between the projected nodes,
so for each direction the search over b is exact for the quadrature. In dimension 2 the directions are those of a grid.
Errors seen by the quadrature are ESTIMATED; `GreedyPath.bound` proves the error of any network of any path.

Sources: A. R. Barron, IEEE Transactions on Information Theory 39 (1993) 930-945; F. Bach, Breaking the curse of
dimensionality with convex neural networks, JMLR 18 (2017) no. 19; M. Jaggi, Revisiting Frank-Wolfe, ICML 2013, theorem
1; J. W. Siegel, J. Xu, Optimal convergence rates for the orthogonal greedy algorithm, IEEE Transactions on Information
Theory 68 (2022) 3354-3361, theorem 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.core.network import Network
from epsnet.core.target import Target
from epsnet.enclosure.mesh import l2_bound

Array = NDArray[np.float64]
Method = Literal["orthogonal", "relaxed", "frank-wolfe"]

MAX_NEURONS = 512
_CELLS, _NODES = {1: 4096, 2: 40}, 2
_DIRECTIONS = 90
_FIRST_TRY = 16


@dataclass(frozen=True, slots=True)
class GreedyPath:
    """What a greedy algorithm found, with 1, 2, ... neurons.

    Attributes:
        target: F.
        directions: (n, d) the w of the neurons, on the unit cube.
        offsets: (n,) their b.
        coefficients: for each k the k coefficients.
        errors: (n,) the L2 errors that the quadrature sees, ESTIMATED; `bound` proves one.
    """

    target: Target
    directions: Array
    offsets: Array
    coefficients: tuple[Array, ...]
    errors: Array

    def network(self, neurons: int) -> Network:
        """Return the network with so many neurons, from 1 on."""
        low = np.array([float(end) for end in self.target.domain.lower])
        width = np.array([float(end) for end in self.target.domain.upper]) - low
        slopes = self.directions[:neurons] / width
        biases = -self.offsets[:neurons] - slopes @ low
        return Network.from_layers([(slopes, biases), (self.coefficients[neurons - 1][None], [0.0])])

    def bound(self, neurons: int) -> tuple[Bound, Witness]:
        """Return the L2 error of the network with so many neurons, VERIFIED, and the witness for the rule `mesh`."""
        return l2_bound(self.target, self.network(neurons))

    def variation(self, neurons: int) -> float:
        """Return sum |c_k|, which bounds the variation norm of the network with so many neurons."""
        return float(np.abs(self.coefficients[neurons - 1]).sum())


def greedy(target: Target, neurons: int, *, method: Method = "orthogonal", radius: Real | None = None) -> GreedyPath:
    """Run a greedy algorithm.

    Args:
        target: a formula in one or two variables.
        neurons: n >= 1, at most `MAX_NEURONS`; fewer come out if the error vanishes before.
        method: "orthogonal", "relaxed" or "frank-wolfe".
        radius: M, for "frank-wolfe".

    Raises:
        DomainError: an argument is out of its range.
        HypothesisError: the formula has more than two variables.
    """
    d = target.domain.dimension
    if not 1 <= neurons <= MAX_NEURONS:
        raise DomainError(f"The number of neurons {neurons} is out of range. Give 1 to {MAX_NEURONS}.")
    if method not in ("orthogonal", "relaxed", "frank-wolfe") or (radius is not None) != (method == "frank-wolfe"):
        raise DomainError(
            f"The method {method!r} with radius {radius} is none of orthogonal, relaxed, and frank-wolfe with a "
            f"radius. Choose one."
        )
    if d not in _CELLS:
        raise HypothesisError(f"Greedy algorithms are for 1 or 2 variables here, the formula has {d}. Fix the others.")
    limit = 0.0 if radius is None else float(exact(radius, "radius"))
    if radius is not None and limit <= 0:
        raise DomainError(f"The radius {radius} is not positive. Give a bound of the variation norm.")
    nodes, weights = _quadrature(d)
    low, high = (np.array([float(end) for end in ends]) for ends in (target.domain.lower, target.domain.upper))
    points = low + (high - low) * nodes
    values = target(points if d > 1 else points[:, 0])
    root = np.sqrt(weights)
    search = _Search(nodes)
    steps = {"orthogonal": _Orthogonal, "relaxed": _Relaxed, "frank-wolfe": _FrankWolfe}[method](values * root, limit)
    directions: list[Array] = []
    offsets: list[float] = []
    for _ in range(neurons):
        direction, offset, sign = search.best(steps.residual * root)
        if not steps.add(np.maximum(nodes @ direction - offset, 0.0) * root, sign):
            break
        directions.append(direction)
        offsets.append(offset)
    if not directions:
        raise DomainError("The formula is 0 at all nodes of the quadrature: there is nothing to approximate.")
    factor = math.sqrt(target.domain.volume)
    found = steps.coefficients()
    return GreedyPath(target, np.array(directions), np.array(offsets), found, factor * np.array(steps.errors))


def _quadrature(d: int) -> tuple[Array, Array]:
    """Return nodes (m, d) and weights (m,) on the unit cube, Gauss's in each square of a grid."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    nodes = ((np.arange(_CELLS[d])[:, None] + (x + 1) / 2) / _CELLS[d]).ravel()
    weights = np.tile(w / (2 * _CELLS[d]), _CELLS[d])
    if d == 1:
        return nodes[:, None], weights
    return np.stack([axis.ravel() for axis in np.meshgrid(nodes, nodes, indexing="ij")], axis=1), np.outer(
        weights, weights
    ).ravel()


class _Search:
    """The search for the ridge function with the largest inner product."""

    def __init__(self, nodes: Array) -> None:
        angles = np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
        d = nodes.shape[1]
        self.directions = np.ones((1, 1)) if d == 1 else np.stack([np.cos(angles), np.sin(angles)], axis=1)
        projected = [nodes @ direction for direction in self.directions]
        self.orders = [np.argsort(-places, kind="stable") for places in projected]
        self.places = [places[order] for places, order in zip(projected, self.orders, strict=True)]

    def best(self, residual: Array) -> tuple[Array, float, float]:
        """Return w, b and the sign of <r, rho(w . u - b)> for weighted values of r at the nodes."""
        best, found = -1.0, (self.directions[0], 0.0, 1.0)
        for direction, order, places in zip(self.directions, self.orders, self.places, strict=True):
            sums = residual[order]
            total, moment = np.cumsum(sums), np.cumsum(sums * places)
            right = moment - places * total
            # rho(-z) = rho(z) - z
            for side, products in ((1.0, right), (-1.0, right - moment[-1] + places * total[-1])):
                place = int(np.abs(products).argmax())
                if abs(products[place]) > best:
                    best = abs(products[place])
                    found = side * direction, side * float(places[place]), float(np.sign(products[place]))
        return found


class _Steps:
    """A greedy algorithm in the space of weighted values at the nodes, where the inner product is the usual one."""

    def __init__(self, values: Array, radius: float) -> None:
        self.values, self.radius = values, radius
        self.residual = values
        self.errors: list[float] = []

    def _close(self, residual: Array) -> bool:
        self.residual = residual
        self.errors.append(float(np.linalg.norm(residual)))
        return True


class _Orthogonal(_Steps):
    """f = Q R c with orthonormal columns of Q and an upper triangular R."""

    def __init__(self, values: Array, radius: float) -> None:
        super().__init__(values, radius)
        self.basis = np.empty((0, len(values)))
        self.columns: list[Array] = []
        self.products: list[float] = []

    def add(self, atom: Array, sign: float) -> bool:
        """Project to the span with one more function; False if it adds nothing."""
        rest, column = atom, np.zeros(len(self.basis))
        for _ in range(2):  # the second round removes what rounding left
            part = self.basis @ rest
            rest, column = rest - part @ self.basis, column + part
        size = float(np.linalg.norm(rest))
        if size <= 1e-10 * float(np.linalg.norm(atom)):
            return False
        unit = rest / size
        self.basis = np.vstack([self.basis, unit])
        self.columns.append(np.append(column, size))
        product = float(unit @ self.residual)
        self.products.append(product)
        return self._close(self.residual - product * unit)

    def coefficients(self) -> tuple[Array, ...]:
        """Return the solutions of the triangular systems."""
        from scipy.linalg import solve_triangular

        count = len(self.columns)
        matrix = np.zeros((count, count))
        for k, column in enumerate(self.columns):
            matrix[: k + 1, k] = column
        return tuple(solve_triangular(matrix[:k, :k], self.products[:k]) for k in range(1, count + 1))


class _Relaxed(_Steps):
    """f_n = alpha f_{n-1} + beta g."""

    def __init__(self, values: Array, radius: float) -> None:
        super().__init__(values, radius)
        self.current = np.zeros_like(values)
        self.found: list[Array] = []

    def _factors(self, atom: Array, sign: float) -> tuple[float, float]:
        pair = np.stack([self.current, atom], axis=1)
        alpha, beta = np.linalg.lstsq(pair, self.values, rcond=None)[0]
        return float(alpha), float(beta)

    def add(self, atom: Array, sign: float) -> bool:
        """Take one step; False if it changes nothing."""
        alpha, beta = self._factors(atom, sign)
        if beta == 0:
            return False
        self.current = alpha * self.current + beta * atom
        before = self.found[-1] if self.found else np.empty(0)
        self.found.append(np.append(alpha * before, beta))
        return self._close(self.values - self.current)

    def coefficients(self) -> tuple[Array, ...]:
        """Return the coefficients after each step."""
        return tuple(self.found)


class _FrankWolfe(_Relaxed):
    """f_n = (1 - gamma) f_{n-1} + gamma M g."""

    def _factors(self, atom: Array, sign: float) -> tuple[float, float]:
        step = sign * self.radius * atom - self.current
        gamma = min(max(float(self.residual @ step) / float(step @ step), 0.0), 1.0)
        return 1 - gamma, gamma * sign * self.radius


@dataclass(frozen=True, slots=True)
class GreedyNetwork:
    """What `greedy_network` returns.

    Attributes:
        network: the network.
        variation: sum |c_k| on the unit cube, a bound of its variation norm.
        error: ||F - R(Phi)||_L2 <= eps, VERIFIED.
        witnesses: what the rule needs, for `Certificate.of`.
    """

    network: Network
    variation: float
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def greedy_network(target: Target, eps: Real) -> GreedyNetwork:
    """Return the first network of the orthogonal greedy algorithm for which a mesh proves eps.

    Args:
        target: a formula in one or two variables, in the L2 norm.
        eps: the accuracy in that norm, > 0.

    Raises:
        HypothesisError: the formula has more than two variables or is not in the L2 norm.
        CertificateError: `MAX_NEURONS` neurons do not reach eps.
    """
    goal = exact(eps, "accuracy eps")
    if target.norm != "L2":
        raise HypothesisError("Greedy algorithms approximate in the L2 norm. Ask for that norm.")
    neurons, path = _FIRST_TRY, greedy(target, _FIRST_TRY)
    while path.errors[-1] > goal and len(path.errors) == neurons < MAX_NEURONS:
        neurons = min(4 * neurons, MAX_NEURONS)
        path = greedy(target, neurons)
    best, needed = math.inf, float(goal)
    while len(close := np.flatnonzero(path.errors <= needed)):
        count = int(close[0]) + 1
        error, witness = path.bound(count)
        if error.limit <= goal:
            return GreedyNetwork(path.network(count), path.variation(count), error, ((error, witness),))
        best = min(best, error.value)
        # What the proof adds to the error, the next network has to have in hand.
        needed = min(float(goal) - (error.value - path.errors[close[0]]), float(np.nextafter(path.errors[close[0]], 0)))
    raise CertificateError(
        f"{len(path.errors)} neurons come within {min(best, float(path.errors[-1])):.3g} of the formula in L2, not "
        f"{float(goal):.3g}. Ask for a larger eps.",
        asked=float(goal), achieved=best,
    )  # fmt: skip
