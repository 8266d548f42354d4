"""`epsnet optimum` and `epsnet landscape`: values known from elsewhere, files that check, and clear refusals."""

import json

import numpy as np
import pytest

import epsnet as en

pytest.importorskip("clarabel")


def golden(c, n=200):
    i = np.arange(1, n + 1)
    return 2 * (i * c % 1) - 1


@pytest.fixture
def curve(tmp_path):
    x, z = golden(0.6180339887498949), golden(0.7320508075688772)
    np.savez(tmp_path / "curve.npz", x=x[:, None], y=np.sin(3 * x) + np.abs(x) + 0.3 * z)
    return tmp_path / "curve.npz"


def test_optimum_is_certified_checked_and_drawn(epsnet, curve, tmp_path):
    pytest.importorskip("matplotlib")
    out, figure = tmp_path / "optimum.eps", tmp_path / "gap.png"
    done = epsnet("optimum", str(curve), "--beta", "0.5", "--json", "--out", str(out), "--figure", str(figure))
    answer = json.loads(done.out)
    # From the enumeration of all activation patterns and one cone program.
    assert answer["dual"]["value"] <= 7.856442607502 + 1e-9 and answer["primal"]["value"] >= 7.856442607502 - 1e-9
    assert answer["gap"]["value"] <= 1e-9 * 7.86 and answer["gap"]["kind"] == "VERIFIED"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "all 3 claims hold" in epsnet("check", str(out), "--quiet").out
    again = json.loads(epsnet("optimum", str(curve), "--beta", "0.5", "--network", str(out), "--json").out)
    assert again["primal"]["value"] == answer["primal"]["value"]


def test_spline(epsnet, curve):
    answer = json.loads(epsnet("optimum", str(curve), "--beta", "0.5", "--spline", "--json").out)
    assert answer["primal"]["value"] == pytest.approx(7.501012763030, abs=1e-10)


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--beta", "-1"), "not positive"),
        (("--beta", "0.5", "--spline", "--figure", "x.png"), "shows training"),
        (("--beta", "0.5", "--spline", "--network", "x.eps"), "no --network"),
        (("--beta", "0.5", "--network", "nothing.eps"), "does not exist"),
    ],
)
def test_refuses(epsnet, curve, options, complaint):
    done = epsnet("optimum", str(curve), *options)
    assert done.code == 2 and complaint in done.err


def test_integers_are_numbers_and_words_are_not(epsnet, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x,y\n0,0\n1,1\n2,0\n", encoding="utf-8")
    assert epsnet("optimum", str(table), "--label", "y", "--beta", "0.1").code == 0
    table.write_text("x,y\n0,cat\n1,dog\n2,cat\n", encoding="utf-8")
    done = epsnet("optimum", str(table), "--label", "y", "--beta", "0.1")
    assert done.code == 2 and "words" in done.err


def test_landscape(epsnet, curve, tmp_path):
    pytest.importorskip("jax")
    pytest.importorskip("matplotlib")
    network, figure = tmp_path / "network.eps", tmp_path / "landscape.png"
    en.save_network(en.Network.from_layers([([[2.0]], [1.0])]), network)
    done = epsnet("landscape", str(network), "--data", str(curve), "--points", "5", "--figure", str(figure))
    assert done.code == 0 and "0 negative, 0 zero, 2 positive" in done.out and "ESTIMATED" in done.out
    assert figure.read_bytes().startswith(b"\x89PNG")
    answer = json.loads(epsnet("landscape", str(network), "--data", str(curve), "--points", "1", "--json").out)
    x = golden(0.6180339887498949)
    assert answer["trace"] == pytest.approx(2 * np.mean(x**2) + 2, rel=1e-12)
    done = epsnet("landscape", str(network), "--data", "mnist")
    assert done.code == 2 and "784 inputs" in done.err
