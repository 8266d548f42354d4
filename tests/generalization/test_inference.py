"""Inference with kernels against mpmath with 30 digits, by the definitions and not by the code's formulas."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest

from epsnet import EpsnetError
from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.generalization.inference import gaussian_process, kernel_training

RNG = np.random.default_rng(0)
X, X2 = RNG.standard_normal((5, 6)), RNG.standard_normal((3, 6))
RNG.standard_normal((3, 8, 8, 3)), RNG.standard_normal((2, 8, 8, 3))
Y = RNG.standard_normal((5, 1))[:, 0]
ROOT2 = math.sqrt(2)
OWN = np.random.default_rng(7)


def relu(k11, k12, k22):
    s = mp.sqrt(k11 * k22)
    angle = mp.acos(max(-1, min(1, k12 / s)))
    return (s * mp.sin(angle) + (mp.pi - angle) * k12) / (2 * mp.pi), (mp.pi - angle) / (2 * mp.pi)


def erf(k11, k12, k22):
    d = (1 + 2 * k11) * (1 + 2 * k22)
    return 2 / mp.pi * mp.asin(2 * k12 / mp.sqrt(d)), 4 / mp.pi / mp.sqrt(d - 4 * k12**2)


def kernels(points, layers, dual):
    """Return (NNGP, NTK) of dense layers [(weight_std, bias_std), ...] by the textbook recursion, entry by entry."""
    n, d = points.shape
    rows = [[mp.mpf(float(v)) for v in row] for row in points]
    k = mp.matrix(n, n)
    theta = mp.matrix(n, n)
    for i in range(n):
        for j in range(n):
            inner = [sum(a * b for a, b in zip(rows[p], rows[q], strict=True)) / d for p, q in ((i, i), (i, j), (j, j))]
            tangent = mp.mpf(0)
            for number, (w, b) in enumerate(layers):
                slope = mp.mpf(1)
                if number:
                    k11, k12, k22 = inner
                    inner = [dual(k11, k11, k11)[0], dual(k11, k12, k22)[0], dual(k22, k22, k22)[0]]
                    slope = dual(k11, k12, k22)[1]
                w2, b2 = mp.mpf(float(w)) ** 2, mp.mpf(float(b)) ** 2
                inner = [w2 * value + b2 for value in inner]
                tangent = inner[1] + w2 * slope * tangent
            k[i, j], theta[i, j] = inner[1], tangent
    return k, theta


CASES = {
    "K1": (X, X2, Y, [(ROOT2, 0.0), (ROOT2, 0.0), (1.0, 0.0)], relu),
    "K2": (X, X2, Y, [(1.5, 0.3)] * 4, erf),
    "own": (OWN.standard_normal((7, 9)), OWN.standard_normal((2, 9)), OWN.standard_normal(7), [(1.7, 0.2)] * 3, relu),
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    points, test, y, layers, dual = CASES[request.param]
    with mp.workdps(30):
        k, theta = kernels(np.concatenate([points, test]), layers, dual)
    return k, theta, mp.matrix([mp.mpf(float(v)) for v in y]), y


def parts(matrix, n):
    end = matrix.rows
    return matrix[:n, :n], matrix[n:end, :n], matrix[n:end, n:end]


def floats(matrix):
    array = np.array(matrix.tolist(), dtype=float)
    return array[:, 0] if matrix.cols == 1 else array


def close(found, expected):
    expected = floats(expected)
    assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()
    assert (np.abs(found - expected) <= 1e-9 * np.abs(expected) + 1e-15).all()


def test_posterior(case):
    k, _, y, targets = case
    n = len(targets)
    for noise in (0.0, 0.1):
        with mp.workdps(30):
            train, cross, test = parts(k, n)
            train = train + mp.mpf(noise) * mp.eye(n)
            inverse = train**-1
            mean, covariance = cross * inverse * y, test - cross * inverse * cross.T
            likelihood = -(y.T * inverse * y)[0] / 2 - mp.log(mp.det(train)) / 2 - n * mp.log(2 * mp.pi) / 2
        process = gaussian_process(*(floats(part) for part in (parts(k, n)[0],)), targets, noise)
        found = process.predict(*(floats(part) for part in parts(k, n)[1:]))
        close(found.mean, mean)
        close(found.covariance, covariance)
        assert process.log_marginal_likelihood == pytest.approx(float(likelihood), rel=1e-12)
        assert np.allclose(found.std**2, np.diag(floats(covariance)), rtol=1e-9)
        assert process.condition >= 1


@pytest.mark.parametrize("time", [0.0, 0.3, 20.0, math.inf])
def test_gradient_flow(case, time):
    """B_t = Theta^-1 (I - expm(-Theta t/n)), the exponential by mpmath."""
    k, theta, y, targets = case
    n = len(targets)
    with mp.workdps(30):
        (train, cross, _), (k_train, k_cross, k_test) = parts(theta, n), parts(k, n)
        decay = mp.expm(-train * (mp.mpf(time) / n)) if time < math.inf else mp.zeros(n)
        filtered = train**-1 * (mp.eye(n) - decay)
        smoother = cross * filtered
        mean = smoother * y
        covariance = k_test + smoother * k_train * smoother.T - smoother * k_cross.T - k_cross * smoother.T
        moved = mp.sqrt((y.T * filtered * train * filtered * y)[0])
        functional = mp.sqrt(2 * (y.T * train**-1 * y)[0] / n)
    training = kernel_training(floats(train), targets)
    found = training.ensemble(floats(cross), *map(floats, (k_train, k_cross, k_test)), time)
    close(found.mean, mean)
    close(training.mean(floats(cross), time), mean)
    close(found.covariance, covariance)
    assert training.movement(time) == pytest.approx(float(moved), rel=1e-9)
    assert training.complexity == pytest.approx(float(functional), rel=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_gradient_descent_is_the_iteration(case, ridge):
    """w = J^T a, a <- a - eta/n ((Theta + rho) a - r), literally, from a network f_0; larger steps diverge."""
    _, theta, y, targets = case
    n = len(targets)
    train, cross, _ = parts(theta, n)
    training = kernel_training(floats(train), targets, ridge)
    initial, at_test = np.cos(np.arange(n)), np.sin(np.arange(cross.rows))
    for share in (0.1, 0.9):
        eta = share * training.max_step_size
        with mp.workdps(30):
            r = y - mp.matrix([mp.mpf(float(v)) for v in initial])
            a = mp.zeros(n, 1)
            for _ in range(12):
                a = a + mp.mpf(eta) / n * (r - train * a - mp.mpf(ridge) * a)
            expected = cross * a + mp.matrix([mp.mpf(float(v)) for v in at_test])
            moved = mp.sqrt((a.T * train * a)[0])
        found = training.mean(floats(cross), 12, step_size=eta, initial_train=initial, initial_test=at_test)
        close(found, expected)
        movement = training.movement(12, step_size=eta, initial_train=initial)
        assert movement == pytest.approx(float(moved), rel=1e-9)
    top = np.linalg.eigvalsh(floats(train))[-1] + ridge
    assert training.max_step_size == pytest.approx(2 * n / top, rel=1e-12)
    with pytest.raises(DomainError, match="does not converge"):
        training.mean(floats(cross), 5, step_size=2 * n / top * (1 + 1e-12))


def test_limits_in_time(case):
    _, theta, _, targets = case
    train, cross, _ = (floats(part) for part in parts(theta, len(targets)))
    training = kernel_training(train, targets)
    assert np.allclose(training.mean(train), targets, rtol=1e-10)
    assert not training.mean(cross, 0.0).any() and training.movement(0.0) == 0
    slow = training.mean(cross, 1e-9)
    assert np.allclose(slow, 1e-9 / len(targets) * cross @ targets, rtol=1e-7)
    steps = training.mean(cross, math.inf, step_size=training.max_step_size / 2)
    assert np.allclose(steps, training.mean(cross), rtol=1e-12)
    times = [training.movement(t) for t in (0.1, 1, 10, 100, math.inf)]
    assert all(a <= b * (1 + 1e-12) for a, b in itertools.pairwise(times))


def test_several_outputs_are_one_after_the_other(case):
    k, theta, _, targets = case
    n = len(targets)
    both = np.stack([targets, np.cos(targets)], axis=1)
    for kernel, make in ((k, gaussian_process), (theta, kernel_training)):
        train, cross, test = (floats(part) for part in parts(kernel, n))
        fits = [make(train, y, 0.1) for y in (both, both[:, 0], both[:, 1])]
        if make is gaussian_process:
            values = [fit.predict(cross, test).mean for fit in fits]
            likelihoods = [fit.log_marginal_likelihood for fit in fits]
            assert likelihoods[0] == pytest.approx(likelihoods[1] + likelihoods[2])
        else:
            values = [fit.mean(cross, 2.0) for fit in fits]
            moved = [fit.movement(2.0) ** 2 for fit in fits]
            assert moved[0] == pytest.approx(moved[1] + moved[2])
        assert np.allclose(values[0], np.stack(values[1:], axis=1), rtol=1e-12)


def test_one_point():
    assert gaussian_process([[4.0]], [2.0]).predict([[2.0]], [[4.0]]).mean == pytest.approx(1.0)
    assert gaussian_process([[4.0]], [2.0]).predict([[2.0]], [[4.0]]).covariance == pytest.approx(3.0)
    training = kernel_training([[4.0]], [2.0])
    assert training.mean([[2.0]], 0.5) == pytest.approx(1 - math.exp(-2))
    assert training.complexity == pytest.approx(math.sqrt(2))


TWINS = np.array([[1.0, 1.0, 0.2], [1.0, 1.0, 0.2], [0.2, 0.2, 1.0]])


@pytest.mark.parametrize(
    ("kernel", "y", "error", "words"),
    [
        (TWINS, [1.0, 2.0, 0.0], DomainError, "different values"),
        (TWINS, [1.0, 1.0, 0.0], PrecisionError, "points 0 and 1 are the same"),
        (np.zeros((2, 2)), [0.0, 0.0], PrecisionError, "same to the kernel"),
        (np.ones((6, 6)) + 1e-15 * np.eye(6), np.arange(6.0), DomainError, "different values"),
        (np.vander(np.linspace(0, 1, 30), 6) @ np.vander(np.linspace(0, 1, 30), 6).T, np.arange(30.0), PrecisionError,
         "told from 0"),
    ],
    ids=["conflict", "duplicates", "zero", "nearly constant", "rank 6"],
)  # fmt: skip
def test_a_singular_kernel_is_an_error_and_a_ridge_repairs_it(kernel, y, error, words):
    with pytest.raises(error, match=words):
        gaussian_process(kernel, y)
    training = kernel_training(kernel, y)
    for call in (training.movement, lambda: training.mean(kernel), lambda: training.complexity):
        with pytest.raises(error, match=words):
            call()
    assert np.isfinite(training.mean(kernel, 5.0)).all()
    assert np.isfinite(kernel_training(kernel, y, 1e-3).mean(kernel)).all()
    fitted = gaussian_process(kernel, y, 1e-3).predict(kernel, kernel)
    assert np.isfinite(fitted.mean).all() and np.isfinite(fitted.std).all()


def test_duplicates_with_a_ridge_share_the_mean_of_their_values():
    mean = kernel_training(TWINS, [1.0, 2.0, 0.0], 1e-6).mean(TWINS)
    assert mean[:2] == pytest.approx([1.5, 1.5], abs=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kernel_training([[1.0, 2.0], [3.0, 1.0]], [0.0, 1.0]),
        lambda: kernel_training([[1.0, 2.0], [2.0, 1.0]], [0.0, 1.0]),
        lambda: kernel_training([[np.nan]], [0.0]),
        lambda: kernel_training([[1.0]], [np.nan]),
        lambda: kernel_training([[1.0]], [0.0, 1.0]),
        lambda: kernel_training([[1.0]], [0.0], -1.0),
        lambda: kernel_training(np.empty((0, 0)), []),
        lambda: kernel_training([[1.0]], [0.0]).mean([[1.0]], -1.0),
        lambda: kernel_training([[1.0]], [0.0]).mean([[1.0]], math.nan),
        lambda: kernel_training([[1.0]], [0.0]).mean([[1.0, 2.0]]),
        lambda: kernel_training([[1.0]], [0.0]).mean([[1.0]], 1, step_size=-1.0),
        lambda: kernel_training([[1.0]], [0.0]).mean([[1.0]], initial_train=[1.0, 2.0]),
        lambda: gaussian_process([[1.0]], [0.0], math.inf),
        lambda: gaussian_process([[-1.0]], [0.0]),
        lambda: gaussian_process([[1.0]], [0.0]).predict([[1.0]], np.eye(2)),
    ],
)
def test_refusals(call):
    with pytest.raises(EpsnetError, match=r"\. \w.*\.$"):
        call()
