"""The family from coarse to fine: less error with each network, nothing random, and what one rate buys."""

from itertools import islice, pairwise

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.codec.format import encode
from epsnet.codec.quantize import quantize
from epsnet.compression.rate import candidates, estimated_bits
from epsnet.core.network import Network
from epsnet.core.realize import realize


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(1).normal(size=(400, 6))


@pytest.fixture(scope="module")
def family(network, points):
    return list(candidates(network, points, 10))


def error(network, other, points):
    return float(((realize(network, points) - realize(other, points)) ** 2).sum(axis=1).mean())


def test_each_network_has_less_error_than_all_before(network, points, family):
    errors = [error(network, found, points) for found in family]
    assert len(family) >= 10
    assert all(b < a for a, b in pairwise(errors))
    assert errors[0] > 100 * errors[-1]


def test_the_best_network_within_a_budget_is_monotone_in_the_budget(network, points, family):
    found = [(len(encode(each)), error(network, each, points)) for each in family]
    budgets = sorted(length for length, _ in found)
    best = [min(e for length, e in found if length <= budget) for budget in budgets]
    assert best == sorted(best, reverse=True)


def test_a_shorter_family_is_the_beginning_of_a_longer_one(network, points, family):
    again = list(islice(candidates(network, points, 3), 3))
    assert [found.sha256 for found in again] == [found.sha256 for found in family[: len(again)]]


def test_the_search_beats_equal_steps(network, points, family):
    """Of the networks that are hardly larger than one with a common step, the best has about as little error."""
    lengths = [len(encode(found)) for found in family]
    for step in (0.05, 0.025, 0.0125, 0.006):
        plain = quantize(network, points, [step] * 3, price=0.05)
        bound, least = len(encode(plain)), error(network, plain, points)
        within = [found for found, length in zip(family, lengths, strict=True) if length <= 1.06 * bound]
        assert min(error(network, found, points) for found in within) < 1.5 * least


def test_the_estimate_is_near_the_file(family):
    for found in family[3:]:
        assert 0.8 < estimated_bits(found) / (8 * len(encode(found)) - 96) < 1.15


def test_a_network_on_a_coarse_grid_is_found_exactly_in_the_end():
    rng = np.random.default_rng(2)
    network = Network.from_layers([(rng.integers(-1, 2, (4, 3)), rng.integers(-1, 2, 4)), (np.ones((1, 4)), [0.5])])
    points = rng.normal(size=(50, 3))
    *_, last = candidates(network, points, 24)
    assert error(network, last, points) < 1e-6


def test_a_constant_network_and_a_dead_neuron_do_no_harm():
    network = Network.from_layers([(np.zeros((3, 2)), [0.0, -1.0, -2.0]), (np.ones((1, 3)), [0.25])])
    *_, last = candidates(network, np.ones((5, 2)), 5)
    assert float(realize(last, np.ones((1, 2)))[0, 0]) == pytest.approx(0.25, abs=0.1)


def test_no_levels_are_refused(network, points):
    with pytest.raises(DomainError, match="Ask for at least one"):
        next(candidates(network, points, 0))
