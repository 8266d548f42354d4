"""ONNX files: import against onnxruntime, export against the reference evaluator, hostile bytes against a clock."""

import itertools
import math
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from epsnet import Box, CheckError, DomainError, MissingExtraError, Network, Target, check, learn, realize
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer
from epsnet.core.realize import realize_exact
from epsnet.core.rounding_error import float64_error
from epsnet.interop import files, load_onnx, save_onnx
from epsnet.interop import onnx_import as limits

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto
RNG = np.random.default_rng(7)


def weights(*shape, scale=1.0):
    return (scale * RNG.standard_normal(shape)).astype(np.float32)


def model(nodes, shape, tensors=None, *, opset=17, kind=TensorProto.FLOAT, output="y"):
    """Return a model with the nodes (operator, inputs, output, attributes) from "x" to "y"."""
    nodes = [
        helper.make_node(op, list(ins), [out] if isinstance(out, str) else out, **(rest[0] if rest else {}))
        for op, ins, out, *rest in nodes
    ]
    stored = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (tensors or {}).items()]
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    outputs = [helper.make_tensor_value_info(output, kind, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    found = onnx.shape_inference.infer_shapes(made).graph.output[0].type.tensor_type.shape
    made.graph.output[0].type.tensor_type.shape.CopyFrom(found)
    return made


def save(made, path):
    path.write_bytes(made.SerializeToString())
    return path


def layers(*sizes, dtype=np.float64):
    return [(weights(m, n).astype(dtype), weights(m).astype(dtype)) for n, m in itertools.pairwise(sizes)]


# --- export -------------------------------------------------------------------------------------------------------


def plain(activation="relu", output="identity"):
    pairs = [(a / 7, b / 3) for a, b in layers(3, 6, 5, 2)]
    return Network.from_layers(pairs, activation, output)


def sparse():
    first = Sparse((40, 30), np.arange(40), np.arange(40) % 30, RNG.standard_normal(40))
    return Network.from_layers([(first, RNG.standard_normal(40)), (RNG.standard_normal((2, 40)), [0.0, 1.0])])


def convolutional(bias="channel"):
    conv = Convolution(RNG.standard_normal((3, 2, 3, 3)), (2, 6, 5), 2, 1)
    values = RNG.standard_normal(3 if bias == "channel" else conv.shape[0])
    return Network.from_layers([(conv, values), (RNG.standard_normal((2, conv.shape[0])), [0.5, 0.0])], "tanh")


def skip(activation="relu"):
    eye = Dense(np.eye(3))
    return Network(
        3,
        (
            Layer(((0, Dense(RNG.standard_normal((3, 3)))),), RNG.standard_normal(3), (activation,)),
            Layer(((1, Dense(RNG.standard_normal((3, 3)))), (0, eye)), RNG.standard_normal(3), (activation,)),
            Layer(((2, eye), (1, Sparse((3, 3), [0, 1, 2], [2, 0, 1], [1.0] * 3))), np.zeros(3), (activation,)),
            Layer(((3, Dense(RNG.standard_normal((1, 3)))), (0, Dense(RNG.standard_normal((1, 3))))), [0.25]),
        ),
    )


def residual_convolution():
    first = Convolution(RNG.standard_normal((2, 2, 3, 3)), (2, 4, 4), 1, 1)
    second = Convolution(RNG.standard_normal((2, 2, 1, 1)), (2, 4, 4))
    return Network(32, (Layer(((0, first),), [0.5, 0.25]), Layer(((1, first), (0, second)), [1.0, 2.0], ("identity",))))


SAME_HASH = {
    "dense": plain,
    "one layer": lambda: Network.from_layers(layers(3, 2)),
    "identity matrix": lambda: Network.from_layers([(np.eye(3), np.zeros(3)), (np.eye(3), np.zeros(3))]),
    "activation at the end": lambda: plain(output="relu"),
    "identity inside": lambda: plain(activation=["identity", "relu"]),
    "layers differ": lambda: plain(activation=["tanh", "relu"], output="sigmoid"),
    "no bias": lambda: Network.from_layers([(a, np.zeros(len(a))) for a, _ in layers(4, 3, 2)]),
    "sparse": sparse,
    "convolution": convolutional,
    "convolution with full bias": lambda: convolutional("each"),
    "skip": skip,
    "skip over the identity": lambda: skip("identity"),
    "residual convolution": residual_convolution,
    "leaky": lambda: plain("leaky_relu(0.25)"),
    "leaky beyond float32": lambda: plain("leaky_relu(0.01)"),
    **{name: lambda name=name: plain(name) for name in ("erf", "gelu", "silu", "softplus", "sin", "abs")},
}


def reference(path, points):
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class Erf(OpRun):
        """The one of onnx returns float32 whatever it is given."""

        def _run(self, x):
            return (np.vectorize(math.erf, otypes=[np.float64])(x),)

    return ReferenceEvaluator(str(path), new_ops=[Erf]).run(None, {"x": points})[0]


@pytest.mark.parametrize("name", SAME_HASH)
def test_export_and_import_keep_the_hash(name, tmp_path):
    network = SAME_HASH[name]()
    save_onnx(network, tmp_path / "n.onnx")
    assert load_onnx(tmp_path / "n.onnx").sha256 == network.sha256
    stored = {entry.key: entry.value for entry in onnx.load(tmp_path / "n.onnx").metadata_props}
    assert stored == {"epsnet.sha256": network.sha256, "epsnet.arithmetic": "float64"}
    onnx.checker.check_model(onnx.load(tmp_path / "n.onnx"), full_check=True)


def test_the_certificate_of_a_solution_holds_for_what_is_read_back(tmp_path):
    solution = learn(Target("exp(x)", domain=Box(0, 1)), eps=1e-2)
    save_onnx(solution.network, tmp_path / "m.onnx")
    check(replace(solution, network=load_onnx(tmp_path / "m.onnx")))
    save_onnx(solution.network, tmp_path / "m.onnx", arithmetic="float32")
    with pytest.raises(CheckError):
        check(replace(solution, network=load_onnx(tmp_path / "m.onnx")))


@pytest.mark.parametrize("name", SAME_HASH)
def test_double_export_agrees_within_the_rounding_bound(name, tmp_path):
    network = SAME_HASH[name]()
    save_onnx(network, tmp_path / "n.onnx")
    points = RNG.standard_normal((20, network.inputs))
    distance = np.abs(reference(tmp_path / "n.onnx", points) - realize(network, points))
    assert (distance <= 2 * float64_error(network, points, points)).all()


@pytest.mark.parametrize("name", ["dense", "one layer", "activation at the end", "no bias"])
def test_double_export_of_dense_relu_networks_agrees_exactly(name, tmp_path):
    network = SAME_HASH[name]()
    save_onnx(network, tmp_path / "n.onnx")
    points = RNG.standard_normal((50, network.inputs))
    assert np.array_equal(reference(tmp_path / "n.onnx", points), realize(network, points))


def test_activations_that_differ_by_neuron_are_the_same_function(tmp_path):
    first = Layer(((0, Dense(weights(4, 2))),), np.ones(4), ("relu", "tanh", "relu", "identity"))
    network = Network(2, (first, Layer(((1, Dense(weights(2, 4))),), np.zeros(2), ("abs", "identity"))))
    save_onnx(network, tmp_path / "n.onnx")
    points = RNG.standard_normal((20, 2))
    read = load_onnx(tmp_path / "n.onnx")
    assert np.allclose(reference(tmp_path / "n.onnx", points), realize(network, points), rtol=1e-14, atol=1e-14)
    assert np.allclose(realize(read, points), realize(network, points), rtol=1e-14, atol=1e-14)


def test_single_export_rounds_each_weight(tmp_path):
    network = plain()
    save_onnx(network, tmp_path / "n.onnx", arithmetic="float32")
    read = load_onnx(tmp_path / "n.onnx")
    assert read.sha256 != network.sha256
    for own, other in zip(read.layers, network.layers, strict=True):
        assert np.array_equal(own.terms[0][1].weight, other.terms[0][1].weight.astype(np.float32).astype(np.float64))
        assert np.array_equal(own.bias, np.asarray(other.bias).astype(np.float32).astype(np.float64))


def test_rational_weights_are_rounded(tmp_path):
    third = Network.from_layers([(Exact((1, 1), {(0, 0): Fraction(1, 3)}), (Fraction(1, 7),))])
    save_onnx(third, tmp_path / "n.onnx")
    read = load_onnx(tmp_path / "n.onnx")
    assert read.layers[0].terms[0][1].weight[0, 0] == 1 / 3 and read.layers[0].bias[0] == 1 / 7


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (plain, {"arithmetic": "float16"}, "Use 'float64' or 'float32'"),
        (lambda: Network.from_layers([([[1e300]], [0.0])]), {"arithmetic": "float32"}, "beyond the arithmetic"),
        (lambda: Network.from_layers([(Exact((1, 1), {(0, 0): 10**400}), [0.0])]), {}, "beyond the arithmetic"),
        (lambda: Network.from_layers([(Sparse((9000, 9000), [0], [0], [2.0]), np.zeros(9000))]), {}, "too large"),
    ],
)
def test_export_refuses(network, options, message, tmp_path):
    with pytest.raises(DomainError, match=message):
        save_onnx(network(), tmp_path / "n.onnx", **options)
    assert not (tmp_path / "n.onnx").exists()


def test_export_to_nowhere(tmp_path):
    with pytest.raises(DomainError, match="cannot be written"):
        save_onnx(plain(), tmp_path / "missing" / "n.onnx")


# --- import: every operator against onnxruntime ---------------------------------------------------------------------

IMAGE = (1, 2, 6, 5)


def unary(op, attributes=None, opset=17):
    return model([(op, "x", "y", attributes or {})], (1, 6), opset=opset)


def on_image(op, attributes, *tensors, opset=17, shape=IMAGE):
    named = {f"w{k}": tensor for k, tensor in enumerate(tensors)}
    return model([(op, ["x", *named], "y", attributes)], shape, named, opset=opset)


def after_affine(op, ins, tensors, attributes=None, shape=(1, 6)):
    """The operator on 3 x + 0.1 instead of the input itself, and a product after it."""
    tensors = {"three": np.float32(3), "tenth": np.float32(0.1), **tensors}
    nodes = [("Mul", ["x", "three"], "a"), ("Add", ["a", "tenth"], "b"), (op, ins, "y", attributes or {})]
    return model(nodes, shape, tensors)


def batch_normalization(first=()):
    tensors = {f"s{k}": weights(3) for k in range(3)} | {"v": np.abs(weights(3)) + 0.1, "k": weights(3, 2, 3, 3)}
    nodes = [("Conv", ["x", "k"], "c", {"pads": [1] * 4}), ("BatchNormalization", ["c", "s0", "s1", "s2", "v"], "y")]
    return model(nodes, IMAGE, tensors)


def gate(kind):
    if kind == "silu":
        return model([("Sigmoid", "x", "s"), ("Mul", ["s", "x"], "y")], (1, 6))
    tensors = {"r": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}
    nodes = [
        ("Div", ["x", "r"], "h"), ("Erf", ["h"], "e"), ("Add", ["e", "one"], "p"), ("Mul", ["x", "p"], "q"),
        ("Mul", ["q", "half"], "y"),
    ]  # fmt: skip
    return model(nodes, (1, 6), tensors)


def dynamic_flatten():
    tensors = {"zero": np.array(0), "minus": np.array([-1]), "axes": np.array([0]), "w": weights(60, 3)}
    nodes = [
        ("Shape", "x", "s"), ("Gather", ["s", "zero"], "n", {"axis": 0}), ("Unsqueeze", ["n", "axes"], "u"),
        ("Concat", ["u", "minus"], "t", {"axis": 0}), ("Reshape", ["x", "t"], "f"), ("MatMul", ["f", "w"], "y"),
    ]  # fmt: skip
    return model(nodes, ("batch", 2, 6, 5), tensors)


def branches(op, attributes):
    nodes = [
        ("Conv", ["x", "k"], "a"),
        ("Conv", ["x", "l"], "b"),
        ("Relu", "b", "c"),
        (op, ["a", "c"], "y", attributes),
    ]
    return model(nodes, IMAGE, {"k": weights(3, 2, 2, 2), "l": weights(3, 2, 2, 2)})


def constant(**value):
    node = [("Constant", [], "c", value), ("Add", ["x", "c"], "y")]
    return model(node, (1, 6))


MODELS = {
    **{op: lambda op=op: unary(op) for op in ("Relu", "Tanh", "Sigmoid", "Erf", "Softplus", "Sin", "Abs", "Neg")},
    "LeakyRelu": lambda: unary("LeakyRelu", {"alpha": 0.1}),
    "LeakyRelu default": lambda: unary("LeakyRelu"),
    "PRelu": lambda: model([("PRelu", ["x", "s"], "y")], (1, 6), {"s": np.float32([0.2])}),
    "Gelu": lambda: unary("Gelu", opset=20),
    "gelu formula": lambda: gate("gelu"),
    "silu formula": lambda: gate("silu"),
    "Identity": lambda: unary("Identity"),
    "Dropout": lambda: unary("Dropout"),
    "Dropout 7": lambda: unary("Dropout", {"ratio": 0.5}, opset=7),
    "Gemm": lambda: on_image("Gemm", {}, weights(6, 3), weights(3), shape=(1, 6)),
    "Gemm alpha": lambda: on_image(
        "Gemm", {"alpha": 0.3, "beta": 0.7, "transB": 1}, weights(3, 6), weights(1, 3), shape=(1, 6)
    ),
    "Gemm transA": lambda: on_image("Gemm", {"transA": 1}, weights(6, 3), weights(4, 1), shape=(6, 4)),
    "MatMul": lambda: on_image("MatMul", {}, weights(6, 3), shape=(1, 6)),
    "MatMul rows": lambda: on_image("MatMul", {}, weights(6, 3), shape=(1, 4, 6)),
    "MatMul left": lambda: model([("MatMul", ["w", "x"], "y")], (6, 4), {"w": weights(3, 6)}),
    "MatMul left vector": lambda: model([("MatMul", ["w", "x"], "y")], (6,), {"w": weights(3, 6)}),
    "MatMul by vector": lambda: on_image("MatMul", {}, weights(6), shape=(1, 6)),
    "MatMul by row": lambda: model([("MatMul", ["w", "x"], "y")], (6, 4), {"w": weights(6)}),
    "MatMul twice": lambda: model(
        [("MatMul", ["x", "v"], "a"), ("MatMul", ["a", "w"], "y")], (1, 6), {"v": weights(6, 4), "w": weights(4, 3)}
    ),
    "MatMul after affine": lambda: after_affine("MatMul", ["b", "w"], {"w": weights(6, 3)}),
    "Add": lambda: on_image("Add", {}, weights(5)),
    "Add constant first": lambda: model([("Add", ["w", "x"], "y")], (1, 6), {"w": weights(1)}),
    "Add larger": lambda: model([("Add", ["w", "x"], "y")], (1, 6), {"w": weights(3, 6)}),
    "Add to itself": lambda: model([("Add", ["x", "x"], "y")], (1, 6)),
    "Sum": lambda: model([("Sum", ["x", "w", "x", "v"], "y")], (1, 6), {"w": weights(3, 6), "v": weights(1)}),
    "Sum of one": lambda: unary("Sum"),
    "Cast": lambda: model(
        [("Cast", "x", "d", {"to": 11}), ("Cast", "n", "i", {"to": 6}), ("Cast", "i", "f", {"to": 11}),
         ("Mul", ["d", "f"], "m"), ("Cast", "m", "y", {"to": 1})], (1, 6), {"n": np.array([1, -2, 3, 4, 5, 6])},
    ),
    "Clip": lambda: model([("Clip", ["x", "l", "h"], "y")], (1, 6), {"l": np.float32(-0.3), "h": np.float32(0.7)}),
    "Clip below": lambda: model([("Clip", ["x", "l"], "y")], (1, 6), {"l": np.float32(0.1)}),
    "Clip above": lambda: model([("Clip", ["x", "", "h"], "y")], (1, 6), {"h": np.float32(0.1)}),
    "Clip nothing": lambda: unary("Clip"),
    "Clip empty range": lambda: model(
        [("Clip", ["x", "l", "h"], "y")], (1, 6), {"l": np.float32(0.5), "h": np.float32(-0.5)}
    ),
    "Clip 6": lambda: unary("Clip", {"min": -0.25, "max": 0.5}, opset=7),
    "Clip 6 unbounded": lambda: unary("Clip", {"max": 0.5, "min": float(np.finfo(np.float32).min)}, opset=7),
    "Clip after Conv": lambda: model(
        [("Conv", ["x", "k"], "c"), ("Clip", ["c", "l", "h"], "y")], IMAGE,
        {"k": weights(3, 2, 2, 2), "l": np.float32(0), "h": np.float32(6)},
    ),
    "Split": lambda: model(
        [("Split", ["x", "s"], ["a", "b", "c"], {"axis": 2}), ("Relu", "b", "r"), ("Concat", ["c", "r", "a"], "y",
         {"axis": 2})], IMAGE, {"s": np.array([1, 3, 2])},
    ),
    "Split equal": lambda: model(
        [("Split", "x", ["a", "b"], {"axis": -1}), ("Sub", ["a", "b"], "y")], (1, 6),
    ),
    "Split 18": lambda: model(
        [("Split", "x", ["a", "b", "c"], {"axis": 1, "num_outputs": 3}), ("Concat", ["c", "a", "b"], "y", {"axis": 1})],
        (1, 8), opset=18,
    ),
    "Split 11": lambda: model(
        [("Split", "x", ["a", "b"], {"axis": 1, "split": [2, 4]}), ("Concat", ["b", "a"], "y", {"axis": 1})],
        (1, 6), opset=11,
    ),
    "Sub": lambda: model([("Sub", ["w", "x"], "y")], (1, 6), {"w": weights(6)}),
    "Mul": lambda: on_image("Mul", {}, weights(2, 1, 1)),
    "Mul after Gemm": lambda: model(
        [("MatMul", ["x", "v"], "a"), ("Mul", ["s", "a"], "y")], (1, 6), {"v": weights(6, 4), "s": weights(4)}
    ),
    "Mul after Conv": lambda: model(
        [("Conv", ["x", "v"], "a"), ("Mul", ["s", "a"], "y")], IMAGE, {"v": weights(3, 2, 2, 2), "s": weights(5, 4)}
    ),
    "Div": lambda: on_image("Div", {}, np.float32(0.3)),
    "normalized": lambda: model(
        [("Sub", ["x", "m"], "a"), ("Div", ["a", "s"], "b"), ("Flatten", "b", "c"), ("Gemm", ["c", "w"], "y")],
        IMAGE, {"m": weights(2, 1, 1), "s": np.abs(weights(2, 1, 1)) + 0.1, "w": weights(60, 3)},
    ),
    "branches Add": lambda: branches("Add", {}),
    "branches Sub": lambda: branches("Sub", {}),
    "branches Concat": lambda: branches("Concat", {"axis": 1}),
    "two convolutions of one source": lambda: model(
        [("Conv", ["x", "k"], "a"), ("Conv", ["x", "l"], "b"), ("Add", ["a", "b"], "y")],
        IMAGE, {"k": weights(3, 2, 2, 2), "l": weights(3, 2, 2, 2)},
    ),
    "Concat constant": lambda: model([("Concat", ["w", "x"], "y", {"axis": 1})], (1, 6), {"w": weights(1, 2)}),
    "Flatten": lambda: on_image("Flatten", {"axis": 2}),
    "Reshape": lambda: on_image("Reshape", {}, np.array([0, -1, 3])),
    "Reshape dynamic": dynamic_flatten,
    "Squeeze": lambda: on_image("Squeeze", {}, np.array([0])),
    "Squeeze 11": lambda: on_image("Squeeze", {"axes": [0]}, opset=11),
    "Squeeze all": lambda: on_image("Squeeze", {}),
    "Unsqueeze": lambda: on_image("Unsqueeze", {}, np.array([0, 2])),
    "Transpose": lambda: on_image("Transpose", {"perm": [0, 3, 1, 2]}),
    "Transpose default": lambda: on_image("Transpose", {}),
    "Transpose then Conv": lambda: model(
        [("Transpose", "x", "t", {"perm": [0, 3, 1, 2]}), ("Conv", ["t", "k"], "y")], (1, 6, 5, 2),
        {"k": weights(3, 2, 2, 2)},
    ),
    "Gather": lambda: on_image("Gather", {"axis": 3}, np.array([4, -1, 0])),
    "Slice": lambda: on_image(
        "Slice", {}, np.array([4, 0]), np.array([-9, 2**63 - 1]), np.array([3, 2]), np.array([-2, 3])
    ),
    "Slice 9": lambda: on_image("Slice", {"starts": [1], "ends": [-1], "axes": [2]}, opset=9),
    "Slice after Gemm": lambda: model(
        [("MatMul", ["x", "w"], "a"), ("Slice", ["a", "s", "e", "k"], "y")], (1, 6),
        {"w": weights(6, 5), "s": np.array([1]), "e": np.array([4]), "k": np.array([1])},
    ),
    "Pad": lambda: on_image("Pad", {}, np.array([0, 0, 1, 2, 0, 1, 0, 0])),
    "Pad 9": lambda: on_image("Pad", {"pads": [0, 0, 1, 2, 0, 1, 0, 0]}, opset=9),
    "Conv": lambda: on_image("Conv", {"pads": [1] * 4, "strides": [2, 2]}, weights(3, 2, 3, 3), weights(3)),
    "Conv asymmetric": lambda: on_image("Conv", {"pads": [1, 0, 2, 1], "strides": [2, 1]}, weights(3, 2, 3, 2)),
    "Conv dilated": lambda: on_image("Conv", {"dilations": [2, 1]}, weights(3, 2, 2, 3)),
    "Conv dilated, asymmetric": lambda: on_image(
        "Conv", {"dilations": [2, 1], "pads": [0, 0, 0, 1]}, weights(3, 2, 2, 3)
    ),
    "Conv groups": lambda: on_image("Conv", {"group": 2}, weights(4, 1, 3, 3), weights(4)),
    "Conv groups, asymmetric": lambda: on_image("Conv", {"group": 2, "strides": [1, 2]}, weights(4, 1, 3, 3)),
    "Conv same": lambda: on_image("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, weights(3, 2, 3, 3)),
    "Conv same lower": lambda: on_image("Conv", {"auto_pad": "SAME_LOWER"}, weights(3, 2, 2, 2)),
    "Conv valid": lambda: on_image("Conv", {"auto_pad": "VALID"}, weights(3, 2, 2, 2)),
    "Conv 1-D": lambda: on_image(
        "Conv", {"pads": [1, 1], "strides": [2]}, weights(3, 2, 3), weights(3), shape=(1, 2, 9)
    ),
    "Conv 1-D plain": lambda: on_image("Conv", {}, weights(3, 2, 3), shape=(1, 2, 9)),
    "Conv after affine": lambda: after_affine("Conv", ["b", "w"], {"w": weights(3, 2, 3, 3)}, shape=IMAGE),
    "AveragePool": lambda: on_image("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "AveragePool 3": lambda: on_image("AveragePool", {"kernel_shape": [3, 3]}),
    "AveragePool padded": lambda: on_image("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    "AveragePool counting": lambda: on_image(
        "AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}
    ),
    "AveragePool 1-D": lambda: on_image("AveragePool", {"kernel_shape": [4], "strides": [4]}, shape=(1, 2, 9)),
    "GlobalAveragePool": lambda: on_image("GlobalAveragePool", {}),
    "GlobalMaxPool": lambda: on_image("GlobalMaxPool", {}),
    "MaxPool": lambda: on_image("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "MaxPool overlapping": lambda: on_image("MaxPool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    "MaxPool dilated": lambda: on_image("MaxPool", {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "MaxPool 1-D": lambda: on_image("MaxPool", {"kernel_shape": [3]}, shape=(1, 2, 9)),
    "MaxPool after Conv": lambda: model(
        [("Conv", ["x", "k"], "c"), ("MaxPool", "c", "y", {"kernel_shape": [2, 2]})], IMAGE, {"k": weights(3, 2, 2, 2)}
    ),
    "BatchNormalization": batch_normalization,
    "Constant": lambda: constant(value=onnx.numpy_helper.from_array(weights(6))),
    "Constant float": lambda: constant(value_float=0.5),
    "Constant floats": lambda: constant(value_floats=[0.5] * 6),
}  # fmt: skip


def shape_of(made):
    dims = made.graph.input[0].type.tensor_type.shape.dim
    return tuple(dim.dim_value or 1 for dim in dims)


@pytest.mark.parametrize("name", MODELS)
def test_operator_agrees_with_onnxruntime(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    made = MODELS[name]()
    onnx.checker.check_model(made)
    network = load_onnx(save(made, tmp_path / "m.onnx"))
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    for _ in range(5):
        x = RNG.standard_normal(shape_of(made)).astype(np.float32)
        expected = session.run(None, {"x": x})[0]
        values = np.ravel(realize(network, x.astype(np.float64).reshape(1, -1)))
        assert values.shape == expected.ravel().shape
        assert np.allclose(values, expected.ravel(), rtol=2e-5, atol=2e-5)


NETWORKS = Path(__file__).parents[3] / "shared/data/networks"
PUBLIC = (
    "acasxu_1_1", "acasxu_1_2", "acasxu_2_3", "acasxu_3_1", "acasxu_4_5", "cifar10_resnet_2b", "cifar10_small",
    "convnet_avgpool", "convnet_maxpool", "mnist_256x2", "mnist_256x4", "mnist_sigmoid_6x200",
    "test_nano", "test_small",
)  # fmt: skip


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="the public networks are not beside the checkout")
@pytest.mark.parametrize("name", PUBLIC)
def test_public_networks_agree_with_onnxruntime(name):
    runtime = pytest.importorskip("onnxruntime")
    path = NETWORKS / f"{name}.onnx"
    network, made = load_onnx(path), onnx.load(str(path))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    stored = {tensor.name for tensor in made.graph.initializer}
    entry = next(each for each in session.get_inputs() if each.name not in stored)
    shape = [size if isinstance(size, int) else 1 for size in entry.shape]
    for _ in range(5):
        x = RNG.random(shape).astype(np.float32)
        expected = session.run(None, {entry.name: x})[0].ravel()
        values = realize(network, x.astype(np.float64).reshape(1, -1)).ravel()
        assert np.abs(values - expected).max() <= 2e-5 * max(1, np.abs(expected).max())


def test_every_operator_is_tested():
    from epsnet.interop.onnx_operators import OPERATORS

    used = {node.op_type for build in MODELS.values() for node in build().graph.node}
    assert used == set(OPERATORS)
    assert all(op in load_onnx.__doc__ for op in OPERATORS)


# --- import: what the network looks like -----------------------------------------------------------------------------


def read(made, tmp_path):
    return load_onnx(save(made, tmp_path / "m.onnx"))


def test_division_by_a_constant_is_exact(tmp_path):
    network = read(on_image("Div", {}, np.float32(3), shape=(1, 2)), tmp_path)
    assert realize_exact(network, [1, 2]) == (Fraction(1, 3), Fraction(2, 3))


def test_weights_are_the_rationals_of_their_floats(tmp_path):
    network = read(model([("MatMul", ["x", "w"], "y")], (1, 1), {"w": np.float32([[0.1]])}), tmp_path)
    assert realize_exact(network, [1]) == (Fraction(13421773, 2**27),)


def test_max_pool_is_the_maximum_exactly(tmp_path):
    network = read(on_image("MaxPool", {"kernel_shape": [5, 3]}, shape=(1, 1, 5, 3)), tmp_path)
    for _ in range(20):
        point = [Fraction(int(value), 7) for value in RNG.integers(-50, 50, 15)]
        assert realize_exact(network, point) == (max(point),)


def test_clip_is_exact(tmp_path):
    network = read(MODELS["Clip"](), tmp_path)
    low, high = (Fraction(float(np.float32(bound))) for bound in (-0.3, 0.7))
    for _ in range(20):
        point = [Fraction(int(value), 7) for value in RNG.integers(-14, 14, 6)]
        assert realize_exact(network, point) == tuple(min(max(value, low), high) for value in point)
    assert network.size.depth == 3


def test_a_cast_constant_is_rounded_and_a_cast_signal_is_not(tmp_path):
    tensors = {"w": np.array([0.1])}
    nodes = [("Cast", "w", "s", {"to": 1}), ("Cast", "s", "d", {"to": 11}), ("Add", ["x", "d"], "a"),
             ("Cast", "a", "b", {"to": 1}), ("Cast", "b", "y", {"to": 11})]  # fmt: skip
    network = read(model(nodes, (1, 1), tensors, kind=TensorProto.DOUBLE), tmp_path)
    assert realize_exact(network, [Fraction(1, 3)]) == (Fraction(1, 3) + Fraction(float(np.float32(0.1))),)


def test_geometry_is_kept(tmp_path):
    kinds = {
        name: [type(linear) for layer in read(MODELS[name](), tmp_path).layers for _, linear in layer.terms]
        for name in MODELS
        if name.startswith(("Conv", "AveragePool", "BatchNormalization", "Transpose then"))
    }
    for name in ("Conv", "Conv dilated", "Conv groups", "Conv valid", "AveragePool", "BatchNormalization"):
        assert kinds[name] == [Convolution], name
    assert kinds["Transpose then Conv"] == [Sparse, Convolution]
    assert Convolution not in kinds["Conv asymmetric"]
    assert kinds["AveragePool 3"] == [Exact]


def test_affine_operations_merge_only_where_nothing_is_lost(tmp_path):
    assert len(read(MODELS["MatMul twice"](), tmp_path).layers) == 2
    shifted = [("Sub", ["x", "m"], "a"), ("MatMul", ["a", "w"], "y")]
    network = read(model(shifted, (1, 2), {"m": np.float32([1, 2]), "w": np.float32([[3], [0.1]])}), tmp_path)
    assert len(network.layers) == 1
    assert realize_exact(network, [1, 2]) == (0,)


def test_unused_nodes_leave_nothing(tmp_path):
    network = read(model([("Tanh", "x", "t"), ("Relu", "x", "y")], (1, 3)), tmp_path)
    assert [layer.activations for layer in network.layers] == [("relu",)]


# --- import: what is refused -----------------------------------------------------------------------------------------


def not_finite():
    return on_image("Add", {}, np.float32([np.nan] * 5))


def external():
    made = on_image("Add", {}, weights(5))
    tensor = made.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return made


def cycle():
    return model([("Add", ["x", "b"], "a"), ("Relu", "a", "b"), ("Identity", "b", "y")], (1, 3))


def named(op):
    made = unary(op)
    made.graph.node[0].name = "culprit"
    return made


def other_domain():
    made = unary("Relu")
    made.graph.node[0].domain = "com.example"
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    return made


def trained():
    """In operator set 9, a BatchNormalization that names its running statistics as outputs is training."""
    tensors = {f"s{k}": np.abs(weights(2)) for k in range(4)}
    made = model([("BatchNormalization", ["x", *tensors], "y")], IMAGE, tensors, opset=9)
    made.graph.node[0].output.extend(["m", "v", "saved m", "saved v"])
    return made


def two_inputs():
    made = model([("Add", ["x", "z"], "y")], (1, 3))
    made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 3)))
    return made


def control_flow():
    branch = model([("Relu", "x", "b")], (1, 6), output="b").graph
    del branch.input[:]
    attributes = {"then_branch": branch, "else_branch": branch}
    return model([("If", ["c"], "y", attributes)], (1, 6), {"c": np.array(True)})


REFUSED = {
    "split": (
        lambda: model([("Split", ["x", "s"], ["y", "z"], {"axis": 1})], (1, 6), {"s": np.array([2, 2])}),
        "not a valid ONNX file|parts fit",
    ),
    "cast": (lambda: model([("Cast", "x", "i", {"to": 7}), ("Cast", "i", "y", {"to": 1})], (1, 6)), "Cast.*another"),
    "cast of a truth value": (
        lambda: model([("Cast", "b", "i", {"to": 7}), ("Reshape", ["x", "i"], "y")], (1, 1), {"b": np.array([True])}),
        "Cast.*another",
    ),
    "unsupported": (lambda: named("Softmax"), r"'culprit' \(Softmax\).*not supported"),
    "control flow": (control_flow, r"\(If\).*not supported"),
    "other domain": (other_domain, r"\(Relu\).*not supported"),
    "product": (lambda: model([("Tanh", "x", "t"), ("Mul", ["x", "t"], "y")], (1, 6)), r"\(Mul\).*not affine"),
    "quotient": (lambda: model([("Div", ["w", "x"], "y")], (1, 6), {"w": weights(6)}), r"\(Div\).*not affine"),
    "zero": (lambda: on_image("Div", {}, np.zeros(5, np.float32)), "divides by zero"),
    "dynamic": (lambda: model([("Relu", "x", "y")], (1, "n")), "dynamic dimension"),
    "no rank": (lambda: model([("Relu", "x", "y")], None), "not a valid ONNX file"),
    "integer input": (lambda: model([("Abs", "x", "y")], (1, 6), kind=TensorProto.INT64), "no float tensor"),
    "not finite": (not_finite, "NaN or infinity"),
    "external": (external, "another file"),
    "missing": (lambda: model([("Add", ["x", "w"], "y")], (1, 6)), "not a valid ONNX file"),
    "cycle": (cycle, "not a valid ONNX file"),
    "old opset": (lambda: unary("Relu", opset=6), "operator set 6"),
    "new opset": (lambda: unary("Relu", opset=1000), "not a valid ONNX file|operator set 1000"),
    "two inputs": (two_inputs, "2 inputs"),
    "independent output": (lambda: model([("Constant", [], "y", {"value_float": 1.0})], (1, 6)), "does not depend"),
    "constant activation": (
        lambda: model([("Relu", "w", "r"), ("Add", ["x", "r"], "y")], (1, 6), {"w": weights(6)}), "constants only",
    ),
    "too large": (lambda: model([("Relu", "x", "y")], (1, 10**9)), "more than 10,000,000"),
    "shapes": (lambda: on_image("Gemm", {}, weights(5, 3), shape=(1, 6)), r"\(Gemm\).*Make the shapes fit"),
    "broadcast": (lambda: on_image("Add", {}, weights(4)), r"\(Add\) does not fit its inputs"),
    "slopes": (lambda: model([("PRelu", ["x", "s"], "y")], (1, 2), {"s": np.float32([0.1, 0.2])}), "several slopes"),
    "slope": (lambda: unary("LeakyRelu", {"alpha": 2.0}), "outside"),
    "infinite slope": (lambda: unary("LeakyRelu", {"alpha": float("inf")}), "not finite"),
    "padding": (lambda: on_image("Pad", {"mode": "edge"}, np.array([0, 0, 1, 0, 0, 0, 0, 0])), "constant padding"),
    "padding value": (lambda: on_image("Pad", {}, np.array([0, 0, 1, 0, 0, 0, 0, 0]), np.float32(1)), "zeros"),
    "huge padding": (lambda: on_image("Conv", {"pads": [10**9] * 4}, weights(3, 2, 3, 3)), r"\(Conv\).*elements"),
    "large window": (lambda: on_image("MaxPool", {"kernel_shape": [9, 9]}), "larger than the padded image"),
    "ceil": (lambda: on_image("MaxPool", {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}), "ceil_mode=0"),
    "training": (
        lambda: on_image(
            "BatchNormalization", {"training_mode": 1}, weights(2), weights(2), weights(2), np.float32([1, 1])
        ),
        "inference",
    ),
    "training, by its outputs": (trained, "inference"),
    "not finite in a list": (
        lambda: model([("Constant", [], "c", {"value_floats": [np.inf] * 6}), ("Add", ["x", "c"], "y")], (1, 6)),
        "not finite",
    ),
    "map of constants": (
        lambda: model([("AveragePool", "w", "a", {"kernel_shape": [1, 1]}), ("Add", ["x", "a"], "y")], IMAGE,
                      {"w": weights(*IMAGE)}), "constants only",
    ),
    "negative variance": (
        lambda: on_image("BatchNormalization", {}, weights(2), weights(2), weights(2), np.float32([1, -1])), "variance",
    ),
    "3-D": (lambda: on_image("Conv", {}, weights(1, 1, 1, 1, 1), shape=(1, 1, 2, 2, 2)), "Only"),
    "stack": (lambda: on_image("MatMul", {}, weights(2, 5, 3)), "stack"),
    "integers": (lambda: on_image("Reshape", {}, np.array([7, 7])), r"\(Reshape\) does not fit"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name, tmp_path):
    build, message = REFUSED[name]
    with pytest.raises(DomainError, match=message) as caught:
        read(build(), tmp_path)
    assert str(caught.value).endswith(".") and "m.onnx" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not an ONNX file", bytes(range(256)) * 10])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(DomainError):
        load_onnx(tmp_path / "m.onnx")


def test_missing_folder_and_large_files_are_refused(tmp_path, monkeypatch):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(DomainError, match="no such file"):
            load_onnx(path)
    path = save(unary("Relu"), tmp_path / "m.onnx")
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    with pytest.raises(DomainError, match="larger than 10 bytes"):
        load_onnx(path)


def test_many_nodes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_NODES", 1)
    with pytest.raises(DomainError, match="more than 1 nodes"):
        read(gate("silu"), tmp_path)


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match="onnx"):
        load_onnx(tmp_path / "m.onnx")
    with pytest.raises(MissingExtraError, match="onnx"):
        save_onnx(plain(), tmp_path / "m.onnx")


# --- hostile bytes -----------------------------------------------------------------------------------------------

BASES = (
    "Gemm alpha", "Conv", "Conv asymmetric", "MaxPool after Conv", "AveragePool padded", "branches Concat",
    "Reshape dynamic", "Slice", "BatchNormalization", "normalized", "gelu formula", "Pad", "Constant",
    "Clip", "Split", "Split 18", "Cast",
)  # fmt: skip
SECONDS = 120  # a hang, not a speed


def mutated(content, rng):
    """Return the bytes with a few flipped, replaced, removed or repeated."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place, kind = int(rng.integers(len(data))), int(rng.integers(5))
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 9))]
        elif kind == 3:
            data[place:place] = data[max(place - 8, 0) : place]
        else:
            data[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 9))).tolist())
        if not data:
            break
    return bytes(data)


def attack(path, cases, seed):
    rng = np.random.default_rng(seed)
    contents = [MODELS[name]().SerializeToString() for name in BASES]
    accepted = 0
    for case in range(cases):
        path.write_bytes(mutated(contents[case % len(contents)], rng))
        start = time.perf_counter()
        try:
            network = load_onnx(path)
        except DomainError as error:
            assert str(error).endswith("."), error
        else:
            accepted += 1
            assert isinstance(network, Network)
        assert time.perf_counter() - start < SECONDS
    return accepted


def test_mutated_files_are_read_or_refused(tmp_path):
    accepted = attack(tmp_path / "m.onnx", 1000, 1)
    assert 20 < accepted < 980


@pytest.mark.slow
def test_many_mutated_files_are_read_or_refused(tmp_path):
    assert attack(tmp_path / "m.onnx", 10_000, 2)
