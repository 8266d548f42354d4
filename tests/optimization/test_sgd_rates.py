"""SGD rates: exact rationals, brute-force averages over all samples, the lecture's exponents, coupled estimates."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, EpsnetError
from epsnet.experiments import fit_rate
from epsnet.optimization.sgd_rates import (
    Steps,
    StochasticProblem,
    advise,
    best_steps,
    coupled_rates,
    finite_sum,
    least_squares,
    logistic_regression,
    moments,
    predicted_exponent,
    quadratic,
    strong_error,
    weak_error,
)

F = Fraction
H = np.array([[2.0, 0.5], [0.5, 1.0]])
C = np.array([[1.0, -0.25], [-0.25, 0.5]])


def test_the_mean_of_samples_in_rationals():
    """T8: with g_n = 1/n, theta_n is the mean of n samples, so E|theta_n - theta*|^2 = 1/n exactly."""
    for found in moments(quadratic(F(1), F(1), F(3)), Steps(F(1)), [1, 2, 10, 1000]):
        assert (found.mean, found.second) == (0, F(1, found.n))


def test_the_mean_of_samples_in_floats():
    at = [2**k for k in range(0, 19, 3)]
    for found in moments(quadratic(1.0, 1.0, 1.0), Steps(1.0), at):
        assert strong_error(found) * math.sqrt(found.n) == pytest.approx(1, abs=1e-9)
        assert strong_error(found, 1) * math.sqrt(found.n * math.pi / 2) == pytest.approx(1, abs=1e-9)
        assert weak_error(found, np.cos) == pytest.approx(-math.expm1(-1 / (2 * found.n)), rel=1e-9)


def test_all_paths_of_a_coin():
    """Noise +-1 with probability 1/2: mean, second moment and those of the average over all 2^8 paths, exactly."""
    steps, h, start, n = Steps(F(2, 3), 1, 1), F(3, 2), F(2), 8
    total = [F(0)] * 4
    for coins in product((1, -1), repeat=n):
        theta, average = start, F(0)
        for k, coin in enumerate(coins, 1):
            theta -= steps(k) * (h * theta - coin)
            average += (theta - average) / k
        total = [a + b for a, b in zip(total, (theta, theta**2, average, average**2), strict=True)]
    (found,) = moments(quadratic(h, F(1), start), steps, [n])
    expected = [value / 2**n for value in total]
    assert [found.mean, found.second, found.average_mean, found.average_second] == expected


def test_least_squares_in_one_dimension_in_rationals():
    """E (1 - g x^2)^2 = 1 - 2 g h + 3 g^2 h^2 for x ~ N(0, h)."""
    h, sigma, g, start = F(3, 2), F(1, 3), F(1, 5), F(2)
    second = start**2
    for _ in range(6):
        second = second * (1 - 2 * g * h + 3 * g**2 * h**2) + g**2 * sigma**2 * h
    (found,) = moments(least_squares(h, sigma, start), Steps(g, 0), [6])
    assert found.second == second and found.mean == start * (1 - g * h) ** 6


@pytest.mark.parametrize("multiplicative", [False, True])
def test_matrices_by_the_formula_of_the_docstring(multiplicative):
    start, steps = np.array([1.0, -2.0]), Steps(0.5, 0.75, 2)
    problem = least_squares(H, 0.7, start) if multiplicative else quadratic(H, C, start)
    s, mean, n = np.outer(start, start), start, 40
    joint = np.zeros((4, 4))
    joint[:2, :2] = s
    for k in range(1, n + 1):
        g = steps(k)
        noise = H @ s @ H + C if not multiplicative else 2 * H @ s @ H + H * np.trace(H @ s) + 0.49 * H
        mean = mean - g * H @ mean
        s = s - g * (H @ s + s @ H) + g * g * noise
        # The average as one more state: (theta, average) <- [[I, 0], [1/k, 1 - 1/k]] (theta', average).
        cross = (np.eye(2) - g * H) @ joint[:2, 2:]
        mix = np.block([[np.eye(2), np.zeros((2, 2))], [np.eye(2) / k, (1 - 1 / k) * np.eye(2)]])
        joint = mix @ np.block([[s, cross], [cross.T, joint[2:, 2:]]]) @ mix.T
    (found,) = moments(problem, steps, [n])
    assert np.allclose(found.second, s, rtol=1e-12, atol=0) and np.allclose(found.mean, mean, rtol=1e-12, atol=1e-15)
    assert np.allclose(found.average_second, joint[2:, 2:], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("scale", "exponent", "strong", "weak"),
    [(1.0, 1, 0.50000, 1.0000), (1.0, 0.75, 0.3772, 0.7544), (0.25, 1, 0.2499, 0.4997), (0.5, 1, 0.4661, 0.9322)],
)
def test_slopes_of_the_exact_recursion(scale, exponent, strong, weak):
    """The slopes on n = 2^16, ..., 2^20; at gamma = 1/2 the logarithm keeps them below 1/2."""
    at = [2**k for k in range(16, 21)]
    found = moments(quadratic(1.0, 1.0, 1.0), Steps(scale, exponent), at)
    for p in (1, 2):
        assert -fit_rate(at, [strong_error(m, p) for m in found]).exponent.value == pytest.approx(strong, abs=1.1e-4)
    assert -fit_rate(at, [weak_error(m, np.cos) for m in found]).exponent.value == pytest.approx(weak, abs=1.1e-4)
    if scale != 0.5:
        assert predicted_exponent(scale, exponent) == pytest.approx(strong, abs=3e-3)


def test_the_logarithm_at_one_half():
    """n E|e|^2/log n tends to c^2 C = 1/4 at gamma = 1/2: differences in log n show it."""
    low, high = moments(quadratic(1.0, 1.0, 0.0), Steps(0.5), [2**14, 2**17])
    slope = (high.n * high.second - low.n * low.second) / math.log(high.n / low.n)
    assert slope == pytest.approx(1 / 4, rel=1e-4)


def test_steps_that_shrink_too_fast_do_not_converge():
    low, high = moments(quadratic(1.0, 1.0, 1.0), Steps(0.5, 2), [2**10, 2**14])
    assert high.second > 0.1 and low.second - high.second < 1e-3
    assert predicted_exponent(1.0, 2) == 0


def test_limits_of_the_last_iterate_and_of_averages():
    n = 2**14
    values, q = np.linalg.eigh(H)
    spread = np.diagonal(q.T @ C @ q)
    c = 1.5
    (last,) = moments(quadratic(H, C, [0.0, 0.0]), Steps(c), [n])
    assert n * strong_error(last) ** 2 == pytest.approx(np.sum(c * c * spread / (2 * c * values - 1)), rel=2e-3)
    averaged = moments(quadratic(H, C, [0.0, 0.0]), Steps(0.5, 0.7), [n // 8, n])
    limit = np.trace(np.linalg.inv(H) @ C @ np.linalg.inv(H))
    early, late = (m.n * np.trace(m.average_second) - limit for m in averaged)
    assert 0 < late < 0.1 * limit and late < 8 ** (0.7 - 1 + 0.02) * early  # the excess falls as n^(nu - 1)
    # Constant steps of 1/(4 R^2) and averaging: below the bound of Bach and Moulines, (2/n)(sigma d^(1/2) + R |e_0|)^2.
    radius = 4 * np.trace(H)
    (ridge,) = moments(least_squares(H, 0.5, [1.0, 1.0]), Steps(1 / radius, 0), [2048])
    excess = np.trace(H @ ridge.average_second) / 2
    assert excess <= 2 / 2048 * (0.5 * math.sqrt(2) + math.sqrt(radius / 4) * math.sqrt(2)) ** 2


def test_advice_is_the_minimum_by_brute_force():
    for curvature, noise in ((2.0, 3.0), (H, C)):
        advice = advise(curvature, noise)
        values, q = np.linalg.eigh(np.atleast_2d(curvature))
        spread = np.diagonal(q.T @ np.atleast_2d(noise) @ q)
        grid = np.linspace(0.5 / values[0], 3 / values[0], 20_001)[1:]
        limits = (grid[:, None] ** 2 * spread / (2 * grid[:, None] * values - 1)).sum(axis=1)
        assert advice.constant == pytest.approx(limits.min(), rel=1e-6)
        assert advice.steps.scale == pytest.approx(grid[limits.argmin()], abs=1e-3)
        assert advice.averaged <= advice.constant * (1 + 1e-12)
    assert advise(2.0, 3.0).steps.scale == pytest.approx(0.5, rel=1e-6)


def test_best_steps():
    """1/(n + C/(h^2 e_0^2)) h in one dimension, which no other steps beat; least squares and matrices by a grid."""
    h, c, start = F(2), F(3), F(5)
    offset = c / (h * h * start * start)
    found = list(best_steps(quadratic(h, c, start), 6))
    assert found == [1 / (h * (n + offset)) for n in range(1, 7)]
    for problem in (quadratic(H, C, [1.0, 2.0]), least_squares(H, 0.5, [1.0, 2.0]), least_squares(2.0, 0.5, 1.0)):
        steps = list(best_steps(problem, 5))

        def value(g, steps=steps, problem=problem):
            (m,) = moments(problem, lambda n: [*steps[:4], g][n - 1], [5])
            return np.trace(np.atleast_2d(problem.curvature) @ np.atleast_2d(m.second))

        grid = np.linspace(0.2, 3, 57) * steps[4]
        assert value(steps[4]) <= min(map(value, grid)) * (1 + 1e-12)


def problem_of_fifty():
    i = np.arange(1, 51.0)
    x, z = (2 * (i * c - np.floor(i * c)) - 1 for c in (0.6180339887498949, 0.7320508075688772))
    return logistic_regression(x, np.where(2 * x + 1.5 * z + 0.3 > 0, 1.0, -1.0), 0.1)


def test_finite_sums_know_their_minimizer():
    """A mean of quadratics has mean, variance and curvature in closed form."""
    data = np.array([1.0, 4.0, 7.0])
    found = finite_sum(lambda theta, rows: 2 * (theta - rows[:, None]), data, [0.0])
    assert found.minimizer == pytest.approx([4.0], abs=1e-12)
    assert found.noise.item() == pytest.approx(4 * 6, rel=1e-12)
    assert found.curvature.item() == pytest.approx(2, rel=1e-9)
    own = problem_of_fifty()
    with pytest.raises(DomainError, match="Labels"):
        logistic_regression([1.0, 2.0], [0.0, 1.0], 0.1)
    generator = np.random.Generator(np.random.Philox(0))
    theta = np.tile(own.minimizer, (200_000, 1))
    noise = own.gradient(theta, own.draw(generator, 200_000))
    assert abs(noise.mean()) <= 5 * noise.std() / math.sqrt(200_000)
    assert noise.var() == pytest.approx(own.noise.item(), rel=0.02)


def test_a_quadratic_needs_no_sampling():
    """The control variate is then the whole error: no noise is left."""
    data = np.array([[-1.0, 0.0], [1.0, 0.5], [0.0, -0.5]])
    problem = finite_sum(lambda theta, rows: theta @ H - rows, data, [0.0, 0.0])
    steps, at = Steps(1.2, 1, 2), [8, 16, 32, 64]
    found = coupled_rates(problem, lambda t: t[:, 0] + 0.5 * t[:, 1] ** 2 + 2, steps, at, start=[1.0, 1.0], paths=100)
    exact = moments(quadratic(H, data.T @ data / 3, [1.0, 1.0]), steps, at)
    assert np.allclose(found.strong, [strong_error(m) for m in exact], rtol=1e-6)
    assert np.allclose(found.weak, [abs(m.mean[0] + m.second[1, 1] / 2) for m in exact], rtol=1e-4)
    assert (found.weak_se < 1e-6 * found.weak).all()


def test_the_coupled_estimate_agrees_with_plain_sampling():
    problem = problem_of_fifty()
    steps, at = Steps(2 / problem.curvature.item(), 1, 10), [16, 32, 64, 128]
    psi = lambda t: np.sin(t[:, 0])  # noqa: E731
    found = coupled_rates(problem, psi, steps, at, start=[0.0], paths=5000, seed=1)
    generator, theta = np.random.Generator(np.random.Philox(99)), np.zeros((40_000, 1))
    for n in range(1, 129):
        theta = theta - steps(n) * problem.gradient(theta, problem.draw(generator, len(theta)))
        if n in at:
            row = at.index(n)
            values = psi(theta) - psi(problem.minimizer[None])
            error = math.hypot(values.std() / math.sqrt(len(theta)), found.weak_se[row])
            assert abs(abs(values.mean()) - found.weak[row]) <= 4 * error
            square = (theta - problem.minimizer)[:, 0] ** 2
            spread = square.std() / math.sqrt(len(theta)) / (2 * found.strong[row])
            assert abs(math.sqrt(square.mean()) - found.strong[row]) <= 4 * math.hypot(spread, found.strong_se[row])
    assert (found.plain_se > 5 * found.weak_se).all()


def test_exponents_of_logistic_regression():
    """T9 in small: strong 1/2 and weak 1 inside their intervals, widened by 0.02; half widths at most 0.02."""
    problem = problem_of_fifty()
    steps = Steps(2 / problem.curvature.item(), 1, 10)
    found = coupled_rates(
        problem, lambda t: np.sin(t[:, 0]), steps, [2**k for k in range(6, 13)], start=[0.0], paths=6000
    )
    for measured, predicted in ((found.strong_exponent, 0.5), (found.weak_exponent, 1.0)):
        assert (measured.high - measured.low) / 2 <= 0.02
        assert measured.low - 0.02 <= predicted <= measured.high + 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quadratic(0.0, 1.0, 1.0), "positive definite"),
        (lambda: quadratic(1.0, -1.0, 1.0), "semidefinite"),
        (lambda: quadratic(np.nan, 1.0, 1.0), "finite"),
        (lambda: quadratic(H, 1.0, 1.0), "shapes"),
        (lambda: quadratic([[1.0, 2.0], [0.0, 1.0]], C, [0.0, 0.0]), "symmetric"),
        (lambda: moments(quadratic(1.0, 1.0, 1.0), Steps(1.0), [4, 2]), "increase"),
        (lambda: moments(quadratic(1.0, 1.0, 1.0), Steps(1.0), [0, 2]), "increase"),
        (lambda: strong_error(moments(quadratic(H, C, [0.0, 0.0]), Steps(0.1), [1])[0], 1), "p = 2"),
        (lambda: weak_error(moments(quadratic(H, C, [0.0, 0.0]), Steps(0.1), [1])[0], np.cos), "one dimension"),
        (lambda: predicted_exponent(0.0, 1.0), "positive"),
        (lambda: advise(1.0, 0.0), "no noise"),
        (lambda: list(best_steps(quadratic(1.0, 0.0, 0.0), 2)), "no noise"),
        (lambda: coupled_rates(problem_of_fifty(), np.sin, Steps(1.0), [1, 2], start=[0.0]), "increasing"),
        (
            lambda: coupled_rates(problem_of_fifty(), lambda t: t[:, 0], Steps(1.0), [1, 2, 4, 8], start=[0.0, 1.0]),
            "shape",
        ),
        (lambda: coupled_rates(problem_of_fifty(), np.sin, Steps(1.0), [1, 2, 4, 8], start=[0.0]), "each row"),
        (lambda: quadratic(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0)), "shapes"),
        (lambda: logistic_regression(np.zeros((0, 2)), np.zeros(0), 1.0), "shape"),
        (lambda: logistic_regression([np.nan], [1.0], 1.0), "NaN"),
        (lambda: logistic_regression([1.0], [1.0], np.inf), "ridge is positive"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(DomainError, match=message):
        call()


def test_steps_that_are_too_large():
    for problem in (quadratic(1.0, 1.0, 1.0), quadratic(H, C, [1.0, 1.0])):
        with pytest.raises(EpsnetError, match="smaller steps"):
            moments(problem, Steps(1e3, 0), [1000])
    rough = StochasticProblem(lambda theta, _: theta**3, lambda g, m: None, np.zeros(1), np.eye(1), np.eye(1))
    # 2, -6, 210, ...: theta is 1.3e188 after step 6, and its cube is too large.
    with pytest.raises(EpsnetError, match=r"at step 7\. Take smaller steps than 1 there"):
        coupled_rates(rough, lambda e: e[:, 0], Steps(1.0, 0), [1, 2, 3, 20], start=[2.0], paths=50)


def test_degenerate_finite_sums():
    """One example, or equal ones: no noise, and the minimizer of log(1 + exp(-t)) + t^2/2 t = 1/(1 + exp(t))."""
    for x in (np.ones(1), np.ones(5)):
        found = logistic_regression(x, np.ones_like(x), 1.0)
        assert found.minimizer[0] * (1 + np.exp(found.minimizer[0])) == pytest.approx(1, abs=1e-14)
        assert np.abs(found.noise).max() < 1e-30
    with np.errstate(all="raise"):
        assert np.isfinite(logistic_regression(np.array([1e4, -3e4, 2e4]), np.array([1.0, 1.0, -1.0]), 1.0).minimizer)
