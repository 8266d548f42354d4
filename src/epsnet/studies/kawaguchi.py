r"""Study: the loss of a deep linear network has no local minimum that is not global.

**Theorem.** Let X X^T and X Y^T have full rank, Y no more rows than X, and S = Y X^T (X X^T)^-1 X Y^T distinct
eigenvalues lambda_i. Then |W_L ... W_1 X - Y|^2/2 has the critical values (|Y|^2 - sum over I of lambda_i)/2, where I
has no more elements than the narrowest layer has neurons; every local minimum is global, every other critical point is
a saddle, and with one hidden layer the Hessian at each saddle has a negative eigenvalue.

Source: K. Kawaguchi, Deep learning without poor local minima, NeurIPS 2016; P. Baldi, K. Hornik, Neural networks and
principal component analysis, Neural Networks 2 (1989) 53-58.

**What is measured.** On data with rational eigenvectors, gradient and inertia at one point of each kind are PROVED by
the checker, in rationals. On random data Levenberg-Marquardt searches for critical points, and each that it finds is
compared with the list of critical values; which is a test of the list and of the search: ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.checker.kernel import check_certificate
from epsnet.experiments import Estimate, Finished, seeds
from epsnet.optimization.deep_linear import (
    critical_values,
    objective,
    prove,
    rational_critical_points,
    rational_sample,
)
from epsnet.optimization.hessian import spectrum
from epsnet.optimization.landscape import find_critical_point
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRECISION = 1e-10
"""How far the value of a point that was found may be from the list, relative to |Y|^2/2."""

_FLAT = 1e-7


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return exact points of three architectures, and searches on random data, one a second of the budget."""
    planned: list[dict[str, Any]] = [{"points": "exact", "widths": w} for w in ([4, 2, 4], [4, 3, 4], [4, 2, 3, 4])]
    count = int(np.clip(budget, 3, 30))
    widths = ([4, 3, 4], [3, 2, 3], [5, 2, 3])
    own = seeds(seed, count)
    planned += [{"points": "found", "widths": widths[i % 3], "seed": own[i], "starts": 20} for i in range(count)]
    return planned


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return value, distance to the list, negative and zero eigenvalues of each critical point."""
    widths, points = case["widths"], []
    if case["points"] == "exact":
        for chosen, weights in rational_critical_points(widths):
            bounds, network, certificate = prove(weights, *rational_sample())
            check_certificate(network, certificate)
            zero, negative = (int(bounds[name].limit) for name in ("zero", "negative"))
            is_global = len(chosen) == min(widths) and chosen == tuple(range(len(chosen)))
            gradient, value = (float(bounds[name].limit) for name in ("gradient", "loss"))
            points.append([value / 15, gradient, negative, zero, is_global])
        return {"points": points, "kind": Kind.PROVED.value}
    generator = np.random.Generator(np.random.Philox(case["seed"]))
    x = generator.normal(size=(widths[0], 30))
    y = generator.normal(size=(widths[-1], widths[0])) @ x + generator.normal(size=(widths[-1], 30))
    f, gradient, hessian = objective(x, y, widths)
    listed = np.array([value.low for value in critical_values(x, y, min(widths))])
    size, half = sum(a * b for a, b in pairwise(widths)), float(np.sum(y**2)) / 2
    for _ in range(case["starts"]):
        found = find_critical_point(gradient, hessian, generator.normal(size=size), tolerance=1e-10)
        if found.found:
            value, own = f(found.theta), spectrum(hessian(found.theta), tolerance=_FLAT)
            nearest = int(np.abs(listed - value).argmin())
            distance = float(abs(listed[nearest] - value)) / half
            points.append([value / half, distance, own.inertia.negative, own.inertia.zero, nearest == 0])
    return {"points": points, "kind": Kind.ESTIMATED.value}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare distances with 0, and the number of points that are minima without being global with 0."""
    comparisons = []
    for points in ("exact", "found"):
        own = [case for case in finished if case.inputs["points"] == points]
        if not any(case.result["points"] for case in own):
            continue
        kind = own[0].result["kind"]
        rows = [row for case in own for row in case.result["points"]]
        worst = max(row[1] for row in rows)
        allowed = 0.0 if points == "exact" else PRECISION
        quantity = "|gradient|^2" if points == "exact" else "off the list"
        comparisons.append(_compare(f"{len(rows)} {points}", quantity, worst, allowed, kind))
        # A saddle of a deeper network may have a Hessian without negative eigenvalues.
        shallow = [row for case in own if len(case.inputs["widths"]) == 3 for row in case.result["points"]]
        poor = sum((row[2] == 0) != row[4] for row in shallow)
        comparisons.append(_compare(f"{len(shallow)} {points}", "spurious", float(poor), 0.0, kind))
    return Analysis(tuple(comparisons), _verdict(comparisons, finished), _remarks(finished))


def _compare(subject: str, quantity: str, value: float, allowed: float, kind: str) -> Comparison:
    measured = Estimate(value, value, value)
    return Comparison(subject, quantity, measured, "<=", 0.0, allowed, kind, judge(measured, 0.0, allowed, "<="))


def _remarks(finished: Sequence[Finished]) -> tuple[str, ...]:
    deep = [row for case in finished if len(case.inputs["widths"]) > 3 for row in case.result["points"]]
    flat = sum(row[2] == 0 and not row[4] for row in deep)
    if not deep:
        return ()
    return (f"with two hidden layers {flat} of {len(deep)} critical points are saddles that the Hessian does not show",)


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    wrong = [f"{c.quantity} of {c.subject} points" for c in comparisons if c.answer != "holds"]
    if wrong:
        return Verdict("contradicts", f"{'; '.join(wrong)} should be 0.")
    if {case.inputs["points"] for case in finished} != {"exact", "found"}:
        return Verdict("undecided", "exact points and searches are both needed.")
    count = sum(len(case.result["points"]) for case in finished)
    return Verdict("holds", f"all {count} critical points are on the list, and no local minimum is spurious.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw negative eigenvalues against the value for the exact points, and the points that were found."""
    figure = new_figure((9.6, 4.2))
    left, right = figure.subplots(1, 2)
    for number, case in enumerate(case for case in finished if case.inputs["points"] == "exact"):
        rows = np.array(case.result["points"], dtype=float)
        label = "-".join(map(str, case.inputs["widths"]))
        beside = 0.12 * (number - 1)
        left.plot(
            rows[:, 0],
            rows[:, 2] + beside,
            STYLES[number].marker,
            color=STYLES[number].color,
            markersize=5,
            label=label,
        )
    left.axhline(0, color=GRAY, linewidth=0.8)
    left.set(xlabel=r"value / $\frac{1}{2}|Y|^2$", ylabel="negative eigenvalues of the Hessian")
    left.set_title("all kinds of critical points, PROVED", fontsize=10)
    if left.lines[:-1]:
        left.legend(frameon=False, fontsize=8, title="widths", title_fontsize=8)
    rows = [row for case in finished if case.inputs["points"] == "found" for row in case.result["points"]]
    if rows:
        values = np.array(rows, dtype=float)
        best = values[:, 4] == 1
        for chosen, style, label in ((best, STYLES[2], "global minima"), (~best, STYLES[1], "saddles")):
            right.semilogy(
                values[chosen, 2], np.maximum(values[chosen, 1], 1e-17), style.marker, color=style.color,
                markersize=3.5, alpha=0.5, label=f"{chosen.sum()} {label}",
            )  # fmt: skip
        right.axhline(PRECISION, color=GRAY, linewidth=0.8, linestyle="--")
        right.legend(frameon=False, fontsize=8)
    right.set(xlabel="negative eigenvalues of the Hessian", ylabel="distance to the nearest critical value")
    right.set_title("points found on random data, ESTIMATED", fontsize=10)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="kawaguchi",
    claim="The loss of a deep linear network has no local minimum that is not global; its critical values are "
    "(|Y|^2 - sum over I of lambda_i)/2 with eigenvalues lambda_i of Y X^T (X X^T)^-1 X Y^T, |I| <= the least width.",
    source="K. Kawaguchi, Deep learning without poor local minima, NeurIPS 2016; P. Baldi, K. Hornik, Neural Networks "
    "2 (1989) 53-58",
    rule="The checker re-derives gradient 0 and the inertia at exact points; every critical point that a search finds "
    f"has to have a listed value within {PRECISION:g} |Y|^2/2, and with one hidden layer a negative eigenvalue "
    "unless it is global: one that has not contradicts.",
    budget=25,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
