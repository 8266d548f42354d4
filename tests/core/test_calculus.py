"""Laws of the calculus: R of a combination is the combination of R exactly, and sizes are as stated."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.calculus import (
    add,
    compose,
    identity,
    pad_depth,
    parallel,
    postcompose_affine,
    precompose_affine,
    scale,
    sparse_compose,
)
from epsnet.core.functions import ACTIVATIONS
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.matrices import product
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize, realize_exact

LINEAR = ("relu", "leaky_relu(0.25)", "leaky_relu(0.01)", "abs", "identity")
CARRIERS = ("relu", "leaky_relu(0.25)", "leaky_relu(0.01)", "identity")
EVERY = (*ACTIVATIONS, "leaky_relu(0.01)")
STYLES = st.sampled_from(["dyadic", "float", "rational"])
SEEDS = st.integers(0, 2**32 - 1)


def points(rng, dimension, count=3):
    return [
        tuple(Fraction(int(rng.integers(-9, 10)), int(rng.integers(1, 6))) for _ in range(dimension))
        for _ in range(count)
    ]


def last_weights(network):
    last = network.layers[-1]
    return sum(linear.stored_weights for _, linear in last.terms) + sum(map(bool, last.bias))


def last_bias(network):
    return sum(map(bool, network.layers[-1].bias))


def read_weights(network):
    return sum(linear.stored_weights for layer in network.layers for k, linear in layer.terms if k == 0)


def layer_weights(layer):
    return sum(linear.stored_weights for _, linear in layer.terms) + sum(map(bool, layer.bias))


def same_function(network, function, xs):
    for x in xs:
        assert realize_exact(network, x) == tuple(function(x))


@given(SEEDS, st.sampled_from(LINEAR), STYLES, st.booleans(), st.integers(1, 3), st.integers(1, 3))
def test_compose_is_exact(random_network, seed, activation, style, skips, depth_outer, depth_inner):
    rng = np.random.default_rng(seed)
    f = random_network(rng, 2, 2, depth_outer, activation, style, skips=skips)
    g = random_network(rng, 3, 2, depth_inner, activation, style, skips=skips)
    h = compose(f, g)
    same_function(h, lambda x: realize_exact(f, realize_exact(g, x)), points(rng, 3))
    readers = sum(any(k == 0 for k, _ in layer.terms) for layer in f.layers)
    if readers == 1:
        assert h.size.depth == f.size.depth + g.size.depth - 1
        assert h.size.neurons == f.size.neurons + g.size.neurons
        at_seam = layer_weights(h.layers[len(g.layers) - 1])
        assert (
            h.size.weights == f.size.weights + g.size.weights - last_weights(g) - layer_weights(f.layers[0]) + at_seam
        )
    else:
        assert h.size.depth == f.size.depth + g.size.depth
        assert h.size.neurons == f.size.neurons + g.size.neurons + g.outputs
        assert h.size.weights == f.size.weights + g.size.weights


@given(SEEDS, st.sampled_from(CARRIERS), STYLES, st.booleans(), st.integers(1, 3), st.integers(1, 3))
def test_sparse_compose_is_exact_and_sparse(random_network, seed, activation, style, skips, depth_outer, depth_inner):
    rng = np.random.default_rng(seed)
    f = random_network(rng, 2, 2, depth_outer, activation, style, skips=skips)
    g = random_network(rng, 3, 2, depth_inner, activation, style, skips=skips)
    h = sparse_compose(f, g, activation)
    same_function(h, lambda x: realize_exact(f, realize_exact(g, x)), points(rng, 3))
    double = activation != "identity"
    assert h.size.depth == f.size.depth + g.size.depth
    assert h.size.neurons == f.size.neurons + g.size.neurons + (2 if double else 1) * g.outputs
    assert h.size.weights == f.size.weights + g.size.weights + double * (last_weights(g) + read_weights(f))
    assert h.size.weights <= 2 * f.size.weights + 2 * g.size.weights


@given(SEEDS, st.sampled_from(LINEAR), STYLES, st.booleans(), st.booleans(), st.integers(1, 3))
def test_parallel_of_equal_depth(random_network, seed, activation, style, skips, shared, depth):
    rng = np.random.default_rng(seed)
    dimensions = (2, 2, 2) if shared else (1, 2, 3)
    networks = [random_network(rng, d, 2, depth, activation, style, skips=skips) for d in dimensions]
    h = parallel(*networks, shared_input=shared)

    def function(x):
        parts = [x] * 3 if shared else [x[:1], x[1:3], x[3:]]
        return sum((realize_exact(network, part) for network, part in zip(networks, parts, strict=True)), ())

    same_function(h, function, points(rng, 2 if shared else 6))
    assert h.size.weights == sum(network.size.weights for network in networks)
    assert h.size.neurons == sum(network.size.neurons for network in networks)
    assert h.size.depth == depth


@given(SEEDS, st.sampled_from(CARRIERS), STYLES, st.integers(1, 4), st.integers(1, 4))
def test_parallel_and_add_of_different_depths(random_network, seed, activation, style, first, second):
    rng = np.random.default_rng(seed)
    f = random_network(rng, 2, 2, first, activation, style)
    g = random_network(rng, 2, 2, second, activation, style)
    depth = max(first, second)
    padded = [pad_depth(network, depth, activation=activation) for network in (f, g)]
    h = parallel(f, g, activation=activation)
    same_function(h, lambda x: realize_exact(f, x) + realize_exact(g, x), points(rng, 2))
    assert h.size.weights == sum(network.size.weights for network in padded)
    assert h.size.neurons == sum(network.size.neurons for network in padded)
    assert h.size.depth == depth

    total = add(f, g, activation=activation)
    same_function(
        total, lambda x: (a + b for a, b in zip(realize_exact(f, x), realize_exact(g, x), strict=True)), points(rng, 2)
    )
    assert total.size.depth == depth
    assert total.size.neurons == sum(network.size.neurons for network in padded)
    if depth > 1:
        merged = sum(network.size.weights - last_bias(network) for network in padded)
        assert total.size.weights == merged + last_bias(total)


@given(SEEDS, st.sampled_from(LINEAR), STYLES, st.booleans(), st.integers(1, 3))
def test_add_with_skips_and_three_terms(random_network, seed, activation, style, skips, depth):
    rng = np.random.default_rng(seed)
    networks = [random_network(rng, 2, 2, depth, activation, style, skips=skips) for _ in range(3)]
    expected = lambda x: (sum(column) for column in zip(*(realize_exact(n, x) for n in networks), strict=True))  # noqa: E731
    same_function(add(*networks), expected, points(rng, 2))


@given(SEEDS, st.sampled_from(CARRIERS), STYLES, st.booleans(), st.booleans(), st.integers(1, 3), st.integers(0, 3))
def test_pad_depth(random_network, seed, activation, style, skips, nonnegative, depth, p):
    rng = np.random.default_rng(seed)
    f = random_network(rng, 2, 3, depth, activation, style, skips=skips)
    h = pad_depth(f, f.size.depth + p, nonnegative, activation)

    def function(x):
        values = realize_exact(f, x)
        return values if not nonnegative else tuple(map(abs, values)) if min(values) >= 0 else realize_exact(h, x)

    same_function(h, function, points(rng, 2))
    m, single = 3, nonnegative or activation == "identity"
    leaky = activation.startswith("leaky")
    carried = m * p if single else 4 * m * p - 2 * m if leaky else 2 * m * p
    assert h.size.depth == f.size.depth + p
    if p:
        assert h.size.weights == f.size.weights + (not single) * last_weights(f) + carried
        assert h.size.neurons == f.size.neurons + (m * p if single else 2 * m * p)
    else:
        assert h is f


@pytest.mark.parametrize("activation", CARRIERS)
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_identity(activation, depth, nonnegative):
    d = 3
    network = identity(d, depth, nonnegative, activation)
    xs = (
        [(Fraction(1, 3), Fraction(0), Fraction(7))]
        if nonnegative
        else [(Fraction(1, 3), Fraction(-2, 7), Fraction(0))]
    )
    same_function(network, lambda x: x, xs)
    single = nonnegative or activation == "identity" or depth == 1
    expected = d * depth if single else 4 * d * (depth - 1) if activation.startswith("leaky") else 2 * d * depth
    assert network.size.weights == expected
    assert network.size.neurons == (d if single else 2 * d) * (depth - 1)
    assert network.size.depth == depth


@given(SEEDS, st.sampled_from(LINEAR), STYLES, st.fractions(max_denominator=9), st.integers(1, 3))
def test_scale_and_affine_maps(random_network, seed, activation, style, factor, depth):
    rng = np.random.default_rng(seed)
    f = random_network(rng, 2, 3, depth, activation, style)
    scaled = scale(factor, f)
    same_function(scaled, lambda x: (factor * value for value in realize_exact(f, x)), points(rng, 2))
    if factor:
        assert (scaled.size.weights, scaled.size.depth, scaled.size.neurons) == (
            f.size.weights,
            f.size.depth,
            f.size.neurons,
        )
    matrix = [[Fraction(1, 3), 2, 0], [0.1, -1, factor]]
    bias = [factor, Fraction(1, 7)]

    def affine(x):
        return tuple(
            b + sum(Fraction(w) * v for w, v in zip(row, x, strict=True)) for row, b in zip(matrix, bias, strict=True)
        )

    same_function(postcompose_affine(matrix, bias, f), lambda x: affine(realize_exact(f, x)), points(rng, 2))
    same_function(precompose_affine(f, matrix, bias), lambda x: realize_exact(f, affine(x)), points(rng, 3))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("output", ["identity", "same"])
def test_every_activation_and_operation(random_network, name, output):
    """The law grid: the same identities for activations without an exact realization, and for outputs with one."""
    rng = np.random.default_rng(7)
    end = name if output == "same" else "identity"
    f, g = (random_network(rng, 2, 2, 2, name, "float", output=end) for _ in range(2))
    x = rng.normal(size=(20, 2))
    y = realize(g, x)
    near = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(realize(compose(f, g), x), realize(f, y), **near)
    np.testing.assert_allclose(realize(sparse_compose(f, g, "relu"), x), realize(f, y), **near)
    np.testing.assert_allclose(realize(parallel(f, g), x), np.hstack([realize(f, x), y]), **near)
    apart = parallel(f, g, shared_input=False)
    np.testing.assert_allclose(realize(apart, np.hstack([x, y])), np.hstack([realize(f, x), realize(g, y)]), **near)
    np.testing.assert_allclose(realize(add(f, g), x), realize(f, x) + y, **near)
    np.testing.assert_allclose(realize(scale(-0.3, f), x), -0.3 * realize(f, x), **near)
    np.testing.assert_allclose(realize(pad_depth(f, 4, activation="relu"), x), realize(f, x), **near)
    assert parallel(f, g).size.weights == apart.size.weights == f.size.weights + g.size.weights
    if end == "identity":
        assert compose(f, g).size.depth == 3
        assert scale(-0.3, f).size.weights == f.size.weights
    else:
        assert compose(f, g).size.depth == sparse_compose(f, g, "relu").size.depth == 4
        assert compose(f, g).size.weights == f.size.weights + g.size.weights
        assert scale(-0.3, f).size.weights == f.size.weights + 2
        assert add(f, g).size.weights == f.size.weights + g.size.weights + 4
        padded = pad_depth(f, 4, activation="relu")
        assert padded.size.weights == f.size.weights + (4 if name == "relu" else 8)


def test_convolutions_stay_convolutions(convolutional_network):
    rng = np.random.default_rng(3)
    f, g = convolutional_network(rng), convolutional_network(rng)
    x = [tuple(Fraction(int(v), 3) for v in rng.integers(-4, 5, size=9)) for _ in range(3)]
    for network in (parallel(f, g), add(f, g), parallel(f, g, shared_input=False)):
        assert all(isinstance(linear, Convolution) for layer in network.layers for _, linear in layer.terms)
    assert parallel(f, g).size.weights == f.size.weights + g.size.weights
    assert parallel(f, g, shared_input=False).size.weights == f.size.weights + g.size.weights
    assert scale(3, f).size.weights == f.size.weights
    same_function(parallel(f, g), lambda p: realize_exact(f, p) + realize_exact(g, p), x)
    same_function(
        add(f, g), lambda p: (a + b for a, b in zip(realize_exact(f, p), realize_exact(g, p), strict=True)), x
    )
    same_function(scale(3, f), lambda p: (3 * a for a in realize_exact(f, p)), x)
    padded = pad_depth(f, 4)
    assert all(isinstance(linear, Convolution) for layer in padded.layers[:2] for _, linear in layer.terms)
    assert padded.size.weights == f.size.weights + last_weights(f) + 2 * f.outputs * 2
    same_function(padded, lambda p: realize_exact(f, p), x)


def test_convolutions_composed(convolutional_network):
    rng = np.random.default_rng(4)
    inner = convolutional_network(rng, channels=(1, 2))
    outer = convolutional_network(rng, channels=(2, 2, 1))
    x = [tuple(Fraction(int(v), 3) for v in rng.integers(-4, 5, size=9)) for _ in range(3)]
    expected = lambda p: realize_exact(outer, realize_exact(inner, p))  # noqa: E731
    same_function(compose(outer, inner), expected, x)
    sparse = sparse_compose(outer, inner)
    assert all(isinstance(linear, Convolution) for layer in sparse.layers for _, linear in layer.terms)
    assert sparse.size.weights == outer.size.weights + inner.size.weights + last_weights(inner) + read_weights(outer)
    same_function(sparse, expected, x)


def test_a_pointwise_convolution_inside_a_spatial_one_keeps_its_bias_right():
    """The bias of the inner one is constant on channels, its image under a padded convolution is not."""
    rng = np.random.default_rng(5)
    inner = Network(
        9, (Layer(((0, Convolution(rng.normal(size=(2, 1, 1, 1)), (1, 3, 3))),), np.array([1.0, -2.0]), ("identity",)),)
    )
    kernel = Convolution(rng.integers(-2, 3, size=(1, 2, 3, 3)) / 1.0, (2, 3, 3), 1, 1)
    outer = Network(18, (Layer(((0, kernel),), np.array([0.5]), ("identity",)),))
    x = (Fraction(1, 3),) * 9
    same_function(compose(outer, inner), lambda p: realize_exact(outer, realize_exact(inner, p)), [x])


def test_convolutions_of_different_geometry_share_a_layer(convolutional_network):
    rng = np.random.default_rng(6)
    f = convolutional_network(rng, side=4, outputs=2)
    g = Network(16, (
        Layer(((0, Convolution(rng.integers(-2, 3, size=(2, 1, 2, 2)) / 2, (1, 4, 4), 2)),), [1.0, 0.5], ("relu",)),
        Layer(((1, Dense(rng.integers(-2, 3, size=(2, 8)) / 2)),), np.array([1.0, 0.0]), ("identity",)),
    ))  # fmt: skip
    x = [tuple(Fraction(int(v), 3) for v in rng.integers(-4, 5, size=16)) for _ in range(2)]
    same_function(parallel(f, g), lambda p: realize_exact(f, p) + realize_exact(g, p), x)
    assert parallel(f, g).size.connections == f.size.connections + pad_depth(g, 3).size.connections


@given(
    SEEDS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.sampled_from(["tiny", "huge", "normal", "signs"])
)
def test_products_of_float_matrices_are_exact(seed, m, k, n, kind):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    if kind == "tiny":
        left, right = np.ldexp(left, -600), np.ldexp(right, rng.integers(-540, -400))
    if kind == "huge":
        left, right = np.ldexp(left, 500), np.ldexp(right, 550)
    if kind == "signs":
        left = np.eye(m, k)[rng.permutation(m)] * rng.choice([-2.0, 1.0, 0.0], size=(m, 1))
    result = product(Dense(left), Sparse((k, n), *np.nonzero(right), right[np.nonzero(right)]))
    exact = {
        (i, j): sum(Fraction(left[i, t]) * Fraction(right[t, j]) for t in range(k)) for i in range(m) for j in range(n)
    }
    found = {(i, j): Fraction(v) for i, j, v in zip(*result.entries(), strict=True)}
    assert found == {place: value for place, value in exact.items() if value}
    representable = all(abs(v) < 2**1000 and Fraction(float(v)) == v for v in exact.values())
    if representable and kind != "tiny":
        assert not isinstance(result, Exact)


def test_a_matrix_product_is_fast_where_it_is_exact():
    """784 x 784 signs times 784 x 784 floats: no Fraction is built, or this would take minutes."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(784, 784))
    flipped = product(Dense(np.diag(rng.choice([-1.0, 1.0], size=784))), Dense(matrix))
    assert isinstance(flipped, Dense)
    np.testing.assert_array_equal(np.abs(flipped.weight), np.abs(matrix))


def test_errors(random_network):
    rng = np.random.default_rng(0)
    f, g = random_network(rng, 2, 3, 2, "tanh"), random_network(rng, 3, 2, 3, "tanh")
    with pytest.raises(DomainError, match="takes 2 inputs, the inner one has 3 outputs"):
        compose(f, f)
    with pytest.raises(HypothesisError, match="No finite combination of tanh"):
        sparse_compose(f, g)
    with pytest.raises(HypothesisError, match="abs"):
        identity(1, 2, activation="abs")
    with pytest.raises(HypothesisError, match="No finite combination of tanh"):
        parallel(f, g, shared_input=False)
    with pytest.raises(DomainError, match="more than 1"):
        pad_depth(f, 1)
    with pytest.raises(DomainError, match="share an input"):
        parallel(f, g)
    with pytest.raises(DomainError, match="numbers of outputs"):
        add(f, g)
    with pytest.raises(DomainError, match="not a finite number"):
        scale(float("nan"), f)
    with pytest.raises(DomainError, match="Give 1 or more"):
        identity(0, 2)
    with pytest.raises(DomainError, match="shape"):
        postcompose_affine([1.0, 2.0], [0.0], f)
    relu = random_network(rng, 3, 3, 2, "relu")
    with pytest.raises(HypothesisError, match="relu, tanh"):
        sparse_compose(relu, f)
