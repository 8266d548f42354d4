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

# The shape of the schedule at the step n = 0, 1, ... of a run of N steps, m of them in an epoch.
SCHEDULES: Mapping[str, Callable[[NDArray[np.int64], int, int], NDArray[np.float64]]] = {
    "constant": lambda n, total, epoch: np.ones(n.shape),
    "linear": lambda n, total, epoch: 1 - n / total,
    "cosine": lambda n, total, epoch: (1 + np.cos(np.pi * (n / total))) / 2,
    "exponential": lambda n, total, epoch: 0.001 ** (n / total),
    "step": lambda n, total, epoch: np.where(2 * n < total, 1.0, np.where(4 * n < 3 * total, 0.1, 0.01)),
    "inverse": lambda n, total, epoch: 1 / (1 + n / epoch),
    "inverse_sqrt": lambda n, total, epoch: 1 / np.sqrt(1 + n / epoch),
}


def step_sizes(schedule: str, step_size: float, epochs: int, steps: int, warmup: float = 0.0) -> NDArray[np.float32]:
    """Return the step sizes nu_n, n = 0, ..., N-1, of N = epochs*steps steps as an array (epochs, steps).

    | schedule | nu_n / step_size |
    |---|---|
    | constant | 1 |
    | linear | 1 - n/N |
    | cosine | (1 + cos(pi n/N))/2 |
    | exponential | 0.001^(n/N) |
    | step | 1, from n = N/2 on 0.1, from n = 3N/4 on 0.01 |
    | inverse | 1/(1 + n/m), m = steps of an epoch |
    | inverse_sqrt | 1/(1 + n/m)^(1/2) |

    The last two do not know N: they are the steps of stochastic approximation. During the warm-up, the first
    warmup*N steps, nu_n is multiplied by (n+1)/(warmup*N).

    Source: H. Robbins, S. Monro, A stochastic approximation method, Ann. Math. Stat. 22 (1951); F. Bach, E. Moulines,
    Non-asymptotic analysis of stochastic approximation algorithms, NeurIPS 2011; I. Loshchilov, F. Hutter, SGDR,
    ICLR 2017 (cosine); K. He et al., Deep residual learning for image recognition, CVPR 2016 (step).
    """
    n = np.arange(epochs * steps)
    rates = step_size * SCHEDULES[schedule](n, epochs * steps, steps)
    if warmup:
        rates *= np.minimum(1, (n + 1) / (warmup * epochs * steps))
    return rates.astype(np.float32).reshape(epochs, steps)
