r"""Sawtooth waves: what k hidden layers of two neurons do and one hidden layer cannot do with less than 2^k - 1.

T_k is the wave of 2^(k-1) teeth on [0, 1], T_k = T o ... o T (k times) for the tent map T(x) = min(2x, 2 - 2x). Scaled
by 2^-k it obeys p_{k+1} = min(p_k, 2^-k - p_k) = p_k - 2 rho(p_k - 2^{-k-1}).

Sources: M. Telgarsky, Benefits of depth in neural networks, COLT 2016; T. Takagi, A simple example of the continuous
function without derivative, 1903.
"""

from __future__ import annotations

from fractions import Fraction

from epsnet.certify.errors import DomainError
from epsnet.core.gates import Form, Gates
from epsnet.core.network import Network


def sawtooth(doublings: int) -> Network:
    r"""Return the network of T_k on [0, 1], which has 2^k linear pieces: M = 5k, L = k + 1, 2k neurons.

    A network with n_i neurons in hidden layer i has at most prod (n_i + 1) pieces on a line, so with one hidden layer
    T_k takes 2^k - 1 neurons.

    Args:
        doublings: k >= 1.
    """
    gates = Gates(1)
    wave = gates.inputs[0]
    for index in _indices(doublings):
        p, r = gates.relu(wave, wave - Fraction(1, 2 << index))
        wave = p - 2 * r
    return gates.network(wave * (1 << doublings))


def takagi_error(terms: int) -> Fraction:
    """Return 2^-K / 3, the sup error of `takagi(K)`."""
    return Fraction(1, 3 << terms)


def takagi(terms: int) -> Network:
    r"""Return a network within 2^-K/3 of the Takagi function sum_{k>=0} 2^-k dist(2^k x, Z) on [0, 1].

    The function is continuous and nowhere differentiable. The network is the sum of the first K terms, which are
    2^-k T_k for k = 1, ..., K, plus half of the largest remainder (2/3) 2^-K. Size: M = 7K - 3 for K >= 3, L = K + 1.

    Args:
        terms: K >= 1.
    """
    gates = Gates(1)
    wave, total = gates.inputs[0], None
    for index in _indices(terms):
        tooth = wave - Fraction(1, 2 << index)
        p, r, *sums = gates.relu(wave, tooth, *(() if total is None else (total,)))
        # The neuron p is the wave before this one: adding it late costs one weight, the new wave would cost two.
        total = _sum([*sums, p]) if index else None
        wave = p - 2 * r
    return gates.network(_sum([wave] if total is None else [total, wave]) + takagi_error(terms))


def _indices(count: int) -> range:
    if count < 1:
        raise DomainError(f"The number of waves {count} is not positive. Give at least 1.")
    return range(count)


def _sum(forms: list[Form]) -> Form:
    first, *others = forms
    for form in others:
        first += form
    return first
