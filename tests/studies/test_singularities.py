"""The study of singularities: pixel coverage by brute force, images, one case, verdicts of made-up errors."""

import itertools

import numpy as np
import pytest

pytest.importorskip("pywt")

from epsnet.experiments import Finished
from epsnet.studies import singularities as study


def test_cases():
    assert study.cases(5, 0) == [
        {"image": "points", "dictionary": name, "side": study.SIDE, "terms": study.TERMS}
        for name in ("wavelets", "Gabor", "shearlets", "ridgelets")
    ]
    planned = study.cases(60, 0)
    assert {(c["image"], c["side"]) for c in planned[16:]} == {
        (name, side) for name in ("disc", "flower") for side in (256, 2048)
    }
    assert len(study.cases(1e9, 0)) == 16 + 6 * 12


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4, 1.2, np.pi / 2])
def test_coverage_is_the_area_of_the_part_of_a_pixel(angle):
    normal = np.cos(angle), np.sin(angle)
    points = (np.arange(400) + 0.5) / 400 - 0.5
    u, v = np.meshgrid(points, points)
    for distance in (-1.0, -0.6, -0.2, 0.0, 0.1, 0.45, 0.9):
        expected = np.mean(distance + u * normal[0] + v * normal[1] < 0)
        found = study.coverage(np.array(distance), (np.array(normal[0]), np.array(normal[1])))
        assert found == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("name", ["disc", "flower", "line"])
def test_edges_are_means_over_pixels(name):
    """Of an image eight times as fine, away from what the curvature of an edge inside a pixel changes."""
    side = 64
    fine = study.image(name, 8 * side).reshape(side, 8, side, 8).mean(axis=(1, 3))
    difference = np.abs(study.image(name, side) - fine)
    assert difference.max() <= 0.05 and np.mean(difference) <= 1e-3


def test_measure():
    found = study.measure({"image": "disc", "dictionary": "wavelets", "side": 64, "terms": 64 * 64})
    assert found == {"squared_error": pytest.approx(0, abs=1e-20)}
    shown = study.measure({"image": "texture", "dictionary": "wavelets", "side": study.SIDE, "terms": study.TERMS})
    assert shown["squared_error"] == pytest.approx(0.0545, rel=0.01)
    picture = study._unpacked(shown["picture"])
    assert picture.shape == (96, 96) and np.abs(picture).max() <= 1


def made_up(lead=2.0, shearlets=-2.0, wavelets=-1.0, drop=None, steps=7):
    picture = study._packed(study.image("disc", study.SIDE), "disc")
    cases = []
    for subject, best in study.WINNERS.items():
        for name in ("wavelets", "Gabor", "shearlets", "ridgelets"):
            inputs = {"image": subject, "dictionary": name, "side": study.SIDE, "terms": study.TERMS}
            result = {"squared_error": 1e-3 * (1.0 if name == best else lead), "picture": picture}
            cases.append(Finished(inputs, result, 0.0))
    for (name, slope, side), k in itertools.product(
        (("shearlets", shearlets, 256), ("wavelets", wavelets, 2048)), range(steps)
    ):
        n = round(256 * 2 ** (k / 2))
        error = 100 * n**slope * (np.log(n) ** 3 if name == "shearlets" else 1)
        cases.append(Finished({"image": "disc", "dictionary": name, "side": side, "terms": n},
                              {"squared_error": float(error)}, 0.0))  # fmt: skip
    return [case for case in cases if case.inputs["image"] != drop]


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, "holds"),
        ({"lead": 1.1}, "contradicts"),
        ({"shearlets": -1.8}, "contradicts"),
        ({"shearlets": -1.5}, "contradicts"),
        ({"wavelets": -1.3}, "contradicts"),
        ({"drop": "line"}, "undecided"),
        ({"steps": 6}, "undecided"),
    ],
    ids=["theorem", "close", "slower", "raw", "wavelets too fast", "an image is missing", "a part of a slope"],
)
def test_verdicts(options, answer):
    assert study.analyze(made_up(**options)).verdict.answer == answer
    assert study.analyze([]).verdict.answer == "undecided"


def test_figure(tmp_path):
    cases = made_up()
    figure = study.draw(cases, study.analyze(cases))
    figure.savefig(tmp_path / "figure.png")
    assert sum(bool(axes.images) for axes in figure.axes) == 5 * len(study.WINNERS)
    study.draw([], study.analyze([])).savefig(tmp_path / "empty.png")
