"""Bounds on the number of regions: published values, the definitions, counted networks, and a thousand forgeries."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from math import comb, prod, sqrt

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError, HypothesisError
from epsnet.checker.kernel import check_certificate
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network
from epsnet.enclosure.complex_certificate import certify_complex
from epsnet.enclosure.subdivision import exact_cells
from epsnet.geometry.bounds import (
    expected_regions,
    montufar_lower,
    montufar_upper,
    region_bound,
    serra_upper,
    zaslavsky,
)

SQUARE = Box([-1, -1], [1, 1])


def network(widths, seed, activation="relu", scale=1.0):
    generator = np.random.Generator(np.random.Philox(seed))
    layers = [
        (generator.standard_normal((o, i)) * sqrt(2 / i) * scale, generator.uniform(-1, 1, o))
        for i, o in itertools.pairwise(widths)
    ]
    return Network.from_layers(layers, activation)


def certify(net, bound):
    return check_certificate(net, Certificate.of((bound,)))


@pytest.mark.parametrize(
    ("inputs", "widths", "lower", "serra", "upper"),
    [
        (2, (24,) * 3, 6241536, 27270901, 27270901),
        (4, (14,) * 2, 119151, 2163841, 2163841),
        (3, (24,) * 2, 1190400, 5405625, 5405625),
        (1, (3,) * 4, 108, 256, 256),
        (2, (4,) * 3, 176, 1331, 1331),
        (5, (9,) * 3, 382, 41549824, 55742968),
        (2, (40,) * 4, 52544000000, 454331269681, 454331269681),
        (784, (20,) * 2, None, 618679078298, 1099511627776),
    ],
)
def test_published_values(inputs, widths, lower, serra, upper):
    assert (serra_upper(inputs, widths), montufar_upper(inputs, widths)) == (serra, upper)
    if lower is not None:
        assert montufar_lower(inputs, widths) == lower


def serra_by_definition(inputs, widths):
    total = 0
    for chosen in itertools.product(*(range(width + 1) for width in widths)):
        room, fits = inputs, True
        for j, width in zip(chosen, widths, strict=True):
            fits = fits and j <= min(room, width)
            room = min(room, width - j)
        total += fits * prod(map(comb, widths, chosen))
    return total


def montufar_by_definition(inputs, widths):
    return prod(
        sum(comb(width, j) for j in range(min(inputs, *widths[: place + 1]) + 1)) for place, width in enumerate(widths)
    )


def test_definitions():
    for inputs, layers in itertools.product(range(1, 5), range(1, 4)):
        for widths in itertools.product(range(5), repeat=layers):
            assert serra_upper(inputs, widths) == serra_by_definition(inputs, widths)
            assert montufar_upper(inputs, widths) == montufar_by_definition(inputs, widths)
            assert serra_upper(inputs, widths) <= montufar_upper(inputs, widths)
            if min(widths) >= inputs:
                assert montufar_lower(inputs, widths) <= serra_upper(inputs, widths)
    for widths in itertools.product(range(2, 6), repeat=3):
        assert serra_upper(1, widths) == prod(width + 1 for width in widths)
    # Zaslavsky's numbers by deletion and restriction.
    for inputs, neurons in itertools.product(range(2, 7), range(1, 12)):
        assert zaslavsky(inputs, neurons) == zaslavsky(inputs, neurons - 1) + zaslavsky(inputs - 1, neurons - 1)


@pytest.mark.parametrize(("inputs", "neurons"), [(1, 7), (2, 10), (3, 9)])
def test_one_layer_in_general_position_attains_the_bound(inputs, neurons):
    net = network((inputs, neurons, 1), 0)
    counted, bound = certify_complex(net).regions, region_bound(net)
    assert counted.limit == bound.limit == zaslavsky(inputs, neurons)


def skipping(seed):
    generator = np.random.Generator(np.random.Philox(seed))

    def dense(o, i):
        return Dense(generator.standard_normal((o, i)))

    layers = (
        Layer(((0, dense(2, 2)),), generator.uniform(-1, 1, 2)),
        Layer(((1, dense(4, 2)), (0, dense(4, 2))), generator.uniform(-1, 1, 4)),
        Layer(((2, dense(1, 4)),), np.zeros(1), ("identity",)),
    )
    return Network(2, layers)


def mixed(seed):
    plain = network((2, 4, 5, 1), seed)
    first = replace(plain.layers[0], activations=("relu", "identity", "relu", "identity"))
    return Network(2, (first, *plain.layers[1:]))


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda seed: network((2, 6, 6, 1), seed, scale=3.0), 484),
        (lambda seed: network((2, 2, 3, 1), seed, scale=3.0), 7 + 2 * 4 + 1),
        (lambda seed: network((2, 2, 3, 1), seed, "leaky_relu(0.5)", 3.0), 4 * 7),
        (lambda seed: network((2, 2, 3, 1), seed, "abs", 3.0), 4 * 7),
        (lambda seed: network((2, 1, 9, 1), seed, "leaky_relu(0.0)", 3.0), 10 + 1),
        (skipping, 4 * 11),
        (mixed, 4 * 16),
    ],
    ids=["relu", "narrow", "leaky", "abs", "line", "skip", "mixed"],
)
def test_counted_networks_obey_the_bound(make, most):
    counts = []
    for seed in range(15):
        net = make(seed)
        bound = region_bound(net, Box([-30, -30], [30, 30]))
        assert certify(net, bound) == (bound,)
        assert (bound.limit, bound.kind) == (most, Kind.PROVED)
        counts.append(exact_cells(net, bound.domain).f_vector()[-1])
    assert max(counts) <= most


def test_leaky_networks_exceed_the_bound_for_relu():
    """So the rule has to tell the two apart: leaky ReLU maps no region to a point."""
    counts = [
        exact_cells(network((2, 2, 3, 1), seed, "abs", 3.0), Box([-99, -99], [99, 99])).f_vector()[-1]
        for seed in range(40)
    ]
    assert max(counts) > serra_upper(2, (2, 3))


def test_bound_without_a_domain_and_for_linear_regions():
    net = network((3, 5, 4, 2), 1)
    for bound in (region_bound(net), region_bound(net, linear=True), region_bound(net, Box([0] * 3, [1] * 3))):
        assert certify(net, bound) == (bound,)
        assert bound.limit == serra_upper(3, (5, 4))
    affine = Network.from_layers([([[1.0, 2.0]], [0.0])])
    assert region_bound(affine).limit == 1


def test_a_thousand_forgeries():
    generator = np.random.Generator(np.random.Philox(5))
    accepted = 0
    for number in range(1000):
        depth = generator.integers(1, 4)
        widths = [int(generator.integers(1, 4)), *(int(w) for w in generator.integers(1, 6, depth)), 1]
        activation = ["relu", "leaky_relu(0.25)", "abs"][generator.integers(3)]
        net = network(widths, number, activation)
        box = Box([0] * widths[0], [1] * widths[0])
        bound = region_bound(net, box)
        most = bound.limit
        kind = number % 5
        if kind == 0:
            below = most - Fraction(int(generator.integers(1, most + 1)), int(generator.integers(1, 3)))
            forged = replace(bound, exact=below, value=float(below))
        elif kind == 1:  # the bound of a network with one neuron less in one layer
            place = 1 + int(generator.integers(depth))
            widths[place] += 1
            larger = network(widths, number, activation)
            net, forged = larger, replace(bound, network=larger.sha256)
            if region_bound(larger).limit == most:
                forged = replace(forged, exact=most - 1, value=float(most - 1))
        elif kind == 2:
            words = ["cells of dimension 0", "pieces", "activation regions ", "neurons", "regions"]
            forged = replace(bound, quantity=words[generator.integers(len(words))])
        elif kind == 3:
            changes = [
                {"sense": ">="}, {"sense": "=="}, {"norm": "sup"}, {"arithmetic": "float64"}, {"measure": "all"},
                {"eps": Fraction(1)}, {"target": net.sha256}, {"network": None}, {"premises": (bound,)},
                {"hypotheses": ("none",)}, {"theorem": "kink-count"},
                {"delta": Fraction(1, 2)}, {"domain": Box([0] * (widths[0] + 1), [1] * (widths[0] + 1))},
            ]  # fmt: skip
            forged = replace(bound, **changes[generator.integers(len(changes))])
        else:
            other = network((widths[0], *widths[1:-1], 1), number + 10_000, activation)
            forged = replace(bound, network=other.sha256)
        try:
            certify(net, forged)
            accepted += 1
        except CheckError:
            pass
    assert accepted == 0


def test_hostile_networks():
    wide = Network.from_layers([(np.ones((1100, 1100)), np.zeros(1100)), (np.ones((1, 1100)), [0.0])])
    smooth = network((2, 3, 1), 0, "tanh")
    for net, message in ((wide, "too large"), (smooth, "not linear on both sides")):
        claim = replace(region_bound(network((2, 3, 1), 0)), network=net.sha256)
        with pytest.raises(CheckError, match=message):
            certify(net, claim)
        with pytest.raises(HypothesisError, match=message):
            region_bound(net)
    deep = network((2, *(30,) * 120, 1), 0)
    with pytest.raises(HypothesisError, match="1e308"):
        region_bound(deep)
    with pytest.raises(DomainError, match="2 inputs"):
        region_bound(smooth, Box(0, 1))


def test_what_is_no_network():
    for call in (lambda: zaslavsky(0, 3), lambda: serra_upper(2, ()), lambda: montufar_upper(2, (3, -1))):
        with pytest.raises(DomainError, match="no network"):
            call()
    with pytest.raises(DomainError, match="one for each input"):
        montufar_lower(3, (2, 5))


@pytest.mark.parametrize(
    ("widths", "side", "seeds"), [((1, 9), 2, 60), ((1, 5, 5, 5), 2, 60), ((2, 10, 10), 2, 40), ((2, 7, 7, 7), 1, 40)]
)
def test_expected_regions(widths, side, seeds):
    """The mean over networks at random stays below, and by less than a factor of 6 above the part that N pays for."""
    inputs, neurons = widths[0], sum(widths[1:])
    box = Box([Fraction(-side, 2)] * inputs, [Fraction(side, 2)] * inputs)
    counts = [exact_cells(network((*widths, 1), seed), box).f_vector()[-1] for seed in range(seeds)]
    most = expected_regions(inputs, neurons, side)
    mean, error = np.mean(counts), np.std(counts) / sqrt(seeds)
    assert mean + 3 * error <= most <= 8 * mean


def test_expected_regions_in_closed_form():
    assert expected_regions(2, 10) == 111
    assert expected_regions(2, 0) == expected_regions(1, 0) == 1
    assert expected_regions(1, 6, 2, "1/2") == pytest.approx(1 + 6 * sqrt(2))
    # One neuron on a square: half the mean number of crossings of its sides, by quadrature over the direction.
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    radius = np.linspace(0, 8, 4001)[1:]
    weights = radius * np.exp(-(radius**2) / 2) * (radius[1] - radius[0])
    reach = np.minimum(1, np.outer(np.abs(np.cos(angles)) + np.abs(np.sin(angles)), radius))
    exact = 1 + float((reach @ weights).mean())  # P(|b| < the largest |w x| on the square)
    assert exact <= expected_regions(2, 1) == 3
    for inputs, neurons, side in ((3, 5, 2), (2, -1, 2), (2, 5, 0)):
        with pytest.raises(DomainError, match="1 or 2 inputs"):
            expected_regions(inputs, neurons, side)
