r"""Rule `distance`: how far two networks are apart on a box, and how large and small the outputs of one network are.

* differential-relaxation: sup |F - R(Phi)| <= value for a target network F, over the domain and all outputs, or a
  bound of one output of Phi. Witness: a bisection tree of the domain in prefix order, `axis` (-1 for a leaf) and
  `split`, the place of the cut. The trusted relaxation of `core.differential` is taken again on every node, and a
  function that it bounds by the value on a node needs no more proof on the parts of it.
* attained-value: the same quantities from the other side, by a `point` of the domain, in balls.
"""

from __future__ import annotations

import re

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball, round_down, round_up
from epsnet.checker.rule import MAX_NODES, Context, Verdict
from epsnet.core.differential import Differential, Stage, aligned, beside_zero, chain
from epsnet.core.network import Network, activation
from epsnet.core.network_target import NetworkTarget
from epsnet.core.realize import realize_ball

_OUTPUT = re.compile(r"(maximum|minimum) of output (0|[1-9]\d{0,6})", re.ASCII)
_MAX_WORK = 2**37
"""(Neurons + nodes of the tree) times (connections + `_COST` for a box and each smooth neuron): about half an hour."""
_COST = 2000
_CALL = 10_000
"""The cost of a batch of boxes, times depth squared: a tree that is a chain gives one box after the other."""
_MAX_FORMS = 2**24
"""Inputs times outputs, and outputs squared: what is held in memory for a box."""


def check(context: Context) -> Verdict:
    """Check a claim by its theorem."""
    return {"differential-relaxation": _relaxation, "attained-value": _attained}[context.claim.theorem](context)


def _relaxation(context: Context) -> Verdict:
    target, output, sign = _subject(context, attained=False)
    outputs = context.network.outputs
    small = outputs * max(outputs, context.network.inputs) <= _MAX_FORMS
    context.require(small, "The network has too many inputs and outputs. Use fewer.")
    require_short(context, context.network, *(() if target is None else (target.network,)))
    first = chain(context.network)
    if target is not None:
        chains = aligned(first, chain(target.network))
        functional = np.concatenate((np.eye(outputs), -np.eye(outputs)))
    else:
        chains = beside_zero(first)
        functional = sign * np.eye(outputs)[[output]]
    limit = round_down(context.claim.limit if sign > 0 else -context.claim.limit)
    leaves = _cover(context, chains, functional, limit)
    return Verdict(Kind.VERIFIED, (f"{leaves} boxes cover the domain",))


def require_short(context: Context, *networks: Network) -> None:
    """Refuse what would be too long before any matrix is stored in full, those that hand values on included."""
    depth, outputs = max(len(network.layers) for network in networks), networks[0].outputs
    layers = [layer for network in networks for layer in network.layers]
    shapes = [linear.shape for layer in layers for _, linear in layer.terms]
    entries = sum(rows * columns for rows, columns in shapes) + depth * outputs**2
    neurons = sum(layer.outputs for layer in layers) + depth * outputs
    context.require(neurons * entries <= _MAX_WORK, "The networks are too large to be checked. Use smaller ones.")


def _subject(context: Context, *, attained: bool) -> tuple[NetworkTarget | None, int, int]:
    """Return the target network, or the output the claim is about with 1 for its maximum and -1 for its minimum."""
    claim, target = context.claim, context.target
    if claim.quantity == "error":
        context.states("error", ">=" if attained else "<=", norm="sup", network=True, target=True)
        if not isinstance(target, NetworkTarget) or not target.domain.contains(context.domain()):
            raise CheckError("The target is not a network on the domain of the claim. Build it anew.")
        fits = (target.network.inputs, target.network.outputs) == (context.network.inputs, context.network.outputs)
        context.require(fits, "The two networks differ in inputs or outputs. Build it anew.")
        found: tuple[NetworkTarget | None, int, int] = target, 0, 1
    else:
        match = _OUTPUT.fullmatch(claim.quantity)
        if match is None or int(match[2]) >= context.network.outputs:
            raise CheckError("It is about no output of the network. Build it anew.")
        sign = 1 if match[1] == "maximum" else -1
        context.states(claim.quantity, "<=" if (sign > 0) != attained else ">=", network=True)
        found = None, int(match[2]), sign
    context.require(
        context.network.inputs == context.domain().dimension, "The domain has not the inputs. Build it anew."
    )
    return found


def _cover(
    context: Context, chains: tuple[list[Stage], list[Stage]], functional: NDArray[np.float64], limit: float
) -> int:
    """Require the functional of the difference to be at most `limit` on the domain; return the number of leaves."""
    axes, splits = context.array("axis", "i"), context.array("split", "f")
    context.require(len(axes) == len(splits) <= MAX_NODES, "The tree is malformed or too large. Build it anew.")
    names = [name for stage in chains[0] for name in stage.names]
    curved = sum(activation(name).slopes is None for name in names)
    cost = sum(stage.weight.size for stages in chains for stage in stages) + _COST * (1 + curved)
    call = _CALL * len(chains[0]) ** 2
    work = (len(names) + len(axes)) * cost + call
    context.require(work <= _MAX_WORK, "The proof is too long to be checked. Use fewer boxes.")
    domain = context.domain()
    lower, upper = (
        np.array([round_down(end) for end in domain.lower]),
        np.array([round_up(end) for end in domain.upper]),
    )
    context.require(bool(((axes >= -1) & (axes < len(lower))).all()), "The tree is malformed. Build it anew.")
    right = _right_halves(context, axes)
    engine = Differential(*chains, lower, upper)
    open_boxes = [(0, lower, upper, engine.root[0], np.ones(len(functional), dtype=bool))]
    while open_boxes:
        work += call
        context.require(work <= _MAX_WORK, "The proof is too long to be checked. Use fewer boxes or layers.")
        batch, open_boxes = open_boxes[-engine.batch :], open_boxes[: -engine.batch]
        nodes, low, high, sides, rows = (np.array(values) for values in zip(*batch, strict=True))
        found = engine.bounds(low, high, sides, functional, rows)
        rows = rows & ~(found.upper <= limit)
        for own in np.flatnonzero(rows.any(axis=1)):
            node = int(nodes[own])
            axis, cut = int(axes[node]), float(splits[node])
            if axis < 0:
                reached = f"{found.upper[own].max():.6g}"
                raise CheckError(f"On box {node} the value is only known to be at most {reached}. Refine the cover.")
            context.require(low[own, axis] < cut < high[own, axis], "A cut lies outside its box. Build it anew.")
            ends = low[own].copy(), high[own].copy()
            ends[0][axis] = ends[1][axis] = cut
            open_boxes.append((node + 1, low[own], ends[1], found.sides[own], rows[own]))
            open_boxes.append((int(right[node]), ends[0], high[own], found.sides[own], rows[own]))
    return int((axes < 0).sum())


def _right_halves(context: Context, axes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for every inner node of a tree in prefix order where its second half is; the first comes next."""
    right = np.zeros(len(axes), dtype=np.int64)
    waiting: list[int] = []
    ends = True
    for node, axis in enumerate(axes.tolist()):
        if node and ends:
            context.require(bool(waiting), "The tree has nodes beyond its last leaf. Build it anew.")
            right[waiting.pop()] = node
        if not (ends := axis < 0):
            waiting.append(node)
    context.require(len(axes) > 0 and ends and not waiting, "The tree does not cover the domain. Build it anew.")
    return right


def _attained(context: Context) -> Verdict:
    target, output, sign = _subject(context, attained=True)
    point, domain = context.array("point", "f"), context.domain()
    inside = len(point) == domain.dimension and all(
        low <= x <= high for low, x, high in zip(domain.lower, point.tolist(), domain.upper, strict=True)
    )
    context.require(inside, "The point is not in the domain. Build it anew.")
    x = [arb(value) for value in point.tolist()]
    values, limit = realize_ball(context.network, x), ball(context.claim.limit)
    if target is None:
        reached = values[output] >= limit if sign > 0 else values[output] <= limit
    else:
        others = realize_ball(target.network, x)
        reached = context.claim.limit <= 0 or any(
            a - b >= limit or b - a >= limit for a, b in zip(values, others, strict=True)
        )
    context.require(bool(reached), "The value is not attained at the point. State another one.")
    return Verdict(Kind.VERIFIED)
