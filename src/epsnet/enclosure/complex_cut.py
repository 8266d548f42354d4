r"""Vertices and edges of the complex of a piecewise-linear network, by cutting edges neuron after neuron.

Each bending neuron cuts the edges on which its argument changes sign. Two of the new vertices span a new edge if the
edges they lie on bound a common two-dimensional face; the d - 1 ways to move an edge off one of its zeros, to either
side, are its faces, and equal sign vectors mean equal faces. Sign vectors are compared by the sum modulo 2^64 of random
numbers, one for each column and sign. Different sign vectors have equal sums with probability 2^-64, so 2,000 neurons
that cut 10^4 faces each meet such a pair with probability below 10^-8. Then four edges instead of two seem to bound one
face, which is noticed: a collision ends in a refusal, not in a wrong complex.

The arguments of up to 64 neurons of a layer are affine on every edge, so their signs at all vertices are computed once
and kept as bits, and only the edges on which a bit differs are ever touched. After such a chunk the new vertices are
moved onto their d zero sets by a Newton step, and every sign that was used is compared with a fresh one and with
its estimated error.

Source: A. Berzins, Polyhedral complex extraction from ReLU networks using edge subdivision, ICML 2023.
"""

from __future__ import annotations

import itertools
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Box
from epsnet.certify.errors import HypothesisError
from epsnet.enclosure.bend_values import UNIT, BendValues, Floats, Integers, Signals, blocks, clusters

Signs = NDArray[np.int8]
Words = NDArray[np.uint64]

CHUNK = 64
_GROUP = 1024
"""Vertices at which arguments are computed together."""
SAFETY = 16.0
"""A sign counts as known when the value exceeds its estimated error by this factor."""
_SEED = 0x6570736E
_Entry = TypeVar("_Entry", np.float64, np.int64, np.int8, np.uint64)


def degenerate(what: str) -> HypothesisError:
    """Return the error that rounding, or the network itself, forces."""
    return HypothesisError(
        f"{what} The complex is degenerate, or too close to it for float64. Use exact_cells, which counts in rationals."
    )


def column_codes(columns: int) -> Words:
    """Return random numbers (columns, 2) for the signs 0 and -1; the sign 1 counts 0."""
    generator = np.random.Generator(np.random.Philox(_SEED))
    return generator.integers(0, 2**64, size=(columns, 2), dtype=np.uint64)


class _Rows(Generic[_Entry]):
    """An array that grows at its end."""

    def __init__(self, first: NDArray[_Entry]) -> None:
        self._buffer, self.count = first, len(first)

    def add(self, rows: NDArray[_Entry]) -> None:
        end = self.count + len(rows)
        if end > len(self._buffer):
            grown = np.empty((max(end, 3 * len(self._buffer) // 2), *rows.shape[1:]), dtype=rows.dtype)
            grown[: self.count] = self.all
            self._buffer = grown
        self._buffer[self.count : end] = rows
        self.count = end

    @property
    def all(self) -> NDArray[_Entry]:
        return self._buffer[: self.count]


class Cutter:
    """The complex of the columns so far.

    Attributes:
        vertices, errors: (V, d) and (V,), the estimated error of a position.
        zeros: (V, d), sorted.
        edges, edge_zeros: (E, 2) and (E, d - 1), sorted.
        sides: (E, 2), for each end of an edge the sign on the edge of the one column that is 0 at this end only.
        codes: (E,), sums of `column_codes`.
    """

    def __init__(self, values: BendValues, box: Box) -> None:
        d = box.dimension
        self.dimension, self.values = d, values
        self.bounds = np.array([float(end) for pair in zip(box.lower, box.upper, strict=True) for end in pair])
        self.column_codes = column_codes(2 * d + len(values.columns))
        corners = np.array(list(itertools.product((0, 1), repeat=d)), dtype=np.int64)
        zeros = 2 * np.arange(d) + corners
        # The corners are numbered in binary, so the edge off corner i along coordinate q ends at i + 2^(d - 1 - q).
        starts, along = np.nonzero(corners == 0)
        others = _others(d)[along]
        edge_zeros = zeros[starts[:, None], others]
        self.vertices = _Rows(self.bounds[zeros])
        self.errors = _Rows(np.full(len(zeros), UNIT * np.abs(self.bounds).max()))
        self.zeros = _Rows(zeros)
        self.edges = _Rows(np.stack([starts, starts + (1 << (d - 1 - along))], axis=1))
        self.edge_zeros = _Rows(edge_zeros)
        self.sides = _Rows(np.ones((len(starts), 2), dtype=np.int8))
        self.codes = _Rows(self.column_codes[edge_zeros, 0].sum(axis=1, dtype=np.uint64))

    def cut(self, first: int, count: int) -> None:
        """Cut by the columns first, ..., first + count - 1: at most 64, of one layer."""
        _Chunk(self, first, count).run()


def _others(d: int) -> Integers:
    """Row q: the numbers 0, ..., d - 1 without q."""
    return np.array([[k for k in range(d) if k != q] for q in range(d)], dtype=np.int64).reshape(d, max(d - 1, 0))


class _Chunk:
    def __init__(self, whole: Cutter, first: int, count: int) -> None:
        self.whole, self.first, self.count = whole, first, count
        layers, neurons = whole.values.columns[first - 2 * whole.dimension :][:count].T
        self.number, self.neurons = int(layers[0]), neurons
        self.old = whole.vertices.count
        self.table = _byte_sums(whole.column_codes[first : first + count, 1])

    def run(self) -> None:
        whole = self.whole
        self.negative = _Rows(self._words(0))
        ends = self.negative.all[whole.edges.all]
        self.differ = _Rows(ends[:, 0] ^ ends[:, 1])
        self.active = _Rows(np.flatnonzero(self.differ.all))
        if self.active.count:
            touched = np.unique(whole.edges.all[self.active.all])
            place = np.full(self.old, -1, dtype=np.int64)
            place[touched] = np.arange(len(touched))
            self.place = _Rows(place)
            self.arguments = _Rows(self._arguments(touched))
            for bit in range(self.count):
                waiting = self.active.all
                cut = waiting[self.differ.all[waiting] & np.uint64(1 << bit) != 0]
                if len(cut):
                    self._cut(bit, cut)
            self._settle()
        ends = self.negative.all[whole.edges.all]
        whole.codes.all[:] += self._sum(ends[:, 0] | ends[:, 1])

    def _cut(self, bit: int, cut: Integers) -> None:
        whole = self.whole
        below, above = np.uint64((1 << bit) - 1), np.uint64((1 << 64) - (2 << bit))
        a, b = whole.edges.all[cut].T
        from_a, from_b = self.arguments.all[self.place.all[a]], self.arguments.all[self.place.all[b]]
        share = (from_a[:, bit] / (from_a[:, bit] - from_b[:, bit]))[:, None]
        between = from_a + share * (from_b - from_a)
        passed = (self.negative.all[a] | self.negative.all[b]) & below
        new = whole.vertices.count + np.arange(len(cut))
        zeros = whole.edge_zeros.all[cut]
        own = np.full((len(cut), 1), self.first + bit)
        whole.vertices.add(whole.vertices.all[a] + share * (whole.vertices.all[b] - whole.vertices.all[a]))
        whole.zeros.add(np.concatenate([zeros, own], axis=1))
        self.negative.add(passed | (_pack(between < 0) & above))
        self.place.add(self.arguments.count + np.arange(len(cut)))
        self.arguments.add(between)

        codes = whole.codes.all[cut]
        side_a = np.where(from_a[:, bit] > 0, 1, -1).astype(np.int8)
        across = self._across(new, zeros, codes + self._sum(passed), whole.column_codes[own[:, 0], 0], below)
        sides = whole.sides.all[cut]
        start = whole.edges.count
        whole.edges.add(np.concatenate([np.stack([new, b], axis=1), across[0]]))
        whole.edge_zeros.add(np.concatenate([zeros, across[1]]))
        whole.sides.add(np.concatenate([np.stack([-side_a, sides[:, 1]], axis=1), across[2]]))
        whole.codes.add(np.concatenate([codes, across[3]]))
        whole.edges.all[cut, 1] = new
        whole.sides.all[cut, 1] = side_a
        ends = self.negative.all[whole.edges.all[cut]]
        self.differ.all[cut] = (ends[:, 0] ^ ends[:, 1]) & above
        ends = self.negative.all[whole.edges.all[start:]]
        self.differ.add((ends[:, 0] ^ ends[:, 1]) & above)
        self.active.add(start + np.flatnonzero(self.differ.all[start:]))

    def _across(
        self, new: Integers, zeros: Integers, codes: Words, own: Words, below: np.uint64
    ) -> tuple[Integers, Integers, Signs, Words]:
        """Return ends, zeros, sides and codes of the edges between new vertices: one across each face that is cut."""
        whole, d = self.whole, self.whole.dimension
        if d == 1:
            return np.empty((0, 2), np.int64), np.empty((0, 0), np.int64), np.empty((0, 2), np.int8), codes[:0]
        numbers = whole.column_codes[zeros]
        off = codes[:, None] - numbers[:, :, 0]
        keys = np.stack([off, off + numbers[:, :, 1]], axis=2)
        # Beyond a side of the box there is nothing.
        inside = np.flatnonzero(np.stack([np.ones(zeros.shape, dtype=bool), zeros >= 2 * d], axis=2))
        keys = keys.reshape(-1)[inside]
        order = np.argsort(keys)
        keys = keys[order]
        if len(keys) % 2 or (keys[::2] != keys[1::2]).any() or (keys[2::2] == keys[1:-1:2]).any():
            raise degenerate("A face is not cut through exactly two of its edges.")
        pairs = inside[order].reshape(-1, 2)
        owners, moved, sides = pairs // (2 * (d - 1)), pairs // 2 % (d - 1), 1 - 2 * (pairs % 2)
        ends = new[owners]
        rest = zeros[owners[:, 0, None], _others(d - 1)[moved[:, 0]]]
        column = np.full((len(pairs), 1), self.whole.zeros.all[new[0], -1])
        words = self.negative.all[ends]
        code = keys[::2] - self._sum((words[:, 0] | words[:, 1]) & below) + own[0]
        return ends, np.concatenate([rest, column], axis=1), sides.astype(np.int8), code

    def _settle(self) -> None:
        """Move the new vertices onto their zero sets, and check the signs that were used."""
        whole = self.whole
        fresh = slice(self.old, whole.vertices.count)
        points, zeros = whole.vertices.all[fresh], whole.zeros.all[fresh]
        errors = np.empty(len(points))
        for part in blocks(len(points), whole.values.block):
            points[part], errors[part] = newton_step(whole.values, whole.bounds, points[part], zeros[part], self.number)
        whole.errors.add(errors)
        if (self._words(self.old) != self.negative.all[self.old :]).any():
            raise degenerate("Rounding hides on which side of the zero set of a neuron a vertex lies.")

    def _arguments(self, numbers: Integers) -> Floats:
        points, found = self.whole.vertices.all[numbers], np.empty((len(numbers), self.count))
        for group in clusters(points, _GROUP):
            found[group], _ = self.whole.values.near(points[group], self.number, self.neurons)
        return found

    def _words(self, start: int) -> Words:
        """Return the bits of the negative arguments at the vertices from number `start`, all of them beyond doubt."""
        whole, values = self.whole, self.whole.values
        vertices, errors, zeros = whole.vertices.all[start:], whole.errors.all[start:], whole.zeros.all[start:]
        found = np.empty(len(vertices), dtype=np.uint64)
        for group in clusters(vertices, _GROUP):
            z, error = values.near(vertices[group], self.number, self.neurons)
            rows, places = np.nonzero(zeros[group] >= self.first)
            z[rows, zeros[group[rows], places] - self.first] = np.inf
            limit = SAFETY * (error + values.steepness[self.number - 1] * errors[group])
            sizes = np.abs(z)
            if not sizes.min() > limit.max():
                rows, neurons = np.nonzero(~(sizes > limit[:, None]))
                self._decide(group[rows] + start, self.first - 2 * whole.dimension + neurons)
            found[group] = _pack(z < 0)
        return found

    def _decide(self, vertices: Integers, columns: Integers) -> None:
        """Look closer where rounding might change the sign of a column at a vertex."""
        values = self.whole.values
        for part in blocks(len(vertices), values.block):
            own = vertices[part]
            signals = values.signals(self.whole.vertices.all[own], self.number)
            value, gradient, error = values.at_pairs(signals, np.arange(len(own)), columns[part])
            limit = SAFETY * (error + np.linalg.norm(gradient, axis=1) * self.whole.errors.all[own])
            if not (np.abs(value) > limit).all():
                raise degenerate("Rounding hides on which side of the zero set of a neuron a vertex lies.")

    def _sum(self, words: Words) -> Words:
        """Return the sum of the codes of the negative columns."""
        total = np.zeros(len(words), dtype=np.uint64)
        for byte, sums in enumerate(self.table):
            total += sums[(words >> np.uint64(8 * byte)) & np.uint64(255)]
        return total


def frames(values: BendValues, bounds: Floats, signals: Signals, zeros: Integers) -> tuple[Floats, Floats, Floats]:
    """Return at n points the inverses (n, d, d) of the gradients of d columns, their values (n, d) and errors.

    On the other side of a zero set through the point the functions are others, but have the same common zero.
    """
    count, d = zeros.shape
    normal, value = np.zeros((count, d, d)), np.zeros((count, d))
    error = np.full((count, d), UNIT * np.abs(bounds).max())
    rows, places = np.nonzero(zeros < 2 * d)
    normal[rows, places, zeros[rows, places] // 2] = 1.0
    rows, places = np.nonzero(zeros >= 2 * d)
    found = values.at_pairs(signals, rows, zeros[rows, places] - 2 * d)
    value[rows, places], normal[rows, places], error[rows, places] = found
    try:
        return np.asarray(np.linalg.inv(normal), dtype=np.float64), value, error
    except np.linalg.LinAlgError:
        raise degenerate("The zero sets through a vertex are parallel.") from None


def newton_step(
    values: BendValues, bounds: Floats, points: Floats, zeros: Integers, number: int
) -> tuple[Floats, Floats]:
    """Move points (n, d) onto their d zero sets; return them and the estimated errors of their positions, (n,)."""
    inverse, value, error = frames(values, bounds, values.signals(points, number), zeros)
    moved = points - np.einsum("nij,nj->ni", inverse, value)
    rows, places = np.nonzero(zeros < 2 * points.shape[1])
    side = zeros[rows, places]
    moved[rows, side // 2] = bounds[side]
    return moved, np.sqrt(np.einsum("nij,nj->n", inverse**2, error**2))


def _pack(bits: NDArray[np.bool_]) -> Words:
    """Return rows of at most 64 bits as integers, the first bit the lowest."""
    packed = np.zeros((len(bits), 8), dtype=np.uint8)
    packed[:, : (bits.shape[1] + 7) // 8] = np.packbits(bits, axis=1, bitorder="little")
    return packed.view("<u8")[:, 0].astype(np.uint64)


def _byte_sums(numbers: Words) -> list[Words]:
    """Return for each byte of a word the sums of the numbers whose bits are set in it."""
    tables = []
    for start in range(0, len(numbers), 8):
        sums = np.zeros(1, dtype=np.uint64)
        for number in numbers[start : start + 8]:
            sums = np.concatenate([sums, sums + number])
        tables.append(np.concatenate([sums, np.zeros(256 - len(sums), dtype=np.uint64)]))
    return tables
