r"""Generators: functions of which expansions are made, with the networks that stand for them and proved errors.

A *factor* is a function p(s) of s = |u_1| + ... + |u_k|, or of one variable u_1, and a network N of depth independent
of everything else. Numbers e, P, r, tau go with it: |p - N| <= e and |p|, |N| <= P; and if there is a radius r, then
for s >= r the network is exactly 0 and |p| <= tau.

* `Spline`: p(s) = sum_i a_i rho(r_i - s)^n, n = 1, 2, 3: hats, B-splines, spline wavelets, and by three variables the
  hat function rho(1 - (|x| + |y| + |x - y|)/2) of the Kuhn mesh. With R_i a power of two >= r_i and
  y = rho(r_i - s)/R_i in [0, 1], y^2 is replaced by the polygon f_m of `core.squares`, y^3 by
  f_m((y + f_m(y))/2) - f_m((y - f_m(y))/2). As y^2 <= f_m(y) <= min(y, y^2 + 4^(-m-1)) and f_m(0) = 0, these are 0 for
  y = 0 and err by at most 4^(-m-1), and 2 * 4^(-m-1): y (f_m(y) - y^2) and the errors of the two polygons all lie in
  [0, 4^(-m-1)]. So e = (n - 1) 4^(-m-1) sum |a_i| R_i^n, r = max r_i, tau = 0.
* `Bell`: p is any formula, r any number. A circuit C is close to p on [0, r], within e' by `core.circuit`; N = C(min(s,
  r)) - C(r), so e = e' + |C(r)| + tau.
* `Wave`: p(u) = cos(2 pi u) for |u| <= 2^L. The folds t <- |t - c| with c = 0, 2^(L-1), ..., 1 change no value of the
  cosine and end in [0, 1], and one more with c = 1/2 changes its sign and ends in [0, 1/2], where a circuit stands for
  cos(2 pi t). So L levels more for frequencies up to 2^L.

A *generator* is a product of factors of different variables. Two factors are multiplied by

$$ N = P_1 P_2 \bigl( f_m(\tfrac12 |N_1/P_1 + N_2/P_2|) - f_m(\tfrac12 |N_1/P_1 - N_2/P_2|) \bigr), $$

P_1 and P_2 powers of two. N is 0 where N_1 or N_2 is, |N| <= P_1 P_2, and the two errors in [0, 4^(-m-1)] give

$$ |p_1 p_2 - N| \le e_1 P_2 + P_1 e_2 + P_1 P_2 4^{-m-1}. $$

Source: D. Yarotsky, Error bounds for approximations with deep ReLU networks, Neural Networks 94 (2017) 103-114, for the
product that vanishes with its factors; H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with
sparsely connected deep neural networks, SIAM J. Math. Data Sci. 1 (2019) 8-45, for generators and affine maps.
"""

from __future__ import annotations

import functools
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from epsnet.certify.domain import exact, number_text
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.core.calculus import compose, parallel
from epsnet.core.circuit import Circuit
from epsnet.core.evaluate import evaluate_ball
from epsnet.core.expression import Expression
from epsnet.core.gates import Gates
from epsnet.core.grammar import parse
from epsnet.core.network import Network
from epsnet.core.realize import realize_exact
from epsnet.core.squares import squares

MAX_LEVELS = 30
MAX_FACTORS = 6
MAX_KNOTS = 16
MAX_CELLS = 1024
_MAX_FOLDS = 40
_MAX_INPUTS = 6
_MAX_NUMBERS = 4096
_CACHED = 512
_LARGEST = Fraction(2) ** 60

_WAVE = "cos(2*pi*s)"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DomainError(f"{message} Build the generator anew.")


def _power_of_two(value: Fraction) -> Fraction:
    """Return the least power of two >= value > 0."""
    power = Fraction(2) ** (value.numerator.bit_length() - value.denominator.bit_length() - 1)
    while power < value:
        power *= 2
    return power


def _square(levels: int) -> Network:
    """Return the network of f_m, which is 0 at 0."""
    gates = Gates(1)
    return gates.network(squares(gates, [(gates.inputs[0], Fraction(1))], levels)[0])


def _cube(levels: int) -> Network:
    """Return the network of f_m((y + f_m(y))/2) - f_m((y - f_m(y))/2) on [0, 1]."""
    gates = Gates(1)
    (y,) = gates.inputs
    square, y = squares(gates, [(y, Fraction(1))], levels, carried=[y], kept=1)
    both = gates.network((y + square) * Fraction(1, 2), (y - square) * Fraction(1, 2))
    return compose(_difference(levels, Fraction(1)), both)


def _difference(levels: int, factor: Fraction) -> Network:
    """Return the network of factor * (f_m(s) - f_m(t))."""
    gates = Gates(2)
    s, t = gates.inputs
    pair = parallel(_square(levels), _square(levels), shared_input=False)
    return compose(gates.network(s * factor - t * factor), pair)


def product(first: Network, second: Network, bounds: tuple[Fraction, Fraction], levels: int) -> Network:
    """Return the network N of the module for two networks of different variables.

    Args:
        first: N_1.
        second: N_2.
        bounds: P_1 and P_2.
        levels: m.
    """
    gates = Gates(2)
    u, v = (form * (1 / bound) for form, bound in zip(gates.inputs, bounds, strict=True))
    a, b, c, d = gates.relu(u + v, -u - v, u - v, v - u)
    halves = gates.network((a + b) * Fraction(1, 2), (c + d) * Fraction(1, 2))
    after = compose(_difference(levels, bounds[0] * bounds[1]), halves)
    return compose(after, parallel(first, second, shared_input=False))


@dataclass(frozen=True, slots=True)
class Quality:
    """What is proved of a factor or a generator: e and tau of the module."""

    error: Fraction
    tail: Fraction = Fraction(0)


class Factor(ABC):
    """A factor; see the module."""

    inputs: int
    """The number of variables."""
    radius: Fraction | None
    """The radius, None if there is none."""

    @property
    def work(self) -> int:
        """About how many operations it takes to enclose the error."""
        return 0

    @abstractmethod
    def text(self, names: Sequence[str]) -> str:
        """Return the factor as a formula in some variables."""

    @abstractmethod
    def network(self) -> Network:
        """Return N."""

    @property
    @abstractmethod
    def bound(self) -> Fraction:
        """P, a power of two."""

    @abstractmethod
    def quality(self, reach: Fraction) -> Quality:
        """Return e and tau for s <= reach. HypothesisError if that is too far, or a circuit is not as it should be."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""


def _size(names: Sequence[str]) -> str:
    return " + ".join(f"abs({name})" for name in names)


@dataclass(frozen=True, slots=True)
class Spline(Factor):
    """sum_i a_i rho(r_i - s)^n, s the sum of the absolute values of the variables.

    Attributes:
        degree: n = 1, 2 or 3.
        radii: r_i > 0.
        weights: a_i, not 0.
        levels: m; 1 for n = 1, where the network is exact.
        inputs: the number of variables.
    """

    degree: int
    radii: tuple[Fraction, ...]
    weights: tuple[Fraction, ...]
    levels: int = 1
    inputs: int = 1

    def __post_init__(self) -> None:
        _require(self.degree in (1, 2, 3) and 1 <= self.levels <= MAX_LEVELS, "There is no such spline.")
        _require(self.degree > 1 or self.levels == 1, "An exact spline has no levels.")
        _require(1 <= self.inputs <= _MAX_INPUTS, "There are too many variables.")
        _require(0 < len(self.radii) == len(self.weights) <= MAX_KNOTS, "Radii and weights of a spline do not fit.")
        small = all(1 / _LARGEST <= abs(n) <= _LARGEST for n in (*self.radii, *self.weights))
        _require(small and min(self.radii) > 0, "A number of a spline is out of range.")

    @property
    def radius(self) -> Fraction:  # type: ignore[override]
        """The largest r_i."""
        return max(self.radii)

    def text(self, names: Sequence[str]) -> str:
        """Return sum_i a_i rho(r_i - s)^n."""
        s = " - ".join(f"abs({name})" for name in names)
        power = f"^{self.degree}" if self.degree > 1 else ""
        return " + ".join(
            f"({number_text(a)})*relu({number_text(r)} - {s}){power}"
            for r, a in zip(self.radii, self.weights, strict=True)
        )

    def network(self) -> Network:
        """Return N; of degree 1 it has 2k + n neurons in two hidden layers and output weights 1 and -1."""
        gates = Gates(self.inputs)
        halves = gates.relu(*(form * sign for form in gates.inputs for sign in (1, -1)))
        s = functools.reduce(lambda a, b: a + b, halves)
        if self.degree == 1:
            knots = gates.relu(*(abs(a) * r - s * abs(a) for r, a in zip(self.radii, self.weights, strict=True)))
            signed = [knot * (1 if a > 0 else -1) for knot, a in zip(knots, self.weights, strict=True)]
            return gates.network(functools.reduce(lambda a, b: a + b, signed))
        units = [_power_of_two(r) for r in self.radii]
        front = gates.network(*gates.relu(*((r - s) * (1 / unit) for r, unit in zip(self.radii, units, strict=True))))
        power = _square(self.levels) if self.degree == 2 else _cube(self.levels)
        powers = compose(parallel(*[power] * len(units), shared_input=False), front)
        last = Gates(len(units))
        terms = [form * (a * unit**self.degree) for form, a, unit in zip(last.inputs, self.weights, units, strict=True)]
        return compose(last.network(functools.reduce(lambda a, b: a + b, terms)), powers)

    @property
    def bound(self) -> Fraction:
        """P."""
        if self.degree > 1:
            return _power_of_two(self._total)
        return _power_of_two(max(abs(self._polygon(s)) for s in (Fraction(0), *self.radii)))

    def _polygon(self, s: Fraction) -> Fraction:
        return sum((a * max(r - s, Fraction(0)) for r, a in zip(self.radii, self.weights, strict=True)), Fraction(0))

    @property
    def _total(self) -> Fraction:
        """Return sum |a_i| R_i^n."""
        pairs = zip(self.radii, self.weights, strict=True)
        return sum((abs(a) * _power_of_two(r) ** self.degree for r, a in pairs), Fraction(0))

    def quality(self, reach: Fraction) -> Quality:
        """Return e; it holds everywhere, and tau = 0."""
        return Quality((self.degree - 1) * self._total / 4 ** (self.levels + 1))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "kind": "spline", "degree": self.degree, "radii": list(map(str, self.radii)),
            "weights": list(map(str, self.weights)), "levels": self.levels, "inputs": self.inputs,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fit:
    """A circuit that stands for a formula p(s) on [0, end], to be enclosed on the cells of a tree.

    Attributes:
        circuit: the circuit.
        end: the right end, > 0.
        tree: how [0, end] is halved, in prefix order: 1 for a cell that is halved, 0 for one that is not.
    """

    circuit: Circuit
    end: Fraction
    tree: str

    def __post_init__(self) -> None:
        _require(0 < self.end <= _LARGEST and len(self.tree) < 2 * MAX_CELLS, "The numbers of a fit are out of range.")
        self.intervals()

    def intervals(self) -> list[tuple[Fraction, Fraction]]:
        """Return the cells, from left to right. DomainError if the tree is none."""
        stack, cells = [(Fraction(0), self.end)], []
        for sign in self.tree:
            _require(bool(stack) and sign in "01", "The tree of a fit is malformed.")
            lower, upper = stack.pop()
            if sign == "0":
                cells.append((lower, upper))
            else:
                stack += [((lower + upper) / 2, upper), (lower, (lower + upper) / 2)]
        _require(not stack, "The tree of a fit is malformed.")
        return cells

    def work(self, formula: str) -> int:
        """Return about how many operations it takes to enclose the circuit for a formula."""
        stages = self.circuit.stages
        coefficients = sum(len(stage.form) * (1 + len(stage.carried)) + len(stage.linear) for stage in stages)
        return len(self.tree) * (len(stages) * coefficients + len(formula))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        arrays = {name: values.tolist() for name, values in self.circuit.to_arrays().items()}
        return {"circuit": arrays, "end": str(self.end), "tree": self.tree}

    @classmethod
    def from_json(cls, data: Any) -> Fit:
        """Read a fit back. DomainError if it is none."""
        arrays = data["circuit"]
        short = all(isinstance(values, list) and len(values) <= _MAX_NUMBERS for values in arrays.values())
        _require(short, "A circuit is too long.")
        integers = all(type(n) is int for name in ("levels", "carried", "kept") for n in arrays[name])
        floats = [n for name in ("coefficients", "folds", "sign") for n in arrays[name]]
        _require(integers and all(type(n) is float for n in floats), "A circuit has numbers of another type.")
        # Exact values of a chain of squares of very small numbers are very long.
        _require(all(n == 0 or 1e-60 <= abs(n) <= 1e60 for n in floats), "A number of a circuit is out of range.")
        return cls(Circuit.from_arrays(**arrays), _rational(data["end"]), str(data["tree"]))


@functools.lru_cache(maxsize=_CACHED)
def _fit_error(fit: Fit, formula: str) -> Fraction:
    """Bound |p - C| on [0, end]. HypothesisError if the conditions of the circuit cannot be shown."""
    expression, worst = parse(formula), Fraction(0)
    with ball_arithmetic():
        for lower, upper in fit.intervals():
            found, local = fit.circuit.enclose(expression, lower, upper)
            if not (local.holds and found.is_finite()):
                raise HypothesisError("The circuit of a generator leaves its range. Halve its cells.")
            worst = max(worst, Fraction(round_up(found)))
    return worst


@functools.lru_cache(maxsize=_CACHED)
def _largest_inside(fit: Fit, formula: str) -> Fraction:
    """Bound |p| on [0, end]."""
    expression = parse(formula)
    with ball_arithmetic():
        return max(_largest(expression, *cell) for cell in fit.intervals())


@functools.lru_cache(maxsize=_CACHED)
def _last_value(fit: Fit) -> Fraction:
    """Return C(end)."""
    return realize_exact(fit.circuit.network(), [fit.end])[0]


@dataclass(frozen=True, slots=True)
class Bell(Factor):
    """p(|u|), a formula p in the variable s, by a circuit on [0, r].

    Attributes:
        formula: p.
        fit: the circuit; its end is r.
    """

    formula: str
    fit: Fit

    def __post_init__(self) -> None:
        _require(len(self.formula) <= 1000 and parse(self.formula).variables == ("s",), "A bell is no formula in s.")

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """One."""
        return 1

    @property
    def radius(self) -> Fraction:  # type: ignore[override]
        """The end of the fit."""
        return self.fit.end

    @property
    def work(self) -> int:
        """That of the fit."""
        return self.fit.work(self.formula)

    def text(self, names: Sequence[str]) -> str:
        """Return p(|u|)."""
        return re.sub(r"\bs\b", f"abs({names[0]})", self.formula)

    def network(self) -> Network:
        """Return C(min(|u|, r)) - C(r)."""
        gates, r = Gates(1), self.radius
        left, right = gates.relu(gates.inputs[0], -gates.inputs[0])
        (inside,) = gates.relu(r - left - right)
        circuit = self.fit.circuit.network()
        last = Gates(1)
        shift = last.network(last.inputs[0] - _last_value(self.fit))
        return compose(shift, compose(circuit, gates.network(r - inside)))

    @property
    def bound(self) -> Fraction:
        """P, by which also |p| beyond r has to be bounded."""
        return _power_of_two(_largest_inside(self.fit, self.formula) + self._inner_error)

    @property
    def _inner_error(self) -> Fraction:
        """Return e' + |C(r)|."""
        return _fit_error(self.fit, self.formula) + abs(_last_value(self.fit))

    def quality(self, reach: Fraction) -> Quality:
        """Return e and tau."""
        with ball_arithmetic():
            tail = _largest(parse(self.formula), self.radius, max(reach, self.radius))
        if tail > self.bound:
            raise HypothesisError("The formula of a bell grows beyond its radius. Use one that decays.")
        return Quality(self._inner_error + tail, tail)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"kind": "bell", "formula": self.formula, "fit": self.fit.to_json()}


def _largest(expression: Expression, lower: Fraction, upper: Fraction) -> Fraction:
    """Bound |p| on an interval."""
    value = abs(evaluate_ball(expression, {"s": ball(lower).union(ball(upper))}))
    if not value.is_finite():
        raise HypothesisError("The formula of a generator is not bounded. Use another one.")
    return Fraction(round_up(value))


@dataclass(frozen=True, slots=True)
class Wave(Factor):
    """cos(2 pi u) for |u| <= 2^L, by folds and a circuit for cos(2 pi s) on [0, 1/2].

    Attributes:
        folds: L >= 1.
        fit: the circuit; its end is 1/2.
    """

    folds: int
    fit: Fit

    def __post_init__(self) -> None:
        _require(1 <= self.folds <= _MAX_FOLDS and self.fit.end == Fraction(1, 2), "There is no such wave.")

    @property
    def inputs(self) -> int:  # type: ignore[override]
        """One."""
        return 1

    @property
    def radius(self) -> None:  # type: ignore[override]
        """None."""
        return None

    @property
    def work(self) -> int:
        """That of the fit."""
        return self.fit.work(_WAVE)

    def text(self, names: Sequence[str]) -> str:
        """Return cos(2 pi u)."""
        return f"cos(2*pi*{names[0]})"

    def network(self) -> Network:
        """Return minus the circuit of the folded variable."""
        gates = Gates(1)
        t = gates.inputs[0]
        right, left = gates.relu(t, -t)
        t = right + left
        for center in (*(Fraction(2) ** k for k in range(self.folds - 1, -1, -1)), Fraction(1, 2)):
            # |t - c| = c - t + 2 rho(t - c) for t >= 0: two neurons with the same weights, which rounding likes.
            t, beyond = gates.relu(t, t - center)
            t = center - t + 2 * beyond
        last = Gates(1)
        return compose(last.network(-last.inputs[0]), compose(self.fit.circuit.network(), gates.network(t)))

    @property
    def bound(self) -> Fraction:
        """P."""
        return _power_of_two(1 + _fit_error(self.fit, _WAVE))

    def quality(self, reach: Fraction) -> Quality:
        """Return e; there is no tau."""
        if reach > 2**self.folds:
            raise HypothesisError(f"A wave with {self.folds} folds ends at {2**self.folds}. Use more folds.")
        return Quality(_fit_error(self.fit, _WAVE))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"kind": "wave", "folds": self.folds, "fit": self.fit.to_json()}


@dataclass(frozen=True, slots=True)
class Generator:
    """A product of factors, each of the next variables.

    Attributes:
        factors: one or more.
        levels: m of the products; 1 for one factor.
    """

    factors: tuple[Factor, ...]
    levels: int = 1

    def __post_init__(self) -> None:
        _require(1 <= len(self.factors) <= MAX_FACTORS, f"A generator has 1 to {MAX_FACTORS} factors.")
        _require(1 <= self.levels <= MAX_LEVELS, f"A product has 1 to {MAX_LEVELS} levels.")
        _require(len(self.factors) > 1 or self.levels == 1, "Without a product there are no levels.")

    @property
    def forms(self) -> int:
        """The number of variables."""
        return sum(factor.inputs for factor in self.factors)

    def groups(self) -> list[tuple[Factor, range]]:
        """Return each factor with the numbers of its variables."""
        ends = list(itertools.accumulate((factor.inputs for factor in self.factors), initial=0))
        return [(factor, range(*pair)) for factor, pair in zip(self.factors, itertools.pairwise(ends), strict=True)]

    def text(self) -> str:
        """Return the formula in u1, u2, ..."""
        parts = [factor.text([f"u{j + 1}" for j in own]) for factor, own in self.groups()]
        return parts[0] if len(parts) == 1 else "*".join(f"({part})" for part in parts)

    def network(self) -> Network:
        """Return N, whose last layer has no bias and weights that are powers of two or their negatives."""
        first, *others = self.factors
        network, bound = first.network(), first.bound
        for factor in others:
            network = product(network, factor.network(), (bound, factor.bound), self.levels)
            bound *= factor.bound
        last = network.layers[-1]
        weights = [abs(Fraction(weight)) for _, linear in last.terms for weight in linear.entries()[2]]
        if not any(last.bias_values()) and all(weight == _power_of_two(weight) for weight in weights):
            return network
        gates = Gates(1)
        above, below = gates.relu(gates.inputs[0], -gates.inputs[0])
        return compose(gates.network(above - below), network)

    def quality(self, reach: Sequence[Fraction]) -> Quality:
        """Return e where every |u_j| is at most reach[j], and tau for any factor beyond its radius.

        Raises:
            HypothesisError: a factor is not known so far out, or its circuit not to be as it should.
        """
        error, bound, tails = Fraction(0), Fraction(1), [Fraction(0)]
        for number, (factor, own) in enumerate(self.groups()):
            found = factor.quality(sum((reach[j] for j in own), Fraction(0)))
            rounded = bound * factor.bound / 4 ** (self.levels + 1) if number else Fraction(0)
            error = error * factor.bound + bound * found.error + rounded
            bound *= factor.bound
            tails.append(found.tail / factor.bound)
        return Quality(error, max(tails) * bound)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"factors": [factor.to_json() for factor in self.factors], "levels": self.levels}

    @classmethod
    def from_json(cls, data: Any) -> Generator:
        """Read a generator back. DomainError, or an error of Python, if it is none."""
        few = isinstance(data["factors"], list) and len(data["factors"]) <= MAX_FACTORS
        _require(few, "There are too many factors.")
        return cls(tuple(map(_factor, data["factors"])), _integer(data["levels"]))


def _factor(data: Any) -> Factor:
    if data["kind"] == "spline":
        radii, weights = (tuple(map(_rational, data[name])) for name in ("radii", "weights"))
        return Spline(_integer(data["degree"]), radii, weights, _integer(data["levels"]), _integer(data["inputs"]))
    _require(data["kind"] in ("bell", "wave"), "A factor is of an unknown kind.")
    fit = Fit.from_json(data["fit"])
    return Bell(str(data["formula"]), fit) if data["kind"] == "bell" else Wave(_integer(data["folds"]), fit)


def _rational(text: Any) -> Fraction:
    _require(isinstance(text, str) and len(text) <= 100, "A number is no short text.")
    return exact(text)


def _integer(value: Any) -> int:
    _require(type(value) is int, "A number is no integer.")
    return value
