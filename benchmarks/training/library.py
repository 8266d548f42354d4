"""epsnet: steps per second of `fit` and `fit_seeds`, and the speed of the matrix product. `run.py` starts it.

    python library.py DATA.npz fit|seeds|peak EPOCHS

fit and seeds print steps per second and network, with everything that an epoch does inside the time: drawing the order,
gathering the batches, steps, copying the state out. The first epoch, which compiles, is left out, and so is the last
one, in which there is no next epoch to prepare. peak prints GFLOP/s of float32 products in XLA and in NumPy's BLAS.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from epsnet.diff import fit, fit_seeds

WIDTHS, BATCH, SEEDS = [784, 20, 20, 10], 64, 16
SHAPES = [(64, 784, 20), (64, 784, 20 * SEEDS), (1024, 1024, 1024)]


def speed(path: str, subject: str, epochs: int) -> list[float]:
    """Return the steps per second of one network, in a list of one."""
    with np.load(path) as archive:
        arguments = archive["inputs"], archive["labels"], WIDTHS
    times: list[float] = []
    options = {"optimizer": "sgd", "step_size": 0.05, "batch_size": BATCH, "epochs": epochs + 2}
    options["callback"] = lambda news: times.append(time.perf_counter())
    if subject == "fit":
        fit(*arguments, **options)
    else:
        fit_seeds(*arguments, seeds=range(SEEDS), **options)
    steps = epochs * (len(arguments[1]) // BATCH) * (1 if subject == "fit" else SEEDS)
    return [steps / (times[-2] - times[0])]


def peak() -> list[dict[str, float]]:
    """Return for each shape the GFLOP/s of the product (m, k) x (k, n) in XLA and in NumPy: the best of 30 runs."""
    rng, rows = np.random.default_rng(0), []
    for m, k, n in SHAPES:
        a, b = rng.random((m, k), np.float32), rng.random((k, n), np.float32)
        repeats = max(1, 200_000_000 // (m * k * n))

        def body(_: int, state: tuple[jax.Array, jax.Array], right: jax.Array) -> tuple[jax.Array, jax.Array]:
            left, product = state
            product = left @ right
            return left.at[0, 0].set(product[0, 0] * 1e-9), product  # a loop that cannot be hoisted

        def loop(a: jax.Array, b: jax.Array, repeats: int = repeats, body: Callable = body) -> jax.Array:
            state = (a, jnp.zeros((a.shape[0], b.shape[1])))
            return jax.lax.fori_loop(0, repeats, lambda i, state: body(i, state, b), state)[1]

        compiled, out = jax.jit(loop), np.empty((m, n), np.float32)
        x, y = jnp.asarray(a), jnp.asarray(b)

        def blas(a: np.ndarray = a, b: np.ndarray = b, out: np.ndarray = out, repeats: int = repeats) -> None:
            for _ in range(repeats):
                np.dot(a, b, out=out)

        flops = 2 * m * k * n * repeats / 1e9
        xla = flops / best(lambda run=compiled, x=x, y=y: run(x, y).block_until_ready())
        rows.append({"m": m, "k": k, "n": n, "xla": xla, "numpy": flops / best(blas)})
    return rows


def best(run: Callable[[], object]) -> float:
    """Return the least seconds of 30 runs, after one that is not counted."""
    run()
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    print(json.dumps(peak() if sys.argv[2] == "peak" else speed(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
