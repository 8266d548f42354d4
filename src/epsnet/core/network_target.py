"""A network as what is to be learned: the target of a compression, and of the distance between two networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Norm
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.hashing import sha256_arrays, sha256_json
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
        sample: None, or the sha256 of given points of the domain: then the largest error on these alone counts, and
            nothing is said of any other point.
        points: how many they are.

    Raises:
        DomainError: the box does not fit the network, the norm is unknown, or is not "sup" for a sample.
    """

    network: Network
    domain: Box
    norm: Norm = "sup"
    sample: str | None = None
    points: int = 0

    def __post_init__(self) -> None:
        if self.domain.dimension != self.network.inputs:
            raise DomainError(
                f"The network has {self.network.inputs} inputs, the box {self.domain.dimension} intervals. "
                f"Give one for each input."
            )
        if self.norm not in ("sup", "L2"):
            raise DomainError(f"The norm {self.norm!r} is unknown. Use 'sup' or 'L2'.")
        if (self.sample is None) != (self.points == 0) or (self.sample is not None and self.norm != "sup"):
            raise DomainError("A sample needs its points and the sup norm. Use NetworkTarget.on_sample.")

    @classmethod
    def on_sample(cls, network: Network, points: ArrayLike) -> NetworkTarget:
        """Return the target of which only the values at the given points (n, d) count; its domain is a box with them.

        Raises:
            DomainError: the points do not fit the network or are not finite.
        """
        x = np.asarray(points, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != network.inputs or not len(x) or not np.isfinite(x).all():
            raise DomainError(
                f"Points of shape {x.shape} do not fit a network with {network.inputs} inputs. "
                f"Give a finite array (n, {network.inputs})."
            )
        lower, upper = x.min(axis=0) + 0.0, x.max(axis=0)
        upper = np.where(upper > lower, upper, np.nextafter(lower, np.inf))
        domain = Box(lower.tolist(), upper.tolist())
        return cls(network, domain, "sup", sample_hash(x), len(x))

    @property
    def quantity(self) -> str:
        """What a bound of the error is called."""
        if self.sample is None:
            return "error"
        return f"largest |F - Phi| on the {self.points:,} points of the sample {self.sample[:12]}"

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
        whole = {
            "kind": "network", "network": self.network.sha256, "domain": self.domain.to_json(), "norm": self.norm,
        }  # fmt: skip
        return whole if self.sample is None else {**whole, "sample": self.sample, "points": self.points}

    @classmethod
    def from_json(cls, data: Any, network: Network) -> NetworkTarget:
        """Read a target back, given its network. CheckError if that is another one."""
        if not isinstance(data, dict) or data.get("network") != network.sha256:
            raise CheckError("The network of the target is another one: the hash differs. Restore it.")
        sample, points = data.get("sample"), data.get("points", 0)
        if not (isinstance(sample, str | None) and type(points) is int):
            raise CheckError("The sample of the target is malformed. Restore it.")
        return cls(network, Box.from_json(data["domain"]), data["norm"], sample, points)

    def __str__(self) -> str:
        names = self.variables if len(self.variables) <= 3 else (self.variables[0], "...", self.variables[-1])
        where = f"on {self.domain}" if self.sample is None else f"on {self.points:,} given points"
        return f"F({', '.join(names)}) = R(Psi), Psi a {self.network}, {where} in the {self.norm} norm"


def sample_hash(points: NDArray[np.float64]) -> str:
    """Return the hash of points (n, d); a zero counts as +0."""
    return sha256_arrays({"points": points.astype(np.float64) + 0.0})
