"""The study of double descent in small, and verdicts on made-up measurements."""

import numpy as np
import pytest

from epsnet.experiments import sweep
from epsnet.studies import double_descent as this


@pytest.fixture(scope="module")
def finished():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(this, "DIMENSION", 24)
        patch.setattr(this, "POINTS", 72)
        patch.setattr(this, "REPETITIONS", 12)
        patch.setattr(this, "LINEAR_POINTS", (16, 80))
        patch.setattr(this, "LINEAR_REPETITIONS", 100)
        return sweep(this.measure, this.cases(1, 0))


def test_a_small_budget_holds(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds" and len(analysis.comparisons) == 8
    assert any("at N/n = 1" in remark for remark in analysis.remarks)


def changed(case, **result):
    return case._replace(result=case.result | result)


def test_other_curves_contradict(finished):
    last = finished[-1]
    far = changed(last, mean=last.result["predicted"] + 5 * last.result["error"])
    assert this.analyze([*finished[:-1], far]).verdict.answer == "contradicts"
    # Within the errors of a formula that has its peak elsewhere.
    flat = [changed(case, mean=1 + case.inputs.get("ratio", 0), predicted=1 + case.inputs.get("ratio", 0))
            for case in finished]  # fmt: skip
    assert "not at 1" in this.analyze(flat).verdict.reason


def test_too_little_decides_nothing(finished):
    for part in (finished[:2], finished[:4], []):
        assert this.analyze(part).verdict.answer == "undecided"


def test_larger_budgets_repeat_the_smaller_ones():
    small, large = this.cases(5, 3), this.cases(80, 3)
    assert large[: len(small)] == small and len(large) == len(this.LINEAR_POINTS) + 2 * len(this.RATIOS)


def test_figure(finished, tmp_path):
    figure = this.draw(finished, this.analyze(finished))
    figure.savefig(tmp_path / "all.svg")
    x, y = figure.axes[0].lines[0].get_data()
    assert 0.9 < np.asarray(x)[np.argmax(y)] < 1.1  # the peak of the drawn curve
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
