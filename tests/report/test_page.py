"""Pages: what enters is escaped, what comes out is whole, the same each time, and refers to nothing outside."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from epsnet import DomainError, Kind
from epsnet.report.page import (
    COLORS,
    Markup,
    badge,
    code,
    columns,
    definitions,
    details,
    element,
    facts,
    figure,
    markup,
    page,
    paragraph,
    plot,
    png,
    section,
    table,
)

HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; \x00\x1b\u202e\ud800 $x$"


class Text(HTMLParser):
    """Collects tags, attributes and text as a browser would see them."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_everything_is_escaped():
    places = (
        paragraph(HOSTILE), table([HOSTILE], [[HOSTILE]], caption=HOSTILE), definitions([(HOSTILE, HOSTILE)]),
        details(HOSTILE, HOSTILE), code(HOSTILE), figure(HOSTILE, HOSTILE), columns(HOSTILE),
        facts([(HOSTILE, HOSTILE)]),
        element("span", HOSTILE, title=HOSTILE), png(np.zeros((1, 1), np.uint8), HOSTILE),
        plot("name", HOSTILE, lambda axes: axes.set_title(HOSTILE[:26], parse_math=False)),
    )  # fmt: skip
    whole = page(HOSTILE, [section(HOSTILE, *places)], heading=HOSTILE, lead=HOSTILE)
    whole.encode("utf-8")  # a lone surrogate could not be
    seen = Text(whole)
    assert not {tag for tag, _ in seen.tags} & {"script", "iframe", "object", "embed", "form"}
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    printed = "<script>alert(1)</script>\"' onload=x &amp; \ufffd\ufffd\ufffd\ufffd $x$"
    assert seen.text.count(printed) == 19
    assert [attributes["title"] for tag, attributes in seen.tags if "title" in attributes] == [printed]


def test_content():
    assert markup(["a", None, ("<", Markup("<b>")), iter("&")]) == "a&lt;<b>&amp;"
    assert element("a", "x", class_="y", aria_label="<z>", open=True, hidden=False, title=None) == (
        '<a class="y" aria-label="&lt;z&gt;" open>x</a>'
    )
    assert element("wbr") == "<wbr>"


@pytest.mark.parametrize("kind", Kind)
def test_badge_is_a_word(kind):
    assert Text(badge(kind)).text == kind.value


def test_sections_that_do_not_apply_are_left_out():
    whole = page("t", [section("One", "1"), None, section("Two", "2")])
    seen = Text(whole)
    links = [attributes["href"] for tag, attributes in seen.tags if tag == "a"]
    anchors = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert links == [f"#{anchor}" for anchor in anchors] and len(anchors) == 2
    assert "<nav" not in page("t", [section("One", "1")])


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 3), (1, 1)])
def test_png_against_another_decoder(shape):
    from matplotlib.image import imread

    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    attributes = Text(png(pixels, "noise", scale=5)).tags[0][1]
    kind, _, content = attributes["src"].partition(",")
    assert kind == "data:image/png;base64"
    found = imread(io.BytesIO(base64.b64decode(content)), format="png")
    assert np.array_equal(np.round(255 * found).astype(int), pixels)
    assert (attributes["width"], attributes["height"]) == (str(5 * shape[1]), str(5 * shape[0]))


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((0, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)])
def test_png_refuses(pixels):
    with pytest.raises(DomainError, match=r"Give uint8 of shape \(h, w\)"):
        png(pixels, "nothing")


def test_plots_of_one_page_do_not_clash():
    def draw(axes):
        axes.plot([0, 1], [0, 1], "o-", color=COLORS["blue"], label="same")
        axes.fill_between([0, 1], [0, 0], [1, 1], color=COLORS["green"], alpha=0.2)
        axes.legend()

    one, again, two = plot("one", "d", draw), plot("one", "d", draw), plot("two", "d", draw)
    assert one == again
    identifiers = re.findall(r'\bid="([^"]+)"', one + two)
    assert len(identifiers) == len(set(identifiers)) > 2
    references = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', one + two)
    assert {a or b for a, b in references} == set(identifiers)
    # Colors follow the page, texts are texts, and nothing tells when or with what it was drawn.
    assert "var(--blue)" in one and "var(--ink)" in one and "#000000" not in one and COLORS["blue"].lower() not in one
    assert "same" in Text(one).text
    assert not re.search(r"metadata|Date|Matplotlib|<style|font-family", one)
