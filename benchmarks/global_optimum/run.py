"""Global optima of two-layer ReLU training, certified and checked.

    python run.py [optima] [soundness] [line] [wide]

Writes results/NAME.csv; seconds are those of the processor, with one thread: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

import csv
import sys
import time
from pathlib import Path

import numpy as np

from epsnet.checker.kernel import check
from epsnet.optimization.certificate import certify
from epsnet.optimization.high_dimension import relaxed_certificate
from epsnet.optimization.total_variation import total_variation_spline
from epsnet.optimization.train_global import train_global
from epsnet.optimization.two_layer import TwoLayerProblem, train_locally, two_layer_network

RESULTS = Path(__file__).parent / "results"


def family(n, d):
    """Deterministic data: points from Kronecker sequences and a column of ones, smooth labels with noise."""
    i = np.arange(1, n + 1)
    x1, x2, z = (2 * np.mod(i * c, 1) - 1 for c in (0.6180339887498949, 0.41421356237309515, 0.7320508075688772))
    if d == 2:
        return np.column_stack([x1, np.ones(n)]), np.sin(3 * x1) + np.abs(x1) + 0.3 * z
    return np.column_stack([x1, x2, np.ones(n)]), np.sin(3 * x1) * np.cos(2 * x2) + 0.3 * z


def random_data(n, d, seed):
    """Gaussian points, the last coordinate 1, and Gaussian labels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x[:, -1] = 1
    return x, rng.normal(size=n)


def check_seconds(statements):
    """Check, and return the processor seconds that it took."""
    start = time.process_time()
    check(statements)
    return time.process_time() - start


def optima():
    """T1 to T5 and two of dimension 4: certified value, gap, seconds of training with certificate, and of the check."""
    yield "case,n,d,beta,expected,primal,relative_gap,seconds,check_seconds,neurons,rounds"
    problems = [
        ("T1", *family(200, 2), 0.5, 7.856442607502),
        ("T2", *family(40, 3), 0.5, 2.8953159606),
        ("T5", *random_data(40, 2, 1), 0.1, 9.571319398472),
        ("T4", *family(1000, 2), 0.5, 20.935512208),
        ("T3", *family(200, 3), 0.5, 7.8380527686),
        ("n=2000", *family(2000, 2), 0.5, float("nan")),
        ("d=4", *random_data(40, 4, 2), 0.5, float("nan")),
    ]
    for name, x, y, beta, expected in problems:
        start = time.process_time()
        found = train_global(x, y, beta)
        seconds = time.process_time() - start
        checked = check_seconds(found.certificate.statements)
        primal, gap = found.certificate.primal.value, found.certificate.relative_gap
        yield (
            f"{name},{len(x)},{x.shape[1]},{beta},{expected},{primal:.12f},{gap:.2e},{seconds:.2f},{checked:.2f},"
            f"{len(found.outer)},{len(found.steps)}"
        )


def soundness():
    """T6: 500 random weight sets on 50 problems; dual <= certified optimum <= primal, and every certificate checked."""
    yield "problems,weight_sets,violations,checked,median_relative_gap,sharpest_relative_gap"
    violations, checked, gaps = 0, 0, []
    for seed in range(50):
        rng = np.random.default_rng(1000 + seed)
        n, d = int(rng.integers(2, 41)), int(rng.integers(1, 4))
        x, y, beta = rng.normal(size=(n, d)), rng.normal(size=n), float(10.0 ** rng.uniform(-2, 0))
        optimum = train_global(x, y, beta)
        low, high = optimum.certificate.dual.value, optimum.certificate.primal.value
        for number in range(10):
            width = int(rng.integers(1, 60))
            w, a = rng.normal(size=(width, d)) / np.sqrt(d), rng.normal(size=width) / np.sqrt(width)
            if number % 2:
                w, a = train_locally(optimum.problem, w, a, iterations=int(rng.integers(1, 500)))
            found = certify(x, y, w, a, beta)
            violations += not (found.dual.value <= high and found.primal.value >= low)
            gaps.append(found.relative_gap)
            check(found.statements)
            checked += 1
    yield f"50,{len(gaps)},{violations},{checked},{np.median(gaps):.2e},{min(gaps):.2e}"


def line():
    """T7: the spline with the least total variation of the slope."""
    yield "n,beta,primal,total_variation,knots,relative_gap,seconds,check_seconds"
    for n, beta in ((200, 0.5), (200, 0.05), (10_000, 0.5), (100_000, 0.5), (100_000, 5.0)):
        x, y = family(n, 2)
        start = time.process_time()
        found = total_variation_spline(x[:, 0], y, beta)
        seconds = time.process_time() - start
        checked = check_seconds(found.statements)
        value = found.primal.value
        yield (
            f"{n},{beta},{value:.12f},{found.total_variation:.9f},{len(found.knots)},{found.gap.value / value:.2e},"
            f"{seconds:.2f},{checked:.2f}"
        )


def wide():
    """T23: what can be certified in many dimensions, and how much of it is the fault of the relaxation in few."""
    yield "n,d,beta,primal,dual,relative_gap,exact_optimum,seconds,check_seconds"
    for n, d, beta in ((40, 2, 0.3), (40, 3, 0.3), (100, 10, 1.0), (100, 10, 0.1), (100, 10, 10.0), (200, 20, 1.0)):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(n, d))
        y = np.sin(x[:, 0]) + 0.3 * rng.normal(size=n)
        problem = TwoLayerProblem(x, y, beta)
        w, a = train_locally(problem, rng.normal(size=(100, d)) / np.sqrt(d), rng.normal(size=100) / 10)
        start = time.process_time()
        found = relaxed_certificate(problem, two_layer_network(w, a))
        seconds = time.process_time() - start
        checked = check_seconds(found.statements)
        exact = train_global(x, y, beta).certificate.dual.value if d <= 3 else float("nan")
        yield (
            f"{n},{d},{beta},{found.primal.value:.6f},{found.dual.value:.6f},{found.relative_gap:.3f},{exact:.6f},"
            f"{seconds:.2f},{checked:.2f}"
        )


PARTS = {part.__name__: part for part in (optima, soundness, line, wide)}


def main():
    """Run the parts that are named, or all."""
    RESULTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PARTS:
        with (RESULTS / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for text in PARTS[name]():
                writer.writerow(text.split(","))
                file.flush()
                print(text, flush=True)


if __name__ == "__main__":
    main()
