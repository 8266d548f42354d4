"""The study of effective rates: cases by budget, one measurement of each kind, verdicts of made-up learners."""

import math
from fractions import Fraction

import numpy as np
import pytest

from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Network
from epsnet.experiments import Finished
from epsnet.studies import effective_rates
from epsnet.studies.effective_rates import CHEATERS, FUNCTIONS, MAIOROV_PINKUS, UNIVERSAL, log2_magnitude, subjects


def test_cases():
    small, usual = effective_rates.cases(5, 0), effective_rates.cases(60, 0)
    assert usual[: len(small)] == small
    for name, subject in subjects().items():
        sizes = [case["size"] for case in usual if case["class"] == name]
        assert sizes[0] == subject.first and sum(size >= 16 * subject.first for size in sizes) >= 3
    assert {case["formula"] for case in usual if case["class"] == MAIOROV_PINKUS} == set(FUNCTIONS)


def test_the_functions_are_members():
    """|f_x| + |f_y| <= 1: Lipschitz constant 1 in the norm max |x_i|."""
    x, y = np.meshgrid(np.linspace(0, 1, 301), np.linspace(0, 1, 301), indexing="ij")
    for f in (np.sin(6 * x + 2 * y) / 9, x * y / 2):
        gradient = np.abs(np.gradient(f, 1 / 300)).sum(axis=0)
        assert gradient.max() <= 1 + 1e-12
    assert FUNCTIONS == ("sin(6*x + 2*y)/9", "x*y/2")


def test_measurements():
    case = {"class": MAIOROV_PINKUS, "formula": FUNCTIONS[0], "size": 4}
    (stored,) = effective_rates.measure(case)["stored"]
    assert stored["error"] <= 0.25 and stored["weights"] == 118 and 30 < stored["log2_magnitude"] < stored["bits"]
    found = effective_rates.measure({"class": "Lipschitz ball", "size": 8, "seed": 0})["stored"]
    assert len(found) == 12 and {one["bits"] for one in found} == {7}


def test_magnitude_beyond_float64():
    huge = Fraction(3 * 2**2000 + 1, 7)
    network = Network.from_layers(
        [(linear_map((1, 1), {(0, 0): huge}), bias_vector([Fraction(1, 2)])), (np.ones((1, 1)), [0.0])], "sigma-steps"
    )
    assert log2_magnitude(network) == pytest.approx(2000 + math.log2(3 / 7), abs=1e-9)


def synthetic(shift=0.0, cheater_growth=9.0):
    """Errors N^-(gamma* + shift) of all classes, and cheaters with weights 2^(growth N)."""
    rng, finished = np.random.default_rng(0), []
    names = {name: (s.model_class.optimal_rate, s.sizes()) for name, s in subjects().items()}
    names[MAIOROV_PINKUS] = (0.5, [4, 8, 16, 32])
    for name, (rate, sizes) in names.items():
        for size in [n for n in sizes if n <= 1024]:
            cheats = name in CHEATERS
            one = {
                "error": size ** -(rate + shift * (not cheats)) * math.exp(0.005 * rng.normal()),
                "weights": 118 if cheats and cheater_growth > 1 else 3 * size,
                "bits": 9 * size, "log2_magnitude": cheater_growth * size if cheats else math.log2(size), "depth": 1,
            }  # fmt: skip
            finished.append(Finished({"class": name, "size": size}, {"stored": [one]}, 0.0))
    return finished


@pytest.mark.parametrize(
    ("shift", "growth", "answer"),
    [(0.0, 9.0, "holds"), (-0.02, 9.0, "holds"), (-0.3, 9.0, "contradicts"), (0.3, 9.0, "contradicts"),
     (0.0, 1e-4, "contradicts")],
    ids=["theorem", "nearly", "slower", "faster", "undetected"],
)  # fmt: skip
def test_verdicts(shift, growth, answer):
    analysis = effective_rates.analyze(synthetic(shift, growth))
    assert analysis.verdict.answer == answer
    assert len(analysis.comparisons) == 16 and len(analysis.remarks) >= len(CHEATERS)
    assert analysis.verdict.reason.endswith(".")


def test_a_tiny_budget_decides_nothing(tmp_path):
    finished = [Finished(case, effective_rates.measure(case), 0.0) for case in effective_rates.cases(0.06, 0)]
    assert finished
    analysis = effective_rates.analyze(finished)
    assert analysis.verdict.answer == "undecided" and not analysis.comparisons
    effective_rates.draw(finished, analysis).savefig(tmp_path / "figure.svg")


def test_figure(tmp_path):
    finished = synthetic()
    figure = effective_rates.draw(finished, effective_rates.analyze(finished))
    figure.savefig(tmp_path / "figure.svg")
    left, right = figure.axes
    assert len(left.get_legend().get_texts()) == 9 and len(right.get_yticks()) == 8
    assert UNIVERSAL in right.texts[0].get_text()
