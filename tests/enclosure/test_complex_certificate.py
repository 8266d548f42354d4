"""Certified counts of cells against the numbers of the literature and of two independent programs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import epsnet
from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.network import Network
from epsnet.core.serial import save_statements
from epsnet.core.solution import Statements
from epsnet.enclosure.complex_certificate import certify_complex

# Activation regions on [-1, 1]^d by edge subdivision and by branching with linear programs.
BOX = [
    ([2, 10, 1], 0, 26), ([2, 8, 8, 1], 1, 27), ([2, 16, 16, 1], 2, 286), ([3, 8, 8, 1], 3, 175),
    ([4, 6, 6, 1], 4, 238), ([2, 32, 32, 1], 11, 681), ([2, 20, 20, 20, 1], 12, 571), ([3, 20, 20, 1], 13, 3085),
    ([4, 12, 12, 1], 14, 1665), ([5, 8, 8, 1], 15, 732), ([6, 7, 7, 1], 16, 1298),
]  # fmt: skip
# On R^d by relucent 1.0.0, and for one layer by Zaslavsky's formula.
EVERYWHERE = [
    ([2, 8, 8, 1], 1, 95), ([2, 16, 16, 1], 2, 485), ([3, 8, 8, 1], 3, 749), ([3, 12, 12, 1], 22, 2393),
    ([2, 10, 1], 0, 56), ([3, 12, 1], 1, 299), ([4, 11, 1], 2, 562),
]  # fmt: skip


def normal_network(widths, seed):
    generator = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in pairwise(widths):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((weight, generator.uniform(-1, 1, outputs)))
    return Network.from_layers(layers)


def name(value):
    return "-".join(map(str, value)) if isinstance(value, list) else None


def confirmed(found):
    report = epsnet.check(Statements(found.network, found.certificate))
    assert set(report.checked) == {found.regions, found.linear, *found.cells}
    assert all(bound.kind is Kind.PROVED and bound.sense == "==" for bound in report.checked)
    return found


@pytest.mark.parametrize(("widths", "seed", "regions"), BOX, ids=name)
def test_boxes(widths, seed, regions):
    domain = Box([-1] * widths[0], [1] * widths[0])
    found = confirmed(certify_complex(normal_network(widths, seed), domain))
    assert found.regions.value == found.f_vector()[-1] == regions
    assert sum((-1) ** k * count for k, count in enumerate(found.f_vector())) == 1
    assert all(bound.domain == domain for bound in found.cells)


@pytest.mark.parametrize(("widths", "seed", "regions"), EVERYWHERE, ids=name)
def test_everywhere(widths, seed, regions):
    found = confirmed(certify_complex(normal_network(widths, seed)))
    assert found.regions.value == regions
    assert sum((-1) ** k * count for k, count in enumerate(found.f_vector())) == (-1) ** widths[0]
    assert all(bound.domain is None for bound in found.cells)


def test_f_vectors():
    square = Box([-1, -1], [1, 1])
    assert certify_complex(normal_network([2, 16, 16, 1], 2), square).f_vector() == (316, 601, 286)
    cube = Box([-1] * 4, [1] * 4)
    assert certify_complex(normal_network([4, 6, 6, 1], 4), cube).f_vector() == (629, 1990, 2350, 1226, 238)


@pytest.mark.parametrize("domain", [Box([-1, -1], [1, 1]), None], ids=["box", "everywhere"])
def test_files(tmp_path, domain):
    found = certify_complex(normal_network([2, 8, 8, 1], 1), domain)
    save_statements(Statements(found.network, found.certificate), tmp_path)
    assert epsnet.check(tmp_path).checked == (found.regions, found.linear, *found.cells)


def test_a_network_without_kinks_on_the_box():
    network = Network.from_layers([(np.eye(3), [5.0, 5.0, 5.0]), (np.ones((1, 3)), [0.0])])
    found = confirmed(certify_complex(network, Box([-1] * 3, [1] * 3)))
    assert found.f_vector() == (8, 12, 6, 1)


def test_refusals():
    crossing = Network.from_layers([([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]), (np.ones((1, 3)), [0.0])])
    with pytest.raises(HypothesisError, match="exact_cells"):
        certify_complex(crossing, Box([-1, -1], [1, 1]))
    with pytest.raises(HypothesisError):
        certify_complex(Network.from_layers([([[1.0, 2.0]], [0.5]), ([[1.0]], [0.0])]))
    with pytest.raises(HypothesisError, match="tanh"):
        certify_complex(Network.from_layers([([[1.0]], [0.5]), ([[1.0]], [0.0])], activation="tanh"), Box(0, 1))
    with pytest.raises(DomainError, match="2 inputs"):
        certify_complex(crossing, Box(0, 1))
