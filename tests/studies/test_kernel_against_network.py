"""The study of kernel and network by data size in small, and verdicts on made-up errors."""

import pytest

from epsnet.data import load_mnist
from epsnet.experiments import Finished, sweep
from epsnet.studies import kernel_against_network as this


def test_a_small_budget_has_two_divisions(monkeypatch):
    digits = load_mnist("test")
    monkeypatch.setattr(this, "_digits", lambda: (digits.inputs, digits.labels))
    planned = this.cases(1, 0)
    assert len({case["division"] for case in planned}) == 2
    small = [case | {"steps": 20} for case in planned if case["points"] == 100]
    finished = sweep(this.measure, small)
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == "undecided"
    for case in finished:
        assert 0.1 < case.result["ntk"] < 0.5 and 0.1 < case.result["network"][0] < 0.9


def made_up(kernel, network):
    return [
        Finished(
            {"points": n, "division": d, "steps": 1},
            {"ntk": kernel + 1e-4 * d, "nngp": kernel, "network": [network, network + 2e-4 * d]}, 0.0,
        )
        for n in this.SIZES
        for d in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cases", "answer"),
    [
        (made_up(0.2, 0.21), "holds"),
        (made_up(0.2, 0.2), "holds"),
        (made_up(0.25, 0.2), "contradicts"),
        (made_up(0.2, 0.21)[::3], "undecided"),
        ([], "undecided"),
    ],
    ids=["better", "equal", "worse", "one division", "nothing"],
)
def test_verdicts(cases, answer, tmp_path):
    analysis = this.analyze(cases)
    assert analysis.verdict.answer == answer
    this.draw(cases, analysis).savefig(tmp_path / "figure.svg")
