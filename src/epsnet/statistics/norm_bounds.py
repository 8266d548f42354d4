r"""Bounds of Rademacher complexities by norms, with all constants, and of the risk by them.

Let x_1, ..., x_n be the features with |X|_F^2 = sum |x_i|^2, and l_gamma(m) = min(1, max(0, 1 - m/gamma)) the ramp of
the margin m = F_y - max_{c != y} F_c. For a class of networks F with k outputs, with probability at least 1 - delta,

$$ R \le \frac1n \sum_i l_\gamma(m_i) + 2\,\hat{\mathfrak R}(l_\gamma \circ F) + 3 \sqrt{\frac{\ln(2/\delta)}{2n}} $$

for all of them (P. L. Bartlett, S. Mendelson, JMLR 3, 2002). The empirical complexity of the composed class is at most

* linear maps W with |W|_F <= B (k > 2): 2 B sqrt(k) |X|_F / (gamma n), by the contraction lemma for vectors
  (A. Maurer, ALT 2016), the margin being sqrt(2)-Lipschitz; k = 2: |w_1 - w_0| |X|_F / (gamma n). Adding the same
  vector to all rows changes no margin, so B is the norm after the mean row is subtracted.
* deep ReLU networks by Frobenius norms (N. Golowich, A. Rakhlin, O. Shamir, COLT 2018, theorem 1), each of k scores by
  itself: 2 k |X|_F (sqrt(2 L ln 2) + 1) prod_{i<L} |A_i|_F max_c |a_c| / (gamma n), a_c the rows of A_L minus their
  mean; k = 2: half of that with |a_1 - a_0| in place of 2 max_c |a_c|.
* deep ReLU networks by spectral norms (P. L. Bartlett, D. J. Foster, M. J. Telgarsky, NIPS 2017, theorem 3.3 and lemma
  A.5 at alpha = 1/n): 4/n^(3/2) + 18 r ln(n)/n with, W being the largest width and t_i = sum of the lengths of the rows
  of A_i divided by s_i = |A_i|,

$$ r = \frac2\gamma |X|_F \sqrt{\ln(2 W^2)} \prod_i s_i \Bigl(\sum_i t_i^{2/3}\Bigr)^{3/2}. $$

**Norms that the data chose.** Networks are homogeneous, so the classes are given by few numbers: B/gamma, the product
of the norms divided by gamma, and the t_i. Each is rounded up to a power of 2^(1/4), the j-th of which has the weight
1/(C (|j| + 1)^2) (`prior.grid_nats`); delta is multiplied by the weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic, gamma, round_up
from epsnet.statistics.margins import frobenius_norm, spectral_norm
from epsnet.statistics.prior import grid_nats

Array = NDArray[np.float64]

MAX_SIGNS = 16


def linear_rademacher(points: Array, *, norm: str = "L2") -> arb:
    r"""Enclose (1/n) E sup_w sum_i sigma_i w.x_i over the unit ball, by all 2^n signs.

    Args:
        points: (n, d), n <= 16.
        norm: of w: "L2", where the supremum is |sum_i sigma_i x_i|_2, or "L1", where it is the largest entry.

    Example:
        >>> float(linear_rademacher(np.eye(2)))  # sqrt(2)/2
        0.7071067811865476

    Raises:
        DomainError: there are more points, or the norm is another one.
    """
    n = len(points)
    if not 1 <= n <= MAX_SIGNS or norm not in ("L2", "L1"):
        raise DomainError(f"All signs of {n} points in the norm {norm!r} cannot be tried. Use n <= {MAX_SIGNS}.")
    with ball_arithmetic():
        rows = [[ball(value) for value in row] for row in np.asarray(points, dtype=np.float64).tolist()]
        total = arb(0)
        for signs in itertools.product((1, -1), repeat=n - 1):  # the first sign is 1: the supremum is even
            sums = [
                column[0] + sum((s * v for s, v in zip(signs, column[1:], strict=True)), arb(0))
                for column in zip(*rows, strict=True)
            ]
            if norm == "L2":
                total += sum((value * value for value in sums), arb(0)).sqrt()
            else:
                largest = abs(sums[0])
                for value in sums[1:]:
                    largest = largest.max(abs(value))
                total += largest
        return total / 2 ** (n - 1) / n


def trace_bound(points: Array) -> float:
    """Return |X|_F / n, rounded up: at least the complexity of the unit ball of L2."""
    return math.nextafter(frobenius_norm(points) / len(points), math.inf)


def ramp_risk(margins: Array, margin: float) -> float:
    """Return the mean of min(1, max(0, 1 - m/gamma)), rounded up; a margin of -inf counts 1."""
    losses = np.clip(1 - margins / margin + 2.0**-50 * (1 + np.abs(margins / margin)), 0.0, 1.0)
    losses = np.where(np.isfinite(margins), losses, 1.0)
    return min(float(losses.mean()) * (1 + float(gamma(len(margins) + 8))), 1.0)


def linear_complexity(weights: Array, size: float, margin: float, n: int) -> tuple[arb, float]:
    """Return the complexity of the class of the linear map with this matrix (k, p), and what the grid costs in nats.

    Args:
        weights: the matrix.
        size: |X|_F.
        margin: gamma.
        n: the number of points.
    """
    k = len(weights)
    length = frobenius_norm(_differences(weights))
    ratio, nats = _grid(ball(length) / ball(margin))
    factor = ball(1) if k == 2 else 2 * ball(k).sqrt()
    return factor * ratio * ball(size) / n, nats


def frobenius_complexity(tables: Sequence[Array], size: float, margin: float, n: int) -> tuple[arb, float]:
    """Return the complexity of the class of a deep network by Frobenius norms, and what the grid costs in nats."""
    k = len(tables[-1])
    last = max(frobenius_norm(row) for row in _differences(tables[-1]))
    product = ball(last)
    for table in tables[:-1]:
        product *= ball(frobenius_norm(table))
    ratio, nats = _grid(product / ball(margin))
    depth = (2 * len(tables) * arb(2).log()).sqrt() + 1
    return (1 if k == 2 else 2 * k) * depth * ratio * ball(size) / n, nats


def spectral_complexity(tables: Sequence[Array], size: float, margin: float, n: int) -> tuple[arb, float]:
    """Return the complexity of the class of a deep network by spectral norms, and what the grid costs in nats."""
    product, total, nats = ball(1) / ball(margin), arb(0), 0.0
    for table in tables:
        norm = ball(spectral_norm(table))
        rows = sum((ball(frobenius_norm(row)) for row in table), arb(0))
        ratio, cost = _grid(rows / norm if norm > 0 else arb(1))
        product, total, nats = product * norm, total + ratio ** (ball(2) / 3), nats + cost
    product, cost = _grid(product)
    width = max(max(table.shape) for table in tables)
    radius = 2 * ball(size) * (2 * ball(width) ** 2).log().sqrt() * product * total ** (ball(3) / 2)
    return 4 / ball(n) ** (ball(3) / 2) + 18 * radius * ball(n).log() / n, nats + cost


def risk_bound(ramp: float, complexity: arb, nats: float, n: int, delta: Fraction) -> float:
    """Return ramp + 2 complexity + 3 sqrt((ln(2/delta) + nats)/(2 n)), rounded up."""
    with ball_arithmetic():
        level = (2 / ball(Fraction(delta))).log() + ball(nats)
        return round_up(ball(ramp) + 2 * complexity + 3 * (level / (2 * n)).sqrt())


def _differences(weights: Array) -> Array:
    """Return the rows minus their mean; for two rows their difference."""
    if len(weights) == 2:
        return (weights[1:] - weights[:1]) * (1 + 2.0**-50)
    # Any common vector will do, so the rounding of the mean does not matter; that of the difference is paid for.
    return (weights - weights.mean(axis=0)) * (1 + 2.0**-50)


def _grid(value: arb) -> tuple[arb, float]:
    """Return the next power of 2^(1/4), and the cost of its number in nats."""
    number = math.ceil(4 * math.log2(max(round_up(value), 1e-300)) - 1e-9)
    power = ball(2) ** (ball(number) / 4)
    while not power >= value:
        number += 1
        power = ball(2) ** (ball(number) / 4)
    return power, grid_nats(number)
