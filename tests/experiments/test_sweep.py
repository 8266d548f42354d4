"""Sweeps: the same in every way of running them, nothing finished is lost, nothing is measured twice."""

import json
import operator
import subprocess
import sys

import joblib
import pytest

from epsnet import DomainError
from epsnet.experiments import CaseStore, seeds, sweep
from epsnet.studies import piece_count

CASES = piece_count.cases(1.0, 0)[:8]


def lines(path):
    """The content of the lines of a store, whatever the order and the seconds."""
    kept = [json.loads(line) for line in path.read_bytes().splitlines()]
    return sorted(json.dumps({key: line[key] for key in line if key != "seconds"}) for line in kept)


def content(finished):
    return [(case.inputs, case.result) for case in finished]


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    path = tmp_path_factory.mktemp("serial") / "cases.jsonl"
    return content(sweep(piece_count.measure, CASES, store=CaseStore(path, "a"))), lines(path)


def run(tmp_path, **options):
    path = tmp_path / "cases.jsonl"
    found = sweep(piece_count.measure, CASES, store=CaseStore(path, "a"), **options)
    return content(found), lines(path)


def test_loky(serial, tmp_path):
    assert run(tmp_path, jobs=2) == serial


def test_threads(serial, tmp_path):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert run(tmp_path) == serial


def test_backend_that_returns_lists_only(serial, tmp_path):
    """Multiprocessing, as the backend of Ray; in a process of its own, because it forks."""
    path = tmp_path / "cases.jsonl"
    code = f"""
import joblib
from epsnet.experiments import CaseStore, sweep
from epsnet.studies import piece_count
with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
    sweep(piece_count.measure, {CASES!r}, store=CaseStore({str(path)!r}, "a"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert lines(path) == serial[1]


def test_dask(serial, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        assert run(tmp_path) == serial


def test_no_backend_is_named():
    import ast
    import inspect

    from epsnet.experiments import sweep as function

    tree = ast.parse(inspect.getsource(sys.modules[function.__module__]))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in ("backend", "prefer")]


class Counted:
    """A function that remembers its calls, and fails or is interrupted at some of them."""

    def __init__(self, **raises):
        self.calls = []
        self.raises = raises

    def __call__(self, case):
        self.calls.append(case["x"])
        if case["x"] in self.raises.get("at", ()):
            raise self.raises["error"]
        return {"square": case["x"] ** 2, "pair": (1, 2)}


ALL = [{"x": x} for x in range(6)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_and_resumed(error, tmp_path):
    store = CaseStore(tmp_path / "cases.jsonl", "a")
    first = Counted(at=[4], error=error)
    with pytest.raises(error):
        sweep(first, ALL, store=store)
    second = Counted()
    seen = []
    found = sweep(second, ALL, store=store, progress=lambda done, planned: seen.append((done, planned)))
    assert first.calls == [0, 1, 2, 3, 4] and second.calls == [4, 5]
    assert seen == [(4, 6), (5, 6), (6, 6)]
    assert content(found) == content(sweep(Counted(), ALL))
    assert found[0].result == {"square": 0, "pair": [1, 2]}  # the same whether read or computed
    third = Counted()
    assert sweep(third, ALL, store=store) == found and not third.calls


@pytest.mark.parametrize("cut", [1, 2, 30, 100])
def test_torn_last_line(cut, tmp_path):
    path = tmp_path / "cases.jsonl"
    whole = sweep(Counted(), ALL, store=CaseStore(path, "a"))
    path.write_bytes(path.read_bytes()[:-cut])
    again = Counted()
    found = sweep(again, ALL, store=CaseStore(path, "a"))
    assert content(found) == content(whole)
    # Without its line feed alone a line is whole.
    assert again.calls == ([] if cut == 1 else [5])
    last = Counted()
    sweep(last, ALL, store=CaseStore(path, "a"))
    assert not last.calls


def test_changed_lines_and_other_studies_do_not_count(tmp_path):
    path = tmp_path / "cases.jsonl"
    sweep(Counted(), ALL, store=CaseStore(path, "a"))
    other = Counted()
    sweep(other, ALL, store=CaseStore(path, "b"))
    assert other.calls == list(range(6))
    path.write_bytes(path.read_bytes().replace(b'"square":25', b'"square":26') + b"[]\n1\n\xff\n{}\n" + b"[" * 10**5)
    changed = Counted()
    found = sweep(changed, [*ALL, {"x": 7}], store=CaseStore(path, "a"))
    assert changed.calls == [5, 7]
    assert [case.result["square"] for case in found] == [0, 1, 4, 9, 16, 25, 49]


def test_order_of_the_result_is_that_of_the_cases(tmp_path):
    store = CaseStore(tmp_path / "cases.jsonl", "a")
    sweep(Counted(), ALL[3:], store=store)
    assert [case.inputs["x"] for case in sweep(Counted(), ALL, store=store)] == list(range(6))


def test_no_time_starts_nothing_but_reads_what_is_there(tmp_path):
    store = CaseStore(tmp_path / "cases.jsonl", "a")
    sweep(Counted(), ALL[:2], store=store)
    function = Counted()
    assert len(sweep(function, ALL, store=store, seconds=0.0)) == 2
    assert not function.calls


def test_equal_cases_are_refused():
    with pytest.raises(DomainError, match="Give each case once"):
        sweep(Counted(), [{"x": 1}, {"x": 1}])


def test_unusable_store(tmp_path):
    (tmp_path / "cases.jsonl").mkdir()
    with pytest.raises(DomainError, match=r"cannot be read.*Choose another folder\.$"):
        sweep(Counted(), ALL, store=CaseStore(tmp_path / "cases.jsonl", "a"))
    with pytest.raises(DomainError, match="cannot be written"):
        sweep(Counted(), ALL, store=CaseStore(tmp_path / "none" / "cases.jsonl", "a"))


def test_results_that_json_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        sweep(lambda case: {"y": float("nan")}, ALL)


def test_importing_loads_no_joblib():
    code = "import sys, epsnet.experiments; sys.exit('joblib' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_seeds():
    assert seeds(0, 5)[:3] == seeds(0, 3)
    many = [value for seed in range(50) for value in seeds(seed, 20)]
    assert len(set(many)) == 1000 and all(0 <= value < 2**32 for value in many)
    # The algorithm of SeedSequence is fixed by NumPy's compatibility policy.
    assert seeds(0, 2) == (2968811710, 3677149159)
    for wrong in ((-1, 2), (1, -1)):
        with pytest.raises(DomainError, match="nonnegative"):
            seeds(*wrong)


def test_operator_functions_work_in_other_processes():
    """Anything importable will do as a function."""
    found = sweep(operator.itemgetter("inner"), [{"inner": {"a": 1}}, {"inner": {"a": 2}}], jobs=2)
    assert [case.result for case in found] == [{"a": 1}, {"a": 2}]
