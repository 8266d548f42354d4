"""Optimizers as directions, and schedules of step sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import optax
from numpy.typing import NDArray

_MOMENTUM = 0.9


def direction(optimizer: str, weight_decay: float) -> optax.GradientTransformation:
    """Return the map from gradients g to directions u of the iteration theta <- theta - nu_n u.

    | optimizer | u |
    |---|---|
    | sgd | g + lambda theta |
    | momentum | m, where m <- 0.9 m + g + lambda theta |
    | adam | Adam(g + lambda theta) |
    | adamw | Adam(g) + lambda theta |

    Arguments:
        optimizer: one of these names.
        weight_decay: lambda >= 0.

    Source: D. P. Kingma, J. Ba, Adam, ICLR 2015; I. Loshchilov, F. Hutter, Decoupled weight decay, ICLR 2019.
    """
    decay = optax.add_decayed_weights(weight_decay)
    return OPTIMIZERS[optimizer](decay)


OPTIMIZERS: Mapping[str, Callable[[optax.GradientTransformation], optax.GradientTransformation]] = {
    "sgd": lambda decay: decay,
    "momentum": lambda decay: optax.chain(decay, optax.trace(_MOMENTUM)),
    "adam": lambda decay: optax.chain(decay, optax.scale_by_adam()),
    "adamw": lambda decay: optax.chain(optax.scale_by_adam(), decay),
}

# The shape of the schedule at the time t = n/N in [0, 1) of a run of N steps.
SCHEDULES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "constant": np.ones_like,
    "linear": lambda time: 1 - time,
    "cosine": lambda time: (1 + np.cos(np.pi * time)) / 2,
}


def step_sizes(schedule: str, step_size: float, epochs: int, steps: int) -> NDArray[np.float32]:
    """Return the step sizes nu_n = step_size * schedule(n/N), N = epochs*steps, as an array (epochs, steps)."""
    time = np.arange(epochs * steps) / (epochs * steps)
    return (step_size * SCHEDULES[schedule](time)).astype(np.float32).reshape(epochs, steps)
