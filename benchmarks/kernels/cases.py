"""The architectures and points that epsnet, neural-tangents and mpmath are compared on, as plain lists.

dense: weight_std, bias_std; conv: size, weight_std, bias_std, stride, padding; pool: size, kind; res: layers.
"""

import numpy as np

ROOT = 2**0.5


def points():
    """Return the vectors and images, drawn in this order."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 6))
    rng.standard_normal((3, 6))
    images = rng.standard_normal((3, 8, 8, 3))
    return x, images[:, :5, :5]


def near_pairs():
    """Return pairs x, x + eps v; x and v do not change with eps."""
    rng = np.random.default_rng(1)
    x, v = rng.standard_normal((2, 6))
    return {eps: np.stack([x, x + eps * v]) for eps in (1e-1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-11)}


def opposite_pair():
    """Return x and -x + 1e-7 v."""
    rng = np.random.default_rng(1)
    x, v = rng.standard_normal((2, 6))
    return np.stack([x, -x + 1e-7 * v])


def chain(activation, depth, w, b=0.0):
    """Return `depth` dense layers with activations between them."""
    layers = []
    for _ in range(depth - 1):
        layers += [("dense", w, b), ("act", activation)]
    return [*layers, ("dense", w, b)]


VECTORS = {
    "relu, depth 3": [*chain("relu", 2, ROOT)[:-1], ("dense", ROOT, 0.0), ("act", "relu"), ("dense", 1.0, 0.0)],
    "erf, depth 4": chain("erf", 4, 1.5, 0.3),
    "relu, depth 50": [*chain("relu", 50, ROOT)[:-1], ("dense", 1.0, 0.0)],
    "relu, bias, depth 20": chain("relu", 20, 1.3, 0.2),
    "leaky, depth 4": chain("leaky_relu(0.1)", 4, 1.4, 0.1),
    "abs, depth 4": chain("abs", 4, 1.0, 0.1),
    "gelu, depth 4": chain("gelu", 4, 1.5, 0.2),
    "sin, depth 4": chain("sin", 4, 1.5, 0.2),
    "cos, depth 4": chain("cos", 4, 1.5, 0.2),
    "exp, depth 3": chain("exp", 3, 0.6, 0.1),
    "cube, depth 2": chain("power(3)", 2, 1.0, 0.1),
    "sign, depth 3": chain("sign", 3, 1.0, 0.1),
    "erf before relu": [
        ("dense", 1.5, 0.1), ("act", "erf"), ("dense", 1.5, 0.1), ("act", "relu"), ("dense", 1.5, 0.1),
    ],
    "residual relu": [
        ("dense", ROOT, 0.1),
        ("res", [("act", "relu"), ("dense", ROOT, 0.0)]),
        ("res", [("act", "relu"), ("dense", ROOT, 0.1)]),
        ("act", "relu"),
        ("dense", 1.0, 0.0),
    ],
    "layer norm": [
        ("dense", 1.2, 0.1), ("norm",), ("act", "relu"), ("dense", 1.2, 0.1), ("norm",), ("act", "relu"),
        ("dense", 1.0, 0.0),
    ],
    "dropout": [
        ("dense", 1.2, 0.1), ("act", "relu"), ("drop", 0.8), ("dense", 1.2, 0.1), ("act", "relu"), ("drop", 0.8),
        ("dense", 1.0, 0.0),
    ],
}  # fmt: skip

SAME = ("conv", 3, ROOT, 0.1, 1, "same")

IMAGES = {
    "conv, flatten": [SAME, ("act", "relu"), SAME, ("act", "relu"), ("flatten",), ("dense", 1.0, 0.1)],
    "conv, global average": [SAME, ("act", "relu"), SAME, ("act", "relu"), ("gap",), ("dense", 1.0, 0.1)],
    "conv, strides, valid": [
        ("conv", 2, ROOT, 0.0, 1, "valid"), ("act", "erf"), ("conv", 2, ROOT, 0.1, 2, "valid"), ("act", "relu"),
        ("flatten",), ("dense", 1.0, 0.1),
    ],
    "conv, pool, flatten": [
        ("conv", 2, ROOT, 0.1, 1, "valid"), ("act", "relu"), ("pool", 2, "average"), ("conv", 3, ROOT, 0.1, 1, "same"),
        ("act", "relu"), ("flatten",), ("dense", 1.0, 0.1),
    ],
    "conv, residual, sum pool, global average": [
        SAME, ("res", [("act", "relu"), SAME]), ("act", "relu"), ("pool", 2, "sum"), ("gap",), ("dense", 1.0, 0.0),
    ],
}  # fmt: skip

ANY = {name: chain(name, 3, 1.5, 0.1) for name in ("tanh", "silu", "softplus")}


def timed(task):
    """Return architecture and points of a timing task."""
    rng = np.random.default_rng(2)
    if task == "dense":
        layers = [*chain("relu", 3, ROOT), ("act", "relu"), ("dense", 1.0, 0.0)]
        return layers, rng.standard_normal((2000, 784))
    layers = [("conv", 3, ROOT, 0.1, 1, "same"), ("act", "relu")] * 5
    return [*layers, ("flatten",), ("dense", 1.0, 0.0)], rng.standard_normal((200, 28, 28, 1))
