"""Implicit bias: limits in rationals, margins by brute force, the 1/log t constant by an independent flow."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import fmpq_mat

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.checker.kernel import check_certificate
from epsnet.core.deep_linear import rational
from epsnet.optimization.implicit_bias import (
    _wolfe,
    descent_margins,
    flow_errors,
    least_squares_limit,
    max_margin,
    slow_turn,
)

F = Fraction


def separable(seed, n=30, gap=0.3):
    generator = np.random.Generator(np.random.Philox(seed))
    x, normal = generator.normal(size=(n, 2)), np.array([0.6, 0.8])
    y = np.where(x @ normal > 0, 1.0, -1.0)
    return x + gap * y[:, None] * normal, y


def test_least_squares_by_exact_descent():
    """Rank 2 of 3: descent in rationals, from a start off the row space, approaches the limit by the factor."""
    x = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    y, start, step = np.array([1.0, 2.0, 0.0]), np.array([1.0, -1.0, 3.0]), 0.125
    found = least_squares_limit(x, y, step, start)
    # Over the rationals: the projection of the start to the kernel (1, 1, -1) plus the least-norm minimizer.
    kernel = np.array([F(1), F(1), F(-1)])
    onto = sum(k * F(int(s)) for k, s in zip(kernel, start, strict=True)) / 3 * kernel
    gram = fmpq_mat([[2, 1], [1, 2]])  # the first two columns of X^T span the row space; solve in that basis
    basis = rational([[1, 0, 1], [0, 1, 1]])
    design = fmpq_mat((rational(x) @ basis.T).tolist())
    normal = design.transpose() * design
    solution = (normal.inv() * design.transpose() * fmpq_mat(rational(y[:, None]).tolist())).tolist()
    least = np.array([row[0] for row in solution], dtype=object) @ basis
    exact = [float(F(int(v.p), int(v.q)) + o) for v, o in zip(least, onto, strict=True)]
    assert gram.rank() == 2 and found.limit == pytest.approx(exact, abs=1e-14)
    w, distance = start.copy(), np.linalg.norm(start - found.limit)
    for k in range(1, 200):
        w = w - step * x.T @ (x @ w - y)
        assert np.linalg.norm(w - found.limit) <= found.factor**k * distance * (1 + 1e-9) + 1e-13
    assert w == pytest.approx(found.limit, abs=1e-10)
    assert found.factor == pytest.approx(max(abs(1 - step * s) for s in (1, 9)))


@pytest.mark.parametrize(("n", "d", "rank"), [(5, 9, 5), (9, 5, 5), (8, 8, 3)])
def test_the_limit_carries_its_certificate(n, d, rank):
    """In the row space and without a gradient: with both numbers small nothing else than the least-norm fit is near."""
    generator = np.random.Generator(np.random.Philox(n))
    x = generator.normal(size=(n, rank)) @ generator.normal(size=(rank, d))
    y, start = generator.normal(size=n), generator.normal(size=d)
    found = least_squares_limit(x, y, 1 / np.linalg.norm(x, 2) ** 2, start)
    assert max(found.off_row_space, found.gradient) < 1e-13 * (1 + np.linalg.norm(x, 2) ** 2)
    assert found.limit == pytest.approx(start + np.linalg.pinv(x, rcond=1e-12) @ (y - x @ start), abs=1e-12)


@pytest.mark.parametrize("step", [0.0, -1.0, 2 / 9 + 1e-9, 5.0, np.nan])
def test_steps_that_do_not_converge(step):
    with pytest.raises(HypothesisError, match=r"2/s\^2 = 0.222222"):
        least_squares_limit([[1, 0, 1], [0, 1, 1], [1, 1, 2]], [1, 2, 0], step)


@pytest.mark.parametrize("seed", range(5))
def test_margins_against_all_directions(seed):
    x, y = separable(seed)
    found = max_margin(x, y)
    angles = np.linspace(0, 2 * np.pi, 200_001)
    margins = (np.stack([np.cos(angles), np.sin(angles)], axis=1) @ (x * y[:, None]).T).min(axis=1)
    grid = np.pi / 200_000 * np.linalg.norm(x, axis=1).max()
    assert margins.max() <= found.margin.value and found.largest.value <= margins.max() + grid
    assert found.largest.value - found.margin.value <= 4e-16 * found.largest.value + 1e-16
    assert found.margin.kind is found.largest.kind is Kind.VERIFIED
    check_certificate(found.statements.network, found.statements.certificate)
    # The direction itself, against the grid of angles.
    best = angles[margins.argmax()]
    off = abs((np.arctan2(*found.classifier[::-1]) - best + np.pi) % (2 * np.pi) - np.pi)
    assert 0 <= found.angle <= 1e-6 and off <= found.angle + np.pi / 100_000
    # Karush-Kuhn-Tucker, with duplicates of everything as well.
    products = (x @ found.classifier) * y
    assert products.min() == pytest.approx(1, abs=1e-12)
    assert found.weights.sum() == pytest.approx(1) and (found.weights >= 0).all()
    assert np.abs(products[found.weights > 0] - 1).max() <= 1e-12
    twice = max_margin(np.vstack([x, x]), np.concatenate([y, y]))
    assert twice.classifier == pytest.approx(found.classifier, rel=1e-13)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_nearest_points_exactly(dimension):
    """On grids full of ties and duplicates: alpha is convex, and no point is on the near side of the plane."""
    generator = np.random.Generator(np.random.Philox(dimension))
    for _ in range(20):
        points = rational(generator.integers(-2, 4, (12, dimension)))
        for start in ([], [0, 1], generator.permutation(12)[:4].tolist()):
            alpha = _wolfe(points, start)
            nearest = alpha @ points
            assert min(alpha) >= 0 and sum(alpha) == 1
            assert min(points @ nearest) == nearest @ nearest


def test_many_dimensions_and_tiny_margins():
    generator = np.random.Generator(np.random.Philox(9))
    x, y = generator.normal(size=(60, 40)), np.where(generator.random(60) < 0.5, 1.0, -1.0)
    found = max_margin(x, y)
    assert found.largest.value == pytest.approx(found.margin.value, rel=1e-14)
    tiny = max_margin([[1.0, 1e-9], [-1.0, 1e-9], [1.0, -1e-9]], [1, 1, -1])
    # The hull of (1, d), (-1, d), (-1, d) is at the distance d.
    assert tiny.margin.value <= 1e-9 <= tiny.largest.value <= 1e-9 * (1 + 1e-6)


def test_more_support_vectors_than_are_solved_in_rationals():
    """The rows of [I, -1] with label 1 and one of label -1: every point supports the optimum."""
    n = 120
    x = np.vstack([np.eye(n), -np.eye(n)[:1] - 1e-3 * np.eye(n)[1:2]])
    y = np.append(np.ones(n), -1.0)
    found = max_margin(x, y)
    assert np.count_nonzero(found.weights) > 100
    assert found.margin.value == pytest.approx(n**-0.5, rel=1e-9)
    assert found.margin.value <= found.largest.value <= found.margin.value * (1 + 1e-9)


def test_no_separation_is_proved():
    x = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(HypothesisError, match=r"0 = 1 y_0 x_0\. "):
        max_margin(x, [1, 1, -1, -1])  # x_0 = 0 is never on one side
    shifted = [[*row, 1.0] for row in x]
    with pytest.raises(HypothesisError) as raised:
        max_margin(shifted, [1, 1, -1, -1])
    assert "0 = 1/4 y_0 x_0 + 1/4 y_1 x_1 + 1/4 y_2 x_2 + 1/4 y_3 x_3" in str(raised.value)
    with pytest.raises(HypothesisError, match=r"1/2 y_0 x_0 \+ 1/2 y_2 x_2"):
        max_margin([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]], [1, 1, -1])


def test_says_what_is_wrong():
    x = np.eye(2)
    with pytest.raises(HypothesisError, match=r"class \+1"):
        max_margin(x, [1, 1])
    with pytest.raises(HypothesisError, match="All points are 0"):
        max_margin(np.zeros((2, 2)), [1, -1])
    for inputs, labels in [(x, [1, 0]), (x, [1]), ([1.0, 2.0], [1, -1]), (x * np.nan, [1, -1]), ("ab", [1, -1]),
                           (np.zeros((0, 2)), []), ([[1e-320], [-1e-320]], [1, -1]),
                           (np.ones((3, 70_000)), [1, -1, 1])]:  # fmt: skip
        with pytest.raises(DomainError):
            max_margin(inputs, labels)
    with pytest.raises(DomainError, match="All inputs are 0"):
        least_squares_limit(np.zeros((2, 2)), [1, 2], 0.1)


@pytest.mark.parametrize("seed", [1, 2, 3, 7])
def test_offset_and_constant(seed):
    x, y = separable(seed)
    found = slow_turn(x, y)
    z = x * y[:, None]
    tight = z[np.abs(z @ found.classifier - 1) < 1e-9]
    assert np.exp(-tight @ found.offset) @ tight == pytest.approx(found.classifier, abs=1e-11)
    places = np.array([50.0, 100.0, 200.0, 400.0, 800.0])
    scaled = flow_errors(x, y, places) * places
    assert abs(scaled[-1] / found.constant - 1) < 0.01
    # The deviation falls like 1/log t.
    assert np.diff(np.log(np.abs(scaled / found.constant - 1))) == pytest.approx(np.full(4, -np.log(2)), abs=0.1)


def test_the_flow_by_another_integrator():
    """w' = sum z/(1 + exp(z . w)) in t itself, by a Taylor method with many digits."""
    x, y = np.array([[1.0, 0.5], [0.5, -1.0], [-1.0, -2.0]]), np.array([1.0, 1.0, -1.0])
    z = [[mpmath.mpf(float(v)) for v in row] for row in x * y[:, None]]

    def rate(_, w):
        pulls = [1 / (1 + mpmath.exp(p[0] * w[0] + p[1] * w[1])) for p in z]
        return [sum(c * p[k] for c, p in zip(pulls, z, strict=True)) for k in (0, 1)]

    with mpmath.workdps(20):
        solution = mpmath.odefun(rate, 0, [0, 0], tol=1e-12)
        unit = max_margin(x, y).classifier
        unit = unit / np.linalg.norm(unit)
        for t in (1, 5):
            w = np.array([float(v) for v in solution(t)])
            expected = np.linalg.norm(w / np.linalg.norm(w) - unit)
            assert flow_errors(x, y, [np.log1p(t)])[0] == pytest.approx(expected, abs=1e-8)


def test_no_constant():
    with pytest.raises(HypothesisError, match="do not span"):
        slow_turn([[1.0, 0.0], [-1.0, 0.0], [3.0, 1.0]], [1, -1, 1])
    # The nearest point is (1, 0) itself: (1, 1) is as near to the plane, but has no weight.
    with pytest.raises(HypothesisError, match="no finite constant"):
        slow_turn([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]], [1, 1, -1])


@pytest.mark.parametrize("seed", [2, 4, 7])
def test_normalized_descent_is_faster(seed):
    x, y = separable(seed)
    best = max_margin(x, y).largest.value
    fast, slow = (best - descent_margins(x, y, 8000, normalized=normalized)[-1] for normalized in (True, False))
    assert 0 < fast < 0.15 * slow


def test_scales_and_times_that_do_not_work():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.5]]), np.array([1.0, 1.0, -1.0])
    for call in (
        lambda: flow_errors(1e150 * x, y, [1.0]),
        lambda: flow_errors(1e-20 * x, y, [1.0]),
        lambda: slow_turn(1e200 * x, y),
        lambda: least_squares_limit(1e-300 * x, y, 1.0),
    ):
        with pytest.raises(DomainError, match="Scale the inputs"):
            call()
    for times in ([], [2.0, 1.0], [-1.0, 1.0], [np.nan], [np.inf], 1.0):
        with pytest.raises(DomainError, match="do not increase"):
            flow_errors(x, y, times)
    for start in ([1.0, 2.0, 3.0], [[1.0, 2.0]]):
        with pytest.raises(DomainError, match="one for each"):
            least_squares_limit(x, y, 0.1, start)
    with pytest.raises(DomainError, match="NaN"):
        least_squares_limit(x, y, 0.1, [np.nan, 0.0])
    for normalized in (False, True):
        for inputs, steps in ((0 * x, 5), (x, 0)):
            with pytest.raises(DomainError, match="no steps, or all inputs are 0"):
                descent_margins(inputs, y, steps, normalized=normalized)
        # The gradient at 0 vanishes for these, so nothing moves.
        cross = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
        assert (descent_margins(cross, [1, 1, -1, -1], 3, normalized=normalized) == 0).all()
        plain = descent_margins(x, y, 20, normalized=normalized)
        for scale in (2.0**-900, 2.0**900):
            assert (descent_margins(scale * x, y, 20, normalized=normalized) == scale * plain).all()
