r"""`Dictionary`: finitely many atoms phi_i on a grid, and what is done with all of them at once.

A signal f is an array of samples. With the synthesis operator D c = sum_i c_i phi_i,

* `synthesis` is D, `adjoint` is D^T: the inner products <f, phi_i> = sum_x f(x) phi_i(x);
* `analysis` returns coefficients with D c = f: those of the dual basis or of the canonical dual frame. For a Parseval
  frame, sum_i <f, phi_i>^2 = ||f||^2, they are the inner products.

`assert_reconstructs` checks these laws on random signals, for any dictionary.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError

Floats = NDArray[np.float64]


class Dictionary(ABC):
    """Atoms on a grid.

    Attributes:
        name: for tables and legends.
        shape: of the signals.
        size: the number of atoms; coefficients are vectors of this length.
        parseval: `analysis` is `adjoint` and keeps the norm.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    parseval: bool = True

    @abstractmethod
    def _analysis(self, signal: NDArray[Any]) -> NDArray[Any]: ...

    @abstractmethod
    def _synthesis(self, coefficients: NDArray[Any]) -> NDArray[Any]: ...

    def _adjoint(self, signal: Floats) -> Floats:
        # What is no Parseval frame overrides this.
        return self._analysis(signal)

    @functools.cached_property
    def norms(self) -> Floats:
        """The norms of the atoms, (size,)."""
        return np.array([np.linalg.norm(self.atom(index)) for index in range(self.size)], dtype=np.float64)

    @functools.cached_property
    def scales(self) -> Floats:
        """Thresholding keeps the largest |c_i| scales_i, (size,); 1 where the atoms are normalized."""
        return np.ones(self.size)

    def analysis(self, signal: ArrayLike) -> Floats:
        """Return coefficients (size,) whose synthesis is the signal.

        Raises:
            DomainError: the signal has another shape, or a value is not finite.
        """
        return self._analysis(self._checked(signal, self.shape, "signal"))

    def adjoint(self, signal: ArrayLike) -> Floats:
        """Return the inner products (size,) of the signal with the atoms; errors as for `analysis`."""
        return self._adjoint(self._checked(signal, self.shape, "signal"))

    def synthesis(self, coefficients: ArrayLike) -> Floats:
        """Return the signal sum_i c_i phi_i.

        Raises:
            DomainError: there are not `size` coefficients, or one is not finite.
        """
        return self._synthesis(self._checked(coefficients, (self.size,), "vector of coefficients"))

    def atom(self, index: int) -> Floats:
        """Return the samples of atom number `index`."""
        if not 0 <= index < self.size:
            raise DomainError(f"There is no atom {index}. Give a number from 0 to {self.size - 1}.")
        unit = np.zeros(self.size)
        unit[index] = 1.0
        return self._synthesis(unit)

    @staticmethod
    def _checked(values: ArrayLike, shape: tuple[int, ...], what: str) -> Floats:
        try:
            if np.iscomplexobj(values):
                raise TypeError
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise DomainError(f"The {what} does not consist of real numbers. Give floats.") from None
        if array.shape != shape:
            raise DomainError(f"The {what} has the shape {array.shape}, not {shape}. Give one that fits.")
        if not np.isfinite(array).all():
            raise DomainError(f"The {what} has a value that is not finite. Remove it.")
        return array


@dataclass(frozen=True, eq=False)
class Expansion:
    """A sum of few atoms, sum_k c_k phi_{i_k}.

    Attributes:
        dictionary: the atoms.
        indices: i_k, distinct.
        coefficients: c_k, float64.
    """

    dictionary: Dictionary
    indices: NDArray[np.int64]
    coefficients: Floats

    def __post_init__(self) -> None:
        indices, size = np.asarray(self.indices), self.dictionary.size
        if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer) or len(np.unique(indices)) < len(indices):
            raise DomainError("The atoms of an expansion are not distinct numbers. Name each atom once.")
        if len(indices) and not 0 <= indices.min() <= indices.max() < size:
            raise DomainError(f"An expansion names an atom that does not exist. Give numbers from 0 to {size - 1}.")
        values = Dictionary._checked(self.coefficients, indices.shape, "vector of coefficients")
        object.__setattr__(self, "indices", indices.astype(np.int64))
        object.__setattr__(self, "coefficients", values)

    def __len__(self) -> int:
        return len(self.indices)

    def signal(self) -> Floats:
        """Return the samples of the sum."""
        coefficients = np.zeros(self.dictionary.size)
        coefficients[self.indices] = self.coefficients
        return self.dictionary.synthesis(coefficients)


def require_halvable(shape: tuple[int, ...], levels: int) -> None:
    """Refuse a shape that cannot be halved `levels` times."""
    if levels < 1 or not shape or any(n < 1 or n % 2**levels for n in shape):
        raise DomainError(
            f"A signal of shape {shape} cannot be halved {levels} times. "
            f"Give lengths that 2^levels divides, and at least one level."
        )


def assert_reconstructs(dictionary: Dictionary, seed: int = 0, tolerance: float = 1e-12) -> None:
    """Assert the laws of a dictionary on a random signal: D `analysis` f = f, <D c, f> = <c, D^T f>, Parseval.

    Args:
        dictionary: to be tested.
        seed: of the random signal and coefficients.
        tolerance: relative.

    Raises:
        AssertionError: a law does not hold.
    """
    rng = np.random.default_rng(seed)
    f, c = rng.standard_normal(dictionary.shape), rng.standard_normal(dictionary.size)
    found, size = dictionary.analysis(f), float(np.linalg.norm(f))
    laws = {"reconstruction": float(np.abs(dictionary.synthesis(found) - f).max()) / size}
    inner = float(np.sum(dictionary.synthesis(c) * f)) - float(c @ dictionary.adjoint(f))
    laws["adjoint"] = abs(inner) / (size * float(np.linalg.norm(c)))
    if dictionary.parseval:
        laws["Parseval"] = abs(float(found @ found) / size**2 - 1)
    broken = {law: error for law, error in laws.items() if not error <= tolerance}
    if broken:
        raise AssertionError(f"{dictionary.name} breaks {broken}. Correct the dictionary.")
