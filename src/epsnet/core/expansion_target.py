r"""An expansion as what is to be learned: sums of atoms, each a generator composed with an affine map.

$$ f(x) = \sum_k \sum_i c_{ki}\, g_k(A_{ki} x + b_{ki}), \qquad x \in D \subset R^d, $$

where a generator g_k is a formula in the variables u1, ..., uJ. Dilations and translations of a wavelet, ridge
functions, anisotropic and sheared molecules are of this form, and so are modulations, by a generator that has a factor
such as cos(2 pi u2). All numbers are float64 numbers and mean exactly themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.bound import Norm
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.hashing import sha256_arrays, sha256_json
from epsnet.certify.rounding import ball
from epsnet.core.evaluate import evaluate_ball, evaluate_exact, evaluate_float
from epsnet.core.expression import Expression, jumps
from epsnet.core.grammar import parse
from epsnet.core.linear_maps import frozen_floats
from epsnet.core.natural_domain import refuse_undefined

Floats = NDArray[np.float64]

MAX_ATOMS = 50_000
MAX_FORMS = 8
MAX_PARTS = 64
MAX_GENERATOR = 5_000
"""The most characters of a generator."""

_CHUNK = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The atoms c_i g(A_i x + b_i) of one generator.

    Attributes:
        generator: g, a formula in u1, ..., uJ.
        coefficients: c, (n,).
        matrices: A, (n, J, d).
        offsets: b, (n, J).

    Raises:
        DomainError: the shapes do not fit, a number is not finite, or the formula cannot be read.
    """

    generator: str
    coefficients: Floats
    matrices: Floats
    offsets: Floats

    def __post_init__(self) -> None:
        for name in ("coefficients", "matrices", "offsets"):
            object.__setattr__(self, name, frozen_floats(getattr(self, name), name + " of an expansion"))
        shapes = self.coefficients.shape, self.matrices.shape, self.offsets.shape
        fits = tuple(map(len, shapes)) == (1, 3, 2) and len({shape[0] for shape in shapes}) == 1
        if not fits or 0 in self.matrices.shape or self.matrices.shape[:2] != self.offsets.shape:
            raise DomainError(
                f"An expansion has arrays of the shapes {shapes}. Give n coefficients, matrices (n, J, d) and offsets "
                f"(n, J)."
            )
        if len(self) > MAX_ATOMS or self.forms > MAX_FORMS or len(self.generator) > MAX_GENERATOR:
            raise DomainError(
                f"An expansion is too large. Give at most {MAX_ATOMS:,} atoms and {MAX_FORMS} variables of a generator."
            )
        if not set(self.expression.variables) <= set(self.names):
            raise DomainError(f"The generator {self.generator!r} has other variables than {self.names}. Use those.")

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def forms(self) -> int:
        """J."""
        return self.matrices.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables of the generator."""
        return tuple(f"u{j}" for j in range(1, self.forms + 1))

    @property
    def expression(self) -> Expression:
        """The generator as an expression."""
        return _parsed(self.generator)

    def arguments(self, atom: int, point: Sequence[Fraction]) -> list[Fraction]:
        """Return A_i x + b_i exactly."""
        rows = zip(self.matrices[atom].tolist(), self.offsets[atom].tolist(), strict=True)
        return [sum((Fraction(a) * x for a, x in zip(row, point, strict=True)), Fraction(b)) for row, b in rows]

    def reach(self, domain: Box) -> Box:
        """Return a box that holds A_i x + b_i for all atoms and all x in the domain."""
        low: list[Fraction] = [Fraction(0)] * self.forms
        high: list[Fraction] = [Fraction(1)] * self.forms
        for matrix, offset in zip(self.matrices.tolist(), self.offsets.tolist(), strict=True):
            for j, (row, b) in enumerate(zip(matrix, offset, strict=True)):
                sides = zip(row, domain.lower, domain.upper, strict=True)
                ends = [sorted((Fraction(a) * x, Fraction(a) * y)) for a, x, y in sides]
                low[j] = min(low[j], Fraction(b) + sum(first for first, _ in ends))
                high[j] = max(high[j], Fraction(b) + sum(last for _, last in ends))
        return Box(low, high)

    def __call__(self, points: Floats) -> Floats:
        """Evaluate the sum in float64 at points (m, d)."""
        total = np.zeros(len(points))
        step = max(1, _CHUNK // (len(points) * self.forms or 1))
        for start in range(0, len(self), step):
            own = slice(start, start + step)
            u = np.einsum("njd,md->jnm", self.matrices[own], points) + self.offsets[own].T[:, :, None]
            total += self.coefficients[own] @ evaluate_float(self.expression, dict(zip(self.names, u, strict=True)))
        return total

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        arrays = {name: getattr(self, name).tolist() for name in ("coefficients", "matrices", "offsets")}
        return {"generator": self.generator, **arrays}


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    return parse(text)


@dataclass(frozen=True, slots=True, eq=False)
class ExpansionTarget:
    """The sum of some parts on a box, with the norm in which it is to be approximated.

    Attributes:
        parts: the atoms, by generator.
        domain: D.
        norm: "sup" or "L2" (Lebesgue measure).

    Raises:
        DomainError: the parts do not fit the box, or a generator is not defined, bounded and, in the sup norm,
            continuous wherever it is used.
    """

    parts: tuple[Part, ...]
    domain: Box
    norm: Norm = "sup"

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= MAX_PARTS or len(self) > MAX_ATOMS:
            raise DomainError(
                f"An expansion has 1 to {MAX_PARTS} generators and at most {MAX_ATOMS:,} atoms. Give so many."
            )
        if any(part.matrices.shape[2] != self.domain.dimension for part in self.parts):
            raise DomainError("The matrices of an expansion do not fit the domain. Give one column for each variable.")
        if self.norm not in ("sup", "L2"):
            raise DomainError(f"The norm {self.norm!r} is unknown. Use 'sup' or 'L2'.")
        if self.norm == "sup" and any(jumps(part.expression) for part in self.parts):
            raise DomainError("An atom has a jump, so no network is close in the sup norm. Ask for the norm L2.")
        for part in self.parts:
            refuse_undefined(part.expression, part.names, part.reach(self.domain), len(self.parts))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        d = self.domain.dimension
        return ("x",) if d == 1 else tuple(f"x{i}" for i in range(1, d + 1))

    @property
    def title(self) -> str:
        """The target in a few words."""
        return f"expansion of {len(self):,} atoms"

    def __call__(self, points: ArrayLike) -> Floats:
        """Evaluate in float64 without an error bound.

        Args:
            points: of any shape for one variable, else (..., d).

        Returns:
            One value for each point.
        """
        x = np.asarray(points, dtype=np.float64)
        d = self.domain.dimension
        shape = x.shape if d == 1 else x.shape[:-1]
        return np.sum([part(x.reshape(-1, d)) for part in self.parts], axis=0).reshape(shape)

    def exact(self, point: Sequence[Fraction]) -> Fraction:
        """Evaluate in rationals. PrecisionError if a generator is not piecewise polynomial."""
        total = Fraction(0)
        for part in self.parts:
            for i, c in enumerate(part.coefficients.tolist()):
                u = part.arguments(i, point)
                total += Fraction(c) * evaluate_exact(part.expression, dict(zip(part.names, u, strict=True)))
        return total

    def at(self, point: Sequence[Fraction]) -> arb:
        """Enclose the value at a rational point, at the precision in force."""
        total = arb(0)
        for part in self.parts:
            for i, c in enumerate(part.coefficients.tolist()):
                u = map(ball, part.arguments(i, point))
                total = total + ball(c) * evaluate_ball(part.expression, dict(zip(part.names, u, strict=True)))
        return total

    @property
    def sha256(self) -> str:
        """The hash of generators, numbers, domain and norm."""
        arrays = {
            f"{k}.{name}": getattr(part, name) + 0.0
            for k, part in enumerate(self.parts)
            for name in ("coefficients", "matrices", "offsets")
        }
        facts = {
            "kind": "expansion", "generators": [part.generator for part in self.parts],
            "domain": self.domain.to_json(), "norm": self.norm, "arrays": sha256_arrays(arrays),
        }  # fmt: skip
        return sha256_json(facts)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "kind": "expansion", "parts": [part.to_json() for part in self.parts], "domain": self.domain.to_json(),
            "norm": self.norm,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Any) -> ExpansionTarget:
        """Read a target back. CheckError on anything that `to_json` cannot have written."""
        try:
            parts = []
            for part in data["parts"]:
                if not isinstance(part["generator"], str):
                    raise TypeError("a generator is no text")
                parts.append(Part(**part))
            return cls(tuple(parts), Box.from_json(data["domain"]), data["norm"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckError(f"The expansion cannot be read: {error}. Build the solution anew.") from None

    def __str__(self) -> str:
        return f"F({', '.join(self.variables)}), an {self.title}, on {self.domain} in the {self.norm} norm"
