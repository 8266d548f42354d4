r"""EUAF networks of fixed size: a few weights memorize the values of a function, and lattice reduction finds them.

**Memory.** Write tri(z) = |z - 2 floor((z + 1)/2)| for the triangle wave, the EUAF on z >= 0. For numbers a_k = 1/(q +
k) with a rational q of large denominator the points (w a_1, ..., w a_K) mod 2, w = 0, 1, 2, ..., come close to every
point of the torus, so some integer w has |tri(w a_k) - y_k| <= tau for all k; there have to be at least about
(1/(2 tau))^K integers to choose from, so w has at least about K log2(1/(2 tau)) bits. `memorize` finds one with a few
more bits.

**Steps.** With X = (x - x_0)/h + 1/2, the staircase S(X) = X - tri(X) is 2k on [2k, 2k + 1] and S(S(X)) is 2k on
[2k, 2k + 3/2]. So, for c = 0, 1, S(S(X + c))/2 is the number of the plateau [2k - c, 2k - c + 3/2] on which X lies, and
whatever it likes between plateaus. With s(X) = 4 tri(X + 1/4) - 2 in [-2, 2], which is <= -1 where c = 0 is between
plateaus and >= 1 where c = 1 is, let m_0 = min(s, 0) and m_1 = -max(s, 0).

**d variables.** For each of the 2^d vectors c of shifts the numbers of the plateaus of X_1, ..., X_d make one number k,
a mixed-radix one, and as -v/(1 + v) = 1/(1 + v) - 1 is the EUAF of -v,

$$ A_c = \mathrm{tri}\Bigl(\frac{w_c}{q + k_c}\Bigr) \in [0, 1], \qquad
   N = \max_c \bigl(A_c + m_{c_1}(X_1) + \dots + m_{c_d}(X_d)\bigr) $$

is at most the largest of the A_c that are on plateaus in all coordinates, as the others are lowered to 0 or below; and
at least the one that is not lowered, in the cube [j + 1/4, j + 5/4] with j = c mod 2. The maximum over c_1 is

$$ G = \max(A + \min(s, 0), B - \max(s, 0)) = \tfrac12 \bigl(A + B - |s| + |A - B + s|\bigr), $$

and that over c_2, ... the same again. All signals stay bounded, so |z| = 4 tri(z/4 + 2) and z = 4 tri(z/4) for 0 <= z
<= 4 are EUAF neurons too. The hidden widths are 4 d, 5 d, 2^d + d, 2^d + d and then 2 * 2^(d - i) + 1 + (d - i) for i =
1, ..., d, whatever F and eps are: 18 neurons (4, 5, 3, 3, 3) for d = 1, 39 (8, 10, 6, 6, 6, 3) for d = 2. The network
of Shen, Yang and Zhang has 36 d (2d + 1) neurons in each of 11 layers, 360 for d = 2. Stage i only uses that its inputs
are in 1/2 + [-2^i, 2^i]/4, and 2^(i - 1) s instead of s, so that a proof may bound them without their history.

The error is at most half of the oscillation of F over a cube of side h (if F changes by less than its range over h/4)
plus tau times the range of F. The number of memorized values grows like eps^-d, and so do the bits of the weights, as
those of every code of Lipschitz functions.

Sources: Z. Shen, H. Yang, S. Zhang, Deep network approximation: achieving arbitrary accuracy with fixed number of
neurons, JMLR 23 (2022), paper 276 (the activation, steps and memorization; weights exist); A. K. Lenstra, H. W.
Lenstra, L. Lovasz, Factoring polynomials with rational coefficients, Mathematische Annalen 261 (1982) 515-534.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpz_mat
from numpy.typing import NDArray

from epsnet.approximation.universal import UniversalNetwork, verified
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network
from epsnet.core.target import Target
from epsnet.core.universal_activation import euaf

SHIFT = Fraction(round(math.pi * 2**30), 2**30)
"""q: near pi, so that the a_k = 1/(q + k) have no small rational relations."""

MAX_VALUES = 64
"""The most values that `memorize` is asked for: lattice reduction takes seconds."""

MAX_DIMENSION = 3
"""The most variables: cells are counted in powers of their number."""

_GUARD_BITS = 20
_SLACK = Fraction(1, 64)


def memorize(values: Sequence[Fraction], points: Sequence[Fraction], tolerance: Fraction) -> int:
    """Return an integer w >= 0 with |tri(w a_k) - y_k| <= tau for all k, checked in rationals.

    A short vector of the lattice of all (S w a_k - 2 S e_k - S y_k, c w) is found by LLL; the number of bits that w may
    have starts a little above K log2(1/(2 tau)) and grows until the bound holds.

    Args:
        values: y_k in [0, 1].
        points: a_k > 0.
        tolerance: tau, > 0.

    Raises:
        CertificateError: no such w was found, or there are more than `MAX_VALUES` values.
    """
    least = math.ceil(len(values) * math.log2(max(1 / (2 * float(tolerance)), 1))) + 1
    if len(values) <= MAX_VALUES:
        # LLL finds vectors that are longer than the shortest one by a factor that grows with the dimension.
        for bits in range(least + least * len(values) // 300, 3 * least // 2 + 32, 1 + least // 80):
            for weight in _short_vectors(values, points, tolerance, bits):
                if all(abs(euaf(weight * a) - y) <= tolerance for a, y in zip(points, values, strict=True)):
                    return weight
    raise CertificateError(
        f"No weight was found that memorizes {len(values)} values to {float(tolerance):.3g}; it would have more than "
        f"{least} bits. Ask for a larger eps.",
        asked=float(tolerance), achieved=float("inf"),
    )  # fmt: skip


def _short_vectors(values: Sequence[Fraction], points: Sequence[Fraction], tolerance: Fraction, bits: int) -> list[int]:
    count, scale = len(values), 1 << (bits + _GUARD_BITS)
    unit = max(int(scale * tolerance) >> bits, 1)
    target = int(scale * tolerance)
    rows = [[int(scale * a) for a in points] + [unit, 0]]
    rows += [[2 * scale * (i == k) for i in range(count)] + [0, 0] for k in range(count)]
    rows.append([-int(scale * y) for y in values] + [0, target])
    reduced = fmpz_mat(rows).lll()
    # tri is even, so the sign of w does not matter.
    return [
        abs(int(reduced[i, count])) // unit for i in range(reduced.nrows()) if abs(int(reduced[i, count + 1])) == target
    ]


def euaf_network(target: Target, eps: Fraction) -> UniversalNetwork:
    """Return the EUAF network of fixed size with sup |F - Phi| <= eps, with its weights constructed.

    Args:
        target: a formula in d variables, d <= `MAX_DIMENSION`.
        eps: the accuracy in the sup norm, > 0.

    Raises:
        HypothesisError: the formula has more variables.
        CertificateError: eps needs more than `MAX_VALUES` values in one of the 2^d weights, or the bound could not be
            proved.
    """
    d = target.domain.dimension
    if d > MAX_DIMENSION:
        raise HypothesisError(f"EUAF networks are for at most {MAX_DIMENSION} variables, not {d}. Fix the others.")
    grid = _Grid.of(target, (2,) * d)
    while math.prod((count + 1) // 2 for count in grid.counts) <= MAX_VALUES:
        tolerance = (eps * (1 - _SLACK) - Fraction(grid.reach)) / grid.span
        if tolerance >= eps / (4 * grid.span):
            weights = [grid.weight(shifts, min(tolerance, Fraction(1, 4))) for shifts in _shifts(d)]
            network = _network(grid, weights)
            error, witness = verified(target, network, eps, *map(grid.cuts, range(d)))
            return UniversalNetwork(network, error, witness, sum(weight.bit_length() for weight in weights))
        longer = [(*grid.counts[:i], grid.counts[i] + 1, *grid.counts[i + 1 :]) for i in range(d)]
        grid = min((_Grid.of(target, counts) for counts in longer), key=lambda finer: finer.reach)
    raise CertificateError(
        f"{float(eps):.3g} needs more than {MAX_VALUES} values in one weight. Ask for a larger eps.",
        asked=float(eps), achieved=float("inf"),
    )  # fmt: skip


def _shifts(d: int) -> Iterator[tuple[int, ...]]:
    """Yield the vectors c, the first coordinate running fastest."""
    return (shifts[::-1] for shifts in itertools.product((0, 1), repeat=d))


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cubes of sides h that cover the domain, P_j of them along axis j, with the values that stand for F.

    Attributes:
        steps: h for each axis.
        starts: x_0 for each axis.
        values: (P_1, ..., P_d) for each cube the middle of what is allowed.
        reach: how far F is from it on a sample.
        low: the least value of F on a sample.
        span: the range of F on a sample, or 1.
    """

    steps: tuple[Fraction, ...]
    starts: tuple[Fraction, ...]
    values: NDArray[np.float64]
    reach: float
    low: Fraction
    span: Fraction

    @classmethod
    def of(cls, target: Target, counts: tuple[int, ...]) -> _Grid:
        domain, d = target.domain, len(counts)
        ends = zip(domain.lower, domain.upper, counts, strict=True)
        starts, steps = zip(*(_interval(*axis) for axis in ends), strict=True)
        per_step = 8 if d == 1 else 1
        places = np.linspace(0, 1.5, 12 * per_step + 1)
        axes = [
            np.clip(float(start) + float(step) * (np.arange(count)[:, None] + places - 0.5), float(a), float(b)).ravel()
            for start, step, count, a, b in zip(starts, steps, counts, domain.lower, domain.upper, strict=True)
        ]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
        y = target(points if d > 1 else points[:, 0])
        low, span = float(y.min()), float(np.ptp(y)) or 1.0
        y = y.reshape([size for count in counts for size in (count, len(places))])
        lowered = np.zeros(())
        for _ in range(d):
            lowered = lowered[..., None, None] + np.minimum(np.minimum(4 * places - 1, 5 - 4 * places), 0.0)
        own = tuple(range(1, 2 * d, 2))
        most = np.where(lowered == 0, y, -np.inf).max(axis=own)
        least = (y - span * lowered).min(axis=own)
        reach = float((most - least).max() / 2)
        return cls(steps, starts, (most + least) / 2, reach, Fraction(low), Fraction(span))

    @property
    def counts(self) -> tuple[int, ...]:
        """P."""
        return self.values.shape

    @property
    def radices(self) -> tuple[int, ...]:
        """What the numbers of the plateaus are multiplied by to make one number."""
        return tuple(itertools.accumulate((count // 2 + 1 for count in self.counts[:-1]), operator.mul, initial=1))

    def weight(self, shifts: tuple[int, ...], tolerance: Fraction) -> int:
        """Return w_c: the values of every second cube in each direction, scaled to [0, 1]."""
        cubes = list(itertools.product(*(range(c, count, 2) for c, count in zip(shifts, self.counts, strict=True))))
        numbers = [sum(r * ((j + 1) // 2) for r, j in zip(self.radices, cube, strict=True)) for cube in cubes]
        values = [(Fraction(float(self.values[cube])) - self.low) / self.span for cube in cubes]
        return memorize(values, [1 / (SHIFT + number) for number in numbers], tolerance)

    def cuts(self, axis: int) -> list[Fraction]:
        """Return where plateaus and the slopes of S begin and end, and where s is 0."""
        quarters = (i for i in range(4 * self.counts[axis] - 1) if i % 4 != 1)
        return [self.starts[axis] + self.steps[axis] * i / 4 for i in quarters]


def _interval(a: Fraction, b: Fraction, count: int) -> tuple[Fraction, Fraction]:
    """Return x_0 <= a and h with b <= x_0 + (P - 1/2) h, so short that all x_0 + i h/4 are float64 numbers.

    The plateaus to the left of the first cube end at X = 1/2, where s = 1, those to the right of the last one start at
    X = P, where s = -1 or 1: what is lowered to 0 there needs no value.
    """
    cubes = count - Fraction(1, 2)
    unit = Fraction(2) ** (math.floor(math.log2((b - a) / cubes)) - 12)
    start = 64 * unit * (a // (64 * unit))
    return start, unit * math.ceil((b - start) / (cubes * unit))


def _network(grid: _Grid, weights: Sequence[int]) -> Network:
    d, layers = len(grid.counts), []
    size = Fraction(1 << (max(grid.counts) + 4).bit_length())
    axes, both = range(d), [(i, c) for i in range(d) for c in (0, 1)]

    def close(signals: Sequence[Any], activation: str = "euaf") -> list[Any]:
        """Add a layer that reads signals, rows of what its inputs are multiplied by; return its outputs, and 1."""
        rows, bias = [signal[:-1] for signal in signals], [signal[-1] for signal in signals]
        entries = {(i, j): value for i, row in enumerate(rows) for j, value in enumerate(row)}
        matrix = linear_map((len(rows), len(rows[0])), entries)
        layers.append(Layer(((len(layers), matrix),), bias_vector(bias), (activation,)))
        return _outputs(len(rows))

    *x, one = _outputs(d)
    places = [x[i] / grid.steps[i] + (Fraction(1, 2) - grid.starts[i] / grid.steps[i]) * one for i in axes]
    *y, one = close([*(place / size for place in places), *(places[i] + c * one for i, c in both),
                     *(place + one / 4 for place in places)])  # fmt: skip
    # X_i, then S(X_i + c), then tri(X_i + 1/4), from now on the last d outputs.
    stairs = [size * y[i] + c * one - y[d + number] for number, (i, c) in enumerate(both)]
    *y, one = close([*(stair / size for stair in stairs), *stairs, *y[-d:]])
    second = {key: (size * y[n] - y[len(both) + n]) / 2 for n, key in enumerate(both)}
    numbers = [sum(grid.radices[i] * second[i, c] for i, c in enumerate(shifts)) for shifts in _shifts(d)]
    *y, one = close([*((1 - SHIFT) * one - number for number in numbers), *y[-d:]])
    *y, one = close([*(weight * (y[n] + one) for n, weight in enumerate(weights)), *y[-d:]])
    half, values, waves = one / 2, y[:-d], y[-d:]
    for stage in axes:
        # G is in 1/2 + [-scale, scale]/2; the selector is s times the scale.
        scale, count = 1 << stage, len(values) // 2
        pairs = list(zip(values[::2], values[1::2], strict=True))
        *y, one = close([
            *((a + b - one) / (2 * scale) + half for a, b in pairs),
            *((a - b + scale * (4 * waves[0] - 2 * one)) / (4 * scale) + 2 * one for a, b in pairs),
            2 * waves[0] + one,
            *waves[1:],
        ])  # fmt: skip
        half, waves = one / 2, y[2 * count + 1 :]
        values = [half + scale * (y[n] - half - y[2 * count] + 2 * y[count + n]) for n in range(count)]
    close([one * grid.low + values[0] * grid.span], "identity")
    return Network(d, tuple(layers))


def _outputs(width: int) -> list[Any]:
    """Return the outputs of a layer and the constant 1 as unit vectors of rationals."""
    return list(np.array([[Fraction(int(i == j)) for j in range(width + 1)] for i in range(width + 1)], dtype=object))
