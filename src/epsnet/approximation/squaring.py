"""Squares and products: the shortest deep networks known here for x^2, x y and |x|^2, with their exact errors."""

from __future__ import annotations

from fractions import Fraction

from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError
from epsnet.core.gates import Gates
from epsnet.core.network import Network
from epsnet.core.squares import square_error, squares


def square(levels: int) -> Network:
    r"""Return a network with sup over [0, 1] of |x^2 - R(Phi)(x)| = 2^(-2m-3).

    Size: M = 7m - 1, L = m + 1, width 3, |weights| <= 2 (1 for m = 1).

    Args:
        levels: m >= 1.
    """
    gates = Gates(1)
    return gates.network(squares(gates, [(gates.inputs[0], Fraction(1))], levels)[0] - square_error(levels))


def square_on(low: Real, high: Real, levels: int) -> Network:
    r"""Return a network with sup over [low, high] of |v^2 - R(Phi)(v)| = R^2 2^(-2m-3), R = high - low.

    With s = (v - low)/R in [0, 1]: v^2 = R^2 s^2 + 2 low R s + low^2; no absolute value, whatever the sign of v.

    Args:
        low: the left end.
        high: the right end, > low.
        levels: m >= 1.
    """
    left, right = exact(low, "left end"), exact(high, "right end")
    if left >= right:
        raise DomainError(f"The interval [{low}, {high}] has no interior. Give two ends, the smaller first.")
    length = right - left
    gates = Gates(1)
    s = (gates.inputs[0] - left) * (1 / length)
    # R^2 S_j + 2 low R s + low^2 >= v^2 - R^2 4^-j >= -R^2/4.
    shift = left**2 + length**2 / 4 if left < 0 else Fraction(0)
    (total,) = squares(gates, [(s, length**2)], levels, lambda p, _: p[0] * (2 * left * length) + shift)
    return gates.network(total - shift + left**2 - length**2 * square_error(levels))


def product(levels: int) -> Network:
    r"""Return a network with sup over [0, 1]^2 of |x y - R(Phi)(x, y)| = 2^(-2m-2).

    $$ x y = u^2 - w^2 + w - 1/4, \qquad u = (x + y)/2, \quad w = (x - y + 1)/2, $$

    u and w lie in [0, 1], the two squarings share one sum, and what their errors are shifted by cancels.

    Size: M = 13m + 3 for m >= 2, 15 for m = 1; L = m + 1, width 5 (4 for m = 1), |weights| <= 2.

    Args:
        levels: m >= 1.
    """
    gates = Gates(2)
    x, y = gates.inputs
    half = Fraction(1, 2)
    terms = [((x - y + 1) * half, Fraction(-1)), ((x + y) * half, Fraction(1))]
    # w - S_j(w) >= w - f_j(w) >= 0: the sum stays nonnegative.
    (total,) = squares(gates, terms, levels, lambda p, _: p[0])
    return gates.network(total - Fraction(1, 4))


def squared_norm(dimension: int, levels: int) -> Network:
    r"""Return a network with sup over [0, 1]^d of ||x|^2 - R(Phi)(x)| = d 2^(-2m-3).

    The d squarings share one sum. Size: M = (6d + 1) m - d for m >= 2, L = m + 1, width 2d + 1.

    Args:
        dimension: d >= 1.
        levels: m >= 1.
    """
    if dimension < 1:
        raise DomainError(f"The dimension {dimension} is not positive. Give at least 1.")
    gates = Gates(dimension)
    (total,) = squares(gates, [(x, Fraction(1)) for x in gates.inputs], levels)
    return gates.network(total - dimension * square_error(levels))
