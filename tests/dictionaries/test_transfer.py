"""Expansions as networks: equal in rationals at all breakpoints, to rounding in float64, steps within a closed form."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.checker.kernel import check
from epsnet.core.ramps import StepFunction
from epsnet.core.realize import realize, realize_exact
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.molecules import HAT, dilated, kuhn_hats, tensor
from epsnet.dictionaries.n_term import threshold
from epsnet.dictionaries.transfer import (
    haar_steps,
    linear_wavelet_atoms,
    linear_wavelet_network,
    ramp_network,
    ramp_transfer,
    transfer,
)
from epsnet.dictionaries.transfer_figures import draw_atoms
from epsnet.dictionaries.wavelets import Wavelets

FUNCTIONS = {
    "root": np.sqrt,
    "kink": lambda x: np.abs(x - 1 / 3),
    "jump": lambda x: (x > 0.4) + np.sin(9 * x),
}


def nodal_values(expansion):
    """The values at all breakpoints in rationals, by inverse lifting."""
    basis = expansion.dictionary
    coefficients = [Fraction(0)] * basis.size
    for index, value in zip(expansion.indices, expansion.coefficients, strict=True):
        coefficients[index] = Fraction(float(value))
    return basis.exact_synthesis(coefficients)


@pytest.mark.parametrize("index", range(17), ids=str)
def test_each_atom_is_a_network(index):
    basis = LinearWavelets(4)
    expansion = Expansion(basis, np.array([index]), np.array([1.0]))
    network = linear_wavelet_network(expansion)
    for i, value in enumerate(nodal_values(expansion)):
        assert realize_exact(network, [Fraction(i, 16)]) == (value,)


def test_random_expansions_are_equal_in_rationals_at_and_between_all_breakpoints():
    basis = LinearWavelets(6)
    rng = np.random.default_rng(0)
    chosen = rng.choice(basis.size, 30, replace=False)
    expansion = Expansion(basis, chosen, rng.standard_normal(30) * 10.0 ** rng.integers(-6, 6, 30))
    network, values = linear_wavelet_network(expansion), nodal_values(expansion)
    for i, value in enumerate(values):
        assert realize_exact(network, [Fraction(i, 64)]) == (value,)
        if i:
            middle = realize_exact(network, [Fraction(2 * i - 1, 128)])
            assert middle == ((values[i - 1] + value) / 2,)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("terms", [10, 100])
def test_n_terms_in_float64(name, terms):
    basis = LinearWavelets(10)
    nodes = np.linspace(0, 1, basis.size)
    expansion = threshold(basis, FUNCTIONS[name](nodes), terms)
    network = linear_wavelet_network(expansion)
    assert network.size.weights <= 12 * terms + 8 * 2 * basis.levels
    assert network.size.depth == 3
    expected = np.array([float(value) for value in nodal_values(expansion)])
    x = np.sort(np.random.default_rng(1).random(2000))
    np.testing.assert_allclose(realize(network, nodes), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(realize(network, x), np.interp(x, nodes, expected), rtol=0, atol=1e-13)


def integral_of_square(network, steps, width):
    """The squared L2 distance in rationals: the difference is affine between the ends of ramps and the jumps."""
    places = {Fraction(0), Fraction(1)}
    for t, _ in steps.jumps:
        places |= {t, t - width / 2, t + width / 2}
    places = sorted(places)
    total = Fraction(0)
    for a, b in pairwise(places):
        value = steps((a + b) / 2)
        # Simpson's rule is exact for the square of an affine function.
        ends, middle = [
            [(realize_exact(network, [x])[0] - value) ** 2 for x in points] for points in ((a, b), ((a + b) / 2,))
        ]
        total += (b - a) * (sum(ends) + 4 * middle[0]) / 6
    return total


@pytest.mark.parametrize("eps", ["0.1", "1e-3"])
def test_the_error_of_ramps_is_the_closed_form(eps):
    pytest.importorskip("pywt")
    basis = Wavelets("haar", (64,), 6)
    x = (np.arange(64) + 0.5) / 64
    expansion = threshold(basis, np.where(x > 0.3, 1.0, x), 7)
    steps = haar_steps(expansion)
    values = [float(steps(Fraction(2 * i + 1, 128))) for i in range(64)]
    np.testing.assert_allclose(values, expansion.signal(), atol=1e-14)
    ramps = ramp_network(steps, eps)
    assert ramps.squared_error <= Fraction(eps) ** 2
    assert ramps.squared_error == integral_of_square(ramps.network, steps, ramps.width)
    assert ramps.network.size.weights <= 5 * len(steps.jumps) + 1 <= 15 * len(expansion) + 1


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_every_haar_atom_is_its_steps(levels):
    pytest.importorskip("pywt")
    basis = Wavelets("haar", (32,), levels)
    for index in range(32):
        steps = haar_steps(Expansion(basis, np.array([index]), np.array([1.0])))
        values = [float(steps(Fraction(2 * i + 1, 64))) for i in range(32)]
        np.testing.assert_allclose(values, basis.atom(index), atol=1e-15)


def test_a_constant_needs_no_ramp():
    ramps = ramp_network(StepFunction(Fraction(3, 7), ()), "1e-9")
    assert ramps.squared_error == 0
    assert realize_exact(ramps.network, [Fraction(1, 2)]) == (Fraction(3, 7),)


def test_what_cannot_be_transferred_is_refused():
    pytest.importorskip("pywt")
    haar, linear = Wavelets("haar", (8,), 2), LinearWavelets(3)
    one = np.array([0]), np.array([1.0])
    for expansion in (Expansion(haar, *one), Expansion(linear, np.empty(0, dtype=int), np.empty(0))):
        with pytest.raises(HypothesisError):
            linear_wavelet_network(expansion)
    for dictionary in (linear, Wavelets("db2", (8,), 2), Wavelets("haar", (8, 8), 2)):
        with pytest.raises(HypothesisError):
            haar_steps(Expansion(dictionary, *one))
    for jumps in (((0, 1),), ((1, 1),), ((0.5, 1), (0.5, 2)), ((0.5, float("nan")),)):
        with pytest.raises(DomainError):
            StepFunction(Fraction(0), jumps)
    for eps in (0, -1, float("nan")):
        with pytest.raises(DomainError):
            ramp_network(StepFunction(Fraction(0), ()), eps)


def test_wavelets_and_their_error_are_proved():
    """The expansion that the checker knows is that of inverse lifting, and the network is within rounding of it."""
    basis = LinearWavelets(6)
    rng = np.random.default_rng(2)
    chosen = rng.choice(basis.size, 20, replace=False)
    expansion = Expansion(basis, chosen, rng.standard_normal(20))
    found = transfer(linear_wavelet_atoms(expansion))
    for i, value in enumerate(nodal_values(expansion)):
        assert found.target.exact([Fraction(i, 64)]) == value
    exact = found.error.premises[0]
    assert (exact.value, exact.kind) == (0, Kind.PROVED) and found.error.value < 1e-11
    assert found.network.sha256 == linear_wavelet_network(expansion).sha256
    check(found.solution())


def test_haar_expansions_are_proved_in_l2():
    pytest.importorskip("pywt")
    basis = Wavelets("haar", (64,), 6)
    x = (np.arange(64) + 0.5) / 64
    found = ramp_transfer(haar_steps(threshold(basis, np.where(x > 0.3, 1.0, x), 7)), "1e-3")
    assert found.error.value <= 1e-3 and found.error.kind is Kind.PROVED
    check(found.solution())
    with pytest.raises(HypothesisError, match="float64"):
        ramp_transfer(StepFunction(Fraction(1, 3), ()), "1e-3")


def test_atoms_beside_their_networks():
    pytest.importorskip("matplotlib")
    figure = draw_atoms([("hat", dilated(HAT, [[2.0]], [[0.5]])), ("Kuhn", kuhn_hats([2.0], [[0.5, 0.5]]))])
    titles = [axes.get_title() for axes in figure.axes]
    assert "hat" in titles and "M = 8, exact" in titles
    with pytest.raises(DomainError):
        draw_atoms([])
    with pytest.raises(DomainError):
        draw_atoms([("solid", dilated(tensor(HAT, HAT, HAT), np.ones((1, 3)), np.zeros((1, 3))))])
