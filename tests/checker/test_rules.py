"""Each rule against a thousand mutations of a true claim: what became false is rejected, what stays true may pass."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import beta, binom

from epsnet.approximation.piecewise_linear import piecewise_linear
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check
from epsnet.checker.rules.binomial import INDEPENDENCE, MEASURE
from epsnet.checker.rules.exact import linear_pieces, rounding_bound
from epsnet.core.network import Network
from epsnet.core.realize import realize, realize_exact
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget, Target
from epsnet.learning.learn import learn
from epsnet.statistics.binomial import clopper_pearson

MUTATIONS = 1000


@pytest.fixture(scope="module")
def solution():
    return learn(Target("tanh(x)", Box(-4, 4)), "2e-2")


@pytest.fixture
def random():
    return np.random.Generator(np.random.Philox(11))


def rejected(solution):
    try:
        check(solution)
    except CheckError:
        return True
    return False


def with_claims(solution, roots, witnesses, **change):
    return replace(solution, certificate=Certificate.of(roots, witnesses), **change)


def witness_of(solution, bound):
    node = solution.certificate.nodes[solution.certificate.find(bound)]
    return dict(solution.certificate.witnesses[node.witness])


def test_reach_rejects_one_piece_more_whatever_the_windows(solution, random):
    """The minimal count is true, so a claim of one piece more is false for any windows."""
    minimal, error = solution.optimality, solution.error
    honest = witness_of(solution, minimal)
    count = int(minimal.value)
    for _ in range(MUTATIONS):
        order = np.sort(random.integers(0, count - 1, count))  # one window twice, or more
        forged = {name: column[order].copy() for name, column in honest.items()}
        for name in ("p", "s", "e", "slope", "value"):
            if random.random() < 0.5:
                row = random.integers(count)
                forged[name][row] += random.normal() * 10.0 ** random.uniform(-12, 1)
        if random.random() < 0.3:
            forged["side"][random.integers(count)] *= -1
        told = (f"{count} windows block the tube",)
        claim = replace(minimal, value=count + 1.0, exact=Fraction(count + 1), hypotheses=told)
        assert rejected(with_claims(solution, (error, claim), ((claim, forged), cover_of(solution)), optimality=claim))


def cover_of(solution):
    exact = next(node.claim for node in solution.certificate.nodes if node.claim.rule == "cover")
    return exact, witness_of(solution, exact)


def test_reach_accepts_fewer_pieces_and_rejects_a_wider_tube(solution):
    minimal, windows = solution.optimality, witness_of(solution, solution.optimality)
    fewer = replace(minimal, value=2.0, exact=Fraction(2))
    assert not rejected(
        with_claims(solution, (solution.error, fewer), ((fewer, windows), cover_of(solution)), optimality=fewer)
    )
    wider = replace(minimal, eps=minimal.eps * 2)
    assert rejected(
        with_claims(solution, (solution.error, wider), ((wider, windows), cover_of(solution)), optimality=wider)
    )


def test_cover_rejects_mutated_trees_and_domains(solution, random):
    """A tree that no longer covers, or a claim about less than the target, proves nothing."""
    exact, tree = cover_of(solution)
    rounding = solution.error.premises[1]

    def forged(claim, witness):
        leaves = int((witness["axis"] < 0).sum())
        claim = replace(claim, hypotheses=(f"{leaves} cells cover {claim.domain}",))
        error = replace(solution.error, premises=(claim, rounding), domain=claim.domain)
        return with_claims(solution, (error,), ((claim, witness),), error=error, optimality=None)

    assert not rejected(forged(exact, tree))
    for _ in range(MUTATIONS // 4):
        place = random.integers(len(tree["axis"]))
        cut = {name: np.delete(column, place) for name, column in tree.items()}
        more = {name: np.insert(column, place, column[place]) for name, column in tree.items()}
        moved = {**tree, "split": tree["split"].copy()}
        moved["split"][place] = random.choice([-5.0, 5.0, np.nan, np.inf]) if tree["axis"][place] >= 0 else np.nan
        leafless = {**tree, "axis": np.where(np.arange(len(tree["axis"])) == place, 1, tree["axis"])}
        for witness in (cut, more, moved, leafless):
            assert rejected(forged(exact, witness))
    assert rejected(forged(replace(exact, domain=Box(-4, 3)), tree))
    assert rejected(forged(replace(exact, norm="L2"), tree))
    assert rejected(forged(replace(exact, sense=">="), tree))
    assert rejected(forged(replace(exact, kind=Kind.PROVED), tree))
    assert rejected(forged(replace(exact, arithmetic="float64"), tree))
    assert rejected(forged(replace(exact, rule="exact"), tree))
    assert rejected(forged(replace(exact, rule="trust"), tree))
    assert rejected(forged(replace(exact, theorem="clopper-pearson"), tree))
    assert rejected(forged(replace(exact, target="0" * 64), tree))
    assert rejected(forged(replace(exact, network=None), tree))


def test_algebra_rejects_sums_that_are_too_small(solution, random):
    error, (exact, rounding) = solution.error, solution.error.premises
    total = exact.limit + rounding.limit
    for _ in range(MUTATIONS):
        below = float(total * Fraction(1 - 10.0 ** random.uniform(-15, 0)))
        if below >= total:
            continue
        claim = replace(error, value=below, exact=None)
        assert rejected(with_claims(solution, (claim,), (cover_of(solution),), error=claim, optimality=None))
    for premises in ((exact,), (rounding, exact), (exact, exact), (exact, rounding, rounding), ()):
        claim = replace(error, premises=premises)
        assert rejected(with_claims(solution, (claim,), (cover_of(solution),), error=claim, optimality=None))


def test_l2_error_below_the_embedding_is_rejected(random):
    solution = learn(Target("sin(x)", Box(0, 3), norm="L2"), "5e-2")
    error = solution.error
    least = error.premises[0].value * np.sqrt(3.0)
    for _ in range(MUTATIONS):
        claim = replace(error, value=float(least * (1 - 10.0 ** random.uniform(-12, 0))))
        assert rejected(with_claims(solution, (claim,), (cover_of(solution),), error=claim, optimality=None))


def test_rounding_bound_holds_and_a_smaller_claim_is_rejected(solution, random):
    network, domain = solution.network, solution.target.domain
    bound = rounding_bound(network, domain)
    for x in random.uniform(-4, 4, 500):
        assert abs(Fraction(float(realize(network, x))) - realize_exact(network, [x])[0]) <= Fraction(bound)
    rounding = solution.error.premises[1]
    for _ in range(MUTATIONS):
        claim = replace(rounding, value=bound * random.uniform(0, 1))
        assert rejected(
            with_claims(
                solution,
                (solution.error, claim),
                (cover_of(solution), (solution.optimality, witness_of(solution, solution.optimality))),
            )
        )


def test_kink_count_equals_brute_force(random):
    for _ in range(100):
        n = random.integers(1, 8)
        network = Network.from_layers(
            [
                (random.integers(-2, 3, (n, 1)) * 1.0, random.integers(-4, 5, n) / 2.0),
                (random.normal(size=(1, n)), [0.0]),
            ]
        )
        x = [Fraction(k, 64) - 3 for k in range(6 * 64 + 1)]
        y = [realize_exact(network, [v])[0] for v in x]
        bends = sum(y[i + 1] - y[i] != y[i] - y[i - 1] for i in range(1, len(x) - 1))
        assert bends + 1 <= linear_pieces(network, Box(-3, 3))


def data_solution(errors, points, value, delta=Fraction(1, 100), change=None):
    """A network that says 0 for x < 0 and 1 for x > 0, on points of which `errors` are labelled wrong."""
    network = Network.from_layers([([[1.0]], [0.0]), ([[-1.0], [1.0]], [0.5, 0.0])])
    x = np.where(np.arange(points) % 2 == 0, -1.0, 1.0)
    labels = (x > 0).astype(int)
    labels[:errors] = 1 - labels[:errors]
    target = DataTarget.from_arrays("toy", x[:, None], labels)
    claim = Bound(
        quantity="risk",
        sense="<=",
        value=value,
        kind=Kind.STATISTICAL,
        delta=delta,
        arithmetic="float64",
        theorem="clopper-pearson",
        rule="binomial",
        measure=MEASURE,
        hypotheses=(f"{errors} errors in {points} points",),
        assumptions=(INDEPENDENCE,),
        network=network.sha256,
        target=target.sha256,
    )
    claim = replace(claim, **(change or {}))
    return Solution(network, target, claim, 8 * len(network_bytes(network)), Certificate.of((claim,)))


def test_binomial_accepts_clopper_pearson_and_rejects_less(random):
    for _ in range(MUTATIONS // 10):
        points = int(random.integers(1, 300))
        errors = int(random.integers(0, points + 1))
        delta = Fraction(int(random.integers(1, 50)), 100)
        value = clopper_pearson(errors, points, delta)
        reference = 1.0 if errors == points else beta.ppf(1 - float(delta), errors + 1, points - errors)
        assert value == pytest.approx(reference, rel=1e-10)
        assert not rejected(data_solution(errors, points, value, delta))
        for _ in range(10):
            below = value * (1 - 10.0 ** random.uniform(-9, 0))
            assert binom.cdf(errors, points, below) > float(delta)
            assert rejected(data_solution(errors, points, below, delta))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": Kind.VERIFIED},
        {"delta": Fraction(0)},
        {"assumptions": ()},
        {"arithmetic": "exact"},
        {"sense": ">="},
        {"network": None},
        {"target": None},
        {"value": 1.5},
        {"exact": Fraction(1, 100)},
        {"quantity": "error"},
    ],
    ids=str,
)
def test_binomial_rejects_a_claim_with_one_field_changed(change):
    value = clopper_pearson(3, 100, Fraction(1, 100))
    assert not rejected(data_solution(3, 100, value))
    assert rejected(data_solution(3, 100, value, change=change))


def test_binomial_counts_points_in_doubt_as_errors():
    """At x = 0.25 both outputs are equal: whichever class is right, the point counts as an error."""
    value = clopper_pearson(0, 1, Fraction(1, 100))
    solution = data_solution(0, 1, value)
    for label in (0, 1):
        target = DataTarget.from_arrays("tie", [[0.25]], [label])
        claim = replace(solution.error, target=target.sha256, hypotheses=("1 errors in 1 points",))
        assert rejected(replace(solution, target=target, error=claim, certificate=Certificate.of((claim,))))


def test_the_data_must_be_the_data(solution):
    value = clopper_pearson(3, 100, Fraction(1, 100))
    honest = data_solution(3, 100, value)
    x, y = honest.target.inputs, honest.target.labels
    away = replace(honest, target=honest.target.without_data())
    with pytest.raises(CheckError, match="--data"):
        check(away)
    check(away, data=(x, y))
    with pytest.raises(CheckError, match="hash"):
        check(away, data=(x, np.roll(y, 1)))
    with pytest.raises(CheckError, match="needs no data"):
        check(solution, data=(x, y))


def test_minimal_counts_hold_for_random_polygons(random):
    """A polygon of n pieces approximates itself: the lower bound never exceeds n."""
    for _ in range(20):
        knots = np.sort(random.uniform(0.05, 0.95, random.integers(1, 6)))
        terms = " + ".join(
            f"({c:.3f})*relu(x - {k:.4f})" for c, k in zip(random.normal(size=len(knots)), knots, strict=True)
        )
        found = piecewise_linear(Target(terms, Box(0, 1)), Fraction(1, 1000))
        assert found.minimal.value <= found.pieces.value <= len(knots) + 1
