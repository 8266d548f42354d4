"""The study of mode connectivity in small, and verdicts on made-up barriers."""

import sys

import numpy as np
import pytest

from epsnet.certify.errors import MissingExtraError
from epsnet.experiments import Finished
from epsnet.studies import mode_connectivity as this


def made_up(width, naive, aligned):
    hill = np.r_[0.0, 1.0, 0.0]
    values = {"naive": naive * hill, "matched": aligned * hill, "bent": 0.01 * hill}
    inputs = {"width": width, "examples": 10, "epochs": 1, "seeds": [0, 1]}
    return Finished(inputs, {name: value.tolist() for name, value in values.items()}, 0.0)


@pytest.mark.parametrize(
    ("barriers", "answer"),
    [
        ([(1.0, 0.3), (0.5, 0.1), (0.3, 0.02)], "holds"),
        ([(1.0, 0.3), (0.5, 0.1), (0.15, 0.09)], "contradicts"),
        ([(1.0, 0.3), (0.5, 0.1), (0.5, 0.2)], "contradicts"),
        ([(1.0, 0.3), (0.5, 0.1)], "undecided"),
        ([], "undecided"),
    ],
    ids=["smaller", "hardly smaller", "not falling", "two widths", "none"],
)
def test_verdicts(barriers, answer, tmp_path):
    finished = [made_up(8 * 4**i, *pair) for i, pair in enumerate(barriers)]
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == answer
    this.draw(finished, analysis).savefig(tmp_path / "figure.svg")


def test_a_pair_of_small_networks():
    pytest.importorskip("jax")
    case = {"width": 4, "examples": 100, "epochs": 3, "seeds": [0, 1]}
    found = this.measure(case)
    ends = {(values[0], values[-1]) for values in found.values()}
    # The permutation leaves the second network the same function.
    assert len({round(first, 9) for first, _ in ends}) == 1
    assert np.ptp([last for _, last in ends]) < 1e-9
    assert this.analyze([Finished(case, found, 0.0)]).verdict.answer in ("undecided", "contradicts")


def test_images_are_means_of_four_pixels():
    from epsnet.data import load_mnist

    images, labels = this._data(20)
    raw = load_mnist("train").inputs[:20].astype(float)
    assert images.shape == (20, 14, 14) and images.dtype == np.uint8 and len(labels) == 20
    assert abs(images[3, 5, 6] - raw[3, 10:12, 12:14].mean()) <= 0.5


def test_without_jax(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(MissingExtraError, match=r"epsnet\[jax\]"):
        this.cases(50, 0)
