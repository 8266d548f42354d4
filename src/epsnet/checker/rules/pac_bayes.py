r"""Rule `pac_bayes`: the risk of a Gaussian linear head on fixed features, from the sample it was trained on.

With probability at least 1 - delta over n >= 8 independent points, for all posteriors Q at once,

$$ kl\bigl(\hat R(Q) \| R(Q)\bigr) \le \frac{KL(Q\|P) + w + \ln(2\sqrt n/\delta)}{n}, $$

and with probability at least 1 - delta over the points and one draw h from Q the same with ln dQ/dP(h) for KL, and h
for Q. The prior N(0, sigma_0^2 I) and the features come from fixed lists with weights, w being the sum of -ln(weight);
or the witness has a mean of the prior, and it is assumed to be made from other points.

The rule computes the features from the raw data, KL and the mean error of Q by quadrature with its error
(`statistics.posterior`), draws h again, and checks the inequality in ball arithmetic. The seed of the draw is the hash
of the posterior, so that no posterior can be made to suit the random numbers. It refuses data
that were scaled by their own statistics.

Witness: `features`, the code of the map; `shape` (p, k, r); `prior_std`; `mean`, `log_std` (r k); `basis` (p r), empty
for the identity; `prior_mean` (p k), empty for 0.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball, gamma
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules.binomial import MEASURE
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.core.target import DataTarget
from epsnet.features.maps import FeatureMap
from epsnet.statistics.kl import exceeds
from epsnet.statistics.posterior import GaussianPosterior
from epsnet.statistics.prior import prior_nats
from epsnet.statistics.scaling import fitted_scaling

INDEPENDENCE = "the points of the sample are independent, from the distribution of the risk"
RAW = "nothing was fitted to the inputs before they became the sample; the list of feature maps was fixed without it"
OTHER_POINTS = "the prior and the features were made without the points of the sample"
ONE_DRAW = "the posterior was not changed until its draw was good: its hash is the seed of its only draw"
PHI = "SciPy evaluates the normal distribution function to within 16 units in the last place"

MIN_POINTS = 8
MAX_WORK = 2**40
"""Points times features times columns of the basis or classes: some minutes."""
_NODES = 2**16
"""Nodes of the quadrature, each for as many operations as a distribution function takes."""
_BLOCK = 2000
_MAX_FEATURES, _MAX_CLASSES, _MAX_GRAM = 2**14, 2**10, 2**38
_SAME_DRAW = 1e-7
"""The largest rounding error of a draw, as a share of the standard deviation of each coordinate."""


def measure(features: FeatureMap) -> str:
    """Return what a claim about a head on some features is about."""
    return MEASURE if str(features) == "the inputs" else f"{MEASURE}; features: {features}"


def sample_of(context: Context) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the raw inputs and the classes of the target. CheckError if there are none or they scaled themselves."""
    target = context.target
    if not isinstance(target, DataTarget) or target.tolerance is not None:
        raise CheckError("The target is no sample of a classification. Build it anew.")
    if target.inputs is None or target.labels is None:
        raise CheckError(f"The errors cannot be recounted without the data {target.name!r}. Give it with --data PATH.")
    found = fitted_scaling(target.inputs)
    context.require(found is None, f"The inputs were {found}. Give the raw data.")
    return target.inputs, target.labels


def feature_map(context: Context) -> FeatureMap:
    """Return the feature map of the witness."""
    code = context.array("features", "i")
    context.require(len(code) <= 8, "The features have no such code. Build it anew.")
    return FeatureMap(tuple(code.tolist()))


def require_dimension(context: Context, features: FeatureMap, inputs: NDArray[np.float64], dimension: int) -> None:
    """Require a point to have so many features, before those of all points take time and memory."""
    found = features(inputs[:1]).shape[1]
    context.require(found == dimension, f"There are {found} features, not {dimension}. Build it anew.")


def posterior_of(context: Context) -> GaussianPosterior:
    """Return the posterior of the witness. CheckError or DomainError if it is none."""
    shape = context.array("shape", "i").tolist()
    context.require(len(shape) == 3, "The shape is not (p, k, r). Build it anew.")
    p, k, r = shape
    fits = 1 <= r <= p <= _MAX_FEATURES and 2 <= k <= _MAX_CLASSES and p * r * r <= _MAX_GRAM
    context.require(fits, "The posterior is too large or its shape is none. Build it anew.")
    std = context.array("prior_std", "f")
    context.require(len(std) == 1, "There is not one prior standard deviation. Build it anew.")

    def matrix(name: str, rows: int, columns: int, *, optional: bool = False) -> np.ndarray | None:
        flat = context.array(name, "f")
        if optional and len(flat) == 0:
            return None
        context.require(len(flat) == rows * columns, f"The array {name!r} has another length. Build it anew.")
        return flat.reshape(rows, columns)

    mean, log_std = matrix("mean", r, k), matrix("log_std", r, k)
    basis, prior_mean = matrix("basis", p, r, optional=True), matrix("prior_mean", p, k, optional=True)
    context.require(basis is not None or r == p, "Without a basis there are p coordinates. Build it anew.")
    return GaussianPosterior(float(std[0]), mean, log_std, basis, prior_mean)  # pyright: ignore[reportArgumentType]


def head_errors(
    weights: NDArray[np.float64], features: NDArray[np.float64], labels: NDArray[np.int64], relative: float
) -> int:
    """Count the points whose class does not certainly have the largest score of W^T f in any order of summation.

    Args:
        weights: W, (p, k).
        features: (n, p), each row known up to `relative` times its norm.
        labels: (n,).
        relative: see `features`.
    """
    share = 1.01 * (float(gamma(len(weights) + 4)) + relative)
    doubt = share * np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(weights, axis=0) + 2.0**-1000
    scores, rows = features @ weights, np.arange(len(features))
    others = scores + doubt
    others[rows, labels] = -np.inf
    right = (scores - doubt)[rows, labels] > others.max(axis=1)
    return int(np.count_nonzero(~right))


def check(context: Context) -> Verdict:
    """Check the Gibbs risk or the risk of a drawn head."""
    claim, drawn = context.claim, context.claim.theorem == "single-draw"
    features, posterior = feature_map(context), posterior_of(context)
    context.states(
        "risk" if drawn else "Gibbs risk", "<=", measure=measure(features), arithmetic="float64" if drawn else "exact",
        domain=False, network=drawn, target=True,
    )  # fmt: skip
    in_range = 0 < claim.delta < 1 and 0 <= claim.limit <= 1
    context.require(in_range, "Risk and delta must be between 0 and 1. Build it anew.")
    inputs, labels = sample_of(context)
    n, p, k = len(inputs), posterior.dimension, posterior.classes
    context.require(n >= MIN_POINTS, f"The theorem needs {MIN_POINTS} points. Give more.")
    context.require(labels.min() >= 0 and labels.max() < k, "The labels do not fit the scores. Build it anew.")
    work = max(n * p * max(len(posterior.mean), k), _NODES * n * k, features.work(*inputs.shape))
    context.require(work <= MAX_WORK, "There is too much to be recomputed. Use fewer points or features.")
    require_dimension(context, features, inputs, p)
    if drawn:
        weights = _head(context, posterior)
        cost = max(posterior.log_density_ratio(weights), 0.0)
    else:
        weights, cost = None, posterior.kl()
    prior: tuple[str, ...] = ()
    if posterior.prior_mean is None:
        cost += prior_nats(posterior.prior_std) + features.nats
    else:
        prior = (OTHER_POINTS,)
    empirical = _empirical(posterior, weights, features, inputs, labels)
    level = (ball(cost) + (2 * ball(n).sqrt() / ball(claim.delta)).log()) / n
    holds = empirical <= claim.limit and exceeds(empirical, claim.limit, level)
    context.require(
        holds, f"With {float(empirical):.6g} on the sample and {cost:.6g} nats it may be larger. State a larger value."
    )
    return Verdict(Kind.STATISTICAL, hypotheses(n, features, posterior), assumptions(prior, drawn), claim.delta)


def hypotheses(n: int, features: FeatureMap, posterior: GaussianPosterior) -> tuple[str, ...]:
    """Return what the rule checked: no number that depends on the order of summation."""
    center = "0" if posterior.prior_mean is None else "a given mean"
    return (
        f"{n:,} points; {posterior.dimension:,} features, {posterior.classes} classes; features: {features}",
        f"prior: independent normal weights around {center} with standard deviation {posterior.prior_std:g}",
    )


def assumptions(prior: tuple[str, ...], drawn: bool) -> tuple[str, ...]:
    """Return what the rule has to assume."""
    return (INDEPENDENCE, RAW, *prior, ONE_DRAW if drawn else PHI)


def _head(context: Context, posterior: GaussianPosterior) -> NDArray[np.float64]:
    """Return the weights of the network of the claim, which has to be the draw of the posterior."""
    weights, drawn = head_weights(context.network), posterior.draw(posterior.seed)
    same = weights.shape == drawn.shape
    if same:
        # Against any other size, a narrow posterior would admit weights that it makes most unlikely: ln dQ/dP << 0.
        inside = off = weights - drawn
        if posterior.basis is not None:
            inside = posterior.basis.T @ off
            same = bool((np.abs(off) <= _SAME_DRAW * posterior.prior_std).all())
        same = same and bool((np.abs(inside) <= _SAME_DRAW * np.exp(posterior.log_std)).all())
    context.require(same, "The network is not the draw of the posterior. Build it anew.")
    return weights


def head_weights(network: Network) -> NDArray[np.float64]:
    """Return W (p, k) of a network f -> W^T f. CheckError if it is none."""
    layer = network.layers[0]
    linear = layer.terms[0][1]
    plain = len(network.layers) == len(layer.terms) == 1 and set(layer.activations) == {"identity"}
    if not plain or not isinstance(linear, Dense) or any(layer.bias_values()):
        raise CheckError("The network is not a linear map with a dense matrix. Build it anew.")
    return linear.weight.T


def _empirical(
    posterior: GaussianPosterior,
    weights: NDArray[np.float64] | None,
    features: FeatureMap,
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> Fraction:
    """Return an upper bound of the risk on the sample."""
    total = 0.0
    for start in range(0, len(inputs), _BLOCK):
        block = slice(start, start + _BLOCK)
        found = features(inputs[block])
        if not np.isfinite(found).all() or np.abs(found).max() > 1e100:
            raise CheckError("A feature is not a moderate number. Give other data.")
        if weights is not None:
            total += head_errors(weights, found, labels[block], features.rounding)
        else:
            total += len(found) * posterior.gibbs_risk(found, labels[block], features.rounding)
    return min(Fraction(total) / len(inputs), Fraction(1))
