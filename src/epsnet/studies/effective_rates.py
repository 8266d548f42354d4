r"""Study: at which rate do networks and expansions approximate model classes, and is it that of their entropy?

**Theorem.** If a learner reaches every member of a class C to within C_0 M^-gamma by networks with M weights that are
bounded by a polynomial in M, then gamma <= gamma*(C) = 1/s(C), s the exponent of the entropy of C; and in bits there is
no faster rate at all. For the classes below gamma* is reached.

**Why.** With weights rounded to a power of the accuracy a network is a string of order M log M bits, and 2^b strings
serve at most a set with 2^b balls (`dictionaries.effective_rate`, `dictionaries.entropy`).

**What is measured.** For eight classes (`dictionaries.model_classes`) learners with proved rates
(`dictionaries.learners`) run on random hard members; errors are those of what is stored, bits are those of `.eps` files
or of codes of coefficients in units of a step. No class needs a correction by logarithms: turns of polygons and
coefficients above a threshold take a bounded number of bits on average. The entropy lines are lower bounds of the error
of any code. For the classes of Sobolev and of modulation spaces, whose bases are not made into networks here, M is the
number of terms, to which the weights are proportional.

Two learners are not effective, and have to be found out. One neuron with a universal activation stores members of the
Lipschitz ball in one weight. The network in the widths of Maiorov and Pinkus (`approximation.superposition`)
approximates two smooth members of the Lipschitz ball of the square, gamma* = 1/2, with errors that are VERIFIED. The
numbers of their weights do not grow, the lengths do.

Sources: H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 (2019) 8-45; V. Maiorov, A. Pinkus,
Neurocomputing 25 (1999) 81-91; those of `dictionaries.model_classes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.approximation.superposition import superposition_network
from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.core.network import Network
from epsnet.core.target import Target
from epsnet.dictionaries.effective_rate import FACTOR, MARGIN, EffectiveRate, measure_member, planned, summarize
from epsnet.dictionaries.learners import (
    Learned,
    Learner,
    haar_ramps,
    horizons,
    largest_terms,
    polygons,
    tikhomirov,
    universal_neuron,
)
from epsnet.dictionaries.model_classes import (
    Cartoon,
    Hoelder,
    ModelClass,
    Sequences,
    Variation,
    besov,
    hoelder,
    modulation,
    sobolev,
)
from epsnet.dictionaries.rate_figures import draw_rate
from epsnet.experiments import Estimate, Finished
from epsnet.studies.figures import GRAY, STYLES, Style, finish, new_figure
from epsnet.studies.study import Analysis, Answer, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIOROV_PINKUS, UNIVERSAL = "Maiorov-Pinkus", "universal neuron"
CHEATERS = (MAIOROV_PINKUS, UNIVERSAL)
FUNCTIONS = ("sin(6*x + 2*y)/9", "x*y/2")
"""Members of the ball |f(x) - f(y)| <= max_i |x_i - y_i| on the unit square."""
_ACCURACIES = (4, 8, 16, 32)
"""1/eps for them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A class with its learner.

    Attributes:
        first: the first size.
        steps: the number of sizes in an octave that are fitted; before them there is one in two octaves.
        last: sizes that suit the class are at most this.
        seconds: that a case takes, about, divided by its size and by 1,000.
        name: of the learner, if it is not the one of the class.
        whole: the class with more blocks, for the entropy line.
    """

    model_class: ModelClass
    learner: Learner
    first: int
    steps: int
    last: int
    seconds: float
    name: str = ""
    whole: ModelClass | None = None

    def sizes(self) -> list[int]:
        """Return the sizes."""
        start = FACTOR * self.first
        count = int(math.log2(self.last / start) * self.steps + 1e-9) + 1
        return [self.first, 4 * self.first, *(round(start * 2 ** (k / self.steps)) for k in range(count))]


@cache
def subjects() -> dict[str, Subject]:
    """Return all classes by name."""
    found = (
        Subject(Hoelder(1.0), universal_neuron, 8, 1, 2048, 0.2, UNIVERSAL),
        Subject(Hoelder(1.0), tikhomirov, 8, 1, 8192, 1.0),
        Subject(Hoelder(1.5), partial(polygons, smoothness=1.5), 16, 1, 8192, 1.0),
        Subject(Hoelder(2.0), partial(polygons, smoothness=2.0), 16, 1, 8192, 1.0),
        Subject(Variation(), haar_ramps, 8, 2, 2896, 5.0),
        _of_sequences(besov(1.5), besov(1.5, levels=19), 4096, 2.0),
        _of_sequences(sobolev(1.5), sobolev(1.5, levels=10), 2048, 1.0),
        _of_sequences(modulation(2.0), modulation(2.0, rings=9), 2896, 1.0),
        Subject(Cartoon(2.0), partial(horizons, smoothness=2.0), 16, 1, 8192, 1.0),
    )
    return {subject.name or subject.model_class.name: subject for subject in found}


def _of_sequences(ball: Sequences, whole: Sequences, last: int, seconds: float) -> Subject:
    return Subject(ball, partial(largest_terms, model_class=ball), 8, 2, last, seconds, whole=whole)


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return a case for each class and size and each network of Maiorov and Pinkus, the cheap ones first."""
    priced = [
        (subject.seconds * size / 1000, {"class": name, "size": size, "seed": seed})
        for name, subject in subjects().items()
        for size in subject.sizes()
    ]
    priced += [
        (size**1.5 / 64, {"class": MAIOROV_PINKUS, "formula": formula, "size": size})
        for formula in FUNCTIONS
        for size in _ACCURACIES
    ]
    priced.sort(key=lambda pair: pair[0])
    spent = np.cumsum([price for price, _ in priced])
    return [case for (_, case), sum_of_prices in zip(priced, spent.tolist(), strict=True) if sum_of_prices <= budget]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return what was stored for each member."""
    if case["class"] == MAIOROV_PINKUS:
        target = Target(case["formula"], Box([0, 0], [1, 1]))
        built = superposition_network(target, Fraction(1, case["size"]))
        weights, longest = built.network.size.weights, log2_magnitude(built.network)
        return {"stored": [asdict(Learned(built.error.value, weights, built.weight_bits, longest))]}
    subject = subjects()[case["class"]]
    stored = [
        measure_member(subject.learner, subject.model_class, *member)
        for member in planned([case["size"]], seed=case["seed"])
    ]
    return {"stored": [asdict(one) for one in stored]}


def log2_magnitude(network: Network) -> float:
    """Return log2 of the largest weight, which may be too large for float64."""
    largest = max(
        abs(Fraction(value))
        for layer in network.layers
        for value in (*layer.bias, *(entry for _, linear in layer.terms for entry in linear.entries()[2]))
    )
    shift = max(largest.numerator.bit_length() - largest.denominator.bit_length() - 60, 0)
    return math.log2(float(largest / 2**shift)) + shift


def effective_rates(finished: Sequence[Finished]) -> dict[str, EffectiveRate]:
    """Return what was measured of each class with sizes enough."""
    found = {}
    for name in (*subjects(), MAIOROV_PINKUS):
        own = [case for case in finished if case.inputs["class"] == name]
        sizes = [case.inputs["size"] for case in own for _ in case.result["stored"]]
        stored = [Learned(**one) for case in own for one in case.result["stored"]]
        if name == MAIOROV_PINKUS:
            if len(set(sizes)) >= 3:
                found[name] = summarize(name, hoelder(1, 2).optimal_rate, sizes, stored, hard=False)
        elif sum(size >= FACTOR * min(sizes, default=1) for size in set(sizes)) >= 3:
            found[name] = summarize(name, subjects()[name].model_class.optimal_rate, sizes, stored)
    return found


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare both exponents of every class with gamma*, and say why the universal network is not effective."""
    found, comparisons, remarks = effective_rates(finished), [], []
    for name, measured in found.items():
        if name in CHEATERS:
            remarks.append(f"{name} is {'' if measured.effective else 'not '}effective. " + " ".join(measured.reasons))
            continue
        for quantity, rate in (("by weights", measured.rate), ("by bits", measured.bit_rate)):
            answer = _answer(rate, measured.optimal_rate)
            comparisons.append(
                Comparison(name, quantity, rate, "==", measured.optimal_rate, MARGIN, Kind.ESTIMATED.value, answer)
            )
        if not measured.effective:
            remarks.append(f"{name}: " + " ".join(measured.reasons))
    details = {name: asdict(measured) for name, measured in found.items() if math.isfinite(measured.rate.value)}
    return Analysis(tuple(comparisons), _verdict(found, comparisons), tuple(remarks), details)


def _answer(rate: Estimate, predicted: float) -> Answer:
    if abs(rate.value - predicted) <= MARGIN:
        return "holds"
    return "contradicts" if judge(rate, predicted, MARGIN) == "contradicts" else "undecided"


def _verdict(found: dict[str, EffectiveRate], comparisons: Sequence[Comparison]) -> Verdict:
    against = [f"{c.subject} ({c.quantity})" for c in comparisons if c.answer == "contradicts"]
    against += [f"{name} (its reasons are among the remarks)" for name, one in found.items() if one.contradicts]
    if against:
        return Verdict("contradicts", f"off gamma* by more than the margin: {', '.join(against)}.")
    missed = [name for name in CHEATERS if name in found and found[name].effective]
    if missed:
        return Verdict("contradicts", f"{', '.join(missed)} was not found out.")
    if len(found) < len(subjects()) + 1:
        return Verdict("undecided", f"there are classes with fewer than three sizes of {FACTOR} times the first.")
    off = [f"{c.subject} ({c.quantity})" for c in comparisons if c.answer == "undecided"]
    if off:
        return Verdict("undecided", f"the exponent is off by more than {MARGIN}, but not surely, for {', '.join(off)}.")
    return Verdict(
        "holds",
        f"all {len(comparisons)} exponents of {len(comparisons) // 2} classes are within {MARGIN} of gamma* = 1/s, "
        f"and the networks with a fixed number of weights, {' and '.join(CHEATERS)}, are found not to be effective.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw errors against bits with the entropy lines, and the exponents beside gamma*."""
    found = effective_rates(finished)
    figure = new_figure((11.0, 5.4))
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1.0])
    names = [name for name in found if name not in CHEATERS]
    for number, (name, style) in enumerate(zip(names, (*STYLES, Style(GRAY, "*")), strict=False)):
        measured, subject = found[name], subjects()[name]
        draw_rate(left, measured, subject.whole or subject.model_class, style.color, style.marker)
        for offset, rate, fill in ((-0.13, measured.rate, style.color), (0.13, measured.bit_rate, "white")):
            ends = [[rate.value - rate.low], [rate.high - rate.value]]
            right.errorbar(
                rate.value, number + offset, xerr=ends, fmt=style.marker, color=style.color, capsize=3, markersize=5,
                markerfacecolor=fill,
            )  # fmt: skip
        right.plot([measured.optimal_rate] * 2, [number - 0.38, number + 0.38], color=GRAY, linewidth=1.5)
    left.plot([], [], "--", color=GRAY, linewidth=1, label="entropy line: no code is below")
    left.set_title("error against bits, ESTIMATED", fontsize=10)
    left.legend(frameon=False, fontsize=7.5, loc="lower left")
    lines = [_cheater(name, found[name]) for name in CHEATERS if name in found]
    right.set_yticks(range(len(names)), names, fontsize=8)
    right.set_ylim(len(names) - 0.5 + 0.75 * bool(lines), -0.6)
    right.text(0.98, 0.02, "\n".join(lines), transform=right.transAxes, ha="right", fontsize=8, color=GRAY)
    right.set(xlabel=r"exponent $\gamma$ with its interval")
    right.set_title(r"filled: in weights, open: in bits, bar: $\gamma^* = 1/s$", fontsize=10)
    return finish(figure, analysis.verdict.answer)


def _cheater(name: str, measured: EffectiveRate) -> str:
    first, last = (round(measured.log2_magnitudes[place]) for place in (0, -1))
    return f"{name}: {measured.weights[0]} weights, the largest $2^{{{first}}}$ to $2^{{{last}}}$: not effective"


STUDY = Study(
    name="effective-rates",
    claim="No learner approximates a class faster than M^(-gamma*), gamma* = 1/s with s the exponent of its entropy, "
    "by networks with M weights of polynomial size, or by M bits; and for eight classes learners have this rate.",
    source="H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 (2019) 8-45",
    rule=f"The fit takes the sizes from {FACTOR} times the first on, and subtracts the bits of the first as the fixed "
    f"part of a file. All exponents, in weights and in bits, have to be within {MARGIN} of gamma*, and the network of "
    "Maiorov and Pinkus and the universal neuron have to be found not effective; a 95 % interval outside of the margin "
    "contradicts, anything else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
