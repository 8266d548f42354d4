"""The realization R(Phi): the function that a network computes, in float64, in rationals and in balls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import ball
from epsnet.core.functions import Function
from epsnet.core.linear_maps import Number
from epsnet.core.network import Network, activation

_GUARD_BITS = 128


def realize(network: Network, x: ArrayLike) -> NDArray[np.float64]:
    """Evaluate R(Phi) in float64.

    Args:
        network: Phi: R^d -> R^m.
        x: one point (d,) or a batch (n, d); for d = 1 also a scalar or a vector of n points.

    Returns:
        The values: (m,) for one point, (n, m) for a batch; for d = m = 1 the shape of x.

    Raises:
        DomainError: x has another shape or contains NaN.
    """
    points = np.asarray(x, dtype=np.float64)
    scalar = network.inputs == network.outputs == 1 and points.ndim < 2
    batch = points.reshape(-1, 1) if network.inputs == 1 and points.ndim < 2 else np.atleast_2d(points)
    if batch.ndim != 2 or batch.shape[1] != network.inputs:
        raise DomainError(
            f"The network takes {network.inputs} inputs, the points have the shape {points.shape}. "
            f"Give one row for each point."
        )
    if np.isnan(batch).any():
        raise DomainError("The points contain NaN. Remove or replace the missing values.")
    values = [batch]
    for layer in network.layers:
        total = np.asarray(layer.bias_values(), dtype=np.float64)
        for source, linear in layer.terms:
            total = total + linear.apply(values[source])
        if len(layer.activations) == 1:
            total = activation(layer.activations[0]).float64(total)
        else:
            for name in set(layer.activations):
                mask = np.array([own == name for own in layer.activations])
                total[:, mask] = activation(name).float64(total[:, mask])
        values.append(total)
    result = values[-1]
    if scalar:
        return result.reshape(points.shape)
    return result[0] if (points.ndim < 2 and network.inputs > 1) or points.ndim == 0 else result


def forward(
    network: Network,
    x: Sequence[Any],
    *,
    constant: Callable[[Number], Any],
    multiplier: Callable[[Number], Any],
    activate: Callable[[Function, Any], Any],
) -> list[list[Any]]:
    """Evaluate every layer in any number system: y_0 = x, ..., y_L.

    `constant` embeds a bias; `multiplier` makes of a weight what multiplies a value from the left.
    """
    if len(x) != network.inputs:
        raise DomainError(f"The network takes {network.inputs} inputs, not {len(x)}. Give one value for each.")
    values = [list(x)]
    for layer in network.layers:
        outputs = []
        for neuron, (bias, function) in enumerate(zip(layer.bias_values(), layer.functions(), strict=True)):
            total = constant(bias)
            for source, linear in layer.terms:
                for column, weight in linear.rows[neuron]:
                    total = total + multiplier(weight) * values[source][column]
            outputs.append(activate(function, total))
        values.append(outputs)
    return values


def realize_exact(network: Network, x: Sequence[Fraction | int | float]) -> tuple[Fraction, ...]:
    """Evaluate R(Phi) at a rational point without any error.

    Raises:
        PrecisionError: an activation is not piecewise linear.
    """

    def activate(function: Function, value: Fraction) -> Fraction:
        if function.slopes is None:
            raise PrecisionError(f"{function.name} of a rational is not rational. Use realize or realize_ball.")
        return function.exact(value)

    return tuple(
        forward(network, [Fraction(value) for value in x], constant=_exact, multiplier=_exact, activate=activate)[-1]
    )


def _exact(weight: Number) -> Fraction:
    return Fraction(weight)


def realize_ball(network: Network, x: Sequence[arb]) -> tuple[arb, ...]:
    """Enclose the values of R(Phi) over a product of balls, by ball arithmetic from layer to layer."""
    values = forward(network, x, constant=ball, multiplier=ball, activate=lambda function, value: function.ball(value))
    return tuple(values[-1])


def realize_rounded(network: Network, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate R(Phi) by balls that are as fine as the longest weight, and round: for weights that exceed float64.

    Args:
        network: Phi: R^d -> R^m.
        points: (n, d).

    Returns:
        The middles of the balls, (n, m): exact to float64 where the activations are.
    """
    longest = max(
        Fraction(weight).numerator.bit_length()
        for layer in network.layers
        for weight in [*layer.bias_values(), *(value for _, linear in layer.terms for value in linear.entries()[2])]
    )
    before = ctx.prec
    ctx.prec = _GUARD_BITS + longest
    try:
        values = [[float(y.mid()) for y in realize_ball(network, [arb(x) for x in p])] for p in points.tolist()]
    finally:
        ctx.prec = before
    return np.array(values).reshape(len(points), network.outputs)
