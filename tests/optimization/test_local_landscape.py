"""The survey of the loss around a network, where the Hessian is known: one affine layer and the square loss."""

import numpy as np
import pytest

import epsnet as en
from epsnet.core.linear_maps import Dense
from epsnet.optimization.local_landscape import local_landscape, plain_layers

pytest.importorskip("jax")

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(50, 3)), RNG.normal(size=50)


def test_affine_least_squares():
    weights, bias = RNG.normal(size=(1, 3)), RNG.normal(size=1)
    found = local_landscape(en.Network.from_layers([(weights, bias)]), en.Sample(X, Y), points=3)
    ones = np.column_stack((X, np.ones(50)))
    theta, hessian = np.append(weights, bias), 2 * ones.T @ ones / 50
    np.testing.assert_allclose(found.spectrum.eigenvalues, np.linalg.eigvalsh(hessian), rtol=1e-12)
    assert found.spectrum.inertia == (0, 0, 4) and found.trace == (pytest.approx(np.trace(hessian)), 0.0)
    assert found.value == pytest.approx(np.mean((ones @ theta - Y) ** 2), rel=1e-12)
    assert found.gradient == pytest.approx(np.linalg.norm(2 * ones.T @ (ones @ theta - Y) / 50), rel=1e-12)
    first, second = (np.append(*step[0]) for step in (found.plane.first, found.plane.second))
    corner = theta + first - second
    assert found.plane.values[0, 2] == pytest.approx(np.mean((ones @ corner - Y) ** 2), rel=1e-10)
    assert found.plane.values[1, 1] == pytest.approx(found.value, rel=1e-12)


def test_density_of_a_large_network_has_the_extremes_and_the_trace(monkeypatch):
    network = en.Network.from_layers(
        [(RNG.normal(size=(20, 3)), RNG.normal(size=20)), (RNG.normal(size=(1, 20)), [0.0])], activation="tanh"
    )
    whole = local_landscape(network, en.Sample(X, Y), points=1)
    monkeypatch.setattr("epsnet.optimization.local_landscape.LARGEST_FULL", 50)
    estimated = local_landscape(network, en.Sample(X, Y), points=1)
    assert estimated.spectrum is None and estimated.density is not None
    np.testing.assert_allclose(estimated.range, whole.spectrum.eigenvalues[[0, -1]], rtol=1e-9)
    assert abs(estimated.trace[0] - whole.trace[0]) <= 5 * estimated.trace[1]


def test_draws_both_kinds(monkeypatch):
    pytest.importorskip("matplotlib")
    network = en.Network.from_layers([(RNG.normal(size=(4, 3)), np.zeros(4)), (np.ones((1, 4)), [0.0])])
    for limit in (2000, 5):
        monkeypatch.setattr("epsnet.optimization.local_landscape.LARGEST_FULL", limit)
        assert len(local_landscape(network, en.Sample(X, Y), points=3).draw().axes) == 2


def test_refuses_other_networks_and_data():
    network = en.Network.from_layers([(np.ones((1, 3)), [0.0])])
    with pytest.raises(en.DomainError, match="4 inputs and 1 outputs"):
        local_landscape(network, en.Sample(np.ones((5, 4)), Y[:5]))
    skip = en.Layer(((0, Dense(np.ones((1, 3)))), (1, Dense([[1.0]]))), np.zeros(1), ("identity",))
    with pytest.raises(en.HypothesisError, match="without skips"):
        plain_layers(en.Network(3, (*network.layers, skip)))
