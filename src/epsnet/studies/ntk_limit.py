r"""Study: does the tangent kernel of a network of width n converge, and is training then that of a linear model?

**Theorem.** Let the width n of the hidden layers tend to infinity, in the NTK parametrization. The tangent kernel at
initialization converges in probability to the analytic NTK, with deviations of order n^(-1/2). Gradient descent with a
step size below the largest stable one moves the parameters by O(1) while their norm grows as n, the tangent kernel
changes by O(n^(-1/2)), and the outputs stay within O(n^(-1/2)) of those of the linearized network, whose training is
solved in closed form.

Sources: A. Jacot, F. Gabriel, C. Hongler, Neural tangent kernel: convergence and generalization in neural networks,
NeurIPS 2018; J. Lee et al., Wide neural networks of any depth evolve as linear models under gradient descent, NeurIPS
2019, theorem 2.1; L. Chizat, E. Oyallon, F. Bach, On lazy training in differentiable programming, NeurIPS 2019.

**What is measured.** Kernels: for each width, `SEEDS` networks with 2 hidden ReLU layers at 5 inputs; the spread of the
entries and the distance of their mean from the analytic kernel in standard errors. Training: networks with 2 hidden erf
layers on 8 points, all examples in each of 500 steps, in float64; how far the outputs at test points are from the
prediction of `kernel_training` with the network's own kernel at initialization, how far the parameters moved, and by
how much the kernel changed. ESTIMATED.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import MissingExtraError
from epsnet.core.network import Network
from epsnet.experiments import Estimate, Finished, fit_rate, seeds
from epsnet.generalization.empirical_ntk import empirical_ntk
from epsnet.generalization.inference import kernel_training
from epsnet.generalization.kernels import ntk
from epsnet.generalization.wide_network import Dense, WideNetwork
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = (32, 64, 128, 256, 512)
SEEDS = 64
STARTS = 8
STEPS = 500
SLOPE_MARGIN = 0.1
STANDARD_ERRORS = 4.0
KERNEL_NET = WideNetwork([Dense(math.sqrt(2), 0.1), "relu", Dense(math.sqrt(2), 0.1), "relu", Dense(1.0, 0.1)])
TRAINING_NET = WideNetwork([Dense(1.5, 0.3), "erf", Dense(1.5, 0.3), "erf", Dense(1.0, 0.0)])
_CURVE = 20
"""Points on the way at which the outputs are kept for the picture."""

Floats = NDArray[np.float64]


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each width of both parts, and all of them once more for each further minute.

    A small budget leaves out the widest and takes fewer networks.

    Raises:
        MissingExtraError: JAX is not installed.
    """
    try:
        import jax  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "This study") from None
    small = budget < 30
    widths, kernels, starts = (WIDTHS[:3], 16, 2) if small else (WIDTHS, SEEDS, STARTS)
    return [
        {"part": part, "width": n, "networks": networks, "seed": own}
        for own in seeds(seed, max(1, int(budget / 60)))
        for part, networks in (("kernel", kernels), ("training", starts))
        for n in widths
    ]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the statistics of one width."""
    return _kernels(case) if case["part"] == "kernel" else _training(case)


def _generator(case: dict[str, Any], number: int) -> np.random.Generator:
    return np.random.default_rng([case["seed"], case["width"], number])


def _kernels(case: dict[str, Any]) -> dict[str, Any]:
    points = np.random.default_rng(case["seed"]).standard_normal((5, 6))
    upper, n = np.triu_indices(len(points)), case["width"]
    scales = KERNEL_NET.scales(points.shape[1], n)
    entries = np.array([
        empirical_ntk(KERNEL_NET.sample(n, points.shape[1], _generator(case, i)), points, scales=scales)[..., 0, 0]
        for i in range(case["networks"])
    ])[:, *upper]  # fmt: skip
    limit = ntk(KERNEL_NET, points)
    deviation, size = entries.std(axis=0, ddof=1), np.sqrt(np.outer(np.diag(limit), np.diag(limit)))[upper]
    errors = (entries.mean(axis=0) - limit[upper]) / (deviation / math.sqrt(len(entries)))
    spread = float(np.sqrt(np.mean((deviation / size) ** 2)))
    shown = (entries[:, 1] / limit[0, 1]).tolist()
    return {"spread": spread, "largest_error": float(np.abs(errors).max()), "entry": shown}


def problem() -> tuple[Floats, Floats, Floats]:
    """Return 8 training points on a circle, their targets, and 16 test points between them."""
    angles = 2 * np.pi * np.arange(24) / 24
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    at = np.arange(24) % 3 == 0
    return circle[at], np.sin(2 * angles[at]) + 0.5 * np.cos(angles[at]), circle[~at]


def _training(case: dict[str, Any]) -> dict[str, Any]:
    x, y, test = problem()
    n = case["width"]
    scales = TRAINING_NET.scales(x.shape[1], n)
    limit = ntk(TRAINING_NET, x)
    step_size = kernel_training(limit, y).max_step_size / 20
    found: dict[str, list[Any]] = {"distance": [], "moved": [], "predicted_move": [], "relative_move": [], "change": []}
    for number in range(case["networks"]):
        start = TRAINING_NET.sample(n, x.shape[1], _generator(case, number))
        at_start = empirical_ntk(start, x, scales=scales)[..., 0, 0]
        cross = empirical_ntk(start, test, x, scales=scales)[..., 0, 0]
        every = np.linspace(0, STEPS, _CURVE + 1).astype(int)
        outputs, values, moved, norm, end = _descend(start, scales, x, y, test, step_size, every)
        solution = kernel_training(at_start, y)
        predicted = np.array([
            solution.mean(cross, float(k), step_size=step_size, initial_train=outputs[0], initial_test=values[0])
            for k in every
        ])  # fmt: skip
        found["distance"].append(float(np.sqrt(np.mean((values[-1] - predicted[-1]) ** 2))))
        found["moved"].append(moved)
        found["predicted_move"].append(solution.movement(float(STEPS), step_size=step_size, initial_train=outputs[0]))
        found["relative_move"].append(moved / norm)
        after = empirical_ntk(end, x, scales=scales)[..., 0, 0]
        found["change"].append(float(np.linalg.norm(after - at_start) / np.linalg.norm(at_start)))
        if number == 0:
            found["curves"] = [every.tolist(), values[:, 0].tolist(), predicted[:, 0].tolist()]
    return dict(found)


def _descend(
    start: Network, scales: Any, x: Floats, y: Floats, test: Floats, step_size: float, every: NDArray[np.int64]
) -> tuple[Floats, Floats, float, float, Network]:
    """Return outputs at training and test points at the given steps, |w_t - w_0|, |w_0|, and the trained network."""
    from epsnet.diff import precise

    layers = [(layer.terms[0][1].weight / w, np.asarray(layer.bias) / (b or 1.0))  # pyright: ignore
              for layer, (w, b) in zip(start.layers, scales, strict=True)]  # fmt: skip
    factors = tuple((float(w), float(b)) for w, b in scales)
    with precise():
        run, realize = _program(factors, int(every[1]))
        params, outputs, values = layers, [realize(layers, x)], [realize(layers, test)]
        for _ in range(len(every) - 1):
            params = run(params, x, y, step_size)
            outputs.append(realize(params, x))
            values.append(realize(params, test))
        arrays = [(np.asarray(a), np.asarray(b)) for a, b in params]
        outputs, values = np.array(outputs), np.array(values)
    pairs = [
        (old, new) for old_layer, new_layer in zip(layers, arrays, strict=True)
        for old, new in zip(old_layer, new_layer, strict=True)
    ]  # fmt: skip
    moved = math.sqrt(sum(float(np.sum((new - old) ** 2)) for old, new in pairs))
    norm = math.sqrt(sum(float(np.sum(old**2)) for old, _ in pairs))
    end = Network.from_layers([(w * a, b * c) for (w, b), (a, c) in zip(factors, arrays, strict=True)], "erf")
    return outputs, values, moved, norm, end


@functools.lru_cache(maxsize=16)
def _program(factors: tuple[tuple[float, float], ...], steps: int) -> tuple[Any, Any]:
    """Return compiled gradient descent on (1/2n)|f - y|^2 in the NTK parametrization, and the outputs."""
    import jax

    from epsnet.diff import realize

    def outputs(params: Any, points: Any) -> Any:
        layers = [(w * a, b * c) for (w, b), (a, c) in zip(factors, params, strict=True)]
        return realize(layers, "erf", points)[:, 0]

    def loss(params: Any, x: Any, y: Any) -> Any:
        return 0.5 * ((outputs(params, x) - y) ** 2).mean()

    def run(params: Any, x: Any, y: Any, step_size: Any) -> Any:
        def step(_: Any, current: Any) -> Any:
            slope = jax.grad(loss)(current, x, y)
            return jax.tree.map(lambda p, g: p - step_size * g, current, slope)

        return jax.lax.fori_loop(0, steps, step, params)

    return jax.jit(run), jax.jit(outputs)


def _own(finished: Sequence[Finished], part: str) -> list[Finished]:
    return sorted((c for c in finished if c.inputs["part"] == part), key=lambda c: c.inputs["width"])


LAZY = {"distance": "outputs", "relative_move": "parameters", "change": "kernel"}
"""Measured quantities of training and what to call them: outputs from linear training, relative changes of the rest."""


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the slopes with -1/2 and the errors of the means with four standard errors."""
    comparisons, remarks = [], []
    kernels, training = _own(finished, "kernel"), _own(finished, "training")
    if len(kernels) > 2:
        slope = fit_rate([c.inputs["width"] for c in kernels], [c.result["spread"] for c in kernels]).exponent
        comparisons.append(_compare("spread", "exponent", slope, "==", -0.5, SLOPE_MARGIN))
        worst = max(c.result["largest_error"] for c in kernels)
        error = Estimate(worst, worst, worst)
        comparisons.append(_compare("mean", "std. errors", error, "<=", STANDARD_ERRORS, 0.0))
    if len(training) > 2:
        for name, subject in LAZY.items():
            widths = [c.inputs["width"] for c in training for _ in c.result[name]]
            slope = fit_rate(widths, [v for c in training for v in c.result[name]]).exponent
            comparisons.append(_compare(subject, "exponent", slope, "<=", -0.5, SLOPE_MARGIN))
        widest = training[-1]
        ratio = np.array(widest.result["moved"]) / np.array(widest.result["predicted_move"])
        remarks.append(
            f"at width {widest.inputs['width']} the parameters move {ratio.min():.3f} to {ratio.max():.3f} times the "
            f"predicted radius"
        )
    verdict = unless_all_hold(comparisons) or _verdict(comparisons)
    return Analysis(tuple(comparisons), verdict, tuple(remarks))


def _compare(
    subject: str, quantity: str, measured: Estimate, sense: Any, predicted: float, margin: float
) -> Comparison:
    answer = judge(measured, predicted, margin, sense)
    return Comparison(subject, quantity, measured, sense, predicted, margin, Kind.ESTIMATED.value, answer)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if len(comparisons) < 2 + len(LAZY):
        return Verdict("undecided", "a part has fewer than 3 widths.")
    found = ", ".join(f"{c.subject} {c.measured.value:.2f}" for c in comparisons if c.quantity == "exponent")
    return Verdict("holds", f"the exponents are {found}, and the mean kernel is the analytic one.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw one entry of the kernel against the width, outputs along training, and the distances against the width."""
    figure = new_figure((12.0, 4.0))
    left, middle, right = figure.subplots(1, 3)
    _draw_entries(left, _own(finished, "kernel"))
    training = _own(finished, "training")
    for case, style in zip([training[i] for i in {0, len(training) - 1}] if training else [], STYLES, strict=False):
        steps, trained, predicted = case.result["curves"]
        label = f"$n$ = {case.inputs['width']}"
        middle.plot(steps, trained, style.marker, color=style.color, markersize=4.5, label=f"{label}, trained")
        middle.plot(steps, predicted, color=style.color, linewidth=1, label=f"{label}, linearized")
    middle.set(xlabel="steps of gradient descent", ylabel="output at a test point")
    middle.set_title("training against the closed form", fontsize=10)
    widths = sorted({c.inputs["width"] for c in training})
    for (name, subject), style in zip(LAZY.items(), STYLES, strict=False):
        means = [np.mean([v for c in training if c.inputs["width"] == n for v in c.result[name]]) for n in widths]
        label = f"{subject}, relative" if name != "distance" else "outputs, root mean square"
        right.loglog(widths, means, style.marker + "-", color=style.color, linewidth=1, label=label)
    if training:
        n = np.array([widths[0], widths[-1]], dtype=float)
        right.loglog(n, np.mean(training[0].result["change"]) * np.sqrt(n[0] / n), "--", color=GRAY, label="slope −1/2")
        for axes in (middle, right):
            axes.legend(frameon=False, fontsize=8)
    right.set(xlabel="width $n$", ylabel="distance")
    right.set_title("distance from linear training", fontsize=10)
    for axes in (left, right):
        axes.set_xticks(WIDTHS, map(str, WIDTHS))
        axes.minorticks_off()
    return finish(figure, analysis.verdict.answer)


def _draw_entries(axes: Any, kernels: Sequence[Finished]) -> None:
    for case in kernels:
        n, values = case.inputs["width"], np.array(case.result["entry"])
        places = n * np.exp(np.linspace(-0.15, 0.15, len(values)))
        axes.semilogx(places, values, ".", color=STYLES[0].color, markersize=3, alpha=0.6)
        half = values.std(ddof=1)
        axes.errorbar(n, values.mean(), half, fmt="_", color=STYLES[1].color, elinewidth=1.5, capsize=3)
    axes.axhline(1, color=GRAY, linewidth=1, linestyle="--")
    axes.set(xlabel="width $n$", ylabel=r"$\Theta_n(x, x')\,/\,\Theta(x, x')$")
    axes.set_title("one entry of the empirical kernel, mean ± std", fontsize=10)


STUDY = Study(
    name="ntk-limit",
    claim="The tangent kernel of a network of width n at initialization deviates from the analytic NTK by O(n^(-1/2)); "
    "after gradient descent the outputs, the kernel, and the parameters relative to their norm are within O(n^(-1/2)) "
    "of linear training.",
    source="A. Jacot, F. Gabriel, C. Hongler, NeurIPS 2018; J. Lee et al., NeurIPS 2019; L. Chizat, E. Oyallon, F. "
    "Bach, NeurIPS 2019",
    rule=f"The spread of the kernel has to have the exponent -1/2 within {SLOPE_MARGIN}, its mean has to be the "
    f"analytic kernel within {STANDARD_ERRORS:g} standard errors in every entry and width, and the exponents of the "
    f"three distances after training have to be at most -1/2 + {SLOPE_MARGIN} with their whole 95 % intervals.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
