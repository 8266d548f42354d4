r"""Tables of numbers as integers times a step, and five ways to code them.

Float64 numbers of one table are written as q * m * 2^e with integers q, m > 0 the greatest common divisor: any finite
ones are, and those on a grid have small q. The ways, of which the encoder takes the shortest that fits::

    UNIFORM      the places of the M nonzero of n numbers, all equally likely, a sign and b bits each:
                 log2 binom(n, M) + M (1 + b) bits, 2^b > max |q| - 1
    ADAPTIVE     is it 0, its sign, the length of |q|, its leading bits, each by counts; whether it is 0 by the product
                 of the odds of its row and its column over those of the table
    DIFFERENCES  ADAPTIVE for the differences of neighbors, of which a sorted table has small ones
    RAW          as UNIFORM with the 64 bits of each nonzero number, where their exponents lie too far apart
    RATIONAL     for tables with a number that is no float64 number: as UNIFORM with each nonzero one as a sign,
                 numerator / denominator without their powers of 2, and that power, as long as they are (`rational`)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate, chain, pairwise
from typing import TypeVar

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.rounding import ball_arithmetic, round_up
from epsnet.codec.arithmetic import Coder, Encoder

Table = NDArray[np.float64] | list[Fraction]
"""Row by row; rationals where one of them is no float64 number."""

UNIFORM, ADAPTIVE, DIFFERENCES, LONG = range(4)
MAX_BITS = 14_000
"""Of a numerator or a denominator: what texts of rationals may have elsewhere, too."""

_Number = TypeVar("_Number", int, Fraction)
_SPAN = 61
_EXPONENT = 1074
_PRIOR = 8
_SCALE = 1 << 16


def grid(values: NDArray[np.float64]) -> tuple[list[int], int, int] | None:
    """Return (q, m, e) with values = q m 2^e; None if the exponents are more than 61 apart."""
    nonzero = values[values != 0]
    if not len(nonzero):
        return [0] * len(values), 1, 0
    fractions, exponents = np.frexp(nonzero)
    bits = (fractions * 2.0**53).astype(np.int64)
    trailing = np.frexp((bits & -bits).astype(np.float64))[1] - 1
    least = int((exponents - 53 + trailing).min())
    if int(exponents.max()) - least > _SPAN:
        return None
    half = -least // 2
    # Two steps, for 2^1074 is not a float64 number.
    scaled = np.ldexp(np.ldexp(values, half), -least - half).astype(np.int64)
    step = int(np.gcd.reduce(scaled))
    return (scaled // step).tolist(), step, least


def code(coder: Coder, values: Table | None, rows: int, columns: int) -> Table:
    """Code a table, flat, row by row; a decoder takes None for it.

    Raises:
        CheckError: the file ends early. OverflowError, ValueError: no encoder wrote this.
    """
    count = rows * columns
    found = grid(values) if isinstance(values, np.ndarray) else None
    if found is None:
        way = coder.uniform(LONG, 2)
    else:
        integers, step, exponent = found
        way = coder.uniform(min((UNIFORM, ADAPTIVE, DIFFERENCES), key=lambda way: _length(way, integers, columns)), 2)
    if way == LONG:
        if coder.uniform(int(isinstance(values, list)), 1):
            fractions = values if isinstance(values, list) else [Fraction(0)] * count
            return _sparse(coder, fractions, lambda value: rational(coder, value))
        words = [_bits(value) for value in values.tolist()] if isinstance(values, np.ndarray) else [0] * count
        words = _sparse(coder, words, lambda word: coder.uniform(word, 64))
        return np.array([struct.unpack("<d", struct.pack("<Q", word))[0] for word in words], dtype=np.float64)
    integers, step, exponent = found or ([0] * count, 1, 0)
    width = coder.uniform(step.bit_length() - 1, 6)
    step = 1 << width | coder.uniform(step & ((1 << width) - 1), width)
    exponent = coder.uniform(exponent + _EXPONENT, 12) - _EXPONENT
    integers = _WAYS[way](coder, integers, columns)
    return np.array([to_float(value * step, exponent) for value in integers], dtype=np.float64)


def length_bound(values: Table) -> int:
    r"""Return a number of bits that `code` never exceeds: $\log_2 \binom{n}{M} + M (1 + b) + c$, rounded up.

    c = 26 + floor(log2 m) + 2 floor(log2(M + 1)) + 1 are the numbers of the header. Where the numbers are on no grid,
    64 bits stand for 1 + b, and 3 for 26 + floor(log2 m); where they are rational, the sum of their `rational_bits`
    stands for M (1 + b). What the coder loses: see `format.length_bound`.
    """
    if isinstance(values, list):
        numbers = [value for value in values if value]
        nonzero, header, content = len(numbers), 3, sum(map(rational_bits, numbers))
    else:
        nonzero, found = int(np.count_nonzero(values)), grid(values)
        header, each = 3, 64
        if found is not None:
            header, each = 25 + found[1].bit_length(), 1 + (max(map(abs, found[0]), default=1) - 1).bit_length()
        content = nonzero * each
    return places_bound(len(values), nonzero) + content + header + 2 * (nonzero + 1).bit_length() - 1


def places_bound(count: int, nonzero: int) -> int:
    """Return log2 of the number of ways to choose so many places, rounded up."""
    with ball_arithmetic():
        logarithm = arb(count + 1).lgamma() - arb(nonzero + 1).lgamma() - arb(count - nonzero + 1).lgamma()
        return math.ceil(round_up(logarithm / arb.const_log2()))


def rational(coder: Coder, value: Fraction) -> Fraction:
    """Code a nonzero rational (-1)^s (n/d) 2^k with odd n and d: `rational_bits` bits."""
    sign, numerator, denominator, power = split(value or Fraction(1))
    if max(numerator.bit_length(), denominator.bit_length(), abs(power)) > MAX_BITS:
        raise ValueError(f"a weight has more than {MAX_BITS:,} bits")
    sign = coder.uniform(sign, 1)
    numerator, denominator = _odd(coder, numerator), _odd(coder, denominator)
    power = coder.natural(2 * abs(power) - (power < 0) if power else 0)
    power = -(power + 1 >> 1) if power & 1 else power >> 1
    if power > MAX_BITS or power < -MAX_BITS:
        raise ValueError(f"a weight has more than {MAX_BITS:,} bits")
    return (-1) ** sign * Fraction(numerator, denominator) * Fraction(2) ** power


def rational_bits(value: Fraction) -> int:
    r"""Return the bits of a rational: $1 + \sum_{z \in \{n, d\}} (l + 2 \lfloor \log_2 (l + 1) \rfloor) + \gamma(k)$.

    l = floor(log2 z) is the number of bits of z after its first; the last one, 1, is not written but for z = 1, where
    there is none. gamma(k) = 2 floor(log2(1 + 2|k| - [k < 0])) + 1.
    """
    _, numerator, denominator, power = split(value)
    lengths = [z.bit_length() - 1 for z in (numerator, denominator)]
    zigzag = 2 * abs(power) - (power < 0)
    odd = sum(max(length - 1, 0) + 2 * (length + 1).bit_length() - 1 for length in lengths)
    return 1 + odd + 2 * (zigzag + 1).bit_length() - 1


def split(value: Fraction) -> tuple[int, int, int, int]:
    """Return (s, n, d, k) with value = (-1)^s (n/d) 2^k and odd n, d > 0; the value is not 0."""
    numerator, denominator = abs(value.numerator), value.denominator
    up, down = ((z & -z).bit_length() - 1 for z in (numerator, denominator))
    return int(value < 0), numerator >> up, denominator >> down, up - down


def to_float(mantissa: int, exponent: int) -> float:
    """Return mantissa * 2^exponent. ValueError if that is no float64 number."""
    value = math.ldexp(mantissa, exponent)
    if int(float(mantissa)) != mantissa or math.ldexp(value, -exponent) != mantissa:
        raise ValueError("a weight is no float64 number")
    return value


def _odd(coder: Coder, value: int) -> int:
    length = coder.natural(value.bit_length() - 1)
    if length > MAX_BITS:
        raise ValueError(f"a weight has more than {MAX_BITS:,} bits")
    if length == 0:
        return 1
    return 1 << length | coder.uniform(value >> 1 & ((1 << length - 1) - 1), length - 1) << 1 | 1


def _length(way: int, integers: list[int], columns: int) -> int:
    coder = Encoder()
    _WAYS[way](coder, integers, columns)
    return coder.bits


def _bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]


def _sparse(coder: Coder, words: Sequence[_Number], each: Callable[[_Number], _Number]) -> list[_Number]:
    """Code words that are not 0 by `each`, and before: how many, and where, all places being equally likely."""
    left, nonzero = len(words), coder.natural(len(words) - words.count(0))
    if nonzero > left:
        raise ValueError("more nonzero weights than places")
    result = [words[0] * 0] * left
    for place, word in enumerate(words):
        if nonzero == 0:
            break
        if nonzero == left or coder.bit(int(word != 0), left - nonzero, left):
            result[place] = each(word)
            nonzero -= 1
        left -= 1
    return result


def _uniform(coder: Coder, integers: list[int], columns: int) -> list[int]:
    del columns
    width = coder.uniform((max(map(abs, integers)) - 1).bit_length() if any(integers) else 0, 6)
    signed = [abs(value) << 1 | (value < 0) for value in integers]
    words = _sparse(coder, signed, lambda word: 2 + coder.uniform(word - 2, width + 1))
    return [(-(word >> 1) if word & 1 else word >> 1) for word in words]


def _adaptive(coder: Coder, integers: list[int], columns: int) -> list[int]:
    """Code integers of at most 62 bits: is it 0, the sign, the length of |q|, its leading bits."""
    whole, row, by_column = [1, 1], [0, 0], [[0, 0] for _ in range(columns)]
    sign, lengths = [0, 0], [[0, 0] for _ in range(_SPAN + 1)]
    leading = [[[0, 0] for _ in range(8)] for _ in range(_SPAN + 2)]
    result = []
    for place, value in enumerate(integers):
        column = place % columns
        if column == 0:
            row = [0, 0]
        line, (zeros, ones), some = by_column[column], whole, whole[0] + whole[1]
        zero = (row[0] * some + _PRIOR * zeros) * (line[0] * some + _PRIOR * zeros) * ones
        one = (row[1] * some + _PRIOR * ones) * (line[1] * some + _PRIOR * ones) * zeros
        nonzero = coder.bit(int(value != 0), 1 + (_SCALE - 2) * zero // (zero + one), _SCALE)
        row[nonzero] += 1
        line[nonzero] += 1
        whole[nonzero] += 1
        if not nonzero:
            result.append(0)
            continue
        negative = coder.adaptive(int(value < 0), sign)
        magnitude = _magnitude(coder, abs(value), lengths, leading)
        result.append(-magnitude if negative else magnitude)
    return result


def _magnitude(coder: Coder, value: int, lengths: list[list[int]], leading: list[list[list[int]]]) -> int:
    """Code 1 <= value < 2^62: its length in unary and the three bits after its first by counts, the others evenly."""
    length = 1
    while length <= _SPAN and coder.adaptive(int(value.bit_length() > length), lengths[length - 1]):
        length += 1
    node, rest = 1, length - 1
    while rest and node < 8:
        rest -= 1
        node = 2 * node + coder.adaptive(value >> rest & 1, leading[length][node])
    return node << rest | coder.uniform(value & ((1 << rest) - 1), rest)


def _differences(coder: Coder, integers: list[int], columns: int) -> list[int]:
    """Code q_0 and q_{k-1} - q_k."""
    steps = _adaptive(coder, [a - b for a, b in pairwise(chain([0], integers))], columns)
    return [-value for value in accumulate(steps)]


_WAYS = (_uniform, _adaptive, _differences)
