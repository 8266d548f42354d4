"""Rule `two_layer` and what it computes, against brute force, exact rationals and a thousand forgeries."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError, DomainError, EpsnetError, HypothesisError
from epsnet.certify.rounding import round_down, round_up
from epsnet.checker.kernel import check_certificate
from epsnet.core.arrangement import Arrangement, maximum_bound
from epsnet.core.network import Network
from epsnet.core.total_variation import spline_dual_value, spline_objective
from epsnet.core.two_layer import constraint_bound, dual_value, objective, relaxed_bound, two_layer_weights
from epsnet.optimization.dual_oracle import DualOracle, general_position
from epsnet.optimization.high_dimension import relaxed_certificate
from epsnet.optimization.total_variation import total_variation_spline
from epsnet.optimization.train_global import train_global
from epsnet.optimization.two_layer import TwoLayerProblem, two_layer_network

F = Fraction


def problem(d, n=9):
    rng = np.random.default_rng(d)
    return rng.normal(size=(n, d)), rng.normal(size=n), 0.1


@pytest.fixture(scope="module")
def certified():
    """(bounds primal, dual, gap; statements) of four problems."""
    found = [train_global(*problem(d)).certificate for d in (2, 3)]
    x, y, _ = problem(2, 14)
    wide, rng = TwoLayerProblem(*problem(5)), np.random.default_rng(0)
    network = two_layer_network(0.1 * rng.normal(size=(4, 5)), 0.1 * rng.normal(size=4))
    return [*found, total_variation_spline(x[:, 0], y, 0.3), relaxed_certificate(wide, network)]


def witness_of(statements, bound):
    certificate = statements.certificate
    key = certificate.nodes[certificate.find(bound)].witness
    return dict(certificate.witnesses[key])


def accepted(network, bound, witness):
    try:
        check_certificate(network, Certificate.of((bound,), ((bound, witness),)))
    except CheckError:
        return False
    return True


def test_honest_claims(certified):
    for found in certified:
        check_certificate(found.statements.network, found.statements.certificate)
        for bound in (found.primal, found.dual):
            assert accepted(found.statements.network, bound, witness_of(found.statements, bound))


def mangled(witness, rng):
    """Change one array of a witness in one of several ways."""
    name = rng.choice(sorted(witness))
    array = witness[name].copy()
    kind = rng.integers(5)
    if kind == 0 and array.size:
        array = array * (1 + 10.0 ** rng.uniform(-9, 0)) if array.dtype.kind == "f" else array + 1
    elif kind == 1 and array.size:
        array = array.copy()
        array[rng.integers(array.size)] = rng.choice([0, 7, -3]) if array.dtype.kind == "i" else rng.normal()
    elif kind == 2:
        array = array[: rng.integers(array.size + 1)]
    elif kind == 3 and array.dtype.kind == "f":
        array = array + rng.normal(size=array.shape) * 10.0 ** rng.uniform(-6, 1)
    else:
        array = array[rng.permutation(array.size)]
    return {**witness, name: array}


def test_a_thousand_forgeries(certified):
    """Claims that are false, with every field and witness that could support them changed at random."""
    rng = np.random.default_rng(0)
    wrong = 0
    for number in range(1000):
        which, kind = number // 4 % 4, number % 4
        found = certified[which]
        network = found.statements.network
        off = 10.0 ** rng.uniform(-7, 0)
        if kind == 0:
            witness = mangled(witness_of(found.statements, found.dual), rng)
            bound = replace(found.dual, value=found.primal.value * (1 + off))
        elif kind == 1:
            witness = mangled(witness_of(found.statements, found.primal), rng)
            below = found.dual if which != 3 else found.primal
            bound = replace(found.primal, value=below.value * (1 - off))
        elif kind == 2:
            witness = witness_of(found.statements, found.primal)
            layers = [[np.array(layer.terms[0][1].weight), np.array(layer.bias)] for layer in network.layers]
            matrix = layers[rng.integers(2)][0]
            matrix[tuple(rng.integers(size) for size in matrix.shape)] += rng.choice([-1, 1]) * max(off, 1e-3)
            network = Network.from_layers(layers)
            if which == 2:
                bound = replace(found.primal, network=network.sha256)
            elif which == 3:
                hidden, outer = two_layer_weights(network, problem(5)[0])
                truth = TwoLayerProblem(*problem(5)).objective(hidden, outer)
                bound = replace(found.primal, value=truth * (1 - 1e-12), network=network.sha256)
            else:
                bound = replace(found.primal, value=found.dual.value, network=network.sha256)
        else:
            forge_gap(found, certified[(which + 1) % 4], off, rng, accept := [])
            wrong += sum(accept)
            continue
        wrong += accepted(network, bound, witness)
    assert wrong == 0


def forge_gap(found, other, off, rng, accept):
    """Append whether a gap was accepted that is smaller than the difference, or of premises that do not fit."""
    primal, dual = found.primal, found.dual
    choice = rng.integers(4)
    if choice == 0:
        gap = replace(found.gap, exact=None, value=float(found.gap.limit) * (1 - off) - 1e-17)
    elif choice == 1:
        gap = replace(found.gap, premises=(primal, other.dual), exact=None, value=1e9)
    elif choice == 2:
        gap = replace(found.gap, premises=(dual, primal), exact=None, value=1e9)
    else:
        gap = replace(found.gap, premises=(primal, replace(dual, value=primal.value)), exact=F(0), value=0.0)
    sources = zip(gap.premises, owners(found, other, choice), strict=True)
    pairs = [(p, witness_of(source.statements, q)) for p, (source, q) in sources]
    try:
        check_certificate(found.statements.network, Certificate.of((gap,), pairs))
        accept.append(True)
    except CheckError:
        accept.append(False)


def owners(found, other, choice):
    if choice == 1:
        return [(found, found.primal), (other, other.dual)]
    if choice == 2:
        return [(found, found.dual), (found, found.primal)]
    return [(found, found.primal), (found, found.dual)]


def test_a_dual_point_that_is_barely_infeasible(certified):
    for found in certified[:2]:
        witness = witness_of(found.statements, found.dual)
        assert accepted(found.statements.network, replace(found.dual, value=0.0), witness)
        for scale, holds in ((1 - 1e-8, True), (1 + 1e-8, False)):
            changed = witness | {"point": witness["point"] * scale}
            assert accepted(found.statements.network, replace(found.dual, value=0.0), changed) == holds


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_the_maximum_against_brute_force(d):
    rng = np.random.default_rng(d)
    for n in (d, d + 1, 10):
        x, r = rng.normal(size=(n, d)), rng.normal(size=n)
        arrangement = Arrangement.of(x)
        oracle = DualOracle(x)
        value, direction = oracle.maximum(r)
        floor = max(value, 1e-3) * (1 + 1e-12)
        assert maximum_bound(arrangement, r, floor) == floor
        assert maximum_bound(arrangement, r, floor / 2) == pytest.approx(max(value, floor / 2), rel=1e-10)
        assert np.maximum(x @ direction, 0) @ r == pytest.approx(value, abs=1e-12)
        u = rng.normal(size=(40000, d))
        u /= np.linalg.norm(u, axis=1)[:, None]
        sampled = np.max(np.maximum(u @ x.T, 0) @ r)
        assert sampled <= value + 1e-12
        assert sampled >= value - 0.1 * np.abs(r) @ np.linalg.norm(x, axis=1) * (d > 2) - 1e-3 * n


def test_the_maximum_on_the_circle_in_rationals():
    """On rational directions h never exceeds the bound, exactly; the bound is close to a fine grid of the circle."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, r = rng.normal(size=(6, 2)), rng.normal(size=6)
        bound = maximum_bound(Arrangement.of(x), r, 1e-6)
        exact, best = [[F(v) for v in row] for row in x.tolist()], 0.0
        for k in range(-100, 101):
            s = F(k, 50)
            for u in ((1 - s * s, 2 * s), (s * s - 1, 2 * s)):
                h = sum(F(w) * max(a * u[0] + b * u[1], 0) for w, (a, b) in zip(r.tolist(), exact, strict=True))
                assert h <= F(bound) * (1 + s * s)
                best = max(best, float(h / (1 + s * s)))
        assert best >= bound - 1e-2 * np.abs(r).sum() * np.abs(x).max() or bound == 1e-6


def test_nearly_parallel_rows_are_taken_in_balls():
    rng = np.random.default_rng(4)
    for d in (2, 3, 4):
        x, r = rng.normal(size=(7, d)), rng.normal(size=7)
        near = np.vstack([x, x[:3] * (1 + 1e-13 * rng.normal(size=(3, d)))])
        weights = np.concatenate([r, np.zeros(3)])
        truth = DualOracle(x).maximum(r)[0]
        assert maximum_bound(Arrangement.of(near), weights, truth * (1 + 1e-9)) == truth * (1 + 1e-9)


def test_duplicates_and_few_rows_by_moved_rows():
    rng = np.random.default_rng(5)
    x, r = rng.normal(size=(6, 3)), rng.normal(size=8)
    twice = np.vstack([x, x[:2]])
    merged = r[:6] + np.append(r[6:], np.zeros(4))
    truth = DualOracle(x).maximum(merged)[0]
    with pytest.raises(HypothesisError, match="dependent"):
        Arrangement.of(twice)
    rows = general_position(twice)
    floor = max(truth, DualOracle(x).maximum(-merged)[0]) * (1 + 1e-9)
    assert constraint_bound(Arrangement.of(rows), twice, rows, r, floor) == floor
    assert constraint_bound(Arrangement.of(rows), twice, rows, r, floor * (1 - 1e-8)) > floor * (1 - 1e-8)
    assert general_position(x[:1]).shape == (3, 3)


def test_a_row_moved_too_far_costs_what_it_should():
    x, rows = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.5], [0.0, 1.0]])
    bound = constraint_bound(Arrangement.of(rows), x, rows, np.array([1.0, 0.0]), 1.0)
    assert bound >= np.hypot(1, 0.5) + 0.5


def test_objective_and_dual_value_in_rationals():
    rng = np.random.default_rng(6)
    x, y, w, a, nu = (rng.normal(size=size) for size in ((7, 3), 7, (4, 3), 4, 7))
    products = [[sum(F(p) * F(q) for p, q in zip(u, v, strict=True)) for v in w] for u in x]
    exact = [sum(F(c) * max(z, 0) for c, z in zip(a, row, strict=True)) for row in products]
    truth = sum((f - F(t)) ** 2 for f, t in zip(exact, y, strict=True)) / 2
    truth += F(0.1) / 2 * (sum(F(v) ** 2 for v in w.ravel()) + sum(F(v) ** 2 for v in a))
    found = objective(x, y, 0.1, w, a)
    assert round_down(found) <= truth <= round_up(found) and round_up(found) - round_down(found) < 1e-13
    truth = sum(F(v) * F(t) - F(v) ** 2 / 2 for v, t in zip(nu, y, strict=True))
    assert round_down(dual_value(y, nu)) <= truth <= round_up(dual_value(y, nu))


def test_spline_objective_and_dual_in_rationals():
    rng = np.random.default_rng(7)
    x = np.array([0.5, -1.0, 0.5, 2.0, 0.25, -1.0, 1.5])
    y, t, c = rng.normal(size=7), np.array([0.25, 1.0, -2.0]), rng.normal(size=3)
    exact = [F(0.5) + F(-1.5) * F(p) + sum(F(k) * max(F(p) - F(q), 0) for k, q in zip(c, t, strict=True)) for p in x]
    truth = sum((f - F(v)) ** 2 for f, v in zip(exact, y, strict=True)) / 2 + F(0.1) * sum(abs(F(k)) for k in c)
    found = spline_objective(x, y, 0.1, (0.5, -1.5, t, c))
    assert round_down(found) <= truth <= round_up(found) and round_up(found) - round_down(found) < 1e-13
    # The dual value by the definition of z, for the labels of points that share a place.
    knots = sorted(set(x))
    z = rng.uniform(-0.1, 0.1, size=3)
    values = [F(0), *map(F, z), F(0)]
    slope = [(values[k + 1] - values[k]) / (F(knots[k + 1]) - F(knots[k])) for k in range(4)]
    jumps = dict(zip(knots, [b - a for a, b in zip([F(0), *slope], [*slope, F(0)], strict=True)], strict=True))
    assert sum(jumps.values()) == sum(F(k) * m for k, m in jumps.items()) == 0
    total = F(0)
    for k in knots:
        own = [F(v) for p, v in zip(x, y, strict=True) if p == k]
        mean = sum(own) / len(own)
        total += sum((jumps[k] / len(own) + v - mean) * v - (jumps[k] / len(own) + v - mean) ** 2 / 2 for v in own)
    found = spline_dual_value(x, y, z)
    assert round_down(found) <= total <= round_up(found)
    with pytest.raises(DomainError, match="distinct points"):
        spline_dual_value(x, y, z[:2])


@pytest.mark.parametrize("d", [1, 3, 6])
def test_the_relaxation_in_rationals(d):
    """For any multipliers h(u) stays below the bound on rational vectors of the ball; the quadratic form is exact."""
    rng = np.random.default_rng(d)
    x, r = rng.normal(size=(7, d)), rng.normal(size=7)
    for _ in range(10):
        alpha, sigma = rng.uniform(0.1, 3, size=7), rng.normal(size=7) * rng.choice([0, 0.3, 2])
        q, g = (x.T * alpha) @ x / 4, x.T @ (r - sigma) / 2
        shift = float(np.linalg.eigvalsh(q)[-1] + rng.uniform(0.1, 2))
        bound = round_up(relaxed_bound(x, r, alpha, sigma, shift))
        above = np.maximum(r + np.abs(sigma), 0)
        form = shift + np.sum(above**2 / alpha) / 4 + g @ np.linalg.solve(shift * np.eye(d) - q, g) / 4
        assert bound == pytest.approx(form, rel=1e-12)
        u = rng.normal(size=(2000, d))
        u /= np.linalg.norm(u, axis=1)[:, None]
        assert np.max(np.maximum(u @ x.T, 0) @ r) <= bound
        for bad in (shift - 10, float(np.linalg.eigvalsh(q)[-1]) * (1 - 1e-9), -1.0):
            with pytest.raises(DomainError, match="multiplier"):
                relaxed_bound(x, r, alpha, sigma, bad)
        with pytest.raises(DomainError, match="curvature"):
            relaxed_bound(x, r, -alpha, sigma, shift)


HOSTILE = [
    {"shape": np.array([10**9, 10**9])},
    {"shape": np.array([-3, -6])},
    {"shape": np.array([0, 0])},
    {"beta": np.array([np.nan])},
    {"beta": np.array([-0.1])},
    {"inputs": np.full(18, 1e300)},
    {"inputs": np.full(18, 5e-324)},
    {"labels": np.full(9, 1e308)},
    {"labels": np.zeros(9, dtype=np.float16)},
    {"point": np.full(9, 1e308)},
    {"point": np.full(9, 5e-324)},
    {"rows": np.zeros(18)},
    {"rows": np.ones(18)},
    {"rows": np.full(18, 1e300)},
    {"rows": np.arange(2.0 * 30_000)},
    {"rows": np.zeros(0)},
    {"shape": np.array([2**20 + 1, 1]), "inputs": np.ones(2**20 + 1), "labels": np.ones(2**20 + 1)},
]


@pytest.mark.parametrize("change", HOSTILE, ids=[f"{next(iter(h))}-{i}" for i, h in enumerate(HOSTILE)])
def test_hostile_witnesses(certified, change):
    found = certified[0]
    for bound in (found.primal, found.dual):
        witness = witness_of(found.statements, bound)
        if set(change) <= set(witness):
            assert not accepted(found.statements.network, bound, witness | change)


def test_refusals_of_the_parts():
    with pytest.raises(HypothesisError, match="entries"):
        Arrangement.of(np.ones((9, 5)))
    with pytest.raises(HypothesisError, match="zero"):
        Arrangement.of(np.array([[0.0, 0.0], [1.0, 0.0]]))
    with pytest.raises(HypothesisError, match="few or too many"):
        Arrangement.of(np.ones((1, 2)))
    with pytest.raises(HypothesisError, match="few or too many"):
        Arrangement.of(np.ones((2000, 4)))
    arrangement = Arrangement.of(np.eye(2))
    for weights, floor in ((np.full(2, 1e300), 1.0), (np.ones(2), 0.0), (np.ones(2), np.nan), (np.ones(2), np.inf)):
        with pytest.raises(EpsnetError):
            maximum_bound(arrangement, weights, floor)
    deep = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0]), ([[1.0]], [0.0])])
    tanh = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])], activation="tanh")
    for network in (deep, tanh):
        with pytest.raises(DomainError, match="two-layer"):
            two_layer_weights(network, np.ones((3, 1)))
    plain = Network.from_layers([([[1.0]], [1.0]), ([[1.0]], [0.0])])
    with pytest.raises(DomainError, match="biases"):
        two_layer_weights(plain, np.ones((3, 1)))
    with pytest.raises(DomainError, match="column of ones"):
        two_layer_weights(plain, np.array([[1.0, 1.0], [1.0, 2.0]]))
    with pytest.raises(HypothesisError, match="differ too much"):
        Arrangement.of(np.array([[1.0, 5e-324], [1.0, 1.0]]) * [[8.0], [1.0]])
    with pytest.raises(DomainError, match="too large"):
        objective(np.zeros((2**13, 2)), np.zeros(2**13), 1.0, np.zeros((2**12, 2)), np.zeros(2**12))


def test_biases_need_a_column_of_ones(certified):
    """A network with biases is about the data with a last column that is 1, and no other."""
    found = certified[0]
    bound, witness = found.primal, witness_of(found.statements, found.primal)
    hidden, outer = two_layer_weights(found.statements.network, problem(2)[0])
    biased = Network.from_layers([(hidden[:, :1], hidden[:, 1]), (outer[None], np.zeros(1))])
    assert not accepted(biased, replace(bound, network=biased.sha256), witness)
