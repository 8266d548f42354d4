"""Kawaguchi's landscape: values by an independent route, a search that finds only what is listed, hypotheses named."""

from itertools import combinations

import numpy as np
import pytest

from epsnet.certify.errors import CheckError, DomainError, HypothesisError
from epsnet.optimization.deep_linear import (
    classify,
    critical_point,
    critical_values,
    inertia,
    objective,
    prove,
    rational_critical_points,
    rational_sample,
)
from epsnet.optimization.hessian import spectrum
from epsnet.optimization.landscape import find_critical_point


def family(rows, n=20):
    i = np.arange(1, n + 1.0)
    return np.array([2 * (i * c - np.floor(i * c)) - 1 for c in rows])


X = family((0.6180339887498949, 0.41421356237309515, 0.7320508075688772, 0.23606797749979))
Y = X + family((0.1231056256176605, 0.3166247903554, 0.6457513110645906, 0.8284271247461903))


def test_values_by_canonical_correlation():
    """The eigenvalues of S are the squared singular values of Y P, P the projection on the row space of X."""
    singular = np.linalg.svd(Y @ np.linalg.svd(X, full_matrices=False)[2].T, compute_uv=False) ** 2
    expected = sorted(
        (np.sum(Y**2) - sum(singular[list(chosen)])) / 2 for size in range(4) for chosen in combinations(range(4), size)
    )
    found = critical_values(X, Y, 3)
    assert np.allclose([value.low for value in found], expected, rtol=1e-12)
    assert all(0 <= value.high - value.low <= 4e-15 * value.high for value in found)
    assert found[0].chosen == (0, 1, 2) and len(found) == 15


def test_every_critical_point_found_is_listed():
    """T12: Levenberg-Marquardt from random starts; the exact zero eigenvalues are those of the GL(r) orbit."""
    f, gradient, hessian = objective(X, Y, [4, 3, 4])
    listed = critical_values(X, Y, 3)
    values = np.array([value.low for value in listed])
    generator, seen, worst = np.random.Generator(np.random.Philox(2)), set(), 0.0
    for number in range(50):
        start = generator.normal(size=24) * (0.7 if number % 2 else 1.5)
        found = find_critical_point(gradient, hessian, start)
        assert found.gradient == np.linalg.norm(gradient(found.theta))
        if not found.found:
            continue
        nearest = int(np.abs(values - f(found.theta)).argmin())
        worst = max(worst, abs(values[nearest] - f(found.theta)))
        own = spectrum(hessian(found.theta), tolerance=1e-7)
        seen.add(listed[nearest].chosen)
        assert (own.inertia.negative == 0) == (listed[nearest].chosen == (0, 1, 2))
        if listed[nearest].chosen == (0, 1, 2):
            assert own.inertia.zero == 9
    assert worst <= 1e-12 and (0, 1, 2) in seen and len(seen) >= 6


@pytest.mark.parametrize("widths", [[4, 3, 4], [4, 5, 2, 4], [4, 4, 4]])
def test_constructed_points_are_critical(widths):
    f, gradient, _ = objective(X, Y, widths)
    for value in critical_values(X, Y, min(widths)):
        weights = critical_point(X, Y, widths, value.chosen)
        theta = np.concatenate([w.ravel() for w in weights])
        assert np.abs(gradient(theta)).max() <= 1e-12
        assert f(theta) == pytest.approx(value.low, rel=1e-12)


def test_all_zero_is_a_saddle_that_the_hessian_does_not_see():
    x, y = rational_sample()
    kept, weights = next(rational_critical_points([4, 2, 3, 4]))
    assert kept == () and inertia(weights, x, y) == (0, 4 * 2 + 2 * 3 + 3 * 4, 0)
    f, gradient, _ = objective(x, y, [4, 2, 3, 4])
    theta = np.concatenate([w.ravel() for w in weights])
    best = critical_point(x, y, [4, 2, 3, 4], (0, 1))
    assert f(0.1 * np.concatenate([w.ravel() for w in best])) < f(theta) and not gradient(theta).any()


@pytest.mark.parametrize("widths", [[4, 2, 4], [4, 2, 3, 4], [4, 2, 3, 2, 4]])
def test_ranks_tell_what_the_exact_inertia_tells(widths):
    """Critical points with layers of higher rank than their product, which leave it critical, exactly."""
    x, y = rational_sample()
    generator, seen = np.random.Generator(np.random.Philox(sum(widths))), set()
    for kept, weights in rational_critical_points(widths):
        for _ in range(4):
            size, other = len(kept), [w.copy() for w in weights]
            # Beyond the fitted coordinates each hidden layer may do anything between 0 and 0.
            cut = generator.integers(len(other))
            for number, w in enumerate(other):
                if number != cut and generator.random() < 0.7:
                    free = generator.integers(-1, 2, (len(w) - size * (number < len(other) - 1), w.shape[1])) + 0.0
                    if number == 0:
                        w[size:] = free
                    elif number == len(other) - 1:
                        w[:, size:] = free[:, size:]
                    else:
                        w[size:, size:] = free[:, size:]
            if gradient_norm(other, x, y):
                continue
            found, own = classify(other, x, y), inertia(other, x, y)
            assert found.chosen == kept
            seen.add(found.kind)
            assert (own.negative > 0) == (found.kind == "strict saddle"), (kept, other, own)
            assert (found.kind == "global minimum") == (kept == tuple(range(min(widths))))
    assert len(seen) == (2 if len(widths) == 3 else 3)


def gradient_norm(weights, x, y):
    theta = np.concatenate([w.ravel() for w in weights])
    return np.abs(objective(x, y, [4, *(len(w) for w in weights)])[1](theta)).max()


def test_classification_of_what_a_search_finds():
    f, gradient, hessian = objective(X, Y, [4, 3, 4])
    generator = np.random.Generator(np.random.Philox(2))
    for _ in range(6):
        found = find_critical_point(gradient, hessian, generator.normal(size=24))
        if found.found:
            kind = classify([found.theta[:12].reshape(3, 4), found.theta[12:].reshape(4, 3)], X, Y).kind
            assert kind == ("global minimum" if abs(f(found.theta) - critical_values(X, Y, 3)[0].low) < 1e-9 else
                            "strict saddle")  # fmt: skip
    with pytest.raises(DomainError, match="does not vanish"):
        classify([np.eye(4), np.eye(4)], X, Y)
    with pytest.raises(DomainError, match="convex"):
        classify([np.eye(4)], X, Y)


@pytest.mark.parametrize("widths", [[4, 3, 4], [4, 2, 4]])
def test_exact_inertia_is_that_of_floats_with_a_gap(widths):
    x, y = rational_sample()
    hessian = objective(x, y, widths)[2]
    for _, weights in rational_critical_points(widths):
        own = spectrum(hessian(np.concatenate([w.ravel() for w in weights])))
        assert own.inertia == inertia(weights, x, y) and own.gap > 1e6


def test_derivatives_by_differences():
    f, gradient, hessian = objective(X, Y, [4, 2, 3, 4])
    theta = np.random.Generator(np.random.Philox(4)).normal(size=26)
    slope, bend, h = gradient(theta), hessian(theta), 1e-5
    steps = h * np.eye(26)
    assert np.allclose(slope, [(f(theta + s) - f(theta - s)) / (2 * h) for s in steps], rtol=1e-6, atol=1e-7)
    assert np.allclose(bend, [(gradient(theta + s) - gradient(theta - s)) / (2 * h) for s in steps], atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.vstack([X[:3], X[0] + X[1]]), Y, "X X.T is singular"),
        (X[:, :3], Y[:, :3], "X X.T is singular"),
        (X[:2], Y, "m <= d"),
        (X, np.vstack([Y[:3], 2 * Y[0]]), "less than full rank"),
        (X, np.zeros_like(Y), "less than full rank"),
        (np.eye(3), np.diag([2.0, 1.0, 1.0]), "multiple eigenvalue"),
    ],
    ids=["dependent inputs", "few examples", "many outputs", "dependent outputs", "zeros", "repeated"],
)
def test_hypotheses_are_named(x, y, message):
    with pytest.raises(HypothesisError, match=message):
        critical_values(x, y, 2)


def test_no_critical_point_without_the_hypothesis():
    for x, y in ((np.vstack([X[:3], X[0] + X[1]]), Y), (X[:, :3], Y[:, :3])):
        with pytest.raises(HypothesisError, match=r"X X\^T is singular"):
            critical_point(x, y, [4, 2, 4], (0,))


@pytest.mark.parametrize("scale", [1e-200, 1e150, 1e300])
def test_critical_points_of_any_scale(scale):
    """Inputs and outputs of one scale have the same critical points."""
    found, scaled = (critical_point(s * X, s * Y, [4, 2, 4], (0, 1)) for s in (1.0, scale))
    for one, other in zip(found, scaled, strict=True):
        assert np.abs(one) == pytest.approx(np.abs(other), abs=1e-12)


def test_dependent_rows_that_float64_cannot_see():
    """Rank is decided in rationals: 1 + 2^-52 makes a difference."""
    x = np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-52]])
    assert len(critical_values(x, x * [[1.0], [2.0]], 2)) == 4
    with pytest.raises(HypothesisError, match="singular"):
        critical_values(np.ones((2, 2)), x, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critical_values(X, Y[:, :5], 2), "shapes"),
        (lambda: critical_values(X * np.nan, Y, 2), "NaN"),
        (lambda: critical_values(X, Y, -1), "negative"),
        (lambda: critical_point(X, Y, [4, 4], (0,)), "do not fit"),
        (lambda: critical_point(X, Y, [4, 2, 4], (0, 1, 2)), "do not fit"),
        (lambda: list(rational_critical_points([3, 4])), "Begin and end"),
        (lambda: critical_values(X + 1j, Y, 2), "array of numbers"),
        (lambda: inertia([], X, Y), "do not map"),
        (lambda: inertia([np.ones(4)], X, Y), "do not map"),
        (lambda: inertia([np.ones((4, 3))], X, Y), "do not map"),
        (lambda: inertia([np.full((4, 4), np.nan)], X, Y), "finite"),
        (lambda: prove([np.ones((2, 4)), np.ones((3, 2))], X, Y), "do not map"),
        (lambda: prove([np.full((4, 4), np.inf)], X, Y), "infinity"),
        (lambda: prove([np.ones((4, 4))], 1e200 * X, Y), "beyond float64"),
        (lambda: objective(X, Y, [4, 0, 4]), "do not map"),
        (lambda: objective(X, Y, [4]), "do not map"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(DomainError, match=message):
        call()


def test_too_large_for_a_proof():
    with pytest.raises(CheckError, match="200 weights"):
        prove([np.zeros((20, 20)), np.zeros((1, 20))], np.eye(20), np.ones((1, 20)))
