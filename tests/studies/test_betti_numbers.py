"""The study of Betti numbers: formulas against counting by hand, verdicts of made-up numbers, the figure."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from epsnet.checker.rules.shallow_betti import most_vertices
from epsnet.core.realize import realize
from epsnet.experiments import Finished
from epsnet.studies import betti_numbers
from epsnet.studies.betti_numbers import NEURONS, predicted_deep
from epsnet.studies.registry import NAMES, find


def test_registered():
    assert "betti-numbers" in NAMES
    assert find("betti-numbers") is betti_numbers.STUDY


@pytest.mark.parametrize(("inputs", "neurons"), [(1, 3), (2, 4), (3, 5)])
def test_bound_counts_the_possible_vertices(inputs, neurons):
    """Choose d of N hyperplanes and 2d sides, no two of the sides opposite."""
    planes = [("plane", i) for i in range(neurons)] + [(side, i) for side in ("low", "high") for i in range(inputs)]
    choices = [
        chosen for chosen in itertools.combinations(planes, inputs)
        if len({i for kind, i in chosen if kind != "plane"}) == sum(kind != "plane" for kind, _ in chosen)
    ]  # fmt: skip
    assert most_vertices(inputs, neurons) == len(choices)


@pytest.mark.parametrize(("width", "hidden"), [(2, 3), (3, 2), (4, 1)])
def test_formula_counts_the_peaks(width, hidden):
    """In one variable the components of {Phi >= 1/2} are counted on a grid that contains all corners."""
    network, found = betti_numbers.zigzags(1, width, hidden)
    values = realize(network, np.linspace(0, 1, 4 * width**hidden + 1)) >= 0.5 - 1e-12
    runs = sum(inside for inside, _ in itertools.groupby(values))
    assert found.numbers == (runs,) == (predicted_deep(1, width, hidden),)


def test_cases_and_measurements():
    planned = betti_numbers.cases(20, 1)
    assert planned[: len(betti_numbers.cases(0.01, 1))] == betti_numbers.cases(0.01, 1)
    assert all(case not in planned[:number] for number, case in enumerate(planned))
    assert all(case["width"] * case["hidden"] == NEURONS for case in planned[: len(betti_numbers.DEPTHS)])
    small = [case for case in planned if case["width"] ** case["hidden"] <= 64]
    finished = [Finished(case, betti_numbers.measure(case), 0.0) for case in small]
    analysis = betti_numbers.analyze(finished)
    assert analysis.verdict.answer == "holds"
    assert {comparison.kind for comparison in analysis.comparisons} == {"PROVED"}
    assert len([case for case in small if case["weights"] == "random"]) == 10


def made_up(change=0):
    """Sums as the theorem says, in the last of which a number is changed."""
    folds = [betti_numbers._fold(2, NEURONS // depth, depth) for depth in betti_numbers.DEPTHS]
    folds += [betti_numbers._fold(2, 4, depth) for depth in range(1, 8)]
    finished = [
        Finished(case, {"betti": [predicted_deep(2, case["width"], case["hidden"]), 0], "kind": "PROVED"}, 0.0)
        for case in folds
    ]
    finished[-1].result["betti"][1] += change
    random = {"weights": "random", "inputs": 2, "width": NEURONS, "hidden": 1, "seed": 5}
    return [*finished, Finished(random, {"betti": [20, 30], "kind": "PROVED"}, 0.0)]


def test_verdicts():
    assert betti_numbers.analyze(made_up()).verdict.answer == "holds"
    assert betti_numbers.analyze(made_up(1)).verdict.answer == "contradicts"
    above = Finished(made_up()[-1].inputs, {"betti": [most_vertices(2, NEURONS), 1], "kind": "PROVED"}, 0.0)
    assert betti_numbers.analyze([*made_up(), above]).verdict.answer == "contradicts"
    for few in ([], made_up()[:1], made_up()[1:5]):
        assert betti_numbers.analyze(few).verdict.answer == "undecided"


def test_figure(tmp_path):
    finished = made_up()
    figure = betti_numbers.draw(finished, betti_numbers.analyze(finished))
    figure.savefig(tmp_path / "figure.svg")
    titles = [axes.get_title() for axes in figure.axes]
    assert [f"$L={depth}$: $b_0={4 ** (depth - 1)}$" for depth in (1, 2, 3, 4)] == titles[:4]
