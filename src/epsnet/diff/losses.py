"""Losses, and the empirical risk they define."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp


def cross_entropy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Return (1/n) sum_i [ log sum_k exp(z_ik) - z_{i,y_i} ] for logits z (n, K) and integers y (n,)."""
    chosen = jnp.take_along_axis(outputs, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(outputs, axis=1) - chosen)


def square(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Return (1/n) sum_i |z_i - t_i|^2 for outputs z and targets t of shape (n, m)."""
    return jnp.mean(jnp.sum((outputs - targets) ** 2, axis=1))


LOSSES: Mapping[str, Callable[[jax.Array, jax.Array], jax.Array]] = {"cross_entropy": cross_entropy, "square": square}
