"""Certified distances of networks to their rounded copies, and a hostile test of the bounds.

    python benchmarks/distance/run.py NETWORKS MNIST [acas] [mnist] [soundness]

NETWORKS is a folder with acasxu_1_1.onnx, acasxu_2_3.onnx and mnist_256x2.onnx (VNN-COMP 2021), MNIST one with the IDX
files of the test set. Results are appended to results/*.jsonl beside this file. README.md says what is measured.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from epsnet.certify.domain import Box
from epsnet.checker.kernel import check
from epsnet.core.differential import Differential, aligned, beside_zero, chain
from epsnet.core.linear_maps import Dense
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.enclosure.distance import distance
from epsnet.enclosure.linear_bounds import output_range
from epsnet.interop import load_onnx

RESULTS = Path(__file__).parent / "results"
MEAN = np.array([19791.091, 0.0, 0.0, 650.0, 600.0])
RANGE = np.array([60261.0, 2 * np.pi, 2 * np.pi, 1100.0, 1200.0])
PROPERTIES = {
    4: ([1500, -0.06, 0, 1000, 700], [1800, 0.06, 1e-6, 1200, 800]),
    3: ([1500, -0.06, 3.1, 980, 960], [1800, 0.06, 3.141592, 1200, 1200]),
    1: ([55947.691, -3.141592, -3.141592, 1145, 0], [60760, 3.141592, 3.141592, 1200, 60]),
}
BEST_KNOWN = {4: 1.9627e-3, 3: 1.7506e-3, 1: 4.984e-5}
SECONDS = {4: 60, 3: 300, 1: 180}


def mapped(network, weights, biases=lambda b: b):
    """Return the network with changed weights and biases."""
    layers = [
        replace(layer, terms=((source, Dense(weights(linear.weight))),), bias=biases(layer.bias))
        for layer in network.layers
        for source, linear in layer.terms
    ]
    return Network(network.inputs, tuple(layers))


def half(array):
    """Round to float16."""
    return array.astype(np.float16).astype(np.float64)


def eight_bits(weight, axis):
    """Symmetric, round to nearest, scale max |w| / 127 of the whole matrix (axis None) or of each row (axis 1)."""
    scale = np.abs(weight).max(axis=axis, keepdims=True) / 127
    return np.round(weight / np.where(scale > 0, scale, 1.0)) * scale


def write(name, **row):
    """Append a result."""
    RESULTS.mkdir(exist_ok=True)
    print(name, row, flush=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def acas(networks, _):
    """Bracket the distance of ACAS Xu networks to their float16 copies on the boxes of three properties."""
    for name in ("acasxu_1_1", "acasxu_2_3"):
        network = load_onnx(networks / f"{name}.onnx")
        rounded = mapped(network, half, half)
        for number, (low, high) in PROPERTIES.items():
            lower, upper = ((np.array(end) - MEAN) / RANGE for end in (low, high))
            box = Box(lower.tolist(), upper.tolist())
            wall, cpu = time.perf_counter(), time.process_time()
            found = distance(network, rounded, box, gap=0.0999, seconds=SECONDS[number])
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            start = time.process_time()
            check(found.solution)
            write(
                "acas", network=name, property=number, lower=found.lower.value, upper=found.upper.value,
                ratio=found.upper.value / found.lower.value, boxes=found.boxes, complete=found.complete, wall_s=wall,
                cpu_s=cpu, check_cpu_s=time.process_time() - start,
                of_best_known=found.lower.value / BEST_KNOWN[number] if name == "acasxu_1_1" else None,
            )  # fmt: skip


def mnist(networks, data):
    """Bound the distance of a digit network to its 8-bit copies on balls around digits, as one box each."""
    network = load_onnx(networks / "mnist_256x2.onnx")
    images = gzip.decompress((data / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    digits = np.frombuffer(images, np.uint8).reshape(-1, 784)[:20] / 255
    for quantizer, axis in (("per row", 1), ("per matrix", None)):
        rounded = mapped(network, lambda weight, axis=axis: eight_bits(weight, axis))
        stages, other = chain(network), chain(rounded)
        for index, digit in enumerate(digits):
            lower, upper = np.maximum(digit - 0.02, 0.0), np.minimum(digit + 0.02, 1.0)
            start = time.process_time()
            pair = Differential(stages, other, lower, upper)
            single, second = (Differential(*beside_zero(s), lower, upper) for s in (stages, other))
            identity, box = np.eye(10), (lower[None], upper[None])

            def bound(engine, functional, box=box):
                return engine.bounds(*box, engine.root, functional, np.ones((1, len(functional)), dtype=bool)).upper[0]

            change = bound(pair, np.concatenate((identity, -identity))).max()
            label = int(realize(network, digit).argmax())
            margins = np.delete(identity, label, axis=0) - identity[label]
            # the largest y_j - y_label of the original and of the copy, and how much more it can be for the copy
            own, direct, shift = bound(single, margins), bound(second, margins), bound(pair, -margins)
            seconds = time.process_time() - start
            low, high = output_range(network, (lower, upper))
            other_low, other_high = output_range(rounded, (lower, upper))
            separate = float(np.maximum(high - other_low, other_high - low).max())
            x = np.random.default_rng(index).uniform(lower, upper, (1000, 784))
            sampled = float(np.abs(realize(network, x) - realize(rounded, x)).max())
            write(
                "mnist", quantizer=quantizer, digit=index, upper=float(change), separate=separate,
                gain=separate / float(change), sampled=sampled, original_constant=bool((own < 0).all()),
                prediction_kept=bool((own < 0).all() and (np.minimum(direct, own + shift) < -1e-12).all()),
                cpu_s=seconds,
            )  # fmt: skip


def soundness(_, __):
    """No value at 10^5 points a network, half of them corners, and no local maximum may exceed its bound."""
    generator = np.random.default_rng(0)
    names = ["relu", "leaky_relu(0.125)", "abs", "tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "sin"]
    violations, closest = 0, 0.0
    for seed in range(200):
        d, depth, m = (int(generator.integers(1, top)) for top in (5, 4, 4))
        widths = [d, *generator.integers(1, 10, depth).tolist(), m]
        layers = [
            (generator.standard_normal((o, i)) * np.sqrt(2 / i), generator.uniform(-1, 1, o))
            for i, o in pairwise(widths)
        ]
        first = Network.from_layers(layers, activation=names[seed % len(names)])
        noise = 10.0 ** generator.uniform(-6, 0)

        def moved(array, noise=noise):
            return array + noise * generator.standard_normal(array.shape)

        second = mapped(first, moved, moved)
        lower = generator.uniform(-2, 0, d)
        upper = lower + generator.uniform(0.01, 3, d)
        engine = Differential(*aligned(chain(first), chain(second)), lower, upper)
        center = generator.uniform(lower, upper, (100, d))
        reach = (upper - lower) * generator.choice([1.0, 0.3, 0.03, 0.001], (100, 1))
        low, high = np.maximum(center - reach, lower), np.minimum(center + reach, upper)
        functional = np.concatenate((np.eye(m), -np.eye(m)))
        sides = np.repeat(engine.root, 100, axis=0)
        found = engine.bounds(low, high, sides, functional, np.ones((100, 2 * m), dtype=bool)).upper
        best = np.full((100, 2 * m), -np.inf)
        for part in range(10):
            x = generator.uniform(low, high, (100, 100, d))
            if part % 2:
                x = np.where(generator.random(x.shape) < 0.5, low, high)
            value = difference(first, second, x, functional)
            best = np.maximum(best, value.max(axis=0))
            top = np.take_along_axis(x, value.max(axis=2).argmax(axis=0)[None, :, None], axis=0)[0]
            for step in 0.5 ** np.arange(12):
                around = top + step * (high - low) * generator.standard_normal((20, 100, d))
                best = np.maximum(best, difference(first, second, np.clip(around, low, high), functional).max(axis=0))
        slack = 1e-11 * (1 + np.abs(best))
        violations += int((best > found + slack).sum())
        closest = max(closest, float((best / np.where(found != 0, found, 1.0)).max(where=found > 0, initial=0)))
    write("soundness", networks=200, boxes_each=100, points_each=10**5, violations=violations, largest_share=closest)


def difference(first, second, x, functional):
    """Return functional (y - y') at points (..., d)."""
    flat = x.reshape(-1, x.shape[-1])
    values = (realize(first, flat) - realize(second, flat)).reshape(len(flat), -1)
    return (values @ functional.T).reshape(*x.shape[:-1], -1)


if __name__ == "__main__":
    folders = Path(sys.argv[1]), Path(sys.argv[2])
    for task in sys.argv[3:] or ("acas", "mnist", "soundness"):
        {"acas": acas, "mnist": mnist, "soundness": soundness}[task](*folders)
