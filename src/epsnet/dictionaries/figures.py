"""Pictures of N-term approximation: an image rebuilt from few atoms of several dictionaries, and the error by terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.dictionaries.dictionary import Dictionary
from epsnet.dictionaries.n_term import psnr, squared_errors, threshold
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def n_term_figure(
    image: ArrayLike, dictionaries: Sequence[Dictionary], terms: int, counts: Sequence[int], *, peak: float = 255.0
) -> Figure:
    """Draw an image, its N-term approximations, and below them the curves of the signal-to-noise ratio.

    Args:
        image: (n, m), of the shape of every dictionary.
        dictionaries: one or more.
        terms: N of the images.
        counts: the numbers of terms of the curves.
        peak: the largest value of an image, for `psnr`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: nothing to draw, or the image does not fit a dictionary.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    image = np.asarray(image, dtype=np.float64)
    if not dictionaries or not counts or image.ndim != 2:
        raise DomainError("There is no picture of this. Give an image, a dictionary and numbers of terms.")
    columns = len(dictionaries) + 1
    figure = Figure(figsize=(max(3.0 * columns, 6.0), 6.4), layout="constrained")
    grid = figure.add_gridspec(2, columns)
    shown = [("image", image)]
    for dictionary in dictionaries:
        part = threshold(dictionary, image, terms).signal()
        ratio = float(psnr(np.mean((part - image) ** 2), peak))
        shown.append((f"{dictionary.name}, N = {terms:,}: {ratio:.2f} dB", part))
    for column, (title, part) in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(part, cmap="gray", vmin=image.min(), vmax=image.max(), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9)
    draw_curves(figure.add_subplot(grid[1, :]), image, dictionaries, counts, peak=peak)
    return figure


def draw_curves(
    axes: Any, image: ArrayLike, dictionaries: Sequence[Dictionary], counts: Sequence[int], *, peak: float = 255.0
) -> None:
    """Draw the peak signal-to-noise ratio of the N-term approximation against N."""
    colors = [COLORS[name] for name in ("blue", "orange", "green", "purple", "gray")]
    for number, dictionary in enumerate(dictionaries):
        ratios = psnr(squared_errors(dictionary, image, counts), peak)
        axes.plot(counts, ratios, marker="o", markersize=4, color=colors[number % len(colors)], label=dictionary.name)
    axes.set_xscale("log")
    axes.set(xlabel="terms N", ylabel="PSNR in dB")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
