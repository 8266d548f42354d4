"""Warped classes: the weights add up, clipping leaves the cube alone, the error obeys the theorem and the checker."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet import Box, Target, learn
from epsnet.certify.bound import Kind
from epsnet.certify.errors import CertificateError, DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.core.network import Network
from epsnet.core.realize import realize, realize_exact
from epsnet.dictionaries.warped import verified_warp, warped, warped_error


def random_network(rng, *widths):
    return Network.from_layers(
        [(rng.integers(-8, 9, (m, n)) / 8, rng.integers(-8, 9, m) / 8) for n, m in pairwise(widths)]
    )


@pytest.mark.parametrize("widths", [(1, 3, 1), (2, 4, 4, 1), (2, 5, 3)], ids=str)
def test_the_network_is_the_composition_with_clipping_and_weights_add_up(widths):
    rng = np.random.default_rng(0)
    inner, outer = random_network(rng, *widths), random_network(rng, widths[-1], 6, 2)
    network, d = warped(outer, inner), widths[-1]
    assert network.size.weights == outer.size.weights + inner.size.weights + 4 * d
    assert network.size.depth == outer.size.depth + inner.size.depth + 2
    assert network.size.neurons == outer.size.neurons + inner.size.neurons + 3 * d
    for point in rng.integers(-16, 17, (20, widths[0])).tolist():
        x = [Fraction(value, 8) for value in point]
        middle = [min(max(t, Fraction(0)), Fraction(1)) for t in realize_exact(inner, x)]
        assert realize_exact(network, x) == realize_exact(outer, middle)


def polygon(places, values):
    """The network of a polygon on [0, 1]."""
    slopes = np.diff(values) / np.diff(places)
    turns = np.diff(slopes, prepend=0.0)
    return Network.from_layers([(np.ones((len(turns), 1)), -places[:-1]), (turns[None], values[:1])])


def test_the_error_of_a_warped_function_is_verified_and_within_the_theorem():
    """f(t) = t^(1/2), H = 1, alpha = 1/2, on the graph of g(x) = x^2: f o g = |x| on [-1, 1]."""
    places = np.array([0, 1 / 64, 1 / 16, 1 / 4, 9 / 16, 1])
    outer = polygon(places, np.sqrt(places))
    nodes = np.linspace(0, 1, 17)
    fold = Network.from_layers([([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])])
    inner = warped(polygon(nodes, nodes**2), fold)
    # Chords: sqrt is off by (b - a)^2/(8 (a + b)) at most, from a^2 to b^2, and x^2 by h^2/4.
    outer_error = max((b - a) ** 2 / (4 * (a + b)) for a, b in pairwise(np.sqrt(places)))
    bound = warped_error(outer_error, 1, Fraction(1, 2), Fraction(1, 4 * 16**2))
    network = warped(outer, inner)
    target = Target("abs(x)", Box(-1, 1))
    x = np.linspace(-1, 1, 4001)
    assert np.abs(realize(network, x) - np.abs(x)).max() <= bound
    solution = verified_warp(target, outer, inner, bound * (1 + 1e-9))
    check(solution)
    assert solution.network.sha256 == network.sha256
    assert solution.error.value <= bound * (1 + 1e-9) and solution.error.kind is Kind.VERIFIED
    with pytest.raises(CertificateError):
        verified_warp(target, outer, inner, 0.9 * outer_error)


def test_functions_on_an_arc_are_verified():
    """f(t) = t^2 on the arc of the unit circle, extended along the normals: y^2/(x^2 + y^2)."""
    box = Box((0.5, 0), (1, 0.5))
    inner = learn(Target("y/sqrt(x^2 + y^2)", box), 0.01)
    nodes = np.linspace(0, 1, 9)
    outer = polygon(nodes, nodes**2)
    bound = warped_error(Fraction(1, 4 * 64), 2, 1, inner.error.limit) + 1e-9
    solution = verified_warp(Target("y^2/(x^2 + y^2)", box), outer, inner.network, bound)
    check(solution)
    assert solution.size.weights == outer.size.weights + inner.size.weights + 4


def test_the_error_is_rounded_up():
    assert Fraction(warped_error(0, 1, 1, Fraction(1, 3))) > Fraction(1, 3)
    assert warped_error(Fraction(1, 4), 2, Fraction(1, 2), Fraction(1, 16)) == pytest.approx(0.75)
    assert warped_error(Fraction(1, 4), 2, Fraction(1, 2), 0) == 0.25


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(1)
    one, two = random_network(rng, 1, 3, 1), random_network(rng, 2, 3, 1)
    with pytest.raises(DomainError):
        warped(two, one)
    with pytest.raises(HypothesisError):
        warped(one, Network.from_layers([([[1.0]], [0.0])], output="relu"))
    for numbers in ((-1, 1, 1, 1), (1, -1, 1, 1), (1, 1, 0, 1), (1, 1, 2, 1), (1, 1, 1, -1)):
        with pytest.raises(DomainError):
            warped_error(*numbers)
