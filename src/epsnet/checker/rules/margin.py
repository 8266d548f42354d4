r"""Rule `margin`: the margin of a linear classifier on a sample, and a bound for all of them, in rationals.

The labels y_i are 1 or -1, a classifier x -> w . x has the margin min_i y_i (w . x_i) / |w|. For alpha_i >= 0 of sum 1,

$$ \min_i y_i\,(w \cdot x_i) \le \sum_i \alpha_i\,y_i\,(w \cdot x_i) \le |w|\,\Bigl|\sum_i \alpha_i\,y_i\,x_i\Bigr|. $$

Both bounds are compared as squares, so that no root is needed. Witness (float64): ``inputs``, the points one after the
other, and `labels`; for the bound for all classifiers also `weights`, proportional to alpha. `measure` of the claim
names the sha256 of the sample.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.hashing import sha256_arrays
from epsnet.checker.rule import Context, Verdict
from epsnet.core.deep_linear import Matrix, as_fraction, rational
from epsnet.core.network import Network

MARGIN, LARGEST = "margin of the classifier", "largest margin of a linear classifier"
LINEAR, CONVEX = "the network is linear, without a bias", "the weights are a convex combination"

MAX_NUMBERS = 200_000
"""The most coordinates of all points together: about ten seconds."""


def measure(inputs: np.ndarray, labels: np.ndarray) -> str:
    """Return what a claim calls the sample whose flat witness arrays are these."""
    return f"the sample with sha256 {sha256_arrays({'inputs': inputs, 'labels': labels})}"


def check(context: Context) -> Verdict:
    """Check either bound."""
    claim, own = context.claim, context.claim.quantity == MARGIN
    inputs, labels = context.array("inputs", "f"), context.array("labels", "f")
    signs = len(labels) > 0 and bool((np.abs(labels) == 1).all())
    context.require(inputs.dtype == labels.dtype == np.float64 and signs, "The labels are not 1 or -1. Build it anew.")
    small = len(inputs) <= MAX_NUMBERS and len(inputs) % len(labels) == 0 and len(inputs) > 0
    context.require(small, "The sample is malformed or too large for rationals. Use a part of it.")
    quantity, sense = (MARGIN, ">=") if own else (LARGEST, "<=")
    context.states(quantity, sense, measure=measure(inputs, labels), domain=False, network=own)
    points = signed_points(inputs.reshape(len(labels), -1), labels)
    limit = claim.limit
    if own:
        weights = _classifier(context, points.shape[1])
        least = as_fraction(min(points @ weights))
        holds = least > 0 and limit > 0 and least**2 >= limit**2 * as_fraction(weights @ weights)
    else:
        alpha = context.array("weights", "f")
        convex = alpha.dtype == np.float64 and len(alpha) == len(labels) and bool((alpha >= 0).all() and alpha.any())
        context.require(convex, "The weights are not nonnegative, one for each point. Build it anew.")
        exact = rational(alpha)
        point = exact @ points
        holds = limit >= 0 and as_fraction(point @ point) <= limit**2 * as_fraction(exact.sum()) ** 2
    context.require(bool(holds), "The margin is another. Compute it again.")
    return Verdict(Kind.VERIFIED, (LINEAR if own else CONVEX, f"{len(labels)} points"))


def signed_points(inputs: Any, labels: Any) -> Matrix:
    """Return y_i x_i as the rows of a matrix (n, d) of rationals."""
    return rational(inputs) * rational(labels)[:, None]


def linear_network(weights: Any) -> Network:
    """Return the network x -> w . x."""
    return Network.from_layers([(np.asarray(weights, dtype=np.float64)[None, :], np.zeros(1))], "identity")


def _classifier(context: Context, dimension: int) -> Matrix:
    """Return w of the network x -> w . x, in rationals."""
    layers = context.network.layers
    linear = (
        len(layers) == 1
        and [source for source, _ in layers[0].terms] == [0]
        and layers[0].terms[0][1].shape == (1, dimension)
        and set(layers[0].activations) == {"identity"}
        and not any(layers[0].bias_values())
    )
    context.require(linear, "The network is not x -> w . x for these points. Use one linear layer without bias.")
    entries = dict(layers[0].terms[0][1].rows[0])
    values = [entries.get(column, 0) for column in range(dimension)]
    # A sum of many fractions with denominators of their own would be too long; those of float64 are powers of 2.
    weights = np.array(values, dtype=np.float64)
    same = all(Fraction(w) == Fraction(v) for w, v in zip(weights.tolist(), values, strict=True))
    context.require(same, "A weight is no float64 number. Round it.")
    return rational(weights)
