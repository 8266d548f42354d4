"""Rule `pac_bayes` against a second computation of its bound and against a thousand forgeries."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr

from epsnet.certify.bound import Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError
from epsnet.checker.kernel import check
from epsnet.core.serial import network_bytes
from epsnet.core.target import DataTarget
from epsnet.data import Sample
from epsnet.features.maps import identity, scattering, with_constant
from epsnet.generalization.pac_bayes import certify_posterior, dump
from epsnet.generalization.posterior import head
from epsnet.statistics.posterior import GaussianPosterior

CENTERS = np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.5], [-1.0, -1.0, 1.0]])
DELTA = Fraction(1, 20)
RULE = np.polynomial.hermite_e.hermegauss(180)


def sample(seed=0, n=60):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, n)
    return Sample(CENTERS[labels] + random.standard_normal((n, 3)), labels, "blobs", ("a", "b", "c"))


def posterior(*, basis=False, prior_mean=False):
    if basis:
        found = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 2)))[0]
        return GaussianPosterior(2.0, found.T @ CENTERS.T, np.full((2, 3), -1.0), found)
    if prior_mean:
        return GaussianPosterior(0.7, np.zeros((3, 3)) + 0.1, np.full((3, 3), math.log(0.5)), None, CENTERS.T * 0.9)
    return GaussianPosterior(2.0, CENTERS.T, np.full((3, 3), -1.0))


@pytest.fixture(scope="module")
def honest():
    solution, gibbs = certify_posterior(sample(), posterior(), delta=DELTA, gibbs_delta=DELTA)
    assert gibbs is not None
    return solution, gibbs


def second_opinion(found, data, *, drawn=False):
    """The bound by other means: a dense Gauss-Hermite rule, plain sums, a root of the relative entropy."""
    features, labels, n = data.matrix(), data.labels, len(data)
    if not drawn:
        scores, std = found.logits(features)
        nodes, weights = RULE
        others = np.array([[c for c in range(3) if c != y] for y in labels])
        rows = np.arange(n)[:, None]
        own = scores[rows, labels[:, None]] + std[rows, labels[:, None]] * nodes
        inside = (own[:, :, None] - scores[rows, others][:, None, :]) / std[rows, others][:, None, :]
        wrong = n - (ndtr(inside).prod(axis=2) @ weights).sum() / math.sqrt(2 * math.pi)
        ratio = np.exp(found.log_std) / found.prior_std
        cost = (-np.log(ratio) + (ratio**2 + (found.mean / found.prior_std) ** 2 - 1) / 2).sum()
    else:
        weights = found.draw(found.seed)
        shifted = weights - (0 if found.prior_mean is None else found.prior_mean)
        a = shifted if found.basis is None else found.basis.T @ shifted
        own, prior = (a - found.mean) / np.exp(found.log_std), a / found.prior_std
        cost = (math.log(found.prior_std) - found.log_std - own**2 / 2 + prior**2 / 2).sum()
        wrong = ((features @ weights).argmax(axis=1) != labels).sum()
        cost = max(cost, 0)
    if found.prior_mean is None:
        number = {1.0: 0, 2.0: 1, 5.0: 2, 0.5: -1}[found.prior_std]
        cost += math.log((math.pi**2 / 3 - 1) * (abs(number) + 1) ** 2) + math.log(3)
    level, q = (cost + math.log(2 * math.sqrt(n) / DELTA)) / n, wrong / n

    def excess(p):
        return (q * math.log(q / p) if q else 0) + (1 - q) * math.log((1 - q) / (1 - p)) - level

    return brentq(excess, q + 1e-15, 1 - 1e-15, xtol=1e-15) if excess(1 - 1e-15) > 0 else 1.0


@pytest.mark.parametrize("options", [{}, {"basis": True}, {"prior_mean": True}])
def test_the_bounds_are_those_of_the_theorem(options):
    found, data = posterior(**options), sample()
    solution, gibbs = certify_posterior(data, found, delta=DELTA, gibbs_delta=DELTA)
    report = check(solution)
    assert [bound.quantity for bound in report.checked] == ["Gibbs risk", "risk"]
    assert gibbs.value == pytest.approx(second_opinion(found, data), abs=3e-8)
    assert solution.error.value == pytest.approx(second_opinion(found, data, drawn=True), abs=3e-8)
    assert gibbs.value >= second_opinion(found, data)
    assert {bound.kind for bound in report.checked} == {Kind.STATISTICAL}
    assumed = " ".join(solution.error.assumptions)
    assert ("without the points of the sample" in assumed) == ("prior_mean" in options)


def rebuilt(honest, *, gibbs=True, witness=None, network=None, target=None, **changes):
    """Return the solution with one claim changed and everything that depends on it rebuilt."""
    solution, bound = honest
    drawn = solution.error
    node = solution.certificate.nodes[0]
    arrays = {**solution.certificate.witnesses[node.witness], **(witness or {})}
    network, target = network or solution.network, target or solution.target
    about = {"target": target.sha256}
    drawn = replace(drawn, network=network.sha256, **about, **({} if gibbs else changes))
    bound = replace(bound, **about, **(changes if gibbs else {}))
    certificate = Certificate.of((bound, drawn), [(each, arrays) for each in (bound, drawn)])
    return replace(
        solution, network=network, target=target, error=drawn, bits=8 * len(network_bytes(network)),
        certificate=certificate,
    )  # fmt: skip


def test_rebuilding_nothing_is_accepted(honest):
    check(rebuilt(honest))


def refused(solution):
    try:
        check(solution)
    except CheckError:
        return True
    return False


def test_a_thousand_forgeries(honest):
    generator = np.random.Generator(np.random.Philox(11))
    solution, gibbs = honest
    data, found = sample(), posterior()
    arrays = dump(found, identity())
    accepted = made = 0
    while made < 1000:
        kind, drawn = made % 5, bool(made % 2)
        value = solution.error.value if drawn else gibbs.value
        if kind == 0:  # a smaller value
            forged = rebuilt(honest, gibbs=not drawn, value=value * (1 - 10.0 ** generator.uniform(-6, 0)))
        elif kind == 1:  # another posterior, with a bound above the one that is stated
            name = ("mean", "log_std")[generator.integers(2)]
            changed = arrays[name].copy()
            changed[generator.integers(len(changed))] += generator.normal() * 10.0 ** generator.uniform(-2, 2)
            try:
                other = GaussianPosterior(2.0, *(
                    (changed if each == name else arrays[each]).reshape(3, 3) for each in ("mean", "log_std")
                ))  # fmt: skip
            except ValueError:
                continue
            if second_opinion(other, data) <= gibbs.value:
                continue
            forged = rebuilt(honest, witness={name: changed})
        elif kind == 2:  # another network than the one drawn
            weights = found.draw(found.seed) * (1 + 1e-6 * generator.standard_normal((3, 3)))
            weights = found.draw(int(generator.integers(1, 10**6))) if generator.random() < 0.5 else weights
            forged = rebuilt(honest, network=head(weights), gibbs=False)
        elif kind == 3:  # another prior, basis, shape or map
            forged = rebuilt(
                honest,
                witness=[
                    {"prior_std": np.array([float(generator.uniform(0.1, 9))])},
                    {"basis": generator.standard_normal(9)},
                    {"shape": np.array([3, 3, 3]) + generator.integers(-2, 3, 3) * (1, 1, 2) + (1, 0, 0)},
                    {"features": generator.integers(1, 9, generator.integers(0, 6))},
                    {"prior_mean": found.mean_weights().ravel() * generator.uniform(0.5, 1.5)},
                ][generator.integers(5)],
            )
        else:  # more confidence, another kind, fewer assumptions, another quantity or measure
            claim = solution.error if drawn else gibbs
            change = [
                {"delta": DELTA / int(generator.integers(2, 100))},
                {"kind": (Kind.PROVED, Kind.VERIFIED)[generator.integers(2)]},
                {"assumptions": claim.assumptions[:-1]},
                {"quantity": "error"},
                {"measure": "all images"},
                {"hypotheses": ("it is true",)},
                {"theorem": "clopper-pearson"},
            ][generator.integers(7)]
            forged = rebuilt(honest, gibbs=not drawn, **change)
        accepted += not refused(forged)
        made += 1
    assert accepted == 0


def test_data_that_scaled_themselves_are_refused():
    """A forger who leaves the library's functions out is caught by the rule as well."""
    data = sample()
    raw = data.matrix()
    for scaled in (
        (raw - raw.mean(axis=0)) / raw.std(axis=0), raw - raw.mean(axis=0), raw / raw.std(axis=0),
        (raw - raw.min(axis=0)) / np.ptp(raw, axis=0), 2 * (raw - raw.min(axis=0)) / np.ptp(raw, axis=0) - 1,
    ):  # fmt: skip
        honest = certify_posterior(data, posterior(), delta=DELTA, gibbs_delta=DELTA)
        target = DataTarget.from_arrays("blobs", scaled, data.labels)
        with pytest.raises(CheckError, match="their own"):
            check(rebuilt(honest, target=target, value=1.0))


def test_the_data_is_needed_and_has_to_be_the_same(honest):
    solution, _ = honest
    with pytest.raises(CheckError, match="--data"):
        check(replace(solution, target=solution.target.without_data()))
    other = sample(1)
    with pytest.raises(CheckError, match="hash differs"):
        check(replace(solution, target=solution.target.without_data()), data=(other.matrix(), other.labels))


@pytest.mark.parametrize(
    "witness",
    [
        {"mean": np.full(9, np.nan)},
        {"mean": np.full(9, 1e300)},
        {"log_std": np.full(9, -1e300)},
        {"mean": np.zeros((3, 3))},
        {"mean": np.zeros(0)},
        {"shape": np.array([2**62, 2**62, 2**62])},
        {"shape": np.array([-3, 3, 3])},
        {"shape": np.array([0, 3, 0])},
        {"shape": np.array([3.0, 3.0, 3.0])},
        {"prior_std": np.array([0.0])},
        {"prior_std": np.array([np.inf])},
        {"prior_std": np.array([])},
        {"prior_std": np.array([2.0, 2.0])},
        {"features": np.array([2, 6, 16, 128])},
        {"features": np.array([2, 10**9, 10**9, 10**9])},
        {"features": np.arange(10**6)},
        {"basis": np.zeros(9)},
        {"basis": np.eye(3).ravel() * 1e200},
    ],
)
def test_hostile_witnesses(honest, witness):
    with pytest.raises(CheckError):
        check(rebuilt(honest, witness=witness, value=1.0))


def test_too_much_work_is_refused_before_it_is_done():
    """Scattering of many small images with many scales and angles would take days."""
    random = np.random.default_rng(0)
    data = Sample(random.standard_normal((400, 4)), random.integers(0, 3, 400), "noise", ("a", "b", "c"))
    found = GaussianPosterior(1.0, np.zeros((4, 3)), np.zeros((4, 3)))
    honest = certify_posterior(data, found, delta=DELTA, gibbs_delta=DELTA)
    features = scattering(6, 16, 128)
    with pytest.raises(CheckError, match="too much"):
        check(
            rebuilt(
                honest,
                witness={"features": np.array(features.code)},
                measure=f"{honest[1].measure}; features: {features}",
            )
        )


def test_other_features_are_recomputed_from_the_raw_data():
    random = np.random.default_rng(2)
    for features, size in ((with_constant(), 17), (scattering(1, 2, 6), 3 * 25)):
        data = Sample(random.random((30, 16)), random.integers(0, 2, 30), "squares", ("a", "b"))
        width = features(data.matrix()).shape[1]
        assert width == size
        basis = np.linalg.qr(random.standard_normal((width, 3)))[0]
        found = GaussianPosterior(1.0, random.standard_normal((3, 2)), np.zeros((3, 2)), basis)
        solution, gibbs = certify_posterior(data, found, features)
        assert check(solution).checked[0].measure.endswith(str(features))
        assert gibbs.value <= 1


def test_a_posterior_made_for_known_random_numbers_is_refused(honest):
    """With m = w - s z for known z and a huge s every head w would be a likely draw: ln dQ/dP would be negative."""
    found = posterior()
    weights = CENTERS.T
    z = (found.draw(7) - found.mean) / np.exp(found.log_std)  # what seed 7 gives to anybody
    made = GaussianPosterior(2.0, weights - 1e6 * z, np.full((3, 3), math.log(1e6)))
    assert made.draw(7) == pytest.approx(weights, abs=1e-6)
    assert made.log_density_ratio(weights) < 0
    forged = rebuilt(honest, gibbs=False, network=head(made.draw(7)), witness=dump(made, identity()), value=0.9)
    with pytest.raises(CheckError, match="not the draw"):
        check(replace(forged, certificate=Certificate.of((forged.error,), ((forged.error, dump(made, identity())),))))
