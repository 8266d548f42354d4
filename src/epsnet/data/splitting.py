"""Deterministic random splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError


def split(n: int, fractions: Sequence[float], seed: int) -> tuple[NDArray[np.int64], ...]:
    """Split the indices 0, ..., n-1 at random into parts of the given fractions.

    With the cumulative sums s_k of the fractions, part k holds the entries round(s_{k-1} n), ..., round(s_k n) - 1 of a
    uniform permutation, sorted. The parts are disjoint and cover everything. The same arguments give the same parts
    on every machine: the generator is Philox, seeded by SeedSequence(seed).

    Arguments:
        n: how many indices.
        fractions: positive numbers with sum 1.
        seed: a nonnegative integer.

    Returns:
        One sorted integer array for each fraction.

    Raises:
        DomainError: the fractions are not positive with sum 1, or n is too small to give each part an index.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not np.all(shares > 0) or not np.isclose(shares.sum(), 1.0):
        raise DomainError(f"The fractions {list(fractions)} do not split a sample. Give positive numbers with sum 1.")
    bounds = np.rint(np.cumsum(shares) * n).astype(int)
    if np.any(np.diff(bounds, prepend=0) < 1):
        raise DomainError(f"{n} examples leave a part of {list(fractions)} empty. Give more examples or fewer parts.")
    permutation = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed))).permutation(n)
    return tuple(np.sort(part) for part in np.split(permutation, bounds[:-1]))
