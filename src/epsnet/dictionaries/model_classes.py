r"""Model classes: compact sets of functions with their entropy, and random members that are hard to approximate.

N(eps) is the least number of balls of radius eps that cover the class; s is its entropy exponent, log2 N(eps) being
eps^{-s} up to constants, and gamma* = 1/s the optimal rate: no code of b bits has a smaller error than C b^{-gamma*}.

| class | error in | gamma* | source |
|---|---|---|---|
| Hoelder C^s on [0, 1]^d | sup | s/d | Kolmogorov, Tikhomirov 1959 |
| bounded variation on [0, 1] | L2 | 1 | Birman, Solomjak 1967 |
| Sobolev W^s_p and Besov B^s_{pq} on [0, 1]^d, s > d (1/p - 1/2) | L2 | s/d | Birman, Solomjak 1967; Donoho 1993 |
| C^beta cartoons with edges in d variables | L2 | beta/(2(d - 1)) | Donoho 1999; Grohs et al. 2016 |
| modulation M^s_{pp} of the line, weight in time and frequency | L2 | s/2 + 1/p - 1/2 | the theorem below |
| Barron (variation norm of ReLU ridge functions) on the unit ball of R^d | L2 | 1/2 + 3/(2d) | Siegel, Xu 2022 |

**Sequences.** With an orthonormal basis cut into blocks of about 2^{jm} elements, j = 0, 1, ..., let C be the set of
all sum_i c_i phi_i with ||c_j||_p <= 2^{-j sigma} for the coefficients c_j of every block, p <= 2, sigma > 0.

**Theorem.** The optimal rate of C in L2 is sigma/m + 1/p - 1/2.

Proof. Keep k_j coefficients of block j, the largest: the others have an l2 norm of at most k_j^{1/2-1/p} 2^{-j sigma}.
With k_j = 2^{jm} for j <= J and k_j = 2^{Jm - (j-J) delta} after, delta > 0 small, the error is a geometric series, of
order 2^{-J (sigma + m/p - m/2)}, with a number of terms of order 2^{Jm}. Places and multiples of a step for them take a
number of bits of the same order, as in `stored_bits`. No code is better: the vertices +-2^{-j sigma} 2^{-jm/p} of block
j are a cube (`entropy`). QED

Wavelets of level j have m = d and sigma = s + d/2 - d/p, which gives s/d: the norm of their coefficients is equivalent
to that of B^s_{p,infinity} as long as they are smooth enough. A Wilson basis of the line has the frequencies and
places of a half plane lattice, so m = 2 for the rings 2^j <= |lattice point| < 2^{j+1} and sigma = s for the
modulation spaces: their rate s/2 + 1/p - 1/2 is that of the theorem (H. Feichtinger, K. Groechenig, D. Walnut, Wilson
bases and modulation spaces, Math. Nachr. 155 (1992) 7-17).

**Hard members.** What makes a class hard at one accuracy are functions of one scale, all signs of which are in the
class; `member(seed, scale)` draws from those, so that the largest error over the members of all scales falls as slowly
as it does over the class.

Sources: A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86; M. S. Birman, M. Z. Solomjak, Mat. Sb. 73
(1967) 331-355; D. L. Donoho, Unconditional bases are optimal bases for data compression and for statistical estimation,
Appl. Comput. Harmon. Anal. 1 (1993) 100-115; D. L. Donoho, Wedgelets, Ann. Statist. 27 (1999) 859-897; P. Grohs, S.
Keiper, G. Kutyniok, M. Schaefer, alpha-molecules, Appl. Comput. Harmon. Anal. 41 (2016) 297-336; J. W. Siegel, J. Xu,
Sharp bounds on the approximation rates, metric entropy, and n-widths of shallow neural networks, Found. Comput. Math.
(2022).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.dictionaries.dictionary import Floats
from epsnet.dictionaries.linear_wavelets import LinearWavelets


@dataclass(frozen=True, slots=True)
class Rate:
    """The optimal rate of a class of which no more is offered.

    Attributes:
        name: the class.
        norm: in which errors are measured, "sup" or "L2".
        optimal_rate: gamma*.
        source: where it is proved.
    """

    name: str
    norm: Literal["sup", "L2"]
    optimal_rate: float
    source: str

    @property
    def entropy_exponent(self) -> float:
        """S = 1/gamma*."""
        return 1 / self.optimal_rate


def barron(dimension: int) -> Rate:
    """Return the ball of the variation norm of ReLU ridge functions on the unit ball of R^d, d >= 1."""
    _positive(dimension)
    source = "J. W. Siegel, J. Xu, Found. Comput. Math. (2022)"
    return Rate(f"Barron, d = {dimension}", "L2", 0.5 + 1.5 / dimension, source)


def hoelder(smoothness: float, dimension: int) -> Rate:
    """Return the ball of C^s([0, 1]^d), s > 0; `Hoelder` has members and constants for d = 1, s <= 2."""
    _positive(dimension, smoothness)
    source = "A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86"
    return Rate(f"C^{smoothness:g}, d = {dimension}", "sup", smoothness / dimension, source)


class ModelClass(ABC):
    """A class with random members.

    Attributes:
        name: for tables and legends.
        norm: in which errors are measured, "sup" or "L2".
        optimal_rate: gamma*.
        source: where it is proved.
    """

    name: str
    norm: Literal["sup", "L2"]
    optimal_rate: float
    source: str

    @property
    def entropy_exponent(self) -> float:
        """S = 1/gamma*."""
        return 1 / self.optimal_rate

    @abstractmethod
    def member(self, seed: int, scale: int) -> Any:
        """Return a random member on the boundary of the class, hard for about 2^scale terms or pieces."""

    @abstractmethod
    def norm_of(self, member: Any) -> float:
        """Return the norm (or seminorm) of which the class is the unit ball; at most 1 but for rounding."""

    @abstractmethod
    def cube(self, count: int) -> tuple[int, float]:
        """Return (n, a), n <= count: the class contains all sum_{k <= n} +-a phi_k, phi_k orthonormal in L2.

        For an error in the sup norm: any two of 2^n members are at least 2a apart.
        """


@dataclass(frozen=True, slots=True)
class Piecewise:
    """A continuous function on [0, 1], quadratic on n = 2^j cells of equal length.

    Attributes:
        values: at i/(2n), i = 0, ..., 2n: the ends and the middles of the cells.
    """

    values: Floats

    @property
    def cells(self) -> int:
        """N."""
        return len(self.values) // 2

    def __call__(self, x: ArrayLike) -> Floats:
        """Return the values at x in [0, 1]."""
        place = np.asarray(x, dtype=np.float64) * self.cells
        cell = np.minimum(place.astype(np.int64), self.cells - 1)
        t = place - cell
        left, middle, right = (self.values[2 * cell + k] for k in range(3))
        return (1 - t) * (1 - 2 * t) * left + 4 * t * (1 - t) * middle + t * (2 * t - 1) * right

    def refined(self, cells: int) -> Piecewise:
        """Return the same function on more cells, a multiple of n."""
        return Piecewise(self(np.arange(2 * cells + 1) / (2 * cells)))

    def polygon(self, pieces: int) -> Floats:
        """Return the values at i/pieces, i = 0, ..., pieces."""
        return self(np.arange(pieces + 1) / pieces)

    def minus_polygon(self, values: ArrayLike) -> Piecewise:
        """Return the difference to the polygon with these values at i/m, i = 0, ..., m.

        Raises:
            DomainError: neither of m and n is a multiple of the other.
        """
        values = np.asarray(values, dtype=np.float64)
        pieces = len(values) - 1
        finest = max(self.cells, pieces)
        if pieces < 1 or finest % self.cells or finest % pieces:
            raise DomainError(f"{pieces} pieces do not fit {self.cells} cells. Give a power of 2.")
        own = self.refined(finest)
        x = np.arange(2 * own.cells + 1) / (2 * own.cells)
        return Piecewise(own.values - np.interp(x, np.arange(pieces + 1) / pieces, values))

    def sup(self) -> float:
        """Return sup |f|: at the ends of the cells or where the derivative vanishes."""
        left, middle, right = self.values[:-1:2], self.values[1::2], self.values[2::2]
        bend, slope = 2 * (left + right - 2 * middle), 4 * middle - 3 * left - right
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = -slope / (2 * bend)
        peak = np.where((turn > 0) & (turn < 1), left + np.nan_to_num(turn * slope / 2), 0.0)
        return float(max(np.abs(self.values).max(), np.abs(peak).max()))


class Hoelder(ModelClass):
    """All f on [0, 1] with f(0) = 0 and Hoelder constant 1: of f with exponent s <= 1, of f' with s - 1, f'(0) = 0.

    For s = 1 this is the Lipschitz ball. The tents theta_k of height h^t/2 on n cells of length h = 1/n have Hoelder
    constant 1 with exponent t <= 1, and so has every sum of them with signs (proof: rule `hypercube` of the checker).
    They are f for s <= 1, t = s, and f' for s > 1, t = s - 1: f then moves by +-h^s/4 on each cell.

    Args:
        smoothness: s, 0 < s <= 2.
    """

    norm = "sup"
    source = "A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86"

    def __init__(self, smoothness: float) -> None:
        if not 0 < smoothness <= 2:
            raise HypothesisError(f"There are no members of C^{smoothness:g} here. Give 0 < s <= 2.")
        self.name = "Lipschitz ball" if smoothness == 1 else f"C^{smoothness:g} ball"
        self.smoothness = self.optimal_rate = smoothness

    def member(self, seed: int, scale: int) -> Piecewise:
        """Return tents with random signs on 2^scale cells, or their integral, as a function on twice as many."""
        cells = 2**scale
        signs = _generator(seed, scale).choice([-1.0, 1.0], cells)
        tent = np.array([0.0, 0.25, 0.5, 0.25])
        h = 1 / cells
        if self.smoothness <= 1:
            return Piecewise(np.append(np.outer(signs * h**self.smoothness, tent).ravel(), 0.0))
        # The integrals of t and 1 - t up to 1/4, 1/2, 3/4, 1.
        rise = np.outer(signs * h**self.smoothness, [1 / 32, 1 / 8, 7 / 32, 1 / 4])
        start = np.append(0.0, np.cumsum(rise[:-1, -1]))
        return Piecewise(np.append(0.0, (start[:, None] + rise).ravel()))

    def norm_of(self, member: Piecewise) -> float:
        """Return the Hoelder constant of f or f' between all nodes, which is where a sum of tents has it."""
        x = np.arange(len(member.values)) / (len(member.values) - 1)
        if self.smoothness <= 1:
            values, exponent = member.values, self.smoothness
        else:
            left, middle, right = member.values[:-1:2], member.values[1::2], member.values[2::2]
            slopes = member.cells * np.stack([4 * middle - 3 * left - right, 3 * right + left - 4 * middle], axis=1)
            x, values, exponent = x[::2], np.append(slopes[:, 0], slopes[-1, 1]), self.smoothness - 1
        rows, columns = np.triu_indices(len(x), 1)
        return float((np.abs(values[rows] - values[columns]) / (x[columns] - x[rows]) ** exponent).max())

    def cube(self, count: int) -> tuple[int, float]:
        """Return a: two members of one scale are h^s apart in a cell for s < 1, h^s/2 after it for s > 1.

        For s = 1 two functions with slopes +-1 on the cells are 2h apart after the first cell in which they differ.
        """
        s = self.smoothness
        return count, count**-s * (1.0 if s == 1 else 0.5 if s < 1 else 0.25)


class Variation(ModelClass):
    """All f on [0, 1] with |f(0)| + TV(f) <= 1, in L2; members are steps on 2^levels cells.

    Args:
        levels: of the samples.
    """

    name, norm, optimal_rate = "bounded variation", "L2", 1.0
    source = "M. S. Birman, M. Z. Solomjak, Mat. Sb. 73 (1967) 331-355"

    def __init__(self, levels: int = 15) -> None:
        self.levels = levels

    def member(self, seed: int, scale: int) -> Floats:
        """Return 2^scale jumps at random places: rising, of random signs, or of heights that differ much."""
        rng = _generator(seed, scale)
        count = min(2**scale, 2**self.levels)
        heights = (np.ones(count), np.ones(count), rng.exponential(size=count) ** 3)[seed % 3]
        signs = np.ones(count) if seed % 3 == 0 else rng.choice([-1.0, 1.0], count)
        jumps = np.zeros(2**self.levels)
        jumps[rng.choice(2**self.levels, count, replace=False)] = signs * heights / heights.sum()
        return np.cumsum(jumps)

    def norm_of(self, member: Floats) -> float:
        """Return |f(0)| + TV(f)."""
        return float(abs(member[0]) + np.abs(np.diff(member)).sum())

    def cube(self, count: int) -> tuple[int, float]:
        """Steps of height +-1/(2n - 1) on n cells."""
        return count, 1 / (2 * count - 1) / count**0.5


@dataclass(frozen=True)
class Sequences(ModelClass):
    """All sum c_i phi_i with (sum_j (||c_j||_p/r_j)^q)^{1/q} <= 1, c_j the coefficients of block j, in L2.

    Attributes:
        sizes: of the blocks.
        radii: r_j.
        p, q: 0 < p <= 2; q is a number or infinity.
        wavelets: c_{j,k} belongs to 2^{j/2} psi_{j,k}, those of the two hats being 0; None for an orthonormal basis.
        disjoint, length: in block j at least `disjoint` times its size orthogonal atoms have the norm `length`.
    """

    name: str
    optimal_rate: float
    source: str
    sizes: tuple[int, ...]
    radii: tuple[float, ...]
    p: float
    q: float = np.inf
    wavelets: LinearWavelets | None = None
    disjoint: float = 1.0
    length: float = 1.0

    norm = "L2"

    @property
    def blocks(self) -> list[slice]:
        """The places of the blocks."""
        return list(itertools.starmap(slice, itertools.pairwise(np.cumsum((0, *self.sizes)).tolist())))

    def member(self, seed: int, scale: int) -> Floats:
        """Return random coefficients on the sphere; each block has all, or a power of its size, of them nonzero.

        For q < infinity half of the norm to the power q is in the block next in size to 2^scale.
        """
        rng = _generator(seed, scale)
        sparsity = (1.0, 0.9, 0.8)[seed % 3]
        main = int(np.argmin(np.abs(np.log2(np.array(self.sizes)) - scale)))
        shares = rng.dirichlet(np.ones(len(self.sizes))) / 2
        shares[main] += 0.5
        found = np.zeros(sum(self.sizes))
        for j, (block, radius) in enumerate(zip(self.blocks, self.radii, strict=True)):
            size = self.sizes[j]
            own = np.zeros(size)
            count = max(1, round(size**sparsity))
            # Uniform on the sphere of l_p: |x|^p has a gamma distribution.
            size_of = rng.gamma(1 / self.p, size=count) ** (1 / self.p)
            own[rng.choice(size, count, replace=False)] = size_of * rng.choice([-1.0, 1.0], count)
            share = 1.0 if np.isinf(self.q) else shares[j] ** (1 / self.q)
            found[block] = own * (share * radius / _norm(own, self.p))
        return found

    def norm_of(self, member: Floats) -> float:
        """Return the norm of the coefficients."""
        parts = [_norm(member[b], self.p) / r for b, r in zip(self.blocks, self.radii, strict=True)]
        return _norm(np.array(parts), self.q)

    def cube(self, count: int) -> tuple[int, float]:
        """Return the best cube of `count` atoms of one block; with fewer if no block has as many."""
        found = []
        for size, radius in zip(self.sizes, self.radii, strict=True):
            n = min(count, int(size * self.disjoint))
            if n:
                found.append((n, self.length * radius * n ** (-1 / self.p)))
        return max(found)

    def expanded(self, coefficients: Floats) -> Floats:
        """Return the coefficients of all atoms of `wavelets`. HypothesisError if there are none."""
        if self.wavelets is None:
            raise HypothesisError(f"{self.name} has an orthonormal basis. Use the coefficients as they are.")
        return np.append(np.zeros(2), coefficients) / self.wavelets.scales

    def distance(self, first: Floats, second: Floats) -> float:
        """Return the L2 norm of the difference."""
        if self.wavelets is None:
            return float(np.linalg.norm(first - second))
        values = self.wavelets.synthesis(self.expanded(first - second))
        left, right = values[:-1], values[1:]
        return float(np.sqrt(np.mean(left**2 + left * right + right**2) / 3))


def besov(smoothness: float, p: float = 1.0, levels: int = 15) -> Sequences:
    r"""Return the ball of B^s_{p,infinity}(0, 1) in CDF(2,2) wavelets: 2^{j(s + 1/2 - 1/p)} ||c_j||_p <= 1 for all j.

    c_{j,k} 2^{j/2} psi_{j,k} are the terms, the coefficients of the hats of level 0 being 0. Every third wavelet of a
    level has a support of its own, and the norm (int (9/8 T(s) - 3/8 T(s/3))^2 ds / 2)^{1/2}.

    Args:
        smoothness: s, max(1/p - 1/2, 0) < s < min(2, 1 + 1/p).
        p: 0 < p <= 2.
        levels: of the wavelets.
    """
    sigma = smoothness + 0.5 - 1 / p
    if not (0 < p <= 2 and sigma > 0 and 0 < smoothness < min(2, 1 + 1 / p)):
        raise HypothesisError(
            f"Piecewise-linear wavelets do not have the rate of B^{smoothness:g}_{p:g}. "
            f"Give 0 < p <= 2 and 1/p - 1/2 < s < min(2, 1 + 1/p)."
        )
    # In units of the half support: T(s) = 1 - |s|; the squares of the hats and twice their product, integrated.
    square = (81 / 64) * (2 / 3) + (9 / 64) * 2 - 2 * (27 / 64) * (8 / 9)
    return Sequences(
        f"Besov s = {smoothness:g}, p = {p:g}", smoothness,
        "D. L. Donoho, Appl. Comput. Harmon. Anal. 1 (1993) 100-115; R. DeVore, Acta Numerica 7 (1998) 51-150",
        tuple(2**j for j in range(levels)), tuple(2.0 ** (-j * sigma) for j in range(levels)), p,
        wavelets=LinearWavelets(levels), disjoint=0.25, length=float(np.sqrt(square / 2)),
    )  # fmt: skip


def sobolev(smoothness: float, levels: int = 7) -> Sequences:
    """Return the ball of W^s_2 of the square in orthonormal wavelets of 2^levels times 2^levels samples.

    sum_j 2^{2js} ||c_j||_2^2 <= 1 is equivalent to the norm for wavelets that are smooth enough; whichever they are,
    what is measured of the coefficients is the same.

    Args:
        smoothness: s > 0.
        levels: of the wavelets; the first block is the mean.
    """
    _positive(2, smoothness)
    sizes = (1, *(3 * 4**j for j in range(levels)))
    radii = (1.0, *(2.0 ** (-j * smoothness) for j in range(levels)))
    return Sequences(
        f"Sobolev s = {smoothness:g}, d = 2", smoothness / 2,
        "M. S. Birman, M. Z. Solomjak, Mat. Sb. 73 (1967) 331-355", sizes, radii, 2.0, 2.0,
    )  # fmt: skip


def modulation(smoothness: float, p: float = 1.0, rings: int = 7) -> Sequences:
    """Return the ball of M^s_{p,p} of the line in a Wilson basis, with rings 2^j <= |lattice point| < 2^{j+1}.

    Args:
        smoothness: s > 0, the exponent of the weight (1 + |x| + |frequency|)^s.
        p: 0 < p <= 2.
        rings: how many; the lattice points of the half plane in them are counted.
    """
    _positive(2, smoothness)
    if not 0 < p <= 2:
        raise HypothesisError(f"The rate is proved for 0 < p <= 2, not for {p:g}. Give such a number.")
    counts = lattice_points(rings)
    sizes = tuple(np.diff([0, *counts]).tolist())
    radii = tuple(2.0 ** (-j * smoothness) for j in range(rings))
    rate = smoothness / 2 + 1 / p - 0.5
    return Sequences(
        f"modulation s = {smoothness:g}, p = {p:g}", rate,
        "H. Feichtinger, K. Groechenig, D. Walnut, Math. Nachr. 155 (1992) 7-17; the theorem of this module",
        sizes, radii, p,
    )  # fmt: skip


def lattice_points(rings: int) -> list[int]:
    """Return how many (k, m), m >= 0, of the square lattice have k^2 + m^2 < 4^{j+1}, for j = 0, ..., rings - 1."""
    k = np.arange(-(2**rings), 2**rings + 1)
    squares = k[:, None] ** 2 + np.arange(2**rings + 1) ** 2
    return [int(np.count_nonzero(squares < 4 ** (j + 1))) for j in range(rings)]


class Cartoon(ModelClass):
    r"""Indicators of {x_2 <= g(x_1)} on the unit square in L2, g - 1/2 in the Hoelder ball of exponent beta.

    These horizons are in the class of all C^beta cartoons and have its rate: ||1_g - 1_h||_{L2}^2 = ||g - h||_{L1}.

    Args:
        smoothness: beta, 1 < beta <= 2.
    """

    norm = "L2"
    source = "D. L. Donoho, Ann. Statist. 27 (1999) 859-897"

    def __init__(self, smoothness: float = 2.0) -> None:
        if not 1 < smoothness <= 2:
            raise HypothesisError(f"There are no horizons of class C^{smoothness:g} here. Give 1 < beta <= 2.")
        self.name = f"C^{smoothness:g} cartoons, d = 2"
        self.optimal_rate = smoothness / 2
        self.boundaries = Hoelder(smoothness)

    def member(self, seed: int, scale: int) -> Piecewise:
        """Return g of a random horizon."""
        return Piecewise(self.boundaries.member(seed, scale).values + 0.5)

    def norm_of(self, member: Piecewise) -> float:
        """Return the Hoelder constant of g'."""
        return self.boundaries.norm_of(member)

    def cube(self, count: int) -> tuple[int, float]:
        r"""Boundaries g with bumps +-b_k on n cells of length w = 1/n: a = (int b_k)^{1/2}/2^{1/2}.

        b_k' is a tent of length h = w/2 and then its negative, so int b_k = h^{beta + 1}/4. On the strip above the cell
        the two indicators differ on an area 2 int b_k = (2a)^2.
        """
        return count, float(np.sqrt((0.5 / count) ** (self.boundaries.smoothness + 1) / 8))


def _generator(seed: int, scale: int) -> np.random.Generator:
    if seed < 0 or scale < 0:
        raise DomainError(f"The seed {seed} or the scale {scale} is negative. Give nonnegative integers.")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, scale])))


def _norm(values: NDArray[np.float64], p: float) -> float:
    return float(np.linalg.norm(values, p)) if p >= 1 else float(np.sum(np.abs(values) ** p) ** (1 / p))


def _positive(dimension: int, smoothness: float = 1.0) -> None:
    if dimension < 1 or smoothness <= 0:
        raise DomainError(
            f"There is no class of smoothness {smoothness:g} in {dimension} variables. Give positive ones."
        )
