"""Effective rates: planted rates are recovered, planted cheaters are flagged, learners store what they say."""

import functools
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx

from epsnet.certify.errors import DomainError
from epsnet.codec.arithmetic import Decoder, Encoder
from epsnet.core.realize import realize, realize_ball
from epsnet.dictionaries import learners
from epsnet.dictionaries.effective_rate import effective_rate, planned, summarize
from epsnet.dictionaries.entropy import entropy_line
from epsnet.dictionaries.learners import (
    Learned,
    haar_ramps,
    horizon_network,
    horizons,
    largest_terms,
    polygon_network,
    polygons,
    quantized,
    steps_network,
    stored_bits,
    tikhomirov,
    universal_neuron,
)
from epsnet.dictionaries.model_classes import Cartoon, Hoelder, Variation, besov, modulation
from epsnet.dictionaries.rate_figures import rate_figure

SIZES = (4, 64, 91, 128, 181, 256, 512)


def planted(error, weights, bits, magnitude, depth=lambda _: 1):
    """A learner whose numbers follow formulas, with 2 % noise that depends on the member."""

    def learner(member, size):
        noise = 1 + 0.02 * math.sin(1e4 * float(np.sum(member)))
        return Learned(error(size) * noise, weights(size), bits(size), magnitude(size), depth(size))

    return learner


CLASS = Variation(levels=10)  # gamma* = 1


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1.0])
def test_planted_rates_are_recovered(gamma):
    learner = planted(lambda n: n**-gamma, lambda n: 5 * n, lambda n: 300 + 9 * n, lambda n: 2 * math.log2(n))
    found = effective_rate(learner, CLASS, SIZES, members=2)
    assert found.rate.value == pytest.approx(gamma, abs=0.02)
    assert found.rate.low <= gamma <= found.rate.high
    # The bits of the first size count as fixed, so a few N are missing.
    assert found.bit_rate.value == pytest.approx(gamma, abs=0.04)
    assert found.growth.value == pytest.approx(2 / gamma, abs=0.1)
    assert found.effective and not found.contradicts and len(found.reasons) == 1
    assert found.sizes == SIZES and found.weights == tuple(5 * n for n in SIZES)


CHEATERS = {
    "fixed size": (planted(lambda n: 1 / n, lambda _: 4, lambda n: 9 * n, lambda n: 9.0 * n), False),
    "huge weights": (planted(lambda n: 1 / n, lambda n: n, lambda n: 9 * n, float), False),
    "endless search": (
        planted(lambda n: 1 / n, lambda n: n, lambda n: 9 * n, lambda _: 1.0, lambda n: 2**n), False,
    ),
    "too fast": (planted(lambda n: n**-2.0, lambda n: n, lambda n: n * n, math.log2), True),
    "too few bits": (planted(lambda n: n**-2.0, lambda n: n * n, lambda n: 9 * n, math.log2), True),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATERS)
def test_planted_cheaters_are_flagged(name):
    learner, contradicts = CHEATERS[name]
    found = effective_rate(learner, CLASS, SIZES, members=1)
    assert not found.effective and found.contradicts == contradicts
    assert all(reason.endswith(".") for reason in found.reasons)


def test_a_rate_of_given_members_contradicts_nothing():
    learner = planted(lambda n: n**-2.0, lambda _: 4, lambda n: 9 * n, lambda n: 9.0 * n)
    stored = [learner(np.zeros(1), n) for n in SIZES]
    found = summarize("given", 1.0, SIZES, stored, hard=False)
    assert not found.effective and not found.contradicts and math.isinf(found.rate.value)


def test_plan():
    cases = planned([8, 64], members=3, seed=1)
    assert len(cases) == 2 * 3 * 4 and len(set(cases)) == len(cases)
    assert {scale for size, _, scale in cases if size == 64} == {5, 6, 7, 8}
    # Every kind of member occurs.
    assert {seed % 3 for _, seed, _ in cases} == {0, 1, 2}
    assert planned([8, 64], members=3, seed=2) != cases


def test_refusals():
    with pytest.raises(DomainError, match="no 9 of 3"):
        quantized(np.ones(3), 9, 1.0)
    with pytest.raises(DomainError, match="power of 2"):
        polygons(Hoelder(2.0).member(0, 2), 12, 2.0)
    learner = planted(lambda n: 1 / n, lambda n: n, lambda n: n, lambda _: 1.0)
    with pytest.raises(DomainError, match="too few"):
        effective_rate(learner, CLASS, [8, 16, 32, 64], members=1)
    broken = planted(lambda _: math.nan, lambda n: n, lambda n: n, lambda _: 1.0)
    with pytest.raises(DomainError, match="not positive"):
        effective_rate(broken, CLASS, SIZES, members=1)


LEARNERS = (
    (Hoelder(1.0), tikhomirov, (4, 64, 128, 256)),
    (Hoelder(2.0), functools.partial(polygons, smoothness=2.0), (16, 256, 512, 1024)),
    (Variation(levels=12), haar_ramps, (4, 64, 128, 256)),
    (Cartoon(2.0), functools.partial(horizons, smoothness=2.0), (16, 256, 512, 1024)),
    (besov(1.5, levels=12), None, (4, 64, 91, 128, 181, 256)),
    (modulation(2.0, rings=6), None, (4, 64, 91, 128, 181, 256)),
)


@pytest.mark.parametrize(("model_class", "learner", "sizes"), LEARNERS, ids=lambda v: getattr(v, "name", ""))
def test_no_learner_is_below_the_entropy_line_and_rates_are_near(model_class, learner, sizes):
    learner = learner or functools.partial(largest_terms, model_class=model_class)
    found = effective_rate(learner, model_class, sizes, members=1)
    assert found.effective, found.reasons
    for error, bits in zip(found.errors, found.bits, strict=True):
        assert error >= entropy_line(model_class, bits) * (1 - 1e-12)
    # One member of each scale only; the study measures to 0.1.
    assert found.rate.value == pytest.approx(model_class.optimal_rate, abs=0.2)
    assert found.bit_rate.value == pytest.approx(model_class.optimal_rate, abs=0.25)


def test_the_code_of_kolmogorov_and_tikhomirov_is_on_the_line():
    ball = Hoelder(1.0)
    worst = max(tikhomirov(ball.member(0, scale), 64).error for scale in range(3, 9))
    assert tikhomirov(ball.member(0, 3), 64).bits == 63
    assert worst == pytest.approx(entropy_line(ball, 63), rel=0.3) and worst <= entropy_line(ball, 63)


def test_the_universal_neuron_is_not_effective():
    found = effective_rate(universal_neuron, Hoelder(1.0), (4, 64, 128, 256), members=1)
    assert set(found.weights) == {4} and not found.effective and not found.contradicts
    assert found.bit_rate.value == pytest.approx(1, abs=0.15)


def test_the_universal_neuron_is_the_network_it_says():
    """Evaluated in balls, against the member."""
    member = Hoelder(1.0).member(1, 3)
    levels = np.rint(member.polygon(16) * 16).astype(np.int64)
    network, index = steps_network(levels)
    stored = universal_neuron(member, 16)
    assert (network.size.weights, index.bit_length()) == (stored.weights, stored.bits)
    x = [Fraction(k, 101) for k in range(102)]
    previous, ctx.prec = ctx.prec, 400
    try:
        balls = [realize_ball(network, [arb(t.numerator) / t.denominator])[0] for t in x]
    finally:
        ctx.prec = previous
    assert max(float(ball.rad()) for ball in balls) < 1e-30
    values = np.array([float(ball.mid()) for ball in balls])
    seen = np.abs(values - member([float(t) for t in x])).max()
    assert 0.1 * stored.error <= seen <= stored.error + 1e-12


@pytest.mark.parametrize("smoothness", [1.5, 2.0])
def test_the_error_of_a_polygon(smoothness, monkeypatch):
    seen = []
    monkeypatch.setattr(learners, "polygon_network", lambda values: seen.append(polygon_network(values)) or seen[-1])
    member = Hoelder(smoothness).member(2, 5)
    stored = polygons(member, 32, smoothness)
    x = np.linspace(0, 1, 20_001)
    error = np.abs(realize(seen[0], x[:, None]).ravel() - member(x)).max()
    assert stored.error == pytest.approx(error, rel=1e-3) and stored.weights == seen[0].size.weights


def test_the_error_of_a_horizon(monkeypatch):
    """By the midpoint rule on the whole square."""
    seen = []
    monkeypatch.setattr(learners, "horizon_network", lambda *a: seen.append(horizon_network(*a)) or seen[-1])
    member = Cartoon(2.0).member(0, 2)
    stored = horizons(member, 4, 2.0)
    first, second = (np.arange(400) + 0.5) / 400, (np.arange(3000) + 0.5) / 3000
    points = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
    values = realize(seen[0], points).reshape(400, 3000)
    image = second <= member(first)[:, None]
    assert stored.error == pytest.approx(math.sqrt(np.mean((values - image) ** 2)), rel=0.01)


def test_the_error_of_haar_terms():
    """Between the best error with that many terms, and what rounding and ramps may add."""
    member = Variation(levels=9).member(1, 5)
    basis = [np.ones(512)]
    for j in range(9):
        for k in range(2**j):
            atom = np.zeros(512)
            width = 512 >> (j + 1)
            atom[2 * k * width : (2 * k + 1) * width], atom[(2 * k + 1) * width : (2 * k + 2) * width] = 1, -1
            basis.append(atom * 2 ** (j / 2))
    coefficients = np.sort(np.abs(np.array(basis) @ member / 512))[::-1]
    best = np.linalg.norm(coefficients[16:])
    stored = haar_ramps(member, 16)
    assert best <= stored.error <= 1.6 * np.linalg.norm(coefficients[8:])


def test_quantized():
    rng = np.random.default_rng(0)
    values = rng.standard_cauchy(300)
    integers, step = quantized(values, 20, 1.0)
    assert 20 <= np.count_nonzero(integers) <= 22
    assert np.abs(values - step * integers).max() <= step
    integers, step = quantized(1e-9 * values, 20, 1.0)
    assert step > 1e-4 and not integers.any()


def written(integers, blocks, coder):
    """The code that `stored_bits` counts, written or read: with None it returns what it reads."""
    found = []
    for block in blocks:
        words = [0] * (block.stop - block.start) if integers is None else integers[block].tolist()
        left, nonzero = len(words), coder.natural(sum(map(bool, words)))
        for word in words:
            take = nonzero == left if nonzero in (0, left) else coder.bit(int(word != 0), left - nonzero, left)
            left, nonzero = left - 1, nonzero - take
            if take:
                sign = coder.uniform(int(word < 0), 1)
                found.append((1 - 2 * sign) * (coder.natural(abs(word) - 1 if word else 0) + 1))
            else:
                found.append(0)
    return found


def test_stored_bits_are_those_of_a_code():
    rng = np.random.default_rng(3)
    blocks = [slice(0, 1), slice(1, 4), slice(4, 40), slice(40, 400), slice(400, 1000)]
    for density in (0.01, 0.2, 1.0):
        integers = (rng.geometric(0.3, 1000) * rng.choice([-1, 1], 1000) * (rng.random(1000) < density)).astype(int)
        integers[400:] = 0
        encoder = Encoder()
        written(integers, blocks[:4], encoder)
        assert abs(stored_bits(integers, blocks) - 32 - encoder.bits) <= 5
        assert written(None, blocks[:4], Decoder(encoder.finish())) == integers[:400].tolist()


def test_figure():
    ball = Hoelder(1.0)
    found = effective_rate(tikhomirov, ball, (4, 64, 128, 256), members=1)
    axes = rate_figure(found, ball).axes[0]
    points, line = axes.lines
    assert np.array_equal(points.get_xdata(), found.bits)
    assert all(a >= b for a, b in itertools.pairwise(line.get_ydata()))
    assert np.allclose(line.get_ydata(), 1 / (np.asarray(line.get_xdata()) + 1))
