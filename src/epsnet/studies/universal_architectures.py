r"""Study: a network of fixed size approximates everything; what does its weight cost?

**Theorem.** There is a smooth sigmoidal activation with which for every continuous F on [a, b] and every eps > 0 some

$$ \Phi(x) = c_0 + c_1 \sigma\Bigl(\frac{x - a}{b - a} + 2 n\Bigr) $$

has sup |F - Phi| <= eps: one neuron, four weights. **The catch.** If 2^H balls of radius eps are needed to cover a set
of functions, then the weights of the networks for some of them have at least H binary digits, however the activation is
chosen. The order in which it runs through the polynomials decides how many more there are: in the order of Calkin and
Wilf a coefficient c costs about 2^(sum of its continued fraction) digits, in the order of a code about log2 of it.

**The entropy.** For F = sum_k a_k T_k (Chebyshev polynomials on [a, b]) let G_F be the set of all g = sum_k b_k T_k
with |b_k| <= |a_k|. F is one of its corners, and a code whose length grows with |b_k| is longest there. As

$$ \sup |g|^2 \ge \frac1\pi \int \frac{g(y)^2}{\sqrt{1 - y^2}}\,dy = b_0^2 + \tfrac12 \sum_{k \ge 1} b_k^2, $$

comparing volumes in any n of the coefficients (m of them with k >= 1), V_n the volume of the unit ball, gives

$$ H(\varepsilon) \ge \sum_k \log_2 (2 |a_k|) - \log_2 V_n - n \log_2 \varepsilon - m/2. $$

**What is measured.** Every network is constructed, and its error is VERIFIED by rule `universal`; its digits are
counted. The entropy is ESTIMATED: the a_k come from float64. Beside them: the EUAF network of 18 neurons, whose two
long weights memorize values; the file of the ReLU network that `learn` finds; and, where the index of Calkin and Wilf
is too long to be written, the digits it would have, ESTIMATED on a sample.

**Two variables.** The EUAF network of 39 neurons has four long weights; the network of 44 neurons with the sigmoidal
activation that makes steps, in the widths of Maiorov and Pinkus, has 15, and one level of its cells ends near 1/26 of
the oscillation of F (`approximation.superposition`). What they store of F is what it takes to store any g on [0, 1]^2
with |g(x) - g(y)| <= L max_i |x_i - y_i|, so they are compared with the entropy of all of them: in each of the m^2
squares of side 1/m let g be a pyramid of height L/(2m), up or down. Two of these 2^(m^2) functions are at least L/m
apart, and

$$ H(\varepsilon) \ge m^2 \quad\text{for every}\quad m < L/(2\varepsilon). $$

Sources: V. Maiorov, A. Pinkus, Lower bounds for approximation by MLP neural networks, Neurocomputing 25 (1999) 81-91;
N. J. Guliyev, V. E. Ismailov, Neural Computation 28 (2016) 1289-1304; Z. Shen, H. Yang, S. Zhang, JMLR 23 (2022), paper
276; A. N. Kolmogorov, V. M. Tikhomirov, eps-entropy and eps-capacity of sets in function spaces, Uspekhi Mat. Nauk 14
(1959) 3-86.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.approximation.euaf import euaf_network
from epsnet.approximation.superposition import superposition_network
from epsnet.approximation.universal import bits_of_weights, calkin_wilf_bits, chebyshev_coefficients, universal_network
from epsnet.certify.bound import Kind
from epsnet.certify.errors import CertificateError
from epsnet.core.target import Target, read_domain
from epsnet.experiments import Estimate, Finished
from epsnet.learning.learn import learn
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FACTOR, ADDEND = 4, 64
FUNCTIONS = (("exp(x)", "0,1"), ("sin(x)", "0,3"), ("1/x", "1,2"), ("exp(-x^2)", "-3,3"), ("1/(1 + 25*x^2)", "-1,1"))
"""Entire, analytic near a pole, even with a peak."""

PLANE = (("x*y", "0,1;0,1"), ("(x^2 + y^2)/2", "0,1;0,1"))
"""Functions of two variables, for both of which L = 2."""
STEEPNESS = 2.0

SCHEMES = ("codec", "calkin-wilf", "euaf", "steps", "relu")
_DOMAINS = dict(FUNCTIONS + PLANE)


_PLAN = (
    ("codec", ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6"), FUNCTIONS, 1.2),
    ("calkin-wilf", ("1e-1", "3e-2", "1e-2", "3e-3", "1e-3", "3e-4", "1e-4"), FUNCTIONS[:3], 1.2),
    ("euaf", ("3e-1", "2e-1", "1e-1", "5e-2"), FUNCTIONS[:1], 0.6),
    ("relu", ("1e-1", "1e-2", "1e-3"), FUNCTIONS[:1], 0.6),
    ("euaf", ("3e-1", "2e-1"), PLANE, 1.2),
    ("steps", ("3e-1", "2e-1", "1e-1"), PLANE, 1.2),
    ("relu", ("1e-4", "1e-5", "1e-6"), FUNCTIONS[:1], 12.0),
    ("euaf", ("2e-2",), FUNCTIONS[:1], 12.0),
    ("euaf", ("1e-1",), PLANE, 40.0),
    ("steps", ("5e-2", "3e-2"), PLANE, 40.0),
)
"""Scheme, accuracies, functions and the seconds of a case; what comes last takes a larger budget."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return cases of falling eps for the schemes and functions, as far as the budget reaches; no seed is used."""
    planned = []
    for scheme, accuracies, functions, seconds in _PLAN:
        for eps, (formula, _) in itertools.product(accuracies, functions):
            budget -= seconds
            if budget < 0:
                return planned
            planned.append({"formula": formula, "scheme": scheme, "eps": eps})
    return planned


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the digits of all weights, of the long one, and the error; for an index that is too long, its digits."""
    target, eps, scheme = _target(case["formula"]), Fraction(case["eps"]), case["scheme"]
    if scheme == "relu":
        solution = learn(target, eps)
        error = solution.error
        return {"bits": solution.bits, "weight_bits": None, "error": error.value, "kind": error.kind.value}
    try:
        found = _BUILDERS[scheme](target, eps) if scheme in _BUILDERS else universal_network(target, eps, scheme)
    except CertificateError:
        if scheme != "calkin-wilf":
            raise
        bits = calkin_wilf_bits(target, eps)
        return {"bits": bits, "weight_bits": bits, "error": None, "kind": Kind.ESTIMATED.value}
    return {
        "bits": bits_of_weights(found.network), "weight_bits": found.weight_bits, "error": found.error.value,
        "kind": found.error.kind.value,
    }  # fmt: skip


_BUILDERS = {"euaf": euaf_network, "steps": superposition_network}


def _target(formula: str) -> Target:
    return Target(formula, read_domain(_DOMAINS[formula])[0])


@functools.cache
def _series(formula: str) -> list[float]:
    """Return the Chebyshev coefficients of a function of one variable."""
    return chebyshev_coefficients(_target(formula)).tolist()


def entropy(coefficients: Sequence[float], eps: float) -> float:
    """Return the lower bound of H(eps) of the module for |b_k| <= |coefficients[k]|, with the best choice of k."""
    # A coefficient adds log2(2|a| / eps) and, but for k = 0, takes 1/2: the largest ones are the best.
    gains = sorted((math.log2(2 * abs(a) / eps) - (k > 0) / 2 for k, a in enumerate(coefficients) if a), reverse=True)
    best = total = 0.0
    for n, gain in enumerate(gains, start=1):
        total += gain
        volume = n / 2 * math.log2(math.pi) - math.lgamma(n / 2 + 1) / math.log(2)
        best = max(best, total - volume)
    return best


def entropy_in_the_plane(eps: float) -> float:
    """Return the lower bound of H(eps) of the module for functions of two variables with L = `STEEPNESS`."""
    return float(max(math.ceil(STEEPNESS / (2 * eps)) - 1, 0) ** 2)


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the digits of the weights with the entropy from both sides, for the codec and every function."""
    comparisons, details = [], {}
    for formula, _ in FUNCTIONS:
        series = _series(formula)
        own = [case for case in finished if case.inputs["formula"] == formula]
        rows = [{**c.inputs, **c.result, "entropy": entropy(series, float(c.inputs["eps"]))} for c in own]
        details[formula] = rows
        codec = [(row["entropy"], row["bits"]) for row in rows if row["scheme"] == "codec"]
        for quantity, ratios in (
            ("H/bits", [h / bits for h, bits in codec]),
            (f"bits/({FACTOR}H+{ADDEND})", [bits / (FACTOR * h + ADDEND) for h, bits in codec]),
        ):
            if ratios:
                worst = Estimate(max(ratios), max(ratios), max(ratios))
                answer = judge(worst, 1.0, 0.0, "<=")
                comparisons.append(Comparison(formula, quantity, worst, "<=", 1.0, 0.0, Kind.ESTIMATED.value, answer))
    for formula, _ in PLANE:
        own = [case for case in finished if case.inputs["formula"] == formula]
        rows = [{**c.inputs, **c.result, "entropy": entropy_in_the_plane(float(c.inputs["eps"]))} for c in own]
        details[formula] = rows
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(_remarks(details)), details)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    against = [f"{c.quantity} of {c.subject}" for c in comparisons if c.answer == "contradicts"]
    if against:
        return Verdict("contradicts", f"{', '.join(against)} exceeds 1.")
    if len(comparisons) < 2 * len(FUNCTIONS):
        return Verdict("undecided", "some function was not measured.")
    return Verdict(
        "holds",
        f"for all {len(FUNCTIONS)} functions one neuron in codec order is as accurate as asked for, with weights of at "
        f"least H and at most {FACTOR} H + {ADDEND} binary digits.",
    )


def _remarks(details: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Say for each function what the weights cost at the finest accuracy, scheme by scheme."""
    for formula, rows in details.items():
        for scheme in SCHEMES:
            own = [row for row in rows if row["scheme"] == scheme and row["bits"] is not None]
            if own:
                row = min(own, key=lambda row: float(row["eps"]))
                built = "constructed, VERIFIED" if row["kind"] == Kind.VERIFIED.value else "not constructed, ESTIMATED"
                text = f"{row['bits']:,} bits ({built}), H >= {row['entropy']:.0f}"
                yield f"{formula} at {row['eps']}, {scheme}: {text}"


_LABELS = {
    "calkin-wilf": "one neuron, order of Calkin and Wilf",
    "euaf": "18 EUAF neurons",
    "relu": "ReLU network: bits of its file",
    "codec": "one neuron, codec order",
}


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw bits against eps: every scheme and the first function; the codec and every function; two variables."""
    figure = new_figure((13.2, 4.6))
    left, right, plane = figure.subplots(1, 3)
    formula = FUNCTIONS[0][0]
    rows = analysis.details.get(formula, [])
    for (scheme, label), style in zip(_LABELS.items(), STYLES, strict=False):
        own = [row for row in rows if row["scheme"] == scheme and row["bits"] is not None]
        built = [row for row in own if row["kind"] == Kind.VERIFIED.value]
        line = [[float(row["eps"]) for row in own], [row["bits"] for row in own]]
        left.loglog(*line, "-", color=style.color, linewidth=1)
        left.loglog(
            [float(row["eps"]) for row in built], [row["bits"] for row in built], style.marker, color=style.color,
            markersize=5, label=label,
        )  # fmt: skip
        found = [row for row in own if row not in built]
        left.loglog(
            [float(row["eps"]) for row in found], [row["bits"] for row in found], style.marker, color=style.color,
            markersize=6, fillstyle="none",
        )  # fmt: skip
    eps = np.logspace(-6, -0.5, 60)
    for number, (name, _) in enumerate(FUNCTIONS):
        style = STYLES[number]
        series = _series(name)
        bound = [entropy(series, value) for value in eps.tolist()]
        if name == formula:
            left.loglog(eps, bound, color=GRAY, linewidth=1.5, label="entropy H (lower bound)")
        own = [row for row in analysis.details.get(name, []) if row["scheme"] == "codec"]
        places = [float(row["eps"]) for row in own]
        right.loglog(places, [row["bits"] for row in own], style.marker, color=style.color, label=name.replace("*", ""))
        right.loglog(eps, bound, color=style.color, linewidth=1)
    left.set(xlabel=r"accuracy $\varepsilon$", ylabel="bits of all weights", ylim=(3, None))
    left.set_title(f"{formula}: filled VERIFIED, open not constructed", fontsize=10)
    right.set(xlabel=r"accuracy $\varepsilon$", ylim=(3, None))
    right.set_title("one neuron in codec order, and H (lines)", fontsize=10)
    _draw_plane(plane, analysis)
    for axes in (left, right, plane):
        axes.invert_xaxis()
        axes.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


def _draw_plane(axes: Axes, analysis: Analysis) -> None:
    """Draw bits against eps for the functions of two variables."""
    for number, (name, _) in enumerate(PLANE):
        for scheme, line, label in (("euaf", "-", "39 EUAF neurons"), ("steps", "--", "44 neurons of steps")):
            style = STYLES[number]
            own = [row for row in analysis.details.get(name, []) if row["scheme"] == scheme]
            axes.loglog(
                [float(row["eps"]) for row in own], [row["bits"] for row in own], style.marker + line,
                color=style.color, linewidth=1, label=f"{name.replace('*', ' ')}: {label}",
            )  # fmt: skip
    eps = np.logspace(-1.6, -0.5, 60)
    axes.loglog(eps, [entropy_in_the_plane(value) for value in eps.tolist()], color=GRAY, linewidth=1.5,
                label="entropy H of all as steep")  # fmt: skip
    axes.set(xlabel=r"accuracy $\varepsilon$", ylim=(3, None))
    axes.set_title("two variables, VERIFIED", fontsize=10)
    axes.xaxis.set_minor_formatter("")


STUDY = Study(
    name="universal-architectures",
    claim="One neuron with a universal sigmoidal activation approximates every continuous function on an interval to "
    "every accuracy; its weights have at least H(eps) binary digits, H the entropy of a class around the function.",
    source="V. Maiorov, A. Pinkus, Neurocomputing 25 (1999) 81-91; N. J. Guliyev, V. E. Ismailov, Neural Computation "
    "28 (2016) 1289-1304; Z. Shen, H. Yang, S. Zhang, JMLR 23 (2022), paper 276",
    rule="For every function and accuracy the constructed network in codec order has to be VERIFIED and its weights "
    f"together to have at least H and at most {FACTOR} H + {ADDEND} binary digits, H the volume bound for the class of "
    "all functions whose Chebyshev coefficients are at most those of the function; one excess contradicts, a function "
    "without a measurement leaves it undecided. The other schemes are shown and do not decide.",
    budget=72,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
