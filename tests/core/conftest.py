"""Random networks for the laws of tests/core."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import settings

from epsnet.core.linear_maps import Convolution, Dense, Exact
from epsnet.core.network import Layer, Network

settings.register_profile("laws", deadline=None, max_examples=200, derandomize=True)
settings.load_profile("laws")


def _weight(rng, style):
    if style == "float":
        return float(rng.normal())
    return (
        float(rng.integers(-4, 5)) / 2
        if style == "dyadic"
        else Fraction(int(rng.integers(-3, 4)), int(rng.integers(1, 8)))
    )


def _matrix(rng, shape, style, density):
    entries = {place: _weight(rng, style) for place in np.ndindex(*shape) if rng.random() < density}
    if style == "rational":
        return Exact(shape, entries)
    full = np.zeros(shape)
    for place, value in entries.items():
        full[place] = value
    return Dense(full)


def _network(
    rng,
    inputs,
    outputs,
    depth,
    activation="relu",
    style="dyadic",
    width=4,
    density=0.8,
    skips=False,
    mixed=(),
    output="identity",
):
    widths = [inputs, *(int(rng.integers(1, width + 1)) for _ in range(depth - 1)), outputs]
    layers = []
    for number in range(1, depth + 1):
        terms = [(number - 1, _matrix(rng, (widths[number], widths[number - 1]), style, density))]
        if skips and number > 1 and rng.random() < 0.6:
            source = int(rng.integers(0, number - 1))
            terms.append((source, _matrix(rng, (widths[number], widths[source]), style, density)))
        if skips and rng.random() < 0.2:
            terms.append(terms[0])
        bias = [_weight(rng, style) for _ in range(widths[number])]
        names = (activation,) if number < depth else (output,)
        if mixed and number < depth:
            names = tuple(str(rng.choice([activation, *mixed])) for _ in range(widths[number]))
        layers.append(Layer(tuple(terms), tuple(bias) if style == "rational" else np.array(bias), names))
    return Network(inputs, tuple(layers))


def _convolutional(rng, channels=(1, 2, 2), side=3, padding=1, outputs=None):
    """A network of 3 x 3 convolutions with ReLU in between, and a dense layer on top if `outputs` is given."""
    layers = []
    for number, (before, after) in enumerate(pairwise(channels)):
        kernel = rng.integers(-2, 3, size=(after, before, 3, 3)) / 2
        linear = Convolution(kernel, (before, side, side), 1, padding)
        last = outputs is None and number == len(channels) - 2
        layers.append(
            Layer(((number, linear),), rng.integers(-2, 3, size=after) / 2, ("identity" if last else "relu",))
        )
    if outputs is not None:
        top = Dense(rng.integers(-2, 3, size=(outputs, layers[-1].outputs)) / 2)
        layers.append(Layer(((len(layers), top),), rng.integers(-2, 3, size=outputs) / 2, ("identity",)))
    return Network(channels[0] * side * side, tuple(layers))


@pytest.fixture(scope="session")
def random_network():
    return _network


@pytest.fixture(scope="session")
def convolutional_network():
    return _convolutional
