r"""Rule `hypercube`: an error that no code of b bits avoids on a class of functions, because a cube lies in the class.

A code gives every f of a class one of 2^b strings, from which a function within eps of f is decoded. The classes:

* "C^s ball", 0 < s <= 2, "Lipschitz ball" for s = 1, in the sup norm on [0, 1]: f(0) = 0 and |f(x) - f(y)| <= |x - y|^s
  for s <= 1; for s > 1, f(0) = f'(0) = 0 and |f'(x) - f'(y)| <= |x - y|^{s-1}.
* "bounded variation" in L2(0, 1): |f(0)| + TV(f) <= 1.
* "C^beta cartoons, d = 2", 1 < beta <= 2, in L2 of the unit square: the indicators of {x_2 <= 1/2 + g(x_1)}, g in the
  C^beta ball.

**Sup norm.** With 2^n functions of which every two have a distance of at least 2a, eps >= a if b < n, here n = b + 1.
On n cells of length h = 1/n take, for all signs: for s = 1 the slopes +-1, two of which are 2h apart at the end of the
first cell in which they differ, a = h; for s < 1 tents +-h^s/2, a = h^s/2; for s > 1 the integrals of tents
+-h^{s-1}/2, which move by +-h^s/4 on each cell, a = h^s/4. A sum F of tents +-h^t/2, t = s or s - 1, has the Hoelder
constant 1 with the exponent t: its slope is h^{t-1}, so |F(x) - F(y)| <= h^{t-1} |x - y| <= |x - y|^t in one cell. If
x and y are in different cells and have the distances d, e <= h/2 to the next ends of cells, |F(x) - F(y)| <= h^{t-1}
(d + e) <= (d + e)^t <= |x - y|^t.

**L2.** With all sum_k +-a phi_k, k <= n, phi_k orthonormal: eps^2 >= a^2 n t if H(t) <= 1 - b/n for the binary entropy
H and 0 < t <= 1/2. For a decoded g let v be a vertex within eps; every k for which the sign of v is not that of
<g, phi_k> adds at least a^2 to |v - g|^2, so v differs from the signs of g in at most r = eps^2/a^2 places. If r < n t,
fewer than 2^{n H(t)} vertices do that, and 2^b strings serve fewer than 2^{b + n - b} vertices. Bounded variation: the
values +-1/(2n - 1) on n cells, a^2 n = 1/(2n - 1)^2. Cartoons: on n cells of length w = 1/n let g = +-u, u' a tent of
length h = w/2 and height h^{beta-1}/2 and then its negative, so that u >= 0, int u = h^{beta+1}/4. The two indicators
differ on an area 2 int u = (2a)^2 between them; half their difference, normalized, is phi_k, a^2 = h^{beta+1}/8.

Witness: the number n and, for L2, t.

Sources: A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86; D. L. Donoho, Sparse components of images
and optimal atomic decompositions, Constr. Approx. 17 (2001) 353-382.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from flint import arb

from epsnet.certify.bound import Kind
from epsnet.certify.domain import Box
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict

MAX_BITS = 10**6
_MAX_DENOMINATOR = 1000
_FORM = re.compile(
    r"error of every code of ([1-9][0-9]{0,6}) bits: "
    r"(Lipschitz ball|bounded variation|C\^([0-9]\.?[0-9]{0,3}) (ball|cartoons, d = 2))"
)


def quantity(bits: int, name: str) -> str:
    """Return what a claim about a class is about."""
    return f"error of every code of {bits} bits: {name}"


def check(context: Context) -> Verdict:
    """Check: every code of so many bits has at least this error for some function of the class."""
    form = _FORM.fullmatch(context.claim.quantity)
    if form is None:
        raise CheckError("It names no class of this rule. Build it anew.")
    bits, name, kind = int(form[1]), form[2], form[4]
    power = Fraction(form[3] or 1)
    plane, sup = kind == "cartoons, d = 2", kind == "ball" or name == "Lipschitz ball"
    context.states(context.claim.quantity, ">=", norm="sup" if sup else "L2")
    count = _only(context, "count", "i")
    value = context.claim.limit
    inside = context.domain() == (Box([0, 0], [1, 1]) if plane else Box(0, 1)) and bits < count <= 4 * MAX_BITS
    context.require(inside and bits <= MAX_BITS, "Domain, bits or cube do not fit. Build it anew.")
    context.require(0 < value < 1, "The error is not between 0 and 1. Build it anew.")
    if sup:
        context.require(0 < power <= 2 and count == bits + 1, "The class or the cube does not fit. Build it anew.")
        factor = Fraction(1) if power == 1 else Fraction(1, 2) if power < 1 else Fraction(1, 4)
        fits = _at_most_power(value / factor, Fraction(count), power)
    else:
        context.require(not plane or 1 < power <= 2, "There are no cartoons of this power. Build it anew.")
        share = _share(context, bits, count)
        if plane:
            fits = _at_most_power(8 * value**2 / (count * share), Fraction(2 * count), power + 1)
        else:
            fits = value**2 * (2 * count - 1) ** 2 <= share
    context.require(fits, "The cube is not large enough for this error. State a smaller one.")
    return Verdict(Kind.VERIFIED)


def _share(context: Context, bits: int, count: int) -> Fraction:
    """Return t with H(t) <= 1 - b/n."""
    share = Fraction(_only(context, "share", "f"))
    context.require(0 < share <= Fraction(1, 2), "The share is not in (0, 1/2]. Build it anew.")
    t, rest = ball(share), ball(1 - share)
    entropy = -(t * t.log() + rest * rest.log()) / arb.const_log2()
    small = bool(entropy <= ball(Fraction(count - bits, count)))
    context.require(small, "The share is too large. State a smaller error.")
    return share


def _only(context: Context, name: str, kind: str) -> Any:
    """Return the only number of an array of the witness."""
    array = context.array(name, kind)
    context.require(len(array) == 1, f"The array {name!r} does not have one number. Build it anew.")
    return array.tolist()[0]


def _at_most_power(value: Fraction, base: Fraction, power: Fraction) -> bool:
    """Tell whether 0 < value <= base^-power, exactly."""
    p, q = power.numerator, power.denominator
    if q > _MAX_DENOMINATOR:
        raise CheckError("The smoothness has too many digits. Give fewer.")
    if q <= 4 and value.denominator.bit_length() <= 2**14:
        return value**q * base**p <= 1
    return bool(ball(value) * ball(base) ** ball(power) <= 1)
