"""Planes, matching by brute force, paths, critical points."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, EpsnetError
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.optimization.hessian import flatten, network_objective
from epsnet.optimization.landscape import (
    connect,
    filter_normalized,
    find_critical_point,
    loss_path,
    loss_plane,
    matched,
)


def network(widths, seed=0):
    generator = np.random.Generator(np.random.Philox(seed))
    return [(generator.normal(size=(b, a)), generator.normal(size=b)) for a, b in pairwise(widths)]


def test_directions_have_the_norms_of_the_neurons():
    layers = network([3, 5, 2])
    layers[0][0][2], layers[0][1][2] = 0, 0
    layers[0][0][3] = 0  # a neuron that is all bias
    for (a, b), (d, e) in zip(layers, filter_normalized(layers, 7), strict=True):
        own, step = (np.linalg.norm(np.column_stack(pair), axis=1) for pair in ((a, b), (d, e)))
        assert np.allclose(own, step, rtol=1e-14, atol=0)
    first, second = filter_normalized(layers, 1), filter_normalized(layers, 2)
    assert not np.array_equal(first[0][0], second[0][0])
    assert all(np.isfinite(part).all() for pair in first for part in pair)


def test_directions_scale_with_each_neuron():
    """Multiplying a neuron by c multiplies its part of the direction by c: the bias is not scaled twice."""
    layers = network([3, 4, 2])
    scaled = [(layers[0][0].copy(), layers[0][1].copy()), layers[1]]
    scaled[0][0][1] *= 8
    scaled[0][1][1] *= 8
    plain, other = filter_normalized(layers, 3), filter_normalized(scaled, 3)
    assert np.allclose(other[0][0][1], 8 * plain[0][0][1]) and other[0][1][1] == pytest.approx(8 * plain[0][1][1])
    assert np.array_equal(other[0][0][0], plain[0][0][0])


def test_a_plane_of_a_quadratic():
    layers = network([2, 3, 1])
    theta = flatten(layers)
    plane = loss_plane(lambda own: float(flatten(own) @ flatten(own)), layers, radius=0.5, points=5)
    u, v = flatten(plane.first), flatten(plane.second)
    for i, t in enumerate(plane.places):
        for j, s in enumerate(plane.places):
            point = theta + s * u + t * v
            assert plane.values[i, j] == pytest.approx(point @ point, rel=1e-13)
    assert plane.places[2] == 0


def test_matching_is_the_best_of_all_permutations():
    for seed in range(5):
        reference, other = network([3, 5, 2], seed), network([3, 5, 2], seed + 100)
        found = matched(reference, other)

        def distance(layers, reference=reference):
            return np.sum((flatten(layers) - flatten(reference)) ** 2)

        (a, b), (c, d) = other
        best = min(distance([(a[list(p)], b[list(p)]), (c[:, list(p)], d)]) for p in permutations(range(5)))
        assert distance(found) == pytest.approx(best, rel=1e-13)


def test_matching_leaves_the_function_and_undoes_permutations():
    generator, layers = np.random.Generator(np.random.Philox(1)), network([3, 6, 7, 2])
    first, second = generator.permutation(6), generator.permutation(7)
    (a, b), (c, d), (e, f) = layers
    shuffled = [(a[first], b[first]), (c[second][:, first], d[second]), (e[:, second], f)]
    found = matched(layers, shuffled)
    x = generator.normal(size=(20, 3))
    assert np.allclose(realize(Network.from_layers(found), x), realize(Network.from_layers(layers), x), rtol=1e-12)
    assert all(
        np.array_equal(p, q) for one, two in zip(found, layers, strict=True) for p, q in zip(one, two, strict=True)
    )


def test_matching_by_outputs_is_the_best_of_all_permutations():
    generator = np.random.Generator(np.random.Philox(3))
    x, reference, other = generator.normal(size=(30, 2)), network([2, 5, 1], 4), network([2, 5, 1], 5)

    def outputs(layers):
        return np.tanh(x @ layers[0][0].T + layers[0][1])

    found = matched(reference, other, inputs=x, activation="tanh")
    best = min(np.sum((outputs(other)[:, list(p)] - outputs(reference)) ** 2) for p in permutations(range(5)))
    assert np.sum((outputs(found) - outputs(reference)) ** 2) == pytest.approx(best, rel=1e-12)
    deep = network([2, 6, 7, 2])
    order = generator.permutation(6)
    shuffled = [(deep[0][0][order], deep[0][1][order]), (deep[1][0][:, order], deep[1][1]), deep[2]]
    assert np.array_equal(flatten(matched(deep, shuffled, inputs=x)), flatten(deep))


def test_equal_neurons_do_not_loop():
    layers = [(np.ones((4, 2)), np.ones(4)), (np.ones((3, 4)), np.ones(3)), (np.ones((1, 3)), np.ones(1))]
    assert np.array_equal(flatten(matched(layers, layers)), flatten(layers))


def test_barriers():
    path = loss_path(lambda t: float((t[0] ** 2 - 1) ** 2), [[-1.0], [1.0]], points=21)
    assert path.barrier == pytest.approx(1)
    assert loss_path(lambda t: float(t @ t), [[-1.0, 0.0], [3.0, 0.0]], points=9).barrier == 0  # convex
    bent = loss_path(lambda t: float(t[0]), [[0.0], [4.0], [2.0]], points=5)
    assert bent.values.tolist() == [0, 2, 4, 3, 2] and bent.barrier == 3


def test_a_bend_around_a_hill():
    """Two networks with opposite hidden neurons: the straight line passes the zero network, the bent path need not."""
    pytest.importorskip("jax")
    x = np.linspace(-1, 1, 21)[:, None]
    a, b = [([[1.0]], [0.0]), ([[1.0]], [0.0])], [([[-1.0]], [0.0]), ([[-1.0]], [0.0])]
    wide = [[(np.vstack([w, np.zeros((1, 1))]), np.zeros(2)), (np.hstack([v, np.zeros((1, 1))]), [0.0])]
            for (w, _), (v, _) in (a, b)]  # fmt: skip
    wide[1] = [(w[::-1], c) for w, c in wide[1][:1]] + [(np.asarray(v)[:, ::-1], c) for v, c in wide[1][1:]]
    objective, theta = network_objective(wide[0], x, np.tanh(x), loss="square", activation="tanh")
    end = flatten(wide[1])
    straight = loss_path(objective.value, [theta, end])
    bent = loss_path(objective.value, [theta, connect(objective, theta, end), end])
    assert straight.barrier > 0.03 and bent.barrier < 0.25 * straight.barrier


def test_critical_points_of_a_polynomial():
    """f = x^4/4 - x^2/2 + y^2/2 has the critical points (0, 0), a saddle, and (+-1, 0)."""
    gradient = lambda p: np.array([p[0] ** 3 - p[0], p[1]])  # noqa: E731
    hessian = lambda p: np.diag([3 * p[0] ** 2 - 1, 1.0])  # noqa: E731
    ends = set()
    for start in ((0.2, 1.0), (0.9, -1.0), (-2.0, 3.0), (0.0, 0.0)):
        found = find_critical_point(gradient, hessian, start)
        assert found.found and found.gradient <= 1e-11
        ends.add(tuple(np.round(found.theta, 9) + 0.0))
    assert ends == {(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0)}


def test_a_flat_region_is_not_called_critical():
    """f = arctan x falls for ever: |f'| is small far out, yet f has no critical point."""
    gradient = lambda p: 1 / (1 + p**2)  # noqa: E731
    found = find_critical_point(gradient, lambda p: np.diag(-2 * p / (1 + p**2) ** 2), [1.0], steps=20)
    assert not found.found and found.gradient > 1e-11


@pytest.mark.slow
def test_digits():
    """T22: one hidden layer of 512; the matched barrier is at most 0.01 where the naive one is above 0.03."""
    pytest.importorskip("jax")
    from sklearn.datasets import load_digits

    from epsnet import diff

    x, y = load_digits(return_X_y=True)
    fits = diff.fit_seeds(x.astype(np.uint8).reshape(-1, 8, 8), y, [64, 512, 10], seeds=[0, 1], epochs=100)
    a, b = ([(np.asarray(w), np.asarray(c)) for w, c in fit.layers] for fit in fits)
    objective, theta = network_objective(a, x, y)
    naive = loss_path(objective.value, [theta, flatten(b)])
    assert naive.barrier > 0.03
    for inputs in (None, x):
        assert loss_path(objective.value, [theta, flatten(matched(a, b, inputs=inputs))]).barrier <= 0.01


def test_bad_input():
    layers = network([2, 3, 1])
    with pytest.raises(DomainError, match="different shapes"):
        matched(layers, network([2, 4, 1]))
    with pytest.raises(DomainError, match="empty"):
        loss_plane(lambda own: 0.0, layers, radius=0.0)
    with pytest.raises(DomainError, match="not finite"):
        filter_normalized([(np.array([[np.inf]]), np.zeros(1))], 0)
    with pytest.raises(DomainError, match="two corners"):
        loss_path(lambda t: 0.0, [[1.0]])
    with pytest.raises(EpsnetError, match="start"):
        find_critical_point(lambda p: p * np.nan, lambda p: np.eye(1), [0.0])
