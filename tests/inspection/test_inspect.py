"""`inspect` counts what is there; `doctor` finds this machine in order, and notices when it is not."""

import numpy as np
import pytest

import epsnet
from epsnet import Box, CheckError, DomainError, Layer, Network, Target, compose, inspect, learn
from epsnet.core.linear_maps import Convolution, Dense
from epsnet.core.serial import network_bytes
from epsnet.inspection import doctor

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
    subjects = [solution, solution.network, tmp_path / "exp", str(tmp_path / "exp"), tmp_path / "net.safetensors"]
    assert len({str(inspect(subject)) for subject in subjects}) == 1
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
