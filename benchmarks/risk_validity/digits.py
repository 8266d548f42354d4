"""All certificates for the 1,797 digits of scikit-learn, 8 x 8 pixels, on scattering features: offline, in a minute.

    python benchmarks/risk_validity/digits.py

Writes results/digits.csv.
"""

from __future__ import annotations

import csv
import functools
import time
from pathlib import Path

from sklearn.datasets import load_digits

from epsnet.checker.kernel import check
from epsnet.data import Sample
from epsnet.features.maps import scattering
from epsnet.generalization.certificates import certify_risk
from epsnet.generalization.posterior_training import train_posterior

if __name__ == "__main__":
    images, labels = load_digits(return_X_y=True)
    digits = Sample(images, labels, "digits", tuple("0123456789"))
    start = time.process_time()
    found = certify_risk(digits, functools.partial(train_posterior, rank=400), features=scattering())
    seconds = time.process_time() - start
    with (Path(__file__).parent / "results/digits.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["bound", "value", "delta", "vacuous", "check_cpu_seconds"])
        for each in found.certificates:
            start = time.process_time()
            check(each.solution)
            checked = time.process_time() - start
            table.writerow([each.key, f"{each.bound.value:.5f}", each.bound.delta, each.vacuous, f"{checked:.1f}"])
    print(found)
    print(f"{seconds:.0f} CPU-seconds")
