r"""Study: which dictionary is sparse for which singularity?

**Theorem.** Let sigma_N^2 be the squared L2 error of the best sum of N terms of a function that is smooth but for

* points: in wavelets sigma_N^2 falls faster than any power of N;
* a straight line: so it does in ridgelets, and in wavelets like N^-1;
* a C^2 curve: in shearlets and curvelets sigma_N^2 <= C N^-2 (log N)^3, no dictionary has a better exponent, and in
  wavelets it falls like N^-1;
* an oscillation, whose frequency is high and changes slowly: in Gabor frames faster than any power.

**What is measured.** Images that are smooth but for one kind of singularity, on n x n pixels. They are means over the
pixels, in closed form along the edges, so that no staircase is approximated. Bases keep their largest coefficients;
the frames, whose redundancy is 4 (Gabor) and 9 (shearlets, ridgelets), take hard thresholding pursuit, because their
largest coefficients repeat each other.

* *The winner*: points, line, disc and texture, n = 256, with 400 terms of each dictionary.
* *The slopes*: sigma_N^2 (log N)^-3 of shearlets for the disc, N = n, ..., 8n, and sigma_N^2 of wavelets on a finer
  grid of 8n x 8n (at most 4096 x 4096), N = n, ..., 4n, as wavelets see the pixels of an edge much sooner. The same for
  a second edge, a flower that is smooth, not convex, and borders on a wave. A larger budget adds larger n.

All numbers are ESTIMATED: squared errors over pixels, in float64.

Sources: D. Donoho, Sparse components of images and optimal atomic decomposition, Constr. Approx. 17 (2001) 353-382;
E. Candes, D. Donoho, New tight frames of curvelets and optimal representations of objects with piecewise C^2
singularities, Comm. Pure Appl. Math. 57 (2004) 219-266; K. Guo, D. Labate, Optimally sparse multidimensional
representation using shearlets, SIAM J. Math. Anal. 39 (2007) 298-318; D. Donoho, Orthonormal ridgelets and linear
singularities, SIAM J. Math. Anal. 31 (2000) 1062-1099; S. Mallat, A Wavelet Tour of Signal Processing, 3rd ed., 2009,
sections 9.2 and 9.3.
"""

from __future__ import annotations

import base64
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Kind
from epsnet.dictionaries.dictionary import Dictionary
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.n_term import threshold, thresholding_pursuit
from epsnet.dictionaries.shearlets import Shearlets
from epsnet.dictionaries.wavelets import Wavelets
from epsnet.experiments import Estimate, Finished, fit_rate
from epsnet.studies.figures import GRAY, STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

TERMS, SIDE = 400, 256
WINNERS = {"points": "wavelets", "line": "ridgelets", "disc": "shearlets", "texture": "Gabor"}
LEAD = 1.2
"""The squared error of every other dictionary has to be larger than that of the winner by this factor."""
SLOPES = {"shearlets": -2.0, "wavelets": -1.0}
_STEPS = {"shearlets": 7, "wavelets": 5}
"""How many N = n 2^(k/2) belong to a slope."""
MARGIN = 0.15
_CROP = 96
_CORNERS = {"points": 40, "line": 80, "disc": 28, "texture": 80}
"""Where the part of each image that is shown begins, in both directions."""
_SECONDS = {"wavelets": 0.03, "Gabor": 0.5, "shearlets": 1.8, "ridgelets": 1.5}
"""Of one case with 256 x 256 pixels, about."""


def dictionary(name: str, side: int) -> Dictionary:
    """Return a dictionary of the study on side x side pixels."""
    if name == "wavelets":
        return Wavelets("bior4.4", (side, side), (side // 4).bit_length() - 1)
    if name == "Gabor":
        return Gabor((side, side), 32)
    return Shearlets(side, 0.5 if name == "shearlets" else 0.0)


def coverage(distance: Floats, normal: tuple[Floats, Floats]) -> Floats:
    """Return the share of each pixel behind a line.

    Args:
        distance: of the center of the pixel from the line, in pixels, positive in front of it.
        normal: the unit normal of the line.
    """
    a, b = (np.maximum(np.abs(part) / 2, 1e-6) for part in normal)

    def half_square(t: Floats) -> Floats:
        return np.maximum(t, 0.0) ** 2 / 2

    t = np.clip(-distance, -a - b, a + b)
    corners = half_square(t + a + b) - half_square(t + a - b) - half_square(t - a + b) + half_square(t - a - b)
    return corners / (4 * a * b)


def _disc(x: Floats, y: Floats, side: int) -> Floats:
    """Return the indicator of a disc."""
    u, v = x - 0.513, y - 0.487
    r = np.maximum(np.hypot(u, v), 1e-9)
    return coverage((r - 0.37) * side, (u / r, v / r))


def _flower(x: Floats, y: Floats, side: int) -> Floats:
    """Return a wave cut off at a smooth closed curve, r = 0.3 + 0.06 cos(3 t + 0.4)."""
    u, v = x - 0.513, y - 0.487
    r, t = np.maximum(np.hypot(u, v), 1e-9), 3 * np.arctan2(v, u) + 0.4
    slope = -0.18 * np.sin(t) / r**2
    # The gradient of r - 0.3 - 0.06 cos(3 t + 0.4).
    first, second = u / r + slope * v, v / r - slope * u
    length = np.hypot(first, second)
    inside = coverage((r - 0.3 - 0.06 * np.cos(t)) / length * side, (first / length, second / length))
    return inside * (1 + 0.5 * np.cos(2 * np.pi * u) * np.sin(2 * np.pi * v + 0.3))


def _bump(x: Floats, y: Floats) -> Floats:
    """Return a smooth function that vanishes far from the middle."""
    rest = np.maximum(1 - ((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.2, 1e-9)
    return np.exp(1 - 1 / rest)


def _line(x: Floats, y: Floats, side: int) -> Floats:
    """Return a bump cut along a line that no grid is aligned with."""
    first, second = np.cos(0.4), np.sin(0.4)
    behind = coverage(((x - 0.5) * first + (y - 0.5) * second - 0.03) * side, (np.array(first), np.array(second)))
    return _bump(x, y) * (1 - behind)


def _texture(x: Floats, y: Floats, side: int) -> Floats:
    """Return a bump times a wave whose frequency changes slowly."""
    return _bump(x, y) * np.cos(2 * np.pi * (45 * x + 30 * y + 20 * x * y))


def _points(x: Floats, y: Floats, side: int) -> Floats:
    """Return a bump times a sum of |x - p|^(-1/2) with alternating signs; means of 16 points near each p."""
    total = np.zeros_like(x)
    places = ((0.303, 0.412), (0.611, 0.287), (0.538, 0.707), (0.42, 0.55), (0.7, 0.52))
    shifts = [(2 * k - 3) / (8 * side) for k in range(4)]
    for sign, (a, b) in zip(itertools.cycle((1, -1)), places, strict=False):
        for s, t in itertools.product(shifts, shifts):
            total += sign / 16 * np.hypot(x - a + s, y - b + t) ** -0.5
    return 0.2 * total * _bump(x, y)


_IMAGES: dict[str, Callable[[Floats, Floats, int], Floats]] = {
    "points": _points, "line": _line, "disc": _disc, "texture": _texture, "flower": _flower,
}  # fmt: skip


@functools.lru_cache(maxsize=1)
def image(name: str, side: int) -> Floats:
    """Return an image of the study on side x side pixels: points, line, disc, texture or flower."""
    centers = (np.arange(side) + 0.5) / side
    picture = _IMAGES[name](*np.meshgrid(centers, centers, indexing="ij"), side)
    picture.flags.writeable = False
    return picture


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the winners, then the slopes for n = 256, 512, ... as the budget allows; the seed plays no role."""
    planned: list[dict[str, Any]] = []
    for subject, group in _groups():
        budget -= sum(_SECONDS[name] * (side / SIDE) ** 2 for name, side, _ in group)
        if budget < 0:
            break
        planned += [{"image": subject, "dictionary": name, "side": side, "terms": n} for name, side, n in group]
    return planned


def _groups() -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Yield images with the dictionary, the side and N of each case."""
    for subject in WINNERS:
        yield subject, [(name, SIDE, TERMS) for name in _SECONDS]
    for side, subject in itertools.product((SIDE, 512, 1024), ("disc", "flower")):
        grids = {"wavelets": min(8 * side, 4096), "shearlets": side}
        yield (
            subject,
            [(name, grid, round(side * 2 ** (k / 2))) for name, grid in grids.items() for k in range(_STEPS[name])],
        )


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the squared error of the N terms, and a part of the picture they make."""
    picture, atoms = image(case["image"], case["side"]), dictionary(case["dictionary"], case["side"])
    redundant = atoms.size > picture.size
    found = (thresholding_pursuit if redundant else threshold)(atoms, picture, case["terms"]).signal()
    result: dict[str, Any] = {"squared_error": float(np.mean((found - picture) ** 2))}
    if _is_for_winner(case):
        result["picture"] = _packed(found, case["image"])
    return result


def _is_for_winner(case: dict[str, Any]) -> bool:
    return (case["side"], case["terms"]) == (SIDE, TERMS) and case["image"] in WINNERS


def _packed(picture: Floats, subject: str) -> str:
    """Return a part of a picture in 256 grays from -1 to 1, as text."""
    shown = slice(_CORNERS[subject], _CORNERS[subject] + _CROP)
    part = picture[shown, shown]
    return base64.b64encode(np.round(127.5 * (1 + np.clip(part, -1, 1))).astype(np.uint8).tobytes()).decode()


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(_CROP, _CROP) / 127.5 - 1


def _winners(finished: Sequence[Finished]) -> dict[str, dict[str, Finished]]:
    """Return image -> dictionary -> its case with 400 terms."""
    found: dict[str, dict[str, Finished]] = {subject: {} for subject in WINNERS}
    for case in finished:
        if _is_for_winner(case.inputs):
            found[case.inputs["image"]][case.inputs["dictionary"]] = case
    return found


def _slopes(finished: Sequence[Finished]) -> dict[tuple[str, str, int], tuple[Floats, Floats]]:
    """Return N and the squared errors by dictionary, image and side."""
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for case in finished:
        if not _is_for_winner(case.inputs):
            key = (case.inputs["dictionary"], case.inputs["image"], case.inputs["side"])
            found.setdefault(key, []).append((float(case.inputs["terms"]), case.result["squared_error"]))
    rows = {key: np.array(sorted(pairs)).T for key, pairs in sorted(found.items())}
    return {key: (row[0], row[1]) for key, row in rows.items()}


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare the lead of every winner with the margin, and the slopes with the theory."""
    comparisons, remarks = [], []
    for subject, found in _winners(finished).items():
        best, others = WINNERS[subject], found.keys() - {WINNERS[subject]}
        if len(found) < len(_SECONDS):
            continue
        errors = {name: case.result["squared_error"] for name, case in found.items()}
        second = min(others, key=errors.__getitem__)
        # The share of the winner, so that the lead is an upper bound.
        share = errors[best] / errors[second]
        estimate = Estimate(share, share, share)
        answer = judge(estimate, 1 / LEAD, 0.0, "<=")
        comparisons.append(
            Comparison(subject, f"{best}/{second}", estimate, "<=", 1 / LEAD, 0.0, Kind.ESTIMATED.value, answer)
        )
    for (name, subject, side), (terms, errors) in _slopes(finished).items():
        if len(terms) < _STEPS[name]:
            continue
        logs = np.log(terms) ** 3 if name == "shearlets" else 1.0
        slope, raw = (fit_rate(terms, values).exponent for values in (errors / logs, errors))
        answer = judge(slope, SLOPES[name], MARGIN)
        where = f"{subject}, {side}"
        comparisons.append(Comparison(where, name, slope, "==", SLOPES[name], MARGIN, Kind.ESTIMATED.value, answer))
        if name == "shearlets":
            remarks.append(f"{where}: without the logarithms the slope of shearlets is {raw.value:.2f}")
    return Analysis(tuple(comparisons), _verdict(comparisons), tuple(remarks))


def _verdict(comparisons: Sequence[Comparison]) -> Verdict:
    if failed := unless_all_hold(comparisons):
        return failed
    if len(comparisons) < len(WINNERS) + len(SLOPES):
        return Verdict("undecided", "some image or slope was not measured.")
    return Verdict(
        "holds",
        f"points, line, curve and texture are each won by their dictionary by a factor of at least {LEAD}, and the "
        f"slopes of shearlets and wavelets are those of the theory within {MARGIN}.",
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the images, what 400 terms of each dictionary make of them, and the squared errors against N."""
    figure = new_figure((12.5, 7.6))
    rows = figure.add_gridspec(len(WINNERS), len(_SECONDS) + 4)
    for row, (subject, found) in enumerate(_winners(finished).items()):
        errors = {name: case.result["squared_error"] for name, case in found.items()}
        original = _unpacked(_packed(image(subject, SIDE), subject))
        for column, name in enumerate(("image", *_SECONDS)):
            axes = figure.add_subplot(rows[row, column])
            axes.set(xticks=[], yticks=[])
            if name == "image":
                part, title = original, subject
            elif name in found:
                part = _unpacked(found[name].result["picture"])
                title = f"{name}\n{errors[name]:.1e}"
            else:
                continue
            won = name in errors and errors[name] == min(errors.values())
            axes.set_title(title, fontsize=8, fontweight="bold" if won else "normal")
            axes.imshow(part, cmap="gray", vmin=original.min(), vmax=original.max(), interpolation="nearest")
    axes = figure.add_subplot(rows[:, -3:])
    for ((name, subject, side), (terms, errors)), style in zip(
        _slopes(finished).items(), itertools.cycle(STYLES), strict=False
    ):
        label = f"{name}, {subject}, {side} x {side}"
        axes.loglog(terms, errors, style.marker, color=style.color, markersize=4.5, label=label)
        theory = terms ** SLOPES[name] * (np.log(terms) ** 3 if name == "shearlets" else 1.0)
        axes.loglog(terms, theory * np.exp(np.mean(np.log(errors / theory))), color=style.color, linewidth=0.8)
    axes.plot([], [], color=GRAY, linewidth=0.8, label=r"$C N^{-1}$ or $C N^{-2} (\log N)^3$")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="terms N", ylabel="mean squared error")
    axes.set_title(f"{TERMS} terms of each dictionary (left); slopes at a curved edge", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return finish(figure, analysis.verdict.answer)


STUDY = Study(
    name="singularities",
    claim="Points are sparse in wavelets, straight lines in ridgelets, C^2 curves in shearlets (sigma_N^2 <= C N^-2 "
    "(log N)^3, wavelets N^-1), oscillations in Gabor frames.",
    source="D. Donoho, Constr. Approx. 17 (2001) 353-382; K. Guo, D. Labate, SIAM J. Math. Anal. 39 (2007) 298-318; "
    "D. Donoho, SIAM J. Math. Anal. 31 (2000) 1062-1099",
    rule=f"With {TERMS} terms on {SIDE} x {SIDE} pixels the squared error of the predicted dictionary is smaller than "
    f"that of each other one by a factor of {LEAD}; the fitted slope of shearlets for an edge, N = n, ..., 8n, of the "
    f"squared error over (log N)^3, is -2, and that of wavelets, N = n, ..., 4n on 8n x 8n pixels, is -1, within "
    f"{MARGIN} with the whole 95 % interval; one that misses contradicts, anything else is undecided.",
    budget=60,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
