"""Rules `expansion` and `ramps`: bounds against enclosures and exact integrals, and a thousand forgeries of each."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.certify.rounding import round_down, round_up
from epsnet.checker.kernel import check
from epsnet.core import transfer as core_transfer
from epsnet.core.circuit import Circuit, Stage
from epsnet.core.expansion_target import ExpansionTarget, Part
from epsnet.core.generators import Bell, Fit, Generator, Spline
from epsnet.core.matrices import linear_map
from epsnet.core.network import Layer, Network
from epsnet.core.ramps import StepFunction
from epsnet.core.serial import load_solution, network_bytes, save_solution
from epsnet.core.solution import Solution
from epsnet.core.transfer import expansion_error, expansion_network
from epsnet.dictionaries.molecules import CDF22, HAT, dilated, gabor, modulated, tensor
from epsnet.dictionaries.transfer import Transfer, ramp_transfer, transfer

F = Fraction
SQUARE = Box([0, 0], [1, 1])


def wavelets(norm="sup"):
    scales, centers = np.array([[4.0, 8.0], [16.0, 2.0], [2.0, 2.0]]), np.array([[0.5, 0.25], [0.75, 0.5], [0.25, 0.5]])
    generators = tensor(CDF22, CDF22, levels=5), tensor(CDF22, HAT, levels=5)
    first, second = (dilated(generator, scales, centers) for generator in generators)
    return transfer([(first, [1.0, -0.3, 0.7]), (second, [0.5, 0.1, -2.0])], SQUARE, norm)


def waves():
    atoms = modulated(gabor(folds=3), [2.0, 4.0], [[0.5], [0.25]], [[3.0], [5.0]], [0.0, 0.25])
    return transfer([(atoms, [1.0, -0.5])])


def steps():
    return ramp_transfer(StepFunction(F(1, 2), ((F(1, 4), F(1)), (F(5, 8), F(-3, 2)), (F(3, 4), F(1, 8)))), "1e-2")


COUNTS = {9: 200, 3: 575, 38: 25}
"""How many forgeries of each, by depth: 1,000 together."""

FOUND = {"tensor": wavelets, "tensor in L2": lambda: wavelets("L2"), "waves": waves, "steps": steps}


@pytest.fixture(scope="module", params=FOUND)
def found(request):
    return FOUND[request.param]()


def forged(found: Transfer, *, network=None, target=None, witness=None, **changes) -> Solution:
    """Return a solution with changes and every hash and every dependent claim rebuilt."""
    network, target = network or found.network, target or found.target
    (exact, own), names = found.witnesses[0], {"network": network.sha256, "target": target.sha256}
    exact = replace(exact, **names, **changes)
    error = exact
    if found.error.premises:
        rounding = replace(found.error.premises[1], network=network.sha256)
        total = exact.limit + rounding.limit
        error = replace(found.error, premises=(exact, rounding), value=round_up(total), exact=total, **names)
    certificate = Certificate.of((error,), ((exact, {**own, **(witness or {})}),))
    return Solution(network, target, error, 8 * len(network_bytes(network)), certificate)


def test_what_was_built_is_believed_and_survives_a_file(found, tmp_path):
    check(found.solution())
    check(forged(found))
    save_solution(found.solution(), tmp_path)
    check(tmp_path)
    again = load_solution(tmp_path).target
    assert isinstance(again, ExpansionTarget) and again.sha256 == found.target.sha256


def changed_network(network: Network, random: np.random.Generator) -> Network:
    """Change one weight or bias."""
    layers = list(network.layers)
    number = random.integers(len(layers))
    layer = layers[number]
    if random.random() < 0.5:
        bias = [F(value) for value in layer.bias_values()]
        bias[random.integers(len(bias))] += F(float(random.normal()))
        layers[number] = Layer(layer.terms, tuple(bias), layer.activations)
    else:
        ((source, linear),) = layer.terms
        rows, columns, values = linear.entries()
        entries = {(int(i), int(j)): F(value) for i, j, value in zip(rows, columns, values, strict=True)}
        entries[list(entries)[random.integers(len(entries))]] += F(float(random.normal()))
        layers[number] = Layer(((source, linear_map(linear.shape, entries)),), layer.bias, layer.activations)
    return Network(network.inputs, tuple(layers))


def changed_target(target: ExpansionTarget, random: np.random.Generator) -> ExpansionTarget:
    """Change one number of an expansion."""
    parts = list(target.parts)
    number = random.integers(len(parts))
    name = ("coefficients", "matrices", "offsets")[random.integers(3)]
    array = getattr(parts[number], name).copy()
    place = tuple(random.integers(n) for n in array.shape)
    array[place] += 0.01 * random.normal()
    parts[number] = replace(parts[number], **{name: array})
    return ExpansionTarget(tuple(parts), target.domain, target.norm)


def changed_plan(log: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change one number of the plan, so that it says something else."""
    plan = json.loads(log.astype(np.uint8).tobytes())
    leaves = []

    def visit(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            if isinstance(node[key], dict | list):
                visit(node[key])
            else:
                leaves.append((node, key))

    visit(plan)
    node, key = leaves[random.integers(len(leaves))]
    value = node[key]
    if isinstance(value, str):
        node[key] = random.choice(["", "1", "0", "7/3", "-1", "nan", "spline", "bell", "wave", value + "0", "9" * 400])
    else:
        node[key] = random.choice([value + 1, -value - 1, value * 1.5 + 0.5, 10**9, None])
    if node[key] == value:
        node[key] = [value]
    return np.frombuffer(json.dumps(plan).encode(), dtype=np.int8)


def test_a_thousand_forgeries(found):
    random = np.random.Generator(np.random.Philox(5))
    exact, witness = found.witnesses[0]
    accepted = 0
    for number in range(COUNTS[found.network.size.depth]):
        try:
            match number % 5:
                case 0:
                    solution = forged(found, value=exact.value * (1 - 10.0 ** random.uniform(-9, 0)))
                case 1:
                    solution = forged(found, network=changed_network(found.network, random))
                case 2:
                    solution = forged(found, target=changed_target(found.target, random))
                case 3 if "log" in witness:
                    solution = forged(found, witness={"log": changed_plan(witness["log"], random)})
                case 3:
                    solution = forged(found, witness={"width": witness["width"] * random.choice([0.5, 2, -1, 1.001])})
                case _:
                    field = random.choice(["kind", "domain", "norm", "sense", "quantity", "hypotheses", "theorem"])
                    wrong = {
                        "kind": Kind.STATISTICAL if number % 2 else Kind.ESTIMATED, "domain": Box(0, 2), "sense": ">=",
                        "norm": "sup" if exact.norm == "L2" else "L2", "quantity": "risk", "hypotheses": ("all",),
                        "theorem": "squaring-circuit",
                    }  # fmt: skip
                    if field == "kind":
                        wrong["value"], field = exact.value / 2, "value"
                    solution = forged(found, **{str(field): wrong[str(field)]})
            check(solution)
            accepted += 1
        except CheckError:
            pass
    assert accepted == 0


def test_hostile_plans_are_refused_at_once(found):
    """Sizes, depths and types that would take all memory or break Python."""
    if "log" not in found.witnesses[0][1]:
        pytest.skip("has no plan")
    plan = json.loads(found.witnesses[0][1]["log"].astype(np.uint8).tobytes())

    def refused(content):
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        with pytest.raises(CheckError):
            check(forged(found, witness={"log": np.frombuffer(text, dtype=np.int8)}))

    for content in (
        {}, [], plan * 100, [None], [{}], [[]], "x", [{"factors": [], "levels": 1}], [{"factors": 3, "levels": 1}],
        b"[" * 100_000, b"\xff\xfe", b"",
    ):  # fmt: skip
        refused(content)
    for levels in (0, 31, 10**12, True, 1.0):
        wrong = copy.deepcopy(plan)
        wrong[0]["levels"] = levels
        refused(wrong)
    fit = next((factor["fit"] for factor in plan[0]["factors"] if "fit" in factor), None)
    for number in () if fit is None else (1e-61, -1e61, 1e-308, float("nan"), float("inf")):
        wrong = copy.deepcopy(plan)
        wrong[0]["factors"][0]["fit"]["circuit"]["coefficients"][2] = number
        refused(wrong)
    for tree in () if fit is None else ("", "1", "0" * 10, "1" * 100_000, "2"):
        wrong = copy.deepcopy(plan)
        wrong[0]["factors"][0]["fit"]["tree"] = tree
        refused(wrong)


def test_plans_that_would_take_minutes_are_refused(monkeypatch):
    """Cells times stages of circuits, and weights of generators, are limited over all generators together."""
    size, carried = 16, 8
    affine = (F(1, 8), *[F(1, 1024)] * (carried + 1))
    first = Stage(affine[:2], (affine[:2],) * carried, carried, F(1, 8), affine, 60)
    stage = replace(first, form=affine, carried=(affine,) * carried)
    circuit = Circuit((), (first, *[stage] * (size - 1)), affine)
    slow = Generator((Bell("exp(-s)", Fit(circuit, F(1), "1" * 1023 + "0" * 1024)),))
    plain = Generator((Spline(3, (F(1),), (F(1),), 20),))
    for generator, message in ((slow, "too long"), (plain, "weights")):
        part = Part(generator.text(), np.ones(1), np.ones((1, 1, 1)), np.zeros((1, 1)))
        monkeypatch.setattr(core_transfer, "MAX_GENERATOR_WEIGHTS", 2 * plain.network().size.weights)
        with pytest.raises(DomainError, match=message):
            expansion_network(ExpansionTarget((part,) * 3, Box(0, 1)), [generator] * 3)


def test_targets_of_many_generators_share_the_work():
    """Each alone needs some thousand cells."""
    parts = [
        Part(f"1/(u1*u1 - 2*u1*u2 + u2*u2 + {k}/1000)", np.ones(1), np.eye(2)[None], np.zeros((1, 2)))
        for k in range(3, 67)
    ]
    assert len(ExpansionTarget((parts[40],), SQUARE)) == 1
    with pytest.raises(DomainError, match="defined"):
        ExpansionTarget(tuple(parts), SQUARE)


def test_many_variables_need_no_grid():
    """In 24 variables a box has 16 million corners."""
    part = Part("(1)*relu(1 - abs(u1))^2", np.array([1.0, -2.0]), np.ones((2, 1, 24)), np.zeros((2, 1)))
    generator = Generator((Spline(2, (F(1),), (F(1),)),))
    found = expansion_error(ExpansionTarget((part,), Box([0] * 24, [1] * 24)), [generator])
    assert found.sup == F(3, 16) and found.sup <= found.l2 <= found.sup * (1 + F(1, 2**50))


def test_the_closed_form_of_ramps_cannot_be_undercut():
    found = steps()
    exact = found.witnesses[0][0]
    check(forged(found, value=exact.value))
    with pytest.raises(CheckError, match="State that"):
        check(forged(found, value=round_down(F(exact.value) * (1 - F(1, 2**50)))))
    with pytest.raises(CheckError):
        check(forged(found, witness={"width": np.array([0.5])}))
