"""Where a formula is defined: a proof, by bisection, that it is defined and bounded on a whole box."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from fractions import Fraction

from flint import arb

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.evaluate import evaluate_ball, evaluate_exact, evaluate_jet
from epsnet.core.expression import Expression, number, postorder

_MAX_CELLS = 20_000
_MAX_WORK = 10_000_000  # cells times entries of the jets, so that no formula of a file takes hours
_MAX_EXACT_NODES = 1_000
_MAX_EXACT_BITS = 2_000
_MAX_DEPTH = 48
_NONNEGATIVE = ("abs", "relu", "exp", "sqrt", "cosh", "sigmoid", "softplus")


def refuse_undefined(expression: Expression, names: Sequence[str], domain: Box, formulas: int = 1) -> None:
    """Bisect until on every cell the formula is bounded and every argument of sqrt, asin, acos is where it has to be.

    Args:
        expression: the formula.
        names: its variables in the order of the coordinates.
        domain: the box.
        formulas: how many formulas share the limit of work.

    Raises:
        DomainError: that is false, or cannot be shown, near the place that the message names.
    """
    with ball_arithmetic():
        conditions = _conditions(expression, names, domain)
        cells = [(domain.lower, domain.upper, 0)]
        work = len(postorder(expression)) + sum(len(postorder(c)) for c in conditions) * (1 + len(names)) ** 2
        seen, most = 0, max(10, min(_MAX_CELLS, _MAX_WORK // work) // formulas)
        while cells:
            low, high, depth = cells.pop()
            seen += 1
            intervals = [ball(a).union(ball(b)) for a, b in zip(low, high, strict=True)]
            bounded = _value(expression, names, intervals).is_finite()
            missed = next((c for c in conditions if not _is_nonnegative_on(c, names, low, high, intervals)), None)
            if bounded and missed is None:
                continue
            hopeless = missed is not None and _value(missed, names, intervals) < 0
            if hopeless or seen > most or depth >= _MAX_DEPTH * len(low):
                place = ", ".join(f"{name} = {float(a):.6g}" for name, a in zip(names, low, strict=True))
                raise _undefined(expression, domain, place, missed if bounded or hopeless else None)
            axis = depth % len(low)
            middle = (low[axis] + high[axis]) / 2
            cells.append(((*low[:axis], middle, *low[axis + 1 :]), high, depth + 1))
            cells.append((low, (*high[:axis], middle, *high[axis + 1 :]), depth + 1))


def _undefined(expression: Expression, domain: Box, place: str, missed: Expression | None) -> DomainError:
    if missed is not None:
        return DomainError(
            f"The formula {expression} needs {missed} >= 0, which fails or cannot be shown near {place} in {domain}. "
            f"Choose another domain, or write max(0, {missed}) if that is meant."
        )
    return DomainError(
        f"The formula {expression} is not defined or not bounded on {domain}: see near {place}. "
        f"Choose a domain that stays away from it."
    )


def _conditions(expression: Expression, names: Sequence[str], domain: Box) -> list[Expression]:
    """Return the expressions that must be nonnegative, without those that are so by their form."""
    conditions = []
    for node in postorder(expression):
        if node.op == "apply" and node.value == "sqrt":
            conditions.append(node.args[0])
        elif node.op == "apply" and node.value in ("asin", "acos"):
            conditions += [number(1) - node.args[0], number(1) + node.args[0]]
    positive = {name for name, low in zip(names, domain.lower, strict=True) if low >= 0}
    return [condition for condition in conditions if not _is_nonnegative_by_form(condition, positive)]


def _is_nonnegative_by_form(expression: Expression, positive: set[str]) -> bool:
    signs: dict[int, bool] = {}
    for node in postorder(expression):
        args = [signs[id(arg)] for arg in node.args]
        match node.op:
            case "number":
                sign = node.value >= 0
            case "constant":
                sign = True
            case "variable":
                sign = node.value in positive
            case "power":
                sign = node.value % 2 == 0 or args[0]
            case "apply":
                sign = node.value in _NONNEGATIVE or (node.value == "reciprocal" and args[0])
            case _:
                sign = all(args) or (node.op == "multiply" and node.args[0] is node.args[1])
        signs[id(node)] = sign
    return signs[id(expression)]


def _value(expression: Expression, names: Sequence[str], point: Sequence[arb]) -> arb:
    return evaluate_ball(expression, dict(zip(names, point, strict=True)))


def _is_nonnegative_on(
    expression: Expression, names: Sequence[str], low: Sequence[Fraction], high: Sequence[Fraction], cell: Sequence[arb]
) -> bool:
    """Show f >= 0 on a cell: by its range or, where f is monotone, by its value at the lowest corner."""
    jet = evaluate_jet(expression, names, cell)
    if jet.value >= 0:
        return True
    if not all(slope >= 0 or slope <= 0 for slope in jet.gradient):
        return False
    corner = [a if slope >= 0 else b for slope, a, b in zip(jet.gradient, low, high, strict=True)]
    if len(postorder(expression)) <= _MAX_EXACT_NODES:
        with contextlib.suppress(PrecisionError, DomainError):
            return evaluate_exact(expression, dict(zip(names, corner, strict=True)), _MAX_EXACT_BITS) >= 0
    return bool(_value(expression, names, [ball(end) for end in corner]) >= 0)
