"""Speed of polyhedral complexes, large ones and against relucent: see README.md beside this file.

python benchmarks/complex/run.py --environment DIR    # writes results/peer.csv and results/large.csv
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).parent
PEER = "relucent==1.0.0"
SPACE = (([2, 16, 16, 1], 2), ([3, 12, 12, 1], 22), ([2, 24, 24, 24, 1], 101))
BOX = (([3, 64, 64, 1], 32), ([2, 1100, 1100, 1], 5))


def environment(folder: Path) -> Path:
    """Return the Python of the peer's own virtual environment; create it where it does not exist."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PEER], check=True)
    return python


def save(widths: Sequence[int], seed: int, file: Path) -> Path:
    """Write the random network NET(widths, seed) as arrays W_1, b_1, W_2, ... in this order."""
    generator, arrays = np.random.default_rng(seed), []
    for inputs, outputs in itertools.pairwise(widths):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        arrays += [weight, generator.uniform(-1, 1, outputs)]
    np.savez(file, **{f"{number:03d}": array for number, array in enumerate(arrays)})
    return file


def measure(*command: object) -> dict:
    """Run one measurement on one thread; return what it prints last."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, env={**os.environ, **limits})
    return json.loads(done.stdout.splitlines()[-1])


def write(name: str, rows: list[dict]) -> None:
    """Write rows as results/NAME.csv."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def against_peer(peer: Path, folder: Path, repeats: int, workers: int) -> list[dict]:
    """Measure both, one after the other, on each network."""
    rows = []
    for (widths, seed), repeat in itertools.product(SPACE, range(repeats)):
        file = save(widths, seed, folder / "network.npz")
        theirs = measure(peer, HERE / "peer.py", file, workers)
        ours = measure(sys.executable, HERE / "library.py", file, "space")
        if theirs["regions"] != ours["regions"]:
            raise SystemExit(f"{widths}: {theirs['regions']} regions by the peer, {ours['regions']} here.")
        rows.append(
            {
                "network": "-".join(map(str, widths)), "seed": seed, "repeat": repeat, "regions": ours["regions"],
                "load": os.getloadavg()[0], "peer s": theirs["seconds"], "s": ours["seconds"],
                "peer cpu s": theirs["cpu"], "cpu s": ours["cpu"],
                "peer regions/s": theirs["regions"] / theirs["seconds"], "regions/s": ours["regions"] / ours["seconds"],
                "ratio": theirs["seconds"] / ours["seconds"], "cpu ratio": theirs["cpu"] / ours["cpu"],
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(tempfile.gettempdir()) / "epsnet-relucent"
    parser.add_argument("--environment", type=Path, default=default, help="where the peer lives or will be installed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of the peer; this library uses one")
    arguments = parser.parse_args()
    peer = environment(arguments.environment)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = against_peer(peer, folder, arguments.repeats, arguments.workers)
        write("peer", rows)
        for label, group in itertools.groupby(rows, key=lambda row: row["network"]):
            ratios = [(row["ratio"], row["cpu ratio"]) for row in group]
            print(label, *(f"{median(column):.0f}" for column in zip(*ratios, strict=True)))
        large = []
        for widths, seed in BOX:
            found = measure(sys.executable, HERE / "library.py", save(widths, seed, folder / "network.npz"), "box")
            large.append({"network": "-".join(map(str, widths)), "seed": seed, "load": os.getloadavg()[0], **found})
            print(large[-1], flush=True)
        write("large", large)


if __name__ == "__main__":
    main()
