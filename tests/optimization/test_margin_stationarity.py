"""Stationary points of the margin: closed forms, differences, and descent that comes near."""

import numpy as np
import pytest

from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.optimization.implicit_bias import max_margin
from epsnet.optimization.margin_stationarity import _gradients, margin_stationarity


def sample(seed, n=20):
    generator = np.random.Generator(np.random.Philox(seed))
    x = generator.normal(size=(n, 2))
    y = np.where(x @ [0.6, 0.8] > 0, 1.0, -1.0)
    return x + 0.3 * y[:, None] * [0.6, 0.8], y


def test_gradients_by_differences_and_by_euler():
    x, y = sample(0)
    generator, shapes = np.random.Generator(np.random.Philox(1)), [(4, 2), (3, 4), (1, 3)]
    weights = [generator.normal(size=shape) for shape in shapes]
    margins, gradients = _gradients(weights, x, y)
    theta = np.concatenate([w.ravel() for w in weights])
    assert gradients @ theta == pytest.approx(3 * margins, rel=1e-12)
    for k in range(len(theta)):
        ends = []
        for sign in (1, -1):
            moved = theta.copy()
            moved[k] += sign * 1e-6
            parts = np.split(moved, np.cumsum([w.size for w in weights])[:-1])
            ends.append(_gradients([p.reshape(s) for p, s in zip(parts, shapes, strict=True)], x, y)[0])
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(gradients[:, k], abs=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_one_matrix_is_the_largest_margin(seed):
    x, y = sample(seed)
    best = max_margin(x, y)
    found = margin_stationarity([7 * best.classifier[None]], x, y)
    assert found.epsilon < 1e-10 * found.length and found.delta < 1e-10
    assert found.margin == pytest.approx(best.margin.value, rel=1e-12)
    # The multipliers are the dual point, scaled: sum lambda_i = |w^|^2.
    assert found.multipliers.sum() == pytest.approx(found.length**2, rel=1e-9)
    turned = best.classifier + 0.05 * np.linalg.norm(best.classifier) * best.classifier[::-1] * [1, -1]
    other = margin_stationarity([turned[None]], x, y)
    assert max(other.epsilon / other.length, other.delta) > 1e-3


def test_two_neurons_of_a_symmetric_sample():
    """Each class by its own neuron: w and -w of length |w^|^(1/2), with as long outputs."""
    x, y = sample(5)
    x, y = np.vstack([x, -x]), np.concatenate([y, -y])
    best = max_margin(x, y).classifier
    root = np.sqrt(np.linalg.norm(best))
    hidden = np.vstack([best, -best]) / root
    found = margin_stationarity([hidden, [[root, -root]]], x, y)
    assert found.epsilon < 1e-9 and found.delta < 1e-9
    unbalanced = margin_stationarity([2 * hidden, [[root / 2, -root / 2]]], x, y)
    assert unbalanced.epsilon > 0.1 and unbalanced.margin < found.margin


def test_descent_comes_near():
    """Gradient descent on the exponential loss with steps in proportion to 1/loss: eps and delta fall."""
    x, y = sample(7)
    generator = np.random.Generator(np.random.Philox(3))
    weights, residuals = [0.3 * generator.normal(size=(6, 2)), 0.3 * generator.normal(size=(1, 6))], []
    for step in range(1, 20_001):
        margins, gradients = _gradients(weights, x, y)
        # The exponential loss, divided by itself.
        pull = np.exp(margins.min() - margins)
        change = 0.02 * (pull / pull.sum()) @ gradients / (1 + sum(float((w**2).sum()) for w in weights)) ** 0.5
        parts = np.split(change, [12])
        weights = [w + p.reshape(w.shape) for w, p in zip(weights, parts, strict=True)]
        if step in (500, 2000, 20_000):
            found = margin_stationarity(weights, x, y)
            residuals.append(np.hypot(found.epsilon / found.length, found.delta))
    assert residuals[2] < residuals[1] < residuals[0] and residuals[2] < 0.2 * residuals[0]


def test_says_what_is_wrong():
    x, y = sample(0)
    with pytest.raises(HypothesisError, match="errs on point"):
        margin_stationarity([[[-0.6, -0.8]]], x, y)
    for weights in ([], [[[1.0, 2.0, 3.0]]], [[[np.nan, 1.0]]], [np.ones((3, 2))]):
        with pytest.raises(DomainError):
            margin_stationarity(weights, x, y)
