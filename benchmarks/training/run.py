"""Speed of training against PyTorch eager: see README.md beside this file.

python benchmarks/training/run.py --environment DIR    # writes results/speed.json and results/speed.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from epsnet.data import load_mnist

HERE = Path(__file__).parent
PEER = "torch==2.13.0"
FLOPS = 6 * 64 * (784 * 20 + 20 * 20 + 20 * 10) - 2 * 64 * 784 * 20
"""Of one step: three products for each layer, 2 B N_l N_{l-1} each, but no gradient of the inputs of the first."""

SUBJECTS = {
    "torch, module": ("peer", "module"),
    "torch, functional": ("peer", "functional"),
    "fit": ("library", "fit"),
    "fit_seeds, 16": ("library", "seeds"),
}


def environment(folder: Path) -> Path:
    """Return the Python of the peer's own virtual environment; create it where it does not exist."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        index = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]  # builds without CUDA, where reachable
        subprocess.run([python, "-m", "pip", "install", "--quiet", *index, PEER, "numpy"], check=True)
    return python


def measure(command: Sequence[object], threads: int) -> list:
    """Run one measurement pinned to the first `threads` cores."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    pinned = ["taskset", "-c", ",".join(map(str, range(threads))), *map(str, command)]
    limits = {name: str(threads) for name in names}
    return json.loads(subprocess.run(pinned, check=True, capture_output=True, env={**os.environ, **limits}).stdout)


def repeat(peer: Path, data: Path, threads: int, epochs: int) -> dict[str, float]:
    """Return steps per second and network of every subject, one after the other."""
    row: dict[str, float] = {}
    for name, (kind, what) in SUBJECTS.items():
        if kind == "peer":
            row[name], row[f"{name}, unshuffled"] = measure(
                [peer, HERE / "peer.py", data, what, threads, epochs], threads
            )
        else:
            (row[name],) = measure([sys.executable, HERE / "library.py", data, what, epochs], threads)
    return row


def processor() -> str:
    """Return the name of the processor as the system tells it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    wide = "AVX-512" if "avx512f" in fields["flags"] else "AVX2"
    return f"{fields['model name']}, family {fields['cpu family']}, {wide}, {os.cpu_count()} cores"


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(tempfile.gettempdir()) / "epsnet-peer"
    parser.add_argument("--environment", type=Path, default=default, help="where the peer lives or will be installed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    peer = environment(arguments.environment)
    sample, rows, report = load_mnist("train"), [], {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "mnist.npz"
        np.savez(data, inputs=sample.inputs, labels=sample.labels)
        for threads in (1, 2):
            product = measure([sys.executable, HERE / "library.py", data, "peak", 0], threads)
            found = []
            for index in range(arguments.repeats):
                found.append(repeat(peer, data, threads, arguments.epochs))
                rows.append({"threads": threads, "repeat": index, "load": round(os.getloadavg()[0], 2), **found[-1]})
                print(rows[-1], flush=True)
            report[f"{threads} thread{'s' * (threads > 1)}"] = summary(found, product)
    report["machine"] = {"processor": processor(), "system": platform.system(), "python": platform.python_version()}
    report["peer"] = PEER
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "speed.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    with (results / "speed.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.0f}" if isinstance(v, float) and k != "load" else v for k, v in row.items()} for row in rows
        )
    print(json.dumps(report, indent=1))


def summary(found: list[dict[str, float]], product: list) -> dict:
    """Return medians, medians of the ratios within a repeat, and shares of the fastest product of the shape."""
    peaks = {f"{row['m']}x{row['k']}x{row['n']}": max(row["xla"], row["numpy"]) for row in product}
    speeds = {name: median(row[name] for row in found) for name in found[0]}
    ratios = {
        f"{ours} / {theirs}": round(median(row[ours] / row[theirs] for row in found), 2)
        for ours in ("fit", "fit_seeds, 16")
        for theirs in found[0]
        if theirs.startswith("torch")
    }
    gflops = {name: FLOPS * speeds[name] / 1e9 for name in ("fit", "fit_seeds, 16")}
    return {
        "steps per second and network": {name: round(value) for name, value in speeds.items()},
        "ratios": ratios,
        "matrix product, GFLOP/s": [{k: round(v) for k, v in row.items()} for row in product],
        "GFLOP/s": {name: round(value) for name, value in gflops.items()},
        "share of the product of its first layer": {
            "fit": round(gflops["fit"] / peaks["64x784x20"], 2),
            "fit_seeds, 16": round(gflops["fit_seeds, 16"] / peaks["64x784x320"], 2),
        },
        "share of the best product": {name: round(v / max(peaks.values()), 2) for name, v in gflops.items()},
    }


if __name__ == "__main__":
    main()
