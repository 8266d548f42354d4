"""What is to be learned: formulas on a box, or a sample of data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Norm
from epsnet.certify.domain import Box, exact
from epsnet.certify.errors import CheckError, DomainError, HypothesisError, PrecisionError
from epsnet.certify.hashing import sha256_arrays, sha256_json
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.core.evaluate import evaluate_ball, evaluate_exact, evaluate_float
from epsnet.core.expression import Expression, jumps, trace, variable
from epsnet.core.grammar import parse
from epsnet.core.natural_domain import refuse_undefined

Formula = str | Expression | Callable[..., Any]

MAX_VARIABLES = 64
MAX_FORMULAS = 64
_DIGITS = 16


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Target:
    """A formula F on a box, with the norm in which it is to be approximated.

    A function with m values is written as m formulas; its sup norm is the largest over x and over the values, its L2
    norm the root of the sum of the squares.

    Args:
        formula: a text such as "exp(-x^2)", or "cos(t); sin(t)" for several values; an `Expression`; a Python callable
            of one argument for each variable, called once, on symbols, and made of + - * / **, abs and NumPy functions;
            or a list of any of these.
        domain: a `Box` with one interval for each variable, in the order of `variables`.
        norm: "sup" or "L2" (Lebesgue measure).
        variables: names in the order of the intervals; by default those of the formula, sorted.

    Example:
        >>> print(Target("1/(1 + 25*x^2)", domain=Box(-1, 1)))
        F(x) = 1/(1 + 25*x^2) on [-1, 1] in the sup norm

    Raises:
        DomainError: an unknown name, variables that do not match the box, or a formula that is not defined and
            bounded on all of it; the message says where. Or a step function in the sup norm.
    """

    expressions: tuple[Expression, ...]
    variables: tuple[str, ...]
    domain: Box
    norm: Norm

    def __init__(
        self,
        formula: Formula | Sequence[Formula],
        domain: Box,
        norm: Norm = "sup",
        variables: Sequence[str] | None = None,
    ) -> None:
        dimension = domain.dimension
        if dimension > MAX_VARIABLES:
            raise DomainError(f"A formula has at most {MAX_VARIABLES} variables here. Use fewer.")
        default = ("x",) if dimension == 1 else tuple(f"x{i}" for i in range(1, dimension + 1))
        formulas = formula.split(";") if isinstance(formula, str) else formula
        given = list(formulas) if isinstance(formulas, Sequence) else [formulas]
        if not 1 <= len(given) <= MAX_FORMULAS:
            raise DomainError(f"The target has {len(given)} formulas. Give 1 to {MAX_FORMULAS}.")
        expressions = tuple(_expression(each, variables or default) for each in given)
        found = Expression("add", None, expressions).variables  # x2 before x10
        names = tuple(variables or found or default)
        for name in names:
            variable(name)  # refuses what cannot name one
        if len(names) != dimension or len(set(names)) != dimension or not set(found) <= set(names):
            raise DomainError(
                f"The formula has the variables {', '.join(found) or '(none)'}, the domain {dimension} "
                f"interval{'s' * (dimension > 1)}{' for ' + ', '.join(names) if variables else ''}. "
                f"Give one for each variable."
            )
        if norm not in ("sup", "L2"):
            raise DomainError(f"The norm {norm!r} is unknown. Use 'sup' or 'L2'.")
        if norm == "sup" and any(map(jumps, expressions)):
            raise DomainError(
                "The formula has a jump, so no network is close to it in the sup norm: networks are continuous. "
                "Ask for the norm L2."
            )
        object.__setattr__(self, "expressions", expressions)
        object.__setattr__(self, "variables", names)
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "norm", norm)
        for expression in expressions:
            refuse_undefined(expression, names, domain)

    @property
    def expression(self) -> Expression:
        """The formula of a target with one value. HypothesisError if it has several."""
        first, *others = self.expressions
        if others:
            raise HypothesisError(
                f"This needs a function with one value, the target has {len(self.expressions)}. Take its components."
            )
        return first

    @property
    def title(self) -> str:
        """The formulas as a text."""
        return "; ".join(map(str, self.expressions))

    @property
    def components(self) -> tuple[Target, ...]:
        """The values of F as targets of their own."""
        if len(self.expressions) == 1:
            return (self,)
        return tuple(Target(each, self.domain, self.norm, self.variables) for each in self.expressions)

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """Evaluate F in float64 without an error bound.

        Args:
            points: of any shape for one variable, else (..., d).

        Returns:
            One value for each point, or (..., m) for m formulas.
        """
        x = np.asarray(points, dtype=np.float64)
        columns = [x] if len(self.variables) == 1 else list(np.moveaxis(x, -1, 0))
        given = dict(zip(self.variables, columns, strict=True))
        values = [evaluate_float(expression, given) for expression in self.expressions]
        return values[0] if len(values) == 1 else np.stack(values, axis=-1)

    def at(self, *point: Fraction) -> Any:
        """Enclose F at one rational point by a ball, at the precision in force."""
        return evaluate_ball(self.expression, dict(zip(self.variables, map(ball, point), strict=True)))

    @property
    def sha256(self) -> str:
        """The hash of formula, variables, domain and norm."""
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the target as JSON values."""
        return {
            "kind": "formula",
            "formula": self.title,
            "variables": list(self.variables),
            "domain": self.domain.to_json(),
            "norm": self.norm,
        }

    def __str__(self) -> str:
        return f"F({', '.join(self.variables)}) = {self.title} on {self.domain} in the {self.norm} norm"


def _expression(formula: Formula, names: Sequence[str]) -> Expression:
    if isinstance(formula, str):
        return parse(formula)
    return formula if isinstance(formula, Expression) else trace(formula, names)


def read_domain(text: str) -> tuple[Box, tuple[str, ...] | None]:
    """Read a box written as "0,1" or "x=-4,4;y=0,1", and the names of its variables, if it names them.

    An end is a constant formula such as 1/3 or -pi; an irrational one is rounded outward to 16 digits.

    Raises:
        DomainError: the text is no box, or names some variables only.
    """
    lower, upper, names = [], [], []
    for part in text.split(";"):
        name, equals, ends = part.rpartition("=")
        values = [parse(end) for end in ends.split(",")] if ends.count(",") == 1 else []
        if len(values) != 2 or any(value.variables for value in values):
            raise DomainError(f'The domain {text!r} is no box. Write "0,1" for one variable, "x=-4,4;y=0,1" for two.')
        lower.append(_end(values[0], up=False))
        upper.append(_end(values[1], up=True))
        names += [name.strip()] * bool(equals)
    if names and len(names) != len(lower):
        raise DomainError(f'The domain {text!r} names some variables only. Name all, as in "x=-4,4;y=0,1".')
    return Box(lower, upper), tuple(names) or None


def _end(value: Expression, *, up: bool) -> Fraction:
    try:
        return evaluate_exact(value, {})
    except PrecisionError:
        with ball_arithmetic():
            enclosure = evaluate_ball(value, {})
            if not enclosure.is_finite():
                raise DomainError(f"The end {value} of the domain is not a finite number. Mend it.") from None
            side = ROUND_CEILING if up else ROUND_FLOOR
            nearest = exact(round_up(enclosure) if up else round_down(enclosure), "end of the domain")
            with localcontext(prec=_DIGITS, rounding=side):
                return Fraction(Decimal(nearest.numerator) / Decimal(nearest.denominator))


@dataclass(frozen=True, slots=True, eq=False)
class DataTarget:
    """A sample on which a risk is measured: n points (x_i, y_i), unused in training.

    The loss of a network at (x, y) is 1 if its largest output is not number y (`tolerance` None: classification), or if
    some output differs from y by more than `tolerance` (regression); otherwise 0.

    Attributes:
        name: what the data is called.
        points: n.
        tolerance: None for classification.
        sha256: the hash of all of this and of the arrays.
        inputs: (n, d) float64; None when the data is not at hand.
        labels: (n,) int64 or (n, m) float64, likewise.
    """

    name: str
    points: int
    tolerance: float | None
    sha256: str
    inputs: NDArray[np.float64] | None = None
    labels: NDArray[Any] | None = None

    @classmethod
    def from_arrays(cls, name: str, inputs: ArrayLike, labels: ArrayLike, tolerance: float | None = None) -> DataTarget:
        """Return the target for a sample. DomainError on NaN, an empty sample or shapes that do not fit."""
        try:
            if np.iscomplexobj(inputs):
                raise TypeError
            x, given = np.asarray(inputs, dtype=np.float64), np.asarray(labels)
        except (TypeError, ValueError, OverflowError):
            raise DomainError("The sample is not made of numbers. Give (n, d) inputs and n labels.") from None
        if tolerance is not None and not 0 <= tolerance < np.inf:
            raise DomainError(f"The tolerance {tolerance} is not a nonnegative number. Give one.")
        dimensions = (1,) if tolerance is None else (1, 2)
        if x.ndim != 2 or 0 in x.shape or given.ndim not in dimensions or len(given) != len(x) or given.size == 0:
            raise DomainError(
                f"The sample has inputs of shape {x.shape} and labels of shape {given.shape}. "
                f"Give (n, d) inputs and n labels, n >= 1."
            )
        if given.dtype.kind not in "biuf" or not np.isfinite(x).all() or not np.isfinite(given).all():
            raise DomainError("The sample contains NaN or infinity. Remove or replace the missing values.")
        with np.errstate(invalid="ignore", over="ignore"):
            y = given.astype(np.int64 if tolerance is None else np.float64)
        if tolerance is None and not np.array_equal(y, given):
            raise DomainError("The labels of a classification are not integers. Give the numbers of the classes.")
        facts = {"name": name, "tolerance": tolerance, "arrays": sha256_arrays({"inputs": x + 0.0, "labels": y})}
        return cls(name, len(x), tolerance, sha256_json(facts), x, y)

    def with_data(self, inputs: ArrayLike, labels: ArrayLike) -> DataTarget:
        """Return the target with its data at hand. CheckError if this is not the data it was made from."""
        found = DataTarget.from_arrays(self.name, inputs, labels, self.tolerance)
        if (found.sha256, found.points) != (self.sha256, self.points):
            raise CheckError(
                f"This is not the data {self.name!r} of the certificate: its hash differs. Give the original data."
            )
        return found

    def without_data(self) -> DataTarget:
        """Return what is stored: everything but the arrays."""
        return replace(self, inputs=None, labels=None)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the arrays as JSON values."""
        return {
            "kind": "data", "name": self.name, "points": self.points, "tolerance": self.tolerance,
            "sha256": self.sha256,
        }  # fmt: skip

    def __str__(self) -> str:
        loss = (
            "0-1 loss"
            if self.tolerance is None
            else f"loss 1 where an output is off by more than {float(self.tolerance)!r}"
        )
        return f"data {self.name}: {self.points:,} points, {loss}"


def target_from_json(data: Any) -> Target | DataTarget:
    """Read a formula or a sample back. CheckError on anything that `to_json` cannot have written."""
    try:
        if data["kind"] == "formula":
            if not isinstance(data["formula"], str):
                raise TypeError("the formula is not a text")
            return Target(data["formula"], Box.from_json(data["domain"]), data["norm"], data["variables"])
        if data["kind"] == "data":
            tolerance = None if data["tolerance"] is None else float(data["tolerance"])
            return DataTarget(str(data["name"]), int(data["points"]), tolerance, str(data["sha256"]))
        raise ValueError(f"kind {data['kind']!r} is unknown")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckError(f"The target cannot be read: {error}. Build the solution anew.") from None
