"""The ledger of a confidence: how 1 - delta is divided over all statements that are shown beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from epsnet.certify.domain import number_text
from epsnet.certify.errors import DomainError


@dataclass(frozen=True, slots=True)
class DeltaLedger:
    """Shares of delta, one for each statement that may fail: with confidence 1 - delta all of them hold at once.

    Attributes:
        delta: the total.
        shares: pairs (what may fail, with at most this probability).

    Raises:
        DomainError: a share is not positive, two have one name, or they sum to more than delta.

    Example:
        >>> print(DeltaLedger.split(Fraction(1, 20), ["Gibbs risk", "one draw"]))
        1/40   Gibbs risk
        1/40   one draw
        1/20   all statements together
    """

    delta: Fraction
    shares: tuple[tuple[str, Fraction], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.shares]
        spent = sum((share for _, share in self.shares), Fraction(0))
        if not 0 < self.delta < 1 or len(set(names)) < len(names) or any(share <= 0 for _, share in self.shares):
            raise DomainError("The ledger needs 0 < delta < 1, different names and positive shares. Mend it.")
        if spent > self.delta:
            raise DomainError(f"The shares sum to {spent}, more than delta = {self.delta}. Make them smaller.")

    @classmethod
    def split(cls, delta: Fraction, names: Sequence[str]) -> DeltaLedger:
        """Divide delta equally."""
        return cls(Fraction(delta), tuple((name, Fraction(delta) / len(names)) for name in names))

    def __getitem__(self, name: str) -> Fraction:
        """Return a share. DomainError if there is none of that name: every event has to be counted first."""
        for known, share in self.shares:
            if known == name:
                return share
        raise DomainError(f"The ledger has no share for {name!r}. Count it when the ledger is made.")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"delta": str(self.delta), "shares": {name: str(share) for name, share in self.shares}}

    def __str__(self) -> str:
        rows = [*self.shares, ("all statements together", self.delta)]
        width = max(len(number_text(share)) for _, share in rows)
        return "\n".join(f"{number_text(share):<{width}}   {name}" for name, share in rows)
