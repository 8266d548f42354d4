r"""Single entries of the kernels in ball arithmetic: a float64 number and a rigorous radius.

The recursion of `kernel_recursion` for dense layers, written a second time, in arb balls of `BALL_PRECISION` bits: the
points and the standard deviations are taken as exactly the floats they are, and the ball that comes out contains the
kernel. F of half-line activations is enclosed by the mean value theorem, F/s having the derivative G in rho, so that
its radius does not grow. G needs the angle, from a cosine known to 34 digits: 17 digits at least, at collinear points
too.

Source: F. Johansson, Arb: efficient arbitrary-precision midpoint-radius interval arithmetic, IEEE Trans. Comput. 66
(2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from flint import arb
from numpy.typing import ArrayLike

from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.core.functions import FUNCTIONS
from epsnet.generalization.dual_activations import HalfLines
from epsnet.generalization.kernel_recursion import Program
from epsnet.generalization.kernels import points_of
from epsnet.generalization.wide_network import Activation, Dense, LayerNorm, WideNetwork


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A number that is within `radius` of `value`."""

    value: float
    radius: float

    def __str__(self) -> str:
        return f"{self.value!r} +- {self.radius:.1e}"


class Enclosures(NamedTuple):
    """One entry of both kernels."""

    nngp: Enclosure
    ntk: Enclosure


def certified_entry(net: WideNetwork, x: ArrayLike, y: ArrayLike) -> Enclosures:
    """Return K(x, y) and Theta(x, y) with rigorous radii.

    Args:
        net: dense layers, activations with closed forms except monomials, layer norms and residual sums.
        x: a point (d,).
        y: another one.

    Raises:
        DomainError: as for `kernels`; there are other layers; a layer norm may divide by 0.

    Example:
        >>> from epsnet.generalization.wide_network import Dense, WideNetwork
        >>> print(certified_entry(WideNetwork([Dense(), "relu", Dense()]), [3.0, 4.0], [3.0, 4.0]).ntk)
        12.5 +- 5.4e-33
    """
    points = [points_of(np.asarray(point)[None])[0] for point in (x, y)]
    if points[0].ndim != 1 or points[0].shape != points[1].shape:
        raise DomainError("A certified entry is for two vectors. Give x and y of shape (d,).")
    program = Program(net, points[0].shape)
    with ball_arithmetic():
        vectors = [[ball(float(value)) for value in point] for point in points]
        state = {(i, j): (_product(vectors[i], vectors[j]), arb(0)) for i, j in ((0, 0), (1, 1), (0, 1))}
        equal = bool((points[0] == points[1]).all())
        stack: list[Any] = []
        for fan, step in zip(program.fans, program.steps, strict=True):
            if step == "split":
                stack.append(state)
            elif step == "add":
                part = stack.pop()
                state = {pair: (k + part[pair][0], t + part[pair][1]) for pair, (k, t) in state.items()}
            else:
                own = [state[i, i][0] for i in (0, 1)]
                state = {
                    (i, j): _advance(step, k, t, own[i], own[j], i == j or equal, fan if net.width else None)
                    for (i, j), (k, t) in state.items()
                }
        return Enclosures(*(_enclosure(kernel) for kernel in state[0, 1]))


def _enclosure(kernel: arb) -> Enclosure:
    if not kernel.is_finite():
        raise DomainError("A kernel was not enclosed: a layer norm may divide by 0. Use a positive epsilon.")
    value = float(kernel.mid())
    return Enclosure(value, round_up(abs(kernel - ball(value))))


def _product(x: Sequence[arb], y: Sequence[arb]) -> arb:
    return sum((u * v for u, v in zip(x, y, strict=True)), arb(0)) / len(x)


def _advance(step: Any, k: arb, t: arb, a: arb, b: arb, same: bool, fan: int | None) -> tuple[arb, arb]:
    """Return K and Theta after one layer; fan is n in the parametrization "standard"."""
    match step:
        case Dense():
            square, bias = ball(step.weight_std) ** 2, ball(step.bias_std) ** 2
            new = square * k + bias
            return new, square * t + (new if fan is None else fan * k + int(step.bias_std > 0))
        case Activation():
            f, g = _dual(step, a, b, k, same)
            return f, t * g
        case LayerNorm():
            scale = ((a + ball(step.epsilon)) * (b + ball(step.epsilon))).sqrt()
            return k / scale, t / scale
        case _:
            raise DomainError(
                "Certified entries know dense layers, activations, layer norms, residual sums. Use these only."
            )


def _dual(step: Activation, a: arb, b: arb, c: arb, same: bool) -> tuple[arb, arb]:
    """Return F and G as tabulated in `dual_activations`."""
    name, pi = step.function, arb.pi()
    asin = FUNCTIONS["asin"].ball
    if isinstance(step.dual, HalfLines) or name == "sign":
        s = (a * b).sqrt()
        # If a point is 0, or its square underflows, nothing is known of rho, and nothing is lost: F is in [-s, s].
        rho = arb(0, 1) if s.contains(arb(0)) else arb(1) if same else (c / s).max(arb(-1)).min(arb(1))
        angle = asin(rho)
        if name == "sign":
            return 2 / pi * angle, arb(0)
        assert isinstance(step.dual, HalfLines)
        odd = ((ball(step.dual.right) + ball(step.dual.left)) / 2) ** 2
        even = ((ball(step.dual.right) - ball(step.dual.left)) / 2) ** 2 * 2 / pi
        g = odd + even * angle
        # The mean value theorem: F/s has the derivative G in rho.
        middle = rho.mid()
        f = odd * middle + even * (((1 - middle) * (1 + middle)).nonnegative_part().sqrt() + middle * asin(middle))
        return s * (f + g * (rho - middle)), g
    if name == "erf":
        d = (1 + 2 * a) * (1 + 2 * b)
        return 2 / pi * asin(2 * c / d.sqrt()), 4 / pi / (d - 4 * c * c).sqrt()
    if name in ("sin", "cos"):
        scale = (-(a + b) / 2).exp()
        odd, even = scale * c.sinh(), scale * c.cosh()
        return (odd, even) if name == "sin" else (even, odd)
    if name == "exp":
        value = ((a + b) / 2 + c).exp()
        return value, value
    if name == "gelu":
        d = (1 + a) * (1 + b)
        q = (d - c * c).sqrt()
        scale, share = 1 / (2 * pi * q), arb(1) / 4 + asin(c / d.sqrt()) / (2 * pi)
        f = c * share + scale * (a * b + c * c * (1 - a * b) / d)
        return f, share + c * scale * (1 / (1 + a) + 1 / (1 + b) + 1 / (q * q))
    raise DomainError(
        f"The activation {name!r} has no ball formula. Use relu, leaky_relu, abs, erf, gelu, sin, cos, exp, sign."
    )
