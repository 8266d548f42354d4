r"""Study: approximation, estimation and optimization error of one learner, exactly, against time, width and data.

**Identity.** For gradient descent from 0 on least squares at n fixed points, with noise of variance sigma^2, the
expectation of each part of the excess risk,

$$ R(v_t) - R^* = \bigl(\inf_H R - R^*\bigr) + \bigl((R - R_n)(v_t) - (\inf_H R - \inf_H R_n)\bigr)
   + \bigl(R_n(v_t) - \inf_H R_n\bigr), $$

is a closed form in the singular values of the features (`generalization.excess_risk`). Width lowers approximation, time
lowers optimization and raises estimation, data lower estimation: who trains a network pays with one for the other.

Source: F. Bach, Learning Theory from First Principles, MIT Press 2024, chapters 3 and 5; L. Bottou, O. Bousquet, NIPS
20 (2007).

**What is measured.** The learner is the last layer of a ReLU network of w random neurons, on n equally spaced points of
[-1, 1] with the target f(x) = sin(3 pi x) + |x - 0.3|; its steps are iterated on drawn normal noise, and the
infima are least-squares fits. ESTIMATED, beside the closed forms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished, seeds
from epsnet.generalization.excess_risk import Design, excess_risk
from epsnet.generalization.figures import draw_parts
from epsnet.studies.figures import finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS, WIDTH, STEPS = 60, 40, 10**6
"""n, w and t, where they do not vary."""

NOISE, DRAWS = 1.0, 400
ERRORS = 4.0
"""How many standard errors a mean may be off."""

SWEEPS: dict[str, tuple[int, ...]] = {
    "steps": (10**6, 1, 10**4, 10**8, 10**5, 10**3, 10**7, 10**2, 10),
    "width": (40, 4, 160, 12, 80, 20, 8),
    "points": (60, 15, 960, 30, 240, 120, 480),
}
"""What varies, with its values in the order in which a budget takes them."""

PARTS = ("approximation", "estimation", "optimization")


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the cases of three sweeps: 2 values of each for every 5 s of the budget, 4 at least."""
    (own,) = seeds(seed, 1)
    count = max(4, int(2 * budget / 5))
    base = {"steps": STEPS, "width": WIDTH, "points": POINTS, "seed": own}
    found = [base | {"sweep": name, name: value} for name, values in SWEEPS.items() for value in values[:count]]
    return sorted(found, key=lambda case: SWEEPS[case["sweep"]].index(case[case["sweep"]]))


def problem(points: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (n, w), those of fewer neurons first, and the target at the points."""
    generator = np.random.Generator(np.random.Philox(seed))
    angles, shifts = generator.uniform(0, 2 * np.pi, 1000)[:width], generator.uniform(-1, 1, 1000)[:width]
    x = np.linspace(-1, 1, points)[:, None]
    features = np.maximum(np.cos(angles) * x + np.sin(angles) * shifts, 0) * math.sqrt(2 / width)
    return features, np.sin(3 * np.pi * x[:, 0]) + np.abs(x[:, 0] - 0.3)


def exact(case: dict[str, Any], steps: Sequence[int]) -> dict[str, list[float]]:
    """Return the closed forms of the parts after each number of steps."""
    features, target = problem(case["points"], case["width"], case["seed"])
    found = excess_risk(Design.linear(features), target, NOISE, steps)
    approximation = [found.approximation] * len(steps)
    return dict(zip(PARTS, (approximation, found.estimation.tolist(), found.optimization.tolist()), strict=True))


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return means and standard errors of estimation and optimization over drawn noise, with the closed forms."""
    features, target = problem(case["points"], case["width"], case["seed"])
    n, generator = len(target), np.random.Generator(np.random.Philox([case["seed"], 1]))
    y = target[:, None] + math.sqrt(NOISE) * generator.normal(size=(n, DRAWS))
    pinv = np.linalg.pinv(features)
    least = ((features @ (pinv @ y) - y) ** 2).mean(axis=0)
    oracle = np.mean((features @ (pinv @ target) - target) ** 2)
    hessian, pull = features.T @ features / n, features.T @ y / n
    eta = 1 / np.linalg.norm(hessian, 2)
    values = features @ _iterate(np.eye(len(hessian)) - eta * hessian, eta * pull, case["steps"])
    empirical, excess = ((values - y) ** 2).mean(axis=0), ((values - target[:, None]) ** 2).mean(axis=0)
    optimization = empirical - least
    # R - R_n with the noise of a new value, which is sigma^2 on average.
    estimation = excess + NOISE - empirical - (oracle + NOISE - least)
    measured = {"estimation": estimation, "optimization": optimization}
    means = {name: float(sample.mean()) for name, sample in measured.items()}
    errors = {name: float(sample.std(ddof=1) / math.sqrt(DRAWS)) for name, sample in measured.items()}
    return {
        "means": means | {"approximation": float(oracle)}, "errors": errors,
        "exact": {name: values[0] for name, values in exact(case, [case["steps"]]).items()},
    }  # fmt: skip


def _iterate(matrix: np.ndarray, shift: np.ndarray, steps: int) -> np.ndarray:
    """Return what w -> matrix w + shift makes of 0 in so many steps; two halves of them make the whole."""
    found = np.zeros_like(shift)
    while steps:
        if steps % 2:
            found = matrix @ found + shift
        matrix, shift, steps = matrix @ matrix, matrix @ shift + shift, steps // 2
    return found


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare each mean with its closed form, in standard errors; approximation is a number without noise."""
    comparisons = []
    for case in finished:
        found, name = case.result, case.inputs["sweep"]
        for part, error in found["errors"].items():
            off = (found["means"][part] - found["exact"][part]) / max(error, 1e-12)
            measured = Estimate(off, off, off)
            comparisons.append(
                Comparison(
                    f"{name} {case.inputs[name]}", part, measured, "==", 0.0, ERRORS, Kind.ESTIMATED.value,
                    judge(measured, 0.0, ERRORS),
                )
            )  # fmt: skip
    return Analysis(tuple(comparisons), _verdict(comparisons, finished), tuple(_remarks(finished)))


def _remarks(finished: Sequence[Finished]) -> list[str]:
    remarks = []
    for name in SWEEPS:
        values, exacts = _sweep(finished, name)
        if len(values) > 1:
            totals = exacts.sum(axis=0)
            best = int(np.argmin(totals))
            parts = ", ".join(f"{part} {exacts[i, best]:.3g}" for i, part in enumerate(PARTS))
            remarks.append(f"the least excess risk against {name} is {totals[best]:.3g}, at {values[best]}: {parts}")
    return remarks


def _sweep(finished: Sequence[Finished], name: str, of: str = "exact") -> tuple[list[int], np.ndarray]:
    """Return the values of what varies, in order, and the three parts at each."""
    shown = sorted((c for c in finished if c.inputs["sweep"] == name), key=lambda c: c.inputs[name])
    parts = np.array([[case.result[of][part] for case in shown] for part in PARTS])
    return [case.inputs[name] for case in shown], parts


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    if against := unless_all_hold(comparisons):
        return against
    if any(len(_sweep(finished, name)[0]) < 2 for name in SWEEPS):
        return Verdict("undecided", "two values of steps, width and points are needed.")
    worst = max(abs(c.measured.value) for c in comparisons)
    return Verdict("holds", f"{len(comparisons)} means are within {worst:.1f} standard errors of the closed forms.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the exact parts against time, width and data, with the measured means."""
    figure = new_figure((11.4, 3.9))
    labels = {"steps": "steps $t$", "width": "neurons $w$", "points": "points $n$"}
    for axes, (name, values) in zip(figure.subplots(1, 3), SWEEPS.items(), strict=True):
        measured, means = _sweep(finished, name, "means")
        if measured:
            seed, ends = finished[0].inputs["seed"], (max(1, min(values)), max(values))
            grid = np.unique(np.geomspace(*ends, 40).astype(int))
            base = {"steps": STEPS, "width": WIDTH, "points": POINTS, "seed": seed}
            if name == "steps":
                curves = exact(base, grid.tolist())
            else:
                each = [exact(base | {name: int(value)}, [STEPS]) for value in grid]
                curves = {part: [one[part][0] for one in each] for part in PARTS}
            draw_parts(axes, grid, curves, measured, dict(zip(PARTS, means, strict=True)))
        axes.set(xscale="log", xlabel=labels[name])
        axes.xaxis.set_minor_formatter("")
        fixed = {"steps": f"t = {STEPS:,}", "width": f"w = {WIDTH}", "points": f"n = {POINTS}"}
        axes.set_title(", ".join(text for other, text in fixed.items() if other != name), fontsize=10)
    figure.axes[0].set_ylabel("expected excess risk and its parts")
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="error-decomposition",
    claim="The expected approximation, estimation and optimization errors of gradient descent on least squares at "
    "fixed points are |f - Pf|^2/n, sigma^2 sum (2 g_i - 1)/n and sum (1 - g_i)^2 ((u_i . f)^2 + sigma^2)/n.",
    source="F. Bach, Learning Theory from First Principles, MIT Press 2024, chapters 3 and 5; L. Bottou, O. Bousquet, "
    "The tradeoffs of large scale learning, NIPS 20 (2007)",
    rule=f"ReLU features, n = {POINTS}, w = {WIDTH}, t = {STEPS} where they do not vary, {DRAWS} draws of the noise. "
    f"The mean of each part has to be within {ERRORS:g} of its standard errors of the closed form; one farther off "
    "contradicts.",
    budget=20,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
