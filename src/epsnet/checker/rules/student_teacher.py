r"""Rule `student_teacher`: a critical point of the Gaussian student-teacher loss near the weights of a network.

The network is the student x -> sum_i (w_i . x)_+, the teacher x -> sum_j (x_j)_+, inputs are N(0, I).
Witness: `radius`, one float64. `core.student_teacher` proves that the cube of this half side around the weights holds
exactly one critical point of F, and encloses F and the Hessian there.
"""

from __future__ import annotations

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict
from epsnet.core.inertia import least_eigenvalue
from epsnet.core.network import Network
from epsnet.core.student_teacher import critical_point

DISTANCE = "largest difference between a hidden weight and that of a critical point"
LOSS = "loss at the critical point"
EIGENVALUE = "least eigenvalue of the Hessian at the critical point"
MEASURE = "N(0, I) inputs and the teacher x -> sum_j relu(x_j)"


def hypothesis(radius: float) -> str:
    """Return what is proved of the cube."""
    return f"exactly one critical point of the loss differs by less than {radius!r} in every hidden weight"


def check(context: Context) -> Verdict:
    """Check one of the three quantities against its enclosure."""
    claim = context.claim
    context.require(claim.quantity in (DISTANCE, LOSS, EIGENVALUE), "It is no such quantity. Build it anew.")
    wrong = claim.sense == "==" or (claim.quantity == DISTANCE and claim.sense != "<=")
    context.require(not wrong, "It has no such sense. Build it anew.")
    context.states(claim.quantity, claim.sense, measure=MEASURE, domain=False, network=True)
    radii = context.array("radius", "f").tolist()
    context.require(len(radii) == 1, "The witness is no radius. Build it anew.")
    found, limit = critical_point(student(context.network), radii[0]), ball(claim.limit)
    if claim.quantity == DISTANCE:
        low = high = ball(radii[0])
    elif claim.quantity == LOSS:
        low = high = found.loss
    else:
        low, high = least_eigenvalue(found.hessian)
    holds = high <= limit if claim.sense == "<=" else low >= limit
    context.require(bool(holds), f"It is only known to lie in [{low.lower()}, {high.upper()}]. State that.")
    return Verdict(Kind.VERIFIED, (hypothesis(radii[0]),))


def student(network: Network) -> np.ndarray:
    """Return the weights w_i, (n, k).

    Raises:
        CheckError: the network is not a sum of ReLUs of linear functions.
    """
    layers = network.layers
    plain = (
        len(layers) == 2
        and [set(layer.activations) for layer in layers] == [{"relu"}, {"identity"}]
        and [[source for source, _ in layer.terms] for layer in layers] == [[0], [1]]
        and network.outputs == 1
        and layers[0].outputs * network.inputs <= 10_000
        and not any(value for layer in layers for value in layer.bias_values())
        and [value for _, value in layers[1].terms[0][1].rows[0]] == [1] * layers[0].outputs
    )
    if not plain:
        raise CheckError("The network is no sum of ReLUs of linear functions. Use such a student.")
    found = np.zeros(layers[0].terms[0][1].shape)
    for i, row in enumerate(layers[0].terms[0][1].rows):
        for j, value in row:
            if not isinstance(value, float):
                raise CheckError("A weight is not float64. Round the weights.")
            found[i, j] = value
    return found
