"""Hostile witnesses and samples for the rules of risk certificates, and their sums against 50 digits."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Certificate
from epsnet.certify.errors import CheckError, DomainError
from epsnet.checker.kernel import check
from epsnet.checker.rules import pac_bayes as rule
from epsnet.checker.rules.norm_bounds import norm_bound
from epsnet.codec.format import encode_stream
from epsnet.core.linear_maps import Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import DataTarget
from epsnet.data import Sample
from epsnet.features.maps import identity, scattering
from epsnet.generalization.certificates import certify_risk
from epsnet.generalization.norm_bounds import certify_norms
from epsnet.generalization.occam import certify_code
from epsnet.generalization.pac_bayes import certify_posterior, dump, pac_bayes_kl
from epsnet.generalization.posterior import head, logistic_posterior
from epsnet.statistics.margins import certain_margins, frobenius_norm, matrices, spectral_norm
from epsnet.statistics.norm_bounds import frobenius_complexity, ramp_risk, risk_bound
from epsnet.statistics.posterior import GaussianPosterior
from epsnet.statistics.prior import grid_nats, prior_nats
from epsnet.statistics.scaling import fitted_scaling

DELTA = Fraction(1, 40)


def noise(n=60, p=80, seed=0):
    """A sample on which every classifier has risk 1/2."""
    random = np.random.default_rng(seed)
    return random.standard_normal((n, p)), random.integers(0, 2, n)


def drawn_claim(found, weights, x, y):
    """Return what a forger states who calls these weights the draw of a posterior, and the value of the bound."""
    cost = max(found.log_density_ratio(weights), 0.0) + prior_nats(found.prior_std) + identity().nats
    value = pac_bayes_kl(Fraction(rule.head_errors(weights, x, y, 0.0), len(x)), cost, len(x), DELTA)
    network, target = head(weights), DataTarget.from_arrays("noise", x, y)
    claim = Bound(
        quantity="risk", sense="<=", kind=Kind.STATISTICAL, delta=DELTA, value=value, measure=rule.measure(identity()),
        arithmetic="float64", theorem="single-draw", rule="pac_bayes",
        hypotheses=rule.hypotheses(len(x), identity(), found), assumptions=rule.assumptions((), True),
        network=network.sha256, target=target.sha256,
    )  # fmt: skip
    certificate = Certificate.of((claim,), [(claim, dump(found, identity()))])
    return Solution(network, target, claim, 8 * len(network_bytes(network)), certificate), value


def overfitted(x, y):
    weights = np.linalg.lstsq(x, 2.0 * y - 1, rcond=None)[0]
    weights = np.stack([-weights, weights], axis=1)
    return weights / np.abs(weights).max()


@pytest.mark.parametrize("share", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("rank", [None, 60])
def test_no_head_is_the_draw_of_a_posterior_that_is_narrow_beside_it(share, rank):
    """ln dQ/dP is as negative as one likes at weights far from the mean of a narrow posterior; they are not its draw.

    The overfitted head scaled to 9e-10 is within 1e-9 of a draw of size 1e-12, and classifies as it did.
    """
    x, y = noise()
    basis = None if rank is None else np.linalg.qr(np.random.default_rng(1).standard_normal((80, rank)))[0]
    r = 80 if rank is None else rank
    found = GaussianPosterior(1e-12, np.zeros((r, 2)), np.full((r, 2), math.log(1e-12 * share)), basis)
    forged, value = drawn_claim(found, overfitted(x, y) * 9e-10, x, y)
    assert value < 0.3
    with pytest.raises(CheckError, match="not the draw"):
        check(forged)
    check(drawn_claim(found, found.draw(found.seed), x, y)[0])


def test_a_thousand_heads_near_the_draw_are_refused():
    """Weights that differ from the draw by more than rounding does, wherever that makes them cheaper or better."""
    x, y = noise(12, 4)
    random = np.random.default_rng(3)
    basis = np.linalg.qr(random.standard_normal((4, 2)))[0]
    accepted = 0
    for number in range(1000):
        std = (1e-9, 0.01, 1.0, 1e9)[number % 4]
        r = 2 if number % 8 < 4 else 4
        logs = math.log(std) + random.uniform(-12, 2, (r, 2))
        found = GaussianPosterior(std, random.standard_normal((r, 2)) * std, logs, basis if r == 2 else None)
        weights = found.draw(found.seed)
        step = random.standard_normal((4, 2)) * 10.0 ** random.uniform(-5, 2) * std
        if r == 4:  # along one coordinate, by a share of its own deviation
            step = np.where(random.random((4, 2)) < 0.3, step / std * np.exp(logs), 0)
        if not step.any():
            step[0, 0] = math.exp(logs[0, 0])
        try:
            check(drawn_claim(found, weights + step, x, y)[0])
            accepted += 1
        except CheckError:
            pass
    assert accepted == 0


def exact_error(found, f, label):
    """Return the probability of an error at one point by 50 digits, piecewise where the integrand turns."""
    with mpmath.workdps(50):
        p, k = found.dimension, found.classes
        r = len(found.mean)
        b = mpmath.eye(p) if found.basis is None else mpmath.matrix(found.basis.tolist())
        v = mpmath.matrix(f.tolist())
        a = b.T * v
        rest = sum(e * e for e in v) - sum(e * e for e in a)
        m = [mpmath.fsum(a[j] * mpmath.mpf(float(found.mean[j, c])) for j in range(r)) for c in range(k)]
        s = [
            mpmath.sqrt(
                mpmath.fsum(a[j] ** 2 * mpmath.exp(2 * mpmath.mpf(float(found.log_std[j, c]))) for j in range(r))
                + (mpmath.mpf(found.prior_std) ** 2 * rest if found.basis is not None else 0)
            )
            for c in range(k)
        ]
        others = [c for c in range(k) if c != label]

        def wrong(z):
            inside = mpmath.mpf(1)
            for c in others:
                inside *= mpmath.ncdf((m[label] - m[c] + s[label] * z) / s[c])
            return mpmath.npdf(z) * (1 - inside)

        turns = {-(m[label] - m[c] + t * s[c]) / s[label] for c in others for t in (-9, -3, 0, 3, 9)}
        ends = sorted({mpmath.mpf(-13), mpmath.mpf(13), *range(-12, 13, 3), *(t for t in turns if -13 < t < 13)})
        with mpmath.workdps(25):
            return mpmath.mpf(mpmath.quad(wrong, ends, maxdegree=5))


CASES = [  # prior std, std of the label over that of the others, size of the gaps, classes, with basis
    (1.0, 1.0, 0.0, 2, False),
    (1.0, 1e-6, 0.5, 2, False),
    (1.0, 26.0, 3.0, 2, True),
    (1e-12, 1.0, 2.0, 3, False),
    (1e9, 5.0, 1.0, 3, True),
    (10.0, 12.0, 0.1, 4, False),
    (0.5, 1e4, 1.0, 3, False),
    (2.0, 0.3, 8.0, 3, True),
]


@pytest.mark.parametrize("case", CASES)
def test_gibbs_risk_lies_above_fifty_digits(case):
    std, ratio, gap, classes, rotated = case
    random = np.random.default_rng(5)
    p = 4
    basis = np.linalg.qr(random.standard_normal((p, 2)))[0] if rotated else None
    r = 2 if rotated else p
    logs = np.full((r, classes), math.log(std))
    logs[:, 0] += math.log(ratio)
    mean = gap * std * random.standard_normal((r, classes))
    found = GaussianPosterior(std, mean, logs, basis)
    features = np.vstack([random.standard_normal((2, p)), 1e-9 * random.standard_normal((1, p))])
    if not rotated:
        features[1, 1:] = 0  # all but one feature vanish
    for row in features:
        value = found.gibbs_risk(row[None], np.array([0]))
        truth = exact_error(found, row, 0)
        assert value >= truth - mpmath.mpf(10) ** -20
        if 1e-3 < ratio < 26:
            assert value - 1e-7 <= truth


def test_ties_and_points_without_features_are_errors():
    found = GaussianPosterior(1.0, np.zeros((2, 3)), np.zeros((2, 3)))
    assert found.gibbs_risk(np.zeros((1, 2)), np.array([0])) == 1
    assert found.gibbs_risk(np.full((1, 2), 1e-170), np.array([0])) == 1
    assert found.gibbs_risk(np.ones((1, 2)), np.array([0])) == pytest.approx(2 / 3, abs=1e-9)
    assert rule.head_errors(np.ones((2, 3)), np.ones((1, 2)), np.array([0]), 0.0) == 1


@pytest.mark.parametrize("std", [1e-12, 1.0, 1e9])
def test_divergences_lie_above_fifty_digits(std):
    random = np.random.default_rng(9)
    for spread in (1e-9, 1.0, 40.0):
        p, k = 5, 2
        logs = math.log(std) + spread * random.uniform(-1, 1, (p, k))
        found = GaussianPosterior(std, std * 10.0 ** random.uniform(-9, 3, (p, k)), logs)
        weights = found.draw(3)
        with mpmath.workdps(50):
            s0, kl, ratio = mpmath.mpf(std), mpmath.mpf(0), mpmath.mpf(0)
            for three in zip(found.mean.flat, found.log_std.flat, weights.flat, strict=True):
                m, log_s, w = (mpmath.mpf(float(value)) for value in three)
                s = mpmath.exp(log_s)
                kl += mpmath.log(s0) - log_s + (s**2 + m**2) / (2 * s0**2) - mpmath.mpf(1) / 2
                ratio += mpmath.log(s0) - log_s - ((w - m) / s) ** 2 / 2 + (w / s0) ** 2 / 2
        assert kl <= found.kl() <= kl + 1e-9 * (1 + abs(kl))
        assert ratio <= found.log_density_ratio(weights)
        # Weights of a narrow coordinate are known to their rounding, which costs.
        if spread < 40:
            assert found.log_density_ratio(weights) <= ratio + 1e-6 * (1 + abs(ratio))


def rebuilt(solution, network=None, witness=None, **changes):
    """Return the solution with its claim changed and everything that depends on it rebuilt."""
    arrays = {**solution.certificate.witnesses[solution.certificate.nodes[0].witness], **(witness or {})}
    network = network or solution.network
    claim = replace(solution.error, network=network.sha256, **changes)
    bits = 8 * len(network_bytes(network))
    return replace(
        solution, network=network, error=claim, bits=bits, certificate=Certificate.of((claim,), ((claim, arrays),))
    )


def blobs(n=40, p=16):
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, n)
    return Sample(random.standard_normal((n, p)) + labels[:, None], labels, "blobs", ("a", "b"))


def wide(inputs, hidden):
    """A network of few weights with many neurons."""
    first = Sparse((hidden, inputs), [0], [0], [1.0])
    second = Sparse((2, hidden), [0], [0], [1.0])
    return Network(
        inputs,
        (
            Layer(((0, first),), np.zeros(hidden), ("relu",) * hidden),
            Layer(((1, second),), np.zeros(2), ("identity",) * 2),
        ),
    )


def test_the_features_of_one_point_are_counted_before_all_are_computed(monkeypatch):
    data = blobs()
    solution, _ = certify_posterior(
        data, GaussianPosterior(1.0, np.zeros((16, 2)), np.zeros((16, 2))), gibbs_delta=None
    )
    norms = certify_norms(data, head(np.ones((16, 2)) * [1, -1]), "golowich")
    code = np.array(scattering(2, 4, 8).code)
    seen = []
    original = rule.FeatureMap.__call__
    monkeypatch.setattr(rule.FeatureMap, "__call__", lambda self, x: seen.append(len(x)) or original(self, x))
    measure = rule.measure(scattering(2, 4, 8))
    for honest in (solution, norms):
        with pytest.raises(CheckError, match="features, not 16"):
            check(rebuilt(honest, witness={"features": code}, measure=measure))
    assert seen == [1, 1]


def test_many_neurons_of_few_bytes_take_no_memory():
    """26 bytes of code give 10^5 neurons: their values are held for a few points at once, and many are refused."""
    network = wide(1, 50_000)
    x = np.linspace(-1, 1, 3)[:, None]
    assert certain_margins(network, x, np.zeros(3, dtype=np.int64)) == pytest.approx([0, 0, 1], abs=1e-9)
    data = blobs(p=1)
    honest = certify_code(data, Network.from_layers([([[1.0], [-1.0]], [0.0, 0.0])]))
    large = wide(1, 30_000)
    stream = np.frombuffer(encode_stream(large), dtype=np.uint8).astype(np.int64)
    many = DataTarget.from_arrays("many", np.repeat(data.matrix(), 1000, axis=0), np.repeat(data.labels, 1000))
    forged = rebuilt(honest, large, {"stream": stream}, target=many.sha256)
    with pytest.raises(CheckError, match="too much"):
        check(replace(forged, target=many))


def test_sparse_matrices_are_not_written_out_beyond_a_limit():
    network = wide(1000, 1000)
    assert [table.shape for table in matrices(network)] == [(1000, 1000), (2, 1000)]
    layers = [((k, Sparse((4000, 4000 if k else 1), [0], [0], [1.0])),) for k in range(3)]
    deep = Network(1, tuple(Layer(terms, np.zeros(4000), ("relu",) * 4000) for terms in layers))
    with pytest.raises(DomainError, match="entries"):
        matrices(replace(deep, layers=(*deep.layers[:-1], replace(deep.layers[-1], activations=("identity",) * 4000))))


def test_bounds_by_norms_are_about_exact_arithmetic_and_pay_for_the_scores():
    """Uniform convergence is proved for the functions of a class, not for their float64 values at unseen points."""
    data = blobs()
    solution = certify_norms(data, head(np.ones((16, 2)) * [1, -1]), "golowich")
    check(solution)
    assert solution.error.arithmetic == "exact"
    with pytest.raises(CheckError, match="form"):
        check(rebuilt(solution, arithmetic="float64"))
    for k in (2, 7):
        network, x = head(np.eye(16, k)), data.matrix()
        margins = certain_margins(network, x, data.labels)
        found = norm_bound("golowich", network, identity(), x, margins, 1.0, DELTA)
        complexity, nats = frobenius_complexity(matrices(network), frobenius_norm(x), 1.0, len(x))
        nats += math.log(3) + grid_nats(1) + grid_nats(k)
        assert found == pytest.approx(risk_bound(ramp_risk(margins, 1.0), complexity, nats, len(x), DELTA), rel=1e-9)


def test_a_fit_can_neither_scale_its_features_nor_bring_its_own_prior():
    data = blobs()

    def scaling(features, labels, classes):
        features -= features.mean(axis=0)
        return logistic_posterior(features, labels, classes)

    def informed(features, labels, classes):
        found = logistic_posterior(features, labels, classes)
        return GaussianPosterior(1.0, 0 * found.mean, found.log_std, None, found.mean)

    with pytest.raises(ValueError, match="read-only"):
        certify_risk(data, scaling)
    with pytest.raises(DomainError, match="made from the sample"):
        certify_risk(data, informed)


def test_standardizing_some_columns_or_all_numbers_together_is_found():
    random = np.random.default_rng(4)
    raw = random.lognormal(size=(500, 4)) * [1, 10, 0.1, 3]
    coins = np.repeat([[-1.0], [1.0]], 250, axis=0)  # of mean 0 and variance 1 by chance
    standard = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    for ddof in (0, 1):
        column = (raw[:, :1] - raw[:, :1].mean()) / raw[:, :1].std(ddof=ddof)
        assert "some columns" in str(fitted_scaling(np.hstack([column, raw[:, 1:], coins])))
    assert "some columns" in str(fitted_scaling(np.hstack([standard, raw])))
    assert "all of them" in str(fitted_scaling((raw - raw.mean()) / raw.std()))
    assert fitted_scaling(raw) is None
    assert fitted_scaling(np.hstack([raw, coins])) is None
    assert fitted_scaling(random.standard_normal((500, 4))) is None


@pytest.mark.parametrize("scale", [5e-324, 3e-320, 1e-200, 1.0, 1e90])
def test_norms_are_rounded_up_at_the_ends_of_float64(scale):
    for unit in (np.ones((1, 2)), np.eye(3), np.array([[3.0, 4.0], [-4.0, 3.0]]), np.zeros((2, 2))):
        table = unit * scale
        square = sum(Fraction(value) ** 2 for value in table.flat)
        assert Fraction(frobenius_norm(table)) ** 2 >= square
        # The rows of each are orthogonal and of one length.
        assert Fraction(spectral_norm(table)) ** 2 >= square / len(table)
