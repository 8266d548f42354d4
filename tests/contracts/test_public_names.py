"""The public names are those of the decision record, and no module ever replaces a function."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import epsnet

ROOT = Path(__file__).parents[2]
RECORD = (ROOT / "docs/adr/0002-public-names.md").read_text(encoding="utf-8")
TABLE = re.search(r"^\| group \| names \|\n\|[-|]+\n((?:\|.*\n)+)", RECORD, re.MULTILINE)[1]
NAMES = set(re.findall(r"`(\w+)`", TABLE))


def test_public_names_are_those_of_the_record():
    assert set(epsnet.__all__) - {"__version__"} == NAMES
    assert len(epsnet.__all__) == len(set(epsnet.__all__))
    assert set(epsnet.__all__) <= set(dir(epsnet))
    for name in NAMES:
        assert callable(getattr(epsnet, name)), name


def test_unknown_name_is_an_attribute_error():
    assert not hasattr(epsnet, "no_such_name")


def test_no_subpackage_bears_a_public_name():
    modules = {module.name for module in pkgutil.iter_modules(epsnet.__path__)}
    assert not modules & NAMES


def test_verbs_survive_the_import_of_every_submodule():
    """Importing a submodule sets an attribute on its package, which could hide a function of the same name."""
    code = """
import importlib, pkgutil
import numpy as np
import epsnet as en
for module in pkgutil.walk_packages(en.__path__, "epsnet."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
solution = en.learn(en.Target("exp(x)", domain=en.Box(0, 1)), eps=1e-2)
en.check(solution)
en.inspect(solution.network)
value = en.realize(solution.network, np.array([[0.5]]))
assert abs(float(np.squeeze(value)) - np.exp(0.5)) <= 1.01e-2, value
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
