"""The .eps file: every network back bit for bit, the proved length, and ten thousand damaged files."""

import hashlib
import math
import random
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from epsnet.approximation.squaring import square
from epsnet.certify.errors import CheckError, DomainError
from epsnet.codec import tensors
from epsnet.codec.arithmetic import Coder, Decoder, Encoder
from epsnet.codec.format import MAX_ENTRIES, decode, encode, length_bound, storage_bound
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.n_term import threshold
from epsnet.dictionaries.transfer import linear_wavelet_network

F = Fraction


def random_network(rng, sizes, write=lambda x: x, output="identity"):
    pairs = [(write(rng.normal(size=(m, n))), write(rng.normal(size=m))) for n, m in pairwise(sizes)]
    return Network.from_layers(pairs, output=output)


WRITE = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype(np.float32).astype(np.float64),
    "quarters": lambda x: np.round(4 * x) / 4,
    "an odd step": lambda x: np.round(x / 0.375) * 0.375,
    "few nonzero": lambda x: np.round(x / 4),
    "zero": np.zeros_like,
    "negative zero": lambda x: np.where(x > 0, -0.0, 1.0),
    "all exponents": lambda x: x * np.exp2(np.round(250 * x)),
    "subnormal": lambda x: np.round(8 * x) * 5e-324,
    "huge": lambda x: np.round(8 * x) * 2.0**1000,
}


def assert_coded(network):
    content = encode(network)
    found = decode(content)
    assert found.sha256 == network.sha256
    assert encode(found) == content
    assert 8 * len(content) <= length_bound(network)
    return found


@pytest.mark.parametrize("write", WRITE)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 7, 2), (20, 40, 10)], ids=str)
def test_decoding_gives_the_same_network(write, sizes):
    rng = np.random.default_rng(len(write))
    assert_coded(random_network(rng, sizes, WRITE[write]))


def test_storage_activations_and_skips_come_back():
    rng = np.random.default_rng(0)
    sparse = Sparse((4, 3), [0, 1, 3], [2, 0, 1], [0.5, -3.0, 2.0**-40])
    layers = (
        Layer(((0, sparse),), rng.normal(size=4), ("relu", "tanh", "leaky_relu(0.01)", "relu")),
        Layer(((1, Dense(np.eye(4))), (0, Dense(rng.normal(size=(4, 3))))), np.zeros(4), ("sigmoid",)),
        Layer(((2, Exact((1, 4), {(0, 0): F(3, 8)})), (1, Dense(np.ones((1, 4))))), (F(1, 4),), ("identity",)),
    )
    network = Network(3, layers)
    found = assert_coded(network)
    assert [layer.activations for layer in found.layers] == [layer.activations for layer in layers]
    kinds = [[(source, type(linear)) for source, linear in layer.terms] for layer in found.layers]
    assert kinds == [[(source, type(linear)) for source, linear in layer.terms] for layer in layers]
    assert found.layers[2].bias == (F(1, 4),)


def test_a_construction_takes_few_bytes():
    network = square(9)
    assert len(encode(assert_coded(network))) <= 200


def test_a_chain_costs_little_for_each_layer_that_is_like_the_one_before():
    lengths = [len(encode(assert_coded(square(levels)))) for levels in (10, 20, 40)]
    assert lengths[0] <= 60
    assert lengths[2] - lengths[0] <= 30


def test_dyadic_weights_beyond_float64_are_coded_with_their_models():
    rng = random.Random(3)
    first = {(i, j): F(rng.choice([-1, 1]) * (2**80 + 1), 2**70) for i in range(4) for j in range(4)}
    layers = [
        Layer(((number, Exact((4, 4), {place: value / 2**number for place, value in first.items()})),), (F(0),) * 4)
        for number in range(20)
    ]
    network = Network(4, tuple(layers))
    assert 8 * len(encode(assert_coded(network))) <= 16 * (90 + 20) + 20 * 16


def entropy_bits(values):
    """Return sum of log2 binom(n, M) + M (1 + b) over the tables, in exact integers."""
    total = 0
    for q, bits in values:
        nonzero = sum(map(bool, q))
        total += (math.comb(len(q), nonzero) - 1).bit_length() + nonzero * (1 + bits)
    return total


@pytest.mark.parametrize("bits", [0, 1, 3])
def test_the_bound_is_binomials_plus_weights_plus_a_constant(bits):
    rng = np.random.default_rng(bits)
    tables = []

    def write(x):
        q = rng.integers(1, 2**bits + 1, size=x.shape) * rng.choice([-1, 0, 0, 1], size=x.shape)
        q.flat[0] = 2**bits
        tables.append((q.ravel().tolist(), bits))
        return q * 2.0**-7

    network = random_network(rng, (10, 30, 20, 4), write)
    bound = length_bound(network)
    # Six tables of at most 600 places: 2 + 6 + 6 + 12 bits, the step 1, and 2 log2(M + 1) + 1 for M.
    assert entropy_bits(tables) <= bound <= entropy_bits(tables) + 6 * (26 + 19 + 1) + 60 + 75
    assert 8 * len(encode(network)) <= bound


def test_uniform_weights_reach_the_entropy():
    """What is drawn evenly cannot be coded in less; the file is within its constants of the entropy."""
    rng = np.random.default_rng(3)
    network = random_network(rng, (40, 200, 10), lambda x: rng.integers(-128, 128, size=x.shape) / 64)
    entropy = 8 * network.size.connections
    assert 0.99 * entropy <= 8 * len(encode(network)) <= 1.03 * entropy


def test_counts_of_the_coder_are_those_of_krichevsky_and_trofimov():
    rng = np.random.default_rng(0)
    for share in (0.01, 0.3, 0.5):
        data = (rng.random(5000) < share).astype(int).tolist()
        encoder, counts = Encoder(), [0, 0]
        for bit in data:
            encoder.adaptive(bit, counts)
        content, k, n = encoder.finish(), sum(data), len(data)
        entropy = n * math.log2(n) - k * math.log2(k) - (n - k) * math.log2(n - k)
        assert 8 * (len(content) - 1) <= entropy + math.log2(n) / 2 + 1
        decoder, counts = Decoder(content), [0, 0]
        assert [decoder.adaptive(0, counts) for _ in data] == data


def test_the_coder_carries_through_full_bytes():
    """Intervals at the upper end make long runs of bytes 255; their codes must still come back."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        steps = [(int(rng.random() < 0.9), int(rng.integers(1, 2**16)), 2**16) for _ in range(100)]
        steps += [(1, 2**32 - 1, 2**32)] * 3 + [(0, 2**32 - 1, 2**32)] * 30

        def walk(coder: Coder, steps=steps):
            found = [coder.bit(*step) for step in steps]
            return found, coder.natural(12345), coder.uniform(2**40 + 7, 41)

        encoder = Encoder()
        walk(encoder)
        assert walk(Decoder(encoder.finish())) == ([step[0] for step in steps], 12345, 2**40 + 7)


def test_a_grid_is_found_exactly():
    assert tensors.grid(np.array([0.75, 0.0, -1.5, 4.5])) == ([1, 0, -2, 6], 3, -2)
    assert tensors.grid(np.array([5e-324, -1.5e-323])) == ([1, -3], 1, -1074)
    assert tensors.grid(np.array([1.0, 2.0**-70])) is None


@pytest.fixture(scope="module")
def content():
    rng = np.random.default_rng(5)
    return encode(random_network(rng, (6, 12, 3), lambda x: np.round(4 * x) / 4))


def mutate(rng, content):
    """Return the content with one to three changes: flipped bits, bytes cut, doubled, exchanged, filled or appended."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(len(changed) + 1))
        match rng.integers(6):
            case 0 if place < len(changed):
                changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                del changed[place:]
            case 2:
                del changed[place : place + int(rng.integers(1, 5))]
            case 3:
                changed[place:place] = rng.bytes(int(rng.integers(1, 5)))
            case 4:
                changed[place : place + 4] = bytes(reversed(changed[place : place + 4]))
            case _:
                changed += b"\0" * int(rng.integers(1, 5))
        if not changed:
            break
    return bytes(changed)


def test_no_damaged_file_is_accepted(content):
    rng = np.random.default_rng(7)
    tried = 0
    while tried < 10_000:
        changed = mutate(rng, content)
        if changed == content:
            continue
        tried += 1
        with pytest.raises(CheckError, match=r"\.eps file cannot be read"):
            decode(changed)


def test_every_cut_and_every_flipped_bit_is_refused(content):
    number, size = int.from_bytes(content, "big"), len(content)
    flips = ((number ^ 1 << k).to_bytes(size, "big") for k in range(8 * size))
    for changed in [*(content[:k] for k in range(size)), *flips]:
        with pytest.raises(CheckError):
            decode(changed)


def sealed(stream):
    return b"EPS\x01" + hashlib.sha256(b"\x01" + stream).digest()[:4] + stream


def test_a_forged_checksum_gives_a_network_or_an_error_but_no_crash(content):
    rng = np.random.default_rng(8)
    refused = 0
    for _ in range(1000):
        try:
            assert isinstance(decode(sealed(mutate(rng, content[8:]))), Network)
        except CheckError:
            refused += 1
    assert refused > 0


def test_a_hostile_topology_is_refused_at_once():
    for inputs, outputs in ((2**40, 1), (1, 2**40), (2**13, 2**13)):
        coder = Encoder()
        for value in (inputs - 1, 1, outputs - 1, 1, 0):
            coder.natural(value)
        coder.uniform(0, 3)
        coder.natural(0)
        coder.natural(0)
        with pytest.raises(CheckError, match="more than"):
            decode(sealed(coder.finish() + bytes(40)))


def topology(sizes, storage=0, geometry=(), terms=1, activations=1):
    """Return a coder after the topology of plain layers, and what says that each is like the first."""
    coder, like = Encoder(), [0, 0]
    for value in (sizes[0] - 1, len(sizes) - 1):
        coder.natural(value)
    for number, outputs in enumerate(sizes[1:]):
        if number:
            coder.adaptive(1, like)
            continue
        coder.natural(outputs - 1)
        coder.natural(terms)
        for _ in range(terms):
            coder.natural(0)
            coder.uniform(storage, 2)
            for value in geometry:
                coder.natural(value)
        coder.uniform(0, 2 if geometry else 1)
        coder.natural(activations - 1)
        for name in range(activations):
            coder.natural(name)
    coder.uniform(0, 1)
    return coder


@pytest.mark.parametrize(
    ("coder", "message"),
    [
        (topology([1, 2**27], terms=0, activations=2), "neurons in a layer"),
        (topology([1] * 4001, 3, (0,) * 8, terms=2000), "size 0"),
        (topology([1024, 4000], 2), "more than"),
        (topology([10**7] + [10**7] * 30, 3, (1, 1, 1, 1, 10**7, 1, 1, 0)), "100,000,000 neurons"),
    ],
    ids=["activations", "maps without places", "rationals", "neurons"],
)
def test_a_topology_that_would_take_memory_or_time_is_refused(coder, message):
    """Some dozen bytes that stand for gigabytes, or for hours."""
    tracemalloc.start()
    with pytest.raises(CheckError, match=message):
        decode(sealed(coder.finish() + bytes(40)))
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_rational_with_a_long_power_of_two_is_refused():
    """Its text would have more than the 4,300 digits that Python writes."""
    for value in (F(2) ** 14_001, F(3) * F(2) ** 13_999, F(1, 3) * F(2) ** -13_999):
        with pytest.raises(DomainError, match="more than 14,000 bits"):
            encode(Network(1, (Layer(((0, Exact((1, 1), {(0, 0): value})),), [0.0], ("relu",)),)))
    coder = topology([1, 1], 2)
    coder.uniform(tensors.LONG, 2)
    coder.uniform(1, 1)
    coder.natural(1)
    tensors.rational(coder, F(2**13_999 + 1) * F(2) ** 13_999)
    with pytest.raises(CheckError, match="more than 14,000 bits"):
        decode(sealed(coder.finish() + bytes(40)))


def test_what_a_file_cannot_hold_is_refused():
    long = Exact((1, 1), {(0, 0): F(2**14_001 - 1, 3)})
    with pytest.raises(DomainError, match="more than 14,000 bits"):
        encode(Network(1, (Layer(((0, long),), (F(0),), ("relu",)),)))
    side = math.isqrt(MAX_ENTRIES) + 1
    large = Sparse((side, side), [0], [0], [1.0])
    with pytest.raises(DomainError, match="places for weights"):
        encode(Network(side, (Layer(((0, large),), np.zeros(side), ("relu",)),)))


@pytest.mark.parametrize("shared", [True, False])
def test_convolutions_come_back_with_their_geometry(shared):
    rng = np.random.default_rng(2)
    first = Convolution(rng.normal(size=(3, 2, 2, 3)), (2, 9, 8), stride=2, padding=1)
    second = Convolution(np.round(rng.normal(size=(4, 3, 1, 1))), first.output_shape)
    outputs = first.shape[0], second.shape[0]
    biases = [rng.normal(size=n) for n in ((3, 4) if shared else outputs)]
    layers = (
        Layer(((0, first),), biases[0]),
        Layer(((1, second), (0, Dense(rng.normal(size=(outputs[1], 144))))), biases[1]),
        Layer(((2, Dense(np.ones((1, outputs[1])))),), [0.5], ("identity",)),
    )
    found = assert_coded(Network(144, layers))
    kept = [linear for layer in found.layers for _, linear in layer.terms if isinstance(linear, Convolution)]
    for original, linear in zip((first, second), kept, strict=True):
        np.testing.assert_array_equal(linear.kernel, original.kernel)
        assert (linear.input_shape, linear.stride, linear.padding) == (
            original.input_shape, original.stride, original.padding,
        )  # fmt: skip
    assert [len(layer.bias) for layer in found.layers[:2]] == [len(bias) for bias in biases]


def test_rational_weights_of_any_size_come_back():
    rng = random.Random(0)
    values = [F(1, 3), F(-(2**400), 1), F(5, 2**300), F(rng.getrandbits(900) | 1, 2**333), F(-1, 10**40), F(7, 8)]
    values += [F(rng.getrandbits(200) - 2**199, rng.getrandbits(100) + 1) for _ in range(20)]
    table = {divmod(3 * k, 9): value for k, value in enumerate(values)}
    layers = (
        Layer(((0, Exact((9, 9), table)),), tuple(values[:9])),
        Layer(((1, Exact((1, 9), {(0, 4): F(1, 7)})),), (F(2) ** -1074 / 3,), ("identity",)),
    )
    found = assert_coded(Network(9, layers))
    assert dict(zip(table, found.layers[0].terms[0][1].entries()[2], strict=True)) == table
    assert found.layers[0].bias == tuple(values[:9])


def test_the_length_of_a_rational_is_what_is_written():
    rng = random.Random(1)
    for _ in range(300):
        value = F(rng.getrandbits(rng.randrange(1, 200)) + 1, rng.getrandbits(rng.randrange(1, 200)) + 1)
        encoder = Encoder()
        encoder.uniform(0, 16)
        tensors.rational(encoder, -value)
        assert encoder.bits - 16 == tensors.rational_bits(-value)
        decoder = Decoder(encoder.finish())
        decoder.uniform(0, 16)
        assert tensors.rational(decoder, F(0)) == -value


def test_what_a_rational_network_takes_is_the_length_of_its_weights():
    """A network of fixed size keeps its function in its digits: its file is as long as they are, and no longer."""
    for bits in (200, 2000, 12_000):
        weight = F(random.Random(bits).getrandbits(bits) | 1, 2**bits)
        network = Network(1, (Layer(((0, Exact((1, 1), {(0, 0): weight})),), (F(0),), ("relu",)),))
        length = 8 * len(encode(assert_coded(network)))
        assert bits <= length <= bits + 4 * math.log2(bits) + 8 * 16


def wavelet_network(terms, step):
    """Return the N-term network of a root in CDF(2,2) with its coefficients rounded to multiples of a step."""
    basis = LinearWavelets(10)
    found = threshold(basis, basis.analysis(np.sqrt(np.linspace(0, 1, basis.size))), terms)
    rounded = np.round(found.coefficients / step) * step
    return linear_wavelet_network(Expansion(basis, found.indices, rounded))


@pytest.mark.parametrize("exponent", [1, 2])
def test_networks_of_n_wavelets_take_a_multiple_of_n_log_n_bits(exponent):
    """Coefficients on a grid 2^-k <= eps^c, eps = 1/N: below the stated bound, and N log2 N times 60 at most."""
    for terms in (10, 30, 100):
        step = 2.0 ** -math.ceil(exponent * math.log2(terms))
        network = wavelet_network(terms, step)
        size, length = network.size, 8 * len(encode(network))
        shapes = [linear.shape for layer in network.layers for _, linear in layer.terms]
        places = sum(rows * (1 + columns) for rows, columns in shapes)
        # The coefficients are divided by 8.
        bound = storage_bound(size.weights, places, size.magnitude, step / 8, len(network.layers))
        assert length <= length_bound(network) <= bound <= 600 * terms * math.log2(terms)
        assert length <= 60 * terms * math.log2(terms)
