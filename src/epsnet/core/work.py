"""How long an exact evaluation may take: a budget that is the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flint import fmpq

from epsnet.certify.errors import PrecisionError

_BUDGET = 2**27
"""A quarter of an hour at most."""


@dataclass(slots=True)
class Work:
    """What is left of a budget, in operations with rationals of 64 bits, about a microsecond each.

    Attributes:
        longest: the most bits that a number may have.
        left: the budget.
    """

    longest: int
    left: int = _BUDGET

    def spend(self, numbers: Iterable[fmpq]) -> None:
        """Pay for one operation with each number. PrecisionError if one is too long, or the budget is spent."""
        for number in numbers:
            bits = int(number.height_bits())
            if bits > self.longest:
                raise PrecisionError("A signal of the network is too long a rational. Use shorter weights.")
            self.pay(1 + bits // 64)

    def pay(self, operations: int) -> None:
        """Pay for some operations. PrecisionError if the budget is spent."""
        self.left -= operations
        if self.left < 0:
            raise PrecisionError("The evaluation takes too long. Use fewer boxes, fewer neurons or shorter weights.")
