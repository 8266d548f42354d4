"""Rule `betti`: it accepts what is true and proved by its witness, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, EpsnetError, HypothesisError
from epsnet.certify.rounding import round_up
from epsnet.checker.kernel import check_certificate
from epsnet.core.calculus import postcompose_affine
from epsnet.core.cells import witness
from epsnet.core.network import Network
from epsnet.enclosure.subdivision import exact_cells
from epsnet.geometry.extremal import fold_map
from epsnet.geometry.topology import decision_region, persistence, shallow_betti_bound, topology

F = Fraction
SQUARE = Box([-1, -1], [1, 1])
PARTS = {"sub": "<=", "super": ">=", "level": "="}


def network(outputs=1):
    """Return a network none of whose neurons is stable on the square."""
    rng = np.random.default_rng(788)
    shapes = itertools.pairwise((2, 5, 4, outputs))
    return Network.from_layers([(rng.normal(size=(n, m)), rng.uniform(-1, 1, n)) for m, n in shapes])


@pytest.fixture(scope="module")
def truth():
    """For two levels and three sets, the text and the numbers."""
    found = {}
    for level, part in itertools.product(("0.25", "0.75"), PARTS):
        found |= {
            f"Betti number {k} of {{Phi {PARTS[part]} {level}}}": number
            for k, number in enumerate(topology(network(), SQUARE, level=level, part=part).numbers)
        }
    return found


def accepted(subject, bound, arrays):
    try:
        check_certificate(subject, Certificate.of((bound,), ((bound, arrays),)))
    except CheckError:
        return False
    return True


def honest(level="0.25", part="level"):
    found = topology(network(), SQUARE, level=level, part=part)
    return found.betti, dict(next(iter(found.certificate.witnesses.values())))


def test_accepts_every_set_and_region(truth):
    assert len(set(truth.values())) >= 3  # else claims that are exchanged might be true
    for level, part in itertools.product(("0.25", "0.75"), PARTS):
        found = topology(network(), SQUARE, level=level, part=part)
        assert check_certificate(network(), found.certificate) == found.betti
    for output in range(4):
        found = decision_region(network(4), SQUARE, output)
        assert check_certificate(network(4), found.certificate) == found.betti


def test_one_witness_serves_the_three_sets_of_its_level_only(truth):
    (bound, *_), arrays = honest()
    for quantity, number in truth.items():
        claim = replace(bound, quantity=quantity, value=float(number), exact=F(number))
        assert accepted(network(), claim, arrays) == ("0.25" in quantity)


def test_a_thousand_forgeries(truth):
    generator = np.random.Generator(np.random.Philox(0))
    bounds, arrays = honest()
    count = 0
    for number in range(1000):
        bound, changed, subject = bounds[number % 2], dict(arrays), network()
        match number % 5:
            case 0:
                quantity, value = list(truth)[generator.integers(len(truth))], int(generator.integers(6))
                if truth[quantity] == value:
                    value += 1
                bound = replace(bound, quantity=quantity, value=float(value), exact=F(value))
            case 1:
                changed = with_another_number(changed, generator)
            case 2:
                changed = without_a_cell(changed, generator)
            case 3:
                layers = [(layer.terms[0][1].weight.copy(), np.array(layer.bias)) for layer in subject.layers]
                matrix = layers[generator.integers(3)][generator.integers(2)]
                matrix[tuple(generator.integers(n) for n in matrix.shape)] *= 1 + 2.0 ** -generator.integers(1, 50)
                subject = Network.from_layers(layers)
                bound = replace(bound, network=subject.sha256)
            case _:
                ends = [list(SQUARE.lower), list(SQUARE.upper)]
                ends[generator.integers(2)][generator.integers(2)] += F(1, int(generator.integers(2, 1000)))
                bound = replace(bound, domain=Box(*ends))
        count += accepted(subject, bound, changed)
    assert count == 0


def test_forgeries_for_a_degenerate_network():
    """Waves of three coordinates: peaks and valleys lie where many neurons are 0."""
    generator = np.random.Generator(np.random.Philox(1))
    peaks, box = postcompose_affine([[1, 1, 1]], [0], fold_map(3, (6, 6))), Box([0] * 3, [1] * 3)
    found = topology(peaks, box, level="5/2", part="sub")
    assert found.numbers == (1, 0, 8)
    arrays = next(iter(found.certificate.witnesses.values()))
    assert all(accepted(peaks, bound, arrays) for bound in found.betti)
    forged = (with_another_number(dict(arrays), generator) for _ in range(150))
    assert sum(accepted(peaks, found.betti[2], changed) for changed in forged) == 0


def with_another_number(arrays, generator):
    """Change one digit of a vertex, or one number of the lists of cells."""
    name = list(arrays)[generator.integers(4)]
    array = arrays[name].copy()
    place = generator.integers(len(array))
    old = array[place]
    while array[place] == old:
        array[place] = generator.integers(48, 58) if name == "points" else generator.integers(-1, 90)
    return {**arrays, name: array}


def without_a_cell(arrays, generator):
    """Leave out a cell of dimension 1 or 2, with all mentions of it, or the last vertex."""
    counts, sizes, faces = (arrays[name].tolist() for name in ("counts", "sizes", "faces"))
    lists = [[faces.pop(0) for _ in range(size)] for size in sizes]
    edges, polygons = lists[: counts[0]], lists[counts[0] :]
    match generator.integers(3):
        case 0:
            polygons.pop(generator.integers(len(polygons)))
        case 1:
            gone = generator.integers(len(edges))
            edges.pop(gone)
            polygons = [[e - (e > gone) for e in own if e != gone] for own in polygons]
        case _:
            points = arrays["points"].tobytes().decode().splitlines()[:-1]
            arrays["points"] = np.frombuffer("\n".join(points).encode(), dtype=np.int8)
    lists = [*edges, *polygons]
    return {
        "points": arrays["points"],
        "counts": np.array([len(edges), len(polygons)]),
        "sizes": np.array([len(own) for own in lists]),
        "faces": np.array([face for own in lists for face in own]),
    }


def test_refuses_other_forms():
    (bound, *_), arrays = honest()
    value = int(bound.value)
    for changes in (
        {"sense": "<="},
        {"sense": ">="},
        {"arithmetic": "float64"},
        {"norm": "sup"},
        {"measure": "Lebesgue"},
        {"eps": F(1, 2)},
        {"network": None},
        {"domain": None},
        {"domain": Box(-1, 1)},
        {"kind": Kind.VERIFIED, "hypotheses": ()},
        {"theorem": "triangle"},
        {"rule": "exact"},
        {"value": value + 0.5, "exact": F(2 * value + 1, 2)},
        *(
            {"quantity": f"Betti number {text}"}
            for text in (
                "2 of {Phi = 0.25}",
                "9 of {Phi = 0.25}",
                "-1 of {Phi = 0.25}",
                "00 of {Phi = 0.25}",
                "0 of {Phi = 1/4}",
                "0 of {Phi = 0.250}",
                "0 of {Phi = .25}",
                "0 of {Phi = 0.25 }",
                "0 of {Phi == 0.25}",
                "0 of {Phi = nan}",
                "0 of {Phi = 1/0}",
                "0 of {Phi = " + "9" * 9999 + "}",
                "0 of {Phi = 1e999}",
                "0 of {Phi_j <= Phi_0 for all j}",
                "0 of {Phi_j <= Phi_1 for all j}",
                "0 of {Phi_j <= Phi_01 for all j}",
                "\u0660 of {Phi = 0.25}",
            )
        ),
    ):
        assert not accepted(network(), replace(bound, **changes), arrays)
    assert accepted(network(), bound, arrays)


def test_the_witness_of_other_cells_is_refused():
    """Not cut at the level, or cut where another class decides."""
    bounds, _ = honest()
    assert not accepted(network(), bounds[0], witness(exact_cells(network(), SQUARE)))
    regions = [decision_region(network(4), SQUARE, output) for output in range(4)]
    for one, other in itertools.permutations(regions, 2):
        arrays = next(iter(other.certificate.witnesses.values()))
        assert not accepted(network(4), one.betti[0], arrays)


def test_one_hidden_layer():
    """The bound is accepted from the closed form upward, and for no other network."""
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(7, 2)), rng.normal(size=7)), (rng.normal(size=(1, 7)), [0.5])]
    for activation in ("relu", "leaky_relu(0.25)"):
        shallow = Network.from_layers(layers, activation)
        bound = shallow_betti_bound(shallow, SQUARE)
        assert bound.limit == 4 + 4 * 7 + 21
        for value, fits in ((53, True), (54, True), (52, False), (0, False)):
            claim = replace(bound, value=float(value), exact=F(value))
            assert accepted(shallow, claim, {}) == fits
        for changes in (
            {"sense": "=="},
            {"sense": ">="},
            {"domain": None},
            {"domain": Box(-1, 1)},
            {"quantity": "sum of Betti numbers of {Phi = t} for every t"},
            {"norm": "sup"},
            {"theorem": "cellular-homology"},
            {"network": None},
        ):
            assert not accepted(shallow, replace(bound, **changes), {})
    for other in (
        network(),
        Network.from_layers([*layers[:1], (np.ones((2, 7)), [0, 0])]),
        Network.from_layers(layers, "tanh"),
        Network.from_layers(layers, output="relu"),
        Network.from_layers([(np.ones((1, 2)), [0])]),
    ):
        assert not accepted(other, replace(bound, network=other.sha256, value=1e9, exact=None), {})
        with pytest.raises(HypothesisError):
            shallow_betti_bound(other, SQUARE)


def test_a_thousand_bounds_that_are_too_small():
    rng = np.random.default_rng(2)
    known = [(n, d) for n in range(1, 9) for d in (1, 2, 3)]
    networks = [Network.from_layers([(rng.normal(size=(n, d)), np.ones(n)), (np.ones((1, n)), [0])]) for n, d in known]
    count = 0
    for number in range(1000):
        shallow, (n, d) = networks[number % len(known)], known[number % len(known)]
        honest = shallow_betti_bound(shallow, Box([-1] * d, [1] * d))
        assert honest.limit == sum(2 ** (d - k) * comb(d, k) * comb(n, k) for k in range(d + 1))
        low = honest.limit - F(int(rng.integers(1, 100)), 10)
        count += accepted(shallow, replace(honest, value=round_up(low), exact=low), {})
    assert count == 0


def test_the_sums_of_random_shallow_networks_are_below_the_bound():
    """At every level: persistent homology has them all."""
    for seed, inputs in itertools.product(range(5), (1, 2, 3)):
        rng = np.random.default_rng(seed)
        n = 9 - inputs
        shallow = Network.from_layers(
            [(rng.normal(size=(n, inputs)), rng.normal(size=n) / 2), (rng.normal(size=(1, n)), [0.0])]
        )
        box = Box([-1] * inputs, [1] * inputs)
        intervals = [interval for own in persistence(shallow, box) for interval in own]
        largest = max(sum(b <= t and (d is None or t < d) for b, d in intervals) for t, _ in intervals)
        assert largest <= shallow_betti_bound(shallow, box).limit


def test_several_outputs_have_no_level():
    bounds, arrays = honest()
    many = network(4)
    assert not accepted(many, replace(bounds[0], network=many.sha256), arrays)
    with pytest.raises(EpsnetError):
        topology(many, SQUARE)
