r"""Study: is a network with N terms of a dictionary stored with C N log N bits, without losing the rate?

**Theorem.** If a class has effective approximation rate gamma, every f of it is within O(N^-gamma) of a network whose
topology and quantized weights are stored with C N log N bits. No code of the class does better than its entropy.

**Here** the networks are N-term expansions in the wavelets CDF(2,2) on [0, 1], whose weights are small integers or
eighths of coefficients. Let e_N be the sup error of the N largest coefficients. Rounding them to multiples of s moves
no value by more than (s/2)(J + 2), J being the number of levels:

$$ \sup_x \sum_k |\psi_{j,k}(x)| \le 1 \text{ for every level } j \ge 1, \quad \tfrac98 \text{ for } j = 0, \quad
   1 \text{ for the two hats,} $$

as the sum is convex between the nodes i 2^{-j-1}, and there it is 1 or 1/2, or other numbers next to an end. So
s = 2 e_N/(J + 2) at most doubles the error, and a coefficient takes log2(2 |c|/s) = O(log N) bits. The file is never
longer than `codec.format.length_bound`, whose terms log2 binom(n, M) for the places of M = O(N) weights among n =
O(N^2) and M w for their values are O(N log N).

**What is measured.** Two classes, with random members that are as rough as the class allows.

* *Lipschitz*: |f(x) - f(y)| <= |x - y|, f(0) = 0. For every N another f, of slope 1 or -1 on each of at least 8 N equal
  cells. gamma* = 1, and the entropy is known exactly: ceil(1/eps) - 1 bits.
* *Hoelder 1/2*: one series sum 2^{-j/2} w_{j,k} psi_{j,k} with random 1/2 <= |w| <= 1. gamma* = 1/2.

s is the largest power of two below 2 e_N/(J + 2). Both errors are computed in rationals: expansion and f are affine
between the nodes i 2^-J, and the decoded file is the network of the expansion, by its hash. But no rule of the checker
re-derives that, so that all numbers count as ESTIMATED.

Sources: H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019) 8-45; A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.codec.format import decode, encode, length_bound
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.figures import draw_bits
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.transfer import linear_wavelet_network
from epsnet.experiments import Estimate, Finished, fit_rate
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

COUNTS = (10, 18, 32, 56, 100, 178, 316, 562, 1000)
CLASSES = {"Lipschitz": 1.0, "Hoelder 1/2": 0.5}
"""The classes with gamma*."""

GROWTH_MARGIN, RATE_MARGIN = 0.05, 0.15
_HOELDER_LEVELS = 13
_SECONDS = 2e-5  # of one case, divided by N^2


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each N and each class, as the budget allows, then all of them for further seeds."""
    costs = [len(CLASSES) * _SECONDS * count**2 for count in COUNTS]
    rounds = max(1, int(budget // sum(costs)))
    counts = [count for count, cost in zip(COUNTS, accumulate(costs), strict=True) if cost <= budget]
    return [
        {"class": name, "terms": count, "seed": seed + more}
        for more in range(rounds) for count in counts for name in CLASSES
    ]  # fmt: skip


def member(name: str, terms: int, seed: int) -> tuple[LinearWavelets, Floats]:
    """Return a basis and the values at its nodes of a random member of a class."""
    generator = np.random.Generator(np.random.Philox([seed, terms if name == "Lipschitz" else 0]))
    if name == "Lipschitz":
        basis = LinearWavelets((8 * terms - 1).bit_length())
        steps = generator.choice([-1.0, 1.0], basis.size - 1) / (basis.size - 1)
        return basis, np.concatenate([[0.0], np.cumsum(steps)])
    basis = LinearWavelets(_HOELDER_LEVELS)
    weights = generator.choice([-1.0, 1.0], basis.size) * generator.uniform(0.5, 1.0, basis.size)
    return basis, basis.synthesis(weights * basis.scales)


@dataclass(frozen=True, slots=True)
class Rounded:
    """An N-term expansion before and after rounding, with the sup errors e_N and that of the rounded one, exactly."""

    expansion: Expansion
    step: float
    before: Fraction
    after: Fraction


def rounded_expansion(basis: LinearWavelets, values: Floats, terms: int) -> Rounded:
    """Return the N largest terms, rounded to the largest power of two that the theorem allows as a step."""
    coefficients = basis.analysis(values)
    kept = np.sort(np.argsort(-np.abs(coefficients), kind="stable")[:terms])
    chosen = coefficients[kept]
    before = sup_error(basis, values, kept, chosen)
    step = 2.0 ** math.floor(math.log2(2 * before / (basis.levels + 2)))
    multiples = np.round(chosen / step) * step
    after = sup_error(basis, values, kept, multiples)
    used = multiples != 0
    return Rounded(Expansion(basis, kept[used], multiples[used]), step, before, after)


def sup_error(basis: LinearWavelets, values: Floats, kept: NDArray[np.int64], coefficients: Floats) -> Fraction:
    """Return the largest difference, at the nodes, of f and an expansion, in rationals."""
    vector = [Fraction(0)] * basis.size
    for index, value in zip(kept.tolist(), coefficients.tolist(), strict=True):
        vector[index] = Fraction(value)
    found = basis.exact_synthesis(vector)
    return max(abs(Fraction(f) - g) for f, g in zip(values.tolist(), found, strict=True))


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the bits of the file, their bound, and the errors before and after rounding."""
    basis, values = member(case["class"], case["terms"], case["seed"])
    found = rounded_expansion(basis, values, case["terms"])
    network = linear_wavelet_network(found.expansion)
    content = encode(network)
    if decode(content).sha256 != network.sha256:
        raise CheckError("A file does not hold its network, which is a bug. Report it with the network.")
    return {
        "bits": 8 * len(content), "bound": length_bound(network), "weights": network.size.weights,
        "before": float(found.before), "error": float(found.after), "step": found.step,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Curve:
    """The cases of one class."""

    terms: Floats
    bits: Floats
    bound: Floats
    before: Floats
    error: Floats

    @classmethod
    def of(cls, finished: Sequence[Finished], name: str) -> Curve:
        """Collect the cases of a class in the order of N."""
        own = sorted((c for c in finished if c.inputs["class"] == name), key=lambda c: c.inputs["terms"])
        columns = [[c.result[key] for c in own] for key in ("bits", "bound", "before", "error")]
        return cls(*(np.array(column, dtype=np.float64) for column in ([c.inputs["terms"] for c in own], *columns)))

    @property
    def share(self) -> Floats:
        """C of bits = C N log2 N."""
        return self.bits / (self.terms * np.log2(self.terms))


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare lengths with their bounds and with N log2 N, and bits against error with the entropy exponent."""
    comparisons: list[Comparison] = []
    remarks: list[str] = []
    for name, gamma in CLASSES.items():
        curve = Curve.of(finished, name)
        if len(curve.terms) < 3:
            continue
        growth = fit_rate(curve.terms, curve.share).exponent
        # What the theorem promises; that all functions of the class need as many bits, no single one can show.
        entropy = fit_rate(1 / curve.error, curve.bits / np.log2(curve.terms)).exponent
        for quantity, measured, predicted, margin in (
            ("bits/bound", worst(curve.bits / curve.bound), 1.0, 0.0),
            ("error/(2 e_N)", worst(curve.error / (2 * curve.before)), 1.0, 0.0),
            ("growth of C", growth, 0.0, GROWTH_MARGIN),
            ("bits by error", entropy, 1 / gamma, RATE_MARGIN / gamma),
        ):
            answer = judge(measured, predicted, margin, "<=")
            comparisons.append(
                Comparison(name, quantity, measured, "<=", predicted, margin, Kind.ESTIMATED.value, answer)
            )
        low, high = curve.share.min(), curve.share.max()
        remarks.append(f"{name}: bits/(N log2 N) lies between {low:.2f} and {high:.2f}")
        if name == "Lipschitz":
            excess = curve.bits / (np.ceil(1 / curve.error) - 1)
            remarks.append(
                f"{name}: the files have {excess.min():.0f} to {excess.max():.0f} times the bits of the entropy"
            )
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks))


def worst(values: Floats) -> Estimate:
    """Return the largest number, as it is."""
    return Estimate(*[float(values.max())] * 3)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if failed := unless_all_hold(comparisons):
        return failed
    if len(comparisons) < 4 * len(CLASSES):
        return Verdict("undecided", "there are fewer than 3 numbers of terms.")
    return Verdict(
        "holds",
        "every file is within its bound, the error is at most doubled, bits/(N log2 N) does not grow, and the bits "
        "grow with 1/error no faster than the entropy, up to logarithms.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw bits against N with their bound, and error against bits with the entropy."""
    figure = new_figure((10.0, 4.6))
    left, right = figure.subplots(1, 2)
    curves: dict[str, tuple[Floats, Floats]] = {}
    for (name, _), style in zip(CLASSES.items(), STYLES, strict=False):
        curve = Curve.of(finished, name)
        if not len(curve.terms):
            continue
        curves[name] = (curve.bits, curve.error)
        left.loglog(curve.terms, curve.bits, style.marker, color=style.color, markersize=5, label=f"{name}: file")
        left.loglog(curve.terms, curve.bound, ":", color=style.color, linewidth=1.2, label=f"{name}: bound")
    terms = np.geomspace(10, 1000, 50)
    for constant in (10, 40):
        lengths = constant * terms * np.log2(terms)
        left.loglog(terms, lengths, "--", color=GRAY, linewidth=0.8)
        left.annotate(rf"${constant}\, N \log_2 N$", (terms[25], lengths[25]), (4, -10), textcoords="offset points",
                      fontsize=8)  # fmt: skip
    left.set(xlabel="terms N", ylabel="bits of the file")
    left.set_title("length of the stored network", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    eps = np.geomspace(1e-4, 0.5, 60)
    line = (r"Lipschitz: entropy, $\lceil 1/\varepsilon\rceil - 1$ bits", np.maximum(np.ceil(1 / eps) - 1, 1), eps)
    draw_bits(right, curves, entropy=line)
    right.set_title("error against bits", fontsize=10)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="storage",
    claim="If a class has effective approximation rate gamma, each of its functions is within O(N^-gamma) of a network "
    "whose topology and quantized weights are stored with C N log N bits; no code beats the entropy of the class.",
    source="H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 (2019) 8-45",
    rule="For both classes: every file is at most as long as its bound, rounding at most doubles the sup error, the "
    f"fitted exponent of bits/(N log2 N) in N is at most {GROWTH_MARGIN}, and that of bits/log2 N in 1/error is at "
    f"most 1/gamma + {RATE_MARGIN:.0%}, both with their whole 95 % intervals; one that misses contradicts, anything "
    "else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
