r"""Study: with few data, does the kernel of the infinitely wide network err less than a trained network?

**Observation** (no theorem covers it). On small samples regression with the neural tangent kernel is as good as, or
better than, fully connected networks of the same depth trained by gradient descent.

Sources: S. Arora, S. S. Du, Z. Li, R. Salakhutdinov, R. Wang, D. Yu, Harnessing the power of infinitely wide deep nets
on small-data tasks, ICLR 2020; J. Lee, S. S. Schoenholz, J. Pennington, B. Adlam, L. Xiao, R. Novak, J. Sohl-Dickstein,
Finite versus infinite neural networks: an empirical study, NeurIPS 2020.

**What is measured.** A random division of the 70,000 MNIST digits; the first n are the sample, 2,000 others the test
points. Kernel: regression on the classes with the NTK (and the NNGP kernel, for the picture) of 3 dense layers with
ReLU on images of norm 1, the ridge `RIDGE` times the mean of the diagonal, the same for all n. Network: [784, w, w, 10]
with ReLU and w = 128 on pixels that are all normalized alike, cross entropy, Adam with a step size that falls to 0,
1,000 steps of 64 examples; of the networks from `STARTS` seeds the mean error counts. ESTIMATED; the intervals are of
the divisions, paired.
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
from epsnet.core.realize import realize
from epsnet.data import load_mnist
from epsnet.experiments import Estimate, Finished, seeds
from epsnet.generalization.inference import kernel_training
from epsnet.generalization.kernels import kernels
from epsnet.generalization.wide_network import Dense, WideNetwork
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (50, 100, 200, 500, 1000)
TEST = 2000
WIDTH = 128
STARTS = 2
STEPS = 1000
BATCH = 64
RIDGE = 1e-3
MARGIN = 0.005
_CONFIDENCE = 0.95
_SECONDS_OF_A_DIVISION = 20.0
NETWORK = WideNetwork([Dense(math.sqrt(2)), "relu", Dense(math.sqrt(2)), "relu", Dense(math.sqrt(2))])

Floats = NDArray[np.float64]


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each division and size; at least 2 divisions, and one more for each 20 s of the budget.

    Raises:
        MissingExtraError: JAX is not installed.
    """
    try:
        import jax  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "This study") from None
    divisions = max(2, int(budget / _SECONDS_OF_A_DIVISION))
    return [{"points": n, "division": division, "steps": STEPS} for division in seeds(seed, divisions) for n in SIZES]


@functools.cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    parts = [load_mnist("train"), load_mnist("test")]
    return np.concatenate([part.inputs for part in parts]), np.concatenate([part.labels for part in parts])


def _unit(images: NDArray[np.uint8]) -> Floats:
    pixels = images.reshape(len(images), -1).astype(np.float64)
    return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the shares of errors on the test points of both kernels and of the networks."""
    from epsnet import diff

    images, labels = _digits()
    order = np.random.Generator(np.random.Philox(case["division"])).permutation(len(images))
    sample, test = order[: case["points"]], order[-TEST:]
    x, y = images[sample], labels[sample]
    found: dict[str, Any] = {}
    train, cross = kernels(NETWORK, _unit(x)), kernels(NETWORK, _unit(images[test]), _unit(x))
    targets = np.where(np.arange(10) == y[:, None], 1.0, -1 / 9)
    for name in ("ntk", "nngp"):
        kernel = getattr(train, name)
        fitted = kernel_training(kernel, targets, RIDGE * float(np.mean(np.diag(kernel))))
        found[name] = float(np.mean(fitted.mean(getattr(cross, name)).argmax(axis=1) != labels[test]))
    batch = min(BATCH, len(x))
    options: dict[str, Any] = {
        "optimizer": "adam", "step_size": 1e-3, "schedule": "cosine", "batch_size": batch,
        "epochs": -(-case["steps"] // (len(x) // batch)),
    }  # fmt: skip
    fits = diff.fit_seeds(x, y, [784, WIDTH, WIDTH, 10], seeds=range(STARTS), **options)
    pixels = images[test].reshape(TEST, -1).astype(np.float64)
    values = [realize(Network.from_layers(fit.layers), pixels) for fit in fits]
    found["network"] = [float(np.mean(value.argmax(axis=1) != labels[test])) for value in values]
    return found


def _by_size(finished: Sequence[Finished], name: str) -> dict[int, Floats]:
    """Return the errors of all divisions for each n; of networks the mean over the starts."""
    found: dict[int, list[float]] = {}
    for case in sorted(finished, key=lambda c: (c.inputs["points"], c.inputs["division"])):
        found.setdefault(case.inputs["points"], []).append(float(np.mean(case.result[name])))
    return {n: np.array(errors) for n, errors in found.items()}


def _mean(values: Floats) -> Estimate:
    """Return the mean with its Student-t interval."""
    from scipy.special import stdtrit

    mean, m = float(values.mean()), len(values)
    half = float(stdtrit(m - 1, (1 + _CONFIDENCE) / 2)) * float(values.std(ddof=1)) / math.sqrt(m)
    return Estimate(mean, mean - half, mean + half)


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare, for each n, the error of the kernel minus that of the network, paired by division, with 0."""
    comparisons, remarks = [], []
    ntk, networks = _by_size(finished, "ntk"), _by_size(finished, "network")
    for n, errors in ntk.items():
        if len(errors) < 2:
            continue
        measured = _mean(errors - networks[n])
        answer = judge(measured, 0.0, MARGIN, "<=")
        comparisons.append(
            Comparison(f"n = {n}", "NTK - net", measured, "<=", 0.0, MARGIN, Kind.ESTIMATED.value, answer)
        )
        remarks.append(f"n = {n}: NTK {errors.mean():.2%}, network {networks[n].mean():.2%} wrong")
    return Analysis(tuple(comparisons), unless_all_hold(comparisons) or _verdict(comparisons), tuple(remarks))


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if len(comparisons) < len(SIZES):
        return Verdict("undecided", "some size was not measured on at least 2 divisions.")
    gains = ", ".join(f"{-c.measured.value:.2%} ({c.subject})" for c in comparisons)
    return Verdict("holds", f"the kernel errs less than the trained network by {gains}.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the errors against n, and the paired difference."""
    figure = new_figure((9.6, 4.0))
    left, right = figure.subplots(1, 2)
    labels = {"ntk": "NTK, 3 layers", "nngp": "NNGP, 3 layers", "network": f"[784, {WIDTH}, {WIDTH}, 10], Adam"}
    for (name, label), style in zip(labels.items(), STYLES, strict=False):
        errors = _by_size(finished, name)
        for n, values in errors.items():
            left.plot(np.full(len(values), n), 100 * values, ".", color=style.color, markersize=3, alpha=0.6)
        means = [100 * values.mean() for values in errors.values()]
        left.loglog(list(errors), means, style.marker + "-", color=style.color, linewidth=1, markersize=5, label=label)
    left.set(xlabel="points of the sample $n$", ylabel="errors on unused digits, percent")
    left.set_title("MNIST; dots: divisions of the data", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    n = [int(c.subject.removeprefix("n = ")) for c in analysis.comparisons]
    middle = np.array([100 * c.measured.value for c in analysis.comparisons])
    half = [100 * (c.measured.high - c.measured.value) for c in analysis.comparisons]
    right.errorbar(n, middle, half, fmt="o", color=STYLES[0].color, capsize=3)
    right.axhline(0, color="black", linewidth=0.8)
    right.set(xscale="log", xlabel="points of the sample $n$", ylabel="NTK minus network, percent")
    right.set_title("difference with 95 % intervals: below 0 the kernel wins", fontsize=10)
    left.set_yticks((5, 10, 20, 40), ("5", "10", "20", "40"))
    for axes in (left, right):
        axes.set_xticks(SIZES, map(str, SIZES))
        axes.minorticks_off()
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="kernel-against-network",
    claim="On samples of up to 1,000 MNIST digits regression with the tangent kernel of a fully connected network errs "
    "no more than a trained network of the same depth.",
    source="S. Arora, S. S. Du, Z. Li, R. Salakhutdinov, R. Wang, D. Yu, ICLR 2020; J. Lee et al., NeurIPS 2020 (an "
    "observation)",
    rule=f"For each size of the sample the mean of (error of the kernel - error of the network), paired over divisions "
    f"of the data, has to be at most {MARGIN:.1%} with its whole 95 % interval; one that lies above it contradicts.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
