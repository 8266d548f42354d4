"""Pages: one HTML file that holds everything it shows, with no script and no reference to the network.

What enters a page as a text is escaped; only `Markup`, which `element` makes, is taken as it is. A page is a list of
sections, a section is content, and content is a text, `Markup`, None (nothing) or an iterable of content:

    html = page("exp(x)", [section("Size", table(["what", "number"], [["weights M", "33"]]))])

Everything is deterministic: equal content, equal bytes.
"""

from __future__ import annotations

import base64
import html
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError, MissingExtraError

COLORS = {"blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "purple": "#CC79A7", "gray": "#666666"}
"""The palette of Okabe and Ito, which color-blind readers can tell apart; on a page each follows light and dark."""

KINDS = {
    Kind.PROVED: "a closed form; all hypotheses of its theorem were checked by machine",
    Kind.VERIFIED: "a rigorous enclosure, computed for this very instance",
    Kind.STATISTICAL: "true with confidence 1 − δ over the drawing of the sample",
    Kind.ESTIMATED: "sampled, or computed without an error bound; never a proof",
}
"""What each kind means, strongest first."""

_VOID = {"meta", "link", "img", "wbr"}
_SPACES = {"\n", "\t", "\u00a0", "\u2009"}
# No origin at all may be contacted: the browser enforces what the page promises.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_FOOTER = "Written by epsnet. This page holds everything it shows: it loads nothing and runs no script."


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


Content = Union[str, None, Iterable["Content"]]  # noqa: UP007  (a recursive alias needs the quoted name)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading of its own, which the navigation lists."""

    title: str
    content: Content


def section(title: str, *content: Content) -> Section:
    """Return a section with this heading."""
    return Section(title, content)


def markup(content: Content) -> Markup:
    """Return content as HTML: texts escaped, characters that cannot be printed replaced, `Markup` unchanged."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        visible = (c if c.isprintable() or c in _SPACES else "\ufffd" for c in content)
        return Markup(html.escape("".join(visible)))
    return Markup("".join(map(markup, content)))


def element(tag: str, *content: Content, **attributes: Any) -> Markup:
    """Return an element, for example of the tag "td" with the text "a < b" and the attribute class_="number".

    An attribute that is None or False is left out, True stands without a value, and `_` in a name is written `-`,
    dropped at the end.
    """
    pairs = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    start = "".join(
        f" {name}" if value is True else f' {name}="{markup(str(value))}"'
        for name, value in pairs
        if value is not None and value is not False
    )
    end = "" if tag in _VOID else f"{markup(content)}</{tag}>"
    return Markup(f"<{tag}{start}>{end}")


def page(title: str, sections: Iterable[Section | None], *, heading: Content = None, lead: Content = None) -> str:
    """Return a whole HTML file.

    Args:
        title: of the window, and of the page unless `heading` is given.
        sections: in order; None is skipped.
        heading: what stands in the place of the title on the page, a formula for example.
        lead: what comes before the first section.
    """
    present = [part for part in sections if part is not None]
    anchors = [f"section-{number}" for number in range(1, len(present) + 1)]
    links = [element("a", part.title, href=f"#{a}") for part, a in zip(present, anchors, strict=True)]
    body = [
        element("header", element("h1", heading or title), lead),
        element("nav", links, aria_label="Sections") if len(present) > 1 else None,
        element("main", (
            element("section", element("h2", part.title), part.content, id=anchor)
            for part, anchor in zip(present, anchors, strict=True)
        )),
        element("footer", element("p", _FOOTER)),
    ]  # fmt: skip
    style = (resources.files("epsnet.report") / "page.css").read_text(encoding="utf-8")
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title),
        # Without it, a browser asks the server for /favicon.ico.
        element("link", rel="icon", href="data:,"),
        element("style", Markup(style)),
    ]
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def paragraph(*content: Content, note: bool = False) -> Markup:
    """Return a paragraph; a note is set smaller."""
    return element("p", content, class_="note" if note else None)


def badge(kind: Kind) -> Markup:
    """Return the kind of a bound as a word in a frame, which says what it means when pointed at."""
    return element("span", kind.value, class_=f"kind {kind.value.lower()}", title=KINDS[kind])


def table(
    header: Sequence[Content],
    rows: Iterable[Sequence[Content]],
    *,
    caption: Content = None,
    numbers: Iterable[int] = (),
) -> Markup:
    """Return a table that scrolls in a box of its own where it is too wide; `numbers` are columns set to the right."""
    right = set(numbers)

    def cells(tag: str, row: Sequence[Content], **attributes: Any) -> Markup:
        return element("tr", (
            element(tag, cell, class_="number" if column in right else None, **attributes)
            for column, cell in enumerate(row)
        ))  # fmt: skip

    content = (
        element("caption", caption) if caption else None,
        element("thead", cells("th", header, scope="col")),
        element("tbody", (cells("td", row) for row in rows)),
    )
    return element("div", element("table", content), class_="scroll")


def definitions(pairs: Iterable[tuple[Content, Content]]) -> Markup:
    """Return a list of terms with what they mean or what their values are."""
    return element("dl", (element("div", element("dt", term), element("dd", value)) for term, value in pairs))


def facts(pairs: Iterable[tuple[Content, Content]]) -> Markup:
    """Return a few numbers set large, each over the words that say what it is."""
    return element("ul", (element("li", element("strong", value), element("span", words)) for value, words in pairs),
                   class_="facts")  # fmt: skip


def details(summary: Content, *content: Content, opened: bool = False) -> Markup:
    """Return content that is folded away behind its summary until it is asked for; on paper it is always there."""
    return element("details", element("summary", summary), element("div", content), open=opened)


def code(text: str) -> Markup:
    """Return a block of code or of commands, which scrolls in a box of its own."""
    return element("pre", element("code", text))


def figure(graphic: Content, caption: Content = None) -> Markup:
    """Return a picture with its caption."""
    return element("figure", graphic, element("figcaption", caption) if caption else None)


def columns(*content: Content) -> Markup:
    """Return figures side by side where there is room for them, else one below the other."""
    return element("div", content, class_="columns")


def turntable(frames: Sequence[NDArray[np.uint8]], description: str) -> Markup:
    """Return pictures of a body from all sides, of which the one under the pointer shows: moving across turns it.

    It needs no script. Each picture lies behind its own strip of the box, which a finger or the tab key chooses too.

    Args:
        frames: the views in order, pixels as for `png`, of one size.
        description: what a reader who cannot see them is told.
    """
    height, width = frames[0].shape[:2]
    views = [
        (element("span", class_="strip", tabindex=0, style=f"--place: {number}"), png(frame, description))
        for number, frame in enumerate(frames)
    ]
    return element("div", views, class_="turntable", style=f"--views: {len(frames)}; --width: {width}px; --ratio: "
                   f"{width} / {height}")  # fmt: skip


def png(pixels: NDArray[np.uint8], description: str, *, scale: int = 1) -> Markup:
    """Return pixels, (h, w) gray or (h, w, 3) colored, as an image whose pixels stay sharp, `scale` times enlarged."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or pixels.size == 0:
        raise DomainError(
            f"Pixels of shape {pixels.shape} and type {pixels.dtype} are no image. Give uint8 of shape (h, w) or "
            f"(h, w, 3)."
        )
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    color = 0 if pixels.ndim == 2 else 2
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, color, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    source = "data:image/png;base64," + base64.b64encode(file).decode("ascii")
    return element("img", src=source, alt=description, width=width * scale, height=height * scale)


def plot(name: str, description: str, draw: Callable[[Any], None], *, size: tuple[float, float] = (4.6, 3.1)) -> Markup:
    """Return what `draw` draws on one pair of matplotlib axes as inline SVG, in the style of the pages.

    Args:
        name: letters, digits and hyphens, another for each figure of a page; identifiers inside begin with it.
        description: what a reader who cannot see the picture is told.
        draw: called with the axes.
        size: width and height in inches; text is legible at 400 pixels up to a width of about 5.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("plot", "Drawing") from None
    with rc_context({"font.size": 11, "axes.unicode_minus": True}):
        picture = Figure(figsize=size, layout="constrained")
        axes = picture.subplots()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        return svg(picture, name, description)


def svg(picture: Any, name: str, description: str) -> Markup:
    """Return a matplotlib figure as inline SVG: `plot` says what name and description are.

    Black becomes the color of the text, `COLORS` those of the page, and identifiers that nothing refers to are dropped.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        picture.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    used = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    used = {one or other for one, other in used}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    text = re.sub(r"font-family: [^;\"]*(; )?", "", text)
    for color, value in {**COLORS, "ink": "#000000"}.items():
        text = text.replace(f": {value.lower()}", f": var(--{color})")
    # Hundredths of a point are finer than any screen.
    text = re.sub(r'(?<= )(d|x|y|transform|points)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), text)
    view = re.search(r'viewBox="0 0 ([\d.]+) [\d.]+"', text)
    assert view is not None
    opening = f'<svg class="plot" {view[0]} role="img" aria-label="{markup(description)}" style="--width: {view[1]}px">'
    return Markup(opening + re.sub(r">\s+<", "><", text[text.index(">") + 1 :]).strip())
