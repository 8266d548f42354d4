"""Pictures of rates, spectra, planes and paths, each on given matplotlib axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.optimization.hessian import SpectralDensity, Spectrum
from epsnet.optimization.landscape import LossPath, Plane
from epsnet.optimization.sgd_rates import CoupledRates
from epsnet.report.page import COLORS


def draw_errors(
    axes: Any, n: ArrayLike, errors: ArrayLike, slope: float, *, label: str, color: str = "blue", marker: str = "o"
) -> None:
    """Draw errors against n in a log-log plot with a line of the predicted slope -r through the last of them.

    Args:
        axes: matplotlib axes.
        n: positive numbers.
        errors: as many positive numbers.
        slope: r.
        label: in the legend.
        color: a name of `report.page.COLORS`.
        marker: of matplotlib.
    """
    x, y = np.asarray(n, dtype=float), np.asarray(errors, dtype=float)
    axes.loglog(x, y, marker, color=COLORS[color], markersize=4, label=label)
    axes.loglog(x, y[-1] * (x / x[-1]) ** -slope, color=COLORS[color], linewidth=1, alpha=0.7)


def draw_coupled(axes: Any, rates: CoupledRates) -> None:
    """Draw strong and weak errors, lines of slopes -1/2 and -1, two standard errors, the noise of plain sampling."""
    for name, slope, color in (("strong", 0.5, "blue"), ("weak", 1.0, "orange")):
        errors, spread = getattr(rates, name), getattr(rates, f"{name}_se")
        r = getattr(rates, f"{name}_exponent")
        label = f"{name}: r = {r.value:.4f} ± {(r.high - r.low) / 2:.4f}"
        draw_errors(axes, rates.n, errors, slope, label=label, color=color)
        axes.errorbar(rates.n, errors, 2 * spread, fmt="none", color=COLORS[color], elinewidth=1)
    axes.loglog(rates.n, rates.plain_se, "--", color=COLORS["gray"], linewidth=1, label="noise of plain sampling")
    axes.set(xlabel="steps $n$", ylabel="error")
    axes.legend(frameon=False, fontsize=8)


def draw_spectrum(axes: Any, found: Spectrum, density: SpectralDensity | None = None) -> None:
    """Draw how many eigenvalues fall into each of 80 bins, with the inertia; over it a density, if given."""
    low, high = float(found.eigenvalues[0]), float(found.eigenvalues[-1])
    counts, edges = np.histogram(found.eigenvalues, bins=80, range=(low, high) if high > low else None)
    negative, zero, positive = found.inertia
    label = f"{len(found.eigenvalues)} eigenvalues: {negative} < 0, {zero} = 0, {positive} > 0"
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=COLORS["blue"], alpha=0.6, label=label)
    if density is not None:
        grid = np.linspace(low, high, 1000)
        expected = density(grid) * density.size * (edges[1] - edges[0])
        axes.plot(grid, expected, color=COLORS["orange"], linewidth=1.3, label="Lanczos quadrature, ESTIMATED")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.2)
    axes.set(xlabel="eigenvalue", ylabel="eigenvalues in a bin")
    axes.legend(frameon=False, fontsize=8)


def draw_plane(axes: Any, plane: Plane, levels: int = 24) -> None:
    """Draw the levels of a loss on a plane, evenly spaced in the logarithm where it is positive; mark the network."""
    positive = bool((plane.values > 0).all())
    low, high = float(plane.values.min()), float(plane.values.max())
    even = np.geomspace(low, high, levels) if positive and high > 1.01 * low else np.linspace(low, high + 1e-12, levels)
    from matplotlib.colors import LogNorm

    norm = LogNorm(low, high) if positive and high > 1.01 * low else None
    axes.contourf(plane.places, plane.places, plane.values, levels=even, cmap="viridis", norm=norm)
    lines = axes.contour(plane.places, plane.places, plane.values, levels=even[::3], colors="white", linewidths=0.6)
    axes.clabel(lines, fmt="%.3g", fontsize=7)
    axes.plot(0, 0, "+", color="white", markersize=9)
    axes.set_xticks(np.linspace(plane.places[0], plane.places[-1], 5))
    axes.set(xlabel="first direction", ylabel="second direction", aspect="equal")


def draw_paths(axes: Any, paths: Mapping[str, LossPath], colors: Sequence[str] = ("orange", "blue", "green")) -> None:
    """Draw the loss along paths between the same two networks, with the barrier of each."""
    for (label, path), color in zip(paths.items(), colors, strict=False):
        text = f"{label}: barrier {path.barrier:.3g}"
        axes.plot(path.places, path.values, color=COLORS[color], linewidth=1.5, label=text)
    low, high = (end(end(path.values) for path in paths.values()) for end in (min, max))
    axes.set_ylim(low - 0.05 * (high - low), high + 0.4 * (high - low) + 1e-300)  # room for the legend
    axes.set(xlabel="from one network to the other", ylabel="loss")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
