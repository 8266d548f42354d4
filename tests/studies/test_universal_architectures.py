"""The universal-architectures study: the entropy against counting, cases, verdicts of made-up digits, the figure."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from epsnet.experiments import Finished
from epsnet.studies import universal_architectures
from epsnet.studies.registry import find
from epsnet.studies.universal_architectures import ADDEND, FACTOR, FUNCTIONS, STEEPNESS, entropy, entropy_in_the_plane


def test_the_entropy_is_below_a_packing_number():
    """An interval of length 2a is covered by a/eps balls; of two coefficients, no more than a packing allows."""
    assert entropy([3.0], 0.25) == pytest.approx(math.log2(3.0 / 0.25))
    assert entropy([1e-9], 1.0) == 0.0
    assert entropy([], 0.1) == 0.0
    # Points of the box that differ by more than 2 eps in the sup norm need balls of their own; a finest grid of steps
    # eps covers, so its size is an upper bound of the covering number.
    a, eps = (0.8, 0.5, 0.2), 0.05
    y = np.cos(np.linspace(0, np.pi, 201))
    basis = np.stack([np.ones_like(y), y, 2 * y * y - 1])
    step = 2 * eps / 3
    counts = [math.ceil(2 * bound / step) for bound in a]
    # Every point of the box is within step/2 in each coefficient, hence within 3 step/2 = eps in the sup norm.
    assert (
        max(np.abs(np.array(s) @ basis).max() for s in itertools.product((-1, 1), repeat=3)) * step / 2 <= eps + 1e-12
    )
    assert 0 < entropy(a, eps) <= math.log2(math.prod(counts))


def test_entropy_grows_by_one_bit_per_coefficient_and_octave():
    a = [1.0] * 6
    assert entropy(a, 2.0**-21) - entropy(a, 2.0**-20) == pytest.approx(6)


def test_cases_grow_with_the_budget():
    study = find("universal-architectures")
    small, large = study.cases(study.budget, 0), study.cases(1000, 0)
    assert all(case in large for case in small) and len(large) > len(small)
    assert {case["scheme"] for case in small} == {"codec", "calkin-wilf", "euaf", "steps", "relu"}
    assert {case["formula"] for case in small if case["scheme"] == "codec"} == {formula for formula, _ in FUNCTIONS}


@pytest.mark.parametrize("scheme", ["codec", "calkin-wilf", "euaf", "relu"])
def test_measurements_are_verified(scheme):
    found = universal_architectures.measure({"formula": "exp(x)", "scheme": scheme, "eps": "2e-1"})
    assert found["kind"] == "VERIFIED" and found["error"] <= 0.2
    assert found["bits"] >= (found["weight_bits"] or 0) > 0 or scheme == "relu"


def test_an_index_that_is_too_long_is_only_estimated():
    found = universal_architectures.measure({"formula": "exp(x)", "scheme": "calkin-wilf", "eps": "1e-4"})
    assert found["kind"] == "ESTIMATED" and found["error"] is None and found["bits"] > 13_000


@pytest.mark.parametrize("scheme", ["euaf", "steps"])
def test_two_variables(scheme):
    """Pyramids on the m^2 squares of a grid, with random signs: as steep as stated, and far apart."""
    eps = 0.2
    found = universal_architectures.measure({"formula": "x*y", "scheme": scheme, "eps": str(eps)})
    assert found["kind"] == "VERIFIED" and found["error"] <= eps
    assert found["bits"] >= found["weight_bits"] >= entropy_in_the_plane(eps) == 16
    m = 4
    generator = np.random.Generator(np.random.Philox(3))
    x, y = generator.uniform(0, 1, (2, 4000, 2))

    def function(signs, points):
        cell = np.minimum((m * points).astype(int), m - 1)
        height = STEEPNESS * (1 / (2 * m) - np.abs(points - (cell + 0.5) / m).max(axis=1))
        return signs[cell[:, 0], cell[:, 1]] * height

    signs = generator.choice([-1, 1], (m, m))
    assert np.all(
        np.abs(function(signs, x) - function(signs, y)) <= STEEPNESS * np.abs(x - y).max(axis=1) * (1 + 1e-12)
    )
    assert 2 * function(np.ones((m, m)), np.array([[0.5 / m, 0.5 / m]]))[0] > 2 * eps
    assert entropy_in_the_plane(2.0) == 0


def synthetic(bits):
    """Measurements in which `bits` gives the digits from H."""
    from epsnet.approximation.universal import chebyshev_coefficients

    finished = []
    for formula, _ in FUNCTIONS:
        series = chebyshev_coefficients(universal_architectures._target(formula)).tolist()
        for eps in ("1e-1", "1e-3", "1e-6"):
            digits = bits(entropy(series, float(eps)))
            result = {"bits": digits, "weight_bits": digits, "error": float(eps), "kind": "VERIFIED"}
            finished.append(Finished({"formula": formula, "scheme": "codec", "eps": eps}, result, 0.0))
    return finished


@pytest.mark.parametrize(
    ("bits", "answer"),
    [
        (lambda h: 2 * h + 30, "holds"),
        (lambda h: 0.99 * h, "contradicts"),
        (lambda h: 1.01 * (FACTOR * h + ADDEND), "contradicts"),
        (lambda h: h**2, "contradicts"),
    ],
    ids=["a good code", "below the entropy", "too long", "another power"],
)
def test_verdict_of_made_up_digits(bits, answer):
    analysis = universal_architectures.analyze(synthetic(bits))
    assert analysis.verdict.answer == answer
    assert analysis.verdict.reason.endswith(".")


def test_too_few_cases_decide_nothing():
    assert universal_architectures.analyze(synthetic(lambda h: 2 * h)[:3]).verdict.answer == "undecided"
    assert universal_architectures.analyze([]).verdict.answer == "undecided"


def test_figure(tmp_path):
    finished = synthetic(lambda h: 2 * h + 30)
    figure = universal_architectures.draw(finished, universal_architectures.analyze(finished))
    figure.savefig(tmp_path / "figure.svg")
    left, right, plane = figure.axes
    assert plane.get_xscale() == left.get_xscale() == left.get_yscale() == right.get_yscale() == "log"
    legend = right.get_legend()
    assert legend is not None and len(legend.get_texts()) == len(FUNCTIONS)
