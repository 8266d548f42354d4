"""Figures, drawn from a solution alone: the function with its certified band, or the curve of training."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.realize import realize
from epsnet.core.solution import Solution
from epsnet.core.target import Target

# The palette of Okabe and Ito, which color-blind readers can tell apart.
_BLUE, _ORANGE, _GREEN, _GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"


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
        _draw_formula(figure, solution, solution.target)
    else:
        _draw_training(figure, solution)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def _draw_formula(figure: Any, solution: Solution, target: Target) -> None:
    low, high = float(target.domain.lower[0]), float(target.domain.upper[0])
    x = np.linspace(low, high, 4001)
    exact, network = target(x), realize(solution.network, x)
    hidden = solution.network.layers[0]
    kinks = np.array([-float(b) for b in hidden.bias_values()])
    kinks = kinks[(kinks > low) & (kinks < high)]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    # A long formula would leave the constrained layout no room for the axes.
    formula = textwrap.shorten(str(target.expression), 70, placeholder=" ...")
    above.plot(x, exact, color=_BLUE, linewidth=3, alpha=0.45, label=f"F({target.variables[0]}) = {formula}")
    above.plot(x, network, color=_ORANGE, linewidth=1.2, label=f"$\\Phi$, M = {solution.size.weights} weights")
    heights = realize(solution.network, kinks)
    above.plot(kinks, heights, "o", color=_ORANGE, markersize=3.5, label=f"{len(kinks)} breakpoints")
    above.legend(frameon=False)
    above.set_title(solution.result, fontsize=10)
    error = solution.error
    # The band is a sup bound of exact - network, whatever the norm of the target.
    sup = error if error.norm == "sup" else error.premises[0]
    below.plot(x, exact - network, color=_GRAY, linewidth=1.0, label="F - $\\Phi$, sampled")
    label = f"|F - $\\Phi$| <= {sup.decimal()}  {sup.kind.value}"
    below.axhspan(-sup.value, sup.value, color=_GREEN, alpha=0.15, label=label)
    below.set_ylim(-1.45 * sup.value, 1.45 * sup.value)
    below.set_xlabel(target.variables[0])
    below.legend(frameon=False, ncols=2, fontsize=8, loc="lower center")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)


def _draw_training(figure: Any, solution: Solution) -> None:
    history = np.array(solution.stats.get("history", []), dtype=float).reshape(-1, 4)
    epochs, empirical, validation, wrong = history.T
    above, below = figure.subplots(2, 1, sharex=True)
    above.semilogy(epochs, empirical, color=_BLUE, label="empirical risk, training part")
    above.semilogy(epochs, validation, color=_ORANGE, label="empirical risk, validation part")
    above.set_ylabel("loss")
    above.legend(frameon=False)
    above.set_title(f"{solution.target.name}: {solution.result}", fontsize=9)  # type: ignore[union-attr]
    regression = solution.target.tolerance is not None  # type: ignore[union-attr]
    measure = "root mean square error, validation" if regression else "share of wrong labels, validation"
    below.plot(epochs, wrong, color=_ORANGE, label=measure)
    if not regression:
        error = solution.error
        label = f"risk <= {error.decimal()}  {error.kind.value}, confidence {float(1 - error.delta):g}"
        below.axhline(error.value, color=_GREEN, label=label)
        below.set_ylim(0, max(2 * error.value, 1.1 * float(np.nanmin(wrong))))
    best = solution.stats.get("best_epoch")
    if best:
        below.axvline(best, color=_GRAY, linewidth=0.8, linestyle=":", label=f"best epoch {best}")
    below.set_xlabel("epoch")
    below.legend(frameon=False, fontsize=8)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
