"""The kernel: walks the derivation, recomputes hashes, hands each claim to its rule, and believes nothing else.

A solution is checked as it would be read from its files, whether it comes from there or from memory. For every node the
kernel checks that the claim is about this network and this target, or about one output of them, that its witness has
the hash it says, that its theorem is one its rule may prove, that its kind is not stronger than what rule and premises
give, and that hypotheses, assumptions and delta are those of the rule and the premises, no less and no more. For the
solution it checks that the error is about the target asked for. There is no mathematics here: that is in `rules`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate, Node, Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, EpsnetError
from epsnet.certify.hashing import sha256_arrays
from epsnet.certify.rounding import ball_arithmetic
from epsnet.certify.theorems import theorem
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules import RULES
from epsnet.core.components import component
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import (
    STATEMENTS_FILE,
    load_solution,
    load_statements,
    network_bytes,
    network_from_bytes,
    refuse_malformed,
    solution_from_json,
    solution_to_json,
)
from epsnet.core.solution import AnyTarget, FunctionTarget, Solution, Statements
from epsnet.core.target import DataTarget, Target

_MAX_TEXT = 1_000_000
_MAX_PARTS = 4_000_000
"""Outputs times connections of a network that is taken apart: about 20 seconds."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check established.

    Attributes:
        checked: every claim of the certificate, premises first, each re-derived.
        error: the error bound of a solution.
        optimality: the lower bound it is compared with, if any.
        seconds: the time the check took.
    """

    checked: tuple[Bound, ...]
    error: Bound | None
    optimality: Bound | None
    seconds: float

    def __str__(self) -> str:
        lines = [f"re-derived   {bound}" for bound in self.checked]
        assumptions = dict.fromkeys(text for bound in self.checked for text in bound.assumptions)
        lines.extend(f"assumed      {text}" for text in assumptions)
        return "\n".join([*lines, f"all {len(self.checked)} claims hold ({self.seconds:.2f} s)"])


def check(subject: Solution | Statements | str | Path, *, data: tuple[Any, Any] | None = None) -> Report:
    """Re-derive every bound of a solution from the network and the target alone, or what is stated of a network.

    Args:
        subject: a solution, statements about a network, or the folder of either.
        data: (inputs, labels) of the sample that a risk bound is about, if the solution does not hold it.

    Returns:
        The claims that were re-derived.

    Raises:
        CheckError: some claim does not follow; the message says which and why.
    """
    start = time.perf_counter()
    if isinstance(subject, str | Path) and (Path(subject) / STATEMENTS_FILE).is_file():
        subject = load_statements(subject)
    if isinstance(subject, Statements):
        _require(data is None, "Statements about a network need no data. Check them without data.")
        checked = check_certificate(subject.network, subject.certificate)
        return Report(checked, None, None, time.perf_counter() - start)
    solution = _as_stored(subject) if isinstance(subject, Solution) else load_solution(subject)
    target = solution.target
    if isinstance(target, DataTarget):
        if data is None and isinstance(subject, Solution) and isinstance(subject.target, DataTarget):
            data = (subject.target.inputs, subject.target.labels)
        if data is not None and data[0] is not None:
            target = target.with_data(*data)
    elif data is not None:
        raise CheckError("The target is no sample and needs no data. Check it without data.")
    checked = _check_nodes(solution.certificate, solution.network, target)
    _check_solution(replace(solution, target=target))
    return Report(checked, solution.error, solution.optimality, time.perf_counter() - start)


def check_certificate(network: Network, certificate: Certificate) -> tuple[Bound, ...]:
    """Re-derive every claim of a certificate about a network alone, such as a Lipschitz constant.

    Args:
        network: the network.
        certificate: claims that need no target.

    Returns:
        The claims that were re-derived, premises first.

    Raises:
        CheckError: some claim does not follow; the message says which and why.
    """
    with refuse_malformed("The certificate"):
        stored = Certificate.from_json(certificate.to_json(), certificate.witnesses)
        network = network_from_bytes(network_bytes(network))
    return _check_nodes(stored, network, None)


def _check_nodes(certificate: Certificate, network: Network, target: AnyTarget | None) -> tuple[Bound, ...]:
    with ball_arithmetic(), np.errstate(all="ignore"):
        networks, targets = {network.sha256: network}, {} if target is None else {target.sha256: target}
        if isinstance(target, Target) and 1 < len(target.expressions) == network.outputs:
            small = network.outputs * network.size.connections <= _MAX_PARTS
            _require(small, "The network is too large to be checked output by output. Use smaller ones.")
            parts = [component(network, index) for index in range(network.outputs)]
            networks |= {part.sha256: part for part in parts}
            targets |= {part.sha256: part for part in target.components}
        witnesses = certificate.witnesses
        for number, node in enumerate(certificate.nodes):
            try:
                with refuse_malformed("Something it needs"):
                    claim = node.claim
                    _require(
                        claim.network is None or claim.network in networks,
                        "It is about another network: the hash differs. Restore that one.",
                    )
                    _require(
                        claim.target is None or claim.target in targets,
                        "It is about another target: the hash differs. Restore that one.",
                    )
                    about = network if claim.network is None else networks[claim.network]
                    _check_node(node, about, target if claim.target is None else targets[claim.target], witnesses)
            except EpsnetError as error:
                raise CheckError(f"Claim {number} does not hold: {_printable(str(node.claim))}. {error}") from None
    return tuple(node.claim for node in certificate.nodes)


def _as_stored(solution: Solution) -> Solution:
    """Return the solution as its files would give it back, so that nothing cached or changed in memory counts."""
    with refuse_malformed("The solution"):
        content = network_bytes(solution.network)
        _require(solution.bits == 8 * len(content), "The number of bits is not that of the network file. Count again.")
        data, target = solution_to_json(solution), solution.target
        other = network_from_bytes(network_bytes(target.network)) if isinstance(target, NetworkTarget) else None
        return solution_from_json(data, network_from_bytes(content), solution.certificate.witnesses, other)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CheckError(message)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _require_printable(*texts: str) -> None:
    _require(all(text.isprintable() and len(text) <= _MAX_TEXT for text in texts), "A text is not printable. Mend it.")


def _check_node(node: Node, network: Network, target: AnyTarget | None, witnesses: Mapping[str, Witness]) -> None:
    claim = node.claim
    _require_printable(claim.quantity, claim.measure or "", *claim.hypotheses, *claim.assumptions)
    _require(claim.rule in RULES, f"The rule {_printable(claim.rule)!r} is unknown. Use one of {', '.join(RULES)}.")
    rule = RULES[claim.rule]
    theorem(claim.theorem)
    _require(claim.theorem in rule.theorems, f"The rule {claim.rule} does not prove {claim.theorem}. Build it anew.")
    _require(claim.exact is None or _outward(claim), "Its value is not its exact value rounded outward. Build it anew.")
    witness = {} if node.witness is None else witnesses[node.witness]
    _require(node.witness in (None, sha256_arrays(witness)), "Its witness was changed: the hash differs. Restore it.")
    _check_verdict(claim, rule.check(Context(claim, claim.premises, network, target, witness)))


def _outward(claim: Bound) -> bool:
    value, exact = Fraction(claim.value), claim.limit
    return value >= exact if claim.sense == "<=" else value <= exact if claim.sense == ">=" else value == exact


def _check_verdict(claim: Bound, verdict: Verdict) -> None:
    kind = Kind.weakest(verdict.kind, *(premise.kind for premise in claim.premises))
    _require(kind.satisfies(claim.kind), f"It is {kind.value} at best, not {claim.kind.value}. State the weaker kind.")
    _require(claim.hypotheses == verdict.hypotheses, f"What was checked is: {verdict.hypotheses}. State just that.")
    needed = {*verdict.assumptions, *(text for premise in claim.premises for text in premise.assumptions)}
    _require(
        set(claim.assumptions) == needed, f"It assumes: {'; '.join(sorted(needed)) or 'nothing'}. State just that."
    )
    delta = verdict.delta + sum((premise.delta for premise in claim.premises), Fraction(0))
    _require(claim.delta == delta, f"It holds with delta = {delta}. State just that.")


def _check_solution(solution: Solution) -> None:
    error, optimality, target = solution.error, solution.optimality, solution.target
    _require(
        error.network == solution.network.sha256 and error.target == target.sha256 and error.sense == "<=",
        "The error bound is not an upper bound for this network and target. Build the solution anew.",
    )
    if isinstance(target, FunctionTarget):
        about: tuple[str, Box | None] = "error", target.domain
        if isinstance(target, NetworkTarget) and target.sample is not None:
            about = target.quantity, None
        _require(
            (error.quantity, error.domain) == about and error.norm == target.norm,
            "The error bound is not about the norm and the domain of the target. Build the solution anew.",
        )
        _require(
            optimality is None
            or (optimality.sense, optimality.target, optimality.domain) == (">=", target.sha256, target.domain),
            "The optimality is not a lower bound for this target. Build the solution anew.",
        )
        _require_printable(*target.variables)
    else:
        _require(error.quantity == "risk" and optimality is None, "The error of data must be a risk. Build it anew.")
        _require_printable(target.name)
    _require_printable(solution.result)
