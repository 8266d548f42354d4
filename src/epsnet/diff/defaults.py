"""Default options of training."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 1000
"""The most iterations of an optimizer of the whole sample."""

WHOLE_SAMPLE = ("lbfgs", "levenberg_marquardt")
"""The optimizers that see all examples at once, in float64, and make no steps on batches."""

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


def defaults(sample: LabelledSample, optimizer: str | None = None) -> dict[str, Any]:
    """Return the keyword arguments of `fit` that suit a sample, `widths` included.

    The options for images were selected for MNIST on a validation part of its training set
    (benchmarks/mnist_defaults.py). Those for tables are a convention, not a theorem: about 20,000 steps, at least 20
    and at most 500 epochs, and an early stop after half of them without progress.

    Arguments:
        sample: what to train on.
        optimizer: the one that will be used, if it is not the default; those of `WHOLE_SAMPLE` have no options of
            steps.
    """
    n, *shape = sample.inputs.shape
    images = len(shape) == 2
    hidden = [20, 20] if images else [64, 64]
    options: dict[str, Any] = {
        "widths": [int(np.prod(shape)), *hidden, sample.outputs],
        "loss": "square" if sample.classes is None else "cross_entropy",
        "activation": "relu",
    }
    if optimizer in WHOLE_SAMPLE:
        return options | {"optimizer": optimizer, "epochs": ITERATIONS}
    options["schedule"] = "cosine"
    if images:
        return options | {"optimizer": "sgd", "step_size": 0.05, "batch_size": 64, "epochs": 200, "shift": 1}
    batch_size = 64 if n >= 2000 else 16
    epochs = min(max(_STEPS * batch_size // n, _FEWEST_EPOCHS), _MOST_EPOCHS)
    options |= {"optimizer": "adam", "step_size": 1e-3, "batch_size": batch_size}
    return options | {"epochs": epochs, "patience": epochs // 2}
