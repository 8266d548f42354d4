"""Rule `vertices`: exact distances, ranges and Lipschitz constants against other methods and against forgeries."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError, HypothesisError
from epsnet.certify.rounding import round_down, round_up
from epsnet.checker.kernel import check, check_certificate
from epsnet.core.cell_values import difference
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize, realize_exact
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.enclosure.distance import distance, ranges
from epsnet.enclosure.exact_values import exact_distance, exact_lipschitz, exact_ranges

F = Fraction


def quantized(widths, seed, step=4):
    random = np.random.default_rng(seed)
    layers = [
        (np.round(random.standard_normal((o, i)) * step) / step, np.round(random.uniform(-1, 1, o) * step) / step)
        for i, o in itertools.pairwise(widths)
    ]
    return Network.from_layers(layers)


def cube(dimension):
    return Box([-1] * dimension, [1] * dimension)


PAIRS = {
    "line": (quantized([1, 4, 3, 2], 0), quantized([1, 3, 2], 1)),
    "plane": (quantized([2, 5, 4, 1], 2), quantized([2, 5, 4, 1], 3)),
    "rounded": (quantized([2, 6, 6, 2], 4, 64), quantized([2, 6, 6, 2], 4, 8)),
    "space": (quantized([3, 4, 1], 5), quantized([3, 3, 3, 1], 6)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_distances(name):
    """Attained at a point, not exceeded at any of many, and inside of what branch and bound finds."""
    first, second = PAIRS[name]
    box = cube(first.inputs)
    found = exact_distance(first, second, box)
    report = check(found.solution)
    assert report.error.kind is Kind.VERIFIED
    assert found.lower.exact == found.upper.exact
    x = np.random.default_rng(0).uniform(-1, 1, (20_000, first.inputs))
    x = np.concatenate([x, found.point[None, :]])
    sizes = abs(realize(first, x).reshape(len(x), -1) - realize(second, x).reshape(len(x), -1)).max(axis=1)
    assert sizes.max() <= found.upper.value + 1e-12
    assert sizes[-1] == pytest.approx(found.lower.value, rel=1e-12)
    bracket = distance(first, second, box, gap=0.01)
    assert bracket.lower.value <= found.upper.exact
    assert found.lower.exact <= bracket.upper.value


def test_distance_of_hats():
    """max(x, 0) and max(x, 0) - max(x - 1/3, 0) differ by 2/3 at 1, whatever float64 has of 1/3."""
    one = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])])
    kinks = Layer(((0, Dense([[1.0], [1.0]])),), (F(0), F(-1, 3)), ("relu",))
    last = Layer(((1, Dense([[1.0, -1.0]])),), np.zeros(1), ("identity",))
    found = exact_distance(one, Network(1, (kinks, last)), Box(-1, 1))
    assert found.upper.exact == found.lower.exact == F(2, 3)
    assert found.point.tolist() == [1.0]
    check(found.solution)
    with pytest.raises(DomainError, match="differ"):
        exact_distance(one, quantized([1, 2, 2], 0), Box(-1, 1))
    with pytest.raises(HypothesisError, match="tanh"):
        exact_distance(one, Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])], "tanh"), Box(-1, 1))


@pytest.mark.parametrize("name", PAIRS)
def test_ranges(name):
    network = PAIRS[name][0]
    found, other = exact_ranges(network, cube(network.inputs)), ranges(network, cube(network.inputs))
    check(found.statements)
    for own, bracket in zip((*found.minima, *found.maxima), (*other.minima, *other.maxima), strict=True):
        assert bracket.lower.value <= own.upper.exact == own.lower.exact <= bracket.upper.value
        point = [F(x) for x in own.point.tolist()]
        assert float(own.upper.exact) in [pytest.approx(float(y), abs=1e-12) for y in realize_exact(network, point)]


def test_lipschitz_by_hand():
    """|3x| - |4y| has the gradients (+-3, +-4): 7 in the sup norm, 5 in the Euclidean one."""
    kinks = [[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0], [0.0, -4.0]]
    network = Network.from_layers([(kinks, np.zeros(4)), ([[1.0, 1.0, -1.0, -1.0]], [0.0])])
    for norm, value in (("sup", 7), ("L2", 5)):
        lower, upper, certificate = exact_lipschitz(network, cube(2), norm)
        assert lower.exact == upper.exact == value
        check_certificate(network, certificate)
    lower, upper, _ = exact_lipschitz(Network.from_layers([([[1.0, 1.0]], [0.0])]), cube(2), "L2")
    assert lower.exact**2 < 2 < upper.exact**2
    assert upper.exact - lower.exact == F(1, 2**100)
    with pytest.raises(HypothesisError, match="one output"):
        exact_lipschitz(quantized([2, 3, 2], 0), cube(2), "L2")


@pytest.mark.parametrize("name", PAIRS)
def test_lipschitz_against_slopes(name):
    """No slope of many pairs of close points is larger, and one comes close."""
    network = PAIRS[name][0]
    lower, upper, certificate = exact_lipschitz(network, cube(network.inputs))
    check_certificate(network, certificate)
    random = np.random.default_rng(1)
    x = random.uniform(-1, 1, (40_000, network.inputs))
    steps = 2.0**-20 * np.array(list(itertools.product((-1, 1), repeat=network.inputs)))
    slopes = [
        abs(realize(network, x + step).reshape(len(x), -1) - realize(network, x).reshape(len(x), -1)).max() * 2**20
        for step in steps
    ]
    assert max(slopes) <= upper.value + 1e-8
    assert max(slopes) >= lower.value - 1e-8


def test_a_thousand_forgeries():
    random = np.random.default_rng(3)
    first, second = PAIRS["plane"]
    box = cube(2)
    found, both, steep = exact_distance(first, second, box), exact_ranges(first, box), exact_lipschitz(first, box)
    (top,), (bottom,) = both.maxima, both.minima
    bounds = [found.upper, top.upper, top.lower, bottom.upper, bottom.lower, *steep[:2]]
    (joint,), (own,) = (c.witnesses.values() for c in (found.solution.certificate, both.statements.certificate))
    arrays = [joint, *[own] * 6]
    accepted = 0
    for number in range(1000):
        place = number % len(bounds)
        claim, witness, network = bounds[place], dict(arrays[place]), first
        kind = number // len(bounds) % 3
        if kind == 0:  # a little too much
            shift = claim.exact * F(2.0 ** -int(random.integers(1, 60))) or F(1)
            value = claim.exact + (-abs(shift) if claim.sense == "<=" else abs(shift))
            claim = replace(claim, exact=value, value=round_up(value) if claim.sense == "<=" else round_down(value))
        elif kind == 1:  # another list of cells
            name = ("points", "sizes", "faces")[random.integers(3)]
            values = witness[name].copy()
            place = random.integers(len(values))
            values[place] = random.integers(48, 58) if name == "points" else values[place] + random.choice([-1, 1])
            if (values == witness[name]).all():
                values = values[:-1]
            witness[name] = values
        else:  # another network
            layers = [[np.array(layer.terms[0][1].weight), np.array(layer.bias)] for layer in first.layers]
            layers[0][0][tuple(random.integers(n) for n in layers[0][0].shape)] += random.choice([-0.3, 0.3])
            network = Network.from_layers(layers)
            claim = replace(claim, network=network.sha256)
        certificate = Certificate.of((claim,), ((claim, witness),))
        try:
            if claim.quantity == "error":
                bits, target = 8 * len(network_bytes(network)), NetworkTarget(second, box)
                check(Solution(network, target, claim, bits, certificate))
            else:
                check_certificate(network, certificate)
            accepted += 1
        except CheckError:
            pass
    assert accepted == 0


def test_forms_of_claims():
    network, box = PAIRS["plane"][0], cube(2)
    found = exact_ranges(network, box)
    claim, (witness,) = found.maxima[0].upper, found.statements.certificate.witnesses.values()
    for changes in (
        {"quantity": "maximum of output 1"}, {"quantity": "maximum of output 00"}, {"quantity": "maximum"},
        {"quantity": "minimum of output 0", "sense": ">="},
        {"sense": ">=", "exact": claim.exact + 1, "value": claim.value + 1},
        {"sense": "==", "exact": None}, {"norm": "sup"}, {"domain": None}, {"domain": Box([-1, -1], [1, 2])},
        {"quantity": "lipschitz", "theorem": "cell-gradients"}, {"quantity": "error"}, {"kind": Kind.PROVED},
        {"theorem": "cell-gradients"}, {"arithmetic": "float64"}, {"eps": F(1)}, {"hypotheses": ()},
        {"quantity": "lipschitz", "theorem": "cell-gradients", "norm": "sup", "exact": F(-1), "value": -1.0},
    ):  # fmt: skip
        forged = replace(claim, **changes)
        with pytest.raises(CheckError):
            check_certificate(network, Certificate.of((forged,), ((forged, witness),)))


def test_difference():
    first, second = PAIRS["line"]
    network = difference(first, second)
    for x in (F(-1), F(1, 3), F(5, 7)):
        pair = zip(realize_exact(first, [x]), realize_exact(second, [x]), strict=True)
        assert realize_exact(network, [x]) == tuple(a - b for a, b in pair)
