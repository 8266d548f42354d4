"""Tails of the binomial distribution in ball arithmetic."""

from __future__ import annotations

from fractions import Fraction

from flint import arb

from epsnet.certify.rounding import ball


def binomial_tail(successes: int, trials: int, probability: Fraction) -> arb:
    """Enclose P(Bin(n, p) <= k) = I_{1-p}(n - k, k + 1), the regularized incomplete beta function."""
    if successes >= trials:
        return arb(1)
    return ball(1 - probability).beta_lower(trials - successes, successes + 1, regularized=True)
