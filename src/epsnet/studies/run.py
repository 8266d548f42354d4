"""The verb `study`: measure a theorem and say whether it holds, at what rate and with what constant."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epsnet.certify.errors import DomainError, MissingExtraError
from epsnet.core.serial import make_folder
from epsnet.experiments import CaseStore, environment, make_record, sweep, write_record
from epsnet.studies.registry import find
from epsnet.studies.study import Comparison, Verdict

CASES_FILE, RECORD_FILE, FIGURE_FILE = "cases.jsonl", "record.jsonl", "figure.svg"


@dataclass(frozen=True, slots=True)
class StudyResult:
    """A study that was run.

    Attributes:
        name: of the study.
        claim: of the study.
        source: of the study.
        rule: of the study.
        table: the measured numbers beside the predicted ones.
        verdict: holds, contradicts or undecided, and why.
        remarks: what else the measurements say, in sentences.
        done, planned: how many cases were finished, of how many that suit the budget.
        record: what record.jsonl holds: all of this with the measurements, its sha256, and where it was run.
        folder: where cases, record and figure are, if they were kept.
    """

    name: str
    claim: str
    source: str
    rule: str
    table: tuple[Comparison, ...]
    verdict: Verdict
    remarks: tuple[str, ...]
    done: int
    planned: int
    record: dict[str, Any]
    folder: Path | None

    def __str__(self) -> str:
        lines = [
            f"study     {self.name}",
            f"claim     {self.claim}",
            f"source    {self.source}",
            f"rule      {self.rule}",
        ]
        lines += [f"measured  {comparison}" for comparison in self.table]
        lines += [f"remark    {remark}" for remark in self.remarks]
        return "\n".join([*lines, f"cases     {self.done} of {self.planned}", f"verdict   {self.verdict}"])


def study(
    name: str,
    *,
    budget: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StudyResult:
    """Run a study: measure its cases, compare with the prediction, and judge by the rule it states.

    The budget decides how far the study goes: the same budget plans the same cases on every machine, and no case is
    started after so many seconds. With `out`, each finished case is kept there at once; another run with the same
    folder measures only what is missing, and the record does not tell how often the study was interrupted.

    Args:
        name: one of `epsnet.studies.registry.NAMES`.
        budget: seconds, > 0; by default what the study states.
        seed: fixes everything random.
        out: the folder for cases.jsonl, record.jsonl and figure.svg (which needs matplotlib); None keeps nothing.
        jobs: how many cases run at once, -1 for all cores; None leaves it to joblib.parallel_config.
        progress: called with the number of finished cases and of all.

    Raises:
        DomainError: the name is unknown, the budget is not positive, or the folder cannot be used.
        MissingExtraError: the study needs an extra that is not installed.

    Example:
        >>> print(study("piece-count").verdict)  # doctest: +SKIP
    """
    start = time.perf_counter()
    this = find(name)
    seconds = this.budget if budget is None else budget
    if not (math.isfinite(seconds) and seconds > 0):
        raise DomainError(f"The budget {budget} is no positive number of seconds. Give something like 60.")
    if seed < 0 or jobs == 0:
        raise DomainError(f"The seed {seed} is negative or jobs is 0. Give a nonnegative seed, and jobs >= 1 or -1.")
    cases = this.cases(seconds, seed)
    folder = None if out is None else Path(out)
    store = None
    if folder is not None:
        make_folder(folder)
        store = CaseStore(folder / CASES_FILE, name)
    finished = sweep(this.measure, cases, store=store, jobs=jobs, seconds=seconds, progress=progress)
    analysis = this.analyze(finished)
    content = {
        "study": name,
        "claim": this.claim,
        "source": this.source,
        "rule": this.rule,
        "inputs": {"seed": seed, "cases": [case.inputs for case in finished]},
        "result": {"measurements": [case.result for case in finished], **analysis.to_json()},
    }
    measuring = round(sum(case.seconds for case in finished), 3)
    run = {
        "planned": len(cases), "seconds": round(time.perf_counter() - start, 3), "seconds_of_cases": measuring,
        **environment(),
    }  # fmt: skip
    record = make_record(content, run)
    if folder is not None:
        write_record(folder / RECORD_FILE, record)
        (folder / FIGURE_FILE).unlink(missing_ok=True)
        with contextlib.suppress(MissingExtraError):
            if finished:
                this.draw(finished, analysis).savefig(folder / FIGURE_FILE, metadata={"Date": None})
    return StudyResult(
        name, this.claim, this.source, this.rule, analysis.comparisons, analysis.verdict, analysis.remarks,
        len(finished), len(cases), record, folder,
    )  # fmt: skip
