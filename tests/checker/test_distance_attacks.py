"""Attacks on the rules for distances and for long weights: false claims, and small files that cost much."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, PrecisionError
from epsnet.certify.hashing import sha256_arrays
from epsnet.checker.kernel import _check_nodes, check_certificate
from epsnet.core.exact_forms import network_form
from epsnet.core.linear_maps import Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize
from epsnet.core.step_ranges import StepRanges
from epsnet.core.universal_activation import delta_code
from epsnet.core.work import Work
from epsnet.enclosure.distance import ranges

F = Fraction
LINE = Box(-1, 1)
LEAF = {"axis": np.array([-1]), "split": np.zeros(1)}


def certificate(network, witness=LEAF, **changes):
    leaves = int((witness["axis"] < 0).sum())
    fields = {
        "quantity": "maximum of output 0", "sense": "<=", "domain": LINE, "kind": Kind.VERIFIED,
        "theorem": "differential-relaxation", "rule": "distance", "network": network.sha256,
        "hypotheses": (f"{leaves} boxes cover the domain",),
    }  # fmt: skip
    claim = Bound(**(fields | changes))
    assert sha256_arrays(witness)
    return Certificate.of([claim], [(claim, witness)])


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "tanh", "gelu", "sin", "relu"])
@pytest.mark.parametrize("hidden", [False, True])
def test_an_activation_at_the_end(name, hidden):
    """sigmoid(0) = 1/2 is not 0: the partner of one network has the outputs 0 whatever the last activation is."""
    layers = [([[1.0], [0.5]], [0.1, 0.0]), ([[1.0, 1.0]], [0.0])] if hidden else [([[1.0]], [0.0])]
    network = Network.from_layers(layers, activation="sigmoid", output=name)
    top, bottom = (float(f(realize(network, np.linspace(-1, 1, 2001)))) for f in (np.max, np.min))
    with pytest.raises(CheckError):
        check_certificate(network, certificate(network, value=top - 1e-9))
    with pytest.raises(CheckError):
        changes = {"quantity": "minimum of output 0", "sense": ">="}
        check_certificate(network, certificate(network, value=bottom + 1e-9, **changes))
    found = ranges(network, LINE, gap=0.01)
    assert len(check_certificate(network, found.statements.certificate)) == 4
    assert found.maxima[0].lower.value <= top + 1e-6 and top <= found.maxima[0].upper.value
    assert found.minima[0].lower.value <= bottom and bottom - 1e-6 <= found.minima[0].upper.value


def one(rows, columns):
    return Sparse((rows, columns), [0], [0], [1.0])


def test_matrices_that_are_large_only_when_stored_in_full():
    width = 8000
    layers = [Layer(((0, one(width, 1)),), np.zeros(width))]
    layers += [Layer(((k, one(width, width)),), np.zeros(width)) for k in range(1, 60)]
    network = Network(1, (*layers, Layer(((60, one(1, width)),), np.zeros(1))))
    with pytest.raises(CheckError, match="too large to be checked"):
        check_certificate(network, certificate(network, value=1e9))


def test_identities_that_hand_on_many_outputs():
    outputs = 4096
    last = [Layer(((k, one(outputs, 1)),), np.zeros(outputs), ("identity",)) for k in (0, 300)]
    short = Network(1, (last[0],))
    long = Network(1, (*(Layer(((k, one(1, 1)),), np.zeros(1)) for k in range(300)), last[1]))
    target = NetworkTarget(long, LINE)
    claim = certificate(short, value=1e9, quantity="error", norm="sup", target=target.sha256)
    with pytest.raises(CheckError, match="too large to be checked"):
        _check_nodes(claim, short, target)


def test_a_chain_of_boxes_through_a_deep_network(monkeypatch):
    """One box after the other, each through all layers: what is counted is the calls, too."""
    depth = 30
    network = Network.from_layers([([[1.0]], [0.0])] + [([[1.0]], [-0.3])] * (depth - 1), activation="abs")
    work = "epsnet.checker.rules.distance._MAX_WORK"
    check_certificate(network, certificate(network, value=1e9))
    monkeypatch.setattr(work, 10**7)
    with pytest.raises(CheckError, match="too long to be checked"):
        check_certificate(network, certificate(network, value=1e9))


def odd(bits, seed):
    return 2**bits + 2 * seed + 1


def test_a_polynomial_of_a_long_rational():
    """p_n(x / D) has coefficients of 100 times as many digits as D: refused before it is computed."""
    index = int("1" + delta_code(2) * 100, 2)
    linear = Exact((1, 1), {(0, 0): F(1, odd(13000, 0))})
    network = Network(1, (Layer(((0, linear),), (F(2 * index),), ("sigma-codec",)),))
    with pytest.raises(PrecisionError, match="too long a rational"):
        network_form(network, F(0), F(1))


def sums(count, activation="identity"):
    first = Exact((count, 1), {(k, 0): F(1, odd(13000, k)) for k in range(count)})
    second = Exact((1, count), {(0, k): F(1) for k in range(count)})
    return Network(1, (
        Layer(((0, first),), (F(0),) * count, ("identity",)), Layer(((1, second),), (F(0),), (activation,)),
    ))  # fmt: skip


def test_sums_of_many_denominators(monkeypatch):
    monkeypatch.setattr("epsnet.core.step_ranges._MAX_BITS", 100_000)
    with pytest.raises(PrecisionError, match="too long a rational"):
        network_form(sums(12), F(0), F(1), Work(100_000))
    with pytest.raises(PrecisionError, match="too long a rational"):
        StepRanges(sums(12))([F(0)], [F(1)])


def test_the_budget():
    """Every box is paid for from the same budget."""
    work = Work(1_000_000, 2000)
    with pytest.raises(PrecisionError, match="takes too long"):
        for _ in range(20):
            network_form(sums(1), F(0), F(1), work)
    assert work.left < 0
