r"""Gabor frames of real signals: windowed waves, a Parseval frame in any number of variables.

With a window w of even length L, translated by L/2 along each axis of a periodic signal, the atoms are

$$ \varphi_{k,m}(x) = w(x - kL/2)\, L^{-d/2} \operatorname{cas}(2 \pi m \cdot (x - kL/2) / L), \qquad
   \operatorname{cas} t = \cos t + \sin t, \quad m \in \{0, ..., L - 1\}^d, $$

w(x) = w(x_1) ... w(x_d). The waves are an orthonormal basis of R^{L^d} (the Hartley transform), so that the frame
operator multiplies with the sum of the squares of the translated windows; it is 1 if w(t)^2 + w(t + L/2)^2 = 1 for
0 <= t < L/2, as for the sine window and for w = g/(sum of g^2)^{1/2} made of a Gaussian g. The redundancy is 2^d.

Source: I. Daubechies, A. Grossmann, Y. Meyer, Painless nonorthogonal expansions, J. Math. Phys. 27 (1986) 1271-1283.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.dictionary import Dictionary, Floats


class Gabor(Dictionary):
    """A real Gabor frame; coefficients are ordered by translation k, then by frequency m.

    Args:
        shape: of the signals; every length is a multiple of length/2 and at least `length`.
        length: L, even, of the window.
        window: "sine" or "gaussian".
    """

    def __init__(self, shape: tuple[int, ...], length: int, window: Literal["sine", "gaussian"] = "sine") -> None:
        if length < 2 or length % 2 or not shape or any(n < length or n % (length // 2) for n in shape):
            raise DomainError(
                f"Windows of length {length} do not fit a signal of shape {shape}. "
                f"Give an even length whose half divides each side, no longer than the side."
            )
        if window not in ("sine", "gaussian"):
            raise DomainError(f"The window {window!r} is unknown. Use 'sine' or 'gaussian'.")
        d, hop = len(shape), length // 2
        self.name, self.shape, self.length = f"Gabor {length}", tuple(shape), length
        counts = tuple(n // hop for n in shape)
        self.size = int(np.prod(counts)) * length**d
        t = (np.arange(length) + 0.5) / length
        bell = np.sin(np.pi * t) if window == "sine" else np.exp(-np.pi * (4 * (t - 0.5)) ** 2 / 2)
        bell = bell / np.sqrt(bell**2 + np.roll(bell, hop) ** 2)
        self._window = functools.reduce(np.multiply.outer, [bell] * d)
        # The places of the samples of each patch, (k_1, ..., k_d, t_1, ..., t_d).
        places = np.zeros((1,) * (2 * d), dtype=np.int64)
        for axis, (n, count) in enumerate(zip(shape, counts, strict=True)):
            own = (np.arange(count)[:, None] * hop + np.arange(length)) % n
            split = [1] * (2 * d)
            split[axis], split[d + axis] = own.shape
            places = places * n + own.reshape(split)
        self._places, self._axes = places, tuple(range(d, 2 * d))

    def _hartley(self, patches: Floats) -> Floats:
        spectrum = np.fft.fftn(patches, axes=self._axes, norm="ortho")
        return spectrum.real - spectrum.imag

    def _analysis(self, signal: NDArray) -> Floats:
        return self._hartley(signal.ravel()[self._places] * self._window).ravel()

    def _synthesis(self, coefficients: NDArray) -> Floats:
        patches = self._hartley(coefficients.reshape(self._places.shape)) * self._window
        total = np.bincount(self._places.ravel(), patches.ravel(), minlength=int(np.prod(self.shape)))
        return total.astype(np.float64, copy=False).reshape(self.shape)

    @functools.cached_property
    def norms(self) -> Floats:
        """The norms of the atoms: those of one frequency are equal; cas^2 t = 1 + sin 2t."""
        squared = np.fft.fftn(self._window**2)
        twice = np.ix_(*[2 * np.arange(self.length) % self.length] * len(self.shape))
        own = (squared.flat[0].real - squared[twice].imag) / self.length ** len(self.shape)
        return np.broadcast_to(np.sqrt(own), self._places.shape).ravel()
