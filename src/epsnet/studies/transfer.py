r"""Study: what does an atom cost when an expansion becomes a network, and what does that add to the error?

**Theorem.** If the atoms of a dictionary are a generator composed with affine maps, and the generator has a network
within eps, then every N-term expansion has a network with M <= C N, where C does not depend on N, on the coefficients
or on the atoms chosen, and its error is at most eps times a sum of coefficients (`core.transfer`). So networks
approximate a class of functions at least as fast as any such dictionary does.

**What is measured.** For ten dictionaries a function on [0, 1] or [0, 1]^2 is approximated by N of their atoms, which
are chosen greedily, with coefficients by regularized least squares on a grid. The expansion becomes a network. Its
weights are counted. The distance of network and expansion in the sup norm, for the network as it is
stored and evaluated in float64, is the bound that the rule `expansion` of the checker re-derives. The distance of
expansion and function is sampled.

Source: H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural
networks, SIAM J. Math. Data Sci. 1 (2019) 8-45.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.dictionaries.molecules import (
    CDF22,
    HAT,
    Atoms,
    bspline,
    dilated,
    exchanged,
    gabor,
    joined,
    kuhn_hats,
    modulated,
    ridges,
    sheared,
    tensor,
)
from epsnet.dictionaries.transfer import Parts, Transfer, transfer
from epsnet.dictionaries.transfer_figures import draw_atom
from epsnet.experiments import Estimate, Finished
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

COUNTS = (10, 30, 100, 300, 1000)
MARGIN = 0.05
"""How far M/N may be from its mean over all N."""

_SECONDS_PER_WEIGHT = 2e-5
_SECONDS = 0.4
_POINTS, _PIXELS = 2503, 49
_RIDGE = 1e-4
_ROUNDS = 5


def _levels(first: int, last: int) -> tuple[Floats, Floats]:
    """Return scales a and nodes k/a for a = 2^first, ..., 2^last, as columns."""
    pairs = [(2.0**j, k / 2**j) for j in range(first, last + 1) for k in range(2**j + 1)]
    scales, centers = np.array(pairs).T[:, :, None]
    return scales, centers


def _splines(degree: int) -> list[Atoms]:
    return [dilated(bspline(degree, 10), *_levels(1, 10))]


def _wavelets() -> list[Atoms]:
    scales, centers = _levels(2, 10)
    odd = (scales * centers)[:, 0] % 2 == 1
    return [dilated(HAT, *_levels(1, 1)), dilated(CDF22, scales[odd], centers[odd])]


def _grid(steps: int) -> Floats:
    side = np.arange(steps + 1) / steps
    return np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)


def _hats() -> list[Atoms]:
    grids = [(2.0**j, _grid(2**j)) for j in range(1, 6)]
    scales = np.concatenate([np.full(len(grid), a) for a, grid in grids])
    return [kuhn_hats(scales, np.concatenate([grid for _, grid in grids]))]


def _tensors() -> list[Atoms]:
    """Return hats of width 1/2 and wavelets of three directions for the scales 2^2, ..., 2^5."""
    coarse = _grid(2)
    families = [dilated(tensor(HAT, HAT, levels=10), np.full_like(coarse, 2.0), coarse)]
    for odd in ((True, True), (True, False), (False, True)):
        generator, own = tensor(*(CDF22 if wave else HAT for wave in odd), levels=10), []
        for j in range(2, 6):
            grid = _grid(2**j) * 2**j
            kept = grid[((grid % 2 == 1) == np.array(odd)).all(axis=1)]
            # A hat of the level below is twice as wide.
            scales = np.broadcast_to(np.where(odd, 2.0**j, 2.0 ** (j - 1)), kept.shape)
            own.append(dilated(generator, scales, kept / 2**j))
        families.append(joined(own))
    return families


def _gabor(dimension: int) -> list[Atoms]:
    if dimension == 1:
        places, waves, scale = np.arange(17)[:, None] / 16, np.arange(60.0)[:, None], 8.0
    else:
        across = itertools.product(np.arange(6) * 4.0, np.arange(-5, 6) * 4.0)
        places, waves, scale = _grid(4), np.array(list(across)), 4.0
    chosen = list(itertools.product(places, waves, (0.0, 0.25)))
    centers, frequencies = np.array([b for b, _, _ in chosen]), np.array([w for _, w, _ in chosen])
    phases = [phase for _, _, phase in chosen]
    generator = gabor(dimension, folds=6, levels=10)
    return [modulated(generator, np.full(len(chosen), scale), centers, frequencies, phases)]


def _ridgelets() -> list[Atoms]:
    angles, scales = np.pi * np.arange(16) / 16, 2.0 ** np.arange(1, 6)
    chosen = [(a * np.cos(t), a * np.sin(t), k) for a in scales for t in angles for k in range(int(-a), int(2 * a))]
    first, second, offsets = np.array(chosen, dtype=np.float64).T
    return [ridges(CDF22, np.stack([first, second], axis=1), offsets)]


def _shearlets() -> list[Atoms]:
    generator, families = tensor(CDF22, HAT, levels=10), []
    for j in (1, 2):
        a, root = 4.0**j, 2**j
        places = [(k / a, m / root) for k in range(4**j + 1) for m in range(root + 1)]
        chosen = list(itertools.product(places, np.arange(-root, root + 1) / root))
        centers, shears = np.array([b for b, _ in chosen]), np.array([s for _, s in chosen])
        families.append(sheared(generator, np.full(len(chosen), a), shears, centers))
    coarse = _grid(4)
    plain = dilated(tensor(HAT, HAT, levels=10), np.full_like(coarse, 4.0), coarse)
    return [plain, joined([*families, *map(exchanged, families)])]


def _root(x: Floats) -> Floats:
    return np.sqrt(np.abs(x[:, 0] - 1 / 3)) * np.sin(np.pi * x[:, 0])


def _chirp(x: Floats) -> Floats:
    return np.cos(2 * np.pi * (6 * x[:, 0] + 16 * x[:, 0] ** 2)) * np.sin(np.pi * x[:, 0]) ** 2


def _bump(x: Floats) -> Floats:
    return np.exp(-12 * ((x - 0.5) ** 2).sum(axis=1))


def _cut(x: Floats) -> Floats:
    return _bump(x) * np.tanh(20 * ((x[:, 0] - 0.5) * 0.9 + (x[:, 1] - 0.5) * 0.4))


def _disc(x: Floats) -> Floats:
    return 1 / (1 + np.exp(60 * (np.hypot(x[:, 0] - 0.5, x[:, 1] - 0.5) - 0.3)))


def _texture(x: Floats) -> Floats:
    return _bump(x) * np.cos(2 * np.pi * (9 * x[:, 0] + 5 * x[:, 1] + 4 * x[:, 0] * x[:, 1]))


@dataclass(frozen=True, slots=True)
class Family:
    """A dictionary: its atoms by generator, the function, which atom of the last generator is drawn, and M/N about."""

    name: str
    build: Callable[[], list[Atoms]]
    function: Callable[[Floats], Floats]
    shown: int
    weights: int


FAMILIES = (
    Family("hats", lambda: _splines(1), _root, 12, 8),
    Family("CDF(2,2)", _wavelets, _root, 4, 12),
    Family("ridgelets", _ridgelets, _cut, 138, 14),
    Family("Kuhn hats", _hats, _cut, 20, 22),
    Family("B-splines 2", lambda: _splines(2), _root, 12, 154),
    Family("shearlets", _shearlets, _disc, 500, 170),
    Family("tensor CDF", _tensors, _disc, 11, 176),
    Family("B-splines 3", lambda: _splines(3), _root, 12, 450),
    Family("Gabor", lambda: _gabor(1), _chirp, 8 * 120 + 24, 600),
    Family("Gabor, d = 2", lambda: _gabor(2), _texture, 12 * 132 + 38, 1000),
)
"""Exact ones first, then by the weights of an atom."""


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return dictionaries and numbers of terms, cheap ones first, as far as the budget goes; the seed is not used."""
    priced = [
        (_SECONDS + _SECONDS_PER_WEIGHT * terms * family.weights, {"dictionary": family.name, "terms": terms})
        for terms, family in itertools.product(COUNTS, FAMILIES)
    ]
    priced.sort(key=lambda entry: entry[0])
    spent = itertools.accumulate(seconds for seconds, _ in priced)
    return [case for total, (_, case) in zip(spent, priced, strict=True) if total <= budget]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the weights of the network, the certified distance to the expansion, and that to the function, sampled."""
    family = next(family for family in FAMILIES if family.name == case["dictionary"])
    parts, off = expanded(family, case["terms"])
    return record(network_of(parts), off)


def expanded(family: Family, terms: int) -> tuple[Parts, float]:
    """Return the N-term expansion of the function of a dictionary, and its relative error in L2, sampled."""
    families = family.build()
    d = families[0].matrices.shape[2]
    points = (np.arange(_POINTS)[:, None] + 0.5) / _POINTS if d == 1 else _grid(_PIXELS - 1)
    return n_terms(families, family.function(points), points, terms)


def network_of(parts: Parts) -> Transfer:
    """Return the network of an expansion on the unit cube."""
    d = parts[0][0].matrices.shape[2]
    return transfer(parts, Box([0] * d, [1] * d))


def record(found: Transfer, off: float) -> dict[str, Any]:
    """Return what a case measures."""
    (exact, rounding), size = found.error.premises, found.network.size
    return {
        "weights": size.weights, "depth": size.depth, "neurons": size.neurons, "magnitude": size.magnitude,
        "error": found.error.value, "exact": exact.value, "rounding": rounding.value, "sampled": off,
        "kind": found.error.kind.value,
    }  # fmt: skip


def n_terms(
    families: Sequence[Atoms], values: Floats, points: Floats, terms: int
) -> tuple[list[tuple[Atoms, list[float]]], float]:
    """Return N atoms with coefficients, and the relative error in L2 on the points.

    In each of some rounds the atoms whose inner products with the rest are largest are taken, and the coefficients of
    all are fitted anew.
    """
    matrix = np.concatenate([atoms.values(points) for atoms in families], axis=1)
    norms = np.linalg.norm(matrix, axis=0)
    norms = np.maximum(norms, 0.1 * norms.max())
    chosen, coefficients, rest = np.empty(0, dtype=np.int64), np.empty(0), values
    for share in np.array_split(np.arange(terms), _ROUNDS):
        products = np.abs(matrix.T @ rest) / norms
        products[chosen] = -1
        chosen = np.concatenate([chosen, np.argsort(-products, kind="stable")[: len(share)]])
        own = matrix[:, chosen]
        gram = own.T @ own
        regular = gram + _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        coefficients = np.linalg.solve(regular, own.T @ values)
        rest = values - own @ coefficients
    parts, start = [], 0
    for atoms in families:
        inside = (chosen >= start) & (chosen < start + len(atoms))
        if inside.any():
            parts.append((atoms.chosen(chosen[inside] - start), coefficients[inside].tolist()))
        start += len(atoms)
    return parts, float(np.linalg.norm(rest) / np.linalg.norm(values))


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare M/N with its mean for every dictionary."""
    comparisons, remarks = [], []
    for family in FAMILIES:
        own = _of(finished, family)
        if len(own) < 2:
            continue
        ratios = np.array([case.result["weights"] / case.inputs["terms"] for case in own])
        mean = float(ratios.mean())
        measured = Estimate(mean, float(ratios.min()), float(ratios.max()))
        answer = judge(measured, mean, MARGIN * mean)
        margin, kind = MARGIN * mean, Kind.PROVED.value
        comparisons.append(Comparison(family.name, "M/N", measured, "==", mean, margin, kind, answer))
        last = own[-1]
        remarks.append(
            f"{family.name}, N = {last.inputs['terms']}: network within {last.result['error']:.2g} of the expansion "
            f"({last.result['kind']}; rounding {last.result['rounding']:.0e}), expansion within "
            f"{last.result['sampled']:.1%} of the function in L2 (sampled)"
        )
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks))


def _of(finished: Sequence[Finished], family: Family) -> list[Finished]:
    own = [case for case in finished if case.inputs["dictionary"] == family.name]
    return sorted(own, key=lambda case: case.inputs["terms"])


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    wrong = [comparison.subject for comparison in comparisons if comparison.answer != "holds"]
    if wrong:
        return Verdict("contradicts", f"M/N varies by more than {MARGIN:.0%} for {', '.join(wrong)}.")
    if len(comparisons) < len(FAMILIES):
        return Verdict("undecided", "some dictionary was measured for fewer than two N.")
    return Verdict("holds", f"M/N is constant within {MARGIN:.0%} for all {len(FAMILIES)} dictionaries.")


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw an atom of each dictionary above its network, and below M/N and the certified errors against N."""
    figure = new_figure((1.35 * len(FAMILIES), 6.6))
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25), squeeze=False)[:, 0]
    panels = above.subplots(2, len(FAMILIES))
    left, right = below.subplots(1, 2)
    for number, (family, (top, bottom)) in enumerate(zip(FAMILIES, panels.T, strict=True)):
        draw_atom(top, bottom, family.name, family.build()[-1].chosen([family.shown]))
        own = _of(finished, family)
        if not own:
            continue
        style = STYLES[number % len(STYLES)]
        line = {"color": style.color, "marker": style.marker, "markersize": 4, "linewidth": 0.9}
        line["linestyle"] = "-" if number < len(STYLES) else "--"
        terms = [case.inputs["terms"] for case in own]
        left.loglog(terms, [case.result["weights"] / case.inputs["terms"] for case in own], label=family.name, **line)
        right.loglog([case.result["sampled"] for case in own], [case.result["error"] for case in own], **line)
    left.set(xlabel="terms N", ylabel="weights for each term, M/N", ylim=(4, 3e4))
    left.legend(frameon=False, fontsize=7, ncols=4, loc="upper center")
    right.set(xlabel="relative L2 error of the expansion (sampled)", ylabel="sup |expansion - network| (certified)")
    right.invert_xaxis()
    finish(below, analysis.verdict.answer)
    return figure


STUDY = Study(
    name="transfer",
    claim="An N-term expansion in a dictionary of molecules (generators composed with affine maps) is a network with "
    "at most C N weights, C independent of N, of the coefficients and of the atoms, and with a certified error.",
    source="H. Boelcskei, P. Grohs, G. Kutyniok, P. Petersen, SIAM J. Math. Data Sci. 1 (2019) 8-45",
    rule=f"For every dictionary M/N is counted for at least two N; all values have to be within {MARGIN:.0%} of their "
    "mean. One that is not contradicts; a dictionary that was not measured twice leaves it undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
