"""Wavelet bases of periodic signals and images, computed by PyWavelets (mode "periodization")."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.dictionaries.dictionary import Dictionary, Floats, require_halvable


class Wavelets(Dictionary):
    """The wavelet basis of a filter pair: orthonormal (haar, db2, db4, sym4, coif1, ...) or biorthogonal (bior4.4).

    The coefficients are those of the coarsest scaling functions, then of the wavelets from the coarsest level to the
    finest, in two variables for the directions horizontal, vertical, diagonal. In one and two variables.

    Args:
        wavelet: a discrete wavelet of PyWavelets.
        shape: of the signals, (n,) or (n, m); 2^levels divides each.
        levels: how often the signal is halved.

    Raises:
        MissingExtraError: PyWavelets is not installed.
        DomainError: the wavelet is unknown, or the shape does not fit.
    """

    def __init__(self, wavelet: str, shape: tuple[int, ...], levels: int) -> None:
        pywt = _pywt()
        if wavelet not in pywt.wavelist(kind="discrete"):
            raise DomainError(f"The wavelet {wavelet!r} is unknown. Use one such as haar, db4 or bior4.4.")
        if len(shape) not in (1, 2):
            raise DomainError(f"Wavelets are for one or two variables, not {len(shape)}. Give such a signal.")
        require_halvable(shape, levels)
        self.name, self.shape, self.levels = wavelet, tuple(shape), levels
        self.size = int(np.prod(shape))
        filters = pywt.Wavelet(wavelet)
        self.parseval = bool(filters.orthogonal)
        self._filters = filters
        # The inner products with the atoms of the synthesis are the analysis by the filters of the synthesis, reversed.
        low, high, dual_low, dual_high = filters.filter_bank
        self._dual = pywt.Wavelet("dual", [dual_low[::-1], dual_high[::-1], low[::-1], high[::-1]])

    def _analysis(self, signal: NDArray[Any]) -> Floats:
        return self._decompose(signal, self._filters)

    def _adjoint(self, signal: Floats) -> Floats:
        return self._decompose(signal, self._dual)

    def _decompose(self, signal: NDArray[Any], filters: Any) -> Floats:
        pywt, details = _pywt(), []
        for _ in range(self.levels):
            signal, detail = (pywt.dwt if signal.ndim == 1 else pywt.dwt2)(signal, filters, mode="periodization")
            details.append(np.ravel(detail))
        return np.concatenate([np.ravel(signal), *reversed(details)])

    def _synthesis(self, coefficients: NDArray[Any]) -> Floats:
        pywt = _pywt()
        shape = tuple(n >> self.levels for n in self.shape)
        used = int(np.prod(shape))
        signal = coefficients[:used].reshape(shape)
        directions = 2 ** len(shape) - 1
        for _ in range(self.levels):
            own = directions * signal.size
            detail = coefficients[used : used + own].reshape(directions, *signal.shape)
            used += own
            signal = (
                pywt.idwt(signal, detail[0], self._filters, mode="periodization")
                if signal.ndim == 1
                else pywt.idwt2((signal, tuple(detail)), self._filters, mode="periodization")
            )
        return signal

    @functools.cached_property
    def norms(self) -> Floats:
        """The norms of the atoms; those of one level and direction are translates of each other."""
        if self.parseval:
            return np.ones(self.size)
        found = np.empty(self.size)
        first = self.size >> (len(self.shape) * self.levels)
        found[:first] = np.linalg.norm(self.atom(0))
        while first < self.size:
            # A level starts where the number of coefficients of all coarser ones ends, which is that of one direction.
            own = first
            for _ in range(2 ** len(self.shape) - 1):
                found[first : first + own] = np.linalg.norm(self.atom(first))
                first += own
        return found


def _pywt() -> Any:
    try:
        import pywt
    except ModuleNotFoundError:
        raise MissingExtraError("wavelets", "A wavelet basis") from None
    return pywt
