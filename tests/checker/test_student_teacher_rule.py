"""Rule `student_teacher`: closed forms against mpmath and sampling-free identities, and a thousand forgeries."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from flint import arb, arb_mat

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError, PrecisionError
from epsnet.certify.rounding import ball, ball_arithmetic
from epsnet.checker.kernel import check_certificate
from epsnet.checker.rules.student_teacher import DISTANCE, EIGENVALUE, LOSS, hypothesis
from epsnet.core.inertia import least_eigenvalue
from epsnet.core.network import Network
from epsnet.core.student_teacher import critical_point, student_gradient, student_hessian, student_loss
from epsnet.optimization.student_teacher import polish, prove, symmetric_critical_point


def by_mpmath(w):
    """F from the angle formula, one pair after the other, at the working precision."""

    def f(u, v):
        a, b = (mpmath.sqrt(sum(x * x for x in t)) for t in (u, v))
        c = sum(x * y for x, y in zip(u, v, strict=True)) / (a * b)
        t = mpmath.acos(min(mpmath.mpf(1), c))
        return a * b * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi)

    k = len(w[0])
    teacher = [[mpmath.mpf(i == j) for j in range(k)] for i in range(k)]
    total = mpmath.mpf(0)
    for sign, first, second in ((0.5, w, w), (-1, w, teacher), (0.5, teacher, teacher)):
        for i, u in enumerate(first):
            for j, v in enumerate(second):
                same = first is second and i == j
                total += sign * (sum(x * x for x in u) / 2 if same else f(u, v))
    return total


@pytest.mark.parametrize(("n", "k", "seed"), [(1, 2, 0), (3, 2, 1), (2, 4, 2)])
def test_closed_forms_against_mpmath(n, k, seed):
    w = np.random.Generator(np.random.Philox(seed)).normal(size=(n, k))
    with ball_arithmetic(), mpmath.workdps(40):
        balls = [[ball(v) for v in row] for row in w.tolist()]
        value, slope, bend = student_loss(balls), student_gradient(balls), student_hessian(balls).tolist()
        exact, h = [[mpmath.mpf(v) for v in row] for row in w.tolist()], mpmath.mpf(10) ** -12

        def at(*moves):
            moved = [list(row) for row in exact]
            for index, step in moves:
                moved[index // k][index % k] += step
            return by_mpmath(moved)

        assert float(value.mid()) == pytest.approx(float(at()), rel=1e-14)
        for i in range(n * k):
            assert float(slope[i].mid()) == pytest.approx(float((at((i, h)) - at((i, -h))) / (2 * h)), abs=1e-14)
            for j in range(n * k):
                second = at((i, h), (j, h)) - at((i, h), (j, -h)) - at((i, -h), (j, h)) + at((i, -h), (j, -h))
                assert float(bend[i][j].mid()) == pytest.approx(float(second / (4 * h * h)), abs=1e-12)


def test_the_loss_is_the_expectation():
    """Against a plain mean over 4,000,000 normal inputs, within five standard errors."""
    generator = np.random.Generator(np.random.Philox(5))
    w, x = generator.normal(size=(3, 2)), generator.normal(size=(1_000_000, 2))
    residual = np.maximum(x @ w.T, 0).sum(axis=1) - np.maximum(x, 0).sum(axis=1)
    samples = residual**2 / 2
    with ball_arithmetic():
        value = float(student_loss([[ball(v) for v in row] for row in w.tolist()]).mid())
    assert abs(samples.mean() - value) <= 5 * samples.std() / math.sqrt(len(samples))


def test_a_box_contains_all_its_points():
    generator = np.random.Generator(np.random.Philox(6))
    w, radius = generator.normal(size=(2, 3)), 1e-3
    with ball_arithmetic():
        box = [[ball(v) + arb(0, radius) for v in row] for row in w.tolist()]
        value, slope, bend = student_loss(box), student_gradient(box), student_hessian(box)
        for _ in range(50):
            point = w + radius * generator.uniform(-1, 1, w.shape)
            balls = [[ball(v) for v in row] for row in point.tolist()]
            assert value.contains(student_loss(balls))
            assert all(a.contains(b) for a, b in zip(slope, student_gradient(balls), strict=True))
            assert bend.contains(student_hessian(balls))


def test_least_eigenvalue_of_known_spectra():
    generator = np.random.Generator(np.random.Philox(7))
    for size in (1, 2, 6, 12):
        q = np.linalg.qr(generator.normal(size=(size, size)))[0]
        values = np.sort(generator.normal(size=size))
        with ball_arithmetic():
            exact = arb_mat([[ball(v) for v in row] for row in q.tolist()])
            diagonal = arb_mat([[ball(v) if i == j else arb(0) for j in range(size)] for i, v in enumerate(values)])
            low, high = least_eigenvalue(exact * diagonal * exact.transpose())
            # Q is orthogonal up to rounding only.
            assert values[0] - 1e-13 <= float(low) <= values[0] + 1e-14 and float(high) <= values[0] + 1e-13
        assert float(low) <= float(high)


@pytest.fixture(scope="module")
def proved():
    """A minimum with one student of two inputs, and the saddle of five."""
    small = prove(polish(np.array([[0.8, 0.8]])))
    return [small, small, small, small, prove(symmetric_critical_point(5))]


def claims(found):
    witness = next(iter(found.certificate.witnesses.values()))
    return [node.claim for node in found.certificate.nodes], found.network, witness


def accepted(own, bound, witness):
    try:
        check_certificate(own, Certificate.of((bound,), ((bound, witness),)))
    except CheckError:
        return False
    return True


def test_honest_claims_hold(proved):
    for found in proved[-2:]:
        assert len(check_certificate(found.network, found.certificate)) == 5
        assert all(node.claim.kind is Kind.VERIFIED for node in found.certificate.nodes)


def student(w):
    return Network.from_layers([(w, np.zeros(len(w))), (np.ones((1, len(w))), [0.0])])


def test_a_thousand_forgeries(proved):
    """Claims that cross the truth, radii that reach no critical point, other weights: none is accepted."""
    generator, wrong = np.random.Generator(np.random.Philox(8)), 0
    for number in range(1000):
        bounds, own, witness = claims(proved[number % 5])
        bound, kind = bounds[generator.integers(5)], number % 3
        if kind == 0:
            bound = bounds[generator.integers(1, 5)]
            shift = 10.0 ** generator.uniform(-10, 0)
            bound = replace(bound, value=bound.value + (shift if bound.sense == ">=" else -shift))
        elif kind == 1:
            w = np.array(own.layers[0].terms[0][1].weight)
            w[tuple(generator.integers(0, s) for s in w.shape)] += 10.0 ** generator.uniform(-10, 0)
            own = student(w)
            radius = 10.0 ** generator.uniform(-16, -11)
            bound = replace(bound, network=own.sha256, hypotheses=(hypothesis(radius),))
            witness = {"radius": np.array([radius])}
        else:
            radius = float(generator.choice([0.0, -1e-12, 1e-18, 0.9, 1.0, 1e300, 5e-324]))
            bound = replace(bound, hypotheses=(hypothesis(radius),))
            witness = {"radius": np.array([radius])}
        wrong += accepted(own, bound, witness)
    assert wrong == 0


def test_distance_below_the_radius_is_refused(proved):
    bounds, own, witness = claims(proved[0])
    assert bounds[0].quantity == DISTANCE
    assert not accepted(own, replace(bounds[0], value=bounds[0].value / 2), witness)
    assert accepted(own, replace(bounds[0], value=2 * bounds[0].value), witness)
    assert not accepted(own, replace(bounds[0], sense=">="), witness)
    assert not accepted(own, replace(bounds[1], sense="=="), witness)
    assert not accepted(own, replace(bounds[1], kind=Kind.PROVED), witness)


@pytest.mark.parametrize("witness", [{}, {"radius": np.array([1e-12, 1e-12])}, {"radius": np.array([np.nan])},
                                     {"radius": np.array([1])}, {"radius": np.array([[1e-12]])}])  # fmt: skip
def test_hostile_radii(proved, witness):
    bounds, own, _ = claims(proved[0])
    assert not accepted(own, bounds[1], witness)


@pytest.mark.parametrize(
    "own",
    [
        Network.from_layers([([[0.5, 0.5]], [0.1]), ([[1.0]], [0.0])]),
        Network.from_layers([([[0.5, 0.5]], [0.0]), ([[1.0]], [0.1])]),
        Network.from_layers([([[0.5, 0.5]], [0.0]), ([[2.0]], [0.0])]),
        Network.from_layers([([[0.5, 0.5]], [0.0]), ([[1.0]], [0.0])], "tanh"),
        Network.from_layers([([[0.5, 0.5]], [0.0]), ([[1.0]], [0.0])], output="relu"),
        Network.from_layers([([[0.5, 0.5]] * 2, [0.0] * 2), ([[1.0, 0.0]], [0.0])]),
        student(np.ones((100, 101))),
        student(np.ones((20, 21))),
        student(np.ones((1, 400))),
        student(np.zeros((1, 2))),
        student(np.eye(2)),
        student(np.ones((2, 2))),
        student(np.array([[1e200, 1e200]])),
    ],
    ids=[
        "bias",
        "outer bias",
        "weight 2",
        "tanh",
        "output",
        "missing",
        "huge",
        "large",
        "wide",
        "zero",
        "teacher",
        "twins",
        "far",
    ],
)
def test_other_networks(proved, own):
    bounds, _, witness = claims(proved[0])
    for bound in (bounds[0], bounds[1], bounds[3]):
        assert bound.quantity in (DISTANCE, LOSS, EIGENVALUE)
        assert not accepted(own, replace(bound, network=own.sha256), witness)


def test_no_proof_where_there_is_no_critical_point():
    with ball_arithmetic(), pytest.raises(PrecisionError, match="No critical point"):
        critical_point(np.array([[0.5, 0.7]]), 1e-6)
