r"""How far two networks are apart on a box, and how large their outputs get: bracketed, both sides certified.

The distance is sup |R(Phi) - R(Psi)|, the largest over the box and the outputs. It is bounded from above by
differential relaxation on the boxes of a bisection (`core.differential`, `enclosure.branch`), and from below at a
point. If Psi is a rounded, pruned or distilled Phi of the same architecture, the bound of the difference is far smaller
than what the ranges of the two outputs give, because the neurons are compared one by one. Networks of different
architecture are placed beside each other.

The extreme values of one network are those of its difference to the network whose weights are 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind, Sense
from epsnet.certify.certificate import Certificate, Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic, round_down, round_up
from epsnet.core.differential import Stage, aligned, beside_zero, chain
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize, realize_ball
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution, Statements
from epsnet.enclosure.branch import Bracket, Progress, Search

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Extremum:
    """A largest or smallest value, certified from both sides.

    Attributes:
        lower, upper: the bracket.
        point: where the value of the bracket that is attained is attained, (d,).
        boxes: how many boxes were bounded.
        complete: whether the gap asked for was reached.
    """

    lower: Bound
    upper: Bound
    point: Array
    boxes: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Distance(Extremum):
    """The distance of two networks.

    Attributes:
        solution: the first network for the second one as its target, with the certificate of both bounds, for `check`.
    """

    solution: Solution


@dataclass(frozen=True, slots=True)
class Ranges:
    """The extreme values of the outputs of a network on a box.

    Attributes:
        minima, maxima: one for each output.
        statements: the certificate of all of them, for `check`.
    """

    minima: tuple[Extremum, ...]
    maxima: tuple[Extremum, ...]
    statements: Statements


def distance(
    first: Network,
    second: Network,
    domain: Box,
    *,
    gap: float = 0.1,
    seconds: float = math.inf,
    boxes: int = 200_000,
    outputs: Sequence[int] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Distance:
    """Bracket sup |R(first) - R(second)| over a box and all outputs.

    Args:
        first: a network without skip connections, of float64 weights, with any activations.
        second: another one with as many inputs and outputs.
        domain: one interval for each input.
        gap: the goal, upper <= (1 + gap) lower.
        seconds: when to stop before that. What is known then is returned, and so it is on Ctrl-C.
        boxes: after how many to stop.
        outputs: the outputs that count; the solution is then about the networks that have just these.
        jobs: how many batches of boxes are bounded at once, -1 for all cores; None leaves it to joblib.parallel_config.
        progress: called with the number of boxes and the bracket so far.

    Returns:
        Both bounds, VERIFIED; the same for every number of jobs.

    Raises:
        DomainError: the networks or the box do not fit, or a bound exceeds float64.
        HypothesisError: a network has skip connections or weights that are no float64 numbers.

    Example:
        >>> one = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.0]], [0.0])])
        >>> two = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.25]], [0.0])])
        >>> found = distance(one, two, Box(0, 1), gap=1e-3)
        >>> found.lower.value, round(found.upper.value, 3)
        (0.125, 0.125)

    Source: Paulsen, Wang and Wang, ReluDiff, ICSE 2020; see `core.differential`.
    """
    if (first.inputs, first.outputs) != (second.inputs, second.outputs):
        raise DomainError("The two networks differ in their inputs or outputs. Give networks of one shape.")
    if outputs is not None:
        first, second = (_with_outputs(network, outputs) for network in (first, second))
    target = NetworkTarget(second, domain)
    chains, count = aligned(chain(first), chain(second)), first.outputs

    def evaluate(x: Array) -> Array:
        difference = realize(first, x).reshape(-1, count) - realize(second, x).reshape(-1, count)
        return np.concatenate((difference, -difference), axis=1)

    search = _Task(domain, gap, seconds, boxes, jobs, progress).run(
        chains, evaluate, np.concatenate((np.eye(count), -np.eye(count)))
    )
    point = _inside(search.point, domain)
    with ball_arithmetic():
        one, two = (realize_ball(network, [arb(value) for value in point.tolist()]) for network in (first, second))
        value = max(0.0, *(round_down(abs(a - b)) for a, b in zip(one, two, strict=True)))
    upper = Bound(
        quantity="error", sense="<=", value=search.upper, norm="sup", domain=domain, kind=Kind.VERIFIED,
        theorem="differential-relaxation", rule="distance", network=first.sha256, target=target.sha256,
        hypotheses=(f"{int((search.axis < 0).sum())} boxes cover the domain",),
    )  # fmt: skip
    lower = replace(upper, sense=">=", value=value, theorem="attained-value", hypotheses=())
    certificate = Certificate.of((upper, lower), ((upper, _tree(search)), (lower, {"point": point})))
    solution = Solution(first, target, upper, 8 * len(network_bytes(first)), certificate)
    return Distance(lower, upper, point, search.boxes, search.complete, solution)


def ranges(
    network: Network,
    domain: Box,
    *,
    gap: float = 0.01,
    seconds: float = math.inf,
    boxes: int = 20_000,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Ranges:
    """Bracket the largest and the smallest value of every output on a box.

    Args:
        network: without skip connections, of float64 weights; any activations.
        domain: one interval for each input.
        gap: the goal for the width of each bracket, as a share of the spread of the output over the box.
        seconds: when to stop before that, for each of the extreme values; Ctrl-C stops as well.
        boxes: after how many to stop.
        jobs: as for `distance`.
        progress: called with the number of boxes and the bracket so far; a minimum is that of the maximum of -y.

    Returns:
        Four bounds for each output, VERIFIED.

    Raises:
        DomainError, HypothesisError: as for `distance`.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[2.0, -4.0]], [0.0])])
        >>> top = ranges(hat, Box(0, 1)).maxima[0]
        >>> bool(top.lower.value <= 1 <= top.upper.value < 1.02)
        True
    """
    stages = chain(network)
    task = _Task(domain, gap, seconds, boxes, jobs, progress)
    found: dict[int, list[Extremum]] = {1: [], -1: []}
    witnesses: list[tuple[Bound, Witness]] = []
    for output in range(network.outputs):
        for sign in (-1, 1):

            def evaluate(x: Array, output: int = output, sign: int = sign) -> Array:
                return sign * realize(network, x).reshape(-1, network.outputs)[:, [output]]

            functional = sign * np.eye(network.outputs)[[output]]
            search = task.run(beside_zero(stages), evaluate, functional, relative_to_spread=True)
            point = _inside(search.point, domain)
            with ball_arithmetic():
                attained = realize_ball(network, [arb(value) for value in point.tolist()])[output]
            proved = Bound(
                quantity=f"{'maximum' if sign > 0 else 'minimum'} of output {output}", sense="<=" if sign > 0 else ">=",
                value=sign * search.upper, domain=domain, kind=Kind.VERIFIED, theorem="differential-relaxation",
                rule="distance", network=network.sha256,
                hypotheses=(f"{int((search.axis < 0).sum())} boxes cover the domain",),
            )  # fmt: skip
            sense: Sense = ">=" if sign > 0 else "<="
            value = round_down(attained) if sign > 0 else round_up(attained)
            seen = replace(proved, sense=sense, value=value, theorem="attained-value", hypotheses=())
            witnesses += [(proved, _tree(search)), (seen, {"point": point})]
            lower, upper = (seen, proved) if sign > 0 else (proved, seen)
            found[sign].append(Extremum(lower, upper, point, search.boxes, search.complete))
    certificate = Certificate.of([bound for bound, _ in witnesses], witnesses)
    return Ranges(tuple(found[-1]), tuple(found[1]), Statements(network, certificate))


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked of a search."""

    domain: Box
    gap: float
    seconds: float
    boxes: int
    jobs: int | None
    progress: Progress | None

    def run(
        self,
        chains: tuple[list[Stage], list[Stage]],
        evaluate: Callable[[Array], Array],
        functional: Array,
        relative_to_spread: bool = False,
    ) -> Bracket:
        if not (self.gap > 0 and self.seconds > 0 and self.boxes > 0):
            raise DomainError("The gap and the budget must be positive. Give numbers above 0.")
        lower = np.array([round_down(end) for end in self.domain.lower])
        upper = np.array([round_up(end) for end in self.domain.upper])
        search = Search(
            chains, evaluate, lower, upper, functional, gap=self.gap, relative_to_spread=relative_to_spread,
            jobs=self.jobs,
        )  # fmt: skip
        search.run(seconds=self.seconds, boxes=self.boxes, progress=self.progress)
        found = search.bracket()
        if not math.isfinite(found.upper):
            raise DomainError("The bound exceeds the range of float64. Scale the networks or take a smaller box.")
        return found


def _tree(found: Bracket) -> Witness:
    return {"axis": found.axis, "split": found.split}


def _inside(point: Array, domain: Box) -> Array:
    """Move a point of the rounded box into the box itself."""
    low = np.array([round_up(end) for end in domain.lower])
    high = np.array([round_down(end) for end in domain.upper])
    if (low > high).any():
        raise DomainError("An interval of the box contains no float64 number. Take a wider one.")
    return np.clip(point, low, high)


def _with_outputs(network: Network, outputs: Sequence[int]) -> Network:
    """Return the network of some of the outputs."""
    if not outputs or not all(0 <= index < network.outputs for index in outputs):
        raise DomainError(f"The outputs have the numbers 0 to {network.outputs - 1}. Choose among them.")
    stage, last = chain(network)[-1], network.layers[-1]
    chosen = list(outputs)
    layer = Layer(
        ((last.terms[0][0], Dense(stage.weight[chosen])),), stage.bias[chosen], tuple(stage.names[i] for i in chosen)
    )
    return Network(network.inputs, (*network.layers[:-1], layer))
