r"""Study: at which rate does the output of a random network of width n become a Gaussian process?

**Theorem.** Let f_n be a network with h hidden layers of width n, independent weights N(0, 2/fan-in) and ReLU. At
finitely many inputs its law converges to that of the Gaussian process with the NNGP kernel, and the Wasserstein
distance of the two is at most C/n.

**Why, and with which constant.** Given the last hidden layer, f_n is exactly normal, with the random covariance

$$ \hat K^{(l+1)} = \frac2n \sum_{i\le n} \rho(z_i)\rho(z_i)^T, \qquad
   z_i \sim N(0, \hat K^{(l)}) \text{ independent}. $$

At one input $\hat K$ is multiplied in each layer by an independent factor with mean 1 and second moment 1 + 5/n. So the
excess kurtosis of the output is exactly

$$ \kappa_n = 3\bigl((1 + 5/n)^h - 1\bigr), $$

and by the Edgeworth expansion the Wasserstein-1 distance of the output, divided by its standard deviation, from N(0, 1)
is $W_n \sim \frac{\kappa_n}{24} E|Z^3 - 3Z| \sim \frac{15h}{24n} E|Z^3 - 3Z|$, which is why the rate is no better than
1/n.

Sources: D. Trevisan, Wide deep neural networks with Gaussian weights are very close to Gaussian processes,
arXiv:2312.11737 (2023); S. Favaro, B. Hanin, D. Marinucci, I. Nourdin, G. Peccati, Quantitative CLTs in deep neural
networks, arXiv:2307.06092 (2023).

**What is measured.** The chain of covariances is simulated, which is the law of the network itself and costs n numbers
for a layer instead of n^2. The law of the output in a direction is the mixture of normal laws with the simulated
variances; its distribution function, minus that of the limit, is integrated on a grid. The sliced distance is the mean
over fixed directions in the space of the values at three inputs. ESTIMATED; the intervals are of the groups of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.experiments import Estimate, Finished, PowerLaw, fit_rate, seeds
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIDDEN = (1, 2, 3)
WIDTHS = (8, 16, 32, 64, 128, 256)
ANGLES = (0.0, 50.0, 120.0)
"""The inputs: unit vectors of the plane, in degrees."""

SAMPLES = 36_000
GROUPS = 10
RATE_MARGIN = 0.1
CONSTANT_MARGIN = 0.1
_CONFIDENCE = 0.95
_CHUNK = 2000
_STEP = 1e-4
"""Of the central difference that takes the derivative of the limit; its error is of order 1e-8."""
_GRID = np.linspace(0.0, 9.0, 181)
ABSOLUTE_MOMENT = 4 * math.exp(-1.5) / math.sqrt(2 * math.pi) * 2 + 2 / math.sqrt(2 * math.pi)
"""E|Z^3 - 3Z|: an antiderivative of (z^3 - 3z) phi is (1 - z^2) phi."""

Floats = NDArray[np.float64]


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each number of hidden layers and width, and all of them once more for each further minute."""
    samples = SAMPLES if budget >= 30 else SAMPLES // 30
    return [
        {"hidden": hidden, "width": width, "samples": samples, "seed": own}
        for own in seeds(seed, max(1, int(budget / 60)))
        for width in WIDTHS
        for hidden in HIDDEN
    ]


def directions(points: int) -> Floats:
    """Return unit vectors in the space of the values: the axes, and all sums and differences of two."""
    axes = list(np.eye(points))
    pairs = [(i, j) for i in range(points) for j in range(i)]
    mixed = [(axes[i] + sign * axes[j]) / math.sqrt(2) for i, j in pairs for sign in (1.0, -1.0)]
    return np.array(axes + mixed)


def inputs() -> Floats:
    """Return the three inputs, (3, 2)."""
    angles = np.radians(ANGLES)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def expected(k: Floats) -> Floats:
    """Return 2 E rho(z) rho(z)^T for z ~ N(0, k), (..., p, p): the covariance after one more, infinitely wide layer."""
    deviations = np.sqrt(np.einsum("...ii->...i", k))
    size = deviations[..., :, None] * deviations[..., None, :]
    rho = np.clip(np.divide(k, size, out=np.ones_like(size), where=size > 0), -1, 1)
    angle = np.arccos(rho)
    return size * (np.sin(angle) + (np.pi - angle) * rho) / np.pi


def limit(points: Floats, hidden: int) -> Floats:
    """Return the NNGP kernel of unit vectors after h hidden layers, of variance 1."""
    k = points @ points.T
    for _ in range(hidden):
        k = expected(k)
    return k


def covariances(points: Floats, hidden: int, width: int, samples: int, seed: int) -> tuple[Floats, Floats]:
    """Return independent covariances of the output given the hidden layers, and controls, both (samples, p, p).

    The first layer has the covariance of the inputs; each further one is a sum over the neurons before it. The control
    is what the limit, linearized, makes of the deviations of each layer from its conditional mean. It has mean 0 and is
    the covariance minus the limit, but for terms of second order.
    """
    generator = np.random.default_rng([seed, hidden, width])
    parts, controls = [], []
    for first in range(0, samples, _CHUNK):
        count = min(_CHUNK, samples - first)
        at = points @ points.T
        k = np.broadcast_to(at, (count, *at.shape))
        control = np.zeros(k.shape)
        for _ in range(hidden):
            values, vectors = np.linalg.eigh(k)
            root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
            z = np.maximum(generator.standard_normal((count, width, len(points))) @ root.transpose(0, 2, 1), 0.0)
            new = 2 / width * (z.transpose(0, 2, 1) @ z)
            slope = (expected(at + _STEP * control) - expected(at - _STEP * control)) / (2 * _STEP)
            control, k, at = slope + new - expected(k), new, expected(at)
        parts.append(k)
        controls.append(control)
    return np.concatenate(parts), np.concatenate(controls)


def excess(ratios: Floats, control: Floats) -> Floats:
    """Return the distribution function of the mixture of N(0, r_i) minus that of N(0, 1) on the grid, for each group.

    Args:
        ratios: (samples,), each GROUPS-th of which belongs to one group.
        control: (samples,) numbers of mean 0 that are about r_i - 1; times the derivative of the distribution function
            by the variance they are subtracted, which takes off noise and no bias.

    Returns:
        (GROUPS, grid points), for arguments >= 0; the rest is odd.
    """
    from scipy.special import ndtr

    inverse = 1 / np.sqrt(np.maximum(ratios, 1e-300))
    raw = np.array([ndtr(x * inverse).reshape(-1, GROUPS).mean(axis=0) - ndtr(x) for x in _GRID]).T
    slope = -_GRID * np.exp(-(_GRID**2) / 2) / math.sqrt(8 * math.pi)
    return raw - control.reshape(-1, GROUPS).mean(axis=0)[:, None] * slope


def wasserstein(difference: Floats) -> float:
    """Return the Wasserstein-1 distance of two laws on the line from half of their odd difference."""
    return 2 * float(np.trapezoid(np.abs(difference), _GRID))


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the sliced distance, and distance and kurtosis at one input, also with each group left out."""
    points = inputs()
    found, controls = covariances(points, case["hidden"], case["width"], case["samples"], case["seed"])
    target, ways = limit(points, case["hidden"]), directions(len(points))
    sizes = np.einsum("di,ij,dj->d", ways, target, ways)[:, None]
    ratios, controls = (np.einsum("di,sij,dj->ds", ways, k, ways) / sizes for k in (found, controls))
    differences = [excess(ratio, control) for ratio, control in zip(ratios, controls, strict=True)]
    sliced = [wasserstein(difference.mean(axis=0)) for difference in differences]
    one = ratios[0]
    groups = np.arange(case["samples"]) % GROUPS
    kept = [np.ones(GROUPS, dtype=bool), *(np.arange(GROUPS) != g for g in range(GROUPS))]
    parts = [one[keep[groups]] for keep in kept]
    return {
        "sliced": float(np.mean(sliced)),
        "one_input": [wasserstein(differences[0][keep].mean(axis=0)) for keep in kept],
        "kurtosis": [3 * float(np.mean(part**2) / np.mean(part) ** 2 - 1) for part in parts],
    }


def _jackknife(samples: Sequence[Sequence[float]]) -> Estimate:
    """Return the mean over independent samples of the first value, with the interval of the jackknife over groups."""
    from scipy.special import stdtrit

    square = 0.0
    for values in samples:
        left_out = np.array(values[1:])
        square += (GROUPS - 1) / GROUPS * float(np.sum((left_out - left_out.mean()) ** 2)) / len(samples) ** 2
    whole = float(np.mean([values[0] for values in samples]))
    half = float(stdtrit(GROUPS - 1, (1 + _CONFIDENCE) / 2)) * math.sqrt(square)
    return Estimate(whole, whole - half, whole + half)


def kurtosis(hidden: int, width: int) -> float:
    """Return the excess kurtosis of the output at one input, exactly."""
    return 3 * ((1 + 5 / width) ** hidden - 1)


def _by_width(finished: Sequence[Finished], hidden: int) -> dict[int, list[dict[str, Any]]]:
    """Return the results of one depth, sorted by width."""
    found: dict[int, list[dict[str, Any]]] = {}
    for case in sorted(finished, key=lambda c: c.inputs["width"]):
        if case.inputs["hidden"] == hidden:
            found.setdefault(case.inputs["width"], []).append(case.result)
    return found


def _mean(results: Sequence[dict[str, Any]]) -> float:
    return float(np.mean([result["sliced"] for result in results]))


def _rate(own: dict[int, list[dict[str, Any]]]) -> PowerLaw | None:
    """Fit the sliced distances of the four largest widths."""
    widths = list(own)[-4:]
    return fit_rate(widths, [_mean(own[n]) for n in widths]) if len(widths) > 2 else None


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the exponents with -1, and constant and kurtosis at the largest width with the predicted ones."""
    comparisons = []
    for hidden in HIDDEN:
        own = _by_width(finished, hidden)
        rate = _rate(own)
        if rate is None:
            continue
        n, subject = max(own), f"{hidden} hidden"
        exact = kurtosis(hidden, n)
        comparisons.append(_compare(subject, "exponent", rate.exponent, -1.0, RATE_MARGIN))
        for quantity, name, predicted in (
            ("kurtosis ratio", "kurtosis", exact),
            ("W1 ratio", "one_input", exact / 24 * ABSOLUTE_MOMENT),
        ):
            m = _jackknife([result[name] for result in own[n]])
            ratio = Estimate(m.value / predicted, m.low / predicted, m.high / predicted)
            comparisons.append(_compare(f"{subject}, n={n}", quantity, ratio, 1.0, CONSTANT_MARGIN))
    verdict = unless_all_hold(comparisons) or _verdict(comparisons)
    return Analysis(tuple(comparisons), verdict)


def _compare(subject: str, quantity: str, measured: Estimate, predicted: float, margin: float) -> Comparison:
    answer = judge(measured, predicted, margin)
    return Comparison(subject, quantity, measured, "==", predicted, margin, Kind.ESTIMATED.value, answer)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    rates = [c.measured.value for c in comparisons if c.quantity == "exponent"]
    if len(rates) < len(HIDDEN):
        return Verdict("undecided", "some depth has fewer than 3 widths.")
    found = ", ".join(f"{rate:.3f}" for rate in rates)
    return Verdict("holds", f"the distance falls with the exponents {found}, with the predicted constants.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the densities of one output against the limit, and the distances against the width."""
    figure = new_figure((9.6, 4.2))
    left, right = figure.subplots(1, 2)
    _draw_densities(left)
    for hidden, style in zip(HIDDEN, STYLES, strict=False):
        own = _by_width(finished, hidden)
        rate = _rate(own)
        if rate is None:
            continue
        n = np.array(list(own), dtype=float)
        label = f"sliced, {hidden} hidden layer{'s' * (hidden > 1)}: exponent {rate.exponent.value:.2f}"
        right.loglog(n, [_mean(results) for results in own.values()], style.marker, color=style.color, label=label)
        right.loglog(n, rate.constant.value * n**rate.exponent.value, color=style.color, linewidth=0.9)
        one = [_jackknife([result["one_input"] for result in results]).value for results in own.values()]
        right.loglog(n, one, "x", color=style.color, markersize=4)
        right.loglog(n, [kurtosis(hidden, int(w)) / 24 * ABSOLUTE_MOMENT for w in n], ":", color=style.color)
    right.plot([], [], "x:", color=GRAY, markersize=4, label="at one input; dotted: predicted")
    right.set(xlabel="width $n$", ylabel="Wasserstein-1 distance / standard deviation")
    right.set_title("distance of the output law to the Gaussian process", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


def _draw_densities(axes: Any) -> None:
    """Draw the law of the output at one input for three widths; the mixture needs few samples for that."""
    x = np.linspace(-4.5, 4.5, 300)
    points = inputs()[:1]
    for width, style in zip((2, 8, 32), STYLES, strict=False):
        variances = covariances(points, 2, width, 4000, 0)[0][:, 0, 0]
        variances = variances[variances > 1e-4]
        density = np.mean(np.exp(-(x**2) / (2 * variances[:, None])) / np.sqrt(2 * np.pi * variances[:, None]), axis=0)
        axes.semilogy(x, density, color=style.color, linewidth=1.2, label=f"$n$ = {width}")
    axes.semilogy(x, np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi), "--", color=GRAY, label="Gaussian process")
    axes.set(xlabel="output at one input", ylabel="density", ylim=(2e-4, 3))
    axes.set_title("random ReLU network with 2 hidden layers", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


STUDY = Study(
    name="gaussian-process-limit",
    claim="The law of the outputs of a random network of width n at fixed inputs is at Wasserstein distance C/n from "
    "the Gaussian process with the NNGP kernel; for ReLU with h hidden layers the excess kurtosis at one input is "
    "3((1 + 5/n)^h - 1).",
    source="D. Trevisan, arXiv:2312.11737 (2023); S. Favaro, B. Hanin, D. Marinucci, I. Nourdin, G. Peccati, "
    "arXiv:2307.06092 (2023)",
    rule=f"For each depth the exponent of the sliced Wasserstein distance over the four largest widths has to be -1 "
    f"within {RATE_MARGIN}, and kurtosis and distance at one input, at the largest width, the predicted ones within "
    f"{CONSTANT_MARGIN:.0%}, each with its whole 95 % interval.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
