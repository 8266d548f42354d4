"""Pictures of global training show the certified gap and the dual function that the neurons touch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.optimization.optimum_figures import draw_dual_function, draw_optimum
from epsnet.optimization.train_global import train_global


def optimum(d, beta=0.1):
    rng = np.random.default_rng(d)
    return train_global(rng.normal(size=(8, d)), rng.normal(size=8), beta)


def test_the_circle(tmp_path):
    found = optimum(2)
    figure = draw_optimum(found)
    figure.savefig(tmp_path / "figure.png")
    gap, dual = figure.axes
    assert len(gap.lines[0].get_xdata()) == len(found.steps)
    angle, values = dual.lines[0].get_data()
    assert np.abs(values).max() == pytest.approx(1, abs=1e-3)
    for place, sign in dual.collections[0].get_offsets():
        assert np.interp(place, angle, values) == pytest.approx(sign, abs=1e-2)


def test_the_sphere(tmp_path):
    figure = draw_optimum(optimum(3))
    figure.savefig(tmp_path / "figure.png")
    values = figure.axes[1].images[0].get_array()
    assert 0.9 < np.abs(values).max() <= 1 + 1e-9


def test_no_neurons(tmp_path):
    draw_optimum(optimum(2, beta=1e3)).savefig(tmp_path / "figure.png")


def test_other_dimensions_and_refusals(monkeypatch):
    found = optimum(1)
    assert len(draw_optimum(found).axes) == 1
    with pytest.raises(DomainError, match="2 or 3"):
        draw_dual_function(None, found)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="plot"):
        draw_optimum(optimum(2))
