r"""Cone-adapted shearlets on the discrete torus, with alpha-scaling: a Parseval frame built in the frequency domain.

Let nu be the polynomial of Meyer, nu(t) = t^4 (35 - 84 t + 70 t^2 - 20 t^3), nu(t) + nu(1 - t) = 1, and

$$ \varphi(t) = \cos(\tfrac\pi2 \nu(2t - 1)) \text{ on } [\tfrac12, 1], \quad 1 \text{ below}, \ 0 \text{ above}, \qquad
   V(u) = \cos(\tfrac\pi2 \nu(|u|)) \text{ on } [-1, 1]. $$

Frequencies xi are split by their size into bands, b_i^2 = phi^2(|xi|_inf/(2 c_i)) - phi^2(|xi|_inf/c_i), the lowest
being phi itself, and every band by the slope into 4 D_i directions: the window of the direction l is

$$ W_{i,l}(\xi) = b_i(\xi) V(D_i \xi_2/\xi_1 - l) \text{ for } |\xi_2| \le |\xi_1|, \qquad
   b_i(\xi) V(D_i \xi_1/\xi_2 - l) \text{ else}, $$

where the directions +-D_i of both cones are one. As V(u)^2 + V(1 - u)^2 = 1, sum_{i,l} W_{i,l}^2 = 1. The part W f^
of a signal is supported in a wedge, which is mapped one-to-one to a rectangle by taking frequencies modulo (m_1, m_2);
the coefficients are its inverse Fourier transform on m_1 times m_2 points. Hence, all maps being isometric,

$$ \sum_{i,l,k} |\langle f, \psi_{i,l,k} \rangle|^2 = \sum_{i,l} \|W_{i,l} \hat f\|^2 = \|f\|^2 . $$

D_i grows like c_i^{1 - alpha}: the atoms have length c^-alpha and width c^-1, which are shearlets (and curvelets) for
alpha = 1/2, ridgelets for alpha = 0 and directional wavelets for alpha = 1. For an even side the frequencies n/2, which
have no mirror image, are kept apart as they are.

Sources: K. Guo, D. Labate, The construction of smooth Parseval frames of shearlets, Math. Model. Nat. Phenom. 8 (2013)
82-105; E. Candes, L. Demanet, D. Donoho, L. Ying, Fast discrete curvelet transforms, Multiscale Model. Simul. 5 (2006)
861-899 (wrapping); P. Grohs, S. Keiper, G. Kutyniok, M. Schaefer, alpha-molecules, Appl. Comput. Harmon. Anal. 41
(2016) 297-336.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.dictionary import Dictionary, Floats

Integers = NDArray[np.int64]

_FAR = 1 << 40  # beyond all frequencies


@dataclass(frozen=True, slots=True)
class _Window:
    """W on its support: `source` are places of frequencies, `wrapped` those in the rectangle of the given shape."""

    source: Integers
    wrapped: Integers
    weights: Floats
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]


class Shearlets(Dictionary):
    """Shearlets of images of n times n periodic samples.

    Args:
        side: n >= 16.
        alpha: from 0 (ridgelets) to 1 (directional wavelets); 1/2 for shearlets.
    """

    def __init__(self, side: int, alpha: float = 0.5) -> None:
        if side < 16 or not 0 <= alpha <= 1:
            raise DomainError(
                f"There are no shearlets of side {side} and alpha = {alpha}. Give 16 or more, and 0 <= alpha <= 1."
            )
        self.name = {0.5: "shearlets", 0.0: "ridgelets"}.get(alpha, f"shearlets, alpha = {alpha:g}")
        self.shape, self.alpha = (side, side), alpha
        self._windows = _windows(side, alpha)
        self._even = side % 2 == 0
        self.size = sum(window.size for window in self._windows) + 2 * side * self._even

    def _analysis(self, signal: Floats) -> Floats:
        spectrum = np.fft.fft2(signal, norm="ortho")
        parts = []
        for window in self._windows:
            wrapped = np.zeros(window.size, dtype=np.complex128)
            wrapped[window.wrapped] = window.weights * spectrum.ravel()[window.source]
            parts.append(np.fft.ifft2(wrapped.reshape(window.shape), norm="ortho").real.ravel())
        if self._even:
            middle = self.shape[0] // 2
            column = spectrum[:, middle].copy()
            column[middle] = 0
            parts += [np.fft.ifft(line, norm="ortho").real for line in (spectrum[middle], column)]
        return np.concatenate(parts)

    def _synthesis(self, coefficients: Floats) -> Floats:
        spectrum, used = np.zeros(self.shape, dtype=np.complex128), 0
        for window in self._windows:
            part = np.fft.fft2(coefficients[used : used + window.size].reshape(window.shape), norm="ortho")
            spectrum.ravel()[window.source] += window.weights * part.ravel()[window.wrapped]
            used += window.size
        if self._even:
            side, middle = self.shape[0], self.shape[0] // 2
            row, column = np.fft.fft(coefficients[used:].reshape(2, side), norm="ortho")
            column[middle] = 0
            spectrum[middle] += row
            spectrum[:, middle] += column
        return np.fft.ifft2(spectrum, norm="ortho").real

    @functools.cached_property
    def norms(self) -> Floats:
        """The norms of the atoms: those of one window are translates of each other."""
        parts = [np.full(w.size, np.linalg.norm(w.weights) / np.sqrt(w.size)) for w in self._windows]
        if self._even:
            side = self.shape[0]
            parts += [np.ones(side), np.full(side, np.sqrt(1 - 1 / side))]
        return np.concatenate(parts)


def _meyer(t: Floats) -> Floats:
    """Return cos(pi/2 nu(t)), continued by 1 and 0."""
    t = np.clip(t, 0.0, 1.0)
    return np.where(t < 1, np.cos(np.pi / 2 * t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)), 0.0)


def _windows(side: int, alpha: float) -> list[_Window]:
    line = np.fft.fftfreq(side, 1 / side).round().astype(np.int64)
    first, second = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    # The frequency n/2 of an even side has no mirror image.
    own = 2 * np.maximum(np.abs(first), np.abs(second)) < side
    source, first, second = np.flatnonzero(own), first[own], second[own]
    radius = np.maximum(np.abs(first), np.abs(second))
    bands = int(np.log2(side / 8))
    cuts = [side / 2 ** (i + 1) for i in range(bands)]
    above, found = np.ones(len(source)), []
    for cut in cuts:
        below = _meyer(2 * radius / cut - 1) ** 2
        band = np.sqrt(np.maximum(above - below, 0.0))
        above = below
        inside = band > 0
        directions = max(1, round(2 * (cut / cuts[-1]) ** (1 - alpha)))
        found += _split(source[inside], first[inside], second[inside], band[inside], directions)
    low = above > 0
    return [*found, _wrap(source[low], first[low], second[low], np.sqrt(above[low]))]


def _split(source: Integers, first: Integers, second: Integers, band: Floats, count: int) -> list[_Window]:
    """Split a band by slopes l/count, l = -count, ..., count, in the flat and in the steep cone."""
    flat = np.abs(second) <= np.abs(first)
    position = count * np.where(flat, second, first) / np.where(flat, first, second)
    left = np.floor(position)
    part = position - left
    # A frequency lies in the windows of the two slopes beside it.
    slopes = np.concatenate([left, left + 1]).astype(np.int64)
    weights = np.concatenate([band * _meyer(part), band * _meyer(1 - part)])
    # The diagonals belong to both cones.
    steep = np.tile(~flat, 2) & (np.abs(slopes) < count)
    entry = np.tile(np.arange(len(source)), 2)
    windows = []
    for cone in (False, True):
        for slope in range(-count + cone, count + 1 - cone):
            chosen = (steep == cone) & (slopes == slope) & (weights > 0)
            of = entry[chosen]
            windows.append(_wrap(source[of], first[of], second[of], weights[chosen], steep=cone))
    return windows


def _wrap(source: Integers, first: Integers, second: Integers, weights: Floats, *, steep: bool = False) -> _Window:
    """Wrap a wedge: along its axis all frequencies stay distinct, across it those of one line are an interval."""
    along, across = (second, first) if steep else (first, second)
    reach = int(np.abs(along).max())
    low, high = (np.full(2 * reach + 1, sign * _FAR) for sign in (1, -1))
    np.minimum.at(low, along + reach, across)
    np.maximum.at(high, along + reach, across)
    used = high >= low
    long, short = 2 * reach + 1, int((high[used] - low[used]).max()) + 1
    shape = (short, long) if steep else (long, short)
    return _Window(source, (first % shape[0]) * shape[1] + second % shape[1], weights, shape)
