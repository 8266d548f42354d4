"""Distances, ranges and Lipschitz constants of piecewise-linear networks with few inputs, without any gap."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
from flint import fmpq

from epsnet.certify.bound import Bound, Kind, Norm, Sense
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.rounding import round_down, round_up
from epsnet.core.cell_values import difference, lipschitz_power, vertex_values
from epsnet.core.cells import HYPOTHESES, Cells, witness
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution, Statements
from epsnet.enclosure.cell_certificate import checkable_cells
from epsnet.enclosure.distance import Distance, Extremum, Ranges

_MAX_BITS = 10_000
"""Longer rationals are left out of claims, which are then rounded to float64."""


def exact_distance(first: Network, second: Network, domain: Box) -> Distance:
    """Return sup |R(first) - R(second)| over a box and all outputs, from the vertices of the cells of the difference.

    Args:
        first: a piecewise-linear network that ends with an affine map.
        second: another one with as many inputs and outputs.
        domain: one interval for each input, at most 8.

    Returns:
        Equal bounds from both sides, rational but for numbers of over 10,000 bits, and the vertex rounded to float64.

    Raises:
        DomainError, HypothesisError: as `certify_cells`, or the networks differ in shape or end with an activation.

    Example:
        >>> one = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.0]], [0.0])])
        >>> two = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.25]], [0.0])])
        >>> found = exact_distance(one, two, Box(0, 1))
        >>> found.lower.exact, found.upper.exact
        (Fraction(1, 8), Fraction(1, 8))
    """
    joint, target = difference(first, second), NetworkTarget(second, domain)
    cells = checkable_cells(joint, domain)
    sizes = [max(map(abs, values)) for values in zip(*vertex_values(joint, domain, cells), strict=True)]
    place = max(range(len(sizes)), key=sizes.__getitem__)
    value = _fraction(sizes[place])
    lower, upper = _both("error", "vertex-extrema", value, value, first, domain, "sup", target.sha256)
    arrays = witness(cells)
    certificate = Certificate.of((upper, lower), ((upper, arrays), (lower, arrays)))
    solution = Solution(first, target, upper, 8 * len(network_bytes(first)), certificate)
    return Distance(lower, upper, _point(cells, place), len(sizes), complete=True, solution=solution)


def exact_ranges(network: Network, domain: Box) -> Ranges:
    """Return the largest and the smallest value of every output on a box, attained at vertices.

    Args, Raises: as `certify_cells`; the brackets are single rationals.
    """
    cells = checkable_cells(network, domain)
    minima, maxima = [], []
    for output, values in enumerate(vertex_values(network, domain, cells)):
        for name, choose, found in (("minimum", min, minima), ("maximum", max, maxima)):
            place = choose(range(len(values)), key=values.__getitem__)
            value = _fraction(values[place])
            bounds = _both(f"{name} of output {output}", "vertex-extrema", value, value, network, domain)
            found.append(Extremum(*bounds, _point(cells, place), len(values), complete=True))
    arrays = witness(cells)
    claims = [bound for found in (*minima, *maxima) for bound in (found.lower, found.upper)]
    certificate = Certificate.of(claims, [(claim, arrays) for claim in claims])
    return Ranges(tuple(minima), tuple(maxima), Statements(network, certificate))


def exact_lipschitz(network: Network, domain: Box, norm: Norm = "sup") -> tuple[Bound, Bound, Certificate]:
    """Return bounds of the Lipschitz constant on a box from below and above, and their certificate.

    Args:
        network: piecewise linear; for the Euclidean norm with one output.
        domain: one interval for each input, at most 8.
        norm: "sup" or "L2", on inputs and outputs.

    Returns:
        In the sup norm the same rational twice, else neighbors within 2^-100 of the square root of a rational.

    Raises:
        DomainError, HypothesisError: as `certify_cells`, or the norm is Euclidean and there are several outputs.
    """
    cells = checkable_cells(network, domain)
    power = lipschitz_power(network, domain, cells, norm)
    roots = (_fraction(power), _fraction(power)) if norm == "sup" else _roots(_fraction(power))
    lower, upper = _both("lipschitz", "cell-gradients", *roots, network, domain, norm)
    arrays = witness(cells)
    return lower, upper, Certificate.of((lower, upper), ((lower, arrays), (upper, arrays)))


def _both(
    quantity: str, theorem: str, low: Fraction, high: Fraction, network: Network, domain: Box,
    norm: Norm | None = None, target: str | None = None,
) -> tuple[Bound, Bound]:  # fmt: skip
    def bound(sense: Sense, value: float, exact: Fraction) -> Bound:
        bits = max(exact.numerator.bit_length(), exact.denominator.bit_length())
        return Bound(
            quantity=quantity, sense=sense, value=value, exact=exact if bits <= _MAX_BITS else None, norm=norm,
            domain=domain, kind=Kind.VERIFIED, theorem=theorem, rule="vertices", hypotheses=HYPOTHESES,
            network=network.sha256, target=target,
        )  # fmt: skip

    return bound(">=", round_down(low), low), bound("<=", round_up(high), high)


def _roots(square: Fraction) -> tuple[Fraction, Fraction]:
    """Return bounds of the square root, 2^-100 apart or equal."""
    product, unit = square.numerator * square.denominator << 200, square.denominator << 100
    root = isqrt(product)
    return Fraction(root, unit), Fraction(root + (root**2 < product), unit)


def _point(cells: Cells, place: int) -> np.ndarray:
    return np.array([float(_fraction(x)) for x in cells.vertices[place]])


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))
