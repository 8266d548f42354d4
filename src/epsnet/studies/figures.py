"""What the figures of all studies share: size, colors that color-blind readers can tell apart, the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from epsnet.certify.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Style(NamedTuple):
    """Color and marker of one curve."""

    color: str
    marker: str


# The palette of M. Okabe and K. Ito, Color universal design, 2008.
STYLES = tuple(
    map(
        Style,
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
        ("o", "s", "^", "D", "v", "P", "X"),
    )
)
GRAY = "#666666"


def new_figure(size: tuple[float, float]) -> Figure:
    """Return an empty figure of this size in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    return Figure(figsize=size, layout="constrained")


def finish(figure: Figure, answer: str) -> Figure:
    """Give all axes the common look and write the verdict below them."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    figure.supxlabel(f"verdict: {answer}", fontsize=10, color=GRAY)
    return figure
