"""Laws of training many seeds at once: each network is the one that `fit` trains, and none harms another."""

from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.diff import EpochRecord, FitResult, TrainingInterrupted, fit, fit_seeds
from epsnet.diff.losses import LOSSES
from epsnet.diff.realize import ACTIVATIONS, realize
from epsnet.diff.steps import realize_side_by_side

RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 256, (300, 8, 8)).astype(np.uint8)
LABELS = np.where(IMAGES[:, :4].mean((1, 2)) > IMAGES[:, 4:].mean((1, 2)), 0, 1 + (IMAGES[:, 0, 0] > 127))
TABLE = RNG.standard_normal((120, 3))
TARGETS = np.column_stack((np.sin(TABLE[:, 0]), TABLE[:, 1] * TABLE[:, 2]))
SEEDS = [4, 0, 11]


def train(**changes) -> list[FitResult]:
    options = {"seeds": SEEDS, "epochs": 4, "batch_size": 20, "shift": 1, "validation": (IMAGES[:50], LABELS[:50])}
    return fit_seeds(IMAGES[50:], LABELS[50:], [64, 8, 5, 3], **options | changes)


def assert_same(first: FitResult, second: FitResult) -> None:
    assert (first.history, first.best_epoch, first.status) == (second.history, second.best_epoch, second.status)
    for left, right in zip(jax.tree.leaves(first.layers), jax.tree.leaves(second.layers), strict=True):
        assert left.tobytes() == right.tobytes()


def assert_close(first: FitResult, second: FitResult, tolerance: float) -> None:
    np.testing.assert_allclose(first.history, second.history, rtol=tolerance, atol=tolerance)
    for left, right in zip(jax.tree.leaves(first.layers), jax.tree.leaves(second.layers), strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * np.abs(right).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [[6, 2], [6, 5, 2], [6, 5, 4, 2]], ids=str)
def test_realize_side_by_side(activation: str, widths: list[int]) -> None:
    rng = np.random.default_rng(len(widths))
    params = [
        (rng.standard_normal((4, n, m)).astype(np.float32), rng.standard_normal((4, n)).astype(np.float32))
        for m, n in pairwise(widths)
    ]
    x = rng.standard_normal((9, 6)).astype(np.float32)
    together = np.asarray(realize_side_by_side(params, activation, x))
    assert together.shape == (4, 2, 9)
    for index in range(4):
        alone = realize([(matrix[index], bias[index]) for matrix, bias in params], activation, x)
        np.testing.assert_allclose(together[index].T, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_along_the_other_axis(loss: str) -> None:
    outputs = RNG.standard_normal((13, 4)).astype(np.float32)
    labels = RNG.integers(0, 4, 13) if loss == "cross_entropy" else RNG.standard_normal((13, 4)).astype(np.float32)
    assert LOSSES[loss](outputs.T, labels, axis=0) == pytest.approx(float(LOSSES[loss](outputs, labels)), rel=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum", "sgd"])
@pytest.mark.parametrize("task", ["classes", "regression"])
def test_each_network_is_the_one_that_is_trained_alone(optimizer: str, task: str) -> None:
    options = {"optimizer": optimizer, "step_size": 1e-2, "weight_decay": 1e-3, "batch_size": 25, "epochs": 3}
    if task == "classes":
        arguments = (IMAGES[50:], LABELS[50:], [64, 8, 3])
        options |= {"validation": (IMAGES[:50], LABELS[:50]), "shift": 1}
    else:
        arguments = (TABLE, TARGETS, [3, 6, 2])
        options |= {"loss": "square", "activation": "tanh"}
    together = fit_seeds(*arguments, seeds=SEEDS, order_seed=5, **options)
    for seed, result in zip(SEEDS, together, strict=True):
        (alone,) = fit_seeds(*arguments, seeds=[seed], order_seed=5, **options)
        assert_close(result, alone, 2e-4)
    assert together[0].history != together[1].history


def test_fit_is_the_case_of_one_seed() -> None:
    options = {"epochs": 3, "batch_size": 20, "shift": 1, "validation": (IMAGES[:50], LABELS[:50])}
    alone = fit(IMAGES[50:], LABELS[50:], [64, 8, 5, 3], seed=6, **options)
    assert_same(train(seeds=[6], order_seed=6, epochs=3)[0], alone)


def test_the_order_of_the_examples_is_shared_and_has_its_own_seed() -> None:
    first, second = train(order_seed=0), train(order_seed=1)
    assert all(a.history != b.history for a, b in zip(first, second, strict=True))
    for one, other in zip(first, train(order_seed=0), strict=True):
        assert_same(one, other)


def test_early_stopping_is_one_for_each_network() -> None:
    labels = RNG.integers(0, 3, 250)  # nothing to learn: validation gets worse while the networks memorize
    options = {"step_size": 1e-2, "schedule": "constant", "patience": 5, "shift": 0, "epochs": 60}
    arguments = (IMAGES[50:], labels, [64, 8, 3])
    options |= {"seeds": range(6), "validation": (IMAGES[:50], LABELS[:50])}
    heard: list[dict[int, EpochRecord]] = []
    results = fit_seeds(*arguments, callback=heard.append, **options)
    lengths = [len(result.history) for result in results]
    assert len(set(lengths)) > 1
    assert len(heard) == max(lengths) < 60
    for seed, result in enumerate(results):
        assert result.status == "patience"
        assert len(result.history) == result.best_epoch + 5
        assert [news[seed] for news in heard if seed in news] == result.history
        errors = [record.validation_error for record in result.history]
        assert errors[result.best_epoch - 1] == min(errors)


def test_a_network_that_diverges_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from epsnet.diff import run

    draw = run.randomness.initial_params

    def initial(widths, activation, seed):  # the middle network starts where the square loss overflows in a few steps
        return [(matrix * np.float32(1e9 if seed == 0 else 1), bias) for matrix, bias in draw(widths, activation, seed)]

    options = {"loss": "square", "optimizer": "sgd", "step_size": 0.01, "batch_size": 60, "epochs": 6}
    options["validation"] = (TABLE[:20], TARGETS[:20])
    healthy = fit_seeds(TABLE, TARGETS, [3, 6, 2], seeds=SEEDS, **options)
    monkeypatch.setattr(run.randomness, "initial_params", initial)
    path = tmp_path / "run.npz"
    results = fit_seeds(TABLE, TARGETS, [3, 6, 2], seeds=SEEDS, checkpoint=path, **options)
    assert [result.status for result in results] == ["finished", "diverged", "finished"]
    assert results[1].best_epoch == len(results[1].history) < 6
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(results[1].layers))
    assert_same(results[0], healthy[0])
    assert_same(results[2], healthy[2])
    for one, other in zip(
        results, fit_seeds(TABLE, TARGETS, [3, 6, 2], seeds=SEEDS, checkpoint=path, resume=True, **options), strict=True
    ):
        assert_same(one, other)


@pytest.mark.parametrize("stop", [1, 3])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, stop: int) -> None:
    def interrupt(news: dict[int, EpochRecord]) -> None:
        if news[SEEDS[0]].epoch == stop:
            raise KeyboardInterrupt

    path = tmp_path / "run.npz"
    with pytest.raises(TrainingInterrupted) as caught:
        train(checkpoint=path, callback=interrupt)
    assert [result.status for result in caught.value.results] == ["interrupted"] * 3
    assert [len(result.history) for result in caught.value.results] == [stop] * 3
    resumed = train(checkpoint=path, resume=True)
    for one, other, again in zip(resumed, train(), train(checkpoint=path, resume=True), strict=True):
        assert_same(one, other)
        assert_same(one, again)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DomainError, match="a different order_seed, seeds"):
        train(checkpoint=path, resume=True, seeds=[4, 0], order_seed=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "Give different nonnegative integers"),
        ({"seeds": [1, 1]}, "Give different nonnegative integers"),
        ({"seeds": [1, -1]}, "negative"),
        ({"order_seed": -1}, "negative"),
        ({"optimizer": "lbfgs"}, "Use one of sgd, momentum, adam, adamw"),
        ({"warmup": 1.0}, r"warmup is 1.0"),
    ],
    ids=["none", "twice", "negative", "order", "lbfgs", "warmup"],
)
def test_bad_options(changes: dict, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        train(**changes)
