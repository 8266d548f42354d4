"""Retraining: zeros stay, grids stay, the loss falls, and the result depends on the arguments alone."""

from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.codec.quantize import from_tables, quantize, tables
from epsnet.codec.tensors import grid
from epsnet.compression.prune import prune
from epsnet.compression.retrain import retrain
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.diff import precise


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    centers = 2 * rng.normal(size=(3, 5))
    labels = rng.integers(3, size=300)
    return centers[labels] + rng.normal(size=(300, 5)), labels


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(1)
    return Network.from_layers([(rng.normal(size=(m, n)) / np.sqrt(n), np.zeros(m)) for n, m in pairwise((5, 16, 3))])


@pytest.fixture(scope="module")
def sparse(network, data):
    return prune(network, data[0], 60)


def cross_entropy(network, data):
    values = realize(network, data[0])
    return float((np.log(np.exp(values).sum(axis=1)) - values[np.arange(len(values)), data[1]]).mean())


def test_zeros_stay_zeros_and_the_loss_falls(sparse, data):
    found = retrain(sparse, *data, epochs=10, step_size=0.05, batch_size=20)
    assert cross_entropy(found, data) < 0.8 * cross_entropy(sparse, data)
    for before, after in zip(tables(sparse), tables(found), strict=True):
        assert np.array_equal(before[:, :-1] == 0, after[:, :-1] == 0)


def test_weights_stay_on_their_grids(network, data):
    coarse = quantize(network, data[0], [0.3, 0.3])
    found = retrain(coarse, *data, on_grid=True, epochs=10, step_size=0.05, batch_size=20)
    assert cross_entropy(found, data) < cross_entropy(coarse, data)
    for before, after in zip(tables(coarse), tables(found), strict=True):
        assert not (after[:, :-1] != 0)[before[:, :-1] == 0].any()
        for old, new in ((before[:, :-1], after[:, :-1]), (before[:, -1], after[:, -1])):
            _, step, exponent = grid(old.ravel())
            multiples = np.ldexp(new / step, -exponent)
            assert np.array_equal(multiples, np.round(multiples))


def test_real_targets_are_learned_back(sparse, network, data):
    targets = realize(network, data[0])

    def error(other):
        return float(((realize(other, data[0]) - targets) ** 2).mean())

    assert error(retrain(sparse, data[0], targets, epochs=20, batch_size=20)) < 0.7 * error(sparse)


def test_the_result_depends_on_the_arguments_alone(sparse, data):
    found = retrain(sparse, *data, epochs=2, seed=3)
    with precise():
        assert retrain(sparse, *data, epochs=2, seed=3).sha256 == found.sha256
    assert retrain(sparse, *data, epochs=2, seed=4).sha256 != found.sha256


def test_what_does_not_fit_is_refused(network, data):
    with pytest.raises(DomainError, match="row of inputs"):
        retrain(network, data[0][:, :4], data[1])
    with pytest.raises(DomainError, match="row of inputs"):
        retrain(network, data[0], np.ones((300, 2)))
    far = from_tables([np.array([[1.0, 1e-30, 0.0]])])
    with pytest.raises(DomainError, match="on no grid"):
        retrain(far, np.ones((3, 2)), np.zeros(3, dtype=int), on_grid=True)
