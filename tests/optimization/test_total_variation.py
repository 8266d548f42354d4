"""Splines with the least total variation of the slope: published values, closed forms, and a quadratic program."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError
from epsnet.checker.kernel import check
from epsnet.core.realize import realize
from epsnet.optimization.total_variation import total_variation_spline


def family(n):
    i = np.arange(1, n + 1)
    x, z = (2 * (i * c - np.floor(i * c)) - 1 for c in (0.6180339887498949, 0.7320508075688772))
    return x, np.sin(3 * x) + np.abs(x) + 0.3 * z


def value(found, x):
    return found.offset + found.slope * x + np.maximum(x[:, None] - found.knots, 0) @ found.coefficients


def objective(found, x, y, beta):
    return 0.5 * np.sum((value(found, x) - y) ** 2) + beta * np.abs(found.coefficients).sum()


@pytest.mark.parametrize(
    ("beta", "optimum", "variation", "knots"),
    [(0.5, 7.501012763030, 7.911458055, 6), (0.05, 3.432197258862, 10.872100932, 11)],
)
def test_published_values(beta, optimum, variation, knots):
    x, y = family(200)
    found = total_variation_spline(x, y, beta)
    assert found.primal.value == pytest.approx(optimum, rel=1e-9)
    assert found.total_variation == pytest.approx(variation, rel=1e-8)
    assert len(found.knots) == knots and set(found.knots) <= set(x)
    assert found.gap.value <= 1e-9 * optimum and found.gap.kind == Kind.VERIFIED
    assert len(check(found.statements).checked) == 3


def test_ten_thousand_points():
    x, y = family(10_000)
    found = total_variation_spline(x, y, 0.5)
    assert found.gap.value <= 1e-9 * found.primal.value
    assert objective(found, x, y, 0.5) == pytest.approx(found.primal.value, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_against_a_quadratic_program(seed):
    """The dual is a box-constrained least squares problem; scipy solves it for points that may coincide."""
    rng = np.random.default_rng(seed)
    x, y, beta = rng.integers(0, 12, size=15) / 4 + 0.1, rng.normal(size=15), 10.0 ** rng.uniform(-2, 1)
    t, place = np.unique(x, return_inverse=True)
    h = np.diff(t)
    second = np.zeros((len(t) - 2, len(t)))
    for k in range(len(t) - 2):
        second[k, k : k + 3] = 1 / h[k], -1 / h[k] - 1 / h[k + 1], 1 / h[k + 1]
    count = np.bincount(place)
    mean = np.bincount(place, y) / count
    # min |W^-1/2 D'z - W^1/2 y|^2 / 2 over |z| <= beta is minus the dual, up to a constant.
    solved = lsq_linear(second.T / np.sqrt(count)[:, None], np.sqrt(count) * mean, (-beta, beta), tol=1e-14)
    optimum = mean @ (count * mean) / 2 - solved.cost + np.sum((y - mean[place]) ** 2) / 2
    found = total_variation_spline(x, y, beta)
    assert found.primal.value == pytest.approx(optimum, rel=1e-9)
    assert found.gap.value <= 1e-11 * found.primal.value + 1e-14
    check(found.statements)


def test_the_network_is_the_spline():
    x, y = family(50)
    found = total_variation_spline(x, y, 0.1)
    grid = np.linspace(-2, 2, 301)
    assert realize(found.network, grid[:, None])[:, 0] == pytest.approx(value(found, grid), abs=1e-12)
    assert found.total_variation == pytest.approx(
        np.abs(np.diff(np.gradient(value(found, grid), grid))).sum(), rel=1e-9
    )


def test_no_change_of_the_data_improves_it():
    """A law: every other spline has a larger objective than the lower bound."""
    x, y = family(60)
    found = total_variation_spline(x, y, 0.2)
    rng = np.random.default_rng(0)
    for _ in range(200):
        knots, bends = rng.uniform(-1, 1, 5), rng.normal(size=5)
        f = rng.normal() + rng.normal() * x + np.maximum(x[:, None] - knots, 0) @ bends
        assert 0.5 * np.sum((f - y) ** 2) + 0.2 * np.abs(bends).sum() >= found.dual.value


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1.0], [3.0]),
        ([1.0, 1.0], [3.0, 5.0]),
        ([1.0, 2.0], [3.0, -5.0]),
        ([1e9, 1e9 + 1], [0.0, 1.0]),
        ([0.0, 1e-9, 1.0], [0.0, 0.0, 1.0]),
        ([0.0, 1.0, 2.0, 3.0], [1.0, 3.0, 5.0, 7.0]),
    ],
)
def test_degenerate_points(x, y):
    """Where an affine function is optimal among the means, the objective is the spread of equal points."""
    found = total_variation_spline(x, y, 10.0)
    t, place = np.unique(x, return_inverse=True)
    mean = np.bincount(place, y) / np.bincount(place)
    residual = mean - np.polyval(np.polyfit(t - t[0], mean, min(1, len(t) - 1)), t - t[0])
    spread = np.sum((np.array(y) - mean[place]) ** 2) / 2 + np.sum(residual**2) / 2
    assert found.primal.value == pytest.approx(spread, abs=1e-9)
    assert found.gap.value <= 1e-8
    check(found.statements)


@pytest.mark.parametrize(
    ("x", "y", "beta"),
    [([], [], 1.0), ([1.0], [np.nan], 1.0), ([1.0, 2.0], [1.0], 1.0), ([1.0], [1.0], 0.0), ([[1.0]], [1.0], 1.0)],
)
def test_refusals(x, y, beta):
    with pytest.raises(DomainError, match=r"Give|Remove|Append"):
        total_variation_spline(x, y, beta)
