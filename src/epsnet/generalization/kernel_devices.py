"""The kernels in JAX, the points divided among devices.

Covariances of all pairs are computed on the devices, in float64, by the closed forms of `dual_activations`, the rows of
x being sharded. The pairs that were nearly collinear before some kink are computed again in NumPy, as `kernels` does
it, so that they have the same accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.generalization.dual_activations import NEAR, Floats
from epsnet.generalization.dual_quadrature import Quadrature
from epsnet.generalization.kernel_blocks import marks_of
from epsnet.generalization.kernel_recursion import Own, PairRun, Program, own_states
from epsnet.generalization.kernels import Kernels, both_of
from epsnet.generalization.wide_network import Activation, Dense, LayerNorm, WideNetwork

_PAIRS = 2**16
"""Nearly collinear pairs that NumPy computes at once."""


def kernels_on_devices(
    net: WideNetwork, x: ArrayLike, y: ArrayLike | None = None, *, devices: Sequence[Any] | None = None
) -> Kernels:
    """Return both kernels of the points x with y, or with themselves, as `kernels` does.

    Args:
        net: dense layers, activations with closed forms, layer norms and residual sums.
        x: points (n, d).
        y: points (m, d); None means x.
        devices: of JAX; None means all.

    Raises:
        DomainError: as for `kernels`, or there are other layers or activations.
        MissingExtraError: JAX is not installed.
    """
    try:
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        from epsnet.diff.precision import precise
    except ImportError:
        raise MissingExtraError("jax", "A kernel on devices") from None
    points, others = both_of(x, y)
    columns = points if others is None else others
    program = Program(net, points.shape[1:])
    for step in program.steps:
        known = isinstance(step, Dense | LayerNorm | str)
        if not known and not (isinstance(step, Activation) and not isinstance(step.dual, Quadrature)):
            raise DomainError("Devices know dense layers, closed activations, layer norms, residual sums. Use kernels.")
    own, own_columns = own_states(program, points), own_states(program, columns)
    mesh = Mesh(np.asarray(jax.devices() if devices is None else list(devices)), ("rows",))
    missing = -len(points) % mesh.size
    with precise():
        sharding = NamedSharding(mesh, PartitionSpec("rows"))

        def divided(array: Floats) -> Any:
            return jax.device_put(np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]), sharding)

        rows = [divided(state.k) for state in own]
        run = jax.jit(lambda *arrays: _pairs(program, *arrays))
        found = run(divided(points), columns, rows, [state.k for state in own_columns])
        k, t, near = (np.array(part)[: len(points)] for part in found)
    _repair(program, points, columns, own, own_columns, k, t, near)
    return Kernels(k, t)


def _pairs(program: Program, x: Any, y: Any, rows: list[Any], columns: list[Any]) -> tuple[Any, Any, Any]:
    """Return K, Theta, and which pairs were nearly collinear before a kink."""
    import jax.numpy as jnp

    c = x @ y.T / x.shape[1]
    t, near = jnp.zeros_like(c), jnp.zeros(c.shape, bool)
    stack: list[tuple[Any, Any]] = []
    for i, step in enumerate(program.steps):
        a, b = rows[i][:, None], columns[i][None]
        match step:
            case "split":
                stack.append((c, t))
            case "add":
                part = stack.pop()
                c, t = c + part[0], t + part[1]
            case Dense():
                c, t = program.affine(i, step, c, t)
            case Activation():
                if step.dual.kinked:
                    near |= jnp.abs(c) > (1 - NEAR) * jnp.sqrt(a) * jnp.sqrt(b)
                c, slope = step.dual.pair(a, b, c, jnp)
                t = t * slope
            case LayerNorm():
                scale = jnp.sqrt(a + step.epsilon) * jnp.sqrt(b + step.epsilon)
                c, t = c / scale, t / scale
            case _:
                raise AssertionError(step)
    return c, t, near


def _repair(
    program: Program, x: Floats, y: Floats, rows: list[Own], columns: list[Own], k: Floats, t: Floats, near: Any
) -> None:
    """Put what NumPy finds for the nearly collinear pairs into K and Theta."""
    left, right = np.nonzero(near)
    marks = marks_of(x, y)
    for start in range(0, len(left), _PAIRS):
        i, j = left[start : start + _PAIRS], right[start : start + _PAIRS]
        run = PairRun(program, [own[i] for own in rows], [own[j] for own in columns], zipped=True)
        state = run.run(x[i], y[j], marks[0][i] == marks[1][j])
        k[i, j], t[i, j] = state.c, state.t
