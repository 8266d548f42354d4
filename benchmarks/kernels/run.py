"""Accuracy against 30 digits, and CPU time and memory, of epsnet and of neural-tangents on the same inputs.

    python benchmarks/kernels/reference.py                 # once, writes the 30 digits
    python benchmarks/kernels/run.py [NT_PYTHON]           # writes results/{accuracy,deficit,timing}.csv

NT_PYTHON is the interpreter of the environment of peer.py; without it the columns of neural-tangents stay empty.
"""

import csv
import functools
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from decimal import Decimal, getcontext
from pathlib import Path

import build
import cases
import numpy as np

from epsnet.generalization.kernels import deficits, kernels

HERE = Path(__file__).parent
RESULTS = HERE / "results"
REPEATS = 5
getcontext().prec = 40


def error(value, reference):
    """Return the relative error of a float against 30 digits."""
    exact = Decimal(reference)
    return float(abs(Decimal(value) - exact) / (abs(exact) or 1))


def references():
    """Return the rows of reference.csv, the points and the architectures they name."""
    with (RESULTS / "reference.csv").open() as file:
        rows = list(csv.DictReader(file))
    x, images = cases.points()
    points = {"x": x, "images": images, "opposite": cases.opposite_pair()}
    points |= {f"near {eps:g}": pair for eps, pair in cases.near_pairs().items()}
    return rows, points, {**cases.VECTORS, **cases.IMAGES, **cases.ANY}


@functools.cache
def theirs(peer):
    """Return the same rows with the numbers of neural-tangents; none without its interpreter."""
    if not peer:
        return []
    done = subprocess.run(
        [peer, "peer.py", "accuracy", str(RESULTS / "reference.csv")], cwd=HERE, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return list(csv.DictReader(done.stdout.splitlines()))


def accuracy(peer):
    """Yield the largest relative errors of each case."""
    rows, points, specs = references()
    found, errors = {}, {}
    for number, row in enumerate(rows):
        key = row["case"], row["points"]
        if key not in found:
            found[key] = kernels(build.network(specs[key[0]]), points[key[1]])
        each = errors.setdefault(key, [[0.0], [0.0], [], []])
        for m, name in enumerate(("nngp", "ntk")):
            each[m].append(error(float(getattr(found[key], name)[int(row["i"]), int(row["j"])]), row[name]))
            if peer:
                each[2 + m].append(error(float(theirs(peer)[number][name]), row[name]))
    yield ["case", "points", "nngp", "ntk", "neural-tangents nngp", "neural-tangents ntk"]
    for key, lists in errors.items():
        yield [*key, *(f"{max(each):.1e}" if each else "" for each in lists)]


def deficit(peer):
    """Yield the relative errors of (Theta_11 Theta_22)^(1/2) - Theta_12 of nearly collinear points."""
    rows, points, specs = references()
    yield ["case", "points", "value", "relative error", "neural-tangents", "its relative error"]
    for at, row in enumerate(rows):
        if not row["points"].startswith("near") or (row["i"], row["j"]) != ("0", "0"):
            continue
        a, b, c = (Decimal(rows[at + k]["ntk"]) for k in range(3))
        exact = (a * b).sqrt() - c
        own = float(deficits(build.network(specs[row["case"]]), points[row["points"]]).ntk[0, 1])
        line = [row["case"], row["points"], f"{own:.10e}", f"{error(own, exact):.1e}"]
        if peer:
            a, b, c = (float(theirs(peer)[at + k]["ntk"]) for k in range(3))
            value = (a * b) ** 0.5 - c
            line += [f"{value:.3e}", f"{error(value, exact):.1e}"]
        yield line


def timing(peer):
    """Yield CPU seconds of both, interleaved, and the memory that epsnet allocates."""
    process = None
    if peer:
        process = subprocess.Popen([peer, "peer.py", "time"], cwd=HERE, text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    yield [
        "task",
        "CPU s",
        "wall s",
        "neural-tangents CPU s",
        "its wall s",
        "CPU ratio",
        "least",
        "largest",
        "peak memory MiB",
        "load",
    ]
    for task in ("convolution", "dense"):
        spec, points = cases.timed(task)
        net = build.network(spec)
        small = kernels(net, points[:4])
        assert np.isfinite(small.ntk).all()
        tracemalloc.start()
        kernels(net, points)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        runs = []
        for _ in range(REPEATS):
            start = time.process_time(), time.perf_counter()
            kernels(net, points)
            own = time.process_time() - start[0], time.perf_counter() - start[1]
            their = (float("nan"),) * 2
            if process:
                process.stdin.write(task + "\n")
                process.stdin.flush()
                their = tuple(map(float, process.stdout.readline().split()))
            runs.append((*own, *their))
        ratios = [run[0] / run[2] for run in runs]
        middle = [statistics.median(run[k] for run in runs) for k in range(4)]
        yield [task, *(f"{value:.3f}" for value in middle), f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}",
               f"{max(ratios):.2f}", f"{peak / 2**20:.0f}", f"{os.getloadavg()[0]:.1f}"]  # fmt: skip
    if process:
        process.stdin.close()
        process.wait()


def main():
    """Write the tables."""
    peer = sys.argv[1] if len(sys.argv) > 1 else None
    for part in (accuracy, deficit, timing):
        with (RESULTS / f"{part.__name__}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for row in part(peer):
                writer.writerow(row)
                file.flush()
                print(*row, sep="  ", flush=True)


if __name__ == "__main__":
    main()
