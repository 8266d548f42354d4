"""The study of risk bounds in small, and verdicts on made-up tasks."""

import pytest

from epsnet.experiments import Finished
from epsnet.generalization.certificates import NAMES
from epsnet.studies import risk_bounds as this


@pytest.fixture(scope="module")
def finished():
    cases = this.cases(60, 0)
    assert sum("task" in case for case in cases) >= 40
    digits = {"digits": 500, "seed": 0}
    chosen = [*cases[1:3], digits]
    return [Finished(case, this.measure(case), 0.0) for case in chosen]


def made_up(violated, tasks=60):
    bounds = dict.fromkeys(NAMES, 0.2)
    return [
        Finished({"task": number}, {
            "bounds": bounds, "truths": dict.fromkeys(NAMES, 0.3 if number < violated else 0.1), "kind": "STATISTICAL",
        }, 0.0)
        for number in range(tasks)
    ]  # fmt: skip


def test_a_few_tasks_hold(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds"
    assert len(analysis.comparisons) == len(NAMES)
    assert "median" in analysis.remarks[0]
    digits = finished[-1].result
    assert set(digits["bounds"]) == set(NAMES)
    assert 0 < digits["test"] < digits["bounds"]["unused"] < 1


def test_many_violations_contradict():
    assert this.analyze(made_up(60)).verdict.answer == "contradicts"
    assert this.analyze(made_up(3)).verdict.answer == "holds"
    assert this.analyze([]).verdict.answer == "undecided"


def test_figure(finished, tmp_path):
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "all.svg")
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
