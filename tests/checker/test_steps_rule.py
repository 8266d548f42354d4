"""Rule `steps` against a thousand forgeries, with everything that depends on them rebuilt, and hostile networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

from epsnet.approximation.superposition import superposition_network
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize_ball
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.step_ranges import StepRanges, step_difference
from epsnet.core.target import Target
from epsnet.core.universal_activation import delta_code
from epsnet.enclosure.cover import bisect

F = Fraction
SQUARE = Box([0, 0], [1, 1])
PART = Box([0, 0], ["1/8", "1/4"])
TARGET, WHOLE = Target("x*y", PART), Target("x*y", SQUARE)


@dataclass(frozen=True)
class Found:
    network: Network
    error: Bound
    witness: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def found():
    """A network for the square, with a bound for a part of it in which some families have gaps: few cells."""
    whole = superposition_network(WHOLE, F(3, 10))
    ranges = StepRanges(whole.network)

    def enclose(lower, upper):
        low, high = step_difference(TARGET, ranges, lower, upper)
        return high.max(-low)

    ends = [F(float((F(k) + F(1, 2) + F(s, 128)) / 14)) for k in range(2) for s in (-7, 7)]
    value, tree = bisect(PART, enclose, F(3, 10), ends, [F(float(F(k, 14))) for k in range(1, 4)])
    leaves = int((tree["axis"] < 0).sum())
    claimed = replace(
        whole.error, value=value, domain=PART, target=TARGET.sha256, hypotheses=(f"{leaves} cells cover {PART}",)
    )
    return Found(whole.network, claimed, tree)


def places(count):
    """Points anywhere, and in the gaps of the first two families."""
    generator = np.random.Generator(np.random.Philox(2))
    yield from ((0.0, 0.0), (0.125, 0.25))
    for i in range(count):
        x, y = generator.uniform(size=2) * (0.125, 0.25)
        yield (0.5 + i % 2 + generator.uniform(-0.03, 0.03)) / 14 if i % 3 else x, y


def errors(network, count=60):
    """Yield lower bounds of |F - Phi| at some points; infinity where the definition of sigma gives no number."""
    previous, ctx.prec = ctx.prec, 300
    try:
        for x, y in places(count):
            error = abs(arb(x) * arb(y) - realize_ball(network, [arb(x), arb(y)])[0])
            yield float(error.lower())
    finally:
        ctx.prec = previous


def solution(found, network=None, witness=None, **changes):
    network = network or found.network
    error = replace(found.error, network=network.sha256, **changes)
    certificate = Certificate.of((error,), ((error, {**found.witness, **(witness or {})}),))
    return Solution(network, TARGET, error, 8 * len(network_bytes(network)), certificate)


def accepted(forged):
    try:
        check(forged)
    except CheckError:
        return False
    return True


def tampered(network, generator):
    """Change one weight or bias, or the activation of a layer."""
    number = int(generator.integers(len(network.layers)))
    layers = list(network.layers)
    layer, linear = layers[number], layers[number].terms[0][1]
    entries = {(int(i), int(j)): F(v) for i, j, v in zip(*linear.entries(), strict=True)}
    bias, names = [F(b) for b in layer.bias_values()], layer.activations
    change = F(int(generator.integers(1, 100)) * int(generator.choice([-1, 1])), int(generator.integers(1, 5)))
    kind = generator.integers(5)
    if kind < 2:
        place = list(entries)[generator.integers(len(entries))]
        entries[place] = entries[place] + change if kind else entries[place] * (1 + change / 100)
    elif kind < 4:
        bias[generator.integers(len(bias))] += change
    else:
        names = (str(generator.choice(["identity", "sigma-steps", "euaf", "sigma-codec", "relu", "tanh"])),)
    layers[number] = Layer(((number, linear_map(linear.shape, entries)),), bias_vector(bias), names)
    return Network(2, tuple(layers))


def test_honest_claims_are_accepted(found):
    check(solution(found))
    assert found.error.value / 2 <= max(errors(found.network)) <= found.error.value


def test_a_thousand_forgeries(found):
    generator = np.random.Generator(np.random.Philox(17))
    truth, tree = max(errors(found.network)), found.witness
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
            if not any(error > found.error.value for error in errors(network, 4)):
                continue
            forged = solution(found, network=network)
        made += 1
        wrong += accepted(forged)
    assert wrong == 0


def claim(network, target=WHOLE, value=5.0):
    error = Bound(
        quantity="error", sense="<=", value=value, norm="sup", domain=target.domain, kind=Kind.VERIFIED,
        theorem="step-ranges", rule="steps", hypotheses=(f"1 cells cover {target.domain}",),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    witness = {"axis": np.array([-1]), "split": np.array([0.0])}
    return Solution(
        network, target, error, 8 * len(network_bytes(network)), Certificate.of((error,), ((error, witness),))
    )


def neuron(weight, bias, activation="sigma-steps", outputs=1, inputs=2):
    first = Layer(((0, linear_map((1, inputs), {(0, 0): F(weight)})),), bias_vector([F(bias)]), (activation,))
    last = linear_map((outputs, 1), {(i, 0): F(1) for i in range(outputs)})
    return Network(inputs, (first, Layer(((1, last),), bias_vector([F(0)] * outputs), ("identity",))))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (neuron(1, 1), "leaves its slot"),
        (neuron(2, 10), "leaves its slot"),
        (neuron(1, -100), "leaves its slot"),
        (neuron(1, 2 * int("1" + delta_code(65), 2)), "too narrow"),
        (neuron(1, 2 * int("1" + delta_code(1) + delta_code(2**80), 2)), "too high"),
        (neuron(1, 4, "tanh"), "sigma-steps"),
        (neuron(1, 4, "sigma-codec"), "sigma-steps"),
        (neuron(1, 4, outputs=2), "one output|not"),
        (neuron(1, 4, inputs=3), "dimension"),
    ],
    ids=["below", "steep", "negative", "narrow", "high", "tanh", "codec", "two outputs", "three inputs"],
)
def test_networks_outside_the_theorem(network, message):
    with pytest.raises(CheckError, match=message):
        check(claim(network))


def test_a_slot_is_closed_and_no_wider():
    """[2n, 2n + 1] is inside, the least step beyond either end is not."""
    assert accepted(claim(neuron(1, 4)))
    tiny = F(1, 2**2000)
    for weight, bias in ((1 + tiny, 4), (1, 4 + tiny), (1, 4 - tiny)):
        assert not accepted(claim(neuron(weight, bias)))


def test_a_step_is_not_taken_for_a_plateau():
    """p rises from 0 to 1 on the slot: sigma is 1 - 1/(4k) + p/(8k), and no error below half of that holds."""
    index = int("1" + delta_code(1) + delta_code(2), 2)
    digits = index.bit_length()
    target = Target(f"1 - 3/(16*{digits}) + 0*x + 0*y", SQUARE)
    network = neuron(1, 2 * index)
    half = 1 / (16 * digits)
    assert accepted(claim(network, target, half * (1 + 1e-9)))
    assert not accepted(claim(network, target, half * (1 - 1e-9)))
