r"""An exact arithmetic coder: 64-bit integers, adaptive integer counts, the same bytes on every machine.

A stream is a number in [0, 1). Coding a bit of probability p cuts the present interval in the ratio p : 1 - p; any
number of the last interval tells all bits, and one with ceil(I / 8) bytes lies in it if I = -log2(length). An interval
is held as (low, span) with 2^56 <= span < 2^64, so that cutting off `total` parts loses at most a relative total / 2^56
of it. `Encoder` and `Decoder` have the same methods, and each returns the value coded: one walk through a file both
writes and reads it. A decoder ignores the values handed to it.

All numbers are integers. Libraries take tables of floating-point probabilities, which would have to agree to the last
bit on all machines.

Source: G. N. N. Martin, Range encoding (1979); the counts are those of R. E. Krichevsky, V. K. Trofimov, IEEE Trans.
Inform. Theory 27 (1981) 199-207: n bits with k ones take at most n H(k/n) + log2(n)/2 + 1 bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict

from epsnet.certify.errors import CheckError

_WINDOW = 64
_LEAST = 1 << (_WINDOW - 8)
_MASK = (1 << _WINDOW) - 1
_CHUNK = 16


class Coder(ABC):
    """What encoder and decoder share."""

    _span = _MASK

    @abstractmethod
    def bit(self, value: int, zeros: int, total: int) -> int:
        """Code a bit that is 0 with probability zeros / total; 0 < zeros < total <= 2^32."""

    @abstractmethod
    def _piece(self, value: int, width: int) -> int: ...

    def uniform(self, value: int, width: int) -> int:
        """Code an integer 0 <= value < 2^width, all being equally likely: `width` bits."""
        result = 0
        while width > 0:
            step = min(width, _CHUNK)
            width -= step
            result = result << step | self._piece(value >> width & ((1 << step) - 1), step)
        return result

    def natural(self, value: int) -> int:
        """Code an integer 0 <= value < 2^62 by the gamma code of P. Elias: 2 floor(log2(value + 1)) + 1 bits."""
        value, width = value + 1, 0
        while self._piece(value >> (width + 1) > 0, 1):
            width += 1
            if width > 62:
                raise CheckError("A number in the file is too large. Build it anew.")
        return (1 << width | self.uniform(value & ((1 << width) - 1), width)) - 1

    def adaptive(self, value: int, counts: list[int]) -> int:
        """Code a bit with the probability that the bits counted so far suggest, and count it."""
        value = self.bit(value, 2 * counts[0] + 1, 2 * (counts[0] + counts[1]) + 2)
        counts[value] += 1
        return value


class Encoder(Coder):
    """Writes."""

    def __init__(self) -> None:
        self._low, self._bytes = 0, bytearray()

    def bit(self, value: int, zeros: int, total: int) -> int:  # noqa: D102
        cut = self._span // total * zeros
        if value:
            self._low += cut
            self._span -= cut
        else:
            self._span = cut
        if self._span < _LEAST:
            self._shift()
        return value

    def _piece(self, value: int, width: int) -> int:
        self._span >>= width
        self._low += value * self._span
        if self._span < _LEAST:
            self._shift()
        return value

    def _shift(self) -> None:
        self._carry()
        while self._span < _LEAST:
            self._bytes.append(self._low >> (_WINDOW - 8))
            self._low = self._low << 8 & _MASK
            self._span <<= 8

    def _carry(self) -> None:
        if self._low > _MASK:
            self._low &= _MASK
            place = len(self._bytes) - 1
            while self._bytes[place] == 255:
                self._bytes[place] = 0
                place -= 1
            self._bytes[place] += 1

    @property
    def bits(self) -> int:
        """The integer part of the information -log2(length of the interval) coded so far."""
        return 8 * len(self._bytes) + _WINDOW - self._span.bit_length()

    def finish(self) -> bytes:
        """Return the fewest whole bytes that tell the stream, at most ceil(I / 8); zeros follow them."""
        ends = {free: -(-self._low >> free) << free for free in range(0, _WINDOW + 1, 8)}
        free = max(free for free, end in ends.items() if end < self._low + self._span)
        self._low = ends[free]
        self._carry()
        return bytes(self._bytes + self._low.to_bytes(_WINDOW // 8, "big")[: (_WINDOW - free) // 8])


class Decoder(Coder):
    """Reads."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, _WINDOW // 8
        self._code = int.from_bytes(content[: self._place].ljust(self._place, b"\0"), "big")

    def bit(self, value: int, zeros: int, total: int) -> int:  # noqa: D102
        cut = self._span // total * zeros
        if self._code < cut:
            self._span = cut
            bit = 0
        else:
            self._code -= cut
            self._span -= cut
            bit = 1
        if self._span < _LEAST:
            self._shift()
        return bit

    def _piece(self, value: int, width: int) -> int:
        self._span >>= width
        piece = min(self._code // self._span, (1 << width) - 1)
        self._code -= piece * self._span
        if self._span < _LEAST:
            self._shift()
        return piece

    def _shift(self) -> None:
        while self._span < _LEAST:
            following = self._content[self._place] if self._place < len(self._content) else 0
            self._code = self._code << 8 | following
            self._span <<= 8
            self._place += 1
        if self._place > len(self._content) + _WINDOW // 8:
            raise CheckError("The file ends before the network in it does. Copy it again from its source.")


class Contexts:
    """Bits and small integers coded by the counts of those that came before in the same context.

    Args:
        coder: where to.
    """

    def __init__(self, coder: Coder) -> None:
        self.coder = coder
        self._counts: defaultdict[object, list[int]] = defaultdict(lambda: [0, 0])

    def bit(self, value: int, *context: object) -> int:
        """Code a bit."""
        return self.coder.adaptive(value, self._counts[context])

    def integer(self, value: int, *context: object) -> int:
        """Code an integer, |value| < 2^16: whether it is 0, its sign, the length of |value| in unary, its bits."""
        if not self.bit(int(value != 0), *context, "nonzero"):
            return 0
        negative = self.bit(int(value < 0), *context, "negative")
        magnitude, length = abs(value), 1
        while self.bit(int(magnitude >> length > 0), *context, length):
            length += 1
            if length > _CHUNK:
                raise CheckError("A number in the file is too large. Build it anew.")
        result = 1
        for rest in range(length - 2, -1, -1):
            result = 2 * result + self.bit(magnitude >> rest & 1, *context, length, result)
        return -result if negative else result
