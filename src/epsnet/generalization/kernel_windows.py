"""Windows of images and sums of independent parts: the arithmetic that `kernel_recursion` is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from epsnet.generalization.dual_activations import Floats
from epsnet.generalization.wide_network import Conv, Dense, Pool, window_places


def windows(a: Any, groups: Sequence[tuple[int, ...]], step: Conv | Pool) -> Any:
    """Return the sums (of booleans the disjunctions) over all windows; the axes of one group move together.

    The padded array is read as one row, in which every shift of the windows is a shift by one number.
    """
    axes = sorted(axis for group in groups for axis in group)
    before = places_along(step, a.shape[axes[0]])[1]
    after = step.size - 1 - before if isinstance(step, Conv) and step.padding == "same" else 0
    shape, inside, chosen = list(a.shape), [slice(None)] * a.ndim, [slice(None)] * a.ndim
    for axis in axes:
        shape[axis] += before + after
        inside[axis] = slice(before, before + a.shape[axis])
        chosen[axis] = slice(0, shape[axis] - step.size + 1, step.stride or step.size)
    padded = np.zeros(shape, a.dtype)
    padded[tuple(inside)] = a
    row = padded.reshape(-1)
    for group in groups if step.size > 1 else ():
        offset = sum(padded.strides[axis] for axis in group) // padded.itemsize
        sums = np.empty_like(row)
        # What lies beyond is cut off below.
        end = max(0, len(row) - (step.size - 1) * offset)
        sums[end:] = row[end:]
        np.add(row[:end], row[offset : offset + end], out=sums[:end])
        for d in range(2, step.size):
            sums[:end] += row[d * offset : d * offset + end]
        row = sums
    return row.reshape(shape)[tuple(chosen)]


def together(batch: int, ndim: int) -> list[tuple[int, ...]]:
    """Return the axes of rows, and those of columns, of all images of a pair."""
    return [tuple(range(batch + side, ndim, 2)) for side in (0, 1)]


def all_equal(equal: Any, step: Conv | Pool, batch: int) -> Any:
    """Return where all pairs of the windows that face each other are equal, or both outside the image."""
    groups = together(batch, equal.ndim)
    different = windows(~equal, groups, step)
    if len(groups[0]) == 2:
        # In different rows (columns) a window may leave the image for one pixel and not for the other.
        for axes in groups:
            leaves = _leaves(equal.shape[axes[0]], step)
            different |= leaves.reshape([len(leaves) if k in axes else 1 for k in range(equal.ndim)])
    return ~different


def _leaves(length: int, step: Conv | Pool) -> Any:
    """Return, for two places of windows along one axis, whether they leave the image differently."""
    count, before = places_along(step, length)
    at = np.arange(count)[:, None] * (step.stride or step.size) + np.arange(step.size) - before
    inside = (at >= 0) & (at < length)
    return np.any(inside[:, None] != inside[None], axis=-1)


def mix(
    row: Floats, column: Floats, sign: Floats, deficit: Floats, ratio: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return sign, deficit and ratio of sums of independent parts, the first axis.

    Args:
        row: K_11^(1/2).
        column: K_22^(1/2).
        sign: of rho.
        deficit: of rho.
        ratio: (K_22/K_11)^(1/2) - 1, if it is known better than by division, as it should be for nearly equal norms.
    """
    norms = [np.sqrt(np.sum(a * a, axis=0)) for a in (row, column)]
    e, f = (a / np.where(norm > 0, norm, 1.0) for a, norm in zip((row, column), norms, strict=True))
    if ratio is None:
        total, difference = np.zeros_like(norms[0]), e - f
    else:
        total = root_minus_one(np.sum(e * e * ratio * (2 + ratio), axis=0))
        difference = e * (total - ratio) / (1 + total)
    after = np.where(np.sum(e * f * sign * (1 - deficit), axis=0) >= 0, 1.0, -1.0)
    mixed = np.sum(e * f * np.where(sign == after, deficit, 2 - deficit) + difference**2 / 2, axis=0)
    return after, mixed, total


def root_minus_one(q: Floats) -> Floats:
    """Return (1 + q)^(1/2) - 1 without cancellation."""
    return q / (1 + np.sqrt(1 + q))


def aligned(a: Any) -> Any:
    """Return the entries p = q, (..., h, w), of (..., h, w, h, w)."""
    return np.einsum("...hwhw->...hw", a)


def weighted(step: Dense | Conv, x: Floats) -> Floats:
    """Return the vectors whose inner products are the covariances after the first layer, up to a factor."""
    n = x.shape[-1]
    if isinstance(step, Conv):
        sides = [places_along(step, length) for length in x.shape[1:3]]
        padding = [(before, step.size - 1 - before) if step.padding == "same" else (0, 0) for _, before in sides]
        padded = np.pad(x, [(0, 0), *padding, (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (step.size, step.size), axis=(1, 2))
        n *= step.size**2
        x = windows[:, :: step.stride, :: step.stride].reshape(len(x), *(count for count, _ in sides), n)
    bias = np.full((*x.shape[:-1], 1), step.bias_std * math.sqrt(n) / step.weight_std)
    return np.concatenate([x, bias], axis=-1)


def vector_deficits(u: Floats, v: Floats) -> tuple[Floats, Floats, Floats]:
    """Return sign and deficit of the angle between rows of u and v, and |v|/|u| - 1.

    With d = v - sign u, exact for close floats, the part of d orthogonal to u is as long as that of v.
    """
    dot = np.einsum("ac,ac->a", u, v)
    sign = np.where(dot >= 0, 1.0, -1.0)
    square = np.einsum("ac,ac->a", u, u)
    difference = v - sign[:, None] * u
    ratio = root_minus_one(np.einsum("ac,ac->a", difference, v + sign[:, None] * u) / square)
    difference -= (np.einsum("ac,ac->a", difference, u) / square)[:, None] * u
    angle = np.arctan2(np.linalg.norm(difference, axis=1), np.abs(dot) / np.sqrt(square))
    return sign, 2 * np.sin(angle / 2) ** 2, ratio


def places_along(step: Conv | Pool, length: int) -> tuple[int, int]:
    """Return how many windows fit along one side of an image, and the zeros before it."""
    if isinstance(step, Conv):
        return window_places(length, step.size, step.stride, step.padding)
    return window_places(length, step.size, step.stride or step.size, "valid")
