"""What a hostile reader tried on the rules about cells: small files that stall the checker, claims in mixed folders."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError, EpsnetError
from epsnet.certify.hashing import sha256_arrays
from epsnet.checker.kernel import check, check_certificate
from epsnet.checker.rules import region_bounds
from epsnet.core.cells import HYPOTHESES
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import (
    SOLUTION_FILE,
    STATEMENTS_FILE,
    TARGET_FILE,
    network_bytes,
    save_network,
    save_solution,
    save_statements,
)
from epsnet.core.solution import Solution, Statements
from epsnet.enclosure.exact_values import exact_distance, exact_ranges

F = Fraction
LINE = Box(0, 1)
AFFINE = Network.from_layers([([[1.0]], [0.0])])
HAT = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.0]], [0.0])])
TENT = Network.from_layers([([[1.0], [1.0]], [0.0, -0.5]), ([[1.0, -2.25]], [0.0])])
ARRAYS = {
    "points": np.frombuffer(b"0 1 1 1", dtype=np.int8), "counts": np.array([1]), "sizes": np.array([2]),
    "faces": np.array([0, 1]),
}  # fmt: skip


def wide(side, value=0.0, bias=None):
    """A layer of side^2 neurons from one number: a convolution of a single pixel with much padding."""
    linear = Convolution(np.full((1, 1, 1, 1), value), (1, 1, 1), 1, (side - 1) // 2)
    return Layer(((0, linear),), np.zeros(1) if bias is None else bias, ("relu",))


def long_weights(count=200, bits=13_000):
    """A network whose last weights have as many long denominators."""
    generator = random.Random(1)
    row = Exact((1, count), {(0, i): F(1, generator.getrandbits(bits) | 1) for i in range(count)})
    first = Layer(((0, Dense(np.ones((count, 1)))),), np.zeros(count))
    return Network(1, (first, Layer(((1, row),), np.zeros(1), ("identity",))))


def claim_of(network, quantity, theorem, rule, **changes):
    claim = Bound(
        quantity=quantity, sense="==", value=1.0, domain=LINE, network=network.sha256, kind=Kind.PROVED,
        theorem=theorem, rule=rule,
    )  # fmt: skip
    return replace(claim, **changes)


def refused(network, claim, arrays=ARRAYS, target=None):
    certificate = Certificate.of((claim,), ((claim, arrays),))
    with pytest.raises(CheckError) as error:
        if target is None:
            check_certificate(network, certificate)
        else:
            check(Solution(network, target, claim, 8 * len(network_bytes(network)), certificate))
    return str(error.value)


def distance_claim(network, target):
    return claim_of(
        network, "error", "vertex-extrema", "vertices", sense="<=", norm="sup", target=target.sha256,
        kind=Kind.VERIFIED, hypotheses=HYPOTHESES,
    )  # fmt: skip


# Work that never ended.


@pytest.mark.parametrize("quantity", ["{Phi >= 0}", "{Phi_j <= Phi_0 for all j}"])
def test_long_rationals_are_not_multiplied(quantity):
    """The level, or the margin, was subtracted before anything was measured: minutes for a file of 400 KB."""
    network = long_weights()
    if "all" in quantity:
        last = Layer(((2, Dense([[1.0], [-1.0]])),), np.zeros(2), ("identity",))
        network = Network(1, (*network.layers, last))
    start = time.process_time()
    text = refused(network, claim_of(network, f"Betti number 0 of {quantity}", "cellular-homology", "betti"))
    assert "too long" in text
    assert time.process_time() - start < 20


@pytest.mark.parametrize("swap", [False, True], ids=["network", "target"])
def test_long_rationals_are_not_joined(swap):
    network, other = (AFFINE, long_weights()) if swap else (long_weights(), AFFINE)
    target = NetworkTarget(other, LINE)
    start = time.process_time()
    assert "too long" in refused(network, distance_claim(network, target), target=target)
    assert time.process_time() - start < 20


def test_wide_networks_are_not_joined():
    """Four million neurons in a file of 1 KB: their rows are never listed."""
    network = Network(1, (*[wide(1001)] * 4, Layer(((0, Dense([[1.0]])),), np.zeros(1), ("identity",))))
    target = NetworkTarget(AFFINE, LINE)
    start = time.process_time()
    assert "too large" in refused(network, distance_claim(network, target), target=target)
    assert time.process_time() - start < 30


def test_hashes_of_wide_networks_take_no_minutes():
    """Each of nine million equal biases was made a rational: 96 s for a file of 1.6 KB."""
    network = Network(1, (*[wide(2999)] * 2, Layer(((0, Dense([[1.0]])),), np.zeros(1), ("identity",))))
    assert len(network_bytes(network)) < 2000
    start = time.process_time()
    assert len(network.sha256) == 64
    assert time.process_time() - start < 10
    with pytest.raises(DomainError, match="neurons"):
        Network(1, (wide(2999),) * 12)
    with pytest.raises(DomainError, match="too long"):
        Network(1, (wide(2999, bias=(F(1, 3**2000),)),))


def test_the_hash_of_a_convolution_is_that_of_each_neuron():
    """Biases of channels, rational or not, hash as the list of all of them."""
    kernel = Convolution(np.ones((2, 1, 1, 1)), (1, 2, 2))
    for bias in (np.array([0.5, -0.0]), (F(1, 2), F(0)), (F(1, 3), F(-2, 7))):
        layer = Layer(((0, kernel),), bias)
        values = [F(value) for value in layer.bias_values()]
        assert len(values) == 8
        floats = all(F(float(value)) == value for value in values)
        expected = sha256_arrays({"bias": np.array([float(v) for v in values])}) if floats else list(map(str, values))
        assert layer.canonical()["bias"] == expected


def test_region_bounds_are_computed_once(monkeypatch):
    """A claim costs seconds for some widths, a certificate has thousands of them and no witness."""
    network = Network.from_layers([(np.ones((3, 2)), np.zeros(3)), (np.ones((1, 3)), [0.0])])
    calls, plain = [], region_bounds.count_regions
    monkeypatch.setattr(region_bounds, "count_regions", lambda *given: calls.append(1) or plain(*given))
    claims = [
        claim_of(network, "linear regions", "region-bound", "region_bounds", sense="<=", value=7.0 + i, domain=None)
        for i in range(50)
    ]
    assert len(check_certificate(network, Certificate.of(claims))) == 50
    assert len(calls) == 1


# Folders.


def test_a_folder_with_statements_and_a_solution_is_refused(tmp_path):
    """The statements were checked, and the solution beside them, of which nothing was true, was not."""
    solution = exact_distance(HAT, TENT, LINE).solution
    save_solution(solution, tmp_path)
    check(tmp_path)
    data = json.loads((tmp_path / SOLUTION_FILE).read_text())
    for node in data["certificate"]:
        node["claim"] |= {"value": 0.0, "exact": "0"}
    (tmp_path / SOLUTION_FILE).write_text(json.dumps(data))
    with pytest.raises(CheckError):
        check(tmp_path)
    (tmp_path / STATEMENTS_FILE).write_text('{"format": "epsnet-statements-1", "certificate": []}')
    with pytest.raises(CheckError, match="statements and a solution"):
        check(tmp_path)


def test_claims_about_a_target_are_no_statements(tmp_path):
    solution = exact_distance(HAT, TENT, LINE).solution
    save_statements(Statements(HAT, solution.certificate), tmp_path)
    with pytest.raises(CheckError, match="another target"):
        check(tmp_path)
    stripped = [replace(node.claim, target=None) for node in solution.certificate.nodes]
    (arrays,) = solution.certificate.witnesses.values()
    for claim in stripped:
        refused(HAT, claim, arrays)


def test_another_target_is_refused(tmp_path):
    solution = exact_distance(HAT, TENT, LINE).solution
    save_solution(solution, tmp_path)
    save_network(HAT, tmp_path / TARGET_FILE)
    with pytest.raises(CheckError, match="another one"):
        check(tmp_path)
    for target in (NetworkTarget(TENT, Box(0, 2)), NetworkTarget(TENT, LINE, "L2"), NetworkTarget(HAT, LINE)):
        with pytest.raises(CheckError):
            check(replace(solution, target=target))
    data = json.loads(json.dumps(solution.target.to_json()))
    save_solution(solution, tmp_path)
    stored = json.loads((tmp_path / SOLUTION_FILE).read_text())
    deep = json.loads("[" * 900 + "]" * 900)
    for changes in ({"kind": "formula"}, {"norm": []}, {"domain": deep}, {"domain": {"lower": ["9" * 9999] * 2}}):
        stored["target"] = data | changes
        (tmp_path / SOLUTION_FILE).write_text(json.dumps(stored))
        with pytest.raises(EpsnetError):
            check(tmp_path)


def test_domains_between():
    """An error on a part of the domain of the target holds, as a claim, but is not the error of a solution."""
    half = Box(0, F(1, 2))
    whole, part = exact_distance(HAT, TENT, LINE), exact_distance(HAT, TENT, half)
    (arrays,) = part.solution.certificate.witnesses.values()
    claim = replace(part.upper, target=whole.solution.target.sha256)
    (own,) = whole.solution.certificate.witnesses.values()
    certificate = Certificate.of((whole.upper, claim), ((whole.upper, own), (claim, arrays)))
    assert len(check(replace(whole.solution, error=whole.upper, certificate=certificate)).checked) == 2
    alone = Certificate.of((claim,), ((claim, arrays),))
    with pytest.raises(CheckError, match="the domain of the target"):
        check(replace(whole.solution, error=claim, certificate=alone))


# Degenerate networks: every false number is refused, whatever is 0 where.


def test_ranges_where_skip_connections_and_slopes_meet():
    """| |x| - leaky(x) + x |, which reads the input again, is x on the right and |x| / 2 on the left."""
    first = Layer(((0, Dense([[1.0], [1.0]])),), np.zeros(2), ("abs", "leaky_relu(0.5)"))
    zero = Sparse((1, 1), [], [], [])
    last = Layer(((1, Dense([[1.0, -1.0]])), (0, Dense([[1.0]])), (0, zero)), np.zeros(1), ("abs",))
    network = Network(1, (first, last))
    found = exact_ranges(network, Box(-1, 1))
    assert (found.maxima[0].upper.exact, found.minima[0].lower.exact) == (1, 0)
    certificate = found.statements.certificate
    assert len(check(found.statements).checked) == 4
    (arrays,) = certificate.witnesses.values()
    for bound, wrong in ((found.maxima[0].upper, F(99, 100)), (found.minima[0].lower, F(1, 100))):
        refused(network, replace(bound, exact=wrong, value=float(wrong)), arrays)
