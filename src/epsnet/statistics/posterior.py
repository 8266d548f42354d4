r"""A Gaussian posterior on the weights of a linear head, its divergence from the prior and its risk, without sampling.

The head maps features f in R^p to k scores W^T f, and the class is the largest score. The prior is
W = W_0 + sigma_0 G with independent standard normal G; the posterior keeps it but on the columns of a basis B,

$$ W = W_0 + B A + (I - B B^T)\,\sigma_0 G, \qquad A_{jc} \sim N(m_{jc}, s_{jc}^2), \qquad B^T B = I, $$

so that, the prior being rotation invariant whatever B depends on,

$$ KL(Q\|P) = \sum_{j,c} \ln\frac{\sigma_0}{s_{jc}} + \frac{s_{jc}^2 + m_{jc}^2}{2\sigma_0^2} - \frac12. $$

Given f the scores are independent Gaussians with means M_c = (W_0^T f + m^T B^T f)_c and variances
S_c^2 = sum_j (B^T f)_j^2 s_jc^2 + sigma_0^2 (|f|^2 - |B^T f|^2), and the head is right with probability

$$ p_y = \int \varphi(z) \prod_{c \ne y} \Phi\Bigl(\frac{M_y - M_c + S_y z}{S_c}\Bigr)\,dz. $$

**Quadrature.** |Phi(x + iv)| <= exp(v^2/2) Phi(x), so the integrand is bounded by exp(v^2 (R + 1)/2) phi(x) at height
v with R = sum_c (S_y/S_c)^2, and the trapezoidal rule of step h is off by at most 2 exp(-2 pi^2 / (h^2 (R + 1))) times
1/(1 - exp(-4 pi^2/(h^2 (R + 1)))). Its terms are positive: those left out only lower it. So p_y is bounded from below.

**Rounding.** B, which is stored in float64, stands for the nearest matrix B' with orthonormal columns, its polar
factor: ||B - B'|| <= ||B^T B - I||. That, the rounding of the features and that of all products bound the errors of M
and S, and thereby that of p_y, by sum_c (dM_y + dM_c + dS_y + dS_c) / S_c because Phi and u phi(u) have slopes and
values below 1/2; it is added to the risk point by point. SciPy is taken to evaluate Phi to 16 units in the last place.

Sources: G. K. Dziugaite, D. M. Roy, UAI 2017 (Gaussian posteriors); L. N. Trefethen, J. A. C. Weideman, SIAM Review 56
(2014), theorem 5.1 (the trapezoidal rule); N. J. Higham, Accuracy and Stability, 2nd ed., SIAM 2002, section 3.1.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.hashing import sha256_arrays
from epsnet.certify.rounding import gamma

Array = NDArray[np.float64]

MAX_DEVIATION = 1e-6
"""The largest ||B^T B - I|| of a basis."""
_MAX_LOG = 100.0
_BLOCK, _NUMBERS = 2000, 2**18
_STEPS = (0.25, 0.125, 0.0625, 0.03125)
_RANGE = 8.5
_FLOOR = 1e-9
"""Below this probability of an error the union bound over the classes is taken, which is as good."""


@dataclass(frozen=True, slots=True, eq=False)
class GaussianPosterior:
    """The posterior of the module.

    Attributes:
        prior_std: sigma_0 > 0.
        mean: m, (r, k), the means of the coordinates in the basis, relative to those of the prior; r = p without basis.
        log_std: ln s, (r, k).
        basis: B, (p, r), orthonormal columns up to rounding; None for the identity.
        prior_mean: W_0, (p, k); None for 0, the prior that no data chose.
        deviation: an upper bound of ||B^T B - I||.

    Raises:
        DomainError: shapes do not fit, a number is not finite or absurdly large, or the basis is not orthonormal.
    """

    prior_std: float
    mean: Array
    log_std: Array
    basis: Array | None = None
    prior_mean: Array | None = None
    deviation: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("mean", "log_std", "basis", "prior_mean"):
            given = getattr(self, name)
            if given is None:
                continue
            array = np.array(given, dtype=np.float64)
            if array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all() or np.abs(array).max() > 1e12:
                raise DomainError(f"The {name} of a posterior is no matrix of moderate numbers. Give one.")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        fits = self.mean.shape == self.log_std.shape and self.classes >= 2
        fits = fits and (self.basis is None or self.basis.shape[1] == len(self.mean) <= self.dimension)
        fits = fits and (self.prior_mean is None or self.prior_mean.shape == (self.dimension, self.classes))
        if not fits:
            raise DomainError("The arrays of a posterior do not fit each other. Give (r, k), (r, k), (p, r), (p, k).")
        if not 1e-12 <= self.prior_std <= 1e12 or np.abs(self.log_std).max() > _MAX_LOG:
            raise DomainError("A standard deviation of the posterior is out of range. Use a moderate one.")
        object.__setattr__(self, "deviation", _deviation(self.basis))
        if not self.deviation <= MAX_DEVIATION:
            raise DomainError(
                f"The basis is not orthonormal: ||B'B - I|| = {self.deviation:.1e}. Take the Q of a QR decomposition."
            )

    @property
    def dimension(self) -> int:
        """The number p of features."""
        return len(self.mean) if self.basis is None else len(self.basis)

    @property
    def classes(self) -> int:
        """The number k of scores."""
        return self.mean.shape[1]

    def kl(self) -> float:
        """Return an upper bound of KL(Q||P) in nats, above it by rounding only."""
        ratio = np.exp(2 * (self.log_std - math.log(self.prior_std)))
        parts = (-(self.log_std - math.log(self.prior_std)), ratio / 2, (self.mean / self.prior_std) ** 2 / 2)
        total = sum(float(part.sum()) for part in parts) - self.mean.size / 2
        size = sum(float(np.abs(part).sum()) for part in parts) + self.mean.size
        return max(total + _sum_error(self.mean.size) * (size + self._log_size()), 0.0)

    def log_density_ratio(self, weights: Array) -> float:
        """Return an upper bound of ln dQ/dP at the head with these weights (p, k)."""
        shifted = weights if self.prior_mean is None else weights - self.prior_mean
        found = shifted if self.basis is None else self.basis.T @ shifted
        scale = np.exp(self.log_std)
        own, prior = (found - self.mean) / scale, found / self.prior_std
        parts = (-(self.log_std - math.log(self.prior_std)), -(own**2) / 2, prior**2 / 2)
        # The coordinates are uncertain by rounding and by the deviation of the basis; the squares pass it on.
        norms = np.linalg.norm(shifted, axis=0)
        if self.prior_mean is not None:
            norms = norms + np.linalg.norm(self.prior_mean, axis=0)
        doubt = norms * (float(gamma(self.dimension + 4)) + self.deviation) * 1.01
        passed = doubt * (
            (np.abs(own) + doubt / scale) / scale + (np.abs(prior) + doubt / self.prior_std) / self.prior_std
        )
        size = sum(float(np.abs(part).sum()) for part in parts)
        total = sum(float(part.sum()) for part in parts) + float(passed.sum()) * (1 + 1e-9)
        return total + _sum_error(self.mean.size) * (size + self._log_size())

    def logits(self, features: Array) -> tuple[Array, Array]:
        """Return means and standard deviations of the scores, (n, k) each, for features (n, p)."""
        mean, variance, _, _ = self._scores(features, 0.0)
        return mean, np.sqrt(variance)

    def gibbs_risk(self, features: Array, labels: NDArray[np.int64], feature_error: float = 0.0) -> float:
        """Return an upper bound of the mean error of heads drawn for each point anew; above it by rounding only.

        Args:
            features: (n, p).
            labels: (n,), in {0, ..., k-1}.
            feature_error: the rounding error of a vector of features, as a share of its norm.
        """
        total = 0.0
        for start in range(0, len(features), _BLOCK):
            block = slice(start, start + _BLOCK)
            total += float(self._errors(features[block], labels[block], feature_error).sum())
        return min(total / len(features) * (1 + 1e-12) + 1e-12, 1.0)

    @property
    def seed(self) -> int:
        """The hash of the posterior as an integer below 2^60: the seed of the draw that a bound is about.

        Whoever knows the random numbers beforehand could make a posterior in which they are a likely draw of any head.
        Here every change of the posterior changes them.
        """
        given = {name: getattr(self, name) for name in ("mean", "log_std", "basis", "prior_mean")}
        arrays = {name: array for name, array in given.items() if array is not None}
        return int(sha256_arrays({**arrays, "prior_std": np.array([self.prior_std])})[:15], 16)

    def draw(self, seed: int) -> Array:
        """Return the weights (p, k) of one head from the posterior."""
        inside, whole = self.mean.size, self.dimension * self.classes
        normal = _normals(seed, inside + (0 if self.basis is None else whole))
        found = self.mean + np.exp(self.log_std) * normal[:inside].reshape(self.mean.shape)
        if self.basis is not None:
            noise = self.prior_std * normal[inside:].reshape(self.dimension, self.classes)
            found = noise + self.basis @ (found - self.basis.T @ noise)
        return found if self.prior_mean is None else found + self.prior_mean

    def mean_weights(self) -> Array:
        """Return the weights (p, k) of the mean head."""
        found = self.mean if self.basis is None else self.basis @ self.mean
        return found if self.prior_mean is None else found + self.prior_mean

    def _log_size(self) -> float:
        return self.mean.size * (abs(math.log(self.prior_std)) + 1) + float(np.abs(self.log_std).sum())

    def _scores(self, features: Array, feature_error: float) -> tuple[Array, Array, Array, Array]:
        """Return means, variances, and bounds of their errors."""
        norms = np.linalg.norm(features, axis=1)
        inside = features if self.basis is None else features @ self.basis
        squares = np.exp(2 * self.log_std)
        mean, variance = inside @ self.mean, inside**2 @ squares
        r, p = len(self.mean), self.dimension
        # |B'^T f - (what was computed)| <= relative |f|
        relative = feature_error
        if self.basis is not None:
            rest = norms**2 - (inside**2).sum(axis=1)
            variance = variance + self.prior_std**2 * np.maximum(rest, 0.0)[:, None]
            relative += float(gamma(p)) * math.sqrt(r) * 1.01 + self.deviation
        lengths = np.linalg.norm(self.mean, axis=0)
        mean_error = norms[:, None] * lengths * (relative + float(gamma(r + 2))) * 1.01
        if self.prior_mean is not None:
            mean = mean + features @ self.prior_mean
            lengths = np.linalg.norm(self.prior_mean, axis=0)
            mean_error = mean_error + norms[:, None] * lengths * (feature_error + float(gamma(p + 2))) * 1.01
        largest = max(float(squares.max()), self.prior_std**2)
        variance_error = largest * norms[:, None] ** 2 * (5 * relative + 2 * float(gamma(p + r + 1024)))
        return mean, variance, mean_error + 2.0**-50 * np.abs(mean), np.broadcast_to(variance_error, mean.shape)

    def _errors(self, features: Array, labels: NDArray[np.int64], feature_error: float) -> Array:
        """Return an upper bound of the probability of an error at each point."""
        from scipy.special import ndtr

        mean, variance, mean_error, variance_error = self._scores(features, feature_error)
        rows = np.arange(len(mean))
        certain = np.asarray((variance > np.maximum(4 * variance_error, 1e-200)).all(axis=1))
        std = np.sqrt(np.where(certain[:, None], variance, 1.0))
        std_error = np.where(certain[:, None], variance_error / std, 0.0)
        others = np.ones(mean.shape, dtype=bool)
        others[rows, labels] = False
        shape = (len(mean), self.classes - 1)

        def split(values: Array) -> tuple[Array, Array]:
            return values[rows, labels][:, None], values[others].reshape(shape)

        (own, rest), (own_std, rest_std) = split(mean), split(std)
        (own_doubt, rest_doubt), (own_std_doubt, rest_std_doubt) = split(mean_error), split(std_error)
        gaps = own - rest
        doubt = ((own_doubt + rest_doubt + own_std_doubt) + rest_std_doubt) / rest_std
        union = ndtr(-gaps / np.hypot(own_std, rest_std)).sum(axis=1)
        # Where one deviation is far above the others, the quadrature would need too many nodes: see `union`.
        ratios = ((own_std / rest_std) ** 2).sum(axis=1) + 1
        found, open_ = union.copy(), union > _FLOOR
        for step in _STEPS:
            rate = 2 * math.pi**2 / (step**2 * ratios)
            now = np.flatnonzero(open_ & (rate >= 27))
            if len(now) == 0:
                continue
            open_[now] = False
            off = 2 * np.exp(-rate[now]) * 1.01
            right = _probability(gaps[now], own_std[now], rest_std[now], step)
            found[now] = np.minimum(union[now], 1 - (right - off))
        found = found + doubt.sum(axis=1) * 1.01 + 2.0**-40
        return np.where(certain & (found < 1), np.maximum(found, 0.0), 1.0)


def _deviation(basis: Array | None) -> float:
    if basis is None:
        return 0.0
    p, r = basis.shape
    sizes = np.linalg.norm(basis, axis=0)
    found = float(np.linalg.norm(basis.T @ basis - np.eye(r)))
    return (found + float(gamma(p + 2)) * float(sizes @ sizes)) * (1 + 1e-9)


def _normals(seed: int, count: int) -> Array:
    """Return independent normal numbers from raw bits: those of NumPy's distributions may change with its version."""
    from scipy.special import ndtri

    bits = np.random.Philox(np.random.SeedSequence(seed)).random_raw(count)
    return ndtri(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def _probability(gaps: Array, own: Array, rest: Array, step: float) -> Array:
    """Return the trapezoidal sum of phi(z) prod_c Phi((gap_c + own z) / rest_c)."""
    from scipy.special import ndtr

    z = step * np.arange(-int(_RANGE / step), int(_RANGE / step) + 1)
    weights = step * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    block, found = max(1, _NUMBERS // (len(z) * gaps.shape[1])), []
    for start in range(0, len(gaps), block):
        rows = slice(start, start + block)
        inside = gaps[rows, None] + own[rows, None] * z[:, None]
        found.append(ndtr(inside / rest[rows, None]).prod(axis=2) @ weights)
    return np.concatenate(found)


@functools.cache
def _sum_error(terms: int) -> float:
    """Return the relative error of a sum of so many rounded terms, each with a few roundings."""
    return float(gamma(terms + 1024)) * 1.01
