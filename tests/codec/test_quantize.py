"""Quantization: the gauge and the order change nothing, error feedback beats rounding, and its step is optimal."""

from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.codec.format import decode, encode
from epsnet.codec.quantize import fix_gauge, quantize, round_weights, sort_neurons
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)
    sizes = (8, 40, 30, 3)
    pairs = [
        (rng.normal(size=(m, n)) / np.sqrt(n) * np.exp(rng.normal(size=(m, 1))), rng.normal(size=m) / 4)
        for n, m in pairwise(sizes)
    ]
    return Network.from_layers(pairs)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(1)
    return rng.normal(size=(600, 3)) @ rng.normal(size=(3, 8)) + 0.1 * rng.normal(size=(600, 8))


def error(network, other, points):
    return float(np.sqrt(((realize(network, points) - realize(other, points)) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("change", ["gauge", "order"])
def test_gauge_and_order_leave_the_function_exactly_as_it_is(network, points, change):
    changed = fix_gauge(network, points) if change == "gauge" else sort_neurons(network)
    assert changed.sha256 != network.sha256
    for point in points[:3]:
        assert realize_exact(changed, point.tolist()) == realize_exact(network, point.tolist())


def test_permuted_and_rescaled_networks_have_one_canonical_form(network, points):
    rng = np.random.default_rng(2)
    layers, before, scale = [], np.arange(8), np.ones(8)
    for number, layer in enumerate(network.layers):
        table = layer.terms[0][1].weight[:, before] / scale
        order = rng.permutation(layer.outputs) if number < 2 else np.arange(layer.outputs)
        after = np.exp2(rng.integers(-9, 9, size=layer.outputs)) if number < 2 else np.ones(layer.outputs)
        layers.append((table[order] * after[:, None], layer.bias[order] * after))
        before, scale = order, after
    other = Network.from_layers(layers)
    assert other.sha256 != network.sha256
    assert sort_neurons(fix_gauge(other, points)).sha256 == sort_neurons(fix_gauge(network, points)).sha256


def test_feedback_beats_rounding_at_fewer_bytes(network, points):
    fresh = points[300:]
    rounded = round_weights(network, [0.125] * 3)
    found = quantize(network, points[:300], [0.12] * 3)
    assert len(encode(found)) < 0.9 * len(encode(rounded))
    assert error(network, found, fresh) < 0.9 * error(network, rounded, fresh)


def test_smaller_steps_give_more_bytes_and_less_error(network, points):
    found = [quantize(network, points, [step] * 3, price=0.0) for step in (0.4, 0.1, 0.025, 0.00625)]
    lengths, errors = [len(encode(q)) for q in found], [error(network, q, points) for q in found]
    assert lengths == sorted(lengths)
    assert errors == sorted(errors, reverse=True)
    # Errors are about proportional to the step where the activations hardly change.
    assert 2 < errors[2] / errors[3] < 8


def test_the_sorted_form_saves_the_logarithm_of_the_factorial(network, points):
    """Sorted biases cost what their multiset costs; in random order they cost their entropy."""
    found = quantize(network, points, [0.02] * 3)
    rng = np.random.default_rng(3)
    order = rng.permutation(40)
    first, second, third = ((layer.terms[0][1].weight, layer.bias) for layer in found.layers)
    mixed = Network.from_layers([(first[0][order], first[1][order]), (second[0][:, order], second[1]), third])
    assert len(encode(mixed)) - len(encode(found)) >= 8


def test_the_quantized_network_is_on_a_grid_and_stored_exactly(network, points):
    found = quantize(network, points, [0.1] * 3)
    assert decode(encode(found)).sha256 == found.sha256
    again = quantize(network, points, [0.1] * 3)
    assert again.sha256 == found.sha256
    for layer in found.layers:
        weight = layer.terms[0][1].weight
        step = np.abs(weight[weight != 0]).min()
        assert np.array_equal(np.round(weight / step * 60), weight / step * 60) or len(np.unique(np.abs(weight))) < 40


def test_what_cannot_be_quantized_is_refused(network, points):
    with pytest.raises(DomainError, match="not a plain ReLU layer"):
        quantize(Network.from_layers([(np.eye(2), [0, 0]), (np.eye(2), [0, 0])], "tanh"), np.ones((3, 2)), [0.1] * 2)
    skip = Layer(((1, Dense(np.eye(2))), (0, Dense(np.eye(2)))), np.zeros(2), ("identity",))
    first = Layer(((0, Dense(np.eye(2))),), np.zeros(2))
    with pytest.raises(DomainError, match="not a plain affine layer"):
        quantize(Network(2, (first, skip)), np.ones((3, 2)), [0.1] * 2)
    with pytest.raises(DomainError, match="needs a positive step"):
        quantize(network, points, [0.1, 0.1])
    for wrong in (np.full((3, 8), np.nan), np.ones((3, 7)), np.ones((0, 8)), np.ones(8)):
        with pytest.raises(DomainError, match=r"points|Points"):
            quantize(network, wrong, [0.1] * 3)
