"""The study of quantization distances: small cases, a network of one weight by hand, made-up results."""

import numpy as np
import pytest

from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.experiments import Finished
from epsnet.studies import quantization_distance as study


def made_up(distance, bits=range(4, 14)):
    scatter = np.random.default_rng(0).uniform(0.95, 1.05, (3, 20))
    return [
        Finished(
            {"network": k, "bits": b},
            {
                "lower": (d := distance(b) * scatter[k, b - 4]),
                "upper": 1.05 * d,
                "theorem": 2.0**-b,
                "kind": "VERIFIED",
            },
            0.0,
        )
        for b in bits
        for k in range(3)
    ]


def test_cases():
    assert len(study.cases(60, 0)) == 39
    assert study.cases(3, 5) == [{"network": k, "bits": 4} for k in (5, 6, 7)]


def test_one_weight_by_hand():
    """Phi(x) = 0.7 x + 1 with 3 bits: the step is 1/4, 0.7 becomes 0.75, and e_1 = (1/8)(1 + 1)."""
    network = Network.from_layers([([[0.7]], [1.0])])
    assert study.quantized(network, 3).layers[0].terms[0][1].rows == [[(0, 0.75)]]
    assert study.predicted(network, 3) == pytest.approx(0.25)


def test_measure():
    case = {"network": 0, "bits": 8}
    found = study.measure(case)
    network = study.network_of(0)
    x = np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    seen = np.abs(realize(network, x) - realize(study.quantized(network, 8), x)).max()
    assert seen <= found["upper"] <= 1.06 * found["lower"] and found["upper"] <= found["theorem"]


@pytest.mark.parametrize(
    ("distance", "answer"),
    [
        (lambda b: 2.0**-b / 100, "holds"),
        (lambda b: 2.0 ** (-b / 2) / 1000, "contradicts"),
        (lambda b: 2.0 ** (-1.15 * b) / 100, "undecided"),
        (lambda b: 2.0**-b * 3, "contradicts"),
    ],
    ids=["theorem", "other rate", "at the margin", "above the bound"],
)
def test_verdicts(distance, answer):
    assert study.analyze(made_up(distance)).verdict.answer == answer
    assert study.analyze(made_up(distance, range(4, 6))).verdict.answer != "holds"
    assert study.analyze([]).verdict.answer == "undecided"


def test_figure(tmp_path):
    cases = made_up(lambda b: 2.0**-b / 100)
    figure = study.draw(cases, study.analyze(cases))
    figure.savefig(tmp_path / "figure.svg")
    (axes,) = figure.axes
    assert axes.get_yscale() == "log" and len(axes.get_legend_handles_labels()[1]) == 6
