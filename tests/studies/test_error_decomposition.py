"""The study of the parts of the risk in small, descent step by step, and verdicts on made-up measurements."""

import numpy as np
import pytest

from epsnet.experiments import sweep
from epsnet.studies import error_decomposition as this


@pytest.fixture(scope="module")
def finished():
    return sweep(this.measure, this.cases(5, 0))


def test_a_small_budget_holds(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds" and len(analysis.comparisons) == 24
    assert sum("least excess risk" in remark for remark in analysis.remarks) == 3


@pytest.mark.parametrize("steps", [0, 1, 2, 13])
def test_steps_one_by_one(steps):
    generator = np.random.Generator(np.random.Philox(0))
    matrix, shift, w = generator.normal(size=(3, 3)) / 4, generator.normal(size=(3, 2)), np.zeros((3, 2))
    for _ in range(steps):
        w = matrix @ w + shift
    assert this._iterate(matrix, shift, steps) == pytest.approx(w, rel=1e-13)


def test_neurons_are_nested():
    few, target = this.problem(20, 5, 1)
    many, same = this.problem(20, 9, 1)
    assert np.array_equal(target, same)
    assert many[:, :5] * np.sqrt(9) == pytest.approx(few * np.sqrt(5))


def test_other_parts_contradict(finished):
    last = finished[-1]
    exact = last.result["exact"]
    wrong = last._replace(result=last.result | {"exact": exact | {"estimation": exact["estimation"] + 1}})
    assert this.analyze([*finished[:-1], wrong]).verdict.answer == "contradicts"


def test_too_little_decides_nothing(finished):
    for part in (finished[:4], []):
        assert this.analyze(part).verdict.answer == "undecided"


def test_larger_budgets_add_cases():
    small, large = this.cases(5, 3), this.cases(20, 3)
    assert all(case in large for case in small) and len(large) > len(small)


def test_figure(finished, tmp_path):
    figure = this.draw(finished, this.analyze(finished))
    figure.savefig(tmp_path / "all.svg")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    total = sum(np.asarray(lines[part]) for part in this.PARTS)
    assert np.asarray(lines["excess risk"]) == pytest.approx(total)
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
