r"""A smaller network for a given one: compress(network, eps | bits | accuracy), every answer with a certificate.

1. What never matters on the domain is removed without any error (`exact`).
2. A family of candidates is made from the rest (`candidates`): neurons removed or not, quantized from coarse to fine.
   The family does not depend on what is asked for. Neurons are removed only where the error is found exactly:
   relaxation bounds the distance of networks that agree neuron by neuron, and loses too much where others make up for
   one.
3. The certified error of a candidate is the exact maximum over the cells of the difference for two inputs or fewer, a
   bisection with differential relaxation otherwise (`alignment`), or the maximum over given points (`sample`).

For `eps` and `accuracy` each recipe is searched by bisection for its coarsest candidate that seems good enough at
sample points; the cheapest that is *certified* to be is taken. For `bits` let C_k be every other candidate of a recipe
and k(B) the first whose file is longer than 1.5 B. Among those of C_1, ..., C_k(B) of at most B bits the one with the
least certified error is taken. These sets grow with B and the error of a candidate does not depend on B, so that the
error falls with B: monotone by construction.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Bound, Norm
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.certify.rounding import round_down, round_up
from epsnet.codec.format import encode
from epsnet.compression.alignment import EXACT_INPUTS, certified_distance
from epsnet.compression.candidates import LEVELS, PRICES, RECIPES, Recipe, candidates, constant, without_neurons
from epsnet.compression.exact import Reduction, merge_affine, reduce_exactly
from epsnet.compression.on_sample import sample_solution, unchanged_share
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize
from epsnet.core.solution import Solution
from epsnet.data import Sample

Array = NDArray[np.float64]
Cost = Literal["bits", "weights"]
Progress = Callable[[str, Mapping[str, Any]], None]
"""Called with the name of a stage and facts about it."""

_POINTS = 4096
_TRIES = 24
"""How many candidates that look good enough may fail to be certified."""
_BACK = 8
"""How many coarser candidates are looked at besides, since errors do not fall quite steadily."""
_GAP = 0.05
_SCREEN, _STRIDE = 256, 4.0
"""After so many boxes a bound that is so many times too large is given up, and a recipe is asked for that much less."""
_WIDER = 1.5
_TINY = 1e-300
UNQUANTIZED = "unquantized"


def compress(
    network: Network,
    on: Box | Sample | ArrayLike,
    *,
    eps: Real | None = None,
    bits: int | None = None,
    accuracy: Real | None = None,
    norm: Norm = "sup",
    cost: Cost = "bits",
    boxes: int = 5_000,
    progress: Progress | None = None,
) -> Solution:
    r"""Return a smaller network Phi for a network F, with a certified bound of the error.

    Give one of `eps`, `bits` and `accuracy`. On Ctrl-C the best network so far is returned.

    Args:
        network: F, plain: ReLU layers without skip connections or convolutions, and an affine output.
        on: a box, on all of which the error counts; or a sample, or points (n, d), and then the error is the largest at
            these points and nothing is said of any other.
        eps: the accuracy, > 0.
        bits: the most bits the `.eps` file may have.
        accuracy: in (0, 1]: the share of the points at which the largest output has to stay the same.
        norm: "sup" or, on a box, "L2".
        cost: what is to be small: the "bits" of the file or the "weights".
        boxes: how many boxes may be bounded to certify one candidate.
        progress: called with the name of each stage and facts about it.

    Returns:
        Phi with F on `on` as its target. `stats` has the weights, neurons and bits after each stage.

    Raises:
        DomainError: the input makes no sense.
        HypothesisError: the network is not plain.
        CertificateError: no candidate fits `bits`, or none smaller than the exact reduction could be certified.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [-1.0]], [0.0, -0.5, -2.0]), ([[2.0, -4.0, 1.0]], [0.0])])
        >>> found = compress(hat, Box(0, 1), eps=0.01)
        >>> found.error.value <= 0.01, [stage["weights"] for stage in found.stats["stages"]]
        (True, [8, 5, 5])
    """
    if sum(value is not None for value in (eps, bits, accuracy)) != 1:
        raise DomainError("Compression needs one goal. Give eps, bits or accuracy.")
    if cost not in ("bits", "weights"):
        raise DomainError(f"The cost {cost!r} is unknown. Use 'bits' or 'weights'.")
    limit = None if eps is None else exact(eps, "accuracy eps")
    share = None if accuracy is None else exact(accuracy, "accuracy")
    if (limit is not None and limit <= 0) or (bits is not None and bits <= 0) or not 0 < (share or 1) <= 1:
        raise DomainError("The goal is not positive, or the accuracy is above 1. Ask for something like eps = 1e-2.")
    task = _task(network, on, norm, boxes, progress)
    if share is not None:
        if isinstance(task, _OnBox):
            raise DomainError("Predictions are counted at points. Give a sample or points instead of a box.")
        return _cheapest(task, cost, None, share)
    if bits is not None:
        return _most_accurate(task, bits)
    return _cheapest(task, cost, limit, None)


@dataclass(eq=False)
class _Candidate:
    """A network with a lower bound of its error: the largest one at sample points."""

    network: Network
    seen: float
    stage: str

    @functools.cached_property
    def bits(self) -> int:
        """The length of its file."""
        return _bits(self.network)

    def cost(self, cost: Cost) -> tuple[int, int]:
        """Return what is to be small."""
        bits, weights = self.bits, self.network.size.weights
        return (bits, weights) if cost == "bits" else (weights, bits)


@dataclass(frozen=True, eq=False)
class _Ladder:
    """The candidates of one recipe, numbered from coarse to fine, made when they are asked for."""

    name: str
    make: Callable[[int], _Candidate]
    count: int

    def first(self, good: Callable[[_Candidate], bool]) -> int | None:
        """Return the number of the first good one, as if all behind a good one were; None if the last one is not."""
        low, high = 0, self.count - 1
        if not good(self.make(high)):
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if good(self.make(middle)) else (middle + 1, high)
        return low


@dataclass(slots=True)
class _Task:
    """What is asked for: the network, and how the error of another one is measured and certified.

    Attributes:
        original: F.
        reduced: what equals F, or comes as close as float64 weights can.
        fit: the points that candidates are fitted to.
        test: the points at which errors are seen first.
        recipes: how candidates are made.
        stages: facts about the networks on the way.
    """

    original: Network
    reduced: Network
    fit: Array
    test: Array
    progress: Progress | None
    recipes: tuple[Recipe, ...] = field(default_factory=lambda: RECIPES)
    stages: list[dict[str, Any]] = field(default_factory=list)
    _values: Array | None = None

    @property
    def scale(self) -> float:
        """What a sup error is multiplied by in the norm asked for."""
        return 1.0

    def tell(self, what: str, facts: Mapping[str, Any]) -> None:
        """Report facts to who asked for them."""
        if self.progress is not None:
            self.progress(what, facts)

    def finished(self, solution: Solution, recipe: str) -> Solution:
        """Return a solution with what was done."""
        self.note("compressed", solution.network)
        first, last = self.stages[0], self.stages[-1]
        return replace(
            solution,
            stats={"method": "compress", "recipe": recipe, "stages": self.stages},
            result=f"{last['weights']:,} of {first['weights']:,} weights, {last['bits']:,} of {first['bits']:,} bits",
        )

    def fallback(self) -> Solution:
        """Return what is certain without any search."""
        raise NotImplementedError

    def note(self, stage: str, network: Network) -> None:
        """Keep the size after a stage and tell it."""
        facts = {
            "stage": stage, "weights": network.size.weights, "neurons": network.size.neurons, "bits": _bits(network)
        }  # fmt: skip
        self.stages.append(facts)
        self.tell(stage, facts)

    def candidate(self, network: Network, stage: str) -> _Candidate:
        if self._values is None:
            self._values = realize(self.original, self.test).reshape(len(self.test), -1)
        difference = realize(network, self.test).reshape(len(self.test), -1) - self._values
        return _Candidate(network, float(np.abs(difference).max()), stage)

    def family(self) -> list[_Ladder]:
        """Return the recipes. They do not depend on what is asked for."""
        pruned = {recipe.loss: self.reduced for recipe in self.recipes}
        for loss in pruned:
            if loss > 0:
                pruned[loss] = without_neurons(self.reduced, self.fit, loss)
        found = [self._ladder("constant", [constant(self.original, self.test)])]
        for recipe in {
            (pruned[recipe.loss].sha256, recipe.price): recipe for recipe in reversed(self.recipes)
        }.values():
            start, name = pruned[recipe.loss], recipe.name

            def make(number: int, start: Network = start, recipe: Recipe = recipe, name: str = name) -> _Candidate:
                made = candidates(start, self.fit, [LEVELS[number]], recipe.price)
                return self.candidate(next(made), name)

            found.append(_Ladder(name, functools.cache(make), len(LEVELS)))
        return [*found, self._ladder(UNQUANTIZED, [self.reduced, self.original])]

    def _ladder(self, name: str, networks: list[Network]) -> _Ladder:
        return _Ladder(name, functools.cache(lambda number: self.candidate(networks[number], name)), len(networks))

    def certify(self, candidate: _Candidate, limit: Fraction | None) -> Solution:
        """Return the candidate with a certified bound of its error; `limit` is what it is hoped to stay below."""
        raise NotImplementedError


@dataclass(slots=True, kw_only=True)
class _OnBox(_Task):
    """The error on a box."""

    reduction: Reduction
    norm: Norm
    boxes: int

    @property
    def scale(self) -> float:
        return 1.0 if self.norm == "sup" else math.sqrt(float(self.reduction.domain.volume))

    def fallback(self) -> Solution:
        found = self.reduction.solution
        return found if self.norm == "sup" else _in_l2(found)

    def certify(self, candidate: _Candidate, limit: Fraction | None) -> Solution:
        hoped = 0.0 if limit is None else 0.98 * float(limit) / max(candidate.seen * self.scale, _TINY) - 1
        gap = min(max(_GAP, hoped), 1e6)
        for boxes in (min(_SCREEN, self.boxes), self.boxes):
            found = certified_distance(candidate.network, self.reduction, self.fit, gap=gap, boxes=boxes)
            found = found if self.norm == "sup" else _in_l2(found)
            if limit is not None and not limit < found.error.limit < _STRIDE * limit:
                break
        return found


@dataclass(slots=True)
class _OnSample(_Task):
    """The error at given points."""

    def fallback(self) -> Solution:
        return sample_solution(self.original, self.original, self.test)

    def certify(self, candidate: _Candidate, limit: Fraction | None) -> Solution:
        del limit
        return sample_solution(candidate.network, self.original, self.test)


def _task(
    network: Network, on: Box | Sample | ArrayLike, norm: Norm, boxes: int, progress: Progress | None
) -> _OnBox | _OnSample:
    if isinstance(on, Box):
        NetworkTarget(network, on, norm)  # refuses what does not fit
        reduction = reduce_exactly(network, on)
        generator = np.random.Generator(np.random.Philox(0))
        low = np.array([round_up(end) for end in on.lower])
        high = np.array([round_down(end) for end in on.upper])
        fit, test = (generator.uniform(low, high, (_POINTS, len(low))) for _ in range(2))
        reduced = _plain(reduction.network)
        task = _OnBox(network, reduced, fit, test, progress, reduction=reduction, norm=norm, boxes=boxes)
        task.note("original", network)
        task.note("exact reduction", reduced)
        if on.dimension > EXACT_INPUTS:
            task.recipes = tuple(recipe for recipe in RECIPES if not recipe.loss and recipe.price != PRICES[-1])
            return task
        merged = merge_affine(reduction)
        if merged.sha256 != reduced.sha256 and merged.size.weights < reduced.size.weights:
            task.reduced = merged
            task.note("affine neurons merged", merged)
        return task
    if norm != "sup":
        raise DomainError("The error at points is the largest one. Use the sup norm, or give a box.")
    points = on.matrix() if isinstance(on, Sample) else np.asarray(on, dtype=np.float64)
    NetworkTarget.on_sample(network, points)  # refuses what does not fit
    sample_task = _OnSample(network, _plain(network), points, points, progress)
    sample_task.note("original", network)
    return sample_task


def _plain(network: Network) -> Network:
    """Return the network. HypothesisError unless it is plain, with ReLUs."""
    plain = all(
        len(layer.terms) == 1 and layer.terms[0][0] == number
        and set(layer.activations) == {"identity" if number == len(network.layers) - 1 else "relu"}
        for number, layer in enumerate(network.layers)
    )  # fmt: skip
    if not plain:
        raise HypothesisError(
            "The network has skip connections, or activations other than ReLU inside and the identity at its end. "
            "Only reduce it exactly, by reduce_exactly."
        )
    return network


def _cheapest(task: _OnBox | _OnSample, cost: Cost, limit: Fraction | None, share: Fraction | None) -> Solution:
    """Return the cheapest candidate that is certified to be good enough, trying them in ascending order of cost."""
    slack: dict[str, float] = {}

    def promising(candidate: _Candidate) -> bool:
        if share is not None:
            return unchanged_share(candidate.network, task.original, task.test) >= share
        return limit is not None and candidate.seen * slack.get(candidate.stage, task.scale) <= limit

    heap: list[tuple[tuple[int, int], int, int, _Ladder]] = []

    def push(order: int, ladder: _Ladder, least: int) -> None:
        if (start := ladder.first(promising)) is not None:
            numbers = range(max(least, start - _BACK), ladder.count)
            number = next((k for k in numbers if promising(ladder.make(k))), None)
            if number is not None:
                heapq.heappush(heap, (ladder.make(number).cost(cost), order, number, ladder))

    failed = 0
    try:
        for order, ladder in enumerate(task.family()):
            push(order, ladder, 0)
        while heap:
            _, order, number, ladder = heapq.heappop(heap)
            candidate = ladder.make(number)
            if ladder.name != UNQUANTIZED and failed == _TRIES:
                continue
            solution = task.certify(candidate, limit)
            if limit is None or solution.error.limit <= limit:
                if ladder.name == UNQUANTIZED and failed:
                    raise _hopeless(limit, task.finished(solution, ladder.name))
                return task.finished(solution, ladder.name)
            failed += 1
            task.tell("not certified", {"bits": candidate.bits, "error": solution.error.value, "seen": candidate.seen})
            before = slack.get(candidate.stage, task.scale)
            loss = solution.error.value / max(candidate.seen, _TINY)
            slack[candidate.stage] = min(max(before, loss), _STRIDE * before)
            push(order, ladder, number + 1)
    except KeyboardInterrupt:
        return task.finished(task.fallback(), "interrupted, exact reduction")
    raise _hopeless(limit, task.finished(task.fallback(), "exact reduction"))


def _hopeless(limit: Fraction | None, best: Solution) -> CertificateError:
    return CertificateError(
        f"No quantized network could be certified to be within {float(limit or 0):.6g}; the best one attached is only "
        f"reduced. Ask for a larger eps, allow more boxes, or give data points instead of the box.",
        asked=float(limit or 0), achieved=best.error.value, best=best,
    )  # fmt: skip


def _most_accurate(task: _OnBox | _OnSample, bits: int) -> Solution:
    """Return the candidate of at most so many bits with the least certified error (see the module)."""
    fitting: list[_Candidate] = []
    shortest = math.inf
    best: tuple[Solution, str] | None = None
    try:
        for ladder in task.family():
            for candidate in map(ladder.make, range(0, ladder.count, 2)):
                shortest = min(shortest, candidate.bits)
                if candidate.bits <= bits:
                    fitting.append(candidate)
                if candidate.bits > _WIDER * bits:
                    break
        for candidate in sorted(fitting, key=lambda each: (each.seen, each.bits, each.network.sha256)):
            if best is not None and candidate.seen * task.scale >= best[0].error.value:
                break
            solution = task.certify(candidate, None)
            if best is None or solution.error.limit < best[0].error.limit:
                best = solution, candidate.stage
    except KeyboardInterrupt:
        if best is None:
            raise
        best = best[0], f"interrupted, {best[1]}"
    if best is None:
        raise CertificateError(
            f"The shortest file found has {shortest} bits, more than {bits}. Allow more bits.",
            asked=float(bits), achieved=float(shortest), best=task.finished(task.fallback(), "exact reduction"),
        )  # fmt: skip
    return task.finished(*best)


def _bits(network: Network) -> int:
    return 8 * len(encode(network))


def _in_l2(solution: Solution) -> Solution:
    """Turn a bound of the sup error into one of the L2 error, by the volume of the box."""
    target, old = solution.target, solution.error
    if not isinstance(target, NetworkTarget):
        raise DomainError("An L2 error is one on a box. Give a box.")
    wanted = replace(target, norm="L2")
    error = replace(old, target=wanted.sha256)
    node = solution.certificate.nodes[solution.certificate.find(old)]
    square = error.limit**2 * wanted.domain.volume
    value = math.sqrt(round_up(square))
    while Fraction(value) ** 2 < square:
        value = math.nextafter(value, math.inf)
    bound = Bound(
        quantity="error", sense="<=", value=value, norm="L2", measure="Lebesgue", domain=wanted.domain,
        kind=error.kind,
        theorem="norm-embedding", rule="algebra", network=error.network, target=wanted.sha256, premises=(error,),
    )  # fmt: skip
    certificate = Certificate.of((bound,), ((error, solution.certificate.witnesses[node.witness or ""]),))
    return replace(solution, target=wanted, error=bound, certificate=certificate)
