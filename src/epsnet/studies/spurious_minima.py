r"""Study: two-layer ReLU networks have spurious local minima, and training finds them.

**Theorem** (Safran and Shamir 2018). For inputs N(0, I_k) and the teacher x -> sum of k relu(x_j), the squared loss F
of a student with k neurons has local minima with F > 0 for k = 6, ..., 20.

**Why.** There is a family of critical points, one for each k, with five different numbers in the k x k weights. For k =
5 its Hessian has a negative eigenvalue, for k >= 6 all are positive.

Source: I. Safran, O. Shamir, Spurious local minima are common in two-layer ReLU neural networks, ICML 2018; Y.
Arjevani, M. Field, Analytic study of families of spurious minima in two-layer ReLU neural networks, NeurIPS 2021.

**What is measured.** Existence, value and type of the points are VERIFIED: the checker re-derives them by Krawczyk's
theorem and the eigenvalues of an interval Hessian. How often L-BFGS ends in a spurious minimum is a share of random
starts with the exact interval of Clopper and Pearson, beside the shares that Safran and Shamir report for gradient
descent: STATISTICAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.checker.kernel import check_certificate
from epsnet.experiments import Estimate, Finished
from epsnet.optimization.student_teacher import hit_rate, prove, symmetric_critical_point
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARES = {6: 0.003, 7: 0.055, 8: 0.126, 9: 0.218, 10: 0.346, 12: 0.585}
"""The shares of gradient descent runs in the paper, 1,000 runs each."""

MARGIN = 0.05
_SECONDS_OF_A_RUN = 0.004


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return proofs for k = 5, ..., 12, and random starts for six k, as many as the budget allows."""
    planned: list[dict[str, Any]] = [{"what": "proof", "k": k} for k in range(5, 13)]
    runs = int(np.clip(0.6 * budget / (len(SHARES) * _SECONDS_OF_A_RUN), 100, 1000))
    samples = max(1, round(budget / 60))
    return planned + [
        {"what": "runs", "k": k, "runs": runs, "seed": seed + number} for number in range(samples) for k in SHARES
    ]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the proved bounds of the critical point, or how many runs end in a spurious minimum."""
    if case["what"] == "runs":
        found = hit_rate(case["k"], runs=case["runs"], seed=case["seed"])
        share = [found.rate, found.low, found.high] if found.runs else [0.5, 0.0, 1.0]
        return {"share": share, "runs": found.runs, "unfinished": found.unfinished, "kind": Kind.STATISTICAL.value}
    proved = prove(symmetric_critical_point(case["k"]))
    check_certificate(proved.network, proved.certificate)
    return {
        "loss": [proved.loss_low.value, proved.loss_high.value],
        "eigenvalue": [proved.eigenvalue_low.value, proved.eigenvalue_high.value],
        "kind": proved.loss_low.kind.value,
    }


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the proved signs with the theorem, and the shares with those of the paper."""
    comparisons = []
    for case in finished:
        k, result = case.inputs["k"], case.result
        if case.inputs["what"] == "runs":
            share = Estimate(*result["share"])
            # 1,000 runs are no truth either; only disjoint intervals contradict.
            answer = "contradicts" if judge(share, SHARES[k], MARGIN) == "contradicts" else "holds"
            comparisons.append(
                Comparison(f"k = {k}", "share", share, "==", SHARES[k], MARGIN, result["kind"], answer)
            )  # fmt: skip
            continue
        low, high = result["eigenvalue"]
        sign = 1 if k >= 6 else -1
        measured = Estimate((low + high) / 2, low, high)
        holds = result["loss"][0] > 0 and (low > 0 if sign > 0 else high < 0)
        # The sign is what the theorem says: -lambda <= 0 for a minimum, lambda <= 0 for a saddle.
        shown = Estimate(-measured.value, -high, -low) if sign > 0 else measured
        quantity = "-lambda_min" if sign > 0 else "lambda_min"
        answer = "holds" if holds else "contradicts" if low * sign < 0 and high * sign < 0 else "undecided"
        comparisons.append(Comparison(f"k = {k}", quantity, shown, "<=", 0.0, 0.0, result["kind"], answer))
    return Analysis(tuple(comparisons), _verdict(comparisons), ())


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    wrong = [f"{c.quantity} of {c.subject}" for c in comparisons if c.answer == "contradicts"]
    open_ = [f"{c.quantity} of {c.subject}" for c in comparisons if c.answer == "undecided"]
    if wrong:
        return Verdict("contradicts", f"{'; '.join(wrong)} is not as stated.")
    proved = [c for c in comparisons if c.quantity == "-lambda_min"]
    if open_ or not proved:
        return Verdict("undecided", f"{'; '.join(open_) or 'the minima'} could not be proved.")
    shares = [c for c in comparisons if c.quantity == "share"]
    text = f"spurious local minima are proved for {len(proved)} sizes"
    if shares:
        largest = shares[-1]
        text += f"; {largest.measured.value:.0%} of the runs end in one for {largest.subject}"
    return Verdict("holds", f"{text}.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the least eigenvalue and the loss against k, and the share of runs that end in a spurious minimum."""
    figure = new_figure((9.6, 4.0))
    left, right = figure.subplots(1, 2)
    proofs = [case for case in finished if case.inputs["what"] == "proof"]
    k = [case.inputs["k"] for case in proofs]
    for name, style, label in (
        ("eigenvalue", STYLES[0], "least eigenvalue of the Hessian"),
        ("loss", STYLES[1], "loss $F$"),
    ):
        values = [case.result[name][0] for case in proofs]
        left.plot(k, values, style.marker + "-", color=style.color, linewidth=0.8, markersize=5, label=label)
    left.axhline(0, color=GRAY, linewidth=0.8)
    left.set(xlabel="neurons $k$")
    left.set_title("a critical point for each $k$, VERIFIED: saddle at 5, minima from 6", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    runs = [case for case in finished if case.inputs["what"] == "runs"]
    right.plot(
        list(SHARES), [100 * share for share in SHARES.values()], "_", color=STYLES[1].color, markersize=16,
        markeredgewidth=2, label="Safran and Shamir 2018",
    )  # fmt: skip
    if runs:
        shares = 100 * np.array([case.result["share"] for case in runs])
        right.errorbar(
            [case.inputs["k"] for case in runs], shares[:, 0], np.abs(shares[:, 1:].T - shares[:, 0]), fmt="o",
            color=STYLES[0].color, capsize=3, label=f"{runs[0].inputs['runs']} runs of L-BFGS, 95 %",
        )  # fmt: skip
    right.set(xlabel="neurons $k$", ylabel="percent of runs in a spurious minimum")
    right.set_title("how often training ends there", fontsize=10)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="spurious-minima",
    claim="For inputs N(0, I_k) and the teacher sum_j relu(x_j) the squared loss of a ReLU student with k neurons has "
    "local minima with positive loss for k >= 6 (here up to 12), and local training often ends there.",
    source="I. Safran, O. Shamir, Spurious local minima are common in two-layer ReLU neural networks, ICML 2018",
    rule="The checker re-derives the sign of the least eigenvalue at a critical point with F > 0: negative for k = 5, "
    "positive for k >= 6, or the claim is contradicted; so it is if the interval of a share and that of the paper, "
    f"+- {MARGIN}, are disjoint.",
    budget=45,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
