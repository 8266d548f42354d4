"""Pictures of risk decompositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.generalization.risk_decomposition import RiskDecomposition
from epsnet.report.page import COLORS

_PARTS = {"approximation": COLORS["blue"], "estimation": COLORS["orange"], "optimization": COLORS["green"]}


def draw_risk(axes: Any, decompositions: Mapping[str, RiskDecomposition]) -> None:
    """Draw one stacked bar for each decomposition, the estimates, and beside it the intervals of its parts.

    The bar of a network has the height of its share of errors on unused points. To the right of it stands one line
    for each part, from the lower to the upper end of its interval; a triangle says that it goes on below the axes.

    Args:
        axes: matplotlib axes.
        decompositions: label -> decomposition, at least one.
    """
    places = np.arange(len(decompositions), dtype=float)
    found = list(decompositions.values())
    positive, negative = np.zeros(len(found)), np.zeros(len(found))
    top = 100 * max(max(part.high for part in (*one.parts, one.risk)) for one in found) or 1.0
    floor = -0.3 * top
    for offset, (name, color) in enumerate(_PARTS.items()):
        parts = [getattr(one, name) for one in found]
        heights = 100 * np.array([part.estimate for part in parts])
        # Estimates that are negative by chance hang below zero, so that the rest keeps its height.
        base = np.where(heights >= 0, positive, negative)
        axes.bar(places - 0.15, heights, 0.45, bottom=base, color=color, alpha=0.8, label=f"{name}, ESTIMATED")
        positive, negative = positive + np.maximum(heights, 0), negative + np.minimum(heights, 0)
        low, high = (100 * np.array([getattr(part, end) for part in parts]) for end in ("low", "high"))
        label = "intervals of the parts, same colors" if offset == 0 else None
        x = places + 0.16 + 0.1 * offset
        axes.vlines(x, np.maximum(low, floor), high, color=color, linewidth=2, label=label)
        axes.plot(x[low < floor], np.full((low < floor).sum(), floor), "v", color=color)
    axes.axhline(0, color=COLORS["gray"], linewidth=0.8)
    axes.set_xticks(places, list(decompositions))
    axes.set_ylim(1.1 * floor, 1.1 * top)
    axes.set_ylabel("risk in percent")
    axes.legend(frameon=False, fontsize=8)


def draw_parts(
    axes: Any,
    places: ArrayLike,
    curves: Mapping[str, Sequence[float]],
    measured: Sequence[float],
    means: Mapping[str, Sequence[float]],
) -> None:
    """Draw the exact parts of the excess risk as curves with their sum, and measured means as points.

    Args:
        axes: matplotlib axes.
        places: where the curves have their values.
        curves: approximation, estimation and optimization at these places.
        measured: where the parts were measured.
        means: what was measured there.
    """
    for name, color in _PARTS.items():
        axes.plot(places, curves[name], color=color, label=name)
        axes.plot(measured, means[name], "o", color=color, markersize=4)
    axes.plot(places, np.sum([curves[name] for name in _PARTS], axis=0), color=COLORS["gray"], label="excess risk")
    axes.axhline(0, color=COLORS["gray"], linewidth=0.8)
    axes.legend(frameon=False, fontsize=8)
