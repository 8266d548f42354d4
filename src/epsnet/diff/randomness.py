"""Everything random in training, drawn by NumPy: the same numbers in every precision, process and version of JAX.

Each draw has its own generator, Philox seeded by (seed, purpose, epoch). So an epoch needs no memory of the ones
before it, and a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_INITIAL, _ORDER, _SHIFT = range(3)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def initial_params(widths: Sequence[int], activation: str, seed: int) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return float32 layers with b = 0 and A_ij ~ N(0, c/N_{l-1}): c = 2 behind a ReLU to come, otherwise c = 1.

    Source: K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers, ICCV 2015.
    """
    generator = _generator(seed, _INITIAL)
    gain = 2.0 if activation in ("relu", "leaky_relu", "gelu") else 1.0
    layers = []
    for index, (fan_in, fan_out) in enumerate(pairwise(widths)):
        variance = (gain if index < len(widths) - 2 else 1.0) / fan_in
        matrix = np.sqrt(variance) * generator.standard_normal((fan_out, fan_in))
        layers.append((matrix.astype(np.float32), np.zeros(fan_out, np.float32)))
    return layers


def order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the permutation of 0, ..., n-1 in which this epoch visits the examples."""
    return _generator(seed, _ORDER, epoch).permutation(n)


def shifted(padded: NDArray[Any], indices: NDArray[np.int64], radius: int, seed: int, epoch: int) -> NDArray[Any]:
    """Return the images with these indices, each moved by its own uniform offset in {-radius, ..., radius}^2.

    Arguments:
        padded: images (n, h + 2 radius, w + 2 radius), continued by their border pixels.
        indices: which images, in which order.
        radius: the greatest shift along each axis, in pixels.
        seed: the seed of the run.
        epoch: the number of the epoch.
    """
    offsets = _generator(seed, _SHIFT, epoch).integers(0, 2 * radius + 1, size=(2, len(indices)))
    shape = (padded.shape[1] - 2 * radius, padded.shape[2] - 2 * radius)
    return sliding_window_view(padded, shape, axis=(1, 2))[indices, offsets[0], offsets[1]]
