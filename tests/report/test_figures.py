"""Figures are drawn for every solution, in every format, without a warning (warnings are errors here)."""

import sys

import numpy as np
import pytest

from epsnet import Box, DomainError, MissingExtraError, Network, Sample, Target, draw, learn
from epsnet.report.figures import breakpoints


def line(n=60):
    x = np.linspace(-1, 1, n)[:, None]
    return Sample(x, x[:, 0] ** 2)


def halves(n=60):
    x = np.linspace(-1, 1, n)[:, None]
    return Sample(x, (x[:, 0] > 0).astype(int), classes=("left", "right"))


SOLUTIONS = {
    "curve": lambda: learn(Target("exp(x)", Box(0, 1)), 1e-2),
    "L2": lambda: learn(Target("sin(t)", Box(0, 3), norm="L2"), 1e-2),
    "one piece": lambda: learn(Target("x", Box(0, 1)), 1e-2),
    "constant": lambda: learn(Target("0", Box(0, 1)), 1e-2),
    "pole nearby": lambda: learn(Target("1/x", Box("1e-3", 1)), 1),
    "long formula": lambda: learn(Target("+".join(["exp(x)"] * 100), Box(0, 1)), 1),
    "regression": lambda: learn(line(), epochs=3, hidden=(4,)),
    "classification": lambda: learn(halves(), epochs=3, hidden=(4,)),
    "one epoch": lambda: learn(halves(), epochs=1, hidden=()),
}
SIGNATURES = {".svg": b"<?xml", ".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.mark.parametrize("name", SOLUTIONS)
def test_draw(name, tmp_path):
    solution = SOLUTIONS[name]()
    for suffix, signature in SIGNATURES.items():
        path = draw(solution, tmp_path / f"figure{suffix}")
        assert path == tmp_path / f"figure{suffix}"
        assert path.read_bytes().startswith(signature)


def test_legend_tells_what_is_certified(tmp_path):
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):
        text = draw(SOLUTIONS["curve"](), tmp_path / "a.svg").read_text()
    assert "VERIFIED" in text and "breakpoints" in text and "exp(x)" in text


def test_breakpoints():
    # relu(2x - 1), relu(1 - 3x), relu(x + 5) and a constant bend at 1/2, at 1/3, outside, and nowhere.
    hidden = ([[2.0], [-3.0], [1.0], [0.0]], [-1.0, 1.0, 5.0, 1.0])
    network = Network.from_layers([hidden, (np.ones((1, 4)), [0.0])])
    assert breakpoints(network, 0.0, 1.0) == pytest.approx([1 / 3, 1 / 2], rel=1e-15)
    assert breakpoints(network, 0.4, 1.0) == pytest.approx([1 / 2])
    smooth = Network.from_layers([hidden, (np.ones((1, 4)), [0.0])], "tanh")
    deep = Network.from_layers([hidden, (np.ones((1, 4)), [0.0]), ([[1.0]], [0.0])])
    assert len(breakpoints(smooth, 0.0, 1.0)) == len(breakpoints(deep, 0.0, 1.0)) == 0


def test_names_are_no_formulas(tmp_path):
    solution = learn(Sample(np.eye(60), np.arange(60) % 2, "$\\frac$ $x", classes=("a", "b")), epochs=1, hidden=())
    assert draw(solution, tmp_path / "a.svg").stat().st_size > 0


@pytest.mark.parametrize("name", ["figure", "figure.txt", "figure.svg.zip"])
def test_unknown_format(name, tmp_path):
    with pytest.raises(DomainError, match="Use one of the suffixes"):
        draw(SOLUTIONS["curve"](), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'epsnet\[plot\]'"):
        draw(SOLUTIONS["curve"](), tmp_path / "a.svg")
