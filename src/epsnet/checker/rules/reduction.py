r"""Rule `reduction`: the error of a smaller network for a network, which is first reduced without any error.

The witness holds a `log` of `core.simplify`, whose steps turn the target network F into one, R, that equals it on the
domain. Each step is verified as it is taken; on which sides of their kinks the neurons lie is found anew from the tree
`stable_axis`, `stable_split`, in the form of `Context.leaves`, on the boxes of it, or from the whole domain without it.

* exact-reduction: Phi is R, so that F = R(Phi) on the domain.
* aligned-relaxation: sup |F - R(Phi)| <= value. The neurons of Phi are put at the places `place` of R and multiplied by
  2^`shift` (`core.alignment`), which changes nothing; R and Phi are then compared by the rule `distance`, with the tree
  `axis`, `split`.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import round_down, round_up
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules import distance
from epsnet.core.alignment import in_shape_of
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.simplify import replay
from epsnet.core.stability import proved_ranges

MAX_CONNECTIONS = 1_000_000
MAX_NEURONS = 100_000
_MAX_WORK = 2**37
"""Boxes of the stable tree times connections times neurons, and `_COST` for each end: about half an hour."""
_COST = 2**12

HYPOTHESIS = "every step of the reduction holds on the domain"


def check(context: Context) -> Verdict:
    """Check a claim by its theorem."""
    context.states("error", "<=", norm="sup", network=True, target=True)
    target, domain = context.target, context.domain()
    if not isinstance(target, NetworkTarget) or not target.domain.contains(domain):
        raise CheckError("The target is not a network on the domain of the claim. Build it anew.")
    reduced, boxes = _reduced(context, target.network)
    if context.claim.theorem == "exact-reduction":
        context.require(reduced.sha256 == context.network.sha256, "It is not the reduced network. Reduce it anew.")
        context.require(context.claim.limit >= 0, "An error is negative. Build it anew.")
        return Verdict(Kind.VERIFIED if boxes else Kind.PROVED, (HYPOTHESIS,))
    distance.require_short(context, context.network, reduced)
    places, shifts = (_by_layer(context, name) for name in ("place", "shift"))
    aligned = in_shape_of(context.network, reduced, places, shifts)
    part = replace(context.claim, theorem="differential-relaxation")
    found = distance.check(
        replace(context, claim=part, network=aligned, target=NetworkTarget(reduced, target.domain, target.norm))
    )
    return Verdict(found.kind, (HYPOTHESIS, *found.hypotheses))


def _reduced(context: Context, network: Network) -> tuple[Network, int]:
    """Return the network that the log leads to, and how many boxes were needed to know the sides of the neurons."""
    neurons = sum(layer.outputs for layer in network.layers)
    small = neurons <= MAX_NEURONS and network.size.connections <= MAX_CONNECTIONS
    context.require(small, "The network is too large. Use a smaller one.")
    numbers = (x for layer in network.layers for t in (layer.bias_values(), *(m.entries()[2] for _, m in layer.terms))
               for x in t)  # fmt: skip
    floats = all(type(x) is float or is_float64(Fraction(x)) for x in numbers)
    context.require(floats, "The network has weights that are no float64 numbers. Round it first.")
    steps = context.log()
    if not steps:
        return network, 0
    domain, ranges, boxes = context.domain(), None, 0
    if "stable_axis" in context.witness:
        tree = {"axis": context.array("stable_axis", "i"), "split": context.array("stable_split", "f")}
        distance.require_short(context, network)
        boxes = len(tree["axis"])
        work = boxes * (network.size.connections * neurons + _COST * network.inputs)
        context.require(work <= _MAX_WORK, "The proof is too long to be checked. Use fewer boxes.")
        leaves = replace(context, witness=tree).leaves()
        ends = (([round_down(x) for x in low], [round_up(x) for x in high]) for low, high in leaves)
        ranges = proved_ranges(network, domain, ((np.array(low), np.array(high)) for low, high in ends))
    return replay(network, domain, steps, ranges), boxes


def _by_layer(context: Context, name: str) -> list[np.ndarray]:
    """Divide an array with one number for each hidden neuron by the layers."""
    numbers = context.array(name, "i").astype(np.int64)
    counts = np.cumsum([layer.outputs for layer in context.network.layers[:-1]])
    context.require(len(numbers) == (counts[-1] if len(counts) else 0), f"The array {name!r} is malformed. Align anew.")
    return np.split(numbers, counts[:-1]) if len(counts) else []
