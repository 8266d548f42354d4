"""Networks as objects: what is refused, what the hash sees, what is counted, what is printed, what is computed."""

from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.certify.rounding import ball_arithmetic
from epsnet.core.functions import ACTIVATIONS, FUNCTIONS
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network, activation
from epsnet.core.realize import realize, realize_ball, realize_exact

SEEDS = st.integers(0, 2**32 - 1)
ONE = Dense([[1.0]])
CONV = Convolution(np.ones((1, 1, 2, 2)), (1, 3, 3))
HAT = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])

REFUSED = {
    "has no linear map": lambda: Layer((), [0.0]),
    "biases of shape \\(0,\\)": lambda: Layer(((0, ONE),), []),
    "biases of shape \\(2,\\)": lambda: Layer(((0, ONE),), [0.0, 1.0]),
    "one for each channel": lambda: Layer(((0, CONV),), [0.0, 1.0]),
    "4 outputs has biases of shape \\(0,\\)": lambda: Layer(((0, CONV),), ()),
    "has 2 activations": lambda: Layer(((0, ONE),), [0.0], ("relu", "tanh")),
    "'swish' is unknown": lambda: Layer(((0, ONE),), [0.0], ("swish",)),
    r"'leaky_relu\(1.5\)' is unknown": lambda: Layer(((0, ONE),), [0.0], ("leaky_relu(1.5)",)),
    r"'leaky_relu\(nan\)' is unknown": lambda: Layer(((0, ONE),), [0.0], ("leaky_relu(nan)",)),
    "differ in their number of outputs": lambda: Layer(((0, ONE), (0, Dense([[1.0], [1.0]]))), [0.0]),
    "biases of a layer contain NaN": lambda: Layer(((0, ONE),), [np.nan]),
    "weights of a layer contain NaN": lambda: Dense([[np.inf]]),
    "not an array of numbers": lambda: Dense([[1.0], [1.0, 2.0]]),
    r"shape \(2,\)": lambda: Dense([1.0, 2.0]),
    r"shape \(0, 1\)": lambda: Dense(np.zeros((0, 1))),
    "reads from layer 2": lambda: Network(1, (Layer(((2, ONE),), [0.0]),)),
    "reads from layer -1": lambda: Network(1, (Layer(((-1, ONE),), [0.0]),)),
    "expects 1 values from layer 0, which has 2": lambda: Network(2, (Layer(((0, ONE),), [0.0]),)),
    "at least one input and one layer": lambda: Network(1, ()),
    "need 1 hidden activations, not 2": lambda: Network.from_layers([([[1.0]], [0.0])] * 2, ["relu", "relu"]),
    "one length": lambda: Sparse((1, 1), [0], [0, 0], [1.0]),
    "outside the shape": lambda: Sparse((1, 1), [0], [1], [1.0]),
    "two values at one place": lambda: Sparse((1, 1), [0, 0], [0, 0], [1.0, 2.0]),
    "not integers": lambda: Sparse((1, 1), [0.5], [0], [1.0]),
    "lies outside": lambda: Exact((1, 1), {(0, 1): 1}),
    "does not fit": lambda: Convolution(np.ones((1, 2, 2, 2)), (1, 3, 3)),
    "larger than the padded image": lambda: Convolution(np.ones((1, 1, 4, 4)), (1, 3, 3)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_construction_errors(message):
    with pytest.raises(DomainError, match=message):
        REFUSED[message]()


@given(SEEDS)
def test_the_hash_does_not_depend_on_storage(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-2, 3, size=(3, 4)) * rng.normal()
    rows, columns = np.nonzero(matrix)
    shuffled = rng.permutation(len(rows))
    storages = [
        Dense(matrix),
        Dense(np.where(matrix == 0, -0.0, matrix)),
        Dense(np.asfortranarray(matrix)),
        Sparse((3, 4), rows[shuffled], columns[shuffled], matrix[rows, columns][shuffled]),
        Exact((3, 4), {place: Fraction(value) for place, value in np.ndenumerate(matrix)}),
    ]
    biases = [np.array([0.5, 0.0, 1.0]), (Fraction(1, 2), Fraction(0), Fraction(1)), np.array([0.5, -0.0, 1.0])]
    hashes = {
        Network(4, (Layer(((0, a),), b, names),)).sha256
        for a in storages
        for b in biases
        for names in (("relu",), ("relu",) * 3)
    }
    assert len(hashes) == 1
    others = [
        Network(4, (Layer(((0, Dense(matrix + np.eye(3, 4) * 2.0**-40)),), biases[0]),)),
        Network(4, (Layer(((0, storages[0]),), [0.5, 0.0, 1.0 + 2**-50]),)),
        Network(4, (Layer(((0, storages[0]),), biases[0], ("tanh",)),)),
        Network(4, (Layer(((0, storages[0]),), biases[0], ("relu", "relu", "tanh")),)),
        Network(4, (Layer(((0, storages[0]),), (Fraction(1, 3), Fraction(0), Fraction(1))),)),
    ]
    assert len({other.sha256 for other in others} | hashes) == 6


def test_the_hash_of_huge_rationals_and_spellings_of_slopes():
    huge = Fraction(10) ** 400
    assert Network(1, (Layer(((0, Exact((1, 1), {(0, 0): huge})),), (huge,)),)).sha256
    spellings = ("leaky_relu(0.01)", "leaky_relu(1e-2)", "leaky_relu(.01)")
    assert len({Network(1, (Layer(((0, ONE),), [0.0], (name,)),)).sha256 for name in spellings}) == 1


def test_networks_are_frozen():
    layer = HAT.layers[0]
    sparse = Sparse((1, 1), [0], [0], [1.0])
    for array in (layer.bias, layer.terms[0][1].weight, *sparse.entries()[:2], CONV.kernel):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 7
    source = np.ones((1, 1))
    kept = Dense(source)
    source[0, 0] = 5.0
    assert kept.weight[0, 0] == 1.0


@given(SEEDS, st.integers(1, 3), st.integers(1, 2), st.integers(0, 1))
def test_a_convolution_equals_its_matrix(seed, channels, stride, padding):
    rng = np.random.default_rng(seed)
    kernel = rng.integers(-2, 3, size=(2, channels, int(rng.integers(1, 4)), int(rng.integers(1, 4)))) * 1.0
    convolution = Convolution(kernel, (channels, 4, 5), stride, padding)
    rows, columns, values = convolution.entries()
    matrix = np.zeros(convolution.shape)
    matrix[rows, columns] = values
    x = rng.normal(size=(3, matrix.shape[1]))
    np.testing.assert_allclose(convolution.apply(x), x @ matrix.T, atol=1e-12)
    y = rng.normal(size=(3, matrix.shape[0]))
    np.testing.assert_allclose(convolution.transpose_apply(y), y @ matrix, atol=1e-12)
    # Straight from the definition, one output at a time.
    padded = np.pad(x.reshape(3, channels, 4, 5), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = convolution.output_shape
    for o, i, j in np.ndindex(*out):
        window = padded[:, :, i * stride : i * stride + kernel.shape[2], j * stride : j * stride + kernel.shape[3]]
        expected = (window * kernel[o]).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(convolution.apply(x)[:, (o * out[1] + i) * out[2] + j], expected, atol=1e-12)
    bias = np.array([0.5, -1.0])
    network = Network(matrix.shape[1], (Layer(((0, convolution),), bias),))
    assert network.size.weights == np.count_nonzero(kernel) + 2
    assert network.size.connections == np.count_nonzero(matrix) + matrix.shape[0]
    assert network.layers[0].bias_values() == np.repeat(bias, matrix.shape[0] // 2).tolist()


@given(SEEDS, st.sampled_from(["float", "dyadic", "rational"]), st.booleans())
def test_sizes_by_brute_force(random_network, seed, style, skips):
    rng = np.random.default_rng(seed)
    network = random_network(rng, 2, 3, 4, "relu", style, skips=skips)
    weights, operations, largest, depths = 0, 0, Fraction(0), [0]
    for layer in network.layers:
        for _, linear in layer.terms:
            matrix = [[Fraction(0)] * linear.shape[1] for _ in range(linear.shape[0])]
            for i, j, value in zip(*linear.entries(), strict=True):
                matrix[i][j] += Fraction(value)
            flat = [value for row in matrix for value in row]
            weights += sum(value != 0 for value in flat)
            operations += sum(value != 0 for value in flat)
            largest = max(largest, *map(abs, flat))
        bias = list(map(Fraction, layer.bias_values()))
        weights += sum(value != 0 for value in bias)
        largest = max(largest, *map(abs, bias))
        depths.append(1 + max(depths[source] for source, _ in layer.terms))
    size = network.size
    assert (size.weights, size.operations, size.connections) == (weights, operations, weights)
    assert size.depth == depths[-1]
    hidden = [layer.outputs for layer in network.layers[:-1]]
    assert (size.neurons, size.width) == (sum(hidden), max(hidden))
    assert Fraction(size.magnitude) >= largest >= Fraction(np.nextafter(size.magnitude, -1))


@given(
    SEEDS,
    st.sampled_from(["relu", "leaky_relu(0.3)", "abs"]),
    st.sampled_from(["float", "rational"]),
    st.integers(1, 3),
)
def test_the_three_realizations_agree(random_network, seed, name, style, dimension):
    rng = np.random.default_rng(seed)
    network = random_network(rng, dimension, 2, 3, name, style, skips=True, mixed=("identity", "relu"))
    x = rng.normal(size=(4, dimension))
    floats = realize(network, x)
    for point, values in zip(x, floats, strict=True):
        exact = realize_exact(network, [Fraction(float(a)) for a in point])
        np.testing.assert_allclose(values, [float(a) for a in exact], rtol=1e-11, atol=1e-11)
        with ball_arithmetic():
            balls = realize_ball(network, [arb(float(a)) for a in point])
            assert all(b.overlaps(arb(a.numerator) / a.denominator) for a, b in zip(exact, balls, strict=True))


@pytest.mark.parametrize("name", [*ACTIVATIONS, "leaky_relu(0.01)"])
def test_activations_per_neuron(name):
    layer = Layer(((0, Dense([[1.0], [1.0], [-1.0]])),), [0.0, 0.5, 0.0], (name, "identity", name))
    network = Network(1, (layer,))
    x = np.linspace(-2, 2, 9)
    f = activation(name).float64
    np.testing.assert_allclose(realize(network, x), np.stack([f(x), x + 0.5, f(-x)], axis=1), rtol=1e-15)
    if FUNCTIONS.get(name, activation(name)).slopes is None:
        with pytest.raises(PrecisionError, match=f"{name} of a rational"):
            realize_exact(network, [Fraction(1, 3)])


def test_skip_connections():
    """y = relu(x) + 2 x + relu(relu(x) - x): the middle term skips two layers."""
    network = Network(1, (
        Layer(((0, ONE),), [0.0]),
        Layer(((1, ONE), (0, Dense([[-1.0]]))), [0.0]),
        Layer(((2, ONE), (1, ONE), (0, Dense([[2.0]]))), [0.0], ("identity",)),
    ))  # fmt: skip
    for x in (Fraction(-3), Fraction(1, 7)):
        positive = max(x, 0)
        assert realize_exact(network, [x]) == (positive + 2 * x + max(positive - x, 0),)
    assert realize(network, -3.0) == -3.0
    assert (network.size.depth, network.size.weights, network.size.neurons) == (3, 6, 2)
    short = Network(1, (Layer(((0, ONE),), [0.0]), Layer(((0, ONE),), [0.0], ("identity",))))
    assert short.size.depth == 1


def test_shapes_of_realize():
    two = Network.from_layers([([[1.0], [2.0]], [0.0, 0.0])])
    flat = Network.from_layers([([[1.0, 1.0]], [0.0])])
    assert realize(HAT, 0.5).shape == ()
    assert realize(HAT, [0.1, 0.2]).shape == (2,)
    assert realize(HAT, [[0.1], [0.2]]).shape == (2, 1)
    assert realize(two, 0.5).shape == (2,)
    assert realize(two, [0.1, 0.2, 0.3]).shape == (3, 2)
    assert realize(flat, [1.0, 2.0]).shape == (1,)
    assert realize(flat, np.zeros((5, 2))).shape == (5, 1)
    assert realize(flat, np.zeros((0, 2))).shape == (0, 1)
    for network, x, message in (
        (flat, [1.0, 2.0, 3.0], "takes 2 inputs"),
        (flat, np.zeros((1, 1, 2)), "takes 2 inputs"),
        (HAT, [np.nan], "NaN"),
    ):
        with pytest.raises(DomainError, match=message):
            realize(network, x)
    with pytest.raises(DomainError, match="takes 2 inputs, not 1"):
        realize_exact(flat, [1])


def test_printing():
    assert str(HAT) == "Phi: R^1 -> R^1   1 -> 3 relu -> 1   depth L = 2, weights M = 8, |weights| <= 4"
    skip = Network(1, (Layer(((0, ONE),), [0.0]), Layer(((0, ONE), (1, ONE)), [0.0], ("identity",))))
    assert str(skip).startswith("Phi: R^1 -> R^1   1 -> 1 relu -> 1 + y0   depth L = 2")
    deep = Network.from_layers([([[1.0]], [0.0])] * 30)
    assert " -> ... -> " in str(deep) and len(str(deep)) < 200
    mixed = Network(1, (Layer(((0, Dense([[1.0], [1.0]])),), [0.0, 0.0], ("relu", "tanh")),))
    assert "2 relu/tanh" in str(mixed)
    assert "layers" not in repr(HAT)


def test_rational_biases_that_convolutions_repeat_are_short_in_all_layers_together():
    """Each is written once for every pixel: a few thousand bytes would stand for gigabytes of text."""
    bias = (Fraction(2**13_990 + 1, 3),)
    first = Convolution(np.ones((1, 1, 1, 1)), (1, 1, 1), padding=50)
    other = Convolution(np.ones((1, 1, 1, 1)), (1, 101, 101))
    layers = [Layer(((0, first),), bias), Layer(((1, other),), bias)]
    with pytest.raises(DomainError, match="too long"):
        Network(1, tuple(layers))
    assert Network(1, tuple(layers[:1])).outputs == 101**2
