r"""One neuron that approximates every continuous function of one variable: its weight is constructed, and it is long.

With the universal sigmoidal activations of `core.universal_activation` the network

$$ \Phi(x) = c_0 + c_1\, \sigma_E\Bigl(\frac{x - a}{b - a} + 2n\Bigr) $$

is the n-th polynomial of the enumeration E at t = (x - a)/(b - a), so for every continuous F and eps > 0 some n has
sup |F - Phi| <= eps on [a, b]. The catch is the number of bits of n. Here n is searched for:

* "codec": a Chebyshev series with dyadic coefficients, found by minimax rounding; n is its code, so log2 n is the
  length of a file that holds the polynomial up to a factor and a constant.
* "calkin-wilf", the enumeration of Guliyev and Ismailov: coefficients c cost about 2^(sum of the continued fraction of
  c) bits each, so the cheapest rationals are taken that linear programs allow, the higher coefficients first. What is
  found is an upper bound of the least n.

In d variables two hidden layers take the place of one: `approximation.superposition`.

Sources: as in `core.universal_activation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import round_down
from epsnet.core.box_forms import box_difference
from epsnet.core.exact_forms import form_difference
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Network
from epsnet.core.target import Target
from epsnet.core.universal_activation import delta_code, slot
from epsnet.enclosure.cover import bisect

Array = NDArray[np.float64]
Enumeration = Literal["codec", "calkin-wilf"]

MAX_WEIGHT_BITS = 13_000
"""Longer weights cannot be stored in a file."""

_POINTS = 129
_FEW_POINTS = 41
_MOST_COEFFICIENTS = 400
_FEW = 12
_COMBINATIONS = 4096
_SLACK = 1 - 2.0**-14
_TRIES = {1: (), 2: (1,), 3: (24, 1), 4: (6, 6, 1)}
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class UniversalNetwork:
    """A network of fixed size whose weights hold the function.

    Attributes:
        network: in exact arithmetic; float64 evaluation is refused.
        error: sup |F - Phi| <= eps in exact arithmetic.
        witness: what its rule needs, for `Certificate.of`.
        weight_bits: the binary digits of the long weights: what names the function among all.
    """

    network: Network
    error: Bound
    witness: Witness
    weight_bits: int


def universal_network(target: Target, eps: Fraction, enumeration: Enumeration = "codec") -> UniversalNetwork:
    """Return the one-neuron network with the shortest weight that this search finds and proves.

    Args:
        target: a formula in one variable.
        eps: the accuracy in the sup norm, > 0.
        enumeration: of the polynomials in the activation.

    Raises:
        HypothesisError: the formula has several variables.
        CertificateError: no weight of at most `MAX_WEIGHT_BITS` bits was found and proved.
    """
    require_one_variable(target)
    shortest = 0
    for choice in _codec_choices(target, eps) if enumeration == "codec" else _calkin_wilf_choices(target, eps):
        shortest = shortest or choice.bits
        if choice.bits > MAX_WEIGHT_BITS:
            break
        network = _neuron(target, enumeration, choice)
        try:
            error, witness = verified(target, network, eps)
        except CertificateError:
            continue
        return UniversalNetwork(network, error, witness, choice.bits)
    raise CertificateError(
        f"No weight of at most {MAX_WEIGHT_BITS} bits was proved to give {float(eps):.3g}"
        f"{f'; the shortest found has {shortest} bits' if shortest else ''}. Ask for a larger eps.",
        asked=float(eps), achieved=float("inf"),
    )  # fmt: skip


def calkin_wilf_bits(target: Target, eps: Fraction) -> int | None:
    """Return the digits of the least index that the search finds, however long; on a sample, so ESTIMATED; or None."""
    require_one_variable(target)
    return next((choice.bits for choice in _calkin_wilf_choices(target, eps)), None)


def verified(
    target: Target, network: Network, eps: Fraction, *cuts: Sequence[Fraction]
) -> tuple[Bound, dict[str, NDArray]]:
    """Bound the error of a network with universal activations, with the witness for rule `universal`.

    Args:
        target: a formula.
        network: of as many inputs and one output; in several variables all activations have to have a model.
        eps: what is to be reached.
        cuts: for each axis, or for none, where to cut the domain first, sorted float64 numbers.

    Raises:
        CertificateError: the error could not be bounded by eps.
    """
    domain, difference = target.domain, form_difference if target.domain.dimension == 1 else box_difference

    def enclose(lower: tuple[Fraction, ...], upper: tuple[Fraction, ...]) -> arb:
        low, high = difference(target.expression, target.variables, network, lower, upper)
        return high.max(-low)

    value, tree = bisect(domain, enclose, Fraction(round_down(eps)), *cuts)
    error = Bound(
        quantity="error", sense="<=", value=value, norm="sup", domain=domain, kind=Kind.VERIFIED,
        theorem="exact-forms", rule="universal", hypotheses=(f"{int((tree['axis'] < 0).sum())} cells cover {domain}",),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return error, tree


def require_one_variable(target: Target) -> None:
    """HypothesisError unless the formula has one variable."""
    if target.domain.dimension != 1:
        raise HypothesisError(
            f"Universal networks are built for one variable, the formula has {target.domain.dimension}. "
            f"Fix all but one."
        )


def bits_of_weights(network: Network) -> int:
    """Return the binary digits of all weights and biases: of numerators and denominators, and one for each sign."""
    numbers = [Fraction(b) for layer in network.layers for b in layer.bias_values()]
    for layer in network.layers:
        numbers += [Fraction(value) for _, linear in layer.terms for value in linear.entries()[2]]
    return sum(abs(v.numerator).bit_length() + v.denominator.bit_length() for v in numbers if v)


@dataclass(frozen=True, slots=True, order=True)
class _Choice:
    """The polynomial `gain` p_n + `offset`; `bits` are those of n."""

    bits: int
    index: int = 0
    gain: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)


def _neuron(target: Target, enumeration: Enumeration, choice: _Choice) -> Network:
    a, b = target.domain.lower[0], target.domain.upper[0]
    c0, c1 = slot(enumeration, choice.index).output
    hidden = linear_map((1, 1), {(0, 0): 1 / (b - a)}), bias_vector([2 * choice.index - a / (b - a)])
    last = linear_map((1, 1), {(0, 0): choice.gain * c1}), bias_vector([choice.gain * c0 + choice.offset])
    return Network.from_layers([hidden, last], f"sigma-{enumeration}")


def _samples(target: Target, count: int) -> tuple[Array, Array]:
    """Return t in [0, 1] and F there, at the extremal points of T_(count - 1)."""
    t = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
    a, b = float(target.domain.lower[0]), float(target.domain.upper[0])
    return t, target(np.clip(a + (b - a) * t, a, b))


def chebyshev_coefficients(target: Target) -> Array:
    """Return the coefficients of F in T_0(2t - 1), ..., T_400(2t - 1), t in [0, 1]; in float64, no error bound."""
    t, values = _samples(target, 8 * _MOST_COEFFICIENTS + 1)
    return np.asarray(np.polynomial.chebyshev.chebfit(2 * t - 1, values, _MOST_COEFFICIENTS), dtype=np.float64)


def _codec_choices(target: Target, eps: Fraction) -> Iterator[_Choice]:
    """Yield codes of polynomials within eps on a sample, the shorter ones first."""
    limit, series = float(eps) * _SLACK, chebyshev_coefficients(target)
    tails = np.cumsum(np.abs(series[::-1]))[::-1]
    start = -int(np.floor(np.log2(limit)))
    found: set[_Choice] = set()
    successes = 0
    for degree in range(max(int(np.argmax(tails <= 4 * limit)) - 3, 0), _MOST_COEFFICIENTS):
        t, values = _samples(target, max(_POINTS, 8 * degree + 1))
        basis = np.cos(np.arccos(2 * t - 1)[:, None] * np.arange(degree + 1))
        wanted = _minimax(basis, values) if degree < _FEW else series[: degree + 1]
        for precision in range(start - 3, start + 5):
            rounded = _rounded(basis, values, wanted, 2.0**-precision, limit)
            if rounded is not None:
                text = "1" + "".join(delta_code(_unsigned(m) + 1) for m in rounded[1:])
                rest = values - 2.0**-precision * basis[:, 1:] @ np.array(rounded[1:], dtype=float)
                offset = _shortest(float(rest.max()) - limit, float(rest.min()) + limit)
                found.add(_Choice(len(text), int(text, 2), Fraction(2) ** -precision, offset))
        successes += bool(found)
        if successes == 5 or (degree > _MOST_COEFFICIENTS // 2 and not successes):
            break
    yield from sorted(found)


def _rounded(basis: Array, values: Array, wanted: Array, unit: float, limit: float) -> list[int] | None:
    """Return short integers m with |values - unit basis m| <= limit, or None.

    A few coefficients are rounded in all ways to the integers near them, many just to the nearest ones; then one
    after the other is replaced by a shorter one as long as the limit holds. The first one is no part of the code.
    """
    count = basis.shape[1]
    nearest = np.rint(wanted / unit)
    large = np.abs(wanted) > unit / 16  # half of the coefficients of an even function are 0
    if large.sum() <= _FEW:
        width = max(int(_COMBINATIONS ** (1 / max(large.sum(), 1))), 2)
        offsets = np.arange(width) - (width - 1) // 2
        choices = np.meshgrid(*(np.floor(value / unit) + offsets for value in wanted[large]), indexing="ij")
        every = np.zeros((choices[0].size if choices else 1, count))
        every[:, large] = np.stack([choice.ravel() for choice in choices], axis=1) if choices else 0
        errors = np.abs(values - unit * every @ basis.T).max(axis=1)
        inside = every[errors <= limit]
        nearest = min(inside.tolist(), key=_length) if len(inside) else every[np.argmin(errors)]
    m = [int(value) for value in nearest]
    residual = values - unit * basis @ np.array(m, dtype=float)
    for j in 2 * list(range(count)):
        shorter = sorted({0, *(m[j] + step for step in range(-4, 5)), *_one_digit_less(m[j])}, key=_cost)
        moved = [residual + unit * basis[:, j] * (m[j] - value) for value in shorter]
        worst = [float(np.abs(error).max()) for error in moved]
        # The shortest that is within the limit; while nothing is, the closest.
        inside = [i for i, error in enumerate(worst) if error <= limit and j > 0]
        best = inside[0] if inside else int(np.argmin(worst))
        residual, m[j] = moved[best], shorter[best]
    return m if np.abs(residual).max() <= limit else None


def _shortest(low: float, high: float) -> Fraction:
    """Return the dyadic number in [low, high] with the fewest binary places."""
    places = 0
    while places < 1000 and math.ceil(low * 2**places) > high * 2**places:
        places += 1
    return Fraction(math.ceil(low * 2**places), 2**places)


def _length(integers: Sequence[float]) -> int:
    return sum(_cost(int(value))[0] for value in integers[1:])


def _unsigned(value: int) -> int:
    return 2 * value - 1 if value > 0 else -2 * value


def _cost(value: int) -> tuple[int, int]:
    return len(delta_code(_unsigned(value) + 1)), abs(value)


def _one_digit_less(value: int) -> list[int]:
    """Return the longest integer that has a code one digit shorter."""
    size = abs(value).bit_length() - 1
    return [] if size < 1 else [(1 if value > 0 else -1) * (2**size - 1)]


def _minimax(basis: Array, values: Array) -> Array:
    """Return c that minimizes max |values - basis c|."""
    from scipy.optimize import linprog

    count = basis.shape[1]
    one = np.ones((len(basis), 1))
    scale = float(np.abs(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]).max()) or 1.0
    found = linprog(
        np.r_[np.zeros(count), 1.0], A_ub=np.block([[basis, -one], [-basis, -one]]),
        b_ub=np.r_[values, -values] / scale, bounds=[(None, None)] * count + [(0, None)], method="highs-ds",
    )  # fmt: skip
    best = found.x[:-1] * scale if found.status == 0 else np.linalg.lstsq(basis, values, rcond=None)[0]
    return np.asarray(best, dtype=np.float64)


def _affine(target: Target, index: int, limit: float) -> tuple[Fraction, Fraction]:
    """Return a multiple of a polynomial and a constant within the limit of F on a sample, rounded to few bits."""
    t, values = _samples(target, _POINTS)
    coefficients = [Fraction(int(c.p), int(c.q)) for c in slot("calkin-wilf", index).polynomial.coeffs()]
    p = np.polynomial.polynomial.polyval(t, [float(c) for c in coefficients]).astype(np.float64)
    best = _minimax(np.stack([np.ones_like(p), p], axis=1), values)
    digits, gain, offset = 0, float(best[1]), float(best[0])
    while digits < 53:
        gain, offset = (round(float(value) * 2**digits) / 2**digits for value in (best[1], best[0]))
        if np.abs(values - offset - gain * p).max() <= limit:
            break
        digits += 1
    return Fraction(gain), Fraction(offset)


def _calkin_wilf_choices(target: Target, eps: Fraction) -> Iterator[_Choice]:
    """Yield indices within eps on a sample, the shorter ones first; index 0 in place of one too long to be written."""
    t, values = _samples(target, _FEW_POINTS)
    found: list[tuple[int, tuple[Fraction, ...]]] = []
    for degree, tries in _TRIES.items():
        before = len(found)
        powers = np.vander(t, degree + 1, increasing=True)
        found += [(_bits_of(c), c) for c in _cheap(powers, values, float(eps) * _SLACK, tries, ())]
        if before:
            break
    for bits, coefficients in sorted(found)[:8]:
        if bits > MAX_WEIGHT_BITS:
            yield _Choice(bits)
        else:
            index = _index_of(coefficients)
            yield _Choice(bits, index, *_affine(target, index, float(eps) * _SLACK))


def _cheap(
    powers: Array, values: Array, limit: float, tries: Sequence[int], chosen: tuple[Fraction, ...]
) -> Iterator[tuple[Fraction, ...]]:
    """Yield (r_1, ..., r_{d-1}) for which some multiple of t^d + sum r_i t^i + const is within the limit on a sample.

    What is left free, the lower r_i and the inverse of the multiple, has to satisfy linear inequalities; the range of
    the highest of them is where its cheapest rationals are looked for.
    """
    degree = powers.shape[1] - 1
    free = degree - 1 - len(chosen)
    for low, high in _ranges(powers, values, limit, free, chosen):
        if free == 0:
            yield chosen
        else:
            for value in _cheapest(low, high, tries[len(chosen)]):
                yield from _cheap(powers, values, limit, tries, (value, *chosen))


def _ranges(
    powers: Array, values: Array, limit: float, free: int, chosen: tuple[Fraction, ...]
) -> Iterator[tuple[float, float]]:
    from scipy.optimize import linprog

    known = powers[:, free + 1 :] @ np.array([*map(float, chosen), 1.0])
    low = powers[:, : free + 1]
    for sign in (1, -1):
        # Unknowns: u_0, ..., u_free and tau > 0 with |known + sum u_i t^i - sign tau F| <= limit tau.
        rows = np.block([[low, (-sign * values - limit)[:, None]], [-low, (sign * values - limit)[:, None]]])
        ends = []
        for direction in (1, -1):
            cost = np.zeros(free + 2)
            cost[free] = direction
            found = linprog(
                cost, A_ub=rows, b_ub=np.r_[-known, known], bounds=[(-1e3, 1e3)] * (free + 1) + [(0, None)],
                method="highs-ds",
            )  # fmt: skip
            if found.status != 0:
                break
            ends.append(direction * float(found.fun))
        if len(ends) == 2:
            yield ends[0], ends[1]


def _cheapest(low: float, high: float, count: int) -> list[Fraction]:
    """Return the rationals in [low, high] with the least indices r_m, from the top of the Stern-Brocot tree."""
    found = [Fraction(0)] if low <= 0 <= high else []
    for sign, least, most in ((1, max(low, 0.0), high), (-1, max(-high, 0.0), -low)):
        level, own = [(0, 1, 1, 0)], 0
        for _ in range(_DEEPEST):
            following = []
            for p, q, r, s in level:
                middle = Fraction(p + r, q + s)
                if least <= middle <= most:
                    found.append(sign * middle)
                    own += 1
                following += [(p, q, p + r, q + s)] * (middle > least) + [(p + r, q + s, r, s)] * (middle < most)
            level = following if own < count else []
    return sorted(found, key=_place)[:count]


def _place(value: Fraction) -> int:
    """Return m with r_m = value: r_0 = 0, r_{2k} = q_k, r_{2k-1} = -q_k."""
    if value == 0:
        return 0
    p, q, index, digit = abs(value.numerator), value.denominator, 0, 1
    while (p, q) != (1, 1):
        # From the node of the Calkin-Wilf tree up to its root: right children have p > q and the last digit 1.
        index, digit = index + digit * (p > q), 2 * digit
        p, q = (p - q, q) if p > q else (p, q - p)
    return 2 * (index + digit) - (value < 0)


def _terms_of(coefficients: tuple[Fraction, ...]) -> list[int]:
    """Return the continued fraction that stands for t^d + sum_{0 < i < d} r_i t^i."""
    terms = [0, *(_place(value) + 1 for value in coefficients)]
    return [*terms[:-1], terms[-1] + 1 + (len(terms) == 1)]


def _bits_of(coefficients: tuple[Fraction, ...]) -> int:
    return sum(_terms_of(coefficients))


def _index_of(coefficients: tuple[Fraction, ...]) -> int:
    """Return n whose binary digits, last one first, have these run lengths."""
    terms = _terms_of(coefficients)
    if len(terms) % 2 == 0:
        terms = [*terms[:-1], terms[-1] - 1, 1]
    return int("".join(("1" if i % 2 == 0 else "0") * term for i, term in enumerate(terms))[::-1], 2)
