"""The linear parts of layers: dense, sparse (CSR), convolution, and exact rational matrices."""

from __future__ import annotations

import functools
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.hashing import sha256_arrays

Number = float | Fraction

MAX_NEURONS = 10_000_000
"""The largest layer or input that is accepted."""

MAX_ENTRIES = 50_000_000
"""The largest convolution that is written as a matrix."""


def frozen_floats(values: Any, what: str) -> NDArray[np.float64]:
    """Return a read-only float64 copy. DomainError if a value is not a finite number."""
    try:
        if np.iscomplexobj(values):
            raise TypeError
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DomainError(f"The {what} are not an array of numbers. Give a rectangular array of floats.") from None
    if not np.isfinite(array).all():
        raise DomainError(f"The {what} contain NaN or infinity. Give finite numbers.")
    array.flags.writeable = False
    return array


class LinearMap(ABC):
    """A linear map R^n -> R^m. Subclasses store it in their own way and give its nonzero entries."""

    shape: tuple[int, int]
    """(m, n): outputs, inputs."""

    @abstractmethod
    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Number]]:
        """Return rows, columns and values of the nonzero matrix entries, in row-major order."""

    @abstractmethod
    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return A x for each row x of an array of shape (batch, n), in float64."""

    @abstractmethod
    def transpose_apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return A^T x for each row x of an array of shape (batch, m), in float64."""

    @abstractmethod
    def absolute(self) -> LinearMap:
        """Return the map whose entries are the absolute values of these; what error bounds are made of."""

    @property
    def stored_weights(self) -> int:
        """The number of stored nonzero coefficients: what M counts."""
        return len(self.entries()[2])

    @property
    def connections(self) -> int:
        """The number of nonzero entries of the matrix."""
        return self.stored_weights

    @property
    def magnitude(self) -> Fraction:
        """The largest absolute value of a coefficient, exactly."""
        return max((abs(Fraction(value)) for value in self.entries()[2]), default=Fraction(0))

    def canonical(self) -> Any:
        """Return what the hash of the network covers: equal maps, equal values, whatever the storage."""
        rows, columns, values = self.entries()
        if all(isinstance(value, float) or is_float64(Fraction(value)) for value in values):
            floats = np.array([float(value) for value in values], dtype=np.float64)
            return ["matrix", *self.shape, sha256_arrays({"rows": rows, "columns": columns, "values": floats})]
        texts = [str(Fraction(value)) for value in values]
        return ["matrix", *self.shape, sha256_arrays({"rows": rows, "columns": columns}), texts]

    @functools.cached_property
    def rows(self) -> list[list[tuple[int, Number]]]:
        """The matrix row by row as (column, value), for arithmetic in rationals and balls."""
        result: list[list[tuple[int, Number]]] = [[] for _ in range(self.shape[0])]
        for i, j, value in zip(*self.entries(), strict=True):
            result[i].append((int(j), value))
        return result


def is_float64(value: Fraction) -> bool:
    """Tell whether a rational is a float64 number."""
    try:
        return Fraction(float(value)) == value
    except OverflowError:
        return False


class Dense(LinearMap):
    """A matrix of float64 entries, stored in full."""

    def __init__(self, weight: Any) -> None:
        self.weight = frozen_floats(weight, "weights of a layer")
        if self.weight.ndim != 2 or 0 in self.weight.shape:
            raise DomainError(
                f"A weight matrix has the shape {self.weight.shape}. "
                f"Give a matrix of shape (outputs, inputs), neither of them 0."
            )
        self.shape = self.weight.shape

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Number]]:
        rows, columns = np.nonzero(self.weight)
        return rows, columns, self.weight[rows, columns].tolist()

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x @ self.weight.T

    def transpose_apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x @ self.weight

    def absolute(self) -> LinearMap:
        return Dense(np.abs(self.weight))

    @property
    def stored_weights(self) -> int:
        return int(np.count_nonzero(self.weight))

    @property
    def magnitude(self) -> Fraction:
        return Fraction(float(np.abs(self.weight).max()))


class Sparse(LinearMap):
    """A matrix of float64 entries of which only the nonzero ones are stored, as (rows, columns, values)."""

    def __init__(self, shape: tuple[int, int], rows: Any, columns: Any, values: Any) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        i, j = np.asarray(rows).astype(np.int64), np.asarray(columns).astype(np.int64)
        if np.any(i != rows) or np.any(j != columns):
            raise DomainError("The rows and columns of a sparse matrix are not integers. Use indices from 0.")
        v = frozen_floats(values, "weights of a layer")
        if not (i.ndim == j.ndim == v.ndim == 1 and len(i) == len(j) == len(v)):
            raise DomainError("A sparse matrix needs rows, columns and values of one length. Give three equal vectors.")
        if len(i) and (i.min() < 0 or j.min() < 0 or i.max() >= self.shape[0] or j.max() >= self.shape[1]):
            raise DomainError(f"A sparse entry lies outside the shape {self.shape}. Use indices from 0.")
        order = np.lexsort((j, i))
        order = order[v[order] != 0.0]
        self._rows, self._columns, self._values = i[order], j[order], v[order]
        for array in (self._rows, self._columns, self._values):
            array.flags.writeable = False
        if len(order) > 1 and bool(((np.diff(self._rows) == 0) & (np.diff(self._columns) == 0)).any()):
            raise DomainError("A sparse matrix has two values at one place. Add them up first.")

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Number]]:
        return self._rows, self._columns, self._values.tolist()

    @functools.cached_property
    def _csr(self) -> Any:
        from scipy.sparse import csr_array

        return csr_array((self._values, (self._rows, self._columns)), shape=self.shape)

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ascontiguousarray((self._csr @ x.T).T)

    def transpose_apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ascontiguousarray((self._csr.T @ x.T).T)

    def absolute(self) -> LinearMap:
        return Sparse(self.shape, self._rows, self._columns, np.abs(self._values))


class Exact(LinearMap):
    """A matrix of rational entries, for constructions whose weights are not float64 numbers."""

    def __init__(self, shape: tuple[int, int], entries: Mapping[tuple[int, int], Fraction | int]) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        try:
            entries = {(operator.index(i), operator.index(j)): value for (i, j), value in entries.items()}
        except (TypeError, ValueError):
            raise DomainError("An entry has a place that is not a pair of integers. Use indices from 0.") from None
        self._entries = {place: Fraction(entries[place]) for place in sorted(entries) if entries[place] != 0}
        if any(not (0 <= i < shape[0] and 0 <= j < shape[1]) for i, j in self._entries):
            raise DomainError(f"An entry lies outside the shape {shape}. Use indices from 0.")

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Number]]:
        places = np.array(list(self._entries), dtype=np.int64).reshape(-1, 2)
        return places[:, 0], places[:, 1], list(self._entries.values())

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._rounded.apply(x)

    def transpose_apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._rounded.transpose_apply(x)

    def absolute(self) -> LinearMap:
        return Exact(self.shape, {place: abs(value) for place, value in self._entries.items()})

    @functools.cached_property
    def _rounded(self) -> Sparse:
        """The matrix with its entries rounded to float64: what is evaluated."""
        rows, columns, values = self.entries()
        try:
            return Sparse(self.shape, rows, columns, [float(value) for value in values])
        except OverflowError:
            raise PrecisionError("A rational weight lies beyond float64. Evaluate with realize_exact.") from None


@dataclass(frozen=True, eq=False)
class Convolution(LinearMap):
    """A two-dimensional convolution (cross-correlation), kept as its kernel; M counts each kernel entry once.

    Attributes:
        kernel: float64 (out_channels, in_channels, height, width).
        input_shape: (in_channels, rows, columns); inputs and outputs are flattened in this order.
        stride: step in both directions.
        padding: zeros added on each side.
    """

    kernel: NDArray[np.float64]
    input_shape: tuple[int, int, int]
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", frozen_floats(self.kernel, "weights of a convolution"))
        sizes = (*self.kernel.shape, *self.input_shape, self.stride)
        fits = self.kernel.ndim == 4 and len(self.input_shape) == 3 and self.kernel.shape[1] == self.input_shape[0]
        if not fits or min(sizes) < 1 or self.padding < 0:
            raise DomainError(
                f"A kernel of shape {self.kernel.shape} does not fit the input {self.input_shape} (stride "
                f"{self.stride}, "
                f"padding {self.padding}). Give a kernel (out channels, in channels, height, width)."
            )
        if min(self.output_shape) < 1:
            raise DomainError("The kernel is larger than the padded image. Use a smaller kernel or more padding.")
        channels, height, width = self.input_shape
        padded = channels * (height + 2 * self.padding) * (width + 2 * self.padding)
        if max(*self.shape, padded) > MAX_NEURONS:
            raise DomainError(f"The convolution has more than {MAX_NEURONS:,} inputs or outputs. Use smaller images.")

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(out_channels, rows, columns)."""
        _, height, width = self.input_shape
        along = [
            (n + 2 * self.padding - k) // self.stride + 1
            for n, k in zip((height, width), self.kernel.shape[2:], strict=True)
        ]
        return self.kernel.shape[0], along[0], along[1]

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        return math.prod(self.output_shape), math.prod(self.input_shape)

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Number]]:
        if math.prod(self.output_shape) * self.kernel[0].size > MAX_ENTRIES:
            raise DomainError(f"The convolution as a matrix has more than {MAX_ENTRIES:,} entries. Use smaller images.")
        out_channels, out_height, out_width = self.output_shape
        in_channels, height, width = self.input_shape
        o, y, x, c, i, j = np.meshgrid(
            *map(np.arange, (out_channels, out_height, out_width, in_channels, *self.kernel.shape[2:])), indexing="ij"
        )
        row, column = y * self.stride + i - self.padding, x * self.stride + j - self.padding
        values = self.kernel[o, c, i, j]
        keep = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (values != 0)
        rows = ((o * out_height + y) * out_width + x)[keep]
        columns = ((c * height + row) * width + column)[keep]
        order = np.lexsort((columns, rows))
        return rows[order], columns[order], values[keep][order].tolist()

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        images = x.reshape(-1, *self.input_shape)
        pad = self.padding
        padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.kernel.shape[2:], axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride]
        return np.einsum("bcyxij,ocij->boyx", windows, self.kernel, optimize=True).reshape(len(images), -1)

    def transpose_apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        images = x.reshape(-1, *self.output_shape)
        (channels, height, width), pad, step = self.input_shape, self.padding, self.stride
        result = np.zeros((len(images), channels, height + 2 * pad, width + 2 * pad))
        rows, columns = (step * (n - 1) + 1 for n in self.output_shape[1:])
        for i, j in np.ndindex(*self.kernel.shape[2:]):
            part = np.einsum("boyx,oc->bcyx", images, self.kernel[:, :, i, j], optimize=True)
            result[:, :, i : i + rows : step, j : j + columns : step] += part
        return result[:, :, pad : pad + height, pad : pad + width].reshape(len(images), -1)

    def absolute(self) -> LinearMap:
        return Convolution(np.abs(self.kernel), self.input_shape, self.stride, self.padding)

    @property
    def stored_weights(self) -> int:
        return int(np.count_nonzero(self.kernel))

    @property
    def connections(self) -> int:
        """The number of nonzero entries of the matrix: every kernel entry once for each output that it reaches."""

        def reached(outputs: int, inputs: int, extent: int) -> NDArray[np.int64]:
            first = np.arange(outputs) * self.stride - self.padding
            places = first[:, None] + np.arange(extent)
            return ((places >= 0) & (places < inputs)).sum(axis=0)

        rows = reached(self.output_shape[1], self.input_shape[1], self.kernel.shape[2])
        columns = reached(self.output_shape[2], self.input_shape[2], self.kernel.shape[3])
        return int(((self.kernel != 0).sum(axis=(0, 1)) * np.outer(rows, columns)).sum())

    @property
    def magnitude(self) -> Fraction:
        return Fraction(float(np.abs(self.kernel).max()))

    def canonical(self) -> Any:
        geometry = [*self.input_shape, self.stride, self.padding]
        return ["convolution", geometry, sha256_arrays({"kernel": self.kernel + 0.0})]
