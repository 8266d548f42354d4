"""Witnesses and paths are verified by the rule in balls or rationals; the rule itself by brute force on lattices."""

import math
import random
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from flint import arb, ctx
from scipy.optimize import linprog
from scipy.special import erf

from epsnet.enclosure.tube import _NUDGE, Path, Window, _reach, minimal_link_path, outer_windows

PI = float(np.pi)
SHRINK = 1 - 1e-7
FIVE = (0.1, 0.05, 0.01, 0.005, 0.001)


def table(*counts, eps=(0.1, 0.01, 0.001)):
    return dict(zip(eps, counts, strict=True))


# name: (float64 function, ball function, a, b, {eps: minimal number of pieces})
CASES = {
    "gelu": (
        lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
        lambda x: x * (1 + (x / arb(2).sqrt()).erf()) / 2,
        -4.0,
        4.0,
        table(2, 7, 23),
    ),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + (-x).exp()), -8.0, 8.0, table(3, 7, 19)),
    "softplus": (lambda x: np.log1p(np.exp(x)), lambda x: (1 + x.exp()).log(), -6.0, 6.0, table(3, 8, 24)),
    "silu": (lambda x: x / (1 + np.exp(-x)), lambda x: x / (1 + (-x).exp()), -8.0, 8.0, table(3, 8, 28)),
    "tanh": (np.tanh, lambda x: x.tanh(), -4.0, 4.0, table(3, 9, 27)),
    "exp": (np.exp, lambda x: x.exp(), 0.0, 1.0, table(2, 4, 11, 33, eps=(0.1, 0.01, 0.001, 1e-4))),
    "sin": (np.sin, lambda x: x.sin(), -PI, PI, table(5, 13, 39)),
    "sqrt": (np.sqrt, lambda x: x.sqrt(), 0.0, 1.0, table(2, 5, 16)),
    "runge": (lambda x: 1 / (1 + 25 * x * x), lambda x: 1 / (1 + 25 * x * x), -1.0, 1.0, table(4, 10, 32)),
    "cube": (lambda x: x**3, lambda x: x**3, -10.0, 10.0, {2.0: 19}),
    # the functions of S. Rebennack and J. Kallrath, J. Optim. Theory Appl. 167 (2015) 617-643
    "log": (np.log, lambda x: x.log(), 1.0, 32.0, table(3, 4, 9, 13, 28, eps=FIVE)),
    "sin2pi": (np.sin, lambda x: x.sin(), 0.0, 2 * PI, table(5, 5, 13, 17, 39, eps=FIVE)),
    "tanh5": (np.tanh, lambda x: x.tanh(), -5.0, 5.0, table(3, 5, 9, 13, 27, eps=FIVE)),
    "sinc": (lambda x: np.sin(x) / x, lambda x: x.sin() / x, 1.0, 12.0, table(3, 5, 9, 12, 27, eps=FIVE)),
    "bump": (
        lambda x: np.exp(-100 * (x - 2) ** 2),
        lambda x: (-100 * (x - 2) ** 2).exp(),
        0.0,
        3.0,
        table(4, 5, 11, 14, 33, eps=FIVE),
    ),
    "bumps": (
        lambda x: 1.03 * np.exp(-100 * (x - 1.2) ** 2) + np.exp(-100 * (x - 2) ** 2),
        lambda x: arb(1.03) * (-100 * (x - arb(1.2)) ** 2).exp() + (-100 * (x - 2) ** 2).exp(),
        0.0,
        3.0,
        table(7, 9, 21, 27, 65, eps=FIVE),
    ),
    "abs": (lambda x: np.abs(x - 0.3), lambda x: abs(x - arb(0.3)), -1.0, 2.0, table(2, 2, 2)),
    "circle": (lambda x: np.sqrt(1 - x * x), lambda x: (1 - x * x).sqrt(), -1.0, 1.0, {0.001: 41}),
    "constant": (lambda x: 3.0, lambda x: arb(3), 0.0, 1.0, table(1, 1, 1)),
    "affine": (lambda x: 2 * x - 7, lambda x: 2 * x - 7, -3.0, 10.0, table(1, 1, 1)),
}
INSTANCES = [(name, eps) for name, case in CASES.items() for eps in case[-1]]


def line(w, x):
    return Fraction(w.value) + Fraction(w.slope) * (Fraction(x) - Fraction(w.p))


def contacts(w, offset, eps):
    """The three inequalities of a window; offset(w, x) = side * (l(x) - f(x)) as a rational number or a ball."""
    return w.p < w.s < w.e and (offset(w, w.p) >= eps) and (offset(w, w.s) <= -eps) and (offset(w, w.e) > eps)


def detached(v, w):
    return v.e <= w.p


ATTACHED = {
    "opposite sides": lambda v, w: w.side == -v.side,
    "later touch": lambda v, w: v.e <= w.s,
    "order at p": lambda v, w: w.side * (line(w, w.p) - line(v, w.p)) >= 0,
}


def chained(v, w, without=""):
    return detached(v, w) or all(rule(v, w) for name, rule in ATTACHED.items() if name != without)


def proves(windows, offset, a, b, eps):
    return (
        all(contacts(w, offset, eps) for w in windows)
        and all(chained(v, w) for v, w in pairwise(windows))
        and (not windows or (windows[0].p >= a and windows[-1].e <= b))
    )


def ball(x):
    x = Fraction(x)
    return arb(x.numerator) / x.denominator


def ball_proves(windows, f, a, b, eps):
    with ctx.workprec(160):
        return proves(windows, lambda w, x: w.side * (ball(line(w, x)) - f(arb(x))), a, b, arb(eps))


def exact(xs, ys, x):
    """The piecewise-linear interpolant in rationals."""
    k = min(max(int(np.searchsorted(xs, float(x), side="right")) - 1, 0), len(xs) - 2)
    x0, x1, y0, y1 = (Fraction(t) for t in (*xs[k : k + 2], *ys[k : k + 2]))
    return y0 + (y1 - y0) / (x1 - x0) * (Fraction(x) - x0)


@pytest.mark.parametrize(("name", "eps"), INSTANCES)
def test_path_and_windows_agree(name, eps):
    f, f_ball, a, b, counts = CASES[name]
    windows = outer_windows(f, a, b, eps)
    path = minimal_link_path(f, a, b, eps * SHRINK)
    assert len(windows) + 1 == path.pieces == len(path.slopes) == counts[eps]
    assert ball_proves(windows, f_ball, a, b, eps)
    for v, w in pairwise(windows):  # more than the rule asks for
        assert detached(v, w) or (v.s <= w.p and w.side * (line(w, v.e) - line(v, v.e)) >= 0)
    assert (path.breakpoints[0], path.breakpoints[-1]) == (a, b)
    sample = np.random.default_rng(0).uniform(a, b, 300)
    with ctx.workprec(160):
        for x in map(float, np.concatenate([sample, path.breakpoints])):
            value = ball(exact(path.breakpoints, path.values, x))
            assert abs(value - f_ball(arb(x))) <= arb(eps)


def test_path_between_grid_points():
    for name in ("sin", "sqrt", "softplus", "bumps", "circle"):
        f, _, a, b, _ = CASES[name]
        path = minimal_link_path(f, a, b, 1e-3)
        rng = np.random.default_rng(1)
        near = np.concatenate(
            [path.breakpoints + s * rng.exponential(10.0**-k, path.pieces + 1) for k in range(1, 9) for s in (-1, 1)]
        )
        x = np.concatenate([np.linspace(a, b, 1_000_001), near[(near > a) & (near < b)]])
        assert np.max(np.abs(path(x) - f(x))) <= 1e-3 * (1 + 1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("margin", [1e-2, 1e-6, 1e-9])
def test_parabola(n, margin):
    """On n equal pieces x^2 is at distance 1 / (8 n^2), which is optimal."""
    tie = 1 / (8 * n * n)
    for eps, pieces in ((tie * (1 + margin), n), (tie * (1 - margin), n + 1)):
        assert minimal_link_path(np.square, 0.0, 1.0, eps).pieces == pieces
        windows = outer_windows(np.square, 0.0, 1.0, eps)
        assert len(windows) + 1 == pieces
        assert proves(windows, lambda w, x: w.side * (line(w, x) - Fraction(x) ** 2), 0, 1, Fraction(eps))


@pytest.mark.parametrize("name", ["sin", "sqrt", "sinc", "bumps"])
def test_mutated_windows_prove_nothing(name):
    f, f_ball, a, b, _ = CASES[name]
    eps = 0.01
    windows = outer_windows(f, a, b, eps)
    assert ball_proves(windows, f_ball, a, b, eps)
    mutations = [
        lambda w: replace(w, side=-w.side),
        lambda w: replace(w, value=w.value + 1e-9),
        lambda w: replace(w, value=w.value - 1e-9),
        lambda w: replace(w, slope=w.slope * (1 + 1e-6)),
        lambda w: replace(w, slope=w.slope * (1 - 1e-6)),
        lambda w: replace(w, p=w.p + 1e-3 * (w.s - w.p)),
        lambda w: replace(w, s=w.s + 1e-3 * (w.e - w.s)),
        lambda w: replace(w, s=w.e, e=w.s),
        lambda w: replace(w, e=w.e - 1e-3 * (w.e - w.s)),
    ]
    for k, w in enumerate(windows):
        for mutate in mutations:
            assert not ball_proves([*windows[:k], mutate(w), *windows[k + 1 :]], f_ball, a, b, eps)
    for k in range(1, len(windows)):
        assert not ball_proves([*windows[:k], windows[k - 1], *windows[k:]], f_ball, a, b, eps)
    assert not ball_proves(windows, f_ball, np.nextafter(windows[0].p, b), b, eps)
    assert not ball_proves(windows, f_ball, a, np.nextafter(windows[-1].e, a), eps)
    assert not ball_proves(windows, f_ball, a, b, eps * (1 + 1e-6))


def random_tube(seed):
    """A piecewise-linear function with dyadic knots, and a half width."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 14))
    xs = np.concatenate([[0.0], np.sort(rng.choice(np.arange(1, 64), count, replace=False)) / 64, [1.0]])
    ys = rng.integers(-16, 17, count + 2) / 8 if seed % 2 else np.cumsum(rng.integers(-4, 5, count + 2)) / 16
    return xs, ys, float(rng.choice([0.05, 0.11, 0.3, 0.7]))


@pytest.mark.parametrize("seed", range(60))
def test_random_tubes_in_rationals(seed):
    xs, ys, eps = random_tube(seed)

    def f(x):
        return np.interp(x, xs, ys)

    windows = outer_windows(f, 0.0, 1.0, eps, knots=xs)
    path = minimal_link_path(f, 0.0, 1.0, eps * SHRINK, knots=xs)
    assert len(windows) + 1 == path.pieces
    assert proves(windows, lambda w, x: w.side * (line(w, x) - exact(xs, ys, x)), 0, 1, Fraction(eps))
    for x in map(float, np.union1d(xs, path.breakpoints)):  # the error is piecewise linear between these points
        assert abs(exact(path.breakpoints, path.values, x) - exact(xs, ys, x)) <= Fraction(eps)


def crowded_points(rng):
    """Abscissae of which some are neighbors in float64, and values of a polygon, of two kinks or of a root there."""
    base = np.sort(rng.uniform(size=rng.integers(3, 40)))
    crowd = [base]
    for _ in range(3):
        near = crowd[-1][rng.uniform(size=len(crowd[-1])) < 0.4]
        crowd.append(near + rng.integers(1, 4, len(near)) * np.spacing(near))
    x = np.unique(np.concatenate(crowd))
    heights = np.cumsum(rng.normal(size=len(base))) * 10.0 ** rng.integers(-3, 1)
    kinks = rng.normal() * np.abs(x - 0.3) + rng.normal() * np.abs(x - 0.6)
    return x, (np.interp(x, base, heights), kinks, np.sqrt(x))[rng.integers(3)]


def test_extreme_lines_over_neighbors_in_float64():
    """They are feasible and touch low at p and high at s > p, so by duality nothing is steeper; all in rationals."""
    lines = 0
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        x, y = crowded_points(rng)
        width = 10.0 ** rng.uniform(-6, -1) * max(float(np.ptp(y)), 1e-3)
        tol = _NUDGE * (np.max(np.abs(y)) + width) / 8
        first = [0, 0]
        first[rng.integers(2)] = int(rng.integers(len(x) // 2))
        low, high = y - width, y + width
        _, end, up, down = _reach(x.tolist(), low.tolist(), high.tolist(), *first, tol)
        for line, side in ((up, 1), (down, -1)):
            if line.slope == math.inf:
                continue
            lines += 1
            for j in range(end):
                value = side * (Fraction(line.y) + Fraction(line.slope) * (Fraction(x[j]) - Fraction(line.p)))
                assert j < first[0] or value >= Fraction(low[j]) - Fraction(tol)
                assert j < first[1] or value <= Fraction(high[j]) + Fraction(tol)
    assert lines > 2000


def random_ramps(count, seed):
    """An average of two sums of ramps, normal weights scaled to 1: exact values at its kinks, rounded once."""
    generator = np.random.Generator(np.random.Philox(seed))
    knots, weights = generator.uniform(size=(2, count)), generator.normal(size=(2, count))
    weights = weights / np.abs(weights).sum(axis=1, keepdims=True) / 2
    order = np.argsort(knots, axis=None)
    xs, ys, slope = [0.0], [Fraction(0)], Fraction(0)
    for knot, weight in zip(
        [*knots.ravel()[order].tolist(), 1.0], [*weights.ravel()[order].tolist(), 0.0], strict=True
    ):
        ys.append(ys[-1] + slope * (Fraction(knot) - Fraction(xs[-1])))
        xs.append(knot)
        slope += Fraction(weight)
    return np.array(xs), np.array([float(y) for y in ys])


RAMPS = [
    *((64, 6, 9.0864e-6), (8, 810274, 6.562675044318746e-06), (32, 325601, 3.6027151794349564e-09)),
    *((8, seed, 3e-4 / 3**seed) for seed in range(10)),
    *((64, seed, 2e-5) for seed in range(5)),
]


@pytest.mark.parametrize("grid", [1, 4096])
@pytest.mark.parametrize(("count", "seed", "eps"), RAMPS)
def test_paths_and_windows_of_random_ramps(count, seed, eps, grid):
    """Affine between the knots, so one interval does. The first path once left its tube, the next ones lost windows."""
    xs, ys = random_ramps(count, seed)
    options = {"knots": xs.tolist(), "grid": grid}

    def f(x):
        return np.interp(x, xs, ys)

    path = minimal_link_path(f, 0.0, 1.0, eps, **options)
    for x in map(float, np.union1d(xs, path.breakpoints)):
        assert abs(exact(path.breakpoints, path.values, x) - exact(xs, ys, x)) <= Fraction(eps) * (
            1 + Fraction(1, 10**9)
        )
    above, below = (outer_windows(f, 0.0, 1.0, half, **options) for half in (eps / SHRINK, eps * SHRINK))
    assert len(above) < path.pieces <= len(below) + 1
    assert proves(below, lambda w, x: w.side * (line(w, x) - exact(xs, ys, x)), 0, 1, Fraction(eps * SHRINK))


@pytest.mark.parametrize("side", [-1, 1])
def test_lines_that_leave_at_the_end(side):
    for k in range(0, 400, 3):
        top = side * (1 + k * 2.0**-50)
        arguments = (lambda x, top=top: np.interp(x, [0, 0.5, 1], [0, 0, top]), 0.0, 1.0, 0.25)
        assert len(outer_windows(*arguments, knots=[0.5], grid=1)) <= 1
        assert minimal_link_path(*arguments, knots=[0.5], grid=1).pieces == 2


def reachable_count(xs, ys, eps, columns):
    """The fewest pieces with breakpoints in the columns: dynamic program over intervals of heights, linear programs."""
    fs = np.interp(columns, xs, ys)
    points = np.union1d(columns, xs)
    heights = {0: [(fs[0] - eps, fs[0] + eps)]}
    for pieces in range(1, len(columns)):
        ends = {}
        for i, intervals in heights.items():
            for j in range(i + 1, len(columns)):
                x = points[(points >= columns[i]) & (points <= columns[j])] - columns[i]
                f = np.interp(x + columns[i], xs, ys)
                rows = np.column_stack([np.concatenate([x, -x]), np.repeat([1.0, -1.0], len(x))])
                bounds = np.concatenate([f + eps, eps - f])
                for low, high in intervals:
                    reach = [
                        linprog([sign * x[-1], sign], rows, bounds, bounds=[(None, None), (low, high)])
                        for sign in (1, -1)
                    ]
                    if reach[0].status == 0:
                        ends.setdefault(j, []).append((reach[0].fun, -reach[1].fun))
        if len(columns) - 1 in ends:
            return pieces
        heights = {j: [(min(t)[0], max(u for _, u in t))] for j, t in ends.items()}
    raise AssertionError("the columns contain the knots, so that f itself is a path")


@pytest.mark.parametrize("seed", range(6))
def test_no_path_found_by_linear_programs_is_shorter(seed):
    """A relaxation (hulls of heights) with breakpoints in columns that include those of the path."""
    xs, ys, eps = random_tube(2 * seed)
    path = minimal_link_path(lambda x: np.interp(x, xs, ys), 0.0, 1.0, eps, knots=xs)
    columns = np.union1d(np.linspace(0, 1, 7), path.breakpoints)
    columns = columns[np.concatenate([[True], np.diff(columns) > 1e-9])]
    assert reachable_count(xs, ys, eps * (1 + 1e-7), columns) == path.pieces


# The theorem by brute force: f takes random integer values at 0, ..., LAST. Links join points with half-integer
# coordinates and are constrained at the integers only, so there are more of them than the theorem speaks about.
LAST, EPS, RANGE = 8, 2, 5


def lattice(values):
    """The coordinates, in halves, of points of the tube, and which ordered pairs a link joins."""
    spots = [(2 * c, y) for c, v in enumerate(values) for y in range(2 * (v - EPS), 2 * (v + EPS) + 1)]
    spots += [(x, y) for x in range(1, 2 * LAST, 2) for y in range(-2 * (RANGE + EPS), 2 * (RANGE + EPS) + 1)]
    x, y = np.array(spots).T
    span = x[None, :] - x[:, None]
    link = span > 0
    for c, v in enumerate(values):
        past = 2 * c - x[:, None]
        height = y[:, None] * (span - past) + y[None, :] * past
        link &= (past < 0) | (past > span) | (np.abs(height - 2 * v * span) <= 2 * EPS * span)
    return x, y, link


def lattice_windows(values):
    for p, s in combinations(range(LAST), 2):
        for side in (-1, 1):
            for extra in (0, 1):
                value = values[p] + side * (EPS + Fraction(extra, 2))
                slope = (values[s] - side * EPS - value) / (s - p)
                for e in range(s + 1, LAST + 1):
                    w = Window(side, p, s, e, slope, value)
                    if side * (line(w, e) - values[e]) > EPS:
                        yield w


def claim(w, x, y):
    """Where the theorem says that the points are which paths of k links reach."""
    height = np.array([float(line(w, Fraction(k, 2))) for k in range(2 * LAST + 1)])[x]
    return (x < 2 * w.e) & ((x < 2 * w.s) | (w.side * (y / 2 - height) >= -1e-9))


def induction_steps(without="", trials=100):
    """Random attached pairs under a weakened rule: their number, and how often one link leads out of the claim."""
    rng, steps, wrong = random.Random(0), 0, 0
    for _ in range(trials):
        values = [rng.randint(-RANGE, RANGE) for _ in range(LAST + 1)]
        windows = list(lattice_windows(values))
        x, y, link = lattice(values)
        for v in rng.sample(windows, min(len(windows), 8)):
            options = [w for w in windows if chained(v, w, without) and not detached(v, w)]
            for w in rng.sample(options, min(len(options), 4)):
                end = link[claim(v, x, y)].any(axis=0)
                steps, wrong = steps + 1, wrong + bool((end & ~claim(w, x, y)).any())
    return steps, wrong


def test_induction_step_has_no_counterexample():
    steps, wrong = induction_steps(trials=150)
    assert steps > 1000
    assert wrong == 0


@pytest.mark.parametrize("without", ATTACHED)
def test_every_condition_is_needed(without):
    assert induction_steps(without)[1] > 0


def test_first_and_detached_windows():
    rng, checked = random.Random(1), 0
    for _ in range(100):
        values = [rng.randint(-RANGE, RANGE) for _ in range(LAST + 1)]
        x, y, link = lattice(values)
        for w in lattice_windows(values):
            end = link[x <= 2 * w.p].any(axis=0)
            checked += int(end.sum())
            assert not (end & ~claim(w, x, y)).any()
    assert checked > 10_000


@pytest.mark.parametrize("name", ["silu", "sqrt", "sinc", "bumps", "abs"])
def test_symmetries(name):
    """Reflections, scales and affine functions do not change the count."""
    f, _, a, b, _ = CASES[name]
    pieces = minimal_link_path(f, a, b, 0.003).pieces
    variants = [
        (lambda x: -f(x), a, b, 0.003),
        (lambda x: f(-x), -b, -a, 0.003),
        (lambda x: f(x) + 3 * x - 1, a, b, 0.003),
        (lambda x: 1e6 * f(x), a, b, 3e3),
        (lambda x: f(x * 2.0**20), a / 2**20, b / 2**20, 0.003),
        (lambda x: f(x / 2.0**20), a * 2**20, b * 2**20, 0.003),
    ]
    for variant in variants:
        assert minimal_link_path(*variant).pieces == len(outer_windows(*variant)) + 1 == pieces


def test_narrow_bump_needs_a_knot():
    def f(x):
        return np.exp(-1e12 * (x - 2.0001) ** 2)

    assert outer_windows(f, 0.0, 3.0, 1e-3) == []
    windows = outer_windows(f, 0.0, 3.0, 1e-3, knots=[2.0001])
    assert len(windows) + 1 == minimal_link_path(f, 0.0, 3.0, 1e-3, knots=[2.0001]).pieces == 33


def test_path_evaluates():
    path = Path(np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 1.0]))
    assert path.pieces == 2
    assert path.slopes.tolist() == [2.0, -0.5]
    assert path(np.array([0.5, 2.0])).tolist() == [1.0, 1.5]


@pytest.mark.parametrize("search", [minimal_link_path, outer_windows])
@pytest.mark.parametrize(
    ("f", "a", "b", "delta", "message"),
    [
        (np.exp, 1.0, 1.0, 0.1, "a < b"),
        (np.exp, 0.0, np.inf, 0.1, "a < b"),
        (np.exp, 0.0, 1.0, 0.0, "delta > 0"),
        (np.exp, 0.0, 1.0, 1e-15, "resolution"),
        (lambda x: np.where(x > 0, x, np.nan), 0.0, 1.0, 0.1, "not finite"),
    ],
)
def test_bad_input(search, f, a, b, delta, message):
    with pytest.raises(ValueError, match=message):
        search(f, a, b, delta)
