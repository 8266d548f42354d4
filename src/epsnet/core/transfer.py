r"""From an expansion to a network: the network of a generator, once for every atom, and what the sum errs by.

Let f(x) = sum_i c_i g_i(A_i x + b_i), and let N_i be the network of the generator g_i (`core.generators`), with the
error e_i and the tail tau_i for all A_i x + b_i with x in D. The networks c_i N_i(A_i x + b_i) stand side by side and
their last layers are added up: Phi = sum_i c_i N_i(A_i x + b_i). So an atom costs what N_i costs, with d weights and a
bias for each one that reads a variable of g_i, whatever the c_i, A_i and b_i are.

**Theorem.** Let B_i be a box that holds all x in D at which no factor of g_i is beyond its radius. Then for all x in D

$$ |f(x) - \Phi(x)| \le E(x) = \sum_i |c_i| \tau_i + \sum_{i: x \in B_i} |c_i| e_i, $$

so sup |f - Phi| <= max E, and ||f - Phi||_L2 <= ||E||_L2.

*Proof.* At x outside of B_i the network N_i is 0 and |g_i| <= tau_i; inside, |g_i - N_i| <= e_i. QED.

E is a step function on a grid, whose values here are integers times one unit, rounded up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import round_up
from epsnet.core.expansion_target import ExpansionTarget, Part
from epsnet.core.generators import Generator
from epsnet.core.linear_maps import Exact, Sparse
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network

MAX_WEIGHTS = 2_000_000
"""The most weights of all atoms together."""

MAX_GENERATOR_WEIGHTS = 200_000
"""The most weights of the generators together, each counted once."""

MAX_WORK = 2 * 10**6
"""The most that all factors together may take to enclose: some seconds."""

_MAX_GRID = 2**23
_UNITS = 2**40
_MAX_STRIPS = 4
_SHORTEST = 2.0**-300


def expansion_network(target: ExpansionTarget, generators: Sequence[Generator]) -> Network:
    """Return Phi of the module.

    Args:
        target: f.
        generators: one for each part, in this order, whose networks have the same depth.

    Raises:
        DomainError: the generators are others than those of f, or the network would be too large or take too long.
        HypothesisError: the depths differ.
    """
    texts = [(generator.text(), generator.forms) for generator in generators]
    if texts != [(part.generator, part.forms) for part in target.parts]:
        raise DomainError("The generators are not those of the expansion. Give one for each part, in this order.")
    if sum(factor.work for factor in {factor for generator in generators for factor in generator.factors}) > MAX_WORK:
        raise DomainError("To enclose the circuits of the generators would take too long. Use fewer cells or stages.")
    networks: list[Network] = []
    for generator in generators:
        networks.append(generator.network())
        if sum(network.size.weights for network in networks) > MAX_GENERATOR_WEIGHTS:
            raise DomainError(f"The generators have more than {MAX_GENERATOR_WEIGHTS:,} weights. Use fewer levels.")
    if len({len(network.layers) for network in networks}) > 1:
        raise HypothesisError("The networks of the generators differ in depth. Give all the same levels.")
    weights = sum(len(part) * network.size.weights for part, network in zip(target.parts, networks, strict=True))
    if weights > MAX_WEIGHTS:
        raise DomainError(f"The network would have more than {MAX_WEIGHTS:,} weights. Use fewer atoms or levels.")
    pairs = list(zip(target.parts, networks, strict=True))
    depth = len(networks[0].layers)
    copies = [[(len(part), network.layers[number]) for part, network in pairs] for number in range(1, depth - 1)]
    inner = [_stacked(blocks, number) for number, blocks in enumerate(copies, start=1)]
    return Network(target.domain.dimension, (_first(pairs), *inner, _last(pairs)))


Pairs = Sequence[tuple[Part, Network]]


def _first(pairs: Pairs) -> Layer:
    """Return the layer W (A_i x + b_i) + w for all atoms."""
    entries: dict[tuple[int, int], Fraction] = {}
    bias: list[Fraction] = []
    for part, network in pairs:
        layer = network.layers[0]
        rows = [[(j, Fraction(weight)) for j, weight in row] for row in layer.terms[0][1].rows]
        own = [Fraction(value) for value in layer.bias_values()]
        for matrix, offset in zip(part.matrices.tolist(), part.offsets.tolist(), strict=True):
            columns = [[Fraction(value) for value in column] for column in zip(*matrix, strict=True)]
            start = [Fraction(value) for value in offset]
            for row, constant in zip(rows, own, strict=True):
                for number, column in enumerate(columns):
                    entries[len(bias), number] = sum((weight * column[j] for j, weight in row), Fraction(0))
                bias.append(sum((weight * start[j] for j, weight in row), constant))
    shape = len(bias), pairs[0][0].matrices.shape[2]
    return Layer(((0, linear_map(shape, entries)),), bias_vector(bias), ("relu",))


def _stacked(blocks: Sequence[tuple[int, Layer]], number: int) -> Layer:
    """Return copies of layers as blocks, so many of each."""
    rows, columns, values, bias = [], [], [], []
    height = width = 0
    for count, layer in blocks:
        linear = layer.terms[0][1]
        i, j, own = linear.entries()
        copies = np.arange(count)[:, None]
        rows.append((height + copies * linear.shape[0] + i).ravel())
        columns.append((width + copies * linear.shape[1] + j).ravel())
        values += own * count
        bias += layer.bias_values() * count
        height, width = height + count * linear.shape[0], width + count * linear.shape[1]
    shape, places = (height, width), (np.concatenate(rows), np.concatenate(columns))
    floats = all(isinstance(value, float) for value in values)
    triples = zip(*(place.tolist() for place in places), values, strict=True)
    matrix = Sparse(shape, *places, values) if floats else Exact(shape, {(i, j): Fraction(v) for i, j, v in triples})
    return Layer(((number, matrix),), bias_vector(bias), ("relu",))


def _last(pairs: Pairs) -> Layer:
    """Return the layer that adds up the outputs times c_i."""
    entries: dict[tuple[int, int], Fraction] = {}
    width = 0
    for part, network in pairs:
        linear = network.layers[-1].terms[0][1]
        (row,) = linear.rows
        for c in part.coefficients.tolist():
            entries |= {(0, width + j): Fraction(c) * Fraction(weight) for j, weight in row}
            width += linear.shape[1]
    source = len(pairs[0][1].layers) - 1
    return Layer(((source, linear_map((1, width), entries)),), np.zeros(1), ("identity",))


@dataclass(frozen=True, slots=True)
class ExpansionError:
    """max E, and an upper bound of the norm of E in L2, both of the module."""

    sup: Fraction
    l2: Fraction


def expansion_error(target: ExpansionTarget, generators: Sequence[Generator]) -> ExpansionError:
    """Return the bounds of the theorem, for the generators of `expansion_network`.

    Raises:
        HypothesisError: a generator is not known so far out, or a circuit is not as it should be.
    """
    domain = target.domain
    everywhere, boxes, shares = Fraction(0), [], []
    for part, generator in zip(target.parts, generators, strict=True):
        reach = part.reach(domain)
        quality = generator.quality([max(-a, b) for a, b in zip(reach.lower, reach.upper, strict=True)])
        sizes = [abs(Fraction(c)) for c in part.coefficients.tolist()]
        everywhere += quality.tail * sum(sizes, Fraction(0))
        if quality.error:
            radii = [factor.radius for factor, own in generator.groups() for _ in own]
            boxes += [support(part, i, radii, domain) for i in range(len(part))]
            shares += [size * quality.error for size in sizes]
    highest, square = _largest_sum(domain, boxes, shares)
    # ||E|| <= ||constant|| + ||sum over boxes||, and the roots are rounded up.
    l2 = everywhere * upper_root(domain.volume) + upper_root(square)
    return ExpansionError(everywhere + highest, l2)


def support(part: Part, atom: int, radii: Sequence[Fraction | None], domain: Box) -> Box | None:
    """Return a box that holds all x in the domain with |(A x + b)_j| < r_j for all j; None if there is no such x."""
    rows = [
        ([Fraction(a) for a in row], Fraction(b), radius)
        for row, b, radius in zip(part.matrices[atom].tolist(), part.offsets[atom].tolist(), radii, strict=True)
        if radius is not None
    ]
    low, high = list(domain.lower), list(domain.upper)

    def narrow(axis: int, middle: Fraction, half: Fraction) -> None:
        low[axis], high[axis] = max(low[axis], middle - half), min(high[axis], middle + half)

    if domain.dimension == 1:
        for (a,), b, radius in rows:
            if a:
                narrow(0, -b / a, radius / abs(a))
    elif domain.dimension == 2:
        # Two strips meet in a parallelogram; of many strips the first ones are enough.
        for ((a, b), s, r), ((c, d), t, q) in itertools.combinations(rows[:_MAX_STRIPS], 2):
            if determinant := a * d - b * c:
                narrow(0, (b * t - d * s) / determinant, (abs(d) * r + abs(b) * q) / abs(determinant))
                narrow(1, (c * s - a * t) / determinant, (abs(c) * r + abs(a) * q) / abs(determinant))
    return Box(low, high) if all(a < b for a, b in zip(low, high, strict=True)) else None


def _largest_sum(domain: Box, boxes: Sequence[Box | None], shares: Sequence[Fraction]) -> tuple[Fraction, Fraction]:
    """Return upper bounds of the maximum and of the integral of the square of sum_i share_i 1_(box i)."""
    kept = [(box, share) for box, share in zip(boxes, shares, strict=True) if box is not None and share]
    if not kept:
        return Fraction(0), Fraction(0)
    d, unit = domain.dimension, max(share for _, share in kept) / _UNITS
    places = [sorted({end for box, _ in kept for end in (box.lower[axis], box.upper[axis])}) for axis in range(d)]
    shape = [len(own) for own in places]
    # In three and more variables every box is the domain (`support`).
    if d > 2 or math.prod(shape) > _MAX_GRID:
        highest = sum((share for _, share in kept), Fraction(0))
        return highest, highest**2 * domain.volume
    number = [{end: k for k, end in enumerate(own)} for own in places]
    grid = np.zeros(shape, dtype=np.int64)
    for box, share in kept:
        steps = math.ceil(share / unit)
        ends = [(own[a], own[b]) for own, a, b in zip(number, box.lower, box.upper, strict=True)]
        for corner in itertools.product((0, 1), repeat=d):
            grid[tuple(pair[side] for pair, side in zip(ends, corner, strict=True))] += steps * (-1) ** sum(corner)
    for axis in range(d):
        grid = np.cumsum(grid, axis=axis)
    values = grid.astype(np.float64)
    square = values**2
    for axis in range(d - 1, -1, -1):
        side = domain.upper[axis] - domain.lower[axis]
        lengths = [max(round_up((b - a) / side), _SHORTEST) for a, b in itertools.pairwise(places[axis])]
        square = square[..., :-1] @ np.array(lengths)
    # Sums and products of fewer than 2^26 nonnegative numbers, none of them subnormal.
    return int(grid.max()) * unit, Fraction(float(square) * (1 + 2.0**-20)) * unit**2 * domain.volume


def upper_root(value: Fraction) -> Fraction:
    """Return a rational a little above the square root of one."""
    if value <= 0:
        return Fraction(0)
    # The integer root of value * 4^k, rounded up, has some 60 bits.
    shift = max(0, 60 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    return Fraction(math.isqrt(math.ceil(value * 4**shift)) + 1, 2**shift)
