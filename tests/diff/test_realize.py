"""The JAX realization against NumPy, in both precisions."""

import numpy as np
import pytest
from scipy import special

from epsnet.certify.errors import DomainError
from epsnet.diff import precise, realize
from epsnet.diff.realize import ACTIVATIONS

RNG = np.random.default_rng(0)
LAYERS = [(RNG.standard_normal((n, m)) / np.sqrt(m), RNG.standard_normal(n)) for m, n in ((4, 9), (9, 7), (7, 2))]
REFERENCE = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "gelu": lambda x: x * special.ndtr(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "sin": np.sin,
    "identity": lambda x: x,
}


def test_every_activation_has_a_reference() -> None:
    assert REFERENCE.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("name", REFERENCE)
def test_realization(name: str) -> None:
    x = RNG.standard_normal((50, 4))
    expected = x
    for matrix, bias in LAYERS[:-1]:
        expected = REFERENCE[name](expected @ matrix.T + bias)
    expected = expected @ LAYERS[-1][0].T + LAYERS[-1][1]
    with precise():
        exact = np.asarray(realize(LAYERS, name, x))
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, expected, rtol=1e-12, atol=1e-12)
    single = [(matrix.astype(np.float32), bias.astype(np.float32)) for matrix, bias in LAYERS]
    rough = np.asarray(realize(single, name, x.astype(np.float32)))
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, expected, rtol=1e-4, atol=1e-4)
    with precise():
        assert np.asarray(realize(LAYERS, name, x[0])).shape == (2,)


def test_unknown_activation() -> None:
    with pytest.raises(DomainError, match="Use one of relu"):
        realize(LAYERS, "step", np.zeros((1, 4)))
