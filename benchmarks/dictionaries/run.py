"""N-term approximation measured: a photograph in wavelets, and dictionaries against singularities.

    python -m pip install 'epsnet[wavelets,plot]' scikit-image
    python benchmarks/dictionaries/run.py [transfer] [camera] [singularities] [cartoon] [slopes]

writes to results/: camera.csv (signal-to-noise ratios of N-term wavelet approximations of the image `camera` of
scikit-image beside the published ones), cartoon.csv (squared errors and slopes for the indicator of a disc),
singularities.csv (three kinds of singularities in five dictionaries), slopes.csv (edges of the study `singularities`,
with pursuit), transfer.csv (wavelet expansions as networks), and camera.png. One core, some minutes, `slopes`
ten; `cartoon` takes several gigabytes.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.core.realize import realize
from epsnet.dictionaries.dictionary import Dictionary, Expansion
from epsnet.dictionaries.figures import n_term_figure
from epsnet.dictionaries.gabor import Gabor
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.n_term import psnr, squared_errors, threshold, thresholding_pursuit
from epsnet.dictionaries.shearlets import Shearlets
from epsnet.dictionaries.transfer import linear_wavelet_network
from epsnet.dictionaries.wavelets import Wavelets
from epsnet.experiments import fit_rate
from epsnet.studies.singularities import measure

Floats = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
CAMERA = {
    "haar": (22.40, 24.01, 25.65, 27.38, 29.33, 31.75),
    "db4": (22.28, 23.92, 25.73, 27.58, 29.51, 31.91),
    "bior4.4": (22.41, 24.02, 25.95, 27.88, 29.84, 32.26),
}
CAMERA_TERMS = (500, 1000, 2000, 4000, 8000, 16000)


def disc(x: Floats, y: Floats) -> Floats:
    """Return the indicator of a disc."""
    return np.where(np.hypot(x - 0.513, y - 0.487) < 0.37, 1.0, 0.0)


def bump(x: Floats, y: Floats) -> Floats:
    """Return a smooth function that vanishes far from the middle."""
    rest = np.maximum(1 - ((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.2, 1e-9)
    return np.exp(1 - 1 / rest)


def line(x: Floats, y: Floats) -> Floats:
    """Return a bump cut along a line that no grid is aligned with."""
    return bump(x, y) * ((x - 0.5) * np.cos(0.4) + (y - 0.5) * np.sin(0.4) > 0.03)


def texture(x: Floats, y: Floats) -> Floats:
    """Return a bump times a wave whose frequency changes slowly."""
    return bump(x, y) * np.cos(2 * np.pi * (45 * x + 30 * y + 20 * x * y))


def image(function: Callable[[Floats, Floats], Floats], side: int) -> Floats:
    """Return the means over the pixels of side times side, of 16 points each."""
    total = np.zeros((side, side))
    for a in range(4):
        for b in range(4):
            lines = [(np.arange(side) + (shift + 0.5) / 4) / side for shift in (a, b)]
            total += function(*np.meshgrid(*lines, indexing="ij"))
    return total / 16


def camera() -> Iterable[Sequence[Any]]:
    """Compare with the table made by PyWavelets alone."""
    from skimage.data import camera as photograph

    picture = photograph().astype(np.float64)
    bases = [Wavelets(name, (512, 512), 6) for name in CAMERA]
    for basis in bases:
        found = psnr(squared_errors(basis, picture, CAMERA_TERMS))
        for terms, ratio, published in zip(CAMERA_TERMS, found, CAMERA[basis.name], strict=True):
            yield basis.name, terms, f"{ratio:.3f}", published, abs(round(ratio, 2) - published) <= 0.01
    frames = [bases[2], Gabor((512, 512), 16), Shearlets(512)]
    n_term_figure(picture, frames, 4000, CAMERA_TERMS).savefig(RESULTS / "camera.png", dpi=110)


def cartoon(side: int = 2048) -> Iterable[Sequence[Any]]:
    """Measure slopes between N and 2N, as they are and of error/(log N)^3."""
    picture, counts = image(disc, side), [100 << k for k in range(11)]
    for dictionary in (Wavelets("db4", (side, side), 7), Shearlets(side)):
        errors = squared_errors(dictionary, picture, counts)
        slopes = np.diff(np.log2(errors))
        logs = 3 * np.diff(np.log2(np.log(counts)))
        for k, (count, error) in enumerate(zip(counts, errors, strict=True)):
            tail = (f"{slopes[k - 1]:.2f}", f"{slopes[k - 1] - logs[k - 1]:.2f}") if k else ("", "")
            yield dictionary.name, count, f"{error:.3e}", *tail


def singularities(side: int = 256) -> Iterable[Sequence[Any]]:
    """Measure which dictionary is best for which singularity."""
    dictionaries: list[Dictionary] = [
        Wavelets("bior4.4", (side, side), 6), Wavelets("db4", (side, side), 6), Gabor((side, side), 32),
        Shearlets(side), Shearlets(side, 0.0),
    ]  # fmt: skip
    for function in (disc, line, texture):
        picture = image(function, side)
        for terms in (200, 400, 800):
            found = {}
            for dictionary in dictionaries:
                redundant = dictionary.size > picture.size
                few = (thresholding_pursuit if redundant else threshold)(dictionary, picture, terms)
                found[dictionary.name] = np.mean((few.signal() - picture) ** 2)
            best = min(found, key=found.__getitem__)
            for name, error in found.items():
                yield function.__name__, terms, name, f"{error:.3e}", name == best


def slopes() -> Iterable[Sequence[Any]]:
    """Measure N = n, ..., 8n shearlets, chosen by pursuit, for the edges of the study `singularities`, n x n pixels."""
    for side, subject in itertools.product((256, 512), ("disc", "flower")):
        counts = [round(side * 2 ** (k / 2)) for k in range(7)]
        cases = [{"image": subject, "dictionary": "shearlets", "side": side, "terms": count} for count in counts]
        errors = np.array([measure(case)["squared_error"] for case in cases])
        for count, error in zip(counts, errors, strict=True):
            yield subject, side, count, f"{error:.4e}", ""
        fits = [fit_rate(counts, values).exponent for values in (errors, errors / np.log(counts) ** 3)]
        yield subject, side, "slopes", *(f"{fit.value:.3f} in [{fit.low:.3f}, {fit.high:.3f}]" for fit in fits)


def transfer() -> Iterable[Sequence[Any]]:
    """Count the weights of the networks of N-term expansions, and compare values at the nodes and between them."""
    basis = LinearWavelets(14)
    nodes = np.linspace(0, 1, basis.size)
    signal = np.sqrt(np.abs(nodes - 1 / 3)) + (nodes > 0.7)
    for terms in (10, 30, 100, 300, 1000):
        few: Expansion = threshold(basis, signal, terms)
        network, values = linear_wavelet_network(few), few.signal()
        points = np.random.default_rng(0).random(4000)
        off = max(
            np.abs(realize(network, nodes[::16]) - values[::16]).max(),
            np.abs(realize(network, points) - np.interp(points, nodes, values)).max(),
        )
        size = network.size
        yield terms, size.weights, f"{size.weights / terms:.2f}", size.depth, f"{off:.1e}", float(size.magnitude)


TABLES: dict[str, tuple[Sequence[str], Callable[[], Iterable[Sequence[Any]]]]] = {
    "slopes": (("image", "side", "terms", "squared error", "slope of error/log^3"), slopes),
    "transfer": (("terms", "weights", "weights/term", "depth", "largest difference", "magnitude"), transfer),
    "camera": (("wavelet", "terms", "psnr", "published", "within 0.01"), camera),
    "singularities": (("image", "terms", "dictionary", "squared error", "best"), singularities),
    "cartoon": (("dictionary", "terms", "squared error", "slope", "slope of error/log^3"), cartoon),
}


def main() -> None:
    """Measure the tables that the command line names, or all."""
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or TABLES:
        header, rows = TABLES[name]
        with (RESULTS / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            for row in rows():
                writer.writerow(row)
                print(name, *row, flush=True)


if __name__ == "__main__":
    main()
