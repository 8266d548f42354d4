"""`epsnet kernel`: errors on points that were not seen, a picture, and clear refusals."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn")


@pytest.fixture
def blobs(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(100) % 2
    np.savez(tmp_path / "blobs.npz", x=rng.normal(size=(100, 2)) + 6 * y[:, None], y=y)
    return tmp_path / "blobs.npz"


@pytest.fixture
def curve(tmp_path):
    x = np.linspace(-1, 1, 60)
    np.savez(tmp_path / "curve.npz", x=x[:, None], y=np.abs(x))
    return tmp_path / "curve.npz"


@pytest.mark.parametrize("options", [(), ("--svm", "10"), ("--kind", "nngp"), ("--rank", "20")])
def test_classes_that_are_apart(epsnet, blobs, options):
    answer = json.loads(epsnet("kernel", str(blobs), "--json", *options).out)
    assert (answer["train"], answer["test"], answer["errors"]) == (80, 20, 0)
    assert answer["risk"] == pytest.approx(1 - 0.01 ** (1 / 20), rel=1e-12)  # no error in 20 points
    assert "STATISTICAL" in epsnet("kernel", str(blobs), *options).out


def test_regression_and_its_picture(epsnet, curve, tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "band.png"
    done = epsnet("kernel", str(curve), "--kind", "nngp", "--ridge", "1e-4", "--figure", str(figure))
    assert done.code == 0 and "ESTIMATED" in done.out and figure.read_bytes().startswith(b"\x89PNG")
    assert json.loads(epsnet("kernel", str(curve), "--ridge", "1e-4", "--json").out)["root_mean_square"] < 0.02


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--svm", "1"), "needs classes"),
        (("--kind", "gauss"), "'ntk' or 'nngp'"),
        (("--activation", "nothing"), "unknown"),
        (("--ridge", "-1"), "ridge"),
    ],
)
def test_refuses(epsnet, curve, options, complaint):
    done = epsnet("kernel", str(curve), *options)
    assert done.code == 2 and complaint in done.err


def test_refuses_pictures_of_classes_and_kernels_that_do_not_fit(epsnet, blobs):
    assert "one input" in epsnet("kernel", str(blobs), "--figure", "x.png").err
    assert "--rank" in epsnet("kernel", "mnist").err
