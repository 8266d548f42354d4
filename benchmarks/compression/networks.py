"""Published networks made smaller: exact reductions on boxes, then compression within a certified error.

    OMP_NUM_THREADS=1 python benchmarks/compression/networks.py NETWORKS [NAME ...]

NETWORKS is a folder with acasxu_1_1.onnx, mnist_256x2.onnx, mnist_256x4.onnx and test_small.onnx (VNN-COMP 2021).
Boxes: those of ACAS Xu properties 1, 3 and 4; for MNIST all images within 0.02 of a gray one; [0, 1] for the small
one. A reduction is exact, re-derived by the checker; the error on a box is certified. Results are appended to
results/networks.csv beside this.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import numpy as np

from epsnet.certify.domain import Box
from epsnet.certify.errors import CertificateError
from epsnet.checker.kernel import check
from epsnet.codec.format import encode
from epsnet.compression.compress import compress
from epsnet.compression.exact import reduce_exactly
from epsnet.core.network import Network
from epsnet.interop import load_onnx

MEAN = np.array([19791.091, 0.0, 0.0, 650.0, 600.0])
RANGE = np.array([60261.0, 2 * np.pi, 2 * np.pi, 1100.0, 1200.0])
PROPERTIES = {
    4: ([1500, -0.06, 0, 1000, 700], [1800, 0.06, 1e-6, 1200, 800]),
    3: ([1500, -0.06, 3.1, 980, 960], [1800, 0.06, 3.141592, 1200, 1200]),
    1: ([55947.691, -3.141592, -3.141592, 1145, 0], [60760, 3.141592, 3.141592, 1200, 60]),
}
EPS = 1e-2


def boxes(name: str, network: Network) -> dict[str, Box]:
    """Return the boxes by name."""
    if name.startswith("acas"):
        ends = {k: [((np.array(end) - MEAN) / RANGE).tolist() for end in pair] for k, pair in PROPERTIES.items()}
        return {f"property {k}": Box(low, high) for k, (low, high) in ends.items()}
    if name.startswith("mnist"):
        return {"gray 0.02": Box([0.48] * network.inputs, [0.52] * network.inputs)}
    return {"unit": Box([0] * network.inputs, [1] * network.inputs)}


def main() -> None:
    """Reduce and compress; append the rows."""
    folder, names = Path(sys.argv[1]), sys.argv[2:] or ["test_small", "acasxu_1_1", "mnist_256x2", "mnist_256x4"]
    path = Path(__file__).parent / "results" / "networks.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(("network", "box", "stage", "weights", "neurons", "bits", "certified", "recipe", "seconds"))

        def write(*row: object) -> None:
            writer.writerow(row)
            file.flush()
            print(*row, flush=True)

        for name in names:
            network = load_onnx(folder / f"{name}.onnx")
            write(name, "", "original", network.size.weights, network.size.neurons, 8 * len(encode(network)), "", "", 0)
            for where, box in boxes(name, network).items():
                start = time.process_time()
                reduced = reduce_exactly(network, box)
                seconds = round(time.process_time() - start, 1)
                check(reduced.solution)
                small, steps = reduced.network, " ".join(f"{kind} {n}" for kind, n in reduced.steps.items())
                bits = 8 * len(encode(small))
                write(name, where, "exact", small.size.weights, small.size.neurons, bits, 0, steps, seconds)
                if name.startswith("mnist"):
                    continue
                start = time.process_time()
                try:
                    found = compress(network, box, eps=EPS)
                except CertificateError as error:
                    write(name, where, f"eps {EPS}", "", "", "", "", str(error), round(time.process_time() - start, 1))
                    continue
                seconds = round(time.process_time() - start, 1)
                check(found)
                size, bits = found.size, 8 * len(encode(found.network))
                write(name, where, f"eps {EPS}", size.weights, size.neurons, bits, found.error.value,
                      found.stats["recipe"], seconds)  # fmt: skip


if __name__ == "__main__":
    main()
