"""Pictures of N-term approximation: an image rebuilt from few atoms of several dictionaries, and the error by terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.dictionaries.dictionary import Dictionary, Expansion
from epsnet.dictionaries.n_term import psnr, squared_errors, threshold
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Method = Callable[[Dictionary, ArrayLike, int], Expansion]
"""An N-term approximation, such as `threshold`."""


def n_term_figure(
    image: ArrayLike,
    dictionaries: Sequence[Dictionary],
    terms: int,
    counts: Sequence[int],
    *,
    peak: float = 255.0,
    method: Method = threshold,
) -> Figure:
    """Draw an image, its N-term approximations, and below them the curves of the signal-to-noise ratio.

    Args:
        image: (n, m), of the shape of every dictionary.
        dictionaries: one or more.
        terms: N of the images.
        counts: the numbers of terms of the curves.
        peak: the largest value of an image, for `psnr`.
        method: how terms are chosen; the largest coefficients of a frame repeat each other (`thresholding_pursuit`).

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: nothing to draw, or the image does not fit a dictionary.
    """
    image = np.asarray(image, dtype=np.float64)
    if not dictionaries or not counts or image.ndim != 2:
        raise DomainError("There is no picture of this. Give an image, a dictionary and numbers of terms.")
    columns = len(dictionaries) + 1
    figure = _new_figure((max(3.0 * columns, 6.0), 6.4))
    grid = figure.add_gridspec(2, columns)
    shown = [("image", image)]
    for dictionary in dictionaries:
        part = method(dictionary, image, terms).signal()
        ratio = float(psnr(np.mean((part - image) ** 2), peak))
        shown.append((f"{dictionary.name}, N = {terms:,}: {ratio:.2f} dB", part))
    for column, (title, part) in enumerate(shown):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(part, cmap="gray", vmin=image.min(), vmax=image.max(), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9)
    draw_curves(figure.add_subplot(grid[1, :]), image, dictionaries, counts, peak=peak, method=method)
    return figure


def draw_curves(
    axes: Any,
    image: ArrayLike,
    dictionaries: Sequence[Dictionary],
    counts: Sequence[int],
    *,
    peak: float = 255.0,
    method: Method = threshold,
) -> None:
    """Draw the peak signal-to-noise ratio of the N-term approximation against N; arguments as for `n_term_figure`."""
    image = np.asarray(image, dtype=np.float64)
    for number, dictionary in enumerate(dictionaries):
        errors = (
            squared_errors(dictionary, image, counts)
            if method is threshold
            else [np.mean((method(dictionary, image, count).signal() - image) ** 2) for count in counts]
        )
        ratios = psnr(errors, peak)
        axes.plot(counts, ratios, marker="o", markersize=4, color=_color(number), label=dictionary.name)
    axes.set_xscale("log")
    axes.set(xlabel="terms N", ylabel="PSNR in dB")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def bits_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, entropy: tuple[str, ArrayLike, ArrayLike] | None = None
) -> Figure:
    """Draw the error against the bits of codes; arguments as for `draw_bits`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: there is no curve.
    """
    figure = _new_figure((6.0, 4.2))
    if not curves:
        raise DomainError("There is no picture of this. Give at least one code.")
    draw_bits(figure.add_subplot(), curves, entropy=entropy)
    return figure


def draw_bits(
    axes: Any,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    entropy: tuple[str, ArrayLike, ArrayLike] | None = None,
) -> None:
    """Draw the error against the bits of codes, and the line that no code of a whole class can cross.

    Args:
        axes: of matplotlib.
        curves: name -> (bits, errors), any number of codes.
        entropy: the line: its label, bits and errors.
    """
    for number, (name, (bits, errors)) in enumerate(curves.items()):
        axes.loglog(bits, errors, marker="o", markersize=4, color=_color(number), label=name)
    if entropy is not None:
        label, bits, errors = entropy
        axes.loglog(bits, errors, color=COLORS["gray"], linewidth=1, linestyle="--", label=label)
    axes.set(xlabel="bits", ylabel="error")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _new_figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    return Figure(figsize=size, layout="constrained")


def _color(number: int) -> str:
    names = ("blue", "orange", "green", "purple", "gray")
    return COLORS[names[number % len(names)]]
