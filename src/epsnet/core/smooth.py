r"""Float64 enclosures of the smooth activations and their derivatives, rigorous without any trust in libm.

Nobody bounds the errors of the elementary functions of NumPy and SciPy. Here sigma(x + t), |t| <= h = 1/32, is a Taylor
polynomial at the point x of a grid of spacing 1/16,

$$ \Bigl|\sigma(x + t) - \sum_{k < 12} c_k t^k\Bigr|
   \le \max_{|s| \le h} \frac{|\sigma^{(12)}(x + s)|}{12!}\, h^{12}, $$

with coefficients and remainder enclosed in balls (arb) once, and evaluated in NumPy by a Horner scheme with an a-priori
error (Higham 2002, section 5.1). Outside the grid sigma is its asymptote up to 2^-52. The enclosures are at most about
1e-15 (1 + |sigma|) wide; nothing is assumed but IEEE arithmetic.

Reference: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.errors import PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic, gamma, interval, round_down, round_up
from epsnet.core.functions import FUNCTIONS

Array = NDArray[np.float64]

UNIT = 2.0**-53
"""The relative error of one rounding to nearest."""
TINY = float(np.finfo(np.float64).tiny)
"""The smallest normal number: an upper bound of the error of one operation that underflows."""

_PER_UNIT = 16.0
_TERMS = 12
_TAIL = 2.0**-52
"""Bound of |sigma - asymptote| and |(sigma - asymptote)'| at z >= reach and z <= -reach, for z > 0 at most
(1 + z) exp(-z) <= 1.8e-16 at 40 for sigmoid, softplus and silu, 4 exp(-2 z) at 20 for tanh, 2 exp(-z^2) at 7 for erf,
(1 + z) exp(-z^2 / 2) at 10 for gelu."""
_FAR = 2.0**20
_TURN = 2 * math.pi
_TURN_HIGH = math.floor(_TURN * 2**30) / 2**30  # 33 bits: a multiple by an integer below 2^20 is exact
with ball_arithmetic():
    _TURN_LOW = round_up(2 * arb.pi() - ball(_TURN_HIGH))
_STEP, _RAMP, _SIGN = ((0.0, 0.0), (0.0, 1.0)), ((0.0, 0.0), (1.0, 0.0)), ((0.0, -1.0), (0.0, 1.0))
_SILU_INFLECTION = 2.3993572805154675  # the root of z tanh(z / 2) = 2, rounded to nearest
_SHAPES = {
    # reach, asymptotes, floor (None: at the minimum), ceiling, inflection points, convex on the left
    "tanh": (20.0, _SIGN, -1.0, 1.0, (0.0,), True),
    "erf": (7.0, _SIGN, -1.0, 1.0, (0.0,), True),
    "sigmoid": (40.0, _STEP, 0.0, 1.0, (0.0,), True),
    "softplus": (40.0, _RAMP, 0.0, math.inf, (), True),
    "gelu": (10.0, _RAMP, None, math.inf, (-math.sqrt(2), math.sqrt(2)), False),
    "silu": (40.0, _RAMP, None, math.inf, (-_SILU_INFLECTION, _SILU_INFLECTION), False),
    "sin": (4.0, None, -1.0, 1.0, (), False),
}


def up(x: Array) -> Array:
    """Return the next float64 above: an upper bound of what was rounded to x by one operation."""
    return np.nextafter(x, np.inf)


def down(x: Array) -> Array:
    """Return the next float64 below."""
    return np.nextafter(x, -np.inf)


@dataclass(frozen=True)
class Smooth:
    """Float64 enclosures of a smooth activation and its derivative: Taylor polynomials at i/16, linear tails outside.

    Attributes:
        coefficients: (2, terms, nodes): of sigma and of sigma'.
        errors: (2,): remainder and rounding, apart from 4 UNIT |value|.
        reach: the grid covers [-reach, reach]; outside, sigma is within `_TAIL` of the asymptotes.
        asymptotes: ((slope, intercept) on the left, on the right); None for the periodic sin.
        floor, ceiling: global bounds of sigma.
        inflections: the points between which sigma is convex and concave in turn, convex first if `convex_first`.
        convex_first: False if sigma is concave on the leftmost piece. Both are not used for sin.
        valley: float64 numbers around the minimum of gelu and silu, which fall before it and rise after it; else None.
    """

    coefficients: Array
    errors: tuple[float, float]
    reach: float
    asymptotes: tuple[tuple[float, float], tuple[float, float]] | None
    floor: float
    ceiling: float
    inflections: tuple[float, ...]
    convex_first: bool
    valley: tuple[float, float] | None

    def values(self, z: Array, derivative: bool = False) -> tuple[Array, Array]:
        """Return (lower, upper) with lower <= sigma(z) <= upper, or the same for sigma'(z)."""
        coefficients, error = self.coefficients[int(derivative)], self.errors[int(derivative)]
        inside = _reduced(z) if self.asymptotes is None else np.clip(z, -self.reach, self.reach)
        node = np.rint(inside * _PER_UNIT)
        t = inside - node / _PER_UNIT  # exact
        index = (node + self.reach * _PER_UNIT).astype(np.int64)
        value = np.zeros_like(t)
        for row in coefficients[::-1]:
            value = value * t + row[index]
        error = error + 4 * UNIT * np.abs(value)
        if self.asymptotes is None:
            far = np.abs(z) > _FAR
            low, high = np.where(far, -1.0, down(value - error)), np.where(far, 1.0, up(value + error))
            return np.maximum(low, -1.0), np.minimum(high, 1.0)
        low, high = down(value - error), up(value + error)
        for (slope, intercept), tail in zip(self.asymptotes, (z < -self.reach, z > self.reach), strict=True):
            line = np.full_like(z, slope) if derivative else slope * z + intercept  # exact: one of the two is 0
            low, high = np.where(tail, down(line - _TAIL), low), np.where(tail, up(line + _TAIL), high)
        return (low, high) if derivative else (np.maximum(low, self.floor), np.minimum(high, self.ceiling))

    def slopes(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Return (low, high) with low <= sigma'(z) <= high for all z in [lower, upper].

        The derivative is monotone between the inflection points. Those are known to 3 UNIT relative, and the derivative
        is stationary there: its value at the float64 number is off by less than 2^-90, which one step of `up` covers.
        """
        if self.asymptotes is None:
            ends = [self.values(z, derivative=True) for z in (lower, upper)]
            low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
            return np.where(_passes(lower, upper, 0.5), -1.0, low), np.where(_passes(lower, upper, 0.0), 1.0, high)
        points = [lower, upper, *(np.clip(cut, lower, upper) for cut in self.inflections)]
        found = [self.values(z, derivative=True) for z in points]
        return down(np.minimum.reduce([low for low, _ in found])), up(np.maximum.reduce([high for _, high in found]))

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Return (low, high) with low <= sigma(z) <= high for all z in [lower, upper]."""
        (low_l, high_l), (low_u, high_u) = self.values(lower), self.values(upper)
        low, high = np.minimum(low_l, low_u), np.maximum(high_l, high_u)
        if self.valley is not None:
            low = np.where((lower <= self.valley[1]) & (upper >= self.valley[0]), self.floor, low)
        if self.asymptotes is None:
            low, high = (
                np.where(_passes(lower, upper, 0.75), -1.0, low),
                np.where(_passes(lower, upper, 0.25), 1.0, high),
            )
        return low, high

    def pieces(self, lower: Array, upper: Array) -> tuple[list[tuple[Array, Array, Array | bool]], Array | float]:
        """Cut [lower, upper] into pieces (start, stop, whether sigma is convex there), some of them points.

        Returns:
            The pieces, and how much an error of the inflection points can change the maximum of +-(sigma(z) - c z) on
            a piece, |c| <= 1.2, as found from its ends or a tangent: the derivative is at most 2.4 and the points are
            right to 3 UNIT relative. Infinite where an interval of sin is longer than 6 or too far out.
        """
        if self.asymptotes is None:
            first = np.ceil(lower / np.pi)
            cuts = [(first + k) * np.pi for k in range(3)]
            convex = [np.mod(first + k, 2) == 0 for k in range(4)]
            known = (upper - lower <= 6) & (np.maximum(np.abs(lower), np.abs(upper)) <= _FAR)
            shift = np.where(known, 2.0**-49 * (np.abs(lower) + np.abs(upper)), np.inf)
        else:
            cuts = [np.full_like(lower, cut) for cut in self.inflections]
            convex = [(k % 2 == 0) == self.convex_first for k in range(len(cuts) + 1)]
            shift = 2.0**-48 * max(map(abs, self.inflections), default=0.0)
        ends = [lower, *(np.clip(cut, lower, upper) for cut in cuts), upper]
        return list(zip(ends[:-1], ends[1:], convex, strict=True)), shift

    def envelope_slopes(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Return about the slopes of the convex and the concave envelope at the midpoint, from 17 samples."""
        middle = lower / 2 + upper / 2
        half = upper / 2 - lower / 2
        steps = np.arange(1, 9) / 8
        left = middle - half * steps[:, None, None]
        right = middle + half * steps[:, None, None]
        at_left, at_right = (np.add(*self.values(z)) / 2 for z in (left, right))
        tangent = np.add(*self.values(middle, derivative=True)) / 2
        best = [np.full_like(middle, np.inf), np.full_like(middle, -np.inf)]
        slopes = [tangent, tangent]
        for i in range(8):
            chord = (at_right - at_left[i]) / (right - left[i])
            height = at_left[i] + chord * (middle - left[i])
            for side, (pick, better) in enumerate(((np.argmin, np.less), (np.argmax, np.greater))):
                j = pick(height, axis=0)[None]
                own_height, own_slope = (np.take_along_axis(a, j, axis=0)[0] for a in (height, chord))
                improved = better(own_height, best[side])
                best[side] = np.where(improved, own_height, best[side])
                slopes[side] = np.where(improved, own_slope, slopes[side])
        # chords of nearly equal numbers are noise; a parallel slope is as good on a short interval
        below, above = (np.clip(np.where(half > 1e-6, slope, tangent), -1.2, 1.2) for slope in slopes)
        return below, above

    def maximum(self, side: float, slope: Array, lower: Array, upper: Array) -> Array:
        r"""Bound side (sigma(z) - slope z) from above on [lower, upper], for side +-1 and |slope| <= 1.2.

        The interval is cut at the inflection points. On a convex piece the maximum is at an end, on a concave one the
        tangent at any t bounds it; t is sought where the slopes agree.
        """

        def height(z: Array) -> Array:
            low, high = self.values(z)
            value, product = (high if side > 0 else -low), side * slope * z
            return up(up(value - product) + (2 * UNIT * np.abs(product) + TINY))

        def tilt(z: Array) -> tuple[Array, Array]:
            low, high = self.values(z, derivative=True)
            return (low - slope, high - slope) if side > 0 else (slope - high, slope - low)

        result = np.maximum(height(lower), height(upper))
        pieces, shift = self.pieces(lower, upper)
        for start, stop, convex in pieces:
            result = np.maximum(result, np.maximum(height(start), height(stop)))
            concave = np.broadcast_to((side > 0) != convex, start.shape)
            if not concave.any():
                continue
            inner, outer = start, stop
            for _ in range(20):
                middle = inner / 2 + outer / 2
                rising = np.add(*tilt(middle)) > 0
                inner, outer = np.where(rising, middle, inner), np.where(rising, outer, middle)
            gain = np.maximum.reduce([t * (z - inner) for t in tilt(inner) for z in (start, stop)])
            tangent = up(height(inner) + up(gain + (4 * UNIT * np.abs(gain) + TINY)))
            result = np.where(concave, np.maximum(result, tangent), result)
        return up(result + shift)


def _passes(lower: Array, upper: Array, peak: float) -> NDArray[np.bool_]:
    """Tell whether an interval may contain (k + peak) turns, an integer k; always if it reaches too far out."""
    # counted with a margin far above the rounding of z / 2 pi for |z| <= _FAR
    passes = np.floor(upper / _TURN - peak + 1e-9) >= np.ceil(lower / _TURN - peak - 1e-9)
    return passes | (np.maximum(np.abs(lower), np.abs(upper)) > _FAR)


def _reduced(z: Array) -> Array:
    """Return z - 2 pi k in about [-pi, pi], with an error below 2^-50 for |z| <= 2^20 (W. J. Cody, W. Waite 1980)."""
    turns = np.where(np.abs(z) <= _FAR, np.rint(z / _TURN), 0.0)
    return np.clip((np.where(np.abs(z) <= _FAR, z, 0.0) - turns * _TURN_HIGH) - turns * _TURN_LOW, -4.0, 4.0)


@functools.cache
def smooth(name: str) -> Smooth:
    """Return the enclosures of a smooth activation, computed once in balls (about 0.1 s)."""
    if name not in _SHAPES:
        raise PrecisionError(f"{name} has no enclosures in float64. Use epsnet.core.exact_forms.")
    reach, asymptotes, floor, ceiling, inflections, convex_first = _SHAPES[name]
    half = 1 / (2 * _PER_UNIT)
    nodes = np.arange(-reach * _PER_UNIT, reach * _PER_UNIT + 1) / _PER_UNIT
    with ball_arithmetic():
        centers = [taylor(name, ball(x), _TERMS) for x in nodes.tolist()]
        cells = [taylor(name, interval(x - half, x + half), _TERMS + 1)[_TERMS] for x in nodes.tolist()]
        remainder = max(round_up(abs(cell)) for cell in cells)
        valley = None
        if floor is None:
            low, high = arb(-3), arb(-0.5)  # sigma' < 0 to the left of the minimum, > 0 to the right
            while (high - low) * 2**60 > 1:
                middle = (low + high) / 2
                low, high = (middle, high) if FUNCTIONS[name].derivative(middle) < 0 else (low, middle)
            floor = round_down(FUNCTIONS[name].ball(low.union(high)))
            valley = (round_down(low), round_up(high))
        tables = np.array([[float(c.mid()) for c in row] for row in centers]).T
    powers = np.arange(1.0, _TERMS)[:, None]
    tables = np.stack((tables, np.vstack((tables[1:] * powers, np.zeros((1, len(nodes)))))))
    errors = []
    for order, table in enumerate(tables):
        # Horner's scheme (Higham 5.1) with coefficients rounded up to three times; the first one is covered by
        # 4 UNIT |value|, the radii of the coefficients, below 2^-90, by the factor 1.01
        rest = float((half ** np.arange(1, _TERMS) @ np.abs(table[1:])).max())
        cut = remainder * half ** (_TERMS - order) * _TERMS**order
        errors.append(1.01 * (cut + round_up(gamma(2 * _TERMS + 8)) * rest) + (2.0**-50 if name == "sin" else 0.0))
    return Smooth(tables, (errors[0], errors[1]), reach, asymptotes, floor, ceiling, inflections, convex_first, valley)


def taylor(name: str, x: arb, terms: int) -> list[arb]:
    """Enclose sigma^(k)(x) / k! for k < terms, by the recurrences of the differential equations."""
    if name == "sin":
        cycle = [x.sin(), x.cos(), -x.sin(), -x.cos()]
        return [cycle[k % 4] / math.factorial(k) for k in range(terms)]
    if name in ("erf", "gelu"):  # g = c exp(-a x^2), g' = -2 a x g; sigma = 2 int g - 1 or x int g
        rate = 1 if name == "erf" else arb(0.5)
        density = [(-rate * x * x).exp() * (rate / arb.pi()).sqrt()]
        for k in range(terms - 1):
            density.append(-2 * rate * (x * density[k] + (density[k - 1] if k else 0)) / (k + 1))
        if name == "erf":
            return [x.erf(), *(2 * g / k for k, g in enumerate(density[: terms - 1], 1))]
        area = [(-x / arb(2).sqrt()).erfc() / 2, *(g / k for k, g in enumerate(density, 1))]
        return [x * area[k] + (area[k - 1] if k else 0) for k in range(terms)]
    # s' = s - s^2 and t' = 1 - t^2
    first = [x.tanh() if name == "tanh" else 1 / (1 + (-x).exp())]
    for k in range(terms):
        convolved = sum((first[i] * first[k - i] for i in range(k + 1)), arb(0))
        own = (1 if k == 0 else 0) if name == "tanh" else first[k]
        first.append((own - convolved) / (k + 1))
    if name == "softplus":
        return [FUNCTIONS[name].ball(x), *(s / k for k, s in enumerate(first[: terms - 1], 1))]
    if name == "silu":
        return [x * first[k] + (first[k - 1] if k else 0) for k in range(terms)]
    return first[:terms]
