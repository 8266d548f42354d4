"""Arrays of exact numbers: float64 where nothing is lost, Fractions otherwise, never a rounded result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Dense, Exact, LinearMap, Sparse, is_float64

Values = NDArray[Any]
"""A float64 array, or an object array of Fractions."""

_SAFE = 2.0**-960
_MAX_RATIONALS = 2_000_000
_MAX_BITS = 8192


def is_float(values: Values) -> bool:
    """Tell whether the values are stored as floats."""
    return values.dtype != object


def shortest(values: Iterable[Any], shape: tuple[int, ...]) -> Values:
    """Return rationals as float64 if all of them are float64 numbers, as Fractions otherwise.

    Raises:
        DomainError: there are too many of them for rational arithmetic, or they are too long.
    """
    if math.prod(shape) > _MAX_RATIONALS:
        raise DomainError(
            f"More than {_MAX_RATIONALS:,} numbers would need rational arithmetic. Fold constants before exporting."
        )
    rationals = [Fraction(value) for value in values]
    if any(value.numerator.bit_length() + value.denominator.bit_length() > _MAX_BITS for value in rationals):
        raise DomainError(f"A rational number has more than {_MAX_BITS:,} bits. Fold constants before exporting.")
    if all(map(is_float64, rationals)):
        return np.array([float(value) for value in rationals]).reshape(shape)
    result = np.empty(len(rationals), dtype=object)
    result[:] = rationals
    return result.reshape(shape)


def _significant_bits(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each value the number of bits between its first and its last one, inclusive; 0 for 0."""
    integers = np.abs(np.ldexp(np.frexp(values)[0], 53)).astype(np.int64)
    lowest = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return np.where(integers == 0, 0, 53 - lowest)


def float_product(a: Values, b: Values) -> Values | None:
    """Return the elementwise product if factors and products are float64 numbers, None otherwise."""
    if not is_float(a) or not is_float(b):
        return None
    with np.errstate(over="ignore", under="ignore"):
        result = a * b
    bits_a, bits_b = _significant_bits(a), _significant_bits(b)
    short = (bits_a + bits_b <= 53) | (bits_a <= 1) | (bits_b <= 1)
    safe = (np.abs(result) > _SAFE) & np.isfinite(result)
    return result if ((short & safe) | (a == 0) | (b == 0)).all() else None


def multiply(a: Values, b: Values) -> Values:
    """Return the elementwise product, exactly."""
    a, b = np.broadcast_arrays(a, b)
    result = float_product(a, b)
    if result is not None:
        return result
    products = (Fraction(x) * Fraction(y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return shortest(products, a.shape)


def add(a: Values, b: Values) -> Values:
    """Return the elementwise sum, exactly."""
    if is_float(a) and is_float(b):
        with np.errstate(over="ignore", invalid="ignore"):
            result = a + b
            other = result - a
            error = (a - (result - other)) + (b - other)
        if (error == 0).all() and np.isfinite(result).all():
            return result
    sums = (Fraction(x) + Fraction(y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return shortest(sums, a.shape)


def reciprocal(values: Values) -> Values:
    """Return the elementwise inverses, exactly. ZeroDivisionError if a value is 0."""
    distinct = {value: Fraction(1) / Fraction(value) for value in set(values.ravel().tolist())}
    return shortest((distinct[value] for value in values.ravel().tolist()), values.shape)


def join(a: Values, b: Values) -> Values:
    """Concatenate two vectors."""
    if is_float(a) and is_float(b):
        return np.concatenate([a, b])
    return shortest([*a.tolist(), *b.tolist()], (len(a) + len(b),))


def triples(linear: LinearMap) -> tuple[NDArray[np.int64], NDArray[np.int64], Values]:
    """Return rows, columns and values of the nonzero entries as arrays."""
    rows, columns, values = linear.entries()
    if not isinstance(linear, Exact):
        return rows, columns, np.array(values, dtype=np.float64)
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return rows, columns, result


def matrix(shape: tuple[int, int], rows: Values, columns: Values, values: Values) -> LinearMap:
    """Return the matrix with these entries in the storage that suits them: dense, sparse or exact."""
    if not is_float(values):
        places = zip(rows.tolist(), columns.tolist(), strict=True)
        return Exact(shape, dict(zip(places, values.tolist(), strict=True)))
    if 4 * len(values) < shape[0] * shape[1] and shape[0] * shape[1] > 64:
        return Sparse(shape, rows, columns, values)
    full = np.zeros(shape)
    full[rows, columns] = values
    return Dense(full)


def image(linear: LinearMap, vector: Values) -> Values:
    """Return A v, exactly."""
    rows, columns, values = triples(linear)
    keep = vector[columns] != 0
    products = multiply(values[keep], vector[columns[keep]])
    sums = [Fraction(0)] * linear.shape[0]
    for row, value in zip(rows[keep].tolist(), products.tolist(), strict=True):
        sums[row] += Fraction(value)
    return shortest(sums, (linear.shape[0],))
