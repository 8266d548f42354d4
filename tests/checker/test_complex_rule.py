"""Rule `complex` against linear programs, another algorithm, and a thousand forgeries."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import comb

import numpy as np
import pytest
from scipy.optimize import linprog

from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, EpsnetError
from epsnet.checker.kernel import check_certificate
from epsnet.core.complex import vertex_list
from epsnet.core.linear_maps import Dense, Exact, Sparse
from epsnet.core.linear_regions import linear_regions
from epsnet.core.network import Layer, Network
from epsnet.enclosure.complex import polyhedral_complex
from epsnet.enclosure.complex_certificate import certify_complex
from epsnet.enclosure.subdivision import exact_cells

F = Fraction


def random_network(widths, seed, activation="relu"):
    generator = np.random.Generator(np.random.Philox(seed))
    layers = [(generator.normal(size=(o, i)), generator.normal(size=o)) for i, o in pairwise(widths)]
    return Network.from_layers(layers, activation=activation)


def skipping(seed):
    """Two hidden layers that both read the input, with leaky and absolute values, and two outputs."""
    generator = np.random.Generator(np.random.Philox(seed))
    first = Layer(
        ((0, Dense(generator.normal(size=(4, 2)))),), generator.normal(size=4), ("relu", "abs", "identity", "relu")
    )
    terms = ((1, Dense(generator.normal(size=(3, 4)))), (0, Dense(generator.normal(size=(3, 2)))))
    second = Layer(terms, generator.normal(size=3), ("leaky_relu(0.2)",))
    return Network(2, (first, second, Layer(((2, Dense(generator.normal(size=(2, 3)))),), np.zeros(2))))


def square(dimension, half=1):
    return Box([-half] * dimension, [half] * dimension)


@pytest.fixture(scope="module")
def found():
    network = random_network([2, 6, 5, 1], 3)
    return certify_complex(network, square(2))


def witness(found):
    (arrays,) = found.certificate.witnesses.values()
    return arrays


def attempt(network, claim, arrays):
    """Tell whether the checker accepts a claim about this network, all hashes rebuilt."""
    claim = replace(claim, network=network.sha256)
    try:
        check_certificate(network, Certificate.of((claim,), ((claim, arrays),)))
    except CheckError:
        return False
    return True


def state(claim, count, **fields):
    return replace(claim, value=float(count), exact=F(count), **fields)


def regions_by_linear_programs(network, box):
    """Count full-dimensional cells neuron after neuron: is there a point where all chosen signs are strict?"""
    count, dimension = 0, network.inputs

    def inside(rows, offsets):
        # Maximize t <= 1 with rows x + offsets >= t.
        matrix = np.hstack([-np.array(rows), np.ones((len(rows), 1))]) if rows else None
        bounds = (
            [(None, None)] * dimension
            if box is None
            else [(float(a), float(b)) for a, b in zip(box.lower, box.upper, strict=True)]
        )
        result = linprog([0.0] * dimension + [-1.0], A_ub=matrix, b_ub=offsets or None, bounds=[*bounds, (None, 1.0)])
        return result.status == 0 and -result.fun > 1e-9

    def descend(layer, rows, offsets, outputs):
        nonlocal count
        if layer == len(network.layers):
            count += 1
            return
        own = network.layers[layer]
        matrix = sum(linear.weight @ outputs[source][0] for source, linear in own.terms)
        vector = sum(linear.weight @ outputs[source][1] for source, linear in own.terms) + own.bias
        neurons(layer, 0, rows, offsets, matrix, vector, [], outputs)

    def neurons(layer, index, rows, offsets, matrix, vector, slopes, outputs):
        functions = network.layers[layer].functions()
        if index == len(functions):
            factors = np.array(slopes)
            return descend(layer + 1, rows, offsets, [*outputs, (factors[:, None] * matrix, factors * vector)])
        left, right = map(float, functions[index].slopes)
        if left == right:
            return neurons(layer, index + 1, rows, offsets, matrix, vector, [*slopes, left], outputs)
        for sign, slope in ((1, right), (-1, left)):
            more = [*rows, sign * matrix[index]], [*offsets, sign * vector[index]]
            if inside(*more):
                neurons(layer, index + 1, *more, matrix, vector, [*slopes, slope], outputs)
        return None

    descend(0, [], [], [(np.eye(dimension), np.zeros(dimension))])
    return count


CASES = [
    ("1 5 4", lambda: random_network([1, 5, 4, 1], 0)),
    ("2 5 4", lambda: random_network([2, 5, 4, 1], 1)),
    ("2 4 abs", lambda: random_network([2, 4, 3, 1], 2, "abs")),
    ("2 3 3 leaky", lambda: random_network([2, 3, 3, 2, 1], 4, "leaky_relu(0.25)")),
    ("3 4 3", lambda: random_network([3, 4, 3, 1], 5)),
    ("skips", lambda: skipping(6)),
]


@pytest.mark.parametrize(("name", "build"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.parametrize("bounded", [True, False], ids=["box", "everywhere"])
def test_regions_by_linear_programs(name, build, bounded):
    network = build()
    box = square(network.inputs) if bounded else None
    found = certify_complex(network, box)
    check_certificate(network, found.certificate)
    assert found.regions.value == regions_by_linear_programs(network, box)
    euler = sum((-1) ** k * count for k, count in enumerate(found.f_vector()))
    assert euler == (1 if bounded else (-1) ** network.inputs)


@pytest.mark.parametrize(("name", "build"), CASES, ids=[name for name, _ in CASES])
def test_all_dimensions_by_subdivision(name, build):
    network = build()
    box = Box([F(-4, 3)] * network.inputs, [1] * network.inputs)
    found, cells = certify_complex(network, box), exact_cells(network, box)
    assert found.f_vector() == cells.f_vector()
    assert found.linear.value == linear_regions(network, box, cells)
    assert found.linear in check_certificate(network, found.certificate)


def test_linear_regions():
    """max(x+ - 1000 (y - 0.1)+ - 5, 0): where the second layer is off, the first one bends unseen."""
    network = Network.from_layers([(np.eye(2), [0.0, -0.1]), ([[1.0, -1000.0]], [-5.0]), ([[1.0], [2.0]], [0.0, 1.0])])
    for domain, regions, linear in ((square(2), 4, 1), (square(2, 8), 6, 3), (None, 6, 3)):
        found = certify_complex(network, domain)
        assert (found.regions.value, found.linear.value) == (regions, linear)
        check_certificate(network, found.certificate)
        arrays = witness(found)
        for count in {1, 2, 3, 4, 5, 6} - {linear}:
            assert not attempt(network, state(found.linear, count), arrays)


@pytest.mark.parametrize(("dimension", "neurons"), [(1, 7), (2, 6), (3, 5), (4, 6)])
def test_one_layer_by_zaslavsky(dimension, neurons):
    """The k-cells of n hyperplanes in general position: all flats of dimension k, cut by the others."""
    network = random_network([dimension, neurons, 1], 9)
    found = certify_complex(network)
    for k, count in enumerate(found.f_vector()):
        cuts = neurons - dimension + k
        assert count == comb(neurons, dimension - k) * sum(comb(cuts, j) for j in range(k + 1))
    assert check_certificate(network, found.certificate)


def test_rational_weights():
    entries = {(0, 0): F(1, 3), (0, 1): F(1, 7), (1, 0): F(-2, 5), (1, 1): F(1, 11), (2, 1): F(1)}
    first = Layer(((0, Exact((3, 2), entries)),), (F(1, 13), F(1, 17), F(-1, 3)))
    network = Network(2, (first, Layer(((1, Dense(np.ones((1, 3)))),), (F(-1, 2),))))
    box = Box([F(-10, 3), -1], [1, F(22, 7)])
    found = certify_complex(network, box)
    assert len(check_certificate(network, found.certificate)) == 5
    assert found.f_vector() == exact_cells(network, box).f_vector()


def test_an_order_of_vertices_does_not_matter(found):
    arrays = witness(found)
    rows = arrays["signs"].reshape(int(found.cells[0].value), -1)
    assert attempt(found.network, found.regions, {"signs": rows[::-1].ravel().copy()})
    assert attempt(
        found.network, found.cells[1], {"signs": np.random.Generator(np.random.Philox(1)).permutation(rows).ravel()}
    )


def forged(generator, kind, found, rows):
    """Return a network, a false claim and a witness."""
    network, claim, rows = found.network, found.regions, rows.copy()
    vertex, other = generator.choice(len(rows), 2, replace=False)
    column = generator.integers(rows.shape[1])
    if kind == 0:  # vertices left out
        rows = np.delete(rows, generator.choice(len(rows), generator.integers(1, 4), replace=False), axis=0)
    elif kind == 1:  # another sign
        rows[vertex, column] = generator.choice([sign for sign in (-1, 0, 1) if sign != rows[vertex, column]])
    elif kind == 2:  # a vertex listed twice, or instead of another one, or all of them twice
        more = rows if generator.random() < 0.2 else rows[[vertex]]
        rows = np.concatenate([rows, more])
        if generator.random() < 0.5:
            rows = np.delete(rows, other, axis=0)
    elif kind == 3:  # signs exchanged, in one vertex or in all
        there = generator.choice(np.flatnonzero(rows[vertex] != rows[vertex, column]))
        chosen = [vertex] if generator.random() < 0.5 else range(len(rows))
        rows[np.ix_(chosen, [column, there])] = rows[np.ix_(chosen, [there, column])]
    elif kind == 4:  # the vertices of one side of a neuron
        column = generator.integers(4, rows.shape[1])
        kept = rows[rows[:, column] >= 0]
        rows = kept if 0 < len(kept) < len(rows) else rows[:-1]
    elif kind == 5:  # another box
        low = generator.uniform(-2, 0, 2)
        claim = replace(claim, domain=Box(low.tolist(), (low + generator.uniform(0.5, 3, 2)).tolist()))
    elif kind == 6:  # another network
        layers = [[np.array(layer.terms[0][1].weight), np.array(layer.bias)] for layer in network.layers]
        part = layers[generator.integers(2)][generator.integers(2)]
        part[tuple(generator.integers(n) for n in part.shape)] += generator.normal()
        network = Network.from_layers(layers)
    elif kind == 7:  # another count
        claims = (found.regions, found.linear, *found.cells)
        claim = claims[generator.integers(len(claims))]
        claim = state(claim, claim.value + generator.choice([-2, -1, 1, 2, 100]))
    elif kind == 8:  # another dimension
        claim = replace(claim, quantity=f"cells of dimension {generator.choice([0, 1, 3, 10])}")
    else:  # all of R^d
        claim = replace(
            claim,
            domain=None,
            hypotheses=(*claim.hypotheses, "every edge that leaves a box with all vertices inside is a ray"),
        )
        return network, claim, {"signs": rows.ravel(), "exponent": generator.integers(0, 5, 1)}
    return network, claim, {"signs": rows.ravel()}


def test_a_thousand_forgeries(found):
    generator = np.random.Generator(np.random.Philox(2))
    rows = witness(found)["signs"].reshape(int(found.cells[0].value), -1)
    tried = accepted = 0
    while tried < 1000:
        network, claim, arrays = forged(generator, tried % 10, found, rows)
        if tried % 10 in (5, 6):  # these may leave the number true
            try:
                if polyhedral_complex(network, claim.domain).f_vector()[-1] == claim.value:
                    continue
            except EpsnetError:
                continue
        tried += 1
        accepted += attempt(network, claim, arrays)
    assert accepted == 0


def close_to(network, size, seed):
    """Return the network with all its numbers moved a little."""
    generator = np.random.Generator(np.random.Philox(seed))
    layers = [
        (layer.terms[0][1].weight + size * generator.normal(size=layer.terms[0][1].shape),
         layer.bias + size * generator.normal(size=layer.outputs))
        for layer in network.layers
    ]  # fmt: skip
    return Network.from_layers(layers)


def relu(*layers):
    return Network.from_layers([*layers, ([[1.0] * len(layers[-1][1])], [0.0])])


DEGENERATE = {
    "three lines through a point": relu(([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0])),
    "a line through a corner": relu(([[1.0, -1.0], [1.0, 0.5]], [0.0, 0.25])),
    "two equal neurons": relu(([[1.0, 0.5], [1.0, 0.5], [0.0, 1.0]], [0.25, 0.25, 0.0])),
    "a neuron and its negative": relu(([[1.0, 0.5], [-2.0, -1.0]], [0.25, -0.5])),
    "a neuron that is 0": relu(([[1.0, 0.5], [0.0, 0.0]], [0.25, 0.0])),
    "a neuron that is 0 on half": relu(([[1.0, 0.5]], [0.25]), ([[1.0]], [0.0])),
    "a neuron that touches": relu(([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])),
    "a line along a side": relu(([[1.0, 0.0]], [1.0])),
    "bends through a bend": relu(([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5]), ([[1.0, -1.0], [2.0, -1.0]], [0.0, -0.25])),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_witnesses_of_neighbors_of_degenerate_networks(name):
    """The complex of a network nearby is closed and generic; its signs are not those of this network."""
    network, box = DEGENERATE[name], square(2)
    true = exact_cells(network, box).f_vector()
    accepted = tried = 0
    for seed in range(12):
        other = close_to(network, 10.0 ** -(2 + seed % 3), seed)
        try:
            neighbor = certify_complex(other, box)
        except EpsnetError:
            continue
        tried += 1
        accepted += sum(attempt(network, claim, witness(neighbor)) for claim in (neighbor.regions, *neighbor.cells))
        accepted += any(attempt(network, state(neighbor.regions, n), witness(neighbor)) for n in (true[-1], 1, 2, 3))
    assert tried > 3
    assert accepted == 0


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_lists_that_are_closed_by_repetition(found, size):
    """One vertex several times has every edge twice."""
    rows = witness(found)["signs"].reshape(int(found.cells[0].value), -1)
    for vertices in (rows[:1], rows[5:6], rows):
        arrays = {"signs": np.tile(vertices, (size, 1)).ravel()}
        for count in (0, 1, size, size * found.regions.value, found.regions.value):
            true = size == 1 and len(vertices) == len(rows) and count == found.regions.value
            assert attempt(found.network, state(found.regions, count), arrays) == true


def everywhere(network, exponent, count):
    """Return a claim about R^d with the vertices of a box that may be too small."""
    box = Box([-(2**exponent)] * network.inputs, [2**exponent] * network.inputs)
    claim = certify_complex(random_network([2, 3, 1], 0)).regions
    arrays = {"signs": polyhedral_complex(network, box).signs().ravel(), "exponent": np.array([exponent])}
    return state(claim, count), arrays


def test_a_box_has_to_hold_all_vertices():
    far = relu(([[1.0, 0.0], [0.0, 1.0], [1.0, 1 / 64]], [0.3, 0.2, 0.31]))  # two lines meet at y = -0.64
    near = relu(([[1.0, 0.0], [0.0, 1.0], [1.0, 1 / 64]], [0.3, 0.2, 1.31]))  # and here at y = -64.64
    for network, exponent, count in ((far, 0, 7), (near, 2, 6), (near, 5, 6), (near, 7, 7)):
        holds = attempt(network, *everywhere(network, exponent, count))
        assert holds == (count == 7), (exponent, count)
    assert certify_complex(near).regions.value == 7


def test_a_bent_line_that_comes_back():
    """Outside of the small box the second layer bends where the first layer does; inside it looks straight."""
    network = relu(([[1.0, 0.0], [0.0, 1.0]], [0.1, -20.0]), ([[1.0, -3.0]], [-0.7]))
    true = certify_complex(network).regions.value
    for exponent in range(8):
        for count in range(1, 12):
            claim, arrays = everywhere(network, exponent, count)
            assert attempt(network, claim, arrays) == (2**exponent > 20 and count == true)


def test_no_vertex_at_all():
    """Parallel lines, and fewer neurons than dimensions: the count would be right, but it is not proved."""
    for network in (relu(([[1.0, 2.0], [2.0, 4.0]], [0.3, 0.1])), relu(([[1.0, 2.0]], [0.3]))):
        claim, arrays = everywhere(network, 3, network.layers[0].outputs + 1)
        assert not attempt(network, claim, arrays)
        with pytest.raises(EpsnetError):
            certify_complex(network)


HOSTILE = {
    "missing": {},
    "empty": {"signs": np.zeros(0, np.int8)},
    "within a vertex": {"signs": np.ones(7, np.int8)},
    "int64": {"signs": np.ones(15)},
    "floats": {"signs": np.ones(30)},
    "zeros": {"signs": np.zeros(30_000_000, np.int8)},
    "ones": {"signs": np.ones(15_000_000, np.int8)},
    "minus": {"signs": np.full(15 * 10, -1, np.int8)},
    "large": {"signs": np.full(15 * 10, 77, np.int8)},
    "2d": {"signs": np.zeros((5, 15), np.int8)},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_signs(found, name):
    assert not attempt(found.network, found.regions, HOSTILE[name])


def test_hostile_claims(found):
    arrays = witness(found)
    texts = ["cells of dimension", "cells of dimension 3", "cells of dimension -1", "cells of dimension 02", "regions",
             "cells of dimension ²", "cells of dimension 99999999999", "pieces"]  # fmt: skip
    for quantity in texts:
        for count in found.f_vector():
            assert not attempt(found.network, state(found.regions, count, quantity=quantity), arrays)
    for fields in ({"sense": "<="}, {"sense": ">="}, {"norm": "sup"}, {"eps": F(1)}, {"measure": "x"},
                   {"arithmetic": "float64"}, {"assumptions": ("x",)}, {"hypotheses": ()}, {"delta": F(1, 2)},
                   {"domain": Box(0, 1)}, {"domain": square(3)}, {"theorem": "layer-product"}):  # fmt: skip
        assert not attempt(found.network, replace(found.regions, **fields), arrays)
    for exponent in ([], [1, 2], [-1], [901], [2**60], [1.0]):
        claim, honest = everywhere(found.network, 6, 30)
        assert not attempt(found.network, claim, honest | {"exponent": np.array(exponent)})
    claim, honest = everywhere(found.network, 6, 30)
    assert not attempt(found.network, claim, {"signs": honest["signs"]})


@pytest.mark.parametrize(
    "network",
    [
        Network.from_layers([([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0])], activation="tanh"),
        Network.from_layers([(np.ones((2, 40)), np.zeros(2)), (np.ones((1, 2)), [0.0])]),
        Network.from_layers([(np.eye(2) * (2.0**-1000 if i % 2 else 2.0**1000), np.zeros(2)) for i in range(200)]),
        Network(2, (Layer(((0, Exact((1, 2), {(0, 0): F(1, 3**8000), (0, 1): F(1, 5**5000)})),), (F(0),)),)),
        Network(2, (Layer(((0, Sparse((3000, 2), [0], [0], [1.0])),), np.zeros(3000)),
                    Layer(((1, Sparse((3000, 3000), [0], [0], [1.0])),), np.zeros(3000)))),
    ],
    ids=["tanh", "dimensions", "long", "fractions", "wide"],
)  # fmt: skip
def test_networks_that_are_refused(found, network):
    box = square(network.inputs)
    claim = replace(found.regions, domain=box)
    columns = 2 * network.inputs + sum(layer.outputs for layer in network.layers)
    for vertices in (1, 4):
        assert not attempt(network, claim, {"signs": np.zeros(vertices * columns, np.int8)})
    with pytest.raises(EpsnetError):
        vertex_list(network, box, np.ones(4 * columns, np.int8))
