"""Pruning: as many weights as asked for, less error than without making up for them, and no other change."""

from itertools import combinations

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.codec.quantize import fix_gauge, from_tables, tables
from epsnet.compression.prune import prune
from epsnet.core.network import Network
from epsnet.core.realize import realize


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(1)
    return rng.normal(size=(400, 3)) @ rng.normal(size=(3, 6)) + 0.1 * rng.normal(size=(400, 6))


def error(network, other, points):
    return float(((realize(network, points) - realize(other, points)) ** 2).sum(axis=1).mean())


def weights(network):
    return sum(int(np.count_nonzero(table[:, :-1])) for table in tables(network))


@pytest.mark.parametrize("keep", [1, 50, 300, 500])
def test_no_more_weights_stay_than_asked_for(network, points, keep):
    assert weights(prune(network, points, keep)) == keep


def test_all_weights_kept_change_nothing(network, points):
    assert error(network, prune(network, points, 10**6), points) < 1e-20


def test_more_weights_leave_less_error(network, points):
    errors = [error(network, prune(network, points, keep), points) for keep in (150, 300, 450, 600, 750)]
    assert errors == sorted(errors, reverse=True)


def test_making_up_for_what_goes_beats_zeros_alone(network, points):
    fresh = points[200:]
    for keep in (300, 450, 600):
        found = prune(network, points[:200], keep)
        zeros = [np.hstack([t[:, :-1] != 0, np.ones((len(t), 1))]) for t in tables(found)]
        plain = from_tables([t * mask for t, mask in zip(tables(fix_gauge(network, points[:200])), zeros, strict=True)])
        assert error(network, found, fresh) < 0.5 * error(network, plain, fresh)


def test_one_row_loses_what_least_squares_can_spare_best():
    """One affine layer with one output: the best pair to lose, by all of them, costs at most a little less."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(200, 5)) @ np.diag([3.0, 2.0, 1.0, 0.3, 0.2])
    row = np.array([[1.0, -1.0, 0.5, 1.5, -1.0]])
    network = Network.from_layers([(row, [0.3])])
    target = points @ row[0] + 0.3
    best = np.inf
    for lost in combinations(range(5), 2):
        inside = np.hstack([np.delete(points, lost, axis=1), np.ones((200, 1))])
        best = min(best, float(np.linalg.lstsq(inside, target, rcond=None)[1][0]) / 200)
    assert best * (1 - 1e-9) <= error(network, prune(network, points, 3), points) < 1.1 * best


def test_nothing_kept_is_refused(network, points):
    with pytest.raises(DomainError, match="Keep at least one"):
        prune(network, points, 0)
