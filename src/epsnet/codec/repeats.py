r"""The numbers of a small network of layers that resemble each other, such as a chain of squarings.

A dyadic number is (-1)^s m 2^e with m odd. Each is coded beside its *model*, the number at the same place of the same
table one layer before: whether it is 0; if not, whether sign and m are those of the model, and then whether e has
moved as it did there the last time. Otherwise sign, top e + floor(log2 m) and m are coded: m as 1, as another one that
came before, or anew. All decisions are by counts, in contexts of what the model was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from epsnet.codec.arithmetic import Coder, Contexts
from epsnet.codec.tensors import MAX_BITS, split

Dyadic = tuple[int, int, int]
"""(s, m, e); (0, 0, 0) is the number 0."""

_ZERO: Dyadic = (0, 0, 0)


def dyadic(value: float | Fraction) -> Dyadic | None:
    """Return a number as (-1)^s m 2^e; None if it is none."""
    if not value:
        return _ZERO
    sign, numerator, denominator, exponent = split(Fraction(value))
    return (sign, numerator, exponent) if denominator == 1 else None


def value_of(value: Dyadic) -> Fraction:
    """Return the rational that is meant."""
    return (-1) ** value[0] * value[1] * Fraction(2) ** value[2]


def new_dyadic(contexts: Contexts, value: Dyadic, *context: object) -> Dyadic:
    """Code a dyadic number that is not 0, without a model: sign, top, the length of m, and the bits of m between."""
    sign, mantissa, exponent = value
    sign = contexts.bit(sign, "sign", *context)
    top = contexts.integer(exponent + mantissa.bit_length() - 1, "top", *context)
    length = contexts.integer(mantissa.bit_length() - 1, "length")
    if not 0 <= length <= MAX_BITS or abs(top) > MAX_BITS:
        raise ValueError(f"a weight has more than {MAX_BITS:,} bits")
    if length == 0:
        return sign, 1, top
    inner = contexts.coder.uniform(mantissa >> 1 & ((1 << length - 1) - 1), length - 1)
    return sign, 1 << length | inner << 1 | 1, top - length


@dataclass
class _Place:
    """What is remembered of a place: the last number, whether the one before was 0, and the last change of e."""

    last: Dyadic = _ZERO
    before: int = 0
    same: int = 0
    moved: int = 0


class Repeats:
    """Codes the tables of a network, in the order of its layers.

    Args:
        coder: where to.
    """

    def __init__(self, coder: Coder) -> None:
        self._contexts = Contexts(coder)
        self._places: defaultdict[object, _Place] = defaultdict(_Place)
        self._known: list[int] = []
        self._index: dict[int, int] = {}

    def table(self, slot: int, values: Sequence[Dyadic] | None, rows: int, columns: int) -> list[Dyadic]:
        """Code a table, row by row; tables of one slot are models of each other. A decoder takes None for the values.

        Raises:
            CheckError: the file ends early. ValueError: no encoder wrote this.
        """
        given = values or [_ZERO] * (rows * columns)
        return [self._number(value, slot, *divmod(index, columns)) for index, value in enumerate(given)]

    def _number(self, value: Dyadic, slot: int, row: int, column: int) -> Dyadic:
        place, bit = self._places[slot, row, column], self._contexts.bit
        last = place.last
        found = _ZERO
        if bit(int(value != _ZERO), "some", slot < 0, last != _ZERO, place.before):
            same = last != _ZERO and bit(int(value[:2] == last[:2]), "same", place.same)
            if same:
                moved = value[2] - last[2]
                if bit(int(moved != place.moved), "turn", place.moved != 0):
                    place.moved = self._contexts.integer(moved, "moved")
                found = *last[:2], last[2] + place.moved
            else:
                found = self._new(value, (slot < 0, last[0] if last != _ZERO else 2))
                place.moved = 0
            place.same = int(same)
            if abs(found[2]) > MAX_BITS:
                raise ValueError(f"a weight has more than {MAX_BITS:,} bits")
        place.before, place.last = int(last != _ZERO), found
        return found

    def _new(self, value: Dyadic, context: object) -> Dyadic:
        """Code a number that its model does not tell, whose m may be known."""
        sign, mantissa, exponent = value
        if not self._known or not self._contexts.bit(int(mantissa in self._index), "known"):
            sign, mantissa, exponent = new_dyadic(self._contexts, value, context)
            if mantissa not in self._index:
                self._index[mantissa] = len(self._known)
                self._known.append(mantissa)
            return sign, mantissa, exponent
        sign = self._contexts.bit(sign, "sign", context)
        top = self._contexts.integer(exponent + mantissa.bit_length() - 1, "top", context)
        if not self._contexts.bit(int(mantissa != 1), "one", context):
            return sign, 1, top
        index = self._contexts.coder.uniform(self._index.get(mantissa, 0), (len(self._known) - 1).bit_length())
        mantissa = self._known[index]
        return sign, mantissa, top - mantissa.bit_length() + 1
