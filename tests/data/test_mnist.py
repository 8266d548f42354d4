"""The bundled digits are the original ones."""

import zipfile
from importlib import resources

import numpy as np
import pytest

from epsnet.certify.errors import DomainError
from epsnet.data import load_mnist
from epsnet.data import mnist as module

COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_training_part() -> None:
    train = load_mnist("train")
    assert train.inputs.shape == (60_000, 28, 28)
    assert train.inputs.dtype == np.uint8
    assert np.bincount(train.labels).tolist() == COUNTS
    assert train.classes == tuple("0123456789")
    assert round(train.inputs.mean() / 255, 6) == 0.130660
    assert load_mnist().sha256 == train.sha256


def test_test_part() -> None:
    test = load_mnist("test")
    assert (len(test), test.dimension, test.outputs) == (10_000, 784, 10)
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_training_decodes_nothing_of_the_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = zipfile.ZipFile.open

    def spy(self, name, *args, **kwargs):
        opened.append(str(name))
        return original(self, name, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "open", spy)
    load_mnist("train")
    assert sorted(opened) == ["x_train.npy", "y_train.npy"]


def test_size_and_credit() -> None:
    files = resources.files("epsnet.data")
    assert len(files.joinpath("mnist.npz").read_bytes()) < 9_700_000
    credit = files.joinpath("mnist.LICENSE").read_text(encoding="utf-8")
    assert "LeCun" in credit
    assert "CC BY-SA 3.0" in credit


def test_unknown_part() -> None:
    with pytest.raises(DomainError, match="Ask for 'train' or 'test'"):
        module.load_mnist("validation")  # type: ignore[arg-type]
