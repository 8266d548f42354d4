r"""Study: into how many regions does a ReLU network cut a cube at initialization, and how many could it be?

**Theorem** (Hanin and Rolnick). At initialization a ReLU network with d inputs and N hidden neurons has in expectation
at most of the order of N^d activation regions in a cube, whatever its depth; for weights of variance 2/fan-in, biases
uniform in [-1, 1] and the square [-1, 1]^2 at most N^2 + N + 1. Networks of the same widths exist that have more by a
factor which is exponential in the depth.

**Why.** In the plane, every region but one is paid for by a crossing of two bent lines, or by one of the two ends of a
line on the border. Two neurons cross as often as their gradients are large, and weights of variance 2/fan-in keep the
gradients of all layers at mean square 2; so two neurons cross twice in the mean at most, however deep they lie. A fold,
on the contrary, is a coincidence of weights: it maps boxes onto one, and each layer multiplies them by floor(n/d)^d.

Sources: B. Hanin, D. Rolnick, Deep ReLU networks have surprisingly few activation patterns, NeurIPS 2019; G. Montufar,
R. Pascanu, K. Cho, Y. Bengio, On the number of linear regions of deep neural networks, NIPS 2014; T. Serra, C.
Tjandraatmadja, S. Ramalingam, ICML 2018. The constants are proved in `epsnet.geometry.bounds`.

**What is measured.** Regions of networks at random are counted in float64, and for the smallest in the plane the
checker re-derives the count from a certificate, as it does for all fold networks. That no network of these widths has
more than Serra's bound is PROVED by the rule `region_bounds`. Means, exponents and rates are ESTIMATED; the exponent of
each dimension is fitted to all depths at once, each of which has a constant of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.certify.errors import HypothesisError
from epsnet.checker.kernel import check_certificate
from epsnet.core.network import Network
from epsnet.enclosure.cell_certificate import certify_cells
from epsnet.enclosure.complex import polyhedral_complex
from epsnet.enclosure.subdivision import exact_cells
from epsnet.experiments import Estimate, Finished, PowerLaw, fit_rate, seeds
from epsnet.geometry.bounds import expected_regions, region_bound, serra_upper
from epsnet.geometry.extremal import fold_network, fold_regions
from epsnet.studies.figures import GRAY, STYLES, Style, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = {1: (48, 72, 96, 144, 192), 2: (48, 72, 96, 144, 192), 3: (36, 48, 72)}
"""The numbers of neurons N for each number of inputs d."""

DEPTHS = (1, 2, 4)
SHOWN = 96
"""The neurons with which the depth is varied further for two inputs, through `ALL_DEPTHS`."""

ALL_DEPTHS = (1, 2, 3, 4, 6, 8)
CERTIFIED = 48
"""Up to so many neurons and two inputs, counts are certified."""

FOLDED = 16
"""The neurons of the fold networks that are counted; the formula goes on beyond them."""

EXPONENT_MARGIN = 0.15  # times d
LARGEST_FACTOR = 1.1
_FAMILY_CONFIDENCE = 0.95
_SECONDS = 5.0  # for all depths and sizes once

Counts = dict[tuple[int, int, int], NDArray[np.float64]]
"""Counts of networks at random by inputs, hidden layers and neurons."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the fold networks, then for each seed all depths and sizes: 3 to 40 seeds, as the budget allows."""
    planned: list[dict[str, Any]] = [
        {"weights": "fold", "inputs": 2, "hidden": layers, "neurons": FOLDED} for layers in DEPTHS
    ]
    for own in seeds(seed, min(max(int(budget / _SECONDS), 3), 40)):
        shapes = [(inputs, layers, n) for inputs, sizes in SIZES.items() for n in sizes for layers in DEPTHS]
        shapes += [(2, layers, SHOWN) for layers in ALL_DEPTHS if layers not in DEPTHS]
        planned += [
            {"weights": "random", "inputs": inputs, "hidden": layers, "neurons": n, "seed": own}
            for inputs, layers, n in shapes
        ]
    return planned


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the number of activation regions, and the most that the checker allows any network of these widths."""
    inputs, neurons = case["inputs"], case["neurons"]
    widths = (neurons // case["hidden"],) * case["hidden"]
    if case["weights"] == "fold":
        network, domain = fold_network(inputs, widths), Box([0] * inputs, [1] * inputs)
    else:
        network, domain = initialized(inputs, widths, case["seed"]), Box([-1] * inputs, [1] * inputs)
    bound = region_bound(network, domain)
    check_certificate(network, Certificate.of((bound,)))
    if inputs == 2 and neurons <= CERTIFIED:
        found = certify_cells(network, domain)
        check_certificate(network, found.certificate)
        regions, kind = int(found.regions.value), found.regions.kind
    else:
        regions, kind = _count(network, domain), Kind.ESTIMATED
    return {"regions": regions, "kind": kind.value, "most": bound.value}


def _count(network: Network, domain: Box) -> int:
    try:
        return polyhedral_complex(network, domain).f_vector()[-1]
    except HypothesisError:  # float64 cannot tell which side a vertex lies on; rationals take longer
        return exact_cells(network, domain).f_vector()[-1]


def initialized(inputs: int, widths: Sequence[int], seed: int) -> Network:
    """Return a ReLU network with one output, normal weights of variance 2/fan-in and biases uniform in [-1, 1]."""
    generator = np.random.Generator(np.random.Philox(seed))
    layers = []
    for fan_in, width in zip((inputs, *widths), (*widths, 1), strict=True):
        weight = generator.standard_normal((width, fan_in)) * math.sqrt(2 / fan_in)
        layers.append((weight, generator.uniform(-1, 1, width)))
    return Network.from_layers(layers)


def _counts(finished: Sequence[Finished]) -> Counts:
    found: dict[tuple[int, int, int], list[int]] = {}
    for case in finished:
        if case.inputs["weights"] == "random":
            shape = case.inputs["inputs"], case.inputs["hidden"], case.inputs["neurons"]
            found.setdefault(shape, []).append(case.result["regions"])
    return {shape: np.array(regions, dtype=float) for shape, regions in found.items()}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare exponents with d, means with their bound, the factor of a layer with 1, and folds with their formula."""
    counts = _counts(finished)
    shapes = [(inputs, hidden, n) for inputs, sizes in SIZES.items() for hidden in DEPTHS for n in sizes]
    if any(len(counts.get(shape, ())) < 2 for shape in shapes):
        return Analysis((), Verdict("undecided", "some size was measured fewer than twice."))
    confidence = 1 - (1 - _FAMILY_CONFIDENCE) / 6
    comparisons = [
        _compare(f"d = {d}", "exponent", _law(counts, d, DEPTHS, confidence).exponent, "==", d, EXPONENT_MARGIN * d)
        for d in SIZES
    ]
    for inputs in (1, 2):
        means = [
            _mean(own / expected_regions(inputs, n), confidence) for (d, _, n), own in counts.items() if d == inputs
        ]
        comparisons.append(
            _compare(f"d = {inputs}", "mean/bound", max(means, key=lambda mean: mean.value), "<=", 1.0, 0.0)
        )
    deep = [(math.exp(layers), own) for (d, layers, n), own in counts.items() if (d, n) == (2, SHOWN)]
    rate = fit_rate(*_flatten(deep), confidence).exponent
    factor = Estimate(math.exp(rate.value), math.exp(rate.low), math.exp(rate.high))
    comparisons.append(_compare(f"d = 2, N = {SHOWN}", "x per layer", factor, "<=", LARGEST_FACTOR, 0.0))
    return Analysis(tuple(comparisons), _verdict(comparisons, finished), _remarks(counts))


def _law(counts: Counts, inputs: int, depths: Sequence[int], confidence: float) -> PowerLaw:
    """Fit C_L N^r to the counts of some depths L: without their geometric means, which C_L takes up."""
    sizes = SIZES[inputs]
    points = []
    for hidden in depths:
        own = [counts[inputs, hidden, n] for n in sizes]
        middle = np.exp(np.mean([np.log(found).mean() for found in own]))
        points += [(float(n), found / middle) for n, found in zip(sizes, own, strict=True)]
    return fit_rate(*_flatten(points), confidence)


def _flatten(points: Sequence[tuple[float, NDArray[np.float64]]]) -> tuple[list[float], NDArray[np.float64]]:
    return [x for x, own in points for _ in own], np.concatenate([own for _, own in points])


def _compare(
    subject: str, quantity: str, measured: Estimate, sense: Literal["==", "<="], predicted: float, margin: float
) -> Comparison:
    answer = judge(measured, predicted, margin, sense)
    return Comparison(subject, quantity, measured, sense, predicted, margin, Kind.ESTIMATED.value, answer)


def _mean(values: NDArray[np.float64], confidence: float) -> Estimate:
    from scipy.special import stdtrit

    mean, spread = float(values.mean()), float(values.std(ddof=1))
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * spread / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    for case in finished:
        hidden, neurons, regions = case.inputs["hidden"], case.inputs["neurons"], case.result["regions"]
        formula = fold_regions(2, (neurons // hidden,) * hidden)
        if regions > case.result["most"] or (case.inputs["weights"] == "fold" and regions != formula):
            return Verdict("contradicts", f"one with {_layers(hidden)} and {neurons} neurons has {regions} regions.")
    against, open_ = (
        ", ".join(f"the {c.quantity} of {c.subject}" for c in comparisons if c.answer == answer)
        for answer in ("contradicts", "undecided")
    )
    if against:
        return Verdict("contradicts", f"{against} is off by more than the margin.")
    if open_:
        return Verdict("undecided", f"the interval is wider than the margin for {open_}.")
    exponents = ", ".join(f"N^{c.measured.value:.2f}" for c in comparisons if c.quantity == "exponent")
    return Verdict(
        "holds",
        f"for d = 1, 2, 3 regions grow like {exponents}; a layer more at d = 2, N = {SHOWN} multiplies them by "
        f"{comparisons[-1].measured.value:.2f}, and fold networks have exactly as many as the formula says.",
    )


def _layers(hidden: int) -> str:
    return f"{hidden} hidden layer{'s' * (hidden > 1)}"


def _remarks(counts: Counts) -> tuple[str, ...]:
    deepest = ALL_DEPTHS[-1]
    widths = (SHOWN // deepest,) * deepest
    return (
        f"with two inputs and {SHOWN} neurons in {deepest} layers {counts[2, deepest, SHOWN].mean():,.0f} regions are "
        f"usual, a fold network has {fold_regions(2, widths):.2g}, and no network more than "
        f"{serra_upper(2, widths):.2g} (PROVED)",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw regions against neurons for all depths, and for one number of neurons against the depth, with all bounds."""
    figure = new_figure((9.6, 5.0))
    left, right = figure.subplots(1, 2)
    counts = _counts(finished)
    _draw_laws(left, counts)
    widths = [(SHOWN // hidden,) * hidden for hidden in ALL_DEPTHS]
    for color, values, label in (
        (STYLES[3].color, [serra_upper(2, own) for own in widths], "no network has more (PROVED)"),
        (STYLES[4].color, [fold_regions(2, own) for own in widths], "fold networks"),
        (GRAY, [expected_regions(2, SHOWN)] * len(ALL_DEPTHS), "mean at initialization, at most"),
    ):
        right.semilogy(ALL_DEPTHS, values, color=color, linewidth=1.2, label=label)
    own = {float(hidden): counts[2, hidden, SHOWN] for hidden in ALL_DEPTHS if (2, hidden, SHOWN) in counts}
    _scatter(right, own, STYLES[6], "at initialization: mean, networks")
    right.set(xlabel="hidden layers", ylabel="activation regions on $[-1,1]^2$")
    right.set_title(f"$d=2$, $N={SHOWN}$: what depth allows, and what it brings", fontsize=10)
    right.xaxis.get_major_locator().set_params(integer=True)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    return finish(figure, analysis.verdict.answer)


def _draw_laws(axes: Any, counts: Counts) -> None:
    for inputs, sizes in SIZES.items():
        for place, (hidden, style) in enumerate(zip(DEPTHS, STYLES, strict=False)):
            # Depths stand side by side.
            own = {n * 1.012 ** (place - 1): counts[inputs, hidden, n] for n in sizes if (inputs, hidden, n) in counts}
            _scatter(axes, own, style, _layers(hidden) if inputs == 1 else "", line="-")
        if all(len(counts.get((inputs, hidden, n), ())) > 1 for hidden in DEPTHS for n in sizes):
            exponent = _law(counts, inputs, DEPTHS, _FAMILY_CONFIDENCE).exponent.value
            height = max(counts[inputs, hidden, sizes[-1]].mean() for hidden in DEPTHS)
            axes.annotate(f"$d={inputs}$:\n$N^{{{exponent:.2f}}}$", (sizes[-1], height), (8, -4),
                          textcoords="offset points", fontsize=9)  # fmt: skip
        if inputs <= 2:
            n = np.array([sizes[0] / 1.1, sizes[-1] * 1.1])
            most = [expected_regions(inputs, int(m)) for m in n]
            axes.plot(n, most, color=GRAY, linewidth=1.2, label="mean at most" if inputs == 1 else "")
    axes.set(
        xscale="log", yscale="log", xlabel="neurons $N$", ylabel="activation regions on $[-1,1]^d$", xlim=(30, 280)
    )
    axes.set_title("at initialization: one law for all depths", fontsize=10)
    ticks = sorted({n for sizes in SIZES.values() for n in sizes})
    axes.set_xticks(ticks, [str(m) for m in ticks])
    axes.set_xticks([], minor=True)


def _scatter(axes: Any, own: Mapping[float, NDArray[np.float64]], style: Style, label: str, line: str = "") -> None:
    """Draw the counts at every place as dots and their means as marks."""
    if own:
        axes.plot(*_flatten(list(own.items())), ".", color=style.color, markersize=3, alpha=0.4)
    means = [found.mean() for found in own.values()]
    axes.plot(list(own), means, style.marker + line, color=style.color, markersize=5, linewidth=1, label=label)


STUDY = Study(
    name="linear-regions",
    claim="At initialization a ReLU network with d inputs and N hidden neurons has of the order of N^d activation "
    "regions in a cube, whatever its depth, for d = 2 in expectation at most N^2 + N + 1 on [-1, 1]^2; networks of the "
    "same widths exist whose regions grow exponentially with the depth.",
    source="B. Hanin, D. Rolnick, NeurIPS 2019 (initialization); G. Montufar, R. Pascanu, K. Cho, Y. Bengio, NIPS 2014 "
    "(folds); T. Serra, C. Tjandraatmadja, S. Ramalingam, ICML 2018 (upper bound)",
    rule=f"For d = 1, 2, 3 the exponent of the regions in N, common to {', '.join(map(str, DEPTHS))} hidden layers, "
    f"has to be d within {EXPONENT_MARGIN} d; for d = 1, 2 the largest mean has to obey the proved bound; at d = 2, "
    f"N = {SHOWN} one layer more multiplies the regions by at most {LARGEST_FACTOR}; each with its whole Student-t "
    f"interval (all together {_FAMILY_CONFIDENCE:.0%}). Fold networks with {FOLDED} neurons have exactly as many as "
    "their formula says, and no network more than the PROVED bound. One clear miss contradicts, all else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
