"""The verb `inspect`: every true statement that can be made of a network without knowing what it is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epsnet.certify.errors import DomainError
from epsnet.core.network import Layer, Network
from epsnet.core.serial import NETWORK_FILE, load_network, network_bytes
from epsnet.core.size import Size
from epsnet.core.solution import Solution
from epsnet.interop import load_onnx


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is true of a network.

    Attributes:
        network: the network.
        size: M, L, N, W, magnitude, connections, operations, all counted exactly.
        bits: the length of the network file in bits.
    """

    network: Network
    size: Size
    bits: int

    def to_json(self) -> dict[str, Any]:
        """Return the statements as JSON values."""
        network = self.network
        facts = {"inputs": network.inputs, "outputs": network.outputs, "sha256": network.sha256}
        return {**self.size.to_json(), "bits": self.bits, **facts}

    def __str__(self) -> str:
        size = self.size
        rows = [
            ("weights M", f"{size.weights:,}"),
            ("depth L", f"{size.depth}"),
            ("neurons N", f"{size.neurons:,} hidden"),
            ("width W", f"{size.width:,}"),
            ("magnitude", f"{size.magnitude:.6g}"),
            ("connections", f"{size.connections:,}"),
            ("operations", f"{size.operations:,} multiply-adds"),
            ("bits", f"{self.bits:,}"),
            ("sha256", self.network.sha256),
        ]
        table = "\n".join(f"  {name:<12} {value}" for name, value in rows)
        layers = "\n".join(_describe(number, layer) for number, layer in enumerate(self.network.layers, start=1))
        return f"{self.network}\n{table}\n  layers\n{layers}"


def _describe(number: int, layer: Layer) -> str:
    terms = [
        f"{type(linear).__name__} {linear.shape[1]} -> {linear.shape[0]}"
        + (f" from y{source}" if source != number - 1 else "")
        for source, linear in layer.terms
    ]
    return f"  {number:>5}  {' + '.join(terms)}  {'/'.join(dict.fromkeys(layer.activations))}"


def inspect(subject: Network | Solution | str | Path) -> Inspection:
    """Count and describe a network.

    Args:
        subject: a network, a solution, a network file, an ONNX file, or the folder of a solution.

    Raises:
        DomainError: there is no such file, or an ONNX file holds what no network here can say.
        MissingExtraError: an ONNX file, and the extra "onnx" is not installed.
        CheckError: the file is not a network.
    """
    if isinstance(subject, Solution):
        network = subject.network
    elif isinstance(subject, Network):
        network = subject
    elif isinstance(subject, str | Path):
        path = Path(subject)
        if path.suffix == ".onnx":
            network = load_onnx(path)
        else:
            network = load_network(path / NETWORK_FILE if path.is_dir() else path)
    else:
        raise DomainError(f"{type(subject).__name__} is no network. Give a Network, a Solution or a path.")
    return Inspection(network, network.size, 8 * len(network_bytes(network)))
