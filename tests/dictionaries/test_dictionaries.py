"""Dictionaries: perfect reconstruction, Parseval, exact atoms, N-term laws; oracles by an independent path."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, HypothesisError, MissingExtraError
from epsnet.dictionaries.bsplines import BSplines, bspline
from epsnet.dictionaries.dictionary import Expansion, assert_reconstructs
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.n_term import matching_pursuit, psnr, squared_errors, threshold, thresholding_pursuit
from epsnet.dictionaries.shearlets import Shearlets
from epsnet.dictionaries.wavelets import Wavelets

pywt = pytest.importorskip("pywt")

CASES = {
    "haar-1d": lambda: Wavelets("haar", (64,), 6),
    "db4-1d": lambda: Wavelets("db4", (96,), 5),
    "db4-2d": lambda: Wavelets("db4", (32, 64), 4),
    "bior2.2-1d": lambda: Wavelets("bior2.2", (64,), 4),
    "bior4.4-2d": lambda: Wavelets("bior4.4", (32, 32), 5),
    "bior1.3-2d": lambda: Wavelets("bior1.3", (32, 32), 2),
    "linear-1": lambda: LinearWavelets(1),
    "linear-6": lambda: LinearWavelets(6),
    "spline-1": lambda: BSplines(1, 64, 4),
    "spline-2": lambda: BSplines(2, 63, 1),
    "spline-3": lambda: BSplines(3, 64, 3),
    "gabor-1d": lambda: Gabor((64,), 16),
    "gabor-6": lambda: Gabor((24,), 6),
    "gabor-2d": lambda: Gabor((32, 48), 8, "gaussian"),
    "shearlets-16": lambda: Shearlets(16),
    "shearlets-64": lambda: Shearlets(64),
    "shearlets-odd": lambda: Shearlets(51),
    "ridgelets": lambda: Shearlets(64, 0.0),
    "alpha-1/4": lambda: Shearlets(48, 0.25),
    "alpha-1": lambda: Shearlets(64, 1.0),
}


@pytest.fixture(scope="module", params=CASES)
def dictionary(request):
    return CASES[request.param]()


def test_reconstruction_adjoint_and_parseval(dictionary):
    assert_reconstructs(dictionary)


def test_norms_are_those_of_the_atoms(dictionary):
    places = np.unique([*range(9), *np.linspace(0, dictionary.size - 1, 25).astype(int)]) % dictionary.size
    found = [np.linalg.norm(dictionary.atom(i)) for i in places]
    np.testing.assert_allclose(dictionary.norms[places], found, atol=1e-13)


def test_all_terms_are_the_signal_and_none_is_zero(dictionary):
    signal = np.random.default_rng(2).standard_normal(dictionary.shape)
    whole, nothing = squared_errors(dictionary, signal, [dictionary.size, 0])
    # The filters of bior4.4 are known to PyWavelets to 12 digits.
    assert whole <= 1e-23 * np.mean(signal**2)
    assert nothing == pytest.approx(np.mean(signal**2))


def test_squares_left_out_bound_the_error(dictionary):
    if not dictionary.parseval:
        pytest.skip("a law of Parseval frames")
    signal = np.random.default_rng(3).standard_normal(dictionary.shape)
    coefficients = np.sort(dictionary.analysis(signal) ** 2)[::-1]
    counts = [1, dictionary.size // 8, dictionary.size // 2]
    errors = squared_errors(dictionary, signal, counts) * signal.size
    rests = np.array([coefficients[n:].sum() for n in counts])
    assert (errors <= rests * (1 + 1e-12)).all()
    if dictionary.size == signal.size:
        np.testing.assert_allclose(errors, rests, rtol=1e-12)


def test_a_bad_signal_is_refused(dictionary):
    good = np.zeros(dictionary.shape)
    bad = good.copy()
    bad.flat[0] = np.nan
    for signal in (bad, bad + np.inf, np.empty(0), good[:-1], good[None], None, "f", good * 1j):
        with pytest.raises(DomainError):
            dictionary.analysis(signal)
    for coefficients in (np.zeros(dictionary.size + 1), np.full(dictionary.size, np.nan), []):
        with pytest.raises(DomainError):
            dictionary.synthesis(coefficients)
    for index in (-1, dictionary.size):
        with pytest.raises(DomainError):
            dictionary.atom(index)
    for terms in (-1, dictionary.size + 1):
        with pytest.raises(DomainError):
            threshold(dictionary, good, terms)


REFUSED = {
    "odd": lambda: Wavelets("haar", (63,), 1),
    "too many levels": lambda: Wavelets("haar", (64,), 7),
    "no axis": lambda: Wavelets("haar", (), 1),
    "empty": lambda: Wavelets("haar", (0,), 1),
    "three axes": lambda: Wavelets("haar", (8, 8, 8), 1),
    "no level": lambda: Wavelets("haar", (8,), 0),
    "continuous wavelet": lambda: Wavelets("mexh", (8,), 1),
    "linear, no level": lambda: LinearWavelets(0),
    "linear, too many levels": lambda: LinearWavelets(21),
    "degree 0": lambda: BSplines(0, 64, 1),
    "degree 6": lambda: BSplines(6, 64, 1),
    "odd splines": lambda: BSplines(1, 63, 2),
    "wide splines": lambda: BSplines(3, 16, 4),
    "long splines": lambda: BSplines(1, 4096, 1),
    "empty splines": lambda: BSplines(1, 0, 1),
    "odd window": lambda: Gabor((64,), 7),
    "no multiple": lambda: Gabor((60,), 16),
    "long window": lambda: Gabor((8,), 16),
    "Gabor, no axis": lambda: Gabor((), 16),
    "unknown window": lambda: Gabor((64,), 16, "box"),  # type: ignore[arg-type]
    "small": lambda: Shearlets(15),
    "alpha below 0": lambda: Shearlets(64, -0.1),
    "alpha NaN": lambda: Shearlets(64, float("nan")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_dictionary_that_does_not_exist_is_refused(case):
    with pytest.raises(DomainError):
        REFUSED[case]()


def test_without_pywavelets_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pywt", None)
    with pytest.raises(MissingExtraError, match="wavelets"):
        Wavelets("haar", (8,), 1)


@pytest.mark.parametrize("name", ["haar", "db4", "bior4.4"])
def test_coefficients_are_those_of_wavedec2(name):
    image = np.random.default_rng(4).standard_normal((512, 512))
    expected = pywt.wavedec2(image, name, mode="periodization", level=5)
    flat = np.concatenate([expected[0].ravel(), *(np.ravel(part) for level in expected[1:] for part in level)])
    np.testing.assert_array_equal(Wavelets(name, (512, 512), 5).analysis(image), flat)


def test_linear_wavelets_inside_are_those_of_pywavelets():
    # One step of lifting with the filters of bior2.2, which are scaled to norms 2^(1/2) larger at each level.
    values = np.random.default_rng(5).standard_normal(65)
    found = LinearWavelets(6).analysis(values)[33:]
    _, detail = pywt.dwt(values, "bior2.2", mode="reflect")
    known = detail / np.sqrt(2)
    matches = [np.abs(known[k : k + 28] * sign * factor - found[2:30]).max()
               for k in range(len(known) - 28) for sign in (1, -1) for factor in (1, 2)]  # fmt: skip
    assert min(matches) <= 1e-13


def test_linear_wavelets_are_exact_in_rationals_and_of_the_stated_form():
    basis = LinearWavelets(5)
    nodes = [Fraction(i, 32) for i in range(33)]
    rng = np.random.default_rng(6)
    values = [Fraction(int(a), int(b)) for a, b in rng.integers(1, 1000, (33, 2))]
    assert basis.exact_synthesis(basis.exact_analysis(values)) == values

    def hat(s):
        return max(Fraction(0), 1 - abs(s))

    for index in range(2, basis.size):
        j, k = basis.level(index)
        unit = [Fraction(int(i == index)) for i in range(basis.size)]
        formula = []
        for x in nodes:
            h = 2 ** (j + 1)
            s = h * x - (2 * k + 1)
            value = Fraction(9, 8) * hat(s) - Fraction(3, 8) * hat(s / 3)
            value -= Fraction(k == 0, 8) * max(Fraction(0), 2 - h * x)
            value -= Fraction(k == 2**j - 1, 8) * max(Fraction(0), 2 - h * (1 - x))
            formula.append(value)
        assert basis.exact_synthesis(unit) == formula


def test_linear_functions_need_two_terms_and_wavelets_have_no_mean():
    basis = LinearWavelets(7)
    nodes = np.linspace(0, 1, basis.size)
    assert np.abs(basis.analysis(3 * nodes - 1)[2:]).max() <= 1e-15
    for index in (2, 9, 40, basis.size - 1):
        assert abs(np.trapezoid(basis.atom(index), nodes)) <= 1e-16


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_bsplines_are_a_partition_of_unity_and_convolutions(degree):
    x = np.linspace(-5, 5, 2001)
    np.testing.assert_allclose(sum(bspline(degree, x - k) for k in range(-9, 10)), 1, atol=1e-14)
    from scipy.interpolate import BSpline

    knots = np.arange(degree + 2) - (degree + 1) / 2
    inside = np.abs(x) < (degree + 1) / 2
    peer = BSpline.basis_element(knots, extrapolate=False)(x[inside])
    np.testing.assert_allclose(bspline(degree, x[inside]), peer, atol=1e-14)


@pytest.mark.parametrize("case", ["spline-1", "spline-3", "gabor-1d"])
def test_matching_pursuit_finds_few_atoms_and_its_error_falls(case):
    dictionary = CASES[case]()
    rng = np.random.default_rng(7)
    true = np.sort(rng.choice(dictionary.size // 8, 3, replace=False) * 8)
    signal = Expansion(dictionary, true, np.array([3.0, -2.0, 1.5])).signal()
    found = matching_pursuit(dictionary, signal, 12)
    assert np.linalg.norm(found.signal() - signal) <= 1e-12 * np.linalg.norm(signal)
    noise = rng.standard_normal(dictionary.shape)
    errors = [np.linalg.norm(matching_pursuit(dictionary, noise, n).signal() - noise) for n in (0, 1, 4, 9, 16)]
    assert (np.diff(errors) < 0).all()


def test_matching_pursuit_of_an_orthonormal_basis_is_thresholding():
    basis = Wavelets("db4", (64,), 3)
    signal = np.random.default_rng(8).standard_normal(64)
    pursued, kept = matching_pursuit(basis, signal, 10), threshold(basis, signal, 10)
    assert list(pursued.indices) == list(kept.indices)
    np.testing.assert_allclose(pursued.coefficients, kept.coefficients, atol=1e-13)
    assert len(matching_pursuit(basis, np.zeros(64), 5)) == 0


@pytest.mark.parametrize("case", ["shearlets-64", "gabor-1d"])
def test_thresholding_pursuit_lies_between_thresholding_and_projection(case):
    frame = CASES[case]()
    signal = np.random.default_rng(10).standard_normal(frame.shape)
    for terms in (0, 1, frame.size // 40):
        first, found = threshold(frame, signal, terms), thresholding_pursuit(frame, signal, terms)
        assert len(found) == terms
        error = np.linalg.norm(found.signal() - signal)
        assert error <= np.linalg.norm(first.signal() - signal) * (1 + 1e-12)
        if 0 < terms < 50:
            atoms = np.array([frame.atom(i).ravel() for i in found.indices]).T
            rest = np.linalg.lstsq(atoms, signal.ravel(), rcond=None)[1]
            assert error**2 >= rest.sum() * (1 - 1e-12)
    assert len(thresholding_pursuit(frame, np.zeros(frame.shape), 3)) == 3
    with pytest.raises(HypothesisError):
        thresholding_pursuit(CASES["spline-1"](), np.zeros(64), 3)


def test_error_of_an_orthonormal_basis_falls_with_the_terms():
    image = np.random.default_rng(9).standard_normal((32, 32)).cumsum(0)
    errors = squared_errors(Wavelets("haar", (32, 32), 5), image, range(0, 1025, 64))
    assert (np.diff(errors) < 0).all()
    assert psnr(errors[3], 1.0) == pytest.approx(-10 * np.log10(errors[3]))
    assert psnr(0.0) == np.inf


@pytest.mark.parametrize("indices", [[0, 0], [-1, 2], [0, 64], [0.0, 1.0], [[0, 1]]], ids=str)
def test_an_expansion_names_atoms_once(indices):
    with pytest.raises(DomainError):
        Expansion(Wavelets("haar", (64,), 2), np.array(indices), np.ones(2))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_shearlets_are_directional_and_alpha_sets_how_many(alpha):
    # A plane wave is seen by the windows of at most two directions in at most two bands.
    side = 64
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    shearlets = Shearlets(side, alpha)
    wave = np.cos(2 * np.pi * (13 * x + 5 * y) / side)
    energy = [
        np.sum(part**2) for part in np.split(shearlets.analysis(wave), np.cumsum([w.size for w in shearlets._windows]))
    ]
    assert sum(e > 1e-20 for e in energy) <= 4
    cuts = 3  # 64/2, 64/4, 64/8
    expected = sum(4 * max(1, round(2 * 2 ** ((1 - alpha) * i))) for i in range(cuts)) + 1
    assert len(shearlets._windows) == expected
