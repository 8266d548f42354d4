"""Affine normalization of data, and its removal from a trained network.

A network is trained on (x - c)/s and (t - u)/v. Both maps are affine, so they fold into the first and the last layer:
the network handed back takes raw inputs and returns raw outputs, and no normalization has to travel with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError

_LARGEST = 1e150

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]


class Normalization(NamedTuple):
    """The affine maps x -> (x - center)/scale of the inputs and t -> (t - target_center)/target_scale of the targets.

    center and scale have shape (d,), target_center has shape (m,). target_scale is one number for all outputs: so the
    square loss of the normalized problem is the raw one divided by target_scale^2, with the same minimizers.
    """

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    target_center: NDArray[np.float64]
    target_scale: float


def normalization(inputs: NDArray[Any], targets: NDArray[np.float64] | None) -> Normalization:
    """Return the maps to mean 0 and variance 1: one mean and variance for all pixels, or one for each feature.

    Arguments:
        inputs: uint8 images (n, h, w) or a float64 matrix (n, d).
        targets: real targets (n, m); None for class labels, which stay as they are.

    Raises:
        DomainError: a number whose square is beyond float64.
    """
    for values in (inputs, targets):
        if values is not None and np.abs(values).max(initial=0) > _LARGEST:
            raise DomainError(f"The data contain numbers beyond {_LARGEST:g}, too large to square. Scale them.")
    if inputs.dtype == np.uint8:
        size = int(np.prod(inputs.shape[1:]))
        center, scale = np.full(size, inputs.mean()), np.full(size, inputs.std())
    else:
        center, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # a constant feature carries nothing: center it, leave its scale
    if targets is None:
        return Normalization(center, scale, np.zeros(1), 1.0)
    target_center = targets.mean(axis=0)
    return Normalization(center, scale, target_center, float(np.sqrt(np.mean((targets - target_center) ** 2))) or 1.0)


def fold(layers: list[Layer], maps: Normalization) -> list[Layer]:
    """Return the network x -> u + v Phi((x - c)/s) as layers, computed in float64.

    The first layer (A, b) becomes (A/s, b - (A/s) c), the last one (A, b) becomes (v A, v b + u).
    """
    folded = [(np.asarray(matrix, np.float64), np.asarray(bias, np.float64)) for matrix, bias in layers]
    matrix, bias = folded[0]
    folded[0] = (matrix / maps.scale, bias - (matrix / maps.scale) @ maps.center)
    matrix, bias = folded[-1]
    folded[-1] = (maps.target_scale * matrix, maps.target_scale * bias + maps.target_center)
    return folded
