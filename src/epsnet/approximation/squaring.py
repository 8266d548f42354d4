r"""Squares and products: the shortest deep networks known here for x^2, x y and |x|^2, with their exact errors.

The polygon f_m that interpolates x^2 on [0, 1] at the 2^m + 1 points k 2^-m satisfies 0 <= f_m(x) - x^2 <= 2^(-2m-2),
so f_m - 2^(-2m-3) has the sup error 2^(-2m-3), which no continuous function with 2^m linear pieces beats. With

$$ p_0 = x, \quad r_j = \rho(p_j - 2^{-j-1}), \quad p_{j+1} = p_j - 2 r_j $$

p_j = 2^-j T_j for the sawtooth T_j with 2^(j-1) teeth, and

$$ f_m = 2^{-m} p_m + 2 \sum_{j<m} 2^{-j} r_j. $$

A hidden layer holds p_j, r_j and the sum q_j of the r_i before it. The sum is late by one layer: it adds the neuron
r_{j-1} itself (2 weights), not the sawtooth that is only being formed (3 weights), hence 7 weights a level, not 8.

Source: D. Yarotsky, Error bounds for approximations with deep ReLU networks, Neural Networks 94 (2017), whose network
is the same polygon with skip connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from epsnet.approximation.gates import Form, Gates
from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError
from epsnet.core.network import Network

_HALF = Fraction(1, 2)


def square_error(levels: int) -> Fraction:
    """Return 2^(-2m-3), the sup error of `square(m)` on [0, 1]."""
    return Fraction(1, 1 << (2 * levels + 3))


def square(levels: int) -> Network:
    r"""Return the network of f_m - 2^(-2m-3), with sup over [0, 1] of |x^2 - R(Phi)(x)| = 2^(-2m-3).

    Size: M = 7m - 1, L = m + 1, width 3, |weights| <= 2 (1 for m = 1).

    Args:
        levels: m >= 1.
    """
    gates = Gates(1)
    return gates.network(_squares(gates, [(gates.inputs[0], Fraction(1))], levels))


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
    # R^2 f_j(s) + 2 low R s + low^2 >= v^2 >= 0, and the sum is less than f_j by at most 4^-j <= 1/4.
    shift = left**2 + length**2 / 4 if left < 0 else Fraction(0)
    squares = _squares(gates, [(s, length**2)], levels, linear=2 * left * length, shift=shift)
    return gates.network(squares + left**2)


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
    u, w = (x + y) * _HALF, (x - y + 1) * _HALF
    # w - 2 sum 2^-i r_i >= w - f_j(w) >= 0: the sum stays nonnegative.
    squares = _squares(gates, [(w, Fraction(-1)), (u, Fraction(1))], levels, linear=Fraction(1))
    return gates.network(squares - Fraction(1, 4))


def squared_norm(dimension: int, levels: int) -> Network:
    r"""Return a network with sup over [0, 1]^d of ||x|^2 - R(Phi)(x)| = d 2^(-2m-3).

    The d squarings share one sum. Size: M = (6d + 1) m - d, L = m + 1, width 2d + 1 for m >= 2.

    Args:
        dimension: d >= 1.
        levels: m >= 1.
    """
    if dimension < 1:
        raise DomainError(f"The dimension {dimension} is not positive. Give at least 1.")
    gates = Gates(dimension)
    return gates.network(_squares(gates, [(x, Fraction(1)) for x in gates.inputs], levels))


def _squares(
    gates: Gates,
    terms: Sequence[tuple[Form, Fraction]],
    levels: int,
    linear: Fraction = Fraction(0),
    shift: Fraction = Fraction(0),
) -> Form:
    """Return sum_i c_i (f_m(s_i) - 2^(-2m-3)) + linear s_0 as a form of the last of m new hidden layers.

    Args:
        gates: the network under construction, at the layer of the s_i.
        terms: pairs (s_i, c_i); every s_i takes values in [0, 1].
        levels: m.
        linear: the factor of s_0.
        shift: a number that keeps the common sum linear s_0 + 2 sum_i c_i sum_j 2^-j r_ij >= -shift.
    """
    if levels < 1:
        raise DomainError(f"The number of levels {levels} is not positive. Give at least 1.")
    factors = [factor for _, factor in terms]
    p = r = ()
    total: Form | None = None
    forms = [form for form, _ in terms]
    for level in range(levels):
        teeth = [form - Fraction(1, 2 << level) for form in forms]
        neurons = gates.relu(*forms, *teeth, *(() if total is None else (total,)))
        p, r = neurons[: len(terms)], neurons[len(terms) : 2 * len(terms)]
        # In the first layer linear s_0 needs no neuron of its own: p_0 is s_0.
        total = p[0] * linear + shift if total is None else neurons[-1]
        for factor, tooth in zip(factors, r, strict=True):
            total += tooth * (factor * Fraction(2, 1 << level))
        forms = [wave - 2 * tooth for wave, tooth in zip(p, r, strict=True)]
    assert total is not None
    for factor, form in zip(factors, forms, strict=True):
        total += form * (factor * Fraction(1, 1 << levels)) - factor * square_error(levels)
    return total - shift
