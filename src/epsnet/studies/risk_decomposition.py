r"""Study: how fast does the generalization gap close with more data, and what is the rest of the risk made of?

**Theorem** (uniform convergence for a finite class). Let H be a finite class of classifiers and R_n the empirical risk
on n independent points. With probability at least 1 - delta, for all Phi in H at once,

$$ |R(\Phi) - R_n(\Phi)| \le \sqrt{\frac{\ln|H| + \ln(2/\delta)}{2n}}. $$

For K samples and classes at once delta becomes delta/K. The networks [784, w, w, 10] with float64 weights are such a
class, fixed before any data: with P = 784 w + w + w^2 + w + 10 w + 10 weights ln|H| <= 64 P ln 2. Hence the gap of
*every* network, whatever training does, is at most C_w n^(-1/2) with a C_w that does not depend on n.

Source: S. Shalev-Shwartz, S. Ben-David, Understanding Machine Learning, Cambridge University Press 2014, corollary 4.6;
the proof is Hoeffding's inequality and the union bound.

**What is measured.** A random division of the 70,000 MNIST digits leaves 20,000 that nothing is trained on; the first n
of the others are the sample, so that samples are nested and all points exchangeable. Each sample is fitted from several
seeds by stochastic gradient descent with the same number of steps. The bound holds for the gap of every one of these
networks, but it is far from tight (above 1 for all but the narrowest ones). So a slower decay of the gap within the
range of n contradicts nothing there, and the rule says so.

The second picture divides the risk of each width into approximation, estimation and optimization.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.errors import MissingExtraError
from epsnet.checker.rules.binomial import count_errors
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.rounding_error import float64_error
from epsnet.data import Sample, load_mnist
from epsnet.experiments import Estimate, Finished, PowerLaw, fit_rate, seeds
from epsnet.generalization.figures import draw_risk
from epsnet.generalization.risk_decomposition import Count, RiskDecomposition, decompose_risk
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = (4, 8, 16, 32, 64)
SIZES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
STARTS = 4
"""Networks that are trained on each sample."""

UNUSED = 20_000
STEPS = 6_400
BATCH = 64
MARGIN = 0.05
DELTA = Fraction(1, 100)
_FAMILY_CONFIDENCE = 0.95
_SECONDS_OF_A_DIVISION = 150.0
_BITS = 64
_BLOCK = 4096


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each division of the data, size and width.

    There is one division for every 150 seconds of the budget, but at least one.

    Raises:
        MissingExtraError: JAX is not installed.
    """
    try:
        import jax  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "This study") from None
    divisions = max(1, int(budget / _SECONDS_OF_A_DIVISION))
    return [
        {"width": width, "points": n, "division": division, "starts": list(seeds(division, STARTS)), "steps": STEPS}
        for division in seeds(seed, divisions)
        for n in SIZES
        for width in WIDTHS
    ]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Train from every start and count the errors on the sample and on the unused points."""
    from epsnet import diff

    sample, unused = _parts(case["points"], case["division"])
    width = case["width"]
    options: dict[str, Any] = {
        "optimizer": "sgd", "step_size": 0.1, "schedule": "cosine", "batch_size": BATCH,
        "epochs": -(-case["steps"] * BATCH // len(sample)),
    }  # fmt: skip
    widths = [sample.dimension, width, width, 10]
    fits = diff.fit_seeds(sample.inputs, sample.labels, widths, seeds=case["starts"], **options)
    networks = [Network.from_layers(fit.layers) for fit in fits]
    return {
        "training": [_errors(network, sample) for network in networks],
        "unused": [_errors(network, unused) for network in networks],
        "unused_points": len(unused),
    }


def _parts(n: int, division: int) -> tuple[Sample, Sample]:
    """Return n points to train on and the points that no case of this division trains on."""
    digits = _digits()
    order = np.random.Generator(np.random.Philox(division)).permutation(len(digits))
    return digits.take(order[:n], f"{n} digits"), digits.take(order[-UNUSED:], "unused digits")


@functools.cache
def _digits() -> Sample:
    train, test = load_mnist("train"), load_mnist("test")
    return Sample(
        np.concatenate([train.inputs, test.inputs]), np.concatenate([train.labels, test.labels]), "MNIST", train.classes
    )


def _errors(network: Network, sample: Sample) -> int:
    """Return `count_errors`: what float64 evaluation may get wrong in some order of summation is an error.

    One rounding bound for the whole block decides nearly all points; the others are counted one by one.
    """
    errors = 0
    for start in range(0, len(sample), _BLOCK):
        block = slice(start, start + _BLOCK)
        inputs, labels = sample.inputs[block].reshape(-1, sample.dimension).astype(np.float64), sample.labels[block]
        values = realize(network, inputs)
        rows = np.arange(len(values))
        own = values[rows, labels]
        values[rows, labels] = -np.inf
        gap = own - values.max(axis=1)
        doubt = float(float64_error(network, inputs.min(axis=0)[None], inputs.max(axis=0)[None]).max())
        slack = 8 * doubt + 2.0**-40 * (np.abs(own) + np.abs(gap)) + 2.0**-900
        open_ = (gap > 0) & ~(gap > slack)
        errors += int(np.count_nonzero(~(gap > 0)))
        if open_.any():
            errors += count_errors(network, inputs[open_], labels[open_], None)
    return errors


def bits(width: int) -> int:
    """Return log2 of the number of networks [784, w, w, 10] with float64 weights, an upper bound of it."""
    return _BITS * ((784 + 1) * width + (width + 1) * width + (width + 1) * 10)


def constant(width: int, classes: int) -> float:
    """Return C_w: with confidence 1 - DELTA all gaps are at most C_w n^(-1/2), for so many samples at once."""
    return math.sqrt((bits(width) * math.log(2) + math.log(2 * classes / DELTA)) / 2)


@dataclass(frozen=True, slots=True)
class _Width:
    """The gaps of one width: for each n, those of all networks."""

    width: int
    predicted: float
    points: list[int]
    gaps: list[list[float]]
    interpolates: list[bool]
    rate: PowerLaw | None


def _widths(finished: Sequence[Finished]) -> list[_Width]:
    """Fit the mean gap of all divisions and starts against n, where it is above its own noise."""
    found = []
    for width in WIDTHS:
        by_size: dict[int, list[float]] = {}
        wrong: dict[int, int] = {}
        for case in finished:
            if case.inputs["width"] == width:
                n, m = case.inputs["points"], case.result["unused_points"]
                pairs = zip(case.result["training"], case.result["unused"], strict=True)
                wrong[n] = wrong.get(n, 0) + sum(case.result["training"])
                by_size.setdefault(n, []).extend(k_unused / m - k / n for k, k_unused in pairs)
        points = sorted(by_size)
        gaps = [by_size[n] for n in points]
        # Two standard deviations of a mean of shares near 1/4 on the unused points of one division.
        resolved = [np.mean(gap) > math.sqrt(1 / UNUSED) for gap in gaps]
        kept = [(n, float(np.mean(gap))) for n, gap, good in zip(points, gaps, resolved, strict=True) if good]
        rate = None
        if len(kept) >= 3:
            x, y = np.array(kept).T
            rate = fit_rate(x, y, 1 - (1 - _FAMILY_CONFIDENCE) / len(WIDTHS))
        predicted = constant(width, len(finished) or 1)
        found.append(_Width(width, predicted, points, gaps, [wrong[n] == 0 for n in points], rate))
    return found


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the constants with the bound and the exponents with -1/2, and divide the risk of each width."""
    comparisons, remarks = [], []
    networks = sum(len(case.result["training"]) for case in finished)
    # The shares of all networks on unused points are within this of their risks, with confidence 1 - DELTA (Hoeffding).
    doubt = math.sqrt(math.log(2 * max(networks, 1) / DELTA) / (2 * UNUSED))
    for one in _widths(finished):
        subject = f"width {one.width}"
        if one.points:
            scaled = [(math.sqrt(n), gap) for n, gaps in zip(one.points, one.gaps, strict=True) for gap in gaps]
            measured = Estimate(*(max(root * (gap + e) for root, gap in scaled) for e in (0.0, -doubt, doubt)))
            answer = judge(measured, one.predicted, 0.0, "<=")
            comparisons.append(
                Comparison(subject, "gap n^(1/2)", measured, "<=", one.predicted, 0.0, Kind.STATISTICAL.value, answer)
            )
        if one.rate is not None:
            answer = judge(one.rate.exponent, -0.5, MARGIN, "<=")
            if answer == "contradicts" and one.predicted >= math.sqrt(one.points[-1]):
                answer = "undecided"
            comparisons.append(
                Comparison(subject, "exponent", one.rate.exponent, "<=", -0.5, MARGIN, Kind.ESTIMATED.value, answer)
            )
        fitted = [n for n, good in zip(one.points, one.interpolates, strict=True) if good]
        if fitted:
            remarks.append(
                f"{subject} fits up to {max(fitted):,} points without an error: there the gap is the whole risk"
            )
    divided = decompositions(finished)
    for label, found in divided.items():
        estimates = ", ".join(f"{part.name} {part.estimate:.2%}" for part in found.parts)
        remarks.append(f"width {label}: risk {found.risk.estimate:.2%} is about {estimates}; {found.advice[0]}")
    details = {"risk": {label: found.to_json() for label, found in divided.items()}}
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks), details)


def decompositions(finished: Sequence[Finished]) -> dict[str, RiskDecomposition]:
    """Divide the risk of the first network of each width, on the largest sample that all widths have."""
    first = [case for case in finished if case.inputs["division"] == finished[0].inputs["division"]]
    sizes = [{case.inputs["points"] for case in first if case.inputs["width"] == width} for width in WIDTHS]
    shared = set.intersection(*sizes) if sizes else set()
    if not shared:
        return {}
    largest = max(shared)
    found = {}
    for width in WIDTHS:
        (case,) = (c for c in first if (c.inputs["width"], c.inputs["points"]) == (width, largest))
        training = [Count(k, largest) for k in case.result["training"]]
        unused = [Count(k, case.result["unused_points"]) for k in case.result["unused"]]
        found[str(width)] = _decompose(tuple(training), tuple(unused))
    return found


@functools.cache
def _decompose(training: tuple[Count, ...], unused: tuple[Count, ...]) -> RiskDecomposition:
    return decompose_risk(
        training[0], unused[0], same_sample=training[1:], others_unused=unused[1:], delta=DELTA / len(WIDTHS)
    )


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    against = [f"{c.quantity} of {c.subject}" for c in comparisons if c.answer == "contradicts"]
    open_ = [c.subject for c in comparisons if c.answer == "undecided"]
    rates = [c for c in comparisons if c.quantity == "exponent"]
    if against:
        return Verdict("contradicts", f"the {', '.join(against)} is above the prediction.")
    if len(rates) < len(WIDTHS):
        return Verdict("undecided", "for some width fewer than 3 sizes have a gap that can be told from 0.")
    factor = min(c.predicted / c.measured.high for c in comparisons if c.quantity != "exponent")
    inside = f"every gap is below the bound, by a factor of at least {factor:.0f}"
    if open_:
        return Verdict(
            "undecided", f"{inside}, but the exponent of {', '.join(open_)} is not certainly at most -1/2 + {MARGIN}."
        )
    return Verdict("holds", f"{inside}, and the exponent of every width is at most -1/2 + {MARGIN}.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the gaps against n with the slope of the theorem and its bound, and the parts of the risk for each width."""
    figure = new_figure((9.6, 4.8))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    widths = _widths(finished)
    for one, style in zip(widths, STYLES, strict=False):
        points = np.array(one.points, dtype=float)
        means = np.array([np.mean(gaps) for gaps in one.gaps])
        shown = means > 0
        if not shown.any():
            continue
        ends = np.array([[np.mean(g) - max(min(g), 1e-4), max(g) - np.mean(g)] for g in one.gaps]).T
        label = f"w = {one.width}"
        if one.rate is not None:
            r = one.rate.exponent
            label += f": {r.value:.2f} in [{r.low:.2f}, {r.high:.2f}]"
            line = np.array([points[0], points[-1]])
            left.loglog(line, one.rate.constant.value * line**r.value, color=style.color, linewidth=0.9)
        left.errorbar(
            points[shown], means[shown], np.maximum(ends[:, shown], 0), fmt=style.marker, color=style.color,
            markersize=4.5, elinewidth=0.8, label=label,
        )  # fmt: skip
    _draw_theory(left, widths)
    left.set(xscale="log", yscale="log", xlabel="points of the sample $n$", ylabel=r"gap $R(\Phi)-R_n(\Phi)$")
    left.set_title("generalization gap; bars: all networks of a width", fontsize=10)
    left.legend(frameon=False, fontsize=7.5, title="measured exponents", title_fontsize=7.5, loc="lower left")
    divided = decompositions(finished) if finished else {}
    if divided:
        draw_risk(right, divided)
        n = max(case.inputs["points"] for case in finished)
        right.set(xlabel="width $w$", title=f"risk of [784, w, w, 10], n = {n:,}")
        right.title.set_fontsize(10)
    return finish(figure, analysis.verdict.answer)


def _draw_theory(axes: Any, widths: Sequence[_Width]) -> None:
    """Draw the bound of the narrowest network and a line of slope -1/2 through the middle of the measurements."""
    measured = [one for one in widths if one.points]
    if not measured:
        return
    narrow = measured[0]
    n = np.array([narrow.points[0], narrow.points[-1]], dtype=float)
    axes.loglog(
        n, narrow.predicted / np.sqrt(n), "k-", linewidth=1.2, label=f"bound for w = {narrow.width}, confidence 99%"
    )
    first = max(float(np.mean(one.gaps[0])) for one in measured)
    axes.loglog(n, 1.5 * first * np.sqrt(n[0] / n), "k--", linewidth=1.2, label=r"slope $-1/2$")


STUDY = Study(
    name="risk-decomposition",
    claim="For all networks [784, w, w, 10] with float64 weights at once, |R(Phi) - R_n(Phi)| <= C_w n^(-1/2) with "
    "C_w^2 = (bits ln 2 + ln(2K/delta))/2; so the generalization gap of a width decays at least like n^(-1/2).",
    source="S. Shalev-Shwartz, S. Ben-David, Understanding Machine Learning, Cambridge University Press 2014, "
    "corollary 4.6",
    rule="MNIST. A gap above C_w n^(-1/2) contradicts, for its whole Hoeffding interval (all networks together 99%). "
    f"The exponent of the mean gap against n has to be at most -1/2 + {MARGIN}, with its whole Student-t interval (all "
    f"widths together {_FAMILY_CONFIDENCE:.0%}); a larger one contradicts only where the bound is below 1 at the "
    "largest n, elsewhere the theorem says nothing about it: undecided.",
    budget=180,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
