r"""Import of ONNX files: the network that the graph is, exactly.

Every weight is the rational number that its float is, and every operator but one is carried out exactly; the file's own
evaluation in float32 or float64 is a rounded version of that function. What is not exact is said here:

* `BatchNormalization` needs 1 / sqrt(var + epsilon), which is rounded (`batch_norm`).
* x (1 + erf(x / sqrt 2)) / 2 is read as GELU and x sigmoid(x) as SiLU; in the file, sqrt 2 is a rounded constant.

How operators become layers: `assembly`. The first dimension of the input is 1 or dynamic and then taken as 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from epsnet.certify.errors import DomainError, EpsnetError, MissingExtraError
from epsnet.core.network import Network
from epsnet.interop.assembly import Assembly, Signal, check_size, constant
from epsnet.interop.files import content
from epsnet.interop.onnx_node import Node
from epsnet.interop.onnx_operators import OPERATORS

MAX_NODES = 100_000
MIN_OPSET = 7
"""Before opset 7, Add and Mul had other rules of broadcasting."""

PRODUCER = "epsnet"
"""The producer in files of `save_onnx`: there an Identity node ends a layer."""

_SINGLE, _DOUBLE = 1, 11
_TENSOR_TYPES = {_SINGLE, _DOUBLE, 6, 7, 9, 10}  # and int32, int64, bool, float16
_MALFORMED = (
    EpsnetError, ArithmeticError, AttributeError, LookupError, MemoryError, NotImplementedError, OSError,
    RecursionError, TypeError, ValueError,
)  # fmt: skip


def load_onnx(path: str | Path) -> Network:
    """Read an ONNX file as a network R^d -> R^m: tensors are flattened, the batch dimension is dropped.

    Operators: Abs, Add, AveragePool, BatchNormalization, Cast, Clip, Concat, Constant, Conv (1-D, 2-D), Div, Dropout
    (inference), Erf, Flatten, Gather, Gelu, Gemm, GlobalAveragePool, GlobalMaxPool, Identity, LeakyRelu, MatMul,
    MaxPool, Mul, Neg, PRelu (one slope), Pad (zeros), Relu, Reshape, Shape, Sigmoid, Sin, Slice, Softplus, Split,
    Squeeze, Sub, Sum, Tanh, Transpose, Unsqueeze; sums and Concat of any branches, products with constants only. The
    maximum of MaxPool is the ReLU network of max(a, b) = a + relu(b - a), and Clip is two ReLUs. A Cast from float to
    float does nothing, since nothing is rounded here.

    Args:
        path: the file; weights stored outside of it are not read.

    Returns:
        The network, in exact meaning; see the module for the two roundings.

    Raises:
        DomainError: there is no such file, it is malformed or too large, or it holds what no network of this library
            is: the message names the node and says what to do.
        MissingExtraError: onnx is not installed.
    """
    path = Path(path)
    try:
        import google.protobuf.message
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "Reading ONNX files") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content(path, "an ONNX file"))
        _refuse_elsewhere(model)
        onnx.checker.check_model(model)
        with np.errstate(all="ignore"):
            return _network(model)
    except (*_MALFORMED, google.protobuf.message.Error, onnx.checker.ValidationError) as error:
        reason = str(error).strip() or type(error).__name__
        if isinstance(error, DomainError):
            raise DomainError(f"{path}: {reason}") from None
        first = reason.splitlines()[0][:300].rstrip(".")
        raise DomainError(f"{path} is not a valid ONNX file: {first}. Export the model again.") from None


def _refuse_elsewhere(model: Any) -> None:
    """Refuse what this reader does not follow: weights in other files, functions, sparse tensors."""
    graph = model.graph
    tensors = [*graph.initializer, *(attribute.t for node in graph.node for attribute in node.attribute)]
    if any(tensor.data_location or tensor.external_data for tensor in tensors):
        raise DomainError("Weights lie in another file. Save the model with its weights inside.")
    if len(graph.node) > MAX_NODES:
        raise DomainError(f"The graph has more than {MAX_NODES:,} nodes. Use a smaller network.")
    if model.functions or graph.sparse_initializer:
        raise DomainError("The model has functions or sparse tensors. Inline them and store tensors in full.")


def _opset(model: Any) -> int:
    import onnx

    versions = {entry.domain: entry.version for entry in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 0))
    if not MIN_OPSET <= version <= onnx.defs.onnx_opset_version():
        raise DomainError(
            f"The operator set {version} is not supported. Convert the model to one from {MIN_OPSET} to "
            f"{onnx.defs.onnx_opset_version()}, e.g. with onnx.version_converter."
        )
    return version


def _array(tensor: Any) -> np.ndarray:
    import onnx

    if tensor.data_type not in _TENSOR_TYPES:
        raise DomainError(f"The tensor {tensor.name!r} holds no numbers of a supported type. Use float32 or float64.")
    if tensor.dims and 0 not in tensor.dims:
        check_size(tuple(tensor.dims))
    array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.kind != "f":
        return array
    if not np.isfinite(array).all():
        raise DomainError(f"The tensor {tensor.name!r} holds NaN or infinity. Use finite weights.")
    return array.astype(np.float64)


def _input(graph: Any) -> tuple[str, tuple[int, ...], bool]:
    """Return name and shape of the one input, and whether it is not float64."""
    stored = {tensor.name for tensor in graph.initializer}
    free = [value for value in graph.input if value.name not in stored]
    if len(free) != 1 or len(graph.output) != 1:
        raise DomainError(
            f"The graph has {len(free)} inputs and {len(graph.output)} outputs. Export a graph with one of each."
        )
    kind = free[0].type.tensor_type
    if kind.elem_type not in {_SINGLE, _DOUBLE}:
        raise DomainError(f"The input {free[0].name!r} is no float tensor. Export it as float32 or float64.")
    shape = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
    if len(shape) > 1 and shape[0] < 1:
        shape[0] = 1
    if min(shape, default=1) < 1:
        raise DomainError(
            f"The input {free[0].name!r} has a dynamic dimension besides the batch. Export it with fixed sizes."
        )
    return free[0].name, tuple(shape), kind.elem_type == _SINGLE


def _network(model: Any) -> Network:
    graph = model.graph
    opset = _opset(model)
    name, shape, single = _input(graph)
    assembly = Assembly(shape)
    known = {tensor.name: constant(_array(tensor)) for tensor in graph.initializer}
    known[name] = assembly.input
    made: dict[str, Any] = {}
    for node in graph.node:
        label = f"The node {node.name or (node.output[0] if node.output else '')!r} ({node.op_type})"
        try:
            result = _evaluate(node, assembly, known, made, opset, single, model.producer_name == PRODUCER)
        except DomainError as error:
            reason = str(error)
            raise DomainError(f"{label}: {reason}") from None
        except _MALFORMED as error:
            reason = str(error).strip().splitlines()[0][:300].rstrip(".") if str(error).strip() else "it is malformed"
            raise DomainError(f"{label} does not fit its inputs: {reason}. Export the model again.") from None
        known.update(zip(node.output, result if isinstance(result, tuple) else (result,), strict=False))
        made.update({output: node for output in node.output})
    output = graph.output[0].name
    if output not in known or not known[output].terms:
        raise DomainError(f"The output {output!r} does not depend on the input. Export the model again.")
    return assembly.network(known[output])


def _evaluate(
    node: Any, assembly: Assembly, known: dict[str, Signal], made: dict[str, Any], opset: int, single: bool, own: bool
) -> Signal | tuple[Signal, ...]:
    import onnx

    if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
        raise DomainError(
            "The operator is not supported. Export the part of the model before it, or rewrite it with the operators "
            "in the documentation of load_onnx."
        )
    missing = [name for name in node.input if name and name not in known]
    if missing:
        raise DomainError(f"Its input {missing[0]!r} is not computed before it. Export the model again.")
    attributes = {}
    for attribute in node.attribute:
        tensor = attribute.type == onnx.AttributeProto.TENSOR
        value = _array(attribute.t) if tensor else onnx.helper.get_attribute_value(attribute)
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise DomainError(f"Its attribute {attribute.name!r} is not finite. Use a finite number.")
        attributes[attribute.name] = value
    inputs = tuple(known[name] if name else None for name in node.input)
    if node.op_type == "Mul" and all(each is not None and each.terms for each in inputs):
        gated = _gated(node, assembly, known, made)
        if gated is not None:
            return gated
    return OPERATORS[node.op_type](
        Node(assembly, node.op_type, inputs, attributes, sum(map(bool, node.output)), opset, single, own)
    )


def _gated(node: Any, assembly: Assembly, known: dict[str, Signal], made: dict[str, Any]) -> Signal | None:
    """Return x sigmoid(x) as SiLU and x (1 + erf(x / sqrt 2)) as twice GELU, None for any other product."""
    for name, factor in (tuple(node.input), tuple(node.input)[::-1]):
        gate = made.get(factor)
        if gate is None or known[name].shape != known[factor].shape:
            continue
        if gate.op_type == "Sigmoid" and gate.input[0] == name:
            return assembly.write(known[name], "silu")
        if gate.op_type == "Add" and _is_erf_gate(gate, name, known, made):
            written = assembly.write(known[name], "gelu")
            return assembly.scale(written, np.full(written.size, 2.0))
    return None


def _is_erf_gate(gate: Any, name: str, known: dict[str, Signal], made: dict[str, Any]) -> bool:
    """Tell whether a sum is 1 + erf(x / sqrt 2), its constants as accurate as float32 has them."""
    for error, one in (tuple(gate.input), tuple(gate.input)[::-1]):
        inner = made.get(made[error].input[0]) if error in made and made[error].op_type == "Erf" else None
        if inner is None or inner.op_type not in ("Mul", "Div") or name not in inner.input or known[one].terms:
            continue
        factor = known[inner.input[1] if inner.input[0] == name else inner.input[0]]
        root = math.sqrt(2) if inner.op_type == "Div" else math.sqrt(0.5)
        if not factor.terms and bool((known[one].bias == 1).all()):
            return bool((abs(factor.bias.astype(np.float64) / root - 1) < 2.0**-22).all())
    return False
