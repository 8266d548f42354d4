"""Empirical risk minimization: the functions that users call, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.diff import lbfgs, levenberg_marquardt
from epsnet.diff.defaults import ITERATIONS, WHOLE_SAMPLE
from epsnet.diff.losses import LOSSES
from epsnet.diff.optimizers import OPTIMIZERS, SCHEDULES
from epsnet.diff.precision import precise
from epsnet.diff.problem import Pairs, pose
from epsnet.diff.realize import ACTIVATIONS
from epsnet.diff.result import DivergenceError, EpochRecord, FitResult
from epsnet.diff.run import train

Loss = Literal["cross_entropy", "square"]
Schedule = Literal["cosine", "linear", "constant", "exponential", "step", "inverse", "inverse_sqrt"]

_WHOLE_SAMPLE = {"lbfgs": lbfgs.minimize, "levenberg_marquardt": levenberg_marquardt.minimize}


def fit(
    inputs: NDArray[Any],
    labels: NDArray[Any],
    widths: Sequence[int],
    *,
    loss: Loss = "cross_entropy",
    activation: str = "relu",
    optimizer: Literal["adam", "adamw", "momentum", "sgd", "lbfgs", "levenberg_marquardt"] = "adam",
    step_size: float | None = None,
    schedule: Schedule | None = None,
    warmup: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    epochs: int | None = None,
    patience: int | None = None,
    shift: int = 0,
    seed: int = 0,
    validation: Pairs | None = None,
    callback: Callable[[EpochRecord], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> FitResult:
    """Minimize the empirical risk (1/n) sum_i loss(R(Phi)(x_i), y_i) over the networks Phi of the given widths.

    Each epoch visits the examples in a new random order, in batches, with a step theta <- theta - nu_n u_n for each of
    them; what does not fill a batch waits for the next epoch. Inputs (and real targets) are normalized to mean 0 and
    variance 1 for training, and the returned layers undo it. The result depends on the arguments alone: not on
    JAX's precision mode, not on interruptions, not on earlier calls.

    Steps are in float32. The optimizers "lbfgs" and "levenberg_marquardt" make no steps on batches: they minimize the
    risk on all examples in float64, and an epoch is one of their iterations (see `lbfgs.minimize` and
    `levenberg_marquardt.minimize`, which is for the square loss). They are the choice for smooth activations and small
    samples, where they reach risks that no step size does. They refuse the options of steps (step_size, schedule,
    warmup, batch_size, shift) and a checkpoint.

    Arguments:
        inputs: uint8 images (n, h, w), or a real matrix (n, d).
        labels: integers (n,) for cross entropy, real targets (n,) or (n, m) for the square loss.
        widths: (N_0, ..., N_L), from the d inputs (h*w pixels) to the K classes or m targets.
        loss: cross entropy of the softmax of the outputs, or the squared Euclidean distance.
        activation: the name of the activation, see `realize`.
        optimizer: how directions u_n come from gradients, see `optimizers.direction`; or one of the whole sample.
        step_size: the greatest step size nu_n; 0.002 by default.
        schedule: how nu_n falls over the run, see `optimizers.step_sizes`; cosine by default.
        warmup: the share of all steps, in [0, 1), in which nu_n rises linearly.
        weight_decay: lambda >= 0.
        batch_size: examples per step; 64 by default, and at most n.
        epochs: how often each example is visited, 20 by default; the most iterations of an optimizer of the whole
            sample, 1,000 by default.
        patience: stop after so many epochs without a better validation; None never stops early.
        shift: move each image in each epoch by up to so many pixels, 0 or 1, along each axis at random.
        seed: a nonnegative integer.
        validation: a pair (inputs, labels) that selects the best epoch and is never trained on.
        callback: called with the record of each epoch.
        checkpoint: a file to keep the state in; replaced after every epoch in one atomic step.
        resume: continue from the checkpoint if it exists; the result is the one of an uninterrupted run.

    Returns:
        The network of the best epoch, which takes raw inputs, and the history.

    Raises:
        DomainError: data or options make no sense, or the checkpoint belongs to another run.
        DivergenceError: the loss is no longer finite; the best network of the epochs before is attached.
        TrainingInterrupted: a KeyboardInterrupt with the best network so far attached.
    """
    whole = optimizer in WHOLE_SAMPLE
    if whole:
        steps = {"step_size": step_size, "schedule": schedule, "batch_size": batch_size, "checkpoint": checkpoint}
        given = [name for name, value in steps.items() if value is not None]
        given += [name for name, value in (("warmup", warmup), ("shift", shift), ("resume", resume)) if value]
        if given:
            raise DomainError(
                f"{optimizer} works on all examples at once and keeps no checkpoint; it has no {', '.join(given)}. "
                "Leave this out, or use another optimizer."
            )
    options: dict[str, Any] = {
        "widths": widths,
        "loss": loss,
        "activation": activation,
        "optimizer": optimizer,
        "step_size": 2e-3 if step_size is None else step_size,
        "schedule": "cosine" if schedule is None else schedule,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "batch_size": 64 if batch_size is None else batch_size,
        "epochs": epochs if epochs is not None else ITERATIONS if whole else 20,
        "patience": patience,
        "shift": shift,
        "seed": int(seed),
    }
    if whole:
        _check(options, [options["seed"]], np.asarray(inputs))
        with precise():
            problem = pose((inputs, labels), validation, options["widths"], loss, np.float64)
            result = _WHOLE_SAMPLE[optimizer](problem, options, options["seed"], callback)
    else:
        report = None if callback is None else lambda news: callback(news[options["seed"]])
        path = (checkpoint, resume)
        (result,) = _train(inputs, labels, options, [options["seed"]], options["seed"], validation, report, *path)
    if result.status == "diverged":
        raise DivergenceError(_divergence(result, options, whole), result)
    return result


def _divergence(result: FitResult, options: dict[str, Any], whole: bool) -> str:
    if whole:
        return (
            f"The loss or a weight left the finite numbers in iteration {result.diverged_at} of {options['epochs']}; "
            "what was reached before is kept. Train again from another seed, or with weight decay."
        )
    return (
        f"The loss or a weight left the finite numbers in epoch {len(result.history) + 1} of {options['epochs']}, step "
        f"{result.diverged_at} of the run (step size {options['step_size']:g}); the epochs before are kept. "
        "Train again with a smaller step size."
    )


def fit_seeds(
    inputs: NDArray[Any],
    labels: NDArray[Any],
    widths: Sequence[int],
    *,
    seeds: Sequence[int],
    order_seed: int = 0,
    loss: Loss = "cross_entropy",
    activation: str = "relu",
    optimizer: Literal["adam", "adamw", "momentum", "sgd"] = "adam",
    step_size: float = 2e-3,
    schedule: Schedule = "cosine",
    warmup: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int = 64,
    epochs: int = 20,
    patience: int | None = None,
    shift: int = 0,
    validation: Pairs | None = None,
    callback: Callable[[dict[int, EpochRecord]], None] | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> list[FitResult]:
    """Train one network for each seed, all at once, on the same batches: as `fit`, in a fraction of its time.

    The seeds differ in the initialization only. The order of the examples, and the shifts of images, are drawn once,
    from `order_seed`, and shared. So the spread of the results over the seeds is conditional on that order: it is the
    spread due to the initialization, in general less than that of runs that also draw their own order. The network of
    the seed s is the one of `fit` with the initialization of s and the order of `order_seed`, up to the rounding of
    float32; `fit(..., seed=s)` is `fit_seeds(..., seeds=[s], order_seed=s)` to the last bit.

    A network that diverges, or is past its patience, keeps its best epoch and no longer counts; the others go on.

    Arguments:
        inputs: as in `fit`.
        labels: as in `fit`.
        widths: as in `fit`, the same for all networks.
        seeds: different nonnegative integers.
        order_seed: a nonnegative integer.
        loss: as in `fit`.
        activation: as in `fit`.
        optimizer: as in `fit`.
        step_size: as in `fit`.
        schedule: as in `fit`.
        warmup: as in `fit`.
        weight_decay: as in `fit`.
        batch_size: as in `fit`.
        epochs: as in `fit`.
        patience: as in `fit`, for each network by itself.
        shift: as in `fit`.
        validation: as in `fit`; each network has its own best epoch.
        callback: called after each epoch with the records, by seed, of the networks that still counted.
        checkpoint: as in `fit`, one file for all networks.
        resume: as in `fit`.

    Returns:
        The results in the order of the seeds. One that diverged has this status and holds the best epoch before.

    Raises:
        DomainError: data or options make no sense, or the checkpoint belongs to another run.
        TrainingInterrupted: a KeyboardInterrupt with the results so far attached.
    """
    seeds, order_seed = [int(seed) for seed in seeds], int(order_seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise DomainError(f"The seeds {seeds} are none, or not different. Give different nonnegative integers.")
    options: dict[str, Any] = {
        "widths": widths, "loss": loss, "activation": activation, "optimizer": optimizer, "step_size": step_size,
        "schedule": schedule, "warmup": warmup, "weight_decay": weight_decay, "batch_size": batch_size,
        "epochs": epochs, "patience": patience, "shift": shift, "seeds": seeds, "order_seed": order_seed,
    }  # fmt: skip
    return _train(inputs, labels, options, seeds, order_seed, validation, callback, checkpoint, resume)


def _train(
    inputs: NDArray[Any],
    labels: NDArray[Any],
    options: dict[str, Any],
    seeds: list[int],
    order_seed: int,
    validation: Pairs | None,
    callback: Callable[[dict[int, EpochRecord]], None] | None,
    checkpoint: str | Path | None,
    resume: bool,
) -> list[FitResult]:
    _check(options, [*seeds, order_seed], np.asarray(inputs))
    problem = pose((inputs, labels), validation, options["widths"], options["loss"], np.float32)
    options["batch_size"] = min(options["batch_size"], len(problem.train[1]))
    options["data"] = problem.sha256
    with jax.enable_x64(False):  # float32 whatever the caller's mode, so that the result does not depend on it
        path = None if checkpoint is None else Path(checkpoint)
        return train(problem, options, seeds, order_seed, callback, path, resume)


def _check(options: dict[str, Any], seeds: list[int], inputs: NDArray[Any]) -> None:
    """Give the options their types, and refuse those that make no sense."""
    options["widths"] = [int(width) for width in options["widths"]]
    for names, number in (
        (("step_size", "warmup", "weight_decay"), float),
        (("batch_size", "epochs", "shift"), int),
    ):
        options.update({name: number(options[name]) for name in names})
    for name, known in (
        ("loss", LOSSES),
        ("activation", ACTIVATIONS),
        ("optimizer", [*OPTIMIZERS, *WHOLE_SAMPLE] if "seed" in options else OPTIMIZERS),
        ("schedule", SCHEDULES),
    ):
        if options[name] not in known:
            raise DomainError(f"The {name} {options[name]!r} is unknown. Use one of {', '.join(known)}.")
    for name in ("batch_size", "epochs", "step_size"):
        if not options[name] > 0:
            raise DomainError(f"{name} is {options[name]}. Give a positive number.")
    if options["patience"] is not None and options["patience"] < 1:
        raise DomainError(f"patience is {options['patience']}. Give a positive number of epochs, or None.")
    if not options["weight_decay"] >= 0 or min(seeds) < 0:
        raise DomainError("weight_decay or a seed is negative. Give nonnegative numbers.")
    if len(options["widths"]) < 2 or min(options["widths"]) < 1:
        raise DomainError(f"The widths {options['widths']} make no network. Give at least two positive integers.")
    if options["shift"] not in (0, 1) or (options["shift"] and inputs.ndim != 3):
        raise DomainError(f"shift is {options['shift']}. Give 0, or 1 for uint8 images (n, h, w).")
    if not 0 <= options["warmup"] < 1:
        raise DomainError(f"warmup is {options['warmup']}. Give the share of the steps in [0, 1).")
