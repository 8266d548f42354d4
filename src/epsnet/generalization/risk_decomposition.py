r"""The risk of a trained network in three parts, as far as they can be measured.

Let R(Phi) = P(Phi errs at (x, y)) be the risk for the 0-1 loss, R_n its mean over the n training points, R* the Bayes
risk, and H the class of the networks that were searched (one architecture). For every network Phi in H

$$ R(\Phi) - R^* = \underbrace{\inf_H R - R^*}_{\text{approximation}}
   + \underbrace{(R - R_n)(\Phi) - \bigl(\inf_H R - \inf_H R_n\bigr)}_{\text{estimation}}
   + \underbrace{R_n(\Phi) - \inf_H R_n}_{\text{optimization}}. $$

The estimation part is at most 2 sup_H |R - R_n|, which is what uniform convergence bounds. No sample tells R* from the
approximation part, so their sum inf_H R is reported, and the parts add up to R(Phi); every upper bound of inf_H R is
one of inf_H R - R*. Known of the three:

* **Optimization** lies in [R_n(Phi) - m, R_n(Phi)], where m = min R_n over all networks of H that were trained on the
  same n points: exact counts and inf_H R_n >= 0. VERIFIED.
* **Approximation**, inf_H R, lies in [0, u], where u is the least Clopper-Pearson bound of R over all networks of H
  that were measured on unused points. STATISTICAL.
* **Estimation.** The gap R(Phi) - R_n(Phi) lies in [l - R_n(Phi), u_Phi - R_n(Phi)] for the two Clopper-Pearson bounds
  l, u_Phi of R(Phi). Now inf_H R_n lies in [0, m], inf_H R in [0, u], and inf_H R_n <= inf_H R + h with
  h = (ln(1/delta)/(2n))^(1/2) and probability at least 1 - delta (Hoeffding's inequality for the one network, chosen
  before the sample, that attains inf_H R, or for a sequence that tends to it). So estimation is at least the gap - u
  and at most the gap + min(m, h); and, because R(Phi) >= inf_H R, it is at least -(R_n(Phi) - inf_H R_n) >=
  -R_n(Phi). STATISTICAL.

For gradient descent on least squares at fixed points the three parts have closed forms: `excess_risk`.

With k networks measured on unused points, k + 2 events have to happen, each with probability at least
1 - delta/(k + 2); the three intervals hold together with confidence 1 - delta.

The **estimates** put the least empirical risk seen on the largest sample, where it is nearest to its limit, for
inf_H R, and m for inf_H R_n. So they add up to the share of errors on the unused points. They are ESTIMATED: with one
network alone the whole gap counts as estimation and R_n(Phi) as approximation.

Sources: L. Bottou, O. Bousquet, The tradeoffs of large scale learning, NIPS 20 (2007), section 2; S. Shalev-Shwartz,
S. Ben-David, Understanding Machine Learning, Cambridge University Press 2014, section 5.2; C. J. Clopper,
E. S. Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from epsnet.certify.bound import Kind
from epsnet.certify.errors import DomainError
from epsnet.certify.rounding import ball, ball_arithmetic, round_down, round_up
from epsnet.statistics.binomial import clopper_pearson


@dataclass(frozen=True, slots=True)
class Count:
    """k errors in n points, n >= 1, no order of summation changing which (`checker.rules.binomial.count_errors`)."""

    errors: int
    points: int

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.points or self.points < 1:
            raise DomainError(f"{self.errors} errors in {self.points} points are no count. Use 0 <= k <= n, n >= 1.")

    @property
    def rate(self) -> Fraction:
        """The share k/n."""
        return Fraction(self.errors, self.points)

    def __str__(self) -> str:
        return f"{self.errors:,} in {self.points:,}"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the risk: an interval with its kind, and an estimate inside or beside it, which is ESTIMATED."""

    name: str
    quantity: str
    low: float
    high: float
    kind: str
    estimate: float

    def __str__(self) -> str:
        return (
            f"{self.name:<13} {self.quantity} in [{100 * self.low:.3f}%, {100 * self.high:.3f}%]   {self.kind}; "
            f"about {100 * self.estimate:.3f}%   ESTIMATED"
        )


@dataclass(frozen=True, slots=True)
class RiskDecomposition:
    """What `decompose_risk` returns.

    Attributes:
        approximation, estimation, optimization: the parts; their estimates add up to that of `risk`.
        gap: R(Phi) - R_n(Phi).
        risk: R(Phi).
        confidence: 1 - delta, of all intervals together.
        assumption: what no machine checked.
        advice: what to change, the most promising first, in sentences with the numbers that say so.
    """

    approximation: Part
    estimation: Part
    optimization: Part
    gap: Part
    risk: Part
    confidence: float
    assumption: str
    advice: tuple[str, ...]

    @property
    def parts(self) -> tuple[Part, Part, Part]:
        """The three parts in the order of the identity."""
        return self.approximation, self.estimation, self.optimization

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "advice": list(self.advice)}

    def __str__(self) -> str:
        lines = [str(part) for part in (self.risk, *self.parts, self.gap)]
        return "\n".join(
            [*lines, f"all of it with confidence {self.confidence:g}; assumed: {self.assumption}", *self.advice]
        )


def decompose_risk(
    training: Count,
    unused: Count,
    *,
    same_sample: Sequence[Count] = (),
    others_unused: Sequence[Count] = (),
    larger_sample: Count | None = None,
    delta: Fraction = Fraction(1, 100),
) -> RiskDecomposition:
    """Divide the risk of a trained classifier into approximation, estimation and optimization.

    Args:
        training: errors of the network on the n points it was trained on.
        unused: its errors on points that were not used in training.
        same_sample: errors, on the same n points, of other networks of the class that were trained on them.
        others_unused: errors of other networks of the class on points unused in their training.
        larger_sample: the fewest errors of a network of the class on a larger sample that it was trained on.
        delta: 1 - confidence of all intervals together.

    Raises:
        DomainError: counts on the same sample have another number of points, the larger sample is not larger, or delta
            is not between 0 and 1.

    Example:
        >>> found = decompose_risk(Count(40, 2000), Count(500, 10000), same_sample=[Count(30, 2000)])
        >>> [round(part.estimate, 4) for part in found.parts]
        [0.015, 0.03, 0.005]
    """
    n = training.points
    if any(count.points != n for count in same_sample):
        raise DomainError(
            f"Errors on the same sample are counted on {n} points. Give counts with this number of points."
        )
    if larger_sample is not None and larger_sample.points < n:
        raise DomainError(f"The larger sample has {larger_sample.points} points, the own one {n}. Leave it out.")
    if not 0 < delta < 1:
        raise DomainError(f"delta = {delta} is not between 0 and 1. Use something like 1/100.")
    share = Fraction(delta) / (len(others_unused) + 3)
    above = Fraction(clopper_pearson(unused.errors, unused.points, share))
    below = 1 - Fraction(clopper_pearson(unused.points - unused.errors, unused.points, share))
    least_risk = min([above, *(Fraction(clopper_pearson(c.errors, c.points, share)) for c in others_unused)])
    with ball_arithmetic():
        hoeffding = Fraction(round_up((-ball(share).log() / (2 * n)).sqrt()))

    empirical = training.rate
    least_empirical = min([empirical, *(count.rate for count in same_sample)])
    floor = least_empirical if larger_sample is None else larger_sample.rate
    risk = unused.rate
    statistical, verified = Kind.STATISTICAL.value, Kind.VERIFIED.value

    def part(name: str, quantity: str, low: Fraction, high: Fraction, kind: str, estimate: Fraction) -> Part:
        return Part(name, quantity, round_down(low), round_up(high), kind, float(estimate))

    gap = part("gap", "R(Phi) - R_n(Phi)", below - empirical, above - empirical, statistical, risk - empirical)
    approximation = part("approximation", "inf R over the class", Fraction(0), least_risk, statistical, floor)
    estimation = part(
        "estimation", "(R - R_n)(Phi) - (inf R - inf R_n)",
        max(below - empirical - least_risk, -empirical), above - empirical + min(least_empirical, hoeffding),
        statistical, risk - floor - (empirical - least_empirical),
    )  # fmt: skip
    optimization = part(
        "optimization", "R_n(Phi) - inf R_n", empirical - least_empirical, empirical, verified,
        empirical - least_empirical,
    )  # fmt: skip
    advice = _advice(training, unused, approximation, estimation, optimization, restarts=len(same_sample))
    return RiskDecomposition(
        approximation, estimation, optimization, gap,
        part("risk", "R(Phi)", below, above, statistical, risk), float(1 - delta),
        "the unused points are independent, from the distribution of the risk, and the training points are as well",
        advice,
    )  # fmt: skip


def _advice(
    training: Count, unused: Count, approximation: Part, estimation: Part, optimization: Part, restarts: int
) -> tuple[str, ...]:
    """Say which part is the largest and what makes it smaller; then what else is known to matter."""
    if unused.errors == 0:
        return (f"No error in {unused.points:,} unused points: there is nothing left that these points could show.",)
    total = float(unused.rate)
    risk = f"the {_percent(total)} risk"
    sentences = {
        approximation.name: f"about {_percent(approximation.estimate)}, of {risk}, is left by the best network of this "
        f"class that was seen ({training} training points are wrong): take more width or depth.",
        estimation.name: f"about {_percent(estimation.estimate)}, of {risk}, is the price of the sample "
        f"({training} training points are wrong, but {unused} unused ones): take more data, or a smaller class.",
        optimization.name: f"another start reached a training error that is {_percent(optimization.low)} lower "
        f"(VERIFIED), of {risk}: take more epochs, another step size, or more starts.",
    }
    shares = sorted((approximation, estimation, optimization), key=lambda p: -p.estimate)
    lines = [f"{p.name.capitalize()}: {sentences[p.name]}" for p in shares if p.estimate > total / 10]
    if not restarts and training.errors:
        lines.append(
            f"One training run cannot tell approximation from optimization; together they are at most "
            f"{_percent(optimization.high)} of the training points: train once more from another seed to tell."
        )
    return tuple(lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"
