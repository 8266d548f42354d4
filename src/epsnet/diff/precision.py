"""The float64 scope of JAX."""

from __future__ import annotations

from contextlib import AbstractContextManager

import jax


def precise() -> AbstractContextManager[object]:
    """Return a context in which JAX computes in float64, in this thread only; the global setting stays as it was.

    Convert results to NumPy before leaving: outside, JAX degrades float64 arrays to float32.

    ```python
    with precise():
        values = np.asarray(realize(layers, "relu", x))  # float64
    ```
    """
    return jax.enable_x64(True)
