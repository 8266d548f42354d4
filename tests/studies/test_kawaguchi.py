"""The study of deep linear networks in small, and verdicts on made-up points."""

import pytest

from epsnet.experiments import Finished, sweep
from epsnet.studies import kawaguchi as this


@pytest.fixture(scope="module")
def finished():
    return sweep(this.measure, this.cases(3, 0))


def test_a_small_budget_holds(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds"
    assert {c.kind for c in analysis.comparisons} == {"PROVED", "ESTIMATED"}
    assert "saddles that the Hessian does not show" in analysis.remarks[0]


@pytest.mark.parametrize(
    "row",
    [[0.3, 1e-3, 2, 0, False], [0.3, 0.0, 0, 0, False], [0.0, 0.0, 1, 0, True]],
    ids=["off the list", "poor minimum", "global saddle"],
)
def test_points_that_contradict(finished, row):
    made_up = Finished({"points": "found", "widths": [4, 3, 4], "seed": 1, "starts": 1},
                       {"points": [row], "kind": "ESTIMATED"}, 0.0)  # fmt: skip
    assert this.analyze([*finished, made_up]).verdict.answer == "contradicts"


def test_one_kind_of_points_decides_nothing(finished):
    assert this.analyze(finished[:3]).verdict.answer == "undecided"
    assert this.analyze([]).verdict.answer == "undecided"


def test_figure(finished, tmp_path):
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "all.svg")
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
