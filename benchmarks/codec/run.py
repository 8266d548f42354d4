"""Bytes, accuracy and agreement of the digits network 64-300-100-10 in `.eps` files, beside published coders.

    OMP_NUM_THREADS=1 python benchmarks/codec/run.py

The networks: scikit-learn's MLPClassifier((300, 100)), seeds 0, 1 and 2, on the digits of scikit-learn scaled to
[0, 1], 1,200 for training and 597 for the test, split by the same seed. Gram matrices are those of the training points;
nothing is retrained.
Agreement counts the test points where the decoded network predicts what the float network does. Results are written to
results/digits.csv beside this file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from epsnet.codec.format import decode, encode, length_bound
from epsnet.codec.quantize import quantize, round_weights
from epsnet.core.network import Network
from epsnet.core.realize import realize

SEEDS = (0, 1, 2)
SHARES = (1.6, 0.8, 0.4)
"""The steps of the layers in proportion: the first bear more, see `quantize`."""


def digits(seed: int) -> tuple[Network, np.ndarray, np.ndarray, np.ndarray]:
    """Return the trained network, the training points, the test points and their labels."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, train_size=1200, test_size=597, random_state=seed)
    train, test, train_labels, test_labels = map(np.asarray, split)
    model = MLPClassifier((300, 100), random_state=seed, max_iter=300).fit(train, train_labels)
    pairs = zip(model.coefs_, model.intercepts_, strict=True)
    return Network.from_layers([(weight.T, bias) for weight, bias in pairs]), train, test, test_labels


def measure(seed: int) -> Iterator[tuple[object, ...]]:
    """Yield a row for the float network, for plain rounding and for the quantizer at several steps."""
    network, train, test, labels = digits(seed)
    float_values = realize(network, test)
    cases = [("float64", 0.0, network)]
    cases += [("round", step, round_weights(network, [step] * 3)) for step in (0.02, 0.04, 0.06, 0.08)]
    for step in (0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04):
        cases.append(("quantize", step, quantize(network, train, [step * share for share in SHARES])))
    for method, step, coded in cases:
        content = encode(coded)
        found = decode(content)
        if found.sha256 != coded.sha256:
            raise SystemExit("The decoded network is another.")
        values = realize(found, test)
        right = (values.argmax(axis=1) == labels).mean()
        same = (values.argmax(axis=1) == float_values.argmax(axis=1)).mean()
        error = np.sqrt(((values - float_values) ** 2).sum(axis=1).mean())
        numbers = (f"{number:.4f}" for number in (right, same, error))
        yield seed, method, step, len(content), -(-length_bound(coded) // 8), coded.size.weights, *numbers


def main() -> None:
    """Measure and write the table."""
    with (Path(__file__).parent / "results" / "digits.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ("seed", "method", "step", "bytes", "bound", "nonzero", "accuracy", "agreement", "error of the outputs")
        )
        for seed in SEEDS:
            for row in measure(seed):
                writer.writerow(row)
                print(*row, flush=True)


if __name__ == "__main__":
    main()
