"""Pictures of what a kernel predicts on the line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError
from epsnet.generalization.inference import Prediction
from epsnet.report.page import COLORS

_DRAWN = 6


def draw_prediction(
    axes: Any, at: ArrayLike, prediction: Prediction, points: ArrayLike, values: ArrayLike, *, seed: int = 0
) -> None:
    """Draw the mean of one output with the band of two standard deviations, some functions of this law, and the data.

    Args:
        axes: matplotlib axes.
        at: where the prediction is made, m increasing numbers.
        prediction: of one output at these.
        points: the inputs of the data, (n,).
        values: their targets, (n,).
        seed: of the functions.

    Raises:
        DomainError: there are several outputs, or the shapes do not fit.
    """
    x, mean, std = np.asarray(at, dtype=np.float64), prediction.mean, prediction.std
    if x.ndim != 1 or mean.shape != x.shape:
        raise DomainError(f"A mean of shape {mean.shape} is no curve over {x.shape}. Give one output at m numbers.")
    axes.fill_between(x, mean - 2 * std, mean + 2 * std, color=COLORS["blue"], alpha=0.15, linewidth=0, label="± 2 std")
    eigenvalues, vectors = np.linalg.eigh(prediction.covariance)
    draws = np.random.default_rng(seed).standard_normal((len(x), _DRAWN))
    functions = mean[:, None] + vectors @ (np.sqrt(np.maximum(eigenvalues, 0.0))[:, None] * draws)
    axes.plot(x, functions, color=COLORS["blue"], linewidth=0.6, alpha=0.6)
    axes.plot(x, mean, color=COLORS["blue"], linewidth=1.8, label="mean")
    axes.plot(points, values, "o", color=COLORS["orange"], markersize=4.5, label="data")
    axes.set_xlabel("x")
    axes.legend(frameon=False, fontsize=8)
