r"""The numbers of cells of a large complex, slab by slab: in parallel, and in the memory of one slab at a time.

A hyperplane H = {x_i = c} through a box cuts the complex in two, A and B, and what it cuts is a complex C of dimension
d - 1 on H, that of the network restricted to H. If no cell lies in H, each (k-1)-cell of C belongs to one k-cell that H
cuts; so

$$ f_k = f_k(A) + f_k(B) - 2 f_k(C) - f_{k-1}(C), $$

because A and B both count the cells of C, and the two halves of each cell that is cut. With several parallel cuts all
slabs are added, and the cells of all cuts subtracted.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import cast

from joblib import Parallel, delayed

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.core.calculus import precompose_affine
from epsnet.core.matrices import linear_map
from epsnet.core.network import Network
from epsnet.enclosure.complex import polyhedral_complex

_OFFSET = Fraction(377, 10_000)
"""Where a cut lies in its share of the side: not in the middle, where symmetric networks bend."""


def f_vector(network: Network, domain: Box, *, slabs: int, jobs: int | None = None) -> tuple[int, ...]:
    """Return the number of cells of each dimension, counted in float64: ESTIMATED.

    Args:
        network: as for `polyhedral_complex`.
        domain: a box; its longest side is cut.
        slabs: how many parts, at least 1. They are the same whatever `jobs` is.
        jobs: how many are counted at once, -1 for all cores; None leaves it to joblib.parallel_config.

    Raises:
        DomainError, HypothesisError: as `polyhedral_complex`.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> f_vector(hat, Box(-1, 2), slabs=4)
        (5, 4)
    """
    if slabs < 1:
        raise DomainError(f"The domain cannot be cut into {slabs} slabs. Give at least 1.")
    if domain.dimension != network.inputs:
        raise DomainError(f"The network takes {network.inputs} inputs. Give a domain with as many intervals.")
    d, sides = domain.dimension, [high - low for low, high in zip(domain.lower, domain.upper, strict=True)]
    axis = max(range(d), key=sides.__getitem__)
    low, high = domain.lower[axis], domain.upper[axis]
    cuts = [Fraction(float(low + sides[axis] * (number + _OFFSET) / slabs)) for number in range(1, slabs)]
    ends = [low, *cuts, high]
    parts = [(network, _with_side(domain, axis, a, b)) for a, b in pairwise(ends)]
    walls = [_wall(network, domain, axis, cut) for cut in cuts] if d > 1 else []
    tasks = [delayed(_count)(*task) for task in [*parts, *walls]]
    found = cast("list[tuple[int, ...]]", Parallel(n_jobs=jobs)(tasks))
    between = found[slabs:] if d > 1 else [(1,)] * len(cuts)
    total = [sum(counts[k] for counts in found[:slabs]) for k in range(d + 1)]
    for counts in between:
        for k, count in enumerate(counts):
            total[k] -= 2 * count
            total[k + 1] -= count
    return tuple(total)


def _count(network: Network, domain: Box) -> tuple[int, ...]:
    return polyhedral_complex(network, domain).f_vector()


def _with_side(domain: Box, axis: int, low: Fraction, high: Fraction) -> Box:
    lower, upper = list(domain.lower), list(domain.upper)
    lower[axis], upper[axis] = low, high
    return Box(lower, upper)


def _wall(network: Network, domain: Box, axis: int, cut: Fraction) -> tuple[Network, Box]:
    """Return the network as a function of the other inputs where this one equals the cut, and their box."""
    others = [i for i in range(domain.dimension) if i != axis]
    place = linear_map((domain.dimension, len(others)), {(i, j): Fraction(1) for j, i in enumerate(others)})
    restricted = precompose_affine(network, place, [cut if i == axis else 0 for i in range(domain.dimension)])
    return restricted, Box([domain.lower[i] for i in others], [domain.upper[i] for i in others])
