r"""The least continuous piecewise-linear approximation of a function of one variable, as a network, proved minimal.

Any ReLU network with one input and n linear pieces is one of the functions this method minimizes over; conversely

$$ \Phi(x) = y_0 + \sum_{i=0}^{n-1} (m_i - m_{i-1})\, \rho(x - x_i), \qquad m_{-1} = 0, $$

is the polygon with the breakpoints a = x_0 < ... < x_n = b, the slopes m_i and Phi(a) = y_0: depth 2, n neurons, at
most 3n + 1 weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import round_down, round_up
from epsnet.checker.rules.exact import linear_pieces
from epsnet.core.network import Network
from epsnet.core.rounding_error import rounding_bound
from epsnet.core.target import Target
from epsnet.enclosure.cover import cover
from epsnet.enclosure.float64 import exact_error, power_of_two_above, rounding_of, with_rounding
from epsnet.enclosure.tube import Path, minimal_link_path, outer_windows

# The path is built in a tube that is narrower by this factor, so that rounding it to float64 cannot leave the real
# tube.
_MARGIN = 2.0**-23


@dataclass(frozen=True, slots=True)
class PiecewiseLinear:
    """What `piecewise_linear` returns.

    Attributes:
        network: the polygon as a shallow ReLU network.
        error: sup |F - Phi| <= eps for the float64 network.
        pieces: the number of its linear pieces.
        minimal: no continuous piecewise-linear function within eps has fewer pieces than this.
        neurons: no network within eps, however deep, whose neurons have one kink each, has fewer neurons than this.
        witnesses: what the rules need, for `Certificate.of`.
    """

    network: Network
    error: Bound
    pieces: Bound
    minimal: Bound
    neurons: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def piecewise_linear(target: Target, eps: Fraction) -> PiecewiseLinear:
    """Return the continuous piecewise-linear network with the fewest pieces and sup |F - Phi| <= eps.

    The polygon is a minimum-link path in the tube |y - F| <= eps (Imai and Iri, 1986); its error is bounded by a cover
    (rule `cover`) plus the rounding of float64 evaluation (rule `exact`), and its minimality by windows (rule `reach`).

    Args:
        target: a formula in one variable.
        eps: the accuracy in the sup norm, > 0.

    Raises:
        HypothesisError: the formula has several variables.
        CertificateError: eps is too small for float64, or the bound could not be proved.
    """
    if target.domain.dimension != 1:
        raise HypothesisError(
            f"Minimal piecewise-linear networks exist here for one variable, the formula has "
            f"{target.domain.dimension}. "
            f"Fix all variables but one."
        )
    domain = target.domain
    network, _ = polygon_within(target, eps)
    rounding = rounding_of(network, domain)
    value, tree = cover(target, network, eps - rounding.limit)
    cells = (f"{int((tree['axis'] < 0).sum())} cells cover {domain}",)
    exact = exact_error(target, network, value, "taylor-cover", "cover", cells)
    error = with_rounding(exact, rounding)
    count = linear_pieces(network, domain)
    if count is None:
        raise CertificateError("The polygon degenerated. Ask for a larger eps.", asked=float(eps), achieved=error.value)
    pieces = Bound(
        quantity="pieces",
        sense="<=",
        value=float(count),
        exact=Fraction(count),
        domain=domain,
        kind=Kind.PROVED,
        theorem="kink-count",
        rule="exact",
        network=network.sha256,
    )
    least = least_pieces(target, eps)
    witnesses = ((exact, tree), (least.pieces, least.witness))
    return PiecewiseLinear(network, error, pieces, least.pieces, least.neurons, witnesses)


@dataclass(frozen=True, slots=True)
class LeastPieces:
    """What every network within eps needs.

    Attributes:
        pieces: no continuous piecewise-linear function within eps has fewer pieces than this.
        neurons: no network within eps, however deep, whose neurons have one kink each, has fewer neurons than this.
        witness: what the rule of `pieces` needs.
    """

    pieces: Bound
    neurons: Bound
    witness: Witness


def least_pieces(target: Target, eps: Fraction) -> LeastPieces:
    """Return lower bounds of the complexity of all networks with sup |F - Phi| <= eps (rule `reach`).

    Args:
        target: a formula in one variable.
        eps: the accuracy, > 0.

    Raises:
        CertificateError: eps is too small for float64.
    """
    domain = target.domain
    # What blocks a wider tube blocks this one, also where float64 evaluation of a steep formula errs.
    wider = round_up(eps) * (1.0 + _MARGIN / 8)
    try:
        windows = outer_windows(target, round_up(domain.lower[0]), round_down(domain.upper[0]), wider)
    except ValueError as error:
        raise _too_fine(eps, error) from None
    about = {"norm": "sup", "domain": domain, "eps": eps, "kind": Kind.VERIFIED, "target": target.sha256}
    least = len(windows) + 1
    pieces = Bound(
        quantity="pieces", sense=">=", value=float(least), exact=Fraction(least), theorem="minimal-link", rule="reach",
        hypotheses=(f"{len(windows)} windows block the tube",), **about,
    )  # fmt: skip
    fewest = (least - 1).bit_length()
    neurons = Bound(
        quantity="neurons with one kink", sense=">=", value=float(fewest), exact=Fraction(fewest),
        theorem="piece-count", rule="algebra", premises=(pieces,), **about,
    )  # fmt: skip
    columns: dict[str, NDArray] = {
        name: np.array([getattr(w, name) for w in windows], dtype=np.float64)
        for name in ("p", "s", "e", "slope", "value")
    }
    return LeastPieces(pieces, neurons, {"side": np.array([w.side for w in windows], dtype=np.int64), **columns})


def polygon_within(target: Target, eps: Fraction) -> tuple[Network, float]:
    """Return a network in the tube and its rounding error, for which the tube is narrowed until both fit into eps."""
    ends = round_down(target.domain.lower[0]), round_up(target.domain.upper[0])
    allowance = 0.0
    while True:
        try:
            path = minimal_link_path(target, *ends, float(eps) * (1.0 - _MARGIN) - allowance)
        except ValueError as error:
            raise _too_fine(eps, error) from None
        if not (np.isfinite(path.values).all() and np.isfinite(path.slopes).all()):
            raise _too_fine(eps, "a slope leaves the range of numbers")
        network = polygon_network(path)
        rounding = power_of_two_above(rounding_bound(network, target.domain))
        # Twice: once for the rounding of the evaluation, once for that of the weights.
        if 2 * rounding <= max(allowance, float(eps) * _MARGIN / 2):
            return network, rounding
        allowance = 2 * rounding
        if allowance > float(eps) / 2:
            raise _too_fine(eps, f"evaluation alone errs by up to {rounding:.3g}")


def _too_fine(eps: Fraction, reason: object) -> CertificateError:
    return CertificateError(
        f"No polygon within {float(eps):.3g} can be computed in float64: {str(reason).rstrip('.')}. "
        f"Ask for a larger eps.",
        asked=float(eps),
        achieved=float("inf"),
    )


def polygon_network(path: Path) -> Network:
    """Return the shallow ReLU network of a polygon on [x_0, x_n]; its weights are rounded to float64."""
    x, y = path.breakpoints, path.values
    slopes = [
        (Fraction(float(y1)) - Fraction(float(y0))) / (Fraction(float(x1)) - Fraction(float(x0)))
        for x0, x1, y0, y1 in zip(x[:-1], x[1:], y[:-1], y[1:], strict=True)
    ]
    turns = [float(right - left) for left, right in zip([Fraction(0), *slopes[:-1]], slopes, strict=True)]
    return Network.from_layers([(np.ones((len(turns), 1)), -x[:-1]), (np.array([turns]), y[:1])])
