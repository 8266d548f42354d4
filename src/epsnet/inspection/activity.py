"""What the neurons of a network do: counted on sample points, and enclosed on a whole box."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import round_down, round_up
from epsnet.core.jacobian import arguments
from epsnet.core.network import Layer, Network, activation
from epsnet.core.ranges import argument_ranges
from epsnet.core.slopes import slope_ranges
from epsnet.enclosure.gradients import derivatives, trace
from epsnet.enclosure.intervals import interval_bounds
from epsnet.enclosure.linear_bounds import linear_bounds

Array = NDArray[np.float64]

SATURATED = 0.01
"""A smooth activation is saturated where its slope is below this share of the steepest it can have."""
_POINTS_AT_ONCE = 2**22
_RELAXATION_WORK = 2**28
_EXACT_WORK = 100_000


@dataclass(frozen=True, slots=True)
class Activity:
    """What the neurons of one layer did on some points, evaluated in float64.

    Attributes:
        neurons: how many there are.
        mean, deviation: of the values over all points and neurons.
        active: share of (point, neuron) with a positive argument; None unless the activation has a kink.
        never_active: neurons that were active on no point: dead on the sample.
        always_active: neurons that were active on every point.
        saturated: share of (point, neuron) with a slope below `SATURATED`; None unless the activation is smooth.
    """

    neurons: int
    mean: float
    deviation: float
    active: float | None
    never_active: int | None
    always_active: int | None
    saturated: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values, with their kind."""
        return {**asdict(self), "kind": Kind.ESTIMATED.value}


@dataclass(frozen=True, slots=True)
class Stability:
    """What the neurons of one layer do on every point of a box, by enclosure.

    Attributes:
        neurons: how many there are.
        active: the argument is >= 0 on the whole box, so that a ReLU is the identity; None unless there is a kink.
        inactive: the argument is <= 0 on the whole box, so that a ReLU is dead there.
        undecided: the rest: the argument changes its sign, or the enclosure is too wide to tell.
        saturated: smooth neurons whose slope is below `SATURATED` on the whole box; None unless some are smooth.
    """

    neurons: int
    active: int | None
    inactive: int | None
    undecided: int | None
    saturated: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values, with their kind."""
        return {**asdict(self), "kind": Kind.VERIFIED.value}


def _kinked(layer: Layer) -> NDArray[np.bool_]:
    """Return which neurons have an activation with a kink at 0."""
    slopes = [activation(name).slopes for name in layer.activations]
    kinked = np.array([pair is not None and pair[0] != pair[1] for pair in slopes])
    return np.broadcast_to(kinked, layer.outputs)


def _smooth(layer: Layer) -> NDArray[np.bool_]:
    smooth = np.array([activation(name).slopes is None for name in layer.activations])
    return np.broadcast_to(smooth, layer.outputs)


def _steepest(layer: Layer) -> Array:
    ends = np.full(layer.outputs, np.inf)
    least, greatest = slope_ranges(layer, -ends, ends)
    return np.maximum(np.abs(least), np.abs(greatest))


def activity(network: Network, points: Array) -> tuple[Activity, ...]:
    """Count what the neurons do on points (n, d), layer by layer, in float64.

    Raises:
        DomainError: a value exceeds the range of float64.
    """
    layers = network.layers
    sums = np.zeros((len(layers), 2))
    positive = [np.zeros(layer.outputs, dtype=np.int64) for layer in layers]
    flat = np.zeros(len(layers), dtype=np.int64)
    steepest = [_steepest(layer) for layer in layers]
    block = max(1, _POINTS_AT_ONCE // max(network.inputs, *(layer.outputs for layer in layers)))
    for start in range(0, len(points), block):
        with np.errstate(over="ignore", invalid="ignore"):
            found, values = trace(network, points[start : start + block])
            if not all(np.isfinite(np.square(own).sum()) for own in values):
                raise DomainError("A value at a point exceeds the range of float64. Scale the network or the data.")
        for number, (layer, z, y) in enumerate(zip(layers, found, values[1:], strict=True)):
            sums[number] += y.sum(), np.square(y).sum()
            positive[number] += (z > 0).sum(axis=0)
            smooth = _smooth(layer)
            if smooth.any():
                small = np.abs(derivatives(layer, z)) < SATURATED * steepest[number]
                flat[number] += int(small[:, smooth].sum())
    result = []
    for number, layer in enumerate(layers):
        count = len(points) * layer.outputs
        mean, square = sums[number] / count
        kinked, smooth = _kinked(layer), _smooth(layer)
        own = positive[number][kinked]
        result.append(Activity(
            layer.outputs, float(mean), float(np.sqrt(max(square - mean**2, 0.0))),
            float(own.sum() / (len(points) * len(own))) if len(own) else None,
            int((own == 0).sum()) if len(own) else None,
            int((own == len(points)).sum()) if len(own) else None,
            float(flat[number] / (len(points) * smooth.sum())) if smooth.any() else None,
        ))  # fmt: skip
    return tuple(result)


def stability(network: Network, box: Box) -> tuple[Stability, ...]:
    """Decide which neurons keep to one side of their kink on a whole box, layer by layer.

    By interval propagation and affine forms, and by backward linear relaxation and in rationals where that is cheap.

    Raises:
        DomainError: the box does not fit, or an interval bound exceeds the range of float64.
    """
    ranges = interval_bounds(network, box).arguments
    undecided = [
        int((_kinked(layer) & (z.lower < 0) & (z.upper > 0)).sum()) + int(_smooth(layer).sum())
        for layer, z in zip(network.layers, ranges, strict=True)
    ]
    before = np.cumsum([sum(linear.connections for _, linear in layer.terms) for layer in network.layers])
    if int(np.dot(undecided, before)) <= _RELAXATION_WORK:
        ranges = linear_bounds(network, box).intervals.arguments
    ends = [
        (np.maximum(z.lower, low), np.minimum(z.upper, high))
        for z, (low, high) in zip(ranges, arguments(network, box), strict=True)
    ]
    if network.size.connections * network.inputs <= _EXACT_WORK:
        # In rationals a range may end exactly at a kink.
        exact = [zip(*layer, strict=True) for layer in argument_ranges(network, box)]
        ends = [
            (np.maximum(lower, list(map(round_down, low))), np.minimum(upper, list(map(round_up, high))))
            for (lower, upper), (low, high) in zip(ends, exact, strict=True)
        ]
    result = []
    for layer, (lower, upper) in zip(network.layers, ends, strict=True):
        kinked, smooth = _kinked(layer), _smooth(layer)
        active, inactive = int((kinked & (lower >= 0)).sum()), int((kinked & (upper <= 0) & (lower < 0)).sum())
        least, greatest = slope_ranges(layer, lower, upper)
        flat = smooth & (np.maximum(np.abs(least), np.abs(greatest)) < SATURATED * _steepest(layer))
        some = bool(kinked.any())
        result.append(Stability(
            layer.outputs, active if some else None, inactive if some else None,
            int(kinked.sum()) - active - inactive if some else None, int(flat.sum()) if smooth.any() else None,
        ))  # fmt: skip
    return tuple(result)
