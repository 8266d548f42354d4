"""The maps theorem -> code -> test and statement -> code -> test say nothing that is not there."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/epsnet"
REGISTRY = tomllib.loads((SOURCE / "certify/theorems.toml").read_text(encoding="utf-8"))
THEOREMS = yaml.safe_load((ROOT / "docs/theorems.yaml").read_text(encoding="utf-8"))["theorems"]
SYLLABUS = yaml.safe_load((ROOT / "docs/syllabus.yaml").read_text(encoding="utf-8"))
STATEMENTS = SYLLABUS["statements"]
DONE = [entry for entry in STATEMENTS if entry["status"] == "done"]


def resolve(symbol):
    """Import the longest prefix that is a module, then follow attributes."""
    parts = symbol.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not symbol.startswith(str(error.name)):
                raise
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise AssertionError(f"{symbol} does not resolve")


def assert_exists(reference):
    """`path` or `path::name`."""
    path, _, name = reference.partition("::")
    assert (ROOT / path).is_file(), f"{path} does not exist"
    if name:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^\s*(def|class) {re.escape(name)}\b", text, re.MULTILINE), f"{reference} does not exist"


def test_registry_and_map_have_the_same_keys():
    assert list(REGISTRY) == list(THEOREMS)


@pytest.mark.parametrize("key", REGISTRY)
def test_theorem_is_complete(key):
    entry = REGISTRY[key]
    assert set(entry) == {"statement", "hypotheses", "source", "bibtex"}
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)
    assert entry["statement"].endswith(".") and "\n" not in entry["statement"]
    assert entry["statement"].count("$") % 2 == 0
    assert entry["hypotheses"] and all(entry["hypotheses"])
    assert re.search(r"\b(1[5-9]|20)\d\d\b", entry["source"]), "the source has no year"
    entries = re.split(r"\n\n", entry["bibtex"].strip())
    for text in entries:
        assert re.match(r"@\w+\{\w+,\n", text) and text.endswith("\n}")
        assert text.count("{") == text.count("}")
        assert all(re.search(rf"^  {field} = ", text, re.MULTILINE) for field in ("author", "title", "year"))


def test_bibtex_keys_name_one_work_each():
    works = [work for entry in REGISTRY.values() for work in re.split(r"\n\n", entry["bibtex"].strip())]
    by_key = {}
    for work in works:
        assert by_key.setdefault(re.match(r"@\w+\{(\w+),", work)[1], work) == work


def test_code_names_registered_theorems_only():
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "theorem" and isinstance(node.value, ast.Constant):
                assert node.value.value in REGISTRY, f"{path}:{node.value.lineno} names {node.value.value!r}"


@pytest.mark.parametrize("key", THEOREMS)
def test_theorem_has_code_and_test(key):
    entry = THEOREMS[key]
    assert set(entry) == {"symbols", "tests", "example"}
    assert entry["symbols"] and entry["tests"]
    for symbol in entry["symbols"]:
        resolve(symbol)
    for reference in entry["tests"] + [entry["example"]] * bool(entry["example"]):
        assert_exists(reference)


def test_syllabus_is_well_formed():
    ids = [entry["id"] for entry in STATEMENTS]
    assert len(ids) == len(set(ids))
    for entry in STATEMENTS:
        assert list(entry) == ["id", "source", "kind", "statement", "symbols", "tests", "example", "status", "issue"]
        assert set(entry["source"]) == {"document", "section"}
        assert entry["source"]["document"] in SYLLABUS["documents"]
        assert entry["id"].startswith(entry["source"]["document"] + "-")
        assert entry["status"] in ("done", "planned")
        assert entry["issue"] is None or isinstance(entry["issue"], int)
        assert entry["statement"].strip().endswith((".", "?"))
        if entry["status"] == "done":
            assert entry["symbols"] and entry["tests"] and entry["issue"], entry["id"]
        else:
            assert not entry["symbols"] and not entry["tests"] and not entry["example"], entry["id"]


@pytest.mark.parametrize("entry", DONE, ids=[entry["id"] for entry in DONE])
def test_statement_has_code_and_test(entry):
    for symbol in entry["symbols"]:
        resolve(symbol)
    for reference in entry["tests"] + [entry["example"]] * bool(entry["example"]):
        assert_exists(reference)
