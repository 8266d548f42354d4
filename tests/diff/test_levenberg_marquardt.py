"""Levenberg-Marquardt in float64, against numpy.linalg.lstsq, normal equations and L-BFGS."""

import jax
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.diff import DivergenceError, EpochRecord, TrainingInterrupted, fit, precise, whole_sample
from epsnet.diff import levenberg_marquardt as module

RNG = np.random.default_rng(3)
TABLE = RNG.standard_normal((200, 5)) * [1, 100, 1e-3, 7, 1] + [0, 1e4, 5, -2, 0]
TARGETS = np.column_stack((TABLE[:, 0] - TABLE[:, 3], 1e3 * TABLE[:, 2])) + RNG.standard_normal((200, 2))
GRID = np.linspace(0, 1, 101)[:, None]
SINE = np.sin(3 * GRID)


def sine(**changes):
    options = {"loss": "square", "activation": "tanh", "optimizer": "levenberg_marquardt"}
    return fit(GRID, SINE, [1, 10, 1], **options | changes)


def test_least_squares():
    """One layer: the minimizer is known, and nearly a Gauss-Newton step away."""
    result = fit(TABLE, TARGETS, [5, 2], loss="square", optimizer="levenberg_marquardt")
    design = np.column_stack((TABLE, np.ones(200)))
    exact = design @ np.linalg.lstsq(design, TARGETS)[0]
    matrix, bias = result.layers[0]
    np.testing.assert_allclose(TABLE @ matrix.T + bias, exact, rtol=0, atol=1e-9 * np.abs(TARGETS).max())
    risk = np.mean(np.sum((exact - TARGETS) ** 2, axis=1))
    assert result.history[-1].empirical_risk == pytest.approx(risk, rel=1e-13)
    assert result.status in ("stationary", "no decrease") and len(result.history) < 60


def test_ridge_regression():
    """With weight decay the minimizer of the normalized problem solves the regularized normal equations."""
    target, decay = TARGETS[:, :1], 0.3
    options = {"loss": "square", "optimizer": "levenberg_marquardt", "weight_decay": decay}
    result = fit(TABLE, target, [5, 1], **options)
    x, t = (TABLE - TABLE.mean(0)) / TABLE.std(0), (target - target.mean()) / target.std()
    exact = np.linalg.solve(x.T @ x / 200 + decay / 2 * np.eye(5), x.T @ t / 200)
    np.testing.assert_allclose(result.layers[0][0] * TABLE.std(0) / target.std(), exact.T, rtol=0, atol=1e-9)
    residual = target - TABLE @ result.layers[0][0].T - result.layers[0][1]
    assert result.history[-1].empirical_risk == pytest.approx(np.mean(residual**2), rel=1e-9)


def test_the_residuals_are_those_of_the_objective():
    options = {"widths": [5, 4, 2], "activation": "sigmoid", "weight_decay": 0.7, "loss": "square", "epochs": 1}
    with precise():
        problem = module.Problem(*whole_problem())
        sample = whole_sample.WholeSample(problem, options, 1, None)
        theta = sample.start + 0.1
        value, slope = sample.value_and_gradient(theta)
        residual = np.asarray(sample.residuals(jax.numpy.asarray(theta), sample.pairs))
        jacobian = np.asarray(jax.jacrev(sample.residuals)(theta, sample.pairs))
    assert residual @ residual == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(2 * residual @ jacobian, slope, rtol=1e-11, atol=1e-13)


def whole_problem():
    from epsnet.diff.problem import pose

    return pose((TABLE, TARGETS), None, [5, 4, 2], "square", np.float64)


def test_far_below_quasi_newton_steps_on_a_smooth_function():
    rival = sine(optimizer="lbfgs", epochs=150)
    result = sine(epochs=150)
    assert result.history[-1].empirical_risk < 1e-2 * rival.history[-1].empirical_risk
    risks = [record.empirical_risk for record in result.history]
    assert np.all(np.diff(risks) <= 0) and result.best_epoch == len(risks)


def test_the_result_does_not_depend_on_the_precision_mode():
    before = jax.config.jax_enable_x64
    with jax.enable_x64(False):
        plain = sine(epochs=20)
    with precise():
        inside = sine(epochs=20)
    assert plain.history == inside.history and plain.status == "finished"
    assert jax.config.jax_enable_x64 == before


def test_validation_and_patience():
    noisy = SINE + 0.3 * RNG.standard_normal(SINE.shape)
    result = fit(
        GRID, noisy, [1, 30, 1], loss="square", activation="tanh", optimizer="levenberg_marquardt",
        validation=(GRID + 0.004, SINE), patience=5,
    )  # fmt: skip
    assert result.status == "patience" and len(result.history) == result.best_epoch + 5


def test_interruption_keeps_the_best():
    def interrupt(record: EpochRecord) -> None:
        if record.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as caught:
        sine(callback=interrupt)
    assert caught.value.result.status == "interrupted"
    assert caught.value.result.history == sine(epochs=4).history


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenberg_marquardt"])
def test_a_start_that_overflows(optimizer, monkeypatch):
    """The loss is not finite at the start: the start is handed back, with the step and what to change."""
    draw = whole_sample.randomness.initial_params

    def initial(widths, activation, seed):
        return [(matrix.astype(float) * 1e200, bias) for matrix, bias in draw(widths, activation, seed)]

    monkeypatch.setattr(whole_sample.randomness, "initial_params", initial)
    with pytest.raises(DivergenceError, match=r"in iteration 1 of 9; .* another seed") as caught:
        sine(optimizer=optimizer, activation="relu", epochs=9)
    result = caught.value.result
    assert (result.status, result.diverged_at, result.best_epoch, result.history) == ("diverged", 1, 0, [])
    assert all(np.isfinite(part).all() for layer in result.layers for part in layer)


def test_what_it_is_not_for():
    with pytest.raises(DomainError, match="square loss"):
        fit(GRID, np.zeros(101, int), [1, 2], optimizer="levenberg_marquardt")
    with pytest.raises(DomainError, match="too large for memory"):
        fit(np.zeros((2000, 3)), np.zeros(2000), [3, 20_000, 1], loss="square", optimizer="levenberg_marquardt")
    with pytest.raises(DomainError, match="it has no step_size"):
        sine(step_size=0.1)
