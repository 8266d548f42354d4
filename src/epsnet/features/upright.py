r"""Images sheared until their ink stands upright: slant, which tells nothing of a letter or digit, is taken out.

For an image x with pixels at rows i and columns j, and means and covariances weighted by |x|,

$$ (Ux)(i, j) = x\bigl(i,\; j + a\,(i - \bar\imath)\bigr), \qquad
   a = \frac{\mathrm{cov}(i, j)}{\mathrm{var}(i) + 1/12}, \quad |a| \le 1, $$

with linear interpolation in each row and zeros outside; 1/12 is the variance within a pixel. After it rows and columns
are nearly uncorrelated. Each image is treated by itself: no number comes from other data.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, Proc. IEEE
86 (1998), section III-A (the "deslanted" version of the data).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError

_BLOCK = 500


def upright(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return images (n, h, w) with their slant removed, of the same shape. DomainError unless they are finite."""
    images = np.asarray(images)
    if images.ndim != 3 or images.dtype.kind not in "fiub" or not np.isfinite(images).all():
        raise DomainError(f"Images of shape {images.shape} and type {images.dtype} cannot be sheared. Give (n, h, w).")
    result = np.empty(images.shape)
    for start in range(0, len(images), _BLOCK):
        result[start : start + _BLOCK] = _sheared(images[start : start + _BLOCK].astype(np.float64))
    return result


def _sheared(images: NDArray[np.float64]) -> NDArray[np.float64]:
    count, height, width = images.shape
    peaks = np.abs(images).max((1, 2), initial=0.0, keepdims=True)
    ink = np.abs(images) / np.where(peaks, peaks, 1.0)
    total = np.maximum(ink.sum((1, 2)), 1e-300)
    by_row, by_column = ink.sum(2) / total[:, None], ink.sum(1) / total[:, None]
    rows = np.arange(height) - (by_row * np.arange(height)).sum(1, keepdims=True)
    columns = np.arange(width) - (by_column * np.arange(width)).sum(1, keepdims=True)
    covariance = ((ink * columns[:, None, :]).sum(2) * rows).sum(1) / total
    slope = np.clip(covariance / ((by_row * rows**2).sum(1) + 1 / 12), -1.0, 1.0)

    places = np.arange(width) + (slope[:, None] * rows)[..., None]
    left = np.floor(places)
    share = places - left
    padded = np.zeros((count, height, width + 2))
    padded[:, :, 1:-1] = images
    first, second = (np.clip(left + step, 0, width + 1).astype(np.intp) for step in (1, 2))
    near, far = (np.take_along_axis(padded, index, 2) for index in (first, second))
    return (1 - share) * near + share * far
