"""Formulas: the grammar against Python, exactness, printing, tracing, and evaluation of deep and shared nodes."""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.evaluate import evaluate_ball, evaluate_exact, evaluate_float, evaluate_jet, fold
from epsnet.core.expression import Expression, apply, number, postorder, trace, variable
from epsnet.core.functions import FUNCTIONS
from epsnet.core.grammar import parse

TABLE = {
    "1 + 2*3": "1+2*3",
    "2 - 3 - 4": "2-3-4",
    "12/4/3": "12/4/3",
    "-x^2": "-(x**2)",
    "2^-1": "2**-1",
    "2^3^2": "2**9",
    "2**3**2": "2**9",
    "-2^2": "-4",
    "(-2)^2": "4",
    "x^-2": "x**-2",
    "x^(1/2)": "math.sqrt(x)",
    "x^1.5": "x**1.5",
    "x^(1/3)": "x**(1/3)",
    "x^y": "x**y",
    "e^x": "math.exp(x)",
    "2^x": "2**x",
    "--x": "x",
    "+-+x": "-x",
    "2*-x": "-2*x",
    "x/-y": "-x/y",
    "1/2*x": "x/2",
    "x/2/y": "x/2/y",
    "x - (y - 1)": "x-(y-1)",
    "x - y + 1": "x-y+1",
    "2*pi*e": "2*math.pi*math.e",
    ".5 + 2. + 1e-3 + 1.5E2": "0.5+2+1e-3+150",
    "exp(-x^2) + sin(2*pi*x)": "math.exp(-x*x)+math.sin(2*math.pi*x)",
    "log(x)": "math.log(x)",
    "max(x, y, 1/2)": "max(x,y,0.5)",
    "min(x, y, 1/2)": "min(x,y,0.5)",
    "relu(x - 1)": "max(x-1,0)",
    "abs(x - y)": "abs(x-y)",
    "tan(x)+atan(y)-sinh(x)*cosh(y)": "math.tan(x)+math.atan(y)-math.sinh(x)*math.cosh(y)",
    "asin(x/4)+acos(y/4)": "math.asin(x/4)+math.acos(y/4)",
    "sqrt(x)*erf(y)": "math.sqrt(x)*math.erf(y)",
    "sigmoid(x)+softplus(y)": "1/(1+math.exp(-x))+math.log1p(math.exp(y))",
    "gelu(x)-silu(y)": "x*(1+math.erf(x/math.sqrt(2)))/2-y/(1+math.exp(-y))",
    "cos(sqrt(x))^2": "math.cos(math.sqrt(x))**2",
    "x^0": "1",
    "0^0": "1",
    "((x))": "x",
}


@pytest.mark.parametrize("text", TABLE)
def test_grammar(text):
    rng = np.random.default_rng(0)
    f = parse(text)
    for x, y in rng.uniform(0.1, 3, size=(10, 2)).tolist():
        expected = eval(TABLE[text], {"math": math, "x": x, "y": y, "max": max, "min": min, "abs": abs})
        point = {"x": x, "y": y}
        assert evaluate_float(f, {k: np.float64(v) for k, v in point.items()}) == pytest.approx(
            expected, rel=1e-13, abs=1e-13
        )
        with ball_arithmetic():
            enclosure = evaluate_ball(f, {k: arb(v) for k, v in point.items()})
            assert enclosure.rad() < 1e-25
            assert float(enclosure.mid()) == pytest.approx(expected, rel=1e-13, abs=1e-13)
        again = parse(str(f))
        assert evaluate_float(again, {k: np.float64(v) for k, v in point.items()}) == pytest.approx(
            expected, rel=1e-13, abs=1e-13
        )


ERRORS = {
    "": "ends too early",
    "x +": "ends too early",
    "x y": "'y' is not expected",
    "2x": "'x' is not expected",
    "(x": "closing parenthesis is missing",
    "x)": "not expected",
    "sin x": "'sin' is unknown",
    "foo(x)": "'foo' is unknown",
    "alpha + 1": "'alpha' is unknown",
    "sin(x, y)": "takes one argument",
    "sin()": "is not expected",
    "x $ 2": r"'\$' does not belong",
    "x = 1": "'=' does not belong",
    "1e999": "out of range",
    "1e-99999999999": "out of range",
    "1/0": "divides by zero",
    "x/(1-1)": "divides by zero",
    "x^99999": "beyond 10000",
    "x^1e400": "beyond 10000",
    "identity(x)": "unknown",
    "reciprocal(x)": "unknown",
    "(" * 100 + "x" + ")" * 100: "levels are nested",
    "^".join(["x"] * 100): "levels are nested",
    "9" * 5000: "characters",
    "*".join(["1e400"] * 100): "bits",
    "x" * 100_001: "characters",
}


@pytest.mark.parametrize("text", ERRORS, ids=lambda text: text[:12])
def test_errors_say_what_is_wrong(text):
    with pytest.raises(DomainError, match=ERRORS[text]):
        parse(text)


def test_towers_of_powers_stay_small():
    f = parse("((((9^60)^60)^60)^60)")
    assert len(str(f)) < 4000
    assert evaluate_float(f, {}) == np.inf
    assert str(parse(str(f))) == str(f)


def test_decimals_are_exact():
    assert evaluate_exact(parse("0.1 + 0.2"), {}) == Fraction(3, 10)
    assert evaluate_exact(parse("1e-3*x"), {"x": Fraction(1, 3)}) == Fraction(1, 3000)
    assert (
        evaluate_exact(parse("x^3 - relu(-x)/7 + 1/x"), {"x": Fraction(-1, 2)}) == Fraction(-1, 8) - Fraction(1, 14) - 2
    )
    assert evaluate_exact(as_float := number(0.1), {}) == Fraction(0.1) != Fraction(1, 10), as_float
    with pytest.raises(PrecisionError, match="pi is not rational"):
        evaluate_exact(parse("pi"), {})
    with pytest.raises(PrecisionError, match="sin"):
        evaluate_exact(parse("sin(x)"), {"x": Fraction(1)})
    with pytest.raises(DomainError, match="divides by zero"):
        evaluate_exact(parse("1/x"), {"x": Fraction(0)})
    assert evaluate_float(parse("1e400"), {}) == np.inf


LEAVES = st.one_of(
    st.sampled_from(["x", "y", "x1"]).map(variable),
    st.fractions(max_denominator=20).map(number),
    st.just(Expression("constant", "pi")),
)


def grow(parts):
    pairs = st.tuples(parts, parts)
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        parts.map(lambda p: -p),
        parts.map(lambda p: 1 / (2 + p * p)),
        st.tuples(parts, st.integers(0, 4)).map(lambda p: p[0] ** p[1]),
        st.tuples(st.sampled_from(["sin", "relu", "abs", "tanh", "atan"]), parts).map(lambda p: apply(*p)),
    )


FORMULAS = st.recursive(LEAVES, grow, max_leaves=12)
VALUES = st.fractions(-3, 3, max_denominator=50)


@given(FORMULAS, VALUES, VALUES, VALUES)
def test_printing_and_parsing_again(f, x, y, z):
    again = parse(str(f))
    assert again.variables == f.variables
    with ball_arithmetic():
        point = {"x": ball(x), "y": ball(y), "x1": ball(z)}
        one, other = evaluate_ball(f, point), evaluate_ball(again, point)
        if one.is_finite():
            assert one.overlaps(other)
            assert other.rad() < 1e-20 * (1 + abs(one.mid()))
    assert str(parse(str(again))) == str(again)


@given(FORMULAS, VALUES, VALUES, st.fractions(0, 1, max_denominator=40), st.fractions(0, 1, max_denominator=40))
def test_jets_contain_values_and_derivatives(f, x, y, s, t):
    """On [x, x + 1/2] x [y, y + 1/4]: the jet over the box contains the jet at each point of it."""
    names = ("x", "y", "x1")
    with ball_arithmetic():
        box = (ball(x).union(ball(x + Fraction(1, 2))), ball(y).union(ball(y + Fraction(1, 4))), arb(1))
        point = (ball(x + s / 2), ball(y + t / 4), arb(1))
        wide, sharp = evaluate_jet(f, names, box), evaluate_jet(f, names, point)
        pairs = [(wide.value, sharp.value), *zip(wide.gradient, sharp.gradient, strict=True)]
        pairs += [(a, b) for r, q in zip(wide.hessian, sharp.hessian, strict=True) for a, b in zip(r, q, strict=True)]
        for a, b in pairs:
            assert not a.is_finite() or not b.is_finite() or a.overlaps(b)
        # Against difference quotients along x, at a point where nothing is a kink.
        h = Fraction(1, 2**40)
        values = [evaluate_ball(f, {"x": ball(x + s / 2 + k * h), "y": point[1], "x1": arb(1)}) for k in (-1, 0, 1)]
        if sharp.hessian[0][0].is_finite() and abs(sharp.hessian[0][0]) < 1e6:
            slope = (values[2] - values[0]) / ball(2 * h)
            gap = abs(slope.mid() - sharp.gradient[0])
            assert gap < 1e-8 * (1 + abs(slope.mid())) + 1e-4 + slope.rad()


def test_deep_formulas_do_not_recurse():
    text = "+".join(f"sin({k}*x)" for k in range(5000))
    f = parse(text)
    assert len(postorder(f)) > 10_000
    total = evaluate_float(f, {"x": np.array([0.0, 0.5])})
    assert total[1] == pytest.approx(np.sin(0.5 * np.arange(5000)).sum(), rel=1e-9)
    assert parse(str(f)).variables == ("x",)
    nested = variable("x")
    for _ in range(5000):
        nested = apply("sin", nested)
    assert abs(evaluate_float(nested, {"x": np.float64(1.0)})) < 0.1
    del nested


def test_shared_nodes_are_evaluated_once():
    x = variable("x")
    calls = []

    def function(f, y):
        calls.append(f.name)
        return f.float64(y)

    f = apply("tanh", x)
    for _ in range(40):
        f = apply("sin", f + f)
    fold(f, leaf=lambda node: np.float64(0.3), function=function, power=pow)
    assert len(calls) == 41
    with pytest.raises(DomainError, match="characters"):
        str(f)


def test_names_of_variables():
    assert parse("x10 + x2 + y + a").variables == ("a", "x2", "x10", "y")
    assert set(parse("x01 + x1").variables) == {"x01", "x1"}
    for name in ("e", "pi", "xy", "1x", "", "x_1", "é"):
        with pytest.raises(DomainError, match="cannot name"):
            variable(name)


def test_undefined_is_not_finite():
    with ball_arithmetic():
        for text in (
            "1/x",
            "sin(1/x)",
            "cos(log(x))",
            "atan(1/x)",
            "tanh(1/x)",
            "0*(1/x)",
            "relu(1/x)",
            "exp(-1/x^2)",
            "(1/x)^2",
        ):
            assert not evaluate_ball(parse(text), {"x": arb(0, 1)}).is_finite()
        assert not evaluate_ball(parse("x^x"), {"x": arb(0)}).is_finite()


TRACED = [
    (lambda x: np.exp(-(x**2)), "exp(-x^2)"),
    (lambda x: np.maximum(x, 0) + np.minimum(x, 1), "max(x, 0) + min(x, 1)"),
    (lambda x: abs(x) + np.abs(x) + np.fabs(x), "3*abs(x)"),
    (lambda x: np.float64(2.5) * x + np.int64(3), "2.5*x + 3"),
    (lambda x: np.sqrt(x + 5) / np.log1p(x + 7) - np.expm1(x), "sqrt(x+5)/log(x+8) - exp(x) + 1"),
    (lambda x: 2**x + np.power(x + 5, 2) + np.square(x) + np.reciprocal(x + 9), "2^x + (x+5)^2 + x^2 + 1/(x+9)"),
    (lambda x: np.arctan(x) + np.arcsin(x / 9) + np.arccos(x / 9), "atan(x) + asin(x/9) + acos(x/9)"),
    (lambda x: -x - 1 + +x, "-1"),
    (lambda x: 3, "3"),
    (lambda x: sum(np.sin(k * x) for k in range(4)), "sin(x) + sin(2*x) + sin(3*x)"),
]


@pytest.mark.parametrize("index", range(len(TRACED)))
def test_trace(index):
    function, text = TRACED[index]
    f, points = trace(function, ["x"]), {"x": np.linspace(-3, 3, 13)}
    np.testing.assert_allclose(evaluate_float(f, points), evaluate_float(parse(text), points), rtol=1e-13)


REFUSED = [
    lambda x: x if x > 0 else 0,
    lambda x: 1.0 if x == 0 else np.sin(x) / x,
    lambda x: 1.0 if x != 0 else 2.0,
    lambda x: 1.0 if x in (0, 1) else x,
    lambda x: max(x, 0),
    math.exp,
    float,
    int,
    lambda x: x // 2,
    lambda x: x % 2,
    round,
    np.sign,
    lambda x: np.where(x > 0, x, 0),
    lambda x: np.exp(x, where=True),
    lambda x: np.clip(x, 0, 1),
    lambda x: "x",
    lambda x: None,
    lambda x: x / 0,
    lambda x: x + math.nan,
    lambda x: x + math.inf,
    lambda x: np.array([1.0]) * x,
    lambda x: x and 1,
    lambda x, y: x,
]


@pytest.mark.parametrize("index", range(len(REFUSED)))
def test_what_cannot_be_traced_is_refused(index):
    """A condition that Python would silently decide for the symbol, such as x == 0, must not pass as a formula."""
    with pytest.raises(DomainError, match="Python function"):
        trace(REFUSED[index], ["x"])


def test_every_function_of_the_grammar_evaluates():
    for name in FUNCTIONS:
        f = apply(name, variable("x"))
        with ball_arithmetic():
            value = evaluate_ball(f, {"x": arb(0.5)})
        assert float(value.mid()) == pytest.approx(float(evaluate_float(f, {"x": np.float64(0.5)})), rel=1e-14)
