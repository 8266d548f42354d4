"""The verb `study`, the rule of equivalence, and what every study has to say about itself."""

import json
import math
import re

import pytest

from epsnet import DomainError
from epsnet.experiments import Estimate, read_record
from epsnet.studies.registry import NAMES, find
from epsnet.studies.run import study
from epsnet.studies.study import Comparison, judge


@pytest.mark.parametrize(
    ("low", "high", "equal", "at_most"),
    [
        (-0.51, -0.49, "holds", "holds"),
        (-0.52, -0.48, "holds", "holds"),
        (-0.53, -0.49, "undecided", "holds"),
        (-0.6, -0.55, "contradicts", "holds"),
        (-0.49, -0.47, "undecided", "undecided"),
        (-0.47, -0.40, "contradicts", "contradicts"),
        (-9.0, 9.0, "undecided", "undecided"),
        (math.nan, math.nan, "undecided", "undecided"),
    ],
)
def test_judge(low, high, equal, at_most):
    measured = Estimate((low + high) / 2, low, high)
    assert judge(measured, -0.5, 0.02) == equal
    assert judge(measured, -0.5, 0.02, "<=") == at_most


def test_comparison_reads_as_a_line():
    line = str(Comparison("exp(x)", "exponent", Estimate(-0.5, -0.51, -0.49), "==", -0.5, 0.02, "ESTIMATED", "holds"))
    assert re.search(r"exp\(x\) +exponent +-0.5 in \[-0.51, -0.49\] +predicted -0.5 ± 0.02 +holds +ESTIMATED", line)
    line = str(Comparison("w", "gap", Estimate(1.0, 0.9, 1.1), "<=", 3.0, 0.0, "STATISTICAL", "holds"))
    assert "predicted <= 3 " in line


@pytest.mark.parametrize("name", NAMES)
def test_statements(name):
    this = find(name)
    assert this.name == name and this.claim.endswith(".") and this.rule.endswith(".")
    assert re.search(r"\b(19|20)\d\d\b", this.source)
    small, large = this.cases(this.budget, 0), this.cases(3 * this.budget, 0)
    assert large[: len(small)] == small and len(large) > len(small) > 0
    assert small == this.cases(this.budget, 0)


def complete(budget, out):
    """Run the study of pieces until it is done: a busy machine may need its budget several times."""
    while (result := study("piece-count", budget=budget, out=out)).done < result.planned:
        pass
    return result


def test_run_in_memory_and_in_a_folder(tmp_path):
    seen = []
    result = study("piece-count", budget=1.0, progress=lambda *counts: seen.append(counts))
    assert seen == [(done, result.planned) for done in range(result.done + 1)]
    kept = complete(1.0, tmp_path)
    assert read_record(tmp_path / "record.jsonl") == kept.record
    inputs, measurements = kept.record["inputs"]["cases"], kept.record["result"]["measurements"]
    assert result.folder is None and len(inputs) == len(measurements) == kept.planned
    assert result.record["inputs"]["cases"] == inputs[: result.done]
    assert result.record["result"]["measurements"] == measurements[: result.done]
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    assert (tmp_path / "cases.jsonl").read_bytes().count(b"\n") == kept.done
    assert str(kept).endswith(f"verdict   {kept.verdict}")
    again = study("piece-count", budget=1.0, out=tmp_path)
    assert again.record["sha256"] == kept.record["sha256"]
    assert set(kept.record) == {"study", "claim", "source", "rule", "inputs", "result", "sha256", "run"}
    assert {"seconds", "host", "versions"} <= set(kept.record["run"])


def test_larger_budget_reuses_the_smaller_one(tmp_path):
    first = complete(0.4, tmp_path)
    seen = []
    study("piece-count", budget=1.0, out=tmp_path, progress=lambda *counts: seen.append(counts))
    assert seen[0][0] == first.done


def test_budget_used_up(tmp_path):
    """However little time there is, what was measured is judged, and the rest follows later."""
    result = study("piece-count", budget=1e-9, out=tmp_path)
    assert result.done == result.planned == 0
    assert result.verdict.answer == "undecided" and not result.table
    assert not (tmp_path / "figure.svg").exists()


@pytest.mark.parametrize(
    "options",
    [{"budget": 0}, {"budget": -1}, {"budget": math.nan}, {"budget": math.inf}, {"seed": -1}, {"jobs": 0}],
    ids=["zero", "negative", "nan", "infinite", "seed", "jobs"],
)
def test_bad_options(options, tmp_path):
    with pytest.raises(DomainError, match=r"(Give|give) .*\.$"):
        study("piece-count", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_unknown_study():
    with pytest.raises(DomainError, match="Use one of piece-count"):
        study("piece_count")


def test_without_matplotlib_there_is_no_figure(tmp_path, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = study("piece-count", budget=0.4, out=tmp_path)
    assert result.done and not (tmp_path / "figure.svg").exists()
    assert json.loads((tmp_path / "record.jsonl").read_text())["sha256"] == result.record["sha256"]
