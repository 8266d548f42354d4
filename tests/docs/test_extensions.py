"""What turns docstrings, formulas and registries into pages; it needs the extra `docs`."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SYLLABUS = yaml.safe_load((ROOT / "docs/syllabus.yaml").read_text(encoding="utf-8"))["statements"]
THEOREMS = tomllib.loads((ROOT / "src/epsnet/certify/theorems.toml").read_text(encoding="utf-8"))


@pytest.fixture
def extension(monkeypatch):
    """Import a module of docs/_ext."""
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    monkeypatch.syspath_prepend(ROOT / "docs/_ext")

    def load(name):
        sys.modules.pop(name, None)
        return __import__(name)

    return load


def formulas(text):
    return re.findall(r"\$([^$]+)\$", text)


@pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
        ("sup |F - Phi| <= eps", r"sup \|F - Phi\| <= eps"),
        ("the product x* y and x_", r"the product x\* y and x\_"),
        ("`|x|` stays", "`|x|` stays"),
        ("the layer `name`(x)", r"the layer `name`\ (x)"),
        (r"for $\gamma_n |x|$ here", r"for :math:`\gamma_n |x|` here"),
        ("* one\n* two", "* one\n* two"),
        ("$$ a \\le\n   b $$", "\n.. math::\n\n   a \\le\n   b\n"),
        ("    **options: any", "    **options: any"),
        ("```python\nx = a * b\n```", ".. code-block:: python\n\n   x = a * b"),
        (">>> 2 * 3\n6", ">>> 2 * 3\n6"),
    ],
)
def test_docstring_becomes_restructuredtext(extension, docstring, wanted):
    assert extension("docstrings").to_rst(docstring) == wanted


def test_table_becomes_a_table(extension):
    table = extension("docstrings").to_rst("| a | b |\n|---|---|\n| 1 | `x` |\n")
    lines = [line.strip() for line in table.split("\n") if line.strip()]
    assert lines == [".. list-table::", ":header-rows: 1", "* - a", "- b", "* - 1", "- `x`"]


def test_one_half_is_one_half(extension):
    convert = extension("mathml").to_mathml
    assert convert(r"\frac12") == convert(r"\frac{1}{2}")
    assert re.findall(r"<mn>(\d)</mn>", convert(r"\tfrac12 x")) == ["1", "2"]


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        (r"The case \sigma = ReLU of f.", r"The case $\sigma$ = ReLU of f."),
        (r"A map x \mapsto \sigma(x) acts.", r"A map $x \mapsto \sigma(x)$ acts."),
        (r"Weights (A_\ell, b_\ell) realize it.", r"Weights $(A_\ell, b_\ell)$ realize it."),
        (r"It needs L\ge 2, for \varepsilon>0.", r"It needs $L\ge 2$, for $\varepsilon>0$."),
        ("No formula here, is there?", "No formula here, is there?"),
    ],
)
def test_formulas_of_statements_are_found(extension, statement, wanted):
    assert extension("registries").with_formulas(statement) == wanted


def test_every_formula_is_understood(extension):
    convert, with_formulas = extension("mathml").to_mathml, extension("registries").with_formulas
    statements = [entry["statement"] for entry in THEOREMS.values()]
    statements += [with_formulas(entry["statement"].strip()) for entry in SYLLABUS]
    for statement in statements:
        for formula in formulas(statement):
            assert "<math" in convert(formula), formula


def test_no_formula_is_left_in_words(extension):
    """Outside of dollar signs no LaTeX command remains."""
    for entry in SYLLABUS:
        words = re.sub(r"\$[^$]+\$", "", extension("registries").with_formulas(entry["statement"].strip()))
        assert not re.search(r"\\[A-Za-z]", words), entry["id"]
