r"""Molecules: the atoms of dictionaries as functions on R^d, generators composed with affine maps.

| dictionary | generator | arguments, y = x - b |
|---|---|---|
| linear B-splines, d = 1 | `HAT`: T(u) = rho(1 - abs(u)) | a y |
| hat functions of the Kuhn mesh, d = 2 | `KUHN`: T(abs(u1) + abs(u2) + abs(u3)) | a y_1/2, a y_2/2, a (y_1 - y_2)/2 |
| B-splines of degree 2 and 3 | `bspline`: n! B_n(u) | a y |
| wavelets CDF(2,2) | `CDF22`: 9/8 T(u) - 3/8 T(u/3) | a y |
| tensor products of these | `tensor` | a_1 y_1, a_2 y_2 |
| Gabor atoms | `gabor`: exp(-pi abs(u)^2) cos(2 pi v) | a y, w . y + phase |
| ridgelets | `CDF22` or any profile | a (n . x - b) |
| shearlets, alpha-molecules | `tensor` of a wavelet and a B-spline | a (y_1 + s y_2), a^alpha y_2 |

Shearlets of the other cone have y_1 and y_2 exchanged (`exchanged`).


Source: P. Grohs, S. Keiper, G. Kutyniok, M. Schaefer, alpha-molecules, Appl. Comput. Harmon. Anal. 41 (2016) 297-336.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.core.circuit import Circuit
from epsnet.core.evaluate import evaluate_float
from epsnet.core.expansion_target import Part
from epsnet.core.generators import MAX_CELLS, Bell, Fit, Generator, Spline, Wave
from epsnet.core.grammar import parse
from epsnet.dictionaries.fits import COSINE, GAUSSIAN

Floats = NDArray[np.float64]

_ONE = Fraction(1)

HAT = Generator((Spline(1, (_ONE,), (_ONE,)),))
"""T."""

KUHN = Generator((Spline(1, (_ONE,), (_ONE,), inputs=3),))
"""The hat function of the Kuhn mesh, rho(1 - max(x, y, 0) - max(-x, -y, 0)), in half its three differences."""

CDF22 = Generator((Spline(1, (_ONE, Fraction(3)), (Fraction(9, 8), Fraction(-1, 8))),))
"""The wavelet CDF(2,2), of height 3/4: -1/8 rho(3 - |u|) + 9/8 rho(1 - |u|)."""


def bspline(degree: int, levels: int = 8) -> Generator:
    """Return n! B_n of degree n = 1, 2 or 3, with m levels of squaring for n > 1: the sum of truncated powers.

    Raises:
        DomainError: the degree is another.
    """
    if degree not in (1, 2, 3):
        raise DomainError(f"B-splines of degree {degree} are not offered as networks. Take 1, 2 or 3.")
    radii = {1: (_ONE,), 2: (Fraction(3, 2), Fraction(1, 2)), 3: (Fraction(2), _ONE)}[degree]
    return Generator((Spline(degree, radii, (_ONE, Fraction(-degree - 1))[: len(radii)], levels if degree > 1 else 1),))


def tensor(*generators: Generator, levels: int = 8) -> Generator:
    """Return the product of generators of different variables, with m levels for each multiplication."""
    return Generator(tuple(factor for generator in generators for factor in generator.factors), levels)


def gabor(
    dimension: int = 1, *, folds: int = 6, levels: int = 8, window: Fit = GAUSSIAN, wave: Fit = COSINE
) -> Generator:
    """Return exp(-pi |u|^2) cos(2 pi v), u in R^d.

    Args:
        dimension: d.
        folds: L, for |v| <= 2^L.
        levels: m of the products.
        window: a fit of exp(-pi s^2) on [0, r], r about 2; `fit` makes one of a circuit.
        wave: a fit of cos(2 pi s) on [0, 1/2].
    """
    return Generator((*[Bell("exp(-pi*s^2)", window)] * dimension, Wave(folds, wave)), levels)


def fit(circuit: Circuit, formula: str, end: Real, eps: Real) -> Fit:
    """Return a fit whose cells prove that a circuit is within eps of a formula in s on [0, end].

    Raises:
        HypothesisError: that could not be shown.
    """
    expression, goal = parse(formula), exact(eps)
    stack, tree = [(Fraction(0), exact(end))], ""
    with ball_arithmetic():
        while stack:
            lower, upper = stack.pop()
            inside = any(lower < center < upper for center in circuit.folds)
            if not inside:
                error, local = circuit.enclose(expression, lower, upper)
                if local.holds and error <= ball(goal):
                    tree += "0"
                    continue
            tree += "1"
            stack += [((lower + upper) / 2, upper), (lower, (lower + upper) / 2)]
            if len(tree) + len(stack) >= 2 * MAX_CELLS:
                raise HypothesisError(f"The circuit was not shown to be within {float(goal):.3g}. Take another one.")
    return Fit(circuit, exact(end), tree)


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """Atoms g(A_i x + b_i) of one generator.

    Attributes:
        generator: g.
        matrices: A, (n, J, d).
        offsets: b, (n, J).
    """

    generator: Generator
    matrices: Floats
    offsets: Floats

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, coefficients: ArrayLike) -> Part:
        """Return the expansion with some coefficients."""
        return Part(self.generator.text(), np.asarray(coefficients, dtype=np.float64), self.matrices, self.offsets)

    def chosen(self, indices: ArrayLike) -> Atoms:
        """Return some of the atoms."""
        kept = np.asarray(indices)
        return Atoms(self.generator, self.matrices[kept], self.offsets[kept])

    def values(self, points: ArrayLike) -> Floats:
        """Evaluate every atom in float64 at points (m, d): (m, n)."""
        x = np.asarray(points, dtype=np.float64)
        part = self.part(np.ones(len(self)))
        u = np.einsum("njd,md->jmn", self.matrices, x) + self.offsets.T[:, None, :]
        return evaluate_float(part.expression, dict(zip(part.names, u, strict=True)))


def dilated(generator: Generator, scales: ArrayLike, centers: ArrayLike) -> Atoms:
    """Return the atoms g(a (x - b)), a and b (n, d): for `HAT`, `CDF22`, `bspline` and tensor products of d of them."""
    a, b = (np.asarray(array, dtype=np.float64) for array in (scales, centers))
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] != generator.forms:
        raise DomainError(f"The generator has {generator.forms} variables. Give arrays (n, {generator.forms}).")
    return Atoms(generator, a[:, :, None] * np.eye(a.shape[1]), -a * b)


def kuhn_hats(scales: ArrayLike, centers: ArrayLike) -> Atoms:
    """Return the hat functions of the Kuhn mesh of width 1/a around b: a (n,), b (n, 2)."""
    a, b = (np.asarray(array, dtype=np.float64) for array in (scales, centers))
    matrices = a[:, None, None] * np.array([[0.5, 0.0], [0.0, 0.5], [0.5, -0.5]])
    return Atoms(KUHN, matrices, -np.einsum("njd,nd->nj", matrices, b))


def ridges(generator: Generator, directions: ArrayLike, offsets: ArrayLike) -> Atoms:
    """Return the ridge functions g(n . x - b), n (n, d) of any length and b (n,)."""
    n, b = (np.asarray(array, dtype=np.float64) for array in (directions, offsets))
    return Atoms(generator, n[:, None, :], -b[:, None])


def sheared(
    generator: Generator, scales: ArrayLike, shears: ArrayLike, centers: ArrayLike, *, alpha: float = 0.5
) -> Atoms:
    """Return the alpha-molecules g(a (y_1 + s y_2), a^alpha y_2), y = x - b, around the first axis.

    Args:
        generator: of two variables, oscillating in the first.
        scales: a, (n,).
        shears: s, (n,).
        centers: b, (n, 2).
        alpha: 1/2 for shearlets, 1 for wavelets, 0 for ridgelets.
    """
    a, s, b = (np.asarray(array, dtype=np.float64) for array in (scales, shears, centers))
    zero = np.zeros_like(a)
    matrices = np.stack([np.stack([a, a * s], axis=1), np.stack([zero, a**alpha], axis=1)], axis=1)
    return Atoms(generator, matrices, -np.einsum("njd,nd->nj", matrices, b))


def exchanged(atoms: Atoms) -> Atoms:
    """Return the atoms with the two coordinates exchanged: the other cone."""
    return Atoms(atoms.generator, atoms.matrices[:, :, ::-1], atoms.offsets)


def joined(parts: Sequence[Atoms]) -> Atoms:
    """Return the atoms of several families of one generator as one family."""
    if len({part.generator.text() for part in parts}) != 1:
        raise DomainError("The families have different generators. Join those of one generator.")
    matrices, offsets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("matrices", "offsets"))
    return Atoms(parts[0].generator, matrices, offsets)


def modulated(
    generator: Generator, scales: ArrayLike, centers: ArrayLike, frequencies: ArrayLike, phases: ArrayLike
) -> Atoms:
    """Return the atoms g(a (x - b), w . (x - b) + phase) of a generator of d + 1 variables such as `gabor`.

    Args:
        generator: the last variable is that of the wave.
        scales: a, (n,).
        centers: b, (n, d).
        frequencies: w, (n, d).
        phases: (n,), in periods.
    """
    a, b, w, phase = (np.asarray(array, dtype=np.float64) for array in (scales, centers, frequencies, phases))
    matrices = np.concatenate([a[:, None, None] * np.eye(b.shape[1]), w[:, None, :]], axis=1)
    offsets = np.concatenate([-a[:, None] * b, (phase - (w * b).sum(axis=1))[:, None]], axis=1)
    return Atoms(generator, matrices, offsets)
