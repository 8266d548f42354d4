r"""Reductions that do not change a network on a box: neurons that are dead, constant or proportional there are removed.

The steps are those of `core.simplify`. What decides how much they find is how well it is known on which side of its
kink a neuron stays: here by the differential relaxation on the boxes of a bisection, which is refined as long as some
neuron that never changed its side at sample points is undecided. A ReLU whose argument is <= 0 on the box is deleted; a
layer of which all neurons that are left are affine is merged with the next.

Network and tree make up the witness of the rule `reduction`, which takes every step again.

Source: T. Serra, X. Yu, A. Kumar, S. Ramalingam, Scaling up exact neural network compression by ReLU stability, NeurIPS
2021 (there by mixed-integer programs).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate, Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import HypothesisError
from epsnet.certify.rounding import round_down
from epsnet.checker.rules.reduction import HYPOTHESIS
from epsnet.core.differential import chain
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import network_bytes
from epsnet.core.simplify import simplify
from epsnet.core.solution import Solution
from epsnet.core.stability import Sides, proved_ranges
from epsnet.enclosure.gradients import trace

Array = NDArray[np.float64]

BOXES = 1000
"""How many boxes the bisection may have by default."""
_MAX_INPUTS = 16
"""With more inputs a bisection is hopeless, and the domain is one box."""
_POINTS = 4096


@dataclass(frozen=True, eq=False)
class Reduction:
    """A network that equals another one on a box.

    Attributes:
        original: F.
        network: the smaller one.
        domain: the box.
        witness: what the rule `reduction` needs: the steps, and the boxes on which neurons keep to one side.
        steps: how many steps of each kind were taken.
        boxes: the ends of these boxes.
    """

    original: Network
    network: Network
    domain: Box
    witness: Witness
    steps: dict[str, int]
    boxes: tuple[tuple[Array, Array], ...]

    @property
    def solution(self) -> Solution:
        """The smaller network for the original one as its target, with the certificate that nothing changed."""
        kind = Kind.VERIFIED if "stable_axis" in self.witness else Kind.PROVED
        target = NetworkTarget(self.original, self.domain)
        error = Bound(
            quantity="error", sense="<=", value=0.0, norm="sup", domain=self.domain, kind=kind,
            theorem="exact-reduction", rule="reduction", hypotheses=(HYPOTHESIS,), network=self.network.sha256,
            target=target.sha256,
        )  # fmt: skip
        certificate = Certificate.of((error,), ((error, self.witness),))
        return Solution(self.network, target, error, 8 * len(network_bytes(self.network)), certificate)


def reduce_exactly(network: Network, domain: Box, *, boxes: int = BOXES) -> Reduction:
    """Return a smaller network with the same values on a box, in exact arithmetic.

    A plain network of float64 weights stays one. A step whose result would have to be rounded is not taken.

    Args:
        network: of float64 weights; neurons of convolutions are left as they are.
        domain: one interval for each input.
        boxes: how many boxes may be looked at to decide on which side of its kink a neuron stays.

    Raises:
        DomainError: the box does not fit, or a bound exceeds float64.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [-1.0]], [0.0, -0.5, -2.0]), ([[2.0, -4.0, 1.0]], [0.0])])
        >>> print(reduce_exactly(hat, Box(0, 1)).network)
        Phi: R^1 -> R^1   1 -> 2 relu -> 1   depth L = 2, weights M = 5, |weights| <= 4
    """
    try:
        tree = _stable_tree(network, domain, boxes if domain.dimension <= _MAX_INPUTS else 1)
    except HypothesisError:  # a skip connection or a convolution with too many entries: ranges without a tree
        tree = None
    leaves = () if tree is None else tuple(tree.leaves())
    ranges = proved_ranges(network, domain, leaves) if leaves else None
    found = simplify(network, domain, ranges=ranges, plain=True)
    text = json.dumps(found.log, separators=(",", ":")).encode("ascii")
    witness: dict[str, np.ndarray] = {"log": np.frombuffer(text, np.int8)}
    if tree is not None and found.log:
        axis, split = tree.arrays()
        witness |= {"stable_axis": axis, "stable_split": split}
    kinds = [step["step"] for step in found.log]
    steps = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    return Reduction(network, found.network, domain, witness, steps, leaves)


def merge_affine(reduction: Reduction) -> Network:
    r"""Return a network with fewer neurons, close to the reduced one: active neurons give way to what they read.

    A ReLU whose argument is >= 0 on the box is affine there. If a layer has more of them than inputs, they are replaced
    by one ReLU for each input u_i, which hands u_i - min u_i on (u_i itself behind a ReLU), and the next layer reads
    these, with weights rounded to float64: the error is some units of the last place and has to be certified.

    Raises:
        HypothesisError: the reduced network is not plain.
    """
    stages = chain(reduction.network)
    lows = np.array([round_down(end) for end in reduction.domain.lower])
    ranges = proved_ranges(reduction.network, reduction.domain, reduction.boxes)
    pairs = [(stage.weight, stage.bias) for stage in stages]
    for number, (stage, layer) in enumerate(zip(stages[:-1], ranges, strict=False)):
        (weight, bias), (readers, offsets) = pairs[number], pairs[number + 1]
        active = np.array([low >= 0 for low, _ in layer]) & (np.array(stage.names) == "relu")
        shifts = lows if number == 0 else np.zeros(weight.shape[1])
        if active.sum() <= weight.shape[1] or (number and set(stages[number - 1].names) != {"relu"}):
            continue
        through = readers[:, active] @ weight[active]
        constant = readers[:, active] @ bias[active] + through @ shifts
        pairs[number] = np.vstack([weight[~active], np.eye(weight.shape[1])]), np.append(bias[~active], -shifts)
        pairs[number + 1] = np.hstack([readers[:, ~active], through]), offsets + constant
    layers = zip(pairs, stages, strict=True)
    if {name for stage in stages[:-1] for name in stage.names} - {"relu"}:
        return reduction.network
    return Network.from_layers([pair for pair, _ in layers], output=stages[-1].names[0])


@dataclass(slots=True)
class _Box:
    """A node of a bisection: its ends, what is known of the neurons on it, and its cut and halves, if it has any."""

    lower: Array
    upper: Array
    sides: NDArray[np.int8]
    axis: int = -1
    cut: float = 0.0
    halves: tuple[_Box, _Box] | None = None

    def leaves(self) -> Iterator[tuple[Array, Array]]:
        """Yield the ends of the leaves."""
        if self.halves is None:
            yield self.lower, self.upper
        else:
            for half in self.halves:
                yield from half.leaves()

    def arrays(self) -> tuple[NDArray[np.int64], Array]:
        """Return the tree in prefix order, as `Context.leaves` reads it."""
        axes: list[int] = []
        cuts: list[float] = []
        waiting: list[_Box] = [self]
        while waiting:
            node = waiting.pop()
            axes.append(node.axis)
            cuts.append(node.cut)
            if node.halves is not None:
                waiting.extend(reversed(node.halves))
        return np.array(axes, dtype=np.int64), np.array(cuts)

    def known(self, wanted: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Return the sides that all leaves agree on, 0 for the others."""
        if self.halves is None:
            return np.where(wanted, self.sides, 0).astype(np.int8)
        left, right = (half.known(wanted) for half in self.halves)
        return np.where(self.sides != 0, self.sides, np.where(left == right, left, 0)) * wanted

    def prune(self, wanted: NDArray[np.bool_]) -> None:
        """Drop the halves of boxes on which all wanted neurons are decided."""
        if self.halves is not None:
            if (self.sides[wanted] != 0).all():
                self.axis, self.cut, self.halves = -1, 0.0, None
            else:
                for half in self.halves:
                    half.prune(wanted)


def _stable_tree(network: Network, domain: Box, boxes: int) -> _Box:
    """Bisect the domain until all neurons that seem to keep to one side are decided, or the budget is spent."""
    sides = Sides(network, domain)
    root = _Box(sides.lower, sides.upper, sides.on(sides.lower[None], sides.upper[None])[0])
    generator = np.random.Generator(np.random.Philox(0))
    seen = _seen(network, generator.uniform(root.lower, root.upper, (_POINTS, len(root.lower))))
    candidates = (root.sides == 0) & (seen != 0)
    size, level, count = np.maximum(root.upper - root.lower, np.finfo(float).tiny), [root], 1
    while candidates.any():
        level = [box for box in level if (box.sides[candidates] == 0).any()]
        if not level or count + 2 * len(level) > boxes:
            break
        following: list[_Box] = []
        for box in level:
            axis = int(((box.upper - box.lower) / size).argmax())
            cut = float(box.lower[axis] / 2 + box.upper[axis] / 2)
            if not box.lower[axis] < cut < box.upper[axis]:
                continue
            ends = box.upper.copy(), box.lower.copy()
            ends[0][axis] = ends[1][axis] = cut
            box.axis, box.cut = axis, cut
            box.halves = (_Box(box.lower, ends[0], root.sides), _Box(ends[1], box.upper, root.sides))
            following += box.halves
        for start in range(0, len(following), sides.batch):
            part = following[start : start + sides.batch]
            found = sides.on(np.array([box.lower for box in part]), np.array([box.upper for box in part]))
            for box, own in zip(part, found, strict=True):
                box.sides = own
        centers = np.array([(box.lower + box.upper) / 2 for box in following]).reshape(-1, len(root.lower))
        if len(centers):
            at_centers = _seen(network, centers)
            seen = np.where(seen == at_centers, seen, 0)
            candidates &= seen != 0
        level, count = following, count + len(following)
    wanted = (root.sides != 0) | (candidates & (root.known(np.ones(len(root.sides), dtype=bool)) != 0))
    root.prune(wanted)
    return root


def _seen(network: Network, points: Array) -> NDArray[np.int8]:
    """Return 1 for neurons whose argument was positive at all points, -1 where at none, 0 for the others."""
    positive = np.concatenate([(z > 0).sum(axis=0) for z in trace(network, points)[0]])
    return np.where(positive == len(points), 1, np.where(positive == 0, -1, 0)).astype(np.int8)
