r"""Study: at which rate does stochastic gradient descent converge, strongly and weakly, in n steps?

**Theorem.** For f quadratic with curvature h, noise of variance C > 0, steps c/n^nu and gamma = c h: the strong error
(E|theta_n - theta*|^2)^(1/2) decays as n^(-nu/2) for nu < 1 and as n^(-min(1/2, gamma)) for nu = 1, gamma not 1/2;
E psi(theta_n) - psi(theta*) for smooth psi with psi'(theta*) = 0 at twice that rate. For convex f with Lipschitz
gradients and steps c/n with c large enough, the strong rate is 1/2 and the weak rate is 1. With steps c/n^nu, 1/2 < nu
< 1, the average of the iterates has the rate 1/2 and the smallest possible constant, tr(H^-1 C H^-1).

**Why.** The recursion for the second moment is linear in one dimension: S <- (1 - g h)^2 S + g^2 C, and the sums
behave as integrals (`epsnet.optimization.sgd_rates` has the sources).

**What is measured.** For quadratics nothing is sampled: the moments follow the exact recursion in float64, and the
slope is taken over the last octaves. For regularized logistic regression SGD runs coupled with its linearization, a
control variate without bias, and the exponents come with intervals from independent groups of runs. All are ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished, fit_rate
from epsnet.optimization.figures import draw_coupled, draw_errors
from epsnet.optimization.sgd_rates import (
    CoupledRates,
    Steps,
    StochasticProblem,
    coupled_rates,
    logistic_regression,
    moments,
    predicted_exponent,
    quadratic,
    strong_error,
    weak_error,
)
from epsnet.studies.figures import finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.02
STEPS = ((1.0, 1.0), (1.0, 0.75), (0.25, 1.0), (2.0, 1.0))
"""Pairs (gamma, nu): both sides of gamma = 1/2, and steps that shrink slower."""

_PER_STEP = 5e-8
"""Seconds for one step of one path."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the quadratics, averaging, and logistic regression, with more samples of paths for more budget."""
    top = 18 if budget >= 30 else 14
    planned: list[dict[str, Any]] = [
        {"problem": "quadratic", "gamma": gamma, "nu": nu, "top": top} for gamma, nu in STEPS
    ]
    planned.append({"problem": "averaged", "gamma": 0.5, "nu": 0.7, "top": min(top, 16)})
    last = 14 if budget >= 30 else 12
    paths = int(np.clip(0.35 * budget / (_PER_STEP * 2**last), 1000, 20_000))
    samples = max(1, round(budget / 60))
    logistic = {"problem": "logistic", "last": last, "paths": paths}
    return planned + [{**logistic, "seed": seed + number} for number in range(samples)]


def example() -> StochasticProblem:
    """Return logistic regression on 50 points of one variable, ridge 0.1; the data follow a formula."""
    i = np.arange(1, 51.0)
    x, z = (2 * (i * c - np.floor(i * c)) - 1 for c in (0.6180339887498949, 0.7320508075688772))
    return logistic_regression(x, np.where(2 * x + 1.5 * z + 0.3 > 0, 1.0, -1.0), 0.1)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return strong and weak errors against n."""
    if case["problem"] == "logistic":
        problem, at = example(), [2**k for k in range(6, case["last"] + 1)]
        steps = Steps(2 / float(problem.curvature[0, 0]), 1, 10)
        found = coupled_rates(
            problem, lambda t: np.sin(t[:, 0]), steps, at, start=[0.0], paths=case["paths"], seed=case["seed"]
        )
        names = ("n", "strong", "strong_se", "weak", "weak_se", "plain_se")
        arrays = {name: getattr(found, name).tolist() for name in names}
        ends = {f"{name}_exponent": _triple(getattr(found, f"{name}_exponent")) for name in ("strong", "weak")}
        return arrays | ends | {"strong_from": found.strong_from, "weak_from": found.weak_from}
    at = [2**k for k in range(6, case["top"] + 1)]
    found = moments(quadratic(1.0, 1.0, 1.0), Steps(case["gamma"], case["nu"]), at)
    if case["problem"] == "averaged":
        return {"n": at, "strong": [float(m.average_second) ** 0.5 for m in found]}
    return {
        "n": at,
        "strong": [strong_error(m) for m in found],
        "weak": [weak_error(m, np.cos) for m in found],
    }


def _triple(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare all exponents with the predicted ones."""
    comparisons = []
    for case in finished:
        inputs, result = case.inputs, case.result
        if inputs["problem"] == "logistic":
            for name, predicted in (("strong", 0.5), ("weak", 1.0)):
                comparisons.append(_compare("logistic", name, Estimate(*result[f"{name}_exponent"]), predicted))
            continue
        averaged = inputs["problem"] == "averaged"
        strong = 0.5 if averaged else predicted_exponent(inputs["gamma"], inputs["nu"])
        subject = "average" if averaged else f"c h={inputs['gamma']:g}, nu={inputs['nu']:g}"
        for name, predicted in (("strong", strong), ("weak", 2 * strong)):
            if name in result:
                slope = fit_rate(result["n"][-4:], result[name][-4:]).exponent
                measured = Estimate(-slope.value, -slope.high, -slope.low)
                comparisons.append(_compare(subject, name, measured, predicted))
    return Analysis(tuple(comparisons), _verdict(comparisons), _remarks(finished))


def _compare(subject: str, name: str, measured: Estimate, predicted: float) -> Comparison:
    answer = judge(measured, predicted, MARGIN)
    return Comparison(subject, f"{name} rate", measured, "==", predicted, MARGIN, Kind.ESTIMATED.value, answer)


def _remarks(finished: Sequence[Finished]) -> tuple[str, ...]:
    own = [case.result for case in finished if case.inputs["problem"] == "logistic"]
    gains = [result["plain_se"][-1] / result["weak_se"][-1] for result in own]
    return tuple(f"the control variate divides the noise of the weak error by {gain:.0f}" for gain in gains)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    against = [f"the {c.quantity} of {c.subject}" for c in comparisons if c.answer == "contradicts"]
    open_ = [f"the {c.quantity} of {c.subject}" for c in comparisons if c.answer == "undecided"]
    if against:
        return Verdict("contradicts", f"{'; '.join(against)} is off by more than {MARGIN}.")
    if open_:
        return Verdict("undecided", f"the interval is wider than the margin for {'; '.join(open_)}.")
    if not any(c.subject == "logistic" for c in comparisons):
        return Verdict("undecided", "logistic regression was not measured.")
    worst = max(abs(c.measured.value - c.predicted) for c in comparisons)
    return Verdict("holds", f"all {len(comparisons)} exponents are within {worst:.4f} of the predicted ones.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the exact errors of quadratics and those of logistic regression, with lines of the predicted slopes."""
    figure = new_figure((9.6, 4.4))
    left, right = figure.subplots(1, 2)
    for case, color, marker in zip(
        [case for case in finished if case.inputs["problem"] != "logistic"],
        ("blue", "orange", "green", "purple", "gray"), "os^Dv", strict=False,
    ):  # fmt: skip
        averaged = case.inputs["problem"] == "averaged"
        slope = 0.5 if averaged else predicted_exponent(case.inputs["gamma"], case.inputs["nu"])
        text = rf"$\gamma={case.inputs['gamma']:g}$, $\nu={case.inputs['nu']:g}$: $r={slope:g}$"
        label = ("average, " if averaged else "") + text
        draw_errors(left, case.result["n"], case.result["strong"], slope, label=label, color=color, marker=marker)
    left.set(xlabel="steps $n$", ylabel=r"$(E|\theta_n-\theta^*|^2)^{1/2}$")
    left.set_title("quadratic, exact recursion; lines: predicted slopes", fontsize=10)
    if left.lines:
        left.legend(frameon=False, fontsize=8)
    for case in finished:
        if case.inputs["problem"] == "logistic":
            draw_coupled(right, _rates(case.result))
    right.set_title("logistic regression, coupled; lines: slopes −1/2, −1", fontsize=10)
    return finish(figure, analysis.verdict.answer)


def _rates(result: dict[str, Any]) -> CoupledRates:
    values: dict[str, Any] = {name: np.asarray(value) for name, value in result.items()}
    values |= {name: Estimate(*result[name]) for name in ("strong_exponent", "weak_exponent")}
    return CoupledRates(**values)


STUDY = Study(
    name="sgd-rates",
    claim="SGD with steps c/n^nu on a quadratic has the strong rate nu/2 for nu < 1 and min(1/2, c h) for nu = 1, and "
    "twice that as weak rate; the averaged iterates have the rate 1/2; on regularized logistic regression with steps "
    "c/n the strong rate is 1/2 and the weak rate 1.",
    source="A. Jentzen, P. von Wurstemberger, J. Complexity 57 (2020); A. Jentzen, B. Kuckuck, A. Neufeld, P. von "
    "Wurstemberger, IMA J. Numer. Anal. 41 (2021); B. T. Polyak, A. B. Juditsky, SIAM J. Control Optim. 30 (1992)",
    rule=f"Every exponent has to be the predicted one within {MARGIN} with its whole 95 % interval; one interval that "
    "misses contradicts, anything else is undecided.",
    budget=50,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
