"""Deep factorization: conserved quantities exactly, times of modes by quadrature of many digits, greedy low rank."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from flint import fmpq

from epsnet.certify.errors import DomainError
from epsnet.core.deep_linear import gradient, rational
from epsnet.optimization.deep_factorization import conserved, flow, mode_at, mode_time, modes


def quadrature(start, end, target, depth):
    """Integrate dsigma / (N sigma^(2-2/N) (s - sigma)) in log sigma, with 30 digits."""
    with mpmath.workdps(30):
        a, b, s = (mpmath.mpf(v) for v in (start, end, target))
        power = 1 - mpmath.mpf(2) / depth

        def slowness(v):
            sigma = mpmath.exp(v)
            return 1 / (depth * sigma**power * (s - sigma))

        return mpmath.quad(slowness, mpmath.linspace(mpmath.log(a), mpmath.log(b), 9))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("target", [0.25, 1.0, 3.0])
def test_times_are_the_integral(depth, target):
    for start, end in ((1e-3, target / 2), (0.1, 0.9 * target), (1e-2, target * (1 - 1e-6))):
        found = mode_time(start, end, target, depth)
        assert found == pytest.approx(float(quadrature(start, end, target, depth)), rel=1e-9)
        assert mode_at(found, start, target, depth) == pytest.approx(end, rel=1e-9)


@pytest.mark.parametrize(("depth", "ratio"), [(2, 2.588081), (3, 2.915806), (4, 2.976397)])
def test_ratio_of_two_modes(depth, ratio):
    """The report's T19; sigma^(2-2/N) makes the ratio tend to 3 for small starts."""
    assert mode_time(1e-3, 0.5, 1, depth) / mode_time(1e-3, 1.5, 3, depth) == pytest.approx(ratio, abs=1e-6)


def test_two_factors():
    """The report's T18, as a closed form and as a flow of 1 x 1 matrices."""
    assert mode_at(1.0, 1e-3, 3.0, 2) == pytest.approx(0.355712478919, abs=1e-12)
    root = [[1e-3**0.5]]
    (end,) = flow([root, root], [[3.0]], [1.0])
    assert modes(end)[0] == pytest.approx(0.355712478919, abs=1e-9)


def test_balance_is_conserved_exactly():
    """Along the flow its derivative is 0 identically: in rationals, for random matrices and data."""
    generator = np.random.Generator(np.random.Philox(0))
    for widths in ([3, 2, 4], [2, 3, 3, 2], [1, 2, 1, 3, 2]):
        weights = [rational(generator.integers(-5, 6, (b, a)) / 4) for a, b in pairwise(widths)]
        x, y = (rational(generator.integers(-5, 6, (n, 4)) / 2) for n in (widths[0], widths[-1]))
        flat = gradient(weights, x, y)
        parts = np.split(flat, np.cumsum([w.size for w in weights])[:-1])
        slopes = [-part.reshape(w.shape) for part, w in zip(parts, weights, strict=True)]
        # d/dt conserved is its bilinear form: half of what weights + slopes and weights - slopes differ by.
        ahead, behind = (conserved([w + s * d for w, d in zip(weights, slopes, strict=True)]) for s in (1, -1))
        assert any(value != 0 for value in flat)
        assert all(value == fmpq(0) for a, b in zip(ahead, behind, strict=True) for value in (a - b).ravel())


@pytest.mark.parametrize("depth", [2, 3])
def test_balanced_modes_move_alone(depth):
    """Weights U diag V^T with shared singular vectors: the product's modes follow the scalar equation."""
    generator = np.random.Generator(np.random.Philox(depth))
    frames = [np.linalg.qr(generator.normal(size=(3, 3)))[0] for _ in range(depth + 1)]
    targets, size = np.array([3.0, 2.0, 1.0]), 1e-2 ** (1 / depth)
    weights = [size * after @ before.T for before, after in pairwise(frames)]
    times = np.array([0.2, 0.6, 1.0])
    for time, found in zip(times, flow(weights, frames[-1] @ np.diag(targets) @ frames[0].T, times), strict=True):
        expected = [mode_at(time, 1e-2, s, depth) for s in targets]
        assert modes(found) == pytest.approx(expected, rel=1e-6)
        assert max(np.abs(c).max() for c in conserved(found)) < 1e-9


def test_small_starts_learn_one_rank_after_the_other():
    """From random small weights the product stays near the best approximations of rank 1, 2, 3 in turn."""
    generator = np.random.Generator(np.random.Philox(5))
    u, v = (np.linalg.qr(generator.normal(size=(4, 4)))[0][:, :3] for _ in range(2))
    targets = np.array([4.0, 2.0, 1.0])
    goal = u * targets @ v.T
    weights = [0.03 * np.linalg.qr(generator.normal(size=(4, 4)))[0] for _ in range(3)]
    found = flow(weights, goal, np.linspace(0, 300, 1201))
    products = [w[2] @ w[1] @ w[0] for w in found]
    for rank in (1, 2, 3):
        best = u[:, :rank] * targets[:rank] @ v[:, :rank].T
        assert min(np.linalg.norm(p - best) for p in products) < 0.1
    assert np.linalg.norm(products[-1] - goal) < 1e-3


def test_says_what_is_wrong():
    for start, end, target, depth in [(0, 0.5, 1, 2), (0.1, 1, 1, 2), (0.5, 0.1, 1, 2), (0.1, 0.5, 1, 0),
                                      (0.1, 0.5, np.inf, 2), (np.nan, 0.5, 1, 2)]:  # fmt: skip
        with pytest.raises(DomainError, match="Give"):
            mode_time(start, end, target, depth)
    with pytest.raises(DomainError, match="time"):
        mode_at(-1, 0.1, 1, 2)
    for weights, goal in (([], [[1.0]]), ([np.ones((2, 1)), np.ones((1, 1))], [[1.0]]), ([[[np.nan]]], [[1.0]])):
        with pytest.raises(DomainError):
            flow(weights, goal, [1.0])
    for times in ([], [1.0, 0.5], [-1.0, 1.0], [[1.0]]):
        with pytest.raises(DomainError, match="increasing"):
            flow([[[1.0]]], [[1.0]], times)
