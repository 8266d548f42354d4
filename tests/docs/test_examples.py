"""The programs of the gallery run without a warning and assert what they claim."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(path.name for path in (ROOT / "examples").glob("plot_*.py"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs(name, tmp_path):
    path = ROOT / "examples" / name
    done = subprocess.run(
        [sys.executable, "-W", "error", path], cwd=tmp_path, env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8").splitlines()[-1].startswith("assert ")
    assert not list(tmp_path.iterdir())


def test_every_package_has_a_page():
    listed = re.findall(
        r"^   epsnet\.(\w+)$", (ROOT / "docs/api/packages.rst").read_text(encoding="utf-8"), re.MULTILINE
    )
    packages = {path.parent.name for path in (ROOT / "src/epsnet").glob("*/__init__.py")}
    assert set(listed) == packages
    assert len(listed) == len(packages)
