"""Two ways to run the command line: in this process, which is fast, and in its own, which is the real thing."""

import subprocess
import sys
from typing import NamedTuple

import pytest


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def epsnet(capsys):
    """Run `epsnet ARGUMENTS` in this process."""
    from epsnet.cli.app import app

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app(args=list(arguments), prog_name="epsnet")
        return Done(stop.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def shell(tmp_path):
    """Run `epsnet ARGUMENTS` in a process of its own, in an empty folder; `before` is Python code to run first."""

    def run(*arguments, before=""):
        program = f"{before}\nfrom epsnet.cli import main\nmain()"
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run
