"""Fold networks: the wave in rationals, counts by exact cells, by sampling and by the formula."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from math import prod

import numpy as np
import pytest

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.checker.kernel import check_certificate
from epsnet.core.realize import realize, realize_exact
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.enclosure.subdivision import exact_cells
from epsnet.geometry.bounds import montufar_lower, region_bound, serra_upper, zaslavsky
from epsnet.geometry.extremal import fold_boxes, fold_map, fold_network, fold_regions


def wave(pieces, y):
    """The distance of p y to the nearest even number, by the definition of a zigzag."""
    rest = pieces * y % 2
    return min(rest, 2 - rest)


def cube(inputs):
    return Box([0] * inputs, [1] * inputs)


@pytest.mark.parametrize(("inputs", "widths"), [(1, (2, 2, 2)), (1, (3, 4)), (2, (5, 4)), (3, (7, 3))])
def test_fold_map(inputs, widths):
    network = fold_map(inputs, widths)
    generator = np.random.Generator(np.random.Philox(0))
    for _ in range(50):
        point = [Fraction(int(n), 360) for n in generator.integers(0, 361, inputs)]
        expected = list(point)
        for width in widths:
            shares = [width // inputs + (i < width % inputs) for i in range(inputs)]
            expected = [wave(p, y) for p, y in zip(shares, expected, strict=True)]
        assert list(realize_exact(network, point)) == expected


@pytest.mark.parametrize("k", range(2, 11))
def test_pieces_of_the_sawtooth(k):
    network = fold_map(1, (2,) * k)
    for box, pieces in ((Box(0, 1), 2**k), (Box("-1/2", "3/2"), 2**k + 2)):
        assert exact_cells(network, box).f_vector()[-1] == pieces
    if k < 8:
        assert certify_cells(network, Box("-1/2", "3/2")).linear.value == 2**k + 2


@pytest.mark.parametrize("k", [1, 8, 16])
def test_the_sawtooth_alternates(k):
    """All numbers are dyadic, so float64 is exact: 2^k + 1 values 0, 1, 0, ..., and outside it is 0 or negative."""
    x = np.arange(2**k + 1) / 2**k
    y = realize(fold_map(1, (2,) * k), x[:, None])[:, 0]
    assert (y == np.arange(2**k + 1) % 2).all()
    outside = realize(fold_map(1, (2,) * k), [[-0.5], [1.5]])[:, 0]
    assert (outside <= 0).all()


SHAPES = [(2, (4, 4, 4)), (1, (3,) * 4), (2, (5, 4, 3)), (3, (4, 5)), (2, (2, 6)), (3, (7, 4)), (4, (6, 3)), (2, (6,))]


@pytest.mark.parametrize(("inputs", "widths"), SHAPES, ids=str)
def test_counts(inputs, widths):
    network = fold_network(inputs, widths)
    found = certify_cells(network, cube(inputs))
    check_certificate(network, found.certificate)
    regions = fold_regions(inputs, widths)
    assert found.regions.value == regions
    if widths[-1] > inputs + 1:
        assert found.linear.value == regions
    assert montufar_lower(inputs, widths) <= regions <= region_bound(network).limit == serra_upper(inputs, widths)
    patterns = Counter(map(bytes, found.found.signs[-1][:, -widths[-1] :]))
    assert len(patterns) == zaslavsky(inputs, widths[-1])
    assert set(patterns.values()) == {fold_boxes(inputs, widths[:-1])}


def test_counts_by_sampling():
    """Sign patterns of 360,000 points, an independent lower count: widths 2-4-4-4-1 have 176."""
    network = fold_network(2, (4, 4, 4))
    grid = (np.arange(600) + 0.5 + 1 / np.pi) / 601
    y = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    code = np.zeros(len(y), dtype=np.int64)
    for layer in network.layers[:-1]:
        z = layer.terms[0][1].apply(y) + np.asarray(layer.bias, dtype=float)
        for column in z.T:
            code = 2 * code + (column > 0)
        y = np.maximum(z, 0)
    assert len(np.unique(code)) == 176 == fold_regions(2, (4, 4, 4))


def test_all_of_space_has_at_least_as_many():
    for inputs, widths in ((2, (4, 4, 4)), (1, (3, 3, 3))):
        network = fold_network(inputs, widths)
        wide = exact_cells(network, Box([-9] * inputs, [9] * inputs)).f_vector()[-1]
        assert fold_regions(inputs, widths) <= wide <= serra_upper(inputs, widths)


def test_the_formula_never_leaves_the_bounds():
    for inputs, layers in itertools.product(range(1, 6), range(1, 4)):
        for widths in itertools.product(range(inputs, 13, 3), repeat=layers):
            regions = fold_regions(inputs, widths)
            assert montufar_lower(inputs, widths) <= regions <= serra_upper(inputs, widths)
            if all(width % inputs == 0 for width in widths[:-1]):
                assert regions == montufar_lower(inputs, widths)
    assert fold_regions(5, (9, 9, 9)) == 2**8 * 382
    assert fold_boxes(3, (7, 7)) == prod((3, 2, 2)) ** 2


def test_weights_are_exact():
    """Integers but for the output, whose weights are powers of 2: what is stored in float64 is what is meant."""
    network = fold_network(3, (24, 24, 24))
    for layer in network.layers[:-1]:
        values = layer.terms[0][1].entries()[2]
        assert all(Fraction(v).denominator == 1 and abs(v) < 2**53 for v in [*values, *layer.bias_values()])
    weights = sorted(Fraction(v) for v in network.layers[-1].terms[0][1].entries()[2])
    assert weights == [Fraction(2) ** (i - 24) for i in range(1, 25)]


def test_too_narrow():
    for call in (lambda: fold_map(3, (2,)), lambda: fold_network(2, (1, 4)), lambda: fold_boxes(2, (1,))):
        with pytest.raises(DomainError, match="one for each input"):
            call()
    for widths in ((), (4, 0)):
        with pytest.raises(DomainError, match="Give at least one"):
            fold_network(2, widths)
