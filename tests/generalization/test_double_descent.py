"""Double descent: the polynomials of Mei and Montanari, the Marchenko-Pastur law to 30 digits, and simulations."""

import functools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.generalization.double_descent import (
    LINEAR,
    RELU,
    Moments,
    Signal,
    activation_moments,
    random_features_risk,
    ridgeless_linear_risk,
    simulate_random_features,
)

TANH = activation_moments(np.tanh)
MIXED = Signal(1.3, 0.4, 0.7)
POINTS = [
    (psi_1, psi_2, ridge, moments)
    for psi_1, psi_2, ridge in [
        (2, 3, 1e-3), (3, 3, 1e-6), (3, 3, 0.1), (3.001, 3, 1e-9), (0.1, 5, 1e-4), (50, 0.3, 2.0), (0.6, 0.5, 1e-12),
        (1, 1, 1e-2), (20, 10, 1e-8),
    ]
    for moments in (RELU, TANH)
]  # fmt: skip


def relu(x):
    return np.maximum(x, 0)


def polynomials(chi, z, a, b):
    """E_0, E_1, E_2 with z = zeta^2, psi_1 = a, psi_2 = b."""
    e_0 = (
        -(chi**5) * z**3 + 3 * chi**4 * z**2 + (a * b - b - a + 1) * chi**3 * z**3 - 2 * chi**3 * z**2 - 3 * chi**3 * z
        + (a + b - 3 * a * b + 1) * chi**2 * z**2 + 2 * chi**2 * z + chi**2 + 3 * a * b * chi * z - a * b
    )  # fmt: skip
    e_1 = b * chi**3 * z**2 - b * chi**2 * z + a * b * chi * z - a * b
    e_2 = (
        chi**5 * z**3 - 3 * chi**4 * z**2 + (a - 1) * chi**3 * z**3 + 2 * chi**3 * z**2 + 3 * chi**3 * z
        + (-a - 1) * chi**2 * z**2 - 2 * chi**2 * z - chi**2
    )  # fmt: skip
    return e_0, e_1, e_2


def test_the_polynomials_are_the_formula_identically():
    """At more rational points than any of the degrees: equality of rational functions."""
    generator = np.random.Generator(np.random.Philox(0))
    for _ in range(300):
        p, z, a, b = (Fraction(int(u), int(v)) for u, v in generator.integers(1, 1000, (4, 2)))
        e_0, e_1, e_2 = polynomials(-p, z, a, b)
        follows = z * p / (1 + z * p)
        r_1, r_2, total = a - follows - p, b - follows - p, p + follows * (1 - follows)
        divisor = r_1 * r_2 + (r_1 + r_2) * total
        assert e_1 * divisor == e_0 * b * (1 - follows) * (p + (1 - follows) * (follows + r_1))
        assert e_2 * divisor == e_0 * (b * (total + r_1) - divisor)


def published(psi_1, psi_2, ridge, moments, signal):
    """Theorem 2 of Mei and Montanari to 30 digits: nu_1, nu_2 at xi = i (psi_1 psi_2 lambda)^(1/2)/mu_*."""
    mpf = mpmath.mpf
    a, b, z = mpf(psi_1), mpf(psi_2), (mpf(moments.slope) / mpf(moments.rest)) ** 2
    level = mpmath.sqrt(a * b * mpf(ridge)) / mpf(moments.rest)

    def missing(log_1, log_2):
        # nu_k = i exp(log_k): both equations are real on the imaginary axis.
        v_1, v_2 = mpmath.exp(log_1), mpmath.exp(log_2)
        share = z / (1 + z * v_1 * v_2)
        return [v_1 * (level + v_2 + v_2 * share) / a - 1, v_2 * (level + v_1 + v_1 * share) / b - 1]

    # The damped iteration from psi/(-xi) ends at the one positive solution; Newton's method gives the digits.
    own, factor, v_1, v_2 = float(level), float(z), psi_1 / float(level), psi_2 / float(level)
    for _ in range(100_000):
        share = 1 + factor / (1 + factor * v_1 * v_2)
        old, (v_1, v_2) = v_1, ((v_1 + psi_1 / (own + v_2 * share)) / 2, (v_2 + psi_2 / (own + v_1 * share)) / 2)
        if abs(v_1 / old - 1) < 1e-9:
            break
    logs = mpmath.findroot(missing, (mpmath.log(v_1), mpmath.log(v_2)), tol=mpf(10) ** -60)
    e_0, e_1, e_2 = polynomials(-mpmath.exp(logs[0] + logs[1]), z, a, b)
    noise = mpf(signal.noise) + mpf(signal.nonlinear)
    return mpf(signal.linear) * e_1 / e_0 + noise * e_2 / e_0 + mpf(signal.nonlinear)


@pytest.mark.parametrize(("psi_1", "psi_2", "ridge", "moments"), POINTS)
def test_the_published_formula(psi_1, psi_2, ridge, moments):
    with mpmath.workdps(50):
        expected = published(psi_1, psi_2, ridge, moments, MIXED)
        found = random_features_risk(psi_1, psi_2, ridge, moments, MIXED)
        assert abs(found.risk / expected - 1) < 1e-12


@pytest.mark.parametrize(("psi_1", "psi_2", "ridge"), [(2, 3, 1e-3), (3, 3, 1e-4), (0.3, 2, 0.2), (5, 0.5, 1e-2)])
def test_the_marchenko_pastur_law(psi_1, psi_2, ridge):
    """Without the published formula: spectral filters of the covariance, integrated over its law to 30 digits."""
    mpf, moments = mpmath.mpf, RELU
    with mpmath.workdps(30):
        a, b = mpf(psi_1), mpf(psi_2)
        z, level = (mpf(moments.slope) / mpf(moments.rest)) ** 2, mpf(ridge) / mpf(moments.rest) ** 2

        @functools.cache
        def nodes():
            middle, half, out = 1 + a, 2 * mpmath.sqrt(a), []
            for k in range(400):
                angle = mpmath.pi * (k + mpf(1) / 2) / 400
                s = middle + half * mpmath.cos(angle)
                out.append((s, half**2 * mpmath.sin(angle) ** 2 / (400 * 2 * s)))
            return out

        def integral(f):
            """The trace over d: density ((s_+ - s)(s - s_-))^(1/2)/(2 pi s), and the features that the data miss."""
            return sum(w * f(z * s) for s, w in nodes()) + max(a - 1, 0) * f(mpf(0))

        def equation(k):
            return k * (b - integral(lambda s: (s + 1) / (s + 1 + k))) - a * b * level

        kappa = mpmath.findroot(equation, (mpf(10) ** -12, mpf(10) ** 3), solver="anderson", tol=1e-40)
        assert abs(integral(lambda s: mpf(1)) - a) < mpf(10) ** -25
        squares = integral(lambda s: ((s + 1) / (s + 1 + kappa)) ** 2)
        bias = kappa**2 * integral(lambda s: s / ((s + 1) * (s + 1 + kappa) ** 2))
        bias += 1 - integral(lambda s: s / (s + 1))
        noise = mpf(MIXED.noise) + mpf(MIXED.nonlinear)
        total = (mpf(MIXED.linear) * bias + noise) / (1 - squares / b)
        found = random_features_risk(psi_1, psi_2, ridge, moments, MIXED)
        assert abs(found.risk / (total - mpf(MIXED.noise)) - 1) < 1e-12
        degrees = integral(lambda s: (s + 1) / (s + 1 + kappa))
        assert abs((found.linear_degrees + found.nonlinear_degrees) / degrees - 1) < 1e-12


@pytest.mark.parametrize(("psi_1", "psi_2"), [(2, 3), (3, 2), (0.5, 0.7), (40, 3)])
def test_without_ridge_it_is_the_limit(psi_1, psi_2):
    limit = random_features_risk(psi_1, psi_2, 0.0, TANH, MIXED)
    with mpmath.workdps(50):
        assert abs(limit.risk / published(psi_1, psi_2, 1e-24, TANH, MIXED) - 1) < 1e-10
    assert limit.training_error == 0 or psi_1 < psi_2
    assert limit.linear_degrees + limit.nonlinear_degrees == pytest.approx(min(psi_1, psi_2), rel=1e-12)


def test_the_peak():
    assert random_features_risk(3, 3, 0.0).risk == math.inf
    heights = [random_features_risk(3, 3, ridge, RELU, MIXED).risk for ridge in (1e-4, 1e-6, 1e-8, 1e-10)]
    # r_1 = r_2 is of order lambda^(1/2), so the peak of order lambda^(-1/2).
    assert np.diff(np.log(heights)) == pytest.approx(np.full(3, math.log(10)), abs=0.1)


@pytest.mark.parametrize("psi_2", [0.4, 1.5, 6.0])
def test_linear_features_are_least_squares(psi_2):
    """sigma(x) = x with N >= d features of least norm: the fit that `ridgeless_linear_risk` is about, as d grows."""
    identity, d = Moments(0.0, 1.0, 0.0), 10**9
    for psi_1 in (1, 2, 1e6):
        found = random_features_risk(psi_1, psi_2, 0.0, identity, Signal(1.0, 0.0, 0.3))
        exact = ridgeless_linear_risk(round(psi_2 * d), d, 1.0, 0.3)
        # With N features in d < N dimensions the fit is least squares only if the data or the features are many.
        if psi_2 > 1 or psi_1 == 1e6:
            assert found.risk == pytest.approx(exact.risk, rel=1e-5)


@pytest.mark.parametrize(
    ("activation", "moments", "features", "ridge", "nonlinear"),
    [
        # ReLU features see a little of a quadratic form when d is finite.
        (relu, RELU, 100, 1e-3, 0.0), (relu, RELU, 150, 1e-2, 0.0), (relu, RELU, 300, 0.0, 0.0),
        (np.tanh, TANH, 150, 1e-3, 0.2), (np.tanh, TANH, 50, 0.1, 0.2),
    ],
)  # fmt: skip
def test_simulations(activation, moments, features, ridge, nonlinear):
    signal = Signal(1.0, nonlinear, 0.3)
    found = simulate_random_features(50, features, 150, ridge, activation, signal, repetitions=25, test_points=600)
    expected = random_features_risk(features / 50, 3, ridge, moments, signal)
    mean, error = found.mean()
    assert abs(mean - expected.risk) < 4 * error
    training = found.training_errors
    assert abs(training.mean() - expected.training_error) < 4 * training.std(ddof=1) / math.sqrt(25) + 1e-20


@pytest.mark.parametrize(("samples", "dimension"), [(30, 10), (8, 20), (3, 6)])
def test_linear_least_squares(samples, dimension):
    generator, noise = np.random.Generator(np.random.Philox(samples)), 0.5
    beta, risks = np.eye(dimension)[0], []
    for _ in range(2000):
        x = generator.normal(size=(samples, dimension))
        y = x @ beta + math.sqrt(noise) * generator.normal(size=samples)
        risks.append(np.sum((np.linalg.pinv(x) @ y - beta) ** 2))
    expected = ridgeless_linear_risk(samples, dimension, 1.0, noise)
    assert abs(np.mean(risks) - expected.risk) < 4 * np.std(risks) / math.sqrt(2000)


def test_where_linear_least_squares_has_no_variance():
    for samples in (9, 10, 11):
        assert ridgeless_linear_risk(samples, 10, 1.0, 0.1).variance == math.inf
        assert ridgeless_linear_risk(samples, 10).variance == 0
    assert ridgeless_linear_risk(0, 10, 2.0, 1.0).risk == 2


def test_moments_of_activations():
    found = activation_moments(relu)
    assert (found.mean, found.slope, found.rest) == pytest.approx((RELU.mean, RELU.slope, RELU.rest), abs=1e-15)
    with mpmath.workdps(30):
        for f, own, kinks in [
            (np.tanh, mpmath.tanh, ()), (lambda x: np.abs(x - 0.3), lambda x: abs(x - mpmath.mpf(0.3)), (0.3,)),
            (np.exp, mpmath.exp, ()), (np.sign, mpmath.sign, (0,)),
        ]:  # fmt: skip
            ends = [-14, *kinks, 0.1, 14]
            one, slope, square = (
                mpmath.quad(lambda x, g=g: g(x) * mpmath.npdf(x), sorted(ends))
                for g in (own, lambda x: x * own(x), lambda x: own(x) ** 2)  # noqa: B023
            )
            found = activation_moments(f, kinks or (0.0,))
            assert abs(found.mean - one) < 1e-14 and abs(found.slope - slope) < 1e-14
            assert abs(found.rest - mpmath.sqrt(square - one**2 - slope**2)) < 1e-13 and found.error < 1e-13


def test_the_same_in_processes():
    one, two = (
        simulate_random_features(8, 10, 12, 0.1, np.tanh, repetitions=4, test_points=50, seed=3, jobs=jobs)
        for jobs in (None, 2)
    )
    assert np.allclose(one.risks, two.risks, rtol=1e-12, atol=0) and len(set(one.risks)) == 4


def test_says_what_is_wrong():
    for arguments in [(0, 1, 1), (1, math.nan, 1), (1, 1, -1), (1, 1, 1, Moments(1, 0, 0))]:
        with pytest.raises(DomainError):
            random_features_risk(*arguments)
    for call in (
        lambda: Signal(noise=-1), lambda: ridgeless_linear_risk(-1, 3), lambda: activation_moments(np.log),
        lambda: simulate_random_features(8, 10, 12, 0.1, np.tanh, LINEAR, repetitions=1),
    ):  # fmt: skip
        with pytest.raises(DomainError), np.errstate(all="ignore"):
            call()
