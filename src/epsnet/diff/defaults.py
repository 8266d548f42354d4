"""Default options of training."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

_STEPS = 20_000  # a few seconds for a small network on a small table
_FEWEST_EPOCHS, _MOST_EPOCHS = 20, 500


class LabelledSample(Protocol):
    """What `defaults` asks of a sample; `epsnet.data.Sample` has it."""

    @property
    def inputs(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...] | None: ...  # noqa: D102
    @property
    def outputs(self) -> int: ...  # noqa: D102


def defaults(sample: LabelledSample) -> dict[str, Any]:
    """Return the keyword arguments of `fit` that suit a sample, `widths` included.

    The options for images were selected for MNIST on a validation part of its training set
    (benchmarks/mnist_defaults.py). Those for tables are a convention, not a theorem: about 20,000 steps, at least 20
    and at most 500 epochs, and an early stop after half of them without progress.
    """
    n, *shape = sample.inputs.shape
    options: dict[str, Any] = {
        "loss": "square" if sample.classes is None else "cross_entropy",
        "activation": "relu",
        "schedule": "cosine",
    }
    if len(shape) == 2:
        options |= {"widths": [shape[0] * shape[1], 20, 20, sample.outputs], "optimizer": "sgd", "step_size": 0.05}
        return options | {"batch_size": 64, "epochs": 200, "shift": 1}
    batch_size = 64 if n >= 2000 else 16
    epochs = min(max(_STEPS * batch_size // n, _FEWEST_EPOCHS), _MOST_EPOCHS)
    options |= {"widths": [shape[0], 64, 64, sample.outputs], "optimizer": "adam", "step_size": 1e-3}
    return options | {"batch_size": batch_size, "epochs": epochs, "patience": epochs // 2}
