"""The Lipschitz theorems of rule `cover` against mutations: a claim below the true constant never passes."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check, check_certificate
from epsnet.core.network import Network
from epsnet.core.realize import realize_exact
from epsnet.core.target import Target
from epsnet.enclosure.lipschitz import lipschitz_bounds
from epsnet.learning.learn import learn

MUTATIONS = 1000


@pytest.fixture
def random():
    return np.random.Generator(np.random.Philox(13))


def network_of(random, depth=2, width=4):
    widths = [1, *[width] * depth, 1]
    return Network.from_layers(
        [(random.integers(-8, 9, (b, a)) / 4, random.integers(-8, 9, b) / 4) for a, b in pairwise(widths)]
    )


def steepest(network):
    """A true lower bound of the Lipschitz constant on [-1, 1], in rationals: the steepest chord of a fine grid."""
    points = [Fraction(k, 64) for k in range(-64, 65)]
    values = [realize_exact(network, [x])[0] for x in points]
    return max(abs(b - a) * 64 for a, b in pairwise(values))


def rejected(network, roots, witnesses=()):
    try:
        check_certificate(network, Certificate.of(roots, witnesses))
    except CheckError:
        return True
    return False


@pytest.fixture(scope="module")
def honest():
    """Networks with their steepest chord and certified constants, those with a bound well above excluded."""
    random = np.random.Generator(np.random.Philox(3))
    networks = [network_of(random, depth) for depth in (1, 1, 2, 2, 3)]
    coarse = [float(1.3 * steepest(n)) for n in networks]
    goals = [{"sup": goal, "L2": goal} for goal in coarse]
    found = [
        (n, steepest(n), lipschitz_bounds(n, Box(-1, 1), goal), lipschitz_bounds(n, None, {}))
        for n, goal in zip(networks, goals, strict=True)
    ]
    assert all(slope > 0 for _, slope, _, _ in found)
    return found


def claim_of(certified, value, tree=None):
    """A claim of another value, with the sentence about the cells that the rule will find."""
    cells = () if tree is None else (f"{int((tree['axis'] < 0).sum())} cells cover the domain",)
    return replace(certified.bound, value=float(value), hypotheses=cells)


def witness_of(certified):
    return {name: array.copy() for name, array in certified.witnesses[0][1].items()} if certified.witnesses else {}


def random_tree(random):
    """A bisection tree of [-1, 1] that covers it."""
    axes, splits, stack = [], [], [(-1.0, 1.0, 0)]
    while stack:
        low, high, depth = stack.pop()
        if depth > 6 or random.random() < 0.3:
            axes.append(-1)
            splits.append(0.0)
        else:
            cut = float(random.uniform(low, high))
            axes.append(0)
            splits.append(cut)
            stack += [(cut, high, depth + 1), (low, cut, depth + 1)]
    return {"axis": np.array(axes), "split": np.array(splits)}


def test_honest_claims_pass(honest):
    for network, slope, local, everywhere in honest:
        for certified in (*local.values(), *everywhere.values()):
            assert slope <= certified.bound.limit
            assert not rejected(network, [certified.bound], certified.witnesses)


def test_values_below_the_truth_are_rejected_for_any_tree_and_any_norms(honest, random):
    for number in range(MUTATIONS):
        network, slope, local, everywhere = honest[number % len(honest)]
        where = local if random.random() < 0.7 else everywhere
        certified = where["sup" if random.random() < 0.5 else "L2"]
        value = float(slope * Fraction(1 - 10.0 ** random.uniform(-12, 0)))
        witness = witness_of(certified)
        if where is local and random.random() < 0.5:
            witness.update(random_tree(random))
        if certified.bound.theorem == "layer-splitting":
            length = len(witness["norm"]) if random.random() < 0.5 else int(random.integers(0, 60))
            witness["norm"] = np.resize(witness["norm"], length) * random.choice([1.0, 0.9, 0.1, 2.0], length)
        claim = claim_of(certified, value, witness if "axis" in witness else None)
        assert rejected(network, [claim], [(claim, witness)] if witness else [])


def test_claims_of_other_networks_are_rejected(honest, random):
    made = 0
    while made < MUTATIONS:
        network, _, local, everywhere = honest[made % len(honest)]
        certified = (local if random.random() < 0.5 else everywhere)["sup" if random.random() < 0.5 else "L2"]
        layers = [(layer.terms[0][1].weight.copy(), layer.bias.copy()) for layer in network.layers]
        for _ in range(random.integers(1, 4)):
            matrix = layers[random.integers(len(layers))][0]
            matrix[tuple(random.integers(n) for n in matrix.shape)] += random.normal() * 10
        other = Network.from_layers(layers)
        if steepest(other) <= certified.bound.limit:
            continue
        made += 1
        claim = replace(certified.bound, network=other.sha256)
        pairs = [(claim, witness) for _, witness in certified.witnesses]
        assert rejected(other, [claim], pairs)
        if made % 10 == 0:
            assert rejected(other, [certified.bound], certified.witnesses)


def test_mutated_trees_and_norms_are_rejected(honest, random):
    network, _, local, _ = honest[2]
    for number in range(MUTATIONS // 4):
        certified = local["sup" if number % 2 else "L2"]
        honest_witness = witness_of(certified)
        place = random.integers(len(honest_witness["axis"]))
        tree = {name: honest_witness[name] for name in ("axis", "split")}
        cut = {**honest_witness, **{name: np.delete(column, place) for name, column in tree.items()}}
        more = {**honest_witness, **{name: np.insert(column, place, column[place]) for name, column in tree.items()}}
        moved = {**honest_witness, "split": tree["split"].copy()}
        moved["split"][place] = random.choice([-5.0, 5.0, np.nan, np.inf]) if tree["axis"][place] >= 0 else np.nan
        axis = {**honest_witness, "axis": np.where(np.arange(len(tree["axis"])) == place, 1, tree["axis"])}
        for witness in (cut, more, moved, axis):
            claim = claim_of(certified, certified.bound.value, witness)
            assert rejected(network, [claim], [(claim, witness)])
    certified = local["L2"]
    if certified.bound.theorem == "layer-splitting":
        norms = witness_of(certified)["norm"]
        for change in (
            norms[:-1],
            np.append(norms, 1.0),
            np.full_like(norms, np.nan),
            -norms,
            norms[:, None],
            0.5 * norms,
        ):
            witness = {**witness_of(certified), "norm": change}
            assert rejected(network, [certified.bound], [(certified.bound, witness)])


def test_every_field_counts(honest):
    network, _, local, everywhere = honest[3]
    for where in (local, everywhere):
        for certified in where.values():
            bound = certified.bound
            if bound.theorem == "norm-equivalence":
                continue
            changes = [
                {"quantity": "error"}, {"sense": ">="}, {"norm": None}, {"measure": "Lebesgue"}, {"kind": Kind.PROVED},
                {"delta": Fraction(1, 2)}, {"arithmetic": "float64"}, {"theorem": "taylor-cover"}, {"rule": "exact"},
                {"hypotheses": ("believe me",)}, {"assumptions": ("a",)}, {"eps": Fraction(1)}, {"network": None},
                {"network": "0" * 64}, {"target": "0" * 64}, {"domain": Box(-2, 2)}, {"domain": Box([0, 0], [1, 1])},
                {"value": float("inf")}, {"value": -1.0}, {"premises": (bound,)},
            ]  # fmt: skip
            for change in changes:
                claim = replace(bound, **change)
                assert rejected(network, [claim], [(claim, witness) for _, witness in certified.witnesses]), change


def test_a_constant_for_the_box_is_none_for_the_line(honest):
    """Clipping: steep outside the box only."""
    network = Network.from_layers([([[1.0], [1.0]], [-2.0, 0.0]), ([[10.0, 0.1]], [0.0])])
    found = lipschitz_bounds(network, Box(-1, 1), {})
    for certified in found.values():
        assert certified.bound.value < 1
        claim = replace(certified.bound, domain=None, hypotheses=())
        assert rejected(network, [claim], [(claim, witness) for _, witness in certified.witnesses])


def equivalence(random, inputs):
    layers = [(random.normal(size=(3, inputs)), np.zeros(3)), (random.normal(size=(2, 3)), np.zeros(2))]
    network = Network.from_layers(layers)
    premise = lipschitz_bounds(network, None, {})["L2"]
    value = premise.bound.value * np.sqrt(inputs) * (1 + 1e-12)
    claim = Bound(
        quantity="lipschitz", sense="<=", value=float(value), norm="sup", kind=Kind.VERIFIED,
        theorem="norm-equivalence", rule="cover", network=network.sha256, premises=(premise.bound,),
    )  # fmt: skip
    return network, claim, premise


def test_norm_equivalence_needs_the_root_of_the_dimension(random):
    network, claim, premise = equivalence(random, 7)
    pairs = premise.witnesses
    assert not rejected(network, [claim], pairs)
    for _ in range(MUTATIONS):
        below = replace(claim, value=claim.value * (1 - 10.0 ** random.uniform(-11, 0)))
        assert rejected(network, [below], pairs)
    for change in ({"norm": "L2"}, {"domain": Box([-1] * 7, [1] * 7)}, {"premises": ()}, {"kind": Kind.PROVED}):
        assert rejected(network, [replace(claim, **change)], pairs), change
    other = replace(premise.bound, norm="sup", theorem="interval-jacobian", hypotheses=())
    assert rejected(network, [replace(claim, premises=(other,))])


def test_a_certificate_without_a_target_proves_nothing_about_one():
    """`check_certificate` has no target: claims about errors do not pass, and those about networks pass in `check`."""
    solution = learn(Target("tanh(x)", Box(-1, 1)), "5e-2")
    with pytest.raises(CheckError, match="another target"):
        check_certificate(solution.network, solution.certificate)
    certified = lipschitz_bounds(solution.network, Box(-1, 1), {})["sup"]
    nodes = [solution.error, *([solution.optimality] if solution.optimality else []), certified.bound]
    pairs = [(n.claim, solution.certificate.witnesses[n.witness]) for n in solution.certificate.nodes if n.witness]
    both = Certificate.of(nodes, [*pairs, *certified.witnesses])
    assert certified.bound in check(replace(solution, certificate=both)).checked


def test_a_network_that_was_changed_in_memory_is_noticed(honest):
    network, _, local, _ = honest[0]
    certified = local["sup"]
    certificate = Certificate.of([certified.bound], certified.witnesses)
    assert check_certificate(network, certificate) == (certified.bound,)
    weights = network.layers[0].terms[0][1].weight
    weights.flags.writeable = True
    old = weights.copy()
    try:
        weights *= 100
        with pytest.raises(CheckError, match="another network"):
            check_certificate(network, certificate)
    finally:
        weights[:] = old
        weights.flags.writeable = False
