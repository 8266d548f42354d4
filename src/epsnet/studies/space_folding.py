r"""Study: how many regions does a deep network identify by folding space onto itself?

**Theorem** (Montufar, Pascanu, Cho, Bengio). Let layers fold the unit cube of R^d: with p neurons for a coordinate, a
layer maps p intervals onto [0, 1]. Then prod_l prod_i p_{l,i} boxes are mapped onto the cube, and each of the
sum_{j<=d} C(n_L, j) regions of the last layer appears once in every box. So k layers with 2d neurons, which fold each
coordinate in two, identify 2^(dk) boxes.

**Why.** On every box the folding is an affine bijection to the cube; layers compose, so the numbers multiply. The last
layer sees only the image, so what it draws there is drawn into every box, reflected: figure 2 of the paper.

Source: G. Montufar, R. Pascanu, K. Cho, Y. Bengio, On the number of linear regions of deep neural networks, NIPS 2014,
section 3, figure 2 and theorem 4.

**What is measured.** The activation regions and the linear regions of `fold_network` in the unit cube are PROVED by the
rule `cells` of the checker, from a list of all faces; that no network of these widths has more, by `region_bounds`.
Grouping the regions by the signs of the neurons of the last layer is exact, but no rule re-derives it: how many are
identified counts as ESTIMATED.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.checker.kernel import check_certificate
from epsnet.core.calculus import compose
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.enclosure.subdivision import exact_cells
from epsnet.experiments import Estimate, Finished
from epsnet.geometry.bounds import montufar_lower, region_bound, zaslavsky
from epsnet.geometry.extremal import fold_boxes, fold_map, fold_network
from epsnet.geometry.figures import draw_regions, fold_groups
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LAST = {1: 3, 2: 4, 3: 4}
"""The neurons of the last layer by dimension, in the networks that fold each coordinate in two."""

_OTHERS = ((2, (6, 5, 4)), (2, (4, 6, 6)), (1, (3, 3, 3, 3)), (3, (7, 4)), (4, (6, 5)))
_REGIONS_PER_SECOND = 1000
_LINES = ([[5, -10], [-12, -20], [10, -2], [3, -20], [20, 5]], [2, 17, -3, 14, -15])
"""The lines that the last layer of the picture draws into the square."""

_POINT = (0.62, 0.28)
"""The point whose preimages are marked."""

_WAVE = (2, 2, 2)


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return networks that fold more and more often in two, and some others, as the budget allows."""
    del seed
    shapes = [(d, (2 * d,) * k + (last,), k) for k in range(1, 16) for d, last in _LAST.items()]
    shapes += [(d, widths, None) for d, widths in _OTHERS]
    planned = []
    for inputs, widths, folds in sorted(shapes, key=lambda shape: _predicted(*shape[:2])):
        budget -= 3.0 ** (inputs - 2) * _predicted(inputs, widths) / _REGIONS_PER_SECOND
        if budget < 0:
            break
        planned.append({"inputs": inputs, "widths": list(widths), "folds": folds})
    return planned


def _predicted(inputs: int, widths: Sequence[int]) -> int:
    return fold_boxes(inputs, widths[:-1]) * zaslavsky(inputs, widths[-1])


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the regions in the unit cube, how many share the signs of the last layer, and Montufar's and the most."""
    inputs, widths = case["inputs"], case["widths"]
    network = fold_network(inputs, widths)
    cube = _cube(inputs)
    bound = region_bound(network, cube)
    check_certificate(network, Certificate.of((bound,)))
    found = certify_cells(network, cube)
    check_certificate(network, found.certificate)
    groups = Counter(fold_groups(found.found, widths[-1]))
    return {
        "regions": int(found.regions.value),
        "linear": int(found.linear.value),
        "identified": [min(groups.values()), max(groups.values())],
        "montufar": montufar_lower(inputs, widths),
        "most": bound.value,
        "kind": found.regions.kind.value,
    }


def _cube(inputs: int) -> Box:
    return Box([0] * inputs, [1] * inputs)


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the regions, and the regions with equal signs in the last layer, with the formulas."""
    comparisons = []
    for case in finished:
        inputs, widths, result = case.inputs["inputs"], case.inputs["widths"], case.result
        boxes = fold_boxes(inputs, widths[:-1])
        regions = boxes * zaslavsky(inputs, widths[-1])
        for quantity, values, predicted in (
            ("regions", [result["regions"]] * 2, regions),
            ("linear", [result["linear"]] * 2, regions),
            ("identified", result["identified"], boxes),
        ):
            measured = Estimate(float(values[0]), float(values[0]), float(values[1]))
            answer = judge(measured, float(predicted), 0.0)
            kind = Kind.ESTIMATED.value if quantity == "identified" else result["kind"]
            comparisons.append(Comparison(_name(case), quantity, measured, "==", float(predicted), 0.0, kind, answer))
    wrong = [c.subject for c in comparisons if c.answer != "holds"]
    wrong += [_name(c) for c in finished if not c.result["montufar"] <= c.result["regions"] <= c.result["most"]]
    if wrong:
        return Analysis(tuple(comparisons), Verdict("contradicts", f"{', '.join(dict.fromkeys(wrong))} is off."))
    if not finished:
        return Analysis((), Verdict("undecided", "nothing was measured."))
    largest = max(finished, key=lambda case: case.result["regions"])
    verdict = Verdict(
        "holds",
        f"all {len(finished)} networks have exactly the regions of the formula; {_name(largest)} has "
        f"{largest.result['regions']:,}, each of which {largest.result['identified'][0]:,} boxes share.",
    )
    gain = max(finished, key=lambda case: case.result["regions"] / case.result["montufar"])
    remark = (
        f"dealing out the neurons that are left over gives {_name(gain)} {gain.result['regions']:,} regions; the "
        f"published number is {gain.result['montufar']:,}"
    )
    return Analysis(tuple(comparisons), verdict, (remark,))


def _name(case: Finished) -> str:
    """Return inputs and widths, such as 2-4^3 for two inputs and three layers of four neurons."""
    widths = [f"{w}^{len(list(own))}" for w, own in groupby(case.inputs["widths"])]
    return "-".join([str(case.inputs["inputs"]), *(text.removesuffix("^1") for text in widths)])


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw what is folded onto what: in the plane, region by region, and on the line; then the numbers."""
    figure = new_figure((11.0, 7.2))
    grid = figure.subplot_mosaic([["2", "1", "0"], ["wave", "wave", "count"]], height_ratios=(1.25, 1))
    top = Network.from_layers([_LINES, ([[1] * len(_LINES[1])], [0])])
    for folds, title in enumerate(("after two folds: the last layer", "after one fold", "the input")):
        axes = grid[str(folds)]
        cells = exact_cells(compose(top, fold_map(2, (4,) * folds)), _cube(2))
        draw_regions(axes, cells, fold_groups(cells, len(_LINES[1])))
        for depth in range(1, folds + 1):
            for i in range(1, 2**depth, 2):
                for draw_line in (axes.axvline, axes.axhline):
                    draw_line(i / 2**depth, color="black", linewidth=2.4 / depth)
        x, y = np.meshgrid(*(_preimages(value, folds) for value in _POINT))
        axes.plot(x, y, "o", color="black", markersize=3.5)
        axes.set_title(f"{title}\n{len(cells.boundary[2])} regions, {4**folds} of each color", fontsize=10)
    _draw_wave(grid["wave"])
    _draw_counts(grid["count"], finished)
    finish(figure, analysis.verdict.answer)
    for folds in range(3):
        grid[str(folds)].grid(visible=False)
    return figure


def _preimages(value: float, folds: int) -> list[float]:
    """Return the points that so many folds in two map to the value."""
    count = 2**folds
    return [(i + (value if i % 2 == 0 else 1 - value)) / count for i in range(count)]


def _draw_wave(axes: Any) -> None:
    x = np.linspace(0, 1, 2 ** (len(_WAVE) + 4) + 1)
    for depth in range(len(_WAVE) + 1):
        style = STYLES[depth]
        y = realize(fold_map(1, _WAVE[:depth]), x[:, None])[:, 0]
        axes.plot(x, y, color=style.color, linewidth=1.4, label=f"{depth} folds" if depth != 1 else "1 fold")
    height = 0.3
    places = _preimages(height, len(_WAVE))
    axes.axhline(height, color="black", linewidth=0.8, linestyle=":")
    axes.plot(places, [height] * len(places), "o", color="black", markersize=4)
    axes.set(xlabel="$x$", ylabel="folded $x$", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"on the line: {len(_WAVE)} folds identify {len(places)} points", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _draw_counts(axes: Any, finished: Sequence[Finished]) -> None:
    for style, d in zip(STYLES, _LAST, strict=False):
        own = [case for case in finished if case.inputs["inputs"] == d and case.inputs["folds"]]
        k = np.array([0, *(case.inputs["folds"] for case in own)])
        axes.semilogy(k, 2.0 ** (d * k), color=style.color, linewidth=1)
        axes.semilogy(k[1:], [case.result["identified"][1] for case in own], style.marker, color=style.color,
                      markersize=5, label=f"$d={d}$")  # fmt: skip
    axes.set(xlabel="layers $k$ that fold each coordinate in two", ylabel="regions identified")
    axes.set_title("exact counts and $2^{dk}$", fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)


STUDY = Study(
    name="space-folding",
    claim="Layers that fold each of d coordinates in two, with 2d neurons, identify 2^(dk) boxes after k layers, so a "
    "last layer with n neurons has 2^(dk) sum_{j<=d} C(n, j) regions; other widths give the product of their folds.",
    source="G. Montufar, R. Pascanu, K. Cho, Y. Bengio, On the number of linear regions of deep neural networks, NIPS "
    "2014, section 3, figure 2 and theorem 4",
    rule="For every network the regions in the unit cube, counted in rational arithmetic, are as many as the formula "
    "says, every sign pattern of the last layer occurs once in each box, and the number lies between Montufar's lower "
    "bound and the PROVED upper bound; anything else contradicts.",
    budget=20,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
