"""What the pages show is what happens: programs and commands run in their order and print what stands there."""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
HOWTO = sorted(f"howto/{path.name}" for path in (DOCS / "howto").glob("*.md"))
PAGES = ["quickstart.md", "depth.md", "surrogates.md", "near_convexity.md", *HOWTO]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
INSTALL = ("python3 -m venv", ".venv/bin/pip", ". .venv")
# An installed command is what users have; here it runs under the interpreter of the tests, and warnings are errors.
EPSNET = f'epsnet() {{ "{sys.executable}" -W error -c "from epsnet.cli import main; main()" "$@"; }}\n'


def timeless(text):
    return re.sub(r"\d+\.\d+ s\b", "N s", re.sub(r"^seconds   .*$", "seconds   N", text, flags=re.MULTILINE))


def assert_printed(wanted, got):
    wanted, got = timeless(wanted), timeless(got)
    if "STATISTICAL" in wanted:  # training differs from one processor to another in the last digits, and then in all
        wanted, got = (re.sub(r"\d[\d.,]*", "N", text) for text in (wanted, got))
    same = doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert same, f"the page shows\n{wanted}\nbut it prints\n{got}"


def run_commands(code):
    lines = [line for line in code.splitlines() if not line.startswith(INSTALL)]
    script = EPSNET + "set -e\n" + "\n".join(lines)
    environment = {**os.environ, "MPLBACKEND": "agg"}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("page", PAGES)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = {}
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert blocks
    for language, code, wanted in blocks:
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(code, page, "exec"), session)
            printed = output.getvalue()
        else:
            done = run_commands(code)
            refused = wanted.startswith("epsnet: ")
            assert (done.returncode != 0) == refused, f"{code}\n{done.stdout}{done.stderr}"
            printed = done.stderr if refused else done.stdout
        if wanted:
            assert_printed(wanted, printed)
