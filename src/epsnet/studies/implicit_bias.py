r"""Study: gradient flow turns to the largest margin, with an error of the direction of order 1/log t and its constant.

**Theorem** (Soudry et al. 2018). For almost all separable data the gradient flow of the logistic loss is
w(t) = w^ log t + w~ + o(1), where w^ is the classifier of largest margin and sum z exp(-z . w~) = w^ over the support
vectors z = y x. So the error of the direction w(t)/|w(t)| times log t tends to |P^perp w~|/|w^|.

**Theorem** (Saxe et al. 2014, Arora et al. 2019). A mode of a balanced deep linear network of N matrices moves by
sigma' = N sigma^(2-2/N) (s - sigma): large modes are learned first, the more so the deeper.

Sources: D. Soudry, E. Hoffer, M. S. Nacson, S. Gunasekar, N. Srebro, JMLR 19 (2018); M. S. Nacson et al., AISTATS 2019;
A. M. Saxe, J. L. McClelland, S. Ganguli, ICLR 2014; S. Arora, N. Cohen, W. Hu, Y. Luo, NeurIPS 2019.

**What is measured.** The largest margin is VERIFIED from both sides. The flow is integrated in log t up to t = e^10000,
the flow of the matrices from random balanced weights of one size, and the times at which two modes are half learned are
compared with the closed form: ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.checker.kernel import check_certificate
from epsnet.experiments import Estimate, Finished, fit_limit, seeds
from epsnet.optimization.deep_factorization import flow, mode_time, modes
from epsnet.optimization.implicit_bias import descent_margins, flow_errors, max_margin, slow_turn
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONSTANT_MARGIN, RATIO_MARGIN = 0.02, 0.02
"""What the constant and the ratio of times may be off, relative to their predictions."""

_FROM, _TO, _GAP = 1e3, 1e4, 1e-13
_START, _MODES = 1e-3, (3.0, 1.0)


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return matrices of depth 2, 3, 4, and one separable sample for each 2 s of the budget, 3 to 40."""
    own = seeds(seed, int(np.clip(budget / 2, 3, 40)))
    matrices = [{"measured": "modes", "depth": depth, "seed": own[0]} for depth in (2, 3, 4)]
    return matrices + [{"measured": "direction", "seed": number, "steps": 10_000} for number in own]


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 30 normal points in the plane, moved away from a line by 0.3, and on which side of it they are.

    Samples with a single support vector are drawn again: on them there is no such constant.
    """
    generator, normal = np.random.Generator(np.random.Philox(seed)), np.array([0.6, 0.8])
    while True:
        x = generator.normal(size=(30, 2))
        y = np.where(x @ normal > 0, 1.0, -1.0)
        x = x + 0.3 * y[:, None] * normal
        if np.count_nonzero(max_margin(x, y).weights) > 1:
            return x, y


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return errors of the direction with their constant and margins, or singular values of a product over time."""
    if case["measured"] == "modes":
        return _modes(case["depth"], case["seed"])
    x, y = sample(case["seed"])
    found = max_margin(x, y)
    check_certificate(found.statements.network, found.statements.certificate)
    places = np.geomspace(10, _TO, 31)
    steps = np.unique(np.geomspace(1, case["steps"], 40).astype(int))
    gaps = {
        name: (found.largest.value - descent_margins(x, y, case["steps"], normalized=normalized)[steps - 1]).tolist()
        for name, normalized in (("plain", False), ("normalized", True))
    }
    return {
        "margin": found.margin.value, "largest": found.largest.value, "constant": slow_turn(x, y).constant,
        "log_times": places.tolist(), "errors": flow_errors(x, y, places).tolist(), "steps": steps.tolist(), **gaps,
    }  # fmt: skip


def _modes(depth: int, seed: int) -> dict[str, Any]:
    generator = np.random.Generator(np.random.Philox(seed))
    frames = [np.linalg.qr(generator.normal(size=(2, 2)))[0] for _ in range(depth + 1)]
    size = _START ** (1 / depth)
    weights = [size * after @ before.T for before, after in pairwise(frames)]
    times = np.linspace(0, 1.3 * mode_time(_START, _MODES[1] / 2, _MODES[1], depth), 2001)
    goal = frames[-1] * np.array(_MODES) @ frames[0].T
    values = np.array([modes(w) for w in flow(weights, goal, times)])
    halves = [float(np.interp(s / 2, values[:, i], times)) for i, s in enumerate(_MODES)]
    predicted = [mode_time(_START, s / 2, s, depth) for s in _MODES]
    return {
        "times": times[::20].tolist(), "values": values[::20].tolist(),
        "ratio": halves[1] / halves[0], "predicted": predicted[1] / predicted[0],
    }  # fmt: skip


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare error times log t, extrapolated by 1/log t, with the constant, and ratios of times with the formula."""
    comparisons, worst = [], 0.0
    for case in finished:
        found = case.result
        if case.inputs["measured"] == "modes":
            ratio, predicted = found["ratio"], found["predicted"]
            measured, margin = Estimate(ratio, ratio, ratio), RATIO_MARGIN * predicted
            subject, quantity = f"{case.inputs['depth']} matrices", "time ratio"
        else:
            s, errors = np.array(found["log_times"]), np.array(found["errors"])
            late = s >= _FROM
            measured = fit_limit(s[late], (errors * s)[late], -1.0).offset
            predicted, margin = found["constant"], CONSTANT_MARGIN * found["constant"]
            subject, quantity = f"sample {case.inputs['seed']}", "constant"
            worst = max(worst, found["largest"] - found["margin"])
        answer = judge(measured, predicted, margin)
        comparisons.append(
            Comparison(subject, quantity, measured, "==", predicted, margin, Kind.ESTIMATED.value, answer)
        )
    remark = f"the largest margins are VERIFIED within {worst:.1e}"
    return Analysis(tuple(comparisons), _verdict(comparisons), (remark,))


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if against := unless_all_hold(comparisons):
        return against
    constants = [c for c in comparisons if c.quantity == "constant"]
    if len(constants) < 3 or len(constants) == len(comparisons):
        return Verdict("undecided", "three samples and the modes are needed.")
    off = max(abs(c.measured.value / c.predicted - 1) for c in constants)
    ratios = ", ".join(f"{c.measured.value:.4f}" for c in comparisons if c.quantity == "time ratio")
    return Verdict(
        "holds",
        f"error times log t tends to the constant within {off:.2%} on {len(constants)} samples, and the mode 1 takes "
        f"{ratios} times as long as the mode 3.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw errors of the direction with constant/log t, what the margin lacks after so many steps, and the modes."""
    figure = new_figure((11.4, 3.9))
    left, middle, right = figure.subplots(1, 3)
    samples = [case.result for case in finished if case.inputs["measured"] == "direction"]
    for number, (found, style) in enumerate(zip(samples, STYLES[:4], strict=False)):
        s = np.array(found["log_times"])
        left.loglog(s, found["constant"] / s, color=style.color, linewidth=1)
        left.loglog(
            s[::2],
            found["errors"][::2],
            style.marker,
            color=style.color,
            markersize=4,
            label=f"{found['constant']:.4f}",
        )
        for name, line in (("plain", "--"), ("normalized", "-")):
            label = name if number == 0 else None
            gap = np.maximum(found[name], _GAP)
            middle.loglog(found["steps"], gap, line, color=style.color, linewidth=1.2, label=label)
    left.set(xlabel=r"$\log t$", ylabel=r"$|w/|w| - \hat w/|\hat w||$")
    left.set_title(r"gradient flow and $|P^\perp\tilde w|\,/\,(|\hat w|\,\log t)$", fontsize=10)
    middle.set(xlabel="steps", ylabel="largest margin minus margin")
    middle.set_title("gradient descent, two ways", fontsize=10)
    for axes, title in ((left, r"$|P^\perp\tilde w|\,/\,|\hat w|$"), (middle, None)):
        if samples:
            axes.legend(frameon=False, fontsize=8, title=title, title_fontsize=8)
    shown = [case for case in finished if case.inputs["measured"] == "modes"]
    for case, style in zip(shown, STYLES, strict=False):
        times, values = np.array(case.result["times"]), np.array(case.result["values"])
        unit = float(np.interp(_MODES[0] / 2, values[:, 0], times))
        for column, line in enumerate(("-", "--")):
            label = f"{case.inputs['depth']} matrices" if column == 0 else None
            right.plot(times / unit, values[:, column], line, color=style.color, linewidth=1.4, label=label)
    for size in _MODES:
        right.axhline(size, color=GRAY, linewidth=0.7, linestyle=":")
    right.set(xlabel="time / time until the mode 3 is half learned", ylabel="singular values of the product")
    right.set_title("deep linear networks learn modes in turn", fontsize=10)
    if shown:
        right.legend(frameon=False, fontsize=8, loc="center right")
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="implicit-bias",
    claim="Gradient flow of the logistic loss on separable data turns to the largest margin with an error of the "
    "direction |P^perp w~|/(|w^| log t); deep linear networks learn modes s at the rate N sigma^(2-2/N) (s - sigma).",
    source="D. Soudry, E. Hoffer, M. S. Nacson, S. Gunasekar, N. Srebro, JMLR 19 (2018); S. Arora, N. Cohen, W. Hu, Y. "
    "Luo, NeurIPS 2019",
    rule=f"On each sample the error of the direction times log t, as C + B/log t fitted to log t >= {_FROM:g}, has to "
    f"have C within {CONSTANT_MARGIN:.0%} of the constant, with its whole Student-t interval; for each depth the ratio "
    f"of the times in which the modes 1 and 3 are half learned has to be within {RATIO_MARGIN:.0%} of the closed form. "
    "One that misses its margin contradicts.",
    budget=20,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
