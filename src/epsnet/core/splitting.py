r"""The Lipschitz constant of a network in the Euclidean norm, split at the activations: certified in float64.

Let every activation have its slopes in [a, b] on the domain in question (`core.jacobian.slopes`), and write a slope as
c + q s q with c = (a + b) / 2, q^2 = (b - a) / 2 and |s| <= 1; in matrices for a layer, D_l = C_l + Q_l S_l Q_l. For
two inputs with difference x the differences of arguments and values are z_k = sum_s A_{ks} y_s and y_k = C_k z_k +
Q_k w_k with w_k = S_k Q_k z_k, |w_k| <= |Q_k z_k|. With N_{km} the matrix y_m -> z_k of the network with C for D,

$$ z_k = N_{k0} x + \sum_{0<m<k} N_{km} Q_m w_m , $$

so that omega_k = |Q_k z_k| / |x| and the Lipschitz constant obey

$$ \omega_k \le \|Q_k N_{k0}\| + \sum_{0<m<k} \|Q_k N_{km} Q_m\|\,\omega_m , \qquad
   \mathrm{Lip} \le \|C_L N_{L0}\| + \sum_{0<m<L} \|C_L N_{Lm} Q_m\|\,\omega_m + \|Q_L\|\,\omega_L . $$

A neuron that keeps its slope on the domain has q = 0 and costs nothing; an affine network gets its norm exactly. For a
chain of ReLU layers on R^d this is the bound of P. L. Combettes and J.-C. Pesquet, which is at most the product of the
norms of the layers. It holds for skip connections as well.

**Spectral norms** are verified, never computed: ||B|| <= t if t^2 I - B B^T has a Cholesky factor in float64 after
the rounding errors were taken off its diagonal. If the algorithm runs to completion on H, then the smallest eigenvalue
of H is at least -gamma_{n+1} / (1 - gamma_{n+1}) tr H (Higham 2002, theorem 10.3; S. M. Rump, Verification of positive
definiteness, BIT 46 (2006)). The rounding errors of N_{km} are bounded in the Frobenius norm.

References: P. L. Combettes, J.-C. Pesquet, Lipschitz certificates for layered network structures driven by averaged
activation operators, SIAM J. Math. Data Sci. 2 (2020) 529-557; N. J. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., SIAM 2002.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import gamma, round_up
from epsnet.core.jacobian import ETA, INFLATE, Interval, gain
from epsnet.core.linear_maps import Dense, LinearMap
from epsnet.core.network import Network

Array = NDArray[np.float64]
Matrix = Any
"""A float64 matrix, as an array or in scipy's sparse form."""

UNIT = 2.0**-53
MAX_ENTRIES = 2**27
"""The largest matrix N_{km}; 1 GiB."""
_LARGE_SUM = 1.0 + 2.0**-20  # pays for the rounding of a sum of at most 2^30 squares
_SQUARES_LOST = 2.0**-480  # at most the norm of 2^30 entries whose squares underflow
_DENSE = 0.1  # a sparse product with more nonzero entries than this share is stored in full
_DENSE_FACTOR = 0.01  # and so is a factor, because dense products are that much faster
_NO_UNDERFLOW = 2.0**-400


@dataclass(frozen=True)
class Block:
    """One matrix of the module: Q_k N_{km} Q_m, or C_L N_{Lm} Q_m for the reader L + 1; for m = 0 without Q_m.

    Attributes:
        reader: k.
        source: m.
        matrix: the float64 matrix that was computed.
        error: the Frobenius norm of its difference to the exact one is at most this.
    """

    reader: int
    source: int
    matrix: Matrix
    error: float

    @classmethod
    def of(cls, linear: LinearMap) -> Block:
        """Return a linear map as a block of its own, the rounding of rational weights aside."""
        return cls(1, 0, _matrix(linear), 0.0)

    @functools.cached_property
    def frobenius(self) -> float:
        """The Frobenius norm of the computed matrix, rounded up."""
        return _frobenius(self.matrix)

    @functools.cached_property
    def gram(self) -> Array:
        """B B^T or B^T B, whichever is smaller, in float64."""
        matrix = self.matrix if self.matrix.shape[0] <= self.matrix.shape[1] else self.matrix.T
        product = matrix @ matrix.T
        return product if isinstance(product, np.ndarray) else product.toarray()

    def norm_is_at_most(self, limit: float) -> bool:
        """Verify that the spectral norm of the exact matrix is <= `limit`; False if that cannot be seen."""
        t = np.nextafter(limit - self.error * INFLATE, -np.inf)
        if self.frobenius <= t:
            return True
        if not _NO_UNDERFLOW <= t <= 1 / _NO_UNDERFLOW:
            return False
        small, large = sorted(self.matrix.shape)
        if small**2 > MAX_ENTRIES:
            return False
        taken = round_up(gamma(large + 2)) * self.frobenius**2
        taken += (1.01 * round_up(gamma(small + 2)) * small + 16 * UNIT) * t**2
        shifted = -self.gram
        shifted[np.diag_indices(small)] += t**2 * (1 - 4 * UNIT) - taken * INFLATE
        if not np.isfinite(shifted).all():
            return False
        try:
            factor = np.linalg.cholesky(shifted)
        except np.linalg.LinAlgError:
            return False
        # LAPACK runs on with a pivot that is not a number.
        return bool(np.isfinite(factor).all())


def _frobenius(matrix: Matrix) -> float:
    entries = matrix if isinstance(matrix, np.ndarray) else matrix.data
    return float(np.sqrt(np.square(entries).sum()) * _LARGE_SUM + _SQUARES_LOST)


def _matrix(linear: LinearMap) -> Matrix:
    if isinstance(linear, Dense):
        return linear.weight
    from scipy.sparse import csr_array

    rows, columns, values = linear.entries()
    values = np.array([float(value) for value in values])
    height, width = linear.shape
    if height * width <= MAX_ENTRIES // 16 and len(values) > _DENSE_FACTOR * height * width:
        full = np.zeros(linear.shape)
        full[rows, columns] = values
        return full
    return csr_array((values, (rows, columns)), shape=linear.shape)


def _crude_norm(linear: LinearMap) -> float:
    """Bound || |A| ||_2 by the root of the largest row sum times the largest column sum."""
    absolute = linear.absolute()
    rows, columns = (
        absolute.apply(np.ones((1, linear.shape[1]))),
        absolute.transpose_apply(np.ones((1, linear.shape[0]))),
    )
    return float(np.sqrt(rows.max()) * np.sqrt(columns.max()) * INFLATE**2 + ETA)


def _product(left: Matrix, right: Matrix) -> Matrix:
    if left.shape[0] * right.shape[1] > MAX_ENTRIES:
        raise DomainError(
            f"The Euclidean Lipschitz bound needs a matrix of {left.shape[0]:,} x {right.shape[1]:,} numbers. "
            "Ask for the sup norm, which needs none."
        )
    product = left @ right
    if not isinstance(product, np.ndarray) and product.nnz > _DENSE * product.shape[0] * product.shape[1]:
        return product.toarray()
    return product


def _sum(left: Matrix | None, right: Matrix) -> Matrix:
    if left is None:
        return right
    if isinstance(left, np.ndarray) != isinstance(right, np.ndarray):
        left, right = (part if isinstance(part, np.ndarray) else part.toarray() for part in (left, right))
    return left + right


def _rows_times(factor: Array, matrix: Matrix) -> Matrix:
    """Return diag(factor) matrix."""
    if isinstance(matrix, np.ndarray):
        return factor[:, None] * matrix
    from scipy.sparse import diags_array

    return diags_array(factor) @ matrix


def centers(ranges: Interval) -> tuple[Array, Array]:
    """Return c and q, float64, with [a, b] contained in [c - q^2, c + q^2]; q = 0 where a = b."""
    least, greatest = ranges
    center = least / 2 + greatest / 2
    radius = np.nextafter(np.maximum(greatest - center, center - least), np.inf)
    return center, np.where(least == greatest, 0.0, np.nextafter(np.sqrt(radius), np.inf))


def blocks(network: Network, ranges: Sequence[Interval]) -> Iterator[Block]:
    """Compute the matrices of the module, source by source, each with the error of its computation.

    Args:
        network: Phi: R^d -> R^m.
        ranges: the slopes of its activations, as `core.jacobian.slopes` gives them.

    Raises:
        DomainError: a matrix would have more than `MAX_ENTRIES` entries.
    """
    depth = len(network.layers)
    split = [centers(pair) for pair in ranges]
    maps = [
        [(source, _matrix(linear), _crude_norm(linear)) for source, linear in layer.terms] for layer in network.layers
    ]
    gains = [gain(layer) for layer in network.layers]
    for start in range(depth):
        columns = None if start == 0 else np.flatnonzero(split[start - 1][1])
        if columns is not None and not len(columns):
            continue
        scale = None if columns is None else split[start - 1][1][columns]
        values: dict[int, tuple[Matrix, float]] = {}
        for number in range(start + 1, depth + 1):
            total: Matrix | None = None
            error = 0.0
            for source, matrix, crude in maps[number - 1]:
                if source == start:
                    own = matrix if columns is None else matrix[:, columns]
                    own = own if scale is None else _rows_times(scale, own.T).T
                    error += 4 * UNIT * _frobenius(own)
                elif source in values:
                    own = _product(matrix, values[source][0])
                    error += crude * (values[source][1] + gains[number - 1] * _frobenius(values[source][0]))
                else:
                    continue
                total = _sum(total, own)
                error += 2 * UNIT * _frobenius(total)
            if total is None:
                continue
            center, root = split[number - 1]
            error = error * INFLATE + ETA
            rows = np.flatnonzero(root)
            if len(rows):
                part = _rows_times(root[rows], total[rows])
                yield Block(number, start, part, (error * root.max() + 4 * UNIT * _frobenius(part)) * INFLATE)
            value = _rows_times(center, total)
            error = (error * np.abs(center).max() + 4 * UNIT * _frobenius(value)) * INFLATE + ETA
            values[number] = value, error
            if number == depth:
                yield Block(depth + 1, start, value, error)


def combine(network: Network, ranges: Sequence[Interval], norms: Mapping[tuple[int, int], float]) -> float:
    """Return the Lipschitz constant that follows from the norms of all blocks by (reader, source), rounded up."""
    depth = len(network.layers)
    omega = {0: 1.0}
    for number in range(1, depth + 2):
        terms = [norms.get((number, source), 0.0) * reach for source, reach in omega.items()]
        omega[number] = sum(terms) * INFLATE + ETA
    last = float(centers(ranges[-1])[1].max())
    value = (omega[depth + 1] + last * omega[depth]) * INFLATE
    return value if value >= 0 else float("inf")
