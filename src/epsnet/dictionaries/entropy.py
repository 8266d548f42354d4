r"""The entropy line: what error no code of b bits can avoid on a model class, whoever encodes, decodes and computes.

**Theorem.** Let C contain the cube of all sum_{k <= n} +-a phi_k with orthonormal phi_k in L2, and let a code give
every f in C one of 2^b strings, b <= n, from which a function within eps of f is decoded. With the inverse delta of the
binary entropy H(t) = -t log2 t - (1 - t) log2(1 - t) on [0, 1/2],

$$ \varepsilon \ge a\, \bigl(n\, \delta(1 - b/n)\bigr)^{1/2} . $$

Proof. Let g be decoded from a string, v a vertex within eps of g, and r the number of k for which the sign of v differs
from that of <g, phi_k>. Each of them adds at least a^2 to |v - g|^2, so r <= eps^2/a^2. At most 2^{n H(r/n)} vertices
have so few signs other than those of g if r <= n/2, and 2^b strings serve 2^n vertices: H(eps^2/(a^2 n)) >= 1 - b/n.
For eps^2 > a^2 n/2 the claim is clear. QED

If instead 2^n members are 2a apart pairwise, in whatever norm, then eps >= a for b < n: no function is within less than
a of two of them. For the Lipschitz ball this gives 1/(b + 1), which the code of Kolmogorov and Tikhomirov attains
(`codec.lipschitz`): the line is exact, and the entropy of this ball is ceil(1/eps) - 1 bits. For the other classes
there is no upper constant here; what their learners reach stands above the line by a factor.

Sources: D. L. Donoho, Sparse components of images and optimal atomic decomposition, Constr. Approx. 17 (2001) 353-382
(hypercubes); A. N. Kolmogorov, V. M. Tikhomirov, Uspekhi Mat. Nauk 14 (1959) 3-86.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from epsnet.certify.bound import Bound, Kind
from epsnet.certify.certificate import Witness
from epsnet.certify.domain import Box
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import round_down
from epsnet.checker.rules.hypercube import MAX_BITS, quantity
from epsnet.dictionaries.model_classes import Cartoon, Hoelder, ModelClass, Variation

_RATIOS = np.geomspace(1.05, 4.0, 24)
_HALVINGS = 60


def binary_entropy(t: float) -> float:
    """Return H(t) = -t log2 t - (1 - t) log2(1 - t) for 0 <= t <= 1."""
    return 0.0 if t in (0, 1) else -t * math.log2(t) - (1 - t) * math.log2(1 - t)


def inverse_entropy(value: float) -> float:
    """Return t in [0, 1/2] with H(t) = value, from below, for 0 <= value <= 1."""
    low, high = 0.0, 0.5
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if binary_entropy(middle) <= value else (low, middle)
    return low


def entropy_line(model_class: ModelClass, bits: int) -> float:
    """Return an error that every code of so many bits has for some member, by the cubes of the class; 0 without one.

    The number is float64 without an error bound, so it is ESTIMATED; `entropy_bound` proves it for some classes.

    Raises:
        DomainError: bits < 1.
    """
    return _best_cube(model_class, bits)[0]


def entropy_bound(model_class: ModelClass, bits: int) -> tuple[Bound, Witness]:
    """Return the entropy line of a Hoelder ball, of bounded variation or of cartoons as a bound, with its witness.

    Raises:
        HypothesisError: no rule knows the class.
        DomainError: bits < 1.
    """
    error, count, share = _best_cube(model_class, bits)
    smoothness = model_class.optimal_rate * (2 if isinstance(model_class, Cartoon) else 1)
    known = isinstance(model_class, Hoelder | Variation | Cartoon) and round(smoothness, 3) == smoothness
    if not known or bits > MAX_BITS:
        raise HypothesisError(
            f"No bound of {model_class.name} at {bits} bits can be checked. Take a Hoelder ball of at most three "
            f"decimals, bounded variation or cartoons, or read the line alone."
        )
    sup = model_class.norm == "sup"
    exact = Fraction(1, count) if sup and smoothness == 1 else Fraction(error * (1 - 2.0**-30))
    bound = Bound(
        quantity=quantity(bits, model_class.name), sense=">=", value=round_down(exact), exact=exact,
        norm=model_class.norm, domain=Box([0, 0], [1, 1]) if isinstance(model_class, Cartoon) else Box(0, 1),
        kind=Kind.VERIFIED, theorem="hypercube-entropy", rule="hypercube",
    )  # fmt: skip
    witness = {"count": np.array([count], dtype=np.int64)}
    return bound, witness if sup else {**witness, "share": np.array([share * (1 - 2.0**-32)])}


def _best_cube(model_class: ModelClass, bits: int) -> tuple[float, int, float]:
    """Return the error, n and delta(1 - b/n) of the cube that is best."""
    if bits < 1:
        raise DomainError(f"There is no code of {bits} bits. Give a positive number.")
    if model_class.norm == "sup":
        return model_class.cube(bits + 1)[1], bits + 1, 0.0
    found = [(0.0, 0, 0.0)]
    for count in {math.ceil(bits * ratio) for ratio in _RATIOS}:
        n, a = model_class.cube(count)
        if n > bits:
            share = inverse_entropy(1 - bits / n)
            found.append((a * math.sqrt(n * share), n, share))
    return max(found)
