"""A network as what is to be learned: the target of a compression, and of the distance between two networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Norm
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.hashing import sha256_json
from epsnet.core.network import Network
from epsnet.core.realize import realize


@dataclass(frozen=True, slots=True)
class NetworkTarget:
    """The realization F = R(Psi) of a network on a box, with the norm in which it is to be approximated.

    For a network with several outputs the sup norm is the largest over x and over the outputs, the L2 norm the root of
    the sum of the squares.

    Attributes:
        network: Psi.
        domain: one interval for each input.
        norm: "sup" or "L2" (Lebesgue measure).

    Raises:
        DomainError: the box does not fit the network, or the norm is unknown.
    """

    network: Network
    domain: Box
    norm: Norm = "sup"

    def __post_init__(self) -> None:
        if self.domain.dimension != self.network.inputs:
            raise DomainError(
                f"The network has {self.network.inputs} inputs, the box {self.domain.dimension} intervals. "
                f"Give one for each input."
            )
        if self.norm not in ("sup", "L2"):
            raise DomainError(f"The norm {self.norm!r} is unknown. Use 'sup' or 'L2'.")

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the inputs."""
        d = self.network.inputs
        return ("x",) if d == 1 else tuple(f"x{i}" for i in range(1, d + 1))

    @property
    def title(self) -> str:
        """The target in a few words."""
        return f"network {self.network.sha256[:12]}"

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """Evaluate F in float64 without an error bound.

        Args:
            points: of any shape for one input, else (..., d).

        Returns:
            One value for each point, or (..., m) for m outputs.
        """
        x = np.asarray(points, dtype=np.float64)
        shape = x.shape if self.network.inputs == 1 else x.shape[:-1]
        values = realize(self.network, x.reshape(-1, self.network.inputs)).reshape(-1, self.network.outputs)
        return values.reshape(shape if self.network.outputs == 1 else (*shape, self.network.outputs))

    @property
    def sha256(self) -> str:
        """The hash of network, domain and norm."""
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values, the network by its hash."""
        return {
            "kind": "network", "network": self.network.sha256, "domain": self.domain.to_json(), "norm": self.norm,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Any, network: Network) -> NetworkTarget:
        """Read a target back, given its network. CheckError if that is another one."""
        if not isinstance(data, dict) or data.get("network") != network.sha256:
            raise CheckError("The network of the target is another one: the hash differs. Restore it.")
        return cls(network, Box.from_json(data["domain"]), data["norm"])

    def __str__(self) -> str:
        names = self.variables if len(self.variables) <= 3 else (self.variables[0], "...", self.variables[-1])
        return f"F({', '.join(names)}) = R(Psi), Psi a {self.network}, on {self.domain} in the {self.norm} norm"
