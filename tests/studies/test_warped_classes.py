"""The study of warped classes: a small case, the Hoelder constant by brute force, verdicts of made-up curves."""

import itertools

import numpy as np
import pytest

from epsnet.experiments import Finished
from epsnet.studies import warped_classes as study


def test_cases():
    assert len(study.cases(12, 0)) == 4
    assert [case["terms"] for case in study.cases(60, 0)][::4] == list(study.COUNTS)


def test_the_hoelder_constant_is_that_of_all_pairs():
    values = np.random.default_rng(0).standard_normal(17)
    x = np.linspace(0, 1, 17)
    pairs = itertools.combinations(range(17), 2)
    expected = max(abs(values[j] - values[i]) / (x[j] - x[i]) ** 0.5 for i, j in pairs)
    assert expected <= study.hoelder_constant(values, 0.5) <= expected * (1 + 1e-10)
    # Between nodes it is not exceeded.
    s, t = np.random.default_rng(1).random((2, 2000))
    between = np.abs(np.interp(s, x, values) - np.interp(t, x, values)) / np.abs(s - t) ** 0.5
    assert between.max() <= expected


def test_the_warps_are_maps_to_the_unit_interval():
    rng = np.random.default_rng(2)
    for name, dimension in (("diffeomorphism", 1), ("arc", 2)):
        target = study.Warp.of(name).target
        low, high = (np.array([float(e) for e in ends]) for ends in (target.domain.lower, target.domain.upper))
        points = low + (high - low) * rng.random((1000, dimension))
        places = target(points if dimension > 1 else np.sort(points[:, 0]))
        assert places.min() >= 0 and places.max() <= 1
        if dimension == 1:
            assert (np.diff(places) > 0).all()
        else:
            # Constant along the normals of the circle.
            np.testing.assert_allclose(target(points * 0.9 + 0 * points), places, atol=1e-15)


def test_measure():
    found = study.measure({"class": "Lipschitz", "warp": "diffeomorphism", "terms": 12, "seed": 0})
    assert found["warped"] == found["weights"] + found["inner"] + 4
    assert found["error"] <= found["bound"] <= 2 * found["error"] * (1 + 1e-9)
    assert found["seen"] <= found["bound"]


def made_up(weights=1.0, error=0.0, seen=0.5, extra=0, counts=study.COUNTS):
    cases = []
    for name, warp in itertools.product(study.CLASSES, study.WARPS):
        for n in counts:
            own, inner, e = 12 * n, 60, 1 / n
            result = {
                "weights": own, "inner": inner, "warped": round(own**weights) + inner + 4 + extra, "error": e,
                "bound": 2 * e * n**error, "seen": 2 * e * seen,
            }  # fmt: skip
            cases.append(Finished({"class": name, "warp": warp, "terms": n, "seed": 0}, result, 0.0))
    return cases


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, "holds"),
        ({"weights": 1.2}, "contradicts"),
        ({"error": 0.2}, "contradicts"),
        ({"seen": 1.1}, "contradicts"),
        ({"extra": 1}, "contradicts"),
        ({"counts": (128, 256)}, "undecided"),
        ({"counts": ()}, "undecided"),
    ],
    ids=["theorem", "more weights", "slower", "error above the bound", "one weight more", "two cases", "nothing"],
)
def test_verdicts(options, answer):
    assert study.analyze(made_up(**options)).verdict.answer == answer


def test_figure(tmp_path):
    cases = made_up()
    figure = study.draw(cases, study.analyze(cases))
    figure.savefig(tmp_path / "figure.png")
    assert len(figure.axes) == len(study.CLASSES)
