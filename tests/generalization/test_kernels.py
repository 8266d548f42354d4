"""The kernels against 30 digits computed by code that shares no line with them, and against the laws they obey."""

import csv
import importlib.util
import itertools
import os
import pickle
import subprocess
import sys
import tracemalloc
from decimal import Decimal
from pathlib import Path

import joblib
import mpmath
import numpy as np
import pytest

from epsnet import DomainError
from epsnet.certify.errors import PrecisionError
from epsnet.core.realize import realize
from epsnet.generalization import kernel_blocks
from epsnet.generalization.kernel_devices import kernels_on_devices
from epsnet.generalization.kernel_enclosures import certified_entry
from epsnet.generalization.kernel_gradients import kernel_gradients
from epsnet.generalization.kernels import deficits, kernels, nngp, ntk
from epsnet.generalization.wide_network import (
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    LayerNorm,
    Pool,
    Residual,
    WideNetwork,
)

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kernels"
ROOT = 2**0.5


def load(name):
    spec = importlib.util.spec_from_file_location(f"kernel_benchmark_{name}", BENCHMARK / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


with mpmath.workdps(mpmath.mp.dps):  # the reference sets 50 digits, which are not for other tests
    cases, build, reference = load("cases"), load("build"), load("reference")
SPECS = {**cases.VECTORS, **cases.IMAGES, **cases.ANY}
with (BENCHMARK / "results" / "reference.csv").open() as file:
    ROWS = {
        key: list(rows) for key, rows in itertools.groupby(csv.DictReader(file), lambda r: (r["case"], r["points"]))
    }


@pytest.fixture(autouse=True)
def _fifty_digits():
    with mpmath.workdps(50):
        yield


def data(label):
    x, images = cases.points()
    near = {f"near {eps:g}": pair for eps, pair in cases.near_pairs().items()}
    return {"x": x, "images": images, "opposite": cases.opposite_pair(), **near}[label]


def floats(text):
    return np.array([float(word) for word in text.split()])


@pytest.mark.parametrize("key", ROWS, ids=", ".join)
def test_every_entry_has_twelve_digits(key):
    found = kernels(build.network(SPECS[key[0]]), data(key[1]))
    for row in ROWS[key]:
        for name in ("nngp", "ntk"):
            exact = Decimal(row[name])
            error = abs(Decimal(float(getattr(found, name)[int(row["i"]), int(row["j"])])) - exact)
            assert error <= Decimal("1e-12") * abs(exact), (row, name)


@pytest.mark.parametrize("name", ["relu, bias, depth 20", "conv, pool, flatten"])
def test_the_reference_is_the_one_on_file(name):
    row = ROWS[name, "x" if name in cases.VECTORS else "images"][1]
    k, t = reference.run(SPECS[name], data(row["points"]), int(row["i"]), int(row["j"]))
    assert (reference.mp.nstr(k, 30), reference.mp.nstr(t, 30)) == (row["nngp"], row["ntk"])


K1 = [Dense(ROOT), "relu", Dense(ROOT), "relu", Dense()]
UPPER = np.triu_indices(5)


def test_published_values_of_relu():
    found = kernels(WideNetwork(K1), data("x"))
    expected_k = floats(
        ".1453496083765 .1638429243403 .1757779490307 .1738367666653 .1140996813048 .847348690357 .471315801482 "
        ".3735333892382 .550195498715 1.323068515302 .3697182534335 .3490005788906 .6176767804798 .234780598334 "
        ".4142440513626"
    )
    expected_t = floats(
        ".4360488251294 .2112006772567 .1801269008226 .2917499953216 .1462673079898 2.542046071071 .5678205080484 "
        ".5486980897994 1.438034210864 3.969205545907 .3913028057599 .4559032625408 1.853030341439 .3002073481185 "
        "1.242732154088"
    )
    np.testing.assert_allclose(found.nngp[UPPER], expected_k, rtol=1e-12)
    np.testing.assert_allclose(found.ntk[UPPER], expected_t, rtol=1e-12)


def test_published_values_of_erf():
    net = WideNetwork([*[Dense(1.5, 0.3), "erf"] * 3, Dense(1.5, 0.3)])
    expected = floats(
        "5.145092884651 .5152192394708 -.2058948716514 1.477894138236 .6451268907368 6.992855858679 .02856507881195 "
        ".7498390013421 4.963639395337 7.592264670557 -.3556964918075 .3495942261125 6.61059314606 .3661229411746 "
        "6.165521802421"
    )
    np.testing.assert_allclose(ntk(net, data("x"))[UPPER], expected, rtol=1e-12)


def test_published_values_at_depth_50():
    found = ntk(WideNetwork([*[Dense(ROOT), "relu"] * 49, Dense()]), data("x"))
    diagonal = floats("7.267480418823 42.36743451785 66.15342576511 30.88383902399 20.71220256813")
    np.testing.assert_allclose(np.diag(found), diagonal, rtol=1e-12)
    beside = floats("5.021186880597 6.227812322979 7.234882868548")
    np.testing.assert_allclose(found[[0, 0, 3], [1, 2, 4]], beside, rtol=1e-12)


def test_the_convention_of_scikit_ntk_is_twice_the_first_case():
    # Its last layer has weight_std 2^(1/2) as well.
    doubled = kernels(WideNetwork([*K1[:-1], Dense(ROOT)]), data("x"))
    single = kernels(WideNetwork(K1), data("x"))
    np.testing.assert_allclose(doubled.ntk, 2 * single.ntk, rtol=1e-15)
    np.testing.assert_allclose(doubled.nngp, 2 * single.nngp, rtol=1e-15)


@pytest.mark.parametrize("eps", [1e-3, 1e-5, 1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("name", ["relu, depth 3", "relu, bias, depth 20", "residual relu", "layer norm"])
def test_deficits_of_nearly_collinear_points(name, eps):
    mp = reference.mp
    pair = cases.near_pairs()[eps]
    spec = cases.VECTORS[name]
    found = deficits(build.network(spec), pair)
    exact = {key: reference.run(spec, pair, *key) for key in ((0, 0), (0, 1), (1, 1))}
    for m in (0, 1):
        deficit = mp.sqrt(exact[0, 0][m] * exact[1, 1][m]) - exact[0, 1][m]
        assert abs(found[m][0, 1] / deficit - 1) < 1e-13
        assert found[m][0, 0] == 0


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_deficits_behind_a_layer_norm(epsilon):
    layers = [Dense(1.2, 0.3), "relu", Dense(1.1, 0.2), LayerNorm(epsilon), "leaky_relu(0.2)", Dense(1.0, 0.1)]
    x = cases.near_pairs()[1e-3]
    for deficit, kernel in zip(deficits(WideNetwork(layers), x), kernels(WideNetwork(layers), x), strict=True):
        difference = np.sqrt(kernel[0, 0] * kernel[1, 1]) - kernel[0, 1]
        np.testing.assert_allclose(deficit[0, 1], difference, rtol=1e-8)


def test_deficits_are_the_differences_where_these_are_accurate():
    net = build.network(cases.VECTORS["residual relu"])
    found, both = deficits(net, data("x")), kernels(net, data("x"))
    for deficit, kernel in zip(found, both, strict=True):
        root = np.sqrt(np.diag(kernel))
        np.testing.assert_allclose(deficit, root[:, None] * root - kernel, atol=1e-13)


# Gradients and enclosures

OTHERS = {
    "far": lambda x, v: v,
    "close": lambda x, v: x + 1e-6 * v,
    "almost opposite": lambda x, v: -x + 1e-6 * v,
    "equal": lambda x, v: x,
    "opposite": lambda x, v: -x,
    "collinear": lambda x, v: 2 * x,
}


@pytest.mark.parametrize("where", OTHERS)
@pytest.mark.parametrize("name", ["relu, depth 3", "relu, bias, depth 20", "abs, depth 4", "gelu, depth 4",
                                  "erf before relu", "residual relu", "layer norm"])  # fmt: skip
def test_gradients_are_limits_of_differences(name, where):
    mp = reference.mp
    spec = cases.VECTORS[name]
    x, v = data("x")[:2, :3]
    other = OTHERS[where](x, v)
    found = kernel_gradients(build.network(spec), [x], [other])
    with mp.workdps(90):
        step = mp.mpf(10) ** -20
        for k in range(3):
            ends = []
            for sign in (1, -1):
                moved = np.array([[mp.mpf(u) for u in x], [mp.mpf(u) for u in other]])
                moved[0, k] += sign * step
                ends.append(reference.run(spec, moved, 0, 1))
            for m in (0, 1):
                slope = float((ends[0][m] - ends[1][m]) / (2 * step))
                assert found[m][0, 0, k] == pytest.approx(slope, rel=2e-9, abs=1e-11), (k, m)


def test_gradients_of_callables_and_of_the_standard_parametrization():
    net = WideNetwork([Dense(1.3, 0.2), np.tanh, Dense(1.3, 0.2), "relu", Dense()], "standard", width=100)
    x, y = data("x")[:2], data("x")
    found = kernel_gradients(net, x, y)
    direction, step = np.random.default_rng(8).standard_normal(6), 1e-5
    y = y[2:]
    for m in (0, 1):
        difference = (kernels(net, x + step * direction, y)[m] - kernels(net, x - step * direction, y)[m]) / (2 * step)
        np.testing.assert_allclose(found[m][:, 2:] @ direction, difference, rtol=1e-7, atol=1e-7)


def test_gradients_are_refused_where_there_are_none():
    for net, x in (
        (WideNetwork([Dense()]), np.zeros((1, 2))),
        (WideNetwork([Conv(), Flatten()]), np.ones((1, 2, 2, 1))),
    ):
        with pytest.raises(DomainError):
            kernel_gradients(net, x, x)


UNENCLOSED = ("dropout", "cube, depth 2")


@pytest.mark.parametrize("key", [key for key in ROWS if key[0] in cases.VECTORS and key[0] not in UNENCLOSED],
                         ids=", ".join)  # fmt: skip
def test_enclosures_contain_the_kernel(key):
    points = data(key[1])
    for row in ROWS[key][:6]:
        found = certified_entry(build.network(SPECS[key[0]]), points[int(row["i"])], points[int(row["j"])])
        for name in ("nngp", "ntk"):
            enclosure, exact = getattr(found, name), Decimal(row[name])
            # The reference has 30 digits.
            assert abs(Decimal(enclosure.value) - exact) <= Decimal(enclosure.radius) + Decimal("1e-29") * abs(exact)
            assert enclosure.radius <= 1e-15 * max(1.0, abs(enclosure.value))


def test_enclosures_of_degenerate_points():
    net = build.network(cases.VECTORS["relu, bias, depth 20"])
    for x, y in (([0.0, 0.0], [1.0, 2.0]), ([0.0, 0.0], [0.0, 0.0]), ([1e-130, 0.0], [1.0, 0.0])):
        found = certified_entry(net, x, y)
        kernel = kernels(net, [x], [y])
        for m in (0, 1):
            assert found[m].value == pytest.approx(kernel[m][0, 0], rel=1e-12)
            assert found[m].radius < 1e-14


# Laws

NETS = {
    "dense": (K1, (6,)),
    "steep callable": ([Dense(1.3, 0.1), np.tanh, Dense(1.3, 0.1), "relu", Dense()], (6,)),
    "images, flatten": ([Conv(3, ROOT, 0.1), "relu", Conv(3, ROOT), "relu", Flatten(), Dense()], (6, 5, 2)),
    "images, crossed": (
        [Conv(2, ROOT), "relu", Pool(2, 1), Conv(), "relu", GlobalAverage(), Dense(1.0, 0.2)], (4, 5, 1)
    ),
    "images, residual": (
        [Conv(), Residual(["abs", Conv()]), "relu", Flatten(), Dense(), LayerNorm(), "erf", Dense()], (3, 4, 2)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_symmetric_positive_and_the_same_in_blocks(name, monkeypatch):
    layers, shape = NETS[name]
    net = WideNetwork(layers)
    x = np.random.default_rng(3).standard_normal((7, *shape))
    whole = kernels(net, x)
    for kernel in whole:
        assert np.array_equal(kernel, kernel.T)
        assert np.linalg.eigvalsh(kernel)[0] > -1e-13 * np.trace(kernel)
    np.testing.assert_allclose(kernels(net, x[:3], x).ntk, whole.ntk[:3], rtol=1e-13)
    monkeypatch.setattr(kernel_blocks, "BLOCK", 4 * np.prod(shape[:-1]) ** 2)
    monkeypatch.setattr(kernel_blocks, "OWN", 50)
    for kernel, block in zip(whole, kernels(net, x), strict=True):
        np.testing.assert_allclose(block, kernel, rtol=1e-13)
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_array_equal(kernels(net, x, jobs=2).ntk, kernels(net, x).ntk)


@pytest.mark.parametrize("name", NETS)
def test_copies_of_a_point_have_the_rows_of_the_point(name):
    layers, shape = NETS[name]
    x = np.random.default_rng(4).standard_normal((3, *shape))
    x[0, ..., :1] = 0.0
    net = WideNetwork(layers)
    twice = ntk(net, np.concatenate([x, x]))
    once = ntk(net, x)
    np.testing.assert_allclose(twice, np.tile(once, (2, 2)), rtol=1e-13)
    np.testing.assert_allclose(ntk(net, x[:1], x[:1] + 0.0), once[:1, :1], rtol=1e-13)


def test_zero_vectors_and_single_points():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    found = kernels(WideNetwork([Dense(ROOT), "relu", Dense()]), x)
    np.testing.assert_array_equal(found.nngp[0], [0.0, 0.0])
    np.testing.assert_array_equal(found.ntk[0], [0.0, 0.0])
    np.testing.assert_allclose(found.ntk[1, 1], 25.0, rtol=1e-15)
    single = kernels(WideNetwork([Dense(1.0, 0.5), "relu", Dense(1.0, 0.5)]), x[:1])
    np.testing.assert_allclose([single.nngp[0, 0], single.ntk[0, 0]], [0.375, 0.75 - 0.125 + 0.125 - 0.25], rtol=1e-15)


def test_scale_does_not_matter_to_homogeneous_networks():
    x = data("x")
    net = WideNetwork(K1)
    base = ntk(net, x)
    for scale in (1e100, 1e-100):
        np.testing.assert_allclose(ntk(net, scale * x), scale**2 * base, rtol=1e-13)
    with pytest.raises(PrecisionError, match="beyond the range"):
        ntk(WideNetwork([*[Dense(30.0), "relu"] * 200, Dense()]), x)


def test_standard_parametrization_of_two_layers():
    x, width = data("x"), 64
    layers = [Dense(1.3, 0.2), "erf", Dense(1.1, 0.3)]
    hidden = WideNetwork([*layers[:2]])
    k0 = x @ x.T / 6
    k1 = nngp(hidden, x)
    slope = ntk(hidden, x) / (1.3**2 * k0 + 0.2**2)
    expected = width * k1 + 1 + 1.1**2 * slope * (6 * k0 + 1)
    found = kernels(WideNetwork(layers, "standard", width=width), x)
    np.testing.assert_allclose(found.ntk, expected, rtol=1e-13)
    np.testing.assert_allclose(found.nngp, nngp(WideNetwork(layers), x), rtol=1e-15)


def test_flatten_needs_no_pairs_of_pixels():
    net = WideNetwork([Conv(3, ROOT, 0.1), "relu"] * 2 + [Flatten(), Dense()])
    x = np.random.default_rng(5).standard_normal((12, 16, 16, 1))
    ntk(net, x[:2])
    tracemalloc.start()
    ntk(net, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All pairs of pixels of all pairs of images are 75 MB.
    assert peak < 12e6


def test_memory_is_that_of_the_result_and_a_few_blocks():
    x = np.random.default_rng(6).standard_normal((1500, 20))
    tracemalloc.start()
    kernels(WideNetwork(K1), x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 8 * 1500**2


def test_sampled_networks_have_the_covariance():
    net = WideNetwork([Dense(1.2, 0.3), "relu", Dense(1.2, 0.3), "tanh", Dense(1.1, 0.2)])
    x = data("x")
    sampled = net.sample(1500, 6, np.random.default_rng(7), outputs=1500)
    assert [layer.outputs for layer in sampled.layers] == [1500, 1500, 1500]
    values = realize(sampled, x)
    np.testing.assert_allclose(values @ values.T / 1500, nngp(net, x), atol=0.15)
    expected = [(1.2 / 6**0.5, 0.3), (1.2 / 1500**0.5, 0.3), (1.1 / 1500**0.5, 0.2)]
    np.testing.assert_allclose(net.scales(6, 1500), expected, rtol=1e-15)


DEVICES = """
import jax, numpy as np
from epsnet.generalization.kernel_devices import kernels_on_devices
from epsnet.generalization.kernels import kernels
from epsnet.generalization.wide_network import *

x = np.random.default_rng(9).standard_normal((5, 4))
x = np.concatenate([x, x[:1], x[1:2] + 1e-9, 1e-7 - x[2:3], 0 * x[:1]])
layers = [Dense(2**0.5, 0.1), Residual(["relu", Dense(), "erf", Dense(1.0, 0.2)]), LayerNorm(), "abs", Dense()]
for y in (None, x[:3]):
    for own, other in zip(kernels(WideNetwork(layers), x, y), kernels_on_devices(WideNetwork(layers), x, y)):
        np.testing.assert_allclose(other, own, rtol=1e-13)
assert len(jax.devices()) == 2 and not jax.config.jax_enable_x64
"""


def test_two_devices_find_the_same():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", DEVICES], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["cos", "tanh", "power(3)"])
def test_networks_travel_to_other_processes(name):
    net = pickle.loads(pickle.dumps(WideNetwork([Dense(), Activation(name), Dense()])))
    assert net.layers[1] == Activation(name)
    assert np.isfinite(ntk(net, data("x"))).all()


# What is refused

IMAGE = np.ones((2, 4, 4, 1))


@pytest.mark.parametrize(
    ("layers", "points", "message"),
    [
        (["relu", Dense()], np.ones((2, 3)), "before it"),
        ([Dense(), "relu", "relu"], np.ones((2, 3)), "before it"),
        ([Dense(), "relu", LayerNorm()], np.ones((2, 3)), "before it"),
        ([Conv(), Flatten(), Conv()], IMAGE, "acts on images"),
        ([Conv(), Dense()], IMAGE, "acts on vectors"),
        ([Conv()], np.ones((2, 3)), "acts on images"),
        ([Conv()], IMAGE, "are images"),
        ([Dense()], IMAGE, "acts on vectors"),
        ([Conv(7, padding="valid")], IMAGE, "do not fit"),
        ([Conv(), Residual([Conv(stride=2)])], IMAGE, "adds images"),
        ([Dense()], [[1.0, np.nan]], "NaN"),
        ([Dense()], [1.0, 2.0], "shape"),
        ([Dense()], np.ones((0, 3)), "shape"),
        ([Dense()], [["a"]], "numbers"),
        ([Dense(), LayerNorm(), "relu", Dense()], [[0.0, 0.0], [1.0, 2.0]], "divides by 0"),
        ([Dense(), lambda u: np.float64(1.0), Dense()], np.ones((2, 3)), "one finite number"),
    ],
)
def test_what_does_not_fit_is_refused(layers, points, message):
    with pytest.raises(DomainError, match=message):
        kernels(WideNetwork(layers), points)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WideNetwork([]),
        lambda: WideNetwork("relu"),
        lambda: WideNetwork([Dense(), 3]),
        lambda: WideNetwork([Dense], "ntk"),
        lambda: WideNetwork([Dense()], "mup"),
        lambda: WideNetwork([Dense()], "standard"),
        lambda: WideNetwork([Dense()], width=3),
        lambda: WideNetwork([Dense(), Residual(["relu"])]),
        lambda: Dense(float("nan")),
        lambda: Dense(1.0, -0.1),
        lambda: Conv(0),
        lambda: Conv(padding="full"),
        lambda: Pool(2, kind="max"),
        lambda: Dropout(0.0),
        lambda: LayerNorm(-1.0),
        lambda: Activation("rleu"),
        lambda: WideNetwork([Dense(), Dropout()]).sample(3, 2, np.random.default_rng(0)),
        lambda: WideNetwork([Dense(), np.tanh, Dense()]).sample(3, 2, np.random.default_rng(0)),
        lambda: kernels(WideNetwork([Dense()]), np.ones((2, 3)), np.ones((2, 4))),
        lambda: kernels_on_devices(WideNetwork([Dense(), "tanh", Dense()]), np.ones((2, 3))),
        lambda: deficits(WideNetwork([Conv(), Flatten()]), IMAGE),
        lambda: certified_entry(WideNetwork([Dense(), "tanh", Dense()]), [1.0], [2.0]),
        lambda: certified_entry(WideNetwork([Dense(), LayerNorm(), "relu", Dense()]), [0.0], [2.0]),
    ],
)
def test_wrong_descriptions_are_refused(make):
    with pytest.raises(DomainError):
        make()


def test_scales_beyond_float64_are_refused():
    for factor in (1e200, 1e-200):
        with pytest.raises(PrecisionError):
            kernels(WideNetwork([Dense()]), factor * np.ones((2, 3)))


def test_an_undeclared_jump_is_found_out():
    with pytest.raises(PrecisionError, match="kinks"):
        kernels(WideNetwork([Dense(), np.floor, Dense()]), data("x")[:1])
