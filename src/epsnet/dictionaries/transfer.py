r"""Transfer: from an expansion to a network with O(1) weights for each atom and a certified error.

The atoms of a dictionary are one or a few generators composed with affine maps (`dictionaries.molecules`), and the
network of an expansion holds the network of its generator once for every atom: `transfer`. What is proved of the sum is
the theorem in `core.transfer`, for the network as it is stored also with the rounding of one evaluation in float64.

Wavelet expansions by lifting and by PyWavelets become expansions in such atoms exactly:

**CDF(2,2).** With T(s) = rho(1 - |s|) and s = 2^{j+1} x - (2k + 1), an atom of `LinearWavelets` is
9/8 T(s) - 3/8 T(s/3), and at an end of [0, 1] minus T(2^j x)/4 or T(2^j (1 - x))/4. An inner wavelet takes 12 weights,
one at an end 8 more for each end, a hat of level 0 takes 8; all weights but the coefficients have few bits.

**Haar.** Step functions become sums of ramps (`core.ramps`): 5 weights for each jump, at most 3 jumps for each atom.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from epsnet.certify.bound import Bound, Kind, Norm
from epsnet.certify.certificate import Certificate, Witness
from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.certify.rounding import round_up
from epsnet.checker.rules.expansion import hypotheses
from epsnet.checker.rules.ramps import hypotheses as ramp_hypotheses
from epsnet.core.expansion_target import ExpansionTarget
from epsnet.core.network import Network
from epsnet.core.ramps import StepFunction
from epsnet.core.serial import network_bytes
from epsnet.core.solution import Solution
from epsnet.core.transfer import expansion_error, expansion_network, upper_root
from epsnet.dictionaries.dictionary import Expansion
from epsnet.dictionaries.linear_wavelets import LinearWavelets
from epsnet.dictionaries.molecules import CDF22, HAT, Atoms, dilated
from epsnet.dictionaries.wavelets import Wavelets
from epsnet.enclosure.float64 import rounding_of, with_rounding

UNIT = Box(0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """A network for an expansion.

    Attributes:
        network: Phi.
        target: the expansion.
        error: ||f - Phi|| in the norm of the target: in the sup norm for the float64 network, in L2 for the exact one.
        witnesses: what the rules need, for `Certificate.of`.
    """

    network: Network
    target: ExpansionTarget
    error: Bound
    witnesses: tuple[tuple[Bound, Witness], ...]

    def solution(self) -> Solution:
        """Return it as a solution, which can be checked, saved and shown."""
        certificate = Certificate.of((self.error,), self.witnesses)
        return Solution(self.network, self.target, self.error, 8 * len(network_bytes(self.network)), certificate)


Parts = Sequence[tuple[Atoms, Sequence[float]]]
"""Atoms of one generator with their coefficients, for one or more generators."""


def expansion_target(parts: Parts, domain: Box = UNIT, norm: Norm = "sup") -> ExpansionTarget:
    """Return an expansion as a target. DomainError if shapes do not fit."""
    return ExpansionTarget(tuple(atoms.part(coefficients) for atoms, coefficients in parts), domain, norm)


def transfer(parts: Parts, domain: Box = UNIT, norm: Norm = "sup") -> Transfer:
    """Return the network of an expansion, with the bound that the checker re-derives.

    Args:
        parts: the atoms; the networks of different generators have to be of the same depth.
        domain: where the error is measured.
        norm: "sup" or "L2".

    Raises:
        DomainError: shapes do not fit.
        HypothesisError: the generators differ in depth, or an argument is farther out than one of them is known.
    """
    generators, target = [atoms.generator for atoms, _ in parts], expansion_target(parts, domain, norm)
    network, found = expansion_network(target, generators), expansion_error(target, generators)
    least = found.sup if norm == "sup" else found.l2
    error = Bound(
        quantity="error", sense="<=", value=round_up(least), norm=norm, measure=None if norm == "sup" else "Lebesgue",
        domain=domain, kind=Kind.VERIFIED if least else Kind.PROVED, theorem="expansion-error", rule="expansion",
        hypotheses=hypotheses(target), network=network.sha256, target=target.sha256,
    )  # fmt: skip
    log = json.dumps([generator.to_json() for generator in generators]).encode()
    witnesses = ((error, {"log": np.frombuffer(log, dtype=np.int8)}),)
    whole = with_rounding(error, rounding_of(network, domain)) if norm == "sup" else error
    return Transfer(network, target, whole, witnesses)


def linear_wavelet_atoms(expansion: Expansion) -> list[tuple[Atoms, list[float]]]:
    """Return an expansion in `LinearWavelets` as wavelets and hats, exactly the same function on [0, 1].

    Raises:
        HypothesisError: the atoms are others, or there is none.
    """
    dictionary = expansion.dictionary
    if not isinstance(dictionary, LinearWavelets) or not len(expansion):
        raise HypothesisError("The expansion has no piecewise-linear wavelets. Expand in LinearWavelets.")
    wavelets: list[tuple[float, float, float]] = []
    hats: list[tuple[float, float, float]] = []
    for index, value in zip(expansion.indices.tolist(), expansion.coefficients.tolist(), strict=True):
        j, k = dictionary.level(index)
        if j < 0:
            hats.append((value, 1.0, float(k)))
            continue
        wavelets.append((value, 2.0 ** (j + 1), (2 * k + 1) / 2.0 ** (j + 1)))
        ends = [end for end, inner in ((0.0, 0), (1.0, 2**j - 1)) if k == inner]
        hats += [(-value / 4, 2.0**j, end) for end in ends]
    found = []
    for generator, own in ((CDF22, wavelets), (HAT, hats)):
        if own:
            values, scales, centers = zip(*own, strict=True)
            found.append((dilated(generator, np.array(scales)[:, None], np.array(centers)[:, None]), list(values)))
    return found


def linear_wavelet_network(expansion: Expansion) -> Network:
    """Return the network that equals an expansion in `LinearWavelets` on [0, 1]; its depth is 3.

    Raises:
        HypothesisError: the atoms are others, or there is none.
    """
    parts = linear_wavelet_atoms(expansion)
    return expansion_network(expansion_target(parts), [atoms.generator for atoms, _ in parts])


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
    rounded to float64 and summed exactly, so that a jump that cancels leaves none; the sums are rounded again.

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
    jumps = ((t, Fraction(float(a))) for t, a in sorted(steps.items()))
    return StepFunction(Fraction(float(start)), tuple((t, a) for t, a in jumps if a))


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
    return Ramps(steps.network(width), width, steps.squared_error(width))


def ramp_transfer(steps: StepFunction, eps: Real) -> Transfer:
    """Return the network of `ramp_network` with the bound that the checker re-derives.

    Args:
        steps: f, whose numbers are float64 numbers.
        eps: > 0.

    Raises:
        HypothesisError: a number is no float64 number.
        DomainError: eps is not positive.
    """
    ramps, target = ramp_network(steps, eps), steps.target()
    value = round_up(upper_root(ramps.squared_error))
    error = Bound(
        quantity="error", sense="<=", value=value, norm="L2", measure="Lebesgue", domain=UNIT, kind=Kind.PROVED,
        theorem="ramp-error", rule="ramps", hypotheses=ramp_hypotheses(steps), network=ramps.network.sha256,
        target=target.sha256,
    )  # fmt: skip
    return Transfer(ramps.network, target, error, ((error, {"width": np.array([float(ramps.width)])}),))
