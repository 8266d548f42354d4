"""NNCodec 2.1.3 (ISO/IEC 15938-17) over its settings, on the networks that run.py and lenet.py export.

    python3 -m venv NN
    NN/bin/pip install "torch==2.13.0+cpu" "numpy<2" Click scikit-learn tqdm h5py pybind11 pandas setuptools wheel
    NN/bin/pip install --no-deps opencv-python-headless ptflops torchmetrics lightning-utilities packaging
    NN/bin/pip install --no-deps --no-build-isolation nncodec==2.1.3
    NN/bin/python benchmarks/codec/peer.py FOLDER

Every FOLDER/NAME.npz holds A0, b0, A1, ... in float32, test inputs and labels, and the classes that the float network
predicts. All settings are tried: qp, dependent quantization on or off, qp of the biases, offsets of the qp between the
layers, and rate-distortion optimized quantization off or on (lambda_scale); per file the row of each setting goes to
results/nncodec_NAME.csv. Who reads the best row of it has chosen the settings by the test points.
Its coder of parameters uses no torchvision: an empty stand-in takes its place at import.
"""

from __future__ import annotations

import csv
import itertools
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

for name in ("", ".datasets", ".transforms", ".models", ".ops", ".transforms.functional"):
    sys.modules["torchvision" + name] = MagicMock()

from nncodec import nnc  # noqa: E402

QPS = range(-23, -8)
DEPENDENT = (False, True)
BIAS_QPS = (-30,)
OFFSETS = ((0, 0, 0), (0, -2, -4), (2, 0, -4))
LAMBDAS = (0, 1)


def values(parameters: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """Return the outputs of the ReLU network."""
    depth = len(parameters) // 2
    for number in range(depth):
        inputs = inputs @ parameters[f"A{number}"].T + parameters[f"b{number}"]
        if number < depth - 1:
            inputs = np.maximum(inputs, 0)
    return inputs


def main() -> None:
    """Measure all files of the folder."""
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        stored = dict(np.load(path))
        inputs, labels, predicted = (stored.pop(name) for name in ("inputs", "labels", "predicted"))
        with (Path(__file__).parent / "results" / f"nncodec_{path.stem}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("qp", "dependent", "bias qp", "offsets", "lambda", "bytes", "accuracy", "agreement"))
            for setting in itertools.product(QPS, DEPENDENT, BIAS_QPS, OFFSETS, LAMBDAS):
                qp, dependent, bias_qp, offsets, scale = setting
                content = nnc.compress(
                    stored, bitstream_path=None, return_bitstream=True, qp=qp, use_dq=dependent, nonweight_qp=bias_qp,
                    qp_per_tensor={f"A{k}": qp + offset for k, offset in enumerate(offsets)}, lambda_scale=scale,
                )  # fmt: skip
                found = values(nnc.decompress(content), inputs).argmax(axis=1)
                right, same = (found == labels).mean(), (found == predicted).mean()
                writer.writerow((qp, dependent, bias_qp, offsets, scale, len(content), f"{right:.4f}", f"{same:.4f}"))


if __name__ == "__main__":
    main()
