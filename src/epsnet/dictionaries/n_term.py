r"""Adaptive N-term approximation: the best terms of a basis, or atoms chosen one after the other.

Thresholding keeps the N coefficients that are largest in absolute value. For an orthonormal basis this is the best
approximation with N terms; for a Parseval frame the squared error is at most the sum of the squares left out.

Orthogonal matching pursuit takes for atoms that are no basis the one with the largest |<r, phi_i>|/||phi_i||, r the
residual, and projects the signal on all atoms taken; so the error falls with every term.

Hard thresholding pursuit improves the terms of a redundant Parseval frame: with the residual r of a sum of N terms c it
keeps the N largest of c + D^T r and projects the signal on their atoms, by steps of conjugate gradients, again and
again; it returns the best sum seen. Orthogonal matching pursuit is better still, and takes a step for each term.

Sources: R. DeVore, Nonlinear approximation, Acta Numerica 7 (1998) 51-150; Y. Pati, R. Rezaiifar, P. Krishnaprasad,
Orthogonal matching pursuit, Asilomar Conference 1993; S. Foucart, Hard thresholding pursuit: an algorithm
for compressive sensing, SIAM J. Numer. Anal. 49 (2011) 2543-2563.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.dictionaries.dictionary import Dictionary, Expansion, Floats

_MOST_PURSUED = 1 << 27
"""Matching pursuit stores the atoms taken: N times the samples."""
_ROUNDS, _STEPS = 6, 4
"""Of hard thresholding pursuit: supports, and steps of conjugate gradients for each. Heuristic."""


def threshold(dictionary: Dictionary, signal: ArrayLike, terms: int) -> Expansion:
    """Return the N terms of the analysis of a signal that are largest in |c_i| scales_i; of equal ones, the first.

    Args:
        dictionary: the atoms.
        signal: of the shape of the dictionary.
        terms: N, from 0 to the number of atoms.
    """
    coefficients, order = _ordered(dictionary, signal)
    kept = order[: _count(dictionary, terms)]
    return Expansion(dictionary, kept, coefficients[kept])


def squared_errors(dictionary: Dictionary, signal: ArrayLike, terms: Sequence[int]) -> Floats:
    """Return the mean squared errors of `threshold` for several N, with one analysis."""
    coefficients, order = _ordered(dictionary, signal)
    signal = np.asarray(signal, dtype=np.float64)
    errors = []
    for count in terms:
        kept = order[: _count(dictionary, count)]
        errors.append(np.mean((Expansion(dictionary, kept, coefficients[kept]).signal() - signal) ** 2))
    return np.array(errors)


def matching_pursuit(dictionary: Dictionary, signal: ArrayLike, terms: int) -> Expansion:
    """Return the N-term expansion of orthogonal matching pursuit; fewer terms if they already are the signal.

    Args:
        dictionary: the atoms, in general no basis.
        signal: of the shape of the dictionary.
        terms: N.
    """
    if _count(dictionary, terms) * int(np.prod(dictionary.shape)) > _MOST_PURSUED:
        raise DomainError(f"Matching pursuit of {terms} terms takes too much memory. Ask for fewer.")
    correlations = dictionary.adjoint(signal)
    whole = np.asarray(signal, dtype=np.float64).ravel()
    residual, free = whole, np.ones(dictionary.size, dtype=bool)
    atoms, basis, taken = [], np.empty((0, whole.size)), []
    rounding = 2.0**-46 * float(np.linalg.norm(whole))
    while len(taken) < terms:
        gain = np.where(free, np.abs(correlations) / dictionary.norms, -1.0)
        best = int(np.argmax(gain))
        if gain[best] <= rounding:
            break
        free[best] = False
        atom = dictionary.atom(best).ravel()
        new = atom - basis.T @ (basis @ atom)
        new -= basis.T @ (basis @ new)
        length = float(np.linalg.norm(new))
        if length <= 2.0**-40 * float(np.linalg.norm(atom)):
            continue
        taken.append(best)
        atoms.append(atom)
        basis = np.vstack([basis, new / length])
        residual = whole - basis.T @ (basis @ whole)
        correlations = dictionary.adjoint(residual.reshape(dictionary.shape))
    if not taken:
        return threshold(dictionary, signal, 0)
    coefficients = np.linalg.lstsq(np.array(atoms).T, whole, rcond=None)[0]
    return Expansion(dictionary, np.array(taken, dtype=np.int64), coefficients.astype(np.float64))


def thresholding_pursuit(dictionary: Dictionary, signal: ArrayLike, terms: int) -> Expansion:
    """Return an N-term expansion in a Parseval frame by hard thresholding pursuit, not worse than `threshold`.

    Args:
        dictionary: a Parseval frame; for an orthonormal basis `threshold` is already the best.
        signal: of the shape of the dictionary.
        terms: N.

    Raises:
        HypothesisError: the dictionary is no Parseval frame.
    """
    if not dictionary.parseval:
        raise HypothesisError(f"{dictionary.name} are no Parseval frame. Use matching_pursuit.")
    best = threshold(dictionary, signal, terms)
    whole = np.asarray(signal, dtype=np.float64)
    residual = whole - best.signal()
    error, kept, values = float(np.sum(residual**2)), best.indices, best.coefficients
    for _ in range(_ROUNDS if terms else 0):
        values, residual = _project(dictionary, residual, kept, values)
        if float(np.sum(residual**2)) < error:
            error, best = float(np.sum(residual**2)), Expansion(dictionary, kept, values)
        proposed = dictionary.adjoint(residual)
        proposed[kept] += values
        kept = np.argsort(-np.abs(proposed), kind="stable")[:terms]
        values = proposed[kept]
        residual = whole - Expansion(dictionary, kept, values).signal()
    return best


def _project(dictionary: Dictionary, residual: Floats, kept: np.ndarray, values: Floats) -> tuple[Floats, Floats]:
    """Lower the residual by steps of conjugate gradients in the kept coefficients."""
    direction, before = np.zeros(len(kept)), np.inf
    for _ in range(_STEPS):
        gradient = dictionary.adjoint(residual)[kept]
        square = float(gradient @ gradient)
        direction = gradient + square / before * direction
        change = Expansion(dictionary, kept, direction).signal()
        norm = float(np.sum(change**2))
        if norm == 0.0:
            break
        step, before = square / norm, square
        values, residual = values + step * direction, residual - step * change
    return values, residual


def psnr(squared_error: ArrayLike, peak: float = 255.0) -> Floats:
    """Return the peak signal-to-noise ratio 10 log10(peak^2 / mean squared error) in decibels; inf without error."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / np.asarray(squared_error, dtype=np.float64))


def _ordered(dictionary: Dictionary, signal: ArrayLike) -> tuple[Floats, np.ndarray]:
    coefficients = dictionary.analysis(signal)
    return coefficients, np.argsort(-np.abs(coefficients) * dictionary.scales, kind="stable")


def _count(dictionary: Dictionary, terms: int) -> int:
    if not 0 <= terms <= dictionary.size:
        raise DomainError(f"There are no {terms} terms. Give a number from 0 to {dictionary.size}.")
    return terms
