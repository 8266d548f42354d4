"""neural-tangents 0.6.5 on the same cases, in an environment of its own; run.py calls it.

    python -m venv nt
    nt/bin/pip install --no-deps jax==0.4.25 jaxlib==0.4.25 "numpy<2" "scipy<1.13" ml_dtypes opt_einsum frozendict \
        typing_extensions absl-py neural-tangents==0.6.5
    nt/bin/python peer.py accuracy    # its kernels of all cases as CSV
    nt/bin/python peer.py time        # waits for the names of tasks, one a line; answers with CPU and wall seconds

Its experimental bridge, which imports tensorflow, is replaced by an empty module.
"""

import csv
import sys
import time
from types import ModuleType

sys.modules["neural_tangents.experimental"] = ModuleType("neural_tangents.experimental")

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)

import cases  # noqa: E402
import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402

DEGREE = 25


def activation(name):
    """Return its layer; the numerical one with the recommended degree where it has no closed form."""
    import jax.numpy as jnp

    numerical = {"tanh": jnp.tanh, "silu": jax.nn.silu, "softplus": jax.nn.softplus}
    if name in numerical:
        return stax.ElementwiseNumerical(numerical[name], deg=DEGREE)
    if name.startswith("leaky"):
        return stax.LeakyRelu(float(name[11:-1]))
    if name.startswith("power"):
        return stax.Monomial(int(name[6:-1]))
    return {"relu": stax.Relu, "erf": stax.Erf, "abs": stax.Abs, "gelu": stax.Gelu, "sin": stax.Sin, "cos": stax.Cos,
            "exp": stax.Exp, "sign": stax.Sign}[name]()  # fmt: skip


def layer(kind, *numbers):
    """Return one layer of a plain list."""
    if kind == "dense":
        return stax.Dense(64, *numbers)
    if kind == "act":
        return activation(*numbers)
    if kind == "conv":
        size, w, b, stride, padding = numbers
        return stax.Conv(64, (size, size), (stride, stride), padding.upper(), W_std=w, b_std=b)
    if kind == "pool":
        size, how = numbers
        pool = stax.AvgPool if how == "average" else stax.SumPool
        return pool((size, size), strides=(size, size))
    if kind == "res":
        inner = stax.serial(*(layer(*one) for one in numbers[0]))
        return stax.serial(stax.FanOut(2), stax.parallel(inner, stax.Identity()), stax.FanInSum())
    return {"flatten": stax.Flatten, "gap": stax.GlobalAvgPool, "norm": lambda: stax.LayerNorm(axis=-1, eps=0.0),
            "drop": stax.Dropout}[kind](*numbers)  # fmt: skip


def kernel_function(spec):
    """Return its kernel function of a plain list."""
    return stax.serial(*(layer(*one) for one in spec))[2]


def accuracy():
    """Write the entries that reference.csv has."""
    x, images = cases.points()
    data = {"x": x, "images": images, "opposite": cases.opposite_pair()}
    data |= {f"near {eps:g}": pair for eps, pair in cases.near_pairs().items()}
    specs = {**cases.VECTORS, **cases.IMAGES, **cases.ANY}
    known = {}
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["case", "points", "i", "j", "nngp", "ntk"])
    for row in csv.DictReader(open(sys.argv[2])):  # noqa: SIM115, PTH123
        key = row["case"], row["points"]
        if key not in known:
            known[key] = tuple(map(np.asarray, kernel_function(specs[key[0]])(data[key[1]], None, ("nngp", "ntk"))))
        i, j = int(row["i"]), int(row["j"])
        writer.writerow([*key, i, j, *(repr(float(kernel[i, j])) for kernel in known[key])])


def timing():
    """Answer each task with the seconds of one call, compiled before."""
    compiled = {}
    for task in map(str.strip, sys.stdin):
        if task not in compiled:
            spec, points = cases.timed(task)
            function = kernel_function(spec)
            call = jax.jit(lambda p, f=function: f(p, None, ("nngp", "ntk")))
            compiled[task] = call, jax.numpy.asarray(points)
            jax.block_until_ready(call(compiled[task][1]))
        call, points = compiled[task]
        start = time.process_time(), time.perf_counter()
        jax.block_until_ready(call(points))
        print(time.process_time() - start[0], time.perf_counter() - start[1], flush=True)


if __name__ == "__main__":
    {"accuracy": accuracy, "time": timing}[sys.argv[1]]()
