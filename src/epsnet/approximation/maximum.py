r"""The maximum of n numbers as an exact ReLU network, small or shallow.

max(a, b) = rho(a - b) + rho(b) - rho(-b), and rho(a - b) + rho(b) where b >= 0 is known. A tree of these takes
ceil(log2 n) hidden layers. That is not the least depth: five numbers need two hidden layers only.

Source: E. Bakaev, F. Brunck, C. Hertrich, J. Stade, A. Yehudayoff, Better neural network expressivity: subdividing the
simplex, 2025, arXiv:2505.14338, where max of n >= 4 numbers takes ceil(log3(n - 2)) + 1 hidden layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

from epsnet.certify.errors import DomainError
from epsnet.core.gates import Form, Gates
from epsnet.core.network import Network


def maximum(count: int, *, nonnegative: bool = False) -> Network:
    r"""Return the network of x -> max(x_1, ..., x_n) on R^n, a tree of ceil(log2 n) hidden layers.

    Size for n = 2^k, k >= 1: M = 8n - 9; with nonnegative inputs M = (9n - 8)/2 and the network is the maximum on
    [0, inf)^n only.

    Args:
        count: n >= 2.
        nonnegative: take inputs >= 0 only.
    """
    if count < 2:
        raise DomainError(f"The maximum of {count} numbers needs no network. Give at least 2.")
    gates = Gates(count)
    forms: Sequence[Form] = list(gates.inputs)
    while len(forms) > 1:
        pairs = [(forms[i], forms[i + 1]) for i in range(0, len(forms) - 1, 2)]
        alone = [forms[-1]] if len(forms) % 2 else []
        neurons: list[Form] = []
        for a, b in pairs:
            neurons += [a - b, b] if nonnegative else [a - b, b, -b]
        for a in alone:
            neurons += [a] if nonnegative else [a, -a]
        values = iter(gates.relu(*neurons))
        if nonnegative:
            forms = [next(values) + next(values) for _ in pairs] + [next(values) for _ in alone]
        else:
            forms = [next(values) + next(values) - next(values) for _ in pairs]
            forms += [next(values) - next(values) for _ in alone]
    return gates.network(forms[0])


def maximum_of_five() -> Network:
    r"""Return the network of x -> max(x_1, ..., x_5) with two hidden layers, of 20 and 52 neurons.

    With M_4(a, b, c, d) = max(max(a, b), max(c, d)), sums over all i and all ways to group the other four,

    $$ \max x = \tfrac25 \sum_i M_4(x_{\ne i}) + \tfrac1{30} \sum_{i; \{ab\}\{cd\}}
       \max\bigl(2 x_i, \max(a,b) + \max(c,d)\bigr) - \tfrac1{30} \sum_{i; \{jk\}; \{lm\}}
       \max\bigl(\max(i,j) + \max(i,k), \max(j,k) + \max(l,m)\bigr). $$

    Every term is the maximum of two functions of one hidden layer. The identity holds at every x: both sides are linear
    on the cones where the order of the x_i is fixed, and the tests compare them in rationals there.
    """
    gates = Gates(5)
    x = gates.inputs
    pairs = list(combinations(range(5), 2))
    neurons = gates.relu(*(x[i] - x[j] for i, j in pairs), *x, *(-xi for xi in x))
    values = [neurons[10 + i] - neurons[15 + i] for i in range(5)]
    larger = {pair: neurons[number] + values[pair[1]] for number, pair in enumerate(pairs)}

    def top(i: int, j: int) -> Form:
        return larger[min(i, j), max(i, j)]

    terms: list[tuple[Fraction, Form, Form]] = []
    for i in range(5):
        a, b, c, d = (j for j in range(5) if j != i)
        groupings = [((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c))]
        terms.append((Fraction(2, 5), top(a, b), top(c, d)))
        terms += [(Fraction(1, 30), 2 * values[i], top(*one) + top(*other)) for one, other in groupings]
        for j, k in combinations((a, b, c, d), 2):
            lone, last = (m for m in (a, b, c, d) if m not in (j, k))
            terms.append((Fraction(-1, 30), top(i, j) + top(i, k), top(j, k) + top(lone, last)))
    rest = sum((weight * second for weight, _, second in terms), 0 * values[0])
    *gaps, up, down = gates.relu(*(first - second for _, first, second in terms), rest, -rest)
    total = up - down
    for (weight, _, _), gap in zip(terms, gaps, strict=True):
        total += weight * gap
    return gates.network(total)
