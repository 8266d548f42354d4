"""The pictures of landscapes and spectra show the numbers they are given."""

import numpy as np
import pytest

from epsnet.optimization.figures import draw_errors, draw_paths, draw_plane, draw_spectrum
from epsnet.optimization.hessian import spectral_density, spectrum
from epsnet.optimization.landscape import LossPath, Plane

Figure = pytest.importorskip("matplotlib.figure").Figure


def test_pictures(tmp_path):
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    generator = np.random.Generator(np.random.Philox(0))
    matrix = generator.normal(size=(200, 200))
    matrix = matrix @ matrix.T / 200 - np.eye(200)
    found = spectrum(matrix)
    draw_spectrum(axes[0], found, spectral_density(lambda v: matrix @ v, 200, probes=8, steps=40))
    assert sum(bar.get_height() for bar in axes[0].patches) == 200
    assert any(f"{found.inertia.negative} < 0" in text.get_text() for text in axes[0].get_legend().get_texts())
    places = np.linspace(-1, 1, 21)
    bowl = 0.01 + places[:, None] ** 2 + 3 * places**2
    draw_plane(axes[1], Plane(places, bowl, [], []))
    draw_paths(
        axes[2], {"straight": LossPath(places / 2 + 0.5, 1 - places**2), "bent": LossPath(places / 2 + 0.5, 0 * places)}
    )
    assert "barrier 1" in axes[2].get_legend().get_texts()[0].get_text()
    draw_errors(axes[3], [1, 10, 100], [1, 0.5, 0.1], 0.5, label="errors")
    line = axes[3].lines[1]
    assert np.allclose(np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())), -0.5)
    figure.savefig(tmp_path / "pictures.png")


@pytest.mark.parametrize("values", [np.zeros((3, 3)), np.full((3, 3), 2.0), -np.eye(3)])
def test_flat_and_negative_planes(values, tmp_path):
    figure = Figure()
    draw_plane(figure.subplots(), Plane(np.linspace(-1, 1, 3), values, [], []))
    figure.savefig(tmp_path / "plane.png")
