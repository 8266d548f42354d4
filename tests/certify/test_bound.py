"""Bounds: order of kinds, exact round trips, derivations, printing that never claims too much."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.theorems import registry, theorem

BOUND = Bound(
    quantity="error",
    sense="<=",
    value=1e-3,
    norm="sup",
    domain=Box(0, "1/3"),
    kind=Kind.VERIFIED,
    theorem="taylor-cover",
    rule="cover",
    network="a" * 64,
    target="b" * 64,
    hypotheses=("3 cells cover the domain",),
    assumptions=("F is known",),
)


def test_the_order_of_kinds():
    assert [kind.value for kind in Kind] == ["PROVED", "VERIFIED", "STATISTICAL", "ESTIMATED"]
    for weak in Kind:
        for strong in Kind:
            assert strong.satisfies(weak) == (strong.rank <= weak.rank)
            assert Kind.weakest(strong, weak) == max(strong, weak, key=lambda kind: kind.rank)
    assert not Kind.ESTIMATED.satisfies(Kind.VERIFIED)


@given(st.floats(allow_nan=False, allow_infinity=False), st.fractions(), st.fractions(0, 1))
def test_json_round_trips_exactly(value, exact, delta):
    bound = replace(BOUND, value=value, exact=exact, delta=delta, eps=Fraction(1, 3))
    assert Bound.from_json(json.loads(json.dumps(bound.to_json()))) == bound


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "1"),
        ("value", 1),
        ("value", None),
        ("value", float("nan")),
        ("sense", "<"),
        ("kind", "TRUE"),
        ("norm", "L7"),
        ("arithmetic", "float16"),
        ("exact", "1/0"),
        ("exact", "x"),
        ("exact", "1e999999999"),
        ("delta", None),
        ("domain", [0, 1]),
        ("domain", {"lower": ["1"], "upper": ["0"]}),
        ("quantity", 3),
        ("rule", None),
        ("hypotheses", 5),
        ("network", 7),
        ("measure", 7),
        ("target", ["b"]),
    ],
)
def test_a_malformed_claim_is_refused(field, value):
    with pytest.raises(CheckError, match="cannot be read"):
        Bound.from_json({**BOUND.to_json(), field: value})


def test_missing_and_unknown_fields_are_refused():
    data = BOUND.to_json()
    with pytest.raises(CheckError):
        Bound.from_json({**data, "note": "trust me"})
    with pytest.raises(CheckError):
        Bound.from_json({name: data[name] for name in data if name != "kind"})


@given(st.floats(1e-300, 1e300))
def test_printed_digits_round_outward(value):
    for sense, holds in (
        ("<=", lambda text: Fraction(text) >= Fraction(value)),
        (">=", lambda text: Fraction(text) <= Fraction(value)),
    ):
        text = str(replace(BOUND, sense=sense, value=value, domain=None)).split(sense)[1].split()[0]
        assert holds(text)


def test_explain_prints_the_whole_derivation():
    total = replace(BOUND, theorem="triangle", rule="algebra", premises=(BOUND, replace(BOUND, quantity="rounding")))
    text = total.explain()
    assert text.count("because:") == 3
    assert "checked: 3 cells cover the domain" in text
    assert "assumed: F is known" in text
    assert theorem("taylor-cover").source in text
    assert "@book{moore1966" in total.cite()
    assert total.cite().count("@book{moore1966") == 1


def test_a_certificate_stores_each_bound_once_premises_first():
    first = replace(BOUND, premises=(BOUND,))
    second = replace(BOUND, quantity="rounding", premises=(BOUND, first))
    certificate = Certificate.of((second, first))
    assert [node.premises for node in certificate.nodes] == [(), (0,), (0, 1)]
    assert Certificate.from_json(certificate.to_json(), {}) == certificate


@pytest.mark.parametrize(
    "change",
    [
        lambda nodes: nodes[0].update(premises=[0]),
        lambda nodes: nodes[0].update(premises=[1]),
        lambda nodes: nodes[1].update(premises=[-1]),
        lambda nodes: nodes[1].update(premises=[True]),
        lambda nodes: nodes[1].update(witness="c" * 64),
        lambda nodes: nodes[1].update(more=1),
        lambda nodes: nodes.append(7),
        lambda nodes: nodes[0].update(claim=None),
        lambda nodes: nodes[1].update(premises="0"),
        lambda nodes: nodes[1].update(witness=[1]),
    ],
)
def test_a_malformed_graph_is_refused(change):
    nodes = Certificate.of((replace(BOUND, premises=(BOUND,)),)).to_json()
    change(nodes)
    with pytest.raises(CheckError):
        Certificate.from_json(nodes, {})


def test_every_theorem_is_complete():
    for entry in registry().values():
        assert entry.statement
        assert entry.source
        assert entry.hypotheses
    with pytest.raises(CheckError, match="registered"):
        theorem("folklore")


@pytest.mark.parametrize(
    ("lower", "upper", "phrase"),
    [
        (1, 0, "empty"),
        (1, 1, "empty"),
        ([0, 0], [1], "as many"),
        ([], [], "as many"),
        (0, float("inf"), "finite"),
        (float("nan"), 1, "finite"),
        ("zero", 1, "finite"),
        (0, "1e999999999", "finite"),
        (0, None, "no numbers"),
    ],
)
def test_a_box_that_is_none_is_refused(lower, upper, phrase):
    with pytest.raises(DomainError, match=phrase):
        Box(lower, upper)


def test_a_box_is_exact():
    box = Box([0.1, "0.1"], [1, "1/3"])
    assert box.lower == (Fraction(0.1), Fraction(1, 10))
    assert box.volume == (1 - Fraction(0.1)) * Fraction(7, 30)
    assert Box.from_json(json.loads(json.dumps(box.to_json()))) == box
    assert Box(0, 2).contains(Box(0, 1))
    assert not Box(0, 1).contains(Box(0, 2))
    assert not Box(0, 1).contains(Box([0, 0], [1, 1]))
