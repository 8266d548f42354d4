"""The picture of a prediction: what is drawn is the law."""

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.generalization.inference import Prediction, gaussian_process, kernel_training
from epsnet.generalization.kernels import kernels
from epsnet.generalization.network_kernel import dense_network
from epsnet.generalization.posterior_figures import draw_prediction

matplotlib_figure = pytest.importorskip("matplotlib.figure")

POINTS = np.array([-1.6, -0.9, 0.1, 0.4, 1.5])
VALUES = np.sin(2 * POINTS)
AT = np.linspace(-2, 2, 81)


def figure(path=None):
    """Draw the prior-to-posterior picture of a lecture: NNGP posterior, and ensembles of training early and late."""
    k = kernels(dense_network(3, "erf", 1.6, 0.5), np.concatenate([POINTS, AT])[:, None])
    n = len(POINTS)
    blocks = [(m[:n, :n], m[n:, :n], m[n:, n:]) for m in (k.nngp, k.ntk)]
    (a, b, c), (theta, cross, _) = blocks
    training = kernel_training(theta, VALUES)
    laws = [gaussian_process(a, VALUES).predict(b, c)]
    laws += [training.ensemble(cross, a, b, c, time) for time in (1.0, np.inf)]
    drawing = matplotlib_figure.Figure(figsize=(12, 3.6), layout="constrained")
    for axes, law in zip(drawing.subplots(1, 3, sharey=True), laws, strict=True):
        draw_prediction(axes, AT, law, POINTS, VALUES)
    if path is not None:
        drawing.savefig(path)
    return drawing, laws


def test_the_band_and_the_functions_meet_the_data(tmp_path):
    drawing, laws = figure(tmp_path / "figure.svg")
    first, _, last = drawing.axes
    for axes, law in ((first, laws[0]), (last, laws[2])):
        functions = np.array([line.get_ydata() for line in axes.lines[:6]])
        inside = np.abs(functions - law.mean) <= 4 * law.std + 1e-6
        assert inside.mean() > 0.98
        assert np.interp(POINTS, AT, law.mean) == pytest.approx(VALUES, abs=0.05)
        assert law.std.min() < 0.05 < law.std.max()


def test_refusals():
    with pytest.raises(DomainError, match="Give one output"):
        draw_prediction(None, AT, Prediction(np.zeros((81, 2)), np.eye(81)), POINTS, VALUES)
