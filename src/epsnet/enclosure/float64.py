"""From exact arithmetic to float64: what rounding contributes, and the error of the network as it is evaluated."""

from __future__ import annotations

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import round_up
from epsnet.core.network import Network
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library, rounding_bound
from epsnet.core.target import Target


def rounding_of(network: Network, domain: Box) -> Bound:
    """Return the bound of the rounding of one evaluation on a box, a power of two."""
    return Bound(
        quantity="rounding", sense="<=", value=power_of_two_above(rounding_bound(network, domain)), norm="sup",
        domain=domain, kind=Kind.PROVED, arithmetic="float64", theorem="dot-product-rounding", rule="exact",
        assumptions=(LIBRARY_ASSUMPTION,) if needs_library(network) else (), network=network.sha256,
    )  # fmt: skip


def exact_error(
    target: Target, network: Network, value: float, theorem: str, rule: str, hypotheses: tuple[str, ...]
) -> Bound:
    """Return the statement sup |F - R(Phi)| <= value in exact arithmetic, which a rule will verify."""
    return Bound(
        quantity="error", sense="<=", value=value, norm="sup", domain=target.domain, kind=Kind.VERIFIED,
        theorem=theorem, rule=rule, hypotheses=hypotheses, network=network.sha256, target=target.sha256,
    )  # fmt: skip


def with_rounding(error: Bound, rounding: Bound) -> Bound:
    """Return the error of the float64 network: that in exact arithmetic and the rounding."""
    total = error.limit + rounding.limit
    return Bound(
        quantity="error", sense="<=", value=round_up(total), exact=total, norm="sup", domain=error.domain,
        kind=Kind.VERIFIED, arithmetic="float64", theorem="triangle", rule="algebra", premises=(error, rounding),
        assumptions=rounding.assumptions, network=error.network, target=error.target,
    )  # fmt: skip


def power_of_two_above(value: float) -> float:
    """Round up coarsely, so that the order of summation in `rounding_bound` cannot change a stored bound."""
    if not np.isfinite(value):
        raise DomainError("The network can overflow in float64 on this domain. Use a smaller domain.")
    return 2.0 ** int(np.frexp(value)[1]) if value > 0 else 0.0
