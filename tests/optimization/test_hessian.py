"""Spectra: mpmath and closed forms as oracles, laws of the softmax, densities of integral 1."""

import itertools

import mpmath
import numpy as np
import pytest

from epsnet.certify.errors import DomainError, EpsnetError
from epsnet.optimization.hessian import (
    SpectralDensity,
    extreme_eigenvalues,
    flatten,
    hessian,
    lanczos,
    network_objective,
    spectral_density,
    spectrum,
    split,
)

pytest.importorskip("jax")


def network(widths, seed=0):
    generator = np.random.Generator(np.random.Philox(seed))
    return [
        (generator.normal(size=(b, a)) / np.sqrt(a), generator.normal(size=b)) for a, b in itertools.pairwise(widths)
    ]


def data(n, d, k, seed=1):
    generator = np.random.Generator(np.random.Philox(seed))
    return generator.normal(size=(n, d)), generator.integers(0, k, n)


def test_against_mpmath():
    """T21: eigenvalues and trace within 1e-10 of 30-digit differences of an independent implementation."""
    layers, (x, y) = network([2, 3, 2]), data(4, 2, 2)
    objective, theta = network_objective(layers, x, y, activation="tanh")
    with mpmath.workdps(50):
        inputs = [[mpmath.mpf(v) for v in row] for row in x.tolist()]

        def f(t):
            total = mpmath.mpf(0)
            for row, label in zip(inputs, y.tolist(), strict=True):
                hidden = [mpmath.tanh(t[2 * i] * row[0] + t[2 * i + 1] * row[1] + t[6 + i]) for i in range(3)]
                z = [sum(t[9 + 3 * c + i] * hidden[i] for i in range(3)) + t[15 + c] for c in range(2)]
                total += mpmath.log(mpmath.exp(z[0]) + mpmath.exp(z[1])) - z[label]
            return total / len(inputs)

        start, h, size = [mpmath.mpf(v) for v in theta.tolist()], mpmath.mpf(10) ** -14, len(theta)
        matrix = mpmath.matrix(size, size)

        def at(*moves):
            t = list(start)
            for index, step in moves:
                t[index] += step
            return f(t)

        for i in range(size):
            for j in range(i + 1):
                value = at((i, h), (j, h)) - at((i, h), (j, -h)) - at((i, -h), (j, h)) + at((i, -h), (j, -h))
                matrix[i, j] = matrix[j, i] = value / (4 * h * h)
        truth = sorted(map(float, mpmath.eigsy(matrix, eigvals_only=True)))
        trace = float(sum(matrix[i, i] for i in range(size)))
    own = hessian(objective, theta)
    found = spectrum(own)
    assert np.abs(found.eigenvalues - truth).max() <= 1e-10 and abs(found.trace - trace) <= 1e-10
    low, high = extreme_eigenvalues(objective.hessian_product(theta), size, 2)
    assert np.abs(low - truth[:2]).max() <= 1e-10 and np.abs(high - truth[-2:]).max() <= 1e-10


def test_a_linear_model_in_closed_form():
    """(1/n) sum |A x + b - t|^2 has the Hessian 2 I kron (1/n) sum (x, 1)(x, 1)^T."""
    x, t = np.random.Generator(np.random.Philox(2)).normal(size=(2, 30, 3))
    objective, theta = network_objective(network([3, 3]), x, t, loss="square", activation="identity")
    own = hessian(objective, theta, block=5)
    moment = 2 * x.T @ x / 30
    assert np.allclose(own[:9, :9], np.kron(np.eye(3), moment), atol=1e-14)
    assert np.allclose(own[9:, 9:], 2 * np.eye(3), atol=1e-14)
    assert np.allclose(own[:9, 9:], np.kron(np.eye(3), 2 * x.mean(0)[:, None]), atol=1e-14)


def test_the_zero_eigenvalues_of_softmax():
    """A shift of all logits changes nothing: width + 1 zero eigenvalues, and no more for generic tanh networks."""
    layers, (x, y) = network([6, 9, 4]), data(200, 6, 4)
    objective, theta = network_objective(layers, x, y, activation="tanh")
    found = spectrum(hessian(objective, theta))
    assert found.inertia.zero == 10 and sum(found.inertia) == len(theta) and found.gap > 1e4
    assert found.trace == pytest.approx(found.eigenvalues.sum(), abs=1e-12)


@pytest.mark.slow
def test_two_thousand_weights():
    layers, (x, y) = network([40, 40, 8]), data(400, 40, 8)
    objective, theta = network_objective(layers, x, y, activation="tanh")
    found = spectrum(hessian(objective, theta))
    assert len(theta) == 1968 and found.inertia.zero == 41 and found.gap > 1e6


def test_density_integrates_to_one():
    """T21: by quadrature over the whole range, within 1e-8; moments are those of the matrix within their spread."""
    generator = np.random.Generator(np.random.Philox(4))
    matrix = generator.normal(size=(60, 60))
    matrix = matrix + matrix.T
    density = spectral_density(lambda v: matrix @ v, 60, probes=6, steps=30)
    grid = np.linspace(density.nodes.min() - 12 * density.width, density.nodes.max() + 12 * density.width, 40_001)
    assert np.trapezoid(density(grid), grid) == pytest.approx(1, abs=1e-8)
    trace, error = density.trace
    assert abs(trace - np.trace(matrix)) <= 5 * error


def test_lanczos_is_a_gauss_quadrature():
    """With k steps all moments below 2 k are exact; with P steps the nodes are the eigenvalues."""
    generator = np.random.Generator(np.random.Philox(5))
    values = np.linspace(-1, 2, 12)
    q = np.linalg.qr(generator.normal(size=(12, 12)))[0]
    start = generator.normal(size=12)
    product = lambda v: q @ (values * (q.T @ v))  # noqa: E731
    mass = (q.T @ start) ** 2 / (start @ start)
    for steps in (1, 3, 6):
        nodes, weights = lanczos(product, start, steps)
        for j in range(2 * steps):
            assert weights @ nodes**j == pytest.approx(mass @ values**j, abs=1e-12)
    nodes, weights = lanczos(product, start, 12)
    assert np.allclose(nodes, values, atol=1e-12) and np.allclose(weights, mass, atol=1e-12)


def test_krylov_spaces_that_end_early():
    density = spectral_density(lambda v: 3 * v, 50, probes=3, steps=10, width=0.1)
    assert density.weights.sum() == pytest.approx(3) and (density.nodes == pytest.approx(3))
    assert density(3.0) == pytest.approx(1 / (0.1 * np.sqrt(2 * np.pi)))
    zero = spectral_density(np.zeros_like, 5, probes=2, steps=3)
    assert isinstance(zero, SpectralDensity) and zero.trace[0] == 0


def test_layers_and_vectors():
    layers = network([3, 5, 2])
    theta = flatten(layers)
    back = split(theta, [np.shape(part) for layer in layers for part in layer])
    assert all(
        np.array_equal(a, b) for one, two in zip(layers, back, strict=True) for a, b in zip(one, two, strict=True)
    )
    objective, theta = network_objective(layers, *data(10, 3, 2), activation="tanh")
    value, slope = objective.value_and_gradient()(theta)
    assert value == pytest.approx(objective.value(theta), rel=1e-14)
    v = np.random.Generator(np.random.Philox(0)).normal(size=len(theta))
    both = [objective.value_and_gradient()(theta + s * 1e-6 * v)[0] for s in (1, -1)]
    assert slope @ v == pytest.approx((both[0] - both[1]) / 2e-6, rel=1e-6)
    product = objective.hessian_product(theta)
    assert np.allclose(product(v), hessian(objective, theta) @ v, atol=1e-13)


def test_bad_input():
    with pytest.raises(DomainError, match="loss"):
        network_objective(network([2, 2]), np.zeros((1, 2)), [0], loss="hinge")
    objective, _ = network_objective(network([2, 2]), np.zeros((1, 2)), np.array([0]))
    with pytest.raises(DomainError, match="too large"):
        hessian(objective, np.zeros(5001))
    with pytest.raises(DomainError, match="symmetric"):
        spectrum([[0.0, 1.0], [0.0, 0.0]])
    with pytest.raises(DomainError, match="symmetric"):
        spectrum([[np.nan]])
    with pytest.raises(DomainError, match="at least one"):
        spectral_density(lambda v: v, 3, probes=0)
    with pytest.raises(DomainError, match="fewer"):
        extreme_eigenvalues(lambda v: v, 3, 3)
    with pytest.raises(EpsnetError, match="not finite"):
        spectral_density(lambda v: v * np.nan, 3)
