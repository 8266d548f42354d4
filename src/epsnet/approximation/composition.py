r"""Deep networks for formulas of several variables, put together from networks for their parts.

Source of the idea: H. N. Mhaskar, Q. Liao, T. Poggio, Learning functions: when is deep better than shallow (2016): a
function that is composed of functions of few variables needs no more than they do together.

1. The formula is cut into modules of `core.composition`: a part that depends on one other part only and has no kink is
   a function of one variable, products of two parts are squaring chains, relu and abs are exact, sums cost nothing.
   Products that are always added in the same proportions share one chain of sums.
2. The accuracy is divided. With x_k the share of module k in the final error, its size is about c_k log(1/x_k) for
   chains and 3 C_k (s_k/x_k)^(1/2) for a polygon, C_k = (1/4) int |g''|^(1/2), s_k the sensitivity of the result to
   its error. The x_k with the least sum of the sizes are found with a multiplier, the whole levels by single steps.
3. Every function of one variable becomes the polygon or the squaring circuit with fewer weights.
4. Layers: every module starts as soon as its arguments are there, each of them held by one neuron; starting a layer
   earlier, without that neuron, or later is tried.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from flint import arb

from epsnet.approximation.circuits import squaring_circuit
from epsnet.approximation.piecewise_linear import polygon_within
from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError, DomainError, EpsnetError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.checker.rules.composition import hypotheses, weight_rounding
from epsnet.core.composition import (
    Fit,
    Interval,
    Kink,
    Module,
    Plan,
    Products,
    Univariate,
    module_network,
    products_network,
    rounded,
)
from epsnet.core.evaluate import evaluate_float
from epsnet.core.formula import ARGUMENT, Formula, pair_of, slope_and_range
from epsnet.core.functions import FUNCTIONS
from epsnet.core.grammar import parse
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network
from epsnet.core.target import Target
from epsnet.enclosure.cover import cover
from epsnet.enclosure.float64 import exact_error, power_of_two_above, rounding_of, with_rounding

_CIRCUIT_WEIGHTS, _CIRCUIT_SLOPE = 60.0, 11.0
"""A squaring circuit within eps takes about 60 + 11 log(1/eps) weights here."""
_WORTH = 0.9
"""No circuit is tried beside a polygon with less than this share of that, and no polygon with more than its inverse."""
_STEPS = 8
"""Accuracies of functions of one variable are rounded to 2^(-j/8), so that alike modules share one fit."""
_UNIT = 2**10
"""Intervals are widened to multiples of a power of two near this share of their length."""
_ROUNDS = 6
_SLACK = 1.03
"""Where eps exceeds what was proved by more than this factor, it is divided once more."""
_GRID = 2001


@dataclass(frozen=True, slots=True)
class Part:
    """A module of a composition.

    Attributes:
        formula: what it computes.
        variables: what that depends on.
        kind: "kink", "polygon", "circuit" or "products".
        intervals: where its arguments lie.
        error: its own error on them.
        weights: the size of its network, standing alone.
    """

    formula: str
    variables: tuple[str, ...]
    kind: str
    intervals: tuple[Interval, ...]
    error: Fraction
    weights: int


@dataclass(frozen=True, slots=True)
class Composition:
    """What `compositional` returns.

    Attributes:
        network: the deep network, its weights float64.
        error: sup |F - Phi| <= eps for the float64 network.
        witnesses: what the rules need, for `Certificate.of`.
        parts: the modules.
    """

    network: Network
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]
    parts: tuple[Part, ...]


def compositional(target: Target, eps: Fraction, *, seed: int = 0) -> Composition:
    """Return a deep network with sup |F - Phi| <= eps for a formula of any number of variables.

    Args:
        target: a formula made of sums, products, quotients, powers and functions.
        eps: the accuracy in the sup norm, > 0.
        seed: fixes the starts of the fits of squaring circuits.

    Raises:
        HypothesisError: the formula is a constant, or a part of it is not known to be where a function is smooth.
        CertificateError: eps was not reached.
    """
    with ball_arithmetic():
        try:
            return _Builder(target, eps, seed, merge=True).build()
        except DomainError:
            # Products with a common sum cannot wait for one another: without common sums everything can.
            return _Builder(target, eps, seed, merge=False).build()


@dataclass(frozen=True, slots=True)
class _Piece:
    """A module before it has a fit, levels and a place.

    Attributes:
        nodes: the node, or the products.
        argument: the node it is a function of; -1 for products.
        weights: the factors of the products.
    """

    nodes: tuple[int, ...]
    argument: int = -1
    weights: tuple[Fraction, ...] = (Fraction(1),)


@dataclass(frozen=True, slots=True)
class _Size:
    """What accuracy costs: share x of the final error takes cost log_4(scale/x), or 3 cost (scale/x)^(1/2) weights."""

    scale: float
    cost: float
    chains: bool

    def share(self, multiplier: float) -> float:
        """Return the x at which the derivative of the weights is -multiplier."""
        if self.chains:
            return self.cost / math.log(4) / multiplier
        polygon = (1.5 * self.cost * math.sqrt(self.scale) / multiplier) ** (2 / 3)
        return min((polygon, _CIRCUIT_SLOPE / multiplier), key=lambda x: self.weights(x) + multiplier * x)

    def polygon(self, x: float) -> float:
        """Return the size of a polygon with share x."""
        return 3 * self.cost * math.sqrt(self.scale / x)

    def circuit(self, x: float) -> float:
        """Return the size of a squaring circuit with share x."""
        return _CIRCUIT_WEIGHTS + _CIRCUIT_SLOPE * max(math.log(self.scale / x), 0.0)

    def weights(self, x: float) -> float:
        """Return the size of a function with share x."""
        return min(self.polygon(x), self.circuit(x))


class _Builder:
    def __init__(self, target: Target, eps: Fraction, seed: int, *, merge: bool) -> None:
        self.target, self.eps, self.seed = target, eps, seed
        # As the checker will read it.
        self.formula = Formula(parse(str(target.expression)), target.variables)
        if self.formula.is_constant(self.formula.root):
            raise HypothesisError("The formula is a constant. Approximate it by that number.")
        pieces = _pieces(self.formula)
        self.pieces = _merged(self.formula, pieces) if merge else pieces
        functions = {p.nodes[0]: p.argument for p in self.pieces if p.argument >= 0 and not self._is_kink(p)}
        self.functions = {node: self.formula.function(node, argument) for node, argument in functions.items()}
        self.ranges = self.formula.ranges(target.domain, functions)
        self.ends = self.formula.ends(target.domain, self.ranges)
        self.slopes = {
            node: float(slope_and_range(self.functions[node], self.ranges[argument])[0].upper())
            for node, argument in functions.items()
        }
        self.sizes = self._sizes()
        self.fits: dict[tuple[str, Interval, Fraction], tuple[Fit, Witness]] = {}

    def build(self) -> Composition:
        """Divide eps, fit, place and prove; again with less or more if the estimate was not close."""
        budget, achieved, best = float(self.eps) * (1 - 1e-3), math.inf, None
        for number in range(_ROUNDS):
            found = self._certified(self._placed(self._modules(*self._accuracies(budget))))
            achieved = min(achieved, found.error.value)
            slack = float(self.eps) / max(found.error.value, float(self.eps) / 2)
            if found.error.limit <= self.eps and (
                best is None or found.network.size.weights < best.network.size.weights
            ):
                best = found
            # Polygons take a second each, circuits many.
            slow = not self.functions or any(part.kind == "circuit" for part in found.parts)
            if best is not None and (slack < _SLACK or number == 2 or slow):
                return best
            budget *= slack * (1 - 1e-3)
        raise CertificateError(
            f"The error of the composition could not be brought below {float(self.eps):.3g}. Ask for a larger eps.",
            asked=float(self.eps), achieved=achieved,
        )  # fmt: skip

    def _is_kink(self, piece: _Piece) -> bool:
        return _is_kink(self.formula, piece.nodes[0])

    def _largest(self, node: int) -> float:
        return round_up(abs(self.ranges[node]))

    def _sensitivities(self) -> list[float]:
        """Return how much an error of each node changes the result."""
        slopes = [0.0] * len(self.formula.nodes)
        slopes[-1] = 1.0
        argument = {piece.nodes[0]: piece.argument for piece in self.pieces if piece.argument >= 0}
        products = {node for piece in self.pieces if piece.argument < 0 for node in piece.nodes}
        for node in range(len(slopes) - 1, -1, -1):
            if node in argument:
                slopes[argument[node]] += slopes[node] * self.slopes.get(node, 1.0) if slopes[node] else 0.0
            elif node in products:
                pair = pair_of(self.formula, node)
                for own, other in ((pair[0], pair[-1]), (pair[-1], pair[0])):
                    slopes[own] += slopes[node] * self._largest(other)
            elif node in self.formula.linear:
                for other, factor in self.formula.linear[node].terms:
                    slopes[other] += slopes[node] * abs(float(factor))
        return slopes

    def _sizes(self) -> list[_Size | None]:
        """Return the cost model of every piece, None for a kink, which is exact."""
        slopes, sizes = self._sensitivities(), list[_Size | None]()
        for piece in self.pieces:
            node = piece.nodes[0]
            if piece.argument < 0:
                pairs = [pair_of(self.formula, product) for product in piece.nodes]
                # A product errs by R S 4^-(m+1), a square by R^2 4^-m / 8.
                areas = [4 * float(self.ranges[pair[0]].rad() * self.ranges[pair[-1]].rad()) for pair in pairs]
                terms = zip(piece.nodes, areas, pairs, strict=True)
                scale = sum(slopes[product] * area / (12 - 4 * len(pair)) for product, area, pair in terms)
                sizes.append(_Size(scale, 6 * sum(map(len, pairs)) + 1, True))
            elif self._is_kink(piece):
                sizes.append(None)
            else:
                sizes.append(_Size(slopes[node], self._bending(node, piece.argument), False))
            if sizes[-1] is not None and not math.isfinite(sizes[-1].scale):
                raise HypothesisError(
                    "A part of the formula is infinitely steep where its argument has an error. "
                    "Choose a domain that stays away from there."
                )
        return sizes

    def _bending(self, node: int, argument: int) -> float:
        """Return (1/4) int |g''|^(1/2): a polygon within eps has about so many pieces times eps^(-1/2)."""
        low, high = float(self.ranges[argument].lower()), float(self.ranges[argument].upper())
        values = evaluate_float(self.functions[node], {ARGUMENT: np.linspace(low, high, _GRID)})
        return max(float(np.nansum(np.sqrt(np.abs(np.diff(values, 2))))) / 4, 1e-3)

    def _accuracies(self, budget: float) -> tuple[list[int], list[float]]:
        """Return the levels of the chains and the accuracies of the functions, 0 where there is none."""
        chains = [i for i, size in enumerate(self.sizes) if size is not None and size.chains]
        functions = [i for i, size in enumerate(self.sizes) if size is not None and not size.chains]
        sizes = {i: size for i, size in enumerate(self.sizes) if size is not None}
        if not sizes:
            return [0] * len(self.sizes), [0.0] * len(self.sizes)
        shares = _shares([sizes[i] for i in sizes], budget)
        exponents = {i: math.log(sizes[i].scale / x, 4) for i, x in zip(sizes, shares, strict=True) if i in chains}
        levels = {i: max(1, math.ceil(exponent)) for i, exponent in exponents.items()}

        def cost(levels: Mapping[int, int]) -> float:
            left = budget - sum(sizes[i].scale * 4.0**-m for i, m in levels.items())
            total = sum(sizes[i].cost * m for i, m in levels.items())
            if left <= 0 or min(levels.values(), default=1) < 1:
                return math.inf
            parts = [sizes[i] for i in functions]
            return total + sum(size.weights(x) for size, x in zip(parts, _shares(parts, left), strict=True))

        while True:
            steps = [levels | {i: m + step} for i, m in levels.items() for step in (-1, 1)]
            best = min(steps, key=cost, default=levels)
            if not cost(best) < cost(levels):
                break
            levels = best
        left = budget - sum(sizes[i].scale * 4.0**-m for i, m in levels.items())
        found = dict(zip(functions, _shares([sizes[i] for i in functions], left), strict=True))
        accuracies = [found[i] / sizes[i].scale if i in found else 0.0 for i in range(len(self.sizes))]
        return [levels.get(i, 0) for i in range(len(self.sizes))], accuracies

    def _modules(self, levels: Sequence[int], accuracies: Sequence[float]) -> list[Module]:
        """Return the modules, none of them placed: all start at layer 1."""
        nodes = self.formula.nodes
        errors = [0.0] * len(nodes)
        piece_of = {node: number for number, piece in enumerate(self.pieces) for node in piece.nodes}
        modules: dict[int, Module] = {}
        for node in range(len(nodes)):
            number = piece_of.get(node)
            if number is None:
                if node in self.formula.linear:
                    terms = self.formula.linear[node].terms
                    errors[node] = sum(abs(float(factor)) * errors[arg] for arg, factor in terms)
                continue
            piece = self.pieces[number]
            if piece.argument < 0:
                pair = pair_of(self.formula, node)
                ends = [self._interval(arg, errors[arg]) for arg in pair]
                own = float(products_network(((Fraction(1), tuple(ends)),), levels[number])[1])
                u, v = errors[pair[0]], errors[pair[-1]]
                errors[node] = own + self._largest(pair[0]) * v + self._largest(pair[-1]) * u + u * v
                if node == max(piece.nodes):
                    pairs = tuple(pair_of(self.formula, product) for product in piece.nodes)
                    intervals = tuple(self._interval(arg, errors[arg]) for pair in pairs for arg in pair)
                    modules[number] = Products(piece.nodes, piece.weights, intervals, levels[number], 1, pairs)
            elif self._is_kink(piece):
                errors[node] = errors[piece.argument]
                modules[number] = Kink(node, piece.argument, 1)
            else:
                interval = self._interval(piece.argument, errors[piece.argument])
                fit = self._fit(node, interval, accuracies[number])
                modules[number] = Univariate(node, piece.argument, 1, fit)
                slope = self.slopes[node] if errors[piece.argument] else 0.0
                errors[node] = float(fit.error) + slope * errors[piece.argument]
        return [modules[number] for number in sorted(modules)]

    def _interval(self, node: int, error: float) -> Interval:
        """Return an interval with short ends around what the network computes for a node."""
        margin = ball(error * (1 + 2.0**-6))
        least, most = self.ends[node][0] - margin, self.ends[node][1] + margin
        low, high = float(least), float(most)
        unit = 2.0 ** math.floor(math.log2(max(high - low, 2.0**-40 * max(abs(low), abs(high), 1.0)) / _UNIT))
        left, right = round(low / unit) * unit, round(high / unit) * unit
        left = left if least >= ball(left) else math.floor(low / unit) * unit
        right = right if most <= ball(right) else math.ceil(high / unit) * unit
        return Fraction(left), Fraction(right if right > left else left + unit)

    def _fit(self, node: int, interval: Interval, accuracy: float) -> Fit:
        """Return the network with the fewest weights found for a function of one variable."""
        eps = Fraction(2.0 ** (math.floor(math.log2(accuracy) * _STEPS) / _STEPS))
        function = self.functions[node]
        key = (str(function), interval, eps)
        if key not in self.fits:
            piece = Target(function, Box(*interval), variables=(ARGUMENT,))
            found: list[tuple[Fit, Witness]] = []
            size = self.sizes[next(i for i, p in enumerate(self.pieces) if node in p.nodes)]
            assert size is not None
            failure: EpsnetError | None = None
            share, expected = float(eps) * size.scale, size.circuit(float(eps) * size.scale)
            if _WORTH**2 * size.polygon(share) <= expected:
                try:
                    found.append(_polygon(piece, eps))
                except CertificateError as error:
                    failure = error
            if not found or found[0][0].network.size.weights > _WORTH * expected:
                try:
                    found.append(_circuit(piece, eps, self.seed))
                except CertificateError as error:
                    failure = error
            if not found:
                raise CertificateError(
                    f"No network within {float(eps):.3g} was found for the part {function} of the formula, "
                    f"{ARGUMENT} in {Box(*interval)}. Ask for a larger eps.",
                    asked=float(eps), achieved=math.inf,
                ) from failure  # fmt: skip
            self.fits[key] = min(found, key=lambda pair: pair[0].network.size.weights)
        return self.fits[key][0]

    def _placed(self, modules: list[Module]) -> Plan:
        """Return the plan with the fewest weights that starting modules earlier or later gives."""
        held = _held(self.formula, modules)
        # A sum of products cannot be held in part: it ends where it is needed.
        sums = frozenset(
            i for i, module in enumerate(modules) if isinstance(module, Products) and len(module.nodes) > 1
        )
        plan = _scheduled(self.formula, modules, held, frozenset(), sums)
        # Errors and ranges do not depend on the layers.
        shifts = {
            node: _shift(signal.least)
            for node, signal in enumerate(plan.signals(self.target.domain))
            if signal is not None
        }
        plan.shifts.update(shifts)
        best, choice = plan.network().size.weights, (frozenset[int](), sums)
        for group in _alike(plan):
            for side in (0, 1):
                trial = [*choice]
                trial[side] = trial[side] ^ group
                with contextlib.suppress(DomainError):
                    other = _scheduled(self.formula, modules, held, trial[0], trial[1])
                    other.shifts.update(shifts)
                    weights = other.network().size.weights
                    if weights < best:
                        best, plan, choice = weights, other, (trial[0], trial[1])
        plan.shifts = {node: shifts[node] for node in plan.held_nodes}
        return plan

    def _certified(self, plan: Plan) -> Composition:
        domain = self.target.domain
        built = plan.network()
        network = rounded(built)
        weights = Fraction(power_of_two_above(float(weight_rounding(built, network, domain))))
        witness: dict[str, np.ndarray] = plan.to_arrays()
        by_fit: dict[Fit, Witness] = dict(self.fits.values())
        for number, fit in enumerate(plan.fits):
            witness |= {f"{number}.{name}": array for name, array in by_fit[fit].items()}
        used = {(str(self.functions[m.node]), m.fit) for m in plan.modules if isinstance(m, Univariate)}
        cells = sum(int((by_fit[fit]["axis"] < 0).sum()) for _, fit in used)
        value = round_up(plan.error(domain) + ball(weights))
        exact = exact_error(self.target, network, value, "composition-error", "composition", hypotheses(plan, cells))
        error = with_rounding(exact, rounding_of(network, domain))
        parts = tuple(self._part(plan, number) for number in range(len(plan.modules)))
        return Composition(network, error, ((exact, witness),), parts)

    def _part(self, plan: Plan, number: int) -> Part:
        module, (network, error) = plan.modules[number], plan.networks[number]
        kind = "kink"
        if isinstance(module, Univariate):
            kind = "polygon" if len(network.layers) == 2 else "circuit"
        elif isinstance(module, Products):
            kind = "products"
        parts = [self.formula.expression(node) for node in module.factors]
        names = {name for part in parts for name in part.variables}
        variables = tuple(name for name in self.formula.variables if name in names)
        return Part(" + ".join(map(str, parts)), variables, kind, module.intervals, error, network.size.weights)


def _is_kink(formula: Formula, number: int) -> bool:
    node = formula.nodes[number]
    return node.op == "apply" and FUNCTIONS[str(node.value)].slopes is not None


def _pieces(formula: Formula) -> list[_Piece]:
    """Cut a formula into functions of one node without a kink, products, and kinks."""
    through, users = _dominators(formula), _users(formula)
    pieces: list[_Piece] = []
    seen: set[int] = set()
    stack = [formula.root]
    while stack:
        node = stack.pop()
        if node in seen or formula.is_constant(node) or formula.nodes[node].op == "variable":
            continue
        seen.add(node)
        argument = _argument(formula, through[node], users, node)
        if argument is None and node in formula.linear:
            stack.extend(formula.operands(node))
            continue
        if argument is None and pair_of(formula, node):
            pieces.append(_Piece((node,)))
            stack.extend(formula.operands(node))
            continue
        argument = formula.nodes[node].args[0] if argument is None else argument
        pieces.append(_Piece((node,), argument))
        stack.append(argument)
    return pieces


def _dominators(formula: Formula) -> list[set[int]]:
    """Return for every node the nodes that all its variables pass, itself included."""
    through: list[set[int]] = []
    for number in range(len(formula.nodes)):
        below = [through[arg] for arg in formula.operands(number)]
        through.append({number} | (set.intersection(*below) if below else set()))
    return through


def _users(formula: Formula) -> list[set[int]]:
    """Return for every node the nodes that it is an operand of."""
    users: list[set[int]] = [set() for _ in formula.nodes]
    for number in range(len(formula.nodes)):
        for arg in formula.operands(number):
            users[arg].add(number)
    return users


def _argument(formula: Formula, through: set[int], users: Sequence[set[int]], node: int) -> int | None:
    """Return the first node that `node` is a smooth function of; None if its operands have to be taken one by one.

    What is needed elsewhere as well is not hidden inside a function.
    """
    for argument in sorted(through - {node}):
        between = formula.between(node, argument)
        shared = [part for part in between - {node} - formula.linear.keys() if users[part] - between]
        if shared or any(_is_kink(formula, part) for part in between):
            continue
        if pair_of(formula, node) == (argument,):
            return None
        if node in formula.linear:
            terms = _terms(formula, node, argument)
            bent = [part for part in terms if part != argument and pair_of(formula, part) != (argument,)]
            if len(terms) < 2 or not bent:
                return None
        return argument
    return None


def _terms(formula: Formula, node: int, stop: int = -1) -> dict[int, Fraction]:
    """Return a node as a combination of nodes that are not affine, and of node `stop`."""
    total: dict[int, Fraction] = {}
    stack = [(node, Fraction(1))]
    while stack:
        part, weight = stack.pop()
        if part in formula.linear and part != stop:
            stack.extend((arg, weight * factor) for arg, factor in formula.linear[part].terms)
        else:
            total[part] = total.get(part, Fraction(0)) + weight
    return total


def _merged(formula: Formula, pieces: list[_Piece]) -> list[_Piece]:
    """Put products together that stand beside each other and are always added in the same proportions."""
    taken = {piece.nodes[0]: piece for piece in pieces}
    heights: list[int] = []
    for number in range(len(formula.nodes)):
        piece = taken.get(number)
        below = formula.operands(number) if piece is None or piece.argument < 0 else (piece.argument,)
        heights.append(max((heights[arg] for arg in below), default=0) + (piece is not None))
    readers = {formula.root, *(p.argument for p in pieces if p.argument >= 0)}
    readers |= {arg for p in pieces if p.argument < 0 for arg in pair_of(formula, p.nodes[0])}
    uses: dict[int, list[tuple[int, Fraction]]] = {p.nodes[0]: [] for p in pieces if p.argument < 0}
    for reader in sorted(readers - taken.keys()):
        for part, weight in _terms(formula, reader).items():
            if part in uses:
                uses[part].append((reader, weight))
    groups: dict[object, list[int]] = {}
    for node, found in sorted(uses.items()):
        ratios = tuple((reader, weight / found[0][1]) for reader, weight in found if weight) if found else node
        direct = node in readers or not found or not is_float64(found[0][1])
        groups.setdefault(node if direct else (heights[node], ratios), []).append(node)
    merged = [p for p in pieces if p.argument >= 0]
    for nodes in groups.values():
        weights = tuple(uses[node][0][1] if len(nodes) > 1 else Fraction(1) for node in nodes)
        merged.append(_Piece(tuple(nodes), -1, weights))
    return merged


def _shares(sizes: Sequence[_Size], budget: float) -> list[float]:
    """Return the shares with the sum `budget` at which all derivatives of the weights are equal."""
    if not sizes:
        return []
    low, high = -400.0, 400.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(s.share(math.exp(middle)) for s in sizes) > budget else (low, middle)
    return [size.share(math.exp(high)) for size in sizes]


def _polygon(piece: Target, eps: Fraction) -> tuple[Fit, Witness]:
    network, _ = polygon_within(piece, eps)
    value, tree = cover(piece, network, eps)
    hidden, output = network.layers
    rows = output.terms[0][1].rows
    turns = np.zeros(hidden.outputs)
    for index, weight in rows[0]:
        turns[index] = float(weight)
    witness = {
        "breakpoint": -np.array(list(map(float, hidden.bias_values()))),
        "turn": turns,
        "value": np.array(list(map(float, output.bias_values()))),
    }
    return Fit(network, (piece.domain.lower[0], piece.domain.upper[0]), Fraction(value)), {**tree, **witness}


def _circuit(piece: Target, eps: Fraction, seed: int) -> tuple[Fit, Witness]:
    found = squaring_circuit(piece, eps, seed=seed)
    exact, witness = found.witnesses[0]
    return Fit(found.network, (piece.domain.lower[0], piece.domain.upper[0]), exact.limit), witness


def _shift(least: arb) -> Fraction:
    """Return a number with few bits that makes what is at least this nonnegative, 0 if it is."""
    need = -Fraction(round_down(least))
    if need <= 0:
        return Fraction(0)
    unit = Fraction(2) ** (need.numerator.bit_length() - need.denominator.bit_length() - 8)
    return (need // unit + 1) * unit


def _held(formula: Formula, modules: Sequence[Module]) -> frozenset[int]:
    """Return the sums to hold: arguments, unless they are made of what is held anyway."""
    arguments = {arg for module in modules for arg in module.arguments}
    taken = {node for module in modules for node in module.factors}
    held = set()
    for node in arguments & formula.linear.keys() - taken:
        if not _is_spanned(formula, node, arguments - {node}):
            held.add(node)
    return frozenset(held)


def _is_spanned(formula: Formula, node: int, others: set[int]) -> bool:
    """Tell whether a sum is made of some other nodes."""
    stack = [arg for arg, _ in formula.linear[node].terms]
    while stack:
        part = stack.pop()
        if part not in others:
            if part not in formula.linear:
                return False
            stack.extend(arg for arg, _ in formula.linear[part].terms)
    return True


def _alike(plan: Plan) -> list[frozenset[int]]:
    """Return the modules in groups of those that start at the same layer and have networks of the same size."""
    groups: dict[object, set[int]] = {}
    for number, (module, (network, _)) in enumerate(zip(plan.modules, plan.networks, strict=True)):
        key = (module.start, type(module), network.size.weights, len(network.layers))
        groups.setdefault(key, set()).add(number)
    return [frozenset(group) for group in groups.values()]


def _scheduled(
    formula: Formula, modules: Sequence[Module], held: frozenset[int], direct: frozenset[int], late: frozenset[int]
) -> Plan:
    """Return the plan in which every module starts as soon as it can.

    Args:
        formula: the graph.
        modules: what is to be placed.
        held: the sums that are held.
        direct: the modules that read their arguments where they are computed, not from a neuron that holds them.
        late: the modules that start as late as they can.
    """
    depths = [len(module_network(formula, module)[0].layers) - 1 for module in modules]
    module_of = {node: number for number, module in enumerate(modules) for node in module.factors}
    first = [0] * len(formula.nodes)
    starts = [1] * len(modules)
    last = [max(module.factors) for module in modules]
    for node in range(len(formula.nodes)):
        number = module_of.get(node)
        if number is None:
            first[node] = max((first[arg] for arg in formula.operands(node)), default=0)
        elif node == last[number]:
            ready = max(first[arg] for arg in modules[number].arguments)
            starts[number] = ready + 1 + (ready > 0 and number not in direct)
            for part in modules[number].factors:
                first[part] = starts[number] + depths[number] - 1
    limits = [first[formula.root]] * len(formula.nodes)
    for node in range(len(formula.nodes) - 1, -1, -1):
        number = module_of.get(node)
        if number is None:
            for arg in formula.operands(node):
                limits[arg] = min(limits[arg], limits[node])
            continue
        if node == last[number]:
            end = min(limits[part] for part in modules[number].factors)
            if number in late:
                starts[number] = max(starts[number], end - depths[number] + 1)
            for arg in modules[number].arguments:
                limits[arg] = min(limits[arg], starts[number] - 1 - (number not in direct and first[arg] > 0))
    placed = [replace(module, start=start) for module, start in zip(modules, starts, strict=True)]
    return Plan(formula, placed, held)
