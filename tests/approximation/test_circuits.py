"""Squaring circuits: fits as good as known designs, folds that are found, solutions that the checker accepts."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import epsnet as en
from epsnet.approximation.circuit_fit import fit_circuit, squares_of
from epsnet.approximation.circuits import squaring_circuit
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.core.linear_maps import Exact


@pytest.mark.parametrize(
    ("f", "low", "high", "count", "known"),
    [
        (np.exp, 0, 1, 2, 2.8e-5),
        (np.exp, 0, 1, 3, 9.6e-9),
        (np.log, 1, 2, 3, 6.3e-7),
        (np.sqrt, 1, 4, 3, 1.2e-5),
    ],
    ids=["exp-2", "exp-3", "log-3", "sqrt-3"],
)
def test_fits_are_within_twice_the_best_known_errors(f, low, high, count, known):
    best = fit_circuit(lambda tau: f(low + (high - low) * (tau + 1) / 2), count, starts=20, seed=0)[0]
    tau = np.linspace(-1, 1, 5001)
    values = np.stack(squares_of(best.inner, tau)[1], axis=1) @ best.output
    assert np.abs(values - f(low + (high - low) * (tau + 1) / 2)).max() <= 2 * known


@pytest.mark.parametrize(
    ("formula", "low", "high", "eps", "weights", "folds"),
    [
        ("exp(x)", 0, 1, "1e-5", 180, 0),
        ("cos(x)", -1, 1, "1e-4", 110, 1),
        ("x^2", -1, 1, "1e-4", 60, 1),
        ("1/x", 1, 2, "1e-3", 90, 0),
    ],
)
def test_deep_solutions(formula, low, high, eps, weights, folds):
    target = en.Target(formula, domain=en.Box(low, high))
    solution = en.learn(target, eps=eps, method="deep")
    assert solution.error.kind is en.Kind.VERIFIED
    assert solution.error.limit <= Fraction(eps)
    assert solution.size.weights <= weights
    x = np.linspace(low, high, 20001)
    assert np.abs(target(x) - en.realize(solution.network, x)).max() <= solution.error.value
    assert len(squaring_circuit(target, Fraction(eps)).circuit.folds) == folds
    # Every weight is stored as the float64 number that it is.
    assert not any(isinstance(linear, Exact) for layer in solution.network.layers for _, linear in layer.terms)


def test_an_l2_accuracy_goes_through_the_sup_norm():
    target = en.Target("exp(x)", domain=en.Box(0, 4), norm="L2")
    solution = en.learn(target, eps="1e-2", method="deep")
    assert solution.error.norm == "L2" and solution.error.limit <= Fraction("1e-2")


def test_refusals():
    with pytest.raises(HypothesisError, match="one variable"):
        en.learn(en.Target("x*y", domain=en.Box([0, 0], [1, 1])), eps="1e-2", method="deep")
    with pytest.raises(CertificateError, match="piecewise-linear"):
        en.learn(en.Target("abs(x - 1/3)", domain=en.Box(0, 1)), eps="1e-6", method="deep")
