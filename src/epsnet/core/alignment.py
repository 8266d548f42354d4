r"""A small network written in the shape of a large one, neuron beside neuron, with the same values.

A hidden neuron with a positively homogeneous activation, sigma(c z) = c sigma(z) for c > 0, may stand at any place of
its layer and be multiplied by c = 2^k if the weights that read it are divided by 2^k. The other places get neurons
whose weights are 0 and which nobody reads. All of that is exact, so what is proved of the large network holds for the
small one; and the difference of two networks is bounded far better where they are compared neuron by neuron.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import CheckError
from epsnet.core.differential import Stage, chain
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network, activation

Integers = NDArray[np.int64]


def in_shape_of(network: Network, template: Network, places: Sequence[Integers], shifts: Sequence[Integers]) -> Network:
    """Return a network of the shape of `template` that computes what ``network`` computes, exactly.

    Args:
        network: without skip connections, of float64 weights.
        template: one with as many layers, inputs and outputs, and no fewer neurons in any layer.
        places: for each hidden layer the places of its neurons in the template, all different.
        shifts: for each hidden layer the k of its neurons; 0 unless the activation is piecewise linear.

    Raises:
        CheckError: the places or shifts do not fit, or a weight times a power of two is no float64 number.
        HypothesisError: a network has skip connections or weights that are no float64 numbers.
    """
    own, wide = chain(network), chain(template)
    hidden = len(own) - 1
    _require(len(wide) == len(own) and len(places) == len(shifts) == hidden, "The networks differ in depth")
    _require(network.inputs == template.inputs and network.outputs == template.outputs, "The networks differ in shape")
    place, shift = np.arange(network.inputs), np.zeros(network.inputs, dtype=np.int64)
    layers = []
    for number, (small, large) in enumerate(zip(own, wide, strict=True)):
        count = len(small.bias)
        following, scale = np.arange(count), np.zeros(count, dtype=np.int64)
        if number < hidden:
            following, scale = places[number], shifts[number]
            _require_places(following, scale, small, len(large.bias))
        weight, bias = np.zeros(large.weight.shape), np.zeros(len(large.bias))
        weight[np.ix_(following, place)] = _scaled(small.weight, scale[:, None] - shift)
        bias[following] = _scaled(small.bias, scale)
        names = np.array(large.names, dtype=object)
        names[following] = small.names
        layers.append(Layer(((number, Dense(weight)),), bias, tuple(names.tolist())))
        place, shift = following, scale
    return Network(network.inputs, tuple(layers))


def _require_places(place: Integers, shift: Integers, stage: Stage, width: int) -> None:
    fits = len(place) == len(shift) == len(stage.bias) == len(np.unique(place))
    _require(bool(fits and (place >= 0).all() and (place < width).all()), "The places do not fit the layer")
    _require(bool((np.abs(shift) <= 2000).all()), "A power of two is too large")
    names = {name for name, k in zip(stage.names, shift.tolist(), strict=True) if k}
    homogeneous = all(activation(name).slopes is not None for name in names)
    _require(homogeneous, "An activation does not let factors pass")


def _scaled(values: NDArray[np.float64], exponents: Integers) -> NDArray[np.float64]:
    """Return values times 2^exponents. CheckError if that is not exact."""
    with np.errstate(all="ignore"):
        result = np.ldexp(values, exponents)
        back = np.ldexp(result, -exponents)
    _require(bool((back == values).all()), "A weight times a power of two is no float64 number")
    return result


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckError(f"{message}. Align the networks anew.")
