r"""The file `.eps`: a network of dense and sparse layers as one number, written and read by exact integer arithmetic.

    4 bytes    b"EPS" and the version, 1
    8 bytes    the first of the sha256 of what follows
    the rest   one stream of `arithmetic`: inputs, layers; of each layer its outputs, activations, terms (the layers it
               reads from, and how their matrix is stored), tables of the matrices and of the bias (`tensors`)

`decode(encode(network))` has the sha256 of the network, on every machine. A file that was cut, changed or padded gives
a CheckError. Memory and time of a reader are bounded by `MAX_ENTRIES`, whatever the file says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import CheckError, DomainError
from epsnet.codec import tensors
from epsnet.codec.arithmetic import Coder, Decoder, Encoder
from epsnet.core.linear_maps import Dense, Exact, LinearMap, Sparse, is_float64
from epsnet.core.network import Layer, Network
from epsnet.core.serial import refuse_malformed

MAGIC = b"EPS\x01"
MAX_ENTRIES = 2**22
"""The most places, zeros included, of all matrices and biases of a network together."""

MAX_LAYERS = 2**12
MAX_BYTES = 2**28
_MAPS = (Dense, Sparse, Exact)
_MAX_NAME = 64
_COMMON = ("relu", "identity")
_HASH = 8


def encode(network: Network) -> bytes:
    """Return the `.eps` file of a network; never longer than `length_bound(network)` bits.

    Raises:
        DomainError: a convolution, a weight that is no float64 number, or more than `MAX_ENTRIES` places.
    """
    bound = length_bound(network)
    coder = Encoder()
    _topology(coder, _plan(network))
    for values, rows, columns in _tables(network):
        tensors.code(coder, values, rows, columns)
    stream = coder.finish()
    content = MAGIC + hashlib.sha256(stream).digest()[:_HASH] + stream
    if 8 * len(content) > bound:
        raise CheckError("The file is longer than its bound, which is a bug. Report it with the network.")
    return content


def decode(content: bytes) -> Network:
    """Return the network of a `.eps` file. CheckError unless the content is one, whole and unchanged."""
    with refuse_malformed("The .eps file"):
        if not content[: len(MAGIC)] == MAGIC:
            raise ValueError("it does not begin with the bytes of an .eps file of version 1")
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        stream = content[len(MAGIC) + _HASH :]
        if content[len(MAGIC) : len(MAGIC) + _HASH] != hashlib.sha256(stream).digest()[:_HASH]:
            raise ValueError("it was cut or changed: the checksum differs")
        return _read(Decoder(stream))


def length_bound(network: Network) -> int:
    r"""Return a number of bits that the file of the network never exceeds.

    $$ \sum_{\text{tables}} \Bigl(\log_2 \binom{n}{M} + M w + c\Bigr) + s + 96 + 10, $$

    M of the n places of a table being nonzero with w bits each (`tensors.length_bound`), s the length of the code of
    the topology, 96 for checksum and version, 10 for whole bytes and what the coder loses: at most 2^-29 of a bit for
    each of at most 2^30 bits coded.
    """
    coder = Encoder()
    _topology(coder, _plan(network))
    tables = sum(tensors.length_bound(values) for values, _, _ in _tables(network))
    return coder.bits + 1 + tables + 8 * (len(MAGIC) + _HASH) + 10


@dataclass(frozen=True)
class _Shape:
    """A layer without its numbers: outputs, whether its bias is rational, activations, and (source, storage)."""

    outputs: int
    rational: bool
    activations: tuple[str, ...]
    terms: tuple[tuple[int, int], ...]


_Plan = tuple[int, list[_Shape]]


def _plan(network: Network) -> _Plan:
    """Return the topology. DomainError if a file cannot hold the network."""
    shapes = []
    for number, layer in enumerate(network.layers, start=1):
        for _, linear in layer.terms:
            if not isinstance(linear, _MAPS):
                raise DomainError(f"Layer {number} is a convolution, which no .eps file holds. Write it as a matrix.")
        numbers = [*layer.bias, *(value for _, linear in layer.terms for value in linear.entries()[2])]
        if not all(isinstance(value, float) or is_float64(value) for value in numbers):
            raise DomainError(f"Layer {number} has a weight that is no float64 number. Round the network first.")
        names = layer.activations[:1] if len(set(layer.activations)) == 1 else layer.activations
        terms = tuple((source, _MAPS.index(type(linear))) for source, linear in layer.terms)
        shapes.append(_Shape(layer.outputs, isinstance(layer.bias, tuple), names, terms))
    sizes = [network.inputs, *(shape.outputs for shape in shapes)]
    places = sum(shape.outputs * (1 + sum(sizes[source] for source, _ in shape.terms)) for shape in shapes)
    if places > MAX_ENTRIES or len(shapes) > MAX_LAYERS:
        raise DomainError(
            f"The network has {places:,} places for weights in {len(shapes):,} layers; an .eps file holds "
            f"{MAX_ENTRIES:,} in {MAX_LAYERS:,}. Make it smaller."
        )
    return network.inputs, shapes


def _tables(network: Network) -> Iterator[tuple[NDArray[np.float64], int, int]]:
    """Yield the matrices and the bias of each layer as flat tables, with their rows and columns."""
    for layer in network.layers:
        for _, linear in layer.terms:
            table = np.zeros(linear.shape)
            rows, columns, values = linear.entries()
            table[rows, columns] = [float(value) for value in values]
            yield table.ravel(), *linear.shape
        yield np.array([float(value) for value in layer.bias]), layer.outputs, 1


def _topology(coder: Coder, plan: _Plan | None) -> _Plan:
    """Code the topology; a decoder takes None for it."""
    inputs, shapes = plan or (1, [])
    inputs = 1 + coder.natural(inputs - 1)
    count = coder.natural(len(shapes))
    if count > MAX_LAYERS:
        raise ValueError(f"more than {MAX_LAYERS:,} layers")
    sizes, places, result = [inputs], 0, []
    for number in range(1, count + 1):
        shape = shapes[number - 1] if plan else _Shape(1, False, (), ())
        outputs = 1 + coder.natural(shape.outputs - 1)
        terms = []
        for term in range(coder.natural(len(shape.terms))):
            source, storage = shape.terms[term] if plan else (number - 1, 0)
            source = number - 1 - coder.natural(number - 1 - source)
            if source < 0:
                raise ValueError(f"layer {number} reads from a layer before the input")
            terms.append((source, coder.uniform(storage, 2)))
        sizes.append(outputs)
        places += outputs * (1 + sum(sizes[source] for source, _ in terms))
        if places > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES:,} places for weights")
        rational = bool(coder.uniform(shape.rational, 1))
        result.append(_Shape(outputs, rational, _activations(coder, shape.activations, outputs), tuple(terms)))
    return inputs, result


def _activations(coder: Coder, names: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    """Code one activation for all neurons or one for each: the different names, then their numbers."""
    different = list(dict.fromkeys(names))
    count = 1 + coder.natural(max(len(different) - 1, 0))
    if count > outputs:
        raise ValueError("more activations than neurons")
    found = [_name(coder, different[k] if different else "") for k in range(count)]
    if count == 1:
        return tuple(found)
    width = (count - 1).bit_length()
    return tuple(found[coder.uniform(different.index(name) if name else 0, width)] for name in names or [""] * outputs)


def _name(coder: Coder, name: str) -> str:
    number = coder.natural(_COMMON.index(name) if name in _COMMON else len(_COMMON))
    if number < len(_COMMON):
        return _COMMON[number]
    text = name.encode("ascii")
    length = coder.natural(len(text))
    if length > _MAX_NAME:
        raise ValueError("the name of an activation is too long")
    return bytes(coder.uniform(text[k] if text else 0, 8) for k in range(length)).decode("ascii")


def _read(coder: Decoder) -> Network:
    inputs, shapes = _topology(coder, None)
    sizes, layers = [inputs, *(shape.outputs for shape in shapes)], []
    for shape in shapes:
        terms = tuple(
            (source, _linear_map(storage, tensors.code(coder, None, shape.outputs, sizes[source]), shape.outputs))
            for source, storage in shape.terms
        )
        bias = tensors.code(coder, None, shape.outputs, 1)
        layers.append(Layer(terms, tuple(map(Fraction, bias.tolist())) if shape.rational else bias, shape.activations))
    return Network(inputs, tuple(layers))


def _linear_map(storage: int, values: NDArray[np.float64], rows: int) -> LinearMap:
    table = values.reshape(rows, -1)
    if _MAPS[storage] is Dense:
        return Dense(table)
    i, j = np.nonzero(table)
    if _MAPS[storage] is Sparse:
        return Sparse(table.shape, i, j, table[i, j])
    entries = zip(i.tolist(), j.tolist(), table[i, j].tolist(), strict=True)
    return Exact(table.shape, {(row, column): Fraction(value) for row, column, value in entries})
