r"""`Network`: a feedforward network as a mathematical object, frozen, with exact meaning.

A network of depth L with input x in R^d is the sequence

$$ y_0 = x, \qquad y_l = \sigma_l\Bigl(\sum_{(k, A) \in T_l} A\, y_k + b_l\Bigr), \quad l = 1, \dots, L, $$

and R(Phi)(x) = y_L. A plain layer has one term with k = l - 1; a skip connection is one more term (k, A) with k < l -
1, its matrix being the identity or any other linear map, whose entries count like all others.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.hashing import sha256_arrays, sha256_json
from epsnet.certify.rounding import decimal_text
from epsnet.core.functions import ACTIVATIONS, FUNCTIONS, Function, leaky_relu
from epsnet.core.linear_maps import MAX_NEURONS, Convolution, Dense, LinearMap, Number, frozen_floats, is_float64
from epsnet.core.size import Size, size_of
from epsnet.core.universal_activation import UNIVERSAL

MAX_TOTAL = 10 * MAX_NEURONS
"""The most neurons of all layers together: a convolution with much padding makes millions of them from one number."""

MAX_TEXT = 2**26
"""The most characters of the rational biases of convolutions, each written as often as a convolution repeats it."""

_LEAKY = re.compile(r"leaky_relu\((?P<slope>[0-9.eE+-]{1,40})\)")


@functools.cache
def activation(name: str) -> Function:
    """Return an activation by name. DomainError if there is none, listing those there are."""
    if name in ACTIVATIONS:
        return FUNCTIONS[name]
    if name in UNIVERSAL:
        return UNIVERSAL[name]
    found = _LEAKY.fullmatch(name)
    try:
        slope = float(found["slope"]) if found else -1.0
    except ValueError:
        slope = -1.0
    if not 0.0 <= slope < 1.0:
        raise DomainError(
            f"The activation {name!r} is unknown. Use one of {', '.join(ACTIVATIONS)}, or 'leaky_relu(0.01)' with a "
            f"slope in [0, 1)."
        )
    return leaky_relu(slope)


@dataclass(frozen=True, eq=False)
class Layer:
    """One affine map followed by an activation.

    Attributes:
        terms: pairs (k, A): the linear map A applied to the output y_k of layer k (y_0 is the input).
        bias: float64 vector of the outputs; for a convolution one entry a channel; or a tuple of Fractions.
        activations: one name for all neurons, or one name for each.
    """

    terms: tuple[tuple[int, LinearMap], ...]
    bias: NDArray[np.float64] | tuple[Fraction, ...]
    activations: tuple[str, ...] = ("relu",)

    def __post_init__(self) -> None:
        if not self.terms:
            raise DomainError("A layer has no linear map. Give at least one.")
        if isinstance(self.bias, tuple):
            object.__setattr__(self, "bias", tuple(map(Fraction, self.bias)))
        else:
            object.__setattr__(self, "bias", frozen_floats(self.bias, "biases of a layer"))
        if len({linear.shape[0] for _, linear in self.terms}) > 1:
            raise DomainError("The linear maps of a layer differ in their number of outputs. Make them equal.")
        flat = isinstance(self.bias, tuple) or self.bias.ndim == 1
        if not flat or len(self.bias) * self._repeats != self.outputs or self._repeats not in (1, self._pixels):
            raise DomainError(
                f"A layer with {self.outputs} outputs has biases of shape {np.array(self.bias, dtype=object).shape}. "
                f"Give one for each output{' or one for each channel' if self._pixels > 1 else ''}."
            )
        if len(self.activations) not in (1, self.outputs):
            raise DomainError(
                f"A layer with {self.outputs} outputs has {len(self.activations)} activations. "
                f"Give one, or one for each output."
            )
        for name in set(self.activations):
            activation(name)

    @property
    def outputs(self) -> int:
        """The number of neurons."""
        return self.terms[0][1].shape[0]

    @property
    def _pixels(self) -> int:
        first = self.terms[0][1]
        return int(np.prod(first.output_shape[1:])) if isinstance(first, Convolution) else 1

    @property
    def _repeats(self) -> int:
        return self.outputs // max(len(self.bias), 1)

    @property
    def _repeated_bits(self) -> int:
        """The bits of rational biases that are written more than once."""
        if not isinstance(self.bias, tuple) or self._repeats == 1:
            return 0
        return self._repeats * sum(b.numerator.bit_length() + b.denominator.bit_length() for b in self.bias)

    def bias_values(self) -> list[Number]:
        """Return one bias for each output."""
        stored = list(self.bias) if isinstance(self.bias, tuple) else self.bias.tolist()
        return [value for value in stored for _ in range(self._repeats)]

    def functions(self) -> list[Function]:
        """Return the activation of each output."""
        each = [activation(name) for name in self.activations]
        return each * self.outputs if len(each) == 1 else each

    def canonical(self) -> Any:
        """Return what the hash of the network covers."""
        names = [activation(name).name for name in self.activations]
        stored = [Fraction(value) for value in self.bias] if isinstance(self.bias, tuple) else self.bias.tolist()
        # Each stored bias is looked at once, however many neurons of a convolution share it.
        if not isinstance(self.bias, tuple) or all(map(is_float64, stored)):
            floats = np.array([float(value) for value in stored], dtype=np.float64) + 0.0
            bias: Any = sha256_arrays({"bias": np.repeat(floats, self._repeats)})
        else:
            bias = [text for value in stored for text in [str(value)] * self._repeats]
        return {
            "terms": [[source, linear.canonical()] for source, linear in self.terms],
            "bias": bias,
            "activations": names[:1] if len(set(names)) == 1 else names,
        }


@dataclass(frozen=True, eq=False)
class Network:
    """A feedforward network R^d -> R^m; see the module for its meaning.

    Example:
        >>> import numpy as np
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> print(hat)
        Phi: R^1 -> R^1   1 -> 3 relu -> 1   depth L = 2, weights M = 8, |weights| <= 4

    Raises:
        DomainError: shapes do not fit, a value is not finite, or an activation is unknown.
    """

    inputs: int
    layers: tuple[Layer, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.layers:
            raise DomainError("A network needs at least one input and one layer. Give both.")
        if max(self.inputs, *(layer.outputs for layer in self.layers)) > MAX_NEURONS:
            raise DomainError(
                f"The network has more than {MAX_NEURONS:,} inputs or neurons in a layer. Use smaller ones."
            )
        if sum(layer.outputs for layer in self.layers) > MAX_TOTAL:
            raise DomainError(f"The network has more than {MAX_TOTAL:,} neurons. Use smaller layers.")
        if sum(layer._repeated_bits for layer in self.layers) > 3 * MAX_TEXT:
            raise DomainError("The rational biases of the convolutions are too long. Round them.")
        sizes = [self.inputs]
        for number, layer in enumerate(self.layers, start=1):
            for source, linear in layer.terms:
                if not 0 <= source < number:
                    raise DomainError(
                        f"Layer {number} reads from layer {source}. It may read from 0 (the input) to {number - 1}."
                    )
                if linear.shape[1] != sizes[source]:
                    raise DomainError(
                        f"Layer {number} expects {linear.shape[1]} values from layer {source}, which has "
                        f"{sizes[source]}. "
                        f"Make the shapes fit."
                    )
            sizes.append(layer.outputs)

    @classmethod
    def from_layers(
        cls, layers: Iterable[tuple[Any, Any]], activation: str | Sequence[str] = "relu", output: str = "identity"
    ) -> Network:
        """Return the plain network A_L sigma(... sigma(A_1 x + b_1)) + b_L.

        Args:
            layers: pairs (A, b); A a matrix (outputs, inputs) or a LinearMap, b a vector (outputs,).
            activation: the activation of the hidden layers, or one for each of them.
            output: the activation of the last layer.
        """
        pairs = [(a if isinstance(a, LinearMap) else Dense(a), b) for a, b in layers]
        names = [activation] * (len(pairs) - 1) if isinstance(activation, str) else list(activation)
        if len(names) != len(pairs) - 1:
            raise DomainError(
                f"{len(pairs)} layers need {len(pairs) - 1} hidden activations, not {len(names)}. Give one for each."
            )
        built = tuple(
            Layer(((number, linear),), bias, (name,))
            for number, ((linear, bias), name) in enumerate(zip(pairs, [*names, output], strict=True))
        )
        return cls(pairs[0][0].shape[1] if pairs else 0, built)

    @property
    def outputs(self) -> int:
        """The number m of outputs."""
        return self.layers[-1].outputs

    @functools.cached_property
    def size(self) -> Size:
        """M, L, N, W and the other measures of size, exactly."""
        return size_of(self)

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of the mathematical content: equal for dense and sparse storage of the same matrices."""
        return sha256_json({"inputs": self.inputs, "layers": [layer.canonical() for layer in self.layers]})

    def __str__(self) -> str:
        def neurons(number: int, layer: Layer) -> str:
            names = dict.fromkeys(layer.activations)
            label = "/".join(name for name in names if name != "identity")
            skips = "".join(f" + y{source}" for source, _ in layer.terms if source != number - 1)
            return f"{layer.outputs}{' ' + label if label else ''}{skips}"

        chain = [neurons(number, layer) for number, layer in enumerate(self.layers, start=1)]
        if len(chain) > 12:
            chain = [*chain[:6], "...", *chain[-5:]]
        size = self.size
        return (
            f"Phi: R^{self.inputs} -> R^{self.outputs}   {' -> '.join([str(self.inputs), *chain])}   "
            f"depth L = {size.depth}, weights M = {size.weights:,}, "
            f"|weights| <= {decimal_text(size.magnitude, up=True, digits=4)}"
        )
