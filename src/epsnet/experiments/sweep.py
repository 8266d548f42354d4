"""A sweep: one function on many cases, in whatever way joblib is told to run it, never losing a finished case.

No backend is named: by default the cases run one after the other, with `jobs` in processes of this machine, and in

    with joblib.parallel_config(backend="dask"): ...

(or "ray", ...) on the cluster of the user. Inputs and results are the same everywhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

from epsnet.certify.errors import DomainError
from epsnet.certify.hashing import canonical_json
from epsnet.experiments.store import CaseStore, JsonObject

_Measured = tuple[int, JsonObject, float]


class Finished(NamedTuple):
    """A case with its result; `seconds` is the time of the measurement, in this run or an earlier one."""

    inputs: JsonObject
    result: JsonObject
    seconds: float


def sweep(
    function: Callable[[JsonObject], JsonObject],
    cases: Sequence[JsonObject],
    *,
    store: CaseStore | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finished]:
    """Return the finished cases in the order of `cases`, each as the function measured it.

    A case that the store has is not measured again; a new one is stored at once. Results are JSON values, so that they
    do not depend on whether they were computed or read.

    Args:
        function: takes a case and returns its result, both JSON objects; it must depend on the case alone, and be
            importable where the cases run.
        cases: the cases, cheap ones first; no two of them equal.
        store: where finished cases are kept.
        jobs: how many cases run at once; None leaves it to joblib.parallel_config (one without it), -1 takes all cores.
        seconds: no case is started after so many seconds, so the result may lack some; None waits for all.
        progress: called with the number of finished cases and of all, first before any is measured.

    Raises:
        DomainError: two cases are equal, or the store cannot be used.
        KeyboardInterrupt: as it came; what was finished is in the store.

    Example:
        >>> [case.result for case in sweep(lambda case: {"square": case["x"] ** 2}, [{"x": 2}, {"x": 3}])]
        [{'square': 4}, {'square': 9}]
    """
    from joblib import delayed

    start = time.monotonic()
    cases = [_plain(case) for case in cases]
    if len({canonical_json(case) for case in cases}) < len(cases):
        raise DomainError("Two cases of the sweep are equal. Give each case once.")
    known = store.load() if store is not None else {}
    found: dict[int, Finished] = {}
    for index, case in enumerate(cases):
        if store is not None and (key := store.key(case)) in known:
            found[index] = Finished(case, *known[key])

    def tasks() -> Iterator[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]:
        for index, case in enumerate(cases):
            if index in found:
                continue
            if seconds is not None and time.monotonic() - start >= seconds:
                return
            yield delayed(_timed)(function, index, case)

    if progress is not None:
        progress(len(found), len(cases))
    if len(found) < len(cases):
        for index, result, took in _run(tasks(), jobs):
            finished = Finished(cases[index], _plain(result), round(took, 3))
            if store is not None:
                store.append(*finished)
            found[index] = finished
            if progress is not None:
                progress(len(found), len(cases))
    return [found[index] for index in sorted(found)]


def _run(tasks: Iterator[Any], jobs: int | None) -> Iterator[_Measured]:
    """Yield results as they come, with no more tasks started than can run."""
    from joblib import Parallel, effective_n_jobs

    try:
        # A batch of one, so that each case is kept as soon as it is finished.
        options: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "n_jobs"}
        parallel = Parallel(n_jobs=jobs, **options)
    except ValueError:
        # The backend of multiprocessing, and that of Ray which is built on it, returns lists only: one round after the
        # other then.
        while some := list(islice(tasks, effective_n_jobs(jobs or 1))):
            yield from cast("list[_Measured]", Parallel(n_jobs=jobs)(some))
        return
    yield from cast("Iterator[_Measured]", parallel(tasks))


def _timed(function: Callable[[JsonObject], JsonObject], index: int, case: JsonObject) -> _Measured:
    start = time.perf_counter()
    return index, function(case), time.perf_counter() - start


def _plain(value: JsonObject) -> JsonObject:
    """Return a value as it would be read from a file."""
    return json.loads(canonical_json(value))
