"""The study of global optima by width: certified optima, small cases, made-up results."""

import numpy as np
import pytest

from epsnet.experiments import Finished
from epsnet.optimization.certificate import certify
from epsnet.optimization.two_layer import train_locally
from epsnet.studies import global_optimum as study

LOWER = {2: 1.4410709088, 3: 1.3064777542}


def made_up(failed, trials=100):
    """A study in which a given number of the starts at every width ends twice as high as the optimum."""
    finished = []
    for case in study.cases(1, 0):
        value = LOWER[case["dimension"]]
        if case["width"] == 0:
            result = {"upper": value, "lower": value, "neurons": 9}
        else:
            count = failed(case["width"])
            result = {"objectives": [2 * value] * count + [1.001 * value] * (trials - count)}
        finished.append(Finished(case, result, 0.0))
    return finished


def test_cases():
    few, many = study.cases(1, 3), study.cases(500, 3)
    assert [case["width"] for case in few[:2]] == [0, 0] and len(few) == 14
    assert many[:14] == few and len(many) == 2 + 150 * 12 and many[-1]["first"] == 298 and many[-1]["seed"] == 3


def test_the_optimum_and_the_starts_are_consistent():
    """Every start ends above the certified lower bound, and its own certificate agrees with the one of the optimum."""
    cases = study.cases(1, 0)
    optimum = study.measure(cases[0])
    assert optimum["lower"] <= optimum["upper"] <= optimum["lower"] * (1 + 1e-9)
    assert optimum["lower"] == pytest.approx(LOWER[2], rel=1e-9)
    for case in (cases[2], cases[6]):
        found = study.measure(case)["objectives"]
        assert len(found) == 2 and min(found) >= optimum["lower"]
        assert found == study.measure(case)["objectives"]


def test_local_training_is_bracketed_by_its_certificate():
    subject = study.problem(40, 2, 0.1)
    rng = np.random.default_rng(0)
    start = rng.normal(size=(16, 2)), rng.normal(size=16) / 4
    hidden, outer = train_locally(subject, *start)
    assert subject.objective(hidden, outer) < subject.objective(*start)
    bracket = certify(subject.inputs, subject.labels, hidden, outer, subject.beta)
    assert bracket.dual.value <= LOWER[2] * (1 + 1e-8) <= bracket.primal.value * (1 + 1e-8)


@pytest.mark.parametrize(
    ("failed", "answer"),
    [
        (lambda width: 5 if width == 64 else 90, "holds"),
        (lambda _: 18, "undecided"),
        (lambda _: 60, "contradicts"),
    ],
)
def test_verdicts(failed, answer):
    analysis = study.analyze(made_up(failed))
    assert analysis.verdict.answer == answer and len(analysis.comparisons) == 2
    assert analysis.verdict.reason.endswith(".")


def test_too_little_decides_nothing():
    finished = made_up(lambda _: 0)
    for part in ([], finished[:2], finished[2:], finished[:-1]):
        assert study.analyze(part).verdict.answer == "undecided"


def test_intervals():
    estimate = study._failures(np.array([0.0] * 18 + [1.0] * 2))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.1, 0.0123485, 0.3169827), abs=1e-6)


def test_figure(tmp_path):
    for finished in ([], made_up(lambda width: 100 // width)):
        figure = study.draw(finished, study.analyze(finished))
        figure.savefig(tmp_path / "figure.svg")
        left, right = figure.axes
        assert left.get_ylabel().endswith("$-$ 1") and right.get_ylim()[1] > 1
