"""In a real browser: no request but the file itself, a silent console, no sideways scrolling, legible figures."""

import numpy as np
import pytest

from epsnet import Box, Target, learn
from epsnet.report.document import write_report
from epsnet.report.page import code, page, paragraph, section, table


def assert_fit(browser, path, width, text):
    seen = browser.visit(path, width)
    assert seen.requests == [path.resolve().as_uri()]
    assert seen.console == []
    assert seen.scroll_width <= width
    assert seen.smallest_text >= text


@pytest.mark.parametrize(("width", "text"), [(400, 9.5), (1280, 13.0)])
def test_report(browser, case, width, text, tmp_path):
    solution, sample = case
    assert_fit(browser, write_report(solution, tmp_path / "report.html", sample), width, text)


def test_long_words(browser, tmp_path):
    solution = learn(Target("sin(3*x)*exp(-x^2)/(1 + x^2 + x^4/24)^3 + cos(x)", Box(-0.1, np.pi)), 1e-2)
    assert_fit(browser, write_report(solution, tmp_path / ("folder" * 20 + ".html")), 400, 9.5)
    word = "w" * 500
    parts = [section(word, paragraph(word), code(word), table([word, word], [[word, word]]))]
    path = tmp_path / "words.html"
    path.write_text(page(word, parts, lead=word), encoding="utf-8")
    assert_fit(browser, path, 400, 0)


def test_the_browser_would_tell(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<p style='width: 900px'>x<script>console.error('no')</script><img src='missing.png'>")
    seen = browser.visit(path, 400)
    assert len(seen.requests) == 2 and seen.console and seen.scroll_width > 400
