"""The derivation of bounds as a tree that a reader unfolds: what is claimed, by which theorem, checked and assumed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import number_text
from epsnet.certify.theorems import Theorem, theorem
from epsnet.report.mathml import prose, statement
from epsnet.report.page import Content, Markup, badge, code, definitions, details, element, paragraph

_LONGEST_RATIONAL = 80
_LINK = re.compile(r"^\s*(doi|url) = \{(.+?)\},?$", re.MULTILINE)


def claim(bound: Bound) -> Markup:
    """Return a bound in one line: the formula and how it is known."""
    return element("span", statement(bound), " ", badge(bound.kind), class_="claim")


def derivations(roots: Sequence[Bound]) -> Content:
    """Return one tree for each root and the references of all; a bound that occurs twice is unfolded once."""
    seen: set[int] = set()
    trees = [_tree(bound, seen, opened=number == 0) for number, bound in enumerate(roots)]
    entries = dict.fromkeys(entry for bound in roots for entry in bound.cite().split("\n\n"))
    return trees, details("References as BibTeX", code("\n\n".join(entries)))


def roots(certificate: Certificate, first: Sequence[Bound]) -> list[Bound]:
    """Return `first`, then every claim of a certificate that their derivations do not contain, conclusions first."""
    found = list(first)
    shown = {id(bound) for root in first for bound in root.derivation()}
    for node in reversed(certificate.nodes):
        if id(node.claim) not in shown:
            found.append(node.claim)
            shown.update(id(bound) for bound in node.claim.derivation())
    return found


def _tree(bound: Bound, seen: set[int], *, opened: bool = False) -> Markup:
    if id(bound) in seen:
        return paragraph(claim(bound), " — derived above")
    seen.add(id(bound))
    known = theorem(bound.theorem)
    premises = [_tree(premise, seen, opened=opened) for premise in bound.premises]
    facts: list[tuple[Content, Content]] = [
        ("because", prose(known.statement)),
        ("which needs", element("ul", (element("li", _relations(text)) for text in known.hypotheses))),
    ]
    if bound.hypotheses:
        facts.append(("checked by machine", "; ".join(bound.hypotheses)))
    if bound.assumptions:
        facts.append(("assumed, not checked", "; ".join(bound.assumptions)))
    facts.append(("about", _about(bound)))
    if bound.domain is not None:
        facts.append(("domain", str(bound.domain)))
    if bound.eps is not None:
        facts.append(("accuracy", _number(bound.eps)))
    facts += [("value", _value(bound)), ("source", _source(known))]
    facts.append(("names", ("theorem ", element("code", bound.theorem), ", rule ", element("code", bound.rule))))
    return details(
        claim(bound),
        definitions(facts),
        (element("h4", "It follows from"), premises) if premises else None,
        opened=opened,
    )


def _relations(text: str) -> str:
    return text.replace("<=", "≤").replace(">=", "≥").replace("==", "=")


def _about(bound: Bound) -> str:
    if bound.network is None:
        return "every function of the class"
    subject = "in exact arithmetic" if bound.arithmetic == "exact" else f"as evaluated in {bound.arithmetic} arithmetic"
    measure = f"; {bound.measure} measure" if bound.norm == "L2" else f"; {bound.measure}" if bound.measure else ""
    order = "" if bound.arithmetic == "exact" else ", in any order of summation"
    return f"the network {subject}{order}{measure}"


def _value(bound: Bound) -> str:
    text = f"{_relations(bound.sense)} {bound.value!r}"
    if bound.exact is not None and bound.exact != bound.value:
        text += f", rounded outward from {_number(bound.exact)}"
    return text


def _number(value: Fraction) -> str:
    text = number_text(value)
    return text if len(text) <= _LONGEST_RATIONAL else f"a rational near {float(value)!r}"


def _source(known: Theorem) -> Content:
    links = [(kind, target) for kind, target in _LINK.findall(known.bibtex)]
    return known.source, [
        ("; ", element("a", target, href=f"https://doi.org/{target}" if kind == "doi" else target))
        for kind, target in links
    ]
