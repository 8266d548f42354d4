"""The transfer study: exact dictionaries with few terms, weights by hand, the figure, and wrong counts are seen."""

from __future__ import annotations

import numpy as np
import pytest

from epsnet.experiments import Finished
from epsnet.studies import transfer
from epsnet.studies.transfer import FAMILIES, Family, analyze, cases, draw, measure, n_terms

FEW = tuple(family for family in FAMILIES if family.name in ("hats", "CDF(2,2)", "Kuhn hats"))
NAMES = {"hats": 8, "CDF(2,2)": 12, "Kuhn hats": 22}


@pytest.fixture(scope="module")
def finished():
    return [
        Finished(case, measure(case), 0.0)
        for case in ({"dictionary": family.name, "terms": terms} for family in FEW for terms in (20, 40))
    ]


def test_numbers(finished):
    for case in finished:
        result = case.result
        assert result["weights"] <= NAMES[case.inputs["dictionary"]] * case.inputs["terms"]
        assert result["exact"] == 0 < result["error"] == result["rounding"] < 1e-10
        assert result["sampled"] < 0.3 and result["kind"] == "VERIFIED"


def test_verdict_and_figure(finished, monkeypatch, tmp_path):
    assert analyze(finished).verdict.answer == "undecided"
    monkeypatch.setattr(transfer, "FAMILIES", FEW)
    analysis = analyze(finished)
    assert analysis.verdict.answer == "holds" and len(analysis.comparisons) == 3
    draw(finished, analysis).savefig(tmp_path / "figure.svg")
    grown = finished[1]._replace(result={**finished[1].result, "weights": 2 * finished[1].result["weights"]})
    assert analyze([finished[0], grown, *finished[2:]]).verdict.answer == "contradicts"


def test_cases_grow_with_the_budget():
    few, many = cases(10, 0), cases(10_000, 0)
    assert few == many[: len(few)] and len(many) == len(FAMILIES) * len(transfer.COUNTS)


@pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
def test_more_terms_are_closer(family: Family):
    atoms = family.build()
    d = atoms[0].matrices.shape[2]
    points = np.random.default_rng(0).uniform(0, 1, (400, d))
    values = family.function(points)
    errors = [n_terms(atoms, values, points, terms)[1] for terms in (5, 40)]
    assert errors[1] < 0.75 * errors[0] < 1
