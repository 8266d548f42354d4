r"""Deep networks for smooth functions of one variable: folds, a squaring circuit, and its certificate.

Centers of symmetry of the formula are found first: at an even one, t <- |t - c| halves the domain, and so does an odd
one, where a gate restores the sign at the end. What is left is fitted by polynomials with few squarings
(`circuit_fit`), the cheapest designs (`circuit_design`) are compiled to networks (`circuit_compile`), and a bisection
of the domain proves the one with the fewest weights in ball arithmetic (rule `circuit`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.approximation.circuit_compile import compile_circuit
from epsnet.approximation.circuit_design import MOST_SQUARINGS, designs
from epsnet.certify.bound import Bound
from epsnet.certify.certificate import Witness
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import round_down
from epsnet.core.circuit import Circuit, Sign
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network
from epsnet.core.target import Target
from epsnet.enclosure.cover import MAX_NODES, bisect
from epsnet.enclosure.float64 import exact_error, rounding_of, with_rounding

Array = NDArray[np.float64]

_GRID = 2001
_MOST_FOLDS = 3


@dataclass(frozen=True, slots=True)
class DeepNetwork:
    """What `squaring_circuit` returns.

    Attributes:
        network: the deep network.
        circuit: what it was made of.
        error: sup |F - Phi| <= eps for the float64 network.
        witnesses: what the rules need, for `Certificate.of`.
    """

    network: Network
    circuit: Circuit
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]


def squaring_circuit(target: Target, eps: Fraction, *, seed: int = 0) -> DeepNetwork:
    """Return the deep network with the fewest weights that this method finds and proves, with sup |F - Phi| <= eps.

    Args:
        target: a smooth formula in one variable; at its even centers it is folded.
        eps: the accuracy in the sup norm, > 0.
        seed: fixes the starts of the fits.

    Raises:
        HypothesisError: the formula has several variables.
        CertificateError: no circuit is close enough, or none could be proved to be.
    """
    if target.domain.dimension != 1:
        raise HypothesisError(
            f"Squaring circuits are for one variable, the formula has {target.domain.dimension}. Fix all but one."
        )
    best, failure = float("inf"), None
    candidates: list[tuple[int, Circuit]] = []
    most = MOST_SQUARINGS
    for view in _views(target):
        found, least = designs(view.on_unit, float(eps), even=view.even, seed=seed, most=most)
        best = min(best, least)
        most = min([most, *(len(design.levels) for design in found)])
        for design in found:
            circuit = compile_circuit(design, view.low, view.high, view.folds, view.sign)
            candidates.append((circuit.network().size.weights, circuit))
    for _, circuit in sorted(candidates, key=lambda candidate: candidate[0]):
        try:
            return certified(target, circuit, eps)
        except CertificateError as error:
            best, failure = min(best, error.achieved), error
    raise CertificateError(
        f"No circuit of at most {MOST_SQUARINGS} squarings was proved to be within {float(eps):.3g}. "
        f"Ask for a larger eps, or use the method piecewise-linear.",
        asked=float(eps), achieved=best,
    ) from failure  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Folded:
    """A formula as a function of t in [low, high], where t is x after the folds.

    Attributes:
        target: the formula.
        folds: the centers.
        low, high: the ends of t.
        signs: the side of each center that reaches farther.
        even: t = low is a center of symmetry too.
        sign: the gate of an odd fold; then the function is sgn (F - B).
    """

    target: Target
    folds: tuple[Fraction, ...]
    low: Fraction
    high: Fraction
    signs: tuple[int, ...]
    even: bool = False
    sign: Sign | None = None

    @classmethod
    def of(cls, target: Target) -> _Folded:
        return cls(target, (), target.domain.lower[0], target.domain.upper[0], ())

    def folded(self, center: Fraction, *, odd: bool) -> _Folded:
        """Return the function after one more fold."""
        left, right = center - self.low, self.high - center
        side = 1 if right >= left else -1
        new = replace(
            self,
            folds=(*self.folds, center),
            low=Fraction(0),
            high=max(left, right),
            signs=(*self.signs, side),
            even=not odd,
        )
        if not odd:
            return new
        middle = Fraction(float(self(np.array([float(center)]))[0]))
        y = np.linspace(float(new.high) / _GRID, float(new.high), _GRID)
        rise = self(float(center) + side * y) - float(middle)
        steepness = Fraction(2) ** int(np.ceil(np.log2((np.abs(rise) / y).max() * (1 - 1e-9))))
        return replace(new, sign=Sign(len(self.folds), steepness, middle))

    def grid(self) -> Array:
        """Return points from end to end."""
        return np.linspace(float(self.low), float(self.high), _GRID)

    def on_unit(self, tau: Array) -> Array:
        """Return the function at the points t = low + (high - low)(tau + 1)/2."""
        return self(float(self.low) + float(self.high - self.low) * (tau + 1) / 2)

    def __call__(self, t: Array) -> Array:
        x, sign = t, 1.0
        for number in reversed(range(len(self.folds))):
            if self.sign is not None and self.sign.fold == number:
                sign = self.signs[number]
            x = float(self.folds[number]) + self.signs[number] * x
        low, high = float(self.target.domain.lower[0]), float(self.target.domain.upper[0])
        values = self.target(np.clip(x, low, high))
        return values if self.sign is None else sign * (values - float(self.sign.middle))


def _views(target: Target) -> list[_Folded]:
    """Return the formula as it is, or the two ways to fold it that leave the shortest intervals, even ones first."""
    found = [_Folded.of(target)]
    for view in found:
        for odd in (False, True) if len(view.folds) < _MOST_FOLDS else ():
            center = None if odd and view.sign is not None else _center(view, odd=odd)
            folded = None if center is None else view.folded(center, odd=odd)
            # The gate is for functions of one sign.
            if folded is not None and (not odd or float(folded(folded.grid()).min()) >= -1e-12):
                found.append(folded)
    return sorted(
        found[1:] or found, key=lambda view: (round(float(view.high - view.low), 9), not view.even, len(view.folds))
    )[:2]


def _center(view: _Folded, *, odd: bool) -> Fraction | None:
    """Return the center nearest to the middle about which the formula is even, or odd up to a constant."""
    low, high = float(view.low), float(view.high)
    grid = np.linspace(low, high, 4 * _GRID)
    values = view(grid)
    scale = np.ptp(values)
    # An even center is an extreme point, an odd one an inflection point.
    slopes = np.diff(values, n=2 if odd else 1)
    turns = [i for i in range(1, len(slopes)) if slopes[i - 1] * slopes[i] <= 0][:64]
    middle = (low + high) / 2
    places = [] if odd else [_turning_point(view, grid[i - 1], grid[i + 1]) for i in turns]
    places += [float(grid[i + 1]) for i in turns] if odd else []
    for center in sorted({middle, *places}, key=lambda c: abs(c - middle)):
        reach = min(center - low, high - center)
        if reach < (high - low) / 16:
            continue
        t = np.linspace(0, reach, _GRID)
        right, left = view(center + t), view(center - t)
        gap = right + left - 2 * right[0] if odd else right - left
        if np.abs(gap).max() <= 1e-11 * scale:
            exact = (view.low + view.high) / 2
            return exact if center == middle and is_float64(exact) else Fraction(round(center * 2**40), 2**40)
    return None


def _turning_point(view: _Folded, left: float, right: float) -> float:
    """Return the center of symmetry of the parabola-like turn between two points, by Newton steps on differences."""
    center, h = (left + right) / 2, (right - left) / 2
    for _ in range(8):
        width = 40 * h
        t = np.array([center - width, center - width / 2, center, center + width / 2, center + width])
        f = view(t)
        bend = f[4] - 2 * f[2] + f[0]
        if bend == 0:
            return center
        center -= width * (f[4] - f[0]) / (2 * bend)
    return center


def certified(target: Target, circuit: Circuit, eps: Fraction, nodes: int = MAX_NODES) -> DeepNetwork:
    """Prove a circuit, with a cover whose tree has at most so many nodes. CertificateError if that fails."""
    network = circuit.network()
    rounding = rounding_of(network, target.domain)
    limit = Fraction(round_down(eps - rounding.limit))

    def enclose(lower: tuple[Fraction, ...], upper: tuple[Fraction, ...]) -> arb:
        bound, local = circuit.enclose(target.expression, lower[0], upper[0])
        return bound if local.holds else arb("inf")

    value, tree = bisect(target.domain, enclose, limit, cuts(circuit, target), nodes=nodes)
    cells = int((tree["axis"] < 0).sum())
    found = (f"{cells} cells cover {target.domain}", f"{len(circuit.stages)} squarings")
    exact = exact_error(target, network, value, "squaring-circuit", "circuit", found)
    error = with_rounding(exact, rounding)
    return DeepNetwork(network, circuit, error, ((exact, {**tree, **circuit.to_arrays()}),))


def cuts(circuit: Circuit, target: Target) -> list[Fraction]:
    """Return the places of x at which a fold lies, as far as they are inside the domain."""
    low, high = target.domain.lower[0], target.domain.upper[0]
    places: set[Fraction] = set()
    for number, center in enumerate(circuit.folds):
        points = {center}
        for earlier in reversed(circuit.folds[:number]):
            points = {earlier + sign * point for point in points if point >= 0 for sign in (1, -1)}
        places |= points
    return sorted(place for place in places if low < place < high)
