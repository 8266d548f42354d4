"""The columns of a network in rationals, against the evaluation of the network neuron by neuron."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq

from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.bends import BendingForms, bending, exact_columns
from epsnet.core.linear_maps import Convolution, Dense, Exact, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import forward

F = Fraction
NAMES = ("relu", "abs", "identity", "leaky_relu(0.1)", "leaky_relu(0.0)")


def plain(generator):
    return Network.from_layers(
        [(generator.normal(size=(5, 3)), generator.normal(size=5)), (generator.normal(size=(2, 5)), np.zeros(2))]
    )


def mixed(generator):
    """Skip connections, several activations in a layer, two outputs that bend, and rational weights."""
    first = Layer(((0, Dense(generator.normal(size=(5, 2)))),), generator.normal(size=5), NAMES)
    second = Layer(
        ((1, Dense(generator.normal(size=(3, 5)))), (0, Dense(generator.normal(size=(3, 2))))),
        generator.normal(size=3), ("leaky_relu(0.3)",),
    )  # fmt: skip
    weights = {(0, 0): F(1, 3), (0, 2): F(-2, 7), (1, 1): F(5, 11)}
    third = Layer(((2, Exact((2, 3), weights)), (1, Dense(generator.normal(size=(2, 5))))), (F(1, 13), F(0)))
    return Network(2, (first, second, third))


def rational(generator):
    entries = {
        (i, j): F(int(generator.integers(-9, 9)), int(generator.integers(1, 9))) for i in range(4) for j in (0, 1)
    }
    first = Layer(((0, Exact((4, 2), entries)),), (F(1, 3), F(-1, 7), F(0), F(2)), ("abs",))
    return Network(2, (first, Layer(((1, Dense(np.ones((1, 4)))),), (F(1, 9),), ("identity",))))


def convolution(generator):
    kernel = Convolution(generator.normal(size=(2, 1, 2, 2)), (1, 2, 2), padding=1)
    sums = Sparse((1, 18), np.zeros(18), np.arange(18), generator.normal(size=18))
    return Network(4, (Layer(((0, kernel),), [0.5, -0.25]), Layer(((1, sums),), [0.0], ("identity",))))


def by_neuron(network, box, point, level):
    """Return the columns in Fractions, from the definition."""
    arguments = []

    def activate(function, value):
        arguments.append((function.slopes, value))
        return function.exact(value)

    output = forward(network, point, constant=F, multiplier=F, activate=activate)[-1]
    sides = [side for x, a, b in zip(point, box.lower, box.upper, strict=True) for side in (x - a, b - x)]
    bends = [value for (left, right), value in arguments if left != right]
    return [*sides, *bends, *([] if level is None else [output[0] - level])]


def exact_point(generator, dimension):
    return [F(int(n), 99) for n in generator.integers(-198, 198, dimension)]


@pytest.mark.parametrize("build", [plain, mixed, rational, convolution])
@pytest.mark.parametrize("seed", range(5))
def test_columns_by_neuron_and_by_cell(build, seed):
    generator = np.random.Generator(np.random.Philox(seed))
    network = build(generator)
    box = Box([F(-7, 3)] * network.inputs, [2] * network.inputs)
    level = F(2, 7) if network.outputs == 1 else None
    point = exact_point(generator, network.inputs)
    columns = exact_columns(network, box, [fmpq(x.numerator, x.denominator) for x in point], level)
    expected = by_neuron(network, box, point, level)
    assert [F(int(c.p), int(c.q)) for c in columns] == expected
    assert len(columns) == 2 * network.inputs + len(bending(network)) + (level is not None)
    signs = [(c > 0) - (c < 0) for c in expected]
    forms = BendingForms(network, box, level)
    affine = [[F(int(a), scale) for a in row] for row, scale in zip(forms.affine(signs), forms.scales, strict=True)]
    # So close to the point no sign changes, and the affine functions of the cell are the columns.
    step = F(1, 10**6)
    for near in (point, [x + step * k for k, x in enumerate(point)], [x - step for x in point]):
        values = by_neuron(network, box, near, level)
        assert [(v > 0) - (v < 0) for v in values] == signs
        assert [sum(a * x for a, x in zip(row, [*near, 1], strict=True)) for row in affine] == values


def test_zero_counts_as_left_of_the_kink():
    network = Network.from_layers([([[2.0]], [0.0]), ([[3.0]], [1.0]), ([[1.0]], [0.0])], activation="leaky_relu(0.5)")
    forms = BendingForms(network, Box(-1, 1))
    for sign, slope in ((-1, 3), (0, 3), (1, 6)):
        row = forms.affine([1, 1, sign, 1])[3]
        assert [F(int(a), forms.scales[3]) for a in row] == [slope, 1]


def test_which_neurons_bend():
    assert bending(mixed(np.random.Generator(np.random.Philox(0)))) == (
        (1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1),
    )  # fmt: skip
    assert bending(Network.from_layers([([[1.0]], [0.0])])) == ()


def test_refusals():
    smooth = Network.from_layers([([[1.0]], [0.0]), ([[1.0]], [0.0])], activation="tanh")
    with pytest.raises(HypothesisError, match="tanh"):
        bending(smooth)
    with pytest.raises(HypothesisError, match="tanh"):
        exact_columns(smooth, Box(0, 1), [fmpq(0)])
    network = plain(np.random.Generator(np.random.Philox(0)))
    with pytest.raises(DomainError, match="3 inputs"):
        exact_columns(network, Box(0, 1), [fmpq(0)])
    with pytest.raises(DomainError, match="level"):
        exact_columns(network, Box([0] * 3, [1] * 3), [fmpq(0)] * 3, F(1))
    wide = Network(1, (Layer(((0, Sparse((10**6, 1), [0], [0], [1.0])),), np.zeros(10**6)),
                       Layer(((1, Sparse((10**6, 10**6), [0], [0], [1.0])),), np.zeros(10**6))))  # fmt: skip
    with pytest.raises(HypothesisError, match="entries"):
        exact_columns(wide, Box(0, 1), [fmpq(0)])
