"""The page of an inspection: one HTML file with everything that was found, drawn from the `Inspection` alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.core.linear_maps import Convolution, Dense, LinearMap
from epsnet.core.network import Network
from epsnet.inspection.activity import SATURATED
from epsnet.inspection.geometry_section import geometry_section
from epsnet.inspection.inspect import (
    ACTIVITY_HEADER,
    MAX_SIMPLIFIED,
    NORM_REASONS,
    NORM_WORDS,
    STABILITY_HEADER,
    Inspection,
    Lipschitz,
    activity_rows,
    box_text,
    stability_rows,
    without_empty,
)
from epsnet.report.page import (
    COLORS,
    Markup,
    Section,
    badge,
    code,
    columns,
    definitions,
    details,
    facts,
    figure,
    page,
    paragraph,
    plot,
    section,
    table,
)

_BINS = 41
_SHOWN = 12  # layers that get a histogram of their own
_NUMBERS = range(1, 8)


def inspection_page(found: Inspection, title: str) -> str:
    """Return an inspection as the text of an HTML file.

    Args:
        found: the inspection.
        title: what the network is called.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return page(
        title,
        [
            _sizes(found),
            _weights(found.network) if math.isfinite(found.size.magnitude) else None,
            *_analysis(found),
            None if found.geometry is None else geometry_section(found.network, found.geometry),
            _hashes(found),
        ],
        lead=[
            paragraph(str(found.network)),
            paragraph(f"Statements about a box are about {box_text(found.subject.box)}: {found.subject.box_source}."),
        ],
    )


def _analysis(found: Inspection) -> list[Section]:
    if found.obstacle is not None:
        return [section("Only counted", paragraph(found.obstacle))]
    return [_activity(found), _lipschitz(found), _simplified(found)]


def _sizes(found: Inspection) -> Section:
    size = found.size
    shown = [
        (f"{size.weights:,}", "weights M"), (f"{size.depth}", "depth L"), (f"{size.neurons:,}", "neurons N, hidden"),
        (f"{size.width:,}", "width W"), (f"{found.bits:,}", "bits stored"),
    ]  # fmt: skip
    pairs = [
        ("magnitude", f"{size.magnitude:.6g}"), ("connections", f"{size.connections:,}"),
        ("operations", f"{size.operations:,} multiply-adds"),
    ]  # fmt: skip
    rows = [
        (
            f"{number}",
            " + ".join(
                f"{type(linear).__name__.lower()} {linear.shape[1]:,} → {linear.shape[0]:,}"
                + (f" from y{source}" if source != number - 1 else "")
                for source, linear in layer.terms
            ),
            "/".join(dict.fromkeys(layer.activations)),
            f"{sum(linear.stored_weights for _, linear in layer.terms):,}",
            f"{sum(linear.connections for _, linear in layer.terms):,}",
        )
        for number, layer in enumerate(found.network.layers, start=1)
    ]
    header = ("layer", "reads", "activation", "stored weights", "multiply-adds")
    return section(
        "Size and architecture",
        paragraph("Counted exactly ", badge(Kind.PROVED)),
        facts(shown),
        definitions(pairs),
        figure(_architecture(found.network), "The width of the input and of each layer; hidden layers in blue."),
        table(header, rows, numbers=(3, 4)),
    )


def _architecture(network: Network) -> Markup:
    widths = [network.inputs, *(layer.outputs for layer in network.layers)]
    names = ["input", *(f"{n}" for n in range(1, len(widths)))]

    def draw(axes: Any) -> None:
        colors = [COLORS["gray"], *[COLORS["blue"]] * (len(widths) - 2), COLORS["orange"]]
        places = np.arange(len(widths))
        axes.bar(places, widths, color=colors, width=0.6)
        axes.set_yscale("log")
        axes.set_ylim(0.8, 3 * max(widths))
        every = max(1, len(widths) // 12)
        axes.set_xticks(places[::every], names[::every])
        for place, width in list(zip(places, widths, strict=True))[::every]:
            axes.text(place, 1.15 * width, f"{width:,}", ha="center", fontsize=8)
        axes.set_xlabel("layer")
        axes.set_ylabel("width")

    text = " to ".join(f"{width:,}" for width in widths)
    return plot("architecture", f"Widths of the layers: {text}.", draw, size=(4.8, 2.8))


def _values(linear: LinearMap) -> np.ndarray:
    if isinstance(linear, Dense | Convolution):
        values = linear.weight if isinstance(linear, Dense) else linear.kernel
        return values[values != 0]
    return np.array([float(value) for value in linear.entries()[2]])


def _weights(network: Network) -> Section:
    layers = []
    for number, layer in enumerate(network.layers, start=1):
        values = np.concatenate([_values(linear) for _, linear in layer.terms])
        if len(values):
            layers.append((number, values))
    rows = [
        (
            f"{number}", f"{len(values):,}", f"{values.min():.4g}", f"{values.max():.4g}", f"{values.mean():.4g}",
            f"{values.std():.4g}",
        )
        for number, values in layers
    ]  # fmt: skip

    def histogram(number: int, values: np.ndarray) -> Markup:
        def draw(axes: Any) -> None:
            axes.hist(values, bins=_BINS, color=COLORS["blue"])
            axes.set_xlabel(f"weights of layer {number}")
            axes.set_ylabel("how many")

        words = f"Histogram of the weights of layer {number}, from {values.min():.4g} to {values.max():.4g}."
        return figure(plot(f"weights-{number}", words, draw, size=(4.2, 2.2)))

    more = f" The first {_SHOWN} layers are drawn." if len(layers) > _SHOWN else ""
    return section(
        "Weights",
        paragraph(f"The nonzero coefficients of each layer, biases aside, a convolution counted once.{more}"),
        columns(*(histogram(number, values) for number, values in layers[:_SHOWN])),
        details(
            "The numbers",
            paragraph("In float64 ", badge(Kind.ESTIMATED)),
            table(("layer", "weights", "least", "greatest", "mean", "deviation"), rows, numbers=range(1, 6)),
        ),
    )


def _activity(found: Inspection) -> Section:
    kinked = [n for n, layer in enumerate(found.stability) if layer.undecided is not None]
    smooth = [layer for layer in found.stability if layer.saturated is not None]
    words = f"saturated: a slope below {SATURATED:.0%} of the steepest that the activation has."
    return section(
        "Neurons",
        paragraph(f"On {found.subject.points_source}, evaluated in float64 ", badge(Kind.ESTIMATED)),
        _bars(found, kinked) if kinked else None,
        table(*without_empty(ACTIVITY_HEADER, activity_rows(found.activity)), numbers=_NUMBERS,
              caption="Never active: the argument was positive on no point; a dead neuron, as far as they show."),
        paragraph("On the whole box, by enclosure ", badge(Kind.VERIFIED)),
        table(*without_empty(STABILITY_HEADER, stability_rows(found.stability)), numbers=_NUMBERS,
              caption="Always active: the argument is nonnegative on the whole box; never active: nowhere positive."),
        paragraph(words[0].upper() + words[1:], note=True) if smooth else None,
    )  # fmt: skip


def _bars(found: Inspection, layers: list[int]) -> Markup:
    places = np.arange(len(layers))

    def draw_bars(axes: Any, parts: list[tuple[str, str, np.ndarray]]) -> None:
        start = np.zeros(len(layers))
        for label, color, values in parts:
            axes.barh(places, values, left=start, color=color, label=label, height=0.65)
            start += values
        every = max(1, len(layers) // 16)
        axes.set_yticks(places[::every], [f"{layers[i] + 1}" for i in places[::every]])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the neurons")
        axes.set_ylabel("layer")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8, handlelength=1)

    def share(values: list[int | None], totals: np.ndarray) -> np.ndarray:
        return np.array([value or 0 for value in values]) / totals

    seen = [found.activity[n] for n in layers]
    known = [found.stability[n] for n in layers]
    totals = np.array([(k.active or 0) + (k.inactive or 0) + (k.undecided or 0) for k in known])
    always, never = share([a.always_active for a in seen], totals), share([a.never_active for a in seen], totals)
    on_points = [
        ("always active", COLORS["blue"], always), ("both", COLORS["gray"], 1 - always - never),
        ("never active", COLORS["orange"], never),
    ]  # fmt: skip
    active, inactive = share([k.active for k in known], totals), share([k.inactive for k in known], totals)
    on_box = [
        ("always active", COLORS["blue"], active), ("undecided", COLORS["gray"], 1 - active - inactive),
        ("never active", COLORS["orange"], inactive),
    ]  # fmt: skip
    height = 1.3 + 0.28 * min(len(layers), 16)

    def drawn(name: str, words: str, parts: list[tuple[str, str, np.ndarray]]) -> Markup:
        return plot(name, words, lambda axes: draw_bars(axes, parts), size=(4.6, height))

    return columns(
        figure(
            drawn("seen", "Shares of neurons by what they did on the points, by layer.", on_points), "On the points."
        ),
        figure(
            drawn("stable", "Shares of neurons by what is certain on the box, by layer.", on_box), "On the whole box."
        ),
    )


def _lipschitz(found: Inspection) -> Section:
    def row(constants: Lipschitz, where: str, bound: Bound) -> list[Any]:
        ratio = f"{bound.value / constants.sampled:.4g}" if constants.sampled else "-"
        return [where, f"≤\u00a0{bound.decimal()}", badge(bound.kind), bound.theorem, ratio]

    parts = []
    for constants in found.lipschitz:
        rows = [row(constants, "on the box", constants.on_box), row(constants, "everywhere", constants.everywhere)]
        rows.append(["seen", f"≥\u00a0{constants.sampled:.6g}", badge(Kind.ESTIMATED), "Jacobians, float64", ""])
        product = f"{constants.product:.6g}"
        rows.append(["product of norms", product, badge(Kind.ESTIMATED), "for comparison, float64", ""])
        reason = NORM_REASONS[constants.norm]
        parts.append(paragraph(f"In the {NORM_WORDS[constants.norm]}, of inputs and outputs alike: {reason}."))
        parts.append(table(("where", "constant", "kind", "by", "ratio to seen"), rows, numbers=(1, 4)))
    derivations = dict.fromkeys(
        bound.theorem for constants in found.lipschitz for bound in (constants.on_box, constants.everywhere)
    )
    return section(
        "Lipschitz constants",
        figure(_scale(found.lipschitz), "Certified from above, seen from below; the truth lies in between."),
        parts,
        details(
            "How the bounds are derived",
            [code(_derivation(bound)) for bound in _one_of_each(found.lipschitz, list(derivations))],
        ),
    )


def _one_of_each(lipschitz: tuple[Lipschitz, ...], theorems: list[str]) -> list[Bound]:
    bounds = [bound for constants in lipschitz for bound in (constants.everywhere, constants.on_box)]
    return [next(bound for bound in bounds if bound.theorem == theorem) for theorem in theorems]


def _derivation(bound: Bound) -> str:
    """Return the derivation without the sides of a large box."""
    text = bound.explain()
    for step in bound.derivation():
        if step.domain is not None:
            text = text.replace(str(step.domain), box_text(step.domain))
    return text


def _scale(lipschitz: tuple[Lipschitz, ...]) -> Markup:
    marks = ((COLORS["orange"], "s"), (COLORS["blue"], "o"), (COLORS["green"], "D"), (COLORS["gray"], "x"))
    labels = ("seen", "certified on the box", "certified everywhere", "product of norms")

    def draw(axes: Any) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter

        for place, constants in enumerate(lipschitz):
            values = (constants.sampled, constants.on_box.value, constants.everywhere.value, constants.product)
            axes.plot([max(values[0], 1e-300), values[1]], [place, place], color=COLORS["gray"], linewidth=1)
            for value, (color, mark), label in zip(values, marks, labels, strict=True):
                if value > 0:
                    axes.plot([value], [place], mark, color=color, label=label if place == 0 else None, linestyle="")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks(range(len(lipschitz)), [NORM_WORDS[constants.norm] for constants in lipschitz])
        axes.set_ylim(-0.6, len(lipschitz) - 0.4)
        axes.set_xlabel("Lipschitz constant")
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, frameon=False, fontsize=8)

    words = "; ".join(
        f"{NORM_WORDS[c.norm]}: seen {c.sampled:.4g}, certified on the box {c.on_box.value:.4g}, "
        f"everywhere {c.everywhere.value:.4g}, product of norms {c.product:.4g}"
        for c in lipschitz
    )
    return plot("lipschitz", f"Lipschitz constants. {words}.", draw, size=(5.0, 2.3))


def _simplified(found: Inspection) -> Section:
    done = found.simplified
    if done is None:
        words = f"Not tried: the network has more than {MAX_SIMPLIFIED:,} connections. Call epsnet.simplify yourself."
        return section("Exact simplifications", paragraph(words))
    pairs = [
        ("weights", f"{done.weights[0]:,} → {done.weights[1]:,}"),
        ("neurons", f"{done.neurons[0]:,} → {done.neurons[1]:,}"),
        *((f"neurons removed: {name}", f"{count:,}") for name, count in done.steps.items()),
    ]
    words = "What epsnet.simplify does to the network; the result has the same values on the whole box, exactly "
    return section(
        "Exact simplifications",
        paragraph(words, badge(Kind.VERIFIED)),
        definitions(pairs),
        None if done.steps else paragraph("No step applies: no neuron is dead, constant, doubled or linear there."),
    )


def _hashes(found: Inspection) -> Section:
    lines = "epsnet inspect PATH --out FOLDER\nepsnet check FOLDER  # re-derives every bound from the network"
    witnesses = dict.fromkeys((node.claim.theorem, node.witness) for node in found.certificate.nodes if node.witness)
    return section(
        "Hashes, and how to check",
        definitions(
            [("sha256 of the network", found.network.sha256), *((f"witness of {n}", key) for n, key in witnesses)]
        ),
        code(lines),
    )
