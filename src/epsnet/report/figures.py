"""Figures, drawn from a solution alone: the function with its certified band, or the curve of training.

Each `draw_...` draws one picture on matplotlib axes, `draw` puts two of them into a file.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound
from epsnet.certify.errors import DomainError, MissingExtraError, PrecisionError
from epsnet.core.network import Network
from epsnet.core.realize import realize, realize_rounded
from epsnet.core.solution import FunctionTarget, Solution
from epsnet.core.target import DataTarget
from epsnet.report.page import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 4001
_PIXELS = 160
_FEW_POINTS, _FEW_PIXELS = 401, 32
"""Where a network is evaluated by balls, because it means nothing in float64."""
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
    maps = isinstance(solution.target, FunctionTarget) and solution.target.domain.dimension > 1
    figure, path = Figure(figsize=(10.5, 3.8) if maps else (7.0, 6.0), layout="constrained"), Path(path)
    _require_format(figure, path)
    title = solution.result
    if isinstance(solution.target, FunctionTarget) and maps:
        for axes, draw_map in zip(figure.subplots(1, 3), MAPS, strict=True):
            draw_map(axes, solution, solution.target)
    elif isinstance(solution.target, FunctionTarget):
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        draw_function(above, solution, solution.target)
        draw_error(below, solution, solution.target)
        above.set_xlabel("")
    else:
        above, below = figure.subplots(2, 1, sharex=True)
        draw_losses(above, solution)
        draw_validation(below, solution, solution.target)
        above.set_xlabel("")
        title = f"{solution.target.name}: {solution.result}"
    figure.suptitle(textwrap.fill(title, 100), fontsize=9, parse_math=False)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure, the same bytes each time. DomainError if the suffix names no format."""
    _require_format(figure, path)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def _require_format(figure: Figure, path: Path) -> None:
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:] not in formats:
        raise DomainError(
            f"A figure cannot be drawn into {path}. Use one of the suffixes {', '.join(sorted(formats))}."
        )


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


def _grid(solution: Solution, target: FunctionTarget) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = float(target.domain.lower[0]), float(target.domain.upper[0])
    kinks = breakpoints(solution.network, low, high)
    points = _POINTS if in_floats(solution.network) else _FEW_POINTS
    return np.union1d(np.linspace(low, high, points), kinks), kinks


def in_floats(network: Network) -> bool:
    """Tell whether a network can be evaluated in float64."""
    try:
        realize(network, np.zeros((1, network.inputs)))
    except PrecisionError:
        return False
    return True


def values_at(network: Network, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate a network at points, (n, d) or (n,), in float64, or by balls where that means nothing."""
    if in_floats(network):
        return realize(network, points)
    return realize_rounded(network, points.reshape(-1, network.inputs))


def _columns(values: NDArray[np.float64], points: int) -> NDArray[np.float64]:
    """Return the values of a function at points as one row for each output."""
    return values.reshape(points, -1).T


def draw_function(axes: Any, solution: Solution, target: FunctionTarget) -> None:
    """Draw F of one variable, Phi, its breakpoints, and the certified tube around F; all outputs alike."""
    x, kinks = _grid(solution, target)
    bound = sup_bound(solution)
    name = target.variables[0]
    text = textwrap.shorten(target.title, _LONGEST_FORMULA, placeholder=" ...")
    labels = {"F": f"F({name}) = {text}", "network": f"Φ, M = {solution.size.weights:,} weights"}
    outputs = _columns(values_at(solution.network, x), len(x))
    for exact, output in zip(_columns(target(x), len(x)), outputs, strict=True):
        if bound is not None:
            tube = (exact - bound.value, exact + bound.value)
            axes.fill_between(x, *tube, color=COLORS["green"], alpha=0.2, linewidth=0)
        axes.plot(x, exact, color=COLORS["blue"], linewidth=3, alpha=0.45, label=labels.pop("F", None))
        axes.plot(x, output, color=COLORS["orange"], linewidth=1.2, label=labels.pop("network", None))
    if len(kinks):
        label = f"{len(kinks)} breakpoint{'s' * (len(kinks) > 1)}"
        points, heights = np.repeat(kinks, solution.network.outputs), values_at(solution.network, kinks).ravel()
        axes.plot(points, heights, "o", color=COLORS["orange"], markersize=3.5, label=label)
    axes.set_xlabel(name)
    _legend(axes)


def draw_error(axes: Any, solution: Solution, target: FunctionTarget) -> None:
    """Draw F - Phi at sampled points inside the band that is certified for all points."""
    x, _ = _grid(solution, target)
    bound, label = sup_bound(solution), "F − Φ, sampled"
    for difference in _columns(target(x) - values_at(solution.network, x), len(x)):
        axes.plot(x, difference, color=COLORS["gray"], linewidth=1.0, label=label)
        label = None
    if bound is not None:
        label = f"|F − Φ| ≤ {bound.decimal()}  {bound.kind.value}"
        axes.axhspan(-bound.value, bound.value, color=COLORS["green"], alpha=0.2, linewidth=0, label=label)
        if bound.value > 0:
            axes.set_ylim(-1.25 * bound.value, 1.25 * bound.value)
    axes.set_xlabel(target.variables[0])
    _legend(axes)


def _slice(solution: Solution, target: FunctionTarget) -> NDArray[np.float64]:
    """Return points (n, n, d) over the first two variables, the others at the middle of the domain."""
    low, high = (np.array([float(end) for end in ends]) for ends in (target.domain.lower, target.domain.upper))
    pixels = _PIXELS if in_floats(solution.network) else _FEW_PIXELS
    points = np.tile((low + high) / 2, (pixels, pixels, 1))
    points[:, :, 0], points[:, :, 1] = np.meshgrid(*np.linspace(low[:2], high[:2], pixels).T)
    return points


def _draw_map(axes: Any, target: FunctionTarget, values: NDArray[np.float64], title: str, **style: Any) -> None:
    domain = target.domain
    extent = [float(end) for axis in (0, 1) for end in (domain.lower[axis], domain.upper[axis])]
    image = axes.imshow(values, origin="lower", extent=extent, aspect="auto", interpolation="nearest", **style)
    axes.figure.colorbar(image, ax=axes, shrink=0.85)
    axes.set(xlabel=target.variables[0], ylabel=target.variables[1])
    axes.set_title(title, fontsize=10)


def _target_map(solution: Solution, target: FunctionTarget) -> NDArray[np.float64]:
    points = _slice(solution, target)
    return target(points).reshape(*points.shape[:2], -1)[:, :, 0]


def _network_map(solution: Solution, target: FunctionTarget) -> NDArray[np.float64]:
    points = _slice(solution, target)
    values = values_at(solution.network, points.reshape(-1, points.shape[-1]))
    return values.reshape(*points.shape[:2], -1)[:, :, 0]


def draw_target_map(axes: Any, solution: Solution, target: FunctionTarget) -> None:
    """Draw F over its first two variables, the others at the middle of the domain; the first output of several."""
    _draw_map(axes, target, _target_map(solution, target), "F", cmap="viridis")


def draw_network_map(axes: Any, solution: Solution, target: FunctionTarget) -> None:
    """Draw Phi where `draw_target_map` draws F."""
    title = f"Φ, M = {solution.size.weights:,} weights"
    _draw_map(axes, target, _network_map(solution, target), title, cmap="viridis")


def draw_error_map(axes: Any, solution: Solution, target: FunctionTarget) -> None:
    """Draw F - Phi where `draw_target_map` draws F, in colors that end at the certified bound."""
    difference = _target_map(solution, target) - _network_map(solution, target)
    bound = sup_bound(solution)
    top = float(np.abs(difference).max()) if bound is None else bound.value
    title = "F − Φ, sampled" if bound is None else f"|F − Φ| ≤ {bound.decimal()}  {bound.kind.value}"
    _draw_map(axes, target, difference, title, cmap="RdBu_r", vmin=-top, vmax=top)


MAPS = (draw_target_map, draw_network_map, draw_error_map)
"""The pictures of a function of several variables."""


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
