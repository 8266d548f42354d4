r"""Training of a Gaussian posterior on the bound that it will certify.

For a linear head with k scores and the prior W ~ N(0, I), the PAC-Bayes bound with confidence 1 - delta is

$$ B(Q) = kl^{-1}_+\Bigl(\hat R(Q), \frac{KL(Q\|P) + \ln(2 \sqrt n/\delta)}{n}\Bigr), $$

where the Gibbs risk R(Q) on the sample is an integral in one variable for each point, so B is a smooth function of the
means and deviations of Q. It is minimized itself: no surrogate loss, no weight between two terms, no sampling.

Neither the class of the largest score nor KL changes when W, its means and all deviations are multiplied by a constant.
So the standard deviation of the prior is 1, and there is nothing to tune in it.

**Basis.** The prior is rotation invariant, so Q may be diagonal in any orthonormal basis, also one made from the
sample: here the r eigenvectors with the largest eigenvalues w_j of sum_i h_i f_i f_i^T, over the points i with features
f_i. At first h_i = 1, and the start is the posterior of Gaussian regression of the centered indicators of the classes
with noise of variance lambda, which is diagonal in this basis: s_j^2 = 1/(1 + w_j/lambda). After a few steps the basis
is made anew with h_i = p_i (1 - p_i) plus its mean, p_i being the probability of an error at i: only points near the
border of two classes resist a larger deviation. The bound chooses lambda from powers of two, both times.

**Descent.** L-BFGS from all points at once, in the coordinates m_j/s_j(start) and ln s_j, in which the Hessian is near
the identity; gradients in float32 by JAX. What is certified is computed anew in float64: training can only find a
worse posterior, not a wrong bound.

Sources: G. K. Dziugaite, D. M. Roy, Computing nonvacuous generalization bounds, UAI 2017; A. Maurer, A note on the
PAC-Bayesian theorem, arXiv:cs/0411099 (2004).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.statistics.posterior import GaussianPosterior

Floats = NDArray[np.float64]

_BLOCK = 2000
_NODES = 16
_MEMORY = 20
_NOISES = tuple(2.0**power for power in range(-16, 9))
_FIRST = 10  # steps in the first basis
_START_POINTS = 5000
_SMALL = 1e-12  # added to variances: a point without features has tied scores, not undefined ones


def train_posterior(
    features: Floats,
    labels: NDArray[np.int64],
    classes: int,
    *,
    rank: int = 800,
    iterations: int = 40,
    delta: float = 0.05,
    progress: Callable[[int, float], None] | None = None,
) -> GaussianPosterior:
    """Return a Gaussian posterior on linear heads whose PAC-Bayes bound on this sample is small.

    Args:
        features: F, (n, p), of comparable norms: the prior treats all features alike.
        labels: (n,), in {0, ..., k-1}.
        classes: k >= 2.
        rank: r, the directions in which the posterior differs from the prior, at most; the rest keeps the prior.
        iterations: of L-BFGS, at most.
        delta: 1 - confidence of the bound that is minimized.
        progress: called with the number of an iteration and the bound.

    Returns:
        The posterior, with prior N(0, I) and an orthonormal basis.

    Raises:
        DomainError: shapes or labels do not fit, or the features are not finite.
        MissingExtraError: JAX is not installed.
    """
    features, labels = _checked(features, labels, classes, rank, iterations, delta)
    rank = min(rank, *features.shape)
    problem = _problem(features, labels, classes, delta, np.ones(len(features)), rank)
    indicators = np.eye(classes)[labels] - 1 / classes
    moments = problem.inside.T @ indicators.astype(np.float32)
    start = _best(problem, lambda noise: moments / (problem.sizes + noise)[:, None])
    report = progress or (lambda number, value: None)
    mean, logs = _descend(problem, *start, min(iterations, _FIRST), report)
    if iterations > _FIRST:
        wrong = _errors(problem, mean, np.exp(logs))
        weights = wrong * (1 - wrong)
        old, problem = problem, _problem(features, labels, classes, delta, weights + max(weights.mean(), _SMALL), rank)
        turned = problem.basis.T @ (old.basis @ mean)
        again = _best(problem, lambda _: turned)
        mean, logs = _descend(problem, *again, iterations - _FIRST, lambda i, value: report(i + _FIRST, value))
    return GaussianPosterior(1.0, mean, logs, problem.basis)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """The sample in a basis: coordinates (n, r), squared lengths outside (n,), labels; and ln(2 sqrt n/delta)."""

    basis: Floats
    sizes: Floats
    inside: NDArray[np.float32]
    outside: NDArray[np.float32]
    labels: NDArray[np.int32]
    classes: int
    confidence: float

    def bound(self, risk: float, kl: float) -> float:
        """Return B for a Gibbs risk and a divergence."""
        return _kl_inverse(risk, (kl + self.confidence) / len(self.labels))


def _checked(
    features: Floats, labels: NDArray[np.int64], classes: int, rank: int, iterations: int, delta: float
) -> tuple[Floats, NDArray[np.int64]]:
    features, labels = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if features.ndim != 2 or 0 in features.shape or not np.isfinite(features).all():
        raise DomainError(f"Features of shape {features.shape} are no finite matrix. Give one row per point.")
    fits = labels.shape == (len(features),) and labels.dtype.kind in "iu"
    if not fits or classes < 2 or labels.min() < 0 or labels.max() >= classes:
        raise DomainError(f"The labels do not fit {len(features)} points and {classes} classes. Give 0, ..., k-1.")
    if rank < 1 or iterations < 1 or not 0 < delta < 1:
        raise DomainError("Rank, iterations or delta are out of range. Use at least 1, at least 1, and 0 < delta < 1.")
    return features, labels


def _problem(
    features: Floats, labels: NDArray[np.int64], classes: int, delta: float, weights: Floats, rank: int
) -> _Problem:
    """Return the sample in the basis of the leading eigenvectors of sum_i h_i f_i f_i^T."""
    from scipy.linalg import eigh

    n, p = features.shape
    blocks = [slice(start, start + _BLOCK) for start in range(0, n, _BLOCK)]
    matrix = np.zeros((p, p))
    for block in blocks:
        matrix += features[block].T @ (weights[block, None] * features[block])
    sizes, vectors = eigh(matrix, subset_by_index=(p - rank, p - 1), overwrite_a=True)
    basis = np.ascontiguousarray(vectors[:, ::-1])
    inside, outside = np.empty((n, rank), np.float32), np.empty(n, np.float32)
    for block in blocks:
        found = features[block] @ basis
        inside[block] = found
        outside[block] = np.maximum((features[block] ** 2).sum(axis=1) - (found**2).sum(axis=1), 0.0)
    confidence = math.log(2 * math.sqrt(n) / delta)
    return _Problem(basis, np.maximum(sizes[::-1], 0.0), inside, outside, labels.astype(np.int32), classes, confidence)


def _best(problem: _Problem, mean_of: Callable[[float], Floats]) -> tuple[Floats, Floats]:
    """Return the best of the means with the deviations s_j^2 = 1/(1 + w_j/lambda), by the bound on some points."""
    found = (math.inf, np.zeros(0), np.zeros(0))
    for noise in _NOISES:
        mean, variances = mean_of(noise), 1 / (1 + problem.sizes / noise)
        std = np.repeat(np.sqrt(variances)[:, None], problem.classes, axis=1)
        risk = float(_errors(problem, mean, std, -(-len(problem.labels) // _START_POINTS)).mean())
        kl = float(problem.classes * (variances - 1 - np.log(variances)).sum() + (mean**2).sum()) / 2
        found = min(found, (problem.bound(risk, kl), mean, std), key=lambda each: each[0])
    return found[1], found[2]


def _errors(problem: _Problem, mean: Floats, std: Floats, stride: int = 1) -> Floats:
    """Return about the probability of an error at every so manyth point: that of the worst other class."""
    from scipy.special import ndtr

    inside, labels = problem.inside[::stride], problem.labels[::stride]
    scores = (inside @ mean.astype(np.float32)).astype(np.float64)
    variances = (inside**2 @ (std**2).astype(np.float32)).astype(np.float64) + problem.outside[::stride, None] + _SMALL
    rows = np.arange(len(labels))
    gaps = (scores[rows, labels][:, None] - scores) / np.sqrt(variances[rows, labels][:, None] + variances)
    gaps[rows, labels] = np.inf
    return ndtr(-gaps.min(axis=1))


def _descend(
    problem: _Problem, mean: Floats, std: Floats, iterations: int, progress: Callable[[int, float], None]
) -> tuple[Floats, Floats]:
    """Return means and logarithms of deviations (r, k) after L-BFGS from a start."""
    from scipy.optimize import OptimizeResult, minimize

    gradients, count = _gradients(problem), 0

    def objective(theta: Floats) -> tuple[float, Floats]:
        units, logs = theta.reshape(2, *mean.shape)
        center, square = units * std, np.exp(2 * logs)
        risk, slopes = gradients(center, logs)
        kl = float((square - 1 - 2 * logs).sum() + (center**2).sum()) / 2
        value = problem.bound(risk, kl)
        by_risk, by_kl = _slopes(risk, value, len(problem.labels))
        slopes = by_risk * slopes + by_kl * np.stack([center, square - 1])
        return value, np.stack([slopes[0] * std, slopes[1]]).ravel()

    def note(intermediate_result: OptimizeResult) -> None:
        nonlocal count
        count += 1
        progress(count, float(intermediate_result.fun))

    start = np.concatenate([(mean / std).ravel(), np.log(std).ravel()])
    options = {"maxiter": iterations, "maxcor": _MEMORY, "maxfun": 4 * iterations, "ftol": 1e-7, "gtol": 0.0}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=note, options=options)
    units, logs = found.x.reshape(2, *mean.shape)
    return units * std, logs


def _gradients(problem: _Problem) -> Callable[[Floats, Floats], tuple[float, Floats]]:
    """Return (m, ln s) -> the Gibbs risk on the sample and its gradient (2, r, k), in float32 by blocks of points."""
    n = len(problem.labels)
    rows = min(n, _BLOCK)
    blocks = -(-n // rows)

    def padded(array: NDArray[Any]) -> NDArray[Any]:
        result = np.zeros((blocks * rows, *array.shape[1:]), array.dtype)
        result[:n] = array
        return result.reshape(blocks, rows, *array.shape[1:])

    shares = np.full(n, 1 / n, np.float32)
    total = _program(problem.classes)
    import jax

    data = jax.device_put(tuple(map(padded, (problem.inside, problem.outside, problem.labels, shares))))

    def evaluate(means: Floats, logs: Floats) -> tuple[float, Floats]:
        value, slopes = total(np.stack([means, logs]).astype(np.float32), data)
        return max(float(value), 0.0), np.asarray(slopes, dtype=np.float64)

    return evaluate


@functools.cache
def _program(classes: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return the compiled sum over blocks of points of the Gibbs risk and its gradient by (m, ln s).

    With the nodes z_i and weights w_i of Gauss-Hermite quadrature, the risk of a point of class y is
    1 - sum_i w_i prod_{c != y} Phi((M_y - M_c + S_y z_i)/S_c).
    """
    try:
        import jax
        import jax.numpy as jnp
    except ImportError as error:
        raise MissingExtraError("Training a posterior", "jax") from error

    places, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    nodes, shares = places.astype(np.float32)[:, None, None], (weights / weights.sum()).astype(np.float32)
    others = np.array([[c for c in range(classes) if c != y] for y in range(classes)], np.int32)

    def risk(params: Any, inside: Any, outside: Any, labels: Any, share: Any) -> Any:
        center = inside @ params[0]
        spread = jnp.sqrt((inside * inside) @ jnp.exp(2 * params[1]) + outside[:, None] + np.float32(_SMALL))
        own, rest = labels[:, None], jnp.asarray(others)[labels]
        (own_center, center), (own_spread, spread) = (
            (jnp.take_along_axis(each, own, 1), jnp.take_along_axis(each, rest, 1)) for each in (center, spread)
        )
        arguments = (own_center - center + nodes * own_spread) / spread
        return (shares @ (1 - jnp.prod(jax.scipy.special.ndtr(arguments), axis=2))) @ share

    @jax.jit
    def total(params: Any, data: Any) -> Any:
        def add(carry: Any, block: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, carry, jax.value_and_grad(risk)(params, *block)), None

        return jax.lax.scan(add, (np.float32(0), jnp.zeros_like(params)), data)[0]

    return total


def _kl_inverse(risk: float, level: float) -> float:
    """Return sup {p : kl(risk || p) <= level} in float64."""
    from scipy.special import rel_entr

    low, high = risk, 1 - 1e-15
    while high - low > 1e-15 and (middle := (low + high) / 2) not in (low, high):
        inside = rel_entr(risk, middle) + rel_entr(1 - risk, 1 - middle) <= level
        low, high = (middle, high) if inside else (low, middle)
    return high


def _slopes(risk: float, bound: float, n: int) -> tuple[float, float]:
    """Return the derivatives of the bound by the risk and by KL: kl(q||B) = (KL + ...)/n, implicitly."""
    by_bound = (bound - risk) / (bound * (1 - bound))
    by_risk = math.log(max(risk, 1e-12) / bound) - math.log((1 - risk) / (1 - bound))
    return -by_risk / by_bound, 1 / (n * by_bound)
