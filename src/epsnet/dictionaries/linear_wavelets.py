r"""The biorthogonal wavelets CDF(2,2) on [0, 1] by lifting: continuous piecewise-linear atoms, exact in rationals.

A continuous function that is affine between the nodes i 2^-J is its values v_i, i = 0, ..., 2^J. One step of lifting
predicts the values at odd nodes from their neighbors and updates those at even ones,

$$ d_k = v_{2k+1} - \tfrac12 (v_{2k} + v_{2k+2}), \qquad s_k = v_{2k} + \tfrac14 (d_{k-1} + d_k), $$

with d_{-1} = d_0 and d_{2^j} = d_{2^j - 1} at the ends, for j = J - 1, ..., 0. The coefficients are s_0, s_1 of level
0, then d of the levels j = 0, ..., J - 1: each is the coefficient of the atom psi_{j,k}. With T(s) = rho(1 - |s|) and
s = 2^{j+1} x - (2k + 1), the atom is the difference of two hats,

$$ \psi_{j,k}(x) = \tfrac98 T(s) - \tfrac38 T(s/3) - [k = 0]\, \tfrac18 \rho(2 - 2^{j+1} x)
   - [k = 2^j - 1]\, \tfrac18 \rho(2 - 2^{j+1} (1 - x)). $$

Proof. Inverting one step for d_k = 1 alone gives at s = 0, +-1, +-2, +-3 the values 3/4, -1/4, -1/8, 0; so does the
difference of hats, which bends at s = 0, +-1, +-3 only. At an end d_k enters the update of the end node twice, which is
the reflected atom added; of it only the outer slope reaches into [0, 1].

Source: A. Cohen, I. Daubechies, J.-C. Feauveau, Biorthogonal bases of compactly supported wavelets, Communications on
Pure and Applied Mathematics 45 (1992) 485-560; W. Sweldens, The lifting scheme, SIAM J. Math. Anal. 29 (1998) 511-546.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError
from epsnet.dictionaries.dictionary import Dictionary, Floats

_MAX_LEVELS = 20


class LinearWavelets(Dictionary):
    """The basis CDF(2,2) of the continuous functions on [0, 1] that are affine between 2^J + 1 nodes.

    Args:
        levels: J, from 1 to 20. Signals are the values at the nodes i 2^-J.

    The atoms have height 3/4, whatever their level; `scales` are 2^{-j/2}, with which they are a Riesz basis of L2.
    """

    parseval = False

    def __init__(self, levels: int) -> None:
        if not 1 <= levels <= _MAX_LEVELS:
            raise DomainError(f"There are no {levels} levels of wavelets. Give 1 to {_MAX_LEVELS}.")
        self.name, self.levels = "CDF(2,2) on [0, 1]", levels
        self.size = 2**levels + 1
        self.shape = (self.size,)

    def level(self, index: int) -> tuple[int, int]:
        """Return (j, k) of a wavelet, (-1, k) for the two hats of level 0."""
        if index < 2:
            return -1, index
        j = (index - 1).bit_length() - 1
        return j, index - 1 - 2**j

    @functools.cached_property
    def scales(self) -> Floats:
        """Return 2^{-j/2} for each atom."""
        return np.array([2.0 ** (-max(self.level(index)[0], 0) / 2) for index in range(self.size)])

    @functools.cached_property
    def norms(self) -> Floats:
        """The norms of the samples; those of the inner wavelets of one level are translates of each other."""
        found = [self._norm(0), self._norm(1)]
        for j in range(self.levels):
            first, last = 2**j + 1, 2 ** (j + 1)
            inner = [self._norm((first + last) // 2)] * (last - first - 1)
            found += [self._norm(first), *inner, self._norm(last)][: 2**j]
        return np.array(found)

    def _norm(self, index: int) -> float:
        return float(np.linalg.norm(self.atom(index)))

    def exact_analysis(self, values: Sequence[Real]) -> list[Fraction]:
        """Return the coefficients of rational values at the nodes without any error."""
        return list(self._analysis(self._rationals(values)))

    def exact_synthesis(self, coefficients: Sequence[Real]) -> list[Fraction]:
        """Return the values at the nodes of an expansion with rational coefficients without any error."""
        return list(self._synthesis(self._rationals(coefficients)))

    def _rationals(self, values: Sequence[Real]) -> NDArray[Any]:
        if len(values) != self.size:
            raise DomainError(f"There are {len(values)} numbers, not {self.size}. Give one for each node or atom.")
        return np.array([exact(value) for value in values], dtype=object)

    def _analysis(self, signal: NDArray[Any]) -> NDArray[Any]:
        details = []
        for _ in range(self.levels):
            even = signal[::2]
            detail = signal[1::2] - (even[:-1] + even[1:]) / 2
            details.append(detail)
            signal = even + _update(detail)
        return np.concatenate([signal, *reversed(details)])

    def _synthesis(self, coefficients: NDArray[Any]) -> NDArray[Any]:
        signal = coefficients[:2]
        for j in range(self.levels):
            detail = coefficients[2**j + 1 : 2 ** (j + 1) + 1]
            even = signal - _update(detail)
            signal = np.empty(2 * len(even) - 1, dtype=signal.dtype)
            signal[::2] = even
            signal[1::2] = detail + (even[:-1] + even[1:]) / 2
        return signal

    def _adjoint(self, signal: Floats) -> Floats:
        details = []
        for _ in range(self.levels):
            detail, even = signal[1::2], signal[::2].copy()
            even[:-1] += detail / 2
            even[1:] += detail / 2
            # The transpose of the update: the end nodes are read twice.
            share = even / 4
            share[[0, -1]] *= 2
            details.append(detail - share[:-1] - share[1:])
            signal = even
        return np.concatenate([signal, *reversed(details)])


def _update(detail: NDArray[Any]) -> NDArray[Any]:
    return (np.append(detail[:1], detail) + np.append(detail, detail[-1:])) / 4
