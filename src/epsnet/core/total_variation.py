r"""Fitting a spline of degree 1 with the total variation of its slope as penalty: objective and dual function.

For points $(x_i, y_i)$ and $\beta > 0$ the objective of $f(x) = a + b x + \sum_j c_j \max(x - t_j, 0)$ is

$$ P(f) = \frac12 \sum_i (f(x_i) - y_i)^2 + \beta \sum_j |c_j|, $$

the training of a two-layer ReLU network on the line in which only the slopes are penalized and biases and affine part
are free: after the rescaling |w_j| = |a_j| weight decay is $\beta \sum_j |w_j| |a_j|$.

**Theorem** (weak duality). Let $t_0 < \dots < t_m$ be the distinct points, $h_k = t_{k+1} - t_k$, and let
$z_0 = z_m = 0$, $|z_k| \le \beta$. Put $\mu_k = (z_{k-1} - z_k)/h_{k-1} - (z_k - z_{k+1})/h_k$, terms beyond the ends
left out, let w_k points be at $t_k$ and let $\bar y_k$ be the mean of their labels. Then for every f of this kind

$$ P(f) \ge \sum_k \Bigl(\mu_k \bar y_k - \frac{\mu_k^2}{2 w_k}\Bigr) + \frac12 \sum_i (y_i - \bar y_{k(i)})^2 . $$

*Proof.* $z(t) = \sum_k \mu_k \max(t_k - t, 0)$ is affine between the points, equals z_k at t_k by summation, and
vanishes outside of $[t_0, t_m]$, so $\sum_k \mu_k = \sum_k \mu_k t_k = 0$ and $|z| \le \beta$ everywhere. By
$\max(t_k - t, 0) - \max(t - t_k, 0) = t_k - t$ the sum $\sum_k \mu_k \max(t_k - t, 0)$ equals
$\sum_k \mu_k \max(t - t_k, 0)$ up to a term that vanishes, whichever side the ramps open to. Hence
$\sum_k \mu_k f(t_k) = \sum_j c_j z(t_j) \le \beta \sum_j |c_j|$. With
$\frac{w}{2} (f - \bar y)^2 \ge \mu (\bar y - f) - \mu^2/(2w)$ and
$\sum_{i: k(i) = k} (f - y_i)^2 = w_k (f - \bar y_k)^2 + \sum (y_i - \bar y_k)^2$ the claim follows. QED.
"""

from __future__ import annotations

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.network import Network
from epsnet.core.two_layer import problem_text

Floats = NDArray[np.float64]

FEASIBLE = "the dual function is at most beta at all points and piecewise linear between them"


def spline_text(points: Floats, labels: Floats, beta: float) -> str:
    """Return what a bound says of the problem it is about."""
    return f" with total variation of the slope as penalty{problem_text(points, labels, beta)}"


def spline_network(offset: float, slope: float, knots: Floats, coefficients: Floats) -> Network:
    """Return a + b x + sum_j c_j max(x - t_j, 0) as a network; b x = b max(x, 0) - b max(-x, 0)."""
    hidden = np.concatenate(([1.0, -1.0], np.ones(len(knots))))[:, None]
    outer = np.concatenate(([slope, -slope], coefficients))[None, :]
    return Network.from_layers([(hidden, np.concatenate((np.zeros(2), -knots))), (outer, np.array([offset]))])


def spline_objective(points: Floats, labels: Floats, beta: float, spline: tuple[float, float, Floats, Floats]) -> arb:
    """Return a ball that contains P(f) for f = (a, b, t, c)."""
    offset, slope, knots, coefficients = spline
    order = np.argsort(knots, kind="stable")
    with ball_arithmetic():
        value, rise = ball(offset), ball(slope)
        ramps = iter([(ball(float(knots[j])), ball(float(coefficients[j])), float(knots[j])) for j in order])
        coming = next(ramps, None)
        loss = arb(0)
        for i in np.argsort(points, kind="stable").tolist():
            x = float(points[i])
            while coming is not None and coming[2] < x:
                value, rise = value - coming[0] * coming[1], rise + coming[1]
                coming = next(ramps, None)
            loss += (value + rise * ball(x) - ball(float(labels[i]))) ** 2
        penalty = sum((abs(ball(c)) for c in coefficients.tolist()), arb(0))
        return loss / 2 + ball(beta) * penalty


def spline_dual_value(points: Floats, labels: Floats, inner: Floats) -> arb:
    """Return a ball that contains the lower bound of the theorem for z at the distinct points between the ends.

    Raises:
        DomainError: there is another number of such points.
    """
    knots, place, counts = np.unique(points, return_inverse=True, return_counts=True)
    if len(inner) != max(len(knots) - 2, 0):
        raise DomainError(f"{len(knots)} distinct points need {max(len(knots) - 2, 0)} dual values. Give as many.")
    with ball_arithmetic():
        sums = [arb(0)] * len(knots)
        for k, label in zip(place.tolist(), labels.tolist(), strict=True):
            sums[k] += ball(label)
        means = [total / int(count) for total, count in zip(sums, counts.tolist(), strict=True)]
        spread = sum(((ball(y) - means[k]) ** 2 for k, y in zip(place.tolist(), labels.tolist(), strict=True)), arb(0))
        values = [arb(0), *map(ball, inner.tolist()), arb(0)]
        exact = [ball(t) for t in knots.tolist()]
        steps = [(values[k] - values[k + 1]) / (exact[k + 1] - exact[k]) for k in range(len(knots) - 1)]
        total = arb(0)
        for mean, count, left, right in zip(means, counts.tolist(), [arb(0), *steps], [*steps, arb(0)], strict=True):
            weight = left - right
            total += weight * mean - weight * weight / (2 * int(count))
        return total + spread / 2
