r"""The loss of a ReLU student under an orthonormal ReLU teacher and Gaussian inputs, in closed form, in balls.

$F(w_1, \dots, w_n) = \frac12 E\bigl(\sum_i (w_i \cdot x)_+ - \sum_{j \le k} (x_j)_+\bigr)^2$ with x ~ N(0, I_k) and
w_i in R^k. With the angle t between w and v and $f(w, v) = E (w \cdot x)_+ (v \cdot x)_+
= |w||v|(\sin t + (\pi - t)\cos t)/(2\pi)$ (Cho and Saul 2009),

$$ F = \tfrac12 \sum_{i,j} f(w_i, w_j) - \sum_{i,j} f(w_i, e_j) + \tfrac12 \sum_{i,j} f(e_i, e_j), \qquad
   \nabla_w f = \frac{|v| \sin t\,\bar w + (\pi - t) v}{2\pi}, $$
$$ \nabla^2_{ww} f = \frac{|v|\,q q^T}{2\pi |w| \sin t} + \frac{|v| \sin t}{2\pi |w|}(I - \bar w \bar w^T), \qquad
   \nabla^2_{wv} f = \frac{(\pi - t) I + (\bar w q^T + \bar v p^T)/\sin t}{2\pi}, $$

where $\bar w = w/|w|$, $\bar v = v/|v|$, q = v/|v| - cos t w/|w| and p = w/|w| - cos t v/|v|, for w and v not parallel;
f(w, w) = |w|^2/2. (I. Safran, O. Shamir, Spurious local minima are common in two-layer ReLU neural networks, ICML
2018.) F is C^2 where no w_i vanishes, no two of them and no w_i and e_j are parallel; there it is even real-analytic.

**Theorem** (Krawczyk; S. M. Rump, Acta Numerica 19 (2010), section 13). Let B be the cube of half side r around W, A
any matrix and H a matrix of balls that contains the Hessian of F everywhere on B. If, in the maximum norm, |A grad
F(W)| + |I - A H| r < r, then B contains exactly one critical point of F, and it is an inner point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from flint import arb, arb_mat
from numpy.typing import NDArray

from epsnet.certify.errors import PrecisionError
from epsnet.certify.rounding import ball
from epsnet.core.inertia import exact_matrix

Vector = list[arb]
MAX_WEIGHTS, MAX_WORK = 400, 2**24
"""The largest student in balls, n k, and the most work n k^2 (n + k) on its Hessian: some seconds."""


class _Pair(NamedTuple):
    """What f and its derivatives need of two vectors."""

    w: arb
    v: arb
    sine: arb
    cosine: arb
    rest: arb
    q: Vector
    p: Vector
    unit_w: Vector
    unit_v: Vector


class CriticalPoint(NamedTuple):
    """Proved: a cube holds exactly one critical point; enclosures of F and of the Hessian there."""

    loss: arb
    hessian: arb_mat


def student_loss(w: Sequence[Vector]) -> arb:
    """Enclose F."""
    teacher = _teacher(len(w[0]))
    pi, k = arb.pi(), len(teacher)
    total = sum((_dot(u, u) for u in w), arb(0)) / 4
    for i, u in enumerate(w):
        for other in w[:i]:
            total += _kernel(_pair(u, other))
        for other in teacher:
            total -= _kernel(_pair(u, other))
    return total + arb(k) / 4 + arb(k * (k - 1)) / (4 * pi)


def student_gradient(w: Sequence[Vector]) -> Vector:
    """Enclose the gradient, (n k), student by student."""
    teacher, found = _teacher(len(w[0])), []
    for i, u in enumerate(w):
        slope = [entry / 2 for entry in u]
        for sign, others in ((1, [o for j, o in enumerate(w) if j != i]), (-1, teacher)):
            for other in others:
                pair = _pair(u, other)
                pull = pair.v * pair.sine
                for a, (direction, entry) in enumerate(zip(pair.unit_w, other, strict=True)):
                    slope[a] += sign * (pull * direction + pair.rest * entry) / (2 * arb.pi())
        found += slope
    return found


def student_hessian(w: Sequence[Vector]) -> arb_mat:
    """Enclose the Hessian, (n k, n k), of all students in the given balls."""
    n, k, pi = len(w), len(w[0]), arb.pi()
    full = [[arb(0)] * (n * k) for _ in range(n * k)]
    for i in range(n):
        for a in range(k):
            full[i * k + a][i * k + a] = arb(1) / 2
    for i, u in enumerate(w):
        for sign, others in ((1, [o for j, o in enumerate(w) if j != i]), (-1, _teacher(k))):
            for other in others:
                pair = _pair(u, other)
                scale = sign * pair.v / (2 * pi * pair.w)
                for a in range(k):
                    for b in range(a + 1):
                        entry = pair.q[a] * pair.q[b] / pair.sine - pair.sine * pair.unit_w[a] * pair.unit_w[b]
                        entry = scale * (entry + (pair.sine if a == b else 0))
                        full[i * k + a][i * k + b] += entry
                        if a != b:
                            full[i * k + b][i * k + a] += entry
        for j in range(i):
            pair = _pair(u, w[j])
            for a in range(k):
                for b in range(k):
                    entry = (pair.unit_w[a] * pair.q[b] + pair.unit_v[a] * pair.p[b]) / pair.sine
                    entry = (entry + (pair.rest if a == b else 0)) / (2 * pi)
                    full[i * k + a][j * k + b] = full[j * k + b][i * k + a] = entry
    return arb_mat(full)


def critical_point(w: NDArray[np.float64], radius: float) -> CriticalPoint:
    """Prove that the cube of half side `radius` around w, (n, k), holds exactly one critical point of F, an inner one.

    Raises:
        PrecisionError: the proof does not succeed; which says nothing of the critical points.
    """
    n, k = w.shape
    if n * k > MAX_WEIGHTS or n * k * k * (n + k) > MAX_WORK or not (np.isfinite(w).all() and 0 < radius < 1):
        raise PrecisionError(f"The proof is for {MAX_WEIGHTS} weights and a radius in (0, 1). Use a smaller student.")
    r = ball(radius)
    box = [[ball(v) + arb(0, radius) for v in row] for row in w.tolist()]
    hessian = student_hessian(box)
    middle = np.array([[float(entry.mid()) for entry in row] for row in hessian.tolist()])
    if not np.isfinite(middle).all():
        raise PrecisionError(
            "Two students, or a student and a neuron of the teacher, may be parallel. Use another point."
        )
    try:
        inverse = exact_matrix(np.linalg.inv(middle))
    except np.linalg.LinAlgError:
        raise PrecisionError("The Hessian is singular in float64. Use another point.") from None
    slope = inverse * arb_mat([[g] for g in student_gradient([[ball(v) for v in row] for row in w.tolist()])])
    defect = (inverse * hessian).tolist()
    # In the i-th coordinate the image of the cube is no larger than this.
    reach = [
        abs(s) + r * sum((abs(entry - (1 if i == j else 0)) for j, entry in enumerate(row)), arb(0))
        for i, (s, row) in enumerate(zip(slope.entries(), defect, strict=True))
    ]
    if not all(size < r for size in reach):
        raise PrecisionError("No critical point was proved in this cube. Polish the point or change the radius.")
    return CriticalPoint(student_loss(box), hessian)


def _teacher(k: int) -> list[Vector]:
    return [[arb(int(a == b)) for b in range(k)] for a in range(k)]


def _dot(u: Vector, v: Vector) -> arb:
    return sum((a * b for a, b in zip(u, v, strict=True)), arb(0))


def _pair(w: Vector, v: Vector) -> _Pair:
    norm_w, norm_v = _dot(w, w).sqrt(), _dot(v, v).sqrt()
    unit_w, unit_v = [a / norm_w for a in w], [a / norm_v for a in v]
    cosine = _dot(unit_w, unit_v)
    q = [b - cosine * a for a, b in zip(unit_w, unit_v, strict=True)]
    p = [a - cosine * b for a, b in zip(unit_w, unit_v, strict=True)]
    # |q| is the sine, more precisely than (1 - cos^2)^(1/2) where the angle is small; NaN where a vector may vanish.
    sine = _dot(q, q).sqrt()
    return _Pair(norm_w, norm_v, sine, cosine, arb.pi() - arb.atan2(sine, cosine), q, p, unit_w, unit_v)


def _kernel(pair: _Pair) -> arb:
    return pair.w * pair.v * (pair.sine + pair.rest * pair.cosine) / (2 * arb.pi())
