r"""Study: how fast do greedy algorithms approximate in L2 with n ReLU neurons?

**Theorem.** Let f have a finite variation norm over the ReLU ridge functions on a cube in R^d (f is in Barron's space,
or F1). Then the orthogonal greedy algorithm finds f_n with n neurons and

$$ \|f - f_n\|_{L^2} \le C(d)\,\|f\|\,n^{-1/2-3/(2d)}, $$

n^-2 for d = 1 and n^{-5/4} for d = 2. The Frank-Wolfe algorithm on the ball of radius M that contains f has

$$ \|f - f_n\|_{L^2} \le (M \sup_g \|g\| + \|f\|)\,n^{-1/2}. $$

**Why.** Every step of either takes the ridge function g for which <r, g> is largest, and <r, f> <= M max <r, g>: that
is enough for n^{-1/2}, in any dimension. The convex hull of ridge functions is much smaller than a ball: its metric
entropy decays like n^{-1/2-3/(2d)}, and orthogonal projections use that.

**What is measured.** f(x) = sin(2 pi x) and f(x, y) = sin(2 pi x) cos(2 pi y), n = 4, ..., 128. All errors are
VERIFIED: the rule `mesh` of the checker integrates over a mesh that follows all kinks. Exponents and their intervals
are ESTIMATED: lines fitted to certified errors. M is the total variation of a measure that f is an integral of ridge
functions against: for d = 1, f(x) = f'(0) x + int f''(b) (x - b)_+ db gives 10 pi; for d = 2, f is the mean of the
sines of 2 pi (x + y) and 2 pi (x - y), each of which has two periods of the frequency 2 pi 2^{1/2} along a unit vector,
and that gives 18 pi 2^{1/2}.

Sources: A. R. Barron, IEEE Transactions on Information Theory 39 (1993) 930-945; F. Bach, JMLR 18 (2017) no. 19;
J. W. Siegel, J. Xu, Optimal convergence rates for the orthogonal greedy algorithm, IEEE Transactions on Information
Theory 68 (2022) 3354-3361.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.approximation.greedy import MAX_NEURONS, greedy
from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.rounding import ball_arithmetic
from epsnet.checker.rule import Context
from epsnet.checker.rules import mesh
from epsnet.core.target import Target
from epsnet.experiments import Estimate, Finished, fit_rate
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.1
_LEAST = 64
"""A curve that ends before decides nothing."""

_SECONDS = 0.0015
"""That one case for each function and method takes with n neurons, about, divided by n^2."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function, its dimension, M, its L2 norm and the largest L2 norm of a ridge function on the unit cube."""

    formula: str
    dimension: int
    radius: float
    norm: float
    ridge: float

    @property
    def rate(self) -> float:
        """The exponent of the orthogonal algorithm, -1/2 - 3/(2d)."""
        return -0.5 - 1.5 / self.dimension

    @property
    def guarantee(self) -> float:
        """The constant of the Frank-Wolfe algorithm."""
        return self.radius * self.ridge + self.norm


FUNCTIONS = (
    Function("sin(2*pi*x)", 1, 10 * math.pi, math.sqrt(1 / 2), math.sqrt(1 / 3)),
    Function("sin(2*pi*x)*cos(2*pi*y)", 2, 18 * math.pi * math.sqrt(2), 1 / 2, math.sqrt(7 / 12)),
)
METHODS = ("orthogonal", "relaxed", "frank-wolfe")


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each n = 4 * 2^(k/2), each function and each method; the seed plays no role."""
    planned: list[dict[str, Any]] = []
    for k in itertools.count():
        n = round(4 * 2 ** (k / 2))
        budget -= _SECONDS * n**2
        if budget < 0 or n > MAX_NEURONS:
            return planned
        planned += [{"formula": f.formula, "method": method, "neurons": n} for f in FUNCTIONS for method in METHODS]
    return planned


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the error of one method with n neurons, which the checker agrees with, and the network's variation."""
    function = next(f for f in FUNCTIONS if f.formula == case["formula"])
    d, n = function.dimension, case["neurons"]
    target = Target(function.formula, Box([0] * d, [1] * d), norm="L2")
    radius = function.radius if case["method"] == "frank-wolfe" else None
    path = greedy(target, n, method=case["method"], radius=radius)
    bound, witness = path.bound(n)
    with ball_arithmetic():
        mesh.check(Context(bound, (), path.network(n), target, witness))
    return {"error": bound.value, "variation": path.variation(n), "kind": bound.kind.value}


def _curve(finished: Sequence[Finished], function: Function, method: str) -> tuple[list[int], list[float]]:
    """Return n and the errors of one method."""
    own = [c for c in finished if (c.inputs["formula"], c.inputs["method"]) == (function.formula, method)]
    return [case.inputs["neurons"] for case in own], [case.result["error"] for case in own]


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the exponents of the orthogonal algorithm with the theory, and the other errors with their guarantee."""
    comparisons, remarks = [], []
    for function, method in itertools.product(FUNCTIONS, METHODS):
        n, errors = _curve(finished, function, method)
        if max(n, default=0) < _LEAST:
            continue
        exponent, subject = fit_rate(n, errors).exponent, f"{method}, d = {function.dimension}"
        if method == "orthogonal":
            quantity, measured, predicted, margin = "exponent", exponent, function.rate, MARGIN
        else:
            worst = max(e * math.sqrt(k) for k, e in zip(n, errors, strict=True)) / function.guarantee
            quantity, measured, predicted, margin = "of guarantee", Estimate(worst, worst, worst), 1.0, 0.0
            remarks.append(
                f"{subject}: the slope of the certified errors is {exponent.value:.3f} in [{exponent.low:.3f}, "
                f"{exponent.high:.3f}], the error at most {worst:.3f} of (M sup |g| + |f|) n^(-1/2)"
            )
        answer = judge(measured, predicted, margin, "<=")
        comparisons.append(
            Comparison(subject, quantity, measured, "<=", predicted, margin, Kind.ESTIMATED.value, answer)
        )
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks))


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    against = [f"{c.subject} ({c.quantity})" for c in comparisons if c.answer == "contradicts"]
    unsettled = [f"{c.subject} ({c.quantity})" for c in comparisons if c.answer == "undecided"]
    if against:
        return Verdict("contradicts", f"{', '.join(against)} is slower than the theory and its margin allow.")
    if len(comparisons) < len(FUNCTIONS) * len(METHODS):
        return Verdict("undecided", f"there are curves with fewer than {_LEAST} neurons.")
    if unsettled:
        return Verdict("undecided", f"the interval reaches beyond the margin for {', '.join(unsettled)}.")
    slopes = ", ".join(f"{c.measured.value:.3f}" for c in comparisons if c.quantity == "exponent")
    return Verdict(
        "holds",
        f"the orthogonal greedy algorithm has the exponents {slopes} for d = 1, 2 with intervals below "
        f"-1/2 - 3/(2d) + {MARGIN}, and the other two stay below what they guarantee.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the errors against n with the predicted slopes."""
    figure = new_figure((9.0, 4.6))
    panels = figure.subplots(1, len(FUNCTIONS))
    for axes, function in zip(panels, FUNCTIONS, strict=True):
        for method, style in zip(METHODS, STYLES, strict=False):
            counts, values = _curve(finished, function, method)
            if not counts:
                continue
            n, errors = np.array(counts, dtype=float), np.array(values)
            label = method
            if len(n) >= 3:
                slope = fit_rate(n, errors).exponent
                label += f"\n  slope {slope.value:.2f} in [{slope.low:.2f}, {slope.high:.2f}]"
            axes.loglog(n, errors, style.marker + "-", color=style.color, markersize=4.5, linewidth=0.8, label=label)
            if method != "relaxed":
                rate = function.rate if method == "orthogonal" else -0.5
                axes.loglog(n, 1.5 * errors[-1] * (n / n[-1]) ** rate, "--", color=style.color, linewidth=1)
        rate = "n^{-2}" if function.dimension == 1 else "n^{-5/4}"
        axes.plot([], [], "--", color=GRAY, linewidth=1, label=rf"slopes of the theory, ${rate}$ and $n^{{-1/2}}$")
        axes.set(xlabel="neurons n", ylabel=r"$\|f-f_n\|_{L^2}$, VERIFIED")
        axes.set_title(f"f = {function.formula.replace('*', ' ')}", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="barron-rates",
    claim="For f of finite variation norm the orthogonal greedy algorithm with n ReLU neurons has an L2 error of order "
    "n^(-1/2 - 3/(2d)), and the Frank-Wolfe algorithm one of at most (M sup |g| + |f|) n^(-1/2).",
    source="A. R. Barron, IEEE Transactions on Information Theory 39 (1993) 930-945; F. Bach, JMLR 18 (2017) no. 19; "
    "J. W. Siegel, J. Xu, IEEE Transactions on Information Theory 68 (2022) 3354-3361",
    rule="For both functions the fitted exponent of the orthogonal algorithm over n = 4, ..., 128 (or more) has to be "
    f"at most -1/2 - 3/(2d) + {MARGIN}, with its whole 95 % interval, and the errors of the other two below the "
    "guarantee of the Frank-Wolfe algorithm; an interval that lies above contradicts, anything else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
