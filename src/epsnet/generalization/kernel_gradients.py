r"""Derivatives of the kernels with respect to the first point, without NaN where points coincide or are opposite.

At the input, K(x, y) and Theta(x, y) are functions of ln |x| and of the angle theta between x and y, and with w the
unit vector orthogonal to x that points towards y

$$ \nabla_x = \frac{x}{|x|^2}\, \partial_{\ln|x|} - \frac{w}{|x|}\, \partial_\theta . $$

Both partial derivatives stay bounded, which those by x . y do not: they are carried through the layers with the deficit
g = 1 - rho. Half-line activations have dg' = (1 - kappa theta) dg, dG = -kappa (alpha^2 + beta^2) dg/sin theta; for
smooth ones with Mehler's coefficients of phi, phi', phi'', phi''' as in `dual_quadrature`

$$ \partial_a F = \tfrac12 E\,\varphi''(u)\varphi(v), \quad \partial_c F = G, \quad
   \partial_a G = \tfrac12 E\,\varphi'''(u)\varphi'(v), \quad \partial_c G = E\,\varphi''(u)\varphi''(v). $$

Where theta is 0 or pi the kernels of networks with kinks have the shape of a cone in x: one-sided derivatives in
direction +v and -v differ. There w is 0, which gives the mean of the two.

Source: R. Price, A useful theorem for nonlinear devices having Gaussian inputs, IRE Trans. Inf. Theory 4 (1958).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError
from epsnet.generalization.dual_activations import NEAR, Floats, HalfLines, bend
from epsnet.generalization.dual_quadrature import Quadrature
from epsnet.generalization.kernel_recursion import LOST, Program
from epsnet.generalization.kernels import Kernels, points_of
from epsnet.generalization.wide_network import Activation, Dense, LayerNorm, WideNetwork

FLAT = 1e-26
"""Below this sin^2 of an angle counts as 0: rounding of the norms makes angles of 1e-16."""


@dataclass(frozen=True)
class _State:
    """Numbers of all pairs (n, m); those with two rows hold the derivatives by ln |x| and by theta.

    Attributes:
        a, da: K_11.
        b: K_22.
        g, dg: 1 - rho.
        h: 1 + rho.
        t, dt: Theta_12.
    """

    a: Floats
    da: Floats
    b: Floats
    g: Floats
    dg: Floats
    h: Floats
    t: Floats
    dt: Floats

    def covariance(self) -> tuple[Floats, Floats]:
        """Return K_12 and its derivatives."""
        scale = np.sqrt(self.a) * np.sqrt(self.b)
        c = scale * (1 - self.g)
        return c, c * _ratio(self.da, 2 * self.a) - scale * self.dg


def kernel_gradients(net: WideNetwork, x: ArrayLike, y: ArrayLike) -> Kernels:
    """Return the gradients with respect to x_i of K(x_i, y_j) and Theta(x_i, y_j), arrays (n, m, d).

    Args:
        net: dense layers, activations, layer norms and residual sums.
        x: points (n, d), none of them 0.
        y: points (m, d).

    Raises:
        DomainError: as for `kernels`; there are other layers, an activation that is a function with kinks or has no
            Mehler series to `TOLERANCE`, or a zero point in x.
    """
    points, others = points_of(x), points_of(y)
    if points.ndim != 2 or points.shape[1:] != others.shape[1:] or not np.all(np.any(points != 0, axis=1)):
        raise DomainError("Gradients need vectors of one length, and no x that is 0. Move such points a little.")
    program = Program(net, points.shape[1:])
    state, direction = _start(points, others)
    stack: list[_State] = []
    for fan, step in zip(program.fans, program.steps, strict=True):
        match step:
            case "split":
                stack.append(state)
            case "add":
                part = stack.pop()
                mixed = _mix(state, part)
                state = replace(mixed, t=state.t + part.t, dt=state.dt + part.dt)
            case Dense():
                state = _dense(state, step, fan if net.parametrization == "standard" else None)
            case Activation():
                state = _half_lines(state, step.dual) if isinstance(step.dual, HalfLines) else _smooth(state, step.dual)
            case LayerNorm():
                a, b = state.a + step.epsilon, state.b + step.epsilon
                t = state.t / (np.sqrt(a) * np.sqrt(b))
                dt = state.dt / (np.sqrt(a) * np.sqrt(b)) - t * state.da / (2 * a)
                state = replace(state, a=state.a / a, da=step.epsilon * state.da / a**2, b=state.b / b, t=t, dt=dt)
            case _:
                raise DomainError(
                    "Gradients know dense layers, activations, layer norms, residual sums. Use these only."
                )
    norms = np.linalg.norm(points, axis=1)
    radial = points / norms[:, None] ** 2

    def gradient(derivative: Floats) -> Floats:
        return derivative[0][..., None] * radial[:, None] - derivative[1][..., None] * direction / norms[:, None, None]

    return Kernels(gradient(state.covariance()[1]), gradient(state.dt))


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


def _start(x: Floats, y: Floats) -> tuple[_State, Floats]:
    """Return the state of the input and the unit vectors w (n, m, d)."""
    n, m, d = len(x), len(y), x.shape[1]
    sign = np.where(x @ y.T >= 0, 1.0, -1.0)[..., None]
    unit = (x / np.linalg.norm(x, axis=1)[:, None])[:, None]
    # From differences, which are exact for close floats.
    across = y[None] - sign * x[:, None]
    across = across - np.sum(across * unit, axis=-1, keepdims=True) * unit
    length = np.linalg.norm(across, axis=-1)
    theta = np.arctan2(length, np.sum(y[None] * unit, axis=-1))
    theta[np.broadcast_to(~y.any(axis=1), (n, m))] = np.pi / 2
    zero = np.zeros((n, m))
    a, b = (
        np.broadcast_to(np.sum(x * x, axis=1)[:, None] / d, (n, m)),
        np.broadcast_to(np.sum(y * y, axis=1) / d, (n, m)),
    )
    state = _State(
        a, np.stack([2 * a, zero]), b, 2 * np.sin(theta / 2) ** 2, np.stack([zero, np.sin(theta)]),
        2 * np.cos(theta / 2) ** 2, zero, np.zeros((2, n, m)),
    )  # fmt: skip
    return state, _ratio(across, np.broadcast_to(length[..., None], across.shape))


def _mix(first: _State, second: _State) -> _State:
    """Return the sum of two independent parts (see `kernel_recursion`), without t."""
    a, b, da = first.a + second.a, first.b + second.b, first.da + second.da
    g, dg = np.zeros_like(a), np.zeros_like(da)
    for part in (first, second):
        e, f = np.sqrt(_ratio(part.a, a)), np.sqrt(_ratio(part.b, b))
        de = e * (_ratio(part.da, 2 * part.a) - _ratio(da, 2 * a))
        g = g + e * f * part.g + (e - f) ** 2 / 2
        dg = dg + de * f * part.g + e * f * part.dg + (e - f) * de
    return replace(first, a=a, da=da, b=b, g=g, dg=dg, h=2 - g)


def _dense(state: _State, step: Dense, fan: int | None) -> _State:
    square, bias = step.weight_std**2, step.bias_std**2
    c, dc = state.covariance()
    new = replace(state, a=square * state.a, da=square * state.da, b=square * state.b)
    if bias:
        constant, zero = np.full_like(state.a, bias), np.zeros_like(state.a)
        new = _mix(new, _State(constant, zero[None] + 0 * state.da, constant, zero, 0 * state.dg, zero, zero, zero))
    if fan is None:
        after, slope = new.covariance()
        return replace(new, t=square * state.t + after, dt=square * state.dt + slope)
    return replace(new, t=square * state.t + fan * c + float(bias > 0), dt=square * state.dt + fan * dc)


def _half_lines(state: _State, dual: HalfLines) -> _State:
    g, dg, h, side = state.g, state.dg, state.h, 1.0
    if not dual.odd:
        # An even function does not tell opposite points apart.
        side = np.where(g > h, -1.0, 1.0)
        g, dg, h = np.minimum(g, h), side * dg, np.maximum(g, h)
    total = dual.odd + dual.even
    kappa = 2 / np.pi * dual.even / total
    theta = 2 * np.arctan2(np.sqrt(g), np.sqrt(h))
    new = g - kappa * bend(theta)
    slope = side * total * (1 - kappa * theta)
    turn = -side * total * kappa * np.where(g * h > FLAT, _ratio(dg, np.sqrt(g * h)), 0.0)
    return replace(
        state, a=total * state.a, da=total * state.da, b=total * state.b, g=new, dg=(1 - kappa * theta) * dg, h=2 - new,
        t=state.t * slope, dt=state.dt * slope + state.t * turn,
    )  # fmt: skip


def _smooth(state: _State, dual: Any) -> _State:
    series = dual if isinstance(dual, Quadrature) else Quadrature(dual.function)
    c, dc = state.covariance()
    f, g, fa, ga, gc = series.derivatives(state.a, state.b, c)
    own, slope, own_a, _, _ = series.derivatives(state.a, state.a, state.a)
    other = series.own(state.b)[0]
    own_d = (2 * own_a + slope) * state.da
    df = fa * state.da + g * dc
    scale = np.sqrt(own) * np.sqrt(other)
    deficit = 1 - f / scale
    near = np.flatnonzero((state.g < NEAR) & (deficit < 0.5))
    if len(near):
        places = (state.a.ravel()[near], state.b.ravel()[near], np.ones(len(near)), state.g.ravel()[near])
        deficit.ravel()[near] = dual.next_deficit(*places)[1]
    deficit = np.where(deficit < LOST, 0.0, deficit)
    return replace(
        state, a=own, da=own_d, b=other, g=deficit, dg=f / scale * own_d / (2 * own) - df / scale, h=2 - deficit,
        t=state.t * g, dt=state.dt * g + state.t * (ga * state.da + gc * dc),
    )  # fmt: skip
