r"""The loss of a deep linear network, its gradient and its Hessian, exactly.

For f(W_1, ..., W_L) = |W_L ... W_1 X - Y|^2/2 with X (d, n) and Y (m, n) let A_l = W_L ... W_(l+1), B_l = W_(l-1) ...
W_1, C_kl = W_(k-1) ... W_(l+1) for l < k, R the residual W_L ... W_1 X - Y and G = R X^T. Then

$$ \frac{\partial f}{\partial W_l} = A_l^T G B_l^T, \qquad
   \frac{\partial^2 f}{\partial W_l[a,b]\,\partial W_k[c,e]} = (A_l^T A_k)[a,c]\,(B_l X X^T B_k^T)[b,e]
   + [l<k]\,(B_l G^T A_k)[b,c]\,C_{kl}[e,a] + [k<l]\,(B_k G^T A_l)[e,a]\,C_{lk}[b,c]. $$

The functions work on matrices of any numbers, float64 or rationals (dtype object), without rounding the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
from flint import fmpq
from numpy.typing import NDArray

Matrix = NDArray[Any]


def rational(values: Any) -> Matrix:
    """Return an array of float64 or Fractions as rationals of python-flint, exactly."""
    array = np.asarray(values)
    found = np.empty(array.size, dtype=object)
    found[:] = [fmpq(*Fraction(v).as_integer_ratio()) for v in array.ravel().tolist()]
    return found.reshape(array.shape)


def as_fraction(value: Any) -> Fraction:
    """Return a rational of python-flint as a Fraction."""
    return Fraction(int(value.numerator), int(value.denominator))


def loss(weights: Sequence[Matrix], x: Matrix, y: Matrix) -> Any:
    """Return |W_L ... W_1 X - Y|^2/2."""
    residual = _product(weights, x.shape[0]) @ x - y
    return np.sum(residual * residual) / 2


def gradient(weights: Sequence[Matrix], x: Matrix, y: Matrix) -> Matrix:
    """Return the gradient, the matrices one after the other, row by row."""
    g = (_product(weights, x.shape[0]) @ x - y) @ x.T
    return np.concatenate([(a.T @ g @ b.T).ravel() for a, b in _sides(weights, x.shape[0])])


def hessian(weights: Sequence[Matrix], x: Matrix, y: Matrix) -> Matrix:
    """Return the Hessian (P, P) in the order of `gradient`."""
    moment, sides = x @ x.T, _sides(weights, x.shape[0])
    g = (_product(weights, x.shape[0]) @ x - y) @ x.T
    starts = np.concatenate([[0], np.cumsum([w.size for w in weights])])
    full = np.zeros((starts[-1], starts[-1]), dtype=weights[0].dtype)
    for first, (a, b) in enumerate(sides):
        for second in range(first, len(weights)):
            a2, b2 = sides[second]
            block = np.kron(a.T @ a2, b @ moment @ b2.T)
            if second > first:
                c, inner = _product(weights[first + 1 : second], weights[first].shape[0]), b @ g.T @ a2
                # Entry (a, b), (c, e) is inner[b, c] C[e, a].
                mixed = inner[None, :, :, None] * c.T[:, None, None, :]
                block = block + mixed.reshape(weights[first].size, weights[second].size)
            rows, columns = (slice(starts[i], starts[i + 1]) for i in (first, second))
            full[rows, columns], full[columns, rows] = block, block.T
    return full


def _product(weights: Sequence[Matrix], width: int) -> Matrix:
    """Return W_k ... W_1, the identity for no matrices."""
    return reduce(lambda value, w: w @ value, weights, _identity(width, weights))


def _identity(width: int, weights: Sequence[Matrix]) -> Matrix:
    dtype = weights[0].dtype if weights else np.int64
    return np.eye(width, dtype=np.int64).astype(dtype)


def _sides(weights: Sequence[Matrix], width: int) -> list[tuple[Matrix, Matrix]]:
    """Return (A_l, B_l) for all l."""
    return [
        (_product(weights[i + 1 :], weights[i].shape[0]), _product(weights[:i], width)) for i in range(len(weights))
    ]
