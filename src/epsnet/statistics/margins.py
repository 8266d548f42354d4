"""Margins of a classifier that are certain in float64 arithmetic, and norms of its matrices, rounded up."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import gamma
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.rounding_error import float64_error

Array = NDArray[np.float64]

_BLOCK, _NUMBERS = 2000, 2**22
_MAX_ENTRIES = 2**24
_UNDERFLOW = 2.0**-1070
"""More than the rounding of a product that is not normal."""


def spectral_norm(matrix: Array) -> float:
    r"""Return an upper bound of the largest singular value, above it by rounding only.

    For any U, S, V, also for those that a library made with errors,

    $$ \|A\| \le \|U\|\,\|S\|\,\|V\| + \|A - U S V^T\|_F, \qquad \|U\| \le \sqrt{1 + \|U^T U - I\|_F}. $$

    Raises:
        DomainError: the matrix is too large, or has huge numbers.
    """
    found = np.asarray(matrix, dtype=np.float64)
    if found.size > _MAX_ENTRIES or not np.abs(found).max() <= 1e100:
        raise DomainError("The matrix is too large for a spectral norm. Use a smaller one.")
    scale = float(np.abs(found).max()) or 1.0
    left, values, right = np.linalg.svd(found / scale, full_matrices=False)
    rounding = 4 * float(gamma(max(found.shape) + 8)) * len(values)

    def length(rows: Array) -> float:
        return math.sqrt(1 + float(np.linalg.norm(rows @ rows.T - np.eye(len(rows)))) + rounding)

    residual = float(np.linalg.norm(found / scale - (left * values) @ right)) + rounding * float(values[0])
    return (length(left.T) * float(values[0]) * length(right) + residual) * scale * (1 + 1e-14) + _UNDERFLOW


def frobenius_norm(matrix: Array) -> float:
    """Return an upper bound of the root of the sum of the squares, above it by rounding only."""
    found = np.asarray(matrix, dtype=np.float64)
    scale = float(np.abs(found).max()) or 1.0
    return float(np.linalg.norm(found / scale)) * scale * (1 + float(gamma(found.size + 8))) + _UNDERFLOW


def matrices(network: Network) -> list[Array]:
    """Return the matrices of a plain ReLU network; if it has a bias, of the same network of (x, 1), without one.

    Raises:
        DomainError: it has skips, other activations, or too many weights.
    """
    tables, biases, entries = [], [], 0
    for number, layer in enumerate(network.layers):
        last = number == len(network.layers) - 1
        plain = len(layer.terms) == 1 and layer.terms[0][0] == number
        if not plain or set(layer.activations) != {"identity" if last else "relu"}:
            raise DomainError("The bound is about plain ReLU networks with linear outputs. Use one.")
        linear = layer.terms[0][1]
        entries += math.prod(linear.shape)
        if entries > _MAX_ENTRIES:
            raise DomainError(f"The matrices have more than {_MAX_ENTRIES:,} entries. Use a smaller network.")
        if isinstance(linear, Dense):
            table = linear.weight
        else:
            rows, columns, values = linear.entries()
            table = np.zeros(linear.shape)
            table[rows, columns] = [float(value) for value in values]
            if any(float(value) != value for value in values):
                raise DomainError("A weight is no float64 number. Round the network first.")
        tables.append(table)
        biases.append(np.array([float(value) for value in layer.bias_values()]))
    if not any(bias.any() for bias in biases):
        return tables
    extended = []
    for number, (table, bias) in enumerate(zip(tables, biases, strict=True)):
        full = np.column_stack([table, bias])
        carried = np.eye(full.shape[1])[-1:] if number < len(tables) - 1 else full[:0]  # the constant 1
        extended.append(np.vstack([full, carried]))
    return extended


def certain_margins(network: Network, features: Array, labels: NDArray[np.int64], relative: float = 0.0) -> Array:
    """Return a lower bound of F_y - max_{c != y} F_c at each point, whatever the order of summation, (n,).

    Args:
        network: F.
        features: (n, p), each row known up to `relative` times its norm.
        labels: (n,), in {0, ..., k-1}.
        relative: see `features`.
    """
    lipschitz = math.prod(map(spectral_norm, matrices(network))) if relative else 0.0
    found = np.empty(len(features))
    block = max(1, min(_BLOCK, _NUMBERS // (network.inputs + network.size.neurons + network.outputs)))
    for start in range(0, len(features), block):
        x, y = features[start : start + block], labels[start : start + block]
        values = realize(network, x).reshape(len(x), -1)
        doubt = 2 * float64_error(network, x, x)
        doubt = doubt + 1.01 * lipschitz * relative * np.linalg.norm(x, axis=1)[:, None]
        doubt = doubt + 2.0**-50 * (doubt + np.abs(values)) + 2.0**-1000
        rows = np.arange(len(x))
        others = values + doubt
        others[rows, y] = -np.inf
        gap = (values - doubt)[rows, y] - others.max(axis=1)
        found[start : start + block] = np.where(np.isfinite(gap), gap - 2.0**-50 * np.abs(gap), -np.inf)
    return found
