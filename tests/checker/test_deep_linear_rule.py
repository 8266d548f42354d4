"""Rule `deep_linear`: exact critical points by hand and by exact differences, and a thousand forgeries."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from flint import fmpq

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import round_up
from epsnet.checker.kernel import check_certificate
from epsnet.checker.rules.deep_linear import GRADIENT, INERTIA, LOSS, measure
from epsnet.core.deep_linear import gradient, hessian, loss, rational
from epsnet.core.inertia import exact_inertia
from epsnet.core.linear_maps import Exact
from epsnet.core.network import Network
from epsnet.optimization.deep_linear import prove, rational_critical_points, rational_sample

F = Fraction


def network(weights, biases=None):
    return Network.from_layers(
        [(w, np.zeros(len(w)) if biases is None else b) for w, b in zip(weights, biases or weights, strict=True)],
        "identity",
    )


def test_a_scalar_saddle_by_hand():
    """f = (w2 w1 - 1)^2/2 at 0: Hessian [[0, -1], [-1, 0]]."""
    bounds, own, certificate = prove([[[0.0]], [[0.0]]], [[1.0]], [[1.0]])
    assert {name: bound.limit for name, bound in bounds.items()} == {
        "gradient": 0, "loss": F(1, 2), "negative": 1, "zero": 0, "positive": 1,
    }  # fmt: skip
    assert all(bound.kind is Kind.PROVED for bound in bounds.values())
    assert len(check_certificate(own, certificate)) == 5


@pytest.mark.parametrize("widths", [[4, 3, 4], [4, 2, 3, 4]])
def test_all_rational_critical_points(widths):
    """Gradient exactly 0; values of the theorem; the global minimum has no negative eigenvalue."""
    x, y = rational_sample()
    eigenvalues = [16, 9, 4, 1]
    for kept, weights in rational_critical_points(widths):
        bounds, own, certificate = prove(weights, x, y)
        check_certificate(own, certificate)
        assert bounds["gradient"].limit == 0
        assert bounds["loss"].limit == F(30 - sum(eigenvalues[i] for i in kept), 2)
        if kept == tuple(range(min(widths))):
            assert bounds["negative"].limit == 0
        elif len(widths) == 3:
            assert bounds["negative"].limit >= 1


def test_derivatives_are_those_of_the_polynomial():
    """The restriction of f to a line is a polynomial of order 2 L: exact differences of it in rationals."""
    generator = np.random.Generator(np.random.Philox(1))
    widths = [3, 2, 4, 2]
    small = lambda *shape: rational(generator.integers(-8, 9, shape) / 4)  # noqa: E731
    weights = [small(b, a) for a, b in pairwise(widths)]
    x, y = small(3, 5), small(2, 5)
    ends = np.cumsum([w.size for w in weights])[:-1]
    theta = np.concatenate([w.ravel() for w in weights])

    def f(t):
        return loss([p.reshape(w.shape) for p, w in zip(np.split(t, ends), weights, strict=True)], x, y)

    slope, bend = gradient(weights, x, y), hessian(weights, x, y)
    nodes = [fmpq(k) for k in range(-3, 4)]  # order 6 is determined by 7 values
    for _ in range(10):
        v = rational(generator.integers(-4, 5, len(theta)) / 2)
        # Solve for the coefficients of sum_j c_j s^j exactly.
        matrix = [[s**j for j in range(7)] + [f(theta + s * v)] for s in nodes]
        for i in range(7):
            pivot = next(r for r in range(i, 7) if matrix[r][i])
            matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
            matrix[i] = [e / matrix[i][i] for e in matrix[i]]
            for r in range(7):
                if r != i:
                    matrix[r] = [a - matrix[r][i] * b for a, b in zip(matrix[r], matrix[i], strict=True)]
        assert matrix[1][7] == slope @ v
        assert 2 * matrix[2][7] == v @ bend @ v
    assert (bend == bend.T).all()


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_inertia_by_congruence(size):
    """Sylvester: B D B^T has the inertia of the diagonal D for invertible B, here triangular with ones."""
    generator = np.random.Generator(np.random.Philox(size))
    for _ in range(20):
        d = generator.integers(-2, 3, size)
        b = np.tril(generator.integers(-5, 6, (size, size)), -1) + np.eye(size, dtype=int)
        matrix = [[F(int(v), 7) for v in row] for row in b @ np.diag(d) @ b.T]
        assert exact_inertia(matrix) == ((d < 0).sum(), (d == 0).sum(), (d > 0).sum())


def claims(weights, x, y):
    bounds, own, certificate = prove(weights, x, y)
    return bounds, own, next(iter(certificate.witnesses.values()))


def accepted(own, bound, witness):
    try:
        check_certificate(own, Certificate.of((bound,), ((bound, witness),)))
    except CheckError:
        return False
    return True


def test_a_thousand_forgeries():
    """False statements with every hash rebuilt, about other weights, data, numbers: none is accepted."""
    generator = np.random.Generator(np.random.Philox(3))
    x, y = rational_sample()
    points = [(weights, claims(weights, x, y)) for _, weights in rational_critical_points([4, 2, 4])]
    wrong = tried = 0
    while tried < 1000:
        weights, (bounds, own, witness) = points[generator.integers(len(points))]
        weights = [w.copy() for w in weights]
        name = list(bounds)[generator.integers(5)]
        bound, kind = bounds[name], tried % 4
        witness = {key: array.copy() for key, array in witness.items()}
        if kind == 0:
            shift = F(int(generator.integers(1, 5)), int(generator.integers(1, 4)))
            value = bound.limit + (shift if generator.random() < 0.5 else -shift)
            bound = replace(bound, value=float(value), exact=F(float(value)))
        elif kind == 1:
            target = weights[generator.integers(2)]
            target[tuple(generator.integers(0, s) for s in target.shape)] += generator.choice([-1, 1]) * 0.25
            own = network(weights)
            bound = replace(bound, network=own.sha256)
        elif kind == 2:
            key = ("inputs", "outputs")[generator.integers(2)]
            witness[key][generator.integers(16)] += generator.choice([-1, 1]) * 2.0 ** generator.integers(-20, 3)
            bound = replace(bound, measure=measure(witness["inputs"], witness["outputs"]))
        else:
            bound = replace(bound, quantity=generator.choice([GRADIENT, LOSS, *INERTIA]))
        if true(own, bound, witness):
            continue
        tried += 1
        wrong += accepted(own, bound, witness)
    assert (tried, wrong) == (1000, 0)


def true(own, bound, witness):
    """An independent answer: float64 with eigenvalues far from 0, on numbers that float64 holds exactly."""
    first, second = (layer.terms[0][1].weight for layer in own.layers)
    x, y = (witness[name].reshape(-1, 4).T for name in ("inputs", "outputs"))
    residual = second @ first @ x - y
    slope = np.concatenate([(second.T @ residual @ x.T).ravel(), (residual @ x.T @ first.T).ravel()])
    if bound.quantity == GRADIENT:
        value = slope @ slope
    elif bound.quantity == LOSS:
        value = np.sum(residual**2) / 2
    else:
        columns = []
        for unit in np.eye(16):
            a, b = unit[:8].reshape(2, 4), unit[8:].reshape(4, 2)
            g = (b @ first + second @ a) @ x
            columns.append(
                np.concatenate([
                    (b.T @ residual @ x.T + second.T @ g @ x.T).ravel(),
                    (g @ x.T @ first.T + residual @ x.T @ a.T).ravel(),
                ])
            )  # fmt: skip
        values = np.linalg.eigvalsh(np.array(columns))
        counts = [(values < -1e-13).sum(), (abs(values) <= 1e-13).sum(), (values > 1e-13).sum()]
        value = counts[INERTIA.index(bound.quantity)]
    return bool(abs(float(value) - float(bound.limit)) <= 1e-18)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {"inputs": w["inputs"]}, "no valid array"),
        (lambda w: {**w, "inputs": w["inputs"][:-1]}, "form|lengths"),
        (lambda w: {**w, "outputs": np.append(w["outputs"], np.nan)}, "no valid array"),
        (lambda w: {**w, "inputs": w["inputs"].astype(np.float32)}, "no such quantity"),
        (lambda w: {**w, "inputs": w["inputs"].astype(np.int64)}, "no valid array"),
        (lambda w: {**w, "inputs": w["inputs"] * 1e300}, "bits"),
        (lambda w: {name: np.zeros(0) for name in w}, "lengths"),
        (lambda w: {name: np.zeros(4_000_000) for name in w}, "too large"),
    ],
    ids=["missing", "short", "nan", "float32", "integers", "huge", "empty", "many"],
)
def test_hostile_samples(change, message):
    bounds, own, witness = claims(next(rational_critical_points([4, 3, 4]))[1], *rational_sample())
    forged = change(witness)
    if set(forged) == {"inputs", "outputs"}:
        bounds = {"loss": replace(bounds["loss"], measure=measure(forged["inputs"], forged["outputs"]))}
    with pytest.raises(CheckError, match=message):
        check_certificate(own, Certificate.of((bounds["loss"],), ((bounds["loss"], forged),)))


@pytest.mark.parametrize(
    "own",
    [
        Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])]),
        network([[[1.0]], [[1.0]]], [[0.0], [1.0]]),
        network([[[1.0]]] * 11),
        network([np.ones((15, 1)), np.ones((15, 15)), np.ones((1, 15))]),
        network([[[1e-300]], [[1.0]]]),
        Network.from_layers([(Exact((1, 1), {(0, 0): F(1, 3**100)}), np.zeros(1)), ([[1.0]], [0.0])], "identity"),
    ],
    ids=["relu", "bias", "too deep", "too wide", "tiny", "long fraction"],
)
def test_other_networks(own):
    bounds, _, witness = claims([[[0.0]], [[0.0]]], [[1.0]], [[1.0]])
    bound = replace(bounds["loss"], network=own.sha256)
    with pytest.raises(CheckError, match=r"linear layers|bias|bits"):
        check_certificate(own, Certificate.of((bound,), ((bound, witness),)))


def test_a_common_denominator_that_is_too_long():
    """Weights of 50 bits with different denominators make rationals of thousands of bits for every example."""
    rows = {(i, 0): F(1, 2**49 + 2 * i + 1) for i in range(60)}
    own = Network.from_layers([(Exact((60, 1), rows), np.zeros(60)), (np.ones((1, 60)), np.zeros(1))], "identity")
    for count, message in ((10, None), (50_000, "common denominator")):
        witness = {name: np.full(count, 0.1) for name in ("inputs", "outputs")}
        bound = Bound(
            quantity=LOSS, sense="<=", value=1e9, kind=Kind.PROVED, theorem="deep-linear", rule="deep_linear",
            measure=measure(**witness), network=own.sha256,
            hypotheses=("2 linear layers without biases", f"{count} examples"),
        )  # fmt: skip
        certificate = Certificate.of((bound,), ((bound, witness),))
        if message is None:
            check_certificate(own, certificate)
        else:
            with pytest.raises(CheckError, match=message):
                check_certificate(own, certificate)


def test_a_value_that_is_not_float64_is_rounded_up():
    bounds, own, certificate = prove([[[0.1]], [[0.3]]], [[0.7]], [[0.2]])
    assert bounds["loss"].sense == "<=" and bounds["loss"].value == round_up(bounds["loss"].limit)
    assert bounds["loss"].limit == (F(0.1) * F(0.3) * F(0.7) - F(0.2)) ** 2 / 2
    check_certificate(own, certificate)
