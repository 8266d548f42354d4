r"""Step functions and the networks of ramps that stand for them, with the error in L2 in closed form.

A step function with jumps a_i at t_i in (0, 1) becomes the sum of ramps of width delta,

$$ \Phi(x) = y_0 + \sum_i a_i\, \rho\bigl(1 - \rho(\tfrac12 - (x - t_i)/\delta)\bigr), \qquad
   \|f - \Phi\|_{L^2(0,1)}^2 = \frac{\delta}{12} \sum_i a_i^2, $$

if delta is at most every t_i - t_{i-1} and at most 2 t_1 and 2 (1 - t_n). Proof: then no two ramps meet and none leaves
[0, 1]; on one the error is a_i times 1/2 - |x - t_i|/delta in absolute value, whose square has the integral delta/12.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from epsnet.certify.domain import Box, Real, exact
from epsnet.certify.errors import DomainError, HypothesisError
from epsnet.core.expansion_target import ExpansionTarget, Part
from epsnet.core.gates import Form, Gates
from epsnet.core.linear_maps import is_float64
from epsnet.core.network import Network

STEP = "step(u1)"
UNIT = Box(0, 1)


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

    def squared_error(self, width: Fraction) -> Fraction:
        """Return the square of the distance in L2(0, 1) to the network. HypothesisError if the ramps are too wide."""
        if not 0 < width <= self.widest:
            raise HypothesisError("The ramps of a step function meet or leave [0, 1]. Make them narrower.")
        return width * sum((a**2 for _, a in self.jumps), Fraction(0)) / 12

    def network(self, width: Fraction) -> Network:
        """Return Phi: a jump takes 5 weights; a constant is a jump of height 0."""
        jumps = self.jumps or ((Fraction(1, 2), Fraction(0)),)
        gates = Gates(1)
        (x,) = gates.inputs
        below = gates.relu(*(Fraction(1, 2) - (x - t) * (1 / width) for t, _ in jumps))
        gates.relu(*(1 - form for form in below))
        return gates.network(Form(2, {i: a for i, (_, a) in enumerate(jumps)}, self.start))

    def target(self) -> ExpansionTarget:
        """Return it as an expansion in steps, in L2(0, 1); `start` is a jump at 0.

        Raises:
            HypothesisError: a number is no float64 number.
        """
        pairs = [(Fraction(0), self.start), *self.jumps]
        if not all(is_float64(number) for pair in pairs for number in pair):
            raise HypothesisError("A place or height of a jump is no float64 number. Round it first.")
        places, heights = (np.array([float(number) for number in column]) for column in zip(*pairs, strict=True))
        part = Part(STEP, heights, np.ones((len(pairs), 1, 1)), -places[:, None])
        return ExpansionTarget((part,), UNIT, "L2")

    @classmethod
    def of(cls, target: ExpansionTarget) -> StepFunction:
        """Return the step function of such an expansion. HypothesisError if it is none."""
        part = target.parts[0]
        steps = len(target.parts) == 1 and part.generator == STEP and part.forms == 1 and target.domain == UNIT
        if not steps or (part.matrices != 1).any() or part.offsets[0, 0] != 0:
            raise HypothesisError("The expansion is no step function on [0, 1]. Build it anew.")
        numbers = zip((-part.offsets[:, 0]).tolist(), part.coefficients.tolist(), strict=True)
        pairs = [(Fraction(t), Fraction(a)) for t, a in numbers]
        return cls(pairs[0][1], tuple(pairs[1:]))
