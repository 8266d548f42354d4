"""Exact algebra of linear maps: products and block matrices in rationals, stored as float64 where nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.core.linear_maps import Convolution, Dense, Exact, LinearMap, Number, Sparse, is_float64

Entries = dict[tuple[int, int], Fraction]
Bias = NDArray[np.float64] | tuple[Fraction, ...]

_FULL = 1 << 22
"""Matrices with at most this many places may be multiplied as full float64 arrays."""


def linear_map(shape: tuple[int, int], entries: Entries) -> LinearMap:
    """Return the matrix with these rational entries, as float64 where all of them are float64 numbers."""
    kept = {place: value for place, value in entries.items() if value != 0}
    if not all(map(is_float64, kept.values())):
        return Exact(shape, kept)
    places = np.array(list(kept), dtype=np.int64).reshape(-1, 2)
    values = np.array([float(value) for value in kept.values()])
    if 4 * len(kept) < shape[0] * shape[1] and shape[0] * shape[1] > 64:
        return Sparse(shape, places[:, 0], places[:, 1], values)
    full = np.zeros(shape)
    full[places[:, 0], places[:, 1]] = values
    return Dense(full)


def bias_vector(values: Iterable[Number]) -> Bias:
    """Return biases as float64 where all of them are float64 numbers, as Fractions otherwise."""
    rationals = tuple(Fraction(value) for value in values)
    return np.array([float(value) for value in rationals]) if all(map(is_float64, rationals)) else rationals


def _bits(values: NDArray[np.float64]) -> tuple[int, int]:
    """Return (low, high): every nonzero value is an integer multiple of 2^low and below 2^high in absolute value."""
    mantissa, exponent = np.frexp(values[values != 0])
    if mantissa.size == 0:
        return 0, 0
    integers = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    lowest = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return int((exponent - 53 + lowest).min()), int(exponent.max())


def _float_product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return left @ right if float64 arithmetic provably makes no error, whatever the order of summation.

    With all values multiples of 2^low and all partial sums below 2^high, high - low <= 53 leaves nothing to round.
    A product without additions one of whose factors is always a power of two is exact unless it under- or overflows.
    """
    (low_left, high_left), (low_right, high_right) = _bits(left), _bits(right)
    low, high = low_left + low_right, high_left + high_right + math.ceil(math.log2(left.shape[1] + 1))
    if low < -1074 or high > 1023:
        return None
    if high - low > 53:
        powers = any((np.abs(np.frexp(array[array != 0])[0]) == 0.5).all() for array in (left, right))
        if not powers or ((left != 0).astype(np.float64) @ (right != 0).astype(np.float64)).max() > 1:
            return None
    return left @ right


def _full_floats(linear: LinearMap) -> NDArray[np.float64] | None:
    if isinstance(linear, Exact) or linear.shape[0] * linear.shape[1] > _FULL:
        return None
    if isinstance(linear, Dense):
        return linear.weight
    rows, columns, values = linear.entries()
    full = np.zeros(linear.shape)
    full[rows, columns] = values
    return full


def _integers(linear: LinearMap) -> tuple[list[list[tuple[int, int]]], int]:
    """Return the rows with a common denominator: integers multiply much faster than Fractions."""
    rows = [[(column, Fraction(value)) for column, value in row] for row in linear.rows]
    denominator = math.lcm(*{value.denominator for row in rows for _, value in row})
    scaled = [[(j, v.numerator * (denominator // v.denominator)) for j, v in row] for row in rows]
    return scaled, denominator


def channel_mixing(linear: LinearMap, pixels: int) -> NDArray[np.float64] | None:
    """Return K if `linear` is K on channels and the identity on pixels, in float64."""
    if isinstance(linear, Exact) or linear.shape[0] % pixels or linear.shape[1] % pixels:
        return None
    rows, columns, values = linear.entries()
    kernel = np.zeros((linear.shape[0] // pixels, linear.shape[1] // pixels))
    kernel[rows // pixels, columns // pixels] = values
    same = (rows % pixels == columns % pixels).all() and (kernel[rows // pixels, columns // pixels] == values).all()
    return kernel if same and len(values) == pixels * np.count_nonzero(kernel) else None


def product(outer: LinearMap, inner: LinearMap) -> LinearMap:
    """Return the linear map x -> outer(inner(x)) exactly; a convolution where channels are only mixed."""
    if isinstance(inner, Convolution):
        mixing = channel_mixing(outer, math.prod(inner.output_shape[1:]))
        flat = None if mixing is None else _float_product(mixing, inner.kernel.reshape(inner.kernel.shape[0], -1))
        if flat is not None:
            kernel = flat.reshape(-1, *inner.kernel.shape[1:])
            return Convolution(kernel, inner.input_shape, inner.stride, inner.padding)
    if isinstance(outer, Convolution):
        mixing = channel_mixing(inner, math.prod(outer.input_shape[1:]))
        by_channel = np.moveaxis(outer.kernel, 1, -1)
        flat = None if mixing is None else _float_product(by_channel.reshape(-1, by_channel.shape[-1]), mixing)
        if flat is not None and mixing is not None:
            kernel = np.moveaxis(flat.reshape(*by_channel.shape[:-1], mixing.shape[1]), -1, 1)
            return Convolution(kernel, (mixing.shape[1], *outer.input_shape[1:]), outer.stride, outer.padding)
    shape = (outer.shape[0], inner.shape[1])
    left, right = _full_floats(outer), _full_floats(inner)
    floats = None if left is None or right is None else _float_product(left, right)
    if floats is not None:
        return Dense(floats)
    left_rows, left_denominator = _integers(outer)
    right_rows, right_denominator = _integers(inner)
    entries: Entries = {}
    for i, row in enumerate(left_rows):
        total: dict[int, int] = {}
        for k, weight in row:
            for j, value in right_rows[k]:
                total[j] = total.get(j, 0) + weight * value
        entries.update({(i, j): Fraction(value, left_denominator * right_denominator) for j, value in total.items()})
    return linear_map(shape, entries)


def _places(linear: LinearMap) -> Entries:
    rows, columns, values = linear.entries()
    return {(int(i), int(j)): Fraction(value) for i, j, value in zip(rows, columns, values, strict=True)}


def blocks(parts: Sequence[tuple[int, int, LinearMap]], shape: tuple[int, int]) -> LinearMap:
    """Return the matrix that is the sum of blocks, each at (row, column); a convolution if all are of one geometry."""
    if len(parts) == 1 and parts[0][2].shape == shape:
        return parts[0][2]
    if all(isinstance(linear, Convolution) for _, _, linear in parts):
        joint = _joint_convolution(parts, shape)  # type: ignore[arg-type]
        if joint is not None:
            return joint
    entries: Entries = {}
    for row, column, linear in parts:
        for (i, j), value in _places(linear).items():
            place = (row + i, column + j)
            entries[place] = entries.get(place, Fraction(0)) + value
    return linear_map(shape, entries)


def _joint_convolution(parts: Sequence[tuple[int, int, Convolution]], shape: tuple[int, int]) -> Convolution | None:
    """Return one convolution with the kernels as blocks of channels, or None if they differ in geometry or overlap."""
    first = parts[0][2]
    pixels_in, pixels_out = math.prod(first.input_shape[1:]), math.prod(first.output_shape[1:])
    geometry = {(c.input_shape[1:], c.kernel.shape[2:], c.stride, c.padding) for _, _, c in parts}
    if len(geometry) > 1 or any(size % p for size, p in zip(shape, (pixels_out, pixels_in), strict=True)):
        return None
    kernel = np.zeros((shape[0] // pixels_out, shape[1] // pixels_in, *first.kernel.shape[2:]))
    for row, column, part in parts:
        if row % pixels_out or column % pixels_in:
            return None
        o, c = row // pixels_out, column // pixels_in
        block = kernel[o : o + part.kernel.shape[0], c : c + part.kernel.shape[1]]
        if block.any():
            return None
        block[...] = part.kernel
    return Convolution(kernel, (kernel.shape[1], *first.input_shape[1:]), first.stride, first.padding)
