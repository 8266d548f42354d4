"""The section of an inspection's page on the geometry of the network: counts, exact values, pictures of the cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.errors import MissingExtraError
from epsnet.core.bends import bending
from epsnet.core.cells import Cells
from epsnet.core.network import Network
from epsnet.geometry.figures import LAYER_COLORS, draw_bends, draw_level, draw_regions, draw_values
from epsnet.inspection.geometry import Geometry
from epsnet.report.page import (
    Content,
    Markup,
    Section,
    badge,
    columns,
    figure,
    paragraph,
    plot,
    section,
    table,
    turntable,
)

_VIEWS, _PIXELS = 18, 380
_ELEVATION = 22.0
_MOST_DRAWN = 4000


def geometry_section(network: Network, found: Geometry) -> Section:
    """Return the section. MissingExtraError if matplotlib is not installed."""
    rows: list[list[Content]] = [
        ["activation regions", f"{found.cells[-1]:,}", badge(found.kind)],
        ["at most, whatever the weights", f"{found.most.limit.numerator:,}", badge(found.most.kind)],
    ]
    rows += [[f"cells of dimension {k}", f"{count:,}", badge(found.kind)] for k, count in enumerate(found.cells[:-1])]
    if found.linear is not None:
        rows.append(["linear regions", f"{found.linear.limit.numerator:,}", badge(found.linear.kind)])
    if found.ranges is not None:
        for number, (low, high) in enumerate(zip(found.ranges.minima, found.ranges.maxima, strict=True)):
            rows.append([f"smallest value of output {number}", *_shown(low.lower)])
            rows.append([f"greatest value of output {number}", *_shown(high.upper)])
    if found.lipschitz is not None:
        rows.append(["Lipschitz constant in the sup norm", *_shown(found.lipschitz[1])])
    for shape in found.topology:
        numbers = ", ".join(map(str, shape.numbers))
        rows.append([f"Betti numbers of {shape.region}", numbers, badge(shape.betti[0].kind)])
    return section(
        "Cells, exact values and topology",
        paragraph("The neurons cut the box into cells, on each of which the network is affine."),
        _pictures(network, found),
        table(["what", "number", "kind"], rows, numbers=[1]),
    )


def _shown(bound: Bound) -> tuple[Content, Content]:
    return f"{bound.value:.17g}", badge(bound.kind)


def _pictures(network: Network, found: Geometry) -> Content:
    cells = found.found
    if cells is None or sum(found.cells) > _MOST_DRAWN * cells.dimension**2:
        return None
    if cells.dimension == 3:
        words = f"The {len(cells.boundary[2]):,} walls between the cells, colored by the layer that bends there."
        caption = (words, " Move across the picture to turn it. ", badge(Kind.ESTIMATED))
        return figure(turntable(_views(network, found), words), caption)
    if cells.dimension != 2:
        return None
    layers = [layer for layer, _ in bending(network)]
    cut = found.topology[0].cells if found.topology and network.outputs == 1 else None

    def level(axes: Any) -> None:
        if cut is not None:
            draw_level(axes, cut)

    def bends(axes: Any) -> None:
        draw_bends(axes, cells, layers)
        level(axes)

    def values(axes: Any) -> None:
        draw_values(axes, network, cells)
        level(axes)

    parts = [
        _picture("regions", f"{found.cells[-1]:,} activation regions, darker where more neurons are active.",
                 lambda axes: draw_regions(axes, cells)),
        _picture("bends", "Where neurons change sign, by layer.", bends),
    ]  # fmt: skip
    if network.outputs == 1:
        words = "Level sets of the output" + ("." if cut is None else "; black: the level.")
        parts.append(_picture("values", words, values))
    return columns(*parts)


def _picture(name: str, words: str, draw: Any) -> Markup:
    return figure(plot(f"cells-{name}", words, draw, size=(4.6, 4.4)), words)


def _views(network: Network, found: Geometry) -> list[NDArray[np.uint8]]:
    """Return the walls between the cells from all sides."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    assert found.found is not None
    polygons, colors = _walls(found.found, [layer for layer, _ in bending(network)])
    picture = Figure(figsize=(_PIXELS / 100, _PIXELS / 100), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(picture), picture.add_subplot(projection="3d")
    axes.add_collection3d(Poly3DCollection(polygons, facecolors=colors, edgecolors="white", linewidths=0.3, alpha=0.35))
    points = np.concatenate(polygons)
    low, high = points.min(axis=0), points.max(axis=0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]), xlabel="$x_1$", ylabel="$x_2$")
    axes.set_zlabel("$x_3$")
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(3))
    views = []
    for number in range(_VIEWS):
        axes.view_init(elev=_ELEVATION, azim=360 * number / _VIEWS - 60)
        canvas.draw()
        views.append(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
    return views


def _walls(cells: Cells, layers: list[int]) -> tuple[list[NDArray[np.float64]], list[str]]:
    """Return the polygons on which some neuron is 0, corners in cyclic order, and the color of its layer."""
    points = np.array([[float(x.p) / float(x.q) for x in vertex] for vertex in cells.vertices])
    zero = cells.signs[2][:, 2 * cells.dimension :] == 0
    polygons, colors = [], []
    for number in np.flatnonzero(zero.any(axis=1)).tolist():
        ends = [cells.boundary[1][edge] for edge in cells.boundary[2][number]]
        walk = list(ends.pop())
        while len(ends) > 1:
            a, b = ends.pop(next(i for i, pair in enumerate(ends) if walk[-1] in pair))
            walk.append(a if walk[-1] == b else b)
        polygons.append(points[walk])
        colors.append(LAYER_COLORS[(layers[int(zero[number].argmax())] - 1) % len(LAYER_COLORS)])
    return polygons, colors
