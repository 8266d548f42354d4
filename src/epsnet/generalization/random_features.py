r"""Random features for the kernels of wide networks: a(x) . a(x') is the NNGP or tangent kernel on average.

For dense layers with deviations (sigma_w, sigma_b), independent normal matrices G_l with m rows and z_l = G_l a_l the
features of the NNGP kernel are those of a network of width m,

$$ a_1 = (\sigma_w x/\sqrt d, \sigma_b), \qquad a_{l+1} = (\sigma_w\,\rho(z_l)/\sqrt m, \sigma_b), $$

and those of the tangent kernel follow its recursion, $\Theta_{l+1} = K_{l+1} + \sigma_w^2\, E[\rho'\rho']\,\Theta_l$:

$$ \theta_1 = a_1, \qquad
   \theta_{l+1} = \bigl(a_{l+1},\; S_l(\sigma_w\,\rho'(z_l)/\sqrt m \otimes \theta_l)\bigr). $$

S_l is a tensor sketch to D numbers: the circular convolution of two count sketches, which keeps inner products on
average and never forms the product of m and M numbers. The errors are of order m^(-1/2) + D^(-1/2). They are random;
`kernel_error` measures them on points.

Sources: A. Rahimi, B. Recht, Random features for large-scale kernel machines, NIPS 2007; A. Zandieh, I. Han, H. Avron,
N. Shoham, C. Kim, J. Shin, Scaling neural tangent kernels via sketching and random features, NeurIPS 2021; N. Pham,
R. Pagh, Fast and scalable polynomial kernels via explicit feature maps, KDD 2013.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.generalization.network_kernel import NetworkKernel
from epsnet.generalization.wide_network import Activation, Dense

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TensorSketch:
    """A random bilinear map S of R^p x R^q to R^D with E S(u, v) . S(u', v') = (u . u')(v . v').

    Attributes:
        left, right: (p,) and (q,) places from 0 to D - 1.
        left_signs, right_signs: (p,) and (q,) of +1 and -1.
        size: D.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    left_signs: Floats
    right_signs: Floats
    size: int

    def __call__(self, u: Floats, v: Floats) -> Floats:
        """Return S(u, v) for each pair of rows, (n, D)."""
        first = np.fft.rfft(_count_sketch(u, self.left, self.left_signs, self.size), axis=1)
        first *= np.fft.rfft(_count_sketch(v, self.right, self.right_signs, self.size), axis=1)
        return np.fft.irfft(first, n=self.size, axis=1)


def tensor_sketch(p: int, q: int, size: int, rng: np.random.Generator) -> TensorSketch:
    """Draw a tensor sketch of R^p x R^q to R^D."""
    places, signs = (rng.integers(size, size=p + q), rng.choice((-1.0, 1.0), size=p + q))
    return TensorSketch(places[:p], places[p:], signs[:p], signs[p:], size)


def _count_sketch(values: Floats, places: NDArray[np.int64], signs: Floats, size: int) -> Floats:
    """Add up the entries of each row, with their signs, at their places."""
    from scipy.sparse import csr_array

    matrix = csr_array((signs, (np.arange(len(places)), places)), shape=(len(places), size))
    return np.asarray(values @ matrix)


@dataclass(frozen=True, slots=True, eq=False)
class RandomFeatures:
    """Random features of a kernel; what `random_features` returns.

    Attributes:
        kernel: what a(x) . a(x') is on average.
        matrices: G_l, (m, M_l).
        sketches: S_l for the tangent kernel, none for the NNGP kernel.
    """

    kernel: NetworkKernel
    matrices: tuple[Floats, ...]
    sketches: tuple[TensorSketch, ...]

    @property
    def rank(self) -> int:
        """The number of features."""
        width = self.matrices[-1].shape[0] + 1
        return width + (self.sketches[-1].size if self.sketches else 0)

    def __call__(self, x: Floats) -> Floats:
        """Return a(x) for each row, (n, M)."""
        dense, activations = _alternating(self.kernel)
        first, *rest = dense
        features = _with_bias(first, x / math.sqrt(x.shape[1]))
        tangent = features
        for number, (layer, activation, matrix) in enumerate(zip(rest, activations, self.matrices, strict=True)):
            arguments = features @ matrix.T
            scale = math.sqrt(len(matrix))
            if not self.sketches:
                features = _with_bias(layer, activation.dual.function(arguments) / scale)
                continue
            values, slopes = _value_and_slope(str(activation.function), arguments)
            features = _with_bias(layer, values / scale)
            sketch = self.sketches[number](layer.weight_std / scale * slopes, tangent)
            tangent = np.concatenate([features, sketch], axis=1)
        return tangent if self.sketches else features

    def combine(self, x: Floats, coefficients: Floats) -> Floats:
        """Return a(x) . beta for each row."""
        return self(x) @ coefficients

    def variance(self, x: Floats) -> Floats:
        """Return k(x, x) for each row, (n,): the diagonal of the kernel itself."""
        return self.kernel.diagonal(x)


def random_features(
    kernel: NetworkKernel, inputs: int, width: int, sketch: int | None = None, seed: int = 0
) -> RandomFeatures:
    """Draw random features for a kernel of a network of dense layers.

    Args:
        kernel: of an alternation of dense layers and activations, at least one of them.
        inputs: d.
        width: m; the NNGP kernel has m + 1 features.
        sketch: D, as large as m if it is None; the tangent kernel has m + 1 + D features.
        seed: a nonnegative integer.

    Raises:
        DomainError: the network has other layers, or a number is not positive.
    """
    size = width if sketch is None else sketch
    if min(inputs, width, size) < 1:
        raise DomainError(f"{inputs} inputs, width {width} and sketch {size} make no features. Give positive integers.")
    dense, _ = _alternating(kernel)
    rng = np.random.Generator(np.random.Philox(seed))
    ranks = [inputs + 1, *[width + 1] * (len(dense) - 2)]
    matrices = tuple(rng.standard_normal((width, rank)) for rank in ranks)
    sketches = ()
    if kernel.kind == "ntk":
        tangents = [inputs + 1, *[width + 1 + size] * (len(dense) - 2)]
        sketches = tuple(tensor_sketch(width, rank, size, rng) for rank in tangents)
    return RandomFeatures(kernel, matrices, sketches)


def _alternating(kernel: NetworkKernel) -> tuple[list[Dense], list[Activation]]:
    layers = kernel.network.layers
    dense = [layer for layer in layers[::2] if isinstance(layer, Dense)]
    activations = [layer for layer in layers[1::2] if isinstance(layer, Activation)]
    if len(dense) < 2 or len(dense) != len(activations) + 1 or len(dense) + len(activations) != len(layers):
        raise DomainError("Random features are for dense layers with activations between them. Leave out the others.")
    return dense, activations


def _with_bias(layer: Dense, values: Floats) -> Floats:
    return np.concatenate([layer.weight_std * values, np.full((len(values), 1), layer.bias_std)], axis=1)


def _value_and_slope(name: str, arguments: Floats) -> tuple[Floats, Floats]:
    try:
        import jax
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "Random features of the tangent kernel") from None
    from epsnet.diff import precise
    from epsnet.generalization.empirical_ntk import jax_activation

    with precise():
        point: Any = jax.numpy.asarray(arguments)
        values, slopes = jax.jvp(jax_activation(name), (point,), (jax.numpy.ones_like(point),))
        return np.asarray(values), np.asarray(slopes)
