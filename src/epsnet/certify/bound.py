"""`Bound`: a number together with what it is about, why it is true, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any, Literal

from epsnet.certify.domain import Box, exact, number_text
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import decimal_text
from epsnet.certify.theorems import theorem as look_up_theorem

Sense = Literal["<=", ">=", "=="]
Norm = Literal["sup", "L2"]
Arithmetic = Literal["exact", "float64", "float32"]


class Kind(Enum):
    """How a number is known, strongest first."""

    PROVED = "PROVED"
    """A closed form all of whose hypotheses were checked by machine."""
    VERIFIED = "VERIFIED"
    """A rigorous enclosure, computed for this very instance."""
    STATISTICAL = "STATISTICAL"
    """True with confidence 1 - delta over the drawing of a sample."""
    ESTIMATED = "ESTIMATED"
    """Sampled or computed without an error bound. Never a proof."""

    @property
    def rank(self) -> int:
        """0 for the strongest kind."""
        return list(Kind).index(self)

    def satisfies(self, required: Kind) -> bool:
        """Tell whether a bound of this kind may stand where `required` is asked for."""
        return self.rank <= required.rank

    @staticmethod
    def weakest(*kinds: Kind) -> Kind:
        """Return the weakest of some kinds: what a conclusion inherits from its premises."""
        return max(kinds, key=lambda kind: kind.rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The statement `quantity sense value`, e.g. error <= 1e-3, with everything needed to re-prove it.

    Attributes:
        quantity: what is bounded: "error", "rounding", "pieces", "neurons", "risk", ...
        sense: "<=", ">=" or "==".
        value: the bound, rounded outward to float64 (up for "<=", down for ">=").
        exact: the same bound as a rational, where it is one.
        norm: "sup" or "L2" for errors of functions.
        measure: the measure of an L2 norm or the distribution of a risk, in words.
        domain: the box on which the statement holds.
        kind: how it is known.
        delta: 1 - confidence; 0 unless the kind is STATISTICAL.
        arithmetic: which function is meant: the network in exact arithmetic, or as evaluated in float64 or float32
            with any order of summation.
        theorem: key of the theorem registry.
        hypotheses: the hypotheses that were checked by machine.
        assumptions: what no machine checked; printed wherever the bound is.
        rule: the rule of the checker that re-derives it.
        eps: the accuracy that a lower bound of complexity is about: "every g with error <= eps has pieces >= 11".
        network: sha256 of the network it is about.
        target: sha256 of the target it is about.
        premises: the bounds it follows from.
    """

    quantity: str
    sense: Sense
    value: float
    kind: Kind
    theorem: str
    rule: str
    exact: Fraction | None = None
    norm: Norm | None = None
    measure: str | None = None
    domain: Box | None = None
    delta: Fraction = Fraction(0)
    arithmetic: Arithmetic = "exact"
    hypotheses: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    eps: Fraction | None = None
    network: str | None = None
    target: str | None = None
    premises: tuple[Bound, ...] = ()

    def __str__(self) -> str:
        text = f"{self._left_side()} {self.sense} {self.decimal()}"
        if self.domain is not None:
            text += f" on {self.domain}"
        if self.eps is not None:
            text += f" for every accuracy eps <= {number_text(self.eps)} in the {self.norm} norm"
        if self.delta:
            text += f" with confidence {number_text(1 - self.delta)}"
        return f"{text}   {self.kind.value} ({self.theorem}; {self.arithmetic} arithmetic)"

    def decimal(self) -> str:
        """Return six digits of the value, rounded to the side on which the statement stays true."""
        if self.sense == "==":
            return str(self.limit.numerator) if self.limit.denominator == 1 else repr(self.value)
        return decimal_text(self.value + 0.0, up=self.sense == "<=", digits=6)

    @property
    def limit(self) -> Fraction:
        """The bound as a rational: `exact` where there is one, else `value`."""
        return Fraction(self.value) if self.exact is None else self.exact

    def _left_side(self) -> str:
        if self.quantity == "error":
            return "sup |F - Phi|" if self.norm == "sup" else "||F - Phi||_L2"
        if self.quantity == "lipschitz":
            return f"Lip_{'sup' if self.norm == 'sup' else '2'}"
        return self.quantity

    def explain(self) -> str:
        """Return the derivation as a tree: each statement, the theorem behind it, what was checked and assumed."""
        lines: list[str] = []
        seen: set[int] = set()

        def visit(bound: Bound, depth: int) -> None:
            indent = "  " * depth
            if id(bound) in seen:
                lines.append(f"{indent}{bound}   (see above)")
                return
            seen.add(id(bound))
            known = look_up_theorem(bound.theorem)
            lines.append(f"{indent}{bound}")
            lines.append(f"{indent}  because: {known.statement} [{known.source}]")
            lines.extend(f"{indent}  checked: {text}" for text in bound.hypotheses)
            lines.extend(f"{indent}  assumed: {text}" for text in bound.assumptions)
            for premise in bound.premises:
                visit(premise, depth + 1)

        visit(self, 0)
        return "\n".join(lines)

    def cite(self) -> str:
        """Return the BibTeX entries of every theorem in the derivation."""
        keys = {bound.theorem: None for bound in self.derivation()}
        return "\n\n".join(dict.fromkeys(look_up_theorem(key).bibtex for key in keys))

    def derivation(self) -> list[Bound]:
        """Return this bound and all its premises, premises first, each once."""
        ordered: dict[int, Bound] = {}

        def visit(bound: Bound) -> None:
            if id(bound) not in ordered:
                for premise in bound.premises:
                    visit(premise)
                ordered[id(bound)] = bound

        visit(self)
        return list(ordered.values())

    def to_json(self) -> dict[str, Any]:
        """Return the statement, without its premises, as JSON values that round-trip exactly."""
        return {
            "quantity": self.quantity,
            "sense": self.sense,
            "value": self.value,
            "exact": None if self.exact is None else str(self.exact),
            "norm": self.norm,
            "measure": self.measure,
            "domain": None if self.domain is None else self.domain.to_json(),
            "kind": self.kind.value,
            "delta": str(self.delta),
            "arithmetic": self.arithmetic,
            "theorem": self.theorem,
            "hypotheses": list(self.hypotheses),
            "assumptions": list(self.assumptions),
            "rule": self.rule,
            "eps": None if self.eps is None else str(self.eps),
            "network": self.network,
            "target": self.target,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], premises: tuple[Bound, ...] = ()) -> Bound:
        """Read a statement back. CheckError on anything that `to_json` cannot have written."""
        try:
            fields = dict(data)
            if set(fields) != _JSON_FIELDS:
                raise ValueError(f"fields {sorted(set(fields) ^ _JSON_FIELDS)} are missing or unknown")
            if not isinstance(fields["value"], float) or not math.isfinite(fields["value"]):
                raise ValueError(f"value {fields['value']!r} is not a number")
            if fields["sense"] not in ("<=", ">=", "=="):
                raise ValueError(f"sense {fields['sense']!r} is unknown")
            if fields["norm"] not in (None, "sup", "L2") or fields["arithmetic"] not in ("exact", "float64", "float32"):
                raise ValueError("norm or arithmetic is unknown")
            for name in ("quantity", "theorem", "rule"):
                if not isinstance(fields[name], str):
                    raise TypeError(f"{name} is not a text")
            for name in ("measure", "network", "target"):
                if not isinstance(fields[name], str | None):
                    raise TypeError(f"{name} is not a text")
            fields["exact"] = None if fields["exact"] is None else exact(fields["exact"])
            fields["domain"] = None if fields["domain"] is None else Box.from_json(fields["domain"])
            fields["kind"] = Kind(fields["kind"])
            fields["eps"] = None if fields["eps"] is None else exact(fields["eps"])
            fields["delta"] = exact(fields["delta"])
            fields["hypotheses"] = tuple(map(str, fields["hypotheses"]))
            fields["assumptions"] = tuple(map(str, fields["assumptions"]))
            return cls(premises=premises, **fields)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise CheckError(
                f"A claim of the certificate cannot be read: {error}. Build the certificate anew."
            ) from None


_JSON_FIELDS = {
    "quantity", "sense", "value", "exact", "norm", "measure", "domain", "kind", "delta", "arithmetic", "theorem",
    "hypotheses", "assumptions", "rule", "eps", "network", "target",
}  # fmt: skip
