"""Bounds by relaxation: below the exact optimum where that is known, and never below what local ascents find."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from epsnet.certify.bound import Kind
from epsnet.certify.errors import HypothesisError, MissingExtraError
from epsnet.certify.rounding import round_up
from epsnet.checker.kernel import check
from epsnet.core.two_layer import relaxed_bound
from epsnet.optimization.dual_oracle import DualOracle
from epsnet.optimization.high_dimension import local_maximum, relaxed_certificate, relaxed_dual
from epsnet.optimization.train_global import train_global
from epsnet.optimization.two_layer import TwoLayerProblem, two_layer_network


def sample(n, d, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.sin(x[:, 0]) + 0.3 * rng.normal(size=n)


@pytest.mark.parametrize(("n", "d", "beta"), [(1, 1, 0.1), (12, 2, 0.1), (15, 3, 0.5), (6, 3, 100.0)])
def test_below_the_exact_optimum(n, d, beta):
    x, y = sample(n, d)
    exact = train_global(x, y, beta)
    bound, _ = relaxed_dual(exact.problem)
    assert 0 <= bound.value <= exact.certificate.primal.value
    if beta == 100.0:
        assert bound.value == pytest.approx(y @ y / 2, rel=1e-6)


def test_a_sample_of_ten_dimensions():
    """The gap is honest: it is large, positive, checked, and the dual point survives all local ascents."""
    x, y = sample(100, 10)
    rng = np.random.default_rng(1)
    problem = TwoLayerProblem(x, y, 1.0)
    found = relaxed_certificate(problem, two_layer_network(0.1 * rng.normal(size=(20, 10)), 0.1 * rng.normal(size=20)))
    assert found.gap.kind == Kind.VERIFIED and 0.2 < found.relative_gap < 1
    assert found.violation > 0
    check(found.statements)
    certificate = found.statements.certificate
    witness = dict(certificate.witnesses[certificate.nodes[certificate.find(found.dual)].witness])
    for k, sign in enumerate((1.0, -1.0)):
        lower, direction = local_maximum(x, sign * witness["point"])
        alpha, sigma = (np.split(witness[name], 2)[k] for name in ("curvatures", "slopes"))
        upper = round_up(relaxed_bound(x, sign * witness["point"], alpha, sigma, float(witness["multipliers"][k])))
        assert 0 < lower <= upper <= 1.0
        assert np.maximum(x @ direction, 0) @ (sign * witness["point"]) == pytest.approx(lower)


def test_local_ascents_find_the_maximum_in_low_dimension():
    x, y = sample(25, 3)
    assert local_maximum(x, y)[0] == pytest.approx(DualOracle(x).maximum(y)[0], rel=1e-2)
    assert local_maximum(x, y)[0] <= DualOracle(x).maximum(y)[0] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((3, 6)), np.ones(3)),
        (np.ones((3, 6)), np.zeros(3)),
        (np.ones((4, 6)), np.array([1.0, 2.0, 3.0, 4.0])),
        (1e-6 * np.ones((4, 6)), 1e6 * np.array([1.0, 2.0, 3.0, 4.0])),
    ],
    ids=["zero points", "zero labels", "equal points", "out of scale"],
)
def test_degenerate_data(x, y):
    problem = TwoLayerProblem(x, y, 0.5)
    found = relaxed_certificate(problem, two_layer_network(np.zeros((0, 6)), np.zeros(0)))
    assert found.dual.value <= y @ y / 2 <= found.primal.value
    check(found.statements)


def test_refusals(monkeypatch):
    problem = TwoLayerProblem(np.ones((2, 201)), np.ones(2), 1.0)
    with pytest.raises(HypothesisError, match="at most 1000"):
        relaxed_dual(problem)
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(MissingExtraError, match="optimization"):
        relaxed_dual(TwoLayerProblem(np.ones((2, 3)), np.ones(2), 1.0))
