"""The geometry of a network in an inspection: slices, exact values, comparison, the page and the folder."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import epsnet as en
from epsnet.certify.bound import Kind
from epsnet.checker.kernel import check
from epsnet.geometry.slices import coordinate_slice, plane_slice
from epsnet.inspection import geometry as module
from epsnet.inspection.compare import compare
from epsnet.inspection.page import inspection_page
from epsnet.inspection.subject import sliced

SQUARE = en.Box((-1, -1), (1, 1))


def net(widths, seed, dtype=np.float64):
    """Return the network that research/geometry_identification.md calls NET(widths, seed), its weights rounded."""
    rng = np.random.default_rng(seed)
    layers = []
    for i, o in pairwise(widths):
        weight = rng.standard_normal((o, i)) * np.sqrt(2 / i)
        layers.append((weight.astype(dtype).astype(float), rng.uniform(-1, 1, o).astype(dtype).astype(float)))
    return en.Network.from_layers(layers)


def test_cells_are_in_the_certificate(tmp_path):
    found = en.inspect(net([2, 8, 8, 1], 1), on=SQUARE, cells=True, level=0)
    assert found.geometry is not None
    assert (found.geometry.cells[-1], found.geometry.kind) == (27, Kind.PROVED)
    en.save_statements(found.statements, tmp_path)
    claims = {bound.quantity: bound.value for bound in check(tmp_path).checked}
    assert claims["activation regions"] == 27
    assert {"lipschitz", "maximum of output 0", "Betti number 0 of {Phi >= 0}"} <= set(claims)
    assert "activation regions  27   PROVED" in str(found)
    assert found.to_json()["geometry"]["cells"][-1] == 27


def test_exact_values_bracket_what_is_sampled():
    network = net([2, 8, 8, 1], 4)
    found = en.inspect(network, on=SQUARE, cells=True).geometry
    points = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    values = en.realize(network, points)[:, 0]
    low, high = found.ranges.minima[0].lower.value, found.ranges.maxima[0].upper.value
    assert low <= values.min() <= low + 0.1
    assert high - 0.1 <= values.max() <= high
    steps = np.random.default_rng(1).uniform(-1e-3, 1e-3, points.shape)
    moved = np.clip(points + steps, -1, 1)
    slopes = np.abs(en.realize(network, moved)[:, 0] - values) / np.abs(moved - points).max(axis=1)
    assert 0.8 * found.lipschitz[1].value <= slopes.max() <= found.lipschitz[1].value * (1 + 1e-9)


def test_many_cells_are_only_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_EXACT", 50)
    found = en.inspect(net([2, 8, 8, 1], 1), on=SQUARE, cells=True).geometry
    assert (found.cells[-1], found.kind) == (27, Kind.ESTIMATED)
    assert found.ranges is None
    assert "ESTIMATED" in str(found)


def test_many_inputs_need_a_slice():
    network = net([8, 6, 1], 0)
    with pytest.raises(en.HypothesisError, match="slice"):
        en.inspect(network, on=en.Box(-1, 1), cells=True)
    plane, rectangle = coordinate_slice(network, en.Box([-1] * 8, [1] * 8), (2, 5))
    assert en.inspect(plane, on=rectangle, cells=True).geometry.cells[-1] > 1


def test_slices_are_exact():
    network = net([5, 7, 2], 3)
    points = np.random.default_rng(5).uniform(-1, 1, (3, 5))
    plane = plane_slice(network, points)
    corners = [(0, 0), (1, 0), (0, 1)]
    from epsnet.core.realize import realize_exact

    for corner, point in zip(corners, points, strict=True):
        assert realize_exact(plane, corner) == realize_exact(network, [Fraction(x) for x in point.tolist()])
    other, rectangle = coordinate_slice(network, en.Box([0] * 5, [1] * 5), (4, 1))
    half = Fraction(1, 2)
    assert realize_exact(other, (1, 0)) == realize_exact(network, (half, 0, half, half, 1))
    assert rectangle == en.Box((0, 0), (1, 1))
    with pytest.raises(en.DomainError, match="line"):
        plane_slice(network, [points[0], points[1], (points[0] + points[1]) / 2])
    with pytest.raises(en.DomainError, match="two different"):
        coordinate_slice(network, en.Box([0] * 5, [1] * 5), (1, 1))


@pytest.mark.parametrize("text", ["", "1", "a,b", "1,2,3,4", "0,1,2", "0,9"])
def test_bad_slices_are_named(text):
    with pytest.raises(en.DomainError, match=r"slice|data|inputs"):
        sliced(net([5, 7, 2], 3), text, None, None)


def test_small_networks_are_compared_exactly(tmp_path):
    """G8: 10^6 samples give 0.00101743 only."""
    exact, rounded = net([2, 16, 16, 1], 2), net([2, 16, 16, 1], 2, np.float16)
    found = compare(rounded, exact, SQUARE)
    assert found.lower.exact == found.upper.exact
    assert found.upper.value == pytest.approx(0.00101776000130836, rel=1e-12)
    assert found.point == pytest.approx([1, 0.11690064], abs=1e-8)
    en.save_solution(found.solution, tmp_path)
    assert check(tmp_path).error.value == found.upper.value


def test_other_networks_are_compared_by_branch_and_bound():
    one, two = net([3, 8, 8, 1], 2), net([3, 8, 8, 1], 2, np.float16)
    found = compare(one, two, en.Box(-1, 1), gap=0.5)
    assert found.complete
    assert found.lower.value <= found.upper.value <= 1.5 * found.lower.value
    points = np.random.default_rng(0).uniform(-1, 1, (10_000, 3))
    assert np.abs(en.realize(one, points) - en.realize(two, points)).max() <= found.upper.value
    check(found.solution)


@pytest.mark.parametrize("inputs", [2, 3])
def test_the_page_shows_the_cells(inputs):
    pytest.importorskip("matplotlib")
    network = net([inputs, 5, 1], 1)
    text = inspection_page(en.inspect(network, on=en.Box(-1, 1), cells=True, level=0), "net")
    assert "Cells, exact values and topology" in text
    assert ('class="turntable"' in text) == (inputs == 3)


def test_the_page_of_a_network_beyond_float64_is_short():
    pytest.importorskip("matplotlib")
    huge = en.scale(Fraction(10) ** 400, net([1, 3, 1], 0))
    text = inspection_page(en.inspect(huge, on=en.Box(-1, 1)), "huge")
    assert "Only counted" in text
