"""The geometry of a piecewise-linear network on a box: cells, exact extreme values, Lipschitz constants, topology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box, Real
from epsnet.certify.errors import HypothesisError
from epsnet.core.cells import Cells
from epsnet.core.homology import Part
from epsnet.core.network import Network
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.enclosure.complex import MAX_DIMENSION, polyhedral_complex
from epsnet.enclosure.distance import Ranges
from epsnet.enclosure.exact_values import exact_lipschitz, exact_ranges
from epsnet.geometry.bounds import region_bound
from epsnet.geometry.topology import Topology, decision_region, topology

MAX_CLASSES = 4
MAX_EXACT = 300_000
"""The most cells, as counted in float64, that are counted again in exact arithmetic: about three minutes."""

_PARTS: tuple[Part, ...] = ("sub", "super", "level")


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a piecewise-linear network does to a box.

    Attributes:
        found: the cells themselves, if they were found in exact arithmetic.
        cells: how many cells of each dimension 0, ..., d its neurons cut the box into; those of dimension d are the
            activation regions.
        kind: PROVED where the cells were found in exact arithmetic, else ESTIMATED, and the rest is empty but `most`.
        linear: the number of linear regions.
        most: how many activation regions a network with such layers can have.
        ranges: the extreme values of each output.
        lipschitz: the exact Lipschitz constant in the sup norm, from below and from above.
        topology: the Betti numbers of {Phi <= level}, {Phi >= level} and {Phi = level}, where a level was given, or of
            the regions in which a classifier with at most `MAX_CLASSES` outputs decides for each class.
        certificate: the derivation of all of it.
    """

    found: Cells | None
    cells: tuple[int, ...]
    kind: Kind
    linear: Bound | None
    most: Bound
    ranges: Ranges | None
    lipschitz: tuple[Bound, Bound] | None
    topology: tuple[Topology, ...]
    certificate: Certificate

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,}" for count in self.cells)
        how = "exact arithmetic" if self.kind is Kind.PROVED else "counted in float64: too many for exact arithmetic"
        lines = [
            "cells of the box: the neurons cut it where they change sign",
            f"  activation regions  {self.cells[-1]:,}   {self.kind.value} ({how})",
            f"  at most             {self.most.limit.numerator:,}   {self.most.kind.value} (any weights, these layers)",
            f"  cells by dimension  {counts}   {self.kind.value}",
        ]
        if self.linear is not None:
            count, words = self.linear.limit.numerator, "largest open sets on which it is affine"
            lines.append(f"  linear regions      {count:,}   {self.linear.kind.value} ({words})")
        if self.ranges is not None:
            lines.append("  extreme values of the outputs, exact")
            for number, (low, high) in enumerate(zip(self.ranges.minima, self.ranges.maxima, strict=True)):
                kind = high.upper.kind.value
                lines.append(f"    output {number}  from {low.lower.value:.17g} to {high.upper.value:.17g}   {kind}")
        if self.lipschitz is not None:
            constant = self.lipschitz[1]
            lines.append(f"  Lipschitz constant in the sup norm, exact: {constant.value:.17g}   {constant.kind.value}")
        lines += [f"  {line}" for found in self.topology for line in str(found).splitlines()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the statements as JSON values."""
        ranges = None
        if self.ranges is not None:
            ranges = [
                [low.lower.to_json(), high.upper.to_json()]
                for low, high in zip(self.ranges.minima, self.ranges.maxima, strict=True)
            ]
        return {
            "cells": list(self.cells), "kind": self.kind.value,
            "linear_regions": None if self.linear is None else self.linear.to_json(),
            "most_regions": self.most.to_json(), "ranges": ranges,
            "lipschitz": None if self.lipschitz is None else [bound.to_json() for bound in self.lipschitz],
            "topology": [bound.to_json() for found in self.topology for bound in found.betti],
        }  # fmt: skip


def geometry(network: Network, domain: Box, level: Real | None = None) -> Geometry:
    """Return what a piecewise-linear network does to a box; everything exact where that is not too much.

    Args:
        network: piecewise linear, with at most 6 inputs.
        domain: a box.
        level: of one output; also the topology of the sets where it is at most, at least, or equal to this.

    Raises:
        DomainError: the box does not fit, or there are too many inputs.
        HypothesisError: the network is not piecewise linear, or too large.
    """
    if network.inputs > MAX_DIMENSION:
        raise HypothesisError(
            f"The cells of a domain of dimension {network.inputs} cannot be listed, {MAX_DIMENSION} is the most. "
            f"Take a slice, see epsnet.geometry.slices, or --slice."
        )
    most = region_bound(network, domain)
    try:
        counts = polyhedral_complex(network, domain).f_vector()
    except HypothesisError:  # degenerate, which exact arithmetic can tell
        counts = ()
    if sum(counts) > MAX_EXACT:
        return Geometry(None, counts, Kind.ESTIMATED, None, most, None, None, (), Certificate.of([most]))
    found = certify_cells(network, domain)
    ranges = exact_ranges(network, domain)
    below, above, constant = exact_lipschitz(network, domain)
    shapes: tuple[Topology, ...] = ()
    if level is not None:
        shapes = tuple(topology(network, domain, level=level, part=part) for part in _PARTS)
    elif 1 < network.outputs <= MAX_CLASSES:
        shapes = tuple(decision_region(network, domain, output) for output in range(network.outputs))
    certificate = Certificate.joined(
        Certificate.of([most]), found.certificate, ranges.statements.certificate, constant,
        *(shape.certificate for shape in shapes),
    )  # fmt: skip
    counted = tuple(bound.limit.numerator for bound in found.cells)
    return Geometry(found.found, counted, Kind.PROVED, found.linear, most, ranges, (below, above), shapes, certificate)
