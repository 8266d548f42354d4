"""Every bound of ranges, Lipschitz constants and distances against samples, local search and the exact cells.

    python benchmarks/distance/soundness.py [NETWORKS]     # 200 networks by default; writes results/soundness.csv

For each random network, with 1 to 5 inputs and one of ten activations: 10^5 points of the box, half of them corners,
and 1,000 local searches; where it is piecewise linear with at most 3 inputs, the exact values too. README.md says more.
"""

from __future__ import annotations

import csv
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

import epsnet as en
from epsnet.certify.errors import HypothesisError
from epsnet.enclosure.distance import distance, ranges
from epsnet.enclosure.exact_values import exact_distance, exact_lipschitz, exact_ranges
from epsnet.enclosure.gradients import sampled_lipschitz
from epsnet.enclosure.lipschitz import lipschitz_bounds

NAMES = ("relu", "leaky_relu(0.125)", "abs", "tanh", "sigmoid", "erf", "gelu", "silu", "softplus", "sin")
POINTS, STARTS, STEPS = 10**5, 1000, 40
FLOAT = 1e-11
"""What float64 evaluation may add to a value, relative to 1 + its size."""


def random_pair(generator: np.random.Generator, name: str) -> tuple[en.Network, en.Network, en.Box]:
    """Return a network, a disturbed copy, and a box."""
    d, depth, m = (int(generator.integers(1, top)) for top in (6, 4, 3))
    widths = [d, *generator.integers(1, 9, depth).tolist(), m]
    noise = 10.0 ** generator.uniform(-4, 0)
    both: list[list] = [[], []]
    for i, o in pairwise(widths):
        weight, bias = generator.standard_normal((o, i)) * np.sqrt(2 / i), generator.uniform(-1, 1, o)
        both[0].append((weight, bias))
        both[1].append((weight + noise * generator.standard_normal((o, i)), bias + noise * generator.uniform(-1, 1, o)))
    low = generator.uniform(-2, 0, d)
    box = en.Box(low.tolist(), (low + generator.uniform(0.01, 3, d)).tolist())
    one, two = (en.Network.from_layers(layers, activation=name) for layers in both)
    return one, two, box


def largest(function, low, high, generator) -> np.ndarray:
    """Return the largest value of each column of a function that points and local searches find."""
    points = generator.uniform(low, high, (POINTS, len(low)))
    points[::2] = np.where(generator.random((POINTS // 2, len(low))) < 0.5, low, high)
    values = function(points)
    best = values.max(axis=0)
    for column in range(values.shape[1]):
        order = np.argsort(-values[:, column])
        chosen = np.concatenate((order[: STARTS // 2], generator.integers(0, POINTS, STARTS // 2)))
        own, height = points[chosen], values[chosen, column]
        for step in 0.5 ** np.linspace(1, 20, STEPS):
            tried = np.clip(own + step * (high - low) * generator.standard_normal(own.shape), low, high)
            reached = function(tried)[:, column]
            better = reached > height
            own, height = np.where(better[:, None], tried, own), np.where(better, reached, height)
        best[column] = max(best[column], height.max())
    return best


def examine(seed: int) -> dict:
    """Return how many bounds of one network were tried, and how many failed."""
    generator = np.random.default_rng(seed)
    one, two, box = random_pair(generator, NAMES[seed % len(NAMES)])
    low, high = (np.array([float(end) for end in ends]) for ends in (box.lower, box.upper))
    count = one.outputs
    pairs: list[tuple[float, float]] = []  # what was found, and what it may not exceed

    def outputs(x):
        y = en.realize(one, x).reshape(-1, count)
        return np.concatenate((y, -y), axis=1)

    def apart(x):
        return np.abs(en.realize(one, x) - en.realize(two, x)).reshape(-1, count).max(axis=1, keepdims=True)

    tops = ranges(one, box, gap=0.05, boxes=2000)
    uppers = [found.upper.value for found in tops.maxima] + [-found.lower.value for found in tops.minima]
    pairs += list(zip(largest(outputs, low, high, generator).tolist(), uppers, strict=True))
    gap = distance(one, two, box, gap=0.2, boxes=2000)
    pairs.append((float(largest(apart, low, high, generator)[0]), gap.upper.value))
    inside = generator.uniform(low, high, (STARTS, len(low)))
    sampled = sampled_lipschitz(one, low, high, inside, seed)
    constants = lipschitz_bounds(one, box, sampled)
    pairs += [(sampled[norm], found.bound.value) for norm, found in constants.items()]
    exact = 0
    if one.inputs <= 3:
        try:
            values = exact_ranges(one, box)
            shortest, longest, _ = exact_lipschitz(one, box)
            between = exact_distance(one, two, box)
        except HypothesisError:  # not piecewise linear
            pass
        else:
            exact = 1
            highs = [found.lower.value for found in values.maxima] + [-found.upper.value for found in values.minima]
            pairs += list(zip(highs, uppers, strict=True))
            pairs += [(shortest.value, constants["sup"].bound.value), (between.lower.value, gap.upper.value)]
            pairs += [(gap.lower.value, between.upper.value), (sampled["sup"], longest.value)]
    failed = sum(found > bound + FLOAT * (1 + abs(found)) for found, bound in pairs)
    return {"seed": seed, "activation": NAMES[seed % len(NAMES)], "inputs": one.inputs, "exact": exact,
            "bounds": len(pairs), "violated": failed}  # fmt: skip


def main() -> None:
    """Examine the networks and write the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rows = []
    for seed in range(number):
        rows.append(examine(seed))
        if rows[-1]["violated"]:
            print(rows[-1])
    path = Path(__file__).parent / "results/soundness.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    total = {key: sum(row[key] for row in rows) for key in ("exact", "bounds", "violated")}
    print(
        f"{number} networks, {total['exact']} with exact values: {total['bounds']} bounds, {total['violated']} violated"
    )


if __name__ == "__main__":
    main()
