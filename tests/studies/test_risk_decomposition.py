"""The risk study: counts by an independent evaluation, verdicts on made-up measurements, the bound in closed form."""

import math

import numpy as np
import pytest

from epsnet.certify.errors import MissingExtraError
from epsnet.checker.rules.binomial import count_errors
from epsnet.core.network import Network
from epsnet.core.realize import realize
from epsnet.data import Sample
from epsnet.experiments import CaseStore, Finished, sweep
from epsnet.studies import risk_decomposition as this

SMALL = [{"width": 4, "points": n, "division": 3, "starts": [5, 6], "steps": 60} for n in (128, 256)]


def test_parts_are_disjoint_and_nested():
    pytest.importorskip("jax")
    small, unused = this._parts(500, 1)
    large, same = this._parts(2000, 1)
    other, _ = this._parts(500, 2)
    assert np.array_equal(large.inputs[:500], small.inputs) and same.sha256 == unused.sha256
    assert len(unused) == 20_000 and not np.array_equal(other.inputs, small.inputs)
    order = np.random.Generator(np.random.Philox(1)).permutation(70_000)
    assert not set(order[:50_000]) & set(order[-20_000:])


def test_a_point_in_doubt_is_an_error():
    """Two outputs that only the order of summation separates: counted as the rule `binomial` counts them."""
    generator = np.random.Generator(np.random.Philox(0))
    matrix = generator.normal(size=(10, 784))
    matrix[1] = matrix[0]
    network = Network.from_layers([(matrix, np.r_[0.0, 1e-13, np.zeros(8)])])
    images = generator.integers(0, 256, (300, 28, 28)).astype(np.uint8)
    classes = tuple(map(str, range(10)))
    sample = Sample(images, realize(network, images.reshape(300, -1).astype(float)).argmax(axis=1), "made up", classes)
    errors = this._errors(network, sample)
    assert errors == count_errors(network, sample.matrix(), sample.labels, None) > 0


def test_errors_are_counted_as_by_hand():
    """An independent evaluation, pixel by pixel in plain matrix products, of the network that training returns."""
    pytest.importorskip("jax")
    from epsnet import diff

    (case,) = SMALL[:1]
    found = this.measure(case)
    sample, unused = this._parts(128, 3)
    fits = diff.fit_seeds(
        sample.inputs, sample.labels, [784, 4, 4, 10], seeds=[5, 6], optimizer="sgd", step_size=0.1,
        schedule="cosine", batch_size=64, epochs=30,
    )  # fmt: skip
    for number, fit in enumerate(fits):
        for part, name in ((sample, "training"), (unused, "unused")):
            values = part.matrix()
            for index, (matrix, bias) in enumerate(fit.layers):
                values = values @ np.asarray(matrix).T + bias
                values = np.maximum(values, 0) if index < 2 else values
            assert found[name][number] == np.count_nonzero(values.argmax(axis=1) != part.labels)
    assert found["unused_points"] == 20_000


def test_the_same_serial_in_processes_and_on_dask(tmp_path):
    pytest.importorskip("jax")
    distributed = pytest.importorskip("distributed")
    import joblib

    serial = [case.result for case in sweep(this.measure, SMALL)]
    assert [case.result for case in sweep(this.measure, SMALL, jobs=2)] == serial
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        found = sweep(this.measure, SMALL, store=CaseStore(tmp_path / "cases.jsonl", "a"))
    assert [case.result for case in found] == serial


def test_bound_in_closed_form():
    """The number of float64 vectors of all weights, and Hoeffding's inequality with the union bound."""
    from epsnet import Network

    network = Network.from_layers([(np.ones((o, i)), np.ones(o)) for i, o in ((784, 8), (8, 8), (8, 10))])
    assert this.bits(8) == 64 * network.size.weights
    n, classes, c = 1000, 35, this.constant(8, 35)
    gap = c / math.sqrt(n)
    log_probability = math.log(2) + this.bits(8) * math.log(2) - 2 * n * gap**2
    assert log_probability == pytest.approx(math.log(0.01 / classes))


def synthetic(gap, sizes=this.SIZES, widths=this.WIDTHS):
    """Measurements in which `gap` gives the gap from width and n; a tenth of the training points is wrong."""
    return [
        Finished(
            {"width": width, "points": n, "division": 1, "starts": [0, 1], "steps": 1},
            {
                "training": [n // 10, n // 10 + 1],
                "unused": [round(20_000 * min(1, 0.1 + gap(width, n)))] * 2,
                "unused_points": 20_000,
            },
            0.0,
        )
        for n in sizes
        for width in widths
    ]


@pytest.mark.parametrize(
    ("gap", "answer"),
    [
        (lambda width, n: 6 * n**-0.6, "holds"),
        (lambda width, n: 3 * n**-0.5, "holds"),
        # Slower than the bound, but so far below it that it contradicts nothing.
        (lambda width, n: n**-0.3, "undecided"),
        (lambda width, n: 0.0, "undecided"),
    ],
    ids=["faster", "as fast", "slower", "no gap"],
)
def test_verdict_of_made_up_gaps(gap, answer):
    analysis = this.analyze(synthetic(gap))
    assert analysis.verdict.answer == answer
    assert all(c.answer == "holds" for c in analysis.comparisons if c.quantity == "gap n^(1/2)")


def test_slower_decay_under_a_bound_that_says_something_contradicts(monkeypatch):
    monkeypatch.setattr(this, "constant", lambda width, classes: 100.0)  # 0.45 at n = 50,000
    analysis = this.analyze(synthetic(lambda width, n: n**-0.3))
    assert analysis.verdict.answer == "contradicts"
    assert "exponent" in analysis.verdict.reason


def test_gap_above_the_bound_contradicts(monkeypatch):
    monkeypatch.setattr(this, "constant", lambda width, classes: 1.0)
    assert this.analyze(synthetic(lambda width, n: 6 * n**-0.6)).verdict.answer == "contradicts"


@pytest.mark.parametrize("count", [0, 1, 7, 12])
def test_few_cases_decide_nothing(count):
    analysis = this.analyze(synthetic(lambda width, n: 6 * n**-0.6)[:count])
    assert analysis.verdict.answer == "undecided"


def test_parts_of_the_risk_are_recorded():
    analysis = this.analyze(synthetic(lambda width, n: 6 * n**-0.6))
    assert list(analysis.details["risk"]) == [str(width) for width in this.WIDTHS]
    for found in analysis.details["risk"].values():
        total = sum(found[part]["estimate"] for part in ("approximation", "estimation", "optimization"))
        assert total == pytest.approx(found["risk"]["estimate"], abs=1e-12)
        assert found["optimization"]["kind"] == "VERIFIED"


def test_figure(tmp_path):
    finished = synthetic(lambda width, n: 6 * n**-0.6)
    figure = this.draw(finished, this.analyze(finished))
    figure.savefig(tmp_path / "figure.svg")
    (slope,) = (line for line in figure.axes[0].lines if "slope" in str(line.get_label()))
    x, y = slope.get_xdata(), slope.get_ydata()
    assert np.diff(np.log(y)) / np.diff(np.log(x)) == pytest.approx(-0.5)
    few = finished[:3]
    this.draw(few, this.analyze(few)).savefig(tmp_path / "few.svg")


def test_without_jax(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(MissingExtraError, match=r"epsnet\[jax\]"):
        this.cases(180, 0)
