"""Help and completion: quick, because they load nothing, and right, because they name what the library knows."""

import json
import os
import re
import subprocess
import sys

import pytest

from epsnet.learning.learn import METHODS

HEAVY = ("jax", "optax", "numpy", "scipy", "matplotlib", "sklearn", "onnx")
COMMANDS = ("learn", "check", "inspect", "construct", "expand", "doctor")
SHELLS = ("bash", "zsh", "fish")


def run(*arguments, **environment):
    """Run `epsnet ARGUMENTS` in its own process; return what it printed and which heavy packages it loaded."""
    program = f"""
import json, sys
from epsnet.cli import main
try:
    main()
finally:
    print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "COLUMNS": "100", **environment}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


def completions(shell, line):
    """Return what TAB offers after `line`, without descriptions."""
    words = line.split(" ")
    if shell == "bash":
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    else:
        environment = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    # The command line looks for the variable of the program that was called.
    program = "import sys; sys.argv[0] = 'epsnet'; from epsnet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "_EPSNET_COMPLETE": f"complete_{shell}", **environment},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    if shell == "zsh":
        return re.findall(r'^(?:_arguments \'\*: :\(\()?"([^"]+)"', done.stdout, re.MULTILINE)
    return [text.split("\t")[0] for text in done.stdout.split("\n") if text]


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)], ids=str)
def test_help_loads_nothing(arguments):
    printed, loaded = run(*arguments)
    assert printed
    assert not loaded


def test_help_lists_the_commands():
    printed, _ = run("--help")
    assert all(f"\n  {name} " in printed for name in COMMANDS)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_script_loads_nothing(shell):
    environment = {"_EPSNET_COMPLETE": f"source_{shell}"}
    program = f"""
import sys
sys.argv[0] = "epsnet"
from epsnet.cli import main
try:
    main()
finally:
    assert not [name for name in {HEAVY} if name in sys.modules]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert f"complete_{shell}" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_are_completed(shell):
    assert set(COMMANDS) <= set(completions(shell, "epsnet "))
    assert completions(shell, "epsnet le") == ["learn"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("epsnet learn mn", ["mnist"]),
        ("epsnet learn --me", ["--method"]),
        ("epsnet learn mnist --method ", list(METHODS)),
        ("epsnet learn mnist --method p", ["piecewise-linear", "precise", "program"]),
        ("epsnet learn mnist --cost ", ["weights", "neurons", "depth", "bits"]),
        ("epsnet construct squ", ["square", "square-on", "squared-norm"]),
        ("epsnet learn mnist --norm L", ["L2"]),
        ("epsnet learn mnist --require VER", ["VERIFIED"]),
        ("epsnet learn mnist --loss ", ["cross_entropy", "square"]),
        ("epsnet learn mnist --optimizer ad", ["adam", "adamw"]),
        ("epsnet learn ", []),  # the shell completes paths
        ("epsnet check ", []),
    ],
)
def test_values_are_completed(line, wanted):
    assert completions("bash", line) == wanted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_values_are_completed_elsewhere(shell):
    assert completions(shell, "epsnet learn mnist --optimizer ad") == ["adam", "adamw"]


def test_names_are_those_of_the_library():
    from typing import get_args

    from epsnet.certify.bound import Kind, Norm
    from epsnet.cli import app
    from epsnet.diff.defaults import WHOLE_SAMPLE
    from epsnet.diff.losses import LOSSES
    from epsnet.diff.optimizers import OPTIMIZERS
    from epsnet.learning.sources import PRESETS
    from epsnet.learning.strategies import COSTS

    assert app.PRESETS == PRESETS
    assert app.METHODS == METHODS
    assert tuple(COSTS) == app.COSTS
    assert get_args(Norm) == app.NORMS
    assert tuple(kind.value for kind in Kind if kind is not Kind.ESTIMATED) == app.REQUIRABLE
    assert set(app.LOSSES) == set(LOSSES)
    assert set(app.OPTIMIZERS) == {*OPTIMIZERS, *WHOLE_SAMPLE}


def test_quiet_prints_one_line(shell):
    learned = shell("learn", "exp(x)", "--on", "0,1", "--eps", "1e-2", "--out", "exp", "--quiet")
    assert (learned.code, learned.out, learned.err) == (0, "epsnet check exp\n", "")
    checked = shell("check", "exp", "--quiet")
    assert checked.code == 0
    assert checked.out.startswith("all 7 claims hold")
    assert checked.out.count("\n") == 1
    inspected = shell("inspect", "exp", "--quiet")
    assert inspected.code == 0
    assert inspected.out.startswith("Phi: R^1 -> R^1")
    assert inspected.out.count("\n") == 1


def test_quiet_still_says_what_is_wrong(shell):
    refused = shell("learn", "1/x", "--on", "-1,1", "--eps", "1e-2", "--quiet")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("epsnet: ")
