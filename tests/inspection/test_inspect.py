"""`inspect` counts what is there; `doctor` finds this machine in order, and notices when it is not."""

import json
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import epsnet
from epsnet import Box, CheckError, DomainError, Kind, Layer, Network, Target, compose, inspect, learn
from epsnet.core.linear_maps import Convolution, Dense
from epsnet.core.serial import network_bytes
from epsnet.inspection import doctor
from epsnet.inspection.page import inspection_page

HAT = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])
KERNEL = np.arange(1.0, 19.0).reshape(1, 2, 3, 3)
CONVOLUTION = Network(50, (Layer(((0, Convolution(KERNEL, (2, 5, 5))),), np.ones(9), ("relu",)),))
SKIP = Network(
    1,
    (
        Layer(((0, Dense(np.array([[2.0], [0.0]]))),), np.array([0.0, -3.0]), ("relu",)),
        Layer(((1, Dense(np.array([[1.0, 1.0]]))), (0, Dense(np.array([[1.0]])))), np.zeros(1), ("identity",)),
    ),
)

# Counted by hand: weights, depth, neurons, width, magnitude, connections, operations.
SIZES = [
    (HAT, (8, 2, 3, 3, 4.0, 8, 6)),
    (compose(HAT, HAT), (3 + 2 + 9 + 2 + 3, 3, 6, 3, 4.0, 19, 15)),
    (CONVOLUTION, (18 + 9, 1, 0, 0, 18.0, 9 * 18 + 9, 9 * 18)),
    (SKIP, (1 + 1 + 2 + 1, 2, 2, 2, 3.0, 5, 4)),
]
NAMES = ("weights", "depth", "neurons", "width", "magnitude", "connections", "operations")


@pytest.mark.parametrize(("network", "expected"), SIZES, ids=["hat", "two hats", "convolution", "skip"])
def test_sizes(network, expected):
    found = inspect(network)
    assert tuple(getattr(found.size, name) for name in NAMES) == expected
    assert found.bits == 8 * len(network_bytes(network))
    facts = found.to_json()
    assert tuple(facts[name] for name in NAMES) == expected
    assert (facts["bits"], facts["sha256"]) == (found.bits, network.sha256)
    assert (facts["inputs"], facts["outputs"]) == (network.inputs, network.outputs)
    assert f"{found.bits:,}" in str(found) and network.sha256 in str(found)


def test_every_way_to_name_a_network_gives_the_same(tmp_path):
    solution = learn(Target("exp(x)", Box(0, 1)), 1e-2)
    epsnet.save_solution(solution, tmp_path / "exp")
    epsnet.save_network(solution.network, tmp_path / "net.safetensors")
    solved = [solution, tmp_path / "exp", str(tmp_path / "exp")]
    bare = [solution.network, tmp_path / "net.safetensors"]
    assert len({str(inspect(subject)) for subject in solved}) == 1
    assert len({str(inspect(subject, on=Box(0, 1))) for subject in bare}) == 1
    assert inspect(solution).bits == solution.bits == 8 * (tmp_path / "net.safetensors").stat().st_size


def test_refused(tmp_path):
    with pytest.raises(DomainError, match="does not exist"):
        inspect(tmp_path / "nothing")
    with pytest.raises(DomainError, match="does not exist"):
        inspect(tmp_path)
    with pytest.raises(DomainError, match="int is no network"):
        inspect(3)
    (tmp_path / "text").write_text("no network")
    with pytest.raises(CheckError, match="cannot be read"):
        inspect(tmp_path / "text")


def test_activity_and_stability_counted_by_hand():
    """relu(x), relu(x - 1/2), relu(x - 1) at 1/4, 3/4 and 1, and on [0, 1]."""
    found = inspect(HAT, on=Box(0, 1), data=[[0.25], [0.75], [1.0]])
    hidden, output = found.activity
    values = np.array([0.25, 0, 0, 0.75, 0.25, 0, 1.0, 0.5, 0])
    assert (hidden.mean, hidden.deviation) == pytest.approx((values.mean(), values.std()))
    assert (hidden.active, hidden.never_active, hidden.always_active) == (5 / 9, 1, 1)
    assert hidden.saturated is None and (output.active, output.never_active) == (None, None)
    assert output.mean == pytest.approx(0.5 / 3 + 0.5 / 3)
    stable, _ = found.stability
    assert (stable.active, stable.inactive, stable.undecided, stable.saturated) == (1, 1, 1, None)
    assert "all 3 points of the data" in str(found)


def test_smooth_neurons_are_saturated_where_they_are_flat():
    network = Network.from_layers([([[1.0], [1.0]], [0.0, 9.0]), ([[1.0, 1.0]], [0.0])], activation="tanh")
    found = inspect(network, on=Box(-1, 1))
    assert (found.activity[0].saturated, found.activity[0].active) == (0.5, None)
    assert (found.stability[0].saturated, found.stability[0].undecided) == (1, None)
    assert "saturated: a slope below 1%" in str(found)


@pytest.mark.parametrize("network", [HAT, CONVOLUTION, SKIP], ids=["hat", "convolution", "skip"])
def test_bounds_enclose_what_was_sampled_and_can_be_derived_again(network):
    found = inspect(network)
    for constants in found.lipschitz:
        assert constants.on_box.kind is constants.everywhere.kind is Kind.VERIFIED
        assert 0 < constants.sampled <= constants.on_box.value <= constants.everywhere.value
        assert constants.on_box.value <= constants.product * (1 + 1e-5)
        assert constants.on_box.network == network.sha256
    checked = found.check()
    assert {bound for c in found.lipschitz for bound in (c.on_box, c.everywhere)} <= set(checked)
    forged = replace(found, network=HAT if network is not HAT else SKIP)
    with pytest.raises(CheckError):
        forged.check()


def test_the_hat_is_known_exactly():
    found = inspect(HAT, on=Box(0, 1))
    for constants in found.lipschitz:
        assert constants.sampled == 2 and 2 <= constants.on_box.value < 2.001
    assert found.lipschitz[0].product == 8
    assert (found.simplified.weights, found.simplified.neurons) == ((8, 4), (3, 1))
    assert found.simplified.steps == {"inactive": 1, "substitute": 1}
    assert found.simplified.weights[1] == epsnet.simplify(HAT, Box(0, 1)).network.size.weights


def test_where_the_box_comes_from():
    wide = Network.from_layers([(np.ones((2, 200)), np.zeros(2)), (np.ones((1, 2)), [0.0])])
    cases = [
        (inspect(HAT, on=Box(2, 3)), Box(2, 3), "as given"),
        (inspect(HAT, data=[[1.0], [4.0]]), Box(1, 4), "the box around the data"),
        (inspect(learn(Target("exp(x)", Box(0, 2)), 1e-1)), Box(0, 2), "the domain of the target"),
        (inspect(HAT), Box("-1/2", "1/2"), "assumed: inputs scaled to width one"),
        (inspect(wide), Box([0] * 200, [1] * 200), "assumed: inputs scaled like the pixels"),
    ]
    for found, box, words in cases:
        assert found.subject.box == box and found.subject.box_source.startswith(words)
        assert words in str(found)
    constant = inspect(SKIP, data=[[1.0], [1.0]]).subject
    assert constant.box == Box(1, 1 + Fraction(1, 2**20)) and "1 constant coordinate widened" in constant.box_source
    assert "[0, 1]^200" in str(cases[-1][0])


def test_everything_is_json_with_its_kind_and_repeats():
    found = inspect(SKIP, seed=5)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert text == json.dumps(inspect(SKIP, seed=5).to_json(), allow_nan=False) and str(found) == str(
        inspect(SKIP, seed=5)
    )
    facts = json.loads(text)
    for part in (*facts["activity"], *facts["stability"], facts["simplified"], *facts["lipschitz"]):
        kinds = [part["kind"]] if "kind" in part else [part[name]["kind"] for name in part if name != "norm"]
        assert all(kind in Kind.__members__ for kind in kinds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": Box([0, 0], [1, 1])}, "dimension 2"),
        ({"on": "0,1"}, "Give a Box"),
        ({"data": [[1.0, 2.0]]}, "takes 1 inputs"),
        ({"data": [1.0]}, "one row for each point"),
        ({"data": np.zeros((0, 1))}, "one row for each point"),
        ({"data": [[np.nan]]}, "NaN"),
        ({"data": [["a"]]}, "not an array of numbers"),
    ],
)
def test_bad_options_are_refused_before_work_starts(options, message):
    with pytest.raises(DomainError, match=message):
        inspect(HAT, **options)


def test_a_network_beyond_float64_is_only_counted():
    huge = Network.from_layers([([[1e200]], [0.0]), ([[1e200]], [0.0])])
    found = inspect(huge)
    assert found.size.weights == 2 and "float64" in found.obstacle and found.obstacle in str(found)
    assert (found.activity, found.stability, found.lipschitz, found.simplified, found.check()) == ((), (), (), None, ())
    assert found.obstacle in json.dumps(found.to_json(), allow_nan=False)
    tall = inspect(HAT, data=[[1e200], [1.0]], on=Box(0, 1))
    assert "Scale the network or the data" in tall.obstacle


def mlp(random):
    """The coefficients of a scikit-learn MLP, if that is installed, else some of the same shapes."""
    neural_network = pytest.importorskip("sklearn.neural_network")
    x = random.uniform(-1, 1, (200, 4))
    model = neural_network.MLPRegressor(hidden_layer_sizes=(16, 16), random_state=0, max_iter=5, solver="sgd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, x[:, 0] * x[:, 1])
    return Network.from_layers([(a.T, b) for a, b in zip(model.coefs_, model.intercepts_, strict=True)]), x


def test_an_mlp_of_scikit_learn():
    network, x = mlp(np.random.Generator(np.random.Philox(1)))
    found = inspect(network, data=x)
    assert len(found.activity) == len(found.stability) == 3 and found.simplified is not None
    assert found.lipschitz[1].sampled <= found.lipschitz[1].on_box.value < found.lipschitz[1].product
    assert_complete(inspection_page(found, "an MLP"))


def assert_complete(html):
    assert html.count("<section") == 6 and html.count("<svg") >= 4
    assert "http://" not in html.replace("http://www.w3.org", "") and "<script" not in html
    assert "nan" not in html.lower().split("<main")[1].replace("nance", "")
    for kind in ("PROVED", "VERIFIED", "ESTIMATED"):
        assert kind in html


@pytest.mark.parametrize("network", [HAT, CONVOLUTION, SKIP], ids=["hat", "convolution", "skip"])
def test_page(network):
    pytest.importorskip("matplotlib")
    found = inspect(network)
    html = inspection_page(found, "a < b")
    assert html == inspection_page(found, "a < b") and "a &lt; b" in html and "a < b" not in html
    assert network.sha256 in html and found.lipschitz[0].on_box.decimal() in html
    assert html.count("<section") == 6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acasxu_1_1", "mnist_256x2", "convnet_avgpool", "cifar10_resnet_2b"])
def test_networks_from_elsewhere(name):
    pytest.importorskip("onnx")
    path = Path(__file__).parents[3] / "shared/data/networks" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    found = inspect(path)
    assert found.simplified is not None and len(found.activity) == len(found.network.layers)
    for constants in found.lipschitz:
        assert constants.sampled <= constants.on_box.value <= constants.everywhere.value < constants.product
    assert_complete(inspection_page(found, name))


def test_doctor():
    findings = list(doctor.examine())
    assert len(findings) >= 11
    assert [finding for finding in findings if not finding.holds] == []


def test_doctor_reports_what_is_broken(monkeypatch):
    def broken():
        raise OSError("no disk")

    monkeypatch.setattr(doctor, "_STATEMENTS", {"false": lambda: False, "broken": broken, "true": lambda: True})
    findings = list(doctor.examine())
    assert [(f.statement, f.holds, f.detail) for f in findings] == [
        ("false", False, ""), ("broken", False, "OSError: no disk"), ("true", True, ""),
    ]  # fmt: skip
