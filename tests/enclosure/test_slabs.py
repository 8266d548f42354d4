"""Cells counted slab by slab are the cells of the box."""

from itertools import pairwise

import numpy as np
import pytest

import epsnet as en
from epsnet.enclosure.complex import polyhedral_complex
from epsnet.enclosure.slabs import f_vector


def net(widths, seed):
    rng = np.random.default_rng(seed)
    layers = [(rng.standard_normal((o, i)) * np.sqrt(2 / i), rng.uniform(-1, 1, o)) for i, o in pairwise(widths)]
    return en.Network.from_layers(layers)


@pytest.mark.parametrize("widths", [[1, 9, 9, 1], [2, 16, 16, 1], [3, 8, 8, 1], [4, 6, 6, 1]])
@pytest.mark.parametrize("slabs", [1, 2, 5])
def test_slabs_add_up(widths, slabs):
    network, box = net(widths, 2), en.Box([-1] * widths[0], [1] * (widths[0] - 1) + [2])
    assert f_vector(network, box, slabs=slabs) == polyhedral_complex(network, box).f_vector()


def test_known_counts_in_two_processes():
    """NET([2,16,16,1],2) has f = (316, 601, 286)."""
    assert f_vector(net([2, 16, 16, 1], 2), en.Box((-1, -1), (1, 1)), slabs=3, jobs=2) == (316, 601, 286)


def test_bad_input_is_named():
    with pytest.raises(en.DomainError, match="slabs"):
        f_vector(net([2, 3, 1], 0), en.Box((-1, -1), (1, 1)), slabs=0)
    with pytest.raises(en.DomainError, match="inputs"):
        f_vector(net([2, 3, 1], 0), en.Box(-1, 1), slabs=2)
