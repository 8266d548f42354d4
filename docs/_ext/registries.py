"""Pages made of what the package keeps as data: the theorems, the syllabus and the public names.

{theorems}      every entry of src/epsnet/certify/theorems.toml, with its code and tests from docs/theorems.yaml
{syllabus}      every statement of docs/syllabus.yaml
{public-names}  the documentation of the names in docs/adr/0002-public-names.md
"""

from __future__ import annotations

import inspect
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import epsnet
from epsnet.certify.theorems import registry

DOCS = Path(__file__).parents[1]


class _Written(SphinxDirective):
    """A directive whose content is written in the markup of the page it stands in."""

    source = ""

    def write(self) -> str:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(DOCS / self.source))
        return self.parse_text_to_nodes(self.write(), allow_section_headings=True)


class Theorems(_Written):
    """The theorem registry, in Markdown."""

    source = "theorems.yaml"

    def write(self) -> str:
        places = yaml.safe_load((DOCS / self.source).read_text(encoding="utf-8"))["theorems"]
        parts = []
        for key, entry in registry().items():
            hypotheses = "\n".join(f"- {_plain(text)}" for text in entry.hypotheses)
            code = ", ".join(f"`{symbol}`" for symbol in places[key]["symbols"])
            tests = ", ".join(f"`{test}`" for test in places[key]["tests"])
            parts.append(
                f"({key})=\n## {key}\n\n{entry.statement}\n\n**Hypotheses**\n\n{hypotheses}\n\n"
                f"**Source** {_plain(entry.source)}.\n\n**Code** {code}\n\n**Tests** {tests}\n\n"
                f"{_example(places[key]['example'], '**Example** ')}\n\n"
                f"<details><summary>BibTeX</summary>\n\n```text\n{entry.bibtex.strip()}\n```\n\n</details>\n"
            )
        return "\n".join(parts)


class Syllabus(_Written):
    """What is done and what is planned of the lecture and the course, in Markdown."""

    source = "syllabus.yaml"

    def write(self) -> str:
        syllabus = yaml.safe_load((DOCS / self.source).read_text(encoding="utf-8"))
        parts = []
        for document, title in syllabus["documents"].items():
            entries = [entry for entry in syllabus["statements"] if entry["source"]["document"] == document]
            done = sum(entry["status"] == "done" for entry in entries)
            parts.append(f"## {title}\n\n{done} of {len(entries)} statements are done, the others are planned.\n")
            for section, group in groupby(entries, key=lambda entry: entry["source"]["section"]):
                parts.append(f"### {section}\n")
                parts.extend(self._entry(entry) for entry in group)
        return "\n".join(parts)

    @staticmethod
    def _entry(entry: dict[str, Any]) -> str:
        lines = [f"- *{entry['kind']}, {entry['status']}.* {with_formulas(entry['statement'].strip())}"]
        if entry["symbols"]:
            lines.append("  <br>Code: " + ", ".join(f"`{symbol}`" for symbol in entry["symbols"]))
            lines.append("  <br>Tests: " + ", ".join(f"`{test}`" for test in entry["tests"]))
        if entry["example"]:
            lines.append(_example(entry["example"], "  <br>Example: "))
        return "\n".join(lines) + "\n"


class PublicNames(_Written):
    """The documentation of the public names by group, in reStructuredText."""

    source = "adr/0002-public-names.md"

    def write(self) -> str:
        parts = []
        for title, names in re.findall(r"^\| ([\w ]+) \| (`.+`) \|$", (DOCS / self.source).read_text(), re.MULTILINE):
            parts.append(f"{title.capitalize()}\n{'-' * len(title)}\n")
            for name in re.findall(r"`(\w+)`", names):
                found = getattr(epsnet, name)
                parts.append(f"{name}\n{'^' * len(name)}\n")
                if inspect.isclass(found):
                    kind = "autoexception" if issubclass(found, Exception) else "autoclass"
                    parts.append(f".. {kind}:: epsnet.{name}\n   :members:\n")
                else:
                    parts.append(f".. autofunction:: epsnet.{name}\n")
        return "\n".join(parts)


def _example(path: str | None, label: str) -> str:
    """Return a link to where a statement is shown, if it is shown anywhere."""
    if path is None:
        return ""
    page = re.sub(r"^examples/(\w+)\.py$", r"/gallery/\1.rst", path).replace("README.md", "/index.md")
    return f"{label}[{path}]({page})"


def _plain(text: str) -> str:
    """Escape what Markdown would read as markup."""
    return re.sub(r"([*_|<\[$])", r"\\\1", text)


_JOINS = re.compile(r"\\(le|ge|times|circ|log|sim|in|mapsto|lesssim|gtrsim)$")
_SIGN = re.compile(r"[=<>+-]|\d+[,.]?")


def with_formulas(text: str) -> str:
    r"""Put dollar signs around the formulas of a statement: words with \, _ or ^, and the signs that join them."""
    parts: list[str] = []
    formula: list[str] = []

    def close() -> None:
        tail: list[str] = []
        while formula and formula[-1] in "=<>+-":
            tail.insert(0, formula.pop())
        if formula:
            body, mark = re.fullmatch(r"(.*?)([.,;:?]*)", " ".join(formula)).groups()  # type: ignore[union-attr]
            parts.append(f"${body}${mark}")
        parts.extend(map(_plain, tail))
        formula.clear()

    for word in text.split():
        goes_on = formula and (_is_open(formula) or _JOINS.search(formula[-1]) or _SIGN.fullmatch(word))
        if goes_on or _is_formula(word):
            if not formula and word.startswith(r"\mapsto"):
                formula.append(parts.pop())
            formula.append(word)
            if word.endswith((",", ".", ";", ":", "?")) and not _is_open(formula):
                close()
        else:
            close()
            parts.append(_plain(word))
    close()
    return " ".join(parts)


def _is_formula(word: str) -> bool:
    return bool(re.search(r"[\\^]|\w_[\w{\\]|\w\([a-z,]+\)=|\d<|\w=", word))


def _is_open(words: list[str]) -> bool:
    text = " ".join(words)
    return any(text.count(left) > text.count(right) for left, right in ("{}", "()"))


def _has_another_place(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out of the page of a module what stands among the public names, and of a class what others wrote."""
    public = what == "module" and name in epsnet.__all__ and getattr(epsnet, name) is thing
    foreign = what == "class" and callable(thing) and not (getattr(thing, "__module__", "") or "").startswith("epsnet")
    return True if public or foreign else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("theorems", Theorems)
    app.add_directive("syllabus", Syllabus)
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-skip-member", _has_another_place)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
