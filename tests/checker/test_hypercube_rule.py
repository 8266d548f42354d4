"""Errors that no code avoids: the formulas by an independent path, and forged claims."""

import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, HypothesisError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.checker.rule import Context
from epsnet.checker.rules import hypercube
from epsnet.core.network import Network
from epsnet.dictionaries.entropy import entropy_bound, entropy_line
from epsnet.dictionaries.model_classes import Cartoon, Hoelder, Variation, besov

CLASSES = (
    Hoelder(1.0),
    Hoelder(0.5),
    Hoelder(1.5),
    Hoelder(1.234),
    Hoelder(2.0),
    Variation(),
    Cartoon(2.0),
    Cartoon(1.5),
)
ANY = Network.from_layers([([[1.0]], [0.0])])


def verify(bound, witness):
    with ball_arithmetic():
        return hypercube.check(Context(bound, (), ANY, None, witness)).kind


@pytest.mark.parametrize("bits", [1, 7, 100, 5000])
@pytest.mark.parametrize("model_class", CLASSES, ids=lambda c: c.name)
def test_bounds_are_verified(model_class, bits):
    bound, witness = entropy_bound(model_class, bits)
    assert verify(bound, witness) is bound.kind is Kind.VERIFIED
    assert bound.limit <= Fraction(entropy_line(model_class, bits)) * (1 + Fraction(1, 2**50))
    assert float(bound.limit) == pytest.approx(entropy_line(model_class, bits), rel=1e-8)


def largest(model_class, bits, witness):
    """The best error of the cube of the witness, in high precision, from the formulas of the docstring."""
    n = int(witness["count"][0])
    if model_class.norm == "sup":
        s = model_class.smoothness
        return mpmath.mpf(n) ** -mpmath.mpf(str(s)) * (1 if s == 1 else 0.5 if s < 1 else 0.25)
    rest = 1 - mpmath.mpf(bits) / n
    t = mpmath.findroot(
        lambda u: -(u * mpmath.log(u, 2) + (1 - u) * mpmath.log(1 - u, 2)) - rest, (1e-12, 0.5), solver="bisect"
    )
    if isinstance(model_class, Variation):
        return mpmath.sqrt(t) / (2 * n - 1)
    return mpmath.sqrt(n * t / 8 / mpmath.mpf(2 * n) ** (model_class.boundaries.smoothness + 1))


@pytest.mark.parametrize("model_class", CLASSES, ids=lambda c: c.name)
def test_nothing_beyond_the_formula_is_accepted(model_class):
    with mpmath.workdps(40):
        for bits in (3, 60):
            bound, witness = entropy_bound(model_class, bits)
            best = largest(model_class, bits, witness)
            low, high = Fraction(float(best * (1 - 2.0**-28))), Fraction(float(best * (1 + 2.0**-40)))
            assert bound.limit <= high
            with pytest.raises(CheckError):
                verify(replace(bound, exact=high, value=float(high)), witness)
            smaller = replace(bound, exact=low / 2, value=float(low / 2))
            assert verify(smaller, witness) is Kind.VERIFIED


def test_1000_mutations():
    """Larger values, fewer bits in the cube, other shares, names, norms, domains and malformed arrays."""
    rng = np.random.Generator(np.random.Philox(5))
    accepted = 0
    for number in range(1000):
        model_class, bits = CLASSES[number % len(CLASSES)], int(rng.integers(1, 300))
        bound, witness = entropy_bound(model_class, bits)
        witness, sup = dict(witness), model_class.norm == "sup"
        match int(rng.integers(9)):
            case 0:
                value = float(bound.limit) * (1 + 2.0 ** -int(rng.integers(1, 25)))
                bound = replace(bound, exact=Fraction(value), value=value)
            case 1:
                fewer = int(rng.integers(-3, bits + 1))
                witness["count"] = np.array([fewer])
            case 2 if not sup:
                witness["share"] = witness["share"] * (1 + 2.0 ** -int(rng.integers(1, 28)))
            case 2:
                witness["count"] = witness["count"] + int(rng.integers(1, 9))
            case 3:
                more = bits + int(rng.integers(1, 50)) * (1 if sup else int(witness["count"][0]))
                bound = replace(bound, quantity=hypercube.quantity(-more, model_class.name))
            case 4:
                name = ["C^0 ball", "C^2.5 ball", "C^1 cartoons, d = 2", "C^ ball", "Lipschitz", "x"][rng.integers(6)]
                bound = replace(bound, quantity=hypercube.quantity(bits, name))
            case 5:
                bound = replace(bound, norm=[None, "L2" if sup else "sup"][rng.integers(2)])
            case 6:
                bound = replace(bound, domain=[None, Box(0, 2), Box(-1, 0), Box([0] * 3, [1] * 3)][rng.integers(4)])
            case 7:
                bad = [np.array([]), np.array([math.nan]), np.array([[9]]), np.array([1e9]), np.array([9, 9])]
                witness["count" if sup or rng.random() < 0.5 else "share"] = bad[rng.integers(5)]
            case _:
                field = {"sense": "<=", "eps": Fraction(1), "network": "0", "target": "0", "measure": "uniform"}
                key = list(field)[rng.integers(5)]
                bound = replace(bound, **{key: field[key]})
        try:
            verify(bound, witness)
            accepted += 1
        except CheckError:
            pass
    assert accepted == 0


@pytest.mark.parametrize("value", [Fraction(0), Fraction(-1), Fraction(1), Fraction(10) ** 400])
def test_senseless_values(value):
    bound, witness = entropy_bound(Hoelder(2.0), 9)
    with pytest.raises(CheckError):
        verify(replace(bound, exact=value, value=0.5), witness)


def test_other_classes():
    for model_class in (besov(1.5, levels=5), Hoelder(1.23456), Cartoon(1.00001)):
        with pytest.raises(HypothesisError, match="Take a Hoelder ball"):
            entropy_bound(model_class, 9)
