r"""The file `.eps` of a network: its topology and its numbers as one number, by exact integer arithmetic.

    3 bytes    b"EPS"
    1 byte     what the file holds: 1, a network; `files` and `circuits` have other numbers
    4 bytes    the first of the sha256 of that byte and of what follows
    the rest   one stream of `arithmetic`: inputs, layers; of each layer its outputs, activations, terms (the layers it
               reads from, and how their map is stored), or that it is like the one before; tables of the maps and the
               biases, one by one (`tensors`) or all together (`repeats`), whatever is shorter

`decode(encode(network))` has the sha256 of the network, on every machine. A file that was cut, changed or padded gives
a CheckError, but for one in 2^32 of those that were damaged at random; a network in place of another is no proof of
anything, for certificates name the network by its whole sha256. Memory and time of a reader are bounded by
`MAX_ENTRIES`, whatever the file says.

Theorem (storage, `storage_bound`). A network of L layers with M weights among n places, all of them at most B in
absolute value and multiples of a step t = 2^-k, takes at most

$$ \log_2 \binom{n}{M} + M \bigl(1 + \lceil \log_2 (B / t) \rceil\bigr) + L (4 \log_2 (M + 1) + 116) + 145 $$

bits. If no neuron is without weights, n <= M (M + 1) and the first term is at most M log2(e (M + 1)). If the weights
are at most B = eps^-b, on a grid t >= eps^c / 2, and eps = M^-gamma, that is C M log2 M bits for a fixed number of
layers, with C = 1 + gamma (b + c) + o(1).

Source: H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019), who state it as O(M log M).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from epsnet.certify.errors import CheckError, DomainError
from epsnet.codec import tensors
from epsnet.codec.arithmetic import Coder, Decoder, Encoder
from epsnet.codec.repeats import Repeats, dyadic, value_of
from epsnet.codec.tensors import Table
from epsnet.core.linear_maps import MAX_NEURONS, Convolution, Dense, Exact, LinearMap, Sparse, is_float64
from epsnet.core.network import MAX_TOTAL, Layer, Network
from epsnet.core.serial import refuse_malformed

MAGIC = b"EPS"
NETWORK = 1
MAX_ENTRIES = 2**22
"""The most places, zeros included, of all matrices, kernels and biases of a network together."""

_RATIONAL = 8
"""As how many places one of a table of rationals counts: it takes so much more memory."""

MAX_LAYERS = 2**12
MAX_BYTES = 2**28
HEADER = 8
_MAPS = (Dense, Sparse, Exact, Convolution)
_MAX_NAME = 64
_COMMON = ("relu", "identity")
_FEW = 2**14
"""The most places of a network whose tables are tried together."""


def seal(kind: int, content: bytes) -> bytes:
    """Return a file: magic, kind, checksum and content."""
    kind_and_content = bytes([kind]) + content
    return MAGIC + kind_and_content[:1] + hashlib.sha256(kind_and_content).digest()[:4] + content


def unseal(content: bytes) -> tuple[int, bytes]:
    """Return kind and content of a file. ValueError if it is none, or was changed."""
    if content[:3] != MAGIC or len(content) < HEADER:
        raise ValueError("it does not begin with the bytes of an .eps file")
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    kind, rest = content[3], content[HEADER:]
    if seal(kind, rest) != content:
        raise ValueError("it was cut or changed: the checksum differs")
    return kind, rest


def encode(network: Network) -> bytes:
    """Return the `.eps` file of a network; never longer than `length_bound(network)` bits.

    Raises:
        DomainError: more than `MAX_ENTRIES` places, or a rational weight of more than `tensors.MAX_BITS` bits.
    """
    return seal(NETWORK, encode_stream(network))


def decode(content: bytes) -> Network:
    """Return the network of a `.eps` file. CheckError unless the content is one, whole and unchanged."""
    with refuse_malformed("The .eps file"):
        kind, stream = unseal(content)
        if kind != NETWORK:
            raise ValueError(f"it holds something else than a network alone, number {kind}")
        return decode_stream(stream)


def encode_stream(network: Network) -> bytes:
    """Return the file without its header."""
    plan, tables = _plan(network), list(_tables(network))
    coder = Encoder()
    _topology(coder, plan)
    coder.uniform(0, 1)
    for values, rows, columns in tables:
        tensors.code(coder, values, rows, columns)
    stream = coder.finish()
    if sum(len(values) for values, _, _ in tables) <= _FEW:
        together = _together(plan, tables)
        stream = min(stream, together, key=len) if together else stream
    if 8 * (HEADER + len(stream)) > _bound(plan, tables):
        raise CheckError("The file is longer than its bound, which is a bug. Report it with the network.")
    return stream


def decode_stream(stream: bytes) -> Network:
    """Return the network of `encode_stream`. CheckError, OverflowError or ValueError unless it is one."""
    coder = Decoder(stream)
    inputs, shapes = _topology(coder, None)
    sizes, layers = [inputs, *(shape.outputs for shape in shapes)], []
    repeats = Repeats(coder) if coder.uniform(0, 1) else None
    count = sum(
        _places(shape, [sizes[k - term.back] for term in shape.terms]) for k, shape in enumerate(shapes, start=1)
    )
    if repeats is not None and count > _FEW:
        raise ValueError(f"more than {_FEW:,} places in tables that are coded together")

    def table(slot: int, rows: int, columns: int) -> Table:
        if repeats is None:
            found = tensors.code(coder, None, rows, columns)
        else:
            found = [value_of(value) for value in repeats.table(slot, None, rows, columns)]
        if isinstance(found, list) and not all(map(_is_short, found)):
            raise ValueError(f"a weight has more than {tensors.MAX_BITS:,} bits")
        return found

    for number, shape in enumerate(shapes, start=1):
        terms = []
        for slot, term in enumerate(shape.terms):
            source = number - term.back
            terms.append(
                (source, _linear_map(term, table(slot, *term.table(shape.outputs, sizes[source])), shape.outputs))
            )
        bias = table(_BIAS, shape.biases, 1)
        stored = tuple(map(Fraction, _listed(bias))) if shape.rational else _floats(bias)
        layers.append(Layer(tuple(terms), stored, shape.activations))
    return Network(inputs, tuple(layers))


def length_bound(network: Network) -> int:
    r"""Return a number of bits that the file of the network never exceeds.

    $$ \sum_{\text{tables}} \Bigl(\log_2 \binom{n}{M} + M w + c\Bigr) + s + 64 + 11, $$

    M of the n places of a table being nonzero with w bits each (`tensors.length_bound`), s the length of the code of
    the topology, 64 for the header, 11 for whole bytes, for how the tables are coded, and for what the coder loses: at
    most 2^-29 of a bit for each of at most 2^30 bits coded.
    """
    return _bound(_plan(network), list(_tables(network)))


def storage_bound(
    weights: int, places: int, magnitude: float | Fraction, step: float | Fraction, layers: int = 2
) -> int:
    r"""Return a number of bits that no `.eps` file of such a network exceeds; the formula is that of the module.

    Args:
        weights: M, the nonzero ones, biases included.
        places: n, of all matrices and biases, zeros included.
        magnitude: B, all weights being at most that.
        step: t, a power of 2, all weights being multiples of it; B / t < 2^60.
        layers: L. Each reads from the one before and has one activation, relu or identity, for all of its neurons.

    Raises:
        DomainError: the numbers do not fit each other.
    """
    ratio = Fraction(magnitude) / Fraction(step) if step > 0 else Fraction(0)
    _, odd, below, _ = tensors.split(Fraction(step) or Fraction(3))
    if not 0 <= weights <= places <= MAX_ENTRIES or not 1 <= ratio < 2**60 or (odd, below) != (1, 1) or layers < 1:
        raise DomainError(
            f"{weights:,} weights of {places:,} places, up to {magnitude} in steps of {step}, are none of a network in "
            f"an .eps file. Give 0 <= weights <= places, and a step 2^-k with step <= magnitude < 2^60 step."
        )
    each = 1 + (math.ceil(ratio) - 1).bit_length()
    # A layer has two tables, with headers of 26 + 2 log2(M + 1) + 1 bits, and its code: at most 45 bits for its outputs
    # and 13 for the rest. There are 70 bits for the inputs and the number of layers.
    by_layer = 2 * (27 + 2 * (weights + 1).bit_length()) + 58
    return tensors.places_bound(places, weights) + weights * each + layers * by_layer + 70 + 8 * HEADER + 11


_BIAS = -1
_Tables = list[tuple[Table, int, int]]


def _together(plan: _Plan, tables: _Tables) -> bytes | None:
    """Return the stream with all tables coded together, None if a number is not dyadic."""
    coder, found = Encoder(), iter(tables)
    _topology(coder, plan)
    coder.uniform(1, 1)
    repeats = Repeats(coder)
    for shape in plan[1]:
        for slot in (*range(len(shape.terms)), _BIAS):
            values, rows, columns = next(found)
            numbers = [dyadic(value) for value in _listed(values)]
            if not all(numbers):
                return None
            repeats.table(slot, [value for value in numbers if value], rows, columns)
    return coder.finish()


def _bound(plan: _Plan, tables: _Tables) -> int:
    coder = Encoder()
    _topology(coder, plan)
    return coder.bits + 1 + sum(tensors.length_bound(values) for values, _, _ in tables) + 8 * HEADER + 11


@dataclass(frozen=True)
class _Term:
    """A linear map without its numbers: how many layers back it reads, how it is stored.

    Attributes:
        geometry: of a convolution: shape of the kernel, rows and columns of the input, stride, padding.
    """

    back: int
    storage: int
    geometry: tuple[int, ...] = ()

    def table(self, outputs: int, inputs: int) -> tuple[int, int]:
        """Return the rows and columns of the table of its numbers."""
        return (self.geometry[0], math.prod(self.geometry[1:4])) if self.geometry else (outputs, inputs)


@dataclass(frozen=True)
class _Shape:
    """A layer without its numbers."""

    outputs: int
    biases: int
    rational: bool
    activations: tuple[str, ...]
    terms: tuple[_Term, ...]


_Plan = tuple[int, list[_Shape]]


def _plan(network: Network) -> _Plan:
    """Return the topology. DomainError if a file cannot hold the network."""
    shapes, sizes, places = [], [network.inputs], 0
    for number, layer in enumerate(network.layers, start=1):
        names = layer.activations[:1] if len(set(layer.activations)) == 1 else layer.activations
        terms = tuple(
            _Term(number - source, _MAPS.index(type(linear)), _geometry(linear)) for source, linear in layer.terms
        )
        shapes.append(_Shape(layer.outputs, len(layer.bias), isinstance(layer.bias, tuple), names, terms))
        places += _places(shapes[-1], [sizes[number - term.back] for term in terms])
        sizes.append(layer.outputs)
    if places > MAX_ENTRIES or len(shapes) > MAX_LAYERS:
        raise DomainError(
            f"The network has {places:,} places for weights in {len(shapes):,} layers; an .eps file holds "
            f"{MAX_ENTRIES:,} in {MAX_LAYERS:,}. Make it smaller."
        )
    return network.inputs, shapes


def _geometry(linear: LinearMap) -> tuple[int, ...]:
    if not isinstance(linear, Convolution):
        return ()
    return *linear.kernel.shape, *linear.input_shape[1:], linear.stride, linear.padding


def _places(shape: _Shape, inputs: list[int]) -> int:
    count = shape.biases * (_RATIONAL if shape.rational else 1)
    for term, size in zip(shape.terms, inputs, strict=True):
        count += math.prod(term.table(shape.outputs, size)) * (_RATIONAL if _MAPS[term.storage] is Exact else 1)
    return count


def _tables(network: Network) -> Iterator[tuple[Table, int, int]]:
    """Yield the numbers of the maps and of the bias of each layer as flat tables, with their rows and columns."""
    for number, layer in enumerate(network.layers, start=1):
        for _, linear in layer.terms:
            if isinstance(linear, Convolution):
                yield linear.kernel.ravel(), len(linear.kernel), linear.kernel[0].size
                continue
            rows, columns, values = linear.entries()
            table = np.zeros(linear.shape, dtype=object if isinstance(linear, Exact) else np.float64)
            table[rows, columns] = values
            yield _table(table.ravel().tolist(), number) if isinstance(linear, Exact) else table.ravel(), *linear.shape
        yield _table(layer.bias, number) if isinstance(layer.bias, tuple) else layer.bias, len(layer.bias), 1


def _table(values: list[Fraction] | tuple[Fraction, ...], layer: int) -> Table:
    """Return rationals as a table. DomainError if one of them is too long."""
    fractions = list(map(Fraction, values))
    if all(map(is_float64, fractions)):
        return np.array(fractions, dtype=np.float64)
    if not all(map(_is_short, fractions)):
        raise DomainError(
            f"Layer {layer} has a weight of more than {tensors.MAX_BITS:,} bits. Round the network first."
        )
    return fractions


def _is_short(value: Fraction) -> bool:
    return max(value.numerator.bit_length(), value.denominator.bit_length()) <= tensors.MAX_BITS


def _listed(values: Table) -> list:
    return values if isinstance(values, list) else values.tolist()


def _floats(values: Table) -> np.ndarray:
    """Return float64 numbers. ValueError if one of the table is none."""
    if isinstance(values, np.ndarray):
        return values
    if not all(map(is_float64, values)):
        raise ValueError("a weight is no float64 number")
    return np.array(values, dtype=np.float64)


def _topology(coder: Coder, plan: _Plan | None) -> _Plan:
    """Code the topology; a decoder takes None for it."""
    inputs, shapes = plan or (1, [])
    inputs = 1 + coder.natural(inputs - 1)
    count = coder.natural(len(shapes))
    if count > MAX_LAYERS:
        raise ValueError(f"more than {MAX_LAYERS:,} layers")
    sizes, places, result, like = [inputs], 0, [], [0, 0]
    for number in range(1, count + 1):
        shape = shapes[number - 1] if plan else None
        if not (result and coder.adaptive(int(shape == result[-1]), like)):
            result.append(_layer(coder, shape, number))
        else:
            result.append(result[-1])
        places += _places(result[-1], [sizes[number - term.back] for term in result[-1].terms])
        sizes.append(result[-1].outputs)
        if places > MAX_ENTRIES or sum(sizes[1:]) > MAX_TOTAL:
            raise ValueError(f"more than {MAX_ENTRIES:,} places for weights, or {MAX_TOTAL:,} neurons")
    return inputs, result


def _layer(coder: Coder, shape: _Shape | None, number: int) -> _Shape:
    given = shape or _Shape(1, 1, False, (), ())
    outputs = 1 + coder.natural(given.outputs - 1)
    count = coder.natural(len(given.terms))
    if outputs > MAX_NEURONS or count > MAX_ENTRIES:
        raise ValueError(f"more than {MAX_NEURONS:,} neurons in a layer, or {MAX_ENTRIES:,} terms")
    terms = []
    for index in range(count):
        term = given.terms[index] if shape else _Term(1, 0)
        back = 1 + coder.natural(term.back - 1)
        if back > number:
            raise ValueError(f"layer {number} reads from a layer before the input")
        storage = coder.uniform(term.storage, 2)
        convolution = _MAPS[storage] is Convolution
        geometry = tuple(coder.natural(part) for part in term.geometry or (1,) * 8) if convolution else ()
        # Without this, maps that need no places would make a file of any length.
        if 0 in geometry[:-1]:
            raise ValueError("a convolution of size 0")
        terms.append(_Term(back, storage, geometry))
    shared = (
        terms and terms[0].geometry and coder.uniform(int(given.biases == (given.terms or terms)[0].geometry[0]), 1)
    )
    biases = terms[0].geometry[0] if shared else outputs
    rational = bool(coder.uniform(given.rational, 1))
    return _Shape(outputs, biases, rational, _activations(coder, given.activations, outputs), tuple(terms))


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


def _linear_map(term: _Term, values: Table, rows: int) -> LinearMap:
    if _MAPS[term.storage] is Convolution:
        kernel, (height, width, stride, padding) = term.geometry[:4], term.geometry[4:]
        return Convolution(_floats(values).reshape(kernel), (kernel[1], height, width), stride, padding)
    if _MAPS[term.storage] is Exact:
        numbers = _listed(values)
        columns = len(numbers) // rows
        return Exact((rows, columns), {divmod(k, columns): Fraction(value) for k, value in enumerate(numbers) if value})
    table = _floats(values).reshape(rows, -1)
    if _MAPS[term.storage] is Dense:
        return Dense(table)
    i, j = np.nonzero(table)
    return Sparse(table.shape, i, j, table[i, j])
