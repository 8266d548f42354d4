"""The closed list of rules. A claim under any other name is a CheckError."""

from __future__ import annotations

from epsnet.checker.rule import Rule
from epsnet.checker.rules import algebra, binomial, circuit, cover, exact, reach

RULES: dict[str, Rule] = {
    "algebra": Rule(frozenset({"triangle", "norm-embedding", "piece-count"}), algebra.check),
    "exact": Rule(frozenset({"dot-product-rounding", "kink-count"}), exact.check),
    "cover": Rule(frozenset({"taylor-cover", "interval-jacobian", "layer-splitting", "norm-equivalence"}), cover.check),
    "circuit": Rule(frozenset({"squaring-circuit"}), circuit.check),
    "reach": Rule(frozenset({"minimal-link"}), reach.check),
    "binomial": Rule(frozenset({"clopper-pearson"}), binomial.check),
}
