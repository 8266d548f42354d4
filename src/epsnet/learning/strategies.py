"""The strategies of `learn` for formulas: what each builds, and the choice of the one that costs least."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.codec.format import encode
from epsnet.core.expression import jumps
from epsnet.core.linear_maps import Exact
from epsnet.core.network import Network
from epsnet.core.simplify import simplify
from epsnet.core.target import Target
from epsnet.enclosure.float64 import rounding_of, with_rounding

COSTS: Mapping[str, Callable[[Network], Any]] = {
    "weights": lambda network: network.size.weights,
    "neurons": lambda network: (network.size.neurons, network.size.weights),
    "depth": lambda network: (network.size.depth, network.size.weights),
    "bits": lambda network: 8 * len(encode(network)),
}
"""What `learn` can minimize; of equally good networks in neurons or depth the one with fewer weights."""

_FEW_PIECES = 20
"""No deep network here is cheaper than a polygon with so few pieces: one squaring alone takes 30 weights at 1e-3."""


_STAGES = ((5,), (10,), (20,), (20, 60), (30, 60), (40, 80))
_POINTS = 10
"""Neurons of the stages that "precise" tries, and points for each neuron of the largest."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        target: F.
        eps: the accuracy in the norm of the target.
        seed: fixes the starts of the fits.
        activation: of the hidden neurons.
        cost: what is to be small, a key of `COSTS`.
        magnitude: no weight may be larger than this, None for no limit.
        skips: take skip connections where they save weights that only hand a signal on.
    """

    target: Target
    eps: Fraction
    seed: int = 0
    activation: str = "relu"
    cost: str = "weights"
    magnitude: Fraction | None = None
    skips: bool = False

    @property
    def sup_accuracy(self) -> Fraction:
        """An accuracy in the sup norm that suffices: eps, or eps / |D|^(1/2) for the L2 norm."""
        if jumps(self.target.expression):
            raise HypothesisError(
                "The formula has a jump, so only methods for the L2 norm cover it. Use indicator or greedy."
            )
        if self.target.norm == "sup":
            return self.eps
        # Below eps / sqrt(volume) by an ulp or two, so that rounding up afterwards stays within eps.
        return Fraction(float(self.eps) / math.sqrt(self.target.domain.volume) * (1.0 - 2.0**-50))

    def allows(self, network: Network) -> bool:
        """Whether all weights are within the limit."""
        return self.magnitude is None or Fraction(network.size.magnitude) <= self.magnitude


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network with its proof.

    Attributes:
        method: the strategy that built it.
        network: Phi.
        error: the bound in the norm of the target.
        witnesses: what the rules need.
        summary: what it is, in a few words.
        others: what else was proved.
        optimality: a lower bound for the class it is compared with.
        stats: facts that claim nothing.
    """

    method: str
    network: Network
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]
    summary: str
    others: tuple[Bound, ...] = ()
    optimality: Bound | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)


class Proved(Protocol):
    """What a builder returns: a network, sup |F - Phi| <= eps of its float64 realization, and what the rules need."""

    @property
    def network(self) -> Network:
        """Phi."""
        ...

    @property
    def error(self) -> Bound:
        """The bound of sup |F - Phi|, which follows from one in exact arithmetic and one of the rounding."""
        ...

    @property
    def witnesses(self) -> tuple[tuple[Bound, Witness], ...]:
        """What the rules need."""
        ...


def piecewise_linear(request: Request) -> Candidate:
    """Build the polygon with the fewest pieces."""
    from epsnet.approximation.piecewise_linear import piecewise_linear as build

    polygon = build(request.target, request.sup_accuracy)
    count, least = int(polygon.pieces.value), int(polygon.minimal.value)
    summary = "1 linear piece"
    if count > 1:
        verdict = (
            f"no polygon with {least - 1} pieces is that close" if count == least else f"at least {least} are needed"
        )
        summary = f"{count} linear pieces{_within(request)}; {verdict}"
    others = (polygon.pieces, polygon.minimal, polygon.neurons)
    return _from_sup(request, "piecewise-linear", polygon, summary, others, polygon.minimal)


def hp(request: Request) -> Candidate:
    """Build a quadratic spline: a polygon with bubbles."""
    from epsnet.approximation.bubble import bubble_network

    found = bubble_network(request.target, request.sup_accuracy)
    pieces = len(found.spline.breakpoints) + 1
    return _from_sup(request, "hp", found, f"a quadratic spline of {pieces} pieces{_within(request)}")


def deep(request: Request) -> Candidate:
    """Build a squaring circuit."""
    from epsnet.approximation.circuits import squaring_circuit

    found = squaring_circuit(request.target, request.sup_accuracy, seed=request.seed)
    squarings = len(found.circuit.stages)
    summary = f"a circuit of {squarings} squaring{'s' * (squarings > 1)}{_within(request)}"
    return _from_sup(request, "deep", found, summary)


def program(request: Request) -> Candidate:
    """Build a squaring circuit whose program is short; the file of the program, in hexadecimal, is among the facts."""
    from epsnet.approximation.programs import shortest_program
    from epsnet.codec.circuits import encode_program

    found, network = shortest_program(request.target, request.sup_accuracy, seed=request.seed)
    code = encode_program(found)
    summary = f"a program of {len(code)} bytes{_within(request)}"
    return replace(_from_sup(request, "program", network, summary), stats={"program": code.hex()})


def shallow(request: Request) -> Candidate:
    """Build a network with one hidden layer of smooth neurons."""
    from epsnet.approximation.shallow import shallow_network

    name = "tanh" if request.activation == "relu" else request.activation
    found = shallow_network(request.target, request.sup_accuracy, activation=name, seed=request.seed)
    count = found.network.size.neurons
    return _from_sup(request, "shallow", found, f"{count} neuron{'s' * (count > 1)} of {name}{_within(request)}")


def precise(request: Request) -> Candidate:
    """Fit a network with one hidden layer of smooth neurons in stages, as far as float64 goes."""
    from epsnet.approximation.shallow import certified
    from epsnet.optimization.precision import chebyshev_points, fit_in_stages

    target, name = request.target, "tanh" if request.activation == "relu" else request.activation
    if target.domain.dimension != 1:
        raise HypothesisError(
            f"The method precise is for one variable, the formula has {target.domain.dimension}. Fix all but one."
        )
    failure = None
    for neurons in _STAGES:
        points = chebyshev_points(target.domain, _POINTS * max(neurons))
        fit = fit_in_stages(points, target(points[:, 0]), neurons, activation=name, seed=request.seed)
        try:
            found = certified(target, fit.network, request.sup_accuracy)
        except CertificateError as error:
            failure = error
            continue
        words = " + ".join(map(str, neurons))
        return _from_sup(request, "precise", found, f"{words} neurons of {name}{_within(request)}")
    raise CertificateError(
        f"No fit was proved to be within {float(request.sup_accuracy):.3g}. {failure}",
        asked=float(request.eps), achieved=math.inf if failure is None else failure.achieved,
    )  # fmt: skip


def compositional(request: Request) -> Candidate:
    """Build the formula part by part."""
    from epsnet.approximation.composition import compositional as build

    found = build(request.target, request.sup_accuracy, seed=request.seed)
    count = len(found.parts)
    return _from_sup(request, "compositional", found, f"{count} part{'s' * (count != 1)}{_within(request)}")


def greedy(request: Request) -> Candidate:
    """Build a network with one hidden layer neuron by neuron, in the L2 norm."""
    from epsnet.approximation.greedy import greedy_network

    found = greedy_network(request.target, request.eps)
    summary = (
        f"{found.network.size.neurons} neurons of the orthogonal greedy algorithm, variation {found.variation:.4g}"
    )
    return Candidate("greedy", found.network, found.error, found.witnesses, summary)


def indicator(request: Request) -> Candidate:
    """Build a ramp for the indicator of a ball, in the L2 norm."""
    from epsnet.approximation.indicator import indicator_network

    found = indicator_network(request.target, request.eps)
    return Candidate("indicator", found.network, found.error, found.witnesses, "a steep ramp around the ball")


def universal(request: Request) -> Candidate:
    """Build the network of fixed size whose long weights name the function."""
    from epsnet.approximation.euaf import euaf_network
    from epsnet.approximation.superposition import superposition_network
    from epsnet.approximation.universal import universal_network

    sigmoidal = superposition_network if request.target.domain.dimension > 1 else universal_network
    build = euaf_network if request.activation == "euaf" else sigmoidal
    found = build(request.target, request.sup_accuracy)
    count = found.network.size.neurons
    summary = f"{count} neuron{'s' * (count > 1)}, {found.weight_bits:,} bits of long weights{_within(request)}"
    proved = _Found(found.network, found.error, ((found.error, found.witness),))
    return _from_sup(request, "universal", proved, summary)


@dataclass(frozen=True, slots=True)
class _Found:
    network: Network
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def _within(request: Request) -> str:
    return "" if request.target.norm == "sup" else f" within {float(request.sup_accuracy):.3g} in the sup norm"


def _from_sup(
    request: Request,
    method: str,
    found: Proved,
    summary: str,
    others: tuple[Bound, ...] = (),
    optimality: Bound | None = None,
) -> Candidate:
    """Return the candidate of a network that was proved in the sup norm.

    The sup bound is about the float64 network. An L2 norm is an integral over real points, so that bound is about the
    network in exact arithmetic; the certificate holds the bound of the rounding beside it.
    """
    if request.skips:
        found = _with_skips(found, request)
    exact = found.error if found.error.arithmetic == "exact" else found.error.premises[0]
    if request.target.norm == "sup":
        # What float64 makes of a smooth activation rests on an assumption about the machine: no proof hangs on it.
        error, rest = (exact, (found.error,)) if found.error.assumptions else (found.error, ())
        return Candidate(method, found.network, error, found.witnesses, summary, (*rest, *others), optimality)
    with ball_arithmetic():
        value = round_up(ball(exact.limit) * ball(request.target.domain.volume).sqrt())
    error = Bound(
        quantity="error", sense="<=", value=value, norm="L2", measure="Lebesgue", domain=request.target.domain,
        kind=Kind.VERIFIED, theorem="norm-embedding", rule="algebra",
        network=exact.network, target=exact.target, premises=(exact,),
    )  # fmt: skip
    # In L2 fewer pieces may do: a lower bound from the sup norm says nothing.
    return Candidate(method, found.network, error, found.witnesses, summary, (found.error, *others))


def _with_skips(found: Proved, request: Request) -> Proved:
    """Return the simplified network with its proof: the steps become part of the witness, and are taken again."""
    error, domain = found.error, request.target.domain
    if error.theorem != "triangle" or error.premises[0].rule not in _REPLAYING:
        return found
    shorter = simplify(found.network, domain)
    exact = error.premises[0]
    moved = replace(exact, network=shorter.network.sha256)
    error = with_rounding(moved, rounding_of(shorter.network, domain))
    fewer = shorter.network.size.weights < found.network.size.weights
    if not fewer or error.limit > request.sup_accuracy or not _is_float64(shorter.network):
        return found
    log = np.frombuffer(json.dumps(shorter.log).encode(), dtype=np.uint8).astype(np.int64)
    witnesses = [
        (moved, {**witness, "log": log}) if bound is exact else (bound, witness) for bound, witness in found.witnesses
    ]
    return _Found(shorter.network, error, tuple(witnesses))


def _is_float64(network: Network) -> bool:
    maps = [linear for layer in network.layers for _, linear in layer.terms]
    return not any(isinstance(linear, Exact) for linear in maps) and not any(
        isinstance(layer.bias, tuple) for layer in network.layers
    )


_REPLAYING = ("circuit", "bubble", "composition")
"""The rules that follow a simplification."""

FORMULA_METHODS: Mapping[str, Callable[[Request], Candidate]] = {
    "piecewise-linear": piecewise_linear,
    "hp": hp,
    "deep": deep,
    "shallow": shallow,
    "precise": precise,
    "compositional": compositional,
    "greedy": greedy,
    "indicator": indicator,
    "universal": universal,
    "program": program,
}
"""Every strategy for formulas."""


def build(request: Request, method: str) -> tuple[Candidate, dict[str, int]]:
    """Return the network of a method, or with "auto" the cheapest one, and the weights of what it was compared with.

    Raises:
        HypothesisError: the method does not cover the request.
        CertificateError: eps was not reached, or not with weights as small as asked for.
    """
    if request.activation != "relu" and method not in ("auto", "shallow", "precise", "universal"):
        raise HypothesisError(
            f"The method {method!r} has an activation of its own, {request.activation} was asked for. "
            f"Use the method shallow, or leave the activation out."
        )
    found, compared = _cheapest(request, _suited(request) if method == "auto" else (method,))
    if not request.allows(found.network):
        magnitudes = ", ".join(f"{name}: {network.size.magnitude:.4g}" for name, network in compared.items())
        raise CertificateError(
            f"No network with weights of at most {float(request.magnitude or 0):.4g} was found ({magnitudes}). "
            f"Allow larger weights.",
            asked=float(request.eps), achieved=found.error.value,
        )  # fmt: skip
    return found, {name: network.size.weights for name, network in compared.items()}


def _suited(request: Request) -> tuple[str, ...]:
    """Return the methods that "auto" compares."""
    target, euclidean = request.target, request.target.norm == "L2"
    if request.activation != "relu":
        return ("universal" if request.activation == "euaf" else "shallow",)
    if jumps(target.expression):
        return ("indicator", *(("greedy",) if target.domain.dimension <= 2 else ()))
    if target.domain.dimension == 1:
        return ("piecewise-linear", "hp", "deep", *(("greedy",) if euclidean else ()))
    return ("compositional", *(("greedy",) if euclidean and target.domain.dimension == 2 else ()))


def _cheapest(request: Request, methods: Sequence[str]) -> tuple[Candidate, dict[str, Network]]:
    """Return the cheapest network of some methods, and the networks of all that reached eps.

    A polygon is sketched first, which takes little time, and proved only if it is the cheapest.
    """
    from epsnet.approximation.piecewise_linear import polygon_within

    compared: dict[str, Network] = {}
    proved: dict[str, Candidate] = {}
    failures: list[CertificateError | HypothesisError] = []
    for method in methods:
        if method == "piecewise-linear" and len(methods) > 1:
            sketch, _ = polygon_within(request.target, request.sup_accuracy)
            compared[method] = sketch
            # A network of depth 2 is as shallow as any that is not affine.
            if sketch.size.neurons <= _FEW_PIECES or request.cost == "depth":
                break
            continue
        try:
            proved[method] = FORMULA_METHODS[method](request)
            compared[method] = proved[method].network
        except (CertificateError, HypothesisError) as error:
            failures.append(error)
    if not compared:
        raise failures[0]
    measure = COSTS[request.cost]
    name = min(compared, key=lambda name: (not request.allows(compared[name]), measure(compared[name])))
    return proved[name] if name in proved else piecewise_linear(request), compared
