r"""Study: averages of two networks of one size come close to networks of that size, at the rate (N + 1)^-2.

**Theorem.** Let f_1, f_2 be functions on [0, 1] with N breakpoints and total variation at most V of the slope. Their
average is within V/(4 (N + 1)^2) of a function with N breakpoints, in the sup norm, and within V/(8 (N + 1)^2) if all
weights have one sign. There are pairs with V/(4 (N + 1) (N + 2)) and with V/(8 (N + 1)^2).

Source: docs/near_convexity.md, theorem 1, with its proof. The question is from the lecture.

**What is measured.** For every pair a polygon and windows bracket the defect: both sides are VERIFIED. That the mean
over random pairs, uniform breakpoints and normal weights scaled to V = 1, decays at the same rate is ESTIMATED. Its
exponent is that of N + 1, the number of pieces, since the theorem is exact in N + 1 for weights of one sign; as a power
of N, even (N + 1)^-2 has the exponent -1.855 between N = 4 and 64. Both are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished, PowerLaw, fit_rate, seeds
from epsnet.optimization.near_convexity import alternating_pair, convex_pair, defect, interlaced_pair, random_pair
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEURONS = (4, 8, 16, 32, 64)
EXPONENT_MARGIN = 0.15
PRECISION = 1e-3
"""What is allowed of a ratio that is known: the brackets of these pairs are a tenth as wide."""

_PAIRS = 15
_NAMED = {"alternating": alternating_pair, "convex": convex_pair, "interlaced": interlaced_pair}
_FORMULAS = {
    "alternating": lambda n: 1 / (4 * (n + 1) * (n + 2)),
    "convex": lambda n: 1 / (8 * (n + 1) ** 2),
}


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the three pairs of the theorem, and a round of random ones for every three seconds, 2 to 40.

    A round has 64/N pairs of size N: the relative scatter of a defect is about as N^(-1/2), so the means are equally
    precise, and all sizes take about the same time.
    """
    planned: list[dict[str, Any]] = [{"pair": name, "neurons": n} for n in NEURONS for name in _NAMED]
    most = NEURONS[-1] // NEURONS[0]
    rounds = np.reshape(seeds(seed, most * int(np.clip(budget / 3, 2, 40))), (-1, most)).tolist()
    planned += [
        {"pair": "random", "neurons": n, "seed": s} for own in rounds for n in NEURONS for s in own[: NEURONS[-1] // n]
    ]
    return planned


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the bracket of the defect and what the theorem allows."""
    n = case["neurons"]
    if case["pair"] == "random":
        found = defect(*random_pair(n, case["seed"]), gap=1e-2)
    else:
        found = defect(*_NAMED[case["pair"]](n), gap=PRECISION / 10)
    low, high = map(float, found.bracket)
    return {"low": low, "high": high, "limit": float(found.limit), "kind": found.upper.kind.value}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare all pairs with the theorem, and the decay of the mean over random pairs with (N + 1)^-2."""
    comparisons = []
    if finished:
        worst = max(finished, key=lambda case: case.result["high"] / case.result["limit"])
        ratio = _ratio(worst, worst.result["limit"])
        comparisons.append(_compare(f"{len(finished)} pairs", "defect/limit", ratio, "<=", 1.0, PRECISION, worst))
    for name, formula in _FORMULAS.items():
        own = [case for case in finished if case.inputs["pair"] == name]
        if own:
            far = max(own, key=lambda case: abs(case.result["high"] / formula(case.inputs["neurons"]) - 1))
            ratio = _ratio(far, formula(far.inputs["neurons"]))
            comparisons.append(_compare(name, "defect/formula", ratio, "==", 1.0, PRECISION, far))
    rate = _rate(finished)
    if rate is not None:
        answer = judge(rate.exponent, -2.0, EXPONENT_MARGIN)
        comparisons.append(
            Comparison(
                "random pairs", "exponent", rate.exponent, "==", -2.0, EXPONENT_MARGIN, Kind.ESTIMATED.value, answer
            )
        )
    remarks = [
        f"N^2 times the defect of interlaced breakpoints is {n**2 * case.result['high']:.6f} <= 1/16 for N = {n}"
        for case in finished
        if case.inputs["pair"] == "interlaced" and (n := case.inputs["neurons"]) == NEURONS[-1]
    ]
    if rate is not None:
        sizes, means = _means(finished)
        own, exact = (fit_rate(sizes, y).exponent for y in (means, [(n + 1) ** -2 for n in sizes]))
        remarks.append(
            f"as a power of N, not N + 1, the mean over random pairs has the exponent {own.value:.3f} in "
            f"[{own.low:.3f}, {own.high:.3f}], and (N + 1)^-2 itself {exact.value:.3f}"
        )
    return Analysis(tuple(comparisons), _verdict(comparisons, finished), tuple(remarks))


def _compare(
    subject: str, quantity: str, measured: Estimate, sense: Any, predicted: float, margin: float, case: Finished
) -> Comparison:
    answer = judge(measured, predicted, margin, sense)
    return Comparison(subject, quantity, measured, sense, predicted, margin, case.result["kind"], answer)


def _ratio(case: Finished, by: float) -> Estimate:
    return Estimate(case.result["high"] / by, case.result["low"] / by, case.result["high"] / by)


def _random(finished: Sequence[Finished], neurons: int) -> list[Finished]:
    return [c for c in finished if (c.inputs["pair"], c.inputs["neurons"]) == ("random", neurons)]


def _means(finished: Sequence[Finished]) -> tuple[list[int], list[float]]:
    sizes = [n for n in NEURONS if _random(finished, n)]
    return sizes, [float(np.mean([case.result["high"] for case in _random(finished, n)])) for n in sizes]


def _rate(finished: Sequence[Finished]) -> PowerLaw | None:
    sizes, means = _means(finished)
    return fit_rate([n + 1 for n in sizes], means) if len(sizes) >= 3 and min(means) > 0 else None


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    if (verdict := unless_all_hold(comparisons)) is not None:
        return verdict
    fewest = min(len(_random(finished, n)) for n in NEURONS)
    if fewest < _PAIRS or len(comparisons) < 4:
        return Verdict("undecided", f"{fewest} random pairs of one size are fewer than {_PAIRS}, or a pair is missing.")
    slope = next(c.measured.value for c in comparisons if c.quantity == "exponent")
    return Verdict(
        "holds", f"all {len(finished)} pairs obey the theorem, its two pairs attain it, and random ones decay as "
        f"(N + 1)^{slope:.2f}: averages come closer as the networks grow.",
    )  # fmt: skip


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the defect against N with the proved lines, and the same times (N + 1)^2."""
    figure = new_figure((9.6, 4.4))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    n = np.geomspace(NEURONS[0] / 1.2, NEURONS[-1] * 1.2, 50)
    sizes, means = _means(finished)
    for axes, scale in ((left, np.ones_like), (right, lambda m: (m + 1.0) ** 2)):
        axes.loglog(n, scale(n) / (4 * (n + 1) ** 2), color=STYLES[6].color, linewidth=1)
        axes.loglog(n, scale(n) / (8 * (n + 1) ** 2), color=GRAY, linewidth=1, linestyle="--")
        for number, (name, label) in enumerate(
            (("alternating", "alternating bends"), ("convex", "convex"), ("interlaced", "interlaced breakpoints"))
        ):
            own = [case for case in finished if case.inputs["pair"] == name]
            m = np.array([case.inputs["neurons"] for case in own], dtype=float)
            values = np.array([case.result["high"] for case in own])
            style = STYLES[number + 1]
            axes.loglog(m, scale(m) * values, style.marker, color=style.color, markersize=5, label=label)
        for size in sizes:
            values = np.array([case.result["high"] for case in _random(finished, size)])
            m = np.full(len(values), float(size))
            axes.loglog(m, scale(m) * values, ".", color=STYLES[5].color, markersize=4, alpha=0.6)
        m = np.array(sizes, dtype=float)
        axes.loglog(m, scale(m) * np.array(means), STYLES[0].marker + "-", color=STYLES[0].color, markersize=4.5)
        axes.set_xticks(NEURONS, [str(size) for size in NEURONS], minor=False)
        axes.set_xticks([], minor=True)
        axes.set_xlabel("breakpoints N of each of the two functions")
    rate = _rate(finished)
    slope = "" if rate is None else f": $(N+1)^{{{rate.exponent.value:.2f}}}$"
    left.lines[0].set_label(r"PROVED: at most $V/(4(N+1)^2)$")
    left.lines[1].set_label(r"PROVED: convex at most $V/(8(N+1)^2)$")
    left.lines[-1].set_label(f"mean of random pairs{slope}, ESTIMATED")
    left.set_ylim(bottom=2e-7)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    left.set_ylabel(r"distance of $(f_1+f_2)/2$ to N breakpoints")
    left.set_title("VERIFIED defects, V = 1", fontsize=10)
    right.set_ylabel(r"$(N+1)^2$ times the defect")
    right.set_title("at most 1/4, with weights of one sign 1/8", fontsize=10)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="near-convexity",
    claim="The average of two functions with N breakpoints on [0, 1] and total variation V of the slope is within "
    "V/(4 (N + 1)^2) of a function with N breakpoints in the sup norm, and there are pairs with V/(4 (N + 1) (N + 2)): "
    "the set of networks becomes more convex with their size.",
    source="docs/near_convexity.md, theorem 1; the question is the lecture's, and J. Berner, D. Elbrächter, P. Grohs, "
    "NeurIPS 2019, and P. Petersen, M. Raslan, F. Voigtlaender, Found. Comput. Math. 21 (2021) 375-444, study the set",
    rule="Every bracket of a defect has to lie below the proved bound, and those of the two pairs of the theorem at "
    f"their formulas, within {PRECISION:g}; the mean over at least {_PAIRS} random pairs has to be a power of N + 1 "
    f"with the exponent -2 within {EXPONENT_MARGIN}, with its whole Student-t interval. One miss contradicts.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
