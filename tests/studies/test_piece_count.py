"""The piece-count study: constants in closed form and by mpmath, counts by the full certificate, fits on known data."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet import Box, CheckError, Target, learn
from epsnet.certify.errors import CertificateError
from epsnet.core.target import read_domain
from epsnet.enclosure.tube import Path, minimal_link_path, outer_windows
from epsnet.experiments import Finished
from epsnet.studies import piece_count
from epsnet.studies.piece_count import FUNCTIONS, constant

BY_FORMULA = {function.formula: function for function in FUNCTIONS}
MPMATH = {
    "exp(x)": mpmath.exp,
    "sqrt(x)": mpmath.sqrt,
    "gelu(x)": lambda x: x * mpmath.ncdf(x),
    "tanh(x)": mpmath.tanh,
    "1/(1 + 25*x^2)": lambda x: 1 / (1 + 25 * x * x),
    "sin(x)": mpmath.sin,
}


def test_closed_forms():
    assert constant(BY_FORMULA["exp(x)"]) == pytest.approx((math.sqrt(math.e) - 1) / 2, rel=1e-9)
    assert constant(BY_FORMULA["sqrt(x)"]) == pytest.approx(1 / 2, rel=1e-9)
    # int_0^pi sin(x)^(1/2) dx = sqrt(pi) Gamma(3/4)/Gamma(5/4)
    half_wave = math.sqrt(math.pi) * math.gamma(3 / 4) / math.gamma(5 / 4)
    rest = float(mpmath.quad(lambda x: mpmath.sqrt(abs(mpmath.sin(x))), [3 * mpmath.pi, 10]))
    assert constant(BY_FORMULA["sin(x)"]) == pytest.approx((3 * half_wave + rest) / 4, rel=1e-9)


@pytest.mark.parametrize("function", FUNCTIONS, ids=[f.formula for f in FUNCTIONS])
def test_second_derivatives_and_inflections(function):
    """Numerical differentiation of an independent implementation gives f'', and it vanishes where it should."""
    from epsnet.core.evaluate import evaluate_float
    from epsnet.core.grammar import parse

    domain, _ = read_domain(function.domain)
    low, high = float(domain.lower[0]), float(domain.upper[0])
    f, second = MPMATH[function.formula], parse(function.second_derivative)
    signs = []
    with mpmath.workdps(40):
        for x in np.linspace(low, high, 41)[1:-1]:
            value = float(evaluate_float(second, {"x": np.float64(x)}))
            assert value == pytest.approx(float(mpmath.diff(f, mpmath.mpf(x), 2)), rel=1e-10, abs=1e-12)
    for place in function.inflections:
        assert abs(float(evaluate_float(second, {"x": np.float64(place)}))) < 1e-12
    grid = np.linspace(low, high, 10_001)[1:-1]
    signs = np.sign(evaluate_float(second, {"x": grid}))
    assert np.count_nonzero(np.diff(signs[signs != 0])) == len(function.inflections)


@pytest.mark.parametrize(("formula", "eps", "pieces"), [("exp(x)", "1e-3", 11), ("gelu(x)", "1e-2", 7)])
def test_counts_are_those_of_the_full_certificate(formula, eps, pieces):
    domain = BY_FORMULA[formula].domain
    found = piece_count.measure({"formula": formula, "domain": domain, "eps": eps})
    assert found == {"pieces": pieces, "at_least": pieces, "kind": "VERIFIED"}
    solution = learn(Target(formula, read_domain(domain)[0]), eps)
    assert solution.optimality is not None and solution.optimality.value == pieces


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_parabola_has_a_closed_form(n):
    """On n equal pieces x^2 is at distance 1/(8 n^2), so this is the h^2 |f''|/16 of the theorem."""
    for eps, pieces in ((Fraction(101, 800 * n * n), n), (Fraction(99, 800 * n * n), n + 1)):
        found = piece_count.measure({"formula": "x^2", "domain": "0,1", "eps": str(eps)})
        assert (found["pieces"], found["at_least"]) == (pieces, pieces)


def test_a_wrong_polygon_or_window_is_refused():
    target, eps = Target("exp(x)", Box(0, 1)), Fraction(1, 100)
    path = minimal_link_path(target, 0.0, 1.0, 0.0099)
    piece_count._enclose(target, path, eps)
    wrong = path.values.copy()
    wrong[1] += 0.002
    with pytest.raises(CertificateError, match="Ask for a larger eps"):
        piece_count._enclose(target, Path(path.breakpoints, wrong), eps)
    windows = outer_windows(target, 0.0, 1.0, 0.01)
    assert piece_count._at_least(target, eps, windows) == 4
    with pytest.raises(CheckError):
        piece_count._at_least(target, eps * 2, windows)


def synthetic(count, quarters=range(6, 22)):
    """Measurements in which `count` gives n(eps) from the constant of a function and eps."""
    cases = [(f, 10 ** (-q / 4)) for q in quarters for f in FUNCTIONS]
    return [
        Finished(
            {"formula": f.formula, "domain": f.domain, "eps": f"{eps:.2e}"},
            {"pieces": (n := math.ceil(count(constant(f), eps))), "at_least": n, "kind": "VERIFIED"},
            0.0,
        )
        for f, eps in cases
    ]


@pytest.mark.parametrize(
    ("count", "answer"),
    [
        (lambda c, eps: c * eps**-0.5, "holds"),
        (lambda c, eps: c * eps**-0.5 + 1, "undecided"),
        (lambda c, eps: 1.1 * c * eps**-0.5, "contradicts"),
        (lambda c, eps: c * eps**-0.6, "contradicts"),
    ],
    ids=["theorem", "theorem with one piece more", "other constant", "other rate"],
)
def test_verdict_of_made_up_counts(count, answer):
    analysis = piece_count.analyze(synthetic(count))
    assert analysis.verdict.answer == answer
    assert len(analysis.comparisons) == 12
    assert analysis.verdict.reason.endswith(".")


def test_too_few_cases_decide_nothing():
    for quarters in (range(0), range(6, 8)):
        analysis = piece_count.analyze(synthetic(lambda c, eps: c * eps**-0.5, quarters))
        assert analysis.verdict.answer == "undecided"


def test_figure(tmp_path):
    finished = synthetic(lambda c, eps: c * eps**-0.5)
    figure = piece_count.draw(finished, piece_count.analyze(finished))
    figure.savefig(tmp_path / "figure.svg")
    counts, ratios = figure.axes
    lines = [line for line in counts.lines if line.get_linestyle() == "-" and line.get_marker() == "None"]
    assert len(lines) == len(FUNCTIONS)
    for line in lines:
        x, y = line.get_xdata(), line.get_ydata()
        assert np.diff(np.log(y)) / np.diff(np.log(x)) == pytest.approx(-0.5)
    assert ratios.get_ylabel().endswith("/C$")
