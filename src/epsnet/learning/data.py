r"""Learning from data: empirical risk minimization, then an exact binomial bound of the risk on unused points."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.checker.rules.binomial import INDEPENDENCE, MEASURE, count_errors
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.data import Sample, split
from epsnet.generalization.risk_decomposition import Count, decompose_risk
from epsnet.statistics.binomial import clopper_pearson

DELTA = Fraction(1, 100)
"""1 - confidence of a risk bound."""

_TEST_SHARE = 0.2
_VALIDATION_SHARE = 1 / 12
_COVERAGE = 0.95
"""Regression: the tolerance is the quantile of the validation residuals at this level."""


def learn_data(
    train: Sample,
    test: Sample | Callable[[], Sample] | None = None,
    *,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Any, int], None] | None = None,
    **training: Any,
) -> Solution:
    """Train on a sample and bound the risk on another one.

    The sample is divided by `seed` into a training and a validation part, which selects the epoch, and, if there is no
    `test`, a test part. The test sample is read once, after the network is fixed. Classification bounds the probability
    of a wrong label; regression the probability that an output is off by more than a tolerance, which is the 0.95
    quantile of the residuals on the validation part.

    Args:
        train: the sample.
        test: the sample that measures the risk, or a function that returns it.
        seed: fixes the division, the initialization and the order of the steps.
        checkpoint: see `epsnet.diff.fit`; not used by "lbfgs" and "levenberg_marquardt".
        resume: see `epsnet.diff.fit`.
        progress: called with the record of each epoch and the number of epochs.
        **training: options of `epsnet.diff.fit`; hidden=(20, 20) gives the widths of the hidden layers.

    Raises:
        MissingExtraError: JAX is not installed.
        DomainError: the samples do not fit together or an option is unknown.
    """
    try:
        from epsnet import diff
        from epsnet.diff.defaults import WHOLE_SAMPLE
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("epsnet"):
            raise
        raise MissingExtraError("jax", "Training on data") from None
    if test is None:
        train, test = set_aside(train, seed)
    options = {**diff.defaults(train, training.get("optimizer")), **training}
    if "hidden" in options:
        options["widths"] = [train.dimension, *options.pop("hidden"), train.outputs]
    unknown = sorted(set(options) - set(inspect.signature(diff.fit).parameters))
    if unknown:
        raise DomainError(f"The training option {unknown[0]!r} is unknown. See epsnet.diff.fit for the options.")
    fitting = "square" if train.classes is None else "cross_entropy"
    if options["loss"] in ("square", "cross_entropy") and options["loss"] != fitting:
        labels = "real numbers" if train.classes is None else "classes"
        raise DomainError(
            f"The loss {options['loss']!r} does not fit: the labels of {train.name} are {labels}. Use {fitting!r}."
        )
    parts = split(len(train), (1 - _VALIDATION_SHARE, _VALIDATION_SHARE), seed)
    fitted, validation = (train.take(part) for part in parts)

    def report(record: Any) -> None:
        if progress is not None:
            progress(record, options["epochs"])

    if options["optimizer"] in WHOLE_SAMPLE:
        # Quasi-Newton steps carry more than a file of weights would: such a run starts over.
        checkpoint, resume = None, False
    fit = diff.fit(
        fitted.inputs, fitted.labels, seed=seed, validation=(validation.inputs, validation.labels), callback=report,
        checkpoint=checkpoint, resume=resume, **options,
    )  # fmt: skip
    network = Network.from_layers(fit.layers, options.get("activation", "relu"))

    tolerance = None
    if train.classes is None:
        rows = len(validation)
        outputs = realize(network, validation.matrix()).reshape(rows, -1)
        residuals = np.abs(outputs - validation.labels.reshape(rows, -1))
        tolerance = float(np.quantile(residuals.max(axis=1), _COVERAGE))
    sample = test() if callable(test) else test
    if sample.dimension != train.dimension or sample.classes != train.classes:
        raise DomainError(
            "The test sample has other inputs or classes than the training sample. Give samples of one kind."
        )
    target = DataTarget.from_arrays(sample.name, sample.matrix(), sample.labels, tolerance)
    errors = count_errors(network, sample.matrix(), sample.labels, tolerance)
    risk = Bound(
        quantity="risk", sense="<=", value=clopper_pearson(errors, len(sample), DELTA), kind=Kind.STATISTICAL,
        delta=DELTA, measure=MEASURE, arithmetic="float64",
        theorem="clopper-pearson", rule="binomial", hypotheses=(f"{errors} errors in {len(sample)} points",),
        assumptions=(INDEPENDENCE, *((LIBRARY_ASSUMPTION,) if needs_library(network) else ())),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    decomposition = {}
    if tolerance is None:
        # Part of the statistics, not of the certificate: it says what to change, and the checker does not re-derive it.
        wrong = count_errors(network, fitted.matrix(), fitted.labels, None)
        parts = decompose_risk(Count(wrong, len(fitted)), Count(errors, len(sample)), delta=DELTA)
        decomposition = {"risk_decomposition": parts.to_json()}
    rate = errors / len(sample)
    what = f"test accuracy {1 - rate:.2%}"
    if tolerance is not None:
        what = f"{1 - rate:.2%} of the test points within {tolerance:.4g}"
    return Solution(
        network=network,
        target=target,
        error=risk,
        bits=8 * len(network_bytes(network)),
        certificate=Certificate.of((risk,)),
        stats={
            "method": "train",
            "seed": seed,
            "errors": errors,
            "points": len(sample),
            "best_epoch": fit.best_epoch,
            "status": fit.status,
            "history": [[_plain(value) for value in record] for record in fit.history],
            "trained_on": len(fitted),
            "validated_on": len(validation),
            **{k: _plain(v) for k, v in options.items()},
            **decomposition,
        },
        result=f"{what}; {errors} error{'s' * (errors != 1)} in {len(sample):,} points that training never saw",
    )


def set_aside(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """Divide a sample at random into one to train on and a fifth to measure the risk on."""
    kept, aside = split(len(sample), (1 - _TEST_SHARE, _TEST_SHARE), seed)
    return sample.take(kept), sample.take(aside, f"{sample.name}, a fifth set aside with seed {seed}")


def _plain(value: Any) -> Any:
    """Return a JSON value: NaN, which JSON does not have, becomes None."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value
