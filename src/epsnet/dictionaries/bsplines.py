r"""B-splines of several widths on a circle: a redundant dictionary, for matching pursuit.

B_p = B_0 * ... * B_0 (p + 1 factors), B_0 the indicator of [-1/2, 1/2), has the degree p and obeys the recursion

$$ p B_p(x) = (\tfrac{p+1}2 + x) B_{p-1}(x + \tfrac12) + (\tfrac{p+1}2 - x) B_{p-1}(x - \tfrac12). $$

Source: C. de Boor, A Practical Guide to Splines, Springer 1978.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.dictionary import Dictionary, Floats, require_halvable

_MAX_LENGTH = 2048
_MAX_DEGREE = 5


def bspline(degree: int, x: ArrayLike) -> Floats:
    """Return B_p(x), with support [-(p + 1)/2, (p + 1)/2] and integral 1; p >= 0."""
    x = np.asarray(x, dtype=np.float64)
    if degree == 0:
        return ((x >= -0.5) & (x < 0.5)).astype(np.float64)
    half = (degree + 1) / 2
    return ((x + half) * bspline(degree - 1, x + 0.5) + (half - x) * bspline(degree - 1, x - 0.5)) / degree


class BSplines(Dictionary):
    """The B-splines B_p((x - k 2^j) / 2^j) on n periodic samples x = 0, ..., n - 1, with norm 1.

    j = 0, ..., levels - 1 and k = 0, ..., n/2^j - 1, the finest first. `analysis` is the canonical dual frame.

    Args:
        degree: p from 1 (linear) to 5.
        length: n <= 2048, divisible by 2^(levels - 1), not shorter than the widest spline.
        levels: of widths, >= 1.
    """

    parseval = False

    def __init__(self, degree: int, length: int, levels: int) -> None:
        if not 1 <= degree <= _MAX_DEGREE or length > _MAX_LENGTH or levels < 1:
            raise DomainError(
                f"B-splines of degree {degree} on {length} samples with {levels} levels are not offered. "
                f"Give a degree from 1 to {_MAX_DEGREE}, at most {_MAX_LENGTH} samples and at least one level."
            )
        if levels > 1:
            require_halvable((length,), levels - 1)
        if length < (degree + 1) * 2 ** (levels - 1):
            raise DomainError(f"The widest B-spline is longer than {length} samples. Take fewer levels.")
        self.name, self.shape, self.degree = f"B-splines of degree {degree}", (length,), degree
        self.size = sum(length >> j for j in range(levels))
        x = np.arange(length)
        columns = []
        for j in range(levels):
            # Distances on the circle, centered.
            offset = (x[:, None] - (x[: length >> j] << j)[None, :] + length // 2) % length - length // 2
            columns.append(bspline(degree, offset / 2**j))
        atoms = np.concatenate(columns, axis=1)
        self._atoms = atoms / np.linalg.norm(atoms, axis=0)

    @functools.cached_property
    def norms(self) -> Floats:
        """The norms of the atoms: 1."""
        return np.ones(self.size)

    @functools.cached_property
    def _dual(self) -> Floats:
        return np.linalg.solve(self._atoms @ self._atoms.T, self._atoms).T

    def _analysis(self, signal: Floats) -> Floats:
        return self._dual @ signal

    def _adjoint(self, signal: Floats) -> Floats:
        return self._atoms.T @ signal

    def _synthesis(self, coefficients: Floats) -> Floats:
        return self._atoms @ coefficients
