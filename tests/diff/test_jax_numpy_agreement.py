"""NumPy against JAX: a JAX version that miscompiles is seen here at once (docs/adr/0003-jax-version.md)."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from epsnet.diff import precise

MODES = {"float32": (np.float32, 2e-5), "float64": (np.float64, 1e-13)}


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Iterator[tuple[type, float]]:
    dtype, tolerance = MODES[request.param]

    @contextmanager
    def single() -> Iterator[None]:
        with jax.enable_x64(False):
            yield

    with precise() if dtype is np.float64 else single():
        yield dtype, tolerance


def assert_agree(result, expected: np.ndarray, tolerance: float) -> None:
    result = np.asarray(result)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def normal(dtype: type, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def test_scan(mode) -> None:
    dtype, tolerance = mode
    matrix, drive, start = normal(dtype, 8, 8) / 4, normal(dtype, 300, 8), normal(dtype, 8)

    def step(state, push):
        state = jnp.tanh(matrix @ state + push)
        return state, jnp.sum(state)

    last, sums = jax.jit(lambda h, x: jax.lax.scan(step, h, x))(start, drive)
    expected, traced = start, []
    for push in drive:
        expected = np.tanh(matrix @ expected + push)
        traced.append(expected.sum())
    assert_agree(last, expected, 10 * tolerance)
    assert_agree(sums, np.asarray(traced, dtype), 50 * tolerance)


def test_gather_and_scatter(mode) -> None:
    dtype, tolerance = mode
    table, rows, columns = normal(dtype, 5000, 7), (np.arange(9000) * 37) % 5000, np.arange(9000) % 7
    columns = columns.astype(np.int32)
    assert_agree(jax.jit(lambda t: t[rows])(table), table[rows], 0)
    taken = jax.jit(lambda t: jnp.take_along_axis(t[rows], columns[:, None], axis=1))(table)
    assert_agree(taken, table[rows, columns][:, None], 0)
    expected = np.zeros_like(table)
    np.add.at(expected, rows, table[rows])
    assert_agree(jax.jit(lambda t: jnp.zeros_like(t).at[rows].add(t[rows]))(table), expected, tolerance)


def test_value_and_grad(mode) -> None:
    """One hidden layer and cross entropy, against backpropagation by hand."""
    dtype, tolerance = mode
    n, d, width, k = 257, 11, 19, 5
    params = (normal(dtype, width, d), normal(dtype, width), normal(dtype, k, width), normal(dtype, k))
    x, y = normal(dtype, n, d), np.arange(n) % k

    def risk(params):
        a, b, c, e = params
        z = jax.nn.relu(x @ a.T + b) @ c.T + e
        return jnp.mean(jax.nn.logsumexp(z, axis=1) - z[jnp.arange(n), y])

    value, gradient = jax.jit(jax.value_and_grad(risk))(params)
    a, b, c, e = (p.astype(np.float64) for p in params)
    hidden = np.maximum(x @ a.T + b, 0)
    z = hidden @ c.T + e
    top = z.max(axis=1, keepdims=True)
    total = np.exp(z - top).sum(axis=1, keepdims=True)
    expected = np.mean(top + np.log(total) - z[np.arange(n), y][:, None])
    delta = (np.exp(z - top) / total - np.eye(k)[y]) / n
    back = (delta @ c) * (hidden > 0)
    assert_agree(value, np.asarray(expected, dtype), 10 * tolerance)
    for got, want in zip(gradient, (back.T @ x, back.sum(0), delta.T @ hidden, delta.sum(0)), strict=True):
        assert_agree(got, want.astype(dtype), 20 * tolerance)


def test_vmap(mode) -> None:
    dtype, tolerance = mode
    rows, matrix = normal(dtype, 4097, 6), normal(dtype, 6, 6)
    forms = jax.jit(jax.vmap(lambda row: row @ matrix @ row))(rows)
    assert_agree(forms, np.einsum("ni,ij,nj->n", rows, matrix, rows, dtype=dtype), 20 * tolerance)
    jacobians = jax.jit(jax.vmap(jax.jacfwd(lambda row: jnp.sin(matrix @ row))))(rows[:100])
    assert_agree(jacobians, np.cos(rows[:100] @ matrix.T)[:, :, None] * matrix, 20 * tolerance)


@pytest.mark.parametrize("n", [16_384, 16_385, 32_769, 65_537])
def test_reduction_after_a_mapped_product(mode, n: int) -> None:
    """The reproducer of jax issue 39103: jax 0.10.2 gets the last row wrong on CPUs."""
    dtype, tolerance = mode
    index = np.arange(n, dtype=dtype)
    x = np.stack((index, np.zeros_like(index), np.zeros_like(index)), axis=1)
    matrix = np.eye(3, dtype=dtype)
    squares = jax.jit(jax.vmap(lambda row: jnp.sum((matrix @ row) ** 2)))(x)
    assert_agree(squares, index**2, tolerance)


def test_scatter_of_a_constant(mode) -> None:
    """The pattern of jax issue 33479: wrong from about jax 0.5.3 to 0.8.1."""
    dtype, tolerance = mode
    block, index = normal(dtype, 10, 8), np.asarray([1, 3, 5, 7])
    weight = dtype(0.025)

    def column(values):
        full, zero = jnp.zeros(10, dtype).at[:10].set(values), jnp.zeros(10, dtype)
        return jnp.zeros(10, dtype).at[index].set(full[index] + weight * zero[index])

    mapped = jax.vmap(column, in_axes=1, out_axes=1)
    expected = np.zeros_like(block)
    expected[index] = block[index]
    assert_agree(jax.jit(lambda: mapped(jnp.asarray(block)))(), expected, tolerance)
    assert_agree(jax.jit(mapped)(block), expected, tolerance)
