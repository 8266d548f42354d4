"""Low rank: the full kernel as its limit, a-posteriori errors against matrices, blocks from files, two solvers."""

import joblib
import numpy as np
import pytest

from epsnet import EpsnetError
from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.generalization.inference import gaussian_process
from epsnet.generalization.low_rank import (
    blocks_of,
    choose_centers,
    conjugate_gradients,
    kernel_diagonal,
    kernel_error,
    normal_equations,
    nystrom,
)
from epsnet.generalization.network_kernel import NetworkKernel, dense_network
from epsnet.generalization.random_features import random_features, tensor_sketch
from epsnet.generalization.wide_network import Dense, Flatten, WideNetwork

RNG = np.random.default_rng(5)
X, TEST = RNG.standard_normal((300, 5)), RNG.standard_normal((11, 5))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
NET = dense_network(3, "relu", 2**0.5, 0.2)
NTK, NNGP = NetworkKernel(NET, "ntk"), NetworkKernel(NET, "nngp")
RIDGE = 1e-2


def gaussian(x, y=None):
    y = x if y is None else y
    return np.exp(-((x[:, None] - y) ** 2).sum(axis=2) / 20)


@pytest.mark.parametrize("kernel", [NTK, NNGP, gaussian], ids=["ntk", "nngp", "a function"])
def test_all_points_as_centers_are_no_approximation(kernel):
    features = nystrom(kernel, X)
    found = normal_equations(features, blocks_of(X, Y, 64)).solve(RIDGE)
    exact = gaussian_process(kernel(X), Y, RIDGE).predict(kernel(TEST, X), kernel(TEST))
    assert np.allclose(found.predict(TEST), exact.mean, rtol=1e-7, atol=1e-9)
    assert np.allclose(found.std(TEST), exact.std, rtol=1e-5, atol=1e-7)
    assert np.abs(features.residual(X)).max() <= 1e-8 * kernel_diagonal(kernel, X).max()


@pytest.mark.parametrize("kernel", [NTK, gaussian], ids=["ntk", "a function"])
def test_the_residual_is_the_schur_complement(kernel):
    """K - K~ is positive semidefinite, its trace bounds its norm, and its diagonal is the residual of each point."""
    features = nystrom(kernel, choose_centers(kernel, X, 60, seed=1))
    inner = kernel(features.centers) + features.jitter * np.eye(60)
    left = kernel(X) - kernel(X, features.centers) @ np.linalg.solve(inner, kernel(features.centers, X))
    assert np.linalg.eigvalsh(left).min() > -1e-9
    assert np.allclose(features.residual(X), np.diag(left), atol=1e-9)
    equations = normal_equations(features, blocks_of(X, Y))
    trace = equations.missing * equations.trace
    assert trace == pytest.approx(np.trace(left), rel=1e-6)
    error = kernel_error(features, kernel, X)
    assert error.spectral * np.linalg.norm(kernel(X), 2) <= trace
    assert error.frobenius == pytest.approx(np.linalg.norm(left) / np.linalg.norm(kernel(X)), rel=1e-6)


def test_both_solvers_give_the_minimizer():
    """The gradient of |A b - y|^2 + ridge |b|^2 vanishes."""
    features = nystrom(NTK, choose_centers(NTK, X, 50))
    direct = normal_equations(features, blocks_of(X, Y, 100)).solve(RIDGE)
    a = features(X)
    gradient = a.T @ (a @ direct.coefficients - Y) + RIDGE * direct.coefficients
    assert np.abs(gradient).max() <= 1e-11 * np.abs(a.T @ Y).max()
    for y in (Y, Y[:, 0]):
        iterated = conjugate_gradients(features, blocks_of(X, y, 100), RIDGE, accuracy=1e-10)
        expected = direct.predict(TEST) if y.ndim > 1 else direct.predict(TEST)[:, 0]
        assert iterated.predict(TEST).shape == expected.shape
        assert np.allclose(iterated.predict(TEST), expected, atol=1e-7)
    assert np.allclose(direct.predict(TEST), features(TEST) @ direct.coefficients, atol=1e-9)
    with pytest.raises(DomainError, match="Solve directly"):
        iterated.std(TEST)
    with pytest.raises(PrecisionError, match="1 steps reach"):
        conjugate_gradients(features, blocks_of(X, Y), RIDGE, most=1)


def test_blocks_files_and_jobs_do_not_matter(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    features = nystrom(NNGP, choose_centers(NNGP, X, 40))
    whole = normal_equations(features, blocks_of(X, Y, 1000))
    assert np.allclose(whole.gram, features(X).T @ features(X), rtol=1e-12, atol=1e-12)

    def passes():
        return ((X[i : i + 7], Y[i : i + 7]) for i in range(0, len(X), 7))

    fifties = normal_equations(features, blocks_of(mapped, Y, 50))
    with joblib.parallel_config(backend="threading"):
        again = normal_equations(features, blocks_of(mapped, Y, 50), jobs=2)
    assert (again.gram == fifties.gram).all() and (again.moments == fifties.moments).all()
    halves = [normal_equations(features, blocks_of(X[part], Y[part])) for part in (slice(0, 100), slice(100, None))]
    for other in (fifties, normal_equations(features, passes), halves[0] + halves[1]):
        assert np.allclose(other.gram, whole.gram, rtol=1e-12, atol=1e-12)
        assert np.allclose(other.moments, whole.moments, rtol=1e-12, atol=1e-12)
        assert (other.points, other.trace) == (300, pytest.approx(whole.trace))


def test_leverage_finds_the_points_that_others_do_not_explain():
    """280 copies of nearly one point and 20 that lie apart: uniform centers miss most of these, leverage does not."""
    points = np.concatenate([np.ones((280, 5)) + 1e-3 * X[:280], 3 * np.eye(5), -3 * np.eye(5), 6 * X[290:]])
    left = [
        nystrom(NTK, choose_centers(NTK, points, 30, ridge=ridge, seed=s)).residual(points).sum()
        for ridge in (None, 1.0)
        for s in range(5)
    ]
    assert np.mean(left[5:]) < np.mean(left[:5]) / 2
    assert (choose_centers(NTK, X, 300) == X[np.random.default_rng(0).choice(300, 300, replace=False)]).all()
    distinct = np.unique(choose_centers(NTK, X, 200, ridge=1.0), axis=0)
    assert len(distinct) == 200


def test_duplicate_centers_are_no_harm():
    features = nystrom(NTK, np.concatenate([X[:20], X[:20], np.zeros((1, 5))]))
    assert np.isfinite(features(X)).all() and features.residual(X[:20]).max() < 1e-6
    assert np.isfinite(normal_equations(features, blocks_of(X, Y)).solve(RIDGE).predict(TEST)).all()


@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_random_features_are_the_kernel_on_average(kind, activation):
    kernel = NetworkKernel(dense_network(3, activation, 1.4, 0.3), kind)
    points, exact = X[:12], kernel(X[:12])
    drawn = np.array([(a := random_features(kernel, 5, 200, seed=s)(points)) @ a.T for s in range(24)])
    errors = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    # Two hidden layers have a bias of order 1/width beside the noise.
    assert (np.abs(drawn.mean(axis=0) - exact) <= 5 * errors + 0.02 * exact.max()).all()
    wide = [np.mean([kernel_error(random_features(kernel, 5, m, seed=s), kernel, points).frobenius for s in range(4)])
            for m in (32, 256)]  # fmt: skip
    assert wide[1] < wide[0] / 2


def test_regression_on_random_features():
    features = random_features(NTK, 5, 500, 400, seed=3)
    assert features(X).shape == (300, features.rank) == (300, 901)
    equations = normal_equations(features, blocks_of(X, Y, 80))
    exact = gaussian_process(NTK(X), Y, 0.5).predict(NTK(TEST, X), NTK(TEST)).mean
    found = equations.solve(0.5).predict(TEST)
    assert np.linalg.norm(found - exact) < 0.2 * np.linalg.norm(exact)
    assert abs(equations.missing) < 0.2


def test_tensor_sketch_keeps_inner_products():
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 6)), rng.standard_normal((2, 9))
    products = [(s := tensor_sketch(6, 9, 64, rng)(u, v))[0] @ s[1] for _ in range(800)]
    expected = (u[0] @ u[1]) * (v[0] @ v[1])
    assert abs(np.mean(products) - expected) <= 4 * np.std(products) / np.sqrt(800)


THREE = normal_equations(nystrom(gaussian, X[:3]), blocks_of(X, Y))


@pytest.mark.parametrize(
    "call",
    [
        lambda: nystrom(NTK, np.empty((0, 5))),
        lambda: nystrom(lambda x, y=None: -gaussian(x, y), X[:3]),
        lambda: nystrom(lambda x, y=None: np.nan * gaussian(x, y), X[:3]),
        lambda: choose_centers(NTK, X, 0),
        lambda: choose_centers(NTK, X, 301),
        lambda: choose_centers(NTK, X, 3, ridge=0.0),
        lambda: blocks_of(X, Y[:10]),
        lambda: blocks_of(X[:0], Y[:0]),
        lambda: normal_equations(nystrom(gaussian, X[:3]), lambda: iter(())),
        lambda: normal_equations(nystrom(gaussian, X[:3]), blocks_of(X * np.nan, Y)),
        lambda: normal_equations(nystrom(gaussian, X[:3]), blocks_of(X, Y * np.nan)),
        lambda: normal_equations(nystrom(gaussian, X[:3]), blocks_of(X, Y)).solve(0.0),
        lambda: conjugate_gradients(nystrom(gaussian, X[:3]), blocks_of(X, Y), -1.0),
        lambda: conjugate_gradients(nystrom(gaussian, X[:3]), lambda: iter(()), 1.0),
        lambda: THREE + normal_equations(nystrom(gaussian, X[:3]), blocks_of(X, Y)),
        lambda: random_features(NTK, 5, 0),
        lambda: random_features(NetworkKernel(WideNetwork([Flatten(), Dense()])), 5, 8),
        lambda: random_features(NetworkKernel(dense_network(1, "relu", 1.0, 0.0)), 5, 8),
        lambda: NetworkKernel(NET, "rbf"),
        lambda: dense_network(0, "relu", 1.0, 0.0),
    ],
)
def test_refusals(call):
    with pytest.raises(EpsnetError, match=r"\. \w.*\.$"):
        call()
