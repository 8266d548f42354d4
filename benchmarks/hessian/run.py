"""Spectra of Hessians by epsnet and by PyHessian, against a closed form in balls and in float64.

    python run.py networks DIRECTORY     trains the networks and writes DIRECTORY/P.npz
    pyhessian/bin/python peer.py DIRECTORY > results/pyhessian.csv
    python run.py compare DIRECTORY      writes results/errors.csv and results/density.csv

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1; seconds are those of the clock, with compilation.
"""

import csv
import sys
import time
from pathlib import Path

import numpy as np
from flint import arb, ctx

from epsnet import diff
from epsnet.optimization.hessian import extreme_eigenvalues, hessian, network_objective, spectral_density, spectrum

RESULTS = Path(__file__).parent / "results"
CASES = {325: ([10, 20, 5], 100), 1968: ([40, 40, 8], 400)}
TOP = 5


def networks(directory):
    """Train tanh networks [d, h, K] on Gaussian inputs with the labels of a random linear map, 5 % of them replaced."""
    for size, (widths, count) in CASES.items():
        rng = np.random.Generator(np.random.Philox(size))
        x = rng.normal(size=(count, widths[0]))
        y = (x @ rng.normal(size=(widths[0], widths[-1]))).argmax(axis=1)
        y = np.where(rng.random(count) < 0.05, rng.integers(0, widths[-1], count), y)
        (a1, b1), (a2, b2) = diff.fit(x, y, widths, activation="tanh", epochs=30, batch_size=20).layers
        np.savez(directory / f"{size}.npz", a1=a1, b1=b1, a2=a2, b2=b2, x=x, y=y)


def exact_hessian(a1, b1, a2, b2, x, y):
    """Return the Hessian of the mean cross entropy of a2 tanh(a1 x + b1) + b2, in the numbers of the arguments.

    With p the softmax, r = p - e_y, S = diag p - p p^T and J the derivative of the logits it is the mean over the
    examples of J^T S J + sum_c r_c D^2 z_c. Order of the weights: a1 by rows, b1, a2 by rows, b2.
    """
    (hidden, inputs), classes, one = a1.shape, len(a2), x[:, :1] * 0 + 1
    h = np.tanh(x @ a1.T + b1)
    z = np.exp(h @ a2.T + b2)
    p = z / z.sum(axis=1, keepdims=True)
    r = p - (y[:, None] == np.arange(classes)).astype(int)
    wide, slope = np.hstack([x, one]), 1 - h * h
    # Row k of [a1, b1], then row c of [a2, b2]; put into order at the end.
    first = (slope[:, None, :] * a2)[..., None] * wide[:, None, None, :]
    second = np.eye(classes, dtype=int)[None, :, :, None] * np.hstack([h, one])[:, None, None, :]
    jacobian = np.concatenate([first.reshape(len(x), classes, -1), second.reshape(len(x), classes, -1)], axis=2)
    weighted = p[:, :, None] * (jacobian - (p[:, :, None] * jacobian).sum(axis=1, keepdims=True))
    full = jacobian.reshape(-1, jacobian.shape[2]).T @ weighted.reshape(-1, jacobian.shape[2])
    bend, start = (r @ a2) * -2 * h * slope, hidden * (inputs + 1)
    for k in range(hidden):
        rows = slice(k * (inputs + 1), (k + 1) * (inputs + 1))
        full[rows, rows] += wide.T @ (bend[:, k : k + 1] * wide)
        mixed = r.T @ (slope[:, k : k + 1] * wide)
        for c in range(classes):
            place = start + c * (hidden + 1) + k
            full[place, rows] += mixed[c]
            full[rows, place] += mixed[c]
    blocks = [np.arange(start).reshape(hidden, -1), np.arange(start, len(full)).reshape(classes, -1)]
    order = np.concatenate([part.ravel() for block in blocks for part in (block[:, :-1], block[:, -1])])
    return full[np.ix_(order, order)] / len(x)


def exact_eigenvalues(matrix):
    """Return the eigenvalues of a symmetric matrix, increasing, and how far off they are at most.

    For a float64 basis Q with |Q^T Q - I| <= e the eigenvalues of M = Q^T H Q are those of H times factors in
    [1 - e, 1 + e] (Ostrowski), and within the largest row sum of |M - D| of the entries of its diagonal D (Weyl).
    """
    q = np.linalg.eigh(np.asarray(matrix, dtype=np.float64))[1]
    basis = in_numbers(q, matrix.dtype)
    turned, gram = basis.T @ (matrix @ basis), basis.T @ basis
    diagonal = np.sort(np.diag(turned).astype(np.float64))
    beside = float(np.abs(turned - np.diag(np.diag(turned))).sum(axis=1).max())
    defect = float(np.abs(gram - np.eye(len(q), dtype=int)).sum(axis=1).max())
    return diagonal, beside + 2 * defect * float(np.abs(diagonal).max())


def in_numbers(values, dtype):
    """Return an array in balls for dtype object, in the dtype otherwise."""
    return np.asarray(values, dtype=dtype) if dtype.kind == "f" else np.vectorize(arb, otypes=[object])(values)


def compare(directory):
    """Write the errors of both programs, and the integral of the density."""
    with (RESULTS / "pyhessian.csv").open() as file:
        peers = list(csv.DictReader(file))
    with (RESULTS / "errors.csv").open("w") as table, (RESULTS / "density.csv").open("w") as densities:
        write(
            table, "weights,program,setting,largest_eigenvalue,five_eigenvalues,trace,seconds_eigenvalues,seconds_trace"
        )
        write(densities, "weights,integral_minus_1,trace_relative_error,trace_standard_error,seconds")
        for size in CASES:
            data = dict(np.load(directory / f"{size}.npz"))
            y, ctx.prec = data.pop("y"), 160
            dtype = np.dtype(object if size < 1000 else np.float64)
            start = time.perf_counter()
            exact = exact_hessian(**{name: in_numbers(part, dtype) for name, part in data.items()}, y=y)
            truth, radius = exact_eigenvalues(exact)
            trace = float(np.trace(exact))
            seconds = time.perf_counter() - start
            print(f"# P = {size}: eigenvalues within {radius:.1e} in {seconds:.0f} s", flush=True)
            top = truth[np.argsort(-np.abs(truth))][:TOP]
            numbers = "float64" if dtype.kind == "f" else "balls"
            write(table, f"{size},reference,{numbers},{radius / top[0]:.1e},{radius / abs(top[-1]):.1e},,,")

            layers = [(data["a1"], data["b1"]), (data["a2"], data["b2"])]
            objective, theta = network_objective(layers, data["x"], y, activation="tanh")
            start = time.perf_counter()
            found = spectrum(hessian(objective, theta))
            seconds = time.perf_counter() - start
            every = np.abs(found.eigenvalues - truth).max()
            own = found.eigenvalues[np.argsort(-np.abs(found.eigenvalues))][:TOP]
            print(f"# all {size} eigenvalues within {every:.1e}, inertia {tuple(found.inertia)}", flush=True)
            write(table, row(size, "epsnet", "spectrum", own, top, found.trace, trace, seconds, seconds))
            start = time.perf_counter()
            ends = np.concatenate(extreme_eigenvalues(objective.hessian_product(theta), size, TOP))
            own = ends[np.argsort(-np.abs(ends))][:TOP]
            seconds = time.perf_counter() - start
            write(table, row(size, "epsnet", "extreme_eigenvalues", own, top, np.nan, trace, seconds, np.nan))
            peer(table, [line for line in peers if line["weights"] == str(size)], size, top, trace)

            start = time.perf_counter()
            density = spectral_density(objective.hessian_product(theta), size)
            seconds = time.perf_counter() - start
            reach = 12 * density.width
            grid = np.linspace(density.nodes.min() - reach, density.nodes.max() + reach, 40_001)
            integral, (mean, error) = np.trapezoid(density(grid), grid) - 1, density.trace
            write(densities, f"{size},{integral:.1e},{abs(mean / trace - 1):.1e},{error / trace:.1e},{seconds:.2f}")


def row(size, program, setting, own, top, own_trace, trace, first, second):
    """Return a line of relative errors."""
    errors = np.abs(own - top) / np.abs(top)
    return (
        f"{size},{program},{setting},{errors[0]:.1e},{errors.max():.1e},{abs(own_trace / trace - 1):.1e},"
        f"{first:.2f},{second:.2f}"
    )


def peer(table, lines, size, top, trace):
    """Write the median and the worst of PyHessian's errors over its seeds, for each setting."""
    for setting in dict.fromkeys(line["setting"] for line in lines):
        own = [line for line in lines if line["setting"] == setting]
        values = np.array([[float(part) for part in line["eigenvalues"].split()] for line in own])
        errors = np.abs(values - top) / np.abs(top)
        traces = np.abs(np.array([float(line["trace"]) for line in own]) / trace - 1)
        first, second = (
            np.median([float(line[f"seconds_{name}"]) for line in own]) for name in ("eigenvalues", "trace")
        )
        for name, part in (("median", np.median), ("worst", np.max)):
            numbers = (part(errors[:, 0]), part(errors.max(axis=1)), part(traces))
            text = ",".join(f"{number:.1e}" for number in numbers)
            write(table, f"{size},PyHessian,{setting}; {name} of {len(own)} seeds,{text},{first:.2f},{second:.2f}")


def write(file, text):
    """Write a line, and show it."""
    file.write(f"{text}\n")
    file.flush()
    print(text, flush=True)


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    {"networks": networks, "compare": compare}[sys.argv[1]](Path(sys.argv[2]))
