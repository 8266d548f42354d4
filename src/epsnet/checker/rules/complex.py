r"""Rule `complex`: how many cells of each dimension, and linear regions, a piecewise-linear network has.

Witness: `signs`, int8, the sign vectors of all vertices of the complex one after another. The theorem says that a list
of vertices, each on exactly d zero sets, is complete if every edge at one of them has its other end in the list, and
how to count the cells from it; statement and proof are in `core.complex`. A claim without a domain is about all of R^d;
its witness has `exponent` e too, and lists the vertices on the box [-2^e, 2^e]^d.
"""

from __future__ import annotations

import functools

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.checker.rule import Context, Verdict
from epsnet.core.complex import VertexList, counted_dimension, hypotheses, vertex_list, wide_box
from epsnet.core.network import Network


def check(context: Context) -> Verdict:
    """Check the number of cells of one dimension, of activation regions or of linear regions."""
    claim, network = context.claim, context.network
    everywhere = claim.domain is None
    context.states(claim.quantity, "==", domain=not everywhere, network=True)
    linear = claim.quantity == "linear regions"
    dimension = None if linear else counted_dimension(claim.quantity, network.inputs)
    signs = context.array("signs", "i")
    context.require(signs.dtype == np.int8, "The signs are not int8. Build it anew.")
    if claim.domain is None:
        exponent = context.array("exponent", "i").tolist()
        context.require(len(exponent) == 1, "The witness has no valid array 'exponent'. Build it anew.")
        box = wide_box(network.inputs, exponent[0])
    else:
        box = claim.domain
    vertices = _confirmed(network, box, everywhere, signs.tobytes())
    count = vertices.linear_regions() if dimension is None else vertices.f_vector()[dimension]
    context.require(claim.limit == count, f"There are {count} of them. State that.")
    return Verdict(Kind.PROVED, hypotheses(everywhere))


@functools.lru_cache(maxsize=1)
def _confirmed(network: Network, box: Box, everywhere: bool, signs: bytes) -> VertexList:
    """Return the list; kept, because a certificate claims one number after the other."""
    return vertex_list(network, box, np.frombuffer(signs, np.int8), everywhere=everywhere)
