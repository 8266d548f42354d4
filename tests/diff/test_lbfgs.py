"""L-BFGS in float64, against numpy.linalg.lstsq and against Adam."""

import jax
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.data import Sample
from epsnet.diff import EpochRecord, FitResult, TrainingInterrupted, defaults, fit, precise
from epsnet.diff import lbfgs as module

RNG = np.random.default_rng(3)
TABLE = RNG.standard_normal((200, 5)) * [1, 100, 1e-3, 7, 1] + [0, 1e4, 5, -2, 0]
TARGETS = np.column_stack((TABLE[:, 0] - TABLE[:, 3], 1e3 * TABLE[:, 2])) + RNG.standard_normal((200, 2))
GRID = np.linspace(0, 1, 101)[:, None]
SINE = np.sin(3 * GRID)


def sine(**changes) -> FitResult:
    options = {"loss": "square", "activation": "tanh", "optimizer": "lbfgs"}
    return fit(GRID, SINE, [1, 20, 1], **options | changes)


def test_least_squares() -> None:
    """One layer: the minimizer is known."""
    result = fit(TABLE, TARGETS, [5, 2], loss="square", optimizer="lbfgs")
    design = np.column_stack((TABLE, np.ones(200)))
    exact = np.linalg.lstsq(design, TARGETS)[0]
    matrix, bias = result.layers[0]
    scale = TABLE.std(axis=0)
    np.testing.assert_allclose(matrix * scale, exact[:-1].T * scale, rtol=0, atol=1e-8 * np.abs(TARGETS).max())
    np.testing.assert_allclose(TABLE @ matrix.T + bias, design @ exact, rtol=0, atol=1e-8 * np.abs(TARGETS).max())
    risk = np.mean(np.sum((design @ exact - TARGETS) ** 2, axis=1))
    assert result.history[-1].empirical_risk == pytest.approx(risk, rel=1e-13)
    assert result.status in ("stationary", "no decrease")
    assert len(result.history) < 100


def test_ridge_regression() -> None:
    """With weight decay the minimizer of the normalized problem solves the regularized normal equations."""
    target, decay = TARGETS[:, :1], 0.3
    result = fit(TABLE, target, [5, 1], loss="square", optimizer="lbfgs", weight_decay=decay)
    x, t = (TABLE - TABLE.mean(0)) / TABLE.std(0), (target - target.mean()) / target.std()
    exact = np.linalg.solve(x.T @ x / 200 + decay / 2 * np.eye(5), x.T @ t / 200)
    np.testing.assert_allclose(result.layers[0][0] * TABLE.std(0) / target.std(), exact.T, rtol=0, atol=1e-9)
    residual = target - TABLE @ result.layers[0][0].T - result.layers[0][1]
    assert result.history[-1].empirical_risk == pytest.approx(np.mean(residual**2), rel=1e-9)


def test_smooth_regression_goes_far_below_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many gradients of the whole sample for both; the step size of Adam is the best of three."""
    calls = []
    scipy_minimize = module.scipy_minimize

    def counting(objective, *arguments, **options):
        def counted(theta):
            calls.append(None)
            return objective(theta)

        return scipy_minimize(counted, *arguments, **options)

    monkeypatch.setattr(module, "scipy_minimize", counting)
    risk = sine(epochs=1000).history[-1].empirical_risk
    rivals = [
        sine(optimizer="adam", step_size=rate, batch_size=101, epochs=len(calls)).history for rate in (1e-3, 1e-2, 3e-2)
    ]
    assert risk < 1e-10
    assert risk < 1e-4 * min(record.empirical_risk for history in rivals for record in history)


def test_classification_with_validation_and_patience() -> None:
    images = RNG.integers(0, 256, (200, 4, 4)).astype(np.uint8)
    labels = (images[:, 0, 0] > images[:, 3, 3]).astype(int)
    validation = (images[:60], labels[:60])
    result = fit(
        images[60:], labels[60:], [16, 6, 2], activation="tanh", optimizer="lbfgs", validation=validation, patience=10
    )
    assert result.status == "patience"
    assert len(result.history) == result.best_epoch + 10
    assert result.history[result.best_epoch - 1].validation_error < 0.25
    risks = [record.empirical_risk for record in result.history]
    assert np.all(np.diff(risks) <= 0)


def test_the_result_does_not_depend_on_the_precision_mode() -> None:
    before = jax.config.jax_enable_x64
    with jax.enable_x64(False):
        plain = sine(epochs=30)
    with precise():
        inside = sine(epochs=30)
    assert plain.history == inside.history
    assert plain.status == "finished"
    assert len(plain.history) == 30
    assert jax.config.jax_enable_x64 == before


def test_interruption_keeps_the_best() -> None:
    def interrupt(record: EpochRecord) -> None:
        if record.epoch == 7:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as caught:
        sine(callback=interrupt)
    assert caught.value.result.status == "interrupted"
    assert caught.value.result.history == sine(epochs=7).history


def test_defaults() -> None:
    options = defaults(Sample(TABLE, TARGETS), "lbfgs")
    result = fit(TABLE, TARGETS, **options | {"epochs": 3})
    assert len(result.history) == 3


@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 10}, {"step_size": 0.1}, {"schedule": "constant"}, {"warmup": 0.1}, {"checkpoint": "run.npz"}],
    ids=lambda changes: next(iter(changes)),
)
def test_options_of_steps_are_refused(changes: dict) -> None:
    with pytest.raises(DomainError, match=rf"it has no {next(iter(changes))}\. Leave this out"):
        sine(**changes)
