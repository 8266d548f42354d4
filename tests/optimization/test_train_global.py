"""Global training: published optima, enumeration of all activation patterns, and certificates of arbitrary weights."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError, HypothesisError, MissingExtraError
from epsnet.checker.kernel import check, check_certificate
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.optimization.certificate import certify, certify_network
from epsnet.optimization.train_global import train_global
from epsnet.optimization.two_layer import TwoLayerProblem

clarabel: Any = pytest.importorskip("clarabel")


def fraction(t):
    return t - np.floor(t)


def family(n, d):
    """The data of the tests T1 to T4: deterministic, with points of three on a line for d = 3."""
    i = np.arange(1, n + 1)
    x1, x2, z = (2 * fraction(i * c) - 1 for c in (0.6180339887498949, 0.41421356237309515, 0.7320508075688772))
    if d == 2:
        return np.column_stack([x1, np.ones(n)]), np.sin(3 * x1) + np.abs(x1) + 0.3 * z
    return np.column_stack([x1, x2, np.ones(n)]), np.sin(3 * x1) * np.cos(2 * x2) + 0.3 * z


def published_t5():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 2))
    x[:, -1] = 1
    return x, rng.normal(size=40)


@pytest.mark.parametrize(
    ("data", "beta", "optimum"),
    [
        (family(200, 2), 0.5, 7.856442607502),
        (family(40, 3), 0.5, 2.895315960623),
        (published_t5(), 0.1, 9.571319398472),
    ],
    ids=["n=200 d=2", "n=40 d=3", "random n=40 d=2"],
)
def test_published_optima(data, beta, optimum):
    found = train_global(*data, beta)
    assert found.certificate.primal.value == pytest.approx(optimum, rel=1e-9)
    assert found.certificate.relative_gap <= 1e-9
    assert found.certificate.gap.kind == Kind.VERIFIED
    assert check(found.certificate.statements).checked == tuple(
        node.claim for node in found.certificate.statements.certificate.nodes
    )
    assert found.problem.objective(found.hidden, found.outer) == pytest.approx(optimum, rel=1e-9)
    assert np.linalg.norm(found.hidden, axis=1) == pytest.approx(np.abs(found.outer), rel=1e-12)


def test_the_network_is_the_one_of_the_weights():
    x, y = family(40, 3)
    found = train_global(x, y, 0.5)
    network = found.certificate.statements.network
    assert realize(network, x)[:, 0] == pytest.approx(found.problem.outputs(found.hidden, found.outer), abs=1e-12)


def all_patterns(x):
    """Activation patterns of generic directions, by brute force over a grid of the circle or random points."""
    if x.shape[1] == 2:
        angle = np.linspace(0, 2 * np.pi, 20011)
        directions = np.column_stack([np.cos(angle), np.sin(angle)])
    else:
        directions = np.random.default_rng(0).normal(size=(20000, x.shape[1]))
    return np.unique(directions @ x.T > 0, axis=0)


def enumerated_optimum(x, y, beta):
    """Solve the convex program of Pilanci and Ergen with all patterns and all facets at once."""
    patterns, (n, d) = all_patterns(x), x.shape
    blocks = [(s, np.where(p, 1.0, -1.0)) for s in (1, -1) for p in patterns]
    count = len(blocks)
    features = np.hstack([s * np.diag((g > 0) * 1.0) @ x for s, g in blocks])
    quadratic = np.zeros((count * (d + 1),) * 2)
    quadratic[: count * d, : count * d] = features.T @ features
    linear = np.concatenate([-features.T @ y, np.full(count, beta)])
    facets = sparse.block_diag([-np.diag(g) @ x for _, g in blocks])
    facets = sparse.hstack([facets, sparse.csc_matrix((n * count, count))])
    cone = np.zeros((count * (d + 1), count * (d + 1)))
    for k in range(count):
        cone[k * (d + 1), count * d + k] = -1
        cone[k * (d + 1) + 1 : (k + 1) * (d + 1), k * d : (k + 1) * d] = -np.eye(d)
    matrix = sparse.vstack([facets, sparse.csc_matrix(cone)]).tocsc()
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    kinds = [clarabel.NonnegativeConeT(n * count)] + [clarabel.SecondOrderConeT(d + 1)] * count
    solver = clarabel.DefaultSolver(
        sparse.csc_matrix(np.triu(quadratic)), linear, matrix, np.zeros(matrix.shape[0]), kinds, settings
    )
    return solver.solve().obj_val + y @ y / 2


@pytest.mark.parametrize(("n", "d", "seed"), [(4, 2, 0), (7, 2, 1), (9, 2, 2), (5, 3, 3), (6, 3, 4)])
def test_against_enumeration_and_random_weights(n, d, seed):
    """dual <= optimum <= primal for any weights, and equality at the end."""
    rng = np.random.default_rng(seed)
    x, y, beta = rng.normal(size=(n, d)), rng.normal(size=n), float(rng.uniform(0.02, 0.5))
    optimum = enumerated_optimum(x, y, beta)
    found = train_global(x, y, beta)
    assert found.certificate.primal.value == pytest.approx(optimum, rel=1e-8)
    assert found.certificate.relative_gap <= 1e-9
    for width in (1, 2, 5, 20):
        w, a = rng.normal(size=(width, d)) * rng.uniform(0.05, 1), rng.normal(size=width)
        bracket = certify(x, y, w, a, beta)
        assert bracket.dual.value <= optimum + 1e-9
        assert bracket.primal.value >= optimum - 1e-9
        assert bracket.primal.value == pytest.approx(
            0.5 * np.sum((np.maximum(x @ w.T, 0) @ a - y) ** 2) + beta / 2 * (np.sum(w**2) + a @ a)
        )
        assert bracket.gap.limit == bracket.primal.limit - bracket.dual.limit
        check(bracket.statements)


def test_the_violating_neuron_lowers_the_objective():
    x, y = family(40, 3)
    w, a = np.array([[0.3, -0.2, 0.1]]), np.array([0.4])
    bracket = certify(x, y, w, a, 0.5)
    assert bracket.violation > 0 and np.linalg.norm(bracket.neuron) == pytest.approx(1)
    problem = TwoLayerProblem(x, y, 0.5)
    step = 0.1
    more = problem.objective(np.vstack([w, step * bracket.neuron]), np.append(a, step * bracket.sign))
    assert more < problem.objective(w, a)


def test_a_network_with_biases():
    rng = np.random.default_rng(5)
    points, y = rng.uniform(-1, 1, size=(15, 1)), rng.normal(size=15)
    w, b, a = rng.normal(size=(4, 1)), rng.normal(size=4), rng.normal(size=(1, 4))
    network = Network.from_layers([(w, b), (a, np.zeros(1))])
    x = np.column_stack([points, np.ones(15)])
    bracket = certify_network(TwoLayerProblem(x, y, 0.1), network)
    plain = certify(x, y, np.column_stack([w, b]), a[0], 0.1)
    assert bracket.primal.value == plain.primal.value and bracket.dual.value == plain.dual.value
    assert bracket.primal.network == network.sha256
    check(bracket.statements)
    other = Network.from_layers([(w, b), (a, np.ones(1))])
    with pytest.raises(DomainError, match="two-layer"):
        certify_network(TwoLayerProblem(x, y, 0.1), other)


def degenerate():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(8, 2)), rng.normal(size=8)
    grid = np.array([[i, j, 1.0] for i in range(3) for j in range(3)])
    yield "duplicates", x[[0, 1, 1, 1, 2, 3, 3, 4]], y
    yield "zero rows", np.vstack([x[:5], np.zeros((3, 2))]), y
    yield "opposite and parallel", np.vstack([x[:3], -x[:3], 2 * x[:2]]), y
    yield "on a line through 0", np.outer(y, [1.0, 2.0, 3.0]), x[:, 0]
    yield "on a grid", grid, rng.normal(size=9)
    yield "one point", np.array([[1.0, 2.0]]), np.array([1.5])
    yield "fewer points than dimensions", rng.normal(size=(2, 4)), y[:2]
    yield "one dimension", x[:, :1], y
    yield "all zero", np.zeros((3, 2)), y[:3]
    yield "labels zero", x, np.zeros(8)
    yield "out of scale", 1e-8 * x, 1e6 * y
    yield "beta too large for any neuron", x, 1e-3 * y


@pytest.mark.parametrize("case", list(degenerate()), ids=lambda case: case[0])
def test_degenerate_data(case):
    """The bracket is closed and contains the objective of networks that were trained by other means."""
    _, x, y = case
    beta = 0.05 * max(1e-2, float(np.abs(x).max() * np.abs(y).max()))
    found = train_global(x, y, beta)
    primal, dual = found.certificate.primal.value, found.certificate.dual.value
    assert primal - dual <= 1e-7 * max(primal, 1e-300)
    check(found.certificate.statements)
    rng = np.random.default_rng(7)
    for _ in range(20):
        v = rng.normal(size=(3, x.shape[1]))
        w, a = v * rng.uniform(0, 1, (3, 1)), rng.normal(size=3)
        assert found.problem.objective(w, a) >= dual * (1 - 1e-12)


def test_one_point_in_closed_form():
    """min (f - y)^2/2 + beta |v| with f = |x| |v| has |v| = (|x| |y| - beta)/|x|^2."""
    x, y, beta = np.array([[3.0, 4.0]]), np.array([-2.0]), 0.5
    size = (5 * 2 - beta) / 25
    found = train_global(x, y, beta)
    assert found.certificate.primal.value == pytest.approx((5 * size - 2) ** 2 / 2 + beta * size, rel=1e-10)
    assert found.certificate.relative_gap <= 1e-9


@pytest.mark.parametrize(
    ("x", "y", "beta", "message"),
    [
        ([[1.0]], [1.0], 0.0, "positive"),
        ([[1.0]], [1.0], -1.0, "positive"),
        ([[1.0]], [1.0], np.nan, "NaN"),
        ([[1.0]], [1.0], [1.0, 1.0], "positive number"),
        ([[1j]], [1.0], 1.0, "array of numbers"),
        ([[np.nan]], [1.0], 1.0, "NaN"),
        ([[1.0]], [np.inf], 1.0, "NaN"),
        ([[1.0]], [1.0, 2.0], 1.0, "shape"),
        (np.zeros((0, 2)), [], 1.0, "shape"),
        ([1.0], [1.0], 1.0, "shape"),
        ([[1e200]], [1.0], 1.0, "Scale"),
    ],
)
def test_bad_problems(x, y, beta, message):
    with pytest.raises(DomainError, match=message):
        train_global(x, y, beta)
    with pytest.raises(DomainError, match=message):
        certify(x, y, [[1.0]], [1.0], beta)


def test_residuals_orthogonal_to_the_labels():
    """The best multiple of such a residual is 0 up to rounding, and so is the lower bound, of either sign; it holds."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, t = rng.uniform(1, 2, 2), rng.uniform(0.1, 0.4)
        found = certify(np.eye(2), y, np.diag(y + t * np.array([y[1], -y[0]])), np.ones(2), 0.1)
        check_certificate(found.statements.network, found.statements.certificate)
        assert abs(found.dual.value) <= 1e-16


def test_other_refusals(monkeypatch):
    with pytest.raises(HypothesisError, match="at most 4"):
        train_global(np.ones((3, 5)), np.ones(3), 1.0)
    with pytest.raises(DomainError, match="tol"):
        train_global([[1.0]], [1.0], 1.0, tol=0)
    with pytest.raises(DomainError, match="width"):
        certify([[1.0]], [1.0], [[1.0, 2.0]], [1.0], 1.0)
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(MissingExtraError, match="optimization"):
        train_global([[1.0]], [1.0], 0.1)
