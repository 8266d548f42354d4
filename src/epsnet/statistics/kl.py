r"""The binary relative entropy and its inverses in ball arithmetic.

$$ kl(q\|p) = q \ln\frac qp + (1 - q) \ln\frac{1 - q}{1 - p}, \qquad
   kl^{-1}_+(q, c) = \sup\{p : kl(q\|p) \le c\}, \quad kl^{-1}_-(q, c) = \inf\{p : kl(q\|p) \le c\}. $$

kl(q||p) grows with p on [q, 1], so a bound kl(q||p) <= c of an unknown p by an observed q is one of p itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from flint import arb

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic

Number = float | Fraction


def binary_kl(q: Number, p: Number) -> arb:
    """Enclose kl(q||p) for 0 <= q <= 1 and 0 < p < 1, or q = p."""
    if q == p:
        return arb(0)
    first, second = ball(Fraction(q)), ball(1 - Fraction(q))
    parts = [arb(0)]
    if q > 0:
        parts.append(first * (first / ball(Fraction(p))).log())
    if q < 1:
        parts.append(second * (second / ball(1 - Fraction(p))).log())
    return sum(parts, arb(0))


def exceeds(q: Number, p: Number, c: arb) -> bool:
    """Tell whether p >= kl^-1_+(q, c) is certain, as it is for p = 1."""
    return p >= 1 or (p >= q and bool(binary_kl(q, p) >= c))


def kl_upper(q: Number, c: arb | Number) -> float:
    """Return the least float64 p >= q for which p >= kl^-1_+(q, c) is certain in ball arithmetic.

    Args:
        q: 0 <= q <= 1.
        c: >= 0.

    Example:
        >>> kl_upper(0.3, 0.5)
        0.7713823286075752

    Raises:
        DomainError: q or c is out of range.
    """
    with ball_arithmetic():
        level = _level(q, c)
        return _least(math.nextafter(float(q), -math.inf), 1.0, lambda p: exceeds(q, p, level))


def kl_lower(q: Number, c: arb | Number) -> float:
    """Return the largest float64 p <= q for which p <= kl^-1_-(q, c) is certain in ball arithmetic.

    Args:
        q: 0 <= q <= 1.
        c: >= 0.

    Raises:
        DomainError: q or c is out of range.
    """
    with ball_arithmetic():
        level = _level(q, c)

        def reaches(p: float) -> bool:
            return p >= 0 or (-p <= q and bool(binary_kl(q, -p) >= level))

        return 0.0 - _least(-math.nextafter(float(q), math.inf), 0.0, reaches)


def _least(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """Return the least float64 of (low, high] that holds; all above one that holds do, and `high` does."""
    while math.nextafter(low, math.inf) < high:
        middle = low + (high - low) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _level(q: Number, c: arb | Number) -> arb:
    level = c if isinstance(c, arb) else ball(c)
    if not 0 <= q <= 1 or not level >= 0:
        raise DomainError(f"kl^-1({q}, {c}) is undefined. Use 0 <= q <= 1 and c >= 0.")
    return level
