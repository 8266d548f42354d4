r"""Expansions in piecewise-linear wavelets as ReLU networks: exactly the same function, O(1) weights for each atom.

**CDF(2,2).** With s = 2^{j+1} x - (2k + 1), p = rho(s), q = rho(-s), an atom of `LinearWavelets` is

$$ 8 \psi_{j,k} = \rho(9 - 9p - 9q) - \rho(3 - p - q) \quad\text{(and at an end of [0, 1] minus } \rho(2 - 2^{j+1} x)
   \text{ or its mirror image)}, $$

because p + q = |s|. All coefficients but those of the expansion are integers, so that what is stored in float64 is
exact, and the neurons of the second layer vanish outside the support of their atom: the rounding at x comes from the
O(J) atoms around x. An inner wavelet takes 12 weights and 4 neurons, one at an end 4 weights more for each end, a hat
of level 0 at most 4.

**Haar.** A step function with jumps a_i at t_i in (0, 1) becomes the sum of ramps of width delta,

$$ \Phi(x) = y_0 + \sum_i a_i\, \rho\bigl(1 - \rho(\tfrac12 - (x - t_i)/\delta)\bigr), \qquad
   \|f - \Phi\|_{L^2(0,1)}^2 = \frac{\delta}{12} \sum_i a_i^2, $$

if delta is at most every t_i - t_{i-1} and at most 2 t_1 and 2 (1 - t_n). Proof: then no two ramps meet and none leaves
[0, 1]; on one the error is a_i times 1/2 - |x - t_i|/delta in absolute value, whose square has the integral delta/12.
A jump takes 5 weights, an atom has at most 3 jumps.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from epsnet.certify.domain import Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.gates import Form, Gates
from epsnet.core.network import Network
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.wavelets import Wavelets


def linear_wavelet_network(expansion: Expansion) -> Network:
    """Return the network that equals an expansion in `LinearWavelets` on [0, 1].

    Size: at most 12 weights for each inner wavelet, 16 for one at an end (20 for that of level 0); depth 3.

    Raises:
        HypothesisError: the atoms are others, or there is none.
    """
    dictionary = expansion.dictionary
    if not isinstance(dictionary, LinearWavelets) or not len(expansion):
        raise HypothesisError("The expansion has no piecewise-linear wavelets. Expand in LinearWavelets.")
    gates = Gates(1)
    (x,) = gates.inputs
    first: list[Form] = []
    # Each neuron of the second layer: c + sum of the weights of neurons of the first, and its weight in the output.
    second: list[tuple[int, dict[int, int], Fraction]] = []

    def ramp(form: Form, weight: Fraction) -> None:
        """Add weight * rho(form), of a form whose rho the second layer only passes on."""
        second.append((0, {len(first): 1}, weight))
        first.append(form)

    for index, value in zip(expansion.indices.tolist(), map(Fraction, expansion.coefficients.tolist()), strict=True):
        j, k = dictionary.level(index)
        if j < 0:
            ramp(x if k else 1 - x, value)
            continue
        scale = 2 ** (j + 1)
        s = scale * x - (2 * k + 1)
        left, right = len(first), len(first) + 1
        first += [s, -s]
        second += [(9, {left: -9, right: -9}, value / 8), (3, {left: -1, right: -1}, -value / 8)]
        if k == 0:
            ramp(2 - scale * x, -value / 8)
        if k == 2**j - 1:
            ramp(scale * x - (scale - 2), -value / 8)
    gates.relu(*first)
    hidden = [
        Form(1, {neuron: Fraction(weight) for neuron, weight in weights.items()}, Fraction(constant))
        for constant, weights, _ in second
    ]
    gates.relu(*hidden)
    return gates.network(Form(2, {neuron: weight for neuron, (_, _, weight) in enumerate(second)}))


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A step function on [0, 1]: `start` on the first piece, then `jumps`, (t_i, a_i) with 0 < t_1 < ... < t_n < 1."""

    start: Fraction
    jumps: tuple[tuple[Fraction, Fraction], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", exact(self.start, "value"))
        jumps = tuple((exact(t, "place of a jump"), exact(a, "jump")) for t, a in self.jumps)
        places = [Fraction(0), *(t for t, _ in jumps), Fraction(1)]
        if any(a >= b for a, b in pairwise(places)):
            raise DomainError(
                "The jumps of a step function are not in order inside (0, 1). Sort them, each place once."
            )
        object.__setattr__(self, "jumps", jumps)

    def __call__(self, x: Real) -> Fraction:
        """Return the value at x, that of the right side at a jump."""
        place = exact(x)
        return self.start + sum((a for t, a in self.jumps if t <= place), Fraction(0))

    @property
    def widest(self) -> Fraction:
        """The largest width for which ramps neither meet nor leave [0, 1]."""
        places = [t for t, _ in self.jumps]
        if not places:
            return Fraction(1)
        return min([2 * places[0], 2 * (1 - places[-1]), *(b - a for a, b in pairwise(places))])


@dataclass(frozen=True, slots=True)
class Ramps:
    """A network of ramps.

    Attributes:
        network: Phi.
        width: delta.
        squared_error: ||f - Phi||^2 in L2(0, 1), exactly, for Phi in exact arithmetic.
    """

    network: Network
    width: Fraction
    squared_error: Fraction


def haar_steps(expansion: Expansion) -> StepFunction:
    """Return a one-dimensional Haar expansion as a step function on [0, 1].

    Samples are the values on n = m 2^levels equal intervals. The heights c 2^{-l/2} of the atoms on 2^l samples are
    rounded to float64; all that follows from them is exact, so that a jump that cancels leaves none.

    Raises:
        HypothesisError: the atoms are not those of the Haar basis in one variable.
    """
    dictionary = expansion.dictionary
    if not isinstance(dictionary, Wavelets) or dictionary.name not in ("haar", "db1") or len(dictionary.shape) != 1:
        raise HypothesisError("The expansion is none in the Haar basis of one variable. Use Wavelets('haar', (n,), J).")
    length, coarse = dictionary.size, dictionary.size >> dictionary.levels
    steps: dict[Fraction, Fraction] = defaultdict(Fraction)
    for index, value in zip(expansion.indices.tolist(), expansion.coefficients.tolist(), strict=True):
        if index < coarse:
            count, place, signs = coarse, index, (1,)
        else:
            count = coarse << ((index // coarse).bit_length() - 1)
            place, signs = index - count, (1, -1)
        height = Fraction(value * (count / length) ** 0.5)
        width = Fraction(1, count * len(signs))
        for k, (before, after) in enumerate(pairwise((0, *signs, 0))):
            steps[Fraction(place, count) + k * width] += (after - before) * height
    start = steps.pop(Fraction(0), Fraction(0))
    steps.pop(Fraction(1), None)
    return StepFunction(start, tuple((t, a) for t, a in sorted(steps.items()) if a))


def ramp_network(steps: StepFunction, eps: Real) -> Ramps:
    """Return a network of ramps with ||f - Phi|| <= eps in L2(0, 1).

    The width is 2^-m, the largest that both the accuracy and the distances of the jumps allow; the largest weight is
    2^m/2 or a coefficient.

    Args:
        steps: f.
        eps: > 0.

    Raises:
        DomainError: eps is not positive.
    """
    accuracy = exact(eps, "accuracy")
    if accuracy <= 0:
        raise DomainError(f"The accuracy {float(accuracy):g} is not positive. Give one such as 1e-3.")
    squares = sum((a**2 for _, a in steps.jumps), Fraction(0))
    width = Fraction(1)
    while width > steps.widest or width * squares > 12 * accuracy**2:
        width /= 2
    gates = Gates(1)
    (x,) = gates.inputs
    jumps = steps.jumps or ((Fraction(1, 2), Fraction(0)),)
    below = gates.relu(*(Fraction(1, 2) - (x - t) * (1 / width) for t, _ in jumps))
    gates.relu(*(1 - form for form in below))
    output = Form(2, {i: a for i, (_, a) in enumerate(jumps)}, steps.start)
    return Ramps(gates.network(output), width, width * squares / 12)
