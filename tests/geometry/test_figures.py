"""Pictures of networks of two variables: areas, colors and lines against exact cells and evaluations."""

from __future__ import annotations

import numpy as np
import pytest

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.core.bends import bending
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.enclosure.subdivision import exact_cells
from epsnet.geometry.extremal import fold_network
from epsnet.geometry.figures import (
    draw_bends,
    draw_level,
    draw_regions,
    fold_groups,
    partition_figure,
)

SQUARE = Box([0, 0], [1, 1])
FOLD = fold_network(2, (4, 4))
RIDGE = Network.from_layers([([[1.0, 1.0], [1.0, 0.0]], [-1.0, -0.25]), ([[1.0, -2.0]], [0.0])])


def area(polygon):
    x, y = polygon[:, 0], polygon[:, 1]
    return 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def drawn(draw, *arguments):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw(axes, *arguments)
    return axes


@pytest.mark.parametrize("network", [FOLD, RIDGE], ids=["fold", "ridge"])
def test_regions_tile_the_square(network):
    cells = exact_cells(network, SQUARE)
    (collection,) = drawn(draw_regions, cells).collections
    polygons = [path.vertices[:-1] for path in collection.get_paths()]
    assert len(polygons) == cells.f_vector()[2]
    assert sum(map(area, polygons)) == pytest.approx(1, abs=1e-12)


def test_neighbors_differ_in_color():
    cells = exact_cells(RIDGE, SQUARE)
    (collection,) = drawn(draw_regions, cells).collections
    colors = [tuple(color) for color in collection.get_facecolors()]
    for a, first in enumerate(cells.boundary[2]):
        for b, second in enumerate(cells.boundary[2][:a]):
            if set(first) & set(second):
                assert colors[a] != colors[b]


def test_what_is_folded_onto_one_region_has_one_color():
    cells = exact_cells(FOLD, SQUARE)
    groups = fold_groups(cells, 4)
    assert sorted(set(groups)) == list(range(11))
    assert all(groups.count(group) == 4 for group in range(11))
    (collection,) = drawn(draw_regions, cells, groups).collections
    colors = [tuple(color) for color in collection.get_facecolors()]
    assert len(set(colors)) == 11
    # Mirror images in x_1 = 1/2 and x_2 = 1/2 have the same color.
    middle = {tuple(path.vertices[:-1].mean(axis=0).round(9)): color
              for path, color in zip(collection.get_paths(), colors, strict=True)}  # fmt: skip
    for (x, y), color in middle.items():
        assert middle[round(1 - x, 9), y] == middle[x, round(1 - y, 9)] == color


def test_bends_lie_on_zero_sets():
    cells = exact_cells(RIDGE, SQUARE)
    layers = [layer for layer, _ in bending(RIDGE)]
    (collection,) = drawn(draw_bends, cells, layers).collections
    ends = np.concatenate([path.vertices for path in collection.get_paths()])
    z = ends @ np.array([[1.0, 1.0], [1.0, 0.0]]).T + [-1.0, -0.25]
    assert np.abs(z).min(axis=1).max() == 0
    lengths = sum(np.linalg.norm(np.diff(path.vertices, axis=0)) for path in collection.get_paths())
    assert lengths == pytest.approx(np.sqrt(2) + 1)


def test_a_neuron_that_is_flat_is_no_line():
    """The second layer sees 0 where x_1 < 1/2: its argument is 0 there, and bends nowhere but at x_1 = 1/2."""
    flat = Network.from_layers([([[1.0, 0.0], [0.0, 1.0]], [-0.5, -0.5]), ([[1.0, 0.0]], [0.0]), ([[1.0]], [0.0])])
    cells = exact_cells(flat, SQUARE)
    collections = drawn(draw_bends, cells, [layer for layer, _ in bending(flat)]).collections
    lengths = {
        c.get_label(): sum(np.linalg.norm(np.diff(p.vertices, axis=0)) for p in c.get_paths()) for c in collections
    }
    assert lengths == {"layer 1": pytest.approx(2), "layer 2": 0}


def test_level_set():
    level = 0.125
    cells = exact_cells(RIDGE, SQUARE, level=level)
    (collection,) = drawn(draw_level, cells).collections
    ends = np.concatenate([path.vertices for path in collection.get_paths()])
    assert np.abs(realize(RIDGE, ends)[:, 0] - level).max() < 1e-15
    # On all of x_1 <= 1/4, x_1 + x_2 <= 1 the output is 0: a level set with an inside.
    axes = drawn(draw_level, exact_cells(RIDGE, SQUARE, level=0))
    assert sum(area(patch.get_xy()[:-1]) for patch in axes.patches) == pytest.approx(1 / 4 - 1 / 32)


@pytest.mark.parametrize(
    ("network", "level", "panels"),
    [
        (FOLD, None, 3),
        (RIDGE, "1/8", 3),
        (Network.from_layers([(np.eye(2), [0.0, 0.0]), (np.eye(2), [0.0, 0.0])]), None, 2),
        (Network.from_layers([([[1.0, 1.0]], [5.0]), ([[0.0]], [1.0])]), 0, 3),
    ],
    ids=["fold", "level", "two outputs", "constant"],
)
def test_figure(network, level, panels, tmp_path):
    figure = partition_figure(network, SQUARE, level=level)
    figure.savefig(tmp_path / "figure.svg")
    assert sum(axes.get_xlabel() == "$x_1$" for axes in figure.axes) == panels
    assert figure.axes[0].get_title() == f"{exact_cells(network, SQUARE).f_vector()[2]} activation regions"


def test_other_dimensions_are_refused():
    with pytest.raises(DomainError, match="A picture needs 2"):
        partition_figure(fold_network(3, (3, 4)), Box([0] * 3, [1] * 3))
