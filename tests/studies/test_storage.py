"""The storage study: atoms of a level, exact errors by another path, one file, verdicts of made-up files."""

from fractions import Fraction

import numpy as np
import pytest

from epsnet.core.realize import realize_exact
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.transfer import linear_wavelet_network
from epsnet.experiments import Finished
from epsnet.studies import storage as study


def test_cases():
    assert study.cases(0.01, 3) == [{"class": name, "terms": 10, "seed": 3} for name in study.CLASSES]
    planned = study.cases(60, 0)
    assert [case["terms"] for case in planned][:: len(study.CLASSES)] == list(study.COUNTS)


def test_the_atoms_of_a_level_sum_up_as_the_proof_says():
    basis = LinearWavelets(7)
    assert max(np.abs(basis.atom(0)) + np.abs(basis.atom(1))) == 1
    for j in range(7):
        total = sum(np.abs(basis.atom(index)) for index in range(2**j + 1, 2 ** (j + 1) + 1))
        assert total.max() <= (9 / 8 if j == 0 else 1)


@pytest.mark.parametrize("name", study.CLASSES)
def test_members_are_in_their_class(name):
    basis, values = study.member(name, 20, 0)
    if name == "Lipschitz":
        assert values[0] == 0 and basis.size - 1 >= 160
        assert (np.abs(np.diff(values)) == 1 / (basis.size - 1)).all()
    else:
        weights = np.abs(basis.analysis(values)) / basis.scales
        assert weights.min() + 1e-9 >= 0.5 and weights.max() <= 1 + 1e-9
        np.testing.assert_array_equal(values, study.member(name, 999, 0)[1])


@pytest.mark.parametrize("name", study.CLASSES)
def test_errors_are_those_of_the_network_in_rationals(name):
    basis, values = study.member(name, 12, 1)
    found = study.rounded_expansion(basis, values, 12)
    assert found.after <= 2 * found.before
    assert (found.expansion.coefficients % found.step == 0).all()
    network = linear_wavelet_network(found.expansion)
    places = range(0, basis.size, max(1, basis.size // 64))
    errors = [
        abs(realize_exact(network, [Fraction(i, basis.size - 1)])[0] - Fraction(values[i])) for i in places
    ]  # fmt: skip
    assert max(errors) <= found.after
    # The largest one is attained.
    worst = int(np.argmax(np.abs(found.expansion.signal() - values)))
    assert abs(realize_exact(network, [Fraction(worst, basis.size - 1)])[0] - Fraction(values[worst])) == found.after


def test_unrounded_errors_are_the_largest_differences():
    basis, values = study.member("Lipschitz", 10, 2)
    kept = np.arange(10)
    coefficients = basis.analysis(values)[kept]
    expected = np.abs(Expansion(basis, kept, coefficients).signal() - values).max()
    assert float(study.sup_error(basis, values, kept, coefficients)) == pytest.approx(expected, rel=1e-12)


def test_measure():
    found = study.measure({"class": "Lipschitz", "terms": 10, "seed": 0})
    assert 0 < found["bits"] <= found["bound"] and found["bits"] % 8 == 0
    assert found["error"] <= 2 * found["before"]


def made_up(growth=0.0, rate=1.0, doubled=1.5, over=0.9, counts=study.COUNTS):
    cases = []
    for name, gamma in study.CLASSES.items():
        for n in counts:
            bits = 12 * n * np.log2(n) * n**growth
            before = n ** (-gamma * rate)
            result = {"bits": bits, "bound": bits / over, "before": before, "error": doubled * before}
            cases.append(Finished({"class": name, "terms": n, "seed": 0}, result, 0.0))
    return cases


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({}, "holds"),
        ({"growth": 0.3}, "contradicts"),
        ({"rate": 0.5}, "contradicts"),
        ({"doubled": 2.1}, "contradicts"),
        ({"over": 1.01}, "contradicts"),
        ({"counts": (10, 18)}, "undecided"),
        ({"counts": ()}, "undecided"),
    ],
    ids=["theorem", "more than N log N", "slow", "more than doubled", "above the bound", "two cases", "nothing"],
)
def test_verdicts(options, answer):
    assert study.analyze(made_up(**options)).verdict.answer == answer


def test_figure(tmp_path):
    cases = made_up()
    figure = study.draw(cases, study.analyze(cases))
    figure.savefig(tmp_path / "figure.png")
    lengths, errors = figure.axes
    assert len(lengths.lines) == 2 * len(study.CLASSES) + 2 and len(errors.lines) == len(study.CLASSES) + 1
