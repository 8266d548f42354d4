"""Fits to machine precision: the errors of the report on a fine grid, planted networks, the laws of the projection."""

import numpy as np
import pytest

import epsnet as en
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.core.realize import realize
from epsnet.optimization.precision import chebyshev_points, fit_in_stages

FINE = np.linspace(-1, 1, 20_001)


def wave(x):
    return np.sin(3 * x) + x * np.cos(5 * x)


def errors(function, neurons, count, **options):
    points = chebyshev_points(en.Box(-1, 1), count)
    fit = fit_in_stages(points, function(points[:, 0]), neurons, **options)
    return fit, realize(fit.network, FINE[:, None]).ravel() - function(FINE)


def test_twenty_neurons():
    fit, error = errors(wave, (20,), 400)
    assert fit.network.size.weights == 61 and np.sqrt(np.mean(error**2)) <= 5e-8


@pytest.mark.parametrize("seed", [0, 5])
def test_two_stages_reach_machine_precision(seed):
    """T15, with a tenth of its error: from every start, because the coefficients stay small."""
    fit, error = errors(wave, (20, 60), 400, seed=seed)
    assert np.abs(error).max() <= 3e-14 and fit.network.size.magnitude < 100
    assert [stage.neurons for stage in fit.stages] == [20, 60] and fit.stages[1].largest < 1e-3 * fit.stages[0].largest


def runge(x):
    return 1 / (1 + 25 * x**2)


def test_a_function_with_poles_nearby():
    _, error = errors(runge, (30, 60), 450)
    assert np.abs(error).max() <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_every_start(seed):
    """T15 and T16: sin 3x + x cos 5x within 1e-13, Runge's function within 1e-10, 100 neurons at most."""
    _, error = errors(wave, (20, 80), 500, seed=seed)
    assert np.abs(error).max() <= 2e-14 and np.sqrt(np.mean(errors(wave, (20,), 400, seed=seed)[1] ** 2)) <= 5e-8
    assert np.abs(errors(runge, (30, 60), 600, seed=seed)[1]).max() <= 1e-10


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "sin"])
def test_finds_what_a_network_gives(activation):
    planted = en.Network.from_layers([([[2.0], [-1.0]], [0.5, 0.25]), ([[1.0, -3.0]], [0.5])], activation=activation)
    x = np.linspace(-2, 3, 100)
    fit = fit_in_stages(x, realize(planted, x[:, None]).ravel(), (2,), activation=activation)
    assert fit.stages[0].largest < 1e-10


def test_several_variables():
    points = chebyshev_points(en.Box((-1, -1), (1, 1)), 900)
    target = lambda p: np.exp(-(p**2).sum(axis=1)) * np.cos(3 * p[:, 0] + p[:, 1])  # noqa: E731
    fit = fit_in_stages(points, target(points), (40,), iterations=60)
    fine = np.random.Generator(np.random.Philox(0)).uniform(-1, 1, (2000, 2))
    assert points.shape == (900, 2) and fit.stages[0].largest < 1e-4
    assert np.abs(realize(fit.network, fine).ravel() - target(fine)).max() < 1e-4


def test_the_same_seed_gives_the_same_network():
    assert errors(wave, (5,), 60, seed=3)[0].network.sha256 == errors(wave, (5,), 60, seed=3)[0].network.sha256


def test_says_what_is_wrong():
    x = np.linspace(-1, 1, 50)
    with pytest.raises(HypothesisError, match="relu"):
        fit_in_stages(x, wave(x), (5,), activation="relu")
    for points, values, neurons in [
        (x, wave(x), ()), (x, wave(x), (0,)), (x, wave(x), (40,)), (x, x[:-1], (5,)), (x, np.full(50, np.nan), (5,)),
        (x, np.zeros(50), (5,)), ("abc", x, (5,)),
    ]:  # fmt: skip
        with pytest.raises(DomainError):
            fit_in_stages(points, values, neurons)


def test_learn_proves_it():
    target = en.Target("exp(sin(3*x))", en.Box(-1, 1))
    found = en.learn(target, "1e-8", method="precise")
    assert found.error.kind is en.Kind.VERIFIED and found.error.limit <= 1e-8
    assert np.abs(target(FINE) - realize(found.network, FINE[:, None]).ravel()).max() <= found.error.value


@pytest.mark.slow
def test_learn_says_how_far_it_came():
    with pytest.raises(CertificateError, match="proved"):
        en.learn(en.Target("abs(x)", en.Box(-1, 1)), "1e-6", method="precise")
