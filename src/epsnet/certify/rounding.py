"""Outward rounding: rationals and balls to float64 without ever moving a bound to the wrong side.

Everything rigorous in epsnet is computed in exact rationals (`Fraction`) or in arb balls and rounded once,
at the end, by the functions of this module. No floating-point rounding mode is ever changed.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from fractions import Fraction

from flint import arb, ctx, fmpq

BALL_PRECISION = 113
"""Bits of the midpoint of every ball. One value everywhere, so that bounds do not depend on the caller."""


class _SharedPrecision:
    """The precision of python-flint is one per process, so concurrent threads must agree on when to restore it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.previous = 0

    def enter(self) -> None:
        with self.lock:
            if self.users == 0:
                self.previous = ctx.prec
                ctx.prec = BALL_PRECISION
            self.users += 1

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                ctx.prec = self.previous


_PRECISION = _SharedPrecision()


@contextlib.contextmanager
def ball_arithmetic() -> Iterator[None]:
    """Run a block at `BALL_PRECISION` bits, whatever the precision the caller uses; safe under threads and nesting."""
    _PRECISION.enter()
    try:
        yield
    finally:
        _PRECISION.leave()


def ball(value: int | float | Fraction | arb) -> arb:
    """Return a ball that contains `value`; a float or an integer is taken exactly."""
    if isinstance(value, Fraction):
        return arb(fmpq(value.numerator, value.denominator))
    return arb(value)


def interval(lower: arb | float | Fraction, upper: arb | float | Fraction) -> arb:
    """Return a ball that contains the convex hull of two numbers or balls."""
    return ball(lower).union(ball(upper))


def to_fraction(value: arb) -> Fraction:
    """Return a finite ball of radius 0 as the rational it is."""
    mantissa, exponent = value.man_exp()
    mantissa, exponent = int(mantissa), int(exponent)
    return Fraction(mantissa << exponent) if exponent >= 0 else Fraction(mantissa, 1 << -exponent)


def round_up(value: Fraction | arb) -> float:
    """Return a float64 >= `value` (the least one for a rational); +inf where the value has no finite upper end."""
    if isinstance(value, arb):
        if not value.is_finite() or not value.upper().is_finite():
            return math.inf
        end = value.upper()
        mantissa, exponent = (int(part) for part in end.man_exp())
        if (size := exponent + mantissa.bit_length()) > 1100:
            return math.inf if mantissa > 0 else -math.nextafter(math.inf, 0.0)
        if mantissa != 0 and size < -1200:
            # As a fraction, a number such as exp(-exp(30)) would take all memory.
            return math.nextafter(0.0, 1.0) if mantissa > 0 else 0.0
        value = to_fraction(end)
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.nextafter(math.inf, 0.0)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def round_down(value: Fraction | arb) -> float:
    """Return a float64 <= `value`; the mirror of `round_up`."""
    return -round_up(-value)


def decimal_text(value: float, *, up: bool, digits: int) -> str:
    """Return a decimal of a few digits that is >= `value` if `up`, else <= `value`."""
    if not math.isfinite(value):
        return str(value)
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return f"{Context(prec=digits, rounding=rounding).create_decimal(value):.{digits}g}"


def gamma(terms: int, unit: Fraction = Fraction(1, 2**53)) -> Fraction:
    r"""Return gamma_n = n u / (1 - n u), the relative error of n rounded operations in any order.

    $|fl(x \cdot y) - x \cdot y| \le \gamma_n |x| \cdot |y|$ for a dot product of length n, in any order of
    summation and with or without fused multiply-add, when nothing under- or overflows
    (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 3.1).
    """
    if terms * unit >= 1:
        raise ValueError(f"gamma_{terms} is undefined for unit roundoff {unit}: n u must be below 1.")
    return terms * unit / (1 - terms * unit)
