"""The rounding bound of sparse networks: brute force over orders of summation, and the same as for full matrices."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from epsnet.core.linear_maps import Dense, Sparse
from epsnet.core.network import Layer, Network
from epsnet.core.realize import realize_exact
from epsnet.core.rounding_error import float64_error
from epsnet.dictionaries.molecules import bspline, dilated
from epsnet.dictionaries.transfer import transfer


def stored(matrix, sparse):
    if not sparse:
        return Dense(matrix)
    rows, columns = np.nonzero(matrix)
    return Sparse(matrix.shape, rows, columns, matrix[rows, columns])


def network_of(layers, sparse):
    last = len(layers) - 1
    return Network(
        layers[0][0].shape[1],
        tuple(
            Layer(((k, stored(matrix, sparse)),), bias, ("identity" if k == last else "relu",))
            for k, (matrix, bias) in enumerate(layers)
        ),
    )


@pytest.mark.parametrize("sparse", [False, True], ids=["full", "sparse"])
def test_neurons_that_share_weights(sparse):
    generator = np.random.Generator(np.random.Philox(4))
    for _ in range(60):
        thin = [generator.normal(size=shape) * (generator.random(shape) < 0.6) for shape in ((2, 3), (3, 6), (1, 6))]
        first, second = thin[0][generator.integers(0, 2, 6)], np.repeat(thin[1], 2, axis=0)
        layers = [(first, generator.normal(size=6)), (second, generator.normal(size=6)), (thin[2], np.array([0.5]))]
        network = network_of(layers, sparse)
        x = generator.normal(size=3)
        bound = float64_error(network, x[None], x[None])[0, 0]
        exact = realize_exact(network, [Fraction(value) for value in x])[0]
        for _ in range(4):
            y = x
            for number, (matrix, bias) in enumerate(layers):
                z = bias.copy()
                for j in generator.permutation(matrix.shape[1]):
                    z = z + matrix[:, j] * y[j]
                y = np.maximum(z, 0) if number < 2 else z
            assert abs(Fraction(float(y[0])) - exact) <= bound
        assert bound < 1e-12
        other = float64_error(network_of(layers, not sparse), x[None], x[None])[0, 0]
        assert bound == pytest.approx(other, rel=1e-9)


def test_copies_round_like_one():
    """Deep networks side by side: the bound of n copies is some n times that of one."""
    bounds = []
    for n in (1, 40):
        atoms = dilated(bspline(3, 6), np.full((n, 1), 4.0), np.full((n, 1), 0.5))
        network = transfer([(atoms, [1.0] * n)]).network
        bounds.append(float64_error(network, np.zeros((1, 1)), np.ones((1, 1)))[0, 0])
    assert bounds[1] <= 100 * bounds[0] < 1e-9
