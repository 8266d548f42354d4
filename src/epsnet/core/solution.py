"""What is found: a `Solution`, a network for a target, and `Statements`, what is proved of a network by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Certificate
from epsnet.core.expansion_target import ExpansionTarget
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.size import Size
from epsnet.core.target import DataTarget, Target

FunctionTarget = Target | NetworkTarget | ExpansionTarget
"""A formula, a network or an expansion."""

AnyTarget = FunctionTarget | DataTarget
"""A function or a sample."""


@dataclass(frozen=True, eq=False)
class Solution:
    """A network Phi for a target F with a bound on its error.

    Attributes:
        network: Phi.
        target: F.
        error: the bound on ||F - Phi||, or on the risk for data.
        bits: the length of the stored network file in bits.
        optimality: what no network or function of the class can beat at this accuracy, where that is known.
        certificate: the derivation of `error` and `optimality`, and whatever else was proved on the way.
        stats: facts about the run that claim nothing (method, seed, seconds, learning curve).
        result: one sentence for a person.
    """

    network: Network
    target: AnyTarget
    error: Bound
    bits: int
    certificate: Certificate
    optimality: Bound | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)
    result: str = ""

    @property
    def size(self) -> Size:
        """M, L, N, W and the other measures of size."""
        return self.network.size

    def explain(self) -> str:
        """Return the derivation of the error bound, and of the optimality, as trees."""
        return "\n".join(bound.explain() for bound in (self.error, self.optimality) if bound is not None)

    def __str__(self) -> str:
        lines = [
            f"target    {self.target}",
            f"network   {self.network}, {self.bits:,} bits stored",
            f"error     {self.error}",
        ]
        lines.extend(f"assumed   {text}" for text in self.error.assumptions)
        if self.optimality is not None:
            lines.append(f"optimal   {self.optimality}")
        if self.result:
            lines.append(f"result    {self.result}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Statements:
    """What is proved of a network by itself: ranges, Lipschitz constants, counts.

    Attributes:
        network: Phi.
        certificate: the derivation of every statement.
    """

    network: Network
    certificate: Certificate

    def __str__(self) -> str:
        return "\n".join([str(self.network), *(str(node.claim) for node in self.certificate.nodes)])
