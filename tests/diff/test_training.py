"""Laws of training: reproducible, resumable, honest about failure."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.data import Sample, load_mnist
from epsnet.diff import DivergenceError, EpochRecord, FitResult, TrainingInterrupted, defaults, fit, precise, randomness
from epsnet.diff import steps as module
from epsnet.diff.batches import shifts
from epsnet.diff.losses import LOSSES
from epsnet.diff.optimizers import step_sizes
from epsnet.diff.randomness import offsets, order

WIDTHS = [64, 8, 3]
RNG = np.random.default_rng(1)
IMAGES = RNG.integers(0, 256, (300, 8, 8)).astype(np.uint8)
LABELS = np.where(IMAGES[:, :4].mean((1, 2)) > IMAGES[:, 4:].mean((1, 2)), 0, 1 + (IMAGES[:, 0, 0] > 127))
TABLE = RNG.standard_normal((400, 3)) * [1, 100, 1e-3] + [0, 1e4, 5]
TARGETS = 40 + 7 * np.sin(TABLE[:, 0]) + 0.1 * TABLE[:, 1]


def evaluate(result: FitResult, inputs: np.ndarray) -> np.ndarray:
    """Realize a ReLU network in NumPy float64 on raw inputs."""
    value = inputs.reshape(len(inputs), -1).astype(np.float64)
    for matrix, bias in result.layers[:-1]:
        value = np.maximum(value @ matrix.T + bias, 0)
    matrix, bias = result.layers[-1]
    return value @ matrix.T + bias


def train(**changes) -> FitResult:
    options = {"epochs": 4, "batch_size": 20, "shift": 1, "validation": (IMAGES[:50], LABELS[:50])} | changes
    return fit(IMAGES[50:], LABELS[50:], WIDTHS, **options)


def assert_same(first: FitResult, second: FitResult) -> None:
    assert first.history == second.history
    assert first.best_epoch == second.best_epoch
    for left, right in zip(first.layers, second.layers, strict=True):
        for one, other in zip(left, right, strict=True):
            assert one.dtype == np.float64
            assert one.tobytes() == other.tobytes()


def test_the_network_takes_raw_inputs_and_its_risk_is_the_reported_one() -> None:
    result = train(epochs=3)
    z = evaluate(result, IMAGES[:50])
    top = z.max(axis=1)
    risk = np.mean(top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - z[np.arange(50), LABELS[:50]])
    record = result.history[result.best_epoch - 1]
    assert record.validation_risk == pytest.approx(risk, rel=1e-5)
    assert record.validation_error == pytest.approx(np.mean(z.argmax(axis=1) != LABELS[:50]))


def test_regression_learns_in_the_units_of_the_data() -> None:
    train_part, held_out = slice(0, 300), slice(300, None)
    result = fit(
        TABLE[train_part],
        TARGETS[train_part],
        [3, 32, 1],
        loss="square",
        step_size=1e-2,
        batch_size=25,
        epochs=100,
        validation=(TABLE[held_out], TARGETS[held_out]),
    )
    residual = evaluate(result, TABLE[held_out])[:, 0] - TARGETS[held_out]
    record = result.history[result.best_epoch - 1]
    assert record.validation_error == pytest.approx(np.sqrt(np.mean(residual**2)), rel=1e-3)
    assert record.validation_risk == pytest.approx(np.mean(residual**2), rel=1e-3)
    assert record.validation_error < 0.2 * TARGETS.std()


def test_constant_features_and_several_targets() -> None:
    table = np.column_stack((TABLE, np.full(400, 3.0)))
    result = fit(table, np.column_stack((TARGETS, -TARGETS)), [4, 5, 2], loss="square", epochs=2)
    assert evaluate(result, table).shape == (400, 2)
    assert result.best_epoch == 2


def test_seeds() -> None:
    assert_same(train(seed=3), train(seed=3))
    assert train(seed=3).history != train(seed=4).history


def test_precision_modes_agree_to_the_last_bit() -> None:
    before = jax.config.jax_enable_x64
    with jax.enable_x64(False):
        plain = train()
    with precise():
        inside = train()
    assert_same(plain, inside)
    assert jax.config.jax_enable_x64 == before


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_optimizers_reduce_the_risk(optimizer: str, schedule: str) -> None:
    rate = 1e-2 if optimizer.startswith("adam") else 5e-2
    options = {"optimizer": optimizer, "schedule": schedule, "step_size": rate, "weight_decay": 1e-4}
    result = train(epochs=8, shift=0, **options)
    assert result.history[-1].empirical_risk < 0.8 * result.history[0].empirical_risk


def test_sgd_is_the_documented_iteration() -> None:
    """One epoch of two steps on a linear network, against NumPy."""
    x, y = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 1))
    result = fit(x, y, [3, 1], loss="square", optimizer="sgd", step_size=0.1, weight_decay=0.3, batch_size=20, epochs=1)
    center, scale, mean, unit = x.mean(0), x.std(0), y.mean(), y.std()
    u, t = (x - center) / scale, (y - mean) / unit
    a, b = (leaf.astype(np.float64) for leaf in randomness.initial_params([3, 1], "relu", 0)[0])
    indices = order(40, 0, 0)
    for part, rate in ((indices[:20], 0.1), (indices[20:], 0.1 * (1 + np.cos(np.pi / 2)) / 2)):
        residual = u[part] @ a.T + b - t[part]
        gradient, drift = 2 * residual.T @ u[part] / 20 + 0.3 * a, 2 * residual.mean(0) + 0.3 * b
        a, b = a - rate * gradient, b - rate * drift
    matrix, bias = result.layers[0]
    np.testing.assert_allclose(matrix, unit * a / scale, rtol=1e-5)
    np.testing.assert_allclose(bias, unit * (b - a @ (center / scale)) + mean, rtol=1e-5)


def test_step_sizes() -> None:
    rates = step_sizes("cosine", 2.0, 3, 4)
    assert rates.shape == (3, 4)
    assert rates.dtype == np.float32
    assert rates[0, 0] == 2.0
    assert np.all(np.diff(rates.ravel()) < 0)
    np.testing.assert_allclose(step_sizes("linear", 1.0, 1, 4), [[1, 0.75, 0.5, 0.25]])
    assert np.all(step_sizes("constant", 0.5, 2, 2) == 0.5)
    np.testing.assert_allclose(step_sizes("step", 2.0, 2, 4), [[2, 2, 2, 2], [0.2, 0.2, 0.02, 0.02]], rtol=1e-6)
    np.testing.assert_allclose(step_sizes("exponential", 1.0, 3, 2).ravel(), 10 ** (-np.arange(6) / 2), rtol=1e-6)


def test_step_sizes_of_stochastic_approximation() -> None:
    n = np.arange(12)
    np.testing.assert_allclose(step_sizes("inverse", 2.0, 3, 4).ravel(), 2 / (1 + n / 4), rtol=1e-6)
    np.testing.assert_allclose(step_sizes("inverse_sqrt", 2.0, 3, 4).ravel(), 2 / np.sqrt(1 + n / 4), rtol=1e-6)
    longer = step_sizes("inverse", 2.0, 5, 4)
    assert np.array_equal(longer[:3], step_sizes("inverse", 2.0, 3, 4))  # they do not know the end


def test_warmup() -> None:
    plain, warm = step_sizes("cosine", 1.0, 5, 4), step_sizes("cosine", 1.0, 5, 4, warmup=0.2)
    np.testing.assert_allclose(warm.ravel()[:4], plain.ravel()[:4] * [0.25, 0.5, 0.75, 1], rtol=1e-6)
    assert np.array_equal(warm[1:], plain[1:])
    assert train(warmup=0.5).history != train().history


def test_shifts_move_by_at_most_one_pixel_and_reach_all_nine_places() -> None:
    padded = np.pad(IMAGES, ((0, 0), (1, 1), (1, 1)), mode="edge")
    indices, places, moved = order(300, 0, 0), offsets(300, 1, seed=0, epoch=0), np.empty((300, 64), np.uint8)
    shifts(IMAGES, 1)(indices, places, moved)
    for index, i, j, result in zip(indices, *places, moved, strict=True):
        assert np.array_equal(padded[index, i : i + 8, j : j + 8], result.reshape(8, 8))
    assert len(set(zip(*places.tolist(), strict=True))) == 9


def test_a_thousand_steps_trace_the_loss_at_most_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = []

    def counted(outputs, labels):
        traces.append(outputs.shape)
        return LOSSES["cross_entropy"](outputs, labels)

    monkeypatch.setattr(module, "LOSSES", {"cross_entropy": counted})
    result = train(epochs=100, batch_size=25)
    assert len(result.history) * (250 // 25) == 1000
    assert len(traces) <= 2


def test_early_stopping_keeps_the_best_epoch() -> None:
    labels = RNG.integers(0, 3, 250)  # nothing to learn: validation gets worse while the network memorizes
    options = {"step_size": 1e-2, "schedule": "constant", "epochs": 60, "patience": 5}
    result = fit(IMAGES[50:], labels, WIDTHS, validation=(IMAGES[:50], LABELS[:50]), **options)
    assert result.status == "patience"
    assert len(result.history) == result.best_epoch + 5
    errors = [record.validation_error for record in result.history]
    assert errors[result.best_epoch - 1] == min(errors)


@pytest.mark.parametrize("stop", [1, 3])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, stop: int) -> None:
    def interrupt(record: EpochRecord) -> None:
        if record.epoch == stop:
            raise KeyboardInterrupt

    path = tmp_path / "run.npz"
    with pytest.raises(TrainingInterrupted) as caught:
        train(checkpoint=path, callback=interrupt)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.result.status == "interrupted"
    assert len(caught.value.result.history) == stop
    records: list[EpochRecord] = []
    resumed = train(checkpoint=path, resume=True, callback=records.append)
    assert [record.epoch for record in records] == list(range(stop + 1, 5))
    assert_same(resumed, train())
    assert_same(train(checkpoint=path, resume=True), resumed)
    assert list(tmp_path.iterdir()) == [path]


VICTIM = """
import sys, numpy as np
from epsnet.diff import fit
rng = np.random.default_rng(2)
x, y = rng.integers(0, 256, (400, 8, 8)).astype(np.uint8), rng.integers(0, 3, 400)
result = fit(x, y, [64, 8, 3], epochs=400, batch_size=20, shift=1, validation=(x[:50], y[:50]), seed=5,
             checkpoint=sys.argv[1], resume=True, callback=lambda record: print(record.epoch, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_kill_9_and_resume(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    process = subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, env=os.environ.copy())
    assert process.stdout is not None
    while int(process.stdout.readline()) < 5:
        pass
    time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    with np.load(path) as archive:
        assert 5 <= len(archive["history"]) < 400

    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 256, (400, 8, 8)).astype(np.uint8), rng.integers(0, 3, 400)
    options = {"epochs": 400, "batch_size": 20, "shift": 1, "validation": (x[:50], y[:50]), "seed": 5}
    resumed = fit(x, y, WIDTHS, checkpoint=path, resume=True, **options)
    assert_same(resumed, fit(x, y, WIDTHS, **options))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    train(checkpoint=path, epochs=1)
    with pytest.raises(DomainError, match="a different epochs, seed"):
        train(checkpoint=path, resume=True, epochs=2, seed=1)
    with pytest.raises(DomainError, match="a different data"):
        train(checkpoint=path, resume=True, epochs=1, validation=(IMAGES[:40], LABELS[:40]))
    path.write_bytes(b"PK nonsense")
    with pytest.raises(DomainError, match="no checkpoint of a training run"):
        train(checkpoint=path, resume=True)
    assert train(checkpoint=path, epochs=1).best_epoch == 1


def test_divergence_keeps_the_last_finite_state(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    options = {"loss": "square", "optimizer": "sgd", "step_size": 50.0, "batch_size": 400, "epochs": 200}
    with pytest.raises(DivergenceError, match=r"in epoch \d+ of 200, step \d+ .* smaller step size") as caught:
        fit(TABLE, TARGETS, [3, 1], checkpoint=path, **options)
    result = caught.value.result
    assert result.status == "diverged"
    assert 0 < len(result.history) < 200
    assert result.diverged_at == len(result.history) + 1  # one step makes an epoch here
    with pytest.raises(DivergenceError, match=f"step {result.diverged_at} "):
        fit(TABLE, TARGETS, [3, 1], checkpoint=path, resume=True, **options)
    assert all(np.all(np.isfinite(leaf)) for layer in result.layers for leaf in layer)
    with np.load(path) as archive:
        assert np.isfinite(archive["history"][:, 0, 0]).sum() == len(result.history)


BAD = [
    ({"loss": "hinge"}, "Use one of cross_entropy, square"),
    ({"optimizer": "newton"}, "Use one of sgd, momentum, adam, adamw, lbfgs"),
    ({"schedule": "magic"}, "Use one of constant, linear, cosine"),
    ({"activation": "selu"}, "Use one of relu"),
    ({"epochs": 0}, "epochs is 0"),
    ({"step_size": float("nan")}, "step_size is nan"),
    ({"batch_size": -1}, "batch_size is -1"),
    ({"weight_decay": -1.0}, "negative"),
    ({"patience": 0}, "patience is 0"),
    ({"shift": 2}, "shift is 2"),
    ({"validation": (IMAGES[:5, :4], LABELS[:5])}, "first width is 64"),
    ({"validation": (IMAGES[:5].reshape(5, 64), LABELS[:5])}, "do not look like"),
    ({"validation": (IMAGES[:5], LABELS[:5] + 3)}, "not integers in 0, ..., 2"),
    ({"loss": "square"}, "1 columns, but the last width is 3"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_options(changes: dict, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        train(**changes)


def test_bad_data() -> None:
    table = TABLE.copy()
    table[3, 1] = np.nan
    with pytest.raises(DomainError, match="NaN or infinity"):
        fit(table, TARGETS, [3, 1], loss="square")
    with pytest.raises(DomainError, match="0, or 1 for uint8 images"):
        fit(TABLE, TARGETS, [3, 1], loss="square", shift=1)
    with pytest.raises(DomainError, match="targets contain NaN"):
        fit(TABLE, TARGETS * np.inf, [3, 1], loss="square")
    with pytest.raises(DomainError, match="400 training inputs and 3 labels"):
        fit(TABLE, TARGETS[:3], [3, 1], loss="square")
    with pytest.raises(DomainError, match="make no network"):
        fit(TABLE, TARGETS, [3], loss="square")
    with pytest.raises(DomainError, match="too large to square"):
        fit(np.eye(3), np.array([1e200, 0.0, 1.0]), [3, 2, 1], loss="square", epochs=1)


def test_defaults_train_every_kind_of_sample() -> None:
    samples = [
        Sample(IMAGES, LABELS, classes=("a", "b", "c")),
        Sample(TABLE, TARGETS),
        Sample(TABLE, np.arange(400) % 2, classes=("a", "b")),
    ]
    for sample in samples:
        options = defaults(sample)
        assert (options["widths"][0], options["widths"][-1]) == (sample.dimension, sample.outputs)
        result = fit(sample.inputs, sample.labels, **options | {"epochs": 2})
        assert len(result.history) == 2


def test_a_few_epochs_learn_mnist() -> None:
    digits = load_mnist("train")
    part, held_out = slice(0, 20_000), slice(55_000, None)
    validation = (digits.inputs[held_out], digits.labels[held_out])
    options = defaults(digits) | {"epochs": 8}
    result = fit(digits.inputs[part], digits.labels[part], validation=validation, **options)
    assert result.history[-1].validation_error < 0.1
