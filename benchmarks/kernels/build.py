"""The architectures of `cases` as networks of epsnet."""

from epsnet.generalization.wide_network import (
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    LayerNorm,
    Pool,
    Residual,
    WideNetwork,
)


def layers(spec):
    """Return the layers of a plain list."""
    kinds = {"dense": Dense, "act": Activation, "conv": Conv, "flatten": Flatten, "gap": GlobalAverage,
             "norm": LayerNorm, "drop": Dropout, "pool": lambda size, kind: Pool(size, kind=kind),
             "res": lambda inner: Residual(layers(inner))}  # fmt: skip
    return [kinds[kind](*numbers) for kind, *numbers in spec]


def network(spec):
    """Return the network of a plain list."""
    return WideNetwork(layers(spec))
