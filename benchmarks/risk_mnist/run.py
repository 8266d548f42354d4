"""Risk certificates of MNIST from the training sample: see README.md.

python benchmarks/risk_mnist/run.py [digits mnist plain fashion half conv] [--cache DIR] [--fashion DIR]
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from conv import conv_features, learn_filters
from numpy.typing import NDArray

from epsnet.data import Sample, load_mnist
from epsnet.data.idx import read_idx
from epsnet.features import scattering_features, upright
from epsnet.features.maps import FeatureMap, scattering, upright_scattering
from epsnet.generalization.pac_bayes import halves, pac_bayes_kl
from epsnet.generalization.posterior_training import train_posterior
from epsnet.statistics.binomial import clopper_pearson
from epsnet.statistics.posterior import GaussianPosterior
from epsnet.statistics.prior import prior_nats

RESULTS = Path(__file__).parent / "results"
DELTA = Fraction(1, 20)
SEED = 0

Floats = NDArray[np.float64]


class Clock:
    """Processor and wall seconds since the start."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def __call__(self) -> dict[str, float]:
        """Return the seconds since the start."""
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        return {"cpu_seconds": round(processor, 1), "wall_seconds": round(wall, 1)}


@dataclass(frozen=True)
class Options:
    """What the command line says: where to keep features, and where the files of Fashion-MNIST are."""

    cache: Path | None
    fashion: Path


def load(data: str, part: str, options: Options) -> Sample:
    """Return a part of MNIST, or of Fashion-MNIST from its four files."""
    if data == "mnist":
        return load_mnist(part)  # pyright: ignore[reportArgumentType]
    stem = options.fashion / {"train": "train", "test": "t10k"}[part]
    images, labels = (read_idx(Path(f"{stem}-{kind}-ubyte.gz")) for kind in ("images-idx3", "labels-idx1"))
    return Sample(images, labels, f"Fashion-MNIST {part}", tuple("0123456789"))


def features_of(data: str, part: str, chosen: FeatureMap, options: Options) -> tuple[Floats, NDArray[np.int64]]:
    """Return features and labels."""
    sample = load(data, part, options)
    path = options.cache / f"{data}_{'_'.join(map(str, chosen.code))}_{part}.npy" if options.cache else None
    if path is not None and path.exists():
        return np.load(path), sample.labels
    images = upright(sample.inputs) if chosen == upright_scattering() else sample.inputs
    features = scattering_features(images, workers=2)
    if path is not None:
        np.save(path, features)
    return features, sample.labels


def certificates(
    name: str,
    posterior: GaussianPosterior,
    features: Floats,
    labels: NDArray[np.int64],
    nats: float,
    extra: float = 0.0,
) -> list[dict[str, Any]]:
    """Return the bounds of the Gibbs risk and of one drawn head, each with confidence 19/20."""
    n, weights = len(labels), posterior.draw(SEED)
    errors = int((np.argmax(features @ weights, axis=1) != labels).sum())
    risk, kl = posterior.gibbs_risk(features, labels, 1e-10), posterior.kl()
    ratio = max(posterior.log_density_ratio(weights) + extra, 0.0)
    drawn = pac_bayes_kl(Fraction(errors, n), ratio + nats, n, DELTA)
    rows = [{"case": name, "about": "one network", "bound": drawn, "nats": ratio, "union": nats, "train": errors / n}]
    if not extra:
        bound = pac_bayes_kl(risk, kl + nats, n, DELTA)
        rows.insert(0, {"case": name, "about": "Gibbs", "bound": bound, "nats": kl, "union": nats, "train": risk})
    return rows


def add_test(rows: list[dict[str, Any]], posterior: GaussianPosterior, features: Floats, labels: NDArray[Any]) -> None:
    """Write the risks on unused points into the rows."""
    risks = {
        "Gibbs": posterior.gibbs_risk(features, labels),
        "one network": error(posterior.draw(SEED), features, labels),
    }
    for row in rows:
        row["test"] = risks[row["about"]]
        row["test_of_mean"] = error(posterior.mean_weights(), features, labels)


def error(weights: Floats, features: Floats, labels: NDArray[Any]) -> float:
    """Return the share of errors of a head."""
    return float((np.argmax(features @ weights, axis=1) != labels).mean())


def choice(features: FeatureMap) -> float:
    """Return the nats of the union over prior deviations and feature maps."""
    return prior_nats(1.0) + features.nats


def digits(_: Options) -> list[dict[str, Any]]:
    """Certify the 1,797 digits of scikit-learn, enlarged to 28 x 28."""
    from sklearn.datasets import load_digits

    rows: list[dict[str, Any]] = []
    data: Any = load_digits()
    for name, chosen in (("digits", scattering()), ("digits, upright", upright_scattering())):
        clock, features = Clock(), chosen(data.data)
        posterior = train_posterior(features, data.target, 10, rank=300, iterations=60)
        found = certificates(name, posterior, features, data.target, choice(chosen))
        rows += [row | clock() for row in found]
    return rows


def whole(data: str, chosen: FeatureMap, options: Options) -> list[dict[str, Any]]:
    """Certify by all 60,000 training images, with a prior without data."""
    clock = Clock()
    features, labels = features_of(data, "train", chosen, options)
    posterior = train_posterior(features, labels, 10, progress=lambda i, b: print(f"  {i} {b:.5f}", flush=True))
    name = f"{data}, upright" if chosen == upright_scattering() else data
    rows = [row | clock() for row in certificates(name, posterior, features, labels, choice(chosen))]
    add_test(rows, posterior, *features_of(data, "test", chosen, options))
    return rows


def half(options: Options) -> list[dict[str, Any]]:
    """Certify a head trained on 30,000 digits by the other 30,000."""
    rows: list[dict[str, Any]] = []
    for name, chosen in (("half", scattering()), ("half, upright", upright_scattering())):
        clock = Clock()
        features, labels = features_of("mnist", "train", chosen, options)
        index = Sample(np.arange(len(labels), dtype=np.float64)[:, None], labels, "MNIST", tuple("0123456789"))
        first, second = (part.inputs[:, 0].astype(np.int64) for part in halves(index, SEED))
        head = train_posterior(features[first], labels[first], 10).mean_weights()
        risk = error(head, features[second], labels[second])
        n, seconds = len(second), clock()
        wrong = round(risk * n)
        test = error(head, *features_of("mnist", "test", chosen, options))
        common = {"case": name, "nats": 0.0, "union": 0.0, "train": risk, "test": test, "test_of_mean": test} | seconds
        rows += [
            common | {"about": "binomial", "bound": clopper_pearson(wrong, n, DELTA)},
            common | {"about": "PAC-Bayes-kl", "bound": pac_bayes_kl(Fraction(wrong, n), 0.0, n, DELTA)},
        ]
    return rows


def conv(_: Options) -> list[dict[str, Any]]:
    """Certify a convolutional network with all layers learned, and one with the filters as drawn from the prior."""
    train, rows = load_mnist("train"), []
    for name, epochs in (("conv, random filters", 0), ("conv, learned filters", 2)):
        clock = Clock()
        filters, nats = learn_filters(train.inputs, train.labels, epochs, SEED)
        features = conv_features(train.inputs, filters)
        posterior = train_posterior(features, train.labels, 10, rank=400, iterations=30)
        found = certificates(name, posterior, features, train.labels, prior_nats(1.0), nats)
        found = [row | clock() | {"filter_nats": nats} for row in found]
        test = load_mnist("test")
        add_test(found, posterior, conv_features(test.inputs, filters), test.labels)
        rows += found
    return rows


CASES = {
    "digits": digits,
    "mnist": lambda options: whole("mnist", upright_scattering(), options),
    "plain": lambda options: whole("mnist", scattering(), options),
    "fashion": lambda options: whole("fashion", scattering(), options),
    "half": half,
    "conv": conv,
}
FIELDS = [
    "case", "about", "bound", "nats", "filter_nats", "union", "train", "test", "test_of_mean", "cpu_seconds",
    "wall_seconds",
]  # fmt: skip


def main() -> None:
    """Run the cases named and write results/CASE.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--cache", type=Path, help="a folder that keeps features")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    arguments = parser.parse_args()
    options = Options(arguments.cache, arguments.fashion)
    for name in arguments.cases:
        rows = CASES[name](options)
        with (RESULTS / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(
                {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}
                for row in rows
            )
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main()
