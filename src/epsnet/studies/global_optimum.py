r"""Study: how often does local training of a two-layer ReLU network find the global optimum, by width?

**Theorem** (L. Chizat, F. Bach, NeurIPS 2018). For infinitely many neurons, gradient flow of a two-layer network with
a positively homogeneous activation, from an initial distribution of the neurons with full support, can converge to
global minimizers only: a limit that is none is left along the neuron that violates the dual constraint. So the
fraction of starts that end at the optimum is claimed to tend to 1 with the width; the theorem names no width.

**What is measured.** The optimum over networks of every width is known from both sides: `train_global` gives a network
and a lower bound that the checker re-derives (VERIFIED), so that a start is a success without any doubt about what was
to be found: its objective is at most 1 % above the lower bound. Starts have Gaussian weights, |w| about 1 and |a| about
width^(-1/2); training is L-BFGS on all weights, for at most 2000 steps. The rate of failures is a STATISTICAL number
with its Clopper-Pearson interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished
from epsnet.optimization.train_global import train_global
from epsnet.optimization.two_layer import TwoLayerProblem, train_locally
from epsnet.statistics.binomial import clopper_pearson
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

SUCCESS = 0.01
"""Relative distance to the certified lower bound up to which a start counts as a success."""
WIDE, FAILURES = 64, Fraction(1, 5)
_CONFIDENCE = Fraction(95, 100)
_WIDTHS = (2, 4, 8, 16, 32, 64)
_STARTS = 2
_PROBLEMS = ((40, 2, 0.1), (40, 3, 0.1))
"""Points, dimension, weight decay."""


def problem(points: int, dimension: int, beta: float) -> TwoLayerProblem:
    """Return a deterministic problem: points from two Kronecker sequences with a column of ones, noisy labels."""
    i = np.arange(1, points + 1)
    x, y, z = (2 * np.mod(i * c, 1) - 1 for c in (0.6180339887498949, 0.41421356237309515, 0.7320508075688772))
    ones = np.ones(points)
    if dimension == 2:
        return TwoLayerProblem(np.column_stack([x, ones]), np.sin(3 * x) + np.abs(x) + 0.3 * z, beta)
    return TwoLayerProblem(np.column_stack([x, y, ones]), np.sin(3 * x) * np.cos(2 * y) + 0.3 * z, beta)


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the cases that certify the optima, then starts for each problem and width, more for more budget."""
    rounds = min(max(round(0.6 * budget / _STARTS), 1), 500)
    optima = [{"points": n, "dimension": d, "beta": b, "width": 0, "first": 0, "seed": seed} for n, d, b in _PROBLEMS]
    trained = [
        {"points": n, "dimension": d, "beta": b, "width": width, "first": _STARTS * number, "seed": seed}
        for number in range(rounds)
        for width in _WIDTHS
        for n, d, b in _PROBLEMS
    ]
    return optima + trained


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the certified bracket of the optimum, or the objectives that local training ends at."""
    subject = problem(case["points"], case["dimension"], case["beta"])
    if case["width"] == 0:
        found = train_global(subject.inputs, subject.labels, subject.beta)
        certificate = found.certificate
        return {"upper": certificate.primal.value, "lower": certificate.dual.value, "neurons": len(found.outer)}
    objectives = []
    for start in range(case["first"], case["first"] + _STARTS):
        random = np.random.Generator(np.random.Philox([case["seed"], 1, start]))
        hidden = random.normal(size=(case["width"], case["dimension"])) / np.sqrt(case["dimension"])
        outer = random.normal(size=case["width"]) / np.sqrt(case["width"])
        objectives.append(subject.objective(*train_locally(subject, hidden, outer)))
    return {"objectives": objectives}


def _excess(finished: Sequence[Finished], dimension: int) -> dict[int, Floats]:
    """Return objective / lower bound - 1 of all starts by width, as far as the optimum is known."""
    own = [case for case in finished if case.inputs["dimension"] == dimension]
    lower = [case.result["lower"] for case in own if case.inputs["width"] == 0]
    trained = [case for case in own if case.inputs["width"] > 0] if lower else []
    objectives: dict[int, list[float]] = {}
    for case in trained:
        objectives.setdefault(case.inputs["width"], []).extend(case.result["objectives"])
    return {width: np.array(values) / lower[0] - 1 for width, values in objectives.items()}


def _failures(excess: Floats) -> Estimate:
    """Return the rate of failures with its two-sided interval of confidence 95 %."""
    trials, failed = len(excess), int(np.count_nonzero(excess > SUCCESS))
    delta = (1 - _CONFIDENCE) / 2
    low = 1 - clopper_pearson(trials - failed, trials, delta)
    return Estimate(failed / trials, low, clopper_pearson(failed, trials, delta))


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the rate of failures of the widest networks with the limit, for every problem."""
    comparisons, remarks = [], []
    for points, dimension, beta in _PROBLEMS:
        excess = _excess(finished, dimension)
        if WIDE in excess:
            measured = _failures(excess[WIDE])
            answer = judge(measured, float(FAILURES), 0.0, "<=")
            comparisons.append(
                Comparison(
                    f"d = {dimension}", f"fail m={WIDE}", measured, "<=", float(FAILURES), 0.0, Kind.STATISTICAL.value,
                    answer,
                )
            )  # fmt: skip
        rates = ", ".join(f"{width}: {1 - _failures(values).value:.0%}" for width, values in sorted(excess.items()))
        if rates:
            remarks.append(f"n = {points}, d = {dimension}, beta = {beta:g}: successes by width {rates}")
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks))


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    answers = {comparison.answer for comparison in comparisons}
    if "contradicts" in answers:
        return Verdict("contradicts", f"more than {float(FAILURES):.0%} of the starts fail at width {WIDE}.")
    if len(comparisons) < len(_PROBLEMS):
        return Verdict("undecided", "not every problem was measured.")
    if "undecided" in answers:
        return Verdict("undecided", f"the interval of the rate of failures contains {float(FAILURES):.0%}.")
    worst = max(comparison.measured.high for comparison in comparisons)
    return Verdict("holds", f"at width {WIDE} at most {worst:.1%} of the starts end more than {SUCCESS:.0%} too high.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw what every start ends at above the certified optimum, and the rate of successes with intervals."""
    figure = new_figure((9.0, 4.4))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for number, ((points, dimension, _), style) in enumerate(zip(_PROBLEMS, STYLES, strict=False)):
        excess = dict(sorted(_excess(finished, dimension).items()))
        label = f"n = {points}, d = {dimension}"
        shift = 1.12 ** (2 * number - 1)
        for width, values in excess.items():
            jitter = 1.1 ** np.linspace(-0.6, 0.6, len(values))
            left.loglog(width * shift * jitter, values, ".", color=style.color, markersize=3, alpha=0.6)
        if excess:
            left.loglog(
                np.array(list(excess)) * shift, [float(np.median(v)) for v in excess.values()], style.marker,
                color=style.color, label=f"{label}, median", markersize=6, markeredgecolor="white",
            )  # fmt: skip
            rates = [_failures(values) for values in excess.values()]
            y = [1 - rate.value for rate in rates]
            bars = [[rate.high - rate.value for rate in rates], [rate.value - rate.low for rate in rates]]
            right.errorbar(
                np.array(list(excess)) * 1.04 ** (2 * number - 1), y, bars, fmt=f"{style.marker}-", color=style.color,
                capsize=2, label=label,
            )  # fmt: skip
    left.axhline(SUCCESS, color=GRAY, linewidth=1, linestyle="--")
    left.set(xlabel="width $m$", ylabel="objective / certified optimum $-$ 1")
    left.set_title("where local training ends (VERIFIED optimum over all widths)", fontsize=10)
    right.axhline(1 - float(FAILURES), color=GRAY, linewidth=1, linestyle="--")
    right.set_xscale("log")
    right.set(xlabel="width $m$", ylabel=f"starts within {SUCCESS:.0%} of the optimum", ylim=(-0.03, 1.03))
    right.set_title("how often it is the optimum (95 % intervals)", fontsize=10)
    for axes in (left, right):
        axes.set_xticks(_WIDTHS, [str(width) for width in _WIDTHS])
        axes.minorticks_off()
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="global-optimum",
    claim="Local training of a two-layer ReLU network with weight decay, from random weights, ends at the global "
    "optimum over networks of every width with a probability that tends to 1 with the width.",
    source="L. Chizat, F. Bach, On the global convergence of gradient descent for over-parameterized models using "
    "optimal transport, NeurIPS 2018 (infinite width); the optimum: M. Pilanci, T. Ergen, ICML 2020",
    rule=f"A start is a success if its objective is at most {SUCCESS:.0%} above the certified lower bound. For both "
    f"problems the rate of failures at width {WIDE} has to be at most {float(FAILURES):.0%} with its whole "
    "Clopper-Pearson interval of 95 %; an interval above it contradicts, anything else is undecided.",
    budget=50,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
