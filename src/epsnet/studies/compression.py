r"""Study: how many bits does a given network need, as a function of the error that may be made?

**Theorem.** Let the M weights of a network be rounded to multiples of a step s. With n_k inputs of layer k, B_k its
largest weight, |h_{k-1}| <= H_{k-1} on the domain and |.| the largest row sum, the error is at most e_L,

$$ e_k = \bigl(\|W_k\| + \tfrac12 n_k s\bigr) e_{k-1} + \tfrac12 s (n_k H_{k-1} + 1), \quad e_0 = 0, $$

which is O(s), and a weight of layer k takes 1 + ceil(log2(B_k / s + 1)) bits. So with the largest power of two s for
which e_L <= eps the network is stored within eps in

$$ \sum_k M_k \bigl(1 + \lceil \log_2 (B_k / s + 1) \rceil\bigr) + 96 = M \log_2 (1/\varepsilon) + O(M) $$

bits, 96 for the head of a file: halving the error costs one bit a weight. `compress` has to need fewer.

Source: H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019) 8-45, for storing networks; for the rounding error the study
quantization-distance.

**What is measured.** `compress` makes random ReLU networks on [0, 1]^2 smaller: neurons that keep to one side are
removed exactly, others if the rest can make up for them, and weights are quantized and coded. Errors are exact
maxima over the box, VERIFIED by the checker; the bits are those of the `.eps` file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.checker.kernel import check
from epsnet.compression.compress import compress
from epsnet.core.differential import Stage, chain
from epsnet.core.network import Network
from epsnet.experiments import Estimate, Finished
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = (2, 10, 10, 1)
NETWORKS = 3
HALVINGS = range(3, 12)
_BOX = Box([0, 0], [1, 1])
_FLOAT32 = 32


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each accuracy 2^-3, ..., 2^-11 and each network, two seconds each; then further networks."""
    whole = 2 * NETWORKS * len(HALVINGS)
    groups = max(1, int(budget) // whole)
    planned = [
        {"network": seed + NETWORKS * group + k, "halvings": j}
        for group in range(groups) for j in HALVINGS for k in range(NETWORKS)
    ]  # fmt: skip
    return planned if budget >= whole else planned[: max(NETWORKS, int(budget) // 2)]


def network_of(seed: int) -> Network:
    """Return a ReLU network with normal weights of variance 2 / n_k and biases uniform in [-1/2, 1/2]."""
    generator = np.random.Generator(np.random.Philox(seed))
    layers = []
    for inputs, outputs in pairwise(WIDTHS):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((weight, generator.uniform(-0.5, 0.5, outputs)))
    return Network.from_layers(layers)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the certified error, as the checker agrees, and the size after each stage."""
    network, eps = network_of(case["network"]), 2.0 ** -case["halvings"]
    found = compress(network, _BOX, eps=eps)
    check(found)
    return {
        "error": found.error.value, "stages": found.stats["stages"], "kind": found.error.kind.value,
        "theorem": predicted_bits(network, eps),
    }  # fmt: skip


def predicted_bits(network: Network, eps: float) -> float:
    """Return the bits of the theorem on [0, 1]^d, in float64 without an error bound."""
    stages, step = chain(network), 1.0
    while _error(stages, step) > eps:
        step /= 2
    bits = 96.0
    for stage in stages:
        values = np.concatenate((stage.weight.ravel(), stage.bias))
        bits += np.count_nonzero(values) * (1 + np.ceil(np.log2(np.abs(values).max() / step + 1)))
    return float(bits)


def _error(stages: Sequence[Stage], step: float) -> float:
    size, error = 1.0, 0.0
    for stage in stages:
        inputs, rows = stage.weight.shape[1], np.abs(stage.weight).sum(axis=1)
        error = (float(rows.max()) + inputs * step / 2) * error + step / 2 * (inputs * size + 1)
        size = float((rows * size + np.abs(stage.bias)).max())
    return error


def _curves(finished: Sequence[Finished]) -> dict[int, NDArray[np.float64]]:
    """Return the rows eps, error, bits, bits of the theorem for each network, by its number."""
    rows: dict[int, list[list[float]]] = {}
    for case in finished:
        own = [2.0 ** -case.inputs["halvings"], case.result["error"], float(case.result["stages"][-1]["bits"])]
        own.append(case.result["theorem"])
        rows.setdefault(case.inputs["network"], []).append(own)
    return {network: np.array(sorted(own)).T for network, own in rows.items()}


def _weights(finished: Sequence[Finished]) -> dict[int, int]:
    """Return the number of weights of each original network."""
    return {case.inputs["network"]: case.result["stages"][0]["weights"] for case in finished}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the certified errors with eps, and the bits with float32 and with the theorem."""
    comparisons: list[Comparison] = []
    weights = _weights(finished)
    for network, (eps, error, bits, theorem) in _curves(finished).items():
        name = f"network {network}"
        comparisons += [
            _at_most_one(name, "error / eps", float((error / eps).max())),
            _at_most_one(name, "of float32", float(bits.max()) / (_FLOAT32 * weights[network])),
            _at_most_one(name, "of theorem", float((bits / theorem).max())),
        ]
    return Analysis(tuple(comparisons), _verdict(comparisons, len(finished)), _remarks(finished))


def _at_most_one(name: str, quantity: str, value: float) -> Comparison:
    measured, kind = Estimate(value, value, value), Kind.VERIFIED.value
    return Comparison(name, quantity, measured, "<=", 1.0, 0.0, kind, judge(measured, 1.0, 0.0, "<="))


def _verdict(comparisons: Sequence[Comparison], count: int) -> Verdict:
    against = [c for c in comparisons if c.answer == "contradicts"]
    if against:
        return Verdict("contradicts", f"{against[0].quantity} of {against[0].subject} is above 1.")
    if count < NETWORKS * len(HALVINGS):
        return Verdict("undecided", "too few accuracies or networks.")
    share = max(c.measured.value for c in comparisons if c.quantity == "of theorem")
    return Verdict(
        "holds", f"every certified error is within eps, with at most {share:.0%} of the bits of the theorem."
    )


def _remarks(finished: Sequence[Finished]) -> tuple[str, ...]:
    if not finished:
        return ()
    best = min(finished, key=lambda case: case.result["stages"][-1]["bits"])
    first, last = best.result["stages"][0], best.result["stages"][-1]
    return (
        f"at eps = 2^-{best.inputs['halvings']}, network {best.inputs['network']} keeps {last['weights']} of "
        f"{first['weights']} weights and {last['bits']:,} of {_FLOAT32 * first['weights']:,} bits in float32",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the certified error against the bits, with float32, and the weights after each stage."""
    figure = new_figure((9.2, 4.2))
    left, right = figure.subplots(1, 2)
    weights = _weights(finished)
    for (network, (_, error, bits, _)), style in zip(_curves(finished).items(), STYLES, strict=False):
        order = np.argsort(bits)
        left.semilogy(
            bits[order], error[order], style.marker + "-", color=style.color, markersize=4.5, linewidth=1,
            label=f"network {network}",
        )  # fmt: skip
    if weights:
        size = max(weights.values())
        left.axvline(_FLOAT32 * size, color=GRAY, linestyle="--", linewidth=1)
        left.annotate("float32 ", (_FLOAT32 * size, 0.02), ha="right", color=GRAY, fontsize=9)
        _draw_stages(right, [case for case in finished if case.inputs["network"] == min(weights)])
    left.set(xlabel="bits of the file", ylabel=r"$\sup\,|F-\Phi|$ on $[0,1]^2$")
    left.set_title("VERIFIED error of the compressed network", fontsize=10)
    left.legend(frameon=False, fontsize=8)
    right.set(xlabel=r"$\varepsilon$", ylabel="weights")
    right.set_title("weights after each stage", fontsize=10)
    right.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


def _draw_stages(axes: Any, finished: Sequence[Finished]) -> None:
    """Draw the weights after each stage, one group of points for each accuracy."""
    names = list(dict.fromkeys(stage["stage"] for case in finished for stage in case.result["stages"]))
    for name, style in zip(names, STYLES, strict=False):
        points = sorted(
            (2.0 ** -case.inputs["halvings"], stage["weights"])
            for case in finished for stage in case.result["stages"] if stage["stage"] == name
        )  # fmt: skip
        axes.semilogx(*zip(*points, strict=True), style.marker + "-", color=style.color, linewidth=1, label=name)
    axes.set_ylim(bottom=0)


STUDY = Study(
    name="compression",
    claim="A ReLU network of M weights can be stored within eps with M log2(1/eps) + C M bits, C explicit: halving the "
    "error costs one bit a weight. Compression needs fewer bits.",
    source="H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 (2019) 8-45; rounding error by "
    "induction over the layers",
    rule=f"For {NETWORKS} random networks and eps = 2^-3, ..., 2^-11: no certified error may exceed eps, and no file "
    f"the {_FLOAT32} M bits of float32 or the bits of the theorem; one that does contradicts, fewer cases are "
    "undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
