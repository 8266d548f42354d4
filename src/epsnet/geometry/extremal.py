r"""Networks with as many regions as depth can give: they fold space onto itself, and cut what comes out.

A layer with p neurons for one coordinate y in [0, 1] computes the zigzag

$$ w_p(y) = \rho(py) + 2 \sum_{j=1}^{p-1} (-1)^j \rho(py - j), $$

which maps each of the p intervals [j/p, (j+1)/p] onto [0, 1], every other one reversed; for p = 2 it is the reflection
1 - |2y - 1| of one half onto the other, a *fold*. Folding all d coordinates, a layer with p_1 + ... + p_d neurons maps
each of prod p_i boxes onto the unit cube, and layers multiply. What the last layer does to the cube it does to all
boxes at once: n hyperplanes in general position, all of whose vertices lie in the cube, make sum_{j<=d} C(n, j) regions
of each. All weights are integers, so that the counts are those of the network as stored.

Source: G. Montufar, R. Pascanu, K. Cho, Y. Bengio, On the number of linear regions of deep neural networks, NIPS 2014,
section 3, theorem 4 and figure 2. There each coordinate gets floor(n/d) of the n neurons of a layer; here the rest is
dealt out too, so that no neuron is idle and the number is at least theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb, prod

from epsnet.certify.errors import DomainError
from epsnet.core.gates import Form, Gates
from epsnet.core.network import Network
from epsnet.geometry.bounds import zaslavsky


def fold_map(inputs: int, widths: Sequence[int]) -> Network:
    r"""Return the folding R^d -> R^d of hidden layers with the given widths: w_p o ... o w_q in each coordinate.

    It maps each of prod_l prod_i p_{l,i} boxes of a grid onto the unit cube, p_{l,i} being n_l/d rounded up for the
    first coordinates and down for the others. For d = 1 and widths 2, ..., 2 it is the sawtooth T_k.

    Example:
        >>> from epsnet.core.realize import realize
        >>> [float(y) for y in realize(fold_map(1, (2, 2)), [[0.0], [0.25], [0.5], [0.625], [1.0]]).ravel()]
        [0.0, 1.0, 0.0, 0.5, 0.0]

    Raises:
        DomainError: a layer has fewer neurons than there are inputs.
    """
    gates = Gates(inputs)
    return gates.network(*_fold(gates, widths))


def fold_network(inputs: int, widths: Sequence[int]) -> Network:
    r"""Return a ReLU network with `fold_regions(inputs, widths)` activation regions in the unit cube.

    The layers before the last fold as in `fold_map`. The i-th of the n neurons of the last one is, up to its sign, the
    polynomial

    $$ \sum_{k=0}^d (-1)^k \binom dk u_k\, t_i^{d-k}, \qquad u_0 = 1, \quad t_i = \frac{i}{n+1}, $$

    as an affine function of u in the cube. It vanishes where t_i is a root; so d of the hyperplanes meet in one point,
    u_k = e_k / C(d, k) in (0, 1) for the elementary symmetric polynomials e_k of the roots, and d + 1 of them nowhere.
    Signs alternate and the weights of the output are 2^(i-n). So for n > d + 1 some neuron is active everywhere and no
    derivative of the output vanishes (tried for d <= 2, n <= 23 and d <= 4, n <= 10): regions that a fold separates
    differ in the output, too, and there are as many linear regions.

    Example:
        >>> print(fold_network(2, (4, 4, 4)))
        Phi: R^2 -> R^1   2 -> 4 relu -> 4 relu -> 4 relu -> 1   depth L = 4, weights M = 40, |weights| <= 80

    Raises:
        DomainError: there is no layer, or one before the last has fewer neurons than there are inputs.
    """
    _require_layers(inputs, widths)
    gates = Gates(inputs)
    point = _fold(gates, widths[:-1])
    nodes = widths[-1] + 1
    planes = []
    for i in range(1, nodes):
        plane = point[0] * 0 + i**inputs
        for k, coordinate in enumerate(point, start=1):
            plane += coordinate * ((-1) ** k * comb(inputs, k) * i ** (inputs - k) * nodes**k)
        planes.append(plane * (-1) ** i)
    neurons = gates.relu(*planes)
    weights = (Fraction(2) ** (i - widths[-1]) for i in range(1, nodes))
    return gates.network(sum((y * w for y, w in zip(neurons, weights, strict=True)), Form(len(widths))))


def fold_regions(inputs: int, widths: Sequence[int]) -> int:
    """Return how many activation regions `fold_network` has in the unit cube: the boxes times Zaslavsky's number."""
    _require_layers(inputs, widths)
    return fold_boxes(inputs, widths[:-1]) * zaslavsky(inputs, widths[-1])


def fold_boxes(inputs: int, widths: Sequence[int]) -> int:
    """Return the number of boxes that `fold_map` maps onto the unit cube."""
    _require_folds(inputs, widths)
    return prod(prod(_shares(inputs, width)) for width in widths)


def _fold(gates: Gates, widths: Sequence[int]) -> tuple[Form, ...]:
    _require_folds(len(gates.inputs), widths)
    point = gates.inputs
    for width in widths:
        shares = _shares(len(point), width)
        neurons = iter(gates.relu(*(y * p - j for y, p in zip(point, shares, strict=True) for j in range(p))))
        folded = []
        for p in shares:
            wave = next(neurons)
            for j in range(1, p):
                wave += next(neurons) * (2 * (-1) ** j)
            folded.append(wave)
        point = tuple(folded)
    return point


def _shares(inputs: int, width: int) -> list[int]:
    return [width // inputs + (i < width % inputs) for i in range(inputs)]


def _require_layers(inputs: int, widths: Sequence[int]) -> None:
    if not widths or widths[-1] < 1:
        raise DomainError("There is no last layer of neurons. Give at least one.")
    _require_folds(inputs, widths[:-1])


def _require_folds(inputs: int, widths: Sequence[int]) -> None:
    if inputs < 1 or any(width < inputs for width in widths):
        raise DomainError(f"A layer that folds has fewer than {inputs} neurons. Give it one for each input.")
