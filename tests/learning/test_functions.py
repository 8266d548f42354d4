"""Learn(eps, F) for networks and for expansions: smaller networks, exact wavelets, ramps; and what it refuses."""

import numpy as np
import pytest

import epsnet as en
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.n_term import threshold

BOX = en.Box((-1, -1), (1, 1))


def network():
    rng = np.random.default_rng(3)
    shapes = [(8, 2), (8, 8), (1, 8)]
    return en.Network.from_layers([(rng.normal(size=shape), rng.normal(size=shape[0])) for shape in shapes])


def test_a_smaller_network_keeps_its_distance():
    target = en.NetworkTarget(network(), BOX)
    found = en.learn(target, "0.05")
    points = np.random.default_rng(0).uniform(-1, 1, (10_000, 2))
    assert found.error.kind.satisfies(en.Kind.VERIFIED) and found.error.limit <= 0.05
    assert np.abs(target(points) - en.realize(found.network, points).ravel()).max() <= found.error.value
    assert found.size.weights < network().size.weights


def test_wavelets_are_exact_up_to_rounding():
    nodes = np.linspace(0, 1, 257)
    expansion = threshold(LinearWavelets(8), np.sqrt(np.abs(nodes - 0.3)), 20)
    found = en.learn(expansion, "1e-9")
    assert found.error.premises[0].limit == 0 and found.error.premises[0].kind is en.Kind.PROVED
    assert np.abs(en.realize(found.network, nodes[:, None]).ravel() - expansion.signal()).max() <= 1e-12


def test_haar_expansions_become_ramps():
    wavelets = pytest.importorskip("epsnet.dictionaries.wavelets")
    pytest.importorskip("pywt")
    signal = np.repeat([1.0, -2.0, 0.5, 0.5, 3.0, 3.0, 3.0, 0.1], 8)
    found = en.learn(threshold(wavelets.Wavelets("haar", (64,), 4), signal, 12), "1e-2")
    middles = (np.arange(64) + 0.5) / 64
    assert found.error.norm == "L2" and found.error.kind is en.Kind.PROVED and found.error.limit <= 0.01
    assert np.abs(en.realize(found.network, middles[:, None]).ravel() - signal).max() < 1e-12


def test_refuses_what_makes_no_sense():
    target = en.NetworkTarget(network(), BOX)
    expansion = threshold(LinearWavelets(3), np.arange(9.0), 3)
    for options in (
        {"eps": None},
        {"eps": 0},
        {"eps": 1, "method": "deep"},
        {"eps": 1, "skips": True},
        {"eps": 1, "epochs": 3},
    ):
        for each in (target, expansion):
            with pytest.raises(en.DomainError):
                en.learn(each, **options)
    with pytest.raises(en.DomainError, match="compress"):
        en.learn(en.NetworkTarget.on_sample(network(), np.zeros((3, 2))), 1)
    with pytest.raises(en.HypothesisError, match="samples only"):
        from epsnet.dictionaries.gabor import Gabor

        en.learn(threshold(Gabor((32,), 8), np.arange(32.0), 3), 1)
