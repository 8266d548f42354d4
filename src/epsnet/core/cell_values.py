r"""Exact values of a piecewise-linear network from its cells: extreme values, affine maps, Lipschitz constants.

On the closure of each cell of dimension d the network is affine, and these closures cover the box. So

* an output has its maximum and its minimum over the box at vertices, and so does the difference of two networks;
* the Lipschitz constant on the box is the largest operator norm of the gradients of the d-cells: each is attained
  inside its cell, and along a segment the differences of the pieces add up.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from flint import fmpq, fmpz, fmpz_mat

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.bends import BendingForms
from epsnet.core.calculus import postcompose_affine
from epsnet.core.cells import Cells, homogeneous
from epsnet.core.components import side_by_side
from epsnet.core.linear_maps import Sparse
from epsnet.core.matrices import linear_map
from epsnet.core.network import Layer, Network

_CHUNK = 2**22


def difference(first: Network, second: Network) -> Network:
    """Return the network of R(first) - R(second). DomainError if they differ in shape or end with an activation."""
    count = first.outputs
    if (first.inputs, count) != (second.inputs, second.outputs):
        raise DomainError("The two networks differ in their inputs or outputs. Give networks of one shape.")
    entries = {(i, i + side * count): Fraction(1 - 2 * side) for i in range(count) for side in (0, 1)}
    both = side_by_side([first, second])
    return postcompose_affine(linear_map((count, 2 * count), entries), [0] * count, both)


def vertex_values(network: Network, box: Box, cells: Cells) -> list[list[fmpq]]:
    """Return for each output its values at the vertices."""
    points = homogeneous(cells.vertices)
    rows, scale = _outputs(network, box, points)
    return [
        [fmpq(y, scale * point[-1]) for y, point in zip(row, points, strict=True)] for row in zip(*rows, strict=True)
    ]


def affine_maps(network: Network, box: Box, cells: Cells) -> list[list[fmpq]]:
    """Return for each d-cell the affine map there: for x_1, ..., x_d and 1 the coefficients of all outputs."""
    points = homogeneous(cells.vertices)
    values, scale = _outputs(network, box, points)
    return [
        [c / scale for c in fmpz_mat([points[v] for v in own]).solve(fmpz_mat([values[v] for v in own])).entries()]
        for own in _simplices(cells)
    ]


def lipschitz_power(network: Network, box: Box, cells: Cells, norm: str) -> fmpq:
    """Return the Lipschitz constant in the sup norm, or the square of that in the Euclidean norm ("L2").

    Raises:
        HypothesisError: the norm is Euclidean and there are several outputs.
    """
    count = network.outputs
    if norm != "sup" and count > 1:
        raise HypothesisError("The exact Euclidean constant is for one output. Take the sup norm, or one output.")
    power = 1 if norm == "sup" else 2
    return max(
        sum((abs(slope) ** power for slope in own[output:-count:count]), fmpq(0))
        for own in affine_maps(network, box, cells)
        for output in range(count)
    )


def _outputs(network: Network, box: Box, points: list[list[fmpz]]) -> tuple[list[tuple[fmpz, ...]], int]:
    """Return for each point p / q all outputs times q and a scale, and the scale."""
    outputs = network.outputs
    # With a layer of neurons that bend behind it, the outputs of the network are columns.
    places = np.arange(outputs)
    repeat = Sparse((outputs, outputs), places, places, np.ones(outputs))
    last = Layer(((len(network.layers), repeat),), np.zeros(outputs), ("abs",))
    forms = BendingForms(Network(network.inputs, (*network.layers, last)), box)
    values, step = [], 1 + _CHUNK // forms.width
    for start in range(0, len(points), step):
        part = fmpz_mat(points[start : start + step]).transpose()
        values.extend(zip(*forms.values(part)[-outputs:], strict=True))
    return values, forms.scales[-1]


def _simplices(cells: Cells) -> list[tuple[int, ...]]:
    """Return d + 1 affinely independent vertices of each d-cell: d of a face, and one that is not there."""
    found: list[tuple[int, ...]] = [(vertex,) for vertex in range(len(cells.vertices))]
    for k in range(1, cells.dimension + 1):
        first = [faces[0] for faces in cells.boundary[k]]
        # A column that vanishes on the first face, but not on the cell.
        columns = ((cells.signs[k - 1][first] == 0) & (cells.signs[k] != 0)).argmax(axis=1).tolist()
        found = [
            (*found[faces[0]], next(v for face in faces[1:] for v in found[face] if cells.signs[0][v, column]))
            for faces, column in zip(cells.boundary[k], columns, strict=True)
        ]
    return found
