r"""Fine-tuning of a network that shall stay small: zeros stay zeros, and weights on a grid stay on it.

The loss is the cross entropy of labels, or the squared error of real targets, for example of the outputs of the network
before it was made small; its minimization is Adam's on batches. In front of the loss stand the weights as they will be
stored, step * round(w / step); the gradient by them moves w (straight-through estimator). Each matrix and each bias
moves in units of its own root mean square, so step sizes mean the same in all layers, whatever their gauge.

Source: Y. Bengio, N. Leonard, A. Courville, Estimating or propagating gradients through stochastic neurons for
conditional computation, arXiv:1308.3432 (2013); S. Han, J. Pool, J. Tran, W. Dally, Learning both weights and
connections for efficient neural networks, NIPS 2015.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.codec.quantize import from_tables, tables
from epsnet.codec.tensors import grid
from epsnet.core.network import Network
from epsnet.diff.losses import LOSSES
from epsnet.diff.optimizers import direction, step_sizes
from epsnet.diff.randomness import order
from epsnet.diff.realize import realize

Array = NDArray[np.float64]


def retrain(
    network: Network,
    inputs: Array,
    labels: NDArray[Any],
    *,
    on_grid: bool = False,
    epochs: int = 10,
    step_size: float = 0.01,
    batch_size: int = 100,
    seed: int = 0,
) -> Network:
    """Return the network after more training, with its zeros and, if asked for, its grids as they were.

    The result depends on the arguments alone, not on JAX's precision mode: steps are in float32.

    Args:
        network: a plain network of ReLU layers. Entries of its matrices that are 0 stay 0; biases are free.
        inputs: float64 (count, inputs).
        labels: integers (count,), or real targets (count, outputs).
        on_grid: whether each matrix and each bias stays among the integers times its step, the greatest float64 number
            that all its entries are multiples of. Weights may become 0.
        epochs: how often each example is visited.
        step_size: the largest step, relative to the root mean square of the weights; it falls as a cosine.
        batch_size: examples for one step.
        seed: fixes the order of the examples.

    Raises:
        DomainError: the network is not plain, the data do not fit it, or weights lie on no grid.
    """
    weights = tables(network)
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    loss = "cross_entropy" if labels.ndim == 1 else "square"
    if inputs.shape != (len(labels), network.inputs) or labels.shape[1:] not in ((), (network.outputs,)):
        raise DomainError(
            f"Inputs of shape {inputs.shape} and labels of shape {labels.shape} do not fit {network}. "
            f"Give a row of inputs for each label."
        )
    parts = [part for table in weights for part in (table[:, :-1], table[:, -1])]
    units = [float(np.sqrt((part[part != 0] ** 2).mean())) if part.any() else 1.0 for part in parts]
    steps = [_step(part) for part in parts] if on_grid else [0.0] * len(parts)
    masks = [part != 0 if part.ndim == 2 else np.ones(part.shape, dtype=bool) for part in parts]
    start = [(part / unit).astype(np.float32) for part, unit in zip(parts, units, strict=True)]
    batch_size = min(batch_size, len(labels))
    rates = step_sizes("cosine", step_size, epochs, len(labels) // batch_size)
    with jax.enable_x64(False):
        run = _epoch(loss, units, steps, masks)
        kind = jnp.int32 if loss == "cross_entropy" else jnp.float32
        data = jnp.asarray(inputs, jnp.float32), jnp.asarray(labels, kind)
        params, memory = start, _UPDATE.init(start)
        for epoch, rate in enumerate(rates):
            batches = order(len(labels), seed, epoch)[: rates.shape[1] * batch_size].reshape(-1, batch_size)
            params, memory = run(params, memory, *data, batches.astype(np.int32), rate)
        found = [np.asarray(value, np.float64) * unit for value, unit in zip(params, units, strict=True)]
    if not all(np.isfinite(part).all() for part in found):
        raise DomainError("A weight left the finite numbers. Train again with a smaller step size.")
    found = [part if not step else step * np.round(part / step) for part, step in zip(found, steps, strict=True)]
    pairs = zip(found[::2], found[1::2], strict=True)
    return from_tables([np.hstack([matrix, bias[:, None]]) for matrix, bias in pairs])


_UPDATE = direction("adam", 0.0)


def _step(part: Array) -> float:
    found = grid(part.ravel())
    if found is None:
        raise DomainError("The weights lie on no grid. Quantize the network first, or train it without grids.")
    return float(np.ldexp(float(found[1]), found[2])) if part.any() else 0.0


def _epoch(name: str, units: list[float], steps: list[float], masks: list[NDArray[np.bool_]]) -> Any:
    """Return the compiled epoch: (params, memory, inputs, labels, batches, rates) -> (params, memory)."""

    def stored(params: list[jax.Array]) -> list[tuple[jax.Array, jax.Array]]:
        parts = []
        for value, unit, step, mask in zip(params, units, steps, masks, strict=True):
            part = jnp.where(mask, value, 0.0) * unit
            if step:
                part = part + jax.lax.stop_gradient(step * jnp.round(part / step) - part)
            parts.append(part)
        return list(zip(parts[::2], parts[1::2], strict=True))

    def loss(params: list[jax.Array], inputs: jax.Array, labels: jax.Array) -> jax.Array:
        return LOSSES[name](realize(stored(params), "relu", inputs), labels)

    @jax.jit
    def run(params: Any, memory: Any, inputs: Any, labels: Any, batches: Any, rates: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            params, memory = state
            chosen, rate = batch
            gradient = jax.grad(loss)(params, inputs[chosen], labels[chosen])
            update, memory = _UPDATE.update(gradient, memory, params)
            return (optax.apply_updates(params, jax.tree.map(lambda part: -rate * part, update)), memory), None

        return jax.lax.scan(step, (params, memory), (batches, rates))[0]

    return run
