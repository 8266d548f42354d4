r"""The spectrum of the Hessian of a loss: all of it up to some thousand weights, its density beyond.

For P weights the Hessian is P products with unit vectors, each exact up to rounding (forward over reverse mode), and
its eigenvalues come from one symmetric eigenvalue problem, within P u |H| of the truth. Beyond that, stochastic Lanczos
quadrature: a random unit vector v and k Lanczos steps give nodes t_i and weights w_i >= 0 of sum 1 with

$$ \int t^j\,d\mu_v = \sum_i w_i t_i^j, \quad j < 2k, \qquad E\,\mu_v = \frac1P \sum_{i} \delta_{\lambda_i}, $$

so that the mean over some v estimates the density of the spectrum, and P times its mean the trace.

Source: G. H. Golub, G. Meurant, Matrices, Moments and Quadrature with Applications, Princeton 2010, chapters 4 and 7;
B. Ghorbani, S. Krishnan, Y. Xiao, An investigation into neural net optimization via Hessian eigenvalue density,
ICML 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, EpsnetError, MissingExtraError
from epsnet.core.inertia import Inertia

Floats = NDArray[np.float64]
Layers = Sequence[tuple[Any, Any]]
MAX_DENSE = 5000
"""The most weights for a full Hessian, 200 MB."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss as a function of one vector, written in JAX.

    Attributes:
        function: theta (P,) -> a scalar, in JAX.
        shapes: the matrices and biases that theta is made of, in this order; for losses of networks.
    """

    function: Callable[[Any], Any]
    shapes: tuple[tuple[int, ...], ...] = ()

    def value(self, theta: ArrayLike) -> float:
        """Return the loss at theta, in float64."""
        jax, precise = _jax()
        with precise():
            return float(jax.jit(self.function)(np.asarray(theta, dtype=np.float64)))

    def value_and_gradient(self) -> Callable[[Floats], tuple[float, Floats]]:
        """Return theta -> (loss, gradient), compiled, in float64."""
        jax, precise = _jax()
        compiled = jax.jit(jax.value_and_grad(self.function))

        def both(theta: Floats) -> tuple[float, Floats]:
            with precise():
                value, slope = compiled(np.asarray(theta, dtype=np.float64))
                return float(value), np.asarray(slope)

        return both

    def hessian_product(self, theta: ArrayLike) -> Callable[[Floats], Floats]:
        """Return v -> H v for vectors (P,) or for the columns of (P, m), in float64."""
        jax, precise = _jax()
        point = np.asarray(theta, dtype=np.float64)

        def one(place: Any, direction: Any) -> Any:
            return jax.jvp(jax.grad(self.function), (place,), (direction,))[1]

        single, many = jax.jit(one), jax.jit(jax.vmap(one, (None, 1), 1))

        def product(v: Floats) -> Floats:
            with precise():
                direction = np.asarray(v, dtype=np.float64)
                return np.asarray((single if direction.ndim == 1 else many)(point, direction))

        return product


def _jax() -> tuple[Any, Any]:
    try:
        import jax
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "Differentiation") from None
    from epsnet.diff import precise

    return jax, precise


def network_objective(
    layers: Layers, inputs: ArrayLike, labels: ArrayLike, *, loss: str = "cross_entropy", activation: str = "relu"
) -> tuple[Objective, Floats]:
    """Return the empirical risk of networks of these shapes, and the vector theta of these layers.

    theta holds A_1, b_1, A_2, b_2, ..., row by row.

    Args:
        layers: pairs (A, b).
        inputs: (n, d).
        labels: classes (n,) for the cross entropy, targets (n, m) for the square loss.
        loss: "cross_entropy" or "square", means over the examples.
        activation: of the hidden layers; with "relu" the Hessian is that of the active pieces.

    Raises:
        DomainError: the loss or the activation is unknown.
        MissingExtraError: JAX is not installed.
    """
    _jax()
    from epsnet.diff.losses import LOSSES
    from epsnet.diff.realize import activation_function, realize

    if loss not in LOSSES:
        raise DomainError(f"The loss {loss!r} is unknown. Use one of {', '.join(LOSSES)}.")
    activation_function(activation)
    x, y = np.asarray(inputs, dtype=np.float64), np.asarray(labels)
    shapes = tuple(np.asarray(part).shape for layer in layers for part in layer)

    def function(theta: Any) -> Any:
        return LOSSES[loss](realize(split(theta, shapes), activation, x), y)

    return Objective(function, shapes), flatten(layers)


def flatten(layers: Layers) -> Floats:
    """Return all weights of layers (A, b) as one vector."""
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for layer in layers for part in layer])


def split(theta: Any, shapes: Sequence[tuple[int, ...]]) -> list[tuple[Any, Any]]:
    """Return the layers that a vector is made of; the inverse of `flatten`."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
    parts = [theta[end - int(np.prod(shape)) : end].reshape(shape) for end, shape in zip(ends, shapes, strict=True)]
    return list(zip(parts[::2], parts[1::2], strict=True))


def hessian(objective: Objective, theta: ArrayLike, *, block: int = 64) -> Floats:
    """Return the Hessian (P, P) in float64, symmetrized.

    Raises:
        DomainError: P exceeds 5000.
        EpsnetError: the Hessian is not finite.
    """
    point = np.asarray(theta, dtype=np.float64)
    size = len(point)
    if size > MAX_DENSE:
        raise DomainError(f"A Hessian of {size} weights is too large for memory. Use spectral_density.")
    product, block = objective.hessian_product(point), min(block, size)
    matrix = np.empty((size, size))
    for start in range(0, size, block):
        # Blocks of one size compile once; the last one overlaps.
        first = min(start, size - block)
        matrix[:, first : first + block] = product(np.eye(size, block, -first))
    if not np.isfinite(matrix).all():
        raise EpsnetError("The Hessian is not finite here. Move theta, or use a smooth activation.")
    return (matrix + matrix.T) / 2


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The eigenvalues of a symmetric matrix. ESTIMATED: float64, off by about P u |H| each.

    Attributes:
        eigenvalues: increasing.
        trace: the sum of the diagonal.
        tolerance: eigenvalues up to it in absolute value count as zero.
        inertia: how many are negative, zero and positive.
        gap: the ratio of the smallest other eigenvalue to the largest "zero" one, both in absolute value, or to the
            tolerance if there is none; the larger, the surer the inertia.
    """

    eigenvalues: Floats
    trace: float
    tolerance: float
    inertia: Inertia
    gap: float


def spectrum(matrix: ArrayLike, *, tolerance: float | None = None) -> Spectrum:
    """Return the spectrum of a symmetric matrix; the tolerance is 10 P u max|lambda| by default.

    Raises:
        DomainError: the matrix is not symmetric and finite.
    """
    h = np.asarray(matrix, dtype=np.float64)
    if h.ndim != 2 or not np.isfinite(h).all() or not np.array_equal(h, h.T):
        raise DomainError("The matrix is not symmetric and finite. Symmetrize it.")
    values = np.asarray(np.linalg.eigvalsh(h), dtype=np.float64)
    sizes = np.abs(values)
    if tolerance is None:
        tolerance = 10 * len(h) * 2.0**-53 * float(sizes.max(initial=0))
    zero = sizes <= tolerance
    largest_zero = float(sizes[zero].max(initial=0)) or tolerance
    gap = float(sizes[~zero].min(initial=np.inf)) / largest_zero if largest_zero else np.inf
    signs = Inertia(int((~zero & (values < 0)).sum()), int(zero.sum()), int((~zero & (values > 0)).sum()))
    return Spectrum(values, float(np.trace(h)), tolerance, signs, gap)


@dataclass(frozen=True, slots=True)
class SpectralDensity:
    """A density of eigenvalues by stochastic Lanczos quadrature: normal bumps at nodes. ESTIMATED.

    Attributes:
        nodes, weights: (probes, steps); the weights of each probe sum to 1.
        width: the standard deviation of each bump.
        size: P.
    """

    nodes: Floats
    weights: Floats
    width: float
    size: int

    def __call__(self, x: ArrayLike) -> Floats:
        """Return the density at x, of integral 1."""
        places = np.asarray(x, dtype=np.float64)
        bumps = np.exp(-(((places[..., None, None] - self.nodes) / self.width) ** 2) / 2)
        return np.sum(self.weights * bumps, axis=(-2, -1)) / (len(self.nodes) * self.width * np.sqrt(2 * np.pi))

    @property
    def trace(self) -> tuple[float, float]:
        """The estimated trace with its standard error over the probes."""
        each = self.size * np.sum(self.nodes * self.weights, axis=1)
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else np.inf


def spectral_density(
    product: Callable[[Floats], Floats], size: int, *, probes: int = 8, steps: int = 80, width: float | None = None,
    seed: int = 0,
) -> SpectralDensity:  # fmt: skip
    """Estimate the density of the eigenvalues of H from products H v.

    Args:
        product: v (P,) -> H v, such as `Objective.hessian_product(theta)`.
        size: P.
        probes: random vectors.
        steps: of Lanczos' method with full reorthogonalization, at most P.
        width: of the bumps; a hundredth of the range of the nodes by default.
        seed: of the vectors.

    Raises:
        DomainError: no probes or steps.
        EpsnetError: a product is not finite.
    """
    if min(probes, steps, size) < 1:
        raise DomainError("The density needs a probe, a step and a weight. Give at least one each.")
    generator = np.random.Generator(np.random.Philox(seed))
    steps = min(steps, size)
    nodes, weights = np.zeros((probes, steps)), np.zeros((probes, steps))
    for row in range(probes):
        values, masses = lanczos(product, generator.normal(size=size), steps)
        # A Krylov space that ends early leaves places with weight 0.
        nodes[row], weights[row, : len(masses)] = values[0], masses
        nodes[row, : len(values)] = values
    if width is None:
        width = max(float(np.ptp(nodes)) / 100, 1e-12 * float(np.abs(nodes).max()), 1e-300)
    return SpectralDensity(nodes, weights, width, size)


def lanczos(product: Callable[[Floats], Floats], start: Floats, steps: int) -> tuple[Floats, Floats]:
    """Return nodes and weights of the Gauss quadrature of H for the vector `start`; fewer if its Krylov space ends.

    Raises:
        EpsnetError: a product is not finite.
    """
    from scipy.linalg import eigh_tridiagonal

    basis = np.zeros((steps, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal, beside, scale = [], [], 0.0
    for k in range(steps):
        image = np.asarray(product(basis[k]), dtype=np.float64)
        if not np.isfinite(image).all():
            raise EpsnetError("A product with the Hessian is not finite. Move theta.")
        diagonal.append(float(basis[k] @ image))
        for _ in range(2):
            image = image - basis[: k + 1].T @ (basis[: k + 1] @ image)
        length = float(np.linalg.norm(image))
        scale = max(scale, abs(diagonal[-1]), length)
        if k + 1 == steps or length <= 1e-13 * scale:
            break
        beside.append(length)
        basis[k + 1] = image / length
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside))
    masses = vectors[0] ** 2
    return values, masses / masses.sum()


def extreme_eigenvalues(product: Callable[[Floats], Floats], size: int, count: int = 1) -> tuple[Floats, Floats]:
    """Return the `count` smallest and largest eigenvalues, to machine precision, from products H v. ESTIMATED.

    ARPACK with tolerance 0; off by some u |H| each, where the loose default of other tools is off by 1e-3.

    Raises:
        DomainError: count is not in 1, ..., P - 1.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh

    if not 1 <= count < size:
        raise DomainError(f"Of {size} eigenvalues {count} were asked for. Ask for fewer.")
    operator = LinearOperator((size, size), matvec=lambda v: product(np.ravel(v)), dtype=np.float64)  # pyright: ignore
    start = np.random.Generator(np.random.Philox(0)).normal(size=size)
    low, high = (
        np.sort(np.asarray(eigsh(operator, count, which=which, v0=start, tol=0, return_eigenvectors=False)))
        for which in ("SA", "LA")
    )
    return low, high
