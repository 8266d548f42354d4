r"""Signs and enclosures of the eigenvalues of symmetric matrices, exactly over the rationals and rigorously in balls.

**Exactly.** The characteristic polynomial of a symmetric matrix has real roots only, so by Descartes' rule of signs it
has as many positive roots as its coefficients change sign, and as many roots 0 as it has vanishing last coefficients.

**In balls.** Let Q be any float matrix with |Q^T Q - I|_inf <= e < 1 and M = Q^T H Q. With y = Q x every Rayleigh
quotient of H is x^T M x / x^T Q^T Q x, so if all discs of Gershgorin of M lie in [m, M'], every eigenvalue of H lies in
[min(m/(1 + e), m/(1 - e)), max(M'/(1 + e), M'/(1 - e))]; and the i-th eigenvalues of H and M, in order, have the same
sign by Sylvester's law.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from math import lcm
from typing import Any, NamedTuple

import numpy as np
from flint import arb, arb_mat, fmpz_mat
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, PrecisionError

MAX_SIZE, MAX_BITS = 200, 3_000_000
"""Limits of the exact computation: rows, and rows squared times bits of an entry, about ten seconds."""


class Inertia(NamedTuple):
    """How many eigenvalues are negative, zero and positive."""

    negative: int
    zero: int
    positive: int


def exact_inertia(matrix: Sequence[Sequence[Any]]) -> Inertia:
    """Return the inertia of a symmetric matrix of integers, Fractions or rationals of python-flint, with no rounding.

    Raises:
        DomainError: the matrix is not symmetric.
        PrecisionError: it is too large for exact arithmetic.

    Example:
        >>> exact_inertia([[0, 1], [1, 0]])
        Inertia(negative=1, zero=0, positive=1)
    """
    size = len(matrix)
    if size > MAX_SIZE:
        raise PrecisionError(f"A matrix of {size} rows is too large for exact arithmetic. Use {MAX_SIZE} at most.")
    numbers = [[(int(entry.numerator), int(entry.denominator)) for entry in row] for row in matrix]
    common = lcm(1, *(denominator for row in numbers for _, denominator in row))
    rows = [[numerator * (common // denominator) for numerator, denominator in row] for row in numbers]
    if size * size * max((abs(entry).bit_length() for row in rows for entry in row), default=0) > MAX_BITS:
        raise PrecisionError("The entries have too many digits for exact arithmetic. Round the weights and the data.")
    if any(len(row) != size for row in rows) or any(rows[i][j] != rows[j][i] for i in range(size) for j in range(i)):
        raise DomainError("The matrix is not symmetric. Give a symmetric one.")
    if size == 0:
        return Inertia(0, 0, 0)
    signs = [(c > 0) - (c < 0) for c in map(int, fmpz_mat(rows).charpoly().coeffs())]
    zero = next(index for index, sign in enumerate(signs) if sign)
    kept = [sign for sign in signs if sign]
    positive = sum(a != b for a, b in pairwise(kept))
    return Inertia(size - zero - positive, zero, positive)


class EigenvalueRange(NamedTuple):
    """Proved: the least eigenvalue lies in [low, high], and all are at least low."""

    low: arb
    high: arb


def least_eigenvalue(matrix: arb_mat) -> EigenvalueRange:
    """Enclose the least eigenvalue of all symmetric matrices inside a matrix of balls.

    Raises:
        PrecisionError: the balls are not finite, or the eigenvectors of the midpoint are no basis.
    """
    middle = np.array([[float(entry.mid()) for entry in row] for row in matrix.tolist()])
    if not np.isfinite(middle).all() or not all(entry.is_finite() for entry in matrix.entries()):
        raise PrecisionError("A matrix of balls is not finite. Use a smaller radius.")
    vectors = np.linalg.eigh((middle + middle.T) / 2)[1]
    q = exact_matrix(vectors)
    turned, gram = q.transpose() * matrix * q, (q.transpose() * q).tolist()
    defect = reduce(arb.max, (_row_sum(row, index, 1) for index, row in enumerate(gram)))
    if not defect < 0.5:
        raise PrecisionError("The eigenvectors are not orthogonal. Use a smaller matrix.")
    rows = turned.tolist()
    low = reduce(arb.min, (row[i].lower() - _row_sum(row, i, row[i]).upper() for i, row in enumerate(rows)))
    # Every Rayleigh quotient bounds the least eigenvalue from above.
    high = rows[0][0] / gram[0][0]
    return EigenvalueRange((low / (1 + defect)).lower().min((low / (1 - defect)).lower()), high.upper())


def exact_matrix(values: NDArray[np.float64]) -> arb_mat:
    """Return a float64 matrix as balls of radius 0."""
    return arb_mat([[arb(float(v)) for v in row] for row in values])


def _row_sum(row: Sequence[arb], index: int, diagonal: arb | int) -> arb:
    """Return |row[index] - diagonal| plus the absolute values of the other entries."""
    return sum((abs(entry) for j, entry in enumerate(row) if j != index), abs(row[index] - diagonal))
