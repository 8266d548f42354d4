r"""The simplifier: a smaller network that is equal, in exact arithmetic, on a whole box; with a log that proves it.

Every step removes neurons, never adds weights and leaves the function unchanged on the box:

| step | condition | effect |
|---|---|---|
| inactive | the activation is 0 on the range of its argument (a ReLU on arguments <= 0) | the neuron is deleted |
| constant | the neuron reads nothing | its value goes into the biases of its readers |
| dead | nothing reads the neuron | it is deleted |
| merge | argument = c times that of another neuron of the layer, c > 0 for ReLU | its weights go to the other one |
| reflect | sigma(-c z) beside sigma(z), c > 0: c sigma(z) minus a multiple of z; M does not grow | readers read that |
| substitute | identity, or piecewise linear without a kink in its range; M does not grow | readers read what it reads |

Substitution merges affine layers and removes carries; it may leave a skip connection behind. Ranges are those of the
arguments as functions on the box. No step changes the function that a remaining neuron computes there, so ranges found
once, by `argument_ranges` in exact rationals, hold until the end. Neurons of convolutions and neurons that convolutions
read are left alone, so that convolutions remain.

A *plain* simplification takes only what leaves a plain network of float64 weights behind, if it was one: affine layers
are substituted as a whole, nothing is reflected, and no step is taken that makes a weight that is no float64 number.

`simplify` searches for steps, `replay` verifies each of them anew; both change the network in `_Graph.apply` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.core.functions import Function
from epsnet.core.linear_maps import Convolution, is_float64
from epsnet.core.matrices import Entries, bias_vector, linear_map
from epsnet.core.network import Layer, Network
from epsnet.core.ranges import Range, argument_ranges

Node = tuple[int, int]
"""(layer, neuron) in the original network; layer 0 is the input."""
Step = dict[str, Any]
Affine = tuple[dict[Node, Fraction], Fraction]
"""An affine combination of neurons: weights and a constant."""

_MAX_BITS = 14_000
"""Of a numerator or a denominator in `replay`: what texts of rationals may have elsewhere, too."""
_ODD = frozenset({"tanh", "erf", "sin"})
_ZERO_AT_ZERO = _ODD | {"gelu", "silu"}
_FIELDS = {
    "inactive": {"step", "layer", "neuron"},
    "constant": {"step", "layer", "neuron"},
    "dead": {"step", "layer", "neuron"},
    "merge": {"step", "layer", "neuron", "into"},
    "reflect": {"step", "layer", "neuron", "into"},
    "substitute": {"step", "layer", "neurons"},
}


@dataclass(frozen=True, slots=True)
class Simplification:
    """A network that equals another one on a box, and the steps that lead to it.

    Attributes:
        network: the result; M and N are at most those of the original network.
        log: the steps, as JSON values.
    """

    network: Network
    log: tuple[Step, ...]


def simplify(
    network: Network, domain: Box, *, ranges: Sequence[Sequence[Range]] | None = None, plain: bool = False
) -> Simplification:
    """Return a network with the same values on a box and no more weights; see the module for the steps.

    Weights that are no float64 numbers afterwards are kept as rationals.

    Args:
        network: Phi: R^d -> R^m.
        domain: a box in R^d.
        ranges: of the arguments of all neurons on the box, layer by layer, where more is known than `argument_ranges`.
        plain: whether to keep a plain network of float64 weights plain.

    Raises:
        DomainError: the box has another dimension than the input.

    Example:
        >>> from epsnet.core.calculus import compose, identity
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> print(simplify(compose(hat, identity(1, 3)), Box(0, 1)).network)
        Phi: R^1 -> R^1   1 -> 1 relu -> 1 + y0   depth L = 2, weights M = 4, |weights| <= 4
    """
    graph = _Graph.of(network, domain, ranges)
    graph.plain = plain
    log: list[Step] = []
    while True:
        before = len(log)
        for layer in range(1, len(network.layers)):
            log += _search_single(graph, layer)
            log += _search_pairs(graph, layer, ("merge",) if plain else ("merge", "reflect"))
        for layer in range(1, len(network.layers)):
            log += _search_substitutions(graph, layer)
        for layer in reversed(range(1, len(network.layers))):
            log += _search_single(graph, layer)
        if len(log) == before:
            return Simplification(graph.build() if log else network, tuple(log))


def replay(
    network: Network, domain: Box, log: Iterable[Step], ranges: Sequence[Sequence[Range]] | None = None
) -> Network:
    """Take the steps of a log again, verifying the condition of each, and return the network they lead to.

    Args:
        network: Phi.
        domain: the box.
        log: the steps.
        ranges: as for `simplify`; the caller answers for them.

    Raises:
        CheckError: a step is malformed, its condition does not hold, or a weight becomes too long.
        DomainError: the box has another dimension than the input.
    """
    graph = _Graph.of(network, domain, ranges)
    steps = 0
    for step in log:
        changed = graph.apply(step)
        # A chain of products would grow without end, and take hours.
        if not all(_is_short(number) for row, bias in changed.values() for number in (bias, *row.values())):
            raise CheckError(f"A weight has more than {_MAX_BITS:,} bits after a step. Simplify the network less.")
        steps += 1
    return graph.build() if steps else network


@dataclass(slots=True)
class _Graph:
    """A network neuron by neuron: what each reads, in rationals, and who reads it."""

    network: Network
    ranges: Sequence[Sequence[Range]]
    rows: dict[Node, dict[Node, Fraction]] = field(default_factory=dict)
    bias: dict[Node, Fraction] = field(default_factory=dict)
    functions: dict[Node, Function] = field(default_factory=dict)
    readers: dict[Node, set[Node]] = field(default_factory=dict)
    pinned: set[Node] = field(default_factory=set)
    """Neurons that stay: the outputs, those of convolutions, and those that convolutions read."""
    plain: bool = False
    """Whether the search has to keep the network plain and its weights float64 numbers."""

    @classmethod
    def of(cls, network: Network, domain: Box, ranges: Sequence[Sequence[Range]] | None) -> _Graph:
        graph = cls(network, argument_ranges(network, domain) if ranges is None else ranges)
        widths = [network.inputs, *(layer.outputs for layer in network.layers)]
        graph.readers = {(0, i): set() for i in range(network.inputs)}
        for number, layer in enumerate(network.layers, start=1):
            for i, (bias, function) in enumerate(zip(layer.bias_values(), layer.functions(), strict=True)):
                row: dict[Node, Fraction] = {}
                for source, linear in layer.terms:
                    for j, weight in linear.rows[i]:
                        row[source, j] = row.get((source, j), Fraction(0)) + Fraction(weight)
                node = number, i
                graph.bias[node], graph.functions[node], graph.readers[node] = Fraction(bias), function, set()
                graph.update_row(node, row)
            convolved = [source for source, linear in layer.terms if isinstance(linear, Convolution)]
            if convolved:
                sources = {source for source, _ in layer.terms}
                graph.pinned.update((k, i) for k in (number, *sources) for i in range(widths[k]))
        graph.pinned.update((len(network.layers), i) for i in range(network.outputs))
        return graph

    def update_row(self, node: Node, row: dict[Node, Fraction]) -> None:
        """Set some weights of a neuron; those that are 0 go."""
        own = self.rows.setdefault(node, {})
        for source, weight in row.items():
            if weight:
                own[source] = weight
                self.readers[source].add(node)
            elif own.pop(source, None):
                self.readers[source].discard(node)

    def delete(self, node: Node) -> None:
        """Delete a neuron that nothing reads."""
        for source in self.rows[node]:
            self.readers[source].discard(node)
        del self.rows[node], self.bias[node], self.functions[node], self.readers[node]

    def free(self, layer: int) -> list[Node]:
        """Return the neurons of a layer that may be deleted."""
        found = [(layer, i) for i in range(self.network.layers[layer - 1].outputs)]
        return [node for node in found if node in self.rows and node not in self.pinned]

    def slope(self, node: Node) -> Fraction | None:
        """Return s if the activation is z -> s z on the range of its argument, None if that is not known."""
        slopes = self.functions[node].slopes
        low, high = self.ranges[node[0] - 1][node[1]]
        if slopes is None or (low < 0 < high and slopes[0] != slopes[1]):
            return None
        return slopes[high > 0]

    def constant(self, node: Node) -> Fraction | None:
        """Return the value of a neuron that reads nothing, None if it reads something or the value is not rational."""
        function, bias = self.functions[node], self.bias[node]
        if self.rows[node]:
            return None
        if function.slopes is not None:
            return function.exact(bias)
        return Fraction(0) if bias == 0 and function.name in _ZERO_AT_ZERO else None

    def key(self, node: Node) -> tuple[Any, Fraction]:
        """Return (class, c): arguments within a class are c times one function, c a factor the activation lets pass."""
        row, function = self.rows[node], self.functions[node]
        first = row[min(row)]
        if function.slopes is not None:
            either_sign = function.name in ("identity", "abs")
            factor = first if either_sign else abs(first)
        else:
            factor = Fraction(-1 if function.name in _ODD and first < 0 else 1)
        normal = frozenset((source, weight / factor) for source, weight in row.items())
        return (function.name, normal, self.bias[node] / factor), factor

    @staticmethod
    def mirrored(key: Any) -> Any:
        """Return the class of the neurons whose argument has the opposite sign."""
        name, row, bias = key
        return name, frozenset((source, -weight) for source, weight in row), -bias

    def value(self, kind: str, node: Node, into: Node | None = None) -> Affine | None:
        """Return the affine combination of other neurons that equals a neuron on the box, None if `kind` finds none."""
        row, bias, slopes = self.rows[node], self.bias[node], self.functions[node].slopes
        if into is None:
            slope = self.slope(node)
            if kind == "constant":
                constant = self.constant(node)
                return None if constant is None else ({}, constant)
            if kind == "substitute":
                return None if slope is None else ({k: slope * w for k, w in row.items()}, slope * bias)
            holds = slope == 0 if kind == "inactive" else not self.readers[node]
            return ({}, Fraction(0)) if holds else None
        if into == node or into not in self.rows or not row or not self.rows[into]:
            return None
        if kind == "merge":
            (own, factor), (other, other_factor) = self.key(node), self.key(into)
            ratio = factor / other_factor
            ratio = abs(ratio) if self.functions[node].name == "abs" else ratio
            return ({into: ratio}, Fraction(0)) if own == other else None
        other_row, other_bias = self.rows[into], self.bias[into]
        factor = -row[min(row)] / other_row.get(min(row), row[min(row)])
        opposite = {k: -factor * w for k, w in other_row.items()} == row and bias == -factor * other_bias
        if slopes is None or factor <= 0 or not opposite or self.functions[node].name != self.functions[into].name:
            return None
        # sigma(-c z) = c sigma(z) - c (l + r) z for slopes l and r: true for z > 0 and for z < 0.
        part = -factor * sum(slopes)
        return {**{k: part * w for k, w in other_row.items()}, into: factor}, part * other_bias

    def effect(self, nodes: Sequence[Node], values: Sequence[Affine]) -> tuple[int, dict[Node, Affine]]:
        """Return the change of M, and what changes for every reader, if neurons give way to `values`.

        That is, the new weights of those that change, 0 for those that go, and the new bias.
        """
        change = -sum(len(self.rows[node]) + bool(self.bias[node]) for node in nodes)
        changed: dict[Node, Affine] = {}
        for node, (own_row, own_bias) in zip(nodes, values, strict=True):
            for reader in self.readers[node]:
                row, (update, bias) = self.rows[reader], changed.get(reader, ({}, self.bias[reader]))
                update[node] = Fraction(0)
                for source, weight in own_row.items():
                    update[source] = update.get(source, row.get(source, Fraction(0))) + row[node] * weight
                changed[reader] = update, bias + row[node] * own_bias
        for reader, (update, bias) in changed.items():
            change += sum(bool(weight) - (source in self.rows[reader]) for source, weight in update.items())
            change += bool(bias) - bool(self.bias[reader])
        return change, changed

    def allows(self, nodes: Sequence[Node], values: Sequence[Affine]) -> bool:
        """Tell whether the search may let neurons give way to `values`: M does not grow, and what is plain stays so."""
        change, changed = self.effect(nodes, values)
        if change > 0 or not self.plain:
            return change <= 0
        numbers = (number for row, bias in changed.values() for number in (bias, *row.values()))
        return all(map(is_float64, numbers))

    def apply(self, step: Step) -> dict[Node, Affine]:
        """Take a step and return what `effect` does. CheckError if its condition does not hold, or M would grow."""
        kind, nodes, into = self._read(step)
        values = [value for value in (self.value(kind, node, into) for node in nodes) if value is not None]
        self._require(len(values) == len(nodes), step)
        change, changed = self.effect(nodes, values)
        self._require(change <= 0, step)
        for reader, (update, bias) in changed.items():
            self.update_row(reader, update)
            self.bias[reader] = bias
        for node in nodes:
            self.delete(node)
        return changed

    def _read(self, step: Any) -> tuple[str, list[Node], Node | None]:
        """Return kind and neurons of a step, and the one they go into. CheckError unless all of them may be deleted."""
        kind = step.get("step") if isinstance(step, dict) else None
        self._require(isinstance(kind, str) and kind in _FIELDS and set(step) == _FIELDS.get(kind), step)
        neurons = step["neurons"] if kind == "substitute" else [step["neuron"]]
        numbers = [step["layer"], *neurons, step.get("into", 0)] if isinstance(neurons, list) else [None]
        self._require(all(type(number) is int for number in numbers) and 0 < len(neurons) == len(set(neurons)), step)
        nodes = [(step["layer"], neuron) for neuron in neurons]
        self._require(all(node in self.rows and node not in self.pinned for node in nodes), step)
        return str(kind), nodes, (step["layer"], step["into"]) if "into" in step else None

    @staticmethod
    def _require(condition: bool, step: Any) -> None:
        if not condition:
            raise CheckError(f"The step {step!r:.200} of the simplifier is not justified. Simplify the network anew.")

    def build(self) -> Network:
        """Return the network of the remaining neurons."""
        alive = {0: [(0, i) for i in range(self.network.inputs)]}
        for node in sorted(self.rows):
            alive.setdefault(node[0], []).append(node)
        position = {layer: place for place, layer in enumerate(sorted(alive))}
        place_of = {node: i for nodes in alive.values() for i, node in enumerate(nodes)}
        layers = []
        for number in sorted(alive)[1:]:
            original, nodes = self.network.layers[number - 1], alive[number]
            if any(isinstance(linear, Convolution) for _, linear in original.terms):
                terms = tuple((position[source], linear) for source, linear in original.terms)
                layers.append(Layer(terms, original.bias, original.activations))
                continue
            entries: dict[int, Entries] = {}
            for i, node in enumerate(nodes):
                for source, weight in self.rows[node].items():
                    entries.setdefault(source[0], {})[i, place_of[source]] = weight
            before = max(layer for layer in alive if layer < number)
            sources = sorted(entries, reverse=True) or [before]
            terms = tuple((position[k], linear_map((len(nodes), len(alive[k])), entries.get(k, {}))) for k in sources)
            names = [self.functions[node].name for node in nodes]
            names = names[:1] if len(set(names)) == 1 else names
            layers.append(Layer(terms, bias_vector(self.bias[node] for node in nodes), tuple(names)))
        return Network(self.network.inputs, tuple(layers))


def _is_short(number: Fraction) -> bool:
    return max(number.numerator.bit_length(), number.denominator.bit_length()) <= _MAX_BITS


def _take(graph: _Graph, step: Step) -> Step:
    graph.apply(step)
    return step


def _search_single(graph: _Graph, layer: int) -> list[Step]:
    log = []
    for node in graph.free(layer):
        values = {kind: graph.value(kind, node) for kind in ("dead", "inactive", "constant")}
        kind = next((kind for kind, value in values.items() if value is not None), None)
        if kind is not None and (value := values[kind]) is not None and graph.allows([node], [value]):
            log.append(_take(graph, {"step": kind, "layer": layer, "neuron": node[1]}))
    return log


def _search_pairs(graph: _Graph, layer: int, kinds: Sequence[str]) -> list[Step]:
    """Merge neurons with proportional arguments, then reflect those with opposite ones."""
    log: list[Step] = []
    for kind in kinds:
        first: dict[Any, Node] = {}
        for node in graph.free(layer):
            if not graph.rows[node]:
                continue
            key = graph.key(node)[0]
            into = first.setdefault(key if kind == "merge" else frozenset((key, graph.mirrored(key))), node)
            value = graph.value(kind, node, into)
            if value is not None and graph.allows([node], [value]):
                log.append(_take(graph, {"step": kind, "layer": layer, "neuron": node[1], "into": into[1]}))
    return log


def _search_substitutions(graph: _Graph, layer: int) -> list[Step]:
    """Try linear neurons one by one, then those left together: a product of matrices may be smaller than both."""
    log = []
    alive = graph.free(layer)
    linear = [node for node in alive if graph.slope(node) is not None and graph.readers[node]]
    groups = [*([node] for node in linear), linear]
    if graph.plain:
        groups = [linear] if linear == alive else []
    for group in groups:
        left = [node for node in group if node in graph.rows]
        values = [value for value in (graph.value("substitute", node) for node in left) if value is not None]
        if left and graph.allows(left, values):
            neurons = [node[1] for node in left]
            log.append(_take(graph, {"step": "substitute", "layer": layer, "neurons": neurons}))
    return log
