r"""Study: eigenvalues of the tangent kernel on the sphere decay like k^-d, at every depth.

**Theorem** (Bietti and Mairal 2019, Bietti and Bach 2021). On the unit sphere of R^d the eigenvalues mu_k of the
tangent kernel of infinitely wide ReLU networks without biases are of order k^-d, and those of their Gaussian process of
order k^(-d-2), at every depth; with one hidden layer mu_k = 0 for odd k >= 3. So depth changes constants, not the class
of functions that are learned fast.

Sources: A. Bietti, J. Mairal, On the inductive bias of neural tangent kernels, NeurIPS 2019; A. Bietti, F. Bach, Deep
equals shallow for ReLU networks in kernel regimes, ICLR 2021.

**What is measured.** Eigenvalues in closed form (PROVED) for one hidden layer and in balls (VERIFIED) for more. Their
local exponents, extrapolated to k = infinity: ESTIMATED.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from epsnet.certify.bound import Kind
from epsnet.experiments import Finished, fit_limit
from epsnet.generalization.sphere_spectrum import ReluKernel, sphere_spectrum
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.2
"""How far the extrapolated exponent may be off."""

_FROM, _TO = 16, 40
_CASES = (
    ("ntk", 1, 3), ("ntk", 2, 3), ("nngp", 1, 3), ("ntk", 3, 3), ("ntk", 1, 4), ("nngp", 2, 3), ("ntk", 2, 4),
    ("ntk", 1, 5), ("ntk", 2, 5),
)  # fmt: skip


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return kernels, one for each 4 s of the budget, 3 to 9; nothing is random."""
    count = int(np.clip(budget / 4, 3, len(_CASES)))
    return [{"kernel": name, "hidden": hidden, "dimension": d} for name, hidden, d in _CASES[:count]]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the certified eigenvalues up to degree 40."""
    kernel = ReluKernel(case["kernel"], case["hidden"])
    found = sphere_spectrum(kernel, case["dimension"], range(_TO + 1), certified=True)
    return {"values": list(found.values), "errors": list(found.errors), "kind": found.kind}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the decay of even degrees, and of odd ones if they do not vanish, with d or d + 2."""
    comparisons, vanish = [], []
    for case in finished:
        values, errors = np.array(case.result["values"]), np.array(case.result["errors"])
        predicted = case.inputs["dimension"] + 2.0 * (case.inputs["kernel"] == "nngp")
        for parity, word in enumerate(("even", "odd")):
            k = np.arange(_FROM + parity, _TO + 1, 2)
            if not (values[k] > 1e3 * errors[k]).all():
                if (np.abs(values[3::2]) <= errors[3::2]).all() and parity:
                    vanish.append(_subject(case))
                continue
            exponents = -np.diff(np.log(values[k])) / np.diff(np.log(k))
            measured = fit_limit((k[1:] + k[:-1]) / 2, exponents, -1.0).offset
            comparisons.append(
                Comparison(
                    _subject(case), word, measured, "==", predicted, MARGIN, Kind.ESTIMATED.value,
                    judge(measured, predicted, MARGIN),
                )
            )  # fmt: skip
    kinds = {case.result["kind"] for case in finished}
    remarks = [f"the eigenvalues are {' and '.join(sorted(kinds))}"] if kinds else []
    if vanish:
        remarks.append(f"all odd degrees from 3 on vanish for {', '.join(vanish)}")
    return Analysis(tuple(comparisons), _verdict(comparisons, finished), tuple(remarks))


def _subject(case: Finished) -> str:
    return f"{case.inputs['kernel']} {case.inputs['hidden']}, d = {case.inputs['dimension']}"


def _verdict(comparisons: Sequence[Comparison], finished: Sequence[Finished]) -> Verdict:
    if against := unless_all_hold(comparisons):
        return against
    if len(finished) < 3 or len({c.subject for c in comparisons}) < len(finished):
        return Verdict("undecided", "three kernels are needed, each with eigenvalues above their errors.")
    off = max(abs(c.measured.value - c.predicted) for c in comparisons)
    return Verdict("holds", f"{len(comparisons)} exponents of decay are within {off:.3f} of d or d + 2.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the eigenvalues against the degree with the slopes of the theorem, one picture for each dimension."""
    dimensions = sorted({case.inputs["dimension"] for case in finished}) or [3]
    figure = new_figure((1.2 + 3.6 * len(dimensions), 4.0))
    for axes, d in zip(np.atleast_1d(figure.subplots(1, len(dimensions))), dimensions, strict=True):
        shown = [case for case in finished if case.inputs["dimension"] == d]
        for case, style in zip(shown, STYLES, strict=False):
            k, values = np.arange(1, _TO + 1), np.array(case.result["values"][1:])
            seen = values > np.array(case.result["errors"][1:])
            label = f"{case.inputs['kernel']}, {case.inputs['hidden']} hidden"
            axes.loglog(k[seen], values[seen], style.marker, color=style.color, markersize=3.5, label=label)
            slope = -d - 2 * (case.inputs["kernel"] == "nngp")
            axes.loglog(k[9:], values[_TO - 1] * (k[9:] / _TO) ** float(slope), color=style.color, linewidth=0.8)
        axes.set(xlabel="degree $k$", ylabel=r"eigenvalue $\mu_k$")
        axes.set_title(f"d = {d}; lines: slopes -d, -d - 2", fontsize=10)
        if shown:
            axes.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="sphere-spectra",
    claim="On the unit sphere of R^d the eigenvalues of the tangent kernel of ReLU networks without biases are of "
    "order k^-d and those of their Gaussian process of order k^(-d-2), at every depth; with one hidden layer those of "
    "odd degree k >= 3 are 0.",
    source="A. Bietti, J. Mairal, NeurIPS 2019; A. Bietti, F. Bach, Deep equals shallow for ReLU networks in kernel "
    "regimes, ICLR 2021",
    rule=f"Certified eigenvalues of degree {_FROM} to {_TO}, even and odd ones apart: the exponents of decay between "
    f"neighbors, as C + B/k, have to have C within {MARGIN} of d or d + 2, with its whole Student-t interval; one that "
    "is not contradicts.",
    budget=30,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
