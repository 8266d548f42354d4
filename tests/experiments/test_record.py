"""Records: one line, hash over the content, the run outside of it."""

import hashlib
import json

import pytest

from epsnet import CheckError, DomainError
from epsnet.experiments import environment, make_record, read_record, write_record

CONTENT = {"study": "a", "claim": "1 = 1", "inputs": {"x": [1, 2]}, "result": {"y": 0.1}}


def test_hash_is_over_the_content_alone(tmp_path):
    first = make_record(CONTENT, {"seconds": 1})
    second = make_record(dict(reversed(CONTENT.items())), {"seconds": 2, **environment()})
    write_record(tmp_path / "1.jsonl", first)
    text = json.dumps(CONTENT, sort_keys=True, separators=(",", ":"))
    assert first["sha256"] == second["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert first["run"] == {"seconds": 1}
    assert read_record(tmp_path / "1.jsonl") == first
    assert (tmp_path / "1.jsonl").read_bytes().count(b"\n") == 1


def test_environment_names_what_computed():
    found = environment()
    assert {"epsnet", "numpy", "python-flint"} <= set(found["versions"])
    assert found["host"] is not None and found["python"].startswith("3.")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b"0.1", b"0.2"),
        lambda text: text[:-20],
        lambda text: b"",
        lambda text: b"[]",
        lambda text: b"\xff\n",
        lambda text: b"{}",
        lambda text: b"[" * 100_000,
    ],
    ids=["changed", "torn", "empty", "list", "binary", "object", "deep"],
)
def test_damaged_records_are_refused(damage, tmp_path):
    path = tmp_path / "record.jsonl"
    write_record(path, make_record(CONTENT, {}))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckError, match=r"Run the study again\.$"):
        read_record(path)


def test_missing_and_unwritable(tmp_path):
    with pytest.raises(DomainError, match="cannot be read"):
        read_record(tmp_path / "none")
    with pytest.raises(DomainError, match="cannot be written"):
        write_record(tmp_path / "none" / "record.jsonl", make_record(CONTENT, {}))
