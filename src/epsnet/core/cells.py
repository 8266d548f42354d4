"""`Cells`: all faces of a polyhedral subdivision of a box, with exact vertices, sign vectors and boundaries."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import fmpq, fmpz
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError

Boundary = tuple[tuple[tuple[int, ...], ...], ...]

Lists = tuple[NDArray[np.int64], NDArray[np.int64]]
"""For the cells of one dimension: how many faces each has, and their numbers one after the other."""

HYPOTHESES = ("the boundaries of the cells close up and fill the box, in rational arithmetic",)
"""What the rule `cells` of the checker checks, in words."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of all dimensions k = 0, ..., d of a subdivision of a box in R^d into convex polytopes.

    Column 2i of a sign vector belongs to x_i - low_i, column 2i + 1 to high_i - x_i, column 2d + j to the argument of
    the j-th bending neuron (`core.bends`), and one more, if there is a level, to the output minus the level. A sign is
    -1, 0 or 1; it is that of the function on the relative interior of the cell, and 0 means that it is 0 on all of it.

    Attributes:
        vertices: for each vertex its d rational coordinates.
        signs: for k = 0, ..., d an int8 array (f_k, K), the i-th row that of the i-th k-cell.
        boundary: for k = 0, ..., d and each k-cell the numbers of the (k-1)-cells in its boundary, increasing; none for
            vertices.
    """

    vertices: tuple[tuple[fmpq, ...], ...]
    signs: tuple[NDArray[np.int8], ...]
    boundary: Boundary

    @property
    def dimension(self) -> int:
        """The dimension d of the box."""
        return len(self.boundary) - 1

    def f_vector(self) -> tuple[int, ...]:
        """Return (f_0, ..., f_d), the number of cells of each dimension."""
        return tuple(len(cells) for cells in self.boundary)


def cell_signs(vertices: NDArray[np.int8], lists: Sequence[Lists]) -> tuple[NDArray[np.int8], ...]:
    """Return the sign vectors of the cells of each dimension 0, ..., d: those of the vertices, where they are not 0.

    Args:
        vertices: the sign vectors of the vertices, (f_0, K).
        lists: the faces of the cells of dimension 1, ..., d; every cell has some.

    Raises:
        DomainError: a cell has vertices of both signs.
    """
    count, columns = vertices.shape
    words = -(-columns // 64)
    # Of each row the bits of the positive columns, then those of the negative ones, 64 in a word.
    bits = np.zeros((count, 2, 64 * words), dtype=bool)
    bits[:, 0, :columns], bits[:, 1, :columns] = vertices > 0, vertices < 0
    packed = np.packbits(bits.reshape(count, -1), axis=1).view(np.uint64)
    signs = [vertices]
    for sizes, faces in lists:
        packed = np.bitwise_or.reduceat(packed[faces], np.cumsum(sizes) - sizes)
        if (packed[:, :words] & packed[:, words:]).any():
            raise DomainError("A function changes its sign on a cell. Cut the cell there.")
        both = np.unpackbits(packed.view(np.uint8), axis=1).view(np.int8).reshape(-1, 2, 64 * words)
        signs.append(both[:, 0, :columns] - both[:, 1, :columns])
    return tuple(signs)


def cell_boundary(vertices: int, lists: Sequence[Lists]) -> Boundary:
    """Return the faces of each cell of dimension 0, ..., d."""
    parts = []
    for sizes, faces in lists:
        flat, stops = faces.tolist(), np.cumsum(sizes).tolist()
        parts.append(tuple(tuple(flat[start:stop]) for start, stop in itertools.pairwise([0, *stops])))
    return (((),) * vertices, *parts)


def homogeneous(points: Sequence[Sequence[fmpq]]) -> list[list[fmpz]]:
    """Return for each point the integers (p_1, ..., p_d, q) without a common factor, q > 0, that mean p / q."""
    found = []
    for point in points:
        weight = fmpz(1)
        for x in point:
            weight = weight.lcm(x.q)
        found.append([*(x.p * (weight // x.q) for x in point), weight])
    return found


def witness(cells: Cells) -> dict[str, NDArray[np.integer]]:
    """Return the witness of the rule `cells` of the checker: text of the vertices, and the lists of faces."""
    text = "\n".join(" ".join(f"{int(n):x}" for n in point) for point in homogeneous(cells.vertices))
    own = [faces for part in cells.boundary[1:] for faces in part]
    return {
        "points": np.frombuffer(text.encode("ascii"), dtype=np.int8),
        "counts": np.array(cells.f_vector()[1:], dtype=np.int64),
        "sizes": np.array([len(faces) for faces in own], dtype=np.int64),
        "faces": np.array([face for faces in own for face in faces], dtype=np.int64),
    }
