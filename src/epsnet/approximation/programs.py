r"""The shortest program of a deep network: a squaring circuit whose coefficients have few bits.

A circuit that is accurate to half of eps has coefficients of 40 to 50 bits. They are rounded one after the other, each
to the fewest places after which moving the others, by sequential linear programs in a trust region, still leaves

$$ \max_x |F - P| + \sum_j e_j |\partial P / \partial \delta_j| + 10 \max(0, \text{violation}) $$

below what is allowed then, which grows from the first bound to eps in equal steps. The violation is that of the
conditions in `core.circuit`: v in [0, 1], what is carried and the sums nonnegative. The error is not monotone in the
bits, so nothing is assumed: the circuit is proved by the rule `circuit`, or one with more bits is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epsnet.approximation.circuits import DeepNetwork, certified, cuts, squaring_circuit
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CertificateError, DomainError, EpsnetError, HypothesisError
from epsnet.codec.circuits import Program, encode_program
from epsnet.codec.files import load_file
from epsnet.core.circuit import Affine, Circuit, Stage
from epsnet.core.network import Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution, Statements
from epsnet.core.target import Target

Array = NDArray[np.float64]

_NODES = 160
_NODES_OF_PROOF = 4_000
"""Of the cover: who reads a program searches for its proof, so a small file must not keep one busy for long."""
_STEP = 1e-6
_PENALTY = 10.0
_INSIDE, _ABOVE = 2.0**-19, 2.0**-7
_FEWEST_PLACES, _MOST_PLACES = -4, 40
_SHARE = Fraction(1, 2)
"""The part of eps that the circuit uses before its coefficients are rounded."""

_USED = (0.996, 0.95, 0.8)
"""The parts of eps to try for the search; what lies between the nodes, and the rounding of float64, take the rest."""


def shortest_program(target: Target, eps: Fraction, *, seed: int = 0) -> tuple[Program, DeepNetwork]:
    """Return the program with the shortest file that is found for F and proved to be within eps.

    Args:
        target: a smooth formula of one variable, in the sup norm.
        eps: the accuracy, > 0.
        seed: fixes the starts of the fits.

    Raises:
        HypothesisError: the formula has several variables.
        CertificateError: no circuit is close enough.
    """
    search = _Search(target, _merged(squaring_circuit(target, eps * _SHARE, seed=seed).circuit))
    failure: EpsnetError | None = None
    for used in _USED:
        try:
            program = Program(target, eps, _rounded(search, float(eps) * used))
            return program, certified(target, program.circuit, eps, _NODES_OF_PROOF)
        except CertificateError as error:
            failure = error
    raise CertificateError(
        f"No program was proved to be within {float(eps):.3g}. Ask for a larger eps.",
        asked=float(eps), achieved=float("inf"),
    ) from failure  # fmt: skip


def prove(program: Program) -> Solution:
    """Return the network of a program with the proof of its error, found anew; `epsnet.check` re-derives it.

    Raises:
        CertificateError: the network is not within eps, or that could not be proved.
    """
    try:
        found = certified(program.target, program.circuit, program.eps, _NODES_OF_PROOF)
    except (DomainError, HypothesisError) as error:
        raise CertificateError(
            f"The program is not proved: {error}", asked=float(program.eps), achieved=float("inf")
        ) from None
    return Solution(
        network=found.network,
        target=program.target,
        error=found.error,
        bits=8 * len(network_bytes(found.network)),
        certificate=Certificate.of([found.error], found.witnesses),
        stats={"method": "program", "eps": str(program.eps), "bytes": len(encode_program(program))},
        result=f"a program of {len(encode_program(program))} bytes",
    )


def load_proved(path: str | Path) -> Solution | Statements:
    """Read what an `.eps` file holds with its proof; that of a program is found anew. `epsnet.check` re-derives it.

    Raises:
        DomainError: there is no such file, or it holds a network alone.
        CheckError: it is not an `.eps` file.
        CertificateError: a program is not as accurate as it says, or that could not be proved.
    """
    content = load_file(path)
    if isinstance(content, Network):
        raise DomainError(f"The file {path} holds a network and no proof. Inspect it, or give a file with a proof.")
    return prove(content) if isinstance(content, Program) else content


def _merged(circuit: Circuit) -> Circuit:
    """Return the same circuit with one coefficient where v and a signal beside it are equal."""
    stages = []
    for stage in circuit.stages:
        constant, own, *others = stage.linear
        for k, affine in enumerate(stage.carried):
            if affine == stage.form:
                own, others[k] = own + others[k], Fraction(0)
        stages.append(replace(stage, linear=(constant, own, *others)))
    return replace(circuit, stages=tuple(stages))


def _flat(circuit: Circuit) -> list[Fraction]:
    """Return the coefficients in the order of the file."""
    stages = [n for s in circuit.stages for a in (s.form, *s.carried, (s.gain,), s.linear) for n in a]
    return [*stages, *circuit.output]


def _with_coefficients(circuit: Circuit, values: list[Fraction]) -> Circuit:
    numbers, stages = iter(values), []
    for stage in circuit.stages:
        form, *carried = (tuple(islice(numbers, len(stage.form))) for _ in range(1 + len(stage.carried)))
        gain = next(numbers)
        stages.append(
            Stage(form, tuple(carried), stage.kept, gain, tuple(islice(numbers, len(stage.linear))), stage.levels)
        )
    return replace(circuit, stages=tuple(stages), output=tuple(numbers))


class _Search:
    """The bound of a circuit as a function of its coefficients, in float64 at nodes.

    Attributes:
        circuit: where the search starts.
        free: which coefficients are neither 0 nor 1.
    """

    def __init__(self, target: Target, circuit: Circuit) -> None:
        self.circuit = circuit
        low, high = target.domain.lower[0], target.domain.upper[0]
        ends = [low, *cuts(circuit, target), high]
        nodes = (1 - np.cos(np.pi * np.arange(_NODES + 1) / _NODES)) / 2
        x = [a + (b - a) * Fraction(float(node)) for a, b in pairwise(ends) for node in nodes]
        places = [circuit.folded(point, point) for point in x]
        self.t = np.array([float(t) for t, _, _, _ in places])
        self.wanted = target(np.array([float(point) for point in x]))
        if circuit.sign is not None:
            sides = [1.0 if side is None or side[0] >= 0 else -1.0 for *_, side in places]
            self.wanted = np.array(sides) * (self.wanted - float(circuit.sign.middle))
        # Folds lead to the same t from both sides.
        _, kept = np.unique(np.round(self.t, 12), return_index=True)
        self.t, self.wanted = self.t[kept], self.wanted[kept]
        self.exact = _flat(circuit)
        self.start = np.array([float(value) for value in self.exact])
        self.errors = np.array([float(stage.error) for stage in circuit.stages])
        self.free = [k for k, value in enumerate(self.exact) if value not in (0, 1)]

    def _kinds(self) -> Iterator[int]:
        """Yield for each coefficient when it is rounded: gains, what is carried, forms, factors, the output."""
        for stage in self.circuit.stages:
            yield from (2,) * len(stage.form)
            yield from (1,) * sum(map(len, stage.carried))
            yield 0
            yield from (3,) * len(stage.linear)
        yield from (4,) * len(self.circuit.output)

    def order(self) -> list[int]:
        """Return the free coefficients in the order in which they are rounded."""
        kinds = list(self._kinds())
        return sorted(self.free, key=lambda k: (kinds[k], k))

    def run(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return P (s, n), the effects sum_j e_j |dP/d delta_j| (s, n) and the constraints (s, c, n), to be <= 0.

        Args:
            theta: (s, p), coefficients.
        """
        columns = iter(theta.T[:, :, None])
        count = len(self.circuit.stages)
        nothing = np.zeros((len(theta), len(self.t)))
        signals = [(nothing + self.t, [nothing] * count)]
        limits = []

        def combined(of: list[tuple[Array, list[Array]]]) -> tuple[Array, list[Array]]:
            value, slopes = nothing + next(columns), [nothing] * count
            for signal, gradient in of:
                factor = next(columns)
                value = value + factor * signal
                slopes = [a + factor * b for a, b in zip(slopes, gradient, strict=True)]
            return value, slopes

        for number, stage in enumerate(self.circuit.stages):
            form = combined(signals)
            carried = [combined(signals) for _ in stage.carried]
            v, slopes = form
            gain = next(columns)
            rest, gradient = combined([form, *carried])
            gradient = [g + 2 * gain * v * slope for g, slope in zip(gradient, slopes, strict=True)]
            whole = rest + gain * v * v
            inside = self._effect(slopes) + _INSIDE * (number > 0)
            limits += [inside - v, v + inside - 1]
            for affine, (signal, slope) in zip(stage.carried, carried, strict=True):
                limits.append(self._effect(slope) + (0 if _is_copy(affine) else _above(signal)) - signal)
            if stage.levels > 1 and (any(stage.linear) or stage.gain < 0):
                # What keeps the sums of a chain nonnegative, see `core.circuit`.
                least = np.where(gain > 0, np.maximum(rest, whole - gain / 4), whole + gain / 16)
                limits.append(self._effect(gradient) + _above(least) - least)
            gradient[number] = gradient[number] + gain
            signals = [(whole + gain * self.errors[number], gradient), *carried[: stage.kept]]
        value, slopes = combined(signals)
        return value, self._effect(slopes), np.stack(limits, axis=1)

    def _effect(self, slopes: list[Array]) -> Array:
        return sum((e * np.abs(slope) for e, slope in zip(self.errors, slopes, strict=True)), np.zeros_like(slopes[0]))

    def merit(self, theta: Array) -> float:
        """Return what the search lowers."""
        with np.errstate(all="ignore"):
            value, effect, limits = self.run(theta[None])
            found = float((np.abs(self.wanted - value) + effect).max() + _PENALTY * max(limits.max(), 0.0))
        return found if np.isfinite(found) else np.inf

    def refit(self, theta: Array, free: list[int], goal: float, steps: int = 12) -> tuple[Array, float]:
        """Lower the merit by moving the free coefficients, until it reaches the goal."""
        from scipy.optimize import linprog

        best, radius = self.merit(theta), 0.05
        for _ in range(steps if free else 0):
            if best <= goal or radius < 1e-8 or not np.isfinite(best):
                break
            h = _STEP * (1 + np.abs(theta[free]))
            moves = np.zeros((len(free), len(theta)))
            moves[np.arange(len(free)), free] = h
            value, effect, limits = self.run(np.concatenate([theta[None], theta + moves, theta - moves]))
            count = len(free)

            def slopes(of: Array, h: Array = h, count: int = count) -> Array:
                change = (of[1 : 1 + count] - of[1 + count :]) / (2 * h.reshape(-1, *(1,) * (of.ndim - 1)))
                return np.moveaxis(change, 0, -1).reshape(-1, count)

            change, grown, across = slopes(value), slopes(effect), slopes(limits)
            residual = self.wanted - value[0]
            size = np.maximum(np.linalg.norm(change, axis=0), 1e-300)
            near = limits[0].ravel() > -0.05
            rows = np.concatenate([grown + change, grown - change, _PENALTY * across[near]]) / size
            ones = np.concatenate([np.tile([-1.0, 0.0], (2 * len(residual), 1)), np.tile([0.0, -1.0], (near.sum(), 1))])
            sides = np.concatenate([residual - effect[0], -residual - effect[0], -_PENALTY * limits[0].ravel()[near]])
            reach = radius * (1 + np.abs(theta[free])) * size / best
            solved = linprog(
                [*[0.0] * count, 1.0, 1.0], A_ub=np.concatenate([rows, ones], axis=1), b_ub=sides / best,
                bounds=[*zip(-reach, reach, strict=True), (0, None), (0, None)], method="highs",
            )  # fmt: skip
            if solved.x is None:
                radius /= 4
                continue
            tried = theta.copy()
            tried[free] += solved.x[:count] * best / size
            reached = self.merit(tried)
            if reached < best * (1 - 1e-4):
                radius = min(2 * radius, 1.0) if 1 - reached / best > (1 - solved.fun) / 2 else radius
                theta, best = tried, reached
            else:
                radius /= 8
        return theta, best


def _above(signal: Array) -> Array:
    """Return how far a signal has to stay above 0, so that enclosures of it do."""
    return _ABOVE * np.ptp(signal, axis=-1, keepdims=True)


def _is_copy(affine: Affine) -> bool:
    """Whether an affine function is a multiple of one signal, which is nonnegative itself."""
    return affine[0] == 0 and sum(map(bool, affine)) == 1


def _rounded(search: _Search, limit: float) -> Circuit:
    """Return the circuit with coefficients of few bits. CertificateError if the search does not keep to the limit."""
    order = search.order()
    theta, first = search.refit(search.start, order, 0.0, 30)
    chosen = list(search.exact)
    for number, index in enumerate(order):
        allowed = first + (limit - first) * (number + 1) / len(order)
        rest = order[number + 1 :]
        low, high, best = _FEWEST_PLACES, _MOST_PLACES, None
        while low < high:
            places = (low + high) // 2
            found = _with_places(search, theta, index, places, rest, allowed)
            low, high, best = (places + 1, high, best) if found is None else (low, places, found)
        if best is None:
            raise CertificateError(
                f"A coefficient of the circuit cannot be rounded within {limit:.3g}. Ask for a larger eps.",
                asked=limit, achieved=first,
            )  # fmt: skip
        theta, chosen[index] = best
    return _with_coefficients(search.circuit, chosen)


def _with_places(
    search: _Search, theta: Array, index: int, places: int, rest: list[int], allowed: float
) -> tuple[Array, Fraction] | None:
    """Return the coefficients after rounding one of them to so many binary places, and it; None if that is too much."""
    step = 2.0**-places
    floor = np.floor(theta[index] / step)
    for multiple in sorted((floor, floor + 1), key=lambda multiple: abs(theta[index] - multiple * step)):
        tried = theta.copy()
        tried[index] = multiple * step
        moved, reached = search.refit(tried, rest, allowed)
        if reached <= allowed:
            return moved, Fraction(int(multiple)) / Fraction(2) ** places
    return None
