r"""The architecture of a network whose layers are infinitely wide.

In the parametrization "ntk" a dense layer with n inputs computes

$$ y = \frac{w}{\sqrt n} W x + \beta\, b, \qquad W_{ij}, b_i \sim N(0, 1) \text{ trained}, $$

w = `weight_std`, beta = `bias_std`; a convolution likewise with n = its size squared times the channels. In "standard"
the same functions are drawn, but trained are w W/n^(1/2) and beta b themselves; there the kernel depends on n, which
for all but the first layer is the `width` times the pixels that a weight sees.

Sources: A. Jacot, F. Gabriel, C. Hongler, Neural tangent kernel, NeurIPS 31 (2018); R. Novak et al., Neural Tangents,
ICLR 2020; J. Sohl-Dickstein, R. Novak, S. S. Schoenholz, J. Lee, On the infinite width limit of neural networks with a
standard parameterization, arXiv:2001.07301.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from epsnet.certify.errors import DomainError
from epsnet.core.network import Network
from epsnet.core.network import activation as finite_activation
from epsnet.generalization.dual_activations import CLOSED_FORMS, Dual, HalfLines

Parametrization = Literal["ntk", "standard"]
Padding = Literal["same", "valid"]
"""With "same", zeros around the image, (size - 1)//2 before and size//2 after it; with "valid", none."""


def _check_std(weight_std: float, bias_std: float) -> None:
    if not (math.isfinite(weight_std) and math.isfinite(bias_std) and weight_std > 0 and bias_std >= 0):
        raise DomainError(
            f"weight_std = {weight_std}, bias_std = {bias_std}. Use finite numbers, the first positive, the other >= 0."
        )


def _check_window(size: int, stride: int) -> None:
    if size < 1 or stride < 1:
        raise DomainError(f"A window of size {size} with stride {stride} does not exist. Use integers from 1.")


@dataclass(frozen=True, slots=True)
class Dense:
    """y = weight_std/n^(1/2) W x + bias_std b."""

    weight_std: float = 1.0
    bias_std: float = 0.0

    def __post_init__(self) -> None:
        _check_std(self.weight_std, self.bias_std)


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with square windows of `size` pixels a side, weights of standard deviation weight_std/n^(1/2)."""

    size: int = 3
    weight_std: float = 1.0
    bias_std: float = 0.0
    stride: int = 1
    padding: Padding = "same"

    def __post_init__(self) -> None:
        _check_std(self.weight_std, self.bias_std)
        _check_window(self.size, self.stride)
        if self.padding not in ("same", "valid"):
            raise DomainError(f"The padding {self.padding!r} is unknown. Use 'same' or 'valid'.")


@dataclass(frozen=True)
class Activation:
    """phi applied to every neuron.

    Attributes:
        function: a name, or a vectorized function of one array.
        derivative: phi' of a function, if it is known; otherwise it is computed.
        kinks: where a function or one of its derivatives jumps.
    """

    function: str | Callable[[Any], Any]
    derivative: Callable[[Any], Any] | None = None
    kinks: tuple[float, ...] = ()
    dual: Dual = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dual", self._find())

    def __reduce__(self) -> tuple[Any, ...]:
        return Activation, (self.function, self.derivative, self.kinks)

    def _find(self) -> Dual:
        if callable(self.function):
            from epsnet.generalization.dual_quadrature import Quadrature

            return Quadrature(self.function, self.derivative, self.kinks)
        if self.function in CLOSED_FORMS:
            return CLOSED_FORMS[self.function]
        try:
            found = finite_activation(self.function)
        except DomainError:
            raise DomainError(
                f"The activation {self.function!r} is unknown. Use one of {', '.join(CLOSED_FORMS)}, tanh, sigmoid, "
                f"silu, softplus, 'leaky_relu(0.01)', or a function of NumPy arrays."
            ) from None
        if found.slopes is not None:
            return HalfLines(*map(float, found.slopes))
        from epsnet.generalization.dual_quadrature import Quadrature

        return Quadrature(found.float64)


@dataclass(frozen=True, slots=True)
class Pool:
    """The average, or the sum, of square windows of `size` pixels a side; without padding. The stride is the size."""

    size: int = 2
    stride: int | None = None
    kind: Literal["average", "sum"] = "average"

    def __post_init__(self) -> None:
        _check_window(self.size, self.stride or self.size)
        if self.kind not in ("average", "sum"):
            raise DomainError(f"A pool of the kind {self.kind!r} is unknown. Use 'average' or 'sum'.")


@dataclass(frozen=True, slots=True)
class Flatten:
    """Make all pixels of all channels neurons of one layer."""


@dataclass(frozen=True, slots=True)
class GlobalAverage:
    """The average over all pixels."""


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Divide by the standard deviation over the neurons (of a pixel), with epsilon added to the variance."""

    epsilon: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise DomainError(f"epsilon = {self.epsilon}. Use a finite number >= 0.")


@dataclass(frozen=True, slots=True)
class Dropout:
    """Keep each neuron with probability `keep`, times 1/keep, anew for each point."""

    keep: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise DomainError(f"keep = {self.keep} is not in (0, 1]. Use something like 0.9.")


@dataclass(frozen=True)
class Residual:
    """x + f(x), f given by `layers`; they end in a dense layer or a convolution: the summands are independent."""

    layers: tuple[Any, ...]

    def __init__(self, layers: Iterable[Any]) -> None:
        object.__setattr__(self, "layers", _layers(layers))


WideLayer = Dense | Conv | Activation | Pool | Flatten | GlobalAverage | Residual | LayerNorm | Dropout


def _layers(layers: Iterable[Any]) -> tuple[WideLayer, ...]:
    found: list[WideLayer] = []
    for layer in [] if isinstance(layers, str) else layers:
        if isinstance(layer, WideLayer):
            found.append(layer)
        elif isinstance(layer, str) or (callable(layer) and not isinstance(layer, type)):
            found.append(Activation(layer))
        else:
            raise DomainError(
                f"{layer!r} is not a layer. Use {', '.join(kind.__name__ for kind in WideLayer.__args__)}, "
                f"the name of an activation, or a function."
            )
    return tuple(found)


@dataclass(frozen=True)
class WideNetwork:
    """A network of infinite width.

    Args:
        layers: the layers; a string or a callable is an activation.
        parametrization: what is trained, "ntk" or "standard"; see the module.
        width: the neurons or channels of a hidden layer; "standard" only.

    Raises:
        DomainError: the layers do not follow each other: see the message.

    Example:
        >>> net = WideNetwork([Dense(2**0.5), "relu", Dense()])
    """

    layers: tuple[WideLayer, ...]
    parametrization: Parametrization
    width: int | None

    def __init__(
        self, layers: Iterable[Any], parametrization: Parametrization = "ntk", width: int | None = None
    ) -> None:
        object.__setattr__(self, "layers", _layers(layers))
        object.__setattr__(self, "parametrization", parametrization)
        object.__setattr__(self, "width", width)
        if not self.layers:
            raise DomainError("The network is empty. Give at least one layer.")
        if parametrization not in ("ntk", "standard"):
            raise DomainError(f"The parametrization {parametrization!r} is unknown. Use 'ntk' or 'standard'.")
        if (parametrization == "standard") != (width is not None) or (width is not None and width < 1):
            raise DomainError(
                "The parametrization 'standard' needs a width, and 'ntk' has none. Give width=512, or leave it out."
            )
        _check_order(self.layers, gaussian=False)

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the pixels after all layers, () for vectors, of inputs of shape (d,) or (H, W, C).

        Raises:
            DomainError: a layer does not fit what comes before it.
        """
        if len(shape) not in (1, 3) or min(shape) < 1:
            raise DomainError(
                f"Inputs of shape {tuple(shape)} are neither vectors nor images. Give (n, d) or (n, height, width, "
                f"channels), none of them 0."
            )
        return _pixels(self.layers, tuple(shape[:-1]))

    def scales(self, inputs: int, width: int) -> list[tuple[float, float]]:
        """Return (weight_std/n^(1/2), bias_std) of each dense layer, n its inputs.

        The weights and biases of `sample` divided by these are what the parametrization "ntk" trains.
        """
        found, n = [], inputs
        for layer in _dense_only(self.layers):
            if isinstance(layer, Dense):
                found.append((layer.weight_std / math.sqrt(n), layer.bias_std))
                n = width
        return found

    def sample(self, width: int, inputs: int, rng: np.random.Generator, outputs: int = 1) -> Network:
        """Draw a network of finite width; dense layers only, an activation after each but the last.

        Args:
            width: the neurons of each hidden layer.
            inputs: d.
            rng: draws, layer by layer, the matrix and then the bias.
            outputs: the neurons of the last layer.

        Raises:
            DomainError: there are other layers, or an activation that `Network` does not have.
        """
        layers = _dense_only(self.layers)
        scales = self.scales(inputs, width)
        sizes = [inputs, *[width] * (len(scales) - 1), outputs]
        pairs = [
            (weight * rng.standard_normal((m, n)), bias * rng.standard_normal(m))
            for (weight, bias), n, m in zip(scales, sizes, sizes[1:], strict=False)
        ]
        names = [layer.function for layer in layers if isinstance(layer, Activation)]
        if len(names) != len(pairs) - 1 or not isinstance(layers[-1], Dense):
            raise DomainError("A dense layer lacks its activation, or the last layer has one. Alternate them.")
        if not all(isinstance(name, str) for name in names):
            raise DomainError("A sampled network needs the names of its activations. Use 'tanh' and not a function.")
        return Network.from_layers(pairs, [str(name) for name in names])


def _dense_only(layers: Sequence[WideLayer]) -> Sequence[WideLayer]:
    if not all(isinstance(layer, Dense | Activation) for layer in layers):
        raise DomainError("Only networks of dense layers and activations are sampled. Leave out the others.")
    return layers


def _check_order(layers: Sequence[WideLayer], gaussian: bool) -> bool:
    """Check that what enters an activation is Gaussian in the limit; return whether what comes out is.

    The first `gaussian` is False: inputs are given, not Gaussian.
    """
    for layer in layers:
        match layer:
            case Dense() | Conv():
                gaussian = True
            case Activation() | LayerNorm():
                if not gaussian:
                    raise DomainError(
                        f"{type(layer).__name__} needs a dense layer or a convolution before it, whose outputs are "
                        f"Gaussian. Put one there."
                    )
                gaussian = isinstance(layer, LayerNorm)
            case Dropout():
                gaussian = False
            case Residual():
                if not layer.layers or not isinstance(layer.layers[-1], Dense | Conv):
                    raise DomainError(
                        "The layers of a residual sum do not end in a dense layer or a convolution. Add one."
                    )
                _check_order(layer.layers, gaussian)
            case _:
                pass
    return gaussian


def window_places(length: int, size: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Return how many windows fit along one side, and the zeros before it. DomainError if none fits."""
    before = (size - 1) // 2 if padding == "same" else 0
    padded = length + (size - 1 if padding == "same" else 0)
    if padded < size:
        raise DomainError(f"Windows of {size} pixels do not fit into {length}. Use smaller ones.")
    return (padded - size) // stride + 1, before


def _pixels(layers: Sequence[WideLayer], pixels: tuple[int, ...]) -> tuple[int, ...]:
    for layer in layers:
        name = type(layer).__name__
        match layer:
            case Dense() if pixels:
                raise DomainError("A dense layer acts on vectors. Put Flatten() or GlobalAverage() before it.")
            case Conv() | Pool() | Flatten() | GlobalAverage() if not pixels:
                raise DomainError(f"{name} acts on images, and here there are none. Remove it, or give images.")
            case Conv():
                pixels = tuple(window_places(n, layer.size, layer.stride, layer.padding)[0] for n in pixels)
            case Pool():
                pixels = tuple(window_places(n, layer.size, layer.stride or layer.size, "valid")[0] for n in pixels)
            case Flatten() | GlobalAverage():
                pixels = ()
            case Residual():
                if (after := _pixels(layer.layers, pixels)) != pixels:
                    raise DomainError(
                        f"A residual sum adds images of {pixels} and {after} pixels. Use stride 1 and padding 'same'."
                    )
            case _:
                pass
    return pixels
