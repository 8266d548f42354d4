r"""Fitting squaring circuits: a smooth function of one variable by a polynomial made of k squarings.

In float64, with tau in [-1, 1] and monic steps

$$ v_1 = \tau, \qquad v_{j+1} = u_j + \sum_{i<j} c_{ji} u_i + c_{j0} \tau + d_j, \qquad u_j = v_j^2, $$

the inner coefficients are found by variable projection (the output b is the least-squares solution for given inner
coefficients) from many random starts, and then all of them together by minimax refinement: sequential linear programs
in a trust region. P has degree 2^k and (k + 1)(k + 2)/2 + 1 parameters. Nothing here is certified.

Source of variable projection: G. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NODES = 240
_CHECK_NODES = 1201


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted circuit.

    Attributes:
        inner: for each of v_2, ..., v_k its coefficients (d, c_0, c_1, ...) of 1, tau, u_1, ..., u_{j-2}.
        output: (b_0, b_1, ...) of 1, tau, u_1, ..., u_k.
        error: the largest |f - P| on a fine Chebyshev grid.
    """

    inner: tuple[Array, ...]
    output: Array
    error: float


def squares_of(inner: tuple[Array, ...], tau: Array) -> tuple[list[Array], list[Array]]:
    """Return the v_j and the basis 1, tau, u_1, ..., u_k at the points tau."""
    values = [tau]
    basis = [np.ones_like(tau), tau, tau**2]
    for coefficients in inner:
        v = basis[-1] + sum(c * y for c, y in zip(coefficients, basis, strict=False))
        values.append(v)
        basis.append(v**2)
    return values, basis


def fit_circuit(f: Callable[[Array], Array], count: int, *, starts: int, seed: int, enough: float = 0.0) -> list[Fit]:
    """Return circuits with `count` squarings for f on [-1, 1], the best one first.

    Args:
        f: the function, vectorized.
        count: k >= 1.
        starts: how many random starts to take.
        seed: fixes the starts.
        enough: stop when a fit is this good.
    """
    nodes, fine = _chebyshev(_NODES), _chebyshev(_CHECK_NODES)
    values, check = f(nodes), f(fine)
    scale = max(float(np.abs(values).max()), np.finfo(float).tiny)
    generator = np.random.Generator(np.random.Philox(seed))
    found = []
    for start in range(starts if count > 1 else 1):
        guess = generator.standard_normal(_unknowns(count)) * (0.5 if start % 2 else 1.5)
        inner = _project(guess, count, nodes, values / scale)
        if inner is not None:
            found.append(_finish(inner, nodes, values, fine, check))
    found.sort(key=lambda fit: fit.error)
    refined = []
    for fit in found[: max(3, starts // 4)]:
        refined.append(_refine(fit, nodes, values, fine, check))
        if refined[-1].error <= enough:
            break
    return sorted(refined, key=lambda fit: fit.error)


def _chebyshev(count: int) -> Array:
    return np.cos(np.pi * np.arange(count) / (count - 1))


def _unknowns(count: int) -> int:
    return count * (count + 1) // 2 - 1


def _split(unknowns: Array, count: int) -> tuple[Array, ...]:
    ends = np.cumsum(np.arange(2, count + 1))
    return tuple(np.split(unknowns, ends[:-1])) if count > 1 else ()


def _output(basis: list[Array], values: Array) -> Array:
    return np.asarray(np.linalg.lstsq(np.stack(basis, axis=1), values, rcond=None)[0], dtype=np.float64)


def _project(guess: Array, count: int, nodes: Array, values: Array) -> tuple[Array, ...] | None:
    """Return the inner coefficients that variable projection finds from a guess."""
    from scipy.optimize import least_squares

    if count == 1:
        return ()

    def residual(unknowns: Array) -> Array:
        with np.errstate(all="ignore"):
            matrix = np.stack(squares_of(_split(unknowns, count), nodes)[1], axis=1)
            matrix = matrix / np.linalg.norm(matrix, axis=0)
        if not np.isfinite(matrix).all():
            return np.full_like(values, 1e3)
        orthogonal = np.linalg.qr(matrix)[0]
        return values - orthogonal @ (orthogonal.T @ values)

    tolerances = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 200}
    result = least_squares(residual, guess, method="trf", x_scale="jac", **tolerances)
    return _split(result.x, count) if np.isfinite(result.x).all() else None


def _finish(inner: tuple[Array, ...], nodes: Array, values: Array, fine: Array, check: Array) -> Fit:
    output = _output(squares_of(inner, nodes)[1], values)
    return Fit(inner, output, _error(inner, output, fine, check))


def _error(inner: tuple[Array, ...], output: Array, points: Array, values: Array) -> float:
    with np.errstate(all="ignore"):
        error = np.abs(values - np.stack(squares_of(inner, points)[1], axis=1) @ output).max()
    return float(error) if np.isfinite(error) else np.inf


def _refine(fit: Fit, nodes: Array, values: Array, fine: Array, check: Array, steps: int = 40) -> Fit:
    """Lower the largest error by linear programs in a trust region around the current coefficients."""
    from scipy.optimize import linprog

    count = len(fit.inner) + 1
    inner = np.concatenate(fit.inner) if fit.inner else np.zeros(0)
    output, best = fit.output, fit.error
    radius = 0.1
    for _ in range(steps):
        basis = np.stack(squares_of(_split(inner, count), nodes)[1], axis=1)
        residual = values - basis @ output
        jacobian = np.concatenate([basis, _inner_jacobian(inner, output, count, nodes)], axis=1)
        size = np.maximum(np.linalg.norm(jacobian, axis=0), np.finfo(float).tiny)
        unit = max(float(np.abs(residual).max()), 1e-300)
        scaled = jacobian / size
        rows = np.concatenate([scaled, -scaled])
        rows = np.concatenate([rows, -np.ones((len(rows), 1))], axis=1)
        limits = np.concatenate([residual, -residual]) / unit
        free = [(None, None)] * len(output)
        reach = radius * size[len(output) :] * (1 + np.abs(inner)) / unit
        tied = list(zip(-reach, reach, strict=True))
        cost = np.zeros(rows.shape[1])
        cost[-1] = 1
        solved = linprog(cost, A_ub=rows, b_ub=limits, bounds=[*free, *tied, (0, None)], method="highs")
        if solved.x is None:
            radius /= 4
            continue
        step = solved.x[:-1] * unit / size
        moved = inner + step[len(output) :]
        tried = _error(_split(moved, count), output + step[: len(output)], fine, check)
        if tried < best:
            gain = 1 - tried / best
            inner, output, best = moved, output + step[: len(output)], tried
            radius = min(2 * radius, 1.0)
            if gain < 1e-3:
                break
        else:
            radius /= 4
            if radius < 1e-9:
                break
    return Fit(_split(inner, count), output, best)


def _inner_jacobian(inner: Array, output: Array, count: int, nodes: Array) -> Array:
    """Return dP/d(inner coefficients) at the nodes by forward differentiation of the steps."""
    parts = _split(inner, count)
    values, basis = squares_of(parts, nodes)
    columns = []
    for step, coefficients in enumerate(parts):
        for index in range(len(coefficients)):
            slopes = [np.zeros_like(nodes)] * (step + 3)
            for later in range(step, len(parts)):
                slope = slopes[-1] + sum(c * d for c, d in zip(parts[later], slopes, strict=False))
                if later == step:
                    slope = slope + basis[index]
                slopes.append(2 * values[later + 1] * slope)
            columns.append(sum(b * d for b, d in zip(output, slopes, strict=True)))
    return np.stack(columns, axis=1) if columns else np.zeros((len(nodes), 0))
