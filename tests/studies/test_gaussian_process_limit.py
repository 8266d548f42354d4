"""The study of the Gaussian-process limit in small, its laws against sampled networks, and verdicts."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from epsnet.core.realize import realize
from epsnet.experiments import Finished, sweep
from epsnet.generalization.kernels import nngp
from epsnet.generalization.wide_network import Dense, WideNetwork
from epsnet.studies import gaussian_process_limit as this


@pytest.fixture(scope="module")
def finished():
    return sweep(this.measure, this.cases(1, 0))


def test_a_small_budget_does_not_contradict(finished):
    analysis = this.analyze(finished)
    assert len(analysis.comparisons) == 9
    assert analysis.verdict.answer in ("holds", "undecided")


def test_the_chain_of_covariances_is_the_law_of_the_network():
    """Outputs of sampled networks, made uniform by the mixture of the chain, pass the test of Kolmogorov."""
    net = WideNetwork([Dense(2**0.5), "relu", Dense(2**0.5), "relu", Dense(1.0)])
    points = this.inputs()
    rng = np.random.default_rng(5)
    # The first layer has the covariance x . x', here 2 x . x'/d with d = 2.
    drawn = np.array([realize(net.sample(6, 2, rng), points)[:, 0] for _ in range(1000)]) * 2**0.5
    chain, _ = this.covariances(points, 2, 6, 4000, 1)
    way = np.array([1.0, -1.0, 0.5])
    deviations = np.sqrt(np.einsum("i,sij,j->s", way, chain, way)) + 1e-12
    assert kstest(drawn @ way, lambda v: norm.cdf(v[:, None] / deviations).mean(axis=1)).pvalue > 1e-3
    assert np.allclose(this.limit(points, 2), 2 * nngp(net, points), rtol=1e-12)


def test_kurtosis_and_distance_of_known_laws():
    """A mixture of two variances by quadrature; and the control variate changes nothing on average."""
    ratios = np.tile([0.5, 1.5], 500)
    x = np.linspace(-30, 30, 600_001)
    exact = np.trapezoid(np.abs((norm.cdf(x / 0.5**0.5) + norm.cdf(x / 1.5**0.5)) / 2 - norm.cdf(x)), x)
    plain = this.excess(ratios, np.zeros(1000)).mean(axis=0)
    assert this.wasserstein(plain) == pytest.approx(exact, rel=2e-3)
    assert this.wasserstein(this.excess(ratios, ratios - 1).mean(axis=0)) == pytest.approx(exact, rel=2e-3)
    z = np.linspace(-12, 12, 240_001)
    moment = np.trapezoid(np.abs(z**3 - 3 * z) * norm.pdf(z), z)
    assert pytest.approx(moment, rel=1e-6) == this.ABSOLUTE_MOMENT


def made_up(power, factor):
    found = []
    for hidden in this.HIDDEN:
        for n in this.WIDTHS:
            exact = this.kurtosis(hidden, n)
            distance = factor * exact / 24 * this.ABSOLUTE_MOMENT
            result = {"sliced": n**-power, "one_input": [distance] * 11, "kurtosis": [factor * exact] * 11}
            found.append(Finished({"hidden": hidden, "width": n, "samples": 10, "seed": 0}, result, 0.0))
    return found


@pytest.mark.parametrize(
    ("cases", "answer"),
    [(made_up(1, 1), "holds"), (made_up(0.5, 1), "contradicts"), (made_up(1, 1.5), "contradicts"), ([], "undecided")],
    ids=["limit", "slow", "constant", "nothing"],
)
def test_verdicts(cases, answer, tmp_path):
    analysis = this.analyze(cases)
    assert analysis.verdict.answer == answer
    this.draw(cases, analysis).savefig(tmp_path / "figure.svg")
