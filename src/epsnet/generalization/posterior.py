r"""The Gaussian posterior of a PAC-Bayes bound: one around the logistic head, found without gradients of the bound.

With W the weights (p, k) of softmax regression, the posterior N(t s W, s^2 I) and the prior N(0, 1) have

$$ KL = \frac{s^2 t^2 |W|_F^2}{2} + pk \Bigl(\frac{s^2 - 1}{2} - \ln s\Bigr), \qquad
   \min_s KL = \frac{pk}{2} \ln\Bigl(1 + \frac{t^2 |W|_F^2}{pk}\Bigr) \text{ at } s^2 = \frac{pk}{pk + t^2 |W|_F^2}, $$

and the Gibbs risk depends on t alone: what is left is a search along a line. A posterior of many parameters is tighter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from epsnet.core.network import Network
from epsnet.statistics.posterior import GaussianPosterior

Array = NDArray[np.float64]

_PENALTY = 1e-4
_POINTS = 2000
_SIGNALS = 2.0 ** np.arange(-3, 8, 0.5)


def head(weights: Array) -> Network:
    """Return the network with one affine layer, features to scores, for weights (p, k)."""
    return Network.from_layers([(np.asarray(weights, dtype=np.float64).T, np.zeros(weights.shape[1]))])


def logistic_head(features: Array, labels: NDArray[np.int64], classes: int) -> Array:
    """Return the weights (p, k) of softmax regression without a bias, with a small quadratic penalty.

    Args:
        features: (n, p).
        labels: (n,), in {0, ..., k-1}.
        classes: k.
    """
    from scipy.optimize import minimize

    n, p = features.shape
    size = math.sqrt(float((features**2).sum()) / n) or 1.0
    scaled, rows = features / size, np.arange(n)

    def objective(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(p, classes)
        scores = scaled @ weights
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        sums = shares.sum(axis=1, keepdims=True)
        loss = float(np.log(sums).sum() - scores[rows, labels].sum()) / n
        shares /= sums
        shares[rows, labels] -= 1
        gradient = scaled.T @ shares / n + _PENALTY * weights
        return loss + _PENALTY * float(flat @ flat) / 2, gradient.ravel()

    found = minimize(objective, np.zeros(p * classes), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x.reshape(p, classes) / size


def logistic_posterior(features: Array, labels: NDArray[np.int64], classes: int) -> GaussianPosterior:
    """Return N(t s W, s^2 I) around the logistic head W with the t and s of the least bound; see the module.

    Args:
        features: (n, p).
        labels: (n,), in {0, ..., k-1}.
        classes: k.
    """
    weights = logistic_head(features, labels, classes)
    n, parameters = len(features), weights.size
    square = float((weights**2).sum())
    step = max(1, n // _POINTS)
    size = math.sqrt(float((features**2).sum()) / n) * math.sqrt(
        n / max(float(((features @ weights) ** 2).sum()), 1e-300)
    )

    def candidate(signal: float) -> GaussianPosterior:
        std = math.sqrt(parameters / (parameters + signal**2 * square))
        return GaussianPosterior(1.0, signal * std * weights, np.full_like(weights, math.log(std)))

    def value(found: GaussianPosterior) -> float:
        risk = found.gibbs_risk(features[::step], labels[::step])
        level = (found.kl() + math.log(20 * math.sqrt(n))) / n
        return risk + math.sqrt(2 * risk * level) + 2 * level

    return min(map(candidate, size * _SIGNALS), key=value)
