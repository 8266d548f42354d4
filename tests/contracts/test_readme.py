"""What the README shows runs, and its test command is the one that .ci/run calls."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci/run").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def blocks(language):
    return [block.strip() for block in re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]


def test_first_two_commands_are_those_of_ci():
    first, second = blocks("sh")[:2]
    assert first.endswith("epsnet learn mnist")
    assert second.endswith("pytest")
    lines = [line.strip() for line in CI.splitlines()]
    # In a subshell, because `set -e` overlooks a failure in the middle of an && list.
    assert f"({first})" in lines
    assert f"({second})" in lines


def test_first_commands_stand_on_the_first_screen():
    assert "\n".join(README.splitlines()[:25]).count("```sh") == 2


def test_ci_is_executable():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_extras_exist():
    wanted = {name for group in re.findall(r"\.\[([\w,]+)\]", README) for name in group.split(",")}
    assert wanted <= set(EXTRAS)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs(number, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks("python")[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_commands_of_the_table_run_in_order(tmp_path):
    commands = re.findall(r"\| `(epsnet [^`]*)` \|$", README, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["learn", "inspect", "study", "check"]
    for command in commands:
        arguments = shlex.split(command)[1:]
        done = subprocess.run(
            [sys.executable, "-c", "from epsnet.cli import main; main()", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
