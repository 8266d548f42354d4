r"""Networks written as their formulas: affine forms of one hidden layer after the other, in exact rationals.

A `Gates` object holds the layers built so far; a `Form` is an affine function of the neurons of one layer, and
`relu` closes a layer. So the hat function min(2x, 2 - 2x) on [0, 1] reads as it is defined:

    >>> gates = Gates(1)
    >>> (x,) = gates.inputs
    >>> left, right = gates.relu(x, x - Fraction(1, 2))
    >>> print(gates.network(2 * left - 4 * right))
    Phi: R^1 -> R^1   1 -> 2 relu -> 1   depth L = 2, weights M = 5, |weights| <= 4
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from epsnet.certify.errors import DomainError
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network

Rational = Fraction | int


@dataclass(frozen=True, slots=True)
class Form:
    """c + sum_i a_i y_i over the neurons y_i of layer number `layer` (0 is the input)."""

    layer: int
    weights: Mapping[int, Fraction] = field(default_factory=dict)
    constant: Fraction = Fraction(0)

    def __add__(self, other: Form | Rational) -> Form:
        if not isinstance(other, Form):
            return Form(self.layer, self.weights, self.constant + other)
        if other.layer != self.layer:
            raise DomainError(
                f"A form of layer {self.layer} and one of layer {other.layer} cannot be added. Carry one of them on."
            )
        weights = dict(self.weights)
        for neuron, weight in other.weights.items():
            weights[neuron] = weights.get(neuron, Fraction(0)) + weight
        return Form(self.layer, weights, self.constant + other.constant)

    def __mul__(self, factor: Rational) -> Form:
        scaled = {neuron: factor * weight for neuron, weight in self.weights.items()}
        return Form(self.layer, scaled, factor * self.constant)

    def __neg__(self) -> Form:
        return self * -1

    def __sub__(self, other: Form | Rational) -> Form:
        return self + -other

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Rational) -> Form:
        return other + -self


class Gates:
    """A network under construction: its inputs, its hidden layers, and the layer that forms refer to."""

    def __init__(self, inputs: int) -> None:
        self.inputs = tuple(Form(0, {index: Fraction(1)}) for index in range(inputs))
        self._widths = [inputs]
        self._layers: list[Layer] = []

    def relu(self, *forms: Form) -> tuple[Form, ...]:
        """Close a hidden layer with the neurons rho(form), and return them as forms of it."""
        self._layers.append(self._layer(forms, "relu"))
        self._widths.append(len(forms))
        return tuple(Form(len(self._layers), {index: Fraction(1)}) for index in range(len(forms)))

    def network(self, *outputs: Form) -> Network:
        """Return the network whose outputs are these forms of the last hidden layer."""
        return Network(self._widths[0], (*self._layers, self._layer(outputs, "identity")))

    def _layer(self, forms: tuple[Form, ...], activation: str) -> Layer:
        source = len(self._layers)
        if any(form.layer != source for form in forms):
            raise DomainError(f"A form does not belong to layer {source}, the last one. Carry it on.")
        entries = {(row, neuron): weight for row, form in enumerate(forms) for neuron, weight in form.weights.items()}
        matrix = linear_map((len(forms), self._widths[-1]), entries)
        return Layer(((source, matrix),), bias_vector(form.constant for form in forms), (activation,))
