r"""Study: are two independently trained networks joined by a path of small loss?

**Claim** (R. Entezari et al. 2022, a conjecture; S. K. Ainsworth et al. 2023). The loss on the straight line between
two trained networks has a barrier; after the neurons of one are permuted to be nearest to those of the other, which
leaves it the same function, the barrier is smaller, and it tends to 0 as the width grows. A polygon with one trained
bend has hardly any barrier (T. Garipov et al. 2018).

**Why.** Networks of one hidden layer that differ by a permutation are the same function. In the limit of infinite width
a network is a measure on its neurons, in which a permutation does not show, and two runs of training end near one
measure.

Sources: R. Entezari, H. Sedghi, O. Saukh, B. Neyshabur, The role of permutation invariance in linear mode connectivity
of neural networks, ICLR 2022; S. K. Ainsworth, J. Hayase, S. Srinivasa, Git Re-Basin, ICLR 2023; T. Garipov et al.,
Loss surfaces, mode connectivity, and fast ensembling of DNNs, NeurIPS 2018.

**What is measured.** Cross entropy on 1,000 images of MNIST, halved to 14 x 14 pixels, of networks with one hidden
layer that are trained on them from two starts, on 25 points of each path. The permutation is that of the least distance
between the outputs of the hidden neurons on the images, by a linear assignment. All numbers are ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import MissingExtraError
from epsnet.data import load_mnist
from epsnet.experiments import Estimate, Finished
from epsnet.optimization.figures import draw_paths
from epsnet.optimization.hessian import flatten, network_objective
from epsnet.optimization.landscape import LossPath, connect, loss_path, matched
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = (8, 32, 128, 512, 2048)
EXAMPLES = 1000
SHARE = 0.5
"""The matched barrier has to be at most this share of the naive one."""

LEAST_DRAWN = 1e-5

KINDS = {"naive": "straight line", "matched": "straight line, matched", "bent": "one bend"}


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one pair of networks for each width, the wider ones only if the budget allows.

    Raises:
        MissingExtraError: JAX is not installed.
    """
    try:
        import jax  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "Training") from None
    widths = WIDTHS[: 2 if budget < 30 else 4 if budget < 150 else 5]
    return [{"width": w, "examples": EXAMPLES, "epochs": 100, "seeds": [2 * seed, 2 * seed + 1]} for w in widths]


def _data(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (n, 14, 14), each pixel the rounded mean of four, and their labels."""
    sample = load_mnist("train")
    blocks = np.asarray(sample.inputs[:count], dtype=np.float64).reshape(count, 14, 2, 14, 2)
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8), np.asarray(sample.labels[:count])


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the loss along three paths between two trained networks."""
    from epsnet import diff

    images, y = _data(case["examples"])
    x = images.reshape(len(images), -1).astype(np.float64)
    fits = diff.fit_seeds(images, y, [196, case["width"], 10], seeds=case["seeds"], epochs=case["epochs"])
    first, second = ([(np.asarray(a, float), np.asarray(b, float)) for a, b in fit.layers] for fit in fits)
    objective, start = network_objective(first, x, y)
    naive, aligned = flatten(second), flatten(matched(first, second, inputs=x))
    bend = connect(objective, start, naive, points=4, steps=30)
    corners = {"naive": [start, naive], "matched": [start, aligned], "bent": [start, bend, naive]}
    return {name: loss_path(objective.value, chain).values.tolist() for name, chain in corners.items()}


def _paths(case: Finished) -> dict[str, LossPath]:
    return {name: LossPath(np.linspace(0, 1, len(case.result[name])), np.array(case.result[name])) for name in KINDS}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare matched barriers with naive ones, and each with that of the next smaller width."""
    comparisons, before = [], None
    for case in finished:
        paths, subject = _paths(case), f"width {case.inputs['width']}"
        aligned = paths["matched"].barrier
        comparisons.append(_compare(subject, "ratio", aligned / max(paths["naive"].barrier, 1e-300), SHARE))
        if before is not None:
            comparisons.append(_compare(subject, "barrier", aligned, before))
        before = aligned
    return Analysis(tuple(comparisons), _verdict(comparisons), _remarks(finished))


def _compare(subject: str, quantity: str, value: float, most: float) -> Comparison:
    measured = Estimate(value, value, value)
    answer = judge(measured, most, 0.0, "<=")
    return Comparison(subject, quantity, measured, "<=", most, 0.0, Kind.ESTIMATED.value, answer)


def _remarks(finished: Sequence[Finished]) -> tuple[str, ...]:
    return tuple(
        f"width {case.inputs['width']}: barriers "
        + ", ".join(f"{path.barrier:.4f} ({KINDS[name]})" for name, path in _paths(case).items())
        for case in finished
    )


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    wrong = [f"the {c.quantity} at {c.subject}" for c in comparisons if c.answer != "holds"]
    if wrong:
        return Verdict("contradicts", f"{'; '.join(wrong)} is larger than stated.")
    barriers = [c.measured.value for c in comparisons if c.quantity == "barrier"]
    if len(barriers) < 2:
        return Verdict("undecided", "fewer than three widths were measured.")
    worst = max(c.measured.value for c in comparisons if c.quantity == "ratio")
    return Verdict(
        "holds",
        f"matching leaves at most {worst:.0%} of the barrier, which falls with the width to {barriers[-1]:.3g}.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the three paths of the narrowest and the widest networks, and the barriers against the width."""
    figure = new_figure((10.4, 3.9))
    axes = figure.subplots(1, 3)
    for place, case in zip(axes, [finished[0], finished[-1]] if finished else [], strict=False):
        draw_paths(place, {KINDS[name]: path for name, path in _paths(case).items()})
        place.set_title(f"width {case.inputs['width']}", fontsize=10)
    for (name, label), style in zip(KINDS.items(), (STYLES[1], STYLES[0], STYLES[2]), strict=True):
        widths = [case.inputs["width"] for case in finished]
        barriers = [_paths(case)[name].barrier for case in finished]
        note = f" (at {LEAST_DRAWN:g}: at most that)" if min(barriers, default=1) < LEAST_DRAWN else ""
        barriers = np.maximum(barriers, LEAST_DRAWN)
        axes[2].loglog(widths, barriers, style.marker + "-", color=style.color, linewidth=1, label=label + note)
    axes[2].set(xlabel="width", ylabel="barrier")
    axes[2].set_title("barriers, ESTIMATED", fontsize=10)
    axes[2].legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="mode-connectivity",
    claim="After the best permutation of its hidden neurons the straight line between two trained networks has a "
    "smaller barrier of the loss, which falls with the width.",
    source="R. Entezari, H. Sedghi, O. Saukh, B. Neyshabur, ICLR 2022; S. K. Ainsworth, J. Hayase, S. Srinivasa, Git "
    "Re-Basin, ICLR 2023; T. Garipov et al., NeurIPS 2018",
    rule=f"At each width the matched barrier has to be at most {SHARE:.0%} of the naive one, and no larger than "
    "that of the next smaller width; one that is larger contradicts.",
    budget=50,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
