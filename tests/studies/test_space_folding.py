"""The space-folding study: small cases against the formula, made-up results against the rule."""

import numpy as np
import pytest

from epsnet.core.realize import realize
from epsnet.experiments import Finished
from epsnet.geometry.extremal import fold_map
from epsnet.studies import space_folding as study


def finished(budget=0.5, **changes):
    return [Finished(case, {**study.measure(case), **changes}, 0.0) for case in study.cases(budget, 0)]


def test_cases_grow_with_the_budget():
    few, many = study.cases(0.1, 1), study.cases(3, 1)
    assert many[: len(few)] == few and len(many) > len(few) > 2
    assert {case["inputs"] for case in many} == {1, 2, 3, 4}


def test_measure():
    assert study.measure({"inputs": 2, "widths": [4, 4, 4], "folds": 2}) == {
        "regions": 176, "linear": 176, "identified": [16, 16], "montufar": 176, "most": 1331.0, "kind": "PROVED",
    }  # fmt: skip


def test_verdicts():
    good = study.analyze(finished())
    assert good.verdict.answer == "holds"
    assert {(c.quantity, c.kind) for c in good.comparisons} == {
        ("regions", "PROVED"), ("linear", "PROVED"), ("identified", "ESTIMATED"),
    }  # fmt: skip
    assert study.analyze(finished(0.2, regions=7)).verdict.answer == "contradicts"
    assert study.analyze(finished(0.2, identified=[1, 4])).verdict.answer == "contradicts"
    assert study.analyze(finished(0.2, most=1.0)).verdict.answer == "contradicts"
    assert study.analyze([]).verdict.answer == "undecided"


def test_names():
    case = Finished({"inputs": 2, "widths": [4, 4, 6], "folds": None}, {}, 0.0)
    assert study._name(case) == "2-4^2-6"


@pytest.mark.parametrize("folds", range(4))
def test_marked_points_are_the_preimages(folds):
    points = np.array(study._preimages(0.28, folds))
    assert len(np.unique(points)) == 2**folds
    assert np.abs(realize(fold_map(1, (2,) * folds), points[:, None]) - 0.28).max() < 1e-13


def test_figure(tmp_path):
    cases = finished()
    figure = study.draw(cases, study.analyze(cases))
    figure.savefig(tmp_path / "figure.svg")
    titles = [axes.get_title() for axes in figure.axes]
    assert sum("16 of each color" in title for title in titles) == 1
    assert len(figure.axes) == 5
