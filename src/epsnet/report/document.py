"""The report: one HTML file that shows a solution, drawn from the solution and the sample of its risk alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import NETWORK_FILE, SOLUTION_FILE, TARGET_FILE, WITNESS_FILE
from epsnet.core.solution import FunctionTarget, Solution
from epsnet.core.target import DataTarget, Target
from epsnet.report.answers import LabelledSample, answers, first_layer, mistakes, residuals
from epsnet.report.derivation import claim, derivations, roots
from epsnet.report.figures import (
    MAPS,
    breakpoints,
    draw_error,
    draw_function,
    draw_losses,
    draw_validation,
    sup_bound,
    values_at,
)
from epsnet.report.mathml import expression, formula, latex_row
from epsnet.report.page import (
    KINDS,
    Content,
    Section,
    badge,
    code,
    columns,
    definitions,
    details,
    element,
    facts,
    figure,
    page,
    paragraph,
    plot,
    section,
    table,
)

_MOST_BREAKPOINTS = 1000


def write_report(solution: Solution, path: str | Path, sample: LabelledSample | None = None) -> Path:
    """Write the report on a solution into one HTML file that needs nothing else, no network and no script.

    Equal solutions, paths and samples give equal bytes.

    Args:
        solution: what `learn` returned or `load_solution` read.
        path: the file; the report tells how to check the solution in its folder.
        sample: data only: the sample that the risk is about. It shows what the network gets wrong; with inputs of shape
            (n, h, w), as images.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DomainError: a sample is given and the target is a formula, or the file cannot be written.
        CheckError: this is not the sample of the target.
    """
    path = Path(path)
    found = answers(solution, sample)
    if isinstance(solution.target, FunctionTarget):
        name = solution.target.title
        shown = [function(solution, solution.target)]
    else:
        name = solution.target.name
        shown = [training(solution, solution.target), risk_parts(solution)]
        if found is not None:
            shown += [mistakes(found), residuals(solution, found), first_layer(solution, found)]
    text = page(
        f"{name} · epsnet",
        [*shown, sizes(solution), certificate(solution), recheck(solution, path.parent), run(solution), kinds()],
        heading=_heading(solution),
        lead=_lead(solution),
    )
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DomainError(f"{path} cannot be written: {error.strerror}. Choose another place.") from None
    return path


def maps(solution: Solution, target: FunctionTarget) -> Section:
    """Show a formula of several variables, the network, and their difference."""
    bound, names = sup_bound(solution), ("target-map", "network-map", "error-map")
    titles = ("The target", "The network", "Their difference")
    rest = "" if target.domain.dimension == 2 else ", the other variables at the middle of the domain"
    several = "" if solution.network.outputs == 1 else " The first of the outputs."
    captions = (
        f"F over {target.variables[0]} and {target.variables[1]}{rest}.{several}",
        "The network Φ, evaluated in float64 arithmetic.",
        (("Proved for every point of the domain: ", badge(bound.kind), " ") if bound else None,
         "The picture is sampled: ", badge(Kind.ESTIMATED)),
    )  # fmt: skip
    pictures = [
        figure(plot(name, title, lambda axes, draw=draw: draw(axes, solution, target)), caption)
        for name, title, draw, caption in zip(names, titles, MAPS, captions, strict=True)
    ]
    return section("Function and network", columns(*pictures))


def _heading(solution: Solution) -> Content:
    target = solution.target
    if isinstance(target, DataTarget):
        return target.name
    if not isinstance(target, Target):
        return ("F: ", target.title)
    few = len(target.variables) <= 3
    left = latex_row(f"F({', '.join(target.variables)})" if few else "F")
    values = [(element("mo", ";") if number else None, expression(e)) for number, e in enumerate(target.expressions)]
    return formula(left, element("mo", "="), values)


def _lead(solution: Solution) -> Content:
    target, size = solution.target, solution.size
    if isinstance(target, NetworkTarget) and target.sample is not None:
        about = f"on {target.points:,} given points, and on no others"
    elif isinstance(target, FunctionTarget):
        about = f"on {target.domain} in the {target.norm} norm"
    elif target.tolerance is None:
        about = "Risk: the probability that the largest output is not that of the label"
    else:
        about = f"Risk: the probability that an output is off by more than {target.tolerance:.6g}"
    bounds = [bound for bound in (solution.error, solution.optimality) if bound is not None]
    return (
        paragraph(about),
        element("p", solution.result, class_="result") if solution.result else None,
        element("div", (element("p", claim(bound)) for bound in bounds), class_="claims"),
        [paragraph("Assumed, not checked: ", text, ".", note=True) for text in solution.error.assumptions],
        facts([
            (f"{size.weights:,}", "weights M"),
            (f"{size.depth:,}", "depth L"),
            (f"{size.neurons:,}", "neurons N"),
            (f"{solution.bits:,}", "bits stored"),
        ]),
        paragraph(_shape(solution), note=True),
    )  # fmt: skip


def _shape(solution: Solution) -> Content:
    network = solution.network
    source, image = (r"\mathbb{R}" if n == 1 else rf"\mathbb{{R}}^{{{n}}}" for n in (network.inputs, network.outputs))
    layers = [
        f"{layer.outputs:,} {'/'.join(dict.fromkeys(layer.activations))}".removesuffix(" identity")
        for layer in network.layers
    ]
    return (
        formula(latex_row(rf"\Phi:{source}\to{image}")),
        " \u00a0\u00a0 ",
        " → ".join([f"{network.inputs:,}", *layers]),
    )


def function(solution: Solution, target: FunctionTarget) -> Section | None:
    """Show a formula, the network, and the error inside its certified band."""
    if target.domain.dimension > 1:
        return maps(solution, target)
    bound = sup_bound(solution)
    kinks = breakpoints(solution.network, float(target.domain.lower[0]), float(target.domain.upper[0]))
    shown = kinks[:_MOST_BREAKPOINTS]
    heights = values_at(solution.network, shown)
    rows = [
        [str(i), repr(float(x)), ", ".join(map(repr, np.ravel(y).tolist()))]
        for i, (x, y) in enumerate(zip(shown, heights, strict=True), start=1)
    ]
    return section(
        "Function and network",
        columns(
            figure(
                plot("function", "The function and the network", lambda axes: draw_function(axes, solution, target)),
                ("The target F, the network Φ", " with its breakpoints" if len(kinks) else None,
                 ", and the tube that Φ is proved to stay in." if bound else "."),
            ),
            figure(
                plot("error", "The error inside its band", lambda axes: draw_error(axes, solution, target)),
                (("The band holds for every point: ", badge(bound.kind), " ") if bound else None,
                 "The curve of the error is sampled: ", badge(Kind.ESTIMATED)),
            ),
        ),
        details(
            f"{len(kinks):,} breakpoints" + ("" if len(shown) == len(kinks) else f", the first {len(shown):,}"),
            table(["", "x", "Φ(x)"], rows, numbers=[0, 1, 2], caption="Evaluated in float64 arithmetic."),
        ) if len(kinks) else None,
    )  # fmt: skip


def training(solution: Solution, target: DataTarget) -> Section | None:
    """Show the curves of training."""
    if not solution.stats.get("history"):
        return None
    selected = " The bound is from points that neither training nor selection saw."
    return section(
        "Learning curves",
        columns(
            figure(
                plot("losses", "Empirical risk against epochs", lambda axes: draw_losses(axes, solution)),
                ("The mean loss on the part that was trained on and on the part that selected the epoch. ",
                 badge(Kind.ESTIMATED)),
            ),
            figure(
                plot("validation", "Validation against epochs", lambda axes: draw_validation(axes, solution, target)),
                ("The error on the validation part. ", badge(Kind.ESTIMATED),
                 selected if target.tolerance is None else None),
            ),
        ),
    )  # fmt: skip


def risk_parts(solution: Solution) -> Section | None:
    """Show what the risk is made of, as far as it was measured, and what would make it smaller."""
    found = solution.stats.get("risk_decomposition")
    if not found:
        return None
    rows = []
    for name in ("risk", "approximation", "estimation", "optimization"):
        part = found[name]
        between = f"{part['low']:.3%} to {part['high']:.3%}"
        rows.append(
            (part["name"], code(part["quantity"]), between, badge(Kind(part["kind"])), f"{part['estimate']:.3%}")
        )
    return section(
        "Where the risk comes from",
        table(
            ["part", "of what", "between", "kind", "about"],
            rows,
            numbers=[2, 4],
            caption=f"All intervals together with confidence {found['confidence']:g}; the last column is ESTIMATED. "
            f"Assumed: {found['assumption']}. This is no part of the certificate.",
        ),
        [paragraph(sentence) for sentence in found["advice"]],
    )


def sizes(solution: Solution) -> Section:
    """Show every measure of size with its definition."""
    size = solution.size
    rows = [
        (
            "weights M",
            f"{size.weights:,}",
            "nonzero entries of all matrices and biases; a convolution counts its kernel once",
        ),
        ("depth L", f"{size.depth:,}", "affine maps on the longest path from input to output"),
        ("neurons N", f"{size.neurons:,}", "coordinates of the hidden layers"),
        ("width W", f"{size.width:,}", "coordinates of the largest hidden layer"),
        ("magnitude", f"{size.magnitude:.6g}", "largest absolute value of a weight"),
        (
            "connections",
            f"{size.connections:,}",
            "nonzero entries with convolutions written as matrices, biases included",
        ),
        ("operations", f"{size.operations:,}", "multiply-adds of one evaluation"),
        ("bits", f"{solution.bits:,}", "length of the stored network file"),
    ]
    return section(
        "Size and bits",
        table(
            ["measure", "number", "what it is"], rows, numbers=[1], caption="Counted exactly from the stored network."
        ),
    )


def certificate(solution: Solution) -> Section:
    """Show how each bound follows from theorems and from what was checked."""
    first = [bound for bound in (solution.error, solution.optimality) if bound is not None]
    every = roots(solution.certificate, first)
    rounded = any(node.claim.arithmetic != "exact" for node in solution.certificate.nodes)
    legend = (formula(latex_row(r"\mathrm{fl}(\Phi)")), " is the network as evaluated in floating-point arithmetic.")
    return section("Why the bounds hold", paragraph(legend, note=True) if rounded else None, derivations(every))


def recheck(solution: Solution, folder: Path) -> Section:
    """Tell how the bounds are re-derived without trusting this page."""
    nodes = solution.certificate.nodes
    rows = [
        [str(number), claim(node.claim), element("code", node.claim.rule), ", ".join(map(str, node.premises)) or "–",
         element("code", node.witness[:12]) if node.witness else "–"]
        for number, node in enumerate(nodes)
    ]  # fmt: skip
    data = isinstance(solution.target, DataTarget)
    hashes: list[tuple[Content, Content]] = [
        ("network", element("code", solution.network.sha256)),
        ("target", element("code", solution.target.sha256)),
        *((f"witness of {i}", element("code", node.witness)) for i, node in enumerate(nodes) if node.witness),
    ]
    return section(
        "How to re-check",
        paragraph("This page shows what was proved; it proves nothing. A small checker that trusts nobody does:"),
        code(f"epsnet check {shlex.quote(str(folder))}"),
        paragraph(
            "It reads ", element("code", SOLUTION_FILE), ", ", element("code", NETWORK_FILE),
            (", ", element("code", TARGET_FILE)) if isinstance(solution.target, NetworkTarget) else None, " and ",
            element("code", WITNESS_FILE), " of that folder", " and the sample of the risk" if data else None,
            ", recomputes every hash, and re-derives the claims below from the network, the target and the witnesses. "
            "Where the folder has moved, name its new place",
            (", and if the sample has moved, add ", element("code", "--data PATH")) if data else None, ".",
        ),
        table(["", "claim", "rule", "from", "witness"], rows),
        element("h3", "SHA-256"),
        definitions(hashes),
    )  # fmt: skip


def run(solution: Solution) -> Section | None:
    """Show the facts about the run that claim nothing."""
    stats = {name: value for name, value in solution.stats.items() if name not in ("history", "risk_decomposition")}
    if not stats:
        return None
    pairs = [(name.replace("_", " "), _plain(stats[name])) for name in sorted(stats)]
    return section("How it was found", element("div", definitions(pairs), class_="halves"))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and not any(isinstance(part, list | tuple | dict) for part in value):
        return ", ".join(map(_plain, value))
    return json.dumps(value, sort_keys=True, default=str)


def kinds() -> Section:
    """Say what the kinds mean."""
    pairs = [(badge(kind), meaning) for kind, meaning in KINDS.items()]
    note = "Strongest first. A conclusion is never stronger than its weakest premise."
    return section("Kinds of knowledge", definitions(pairs), paragraph(note, note=True))
