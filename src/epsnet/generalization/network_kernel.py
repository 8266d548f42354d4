"""One kernel of an infinitely wide network as a function of points, with its diagonal at the cost of the diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.generalization.kernel_recursion import Program, own_states
from epsnet.generalization.kernels import kernels
from epsnet.generalization.wide_network import Dense, WideNetwork

Kind = Literal["ntk", "nngp"]


@dataclass(frozen=True)
class NetworkKernel:
    """k(x, y) of a network; see `kernels`.

    Attributes:
        network: the architecture.
        kind: "ntk" or "nngp".
    """

    network: WideNetwork
    kind: Kind = "ntk"

    def __post_init__(self) -> None:
        if self.kind not in ("ntk", "nngp"):
            raise DomainError(f"The kernel {self.kind!r} is unknown. Use 'ntk' or 'nngp'.")

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the kernel of n points with m points, or with themselves, (n, m)."""
        return getattr(kernels(self.network, x, y), self.kind)

    def diagonal(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return k(x_i, x_i) for n points, (n,)."""
        last = own_states(Program(self.network, x.shape[1:]), x)[-1]
        return last.t if self.kind == "ntk" else last.k


def dense_network(depth: int, activation: str, weight_std: float, bias_std: float) -> WideNetwork:
    """Return the infinitely wide network of L dense layers, all with these deviations, and an activation between them.

    Args:
        depth: L >= 1.
        activation: its name.
        weight_std: sigma_w > 0.
        bias_std: sigma_b >= 0.
    """
    if depth < 1:
        raise DomainError(f"depth = {depth} makes no network. Give a positive integer.")
    layers = [Dense(weight_std, bias_std), *[activation, Dense(weight_std, bias_std)] * (depth - 1)]
    return WideNetwork(layers)
