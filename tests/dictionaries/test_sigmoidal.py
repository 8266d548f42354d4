"""Softplus networks of piecewise-linear wavelets: the polygon is the expansion, the constant sharp, M constant."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from epsnet import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.core.realize import realize
from epsnet.dictionaries.bsplines import BSplines
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.n_term import threshold
from epsnet.dictionaries.sigmoidal import polygon, softplus_network
from epsnet.dictionaries.transfer import linear_wavelet_network
from epsnet.enclosure.distance import distance


def one(levels, index, value=1.0):
    return Expansion(LinearWavelets(levels), np.array([index]), np.array([value]))


@pytest.mark.parametrize("index", range(17), ids=str)
def test_the_polygon_of_each_atom_is_the_atom_in_rationals(index):
    basis = LinearWavelets(4)
    shape = polygon(one(4, index))
    unit = [Fraction(int(i == index)) for i in range(basis.size)]
    expected = basis.exact_synthesis(unit)
    for i, value in enumerate(expected):
        x = Fraction(i, 16)
        assert shape.start + shape.slope * x + sum(a * max(x - t, 0) for t, a in shape.turns) == value
    assert all(0 < t < 1 for t, _ in shape.turns)


def test_softplus_is_within_the_theorem_and_the_constant_is_reached():
    """At the middle bend of a wavelet of level 9, others are far away: the error is that turn times log 2/lambda."""
    expansion = one(12, 700)
    j, k = expansion.dictionary.level(700)
    found = softplus_network(expansion, 1e-3)
    scale, sharpness = 2 ** (j + 1), float(found.sharpness)
    assert found.error <= 1e-3 < 2 * found.error
    assert found.error == pytest.approx(math.log(2) / sharpness * scale * 18 / 8, rel=1e-12)
    x = np.linspace(0, 1, 2**16 + 1)
    exact = np.interp(x, np.linspace(0, 1, expansion.dictionary.size), expansion.signal())
    error = realize(found.network, x) - exact
    assert -found.error <= error.min() and error.max() <= found.error
    middle = (2 * k + 1) / scale
    # A_- is the turn at the middle: the bound below is reached up to what the others add.
    assert realize(found.network, np.array([middle]))[0] - 0.75 == pytest.approx(-math.log(2) / sharpness * 2 * scale,
                                                                                 rel=0.01)  # fmt: skip


@pytest.mark.parametrize("index", [3, 9, 12], ids=["left end", "left end, fine", "inside"])
def test_the_number_of_weights_does_not_depend_on_the_accuracy(index):
    sizes = [softplus_network(one(4, index), Fraction(1, 10**m)).network.size for m in range(1, 13)]
    assert len({(size.weights, size.depth) for size in sizes}) == 1
    assert sizes[0].weights <= (15 if index == 12 else 18 + 6)
    # Weights grow like 1/eps: by a factor 10^11 up to one power of two.
    assert sizes[-1].magnitude / sizes[0].magnitude <= 2 * 10**11


def test_n_terms_and_their_certificate():
    basis = LinearWavelets(6)
    nodes = np.linspace(0, 1, basis.size)
    found = threshold(basis, np.sqrt(np.abs(nodes - 1 / 3)), 5)
    # Of few bits, as the ReLU network has products with them for weights.
    expansion = Expansion(basis, found.indices, np.round(found.coefficients * 2**30) / 2**30)
    found = softplus_network(expansion, Fraction(1, 100))
    assert found.network.size.weights <= 18 * 5 + 6
    proved = distance(found.network, linear_wavelet_network(expansion), Box(0, 1), gap=0.2)
    check(proved.solution)
    assert proved.lower.value <= found.error
    assert proved.upper.value <= 1.2 * found.error
    assert proved.upper.kind.value == "VERIFIED"


def test_affine_functions_are_exact():
    expansion = Expansion(LinearWavelets(3), np.array([0, 1]), np.array([0.25, 2.0]))
    found = softplus_network(expansion, Fraction(1, 10**9))
    assert found.error == 0 and found.network.size.weights == 5
    x = np.linspace(0, 1, 50)
    np.testing.assert_allclose(realize(found.network, x), 0.25 + 1.75 * x, atol=1e-15)


def test_what_has_no_network_is_refused():
    with pytest.raises(DomainError):
        softplus_network(one(3, 4), 0)
    splines = Expansion(BSplines(1, 8, 1), np.array([0]), np.array([1.0]))
    with pytest.raises(HypothesisError):
        softplus_network(splines, 0.1)
