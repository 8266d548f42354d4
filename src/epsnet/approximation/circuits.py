r"""Deep networks for smooth functions of one variable: a squaring circuit, its levels, and its certificate.

A polynomial made of k squarings (`circuit_fit`) is brought to the form of `core.circuit`, its coefficients rounded to
few bits, and its squarings replaced by ReLU chains. The lengths m_j of the chains are the ones with the fewest weights
that the bound

$$ |F - P| + \sum_j 2^{-2 m_j - 3} \sup |\partial P / \partial u_j| \le eps $$

allows; a bisection of the domain then proves it in ball arithmetic (rule `circuit`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.approximation.circuit_fit import Fit, fit_circuit, squares_of
from epsnet.approximation.piecewise_linear import power_of_two_above
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import round_down, round_up
from epsnet.checker.rules.exact import rounding_bound
from epsnet.core.circuit import Affine, Circuit, Stage
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network
from epsnet.core.squares import square_error
from epsnet.core.target import Target
from epsnet.enclosure.cover import bisect

Array = NDArray[np.float64]

_MOST_SQUARINGS = 5
_STARTS = 40
_BITS = 26
_LAST_BITS = 46
_GRID = 2001


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
    for candidate in sorted(_candidates(target, eps, seed), key=lambda candidate: candidate.network().size.weights):
        try:
            return _certified(target, candidate, eps)
        except CertificateError as error:
            best, failure = min(best, error.achieved), error
    raise CertificateError(
        f"No circuit of at most {_MOST_SQUARINGS} squarings was proved to be within {float(eps):.3g}. "
        f"Ask for a larger eps, or use the method piecewise-linear.",
        asked=float(eps), achieved=best,
    ) from failure  # fmt: skip


def _candidates(target: Target, eps: Fraction, seed: int) -> Iterator[Circuit]:
    for folds in _fold_choices(target):
        view = _Folded.of(target, folds)
        for count in range(1, _MOST_SQUARINGS + 1):
            close = [fit for fit in fit_circuit(view.on_unit, count, starts=_STARTS, seed=seed) if fit.error < eps]
            for fit in close[:6]:
                circuit = _circuit(view, fit, eps)
                if circuit is not None:
                    yield circuit
            if close and close[0].error < float(eps) / 1000:
                break


@dataclass(frozen=True, slots=True)
class _Folded:
    """A formula as a function of t in [low, high], where t is x after the folds."""

    target: Target
    folds: tuple[Fraction, ...]
    low: Fraction
    high: Fraction
    signs: tuple[int, ...]

    @classmethod
    def of(cls, target: Target, folds: tuple[Fraction, ...]) -> _Folded:
        low, high, signs = target.domain.lower[0], target.domain.upper[0], []
        for center in folds:
            signs.append(1 if high - center >= center - low else -1)
            low, high = Fraction(0), max(high - center, center - low)
        return cls(target, folds, low, high, tuple(signs))

    def on_unit(self, tau: Array) -> Array:
        """Return F at the points t = low + (high - low)(tau + 1)/2."""
        return self(float(self.low) + float(self.high - self.low) * (tau + 1) / 2)

    def __call__(self, t: Array) -> Array:
        x = t
        for center, sign in zip(reversed(self.folds), reversed(self.signs), strict=True):
            x = float(center) + sign * x
        return self.target(np.clip(x, float(self.target.domain.lower[0]), float(self.target.domain.upper[0])))


def _fold_choices(target: Target) -> list[tuple[Fraction, ...]]:
    """Return the ways to fold the domain at centers of symmetry of the formula: none, one, or one after the other."""
    choices: list[tuple[Fraction, ...]] = [()]
    while True:
        view = _Folded.of(target, choices[-1])
        center = _even_center(view)
        if center is None or len(choices) > 4:
            return choices
        choices.append((*choices[-1], center))


def _even_center(view: _Folded) -> Fraction | None:
    """Return the center inside [low, high] that is nearest to the middle and about which the formula is even."""
    low, high = float(view.low), float(view.high)
    grid = np.linspace(low, high, 4 * _GRID)
    values = view(grid)
    scale = np.ptp(values)
    slopes = np.diff(values)
    turns = [i for i in range(1, len(slopes)) if slopes[i - 1] * slopes[i] <= 0]
    places = [_turning_point(view, grid[i - 1], grid[i + 1]) for i in turns[:64]]
    for center in sorted({(low + high) / 2, *places}, key=lambda c: abs(c - (low + high) / 2)):
        reach = min(center - low, high - center)
        if reach < (high - low) / 16:
            continue
        t = np.linspace(0, reach, _GRID)
        if np.abs(view(center + t) - view(center - t)).max() <= 1e-11 * scale:
            exact = (view.low + view.high) / 2
            return exact if center == (low + high) / 2 else Fraction(round(center * 2**40), 2**40)
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


def _circuit(view: _Folded, fit: Fit, eps: Fraction) -> Circuit | None:
    """Return the circuit of a fit with the cheapest levels that eps allows, or None if rounding took too much."""
    forms = _unit_forms(view, fit, _margin(eps))
    t = float(view.low) + float(view.high - view.low) * (np.cos(np.linspace(0, np.pi, _GRID)) + 1) / 2
    wanted = view(t)
    basis = [np.ones_like(t), t]
    for form in forms:
        basis.append(_values(form, basis) ** 2)
    output = tuple(Fraction(value) for value in _minimax(np.stack(basis, axis=1), wanted))
    functionals = [*forms, output]
    beside = [_beside(functionals, j) for j in range(len(forms))]
    levels = _cheapest_levels(
        [7 + len(kept) for kept, _ in beside],
        _sensitivities(functionals, basis),
        float(eps) * (1 - 2.0**-6) - float(np.abs(_values(output, basis) - wanted).max()),
    )
    if levels is None:
        return None
    stages: list[Stage] = []
    # What the signals mean, as functions of t and of the squares, and their values on the grid.
    known: list[Affine] = [(Fraction(0), Fraction(1))]
    signals = [t]
    form = forms[0]
    for j, (level, (kept, first)) in enumerate(zip(levels, beside, strict=True)):
        v = _values(form, [np.ones_like(t), *signals])
        exact_in_t = j == 0
        carried, meanings, carried_values = [], [], []
        for functional in (*kept, *first):
            factors = _round_all(_solve(functional, known))
            values = _values((Fraction(0), *factors), [np.ones_like(t), *signals])
            lowest = Fraction(0) if exact_in_t and view.low == 0 and min(factors) >= 0 else Fraction(values.min())
            shift = _shift(lowest, exact_in_t)
            carried.append((shift, *factors))
            meanings.append((functional[0] + shift, *functional[1:]))
            carried_values.append(values + float(shift))
        following = functionals[j + 1]
        here = [np.ones_like(t), v, *carried_values]
        u = v**2 + float(square_error(level))
        if j + 1 < len(forms):
            gain = _rounded(following[-1], _BITS)
            factors = _round_all(_solve(following[:-1], [forms[j], *meanings]))
        else:
            best = _minimax(np.stack([*here, u], axis=1), wanted)
            gain = _rounded(best[-1], _LAST_BITS)
            factors = tuple(_rounded(value, _LAST_BITS) for value in best[1:-1])
        rest = _values((Fraction(0), *factors), here)
        least = np.maximum(v**2 - 0.25, 0) if gain > 0 else v**2 + 1 / 16
        shift = _shift(Fraction((rest + float(gain) * least).min()), not any(factors) and gain > 0)
        stages.append(Stage(form, tuple(carried), len(kept), gain, (shift, *factors), level))
        following_values = rest + float(shift) + float(gain) * u
        signals = [following_values, *carried_values[: len(kept)]]
        # The next v is the output of this chain, moved by a constant: what the rounding left is taken up there.
        aim = wanted if j + 1 == len(forms) else _values(functionals[j + 1], basis[: j + 3])
        gap = aim - following_values
        offset = Fraction((gap.max() + gap.min()) / 2)
        offset = _rounded(offset, _LAST_BITS if j + 1 == len(forms) else _BITS)
        form = (offset, Fraction(1), *(Fraction(0),) * len(kept))
        known = [_moved(functionals[j + 1], -offset), *meanings[: len(kept)]]
    return Circuit(view.folds, tuple(stages), form)


def _values(affine: Affine, arguments: Sequence[Array]) -> Array:
    """Return a_0 y_0 + a_1 y_1 + ... in float64; y_0 = 1."""
    return np.stack(arguments, axis=1) @ np.array([float(a) for a in affine])


def _moved(affine: Affine, offset: Fraction) -> Affine:
    return (affine[0] + offset, *affine[1:])


def _beside(functionals: Sequence[Affine], j: int) -> tuple[list[Affine], list[Affine]]:
    """Return what chain j carries along to its end, and what only to its first layer, over t and the squares before.

    Modulo the output v_{j+1} of the chain, its square u_j can be eliminated from all that is formed later; what is left
    of that is kept. The sum of the chain starts from the rest of v_{j+1}: if that is no combination of v_j and of what
    is kept, it is a signal of its own.
    """
    width = j + 2
    linear, gain = functionals[j + 1][:width], functionals[j + 1][width]
    kept: list[Affine] = []
    for later in functionals[j + 2 :]:
        left = tuple(a - later[width] / gain * b for a, b in zip(later[:width], linear, strict=True))
        left = (Fraction(0), *left[1:])
        largest = max(map(abs, left))
        if largest and _solve(left, kept) is None:
            kept.append(tuple(value / largest for value in left))
    spanned = _solve(linear, [functionals[j], *kept]) is not None
    return kept, [] if spanned else [(Fraction(0), *linear[1:])]


def _solve(target: Affine, rows: Sequence[Affine]) -> tuple[Fraction, ...] | None:
    """Return factors with sum_i factor_i rows_i = target up to the constants, or None if there are none."""
    system = [[row[k] if k < len(row) else Fraction(0) for row in rows] + [target[k]] for k in range(1, len(target))]
    pivots: dict[int, int] = {}
    for column in range(len(rows)):
        here = len(pivots)
        row = next((i for i in range(here, len(system)) if system[i][column] != 0), None)
        if row is None:
            continue
        system[here], system[row] = system[row], system[here]
        pivot = system[here][column]
        system[here] = [value / pivot for value in system[here]]
        for i, other in enumerate(system):
            if i != here and other[column] != 0:
                system[i] = [a - other[column] * b for a, b in zip(other, system[here], strict=True)]
        pivots[column] = here
    if any(line[-1] != 0 for line in system[len(pivots) :]):
        return None
    return tuple(system[pivots[column]][-1] if column in pivots else Fraction(0) for column in range(len(rows)))


def _round_all(values: Sequence[Fraction] | None) -> tuple[Fraction, ...]:
    if values is None:
        raise HypothesisError("A signal of the circuit is not at hand where it is needed. Use piecewise-linear.")
    return tuple(_rounded(value, _BITS) for value in values)


def _margin(eps: Fraction) -> Fraction:
    """Return how far the v_j stay from 0 and 1, so that rounding and the errors of the chains cannot push them out."""
    return min(max(Fraction(1, 2**12), _rounded(8 * eps, 3)), Fraction(1, 2**5))


def _unit_forms(view: _Folded, fit: Fit, margin: Fraction) -> list[Affine]:
    """Return the v_j of a fit, each moved and scaled to [0, 1], over t and the squares of the ones before."""
    one: Affine = (Fraction(1),)
    length = view.high - view.low
    tau: Affine = (-1 - 2 * view.low / length, 2 / length)
    basis = [one, tau]
    forms: list[Affine] = []
    for j, values in enumerate(squares_of(fit.inner, np.cos(np.linspace(0, np.pi, _GRID)))[0]):
        steps = zip(fit.inner[j - 1], basis, strict=False) if j else ()
        v = _sum([(Fraction(1), basis[-1]), *((Fraction(c), b) for c, b in steps)])
        low, high = Fraction(values.min()), Fraction(values.max())
        gain = (1 - 2 * margin) / (high - low)
        offset = margin - gain * low
        form = _sum([(gain, v), (offset, one)])
        if j == 0:
            form = _first_form(view, margin)
            gain = form[1] * length / 2
            offset = form[0] + form[1] * (view.low + view.high) / 2
        forms.append(form)
        # v = (s - offset)/gain: v^2 = (s^2 - 2 offset s + offset^2)/gain^2, and s^2 is the new basis function.
        square: Affine = (*(Fraction(0),) * (j + 2), Fraction(1))
        expanded = _sum([(Fraction(1), square), (-2 * offset, form), (offset**2, one)])
        basis.append(tuple(value / gain**2 for value in expanded))
    return forms


def _first_form(view: _Folded, margin: Fraction) -> Affine:
    """Return v_1 = (t - low)/(high - low), rounded so that it stays in [0, 1]."""
    gain = 1 / (view.high - view.low)
    slope = _rounded(gain, _BITS)
    if slope > gain:
        slope = _rounded(gain * (1 - Fraction(1, 2**_BITS)), _BITS)
    start = -slope * view.low
    if is_float64(start):
        return start, slope
    return _rounded(start + margin, _BITS), _rounded(slope * (1 - 2 * margin), _BITS)


def _sum(terms: Sequence[tuple[Fraction, Affine]]) -> Affine:
    width = max(len(functional) for _, functional in terms)
    total = [Fraction(0)] * width
    for factor, functional in terms:
        for index, value in enumerate(functional):
            total[index] += factor * value
    return tuple(total)


def _rounded(value: float | Fraction, bits: int) -> Fraction:
    """Return the nearest rational with so many significant bits."""
    exact = Fraction(value)
    if exact == 0:
        return exact
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length() - bits
    unit = Fraction(2) ** exponent
    return round(exact / unit) * unit


def _minimax(matrix: Array, wanted: Array) -> Array:
    """Return the coefficients of the best uniform approximation on a grid."""
    from scipy.optimize import linprog

    start = np.asarray(np.linalg.lstsq(matrix, wanted, rcond=None)[0], dtype=np.float64)
    residual = wanted - matrix @ start
    unit, size = max(float(np.abs(residual).max()), 1e-300), np.linalg.norm(matrix, axis=0)
    rows = np.concatenate([matrix / size, -matrix / size])
    rows = np.concatenate([rows, -np.ones((len(rows), 1))], axis=1)
    cost = np.zeros(rows.shape[1])
    cost[-1] = 1
    bounds = [(None, None)] * (len(cost) - 1) + [(0, None)]
    solved = linprog(cost, A_ub=rows, b_ub=np.concatenate([residual, -residual]) / unit, bounds=bounds, method="highs")
    return start if solved.x is None else np.asarray(start + solved.x[:-1] * unit / size, dtype=np.float64)


def _sensitivities(functionals: Sequence[Affine], basis: Sequence[Array]) -> list[float]:
    """Return sup |dP/du_j| on a grid, where the basis has the values of 1, t, u_1, ..., u_k."""
    *forms, output = functionals
    slopes = [np.full_like(basis[0], float(b)) for b in output[2:]]
    for j in range(len(forms) - 1, 0, -1):
        through = slopes[j] * 2 * _values(forms[j], basis[: j + 2])
        for i in range(j):
            slopes[i] = slopes[i] + through * float(forms[j][2 + i])
    return [float(np.abs(slope).max()) for slope in slopes]


def _cheapest_levels(costs: Sequence[int], weights: Sequence[float], budget: float) -> tuple[int, ...] | None:
    """Return the levels m_j that minimize sum_j costs_j m_j with sum_j weights_j 2^(-2 m_j - 3) <= budget."""
    if budget <= 0:
        return None
    least = [max(1, int(np.ceil((np.log2(w / budget) - 3) / 2))) if w > 0 else 1 for w in weights]
    choices = itertools.product(*(range(m, m + 5) for m in least))
    within = (ms for ms in choices if sum(w * 2.0 ** (-2 * m - 3) for w, m in zip(weights, ms, strict=True)) <= budget)
    return min(within, key=lambda ms: sum(c * m for c, m in zip(costs, ms, strict=True)), default=None)


def _shift(lowest: Fraction, exact: bool) -> Fraction:
    """Return a number with few bits that keeps a signal nonnegative, 0 where nothing needs to be moved."""
    margin = Fraction(0) if exact else Fraction(1, 128)
    return Fraction(0) if lowest >= margin else Fraction(int((margin - lowest) * 64) + 1, 64)


def _certified(target: Target, circuit: Circuit, eps: Fraction) -> DeepNetwork:
    """Prove a circuit. CertificateError if that fails."""
    network = circuit.network()
    rounding_limit = power_of_two_above(rounding_bound(network, target.domain))
    limit = Fraction(round_down(eps - Fraction(rounding_limit)))

    def enclose(lower: tuple[Fraction, ...], upper: tuple[Fraction, ...]) -> arb:
        bound, local = circuit.enclose(target.expression, target.variables[0], lower[0], upper[0])
        return bound if local.holds else arb("inf")

    value, tree = bisect(target.domain, enclose, limit, _cuts(circuit, target))
    subjects = {"domain": target.domain, "network": network.sha256}
    rounding = Bound(
        quantity="rounding", sense="<=", value=rounding_limit, norm="sup", kind=Kind.PROVED, arithmetic="float64",
        theorem="dot-product-rounding", rule="exact", **subjects,
    )  # fmt: skip
    cells = int((tree["axis"] < 0).sum())
    exact_error = Bound(
        quantity="error", sense="<=", value=value, norm="sup", kind=Kind.VERIFIED, theorem="squaring-circuit",
        rule="circuit", target=target.sha256, **subjects,
        hypotheses=(f"{cells} cells cover {target.domain}", f"{len(circuit.stages)} squarings"),
    )  # fmt: skip
    total = exact_error.limit + rounding.limit
    error = Bound(
        quantity="error", sense="<=", value=round_up(total), exact=total, norm="sup", kind=Kind.VERIFIED,
        arithmetic="float64", theorem="triangle", rule="algebra", premises=(exact_error, rounding),
        target=target.sha256, **subjects,
    )  # fmt: skip
    return DeepNetwork(network, circuit, error, ((exact_error, {**tree, **circuit.to_arrays()}),))


def _cuts(circuit: Circuit, target: Target) -> list[Fraction]:
    """Return the places of x at which a fold lies, as far as they are inside the domain."""
    low, high = target.domain.lower[0], target.domain.upper[0]
    places: set[Fraction] = set()
    for number, center in enumerate(circuit.folds):
        points = {center}
        for earlier in reversed(circuit.folds[:number]):
            points = {earlier + sign * point for point in points if point >= 0 for sign in (1, -1)}
        places |= points
    return sorted(place for place in places if low < place < high)
