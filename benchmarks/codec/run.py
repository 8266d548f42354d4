"""Bytes, accuracy and agreement of the digits network 64-300-100-10 in `.eps` files.

    OMP_NUM_THREADS=1 python benchmarks/codec/run.py [FOLDER]

The networks: scikit-learn's MLPClassifier((300, 100)), seeds 0 to 4, on the digits of scikit-learn scaled to [0, 1],
1,200 for training and 597 for the test, split by the same seed. The points of the quantizer are those of the training;
nothing is retrained, and no label and no test point is used. All networks of the family `candidates` are measured: a
budget of bytes decides which one counts, the largest within it. The largest within 2,000 bytes is also retrained on its
grids, with the labels of the training points. Agreement counts the test points where the decoded
network predicts what the float network does. Results go to results/digits.csv; the float networks go to FOLDER, for
peer.py.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from epsnet.codec.format import decode, encode, length_bound
from epsnet.codec.quantize import round_weights
from epsnet.compression.rate import candidates
from epsnet.compression.retrain import retrain
from epsnet.core.network import Network
from epsnet.core.realize import realize

SEEDS = range(5)
LEVELS = 11
SMALL = 2000


def digits(seed: int) -> tuple[Network, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the trained network, the training points, the test points, and the labels of both."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, train_size=1200, test_size=597, random_state=seed)
    train, test, train_labels, test_labels = map(np.asarray, split)
    model = MLPClassifier((300, 100), random_state=seed, max_iter=300).fit(train, train_labels)
    pairs = zip(model.coefs_, model.intercepts_, strict=True)
    return Network.from_layers([(weight.T, bias) for weight, bias in pairs]), train, test, train_labels, test_labels


def export(network: Network, inputs: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Write the network in float32 with the test points and the predictions of the float64 network."""
    tables = {}
    for number, layer in enumerate(network.layers):
        rows, columns, entries = layer.terms[0][1].entries()
        matrix = np.zeros(layer.terms[0][1].shape, np.float32)
        matrix[rows, columns] = entries
        tables |= {f"A{number}": matrix, f"b{number}": np.asarray(layer.bias, np.float32)}
    predicted = realize(network, inputs).argmax(axis=1)
    np.savez(path, **tables, inputs=inputs.astype(np.float32), labels=labels, predicted=predicted)


def measure(seed: int, folder: Path | None) -> Iterator[tuple[object, ...]]:
    """Yield a row for the float network, for plain rounding and for each network of the family."""
    network, train, test, train_labels, labels = digits(seed)
    if folder is not None:
        export(network, test, labels, folder / f"digits{seed}.npz")
    float_values = realize(network, test)
    cases = [("float64", network)]
    cases += [(f"round {step}", round_weights(network, [step] * 3)) for step in (0.02, 0.04, 0.06, 0.08)]
    family = list(candidates(network, train, LEVELS))
    cases += [(f"level {level}", found) for level, found in enumerate(family)]
    small = [found for found in family if len(encode(found)) <= SMALL][-1]
    cases.append(("retrained", retrain(small, train, train_labels, on_grid=True, epochs=60, batch_size=50)))
    for method, coded in cases:
        content = encode(coded)
        found = decode(content)
        if found.sha256 != coded.sha256:
            raise SystemExit("The decoded network is another.")
        values = realize(found, test)
        right = (values.argmax(axis=1) == labels).mean()
        same = (values.argmax(axis=1) == float_values.argmax(axis=1)).mean()
        error = np.sqrt(((values - float_values) ** 2).sum(axis=1).mean())
        numbers = (f"{number:.4f}" for number in (right, same, error))
        yield seed, method, len(content), -(-length_bound(coded) // 8), coded.size.weights, *numbers


def main() -> None:
    """Measure and write the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with (Path(__file__).parent / "results" / "digits.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("seed", "method", "bytes", "bound", "nonzero", "accuracy", "agreement", "error of the outputs")
        )
        for seed in SEEDS:
            for row in measure(seed, folder):
                writer.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()
