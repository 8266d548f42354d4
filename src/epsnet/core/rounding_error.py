r"""How far the float64 evaluation of a network can be from its exact realization: an a-priori bound.

For a neuron with n products and one bias, in any order of summation and with or without fused multiply-add,

$$ |fl(A y + b) - (A y + b)| \le \gamma_{n+2} (|A| |y| + |b|) + (n + 1) \eta, $$

where two more roundings than Higham's n + 1 pay for rational weights that are rounded to float64 and for the
activation,
and eta = 2^-1074 for underflow. Errors of earlier layers pass through |A| and the Lipschitz constants of the
activations.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.rounding import gamma
from epsnet.core.functions import Function
from epsnet.core.linear_maps import Exact
from epsnet.core.network import Layer, Network

LIBRARY_ULPS = 16
LIBRARY_ASSUMPTION = f"NumPy and SciPy evaluate smooth activations to within {LIBRARY_ULPS} units in the last place"

# Lipschitz constants of the smooth activations, rounded up; all of them satisfy |f(y)| <= 1 + |y|.
_LIPSCHITZ = {
    "tanh": 1.0, "sigmoid": 0.25, "erf": 1.1284, "gelu": 1.13, "silu": 1.1, "softplus": 1.0, "sin": 1.0,
}  # fmt: skip

# All quantities here are sums and products of nonnegative floats: one factor covers their own rounding for up to
# _MAX_TERMS terms, one addend their underflow.
_MAX_TERMS = 2**20
_INFLATE = 1.0 + 2.0**-30
_ETA = 2.0**-1000


def float64_error(network: Network, magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound |float64 evaluation - R(Phi)(x)| for all float64 points with |x_i| <= magnitude_i.

    Args:
        network: Phi: R^d -> R^m.
        magnitude: (n, d), one row for each set of points.

    Returns:
        (n, m) upper bounds; infinite where an overflow is possible.
    """
    if not all(map(_within_bounds, network.layers)):
        return np.full((len(magnitude), network.outputs), np.inf)
    sizes = [np.abs(magnitude)]
    errors = [np.zeros_like(sizes[0])]
    for layer in network.layers:
        bias = np.abs(np.array([float(value) for value in layer.bias_values()]))
        size, error, terms = bias, np.zeros_like(bias), 1
        with np.errstate(over="ignore", invalid="ignore"):
            for source, linear in layer.terms:
                absolute = linear.absolute()
                size = size + absolute.apply(sizes[source] + errors[source])
                error = error + absolute.apply(errors[source])
                terms += linear.shape[1]
            size = size * _INFLATE + _ETA
            error = (error + float(gamma(terms + 2)) * _INFLATE * size) * _INFLATE + _ETA
            size, error = _through_activations(layer, size + error, error)
        sizes.append(size)
        errors.append(error)
    overflow = np.any(
        [(s > np.finfo(np.float64).max / 4).any(axis=1) | ~np.isfinite(s).all(axis=1) for s in sizes], axis=0
    )
    return np.where(overflow[:, None], np.inf, errors[-1])


def _within_bounds(layer: Layer) -> bool:
    """Tell whether the analysis covers a layer: not too many terms, rational weights in the normal range of float64."""
    rational = [value for _, linear in layer.terms if isinstance(linear, Exact) for value in linear.entries()[2]]
    biases = layer.bias if isinstance(layer.bias, tuple) else ()
    numbers = [abs(Fraction(value)) for value in (*rational, *biases)]
    normal = all(not value or Fraction(2) ** -1022 <= value <= Fraction(2) ** 1023 for value in numbers)
    return normal and sum(linear.shape[1] for _, linear in layer.terms) < _MAX_TERMS


def _through_activations(
    layer: Layer, size: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    functions = layer.functions()
    lipschitz = np.array([_lipschitz(function) for function in functions])
    smooth = np.array([function.slopes is None for function in functions])
    library = np.where(smooth, LIBRARY_ULPS * 2.0**-52 * (1.0 + size), 2.0**-52 * size)
    return np.where(smooth, 1.0 + size, size) * _INFLATE, (lipschitz * error + library) * _INFLATE + _ETA


def _lipschitz(function: Function) -> float:
    if function.slopes is not None:
        return float(max(map(abs, function.slopes)))
    return _LIPSCHITZ[function.name]


def needs_library(network: Network) -> bool:
    """Tell whether a float64 statement about the network rests on `LIBRARY_ASSUMPTION`."""
    return any(function.slopes is None for layer in network.layers for function in layer.functions())
