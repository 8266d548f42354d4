r"""Study: bounds of a risk side by side - do they hold, and which of them say anything?

**Theorem** (one for each bound; see `epsnet.generalization.certificates`). With probability at least 1 - delta over the
sample, and over the draw where there is one, the risk is at most the bound.

**What is measured.** First, tasks with a known risk: two classes x | y ~ N(+-mu, I) in the plane with Bayes risk
Phi(-|mu|) = 0.1 and n = 1000 points. The risk of a linear classifier is a value of Phi, the Gibbs risk an integral over
the plane; both are computed without the code of the bounds. Each bound has delta = 0.1 for itself, so at most a tenth
of all samples may violate it. Second, the 60,000 MNIST digits in 7 x 7 gray values, a linear classifier, and all bounds
at once with confidence 0.95; the 10,000 test digits estimate the risk.

The rule asks that no bound is violated too often. That a bound is vacuous contradicts nothing; the picture shows it.

Sources: G. K. Dziugaite, D. M. Roy, UAI 2017; J. Langford, JMLR 6 (2005) 273-306; Y. Jiang, B. Neyshabur, H. Mobahi,
D. Krishnan, S. Bengio, ICLR 2020 (bounds beside each other).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.bound import Bound, Kind
from epsnet.core.network import Network
from epsnet.core.solution import Solution
from epsnet.data import Sample, load_mnist
from epsnet.experiments import Estimate, Finished, seeds
from epsnet.features.maps import with_constant
from epsnet.generalization.bound_figures import draw_bounds
from epsnet.generalization.certificates import BY_NORMS, NAMES, certify_risk, certify_unused
from epsnet.generalization.norm_bounds import certify_norms
from epsnet.generalization.occam import certify_code, shorten_code
from epsnet.generalization.pac_bayes import certify_posterior, halves, prior_from
from epsnet.generalization.posterior import head, logistic_posterior
from epsnet.statistics.binomial import clopper_pearson
from epsnet.statistics.posterior import GaussianPosterior
from epsnet.studies.figures import STYLES, finish, new_figure
from epsnet.studies.study import Analysis, Comparison, Study, Verdict, judge, unless_all_hold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAYES = 0.1
POINTS = 1000
DELTA = Fraction(1, 10)
DISTANCE = 1.2815515655446004
"""|mu|, with Phi(-|mu|) = 0.1."""
DIGITS_DELTA = Fraction(1, 20)
_POOL = 4
_SECONDS_OF_DIGITS, _SECONDS_OF_A_TASK = 20.0, 0.8
_LEAST_TASKS = 40
_NODES = 64
_RADIUS = 9.0
_FAMILY_CONFIDENCE = 0.95


def cases(budget: float, seed: int) -> list[dict[str, Any]]:
    """Return the digits, and the tasks: one for each 0.8 seconds that are left of the budget, but at least 40."""
    tasks = max(_LEAST_TASKS, int((budget - _SECONDS_OF_DIGITS) / _SECONDS_OF_A_TASK))
    planned: list[dict[str, Any]] = [{"task": number} for number in seeds(seed, tasks)]
    return [{"digits": 60_000, "seed": seed}, *planned]


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the bounds, and the true risks where they are known."""
    return measure_digits(case["digits"], case["seed"]) if "digits" in case else measure_task(case["task"])


def task(seed: int, points: int = POINTS) -> tuple[Sample, Sample]:
    """Return two independent samples of a task: one to train on, one unused."""
    random = np.random.Generator(np.random.Philox(seed))
    angle = random.uniform(0, 2 * math.pi)
    center = DISTANCE * np.array([math.cos(angle), math.sin(angle)])
    labels = random.integers(0, 2, 2 * points)
    inputs = random.standard_normal((2 * points, 2)) + np.outer(2 * labels - 1, center)
    both = Sample(inputs, labels, f"task {seed}", ("minus", "plus"))
    return both.take(np.arange(points), "training"), both.take(np.arange(points, 2 * points), "unused")


def center_of(seed: int) -> NDArray[np.float64]:
    """Return mu of a task."""
    angle = np.random.Generator(np.random.Philox(seed)).uniform(0, 2 * math.pi)
    return DISTANCE * np.array([math.cos(angle), math.sin(angle)])


def network_risk(network: Network, center: NDArray[np.float64]) -> float:
    """Return the risk of a linear classifier of the plane for classes N(+-mu, I)."""
    from scipy.special import ndtr

    (layer,) = network.layers
    rows = layer.terms[0][1].apply(np.eye(2)).T
    bias = np.array([float(value) for value in layer.bias_values()])
    normal, offset = rows[1] - rows[0], float(bias[1] - bias[0])
    length = float(np.linalg.norm(normal))
    if length == 0:
        return 0.5
    inside = float(normal @ center)
    return float(ndtr(-(inside + offset) / length) + ndtr(-(inside - offset) / length)) / 2


def gibbs_risk(posterior: GaussianPosterior, center: NDArray[np.float64]) -> float:
    """Return the Gibbs risk for classes N(+-mu, I), by quadrature in polar coordinates.

    At the origin, where the scores of all heads vanish, the probability of an error has no limit.
    """
    from scipy.special import ndtr

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    radii = _RADIUS * (nodes + 1) / 2
    angles = 2 * math.pi * np.arange(4 * _NODES) / (4 * _NODES)
    points = (radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)).reshape(-1, 2)
    mean, std = posterior.logits(points)
    error = ndtr((mean[:, 0] - mean[:, 1]) / np.hypot(std[:, 0], std[:, 1]))  # of the class +
    density = np.exp(-((points - center) ** 2).sum(axis=1) / 2) / (2 * math.pi)
    measure = np.repeat(weights * radii, len(angles)) * _RADIUS / 2 * 2 * math.pi / len(angles)
    return float(error @ (density * measure))


def measure_task(seed: int) -> dict[str, Any]:
    """Return each bound of a task, at delta = 0.1 for itself, with the true risk that it is about."""
    train, unused = task(seed)
    center = center_of(seed)
    posterior = logistic_posterior(train.matrix(), train.labels, 2)
    network = head(posterior.mean_weights())
    first, second = halves(train, seed)
    prior = prior_from(first, logistic_posterior)
    small = shorten_code(network, train.matrix(), train.labels)
    drawn, gibbs = certify_posterior(train, posterior, delta=DELTA, gibbs_delta=DELTA)
    found: dict[str, Solution | Bound | None] = {
        "gibbs": gibbs,
        "draw": drawn,
        "half-draw": certify_posterior(second, prior, delta=DELTA, gibbs_delta=None)[0],
        "half-binomial": certify_unused(first, head(prior.mean_weights()), second, delta=DELTA),
        "code": certify_code(train, small, delta=DELTA),
        **{key: certify_norms(train, network, theorem, delta=DELTA) for key, theorem in BY_NORMS.items()},
        "unused": certify_unused(train, network, unused, delta=DELTA),
    }
    bounds, truths = {}, {}
    for key, one in found.items():
        if isinstance(one, Solution):
            bounds[key], truths[key] = one.error.value, network_risk(one.network, center)
        elif one is not None:
            bounds[key], truths[key] = one.value, gibbs_risk(posterior, center)
    return {"bounds": bounds, "truths": truths, "kind": Kind.STATISTICAL.value}


def measure_digits(count: int, seed: int) -> dict[str, Any]:
    """Return all bounds for linear classifiers of small digits, and the share of errors on the test digits."""
    train, test = (_small(load_mnist(part)) for part in ("train", "test"))
    train = train.take(np.arange(min(count, len(train))))
    found = certify_risk(
        train, logistic_posterior, features=with_constant(), unused=test, delta=DIGITS_DELTA, seed=seed
    )
    stats = found["unused"].solution.stats
    return {
        "bounds": {each.key: each.bound.value for each in found.certificates},
        "test": stats["errors"] / stats["points"],
        "kind": Kind.STATISTICAL.value,
    }


def _small(digits: Sample) -> Sample:
    side = digits.inputs.shape[1] // _POOL
    blocks = digits.inputs.reshape(len(digits), side, _POOL, side, _POOL).astype(np.float64)
    return Sample(blocks.mean(axis=(2, 4)).reshape(len(digits), -1), digits.labels, digits.name, digits.classes)


def analyze(finished: Sequence[Finished]) -> Analysis:
    """Compare how often each bound is violated with delta, and say what the bounds are."""
    results = [one.result for one in finished if "task" in one.inputs]
    comparisons = []
    # Each interval has its share of the family's error.
    share = Fraction(str(1 - _FAMILY_CONFIDENCE)).limit_denominator(100) / (2 * len(NAMES))
    for key in NAMES if results else ():
        violated = sum(result["truths"][key] > result["bounds"][key] for result in results)
        n = len(results)
        low = 1 - clopper_pearson(n - violated, n, share)
        measured = Estimate(violated / n, low, clopper_pearson(violated, n, share))
        margin = max(0.0, measured.high - violated / n)
        comparisons.append(
            Comparison(
                key, "violated", measured, "<=", float(DELTA), margin, Kind.ESTIMATED.value,
                judge(measured, float(DELTA), margin, "<="),
            )
        )  # fmt: skip
    verdict = unless_all_hold(comparisons)
    if not results:
        verdict = Verdict("undecided", "No task was finished.")
    medians = {key: float(np.median([result["bounds"][key] for result in results])) for key in NAMES if results}
    remarks = [
        f"{NAMES[key]}: median {value:.4g} for a risk of {BAYES:g} from {POINTS} points"
        + (", vacuous" if value >= 0.5 else "")
        for key, value in sorted(medians.items(), key=lambda item: item[1])
    ]
    return Analysis(
        tuple(comparisons),
        verdict or Verdict("holds", f"No bound was violated more often than {DELTA} allows, in {len(results)} tasks."),
        tuple(remarks),
        {"medians": medians},
    )


def draw(finished: Sequence[Finished], analysis: Analysis) -> Figure:
    """Draw the bounds of all tasks, and those of the digits beside each other."""
    figure = new_figure((12.0, 4.6))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    results = [one.result for one in finished if "task" in one.inputs]
    medians = analysis.details.get("medians", {})
    order = sorted(medians, key=lambda key: medians[key])
    for place, key in enumerate(order):
        values = [result["bounds"][key] for result in results]
        spread = np.linspace(-0.25, 0.25, len(values))
        left.plot(values, len(order) - 1 - place + spread, ".", color=STYLES[0].color, markersize=3, alpha=0.6)
    if results:
        left.axvline(BAYES, color=STYLES[2].color, label="least possible risk")
        left.axvline(0.5, color=STYLES[4].color, linestyle="--", label="guessing a class")
        left.set_xscale("log")
        left.legend(frameon=False, fontsize=8, loc="upper right")
    left.set_yticks(range(len(order)), order[::-1], fontsize=8)
    left.set_title(f"{len(results)} tasks in the plane, {POINTS} points, delta = {float(DELTA):g} each", fontsize=10)
    left.set_xlabel("upper bound of the risk")
    digits = [one.result for one in finished if "digits" in one.inputs]
    if digits:
        named = {NAMES[key]: value for key, value in digits[0]["bounds"].items()}
        draw_bounds(right, named, guessing=0.9, truth=digits[0]["test"], label="test error")
        right.set_title(f"digits of 7 x 7 pixels, linear; all at once, delta = {float(DIGITS_DELTA):g}", fontsize=10)
    return finish(figure, str(analysis.verdict))


STUDY = Study(
    name="risk-bounds",
    claim=(
        "With probability at least 1 - delta over the sample the risk is at most the bound: PAC-Bayes, Occam, "
        "binomial, Rademacher, Frobenius and spectral norms side by side."
    ),
    source=(
        "G. K. Dziugaite, D. M. Roy, UAI 2017; J. Langford, JMLR 6 (2005) 273-306; P. L. Bartlett, D. J. Foster, "
        "M. J. Telgarsky, NIPS 2017"
    ),
    rule=(
        f"On tasks with known risk each bound is violated in at most the share delta = {float(DELTA):g}; the margin is "
        f"the width of the exact binomial interval ({_FAMILY_CONFIDENCE:.0%} for all bounds together)."
    ),
    budget=60.0,
    cases=cases,
    measure=measure,
    analyze=analyze,
    draw=draw,
)
