"""What a network answers on the sample that its risk is about: mistakes, confusions, residuals, first-layer weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError
from epsnet.core.realize import realize
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.report.figures import draw_predictions, draw_residuals
from epsnet.report.page import Content, Section, badge, columns, element, figure, paragraph, plot, png, section, table

_BLOCK = 2000
_MOST_IMAGES, _MOST_NEURONS, _MOST_CLASSES, _MOST_PAIRS, _MOST_POINTS = 60, 64, 20, 20, 1000
_LARGEST_MATRIX = 512
_SATURATED = 0.995
_IMAGE_SIDE = 64  # pixels of the screen
_BLUE, _WHITE, _ORANGE = (np.array(color) for color in ((0, 114, 178), (247, 247, 247), (213, 94, 0)))


class LabelledSample(Protocol):
    """What a report asks of a sample; `epsnet.data.Sample` has it."""

    @property
    def inputs(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...] | None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Answers:
    """The outputs of a network at the points of a sample.

    Attributes:
        inputs: (n, d).
        shape: (h, w) if the inputs are images, else None.
        labels: (n,) integers, or (n, m) values of a regression.
        classes: the names of the classes; () for a regression.
        outputs: (n, m), in float64 without an error bound.
    """

    inputs: NDArray[np.float64]
    shape: tuple[int, int] | None
    labels: NDArray[Any]
    classes: tuple[str, ...]
    outputs: NDArray[np.float64]


def answers(solution: Solution, sample: LabelledSample | None) -> Answers | None:
    """Evaluate the network on the sample, or on the one the target holds; None if there is neither.

    Raises:
        DomainError: the target is a formula and a sample is given.
        CheckError: this is not the sample of the target.
    """
    target, network = solution.target, solution.network
    if not isinstance(target, DataTarget):
        if sample is not None:
            raise DomainError("The target is a formula and needs no sample. Leave the sample out.")
        return None
    names, shape = None, None
    if sample is not None:
        n, *rest = sample.inputs.shape
        shape = (rest[0], rest[1]) if len(rest) == 2 else None
        names = sample.classes
        target = target.with_data(sample.inputs.reshape(n, -1), sample.labels)
    if target.inputs is None or target.labels is None:
        return None
    blocks = range(0, target.points, _BLOCK)
    outputs = np.concatenate(
        [realize(network, target.inputs[i : i + _BLOCK]).reshape(-1, network.outputs) for i in blocks]
    )
    labels = target.labels if target.tolerance is None else target.labels.reshape(target.points, -1)
    classes = () if target.tolerance is not None else names or tuple(map(str, range(network.outputs)))
    return Answers(target.inputs, shape, labels, classes, outputs)


def mistakes(found: Answers) -> Section | None:
    """Show what a classification gets wrong: the images with the largest margin, and who is taken for whom."""
    if not found.classes:
        return None
    answer = found.outputs.argmax(axis=1)
    wrong = np.flatnonzero(answer != found.labels)
    share = f"{len(wrong):,} of {len(answer):,} answers are wrong ({len(wrong) / len(answer):.2%})"
    return section(
        "Mistakes" if found.shape is None else "Misclassified images",
        paragraph(share, ", in float64 arithmetic. ", badge(Kind.ESTIMATED)),
        _worst_images(found, found.shape, answer, wrong) if found.shape and len(wrong) else None,
        _confusion(found.classes, found.labels, answer),
    )


def _worst_images(found: Answers, shape: tuple[int, int], answer: NDArray, wrong: NDArray) -> Content:
    margin = found.outputs[wrong, answer[wrong]] - found.outputs[wrong, found.labels[wrong]]
    worst = wrong[np.argsort(-margin, kind="stable")][:_MOST_IMAGES]
    scale = max(1, _IMAGE_SIDE // max(shape))

    def tile(point: int) -> Content:
        label, given = found.classes[found.labels[point]], found.classes[answer[point]]
        image = png(found.inputs[point].reshape(shape).astype(np.uint8), f"{label}, taken for {given}", scale=scale)
        return figure(image, (label, " → ", element("strong", given)))

    caption = f"The {len(worst)} with the largest margin of the wrong answer, largest first: label → answer."
    return element("div", map(tile, worst.tolist()), class_="tiles"), paragraph(caption, note=True)


def _confusion(classes: Sequence[str], labels: NDArray, answer: NDArray) -> Content:
    k = len(classes)
    if k > _MOST_CLASSES:
        pairs, counts = np.unique(np.stack([labels, answer])[:, labels != answer], axis=1, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:_MOST_PAIRS]
        rows = [[classes[pairs[0, i]], classes[pairs[1, i]], f"{counts[i]:,}"] for i in most]
        return table(["label", "answer", "points"], rows, numbers=[2], caption="The most frequent mistakes.")
    counts = np.bincount(labels * k + answer, minlength=k * k).reshape(k, k)
    mistakes = counts - np.diag(np.diag(counts))
    largest = max(int(mistakes.max()), 1)

    def cell(i: int, j: int) -> Content:
        if i == j:
            return element("span", f"{counts[i, j]:,}", class_="right")
        strength = round(100 * int(counts[i, j]) / largest)
        return element("span", f"{counts[i, j]:,}" if counts[i, j] else "·", style=f"--strength: {strength}%")

    rows = [
        [classes[i], *(cell(i, j) for j in range(k)), f"{mistakes[i].sum() / max(counts[i].sum(), 1):.1%}"]
        for i in range(k)
    ]
    caption = "Rows: the label. Columns: the answer of the network. Last column: the share of wrong answers."
    content = table(["", *classes, "wrong"], rows, numbers=range(1, k + 2))
    return (
        element("h3", "Who is taken for whom"),
        element("div", content, class_="confusion"),
        paragraph(caption, note=True),
    )


def residuals(solution: Solution, found: Answers) -> Section | None:
    """Show a regression: values against outputs with the tolerance, and the distribution of the residuals."""
    if found.classes:
        return None
    tolerance = float(solution.target.tolerance or 0.0)  # type: ignore[union-attr]
    n = len(found.labels)
    chosen = np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).round().astype(int))
    one = found.inputs.shape[1] == 1
    off = int((np.abs(found.labels - found.outputs) > tolerance).any(axis=1).sum())

    def predictions(output: int) -> Content:
        y, outputs = found.labels[chosen, output], found.outputs[chosen, output]
        x = found.inputs[chosen, 0] if one else outputs

        def draw(axes: Any) -> None:
            draw_predictions(axes, x, y, outputs, tolerance)
            axes.set_xlabel("x" if one else "Φ(x)")

        which = f" (output {output + 1})" if found.labels.shape[1] > 1 else ""
        shown = "every point" if len(chosen) == n else f"{len(chosen):,} of {n:,} points, evenly spaced"
        caption = (
            f"Values{which} against {'the input' if one else 'what the network says'}; {shown} of the test sample."
        )
        return figure(plot(f"predictions-{output}", caption, draw), caption)

    def distribution(axes: Any) -> None:
        draw_residuals(axes, (found.labels - found.outputs).ravel(), tolerance)

    caption = "The residuals y − Φ(x) on the test sample, and the tolerance."
    return section(
        "Residuals",
        paragraph(
            f"{off:,} of {n:,} points are off by more than {tolerance:.4g}, in float64 arithmetic. ",
            badge(Kind.ESTIMATED),
        ),
        columns(
            *(predictions(output) for output in range(min(found.labels.shape[1], 3))),
            figure(plot("residuals", caption, distribution), caption),
        ),
    )


def first_layer(solution: Solution, found: Answers) -> Section | None:
    """Show the weights of the first layer: an image for each neuron where inputs are images, else the matrix."""
    terms = solution.network.layers[0].terms
    linear = terms[0][1]
    m, d = linear.shape
    if len(terms) > 1 or d != found.inputs.shape[1] or (found.shape is None and max(m, d) > _LARGEST_MATRIX):
        return None
    rows, columns, values = linear.entries()
    matrix = np.zeros((min(m, _MOST_NEURONS) if found.shape else m, d))
    shown = rows < len(matrix)
    matrix[rows[shown], columns[shown]] = np.array(list(map(float, values)))[shown]
    # A few large weights would leave all others white.
    end = float(np.quantile(np.abs(matrix), _SATURATED)) or float(np.abs(matrix).max())
    scale = element("span", f"≤ −{end:.3g}", element("i", aria_hidden="true"), f"≥ {end:.3g}", class_="diverging")
    if found.shape is None:
        wide, first, second = (matrix.T, "Column", "Row") if m > d else (matrix, "Row", "Column")
        picture: Content = png(_colored(wide, end), "weights of the first layer", scale=max(1, 360 // max(m, d)))
        words = f"{first}: one of the {m} neurons. {second}: one of the {d} inputs, in the units of the data."
    else:
        h, w = found.shape
        enlarge = max(1, 96 // max(h, w))
        tiles = [
            figure(png(_colored(row.reshape(h, w), end), f"weights of neuron {i}", scale=enlarge), str(i))
            for i, row in enumerate(matrix, start=1)
        ]
        picture = element("div", tiles, class_="tiles")
        words = (
            f"Each image: the weights of one neuron, a pixel for a pixel of the input; {len(matrix)} of {m} neurons."
        )
    return section("First layer", picture, paragraph(words, " One scale for all: ", scale, note=True))


def _colored(values: NDArray[np.float64], end: float) -> NDArray[np.uint8]:
    """Return colors from blue over white, which is 0, to orange."""
    t = np.clip(values / (end or 1.0), -1, 1)[..., None]
    colors = _WHITE + np.abs(t) * (np.where(t < 0, _BLUE, _ORANGE) - _WHITE)
    return colors.round().astype(np.uint8)
