"""A picture of risk bounds beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from epsnet.certify.rounding import decimal_text
from epsnet.report.page import COLORS


def draw_bounds(
    axes: Any, bounds: Mapping[str, float], *, guessing: float, truth: float | None = None, label: str = "true risk"
) -> None:
    """Draw one bar for each bound on a logarithmic axis, the best on top; pale ones are vacuous.

    Args:
        axes: matplotlib axes.
        bounds: name -> value, at least one.
        guessing: the risk of guessing a class; a bound that is not below it is vacuous.
        truth: the risk, or an estimate of it, drawn as a line.
        label: what the line is.
    """
    names = sorted(bounds, key=lambda name: bounds[name])
    places, values = np.arange(len(names))[::-1], np.array([bounds[name] for name in names])
    floor = 0.5 * min(values.min(), truth or 1.0, guessing)
    for chosen, color, alpha, name in (
        (values < guessing, COLORS["blue"], 0.85, "upper bound"), (values >= guessing, COLORS["gray"], 0.35, "vacuous"),
    ):  # fmt: skip
        if chosen.any():
            axes.barh(places[chosen], values[chosen] - floor, 0.6, floor, color=color, alpha=alpha, label=name)
    for place, value in zip(places, values, strict=True):
        axes.text(1.08 * value, place, decimal_text(float(value), up=True, digits=3), va="center", fontsize=8)
    axes.axvline(guessing, color=COLORS["orange"], linestyle="--", linewidth=1.2, label="guessing a class")
    if truth:
        axes.axvline(truth, color=COLORS["green"], linewidth=1.5, label=label)
    axes.set_xscale("log")
    axes.set_xlim(floor, 8 * max(values.max(), guessing))
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlabel("upper bound of the risk")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
