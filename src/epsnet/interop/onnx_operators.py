"""What each ONNX operator does to signals: all exactly but `BatchNormalization` (`batch_norm`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.linear_maps import Dense, Exact, LinearMap
from epsnet.interop import exact_arrays as exact
from epsnet.interop import windows as win
from epsnet.interop.assembly import Signal, check_size, constant
from epsnet.interop.batch_norm import normalized
from epsnet.interop.exact_arrays import Values
from epsnet.interop.onnx_node import Node, real

_MAX_KRONECKER = 2**24
_FLOAT, _INT32, _INT64, _DOUBLE = 1, 6, 7, 11


def _spread(node: Node, signal: Signal, shape: tuple[int, ...]) -> Signal:
    check_size(shape)
    return node.assembly.take(real(signal), np.broadcast_to(signal.positions(), shape))


def _scaled(node: Node, signal: Signal, factor: float) -> Signal:
    return signal if factor == 1 else node.assembly.scale(real(signal), np.full(signal.size, float(factor)))


def _sum(node: Node) -> Signal:
    parts = [node.signal(number) for number in range(len(node.inputs))]
    shape = np.broadcast_shapes(*(part.shape for part in parts))
    total, *others = (_spread(node, part, shape) for part in parts)
    for part in others:
        total = node.assembly.add(total, _scaled(node, part, -1.0) if node.kind == "Sub" else part)
    return total


def _product(node: Node) -> Signal:
    a, b = node.signal(0), node.signal(1)
    if node.kind == "Mul" and not a.terms:
        a, b = b, a
    if b.terms:
        raise DomainError(f"{node.kind} with a tensor that depends on the input is not affine. Rewrite this part.")
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = _spread(node, a, shape), _spread(node, b, shape)
    if node.kind == "Div" and not b.bias.all():
        raise DomainError("It divides by zero. Correct the constant.")
    return node.assembly.scale(a, exact.reciprocal(b.bias) if node.kind == "Div" else b.bias)


def _kronecker(matrix: Values, before: int, after: int) -> LinearMap:
    """Return I_before (x) A (x) I_after."""
    shape = (before * matrix.shape[0] * after, before * matrix.shape[1] * after)
    if before == after == 1 and exact.is_float(matrix):
        return Dense(matrix)
    row, column = np.nonzero(matrix)
    if before * after * len(row) > _MAX_KRONECKER:
        raise DomainError(f"The product has more than {_MAX_KRONECKER:,} entries. Use smaller tensors.")
    b, a = np.arange(before)[:, None, None], np.arange(after)[None, None, :]
    rows = ((b * matrix.shape[0] + row[None, :, None]) * after + a).reshape(-1)
    columns = ((b * matrix.shape[1] + column[None, :, None]) * after + a).reshape(-1)
    values = np.broadcast_to(matrix[row, column][None, :, None], (before, len(row), after)).reshape(-1)
    if before == after == 1:
        return Exact(shape, dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), values.tolist(), strict=True)))
    return exact.matrix(shape, rows, columns, values)


def _matmul(node: Node) -> Signal:
    left, right = real(node.signal(0)), real(node.signal(1))
    if bool(left.terms) == bool(right.terms):
        raise DomainError(
            "MatMul needs one factor that is constant and one that is not. Fold constants, or rewrite it."
        )
    from_right = bool(left.terms)
    signal, weight = (left, right) if from_right else (right, left)
    shape = weight.shape
    if math.prod(shape[:-2]) != 1 or not signal.shape or not shape:
        raise DomainError("MatMul by a stack of matrices is not supported. Split it into single products.")
    if from_right:
        matrix = weight.bias.reshape(shape[-2:] if len(shape) > 1 else (-1, 1)).T
        batch, inner = signal.shape[:-1], signal.shape[-1]
        result = (*batch, *([matrix.shape[0]] if len(shape) > 1 else []))
        linear = _kronecker(matrix, math.prod(batch), 1) if matrix.shape[1] == inner else None
    else:
        matrix = weight.bias.reshape(shape[-2:] if len(shape) > 1 else (1, -1))
        tall = signal.shape if len(signal.shape) > 1 else (*signal.shape, 1)
        batch, inner, after = tall[:-2], tall[-2], tall[-1]
        rows = [matrix.shape[0]] if len(shape) > 1 else []
        result = (*batch, *rows, *([after] if len(signal.shape) > 1 else []))
        linear = _kronecker(matrix, math.prod(batch), after) if matrix.shape[1] == inner else None
    if linear is None:
        raise DomainError(f"It multiplies tensors of shapes {left.shape} and {right.shape}. Make the shapes fit.")
    return node.assembly.apply(linear, signal, result)


def _gemm(node: Node) -> Signal:
    signal, weight = real(node.signal(0)), node.values(1, "matrix B")
    real(node.signal(1))
    if not signal.terms or len(signal.shape) != 2 or weight.ndim != 2:
        raise DomainError("Gemm needs a matrix A that depends on the input and a constant matrix B. Rewrite it.")
    if node.number("transA", 0):
        signal = node.assembly.take(signal, signal.positions().T)
    matrix = weight if node.number("transB", 0) else weight.T
    rows, inner = signal.shape
    if matrix.shape[1] != inner:
        raise DomainError(f"It multiplies {inner} columns by a matrix of {matrix.shape[1]} rows. Make the shapes fit.")
    alpha, beta = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    linear = _kronecker(matrix if alpha == 1 else exact.multiply(matrix, np.array(alpha)), rows, 1)
    result = node.assembly.apply(linear, signal, (rows, matrix.shape[0]))
    addend = node.optional(2)
    if addend is None or beta == 0:
        return result
    return node.assembly.add(result, _scaled(node, _spread(node, addend, result.shape), beta))


def _activation(name: str) -> Callable[[Node], Signal]:
    return lambda node: node.assembly.write(real(node.signal(0)), name)


def _leaky(node: Node) -> Signal:
    if node.kind == "PRelu":
        slopes = np.unique(node.floats(1, "slope"))
        if len(slopes) != 1:
            raise DomainError("PRelu has several slopes. Split it into one LeakyRelu for each slope.")
        slope = float(slopes[0])
    else:
        slope = float(node.attributes.get("alpha", np.float32(0.01)))
    if not 0 <= slope < 1:
        raise DomainError(f"Its slope {slope!r} lies outside [0, 1). Use another slope.")
    return node.assembly.write(real(node.signal(0)), f"leaky_relu({slope!r})")


def _clip(node: Node) -> Signal:
    """Return min(max(x, low), high) by max(x, low) = low + relu(x - low) and min(y, high) = high - relu(high - y)."""

    def shifted(signal: Signal, value: float) -> Signal:
        return node.assembly.add(signal, constant(np.full(signal.shape, value)))

    signal = real(node.signal(0))
    low, high = _clip_bound(node, 1, "min"), _clip_bound(node, 2, "max")
    if low is not None:
        signal = shifted(node.assembly.write(shifted(signal, -low), "relu"), low)
    if high is not None:
        beyond = node.assembly.write(shifted(_scaled(node, signal, -1.0), high), "relu")
        signal = shifted(_scaled(node, beyond, -1.0), high)
    return signal


def _clip_bound(node: Node, number: int, name: str) -> float | None:
    """Return a bound of Clip; None if there is none, which files also say by the largest float32."""
    if node.optional(number) is None and name not in node.attributes:
        return None
    given = node.floats(number, name).item() if node.optional(number) is not None else float(node.attributes[name])
    return None if abs(given) >= np.finfo(np.float32).max else given


def _gelu(node: Node) -> Signal:
    if node.attributes.get("approximate", b"none") != b"none":
        raise DomainError("Only the Gelu with approximate='none' is supported. Export that one.")
    return node.assembly.write(real(node.signal(0)), "gelu")


def _identity(node: Node) -> Signal:
    signal = node.signal(0)
    if node.kind == "Dropout" and node.optional(2) is not None and node.values(2, "training mode").any():
        raise DomainError("Dropout is in training mode. Export the model for inference.")
    return node.assembly.write(signal) if node.boundary and signal.terms else signal


def _moved(node: Node, index: NDArray[np.int64]) -> Signal:
    check_size(index.shape)
    return node.assembly.take(node.signal(0), index)


def _flatten(node: Node) -> Signal:
    shape = node.signal(0).shape
    axis = node.number("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return node.signal(0).reshaped((math.prod(shape[:axis]), math.prod(shape[axis:])))


def _reshape(node: Node) -> Signal:
    signal = node.signal(0)
    wanted = [int(size) for size in node.values(1, "shape").reshape(-1).tolist()]
    if not node.number("allowzero", 0):
        wanted = [signal.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return signal.reshaped(signal.positions().reshape(wanted).shape)


def _squeeze(node: Node) -> Signal:
    positions = node.signal(0).positions()
    axes = node.integers(1, "axes")
    return node.signal(0).reshaped(positions.squeeze(None if axes is None else tuple(axes)).shape)


def _unsqueeze(node: Node) -> Signal:
    axes = tuple(node.integers(1, "axes") or ())
    return node.signal(0).reshaped(np.expand_dims(node.signal(0).positions(), axes).shape)


def _transpose(node: Node) -> Signal:
    return _moved(node, node.signal(0).positions().transpose(node.attributes.get("perm")))


def _gather(node: Node) -> Signal:
    index = node.values(1, "index")
    if index.dtype.kind != "i":
        raise DomainError("Its index is no integer. Export the model again.")
    positions = node.signal(0).positions()
    axis = node.number("axis", 0)
    check_size((*index.shape, positions.size // max(positions.shape[axis], 1)))
    return _moved(node, np.take(positions, index, axis=axis))


def _slice(node: Node) -> Signal:
    positions = node.signal(0).positions()
    starts, ends = node.integers(1, "starts") or [], node.integers(2, "ends") or []
    axes, steps = node.integers(3, "axes") or list(range(len(starts))), node.integers(4, "steps") or [1] * len(starts)
    cut = [slice(None)] * positions.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = positions.shape[axis]
        last = end if step > 0 or end >= -size else None
        cut[axis] = slice(start, last, step)
    return _moved(node, positions[tuple(cut)])


def _split(node: Node) -> tuple[Signal, ...]:
    positions = node.signal(0).positions()
    axis = node.number("axis", 0)
    length = positions.shape[axis]
    sizes = node.integers(1, "split")
    if sizes is None:
        count = node.number("num_outputs", node.outputs)
        size = -(-length // max(count, 1))
        sizes = [min(size, length - start) for start in range(0, length, size)]
    if len(sizes) != node.outputs or min(sizes) < 1 or sum(sizes) != length:
        raise DomainError(f"It splits {length} rows into parts of {sizes[:10]}. Make the parts fit.")
    return tuple(_moved(node, part) for part in np.split(positions, np.cumsum(sizes)[:-1], axis))


def _concat(node: Node) -> Signal:
    parts = [node.signal(number) for number in range(len(node.inputs))]
    axis = node.number("axis", 0)
    if not any(part.terms for part in parts):
        return constant(np.concatenate([part.bias.reshape(part.shape) for part in parts], axis=axis))
    places = [np.full(part.shape, -1) for part in parts]
    total = None
    for number, part in enumerate(parts):
        own = [part.positions() if k == number else empty for k, empty in enumerate(places)]
        index = np.concatenate(own, axis=axis)
        check_size(index.shape)
        moved = node.assembly.take(real(part), index)
        total = moved if total is None else node.assembly.add(total, moved)
    if total is None:
        raise DomainError("It concatenates nothing. Remove it.")
    return total


def _pad(node: Node) -> Signal:
    if node.attributes.get("mode", b"constant") != b"constant":
        raise DomainError("Only constant padding is supported. Use mode='constant'.")
    signal = real(node.signal(0))
    value = float(node.attributes.get("value", 0.0)) if node.opset < 11 else 0.0
    if node.optional(2) is not None:
        value = float(node.values(2, "value").reshape(-1)[0])
    pads = node.integers(1, "pads") or []
    axes = node.integers(3, "axes")
    axes = list(range(len(signal.shape))) if axes is None else [axis % len(signal.shape) for axis in axes]
    if value != 0 or len(pads) != 2 * len(axes) or min(pads, default=0) < 0:
        raise DomainError("Only padding by zeros, with pads from 0, is supported. Use the value 0.")
    around = [(0, 0)] * len(signal.shape)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        around[axis] = (before, after)
    check_size(tuple(size + sum(pair) for size, pair in zip(signal.shape, around, strict=True)))
    return _moved(node, np.pad(signal.positions(), around, constant_values=-1))


def _windows(node: Node, extent: list[int] | None) -> win.Windows:
    """Return the windows of a convolution or a pool over one or two spatial dimensions."""
    shape = node.signal(0).shape
    space = len(shape) - 2
    if space not in (1, 2) or shape[0] != 1:
        raise DomainError(f"Its input has the shape {shape}. Only (1, channels, rows) and one more are supported.")
    extent = extent if extent is not None else [int(size) for size in node.attributes.get("kernel_shape", ())]
    strides, dilations = (list(map(int, node.attributes.get(name) or [1] * space)) for name in ("strides", "dilations"))
    pads = list(map(int, node.attributes.get("pads") or [0] * 2 * space))
    lengths = (len(extent), len(strides), len(dilations), len(pads) // 2)
    if lengths != (space,) * 4 or len(pads) % 2:
        raise DomainError("Its kernel_shape, strides, dilations and pads do not fit its input. Make them fit.")
    mode = node.attributes.get("auto_pad", b"NOTSET")
    if mode in (b"SAME_UPPER", b"SAME_LOWER"):
        for axis, size in enumerate(shape[2:]):
            reach = (extent[axis] - 1) * dilations[axis] + 1
            total = max((math.ceil(size / strides[axis]) - 1) * strides[axis] + reach - size, 0)
            small, large = total // 2, total - total // 2
            pads[axis], pads[axis + space] = (small, large) if mode == b"SAME_UPPER" else (large, small)
    elif mode == b"VALID":
        pads = [0] * 2 * space
    rows = [1] * (2 - space)

    def pair(values: list[int], neutral: int) -> win.Pair:
        full = [neutral] * len(rows) + values
        return full[0], full[1]

    result = win.Windows(
        (shape[1], *pair(list(shape[2:]), 1)), pair(extent, 1), pair(strides, 1 if space == 2 else strides[0]),
        pair(dilations, 1), pair(pads[:space], 0), pair(pads[space:], 0),
    )  # fmt: skip
    if node.number("ceil_mode", 0):
        for size, reach, step, first, last in zip(shape[2:], extent, strides, pads, pads[space:], strict=False):
            if (size + first + last - reach) % step:
                raise DomainError("ceil_mode makes a window that leaves the padded image. Use ceil_mode=0.")
    return result


def _output_shape(node: Node, channels: int, windows: win.Windows) -> tuple[int, ...]:
    return (1, channels, *windows.counts[4 - len(node.signal(0).shape) :])


def _conv(node: Node) -> Signal:
    kernel = node.values(1, "kernel")
    real(node.signal(1))
    if kernel.ndim == 3:
        kernel = kernel[:, :, None, :]
    windows = _windows(node, list(kernel.shape[6 - len(node.signal(0).shape) :]))
    linear = win.convolution(windows, kernel, node.number("group", 1))
    shape = _output_shape(node, kernel.shape[0], windows)
    result = node.assembly.apply(linear, real(node.signal(0)), shape)
    if node.optional(2) is None:
        return result
    bias = node.signal(2)
    return node.assembly.add(result, _spread(node, bias.reshaped((1, bias.size) + (1,) * (len(shape) - 2)), shape))


def _average(node: Node) -> Signal:
    signal = real(node.signal(0))
    windows = _windows(node, list(signal.shape[2:]) if node.kind == "GlobalAveragePool" else None)
    linear = win.average(windows, bool(node.number("count_include_pad", 0)))
    return node.assembly.apply(linear, signal, _output_shape(node, signal.shape[1], windows))


def _max_pool(node: Node) -> Signal:
    signal = real(node.signal(0))
    windows = _windows(node, list(signal.shape[2:]) if node.kind == "GlobalMaxPool" else None)
    pooled = win.max_pool(node.assembly, signal, windows)
    return pooled.reshaped(_output_shape(node, signal.shape[1], windows))


def _batch_normalization(node: Node) -> Signal:
    trains = node.number("training_mode", 0) or (node.opset < 14 and node.outputs > 1)
    if trains or not node.number("spatial", 1):
        raise DomainError("BatchNormalization is in training mode or not spatial. Export the model for inference.")
    scale, shift, mean, variance = (node.floats(number, "statistics").reshape(-1) for number in (1, 2, 3, 4))
    epsilon = float(node.attributes.get("epsilon", np.float32(1e-5)))
    return normalized(
        node.assembly, real(node.signal(0)), scale, shift, mean, variance, epsilon=epsilon, single=node.single
    )


def _constant(node: Node) -> Signal:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = np.asarray(node.attributes[name])
            return constant(value.astype(np.float64) if value.dtype.kind == "f" else value)
    raise DomainError("Its value is not a tensor of numbers. Use numbers.")


def _cast(node: Node) -> Signal:
    """Return the same numbers, as no float arithmetic rounds here; a constant is rounded as the file says."""
    signal, kind = node.signal(0), node.number("to", 0)
    if kind in (_FLOAT, _DOUBLE) and (signal.terms or not exact.is_float(signal.bias)):
        return real(signal)
    if kind in (_FLOAT, _DOUBLE):
        single = signal.bias.astype(np.float32 if kind == _FLOAT else np.float64)
        return constant(single.astype(np.float64).reshape(signal.shape))
    if kind in (_INT32, _INT64) and signal.bias.dtype.kind == "i":
        return signal
    raise DomainError("It casts to another type than float32 and float64. Fold constants before exporting the model.")


def _shape(node: Node) -> Signal:
    return constant(np.array(node.signal(0).shape, dtype=np.int64))


OPERATORS: dict[str, Callable[[Node], Signal | tuple[Signal, ...]]] = {
    "Abs": _activation("abs"), "Add": _sum, "AveragePool": _average, "BatchNormalization": _batch_normalization,
    "Cast": _cast, "Clip": _clip, "Concat": _concat, "Constant": _constant, "Conv": _conv, "Div": _product,
    "Dropout": _identity, "Erf": _activation("erf"), "Flatten": _flatten, "Gather": _gather, "Gelu": _gelu,
    "Gemm": _gemm, "GlobalAveragePool": _average, "GlobalMaxPool": _max_pool, "Identity": _identity,
    "LeakyRelu": _leaky, "MatMul": _matmul, "MaxPool": _max_pool, "Mul": _product,
    "Neg": lambda node: _scaled(node, node.signal(0), -1.0),
    "PRelu": _leaky, "Pad": _pad, "Relu": _activation("relu"), "Reshape": _reshape, "Shape": _shape,
    "Sigmoid": _activation("sigmoid"), "Sin": _activation("sin"), "Slice": _slice,
    "Softplus": _activation("softplus"), "Split": _split, "Squeeze": _squeeze, "Sub": _sum, "Sum": _sum,
    "Tanh": _activation("tanh"), "Transpose": _transpose, "Unsqueeze": _unsqueeze,
}  # fmt: skip
"""The supported operators."""
