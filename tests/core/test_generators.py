"""Generators and expansions: exact ones in rationals, the others within their bounds in balls, sizes by hand."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.evaluate import evaluate_ball
from epsnet.core.expansion_target import ExpansionTarget, Part
from epsnet.core.generators import Bell, Fit, Generator, Spline, Wave
from epsnet.core.grammar import parse
from epsnet.core.realize import realize_exact
from epsnet.core.transfer import expansion_error, expansion_network, support, upper_root
from epsnet.dictionaries.bsplines import bspline as bspline_values
from epsnet.dictionaries.fits import COSINE, GAUSSIAN
from epsnet.dictionaries.molecules import CDF22, HAT, KUHN, bspline, dilated, gabor, kuhn_hats, sheared, tensor
from epsnet.dictionaries.transfer import expansion_target, transfer

F = Fraction
SQUARE = Box([0, 0], [1, 1])
EXACT = {"hat": HAT, "cdf": CDF22, "kuhn": KUHN}
CLOSE = {
    "quadratic": bspline(2, 4),
    "cubic": bspline(3, 4),
    "tensor": tensor(CDF22, CDF22, levels=4),
    "three factors": tensor(CDF22, HAT, bspline(2, 3), levels=3),
    "gabor": gabor(1, folds=2, levels=4),
    "gabor in the plane": gabor(2, folds=2, levels=4),
}


def points(random, forms, reach):
    return [[F(int(n), 64) for n in random.integers(-64 * reach, 64 * reach + 1, forms)] for _ in range(60)]


def value(generator, u):
    names = [f"u{j + 1}" for j in range(generator.forms)]
    return evaluate_ball(parse(generator.text()), dict(zip(names, map(ball, u), strict=True)))


@pytest.mark.parametrize("name", EXACT)
def test_exact_generators_are_their_formulas(name):
    generator, random = EXACT[name], np.random.default_rng(0)
    network = generator.network()
    assert generator.quality([F(9)] * generator.forms).error == 0
    for u in points(random, generator.forms, 4):
        with ball_arithmetic():
            assert value(generator, u) == ball(realize_exact(network, u)[0])


@pytest.mark.parametrize("name", CLOSE)
def test_other_generators_are_within_their_bounds_and_vanish_where_they_say(name):
    generator, random = CLOSE[name], np.random.default_rng(1)
    network, quality = generator.network(), generator.quality([F(4)] * generator.forms)
    radii = [factor.radius for factor, own in generator.groups() for _ in own]
    worst, outside = F(0), 0
    for u in points(random, generator.forms, 4):
        computed = realize_exact(network, u)[0]
        with ball_arithmetic():
            off = abs(value(generator, u) - ball(computed))
            assert off <= ball(quality.error)
            worst = max(worst, F(float(off.mid())))
        if any(radius is not None and abs(x) >= radius for radius, x in zip(radii, u, strict=True)):
            outside += 1
            assert computed == 0
            with ball_arithmetic():
                assert off <= ball(quality.tail)
    assert outside > 5 and worst > 0


def test_the_error_of_a_spline_is_reached_up_to_its_constant():
    """The bound is no more than four times what a fine grid sees, so that it says something."""
    for degree, factor in ((2, 2), (3, 8)):
        generator = bspline(degree, 3)
        network, bound = generator.network(), generator.quality([F(9)]).error
        grid = [F(k, 256) for k in range(513)]
        with ball_arithmetic():
            seen = max(abs(value(generator, [u]) - ball(realize_exact(network, [u])[0])) for u in grid)
            assert ball(bound) <= factor * seen


def test_splines_are_b_splines():
    x = np.linspace(-3, 3, 101)
    for degree, factorial in ((1, 1), (2, 2), (3, 6)):
        part = expansion_target([(dilated(bspline(degree), [[1.0]], [[0.0]]), [1.0 / factorial])], Box(-3, 3))
        np.testing.assert_allclose(part(x), bspline_values(degree, x), atol=1e-14)


def test_kuhn_hats_are_barycentric():
    """1 at its node, 0 at all others, affine on the triangles of the mesh: x <= y and x >= y in every square."""
    hat = kuhn_hats([4.0], [[0.5, 0.5]])
    target = expansion_target([(hat, [1.0])], SQUARE)
    network = transfer([(hat, [1.0])], SQUARE).network
    for i, j in itertools.product(range(5), repeat=2):
        node = [F(i, 4), F(j, 4)]
        assert realize_exact(network, node) == (F(i == j == 2),)
    for i, j, side in itertools.product(range(4), range(4), (0, 1)):
        corners = [[i, j], [i + 1, j + 1], [i + 1, j] if side else [i, j + 1]]
        nodes = [[F(k, 4) for k in corner] for corner in corners]
        for weights in ((F(1, 3),) * 3, (F(1, 2), F(1, 3), F(1, 6))):
            x = [sum(w * node[axis] for w, node in zip(weights, nodes, strict=True)) for axis in (0, 1)]
            mean = sum(w * target.exact(node) for w, node in zip(weights, nodes, strict=True))
            assert realize_exact(network, x) == (mean,) == (target.exact(x),)


@pytest.mark.parametrize("norm", ["sup", "L2"])
def test_the_bound_of_an_expansion_against_a_grid(norm):
    random = np.random.default_rng(2)
    scales, shears = 4.0 ** random.integers(0, 3, 12), random.integers(-4, 5, 12) / 4
    atoms = sheared(tensor(CDF22, HAT, levels=3), scales, shears, random.integers(0, 17, (12, 2)) / 16)
    found = transfer([(atoms, random.standard_normal(12))], SQUARE, norm)
    grid = [[F(2 * i + 1, 64), F(2 * j + 1, 64)] for i in range(0, 32, 2) for j in range(0, 32, 2)]
    off = [abs(found.target.exact(x) - realize_exact(found.network, x)[0]) for x in grid]
    assert 0 < (max(off) if norm == "sup" else upper_root(sum(d**2 for d in off) / len(off))) <= F(found.error.value)


def test_supports_hold_all_points_inside():
    random = np.random.default_rng(3)
    for _ in range(30):
        part = Part("0*u1*u2", np.ones(1), random.normal(size=(1, 2, 2)) * 4, random.normal(size=(1, 2)))
        radii = [F(1), F(2)]
        box = support(part, 0, radii, SQUARE)
        for x in random.uniform(0, 1, (200, 2)).tolist():
            point = [F(v) for v in x]
            if all(abs(u) < r for u, r in zip(part.arguments(0, point), radii, strict=True)):
                assert box is not None
                assert all(a <= v <= b for a, v, b in zip(box.lower, point, box.upper, strict=True))


@pytest.mark.parametrize(("generator", "weights"), [(HAT, 8), (CDF22, 12), (KUHN, 22)], ids=["hat", "cdf", "kuhn"])
def test_sizes(generator, weights):
    """Hat: 2 + 2 for u and -u, 3 for the knot, 1 for the output; the others alike. Twice as many atoms, twice M."""
    d = 2 if generator is KUHN else 1
    for n in (1, 2, 5):
        scales, centers = np.full((n, d), 4.0), np.tile([0.3, 0.4][:d], (n, 1))
        atoms = kuhn_hats(scales[:, 0], centers) if d == 2 else dilated(generator, scales, centers)
        size = transfer([(atoms, [1.0] * n)], Box([0] * d, [1] * d)).network.size
        assert (size.weights, size.depth) == (n * weights, 3)


def test_json_and_refusals():
    for generator in (*EXACT.values(), *CLOSE.values()):
        assert Generator.from_json(generator.to_json()) == generator
    for wrong in (
        lambda: Spline(4, (F(1),), (F(1),)), lambda: Spline(1, (F(0),), (F(1),)), lambda: Spline(1, (F(1),), ()),
        lambda: Spline(1, (F(1),), (F(1),), levels=2), lambda: Generator(()), lambda: Generator(HAT.factors, 2),
        lambda: Bell("exp(-t^2)", GAUSSIAN), lambda: Wave(0, COSINE), lambda: Wave(3, GAUSSIAN),
        lambda: Fit(COSINE.circuit, F(1), "100000"), lambda: Fit(COSINE.circuit, F(-1), "0"), lambda: bspline(4),
    ):  # fmt: skip
        with pytest.raises(DomainError):
            wrong()
    with pytest.raises(HypothesisError, match="folds"):
        gabor(folds=2).quality([F(1), F(5)])
    with pytest.raises(HypothesisError, match="range"):
        Generator((Wave(2, Fit(COSINE.circuit, F(1, 2), "0")),)).quality([F(1)])
    with pytest.raises(HypothesisError, match="decays"):
        Generator((Bell("s^2", GAUSSIAN),)).quality([F(100)])
    one = dilated(HAT, [[1.0]], [[0.0]]), [1.0]
    with pytest.raises(HypothesisError, match="depth"):
        transfer([one, (dilated(bspline(2), [[1.0]], [[0.0]]), [1.0])])
    with pytest.raises(DomainError, match="not those"):
        expansion_network(expansion_target([one]), [CDF22])
    assert expansion_error(expansion_target([one]), [HAT]).sup == 0
    for changes in ({"parts": []}, {"norm": "L1"}, {"parts": [{"generator": 1}]}, {"domain": {}}):
        with pytest.raises(CheckError):
            ExpansionTarget.from_json({**expansion_target([one]).to_json(), **changes})
    with pytest.raises(DomainError, match="jump"):
        ExpansionTarget((Part("step(u1)", np.ones(1), np.ones((1, 1, 1)), np.zeros((1, 1))),), Box(0, 1))
    with pytest.raises(DomainError):
        Part("u2", np.ones(1), np.ones((1, 1, 1)), np.zeros((1, 1)))
