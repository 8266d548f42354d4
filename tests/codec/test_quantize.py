"""Quantization: the gauge and the order change nothing, error feedback beats rounding, and its step is optimal."""

from itertools import pairwise, product

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.codec.format import decode, encode
from epsnet.codec.quantize import (
    _columns,
    _round_with_feedback,
    _rows,
    _short,
    fix_gauge,
    quantize,
    round_weights,
    sort_neurons,
)
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


def gram(rng, size):
    """Return a Gram matrix with a wide spectrum."""
    factor = rng.normal(size=(size, size)) * np.exp(rng.normal(size=size))
    return factor.T @ factor + 0.1 * np.eye(size)


def cost(change, outer, inner):
    return float(np.trace(outer @ change @ inner @ change.T))


def test_rounding_a_tiny_layer_against_all_roundings():
    """2 x 2 weights and a bias: no rounding is better than the best of 4^4, and feedback comes close to it."""
    ratios, plain = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        table, outer, inner = rng.normal(size=(2, 3)), gram(rng, 2), gram(rng, 3)
        rows, columns = _rows(outer), _columns(inner)
        outer = outer + 0.01 * outer.trace() / 2 * np.eye(2)
        found = _round_with_feedback(table, rows=rows, columns=columns, step=1.0, price=0.0)
        width = _short(np.exp(np.log(columns.spread[:-1]).mean() + np.log(rows.spread).mean()))
        assert np.array_equal(found[:, :-1] / width, np.round(found[:, :-1] / width))
        # The bias of the best may be any number; the matrix left when it is eliminated is a Schur complement.
        weights, schur = table[:, :-1], inner[:2, :2] - np.outer(inner[:2, 2], inner[2, :2]) / inner[2, 2]
        low = np.floor(weights / width)
        best = min(
            cost(width * (low + np.reshape(move, (2, 2))) - weights, outer, schur)
            for move in product((-1, 0, 1, 2), repeat=4)
        )
        achieved = cost(found - table, outer, inner)
        assert achieved >= best * (1 - 1e-9) or np.abs(found[:, :-1] - weights).max() > width
        ratios.append(achieved / best)
        plain.append(cost(width * np.round(weights / width) - weights, outer, schur) / best)
    assert np.median(ratios) < 1.5
    assert np.mean(np.log(ratios)) < 0.7 * np.mean(np.log(plain))


def test_the_cost_is_the_sum_of_the_costs_of_the_choices():
    """With one row and one column before the bias, the second choice alone is made for the error of the first."""
    inner, outer = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0]])
    found = _round_with_feedback(
        np.array([[0.4, 0.0]]), rows=_rows(outer), columns=_columns(inner), step=1.0, price=0.0
    )
    width = _short(np.sqrt(1 / (2 - 1 / 3)) / np.sqrt(1.01))
    assert found[0, 0] == width * np.round(0.4 / width)
    # The bias makes up for the error of the weight: H_22 e_2 = -H_21 e_1, to within half its step of 1/4.
    assert abs(found[0, 1] + (found[0, 0] - 0.4) / 3) <= 1 / 8


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
