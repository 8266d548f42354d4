"""Planes through the domain of a network: the network on such a plane is one of two variables, exactly.

The restriction of a piecewise-linear network to a plane x = p + s u + t v is again one, with the same layers behind the
first; its weights are kept as rationals where they are no float64 numbers. So all that is known for two variables, the
partition and its picture, the topology of level sets, exact ranges, holds on a plane of any domain, MNIST's included.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.core.calculus import precompose_affine
from epsnet.core.matrices import linear_map
from epsnet.core.network import Network


def plane_slice(network: Network, points: ArrayLike) -> Network:
    """Return the network of (s, t) -> R(Phi)(p_0 + s (p_1 - p_0) + t (p_2 - p_0)).

    Args:
        network: R^d -> R^m.
        points: p_0, p_1, p_2, of shape (3, d), not on one line; they are at (0, 0), (1, 0) and (0, 1).

    Example:
        >>> ridge = Network.from_layers([([[1.0, 1.0, 1.0]], [-1.5]), ([[1.0]], [0.0])])
        >>> print(plane_slice(ridge, np.eye(3)))
        Phi: R^2 -> R^1   2 -> 1 relu -> 1   depth L = 2, weights M = 2, |weights| <= 1
    """
    given = np.asarray(points, dtype=np.float64)
    if given.shape != (3, network.inputs) or not np.isfinite(given).all():
        raise DomainError(
            f"The points have shape {given.shape}, or are not finite. Give three points with {network.inputs} numbers."
        )
    if np.linalg.matrix_rank(given[1:] - given[0]) < 2:
        raise DomainError("The three points lie on a line. Choose others.")
    origin, *ends = ([Fraction(x) for x in point] for point in given.tolist())
    sides = [[a - b for a, b in zip(end, origin, strict=True)] for end in ends]
    return _restricted(network, sides, origin)


def coordinate_slice(
    network: Network, domain: Box, axes: tuple[int, int], at: Sequence[float | Fraction] | None = None
) -> tuple[Network, Box]:
    """Return a network as a function of two of its inputs, the others fixed, and the rectangle of these two.

    Args:
        network: R^d -> R^m.
        domain: of dimension d.
        axes: two different inputs, counted from 0.
        at: the values of all inputs, of which those of the two do not matter; by default the middle of the domain.
    """
    if domain.dimension != network.inputs:
        raise DomainError(f"The network takes {network.inputs} inputs. Give a domain with as many intervals.")
    first, second = axes
    if first == second or not all(0 <= axis < network.inputs for axis in axes):
        raise DomainError(f"The inputs have the numbers 0 to {network.inputs - 1}. Choose two different ones.")
    middle = [(low + high) / 2 for low, high in zip(domain.lower, domain.upper, strict=True)]
    origin = middle if at is None else [Fraction(x) for x in at]
    if len(origin) != network.inputs:
        raise DomainError(f"The point has {len(origin)} coordinates. Give {network.inputs}.")
    origin = [Fraction(0) if axis in axes else x for axis, x in enumerate(origin)]
    sides = [[Fraction(int(axis == own)) for axis in range(network.inputs)] for own in axes]
    lower, upper = ([ends[axis] for axis in axes] for ends in (domain.lower, domain.upper))
    return _restricted(network, sides, origin), Box(lower, upper)


def _restricted(network: Network, sides: Sequence[Sequence[Fraction]], origin: Sequence[Fraction]) -> Network:
    entries = {(i, j): x for j, side in enumerate(sides) for i, x in enumerate(side) if x}
    return precompose_affine(network, linear_map((network.inputs, 2), entries), origin)
