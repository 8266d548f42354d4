"""The linear-regions study: small cases against exact cells, made-up results against the rule."""

import numpy as np
import pytest

from epsnet.certify.domain import Box
from epsnet.enclosure.subdivision import exact_cells
from epsnet.experiments import Finished
from epsnet.geometry.extremal import fold_regions
from epsnet.studies import linear_regions as study

BOTH = {"most": 1e30, "kind": "ESTIMATED"}


def made_up(excess=0.0, factor=1.0, share=0.2, spread=0.1):
    """Return counts share N^(d + excess) factor^L with noise, and right fold networks."""
    generator = np.random.Generator(np.random.Philox(0))
    cases = []
    for case in study.cases(50, 0):
        inputs, hidden, neurons = case["inputs"], case["hidden"], case["neurons"]
        if case["weights"] == "fold":
            regions = fold_regions(2, (neurons // hidden,) * hidden)
        else:
            typical = share * neurons**inputs * (neurons / 96) ** excess * factor**hidden
            regions = max(round(typical * np.exp(spread * generator.standard_normal())), 1)
        cases.append(Finished(case, {"regions": regions, **BOTH}, 0.0))
    return cases


def test_cases():
    few, many = study.cases(1, 3), study.cases(90, 3)
    assert many[: len(few)] == few
    assert {case["neurons"] % case["hidden"] for case in many} == {0}
    random = [case for case in few if case["weights"] == "random"]
    sizes = sum(map(len, study.SIZES.values()))
    assert len(random) == 3 * (sizes * len(study.DEPTHS) + len(study.ALL_DEPTHS) - len(study.DEPTHS))


@pytest.mark.parametrize("neurons", [48, 72])
def test_measure(neurons):
    case = {"weights": "random", "inputs": 2, "hidden": 4, "neurons": neurons, "seed": 5}
    found = study.measure(case)
    network = study.initialized(2, (neurons // 4,) * 4, 5)
    assert found["regions"] == exact_cells(network, Box([-1, -1], [1, 1])).f_vector()[-1] <= found["most"]
    assert found["kind"] == ("PROVED" if neurons == 48 else "ESTIMATED")
    assert study.measure({"weights": "fold", "inputs": 2, "hidden": 2, "neurons": 16})["regions"] == 16 * 37


def test_initialization():
    """Weights have variance 2/fan-in, biases are uniform in [-1, 1]."""
    network = study.initialized(2, (400, 300), 1)
    for layer, fan_in in zip(network.layers[:2], (2, 400), strict=True):
        weights = np.array(layer.terms[0][1].entries()[2])
        assert weights.var() == pytest.approx(2 / fan_in, rel=0.15)
        assert np.abs(layer.bias).max() <= 1 and np.var(layer.bias) == pytest.approx(1 / 3, rel=0.15)


def test_verdicts():
    good = study.analyze(made_up())
    assert good.verdict.answer == "holds" and len(good.comparisons) == 6
    assert study.analyze(made_up(excess=1)).verdict.answer == "contradicts"
    assert study.analyze(made_up(factor=1.5, share=0.05)).verdict.answer == "contradicts"
    assert study.analyze(made_up(share=2.0)).verdict.answer == "contradicts"
    assert study.analyze(made_up(spread=2.0)).verdict.answer == "undecided"
    assert study.analyze([]).verdict.answer == "undecided"
    wrong = made_up()
    wrong[1] = wrong[1]._replace(result={"regions": 5, **BOTH})
    assert "2 hidden layers and 16 neurons has 5 regions" in study.analyze(wrong).verdict.reason
    above = made_up()
    above[-1] = above[-1]._replace(result={**above[-1].result, "most": 3.0})
    assert study.analyze(above).verdict.answer == "contradicts"


def test_figure(tmp_path):
    cases = made_up()
    figure = study.draw(cases, study.analyze(cases))
    figure.savefig(tmp_path / "figure.svg")
    law, depth = figure.axes
    assert (law.get_xscale(), law.get_yscale(), depth.get_yscale()) == ("log", "log", "log")
    study.draw(cases[:3], study.analyze(cases[:3])).savefig(tmp_path / "few.svg")
