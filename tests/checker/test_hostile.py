"""What a hostile reader tried: claims that do not follow, files that no writer wrote, and work that never ends."""

import copy
import json
import math
import random
import struct
import time
import tracemalloc
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from typer.testing import CliRunner

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate, Node
from epsnet.certify.domain import Box, exact, number_text
from epsnet.certify.errors import CheckError, DomainError, EpsnetError, PrecisionError
from epsnet.certify.hashing import sha256_arrays
from epsnet.checker.kernel import check, check_certificate
from epsnet.checker.rules.binomial import INDEPENDENCE, MEASURE, count_errors
from epsnet.checker.rules.exact import linear_pieces, rounding_bound
from epsnet.cli.app import app
from epsnet.core.jacobian import arguments, interval_jacobian, slopes
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize_exact
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION
from epsnet.core.serial import (
    NETWORK_FILE,
    SOLUTION_FILE,
    WITNESS_FILE,
    load_network,
    load_solution,
    network_bytes,
    save_network,
    save_solution,
)
from epsnet.core.solution import Solution
from epsnet.core.splitting import Block
from epsnet.core.target import DataTarget, Target, read_domain
from epsnet.inspection.inspect import inspect
from epsnet.learning.learn import learn
from epsnet.statistics.binomial import clopper_pearson

LEAF = {"axis": np.array([-1]), "split": np.array([0.0])}
NO_WINDOWS = {"side": np.zeros(0, dtype=np.int64), **{n: np.zeros(0) for n in ("p", "s", "e", "slope", "value")}}
IDENTITY = Network.from_layers([([[1.0]], [0.0])])
ZERO = Network.from_layers([([[0.0]], [0.0])])
LINE = Target("x", Box(0, 1))


def grid(low, high, depth):
    """The tree that halves [low, high] `depth` times."""

    def rows(low, high, depth):
        if depth == 0:
            return [(-1, 0.0)]
        middle = (low + high) / 2
        return [(0, middle), *rows(low, middle, depth - 1), *rows(middle, high, depth - 1)]

    axis, split = zip(*rows(low, high, depth), strict=True)
    return {"axis": np.array(axis), "split": np.array(split)}


def cover(network, target, value, tree=LEAF, **change):
    cells = int((tree["axis"] < 0).sum())
    claim = Bound(
        quantity="error", sense="<=", value=value, norm="sup", domain=target.domain, kind=Kind.VERIFIED,
        theorem="taylor-cover", rule="cover", hypotheses=(f"{cells} cells cover {target.domain}",),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return replace(claim, **change)


def reach(target, value, eps, windows=0):
    return Bound(
        quantity="pieces", sense=">=", value=value, norm="sup", domain=target.domain, kind=Kind.VERIFIED,
        theorem="minimal-link", rule="reach", hypotheses=(f"{windows} windows block the tube",),
        target=target.sha256, eps=Fraction(eps),
    )  # fmt: skip


def neurons(pieces, value, quantity="neurons with one kink"):
    return replace(
        pieces, quantity=quantity, value=value, exact=None, theorem="piece-count", rule="algebra", hypotheses=(),
        premises=(pieces,),
    )  # fmt: skip


def rounding(network, domain, value, **change):
    claim = Bound(
        quantity="rounding", sense="<=", value=value, norm="sup", domain=domain, kind=Kind.PROVED,
        theorem="dot-product-rounding", rule="exact", arithmetic="float64", network=network.sha256,
    )  # fmt: skip
    return replace(claim, **change)


def risk(network, target, errors, value, **change):
    claim = Bound(
        quantity="risk", sense="<=", value=value, kind=Kind.STATISTICAL, delta=Fraction(1, 100), arithmetic="float64",
        theorem="clopper-pearson", rule="binomial", measure=MEASURE, assumptions=(INDEPENDENCE,),
        hypotheses=(f"{errors} errors in {target.points} points",), network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return replace(claim, **change)


def solution(network, target, claims, witnesses=(), optimality=None, **change):
    """A solution with the first claim as its error."""
    bits = 8 * len(network_bytes(network))
    return Solution(network, target, claims[0], bits, Certificate.of(claims, witnesses), optimality, **change)


def line_solution(**change):
    claim = replace(cover(IDENTITY, LINE, 0.0), **change)
    return solution(IDENTITY, LINE, [claim], [(claim, LEAF)])


def classifier(points=100, wrong=3):
    """A network that says 0 for x < 0 and 1 for x > 0, and a sample with some labels wrong."""
    network = Network.from_layers([([[-1.0], [1.0]], [0.0, 0.0])])
    x = np.where(np.arange(points) % 2 == 0, -1.0, 1.0)
    labels = (x > 0).astype(int)
    labels[:wrong] = 1 - labels[:wrong]
    return network, DataTarget.from_arrays("toy", x[:, None], labels)


def data_solution(**change):
    network, target = classifier()
    claim = replace(risk(network, target, 3, clopper_pearson(3, 100, Fraction(1, 100))), **change)
    return solution(network, target, [claim])


@pytest.fixture
def folder(tmp_path):
    save_solution(line_solution(), tmp_path)
    return tmp_path


def edit(folder, change):
    """Change the JSON of a stored solution."""
    path = folder / SOLUTION_FILE
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def edit_network(folder, change):
    """Change arrays and structure of a stored network."""
    path = folder / NETWORK_FILE
    content = path.read_bytes()
    arrays = dict(load_arrays(content))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    structure = json.loads(header["__metadata__"]["epsnet"])
    change(arrays, structure)
    text = json.dumps(structure, sort_keys=True, separators=(",", ":"))
    path.write_bytes(save_arrays(arrays, metadata={"epsnet": text}))


# The claims that do not follow.


def test_the_honest_solutions_pass():
    assert len(check(line_solution()).checked) == 1
    assert len(check(data_solution()).checked) == 1


def test_a_negative_number_of_pieces_proves_no_neurons():
    error, pieces = cover(IDENTITY, LINE, 0.0), reach(LINE, -(2.0**100), 10)
    for value, holds in ((101.0, False), (1.0, False), (0.0, True)):
        count = neurons(pieces, value)
        forged = solution(IDENTITY, LINE, [error, count], [(error, LEAF), (pieces, NO_WINDOWS)], count)
        if holds:
            check(forged)
        else:
            with pytest.raises(CheckError, match="prove 0 neurons"):
                check(forged)


@pytest.mark.parametrize("activations", [((), "relu"), (("tanh",), "identity")], ids=["output relu", "tanh"])
def test_a_count_of_neurons_says_which_neurons(activations):
    """A ReLU at the output bends without a hidden neuron, tanh does better than any kink: "neurons" would be false."""
    hidden, output = activations
    layers = [([[1.0]], [0.0])] * (len(hidden) + 1)
    network = Network.from_layers(layers, activation=hidden, output=output)
    target = Target("relu(x)" if output == "relu" else "tanh(x)", Box(-4, 4))
    tree = grid(-4.0, 4.0, 8 if output == "relu" else 11)
    error = cover(network, target, 0.04, tree)
    found = learn(target, "5e-2")
    pieces, witness = next((n.claim, n.witness) for n in found.certificate.nodes if n.claim.rule == "reach")
    witnesses = [(error, tree), (pieces, found.certificate.witnesses[witness])]
    honest, vague = neurons(pieces, 1.0), neurons(pieces, 1.0, "neurons")
    report = check(solution(network, target, [error, honest], witnesses, honest))
    assert "neurons with one kink >= 1" in str(report)
    with pytest.raises(CheckError, match="not of the form"):
        check(solution(network, target, [error, vague], witnesses, vague))


def test_labels_in_a_column_are_refused():
    """They would be compared with every row, and coins would be predicted without an error."""
    network, target = classifier()
    with pytest.raises(DomainError, match="shape"):
        DataTarget.from_arrays("coins", target.inputs, target.labels[:, None])
    column = replace(target, labels=target.labels[:, None])
    claim = risk(network, column, 0, 0.05)
    with pytest.raises(EpsnetError):
        check(solution(network, column, [claim]))


def test_subnormal_rational_weights_have_no_rounding_bound():
    """In the subnormal range a rational is rounded with any relative error."""
    entry = Exact((1, 1), {(0, 0): Fraction(3, 2) * Fraction(2) ** -1074})
    for terms, bias in (([(0, entry)], np.zeros(1)), ([(0, Dense([[1.0]]))], (Fraction(2) ** -1074 / 3,))):
        network = Network(1, (Layer(tuple(terms), bias, ("identity",)),))
        assert rounding_bound(network, Box(0, 1)) == math.inf
        with pytest.raises(CheckError, match="may reach inf"):
            check(solution(network, LINE, [rounding(network, Box(0, 1), 1e-300)]))


def test_both_outputs_may_be_off_by_two_rounding_errors():
    """Summed in another order, the label's output falls and the other rises, each by twice its bound at most."""
    unit, terms = 2.0**-52, 4000
    columns = tuple((0, Dense([[1.5 * unit], [0.5 * unit]])) for _ in range(terms))
    # In this order of summation the margin is 4010 ulp, in groups of three and seven it is -276 ulp.
    network = Network(1, (Layer(columns, np.array([1.0, 1.0 + (2 * terms - 4010) * unit]), ("identity",)),))
    assert count_errors(network, np.ones((2, 1)), np.zeros(2, dtype=int), None) == 2


def test_the_comparison_with_the_tolerance_is_rounded_outward():
    constant = Network.from_layers([([[0.0]], [2.0**-60])])
    x, y = np.ones((5, 1)), -np.ones(5)
    assert count_errors(constant, x, y, 1.0) == 5  # |2^-60 + 1| > 1, though float64 says otherwise
    assert count_errors(constant, x, y, 1.0 + 2.0**-40) == 0


@pytest.mark.parametrize("place", [(0.5, 0), (0, 0.0), ("a", 0), (0, 0, 0), 0, (1, 0), (0, -1)], ids=str)
def test_places_of_exact_matrices_are_integers_inside(place):
    with pytest.raises(DomainError):
        Exact((1, 1), {place: Fraction(1)})


def test_rational_weights_beyond_float64_end_politely(tmp_path):
    huge = Exact((1, 1), {(0, 0): Fraction(10) ** 400})
    network = Network(1, (Layer(((0, huge),), np.zeros(1), ("identity",)),))
    with pytest.raises(CheckError, match="may reach inf"):
        check(solution(network, LINE, [rounding(network, Box(0, 1), 1.0)]))
    save_network(network, tmp_path / "huge")
    assert json.dumps(inspect(tmp_path / "huge").to_json(), allow_nan=False)
    with pytest.raises(PrecisionError):
        huge.apply(np.ones((1, 1)))


UNDEFINED = [
    ("sqrt((x - 1/3)^2 - 1/1000000)", Box(0, 1)),
    ("asin(1 + 1/1000000 - (x - 1/3)^2)", Box(0, 1)),
    ("acos(1 + x)", Box(0, 1)),
    ("sqrt(x)", Box(-1, 1)),
    ("sqrt(x - y)", Box([0, 0], [1, 1])),
    ("asin(1 + x - y)", Box([0, 0], [1, 1])),
    ("x^(3/2)", Box(-1, 1)),
    ("0*sqrt(x - 1)", Box(0, 1)),
    ("0*log(x)", Box(-1, 1)),
    ("0/(x - 1/2)", Box(0, 1)),
    ("x/x", Box(-1, 1)),
    ("sin(0*log(x))", Box(-1, 1)),
    ("relu(log(x) - log(x))", Box(-1, 1)),
    ("tanh(1/x)", Box(-1, 1)),
    ("0*tan(x)", Box(0, 3)),
    ("(-8)^(1/3)*x", Box(0, 1)),
    ("sqrt(-1)*x", Box(0, 1)),
    ("sqrt(sqrt(x) - 1/1000000)", Box(0, 1)),
    ("sqrt(abs(x) - 1/1000000)", Box(-1, 1)),
    ("sqrt(x^3 - 3*x + 1.99)", Box(0, 2)),
]
DEFINED = [
    ("sqrt(x)", Box(0, 1)),
    ("sqrt(1 - x^2)", Box(-1, 1)),
    ("asin(x) + acos(x)", Box(-1, 1)),
    ("sqrt(x*y) + sqrt(abs(x - y))", Box([0, 0], [1, 1])),
    ("sqrt(1 - x - y)", Box([0, 0], ["1/2", "1/2"])),
    ("sqrt(x^2 - 2*x + 1.01)", Box(0, 2)),
    ("sqrt(x^2 + y^2)", Box([-1, -1], [1, 1])),
]


@pytest.mark.parametrize(("formula", "domain"), UNDEFINED, ids=[f"{f} on {d}" for f, d in UNDEFINED])
def test_formulas_are_defined_on_the_whole_domain(formula, domain):
    with pytest.raises(DomainError):
        Target(formula, domain)


@pytest.mark.parametrize(("formula", "domain"), DEFINED, ids=[f"{f} on {d}" for f, d in DEFINED])
def test_formulas_that_touch_the_end_of_a_natural_domain_are_accepted(formula, domain):
    assert Target(formula, domain).domain == domain


def test_long_products_are_not_evaluated_in_rationals():
    """Exactly, the value at the left end has some 14 million bits and takes minutes."""
    product = "*".join(f"x^{k}" for k in range(999, 700, -1))
    domain = Box(1 + Fraction(1, 3**30), 1 + Fraction(1, 2**40))
    assert Target(f"sqrt(9000*x - 9000*x + {product} - 0.9999999999999)", domain).domain == domain


def test_a_convolution_of_zeros_is_not_written_as_a_matrix():
    """One entry of the kernel is not 0 and one of the matrix, but there are 2 * 10^9 to look at."""
    kernel = np.zeros((1, 1, 200, 200))
    kernel[0, 0, 0, 0] = 1.0
    with pytest.raises(DomainError, match="matrix"):
        Convolution(kernel, (1, 1, 1), 1, 200).entries()


CONVOLUTIONS = [
    ((1, 1, 1, 1), (1, 274177, 67280421310721), 10**15, 0),
    ((1, 1, 1, 1), (1, -1, -1), 1, 1),
    ((1, 1, 0, 1), (1, 1, 1), 1, 0),
    ((1, 1, 1, 1), (1, 1, 1), 1, 20_000),
    ((1, 1, 1, 1), (1, 1, 1), 20_000, 20_000),
    ((1, 1, 1, 1), (1, 1, 1), 0, 0),
    ((1, 1, 1, 1), (1, 1, 1), 1, -1),
    ((1, 1, 2, 2), (1, 1, 1), 1, 0),
    ((1, 2, 1, 1), (1, 1, 1), 1, 0),
    ((1, 1, 1), (1, 1, 1), 1, 0),
    ((1, 1, 1, 1), (1, 1), 1, 0),
]


@pytest.mark.parametrize("geometry", CONVOLUTIONS, ids=str)
def test_ill_formed_convolutions_are_refused(geometry, folder):
    kernel, image, stride, padding = geometry
    with pytest.raises(DomainError):
        Convolution(np.ones(kernel), image, stride, padding)
    described = {"type": "convolution", "kernel": "k", "input_shape": list(image), "stride": stride, "padding": padding}

    def change(arrays, structure):
        arrays["k"] = np.ones(kernel)
        structure["layers"][0]["terms"][0][1] = described

    edit_network(folder, change)
    with pytest.raises(CheckError):
        check(folder)


# Objects in memory that are not what they say.


def test_weights_changed_after_hashing_are_noticed():
    network = Network.from_layers([([[1.0]], [0.0])])
    claim = cover(network, LINE, 0.0)
    forged = solution(network, LINE, [claim], [(claim, LEAF)])
    assert network.sha256 == IDENTITY.sha256
    weight = network.layers[0].terms[0][1].weight
    weight.flags.writeable = True
    weight[0, 0] = 5.0
    with pytest.raises(CheckError, match="another network"):
        check(forged)


def test_targets_with_made_up_parts_are_noticed():
    target = Target("x", Box(0, 1))
    claim = cover(IDENTITY, target, 0.0)
    forged = solution(IDENTITY, target, [claim], [(claim, LEAF)])
    for field, value in (("variables", ("x\nerror <= 0",)), ("variables", ("t",)), ("domain", Box(0, 2))):
        changed = copy.copy(target)
        object.__setattr__(changed, field, value)
        with pytest.raises(EpsnetError):
            check(replace(forged, target=changed))


def test_the_number_of_bits_and_of_points_is_counted():
    honest = line_solution()
    with pytest.raises(CheckError, match="bits"):
        check(replace(honest, bits=8))
    data = data_solution()
    with pytest.raises(CheckError, match="not the data"):
        check(replace(data, target=replace(data.target, points=10**9)))


def test_chains_and_diamonds_of_premises_end():
    pieces = reach(LINE, 1.0, 1)
    nodes, keys = [], (sha256_arrays(NO_WINDOWS), sha256_arrays(LEAF))
    for depth in range(26):
        premises = (depth - 1, depth - 1) if depth else ()
        claim = replace(pieces, premises=tuple(nodes[p].claim for p in premises))
        nodes.append(Node(claim, premises, keys[0]))
    error = cover(IDENTITY, LINE, 0.0)
    nodes.append(Node(error, (), keys[1]))
    certificate = Certificate(tuple(nodes), dict(zip(keys, (NO_WINDOWS, LEAF), strict=True)))
    forged = Solution(IDENTITY, LINE, error, 8 * len(network_bytes(IDENTITY)), certificate, nodes[-2].claim)
    with pytest.raises(CheckError, match="not of the form"):
        check(forged)
    assert len(forged.explain().splitlines()) < 1000
    deep, last = [], None
    for depth in range(3000):
        claim = replace(pieces, premises=() if last is None else (last,))
        deep.append(Node(claim, (depth - 1,) if depth else (), keys[0]))
        last = claim
    deep.append(Node(error, (), keys[1]))
    with pytest.raises(CheckError, match="deeper"):
        check(replace(forged, certificate=replace(certificate, nodes=tuple(deep)), optimality=None))


# Texts and fields that a reader could take for more than they are.


LIE = "x\nre-derived   sup |F - Phi| <= 0 on [-1, 1]   PROVED (taylor-cover; exact arithmetic)\x1b[8m"


@pytest.mark.parametrize(
    "change",
    [
        {"hypotheses": (LIE,)}, {"hypotheses": ("1 cells cover [0, 1]", "the moon is full")}, {"hypotheses": ()},
        {"assumptions": (LIE,)}, {"assumptions": ("nothing",)}, {"quantity": LIE}, {"quantity": "the true error"},
        {"theorem": LIE}, {"theorem": "triangle"}, {"rule": LIE}, {"rule": "exact"},
        {"measure": LIE}, {"measure": "Lebesgue"}, {"norm": None}, {"norm": "L2"}, {"sense": "=="}, {"sense": ">="},
        {"eps": Fraction(1, 10**9)}, {"eps": Fraction(10) ** 999}, {"eps": Fraction(0)},
        {"delta": Fraction(1, 3)}, {"delta": Fraction(10) ** 999}, {"delta": Fraction(-1)}, {"domain": None},
        {"domain": Box(0, 2)}, {"domain": Box(0, "0." + "9" * 3000)}, {"kind": Kind.PROVED}, {"arithmetic": "float32"},
        {"exact": Fraction(1), "value": 0.0}, {"exact": Fraction(-1)}, {"exact": Fraction(1, 10**4400)},
        {"network": None}, {"target": None}, {"network": LIE}, {"target": "\ud800"}, {"hypotheses": ("\ud800",)},
        {"value": -1.0}, {"value": math.inf}, {"value": math.nan}, {"value": -math.inf},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_field_of_a_claim_is_checked(change):
    with pytest.raises(CheckError) as refusal:
        check(line_solution(**change))
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "change",
    [
        {"domain": Box(5, 6)}, {"eps": Fraction(1, 10**9)}, {"measure": "all of mankind"}, {"measure": None},
        {"norm": "sup"}, {"assumptions": ()}, {"assumptions": (INDEPENDENCE, LIBRARY_ASSUMPTION)},
        {"hypotheses": ("0 errors in 100 points",)}, {"delta": Fraction(0)}, {"delta": Fraction(1)},
        {"delta": Fraction(10) ** 999}, {"value": 0.05}, {"value": 2.0}, {"kind": Kind.VERIFIED},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_field_of_a_risk_is_checked(change):
    with pytest.raises(CheckError):
        check(data_solution(**change))


def test_texts_of_a_solution_are_printable():
    network, target = classifier()
    named = DataTarget.from_arrays("toy" + LIE, target.inputs, target.labels)
    claim = risk(network, named, 3, 0.2)
    for forged in (replace(line_solution(), result=LIE), solution(network, named, [claim])):
        with pytest.raises(CheckError, match="not printable"):
            check(forged)
    with pytest.raises(DomainError):
        Target("1", Box(0, 1), variables=["x\n"])
    for name in ("leaky_relu(\n0.5\r)", "leaky_relu(\u0660.5)", "leaky_relu(0_1)", "relu\n", "leaky_relu(nan)"):
        with pytest.raises(DomainError):
            Network.from_layers([([[1.0]], [0.0])], output=name)


def test_errors_on_the_command_line_are_one_printable_line(tmp_path):
    """What run.json says about the origin of the data is quoted when the data is not there."""
    save_solution(data_solution(), tmp_path)
    run = {"target": "toy\x1b[8m.npz\nall 1 claims hold", "formula": False}
    (tmp_path / "run.json").write_text(json.dumps(run))
    done = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert done.exit_code == 2 and not done.stdout
    assert len(done.stderr.splitlines()) == 1 and done.stderr.rstrip("\n").isprintable()


def test_optimality_is_a_lower_bound_about_the_target():
    """An upper bound of pieces, or a lower bound about another domain, is no optimality."""
    error = cover(IDENTITY, LINE, 0.0)
    pieces, part = reach(LINE, 1.0, 1), replace(reach(LINE, 1.0, 1), domain=Box(0, "1/2"))
    witnesses = [(error, LEAF), (pieces, NO_WINDOWS), (part, NO_WINDOWS)]
    check(solution(IDENTITY, LINE, [error, pieces], witnesses, pieces))
    for wrong in (error, part):
        with pytest.raises(CheckError, match="not a lower bound"):
            check(solution(IDENTITY, LINE, [error, part], witnesses, wrong))


def test_the_report_tells_the_assumptions_of_every_claim():
    network = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])], activation="tanh")
    target = Target("tanh(x)", Box(0, 1))
    tree = grid(0.0, 1.0, 3)
    error = cover(network, target, 0.1, tree)
    beside = rounding(network, Box(0, 1), 1e-13, assumptions=(LIBRARY_ASSUMPTION,))
    report = check(solution(network, target, [error, beside], [(error, tree)]))
    assert not error.assumptions and f"assumed      {LIBRARY_ASSUMPTION}" in str(report).splitlines()


@pytest.mark.parametrize(
    "value",
    [
        Fraction(0), Fraction(1, 3), Fraction("0.99999999"), Fraction("0.2499999"), Fraction(0.1), Fraction(1, 10),
        Fraction(math.pi), -Fraction(1, 8), 1 - Fraction(1, 10**7), Fraction(10) ** 300, Fraction(10) ** 999,
        Fraction(5e-324), 1 - Fraction(10) ** -999, Fraction(2**60 + 1), Fraction(7, 2**70),
    ],
    ids=lambda value: str(float(value)) if abs(value) < 10**300 else "huge",
)  # fmt: skip
def test_printed_numbers_are_the_numbers(value):
    """As decimals or fractions, or, for float64 numbers that would take many digits, as Python reads a float."""
    text = number_text(value)
    assert Fraction(text) == value or Fraction(float(text)) == value


def test_the_float_and_the_decimal_are_different_ends():
    """F is 0 right of the float 0.1 and 1 at 1/10, which is less."""
    cuts = [0.1 + 2.0**-k for k in range(1, 40)]
    tree = {"axis": np.array([0] * len(cuts) + [-1] * (len(cuts) + 1)), "split": np.array(cuts + [0.0] * 40)}
    for end, holds in ((0.1, True), ("0.1", False)):
        target = Target("relu(1 - 10^20*(x - 1/10))", Box(end, 1))
        claim = cover(ZERO, target, 0.0, tree)
        forged = solution(ZERO, target, [claim], [(claim, tree)])
        if holds:
            check(forged)
        else:
            with pytest.raises(CheckError, match="only known to lie"):
                check(forged)


# Files that no writer wrote.


DATA = {"kind": "data", "name": "d", "points": 1, "tolerance": None, "sha256": "x"}


def claim_of(data):
    return data["certificate"][0]["claim"]


def domains_of(data):
    return claim_of(data)["domain"], data["target"]["domain"]


JSON_EDITS = {
    "value inf": lambda j: claim_of(j).update(value=math.inf),
    "value inf, exact": lambda j: claim_of(j).update(value=math.inf, exact="1e999"),
    "value int": lambda j: claim_of(j).update(value=0),
    "value true": lambda j: claim_of(j).update(value=True),
    "domains end at 1e999": lambda j: [d.update(upper=["1e999"]) for d in domains_of(j)],
    "interval of infinities": lambda j: j["target"].update(domain={"lower": ["1e999"], "upper": ["1e999"]}),
    "long end": lambda j: [d.update(upper=["0." + "9" * 4000 + "e-999"]) for d in domains_of(j)],
    "long eps": lambda j: claim_of(j).update(eps="9" * 4000 + "e999"),
    "long delta": lambda j: claim_of(j).update(delta="1/" + "9" * 4290),
    "eps 1e999": lambda j: claim_of(j).update(eps="1e999"),
    "eps digits": lambda j: claim_of(j).update(eps="1" * 39_999 + "x"),
    "infinite points": lambda j: j.update(target={**DATA, "points": math.inf}),
    "data without data": lambda j: j.update(target={**DATA, "tolerance": math.nan}),
    "stats list": lambda j: j.update(stats=[1]),
    "stats number": lambda j: j.update(stats=5),
    "certificate empty": lambda j: j.update(certificate=[]),
    "certificate object": lambda j: j.update(certificate={}),
    "claim list": lambda j: j["certificate"][0].update(claim=[1, 2]),
    "hypotheses number": lambda j: claim_of(j).update(hypotheses=5),
    "surrogate": lambda j: claim_of(j).update(hypotheses=["\ud800"], assumptions=["\ud800"]),
    "kind list": lambda j: claim_of(j).update(kind=["x"]),
    "witness object": lambda j: j["certificate"][0].update(witness={"a": 1}),
    "no witness": lambda j: j["certificate"][0].update(witness=None),
    "error outside": lambda j: j.update(error=7),
    "error negative": lambda j: j.update(error=-1),
    "error null": lambda j: j.update(error=None),
    "error true": lambda j: j.update(error=True),
    "optimality null text": lambda j: j.update(optimality="0"),
    "premise of itself": lambda j: j["certificate"][0].update(premises=[0]),
    "variables nested": lambda j: j["target"].update(variables=[["x"]]),
    "variables numbers": lambda j: j["target"].update(variables=[1], formula="1"),
    "variables twice": lambda j: j["target"].update(variables=["x", "x"]),
    "formula list": lambda j: j["target"].update(formula=["x"]),
    "formula null": lambda j: j["target"].update(formula=None),
    "formula of another": lambda j: j["target"].update(formula="x + 0.001"),
    "no domain": lambda j: j["target"].update(domain=None),
    "target list": lambda j: j.update(target=[1]),
    "format": lambda j: j.update(format="epsnet-solution-2"),
}  # fmt: skip


@pytest.mark.parametrize("change", JSON_EDITS.values(), ids=JSON_EDITS)
def test_malformed_solutions_are_refused(change, folder):
    edit(folder, change)
    with pytest.raises(EpsnetError) as refusal:
        check(folder)
    assert str(refusal.value).isprintable()


def with_sparse(arrays, structure, rows, shape=(1, 1)):
    arrays.update(r=np.array(rows), c=np.zeros(len(rows), dtype=int), v=np.ones(len(rows)))
    described = {"type": "sparse", "shape": list(shape), "rows": "r", "columns": "c", "values": "v"}
    structure["layers"][0]["terms"][0][1] = described


def with_exact(arrays, structure, rows, values=("1",)):
    arrays.update(r=np.array(rows), c=np.zeros(len(rows), dtype=int))
    described = {"type": "exact", "shape": [1, 1], "rows": "r", "columns": "c", "values": list(values)}
    structure["layers"][0]["terms"][0][1] = described


def cast(dtype):
    return lambda a, s: a.update({name: array.astype(dtype) for name, array in a.items()})


NETWORK_EDITS = {
    "inputs inf": lambda a, s: s.update(inputs=math.inf),
    "inputs 1e400": lambda a, s: s.update(inputs=10**400),
    "inputs 1e9": lambda a, s: s.update(inputs=10**9),
    "inputs 0": lambda a, s: s.update(inputs=0),
    "inputs true": lambda a, s: s.update(inputs=True),
    "inputs 1.0": lambda a, s: s.update(inputs=1.0),
    "shape []": lambda a, s: with_sparse(a, s, [0], ()),
    "shape negative": lambda a, s: with_sparse(a, s, [0], (-1, 1)),
    "sparse outside": lambda a, s: with_sparse(a, s, [3]),
    "sparse twice": lambda a, s: with_sparse(a, s, [0, 0]),
    "sparse places between": lambda a, s: with_sparse(a, s, [0.5]),
    "exact places as floats": lambda a, s: with_exact(a, s, [0.0]),
    "exact places between": lambda a, s: with_exact(a, s, [0.0, 0.5], ("10", "-9")),
    "exact places twice": lambda a, s: with_exact(a, s, [0, 0], ("1", "1")),
    "exact 1e999 digits": lambda a, s: with_exact(a, s, [0], ("9" * 4000 + "e999",)),
    "exact 0.10": lambda a, s: with_exact(a, s, [0], ("0.10",)),
    "exact 1/0": lambda a, s: with_exact(a, s, [0], ("1/0",)),
    "exact nan": lambda a, s: with_exact(a, s, [0], ("nan",)),
    "exact too few": lambda a, s: with_exact(a, s, [0], ()),
    "bias 1e400": lambda a, s: s["layers"][0].update(bias=["1e400"]),
    "bias null": lambda a, s: s["layers"][0].update(bias=[None]),
    "bias unknown": lambda a, s: s["layers"][0].update(bias="nowhere"),
    "bias of no dimension": lambda a, s: a.update({"1.bias": np.zeros(())}),
    "bias NaN": lambda a, s: a.update({"1.bias": np.array([math.nan])}),
    "array unused": lambda a, s: a.update(unused=np.zeros(3)),
    "term not a pair": lambda a, s: s["layers"][0].update(terms=[[0]]),
    "term from the future": lambda a, s: s["layers"][0]["terms"][0].__setitem__(0, 1),
    "term from 0.0": lambda a, s: s["layers"][0]["terms"][0].__setitem__(0, 0.0),
    "no terms": lambda a, s: s["layers"][0].update(terms=[]),
    "layers object": lambda a, s: s.update(layers={"a": 1}),
    "no layers": lambda a, s: s.update(layers=[]),
    "nothing": lambda a, s: s.clear(),
    "more": lambda a, s: s.update(comment="proved"),
    "activation": lambda a, s: s["layers"][0].update(activations=["leaky_relu(\n\n\t0.5\n)"]),
    "activation number": lambda a, s: s["layers"][0].update(activations=[1]),
    "activation text": lambda a, s: s["layers"][0].update(activations="identity"),
    **{dtype: cast(dtype) for dtype in ("bool", "int8", "uint8", "float16", "float32", "int64", "uint64")},
}  # fmt: skip


@pytest.mark.parametrize("change", NETWORK_EDITS.values(), ids=NETWORK_EDITS)
def test_malformed_networks_are_refused(change, folder):
    edit_network(folder, change)
    with pytest.raises(CheckError):
        check(folder)
    with pytest.raises(CheckError):
        load_network(folder / NETWORK_FILE)


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("BF16", [2], 4), ("F8_E4M3", [2], 2), ("F8_E8M0", [2], 2), ("F4", [2], 1), ("F6_E2M3", [4], 3),
        ("C64", [1], 8), ("BOOL", [1], 1), ("U16", [], 2), ("F64", [0, 2**62], 0), ("F64", [2**62, 2**62, 0], 0),
        ("F64", [2**63], 0),
    ],
    ids=str,
)  # fmt: skip
def test_files_with_other_types_are_refused(dtype, shape, size, tmp_path):
    tensor = {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}
    header = json.dumps({"w": tensor, "__metadata__": {"epsnet": "{}"}}).encode()
    path = tmp_path / "network"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with pytest.raises(CheckError):
        load_network(path)


@pytest.mark.parametrize(
    ("old", "new", "weight"),
    [
        (b'"F64"', b'"C64"', struct.pack("<ff", 1.0, 777.0)),
        (b'"F64"', b'"I64"', struct.pack("<q", 1)),
        (b'"F64"', b'"F64"', struct.pack("<d", math.nan)),
        (b'"F64"', b'"F64"', struct.pack("<d", math.inf)),
    ],
    ids=["complex64", "int64", "nan", "inf"],
)
def test_weights_read_otherwise_by_another_program_are_refused(old, new, weight, folder):
    path = folder / NETWORK_FILE
    content = path.read_bytes()
    place = content.index(old, content.index(b"1.0.weight"))
    content = content[:place] + new + content[place + len(old) :]
    path.write_bytes(content.replace(struct.pack("<d", 1.0), weight))
    with pytest.raises(CheckError):
        check(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6,
        '{"a":' + "[" * 900 + "]" * 900 + "}",
        "9" * 5000,
        "",
        "null",
        "\x00",
        '"\\ud800"',
        "{}",
        "[]",
        "NaN",
    ],
    ids=lambda text: repr(text)[:20],
)
def test_solution_files_that_are_no_solution_are_refused(text, folder):
    (folder / SOLUTION_FILE).write_text(text)
    with pytest.raises(CheckError):
        load_solution(folder)


@pytest.mark.parametrize("name", [SOLUTION_FILE, NETWORK_FILE, WITNESS_FILE])
def test_files_that_are_endless_or_missing_are_refused(name, folder):
    endless = Path("/proc/self/pagemap")
    (folder / name).unlink()
    with pytest.raises(EpsnetError):
        check(folder)
    (folder / name).mkdir()
    with pytest.raises(EpsnetError):
        check(folder)
    (folder / name).rmdir()
    if endless.exists():
        (folder / name).symlink_to(endless)
        start = time.perf_counter()
        with pytest.raises(EpsnetError):
            check(folder)
        assert time.perf_counter() - start < 5


# Data, and environments.


@pytest.mark.parametrize(
    ("inputs", "labels", "tolerance"),
    [
        ([["a"]], [0], None), ([[1.0], [1.0, 2.0]], [0, 1], None), ([[1.0]], [1e300], None), ([[1.0]], [0.5], None),
        ([[1.0]], [math.nan], None), ([[math.inf]], [0], None), ([[1.0]], ["a"], None), ([[1.0]], None, None),
        ([[1.0]], [[0]], None), ([[1.0]], np.zeros((1, 0)), 1.0), ([[1.0]], np.zeros(()), 1.0), ([], [], None),
        (np.zeros((1, 0)), [0], None), ([[1.0]], [2**63], None), ([[1.0]], [0.0], math.nan), ([[1.0]], [0.0], -1.0),
        ([[1.0]], [0.0], math.inf), ([[10**400]], [0], None), ([[1j]], [0], None), ([[1.0]], [1j], 1.0),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_bad_samples_are_refused(inputs, labels, tolerance):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DomainError):
            DataTarget.from_arrays("bad", inputs, labels, tolerance)


@pytest.mark.parametrize("tolerance", [math.nan, math.inf, -1.0])
def test_bad_tolerances_are_refused(tolerance):
    target = DataTarget("bad", 3, tolerance, "0" * 64, np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(EpsnetError):
        check(solution(IDENTITY, target, [risk(IDENTITY, target, 0, 1.0)]))


@pytest.mark.parametrize("labels", [[-1], [2], [7]])
def test_labels_are_outputs(labels):
    network = classifier()[0]
    target = DataTarget.from_arrays("odd", [[1.0]], labels)
    with pytest.raises(CheckError, match="does not fit"):
        check(solution(network, target, [risk(network, target, 0, 1.0)]))


def test_a_tolerance_is_printed_exactly():
    assert "more than 0.1000004" in str(DataTarget.from_arrays("d", [[1.0]], [1.0], 0.1000004))


def test_overflow_counts_as_error_whatever_numpy_is_told():
    network = Network.from_layers([([[1e300], [0.0]], [0.0, 0.0])])
    target = DataTarget.from_arrays("far", [[1e308]], [0])
    with np.errstate(all="raise"):
        check(solution(network, target, [risk(network, target, 1, 1.0)]))


def test_dimensions_must_agree():
    pixel = Convolution(np.ones((1, 1, 1, 1)), (1, 1, 1))
    plane = Target("x + y", Box([0, 0], [1, 1]))
    for network in (IDENTITY, Network(1, (Layer(((0, pixel),), np.zeros(1), ("identity",)),))):
        for claim in (rounding(network, Box([0, 0], [1, 1]), 1.0), cover(network, plane, 9.0)):
            with pytest.raises(CheckError, match=r"dimension|inputs"):
                check(solution(network, plane, [claim], [(claim, LEAF)]))


# Work that never ends.


ENDLESS = {
    "a pattern that tracks back": lambda: exact("1" * 39_999 + "x"),
    "4000 variables": lambda: Target("x1", Box([0] * 4000, [1] * 4000), variables=[f"x{i}" for i in range(1, 4001)]),
    "powers of powers": lambda: Target(
        "sqrt(((x^9999)^9999)^9999 - (((3/2)^9999)^9999)^9999)", Box("3/2", 2)
    ),
    "an end of a domain": lambda: read_domain("0,((9^9999)^9999)^9999"),
    "64 variables": lambda: Target(
        "sqrt(1/100 + " + " + ".join(f"(x{i} - x{i + 1})*(x{i} - x{i + 1})" for i in range(1, 64)) + ")",
        Box([-1] * 64, [1] * 64),
    ),
    "a long formula": lambda: Target("sqrt(1/1000 + x*x - 2*x*y + y*y)" + " + sin(x)" * 2000, Box([-1, -1], [1, 1])),
    "a billion inputs": lambda: Network(
        10**9, (Layer(((0, Exact((1, 10**9), {(0, 0): Fraction(1, 3)})),), np.zeros(1), ("identity",)),)
    ),
    "padding": lambda: Convolution(np.ones((1, 1, 1, 1)), (1, 1, 1), 1, 20_000),
}  # fmt: skip


@pytest.mark.parametrize("attempt", ENDLESS.values(), ids=ENDLESS)
def test_no_small_file_takes_long(attempt):
    start = time.process_time()
    with pytest.raises(DomainError):
        attempt()
    assert time.process_time() - start < 20


# Mutations at random.


def follows(claim, originals, network):
    """Tell whether a claim is one of the original ones or weaker, or a closed form, on whatever domain."""
    if claim.rule == "exact":
        closed_form = rounding_bound if claim.quantity == "rounding" else linear_pieces
        return claim.network == network.sha256 and claim.limit >= closed_form(network, claim.domain)

    def weaker(old):
        about = ("quantity", "sense", "norm", "measure", "arithmetic", "network", "target")
        if any(getattr(claim, name) != getattr(old, name) for name in about):
            return False
        if (claim.domain is None) != (old.domain is None) or (claim.eps is None) != (old.eps is None):
            return False
        inside = claim.domain is None or old.domain.contains(claim.domain)
        closer = claim.eps is None or claim.eps <= old.eps
        values = (claim.limit, Fraction(claim.value))
        milder = all(v >= old.limit for v in values) if claim.sense == "<=" else all(v <= old.limit for v in values)
        told = set(claim.assumptions) == set(old.assumptions)
        surer = old.kind.satisfies(claim.kind) and old.delta <= claim.delta
        return inside and closer and milder and told and surer

    return any(map(weaker, originals))


ODD_VALUES = (
    None, True, False, 0, 1, -1, 2**70, 10**400, 0.0, -1.0, 1e308, 5e-324, math.inf, math.nan, "", "0", "x", "1/3",
    "1e-3", "1e999", "nan", "sup", "L2", "<=", ">=", "PROVED", "float64", "exact", "\n", "\ud800", [], {}, [0], [[]],
)  # fmt: skip


def places_of(data):
    """All places of a JSON value, as (container, key)."""
    found, stack = [], [data]
    while stack:
        container = stack.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            found.append((container, key))
            if isinstance(container[key], dict | list):
                stack.append(container[key])
    return found


def mutate_json(data, dice):
    """Replace, delete, duplicate, retype, exchange or change a little something in a JSON value, in place."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        container, key = dice.choice(places_of(data))
        value = container[key]
        match dice.randrange(7):
            case 0:
                container[key] = copy.deepcopy(dice.choice(ODD_VALUES))
            case 1:
                del container[key]
            case 2 if isinstance(container, list):
                container.insert(dice.randrange(len(container) + 1), copy.deepcopy(value))
            case 2:
                container[f"{key}{dice.choice('_x2')}"] = copy.deepcopy(value)
            case 3:
                container[key] = dice.choice(([value], {"a": value}, str(value)))
            case 4:
                other, place = dice.choice(places_of(data))
                container[key] = copy.deepcopy(other[place])
            case 5 if isinstance(value, int | float) and not isinstance(value, bool):
                factors = (0.5, 2.0, 1 + 2.0**-52, 1 - 2.0**-52, 1.001, 0.999, -1.0)
                container[key] = dice.choice([value * f for f in factors] + [value + 1, value - 1])
            case _ if isinstance(value, str) and value:
                place = dice.randrange(len(value))
                put = dice.choice(("", "0", "9", "x", ".", "-", "/", "\n", value[place] * 2))
                container[key] = value[:place] + put + value[place + 1 :]


def mutate_bytes(content, dice):
    """Flip, drop, repeat, cut or append some bytes."""
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 5))):
        place = dice.randrange(len(changed) or 1)
        match dice.randrange(6):
            case 0 | 1:
                changed[place : place + 1] = bytes([dice.randrange(256)])
            case 2:
                changed[place : place + 1] = bytes([(changed[place : place + 1] or b"\0")[0] ^ 1 << dice.randrange(8)])
            case 3:
                del changed[place : place + dice.choice((1, 8, 1000))]
            case 4:
                changed[place:place] = changed[place : place + dice.choice((1, 8))]
            case 5:
                changed += dice.choice((b"\0", b" ", b"}", bytes(8)))
    return bytes(changed)


def mutate_witness(folder, dice):
    """Change one array of a witness and give it the hash that it then has."""
    arrays = dict(load_arrays((folder / WITNESS_FILE).read_bytes()))
    name = dice.choice(sorted(arrays))
    key = name.partition(".")[0]
    array = arrays[name].copy()
    place = dice.randrange(len(array))
    match dice.randrange(5):
        case 0:
            array = np.delete(array, place)
        case 1:
            array = np.insert(array, place, array[place])
        case 2:
            array = array.astype(dice.choice(("float64", "int64", "float32", "bool")))
        case 3:
            array[place] = dice.choice((-2, -1, 0, 1, 7))
        case 4 if array.dtype.kind == "f":
            array[place] = float(array[place]) * dice.choice(
                (-1.0, 0.5, 1 + 2.0**-40, 1 - 2.0**-40, 1.5, math.nan, math.inf)
            )
    arrays[name] = array
    mine = {n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(key)}
    new = sha256_arrays(mine)
    arrays = {n: a for n, a in arrays.items() if not n.startswith(key)} | {f"{new}.{n}": a for n, a in mine.items()}
    (folder / WITNESS_FILE).write_bytes(save_arrays(arrays))
    path = folder / SOLUTION_FILE
    path.write_text(path.read_text().replace(key, new))


def original_solutions():
    plain = learn(Target("exp(x)", Box(0, 1)), "2e-2")
    flat = learn(Target("x^2", Box(0, 1), norm="L2"), "2e-2")
    return [plain, plain, flat, data_solution()]


def test_two_thousand_mutations_of_stored_solutions(tmp_path):
    """Whatever is still accepted says no more than the original, and whatever is refused is refused politely."""
    dice = random.Random(20)
    originals = original_solutions()
    files = []
    for number, original in enumerate(originals):
        save_solution(original, tmp_path / str(number))
        files.append({path.name: path.read_bytes() for path in (tmp_path / str(number)).iterdir()})
    accepted, folder = 0, tmp_path / "mutated"
    folder.mkdir()
    for number in range(2000):
        original = originals[number % len(originals)]
        content = files[number % len(originals)]
        for name, data in content.items():
            (folder / name).write_bytes(data)
        kind = dice.choice(("json", "json", "json", "bytes", "witness"))
        if kind == "json":
            edit(folder, lambda data: mutate_json(data, dice))
        elif kind == "bytes" or not original.certificate.witnesses:
            name = dice.choice((NETWORK_FILE, WITNESS_FILE, SOLUTION_FILE))
            (folder / name).write_bytes(mutate_bytes(content[name], dice))
        else:
            mutate_witness(folder, dice)
        sample = original.target
        data = (sample.inputs, sample.labels) if isinstance(sample, DataTarget) else None
        try:
            report = check(folder, data=data)
        except EpsnetError:
            continue
        accepted += 1
        known = [node.claim for node in original.certificate.nodes]
        assert all(follows(claim, known, original.network) for claim in report.checked), f"mutation {number}:\n{report}"
        # One line for every claim and every assumption, and one at the end.
        assumed = {text for claim in report.checked for text in claim.assumptions}
        assert len(str(report).splitlines()) == len(report.checked) + len(assumed) + 1
        assert follows(report.error, known, original.network)
        loaded = load_solution(folder)
        assert loaded.network.sha256 == original.network.sha256 and loaded.target.sha256 == original.target.sha256
    assert 0 < accepted < 500  # changed stats and results, weaker claims, claims given twice


def mutate_header(content, dice):
    """Change something in the structure that the header of a network file holds."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    structure = json.loads(header["__metadata__"]["epsnet"])
    mutate_json(structure, dice)
    header["__metadata__"]["epsnet"] = json.dumps(structure, sort_keys=True, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def test_two_hundred_mutations_of_network_files(tmp_path):
    """A file that is read at all is the one file of the network in it."""
    dice = random.Random(21)
    third = Exact((2, 1), {(0, 0): Fraction(1, 3), (1, 0): Fraction(2)})
    image = Convolution(np.arange(8.0).reshape(2, 1, 2, 2), (1, 3, 3))
    networks = [
        Network(1, (Layer(((0, third),), (Fraction(1, 7), Fraction(0)), ("relu", "leaky_relu(0.1)")),)),
        Network(9, (Layer(((0, image),), np.zeros(2), ("tanh",)), Layer(((1, Dense(np.ones((1, 8)))),), np.ones(1)))),
    ]
    path = tmp_path / "network"
    read = 0
    for number in range(200):
        content = network_bytes(networks[number % 2])
        changed = mutate_header(content, dice) if number % 4 < 2 else mutate_bytes(content, dice)
        path.write_bytes(changed)
        try:
            network = load_network(path)
        except EpsnetError:
            continue
        read += 1
        assert network_bytes(network) == changed
        assert (network.sha256 == networks[number % 2].sha256) or changed != content
        assert str(inspect(path)).isascii()
    assert read > 0


def lipschitz(network, domain, value, cells=1):
    return Bound(
        quantity="lipschitz", sense="<=", value=value, norm="sup", domain=domain, kind=Kind.VERIFIED,
        theorem="interval-jacobian", rule="cover", hypotheses=(f"{cells} cells cover the domain",),
        network=network.sha256,
    )  # fmt: skip


def test_a_slope_that_underflows_still_moves_over_a_huge_domain():
    """The product of the first two weights is 0 in float64, but times 1e299 it decides the sign of the ReLU."""
    layers = [([[1e-300]], [0.0]), ([[1e-30]], [0.0]), ([[1e30]], [-0.5]), ([[1e200]], [0.0])]
    network = Network.from_layers(layers, activation=["identity", "identity", "relu"])
    domain = Box(-9e299, 9e299)
    claim = lipschitz(network, domain, 1e-101)
    low, high = (realize_exact(network, [Fraction(x)])[0] for x in (8e299, 9e299))
    assert (high - low) / Fraction(1e299) > Fraction(1e-101)
    with pytest.raises(CheckError, match="constant is only known"):
        check_certificate(network, Certificate.of([claim], [(claim, LEAF)]))


def test_sparse_networks_do_not_fill_the_memory_with_zeros():
    """One entry in a matrix of 12,000 rows or columns: its affine forms, Jacobian or Gram matrix would be 1 GiB."""
    size = 12_000
    wide = Network.from_layers([(Sparse((1, size), [0], [0], [1.0]), [0.0])])
    tall = Network.from_layers([(Sparse((size, 1), [0], [0], [1.0]), np.zeros(size))])
    places = np.arange(size)
    tracemalloc.start()
    try:
        arguments(wide, Box([0] * size, [1] * size))
        with pytest.raises(DomainError, match="fewer outputs"):
            interval_jacobian(tall, slopes(tall, None))
        assert not Block.of(Sparse((size, size), places, places, np.ones(size))).norm_is_at_most(2.0)
        assert tracemalloc.get_traced_memory()[1] < 10**8
    finally:
        tracemalloc.stop()


def test_a_chain_of_cuts_in_many_dimensions_is_refused():
    """It would hold all the corners of its cells at once, 16 kB for a node that takes 9 bytes in the file."""
    size, nodes = 2000, 50_001
    network = Network.from_layers([(Sparse((1, size), [0], [0], [1.0]), [0.0])])
    inner = nodes // 2
    axis = np.array([0] * inner + [-1] * (nodes - inner), dtype=np.int8)
    split = np.concatenate([1.0 - np.arange(1, inner + 1) * 2.0**-20, np.zeros(nodes - inner)])
    claim = lipschitz(network, Box([0] * size, [1] * size), 1.0, inner + 1)
    with pytest.raises(CheckError, match="dimensions"):
        check_certificate(network, Certificate.of([claim], [(claim, {"axis": axis, "split": split})]))
