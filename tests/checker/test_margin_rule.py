"""Rule `margin`: exact margins by hand and by brute force, and a thousand forgeries."""

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check_certificate
from epsnet.checker.rules.margin import CONVEX, LARGEST, MARGIN, linear_network, measure
from epsnet.core.linear_maps import Exact
from epsnet.core.network import Network
from epsnet.optimization.implicit_bias import max_margin

F = Fraction


def sample(generator):
    """Return separable points on a grid of quarters, with a margin of about 1/2."""
    x = np.round(4 * generator.uniform(-3, 3, (12, 2))) / 4
    x = x[np.abs(x[:, 0] + x[:, 1]) >= 1]
    return x, np.where(x[:, 0] + x[:, 1] > 0, 1.0, -1.0)


def largest_square(x, y):
    """Return the squared largest margin in the plane: the least distance of 0 to a segment between two y_i x_i."""
    points = [tuple(F(float(v)) * F(float(s)) for v in row) for row, s in zip(x, y, strict=True)]
    found = [a * a + b * b for a, b in points]
    for (a, b), (c, e) in combinations(set(points), 2):
        u, v = c - a, e - b
        t = min(max(-(a * u + b * v) / (u * u + v * v), F(0)), F(1))
        found.append((a + t * u) ** 2 + (b + t * v) ** 2)
    return min(found)


def own_square(x, y, w):
    """Return the squared margin of a classifier; 0 if it does not separate."""
    w = [F(float(v)) for v in w]
    least = min(sum(F(float(v)) * c for v, c in zip(row, w, strict=True)) * F(float(s)) for row, s in zip(x, y))  # noqa: B905
    return least**2 / sum(c * c for c in w) if least > 0 else F(0)


def accepted(network, bound, witness):
    try:
        check_certificate(network, Certificate.of((bound,), ((bound, witness),)))
    except CheckError:
        return False
    return True


def claims(x, y):
    found = max_margin(x, y)
    flat = {"inputs": x.ravel(), "labels": y}
    return found, {MARGIN: flat, LARGEST: flat | {"weights": found.weights}}


def test_by_hand():
    """The points (1, 0), (0, 1), -(−1, −1): the hull of their signed versions is nearest to 0 at (1/2, 1/2)."""
    found, _ = claims(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([1.0, 1.0, -1.0]))
    assert found.margin.limit**2 <= F(1, 2) <= found.largest.limit**2
    assert found.largest.limit - found.margin.limit <= F(1, 2**51)
    assert found.margin.kind is found.largest.kind is Kind.VERIFIED
    assert len(check_certificate(found.statements.network, found.statements.certificate)) == 2


def test_a_thousand_forgeries():
    """False statements with every hash rebuilt, about other values, classifiers, points and labels."""
    generator = np.random.Generator(np.random.Philox(1))
    known = [(*pair, *claims(*pair)) for pair in (sample(generator) for _ in range(5))]
    tried = wrong = 0
    while tried < 1000:
        x, y, found, witnesses = known[tried % 5]
        x, y, kind = x.copy(), y.copy(), generator.integers(4)
        own = bool(generator.random() < 0.5)
        bound, network, w = (found.margin if own else found.largest), found.statements.network, found.classifier
        witness = dict(witnesses[bound.quantity])
        if kind == 0:
            change = 10.0 ** generator.uniform(-15, 0)
            bound = replace(bound, value=bound.value * (1 + change if own else 1 - change))
        elif kind == 1:
            w = w + generator.normal(size=2) * 10.0 ** generator.uniform(-6, 1)
            network = linear_network(w)
        elif kind == 2:
            x[generator.integers(len(x))] += 10.0 ** generator.uniform(-3, 1) * generator.normal(size=2)
        else:
            y[generator.integers(len(y))] *= -1
        witness |= {"inputs": x.ravel(), "labels": y}
        bound = replace(bound, measure=measure(witness["inputs"], y), network=network.sha256 if own else None)
        true = own_square(x, y, w) if own else largest_square(x, y)
        if bound.limit > 0 and (true >= bound.limit**2 if own else true <= bound.limit**2):
            continue
        tried += 1
        wrong += accepted(network, bound, witness)
    assert (tried, wrong) == (1000, 0)


@pytest.mark.parametrize("alpha", [[-1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5], [np.nan, 0.5, 0.5], [np.inf, 1, 1]])
def test_weights_that_are_no_convex_combination(alpha):
    x, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([1.0, 1.0, -1.0])
    found, witnesses = claims(x, y)
    assert accepted(found.statements.network, found.largest, witnesses[LARGEST])
    assert not accepted(found.statements.network, found.largest, witnesses[LARGEST] | {"weights": np.array(alpha)})


@pytest.mark.parametrize(
    "witness",
    [
        {"inputs": np.ones(3), "labels": np.ones(2)},
        {"inputs": np.ones(0), "labels": np.ones(0)},
        {"inputs": np.ones(4), "labels": np.array([1.0, 2.0])},
        {"inputs": np.ones(4, dtype=np.float32), "labels": np.ones(2, dtype=np.float32)},
        {"inputs": np.array([1.0, 1.0, 1.0, np.nan]), "labels": np.ones(2)},
        {"inputs": np.ones(4_000_000), "labels": np.ones(2)},
    ],
    ids=["ragged", "empty", "labels", "float32", "nan", "many"],
)
@pytest.mark.parametrize("own", [True, False], ids=[MARGIN, LARGEST])
def test_hostile_samples(witness, own):
    found, _ = claims(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([1.0, 1.0, -1.0]))
    bound = replace(found.margin if own else found.largest, measure=measure(witness["inputs"], witness["labels"]))
    witness = witness | {"weights": np.ones(len(witness["labels"]))}
    assert not accepted(found.statements.network, bound, witness)


def test_other_networks_and_forms():
    x, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([1.0, 1.0, -1.0])
    found, witnesses = claims(x, y)
    for network in (
        Network.from_layers([([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0])]),
        Network.from_layers([([[1.0, 1.0]], [0.1])], "identity"),
        Network.from_layers([([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0])], "identity"),
        Network.from_layers([(np.ones((1, 3)), [0.0])], "identity"),
        Network.from_layers([(np.zeros((1, 2)), [0.0])], "identity"),
        Network.from_layers([(Exact((1, 2), dict.fromkeys([(0, 0), (0, 1)], F(1, 3**1000))), np.zeros(1))], "identity"),
    ):
        assert not accepted(network, replace(found.margin, network=network.sha256), witnesses[MARGIN])
    network = found.statements.network
    for change in ({"sense": "<="}, {"measure": None}, {"quantity": LARGEST}, {"value": -1.0}, {"value": 0.0},
                   {"kind": Kind.PROVED}, {"hypotheses": ()}, {"norm": "sup"}, {"eps": F(1)}):  # fmt: skip
        assert not accepted(network, replace(found.margin, **change), witnesses[MARGIN])
    for weight, holds in ((F(1, 3), False), (F(3, 4), True), (F(2**3000), False), (F(1, 2**1074), True)):
        exact = Exact((1, 2), dict.fromkeys([(0, 0), (0, 1)], weight))
        network = Network.from_layers([(exact, np.zeros(1))], "identity")
        assert accepted(network, replace(found.margin, network=network.sha256), witnesses[MARGIN]) == holds


def test_the_worst_numbers_are_checked_in_seconds():
    """Exponents all over float64 make the longest rationals; the rule answers all the same."""
    generator = np.random.Generator(np.random.Philox(2))
    x = generator.normal(size=(2000, 2)) * 10.0 ** generator.integers(-300, 300, (2000, 2))
    y, alpha = np.where(x[:, 0] > 0, 1.0, -1.0), 10.0 ** generator.integers(-300, 300, 2000)
    found, _ = claims(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), np.array([1.0, 1.0, -1.0]))
    flat = {"inputs": x.ravel(), "labels": y, "weights": alpha}
    bound = replace(found.largest, measure=measure(x.ravel(), y), hypotheses=(CONVEX, "2000 points"), value=1e305)
    assert accepted(found.statements.network, bound, flat)
    assert not accepted(found.statements.network, replace(bound, value=1e200), flat)
