r"""Piecewise-linear wavelets by a smooth activation: softplus networks with O(1) weights for each atom.

An activation sigma with sigma(t)/t^k -> 1 for t -> inf and -> 0 for t -> -inf is called sigmoidal of order k; softplus,
log(1 + e^t), is so of order 1. A sum of atoms of `LinearWavelets` is a polygon,

$$ f(x) = y_0 + m_0 x + \sum_{i=1}^n a_i\, \rho(x - t_i), \qquad
   \Phi(x) = y_0 + m_0 x + \sum_{i=1}^n \frac{a_i}{\lambda}\, \mathrm{softplus}(\lambda (x - t_i)) . $$

**Theorem.** With A_+ the sum of the positive a_i and -A_- that of the negative ones,

$$ -\frac{\log 2}{\lambda} A_- \le \Phi(x) - f(x) \le \frac{\log 2}{\lambda} A_+ \quad\text{for all } x . $$

Proof. softplus(t) = rho(t) + log(1 + e^{-|t|}), and the last term lies in (0, log 2]. QED

An inner wavelet bends at five places, by 2^{j+1}/8 times -1, 9, -16, 9, -1 at s = -3, -1, 0, 1, 3, so that it takes 15
weights whatever the accuracy is; the linear part, softplus(x) - softplus(-x) = x, takes 4 once. The largest weight is
lambda = O(1/eps) times a power of two below 2^J or an |a_i|: polynomial in i and 1/eps. So the dictionary is
representable in the sense of the theorem of transfer, with a smooth activation.

Source: H. N. Mhaskar, Approximation properties of a multilayered feedforward artificial neural network, Adv. Comput.
Math. 1 (1993) 61-80 (sigmoidal of order k); H. Bolcskei, P. Grohs, G. Kutyniok, P. Petersen, Optimal approximation with
sparsely connected deep neural networks, SIAM J. Math. Data Sci. 1 (2019) 8-45.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from flint import arb

from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import ball, ball_arithmetic, round_up
from epsnet.core.matrices import bias_vector, linear_map
from epsnet.core.network import Network
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets

_TURNS = ((-3, -1), (-1, 9), (0, -16), (1, 9), (3, -1))
"""Where an inner wavelet bends, in s, and by how much, in 2^{j+1}/8."""


@dataclass(frozen=True, slots=True)
class Polygon:
    """y_0 + m_0 x + sum a_i rho(x - t_i) on [0, 1]: `start`, `slope`, and `turns` (t_i, a_i), 0 < t_1 < ... < 1."""

    start: Fraction
    slope: Fraction
    turns: tuple[tuple[Fraction, Fraction], ...]


def polygon(expansion: Expansion) -> Polygon:
    """Return an expansion in `LinearWavelets` as a polygon on [0, 1], exactly.

    Raises:
        HypothesisError: the atoms are others.
    """
    dictionary = expansion.dictionary
    if not isinstance(dictionary, LinearWavelets):
        raise HypothesisError("The expansion has no piecewise-linear wavelets. Expand in LinearWavelets.")
    turns: dict[Fraction, Fraction] = defaultdict(Fraction)
    start = slope = Fraction(0)
    for index, value in zip(expansion.indices.tolist(), map(Fraction, expansion.coefficients.tolist()), strict=True):
        j, k = dictionary.level(index)
        if j < 0:
            start, slope = start + (1 - k) * value, slope + (2 * k - 1) * value
            continue
        scale = 2 ** (j + 1)
        bends = [(Fraction(s + 2 * k + 1, scale), scale * turn * value / 8) for s, turn in _TURNS]
        if k == 0:
            # -rho(2 - scale x)/8 = -rho(scale x - 2)/8 + scale x/8 - 1/4.
            bends.append((Fraction(2, scale), -scale * value / 8))
            start, slope = start - value / 4, slope + scale * value / 8
        if k == 2**j - 1:
            bends.append((Fraction(scale - 2, scale), -scale * value / 8))
        for place, turn in bends:
            if place > 0:
                turns[place] += turn
            else:
                # rho(x - t) = x - t on [0, 1].
                start, slope = start - place * turn, slope + turn
    kept = tuple((t, a) for t, a in sorted(turns.items()) if a and t < 1)
    return Polygon(start, slope, kept)


@dataclass(frozen=True, slots=True)
class SmoothNetwork:
    """What `softplus_network` returns.

    Attributes:
        network: Phi, of depth 2, with softplus neurons.
        sharpness: lambda.
        error: log 2 max(A_+, A_-)/lambda, rounded up: sup |f - Phi| on [0, 1] in exact arithmetic, by the theorem.
    """

    network: Network
    sharpness: Fraction
    error: float


def softplus_network(expansion: Expansion, eps: Real) -> SmoothNetwork:
    """Return a softplus network within eps of an expansion in `LinearWavelets` on [0, 1].

    Size: at most 15 weights for each inner wavelet (18 for one at an end), and 6; depth 2, whatever eps is. The exact
    expansion as a ReLU network is `transfer.linear_wavelet_network`; `enclosure.distance` proves the error once more.

    Args:
        expansion: f.
        eps: the accuracy in the sup norm, > 0.

    Raises:
        HypothesisError: the atoms are others.
        DomainError: eps is not positive.
    """
    accuracy = exact(eps, "accuracy")
    if accuracy <= 0:
        raise DomainError(f"The accuracy {float(accuracy):g} is not positive. Give one such as 1e-3.")
    shape = polygon(expansion)
    bent = [sum((abs(a) for _, a in shape.turns if (a > 0) == up), Fraction(0)) for up in (True, False)]
    # A power of two, so that the weights lambda t_i and a_i/lambda are as exact as t_i and a_i.
    exponent = 0
    with ball_arithmetic():
        need = arb(2).log() * ball(max(bent))
        while not need <= ball(accuracy * Fraction(2) ** exponent):
            exponent += 1
        sharpness = Fraction(2) ** exponent
        error = round_up(need / ball(sharpness))
    terms = [(sharpness, -sharpness * place, turn / sharpness) for place, turn in shape.turns]
    if shape.slope or not terms:
        # softplus(x) - softplus(-x) = x
        terms = [(Fraction(sign), Fraction(0), sign * shape.slope) for sign in (1, -1)] + terms
    count = len(terms)
    inner = linear_map((count, 1), {(i, 0): weight for i, (weight, _, _) in enumerate(terms)})
    outer = linear_map((1, count), {(0, i): weight for i, (_, _, weight) in enumerate(terms)})
    layers = [(inner, bias_vector(bias for _, bias, _ in terms)), (outer, bias_vector([shape.start]))]
    return SmoothNetwork(Network.from_layers(layers, activation="softplus"), sharpness, error)
