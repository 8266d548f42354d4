"""Pictures of a piecewise-linear network of two variables: its regions, its bent lines, its level sets, its folds.

Each `draw_...` draws one picture on matplotlib axes, from the exact cells of the network on a box, whose rational
vertices are rounded last; `partition_figure` puts them side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Box, Real
from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.bends import bending
from epsnet.core.cells import Cells
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.enclosure.subdivision import exact_cells
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

LAYER_COLORS = tuple(COLORS[name] for name in ("blue", "orange", "green", "purple", "gray"))
"""The color of the bent lines of each layer, from the first; they repeat."""

_CONTOURS = 12


def partition_figure(network: Network, domain: Box, *, level: Real | None = None) -> Figure:
    """Draw the activation regions of a network, its bent lines by layer, and for one output its level sets.

    Args:
        network: piecewise linear, with two inputs.
        domain: a rectangle.
        level: of the one output; the set where it is reached, for a classifier the decision boundary, is drawn black.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: the network does not have two inputs.
        HypothesisError: the network is not piecewise linear or has too many regions.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    cells = exact_cells(network, domain, level=level)
    neurons = bending(network)
    panels = 3 if network.outputs == 1 else 2
    figure = Figure(figsize=(4.2 * panels, 4.4), layout="constrained")
    regions, lines, *values = figure.subplots(1, panels)
    whole = cells if level is None else exact_cells(network, domain)
    draw_regions(regions, whole)
    regions.set_title(f"{len(whole.boundary[2]):,} activation regions", fontsize=10)
    draw_bends(lines, whole, [layer for layer, _ in neurons])
    lines.set_title("where neurons change sign, by layer", fontsize=10)
    for axes in values:
        draw_values(axes, network, cells)
        axes.set_title("level sets" if level is None else f"level sets; black: {float(Fraction(level)):g}", fontsize=10)
    if level is not None:
        for axes in (lines, *values):
            draw_level(axes, cells)
    return figure


def draw_regions(axes: Any, cells: Cells, groups: Sequence[int] | None = None) -> None:
    """Draw the regions, colored by the number of active neurons, in which neighbors differ, or by groups.

    Args:
        axes: matplotlib axes.
        cells: of dimension 2.
        groups: a number for each region; equal numbers, equal colors.
    """
    shown = _polygons(cells)
    colors = (cells.signs[2][:, 4:] > 0).sum(axis=1) if groups is None else np.asarray(groups)
    _, numbers = np.unique(colors, return_inverse=True)
    _fill(axes, shown, numbers, "YlGnBu" if groups is None else "Spectral")
    _frame(axes, cells)


def draw_bends(axes: Any, cells: Cells, layers: Sequence[int]) -> None:
    """Draw the edges on which a neuron is 0 in the color of its layer; those of layer 1 are straight lines.

    Args:
        axes: matplotlib axes.
        cells: of dimension 2.
        layers: for each bending neuron the number of its layer, from 1.
    """
    from matplotlib.collections import LineCollection

    edges, neurons = _edges(cells), np.array(layers, dtype=int)
    zero = cells.signs[1][:, 4 : 4 + len(neurons)] == 0
    # A neuron that is 0 on a region next to the edge does not bend there.
    flat = _flat(cells)[:, 4 : 4 + len(neurons)]
    for layer in sorted(set(layers), reverse=True):
        own = (zero & ~flat)[:, neurons == layer].any(axis=1)
        color = LAYER_COLORS[(layer - 1) % len(LAYER_COLORS)]
        axes.add_collection(LineCollection(list(edges[own]), colors=color, linewidths=1.1, label=f"layer {layer}"))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8, loc="upper center", ncols=len(labels),
                bbox_to_anchor=(0.5, -0.14))  # fmt: skip
    _frame(axes, cells)


def draw_values(axes: Any, network: Network, cells: Cells) -> None:
    """Draw the level sets of the one output; it is affine on each region, so they are broken lines."""
    points = _points(cells)
    polygons = _orders(cells)
    triangles = [(order[0], a, b) for order in polygons for a, b in pairwise(order[1:])]
    values = realize(network, points)[:, 0]
    drawn = axes.tricontourf(*points.T, triangles, values, levels=_CONTOURS, cmap="cividis")
    axes.figure.colorbar(drawn, ax=axes, shrink=0.7)
    _frame(axes, cells)


def draw_level(axes: Any, cells: Cells) -> None:
    """Draw the set where the level is reached that the cells were cut at, in black."""
    from matplotlib.collections import LineCollection

    reached = cells.signs[1][:, -1] == 0
    axes.add_collection(LineCollection(list(_edges(cells)[reached]), colors="black", linewidths=2.0))
    flat = cells.signs[2][:, -1] == 0
    for polygon, own in zip(_polygons(cells), flat, strict=True):
        if own:
            axes.fill(*polygon.T, color="black", linewidth=0)


def fold_groups(cells: Cells, neurons: int) -> list[int]:
    """Return a number for each region, equal where the last `neurons` bending neurons have equal signs.

    Regions of one number are folded onto one region of the last layer (of cells that were cut at no level).
    """
    _, groups = np.unique(cells.signs[-1][:, -neurons:], axis=0, return_inverse=True)
    return [int(group) for group in groups.ravel()]


def _points(cells: Cells) -> Floats:
    if cells.dimension != 2:
        raise DomainError(f"The cells have dimension {cells.dimension}. A picture needs 2, such as those of a slice.")
    return np.array([[float(Fraction(int(x.p), int(x.q))) for x in vertex] for vertex in cells.vertices])


def _edges(cells: Cells) -> Floats:
    """Return the two ends of every edge, (f_1, 2, 2)."""
    return _points(cells)[np.array(cells.boundary[1], dtype=int)]


def _orders(cells: Cells) -> list[NDArray[np.int64]]:
    """Return for each region its vertices in the order of its border."""
    points = _points(cells)
    found = []
    for edges in cells.boundary[2]:
        corners = np.unique([cells.boundary[1][edge] for edge in edges])
        x, y = (points[corners] - points[corners].mean(axis=0)).T
        found.append(corners[np.argsort(np.arctan2(y, x))])
    return found


def _polygons(cells: Cells) -> list[Floats]:
    points = _points(cells)
    return [points[order] for order in _orders(cells)]


def _flat(cells: Cells) -> NDArray[np.bool_]:
    """Tell for each edge and column whether the column is 0 on a region next to the edge."""
    flat = np.zeros(cells.signs[1].shape, dtype=bool)
    for region, edges in zip(cells.signs[2], cells.boundary[2], strict=True):
        flat[list(edges)] |= region == 0
    return flat


def _fill(axes: Any, polygons: list[Floats], numbers: NDArray[np.int64], colormap: str) -> None:
    from matplotlib import colormaps
    from matplotlib.collections import PolyCollection

    shades = colormaps[colormap](0.08 + 0.84 * numbers / max(numbers.max(), 1))
    axes.add_collection(PolyCollection(polygons, facecolors=shades, edgecolors="white", linewidths=0.6))


def _frame(axes: Any, cells: Cells) -> None:
    points = _points(cells)
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
