r"""What a sample proves of the risk of networks trained on it: all certificates beside each other.

The names of `NAMES` and what each is about:

* Gibbs: heads drawn from a posterior for each point anew; PAC-Bayes, a prior without data, the training sample.
* one draw: one network drawn from that posterior; the same sample, the disintegrated bound.
* half: a head trained on one half of the sample, certified by the other half, by PAC-Bayes (one draw from a narrow
  normal distribution around it, which is posterior and prior) and by the exact binomial bound.
* code: a network of few bits; the training sample, Occam.
* rademacher, golowich, spectral: the trained network by norms and margins on the training sample.
* unused: the trained network on points that nothing was trained on, the exact binomial bound.

All hold together with confidence 1 - delta: a ledger counts every one, and each counts the choice of its own prior,
features, margin and norms inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import DomainError
from epsnet.checker.rules.binomial import INDEPENDENCE, MEASURE, count_errors
from epsnet.checker.rules.norm_bounds import fits
from epsnet.core.network import Network
from epsnet.core.rounding_error import LIBRARY_ASSUMPTION, needs_library
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.data import Sample
from epsnet.features.maps import FeatureMap, identity
from epsnet.generalization.ledger import DeltaLedger
from epsnet.generalization.norm_bounds import certify_norms
from epsnet.generalization.occam import certify_code, shorten_code
from epsnet.generalization.pac_bayes import Fit, certify_posterior, halves, prior_from, raw_sample
from epsnet.generalization.posterior import head
from epsnet.statistics.binomial import clopper_pearson

NAMES = {
    "gibbs": "PAC-Bayes, prior without data: head drawn for each point",
    "draw": "PAC-Bayes, prior without data: one network drawn",
    "code": "Occam: the code of a network of few bits",
    "rademacher": "Rademacher complexity of linear maps",
    "golowich": "Golowich-Rakhlin-Shamir: Frobenius norms",
    "spectral": "Bartlett-Foster-Telgarsky: spectral norms",
    "half-draw": "PAC-Bayes, prior from half of the sample: one network drawn",
    "half-binomial": "binomial, trained on half of the sample",
    "unused": "binomial on unused points",
}

BY_NORMS = {"rademacher": "rademacher-linear", "golowich": "golowich", "spectral": "spectral-margin"}


@dataclass(frozen=True, slots=True)
class RiskCertificate:
    """One bound of a risk.

    Attributes:
        key: one of `NAMES`.
        bound: of quantity "risk", or "Gibbs risk" for heads drawn anew.
        solution: the network, the sample and the certificate that the bound is part of; `epsnet.check` re-derives it.
        classes: k.
    """

    key: str
    bound: Bound
    solution: Solution
    classes: int

    @property
    def name(self) -> str:
        """What the bound is, in words."""
        return NAMES[self.key]

    @property
    def vacuous(self) -> bool:
        """Whether guessing one of k classes at random is certified as well: the bound is at least 1 - 1/k."""
        return self.bound.limit >= 1 - Fraction(1, self.classes)

    def __str__(self) -> str:
        value = f"{self.bound.quantity} <= {self.bound.decimal()}"
        return f"{value:<24} {self.name}{'   vacuous: guessing does as well' if self.vacuous else ''}"


@dataclass(frozen=True, slots=True)
class RiskCertificates:
    """Certificates that hold all at once with confidence 1 - delta, the best first, the vacuous ones last.

    Attributes:
        certificates: sorted by value.
        ledger: how delta is divided.
    """

    certificates: tuple[RiskCertificate, ...]
    ledger: DeltaLedger

    def __getitem__(self, key: str) -> RiskCertificate:
        """Return the certificate with a key of `NAMES`. DomainError if there is none."""
        for certificate in self.certificates:
            if certificate.key == key:
                return certificate
        raise DomainError(f"There is no certificate {key!r} here. Ask for one of those in `certificates`.")

    @property
    def best(self) -> RiskCertificate | None:
        """The least bound that is not vacuous; None if all are."""
        return next((certificate for certificate in self.certificates if not certificate.vacuous), None)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        rows = [
            {"key": c.key, "name": c.name, "vacuous": c.vacuous, "bound": c.bound.to_json()} for c in self.certificates
        ]
        return {"certificates": rows, "ledger": self.ledger.to_json()}

    def __str__(self) -> str:
        assumed = dict.fromkeys(text for c in self.certificates for text in c.bound.assumptions)
        return "\n".join(
            [*map(str, self.certificates), *(f"assumed   {text}" for text in assumed), "delta", str(self.ledger)]
        )


class _Remembering(FeatureMap):
    """The same map; the features of the inputs that came last are kept, for several bounds need them."""

    __slots__ = ("_last",)

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        last = getattr(self, "_last", None)
        if last is None or not np.array_equal(last[0], inputs):
            last = inputs, super().__call__(inputs)
            last[1].setflags(write=False)  # whoever fits may not scale the features of the bound
            object.__setattr__(self, "_last", last)
        return last[1]


def certify_risk(
    train: Sample,
    fit: Fit,
    *,
    features: FeatureMap | None = None,
    network: Network | None = None,
    unused: Sample | None = None,
    delta: Fraction = Fraction(1, 20),
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> RiskCertificates:
    """Return all bounds of the risk that a training sample gives, and that of unused points if there are some.

    Args:
        train: the points, raw; `fit` sees their features here, and half of them for the bounds with a prior from data.
        fit: (features, labels, classes) -> a `GaussianPosterior` with a prior without data. Sees no other points.
        features: a map of `epsnet.features.maps`; by default the inputs themselves.
        network: a network of the inputs that was trained on `train`; by default the mean head of the posterior, on the
            features. It is what the bounds by code (after `shorten_code`), by norms and from unused points are about.
        unused: points that nothing was trained on.
        delta: 1 - confidence, of all bounds together.
        seed: of the division into halves.
        progress: called with the key of a bound that was computed, how many are done, and how many there are.

    Raises:
        DomainError: see `certify_posterior` and `certify_unused`.
    """
    features = _Remembering((features or identity()).code)
    linear = network is None or len(network.layers) == 1
    keys = [key for key in NAMES if (key != "unused" or unused is not None) and (key != "rademacher" or linear)]
    ledger = DeltaLedger.split(Fraction(delta), keys)
    certificates: list[RiskCertificate] = []

    def add(key: str, solution: Solution, bound: Bound | None = None) -> None:
        certificates.append(RiskCertificate(key, bound or solution.error, solution, train.outputs))
        if progress is not None:
            progress(key, len(certificates), len(keys))

    raw, labels = raw_sample(train)
    found = features(raw)
    posterior = fit(found, labels, train.outputs)
    if posterior.prior_mean is not None:
        raise DomainError(
            "The prior of the fitted posterior has a mean, made from the sample. Fit one with the mean 0."
        )
    solution, gibbs = certify_posterior(train, posterior, features, delta=ledger["draw"], gibbs_delta=ledger["gibbs"])
    add("gibbs", solution, gibbs)
    add("draw", solution)

    own, seen = (features, found) if network is None else (identity(), raw)
    network = network or head(posterior.mean_weights())
    small = shorten_code(network, seen, labels)
    add("code", certify_code(train, small, own, delta=ledger["code"]))
    for key, theorem in BY_NORMS.items():
        if key in keys:
            add(key, certify_norms(train, network, theorem, own, delta=ledger[key]))
    first, second = halves(train, seed)
    prior = prior_from(first, fit, features)
    add("half-draw", certify_posterior(second, prior, features, delta=ledger["half-draw"], gibbs_delta=None)[0])
    mean = head(prior.mean_weights())
    add("half-binomial", certify_unused(first, mean, second, features, delta=ledger["half-binomial"]))
    if unused is not None:
        add("unused", certify_unused(train, network, unused, own, delta=ledger["unused"]))
    return RiskCertificates(tuple(sorted(certificates, key=lambda each: each.bound.value)), ledger)


def certify_unused(
    train: Sample,
    network: Network,
    unused: Sample,
    features: FeatureMap | None = None,
    *,
    delta: Fraction = Fraction(1, 20),
) -> Solution:
    """Bound the risk of a network by its errors on points that nothing was trained on, exactly for any number.

    Args:
        train: what the network was trained on, to make sure that the points are others.
        network: of the features, with one score for each class.
        unused: the points.
        features: a map of `epsnet.features.maps`; by default the inputs themselves.
        delta: 1 - confidence.

    Raises:
        DomainError: most of the points belong to `train`, or they do not fit the network.
    """
    features = features or identity()
    if _shared(train, unused) > len(unused) // 2:
        raise DomainError(f"Most points of {unused.name} are points of {train.name}. Give points unused in training.")
    raw, labels = raw_sample(unused)
    plain = features.code == identity().code
    name = unused.name if plain else f"{unused.name}; features: {features}"
    target = DataTarget.from_arrays(name, features(raw), labels)
    if target.inputs is None or not fits(network, target.inputs, labels):
        raise DomainError("The network does not fit the features and classes of the sample. Give another one.")
    errors, n = count_errors(network, target.inputs, labels, None), len(unused)
    bound = Bound(
        quantity="risk", sense="<=", value=clopper_pearson(errors, n, Fraction(delta)), kind=Kind.STATISTICAL,
        delta=Fraction(delta), measure=MEASURE, arithmetic="float64", theorem="clopper-pearson", rule="binomial",
        hypotheses=(f"{errors} errors in {n} points",),
        assumptions=(INDEPENDENCE, *(LIBRARY_ASSUMPTION,) * needs_library(network)),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    return Solution(
        network=network, target=target, error=bound, bits=8 * len(network_bytes(network)),
        certificate=Certificate.of((bound,)),
        stats={"method": "binomial", "features": str(features), "errors": errors, "points": n},
        result=f"{errors:,} errors in {n:,} points that training never saw",
    )  # fmt: skip


def _shared(train: Sample, unused: Sample) -> int:
    """Count the points of one sample whose inputs occur in the other."""
    known = {hash(row.tobytes()) for row in train.matrix() + 0.0}
    return sum(hash(row.tobytes()) in known for row in unused.matrix() + 0.0)
