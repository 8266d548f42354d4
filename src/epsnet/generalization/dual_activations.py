r"""Dual activations: what an activation does to the covariance of a pair of Gaussians.

For an activation phi and (u, v) ~ N(0, [[a, c], [c, b]])

$$ F(a, b, c) = E\,\varphi(u)\varphi(v), \qquad G(a, b, c) = E\,\varphi'(u)\varphi'(v) = \partial F/\partial c. $$

With s = (ab)^(1/2), rho = c/s, theta = arccos rho, d = (1+2a)(1+2b), D = (1+a)(1+b), Q^2 = D - c^2:

| phi | F | G |
|---|---|---|
| alpha u + beta abs(u) | alpha^2 c + beta^2 (2/pi)(s sin theta + (pi/2 - theta)c) | alpha^2 + beta^2 (1 - 2 theta/pi) |
| erf | (2/pi) asin(2c/d^(1/2)) | (4/pi) (d - 4c^2)^(-1/2) |
| sin | e^(-(a+b)/2) sinh c | e^(-(a+b)/2) cosh c |
| cos | e^(-(a+b)/2) cosh c | e^(-(a+b)/2) sinh c |
| exp | e^((a+b)/2 + c) | F |
| gelu | cS + A(ab + c^2(1-ab)/D) | S + cA(1/(1+a) + 1/(1+b) + 1/Q^2) |
| u^p | sum_j C(p,j)^2 j! c^j ((p-j-1)!!)^2 (ab)^((p-j)/2), p - j even | p^2 F of u^(p-1) |
| sign | (2/pi) asin rho | 0: the derivative almost everywhere |

where A = 1/(2 pi Q), S = 1/4 + asin(c/D^(1/2))/(2 pi). ReLU has alpha = beta = 1/2, abs alpha = 0, beta = 1, and slopes
l on the left, r on the right give alpha = (r+l)/2, beta = (r-l)/2.

**Nearly collinear pairs.** A kink makes G depend on theta, and theta on the deficit 1 - abs(rho), which subtraction
loses. So a pair whose deficit is below `NEAR` is carried as (sign of rho, deficit), never as rho. With phi = 2
asin((deficit/2)^(1/2)) and J = sin phi - phi cos phi the half-line activations map the deficit to deficit - kappa J,
kappa = (2/pi) beta^2/(alpha^2+beta^2), if rho > 0. A smooth activation maps it to

$$ \tfrac12 E\Bigl(\frac{\varphi(\sqrt a z)}{\sqrt{F_a}} - \tau\frac{\varphi(\sigma\sqrt b z)}{\sqrt{F_b}}\Bigr)^2
   + \sigma\tau\,\frac{s\,\delta}{\sqrt{F_a F_b}} \int_0^1 2x\,G(a, b, \sigma s(1 - \delta x^2))\,dx $$

with z ~ N(0, 1), delta the deficit before, sigma the sign of rho before and tau after: by F' = G along c from the
collinear pair on.

Sources: Y. Cho, L. K. Saul, Kernel methods for deep learning, NIPS 22 (2009); C. K. I. Williams, Computing with
infinite networks, NIPS 9 (1997); R. Price, A useful theorem for nonlinear devices having Gaussian inputs, IRE Trans.
Inf. Theory 4 (1958). The formula for GELU follows from Stein's identity.
"""

# ruff: noqa: D102 - the base class documents the methods that others override
from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEAR = 1e-4
"""Pairs with 1 - abs(rho) below this are carried by their deficit; beyond it theta is known to 1e-14."""

_LEGENDRE = tuple(np.polynomial.legendre.leggauss(8))


class Dual(ABC):
    """The dual of one activation. Arrays broadcast; a, b > 0 are variances, c a covariance."""

    kinked: bool = False
    """Whether G is not smooth at collinear pairs, so that deficits must be known exactly before it."""

    @abstractmethod
    def function(self, u: Floats) -> Floats:
        """Return phi(u)."""

    @abstractmethod
    def pair(self, a: Any, b: Any, c: Any, xp: Any = np) -> tuple[Any, Any]:
        """Return F(a, b, c) and G(a, b, c); closed forms take the arrays of any namespace xp, such as jax.numpy."""

    def own(self, k: Floats) -> tuple[Floats, Floats]:
        """Return F(k, k, k) and G(k, k, k)."""
        return self.pair(k, k, k)

    def near(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        """Return F and G at c = sign (ab)^(1/2) (1 - deficit)."""
        return self.pair(a, b, sign * np.sqrt(a) * np.sqrt(b) * (1 - deficit))

    def next_deficit(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        """Return the sign and the deficit of the pair (phi(u), phi(v))."""
        ra, rb = np.sqrt(a), np.sqrt(b)
        fa, fb = np.sqrt(self.own(a)[0]), np.sqrt(self.own(b)[0])
        sign_after = np.where(self.near(a, b, sign, deficit)[0] >= 0, 1.0, -1.0)
        collinear = self._collinear(ra, rb, fa, fb, sign, sign_after)
        mean = np.zeros_like(deficit)
        for x, weight in zip(*_LEGENDRE, strict=True):
            y = (1 + x) / 2
            mean += weight * y * self.near(a, b, sign, deficit * y * y)[1]
        return sign_after, collinear + sign * sign_after * (ra / fa) * (rb / fb) * deficit * mean

    def _collinear(self, ra: Floats, rb: Floats, fa: Floats, fb: Floats, sign: Floats, after: Floats) -> Floats:
        """Return the first expectation of the module: the deficit of (phi(u), phi(v)) if that of (u, v) were 0."""
        nodes, weights = _normal_rule(float(max(ra.max(initial=1.0), rb.max(initial=1.0))))
        total = np.zeros_like(ra)
        for z, weight in zip(nodes, weights, strict=True):
            total += weight / 2 * (self.function(ra * z) / fa - after * self.function(sign * rb * z) / fb) ** 2
        return total

    def slope_deficit(self, a: Floats, b: Floats, deficit: Floats) -> Floats:
        """Return 1 - G/(G_a G_b)^(1/2) of a pair with rho = 1 - deficit."""
        ends = np.sqrt(self.own(a)[1]) * np.sqrt(self.own(b)[1])
        return 1 - np.divide(
            self.near(a, b, np.ones_like(deficit), deficit)[1], ends, out=np.ones_like(deficit), where=ends > 0
        )


def _normal_rule(scale: float) -> tuple[Floats, Floats]:
    """Return nodes and weights for E f(z), z ~ N(0, 1), by the trapezoid rule; denser for functions of scale * z."""
    count = 2 * math.ceil(64 * max(scale, 1.0)) + 1
    z = np.linspace(-9.5, 9.5, min(count, 4001))
    weights = np.exp(-(z**2) / 2)
    return z, weights / weights.sum()


def _correlation(a: Any, b: Any, c: Any, xp: Any) -> tuple[Any, Any]:
    """Return s and rho, 0 where s is."""
    s = xp.sqrt(a) * xp.sqrt(b)
    return s, xp.clip(xp.where(s > 0, c / xp.where(s > 0, s, 1.0), 0.0), -1.0, 1.0)


class HalfLines(Dual):
    """phi(u) = left u for u < 0 and right u for u > 0: identity, relu, leaky relu, abs."""

    def __init__(self, left: float, right: float) -> None:
        self.left, self.right = left, right
        self.odd, self.even = ((right + left) / 2) ** 2, ((right - left) / 2) ** 2
        self.kinked = self.even > 0

    def function(self, u: Floats) -> Floats:
        return np.where(u > 0, self.right * u, self.left * u)

    def own(self, k: Floats) -> tuple[Floats, Floats]:
        factor = self.odd + self.even
        return factor * k, np.full_like(k, factor)

    def pair(self, a: Any, b: Any, c: Any, xp: Any = np) -> tuple[Any, Any]:
        s, rho = _correlation(a, b, c, xp)
        angle = np.pi / 2 - xp.arccos(rho)
        factor = self.even * 2 / np.pi
        f = self.odd * rho + factor * (xp.sqrt(1 - rho * rho) + rho * angle)
        return f * s, self.odd + factor * angle

    def normalized(self, rho: Floats) -> tuple[Floats, Floats]:
        """Return F and G for variances 1, as `pair` does, in few passes over the memory; overwrites rho."""
        np.clip(rho, -1.0, 1.0, out=rho)
        if not self.even:
            return rho * self.odd, np.full_like(rho, self.odd)
        factor = self.even * 2 / np.pi
        angle = np.arccos(rho)
        np.subtract(np.pi / 2, angle, out=angle)
        f = rho * rho
        np.subtract(1.0, f, out=f)
        np.sqrt(f, out=f)
        f += rho * angle
        f *= factor
        if self.odd:
            rho *= self.odd
            f += rho
        angle *= factor
        angle += self.odd
        return f, angle

    def near(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        phi, j = _angle(deficit)
        same = self.odd + self.even
        other = self.even - self.odd
        factor = self.even * 2 / np.pi
        f = np.where(sign > 0, same * (1 - deficit) + factor * j, other * (1 - deficit) + factor * j)
        g = np.where(sign > 0, same - factor * phi, -other + factor * phi)
        return f * (np.sqrt(a) * np.sqrt(b)), g

    def next_deficit(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        _, j = _angle(deficit)
        total, other, factor = self.odd + self.even, self.even - self.odd, self.even * 2 / np.pi
        # For rho < 0: 1 - rho' and 1 + rho', each without cancellation.
        from_one = (2 * self.odd + other * deficit - factor * j) / total
        from_minus_one = (2 * self.even - other * deficit + factor * j) / total
        same = deficit - factor * j / total
        negative = from_one > 1
        after = np.where((sign < 0) & negative, -1.0, 1.0)
        return after, np.where(sign > 0, same, np.where(negative, from_minus_one, from_one))

    def slope_deficit(self, a: Floats, b: Floats, deficit: Floats) -> Floats:
        return _angle(deficit)[0] * (self.even * 2 / np.pi / (self.odd + self.even))


def bend(phi: Floats) -> Floats:
    """Return J = sin phi - phi cos phi to full relative accuracy."""
    square = phi * phi
    series = phi * square * (1 / 3 - square * (1 / 30 - square * (1 / 840 - square * (1 / 45360 - square / 3991680))))
    return np.where(phi < 0.2, series, np.sin(phi) - phi * np.cos(phi))


def _angle(deficit: Floats) -> tuple[Floats, Floats]:
    """Return phi = arccos(1 - deficit) and J(phi), both to full relative accuracy, 0 <= deficit <= 1."""
    phi = 2 * np.arcsin(np.sqrt(deficit / 2))
    return phi, bend(phi)


class Sign(Dual):
    """phi(u) = sign u; its derivative counts as 0."""

    kinked = True

    def function(self, u: Floats) -> Floats:
        return np.sign(u)

    def own(self, k: Floats) -> tuple[Floats, Floats]:
        return np.where(k > 0, 1.0, 0.0), np.zeros_like(k)

    def pair(self, a: Any, b: Any, c: Any, xp: Any = np) -> tuple[Any, Any]:
        f = 1 - xp.arccos(_correlation(a, b, c, xp)[1]) * (2 / np.pi)
        return f, xp.zeros_like(f)

    def near(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        return sign * (1 - self.next_deficit(a, b, sign, deficit)[1]), np.zeros_like(deficit)

    def next_deficit(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        return sign, _angle(deficit)[0] * (2 / np.pi)


class Closed(Dual):
    """A smooth activation whose F and G are given by a formula in a, b, c."""

    def __init__(self, function: Callable[[Any], Any], pair: Callable[[Any, Any, Any, Any], tuple[Any, Any]]) -> None:
        self._function, self._pair = function, pair

    def function(self, u: Floats) -> Floats:
        return self._function(u)

    def pair(self, a: Any, b: Any, c: Any, xp: Any = np) -> tuple[Any, Any]:
        return self._pair(a, b, c, xp)


def _erf_pair(a: Any, b: Any, c: Any, xp: Any) -> tuple[Any, Any]:
    root = xp.sqrt(1 + 2 * a) * xp.sqrt(1 + 2 * b)
    ratio = 2 * c / root
    return 2 / np.pi * xp.arcsin(ratio), 4 / np.pi / (root * xp.sqrt((1 - ratio) * (1 + ratio)))


def _gelu_pair(a: Any, b: Any, c: Any, xp: Any) -> tuple[Any, Any]:
    root = xp.sqrt(1 + a) * xp.sqrt(1 + b)
    ratio = c / root
    rest = (1 - ratio) * (1 + ratio)
    q = root * xp.sqrt(rest)
    scale = 1 / (2 * np.pi * q)
    share = 0.25 + xp.arcsin(ratio) / (2 * np.pi)
    f = c * share + scale * (a * b * (1 - ratio * ratio) + ratio * ratio)
    return f, share + c * scale * (1 / (1 + a) + 1 / (1 + b) + 1 / (q * q))


def _sin_pair(a: Any, b: Any, c: Any, xp: Any) -> tuple[Any, Any]:
    plus, minus = xp.exp(c - (a + b) / 2) / 2, xp.exp(-c - (a + b) / 2) / 2
    # Where both exponentials are near each other their difference is lost, so sinh itself is used there.
    small = xp.exp(-(a + b) / 2) * xp.sinh(xp.clip(c, -1, 1))
    return xp.where(xp.abs(c) < 1, small, plus - minus), plus + minus


def _exp_pair(a: Any, b: Any, c: Any, xp: Any) -> tuple[Any, Any]:
    value = xp.exp((a + b) / 2 + c)
    return value, value


@functools.cache
def _monomial_terms(power: int) -> tuple[tuple[int, float], ...]:
    """Return (j, coefficient) of c^j (ab)^((p-j)/2)."""

    def double_factorial(n: int) -> int:
        return math.prod(range(n, 0, -2))

    return tuple(
        (j, float(math.comb(power, j) ** 2 * math.factorial(j) * double_factorial(power - j - 1) ** 2))
        for j in range(power % 2, power + 1, 2)
    )


def _monomial(power: int) -> Closed:
    def moment(p: int, a: Any, b: Any, c: Any) -> Any:
        return sum(factor * c**j * (a * b) ** ((p - j) // 2) for j, factor in _monomial_terms(p))

    return Closed(
        lambda u: u**power, lambda a, b, c, xp: (moment(power, a, b, c), power**2 * moment(power - 1, a, b, c) + 0 * c)
    )


def _erf(u: Any) -> Any:
    from scipy.special import erf

    return erf(u)


def _gelu(u: Any) -> Any:
    from scipy.special import ndtr

    return u * ndtr(u)


MAX_POWER = 20
"""The largest power of a monomial; the moments of higher ones are beyond float64 accuracy."""

CLOSED_FORMS: dict[str, Dual] = {
    "identity": HalfLines(1.0, 1.0),
    "relu": HalfLines(0.0, 1.0),
    "abs": HalfLines(-1.0, 1.0),
    "sign": Sign(),
    "erf": Closed(_erf, _erf_pair),
    "gelu": Closed(_gelu, _gelu_pair),
    "sin": Closed(np.sin, _sin_pair),
    "cos": Closed(np.cos, lambda a, b, c, xp: _sin_pair(a, b, c, xp)[::-1]),
    "exp": Closed(np.exp, _exp_pair),
    **{f"power({p})": _monomial(p) for p in range(1, MAX_POWER + 1)},
}
"""The activations with closed forms, besides "leaky_relu(SLOPE)"."""
