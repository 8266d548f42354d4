"""The study of implicit bias in small, and verdicts on made-up measurements."""

import numpy as np
import pytest

from epsnet.experiments import sweep
from epsnet.studies import implicit_bias as this


@pytest.fixture(scope="module")
def finished():
    return sweep(this.measure, this.cases(2, 0))


def test_a_small_budget_holds(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds" and len(analysis.comparisons) == 6
    for case in finished[3:]:
        found = case.result
        assert found["margin"] <= found["largest"] <= found["margin"] * (1 + 1e-12)
        assert min(found["normalized"] + found["plain"]) > -1e-12


def changed(case, **result):
    return case._replace(result=case.result | result)


def test_other_constants_and_rates_contradict(finished):
    mode, first = finished[0], finished[-1]
    s = np.array(first.result["log_times"])
    slower = (np.array(first.result["errors"]) * s**0.1).tolist()
    for wrong in (changed(first, constant=1.05 * first.result["constant"]), changed(first, errors=slower),
                  changed(mode, ratio=1.0)):  # fmt: skip
        assert this.analyze([*finished, wrong]).verdict.answer == "contradicts"


def test_too_little_decides_nothing(finished):
    for part in (finished[:3], finished[3:], []):
        assert this.analyze(part).verdict.answer == "undecided"


def test_figure(finished, tmp_path):
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "all.svg")
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
