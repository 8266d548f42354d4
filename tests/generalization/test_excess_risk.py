"""The parts of the excess risk: the definitions on all noise vectors, and descent in rationals."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.generalization.excess_risk import Design, constrained_class_bound, excess_risk

STEPS = [0, 1, 2, 7, 40]


def sample(seed, n=7, d=4, rank=3):
    generator = np.random.Generator(np.random.Philox(seed))
    x = generator.normal(size=(n, rank)) @ generator.normal(size=(rank, d))
    return x, generator.normal(size=n)


@pytest.mark.parametrize("seed", range(4))
def test_the_definitions_on_all_noise_vectors(seed):
    """Noise +-sigma: expectations are means over 2^n descents, the infima are least squares fits."""
    x, f = sample(seed)
    n, sigma, eta = len(f), 0.6, 1.5 * len(f) / np.linalg.norm(x, 2) ** 2
    signs = np.array(list(itertools.product([-1, 1], repeat=n)))
    y = f + sigma * signs
    best = np.linalg.lstsq(x, y.T, rcond=None)[0].T @ x.T
    least = ((best - y) ** 2).sum(axis=1) / n
    oracle = np.linalg.lstsq(x, f, rcond=None)[0]
    approximation = np.sum((x @ oracle - f) ** 2) / n
    found = excess_risk(Design.linear(x), f, sigma**2, STEPS, eta)
    assert found.rank == 3 and found.approximation == pytest.approx(approximation, rel=1e-10)
    w, done = np.zeros((len(y), x.shape[1])), 0
    for index, steps in enumerate(STEPS):
        for _ in range(steps - done):
            w = w - eta / n * (w @ x.T - y) @ x
        done, values = steps, w @ x.T
        risk, empirical = (((values - of) ** 2).sum(axis=1) / n for of in (f, y))
        optimization = empirical - least
        estimation = (risk + sigma**2 - empirical) - (approximation + sigma**2 - least)
        assert found.optimization[index] == pytest.approx(optimization.mean(), rel=1e-10)
        assert found.estimation[index] == pytest.approx(estimation.mean(), rel=1e-10)
        assert found.excess[index] == pytest.approx(risk.mean(), rel=1e-10)
        mean = values.mean(axis=0)
        assert found.bias[index] == pytest.approx(np.sum((mean - x @ oracle) ** 2) / n, rel=1e-10)
        assert found.variance[index] == pytest.approx(values.var(axis=0).sum() / n, rel=1e-10, abs=1e-15)
        total = found.approximation + found.estimation[index] + found.optimization[index]
        assert total == pytest.approx(found.excess[index], rel=1e-12)


def test_descent_in_rationals():
    """200 steps on a badly scaled problem, exactly: features 1, x, x^2 on integers."""
    x = [[Fraction(1), Fraction(i), Fraction(i * i)] for i in range(-2, 4)]
    f, noise, eta, n = [Fraction(i**3, 4) for i in range(-2, 4)], Fraction(1, 3), Fraction(1, 40), 6
    design = np.array(x, dtype=object)
    # The filter A_t of v_t = A_t y, as X B_t with B <- B - eta/n X^T (X B - 1).
    b, one = design.T * Fraction(0), np.array([[Fraction(int(i == j)) for j in range(n)] for i in range(n)])
    for _ in range(60):
        b = b - eta / n * design.T @ (design @ b - one)
    a = design @ b
    missed = a @ np.array(f) - np.array(f)
    excess = (missed @ missed + noise * (a * a).sum()) / n
    found = excess_risk(Design.linear(np.array(x, dtype=float)), list(map(float, f)), 1 / 3, [60], 1 / 40)
    assert found.excess[0] == pytest.approx(float(excess), rel=1e-10)
    assert found.variance[0] == pytest.approx(float(noise * (a * a).sum() / n), rel=1e-10)


def test_a_kernel_is_its_features():
    x, f = sample(9)
    linear, kernel = (excess_risk(d, f, 0.2, STEPS) for d in (Design.linear(x), Design.kernel(x @ x.T)))
    for name in ("approximation", "estimation", "optimization", "excess"):
        assert getattr(kernel, name) == pytest.approx(getattr(linear, name), rel=1e-10)
    assert kernel.rank == linear.rank == 3


def test_the_ends_of_descent():
    x, f = sample(2)
    found = excess_risk(Design.linear(x), f, 0.5, [0, 10**9])
    assert found.estimation == pytest.approx([-0.5 * 3 / 7, 0.5 * 3 / 7], rel=1e-12)
    assert found.optimization[1] == found.bias[1] == 0 == found.variance[0]
    assert found.excess[0] == pytest.approx(f @ f / 7)
    tiny = excess_risk(Design.linear(np.diag([1.0, 1e-7])), [0.0, 0.0], 1.0, [1])
    assert tiny.variance[0] == pytest.approx((1 + 1e-28) / 2, rel=1e-15)


def test_the_constrained_class_on_all_samples():
    """x = +-1 with fair signs, y = x or -x, absolute loss, |w| <= 1: every sample of 6 points by itself."""
    n, share, mean = 6, 0.7, 0.0
    risk = lambda w: share * abs(w - 1) + (1 - share) * abs(w + 1)  # noqa: E731
    for agrees in itertools.product([0, 1], repeat=n):
        k = sum(agrees)
        w = 1.0 if 2 * k > n else -1.0  # a minimizer of k |w - 1| + (n - k) |w + 1|, the worse one for a tie
        mean += share**k * (1 - share) ** (n - k) * risk(w)
    bound = constrained_class_bound(n, lipschitz=1, features=1, norm=1)
    assert 0 < mean - risk(1.0) <= bound == pytest.approx(2 / np.sqrt(n))
    assert constrained_class_bound(n, lipschitz=1, features=1, norm=1, optimization=0.5) == pytest.approx(bound + 0.5)


def test_says_what_is_wrong():
    x, f = sample(0)
    design = Design.linear(x)
    for call in (
        lambda: excess_risk(design, f[:3], 1, [1]), lambda: excess_risk(design, f, -1, [1]),
        lambda: excess_risk(design, f, 1, [-1]), lambda: Design.linear([[np.nan]]), lambda: Design.linear([1.0]),
        lambda: constrained_class_bound(0, lipschitz=1, features=1, norm=1),
    ):  # fmt: skip
        with pytest.raises(DomainError):
            call()
    for call in (
        lambda: excess_risk(design, f, 1, [1], design.largest_step), lambda: excess_risk(design, f, 1, [1], 0.0),
        lambda: Design.kernel(-np.eye(2)), lambda: Design.kernel([[1.0, 0.5], [0.0, 1.0]]),
    ):  # fmt: skip
        with pytest.raises(HypothesisError):
            call()
