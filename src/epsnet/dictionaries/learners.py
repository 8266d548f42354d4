r"""Learners with proved rates: each makes a network or an expansion of a given size for a member of a model class.

A learner takes a member and a size N and returns what it stores, `Learned`. All errors are those of what is stored,
with weights rounded to multiples of a step.

* `tikhomirov`: the code of Kolmogorov and Tikhomirov for the Lipschitz ball with eps = 1/N, decoded to a polygon.
* `universal_neuron`: one neuron with the activation sigma_steps for the Lipschitz ball, whose bias is a code of N
  steps: M = 4, and not effective.
* `polygons`: N pieces of equal length, values rounded to multiples of N^-s/8. The turns are then multiples of the step
  with a bounded number of bits, and the places an arithmetic progression: the `.eps` file has O(N) bits for s <= 2.
* `haar_ramps`: the N largest Haar coefficients of a function of bounded variation, as a network of ramps.
* `largest_terms`: the N largest coefficients of a sequence, in units of the smallest of them; as a network if they are
  those of piecewise-linear wavelets.
* `horizons`: 1 - rho(1 - rho(1/2 + (g_N(x_1) - x_2)/delta)), g_N a polygon as above and delta = N^-beta/4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError
from epsnet.codec.format import encode
from epsnet.codec.lipschitz import LipschitzCode
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Network
from epsnet.core.universal_activation import delta_code, steps
from epsnet.dictionaries.dictionary import Expansion, Floats
from epsnet.dictionaries.model_classes import Piecewise, Sequences
from epsnet.dictionaries.transfer import haar_steps, linear_wavelet_network, ramp_network
from epsnet.dictionaries.wavelets import Wavelets

_HEADER = 32
"""Bits for the step of an expansion: 8 of its mantissa, 8 of its exponent, 16 for the number of blocks."""
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Learned:
    """What a learner stored for one member.

    Attributes:
        error: in the norm of the class, as computed or a bound of it.
        weights: M of the network, or the terms of an expansion.
        bits: of the file or code.
        log2_magnitude: log2 of the largest weight.
        depth: how far the learner searched its dictionary: 1 + the largest number of an atom, 1 if there is none.
    """

    error: float
    weights: int
    bits: int
    log2_magnitude: float
    depth: int = 1


Learner = Callable[[Any, int], Learned]
"""Takes a member and a size."""


def tikhomirov(member: Piecewise, size: int) -> Learned:
    """Store a member of the Lipschitz ball in size - 1 bits; size = 2^k."""
    code = LipschitzCode(Fraction(0), Fraction(1), slope=Fraction(1), eps=Fraction(1, size))
    known = dict(zip((Fraction(k, size) for k in range(size + 1)), member.polygon(size).tolist(), strict=True))
    _, heights = code.decode(code.encode(lambda x: Fraction(known[x])))
    values = np.array([float(height) for height in heights])
    network = polygon_network(values)
    return Learned(member.minus_polygon(values).sup(), *_size(network, code.bits))


def universal_neuron(member: Piecewise, size: int) -> Learned:
    """Store a member of the Lipschitz ball in one weight: steps at (i - 1/2)/N to multiples of 1/N, N = 2^k."""
    levels = np.rint(member.polygon(size) * size).astype(np.int64)
    network, index = steps_network(levels)
    cells = max(2 * member.cells, 2 * size)
    values, each = member.polygon(cells), cells // size
    # Up to the middles of its neighbors every level is among those that the smooth steps lie between.
    parts = [values[max(0, each * (i - 1)) : each * (i + 1) + 1] for i in range(size + 1)]
    error = max(float(np.abs(part - level / size).max()) for part, level in zip(parts, levels.tolist(), strict=True))
    return Learned(error, network.size.weights, index.bit_length(), float(index.bit_length() + 1))


def polygons(member: Piecewise, size: int, smoothness: float) -> Learned:
    """Store a member of the Hoelder ball as a polygon of `size` = 2^k pieces."""
    values = _rounded(member.polygon(size), size**-smoothness / 8)
    network = polygon_network(values)
    return Learned(member.minus_polygon(values).sup(), *_size(network, 8 * len(encode(network))))


def haar_ramps(member: Floats, size: int) -> Learned:
    """Store steps on 2^J cells by their `size` largest Haar coefficients, as ramps that add a quarter to the error."""
    levels = len(member).bit_length() - 1
    basis = Wavelets("haar", member.shape, levels)
    coefficients = basis.analysis(member) / 2 ** (levels / 2)
    blocks = [slice(0, 1), *(slice(2**j, 2 ** (j + 1)) for j in range(levels))]
    integers, step = quantized(coefficients, size, 1.0)
    kept, stored = np.flatnonzero(integers), step * integers.astype(np.float64)
    error = float(np.linalg.norm(coefficients - stored))
    expansion = Expansion(basis, kept, stored[kept] * 2 ** (levels / 2))
    ramps = ramp_network(haar_steps(expansion), max(error, 2.0**-40) / 4)
    own = _size(ramps.network, stored_bits(integers, blocks))
    return Learned(error + math.sqrt(ramps.squared_error), *own, int(kept.max(initial=0)) + 1)


def largest_terms(member: Floats, size: int, model_class: Sequences) -> Learned:
    """Store the `size` largest coefficients of a sequence."""
    integers, step = quantized(member, size, model_class.optimal_rate)
    kept, stored = np.flatnonzero(integers), step * integers.astype(np.float64)
    error = model_class.distance(member, stored)
    bits, depth = stored_bits(integers, model_class.blocks), int(kept.max(initial=0)) + 1
    if model_class.wavelets is None:
        return Learned(error, len(kept), bits, math.log2(max(step, np.abs(stored).max())), depth)
    coefficients = model_class.expanded(stored)
    expansion = Expansion(model_class.wavelets, kept + 2, coefficients[kept + 2])
    return Learned(error, *_size(linear_wavelet_network(expansion), bits), depth)


def horizons(member: Piecewise, size: int, smoothness: float) -> Learned:
    """Store the indicator below a horizon as a network whose ramp follows a polygon of `size` = 2^k pieces."""
    width = 2.0 ** -math.ceil(smoothness * math.log2(size) + 2)
    values = _rounded(member.polygon(size), size**-smoothness / 8)
    difference = member.minus_polygon(values)
    places = (np.arange(_SAMPLES * difference.cells) + 0.5) / (_SAMPLES * difference.cells)
    off = np.abs(difference(places))
    # The integral over x_2 of the squared error, for a boundary that is `off` away from the middle of the ramp.
    part = np.minimum(off / width, 0.5) + 0.5
    squares = width * (part**3 + (1 - part) ** 3) / 3 + np.maximum(off - width / 2, 0.0)
    network = horizon_network(values, width)
    return Learned(float(np.sqrt(squares.mean())), *_size(network, 8 * len(encode(network))))


def quantized(coefficients: Floats, count: int, rate: float) -> tuple[NDArray[np.int64], float]:
    """Return integers q and a step of 8 bits: q step are the coefficients that are not below the step, else 0.

    The step is that of the `count` largest which is least, but at least count^{-rate-1/2}/8: members of a class of this
    rate have not many more coefficients above, and storing those below costs more than it is worth.
    """
    if not 1 <= count <= len(coefficients):
        raise DomainError(f"There are no {count} of {len(coefficients)} coefficients. Give a smaller positive number.")
    magnitudes = np.abs(coefficients)
    least = float(np.partition(magnitudes, -count)[-count])
    step = _short(max(least, count ** (-rate - 0.5) / 8))
    integers = np.where(magnitudes >= step, np.rint(coefficients / step), 0.0)
    return integers.astype(np.int64), step


def stored_bits(integers: NDArray[np.int64], blocks: Sequence[slice]) -> int:
    r"""Return the bits of integers in blocks, most of which are 0.

    For every block up to the last one with a number: how many of its n numbers are not 0, M, by the gamma code of
    P. Elias, which of the binom(n, M) sets of places they have, and for each of them a sign and |q| by the gamma code.
    """
    used = [integers[block] for block in blocks]
    while used and not used[-1].any():
        used.pop()
    total = float(_HEADER)
    for block in used:
        nonzero = np.abs(block[block != 0])
        n, m = len(block), len(nonzero)
        places = (math.lgamma(n + 1) - math.lgamma(m + 1) - math.lgamma(n - m + 1)) / math.log(2)
        # The logarithms err by less than 1e-6, and an integer shall not be rounded up.
        total += _gamma(m + 1) + math.ceil(places - 1e-6) + float(np.sum(1 + _gamma(nonzero)))
    return int(total)


def _gamma(positive: Any) -> Any:
    """Return the bits of the gamma code of positive integers."""
    return 2 * np.frexp(np.asarray(positive, dtype=np.float64))[1] - 1


def steps_network(levels: NDArray[np.int64]) -> tuple[Network, int]:
    """Return the network of one neuron that steps from levels[i - 1]/N to levels[i]/N at (i - 1/2)/N, and its slot."""
    count = len(levels) - 1
    heights = np.diff(levels).tolist()
    codes = [1, *(2 * height if height > 0 else 1 - 2 * height for height in heights)]
    index = int("1" + "".join(map(delta_code, codes)), 2)
    constant, factor = steps(index).output
    unit = Fraction(1, count)
    layers = [
        (linear_map((1, 1), {(0, 0): Fraction(1)}), bias_vector([Fraction(2 * index)])),
        (linear_map((1, 1), {(0, 0): unit * factor}), bias_vector([unit * (constant + int(levels[0]))])),
    ]
    return Network.from_layers(layers, "sigma-steps"), index


def polygon_network(values: Floats) -> Network:
    """Return the network with one hidden layer that is the polygon with these values at i/n, i = 0, ..., n = 2^k."""
    places, turns = _turns(values)
    return Network.from_layers([(np.ones((len(places), 1)), -places), (turns[None], values[:1])])


def horizon_network(values: Floats, width: float) -> Network:
    """Return the network that is 1 below the polygon and 0 above it, with a ramp of this width along x_2."""
    places, turns = _turns(values)
    first = np.zeros((len(places) + 1, 2))
    first[:-1, 0] = first[-1, 1] = 1.0
    ramp = np.append(turns, -1.0) / width
    return Network.from_layers(
        [
            (first, np.append(-places, 0.0)),
            (ramp[None], [values[0] / width + 0.5]),
            ([[-1.0]], [1.0]),
            ([[-1.0]], [1.0]),
        ]
    )


def _turns(values: Floats) -> tuple[Floats, Floats]:
    """Return where a polygon changes its slope and by how much, the slope at 0 first."""
    pieces = len(values) - 1
    turns = np.diff(np.diff(values) * pieces, prepend=0.0)
    kept = np.flatnonzero(turns)
    kept = kept if len(kept) else np.array([0])
    return kept / pieces, turns[kept]


def _size(network: Network, bits: int) -> tuple[int, int, float]:
    """Return weights, bits and log2 of the largest weight."""
    size = network.size
    return size.weights, bits, math.log2(size.magnitude)


def _rounded(values: Floats, step: float) -> Floats:
    """Round to multiples of a step of 8 bits, so that they and their differences are float64 numbers."""
    step = _short(step)
    return step * np.round(values / step)


def _short(step: float) -> float:
    fraction, exponent = math.frexp(step)
    return math.ldexp(math.floor(math.ldexp(fraction, 8)), exponent - 8)
