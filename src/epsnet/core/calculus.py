r"""The calculus of networks: compose, add, stack and lengthen them, exactly as functions and with exact sizes.

Every result equals its definition as a function, R(compose(f, g)) = R(f) o R(g), without any rounding: products of
weights are computed in rationals and stored as float64 where every entry is a float64 number, as `Exact` otherwise.

Notation of the size identities: M_i, L_i and N_i are `size.weights`, `size.depth` and `size.neurons` of the i-th
network, m the number of outputs of the inner network, M_last the weights of its last layer, M_read the nonzero matrix
entries that read the input of the outer network. Two words recur:

* a network is *open* if its last activation is the identity: another affine map can be merged into its last layer;
* the *carry* rho(x) - rho(-x) = (1 + a) x hands a signal through a layer of ReLU (a = 0) or leaky ReLU of slope a.

Convolutions stay convolutions where the result is one: under a map that mixes channels only (a multiple of the
identity, a carry) and side by side with convolutions of the same geometry. Elsewhere they become sparse matrices, and
in the identities their kernel entries are to be counted with all their repetitions (`size.connections`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.linear_maps import Convolution, Dense, LinearMap, Number
from epsnet.core.matrices import Bias, bias_vector, blocks, channel_mixing, linear_map, product
from epsnet.core.network import Layer, Network, activation


def _is_open(network: Network) -> bool:
    return set(network.layers[-1].activations) == {"identity"}


def _moved(layer: Layer, offset: int) -> Layer:
    """Return the layer reading from layers that lie `offset` further on."""
    return Layer(tuple((source + offset, linear) for source, linear in layer.terms), layer.bias, layer.activations)


def _merged(layer: Layer, inner: Layer, offset: int) -> Layer:
    """Return `layer` reading through the affine map of `inner` instead of source 0; other sources move by `offset`."""
    reads = [linear for source, linear in layer.terms if source == 0]
    if not reads:
        return _moved(layer, offset)
    terms = [(source, product(through, linear)) for through in reads for source, linear in inner.terms]
    terms += [(source + offset, linear) for source, linear in layer.terms if source != 0]
    return Layer(tuple(terms), _merged_bias(layer, inner, reads, terms[0][1]), layer.activations)


def _merged_bias(layer: Layer, inner: Layer, reads: Sequence[LinearMap], first: LinearMap) -> Bias:
    """Return B b + c: one number a channel where the first merged map is a convolution and all agree with it."""
    pixels = math.prod(first.output_shape[1:]) if isinstance(first, Convolution) else 1
    own_fits, inner_fits = (len(each.bias) * pixels == each.outputs for each in (layer, inner))
    if not any(inner.bias) and (own_fits or len(layer.bias) == layer.outputs):
        return layer.bias
    mixings = [channel_mixing(through, pixels) for through in reads]
    kernels = [Dense(mixing).rows for mixing in mixings if mixing is not None]
    if inner_fits and len(kernels) == len(reads) and (own_fits or not any(layer.bias)):
        matrices, stored = kernels, list(inner.bias)
        start = list(layer.bias) if own_fits else [Fraction(0)] * (layer.outputs // pixels)
    else:
        matrices, stored, start = [linear.rows for linear in reads], inner.bias_values(), layer.bias_values()
    return bias_vector(
        sum((Fraction(weight) * Fraction(stored[j]) for rows in matrices for j, weight in rows[i]), Fraction(own))
        for i, own in enumerate(start)
    )


def _join(outer: Network, inner: Network, merge: bool) -> Network:
    if outer.inputs != inner.outputs:
        raise DomainError(
            f"The outer network takes {outer.inputs} inputs, the inner one has {inner.outputs} outputs. "
            "Make them equal."
        )
    if not merge:
        offset = len(inner.layers)
        return Network(inner.inputs, (*inner.layers, *(_moved(layer, offset) for layer in outer.layers)))
    *kept, last = inner.layers
    return Network(inner.inputs, (*kept, *(_merged(layer, last, len(kept)) for layer in outer.layers)))


def compose(outer: Network, inner: Network) -> Network:
    r"""Return the network of R(outer) o R(inner), the two affine maps at the seam merged into one.

    $$ B (A y + b) + c = (B A) y + (B b + c) $$

    The product B A may have more nonzero entries than B and A together (fill-in); `sparse_compose` never does.
    The inner network must be open for that, and its output be read by one layer of the outer network only; otherwise
    the layers are put one after the other.

    Size: merged, L = L_1 + L_2 - 1, N = N_1 + N_2, M = M_1 + M_2 - (weights of the two layers at the seam) + (weights
    of the merged layer); one after the other, L = L_1 + L_2, N = N_1 + N_2 + m, M = M_1 + M_2.

    Args:
        outer: R^m -> R^n.
        inner: R^d -> R^m.

    Raises:
        DomainError: the outer network does not take as many inputs as the inner one has outputs.
    """
    readers = sum(any(source == 0 for source, _ in layer.terms) for layer in outer.layers)
    return _join(outer, inner, merge=_is_open(inner) and readers == 1)


def sparse_compose(outer: Network, inner: Network, activation: str | None = None) -> Network:
    r"""Return the network of R(outer) o R(inner) with a carry in between, which keeps the number of weights small.

    $$ B (A y + b) + c = \tfrac{1}{1 + a} [B, -B] \, \rho\Bigl([A; -A] y + [b; -b]\Bigr) + c $$

    Size of an open inner network: L = L_1 + L_2, N = N_1 + N_2 + 2 m, M = M_1 + M_2 + M_last + M_read <= 2 M_1 + 2 M_2;
    with activation="identity" N = N_1 + N_2 + m, M = M_1 + M_2. An inner network that is not open already ends in an
    activation, and the layers are put one after the other (sizes as in `compose`).

    Args:
        outer: R^m -> R^n.
        inner: R^d -> R^m.
        activation: of the carry: "relu", "leaky_relu(a)" or "identity"; None takes the one that the networks use.

    Raises:
        DomainError: the outer network does not take as many inputs as the inner one has outputs.
        HypothesisError: no carry is known for the activation.
    """
    if not _is_open(inner):
        return _join(outer, inner, merge=False)
    carry = identity(inner.outputs, 2, activation=_carrier(activation, outer, inner))
    return _join(outer, _join(carry, inner, merge=True), merge=True)


def precompose_affine(network: Network, matrix: Any, bias: Any) -> Network:
    """Return the network of x -> R(network)(A x + b); sizes as in `compose` with an inner network of one layer.

    Args:
        network: R^m -> R^n.
        matrix: A, of shape (m, d) or a LinearMap; Fractions are kept as they are.
        bias: b, of shape (m,).
    """
    return compose(network, _affine(matrix, bias))


def postcompose_affine(matrix: Any, bias: Any, network: Network) -> Network:
    """Return the network of x -> A R(network)(x) + b; sizes as in `compose` with an outer network of one layer.

    Args:
        matrix: A, of shape (n, m) or a LinearMap; Fractions are kept as they are.
        bias: b, of shape (n,).
        network: R^d -> R^m.
    """
    return compose(_affine(matrix, bias), network)


def _given_map(matrix: Any) -> LinearMap:
    """Return what the caller gave as a linear map, without rounding Fractions or long integers."""
    if isinstance(matrix, LinearMap):
        return matrix
    array = np.array(matrix, dtype=object)
    if array.ndim != 2 or 0 in array.shape:
        raise DomainError(f"A matrix has the shape {array.shape}. Give one of shape (outputs, inputs), neither 0.")
    return linear_map(array.shape, {place: _rational(value) for place, value in np.ndenumerate(array)})


def _rational(value: Any) -> Fraction:
    try:
        return Fraction(value)
    except (TypeError, ValueError, OverflowError):
        raise DomainError(f"{value!r} is not a finite number. Give floats, integers or Fractions.") from None


def _affine(matrix: Any, bias: Any) -> Network:
    linear = _given_map(matrix)
    return Network(linear.shape[1], (Layer(((0, linear),), bias_vector(map(_rational, bias)), ("identity",)),))


def scale(factor: float | Fraction, network: Network) -> Network:
    """Return the network of factor * R(network).

    Size of an open network and factor != 0: L, N and M do not change (a product that leaves the range of float64 is
    kept exactly). A network that is not open gets one more layer with m weights.
    """
    count = network.outputs
    return postcompose_affine(_multiple_of_identity(_rational(factor), count), np.zeros(count), network)


def _carrier(name: str | None, *networks: Network) -> str:
    """Return the activation that carries signals through the networks. HypothesisError if none is known."""
    used = {own for network in networks for layer in network.layers for own in layer.activations} - {"identity"}
    if name is None and len(used) > 1:
        raise HypothesisError(
            f"The networks use {', '.join(sorted(used))}. Name the activation of the carry: activation='relu'."
        )
    chosen = name if name is not None else min(used, default="relu")
    function = activation(chosen)
    if chosen == "abs" or function.slopes is None:
        raise HypothesisError(
            f"No finite combination of {chosen} that is known here equals the identity on all of R. "
            f"Use activation='identity' or 'relu' for the layers that carry signals."
        )
    return chosen


def identity(dimension: int, depth: int, nonnegative: bool = False, activation: str = "relu") -> Network:
    """Return a network of the identity of R^d with L layers.

    Size: M = 2 d L and N = 2 d (L - 1) for ReLU and L >= 2; M = d L and N = d (L - 1) for L = 1, for activation =
    "identity", or if all signals are nonnegative; M = 4 d (L - 1) for leaky ReLU of slope a > 0 and L >= 2.

    Args:
        dimension: d >= 1.
        depth: L >= 1.
        nonnegative: the network is only asked to be the identity on [0, inf)^d: one neuron for each signal.
        activation: "relu", "leaky_relu(a)" or "identity".

    Raises:
        DomainError: dimension or depth below 1.
        HypothesisError: no carry is known for the activation.
    """
    if dimension < 1 or depth < 1:
        raise DomainError(f"There is no identity network of dimension {dimension} and depth {depth}. Give 1 or more.")
    name = _carrier(activation)
    one = _multiple_of_identity(1, dimension)
    if depth == 1 or nonnegative or name == "identity":
        return Network(
            dimension, tuple(_linear_layer(k, one, name if k < depth - 1 else "identity") for k in range(depth))
        )
    slope = _left_slope(name)
    plus, minus = (_multiple_of_identity(sign / (1 + slope), dimension) for sign in (1, -1))
    split = blocks([(0, 0, one), (dimension, 0, _multiple_of_identity(-1, dimension))], (2 * dimension, dimension))
    gather = blocks([(0, 0, plus), (0, dimension, minus)], (dimension, 2 * dimension))
    # rho(x) and rho(-x) are nonnegative for ReLU and pass as they are; leaky ReLU needs x itself again.
    again = product(split, gather) if slope else _multiple_of_identity(1, 2 * dimension)
    middle = tuple(_linear_layer(k, again, name) for k in range(1, depth - 1))
    return Network(dimension, (_linear_layer(0, split, name), *middle, _linear_layer(depth - 1, gather, "identity")))


def _left_slope(name: str) -> Fraction:
    slopes = activation(name).slopes
    assert slopes is not None
    return slopes[0]


def _multiple_of_identity(factor: Fraction | int, dimension: int) -> LinearMap:
    return linear_map((dimension, dimension), {(i, i): Fraction(factor) for i in range(dimension)})


def _linear_layer(source: int, linear: LinearMap, name: str) -> Layer:
    return Layer(((source, linear),), np.zeros(linear.shape[0]), (name,))


def pad_depth(network: Network, depth: int, nonnegative: bool = False, activation: str | None = None) -> Network:
    """Return a network of the same function with the given depth: p = depth - L further layers carry the outputs.

    Size for p >= 1 of an open network: M + M_last + 2 m p and N + 2 m p for ReLU; M + M_last + 4 m p - 2 m and
    N + 2 m p for leaky ReLU; M + m p and N + m p if the outputs are nonnegative or the activation is "identity". Of a
    network that is not open: M + M(identity(m, p)) and N + m + N(identity(m, p)); one that ends in ReLU is nonnegative.

    Args:
        network: R^d -> R^m.
        depth: at least the depth of the network.
        nonnegative: the caller knows that R(network) >= 0 wherever it will be used: one neuron for each signal.
        activation: "relu", "leaky_relu(a)" or "identity"; None takes the one that the network uses.

    Raises:
        DomainError: the network is deeper.
        HypothesisError: no carry is known for the activation.
    """
    missing = depth - network.size.depth
    if missing < 0:
        raise DomainError(f"The network has depth {network.size.depth}, more than {depth}. Ask for at least its depth.")
    return _lengthen(network, missing, nonnegative, activation)


def _lengthen(network: Network, count: int, nonnegative: bool, name: str | None) -> Network:
    if count == 0:
        return network
    name = _carrier(name, network)
    nonnegative = nonnegative or set(network.layers[-1].activations) == {"relu"}
    return compose(identity(network.outputs, count + _is_open(network), nonnegative, name), network)


def parallel(first: Network, *others: Network, shared_input: bool = True, activation: str | None = None) -> Network:
    """Return the network of x -> (R_1(x), R_2(x), ...), or of (x_1, x_2, ...) -> (R_1(x_1), R_2(x_2), ...).

    The l-th layers are stacked, their matrices in blocks. Networks with fewer layers are first lengthened with carries
    as in `pad_depth`, so that a result without skip connections needs none.

    Size: M = sum of M_i and N = sum of N_i over the lengthened networks, L the greatest L_i.

    Args:
        first: R^d -> R^m_1, or R^d_1 -> R^m_1 without shared input.
        *others: R^d -> R^m_i, or R^d_i -> R^m_i.
        shared_input: all networks read the same x.
        activation: of the carries where lengths differ: "relu", "leaky_relu(a)" or "identity"; None takes the one used.

    Raises:
        DomainError: the networks share an input but differ in dimension.
        HypothesisError: lengths differ and no carry is known for the activation.
    """
    return _side_by_side([first, *others], shared_input, total=False, name=activation)


def add(first: Network, *others: Network, activation: str | None = None) -> Network:
    """Return the network of x -> R_1(x) + R_2(x) + ...

    The networks stand in parallel with shared input and their last layers are merged into one.

    Size of open networks without skips from the input into the last layer, n of them, all of depth >= 2, after
    lengthening: L the greatest L_i, N = sum of N_i, M = sum of M_i - (nonzero biases of the last layers) + (nonzero
    biases of their sum). Networks that are not all open get one more layer with n m weights: M = sum of M_i + n m.

    Args:
        first: R^d -> R^m.
        *others: R^d -> R^m.
        activation: of the carries where lengths differ, as in `parallel`.

    Raises:
        DomainError: the networks differ in the number of inputs or outputs.
        HypothesisError: lengths differ and no carry is known for the activation.
    """
    networks = [first, *others]
    if len({network.outputs for network in networks}) > 1:
        raise DomainError("Networks with different numbers of outputs cannot be added. Make the numbers equal.")
    if all(map(_is_open, networks)):
        return _side_by_side(networks, shared=True, total=True, name=activation)
    count = first.outputs
    ones = {(i, i + k * count): Fraction(1) for i in range(count) for k in range(len(networks))}
    side_by_side = _side_by_side(networks, shared=True, total=False, name=activation)
    return postcompose_affine(linear_map((count, count * len(networks)), ones), np.zeros(count), side_by_side)


def _side_by_side(networks: list[Network], shared: bool, total: bool, name: str | None) -> Network:
    if shared and len({network.inputs for network in networks}) > 1:
        raise DomainError("Networks that share an input differ in its dimension. Make the numbers of inputs equal.")
    length = max(len(network.layers) for network in networks)
    if any(len(network.layers) < length for network in networks):
        name = _carrier(name, *networks)
    padded = [_lengthen(network, length - len(network.layers), False, name) for network in networks]
    sizes = [[0 if shared else network.inputs for network in padded]]
    layers = []
    for number in range(length):
        stack = [network.layers[number] for network in padded]
        summed = total and number == length - 1
        layers.append(_stacked_layer(stack, sizes, networks[0].inputs, summed))
        sizes.append([layer.outputs for layer in stack])
    return Network(networks[0].inputs if shared else sum(sizes[0]), tuple(layers))


def _stacked_layer(stack: Sequence[Layer], sizes: Sequence[Sequence[int]], inputs: int, summed: bool) -> Layer:
    """Return several layers as one; layer k has `sizes[k][i]` neurons of network i (none where the input is shared)."""
    outputs = [layer.outputs for layer in stack]
    parts: dict[tuple[int, int], list[tuple[int, int, LinearMap]]] = {}
    for own, layer in enumerate(stack):
        row = 0 if summed else sum(outputs[:own])
        repeated: dict[int, int] = {}
        for source, linear in layer.terms:
            # The j-th term of each network that reads a source goes into one matrix, so that no weights are added up.
            repeated[source] = repeated.get(source, -1) + 1
            parts.setdefault((source, repeated[source]), []).append((row, sum(sizes[source][:own]), linear))
    height = outputs[0] if summed else sum(outputs)
    terms = tuple(
        (source, blocks(own_parts, (height, sum(sizes[source]) or inputs))) for (source, _), own_parts in parts.items()
    )
    first = terms[0][1]
    pixels = math.prod(first.output_shape[1:]) if isinstance(first, Convolution) else 1
    by_channel = all(len(layer.bias) * pixels == layer.outputs for layer in stack)
    biases: list[list[Number]] = [list(layer.bias) if by_channel else layer.bias_values() for layer in stack]
    if summed:
        bias = [sum(map(Fraction, column), Fraction(0)) for column in zip(*biases, strict=True)]
        return Layer(terms, bias_vector(bias), ("identity",))
    names = [name for layer in stack for name in layer.activations * (layer.outputs // len(layer.activations))]
    names = names[:1] if len(set(names)) == 1 else names
    return Layer(terms, bias_vector(value for bias in biases for value in bias), tuple(names))
