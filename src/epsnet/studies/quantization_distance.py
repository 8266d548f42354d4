r"""Study: how far is a network from its copy with rounded weights, as a function of the number of bits?

**Theorem.** Let the weights of layer k be rounded to b bits, to the nearest multiple of s_k = 2^(1-b) times the largest
of them. With n_k inputs of layer k, |h_{k-1}| <= H_{k-1} on the domain, and |.| the largest row sum of a matrix,

$$ \sup_x |\Phi(x) - \Phi_b(x)|_\infty \le e_L, \qquad
   e_k = \|W_k'\|\, e_{k-1} + \tfrac12 s_k (n_k H_{k-1} + 1), \quad e_0 = 0, $$

for activations with Lipschitz constant 1. So the distance is O(2^-b).

**Why.** W h - W' h' = W' (h - h') + (W - W') h, and the same for the bias. H_k = |W_k| H_{k-1} + |b_k|. A ReLU does not
increase a difference.

Source: the estimate is an induction over the layers, as above; for what it means for approximation with a given number
of bits see H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019) 8-45.

**What is measured.** The supremum on [-1, 1]^2 for networks with random weights, bracketed to 5%: both bounds are
VERIFIED by the rule `distance` of the checker. The exponent is ESTIMATED from the middles of the brackets. The bound of
the theorem is far too large by a factor that is measured too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.checker.kernel import check
from epsnet.core.differential import chain
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.enclosure.distance import distance
from epsnet.experiments import Estimate, Finished, fit_rate
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.15
WIDTHS = (2, 16, 16, 1)
NETWORKS = 3
_BITS = range(4, 17)
_GAP = 0.05


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return one case for each number of bits from 4 on, and each network, one second each; then further networks."""
    whole = NETWORKS * len(_BITS)
    groups = max(1, int(budget) // whole)
    planned = [
        {"network": seed + NETWORKS * group + k, "bits": b}
        for group in range(groups) for b in _BITS for k in range(NETWORKS)
    ]  # fmt: skip
    return planned[: whole * groups if budget >= whole else max(NETWORKS, int(budget))]


def network_of(seed: int) -> Network:
    """Return a ReLU network with normal weights of variance 2 / n_k and biases uniform in [-1, 1]."""
    generator = np.random.Generator(np.random.Philox(seed))
    layers = []
    for inputs, outputs in pairwise(WIDTHS):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((weight, generator.uniform(-1, 1, outputs)))
    return Network.from_layers(layers)


def quantized(network: Network, bits: int) -> Network:
    """Round the weights and biases of each layer to multiples of 2^(1-b) times the largest of them."""
    layers = []
    for layer, stage in zip(network.layers, chain(network), strict=True):
        step = _step(stage.weight, stage.bias, bits)
        weight, bias = (np.rint(values / step) * step for values in (stage.weight, stage.bias))
        layers.append(replace(layer, terms=((layer.terms[0][0], Dense(weight)),), bias=bias))
    return Network(network.inputs, tuple(layers))


def _step(weight: NDArray[np.float64], bias: NDArray[np.float64], bits: int) -> float:
    return 2.0 ** (1 - bits) * max(float(np.abs(weight).max()), float(np.abs(bias).max()))


def predicted(network: Network, bits: int) -> float:
    """Return e_L of the theorem on [-1, 1]^d, in float64 without an error bound."""
    size, error = 1.0, 0.0
    for stage, rounded in zip(chain(network), chain(quantized(network, bits)), strict=True):
        step = _step(stage.weight, stage.bias, bits)
        error = float(np.abs(rounded.weight).sum(axis=1).max()) * error + step / 2 * (stage.weight.shape[1] * size + 1)
        size = float((np.abs(stage.weight).sum(axis=1) * size + np.abs(stage.bias)).max())
    return error


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the bracket of the distance, as the checker agrees, and the bound of the theorem."""
    network = network_of(case["network"])
    d = network.inputs
    found = distance(network, quantized(network, case["bits"]), Box([-1] * d, [1] * d), gap=_GAP)
    check(found.solution)
    return {
        "lower": found.lower.value,
        "upper": found.upper.value,
        "theorem": predicted(network, case["bits"]),
        "kind": Kind.VERIFIED.value,
    }


def _curves(finished: Sequence[Finished]) -> dict[int, NDArray[np.float64]]:
    """Return the rows 2^-b, lower, upper, theorem for each network, by its number."""
    rows: dict[int, list[list[float]]] = {}
    for case in finished:
        numbers = [case.result[name] for name in ("lower", "upper", "theorem")]
        rows.setdefault(case.inputs["network"], []).append([2.0 ** -case.inputs["bits"], *numbers])
    return {network: np.array(sorted(own)).T for network, own in rows.items()}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the exponent of 2^-b with 1 and the distance with the bound of the theorem."""
    comparisons: list[Comparison] = []
    factors: list[float] = []
    for network, (step, lower, upper, theorem) in _curves(finished).items():
        name = f"network {network}"
        if len(step) >= 3:
            rate = fit_rate(step, np.sqrt(lower * upper)).exponent
            answer = judge(rate, 1.0, MARGIN)
            comparisons.append(Comparison(name, "exponent", rate, "==", 1.0, MARGIN, Kind.ESTIMATED.value, answer))
        share = float((lower / theorem).max())
        largest = Estimate(share, share, float((upper / theorem).max()))
        answer = judge(largest, 1.0, 0.0, "<=")
        comparisons.append(Comparison(name, "share of e_L", largest, "<=", 1.0, 0.0, Kind.VERIFIED.value, answer))
        factors.append(float(np.median(theorem / upper)))
    return Analysis(tuple(comparisons), _verdict(comparisons), _remarks(factors))


def _remarks(factors: Sequence[float]) -> tuple[str, ...]:
    if not factors:
        return ()
    return (f"the bound of the theorem exceeds the distance by a factor of {np.median(factors):.0f} in the median",)


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    against = [c for c in comparisons if c.answer == "contradicts"]
    rates = [c.measured.value for c in comparisons if c.quantity == "exponent"]
    if against:
        return Verdict(
            "contradicts", f"the {against[0].quantity} of {against[0].subject} is off by more than the margin."
        )
    if len(rates) < NETWORKS or any(c.answer == "undecided" for c in comparisons):
        return Verdict("undecided", "too few numbers of bits, or an interval is wider than the margin.")
    return Verdict(
        "holds",
        f"the distance falls like 2^(-r b) with r from {min(rates):.3f} to {max(rates):.3f}, and never exceeds e_L.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the certified brackets and the bounds of the theorem against the bits, with lines of slope 2^-b."""
    figure = new_figure((6.4, 4.6))
    axes = figure.subplots()
    for (network, (step, lower, upper, theorem)), style in zip(_curves(finished).items(), STYLES, strict=False):
        bits = -np.log2(step)
        middle = np.sqrt(lower * upper)
        constant = np.exp(np.mean(np.log(middle / step)))
        axes.semilogy(bits, constant * step, color=style.color, linewidth=0.8)
        bars = np.array([middle - lower, upper - middle])
        axes.errorbar(
            bits,
            middle,
            bars,
            fmt=style.marker,
            color=style.color,
            markersize=4.5,
            label=f"network {network}: certified",
        )
        axes.semilogy(bits, theorem, ":", color=style.color, linewidth=1.2, label=f"network {network}: $e_L$")
    axes.set(xlabel="bits $b$ of each weight", ylabel=r"$\sup\,|\Phi-\Phi_b|$ on $[-1,1]^2$")
    axes.set_title(r"VERIFIED distance to the rounded network; lines: $C\,2^{-b}$", fontsize=10)
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="quantization-distance",
    claim="The sup distance of a ReLU network to its copy with weights of b bits is at most e_L = O(2^-b), where "
    "e_k = |W_k'| e_(k-1) + (s_k / 2) (n_k H_(k-1) + 1) and s_k = 2^(1-b) max |W_k|.",
    source="induction over the layers; H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 "
    "(2019) 8-45",
    rule=f"For {NETWORKS} random networks: the exponent r of the distance ~ 2^(-r b) has to be 1 within {MARGIN}, with "
    "its whole Student-t interval (95%), and no certified distance may exceed e_L; one that misses contradicts, "
    "anything else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
