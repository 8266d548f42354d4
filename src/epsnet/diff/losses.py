"""Losses, and the empirical risk they define."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp


def cross_entropy(outputs: jax.Array, labels: jax.Array, axis: int = 1) -> jax.Array:
    """Return (1/n) sum_i [ log sum_k exp(z_ik) - z_{i,y_i} ] for logits z (n, K) and integers y (n,).

    With axis = 0 the outputs are given as (K, n), here and below.
    """
    chosen = jnp.take_along_axis(outputs, jnp.expand_dims(labels, axis), axis=axis).squeeze(axis)
    return jnp.mean(jax.nn.logsumexp(outputs, axis=axis) - chosen)


def square(outputs: jax.Array, targets: jax.Array, axis: int = 1) -> jax.Array:
    """Return (1/n) sum_i |z_i - t_i|^2 for outputs z and targets t of shape (n, m)."""
    return jnp.mean(jnp.sum((outputs - jnp.moveaxis(targets, 1, axis)) ** 2, axis=axis))


LOSSES: Mapping[str, Callable[..., jax.Array]] = {"cross_entropy": cross_entropy, "square": square}
