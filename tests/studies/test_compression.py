"""The study of compression: small cases, made-up results, the figure."""

import numpy as np
import pytest

from epsnet.certify.domain import Box
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.experiments import Finished
from epsnet.studies import compression as study


def made_up(bits, halvings=study.HALVINGS, error=0.7):
    scatter = np.random.default_rng(0).uniform(-2, 2, (3, 20))
    return [
        Finished(
            {"network": k, "halvings": j},
            {
                "error": error * 2.0**-j,
                "stages": [
                    {"stage": "original", "weights": 100, "neurons": 9, "bits": 6400},
                    {"stage": "compressed", "weights": 50, "neurons": 9, "bits": bits(j) + scatter[k, j]},
                ],
                "kind": "VERIFIED",
                "theorem": 500.0 + 100 * j,
            },
            0.0,
        )
        for j in halvings
        for k in range(3)
    ]


def test_cases():
    assert len(study.cases(60, 0)) == 27
    assert study.cases(6, 5) == [{"network": k, "halvings": 3} for k in (5, 6, 7)]


def test_bits_of_the_theorem_by_hand():
    """0.75 x + 1 on [0, 1]: e_1 = (s / 2)(1 + 1) = s, so s = 1/8 for eps = 0.2, and both take 1 + ceil(log2 9) bits."""
    network = Network.from_layers([([[0.75]], [1.0])])
    assert study.predicted_bits(network, 0.2) == 96 + 2 * 5


def test_measure():
    found = study.measure({"network": 0, "halvings": 3})
    assert found["error"] <= 1 / 8 and found["kind"] == "VERIFIED"
    first, last = found["stages"][0], found["stages"][-1]
    network = study.network_of(0)
    assert first["weights"] == network.size.weights > last["weights"]
    values = realize(network, np.random.default_rng(0).uniform(0, 1, (100, 2)))
    assert np.isfinite(values).all() and network.inputs == Box([0, 0], [1, 1]).dimension


@pytest.mark.parametrize(
    ("results", "answer"),
    [
        (made_up(lambda j: 300 + 80 * j), "holds"),
        (made_up(lambda j: 900 + 150 * j), "contradicts"),
        (made_up(lambda j: 300 + 80 * j, error=1.1), "contradicts"),
        (made_up(lambda j: 4000 + 10 * j), "contradicts"),
        (made_up(lambda j: 300 + 80 * j, range(3, 5)), "undecided"),
        ([], "undecided"),
    ],
    ids=["theorem", "too many", "above eps", "above float32", "too few", "none"],
)
def test_verdicts(results, answer):
    assert study.analyze(results).verdict.answer == answer


def test_figure(tmp_path):
    results = made_up(lambda j: 300 + 80 * j)
    figure = study.draw(results, study.analyze(results))
    figure.savefig(tmp_path / "figure.svg")
    left, right = figure.axes
    assert left.get_yscale() == "log" and len(right.get_legend_handles_labels()[1]) == 2
