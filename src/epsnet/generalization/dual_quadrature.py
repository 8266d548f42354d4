r"""The dual of any activation by quadrature, to `TOLERANCE`, with an error estimate.

**Smooth activations: Mehler's series.** With h_j(sigma) = E phi(sigma z) He_j(z)/(j!)^(1/2), z ~ N(0, 1),

$$ F(a, b, c) = \sum_{j \ge 0} h_j(\sqrt a)\, h_j(\sqrt b)\, \rho^j, \qquad
   G(a, b, c) = \frac1{\sqrt{ab}} \sum_{j \ge 0} (j + 1)\, h_{j+1}(\sqrt a)\, h_{j+1}(\sqrt b)\, \rho^j, $$

where no derivative of phi occurs. By Parseval's identity, sum_j h_j^2 = E phi^2, and Cauchy and Schwarz the terms after
J add up to at most the geometric mean of the two rests E phi^2 - sum_{j <= J} h_j^2. The coefficients come from the
trapezoid rule, which converges geometrically for analytic phi; J doubles until the last quarter of the terms at rho =
1, also of those of G, is below the tolerance.

**Kinks, or too steep for a series: panels.** E phi(u) phi(v) = E_s phi(a^(1/2) s) E_t phi(b^(1/2)(rho s + r t)), r^2 =
1 - rho^2, by Gauss and Legendre on panels that end at the kinks of both factors and shrink towards the s where the
inner one bends; r comes from the deficit and keeps its digits. phi' is given, or comes from Chebyshev interpolation on
windows without kinks. If the only kink is at 0, polar coordinates are used instead, with sectors between the rays u = 0
and v = 0. The panels are halved until two results agree.

What is estimated: float64 rounding, the trapezoid rule, and the comparison of two panels are no proofs, so the error is
of the kind ESTIMATED. If the tolerance is not reached, PrecisionError.

Sources: F. G. Mehler, J. reine angew. Math. 66 (1866); A. Daniely, R. Frostig, Y. Singer, Toward deeper understanding
of neural networks, NIPS 29 (2016); L. N. Trefethen, J. A. C. Weideman, The exponentially convergent trapezoidal rule,
SIAM Review 56 (2014).
"""

# ruff: noqa: D102 - the base class documents the methods that are overridden
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.generalization.dual_activations import Dual, Floats

TOLERANCE = 1e-12
"""Errors of F and G, relative to the geometric mean of their values on the diagonal."""

REACH = 13.0
"""Standard deviations beyond which a Gaussian is cut off: the density there is 1e-37."""

TERMS = (64, 128, 256, 512, 1024)
_STEP = 1 / 16
_LEVELS = 4
_LEGENDRE = tuple(np.polynomial.legendre.leggauss(16))
_CHUNK = 2**18


class Quadrature(Dual):
    """The dual of phi, a vectorized function.

    Attributes:
        derivative: phi', or None.
        kinks: where phi or one of its derivatives jumps.

    Raises:
        DomainError: phi does not return one finite number for each argument.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        derivative: Callable[[Any], Any] | None = None,
        kinks: tuple[float, ...] = (),
    ) -> None:
        self._function, self._given = function, derivative
        self.kinks = tuple(sorted(map(float, kinks)))
        self.kinked = bool(kinks)
        for what in (self.function, self.derivative):
            what(np.linspace(-3.0, 3.0, 13))

    def function(self, u: Floats) -> Floats:
        with np.errstate(all="ignore"):
            value = np.asarray(self._function(u), dtype=np.float64)
        if value.shape != u.shape or not np.isfinite(value).all():
            raise DomainError(
                "An activation does not return one finite number for each argument. Give a vectorized function such as "
                "np.tanh that is finite where its Gaussian arguments are."
            )
        return value

    def derivative(self, u: Floats) -> Floats:
        """Return phi'(u), away from the kinks."""
        if self._given is None:
            return self._interpolated_derivative(u)
        return np.broadcast_to(np.asarray(self._given(u), dtype=np.float64), u.shape)

    def _interpolated_derivative(self, u: Floats, half: float = 0.125) -> Floats:
        middle = u.copy()
        for kink in self.kinks:
            close = np.abs(u - kink) < half
            middle[close] = (kink + np.where(u >= kink, half, -half))[close]
        nodes, matrix = _chebyshev(16)
        coefficients = self.function(middle[..., None] + half * nodes) @ matrix
        place = np.clip((u - middle) / half, -1, 1)
        slope, before, last = np.zeros_like(u), np.zeros_like(u), np.ones_like(u)
        for j in range(1, coefficients.shape[-1]):
            # T_j' = j U_(j-1)
            slope += j * coefficients[..., j] * last
            before, last = last, 2 * place * last - before
        return slope / half

    # Values

    def own(self, k: Floats) -> tuple[Floats, Floats]:
        sigma = np.sqrt(k)
        found = self._series(sigma)
        if found is None:
            return self._refined(self._own_panels, sigma.ravel(), shape=k.shape)
        (h,) = found
        slopes = np.arange(1, h.shape[-1]) * h[..., 1:] ** 2
        return np.sum(h * h, axis=-1), _divided(np.sum(slopes, axis=-1), k)

    def pair(self, a: Floats, b: Floats, c: Floats, xp: Any = np) -> tuple[Floats, Floats]:
        rho = np.clip(_divided(c, np.sqrt(a) * np.sqrt(b)), -1.0, 1.0)
        return self._values(a, b, rho, np.where(rho >= 0, 1.0, -1.0), 1 - np.abs(rho))

    def near(self, a: Floats, b: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        return self._values(a, b, sign * (1 - deficit), sign, deficit)

    def _values(self, a: Floats, b: Floats, rho: Floats, sign: Floats, deficit: Floats) -> tuple[Floats, Floats]:
        ra, rb = np.sqrt(a), np.sqrt(b)
        found = self._series(ra, rb)
        if found is None:
            flat = (np.broadcast_to(part, rho.shape).ravel() for part in (ra, rb, sign, deficit))
            return self._refined(self._sectors if self.kinks == (0.0,) else self._pair_panels, *flat, shape=rho.shape)
        h, other = found
        f, g = np.zeros_like(rho), np.zeros_like(rho)
        for j in range(h.shape[-1] - 1, -1, -1):
            term = h[..., j] * other[..., j]
            f *= rho
            f += term
            if j:
                g *= rho
                g += j * term
        return f, _divided(g, ra * rb)

    def derivatives(self, a: Floats, b: Floats, c: Floats) -> tuple[Floats, ...]:
        """Return F, G, dF/da, dG/da and dG/dc.

        Raises:
            DomainError: phi has kinks, or no Mehler series to `TOLERANCE`.
        """
        ra, rb = np.sqrt(a), np.sqrt(b)
        found = self._series(ra, rb)
        if found is None:
            raise DomainError("An activation has kinks or is too steep for derivatives. Use a smoother one.")
        rows, columns = ([h] for h in found)
        # The coefficients of the first three derivatives of phi from those of phi.
        for derived, sigma in ((rows, ra), (columns, rb)):
            for _ in range(3):
                last = derived[-1]
                derived.append(_divided(np.sqrt(np.arange(1, last.shape[-1])) * last[..., 1:], sigma[..., None]))
        rho = np.clip(_divided(c, ra * rb), -1.0, 1.0)

        def mehler(i: int, j: int) -> Floats:
            value = np.zeros_like(rho)
            for k in range(min(rows[i].shape[-1], columns[j].shape[-1]) - 1, -1, -1):
                value = value * rho + rows[i][..., k] * columns[j][..., k]
            return value

        return mehler(0, 0), mehler(1, 1), mehler(2, 0) / 2, mehler(3, 1) / 2, mehler(2, 2)

    def _collinear(self, ra: Floats, rb: Floats, fa: Floats, fb: Floats, sign: Floats, after: Floats) -> Floats:
        if not self.kinks:
            return super()._collinear(ra, rb, fa, fb, sign, after)
        kinks = np.array(self.kinks)
        with np.errstate(divide="ignore", invalid="ignore"):
            breaks = np.concatenate([kinks / ra[:, None], kinks / (sign * rb)[:, None]], axis=1)
        z, weights = _rule(breaks, 2)
        ra, rb, fa, fb, sign, after = (part[:, None] for part in (ra, rb, fa, fb, sign, after))
        difference = self.function(ra * z) / fa - after * self.function(sign * rb * z) / fb
        return np.sum(weights / 2 * difference**2, axis=1)

    # Mehler's series

    def _series(self, *sigmas: Floats) -> list[Floats] | None:
        """Return the coefficients h_j for each array of standard deviations, or None if too many would be needed."""
        if self.kinks:
            return None
        z = _hermite(TERMS[0])[0]
        values = [self.function(sigma[..., None] * z) for sigma in sigmas]
        for terms in TERMS:
            basis = _hermite(terms)[1]
            found = [value @ basis for value in values]
            masses = [np.arange(1, terms + 1) * h[..., 1:] ** 2 for h in found]
            if all(np.all(m[..., -(terms // 4) :].sum(-1) <= TOLERANCE / 100 * m.sum(-1)) for m in masses):
                return found
        return None

    # Panels

    def _refined(self, panels: Callable[..., tuple[Floats, Floats]], *parts: Floats, shape: Any) -> Any:
        """Halve the panels until two results agree."""
        before = panels(*parts, 0)
        for level in range(1, _LEVELS):
            values = panels(*parts, level)
            scales = [np.abs(value).max(initial=0) for value in values]
            if all(
                np.abs(v - w).max(initial=0) <= TOLERANCE * s for v, w, s in zip(values, before, scales, strict=True)
            ):
                return tuple(value.reshape(shape) for value in values)
            before = values
        raise PrecisionError(
            f"The dual of an activation was not found to {TOLERANCE:g}. Name its kinks, or use a smaller weight_std."
        )

    def _own_panels(self, sigma: Floats, level: int) -> tuple[Floats, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            z, weights = _rule(np.array(self.kinks) / sigma[:, None], level)
        u = sigma[:, None] * z
        return np.sum(weights * self.function(u) ** 2, axis=1), np.sum(weights * self.derivative(u) ** 2, axis=1)

    def _sectors(self, ra: Floats, rb: Floats, sign: Floats, deficit: Floats, level: int) -> tuple[Floats, Floats]:
        """Return F and G in polar coordinates, with sectors between the rays u = 0 and v = 0."""
        phi = 2 * np.arcsin(np.sqrt(deficit / 2))
        theta, rest = np.where(sign > 0, phi, np.pi - phi), np.where(sign > 0, np.pi - phi, phi)
        x, weights = _LEGENDRE
        edges = np.linspace(0, REACH, 4 * 2**level + 1)
        half = np.diff(edges)[:, None] / 2
        radius = (edges[:-1, None] + half * (1 + x)).ravel()
        radial = (half * weights).ravel() * radius * np.exp(-(radius**2) / 2) / (2 * np.pi)
        parts = 2**level
        share, part = (((np.arange(parts)[:, None] + (1 + x) / 2) / parts).ravel(), np.tile(weights / 2 / parts, parts))
        f, g = np.zeros_like(ra), np.zeros_like(ra)
        for i in range(len(ra)):
            # Sectors of the angles theta, pi - theta, theta, pi - theta from the ray u = 0, v < 0 on.
            start = -np.pi / 2
            for length in (theta[i], rest[i]) * 2:
                alpha = start + length * share
                u = ra[i] * np.outer(np.cos(alpha), radius)
                v = rb[i] * np.outer(np.cos(alpha - theta[i]), radius)
                f[i] += length * part @ (self.function(u) * self.function(v)) @ radial
                g[i] += length * part @ (self.derivative(u) * self.derivative(v)) @ radial
                start += length
        return f, g

    def _pair_panels(self, ra: Floats, rb: Floats, sign: Floats, deficit: Floats, level: int) -> tuple[Floats, Floats]:
        results = []
        step = max(1, _CHUNK // (16 * 16 * 2 ** (2 * level) * 80))
        columns = ra[:, None], rb[:, None], sign[:, None], deficit[:, None]
        for start in range(0, len(ra), step):
            some = (part[start : start + step] for part in columns)
            results.append(self._pair_chunk(*some, level=level))
        f, g = (np.concatenate(parts) for parts in zip(*results, strict=True))
        return f, g

    def _pair_chunk(self, ra: Floats, rb: Floats, sign: Floats, deficit: Floats, level: int) -> tuple[Floats, Floats]:
        kinks = np.array(self.kinks)
        rho, r = sign * (1 - deficit), np.sqrt(deficit * (2 - deficit))
        smallest = max(float(r.min()), 1e-9)
        growth = smallest * 4.0 ** np.arange(np.ceil(np.log(REACH / smallest) / np.log(4)))
        with np.errstate(divide="ignore", invalid="ignore"):
            bends = kinks / (rho * rb)
            around = (bends[..., None] + np.concatenate([-growth, [0.0], growth])).reshape(len(ra), -1)
            s, outer = _rule(np.concatenate([kinks / ra, around], axis=1), level)
            middle = rho * s
            t, inner = _rule((kinks / rb[..., None] - middle[..., None]) / r[..., None], level)
        u, v = ra * s, rb[..., None] * (middle[..., None] + r[..., None] * t)
        f = np.sum(outer * self.function(u) * np.sum(inner * self.function(v), axis=-1), axis=-1)
        return f, np.sum(outer * self.derivative(u) * np.sum(inner * self.derivative(v), axis=-1), axis=-1)


def _divided(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 0)


@functools.cache
def _hermite(terms: int) -> tuple[Floats, Floats]:
    """Return nodes z and the matrix of h_j = sum_z phi(sigma z) matrix[z, j]: E phi He_j/(j!)^(1/2) by trapezoids."""
    z = np.arange(-REACH, REACH + _STEP / 2, _STEP)
    # The polynomials times the root of the density stay bounded.
    root = np.exp(-(z**2) / 4) * np.sqrt(_STEP / np.sqrt(2 * np.pi))
    matrix = np.empty((len(z), terms + 1))
    matrix[:, 0], matrix[:, 1] = root, z * root
    for j in range(1, terms):
        matrix[:, j + 1] = (z * matrix[:, j] - np.sqrt(j) * matrix[:, j - 1]) / np.sqrt(j + 1)
    return z, matrix * root[:, None]


@functools.cache
def _chebyshev(count: int) -> tuple[Floats, Floats]:
    """Return the Chebyshev nodes and the matrix from values there to Chebyshev coefficients."""
    angles = (np.arange(count) + 0.5) * np.pi / count
    matrix = 2 / count * np.cos(np.outer(angles, np.arange(count)))
    matrix[:, 0] /= 2
    return np.cos(angles), matrix


def _rule(breaks: Floats, level: int) -> tuple[Floats, Floats]:
    """Return nodes and weights of E f(z), z ~ N(0, 1), for f smooth between breaks (..., count)."""
    base = np.linspace(-REACH, REACH, 4 * 2**level + 1)
    inside = np.clip(np.nan_to_num(breaks, posinf=REACH, neginf=-REACH), -REACH, REACH)
    edges = np.sort(np.concatenate([np.broadcast_to(base, (*inside.shape[:-1], len(base))), inside], axis=-1), axis=-1)
    x, weights = _LEGENDRE
    half = np.diff(edges)[..., None] / 2
    z = (edges[..., :-1, None] + half * (1 + x)).reshape(*edges.shape[:-1], -1)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return z, (half * weights).reshape(z.shape) * density
