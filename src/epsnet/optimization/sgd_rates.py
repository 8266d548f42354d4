r"""How fast does stochastic gradient descent converge: strongly, weakly, and on average?

SGD is $\theta_n = \theta_{n-1} - g_n G(\theta_{n-1}, \xi_n)$ with steps $g_n = c/(n + n_0)^\nu$, independent samples
$\xi_n$ and E G(theta, xi) = grad f(theta). With e = theta_n - theta* the strong error is E|e| or (E|e|^2)^(1/2), the
weak error for a test function psi is |E psi(theta_n) - psi(theta*)|.

**Linear problems: no sampling.** If G = H e - zeta with E zeta = 0, Cov zeta = C, then mean and second moment S of e
obey

$$ m \leftarrow (I - g H) m, \qquad
   S \leftarrow S - g (H S + S H) + g^2 H S H + g^2 C. $$

For least squares with x ~ N(0, H), y = x . theta* + sigma N(0, 1) and G = x (x . e) - sigma x N(0, 1), the last two
terms become $g^2 (2 H S H + H\,\mathrm{tr}(H S)) + g^2 \sigma^2 H$. The average of theta_1, ..., theta_n is one more
state.

**What is known.** For a quadratic f with least curvature mu, C not 0 and $\gamma = c \mu$, (E|e|^2)^(1/2) decays as
n^(-nu/2) for nu < 1, as n^(-min(1/2, gamma)) for nu = 1 (times (log n)^(1/2) at gamma = 1/2), and not at all for nu > 1
(it converges, but not to 0). For nu = 1 and gamma > 1/2

$$ n\,E|e|^2 \to \sum_i \frac{c^2 C_{ii}}{2 c h_i - 1}, \qquad n\,E|\bar e|^2 \to \mathrm{tr}(H^{-1} C H^{-1}), $$

in the eigenbasis of H; the second for the average with 1/2 < nu < 1. A weak error with psi'(theta*) not 0 contains the
bias m, which decays as n^(-gamma), so its rate 1 needs gamma >= 1.

**Any other problem** is run coupled with its linearization l at theta*, driven by the same samples:

$$ E\,\psi(\theta_n) - \psi(\theta^*) = E\bigl[\psi(\theta_n) - \psi(\theta^*) - \psi' l - \tfrac12 l^T \psi'' l\bigr]
   + \psi' E l + \tfrac12 \mathrm{tr}(\psi'' E\,l l^T). $$

The first term is small and is sampled, the second is exact by the recursion above, whatever matrix stands for the
Hessian: it is a control variate and makes no bias.

Sources: A. Jentzen, P. von Wurstemberger, Lower error bounds for the stochastic gradient descent optimization
algorithm, J. Complexity 57 (2020); A. Jentzen, B. Kuckuck, A. Neufeld, P. von Wurstemberger, Strong error analysis for
stochastic gradient descent optimization algorithms, IMA J. Numer. Anal. 41 (2021); B. T. Polyak, A. B. Juditsky,
Acceleration of stochastic approximation by averaging, SIAM J. Control Optim. 30 (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, EpsnetError
from epsnet.core.linear_maps import frozen_floats
from epsnet.experiments import Estimate

Floats = NDArray[np.float64]
StepSize = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Steps:
    """The step sizes g_n = scale/(n + offset)^exponent, n = 1, 2, ...; in rationals if the fields are."""

    scale: Any
    exponent: Any = 1
    offset: int = 0

    def __call__(self, n: int) -> Any:
        """Return g_n."""
        return self.scale / (n + self.offset) ** self.exponent


@dataclass(frozen=True, slots=True)
class LinearProblem:
    """SGD whose moments close: see `quadratic` and `least_squares`.

    Attributes:
        curvature: H, a number or a symmetric positive definite matrix (d, d).
        noise: C, or sigma^2 H for least squares.
        start: theta_0 - theta*, a number or (d,).
        multiplicative: least squares: the noise grows with the distance.
    """

    curvature: Any
    noise: Any
    start: Any
    multiplicative: bool = False


def quadratic(curvature: Any, noise: Any, start: Any) -> LinearProblem:
    """Return f(theta) = (theta - theta*)^T H (theta - theta*)/2 with gradient noise of covariance C.

    Args:
        curvature: H, a number (float or Fraction) or a symmetric positive definite matrix.
        noise: C, a number or a matrix.
        start: theta_0 - theta*.

    Raises:
        DomainError: the shapes differ, H is not positive definite, or C not positive semidefinite.
    """
    return _checked(LinearProblem(curvature, noise, start))


def least_squares(covariance: Any, sigma: Any, start: Any) -> LinearProblem:
    """Return E (x . theta - y)^2/2 with x ~ N(0, covariance) and y = x . theta* + sigma N(0, 1).

    Raises:
        DomainError: as for `quadratic`.
    """
    noise = sigma**2 * (np.asarray(covariance, dtype=float) if np.ndim(covariance) else covariance)
    return _checked(LinearProblem(covariance, noise, start, multiplicative=True))


def _checked(problem: LinearProblem) -> LinearProblem:
    h, c, e = (np.asarray(item, dtype=float) for item in (problem.curvature, problem.noise, problem.start))
    if (
        h.ndim not in (0, 2)
        or 0 in h.shape
        or h.shape != c.shape
        or e.shape != h.shape[:1]
        or (h.ndim == 2 and h.shape[0] != h.shape[1])
    ):
        raise DomainError(
            f"Curvature, noise and start have shapes {h.shape}, {c.shape} and {e.shape}. "
            "Give three numbers, or two (d, d) matrices and a vector (d,)."
        )
    if not (np.isfinite(h).all() and np.isfinite(c).all() and np.isfinite(e).all()):
        raise DomainError("Curvature, noise or start is not finite. Give finite numbers.")
    h, c = np.atleast_2d(h), np.atleast_2d(c)
    if not (np.array_equal(h, h.T) and np.array_equal(c, c.T)):
        raise DomainError("Curvature or noise is not symmetric. Give symmetric matrices.")
    if np.linalg.eigvalsh(h)[0] <= 0 or np.linalg.eigvalsh(c)[0] < -1e-12 * abs(c).max(initial=0):
        raise DomainError(
            "The curvature must be positive definite and the noise semidefinite. Leave out flat directions."
        )
    return problem


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and second moment of theta_n - theta*, and of the average of theta_1, ..., theta_n minus theta*."""

    n: int
    mean: Any
    second: Any
    average_mean: Any
    average_second: Any


@np.errstate(over="ignore", invalid="ignore")
def moments(problem: LinearProblem, steps: StepSize, at: Iterable[int]) -> list[Moments]:
    """Return the moments after the numbers of steps `at`, by the exact recursion.

    Numbers stay of their type: Fractions give rationals, floats are rounded; matrices are float64.

    Args:
        problem: the problem.
        steps: n -> g_n, such as `Steps`.
        at: numbers of steps, increasing, at least 1.

    Raises:
        DomainError: `at` does not increase from at least 1.
        EpsnetError: the moments are no longer finite.

    Example:
        >>> from fractions import Fraction
        >>> one = Fraction(1)
        >>> [str(m.second) for m in moments(quadratic(one, one, one), Steps(one), [1, 10])]
        ['1', '1/10']
    """
    wanted = [int(n) for n in at]
    if any(later <= earlier for earlier, later in zip([0, *wanted], wanted, strict=False)):
        raise DomainError("The numbers of steps do not increase from at least 1. Sort them.")
    system = _System.of(problem)
    mean, second = system.start
    average_mean, average, cross = 0 * mean, 0 * second, 0 * second
    found: list[Moments] = []
    for n in range(1, wanted[-1] + 1 if wanted else 1):
        g = steps(n)
        mean = (1 - g * system.column) * mean if system.rotation is None else (1 - g * system.diagonal) * mean
        second = system.next_second(second, g)
        cross = (1 - g * system.column) * cross
        both = cross + (cross if system.rotation is None else cross.T)
        average = ((n - 1) ** 2 * average + (n - 1) * both + second) / n**2
        cross = ((n - 1) * cross + second) / n
        average_mean = average_mean + (mean - average_mean) / n
        if n == wanted[len(found)]:
            if not math.isfinite(float(np.sum(second) + np.sum(average))):
                raise EpsnetError(f"The second moment overflows before step {n}. Take smaller steps.")
            found.append(Moments(n, *system.back(mean, second), *system.back(average_mean, average)))
    return found


@dataclass(frozen=True, slots=True)
class _System:
    """The recursion in the eigenbasis of H, where it acts on each entry by itself; on numbers if d is not given."""

    diagonal: Any
    column: Any
    total: Any
    product: Any
    noise: Any
    unit: Any
    start: tuple[Any, Any]
    rotation: Floats | None
    multiplicative: bool

    @classmethod
    def of(cls, problem: LinearProblem) -> _System:
        h, e = problem.curvature, problem.start
        if not np.ndim(h):
            return cls(h, h, 2 * h, h * h, problem.noise, 1, (e, e * e), None, problem.multiplicative)
        values, q = np.linalg.eigh(np.asarray(h, dtype=float))
        e = q.T @ np.asarray(e, dtype=float)
        return cls(
            values, values[:, None], values[:, None] + values, np.outer(values, values), q.T @ problem.noise @ q,
            np.eye(len(values)), (e, np.outer(e, e)), q, problem.multiplicative,
        )  # fmt: skip

    def trace(self, second: Any) -> Any:
        """Return tr(H S)."""
        return self.column * second if self.rotation is None else float(self.diagonal @ np.diagonal(second))

    def next_second(self, second: Any, g: Any) -> Any:
        """Return the second moment after a step g."""
        if not self.multiplicative:
            return second * (1 - g * self.total + g * g * self.product) + g * g * self.noise
        added = self.noise + self.unit * (self.column * self.trace(second))
        return second * (1 - g * self.total + 2 * g * g * self.product) + g * g * added

    def best_step(self, second: Any) -> Any:
        """Return the minimizer of tr(H S') = a - 2 b g + c g^2 over g."""
        if self.rotation is None:
            h, s, q = self.diagonal, second, 3 if self.multiplicative else 1
            return h * s / (q * h * h * s + self.noise)
        h, s = self.diagonal, np.diagonal(second)
        curved = (2 if self.multiplicative else 1) * (h**3 @ s) + h @ np.diagonal(self.noise)
        return h**2 @ s / (curved + (h**2).sum() * (h @ s) if self.multiplicative else curved)

    def back(self, mean: Any, second: Any) -> tuple[Any, Any]:
        """Return moments in the basis of the problem."""
        if self.rotation is None:
            return mean, second
        return self.rotation @ mean, self.rotation @ second @ self.rotation.T


def best_steps(problem: LinearProblem, steps: int) -> Iterator[Any]:
    """Yield step sizes each of which makes E f(theta_n) as small as one step can; for d = 1 no others end lower.

    In one dimension S_n increases with S_(n-1), so that the best last step follows the best steps before; in several
    the choice is greedy.

    Raises:
        DomainError: theta_0 = theta* in a problem without noise.
    """
    system = _System.of(problem)
    second = system.start[1]
    if not float(np.sum(np.abs(second))) and not float(np.sum(np.abs(problem.noise))):
        raise DomainError("SGD starts in the minimizer and has no noise. Give another start.")
    for _ in range(steps):
        g = system.best_step(second)
        yield g
        second = system.next_second(second, g)


def strong_error(found: Moments, p: int = 2) -> float:
    """Return (E|theta_n - theta*|^2)^(1/2); for p = 1 and d = 1 E|theta_n - theta*|, if theta_n is normal.

    It is normal if the noise is, for `quadratic`. With mean m and variance v, the formula of the folded normal
    distribution is E|e| = (2v/pi)^(1/2) exp(-m^2/(2v)) + m erf(m/(2v)^(1/2)).
    """
    if p == 2:
        return math.sqrt(float(np.trace(found.second) if np.ndim(found.second) else found.second))
    if p != 1 or np.ndim(found.second):
        raise DomainError(f"The strong error of order {p} has no closed form here. Use p = 2, or p = 1 for d = 1.")
    m, v = float(found.mean), max(0.0, float(found.second - found.mean**2))
    if v == 0:
        return abs(m)
    return math.sqrt(2 * v / math.pi) * math.exp(-m * m / (2 * v)) + m * math.erf(m / math.sqrt(2 * v))


def weak_error(found: Moments, psi: Callable[[Floats], Floats], nodes: int = 40) -> float:
    """Return |E psi(theta_n - theta*) - psi(0)| for d = 1 and normal theta_n, by Gauss-Hermite quadrature.

    Args:
        found: moments of a `quadratic` problem with normal noise.
        psi: the test function of theta - theta*, on arrays; smooth, or the quadrature is poor.
        nodes: of the quadrature, exact for polynomials of order 2 nodes - 1.

    Raises:
        DomainError: d > 1.
    """
    if np.ndim(found.second):
        raise DomainError("The quadrature is for one dimension. Use `coupled_rates` in several.")
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    deviation = math.sqrt(max(0.0, float(found.second - found.mean**2)))
    values = np.asarray(psi(float(found.mean) + deviation * points)) - float(np.asarray(psi(np.zeros(1)))[0])
    return abs(float(weights @ values) / math.sqrt(2 * math.pi))


def predicted_exponent(gamma: float, nu: float) -> float:
    """Return r with (E|theta_n - theta*|^2)^(1/2) ~ n^(-r) for steps c/n^nu, c times least curvature = gamma.

    At nu = 1, gamma = 1/2 there is a factor (log n)^(1/2) more.

    Raises:
        DomainError: gamma or nu is not positive.
    """
    if not (gamma > 0 and nu > 0):
        raise DomainError("Steps and curvature have to be positive. Give gamma > 0 and nu > 0.")
    return nu / 2 if nu < 1 else min(0.5, gamma) if nu == 1 else 0.0


@dataclass(frozen=True, slots=True)
class Advice:
    """Which steps to take.

    Attributes:
        steps: c/n with the c that makes `constant` least.
        constant: the limit of n E|theta_n - theta*|^2 for them.
        averaged: the limit of n E|average - theta*|^2 for any steps c/n^nu, 1/2 < nu < 1, never larger than `constant`.
        weak_exponent: min(1, c mu), the rate of E psi(theta_n) if psi' does not vanish at theta*.
    """

    steps: Steps
    constant: float
    averaged: float
    weak_exponent: float


def advise(curvature: ArrayLike, noise: ArrayLike) -> Advice:
    """Return the steps c/n with the least limit of n E|theta_n - theta*|^2, and what averaging would give.

    The limit sum_i c^2 C_ii/(2 c h_i - 1) is convex in c > 1/(2 mu); for d = 1 the best c is 1/h.

    Args:
        curvature: H, a number or a symmetric positive definite matrix.
        noise: C, covariance of the noise of the gradient at theta*.

    Raises:
        DomainError: as for `quadratic`, or there is no noise.
    """
    from scipy.optimize import minimize_scalar

    shape = np.asarray(curvature, dtype=float).shape
    problem = quadratic(curvature, noise, np.zeros(shape[:1]) if shape else 0.0)
    values, q = np.linalg.eigh(np.atleast_2d(np.asarray(problem.curvature, dtype=float)))
    spread = np.diagonal(q.T @ np.atleast_2d(np.asarray(problem.noise, dtype=float)) @ q)
    if not spread.any():
        raise DomainError("There is no noise, so no step size is best in this sense. Use gradient descent.")
    mu = float(values[0])

    def limit(c: float) -> float:
        return float(np.sum(c * c * spread / (2 * c * values - 1)))

    # Each summand is least at 1/h_i, so the sum is least between 1/(2 mu) and 1/mu.
    best = minimize_scalar(limit, bounds=(0.5 / mu, 1 / mu), method="bounded", options={"xatol": 1e-12 / mu})
    c = min((float(best.x), 1 / mu), key=limit)
    return Advice(Steps(c), limit(c), float(np.sum(spread / values**2)), min(1.0, c * mu))


@dataclass(frozen=True, slots=True)
class StochasticProblem:
    """Any problem that SGD may be run on.

    Attributes:
        gradient: (theta (m, d), samples) -> G(theta_i, xi_i), (m, d).
        draw: (generator, m) -> m independent samples, in whatever form `gradient` takes.
        minimizer: theta*, (d,), where E G = 0.
        curvature: the Hessian of f at theta*, (d, d); a wrong one costs precision, not truth.
        noise: the covariance of G(theta*, xi), (d, d); it has to be right.
    """

    gradient: Callable[[Floats, Any], Floats]
    draw: Callable[[np.random.Generator, int], Any]
    minimizer: Floats
    curvature: Floats
    noise: Floats


def finite_sum(gradient: Callable[[Floats, Any], Floats], examples: ArrayLike, start: ArrayLike) -> StochasticProblem:
    """Return SGD on the mean over finitely many examples, one drawn at random for each step.

    The minimizer is found by Newton's method, the Hessian by differences of the gradient, the covariance is a sum.

    Args:
        gradient: (theta (m, d), rows (m, ...) of `examples`) -> gradients (m, d).
        examples: the examples, one in each row.
        start: where Newton's method starts, (d,).

    Raises:
        EpsnetError: Newton's method finds no point with gradient 0.
        DomainError: the Hessian there is not positive definite.
    """
    rows, theta = np.asarray(examples), np.array(start, dtype=float)

    def each(point: Floats) -> Floats:
        return np.asarray(gradient(np.tile(point, (len(rows), 1)), rows), dtype=float)

    def hessian(point: Floats) -> Floats:
        h = 1e-5 * (1 + np.abs(point))
        shifts = np.diag(h)
        columns = [(each(point + s).mean(0) - each(point - s).mean(0)) / (2 * h[i]) for i, s in enumerate(shifts)]
        matrix = np.array(columns)
        return (matrix + matrix.T) / 2

    first = np.abs(each(theta)).max()
    for _ in range(100):
        step = np.linalg.solve(hessian(theta), each(theta).mean(0))
        theta = theta - step
        if np.abs(step).max() <= 1e-14 * (1 + np.abs(theta).max()):
            break
    noise = each(theta)
    residual, scale = np.abs(noise.mean(0)).max(), max(first, np.abs(noise).max())
    if not residual <= 1e-12 * (scale + 1e-300):
        raise EpsnetError(f"Newton's method stops at a gradient of {residual:.1e}. Start nearer to the minimizer.")
    noise = noise - noise.mean(0)
    curvature = hessian(theta)
    quadratic(curvature, covariance := noise.T @ noise / len(rows), theta)

    def draw(generator: np.random.Generator, size: int) -> Any:
        return rows[generator.integers(len(rows), size=size)]

    return StochasticProblem(gradient, draw, theta, curvature, covariance)


def logistic_regression(x: ArrayLike, y: ArrayLike, ridge: float) -> StochasticProblem:
    """Return SGD on the mean of log(1 + exp(-y_i x_i . theta)) + ridge |theta|^2/2.

    Args:
        x: inputs (n, d) or (n,).
        y: labels -1 or 1, (n,).
        ridge: positive, so that there is one minimizer for every data.

    Raises:
        DomainError: labels or ridge are others.
    """
    inputs, labels = frozen_floats(x, "inputs"), frozen_floats(y, "labels")
    if not inputs.size or inputs.ndim not in (1, 2):
        raise DomainError(f"The inputs have the shape {inputs.shape}. Give (n, d) or (n,), n >= 1.")
    inputs = inputs.reshape(len(inputs), -1)
    if labels.shape != inputs.shape[:1] or not np.isin(labels, (-1, 1)).all() or not 0 < ridge < math.inf:
        raise DomainError("Labels are -1 or 1, one for each input, and the ridge is positive. Mend what is not.")

    def gradient(theta: Floats, rows: Floats) -> Floats:
        with np.errstate(over="ignore"):  # rows / inf is the 0 that it should be
            return ridge * theta - rows / (1 + np.exp(np.sum(rows * theta, axis=1, keepdims=True)))

    return finite_sum(gradient, labels[:, None] * inputs, np.zeros(inputs.shape[1]))


@dataclass(frozen=True, slots=True)
class CoupledRates:
    """Errors of SGD after n steps with their standard errors, and the fitted exponents; all ESTIMATED.

    Attributes:
        n: numbers of steps.
        strong, strong_se: (E|theta_n - theta*|^2)^(1/2).
        weak, weak_se: |E psi(theta_n) - psi(theta*)|.
        plain_se: the standard error that the weak error would have without the control variate.
        strong_exponent, weak_exponent: r in error ~ (n + n_0)^(-r), with 95 % intervals.
        strong_from, weak_from: the smallest n of the fits.
    """

    n: NDArray[np.int64]
    strong: Floats
    strong_se: Floats
    weak: Floats
    weak_se: Floats
    plain_se: Floats
    strong_exponent: Estimate
    weak_exponent: Estimate
    strong_from: int
    weak_from: int


_GROUPS = 25


def coupled_rates(
    problem: StochasticProblem,
    psi: Callable[[Floats], Floats],
    steps: Steps,
    at: Sequence[int],
    *,
    start: ArrayLike,
    paths: int = 20_000,
    seed: int = 0,
) -> CoupledRates:
    """Measure strong and weak errors by SGD coupled with its linearization, and fit their exponents.

    The intervals come from 25 independent groups of paths (jackknife, Student's t), so that they allow for the
    dependence of one path at different n. The fit is log error = a - r log(n + n_0) + b/(n + n_0), the last term for
    the first correction to the limit; the smallest n are left out until its residuals are as large as the standard
    errors say (chi^2 at 95 %), while 4 are left.

    Args:
        problem: the problem.
        psi: the test function, (m, d) -> (m,).
        steps: the step sizes.
        at: numbers of steps, increasing, 4 at least.
        start: theta_0, (d,).
        paths: independent runs, rounded to a multiple of 25.
        seed: of all samples.

    Raises:
        EpsnetError: a run leaves the finite numbers, or a weak error is not above its noise.
        DomainError: the numbers of steps or paths are unusable.

    Source: S. Asmussen, P. W. Glynn, Stochastic Simulation, Springer 2007, sections III.5 and V.2.
    """
    wanted = np.array([int(n) for n in at])
    if len(wanted) < 4 or wanted[0] < 1 or (np.diff(wanted) <= 0).any() or paths < 2 * _GROUPS:
        raise DomainError(f"A rate needs 4 increasing numbers of steps and {2 * _GROUPS} paths. Give more.")
    first = frozen_floats(start, "entries of the start")
    if np.shape(psi(problem.minimizer[None])) != (1,):
        raise DomainError("The test function does not map (m, d) to (m,). Give one number for each row.")
    if first.shape != problem.minimizer.shape:
        raise DomainError(f"The start has the shape {first.shape}. Give one of shape {problem.minimizer.shape}.")
    origin, size = first - problem.minimizer, paths // _GROUPS * _GROUPS
    slope, bend = _derivatives(psi, problem.minimizer)
    linear = moments(quadratic(problem.curvature, problem.noise, origin), steps, wanted.tolist())
    squares, values, plain = [], [], []
    for theta, line, exact in zip(*_runs(problem, steps, wanted, origin, size, seed), linear, strict=True):
        e = theta - problem.minimizer
        value = psi(theta) - psi(problem.minimizer[None])
        bracket = line @ slope + np.einsum("mi,ij,mj->m", line, bend, line) / 2
        expected = slope @ exact.mean + np.sum(bend * exact.second) / 2
        squares.append(_means(np.sum(e * e, axis=1) - np.sum(line * line, axis=1)) + np.trace(exact.second))
        values.append(_means(value - bracket) + expected)
        plain.append(float(value.std() / math.sqrt(size)))
    x = wanted + float(steps.offset)
    square, weak = np.array(squares).T, np.array(values).T
    weak = weak * np.sign(weak.mean(0))
    if not (weak.mean(0) > 4 * _standard_error(weak)).all():
        raise EpsnetError("A weak error is not above its noise. Use more paths, fewer steps or another test function.")
    strong_fit, strong_from = _fit_exponent(x, square)
    weak_fit, weak_from = _fit_exponent(x, weak)
    half = Estimate(strong_fit.value / 2, strong_fit.low / 2, strong_fit.high / 2)
    strong = np.sqrt(square.mean(0))
    return CoupledRates(
        wanted, strong, _standard_error(square) / (2 * strong), weak.mean(0), _standard_error(weak), np.array(plain),
        half, weak_fit, int(wanted[strong_from]), int(wanted[weak_from]),
    )  # fmt: skip


def _derivatives(psi: Callable[[Floats], Floats], point: Floats) -> tuple[Floats, Floats]:
    """Return gradient and Hessian of psi by differences; their error makes the control variate worse, not wrong."""
    d, h = len(point), 1e-4 * (1 + float(np.abs(point).max()))
    shifts = h * np.eye(d)
    at = lambda *moves: float(np.asarray(psi((point + sum(moves))[None]))[0])  # noqa: E731
    slope = np.array([(at(s) - at(-s)) / (2 * h) for s in shifts])
    bend = np.array([[(at(s, t) - at(s, -t) - at(-s, t) + at(-s, -t)) / (4 * h * h) for t in shifts] for s in shifts])
    return slope, bend


def _runs(
    problem: StochasticProblem, steps: StepSize, at: NDArray[np.int64], origin: Floats, size: int, seed: int
) -> tuple[list[Floats], list[Floats]]:
    """Return theta_n and the linearized error l_n of all paths for each n of `at`."""
    generator = np.random.Generator(np.random.Philox(seed))
    center = np.tile(problem.minimizer, (size, 1))
    theta, line = center + origin, np.tile(origin, (size, 1))
    thetas, lines = [], []
    for n in count(1):
        samples, g = problem.draw(generator, size), steps(n)
        with np.errstate(over="ignore", invalid="ignore"):
            theta = theta - g * problem.gradient(theta, samples)
            line = line - g * (line @ problem.curvature + problem.gradient(center, samples))
        if not (np.isfinite(theta).all() and np.isfinite(line).all()):
            raise EpsnetError(f"SGD leaves the finite numbers at step {n}. Take smaller steps than {g:.3g} there.")
        if n == at[len(thetas)]:
            thetas.append(theta)
            lines.append(line)
            if len(thetas) == len(at):
                break
    return thetas, lines


def _means(values: Floats) -> Floats:
    return values.reshape(_GROUPS, -1).mean(axis=1)


def _standard_error(groups: Floats) -> Floats:
    return groups.std(axis=0, ddof=1) / math.sqrt(len(groups))


def _slope(x: Floats, y: Floats, relative_se: Floats) -> tuple[float, float]:
    """Fit log y = a + s log x + b/x with weights 1/se^2; return s and chi^2."""
    matrix = np.stack([np.ones_like(x), np.log(x), x[0] / x], axis=1) / relative_se[:, None]
    response = np.log(y) / relative_se
    solution, *_ = np.linalg.lstsq(matrix, response)
    return float(solution[1]), float(np.sum((response - matrix @ solution) ** 2))


def _fit_exponent(x: Floats, groups: Floats) -> tuple[Estimate, int]:
    """Return r of mean = C x^(-r) (1 + b/x) with its 95 % interval, and where the fit begins."""
    from scipy.special import chdtri, stdtrit

    mean = groups.mean(axis=0)
    spread = _standard_error(groups) / mean + 1e-15
    first = 0
    while (left := len(x) - first) > 4:
        if _slope(x[first:], mean[first:], spread[first:])[1] <= chdtri(left - 3, 0.05):
            break
        first += 1
    others = (groups.sum(axis=0) - groups) / (_GROUPS - 1)
    slopes = np.array([_slope(x[first:], y[first:], spread[first:])[0] for y in others])
    value = -_slope(x[first:], mean[first:], spread[first:])[0]
    half = float(stdtrit(_GROUPS - 1, 0.975)) * math.sqrt((_GROUPS - 1) * float(slopes.var()))
    return Estimate(value, value - half, value + half), first
