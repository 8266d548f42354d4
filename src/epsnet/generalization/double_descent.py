r"""Double descent: the risk of least squares on random features, and of least squares itself, in closed form.

*Random features.* Let x_1, ..., x_n and the rows theta_1, ..., theta_N be independent and uniform on the sphere of
radius d^(1/2) in R^d, and y_i = beta . x_i + g(x_i) + noise of variance tau^2, with |beta|^2 = F_1^2 and a random
nonlinear g of variance F_*^2. Ridge regression on the features sigma(theta_j . x / d^(1/2)) minimizes

$$ \frac1n \sum_i \Bigl(y_i - \sum_j a_j\,\sigma(\theta_j \cdot x_i/\sqrt d)\Bigr)^2 + \frac{N\lambda}{d}\,|a|^2. $$

Only three numbers of sigma matter: with Z normal, mu_0 = E sigma(Z), mu_1 = E Z sigma(Z) and mu_*^2 = E sigma(Z)^2 -
mu_0^2 - mu_1^2. As d grows with N/d -> psi_1 and n/d -> psi_2, the risk R = E (f(x) - f^(x))^2 tends to

$$ R + \tau^2 = \frac{\psi_2}{D} \bigl( F_1^2\,(1-A) (C + (1-A)(A + r_1)) + (\tau^2 + F_*^2)(S + r_1) \bigr), $$
$$ A = \frac{\mu_1^2 P}{1 + \mu_1^2 P}, \quad C = \mu_*^2 P, \quad r_i = \psi_i - A - C, \quad
   S = C + A(1-A), \quad D = r_1 r_2 + (r_1 + r_2) S, $$

where P > 0 is the only solution of r_1 r_2 = psi_1 psi_2 lambda P with r_1, r_2 >= 0; the mean square training error
tends to (r_2/psi_2)^2 (R + tau^2). No term is subtracted, so float64 loses nothing, not even for lambda = 0, where the
smaller of the r_i is 0 and R is infinite at psi_1 = psi_2: the peak. A and C count, in units of d, the degrees of
freedom that follow the linear and the nonlinear part of the features.

*Where it comes from.* Given the theta_j the features have the covariance Sigma = mu_1^2 Theta Theta^T/d + mu_*^2, and
behave like Gaussian ones. For those, with kappa (psi_2 - tr Sigma (Sigma + kappa)^-1/d) = psi_1 psi_2 lambda, the risk
is that of a spectral filter at kappa, divided by 1 - tr Sigma^2 (Sigma + kappa)^-2/n. The law of Marchenko and Pastur
for Theta Theta^T/d makes P = tr (Sigma + kappa)^-1/d a rational function: psi_1 = A + C + kappa P. For mu_* = 1 the
formula equals F_1^2 E_1/E_0 + (tau^2 + F_*^2) E_2/E_0 + F_*^2 with the polynomials of Mei and Montanari in
chi = -P, zeta = mu_1, identically.

*Linear least squares* of least norm, with n independent normal points in R^d and noise sigma^2, has the expected risk
bias + variance, for every n and d:

$$ n > d + 1:\ \ 0 + \frac{\sigma^2 d}{n - d - 1}, \qquad
   n < d - 1:\ \ |\beta|^2 \Bigl(1 - \frac nd\Bigr) + \frac{\sigma^2 n}{d - n - 1}, $$

and an infinite variance for n in {d - 1, d, d + 1}, from the expectation of the inverse of a Wishart matrix.

Sources: S. Mei, A. Montanari, The generalization error of random features regression, Comm. Pure Appl. Math. 75 (2022),
theorem 2; T. Hastie, A. Montanari, S. Rosset, R. J. Tibshirani, Surprises in high-dimensional ridgeless least squares
interpolation, Ann. Statist. 50 (2022); M. Belkin, D. Hsu, J. Xu, Two models of double descent, SIMODS 2 (2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.experiments import seeds

Floats = NDArray[np.float64]
Activation = Callable[[Floats], Floats]

_CUT = 12.0
"""The normal density beyond is below 1e-31."""


@dataclass(frozen=True, slots=True)
class Moments:
    """The numbers of an activation that random features depend on.

    Attributes:
        mean: mu_0.
        slope: mu_1.
        rest: mu_*, >= 0.
        error: by how much two quadratures of them differ; ESTIMATED.
    """

    mean: float
    slope: float
    rest: float
    error: float = 0.0


RELU = Moments(1 / math.sqrt(2 * math.pi), 0.5, math.sqrt(0.25 - 1 / (2 * math.pi)))
"""The moments of max(x, 0)."""


def activation_moments(activation: Activation, kinks: Sequence[float] = (0.0,)) -> Moments:
    """Return mu_0, mu_1 and mu_* of any function that grows slower than exp(x^2/4).

    Args:
        activation: takes and returns a float64 array.
        kinks: where the function or a derivative of it jumps.

    Raises:
        DomainError: a value is not finite.
    """
    values = [_moments(activation, kinks, width) for width in (0.5, 0.25)]
    if not np.isfinite(values).all():
        raise DomainError(f"The activation is not finite on [-{_CUT:g}, {_CUT:g}]. Give one that is.")
    mean, slope, rest = (float(value) for value in values[1])
    return Moments(mean, slope, rest, float(np.abs(values[1] - values[0]).max()))


def _moments(activation: Activation, kinks: Sequence[float], width: float) -> Floats:
    """Return the three numbers by 24 Gauss-Legendre nodes on each panel between -12, the kinks, and 12."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    ends = np.unique(np.clip([-_CUT, *kinks, _CUT], -_CUT, _CUT))
    edges = np.concatenate([np.linspace(a, b, 1 + math.ceil((b - a) / width)) for a, b in pairwise(ends)])
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + nodes)).ravel()
    density = (half * weights).ravel() * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    y = np.asarray(activation(x), dtype=np.float64)
    mean, slope = density @ y, density @ (x * y)
    return np.array([mean, slope, math.sqrt(density @ (y - mean - slope * x) ** 2)])


@dataclass(frozen=True, slots=True)
class Signal:
    """What is learned: variances of its linear part F_1^2, its nonlinear part F_*^2, and the noise tau^2; all >= 0."""

    linear: float = 1.0
    nonlinear: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= value < math.inf for value in (self.linear, self.nonlinear, self.noise)):
            raise DomainError(f"{self} has a part that is no variance. Give finite numbers >= 0.")


LINEAR = Signal()
"""A linear function without noise."""


@dataclass(frozen=True, slots=True)
class AsymptoticRisk:
    """The limit of random features regression.

    Attributes:
        risk: R, of the prediction of f itself; a new noisy value is missed by R + tau^2.
        training_error: mean of (y_i - f^(x_i))^2, without the penalty.
        linear_degrees, nonlinear_degrees: A and C, in units of d.
    """

    risk: float
    training_error: float
    linear_degrees: float
    nonlinear_degrees: float


def random_features_risk(
    features: float, samples: float, ridge: float, moments: Moments = RELU, signal: Signal = LINEAR
) -> AsymptoticRisk:
    """Return the limit of the risk of ridge regression on random features.

    Args:
        features: psi_1 = N/d > 0.
        samples: psi_2 = n/d > 0.
        ridge: lambda >= 0; 0 is the interpolator of least norm.
        moments: of the activation.
        signal: what is learned.

    Raises:
        DomainError: a number is out of its range, or the activation is constant.

    Example:
        >>> round(random_features_risk(6.0, 3.0, 0.0).risk, 6)
        0.172627
    """
    if not (0 < features < math.inf and 0 < samples < math.inf and 0 <= ridge < math.inf):
        raise DomainError(
            f"psi_1 = {features}, psi_2 = {samples}, lambda = {ridge} are out of range. Give psi > 0, lambda >= 0."
        )
    linear, rest = moments.slope**2, moments.rest**2
    if not 0 < linear + rest < math.inf:
        raise DomainError("The activation is constant, so no feature tells points apart. Give another one.")
    product, gap = features * samples * ridge, abs(features - samples)

    def left(p: float) -> float:
        """Return the smaller of r_1 and r_2, from their product and their difference."""
        root = math.sqrt(gap**2 + 4 * p * product)
        return 2 * p * product / (gap + root) if root else 0.0

    least, noise = min(features, samples), signal.noise + signal.nonlinear
    if product == rest == 0 and least >= 1:  # P is infinite: least squares on all linear functions
        spread = 1 / (samples - 1) if samples > 1 else math.inf
        return AsymptoticRisk((noise and noise * spread) + signal.nonlinear, noise * (1 - 1 / samples), 1.0, 0.0)
    p = _root(lambda p: left(p) + rest * p + linear * p / (1 + linear * p) - least)
    kept, nonlinear = 1 / (1 + linear * p), rest * p
    follows = linear * p * kept
    r_1, r_2 = (left(p) + psi - least for psi in (features, samples))
    total = nonlinear + follows * kept
    divisor = r_1 * r_2 + (r_1 + r_2) * total
    if divisor == 0:
        return AsymptoticRisk(math.inf, 0.0, follows, nonlinear)
    bias = signal.linear * kept * (nonlinear + kept * (follows + r_1))
    # psi_2 (S + r_1) - D = S (A + C) + (A + C - S) r_1, where A + C - S = A^2.
    spread = (total * (follows + nonlinear) + follows**2 * r_1) / divisor
    risk = samples * bias / divisor + noise * spread + signal.nonlinear
    return AsymptoticRisk(risk, (r_2 / samples) ** 2 * (risk + signal.noise), follows, nonlinear)


def _root(f: Callable[[float], float]) -> float:
    """Return the zero of an increasing function that is negative at 0."""
    above = 1.0
    while f(above) <= 0:
        above *= 16
    below = above / 16
    while f(below) > 0:
        below /= 16
    while below < (middle := (below + above) / 2) < above:
        below, above = (middle, above) if f(middle) <= 0 else (below, middle)
    return above


@dataclass(frozen=True, slots=True)
class LinearRisk:
    """The expected risk of linear least squares of least norm."""

    bias: float
    variance: float

    @property
    def risk(self) -> float:
        """Their sum."""
        return self.bias + self.variance


def ridgeless_linear_risk(samples: int, dimension: int, signal: float = 1.0, noise: float = 0.0) -> LinearRisk:
    """Return bias and variance of the least-norm least-squares fit to normal points, exact up to rounding.

    Args:
        samples: n >= 0.
        dimension: d >= 1.
        signal: |beta|^2.
        noise: sigma^2; without any, the variance is 0 for every n.

    Raises:
        DomainError: a number is out of its range.
    """
    if samples < 0 or dimension < 1 or not (0 <= signal < math.inf and 0 <= noise < math.inf):
        raise DomainError("A number is out of range. Give n >= 0, d >= 1 and finite variances >= 0.")
    small, large = sorted((samples, dimension))
    bias = signal * max(0, dimension - samples) / dimension
    if noise == 0 or small == 0:
        return LinearRisk(bias, 0.0)
    return LinearRisk(bias, noise * small / (large - small - 1) if large - small > 1 else math.inf)


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedRisk:
    """Risks and training errors of independent repetitions."""

    risks: Floats
    training_errors: Floats

    def mean(self) -> tuple[float, float]:
        """Return the mean risk and its standard error."""
        return float(self.risks.mean()), float(self.risks.std(ddof=1) / math.sqrt(len(self.risks)))


def simulate_random_features(
    dimension: int,
    features: int,
    samples: int,
    ridge: float,
    activation: Activation,
    signal: Signal = LINEAR,
    *,
    repetitions: int = 20,
    test_points: int = 2000,
    seed: int = 0,
    jobs: int | None = None,
) -> SimulatedRisk:
    """Fit random features to random data, again and again.

    The nonlinear part of the signal is the quadratic form F_* (x . G x - tr G)/d with a normal matrix G.

    Args:
        dimension: d.
        features: N.
        samples: n.
        ridge: lambda.
        activation: takes and returns a float64 array; with jobs > 1 one that other processes can import.
        signal: what is learned.
        repetitions: how often, at least 2.
        test_points: on how many new points the risk is measured each time.
        seed: fixes everything random.
        jobs: how many run at once, -1 for all cores; None leaves it to joblib.parallel_config.
    """
    from joblib import Parallel, delayed

    if min(dimension, features, samples, test_points) < 1 or repetitions < 2 or not 0 <= ridge < math.inf:
        raise DomainError("A size is below 1, a repetition is missing or lambda < 0. Give at least 2 repetitions.")
    case = (dimension, features, samples, ridge, activation, signal, test_points)
    found = Parallel(n_jobs=jobs)(delayed(_repetition)(*case, own) for own in seeds(seed, repetitions))
    risks, errors = np.array(found).T
    return SimulatedRisk(risks, errors)


def _repetition(
    d: int, features: int, samples: int, ridge: float, activation: Activation, signal: Signal, new: int, seed: int
) -> tuple[float, float]:
    generator = np.random.Generator(np.random.Philox(seed))

    def sphere(count: int) -> Floats:
        points = generator.normal(size=(count, d))
        return points * (math.sqrt(d) / np.linalg.norm(points, axis=1, keepdims=True))

    theta, x = sphere(features), sphere(samples + new)
    beta = sphere(1)[0] * math.sqrt(signal.linear / d)
    values = x @ beta
    if signal.nonlinear:
        form = generator.normal(size=(d, d))
        values += math.sqrt(signal.nonlinear) / d * (np.einsum("ij,ij->i", x @ form, x) - np.trace(form))
    y = values[:samples] + math.sqrt(signal.noise) * generator.normal(size=samples)
    z = activation(x @ theta.T / math.sqrt(d))
    predicted = z @ _ridge(z[:samples], y, features / d * samples * ridge)
    risk = np.mean((predicted - values)[samples:] ** 2)
    return float(risk), float(np.mean((predicted[:samples] - y) ** 2))


def _ridge(z: Floats, y: Floats, penalty: float) -> NDArray[Any]:
    """Return the a that minimizes |y - z a|^2 + penalty |a|^2; without a penalty that of least norm."""
    if penalty == 0:
        return np.linalg.lstsq(z, y, rcond=None)[0]
    rows, columns = z.shape
    if rows < columns:
        return z.T @ np.linalg.solve(z @ z.T + penalty * np.eye(rows), y)
    return np.linalg.solve(z.T @ z + penalty * np.eye(columns), z.T @ y)
