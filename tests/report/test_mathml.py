"""MathML means what the formula means: it is read back by another reader and evaluated beside the formula."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epsnet import Bound, Box, Kind, Target
from epsnet.certify.theorems import registry
from epsnet.core.evaluate import evaluate_float
from epsnet.core.grammar import parse
from epsnet.report.mathml import expression, formula, latex, prose, statement
from epsnet.report.page import Markup, markup

NAMES = {
    "sin": math.sin, "cos": math.cos, "tanh": math.tanh, "log": math.log, "abs": abs, "sqrt": math.sqrt,
    "relu": lambda x: max(x, 0.0), "e": math.e, "π": math.pi,
}  # fmt: skip


def tree(content):
    return ET.fromstring(f"<all>{markup(content).replace('<wbr>', '')}</all>")


def words(content):
    return "".join(tree(content).itertext())


def python(node):
    """Return the Python expression that presentation MathML shows."""
    parts = [python(child) for child in node]
    text = node.text or ""
    match node.tag:
        case "mn":
            return f"({text})" if "/" in text else text
        case "mi":
            return text
        case "mo":
            return {"−": "-", "⋅": "*", "×": "*", "(": "(", ")": ")", "+": "+", "|": "|"}[text]
        case "mspace":
            return "*"
        case "mfrac":
            return f"(({parts[0]})/({parts[1]}))"
        case "msup":
            return f"(({parts[0]})**({parts[1]}))"
        case "msub":
            return parts[0] + parts[1]
        case "msqrt":
            return f"sqrt({''.join(parts)})"
        case _:
            if parts[:1] == ["|"] and parts[-1:] == ["|"]:
                return f"abs({''.join(parts[1:-1])})"
            return "".join(parts)


FORMULAS = [
    "1/(1+25*x^2)", "exp(-x^2)+sin(2*pi*x)", "-x^2/2", "sqrt(abs(x))*3*2", "x^-3", "x*x10-tanh(x)/(x-1)", "2^x", "-3",
    "0.1*x - 1/3", "(x+1)^2*(x-1)", "-(x-1)*(x10+2)/3", "-3*x^2*sin(x)", "log(x)/x", "(1/x)^2", "exp(x)^2", "x-(x-x10)",
    "x-(-2)*x10", "(x/x10)/(x10/x)", "-(-x)", "relu(-x)", "(2/3)^5*x", "e^2*x", "x/e/pi", "2*3.5*x", "x*-2", "0.001*x",
    "1/3", "123456789123*x", "(x^2)^3", "-(x+1)", "1-(x+1)", "1-2*(x-1)", "(1/3)*(x+1)", "x/1000", "sqrt(x+1)^3",
]  # fmt: skip


def assert_same_value(value):
    shown = python(tree(formula(expression(value))).find("math"))
    for x, y in ((0.7, 1.3), (1.9, 0.4)):
        wanted = float(evaluate_float(value, {"x": np.array(x), "x10": np.array(y)}))
        found = eval(shown, {"__builtins__": {}}, {**NAMES, "x": x, "x10": y})
        assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12), shown


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_keeps_its_value(text):
    assert_same_value(parse(text))


terms = st.recursive(
    st.sampled_from(["x", "x10", "2", "1/3", "pi", "0.25"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]}){t[1]}({t[2]})"),
        inner.map(lambda t: f"-({t})"),
        inner.map(lambda t: f"({t})^2"),
        inner.map(lambda t: f"1/(2+abs({t}))"),
        inner.map(lambda t: f"sin({t})"),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(terms)
def test_any_formula_keeps_its_value(text):
    value = parse(text)
    if len(str(value)) <= 160:
        assert_same_value(value)


def test_long_formula_is_shown_as_typed():
    value = parse("+".join(["exp(x)"] * 100))
    assert words(formula(expression(value))) == str(value)


@pytest.mark.parametrize("key", registry())
def test_every_theorem_is_set(key):
    text = registry()[key].statement
    assert text.count("$") % 2 == 0
    shown = words(prose(text))
    assert "\\" not in shown and "$" not in shown and "{" not in shown.replace("{−", "")
    assert shown[:20] == text[:20] or "$" in text[:20]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"\frac12t", "<mfrac><mn>1</mn><mn>2</mn></mfrac><mi>t</mi>"),
        (r"x_i^{2}", "<msubsup><mi>x</mi><mi>i</mi><mrow><mrow><mn>2</mn></mrow></mrow></msubsup>"),
        (r"\mathbb{R}", "<mi>ℝ</mi>"),
        (r"\mathcal F", "<mi>ℱ</mi>"),
        (r"\text{if } \mathrm{fl}(x)", "<mtext>if\u00a0</mtext><mi>fl</mi>"),
        (r"-53", "<mo>−</mo><mn>53</mn>"),
        (r"\unknown x", "<mtext>\\unknown</mtext><mi>x</mi>"),
    ],
)
def test_latex(text, shown):
    assert shown in markup(latex(text))


def test_lines_break_after_relations_only():
    parts = markup(latex(r"a\le b+c=\sum_{i\le n}d")).split("<wbr>")
    assert [words(Markup(part)) for part in parts] == ["a≤", "b+c=", "∑i≤nd"]


@pytest.mark.parametrize(
    "text", ["", "_", "^", "{", "}", r"\frac", r"\mathrm", "x_", r"\mathbb", "\\", r"\binom{a}", "''"]
)
def test_broken_latex_is_shown_without_failing(text):
    tree(latex(text))


def bound(**fields):
    given = {
        "quantity": "error",
        "sense": "<=",
        "value": 0.5,
        "kind": Kind.VERIFIED,
        "theorem": "triangle",
        "rule": "algebra",
    }
    return Bound(**{**given, **fields})


@pytest.mark.parametrize(
    ("claim", "shown"),
    [
        (bound(norm="sup", domain=Box(0, 1), arithmetic="float64"), "sup[0,1]|F−fl(Φ)|≤0.5"),
        (bound(norm="L2", domain=Box(-1, 1)), "‖F−Φ‖L2([−1,1])≤0.5"),
        (bound(quantity="rounding", norm="sup", value=1.5e-7), "sup|Φ−Φ|≤1.50000×10−7"),
        (bound(quantity="pieces", sense=">=", value=11.0, norm="sup", domain=Box(0, 1), eps=parse("1/1000").value),
         "pieces(g)≥11 for every g with sup[0,1]|F−g|≤0.001"),
        (bound(quantity="risk", network="0", delta=parse("1/100").value), "risk(Φ)≤0.5 with confidence 0.99"),
        (bound(quantity="<b>", sense="==", domain=Box([0] * 4, [1] * 4)), "<b>=0.5 on D"),
        (bound(norm="sup", domain=Box(0.1, 1)), "supD|F−Φ|≤0.5"),
    ],
)  # fmt: skip
def test_statement(claim, shown):
    assert words(statement(claim)) == shown


def test_accuracy_of_a_lower_bound_is_rounded_down():
    claim = bound(quantity="pieces", sense=">=", norm="sup", eps=parse("2/3").value + 0)
    assert words(statement(claim)).endswith("≤2/3")
    claim = bound(quantity="pieces", sense=">=", norm="sup", eps=parse("123456789/100000000000001").value)
    text = words(statement(claim)).rpartition("≤")[2]
    assert text == "0.00000123456"


def test_heading_of_a_target():
    target = Target("exp(x)*y", Box([0, 0], [1, 1]))
    assert words(formula(expression(target.expression))) == "exy"
