"""Every step and constant of docs/near_convexity.md in rationals; defects against closed forms and linear programs."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet import Box, check
from epsnet.certify.errors import CheckError, DomainError, HypothesisError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.checker.rule import Context
from epsnet.checker.rules import reach
from epsnet.checker.rules.exact import linear_pieces
from epsnet.core.realize import realize
from epsnet.experiments import fit_rate
from epsnet.optimization.near_convexity import (
    RidgeSum,
    alternating_pair,
    convex_pair,
    defect,
    interlaced_pair,
    local_gap_bound,
    random_pair,
    search_defect,
)

ONE = Fraction(1)


def ramps(knots, weights, x):
    return sum((c * max(x - t, Fraction(0)) for t, c in zip(knots, weights, strict=True)), Fraction(0))


def rational_ramps(count, seed, *, convex=False):
    """Rational breakpoints and weights with total variation 1."""
    generator = np.random.default_rng(seed)
    knots = sorted({Fraction(int(k), 1000) for k in generator.integers(1, 1000, count)})
    weights = [Fraction(int(k)) for k in generator.integers(1, 50, len(knots))]
    if not convex:
        weights = [w * int(s) for w, s in zip(weights, generator.choice([-1, 1], len(knots)), strict=True)]
    return knots, [w / sum(map(abs, weights)) for w in weights]


def polygon(vertices, x):
    for (u, y), (v, z) in itertools.pairwise(vertices):
        if u <= x <= v:
            return y + (z - y) * (x - u) / (v - u)
    raise AssertionError


def largest_distance(knots, weights, vertices):
    """Exact sup of a polygon minus ramps: attained where one of them bends."""
    places = {Fraction(0), ONE, *knots, *(u for u, _ in vertices)}
    return max(abs(polygon(vertices, x) - ramps(knots, weights, x)) for x in places)


def farthest(knots, weights, start, theta):
    """The largest x with (x - start) mu((start, x)) <= theta."""
    mass, last = Fraction(0), start
    for t, c in zip(knots, weights, strict=True):
        if t <= start:
            continue
        if mass and start + theta / mass <= t:  # the product reaches theta before the next breakpoint counts
            return max(last, start + theta / mass)
        mass, last = mass + abs(c), t
    return min(ONE, max(last, start + theta / mass)) if mass else ONE


def greedy_ends(knots, weights, neurons):
    """x_0, ..., x_(q+1) of the proof of theorem 1."""
    ends = [Fraction(0)]
    while ends[-1] < 1:
        ends.append(farthest(knots, weights, ends[-1], Fraction(1, (neurons + 1) ** 2)))
    return ends


def end_line(knots, weights, u, v):
    """The value at v of the line through (u, g(u)) of the sharper bound; v < u at the left end."""
    length = abs(v - u)
    inside = [(t, c) for t, c in zip(knots, weights, strict=True) if min(u, v) < t < max(u, v)]
    slope = sum(c for t, c in zip(knots, weights, strict=True) if (t <= u if v > u else t < u))
    for t, c in inside:
        a = abs(t - u) / length
        slope += (c if v > u else -c) * (1 - a) / (1 + a)
    return ramps(knots, weights, u) + slope * (v - u)


@pytest.mark.parametrize("neurons", [1, 2, 3, 7])
def test_sharper_ends(neurons):
    """With a number below the root of 2, so eps and kappa are a little larger than in the text."""
    root = Fraction(14142135, 10**7)
    kappa, eps = (root - 1) ** 2 + Fraction(1, 10**6), 1 / (4 * (neurons + root) ** 2)
    assert all(Fraction(k, 99) * (1 - Fraction(k, 99)) / (1 + Fraction(k, 99)) <= kappa for k in range(100))
    for seed in range(16):
        knots, weights = rational_ramps(3 + 7 * seed, seed)
        if seed >= 12:  # nearly extremal: the bends of the alternating pair
            knots, weights = exact_average(alternating_pair, neurons)
        ends = [Fraction(0), farthest(knots, weights, Fraction(0), eps / kappa)]
        while ends[-1] < 1 and len(ends) <= neurons:
            ends.append(farthest(knots, weights, ends[-1], 4 * eps))
        if ends[-1] < 1:
            mass = sum((abs(c) for t, c in zip(knots, weights, strict=True) if t > ends[-1]), Fraction(0))
            assert (1 - ends[-1]) * mass <= eps / kappa * (1 + Fraction(1, 10**4))
            ends.append(ONE)
        assert len(ends) - 2 <= neurons
        vertices = [(x, ramps(knots, weights, x)) for x in ends]
        vertices[-1] = ONE, end_line(knots, weights, ends[-2], ONE)
        if len(ends) > 2:
            vertices[0] = Fraction(0), end_line(knots, weights, ends[1], Fraction(0))
        assert largest_distance(knots, weights, vertices) <= eps * (1 + Fraction(1, 10**4))
        slopes = [(z - y) / (v - u) for (u, y), (v, z) in itertools.pairwise(vertices)]
        assert sum(abs(t - s) for s, t in itertools.pairwise(slopes)) <= 1
    assert all((n + 1) * (n + 2) <= 1.0303 * (n + math.sqrt(2)) ** 2 for n in range(1, 1000))


@pytest.mark.parametrize("neurons", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("convex", [False, True], ids=["signs", "convex"])
def test_upper_bound_of_theorem_1(neurons, convex):
    for seed in range(12):
        knots, weights = rational_ramps(3 + 7 * seed, seed, convex=convex)
        ends = greedy_ends(knots, weights, neurons)
        assert len(ends) - 2 <= neurons
        vertices = [(x, ramps(knots, weights, x)) for x in ends]
        assert largest_distance(knots, weights, vertices) <= Fraction(1, 4 * (neurons + 1) ** 2)
        slopes = [(z - y) / (v - u) for (u, y), (v, z) in itertools.pairwise(vertices)]
        assert sum(abs(t - s) for s, t in itertools.pairwise(slopes)) <= 1
        if convex:
            down = Fraction(1, 8 * (neurons + 1) ** 2)
            lowered = [(x, y - down) for x, y in vertices]
            assert largest_distance(knots, weights, lowered) <= down


def test_green_function_is_at_most_a_quarter_of_the_length():
    u, v = Fraction(1, 7), Fraction(5, 6)
    grid = [u + (v - u) * Fraction(k, 40) for k in range(41)]
    values = [(min(x, t) - u) * (v - max(x, t)) / (v - u) for x in grid for t in grid]
    assert min(values) == 0
    assert max(values) == (v - u) / 4


@pytest.mark.parametrize("neurons", [1, 2, 3, 10])
def test_lower_bounds_of_theorem_1(neurons):
    """Sums of the weights, and second differences or alternation of the average, in rationals."""
    count = neurons + 1
    for pair, length, expected in (
        (convex_pair, Fraction(1, count), Fraction(1, 8 * count**2)),
        (alternating_pair, Fraction(1, neurons + 2), Fraction(1, 4 * count * (neurons + 2))),
    ):
        knots, weights = pair(neurons)
        assert np.abs(weights).sum(axis=1) == pytest.approx([1, 1], abs=1e-14)
        bends = dict.fromkeys(np.unique(knots).tolist(), 0.0)
        for t, c in zip(knots.ravel().tolist(), weights.ravel().tolist(), strict=True):
            bends[t] += c / 2
        assert np.abs(list(bends.values())) == pytest.approx(np.full(count, 1 / count), rel=1e-12)
        jump = Fraction(1, count)
        if pair is convex_pair:
            assert np.diff([0, *bends, 1])[1:-1] == pytest.approx(np.full(neurons, float(length)))
            assert jump * length / 8 == expected
            continue
        exact = [(i * length, (-1) ** (i + 1) * jump) for i in range(1, count + 1)]
        places, jumps = zip(*exact, strict=True)
        values = [ramps(places, jumps, i * length) for i in range(count + 2)]
        slope = jump / 2  # up to an affine function the average is a wave
        wave = [y - slope * i * length + jump * length / 4 for i, y in enumerate(values)]
        assert [(-1) ** i * w for i, w in enumerate(wave)] == [expected] * (count + 2)


def fewest_pieces_of_convex(knots, weights, eps):
    """Exact for c > 0: a line that starts on g, touches g + 2 eps and ends where it meets g again reaches farthest."""
    places = [Fraction(0), *sorted(knots), ONE]
    values = [ramps(knots, weights, x) for x in places]
    x, pieces = Fraction(0), 0
    while x < 1:
        y = ramps(knots, weights, x)
        pieces += 1
        slope, touch = min(((g + 2 * eps - y) / (v - x), v) for v, g in zip(places, values, strict=True) if v > x)
        below = [max(0, (y + slope * (v - x)) - g) for v, g in zip(places, values, strict=True)]
        start, x = x, ONE
        for (u, v), (f, g), (left, right) in zip(*map(itertools.pairwise, (places, values, below)), strict=True):
            if u >= touch and right == 0 < left:
                steep = (g - f) / (v - u)
                x = u + left / (steep - slope)
                break
        assert x > start
    return pieces


def exact_average(pair, neurons):
    """The breakpoints and weights of an average as the rationals that are meant, not those stored."""
    knots, weights = pair(neurons)
    bends = {}
    for t, c in zip(knots.ravel().tolist(), weights.ravel().tolist(), strict=True):
        place = Fraction(t).limit_denominator(1000)
        bends[place] = bends.get(place, 0) + Fraction(c).limit_denominator(1000) / 2
    return list(bends), list(bends.values())


@pytest.mark.parametrize("neurons", [1, 2, 3, 10])
def test_defect_of_the_convex_pair_in_rationals(neurons):
    average, eps = exact_average(convex_pair, neurons), Fraction(1, 8 * (neurons + 1) ** 2)
    assert sum(average[1]) == 1
    assert fewest_pieces_of_convex(*average, eps) == neurons + 1
    assert fewest_pieces_of_convex(*average, eps * (1 - Fraction(1, 10**9))) == neurons + 2


TABLE = [(1, "0.031250"), (2, "0.036612"), (3, "0.041667"), (4, "0.046442"), (8, "0.055018"), (64, "0.062496")]


@pytest.mark.parametrize(("neurons", "value"), TABLE)
def test_table_of_interlaced_breakpoints_in_rationals(neurons, value):
    average, half = exact_average(interlaced_pair, neurons), Fraction(1, 2 * 10**6)
    low, high = ((Fraction(value) + sign * half) / neurons**2 for sign in (-1, 1))
    assert fewest_pieces_of_convex(*average, high) <= neurons + 1 < fewest_pieces_of_convex(*average, low)


@pytest.mark.parametrize("neurons", [1, 2])
def test_lower_bound_of_the_alternating_pair_by_linear_programs(neurons):
    """For all breakpoints on a grid, the best values there are no nearer than the affine function."""
    knots, weights = pair = alternating_pair(neurons)
    expected = 1 / (4 * (neurons + 1) * (neurons + 2))
    grid = np.linspace(0, 1, 25)[1:-1]
    found = [best_with(s, knots.ravel(), weights.ravel() / 2) for s in itertools.combinations(grid, neurons)]
    assert min(found) == pytest.approx(expected, rel=1e-9)
    low, high = map(float, defect(*pair, gap=1e-6).bracket)
    assert low <= expected * (1 + 1e-12)
    assert high >= expected * (1 - 1e-12)


def test_slope_of_an_exact_square_law_as_a_power_of_neurons():
    sizes = np.array([4, 8, 16, 32, 64])
    assert fit_rate(sizes, (sizes + 1.0) ** -2).exponent.value == pytest.approx(-1.855, abs=5e-4)
    h = 1e-6
    for n in sizes:
        local = (math.log((n * math.exp(h) + 1) ** -2) - math.log((n * math.exp(-h) + 1) ** -2)) / (2 * h)
        assert local == pytest.approx(-2 * n / (n + 1), abs=1e-6)


def test_without_a_bound_of_the_weights_the_defect_is_a_cone():
    knots, weights = random_pair(3, 4)
    own, large = (defect(knots, factor * weights, gap=1e-2).bracket for factor in (1, 1024))
    assert large[0] <= 1024 * own[1]
    assert 1024 * own[0] <= large[1]


@pytest.mark.parametrize("neurons", [1, 2, 16])
def test_defects_that_are_known(neurons):
    for pair, exact in (
        (convex_pair, Fraction(1, 8 * (neurons + 1) ** 2)),
        (alternating_pair, Fraction(1, 4 * (neurons + 1) * (neurons + 2))),
    ):
        found = defect(*pair(neurons), gap=1e-4)
        low, high = found.bracket
        assert exact * (1 - Fraction(1, 10**4)) <= low <= exact * (1 + Fraction(1, 10**12))
        assert exact * (1 - Fraction(1, 10**12)) <= high <= exact * (1 + Fraction(1, 10**4))
        assert high <= found.limit * (1 + Fraction(1, 10**8))


def test_interlaced_knots():
    first = defect(*interlaced_pair(1), gap=1e-3)
    assert first.bracket[0] <= Fraction(1, 32) <= first.bracket[1]
    low, high = (float(end) * 64**2 for end in defect(*interlaced_pair(64), gap=1e-3).bracket)
    assert 1 / 32 <= low <= high <= 1 / 16 * (1 + 1e-3)
    assert low == pytest.approx(0.0625, abs=1e-4)


def best_with(breakpoints, knots, weights):
    """The distance to the functions with these breakpoints: a linear program for the values there and at the ends."""
    from scipy.optimize import linprog

    own = np.concatenate(([0.0], breakpoints, [1.0]))
    x = np.unique(np.concatenate((own, knots)))
    y = np.maximum(x[:, None] - knots, 0) @ weights
    hats = np.stack([np.interp(x, own, unit) for unit in np.eye(len(own))], axis=1)
    rows = np.block([[hats, -np.ones((len(x), 1))], [-hats, -np.ones((len(x), 1))]])
    return linprog([*np.zeros(len(own)), 1.0], rows, np.concatenate((y, -y)), bounds=(None, None)).fun


def best_with_one_breakpoint(knots, weights):
    """For s on a grid, then on a finer one around the best."""

    def solve(s):
        return best_with([s], knots, weights)

    coarse = min(np.linspace(0.01, 0.99, 99), key=solve)
    return min(map(solve, np.linspace(coarse - 0.0099, coarse + 0.0099, 100)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_neuron_against_linear_programs(seed):
    knots, weights = random_pair(1, seed)
    low, high = map(float, defect(knots, weights, gap=1e-3).bracket)
    best = best_with_one_breakpoint(knots.ravel(), weights.ravel() / 2)
    assert low <= best + 1e-12
    assert best <= high + 2e-4  # a slope is at most 1, and s is off by at most 1e-4


@pytest.mark.parametrize(("neurons", "seed"), [(2, 5), (32, 5), (64, 6)])
def test_random_pairs_obey_the_theorem_and_the_checker_agrees(neurons, seed):
    found = defect(*random_pair(neurons, seed), gap=1e-2)
    low, high = found.bracket
    assert 0 < low <= high <= low * Fraction(102, 100)
    assert neurons**2 * high <= Fraction(1, 4)
    assert high <= found.limit
    report = check(found.solution)
    assert {claim.value for claim in report.checked} >= {found.upper.value}
    assert found.lower is not None
    x = np.linspace(0, 1, 501)
    assert np.max(np.abs(realize(found.nearest, x[:, None])[:, 0] - found.average(x))) <= float(high) + 1e-12
    pieces = linear_pieces(found.nearest, Box(0, 1))
    assert pieces is not None and pieces <= neurons + 1
    context = Context(found.lower, (), found.nearest, found.average, found.windows)
    with ball_arithmetic():
        reach.check(context)
        for wrong in (replace(found.lower, eps=2 * low), replace(found.lower, value=neurons + 9.0)):
            with pytest.raises(CheckError):
                reach.check(replace(context, claim=wrong))


@pytest.mark.slow
def test_mean_of_random_pairs_decays_as_the_square():
    sizes, means = (4, 8, 16, 32, 64), []
    for n in sizes:
        brackets = [defect(*random_pair(n, seed), gap=1e-2).bracket[1] for seed in range(15)]
        assert n**2 * max(brackets) <= Fraction(1, 4)
        means.append(float(sum(brackets)) / 15)
    # (N + 1)^-2 itself has the exponent -1.855 as a power of N between 4 and 64.
    assert fit_rate(np.array(sizes) + 1, means).exponent.value == pytest.approx(-2, abs=0.15)


def test_no_defect():
    knots = [[0.25, 0.5], [0.5, 0.25]]
    found = defect(knots, [[1.0, -2.0], [3.0, 0.5]])
    assert found.bracket == (0, 0)
    assert found.lower is None


@pytest.mark.parametrize(
    ("knots", "weights", "gap"),
    [
        ([0.5], [1.0], 1e-6), ([[0.5], [1.0]], [[1.0], [1.0]], 1e-6), ([[0.5], [0.6]], [[1.0], [math.nan]], 1e-6),
        ([[0.5], [0.6]], [[1.0], [1.0]], 0.0), (np.ones((2, 0)), np.ones((2, 0)), 1e-6),
    ],
    ids=["one function", "breakpoint at the end", "nan", "gap", "empty"],
)  # fmt: skip
def test_bad_input(knots, weights, gap):
    with pytest.raises(DomainError, match=r"Mend|Give"):
        defect(knots, weights, gap=gap)


def test_no_neurons():
    for pair in (alternating_pair, convex_pair, interlaced_pair):
        with pytest.raises(DomainError, match="Use 1 or more"):
            pair(0)


def test_theorem_2_expectation_over_all_draws():
    vectors = [[Fraction(x, 2) for x in d] for d in ((2, 4, 0), (-2, 1, 2), (0, 2, -4))]
    weights, m = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)), 3
    f = [sum(a * d[k] for a, d in zip(weights, vectors, strict=True)) for k in range(3)]
    expected = Fraction(0)
    for draw in itertools.product(range(3), repeat=m):
        mean = [sum(vectors[i][k] for i in draw) / m for k in range(3)]
        expected += math.prod(weights[i] for i in draw) * sum((a - b) ** 2 for a, b in zip(mean, f, strict=True))
    squares = [sum(x * x for x in d) for d in vectors]
    assert expected == (sum(a * s for a, s in zip(weights, squares, strict=True)) - sum(x * x for x in f)) / m
    assert expected <= max(squares) / m


def groups(alphas, m, j):
    """The grouping of theorem 3: lists of (term, weight)."""
    unit, blocks, position = Fraction(1, 2**j), {}, Fraction(0)
    for term, alpha in enumerate(alphas):
        start, position = position, position + alpha
        while start < position:
            block = start // unit
            stop = min(position, (block + 1) * unit)
            blocks.setdefault(block, []).append((term, stop - start))
            start = stop
    return [block[k : k + m] for block in blocks.values() for k in range(0, len(block), m)]


@pytest.mark.parametrize(("m", "j"), [(1, 1), (1, 4), (2, 3), (5, 2), (7, 5)])
def test_theorem_3_grouping(m, j):
    generator = np.random.default_rng(m + 10 * j)
    n = 2 ** (j - 1) * m
    for skew in (1, 4, 12):
        raw = [Fraction(int(k) ** skew) for k in generator.integers(1, 50, n)]
        alphas = [a / (2 * sum(raw)) for a in raw]
        found = groups(alphas, m, j)
        assert len(found) <= 2**j
        assert all(len(group) <= m and sum(w for _, w in group) <= Fraction(1, 2**j) for group in found)
        for term, alpha in enumerate(alphas):
            assert sum(w for group in found for i, w in group if i == term) == alpha


def test_theorem_3_in_the_example_of_sparse_vectors():
    """D the unit vectors up to sign, sup norm: all three numbers are 1/(m + 1), the (m + 1)-th largest entry."""
    for m, j in itertools.product((1, 2, 5), (1, 2, 4)):
        sigma = {n: Fraction(1, n + 1) for n in (m, 2 ** (j - 1) * m)}
        # m + 1 entries 1/(m + 1) are the average of two m-sparse vectors of norm 1, as for `convex_pair`.
        first = [Fraction(2, m + 1), *[Fraction(1, m + 1)] * (m - 1), Fraction(0)]
        average = [(a + b) / 2 for a, b in zip(first, first[::-1], strict=True)]
        assert sum(first) == 1
        assert average == [Fraction(1, m + 1)] * (m + 1)
        assert Fraction(1, m + 1) <= sigma[2 ** (j - 1) * m] + 2 * j * min(average)


@pytest.mark.parametrize("norm", [1, 3])
@pytest.mark.parametrize(("c_low", "c_high", "r"), [(1 / 24, 1 / 4, 2.0), (0.5, 1.0, 1.0), (1.0, 1.0, 0.5)])
def test_theorem_3_number_of_rounds(c_low, c_high, r, norm):
    j = 1 + math.ceil(math.log2(2 * c_high / c_low) / r)
    for m in (1, 3, 50):
        sigma = c_high * (2 ** (j - 1) * m) ** -r
        assert (c_low * m**-r - sigma) / (2 * norm * j) >= c_low / (4 * norm * j) * m**-r * (1 - 1e-12)


def test_corollary_rounding_of_parameters():
    """A function of Sigma_m(2M) moves by at most 7 M m eta, each neuron among (6M/eta)^(d + 2), in the sup norm."""
    generator = np.random.default_rng(0)
    for d, m, norm in itertools.product((2, 3), (1, 5), (1, 4)):
        eta = 0.1
        w, shift = generator.normal(size=(2, m, d))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        near = w + 0.49 * eta * shift / np.linalg.norm(shift, axis=1, keepdims=True)
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        assert np.linalg.norm(near - w, axis=1).max() <= eta
        b = generator.uniform(-2, 2, m)
        a = generator.uniform(size=m)
        a *= 2 * norm / a.sum()
        signs = generator.choice([-1, 1], m)
        x = generator.normal(size=(4000, d))
        x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1)
        own = np.maximum(x @ w.T + b, 0) @ (signs * a)
        other = np.maximum(x @ near.T + b + eta * generator.choice([-1, 1], m), 0) @ (signs * np.floor(a / eta) * eta)
        assert np.max(np.abs(own - other)) <= 7 * norm * m * eta
        count = 2 * (2 * norm / eta + 1) * (1 + 2 / eta) ** d * (2 / eta + 1)
        assert count <= 2 * 3 ** (d + 2) * norm * eta ** -(d + 2) <= (6 * norm / eta) ** (d + 2)


@pytest.mark.parametrize("d", [2, 5])
def test_corollary_choice_of_the_net(d):
    """The inequalities that lead from entropy to the lower bound, with the quoted r and c_0 = 1, M = 2, C = 9."""
    r, c0, norm, c_high, kappa = 0.5 + 1.5 / d, 1.0, 2, 9.0, 1.0

    def k():
        return 1 + (d + 2) * (math.log2(6 * norm / kappa) + 2 * r + 1)

    while 7 * norm * kappa > c0 / 2 * k() ** -r:
        kappa /= 2
    low = c0 / 2 * k() ** -r
    for m in (1, 2, 3, 10, 1000, 10**6):
        length = math.log2(m + 1)
        eta = kappa * m ** (-2 * r - 1)
        n = math.ceil((d + 2) * m * math.log2(6 * norm / eta))
        assert n <= k() * m * length
        sigma = c0 * n**-r - 7 * norm * m * eta
        assert sigma >= c0 / 2 * n**-r * (1 - 1e-12) >= low * (m * length) ** -r * (1 - 1e-9)
        j = 1 + math.ceil(math.log2(2 * c_high / low) / r + math.log2(length))
        assert c_high * (2 ** (j - 1) * m) ** -r <= low / 2 * (m * length) ** -r


def test_sup_norm_in_several_variables_is_no_smaller_than_on_an_edge():
    """On the edge a network of m neurons of two variables bends at most m times, so theorem 1 bounds its distance."""
    generator = np.random.default_rng(1)
    m = 2
    knots, weights = alternating_pair(m)
    for _ in range(50):
        w = generator.normal(size=(m, 2))
        bends = sorted(-generator.normal(size=m) / w[:, 0])
        inside = [t for t in bends if 0 < t < 1]
        assert best_with(inside, knots.ravel(), weights.ravel() / 2) >= 1 / (4 * (m + 1) * (m + 2)) * (1 - 1e-9)


def test_theorem_3_constants_of_one_variable():
    assert 1 + math.ceil(math.log2(2 * 24 / 4) / 2) == 3
    for m in range(1, 200):
        assert Fraction(1, 24 * m**2) <= Fraction(1, 4 * (m + 1) * (m + 2)) <= Fraction(1, 4 * m**2)
        assert Fraction(1, 24 * 4 * 3 * m**2) == Fraction(1, 288 * m**2) <= Fraction(1, 4 * (m + 1) * (m + 2))


def test_theorem_4_on_all_local_minima_of_finite_sets():
    """The sup norm of the plane and L(u) = max |u_k - p_k|, so c = 1, in rationals."""
    generator = np.random.default_rng(3)
    tight = 0
    for _ in range(20):
        s = [tuple(Fraction(int(k), 60) for k in point) for point in generator.integers(0, 60, (60, 2))]
        p = tuple(Fraction(int(k), 60) for k in generator.integers(0, 60, 2))
        rho = Fraction(int(generator.integers(10, 30)), 60)

        def norm(u, v):
            return max(abs(a - b) for a, b in zip(u, v, strict=True))

        for g in s:
            if any(norm(u, g) <= rho and norm(u, p) < norm(g, p) for u in s):
                continue
            for f in (u for u in s if norm(u, g) >= rho / 2):
                share = rho / (2 * norm(f, g))
                u = tuple(a + share * (b - a) for a, b in zip(g, f, strict=True))
                eta = min(norm(u, v) for v in s)
                if eta <= rho / 2:
                    tight += 1
                    assert norm(g, p) - norm(f, p) <= local_gap_bound(1, norm(f, g), rho, eta)
    assert tight > 100


def test_theorem_4_is_attained_and_its_hypotheses_are_asked_for():
    """S = {0, D} on the line, L(u) = -c u: nothing is nearer to rho/2 than 0."""
    assert local_gap_bound(3, 2, 1, "1/2") == 6
    for wrong in ((1, 2, 1, 1), (1, "1/4", 1, 0), (-1, 2, 1, 0), (1, 2, 0, 0), (1, 2, 1, -1)):
        with pytest.raises(HypothesisError, match="Take a larger network"):
            local_gap_bound(*wrong)


def test_theorem_4_with_theorem_1():
    for n, c, distance, variation, rho in ((3, 2, 5, 4, "1/2"), (9, 1, 1, 1, 1)):
        eta = Fraction(variation, 4 * (n + 1) ** 2)
        expected = c * distance * variation / (2 * Fraction(rho) * (n + 1) ** 2)
        assert local_gap_bound(c, distance, rho, eta) == expected


def ridges(count, seed):
    generator = np.random.default_rng(seed)
    angles = generator.uniform(0, 2 * np.pi, count)
    weights = generator.normal(size=count)
    directions = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    return RidgeSum(directions, generator.uniform(-1, 1, count), weights / np.abs(weights).sum())


def test_search_in_two_variables():
    first, second = ridges(4, 1), ridges(4, 2)
    found = search_defect(first, second, starts=3)
    assert found.value == min(found.values)
    assert found.upper is not None and found.difference is not None
    assert found.upper.kind.value == "VERIFIED"
    assert {claim.value for claim in check(found.difference).checked} == {found.upper.value}
    ticks, mass = np.polynomial.legendre.leggauss(400)
    square = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    own = found.nearest(square) + square @ found.affine[:2] + found.affine[2] - (first(square) + second(square)) / 2
    assert found.upper.value == pytest.approx(math.sqrt(np.outer(mass, mass).ravel() @ own**2), rel=1e-3)
    assert search_defect(first, second, starts=3).values == found.values
    x = np.random.default_rng(0).uniform(-1, 1, (200_000, 2))
    affine = np.column_stack((x, np.ones(len(x))))
    average = (first(x) + second(x)) / 2
    own = math.sqrt(np.mean((found.nearest(x) + affine @ found.affine - average) ** 2))
    assert own == pytest.approx(found.value, rel=0.05)
    plain = average - affine @ np.linalg.lstsq(affine, average)[0]
    assert own < 0.5 * math.sqrt(np.mean(plain**2))


def test_search_finds_no_defect_of_a_function_with_itself():
    one = ridges(2, 7)
    found = search_defect(one, one, starts=3)
    assert found.value < 1e-6
    assert found.upper is not None and found.upper.value < 1e-6


def test_search_in_one_variable_against_an_exact_integral():
    """The square of a piecewise-linear function, integrated by Simpson's rule in rationals."""
    first, second = (RidgeSum(np.ones((2, 1)), np.array(b), np.array([1.0, -0.5])) for b in ([0.5, -0.25], [0.25, 0.0]))
    found = search_defect(first, second, starts=2)
    parts = [(found.nearest, Fraction(1)), (first, Fraction(-1, 2)), (second, Fraction(-1, 2))]
    neurons = [
        (Fraction(w), Fraction(b), Fraction(a) * factor)
        for one, factor in parts
        for (w,), b, a in zip(one.directions.tolist(), one.biases.tolist(), one.weights.tolist(), strict=True)
    ]
    slope, constant = map(Fraction, found.affine.tolist())

    def value(x):
        return slope * x + constant + sum(a * max(w * x + b, Fraction(0)) for w, b, a in neurons)

    places = sorted({Fraction(-1), ONE, *(-b / w for w, b, _ in neurons if w and -1 < -b / w < 1)})
    square = sum(
        (v - u) / 6 * (value(u) ** 2 + 4 * value((u + v) / 2) ** 2 + value(v) ** 2)
        for u, v in itertools.pairwise(places)
    )
    assert found.upper is not None
    assert square <= found.upper.limit**2 <= square * Fraction(1001, 1000)


def test_search_in_three_variables_certifies_nothing():
    one, two = (RidgeSum(np.eye(3)[:2], np.full(2, b), np.ones(2)) for b in (0.0, 0.5))
    found = search_defect(one, two, starts=1, nodes=6)
    assert found.upper is None and found.value > 0


def test_search_refuses_what_does_not_fit():
    for arguments, options in (((ridges(2, 1), ridges(3, 1)), {}), ((ridges(2, 1), ridges(2, 2)), {"nodes": 400})):
        with pytest.raises(DomainError, match=r"Mend|fewer"):
            search_defect(*arguments, **options)
