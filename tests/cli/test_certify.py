"""`epsnet learn --certify`: all bounds beside each other, and files from which each is re-derived."""

import json

import numpy as np
import pytest

pytest.importorskip("jax")

STORED = ("code", "draw", "golowich", "half-draw", "spectral", "unused")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    rng = np.random.default_rng(0)
    y = np.arange(500) % 2
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    np.savez(path, x=rng.normal(size=(500, 2)) + 5 * y[:, None] - 2.5, y=y)
    return path


def test_all_bounds_hold_and_are_checked(epsnet, blobs, tmp_path):
    out = tmp_path / "run"
    done = epsnet(
        "learn", str(blobs), "--hidden", "4", "--epochs", "10", "--certify", "--json", "--out", str(out)
    )  # fmt: skip
    answer = json.loads(done.out)
    bounds = {row["key"]: row["bound"]["value"] for row in answer["certificates"]}
    assert set(bounds) == {*STORED, "gibbs", "half-binomial"} and min(bounds.values()) < 0.1
    assert [row["vacuous"] for row in answer["certificates"]] == [value >= 0.5 for value in sorted(bounds.values())]
    assert answer["ledger"]["delta"] == "1/20"
    assert {path.name for path in (out / "certificates").iterdir()} == set(STORED)
    for key in STORED:
        checked = json.loads(epsnet("check", str(out / "certificates" / key), "--json").out)
        assert checked["error"]["value"] == bounds[key]


def test_says_what_is_vacuous(epsnet, blobs, tmp_path):
    done = epsnet(
        "learn", str(blobs), "--hidden", "4", "--epochs", "2", "--certify", "--out", str(tmp_path / "run")
    )  # fmt: skip
    assert "Bartlett-Foster-Telgarsky: spectral norms   vacuous" in done.out
    assert done.out.splitlines()[-1].startswith("epsnet check")


def test_refuses_what_has_no_classes(epsnet, tmp_path):
    np.savez(tmp_path / "curve.npz", x=np.linspace(0, 1, 20)[:, None], y=np.linspace(0, 1, 20))
    for target in ((str(tmp_path / "curve.npz"),), ("exp(x)", "--on", "0,1", "--eps", "0.1")):
        done = epsnet("learn", *target, "--certify", "--out", str(tmp_path / "run"))
        assert done.code == 2 and "classes" in done.err and not (tmp_path / "run").exists()
