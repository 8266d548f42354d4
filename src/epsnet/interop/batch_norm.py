r"""Batch normalization at inference: the affine map $s (x - \mu) + \beta$, s = gamma / sqrt(var + epsilon).

s is rounded, to 53 bits, or to 29 bits for networks with float32 weights: a product of such an s with a float32 weight
(24 bits) is a float64 number, so that the map folds into the linear map before it without a further rounding. All else
is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.interop import exact_arrays as exact
from epsnet.interop.assembly import Assembly, Signal, constant

Floats = NDArray[np.float64]


def normalized(
    assembly: Assembly,
    signal: Signal,
    scale: Floats,
    shift: Floats,
    mean: Floats,
    variance: Floats,
    *,
    epsilon: float,
    single: bool,
) -> Signal:
    """Return the normalization of a signal (1, channels, ...), one number of each vector for each channel.

    Args:
        assembly: what the signal belongs to.
        signal: x.
        scale: gamma.
        shift: beta.
        mean: mu.
        variance: var.
        epsilon: what is added to the variance.
        single: whether the weights are float32 numbers, so that s gets 29 bits.
    """
    variance = variance + epsilon
    if not (variance > 0).all():
        raise DomainError("A variance plus epsilon is not positive. Correct the statistics.")
    mantissa, exponent = np.frexp(scale / np.sqrt(variance))
    if not np.isfinite(mantissa).all():
        raise DomainError("A scale over the root of its variance leaves the floats. Correct the statistics.")
    factor = np.ldexp(np.rint(np.ldexp(mantissa, 29)), exponent - 29) if single else np.ldexp(mantissa, exponent)
    shift = exact.add(shift, exact.multiply(exact.multiply(factor, mean), np.array(-1.0)))
    column = (1, len(factor)) + (1,) * (len(signal.shape) - 2)
    where = np.broadcast_to(np.arange(len(factor)).reshape(column), signal.shape).reshape(-1)
    return assembly.add(assembly.scale(signal, factor[where]), constant(shift[where].reshape(signal.shape)))
