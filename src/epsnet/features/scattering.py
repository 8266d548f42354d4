"""Windowed scattering of images: two layers of Morlet wavelets and moduli, then averages over windows.

Source: J. Bruna, S. Mallat, Invariant scattering convolution networks, IEEE Trans. Pattern Anal. Mach. Intell. 35
(2013).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError

_MARGIN = 2  # zeros around an image, at least
_BLOCK = 16  # images transformed together: their wavelet coefficients stay in the cache
_WEIGHTS = (1.0, 4.0, 16.0)  # factors of the orders 0, 1, 2, whose coefficients have ever smaller means
_WIDTH, _FREQUENCY, _PERIODS = 0.8, 0.75 * np.pi, 4

Real = NDArray[np.float64]


def scattering_features(
    images: NDArray[Any],
    scales: int = 3,
    angles: int = 6,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Real:
    """Return the normalized scattering coefficients of orders 0, 1 and 2, one row per image.

    With J scales and L angles, Morlet wavelets psi_{j,l} (0 <= j < J, 0 <= l < L) and a Gaussian window phi, an image x
    has the coefficients

        S_0 = x * phi,   S_1 = |x * psi_{j,l}| * phi,   S_2 = ||x * psi_{j,l}| * psi_{j',l'}| * phi  with j' > j,

    sampled at the centers of squares of 2^J pixels. A row lists them in this order, weighted by 1, 4 and 16, the
    indices (j, l, j', l') in lexicographic order and the places of each row by row, and has Euclidean norm 1 (or 0,
    if the image is 0). No number here comes from data.

    Images are surrounded by zeros, at least 2 on each side, up to multiples of 2^J, and convolutions are periodic.
    psi_{j,l} has the Fourier transform g(R w - xi) - c g(R w), where R turns by the angle pi l/L, xi = (3 pi/4, 0)/2^j,
    g(w) = exp(-sigma^2 (w_1^2 + (L w_2/4)^2)/2), sigma = 0.8*2^j, and c is such that the mean vanishes; phi is the
    Gaussian of standard deviation 0.8*2^(J-1). Moduli of scale j are kept at every 2^j-th pixel.

    Arguments:
        images: real or integer of shape (n, h, w). The features do not depend on the unit of the pixels.
        scales: J >= 1, at most 6.
        angles: L >= 2, at most 16.
        workers: threads. The result is the same to the bit.
        progress: called with the numbers of finished and of all images.

    Returns:
        Float64 of shape (n, p), p = (1 + J L + L^2 J(J-1)/2) * (h'/2^J) * (w'/2^J) for padded sides h', w'; an
        image of 28 x 28 pixels has 2032 features.

    Raises:
        DomainError: the images are no finite array (n, h, w), or a number is out of range.
    """
    images = _checked(images, scales, angles, workers)
    bank = _bank(images.shape[1:], scales, angles)
    starts = range(0, len(images), _BLOCK)
    result = np.empty((len(images), bank.size))
    with ThreadPoolExecutor(workers) as pool:
        blocks = pool.map(lambda start: _block(images[start : start + _BLOCK], bank), starts)
        for start, rows in zip(starts, blocks, strict=True):
            result[start : start + _BLOCK] = rows
            if progress is not None:
                progress(start + len(rows), len(images))
    return result


def enlarge(images: NDArray[Any], height: int, width: int) -> Real:
    """Return images (n, h, w) enlarged to (n, height, width) by linear interpolation; corners stay corners.

    The pixel (a, b) of the result lies at the place (a (h-1)/(height-1), b (w-1)/(width-1)) of the given image.
    """
    images = np.asarray(images, np.float64)
    if images.ndim != 3 or height < images.shape[1] or width < images.shape[2]:
        raise DomainError(
            f"Images of shape {images.shape} cannot be enlarged to {height} x {width}. "
            "Give images (n, h, w) and a size that is no smaller."
        )
    return _interpolation(images.shape[1], height) @ images @ _interpolation(images.shape[2], width).T


def _interpolation(old: int, new: int) -> Real:
    """Return the matrix (new, old) of linear interpolation."""
    places = np.linspace(0, old - 1, new)
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(old)))


def _checked(images: NDArray[Any], scales: int, angles: int, workers: int) -> NDArray[Any]:
    images = np.asarray(images)
    if images.ndim != 3 or 0 in images.shape or images.dtype.kind not in "fiub":
        raise DomainError(f"Images of shape {images.shape} and type {images.dtype} have no scattering. Give (n, h, w).")
    if images.dtype.kind == "f" and not np.all(np.isfinite(images)):
        raise DomainError("An image has a pixel that is not finite. Remove or replace it.")
    if not (1 <= scales <= 6 and 2 <= angles <= 16 and workers >= 1):
        raise DomainError(
            f"{scales} scales, {angles} angles, {workers} workers: out of range. "
            "Use 1 to 6 scales, 2 to 16 angles, at least one worker."
        )
    return images


@dataclass(frozen=True)
class _Bank:
    """Wavelets and windows for images of one size.

    Attributes:
        sides: h', w'.
        wavelets: for (r, j) the Fourier transforms of scale j at every 2^r-th pixel, divided by 4^(j-r); real, each
            twice in a row, (L, h'/2^r, 2 w'/2^r).
        windows: for r the averages of columns and rows, (h'/2^J, h'/2^r) and (w'/2^r, w'/2^J).
        scales, angles: J, L.
    """

    sides: tuple[int, int]
    wavelets: dict[tuple[int, int], Real]
    windows: list[tuple[Real, Real]]
    scales: int
    angles: int

    @property
    def size(self) -> int:
        """The number p of features."""
        paths = 1 + self.scales * self.angles + self.angles**2 * self.scales * (self.scales - 1) // 2
        return paths * len(self.windows[0][0]) * self.windows[0][1].shape[1]


def _bank(shape: tuple[int, ...], scales: int, angles: int) -> _Bank:
    step = 2**scales
    height, width = (-(-(side + 2 * _MARGIN) // step) * step for side in shape)
    wavelets = {
        (r, j): np.stack([_wavelet(height >> r, width >> r, j - r, a, angles) for a in range(angles)]).repeat(2, -1)
        / 4 ** (j - r)
        for r in range(scales)
        for j in range(r, scales)
    }
    windows = [(_window(height, scales, r), _window(width, scales, r).T) for r in range(scales)]
    return _Bank((height, width), wavelets, windows, scales, angles)


def _wavelet(height: int, width: int, scale: int, angle: int, angles: int) -> Real:
    """Return the discrete Fourier transform of a periodized Morlet wavelet: real, zero at frequency zero."""
    from scipy import fft

    turn, sigma = np.pi * angle / angles, _WIDTH * 2**scale
    periods = 2 * np.pi * np.arange(-_PERIODS, _PERIODS + 1)
    rows, columns = ((2 * np.pi * fft.fftfreq(side)[:, None] + periods).ravel() for side in (height, width))
    along = np.cos(turn) * columns + np.sin(turn) * rows[:, None]
    across = np.cos(turn) * rows[:, None] - np.sin(turn) * columns

    def bump(frequency: float) -> Real:
        values = np.exp(-(sigma**2) / 2 * ((along - frequency) ** 2 + (across * angles / 4) ** 2))
        return values.reshape(height, len(periods), width, len(periods)).sum((1, 3))

    moved, centered = bump(_FREQUENCY / 2**scale), bump(0.0)
    return moved - moved[0, 0] / centered[0, 0] * centered


def _window(side: int, scales: int, resolution: int) -> Real:
    """Return the rows of the periodic Gaussian averages at the centers of 2^J pixels, for every 2^r-th pixel."""
    step, sigma = 2**scales, _WIDTH * 2 ** (scales - 1)
    distances = np.arange(step // 2, side, step)[:, None] - np.arange(0, side, 2**resolution)
    around = distances[..., None] + side * np.arange(-_PERIODS, _PERIODS + 1)
    return 2**resolution * np.exp(-((around / sigma) ** 2) / 2).sum(-1) / (np.sqrt(2 * np.pi) * sigma)


def _block(images: NDArray[Any], bank: _Bank) -> Real:
    """Return the features of a few images."""
    images = images.astype(np.float64)
    count, *shape = images.shape
    padded = np.zeros((count, *bank.sides))
    top, left = ((side - own) // 2 for side, own in zip(bank.sides, shape, strict=True))
    peaks = np.abs(images).max((1, 2), keepdims=True)
    padded[:, top : top + shape[0], left : left + shape[1]] = images / np.where(peaks, peaks, 1.0)

    orders = [[_averages(padded, 0, bank)], [], []]
    spectrum = _transform(padded)
    for j in range(bank.scales):
        first = _moduli(spectrum, 0, j, bank)
        orders[1].append(_averages(first, j, bank))
        if j + 1 < bank.scales:
            spectra = _transform(first)
            second = [_averages(_moduli(spectra, j, k, bank), k, bank) for k in range(j + 1, bank.scales)]
            orders[2].append(np.concatenate(second, 2))
    parts = [part.reshape(count, -1) * weight for order, weight in zip(orders, _WEIGHTS, strict=True) for part in order]
    rows = np.concatenate(parts, 1)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms, norms, 1.0)


def _transform(values: Real) -> NDArray[np.complex128]:
    from scipy import fft

    return np.asarray(fft.fft2(values))


def _moduli(spectrum: NDArray[np.complex128], resolution: int, scale: int, bank: _Bank) -> Real:
    """Return |u * psi_{j,l}| for all l at every 2^j-th pixel, from the Fourier transform of u at every 2^r-th."""
    from scipy import fft

    wavelets, step = bank.wavelets[resolution, scale], 2 ** (scale - resolution)
    height, width = spectrum.shape[-2] // step, spectrum.shape[-1] // step
    halves = spectrum.view(np.float64)[..., None, :, :]  # real and imaginary parts side by side, as in the wavelets
    quarters = [
        (..., slice(a * height, (a + 1) * height), slice(2 * b * width, 2 * (b + 1) * width))
        for a in range(step)
        for b in range(step)
    ]
    folded = halves[quarters[0]] * wavelets[quarters[0]]  # to keep every s-th pixel is to fold the Fourier transform
    product = np.empty_like(folded)
    for quarter in quarters[1:]:
        folded += np.multiply(halves[quarter], wavelets[quarter], out=product)
    values = np.asarray(fft.ifft2(folded.view(np.complex128), overwrite_x=True)).view(np.float64)
    np.square(values, out=values)
    return np.sqrt(values[..., ::2] + values[..., 1::2])


def _averages(values: Real, resolution: int, bank: _Bank) -> Real:
    rows, columns = bank.windows[resolution]
    return rows @ (values @ columns)
