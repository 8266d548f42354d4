"""The realization of a network in JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from epsnet.certify.errors import DomainError

Activation = Callable[[jax.Array], jax.Array]

ACTIVATIONS: Mapping[str, Activation] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "erf": jax.scipy.special.erf,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "softplus": jax.nn.softplus,
    "sin": jnp.sin,
    "identity": lambda x: x,
}


def activation_function(name: str) -> Activation:
    """Return the scalar function of this name, applied entry by entry."""
    if name not in ACTIVATIONS:
        raise DomainError(f"The activation {name!r} is unknown. Use one of {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def realize(layers: Sequence[tuple[Any, Any]], activation: str, x: Any) -> jax.Array:
    """Return R(Phi)(x) = A_L rho(A_{L-1} ... rho(A_1 x + b_1) ...) + b_L for each row x.

    Arguments:
        layers: the pairs (A_l, b_l), A_l of shape (N_l, N_{l-1}) and b_l of shape (N_l,).
        activation: the name of rho; leaky ReLU has slope 0.01 and GELU is x times the normal distribution function.
        x: the inputs, shape (..., N_0).

    Returns:
        The outputs, shape (..., N_L), in the precision of the scope: float32, or float64 inside `precise()`.
    """
    rho = activation_function(activation)
    value = jnp.asarray(x)
    for matrix, bias in layers[:-1]:
        value = rho(value @ jnp.asarray(matrix).T + jnp.asarray(bias))
    matrix, bias = layers[-1]
    return value @ jnp.asarray(matrix).T + jnp.asarray(bias)
