"""The empirical tangent kernel: central differences, the ways to compute it among themselves, and the law of width."""

import math

import jax
import numpy as np
import pytest

from epsnet import EpsnetError
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize
from epsnet.experiments import fit_rate
from epsnet.generalization import wide_network as wide
from epsnet.generalization.empirical_ntk import empirical_ntk, ntk_costs

RNG = np.random.default_rng(11)
ERF = wide.WideNetwork([wide.Dense(1.3, 0.4), "erf", wide.Dense(1.3, 0.1), "erf", wide.Dense(0.9, 0.2)])
PLAIN = ERF.sample(5, 4, RNG, 3)


def mixed():
    """A network with a convolution, a sparse map, a skip connection and three activations."""
    convolution = Convolution(RNG.standard_normal((2, 1, 3, 3)), (1, 4, 4), 1, 1)
    sparse = Sparse((3, 32), [0, 1, 2, 2], [4, 9, 2, 30], [1.0, 2.0, -1.0, 0.5])
    names = ("gelu", "silu", "leaky_relu(0.1)")
    middle = Layer(((1, sparse), (0, Dense(RNG.standard_normal((3, 16))))), RNG.standard_normal(3), names)
    last = Layer(((2, Exact((2, 3), {(0, 0): 1, (1, 2): 2})),), np.zeros(2), ("identity",))
    return Network(16, (Layer(((0, convolution),), RNG.standard_normal(2), ("softplus",)), middle, last))


def skips():
    first = Layer(((0, Dense(RNG.standard_normal((4, 3)))),), RNG.standard_normal(4), ("erf", "sin", "erf", "gelu"))
    terms = ((1, Dense(RNG.standard_normal((2, 4)))), (0, Dense(RNG.standard_normal((2, 3)))))
    return Network(3, (first, Layer(terms, RNG.standard_normal(2), ("identity",))))


NETWORKS = {"plain": PLAIN, "mixed": mixed(), "skips": skips()}


def changed(network, number, term, index, step):
    """Return the network with one stored coefficient, or bias (term = -1), changed by a step."""
    layers = list(network.layers)
    layer = layers[number]
    terms, bias = list(layer.terms), np.array(layer.bias)
    if term < 0:
        bias[index] += step
    else:
        source, linear = terms[term]
        if isinstance(linear, Dense):
            matrix = linear.weight.copy()
            matrix[index] += step
            linear = Dense(matrix)
        elif isinstance(linear, Convolution):
            kernel = linear.kernel.copy()
            kernel[index] += step
            linear = Convolution(kernel, linear.input_shape, linear.stride, linear.padding)
        else:
            rows, columns, values = linear.entries()
            values = np.array([float(v) for v in values])
            values[index] += step
            linear = Sparse(linear.shape, rows, columns, values)
        terms[term] = (source, linear)
    layers[number] = Layer(tuple(terms), bias, layer.activations)
    return Network(network.inputs, tuple(layers))


def coefficients(network):
    for number, layer in enumerate(network.layers):
        for term, (_, linear) in enumerate(layer.terms):
            shape = {Dense: lambda m: m.weight.shape, Convolution: lambda m: m.kernel.shape}.get(type(linear))
            yield from ((number, term, i) for i in np.ndindex(shape(linear) if shape else (linear.stored_weights,)))
        yield from ((number, -1, i) for i in range(len(layer.bias)))


def cheapest(network, points):
    costs = ntk_costs(network, points, points)
    return min(costs, key=lambda method: costs[method])


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_way_gives_the_product_of_gradients(name):
    """The gradients by central differences in every stored coefficient."""
    network = NETWORKS[name]
    x, y = RNG.standard_normal((3, network.inputs)), RNG.standard_normal((2, network.inputs))
    scales = [(0.3 + number, 0.7 - 0.2 * number) for number in range(len(network.layers))]
    gradients, factors = [], []
    for place in coefficients(network):
        ends = [realize(changed(network, *place, step), np.concatenate([x, y])) for step in (1e-5, -1e-5)]
        gradients.append((ends[0] - ends[1]) / 2e-5)
        factors.append(scales[place[0]][1 if place[1] < 0 else 0] ** 2)
    g, s = np.array(gradients), np.array(factors)
    ways = ["contraction", "products"] + ["structured"] * (name != "mixed")
    for given, squares in ((None, np.ones_like(s)), (scales, s)):
        expected = np.einsum("p,pai,pbj->abij", squares, g[:, :3], g[:, 3:])
        found = [empirical_ntk(network, x, y, scales=given, method=way) for way in ways]
        assert np.allclose(found[0], expected, rtol=1e-6, atol=1e-6)
        for one in found:
            assert one.dtype == np.float64
            assert np.abs(one - found[0]).max() <= 1e-13 * np.abs(one).max()
        costs = ntk_costs(network, 3, 2)
        assert (empirical_ntk(network, x, y, scales=given) == found[ways.index(min(costs, key=costs.get))]).all()


def test_both_precision_modes_give_the_same():
    x = RNG.standard_normal((2, 3))
    with jax.enable_x64(True):
        inside = empirical_ntk(NETWORKS["skips"], x)
    assert (inside == empirical_ntk(NETWORKS["skips"], x)).all()


def test_the_cheapest_way(monkeypatch):
    """Dense networks have structure, a small convolution is contracted, and where that does not fit nothing is kept."""
    kernel = Convolution(np.ones((8, 1, 3, 3)), (1, 8, 8), 1, 1)
    small = Network(64, (Layer(((0, kernel),), np.zeros(8)), Layer(((1, Dense(np.ones((1, 512)))),), np.zeros(1))))
    assert [cheapest(PLAIN, 100), cheapest(small, 100)] == ["structured", "contraction"]
    monkeypatch.setattr("epsnet.generalization.empirical_ntk.MAX_JACOBIAN", 1000)
    assert [cheapest(PLAIN, 100), cheapest(small, 100)] == ["structured", "products"]


def test_width_law():
    """64 seeds for each width: the mean is the analytic kernel within 4 standard errors, the spread width^(-1/2)."""
    net = wide.WideNetwork([wide.Dense(math.sqrt(2)), "relu", wide.Dense(math.sqrt(2)), "relu", wide.Dense()])
    x = np.random.default_rng(0).standard_normal((5, 6))
    flat = (
        ".4360488251294 .2112006772567 .1801269008226 .2917499953216 .1462673079898 2.542046071071 .5678205080484 "
        ".5486980897994 1.438034210864 3.969205545907 .3913028057599 .4559032625408 1.853030341439 .3002073481185 "
        "1.242732154088"
    )
    limit = np.array([float(value) for value in flat.split()])  # K1 of the literature of kernels, by mpmath
    widths, spreads = [2**k for k in range(5, 9)], []
    for width in widths:
        rng = np.random.default_rng(width)
        entries = np.array([
            empirical_ntk(net.sample(width, 6, rng), x, scales=net.scales(6, width))[..., 0, 0][np.triu_indices(5)]
            for _ in range(64)
        ])  # fmt: skip
        errors = entries.std(axis=0, ddof=1) / math.sqrt(64)
        spreads.append(float(np.mean(entries.std(axis=0, ddof=1) / limit)))
        assert (np.abs(entries.mean(axis=0) - limit) <= 4 * errors).all()
    assert fit_rate(widths, spreads).exponent.value == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (PLAIN, {"x": [[1.0]]}),
        (PLAIN, {"x": [[np.nan] * 4]}),
        (PLAIN, {"x": np.empty((0, 4))}),
        (PLAIN, {"scales": [(1.0, 1.0)]}),
        (PLAIN, {"scales": [(1.0, np.inf)] * 3}),
        (PLAIN, {"method": "fast"}),
        (NETWORKS["mixed"], {"x": np.ones((1, 16)), "method": "structured"}),
    ],
)
def test_refusals(network, options):
    with pytest.raises(EpsnetError, match=r"\. \w.*\.$"):
        empirical_ntk(network, **({"x": np.ones((1, 4))} | options))
