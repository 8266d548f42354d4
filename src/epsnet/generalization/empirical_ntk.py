r"""The tangent kernel of a network as it is: inner products of the gradients of its outputs.

For parameters theta (the stored coefficients of all linear maps, and the biases) and outputs f_1, ..., f_m

$$ \Theta(x, x')_{ij} = \sum_p s_p\, \frac{\partial f_i(x)}{\partial\theta_p}\,
   \frac{\partial f_j(x')}{\partial\theta_p}. $$

In the **standard** parametrization all s_p are 1. In the **NTK** parametrization a matrix is $W \sigma_w/\sqrt{N}$ and
a bias $b\,\sigma_b$, N being the fan-in, and W and b are trained; gradient descent in them has the kernel with
$s = \sigma_w^2/N$ for weights and $s = \sigma_b^2$ for biases. That is the kernel which converges for wide networks.

Three ways to compute the same kernel, for n and n' points, P parameters, F multiply-adds of one evaluation:

* **contraction**: Jacobians of all points, (n + n') m F operations and m P numbers for each point, then a product of
  n n' m^2 P operations;
* **products**: for each pair of points and each output, one vector-Jacobian and one Jacobian-vector product, about
  5 n n' m F operations, nothing stored;
* **structured**, if all linear maps are dense matrices: with $B_l = \partial f/\partial z_l$ for the argument z_l of
  the l-th activation and h_l = what the matrix multiplies,
  $\Theta = \sum_l (s_w\, h_l \cdot h_l' + s_b)\, B_l B_l'^T$, about n n' m^2 N operations for N neurons instead of P
  weights.

The derivatives are those of JAX in float64, whatever the caller's mode; at a kink it takes one of the slopes between
those of both sides (0 for relu). ESTIMATED, with errors of some units of rounding.

Sources: A. Jacot, F. Gabriel, C. Hongler, Neural tangent kernel: convergence and generalization in neural networks,
NeurIPS 2018; R. Novak, J. Sohl-Dickstein, S. S. Schoenholz, Fast finite width neural tangent kernel, ICML 2022.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epsnet.certify.errors import DomainError, MissingExtraError, PrecisionError
from epsnet.core.linear_maps import Convolution, Dense, Number
from epsnet.core.network import Network, activation

Floats = NDArray[np.float64]
Scales = Sequence[tuple[float, float]]
Method = Literal["contraction", "products", "structured"]

MAX_JACOBIAN = 2**27
"""The most numbers in the Jacobians of all points for which contraction is chosen, 1 GiB."""


def empirical_ntk(
    network: Network,
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    scales: Scales | None = None,
    method: Method | Literal["auto"] = "auto",
) -> Floats:
    """Return the tangent kernel of a network at two sets of points, (n, n', m, m) for m outputs.

    Args:
        network: any network whose activations have a derivative.
        x: (n, d).
        y: (n', d); None is x.
        scales: a pair (weights, biases) of numbers for each layer by which the trained parameters are multiplied; None
            is the standard parametrization, `WideNetwork.scales(inputs, width)` the NTK parametrization.
        method: see the module; "auto" takes the one with the fewest operations whose Jacobians fit.

    Raises:
        DomainError: shapes do not fit, a value is not finite, an activation has jumps, or the network is not dense and
            the method "structured".
        PrecisionError: a rational weight lies beyond float64.
        MissingExtraError: JAX is not installed.
    """
    first = _points(network, x)
    second = first if y is None else _points(network, y)
    squares = _squares(network, scales)
    costs = ntk_costs(network, len(first), len(second))
    if method == "auto":
        method = min(costs, key=lambda name: costs[name])
    if method not in costs and method == "contraction":
        costs["contraction"] = 0.0  # asked for, however much memory it takes
    if method not in costs:
        raise DomainError(
            f"The method {method!r} is unknown or does not suit this network. Use one of {', '.join(costs)}."
        )
    try:
        from epsnet.diff import precise
    except ModuleNotFoundError:
        raise MissingExtraError("jax", "The empirical tangent kernel") from None
    plan, params = _plan(network)
    with precise():
        return np.asarray(_program(plan, method)(params, squares, first, second))


def ntk_costs(network: Network, n: int, n_second: int) -> dict[Method, float]:
    """Return the multiply-adds, about, of each method that suits a network and numbers of points."""
    operations = float(network.size.operations)
    outputs, pairs, points = network.outputs, n * n_second, n + n_second
    stored = sum(linear.stored_weights for layer in network.layers for _, linear in layer.terms)
    parameters = stored + sum(len(layer.bias) for layer in network.layers)
    neurons = sum(layer.outputs for layer in network.layers)
    jacobians = 2.0 * points * outputs * operations
    costs: dict[Method, float] = {"products": 5.0 * pairs * outputs * operations}
    if points * outputs * parameters <= MAX_JACOBIAN:
        costs["contraction"] = jacobians + float(pairs) * outputs**2 * parameters
    if _is_dense(network):
        costs["structured"] = jacobians + float(pairs) * (outputs**2 * neurons + neurons)
    return costs


def _points(network: Network, values: ArrayLike) -> Floats:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != network.inputs or not len(points) or not np.isfinite(points).all():
        raise DomainError(
            f"Points of shape {points.shape} do not fit {network.inputs} inputs, or are not finite. Give one finite "
            f"row for each point."
        )
    return points


def _is_dense(network: Network) -> bool:
    return all(isinstance(linear, Dense) for layer in network.layers for _, linear in layer.terms)


def _squares(network: Network, scales: Scales | None) -> list[tuple[float, float]]:
    """Return s for the weights and for the biases of each layer."""
    if scales is None:
        return [(1.0, 1.0)] * len(network.layers)
    array = np.asarray(scales, dtype=np.float64)
    if array.shape != (len(network.layers), 2) or not np.isfinite(array).all():
        raise DomainError(
            f"Scales of shape {array.shape} do not fit {len(network.layers)} layers. Give a pair of finite numbers for "
            f"each, as `WideNetwork.scales` returns them."
        )
    return [(weight**2, bias**2) for weight, bias in array.tolist()]


@dataclass(frozen=True, slots=True)
class _Term:
    """What does not change with the weights: where a linear map reads, and its kind and geometry."""

    source: int
    kind: str
    shape: tuple[int, ...]
    geometry: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Layer:
    terms: tuple[_Term, ...]
    repeats: int
    activations: tuple[str, ...]


Plan = tuple[_Layer, ...]


def _plan(network: Network) -> tuple[Plan, list[tuple[list[Floats], Floats]]]:
    """Divide a network into its structure, which a program is compiled for, and its parameters."""
    layers, params = [], []
    for layer in network.layers:
        terms, weights = [], []
        for source, linear in layer.terms:
            if isinstance(linear, Dense):
                terms.append(_Term(source, "dense", linear.shape))
                weights.append(linear.weight)
            elif isinstance(linear, Convolution):
                geometry = (*linear.input_shape, linear.stride, linear.padding)
                terms.append(_Term(source, "convolution", linear.shape, geometry))
                weights.append(linear.kernel)
            else:
                rows, columns, values = linear.entries()
                terms.append(_Term(source, "sparse", linear.shape, (rows.tobytes(), columns.tobytes())))
                weights.append(_rounded(values))
        bias = _rounded(list(layer.bias))
        names = tuple(activation(name).name for name in layer.activations)
        layers.append(_Layer(tuple(terms), layer.outputs // len(bias), names))
        params.append((weights, bias))
    return tuple(layers), params


def _rounded(values: Sequence[Number]) -> Floats:
    try:
        return np.array([float(value) for value in values], dtype=np.float64)
    except OverflowError:
        raise PrecisionError("A rational weight lies beyond float64. Scale the network.") from None


def jax_activation(name: str) -> Callable[[Any], Any]:
    """Return an activation in JAX, with the derivative 0 of relu at 0."""
    import jax

    from epsnet.diff.realize import ACTIVATIONS

    if name.startswith("leaky_relu("):
        slope = float(name.removeprefix("leaky_relu(").removesuffix(")"))
        return lambda z: jax.nn.leaky_relu(z, slope)
    more = {"silu": jax.nn.silu, "abs": jax.numpy.abs}
    if name not in ACTIVATIONS and name not in more:
        raise DomainError(f"The activation {name!r} has no tangent kernel. Use a network with continuous activations.")
    return ACTIVATIONS.get(name) or more[name]


def _multiply(term: _Term, weight: Any, value: Any) -> Any:
    """Return A value for one point."""
    import jax
    import jax.numpy as jnp

    if term.kind == "dense":
        return weight @ value
    if term.kind == "sparse":
        rows, columns = (np.frombuffer(part, dtype=np.int64) for part in term.geometry)
        return jnp.zeros(term.shape[0], value.dtype).at[rows].add(weight * value[columns])
    *shape, stride, padding = term.geometry
    image = jax.lax.conv_general_dilated(value.reshape(1, *shape), weight, (stride, stride), [(padding, padding)] * 2)
    return image.ravel()


def _forward(plan: Plan, params: Any, shifts: Sequence[Any], x: Any) -> tuple[Any, list[Any]]:
    """Return the outputs at one point, and the outputs of all layers, with shifts added to the arguments."""
    import jax.numpy as jnp

    values = [x]
    for layer, (weights, bias), shift in zip(plan, params, shifts, strict=True):
        total = jnp.repeat(bias, layer.repeats) + shift
        for term, weight in zip(layer.terms, weights, strict=True):
            total = total + _multiply(term, weight, values[term.source])
        names = sorted(set(layer.activations))
        result = jax_activation(names[0])(total)
        for name in names[1:]:
            mask = np.array([own == name for own in layer.activations])
            result = jnp.where(mask, jax_activation(name)(total), result)
        values.append(result)
    return values[-1], values


@functools.lru_cache(maxsize=64)
def _program(plan: Plan, method: Method) -> Any:
    """Return the compiled map (parameters, s, x, x') -> kernel."""
    import jax

    programs = {"contraction": _contraction, "products": _products, "structured": _structured}
    return jax.jit(functools.partial(programs[method], plan))


def _contraction(plan: Plan, params: Any, squares: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    zeros = [0.0] * len(plan)
    jacobian = jax.vmap(jax.jacrev(lambda p, point: _forward(plan, p, zeros, point)[0]), (None, 0))
    total = 0.0
    first, second = jacobian(params, x), jacobian(params, y)
    for (a_weights, a_bias), (b_weights, b_bias), (weight, bias) in zip(first, second, squares, strict=True):
        for a, b, s in [*((*pair, weight) for pair in zip(a_weights, b_weights, strict=True)), (a_bias, b_bias, bias)]:
            flat = [part.reshape(*part.shape[:2], -1) for part in (a, b)]
            total = total + s * jnp.einsum("aip,bjp->abij", *flat)
    return total


def _products(plan: Plan, params: Any, squares: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    zeros = [0.0] * len(plan)

    def outputs(p: Any, point: Any) -> Any:
        return _forward(plan, p, zeros, point)[0]

    def pair(point: Any, other: Any) -> Any:
        values, pull = jax.vjp(lambda p: outputs(p, other), params)

        def column(cotangent: Any) -> Any:
            (gradient,) = pull(cotangent)
            scaled = [
                ([s_weight * g for g in weights], s_bias * bias)
                for (weights, bias), (s_weight, s_bias) in zip(gradient, squares, strict=True)
            ]
            return jax.jvp(lambda p: outputs(p, point), (params,), (scaled,))[1]

        return jax.vmap(column, out_axes=1)(jnp.eye(len(values)))

    # Rows one after the other: only one row of pairs is in memory.
    return jax.lax.map(lambda point: jax.vmap(lambda other: pair(point, other))(y), x)


def _structured(plan: Plan, params: Any, squares: Any, x: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    zeros = [jnp.zeros(layer.terms[0].shape[0]) for layer in plan]
    slopes = jax.vmap(jax.jacrev(lambda d, point: _forward(plan, params, d, point), has_aux=True), (None, 0))
    (first, first_values), (second, second_values) = slopes(zeros, x), slopes(zeros, y)
    total = 0.0
    for layer, a, b, (s_weight, s_bias) in zip(plan, first, second, squares, strict=True):
        inner = sum(first_values[term.source] @ second_values[term.source].T for term in layer.terms)
        total = total + (s_weight * inner + s_bias)[:, :, None, None] * jnp.einsum("aip,bjp->abij", a, b)
    return total
