"""Betti numbers from a grid beside the proved ones, for ordinary random networks of three variables.

    python benchmarks/topology/run.py

writes results/grid.csv: for each network, level and set the Betti numbers (b_0, b_1, b_2) that gudhi finds on grids of
several sizes, the exact ones with the number of cells that prove them, and seconds on one core. The checker re-derives
every exact number before it is written.
"""

from __future__ import annotations

import csv
import itertools
import time
from pathlib import Path

import numpy as np

from epsnet.certify.domain import Box
from epsnet.checker.kernel import check_certificate
from epsnet.core.network import Network
from epsnet.geometry.grid_topology import grid_betti_numbers
from epsnet.geometry.topology import topology

RESULTS = Path(__file__).parent / "results" / "grid.csv"
CASES = (((3, 12, 12, 1), 22, "-0.178"), ((3, 16, 16, 1), 23, "-0.697"))
POINTS = (70, 140)


def random_network(widths: tuple[int, ...], seed: int) -> Network:
    """Return a ReLU network with normal weights of variance 2 / inputs and biases uniform in [-1, 1]."""
    rng = np.random.default_rng(seed)
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        matrix = rng.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((matrix, rng.uniform(-1, 1, outputs)))
    return Network.from_layers(layers)


def main() -> None:
    """Measure every row and write the table."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["network", "seed", "set", "method", "b_0", "b_1", "b_2", "seconds"])
        for widths, seed, level in CASES:
            network, box = random_network(widths, seed), Box([-1] * 3, [1] * 3)
            name = "-".join(map(str, widths))
            for part, sign in (("sub", "<="), ("super", ">=")):
                row = [name, seed, f"Phi {sign} {level}"]
                start = time.perf_counter()
                found = topology(network, box, level=level, part=part)
                check_certificate(network, found.certificate)
                method = f"proved by {sum(found.cells.f_vector())} cells"
                writer.writerow([*row, method, *found.numbers, f"{time.perf_counter() - start:.1f}"])
                for points in POINTS:
                    start = time.perf_counter()
                    numbers = grid_betti_numbers(network, box, level=level, part=part, points=points)
                    writer.writerow([*row, f"grid {points}^3", *numbers, f"{time.perf_counter() - start:.1f}"])
                    file.flush()


if __name__ == "__main__":
    main()
