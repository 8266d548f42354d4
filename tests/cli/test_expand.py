"""`epsnet expand`: the same errors as PyWavelets alone, on files of every kind, and clear refusals."""

import json

import numpy as np
import pytest

pywt = pytest.importorskip("pywt")

IMAGE = np.add.outer(np.arange(64) // 13, np.arange(64) // 7).astype(float) % 3


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    return path


def test_errors_are_those_of_the_orthonormal_basis(epsnet, image):
    done = epsnet("expand", str(image), "--in", "haar", "--terms", "10,100", "--json")
    coefficients = pywt.coeffs_to_array(pywt.wavedec2(IMAGE, "haar", mode="periodization", level=6))[0].ravel()
    squares = np.sort(coefficients**2)
    assert done.code == 0
    answer = json.loads(done.out)
    assert answer["kind"] == "ESTIMATED" and answer["shape"] == [64, 64]
    for row, count in zip(answer["expansions"], (10, 100), strict=True):
        assert row["squared_error"] == pytest.approx(squares[:-count].sum() / IMAGE.size, rel=1e-10)
        assert row["psnr"] == pytest.approx(10 * np.log10(4 / row["squared_error"]), rel=1e-10)


def test_pursuit_is_not_worse(epsnet, image):
    errors = [
        json.loads(epsnet("expand", str(image), "--in", "gabor:16", "--terms", "40", "--json", *more).out)
        for more in ((), ("--pursuit",))
    ]
    plain, better = (answer["expansions"][0]["squared_error"] for answer in errors)
    assert better < plain


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".png"])
def test_reads_every_kind_of_file(epsnet, tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    if suffix == ".npz":
        np.savez(path, image=IMAGE)
    elif suffix == ".csv":
        np.savetxt(path, IMAGE, delimiter=",")
    else:
        pytest.importorskip("matplotlib.image").imsave(path, IMAGE, cmap="gray")
    done = epsnet("expand", str(path), "--in", "haar,db2:2", "--terms", "50,500")
    assert done.code == 0 and done.out.count("N = ") == 4 and "ESTIMATED" in done.out


def test_draws(epsnet, image, tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "n_term.png"
    done = epsnet("expand", str(image), "--in", "haar,shearlets", "--terms", "20,200", "--figure", str(figure))
    assert done.code == 0 and figure.read_bytes().startswith(b"\x89PNG")


def test_expands_signals(epsnet, tmp_path):
    path = tmp_path / "signal.npy"
    np.save(path, np.abs(np.linspace(0, 1, 257) - 0.3))
    done = epsnet("expand", str(path), "--in", "cdf2.2", "--terms", "4,16")
    assert done.code == 0 and "CDF(2,2)" in done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing.npy",), "holds no samples"),
        (("image.txt",), "of no known kind"),
        (("image.npy", "--in", "wavy"), "unknown"),
        (("image.npy", "--in", "gabor:wide"), "no number"),
        (("image.npy", "--in", "gabor:24"), "do not fit"),
        (("image.npy", "--in", "cdf2.2"), "2^J + 1 nodes"),
        (("image.npy", "--terms", "many"), "are none"),
        (("image.npy", "--terms", "0"), "are none"),
        (("image.npy", "--terms", "9999"), "atoms"),
        (("nan.npy",), "NaN"),
        (("flat.npy",), "equal"),
        (("line.npy", "--figure", "x.png"), "for images"),
        (("image.npy", "--figure", "x.bmp"), "suffixes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_refuses(epsnet, image, monkeypatch, arguments, told):
    monkeypatch.chdir(image.parent)
    (image.parent / "image.txt").write_text("1")
    np.save("nan.npy", np.where(IMAGE > 1, np.nan, IMAGE))
    np.save("flat.npy", np.ones(64))
    np.save("line.npy", IMAGE[0])
    done = epsnet("expand", *arguments)
    assert done.code == 2 and told in done.err and len(done.err.splitlines()) <= 3
