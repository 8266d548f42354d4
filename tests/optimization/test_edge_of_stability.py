"""Descent and its sharpness: closed forms on quadratics, dense Hessians, the edge of the report, divergence."""

import jax
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.optimization.edge_of_stability import chebyshev_regression, descend
from epsnet.optimization.hessian import Objective, hessian


def quadratic(matrix):
    matrix = np.array(matrix, dtype=float)
    return Objective(lambda theta: theta @ (matrix @ theta) / 2)


def test_a_quadratic_has_a_closed_form():
    generator = np.random.Generator(np.random.Philox(0))
    frame = np.linalg.qr(generator.normal(size=(6, 6)))[0]
    values = np.array([0.1, 0.2, 0.5, 1.0, 2.9, 3.0])
    matrix, start, eta = frame * values @ frame.T, generator.normal(size=6), 0.6
    found = descend(quadratic(matrix), start, eta, 50, every=10, lanczos=6)
    assert found.theta == pytest.approx(frame @ ((1 - eta * values) ** 50 * (frame.T @ start)), abs=1e-12)
    assert found.sharpness == pytest.approx(np.full(5, 3.0), rel=1e-12)
    assert found.edge == pytest.approx(np.full(5, 0.9), rel=1e-12)
    assert found.steps.tolist() == [10, 20, 30, 40, 50] and found.diverged is None
    powers = (1 - eta * values) ** (2 * np.arange(50)[:, None]) * values
    assert found.losses == pytest.approx(powers @ (frame.T @ start) ** 2 / 2, rel=1e-10)


def test_fewer_lanczos_steps_are_below_and_get_there_by_the_warm_start():
    values = np.linspace(0, 1, 40) ** 2
    found = descend(quadratic(np.diag(values)), np.zeros(40), 0.1, 30, every=1, lanczos=3)
    assert (found.sharpness <= 1 + 1e-12).all() and (np.diff(found.sharpness) >= -1e-12).all()
    assert found.sharpness[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [2.0, 0.0, -2.0])
def test_a_breakdown_is_harmless(value):
    """For a multiple of the identity the first vector is an eigenvector."""
    found = descend(quadratic(value * np.eye(5)), np.ones(5), 0.1, 4, every=2, lanczos=5)
    assert found.sharpness == pytest.approx([value, value], rel=1e-12)


@pytest.mark.parametrize("x64", [True, False], ids=["x64", "x32"])
def test_the_edge_of_stability(x64):
    """T17 of the report, in either mode of JAX, and the last sharpness from the dense Hessian."""
    objective, theta = chebyshev_regression()
    steps = 40_000 if x64 else 2_000
    with jax.enable_x64(x64):
        found = descend(objective, theta, 0.08, steps, every=200)
    assert found.sharpness[-1] == pytest.approx(np.linalg.eigvalsh(hessian(objective, found.theta))[-1], rel=1e-10)
    assert found.theta.dtype == np.float64
    if x64:
        assert 0.97 <= found.edge[len(found.edge) // 2 :].mean() <= 1.05
        assert found.edge[0] < 0.3 and found.losses[-1] < 0.1 * found.losses[0]
        assert (np.diff(found.losses[20_000:]) > 0).any()


def test_divergence_is_named():
    """theta_k = (-2)^k: the square overflows at the step that plain floats say; the loss before is finite."""
    found = descend(quadratic([[1.0]]), [1.0], 3.0, 1000, every=10)
    theta, step = 1.0, 1
    while np.isfinite(theta * theta / 2):
        theta, step = -2 * theta, step + 1
    assert found.diverged == step and len(found.losses) == step - 1
    assert found.theta.tolist() == [theta / -2] and np.isfinite(found.losses).all()
    assert len(found.sharpness) == (step - 1) // 10 == len(found.steps)
    assert f"step {step}" in str(found) and "step size below 3" in str(found)


def test_a_loss_that_is_never_finite():
    found = descend(Objective(lambda theta: jax.numpy.log(theta[0])), [-1.0], 0.1, 10, every=5)
    assert found.diverged == 1 and found.theta.tolist() == [-1.0] and not len(found.losses)


def test_says_what_is_wrong():
    for start, eta, steps, every in [([np.nan], 0.1, 10, 5), ([[1.0]], 0.1, 10, 5), ([], 0.1, 10, 5), ([1.0], 0, 10, 5),
                                     ([1.0], np.inf, 10, 5), ([1.0], 0.1, 4, 5), ([1.0], 0.1, 4, 0)]:  # fmt: skip
        with pytest.raises(DomainError, match="Give"):
            descend(quadratic([[1.0]]), start, eta, steps, every=every)
    loss, theta = chebyshev_regression(width=2, points=3)
    with pytest.raises(DomainError, match="has 3 parameters"):
        descend(loss, theta[:3], 0.1, 10, every=5)
    for width, points in ((0, 3), (2, 0)):
        with pytest.raises(DomainError, match="at least one"):
            chebyshev_regression(width, points)
