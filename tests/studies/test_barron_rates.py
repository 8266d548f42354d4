"""The Barron study: its constants, certified measurements on a tiny budget, verdicts of made-up errors."""

import math

import mpmath
import numpy as np
import pytest

from epsnet.experiments import Finished
from epsnet.studies import barron_rates
from epsnet.studies.barron_rates import FUNCTIONS, METHODS


def test_the_constants():
    """M from the profiles, norms by quadrature; the variation of f' over two periods of frequency k is 8 k."""
    wave, product = FUNCTIONS
    variation = mpmath.quad(lambda x: abs(4 * mpmath.pi**2 * mpmath.sin(2 * mpmath.pi * x)), [0, 0.5, 1])
    assert wave.radius == pytest.approx(float(variation) + 2 * math.pi)
    k = 2 * math.pi * math.sqrt(2)
    assert product.radius == pytest.approx(2 * 0.5 * (8 * k + k))
    x = (np.arange(1000) + 0.5) / 1000
    assert wave.norm == pytest.approx(math.sqrt(np.mean(np.sin(2 * np.pi * x) ** 2)))
    values = np.sin(2 * np.pi * x)[:, None] * np.cos(2 * np.pi * x)
    assert product.norm == pytest.approx(math.sqrt(np.mean(values**2)))
    assert wave.ridge == pytest.approx(math.sqrt(np.mean(x**2)), rel=1e-6)
    assert product.ridge == pytest.approx(math.sqrt(np.mean((x[:, None] + x) ** 2) / 2), rel=1e-6)
    assert (wave.rate, product.rate) == (-2, -1.25)


NEURONS = (4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128)


def test_a_tiny_budget():
    cases = barron_rates.cases(0.2, 0)
    assert sorted({case["neurons"] for case in cases}) == [4, 6, 8] and len(cases) == 18
    assert sorted({case["neurons"] for case in barron_rates.cases(60, 0)}) == list(NEURONS)
    finished = [Finished(case, barron_rates.measure(case), 0.0) for case in cases]
    for function in FUNCTIONS:
        for method in METHODS:
            counts, errors = barron_rates._curve(finished, function, method)
            assert counts == [4, 6, 8] and np.all(np.diff(errors) < 0)
    for case in finished:
        assert case.result["kind"] == "VERIFIED"
    assert barron_rates.analyze(finished).verdict.answer == "undecided"


def synthetic(shift, factor, noise=0.02):
    generator = np.random.Generator(np.random.Philox(2))
    finished = []
    for n in NEURONS:
        for function in FUNCTIONS:
            for method in METHODS:
                error = (
                    n ** (function.rate + shift) if method == "orthogonal" else factor * function.guarantee * n**-0.5
                )
                result = {"error": error * math.exp(noise * generator.normal()), "variation": 1.0, "kind": "ESTIMATED"}
                inputs = {"formula": function.formula, "method": method, "neurons": n}
                finished.append(Finished(inputs, result, 0.0))
    return finished


@pytest.mark.parametrize(
    ("shift", "factor", "noise", "answer"),
    [
        (0.0, 0.5, 0.02, "holds"),
        (-0.5, 0.5, 0.02, "holds"),
        (0.2, 0.5, 0.02, "contradicts"),
        (0.0, 1.5, 0.02, "contradicts"),
        (0.08, 0.5, 0.2, "undecided"),
    ],
    ids=["theorem", "faster", "slower", "guarantee missed", "noise"],
)
def test_verdicts(shift, factor, noise, answer):
    analysis = barron_rates.analyze(synthetic(shift, factor, noise))
    assert analysis.verdict.answer == answer
    assert len(analysis.comparisons) == 6
    assert analysis.verdict.reason.endswith(".")


def test_figure(tmp_path):
    finished = synthetic(0.0, 0.5)
    figure = barron_rates.draw(finished, barron_rates.analyze(finished))
    figure.savefig(tmp_path / "figure.svg")
    assert len(figure.axes) == 2
    for axes, function in zip(figure.axes, FUNCTIONS, strict=True):
        dashed = [line for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
        slopes = {
            round(float(np.diff(np.log(d.get_ydata()))[0] / np.diff(np.log(d.get_xdata()))[0]), 9) for d in dashed
        }
        assert slopes == {function.rate, -0.5}
