"""A node of an ONNX graph, with its inputs as signals and its attributes as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.interop.assembly import Assembly, Signal


@dataclass(frozen=True)
class Node:
    """One node of the graph, with its inputs as signals (None where an optional one is left out).

    Attributes:
        outputs: the number of outputs that the node names.
        single: whether the file computes in float32, so that 29 bits of a folded factor are more than it has.
        boundary: whether an Identity node ends a layer, as in files that epsnet wrote.
    """

    assembly: Assembly
    kind: str
    inputs: tuple[Signal | None, ...]
    attributes: dict[str, Any]
    outputs: int
    opset: int
    single: bool
    boundary: bool

    def signal(self, number: int) -> Signal:
        """Return an input that must be there."""
        found = self.optional(number)
        if found is None:
            raise DomainError(f"Its input {number} is missing. Export the model again.")
        return found

    def optional(self, number: int) -> Signal | None:
        """Return an input that may be left out."""
        return self.inputs[number] if number < len(self.inputs) else None

    def values(self, number: int, what: str) -> NDArray[Any]:
        """Return an input that must be constant, as an array."""
        found = self.signal(number)
        if found.terms:
            raise DomainError(f"Its {what} depends on the input of the network. Only constants are supported there.")
        return found.bias.reshape(found.shape)

    def floats(self, number: int, what: str) -> NDArray[np.float64]:
        """Return an input that must be constant float64 numbers."""
        found = self.values(number, what)
        if found.dtype != np.float64:
            raise DomainError(f"Its {what} is not a tensor of floats. Fold constants before exporting the model.")
        return found

    def integers(self, number: int, name: str) -> list[int] | None:
        """Return constant integers given as an attribute in old opsets and as an input in new ones."""
        if self.optional(number) is not None:
            return [int(value) for value in self.values(number, name).reshape(-1).tolist()]
        found = self.attributes.get(name)
        return None if found is None else [int(value) for value in found]

    def number(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.attributes.get(name, default))


def real(signal: Signal) -> Signal:
    """Return the signal. DomainError if it is one of integers or truth values."""
    if signal.bias.dtype.kind not in "fO":
        raise DomainError("It computes with integers or truth values. Fold constants before exporting the model.")
    return signal
