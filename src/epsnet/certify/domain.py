"""`Box`: the domain of a statement, a product of compact intervals with exact rational ends."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from epsnet.certify.errors import DomainError

Real = int | float | str | Fraction

# Three digits of exponent: "1e999999999" would otherwise take all memory. Long fractions are what exact weights need.
_SHORT_NUMBER = re.compile(r"[+-]?\d{0,20000}(\.\d{0,20000})?([eE][+-]?\d{1,3}|/\d{1,20000})?", re.ASCII)
_SHORT_TEXT = 60
_MAX_BITS = 14_000  # of numerators and denominators: Python prints integers of at most 4,300 digits
_LARGEST_END = Fraction(10) ** 300


def exact(value: Real, what: str = "number") -> Fraction:
    """Return a number as the rational it is: a float by its bits, a text such as "0.1" or "1e-3" by its digits."""
    try:
        if isinstance(value, str) and not _SHORT_NUMBER.fullmatch(value.strip()):
            raise ValueError
        number = Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        raise DomainError(f"The {what} {value!r} is not a finite number. Give one such as 0.25 or 1e-3.") from None
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > _MAX_BITS:
        raise DomainError(f"The {what} has more than {_MAX_BITS} bits. Round it.")
    return number


def number_text(value: Fraction) -> str:
    """Return a rational as a text that means exactly it: 0.001, 1/3, the float 0.1 with all its 55 decimals."""
    digits = _terminating_digits(value.denominator)
    if digits is not None:
        scaled = abs(value.numerator) * 10**digits // value.denominator
        whole, part = divmod(scaled, 10**digits)
        text = f"{whole}.{part:0{digits}}" if digits else str(whole)
        if len(text) <= _SHORT_TEXT:
            return "-" + text if value < 0 else text
    return str(value)


def _terminating_digits(denominator: int) -> int | None:
    """Return how many decimals a fraction with this denominator has, None if they do not end within reason."""
    for digits in range(_SHORT_TEXT):
        if 10**digits % denominator == 0:
            return digits
    return None


@dataclass(frozen=True, slots=True, init=False)
class Box:
    """The box [lower_1, upper_1] x ... x [lower_d, upper_d] with rational ends and lower_i < upper_i.

    `Box(0, 1)` is the unit interval, `Box([0, 0], [1, 2])` a rectangle. A float end is meant exactly as stored.

    Raises:
        DomainError: an end is not finite, the numbers of ends differ, or an interval is empty or a point.
    """

    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]

    def __init__(self, lower: Real | Sequence[Real], upper: Real | Sequence[Real]) -> None:
        def ends(value: Real | Sequence[Real]) -> tuple[Fraction, ...]:
            single = isinstance(value, int | float | str | Fraction)
            if not single and not isinstance(value, Sequence):
                raise DomainError(
                    f"The ends {value!r} are no numbers. Give a number, or a list with one for each variable."
                )
            return tuple(exact(end, "end of an interval") for end in ((value,) if single else value))  # type: ignore[union-attr]

        below, above = ends(lower), ends(upper)
        if len(below) != len(above) or not below:
            raise DomainError(
                f"A box needs as many lower as upper ends, got {len(below)} and {len(above)}. "
                f"Give one pair for each variable."
            )
        for low, high in zip(below, above, strict=True):
            if max(abs(low), abs(high)) > _LARGEST_END:
                raise DomainError("An end of an interval lies beyond 1e300. Rescale the variable.")
            if low >= high:
                raise DomainError(
                    f"The interval [{float(low):g}, {float(high):g}] is empty. Give a lower end below the upper end."
                )
        object.__setattr__(self, "lower", below)
        object.__setattr__(self, "upper", above)

    @property
    def dimension(self) -> int:
        """The number d of intervals."""
        return len(self.lower)

    @property
    def volume(self) -> Fraction:
        """The Lebesgue measure."""
        return math.prod((high - low for low, high in zip(self.lower, self.upper, strict=True)), start=Fraction(1))

    def contains(self, other: Box) -> bool:
        """Tell whether `other` is a subset."""
        return self.dimension == other.dimension and all(
            a <= c and d <= b for a, b, c, d in zip(self.lower, self.upper, other.lower, other.upper, strict=True)
        )

    def __str__(self) -> str:
        ends = zip(self.lower, self.upper, strict=True)
        return " x ".join(f"[{number_text(a)}, {number_text(b)}]" for a, b in ends)

    def to_json(self) -> dict[str, Any]:
        """Return the ends as texts that read back exactly."""
        return {"lower": [str(end) for end in self.lower], "upper": [str(end) for end in self.upper]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Box:
        """Read a box back; ValueError if `data` is not one."""
        return cls([str(end) for end in data["lower"]], [str(end) for end in data["upper"]])
