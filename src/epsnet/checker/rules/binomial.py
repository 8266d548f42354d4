r"""Rule `binomial`: a risk bound from the errors on a sample, exact for every n (Clopper and Pearson, 1934).

If k of n independent points are errors, risk <= p with confidence 1 - delta for the p with P(Bin(n, p) <= k) = delta.
The rule recounts k from the network and the data, as the points that are not certainly right in float64 arithmetic in
any order of summation, and checks P(Bin(n, value) <= k) <= delta in ball arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.certify.tails import binomial_tail
from epsnet.checker.rule import Context, Verdict
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, float64_error, needs_library
from epsnet.core.target import DataTarget

MEASURE = "the distribution that the sample was drawn from"
INDEPENDENCE = (
    "the points of the sample are independent, from the distribution of the risk, and were not used in training"
)
_BLOCK, _NUMBERS = 2000, 2**22


def count_errors(network: Network, inputs: NDArray[np.float64], labels: NDArray, tolerance: float | None) -> int:
    """Count the points with loss 1, a point counting as an error unless float64 arithmetic certainly gets it right.

    Two orders of summation differ by at most twice the distance of either to R(Phi); the comparison of this function
    itself is rounded too.
    """
    errors = 0
    block = max(1, min(_BLOCK, _NUMBERS // (network.inputs + network.size.neurons + network.outputs)))
    for start in range(0, len(inputs), block):
        x, y = inputs[start : start + block], labels[start : start + block]
        values = realize(network, x).reshape(len(x), -1)
        doubt = 2 * float64_error(network, x, x)
        doubt = doubt + 2.0**-50 * (doubt + np.abs(values)) + 2.0**-1000
        if tolerance is not None:
            distance = np.abs(values - y.reshape(len(x), -1))
            right = (distance + (doubt + 2.0**-50 * (distance + tolerance)) <= tolerance).all(axis=1)
        else:
            rows = np.arange(len(x))
            lowest = (values - doubt)[rows, y]
            others = values + doubt
            others[rows, y] = -np.inf
            right = lowest > others.max(axis=1, initial=-np.inf)
        errors += int(np.count_nonzero(~right))
    return errors


def check(context: Context) -> Verdict:
    """Check risk <= value with confidence 1 - delta."""
    context.states("risk", "<=", measure=MEASURE, arithmetic="float64", domain=False, network=True, target=True)
    claim, target, network = context.claim, context.target, context.network
    if not isinstance(target, DataTarget):
        raise CheckError("A risk is about data, the target is a formula. Build it anew.")
    if target.inputs is None or target.labels is None:
        raise CheckError(f"The errors cannot be recounted without the data {target.name!r}. Give it with --data PATH.")
    context.require(
        0 < claim.delta < 1 and 0 <= claim.limit <= 1, "Risk and delta must be between 0 and 1. Build it anew."
    )
    fits = _fits(network, target.inputs, target.labels, target.tolerance)
    context.require(fits, "The data does not fit the network. Check it with its own data.")
    errors = count_errors(network, target.inputs, target.labels, target.tolerance)
    if claim.limit < 1:
        tail = binomial_tail(errors, target.points, claim.limit)
        holds = bool(tail <= ball(claim.delta))
        context.require(
            holds, f"With {errors} errors in {target.points} points it may be larger. State a larger value."
        )
    assumptions = (INDEPENDENCE, *((LIBRARY_ASSUMPTION,) if needs_library(network) else ()))
    return Verdict(Kind.STATISTICAL, (f"{errors} errors in {target.points} points",), assumptions, claim.delta)


def _fits(network: Network, inputs: NDArray[np.float64], labels: NDArray, tolerance: float | None) -> bool:
    if inputs.shape[1] != network.inputs:
        return False
    if tolerance is None:
        return int(labels.min()) >= 0 and int(labels.max()) < network.outputs
    return labels.reshape(len(labels), -1).shape[1] == network.outputs
