"""Dictionaries by name, for the command line and for tables: `find("db4", signal.shape)`, `find("gabor:16", shape)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.bsplines import BSplines
from epsnet.dictionaries.dictionary import Dictionary
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.shearlets import Shearlets
from epsnet.dictionaries.wavelets import Wavelets

_MOST_LEVELS = 6
_WINDOW = 32
_DEGREE = 3

USAGE = (
    "db4 or another wavelet of PyWavelets (db4:3 with 3 levels), cdf2.2, bsplines:DEGREE, gabor:LENGTH, "
    "shearlets:ALPHA, ridgelets"
)
"""What `find` understands, in words."""


def find(name: str, shape: tuple[int, ...]) -> Dictionary:
    """Return the dictionary of a name, with a parameter behind a colon, for signals of a shape.

    Example:
        >>> find("gabor:16", (64,)).size
        128

    Raises:
        DomainError: the name is unknown, its parameter is no number, or the shape does not fit.
        MissingExtraError: PyWavelets is not installed.
    """
    kind, colon, text = name.strip().partition(":")
    try:
        parameter = float(text) if colon else None
    except ValueError:
        raise DomainError(f"The parameter {text!r} of {kind} is no number. Use {USAGE}.") from None
    build = _KINDS.get(kind)
    if build is not None:
        return build(shape, parameter)
    halvings = min((n & -n).bit_length() - 1 for n in shape) if shape else 0
    levels = min(_MOST_LEVELS, halvings) if parameter is None else int(parameter)
    try:
        return Wavelets(kind, shape, levels)
    except DomainError as error:
        raise DomainError(f"{error} The dictionaries are {USAGE}.") from None


def _linear_wavelets(shape: tuple[int, ...], _: float | None) -> Dictionary:
    levels = (shape[0] - 1).bit_length() - 1
    if len(shape) != 1 or shape[0] != 2**levels + 1:
        raise DomainError(f"CDF(2,2) has 2^J + 1 nodes on [0, 1], not {shape}. Give such a signal, or use bior2.2.")
    return LinearWavelets(levels)


def _bsplines(shape: tuple[int, ...], degree: float | None) -> Dictionary:
    degree = _DEGREE if degree is None else int(degree)
    halvings = (shape[0] & -shape[0]).bit_length() - 1
    widest = max(shape[0] // (degree + 1), 1).bit_length()
    if len(shape) != 1:
        raise DomainError(f"B-splines are for one variable, not {len(shape)}. Use wavelets.")
    return BSplines(degree, shape[0], max(1, min(_MOST_LEVELS, halvings + 1, widest)))


def _gabor(shape: tuple[int, ...], length: float | None) -> Dictionary:
    return Gabor(shape, _WINDOW if length is None else int(length))


def _shearlets(shape: tuple[int, ...], alpha: float | None) -> Dictionary:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise DomainError(f"Shearlets are for square images, not for shape {shape}. Cut a square out.")
    return Shearlets(shape[0], 0.5 if alpha is None else alpha)


_KINDS: Mapping[str, Callable[[tuple[int, ...], float | None], Dictionary]] = {
    "cdf2.2": _linear_wavelets,
    "bsplines": _bsplines,
    "gabor": _gabor,
    "shearlets": _shearlets,
    "ridgelets": lambda shape, _: _shearlets(shape, 0.0),
}
