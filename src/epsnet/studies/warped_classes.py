r"""Study: does a class keep its rate when it is warped by a diffeomorphism, or lives on a submanifold?

**Theorem.** Let C be a class on [0, 1] with effective approximation rate gamma, |f(s) - f(t)| <= H |s - t|^alpha for
all its functions, and g: K -> [0, 1] smooth. Then {f o g: f in C} has the same rate, and M(f o g) <= M(f) + M(g) + 4
with an error of at most e_f + H e_g^alpha (`dictionaries.warped`).

**Why.** e_g <= (e_f/H)^(1/alpha) doubles the error and takes M(g) = O(e_f^-c) weights for any c > 0, as g is smooth;
M(f) is of the order e_f^(-1/gamma).

**What is measured.** The two classes of the study `storage`, with random members; f is affine between the nodes i 2^-J,
so that e_f of N terms in CDF(2,2) is computed in rationals, and H of the Hoelder class from all pairs of nodes: f(s) -
f(t) is affine and |s - t|^alpha concave in (s, t) between nodes, so their quotient is largest at nodes.

* *diffeomorphism* of [0, 1]: g(x) = x + sin(2 pi x)/8, approximated by a squaring circuit;
* *arc*: functions on an arc of the unit circle, extended constantly along its normals to K = [1/2, 1] x [0, 1/2]:
  g(x, y) = y/(x^2 + y^2)^(1/2) is the chart sin(theta) after the projection, a network put together from its parts.

The error of g is VERIFIED by the checker. M(f o g) is compared with M(f) + M(g) + 4, the difference of f o g and the
network at random points with e_f + H e_g^alpha. The rate is that of f alone if M(f o g)/M(f) and (e_f + H
e_g^alpha)/e_f do not grow with M(f); as both belong to the same f, their exponents have little noise.

Source: H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019) 8-45, whose dictionaries are closed under diffeomorphisms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.approximation.circuits import squaring_circuit
from epsnet.approximation.composition import compositional
from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.checker.kernel import check
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.transfer import linear_wavelet_network
from epsnet.dictionaries.warped import warped, warped_error
from epsnet.experiments import Finished, fit_rate
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.storage import CLASSES, member, sup_error, worst
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

COUNTS = (128, 256, 512, 1024, 2048)
WARPS = {"diffeomorphism": "x + sin(2*pi*x)/8", "arc": "y/sqrt(x^2 + y^2)"}
MARGIN = 0.05
_SECONDS = 3.0
"""Of one case, about."""
_POINTS = 400


@dataclass(frozen=True, slots=True)
class Warp:
    """A warp: the target g, and how it is approximated."""

    target: Target
    build: Callable[[Target, Fraction], Any]

    @classmethod
    def of(cls, name: str) -> Warp:
        """Return one of the two warps."""
        if name == "arc":
            return cls(Target(WARPS[name], Box((Fraction(1, 2), 0), (1, Fraction(1, 2)))), compositional)
        return cls(Target(WARPS[name], Box(0, 1)), squaring_circuit)

    def network(self, eps: float) -> tuple[Network, Bound]:
        """Return a network of g with its error in exact arithmetic, which the checker agrees with."""
        found = self.build(self.target, Fraction(eps))
        certificate = Certificate.of([found.error], found.witnesses)
        bits = 8 * len(network_bytes(found.network))
        check(Solution(found.network, self.target, found.error, bits, certificate))
        return found.network, found.error.premises[0]


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each N, class and warp, as the budget allows, then the same for further seeds."""
    planned: list[dict[str, Any]] = []
    for group in range(int(budget // (len(CLASSES) * len(WARPS) * _SECONDS))):
        more, number = divmod(group, len(COUNTS))
        planned += [
            {"class": name, "warp": warp, "terms": COUNTS[number], "seed": seed + more}
            for name in CLASSES for warp in WARPS
        ]  # fmt: skip
    return planned


def hoelder_constant(values: Floats, exponent: float) -> float:
    """Return the least H with |f(s) - f(t)| <= H |s - t|^alpha for the polygon with these values at i/n, rounded up."""
    n = len(values) - 1
    largest = [np.abs(values[lag:] - values[:-lag]).max() * (n / lag) ** exponent for lag in range(1, n + 1)]
    # Each quotient is rounded a few times only.
    return float(max(largest)) * (1 + 2.0**-40)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return weights and errors of f, g and f o g."""
    gamma = CLASSES[case["class"]]
    basis, values = member(case["class"], case["terms"], case["seed"])
    coefficients = basis.analysis(values)
    kept = np.sort(np.argsort(-np.abs(coefficients), kind="stable")[: case["terms"]])
    outer = linear_wavelet_network(Expansion(basis, kept, coefficients[kept]))
    error = sup_error(basis, values, kept, coefficients[kept])
    # The exponents of both classes are their rates.
    constant = 1.0 if gamma == 1.0 else hoelder_constant(values, gamma)
    warp = Warp.of(case["warp"])
    inner, own = warp.network(float(error / Fraction(constant)) ** (1 / gamma))
    network = warped(outer, inner)
    seen = np.random.Generator(np.random.Philox(case["seed"])).random((_POINTS, inner.inputs))
    low, high = (
        np.array([float(end) for end in ends]) for ends in (warp.target.domain.lower, warp.target.domain.upper)
    )
    points = low + (high - low) * seen
    places = warp.target(points if inner.inputs > 1 else points[:, 0])
    truth = np.interp(places, np.linspace(0, 1, len(values)), values)
    return {
        "weights": outer.size.weights, "inner": inner.size.weights, "warped": network.size.weights,
        "error": float(error), "bound": warped_error(error, constant, Fraction(gamma), own.limit),
        "seen": float(np.abs(np.ravel(realize(network, points)) - truth).max()),
    }  # fmt: skip


def _curve(finished: Sequence[Finished], name: str, warp: str) -> dict[str, Floats]:
    """Return the results of one class and warp in the order of N."""
    own = [c for c in finished if (c.inputs["class"], c.inputs["warp"]) == (name, warp)]
    own.sort(key=lambda c: c.inputs["terms"])
    return {key: np.array([c.result[key] for c in own], dtype=np.float64) for key in (own[0].result if own else ())}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare weights with their sum, errors with their bound, and the exponents with those of f."""
    comparisons, remarks = [], []
    for name in CLASSES:
        for warp in WARPS:
            curve, subject = _curve(finished, name, warp), f"{name}, {warp}"
            if not curve or len(curve["error"]) < 3:
                continue
            weights = curve["weights"]
            for quantity, measured, margin in (
                ("weights/sum", worst(curve["warped"] / (weights + curve["inner"] + 4)), 0.0),
                ("seen/bound", worst(curve["seen"] / curve["bound"]), 0.0),
                ("more weights", fit_rate(weights, curve["warped"] / weights).exponent, MARGIN),
                ("more error", fit_rate(weights, curve["bound"] / curve["error"]).exponent, MARGIN),
            ):
                # What is counted or divided is to be at most 1, an exponent at most 0.
                predicted = 0.0 if margin else 1.0
                answer = judge(measured, predicted, margin, "<=")
                comparisons.append(
                    Comparison(subject, quantity, measured, "<=", predicted, margin, Kind.ESTIMATED.value, answer)
                )
            plain, own = (
                fit_rate(curve[m], curve[e]).exponent.value for m, e in (("weights", "error"), ("warped", "bound"))
            )
            remarks.append(
                f"{subject}: error ~ M^{own:.3f}, of f alone M^{plain:.3f}; g takes {curve['inner'].min():.0f} to "
                f"{curve['inner'].max():.0f} weights"
            )
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks))


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if failed := unless_all_hold(comparisons):
        return failed
    if len(comparisons) < 4 * len(CLASSES) * len(WARPS):
        return Verdict("undecided", "there are fewer than 3 numbers of terms.")
    return Verdict(
        "holds",
        "weights and errors add up as the theorem says, and neither grows faster than for f alone.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the errors of f and of f o g against their weights."""
    figure = new_figure((10.0, 4.4))
    for axes, (name, gamma) in zip(figure.subplots(1, len(CLASSES)), CLASSES.items(), strict=True):
        for warp, style in zip(WARPS, STYLES[1:], strict=False):
            curve = _curve(finished, name, warp)
            if not curve:
                continue
            if warp == next(iter(WARPS)):
                own = STYLES[0]
                axes.loglog(
                    curve["weights"], curve["error"], own.marker + "-", color=own.color, label="f", markersize=5
                )
                theory = curve["error"][-1] * (curve["weights"] / curve["weights"][-1]) ** -gamma
                axes.loglog(curve["weights"], theory, "--", color=GRAY, linewidth=1, label=rf"$M^{{-{gamma:g}}}$")
            axes.loglog(
                curve["warped"], curve["bound"], style.marker + "-", color=style.color, markersize=5,
                label=f"f o g, {warp}: bound",
            )  # fmt: skip
            axes.loglog(curve["warped"], curve["seen"], style.marker, color=style.color, mfc="none", markersize=5)
        axes.plot([], [], "o", color=GRAY, mfc="none", markersize=5, label="seen at random points")
        axes.set(xlabel="weights M", ylabel="sup error")
        axes.tick_params(which="minor", labelbottom=False)
        axes.set_title(f"{name}, warped", fontsize=10)
        axes.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="warped-classes",
    claim="A class f o g with a fixed smooth g, such as a diffeomorphism or the chart of a submanifold, has the rate "
    "of the class of f: M(f o g) <= M(f) + M(g) + 4, with an error of at most e_f + H e_g^alpha.",
    source="H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 (2019) 8-45",
    rule="For two classes and two warps: the weights are at most their sum, no error seen exceeds its bound, and the "
    f"fitted exponents of M(f o g)/M(f) and of bound/e_f in M(f) are at most {MARGIN}, with their whole 95 % "
    "intervals; one that misses contradicts, anything else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
