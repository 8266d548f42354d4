"""Formulas as MathML, which browsers draw themselves: a page asks no server for a script or a font."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

# What the converter of docutils reads differently from TeX.
_SPELLINGS = (
    (re.compile(r"\\dots(?![A-Za-z])"), r"\\ldots"),
    (re.compile(r"\\([td]?frac)\s*(\d)\s*(\d)"), r"\\\1{\2}{\3}"),
)


def to_mathml(tex: str, display: bool = False) -> str:
    """Return a formula as MathML. MathError if it is not understood."""
    for pattern, spelling in _SPELLINGS:
        tex = pattern.sub(spelling, tex)
    # A browser sets | as a relation, with space on both sides; here it encloses what it stands around.
    return re.sub(
        r"<mo[^>]*>([|‖])</mo>", r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', tex2mathml(tex, display)
    )


def _visit(translator: Any, node: nodes.Element, display: bool) -> None:
    try:
        # Empty lines in a block separate formulas.
        for tex in re.split(r"\n\s*\n", node.astext()):
            translator.body.append(to_mathml(tex, display))
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", node.astext(), error, location=node)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the renderer `mathml`."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda translator, node: _visit(translator, node, False), None),
        block_renderers=(lambda translator, node: _visit(translator, node, True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
