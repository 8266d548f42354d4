r"""Study: the risk of random features has a peak where they begin to interpolate, and its curve is a closed form.

**Theorem** (Mei and Montanari 2022). Ridge regression on N random features of n points on the sphere in R^d has a risk
that tends, as d grows with N/d -> psi_1 and n/d -> psi_2, to an explicit function of psi_1, psi_2, the penalty lambda
and two numbers of the activation (`generalization.double_descent`). For lambda -> 0 it is infinite at N = n.

**Theorem** (Hastie et al. 2022, Belkin et al. 2020). Least squares of least norm on n normal points in R^d has the bias
|beta|^2 (1 - n/d)^+ and the variance sigma^2 d/(n - d - 1) or sigma^2 n/(d - n - 1), exactly.

**What is measured.** Independent fits with all of it random, ReLU features, d = 100, n = 300: mean risks on new points
with their standard errors; and fits by least squares in R^40. ESTIMATED.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished, seeds
from epsnet.generalization.double_descent import (
    RELU,
    Signal,
    random_features_risk,
    ridgeless_linear_risk,
    simulate_random_features,
)
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIOS = (1.0, 0.2, 3.0, 0.5, 1.5, 0.8, 2.0, 0.1, 0.35, 1.2, 0.65, 5.0)
"""N/n, in the order in which a budget takes them."""

RIDGES = (1e-4, 1e-1)
DIMENSION, POINTS, REPETITIONS = 100, 300, 20
LINEAR_DIMENSION, LINEAR_POINTS, LINEAR_REPETITIONS = 40, (8, 16, 24, 32, 48, 60, 80, 120), 400
SIGNAL = Signal(linear=1.0, nonlinear=0.0, noise=0.1)
ERRORS = 4.0
"""How many standard errors a mean may be off."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one number of features for each 6 s of the budget, 3 to 12, with both penalties, and linear fits."""
    count, own = int(np.clip(budget / 6, 3, len(RATIOS))), seeds(seed, 2)
    linear = [{"measured": "linear", "points": n, "seed": own[1]} for n in LINEAR_POINTS]
    return linear + [
        {"measured": "features", "ratio": ratio, "ridge": ridge, "seed": own[0], "repetitions": REPETITIONS}
        for ratio in RATIOS[:count]
        for ridge in RIDGES
    ]


def relu(x: np.ndarray) -> np.ndarray:
    """Return max(x, 0)."""
    return np.maximum(x, 0)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the mean risk with its standard error, the training error, and the predicted risk."""
    if case["measured"] == "linear":
        return _linear(case["points"], case["seed"])
    features = round(case["ratio"] * POINTS)
    found = simulate_random_features(
        DIMENSION, features, POINTS, case["ridge"], relu, SIGNAL, repetitions=case["repetitions"], seed=case["seed"]
    )
    mean, error = found.mean()
    predicted = random_features_risk(features / DIMENSION, POINTS / DIMENSION, case["ridge"], RELU, SIGNAL)
    return {
        "mean": mean, "error": error, "training": float(found.training_errors.mean()), "predicted": predicted.risk,
    }  # fmt: skip


def _linear(points: int, seed: int) -> dict[str, Any]:
    generator, d = np.random.Generator(np.random.Philox([seed, points])), LINEAR_DIMENSION
    beta, risks = np.eye(d)[0], []
    for _ in range(LINEAR_REPETITIONS):
        x = generator.normal(size=(points, d))
        y = x @ beta + math.sqrt(SIGNAL.noise) * generator.normal(size=points)
        risks.append(float(np.sum((np.linalg.lstsq(x, y, rcond=None)[0] - beta) ** 2)))
    error = np.std(risks, ddof=1) / math.sqrt(len(risks))
    predicted = ridgeless_linear_risk(points, d, SIGNAL.linear, SIGNAL.noise).risk
    return {"mean": float(np.mean(risks)), "error": float(error), "predicted": predicted}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare each mean with the formula, in standard errors, and find the peak."""
    comparisons = []
    for case in finished:
        found = case.result
        if case.inputs["measured"] == "linear":
            subject = f"linear n = {case.inputs['points']}"
        else:
            subject = f"N/n = {case.inputs['ratio']:g}, lambda = {case.inputs['ridge']:g}"
        off = (found["mean"] - found["predicted"]) / found["error"]
        answer = judge(Estimate(off, off, off), 0.0, ERRORS)
        comparisons.append(
            Comparison(subject, "off by se", Estimate(off, off, off), "==", 0.0, ERRORS, Kind.ESTIMATED.value, answer)
        )
    peaks = {ridge: _curve(finished, ridge) for ridge in RIDGES}
    remarks = [
        f"lambda = {ridge:g}: the largest mean risk is {max(means):.3g}, at N/n = {ratios[int(np.argmax(means))]:g}"
        for ridge, (ratios, means, _, _) in peaks.items()
        if len(means)
    ]
    if finished:
        share = max(case.result["error"] / case.result["predicted"] for case in finished)
        remarks.append(f"the standard errors are at most {share:.1%} of the predicted risks")
    return Analysis(tuple(comparisons), _verdict(comparisons, peaks[RIDGES[0]]), tuple(remarks))


def _curve(finished: Sequence[Finished], ridge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return N/n, mean risks, standard errors and training errors, in the order of N/n."""
    found = [
        (case.inputs["ratio"], case.result["mean"], case.result["error"], case.result["training"])
        for case in finished
        if case.inputs.get("ridge") == ridge
    ]
    columns = np.array(sorted(found)).reshape(-1, 4).T
    return columns[0], columns[1], columns[2], columns[3]


def _verdict(comparisons: Sequence[Comparison], curve: tuple[np.ndarray, ...]) -> Verdict:
    if against := unless_all_hold(comparisons):
        return against
    ratios, means = curve[0], curve[1]
    if len(ratios) < 3 or not {1.0} < set(ratios):
        return Verdict("undecided", "fewer than three numbers of features were measured, or N = n was not.")
    if ratios[int(np.argmax(means))] != 1:
        return Verdict("contradicts", f"the largest risk is at N/n = {ratios[int(np.argmax(means))]:g}, not at 1.")
    worst = max(abs(c.measured.value) for c in comparisons)
    return Verdict(
        "holds", f"{len(comparisons)} mean risks are within {worst:.1f} standard errors, and the peak is at N = n."
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the closed forms with the simulated means: random features against N/n, least squares against n/d."""
    figure = new_figure((10.4, 4.2))
    left, right = figure.subplots(1, 2)
    ratios = np.geomspace(0.08, 6, 241)
    for ridge, style in zip(RIDGES, STYLES, strict=False):
        theory = [
            random_features_risk(ratio * POINTS / DIMENSION, POINTS / DIMENSION, ridge, RELU, SIGNAL)
            for ratio in ratios
        ]
        left.loglog(ratios, [one.risk for one in theory], color=style.color, label=rf"risk, $\lambda$ = {ridge:g}")
        left.loglog(ratios, [one.training_error for one in theory], "--", color=style.color, linewidth=1)
        at, means, errors, training = _curve(finished, ridge)
        left.errorbar(at, means, 2 * errors, fmt=style.marker, color=style.color, markersize=4.5, elinewidth=0.9)
        left.loglog(at, training, style.marker, color=style.color, markersize=4, fillstyle="none")
    left.axvline(1, color=GRAY, linewidth=0.8, linestyle=":")
    left.set(xlabel="features for each point, $N/n$", ylabel="risk (dashed: training error)", ylim=(1e-3, None))
    left.set_title(f"ReLU random features: theory, and means at d = {DIMENSION}", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    d, style = LINEAR_DIMENSION, STYLES[2]
    for points in (range(1, d - 1), range(d + 2, 4 * d)):
        curve = [ridgeless_linear_risk(n, d, SIGNAL.linear, SIGNAL.noise) for n in points]
        first = points[0] == 1
        x = np.array(points) / d
        right.plot(x, [one.risk for one in curve], color=style.color, label="risk" if first else None)
        right.plot(
            x, [one.variance for one in curve], "--", color=GRAY, linewidth=1, label="variance" if first else None
        )
    shown = [case for case in finished if case.inputs["measured"] == "linear"]
    right.errorbar(
        [case.inputs["points"] / d for case in shown], [case.result["mean"] for case in shown],
        [2 * case.result["error"] for case in shown], fmt=style.marker, color=style.color, markersize=4.5,
    )  # fmt: skip
    right.axvline(1, color=GRAY, linewidth=0.8, linestyle=":")
    right.set(xlabel="points for each dimension, $n/d$", ylabel="risk", ylim=(0, 2.5))
    right.set_title(f"linear least squares of least norm, d = {d}: exact", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="double-descent",
    claim="The risk of ridge regression on N random features of n points tends to a closed form with a peak at N = n; "
    "least squares in R^d has the risk |beta|^2 (1 - n/d)^+ + sigma^2 min(n, d)/(|n - d| - 1).",
    source="S. Mei, A. Montanari, The generalization error of random features regression, Comm. Pure Appl. Math. 75 "
    "(2022), theorem 2; T. Hastie, A. Montanari, S. Rosset, R. J. Tibshirani, Ann. Statist. 50 (2022)",
    rule=f"ReLU, d = {DIMENSION}, n = {POINTS}, {REPETITIONS} repetitions, tau^2 = {SIGNAL.noise}. Each mean risk has "
    f"to be within {ERRORS:g} of its standard errors of the formula, and for lambda = {RIDGES[0]:g} the largest one at "
    "N = n; a mean that is farther off, or a peak elsewhere, contradicts.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
