"""The study of the tangent kernel in small, gradient descent against plain NumPy, and verdicts."""

import numpy as np
import pytest

from epsnet.core.realize import realize
from epsnet.experiments import Finished, sweep
from epsnet.studies import ntk_limit as this


def test_a_small_budget_measures_the_kernels(tmp_path):
    finished = sweep(this.measure, [case | {"networks": 8} for case in this.cases(1, 0) if case["part"] == "kernel"])
    analysis = this.analyze(finished)
    spread, mean = analysis.comparisons
    assert abs(spread.measured.value + 0.5) < 0.3 and mean.measured.value < 10
    assert analysis.verdict.answer != "holds"
    this.draw(finished, analysis).savefig(tmp_path / "figure.svg")


def test_wider_networks_train_as_linear_ones():
    narrow, wide = (this.measure({"part": "training", "width": n, "networks": 1, "seed": 0}) for n in (8, 128))
    for name in this.LAZY:
        assert wide[name][0] < narrow[name][0] / 2
    assert wide["moved"][0] == pytest.approx(wide["predicted_move"][0], rel=0.1)


def test_descent_follows_the_gradient_and_lowers_the_loss():
    """The first step by central differences of the loss in the trained parameters."""
    x, y, test = this.problem()
    start = this.TRAINING_NET.sample(4, 2, np.random.default_rng(0))
    scales = this.TRAINING_NET.scales(2, 4)
    steps = np.array([0, 1, 2])
    outputs, values, moved, norm, end = this._descend(start, scales, x, y, test, 0.1, steps)
    assert np.allclose(outputs[0], realize(start, x)[:, 0]) and np.allclose(values[0], realize(start, test)[:, 0])
    assert np.allclose(values[-1], realize(end, test)[:, 0])
    losses = [np.mean((f - y) ** 2) for f in outputs]
    assert losses[0] > losses[1] > losses[2]
    gradient_square = (losses[0] - losses[1]) / 2 / 0.1
    assert moved == pytest.approx(2 * 0.1 * gradient_square**0.5, rel=0.3)
    assert norm**2 == pytest.approx(sum(
        np.sum((layer.terms[0][1].weight / w) ** 2) + (np.sum((np.asarray(layer.bias) / b) ** 2) if b else 0)
        for layer, (w, b) in zip(start.layers, scales, strict=True)
    ))  # fmt: skip


def made_up(spread, error, lazy):
    found = []
    for n in this.WIDTHS:
        kernel = {"spread": n**spread, "largest_error": error, "entry": [1.0, 0.9]}
        found.append(Finished({"part": "kernel", "width": n, "networks": 2, "seed": 0}, kernel, 0.0))
        names = ("distance", "relative_move", "change")
        training = {name: [n**lazy, 1.01 * n**lazy] for name in names} | {
            "moved": [1.0, 1.0], "predicted_move": [1.0, 1.0], "curves": [[0, 1], [0.0, 1.0], [0.0, 1.0]],
        }  # fmt: skip
        found.append(Finished({"part": "training", "width": n, "networks": 2, "seed": 0}, training, 0.0))
    return found


@pytest.mark.parametrize(
    ("cases", "answer"),
    [
        (made_up(-0.5, 2.0, -1.0), "holds"),
        (made_up(-0.5, 2.0, -0.5), "holds"),
        (made_up(-0.3, 2.0, -0.5), "contradicts"),
        (made_up(-0.5, 5.0, -0.5), "contradicts"),
        (made_up(-0.5, 2.0, -0.2), "contradicts"),
        ([], "undecided"),
    ],
    ids=["fast", "limit", "spread", "mean", "not lazy", "nothing"],
)
def test_verdicts(cases, answer, tmp_path):
    analysis = this.analyze(cases)
    assert analysis.verdict.answer == answer
    this.draw(cases, analysis).savefig(tmp_path / "figure.svg")
