"""LeNet-300-100 on MNIST: trained, quantized, retrained on its grids, stored; bytes and test errors.

    OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \
        python benchmarks/codec/lenet.py [FOLDER]

The network 784-300-100-10 (266,610 parameters, 1,066,440 bytes in float32) is trained by epsnet.diff.fit, seed 0. The
family `candidates` sees 4,000 training images; each of its networks that is at least 40 times smaller is retrained on
its grids with all training images and labels. Nothing is chosen by the test images, which are only counted at the end:
errors with their 95 % Clopper-Pearson interval, and the exact two-sided McNemar test of the errors against those of the
float network (lost: points that only the small network errs at; won: those that only the float network does). The step
size of the retraining is that of 0.03 and 0.06 with less training loss for one network.
Results go to results/lenet.csv; the float network, and one that `prune` and `retrain` made sparse, go to FOLDER, for
peer.py.
"""

from __future__ import annotations

import csv
import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from run import export

from epsnet import load_mnist
from epsnet.codec.format import decode, encode
from epsnet.compression.prune import prune
from epsnet.compression.rate import candidates
from epsnet.compression.retrain import retrain
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.diff import fit
from epsnet.statistics.binomial import clopper_pearson

LEVELS = 8
LEAST, MOST = 40, 150
SPARSE = 20_000
POINTS = 4000


def mcnemar(before: np.ndarray, after: np.ndarray) -> float:
    """Return the probability of so uneven a split of the points on which just one of both errs, if it were a coin's."""
    lost, won = int((after & ~before).sum()), int((before & ~after).sum())
    tail = sum(math.comb(lost + won, k) for k in range(max(lost, won), lost + won + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2 ** (lost + won))))


def interval(errors: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of C. J. Clopper and E. S. Pearson."""
    low = 1 - clopper_pearson(trials - errors, trials, Fraction(1, 40)) if errors else 0.0
    return low, clopper_pearson(errors, trials, Fraction(1, 40))


def main() -> None:
    """Train, make small, measure, write the table."""
    sample = load_mnist("train")
    inputs, labels = sample.matrix() / 255, sample.labels
    found = fit(
        sample.inputs, labels, (784, 300, 100, 10), epochs=20, step_size=1e-3, batch_size=100, weight_decay=1e-4
    )  # fmt: skip
    (matrix, bias), *others = found.layers
    network = Network.from_layers([(255 * matrix, bias), *others])
    points = inputs[np.random.default_rng(0).permutation(len(inputs))[:POINTS]]

    test = load_mnist("test")
    images = test.matrix() / 255
    size = 4 * sum(layer.outputs * (1 + layer.terms[0][1].shape[1]) for layer in network.layers)
    before = realize(network, images).argmax(axis=1)
    if len(sys.argv) > 1:
        export(network, images, test.labels, Path(sys.argv[1]) / "lenet.npz")
        sparse = retrain(prune(network, points, SPARSE), inputs, labels, epochs=10)
        export(sparse, images, test.labels, Path(sys.argv[1]) / "lenet_sparse.npz")

    with (Path(__file__).parent / "results" / "lenet.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("network", "bytes", "ratio", "nonzero", "error", "low", "high", "agreement", "McNemar p", "lost", "won")
        )

        def report(name: str, coded: Network, bytes_: int) -> None:
            after = realize(coded, images).argmax(axis=1)
            wrong, float_wrong = after != test.labels, before != test.labels
            counts = int((wrong & ~float_wrong).sum()), int((float_wrong & ~wrong).sum())
            row = (
                name, bytes_, f"{size / bytes_:.1f}", coded.size.weights, f"{wrong.mean():.4f}",
                *(f"{end:.4f}" for end in interval(int(wrong.sum()), len(wrong))), f"{(after == before).mean():.4f}",
                f"{mcnemar(float_wrong, wrong):.3f}", *counts,
            )  # fmt: skip
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)

        report("float32", network, size)
        for level, coded in enumerate(candidates(network, points, LEVELS)):
            length = len(encode(coded))
            report(f"level {level}", coded, length)
            if LEAST <= size / length <= MOST:
                content = encode(retrain(coded, inputs, labels, on_grid=True, epochs=6, step_size=0.03))
                report(f"level {level}, retrained", decode(content), len(content))


if __name__ == "__main__":
    main()
