"""What a study is: a claim with its source, cases to measure, and a rule that turns measurements into a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from epsnet.experiments import Estimate, Finished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Answer = Literal["holds", "contradicts", "undecided"]


def judge(measured: Estimate, predicted: float, margin: float, sense: Literal["==", "<="] = "==") -> Answer:
    """Compare a confidence interval [l, h] with a prediction p, which has a margin m stated before measuring.

    For "==" the answer is "holds" if [l, h] lies inside [p - m, p + m], "contradicts" if the two are disjoint. For "<="
    it is "holds" if h <= p + m, "contradicts" if l > p + m. Everything else is "undecided". (A test of equivalence:
    more data can always decide it, and a tiny deviation that is certain does not contradict.)

    Source: D. J. Schuirmann, J. Pharmacokinetics Biopharmaceutics 15 (1987) 657-680.
    """
    below, above = predicted - margin, predicted + margin
    if measured.low > above or (sense == "==" and measured.high < below):
        return "contradicts"
    if measured.high <= above and (sense == "<=" or measured.low >= below):
        return "holds"
    return "undecided"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured number beside the predicted one.

    Attributes:
        subject: what was measured, e.g. a function or a width.
        quantity: which number of it, e.g. "exponent".
        measured: the number with the ends of its interval.
        sense: the predicted relation of measured and predicted, "==" or "<=".
        predicted: what the theorem says.
        margin: what the rule of the study allows, in the same unit.
        kind: the kind of the measured number.
        answer: what this comparison says of the claim.
    """

    subject: str
    quantity: str
    measured: Estimate
    sense: Literal["==", "<="]
    predicted: float
    margin: float
    kind: str
    answer: Answer

    def __str__(self) -> str:
        m = self.measured
        number = f"{m.value:.4g} in [{m.low:.4g}, {m.high:.4g}]"
        predicted = "predicted " + "<= " * (self.sense == "<=") + f"{self.predicted:.4g}"
        predicted += f" ± {self.margin:.2g}" * (self.margin > 0)
        return f"{self.subject:<15} {self.quantity:<11} {number:<32} {predicted:<26} {self.answer}   {self.kind}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the claim holds, with the reason in one sentence."""

    answer: Answer
    reason: str

    def __str__(self) -> str:
        return f"{self.answer}: {self.reason}"


def unless_all_hold(comparisons: Sequence[Comparison]) -> Verdict | None:
    """Return the verdict of comparisons of which some do not hold: contradicted ones first. None if all hold."""
    answers: tuple[tuple[Answer, str], ...] = (("contradicts", "misses what is predicted"), ("undecided", "is open"))
    for answer, why in answers:
        found = [f"{c.subject} ({c.quantity})" for c in comparisons if c.answer == answer]
        if found:
            return Verdict(answer, f"{', '.join(found)} {why}.")
    return None


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the measurements say: numbers beside predictions, the verdict, sentences, and details for the record."""

    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    remarks: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Study:
    """One theorem measured.

    Attributes:
        name: what `epsnet study run` takes.
        claim: the theorem in one sentence with its formula.
        source: where it is stated.
        rule: how the verdict follows from the measurements; written before measuring.
        budget: the seconds it takes by default on two cores, about.
        cases: (budget, seed) -> the cases that suit the budget, cheap ones first; a larger budget adds some.
        measure: a case -> what was measured; a function of a module, so that other processes can import it.
        analyze: the finished cases -> the analysis.
        draw: the finished cases and their analysis -> the figure.
    """

    name: str
    claim: str
    source: str
    rule: str
    budget: float
    cases: Callable[[float, int], list[dict[str, Any]]]
    measure: Callable[[dict[str, Any]], dict[str, Any]]
    analyze: Callable[[Sequence[Finished]], Analysis]
    draw: Callable[[Sequence[Finished], Analysis], Figure]
