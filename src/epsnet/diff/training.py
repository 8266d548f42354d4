"""Empirical risk minimization: one compiled scan per epoch, reproducible to the last bit, never losing an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.diff import randomness
from epsnet.diff.checkpoint import load_checkpoint, save_checkpoint
from epsnet.diff.losses import LOSSES
from epsnet.diff.normalization import fold
from epsnet.diff.optimizers import OPTIMIZERS, SCHEDULES, direction, step_sizes
from epsnet.diff.problem import Pairs, Problem, pose
from epsnet.diff.realize import ACTIVATIONS, realize
from epsnet.diff.result import DivergenceError, EpochRecord, FitResult, TrainingInterrupted


class _State(NamedTuple):
    """A run between two epochs: NumPy arrays only. `memory` holds the leaves of the optimizer state."""

    params: list[Any]
    memory: list[NDArray[Any]]
    best: list[Any]
    best_epoch: int
    history: tuple[EpochRecord, ...]


def fit(
    inputs: NDArray[Any],
    labels: NDArray[Any],
    widths: Sequence[int],
    *,
    loss: Literal["cross_entropy", "square"] = "cross_entropy",
    activation: str = "relu",
    optimizer: Literal["adam", "adamw", "momentum", "sgd"] = "adam",
    step_size: float = 2e-3,
    schedule: Literal["cosine", "linear", "constant"] = "cosine",
    weight_decay: float = 0.0,
    batch_size: int = 64,
    epochs: int = 20,
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

    Arguments:
        inputs: uint8 images (n, h, w), or a real matrix (n, d).
        labels: integers (n,) for cross entropy, real targets (n,) or (n, m) for the square loss.
        widths: (N_0, ..., N_L), from the d inputs (h*w pixels) to the K classes or m targets.
        loss: cross entropy of the softmax of the outputs, or the squared Euclidean distance.
        activation: the name of the activation, see `realize`.
        optimizer: how directions u_n come from gradients, see `optimizers.direction`.
        step_size: the greatest step size nu_n.
        schedule: how nu_n falls over the whole run: cosine and linear to 0, or constant.
        weight_decay: lambda >= 0.
        batch_size: examples per step; at most n are used.
        epochs: how often each example is visited.
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
    options: dict[str, Any] = {
        "widths": [int(width) for width in widths],
        "loss": loss,
        "activation": activation,
        "optimizer": optimizer,
        "step_size": float(step_size),
        "schedule": schedule,
        "weight_decay": float(weight_decay),
        "batch_size": int(batch_size),
        "epochs": int(epochs),
        "patience": patience,
        "shift": int(shift),
        "seed": int(seed),
    }
    _check(options, np.asarray(inputs))
    problem = pose((inputs, labels), validation, options["widths"], loss)
    options["data"] = problem.sha256
    with jax.enable_x64(False):  # float32 whatever the caller's mode, so that the result does not depend on it
        return _train(problem, options, callback, None if checkpoint is None else Path(checkpoint), resume)


def _train(
    problem: Problem,
    options: dict[str, Any],
    callback: Callable[[EpochRecord], None] | None,
    checkpoint: Path | None,
    resume: bool,
) -> FitResult:
    params = randomness.initial_params(options["widths"], options["activation"], options["seed"])
    update = direction(options["optimizer"], options["weight_decay"])
    memory, memory_structure = jax.tree.flatten(update.init(params))
    state = _State(params, [np.asarray(leaf) for leaf in memory], params, 0, ())
    if checkpoint is not None and resume and checkpoint.exists():
        state = _unpack(load_checkpoint(checkpoint, options), state)

    run_epoch, evaluate = _programs(problem, options, update)
    size = min(options["batch_size"], len(problem.train[1]))
    rates = step_sizes(options["schedule"], options["step_size"], options["epochs"], len(problem.train[1]) // size)
    unit = problem.maps.target_scale**2 if options["loss"] == "square" else 1.0
    patience = options["patience"] or options["epochs"]

    def result(status: Literal["finished", "patience", "interrupted", "diverged"]) -> FitResult:
        return FitResult(fold(state.best, problem.maps), list(state.history), state.best_epoch, status)

    def save() -> None:
        if checkpoint is not None:
            save_checkpoint(checkpoint, options, _pack(state))

    try:
        batches = _batches(problem.train, options, size, start=len(state.history))
        batch = next(batches, None)
        while batch is not None and len(state.history) - state.best_epoch < patience:
            epoch = len(state.history) + 1
            memory = jax.tree.unflatten(memory_structure, state.memory)
            output = run_epoch(state.params, memory, *batch, rates[epoch - 1])
            batch = next(batches, None)  # NumPy prepares the next epoch while XLA computes this one
            params, memory, losses = jax.device_get(output)
            record = EpochRecord(epoch, unit * float(np.mean(losses, dtype=np.float64)), np.nan, np.nan)
            if problem.validation is not None:
                risk, error = (float(value) for value in evaluate(params, *problem.validation))
                record = record._replace(validation_risk=unit * risk, validation_error=unit**0.5 * error)
            seen = record[1:] if problem.validation is not None else record[1:2]
            if not all(np.all(np.isfinite(value)) for value in (*seen, *jax.tree.leaves(params))):
                raise DivergenceError(
                    f"The loss or a weight left the finite numbers in epoch {epoch} of {options['epochs']} (step size "
                    f"{options['step_size']:g}); the epochs before are kept. Train again with a smaller step size.",
                    result("diverged"),
                )
            history = (*state.history, record)
            better = _score(record) <= _score(history[state.best_epoch - 1]) if state.best_epoch else True
            best, best_epoch = (params, epoch) if better else (state.best, state.best_epoch)
            state = _State(params, jax.tree.leaves(memory), best, best_epoch, history)
            save()
            if callback is not None:
                callback(record)
    except KeyboardInterrupt:
        save()
        raise TrainingInterrupted(result("interrupted")) from None
    return result("finished" if len(state.history) == options["epochs"] else "patience")


def _programs(problem: Problem, options: dict[str, Any], update: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two compiled programs of a run: an epoch of steps, and the validation."""
    objective, activation = LOSSES[options["loss"]], options["activation"]
    center, scale = problem.pixel

    def outputs(params: Any, x: jax.Array) -> jax.Array:
        return realize(params, activation, (x.astype(jnp.float32) - center) / scale)

    def risk(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return objective(outputs(params, x), y)

    def step(carry: Any, batch: Any) -> tuple[Any, jax.Array]:
        params, memory = carry
        x, y, rate = batch
        value, gradient = jax.value_and_grad(risk)(params, x, y)
        change, memory = update.update(gradient, memory, params)
        return (jax.tree.map(lambda p, u: p - rate * u, params, change), memory), value

    @jax.jit
    def run_epoch(params: Any, memory: Any, x: jax.Array, y: jax.Array, rates: jax.Array) -> tuple[Any, Any, jax.Array]:
        (params, memory), values = jax.lax.scan(step, (params, memory), (x, y, rates))
        return params, memory, values

    @jax.jit
    def evaluate(params: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = outputs(params, x.reshape(len(x), -1))
        value = objective(z, y)
        if options["loss"] == "square":
            return value, jnp.sqrt(value)
        return value, jnp.mean((jnp.argmax(z, axis=1) != y).astype(jnp.float32))

    return run_epoch, evaluate


def _batches(train: Pairs, options: dict[str, Any], size: int, start: int) -> Iterator[Pairs]:
    """Yield for each epoch its batches: inputs (steps, size, d) and labels (steps, size, ...) in a fresh order."""
    inputs, labels = train
    shift, seed, steps = options["shift"], options["seed"], len(labels) // size
    if shift:
        inputs = np.pad(inputs, ((0, 0), (shift, shift), (shift, shift)), mode="edge")
    for epoch in range(start, options["epochs"]):
        indices = randomness.order(len(labels), seed, epoch)[: steps * size]
        x = randomness.shifted(inputs, indices, shift, seed, epoch) if shift else inputs[indices]
        yield x.reshape(steps, size, -1), labels[indices].reshape(steps, size, *labels.shape[1:])


def _score(record: EpochRecord) -> tuple[float, float]:
    """Order epochs by validation; without one every epoch scores the same, and the later of two equals wins."""
    if np.isnan(record.validation_error):
        return 0.0, 0.0
    return record.validation_error, record.validation_risk


def _pack(state: _State) -> dict[str, NDArray[Any]]:
    groups = {"params": jax.tree.leaves(state.params), "memory": state.memory, "best": jax.tree.leaves(state.best)}
    arrays = {f"{name}.{index}": leaf for name, leaves in groups.items() for index, leaf in enumerate(leaves)}
    history = np.asarray(state.history, dtype=np.float64).reshape(-1, len(EpochRecord._fields))
    return {**arrays, "best_epoch": np.asarray(state.best_epoch), "history": history}


def _unpack(arrays: dict[str, NDArray[Any]], like: _State) -> _State:
    def leaves(name: str) -> list[NDArray[Any]]:
        return [arrays[f"{name}.{index}"] for index in range(sum(key.startswith(f"{name}.") for key in arrays))]

    structure = jax.tree.structure(like.params)
    history = tuple(EpochRecord(int(row[0]), *(float(value) for value in row[1:])) for row in arrays["history"])
    return _State(
        jax.tree.unflatten(structure, leaves("params")),
        leaves("memory"),
        jax.tree.unflatten(structure, leaves("best")),
        int(arrays["best_epoch"]),
        history,
    )


def _check(options: dict[str, Any], inputs: NDArray[Any]) -> None:
    """Refuse options that make no sense."""
    for name, known in (
        ("loss", LOSSES),
        ("activation", ACTIVATIONS),
        ("optimizer", OPTIMIZERS),
        ("schedule", SCHEDULES),
    ):
        if options[name] not in known:
            raise DomainError(f"The {name} {options[name]!r} is unknown. Use one of {', '.join(known)}.")
    for name in ("batch_size", "epochs", "step_size"):
        if not options[name] > 0:
            raise DomainError(f"{name} is {options[name]}. Give a positive number.")
    if options["patience"] is not None and options["patience"] < 1:
        raise DomainError(f"patience is {options['patience']}. Give a positive number of epochs, or None.")
    if not options["weight_decay"] >= 0 or options["seed"] < 0:
        raise DomainError("weight_decay or seed is negative. Give nonnegative numbers.")
    if len(options["widths"]) < 2 or min(options["widths"]) < 1:
        raise DomainError(f"The widths {options['widths']} make no network. Give at least two positive integers.")
    if options["shift"] not in (0, 1) or (options["shift"] and inputs.ndim != 3):
        raise DomainError(f"shift is {options['shift']}. Give 0, or 1 for uint8 images (n, h, w).")
