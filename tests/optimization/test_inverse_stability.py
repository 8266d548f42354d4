"""The examples recomputed independently: vertices, polynomial integrals, and other parameters of the same function."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.optimization.inverse_stability import TwoNeurons, jump, kink, least_magnitude_squared, ramp

GRID = [Fraction(k, 240) for k in range(-240, 241)]


@pytest.mark.parametrize("n", [2, 3, 10])
def test_ramp(n):
    found = ramp(n)
    step = Fraction(1, n**4)
    # Affine between these points, so the largest value is at one of them.
    values = [abs(found.network(x)) for x in (Fraction(-1), Fraction(0), step, Fraction(1))]
    assert max(values) == found.sup == Fraction(1, n**2)
    assert found.parameters == found.network.magnitude == n
    assert least_magnitude_squared(found.network) == n**2
    assert found.network(step / 2) == found.sup / 2


@pytest.mark.parametrize(("factor", "power"), [(10, 1), (1000, 1), (10, Fraction(1, 4))])
def test_no_hoelder_inequality_bounds_the_parameters(factor, power):
    """n <= s n^(-2 alpha) fails from n = s on."""
    found = ramp(factor)
    assert float(found.parameters) > factor * float(found.sup) ** float(power)
    assert [ramp(n).parameters for n in (2, 4, 8)] == [2, 4, 8]


@pytest.mark.parametrize("scales", [(Fraction(1, 7), Fraction(3)), (Fraction(5), Fraction(1, 100))])
def test_other_parameters_of_a_ramp_are_no_smaller(scales):
    own = ramp(4).network
    inner = tuple(w * s for w, s in zip(own.inner, scales, strict=True))
    biases = tuple(b * s for b, s in zip(own.biases, scales, strict=True))
    outer = tuple(a / s for a, s in zip(own.outer, scales, strict=True))
    # Turning a neuron around: max(t, 0) = max(-t, 0) + t; turning both in opposite senses adds no affine part here.
    other = TwoNeurons(inner, biases, outer)
    assert all(other(x) == own(x) for x in GRID)
    assert other.magnitude > own.magnitude == ramp(4).parameters
    assert least_magnitude_squared(other) == 16
    both = TwoNeurons((-own.inner[0], -own.inner[1]), (-own.biases[0], -own.biases[1]), own.outer, offset=ramp(4).sup)
    assert all(both(x) == own(x) for x in GRID)
    assert both.magnitude == 4


def test_parameters_of_zero_are_close_to_some_parameters_of_a_ramp():
    """What the docstring does not claim, and why."""
    own, eta = ramp(3).network, Fraction(1, 1000)
    w = 9 / eta
    near = TwoNeurons((w, w), (Fraction(0), -w / 81), (eta, -eta))
    assert all(near(x) == own(x) for x in GRID)
    zero = TwoNeurons(near.inner, near.biases, (Fraction(0), Fraction(0)))
    assert all(zero(x) == 0 for x in GRID)


def test_the_magnitude_needs_two_bends():
    one, zero = Fraction(1), Fraction(0)
    for network in (
        TwoNeurons((one, one), (zero, zero), (one, one)),
        TwoNeurons((one, one), (zero, -one), (one, one)),
        TwoNeurons((one, one), (zero, -one / 2), (one, zero)),
        TwoNeurons((one, one), (zero, -one / 2), (one, one), activation="relu^2"),
    ):
        with pytest.raises(HypothesisError, match="Use such a network"):
            least_magnitude_squared(network)


@pytest.mark.parametrize(("n", "p"), list(itertools.product((1, 2, 7), (1, 2, 5))))
def test_jump(n, p):
    found = jump(n, p)
    # The integral of (1 - n x)^p over [0, 1/n], term by term; elsewhere f_n is the limit.
    terms = (math.comb(p, k) * Fraction(-n) ** k * Fraction(1, n) ** (k + 1) / (k + 1) for k in range(p + 1))
    assert found.distance == sum(terms) == Fraction(1, (p + 1) * n)
    for x in GRID:
        if x <= 0 or x >= Fraction(1, n):
            assert found.network(x) == (x > 0)
        else:
            assert found.network(x) == n * x


@pytest.mark.parametrize("n", [1, 2, 5, 24])
def test_kink(n):
    found = kink(n)
    differences = [found.network(x) - 2 * max(x, Fraction(0)) for x in GRID]
    assert min(differences) == 0
    assert max(differences) == found.distance == Fraction(1, n)
    h = Fraction(1, 10**9)
    left, right = ((found.network(sign * h) - found.network(Fraction(0))) / h for sign in (-1, 1))
    assert abs(left + right) <= 3 * n * h  # one derivative at 0, where the limit has a kink


def test_ramp_as_a_network():
    own = ramp(8).network
    as_floats = Network.from_layers(
        [
            (np.array([[float(w)] for w in own.inner]), np.array([float(b) for b in own.biases])),
            (np.array([[float(a) for a in own.outer]]), np.array([float(own.offset)])),
        ]
    )
    x = np.linspace(-1, 1, 101)
    values = realize(as_floats, x[:, None])[:, 0]
    assert values == pytest.approx([float(own(Fraction(t))) for t in x.tolist()], abs=1e-15)


def test_numbers_that_are_too_small():
    for make, n in ((ramp, 1), (jump, 0), (kink, 0)):
        with pytest.raises(DomainError, match="or more"):
            make(n)
