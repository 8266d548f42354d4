"""How many cells and linear regions a piecewise-linear network has on a box, degenerate or not, with a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, HypothesisError
from epsnet.core.cells import HYPOTHESES, Cells, witness
from epsnet.core.complex import require_affordable
from epsnet.core.linear_regions import linear_regions
from epsnet.core.network import Network
from epsnet.enclosure.subdivision import exact_cells


@dataclass(frozen=True, slots=True)
class CertifiedCells:
    """The cells of a network on a box and their numbers.

    Attributes:
        network: the network.
        found: the cells themselves.
        cells: the number of cells of each dimension k = 0, ..., d; those of dimension 0 are the vertices.
        regions: the number of activation regions, the cells of dimension d.
        linear: the number of linear regions, the maximal connected open sets on which the network is affine.
        certificate: for `check_certificate(network, certificate)`.
    """

    network: Network
    found: Cells
    cells: tuple[Bound, ...]
    regions: Bound
    linear: Bound
    certificate: Certificate


def certify_cells(network: Network, domain: Box) -> CertifiedCells:
    """Count the cells of all dimensions and the linear regions, in exact arithmetic.

    Args:
        network: piecewise linear; neurons may be dead, equal or parallel, and arguments 0 on whole cells.
        domain: a box with a side for each input, at most 8.

    Raises:
        DomainError, HypothesisError: as `exact_cells`, or the network is too large for the checker.

    Example:
        >>> twice = Network.from_layers([([[1.0], [2.0]], [0.0, 0.0]), ([[2.0, -1.0]], [0.0])])
        >>> found = certify_cells(twice, Box(-1, 1))
        >>> int(found.regions.value), int(found.linear.value)
        (2, 1)
    """
    found = checkable_cells(network, domain)

    def bound(quantity: str, count: int) -> Bound:
        return Bound(
            quantity=quantity, sense="==", value=float(count), exact=Fraction(count), domain=domain, kind=Kind.PROVED,
            theorem="complete-cells", rule="cells", hypotheses=HYPOTHESES, network=network.sha256,
        )  # fmt: skip

    counts = found.f_vector()
    cells = tuple(bound(f"cells of dimension {k}", count) for k, count in enumerate(counts))
    regions = bound("activation regions", counts[-1])
    linear = bound("linear regions", linear_regions(network, domain, found))
    claims, arrays = (regions, linear, *cells), witness(found)
    return CertifiedCells(
        network, found, cells, regions, linear, Certificate.of(claims, [(claim, arrays) for claim in claims])
    )


def checkable_cells(network: Network, domain: Box) -> Cells:
    """Return all cells of a network on a box. HypothesisError also if they are too much work for the checker."""
    found = exact_cells(network, domain)
    try:
        require_affordable(network, domain, len(found.vertices))
    except CheckError as error:
        raise HypothesisError(str(error)) from None
    return found
