r"""Feature maps that are known by a few integers, so that anybody can apply the same one to the same raw data.

None has a parameter that data could choose, and each has a weight in a fixed list whose weights sum to at most 1: a
bound may use any of them at the price of -ln(weight) nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError

Array = NDArray[np.float64]

ROUNDING = 1e-10
"""Features that take arithmetic are known up to this share of their norm."""
_IDENTITY, _CONSTANT, _SCATTERING, _UPRIGHT = range(4)
_WAVELETS = (_SCATTERING, _UPRIGHT)
_EACH = 64
"""Operations for each pixel and path of scattering."""
_MAX_SCALES, _MAX_ANGLES, _MAX_SIDE = 6, 16, 128


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A feature map by its code: see `identity`, `with_constant`, `scattering` and `upright_scattering`.

    Raises:
        DomainError: the code is that of none.
    """

    code: tuple[int, ...]

    def __post_init__(self) -> None:
        code = self.code
        plain = code in ((_IDENTITY,), (_CONSTANT,))
        if not plain and not (len(code) == 4 and code[0] in _WAVELETS and _in_range(*code[1:])):
            raise DomainError(f"{code} is the code of no feature map. Use one of epsnet.features.maps.")

    def __call__(self, inputs: Array) -> Array:
        """Return the features (n, p) of raw inputs (n, d). DomainError if scattering gets no square images."""
        if self.code[0] == _IDENTITY:
            return inputs
        if self.code[0] == _CONSTANT:
            return np.hstack([inputs, np.ones((len(inputs), 1))])
        from epsnet.features.scattering import enlarge, scattering_features
        from epsnet.features.upright import upright

        kind, scales, angles, side = self.code
        own = math.isqrt(inputs.shape[1])
        if own**2 != inputs.shape[1] or own > side:
            raise DomainError(f"{inputs.shape[1]} inputs are no square image of side <= {side}. Use other features.")
        images = enlarge(inputs.reshape(-1, own, own), side, side)
        return scattering_features(upright(images) if kind == _UPRIGHT else images, scales, angles)

    def work(self, points: int, dimension: int) -> int:
        """Return about how many operations the features of so many points in so many dimensions take."""
        if self.code[0] not in _WAVELETS:
            return points * dimension
        _, scales, angles, side = self.code
        paths = 1 + scales * angles + angles**2 * scales * (scales - 1) // 2
        return points * paths * (side + 4 + 2**scales) ** 2 * _EACH

    @property
    def rounding(self) -> float:
        """The relative rounding error of a vector of features."""
        return ROUNDING if self.code[0] in _WAVELETS else 0.0

    @property
    def nats(self) -> float:
        """-ln(weight), rounded up: 1/3 for scattering with equal weights of its variants, 1/3 for each other map."""
        variants = len(_WAVELETS) * _MAX_SCALES * (_MAX_ANGLES - 1) * _MAX_SIDE if self.code[0] in _WAVELETS else 1
        return math.log(3 * variants) * (1 + 1e-12)

    def __str__(self) -> str:
        if self.code[0] in _WAVELETS:
            images = " of upright images" if self.code[0] == _UPRIGHT else ""
            return "scattering{} with {} scales and {} angles at {} pixels a side".format(images, *self.code[1:])
        return "the inputs and the constant 1" if self.code[0] == _CONSTANT else "the inputs"


def identity() -> FeatureMap:
    """Return the map x -> x."""
    return FeatureMap((_IDENTITY,))


def with_constant() -> FeatureMap:
    """Return the map x -> (x, 1)."""
    return FeatureMap((_CONSTANT,))


def scattering(scales: int = 3, angles: int = 6, side: int = 28) -> FeatureMap:
    """Return `scattering_features` of square images, enlarged to `side` pixels a side."""
    return FeatureMap((_SCATTERING, scales, angles, side))


def upright_scattering(scales: int = 3, angles: int = 6, side: int = 28) -> FeatureMap:
    """Return `scattering_features` of square images, enlarged to `side` pixels a side, after `upright`."""
    return FeatureMap((_UPRIGHT, scales, angles, side))


def _in_range(scales: int, angles: int, side: int) -> bool:
    return 1 <= scales <= _MAX_SCALES and 2 <= angles <= _MAX_ANGLES and 1 <= side <= _MAX_SIDE
