"""Rule `universal` in two variables: models of the activation, a thousand forgeries, hostile networks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq

from epsnet.approximation.euaf import euaf_network
from epsnet.approximation.universal import UniversalNetwork
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check
from epsnet.core.box_forms import box_form, euaf_model
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.core.universal_activation import euaf

F = Fraction
SQUARE = Box([0, 0], [1, 1])
PRODUCT = Target("x*y", SQUARE)
GRID = np.stack(np.meshgrid(*[np.linspace(0, 1, 61)] * 2), axis=-1).reshape(-1, 2)


def activation(x):
    return np.where(x < 0, x / (1 + np.abs(x)), np.abs(x - 2 * np.floor((x + 1) / 2)))


def values(network, points):
    """In float64 from the definition: the weights of the networks here have few digits."""
    y = points
    for layer in network.layers:
        matrix = np.zeros((layer.outputs, y.shape[1]))
        for i, j, value in zip(*layer.terms[0][1].entries(), strict=True):
            matrix[i, j] = float(value)
        y = y @ matrix.T + np.array([float(b) for b in layer.bias_values()])
        y = activation(y) if layer.activations == ("euaf",) else y
    return y[:, 0]


def sampled_error(network):
    return float(np.abs(values(network, GRID) - GRID[:, 0] * GRID[:, 1]).max())


@pytest.fixture(scope="module")
def found():
    return euaf_network(PRODUCT, F("0.4"))


def solution(found, network=None, witness=None, **changes):
    network = network or found.network
    error = replace(found.error, network=network.sha256, **changes)
    certificate = Certificate.of((error,), ((error, {**found.witness, **(witness or {})}),))
    return Solution(network, PRODUCT, error, 8 * len(network_bytes(network)), certificate)


def accepted(forged):
    try:
        check(forged)
    except CheckError:
        return False
    return True


def tampered(network, generator):
    number = int(generator.integers(len(network.layers)))
    layers = list(network.layers)
    layer, linear = layers[number], layers[number].terms[0][1]
    entries = {(int(i), int(j)): F(v) for i, j, v in zip(*linear.entries(), strict=True)}
    bias, names = [F(b) for b in layer.bias_values()], layer.activations
    kind = generator.integers(3)
    change = F(int(generator.integers(1, 100)) * int(generator.choice([-1, 1])), int(generator.integers(1, 50)))
    if kind == 0:
        place = list(entries)[generator.integers(len(entries))]
        entries[place] = entries[place] + change if generator.random() < 0.5 else entries[place] * (1 + change / 100)
    elif kind == 1:
        bias[generator.integers(len(bias))] += change
    else:
        names = (str(generator.choice(["identity", "euaf"])),)
    layers[number] = Layer(((number, linear_map(linear.shape, entries)),), bias_vector(bias), names)
    return Network(2, tuple(layers))


def test_the_model_holds_on_its_range():
    """Exact between integers; everywhere f - m z - b stays within r, at rational points with the definition."""
    generator = np.random.Generator(np.random.Philox(5))
    for _ in range(300):
        ends = sorted(F(int(k), 12) for k in generator.integers(-40, 60, 2))
        slope, intercept, radius = (
            F(int(v.p), int(v.q)) for v in euaf_model(*(fmpq(e.numerator, e.denominator) for e in ends))
        )
        places = [ends[0] + (ends[1] - ends[0]) * F(k, 48) for k in range(49)]
        gaps = [euaf(z) - slope * z - intercept for z in places]
        assert max(map(abs, gaps)) <= radius
        if ends[0] >= 0 and ends[1] <= ends[0] // 1 + 1:
            assert radius == 0
        if ends[0] >= 0 and ends[1] <= ends[0] // 1 + 2:  # no larger than it has to be
            assert radius == (max(gaps) - min(gaps)) / 2 or (ends[0] // 1 + 1) not in places


def test_the_form_holds_on_boxes(found):
    generator = np.random.Generator(np.random.Philox(6))
    for _ in range(40):
        corner, sides = generator.integers(0, 200, 2), generator.integers(1, 56, 2)
        lower = [F(int(k), 256) for k in corner]
        upper = [a + F(int(k), 256) for a, k in zip(lower, sides, strict=True)]
        form = box_form(found.network, lower, upper)
        points = generator.uniform(np.array(lower, dtype=float), np.array(upper, dtype=float), (200, 2))
        affine = float(form.value) + points @ np.array([float(slope) for slope in form.slopes])
        assert np.abs(values(found.network, points) - affine).max() <= float(form.remainder) + 1e-9


def test_honest_claims_are_accepted(found):
    check(solution(found))
    assert sampled_error(found.network) <= found.error.value


def test_a_thousand_forgeries(found):
    generator = np.random.Generator(np.random.Philox(12))
    truth, tree = sampled_error(found.network), found.witness
    made = wrong = 0
    while made < 1000:
        kind = made % 3
        if kind == 0:
            forged = solution(found, value=truth * (1 - 10.0 ** generator.uniform(-4, 0)))
        elif kind == 1:
            keep = np.sort(generator.permutation(len(tree["axis"]))[: generator.integers(1, len(tree["axis"]))])
            forged = solution(found, witness={"axis": tree["axis"][keep], "split": tree["split"][keep]})
        else:
            network = tampered(found.network, generator)
            if not sampled_error(network) > found.error.value + 1e-6:
                continue
            forged = solution(found, network=network)
        made += 1
        wrong += accepted(forged)
    assert wrong == 0


def claim(network, target=PRODUCT, value=0.5):
    error = Bound(
        quantity="error", sense="<=", value=value, norm="sup", domain=target.domain, kind=Kind.VERIFIED,
        theorem="exact-forms", rule="universal", hypotheses=(f"1 cells cover {target.domain}",),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return UniversalNetwork(network, error, {"axis": np.array([-1]), "split": np.array([0.0])}, 0)


def neuron(weights, bias, activation, outputs=1, depth=1):
    inputs = len(weights)
    layers = [
        Layer(((0, linear_map((1, inputs), {(0, j): F(w) for j, w in enumerate(weights)})),), bias_vector([F(bias)]),
              (activation,))
    ]  # fmt: skip
    layers += [
        Layer(((k, linear_map((1, 1), {(0, 0): F(weights[0])})),), bias_vector([F(bias)]), (activation,))
        for k in range(1, depth)
    ]
    last = linear_map((outputs, 1), {(i, 0): F(1) for i in range(outputs)})
    return Network(inputs, (*layers, Layer(((depth, last),), bias_vector([F(0)] * outputs), ("identity",))))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (neuron([1, 1], 4, "tanh"), "no model"),
        (neuron([1, 1], 4, "sigma-codec"), "no model"),
        (neuron([1], 0, "euaf"), "inputs"),
        (neuron([1, 1, 1], 0, "euaf"), "inputs"),
        (neuron([1, 1], 0, "euaf", outputs=2), "one output|not"),
        (neuron([F(1, 3**2700), F(1, 3**2700)], 0, "euaf", depth=8), "too long"),
        (neuron([2**3000, 2**3000], 0, "euaf"), "only known"),
    ],
    ids=["tanh", "sigma", "one input", "three inputs", "two outputs", "long", "steep"],
)
def test_networks_outside_the_theorem(network, message):
    with pytest.raises(CheckError, match=message):
        check(solution(claim(network)))


def test_the_bound_is_sharp():
    """tri(x + y) = x + y for x + y <= 1: |x - y - (x + y)| <= 1 on [0, 1/2]^2, and no less."""
    target = Target("x - y", Box([0, 0], [F(1, 2), F(1, 2)]))
    network = neuron([1, 1], 0, "euaf")
    honest = claim(network, target, 1.0)

    def stated(value):
        error = replace(honest.error, value=value)
        certificate = Certificate.of((error,), ((error, honest.witness),))
        return Solution(network, target, error, 8 * len(network_bytes(network)), certificate)

    assert accepted(stated(1 + 2.0**-20)) and not accepted(stated(1 - 2.0**-20))
