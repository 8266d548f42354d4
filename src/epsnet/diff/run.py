"""A run of networks trained side by side: reproducible to the last bit, never losing an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from numpy.typing import NDArray

from epsnet.diff import randomness
from epsnet.diff.batches import batches
from epsnet.diff.checkpoint import load_checkpoint, save_checkpoint
from epsnet.diff.optimizers import direction, step_sizes
from epsnet.diff.problem import Problem
from epsnet.diff.result import EpochRecord, FitResult, Status, TrainingInterrupted
from epsnet.diff.steps import programs
from epsnet.diff.track import Track


class _State(NamedTuple):
    """A run between two epochs: NumPy arrays only. `memory` holds the leaves of the optimizer state."""

    params: list[Any]
    memory: list[NDArray[Any]]
    tracks: tuple[Track, ...]
    epoch: int


def train(
    problem: Problem,
    options: dict[str, Any],
    seeds: Sequence[int],
    order_seed: int,
    callback: Callable[[dict[int, EpochRecord]], None] | None,
    checkpoint: Path | None,
    resume: bool,
) -> list[FitResult]:
    """Train one network for each seed on the same batches; the callback gets the records of those still in training.

    Raises:
        DomainError: the checkpoint belongs to another run.
        TrainingInterrupted: a KeyboardInterrupt with the results so far attached.
    """
    initial = [randomness.initial_params(options["widths"], options["activation"], seed) for seed in seeds]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *initial)
    update = direction(options["optimizer"], options["weight_decay"])
    memory, memory_structure = jax.tree.flatten(update.init(params))
    state = _State(params, [np.asarray(leaf) for leaf in memory], tuple(Track(each) for each in initial), 0)
    if checkpoint is not None and resume and checkpoint.exists():
        state = _unpack(load_checkpoint(checkpoint, options), state)

    run_epoch, evaluate = programs(problem, options, update, len(seeds))
    steps = len(problem.train[1]) // options["batch_size"]
    rates = step_sizes(options["schedule"], options["step_size"], options["epochs"], steps, options["warmup"])
    unit = problem.maps.target_scale**2 if options["loss"] == "square" else 1.0

    def save() -> None:
        if checkpoint is not None:
            save_checkpoint(checkpoint, options, _pack(state))

    try:
        prepared = batches(problem.train, options, order_seed, start=state.epoch)
        batch = next(prepared, None)
        while batch is not None and any(track.ended is None for track in state.tracks):
            memory = jax.tree.unflatten(memory_structure, state.memory)
            output = run_epoch(state.params, memory, *batch, rates[state.epoch])
            batch = next(prepared, None)  # NumPy prepares the next epoch while XLA computes this one
            params, memory, losses = jax.device_get(output)
            risks = np.asarray(unit * np.mean(losses, axis=0, dtype=np.float64))
            epoch, tracks = state.epoch + 1, list(state.tracks)
            records = [EpochRecord(epoch, float(risk), np.nan, np.nan) for risk in risks]
            if problem.validation is not None:
                found = np.column_stack(evaluate(params, *problem.validation))
                for index, (risk, error) in enumerate(found):
                    validated = {"validation_risk": unit * float(risk), "validation_error": unit**0.5 * float(error)}
                    records[index] = records[index]._replace(**validated)
            for index, track in enumerate(tracks):
                if track.ended is None:
                    own = cast(list[Any], jax.tree.map(lambda leaf, index=index: leaf[index], params))
                    broken = np.flatnonzero(~np.isfinite(losses[:, index]))
                    step = state.epoch * steps + (int(broken[0]) + 1 if len(broken) else steps)
                    tracks[index] = track.extended(records[index], own, options, problem.validation is not None, step)
            state = _State(params, jax.tree.leaves(memory), tuple(tracks), epoch)
            save()
            news = {s: t.history[-1] for s, t in zip(seeds, tracks, strict=True) if len(t.history) == epoch}
            if callback is not None and news:
                callback(news)
    except KeyboardInterrupt:
        save()
        raise TrainingInterrupted([track.result(problem) for track in state.tracks]) from None
    return [track.result(problem) for track in state.tracks]


def _pack(state: _State) -> dict[str, NDArray[Any]]:
    """Return the state as named arrays: `history` is (epochs, S, 4), with NaN where a network had ended."""
    groups = {"params": jax.tree.leaves(state.params), "memory": state.memory}
    groups |= {f"best.{index}": jax.tree.leaves(track.best) for index, track in enumerate(state.tracks)}
    arrays = {f"{name}.{index}": leaf for name, leaves in groups.items() for index, leaf in enumerate(leaves)}
    history = np.full((state.epoch, len(state.tracks), len(EpochRecord._fields)), np.nan)
    for index, track in enumerate(state.tracks):
        history[: len(track.history), index] = np.reshape(track.history, (-1, history.shape[2]))
    return arrays | {
        "best_epoch": np.asarray([track.best_epoch for track in state.tracks]),
        "ended": np.asarray([track.ended or "" for track in state.tracks]),
        "failed": np.asarray([track.failed or 0 for track in state.tracks]),
        "history": history,
    }


def _unpack(arrays: dict[str, NDArray[Any]], like: _State) -> _State:
    structure = jax.tree.structure(like.params)

    def leaves(name: str) -> list[NDArray[Any]]:
        return [arrays[f"{name}.{index}"] for index in range(sum(key.startswith(f"{name}.") for key in arrays))]

    tracks = []
    for index in range(len(like.tracks)):
        rows = [row for row in arrays["history"][:, index] if not np.isnan(row[0])]
        history = tuple(EpochRecord(int(row[0]), *(float(value) for value in row[1:])) for row in rows)
        best = jax.tree.unflatten(structure, leaves(f"best.{index}"))
        ended = cast(Status | None, str(arrays["ended"][index]) or None)
        failed = int(arrays["failed"][index]) or None
        tracks.append(Track(best, int(arrays["best_epoch"][index]), history, ended, failed))
    params = jax.tree.unflatten(structure, leaves("params"))
    return _State(params, leaves("memory"), tuple(tracks), len(arrays["history"]))
