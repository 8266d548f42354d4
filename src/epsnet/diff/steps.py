"""The compiled programs of a run by steps: an epoch of them, and the validation, for networks side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from epsnet.diff.losses import LOSSES
from epsnet.diff.problem import Problem
from epsnet.diff.realize import activation_function, realize

Evaluate = Callable[..., tuple[jax.Array, jax.Array]]


class Programs(NamedTuple):
    """What XLA compiles for a run of S networks; all parameters have a leading axis of this length.

    run_epoch maps (params, memory, inputs (steps, B, d), labels (steps, B, ...), step sizes (steps,)) to new params and
    memory, and the losses (steps, S). evaluate maps (params, inputs, labels) to risks (S,) and errors (S,).
    """

    run_epoch: Callable[..., tuple[Any, Any, jax.Array]]
    evaluate: Evaluate


def programs(problem: Problem, options: dict[str, Any], update: optax.GradientTransformation, count: int) -> Programs:
    """Return the programs of a run of `count` networks."""
    risks, evaluate = functions(problem, options, count)

    def step(carry: Any, batch: Any) -> tuple[Any, jax.Array]:
        params, memory = carry
        x, y, rate = batch
        (_, values), gradient = jax.value_and_grad(risks, has_aux=True)(params, x, y)
        change, memory = update.update(gradient, memory, params)
        return (jax.tree.map(lambda p, u: p - rate * u, params, change), memory), values

    def stacked(tree: Any, like: Any) -> Any:
        return jax.tree.map(lambda leaf, other: leaf.reshape(other.shape), tree, like)

    @jax.jit
    def run_epoch(params: Any, memory: Any, x: jax.Array, y: jax.Array, rates: jax.Array) -> tuple[Any, Any, jax.Array]:
        (after, state), values = jax.lax.scan(step, (_lone(params, count), _lone(memory, count)), (x, y, rates))
        return stacked(after, params), stacked(state, memory), values.reshape(len(rates), count)

    return Programs(run_epoch, evaluate)


def functions(problem: Problem, options: dict[str, Any], count: int) -> tuple[Callable[..., Any], Evaluate]:
    """Return the empirical risk to differentiate, and the compiled validation.

    The first maps parameters and a batch to (the sum of the risks, the risks); parameters of one network have no
    leading axis there. The precision is that of the parameters.
    """
    objective, activation = LOSSES[options["loss"]], options["activation"]
    center, scale = problem.pixel

    def outputs(params: Any, x: jax.Array) -> jax.Array:
        x = (x.reshape(len(x), -1).astype(params[0][0].dtype) - center) / scale
        return realize(params, activation, x) if count == 1 else realize_side_by_side(params, activation, x)

    def risks(params: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = outputs(params, x)
        values = objective(z, y) if count == 1 else jax.vmap(lambda own: objective(own, y, axis=0))(z)
        return jnp.sum(values), values  # a network occurs in its own summand alone: one gradient holds all S of them

    @jax.jit
    def evaluate(params: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = _lone(params, count)
        values = risks(params, x, y)[1]
        if options["loss"] == "square":
            errors = jnp.sqrt(values)
        else:
            errors = jnp.mean((jnp.argmax(outputs(params, x), axis=1) != y).astype(values.dtype), axis=-1)
        return values.reshape(count), errors.reshape(count)

    return risks, evaluate


def _lone(tree: Any, count: int) -> Any:
    """Drop the axis of length 1 of a run of one network: its programs are those of plain matrices."""
    return jax.tree.map(lambda leaf: leaf[0] if leaf.ndim else leaf, tree) if count == 1 else tree


def realize_side_by_side(params: Any, activation: str, x: jax.Array) -> jax.Array:
    """Return the outputs (S, N_L, B) of S networks on the same inputs x (B, d).

    The first layers are one product of [A_1^(1); ...; A_1^(S)], of shape (S N_1, d), with the transpose of x. For
    images it holds nearly all operations, it is far larger than each product alone, and its gradient is again one.
    The batch is the last axis throughout, so that sums over the narrow layers run over whole vectors of examples.
    """
    rho = activation_function(activation)
    matrix, bias = params[0]
    value = (matrix.reshape(-1, x.shape[1]) @ x.T).reshape(*bias.shape, len(x)) + bias[:, :, None]
    for matrix, bias in params[1:]:
        value = matrix @ rho(value) + bias[:, :, None]
    return value
