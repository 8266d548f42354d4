"""How many cells and linear regions a piecewise-linear network has, with a certificate of exact arithmetic.

The vertices are found in float64 (`enclosure.complex`) and confirmed in rationals (`core.complex`): their sign vectors
alone determine them, and that they are all follows from their edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, HypothesisError
from epsnet.core.complex import hypotheses, vertex_list
from epsnet.core.network import Network
from epsnet.enclosure.complex import polyhedral_complex


@dataclass(frozen=True, slots=True)
class CertifiedComplex:
    """The counts of a complex.

    Attributes:
        network: the network.
        cells: the number of cells of each dimension k = 0, ..., d; those of dimension 0 are the vertices.
        regions: the number of activation regions, the cells of dimension d.
        linear: the number of linear regions, the maximal connected open sets on which the network is affine.
        certificate: for `check_certificate(network, certificate)`.
    """

    network: Network
    cells: tuple[Bound, ...]
    regions: Bound
    linear: Bound
    certificate: Certificate

    def f_vector(self) -> tuple[int, ...]:
        """Return (f_0, ..., f_d)."""
        return tuple(int(bound.value) for bound in self.cells)


def certify_complex(network: Network, domain: Box | None = None) -> CertifiedComplex:
    """Count the cells of all dimensions that the neurons cut a domain into, and the linear regions.

    Args:
        network: piecewise linear, with at most 6 inputs, of which every vertex lies on exactly as many zero sets.
        domain: a box; None for R^d, where the complex needs a vertex.

    Raises:
        DomainError: the box does not fit the network, or there are too many inputs.
        HypothesisError: the network is not piecewise linear, or its complex is degenerate, has no vertex in R^d, or is
            too large to be confirmed in rationals.

    Example:
        >>> hat = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
        >>> print(certify_complex(hat, Box(-1, 2)).regions)
        activation regions == 4 on [-1, 2]   PROVED (closed-vertex-list; exact arithmetic)
    """
    candidate = polyhedral_complex(network, domain)
    signs = candidate.signs().ravel()
    try:
        found = vertex_list(network, candidate.box, signs, everywhere=domain is None)
        counts, pieces = found.f_vector(), found.linear_regions()
    except CheckError as error:
        raise HypothesisError(f"{error} On a box, exact_cells allows every degeneracy.") from None
    witness = {"signs": signs}
    if domain is None:
        witness["exponent"] = np.array([int(candidate.box.upper[0]).bit_length() - 1])

    def bound(quantity: str, count: int) -> Bound:
        return Bound(
            quantity=quantity, sense="==", value=float(count), exact=Fraction(count), domain=domain, kind=Kind.PROVED,
            theorem="closed-vertex-list", rule="complex", hypotheses=hypotheses(domain is None), network=network.sha256,
        )  # fmt: skip

    cells = tuple(bound(f"cells of dimension {k}", count) for k, count in enumerate(counts))
    regions, linear = bound("activation regions", counts[-1]), bound("linear regions", pieces)
    claims = (regions, linear, *cells)
    certificate = Certificate.of(claims, [(claim, witness) for claim in claims])
    return CertifiedComplex(network, cells, regions, linear, certificate)
