"""Model classes: members lie on the boundary, cubes lie inside, the rates by counting, the entropy by brute force."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.codec.lipschitz import LipschitzCode
from epsnet.dictionaries.entropy import binary_entropy, entropy_bound, entropy_line, inverse_entropy
from epsnet.dictionaries.model_classes import (
    Cartoon,
    Hoelder,
    Piecewise,
    Variation,
    barron,
    besov,
    hoelder,
    lattice_points,
    modulation,
    sobolev,
)
from epsnet.experiments import fit_rate

CLASSES = (
    Hoelder(0.5), Hoelder(1.0), Hoelder(1.5), Hoelder(2.0), Cartoon(1.5), Variation(levels=10),
    besov(1.5, levels=9), besov(0.8, p=1.5, levels=9), sobolev(1.5, levels=5), modulation(1.0, rings=5),
    modulation(1.0, p=0.5, rings=4),
)  # fmt: skip


@pytest.mark.parametrize("model_class", CLASSES, ids=lambda c: c.name)
def test_members_lie_in_the_class(model_class):
    for seed, scale in itertools.product(range(6), (1, 3, 6)):
        norm = model_class.norm_of(model_class.member(seed, scale))
        assert 0.5 <= norm <= 1 + 1e-9
    first, again, other = (model_class.member(seed, 4) for seed in (0, 0, 3))
    values = [one.values if isinstance(one, Piecewise) else one for one in (first, again, other)]
    assert np.array_equal(values[0], values[1]) and not np.array_equal(values[0], values[2])
    assert model_class.entropy_exponent == pytest.approx(1 / model_class.optimal_rate)


@pytest.mark.parametrize("smoothness", [0.5, 1.0, 1.5, 2.0])
def test_hoelder_constants_on_random_pairs(smoothness):
    """The constant of f or f', by differences on a fine grid, at any pair of points."""
    rng = np.random.default_rng(0)
    member = Hoelder(smoothness).member(3, 4)
    x = np.arange(2**12 + 1) / 2**12
    values = member(x)
    assert values[0] == 0
    if smoothness > 1:
        values, x = np.diff(values) * 2**12, x[:-1] + 2.0**-13
        assert abs(values[0]) <= 2.0**-11
    i, j = rng.integers(len(x), size=(2, 20_000))
    i, j = i[i != j], j[i != j]
    exponent = smoothness if smoothness <= 1 else smoothness - 1
    ratios = np.abs(values[i] - values[j]) / np.abs(x[i] - x[j]) ** exponent
    assert 0.7 <= ratios.max() <= 1 + 1e-6


def test_piecewise_quadratics():
    rng = np.random.default_rng(1)
    f = Piecewise(rng.standard_normal(9))
    x = np.linspace(0, 1, 40_001)
    cells = [np.polynomial.Polynomial.fit([0, 0.5, 1], f.values[2 * k : 2 * k + 3], 2, domain=[0, 1]) for k in range(4)]
    cell = np.minimum((4 * x).astype(int), 3)
    direct = np.array([cells[k](4 * t - k) for k, t in zip(cell, x, strict=True)])
    assert f(x) == pytest.approx(direct, abs=1e-12)
    assert f.refined(16)(x) == pytest.approx(direct, abs=1e-12)
    assert f.sup() == pytest.approx(np.abs(direct).max(), rel=1e-6)
    for pieces in (2, 4, 16):
        polygon = rng.standard_normal(pieces + 1)
        difference = direct - np.interp(x, np.arange(pieces + 1) / pieces, polygon)
        assert f.minus_polygon(polygon).sup() == pytest.approx(np.abs(difference).max(), rel=1e-6)


def test_variation_is_exact():
    member = Variation(levels=6).member(2, 3)
    jumps = np.diff(member, prepend=0.0)
    assert np.count_nonzero(jumps) == 8
    assert float(sum(abs(Fraction(v)) for v in jumps.tolist())) == pytest.approx(1)


def weighted_n_term_error(weights, p, terms):
    """The largest l2 norm left by the best N terms over all c with sum (|c_i| w_i)^p <= 1, for increasing w.

    It is attained where n > N coefficients are equal and the others vanish: the first n.
    """
    sums = np.cumsum(weights**p)
    n = np.arange(terms + 1, len(weights) + 1)
    return float(np.max(np.sqrt(n - terms) * sums[n - 1] ** (-1 / p)))


@pytest.mark.parametrize(("s", "p"), [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (0.5, 0.5), (3.0, 1.5)])
def test_rate_of_modulation_spaces_by_lattice_counting(s, p):
    k = np.arange(-600, 601)
    radius = np.hypot(k[:, None], np.arange(601))
    weights = np.sort((1 + radius[radius <= 600]) ** s)
    terms = [500 * 2**i for i in range(8)]
    slope = fit_rate(terms, [weighted_n_term_error(weights, p, n) for n in terms]).exponent.value
    assert -slope == pytest.approx(modulation(s, p, rings=2).optimal_rate, abs=0.03)


@pytest.mark.parametrize(("s", "p", "d"), [(1.5, 1.0, 1), (0.8, 1.5, 1), (1.5, 2.0, 2)])
def test_rate_of_besov_spaces_by_counting(s, p, d):
    levels = 18 // d
    weights = np.concatenate([np.full(2 ** (j * d), 2.0 ** (j * (s + d / 2 - d / p))) for j in range(levels)])
    terms = [2**i for i in range(5, 13)]
    slope = fit_rate(terms, [weighted_n_term_error(weights, p, n) for n in terms]).exponent.value
    model_class = besov(s, p, levels=4) if d == 1 else sobolev(s, levels=3)
    assert -slope == pytest.approx(model_class.optimal_rate, abs=0.08)


def test_lattice_points():
    brute = [sum(x * x + y * y < 4 ** (j + 1) for x in range(-20, 21) for y in range(21)) for j in range(4)]
    assert lattice_points(4) == brute
    assert sum(modulation(1.0, rings=4).sizes) == brute[-1]


def test_rates_of_the_literature():
    assert barron(1).optimal_rate == 2 and barron(2).optimal_rate == 1.25 and barron(4).entropy_exponent == 8 / 7
    assert hoelder(1, 2).optimal_rate == 0.5 and hoelder(3, 2).entropy_exponent == pytest.approx(2 / 3)
    assert Cartoon(2.0).optimal_rate == 1 and Variation().optimal_rate == 1 and sobolev(1.5, 3).optimal_rate == 0.75


def test_the_cube_of_the_hoelder_balls():
    """All 2^n sign patterns of one scale are members, and 2a apart; for s = 1 those with slopes +-1."""
    n = 8
    for s in (0.5, 1.5, 2.0):
        ball = Hoelder(s)
        members = {tuple(ball.member(seed, 3).values.tolist()): ball.member(seed, 3) for seed in range(40)}
        apart = min(
            Piecewise(f.values - g.values).sup() for f, g in itertools.combinations(list(members.values())[:20], 2)
        )
        count, a = ball.cube(n)
        assert count == n and apart >= 2 * a - 1e-15
    zigzags = np.cumsum([(0, *signs) for signs in itertools.product((-1, 1), repeat=4)], axis=1) / 4
    apart = min(np.abs(f - g).max() for f, g in itertools.combinations(zigzags, 2))
    assert apart == 2 * Hoelder(1.0).cube(4)[1]


def test_the_cube_of_the_steps():
    ball = Variation(levels=6)
    n, a = ball.cube(16)
    for seed in range(5):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], n)
        # phi_k is 16^(1/2) on a cell, so a phi_k has the height a 4.
        assert ball.norm_of(np.repeat(signs * a * 4, 4)) <= 1 + 1e-12
    alternating = np.repeat(a * 4 * (-1.0) ** np.arange(16), 4)
    assert ball.norm_of(alternating) == pytest.approx(1)


def test_the_cube_of_the_wavelets():
    """Every third wavelet of a level: disjoint supports, the stated norm, coefficients on the sphere."""
    ball = besov(1.5, levels=9)
    n, a = ball.cube(10)
    j = int(np.argmin([abs(size * ball.disjoint - n) for size in ball.sizes]))
    chosen = [ball.blocks[j].start + 1 + 3 * k for k in range(n)]
    height = a / ball.length
    pieces = []
    for place in chosen:
        coefficients = np.zeros(sum(ball.sizes))
        coefficients[place] = height
        pieces.append(ball.wavelets.synthesis(ball.expanded(coefficients)))
        assert ball.distance(coefficients, 0 * coefficients) == pytest.approx(a, rel=1e-9)
    assert max(np.abs(f * g).max() for f, g in itertools.combinations(pieces, 2)) == 0
    member = np.zeros(sum(ball.sizes))
    member[chosen] = height
    assert ball.norm_of(member) <= 1 + 1e-12


def test_the_cube_of_the_cartoons():
    ball = Cartoon(2.0)
    n, a = ball.cube(4)
    # The bump: the integral of a tent and its negative; both signs on every cell are members.
    h = 1 / (2 * n)
    signs = np.tile([1.0, -1.0], n) * np.repeat([1.0, -1.0, -1.0, 1.0], 2)
    rise = np.outer(signs * h**2, [1 / 32, 1 / 8, 7 / 32, 1 / 4])
    values = np.append(0.0, (np.append(0.0, np.cumsum(rise[:-1, -1]))[:, None] + rise).ravel())
    g = Piecewise(values)
    assert ball.norm_of(g) <= 1 + 1e-12
    x = (np.arange(40_000) + 0.5) / 40_000
    area = np.abs(g(x)).reshape(n, -1).mean(axis=1) / n
    # The area of the difference of both signs is (2a)^2.
    assert 2 * area == pytest.approx(4 * a * a, rel=1e-5)


def test_binary_entropy():
    for t in (0.0, 0.01, 0.11, 0.3, 0.5):
        assert inverse_entropy(binary_entropy(t)) == pytest.approx(t, abs=1e-12)
    assert binary_entropy(0.5) == 1 and binary_entropy(1.0) == 0


@pytest.mark.parametrize(("n", "bits"), [(2, 1), (3, 1), (4, 1), (4, 2), (6, 3)])
def test_no_code_beats_the_line_of_a_cube(n, bits):
    """Vector quantization of the vertices: the best code found has the largest distance that the theorem says."""
    vertices = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
    least = math.sqrt(n * inverse_entropy(1 - bits / n))
    best = math.inf
    rng = np.random.default_rng(0)
    for _ in range(60):
        centers = rng.standard_normal((2**bits, n)) / 2
        for _ in range(25):
            distances = np.linalg.norm(vertices[:, None] - centers, axis=2)
            own = np.argmin(distances, axis=1)
            best = min(best, float(distances.min(axis=1).max()))
            for k in range(2**bits):
                if np.any(own == k):
                    centers[k] = (vertices[own == k].max(axis=0) + vertices[own == k].min(axis=0)) / 2
    assert best >= least - 1e-12


@pytest.mark.parametrize(("n", "reach", "eps"), [(2, 0.5, "99/200"), (3, 0.5, "33/100"), (4, 0.5, "99/400")])
def test_entropy_of_the_lipschitz_ball_by_brute_force(n, reach, eps):
    """Integer functions on {0, ..., n} with steps -1, 0, 1: the least number of balls is a minimal set cover.

    Their values are integers, so a ball of radius 0.99 around any function has no more of them than one of radius 1/2
    around some function with values in the half integers.
    """
    functions = np.cumsum([(0, *steps) for steps in itertools.product((-1, 0, 1), repeat=n)], axis=1)[:, 1:]
    centers = {
        tuple((f + np.array(shift)).tolist()) for f in functions for shift in itertools.product((-0.5, 0.5), repeat=n)
    }
    covers = np.abs(functions[:, None] - np.array(sorted(centers))).max(axis=2) <= reach
    found = milp(
        np.ones(covers.shape[1]),
        constraints=LinearConstraint(covers.astype(float), lb=1),
        integrality=np.ones(covers.shape[1]),
        bounds=(0, 1),
    )
    bits = LipschitzCode(*map(Fraction, (0, 1, 1, eps))).bits
    assert bits == n and round(found.fun) == 2**bits
    # One bit less cannot do.
    assert entropy_bound(Hoelder(1.0), bits - 1)[0].limit > Fraction(eps)


def test_entropy_line():
    assert entropy_line(Hoelder(1.0), 63) == 1 / 64
    for model_class in CLASSES:
        lines = [entropy_line(model_class, bits) for bits in (1, 2, 5, 20)]
        assert all(a >= b for a, b in itertools.pairwise(lines)) and lines[-1] > 0
    slope = fit_rate([32, 64, 128, 256], [entropy_line(Variation(), b) for b in (32, 64, 128, 256)]).exponent.value
    assert slope == pytest.approx(-1, abs=0.01)
    slope = fit_rate([32, 64, 128, 256], [entropy_line(Cartoon(2.0), b) for b in (32, 64, 128, 256)]).exponent.value
    assert slope == pytest.approx(-1, abs=0.01)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Hoelder(2.5), lambda: Hoelder(0), lambda: Cartoon(1.0), lambda: besov(2.0), lambda: besov(0.4, p=1.0),
        lambda: modulation(1.0, p=3.0), lambda: barron(0), lambda: hoelder(-1, 1),
        lambda: entropy_line(Hoelder(1.0), 0),
        lambda: Hoelder(1.0).member(-1, 2), lambda: sobolev(1.0, 3).expanded(np.zeros(64)),
    ],
    ids=range(11),
)  # fmt: skip
def test_refusals(build):
    with pytest.raises((HypothesisError, DomainError), match=r"(Give|Use) .*\.$"):
        build()
