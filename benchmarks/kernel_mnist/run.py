"""Kernel regression on all 60,000 MNIST digits: infinitely wide fully connected networks, Nystrom centers, in blocks.

    python benchmarks/kernel_mnist/run.py choose       # kernel and depth, on few centers
    python benchmarks/kernel_mnist/run.py pixels       # pixels, 8,000 centers
    python benchmarks/kernel_mnist/run.py scattering   # scattering features, 3,000 centers

The ridge, like kernel and depth, is chosen on 10,000 training digits set aside; then these are added to the equations.
The test digits are loaded last and once. A row for each run goes to results/runs.csv; see README.md.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np

from epsnet.data import load_mnist
from epsnet.features.scattering import scattering_features
from epsnet.generalization.low_rank import NormalEquations, blocks_of, normal_equations, nystrom
from epsnet.generalization.network_kernel import NetworkKernel
from epsnet.generalization.wide_network import Dense, WideNetwork

VALIDATION = 10_000
RIDGES = 10.0 ** np.arange(-4, 0.25, 0.5)
"""In units of the diagonal of the kernel."""

RESULTS = Path(__file__).parent / "results"
Floats = np.ndarray


def inputs(part: str, features: str, folder: Path, jobs: int) -> Floats:
    """Return the points as (n, d) of norm 1; scattering features as a memory-mapped file, if need be a new one."""
    images = load_mnist(part).inputs
    if features == "pixels":
        pixels = images.reshape(len(images), -1).astype(np.float64)
        return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    path, step = folder / f"{part}.npy", 2000
    if not path.exists():
        unfinished = folder / f"{part}.part.npy"
        shape = (len(images), scattering_features(images[:1]).shape[1])
        stored = np.lib.format.open_memmap(unfinished, "w+", dtype=np.float64, shape=shape)
        for start in range(0, len(images), step):
            stored[start : start + step] = scattering_features(images[start : start + step], workers=jobs)
        stored.flush()
        unfinished.rename(path)
    return np.load(path, mmap_mode="r")


def network(depth: int, inputs: int) -> WideNetwork:
    """Return L dense layers with ReLU whose NNGP kernel is 1 on points of norm 1."""
    return WideNetwork([Dense(inputs**0.5), *["relu", Dense(2**0.5)] * (depth - 1)])


def one_hot(labels: np.ndarray) -> Floats:
    """Return 1 for the class and -1/9 for the others."""
    return np.where(np.arange(10) == labels[:, None], 1.0, -1 / 9)


def choose_ridge(equations: NormalEquations, diagonal: float, x: Floats, labels: np.ndarray) -> tuple[float, float]:
    """Return the ridge with the fewest errors on validation points, the largest one of equals, and the errors."""
    fits = [equations.solve(ridge * diagonal).coefficients for ridge in RIDGES]
    values = equations.features.combine(np.asarray(x), np.concatenate(fits, axis=1)).reshape(len(x), len(RIDGES), 10)
    errors = (values.argmax(axis=2) != labels[:, None]).mean(axis=0)
    best = np.flatnonzero(errors == errors.min())[-1]
    return float(RIDGES[best]), float(errors[best])


def run(arguments: argparse.Namespace, kind: str, depth: int, centers: int, test: bool) -> dict[str, object]:
    """Fit, choose the ridge, fit again with the validation points, and test."""
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        labels = load_mnist("train").labels
        x = inputs("train", arguments.features, folder, arguments.jobs)
        prepared = time.process_time() - cpu
        order = np.random.default_rng(arguments.seed).permutation(len(x))
        aside, kept = np.sort(order[:VALIDATION]), order[VALIDATION:]
        kernel = NetworkKernel(network(depth, x.shape[1]), kind)
        features = nystrom(kernel, x[np.sort(kept[:centers])])
        kept = np.sort(kept)
        diagonal = float(kernel.diagonal(np.asarray(x[:1]))[0])

        def equations(places: np.ndarray) -> NormalEquations:
            def blocks():
                for first in range(0, len(places), 2000):
                    part = places[first : first + 2000]
                    yield from blocks_of(x[part], one_hot(labels[part]))()

            return normal_equations(features, blocks, jobs=arguments.jobs)

        first = equations(kept)
        ridge, validation = choose_ridge(first, diagonal, x[aside], labels[aside])
        row: dict[str, object] = {
            "features": arguments.features, "kernel": kind, "depth": depth, "centers": centers, "ridge": f"{ridge:.1e}",
            "validation_error": validation, "missing_trace": f"{first.missing:.3e}",
        }  # fmt: skip
        if test:
            regression = (first + equations(aside)).solve(ridge * diagonal)
            points = inputs("test", arguments.features, folder, arguments.jobs)
            values = regression.predict(points)
            residual = features.residual(np.asarray(points[:1000])) / diagonal
            row |= {
                "test_error": float((values.argmax(axis=1) != load_mnist("test").labels).mean()),
                "mean_test_residual": f"{residual.mean():.3e}", "largest_test_residual": f"{residual.max():.3e}",
            }  # fmt: skip
    row |= {
        "wall_seconds": round(time.perf_counter() - start), "cpu_seconds": round(time.process_time() - cpu),
        "of_these_features": round(prepared), "jobs": arguments.jobs,
    }  # fmt: skip
    return row


def main() -> None:
    """Run a stage and write its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("choose", "pixels", "scattering"))
    parser.add_argument("--kernel", choices=("ntk", "nngp"))
    parser.add_argument("--depth", type=int)
    parser.add_argument("--centers", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where scattering features are kept, 1.1 GB; by default nowhere")
    arguments = parser.parse_args()
    arguments.features = "pixels" if arguments.stage == "choose" else arguments.stage
    kinds = ("ntk", "nngp") if arguments.kernel is None else (arguments.kernel,)
    if arguments.stage == "choose":
        plans = [(kind, depth, arguments.centers or 2000) for kind in kinds for depth in (2, 3, 4)]
    else:
        depth, centers = (3, 8000) if arguments.stage == "pixels" else (2, 3000)
        plans = [(kinds[0], arguments.depth or depth, arguments.centers or centers)]
    for kind, depth, centers in plans:
        row = run(arguments, kind, depth, centers, test=arguments.stage != "choose")
        path = RESULTS / ("choice.csv" if arguments.stage == "choose" else "runs.csv")
        path.parent.mkdir(exist_ok=True)
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
