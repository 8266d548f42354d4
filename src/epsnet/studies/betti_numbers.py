r"""Study: how complicated can the sets be that a ReLU network of given size tells apart?

The measure is that of Bianchini and Scarselli: the sum of the Betti numbers of {Phi >= t} in a box, its components,
loops and holes counted together.

**Theorem.** (1) In d variables and with L hidden layers of w d neurons, the sum Phi of the zigzags w_w o ... o w_w of
the coordinates (`geometry.extremal.fold_map`) has b_0 = ceil(w^L / 2)^d and no other Betti number in {Phi >= d - 1/2}
on the unit cube: exponential in the depth. (2) With one hidden layer of N neurons, for every level t and every box,

$$ \sum_k b_k(\{\Phi \ge t\}) \le V = \sum_{k=0}^d 2^{d-k} \binom dk \binom Nk, $$

a polynomial of degree d in N.

**Why.** (1) The zigzag has w^L pieces and ceil(w^L / 2) peaks of height 1; where Phi >= d - 1/2 all coordinates have
zigzags >= 1/2, and around every choice of peaks that is one convex set or half of it.

(2) As t falls, the topology changes at vertices only, and by one class at most: the proof is in the rule
`shallow_betti` of the checker. V is the number of vertices that N hyperplanes can have in a box.

Sources: M. Bianchini, F. Scarselli, On the complexity of neural network classifiers: a comparison between shallow and
deep architectures, IEEE Transactions on Neural Networks and Learning Systems 25 (2014) 1553-1565, who compare one
hidden layer with several for sigmoidal activations. The theorem here is for ReLU networks.

**What is measured.** All Betti numbers are PROVED: the checker re-derives them from all cells of the network, in
rationals, and the bound for every network of one layer. Part (2) is put to the test on the zigzag in one layer, and on
random networks at the level at which their sum is largest, which persistent homology finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Box
from epsnet.checker.kernel import check_certificate
from epsnet.checker.rules.shallow_betti import most_vertices
from epsnet.core.calculus import postcompose_affine
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.experiments import Estimate, Finished, seeds
from epsnet.geometry.extremal import fold_map
from epsnet.geometry.topology import Topology, persistence, shallow_betti_bound, topology
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEURONS = 24
"""The neurons that are dealt out to different numbers of layers."""

DEPTHS = (1, 2, 3, 4, 6)
"""Hidden layers of equal width, a multiple of 2, with so many neurons together."""

_LARGEST_DEPTH = 9
_SECONDS = 1e-4  # for each cell


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return all shapes of 24 neurons, cubes, ten random networks of one layer, and more and more layers of 4."""
    planned: list[dict[str, Any]] = [_fold(2, NEURONS // depth, depth) for depth in DEPTHS]
    planned += [_fold(3, 6, depth) for depth in (1, 2, 3)]
    planned += [{"weights": "random", "inputs": 2, "width": NEURONS, "hidden": 1, "seed": s} for s in seeds(seed, 10)]
    growth = [_fold(2, 4, depth) for depth in range(1, _LARGEST_DEPTH + 1) if 8 * 4**depth * _SECONDS <= 0.4 * budget]
    return planned + [case for case in growth if case not in planned]


def _fold(inputs: int, width: int, hidden: int) -> dict[str, Any]:
    return {"weights": "fold", "inputs": inputs, "width": width, "hidden": hidden}


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the Betti numbers of a level set, re-derived by the checker."""
    if case["weights"] == "fold":
        network, found = zigzags(case["inputs"], case["width"], case["hidden"])
    else:
        network, found = random_shallow(case["inputs"], case["width"], case["seed"])
    check_certificate(network, found.certificate)
    if case["hidden"] == 1:
        bound = shallow_betti_bound(network, Box([-1] * case["inputs"], [1] * case["inputs"]))
        check_certificate(network, Certificate.of((bound,)))
    return {"betti": list(found.numbers), "cells": sum(found.cells.f_vector()), "kind": found.betti[0].kind.value}


def zigzags(inputs: int, width: int, hidden: int) -> tuple[Network, Topology]:
    """Return the sum of a zigzag of each coordinate, and the topology of the points where it is >= d - 1/2."""
    network = postcompose_affine([[1] * inputs], [0], fold_map(inputs, (width,) * hidden))
    domain = Box([0] * inputs, [1] * inputs)
    return network, topology(network, domain, level=inputs - Fraction(1, 2))


def random_shallow(inputs: int, width: int, seed: int) -> tuple[Network, Topology]:
    """Return a network of one hidden layer, and the topology of its sub-level set with the largest sum.

    What is true of {Phi >= t} for all networks is true of {Phi <= t}, which is {-Phi >= -t}.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    directions = generator.standard_normal((width, inputs))
    biases = generator.uniform(-1, 1, width)
    network = Network.from_layers([(directions, biases), (generator.standard_normal((1, width)), [0.0])])
    domain = Box([-1] * inputs, [1] * inputs)
    intervals = [interval for own in persistence(network, domain) for interval in own]

    def alive(level: Fraction) -> int:
        return sum(birth <= level and (death is None or level < death) for birth, death in intervals)

    best = max((birth for birth, _ in intervals), key=alive)
    return network, topology(network, domain, level=best, part="sub")


def predicted_deep(inputs: int, width: int, hidden: int) -> int:
    """Return ceil(w^L / 2)^d, w being the neurons of a layer for each coordinate."""
    return (((width // inputs) ** hidden + 1) // 2) ** inputs


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare every sum with its formula, and those of one hidden layer with the bound."""
    comparisons = []
    for case in finished:
        inputs, width, hidden = (case.inputs[name] for name in ("inputs", "width", "hidden"))
        total = float(sum(case.result["betti"]))
        claims: list[tuple[str, Any, int]] = []
        if case.inputs["weights"] == "fold":
            claims.append((f"{hidden} x {width}", "==", predicted_deep(inputs, width, hidden)))
        if hidden == 1:
            name = f"1 x {width}" if case.inputs["weights"] == "fold" else "random"
            claims.append((name, "<=", most_vertices(inputs, width)))
        for subject, sense, predicted in claims:
            measured = Estimate(total, total, total)
            answer = judge(measured, float(predicted), 0.0, sense)
            comparisons.append(
                Comparison(
                    f"{subject}, d = {inputs}", "sum of b_k", measured, sense, float(predicted), 0.0,
                    case.result["kind"], answer,
                )
            )  # fmt: skip
    return Analysis(tuple(comparisons), _verdict(comparisons, finished), _remarks(finished))


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    wrong = [comparison.subject for comparison in comparisons if comparison.answer != "holds"]
    if wrong:
        return Verdict("contradicts", f"the sum of the Betti numbers of {'; '.join(wrong)} is off.")
    deep = [case for case in finished if case.inputs["weights"] == "fold" and case.inputs["hidden"] > 1]
    if not deep or all(case.inputs["hidden"] > 1 for case in finished):
        return Verdict("undecided", "networks of one and of several hidden layers are needed.")
    largest = max(deep, key=lambda case: sum(case.result["betti"]))
    inputs, width, hidden = (largest.inputs[name] for name in ("inputs", "width", "hidden"))
    return Verdict(
        "holds",
        f"all {len(comparisons)} sums are as proved; {hidden} layers of {width} neurons make "
        f"{sum(largest.result['betti']):,} components, one layer of {hidden * width} neurons never more than "
        f"{most_vertices(inputs, hidden * width):,}.",
    )


def _remarks(finished: Sequence[Finished]) -> tuple[str, ...]:
    chance = [sum(case.result["betti"]) for case in finished if case.inputs["weights"] == "random"]
    if not chance:
        return ()
    return (
        f"{len(chance)} random networks of one layer of {NEURONS} neurons have sums from {min(chance)} to {max(chance)}"
        f" at their best level; the bound is {most_vertices(2, NEURONS)}",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the sets for one to four layers of four neurons, and the sums against neurons and against depth."""
    figure = new_figure((9.6, 6.4))
    grid = figure.add_gridspec(2, 12, height_ratios=(1, 1.35))
    for place in range(4):
        _draw_set(figure.add_subplot(grid[0, 3 * place : 3 * place + 3]), place + 1)
    _draw_growth(figure.add_subplot(grid[1, :6]), finished)
    _draw_shapes(figure.add_subplot(grid[1, 6:]), finished)
    finish(figure, analysis.verdict.answer)
    for axes in figure.axes[:4]:
        axes.grid(visible=False)
    return figure


def _draw_set(axes: Any, hidden: int) -> None:
    from matplotlib.collections import PolyCollection

    network, found = zigzags(2, 4, hidden)
    x = np.linspace(0, 1, 241)
    points = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    axes.imshow(
        realize(network, points).reshape(241, 241), origin="lower", extent=(0, 1, 0, 1), cmap="Greys", vmax=4
    )  # fmt: skip
    axes.add_collection(PolyCollection(found.faces(2), facecolor=STYLES[1].color, edgecolor="none"))
    axes.set(xticks=(0, 1), yticks=(0, 1), xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"$L={hidden}$: $b_0={found.numbers[0]}$", fontsize=10)


def _draw_growth(axes: Any, finished: Sequence[Finished]) -> None:
    own = [case for case in finished if case.inputs == _fold(2, 4, case.inputs["hidden"])]
    n = [4 * case.inputs["hidden"] for case in own]
    last = max(n, default=4)
    neurons = range(4, last + 1, 4)
    deep = [predicted_deep(2, 4, k // 4) for k in neurons]
    wide = [predicted_deep(2, k, 1) for k in neurons]
    axes.semilogy(neurons, deep, color=STYLES[1].color, linewidth=1, label=r"layers of 4 neurons: $4^{L-1}$")
    axes.semilogy(n, [sum(case.result["betti"]) for case in own], STYLES[1].marker, color=STYLES[1].color)
    axes.semilogy(
        neurons, [most_vertices(2, k) for k in neurons], "--", color=STYLES[0].color, linewidth=1.3,
        label=r"one layer, at most: $4+4N+\binom{N}{2}$",
    )  # fmt: skip
    axes.semilogy(neurons, wide, ":", color=STYLES[0].color, linewidth=1.3, label="one layer, zigzags")
    one = [case for case in finished if case.inputs == _fold(2, NEURONS, 1)]
    axes.semilogy([NEURONS] * len(one), [sum(case.result["betti"]) for case in one], "o", color=STYLES[0].color)
    axes.set(xlabel="neurons $N$", ylabel=r"$\sum_k b_k\{\Phi\geq 3/2\}$", xticks=neurons)
    axes.set_title("growth with the depth (marks: PROVED)", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _draw_shapes(axes: Any, finished: Sequence[Finished]) -> None:
    own = [case for case in finished if case.inputs["weights"] == "fold" and case.inputs["inputs"] == 2]
    own = [case for case in own if case.inputs["width"] * case.inputs["hidden"] == NEURONS]
    totals = {case.inputs["hidden"]: sum(case.result["betti"]) for case in own}
    axes.axhline(most_vertices(2, NEURONS), color=STYLES[0].color, linestyle="--", linewidth=1.3)
    axes.text(
        max(DEPTHS), most_vertices(2, NEURONS), "no network of one layer is above", color=STYLES[0].color, fontsize=8,
        ha="right", va="bottom",
    )  # fmt: skip
    axes.semilogy(
        DEPTHS, [predicted_deep(2, NEURONS // depth, depth) for depth in DEPTHS], color=STYLES[1].color, linewidth=1
    )
    axes.semilogy(list(totals), list(totals.values()), STYLES[1].marker, color=STYLES[1].color)
    for depth, total in totals.items():
        offset = (-12, 7) if depth > 3 else (6, -9)  # beside the line, which rises up to four layers
        axes.annotate(
            f"{depth} x {NEURONS // depth}: {total}", (depth, total), offset, textcoords="offset points", fontsize=8
        )
    chance = [sum(case.result["betti"]) for case in finished if case.inputs["weights"] == "random"]
    axes.semilogy([1] * len(chance), chance, STYLES[6].marker, color=GRAY, markersize=4, label="one layer, random")
    axes.set(xlabel="hidden layers $L$", xlim=(0.3, max(DEPTHS) + 1), ylim=(0.8, 6000))
    axes.set_title(f"the same {NEURONS} neurons in $L$ layers", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


STUDY = Study(
    name="betti-numbers",
    claim="The sum of the Betti numbers of a level set of a ReLU network can be ceil(w^L / 2)^d with L hidden layers "
    "of w d neurons, exponential in the depth; with one hidden layer of N neurons it is at most "
    "sum_k 2^(d-k) C(d, k) C(N, k), polynomial in N.",
    source="M. Bianchini, F. Scarselli, On the complexity of neural network classifiers: a comparison between shallow "
    "and deep architectures, IEEE Transactions on Neural Networks and Learning Systems 25 (2014) 1553-1565; for ReLU "
    "networks the proofs are in epsnet.studies.betti_numbers",
    rule="The checker re-derives all Betti numbers; every sum of zigzags has to be as the formula says, and none with "
    "one hidden layer may exceed the bound: one that does contradicts.",
    budget=45,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
