r"""Rule `reach`: no continuous function with fewer pieces stays in the tube |g - F| <= eps (minimality).

Witness: windows 1..N, each a side t in {-1, +1}, places p < s < e and a line l(x) = value + slope (x - p), with

    t (l(p) - F(p)) >= eps,    t (l(s) - F(s)) <= -eps,    t (l(e) - F(e)) > eps,                          (contacts)

that chain: p_1 >= a, e_N <= b and, for every k >= 2, one of

    e_{k-1} <= p_k,                                                                                        (detached)
    t_k = -t_{k-1},  e_{k-1} <= s_k,  t_k (l_k - l_{k-1})(p_k) >= 0.                                       (attached)

Theorem. Then every continuous piecewise-linear g with |g - F| <= eps on [a, b] has at least N + 1 pieces.

Proof. Let R_k be the set of end points (x, g(x)) of continuous g on [a, x] with |g - F| <= eps and at most k affine
pieces. By induction on k,

    (x, y) in R_k  implies  x < e_k,  and  t_k (y - l_k(x)) >= 0  if x >= s_k.                              (claim)

If x < s_k there is nothing to prove. Else let h be the affine function that gives the last piece, on [u, x]; u = a if
k = 1, and u < e_{k-1} <= s_k if k > 1, by induction. Let d = t_k (h - l_k). Since s_k is in [u, x], d(s_k) >= -eps +
eps = 0. If also d(p_k) <= 0, the affine d is >= 0 right of s_k: this is the claim on y, and x >= e_k would give t_k
(h - F)(e_k) >= t_k (l_k - F)(e_k) > eps, outside the tube. It remains to see that d(p_k) <= 0.
  - If u <= p_k, it is d(p_k) = t_k (h - F)(p_k) - t_k (l_k - F)(p_k) <= eps - eps. This is so if k = 1 or detached.
  - If p_k < u, the window is attached. Let c = t_k (h - l_{k-1}) and v = max(u, s_{k-1}) < e_{k-1} <= x. Then c(v) <= 0
    by the claim for k - 1 if v = u, else because h is in the tube at s_{k-1}; and c(e_{k-1}) > 0, because h is in the
    tube at e_{k-1} and l_{k-1} is not. So c increases, c(p_k) <= 0, and t_k h <= t_k l_{k-1} <= t_k l_k at p_k.
With k = N: no point of R_N has x >= e_N, and b >= e_N. QED. F is used at three points a window; it may even be
discontinuous.
"""

from __future__ import annotations

from fractions import Fraction

from flint import arb

from epsnet.certify.bound import Kind
from epsnet.certify.errors import CheckError
from epsnet.certify.rounding import ball
from epsnet.checker.rule import Context, Verdict


def check(context: Context) -> Verdict:
    """Check: every continuous piecewise-linear g with sup |F - g| <= eps on the domain has at least `value` pieces."""
    context.states("pieces", ">=", norm="sup", eps=True, target=True)
    claim, target, domain = context.claim, context.formula(), context.domain()
    if claim.eps is None or claim.eps <= 0 or domain.dimension != 1:
        raise CheckError("It is not about a positive accuracy on an interval. Build it anew.")
    sides = context.array("side", "i").tolist()
    columns = [context.array(name, "f").tolist() for name in ("p", "s", "e", "slope", "value")]
    context.require(all(len(column) == len(sides) for column in columns), "The windows are incomplete. Build it anew.")
    context.require(claim.limit <= len(sides) + 1, f"The windows prove {len(sides) + 1} pieces only. State that.")
    eps = ball(claim.eps)

    def above(line: _Line, x: Fraction) -> arb:
        return ball(line.at(x)) - target.at(x)

    previous: _Line | None = None
    end = domain.lower[0]
    for number, (side, *row) in enumerate(zip(sides, *columns, strict=True)):
        line = _Line(side, *map(Fraction, row))
        touches = (
            side in (-1, 1)
            and line.p < line.s < line.e
            and side * above(line, line.p) >= eps
            and side * above(line, line.s) <= -eps
            and side * above(line, line.e) > eps
        )
        context.require(bool(touches), f"Window {number + 1} does not block the tube. Build it anew.")
        detached = end <= line.p
        attached = (
            previous is not None
            and side == -previous.side
            and previous.e <= line.s
            and side * (line.at(line.p) - previous.at(line.p)) >= 0
        )
        context.require(detached or attached, f"Window {number + 1} does not follow on the one before. Build it anew.")
        previous, end = line, line.e
    context.require(end <= domain.upper[0], "The last window lies beyond the domain. Build it anew.")
    return Verdict(Kind.VERIFIED, (f"{len(sides)} windows block the tube",))


class _Line:
    """A window: its side, its places and its line, in rationals."""

    def __init__(self, side: int, p: Fraction, s: Fraction, e: Fraction, slope: Fraction, value: Fraction) -> None:
        self.side, self.p, self.s, self.e, self.slope, self.value = side, p, s, e, slope, value

    def at(self, x: Fraction) -> Fraction:
        return self.value + self.slope * (x - self.p)
