"""Evaluation of formulas: in float64, in rationals, in balls, and with derivatives (jets) in balls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import ball
from epsnet.core.expression import CONSTANTS, Expression, postorder
from epsnet.core.functions import FUNCTIONS, Function, integer_power

_MAX_EXACT_BITS = 100_000


def fold(
    expression: Expression,
    *,
    leaf: Callable[[Expression], Any],
    function: Callable[[Function, Any], Any],
    power: Callable[[Any, int], Any],
    check: Callable[[Any], None] | None = None,
) -> Any:
    """Evaluate an expression in any number system that has + and *; each shared node is computed and checked once."""
    values: dict[int, Any] = {}
    for node in postorder(expression):
        args = [values[id(arg)] for arg in node.args]
        match node.op:
            case "add":
                values[id(node)] = args[0] + args[1]
            case "multiply":
                values[id(node)] = args[0] * args[1]
            case "power":
                values[id(node)] = power(args[0], node.value)
            case "apply":
                values[id(node)] = function(FUNCTIONS[node.value], args[0])
            case _:
                values[id(node)] = leaf(node)
        if check is not None:
            check(values[id(node)])
    return values[id(expression)]


def evaluate_float(expression: Expression, point: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Evaluate in float64, vectorized over the arrays of `point`; no error bound, NaN outside the natural domain."""

    def leaf(node: Expression) -> Any:
        if node.op == "variable":
            return np.asarray(point[node.value], dtype=np.float64)
        return np.float64(_to_float(node.value) if node.op == "number" else math.pi if node.value == "pi" else math.e)

    shape = np.broadcast_shapes(*(np.shape(value) for value in point.values()))
    with np.errstate(all="ignore"):
        result = fold(expression, leaf=leaf, function=lambda f, y: f.float64(y), power=lambda y, k: y**k)
    return np.broadcast_to(np.asarray(result, dtype=np.float64), shape)


def _to_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def evaluate_exact(expression: Expression, point: Mapping[str, Fraction], most_bits: int = _MAX_EXACT_BITS) -> Fraction:
    """Evaluate in rationals. PrecisionError if it is not rational (piecewise) or too long, DomainError at a pole."""

    def leaf(node: Expression) -> Fraction:
        if node.op == "constant":
            raise PrecisionError(f"{node.value} is not rational. Evaluate in balls or floats.")
        return point[node.value] if node.op == "variable" else node.value

    def function(f: Function, y: Fraction) -> Fraction:
        if f.name == "reciprocal":
            if y == 0:
                raise DomainError("The formula divides by zero at this point. Choose another point.")
            return 1 / y
        if f.slopes is None:
            raise PrecisionError(f"{f.name} of a rational is not rational. Evaluate in balls or floats.")
        return f.exact(y)

    def power(y: Fraction, k: int) -> Fraction:
        refuse_long(y, k)
        return y**k

    def refuse_long(y: Fraction, times: int = 1) -> None:
        if times * max(y.numerator.bit_length(), y.denominator.bit_length()) > most_bits:
            raise PrecisionError("A value in the formula is too long a rational. Evaluate in balls or floats.")

    return fold(expression, leaf=leaf, function=function, power=power, check=refuse_long)


def evaluate_ball(expression: Expression, point: Mapping[str, arb]) -> arb:
    """Enclose the range over a product of balls; not finite where the formula is not defined or not bounded."""

    def leaf(node: Expression) -> arb:
        if node.op == "variable":
            return point[node.value]
        return ball(node.value) if node.op == "number" else CONSTANTS[node.value]()

    return fold(expression, leaf=leaf, function=lambda f, y: f.ball(y), power=integer_power)


@dataclass(frozen=True, slots=True)
class Jet:
    r"""Enclosures of a value, a gradient and a Hessian over one box: the forward mode of second order.

    Sums, products and compositions follow the product and the chain rule,
    $\nabla^2 (\varphi \circ f) = \varphi''(f) \nabla f \nabla f^T + \varphi'(f) \nabla^2 f$, in ball arithmetic, so
    each part contains the true values at every point of the box. A part that is not finite is unknown.
    """

    value: arb
    gradient: tuple[arb, ...]
    hessian: tuple[tuple[arb, ...], ...]

    def __add__(self, other: Jet) -> Jet:
        return Jet(
            self.value + other.value,
            tuple(a + b for a, b in zip(self.gradient, other.gradient, strict=True)),
            tuple(
                tuple(a + b for a, b in zip(r, s, strict=True))
                for r, s in zip(self.hessian, other.hessian, strict=True)
            ),
        )

    def __mul__(self, other: Jet) -> Jet:
        u, v, p, q = self.value, other.value, self.gradient, other.gradient
        size = range(len(p))
        return Jet(
            u * v,
            tuple(u * q[i] + v * p[i] for i in size),
            tuple(
                tuple(u * other.hessian[i][j] + v * self.hessian[i][j] + p[i] * q[j] + p[j] * q[i] for j in size)
                for i in size
            ),
        )

    def __neg__(self) -> Jet:
        hessian = tuple(tuple(-entry for entry in row) for row in self.hessian)
        return Jet(-self.value, tuple(-slope for slope in self.gradient), hessian)

    def compose(self, value: arb, first: arb, second: arb) -> Jet:
        """Return the jet of phi(f) from enclosures of phi(f), phi'(f) and phi''(f)."""
        p, size = self.gradient, range(len(self.gradient))
        return Jet(
            value,
            tuple(first * p[i] for i in size),
            tuple(tuple(second * p[i] * p[j] + first * self.hessian[i][j] for j in size) for i in size),
        )


def evaluate_jet(expression: Expression, names: Sequence[str], point: Sequence[arb]) -> Jet:
    """Enclose value, gradient and Hessian with respect to `names` over a product of balls."""
    zero, size = arb(0), range(len(names))
    no_gradient, no_hessian = (zero,) * len(names), ((zero,) * len(names),) * len(names)
    coordinates = {
        name: Jet(point[k], tuple(arb(int(i == k)) for i in size), no_hessian) for k, name in enumerate(names)
    }

    def leaf(node: Expression) -> Jet:
        if node.op == "variable":
            return coordinates[node.value]
        return Jet(ball(node.value) if node.op == "number" else CONSTANTS[node.value](), no_gradient, no_hessian)

    def function(f: Function, y: Jet) -> Jet:
        return y.compose(f.ball(y.value), f.derivative(y.value), f.second_derivative(y.value))

    def power(y: Jet, k: int) -> Jet:
        v = y.value
        second = k * (k - 1) * (integer_power(v, k - 2) if k > 2 else arb(1))
        return y.compose(integer_power(v, k), k * integer_power(v, k - 1), second)

    return fold(expression, leaf=leaf, function=function, power=power)
