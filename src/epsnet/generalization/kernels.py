r"""The kernels of networks of infinite width: NNGP and neural tangent kernel, in float64 to 1e-12.

As the widths of the hidden layers tend to infinity, the outputs of a random network at points x, x' become Gaussian
with covariance K(x, x'), the kernel of the neural network Gaussian process; and the inner product of its gradients with
respect to the trained parameters tends to Theta(x, x'), the neural tangent kernel, which stays constant during
training. The recursion is in `kernel_recursion`, the architecture in `wide_network`. The first layer has K = x . x'/d.

Every entry is accurate to about 1e-12 (K_11 K_22)^(1/2), diagonals, duplicates, nearly collinear and nearly opposite
points included: there K and Theta depend on the angle, which is computed from differences and never from arccos of a
rounded cosine. Except: nearly collinear images after a pool, or a global average, that a kink follows. There Theta may
be off by 2e-8; equal images are exact.

Sources: J. Lee et al., Deep neural networks as Gaussian processes, ICLR 2018; A. Jacot, F. Gabriel, C. Hongler, Neural
tangent kernel, NeurIPS 31 (2018).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError, PrecisionError
from epsnet.generalization.dual_activations import Floats
from epsnet.generalization.kernel_blocks import blockwise
from epsnet.generalization.kernel_recursion import Program
from epsnet.generalization.wide_network import Dropout, WideNetwork


class Kernels(NamedTuple):
    """Both kernels, float64 arrays (n, m)."""

    nngp: Floats
    ntk: Floats


def nngp(net: WideNetwork, x: ArrayLike, y: ArrayLike | None = None, *, jobs: int | None = None) -> Floats:
    """Return the covariance of the outputs, (n, m). See `kernels`."""
    return kernels(net, x, y, jobs=jobs).nngp


def ntk(net: WideNetwork, x: ArrayLike, y: ArrayLike | None = None, *, jobs: int | None = None) -> Floats:
    """Return the neural tangent kernel, (n, m). See `kernels`."""
    return kernels(net, x, y, jobs=jobs).ntk


def kernels(net: WideNetwork, x: ArrayLike, y: ArrayLike | None = None, *, jobs: int | None = None) -> Kernels:
    """Return both kernels of the points x with y, or with themselves.

    Args:
        net: the architecture.
        x: points (n, d), or images (n, height, width, channels).
        y: points (m, ...) likewise; None means x.
        jobs: how many blocks are computed at once, -1 for all cores; None leaves it to joblib.parallel_config, so that
            any backend of joblib (Dask, Ray) can take them.

    Raises:
        DomainError: the inputs are not finite, or do not fit the network; its outputs are images; a layer norm meets a
            zero vector.
        PrecisionError: a kernel is beyond the range of float64.

    Example:
        >>> from epsnet.generalization.wide_network import Dense, WideNetwork
        >>> print(kernels(WideNetwork([Dense(2**0.5), "relu", Dense()]), [[3.0, 4.0]]).ntk)
        [[25.]]
    """
    points, others = both_of(x, y)
    if net.output_shape(points.shape[1:]):
        raise DomainError("The outputs of the network are images. End it with Flatten() or GlobalAverage().")
    return Kernels(*blockwise(Program(net, points.shape[1:]), points, others, jobs))


def deficits(net: WideNetwork, x: ArrayLike, y: ArrayLike | None = None, *, jobs: int | None = None) -> Kernels:
    """Return (K(x, x) K(y, y))^(1/2) - K(x, y) for both kernels: how far points are from being collinear there.

    At nearly collinear points subtraction loses these numbers; here they keep about 12 digits for half-line activations
    (relu, leaky relu, abs). Other activations are known to 1e-16 only, which a small deficit of Theta feels.

    Args:
        net: dense layers, activations, layer norms and residual sums, parametrization "ntk".
        x: vectors (n, d).
        y: vectors (m, d); None means x.
        jobs: as for `kernels`.

    Raises:
        DomainError: as for `kernels`, or there are images, dropout, or the parametrization "standard".
    """
    points, others = both_of(x, y)
    program = Program(net, points.shape[1:], exact=True)
    if points.ndim != 2 or net.parametrization != "ntk" or any(isinstance(step, Dropout) for step in program.steps):
        raise DomainError(
            "Deficits are for vectors, parametrization 'ntk', without dropout. Use kernels for the others."
        )
    return Kernels(*blockwise(program, points, others, jobs))


def both_of(x: ArrayLike, y: ArrayLike | None) -> tuple[Floats, Floats | None]:
    """Return both sets of points. DomainError or PrecisionError if a kernel does not take them."""
    points = points_of(x)
    others = None if y is None else points_of(y)
    if others is not None and others.shape[1:] != points.shape[1:]:
        raise DomainError(f"x has points of shape {points.shape[1:]}, y of {others.shape[1:]}. Make them equal.")
    return points, others


LARGEST, SMALLEST = 1e140, 1e-140
"""The sizes between which the largest entry of a point must lie, if it is not 0: their squares are safe in float64."""


def points_of(x: ArrayLike) -> Floats:
    """Return points or images as float64. DomainError or PrecisionError if they are none that a kernel takes."""
    try:
        if np.iscomplexobj(x):
            raise TypeError
        points = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise DomainError("The points are not an array of numbers. Give a rectangular array of floats.") from None
    if points.ndim not in (2, 4) or 0 in points.shape:
        raise DomainError(
            f"The points have the shape {points.shape}. Give (n, d), or images (n, height, width, channels), n >= 1."
        )
    if not np.isfinite(points).all():
        raise DomainError("The points contain NaN or infinity. Give finite numbers.")
    sizes = np.abs(points).reshape(len(points), -1).max(axis=1)
    if sizes.max() > LARGEST or np.any((sizes > 0) & (sizes < SMALLEST)):
        raise PrecisionError(f"A point has entries beyond {LARGEST} or all below {SMALLEST}. Scale the points.")
    return points
