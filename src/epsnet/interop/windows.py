"""Convolution and pooling as maps between signals: which pixels each window reads, and what it makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Convolution, LinearMap
from epsnet.interop import exact_arrays as exact
from epsnet.interop.assembly import Assembly, Signal, check_size
from epsnet.interop.exact_arrays import Values

_MAX_PLACES = 2**24
_MAX_KERNEL = 2**22
Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The windows that slide over the channels of an image.

    Attributes:
        image: (channels, rows, columns).
        extent, stride, dilation: along rows and columns.
        before, after: what is padded in front of and behind the rows and columns.
    """

    image: tuple[int, int, int]
    extent: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    after: Pair

    def __post_init__(self) -> None:
        if min(*self.image, *self.extent, *self.stride, *self.dilation) < 1 or min(*self.before, *self.after) < 0:
            raise DomainError("A window has a size, stride or dilation below 1 or a negative pad. Use others.")
        if min(self.counts) < 1:
            raise DomainError("The window is larger than the padded image. Use a smaller window or more padding.")

    @property
    def counts(self) -> Pair:
        """The number of windows along rows and columns."""
        along = [
            (size + first + last - (extent - 1) * dilation - 1) // stride + 1
            for size, first, last, extent, dilation, stride in zip(
                self.image[1:], self.before, self.after, self.extent, self.dilation, self.stride, strict=True
            )
        ]
        return along[0], along[1]

    def places(self) -> NDArray[np.int64]:
        """Return (rows, columns, height, width): the pixel that each window reads at each of its places, or -1."""
        if math.prod(self.counts) * math.prod(self.extent) > _MAX_PLACES:
            raise DomainError(f"The windows read more than {_MAX_PLACES:,} pixels. Use smaller images.")
        starts = [np.arange(count) * step for count, step in zip(self.counts, self.stride, strict=True)]
        offsets = [np.arange(extent) * step for extent, step in zip(self.extent, self.dilation, strict=True)]
        row, column = (
            start[:, None] + offset[None, :] - first
            for start, offset, first in zip(starts, offsets, self.before, strict=True)
        )
        row, column = row[:, None, :, None], column[None, :, None, :]
        _, height, width = self.image
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return np.where(inside, row * width + column, -1)

    @property
    def plain(self) -> bool:
        """Whether a `Convolution` can have these windows: equal strides, equal pads (zeros in the kernel dilate)."""
        pads = {*self.before, *self.after}
        return self.stride[0] == self.stride[1] and len(pads) == 1

    def widened(self, kernel: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the kernel with the zeros of the dilation written out."""
        extent = [(size - 1) * step + 1 for size, step in zip(self.extent, self.dilation, strict=True)]
        check_size((*kernel.shape[:2], *extent))
        result = np.zeros((*kernel.shape[:2], *extent))
        result[:, :, :: self.dilation[0], :: self.dilation[1]] = kernel
        return result


def convolution(windows: Windows, kernel: Values, groups: int) -> LinearMap:
    """Return the cross-correlation with a kernel (out channels, in channels of a group, height, width).

    It stays a `Convolution`, groups and dilations being zeros of its kernel, where the geometry permits; otherwise it
    is the sparse matrix. Both are the same function.
    """
    channels = windows.image[0]
    outputs, inner = kernel.shape[:2]
    if kernel.ndim != 4 or groups < 1 or inner * groups != channels or outputs % groups:
        raise DomainError(
            f"A kernel of shape {kernel.shape} in {groups} groups does not fit {channels} channels. Make them fit."
        )
    check_size((outputs, *windows.counts))
    if windows.plain and exact.is_float(kernel) and outputs * channels * math.prod(windows.extent) <= _MAX_KERNEL:
        full = np.zeros((outputs, channels, *windows.extent))
        for group in range(groups):
            own = slice(group * outputs // groups, (group + 1) * outputs // groups)
            full[own, group * inner : (group + 1) * inner] = kernel[own]
        return Convolution(windows.widened(full), windows.image, windows.stride[0], windows.before[0])
    places = windows.places()
    if places.size * outputs * inner > _MAX_PLACES:
        raise DomainError(f"The convolution as a matrix has more than {_MAX_PLACES:,} entries. Use smaller images.")
    o, c, y, x, i, j = np.meshgrid(*map(np.arange, (outputs, inner, *places.shape)), indexing="ij", sparse=True)
    values, read = np.broadcast_arrays(kernel[o, c, i, j], places[y, x, i, j])
    keep = (read >= 0) & (values != 0)
    pixels = windows.image[1] * windows.image[2]
    column = (o // (outputs // groups) * inner + c) * pixels + read
    row = np.broadcast_to((o * places.shape[0] + y) * places.shape[1] + x, read.shape)
    shape = (outputs * math.prod(windows.counts), math.prod(windows.image))
    return exact.matrix(shape, row[keep], column[keep], values[keep])


def average(windows: Windows, count_padding: bool) -> LinearMap:
    """Return the average over each window: over its pixels inside the image, or over all its places."""
    channels, rows, columns = windows.image
    places = windows.places()
    inside = (places >= 0).sum(axis=(2, 3))
    counts = np.full_like(inside, math.prod(windows.extent)) if count_padding else inside
    if counts.min() < 1:
        raise DomainError("A window of an average lies in the padding. Use less padding.")
    if len(np.unique(counts)) == 1:
        kernel = exact.shortest([Fraction(1, int(counts[0, 0]))] * math.prod(windows.extent), windows.extent)
        return convolution(windows, np.broadcast_to(kernel, (channels, 1, *windows.extent)), channels)
    y, x, i, j = np.nonzero(places >= 0)
    if len(y) * channels > _MAX_PLACES:
        raise DomainError(f"The average as a matrix has more than {_MAX_PLACES:,} entries. Use smaller images.")
    c = np.repeat(np.arange(channels), len(y))
    y, x, i, j = (np.tile(each, channels) for each in (y, x, i, j))
    inverse = {count: Fraction(1, count) for count in np.unique(counts).tolist()}
    values = exact.shortest((inverse[count] for count in counts[y, x].tolist()), y.shape)
    shape = (channels * counts.size, channels * rows * columns)
    row = (c * counts.shape[0] + y) * counts.shape[1] + x
    return exact.matrix(shape, row, c * rows * columns + places[y, x, i, j], values)


def maximum(assembly: Assembly, signal: Signal, candidates: NDArray[np.int64]) -> Signal:
    """Return the maxima over the first axis of `candidates`, flat positions in the signal; negative ones do not count.

    Exactly, by the tree of max(a, b) = a + relu(b - a): one layer for each halving.
    """
    order = np.argsort(candidates < 0, axis=0, kind="stable")
    candidates = np.take_along_axis(candidates, order, axis=0)
    if (candidates[0] < 0).any():
        raise DomainError("A window of a maximum lies in the padding. Use less padding.")
    present = candidates >= 0
    current = assembly.take(signal, candidates)
    while len(present) > 1:
        positions = current.positions()
        pairs = len(present) // 2
        first, second = positions[: 2 * pairs : 2], positions[1 : 2 * pairs : 2]
        both = present[1 : 2 * pairs : 2]
        minus = np.full(int(both.sum()), -1.0)
        difference = assembly.add(
            assembly.take(current, second[both]), assembly.scale(assembly.take(current, first[both]), minus)
        )
        gain = assembly.write(difference, "relu")
        index = np.full(both.shape, -1)
        index[both] = np.arange(len(minus))
        rest = positions[2 * pairs :]
        keep = np.concatenate([first, rest])
        index = np.concatenate([index, np.full(rest.shape, -1)])
        current = assembly.add(assembly.take(current, keep), assembly.take(gain, index))
        present = np.concatenate([present[: 2 * pairs : 2], present[2 * pairs :]])
    return current.reshaped(candidates.shape[1:])


def max_pool(assembly: Assembly, signal: Signal, windows: Windows) -> Signal:
    """Return (channels, rows, columns) of the maxima over the windows: along the rows first, then along the columns."""
    for axis in (1, 0):

        def along(pair: Pair, neutral: int, axis: int = axis) -> Pair:
            return (pair[0], neutral) if axis == 0 else (neutral, pair[1])

        channels, rows, columns = signal.shape[-3:]
        flat = Windows(
            (channels, rows, columns),
            along(windows.extent, 1),
            along(windows.stride, 1),
            along(windows.dilation, 1),
            along(windows.before, 0),
            along(windows.after, 0),
        )
        places = flat.places().reshape(*flat.counts, -1)
        candidates = np.moveaxis(places, -1, 0)[:, None]
        shift = np.arange(channels).reshape(1, -1, 1, 1) * rows * columns
        signal = maximum(assembly, signal, np.where(candidates < 0, -1, candidates + shift))
    return signal
