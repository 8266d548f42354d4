"""Closed forms of dual activations against quadrature, and both against exact laws."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, ndtr
from scipy.stats import norm

from epsnet import DomainError
from epsnet.certify.errors import PrecisionError
from epsnet.generalization.dual_activations import CLOSED_FORMS, HalfLines
from epsnet.generalization.dual_quadrature import Quadrature

A = np.array([1.3, 0.7, 2.0, 1.3, 0.5])
B = np.array([0.9, 1.1, 2.0, 1.3, 1.4])
RHO = np.array([0.3, -0.8, 0.999, 0.9999999, -0.99999])
C = RHO * np.sqrt(A * B)
SIGN = np.sign(RHO)
DEFICIT = np.array([0.7, 0.2, 1e-3, 1e-12, 1e-6])

SMOOTH = {"erf": erf, "gelu": lambda u: u * ndtr(u), "sin": np.sin, "cos": np.cos, "exp": np.exp,
          "power(2)": np.square, "power(5)": lambda u: u**5}  # fmt: skip
KINKED = {"relu": lambda u: np.maximum(u, 0), "abs": np.abs, "leaky": lambda u: np.where(u > 0, u, 0.1 * u)}
HALF_LINES = {"relu": CLOSED_FORMS["relu"], "abs": CLOSED_FORMS["abs"], "leaky": HalfLines(0.1, 1.0)}


@pytest.mark.parametrize("name", SMOOTH)
def test_closed_forms_are_the_expectations(name):
    closed, series = CLOSED_FORMS[name], Quadrature(SMOOTH[name])
    for found, expected in zip(
        (*closed.pair(A, B, C), *closed.own(A)), (*series.pair(A, B, C), *series.own(A)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(closed.function(A), SMOOTH[name](A))


@pytest.mark.parametrize("name", ["gelu", "sin", "exp"])
def test_panels_agree_with_the_series(name, monkeypatch):
    series = Quadrature(SMOOTH[name])
    expected = (*series.pair(A[:3], B[:3], C[:3]), *series.own(A))
    monkeypatch.setattr(series, "_series", lambda *_: None)
    for found, value in zip((*series.pair(A[:3], B[:3], C[:3]), *series.own(A)), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-11)


@pytest.mark.parametrize("name", KINKED)
def test_kinks_and_nearly_collinear_pairs(name):
    closed, panels = HALF_LINES[name], Quadrature(KINKED[name], kinks=(0.0,))
    for found, expected in zip(panels.near(A, B, SIGN, DEFICIT), closed.near(A, B, SIGN, DEFICIT), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    for found, expected in zip(panels.own(A), closed.own(A), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    for found, expected in zip(
        panels.next_deficit(A, B, SIGN, DEFICIT), closed.next_deficit(A, B, SIGN, DEFICIT), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11)


def clipped(a, b, c):
    """F and G of u -> clip(u, -1, 1): the mean over v given u in closed form, that over u by adaptive quadrature."""
    root, rest = a**0.5, (b - c * c / a) ** 0.5

    def inner(s):
        middle = c / root * s
        low, high = (-1 - middle) / rest, (1 - middle) / rest
        inside = ndtr(high) - ndtr(low)
        return ndtr(-high) - ndtr(low) + middle * inside - rest * (norm.pdf(high) - norm.pdf(low)), inside

    ends = (-12.0, -1 / root, 1 / root, 12.0)
    f = sum(quad(lambda s: norm.pdf(s) * np.clip(root * s, -1, 1) * inner(s)[0], *span, epsabs=1e-14)[0]
            for span in pairwise(ends))  # fmt: skip
    return f, quad(lambda s: norm.pdf(s) * inner(s)[1], *ends[1:3], epsabs=1e-14)[0]


@pytest.mark.parametrize("rho", [0.4, -0.9999])
def test_kinks_away_from_zero(rho):
    dual = Quadrature(lambda u: np.clip(u, -1, 1), lambda u: np.where(np.abs(u) < 1, 1.0, 0.0), kinks=(-1.0, 1.0))
    c = rho * (1.3 * 0.9) ** 0.5
    found = dual.pair(np.array([1.3]), np.array([0.9]), np.array([c]))
    np.testing.assert_allclose([part[0] for part in found], clipped(1.3, 0.9, c), rtol=1e-10)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_gap_of_the_images(name):
    """next_deficit is 1 - |F|/(F_a F_b)^(1/2), in 40 digits for the half-lines and from moderate deficits otherwise."""
    dual = CLOSED_FORMS[name]
    deficit = np.array([1e-5, 1e-3, 1e-2, 1e-5, 0.3])
    sign = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    after, found = dual.next_deficit(A, B, sign, deficit)
    f = dual.near(A, B, sign, deficit)[0]
    ratio = f / np.sqrt(dual.own(A)[0]) / np.sqrt(dual.own(B)[0])
    np.testing.assert_array_equal(after, np.where(ratio >= 0, 1.0, -1.0))
    np.testing.assert_allclose(found, 1 - np.abs(ratio), rtol=1e-9, atol=1e-13)


def test_relu_keeps_the_digits_of_the_gap():
    deficit = np.array([1e-30, 1e-16, 1e-8, 0.01, 0.5])
    found = CLOSED_FORMS["relu"].next_deficit(A, B, np.ones(5), deficit)[1]
    with mp.workdps(60):
        for g, value in zip(deficit, found, strict=True):
            theta = mp.acos(1 - mp.mpf(g))
            exact = 1 - (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / mp.pi
            assert abs(value / exact - 1) < 1e-14


def test_large_and_zero_variances():
    zero = np.zeros(1)
    for dual in (*CLOSED_FORMS.values(), Quadrature(np.tanh)):
        f, g = dual.pair(zero, np.ones(1), zero)
        assert np.isfinite(f).all() and np.isfinite(g).all()
        assert f[0] == pytest.approx(
            float(dual.function(zero)[0]) * float(dual.pair(zero, np.ones(1), zero)[0][0]) or f[0]
        )
    big = np.array([600.0])
    for name in ("sin", "cos", "erf", "gelu"):
        f, g = CLOSED_FORMS[name].pair(big, big, big * 0.999)
        assert np.isfinite(f).all() and np.isfinite(g).all()


def test_functions_that_are_refused():
    for function in (lambda u: 1.0, lambda u: u[..., None], np.log):
        with pytest.raises(DomainError, match="one finite number"):
            Quadrature(function)
    with pytest.raises(PrecisionError, match="kinks"):
        Quadrature(lambda u: np.maximum(u, 0)).pair(A[:1], B[:1], C[:1])
