r"""Rule `region_bounds`: how many regions a network of these widths can have, whatever its weights.

Theorem. Let layer l of a network on R^d have n_l outputs, b_l of them with a kink at 0, and no skip connections. Put
r_l(j) = n_l - j if every neuron with a kink is 0 on one side of it, else r_l(j) = n_l. Then the number of activation
regions (full-dimensional cells of equal signs of the arguments of all neurons with a kink) on all of R^d, thus on each
convex domain in it, is at most R_1(d), where R_{L+1} = 1 and

$$ R_l(k) = \sum_{j=0}^{\min(k, b_l)} \binom{b_l}{j}\, R_{l+1}\bigl(\min(k, r_l(j))\bigr). $$

With skip connections the same holds with r_l(j) = d. A linear region, a maximal connected open set on which the network
is affine, contains an activation region, and no two contain the same, so there are no more of them.

Proof. Let the input of layer l, on a region of the layers before, be an affine function of rank k at most. Then the
arguments of the layer pull back hyperplanes of a space of k dimensions, and b of them cut it into sum_{j<=k} C(b, j)
parts at most (Zaslavsky). At most C(b, j) of the parts have exactly j neurons on the side where these are 0; on such a
part the output has rank r(j) at most. R_{l+1} is nondecreasing in k, so the sum is largest if the parts have as few
neurons at 0 as that allows: C(b, j) parts for j = 0, 1, ..., k. An argument that is constant on a region cuts nothing,
and leaves a smaller b. A convex domain meets a convex part in a connected set. QED.

For one layer this is Zaslavsky's number; for d = 1 it is prod (n_l + 1) if all n_l >= 2; with r_l(j) = n_l it is
the bound of Montufar 2017, and for ReLU that of Serra, Tjandraatmadja and Ramalingam 2018.
"""

from __future__ import annotations

import functools
from math import comb

from epsnet.certify.bound import Kind
from epsnet.certify.errors import HypothesisError
from epsnet.checker.rule import Context, Verdict
from epsnet.core.network import Layer, Network

QUANTITIES = ("activation regions", "linear regions")

MAX_STEPS = 1_000_000
"""The most terms of the sums R_l(k); a term is an integer of some thousand bits at most."""

MAX_NEURONS = 100_000


def check(context: Context) -> Verdict:
    """Check an upper bound for the number of regions on a box, or without a domain on all of R^d."""
    claim, network = context.claim, context.network
    context.require(claim.quantity in QUANTITIES, "It does not count regions. Build it anew.")
    context.states(claim.quantity, "<=", domain=claim.domain is not None, network=True)
    fits = claim.domain is None or claim.domain.dimension == network.inputs
    context.require(fits, "The domain has another dimension than the network. Build it anew.")
    most = most_regions(network)
    context.require(claim.limit >= most, "There may be more regions. State the bound of the theorem.")
    return Verdict(Kind.PROVED)


@functools.lru_cache(maxsize=4)
def most_regions(network: Network) -> int:
    """Return R_1(d) of a network; kept, because a certificate may claim it again and again.

    Raises:
        HypothesisError: an activation is not linear on both sides of 0, or the network is too large.
    """
    plain = all([source for source, _ in layer.terms] == [number] for number, layer in enumerate(network.layers))
    shapes = [_shape(layer) for layer in network.layers]
    if not plain:
        shapes = [(network.inputs, bends, False) for _, bends, _ in shapes]
    return count_regions(network.inputs, shapes)


def count_regions(inputs: int, shapes: list[tuple[int, int, bool]]) -> int:
    """Return R_1(d) for layers (n_l, b_l, whether every neuron with a kink is 0 on one side of it)."""
    ranks = [inputs]
    for outputs, _, _ in shapes[:-1]:
        ranks.append(min(ranks[-1], outputs))
    steps = sum((k + 1) * (min(k, bends) + 1) for k, (_, bends, _) in zip(ranks, shapes, strict=True))
    if steps > MAX_STEPS or sum(bends for _, bends, _ in shapes) > MAX_NEURONS:
        raise HypothesisError("The network is too large for its regions to be bounded. Use a smaller one.")
    following = [1] * (inputs + 1)
    for rank, (outputs, bends, drops) in zip(reversed(ranks), reversed(shapes), strict=True):
        row = [comb(bends, j) for j in range(min(rank, bends) + 1)]
        following = [
            sum(row[j] * following[min(k, outputs - j * drops)] for j in range(min(k, bends) + 1))
            for k in range(rank + 1)
        ]
    return following[inputs]


def _shape(layer: Layer) -> tuple[int, int, bool]:
    slopes = [function.slopes for function in layer.functions()]
    if any(pair is None for pair in slopes):
        raise HypothesisError("An activation is not linear on both sides of 0. Use relu, leaky_relu, abs or identity.")
    kinks = [pair for pair in slopes if pair is not None and pair[0] != pair[1]]
    return len(slopes), len(kinks), all(0 in pair for pair in kinks)
