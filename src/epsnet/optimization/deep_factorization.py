r"""Gradient flow of deep matrix factorization: what it conserves, and how fast it learns each mode.

For f(W_1, ..., W_N) = l(W_N ... W_1) with any differentiable l and W_l' = -df/dW_l,

$$ W_{l+1}^T W_{l+1} - W_l W_l^T $$

is conserved for all l. If they are all 0 (the weights are balanced), a singular value sigma of the product that is to
become s, for l(W) = |W - S|^2/2 and aligned singular vectors, moves by

$$ \sigma' = N \sigma^{2-2/N} (s - \sigma): $$

the deeper, the longer small modes rest, and the more suddenly they are learned. So large modes are learned first, one
after the other: a bias towards low rank. With u = sigma^(1/N), dt = du/(u^(N-1) (s - u^N)) and a partial fraction,

$$ s\,t = \int u^{1-N}\,du + \int \frac{u\,du}{s - u^N}
     = \frac{u^{2-N}}{2-N} + \frac{u^2}{2s}\,{}_2F_1\bigl(1, \tfrac2N; 1 + \tfrac2N; \tfrac{u^N}{s}\bigr)
     \quad (N \ge 3), $$

and s t = log(sigma/(s - sigma))/2 for N = 2, t = -log(s - sigma) for N = 1.

Sources: A. M. Saxe, J. L. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear
neural networks, ICLR 2014; S. Arora, N. Cohen, W. Hu, Y. Luo, Implicit regularization in deep matrix factorization,
NeurIPS 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError
from epsnet.core.deep_linear import gradient

Floats = NDArray[np.float64]


def conserved(weights: Sequence[Any]) -> list[Any]:
    """Return W_(l+1)^T W_(l+1) - W_l W_l^T for l = 1, ..., N - 1, in the arithmetic of the matrices."""
    return [after.T @ after - before @ before.T for before, after in pairwise(weights)]


def mode_time(start: float, end: float, target: float, depth: int) -> float:
    """Return the time in which sigma' = N sigma^(2-2/N) (s - sigma) goes from start to end, in closed form.

    Args:
        start: sigma at time 0, positive.
        end: sigma at the time returned, in [start, target).
        target: s.
        depth: N >= 1, the number of matrices.

    Raises:
        DomainError: these do not lie in this order, or there is no matrix.

    Example:
        >>> round(mode_time(1e-3, 0.5, 1.0, 3) / mode_time(1e-3, 1.5, 3.0, 3), 6)
        2.915806
    """
    _require_order(start, end, target, depth)
    if depth == 1:
        return math.log((target - start) / (target - end))
    if depth == 2:
        return math.log(end / start * (target - start) / (target - end)) / (2 * target)
    return _primitive(end, target, depth) - _primitive(start, target, depth)


def _primitive(sigma: float, target: float, depth: int) -> float:
    from scipy.special import hyp2f1

    u = sigma ** (1 / depth)
    rest = u**2 / (2 * target) * float(hyp2f1(1, 2 / depth, 1 + 2 / depth, sigma / target))
    return (u ** (2 - depth) / (2 - depth) + rest) / target


def mode_at(time: float, start: float, target: float, depth: int) -> float:
    """Return sigma at a time of sigma' = N sigma^(2-2/N) (s - sigma): in closed form for N <= 2, else by bisection.

    Args:
        time: at least 0.
        start: sigma at time 0, in (0, target).
        target: s.
        depth: N >= 1.

    Raises:
        DomainError: these do not fit.
    """
    _require_order(start, start, target, depth)
    if not 0 <= time < math.inf:
        raise DomainError(f"The time is {time}. Give a finite one, at least 0.")
    if depth == 1:
        return target - (target - start) * math.exp(-time)
    if depth == 2:
        return target / (1 + (target / start - 1) * math.exp(-2 * target * time))
    from scipy.optimize import brentq

    last = target * (1 - 1e-15)
    if time >= mode_time(start, last, target, depth):
        return target
    return float(brentq(lambda sigma: mode_time(start, sigma, target, depth) - time, start, last, xtol=1e-300))  # pyright: ignore[reportArgumentType]


def flow(weights: Sequence[ArrayLike], target: ArrayLike, times: ArrayLike) -> list[list[Floats]]:
    """Return the weights at some times of the gradient flow of |W_N ... W_1 - S|^2/2, integrated to 1e-10 a step.

    Args:
        weights: W_1, ..., W_N at time 0.
        target: S.
        times: increasing, at least 0.

    Raises:
        DomainError: the shapes do not fit, or a number is not finite.
    """
    from scipy.integrate import solve_ivp

    first, goal = [np.asarray(w, dtype=np.float64) for w in weights], np.asarray(target, dtype=np.float64)
    places = np.asarray(times, dtype=np.float64)
    chained = all(w.ndim == 2 for w in first) and all(a.shape[0] == b.shape[1] for a, b in pairwise(first))
    if not first or not chained or goal.shape != (first[-1].shape[0], first[0].shape[1]):
        raise DomainError(f"Matrices {[w.shape for w in first]} do not multiply to {goal.shape}. Give such that do.")
    if not all(np.isfinite(a).all() for a in (*first, goal, places)):
        raise DomainError("A number is not finite. Remove it.")
    if places.ndim != 1 or not places.size or places[0] < 0 or (np.diff(places) < 0).any():
        raise DomainError("The times are no increasing sequence from 0 on. Give at least one, in order.")
    ends, identity = np.cumsum([w.size for w in first])[:-1], np.eye(goal.shape[1])

    def split(theta: Floats) -> list[Floats]:
        return [part.reshape(w.shape) for part, w in zip(np.split(theta, ends), first, strict=True)]

    solved = solve_ivp(
        lambda _, theta: -gradient(split(theta), identity, goal), (0, places[-1]),
        np.concatenate([w.ravel() for w in first]), method="DOP853", t_eval=places, rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    return [split(theta) for theta in solved.y.T]


def modes(weights: Sequence[Any]) -> Floats:
    """Return the singular values of W_N ... W_1, the largest first."""
    return np.linalg.svd(np.asarray(reduce(lambda value, w: w @ value, weights), dtype=np.float64), compute_uv=False)  # pyright: ignore[reportReturnType]


def _require_order(start: float, end: float, target: float, depth: int) -> None:
    if not 0 < start <= end < target < math.inf or depth < 1:
        raise DomainError(
            f"A mode goes from {start} to {end} and never to {target} or beyond, with {depth} matrices. "
            "Give 0 < start <= end < target and a depth of at least 1."
        )
