"""The exact (Clopper-Pearson) upper confidence bound of a probability."""

from __future__ import annotations

import math
from fractions import Fraction

from flint import arb

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.certify.tails import binomial_tail


def clopper_pearson(errors: int, trials: int, delta: Fraction) -> float:
    """Return the least float64 p whose P(Bin(n, p) <= k) <= delta is certain in ball arithmetic.

    With confidence 1 - delta the probability behind k successes in n independent trials is at most p; the bound is
    exact for every n, without any normal approximation (C. J. Clopper, E. S. Pearson, Biometrika 26, 1934).

    Args:
        errors: k.
        trials: n >= 1.
        delta: 0 < delta < 1.

    Example:
        >>> round(clopper_pearson(0, 100, Fraction(1, 100)), 6)  # 1 - 0.01^(1/100)
        0.045007

    Raises:
        DomainError: the counts or delta are out of range.
    """
    if not 0 <= errors <= trials or trials < 1 or not 0 < delta < 1:
        raise DomainError(
            f"{errors} errors in {trials} trials at delta {delta} is no experiment. Use 0 <= k <= n, 0 < delta < 1."
        )
    with ball_arithmetic():
        return binomial_upper(errors, trials, ball(delta))


def binomial_upper(errors: int, trials: int, level: arb) -> float:
    """Return the least float64 p whose P(Bin(n, p) <= k) <= level is certain; the level may be 256^-1000000."""
    if errors == trials:
        return 1.0
    with ball_arithmetic():
        low, high = errors / trials, 1.0
        while math.nextafter(low, 1.0) < high:
            middle = (low + high) / 2
            if binomial_tail(errors, trials, Fraction(middle)) <= level:
                high = middle
            else:
                low = middle
    return high
