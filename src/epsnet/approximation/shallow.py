r"""Shallow networks with any smooth activation: few neurons, found by variable projection, proved by a cover.

**Theorem** (M. Leshno, V. Lin, A. Pinkus, S. Schocken 1993; G. Cybenko 1989 and K. Hornik 1991 for sigmoidal sigma).
For a continuous sigma the sums

$$ \Phi(x) = c + \sum_{i=1}^n a_i\, \sigma(w_i x + b_i) $$

are dense in C(K) for every compact K if and only if sigma is no polynomial.

Here sigma is analytic. One half of the proof runs: `monomial_by_differences` is a divided difference of sigma(w x + b)
in w, hence x^k up to O(h^2), with outer weights of size h^-k. `shallow_network` finds much better ones. For given inner
weights the outer ones solve a linear least-squares problem, so a Gauss-Newton iteration over (w_i, b_i) alone suffices
(variable projection in L. Kaufman's form); linear programs in a trust region then lower the largest error. A small
multiple of the squares of the outer weights is added, because in the limit the best networks would be divided
differences themselves, with outer weights beyond any bound.

Sources: A. Pinkus, Approximation theory of the MLP model in neural networks, Acta Numerica 8 (1999) 143-195, sections 2
and 3; G. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413-432; L. Kaufman, BIT 15 (1975) 49-57.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.core.difference import difference_range
from epsnet.core.functions import ACTIVATIONS, Function
from epsnet.core.network import Network
from epsnet.core.network import activation as look_up
from epsnet.core.realize import realize
from epsnet.core.smooth import taylor
from epsnet.core.target import Target
from epsnet.enclosure.cover import bisect
from epsnet.enclosure.float64 import exact_error, rounding_of, with_rounding

Array = NDArray[np.float64]

_MOST_NEURONS = 16
_STARTS = 24
_NODES, _CHECK_NODES = 240, 2401
_OUTER = 64.0
"""The size, relative to the formula, beyond which outer weights cost as much as an error of eps."""
_LARGEST = 2.0**12
"""No weight may be larger on [-1, 1]: float64 evaluation would lose too much."""
_HOPELESS = 20.0
"""A fit that errs by more than so many eps is not refined, and not tried again with as many neurons."""
_ROOM = 0.9
"""Fits are tried up to this part of eps; what is left pays for the width of the enclosures."""


@dataclass(frozen=True, slots=True)
class ShallowNetwork:
    """A shallow network with its proof.

    Attributes:
        network: Phi, of depth 2.
        error: sup |F - Phi| for the float64 network; its first premise is the bound in exact arithmetic.
        witnesses: what the rules need, for `Certificate.of`.
    """

    network: Network
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def shallow_network(target: Target, eps: Fraction, *, activation: str = "tanh", seed: int = 0) -> ShallowNetwork:
    """Return the shallow network with the fewest neurons that this method finds and proves, with sup |F - Phi| <= eps.

    Args:
        target: a formula in one variable.
        eps: the accuracy in the sup norm, > 0.
        activation: a smooth one: tanh, sigmoid, erf, gelu, silu, softplus or sin.
        seed: fixes the starts of the fits.

    Raises:
        HypothesisError: the activation is a polynomial, or piecewise linear, or the formula has several variables.
        CertificateError: no network was close enough, or none could be proved to be.
    """
    sigma = _universal(activation)
    if target.domain.dimension != 1:
        raise HypothesisError(
            f"Shallow networks are fitted for one variable, the formula has {target.domain.dimension}. Fix all but one."
        )
    problem = _Problem.of(target, sigma, float(eps))
    failure, best, previous = None, math.inf, None
    for neurons in range(1, _MOST_NEURONS + 1):
        fits = _fits(problem, neurons, previous, np.random.Generator(np.random.Philox([seed, neurons])))
        for fit in sorted((fit for fit in fits if fit.error <= _ROOM * problem.eps), key=lambda fit: fit.curvature):
            try:
                return certified(target, problem.network(fit, target.domain, activation), eps)
            except CertificateError as error:
                failure = error
        if fits:
            previous = fits[0]
            best = min(best, previous.error * problem.scale)
    raise CertificateError(
        f"No {activation} network of at most {_MOST_NEURONS} neurons was proved to be within {float(eps):.3g}; "
        f"the best fit errs by {best:.3g}. Ask for a larger eps, or use the method piecewise-linear or deep.",
        asked=float(eps), achieved=best,
    ) from failure  # fmt: skip


def monomial_by_differences(activation: str, degree: int, h: Fraction) -> ShallowNetwork:
    r"""Return x^k on [-1, 1] as a central difference of sigma(w x + b) in w, with k or k + 1 neurons.

    $$ \Phi(x) = \frac{1}{h^k \sigma^{(k)}(b)} \sum_{j=0}^k (-1)^{k-j} \binom kj \sigma\bigl((j - k/2) h x + b\bigr),
       \qquad |\Phi(x) - x^k|
       \le \frac{k h^2}{24} \max_{|t - b| \le k h/2} \frac{|\sigma^{(k+2)}(t)|}{|\sigma^{(k)}(b)|}. $$

    The difference is the mean of h^k x^k sigma^(k)(h x S + b) over a random S with the density of the central B-spline,
    which has mean 0 and variance k/12; Taylor's formula of order 2 gives the bound. As sigma^(k)(b) is nonzero for some
    b for every k exactly if sigma is no polynomial, all polynomials are limits of shallow networks, and with
    Weierstrass all continuous functions. The outer weights grow like h^-k.

    Args:
        activation: a smooth one.
        degree: 1 <= k <= 9.
        h: the step, > 0; rounding eats up the gain where h^(k + 2) comes near to 1e-16.

    Returns:
        The network, with the bound above proved for its float64 realization (up to a sixteenth).

    Raises:
        HypothesisError: the activation is no smooth one.
        DomainError: the degree or the step is out of range.
        CertificateError: the step is too small for float64.

    Source: A. Pinkus, Acta Numerica 8 (1999) 143-195, section 3.
    """
    sigma = _universal(activation)
    if not 1 <= degree <= 9 or not 0 < h <= 1:
        raise DomainError(f"Degree {degree} and step {h} are out of range. Use 1 <= degree <= 9 and 0 < h <= 1.")
    with ball_arithmetic():
        centers = [ball(Fraction(number, 8)) for number in range(-24, 25)]
        leading = [taylor(activation, b, degree + 1)[degree] for b in centers]
        center, own = max(zip(centers, leading, strict=True), key=lambda pair: abs(float(pair[1].mid())))
        reach = ball(degree * h / 2)
        around = taylor(activation, (center - reach).union(center + reach), degree + 3)[degree + 2]
        # sigma^(k) = k! c_k with the Taylor coefficients c.
        scale = math.factorial(degree) * own * ball(h**degree)
        bound = round_up(ball(degree * h**2 / 24) * (degree + 1) * (degree + 2) * abs(around / own))
        factors = [(-1) ** (degree - j) * math.comb(degree, j) / scale for j in range(degree + 1)]
        steps = [(j - Fraction(degree, 2)) * h for j in range(degree + 1)]
        still = sum((a for a, w in zip(factors, steps, strict=True) if not w), arb(0))
        outer = [[float(a.mid()) for a, w in zip(factors, steps, strict=True) if w]]
        inner = np.array([[float(w)] for w in steps if w])
        constant = float((still * sigma.ball(center)).mid())
        layers = [(inner, np.full(len(inner), float(center.mid()))), (outer, [constant])]
    network = Network.from_layers(layers, activation=activation)
    target = Target(f"x^{degree}", Box(-1, 1))
    return certified(target, network, Fraction(bound) * Fraction(17, 16))


def _universal(activation: str) -> Function:
    """Return a smooth activation that is no polynomial. HypothesisError on any other."""
    sigma = look_up(activation)
    if sigma.slopes is None and activation in ACTIVATIONS:
        return sigma
    if sigma.slopes is not None and sigma.slopes[0] == sigma.slopes[1]:
        raise HypothesisError(
            f"The activation {activation} is a polynomial: shallow networks of any size are polynomials of its degree, "
            f"a closed space of finite dimension, so most functions keep a distance (Leshno, Lin, Pinkus, Schocken "
            f"1993). Use tanh, sigmoid, erf, gelu, silu, softplus or sin."
        )
    raise HypothesisError(
        f"The activation {activation} is none of the smooth ones that are fitted here. Use tanh, sigmoid, erf, gelu, "
        f"silu, softplus or sin; for relu the method piecewise-linear, which finds the fewest pieces."
    )


Search = Callable[[Target, Network, Fraction], tuple[float, Witness]]
"""What finds a cover: target, network and eps to the bound of the error in exact arithmetic and the tree."""


def loose_cover(target: Target, network: Network, eps: Fraction) -> tuple[float, Witness]:
    """Search for a cover that proves a bound halfway between the error and eps: tighter ones take more cells."""
    x = np.linspace(float(target.domain.lower[0]), float(target.domain.upper[0]), 16 * _CHECK_NODES)
    seen = Fraction(float(np.abs(target(x) - realize(network, x)).max()))
    if seen >= eps:
        raise CertificateError(
            f"The network differs from the formula by {float(seen):.6g}. Ask for a larger eps.",
            asked=float(eps), achieved=float(seen),
        )  # fmt: skip
    return cover_within(target, network, (seen + eps) / 2)


def certified(target: Target, network: Network, eps: Fraction, search: Search = loose_cover) -> ShallowNetwork:
    """Prove sup |F - Phi| <= eps for the float64 realization of a network.

    Raises:
        CertificateError: that is false, or too expensive to see.
    """
    rounding = rounding_of(network, target.domain)
    value, tree = search(target, network, eps - rounding.limit)
    cells = (f"{int((tree['axis'] < 0).sum())} cells cover {target.domain}",)
    exact = exact_error(target, network, value, "taylor-cover", "cover", cells)
    error = with_rounding(exact, rounding)
    return ShallowNetwork(network, error, ((exact, tree),))


def cover_within(
    target: Target, network: Network, limit: Fraction, cuts: Sequence[Fraction] = ()
) -> tuple[float, Witness]:
    """Search for a cover that proves this bound and none tighter, after cutting at some places."""

    def enclose(lower: tuple[Fraction, ...], upper: tuple[Fraction, ...]) -> arb:
        low, high = difference_range(target.expression, target.variables, network, lower, upper)
        return high.max(-low)

    return bisect(target.domain, enclose, Fraction(round_down(limit)), cuts)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A shallow network on [-1, 1] for a formula that is divided by its size.

    Attributes:
        inner: (w_1, ..., w_n, b_1, ..., b_n).
        outer: (a_1, ..., a_n, c).
        error: the largest difference on a fine grid.
    """

    inner: Array
    outer: Array
    error: float

    @property
    def curvature(self) -> float:
        """About the square of the number of cells that its proof needs."""
        return float(np.abs(self.outer[:-1]) @ self.inner[: len(self.outer) - 1] ** 2)


@dataclass(frozen=True, slots=True)
class _Problem:
    """A formula as a function of tau in [-1, 1], divided by its size, at Chebyshev nodes and on a fine grid."""

    sigma: Callable[[Array], Array]
    eps: float
    scale: float
    nodes: Array
    values: Array
    fine: Array
    check: Array

    @classmethod
    def of(cls, target: Target, sigma: Function, eps: float) -> _Problem:
        low, high = float(target.domain.lower[0]), float(target.domain.upper[0])
        nodes, fine = (np.cos(np.pi * np.arange(count) / (count - 1)) for count in (_NODES, _CHECK_NODES))
        values, check = (target(np.clip(low + (high - low) * (tau + 1) / 2, low, high)) for tau in (nodes, fine))
        scale = max(float(np.abs(check).max()), np.finfo(np.float64).tiny)
        return cls(sigma.float64, eps / scale, scale, nodes, values / scale, fine, check / scale)

    def slope(self, z: Array) -> Array:
        """Return sigma' up to 1e-9, which is enough to search with."""
        h = 2.0**-16
        return (self.sigma(z + h) - self.sigma(z - h)) / (2 * h)

    def basis(self, inner: Array, tau: Array) -> Array:
        """Return sigma(w_i tau + b_i), and 1 in the last column."""
        return np.concatenate([self.sigma(_arguments(inner, tau)), np.ones((len(tau), 1))], axis=1)

    def inner_jacobian(self, inner: Array, outer: Array) -> Array:
        """Return the derivatives of the network by its inner weights at the nodes."""
        slopes = self.slope(_arguments(inner, self.nodes)) * outer[:-1]
        return np.concatenate([slopes * self.nodes[:, None], slopes], axis=1)

    def error(self, inner: Array, outer: Array) -> float:
        """Return the largest difference on the fine grid, infinite for weights that are too large."""
        if max(np.abs(outer).max(), np.abs(inner).max()) > _LARGEST:
            return math.inf
        return float(np.abs(self.check - self.basis(inner, self.fine) @ outer).max())

    def network(self, fit: _Fit, domain: Box, activation: str) -> Network:
        """Return the network of a fit on the domain."""
        count = len(fit.inner) // 2
        gain = 2.0 / float(domain.upper[0] - domain.lower[0])
        weights, biases = fit.inner[:count] * gain, fit.inner[count:]
        biases = biases - weights * float((domain.lower[0] + domain.upper[0]) / 2)
        outer = fit.outer * self.scale
        return Network.from_layers([(weights[:, None], biases), (outer[None, :-1], outer[-1:])], activation=activation)


def _arguments(inner: Array, tau: Array) -> Array:
    weights, biases = np.split(inner, 2)
    return tau[:, None] * weights + biases


def _fits(problem: _Problem, neurons: int, previous: _Fit | None, generator: np.random.Generator) -> list[_Fit]:
    """Return fits with so many neurons, the best first; those that come near to eps are refined."""
    found: list[_Fit] = []
    for number, start in enumerate(_starts(neurons, previous, generator)):
        if number == _STARTS // 3 and min((fit.error for fit in found), default=math.inf) > _HOPELESS * problem.eps:
            break
        found.append(_project(problem, start))
    found = sorted((fit for fit in found if math.isfinite(fit.error)), key=lambda fit: fit.error)
    near = [fit for fit in found[:4] if _ROOM * problem.eps / 2 < fit.error < _HOPELESS * problem.eps]
    refined = [_refine(problem, fit) for fit in near]
    return sorted([*refined, *found], key=lambda fit: fit.error)


def _starts(neurons: int, previous: _Fit | None, generator: np.random.Generator) -> Iterator[Array]:
    """Yield inner weights: random ones, and every fourth time those of a smaller network with one more neuron.

    Every second of these neurons continues the row of the weights, as if the network were a Fourier series.
    """
    for number in range(_STARTS):
        weights = np.exp(generator.uniform(np.log(0.25), np.log(4.0 * (1 + neurons)), neurons))
        weights = weights * generator.choice([-1.0, 1.0], neurons)
        biases = -weights * generator.uniform(-1.2, 1.2, neurons) + generator.uniform(-1.6, 1.6, neurons)
        if previous is not None and number % 4 == 3:
            kept = len(previous.inner) // 2
            weights[:kept], biases[:kept] = np.split(previous.inner, 2)
            if number % 8 == 7 and kept > 1:
                next_to_last, last = np.argsort(np.abs(weights[:kept]))[-2:]
                weights[kept:] = weights[last] + np.sign(weights[last]) * np.ptp(np.abs(weights[[next_to_last, last]]))
                biases[kept:] = biases[last]
        yield np.concatenate([weights, biases])


def _project(problem: _Problem, start: Array) -> _Fit:
    """Minimize the squares of the residual and of the outer weights by variable projection."""
    from scipy.optimize import least_squares

    count = len(start) // 2
    weight = problem.eps * math.sqrt(_NODES) / (8 * _OUTER)
    penalty = np.concatenate([weight * np.eye(count), np.zeros((count, 1))], axis=1)
    wanted = np.concatenate([problem.values, np.zeros(count)])

    def solve(inner: Array) -> tuple[Array, Array, Array]:
        matrix = np.concatenate([problem.basis(inner, problem.nodes), penalty])
        orthogonal, triangle = np.linalg.qr(matrix)
        outer = np.asarray(np.linalg.lstsq(triangle, orthogonal.T @ wanted, rcond=None)[0], dtype=np.float64)
        return matrix, orthogonal, outer

    def residual(inner: Array) -> Array:
        matrix, _, outer = solve(inner)
        return matrix @ outer - wanted

    def jacobian(inner: Array) -> Array:
        _, orthogonal, outer = solve(inner)
        rows = np.concatenate([problem.inner_jacobian(inner, outer), np.zeros((count, 2 * count))])
        return rows - orthogonal @ (orthogonal.T @ rows)

    found = least_squares(
        residual, start, jac=jacobian,  # pyright: ignore[reportArgumentType] (a function is allowed)
        x_scale="jac", max_nfev=150, xtol=1e-12, ftol=1e-9, gtol=1e-15,
    )  # fmt: skip
    outer = solve(found.x)[2]
    return _Fit(found.x, outer, problem.error(found.x, outer))


def _refine(problem: _Problem, fit: _Fit) -> _Fit:
    """Lower the largest error by linear programs in a trust region around the current weights."""
    from scipy.optimize import linprog

    radius = 0.1
    for _ in range(30):
        basis = problem.basis(fit.inner, problem.nodes)
        residual = problem.values - basis @ fit.outer
        jacobian = np.concatenate([basis, problem.inner_jacobian(fit.inner, fit.outer)], axis=1)
        size, unit = np.maximum(np.linalg.norm(jacobian, axis=0), 1e-300), max(float(np.abs(residual).max()), 1e-300)
        scaled, cost = np.concatenate([jacobian, -jacobian]) / size, np.eye(1, len(size) + 1, len(size))[0]
        rows = np.concatenate([scaled, -np.ones((len(scaled), 1))], axis=1)
        reach = radius * (1 + np.abs(fit.inner)) * size[len(fit.outer) :] / unit
        bounds = [*[(None, None)] * len(fit.outer), *zip(-reach, reach, strict=True), (0, None)]
        limits = np.concatenate([residual, -residual]) / unit
        solved = linprog(cost, A_ub=rows, b_ub=limits, bounds=bounds, method="highs")
        outer, inner, tried = fit.outer, fit.inner, math.inf
        if solved.x is not None:
            steps = solved.x[:-1] * unit / size
            outer, inner = outer + steps[: len(outer)], inner + steps[len(outer) :]
            tried = problem.error(inner, outer)
        if tried < fit.error:
            gain, fit, radius = 1 - tried / fit.error, _Fit(inner, outer, tried), min(2 * radius, 1.0)
            if gain < 1e-3:
                break
        else:
            radius /= 4
            if radius < 1e-7:
                break
    return fit
