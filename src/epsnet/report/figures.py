"""Figures, drawn from a solution alone: the function with its certified band, or the curve of training.

Each `draw_...` draws one picture on matplotlib axes, `draw` puts two of them into a file.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget, Target
from epsnet.report.page import COLORS

_POINTS = 4001
_LONGEST_FORMULA = 34  # characters; a longer one would leave the constrained layout no room for the axes


def draw(solution: Solution, path: str | Path) -> Path:
    """Draw a solution into a file whose suffix gives the format (svg, png, pdf).

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: the suffix names no format.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    figure, path = Figure(figsize=(7.0, 6.0), layout="constrained"), Path(path)
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:] not in formats:
        raise DomainError(
            f"A figure cannot be drawn into {path}. Use one of the suffixes {', '.join(sorted(formats))}."
        )
    if isinstance(solution.target, Target):
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        draw_function(above, solution, solution.target)
        draw_error(below, solution, solution.target)
        title = solution.result
    else:
        above, below = figure.subplots(2, 1, sharex=True)
        draw_losses(above, solution)
        draw_validation(below, solution, solution.target)
        title = f"{solution.target.name}: {solution.result}"
    above.set_xlabel("")
    figure.suptitle(title, fontsize=9, parse_math=False)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def breakpoints(network: Network, low: float, high: float) -> NDArray[np.float64]:
    """Return the points of (low, high) where a network of one variable with one hidden layer bends, sorted, in float64.

    None for activations that are not linear on both half-lines, and for deeper networks.
    """
    hidden = network.layers[0]
    if network.inputs != 1 or len(network.layers) != 2 or any(f.slopes is None for f in hidden.functions()):
        return np.empty(0)
    biases = hidden.bias_values()
    rows, _, weights = hidden.terms[0][1].entries()
    points = np.array([-float(biases[row]) / float(weight) for row, weight in zip(rows, weights, strict=True)])
    return np.unique(points[(points > low) & (points < high)])


def sup_bound(solution: Solution) -> Bound | None:
    """Return the bound of sup |F - Phi| that the error is or follows from, None if there is none."""
    derivation = reversed(solution.error.derivation())
    return next((bound for bound in derivation if (bound.quantity, bound.norm) == ("error", "sup")), None)


def _grid(solution: Solution, target: Target) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = float(target.domain.lower[0]), float(target.domain.upper[0])
    kinks = breakpoints(solution.network, low, high)
    return np.union1d(np.linspace(low, high, _POINTS), kinks), kinks


def draw_function(axes: Any, solution: Solution, target: Target) -> None:
    """Draw F of one variable, Phi, its breakpoints, and the certified tube around F."""
    x, kinks = _grid(solution, target)
    exact, bound = target(x), sup_bound(solution)
    name = target.variables[0]
    text = textwrap.shorten(str(target.expression), _LONGEST_FORMULA, placeholder=" ...")
    if bound is not None:
        tube = (exact - bound.value, exact + bound.value)
        axes.fill_between(x, *tube, color=COLORS["green"], alpha=0.2, linewidth=0)
    axes.plot(x, exact, color=COLORS["blue"], linewidth=3, alpha=0.45, label=f"F({name}) = {text}")
    axes.plot(
        x,
        realize(solution.network, x),
        color=COLORS["orange"],
        linewidth=1.2,
        label=f"Φ, M = {solution.size.weights:,} weights",
    )
    if len(kinks):
        heights, label = realize(solution.network, kinks), f"{len(kinks)} breakpoint{'s' * (len(kinks) > 1)}"
        axes.plot(kinks, heights, "o", color=COLORS["orange"], markersize=3.5, label=label)
    axes.set_xlabel(name)
    _legend(axes)


def draw_error(axes: Any, solution: Solution, target: Target) -> None:
    """Draw F - Phi at sampled points inside the band that is certified for all points."""
    x, _ = _grid(solution, target)
    bound = sup_bound(solution)
    axes.plot(x, target(x) - realize(solution.network, x), color=COLORS["gray"], linewidth=1.0, label="F − Φ, sampled")
    if bound is not None:
        label = f"|F − Φ| ≤ {bound.decimal()}  {bound.kind.value}"
        axes.axhspan(-bound.value, bound.value, color=COLORS["green"], alpha=0.2, linewidth=0, label=label)
        axes.set_ylim(-1.25 * bound.value, 1.25 * bound.value)
    axes.set_xlabel(target.variables[0])
    _legend(axes)


def _legend(axes: Any) -> None:
    """Put the legend above the axes, where it covers no data."""
    axes.legend(
        frameon=False, fontsize=10, loc="lower left", bbox_to_anchor=(-0.02, 1.0), labelspacing=0.3, handlelength=1.6
    )


def _history(solution: Solution) -> NDArray[np.float64]:
    return np.array(solution.stats.get("history", []), dtype=float).reshape(-1, 4).T


def _mark_best(axes: Any, solution: Solution) -> None:
    best = solution.stats.get("best_epoch")
    if best:
        axes.axvline(best, color=COLORS["gray"], linewidth=0.8, linestyle=":", label=f"best epoch {best}")
    axes.set_xlabel("epoch")
    _legend(axes)


def draw_losses(axes: Any, solution: Solution) -> None:
    """Draw the empirical risk on the training and on the validation part against the epoch."""
    from matplotlib.ticker import LogLocator, NullFormatter

    epochs, empirical, validation, _ = _history(solution)
    axes.semilogy(epochs, empirical, color=COLORS["blue"], label="empirical risk, training part")
    axes.semilogy(epochs, validation, color=COLORS["orange"], label="empirical risk, validation part")
    axes.set_ylabel("loss")
    # Powers of ten with small exponents would not be legible on a page 400 pixels wide.
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    _mark_best(axes, solution)


def draw_validation(axes: Any, solution: Solution, target: DataTarget) -> None:
    """Draw the error on the validation part against the epoch, and the bound of the risk for a classification."""
    epochs, _, _, wrong = _history(solution)
    regression, error = target.tolerance is not None, solution.error
    measure = "root mean square error, validation" if regression else "share of wrong labels, validation"
    axes.plot(epochs, wrong, color=COLORS["orange"], label=measure)
    if not regression:
        label = f"risk ≤ {error.decimal()}  {error.kind.value}, confidence {float(1 - error.delta):g}"
        axes.axhline(error.value, color=COLORS["green"], label=label)
        axes.set_ylim(0, max(2 * error.value, 1.1 * float(np.nanmin(wrong))))
    _mark_best(axes, solution)


def draw_residuals(axes: Any, residuals: NDArray[np.float64], tolerance: float) -> None:
    """Draw the distribution of y - Phi(x) over a sample with the tolerance to both sides."""
    axes.axvspan(-tolerance, tolerance, color=COLORS["green"], alpha=0.2, linewidth=0, label=f"± {tolerance:.4g}")
    bins = min(60, 5 + math.isqrt(len(residuals)))
    axes.hist(residuals, bins=bins, color=COLORS["gray"], alpha=0.8, label="y − Φ(x)")
    axes.set_xlabel("residual")
    axes.set_ylabel("points")
    _legend(axes)


def draw_predictions(
    axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], outputs: NDArray[np.float64], tolerance: float
) -> None:
    """Draw the points (x, y) of a sample with Phi and its tolerance; x is the input, or Phi itself for many inputs."""
    order = np.argsort(x, kind="stable")
    x, y, outputs = x[order], y[order], outputs[order]
    axes.fill_between(x, outputs - tolerance, outputs + tolerance, color=COLORS["green"], alpha=0.2, linewidth=0)
    axes.plot(x, outputs, color=COLORS["green"], linewidth=1.2, label=f"Φ ± {tolerance:.4g}")
    off = np.abs(y - outputs) > tolerance
    for chosen, color, label in ((~off, "blue", "within the tolerance"), (off, "orange", "off by more")):
        axes.plot(x[chosen], y[chosen], ".", color=COLORS[color], markersize=4, alpha=0.7, label=label)
    axes.set_ylabel("y")
    _legend(axes)
