"""Statements about a network by itself: saved, read back, checked; and a network as a target."""

import json

import numpy as np
import pytest

from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError, DomainError
from epsnet.checker.kernel import check
from epsnet.core.network import Network
from epsnet.core.network_target import NetworkTarget
from epsnet.core.serial import NETWORK_FILE, STATEMENTS_FILE, load_statements, save_network, save_statements
from epsnet.inspection.inspect import inspect

HAT = Network.from_layers([([[1.0], [1.0], [1.0]], [0.0, -0.5, -1.0]), ([[2.0, -4.0, 2.0]], [0.0])])


@pytest.fixture
def folder(tmp_path):
    save_statements(inspect(HAT, on=Box(0, 1)).statements, tmp_path)
    return tmp_path


def test_what_was_saved_is_read_back_and_checked(folder):
    found = load_statements(folder)
    assert found.network.sha256 == HAT.sha256
    report = check(folder)
    assert report.error is None
    assert report.checked == check(found).checked
    assert len(report.checked) >= 4


def test_another_network_is_refused(folder):
    save_network(Network.from_layers([([[3.0]], [0.0])]), folder / NETWORK_FILE)
    with pytest.raises(CheckError, match="another network"):
        check(folder)


def test_a_smaller_constant_is_refused(folder):
    data = json.loads((folder / STATEMENTS_FILE).read_text())
    data["certificate"][0]["claim"]["value"] = 1.0
    (folder / STATEMENTS_FILE).write_text(json.dumps(data))
    with pytest.raises(CheckError):
        check(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "epsnet-statements-1"}', '{"format": 3}'])
def test_malformed_statements_are_refused(folder, content):
    (folder / STATEMENTS_FILE).write_text(content)
    with pytest.raises(CheckError):
        check(folder)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(DomainError, match="no statements"):
        load_statements(tmp_path)


def test_statements_need_no_data(folder):
    with pytest.raises(CheckError, match="no data"):
        check(folder, data=(np.zeros((1, 1)), np.zeros(1)))


def test_a_network_as_a_target_knows_itself():
    target = NetworkTarget(HAT, Box(0, 1))
    assert NetworkTarget.from_json(target.to_json(), HAT).sha256 == target.sha256
    assert target(np.array([0.25, 0.5])).tolist() == [0.5, 1.0]
    with pytest.raises(CheckError, match="another one"):
        NetworkTarget.from_json(target.to_json(), Network.from_layers([([[3.0]], [0.0])]))
    with pytest.raises(DomainError, match="1 inputs"):
        NetworkTarget(HAT, Box((0, 0), (1, 1)))
    with pytest.raises(DomainError, match="norm"):
        NetworkTarget(HAT, Box(0, 1), norm="L1")  # type: ignore[arg-type]
