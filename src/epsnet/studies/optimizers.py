r"""Study: optimizers to machine precision, on one problem.

**Observation** (Michaud, Liu, Tegmark 2023; Wang, Lai 2024; no theorem covers it). On a smooth function of one variable
a tanh network trained along gradients stalls far from what it can represent. Levenberg-Marquardt steps come closer,
variable projection with such steps comes orders of magnitude closer still with the same network, and a second network
for the residual reaches the rounding of float64.

Sources: E. J. Michaud, Z. Liu, M. Tegmark, Precision machine learning, Entropy 25 (2023) 175; Y. Wang, C.-Y. Lai,
Multi-stage neural networks, J. Comput. Phys. 504 (2024) 112865.

**What is measured.** F(x) = sin 3x + x cos 5x on [-1, 1], networks [1, 20, 1], all fitted at the same 200 Chebyshev
points (the two stages, with 100 neurons, at 400); the root mean square error at 2,001 points in between, against
evaluations of the whole sample: an epoch of SGD, momentum, Adam or AdamW (with a weight decay of 1e-4), an iteration
of L-BFGS, a step of Levenberg-Marquardt, of which the trials of start frequencies count as well. The last evaluates a
Jacobian of 61 columns, of 40 with variable projection, which costs as much as that many gradients at most. The stages
have several starts. ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.core.realize import realize
from epsnet.experiments import Estimate, Finished
from epsnet.optimization.precision import chebyshev_points, fit_in_stages
from epsnet.studies.figures import GRAY, STYLES, Style, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, STAGES = 20, (20, 80)
RMS, FACTOR = 5e-8, 1e-3
"""What variable projection has to reach, and how far the others have to be behind."""

LARGEST = 1e-13
"""What each start of the two stages has to reach."""

STEP_SIZES = {"sgd": 0.1, "momentum": 0.05, "adam": 0.1, "adamw": 0.1}
"""With batches of 50 and the cosine schedule; a third and three times of each are worse, or diverge."""

NAMES = {"sgd": "SGD", "momentum": "momentum", "adam": "Adam", "adamw": "AdamW", "lbfgs": "L-BFGS",
         "levenberg_marquardt": "LM", "varpro": "VarPro-LM", "stages": "two stages"}  # fmt: skip
POINTS = 200


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return 4,000 epochs or 1,000 iterations or 200 steps of each method, a start of the stages for each 12 s."""
    lengths = dict.fromkeys(STEP_SIZES, 4000) | {"lbfgs": 1000, "levenberg_marquardt": 1000, "varpro": 200}
    runs = [{"method": name, "evaluations": count, "seed": seed} for name, count in lengths.items()]
    starts = range(seed, seed + int(np.clip(budget / 12, 1, 30)))
    return runs + [{"method": "stages", "evaluations": 100, "seed": start} for start in starts]


def function(x: np.ndarray) -> np.ndarray:
    """Return sin 3x + x cos 5x."""
    return np.sin(3 * x) + x * np.cos(5 * x)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return evaluations with the errors after them, and the largest error at the end."""
    fine = np.linspace(-1, 1, 2001)[:, None]
    if case["method"] in ("varpro", "stages"):
        return _projected(case, fine)
    from epsnet.core.network import Network
    from epsnet.diff import fit

    x, options = chebyshev_points(Box(-1, 1), POINTS), {}
    if case["method"] in STEP_SIZES:
        options = {"step_size": STEP_SIZES[case["method"]], "batch_size": 50}
        options["weight_decay"] = 1e-4 if case["method"] == "adamw" else 0.0
    found = fit(
        x, function(x[:, 0]), [1, WIDTH, 1], loss="square", activation="tanh", optimizer=case["method"],
        epochs=case["evaluations"], seed=case["seed"], validation=(fine, function(fine[:, 0])), **options,
    )  # fmt: skip
    network = Network.from_layers(found.layers, activation="tanh")
    least = np.minimum.accumulate([record.validation_error for record in found.history])
    shown = np.unique(np.geomspace(1, len(least), 60).astype(int))
    return {
        "evaluations": shown.tolist(), "rms": least[shown - 1].tolist(),
        "largest": float(np.abs(realize(network, fine).ravel() - function(fine[:, 0])).max()), "status": found.status,
    }  # fmt: skip


def _projected(case: dict[str, Any], fine: np.ndarray) -> dict[str, Any]:
    """Return the same for variable projection after more and more steps, each a run of its own from the same start.

    A frequency is chosen among four in the first stage, three in the second, after 60 steps each.
    """
    staged, length = case["method"] == "stages", case["evaluations"]
    neurons = STAGES if staged else (WIDTH,)
    x = chebyshev_points(Box(-1, 1), 5 * STAGES[1] if staged else POINTS)
    evaluations, errors = [], []
    for steps in [length] if staged else [25, 50, 100, length]:
        found = fit_in_stages(x, function(x[:, 0]), neurons, iterations=steps, seed=case["seed"])
        evaluations.append(sum(steps + (tried - 1) * min(60, steps) for tried in (4, 3)[: len(neurons)]))
        errors.append(np.abs(realize(found.network, fine).ravel() - function(fine[:, 0])))
    least = np.minimum.accumulate([np.sqrt(np.mean(error**2)) for error in errors])
    return {
        "evaluations": evaluations, "rms": least.tolist(), "largest": float(errors[-1].max()), "status": "finished"
    }  # fmt: skip


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the errors at the end with the rule."""
    found = {case.inputs["method"]: case.result for case in finished if case.inputs["method"] != "stages"}
    starts = [case.result["largest"] for case in finished if case.inputs["method"] == "stages"]
    if "varpro" not in found or not starts:
        return Analysis((), Verdict("undecided", "the fits by variable projection are missing."))
    best = found["varpro"]["rms"][-1]
    comparisons = [_compare(NAMES["varpro"], "RMS error", best, RMS)]
    for name, result in found.items():
        if name != "varpro" and result["evaluations"][-1] >= found["varpro"]["evaluations"][-1]:
            comparisons.append(_compare(f"VarPro/{NAMES[name]}", "RMS ratio", best / result["rms"][-1], FACTOR))
    comparisons.append(_compare(NAMES["stages"], "worst start", max(starts), LARGEST))
    remarks = [
        f"{NAMES[name]}: RMS {result['rms'][-1]:.2e}, max {result['largest']:.2e} after {result['evaluations'][-1]} "
        "evaluations"
        for name, result in found.items()
    ]
    remarks.append(f"{len(starts)} starts of the two stages: largest errors {min(starts):.1e} to {max(starts):.1e}")
    return Analysis(tuple(comparisons), unless_all_hold(comparisons) or _verdict(comparisons), tuple(remarks))


def _compare(subject: str, quantity: str, value: float, most: float) -> Comparison:
    measured = Estimate(value, value, value)
    answer = judge(measured, most, 0.0, "<=")
    return Comparison(subject, quantity, measured, "<=", most, 0.0, Kind.ESTIMATED.value, answer)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if len(comparisons) < len(NAMES):
        return Verdict("undecided", "some optimizer is missing or had fewer evaluations than Levenberg-Marquardt.")
    rms, *ratios, largest = (c.measured.value for c in comparisons)
    return Verdict(
        "holds",
        f"variable projection reaches an RMS error of {rms:.1e}, at most {max(ratios):.1e} of that of every other "
        f"optimizer, and every start of two stages a largest error of at most {largest:.1e}.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the errors against evaluations."""
    figure = new_figure((7.4, 4.6))
    axes = figure.subplots()
    for name, style in zip(NAMES, (Style(GRAY, "*"), *STYLES), strict=True):
        own = [case.result for case in finished if case.inputs["method"] == name]
        for number, found in enumerate(own):
            least = min(result["rms"][-1] for result in own)
            axes.loglog(
                found["evaluations"], found["rms"], marker=style.marker, markersize=3, color=style.color, linewidth=1.2,
                label=f"{NAMES[name]}: {least:.1e}" if number == 0 else None,
            )  # fmt: skip
    axes.axhline(2.0**-53, color=GRAY, linewidth=1, linestyle="--")
    axes.text(1, 1.3 * 2.0**-53, "unit roundoff of float64", fontsize=8, color=GRAY)
    axes.set(xlabel="evaluations of the whole sample", ylabel="RMS error between the points")
    axes.set_title(r"$\sin 3x + x\cos 5x$, tanh networks [1, 20, 1]; two stages: [1, 100, 1], ESTIMATED", fontsize=10)
    if finished:
        axes.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="optimizers",
    claim="On sin 3x + x cos 5x and tanh networks [1, 20, 1], variable projection with Levenberg-Marquardt steps is "
    "orders of magnitude closer than SGD, momentum, Adam(W), L-BFGS and plain LM; a second stage reaches machine "
    "precision.",
    source="E. J. Michaud, Z. Liu, M. Tegmark, Entropy 25 (2023) 175; Y. Wang, C.-Y. Lai, J. Comput. Phys. 504 (2024) "
    "112865 (observations)",
    rule=f"Variable projection has to reach an RMS error of {RMS:g}, and {FACTOR:g} times that of each other "
    f"optimizer, which has no fewer evaluations; every start of the stages {list(STAGES)} a largest error of "
    f"{LARGEST:g}. One that does not contradicts.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
