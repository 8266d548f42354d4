"""Docstrings are written for people who read code; here they become reStructuredText.

Formulas stand between dollar signs, tables are those of Markdown, and |x|, x* and x_ mean what they mean in
mathematics.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_LITERAL = re.compile(r"(``.+?``|`[^`]+`|\$[^$]+\$)", re.DOTALL)
_DISPLAY = re.compile(r"^( *)\$\$(.+?)\$\$(?:[.,;]?)$", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(r"^( *)\|(.+)\|\n\1\|[-|: ]+\|\n((?:\1\|.+\|\n?)+)", re.MULTILINE)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_RETURNS = re.compile(r"^( *(?:Returns|Yields):\n)(.*)$", re.MULTILINE)
_FIELD = re.compile(r"^( *)(\*{1,2})(\w+:)", re.MULTILINE)
_KEEP, _COLON = "\x00", "\x01"


def _escape(text: str) -> str:
    """Escape what reStructuredText would take for markup, outside of literals, formulas and list bullets."""
    parts = _LITERAL.split(text)
    for number, part in enumerate(parts):
        if number % 2 == 0:
            bullets = re.sub(r"^( *)\* ", rf"\1{_KEEP} ", part, flags=re.MULTILINE)
            stars = _FIELD.sub(lambda m: m[1] + _KEEP * len(m[2]) + m[3], bullets)
            escaped = re.sub(r"([*|])", r"\\\1", stars)
            parts[number] = re.sub(r"(?<=\w)_(?!\w)", r"\_", escaped).replace(_KEEP, "*")
        else:
            if part.startswith("$"):
                parts[number] = f":math:`{' '.join(part[1:-1].split())}`"
            if re.match(r"[\w(]", parts[number + 1]):
                parts[number] += "\\ "
    return "".join(parts)


def _display(match: re.Match[str]) -> str:
    indent, lines = match[1], match[2].split("\n")
    body = "\n".join(f"{indent}   {line.strip()}" for line in lines if line.strip())
    return f"\n{indent}.. math::\n\n{body}\n"


def _table(match: re.Match[str]) -> str:
    indent = match[1]
    rows = [match[2], *(line.strip()[1:-1] for line in match[3].strip("\n").split("\n"))]
    lines = [f"{indent}.. list-table::", f"{indent}   :header-rows: 1", ""]
    for row in rows:
        for number, cell in enumerate(row.split("|")):
            lines.append(f"{indent}   {'* -' if number == 0 else '  -'} {_escape(cell.strip())}")
    return "\n".join(["", *lines, ""]) + "\n"


def _spaced(paragraph: str) -> str:
    """Put an empty line before an indented list and after it."""
    lines: list[str] = []
    for line in paragraph.split("\n"):
        indent, before = (len(each) - len(each.lstrip()) for each in (line, lines[-1] if lines else line))
        starts = indent > before and line.lstrip().startswith("- ")
        ends = indent < before and any(each.startswith(" " * (indent + 1)) and "- " in each for each in lines)
        lines += [""] * (starts or ends) + [line]
    return "\n".join(lines)


def _fence(match: re.Match[str]) -> str:
    indent, language, code = match.groups()
    body = "\n".join(f"   {line}" if line.strip() else "" for line in code.rstrip().split("\n"))
    return f"{indent}.. code-block:: {language or 'text'}\n\n{body}"


def to_rst(text: str, *, module: bool = False) -> str:
    """Return a docstring as reStructuredText; examples (>>>) and indented blocks of a module stay as they are."""
    if found := _FENCE.search(text):
        rest = to_rst(text[found.end() :], module=module)
        return to_rst(text[: found.start()], module=module) + _fence(found) + rest
    done: list[str] = []
    for paragraph in re.split(r"(\n\s*\n)", text):
        if re.search(r"^\s*>>>", paragraph, re.MULTILINE):
            done.append(paragraph)
            continue
        if module and paragraph.strip() and all(line.startswith("    ") for line in paragraph.split("\n")):
            done.append(f".. code-block:: text\n\n{paragraph}")
            continue
        formulas = re.split(r"(^ *\$\$.+?\$\$[.,;]?$)", _spaced(paragraph), flags=re.DOTALL | re.MULTILINE)
        for formula in formulas:
            if found := _DISPLAY.fullmatch(formula):
                done.append(_display(found))
            else:
                tables = re.split(r"((?:^ *\|.+\|\n?)+)", formula, flags=re.MULTILINE)
                for table in tables:
                    found = _TABLE.fullmatch(table)
                    done.append(_table(found) if found else _escape(table))
    return "".join(done)


def _before_napoleon(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    text = to_rst("\n".join(lines), module=what == "module")
    # Types stand in the signatures; napoleon would take for one what comes before the first colon.
    text = _RETURNS.sub(lambda match: match[1] + match[2].replace(":", _COLON), text)
    lines[:] = text.split("\n")
    if what in ("attribute", "data", "property"):
        lines[0] = lines[0].replace(":", _COLON)


def _after_napoleon(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Convert before sphinx.ext.napoleon, which listens with priority 500, reads the sections."""
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
