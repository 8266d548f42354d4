r"""Rule `betti`: a Betti number of a sub-, super- or level set, or of a decision region, of a network on a box.

Witness: that of rule `cells`, with the level as the last column, for Phi minus the level; so the cells are a regular
cell complex whose union is the box. The sign of Phi minus the level is constant on the relative interior of each
cell, so {Phi <= t}, {Phi >= t} and {Phi = t} are unions of closed cells, and `core.homology` computes their Betti
numbers over GF(2). A decision region {Phi_j <= Phi_i for all j} is {margin >= 0} for the network that `core.margin`
makes of Phi; the witness is then about that one.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from fractions import Fraction

from epsnet.certify.bound import Kind
from epsnet.certify.domain import exact, number_text
from epsnet.certify.errors import CheckError
from epsnet.checker.rule import Context, Verdict
from epsnet.checker.rules.cells import read_cells
from epsnet.core.calculus import postcompose_affine
from epsnet.core.cells import Cells
from epsnet.core.complex import require_affordable
from epsnet.core.homology import Part, betti_numbers
from epsnet.core.margin import margin
from epsnet.core.network import Network

MAX_OUTPUTS = 1000
"""The most classes."""

_RELATIONS: dict[str, Part] = {"<=": "sub", ">=": "super", "=": "level"}
_LEVEL = re.compile(r"Betti number (\d) of \{Phi (<=|>=|=) (\S{1,10000})\}", re.ASCII)
_REGION = re.compile(r"Betti number (\d) of \{Phi_j <= Phi_(0|[1-9]\d{0,2}) for all j\}", re.ASCII)


def level_text(part: Part, level: Fraction) -> str:
    """Return how claims write {Phi <= level}, {Phi >= level} or {Phi = level}."""
    relation = next(relation for relation, own in _RELATIONS.items() if own == part)
    return f"{{Phi {relation} {number_text(level)}}}"


def region_text(output: int) -> str:
    """Return how claims write the set of the points where no output is larger than this one, counted from 0."""
    return f"{{Phi_j <= Phi_{output} for all j}}"


def hypotheses(cells: Cells) -> tuple[str, ...]:
    """Return what a claim about these cells rests on."""
    return (f"the boundaries of {sum(cells.f_vector())} cells fit together and fill the box, in rationals",)


@functools.lru_cache(maxsize=4)
def below(network: Network, level: Fraction) -> Network:
    """Return Phi - level."""
    return postcompose_affine([[1]], [-level], network)


@functools.lru_cache(maxsize=4)
def ahead(network: Network, output: int) -> Network:
    """Return the margin of an output."""
    return margin(network, output)


_numbers = functools.lru_cache(maxsize=3)(betti_numbers)


def check(context: Context) -> Verdict:
    """Check one Betti number."""
    claim, network = context.claim, context.network
    context.states(claim.quantity, "==", network=True)
    # Before anything is composed: products of long rationals would not end.
    require_affordable(network, context.domain(), 1)
    if found := _LEVEL.fullmatch(claim.quantity):
        context.require(network.outputs == 1, "The network has several outputs. Ask for a decision region.")
        part, level = _RELATIONS[found[2]], exact(found[3])
        context.require(found[3] == number_text(level), "The level is not written as it should be. Build it anew.")
        network = below(network, level)
    elif found := _REGION.fullmatch(claim.quantity):
        context.require(network.outputs <= MAX_OUTPUTS, f"There are more than {MAX_OUTPUTS} classes. Use fewer.")
        part, network = "super", ahead(network, int(found[2]))
    else:
        raise CheckError("It does not name a set as it should. Build it anew.")
    cells, k = read_cells(replace(context, network=network), Fraction(0)), int(found[1])
    context.require(k < cells.dimension, "Betti numbers of this dimension are 0. Ask for one below the dimension.")
    value = _numbers(cells, part)[k]
    context.require(claim.limit == value, f"It is {value}. State that.")
    return Verdict(Kind.PROVED, hypotheses(cells))
