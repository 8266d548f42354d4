"""Pictures of effective rates: error against bits with the entropy line, below which no learner gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.errors import MissingExtraError
from epsnet.dictionaries.effective_rate import EffectiveRate
from epsnet.dictionaries.entropy import entropy_line
from epsnet.dictionaries.model_classes import ModelClass
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 24


def rate_figure(measured: EffectiveRate, model_class: ModelClass) -> Figure:
    """Draw the measured errors against bits, and the entropy line of the class.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    draw_rate(axes, measured, model_class, COLORS["blue"], "o")
    axes.set_title(f"{measured.name}: rate {measured.bit_rate.value:.2f}, at most {measured.optimal_rate:.3g}")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_rate(axes: Any, measured: EffectiveRate, model_class: ModelClass, color: str, marker: str) -> None:
    """Draw the points and the line of one class on logarithmic axes."""
    axes.loglog(
        measured.bits, measured.errors, marker + "-", color=color, markersize=4, linewidth=0.8, label=measured.name
    )
    bits = np.unique(np.geomspace(measured.bits[0], measured.bits[-1], _POINTS).round().astype(np.int64))
    line = np.array([entropy_line(model_class, count) for count in bits.tolist()])
    axes.loglog(bits[line > 0], line[line > 0], "--", color=color, linewidth=1)
    axes.set(xlabel="bits", ylabel="largest error over the members")
