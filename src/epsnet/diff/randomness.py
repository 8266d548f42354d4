"""Everything random in training, drawn by NumPy: the same numbers in every precision, process and version of JAX.

Each draw has its own generator, Philox seeded by (seed, purpose, epoch). So an epoch needs no memory of the ones
before it, and a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
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


def offsets(count: int, radius: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return uniform offsets (2, count) in {0, ..., 2 radius}: rows and columns that images are shifted by."""
    return _generator(seed, _SHIFT, epoch).integers(0, 2 * radius + 1, size=(2, count))
