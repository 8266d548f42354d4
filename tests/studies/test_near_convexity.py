"""The study of near-convexity in small, and verdicts on made-up defects."""

import numpy as np
import pytest

from epsnet.experiments import Finished
from epsnet.studies import near_convexity as this


def made_up(*, random=-2.0, alternating=1.0, pairs=15):
    found = []
    for n in this.NEURONS:
        rows = [(name, formula(n)) for name, formula in this._FORMULAS.items()] + [("interlaced", 1 / (16 * n**2))]
        rows[0] = rows[0][0], rows[0][1] * alternating
        rows += [("random", 0.03 * (n + 1) ** random)] * pairs
        found += [
            Finished(
                {"pair": name, "neurons": n},
                {"low": value, "high": value, "limit": 1 / (4 * (n + 1) ** 2), "kind": "VERIFIED"},
                0.0,
            )
            for name, value in rows
        ]
    return found


def test_measured_pairs_of_one_size():
    planned = this.cases(6, 0)
    assert len(planned) == len(this.NEURONS) * 3 + 2 * (16 + 8 + 4 + 2 + 1)
    assert this.cases(9, 0)[: len(planned)] == planned
    finished = [Finished(case, this.measure(case), 0.0) for case in planned if case["neurons"] == 4]
    analysis = this.analyze(finished)
    assert [c.answer for c in analysis.comparisons] == ["holds"] * 3
    assert {c.kind for c in analysis.comparisons} == {"VERIFIED"}
    assert analysis.verdict.answer == "undecided"


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, "holds"), ({"pairs": 3}, "undecided"), ({"random": -1.6}, "contradicts"),
        ({"alternating": 0.9}, "contradicts"), ({"alternating": 1.5}, "contradicts"),
    ],
    ids=["theorem", "few pairs", "other rate", "smaller than the formula", "larger than the bound"],
)  # fmt: skip
def test_verdict_of_made_up_defects(options, answer):
    analysis = this.analyze(made_up(**options))
    assert analysis.verdict.answer == answer
    assert analysis.verdict.reason.endswith(".")


def test_both_abscissas_are_reported():
    analysis = this.analyze(made_up())
    exponent = next(c for c in analysis.comparisons if c.quantity == "exponent").measured
    assert exponent.value == pytest.approx(-2, abs=1e-9)
    own = next(remark for remark in analysis.remarks if "not N + 1" in remark)
    assert "exponent -1.855 in [-1.950, -1.760]" in own  # the interval of Student's t over five sizes
    assert own.endswith("itself -1.855")


def test_nothing_decides_nothing():
    assert this.analyze([]).verdict.answer == "undecided"


def test_figure(tmp_path):
    finished = made_up()
    figure = this.draw(finished, this.analyze(finished))
    figure.savefig(tmp_path / "all.svg")
    bound = figure.axes[0].lines[0]
    x, y = np.asarray(bound.get_xdata()), np.asarray(bound.get_ydata())
    assert y * 4 * (x + 1) ** 2 == pytest.approx(1)
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
