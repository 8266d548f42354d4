r"""Tables of float64 numbers as integers times a step, and four ways to code the integers.

Numbers of one table are written as q * m * 2^e with integers q, m > 0 the greatest common divisor: any finite float64
numbers are, and those on a grid have small q. The ways, of which the encoder takes the shortest:

    UNIFORM      the places of the M nonzero of n numbers, all equally likely, a sign and b bits each:
                 log2 binom(n, M) + M (1 + b) bits, 2^b > max |q| - 1
    ADAPTIVE     is it 0, its sign, the length of |q|, its leading bits, each by counts; whether it is 0 by the product
                 of the odds of its row and its column over those of the table
    DIFFERENCES  ADAPTIVE for the differences of neighbors, of which a sorted table has small ones
    RAW          as UNIFORM with the 64 bits of each nonzero number, where their exponents lie too far apart
"""

from __future__ import annotations

import math
import struct
from itertools import accumulate, chain, pairwise

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.rounding import ball_arithmetic, round_up
from epsnet.codec.arithmetic import Coder, Encoder

UNIFORM, ADAPTIVE, DIFFERENCES, RAW = range(4)
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


def code(coder: Coder, values: NDArray[np.float64] | None, rows: int, columns: int) -> NDArray[np.float64]:
    """Code a table of float64 numbers, flat, row by row; a decoder takes None for them.

    Raises:
        CheckError: the file ends early. OverflowError, ValueError: no encoder wrote this.
    """
    found = None if values is None else grid(values)
    way, integers, step, exponent = 0, [0] * (rows * columns), 1, 0
    if values is not None and found is None:
        way, integers = RAW, [_bits(value) for value in values.tolist()]
    elif found is not None:
        integers, step, exponent = found
        way = min((UNIFORM, ADAPTIVE, DIFFERENCES), key=lambda way: _length(way, integers, columns))
    way = coder.uniform(way, 2)
    if way != RAW:
        width = coder.uniform(step.bit_length() - 1, 6)
        step = 1 << width | coder.uniform(step & ((1 << width) - 1), width)
        exponent = coder.uniform(exponent + _EXPONENT, 12) - _EXPONENT
    integers = _WAYS[way](coder, integers, columns)
    if way == RAW:
        return np.array([struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in integers], dtype=np.float64)
    return np.array([_float(value * step, exponent) for value in integers], dtype=np.float64)


def length_bound(values: NDArray[np.float64]) -> int:
    r"""Return a number of bits that `code` never exceeds: $\log_2 \binom{n}{M} + M (1 + b) + c$, rounded up.

    c = 26 + floor(log2 m) + 2 floor(log2(M + 1)) + 1 are the numbers of the header. Where the numbers are on no grid,
    64 bits stand for 1 + b, and 2 for 26 + floor(log2 m). What the coder loses: see `format.length_bound`.
    """
    found, count, nonzero = grid(values), len(values), int(np.count_nonzero(values))
    if found is None:
        header, each = 2, 64
    else:
        header = 26 + found[1].bit_length() - 1
        each = 1 + (max(map(abs, found[0]), default=1) - 1).bit_length()
    with ball_arithmetic():
        logarithm = arb(count + 1).lgamma() - arb(nonzero + 1).lgamma() - arb(count - nonzero + 1).lgamma()
        places = math.ceil(round_up(logarithm / arb.const_log2()))
    return places + nonzero * each + header + 2 * (nonzero + 1).bit_length() - 1


def _length(way: int, integers: list[int], columns: int) -> int:
    coder = Encoder()
    _WAYS[way](coder, integers, columns)
    return coder.bits


def _bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]


def _float(mantissa: int, exponent: int) -> float:
    """Return mantissa * 2^exponent. ValueError if that is no float64 number."""
    value = math.ldexp(mantissa, exponent)
    if int(float(mantissa)) != mantissa or math.ldexp(value, -exponent) != mantissa:
        raise ValueError("a weight is no float64 number")
    return value


def _sparse(coder: Coder, words: list[int], width: int, least: int = 0) -> list[int]:
    """Code the words that are not 0: how many, where, all places being equally likely, and word - least evenly."""
    left, nonzero = len(words), coder.natural(len(words) - words.count(0))
    if nonzero > left:
        raise ValueError("more nonzero weights than places")
    result = [0] * left
    for place, word in enumerate(words):
        if nonzero == 0:
            break
        if nonzero == left or coder.bit(int(word != 0), left - nonzero, left):
            result[place] = least + coder.uniform(word - least, width)
            nonzero -= 1
        left -= 1
    return result


def _uniform(coder: Coder, integers: list[int], columns: int) -> list[int]:
    del columns
    width = coder.uniform((max(map(abs, integers)) - 1).bit_length() if any(integers) else 0, 6)
    signed = [abs(value) << 1 | (value < 0) for value in integers]
    return [(-(word >> 1) if word & 1 else word >> 1) for word in _sparse(coder, signed, width + 1, 2)]


def _raw(coder: Coder, integers: list[int], columns: int) -> list[int]:
    del columns
    return _sparse(coder, integers, 64)


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


_WAYS = (_uniform, _adaptive, _differences, _raw)
