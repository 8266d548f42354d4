r"""The margin of one output over all others, as a network: its sign tells where a classifier decides for a class."""

from __future__ import annotations

from fractions import Fraction

from epsnet.certify.errors import DomainError
from epsnet.core.calculus import compose
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network


def margin(network: Network, output: int) -> Network:
    r"""Return the network of x -> Phi_i(x) - max_{j != i} Phi_j(x), exactly, with m - 2 more neurons that bend.

    So {x : margin >= 0} is the closed decision region of class i, ties included. The maximum of the differences u_j =
    Phi_j - Phi_i is a tree of max(a, b) = rho(a - b) + b, where neurons without activation carry b on.

    Args:
        network: Phi: R^d -> R^m with m >= 2.
        output: i, counted from 0.

    Raises:
        DomainError: there is one output only, or no output i.
    """
    count = network.outputs
    if count < 2 or not 0 <= output < count:
        raise DomainError(f"There is no output {output} of {count} to compare with others. Give one of 0, 1, ....")
    # Each form is a sum of neurons of the last layer with weights.
    forms = [{other: 1, output: -1} for other in range(count) if other != output]
    layers, width = [], count
    while len(forms) > 1:
        pairs = list(zip(forms[::2], forms[1::2], strict=False))
        carried = [*(b for _, b in pairs), *forms[2 * len(pairs) :]]
        gaps = [{key: a.get(key, 0) - b.get(key, 0) for key in {**a, **b}} for a, b in pairs]
        names = ["relu"] * len(gaps) + ["identity"] * len(carried)
        layers.append(_layer(len(layers), width, [*gaps, *carried], tuple(names)))
        width = len(names)
        forms = [{place: 1, len(pairs) + place: 1} for place in range(len(pairs))]
        forms += [{len(pairs) + place: 1} for place in range(len(pairs), len(carried))]
    last = [{key: -weight for key, weight in forms[0].items()}]
    return compose(Network(count, (*layers, _layer(len(layers), width, last, ("identity",)))), network)


def _layer(source: int, width: int, forms: list[dict[int, int]], activations: tuple[str, ...]) -> Layer:
    entries = {(row, key): Fraction(weight) for row, form in enumerate(forms) for key, weight in form.items()}
    return Layer(((source, linear_map((len(forms), width), entries)),), bias_vector([0] * len(forms)), activations)
