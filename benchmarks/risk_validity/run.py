"""Do the risk certificates hold? 200 tasks with a known risk, each bound at delta = 0.1, and attempts to cheat.

    python benchmarks/risk_validity/run.py [tasks]

Writes results/validity.csv and results/cheats.csv.
"""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from epsnet.certify.errors import EpsnetError
from epsnet.data import Sample
from epsnet.generalization.certificates import NAMES, certify_unused
from epsnet.generalization.pac_bayes import certify_posterior
from epsnet.generalization.posterior import head, logistic_posterior
from epsnet.statistics.posterior import GaussianPosterior
from epsnet.studies.risk_bounds import DELTA, measure_task, task

RESULTS = Path(__file__).parent / "results"


def validity(tasks: int) -> None:
    """Count violations and take medians."""
    start, found = time.process_time(), []
    for number in range(tasks):
        found.append(measure_task(number))
        print(f"\r{number + 1} of {tasks}", end="", flush=True)
    print()
    allowed = float(DELTA) * tasks + 3 * math.sqrt(tasks * float(DELTA) * (1 - float(DELTA)))
    with (RESULTS / "validity.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["bound", "tasks", "violations", "allowed", "median_bound", "90_percent_below", "median_risk"])
        for key in NAMES:
            bounds = np.array([one["bounds"][key] for one in found])
            truths = np.array([one["truths"][key] for one in found])
            row = [key, tasks, int((truths > bounds).sum()), f"{allowed:.1f}", f"{np.median(bounds):.4f}"]
            table.writerow([*row, f"{np.quantile(bounds, 0.9):.4f}", f"{np.median(truths):.4f}"])
    print(f"{time.process_time() - start:.0f} CPU-seconds")


def cheats() -> None:
    """Try to certify what no theorem covers."""
    train, _ = task(0)
    raw, labels = train.matrix(), train.labels
    posterior = logistic_posterior(raw, labels, 2)
    values, vectors = np.linalg.eigh(np.cov(raw.T))

    def scaled(inputs: np.ndarray) -> Callable[[], object]:
        return lambda: certify_posterior(Sample(inputs, labels, "scaled", train.classes), posterior)

    weights = posterior.mean_weights()
    tuned = GaussianPosterior(0.123, weights, np.full_like(weights, -3.0))
    attempts: dict[str, Callable[[], object]] = {
        "standardized with its own mean and deviation": scaled((raw - raw.mean(axis=0)) / raw.std(axis=0)),
        "standardized, sample deviation": scaled((raw - raw.mean(axis=0)) / raw.std(axis=0, ddof=1)),
        "divided by its own deviation": scaled(raw / raw.std(axis=0)),
        "centered at its own mean": scaled(raw - raw.mean(axis=0)),
        "scaled to [0, 1] by its own range": scaled((raw - raw.min(axis=0)) / np.ptp(raw, axis=0)),
        "whitened with its own covariance": scaled((raw - raw.mean(axis=0)) @ vectors / np.sqrt(values)),
        "a prior width tuned on the sample": lambda: certify_posterior(train, tuned),
        "training points as unused points": lambda: certify_unused(train, head(weights), train),
    }
    with (RESULTS / "cheats.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["attempt", "outcome"])
        for name, attempt in attempts.items():
            try:
                attempt()
                table.writerow([name, "ACCEPTED"])
            except EpsnetError as error:
                table.writerow([name, f"refused: {error}"])


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    cheats()
    validity(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
