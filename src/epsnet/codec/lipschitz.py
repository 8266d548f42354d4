r"""The code of A. N. Kolmogorov and V. M. Tikhomirov for a Lipschitz ball: as many bits as its entropy, no more.

The class: f on [a, b] with |f(x) - f(y)| <= Lambda |x - y| and f(a) known. Cut [a, b] from the left into n =
ceil(Lambda (b - a)/eps) cells of length h = eps/Lambda, the last one shorter. phi is f(a) on the first cell and has
slope +Lambda or -Lambda on each other cell [x_k, x_{k+1}]: +Lambda if f(x_{k+1}) >= phi(x_k). These n - 1 choices are
the code.

Theorem. sup |f - phi| <= eps, and no code of fewer bits has that for all f of the class.

Proof. Let e = f - phi. On the first cell |e| <= Lambda h = eps. If |e(x_k)| <= eps and the slope is +Lambda, then e
does not increase on the cell, so e <= eps there; at its end e = (f(x_{k+1}) - phi(x_k)) - Lambda (x_{k+1} - x_k) is
at least -eps, so e >= -eps on the cell. If the slope is -Lambda, e does not decrease, and e < Lambda (x_{k+1} - x_k)
<= eps at the end. That n - 1 bits are needed, n - 1 being the largest integer below Lambda (b - a)/eps, is the theorem
of the rule `entropy` of the checker. QED

Source: A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from epsnet.certify.errors import CheckError, DomainError


@dataclass(frozen=True, slots=True)
class LipschitzCode:
    """The code of the functions on [lower, upper] with Lipschitz constant `slope` and value `start` at `lower`.

    Example:
        >>> code = LipschitzCode(Fraction(0), Fraction(1), slope=Fraction(1), eps=Fraction(1, 4))
        >>> code.bits, code.encode(lambda x: x / 2).hex()
        (3, 'e0')

    Raises:
        DomainError: the interval is empty, or the slope or eps is not positive.
    """

    lower: Fraction
    upper: Fraction
    slope: Fraction
    eps: Fraction
    start: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if not (self.lower < self.upper and self.slope > 0 and self.eps > 0):
            raise DomainError("A Lipschitz ball needs lower < upper, slope > 0 and eps > 0. Give such numbers.")

    @property
    def bits(self) -> int:
        """The length of every code, and the least that serves the class: ceil(slope (upper - lower)/eps) - 1."""
        return math.ceil(self.slope * (self.upper - self.lower) / self.eps) - 1

    def encode(self, function: Callable[[Fraction], Fraction]) -> bytes:
        """Return the code of a function of the class, first bit first, filled up with zeros to whole bytes.

        Raises:
            DomainError: its values at the ends of the cells are not those of a function of the class.
        """
        places = self._places()
        values = [self.start, *map(function, places[1:])]
        moves = zip(places, places[1:], values, values[1:], strict=False)
        if any(abs(w - v) > self.slope * (y - x) for x, y, v, w in moves):
            raise DomainError("The function is steeper than the class, or starts elsewhere. Use a larger slope.")
        height, code = self.start, 0
        for place, following, value in zip(places[1:], places[2:], values[2:], strict=False):
            up = value >= height
            height += (1 if up else -1) * self.slope * (following - place)
            code = 2 * code + up
        return (code << -self.bits % 8).to_bytes((self.bits + 7) // 8, "big")

    def decode(self, content: bytes) -> tuple[Sequence[Fraction], Sequence[Fraction]]:
        """Return the ends of the cells and the values of phi there; between them phi is affine.

        Raises:
            CheckError: the content is not a code of this length.
        """
        code = int.from_bytes(content, "big")
        if len(content) != (self.bits + 7) // 8 or code & ((1 << -self.bits % 8) - 1):
            raise CheckError(f"The code does not have {self.bits} bits. Encode the function anew.")
        code >>= -self.bits % 8
        places = self._places()
        values = [self.start, self.start]
        for number in range(1, self.bits + 1):
            sign = 1 if code >> (self.bits - number) & 1 else -1
            values.append(values[-1] + sign * self.slope * (places[number + 1] - places[number]))
        return places, values

    def _places(self) -> list[Fraction]:
        return [self.lower + k * self.eps / self.slope for k in range(self.bits + 1)] + [self.upper]
