"""Rule `reduction`: honest reductions and alignments hold, a thousand forgeries do not."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check
from epsnet.checker.rules.reduction import HYPOTHESIS
from epsnet.codec.quantize import quantize
from epsnet.compression.alignment import certified_distance
from epsnet.compression.exact import reduce_exactly
from epsnet.core.alignment import in_shape_of
from epsnet.core.linear_maps import Convolution
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize, realize_exact
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution

DOMAIN = Box([0, 0, 0], [1, 1, 1])


def network_of(seed, widths=(3, 6, 5, 2)):
    generator = np.random.default_rng(seed)
    return Network.from_layers([
        (generator.normal(size=(m, n)), generator.normal(size=m)) for n, m in pairwise(widths)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def reduction():
    return reduce_exactly(network_of(0), DOMAIN, boxes=4)


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(3).uniform(size=(500, 3))


@pytest.fixture(scope="module")
def aligned(reduction, points):
    phi = quantize(reduction.network, points, [0.02] * 3)
    return certified_distance(phi, reduction, points, gap=1.0, boxes=20)


def rejected(solution):
    try:
        check(solution)
    except CheckError:
        return True
    return False


def rebuilt(found, *, network=None, drop=(), arrays=None, **changes):
    """Return the solution with its first claim and witness changed and every hash right."""
    node = found.certificate.nodes[0]
    network = network or found.network
    claim = replace(node.claim, network=network.sha256, **changes)
    witness = {k: v for k, v in found.certificate.witnesses[node.witness].items() if k not in drop} | (arrays or {})
    certificate = Certificate.of((claim,), ((claim, witness),))
    return Solution(network, found.target, claim, 8 * len(network_bytes(network)), certificate)


def witness_of(found):
    return dict(found.certificate.witnesses[found.certificate.nodes[0].witness])


def claimed(network, log):
    """Return the claim that a log of steps leads from a network to itself, with every hash right."""
    target = NetworkTarget(network, Box([0] * network.inputs, [1] * network.inputs))
    claim = Bound(
        quantity="error", sense="<=", value=0.0, norm="sup", domain=target.domain, kind=Kind.PROVED,
        theorem="exact-reduction", rule="reduction", hypotheses=(HYPOTHESIS,), network=network.sha256,
        target=target.sha256,
    )  # fmt: skip
    witness = {"log": np.frombuffer(json.dumps(log).encode(), np.int8)}
    return Solution(
        network, target, claim, 8 * len(network_bytes(network)), Certificate.of((claim,), ((claim, witness),))
    )


def test_a_network_of_many_neurons_is_refused():
    padded = Convolution(np.ones((1, 1, 1, 1)), (1, 1, 1), padding=160)
    network = Network(1, (Layer(((0, padded),), [0.0]),))
    with pytest.raises(CheckError, match="too large"):
        check(claimed(network, [{"step": "dead", "layer": 1, "neuron": 0}]))


def test_a_product_of_many_layers_is_refused_before_its_weights_are_long():
    """Products of matrices whose exponents lie far apart: rationals of millions of bits, hours for three neurons."""
    generator = np.random.default_rng(0)
    layers = []
    for n, m in pairwise([1] + [3] * 299 + [1]):
        exponents = generator.choice([-1074.0, -54.0, 900.0], size=(m, n))
        layers.append((generator.integers(2**52, 2**53, (m, n)) * np.exp2(exponents), np.ones(m)))
    network = Network.from_layers(layers, activation="identity")
    log = [{"step": "substitute", "layer": number, "neurons": [0, 1, 2]} for number in range(1, 300)]
    with pytest.raises(CheckError, match="more than 14,000 bits"):
        check(claimed(network, log))


def test_honest_reduction(reduction, points):
    assert reduction.network.size.neurons < reduction.original.size.neurons
    report = check(reduction.solution)
    assert report.error is not None and report.error.value == 0 and report.error.kind is Kind.VERIFIED
    for point in points[:40].tolist():
        assert realize_exact(reduction.network, point) == realize_exact(reduction.original, point)


def test_honest_alignment(aligned, reduction):
    assert aligned.error.theorem == "aligned-relaxation"
    check(aligned)
    x = np.random.default_rng(4).uniform(size=(5000, 3))
    seen = np.abs(realize(aligned.network, x) - realize(reduction.original, x)).max()
    assert seen <= aligned.error.value < 4 * seen


def test_alignment_changes_nothing(aligned, reduction, points):
    witness = witness_of(aligned)
    counts = np.cumsum([layer.outputs for layer in aligned.network.layers[:-1]])[:-1]
    places, shifts = (np.split(witness[name], counts) for name in ("place", "shift"))
    wide = in_shape_of(aligned.network, reduction.network, places, shifts)
    assert [layer.outputs for layer in wide.layers] == [layer.outputs for layer in reduction.network.layers]
    for point in points[:20].tolist():
        assert realize_exact(wide, point) == realize_exact(aligned.network, point)


def mutated(network, random):
    layers = [(np.array(layer.terms[0][1].weight), np.array(layer.bias)) for layer in network.layers]
    matrix = layers[random.integers(len(layers))][random.integers(2)]
    place = tuple(random.integers(n) for n in matrix.shape)
    matrix[place] += random.choice([-1, 1]) * random.uniform(1e-3, 2)
    return Network.from_layers(layers)


def forged_reduction(reduction, random):
    found = reduction.solution
    log = json.loads(bytes(reduction.witness["log"].astype(np.uint8)))
    kind = random.integers(5)
    if kind == 0:
        return rebuilt(found, network=mutated(found.network, random))
    if kind == 1:
        log.pop(random.integers(len(log)))
    elif kind == 2:  # delete a neuron that is not 0
        alive = [(n, i) for n, layer in enumerate(reduction.original.layers[:-1], 1) for i in range(layer.outputs)]
        gone = {(step["layer"], step["neuron"]) for step in log if "neuron" in step}
        left = [node for node in alive if node not in gone]
        layer, neuron = left[random.integers(len(left))]
        log.insert(int(random.integers(len(log) + 1)), {"step": "inactive", "layer": layer, "neuron": neuron})
    elif kind == 3:
        step = log[random.integers(len(log))]
        step[["layer", "neuron", "step"][random.integers(3)]] = [99, -1, "dead", None, 0.5][random.integers(5)]
    else:
        return rebuilt(found, value=-float(10.0 ** random.uniform(-9, 0)), exact=None)
    return rebuilt(found, arrays={"log": np.frombuffer(json.dumps(log).encode(), np.int8)})


def forged_alignment(found, random):
    witness = witness_of(found)
    kind = random.integers(5)
    if kind == 0:
        return rebuilt(found, value=float(found.error.value * random.uniform(0, 0.5)), exact=None)
    if kind == 1:
        place = witness["place"].copy()
        place[random.integers(len(place))] = random.choice([-1, 10**6, place[0], place[1]])
        if np.array_equal(place, witness["place"]):
            place[0] = place[1]
        return rebuilt(found, arrays={"place": place})
    if kind == 2:
        shift = witness["shift"].copy()
        shift[random.integers(len(shift))] = random.choice([5000, -5000, 12, -12])
        # A wrong scale is exact all the same, but the neurons differ, so the claim has to be too small.
        return rebuilt(found, value=float(found.error.value * 0.5), exact=None, arrays={"shift": shift})
    if kind == 3:
        return rebuilt(found, drop=[str(random.choice(["place", "shift", "axis", "split", "log"]))])
    return rebuilt(found, network=mutated(found.network, random), value=found.error.value * 1e-3, exact=None)


def test_a_thousand_forgeries(reduction, aligned):
    random = np.random.default_rng(6)
    accepted = sum(not rejected(forged_reduction(reduction, random)) for _ in range(500))
    accepted += sum(not rejected(forged_alignment(aligned, random)) for _ in range(500))
    assert accepted == 0
    assert not rejected(rebuilt(reduction.solution)) and not rejected(rebuilt(aligned))


@pytest.mark.parametrize(
    "arrays",
    [
        {"log": np.array([200], dtype=np.int64)},
        {"log": np.frombuffer(b'{"a": 1}', np.int8)},
        {"log": np.frombuffer(b"[[[[", np.int8)},
        {"stable_axis": np.array([0, -1])},
        {"stable_axis": np.array([-1]), "stable_split": np.array([np.nan])},
        {"stable_axis": np.full(9, 7), "stable_split": np.zeros(9)},
    ],
    ids=["bytes", "no list", "no json", "torn tree", "nan", "axis"],
)
def test_hostile_witnesses(reduction, arrays):
    assert rejected(rebuilt(reduction.solution, arrays=arrays))


def test_a_box_outside_the_target_is_refused(reduction):
    assert rejected(rebuilt(reduction.solution, domain=Box([0] * 3, [2] * 3)))
