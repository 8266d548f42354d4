"""Spectra on the sphere: mpmath to 30 digits, Mercer's theorem, kernels with known expansions."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.generalization.sphere_spectrum import ReluKernel, exact_spectrum, multiplicity, sphere_spectrum

DERIVATIVE, NNGP, NTK = ReluKernel("derivative"), ReluKernel("nngp"), ReluKernel("ntk")


def reference(kernel, d, k, digits=30):
    """mu_k by quadrature of its definition."""

    def kappa(angle):
        tangent = mpmath.cos(angle)
        for _ in range(kernel.hidden):
            slope = 1 - angle / mpmath.pi
            if kernel.name == "derivative":
                return slope
            cosine = (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)) / mpmath.pi
            angle, tangent = mpmath.acos(min(cosine, 1)), cosine + tangent * slope
        return mpmath.cos(angle) if kernel.name == "nngp" else tangent

    def legendre(t):
        before, now = t, mpmath.mpf(1)  # as if P_{-1} = P_1, with the factor k = 0
        for j in range(k):
            before, now = now, ((2 * j + d - 2) * t * now - j * before) / (j + d - 2) if j else t
        return now

    with mpmath.workdps(digits + 15):
        total = mpmath.quad(
            lambda a: kappa(a) * legendre(mpmath.cos(a)) * mpmath.sin(a) ** (d - 2), mpmath.linspace(0, mpmath.pi, 3)
        )
        return total * mpmath.gamma(mpmath.mpf(d) / 2) / mpmath.gamma(mpmath.mpf(d - 1) / 2) / mpmath.sqrt(mpmath.pi)


def value(number):
    return mpmath.mpf(number.a.numerator) / number.a.denominator + mpmath.mpf(
        number.b.numerator
    ) / number.b.denominator / (mpmath.pi**2)


@pytest.mark.parametrize("kernel", [DERIVATIVE, NNGP, NTK], ids=["derivative", "nngp", "ntk"])
@pytest.mark.parametrize("d", [2, 3, 10])
def test_closed_forms_to_30_digits(kernel, d):
    with mpmath.workdps(45):
        for k, number in enumerate(exact_spectrum(kernel, d, range(7))):
            assert abs(value(number) - reference(kernel, d, k)) < mpmath.mpf(10) ** -30
            assert d % 2 == 0 or number.b == 0


def test_printed_values():
    """Those of the literature on this chapter, all digits."""
    half = Fraction(1, 2)
    found = [number.a for number in exact_spectrum(NNGP, 3, range(7))]
    assert found == [Fraction(3, 8), Fraction(1, 6), Fraction(3, 128), 0, Fraction(1, 1536), 0, Fraction(3, 32768)]
    assert [number.a for number in exact_spectrum(NTK, 3, [0, 1, 2])] == [half, Fraction(1, 3), Fraction(5, 64)]
    assert sphere_spectrum(NTK, 3, [4, 6]).values == pytest.approx((0.005208333333333333, 0.00140380859375), rel=1e-12)
    one = [0.368062665674, 0.1, 0.00857245877979, 0, 9.65403832807e-05, 0, 6.21785519435e-6]
    two = [0.750749604143, 0.100996780626, 0.0113286971225, 0.00082197351454, 0.00016861893237, 2.64138469236e-5,
           1.10145835751e-5]  # fmt: skip
    for hidden, expected in ((1, one), (2, two)):
        for certified in (False, True):
            found = sphere_spectrum(ReluKernel("ntk", hidden), 10, range(7), certified=certified)
            assert found.values == pytest.approx(expected, rel=1e-11, abs=1e-17)
            assert found.kind == ("ESTIMATED", "PROVED" if hidden == 1 else "VERIFIED")[certified]


@pytest.mark.parametrize("d", [3, 6])
def test_odd_degrees_vanish_without_bias(d):
    for k in range(3, 30, 2):
        for kernel in (NNGP, NTK):
            (number,) = exact_spectrum(kernel, d, [k])
            assert number.a == number.b == 0
    deep = sphere_spectrum(ReluKernel("ntk", 2), d, [3, 5], certified=True)
    assert min(deep.values) > 1e6 * max(deep.errors)


@pytest.mark.parametrize(
    ("kernel", "d"), [(ReluKernel("ntk", 2), 10), (ReluKernel("nngp", 2), 2), (ReluKernel("ntk", 6), 8)]
)
def test_enclosures_contain_the_eigenvalues(kernel, d):
    degrees = [0, 1, 4, 7]
    found, floats = (sphere_spectrum(kernel, d, degrees, certified=certified) for certified in (True, False))
    for k, middle, error, estimate in zip(degrees, found.values, found.errors, floats.values, strict=True):
        with mpmath.workdps(30):
            assert abs(reference(kernel, d, k, 15) - mpmath.mpf(middle)) <= error + mpmath.mpf(10) ** -24
        assert error < 4e-16 and abs(estimate - middle) < 1e-14
        assert error <= max(4e-16 * abs(middle), 1e-18)


def test_enclosures_are_closed_forms_of_one_layer():
    """The quadrature in balls where it is not needed, on 40 degrees."""
    from epsnet.generalization import sphere_spectrum as this

    with ball_arithmetic():
        for d in (2, 3, 30):
            degrees = [0, 1, 2, 3, 10, 23, 24]
            balls = this._enclose(NTK, d, degrees)
            for found, exact in zip(balls, exact_spectrum(NTK, d, degrees), strict=True):
                assert found.overlaps(exact.ball()) and bool(found.rad() < 1e-15)


@pytest.mark.parametrize("d", [2, 3, 5, 12])
def test_mercer(d):
    """The multiplicities, and sum mu_k N(d, k) = kappa(1): the trace."""
    for k in range(8):
        harmonic = math.comb(k + d - 1, d - 1) - (math.comb(k + d - 3, d - 1) if k >= 2 else 0)
        assert multiplicity(d, k) == harmonic
    # A polynomial kernel is the sum of its own expansion, everywhere.
    found = sphere_spectrum(lambda t: (1 + t) ** 5, d, range(9))
    assert np.abs(found.values[6:]).max() < 1e-13
    cosines = np.linspace(-1, 1, 11)
    polynomials = [np.ones(11), cosines]
    for k in range(1, 5):
        polynomials.append(((2 * k + d - 2) * cosines * polynomials[k] - k * polynomials[k - 1]) / (k + d - 2))
    total = sum(mu * multiplicity(d, k) * polynomials[k] for k, mu in enumerate(found.values[:6]))
    assert total == pytest.approx((1 + cosines) ** 5, abs=1e-11)


def test_the_trace_of_the_process():
    degrees = range(201)
    total = sum(
        multiplicity(3, k) * number.a for k, number in zip(degrees, exact_spectrum(NNGP, 3, degrees), strict=True)
    )
    # mu_k N(3, k) is of order k^-4 on even degrees.
    assert 0 < 1 - total < 1e-6


def test_any_kernel():
    """exp has modified spherical Bessel functions, |t| a kink at 0."""
    found = sphere_spectrum(np.exp, 3, range(6))
    for k, mu in enumerate(found.values):
        bessel = mpmath.sqrt(mpmath.pi / 2) * mpmath.besseli(k + mpmath.mpf(1) / 2, 1)
        assert mu == pytest.approx(float(bessel), rel=1e-11)
    found = sphere_spectrum(np.abs, 3, range(5), kinks=[0.0])
    assert found.values == pytest.approx((1 / 2, 0, 1 / 8, 0, -1 / 48), abs=1e-14)
    assert found.kind == "ESTIMATED" and max(found.errors) < 1e-14


def test_says_what_is_wrong():
    for call in (
        lambda: sphere_spectrum(NTK, 1, [0]), lambda: sphere_spectrum(NTK, 10**9, [0]),
        lambda: sphere_spectrum(ReluKernel("ntk", 21), 3, [0], certified=True),
        lambda: sphere_spectrum(NTK, 3, [-1]), lambda: multiplicity(3, 10_000),
        lambda: sphere_spectrum(np.exp, 3, [0], certified=True), lambda: exact_spectrum(ReluKernel("ntk", 2), 3, [0]),
        lambda: ReluKernel("ntk", 0), lambda: ReluKernel("derivative", 2), lambda: sphere_spectrum(np.log, 3, [0]),
    ):  # fmt: skip
        with pytest.raises(DomainError), np.errstate(all="ignore"):
            call()
    assert str(exact_spectrum(NTK, 10, [1])[0]) == "1/10" and str(exact_spectrum(NTK, 10, [3])[0]) == "0"
