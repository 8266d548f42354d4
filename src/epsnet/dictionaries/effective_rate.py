r"""The effective rate of a learner on a model class: error against weights and bits, growth of weights, a verdict.

**Definition.** A class C has the effective rate gamma if there are C_0 and a polynomial pi with

$$ \sup_{f \in C} \inf_{\Phi} \|f - \Phi\| \le C_0 M^{-\gamma}, $$

the infimum over networks with M weights, none larger than pi(M).

**Theorem.** gamma <= gamma*(C) = 1/s(C). Without the bound of the weights there is no such limit: a network of fixed
size may approximate everything (Maiorov and Pinkus), because its weights hold what other networks hold in their number.
In bits no learner is faster than gamma*, whatever its weights.

Proof. Rounding the weights to multiples of eps^c, c from pi and the depth, changes the network by eps, so each takes a
number of bits of order log(1/eps), topology included: networks with M weights are a code of order M log M bits. No code
of b bits has an error below a constant times b^{-gamma*}, up to the same logarithms. QED

**What is measured.** For N = N_0, N_1, ... the learner runs on members of the class that are hard for about N terms:
of the scales k - 1, ..., k + 2, k = log2 N. Their largest error is what the supremum over the class is at least; their
largest number of weights, bits, and largest weight stand beside it. Exponents are slopes of log error, with their
intervals (`experiments.rates`): ESTIMATED.

**The rule**, the same for all learners and fixed before measuring. The fit takes the sizes N >= 16 N_0. The bits of N_0
are the fixed part of a file and are subtracted. Weights, and the search of a dictionary, are polynomially bounded if
log2 of the largest grows at most DEGREE times as fast as log2(1/error), with its whole interval, over all sizes.

Sources: H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019) 8-45; P. Grohs, Optimally sparse data representations, in: Harmonic and
Applied Analysis, Birkhaeuser 2015 (polynomial depth search).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from epsnet.certify.errors import DomainError
from epsnet.dictionaries.learners import Learned, Learner
from epsnet.dictionaries.model_classes import ModelClass
from epsnet.experiments import Estimate, fit_rate, seeds

DEGREE = 10.0
"""Weights larger than error^-10 do not count as polynomially bounded."""
MARGIN = 0.1
"""A rate that exceeds gamma* by more, with its whole interval, exceeds it."""
FACTOR = 16
"""The fit takes the sizes from FACTOR times the least on."""
_SCALES = (-1, 0, 1, 2)


@dataclass(frozen=True, slots=True)
class EffectiveRate:
    """What was measured of a learner. All of it ESTIMATED.

    Attributes:
        name: the class.
        optimal_rate: gamma*.
        sizes: N.
        errors, weights, bits: the largest over the members, for each N.
        log2_magnitudes, depths: likewise, log2 of the largest weight, and the depth of the search.
        rate: the exponent of the error in the weights; infinite if their number stays the same while the error falls.
        bit_rate: that in the bits.
        growth: of log2 of the largest weight, by log2(1/error).
        search: of log2 of the depth of the search, by log2(1/error).
        effective: the weights and the search are polynomially bounded, and no rate exceeds gamma*.
        contradicts: a rate in bits exceeds gamma*, or that in weights though the weights are polynomially bounded.
        reasons: for `effective` being false, or what was found if it is true, in sentences.
    """

    name: str
    optimal_rate: float
    sizes: tuple[int, ...]
    errors: tuple[float, ...]
    weights: tuple[int, ...]
    bits: tuple[int, ...]
    log2_magnitudes: tuple[float, ...]
    depths: tuple[int, ...]
    rate: Estimate
    bit_rate: Estimate
    growth: Estimate
    search: Estimate
    effective: bool
    contradicts: bool
    reasons: tuple[str, ...]


def measure_member(learner: Learner, model_class: ModelClass, size: int, seed: int, scale: int) -> Learned:
    """Run a learner on one random member."""
    return learner(model_class.member(seed, scale), size)


def effective_rate(
    learner: Learner,
    model_class: ModelClass,
    sizes: Sequence[int],
    *,
    members: int = 3,
    seed: int = 0,
    jobs: int | None = None,
) -> EffectiveRate:
    """Measure the effective rate of a learner on a class.

    Args:
        learner: (member, N) -> `Learned`; with jobs > 1 a function that other processes can import.
        model_class: draws the members.
        sizes: N, increasing; at least 3 of them are at least 16 times the first.
        members: how many for each N and scale.
        seed: fixes the members.
        jobs: how many run at once, -1 for all cores; None leaves it to joblib.parallel_config.

    Raises:
        DomainError: there are too few sizes, or what a learner returns is no error.
    """
    from joblib import Parallel, delayed

    plan = planned(sizes, members, seed)
    found = cast(
        "list[Learned]",
        Parallel(n_jobs=jobs)(delayed(measure_member)(learner, model_class, *case) for case in plan),
    )
    return summarize(model_class.name, model_class.optimal_rate, [case[0] for case in plan], found)


def planned(sizes: Sequence[int], members: int = 3, seed: int = 0) -> list[tuple[int, int, int]]:
    """Return N, seed and scale of all members."""
    drawn = seeds(seed, members)
    return [
        (size, 3 * own + kind, max(0, round(math.log2(size)) + scale))
        for size in sizes
        for (kind, own), scale in itertools.product(enumerate(drawn), _SCALES)
    ]


def summarize(
    name: str, optimal_rate: float, sizes: Sequence[int], found: Sequence[Learned], *, hard: bool = True
) -> EffectiveRate:
    """Return the effective rate from what a learner stored for members, each with its size.

    Args:
        name: of the class.
        optimal_rate: gamma*.
        sizes: N, one for each member.
        found: what was stored for them.
        hard: whether the members are as hard as any of the class. If they are a few given ones, all sizes are fitted,
            and their rate in bits says nothing about the class.

    Raises:
        DomainError: as for `effective_rate`.
    """
    order, factor = tuple(sorted(set(sizes))), FACTOR if hard else 1
    if sum(size >= factor * order[0] for size in order) < 3:
        raise DomainError(f"The sizes {order} are too few. Give at least 3 that are {factor} times the first or more.")
    if not all(math.isfinite(one.error) and one.error > 0 for one in found):
        raise DomainError("A learner has an error that is not positive and finite. Mend it or leave the member out.")
    groups = [[one for size, one in zip(sizes, found, strict=True) if size == own] for own in order]

    def worst(of: Callable[[Learned], Any]) -> tuple[Any, ...]:
        return tuple(max(map(of, group)) for group in groups)

    errors, weights, bits = worst(lambda o: o.error), worst(lambda o: o.weights), worst(lambda o: o.bits)
    magnitudes, depths = worst(lambda o: o.log2_magnitude), worst(lambda o: o.depth)
    fitted = [i for i, size in enumerate(order) if size >= factor * order[0]]
    own_errors = [errors[i] for i in fitted]
    rate = _rate([weights[i] for i in fitted], own_errors)
    fixed = bits[0] if hard else 0
    bit_rate = _rate([bits[i] - fixed for i in fitted], own_errors)
    growth, search = _growth(errors, magnitudes), _growth(errors, [math.log2(depth) for depth in depths])
    bounded, searched = growth.high <= DEGREE, search.high <= DEGREE
    fast, fast_in_bits = rate.low > optimal_rate + MARGIN, hard and bit_rate.low > optimal_rate + MARGIN
    contradicts = fast_in_bits or (fast and bounded and searched)
    reasons = []
    if not bounded:
        reasons.append(f"The largest weight grows like error^-{growth.value:.3g}: no polynomial of degree {DEGREE:g}.")
    if not searched:
        reasons.append(f"The search grows like error^-{search.value:.3g}: no polynomial of degree {DEGREE:g}.")
    if fast:
        what = f"rate in weights {rate.value:.3g}" if math.isfinite(rate.value) else "rate, with one number of weights,"
        reasons.append(f"The {what} exceeds gamma* = {optimal_rate:.3g}.")
    if fast_in_bits:
        reasons.append(f"The rate in bits {bit_rate.value:.3g} exceeds gamma* = {optimal_rate:.3g}: no code has it.")
    effective = not reasons
    if effective:
        reasons.append(
            f"The error falls like M^-{rate.value:.3g} with weights up to error^-{max(growth.value, 0):.3g}; "
            f"gamma* = {optimal_rate:.3g}."
        )
    return EffectiveRate(
        name, optimal_rate, order, errors, weights, bits, magnitudes, depths,
        rate, bit_rate, growth, search, effective, contradicts, tuple(reasons),
    )  # fmt: skip


def _rate(x: Sequence[float], errors: Sequence[float]) -> Estimate:
    """Return gamma of error = C x^-gamma."""
    if len(set(x)) == 1:
        return Estimate(math.inf, math.inf, math.inf)
    slope = fit_rate(x, errors).exponent
    return Estimate(-slope.value, -slope.high, -slope.low)


def _growth(errors: Sequence[float], logarithms: Sequence[float]) -> Estimate:
    """Return kappa of logarithm = kappa log2(1/error) + constant."""
    if len(set(logarithms)) == 1:
        return Estimate(0.0, 0.0, 0.0)
    # `fit_rate` takes logarithms itself; those of huge numbers are scaled down to be in its range.
    largest = float(np.abs(logarithms).max())
    slope = fit_rate([1 / error for error in errors], np.exp(np.asarray(logarithms) / largest)).exponent
    factor = largest * math.log(2)
    return Estimate(*(factor * end for end in (slope.value, slope.low, slope.high)))
