"""Certified error against bits for the fixed MLP "A", 2-64-64-1 with ReLU, on [0, 1]^2.

    OMP_NUM_THREADS=1 python benchmarks/compression/mlp_a.py [BITS_PER_WEIGHT ...]

The weights of A: numpy.random.default_rng(0), layer by layer, the matrix standard normal times sqrt(2 / inputs), then
the bias standard normal times 0.1. Every error is the exact maximum over the box, from the cells of the difference
(kind VERIFIED, re-derived by the checker); nothing is sampled. Results are written to results/mlp_a.csv beside this.
"""

from __future__ import annotations

import csv
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from epsnet.certify.domain import Box
from epsnet.checker.kernel import check
from epsnet.codec.format import encode
from epsnet.compression.compress import compress
from epsnet.core.network import Network

WIDTHS = (2, 64, 64, 1)
BOX = Box([0, 0], [1, 1])
EPS = (1.1e-1, 2.7e-2, 1.3e-2, 7.4e-3, 2.7e-3, 1e-3)
"""The errors of the published table: of NNCodec and of a prototype, on a network of the same shape."""


def mlp_a() -> Network:
    """Return the network."""
    generator = np.random.default_rng(0)
    layers = []
    for inputs, outputs in pairwise(WIDTHS):
        weight = generator.standard_normal((outputs, inputs)) * np.sqrt(2 / inputs)
        layers.append((weight, 0.1 * generator.standard_normal(outputs)))
    return Network.from_layers(layers)


def main() -> None:
    """Compress for each accuracy and write the table."""
    network = mlp_a()
    whole = network.size.weights
    with (Path(__file__).parent / "results" / "mlp_a.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("eps", "certified", "bits", "bits per weight of A", "weights", "neurons", "recipe", "seconds"))
        for eps in [float(text) for text in sys.argv[1:]] or EPS:
            start = time.process_time()
            found = compress(network, BOX, eps=eps)
            check(found)
            bits = 8 * len(encode(found.network))
            row = (
                eps, found.error.value, bits, round(bits / whole, 3), found.size.weights, found.size.neurons,
                found.stats["recipe"], round(time.process_time() - start, 1),
            )  # fmt: skip
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)


if __name__ == "__main__":
    main()
