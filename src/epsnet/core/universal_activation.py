r"""Activations with which a network of fixed size approximates every continuous function of one variable.

**sigma_E** belongs to an enumeration E of polynomials p_1, p_2, ... with rational coefficients. With k the number of
binary digits of n, d the degree of p_n and B the least power of two >= 2 sum |coefficients| (and >= 1),

$$ \sigma_E(2n + t) = f_n(t) = 1 - \frac1{4k}\Bigl(1 - \frac{p_n(t)}{2B}\Bigr), \qquad 0 \le t \le 1, \quad n \ge 1. $$

So c_0 + c_1 sigma_E(t + 2n) = p_n(t) with c_1 = 8 k B, c_0 = 2 B (1 - 4 k): one neuron is every p_n. Between the
slots (0 <= s <= 1)

$$ \sigma_E(2n + 1 + s) = (1 - \beta(s)) f_n(1 + s (1 - \beta(s/\delta_n)))
   + \beta(s) f_{n+1}(-(1 - s)(1 - \beta((1 - s)/\delta_{n+1}))), $$

with delta_n = 1 / (4 max(d, 1)^2) and the smooth step beta(s) = e(s) / (e(s) + e(1 - s)), e(s) = exp(-1/s) for s > 0,
else 0. For x <= 1 it is g(x) = 1 / (6 - 2x), and on [1, 2] the mean of g and f_1 with the same weights.

* It is C-infinity: beta and 1 - beta vanish to infinite order at 0 and at 1, so every formula agrees with its neighbor
  to infinite order.
* |p_n| <= B on [-delta_n, 1 + delta_n]: |T_j(1 + 2 delta)| <= cosh(j/d) <= cosh 1 < 2 for j <= d, as arccosh(1 + y) <=
  sqrt(2y); in the powers of t, (1 + delta)^d < 2. So f_n is in [1 - 3/(8k), 1 - 1/(8k)], and so are the means: sigma_E
  tends to 1 at infinity, to 0 at -infinity (sigmoidal), and has values in (0, 1).
* It is lambda-increasing with lambda = 1/4: |sigma_E - u| <= 1/4 for a strictly increasing u with 1 - 1/(4k) <= u < 1
  - 1/(4(k+1)) on the slots of k digits.

N. J. Guliyev and V. E. Ismailov stack the slots in rising bands instead, which makes c_1 about n log(n)^2.

**Enumerations.** "calkin-wilf" is theirs: q_n = [m_0; ..., m_l] (continued fraction, m_l >= 2) of the Calkin-Wilf
sequence gives p_n = r_{m_0} + r_{m_1 - 1} t + ... + r_{m_l - 2} t^l + t^{l+1} with r_0 = 0, r_{2k} = q_k, r_{2k-1} =
-q_k; p_1 = 1. "codec" reads the binary digits of n after the first as Elias delta codes of z_1 + 1, z_2 + 1, ...:
p_n = sum_{j >= 1} m_j T_j(2t - 1), where m_j = (z_j + 1)/2 for odd z_j, -z_j/2 for even; an incomplete last code is
left out. Up to a factor and a constant, which c_1 and c_0 supply, every polynomial with rational coefficients occurs.

**Steps.** The slots of sigma_steps hold steps instead of polynomials. The digits of n after the first are read as
delta codes of e + 1, z_1 + 1, ..., z_k + 1 (e = 0 if there is none), and m_i is made of z_i as above. With w = 2^-e,

$$ p_n(t) = \sum_{i=1}^{k} m_i\, \beta\Bigl(\frac{k t - i + 1/2}{w} + \frac12\Bigr). $$

So p_n is C-infinity, moves monotonically from s_{i-1} to s_i = m_1 + ... + m_i where |k t - i + 1/2| < w/2, and is
constant between these steps and outside [0, 1]. Hence f_n goes on by constants: sigma_steps(2n + 1 + s) = (1 - beta(s))
f_n(1) + beta(s) f_{n+1}(0). B is the least power of two >= max |s_i| (and >= 1), so |p_n| <= B on the whole line. What
was said of the others follows in the same way. If F on [0, 1] has the modulus of continuity omega, u > 0 and
|u s_i - F(i/k) + F(0)| <= u/2, then |F - F(0) - u p_n| <= omega(1/k) + u/2. So one neuron is everything here
too, at a cost of bits for steps instead of degrees.

**EUAF** (Z. Shen, H. Yang, S. Zhang): the triangle wave |x - 2 floor((x + 1)/2)| for x >= 0, x / (1 + |x|) for x < 0.

In float64 these functions mean nothing at arguments of hundreds of bits, so they refuse; `core.exact_forms` evaluates.

Sources: N. J. Guliyev, V. E. Ismailov, A single hidden layer feedforward network with only one neuron in the hidden
layer can approximate any univariate function, Neural Computation 28 (2016) 1289-1304; V. Maiorov, A. Pinkus, Lower
bounds for approximation by MLP neural networks, Neurocomputing 25 (1999) 81-91; Z. Shen, H. Yang, S. Zhang, Deep
network approximation: achieving arbitrary accuracy with fixed number of neurons, JMLR 23 (2022) 1-60; N. Calkin, H. S.
Wilf, Recounting the rationals, Amer. Math. Monthly 107 (2000) 360-363; P. Elias, Universal codeword sets and
representations of the integers, IEEE Trans. Information Theory 21 (1975) 194-203.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
from flint import arb, fmpq, fmpq_poly, fmpz_poly
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import to_fraction
from epsnet.core.functions import UNKNOWN, Function

MAX_INDEX_BITS = 100_000
"""The longest index of a polynomial that is decoded."""
MAX_DEGREE = 512
_MOST_HALVINGS = 64
_MOST_STEPS = 2**62
_SHARES = 2**100
"""Values on a step are rounded outward to this part of its height."""

P = TypeVar("P", fmpq, fmpq_poly)


@dataclass(frozen=True, slots=True)
class Band:
    """What holds for every slot of sigma_E: the power of two B above |p| and the number k of digits of its index."""

    scale: Fraction
    digits: int

    def activated(self, p: P) -> P:
        """Return 1 - (1 - p/(2B)) / (4k)."""
        factor = fmpq(1, 4 * self.digits)
        return 1 - factor + p * (factor / fmpq(2 * self.scale.numerator, self.scale.denominator))

    @property
    def output(self) -> tuple[Fraction, Fraction]:
        """(c_0, c_1) with c_0 + c_1 sigma_E(t + 2n) = p_n(t)."""
        return 2 * self.scale * (1 - 4 * self.digits), 8 * self.digits * self.scale


@dataclass(frozen=True, slots=True)
class Slot(Band):
    """A slot that holds a polynomial."""

    polynomial: fmpq_poly

    def within(self, t: arb) -> arb:
        """Enclose sigma_E(2n + t) for 0 <= t <= 1."""
        return _at(self.activated(self.polynomial), t)

    def beyond(self, end: int, s: arb) -> arb:
        """Return f_n at the distance s outside the end 0 or 1 of its slot, s brought back to delta_n."""
        degree = max(self.polynomial.degree(), 1)
        place = s * (1 - _step(4 * degree**2 * s))
        return self.within(end + place if end else -place)


@dataclass(frozen=True, slots=True)
class Steps(Band):
    """A slot that holds steps: their width w, and the values s_0 = 0, s_1, ..., s_k of p on the plateaus."""

    width: fmpq
    levels: tuple[int, ...]

    def range(self, low: fmpq, high: fmpq) -> tuple[fmpq, fmpq]:
        """Enclose p on [low, high] by rationals, outward by less than 2^-100 of a step."""
        first, *left = self._at(low)
        last, *right = self._at(high)
        values = [*left, *right, *map(fmpq, self.levels[first:last])]
        return min(values), max(values)

    def _at(self, t: fmpq) -> tuple[int, fmpq, fmpq]:
        """Return the number of the step next to t, and ends of a range that holds p(t)."""
        count = len(self.levels) - 1
        place = count * t + fmpq(1, 2)
        step = min(max(int((place + fmpq(1, 2)).floor()), 0), count + 1)
        before, after = (self.levels[min(max(number, 0), count)] for number in (step - 1, step))
        s = (place - step) / self.width + fmpq(1, 2)
        if before == after or s <= 0 or s >= 1:
            level = fmpq(after if s >= 1 else before)
            return step, level, level
        share = _bump(arb(s)) / (_bump(arb(s)) + _bump(arb(1 - s))) * _SHARES
        parts = (share.lower().floor(), share.upper().ceil())
        ends = [before + (after - before) * fmpq(int(to_fraction(part)), _SHARES) for part in parts]
        return step, max(min(ends), fmpq(min(before, after))), min(max(ends), fmpq(max(before, after)))

    def within(self, t: arb) -> arb:
        """Enclose sigma_E(2n + t) for 0 <= t <= 1."""
        low, high = self.range(_rational(to_fraction(t.lower())), _rational(to_fraction(t.upper())))
        return arb(self.activated(low)).union(arb(self.activated(high)))

    def beyond(self, end: int, s: arb) -> arb:
        """Return the value at the end 0 or 1 of the slot, for every s: p does not change beyond."""
        return arb(self.activated(fmpq(self.levels[-end])))


def calkin_wilf(index: int) -> Fraction:
    """Return q_n, n >= 1: the continued fraction of the run lengths of the binary digits of n, last digit first."""
    return functools.reduce(
        lambda value, term: term + 1 / value, reversed(_terms(index)[:-1]), Fraction(_terms(index)[-1])
    )


def _terms(index: int) -> list[int]:
    """Return the continued fraction of q_n, whose last term is >= 2 unless it is the only one."""
    terms = [len(list(run)) for _, run in itertools.groupby(reversed(bin(index)[2:]))]
    terms = terms if index % 2 else [0, *terms]
    return [*terms[:-2], terms[-2] + 1] if len(terms) > 1 and terms[-1] == 1 else terms


def _calkin_wilf_coefficients(index: int) -> list[Fraction]:
    if index == 1:
        return [Fraction(1)]
    terms = _terms(index)
    terms = [terms[0], *(term - 1 for term in terms[1:])]
    terms[-1] -= 1 + (len(terms) == 1)
    _require_degree(len(terms))
    return [(-1) ** term * calkin_wilf((term + 1) // 2) if term else Fraction(0) for term in terms] + [Fraction(1)]


def delta_code(value: int) -> str:
    """Return the Elias delta code of an integer >= 1."""
    digits = bin(value)[2:]
    length = bin(len(digits))[2:]
    return "0" * (len(length) - 1) + length + digits[1:]


def _delta_codes(text: str) -> Iterator[int]:
    """Yield the integers whose Elias delta codes a text is made of; an incomplete last code is left out."""
    place = 0
    while (one := text.find("1", place)) >= 0:
        start = 2 * one - place + 1
        length = int(text[one:start], 2)
        place = start + length - 1
        if start > len(text) or place > len(text):
            return
        yield int("1" + text[start:place], 2)


def _codec_coefficients(index: int) -> list[Fraction]:
    """Return the coefficients of the T_j(2t - 1)."""
    values = list(_delta_codes(bin(index)[3:]))
    _require_degree(len(values))
    return [Fraction(0)] + [Fraction(_signed(value - 1)) for value in values]


def _signed(code: int) -> int:
    """Return the integer with the number `code` in the order 0, 1, -1, 2, -2, ..."""
    return (code + 1) // 2 if code % 2 else -(code // 2)


def _require_degree(degree: int) -> None:
    if degree > MAX_DEGREE:
        raise PrecisionError(
            f"The polynomial of the weight has the degree {degree}, more than {MAX_DEGREE}. Use another."
        )


def _chebyshev_sum(coefficients: list[Fraction]) -> fmpq_poly:
    """Return sum_j c_j T_j(2t - 1) in powers of t."""
    before, now, twice = fmpz_poly([1]), fmpz_poly([-1, 2]), fmpz_poly([-2, 4])
    total = fmpq_poly()
    for c in coefficients:
        total += fmpq_poly(before) * _rational(c)
        before, now = now, twice * now - before
    return total


def _rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


_ENUMERATIONS: dict[str, Callable[[int], tuple[list[Fraction], fmpq_poly]]] = {
    "codec": lambda n: ((c := _codec_coefficients(n)), _chebyshev_sum(c)),
    "calkin-wilf": lambda n: ((c := _calkin_wilf_coefficients(n)), fmpq_poly([_rational(a) for a in c])),
}


@functools.lru_cache(maxsize=256)
def slot(enumeration: str, index: int) -> Slot:
    """Return slot n >= 1 of a sigma_E of polynomials.

    Args:
        enumeration: "codec" or "calkin-wilf".
        index: n.

    Raises:
        DomainError: n < 1.
        PrecisionError: n or what it stands for is too long to be worked with.
    """
    _require_index(index)
    coefficients, polynomial = _ENUMERATIONS[enumeration](index)
    total = max(2 * sum(map(abs, coefficients)), Fraction(1))
    return Slot(Fraction(1 << (math.ceil(total) - 1).bit_length()), index.bit_length(), polynomial)


@functools.lru_cache(maxsize=256)
def steps(index: int) -> Steps:
    """Return slot n >= 1 of sigma_steps.

    Raises:
        DomainError: n < 1.
        PrecisionError: n is too long, or its steps are too narrow or too high to be worked with.
    """
    _require_index(index)
    start, *codes = [*_delta_codes(bin(index)[3:])] or [1]
    heights = [_signed(code - 1) for code in codes]
    if start > _MOST_HALVINGS or sum(map(abs, heights)) >= _MOST_STEPS:
        raise PrecisionError("The steps of the weight are too narrow or too high. Use others.")
    levels = tuple(itertools.accumulate(heights, initial=0))
    scale = 1 << (max(*map(abs, levels), 1) - 1).bit_length()
    return Steps(Fraction(scale), index.bit_length(), fmpq(1, 1 << (start - 1)), levels)


def _require_index(index: int) -> None:
    if index < 1:
        raise DomainError(f"The slot {index} does not exist. Use a number from 1.")
    if index.bit_length() > MAX_INDEX_BITS:
        raise PrecisionError(f"The number of the slot has {index.bit_length()} bits, more than {MAX_INDEX_BITS}.")


def _bump(s: arb) -> arb:
    return (-1 / s).exp() if s > 0 else arb(0)


def _step(s: arb) -> arb:
    """Return beta(s) for a point 0 <= s, constant beyond 1."""
    return arb(1) if s >= 1 else _bump(s) / (_bump(s) + _bump(1 - s))


def _at(polynomial: fmpq_poly, y: arb) -> arb:
    value = arb(0)
    for c in reversed(polynomial.coeffs()):
        value = value * y + arb(c)
    return value


def _sigma(name: str, decode: Callable[[int], Slot | Steps]) -> Function:
    def value(y: arb) -> arb:
        if not y.is_finite():
            return UNKNOWN
        low, high = to_fraction(y.lower()), to_fraction(y.upper())
        piece = low.__floor__()
        if high > piece + 1 or (piece % 2 and low != high):
            return arb(0.5, 0.5)  # 0 < sigma < 1
        s, n = y - piece, piece // 2
        if piece < 1:
            return 1 / (6 - 2 * y)
        if piece % 2 == 0:
            return decode(n).within(s)
        left = 1 / (6 - 2 * y) if n == 0 else decode(n).beyond(1, s)
        return (1 - _step(s)) * left + _step(s) * decode(n + 1).beyond(0, 1 - s)

    return _inexact_in_floats(name, value)


def euaf(x: Fraction) -> Fraction:
    """Return the EUAF of a rational."""
    return x / (1 - x) if x < 0 else abs(x - 2 * ((x + 1) // 2))


def _euaf_ball(y: arb) -> arb:
    if not y.is_finite():
        return UNKNOWN
    low, high = to_fraction(y.lower()), to_fraction(y.upper())
    if high <= 0:
        return (y.lower() / (1 - y.lower())).union(y.upper() / (1 - y.upper()))
    ends = arb(_rational(euaf(low))).union(arb(_rational(euaf(high))))
    top, bottom = (high + 1) // 2 > (low + 1) // 2, high // 2 > low // 2 or low < 0
    return (ends.union(arb(1)) if top else ends).union(arb(0)) if bottom else ends.union(arb(1)) if top else ends


def _inexact_in_floats(name: str, value: Callable[[arb], arb]) -> Function:
    def refuse(_: NDArray[np.float64]) -> NDArray[np.float64]:
        raise PrecisionError(f"{name} is evaluated in exact arithmetic only. Use epsnet.core.exact_forms.")

    return Function(name, refuse, value, lambda _: UNKNOWN, lambda _: UNKNOWN)


UNIVERSAL: dict[str, Function] = {
    "euaf": _inexact_in_floats("euaf", _euaf_ball),
    "sigma-steps": _sigma("sigma-steps", steps),
    **{f"sigma-{name}": _sigma(f"sigma-{name}", functools.partial(slot, name)) for name in _ENUMERATIONS},
}
"""The universal activations by name; a layer accepts them besides those of `core.functions`."""
