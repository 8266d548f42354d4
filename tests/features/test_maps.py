"""Feature maps by code: their weights, their refusals, and that they are what they say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.features import enlarge, scattering_features
from epsnet.features.maps import FeatureMap, identity, scattering, with_constant
from epsnet.statistics.prior import grid_nats, prior_nats
from epsnet.statistics.scaling import fitted_scaling

RANDOM = np.random.default_rng(0)


def test_the_maps_are_those_of_their_names():
    x = RANDOM.random((5, 16))
    assert (identity()(x) == x).all()
    assert (with_constant()(x) == np.hstack([x, np.ones((5, 1))])).all()
    images = enlarge(x.reshape(5, 4, 4), 8, 8)
    assert (scattering(2, 4, 8)(x) == scattering_features(images, 2, 4)).all()
    assert [str(each) for each in (identity(), with_constant())] == ["the inputs", "the inputs and the constant 1"]


def test_the_weights_sum_to_at_most_one():
    """A bound may use any feature map and any prior of the lists."""
    codes = [(0,), (1,), *itertools.product((2, 3), range(8), range(18), range(131))]
    total = 0.0
    for code in codes:
        try:
            total += math.exp(-FeatureMap(code).nats)
        except DomainError:
            continue
    assert total == pytest.approx(1, rel=1e-9)
    assert total <= 1
    grid = math.fsum(math.exp(-grid_nats(number)) for number in range(-20_000, 20_001))
    assert 1 - 1e-4 < grid <= 1
    found = [prior_nats(value) for value in (1.0, 2.0, 5.0, 10.0, 0.5, 0.2, 0.1, 1e12, 1e-12)]
    assert found == [grid_nats(number) for number in (0, 1, 2, 3, -1, -2, -3, 36, -36)]


@pytest.mark.parametrize("code", [(), (4,), (0, 1), (2,), (2, 0, 6, 28), (2, 3, 1, 28), (2, 3, 6, 129), (2, 7, 6, 28)])
def test_codes_of_no_map(code):
    with pytest.raises(DomainError, match="no feature map"):
        FeatureMap(code)


def test_what_is_no_image():
    with pytest.raises(DomainError, match="square image"):
        scattering()(np.zeros((2, 15)))
    with pytest.raises(DomainError, match="square image"):
        scattering(side=3)(np.zeros((2, 16)))


@pytest.mark.parametrize("std", [0.0, 3.0, 0.123, float("nan"), 1e13])
def test_a_width_that_is_not_on_the_list(std):
    with pytest.raises(DomainError, match="power of 10"):
        prior_nats(std)


def test_scaling_is_seen():
    raw = RANDOM.standard_normal((50, 3)) * (1, 10, 0.1) + 5
    assert fitted_scaling(raw) is None
    scaled = {
        "centered": [raw - raw.mean(axis=0), (raw - raw.mean(axis=0)) / raw.std(axis=0)],
        "deviation": [raw / raw.std(axis=0), raw / raw.std(axis=0, ddof=1)],
        "range": [(raw - raw.min(axis=0)) / np.ptp(raw, axis=0), 2 * (raw - raw.min(axis=0)) / np.ptp(raw, axis=0) - 1],
    }
    for word, samples in scaled.items():
        for sample in samples:
            assert word in fitted_scaling(sample)
            assert word in fitted_scaling(np.hstack([sample, np.ones((50, 1))]))  # a constant column hides nothing
    rounded = scaled["centered"][1].astype(np.float32).astype(np.float64)
    assert "centered" in fitted_scaling(rounded)


def test_honest_data_pass():
    """Pixels in [0, 1], bits, few points and constants are no proof of anything."""
    pixels = RANDOM.integers(0, 256, (500, 20)) / 255
    pixels[:2] = [[0], [1]]
    assert fitted_scaling(pixels) is None
    assert fitted_scaling(RANDOM.integers(0, 2, (100, 5)).astype(float)) is None
    assert fitted_scaling(np.ones((20, 3))) is None
    assert fitted_scaling(np.array([[-1.0], [1.0]])) is None
