"""Rule `distance`: honest claims hold, a thousand forgeries and hostile witnesses do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check, check_certificate
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.enclosure.distance import distance, ranges

DOMAIN = Box([-1, -1], [1, 1])
OUTSIDE = np.array([1.5, 0.0])


def network_of(seed):
    generator = np.random.default_rng(seed)
    shapes = [(4, 2), (4, 4), (2, 4)]
    return Network.from_layers(
        [(generator.standard_normal(shape), generator.uniform(-1, 1, shape[0])) for shape in shapes]
    )


def mapped(network, change):
    layers = [
        replace(layer, terms=((source, Dense(change(linear.weight))),), bias=change(layer.bias))
        for layer in network.layers
        for source, linear in layer.terms
    ]
    return Network(network.inputs, tuple(layers))


@pytest.fixture(scope="module")
def found():
    network = network_of(0)
    return distance(network, mapped(network, lambda a: np.round(a * 64) / 64), DOMAIN, gap=0.05)


@pytest.fixture(scope="module")
def tree(found):
    return witness_of(found.solution.certificate, found.upper)


def witness_of(certificate, bound):
    return dict(certificate.witnesses[certificate.nodes[certificate.find(bound)].witness])


def solution(found, bound=None, witness=None, network=None, target=None) -> Solution:
    """Return a solution with one claim whose hashes are all right."""
    network, target = network or found.solution.network, target or found.solution.target
    bound = replace(bound or found.upper, network=network.sha256, target=target.sha256)
    witness = witness_of(found.solution.certificate, found.upper) if witness is None else witness
    attained = bound.sense == ">="
    error = replace(bound, sense="<=") if attained else bound
    pairs = [(bound, witness)] + ([(error, witness)] if attained else [])
    certificate = Certificate.of([bound for bound, _ in pairs], pairs)
    return Solution(network, target, error, 8 * len(network_bytes(network)), certificate)


def refused(subject, message="."):
    with pytest.raises(CheckError, match=message):
        check(subject)


def sampled(network, target, generator):
    x = generator.uniform(-1, 1, (500, 2))
    return float(np.abs(realize(network, x) - realize(target.network, x)).max())


def test_honest_claims(found, tree):
    assert len(check(found.solution).checked) == 2
    assert found.upper.value <= 1.051 * found.lower.value and (tree["axis"] >= 0).sum() > 3
    network = found.solution.network
    statements = ranges(network, DOMAIN, gap=0.1).statements
    assert len(check_certificate(network, statements.certificate)) == 8


def test_a_thousand_forgeries(found, tree):
    """Every forged claim is false, or its witness covers less than the domain or proves less than the value."""
    generator = np.random.Generator(np.random.Philox(5))
    truth, accepted = found.lower.value, 0
    inner = np.flatnonzero(tree["axis"] >= 0)
    for number in range(1000):
        kind, bound, witness = number % 8, found.upper, {name: values.copy() for name, values in tree.items()}
        network, target = found.solution.network, found.solution.target
        if kind == 0:  # less than what is attained
            bound = replace(bound, value=truth * (1 - 10.0 ** generator.uniform(-9, 0)))
        elif kind == 1:  # a part of the tree is missing, or stands twice
            start = generator.integers(len(tree["axis"]))
            stop = min(len(tree["axis"]), start + generator.integers(1, 4))
            keep = np.delete(np.arange(len(tree["axis"])), slice(start, stop))
            if generator.random() < 0.5:
                keep = np.insert(np.arange(len(tree["axis"])), start, [start] * int(2 * generator.integers(1, 3) - 1))
            witness = {name: values[keep] for name, values in tree.items()}
        elif kind == 2:  # a cut outside of its box
            place = inner[generator.integers(len(inner))]
            witness["split"][place] = generator.choice([-1.0, 1.0, 3.0, -1e300])
        elif kind == 3:  # an axis that is none
            witness["axis"][generator.integers(len(tree["axis"]))] = generator.choice([-2, 2, 7, 2**40])
        elif kind == 4:  # other weights, with a larger distance
            scale = 10.0 ** generator.uniform(-1, 1)
            network = mapped(network, lambda a, s=scale: a + s * generator.standard_normal(a.shape))
            if sampled(network, target, generator) <= bound.value:
                continue
        elif kind == 5:  # another target, with a larger distance
            scale = 10.0 ** generator.uniform(-1, 1)
            other = mapped(target.network, lambda a, s=scale: a + s * generator.standard_normal(a.shape))
            target = NetworkTarget(other, DOMAIN)
            if sampled(network, target, generator) <= bound.value:
                continue
        elif kind == 6:  # more than what can be attained
            bound = replace(found.lower, value=found.upper.value * (1 + 10.0 ** generator.uniform(-9, 3)))
            witness = {"point": generator.uniform(-1, 1, 2)}
        else:  # attained outside of the domain only
            point = OUTSIDE * (1 + generator.random()) * generator.choice([-1, 1])
            bound, witness = replace(found.lower, value=0.0), {"point": point}
        forged = solution(found, bound, witness, network, target)
        if kind >= 6:  # only the lower bound stands in the certificate that is checked
            node = replace(bound, network=network.sha256, target=target.sha256)
            certificate = Certificate.of((found.upper, node), ((found.upper, tree), (node, witness)))
            forged = Solution(network, target, found.upper, forged.bits, certificate)
        try:
            check(forged)
            accepted += 1
        except CheckError:
            pass
    assert accepted == 0


def test_a_tree_too_coarse(found, tree):
    single = {"axis": np.array([-1]), "split": np.array([0.0])}
    coarse = replace(found.upper, hypotheses=("1 boxes cover the domain",))
    refused(solution(found, coarse, single), "only known to be at most")
    generous = replace(coarse, value=10.0)
    assert check(solution(found, generous, single))
    refused(solution(found, replace(found.upper, hypotheses=("9 boxes cover the domain",)), tree), "What was checked")


@pytest.mark.parametrize(
    "witness",
    [
        {},
        {"axis": np.array([-1])},
        {"axis": np.array([], dtype=np.int64), "split": np.array([])},
        {"axis": np.array([0, -1, -1]), "split": np.array([np.nan, 0.0, 0.0])},
        {"axis": np.array([0.0, -1.0, -1.0]), "split": np.array([0.0, 0.0, 0.0])},
        {"axis": np.array([[0, -1, -1]]), "split": np.array([0.0, 0.0, 0.0])},
        {"axis": np.array([0, -1, -1]), "split": np.array([0.0, 0.0])},
        {"axis": np.array([0, 0, 0, 0, 0]), "split": np.zeros(5)},
        {"axis": np.full(5_000_000, -1), "split": np.zeros(5_000_000)},
    ],
)
def test_hostile_trees(found, witness):
    refused(solution(found, witness=witness))


@pytest.mark.parametrize(
    "point", [np.array([0.0]), np.array([np.nan, 0.0]), np.array([np.inf, 0.0]), np.array([1e308, 0.0]), None]
)
def test_hostile_points(found, tree, point):
    bound = replace(found.lower, value=0.0)
    witness = {} if point is None else {"point": point}
    certificate = Certificate.of((found.upper, bound), ((found.upper, tree), (bound, witness)))
    refused(replace(found.solution, certificate=certificate), "point")


def test_claims_of_another_form(found):
    for changes in (
        {"norm": "L2"}, {"arithmetic": "float64"}, {"measure": "Lebesgue"}, {"sense": "=="},
        {"quantity": "lipschitz"}, {"domain": Box([-1, -1], [1, 2])}, {"domain": Box(-1, 1)},
    ):  # fmt: skip
        refused(solution(found, replace(found.upper, **changes)))


def test_claims_about_outputs():
    network = network_of(3)
    found = ranges(network, DOMAIN, gap=0.1)
    top = found.maxima[1]
    tree = witness_of(found.statements.certificate, top.upper)

    def stated(bound: Bound, witness):
        check_certificate(network, Certificate.of((bound,), ((bound, witness),)))

    stated(top.upper, tree)
    stated(top.lower, {"point": top.point})
    for bound, witness in (
        (replace(top.upper, value=top.lower.value - 1e-6), tree),
        (replace(top.upper, quantity="maximum of output 2"), tree),
        (replace(top.upper, quantity="maximum of output 01"), tree),
        (replace(top.upper, quantity="maximum of output 1 "), tree),
        (replace(top.upper, quantity="minimum of output 1"), tree),
        (replace(top.upper, sense=">="), tree),
        (replace(top.lower, value=top.upper.value + 1e-6), {"point": top.point}),
        (replace(top.lower, sense="<="), {"point": top.point}),
        (replace(top.lower, quantity="minimum of output 1"), {"point": top.point}),
    ):
        with pytest.raises(CheckError):
            stated(bound, witness)
