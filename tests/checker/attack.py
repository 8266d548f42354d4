"""An attacker who rebuilds every field and every hash, run as a program so that `python -O` can run it too.

    python attack.py weights 1000     changes weights until the true error exceeds 2 eps
    python attack.py values 1000      claims less than the densely sampled error
    python attack.py untouched 1000   changes one weight by the factor 1.001 and rebuilds nothing

Prints one JSON object: how many forgeries there were, how many the checker rejected, and how many a checker that only
compares hashes would have rejected.
"""

import json
import sys
from dataclasses import replace
from fractions import Fraction
from unittest import mock

import numpy as np

from epsnet.approximation.piecewise_linear import piecewise_linear
from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import round_up
from epsnet.checker import kernel
from epsnet.checker.kernel import check
from epsnet.checker.rule import Rule, Verdict
from epsnet.checker.rules import RULES
from epsnet.checker.rules.exact import rounding_bound
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target

CASES = [
    ("exp(x)", Box(0, 1), "1e-2"),
    ("tanh(x)", Box(-4, 4), "5e-2"),
    ("sqrt(x)", Box(0, 1), "2e-2"),
    ("1/(1 + 25*x^2)", Box(-1, 1), "5e-2"),
    ("abs(x - 1/3) + sin(3*x)", Box(0, 2), "3e-2"),
]


def solutions():
    for formula, box, eps in CASES:
        target = Target(formula, box)
        found = piecewise_linear(target, Fraction(eps))
        yield target, Fraction(eps), found


def sampled_error(target, network):
    low, high = float(target.domain.lower[0]), float(target.domain.upper[0])
    kinks = [-b for b in network.layers[0].bias_values() if low < -b < high]
    x = np.concatenate([np.linspace(low, high, 20001), kinks])
    return float(np.abs(target(x) - realize(network, x)).max())


def forge(target, found, network, value):
    """Return a solution that claims `value` for `network`, with every hash and every dependent claim rebuilt."""
    exact, rounding = found.error.premises
    rounding = replace(
        rounding, network=network.sha256, value=max(rounding.value, 2 * rounding_bound(network, target.domain))
    )
    exact = replace(exact, network=network.sha256, value=value)
    total = exact.limit + rounding.limit
    error = replace(found.error, network=network.sha256, value=round_up(total), exact=total, premises=(exact, rounding))
    tree = dict(found.witnesses[0][1])
    windows = found.witnesses[1]
    certificate = Certificate.of((error, found.minimal), ((exact, tree), windows))
    return Solution(network, target, error, 8 * len(network_bytes(network)), certificate, found.minimal)


def tampered(network, random):
    """Change weights or biases at random, of either layer."""
    layers = [(np.array(layer.terms[0][1].weight), np.array(layer.bias)) for layer in network.layers]
    for _ in range(random.integers(1, 4)):
        matrix = layers[random.integers(2)][random.integers(2)]
        place = tuple(random.integers(n) for n in matrix.shape)
        if random.random() < 0.5:
            matrix[place] *= 1 + random.normal()
        else:
            matrix[place] += random.normal() * (np.abs(matrix).max() + 0.1)
    return Network.from_layers(layers)


def rejected(solution):
    try:
        check(solution)
    except CheckError:
        return True
    return False


def rejected_by_hashes_alone(solution):
    """Run the kernel with rules that believe everything."""
    believe = {
        name: Rule(rule.theorems, lambda c: Verdict(Kind.PROVED, c.claim.hypotheses)) for name, rule in RULES.items()
    }
    with mock.patch.object(kernel, "RULES", believe):
        return rejected(solution)


def forgeries(kind, count):
    random = np.random.Generator(np.random.Philox(7))
    known = list(solutions())
    made = 0
    while made < count:
        target, eps, found = known[made % len(known)]
        exact = found.error.premises[0]
        if kind == "weights":
            network = tampered(found.network, random)
            if sampled_error(target, network) <= 2 * eps:
                continue
            yield forge(target, found, network, exact.value)
        elif kind == "values":
            error = sampled_error(target, found.network)
            below = error * (1 - 10.0 ** random.uniform(-6, 0))
            yield forge(target, found, found.network, below)
        else:
            layers = [(np.array(layer.terms[0][1].weight), np.array(layer.bias)) for layer in found.network.layers]
            places = [(m, i) for pair in layers for m in pair for i in np.argwhere(m != 0)]
            matrix, place = places[random.integers(len(places))]
            matrix[tuple(place)] *= 1.001
            honest = forge(target, found, found.network, exact.value)
            yield replace(honest, network=Network.from_layers(layers))
        made += 1


def main(kind, count):
    made = caught = by_hash = 0
    for solution in forgeries(kind, count):
        made += 1
        caught += rejected(solution)
        by_hash += rejected_by_hashes_alone(solution)
    honest = sum(not rejected(forge(t, f, f.network, f.error.premises[0].value)) for t, _, f in solutions())
    print(json.dumps({"forgeries": made, "rejected": caught, "by_hash": by_hash, "honest_accepted": honest}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
