r"""Study: gradient descent on all examples sharpens the loss until the sharpness is 2/eta, and stays there.

**Observation** (Cohen et al. 2021; no theorem covers it). While gradient descent with the step size eta trains a
network, the largest eigenvalue of the Hessian rises to about 2/eta, where a quadratic loss would become unstable, and
hovers there; the loss goes up and down from step to step and falls in the long run.

Source: J. Cohen, S. Kaur, Y. Li, J. Z. Kolter, A. Talwalkar, ICLR 2021.

**What is measured.** The Chebyshev polynomial T_4 at 20 equally spaced points, tanh networks [1, 100, 1], the mean
square loss, float64. The sharpness by Lanczos steps on Hessian-vector products: ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished
from epsnet.optimization.edge_of_stability import chebyshev_regression, descend
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP_SIZES = (0.08, 0.05, 0.12, 0.1, 0.06, 0.07)
LOW, HIGH = 0.97, 1.05
"""Where the mean of eta sharpness/2 over the last half has to be."""

_POINTS = 200
"""Measurements of the sharpness in a run."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return descents of 40,000 steps, one step size for each 10 s of the budget, up to six."""
    count = int(np.clip(budget / 10, 1, len(STEP_SIZES)))
    return [{"step_size": eta, "steps": 40_000, "seed": seed} for eta in STEP_SIZES[:count]]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return eta sharpness/2 and the losses at the same steps."""
    objective, theta = chebyshev_regression(seed=case["seed"])
    every = case["steps"] // _POINTS
    found = descend(objective, theta, case["step_size"], case["steps"], every=every)
    return {
        "at": found.steps.tolist(), "edge": found.edge.tolist(), "losses": found.losses[every - 1 :: every].tolist(),
        "rises": float((np.diff(found.losses[len(found.losses) // 2 :]) > 0).mean()), "diverged": found.diverged,
    }  # fmt: skip


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the mean over the last half with the interval around 1, and the loss of the last tenth with the half."""
    comparisons, remarks = [], []
    for case in finished:
        subject, found = f"eta = {case.inputs['step_size']:g}", case.result
        if found["diverged"] is not None:
            remarks.append(f"{subject}: the loss is not finite at step {found['diverged']}; take a smaller step size")
            continue
        half = len(found["edge"]) // 2
        edge = float(np.mean(found["edge"][half:]))
        ratio = float(np.mean(found["losses"][-half // 5 :]) / np.mean(found["losses"][half : half + half // 5]))
        comparisons += [
            _compare(subject, "edge", edge, (LOW + HIGH) / 2, (HIGH - LOW) / 2, "=="),
            _compare(subject, "loss ratio", ratio, 1.0, 0.0, "<="),
        ]
        remarks.append(f"{subject}: the loss rises in {found['rises']:.0%} of the steps of the last half")
    verdict = unless_all_hold(comparisons) or _verdict(comparisons, finished)
    return Analysis(tuple(comparisons), verdict, tuple(remarks))


def _compare(subject: str, quantity: str, value: float, predicted: float, margin: float, sense: Any) -> Comparison:
    measured = Estimate(value, value, value)
    answer = judge(measured, predicted, margin, sense)
    return Comparison(subject, quantity, measured, sense, predicted, margin, Kind.ESTIMATED.value, answer)


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    if not comparisons or 2 * len(finished) != len(comparisons):
        return Verdict("undecided", "a descent is missing or left the finite numbers.")
    edges = ", ".join(f"{c.measured.value:.4f} ({c.subject})" for c in comparisons if c.quantity == "edge")
    return Verdict("holds", f"eta sharpness/2 is {edges} on average over the last half, while the loss falls.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the sharpness in units of 2/eta, and the losses."""
    figure = new_figure((9.6, 4.0))
    left, right = figure.subplots(1, 2)
    left.axhline(1, color=GRAY, linewidth=1, linestyle="--")
    left.axhspan(LOW, HIGH, color=GRAY, alpha=0.15, linewidth=0)
    for case, style in zip(finished, STYLES, strict=False):
        found, label = case.result, rf"$\eta$ = {case.inputs['step_size']:g}"
        left.plot(found["at"], found["edge"], color=style.color, linewidth=1, label=label)
        right.semilogy(found["at"], found["losses"][: len(found["at"])], color=style.color, linewidth=0.8)
    left.set(xlabel="steps", ylabel=r"$\eta\,\lambda_{\max}/2$", ylim=(0, 1.3))
    left.set_title("the sharpness rises to 2/η and stays (band: the rule)", fontsize=10)
    right.set(xlabel="steps", ylabel="mean square loss")
    right.set_title("the loss falls, but not from step to step", fontsize=10)
    if finished:
        left.legend(frameon=False, fontsize=8, loc="lower right")
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="edge-of-stability",
    claim="Gradient descent with step size eta on all examples raises the largest eigenvalue of the Hessian of a "
    "network to 2/eta, and it stays there while the loss falls.",
    source="J. Cohen, S. Kaur, Y. Li, J. Z. Kolter, A. Talwalkar, Gradient descent on neural networks typically occurs "
    "at the edge of stability, ICLR 2021 (an observation)",
    rule=f"For each step size the mean of eta sharpness/2 over the last half of the steps has to be in [{LOW}, {HIGH}]"
    ", and the mean loss of their last fifth at most that of their first; one that is not contradicts.",
    budget=30,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
