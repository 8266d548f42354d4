"""Norm bounds against fifty digits, all signs, and matrices with known norms."""

from __future__ import annotations

import itertools
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.statistics.margins import certain_margins, frobenius_norm, matrices, spectral_norm
from epsnet.statistics.norm_bounds import (
    frobenius_complexity,
    linear_complexity,
    linear_rademacher,
    ramp_risk,
    risk_bound,
    spectral_complexity,
    trace_bound,
)

mp = mpmath.mp
RANDOM = np.random.default_rng(0)
TABLES = [RANDOM.standard_normal(shape) for shape in ((16, 8), (16, 16), (4, 16))]
SIZE, MARGIN, N = 57.25, 0.375, 2000


def test_rademacher_complexities_of_the_report():
    points = np.random.default_rng(0).standard_normal((12, 5))
    assert float(linear_rademacher(points)) == pytest.approx(0.5530272159165, rel=1e-12)
    assert float(linear_rademacher(points, norm="L1")) == pytest.approx(0.4080830507583, rel=1e-12)
    assert trace_bound(points) == pytest.approx(0.5814494040005, rel=1e-12)
    assert float(linear_rademacher(points).rad()) < 1e-30


def test_rademacher_by_all_signs():
    points = np.random.default_rng(1).standard_normal((7, 3))
    signs = np.array(list(itertools.product((1, -1), repeat=7)))
    assert float(linear_rademacher(points)) == pytest.approx(
        np.linalg.norm(signs @ points, axis=1).mean() / 7, rel=1e-13
    )
    with pytest.raises(DomainError, match="n <= 16"):
        linear_rademacher(np.zeros((17, 2)))


def norms(table):
    rows = [mp.sqrt(mpmath.fsum(mpmath.mpf(v) ** 2 for v in row)) for row in table.tolist()]
    return (
        rows,
        mp.sqrt(mpmath.fsum(r**2 for r in rows)),
        max(mpmath.svd_r(mpmath.matrix(table.tolist()), compute_uv=False)),
    )


def centered(table):
    rows = mpmath.matrix(table.tolist())
    k, p = table.shape
    return [[rows[i, j] - mpmath.fsum(rows[c, j] for c in range(k)) / k for j in range(p)] for i in range(k)]


def next_power(value):
    number = mpmath.ceil(4 * mpmath.log(value, 2))
    return mpmath.mpf(2) ** (number / 4), mpmath.log((mp.pi**2 / 3 - 1) * (abs(number) + 1) ** 2)


@pytest.mark.parametrize("classes", [2, 4])
def test_formulas_in_fifty_digits(classes):
    """The three complexities, the cost of the grids and the bound of the risk, to a relative 1e-10."""
    tables = [*TABLES[:2], TABLES[2][:classes]]
    with mpmath.workdps(50):
        last = centered(tables[-1])
        rows = [mp.sqrt(mpmath.fsum(v**2 for v in row)) for row in last]
        if classes == 2:  # the norm of the difference
            rows = [2 * row for row in rows]
        size, margin, n = map(mpmath.mpf, (SIZE, MARGIN, N))

        whole = rows[0] if classes == 2 else mp.sqrt(mpmath.fsum(row**2 for row in rows))
        ratio, nats = next_power(whole / margin)
        linear = (1 if classes == 2 else 2 * mp.sqrt(classes)) * ratio * size / n, nats

        ratio, nats = next_power(norms(tables[0])[1] * norms(tables[1])[1] * max(rows) / margin)
        depth = mp.sqrt(6 * mp.log(2)) + 1
        frobenius = (1 if classes == 2 else 2 * classes) * depth * ratio * size / n, nats

        product, total, cost = 1 / margin, mpmath.mpf(0), mpmath.mpf(0)
        for table in tables:
            lengths, _, largest = norms(table)
            ratio, nats = next_power(mpmath.fsum(lengths) / largest)
            product, total, cost = product * largest, total + ratio ** (mpmath.mpf(2) / 3), cost + nats
        ratio, nats = next_power(product)
        radius = 2 * size * mp.sqrt(mp.log(2 * 16**2)) * ratio * total ** (mpmath.mpf(3) / 2)
        spectral = 4 / n ** (mpmath.mpf(3) / 2) + 18 * radius * mp.log(n) / n, cost + nats

        found = [
            linear_complexity(tables[-1], SIZE, MARGIN, N),
            frobenius_complexity(tables, SIZE, MARGIN, N),
            spectral_complexity(tables, SIZE, MARGIN, N),
        ]
        for (complexity, nats), (exact, exact_nats) in zip(found, (linear, frobenius, spectral), strict=True):
            assert abs(float(complexity) / exact - 1) <= 1e-10
            assert 0 <= nats / exact_nats - 1 <= 1e-10
            risk = mpmath.mpf(0.25) + 2 * exact + 3 * mp.sqrt((mp.log(2 / mpmath.mpf("0.05")) + exact_nats) / (2 * n))
            value = risk_bound(0.25, complexity, nats, N, Fraction(1, 20))
            assert 0 <= value / risk - 1 <= 1e-10


@pytest.mark.parametrize("seed", range(4))
def test_spectral_norms_are_certain_and_close(seed):
    random = np.random.default_rng(seed)
    shape = ((5, 3), (3, 7), (6, 6), (1, 4))[seed]
    table = random.standard_normal(shape) * 10.0 ** random.integers(-12, 12)
    if seed == 2:
        table[:, 1:] = table[:, :1]  # rank one
    with mpmath.workdps(40):
        exact = max(mpmath.svd_r(mpmath.matrix(table.tolist()), compute_uv=False))
        assert 0 <= spectral_norm(table) / exact - 1 <= 1e-12
        square = mpmath.fsum(mpmath.mpf(v) ** 2 for v in table.ravel().tolist())
        assert 0 <= frobenius_norm(table) / mp.sqrt(square) - 1 <= 1e-13
    assert spectral_norm(np.zeros((2, 3))) <= 1e-13


def test_a_network_with_biases_is_the_one_of_the_inputs_and_one():
    random = np.random.default_rng(3)
    network = Network.from_layers(
        [(random.standard_normal((4, 3)), random.standard_normal(4)), (random.standard_normal((2, 4)), [0.5, -1.0])]
    )
    first, second = matrices(network)
    x = random.standard_normal((10, 3))
    extended = np.hstack([x, np.ones((10, 1))])
    assert np.maximum(extended @ first.T, 0) @ second.T == pytest.approx(realize(network, x), rel=1e-13)
    assert [table.shape for table in matrices(Network.from_layers([(np.eye(3), np.zeros(3))]))] == [(3, 3)]


def test_margins_are_lower_bounds():
    random = np.random.default_rng(4)
    network = Network.from_layers([(random.standard_normal((3, 5)), np.zeros(3))])
    x, labels = random.standard_normal((50, 5)), random.integers(0, 3, 50)
    values = realize(network, x)
    own = values[np.arange(50), labels].copy()
    values[np.arange(50), labels] = -np.inf
    found, plain = certain_margins(network, x, labels), own - values.max(axis=1)
    assert (found <= plain).all()
    assert found == pytest.approx(plain, abs=1e-12)
    assert (certain_margins(network, x, labels, 1e-3) < found - 1e-4).all()


def test_ramp():
    assert ramp_risk(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, -np.inf]), 1.0) == pytest.approx(3.5 / 6, rel=1e-12)


def test_the_complexity_bounds_the_supremum():
    """The linear bound, before the grid, is at least the exact complexity of the unit ball times its radius."""
    points = np.random.default_rng(5).standard_normal((10, 4))
    with ball_arithmetic():
        bound, _ = linear_complexity(np.array([[0.0] * 4, [1.0, 0, 0, 0]]), frobenius_norm(points), 1.0, 10)
        assert bound >= linear_rademacher(points)
