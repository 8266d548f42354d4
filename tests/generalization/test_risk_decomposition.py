"""The decomposition on threshold classifiers over a finite distribution, where every term is known by brute force."""

import functools
import json
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import beta

from epsnet import DomainError
from epsnet.generalization import risk_decomposition
from epsnet.generalization.figures import draw_risk
from epsnet.generalization.risk_decomposition import Count, decompose_risk
from epsnet.statistics.binomial import clopper_pearson

# Each bound takes some milliseconds in ball arithmetic; few of them are different.
CLOPPER_PEARSON = functools.cache(clopper_pearson)


def generator(*key):
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


class Thresholds:
    """x uniform on {0, ..., m-1}, y = 1 with a probability that depends on x; the class is 1[x >= t], t = 0, ..., m."""

    def __init__(self, m, noise, flipped):
        self.probability = np.array([noise if x < m // 2 else 1 - noise for x in range(m)])
        self.probability[flipped] = 1 - self.probability[flipped]
        self.m = m

    def risk(self, t):
        right = sum(self.probability[x] if x >= t else 1 - self.probability[x] for x in range(self.m))
        return 1 - right / self.m

    @property
    def bayes(self):
        return float(np.minimum(self.probability, 1 - self.probability).mean())

    def sample(self, n, random):
        x = random.integers(self.m, size=n)
        return x, random.random(n) < self.probability[x]

    @staticmethod
    def errors(t, sample):
        x, y = sample
        return int(np.count_nonzero((x >= t) != y))


PROBLEMS = {
    "noise": Thresholds(10, 0.2, []),
    "not in the class": Thresholds(12, 0.1, [1, 2]),
    "no noise": Thresholds(8, 0.0, []),
    "hopeless": Thresholds(6, 0.0, [0, 5]),
}


def truth(problem, t, training):
    """The three parts by brute force over the class."""
    risks = [problem.risk(s) for s in range(problem.m + 1)]
    empirical = [problem.errors(s, training) / len(training[0]) for s in range(problem.m + 1)]
    gap = risks[t] - empirical[t]
    return min(risks), gap - (min(risks) - min(empirical)), empirical[t] - min(empirical), risks[t], gap


@pytest.mark.parametrize("name", PROBLEMS)
def test_identity_of_the_exact_parts(name):
    problem = PROBLEMS[name]
    for draw in range(20):
        training = problem.sample(40, generator(1, draw))
        for t in range(problem.m + 1):
            approximation, estimation, optimization, risk, _ = truth(problem, t, training)
            assert approximation + estimation + optimization == pytest.approx(risk, abs=1e-12)
            excess = (approximation - problem.bayes) + estimation + optimization
            assert excess == pytest.approx(risk - problem.bayes, abs=1e-12)
            assert approximation >= problem.bayes - 1e-12 and optimization >= 0


@pytest.mark.parametrize("name", PROBLEMS)
def test_intervals_hold_together_with_confidence(name, monkeypatch):
    """At delta = 1/5 at most 1/5 of 200 draws may miss; P(Bin(200, 1/5) > 65) < 1e-4. The bounds are far from sharp."""
    monkeypatch.setattr(risk_decomposition, "clopper_pearson", CLOPPER_PEARSON)
    problem, missed = PROBLEMS[name], 0
    for draw in range(200):
        random = generator(2, draw)
        training, unused = problem.sample(60, random), problem.sample(50, random)
        t, *others = random.permutation(problem.m + 1)[:4].tolist()
        found = decompose_risk(
            Count(problem.errors(t, training), 60),
            Count(problem.errors(t, unused), 50),
            same_sample=[Count(problem.errors(s, training), 60) for s in others],
            others_unused=[Count(problem.errors(s, unused), 50) for s in others],
            delta=Fraction(1, 5),
        )
        *parts, risk, gap = truth(problem, t, training)
        intervals = (*found.parts, found.risk, found.gap)
        inside = [
            p.low <= value + 1e-12 and value <= p.high + 1e-12
            for p, value in zip(intervals, (*parts, risk, gap), strict=True)
        ]
        assert inside[2]  # VERIFIED, whatever the draw
        missed += not all(inside)
        assert sum(part.estimate for part in found.parts) == pytest.approx(found.risk.estimate, abs=1e-12)
    assert missed <= 65


def test_numbers_by_hand():
    found = decompose_risk(
        Count(40, 2000), Count(500, 10_000), same_sample=[Count(30, 2000)], others_unused=[Count(450, 10_000)],
        larger_sample=Count(500, 50_000), delta=Fraction(1, 25),
    )  # fmt: skip
    share = 0.04 / 4  # two upper bounds, a lower one, Hoeffding
    upper, least = beta.ppf(1 - share, 501, 9500), beta.ppf(1 - share, 451, 9550)
    lower = beta.ppf(share, 500, 9501)
    hoeffding = np.sqrt(np.log(1 / share) / 4000)
    assert hoeffding > 0.015
    expected = {
        "approximation": (0, least, 0.01, "STATISTICAL"),
        "estimation": (max(lower - 0.02 - least, -0.02), upper - 0.02 + 0.015, 0.05 - 0.01 - 0.005, "STATISTICAL"),
        "optimization": (0.005, 0.02, 0.005, "VERIFIED"),
        "risk": (lower, upper, 0.05, "STATISTICAL"),
        "gap": (lower - 0.02, upper - 0.02, 0.03, "STATISTICAL"),
    }
    for name, (low, high, estimate, kind) in expected.items():
        part = getattr(found, name)
        assert (part.low, part.high, part.estimate) == pytest.approx((low, high, estimate), abs=1e-9)
        assert part.kind == kind and part.name == name
    assert found.confidence == 0.96
    # Many points: Hoeffding's term is the smaller one.
    many = decompose_risk(Count(4000, 20_000), Count(2500, 10_000), delta=Fraction(1, 25))
    assert many.estimation.high < 0.25 - 0.2 + 0.2 and many.estimation.high > 0.05


ADVICE = [
    ((Count(900, 10_000), Count(1000, 10_000), [Count(905, 10_000)]), "Approximation", "more width or depth"),
    ((Count(0, 10_000), Count(500, 10_000), [Count(0, 10_000)]), "Estimation", "more data, or a smaller class"),
    ((Count(900, 10_000), Count(950, 10_000), [Count(100, 10_000)]), "Optimization", "more epochs"),
]


@pytest.mark.parametrize(("counts", "part", "remedy"), ADVICE, ids=[part for _, part, _ in ADVICE])
def test_advice_names_the_largest_part(counts, part, remedy):
    training, unused, restarts = counts
    found = decompose_risk(training, unused, same_sample=restarts)
    assert found.advice[0].startswith(f"{part}: ") and remedy in found.advice[0]
    assert not any("One training run" in line for line in found.advice)


def test_one_run_says_what_it_cannot_tell():
    found = decompose_risk(Count(900, 10_000), Count(1000, 10_000))
    assert "from another seed" in found.advice[-1] and "9.00%" in found.advice[-1]
    assert decompose_risk(Count(0, 10), Count(0, 10)).advice == (
        "No error in 10 unused points: there is nothing left that these points could show.",
    )


def test_json_and_text():
    found = decompose_risk(Count(9, 100), Count(10, 100))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text) == found.to_json()
    assert all(kind in str(found) for kind in ("VERIFIED", "STATISTICAL", "ESTIMATED"))


@pytest.mark.parametrize(("errors", "points"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_counts(errors, points):
    with pytest.raises(DomainError, match="are no count"):
        Count(errors, points)


@pytest.mark.parametrize(
    "options",
    [
        {"same_sample": [Count(1, 99)]},
        {"larger_sample": Count(1, 99)},
        {"delta": Fraction(0)},
        {"delta": Fraction(1)},
    ],
    ids=["same sample", "larger sample", "delta 0", "delta 1"],
)
def test_what_does_not_fit_is_refused(options):
    with pytest.raises(DomainError, match=r"\.$"):
        decompose_risk(Count(1, 100), Count(1, 100), **options)


def test_picture():
    from matplotlib.figure import Figure

    found = {
        "8": decompose_risk(Count(900, 10_000), Count(1000, 10_000)),
        "perfect": decompose_risk(Count(0, 10), Count(0, 10)),
        "lucky": decompose_risk(Count(9, 100), Count(2, 100), same_sample=[Count(5, 100)]),
    }
    axes = Figure().subplots()
    draw_risk(axes, found)
    heights = [bar.get_height() for container in axes.containers for bar in container]
    # Parts from bottom to top of each network, in percent.
    assert np.reshape(heights, (3, 3)).sum(axis=0) == pytest.approx([10, 0, 2], abs=1e-9)
    assert [text.get_text() for text in axes.get_xticklabels()] == list(found)
