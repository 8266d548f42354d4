"""The study of the edge of stability in small, and verdicts on made-up descents."""

import numpy as np
import pytest

from epsnet.experiments import Finished, sweep
from epsnet.studies import edge_of_stability as this


def made_up(edge, last=0.5, diverged=None):
    losses = np.linspace(1, last, 200).tolist()
    result = {"at": list(range(1, 201)), "edge": [edge] * 200, "losses": losses, "rises": 0.4, "diverged": diverged}
    return Finished({"step_size": 0.08, "steps": 200, "seed": 0}, result, 0.0)


def test_a_small_budget_is_on_its_way():
    """After 200 steps the sharpness has not risen: the rule says so."""
    finished = sweep(this.measure, [case | {"steps": 200} for case in this.cases(1, 0)])
    assert len(finished) == 1
    assert this.analyze(finished).verdict.answer == "contradicts"
    assert len(finished[0].result["edge"]) == len(finished[0].result["losses"]) == 200


@pytest.mark.parametrize(
    ("cases", "answer"),
    [
        ([made_up(1.0)], "holds"),
        ([made_up(0.98), made_up(1.04)], "holds"),
        ([made_up(1.0), made_up(0.9)], "contradicts"),
        ([made_up(1.1)], "contradicts"),
        ([made_up(1.0, last=2.0)], "contradicts"),
        ([made_up(1.0, diverged=7)], "undecided"),
        ([], "undecided"),
    ],
    ids=["edge", "inside", "below", "above", "rising loss", "diverged", "nothing"],
)
def test_verdicts(cases, answer, tmp_path):
    analysis = this.analyze(cases)
    assert analysis.verdict.answer == answer
    this.draw(cases, analysis).savefig(tmp_path / "figure.svg")


def test_the_default_has_three_step_sizes():
    assert [case["steps"] for case in this.cases(this.STUDY.budget, 0)] == [40_000] * 3
