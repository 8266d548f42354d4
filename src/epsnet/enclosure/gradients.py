r"""What a network does at sample points, in float64: arguments, values and Jacobians. Estimates, never bounds.

The norm of the Jacobian at a point where the network is differentiable is at most its Lipschitz constant around that
point, so that the largest norm over some points is about a lower bound of the constant: about, because float64 is not
exact, and because at a kink the slope of the left side is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Convolution, Dense
from epsnet.core.network import Layer, Network, activation
from epsnet.core.smooth import smooth
from epsnet.enclosure.intervals import neurons_by_activation

Array = NDArray[np.float64]

_BLOCK = 2**23  # numbers held for one layer at a time
_ROUNDS = (0.1, 0.03, 0.01, 0.003)
_KEPT, _TRIED = 2, 8


def evaluation_work(network: Network) -> int:
    """Return about the multiply-adds of one evaluation as it is carried out: zeros of stored matrices count."""
    work = 0
    for layer in network.layers:
        for _, linear in layer.terms:
            if isinstance(linear, Convolution):
                work += linear.kernel[0].size * linear.shape[0]
            else:
                work += linear.shape[0] * linear.shape[1] if isinstance(linear, Dense) else linear.connections
    return work


def trace(network: Network, points: Array) -> tuple[list[Array], list[Array]]:
    """Evaluate a network in float64 and keep everything.

    Args:
        network: Phi: R^d -> R^m.
        points: (n, d).

    Returns:
        The arguments of the activations of layers 1, ..., L, and the values y_0, ..., y_L; arrays (n, neurons).
    """
    values, arguments = [points], []
    for layer in network.layers:
        total = np.asarray(layer.bias_values(), dtype=np.float64)
        for source, linear in layer.terms:
            total = total + linear.apply(values[source])
        result = np.empty_like(total)
        for name, own in neurons_by_activation(layer):
            result[:, own] = activation(name).float64(total[:, own])
        arguments.append(total)
        values.append(result)
    return arguments, values


def derivatives(layer: Layer, arguments: Array) -> Array:
    """Return the derivatives of the activations of a layer at arguments (n, neurons); at a kink that of the left."""
    result = np.empty_like(arguments)
    for name, own in neurons_by_activation(layer):
        slopes, z = activation(name).slopes, arguments[:, own]
        if slopes is None:
            result[:, own] = np.add(*smooth(name).values(z, derivative=True)) / 2
        else:
            result[:, own] = np.where(z > 0, float(slopes[1]), float(slopes[0]))
    return result


def jacobians(network: Network, points: Array) -> Array:
    """Return the Jacobians at some points (n, d) as an array (n, m, d), by backward substitution."""
    arguments, _ = trace(network, points)
    count, outputs = len(points), network.outputs
    pending = {len(network.layers): np.broadcast_to(np.eye(outputs), (count, outputs, outputs))}
    for number in range(len(network.layers), 0, -1):
        if number not in pending:
            continue
        layer = network.layers[number - 1]
        rows = pending.pop(number) * derivatives(layer, arguments[number - 1])[:, None, :]
        for source, linear in layer.terms:
            own = linear.transpose_apply(rows.reshape(count * outputs, -1)).reshape(count, outputs, -1)
            pending[source] = own + pending[source] if source in pending else own
    return pending.get(0, np.zeros((count, outputs, network.inputs)))


def jacobian_norms(network: Network, points: Array) -> dict[str, Array]:
    """Return the operator norms of the Jacobians at some points (n, d): arrays (n,) by norm, "sup" and "L2".

    Raises:
        DomainError: a number exceeds the range of float64.
    """
    widest = max(network.inputs, *(layer.outputs for layer in network.layers))
    block = max(1, _BLOCK // (network.outputs * widest))
    found: dict[str, list[Array]] = {"sup": [np.zeros(0)], "L2": [np.zeros(0)]}
    for start in range(0, len(points), block):
        with np.errstate(over="ignore", invalid="ignore"):
            matrices = jacobians(network, points[start : start + block])
            turned = matrices.transpose(0, 2, 1)
            gram = matrices @ turned if network.outputs <= network.inputs else turned @ matrices
        if not np.isfinite(gram).all():
            raise DomainError("A Jacobian exceeds the range of float64. Scale the network.")
        found["sup"].append(np.abs(matrices).sum(axis=2).max(axis=1))
        found["L2"].append(np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[:, -1], 0.0)))
    return {norm: np.concatenate(parts) for norm, parts in found.items()}


def sampled_lipschitz(network: Network, lower: Array, upper: Array, points: Array, seed: int) -> dict[str, float]:
    """Return the largest norm of a Jacobian that was seen in a box, by norm.

    After the points themselves come points around the best of them, ever closer.

    Args:
        network: Phi.
        lower: the lower ends of the box, (d,).
        upper: the upper ends.
        points: (n, d), in the box.
        seed: of the points around.
    """
    random = np.random.Generator(np.random.Philox(seed))
    norms = jacobian_norms(network, points)
    for width in _ROUNDS:
        best = np.unique(np.concatenate([np.argsort(own, kind="stable")[-_KEPT:] for own in norms.values()]))
        steps = random.uniform(-width, width, (len(best), _TRIED, points.shape[1])) * (upper - lower)
        around = np.clip(points[best][:, None] + steps, lower, upper).reshape(-1, points.shape[1])
        more = jacobian_norms(network, around)
        points = np.concatenate((points, around))
        norms = {norm: np.concatenate((own, more[norm])) for norm, own in norms.items()}
    return {norm: float(own.max()) for norm, own in norms.items()}
