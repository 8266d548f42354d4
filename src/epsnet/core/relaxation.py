"""Lines below and above an activation on an interval, and the error of a dot product: what relaxations are made of.

A line is rigorous for whatever float64 slope it has, since its offset is computed from it with outward rounding.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.rounding import gamma, round_up
from epsnet.core.smooth import TINY, UNIT, Smooth, up

Array = NDArray[np.float64]
Line = tuple[Array, Array]
"""Slopes and offsets."""


@functools.cache
def dot_error(terms: int) -> float:
    """Return c = 2 gamma_{N+8}, rounded up: |fl(x . y) - x . y| <= c fl(|x| . |y|) for N terms without underflow.

    The factor 2 pays for the rounding of |x| . |y| itself, as fl(|x| . |y|) >= (1 - gamma_N) |x| . |y|, even if it is a
    product of three matrices; the eight spare operations pay for biases, rational weights and the product with c.
    """
    return round_up(2 * gamma(terms + 8))


def kinked_lines(left: float | Array, right: float | Array, lower: Array, upper: Array) -> tuple[Line, Line]:
    """Enclose max(left z, right z), left <= right: below a line through 0, above the chord.

    The lower line follows the longer side, which makes the area between the lines least among lines through 0.
    """
    below = np.where((lower >= 0) | ((upper > 0) & (upper > -lower)), right, left)
    chord = (right * upper - left * lower) / (upper - lower)
    chord = np.where(np.isfinite(chord), chord, 0.0)
    offset = np.maximum(_product_above(left, chord, lower), _product_above(right, chord, upper))
    decided = (lower >= 0) | (upper <= 0) | (left == right)
    return (below, np.zeros_like(below)), (np.where(decided, below, chord), np.where(decided, 0.0, offset))


def _product_above(slope: float | Array, chord: Array, z: Array) -> Array:
    """Return an upper bound of (slope - chord) z, which takes two roundings."""
    value = (slope - chord) * z
    return up(value + (4 * UNIT * np.abs(value) + TINY))


def smooth_lines(sigma: Smooth, lower: Array, upper: Array) -> tuple[Line, Line]:
    """Enclose a smooth activation: slopes of its convex and concave envelopes at the midpoint, certified offsets.

    Among all lines below a function on an interval, those through the convex envelope at the midpoint leave the least
    area. The slope is read off a few samples; whatever it is, the offset is rigorous. Where no offset is known (the
    argument of a sin runs through a whole turn, or an overflow) the line is constant.
    """
    below, above = sigma.envelope_slopes(lower, upper)
    low, high = sigma.range(lower, upper)
    result = []
    for side, slope, constant in ((-1.0, below, low), (1.0, above, high)):
        offset = side * sigma.maximum(side, slope, lower, upper)
        usable = np.isfinite(offset)
        result.append((np.where(usable, slope, 0.0), np.where(usable, offset, constant)))
    return result[0], result[1]
