r"""Spectra of dot-product kernels on the sphere: in floats for any kernel, certified for those of ReLU networks.

Let x, y be uniform on the unit sphere of R^d. The eigenfunctions of the kernel kappa(x . y) are the spherical
harmonics, and those of degree k have one eigenvalue (Funk and Hecke),

$$ \mu_k = \frac{\Gamma(d/2)}{\sqrt\pi\,\Gamma((d-1)/2)} \int_0^\pi \kappa(\cos\theta)\,P_k(\cos\theta)\,
   \sin^{d-2}\theta\,d\theta, \qquad \kappa(x \cdot y) = \sum_k \mu_k\,N(d, k)\,P_k(x \cdot y), $$

with the Legendre polynomial of dimension d, P_k(1) = 1, and the number N(d, k) of harmonics. What a kernel learns at
all, and after how many examples, is read from mu_k.

**Kernels of infinitely wide ReLU networks** without biases, scaled to 1 at equal points, with h hidden layers:

$$ \kappa_0(\theta) = 1 - \frac\theta\pi, \qquad
   \kappa_1(\theta) = \frac{\sin\theta + (\pi - \theta)\cos\theta}\pi, \qquad \cos\theta_{l+1} = \kappa_1(\theta_l), $$

from theta_0 = theta. The Gaussian process has the kernel cos theta_h; the tangent kernel is T_h with T_0 = cos theta_0
and T_{l+1} = cos theta_{l+1} + T_l kappa_0(theta_l), so that T_h = h + 1 at equal points.

**One hidden layer, exactly.** kappa_0 = 2 E 1[u] 1[v] and kappa_1 = 2 d E u^+ v^+ for u = w . x, v = w . y and w
uniform on the sphere. So mu_k(kappa_a) = 2 d^a lambda_k^2 with the coefficients lambda_k of the step and of the ramp,
which Rodrigues' formula gives: with nu = (d - 3)/2, rho = Gamma(d/2)/(pi^(1/2) Gamma((d-1)/2)) and integers k > a,

$$ \lambda_k^2 = \Bigl(\frac{\rho\,(k-1-a)!}{2^k\,(\nu+1)\cdots(\nu+k)} \binom{k+\nu}{(k-1-a)/2}\Bigr)^2
   \text{ for odd } k - a, \qquad 0 \text{ for even } k - a. $$

The tangent kernel T_1 = kappa_1 + t kappa_0 follows from (2k+d-2) t P_k = (k+d-2) P_{k+1} + k P_{k-1}. All of these are
rational for odd d; for even d, where rho is rational over pi, they are rational plus rational/pi^2.

**Balls.** For more layers the integral is enclosed by Taylor polynomials on panels [c - r, c + r]: of the integrand f,

$$ \Bigl| \int_{c-r}^{c+r} f - \sum_{2j < m} \frac{2\,r^{2j+1}}{2j+1}\,\frac{f^{(2j)}(c)}{(2j)!} \Bigr|
   \le \frac{2\,r^{m+1}}{m+1} \max_{[c-r, c+r]} \frac{|f^{(m)}|}{m!} \qquad (m \text{ even}), $$

with all derivatives in balls. They follow from theta_{l+1}' = (1 - theta_l/pi) sin theta_l theta_l'/sin theta_{l+1} and
from the range of theta_{l+1}, which increases with theta. Panels shrink towards 0, where theta_1 is not analytic in
cos theta; the first one is enclosed by the range of kappa P_k times the integral of sin^(d-2).

Sources: F. Bach, Breaking the curse of dimensionality with convex neural networks, JMLR 18 (2017), appendix D;
A. Bietti, J. Mairal, On the inductive bias of neural tangent kernels, NeurIPS 2019; W. Tucker, Validated Numerics,
Princeton University Press 2011, chapter 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np
from flint import arb, arb_poly
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic, interval, round_down, round_up

Floats = NDArray[np.float64]

_MOST, _MOST_DIMENSIONS, _MOST_LAYERS = 500, 10_000, 20
"""The largest degree, dimension, and number of hidden layers of a certified kernel."""

_ORDER = 32
"""m, the order of the Taylor polynomials."""

_REST = arb(2) ** -70
"""The remainder above which a panel is halved."""

_LEAST = 1 / 1000
"""The least share of the angle that half a panel may be."""

_Waves = dict[int, arb]


@dataclass(frozen=True, slots=True)
class ReluKernel:
    """A kernel of infinitely wide ReLU networks without biases.

    Attributes:
        name: "derivative", kappa_0, of one hidden layer; "nngp", the Gaussian process; or "ntk", the tangent kernel.
        hidden: h, the number of hidden layers, at least 1.
    """

    name: Literal["derivative", "nngp", "ntk"]
    hidden: int = 1

    def __post_init__(self) -> None:
        if self.name not in ("derivative", "nngp", "ntk") or self.hidden < 1:
            raise DomainError(f"There is no kernel {self}. Use derivative, nngp or ntk, with at least 1 hidden layer.")
        if self.name == "derivative" and self.hidden > 1:
            raise DomainError("The kernel of the derivative is that of one hidden layer. Use hidden=1.")

    def __call__(self, cosines: Floats) -> Floats:
        """Return the kernel of points with these dot products."""
        cosine = np.clip(cosines, -1.0, 1.0)
        tangent = cosine
        for _ in range(self.hidden):
            angle = np.arccos(cosine)
            slope = 1 - angle / np.pi
            if self.name == "derivative":
                return slope
            cosine = np.minimum(np.sin(angle) / np.pi + slope * cosine, 1.0)
            tangent = cosine + tangent * slope
        return cosine if self.name == "nngp" else tangent


@dataclass(frozen=True, slots=True)
class PiNumber:
    """The number a + b/pi^2 with rational a, b."""

    a: Fraction
    b: Fraction = Fraction(0)

    def ball(self) -> arb:
        """Return a ball around it, in the precision of the caller."""
        return ball(self.a) + ball(self.b) / arb.pi() ** 2

    def __add__(self, other: PiNumber) -> PiNumber:
        return PiNumber(self.a + other.a, self.b + other.b)

    def __rmul__(self, factor: Fraction | int) -> PiNumber:
        return PiNumber(factor * self.a, factor * self.b)

    def __float__(self) -> float:
        with ball_arithmetic():
            return float(self.ball())

    def __str__(self) -> str:
        terms = [str(self.a)] * (self.a != 0) + [f"{self.b}/pi^2"] * (self.b != 0)
        return " + ".join(terms) or "0"


@dataclass(frozen=True, slots=True)
class SphereSpectrum:
    """Eigenvalues of a dot-product kernel.

    Attributes:
        dimension: d.
        degrees: the k.
        values: mu_k.
        errors: |mu_k - value| is at most this: rigorous for VERIFIED and PROVED; ESTIMATED by a second quadrature else.
        kind: how the values are known.
    """

    dimension: int
    degrees: tuple[int, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    kind: str


def multiplicity(dimension: int, degree: int) -> int:
    """Return N(d, k), the number of independent spherical harmonics of degree k on the unit sphere of R^d."""
    _check(dimension, [degree])
    if degree == 0:
        return 1
    return (2 * degree + dimension - 2) * math.comb(degree + dimension - 3, degree - 1) // degree


def sphere_spectrum(
    kernel: Callable[[Floats], Floats],
    dimension: int,
    degrees: Sequence[int],
    *,
    kinks: Sequence[float] = (),
    certified: bool = False,
) -> SphereSpectrum:
    """Return the eigenvalues mu_k of the kernel kappa(x . y) for x, y uniform on the unit sphere of R^d.

    Args:
        kernel: takes an array of cosines and returns kappa of them; a `ReluKernel`, or any other function.
        dimension: d, 2 to 10,000.
        degrees: the k, 0 to 500.
        kinks: cosines where the kernel or a derivative of it jumps.
        certified: enclose the eigenvalues of a `ReluKernel`: PROVED in closed form for one hidden layer, VERIFIED by
            ball quadrature for up to 20.

    Raises:
        DomainError: the dimension or a degree is out of its range, a value is not finite, or a kernel other than a
            `ReluKernel` of at most 20 layers shall be certified.
        PrecisionError: no enclosure was found.

    Example:
        >>> sphere_spectrum(ReluKernel("nngp"), 3, [0, 1, 2, 3], certified=True).values
        (0.375, 0.16666666666666666, 0.0234375, 0.0)
    """
    _check(dimension, degrees)
    if not certified:
        return _estimated(kernel, dimension, tuple(degrees), kinks)
    if not isinstance(kernel, ReluKernel) or kernel.hidden > _MOST_LAYERS:
        raise DomainError(
            f"Only ReLU networks of at most {_MOST_LAYERS} hidden layers are certified. Give certified=False."
        )
    exact = kernel.hidden == 1
    with ball_arithmetic():
        if exact:
            balls = [number.ball() for number in exact_spectrum(kernel, dimension, degrees)]
        else:
            balls = _enclose(kernel, dimension, degrees)
        values = [float(value.mid()) for value in balls]
        ends = [value - ball(middle) for value, middle in zip(balls, values, strict=True)]
        errors = [max(round_up(end), -round_down(end)) for end in ends]
    kind = Kind.PROVED if exact else Kind.VERIFIED
    return SphereSpectrum(dimension, tuple(degrees), tuple(values), tuple(errors), kind.value)


def exact_spectrum(kernel: ReluKernel, dimension: int, degrees: Sequence[int]) -> tuple[PiNumber, ...]:
    """Return the eigenvalues of a kernel of one hidden layer as exact numbers.

    Raises:
        DomainError: there are more layers, or the dimension or a degree is out of its range.

    Example:
        >>> print(*exact_spectrum(ReluKernel("ntk"), 3, [0, 1, 2, 4]), sep=", ")
        1/2, 1/3, 5/64, 1/192
    """
    _check(dimension, degrees)
    if kernel.hidden > 1:
        raise DomainError(f"{kernel} has no closed form. Use sphere_spectrum(..., certified=True).")
    if kernel.name != "ntk":
        return tuple(_arc_cosine(int(kernel.name == "nngp"), dimension, k) for k in degrees)
    found = []
    for k in degrees:
        total = 2 * k + dimension - 2
        up = Fraction(k + dimension - 2, total) if k else Fraction(1)
        below = Fraction(k, total) * _arc_cosine(0, dimension, k - 1) if k else PiNumber(Fraction(0))
        found.append(_arc_cosine(1, dimension, k) + up * _arc_cosine(0, dimension, k + 1) + below)
    return tuple(found)


def _arc_cosine(order: Literal[0, 1] | int, d: int, k: int) -> PiNumber:
    """Return mu_k of kappa_0 or kappa_1."""
    if k == order:  # the means of 1[u] and of u u^+ are half those of 1 and u^2
        return PiNumber(Fraction(2 * d**order, 4 * d ** (2 * order)))
    scale = Fraction(2 * d**order)
    if k < order:
        return _times_rho_squared(scale / (d - 1) ** 2, d)
    if (k - order) % 2 == 0:
        return PiNumber(Fraction(0))
    nu, j = Fraction(d - 3, 2), (k - 1 - order) // 2
    rising = math.prod(nu + i for i in range(1, k + 1))
    binomial = math.prod(((k + nu - i) / (i + 1) for i in range(j)), start=Fraction(1))
    return _times_rho_squared(scale * (math.factorial(k - 1 - order) * binomial / (2**k * rising)) ** 2, d)


def _times_rho_squared(number: Fraction, d: int) -> PiNumber:
    """Multiply by rho^2, from rho = 1/pi for d = 2, 1/2 for d = 3, and rho_{d+2} = rho_d d/(d - 1)."""
    growth = math.prod((Fraction(i, i - 1) for i in range(2 + d % 2, d, 2)), start=Fraction(1)) ** 2
    return PiNumber(number * growth / 4) if d % 2 else PiNumber(Fraction(0), number * growth)


def _enclose(kernel: ReluKernel, d: int, degrees: Sequence[int]) -> list[arb]:
    """Return balls around the mu_k of a kernel that is no "derivative"."""
    polynomials = [_legendre(d, k) for k in degrees]
    start = ball(Fraction(1, 10 ** min(12, -(-26 // d))))
    # From 0 to there sin theta is between theta (1 - theta^2/6) and theta.
    weight = start ** (d - 1) / (d - 1) * interval((1 - start**2 / 6) ** (d - 2), 1.0)
    near = _ranges(kernel, arb(0), start)
    integrals = [weight * (_kernel(kernel, near, 0) * _waves(terms, near[0], 0))[0] for terms in polynomials]
    left, widest, share = start, arb(10) / max(10, max(degrees, default=0) // 3, math.isqrt(d)), arb(1) / 10
    while bool(left < arb.pi()):
        right = (left + 2 * share * left.min(widest)).mid()
        right = right if bool(right < arb.pi()) else arb.pi()
        center, radius = (left + right) / 2, (right - left) / 2
        panel = _integrands(kernel, d, polynomials, _ranges(kernel, left, right))
        rests = [abs(each[_ORDER]) * radius**_ORDER / (_ORDER + 1) for each in panel]
        if not all(bool(rest < _REST) for rest in rests):
            share /= 2
            if bool(share < _LEAST):
                raise PrecisionError(f"No enclosure was found for {kernel}. Use certified=False.")
            continue
        point = _integrands(kernel, d, polynomials, _ranges(kernel, center, center))
        for i, (each, rest) in enumerate(zip(point, rests, strict=True)):
            terms = [each[j] * radius**j / (j + 1) for j in range(0, _ORDER, 2)]
            integrals[i] += 2 * radius * (sum(terms, arb(0)) + interval(-rest, rest))
        left = right
    rho = (arb(d) / 2).gamma() / (arb.pi().sqrt() * (arb(d - 1) / 2).gamma())
    return [rho * integral for integral in integrals]


def _ranges(kernel: ReluKernel, left: arb, right: arb) -> list[arb]:
    """Return the ranges of theta_0, ..., theta_h for theta between two points, all of which increase with theta."""
    found = [interval(left, right)]
    for _ in range(kernel.hidden):
        left, right = _next_angle(left.lower()), _next_angle(right.upper())
        found.append(interval(left, right))
    return found


def _next_angle(angle: arb) -> arb:
    """Return theta_{l+1} by its half, whose sine is the root of (1 - kappa_1(theta_l))/2 >= 0."""
    square = (1 - (angle.sin() + (arb.pi() - angle) * angle.cos()) / arb.pi()) / 2
    root = square.sqrt() if bool(square > 0) else interval(0, square.abs_upper().sqrt())
    return 2 * root.asin()


def _integrands(kernel: ReluKernel, d: int, polynomials: Sequence[_Waves], ranges: Sequence[arb]) -> list[arb_poly]:
    """Return the Taylor polynomials of kappa P_k sin^(d-2), one for each P_k, about a point or all of a range."""
    common = _kernel(kernel, ranges, _ORDER)
    sine, power = _waves({1: arb(1)}, ranges[0] - arb.pi() / 2, _ORDER), d - 2
    while power:
        if power % 2:
            common = _truncated(common * sine, _ORDER)
        sine, power = _truncated(sine * sine, _ORDER), power // 2
    return [common * _waves(terms, ranges[0], _ORDER) for terms in polynomials]


def _kernel(kernel: ReluKernel, ranges: Sequence[arb], order: int) -> arb_poly:
    """Return the Taylor polynomial of the kernel where theta_0, ..., theta_h have the given ranges."""
    angle, sine = arb_poly([ranges[0], 1]), _waves({1: arb(1)}, ranges[0] - arb.pi() / 2, order)
    tangent = cosine = _waves({1: arb(1)}, ranges[0], order)
    for start in ranges[1:]:
        slope = 1 - angle * (1 / arb.pi())
        angle, sine, cosine = _follow(start, slope * sine * angle.derivative(), order)
        tangent = cosine + _truncated(tangent * slope, order)
    return cosine if kernel.name == "nngp" else tangent


def _follow(start: arb, rate: arb_poly, order: int) -> tuple[arb_poly, arb_poly, arb_poly]:
    """Return the solution of y' = rate/sin y that begins in a range, with its sine and cosine."""
    angle, sine, cosine, change = [start], [start.sin()], [start.cos()], []
    for j in range(order):
        rest = sum((sine[i] * change[j - i] for i in range(1, j + 1)), arb(0))
        change.append((rate[j] - rest) / sine[0])
        angle.append(change[j] / (j + 1))
        sine.append(sum((change[i] * cosine[j - i] for i in range(j + 1)), arb(0)) / (j + 1))
        cosine.append(-sum((change[i] * sine[j - i] for i in range(j + 1)), arb(0)) / (j + 1))
    return arb_poly(angle), arb_poly(sine), arb_poly(cosine)


def _legendre(d: int, k: int) -> _Waves:
    """Return P_k(cos theta) as a convex combination of the cos(m theta): m -> weight."""
    if d == 2:
        return {k: arb(1)}
    nu, terms = Fraction(d - 2, 2), [Fraction(1)]
    for j in range(1, k + 1):
        terms.append(terms[-1] * (nu + j - 1) / j)
    total, found = math.comb(k + d - 3, k), {}
    for j in range(k + 1):
        m = abs(k - 2 * j)
        found[m] = found.get(m, arb(0)) + ball(terms[j] * terms[k - j] / total)
    return found


def _waves(terms: _Waves, at: arb, order: int) -> arb_poly:
    """Return the Taylor polynomial of the sum of the cos(m theta) about a point, or all of a range."""
    found = [arb(0)] * (order + 1)
    for m, weight in terms.items():
        sine, cosine = (m * at).sin_cos()
        factor = weight
        for j in range(order + 1):
            found[j] += factor * (cosine, -sine, -cosine, sine)[j % 4]
            factor = factor * m / (j + 1)
    return arb_poly(found)


def _truncated(series: arb_poly, order: int) -> arb_poly:
    return arb_poly(series.coeffs()[: order + 1])


def _estimated(
    kernel: Callable[[Floats], Floats], d: int, degrees: tuple[int, ...], kinks: Sequence[float]
) -> SphereSpectrum:
    ends = np.unique(np.concatenate([[0.0, np.pi], np.arccos(np.clip(kinks, -1.0, 1.0))]))
    pieces = 8 + max(degrees, default=0) // 2 + math.isqrt(d)
    coarse, fine = (_quadrature(kernel, d, degrees, ends, count) for count in (pieces, 2 * pieces))
    if not np.isfinite(fine).all():
        raise DomainError("The kernel is not finite on [-1, 1]. Give one that is.")
    errors = np.abs(fine - coarse)
    return SphereSpectrum(d, degrees, tuple(fine.tolist()), tuple(errors.tolist()), Kind.ESTIMATED.value)


def _quadrature(
    kernel: Callable[[Floats], Floats], d: int, degrees: tuple[int, ...], ends: Floats, pieces: int
) -> Floats:
    """Return mu_k by 16 Gauss-Legendre nodes on each panel of the angles."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.unique(np.concatenate([np.linspace(a, b, 1 + math.ceil(pieces * (b - a))) for a, b in pairwise(ends)]))
    half = np.diff(edges)[:, None] / 2
    angles = (edges[:-1, None] + half * (1 + nodes)).ravel()
    rho = math.exp(math.lgamma(d / 2) - math.lgamma((d - 1) / 2)) / math.sqrt(math.pi)
    cosines = np.cos(angles)
    terms = rho * (half * weights).ravel() * np.sin(angles) ** (d - 2) * np.asarray(kernel(cosines), dtype=np.float64)
    found, before, now = {}, np.zeros_like(cosines), np.ones_like(cosines)
    for k in range(max(degrees, default=-1) + 1):
        found[k] = float(terms @ now)
        growth = (2 * k + d - 2) * cosines * now - k * before
        before, now = now, growth / (k + d - 2) if k else cosines
    return np.array([found[k] for k in degrees])


def _check(dimension: int, degrees: Sequence[int]) -> None:
    if not 2 <= dimension <= _MOST_DIMENSIONS or not all(0 <= k <= _MOST for k in degrees):
        raise DomainError(
            f"The dimension is not in [2, {_MOST_DIMENSIONS:,}], or a degree is not in [0, {_MOST}]. Give others."
        )
