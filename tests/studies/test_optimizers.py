"""The study of optimizers in small, and verdicts on made-up errors."""

import pytest

from epsnet.experiments import Finished, sweep
from epsnet.studies import optimizers as this

RUN = ("sgd", "adamw", "levenberg_marquardt", "varpro")


def made_up(changes=None):
    rms = {"sgd": 1e-1, "momentum": 1e-2, "adam": 1e-2, "adamw": 1e-2, "lbfgs": 1e-3, "levenberg_marquardt": 1e-4}
    rms |= {"varpro": 1e-8, "stages": 1e-14}
    rms |= changes or {}
    return [
        Finished(
            {"method": name, "evaluations": 400, "seed": 0},
            {"evaluations": [1, 400], "rms": [1.0, error], "largest": 3 * error, "status": "finished"},
            0.0,
        )
        for name, error in rms.items()
    ]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "holds"),
        ({"varpro": 1e-7}, "contradicts"),
        ({"lbfgs": 1e-6}, "contradicts"),
        ({"stages": 1e-12}, "contradicts"),
    ],
    ids=["as stated", "a worse fit", "a better rival", "worse stages"],
)
def test_verdicts(changes, answer, tmp_path):
    finished = made_up(changes)
    analysis = this.analyze(finished)
    assert analysis.verdict.answer == answer and len(analysis.comparisons) == 8
    this.draw(finished, analysis).savefig(tmp_path / "figure.svg")


def test_fewer_evaluations_do_not_count():
    finished = made_up()
    finished[0].result["evaluations"] = [1, 399]
    assert this.analyze(finished).verdict.answer == "undecided"
    for part in (finished[:6], finished[6:], []):
        assert this.analyze(part).verdict.answer == "undecided"


def test_methods_of_each_sort_run(tmp_path):
    planned = [case | {"evaluations": 30} for case in this.cases(0, 1) if case["method"] in RUN]
    finished = sweep(this.measure, planned)
    for case in finished:
        assert case.result["rms"][-1] <= case.result["rms"][0] and case.result["largest"] > 0
        assert len(case.result["rms"]) == len(case.result["evaluations"])
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "figure.svg")
