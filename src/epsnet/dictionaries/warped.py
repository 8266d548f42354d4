r"""Warped classes: f(g(x)) as a network, with the weights of a network for f and of one for g, and four more.

The class of all f o g, f in a class on [0, 1]^d and g: K -> [0, 1]^d fixed, is a class of functions on K: f warped by a
diffeomorphism g, or functions on a submanifold with the chart g that are extended constantly along its normals, if g is
the chart after the projection. With networks Phi_f, Phi_g and the clipping c(t) = min(max(t, 0), 1),

$$ \Phi = \Phi_f \circ c \circ \Phi_g, \qquad c(t) = \rho(1 - \rho(1 - \rho(t))), \qquad
   M(\Phi) = M(\Phi_f) + M(\Phi_g) + 4 d . $$

**Theorem.** If |f(s) - f(t)| <= H |s - t|_inf^alpha on [0, 1]^d, |f - Phi_f| <= e_f there and |g - Phi_g|_inf <= e_g on
K, then |f o g - Phi| <= e_f + H e_g^alpha on K.

Proof. Let t = c(Phi_g(x)), a point of the cube. Clipping moves no two numbers apart and leaves g(x) where it is, so
|g(x) - t| <= e_g, and |f(g(x)) - Phi_f(t)| <= |f(g(x)) - f(t)| + |f(t) - Phi_f(t)|. QED

A smooth g takes O(e_g^-c) weights for any c > 0, an analytic one powers of log(1/e_g), so that M(Phi_f) is all that
counts: the rate gamma of a class does not change.

Source: the lecture of P. Grohs states that optimality of networks survives submanifolds and diffeomorphisms; H.
Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with sparsely connected deep neural networks, SIAM
J. Math. Data Sci. 1 (2019) 8-45.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from flint import arb

from epsnet.certify.certificate import Certificate
from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.core.calculus import compose
from epsnet.core.enclose import difference_range
from epsnet.core.network import Network
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.target import Target
from epsnet.enclosure.cover import Corner, bisect
from epsnet.enclosure.float64 import exact_error, rounding_of, with_rounding


def warped(outer: Network, inner: Network) -> Network:
    """Return the network of f(c(g(x))) for networks of f and g, with c clipping to [0, 1].

    Size: M = M_f + M_g + 4 d, L = L_f + L_g + 2, N = N_f + N_g + 3 d.

    Args:
        outer: of f, on [0, 1]^d.
        inner: of g, with d outputs and an affine last layer.

    Raises:
        DomainError: the inner network does not have as many outputs as the outer one has inputs.
        HypothesisError: the inner network ends in an activation.
    """
    if outer.inputs != inner.outputs:
        raise DomainError(
            f"The outer network takes {outer.inputs} inputs, the inner one has {inner.outputs} outputs. "
            f"Make them equal."
        )
    if set(inner.layers[-1].activations) != {"identity"}:
        raise HypothesisError("The inner network ends in an activation. Give one with an affine last layer.")
    d = inner.outputs
    one, ones = np.eye(d), np.ones(d)
    clip = Network.from_layers([(one, np.zeros(d)), (-one, ones), (-one, ones)], output="relu")
    return compose(outer, compose(clip, inner))


def warped_error(outer_error: Real, constant: Real, exponent: Real, inner_error: Real) -> float:
    """Return e_f + H e_g^alpha, rounded up: what `warped` errs by at most.

    Args:
        outer_error: e_f, of f on the cube.
        constant: H.
        exponent: alpha in (0, 1].
        inner_error: e_g, of g.

    Raises:
        DomainError: a number is negative, or alpha is not in (0, 1].
    """
    first, h, alpha, second = (exact(v, "number") for v in (outer_error, constant, exponent, inner_error))
    if min(first, h, second) < 0 or not 0 < alpha <= 1:
        raise DomainError("Errors and the constant are >= 0, the exponent is in (0, 1]. Give such numbers.")
    with ball_arithmetic():
        moved = ball(h) * ball(second) ** ball(alpha) if second else ball(0)
        return round_up(ball(first) + moved)


def verified_warp(target: Target, outer: Network, inner: Network, eps: Real) -> Solution:
    """Return `warped` as a solution for f(g(x)) given as a formula, its error re-derived by the rule `cover`.

    Args:
        target: f o g on a box, with one value.
        outer: of f.
        inner: of g.
        eps: what the theorem promises (`warped_error`), or more, and some room for rounding.

    Raises:
        DomainError, HypothesisError: as for `warped`.
        CertificateError: the error exceeds eps, or could not be proved.
    """
    network = warped(outer, inner)
    rounding = rounding_of(network, target.domain)

    def enclose(lower: Corner, upper: Corner) -> arb:
        low, high = difference_range(target.expression, target.variables, network, lower, upper)
        return high.max(-low)

    limit = Fraction(round_down(exact(eps, "accuracy") - rounding.limit))
    value, tree = bisect(target.domain, enclose, limit)
    cells = (f"{int((tree['axis'] < 0).sum())} cells cover {target.domain}",)
    found = exact_error(target, network, value, "taylor-cover", "cover", cells)
    error = with_rounding(found, rounding)
    certificate = Certificate.of([error], [(found, tree)])
    return Solution(network, target, error, 8 * len(network_bytes(network)), certificate)
