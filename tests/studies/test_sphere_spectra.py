"""The study of spectra in small, and verdicts on made-up eigenvalues."""

import numpy as np
import pytest

from epsnet.experiments import sweep
from epsnet.studies import sphere_spectra as this


@pytest.fixture(scope="module")
def finished():
    return sweep(this.measure, this.cases(1, 0))


def test_a_small_budget_holds(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds" and len(analysis.comparisons) == 4
    assert any("vanish for ntk 1, d = 3, nngp 1, d = 3" in remark for remark in analysis.remarks)
    assert "the eigenvalues are PROVED and VERIFIED" in analysis.remarks


def test_another_decay_contradicts(finished):
    case = finished[0]
    values = np.array(case.result["values"]) * np.arange(1, this._TO + 2) ** 0.5
    wrong = case._replace(result=case.result | {"values": values.tolist()})
    assert this.analyze([wrong, *finished[1:]]).verdict.answer == "contradicts"


def test_too_little_decides_nothing(finished):
    vague = finished[0]._replace(result=finished[0].result | {"errors": [1.0] * (this._TO + 1)})
    for part in (finished[:2], [], [vague, *finished[1:]]):
        assert this.analyze(part).verdict.answer == "undecided"


def test_figure(finished, tmp_path):
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "all.svg")
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
