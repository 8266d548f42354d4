r"""The prior standard deviations that no data chose: 1, 2 and 5 times the powers of ten, with weights that sum to 1.

The i-th of them, ..., 0.2, 0.5, 1, 2, 5, 10, ... with number 0 for 1, has the weight 1/(C (|i| + 1)^2) with
C = sum_i (|i| + 1)^(-2) = pi^2/3 - 1. A mixture prior with these weights has KL(Q||P) <= KL(Q||P_i) + ln(1/weight_i).
"""

from __future__ import annotations

import math

from epsnet.certify.errors import DomainError

_LARGEST = 36


def _value(number: int) -> float:
    return float(f"{(1, 2, 5)[number % 3]}e{number // 3}")


_NUMBERS = {_value(number): number for number in range(-_LARGEST, _LARGEST + 1)}


def prior_nats(prior_std: float) -> float:
    """Return ln(1/weight) of a standard deviation of the list, rounded up. DomainError if it is not in the list.

    Example:
        >>> round(prior_nats(10.0), 3)
        3.601
    """
    if prior_std not in _NUMBERS:
        raise DomainError(f"The prior standard deviation {prior_std!r} is not 1, 2 or 5 times a power of 10. Use one.")
    return grid_nats(_NUMBERS[prior_std])


def grid_nats(number: int) -> float:
    """Return ln(1/weight) of the number of a grid, any integer, rounded up."""
    return math.log((math.pi**2 / 3 - 1) * (abs(number) + 1) ** 2) * (1 + 1e-12)
