"""Many seeds from one."""

from __future__ import annotations

import numpy as np

from epsnet.certify.errors import DomainError


def seeds(seed: int, count: int) -> tuple[int, ...]:
    """Return `count` seeds in {0, ..., 2^32 - 1} for streams that are independent for all practical purposes.

    The first k of them are the same for every count >= k, so a larger study repeats the smaller one. They come
    from NumPy's SeedSequence and are the same on every machine.

    Example:
        >>> seeds(0, 3)[:2] == seeds(0, 2)
        True

    Raises:
        DomainError: the seed or the count is negative.
    """
    if seed < 0 or count < 0:
        raise DomainError(f"The seed {seed} or the count {count} is negative. Give nonnegative integers.")
    return tuple(int(word) for word in np.random.SeedSequence(seed).generate_state(count))
