r"""Fewer weights: those that matter least become 0, and the others make up for them.

With U and V of `codec.quantize`, the weight w_ij of a layer is worth (w_ij / (V_ii U_jj))^2: about what the squared
error of the outputs grows by if it goes and the weights behind it make up for it. One threshold holds for all layers,
so how many weights a layer keeps follows from its Gram matrices.

Sources: B. Hassibi, D. Stork, Optimal Brain Surgeon, NIPS 1992; E. Frantar, D. Alistarh, SparseGPT, ICML 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.codec.quantize import Quantizer
from epsnet.core.network import Network


def prune(network: Network, points: NDArray[np.float64], keep: int) -> Network:
    """Return a network with at most `keep` nonzero entries in its matrices, close to the given one at the points.

    Hidden neurons are scaled by powers of two (`codec.quantize.fix_gauge`); biases stay, and change.

    Args:
        network: a plain network of ReLU layers.
        points: float64 (count, inputs), a sample of the inputs.
        keep: how many weights shall stay.

    Raises:
        DomainError: the network is not plain, or keep is not positive.
    """
    if keep < 1:
        raise DomainError(f"{keep} weights make no network. Keep at least one.")
    return Quantizer(network, points).prune(keep)
