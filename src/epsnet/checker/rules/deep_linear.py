r"""Rule `deep_linear`: gradient, loss and inertia of the Hessian of a deep linear network on a sample, in rationals.

The network is x -> W_L ... W_1 x without biases, the function f(W_1, ..., W_L) = |W_L ... W_1 X - Y|^2/2.
Witness: ``inputs`` and `outputs` (float64), the columns of X and of Y one after the other; `measure` of the claim names
their sha256. Everything is computed as the numbers that are stored, by `core.deep_linear` and `core.inertia`.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.hashing import sha256_arrays
from epsnet.checker.rule import Context, Verdict
from epsnet.core.deep_linear import Matrix, as_fraction, gradient, hessian, loss, rational
from epsnet.core.inertia import MAX_SIZE, exact_inertia
from epsnet.core.network import Network

INERTIA = tuple(f"{sign} eigenvalues of the Hessian" for sign in ("negative", "zero", "positive"))
GRADIENT, LOSS = "squared norm of the gradient", "half the squared error"

_MAX_LAYERS, _MAX_BITS, _MAX_WORK = 10, 100, 20_000_000
"""The work is in bits of a common denominator of the weights, times numbers of the sample, times the dimension."""


def measure(inputs: np.ndarray, outputs: np.ndarray) -> str:
    """Return what a claim calls the sample whose flat witness arrays are these."""
    return f"the sample with sha256 {sha256_arrays({'inputs': inputs, 'outputs': outputs})}"


def check(context: Context) -> Verdict:
    """Check the exact value of one of the quantities."""
    claim, network = context.claim, context.network
    inputs, outputs = context.array("inputs", "f"), context.array("outputs", "f")
    same = inputs.dtype == outputs.dtype == np.float64
    context.require(same and claim.quantity in (GRADIENT, LOSS, *INERTIA), "It is no such quantity. Build it anew.")
    context.states(claim.quantity, claim.sense, measure=measure(inputs, outputs), domain=False, network=True)
    count = len(inputs) // network.inputs
    fits = count > 0 and (len(inputs), len(outputs)) == (count * network.inputs, count * network.outputs)
    context.require(fits, "The sample has other lengths than the network. Build it anew.")
    work = (len(inputs) + len(outputs)) * max(network.inputs, network.outputs)
    context.require(_MAX_BITS * work <= _MAX_WORK, "The sample is too large for rationals. Use a part of it.")
    weights = matrices(network)
    x, y = (rational(a.reshape(count, -1).T) for a in (inputs, outputs))
    _require_short(*weights, x, y)
    bits = lcm(1, *(int(v.denominator) for w in weights for v in w.flat)).bit_length()
    context.require(bits * work <= _MAX_WORK, "The weights have too long a common denominator. Round them to float64.")
    if claim.quantity == GRADIENT:
        slope = gradient(weights, x, y)
        value = as_fraction(slope @ slope)
    elif claim.quantity == LOSS:
        value = as_fraction(loss(weights, x, y))
    else:
        value = Fraction(exact_inertia(hessian(weights, x, y).tolist())[INERTIA.index(claim.quantity)])
    limit = claim.limit
    holds = value == limit if claim.sense == "==" else value <= limit if claim.sense == "<=" else value >= limit
    context.require(holds, f"It is {float(value):.6g}. State that.")
    return Verdict(Kind.PROVED, (f"{len(weights)} linear layers without biases", f"{count} examples"))


def matrices(network: Network) -> list[Matrix]:
    """Return W_1, ..., W_L in rationals.

    Raises:
        CheckError: the network is not deep and linear without biases, or too large.
    """
    layers = network.layers
    plain = len(layers) <= _MAX_LAYERS and all(
        len(layer.terms) == 1 and layer.terms[0][0] == number and set(layer.activations) == {"identity"}
        for number, layer in enumerate(layers)
    )
    if not plain or sum(layer.outputs * layer.terms[0][1].shape[1] for layer in layers) > MAX_SIZE:
        raise CheckError(
            f"It is for {_MAX_LAYERS} linear layers and {MAX_SIZE} weights at most. Use a smaller network."
        )
    found = []
    for layer in layers:
        if any(layer.bias_values()):
            raise CheckError("A layer has a bias. Use linear layers without biases.")
        matrix = np.full(layer.terms[0][1].shape, Fraction(0), dtype=object)
        for i, row in enumerate(layer.terms[0][1].rows):
            for j, value in row:
                matrix[i, j] = Fraction(value)
        found.append(rational(matrix))
    return found


def _require_short(*arrays: Matrix) -> None:
    for array in arrays:
        if any(v.height_bits() > _MAX_BITS for v in array.flat):
            raise CheckError(f"A weight or a number of the sample has more than {_MAX_BITS} bits. Round it.")
