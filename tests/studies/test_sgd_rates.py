"""The study of SGD rates in small: cases, verdicts on made-up errors, the figure."""

import numpy as np
import pytest

from epsnet.experiments import Finished, sweep
from epsnet.studies import sgd_rates as this


@pytest.fixture(scope="module")
def finished():
    return sweep(this.measure, this.cases(3, 0))


def test_a_small_budget_holds_or_is_undecided(finished):
    analysis = this.analyze(finished)
    assert not [c for c in analysis.comparisons if c.answer == "contradicts"]
    exact = [c for c in analysis.comparisons if c.subject.startswith("c h=")]
    assert len(exact) == 8 and all(c.answer == "holds" for c in exact)
    assert {c.kind for c in analysis.comparisons} == {"ESTIMATED"}


def made_up(strong, weak):
    n = [2**k for k in range(6, 13)]
    errors = {"strong": [x**-strong for x in n], "weak": [x**-weak for x in n]}
    return Finished({"problem": "quadratic", "gamma": 1.0, "nu": 1.0, "top": 12}, {"n": n} | errors, 0.0)


@pytest.mark.parametrize(("strong", "weak", "answer"), [(0.5, 1.0, "undecided"), (0.4, 1.0, "contradicts")])
def test_verdicts(strong, weak, answer):
    """Without logistic regression nothing is decided, but a wrong slope contradicts."""
    assert this.analyze([made_up(strong, weak)]).verdict.answer == answer


def test_larger_budgets_have_more_paths():
    tiny, small, large = (this.cases(budget, 0) for budget in (3, 60, 180))
    assert tiny[-1]["paths"] < small[-1]["paths"] and len(large) == len(small) + 2
    assert len({case["seed"] for case in large[-3:]}) == 3
    assert not np.isnan(this.example().minimizer).any()


def test_figure(finished, tmp_path):
    this.draw(finished, this.analyze(finished)).savefig(tmp_path / "all.svg")
    this.draw([], this.analyze([])).savefig(tmp_path / "none.svg")
