"""`import epsnet` is cheap, changes nothing, and what is installed is what stands in the source tree."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import epsnet

ROOT = Path(__file__).parents[2]
HEAVY = ("jax", "optax", "scipy.optimize", "matplotlib", "sklearn", "onnx", "typer")


def fresh(code, *options):
    """Run `code` in a new interpreter; its last line of stderr is the JSON answer."""
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


def loaded_after(code):
    tail = "\nimport sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    return set(fresh(code + tail))


def test_import_loads_nothing_heavy():
    assert not loaded_after("import epsnet").intersection(HEAVY)


def test_every_public_name_but_training_comes_without_jax():
    loaded = loaded_after("import epsnet\nfor name in epsnet.__all__: getattr(epsnet, name)")
    assert not loaded.intersection(HEAVY)


def test_a_formula_is_learned_and_checked_without_jax():
    code = "import epsnet as en; en.check(en.learn(en.Target('exp(x)', domain=en.Box(0, 1)), eps=1e-2))"
    assert not loaded_after(code).intersection({"jax", "matplotlib", "sklearn", "onnx"})


def test_help_loads_no_jax():
    code = """
import sys
sys.argv = ["epsnet", "--help"]
from epsnet.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert not loaded_after(code).intersection({"jax", "matplotlib", "sklearn", "onnx"})


def test_import_changes_no_global_state():
    code = """
import json, os, random, sys, warnings
import numpy as np
def state():
    return [dict(os.environ), list(map(repr, warnings.filters)), np.geterr(), repr(np.random.get_state()),
            repr(random.getstate()), sys.getrecursionlimit(), np.get_printoptions()["precision"]]
before = state()
import epsnet
for name in epsnet.__all__:
    getattr(epsnet, name)
after = state()
print(json.dumps([a == b for a, b in zip(before, after)]), file=sys.stderr)
"""
    assert all(fresh(code))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_installed_package_is_the_source_tree():
    """A wheel that lacks package data, or an installation older than the sources, would make every other test a lie."""
    source, installed = ROOT / "src/epsnet", Path(epsnet.__file__).parent
    if source.samefile(installed):
        pytest.skip("installed editable: they are the same files")
    assert contents(installed) == contents(source), "stale installation: run pip install again"


@pytest.mark.parametrize("name", ["data/mnist.npz", "data/mnist.LICENSE", "certify/theorems.toml", "py.typed"])
def test_package_data_is_there(name):
    assert (Path(epsnet.__file__).parent / name).stat().st_size >= (0 if name == "py.typed" else 100)
