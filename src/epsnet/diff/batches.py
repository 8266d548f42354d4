"""The batches of an epoch, drawn and laid out by NumPy so that XLA reads them where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.diff import randomness
from epsnet.diff.problem import Pairs

_ALIGNMENT = 64  # bytes; XLA copies an array that starts elsewhere


def batches(train: Pairs, options: dict[str, Any], order_seed: int, start: int) -> Iterator[Pairs]:
    """Yield for each epoch its batches: inputs (steps, size, d) and labels (steps, size, ...) in a fresh order.

    The inputs are valid until the next but one is asked for: there are two buffers, one to fill and one to read.
    """
    inputs, labels = train
    size, steps = options["batch_size"], len(labels) // options["batch_size"]
    rows = inputs.reshape(len(inputs), -1)
    move = shifts(inputs, options["shift"]) if options["shift"] else None
    buffers = [_aligned((steps * size, rows.shape[1]), rows.dtype) for _ in range(2)]
    for epoch in range(start, options["epochs"]):
        indices, buffer = randomness.order(len(labels), order_seed, epoch)[: steps * size], buffers[epoch % 2]
        if move is None:
            np.take(rows, indices, axis=0, out=buffer, mode="clip")  # "raise" would go through a copy
        else:
            move(indices, randomness.offsets(len(indices), options["shift"], order_seed, epoch), buffer)
        yield buffer.reshape(steps, size, -1), labels[indices].reshape(steps, size, *labels.shape[1:])


def shifts(images: NDArray[np.uint8], radius: int) -> Callable[[NDArray[np.int64], NDArray[np.int64], Any], None]:
    """Return the function (indices, offsets, out) that writes the images with these indices, shifted, as rows of out.

    An image, continued by its border pixels, is seen through a window of its own size whose corner is the offset
    (i, j) in {0, ..., 2 radius}^2. For each j one copy of all images is kept that is cut to the columns of the window:
    there the window is one run of bytes, and NumPy copies it as such.
    """
    n, height, width = images.shape
    padded = np.pad(images, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    count = 2 * radius + 1
    strips = np.stack([padded[:, :, j : j + width] for j in range(count)])
    run = np.dtype((np.void, height * width))
    windows = np.ndarray((count, n, count), run, strips, strides=(strips.strides[0], strips.strides[1], width))

    def move(indices: NDArray[np.int64], offsets: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
        target = out.view(run)[:, 0]
        for start in range(0, len(indices), 256):  # what is copied twice stays in the cache
            part = slice(start, start + 256)
            target[part] = windows[offsets[1, part], indices[part], offsets[0, part]]

    return move


def _aligned(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
