"""Kernels block by block: little memory, half the work if both sets of points are one, any backend of joblib."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from epsnet.generalization.dual_activations import Floats
from epsnet.generalization.kernel_recursion import Own, PairRun, Pairs, Program, own_states

BLOCK = 2**16
"""Numbers in one array of a block, about: a few such arrays fit into the cache of a core."""

OWN = 2**22
"""Numbers in one array of the points with themselves."""


def blockwise(program: Program, x: Floats, y: Floats | None, jobs: int | None) -> tuple[Floats, Floats]:
    """Return K and Theta of the points x with y, or their deficits if the program is exact; y = None means x."""
    from joblib import Parallel, delayed

    rows = _own(program, x)
    columns = rows if y is None else _own(program, y)
    others = x if y is None else y
    side = _side(program)
    k, t = np.empty((len(x), len(others))), np.empty((len(x), len(others)))
    marks = marks_of(x, others) if x.ndim == 2 else None
    tasks = list(_tiles(len(x), len(others), side, symmetric=y is None))
    calls = (
        delayed(_block)(
            program,
            x[i],
            others[j],
            [own[i] for own in rows],
            [own[j] for own in columns],
            y is None and i == j,
            None if marks is None else marks[0][i, None] == marks[1][j],
        )
        for i, j in tasks
    )
    try:
        parallel = Parallel(n_jobs=jobs, return_as="generator")
    except ValueError:
        # The backend of multiprocessing, and that of Ray which is built on it, returns lists only.
        parallel = Parallel(n_jobs=jobs)
    found: Any = parallel(calls)
    for (i, j), (block_k, block_t) in zip(tasks, found, strict=True):
        k[i, j], t[i, j] = block_k, block_t
        if y is None and i != j:
            k[j, i], t[j, i] = block_k.T, block_t.T
    return k, t


def _block(
    program: Program, x: Floats, y: Floats, rows: list[Own], columns: list[Own], diagonal: bool, equal: Any
) -> tuple[Floats, Floats]:
    same = np.eye(len(x), dtype=bool) if diagonal else None
    state = PairRun(program, rows, columns, same=same).run(x, y, equal)
    found = _deficits(state, rows[-1], columns[-1]) if program.exact else (state.c, state.t)
    if diagonal:
        # Rounding need not be symmetric.
        below = np.tril_indices(len(x), -1)
        for kernel in found:
            kernel[below] = kernel.T[below]
    return found


def _deficits(state: Pairs, row: Own, column: Own) -> tuple[Floats, Floats]:
    """Return (K_11 K_22)^(1/2) - K_12 and the same for Theta, from the deficits where they are small."""
    near = state.near
    assert near is not None
    positive = near.sign > 0
    found = []
    for name, values, deficits in (("k", state.c, near.deficit), ("t", state.t, near.slope)):
        scale = np.sqrt(getattr(row, name))[:, None] * np.sqrt(getattr(column, name))
        deficit = scale - values
        deficit[state.equal] = 0.0
        index = near.index[positive]
        deficit.ravel()[index] = scale.ravel()[index] * deficits[positive]
        found.append(deficit)
    return found[0], found[1]


def marks_of(x: Floats, y: Floats) -> tuple[Any, Any]:
    """Return a number for each point, equal for equal points."""
    numbers: dict[bytes, int] = {}
    # Adding 0 makes -0 and 0 equal.
    rows, columns = (np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in a + 0.0]) for a in (x, y))
    return rows, columns


def _side(program: Program) -> int:
    pixels = math.prod(program.shape[:-1])
    return max(1, int(math.sqrt(BLOCK / (pixels**2 if program.crossed else pixels))))


def _own(program: Program, x: Floats) -> list[Own]:
    """Return the states of the points with themselves, a few points at a time."""
    pixels = math.prod(program.shape[:-1])
    step = max(1, OWN // (pixels**2 if program.crossed else pixels))
    parts = [own_states(program, x[start : start + step]) for start in range(0, len(x), step)]
    return [
        Own(*(np.concatenate([getattr(s, name) for s in states]) for name in "kt"))
        for states in zip(*parts, strict=True)
    ]


def _tiles(n: int, m: int, side: int, symmetric: bool) -> Iterator[tuple[slice, slice]]:
    for i in range(0, n, side):
        for j in range(i if symmetric else 0, m, side):
            yield slice(i, min(i + side, n)), slice(j, min(j + side, m))
