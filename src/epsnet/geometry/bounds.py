r"""How many activation regions a network with given widths can have: upper bounds for all, lower bounds for the best.

An *activation region* is a full-dimensional set on which no argument of a neuron with a kink changes its sign. For d
inputs and hidden layers of n_1, ..., n_L ReLU neurons the largest number N of activation regions obeys

    one layer      N = sum_{j<=d} C(n_1, j)                                         Zaslavsky 1975
    lower bound    N >= prod_{l<L} floor(n_l / d)^d  sum_{j<=d} C(n_L, j)           Montufar et al. 2014, n_l >= d
    upper bound    N <= prod_l sum_{j<=min(d, n_1, ..., n_l)} C(n_l, j)             Montufar 2017
    upper bound    N <= sum_j prod_l C(n_l, j_l), 0 <= j_l <= min(d, n_1 - j_1, ..., n_{l-1} - j_{l-1}, n_l)
                                                                                    Serra et al. 2018
    one input      N = prod_l (n_l + 1) if n_l >= 2 for l < L                       Serra et al. 2018 is exact there

All upper bounds hold on R^d, and so on every convex domain, a box for example. The lower bound is about the best
network of these widths; `extremal.fold_network` attains more than it on the unit cube. For leaky ReLU, which maps no
half-space to a point, the bound of 2017 holds and that of 2018 does not. `region_bound` picks what holds for a given
network, and the rule `region_bounds` of the checker, where the proof stands, re-derives it.

What a network at random has is far less: `expected_regions`.

Sources: T. Zaslavsky, Facing up to arrangements, Memoirs of the AMS 154, 1975; G. Montufar, R. Pascanu, K. Cho, Y.
Bengio, On the number of linear regions of deep neural networks, NIPS 2014; G. Montufar, Notes on the number of linear
regions of deep neural networks, SampTA 2017; T. Serra, C. Tjandraatmadja, S. Ramalingam, Bounding and counting linear
regions of deep neural networks, ICML 2018.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from math import comb, prod

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import round_up
from epsnet.checker.rules.region_bounds import count_regions, most_regions
from epsnet.core.network import Network


def zaslavsky(inputs: int, neurons: int) -> int:
    """Return sum_{j<=d} C(n, j), the regions of n hyperplanes in general position in R^d.

    Example:
        >>> zaslavsky(2, 10)
        56
    """
    _require_sizes(inputs, (neurons,))
    return sum(comb(neurons, j) for j in range(inputs + 1))


def montufar_lower(inputs: int, widths: Sequence[int]) -> int:
    """Return prod_{l<L} floor(n_l / d)^d sum_{j<=d} C(n_L, j): some ReLU network of these widths has as many regions.

    Raises:
        DomainError: a hidden layer before the last has fewer neurons than the network has inputs.
    """
    _require_sizes(inputs, widths)
    if any(width < inputs for width in widths[:-1]):
        raise DomainError(f"A layer before the last has fewer than {inputs} neurons. Give it one for each input.")
    return prod((width // inputs) ** inputs for width in widths[:-1]) * zaslavsky(inputs, widths[-1])


def montufar_upper(inputs: int, widths: Sequence[int]) -> int:
    """Return prod_l sum_{j<=min(d, n_1, ..., n_l)} C(n_l, j): no network with one kink a neuron has more regions."""
    _require_sizes(inputs, widths)
    return count_regions(inputs, [(width, width, False) for width in widths])


def serra_upper(inputs: int, widths: Sequence[int]) -> int:
    """Return the bound of Serra et al. 2018: no ReLU network of these widths has more regions, linear ones included.

    Example:
        >>> montufar_lower(5, (9, 9, 9)), serra_upper(5, (9, 9, 9)), montufar_upper(5, (9, 9, 9))
        (382, 41549824, 55742968)
    """
    _require_sizes(inputs, widths)
    return count_regions(inputs, [(width, width, True) for width in widths])


def region_bound(network: Network, domain: Box | None = None, *, linear: bool = False) -> Bound:
    """Return the best of the upper bounds that hold for a network, PROVED.

    Args:
        network: piecewise linear, each neuron with no kink or one at 0; skip connections are allowed.
        domain: a box; without one the bound is about all of R^d.
        linear: bound the linear regions; there are no more of them than activation regions.

    Raises:
        DomainError: the domain has another dimension than the network.
        HypothesisError: the network is not piecewise linear, too large, or the bound is beyond float64.
    """
    if domain is not None and domain.dimension != network.inputs:
        raise DomainError(f"The network takes {network.inputs} inputs. Give a domain with as many sides.")
    most = most_regions(network)
    if most.bit_length() > 1023:
        raise HypothesisError("There may be more than 1e308 regions. Use a smaller network.")
    return Bound(
        quantity="linear regions" if linear else "activation regions", sense="<=", value=round_up(Fraction(most)),
        exact=Fraction(most), domain=domain, kind=Kind.PROVED, theorem="region-bound", rule="region_bounds",
        network=network.sha256,
    )  # fmt: skip


def expected_regions(inputs: int, neurons: int, side: Real = 2, density: Real = "1/2") -> float:
    r"""Return an upper bound for the expected number of activation regions at initialization, free of the depth.

    **Theorem.** Let a ReLU network without skip connections have d <= 2 inputs and N neurons in all hidden layers
    together; let its weights and biases be independent of each other from neuron to neuron; let the weights of a neuron
    with m inputs be symmetric about 0, uncorrelated and of variance 2/m; let the bias of a neuron be independent of its
    weights, symmetric about 0, with a density <= r. Then a square (or interval) with side s has in expectation at most

    $$ 1 + \sqrt2\,N r s \quad (d = 1), \qquad 1 + 2 N r s + N (N - 1) (r s)^2 \quad (d = 2) $$

    activation regions: N^2 + N + 1 on [-1, 1]^2 with biases uniform in [-1, 1].

    **Proof.** Let z_1, ..., z_k (k <= d) be arguments of neurons, in the order of layers, and F a face of dimension k
    of the square. Fix all else. To x in F belongs one choice b(x) of the biases of these neurons with z_1(x) = ... =
    z_k(x) = 0, and it is Lipschitz in x. By the area formula the expected number of points of F where all vanish is
    at most r^k times the integral of |det b'| over F. A row of b' is the gradient along F of an argument in which the
    neurons before that are among the k count as inactive, for they stay at 0; so by Hadamard and Cauchy-Schwarz its
    expectation is at most the product of (E |grad_F z_j|^2)^(1/2). For a vector u and a layer with n neurons and m
    inputs, v -> D W v multiplies the expected square of the length by n/m at most: changing the signs of the weights
    and of the bias of one neuron turns D_i into 1 - D_i and leaves (W v)_i^2, whose mean is 2 |v|^2/m; a neuron that
    counts as inactive adds 0. The products telescope: E (u . grad z)^2 <= 2 |u|^2/d. So a side of the square has N r s
    vertices at most for d = 2, the interior C(N, 2) 2 (r s)^2. Almost surely 4 edges meet at an inner vertex, 3 at one
    on a side, 2 at a corner, and Euler's formula makes that 1 + V_side / 2 + V_inner regions; for d = 1 there are
    1 + V_inner. QED.

    This is the theorem of Hanin and Rolnick, (T N)^d / d! regions in a unit of volume with a constant T that depends on
    the distribution, for two special cases with all constants.

    Source: B. Hanin, D. Rolnick, Deep ReLU networks have surprisingly few activation patterns, NeurIPS 2019; Complexity
    of linear regions in deep networks, ICML 2019 (the area formula).

    Example:
        >>> expected_regions(2, 72)
        5257.0

    Args:
        inputs: d, 1 or 2.
        neurons: N.
        side: s > 0.
        density: r > 0.

    Raises:
        DomainError: an argument is out of range.
    """
    scale = float(exact(side) * exact(density))
    if inputs not in (1, 2) or neurons < 0 or scale <= 0:
        raise DomainError("The theorem is about 1 or 2 inputs, positive sides and densities. Give such numbers.")
    if inputs == 1:
        return 1 + math.sqrt(2) * neurons * scale
    return 1 + 2 * neurons * scale + neurons * (neurons - 1) * scale**2


def _require_sizes(inputs: int, widths: Sequence[int]) -> None:
    if inputs < 1 or not widths or min(widths) < 0:
        raise DomainError(f"{inputs} inputs and the widths {tuple(widths)} are no network. Give positive numbers.")
