r"""Lipschitz constants of networks: certified from above on a box and everywhere, sampled from below.

Two local bounds, both in `core` so that the checker can take them again, and one inequality between the norms:

* `interval-jacobian`: the largest row sum of an interval Jacobian (sup norm);
* `layer-splitting`: the Euclidean constant, split at the activations;
* `norm-equivalence`: |y|_inf <= |y|_2 and |x|_2 <= sqrt(d) |x|_inf, so that Lip_inf <= sqrt(d) Lip_2.

In dimension <= 5 the box is bisected where the bound is largest: a Lipschitz constant on a convex set is the greatest
of those on the pieces, because a segment between two points runs through the pieces.
"""

from __future__ import annotations

import contextlib
import heapq
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind, Norm
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import round_up
from epsnet.core.jacobian import Interval, interval_jacobian, jacobian_norm, slopes
from epsnet.core.network import Network
from epsnet.core.slopes import slope_ranges
from epsnet.core.splitting import MAX_ENTRIES, Block, blocks, combine

Array = NDArray[np.float64]

MAX_DIMENSION = 5
"""The largest dimension in which a box is bisected."""
SLACK = 1.0 + 2.0**-20
"""A claim exceeds what was computed by this factor, so that another machine, which rounds differently, agrees."""
INTERVAL, SPLITTING = "interval-jacobian", "layer-splitting"
_WORK = 8_000_000
_BALLS, _OVERHEAD = 2000, 10_000  # a smooth neuron and a cell as such, in multiply-adds
_MAX_DEPTH = 50
_GOAL = 1.0 + 2.0**-8
_PRECISE: Any = {"tol": 1e-6}  # scipy's signature says that this is an integer
_SMALL = 200  # rows up to which all eigenvalues are as quick as the largest


@dataclass(frozen=True, slots=True)
class Certified:
    """A bound with what the checker needs to take it again: pairs of a bound of the derivation and its witness."""

    bound: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def lipschitz_bounds(network: Network, box: Box | None, sampled: dict[str, float]) -> dict[str, Certified]:
    """Return certified Lipschitz constants of R(Phi) on a box, or on all of R^d, in both norms.

    Args:
        network: Phi: R^d -> R^m.
        box: where; None for R^d.
        sampled: lower bounds by norm, at which refining may stop.

    Returns:
        The bounds by norm: "sup" for |Phi(x) - Phi(y)|_inf <= v |x - y|_inf, "L2" for the Euclidean norms.

    Raises:
        DomainError: the box does not fit, or the network is too large for the analysis.

    Source: Weng et al. 2018; Combettes and Pesquet 2020; see `core.jacobian` and `core.splitting`.
    """
    with np.errstate(all="ignore"):  # what overflows becomes infinite, and is refused in the end
        return _lipschitz_bounds(network, box, sampled)


def _lipschitz_bounds(network: Network, box: Box | None, sampled: dict[str, float]) -> dict[str, Certified]:
    ranges = slopes(network, box)
    euclidean = [_Method(network, "L2", INTERVAL).cell(box, 0, ranges)]
    with contextlib.suppress(DomainError):  # the matrices of the splitting would be too large
        euclidean.append(_Method(network, "L2", SPLITTING).cell(box, 0, ranges))
    direct = _search(_Method(network, "sup", INTERVAL).cell(box, 0, ranges), sampled.get("sup", 0.0))
    euclidean = _search(min(euclidean, key=lambda cell: cell.value), sampled.get("L2", 0.0))
    other = _from_euclidean(network, euclidean)
    return {"sup": min(direct, other, key=lambda found: found.bound.value), "L2": euclidean}


def _from_euclidean(network: Network, euclidean: Certified) -> Certified:
    premise = euclidean.bound
    root = math.isqrt(network.inputs << 64) + 1  # sqrt(d) 2^32, rounded up
    value = round_up(premise.limit * Fraction(root, 2**32))
    bound = Bound(
        quantity="lipschitz", sense="<=", value=value, norm="sup", domain=premise.domain, kind=Kind.VERIFIED,
        theorem="norm-equivalence", rule="cover", network=network.sha256, premises=(premise,),
    )  # fmt: skip
    return Certified(bound, euclidean.witnesses)


@dataclass(frozen=True, slots=True)
class _Method:
    """A way to bound the Lipschitz constant of a network on one box: a norm and a theorem."""

    network: Network
    norm: Norm
    theorem: str

    def cell(self, box: Box | None, depth: int, ranges: list[Interval]) -> _Cell:
        """Return the bound on a box, given the slopes of the activations there."""
        norms: dict[tuple[int, int], float] = {}
        if self.theorem == INTERVAL:
            value = jacobian_norm(self.network, ranges, self.norm)
        else:
            norms = {(block.reader, block.source): norm_bound(block) for block in blocks(self.network, ranges)}
            value = combine(self.network, ranges, norms)
        axis = 0
        if box is not None and box.dimension <= MAX_DIMENSION:
            low, high = interval_jacobian(self.network, ranges)
            sides = [float(b - a) for a, b in zip(box.lower, box.upper, strict=True)]
            axis = int(np.argmax(np.maximum(np.abs(low), np.abs(high)).sum(axis=0) * sides))
        return _Cell(-value, depth, self, box, value, list(norms.values()), axis)


@dataclass(order=True, slots=True)
class _Cell:
    """A box of the bisection and its bound; a heap gives the largest bound first.

    Attributes:
        priority: minus the bound, or minus that of a box around it where that is less.
        depth: how many cuts led to it.
        method: how the bound was found.
        box: the box; None for R^d.
        value: the bound of this very box.
        norms: the witness of the bound.
        axis: the direction in which the Jacobian can matter most over the box.
        cut, halves: where it was cut into what.
    """

    priority: float
    depth: int = field(compare=False)
    method: _Method = field(compare=False)
    box: Box | None = field(compare=False)
    value: float = field(compare=False)
    norms: list[float] = field(compare=False)
    axis: int = field(compare=False)
    cut: float = field(default=0.0, compare=False)
    halves: tuple[_Cell, ...] = field(default=(), compare=False)

    def best(self) -> float:
        """Return the least bound for the box that the tree below it gives."""
        return min(self.value, max((half.best() for half in self.halves), default=self.value))

    def bisect(self) -> None:
        """Cut the box in two, unless it came from too many cuts: kinks that meet in a point are never apart."""
        assert self.box is not None
        low, high, axis = self.box.lower, self.box.upper, self.axis
        cut = Fraction(float((low[axis] + high[axis]) / 2))
        if self.depth < _MAX_DEPTH and low[axis] < cut < high[axis]:
            boxes = (Box(low, (*high[:axis], cut, *high[axis + 1 :])), Box((*low[:axis], cut, *low[axis + 1 :]), high))
            self.cut = float(cut)
            self.halves = tuple(
                self.method.cell(half, self.depth + 1, slopes(self.method.network, half)) for half in boxes
            )
            for half in self.halves:
                half.priority = max(half.priority, self.priority)


def _search(root: _Cell, goal: float) -> Certified:
    """Bisect where the bound is largest, and write the part of the tree that pays in prefix order."""
    network, box, theorem = root.method.network, root.box, root.method.theorem
    cells = 1
    if box is not None and box.dimension <= MAX_DIMENSION:
        balls = sum(function.slopes is None for layer in network.layers for function in layer.functions())
        cost = network.size.connections * (5 if theorem == SPLITTING else 1) + _BALLS * balls + _OVERHEAD
        cells = max(1, _WORK // cost)
    heap = [root]
    while len(heap) < cells and -heap[0].priority > goal * _GOAL:
        worst = heapq.heappop(heap)
        worst.bisect()
        if not worst.halves:
            break
        for half in worst.halves:
            heapq.heappush(heap, half)
    axes: list[int] = []
    splits: list[float] = []
    norms: list[float] = []
    stack = [root]
    while stack:
        cell = stack.pop()
        if cell.best() < cell.value:
            axes.append(cell.axis)
            splits.append(cell.cut)
            stack += reversed(cell.halves)
        else:
            axes.append(-1)
            splits.append(0.0)
            norms += cell.norms
    value = root.best() * SLACK
    if not math.isfinite(value):
        raise DomainError("The Lipschitz bound exceeds the range of float64. Scale the network or take a smaller box.")
    witness = {}
    if box is not None:
        witness = {"axis": np.array(axes, dtype=np.int64), "split": np.array(splits, dtype=np.float64)}
    if theorem == SPLITTING:
        witness["norm"] = np.array(norms, dtype=np.float64)
    bound = Bound(
        quantity="lipschitz", sense="<=", value=float(value), norm=root.method.norm, domain=box, kind=Kind.VERIFIED,
        theorem=theorem, rule="cover", network=network.sha256,
        hypotheses=() if box is None else (f"{axes.count(-1)} cells cover the domain",),
    )  # fmt: skip
    return Certified(bound, ((bound, witness),) if witness else ())


def norm_bound(block: Block) -> float:
    """Find a small t for which `block.norm_is_at_most(t)`: the norm, then a little more until it holds."""
    estimate = _norm(block)
    for step in (2.0**-20, 2.0**-12, 2.0**-7, 2.0**-4):
        limit = estimate * (1.0 + step) + 2 * block.error
        if limit < block.frobenius and block.norm_is_at_most(limit):
            return limit
    return (block.frobenius + 2 * block.error) * SLACK


def _norm(block: Block) -> float:
    """Return about the spectral norm of a block."""
    from scipy.sparse.linalg import ArpackError, eigsh

    if min(block.matrix.shape) ** 2 > MAX_ENTRIES:
        return block.frobenius
    gram = block.gram
    if not gram.any():
        return 0.0
    try:
        if len(gram) <= _SMALL:
            largest = float(np.linalg.eigvalsh(gram)[-1])
        else:
            largest = float(eigsh(gram, k=1, which="LA", v0=np.ones(len(gram)), maxiter=300, **_PRECISE)[0][0])
    except (ArpackError, np.linalg.LinAlgError):
        largest = float(np.abs(gram).sum(axis=1).max())
    return math.sqrt(max(largest, 0.0))


@np.errstate(all="ignore")
def norm_products(network: Network) -> dict[str, float]:
    """Return the product of the norms of the layers by norm: what is usually quoted, without a rounding bound.

    A layer with skip connections counts the sum over its terms, each with what its source amplifies.
    """
    reach = {"sup": [1.0], "L2": [1.0]}
    for layer in network.layers:
        ends = np.full(layer.outputs, np.inf)
        steepest = float(np.abs(slope_ranges(layer, -ends, ends)).max())
        for norm, values in reach.items():
            total = 0.0
            for source, linear in layer.terms:
                ones = np.ones((1, linear.shape[1]))
                rows = float(linear.absolute().apply(ones).max()) if norm == "sup" else _norm(Block.of(linear))
                total += rows * values[source]
            values.append(steepest * total)
    return {norm: values[-1] for norm, values in reach.items()}
