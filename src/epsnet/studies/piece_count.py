r"""Study: how many pieces does a continuous piecewise-linear function need to be eps-close in the sup norm?

**Theorem.** Let f be continuous on [a, b] and C^2 off finitely many points, near each of which |f''| is monotone with
integrable square root. The least number n(eps) of pieces of a continuous piecewise-linear g with sup |f - g| <= eps has

$$ \lim_{\varepsilon\to 0} n(\varepsilon)\,\varepsilon^{1/2} = \frac14 \int_a^b |f''(x)|^{1/2}\,dx. $$

**Why.** Best uniform approximation of a parabola f with f'' = c on an interval of length h by a line is off by
|c| h^2/16: a chord is off by |c| h^2/8, and moving it by half of that balances the error. With error eps the piece at x
may be h(x) = 4 (eps/|f''(x)|)^(1/2) long up to factors that tend to 1, and n = int dx/h(x). So much for g that may
jump; but on convex (and on concave) stretches the best pieces err by eps at both ends, on the same side, hence fit
together without jumps, and each of the finitely many inflection points costs a bounded number of pieces, as does the
rounding of n to an integer. So n(eps) = C eps^(-1/2) + O(1) for a smooth f without double zeros of f''.

Sources: G. M. Phillips, Algorithms for piecewise straight line approximations, Computer Journal 11 (1968) 211-212
(convex f); D. E. McClure, Nonlinear segmented function approximation and analysis of line patterns, Quarterly of
Applied Mathematics 33 (1975) 1-37; H. G. Burchard, D. F. Hale, Piecewise polynomial approximation on optimal meshes,
Journal of Approximation Theory 14 (1975) 128-147 (all degrees, singular derivatives).

**What is measured.** Both sides of n(eps) are VERIFIED: the rule `reach` of the checker re-derives that fewer pieces
cannot do, and a polygon with rational vertices is enclosed piece by piece by `core.difference.difference_range`, the
enclosure of the rule `cover`. The integral comes from quadrature of a formula for f'', independently. Exponent and
constant are ESTIMATED from the counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.errors import CertificateError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.checker.rule import Context
from epsnet.checker.rules import reach
from epsnet.core.difference import difference_range
from epsnet.core.evaluate import evaluate_float
from epsnet.core.grammar import parse
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Layer, Network
from epsnet.core.target import Target, read_domain
from epsnet.enclosure.tube import Path, Window, minimal_link_path, outer_windows
from epsnet.experiments import Estimate, Finished, PowerLaw, fit_limit, fit_rate
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPONENT_MARGIN, CONSTANT_MARGIN = 0.02, 0.02
_ASYMPTOTIC = 8
"""Counts below this are left out of the fits: the O(1) in n(eps) is not small against them."""

_FAMILY_CONFIDENCE = 0.95
_MARGIN, _TINY_MARGIN = Fraction(1, 2**10), Fraction(1, 2**23)
_MAX_DEPTH = 60


@dataclass(frozen=True, slots=True)
class Function:
    """A function f on an interval, its second derivative, and where that changes sign."""

    formula: str
    domain: str
    second_derivative: str
    inflections: tuple[float, ...] = ()


FUNCTIONS = (
    Function("exp(x)", "0,1", "exp(x)"),
    Function("sqrt(x)", "0,1", "-x^(-3/2)/4"),
    Function("gelu(x)", "-4,4", "exp(-x^2/2)/sqrt(2*pi)*(2 - x^2)", (-math.sqrt(2), math.sqrt(2))),
    Function("tanh(x)", "-4,4", "-2*tanh(x)*(1 - tanh(x)^2)", (0.0,)),
    Function("1/(1 + 25*x^2)", "-1,1", "50*(75*x^2 - 1)/(1 + 25*x^2)^3", (-1 / math.sqrt(75), 1 / math.sqrt(75))),
    Function("sin(x)", "0,10", "-sin(x)", (math.pi, 2 * math.pi, 3 * math.pi)),
)
"""Convex, singular at an end, with inflection points, with a peak, oscillating."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each accuracy 10^(-k/4), k = 6, 7, ..., and each function; the seed plays no role.

    It stops where one core would need more than the budget, at 6 ms a piece.
    """
    planned: list[dict[str, Any]] = []
    constants = [constant(function) for function in FUNCTIONS]
    quarter = 6
    while (budget := budget - 0.006 * sum(constants) * 10 ** (quarter / 8)) >= 0:
        eps = f"{10 ** (-quarter / 4):.2e}"
        planned += [{"formula": f.formula, "domain": f.domain, "eps": eps} for f in FUNCTIONS]
        quarter += 1
    return planned


def constant(function: Function) -> float:
    r"""Return C = (1/4) int |f''|^(1/2), by adaptive quadrature between the inflection points. ESTIMATED."""
    from scipy.integrate import quad

    expression = parse(function.second_derivative)
    ends = read_domain(function.domain)[0]
    places = (float(ends.lower[0]), *function.inflections, float(ends.upper[0]))

    def root(x: float) -> float:
        return math.sqrt(abs(float(evaluate_float(expression, {"x": np.asarray(x)}))))

    return sum(quad(root, u, v, epsrel=1e-10)[0] for u, v in pairwise(places)) / 4


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return n(eps) as the number of pieces of a polygon that is close enough, and of one that may be: both VERIFIED.

    Raises:
        CertificateError: a polygon could not be enclosed.
    """
    domain, _ = read_domain(case["domain"])
    target, eps = Target(case["formula"], domain), Fraction(case["eps"])
    a, b = float(domain.lower[0]), float(domain.upper[0])
    least = _at_least(target, eps, outer_windows(target, a, b, round_up(eps)))
    # A narrower tube leaves room for the enclosures; only if that costs a piece the margin has to be tiny.
    path = minimal_link_path(target, a, b, float(eps * (1 - _MARGIN)))
    if path.pieces > least:
        path = minimal_link_path(target, a, b, float(eps * (1 - _TINY_MARGIN)))
    _enclose(target, path, eps)
    return {"pieces": path.pieces, "at_least": least, "kind": Kind.VERIFIED.value}


def _at_least(target: Target, eps: Fraction, windows: Sequence[Window]) -> int:
    """Return the number of pieces that the checker agrees are needed."""
    least = len(windows) + 1
    claim = Bound(
        quantity="pieces", sense=">=", value=float(least), norm="sup", domain=target.domain, kind=Kind.VERIFIED,
        eps=eps, theorem="minimal-link", rule="reach", target=target.sha256,
    )  # fmt: skip
    columns = {name: np.array([getattr(w, name) for w in windows]) for name in ("p", "s", "e", "slope", "value")}
    witness = {"side": np.array([w.side for w in windows], dtype=np.int64), **columns}
    with ball_arithmetic():
        reach.check(Context(claim, (), Network.from_layers([([[0.0]], [0.0])]), target, witness))
    return least


def _enclose(target: Target, path: Path, eps: Fraction) -> None:
    """Make sure that |F - g| <= eps on every piece of the polygon g through the vertices of the path."""
    vertices = [
        (Fraction(x), Fraction(y)) for x, y in zip(path.breakpoints.tolist(), path.values.tolist(), strict=True)
    ]
    with ball_arithmetic():
        limit = ball(eps)
        for (x0, y0), (x1, y1) in pairwise(vertices):
            slope = (y1 - y0) / (x1 - x0)
            terms = ((0, linear_map((1, 1), {(0, 0): slope})),)
            line = Network(1, (Layer(terms, bias_vector([y0 - slope * x0]), ("identity",)),))
            stack = [(x0, x1, 0)]
            while stack:
                left, right, depth = stack.pop()
                low, high = difference_range(target.expression, target.variables, line, (left,), (right,))
                if high <= limit and -low <= limit:
                    continue
                if depth == _MAX_DEPTH:
                    raise CertificateError(
                        f"The polygon could not be enclosed near {float(left):.6g}. Ask for a larger eps.",
                        asked=float(eps), achieved=round_up(high.max(-low)),
                    )  # fmt: skip
                middle = (left + right) / 2
                stack += [(left, middle, depth + 1), (middle, right, depth + 1)]


@dataclass(frozen=True, slots=True)
class _Curve:
    """The counts of one function with what was fitted to those that are large enough."""

    function: Function
    predicted: float
    eps: list[float]
    pieces: list[float]
    at_least: list[float]
    rate: PowerLaw | None
    limit: Estimate | None


def _curves(finished: Sequence[Finished]) -> list[_Curve]:
    """Fit n(eps) - 1/2 = C eps^r, and n(eps) = C eps^(-1/2) + B, with Bonferroni's correction for all intervals."""
    confidence = 1 - (1 - _FAMILY_CONFIDENCE) / (2 * len(FUNCTIONS))
    curves = []
    for function in FUNCTIONS:
        own = [case for case in finished if case.inputs["formula"] == function.formula]
        eps = [float(case.inputs["eps"]) for case in own]
        pieces = [float(case.result["pieces"]) for case in own]
        least = [float(case.result["at_least"]) for case in own]
        kept = [(e, (n + m) / 2) for e, n, m in zip(eps, pieces, least, strict=True) if m >= _ASYMPTOTIC]
        rate = limit = None
        if len(kept) >= 3:
            x, y = np.array(kept).T
            # n is a real number rounded up, so n - 1/2 is within 1/2 of it.
            rate = fit_rate(x, y - 0.5, confidence)
            limit = fit_limit(x, y, -0.5, confidence).constant
        curves.append(_Curve(function, constant(function), eps, pieces, least, rate, limit))
    return curves


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare exponents with -1/2 and constants with the integral, for every function."""
    comparisons, missing = [], []
    for curve in _curves(finished):
        if curve.rate is None or curve.limit is None:
            missing.append(curve.function.formula)
            continue
        margin = CONSTANT_MARGIN * curve.predicted
        for quantity, measured, predicted, allowed in (
            ("exponent", curve.rate.exponent, -0.5, EXPONENT_MARGIN),
            ("constant", curve.limit, curve.predicted, margin),
        ):
            answer = judge(measured, predicted, allowed)
            comparisons.append(
                Comparison(
                    curve.function.formula, quantity, measured, "==", predicted, allowed, Kind.ESTIMATED.value, answer
                )
            )
    exact = sum(case.result["pieces"] == case.result["at_least"] for case in finished)
    remark = f"{exact} of {len(finished)} counts are known exactly (VERIFIED from both sides)"
    return Analysis(tuple(comparisons), _verdict(comparisons, missing), (remark,))


def _verdict(comparisons: Sequence[Comparison], missing: Sequence[str]) -> Verdict:
    against = [f"the {c.quantity} of {c.subject}" for c in comparisons if c.answer == "contradicts"]
    open_ = [f"the {c.quantity} of {c.subject}" for c in comparisons if c.answer == "undecided"]
    if against:
        return Verdict("contradicts", f"{', '.join(against)} is off by more than the margin.")
    if missing:
        return Verdict("undecided", f"fewer than 3 accuracies need {_ASYMPTOTIC} pieces for {', '.join(missing)}.")
    if open_:
        return Verdict("undecided", f"the interval is wider than the margin for {', '.join(open_)}.")
    worst = max(abs(c.measured.value - c.predicted) for c in comparisons if c.quantity == "exponent")
    relative = max(abs(c.measured.value / c.predicted - 1) for c in comparisons if c.quantity == "constant")
    return Verdict(
        "holds",
        f"for all {len(FUNCTIONS)} functions the exponent is within {worst:.4f} of -1/2 and the constant within "
        f"{relative:.2%} of (1/4) int |f''|^(1/2), as intervals inside the margins.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw n(eps) with the predicted lines, and n(eps) eps^(1/2) / C, which tends to 1."""
    figure = new_figure((9.0, 4.6))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    curves = _curves(finished)
    finest = min((e for curve in curves for e in curve.eps), default=1e-2)
    for number, (curve, style) in enumerate(zip(curves, STYLES, strict=False)):
        if not curve.eps:
            continue
        eps, n = np.array(curve.eps), np.array(curve.pieces)
        line = np.array([10**-1.5, finest])
        left.loglog(line, curve.predicted / np.sqrt(line), color=style.color, linewidth=1)
        label = f"{curve.function.formula.replace('*', '')}: {curve.predicted:.3f}"
        if curve.rate is not None and curve.limit is not None:
            label += f", {curve.limit.value:.3f} ($\\varepsilon^{{{curve.rate.exponent.value:.3f}}}$)"
        left.loglog(eps, n, style.marker, color=style.color, markersize=4.5, label=label)
        # n is a real number rounded up: the bar is what the rounding may hide. Curves stand side by side.
        ratio, beside = np.sqrt(eps) / curve.predicted, 1.04 ** (number - 2.5)
        bars = np.array([(n - np.array(curve.at_least) + 1) * ratio, np.zeros_like(n)])
        right.errorbar(
            eps * beside, n * ratio, bars, fmt=style.marker, color=style.color, markersize=3.5, elinewidth=0.8
        )
    left.set(xlabel=r"accuracy $\varepsilon$", ylabel=r"least number of pieces $n(\varepsilon)$")
    left.set_title(r"VERIFIED counts and $C\,\varepsilon^{-1/2}$, $C=\frac{1}{4}\int|f''|^{1/2}$", fontsize=10)
    left.set_ylim(top=10 * max((max(curve.pieces) for curve in curves if curve.pieces), default=10))
    left.legend(frameon=False, fontsize=8, title="f: C predicted, C measured (rate measured)", title_fontsize=8)
    right.axhline(1, color=GRAY, linewidth=1)
    right.set_xscale("log")
    right.set(xlabel=r"accuracy $\varepsilon$", ylabel=r"$n(\varepsilon)\,\varepsilon^{1/2}/C$")
    right.set_title("the limit is 1 (bars: what rounding up may hide)", fontsize=10)
    for axes in (left, right):
        axes.invert_xaxis()
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="piece-count",
    claim="The least number of pieces of a continuous piecewise-linear function within eps of f in the sup norm "
    "satisfies n(eps) eps^(1/2) -> (1/4) int |f''(x)|^(1/2) dx as eps -> 0.",
    source="G. M. Phillips, Computer Journal 11 (1968) 211-212 (convex f); D. E. McClure, Quarterly of Applied "
    "Mathematics 33 (1975) 1-37; H. G. Burchard, D. F. Hale, Journal of Approximation Theory 14 (1975) 128-147",
    rule=f"From the accuracies with n(eps) >= {_ASYMPTOTIC}: the exponent of n - 1/2 has to be -1/2 within "
    f"{EXPONENT_MARGIN}, the constant of n = C eps^(-1/2) + B the integral within {CONSTANT_MARGIN:.0%}, for every "
    f"function, each with its whole Student-t interval (all together {_FAMILY_CONFIDENCE:.0%}); one interval that "
    "misses its margin contradicts, anything else is undecided.",
    budget=75,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
