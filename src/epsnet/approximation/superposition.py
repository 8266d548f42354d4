r"""Networks with two hidden layers of fixed widths for functions of d variables, with all their weights.

V. Maiorov and A. Pinkus take 6d + 3 outer neurons that read 3d inner ones each; with the activation sigma_steps of
`core.universal_activation`, one neuron of which is any sum of steps, far fewer inner neurons do:

$$ \Phi(x) = \gamma + \sum_{q=0}^{6d+2} d_q\, \sigma\Bigl(\gamma_q + \sum_{p=1}^{d} c_{qp}\,
   \sigma(w_p x_p + \theta_{qp})\Bigr), $$

where the outer neuron 6d + 2 reads one inner neuron only: d (6d + 2) + 1 distinct inner neurons of the 3d (6d + 3) that
the theorem allows, in which w, theta and c depend on q. As in Kolmogorov's superposition theorem, the inner neurons
number cells and the outer ones hold values; unlike there, one function of the last variable is split off.

**Construction.** Let xi_p = N_p (x_p - a_p)/(b_p - a_p). For q < Q = 6d + 2 the inner neuron p is a staircase that
counts the gaps around i + (q + 1/2)/Q that xi_p has passed: gaps of different q are disjoint, so xi_p is in the gap of
at most one q. What the outer neuron q reads is the number of the cell of x in row-major order, and it gives the cell
the value v_q. The neuron 6d + 2 is a function b(x_d) with Q N_d steps. With F = b(x_d) + a(x_1) + R, where 0 is the
middle of the range of R(x_1, .) for every x_1,

$$ v_q = \frac{a}{Q} + \frac{R}{Q - 1} \quad\text{at the center of the cell.} $$

Where no coordinate is in a gap, the sum of the v_q is the mean of a + R over Q cells whose centers lie evenly around x,
plus R/(Q - 1). In a gap of the last coordinate the number of the cell moves to the next one. In a gap of another one it
runs through the numbers of all cells in between, so one of Q terms takes other values of R/(Q - 1) in place of its own.
So for d = 2 and smooth F the error for many cells tends to at most

$$ \frac1{2(Q-1)} \max_{x_1} \operatorname{osc} (F(x_1, \cdot) - b), \qquad 2(Q - 1) = 26. $$

Smaller errors take a second level of cells, for the error of the first, inside the same neurons, and so on, which is
how Lorentz proves Kolmogorov's theorem. That is not built here.

Sources: V. Maiorov, A. Pinkus, Lower bounds for approximation by MLP neural networks, Neurocomputing 25 (1999) 81-91,
theorem 4; G. G. Lorentz, Metric entropy, widths, and superpositions of functions, Amer. Math. Monthly 69 (1962)
469-485; N. J. Guliyev, V. E. Ismailov, Approximation capability of two hidden layer feedforward neural networks with
fixed weights, Neurocomputing 316 (2018) 262-269.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from flint import arb
from numpy.typing import NDArray

from epsnet.approximation.universal import MAX_WEIGHT_BITS, UniversalNetwork
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.errors import CertificateError, HypothesisError
from epsnet.certify.rounding import round_down
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Network
from epsnet.core.step_ranges import StepRanges, step_difference
from epsnet.core.target import Target
from epsnet.core.universal_activation import delta_code
from epsnet.core.universal_activation import steps as decoded
from epsnet.enclosure.cover import bisect

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_SAMPLES = 129
_FEW_SAMPLES = 17
_MOST_CELLS = 32
_SLACK = 31 / 32
"""The part of eps that the error of the values may have before they are rounded."""


def superposition_network(target: Target, eps: Fraction) -> UniversalNetwork:
    """Return the network of 6d + 3 outer neurons with the fewest cells that are found and proved to suffice.

    Args:
        target: a formula in two or more variables.
        eps: the accuracy in the sup norm, > 0.

    Raises:
        HypothesisError: the formula has one variable.
        CertificateError: eps is below what one level of cells reaches, or the weights would be too long.
    """
    dimension = target.domain.dimension
    if dimension < 2:
        raise HypothesisError("A superposition is built for several variables. Use one neuron for one variable.")
    reached = math.inf
    for cells in _shapes(dimension):
        plan = _Plan(target, cells)
        reached = min(reached, plan.error(plan.values, plan.own))
        if reached > _SLACK * eps:
            continue
        network, lengths = plan.network(float(eps))
        if max(lengths) > MAX_WEIGHT_BITS:
            break
        try:
            error, witness = _verified(target, network, eps, plan.cuts())
        except CertificateError:
            continue
        return UniversalNetwork(network, error, witness, sum(lengths))
    raise CertificateError(
        f"No network with weights of at most {MAX_WEIGHT_BITS} bits was found within {float(eps):.3g}; the best design "
        f"is within {reached:.3g}. Ask for a larger eps.",
        asked=float(eps), achieved=reached,
    )  # fmt: skip


def _shapes(dimension: int) -> Iterator[tuple[int, ...]]:
    """Yield N_1, ..., N_d: all equal, or the last one twice as large, the fewest cells first."""
    for n in range(1, _MOST_CELLS + 1):
        for last in (n, 2 * n):
            if last * n ** (dimension - 1) <= _MOST_CELLS**2:
                yield (*(n,) * (dimension - 1), last)


def _verified(
    target: Target, network: Network, eps: Fraction, cuts: Sequence[Sequence[Fraction]]
) -> tuple[Bound, dict[str, NDArray]]:
    """Bound the error, with the witness for rule `steps`."""
    ranges, domain = StepRanges(network), target.domain

    def enclose(lower: tuple[Fraction, ...], upper: tuple[Fraction, ...]) -> arb:
        low, high = step_difference(target, ranges, lower, upper)
        return high.max(-low)

    value, tree = bisect(domain, enclose, Fraction(round_down(eps)), *cuts)
    error = Bound(
        quantity="error", sense="<=", value=value, norm="sup", domain=domain, kind=Kind.VERIFIED,
        theorem="step-ranges", rule="steps", hypotheses=(f"{int((tree['axis'] < 0).sum())} cells cover {domain}",),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return error, tree


class _Plan:
    """The values of the cells of one shape; places are counted in cells.

    Attributes:
        values: v_q of the cells in row-major order, (Q, cells).
        own: b at the multiples of 1/Q.
    """

    def __init__(self, target: Target, cells: tuple[int, ...]) -> None:
        self._target, self._cells = target, cells
        self._last, self._families = len(cells) - 1, 6 * len(cells) + 2
        # A gap is this part of a cell; gaps of the last coordinate do no harm and may be wide.
        wide = 2 ** (self._families - 1).bit_length()
        self._gaps = [Fraction(1, wide if p == self._last else 8 * wide) for p in range(len(cells))]
        self._strides = [math.prod(n + 1 for n in cells[p + 1 :]) for p in range(len(cells))]
        self._ends = [self._places_of_change(p) for p in range(len(cells))]
        samples = [
            self._formula(*np.ix_(*places))
            for places in itertools.product(*([e[:-1], (e[:-1] + e[1:]) / 2, e[1:]] for e in self._ends))
        ]
        self._least, self._most = np.min(samples, axis=0), np.max(samples, axis=0)
        self.values, self.own = self._design()

    def _formula(self, *xi: Array) -> Array:
        domain = self._target.domain
        ends = zip(xi, domain.lower, domain.upper, self._cells, strict=True)
        points = [float(a) + float(b - a) / n * x for x, a, b, n in ends]
        return np.asarray(self._target(np.stack(np.broadcast_arrays(*points), axis=-1)))

    def _places_of_change(self, axis: int) -> Array:
        """Return the ends of intervals on each of which at most one inner neuron of an axis changes."""
        n, q = self._cells[axis], self._families
        if axis == self._last:
            return np.arange(n * q + 1) / q
        centers, half = (np.arange(n * q) + 0.5) / q, float(self._gaps[axis]) / 2
        return np.sort(np.concatenate([[0.0, float(n)], centers - half, centers + half]))

    def _design(self) -> tuple[Array, Array]:
        last, q = self._last, self._families
        grid = [np.linspace(0, n, _SAMPLES if p in (0, last) else _FEW_SAMPLES) for p, n in enumerate(self._cells)]
        sampled = self._formula(*np.ix_(*grid))
        after, before = tuple(range(1, last + 1)), tuple(range(last))
        b = _middle(sampled - _middle(sampled, after), before)
        a = _middle(sampled - b, after).ravel()
        b = b.ravel()
        shifts = (np.arange(q) + 0.5) / q
        centers = [np.arange(n + 1) - 0.5 + shifts[:, None] for n in self._cells]
        places = [c.reshape(q, *(-1 if i == p else 1 for i in range(last + 1))) for p, c in enumerate(centers)]
        of_first = _continued(lambda x: np.interp(x, grid[0], a), self._cells[:1])(places[0])
        of_last = _continued(lambda x: np.interp(x, grid[last], b), self._cells[last:])(places[last])
        rest = _continued(self._formula, self._cells)(*places) - of_first - of_last
        own = np.interp(np.arange(q * self._cells[last] + 1) / q, grid[last], b)
        return (of_first / q + rest / (q - 1)).reshape(q, -1), own

    def error(self, values: NDArray[np.floating], own: NDArray[np.floating]) -> float:
        """Return the largest |F - Phi| on a sample, with all values of the cells that are passed in a gap."""
        low, high = np.minimum(own[:-1], own[1:]), np.maximum(own[:-1], own[1:])
        for q, table in enumerate(values):
            digits = [self._digits(p, q) for p in range(len(self._cells))]
            first, last = (
                np.asarray(sum(s * digit for s, digit in zip(self._strides, np.ix_(*side), strict=True)))
                for side in zip(*digits, strict=True)
            )
            least, most = _window_ranges(table, first, last)
            low, high = low + least, high + most
        return float(np.maximum(self._most - low, high - self._least).max())

    def _digits(self, axis: int, family: int) -> tuple[Integers, Integers]:
        """Return the number of the cell along an axis at the start and at the end of each interval."""
        ends = self._ends[axis]
        passed = (ends[:-1] + ends[1:]) / 2 - (family + 0.5) / self._families
        inside = np.abs(passed - np.rint(passed)) < 1e-9
        number = np.where(inside, np.rint(passed), np.floor(passed)).astype(np.int64) + 1
        return number - inside, number

    def cuts(self) -> list[list[Fraction]]:
        """Return for each axis where to cut the domain."""
        domain = self._target.domain
        return [
            sorted({Fraction(float(a + (b - a) * Fraction(end) / n)) for end in ends[1:-1].tolist()})
            for ends, a, b, n in zip(self._ends, domain.lower, domain.upper, self._cells, strict=True)
        ]

    def network(self, eps: float) -> tuple[Network, list[int]]:
        """Return the network with the values rounded as far as eps allows, and the bits of the outer slots."""
        for digits in itertools.count():
            unit = 2.0**-digits
            values, own = _rounded(self.values / unit), np.rint(self.own / unit).astype(np.int64)
            if self.error(unit * values, unit * own) <= eps:
                return self._network([*values, own], Fraction(1, 2**digits))
        raise AssertionError

    def _network(self, tables: list[Integers], unit: Fraction) -> tuple[Network, list[int]]:
        # Steps of height 0 at both ends keep the arguments off the ends of their slot, so that balls can be evaluated.
        outer = [_index(Fraction(1), [0, *np.diff(table).tolist(), 0]) for table in tables]
        first, first_bias, second, second_bias = [], [], {}, []
        for q, (index, table) in enumerate(zip(outer, tables, strict=True)):
            steps = len(table) + 1
            bias = 2 * index + Fraction(1, steps)
            for weights, inner, start, stride in self._inner(q):
                constant, factor = decoded(inner).output
                second[q, len(first)] = factor * stride / steps
                bias += (constant - start) * stride / steps
                first.append(weights[:-1])
                first_bias.append(weights[-1] + 2 * inner)
            second_bias.append(bias)
        outputs = [decoded(index).output for index in outer]
        constant = sum(c for c, _ in outputs) + sum(int(table[0]) for table in tables)
        hidden = {(i, p): weight for i, row in enumerate(first) for p, weight in enumerate(row)}
        layers = [
            (linear_map((len(first), len(first[0])), hidden), bias_vector(first_bias)),
            (linear_map((len(outer), len(first)), second), bias_vector(second_bias)),
            (linear_map((1, len(outer)), {(0, q): unit * factor for q, (_, factor) in enumerate(outputs)}),
             bias_vector([unit * constant])),
        ]  # fmt: skip
        return Network.from_layers(layers, "sigma-steps"), [index.bit_length() for index in outer]

    def _inner(self, family: int) -> Iterator[tuple[list[Fraction], int, int, int]]:
        """Yield for each inner neuron w and theta of t = w . x + theta, the slot, its value at cell 0, and the stride.

        A staircase of N + 2 steps counts the gaps at t = (xi + 3/2 - (q + 1/2)/Q)/(N + 2); the first and the last are
        outside of the domain and keep t inside its slot. That of b has Q N_d + 2 steps.
        """
        if family == self._families:
            n = self._cells[-1] * self._families
            yield self._affine(self._last, n, Fraction(1), n + 2), _index(Fraction(1), [1] * (n + 2)), 1, 1
            return
        start = Fraction(3, 2) - (family + Fraction(1, 2)) / self._families
        for p, (n, gap) in enumerate(zip(self._cells, self._gaps, strict=True)):
            yield self._affine(p, n, start, n + 2), _index(gap, [1] * (n + 2)), 1, self._strides[p]

    def _affine(self, axis: int, length: int, start: Fraction, steps: int) -> list[Fraction]:
        """Return the weights and the bias of (length (x - a)/(b - a) + start)/steps for one coordinate."""
        a, b = self._target.domain.lower[axis], self._target.domain.upper[axis]
        slope = Fraction(length, steps) / (b - a)
        return [slope * (p == axis) for p in range(len(self._cells))] + [start / steps - slope * a]


def _index(width: Fraction, heights: Sequence[int]) -> int:
    """Return the number of the slot with steps of these heights and a width that is 1 over a power of 2."""
    codes = [width.denominator.bit_length(), *(2 * h if h > 0 else 1 - 2 * h for h in heights)]
    return int("1" + "".join(map(delta_code, codes)), 2)


def _middle(values: Array, axes: tuple[int, ...]) -> Array:
    return (values.max(axis=axes, keepdims=True) + values.min(axis=axes, keepdims=True)) / 2


def _continued(f: Callable[..., Array], cells: Sequence[int]) -> Callable[..., Array]:
    """Continue a function on [0, N_1] x ... x [0, N_d] a little beyond, by 2 f(0) - f(-x) at each end in turn."""

    def continued(*xi: Array) -> Array:
        inside = [np.clip(x, 0, n) for x, n in zip(xi, cells, strict=True)]
        total = np.zeros(())
        for mirrored in itertools.product((False, True), repeat=len(cells)):
            places = [2 * c - x if m else c for x, c, m in zip(xi, inside, mirrored, strict=True)]
            total = total + (-1) ** sum(mirrored) * 2 ** (len(cells) - sum(mirrored)) * f(*places)
        return total

    return continued


def _rounded(values: Array) -> Integers:
    """Round, and hand what a family loses on to the next, so that sums over families are nearly right."""
    rounded, carry = np.empty(values.shape, dtype=np.int64), np.zeros(values.shape[1])
    for q, row in enumerate(values):
        rounded[q] = np.rint(row + carry)
        carry += row - rounded[q]
    return rounded


def _window_ranges(values: NDArray[np.floating], first: Integers, last: Integers) -> tuple[Array, Array]:
    """Return the least and the greatest of values[first], ..., values[last] for arrays of windows."""
    size = np.log2(last - first + 1).astype(np.int64)
    found = []
    for best in (np.minimum, np.maximum):
        table, result = values, np.empty(first.shape)
        for power in range(int(size.max()) + 1):
            table = best(table[: -(2 ** (power - 1))], table[2 ** (power - 1) :]) if power else table
            own = size == power
            result[own] = best(table[first[own]], table[last[own] - 2**power + 1])
        found.append(result)
    return found[0], found[1]
