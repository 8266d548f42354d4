r"""Ranges of all neurons of a network on a box, by interval propagation in float64 with outward rounding.

For z = sum_k A_k y_k + b and y_k in [l_k, u_k], with A = A^+ + A^- split by sign,

$$ \sum_k A_k^+ l_k + A_k^- u_k + b \;\le\; z \;\le\; \sum_k A_k^+ u_k + A_k^- l_k + b , $$

and y = sigma(z) by the range of sigma. Two facts make the float64 results rigorous without changing a rounding mode:

* **Sums.** A dot product of N terms, in any order of summation and with or without fused multiply-add, is off by at
  most gamma_N sum |a_j||x_j| + N tiny (Higham 2002, section 3.1; `tiny` covers underflow and is left out where no
  product can underflow, so that exact zeros stay zeros). The sum of absolute values is itself computed in float64; the
  factor 2 in `dot_error` pays for that. Rational weights are rounded to nearest, which is one more rounding of each
  product. The last addition is paid for by one step of `nextafter`. Matrix products by Strassen or Winograd schemes are
  not covered; BLAS libraries do not use them.
* **Activations.** Piecewise-linear ones are exact up to one rounding; the smooth ones are enclosed by `smooth`.

References: R. E. Moore, Interval Analysis, Prentice-Hall 1966; N. J. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., SIAM 2002, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import round_down, round_up
from epsnet.core.linear_maps import Convolution, Dense, LinearMap, Sparse
from epsnet.core.network import Layer, Network, activation
from epsnet.core.relaxation import dot_error
from epsnet.core.smooth import TINY, down, smooth, up

Array = NDArray[np.float64]
Region = Box | tuple[ArrayLike, ArrayLike]
"""A box, or its float64 ends (lower, upper): vectors (d,), or arrays (batch, d) for many boxes at once."""

_NO_UNDERFLOW = 2.0**-900  # products of at least this size, and all sums of them, are normal numbers


@dataclass(frozen=True, slots=True)
class Range:
    """Intervals [lower, upper], both of shape (neurons,) or (batch, neurons)."""

    lower: Array
    upper: Array

    @property
    def magnitude(self) -> Array:
        """The largest absolute value in each interval."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def meet(self, lower: Array, upper: Array) -> Range:
        """Return the intersection with other bounds of the same quantities."""
        return Range(np.maximum(self.lower, lower), np.minimum(self.upper, upper))

    def first(self) -> Range:
        """Return the first box of a batch."""
        return Range(self.lower[0], self.upper[0])


@dataclass(frozen=True, slots=True)
class Intervals:
    """Rigorous ranges on a box.

    Attributes:
        values: of the outputs y_0, ..., y_L of the layers; y_0 is the input.
        arguments: of what the activations sigma_1, ..., sigma_L are applied to, so that layer l is `arguments[l - 1]`.
    """

    values: tuple[Range, ...]
    arguments: tuple[Range, ...]

    def first(self) -> Intervals:
        """Return the intervals of the first box of a batch."""
        return Intervals(tuple(r.first() for r in self.values), tuple(r.first() for r in self.arguments))


def interval_bounds(network: Network, box: Region) -> Intervals:
    """Enclose the values of every neuron on a box, or on each box of a batch, by interval propagation.

    Args:
        network: Phi: R^d -> R^m with any layers and activations.
        box: a `Box`, or float64 ends (lower, upper) of shape (d,) or (batch, d); an interval may be a point.

    Returns:
        The intervals; arrays of shape (neurons,), or (batch, neurons) for a batch.

    Raises:
        DomainError: the box does not fit, or a bound exceeds the range of float64.

    Example:
        >>> network = Network.from_layers([([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])])
        >>> float(interval_bounds(network, Box(0, 2)).arguments[0].lower[0])
        0.0

    Source: Moore 1966; see the module for the rounding.
    """
    values = [input_range(network, box)]
    arguments: list[Range] = []
    for number, layer in enumerate(network.layers, 1):
        arguments.append(argument_range(AffinePart(layer, number), values))
        values.append(activation_range(layer, arguments[-1]))
    result = Intervals(tuple(values), tuple(arguments))
    return result.first() if is_single(box) else result


def is_single(box: Region) -> bool:
    """Tell whether `box` is one box and not a batch."""
    return isinstance(box, Box) or np.ndim(box[0]) < 2


def input_range(network: Network, box: Region) -> Range:
    """Return the ends of a box, rounded outward, as a batch: arrays (batch, d). DomainError if they do not fit."""
    if isinstance(box, Box):
        ends = [[round_down(end) for end in box.lower]], [[round_up(end) for end in box.upper]]
    else:
        ends = box
    lower, upper = (np.atleast_2d(np.array(end, dtype=np.float64)) for end in ends)
    if lower.ndim != 2 or lower.shape != upper.shape or lower.shape[1] != network.inputs:
        raise DomainError(
            f"The network takes {network.inputs} inputs, the box has ends of shape {lower.shape} and {upper.shape}. "
            "Give one pair of ends for each input."
        )
    if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower <= upper).all()):
        raise DomainError(
            "An end of the box is not finite, or a lower end exceeds the upper one. Give finite ends in order."
        )
    return Range(lower, upper)


class AffinePart:
    """The map (y_k) -> sum_k A_k y_k + b of a layer, with A_k^+ and A_k^- apart and the error of its evaluation."""

    def __init__(self, layer: Layer, number: int) -> None:
        self.number = number
        self.signed = [(source, *_signed_parts(linear)) for source, linear in layer.terms]
        bias = layer.bias_values()
        low, high = np.array(bias, dtype=np.float64), np.array(bias, dtype=np.float64)
        if isinstance(layer.bias, tuple):
            low = np.array([round_down(Fraction(value)) for value in bias])
            high = np.array([round_up(Fraction(value)) for value in bias])
        self.bias = Range(low, high)
        self.terms = sum(linear.shape[1] for _, linear in layer.terms) + len(layer.terms)
        self.smallest = min(_smallest(linear) for _, linear in layer.terms)

    def absolute(self, magnitudes: Sequence[Array]) -> Array:
        """Return sum_k |A_k| magnitudes[k] + |b| of shape (batch, neurons), in float64."""
        total = np.maximum(np.abs(self.bias.lower), np.abs(self.bias.upper))
        for source, positive, negative in self.signed:
            total = total + (positive.apply(magnitudes[source]) - negative.apply(magnitudes[source]))
        return total


def _signed_parts(linear: LinearMap) -> tuple[LinearMap, LinearMap]:
    """Return A^+ and A^- with entries rounded to float64."""
    if isinstance(linear, Dense):
        return Dense(np.maximum(linear.weight, 0.0)), Dense(np.minimum(linear.weight, 0.0))
    if isinstance(linear, Convolution):
        kernel = linear.kernel
        return replace(linear, kernel=np.maximum(kernel, 0.0)), replace(linear, kernel=np.minimum(kernel, 0.0))
    rows, columns, numbers = linear.entries()
    try:
        values = np.array([float(value) for value in numbers], dtype=np.float64)
    except OverflowError:
        raise DomainError("A rational weight exceeds the range of float64. Scale the network.") from None
    parts = np.maximum(values, 0.0), np.minimum(values, 0.0)
    return Sparse(linear.shape, rows, columns, parts[0]), Sparse(linear.shape, rows, columns, parts[1])


def _smallest(linear: LinearMap) -> float:
    """Return the least absolute value of a nonzero coefficient; 0 if it is a rational below the range of float64."""
    if isinstance(linear, Dense | Convolution):
        values = np.abs(linear.weight if isinstance(linear, Dense) else linear.kernel)
        return float(values.min(initial=math.inf, where=values > 0))
    return min((abs(float(value)) for value in linear.entries()[2]), default=math.inf)


def argument_range(part: AffinePart, values: Sequence[Range]) -> Range:
    """Enclose z = sum_k A_k y_k + b for y_k in values[k]; all arrays (batch, neurons). DomainError on overflow."""
    low, high = part.bias.lower, part.bias.upper
    low_sum, high_sum = np.abs(low), np.abs(high)
    smallest, largest = math.inf, 1.0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for source, positive, negative in part.signed:
            lower, upper = values[source].lower, values[source].upper
            stacked = np.concatenate((lower, upper, np.abs(lower), np.abs(upper)))
            at_lower, at_upper, abs_lower, abs_upper = np.split(positive.apply(stacked), 4)
            low, low_sum, high, high_sum = low + at_lower, low_sum + abs_lower, high + at_upper, high_sum + abs_upper
            at_lower, at_upper, abs_lower, abs_upper = np.split(negative.apply(stacked), 4)
            low, low_sum, high, high_sum = low + at_upper, low_sum - abs_upper, high + at_lower, high_sum - abs_lower
            smallest = min(smallest, float(stacked.min(initial=math.inf, where=stacked > 0)))
            largest = max(largest, float(stacked.max(initial=0.0)))
        exact_products = part.smallest * min(smallest, 1.0) >= _NO_UNDERFLOW
        underflow = 0.0 if exact_products else 2 * part.terms * TINY * largest
        error = dot_error(part.terms)
        # where the sum of absolute values is 0, every product is 0 and no rounding happened
        low = np.where(low_sum + underflow > 0, down(low - (error * low_sum + underflow)), low)
        high = np.where(high_sum + underflow > 0, up(high + (error * high_sum + underflow)), high)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise DomainError(f"The range of layer {part.number} exceeds float64. Scale the weights or take a smaller box.")
    return Range(low, high)


def activation_range(layer: Layer, arguments: Range) -> Range:
    """Enclose sigma(z) for z in intervals (batch, neurons), neuron by neuron."""
    lower, upper = np.empty_like(arguments.lower), np.empty_like(arguments.upper)
    for name, own in neurons_by_activation(layer):
        lower[:, own], upper[:, own] = _range(name, arguments.lower[:, own], arguments.upper[:, own])
    return Range(lower, upper)


def neurons_by_activation(layer: Layer) -> list[tuple[str, slice | NDArray[np.int64]]]:
    """Return each activation of a layer with the neurons that have it."""
    if len(set(layer.activations)) == 1:
        return [(layer.activations[0], slice(None))]
    return [
        (name, np.flatnonzero([own == name for own in layer.activations])) for name in sorted(set(layer.activations))
    ]


def _range(name: str, lower: Array, upper: Array) -> tuple[Array, Array]:
    slopes = activation(name).slopes
    if slopes is None:
        return smooth(name).range(lower, upper)
    left, right = map(float, slopes)  # slopes are float64 numbers
    at_lower, at_upper = (np.where(z > 0, right, left) * z for z in (lower, upper))
    if left not in (-1.0, 0.0, 1.0):  # leaky: negative ends were rounded
        low, high = (
            np.where(z < 0, step(value), value) for z, step, value in ((lower, down, at_lower), (upper, up, at_upper))
        )
        return low, high
    # convex: the maximum is at an end, the minimum there or at the kink
    least = np.minimum(at_lower, at_upper)
    return np.where((lower < 0) & (upper > 0), np.minimum(least, 0.0), least), np.maximum(at_lower, at_upper)
