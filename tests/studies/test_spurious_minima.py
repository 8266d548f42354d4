"""The study of spurious minima in small, and verdicts on made-up numbers."""

import pytest

from epsnet.experiments import Finished, sweep
from epsnet.studies import spurious_minima as this


@pytest.fixture(scope="module")
def finished():
    chosen = [case for case in this.cases(1, 0) if case["k"] <= 7]
    return sweep(this.measure, chosen)


def test_three_proofs_and_a_few_runs(finished):
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "holds"
    assert [c.kind for c in analysis.comparisons] == ["VERIFIED"] * 3 + ["STATISTICAL"] * 2
    assert finished[1].result["loss"][0] == pytest.approx(0.025080581002460, abs=1e-11)


def proof(k, loss, eigenvalue):
    return Finished({"what": "proof", "k": k}, {"loss": loss, "eigenvalue": eigenvalue, "kind": "VERIFIED"}, 0.0)


def runs(k, share):
    return Finished({"what": "runs", "k": k, "runs": 100, "seed": 0}, {"share": share, "kind": "STATISTICAL"}, 0.0)


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        (proof(8, [0.1, 0.1], [-0.2, -0.1]), "contradicts"),
        (proof(8, [0.1, 0.1], [-0.1, 0.1]), "undecided"),
        (proof(5, [0.1, 0.1], [0.1, 0.2]), "contradicts"),
        (runs(10, [0.6, 0.5, 0.7]), "contradicts"),
        (runs(10, [0.5, 0.39, 0.6]), "holds"),
    ],
)
def test_verdicts(finished, case, answer):
    assert this.analyze([*finished, case]).verdict.answer == answer


def test_figure(finished, tmp_path):
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "all.svg")
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
