"""Pictures of global training: how the gap closes, and the dual function over all directions of a neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.optimization.train_global import GlobalOptimum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_BLUE, _RED, _GRAY = "#0072B2", "#D55E00", "#666666"


def draw_optimum(optimum: GlobalOptimum) -> Figure:
    """Draw how the gap closes and, for inputs with 2 or 3 entries, the dual function.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    if optimum.problem.inputs.shape[1] in (2, 3):
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        draw_dual_function(right, optimum)
    else:
        left = figure.subplots()
    draw_gap(left, optimum)
    return figure


def draw_dual_function(axes: Axes, optimum: GlobalOptimum) -> None:
    r"""Draw $h(u)/\beta$ over all directions with the neurons on it.

    For the residual r of the optimum $h(u) = \sum_i r_i \max(x_i \cdot u, 0)$ stays between $-\beta$ and $\beta$ on the
    unit sphere, and touches $\beta s$ exactly where the neurons with outer weights of sign s are.

    Raises:
        DomainError: the inputs have neither 2 nor 3 entries.
    """
    dimension = optimum.problem.inputs.shape[1]
    if dimension not in (2, 3):
        raise DomainError(f"Directions in dimension {dimension} cannot be drawn. Use 2 or 3.")
    residual = optimum.problem.labels - optimum.problem.outputs(optimum.hidden, optimum.outer)
    (_draw_circle if dimension == 2 else _draw_sphere)(axes, optimum, residual)
    axes.set_title(r"dual function $h(u)/\beta$ at the optimum", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def draw_gap(axes: Axes, optimum: GlobalOptimum) -> None:
    """Draw objective minus dual value, relative to the objective, against time."""
    seconds = [step.seconds for step in optimum.steps]
    gaps = [max(step.primal - step.dual, 1e-300) / step.primal if step.primal > 0 else 1e-300 for step in optimum.steps]
    axes.semilogy(seconds, gaps, "o-", color=_BLUE, label="every round")
    certified = max(optimum.certificate.relative_gap, 1e-16)
    axes.axhline(certified, color=_RED, linestyle="--", label=f"VERIFIED: {certified:.1e}")
    axes.set(xlabel="seconds", ylabel="relative duality gap", ylim=(1e-16, 2))
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_circle(axes: Axes, optimum: GlobalOptimum, residual: Floats) -> None:
    angle = np.linspace(-np.pi, np.pi, 2001)
    directions = np.column_stack((np.cos(angle), np.sin(angle)))
    values = np.maximum(directions @ optimum.problem.inputs.T, 0) @ residual / optimum.problem.beta
    axes.plot(angle, values, color=_BLUE, linewidth=1.2)
    for level in (-1, 1):
        axes.axhline(level, color=_GRAY, linewidth=0.8, linestyle="--")
    places = np.arctan2(optimum.hidden[:, 1], optimum.hidden[:, 0])
    size = 150 * optimum.outer**2 / max(float((optimum.outer**2).max(initial=0)), 1e-300)
    axes.scatter(
        places, np.sign(optimum.outer), 8 + size, color=_RED, alpha=0.6, zorder=3, label="neurons, by strength"
    )
    axes.set(xlabel="angle of $u$", ylim=(-1.25, 1.25))
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_sphere(axes: Axes, optimum: GlobalOptimum, residual: Floats) -> None:
    longitude, latitude = np.meshgrid(np.linspace(-180, 180, 361), np.linspace(-90, 90, 181))
    lam, phi = np.deg2rad(longitude), np.deg2rad(latitude)
    directions = np.stack((np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)), axis=-1)
    values = np.maximum(directions @ optimum.problem.inputs.T, 0) @ residual / optimum.problem.beta
    image = axes.imshow(
        values, origin="lower", extent=(-180, 180, -90, 90), cmap="PuOr", vmin=-1, vmax=1, aspect="auto"
    )
    image.axes.figure.colorbar(image, ax=axes, shrink=0.9)
    u = optimum.hidden / np.linalg.norm(optimum.hidden, axis=1)[:, None]
    places = np.rad2deg(np.arctan2(u[:, 1], u[:, 0])), np.rad2deg(np.arcsin(np.clip(u[:, 2], -1, 1)))
    size = 120 * optimum.outer**2 / max(float((optimum.outer**2).max(initial=0)), 1e-300)
    axes.scatter(*places, 8 + size, facecolors="none", edgecolors="black", linewidths=0.8, label="neurons, by strength")
    axes.set(xlabel="longitude of $u$", ylabel="latitude of $u$")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
